#!/bin/sh
# A node agent in shell: keeps a process as its service, reports its CPU each second, and restarts it when told to.
#   examples/node-agent.sh [NODE [COMMAND...]]     To make the built-in COMMAND ill:  touch /tmp/NODE.burn
set -u
node=${1:-shell-1} url=${HOMEOSTAT_URL:-http://127.0.0.1:7070} last=0 sequence=0 starts=0 before=0
boot=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ') # a node agent that starts anew is another one
[ $# -eq 0 ] || shift
# shellcheck disable=SC2016 # $0 is for the inner shell: once that file is there, it burns all the CPU it can get
[ $# -gt 0 ] || set -- sh -c 'until rm "$0" 2>/dev/null; do sleep 0.2; done; while :; do :; done' "/tmp/$node.burn"

say() { curl -sS -m 5 -X "$1" "$url/v1/$2" -H 'Content-Type: application/json' -d "$3"; }
member() { printf '%s' "$command" | sed -n "s/.*\"$1\": *\"\{0,1\}\([a-z0-9_]*\).*/\1/p"; }
stop() { kill -s KILL -- "-$service" 2>/dev/null; wait "$service" 2>/dev/null; }
start() { setsid setpriv --pdeathsig KILL "$@" & service=$! starts=$((starts + 1)) cpu_before=0; }

carry_out() { # $command, a JSON object. Ids rise for ever: one that is not above the last has been carried out
    id=$(member id) outcome=unsupported began=false old=$service
    [ "$id" -gt "$last" ] || return 0
    last=$id
    if [ "$(member remedy)" = restart_service ] && [ "$(member boot)" != "$boot" ]; then
        outcome=refused # it was meant for the one before us
    elif [ "$(member remedy)" = restart_service ]; then
        stop; start "$@"
        outcome='done' began=true
    fi
    detail="process $old -> $service" && echo "$(member remedy): $outcome, $detail"
    say POST "commands/$id/outcome" \
        "{\"node\":\"$node\",\"outcome\":\"$outcome\",\"began\":$began,\"detail\":\"$detail\"}" >/dev/null
}

trap stop EXIT; trap 'exit 0' INT TERM
start "$@"
say PUT "nodes/$node" "{\"boot\":\"$boot\",\"role\":\"shell\",\"interval_s\":1}" >/dev/null || exit 3
while sleep 1; do
    read -r up _ </proc/uptime && now=${up%.*}${up#*.} # in hundredths of a second
    read -r ran waited _ 2>/dev/null <"/proc/$service/schedstat" && alive=1 || ran=0 waited=0 alive=0 # in nanoseconds
    percent=$(((ran + waited - cpu_before) / 100000 / (now - before))) # waiting for a CPU counts as wanting one
    [ $percent -le 100 ] || percent=100
    before=$now cpu_before=$((ran + waited)) sequence=$((sequence + 1))
    cpu=$(printf '%d.%02d' $((percent / 100)) $((percent % 100)))
    samples="\"cpu_utilization\":$cpu,\"service_up\":$alive,\"service_starts\":$starts"
    answer=$(say POST "nodes/$node/reports" "{\"boot\":\"$boot\",\"sequence\":$sequence,\"samples\":{$samples}}") || continue
    IFS='
'
    for command in $(printf '%s' "$answer" | tr '{' '\n' | grep '"remedy"'); do carry_out "$@"; done
    unset IFS
done
