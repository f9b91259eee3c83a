#!/usr/bin/env bash
# What a live lab has decided is decided again from its journal; a flight recorder outlives kill -9.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

journal=$folder/run.journal
flight=$folder/lab/homeostat.flight

# Starts a lab in the background; `up` is its process id, `url` its control plane.
start_lab() {
    : >"$folder/up.log"
    HOMEOSTAT_HOME=$folder NO_COLOR=1 "$binary" up --port 0 --interval 300ms "$@" >"$folder/up.log" 2>&1 &
    up=$!
    within 15 grep -q 'control plane  http' "$folder/up.log" || { cat "$folder/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/up.log")
    within 15 all_healthy
}

all_healthy() {
    [[ $(homeostat nodes --json | grep -c '"health": "healthy"') -eq 3 ]]
}

# NODE
is_healed() {
    homeostat inject service_crash "$1" &&
        within 20 says 0 "$1 +service-down +restart_service +resolved +effective" homeostat incidents
}

# As `up` ends when somebody pulls the plug: the control plane has no time for last words.
pull_the_plug() {
    kill -s KILL "$up"
    exits 137 wait "$up" 2>/dev/null && within 5 no_processes
}

end_lab() {
    kill -s INT "$up"
    exits 0 wait "$up" && within 5 no_processes
}

# Prints the sentence of each line in the timeline of incident ID, from the database, without what only the node agent
# knew of how a command ended.
timeline() {
    homeostat incident "$1" --json --db "$folder/lab/homeostat.db" | sed -n 's/^ *"text": "\(.*\)",\{0,1\}$/\1/p' | sed 's/: process .*//'
}

# Each sentence that stands in the database is decided again.
same_timeline() {
    local line
    homeostat replay "$1" --trace >"$folder/trace" || { cat "$folder/trace"; return 1; }
    timeline 1 >"$folder/timeline"
    [[ $(wc -l <"$folder/timeline") -ge 5 ]] || { cat "$folder/timeline"; return 1; }
    while IFS= read -r line; do
        grep -qF -- "$line" "$folder/trace" || { echo "not in the trace: $line"; return 1; }
    done <"$folder/timeline"
}

no_violations() {
    says 0 "checked +$2 li(fe|ves) from the start: 0 violations" homeostat replay "$1" --check
}

# Another bit in the middle of the journal.
is_damaged() {
    local size byte
    size=$(stat -c %s "$journal")
    cp "$journal" "$folder/damaged.journal"
    byte=$(od -An -tu1 -j $((size / 2)) -N 1 "$journal")
    # shellcheck disable=SC2059 # an octal escape is made
    printf "$(printf '\\%03o' $((byte ^ 1)))" | dd of="$folder/damaged.journal" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
    says 0 'bytes (are damaged and left out|were not finished)' homeostat replay "$folder/damaged.journal"
}

cut_anywhere() {
    head -c $(($(stat -c %s "$journal") - 7)) "$journal" >"$folder/cut.journal"
    says 0 'not finished when their writer ended; all before them was used' homeostat replay "$folder/cut.journal"
}

# The first 3,000 bytes hold no whole event.
cut_to_nothing() {
    head -c 3000 "$folder/sim.journal" >"$folder/short.journal"
    says 3 'nothing in it can be replayed' homeostat replay "$folder/short.journal"
}

# Lines in virtual time begin with their seconds.
runs_forward() {
    homeostat replay "$1" --trace | awk '$2 == "s" && $1 + 0 < last { print; back = 1 } $2 == "s" { last = $1 + 0 } END { exit back || NR < 5 }'
}

sed 's/for: *0s/for: 30s/' "$root/tests/e2e/fast.yaml" >"$folder/slow.yaml"

check 'a lab that is recorded' start_lab --policy "$root/tests/e2e/fast.yaml" --record "$journal"
check 'a crash is healed in it' is_healed api-1
check 'its control plane is killed' pull_the_plug
check 'the journal: same decisions' says 0 'decisions .* as recorded, after every event' homeostat replay "$journal"
check 'and the incident of the database, word for word' same_timeline "$journal"
check 'the flight recorder has the same' same_timeline "$flight"
check 'the checkers find nothing' no_violations "$journal" 1
check 'it goes on in the same file' start_lab --record "$journal"
check 'and heals' is_healed web-1
check 'and ends in order' end_lab
check 'two lives in one journal' says 0 '2 control planes begun' homeostat replay "$journal"
check 'both are safe' no_violations "$journal" 2
check 'so is the flight recorder' no_violations "$flight" 2
check 'its own policy changes nothing' says 0 'No decision differs' homeostat replay "$journal" --policy "$root/tests/e2e/fast.yaml"
check 'a slower policy decides otherwise, and it is said where' says 1 'first decision that differs.*api-1' homeostat replay "$journal" --policy "$folder/slow.yaml"
check 'as JSON' says 1 '"detector": "service-down"' homeostat replay "$journal" --policy "$folder/slow.yaml" --json
check 'a torn end is normal' cut_anywhere
check 'a flipped bit is noticed' is_damaged
check 'what is no journal is refused' says 3 'is no journal' homeostat replay "$root/README.md"
check 'nothing is recorded over what is no journal' says 3 'no journal that this version' homeostat serve --port 0 --db "$folder/lab/other.db" --record "$folder/slow.yaml"
cp "$root/scenarios/crash.yaml" "$folder/self.yaml"
check 'not over the scenario itself' says 3 'no journal that this version' homeostat sim "$folder/self.yaml" --record "$folder/self.yaml"
check 'which is as it was' cmp "$root/scenarios/crash.yaml" "$folder/self.yaml"
check 'a scenario is recorded' homeostat sim "$root/scenarios/control-plane-crash.yaml" --record "$folder/sim.journal"
check 'and safe, and at rest' says 0 '2 lives from the start, and the rest at the end: 0 violations' homeostat replay "$folder/sim.journal" --check --rest
check 'time does not run back in its trace' runs_forward "$folder/sim.journal"
check 'what is cut too short says nothing' cut_to_nothing
check 'a span is one of the trace' says 2 'from goes with --trace' homeostat replay "$folder/sim.journal" --from 20s
check 'and does not end before it begins' says 2 'until 20s is before --from 30s' homeostat replay "$folder/sim.journal" --trace --from 30s --until 20s
check 'nothing is left running' no_processes
finish
