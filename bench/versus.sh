#!/usr/bin/env bash
# What one would use instead, measured side by side on this machine:  ./run bench versus [--json]
# FastAPI + uvicorn + asyncpg + PostgreSQL under the load of `bench loop`, and Monit as it restarts a dead process and
# one that burns CPU. All of it in a folder of its own, on ports that nobody else uses, and gone afterwards.
# docs/bench.md says what may be compared with what.
set -euo pipefail

root=${HOMEOSTAT_HOME:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..}
loop=${LOOP:-$root/build/bench/loop}
json=${1-}
folder=$(mktemp -d /tmp/homeostat-versus-XXXXXX)
chmod 755 "$folder"
started=()

cleanup() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    [[ ! -s $folder/service.pid ]] || kill -KILL "$(<"$folder/service.pid")" 2>/dev/null || true
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT

figures=() # key value what
figure() { figures+=("$1	$2	$3"); }
left_out() { printf 'bench versus: %s\n' "$*" >&2; }
now_ms() { date +%s%3N; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# --- FastAPI and PostgreSQL -------------------------------------------------------------------------------------

as_postgres=() # initdb refuses root
((EUID != 0)) || as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups)

ticks_of() { # of CPU, in hundredths of a second, all processes given
    local pid sum=0 fields
    for pid; do
        read -ra fields < <(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || continue
        sum=$((sum + fields[11] + fields[12] + fields[13] + fields[14]))
    done
    echo "$sum"
}

rss_mib() { awk '/^Pss:/ { sum += $2 } END { printf "%.1f", sum / 1024 }' "${@/#//proc/}" 2>/dev/null; }

python=/usr/bin/python3
postgres=$(find /usr/lib/postgresql/*/bin -name postgres 2>/dev/null | sort -V | tail -1)
missing_fastapi() {
    [[ -x $loop && -n $postgres ]] || return 0
    ! "$python" -c 'import fastapi, uvicorn, asyncpg' 2>/dev/null
}

versus_fastapi() {
    local port=$((20000 + RANDOM % 20000)) web database before after reports rate p50 p99 pids
    [[ $EUID != 0 ]] || chown postgres "$folder"
    "${as_postgres[@]}" "${postgres%/*}/initdb" -D "$folder/db" -A trust -U lab >"$folder/initdb.log"
    "${as_postgres[@]}" "$postgres" -D "$folder/db" -k "$folder" -c listen_addresses= >"$folder/postgres.log" 2>&1 &
    database=$!
    started+=("$database")
    until "${postgres%/*}/pg_isready" -qh "$folder" -U lab; do sleep 0.1; done
    DSN="postgresql://lab@/postgres?host=$folder" taskset -c 1 "$python" -m uvicorn --app-dir "$root/bench/versus" \
        --port "$port" --no-access-log --log-level warning app:app >"$folder/uvicorn.log" 2>&1 &
    web=$!
    started+=("$web")
    until (: >/dev/tcp/127.0.0.1/"$port") 2>/dev/null; do kill -0 "$web" || { cat "$folder/uvicorn.log" >&2; return 1; }; sleep 0.1; done
    # It listens only once its pool of connections is there, so all of PostgreSQL's processes are.
    mapfile -t pids < <(pgrep -P "$database")
    pids+=("$database")
    before="$(ticks_of "$web") $(ticks_of "${pids[@]}")"
    read -r reports rate p50 p99 < <("$loop" --against "$port")
    after="$(ticks_of "$web") $(ticks_of "${pids[@]}")"
    reports=$((reports + 1000)) # those that came first, to get to know each other
    read -r -a before <<<"$before"
    read -r -a after <<<"$after"
    figure fastapi_reports_per_s_single "$rate" "/s: FastAPI, asyncpg, PostgreSQL; answered after the commit"
    figure fastapi_p50_ms "$p50" ms
    figure fastapi_p99_ms "$p99" ms
    figure fastapi_cpu_us_per_report "$(((after[0] - before[0]) * 10000 / reports))" "us, uvicorn alone"
    figure fastapi_postgres_cpu_us_per_report "$(((after[1] - before[1]) * 10000 / reports))" "us, PostgreSQL"
    figure fastapi_pss_mib "$(rss_mib "$web/smaps_rollup" "${pids[@]/%//smaps_rollup}")" "MiB, both, 64 connections"
}

# --- Monit ------------------------------------------------------------------------------------------------------

write_service() { # one that burns CPU once it is told to
    cat >"$folder/service" <<END
#!/bin/sh
[ "\$1" = run ] || { rm -f "$folder/burn"; setsid "$folder/service" run </dev/null >/dev/null 2>&1 & exit 0; }
echo \$\$ >"$folder/service.pid"
while :; do [ -e "$folder/burn" ] || sleep 0.05; done
END
    # shellcheck disable=SC2016 # its own pid
    printf '#!/bin/sh\nread -r pid <"%s/service.pid" && kill -KILL "$pid"\n' "$folder" >"$folder/stop"
    chmod 755 "$folder/service" "$folder/stop"
}

wait_for_another() { # than process $1; prints how many ms after $2
    local until=$(($2 + 30000)) pid
    while (($(now_ms) < until)); do
        pid=$(<"$folder/service.pid") 2>/dev/null || pid=
        [[ -n $pid && $pid != "$1" && -d /proc/$pid ]] && { echo $(($(now_ms) - $2)); return; }
        sleep 0.01
    done
    return 1
}

versus_monit() {
    local pid began i deaths=() burns=()
    write_service
    cat >"$folder/monitrc" <<END
set daemon 1
set pidfile $folder/monit.pid
set statefile $folder/monit.state
set idfile $folder/monit.id
set log $folder/monit.log
check process service with pidfile $folder/service.pid
  start program = "$folder/service start"
  stop program = "$folder/stop"
  if cpu > 90% then restart
END
    chmod 600 "$folder/monitrc"
    : >"$folder/service.pid"
    "$folder/service" start
    until [[ -s $folder/service.pid ]]; do sleep 0.1; done
    monit -I -c "$folder/monitrc" >/dev/null 2>&1 &
    started+=("$!")
    sleep 3
    for i in 1 2 3 4 5; do
        pid=$(<"$folder/service.pid")
        sleep "1.$((i * 2 % 10))" # anywhere within its cycle
        began=$(now_ms)
        kill -KILL "$pid"
        deaths+=("$(wait_for_another "$pid" "$began")") || { left_out "monit restarted nothing"; return; }
    done
    figure monit_death_to_restart_ms "$(printf '%s\n' "${deaths[@]}" | median)" "ms, a check each second; median of 5"
    for i in 1 2 3; do
        sleep "3.$((i * 3))"
        pid=$(<"$folder/service.pid")
        began=$(now_ms)
        : >"$folder/burn"
        burns+=("$(wait_for_another "$pid" "$began")") || { left_out "monit did not see the CPU"; return; }
    done
    figure monit_burn_to_restart_ms "$(printf '%s\n' "${burns[@]}" | median)" "ms, cpu > 90 % in one cycle; median of 3"
}

# --- both -------------------------------------------------------------------------------------------------------

if missing_fastapi; then
    left_out "FastAPI is left out:  apt-get install --no-install-recommends python3-fastapi uvicorn python3-asyncpg postgresql"
else
    versus_fastapi
fi
if command -v monit >/dev/null; then versus_monit; else left_out "Monit is left out:  apt-get install --no-install-recommends monit"; fi

if [[ $json == --json ]]; then
    printf '%s\n' "${figures[@]}" | awk -F '\t' 'NF { printf "%s\"%s\":%s", n++ ? "," : "{", $1, $2 } END { print n ? "}" : "{}" }'
else
    echo "what one would use instead, on this machine"
    echo
    printf '%s\n' "${figures[@]}" | awk -F '\t' 'NF { printf "  %-36s %10s %s\n", $1, $2, $3 }'
fi
