# What the end-to-end tests share: a folder of their own that everything is written to, a binary that is started with it,
# TAP lines, and the promise that nothing stays behind. Sourced with the binary's path as the first argument.
# shellcheck shell=bash disable=SC2034 # `root` is for those who source this
set -u

binary=$(readlink -f "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
count=0

# All of them read the folder from their environment, which their children inherit: so they can be found again.
homeostat() {
    HOMEOSTAT_HOME=$folder NO_COLOR=1 HOMEOSTAT_URL=${url-} "$binary" "$@"
}

# The process ids of everything that was started for this folder, with one look at all of them.
processes() {
    local environ
    while read -r environ; do
        environ=${environ#/proc/}
        echo "${environ%/environ}"
    done < <(grep -lsz "^HOMEOSTAT_HOME=$folder\$" /proc/[0-9]*/environ)
}

no_processes() {
    [[ -z $(processes) ]]
}

# Those whose command line has this in it. No process is started for each: where many labs run, that would be the larger
# part of the work.
matching() {
    local process words
    for process in $(processes); do
        words=()
        mapfile -d '' -t words 2>/dev/null <"/proc/$process/cmdline"
        [[ " ${words[*]} " != *"$1"* ]] || echo "$process"
    done
}

# Prints the process id of a node's service.
service_of() {
    matching " service --name $1 "
}

# PORT OPTION...: a control plane by itself. `plane` is its process id, `port` and `url` are where it listens.
serve_alone() {
    rm -f "$folder/ready"
    mkfifo "$folder/ready"
    HOMEOSTAT_HOME=$folder "$binary" serve --port "$1" --ready-fd 3 "${@:2}" 3>"$folder/ready" 2>>"$folder/plane.log" &
    plane=$!
    read -r -t 15 port <"$folder/ready" && url=http://127.0.0.1:$port
}

# HEALTH: of the only node there is.
its_node_is() {
    [[ $(homeostat nodes --json | member health) == "$1" ]]
}

clean_up() {
    local process
    for process in $(processes); do
        kill -s KILL "$process" 2>/dev/null
    done
    rm -rf "$folder"
}
trap clean_up EXIT

# NAME COMMAND...: one test case; what the command says is shown if it fails.
check() {
    local name=$1
    shift
    count=$((count + 1))
    if "$@" >"$folder/said" 2>&1; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        echo "# failed: $*"
        sed 's/^/# /' "$folder/said"
    fi
}

# STATUS COMMAND...: it ends with that exit status.
exits() {
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    [[ $status -eq $wanted ]] || { echo "exit status $status, not $wanted"; return 1; }
}

# STATUS TEXT COMMAND...: it ends so, and says TEXT (a regular expression) on either stream.
says() {
    local wanted=$1 text=$2 said status=0
    shift 2
    said=$("$@" 2>&1) || status=$?
    echo "$said"
    [[ $status -eq $wanted ]] || { echo "exit status $status, not $wanted"; return 1; }
    grep -qE -- "$text" <<<"$said" || { echo "does not say: $text"; return 1; }
}

# SECONDS COMMAND...: tries until it succeeds.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > until)); then
            echo "not in time: $*"
            "$@"
            return 1
        fi
        sleep 0.1
    done
}

# The first member of this name in the JSON on standard input, as the program prints it: one member per line.
member() {
    sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}

finish() {
    echo "1..$count"
}
