#!/usr/bin/env bash
# Programs that nobody here wrote, Redis and nginx, each under nine real faults at once: all are found and healed by the remedy
# that cures them, with nothing else done, what it did is seen, and so is that it is over.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# NODE KIND REMEDY [INTENSITY]: what is done to each node, and what is to cure it. Redis tries a failed write again before its
# next client comes, so half of the writes failing would hurt nobody.
faults='redis-spike   cpu_spike       restart_service
        redis-leak    memory_leak     rollback_release
        redis-slow    storage_latency failover_storage
        redis-failing io_error        failover_storage 100%
        redis-full    disk_full       clean_disk
        redis-late    network_delay   reset_network
        redis-hung    service_hang    restart_service
        redis-crash   service_crash   restart_service
        redis-loop    crash_loop      rollback_release
        nginx-spike   cpu_spike       restart_service
        nginx-leak    memory_leak     rollback_release
        nginx-slow    storage_latency failover_storage
        nginx-full    disk_full       clean_disk
        nginx-late    network_delay   reset_network
        nginx-lossy   network_loss    reset_network    40%
        nginx-hung    service_hang    restart_service
        nginx-crash   service_crash   restart_service
        nginx-loop    crash_loop      rollback_release'
harmless='nginx-logless'

# Redis and nginx write over their environment to show what they do; the preload library is mapped from our folder all the same.
processes() {
    local file
    for file in /proc/[0-9]*; do
        if grep -qsz "^HOMEOSTAT_HOME=$folder\$" "$file/environ" || grep -qsF "$folder/" "$file/maps"; then basename "$file"; fi
    done
}

is_installed() {
    PATH=$PATH:/usr/sbin command -v "$1" || { echo "$1 is not there: apt-get install $2"; return 1; }
}

# One node for each fault, with the programs as the lab files start them.
write_lab() {
    local node program
    for node in $(awk '{ print $1 }' <<<"$faults") $harmless; do
        program=$(sed -n '/^    exec:/,/^    probe:/p' "$root/labs/${node%%-*}.yaml")
        [[ -n $program ]] || return
        printf '  - name: %s\n%s\n    interval: 500ms\n' "$node" "$program"
    done >"$folder/nodes.yaml"
    { printf 'version: 1\nnodes:\n' && cat "$folder/nodes.yaml"; } >"$folder/lab.yaml"
}

# The default policy, with guards that let the whole fleet be ill at once.
write_policy() {
    sed -e 's/max_disrupted: 20%/max_disrupted: 100%/' -e 's/breaker: {unhealthy: 55%, at_least: 3}/breaker: {unhealthy: 100%, at_least: 64}/' \
        -e 's/fleet: {per: 1m, max: 10}/fleet: {per: 1m, max: 1000}/' "$root/policies/default.yaml" >"$folder/policy.yaml"
    [[ $(diff "$root/policies/default.yaml" "$folder/policy.yaml" | grep -c '^>') -eq 3 ]] || { echo 'the guards have other words now'; return 1; }
    homeostat policy check "$folder/policy.yaml"
}

start_lab() {
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" up --port 0 --lab "$folder/lab.yaml" --policy "$folder/policy.yaml" --db "$folder/lab.db" >"$folder/up.log" 2>&1 &
    up=$!
    within 20 grep -q 'control plane  http' "$folder/up.log" || { cat "$folder/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/up.log")
}

# NAME...: the objects of a list as the program prints it, one line each with these members.
members() {
    awk -v names="$*" 'BEGIN { count = split(names, name, " ") }
        /^    \{/ { delete value }
        /^ +"[a-z_]+": / { key = $1; gsub(/[":]/, "", key); if (!(key in value)) { sub(/^ *"[a-z_]+": /, ""); gsub(/[",]/, ""); value[key] = $0 } }
        /^    \}/ { line = ""; for (i = 1; i <= count; i++) line = line value[name[i]] " "; print line }'
}

# NODE: where its users come to, the process that answers, and how often it was started.
node_is() {
    homeostat nodes --json | members node address pid service_starts | grep "^$1 "
}

all_healthy() {
    [[ $(homeostat nodes --json | members health request_latency | grep -cE '^healthy [0-9]') -eq $(grep -c name: "$folder/lab.yaml") ]]
}

# NODE TEXT: what Redis answers to it, on the users' port.
ask_redis() {
    local address
    read -r _ address _ < <(node_is "$1")
    # shellcheck disable=SC2016 # for the inner shell, which has a limit
    timeout 2 bash -c 'exec 3<>"/dev/tcp/${0/://}" && printf "%s\r\nQUIT\r\n" "$1" >&3 && cat <&3' "$address" "$2" | tr -d '\r'
}

ask_nginx() {
    local address
    read -r _ address _ < <(node_is "$1")
    curl -sS --max-time 2 "http://$address/"
}

answer_as_users_ask() {
    local node
    for node in redis-slow redis-failing; do
        says 0 '^.OK' ask_redis "$node" "SET kept by-$node" || return
    done
    says 0 'this is nginx-slow' ask_nginx nginx-slow && node_is redis-late >"$folder/late" && node_is nginx-late >>"$folder/late" && node_is nginx-full >>"$folder/late"
}

inject_all() {
    local node kind remedy intensity
    while read -r node kind remedy intensity; do
        homeostat inject "$kind" "$node" ${intensity:+--intensity "$intensity"} --lease 60s || return
    done <<<"$faults"
    homeostat inject io_error "$harmless" --intensity 100% --lease 60s
}

# NODE KIND REMEDY: found, cured by that remedy and by no other, and seen to begin and to end.
is_healed() {
    local incidents
    homeostat faults --all --json | members node kind state reason effect removal | grep "^$1 "
    homeostat faults --all --json | members node kind state reason effect removal | grep -q "^$1 $2 ended cured seen seen " || return
    incidents=$(homeostat incidents --json | members node finding remedy state verdict | grep "^$1 ")
    echo "$incidents"
    grep -q "$3 resolved effective " <<<"$incidents" && ! grep -v ' resolved ' <<<"$incidents" && ! grep -vE " $3 resolved effective | null $" <<<"$incidents"
}

# Its users lose nothing but their lines in the log: seen, and left alone.
is_left_alone() {
    homeostat faults --json | members node kind state effect | grep "^$harmless io_error active seen " || return
    ! homeostat incidents --json | members node finding remedy | grep "^$harmless "
}

keeps_its_data() {
    local node
    for node in redis-slow redis-failing; do
        says 0 "^by-$node" ask_redis "$node" 'GET kept' || return
        [[ -s $folder/lab-nodes/$node/standby/appendonlydir/appendonly.aof.manifest ]] || return
    done
    says 0 'this is nginx-slow' ask_nginx nginx-slow
}

# The cures of these never touch the program.
is_the_same_process() {
    { node_is redis-late && node_is nginx-late && node_is nginx-full; } | diff "$folder/late" -
}

# nginx has written over the environment of its worker, which outlives its master. The warden is the younger one of that name.
a_killed_agent_leaves_nothing() {
    local agent of_node
    agent=$(pgrep -of -- "agent nginx-late .*$folder/lab-nodes") || { echo 'no node agent'; return 1; }
    of_node=$(grep -lsF "$folder/lab-nodes/nginx-late/" /proc/[0-9]*/maps | cut -d/ -f3)
    (($(wc -w <<<"$of_node") >= 2)) || { echo "its processes: $of_node"; return 1; }
    kill -s KILL "$agent"
    within 5 all_are_gone "$of_node"
}

# PROCESSES
all_are_gone() {
    local process
    for process in $1; do
        ! grep -s ^State: "/proc/$process/status" | grep -v 'Z (' || { tr '\0' ' ' <"/proc/$process/cmdline"; return 1; }
    done
}

ends() {
    kill -s INT "$up"
    exits 0 wait "$up" && within 5 no_processes && return
    processes
    cat "$folder/up.log"
    return 1
}

check 'redis-server is installed' is_installed redis-server redis-server
check 'nginx is installed' is_installed nginx nginx-light
check 'a lab of one node for each fault' write_lab
check 'a policy that lets all be healed at once' write_policy
check 'it starts' start_lab
check 'all are healthy' within 20 all_healthy
check 'they answer as their users ask' answer_as_users_ask
check 'all faults are injected' inject_all
deadline=$((SECONDS + 45))
while read -r node kind remedy _; do
    check "$kind on ${node%%-*} is healed by $remedy" within $((deadline > SECONDS ? deadline - SECONDS : 0)) is_healed "$node" "$kind" "$remedy"
done <<<"$faults"
check 'io_error on nginx is seen, harms nobody, and is left alone' is_left_alone
check 'what users wrote is still there after the failover' keeps_its_data
check 'a sick link or a full disk ended no process' is_the_same_process
check 'a killed node agent leaves no process of nginx' a_killed_agent_leaves_nothing
check 'Ctrl-C ends it, and nothing stays' ends
finish
