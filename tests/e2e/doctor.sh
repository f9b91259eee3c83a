#!/usr/bin/env bash
# What doctor finds, on a machine that is well and on others; and that it leaves a lab at work alone.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# DATABASE: a control plane, in the background; the port it chose goes to `port`, its process to `plane`.
start_plane() {
    HOMEOSTAT_HOME=$folder "$binary" serve --port 0 --db "$1" --ready-fd 7 7>"$folder/port" 2>"$folder/serve.log" &
    plane=$!
    within 15 test -s "$folder/port"
    port=$(<"$folder/port")
}

stop_plane() {
    kill "$plane"
    wait "$plane"
}

# What was wrapped to fit the page is one line again.
doctor() {
    local said status=0
    said=$(homeostat doctor --port "$port" "$@") || status=$?
    sed ':more; N; $!b more; s/\n \{25\}\([^ ]\)/ \1/g' <<<"$said"
    return $status
}

no_line_is_longer_than() {
    local most=$1
    shift
    ! "$@" | grep -E "^.{$((most + 1))}"
}

# Asked of another port, it names the one to ask; HOMEOSTAT_URL names it as for other verbs.
finds_it_elsewhere() {
    local said
    said=$(homeostat doctor --port 1 --db "$1" | tr -s ' \n' ' ')
    echo "$said"
    grep -qF "process $plane (homeostat serve) It listens on port $port: " <<<"$said" || return
    url=http://127.0.0.1:$port says 0 'a control plane answers' homeostat doctor --db "$1"
}

# NAME STATE [ARGUMENT...]: that check has that state, by the JSON, and exactly one object is printed.
finds() {
    local name=$1 state=$2
    shift 2
    doctor --json "$@" | python3 -c '
import json, sys
answer = json.load(sys.stdin)
found = [check for check in answer["checks"] if check["name"] == sys.argv[1]]
print(*found, sep="\n")
assert [check["state"] for check in found] == [sys.argv[2]]
assert answer["ok"] == all(check["state"] != "bad" for check in answer["checks"])
assert all(set(check) == {"name", "group", "state", "found", "mend"} for check in answer["checks"])
assert all(check["mend"] for check in answer["checks"] if check["state"] == "bad")
' "$name" "$state"
}

report() {
    curl -sf -H 'Content-Type: application/json' -d '{"samples":{"cpu_utilization":0.5}}' \
        "http://127.0.0.1:$port/v1/nodes/web-1/reports" >/dev/null
}

# Twenty looks while reports come in: every report is taken, and the control plane stays well.
leaves_it_alone() {
    local look
    for look in {1..20}; do
        if ! report || ! doctor --db "$folder/a.db" >"$folder/look" || ! report; then
            echo "look $look"
            cat "$folder/look"
            return 1
        fi
    done
    curl -sf "http://127.0.0.1:$port/healthz" && ! grep -i 'fail\|lock' "$folder/serve.log"
}

# FILE COMMAND...: the file has the same bytes and the same age afterwards, and no new neighbours.
changes_nothing() {
    local file=$1 before after
    shift
    before=$(sha256sum "$file" && stat -c '%Y %s' "$file" && ls "$(dirname "$file")")
    "$@" || true
    after=$(sha256sum "$file" && stat -c '%Y %s' "$file" && ls "$(dirname "$file")")
    [[ $before == "$after" ]] || { diff <(echo "$before") <(echo "$after"); return 1; }
}

# As somebody without rights: root may do everything.
powerless() {
    if ((EUID == 0)); then
        setpriv --reuid=65534 --regid=65534 --clear-groups env HOMEOSTAT_HOME="$folder" NO_COLOR=1 "$binary" "$@"
    else
        homeostat "$@"
    fi
}

sqlite() {
    python3 -c 'import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); base.executescript(sys.argv[2]); base.close()' "$@"
}

start_plane "$folder/a.db"
check 'beside a control plane at work: all is well' says 0 'nothing is bad' doctor --db "$folder/a.db"
check 'it says who is on the port' says 0 'a control plane answers: homeostat .*, ok, epoch 1.*a\.db' doctor --db "$folder/a.db"
check 'and who has the database' says 0 "a control plane has the database: process $plane " doctor --db "$folder/a.db"
check 'and on which port, if it was looked for on another' finds_it_elsewhere "$folder/a.db"
check 'no line is longer than 100' no_line_is_longer_than 100 homeostat doctor --port "$port" --db "$folder/a.db"
check 'as JSON' finds schema ok --db "$folder/a.db"
check 'twenty looks disturb nobody' leaves_it_alone
check 'rows, size and age' says 0 'nodes 1, .*samples [1-9]' doctor --db "$folder/a.db"
kill -s STOP "$plane"
check 'a control plane that was stopped' says 1 "process $plane .*does not answer" doctor --db "$folder/a.db"
check 'and how to let it go on' says 1 "kill -CONT $plane" doctor --db "$folder/a.db"
kill -s CONT "$plane"
check 'paused: a note, not a fault' says 0 'paused' bash -c "curl -sf -X POST http://127.0.0.1:$port/v1/pause -H 'Content-Type: application/json' -d '{}'"
check 'and doctor tells it' finds control note --db "$folder/a.db"
stop_plane
check 'after its end: the port is free' says 0 "$port is free" doctor --db "$folder/a.db"
check 'and so is the database' says 0 'no control plane has the database' doctor --db "$folder/a.db"

mkdir "$folder/still"
cp "$folder/a.db" "$folder/still/a.db"
check 'nothing yet: nothing is bad' says 0 'not there yet' doctor
check 'a database that was named must be there' says 3 'No such file' doctor --db "$folder/none.db"
check 'a policy that was named, too' says 3 'none.yaml' doctor --policy "$folder/none.yaml"
printf 'version: 1\nrules:\n  - {if: cpu_utilization > 0.9, for: 3s, do: restart_servise}\n' >"$folder/wrong.yaml"
check 'a policy with an error: where, and the mend' says 1 'wrong.yaml:3:.*did you mean restart_service' \
    doctor --policy "$folder/wrong.yaml"
printf 'version: 1\nnodes: [{name: a, calls: [b]}]\n' >"$folder/lab.yaml"
check 'a lab with an error' says 1 'lab.yaml:2:' doctor --lab "$folder/lab.yaml"
check 'the bytes of a database stay as they are' changes_nothing "$folder/still/a.db" doctor --db "$folder/still/a.db"

cp "$folder/a.db" "$folder/torn.db"
python3 - "$folder/torn.db" <<'END_OF_PYTHON'
import sys
with open(sys.argv[1], "r+b") as base:
    for page in range(3, 12):
        base.seek(4096 * page + 8)
        base.write(b"\xff" * 600)
END_OF_PYTHON
check 'a damaged database' says 1 'damaged' doctor --db "$folder/torn.db"
check 'and what to do about it' says 1 '\.recover' doctor --db "$folder/torn.db"
printf 'Dear diary, this is no database at all, but it is longer than a header.%0500d' 7 >"$folder/diary.db"
check 'a file that is no database' says 1 'no SQLite database' doctor --db "$folder/diary.db"
sqlite "$folder/books.db" 'CREATE TABLE books (title TEXT);'
check 'the database of another program' says 1 'another program' doctor --db "$folder/books.db"
check 'its bytes stay as they are' changes_nothing "$folder/books.db" doctor --db "$folder/books.db"
cp "$folder/a.db" "$folder/newer.db"
sqlite "$folder/newer.db" 'PRAGMA user_version = 99;'
check 'a database of a newer homeostat' says 1 'newer homeostat .schema 99' doctor --db "$folder/newer.db"

mkdir "$folder/shut"
cp "$folder/a.db" "$folder/shut/a.db"
chmod 755 "$folder"
chmod 444 "$folder/shut/a.db"
chmod 555 "$folder/shut"
if ((EUID != 0)) || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$binary" 2>/dev/null; then
    check 'a folder that cannot be written' says 1 'shut cannot be written' \
        powerless doctor --port "$port" --db "$folder/shut/a.db"
    check 'its database is read all the same' says 1 'quick_check +every page is in order' \
        powerless doctor --port "$port" --db "$folder/shut/a.db"
fi

python3 -c '
import socket, time
taken = socket.create_server(("127.0.0.1", 0))
print(taken.getsockname()[1], flush=True)
time.sleep(600)' >"$folder/taken" &
stranger=$!
within 15 test -s "$folder/taken"
port=$(<"$folder/taken")
check 'a port that somebody else has: who' says 1 "$port is taken by process $stranger .python3." doctor
check 'and what to do' says 1 'up --port 0' doctor
kill "$stranger"

few_descriptors() {
    (ulimit -n 100 && doctor)
}
check 'too few descriptors' says 1 'bad +descriptors +up to 100' few_descriptors

# The shell that starts it ends at once, so it belongs to nobody any more.
cat >"$folder/leave.sh" <<'END_OF_SHELL'
"$1" service --name left-1 --data "$2/left" >/dev/null 2>&1 &
echo $!
END_OF_SHELL
HOMEOSTAT_HOME=$folder setsid bash "$folder/leave.sh" "$binary" "$folder" >"$folder/left-by"
left=$(<"$folder/left-by")
left_behind() {
    says 1 "leftovers +[0-9]+ without a node agent:.* $left\b" doctor
}
check 'a service that was left behind' within 10 left_behind
kill "$left"
finish
