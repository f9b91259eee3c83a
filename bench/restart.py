#!/usr/bin/env python3
"""How soon a control plane is ready again after kill -9, with many incidents in its database.

    ./run bench restart [--json] [--incidents N]

A demo leaves one incident with its evidence, timeline and commands; it is multiplied, a minute apart, the newest just now. Then
a control plane is started on it and killed, in turn; the figure is the median of five starts, from exec to the line that says
it is ready."""

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build", "homeostat")
MINUTE = 60 * 10**9


def columns(database, table):
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def multiply(path, count):
    """Copies of incident 1 and of what belongs to it, with ids from 2 on."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n", (count - 1,))
        for table, of in (("incidents", "id"), ("evidence", "incident"), ("timeline", "incident"), ("commands", "incident")):
            chosen = []
            for name in columns(database, table):
                if name == of:
                    chosen.append(f"{name} + i")
                elif table == "timeline" and name == "id":
                    chosen.append("NULL")
                elif table == "commands" and name == "id":
                    chosen.append("id + 1000 * i")
                elif table == "incidents" and name == "command":
                    chosen.append("command + 1000 * i")
                elif name.endswith("_at") and name != "approved_until":
                    chosen.append(f"{name} - ({count} - i) * {MINUTE}")
                else:
                    chosen.append(name)
            database.execute(f"INSERT INTO {table} SELECT {', '.join(chosen)} FROM {table}, n WHERE {of} = 1")
        database.execute("UPDATE control SET next_incident = ?, next_command = next_command + 1000 * ?", (count + 1, count))
        return database.execute("SELECT count(*) FROM incidents").fetchone()[0]


def start(folder, path):
    """Seconds from exec to ready, and the process."""
    ready, other = os.pipe()
    began = time.monotonic()
    process = subprocess.Popen([PROGRAM, "serve", "--port", "0", "--db", path, "--ready-fd", str(other), "--log", "/dev/null"],
                               pass_fds=[other], cwd=folder, stderr=subprocess.PIPE)
    os.close(other)
    line = os.read(ready, 16)
    took = time.monotonic() - began
    os.close(ready)
    if not line:
        sys.exit(process.stderr.read().decode())
    return took, process


def main():
    parser = argparse.ArgumentParser(description="How soon a control plane is ready again, with many incidents.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--incidents", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, HOMEOSTAT_HOME=folder)
        subprocess.run([PROGRAM, "demo", "--interval", "300ms", "--json", "--policy", f"{ROOT}/policies/default.yaml"],
                       env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = os.path.join(folder, "lab", "demo.db")
        incidents = multiply(path, options.incidents)
        times = []
        for _ in range(5):
            took, process = start(folder, path)
            times.append(took)
            process.send_signal(signal.SIGKILL)
            process.wait()
        size = os.path.getsize(path) / 2**20
    if options.json:
        print(json.dumps({"incidents": incidents, "ready_s": statistics.median(times), "most_s": max(times), "mib": size}))
    else:
        print(f"ready {statistics.median(times):.2f} s after kill -9 (at most {max(times):.2f} s), "
              f"with {incidents} incidents, {size:.0f} MiB")


main()
