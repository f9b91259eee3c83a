#!/usr/bin/env python3
"""Each fault on real processes, healed by the default policy and by the naive one:  ./run bench faults

    ./run bench faults [--full] [--runs N] [--jobs N] [--only NAME,NAME] [--policy NAME] [--json] [--keep FILE]

A row is a scenario of scenarios/live with one fault, run with one sample a second and two seconds of health before it. A run
counts as healed if an incident of the node that was struck was closed as `effective` by a remedy that cures the fault, within
30 s of the injection, and if the fault's own metric was seen to move and to go back. Where a person should do nothing, it
counts if nothing was done. A run whose fault had no effect is invalid and counts for nothing; it is told, and made again once.

Labs that mostly wait run --jobs at a time [4]; those that want both processors run alone. One run of each row by each policy
takes about eight minutes, --full (20 runs by the default policy, 3 by the naive one) an hour and a half. --keep FILE appends
each run as a line of JSON with the commit that was run, and takes what is there of this commit already as done, so that a long
table can be made in parts.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime

ROOT = os.environ.get("HOMEOSTAT_HOME") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build", "homeostat")
LIMIT_S = 30.0
LONGER_S = 5  # than with the half second that the scenarios were written for

LIGHT = ["cpu-spike", "crash", "crash-loop", "hang", "memory-leak", "bad-config", "network-delay", "network-loss",
         "network-bandwidth", "network-cut", "slow-storage", "io-error", "disk-full", "flapping", "sick-database",
         "partition", "zone-outage", "sensor-fault", "clock-skew"]
HEAVY = ["noisy-neighbour", "overload", "retry-storm"]
POLICIES = {"default": "policies/default.yaml", "naive": "policies/naive.yaml"}


# --- one run ---------------------------------------------------------------------------------------------------------

def scenario_of(name, folder):
    """The scenario with a sample a second, and the time that this takes."""
    text = open(os.path.join(ROOT, "scenarios", "live", name + ".yaml")).read()
    text = text.replace("interval: 500ms", "interval: 1s")
    text = re.sub(r"^duration: (\d+)s", lambda found: f"duration: {int(found[1]) + LONGER_S}s", text, flags=re.M)
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w") as file:
        file.write(text)
    return path


def ask(folder, *words):
    """What a reading verb says of the run's database."""
    told = subprocess.run([PROGRAM, *words, "--json", "--db", os.path.join(folder, "lab.db")], check=True,
                          capture_output=True, text=True, env=dict(os.environ, HOMEOSTAT_HOME=folder))
    return json.loads(told.stdout)


def seconds(later, earlier):
    return (datetime.fromisoformat(later.replace("Z", "+00:00")) -
            datetime.fromisoformat(earlier.replace("Z", "+00:00"))).total_seconds()


def judge(name, folder):
    """The run's row, from its database."""
    told = ask(folder, "faults", "--all")
    cures = {kind["kind"]: kind["cures"] for kind in told["kinds"]}
    faults = told["faults"]
    struck = {fault["node"] for fault in faults}
    curable = [fault for fault in faults if cures[fault["kind"]]]
    incidents = [ask(folder, "incident", str(each["id"])) for each in ask(folder, "incidents")["incidents"]]
    commands = [(incident, command) for incident in incidents for command in incident["commands"]]
    rights = {cure for fault in faults for cure in cures[fault["kind"]]}
    acts = [f"{command['remedy']} on {incident['node']} for {incident['finding']}" for incident, command in commands]
    row = {"acts": acts, "valid": bool(faults) and all(fault["effect"] == "seen" for fault in faults),
           "over": all(fault["removal"] == "seen" for fault in faults),
           "innocent": sum(incident["node"] not in struck for incident, _ in commands),
           "wrong": sum(incident["node"] in struck and command["remedy"] not in rights for incident, command in commands)}
    row.update(healing(incidents, curable[0], cures) if curable else {"healed": not commands and row["over"]})
    return row


def healing(incidents, fault, cures):
    """When the first of a curable fault was found and proved to be healed, in seconds after its injection."""
    began = fault["injected_at"] or fault["asked_at"]
    on_node = [incident for incident in incidents if incident["node"] == fault["node"] and seconds(incident["opened_at"], began) >= -1]
    healing = [incident for incident in on_node
               if incident["verdict"] == "effective" and incident["remedy"] in cures[fault["kind"]] and incident["closed_at"]]
    row = {"healed": False}
    if on_node:
        row["found_s"] = min(seconds(incident["opened_at"], began) for incident in on_node)
    if healing:
        first = min(healing, key=lambda incident: incident["closed_at"])
        row["remedy"], row["proved_s"] = first["remedy"], seconds(first["closed_at"], began)
        row["healed"] = row["proved_s"] <= LIMIT_S and fault["removal"] == "seen"
    return row


def run(name, policy):
    folder = tempfile.mkdtemp(prefix="homeostat-faults-")
    try:
        words = [PROGRAM, "up", "--scenario", scenario_of(name, folder), "--policy", os.path.join(ROOT, POLICIES[policy]),
                 "--port", "0", "--db", os.path.join(folder, "lab.db"), "--json"]
        ended = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
                               env=dict(os.environ, HOMEOSTAT_HOME=folder))
        if ended.returncode > 1:
            raise RuntimeError(f"{name}: {ended.stderr.strip() or ended.stdout.strip()}")
        return dict(name=name, policy=policy, **judge(name, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- many runs -------------------------------------------------------------------------------------------------------

def wanted(options, done):
    """(name, policy) of each run that is still to be made; by turns, so that a table made in parts is even."""
    runs = {"default": options.runs, "naive": options.naive_runs}
    names = options.only.split(",") if options.only else LIGHT + HEAVY
    policies = [options.policy] if options.policy else list(POLICIES)
    for name in names:
        if name not in LIGHT + HEAVY:
            sys.exit(f"bench faults: no row is called '{name}'; there are {', '.join(LIGHT + HEAVY)}")
    made = {}
    for each in done:
        made[each["name"], each["policy"]] = made.get((each["name"], each["policy"]), 0) + each["valid"]
    return [(name, policy) for turn in range(max(runs.values())) for policy in policies for name in names
            if made.get((name, policy), 0) <= turn < runs[policy]]


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def run_all(options, done, commit):
    left = wanted(options, done)
    count = 0

    def take(row):
        nonlocal count
        count += 1
        done.append(row)
        progress(f"{count} of {len(left)} runs; the newest: {row['name']} by {row['policy']}")
        if options.keep:
            with open(options.keep, "a") as file:
                file.write(json.dumps(dict(row, commit=commit)) + "\n")

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for ended in concurrent.futures.as_completed([pool.submit(run, *one) for one in left if one[0] in LIGHT]):
            take(ended.result())
    for one in left:
        if one[0] in HEAVY:
            take(run(*one))
    progress("")


# --- the table -------------------------------------------------------------------------------------------------------

def middle(rows, key):
    values = [row[key] for row in rows if key in row]
    return statistics.median(values) if values else None


def sums(done, name, policy):
    rows = [row for row in done if row["name"] == name and row["policy"] == policy and row["valid"]]
    invalid = sum(row["name"] == name and row["policy"] == policy and not row["valid"] for row in done)
    remedies = sorted({row["remedy"] for row in rows if "remedy" in row})
    proved = [row["proved_s"] for row in rows if row["healed"] and "proved_s" in row]
    return {"name": name, "policy": policy, "runs": len(rows), "invalid": invalid, "healed": sum(row["healed"] for row in rows),
            "remedies": remedies, "found_s": middle(rows, "found_s"), "proved_s": middle(rows, "proved_s"),
            "proved_worst_s": max(proved, default=None), "innocent": sum(row["innocent"] for row in rows),
            "wrong": sum(row["wrong"] for row in rows)}


def shown(value):
    return "-" if value is None else f"{value:.1f} s"


def of(part, whole):
    return f"{part} of {whole}" if whole else "-"


def print_table(done):
    print("| fault | healed | by | found | proved, median (worst) | acts on innocents | wrong remedies | naive: healed | innocents | wrong |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in LIGHT + HEAVY:
        good, bad = sums(done, name, "default"), sums(done, name, "naive")
        if good["runs"] + bad["runs"] + good["invalid"] + bad["invalid"] == 0:
            continue
        healed = of(good["healed"], good["runs"]) + (f" ({good['invalid']} invalid)" if good["invalid"] else "")
        proved = f"{shown(good['proved_s'])} ({shown(good['proved_worst_s'])})" if good["proved_worst_s"] else "-"
        print(f"| {name} | {healed} | {', '.join(good['remedies']) or 'nothing is done'} | {shown(good['found_s'])} | {proved} "
              f"| {good['innocent']} | {good['wrong']} | {of(bad['healed'], bad['runs'])} | {bad['innocent']} | {bad['wrong']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="./run bench faults")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--naive-runs", type=int)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--only")
    parser.add_argument("--policy", choices=list(POLICIES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", metavar="FILE")
    options = parser.parse_args()
    options.runs = options.runs or (20 if options.full else 1)
    options.naive_runs = options.naive_runs or (3 if options.full else 1)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    done = []
    if options.keep and os.path.exists(options.keep):
        done = [row for row in map(json.loads, open(options.keep)) if row["commit"] == commit]
    run_all(options, done, commit)
    if not all(row["valid"] for row in done):
        run_all(options, done, commit)
    if options.json:
        print(json.dumps([sums(done, name, policy) for name in LIGHT + HEAVY for policy in POLICIES], indent=2))
    else:
        print_table(done)


if __name__ == "__main__":
    main()
