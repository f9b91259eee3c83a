#!/usr/bin/env bash
# Time goes wrong under a live lab: its processes are suspended, its wall clocks are set while it runs. Each case has a lab
# of its own, and some run at once.
#
#     time.sh BINARY SKEW_LIBRARY [--full | CASE]
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"
skew_library=$(readlink -f "$2")
here=$0

# --- a lab and what is seen of it ------------------------------------------------------------------------------------

start_lab() {
    mkdir -p "$folder/skew"
    # Requests that cost next to nothing: many of these labs share two processors.
    sed 's/capacity: [0-9]*/capacity: 5000/' "$root/labs/default.yaml" >"$folder/lab.yaml"
    : >"$folder/up.log" # the lab before has left its own, and that one must not be taken for this one's
    HOMEOSTAT_HOME=$folder NO_COLOR=1 HOMEOSTAT_SKEW=$folder/skew LD_PRELOAD=$skew_library \
        "$binary" up --port 0 --lab "$folder/lab.yaml" --interval 300ms --policy "$policy" >"$folder/up.log" 2>&1 &
    up=$!
    within 20 grep -q 'control plane  http' "$folder/up.log" || { cat "$folder/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/up.log")
    within 20 all_healthy || return
    plane=$(matching ' serve ')
    services=$(service_of web-1; service_of api-1; service_of db-1)
}

end_lab() {
    kill -s INT "$up" && wait "$up" && within 5 no_processes
    local ended=$?
    up=
    return "$ended"
}

all_healthy() {
    [[ $(homeostat nodes --json | grep -c '"health": "healthy"') -eq 3 ]]
}

# NAME: the sum of a counter of the control plane's.
counted() {
    curl -sS "$url/metrics" | awk -v name="homeostat_$1" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }'
}

# A: what is seen, B: what should be.
same() {
    [[ $1 == "$2" ]] || { echo "$3: $1, not $2"; return 1; }
}

nobody_was_touched() {
    same "$(counted commands_ordered_total)" 0 'commands ordered' &&
        same "$(service_of web-1; service_of api-1; service_of db-1)" "$services" 'services'
}

incidents() {
    homeostat incidents --json | grep -c '"opened_at"'
}

nothing_happened() {
    nobody_was_touched && same "$(incidents)" 0 incidents
}

# ID STATE VERDICT
incident_is() {
    homeostat incident "$1" --json >"$folder/incident.json" || return
    [[ $(member state <"$folder/incident.json") == "$2" && $(member verdict <"$folder/incident.json") == "$3" ]]
}

# The one incident was healed by one command with one effect: web-1 alone has another service.
healed_once() {
    within 30 incident_is 1 resolved effective || return
    same "$(counted commands_ordered_total)" 1 'commands ordered' && same "$(incidents)" 1 incidents || return
    local old new
    old=$(sed -n 2,3p <<<"$services") new=$(service_of api-1; service_of db-1)
    same "$new" "$old" 'the services of api-1 and db-1' || return
    same "$(curl -sS "$url/v1/nodes/web-1" | grep -o '"service_starts":[^,}]*' | tr -dc 0-9.)" 2.0 'starts of web-1'
}

# SECONDS PROCESS...
suspend() {
    local seconds=$1
    shift
    kill -s STOP "$@" && sleep "$seconds" && kill -s CONT "$@"
}

away_was_noted() {
    within 5 grep -q 'CONTROL .*the control plane was away for' "$folder/up.log" || return
    [[ $(counted gaps_total) -ge 1 ]] || { echo 'no gap was counted'; return 1; }
}

# Every instant of an incident's timeline is not before the one above it, and the last not far from now.
instants_rise() {
    local instants
    instants=$(homeostat incident "$1" --json | sed -n 's/^ *"at": "\(.*\)",\{0,1\}$/\1/p')
    [[ -n $instants ]] || { echo 'no instants'; return 1; }
    sort -c <<<"$instants" || return
    local apart=$(($(date +%s) - $(date -d "$(tail -n 1 <<<"$instants")" +%s)))
    ((apart >= -5 && apart < 120)) || { echo "the newest instant is $apart s ago"; return 1; }
}

# --- the cases -------------------------------------------------------------------------------------------------------

policy=$root/tests/e2e/fast.yaml

the_plane_is_suspended() {
    local seconds gaps=0
    start_lab || return
    for seconds in 1 3 10 ${long:+60}; do
        suspend "$seconds" "$plane"
        gaps=$((gaps + (seconds > 1)))
        within 10 all_healthy || return
    done
    away_was_noted && [[ $(counted gaps_total) -ge $gaps ]] && nothing_happened && end_lab
}

# Stalls too short to be told of, under a policy that calls a node silent after a second.
the_plane_stalls() {
    policy=$folder/policy.yaml
    sed 's/absent: 5s/absent: 1s/' "$root/tests/e2e/fast.yaml" >"$policy"
    start_lab || return
    for _ in 1 2 3 4 5; do
        suspend 0.9 "$plane"
        sleep 0.5
    done
    nothing_happened && end_lab
}

everything_is_suspended() {
    start_lab || return
    # shellcheck disable=SC2046 # words
    suspend "${long:-5}" $(processes)
    within 10 all_healthy && away_was_noted && sleep 2 && nothing_happened && end_lab
}

the_nodes_are_suspended_shortly() {
    start_lab || return
    # shellcheck disable=SC2046 # words
    suspend 3 $(processes | grep -vx -e "$plane" -e "$up")
    within 10 all_healthy && sleep 2 && nothing_happened && end_lab
}

# Nobody is there: suspicion falls on the control plane itself, and the breaker latches.
the_nodes_are_suspended() {
    start_lab || return
    # shellcheck disable=SC2046 # words
    suspend "${long:-8}" $(processes | grep -vx -e "$plane" -e "$up")
    within 10 all_healthy && nobody_was_touched || return
    same "$(homeostat incidents --json | grep '"finding"' | grep -vc '"silent"')" 0 'incidents that are not of silence' || return
    says 0 '"breaker_open": *true' curl -sS "$url/healthz" && end_lab
}

one_node_agent_is_suspended() {
    start_lab || return
    # shellcheck disable=SC2046 # words
    suspend "${long:-8}" $(matching ' agent api-1 ')
    within 10 all_healthy && sleep 2 && nobody_was_touched && same "$(incidents)" 1 incidents || return
    says 0 'api-1 +silent' homeostat incidents && end_lab
}

# WORD SECONDS WHAT [FAULT]: a fault on web-1, and as soon as the log tells that word, that is suspended. To restart what
# hangs takes a while.
suspended_at() {
    start_lab && homeostat inject "${4:-cpu_spike}" web-1 --lease 100s || return
    local began=$SECONDS
    until grep -q "$1 " "$folder/up.log"; do
        sleep 0.02
        ((SECONDS - began < 20)) || { echo "no $1"; return 1; }
    done
    # shellcheck disable=SC2046 # words
    case $3 in
    plane) suspend "$2" "$plane" ;;
    node) suspend "$2" $(matching ' agent web-1 ') ;;
    all) suspend "$2" $(processes) ;;
    esac
    healed_once && instants_rise 1 && end_lab
}

the_plane_is_suspended_while_it_is_found() { suspended_at DETECT "${long:-3}" plane; }
the_plane_is_suspended_while_acting() { suspended_at ACT "${long:-3}" plane service_hang; }
the_plane_is_suspended_while_verifying() { suspended_at VERIFY "${long:-3}" plane; }
the_node_agent_is_suspended_while_acting() { suspended_at ACT 3 node service_hang; }
everything_is_suspended_while_acting() { suspended_at ACT "${long:-5}" all service_hang; }
everything_is_suspended_while_verifying() { suspended_at VERIFY "${long:-5}" all; }

# --- wall clocks -----------------------------------------------------------------------------------------------------

set_clock() { # PROCESS OFFSET [STROBE_MS [DRIFT]]
    echo "${@:2}" >"$folder/skew/$1.new" && mv "$folder/skew/$1.new" "$folder/skew/$1"
}

healed_with_clocks() {
    sleep 3
    nothing_happened || return
    homeostat inject cpu_spike web-1 --lease 100s || return
    within 20 grep -q 'ACT ' "$folder/up.log" || return
    set_clock serve -3600
    healed_once && instants_rise 1 && no_clock_was_taken_for_a_gap
}

# A busy machine may hold the control plane up for some seconds; the clocks were set by an hour and more.
no_clock_was_taken_for_a_gap() {
    ! grep -E 'CONTROL .*was away for [0-9.]+ *(min|h|d)' "$folder/up.log"
}

the_clocks_are_set_ahead_and_back() {
    start_lab && set_clock serve 86400 && set_clock agent -86400 && healed_with_clocks && end_lab
}

the_clocks_strobe() {
    start_lab && set_clock serve 86400 100 && set_clock agent -86400 100 && healed_with_clocks && end_lab
}

the_clocks_drift() {
    start_lab && set_clock serve 0 0 -0.5 && set_clock agent 0 0 1 && healed_with_clocks && end_lab
}

# A lease keeps its length whatever the clocks say.
a_lease_keeps_its_length() {
    start_lab || return
    local began=$SECONDS
    homeostat inject cpu_spike web-1 --intensity 0.3 --lease 4s || return
    set_clock serve 86400 && set_clock agent 86400 && sleep 1 && set_clock serve -86400 && set_clock agent -86400
    says 0 'cpu_spike +web-1' homeostat faults || return
    within 10 says 0 'no faults are on' homeostat faults || return
    ((SECONDS - began >= 3 && SECONDS - began <= 8)) || { echo "after $((SECONDS - began)) s"; return 1; }
    within 5 says 0 'cpu_spike +web-1.*expired' homeostat faults --all && end_lab
}

first_is_healed() {
    policy=$folder/policy.yaml
    sed 's/cooldown: 5s/cooldown: 15s/' "$root/tests/e2e/fast.yaml" >"$policy"
    start_lab && homeostat inject service_crash web-1 && within 30 incident_is 1 resolved effective && end_lab
}

# The clock starts at what is stored: nothing is forgotten, and the cooldown still counts.
it_starts_again_a_day_back() {
    first_is_healed && set_clock serve -86400 && start_lab && within 5 homeostat inject cpu_spike web-1 --lease 100s || return
    within 12 says 0 'cpu-high .*cooldown' homeostat blocked && within 30 incident_is 2 resolved effective || return
    instants_rise 2 && same "$(counted commands_ordered_total)" 1 'commands ordered' && end_lab
}

# For the control plane a day has passed: no cooldown. With the true clock again it stays a day ahead: never back.
it_starts_again_a_day_ahead() {
    first_is_healed && set_clock serve 86400 && start_lab && within 5 homeostat inject cpu_spike web-1 --lease 100s || return
    within 30 incident_is 2 resolved effective && says 0 'nothing|no ' homeostat blocked && end_lab || return
    set_clock serve 0 && start_lab && homeostat inject service_crash db-1 && within 30 incident_is 3 resolved effective || return
    local second third
    second=$(homeostat incident 2 --json | member opened_at) third=$(homeostat incident 3 --json | member opened_at)
    [[ $second < $third ]] || { echo "$third is not after $second"; return 1; }
    end_lab
}

cases=(the_plane_is_suspended the_plane_stalls everything_is_suspended the_nodes_are_suspended_shortly the_nodes_are_suspended
    one_node_agent_is_suspended the_plane_is_suspended_while_it_is_found the_plane_is_suspended_while_acting
    the_plane_is_suspended_while_verifying the_node_agent_is_suspended_while_acting
    everything_is_suspended_while_acting everything_is_suspended_while_verifying the_clocks_are_set_ahead_and_back
    the_clocks_strobe the_clocks_drift a_lease_keeps_its_length it_starts_again_a_day_back it_starts_again_a_day_ahead)

# --- running them ----------------------------------------------------------------------------------------------------

at_once=6

case ${3-} in
'' | --full) ;;
*)
    "$3" && exit 0
    echo "--- the log of up"
    cat "$folder/up.log"
    homeostat incidents
    homeostat incident 1
    exit 1
    ;;
esac

run_all() {
    local one
    for one in "${cases[@]}"; do
        while (($(jobs -pr | wc -l) >= at_once)); do
            sleep 0.1
        done
        { bash "$here" "$binary" "$skew_library" "$one" >"$folder/$1-$one" 2>&1 </dev/null; echo $? >"$folder/$1-$one.status"; } &
    done
    wait
}

told() {
    cat "$folder/$1"
    return "$(cat "$folder/$1.status")"
}

rounds=1
[[ ${3-} != --full ]] || rounds=20
for ((round = 1; round <= rounds; round++)); do
    [[ $round -lt $rounds || $rounds -eq 1 ]] || export long=60
    run_all "$round"
    for one in "${cases[@]}"; do
        check "${one//_/ }${long:+, for a minute}" told "$round-$one"
    done
done
finish
