"""What one would write instead of a control plane: FastAPI, asyncpg, PostgreSQL; a rule, and every sample stored
before it is answered. Run by bench/versus.sh under uvicorn, with DSN in the environment."""
import os

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()
nodes = {}  # name -> {"since": when the condition began to hold, "incident": its number}


class Samples(BaseModel):
    cpu_utilization: float = Field(None, ge=0, le=1)
    memory_bytes: float = Field(None, ge=0)
    service_up: float = Field(None, ge=0, le=1)
    service_starts: float = Field(None, ge=0)
    request_rate: float = Field(None, ge=0)
    request_latency: float = Field(None, ge=0)
    error_ratio: float = Field(None, ge=0, le=1)
    storage_latency: float = Field(None, ge=0)


class Report(BaseModel):
    boot: str = Field("", max_length=16)
    sequence: int = Field(0, ge=0)
    age_s: float = Field(0, ge=0)
    samples: Samples


@app.on_event("startup")
async def start():
    app.pool = await asyncpg.create_pool(os.environ["DSN"], min_size=16, max_size=16)
    await app.pool.execute(
        """CREATE TABLE samples (id BIGSERIAL PRIMARY KEY, node TEXT, at TIMESTAMPTZ DEFAULT now(), boot TEXT,
           sequence BIGINT, cpu REAL, memory REAL, up REAL, starts REAL, rate REAL, latency REAL, errors REAL,
           storage REAL);
           CREATE TABLE incidents (id BIGSERIAL PRIMARY KEY, node TEXT, at TIMESTAMPTZ DEFAULT now(), why TEXT)"""
    )


@app.post("/v1/nodes/{name}/reports")
async def report(name: str, body: Report):
    s = body.samples
    node = nodes.setdefault(name, {"bad": 0})
    async with app.pool.acquire() as db:
        await db.execute(
            """INSERT INTO samples (node, boot, sequence, cpu, memory, up, starts, rate, latency, errors, storage)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
            name, body.boot, body.sequence, s.cpu_utilization, s.memory_bytes, s.service_up, s.service_starts,
            s.request_rate, s.request_latency, s.error_ratio, s.storage_latency)
        sick = (s.cpu_utilization or 0) > 0.9 and (s.request_latency or 0) > 0.02 or s.service_up == 0
        node["bad"] = node["bad"] + 1 if sick else 0
        commands = []
        if node["bad"] == 3:
            number = await db.fetchval("INSERT INTO incidents (node, why) VALUES ($1, 'sick') RETURNING id", name)
            commands.append({"id": number, "remedy": "restart_service"})
    return {"accepted": 1, "commands": commands}
