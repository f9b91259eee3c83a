"""tally.py BUILD LOG: reads a testlog.json of `meson test`, prints `passed failed`, counting single cases of TAP
programs and each other program as one, and shows on stderr what the programs that failed have said, and why others were skipped."""
import json
import sys

LINES_SHOWN = 100


def tally(program):
    said = program.get("stdout", "").splitlines()
    # cmocka 1.1 announces a skipped case as `not ok N # SKIP`, which is neither.
    cases = [line for line in said if line.startswith(("ok ", "not ok ")) and "# SKIP" not in line]
    passed = sum(line.startswith("ok ") for line in cases)
    failed = len(cases) - passed
    ended_well = program["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
    only_skipped = program["result"] == "FAIL" and program["returncode"] == 0
    if failed == 0 and not ended_well and not only_skipped:
        failed = 1  # it crashed, ran out of time, or complained elsewhere
    if not cases and program["result"] in ("OK", "EXPECTEDFAIL"):
        passed = 1
    return passed, failed


def show(program):
    said = program.get("stdout", "") + program.get("stderr", "")
    lines = [line for line in said.splitlines() if not line.startswith("ok ")]
    name = program["name"].rpartition(" / ")[2]
    print(f"\n--- {name} in {build}: {program['result']}, exit status {program['returncode']}", file=sys.stderr)
    print("\n".join(lines[-LINES_SHOWN:]), file=sys.stderr)


build, path = sys.argv[1:]
passed = failed = 0
with open(path, encoding="utf-8") as log:
    for line in log:
        program = json.loads(line)
        more_passed, more_failed = tally(program)
        passed, failed = passed + more_passed, failed + more_failed
        if more_failed:
            show(program)
        for said in program.get("stdout", "").splitlines():
            if said.startswith("1..0 # SKIP"):
                print(f"{program['name'].rpartition(' / ')[2]} is skipped: {said[len('1..0 # SKIP'):].strip()}", file=sys.stderr)
print(passed, failed)
