#!/usr/bin/env bash
# The swarm: drawn runs keep every invariant, the result does not depend on the number of jobs, a planted mistake is
# found and told with the command that repeats it, and everything that guards do occurs.
#
#     swarm.sh BINARY MUTANTS [--full]
set -u
binary=$1 mutants=$2 full=${3:-}
seeds=100 wide=300
[[ $full != --full ]] || seeds=10000 wide=10000
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
number=0

# CONDITION-RESULT NAME
told() {
    number=$((number + 1))
    if (($1 == 0)); then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        sed 's/^/# /' "$lab/out" "$lab/err" | head -60
    fi
}

member() {
    sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" "$lab/out" | head -1
}

echo 1..7

"$binary" sim --swarm "$seeds" --jobs 2 --json >"$lab/out" 2>"$lab/err"
told $? "$seeds seeds break nothing"
digest=$(member digest)

"$binary" sim --swarm 40 --jobs 1 --json >"$lab/out" 2>"$lab/err"
alone=$(member digest)
"$binary" sim --swarm 40 --jobs 3 --json >"$lab/out" 2>"$lab/err"
[[ -n $alone && $alone == "$(member digest)" && $alone != "$digest" ]]
told $? 'one job or three: the same digest'

# Outcomes and refusals are left out: in the world every node can do every remedy, and no node agent sends nonsense.
"$binary" sim --swarm "$wide" --json >"$lab/out" 2>"$lab/err"
! sed -n '/"never"/,/\]/p' "$lab/out" |
    grep -E '"(block reason|remedy|verdict|incident edge|fault|shape|accident|mode|fate of messages and commits): '
told $? "in $wide seeds every block reason, remedy, verdict, incident edge, fault, accident and cut of a commit occurs"

"$mutants" pause_ignored --swarm 100 >"$lab/out" 2>"$lab/err"
code=$?
seed=$(sed -n 's/^seed \([0-9]*\): [0-9]* violation.*/\1/p' "$lab/err" | head -1)
((code == 4)) && grep -q "S8" "$lab/err" && grep -q "sim --swarm 1 --seeds $seed..$seed --trace" "$lab/err"
told $? 'a planted mistake is told with its seed, the invariant and the command, and exit code 4'

"$mutants" pause_ignored --swarm 1 --seeds "$seed..$seed" --trace >"$lab/out" 2>"$lab/err"
(($? == 4)) && grep -q "^seed $seed drew" "$lab/out" && grep -q 'a person has paused automation' "$lab/err"
told $? 'that command shows it once more, with every step'

"$mutants" verify_by_forgotten --swarm 100 >"$lab/out" 2>"$lab/err"
(($? == 5)) && grep -q 'L1' "$lab/out"
told $? 'what does not come about has exit code 5'

"$binary" sim --swarm 0 >"$lab/out" 2>"$lab/err"
none=$?
"$binary" sim --swarm 5 --seeds 9..3 >>"$lab/out" 2>>"$lab/err"
backwards=$?
"$binary" sim --swarm 5 --trace >>"$lab/out" 2>>"$lab/err"
((none == 2 && backwards == 2 && $? == 2))
told $? 'no seeds, seeds backwards, a trace of many: exit code 2'
