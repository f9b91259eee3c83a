#!/usr/bin/env python3
"""openapi.py DOCUMENT URL CLOSED_URL WHAT: holds the answers of a control plane against docs/openapi.json.

An answer must have a documented status and satisfy the schema of that status; unlike a validator we also refuse members
that the schema does not name, and members of it that no answer ever had."""
import json
import re
import sys
import time
import urllib.error
import urllib.request

document = json.load(open(sys.argv[1]))
url, closed_url, what = sys.argv[2:]
seen = set()  # schemas' members that some answer had

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}

# What a short run cannot bring about.
RARE = {"Incident.fault.node", "Problem.errors[].line", "Problem.errors[].column", "Problem.errors[].text", "Problem.errors", "Problem.pointer"}


def fail(text):
    sys.exit(f"{what}: {text}")


def resolved(schema):
    while "$ref" in schema:
        name = schema["$ref"]
        schema = document
        for step in name.split("/")[1:]:
            schema = schema[step]
    return schema


def is_of(value, kind):
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[kind])


def judge(value, schema, where):
    if "$ref" in schema:
        where = schema["$ref"].rsplit("/", 1)[1]
    schema = resolved(schema)
    if "anyOf" in schema:
        if value is None and {"type": "null"} in schema["anyOf"]:
            return None
        fitting = [each for each in schema["anyOf"] if set(value) <= set(resolved(each).get("properties", {}))]
        return judge(value, fitting[0], where) if fitting else fail(f"{where}: {value!r} is nothing that is documented")
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(value, kind) for kind in kinds):
        fail(f"{where}: {value!r} is not {' or '.join(kinds)}")
    if "enum" in schema and value not in schema["enum"]:
        fail(f"{where}: {value!r} is none of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        fail(f"{where}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, dict) and "properties" in schema:
        for name in schema.get("required", []):
            if name not in value:
                fail(f"{where}: {name} is missing")
        for name, member in value.items():
            if name not in schema["properties"]:
                fail(f"{where}: {name} is not documented")
            seen.add(f"{where}.{name}")
            judge(member, schema["properties"][name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for item in value:
            judge(item, schema["items"], f"{where}[]")


def request(base, method, path, body=None, token=None, kind="application/json"):
    headers = {"Content-Type": kind} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(base + path, data=data, method=method, headers=headers)
    try:
        answer = urllib.request.urlopen(asked, timeout=20)
    except urllib.error.HTTPError as refused:
        answer = refused
    return answer.status, answer.headers, answer.read() if answer.headers.get_content_type() != "text/event-stream" else b""


def template_of(path):
    path = path.split("?")[0]
    if path in document["paths"]:
        return path
    for template in document["paths"]:
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", template), path):
            return template
    return fail(f"{path} is not documented")


def ask(method, path, body=None, wanted=None, base=url, token=None, kind="application/json"):
    """One request, judged. `wanted`: the status it must have (2xx otherwise). Returns what was answered."""
    status, headers, raw = request(base, method, path, body, token, kind)
    operation = document["paths"][template_of(path)][method.lower()]
    if (status != wanted) if wanted else not 200 <= status <= 299:
        fail(f"{method} {path}: {status} {raw[:300]!r}")
    if str(status) not in operation["responses"]:
        fail(f"{method} {path}: status {status} is not documented")
    response = resolved(operation["responses"][str(status)])
    if "content" not in response:
        return None
    media = headers.get_content_type()
    content = {name.split(";")[0]: each for name, each in response["content"].items()}
    if media not in content:
        fail(f"{method} {path}: {media} is not documented")
    if not media.endswith("json"):
        return raw
    value = json.loads(raw)
    judge(value, content[media]["schema"], f"{method} {template_of(path)}")
    return value


def until(path, good):
    for _ in range(150):
        value = ask("GET", path)
        if good(value):
            return value
        time.sleep(0.1)
    return fail(f"{path} never became what was waited for: {value}")


def members_of(schema, where, out):
    if "$ref" in schema:
        where = schema["$ref"].rsplit("/", 1)[1]
    schema = resolved(schema)
    for name, member in schema.get("properties", {}).items():
        if f"{where}.{name}" not in out:
            out.add(f"{where}.{name}")
            members_of(member, f"{where}.{name}", out)
    if "items" in schema:
        members_of(schema["items"], f"{where}[]", out)
    for each in schema.get("anyOf", []):
        members_of(each, where, out)


def check_document():
    status, _, raw = request(url, "GET", "/openapi.json")
    if status != 200 or json.loads(raw) != document:
        fail("it is another one")


def check_methods():
    for template, item in document["paths"].items():
        status, headers, _ = request(url, "TRACE", template.replace("{id}", "x"))
        allowed = set(headers.get("Allow", "").replace(",", " ").split()) - {"HEAD"}
        documented = {method.upper() for method in item if method != "parameters"}
        if status != 405 or allowed != documented:
            fail(f"{template} takes {sorted(allowed)}, {sorted(documented)} are documented")


def report(sequence, samples, **more):
    return ask("POST", "/v1/nodes/web-1/reports", {"boot": "00000000000000aa", "sequence": sequence, "samples": samples, **more})


def check_answers():
    """A node agent by hand: hello, a fault, reports of an illness, the command, its outcome, the healing; and a person's words."""
    ask("PUT", "/v1/nodes/web-1", {"boot": "00000000000000aa", "interval_s": 0.1, "calls": ["api-1"], "pid": 4312, "address": "127.0.0.1:9001"})
    report(1, {name: 1 if name == "service_up" else 0.01 for name in document["components"]["schemas"]["Samples"]["properties"]})
    ask("GET", "/v1/nodes/web-1")
    fault = ask("POST", "/v1/faults", {"kind": "service_crash", "node": "web-1"})
    told = {"id": fault["id"], "state": "active", "age_s": 0.0, "effect": "seen", "metric": "service_up", "before": 1, "after": 0}
    ask("POST", "/v1/pause", {})
    report(2, {"service_up": 1}, faults=[told])
    time.sleep(0.1)
    report(3, {"service_up": 0}, faults=[told])
    blocked = until("/v1/blocked", lambda value: value["blocked"])
    incident = blocked["blocked"][0]["incident"]
    plan = ask("GET", f"/v1/incidents/{incident}")["plan"]
    ask("GET", "/v1/faults?active=true")
    ask("POST", f"/v1/incidents/{incident}/acknowledge", {})
    ask("POST", f"/v1/incidents/{incident}/approve", {"plan": plan})
    ask("POST", f"/v1/incidents/{incident}/proposal", {"remedy": "restart_service"}, wanted=409)
    ask("POST", "/v1/resume", {})
    sequence, commands = 4, []
    while not commands and sequence < 100:
        commands = report(sequence, {"service_up": 0}, faults=[told])["commands"]
        sequence += 1
        time.sleep(0.1)
    ask("GET", "/v1/nodes/web-1/commands?wait=100ms")
    outcome = {"node": "web-1", "outcome": "done", "began": True, "took_s": 0.05, "detail": "process 1 -> 2"}
    ask("POST", f"/v1/commands/{commands[0]['id']}/outcome", outcome)
    while ask("GET", f"/v1/incidents/{incident}")["state"] != "resolved" and sequence < 200:
        report(sequence, {"service_up": 1, "cpu_utilization": 0.05}, faults=[{"id": fault["id"], "state": "ended", "reason": "cured", "removal": "seen"}])
        sequence += 1
        time.sleep(0.1)
    healed = ask("GET", f"/v1/incidents/{incident}")
    if healed["verdict"] != "effective":
        fail(f"it was not healed: {healed}")
    ask("PUT", "/v1/nodes/web-1/maintenance", {"for_s": 60})
    if not ask("GET", "/v1/nodes/web-1")["maintained_until"]:
        fail("web-1 is not in maintenance")
    ask("DELETE", "/v1/nodes/web-1/maintenance")
    ask("POST", "/v1/reports", {"reports": [{"node": "api-1", "samples": {"cpu_utilization": 0.1}}]})
    ask("GET", "/v1/nodes/web-1/metrics?metric=service_up&step=5s")
    ask("POST", "/v1/reset", {})
    for path in ("/v1/nodes", "/v1/incidents?limit=5&node=web-1&state=resolved", "/v1/faults", "/v1/policy", "/v1/events", "/metrics", "/healthz", "/readyz"):
        ask("GET", path)
    ask("PUT", "/v1/policy", ask("GET", "/v1/policy")["text"], kind="application/yaml")
    ask("PUT", "/v1/policy", ask("GET", "/v1/policy?effective=true")["text"], kind="application/yaml")
    ask("POST", "/v1/scenarios", {"name": "cpu-spike"})
    if ask("GET", "/v1/scenarios")["running"]["ended"] or not ask("DELETE", "/v1/scenarios")["ended"]:
        fail("a scenario is played until it is stopped")
    again = ask("POST", "/v1/faults", {"kind": "cpu_spike", "node": "web-1", "alongside": True})
    report(sequence, {"service_up": 1})  # its answer names the fault that is wanted
    ask("POST", "/v1/faults", {"kind": "dependency_sick", "of": "network_delay", "on": "web-1"})
    report(sequence + 1, {"service_up": 1}, standing=["shed_load"])
    if ask("POST", "/v1/nodes/web-1/undo", {})["standing"] != ["shed_load"] or ask("GET", "/v1/nodes/web-1")["standing"] != ["shed_load"]:
        fail("web-1 does not say what is in force")
    if not report(sequence + 2, {"service_up": 1}, standing=["shed_load"]).get("undo") or report(sequence + 3, {"service_up": 1}).get("undo"):
        fail("an undo is told until nothing is in force any more")
    ask("PUT", "/v1/nodes/db-9", {"boot": "00000000000000bb", "synthetic": True})
    ask("POST", "/v1/faults", {"kind": "overload", "node": "db-9", "shape": "flapping", "period_s": 2})
    ask("POST", "/v1/nodes/db-9/reports", {"samples": {"cpu_utilization": 0.1}})  # its answer names the shape
    ask("DELETE", f"/v1/faults/{again['id']}")
    ask("DELETE", "/v1/faults")
    ask("DELETE", "/v1/nodes/web-1")
    ask("GET", "/v1/nodes/web-7", wanted=404)
    documented = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items() if method != "parameters" else ():
                for content in resolved(response).get("content", {}).values():
                    members_of(content["schema"], f"{method.upper()} {path}", documented)
    missing = {member for member in documented - seen if member not in RARE}
    if missing:
        fail(f"documented, and never answered: {sorted(missing)}")


def check_refusals():
    ask("PUT", "/v1/nodes/web-2", {"boot": "xyz"}, wanted=400)
    ask("PUT", "/v1/nodes/web-2", {}, kind="text/plain", wanted=415)
    ask("GET", "/v1/nodes/web-7/commands?wait=1", wanted=404)
    ask("POST", "/v1/nodes/web-2/reports", {"samples": {"cpu_utilisation": 1}}, wanted=400)
    ask("POST", "/v1/nodes/web-2/reports", {"samples": {}}, kind="text/plain", wanted=415)
    ask("POST", "/v1/reports", {"reports": 7}, wanted=400)
    ask("POST", "/v1/reports", {"reports": []}, kind="text/plain", wanted=415)
    ask("POST", "/v1/nodes/web-2/reports", {"samples": {"cpu_utilization": 0.1}})
    ask("GET", "/v1/nodes/web-2/commands?wait=1", wanted=400)
    ask("GET", "/v1/nodes/web-2/metrics?metric=cpu", wanted=400)
    ask("GET", "/v1/nodes/web-2/metrics?metric=cpu_utilization&step=5", wanted=400)
    ask("GET", "/v1/nodes/web-7/metrics?metric=cpu_utilization", wanted=404)
    ask("PUT", "/v1/nodes/web-2/maintenance", {"for_s": 0}, wanted=400)
    ask("PUT", "/v1/nodes/web-2/maintenance", {"for_s": 9}, kind="text/plain", wanted=415)
    ask("PUT", "/v1/nodes/web-7/maintenance", {"for_s": 9}, wanted=404)
    ask("DELETE", "/v1/nodes/web-7/maintenance", wanted=404)
    ask("DELETE", "/v1/nodes/web-7", wanted=404)
    ask("POST", "/v1/commands/7/outcome", {"node": "web-2", "outcome": "done"}, wanted=404)
    ask("POST", "/v1/commands/7/outcome", {"node": "web-2", "outcome": "dune"}, wanted=400)
    ask("POST", "/v1/commands/7/outcome", {}, kind="text/plain", wanted=415)
    ask("GET", "/v1/incidents?limit=x", wanted=400)
    ask("GET", "/v1/incidents?state=resolvd", wanted=400)
    ask("GET", "/v1/incidents?node=web-7", wanted=404)
    ask("GET", "/v1/incidents/99", wanted=404)
    for word in ("approve", "decline", "acknowledge", "proposal"):
        body = {"plan": 1} if word in ("approve", "decline") else {"remedy": "restart_service"} if word == "proposal" else {}
        ask("POST", f"/v1/incidents/99/{word}", body, wanted=404)
        ask("POST", f"/v1/incidents/1/{word}", {"plan": "x"}, wanted=400)
        ask("POST", f"/v1/incidents/1/{word}", {"plan": 1}, kind="text/plain", wanted=415)
    ask("POST", "/v1/incidents/1/approve", {"plan": 1}, wanted=409)
    ask("POST", "/v1/incidents/1/decline", {"plan": 1}, wanted=409)
    ask("GET", "/v1/blocked?limit=0", wanted=400)
    ask("GET", "/v1/faults?active=perhaps", wanted=400)
    ask("POST", "/v1/faults", {"kind": "cpu_spik", "node": "web-2"}, wanted=400)
    ask("POST", "/v1/faults", {"kind": "cpu_spike", "node": "web-7"}, wanted=404)
    ask("POST", "/v1/faults", {"kind": "service_crash", "node": "web-2", "shape": "gray"}, wanted=422)
    ask("POST", "/v1/faults", {"kind": "cpu_spike", "on": "below web-2"}, wanted=422)
    ask("POST", "/v1/faults", {"kind": "cpu_spike", "on": "role:wbe"}, wanted=404)
    ask("POST", "/v1/faults", {"kind": "cpu_spike", "node": "web-2"})
    ask("POST", "/v1/faults", {"kind": "network_delay", "node": "web-2"}, wanted=409)
    ask("DELETE", "/v1/faults")
    ask("POST", "/v1/faults", {"kind": "network_delay", "node": "web-2"}, wanted=429)
    ask("POST", "/v1/nodes/web-7/undo", {}, wanted=404)
    ask("POST", "/v1/nodes/web-2/undo", {"all": True}, wanted=400)
    ask("POST", "/v1/nodes/web-2/undo", {}, kind="text/plain", wanted=415)
    ask("POST", "/v1/faults", {}, kind="text/plain", wanted=415)
    ask("DELETE", "/v1/faults/99", wanted=404)
    ask("PUT", "/v1/policy", "version: 1\nrules: 7\n", kind="application/yaml", wanted=422)
    ask("PUT", "/v1/policy", "version: 1\n", kind="text/plain", wanted=415)
    ask("GET", "/v1/policy?effective=perhaps", wanted=400)
    ask("DELETE", "/v1/scenarios", wanted=409)
    ask("POST", "/v1/scenarios", {}, wanted=400)
    ask("POST", "/v1/scenarios", {}, kind="text/plain", wanted=415)
    ask("POST", "/v1/scenarios", {"name": "cpu-spik"}, wanted=404)
    ask("POST", "/v1/scenarios", {"name": "approval"}, wanted=422)
    ask("POST", "/v1/nodes/web-1/reports", {"samples": {"cpu_utilization": 0.1}})
    ask("POST", "/v1/scenarios", {"name": "cpu-spike"})
    ask("POST", "/v1/scenarios", {"name": "cpu-spike"}, wanted=409)
    ask("GET", "/v1/events?after=x", wanted=400)


def check_tokens():
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            body = None if method in ("get", "delete") else {}
            status, headers, _ = request(closed_url, method.upper(), path.replace("{id}", "1"), body)
            is_open = operation.get("security", [{}]) == []
            if (status == 401) == is_open or (status == 401) != ("WWW-Authenticate" in headers):
                fail(f"{method.upper()} {path} without a token: {status}")
            if not is_open and not {"401", "403"} <= set(operation["responses"]):
                fail(f"{method.upper()} {path}: 401 and 403 are not documented")
    node = "0123456789abcdef-web-1"
    ask("POST", "/v1/nodes/web-1/reports", {"samples": {"cpu_utilization": 0.1}}, base=closed_url, token=node)
    ask("POST", "/v1/nodes/web-2/reports", {"samples": {"cpu_utilization": 0.1}}, base=closed_url, token=node, wanted=403)
    ask("GET", "/v1/nodes", base=closed_url, token=node, wanted=403)
    ask("GET", "/v1/nodes", base=closed_url, token="0123456789abcdef-operator")
    ask("GET", "/healthz", base=closed_url)


{"document": check_document, "methods": check_methods, "answers": check_answers, "refusals": check_refusals, "tokens": check_tokens}[what]()
