#!/usr/bin/env bash
# The demo with some of its faults (faults.sh has all of them): it is found on its node, healed by the remedy that cures it, and
# by nothing else.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

demo() {
    homeostat demo --json --interval 300ms "$@"
}

# FAULT NODE REMEDY
is_healed() {
    local result=$folder/result.json
    demo --policy "$root/tests/e2e/fast.yaml" --fault "$1" >"$result" || { cat "$result"; return 1; }
    [[ $(member healed <"$result") == true && $(member fault <"$result") == "$1" && $(member node <"$result") == "$2" &&
        $(member remedy <"$result") == "$3" && $(grep -c '"ordered_at"' "$result") -eq 1 &&
        $(member store <"$result") == "sqlite:$folder/lab/demo.db" ]] || { cat "$result"; return 1; }
    says 0 "on $2, [a-z]*: resolved, $3 was effective" \
        homeostat incident "$(member incident_id <"$result")" --db "$folder/lab/demo.db" && no_processes
}

# People are told, nothing is done, and the demo does not pretend that it healed.
printf '%s\n' 'version: 1' 'rules:' '  - {if: service_up < 1, for: 0s, do: page_human}' >"$folder/people.yaml"

check 'cpu_spike on web-1' is_healed cpu_spike web-1 restart_service
check 'service_crash on api-1' is_healed service_crash api-1 restart_service
check 'storage_latency on db-1' is_healed storage_latency db-1 failover_storage
check 'the run before can still be read' says 0 'service-down' homeostat incidents --db "$folder/lab/demo-previous.db"
check 'not healed: exit status 1 and why' says 1 'not healed: no remedy was .*incident 1 of api-1' \
    demo --policy "$folder/people.yaml" --fault service_crash
check 'nothing is left running' within 3 no_processes
finish
