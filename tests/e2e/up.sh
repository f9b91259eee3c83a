#!/usr/bin/env bash
# A live lab from its start to its end: faults, a person's words, Ctrl-C, and kill -9.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# Starts a lab in the background; `up` is its process id, `url` its control plane.
start_lab() {
    : >"$folder/up.log"
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" up --port 0 --interval 300ms "$@" >"$folder/up.log" 2>&1 &
    up=$!
    within 15 grep -q 'control plane  http' "$folder/up.log" || { cat "$folder/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/up.log")
}

all_healthy() {
    [[ $(homeostat nodes --json | grep -c '"health": "healthy"') -eq 3 ]]
}

# ID STATE VERDICT
incident_is() {
    homeostat incident "$1" --json >"$folder/incident.json" || return
    [[ $(member state <"$folder/incident.json") == "$2" && $(member verdict <"$folder/incident.json") == "$3" ]]
}

db_alone_is_healed() {
    local web api
    web=$(service_of web-1) api=$(service_of api-1)
    homeostat inject storage_latency db-1 && within 20 incident_is 1 resolved effective || return
    [[ $(member node <"$folder/incident.json") == db-1 ]] || return
    [[ -n $web && -n $api && $(service_of web-1) == "$web" && $(service_of api-1) == "$api" ]] || return
    says 0 '"breaker_open": *false' curl -sS "$url/healthz"
}

paused_then_healed() {
    homeostat pause && homeostat inject service_crash api-1 || return
    within 10 says 0 'paused' homeostat blocked || return
    homeostat resume && within 20 says 0 'api-1 +service-down +restart_service +resolved +effective' homeostat incidents
}

# Paused, in maintenance: whoever looks is told, with the verb that ends it.
standing_is_told() {
    homeostat pause && homeostat maintain db-1 --for 30m | grep 'left alone for 30 min, until ..:..:' || return
    local verb
    for verb in nodes incidents blocked; do
        says 0 "automation is paused: .* resume'" homeostat "$verb" || return
    done
    says 0 'db-1 +[a-z]+, left alone' homeostat nodes && says 0 "db-1 is left alone until .*maintain db-1 --end'" homeostat nodes || return
    within 10 grep -qE '^  [0-9:.]+ +healthy +healthy +alone ' "$folder/up.log" || return
    homeostat resume && says 0 'watched and healed again' homeostat maintain db-1 --end || return
    says 0 'db-1 was not left alone' homeostat maintain db-1 --end || return
    grep -q 'CONTROL   automation is paused: ' "$folder/up.log" && ! grep 'CONTROL   epoch' "$folder/up.log"
}

# Back too soon: what people are shown of it, and what they can say.
is_escalated_and_approved() {
    within 10 homeostat inject service_crash api-1 || return # the one before is not long ago
    within 15 says 0 'came back once' homeostat incident 2 && within 15 says 0 'escalated' homeostat incident 2 || return
    ! homeostat incident 2 | grep 'page_human was' || return
    says 0 'restart_service can be tried once more: .* approve 2' homeostat incident 2 || return
    says 1 'incident 2: restart_service is planned, not clean_disk' homeostat approve 2 --remedy clean_disk &&
        says 1 'incident 2 is escalated: it has no plan' homeostat decline 2 || return
    homeostat approve 2 && within 20 says 0 ': resolved, restart_service was effective' homeostat incident 2 || return
    says 1 'is resolved: there is nothing left to do' homeostat approve 2
}

fault_comes_and_goes() {
    homeostat inject cpu_spike web-1 --intensity 0.3 --lease 30s || return
    within 10 says 0 'cpu_spike +web-1 +30 % +active' homeostat faults || return
    says 0 '1 fault cleared' homeostat clear || return
    within 10 says 0 'cleared$' homeostat faults --all && within 10 says 0 'no faults are on' homeostat faults
}

# The node agent cannot take it: so it is asked for, and has not begun.
a_fault_waits() {
    local agent
    agent=$(pgrep -P "$up" -f ' agent api-1 ') && kill -s STOP "$agent" || return
    within 10 homeostat inject cpu_spike api-1 --lease 10m && says 0 'cpu_spike +api-1 .* asked' homeostat faults
}

# With no URL from anywhere; what is read is the lab, not the database.
is_found() {
    [[ $(<"$folder/lab/address") == "$url" && -z $(url='' homeostat nodes 2>&1 >/dev/null) ]] && url='' says 0 'web-1 +healthy' homeostat nodes
}

nobody_is_found() {
    [[ -e $folder/lab/address ]] && ! (url='' homeostat nodes 2>&1) | grep -F "$url"
}

ends_with() {
    kill -s "$1" "$up"
    exits "$2" wait "$up" && within 5 no_processes && return
    processes
    cat "$folder/up.log"
    return 1
}

check 'a lab starts' start_lab --policy "$root/tests/e2e/fast.yaml"
check 'its three nodes are healthy' within 20 all_healthy
check 'in its folder nobody has to name its port' is_found
check 'a second one on its port: what to do' says 3 'is taken.*--port' homeostat up --port "${url##*:}" --db "$folder/lab/second.db"
check 'a sick db-1 is healed, its callers are left alone' db_alone_is_healed
check 'paused, nothing is done; resumed, it is' paused_then_healed
check 'back too soon, it is told to people, and an approval tries it once more' is_escalated_and_approved
check 'paused and in maintenance: every list says so' standing_is_told
check 'a fault comes, and goes when it is cleared' fault_comes_and_goes
check 'a node that is not there' says 1 'no node is called web-7' homeostat inject cpu_spike web-7
check 'an incident that is not there' says 1 'no incident 99' homeostat incident 99
check 'another policy comes into force' says 0 'version' homeostat policy apply "$root/policies/first.yaml"
check 'and is shown' says 0 'cpu_utilization > 0.90' homeostat policy show
check 'the log shows what was found' grep -q 'DETECT.*incident 1' "$folder/up.log"
check 'a fault waits for a node agent that does not answer' a_fault_waits
check 'Ctrl-C ends it, and nothing stays' ends_with INT 0
check 'its address is forgotten' test ! -e "$folder/lab/address"
check 'without it the database is read' says 0 'this is what .*homeostat.db has' homeostat incidents
check 'it starts again where it was' start_lab
check 'its nodes are healthy again' within 20 all_healthy
check 'the fault that had not begun does not begin now' says 0 'no faults are on' homeostat faults
check 'the policy that was applied is still in force' says 0 'cpu_utilization > 0.90' homeostat policy show
check 'kill -9, and nothing stays' ends_with KILL 137
check 'the address that it left is not taken for a lab' nobody_is_found
finish
