#!/usr/bin/env bash
# A scenario live: its script on real processes, the verdict at its end, and what cannot be done to real processes.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# NAME: a scenario of that name from standard input; with its fleet.
scenario() {
    { printf 'version: 1\nfleet:\n  - {role: web, count: 2, calls: [db], interval: 200ms}\n  - {role: db, interval: 200ms}\n'; cat; } >"$folder/$1.yaml"
}

scenario crash <<'END'
duration: 10s
heal: 15s
faults:
  - {at: 1s, kind: service_crash, on: 1 of role:web}
accidents:
  - {at: 2s, what: crash_control_plane, for: 1s}
expect:
  - {finding: service-down, on: 1 of role:web, remedy: restart_service, verdict: effective, within: 15s}
  - {untouched: db-*}
END
scenario unmet <<'END'
duration: 10s
heal: 5s
expect:
  - {finding: silent, on: db-1, remedy: page_human}
END
{ printf 'version: 1\nfleet:\n  - {role: web, count: 40, calls: [db], interval: 200ms}\n  - {role: db, count: 4, interval: 200ms}\n'; cat <<'END'; } >"$folder/synthetic.yaml"
duration: 10s
heal: 15s
faults:
  - {at: 1s, kind: bad_config, on: 2 of role:web, intensity: 50%}
  - {at: 1s, kind: noisy_neighbour, on: db-4, intensity: 40%, shape: sawtooth, period: 4s}
expect:
  - {finding: refusing, on: 2 of role:web, remedy: rollback_config, verdict: effective}
END
scenario long <<'END'
duration: 10m
END
scenario shapes <<'END'
duration: 10s
heal: 15s
faults:
  - {at: 1s, kind: network_delay, on: db-1, shape: flapping, period: 4s}
  - {at: 1s, kind: cpu_spike, on: web-2, intensity: 60%, shape: ramp, for: 8s}
END
scenario storm <<'END'
duration: 10s
faults:
  - {at: 1s, kind: retry_storm, on: web-1}
END

up() {
    local name=$1
    shift
    homeostat up --scenario "$folder/$name.yaml" --port 0 "$@"
}

is_healed() {
    says 0 'ok      service-down on 1 of role:web, restart_service, effective' up crash >"$folder/crash.log" || { cat "$folder/crash.log"; return 1; }
    grep -q 'SCRIPT    service_crash begins' "$folder/crash.log" && grep -q 'SCRIPT    crash_control_plane: kill -9' "$folder/crash.log" &&
        grep -q 'SCRIPT    the control plane is back' "$folder/crash.log" && grep -q 'RESOLVED' "$folder/crash.log" && return
    cat "$folder/crash.log"
    return 1
}

# The simulator and the live run mean the same nodes by `1 of role:web`.
meant_the_same() {
    local live sim
    live=$(homeostat incidents --db "$folder/lab/scenario.db" --json | member node)
    sim=$(homeostat sim "$folder/crash.yaml" --json | sed -n '/"story"/,$p' | member node)
    echo "live $live, sim $sim"
    [[ -n $live && $live == "$sim" ]]
}

tells_its_story() {
    if ! exits 1 wait "$quiet" || [[ -s $folder/unmet.err ]]; then
        cat "$folder/unmet.json" "$folder/unmet.err"
        return 1
    fi
    python3 - "$folder/unmet.json" <<'END'
import json, sys
run = json.load(open(sys.argv[1]))
assert run["live"] == "real" and run["nodes"] == 3 and run["story"] == [] and run["commands"] == 0, run
assert run["met"] == 0 and run["expected"] == ["not ok  silent on db-1, page_human, but db-1: there was no such finding"], run
assert run["reports"] > 3 and 10 <= run["took_s"] < 16 and run["availability_time"] > 0.5, run
END
}

# Forty-four nodes, more than a laptop carries as real ones.
synthetic_nodes_do_it() {
    exits 0 wait "$synthetic" && grep -q 'nodes          44 synthetic ones' "$folder/synthetic.log" &&
        grep -q 'SCRIPT    db-4: noisy_neighbour begins, sawtooth' "$folder/synthetic.log" && grep -q 'ok      refusing on 2 of role:web' "$folder/synthetic.log" && return
    cat "$folder/synthetic.log"
    return 1
}

shapes_are_live() {
    up shapes --db "$folder/shapes.db" >"$folder/shapes.log" 2>&1
    grep -q 'SCRIPT    cpu_spike begins, ramp' "$folder/shapes.log" && grep -q 'FAULT     cpu_spike is on and can be seen' "$folder/shapes.log" &&
        [[ $(homeostat faults --all --json --db "$folder/shapes.db" | grep -cE '"shape": "(ramp|flapping)"') -ge 2 ]] && return
    cat "$folder/shapes.log"
    return 1
}

ended_by_hand() {
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" up --scenario "$folder/long.yaml" --port 0 >"$folder/long.log" 2>&1 &
    local lab=$!
    within 15 grep -q 'the script begins' "$folder/long.log" || { cat "$folder/long.log"; return 1; }
    says 3 'another scenario is running' up unmet || return
    kill -s INT "$lab"
    exits 1 wait "$lab" && grep -q 'ended before the script was over' "$folder/long.log" && within 5 no_processes
}

# Beside all others, with a database of its own.
HOMEOSTAT_HOME=$folder "$binary" up --scenario "$folder/unmet.yaml" --port 0 --db "$folder/unmet.db" --json >"$folder/unmet.json" 2>"$folder/unmet.err" &
quiet=$!
HOMEOSTAT_HOME=$folder "$binary" up --scenario "$folder/synthetic.yaml" --synthetic 0 --port 0 --db "$folder/synthetic.db" >"$folder/synthetic.log" 2>&1 &
synthetic=$!
check 'what the world model does not know names its line' says 2 'line 7: retry_storm needs real processes' up storm --synthetic 0
check 'faults have their shapes on real processes' shapes_are_live
check 'what no real process can be given: a bad network' says 2 'real messages are not made late, lost or doubled' homeostat up --scenario "$root/scenarios/bad-network.yaml"
check 'nor a thousand nodes' says 2 '1000 nodes are more than the 24 real ones.*--synthetic 0' homeostat up --scenario "$root/scenarios/fleet-of-a-thousand.yaml"
check 'a scenario brings its own fleet' says 2 'leave --lab out' up long --lab "$root/labs/default.yaml"
check 'a crash of the service and then of the control plane is healed' is_healed
check 'the simulator means the same node' meant_the_same
check 'what was promised and did not come is told, and is exit status 1' tells_its_story
check 'synthetic nodes take every fault' synthetic_nodes_do_it
check 'nothing stays' within 5 no_processes
check 'Ctrl-C ends it in order' ended_by_hand
check 'a database that is there is not overwritten' says 2 'is there already' up unmet --db "$folder/lab/scenario.db"
finish
