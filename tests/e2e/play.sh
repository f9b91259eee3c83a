#!/usr/bin/env bash
# The control plane is killed in the midst of a scenario that it plays: what is on ends by its lease, what had not begun never
# does, and the scenario can be started again.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

mkdir "$folder/plays"
cat >"$folder/plays/two-faults.yaml" <<'YAML'
version: 1
title: Two faults
teaches: One after the other.
duration: 10s
fleet:
  - {role: web}
faults:
  - {at: 0s, kind: cpu_spike, on: web-1, intensity: 30%, for: 8s}
  - {at: 5s, kind: network_delay, on: web-1, intensity: 20ms, for: 2s}
YAML

play() {
    [[ $(curl -sS -o "$folder/answer" -w '%{http_code}' -d '{"name":"two-faults"}' -H 'Content-Type: application/json' \
        "$url/v1/scenarios") == 201 ]] || { cat "$folder/answer"; return 1; }
}

it_begins() {
    play && within 5 says 0 'cpu_spike +web-1 .* active ' homeostat faults
}

killed_and_back() {
    kill -s KILL "$plane"
    exits 137 wait "$plane" && serve_alone "$port" "${options[@]}" && within 10 its_node_is healthy
}

nothing_is_played() {
    curl -sS "$url/v1/scenarios" | grep -q '"running": *null' && says 0 'cpu_spike +web-1 .* active ' homeostat faults
}

the_first_expires() {
    within 20 says 0 'cpu_spike +web-1 .* ended .* expired' homeostat faults --all
}

# Its time came and went while the first was on.
the_second_never_came() {
    [[ $(homeostat faults --all | grep -c ' web-1 ') -eq 1 ]] || { homeostat faults --all; return 1; }
}

ends() {
    kill "$agent" && wait "$agent"
    kill "$plane" && exits 0 wait "$plane" && within 5 no_processes
}

options=(--db "$folder/play.db" --scenarios "$folder/plays")
check 'a control plane starts' serve_alone 0 "${options[@]}"
HOMEOSTAT_HOME=$folder "$binary" agent web-1 --plane "$url" --role web --interval 300ms --folder "$folder/web-1" >"$folder/agent.log" 2>&1 &
agent=$!
check 'its node is healthy' within 15 its_node_is healthy
check 'a scenario is played, its first fault is on' it_begins
check 'the control plane is killed, and one takes its place' killed_and_back
check 'it plays nothing, and knows the fault' nothing_is_played
check 'the fault ends by its lease' the_first_expires
check 'the fault that was still to come never comes' the_second_never_came
check 'the scenario can be started again' it_begins
check 'all of it ends' ends
finish
