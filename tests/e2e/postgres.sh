#!/usr/bin/env bash
# The program with PostgreSQL: the demo on a server that is there, and a lab with a server of its own. Under with_postgres.sh.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"
store=${HOMEOSTAT_TEST_STORE/homeostat@/homeostat:secret@}
chmod 755 "$folder" # a server that root starts runs as somebody else

fast=$root/tests/e2e/fast.yaml

sql() {
    psql -X -At "$HOMEOSTAT_TEST_STORE" -c "$1"
}

is() {
    [[ $1 == "$2" ]] || { echo "$1, not $2"; return 1; }
}

the_demo_heals_and_keeps_it_there() {
    homeostat demo --store "$store" --policy "$fast" --interval 300ms --json >"$folder/demo.json" 2>"$folder/demo.err" || { cat "$folder/demo.err"; return 1; }
    is "$(member healed <"$folder/demo.json")" true || return
    is "$(sql "SELECT node, finding, remedy, state, verdict, fault_kind FROM homeostat_demo.incidents_for_people")" \
        'web-1|cpu-high|restart_service|resolved|effective|cpu_spike' || return
    [[ ! -e $folder/lab/demo.db && $(sql 'SELECT count(*) > 20 FROM homeostat_demo.samples') == t ]]
}

# The same fault, once more with SQLite: the same steps, states, remedies and verdicts, one after the other.
both_databases_tell_the_same_story() {
    local story="SELECT step || ' ' || state || ' ' || remedy || ' ' || verdict FROM"
    homeostat demo --policy "$fast" --interval 300ms >"$folder/demo.out" 2>&1 || { cat "$folder/demo.out"; return 1; }
    python3 - "$folder/lab/demo.db" "$story timeline WHERE incident = 1 ORDER BY id" >"$folder/sqlite.story" <<'END'
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):
    print(row[0])
END
    rm -f "$folder"/lab/demo.db*
    sql "$story homeostat_demo.timeline WHERE incident = 1 ORDER BY id" >"$folder/postgres.story"
    [[ $(wc -l <"$folder/sqlite.story") -ge 5 ]] && diff "$folder/sqlite.story" "$folder/postgres.story"
}

a_second_demo_moves_the_first_aside() {
    HOMEOSTAT_STORE=$store homeostat demo --policy "$fast" --interval 300ms --fault service_crash >"$folder/demo.out" 2>&1 || { cat "$folder/demo.out"; return 1; }
    grep -q 'schema homeostat_demo' "$folder/demo.out" || return
    is "$(sql 'SELECT fault_kind FROM homeostat_demo.incidents_for_people WHERE fault IS NOT NULL LIMIT 1')" service_crash || return
    is "$(sql 'SELECT fault_kind FROM homeostat_demo_previous.incidents_for_people WHERE fault IS NOT NULL LIMIT 1')" cpu_spike || return
    local next
    next=$(sed -n 's/.* incident [0-9]* --store \([^ ]*\).*/\1/p' "$folder/demo.out") # what it advises works
    says 0 'restart_service' homeostat incident 1 --store "$next"
}

# A schema of its own for a store that begins empty.
empty_store() {
    sql "CREATE SCHEMA $1" >/dev/null && echo "$store?options=-csearch_path%3D$1"
}

lines_go_from_one_database_to_the_other() {
    homeostat store export "$folder/lines" --store "$store?options=-csearch_path%3Dhomeostat_demo" || return
    homeostat store import "$folder/lines" --store "sqlite:$folder/moved.db" && homeostat store check --db "$folder/moved.db" || return
    local back
    back=$(empty_store back) || return
    homeostat store export --db "$folder/moved.db" >"$folder/lines2" && homeostat store import "$folder/lines2" --store "$back" || return
    homeostat store export --store "$back" >"$folder/lines3" && cmp "$folder/lines" "$folder/lines2" && cmp "$folder/lines" "$folder/lines3" || return
    says 0 'sound' homeostat store check --store "$back" && says 0 'incidents +[1-9]' homeostat store stats --store "$back" || return
    says 3 'pg_dump' homeostat store backup "$folder/x" --store "$back" && says 0 'is gone from' homeostat store prune --older 48h --store "$back"
}

no_password_is_shown() {
    local address
    for address in 'postgresql://me:se%cret@127.0.0.1/x' 'postgresql://me:se/cret@127.0.0.1/x' 'postgresql://me:cret@[127.0.0.1/x'; do
        ! homeostat incidents --store "$address" 2>&1 | grep cret || return
    done
    ! grep -rl 'secret' "$folder" && says 3 'does not answer as a database should' homeostat incidents --store "${store%%/postgres}/absent" &&
        ! homeostat incidents --store "${store%%/postgres}/absent" 2>&1 | grep secret
}

nonsense_is_refused() {
    says 2 'no store is kept in mysql' homeostat incidents --store mysql://here/there &&
        says 2 '--db FILE is short for --store' homeostat serve --db a --store b &&
        says 2 '--postgres is a store' homeostat up --postgres --db a &&
        says 2 'keeps its run in a file' homeostat up --scenario x --store "$store" &&
        says 3 'there is no store in .* yet' homeostat incidents --store "$store"
}

start_lab() {
    : >"$folder/up.log"
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" up --port 0 --policy "$fast" --interval 300ms "$@" >"$folder/up.log" 2>&1 &
    up=$!
    within 40 grep -q 'control plane  http' "$folder/up.log" || { cat "$folder/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/up.log")
    within 20 all_healthy
}

all_healthy() {
    [[ $(homeostat nodes --json | grep -c '"health": "healthy"') -eq 3 ]]
}

resolved() {
    [[ $(homeostat incidents --state resolved --json | grep -c '"state": "resolved"') -eq $1 ]]
}

nothing_runs() {
    no_processes && ! pgrep -f "$folder/lab/postgres" >/dev/null
}

end_lab() {
    kill -s INT "$up" && wait "$up" && within 5 nothing_runs
}

a_server_of_its_own() {
    start_lab --postgres && homeostat inject cpu_spike web-1 && within 30 resolved 1 && end_lab || return
    grep -q 'database       postgresql://homeostat@127.0.0.1' "$folder/up.log" || return
    [[ ! -e $folder/lab/homeostat.db && $(stat -c %a "$folder/lab/postgres/password") == 600 ]] || return
    start_lab --postgres && resolved 1 && end_lab # it remembers
}

# Its server dies and stays away: it stops acting, says so, and goes on by itself.
it_goes_on_when_the_server_is_back() {
    start_lab --store "$store" && homeostat inject service_crash api-1 && within 30 resolved 1 || return
    local server
    server=$(head -n 1 "$HOMEOSTAT_TEST_PIDFILE")
    kill -s STOP "$server" $(pgrep -P "$server")
    within 40 says 0 '"database":"[^o]' curl -sS "$url/healthz" || { kill -s CONT "$server" $(pgrep -P "$server"); return 1; }
    is "$(curl -sS -o /dev/null -w '%{http_code}' -X POST -d '{"kind":"service_crash","node":"web-1"}' "$url/v1/faults")" 503
    local refused=$?
    kill -s CONT "$server" $(pgrep -P "$server")
    ((refused == 0)) && within 40 says 0 '"database":"ok"' curl -sS "$url/healthz" || return
    within 15 homeostat inject service_crash web-1 && within 40 resolved 2 && end_lab
}

# STATUS PATTERN [ARGUMENT...]: what doctor says of the database, as one line.
doctor_says() {
    local status=$1 pattern=$2 said ended=0
    shift 2
    said=$(homeostat doctor --port 1 "$@") || ended=$?
    said=$(sed -n '/^Database/,/^Files/p' <<<"$said" | tr -s ' \n' ' ')
    echo "$said"
    [[ $said =~ $pattern && $said != *secret* ]] && is "$ended" "$status"
}

syncs() {
    [[ $(sql 'SHOW fsync') == on ]]
}

doctor_looks_at_it() {
    local at
    at=$(empty_store patient) || return
    HOMEOSTAT_STORE=$at doctor_says 0 'note durability fsync off.*Set fsync = on in postgresql.conf' || return # as the tests have it
    sql 'ALTER SYSTEM SET fsync = on' >/dev/null && sql 'SELECT pg_reload_conf()' >/dev/null && within 10 syncs || return
    doctor_says 0 'PostgreSQL [0-9].*on the server.s disk.*no control plane has.*none yet; the first start makes it' --store "$at" || return
    homeostat store migrate --store "$at" >/dev/null || return
    HOMEOSTAT_STORE=$at doctor_says 0 'schema [0-9]+, the one that this.*no control plane has been ready on it yet' || return
    sql 'ALTER ROLE homeostat SET synchronous_commit = off' >/dev/null || return
    doctor_says 0 'note durability synchronous_commit is off.*set synchronous_commit = on' --store "$at"
    local noted=$?
    sql 'ALTER ROLE homeostat RESET synchronous_commit' >/dev/null
    ((noted == 0)) || return
    sql 'DELETE FROM patient.homeostat_migrations WHERE version = (SELECT max(version) FROM patient.homeostat_migrations)' >/dev/null || return
    doctor_says 0 'note schema [0-9]+, an older one The next start.*pg_dump' --store "$at" || return
    sql "INSERT INTO patient.homeostat_migrations SELECT n, 'future', 1, 1 FROM generate_series(90, 99) n" >/dev/null || return
    doctor_says 1 'bad schema.*newer homeostat.*start that newer one' --store "$at" || return
    sql 'CREATE SCHEMA kitchen; CREATE TABLE kitchen.recipes (cake text)' >/dev/null || return
    doctor_says 1 'bad schema.*another program.*create a database for homeostat' --store "$store?options=-csearch_path%3Dkitchen" || return
    doctor_says 3 'bad server.*Start that server' --store postgresql://me:secret@127.0.0.1:1/lab
}

doctor_finds_who_has_it() {
    start_lab --store "$store" || return
    doctor_says 0 'note lock a control plane has the database: homeostat.*backend [0-9]+.*epoch [1-9]' --store "$store" || return
    end_lab
}

check 'the demo heals and keeps it there' the_demo_heals_and_keeps_it_there
check 'both databases tell the same story' both_databases_tell_the_same_story
check 'a second demo moves the first aside' a_second_demo_moves_the_first_aside
check 'lines go from one database to the other' lines_go_from_one_database_to_the_other
check 'no password is shown' no_password_is_shown
check 'nonsense is refused' nonsense_is_refused
check 'a server of its own' a_server_of_its_own
check 'doctor looks at it' doctor_looks_at_it
check 'doctor finds who has it' doctor_finds_who_has_it
check 'it goes on when the server is back' it_goes_on_when_the_server_is_back
finish
