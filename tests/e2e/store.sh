#!/usr/bin/env bash
# Looking after a database: check, stats, backup, export, import, prune, migrate; and a metric over time.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"
db=$folder/lab/demo.db
export HOMEOSTAT_URL=http://127.0.0.1:1 # nobody: only the file is asked

store() {
    homeostat store "$@"
}

# FILE SQL: runs it; prints the first column of the first row, if there is one.
sqlite3() {
    python3 - "$@" <<'END'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    for statement in sys.argv[2].split(";"):
        row = database.execute(statement).fetchone()
        print("" if row is None else row[0])
END
}

a_lab_leaves_a_sound_one() {
    homeostat demo --interval 300ms --json >"$folder/demo.json" 2>"$folder/demo.err" || { cat "$folder/demo.err"; return 1; }
    says 0 'sound; every row can be read' store check --db "$db" && says 0 '"sound": true' store check --db "$db" --json
}

it_can_be_counted() {
    says 0 'incidents +[1-9]' store stats --db "$db" && says 0 'samples from 20' store stats --db "$db" &&
        [[ $(store stats --db "$db" --json | sed -n 's/.*"samples": \([0-9]*\).*/\1/p') -gt 20 ]]
}

a_copy_is_as_good() {
    store backup "$folder/copy.db" --db "$db" && says 3 'there already' store backup "$folder/copy.db" --db "$db" || return
    diff <(homeostat incidents --db "$db") <(homeostat incidents --db "$folder/copy.db") && store check --db "$folder/copy.db"
}

lines_go_out_and_in_again() {
    store export "$folder/lines" --db "$db" && store import "$folder/lines" --db "$folder/again.db" || return
    store export --db "$folder/again.db" >"$folder/lines-again" && cmp "$folder/lines" "$folder/lines-again" || return
    [[ $(wc -l <"$folder/lines") -gt 50 ]] && store check --db "$folder/again.db"
}

bad_lines_are_named() {
    says 3 'holds something already' store import "$folder/lines" --db "$folder/again.db" || return
    { head -n 3 "$folder/lines"; echo '{"table": "cakes"}'; } >"$folder/bad"
    says 3 'line 4: there is no table cakes' store import "$folder/bad" --db "$folder/bad1.db" || return
    sed 's/"state":"resolved"/"state":"fine"/' "$folder/lines" >"$folder/bad"
    says 3 'line [0-9]+: incidents.state holds something' store import "$folder/bad" --db "$folder/bad2.db" || return
    echo '{"table": "nodes"' >"$folder/bad"
    says 3 'line 1: no JSON' store import "$folder/bad" --db "$folder/bad3.db"
}

old_things_go_and_no_others() {
    local before
    before=$(store stats --db "$folder/copy.db" --json)
    says 2 'keeps the last 24 h' store prune --older 1h --db "$folder/copy.db" && store prune --older 48h --db "$folder/copy.db" || return
    [[ $(store stats --db "$folder/copy.db" --json | grep -v bytes) == "$(grep -v bytes <<<"$before")" ]] || return
    sqlite3 "$folder/copy.db" 'UPDATE incidents SET closed_at = closed_at - 200000000000000; UPDATE samples SET at = at - 200000000000000'
    store prune --older 48h --db "$folder/copy.db" || return
    [[ $(sqlite3 "$folder/copy.db" 'SELECT (SELECT count(*) FROM incidents) + (SELECT count(*) FROM samples) + (SELECT count(*) FROM timeline WHERE incident = 1)') -eq 0 ]] || return
    [[ $(sqlite3 "$folder/copy.db" 'SELECT count(*) FROM nodes') -eq 3 ]] && store check --db "$folder/copy.db"
}

what_is_not_sound_is_found() {
    sqlite3 "$folder/again.db" "UPDATE incidents SET state = 'fine'" && says 1 'incidents.state' store check --db "$folder/again.db" || return
    sqlite3 "$folder/again.db" "UPDATE incidents SET state = 'resolved'; DELETE FROM nodes WHERE name = 'web-1'" || return
    says 1 'on node number [0-9]+, which is not there' store check --db "$folder/again.db" || return
    head -c 20000 /dev/urandom >"$folder/noise.db"
    says 3 'no SQLite database' store check --db "$folder/noise.db" && says 3 'there is no database' store check --db "$folder/none.db"
}

an_old_schema_is_brought_up_to_date() {
    says 0 'has the schema of this homeostat' store migrate --db "$folder/new.db" && store check --db "$folder/new.db" || return
    sqlite3 "$folder/new.db" 'PRAGMA user_version = 99' && says 3 'newer homeostat' store migrate --db "$folder/new.db"
}

a_metric_is_shown() {
    says 0 'samples, .* a place' homeostat metrics web-1 cpu_utilization --db "$db" && says 0 '█' homeostat metrics web-1 cpu_utilization --db "$db" || return
    homeostat metrics web-1 cpu_utilization --csv --db "$db" >"$folder/every" && homeostat metrics web-1 cpu_utilization --csv --step 5s --db "$db" >"$folder/each5" || return
    [[ $(head -n 1 "$folder/every") == at,mean,least,most,last,count && $(wc -l <"$folder/every") -gt 10 ]] || return
    # No sample is lost on the way to a coarser step.
    [[ $(($(wc -l <"$folder/every") - 1)) -eq $(awk -F, 'NR > 1 { sum += $6 } END { print sum }' "$folder/each5") ]] || return
    awk -F, 'NR > 1 && !($3 <= $2 && $2 <= $4 && $3 <= $5 && $5 <= $4) { exit 1 }' "$folder/each5"
}

nonsense_is_told() {
    says 2 'did you mean cpu_utilization' homeostat metrics web-1 cpu_utilisation --db "$db" &&
        says 1 'there is no node web-9' homeostat metrics web-9 cpu_utilization --db "$db" &&
        says 2 'must lie before' homeostat metrics web-1 cpu_utilization --from 1m --to 5m --db "$db" &&
        says 2 'did you mean check' store chek --db "$db" && says 2 'takes one file' store backup --db "$db"
}

check 'a lab leaves a sound one' a_lab_leaves_a_sound_one
check 'it can be counted' it_can_be_counted
check 'a copy is as good' a_copy_is_as_good
check 'lines go out and in again' lines_go_out_and_in_again
check 'bad lines are named' bad_lines_are_named
check 'old things go and no others' old_things_go_and_no_others
check 'what is not sound is found' what_is_not_sound_is_found
check 'an old schema is brought up to date' an_old_schema_is_brought_up_to_date
check 'a metric is shown' a_metric_is_shown
check 'nonsense is told' nonsense_is_told
finish
