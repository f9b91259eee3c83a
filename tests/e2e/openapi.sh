#!/usr/bin/env bash
# docs/openapi.json, held against what a control plane really answers: members, statuses, methods.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    echo '1..0 # SKIP no python3'
    exit 0
fi

# FILE ARGUMENT...: a control plane in the background; its port goes to the file.
start_plane() {
    local port=$1
    shift
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" serve --port 0 --ready-fd 7 --scenarios "$root/scenarios" "$@" 7>"$port" 2>>"$folder/serve.log" &
    disown
    within 15 test -s "$port"
}

start_both() {
    printf 'operator %s\nnode %s web-1\n' 0123456789abcdef-operator 0123456789abcdef-web-1 >"$folder/tokens"
    chmod 600 "$folder/tokens"
    start_plane "$folder/port" --db "$folder/open.db" --policy "$root/tests/e2e/fast.yaml" &&
        start_plane "$folder/port-closed" --db "$folder/closed.db" --token-file "$folder/tokens"
}

holds() {
    python3 "$root/tests/e2e/openapi.py" "$root/docs/openapi.json" "http://127.0.0.1:$(<"$folder/port")" \
        "http://127.0.0.1:$(<"$folder/port-closed")" "$1"
}

check 'two control planes start, one that asks for tokens' start_both
check 'it serves the document that lies in docs/' holds document
check 'every path takes the methods that are documented, and no others' holds methods
check 'what is answered has the documented members and statuses' holds answers
check 'what is refused has the documented statuses' holds refusals
check 'without a token, and with one for something else' holds tokens
finish
