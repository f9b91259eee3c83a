#!/usr/bin/env bash
# The suites that come with homeostat, as people run them.
#
#     oats.sh BINARY ROOT
set -u
binary=$(realpath "$1") root=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
export HOMEOSTAT_HOME=$folder
cd "$root" || exit 1
echo 1..8
number=0

# told NAME STATUS: one line, with what was said if it was not as it should be.
told() {
    number=$((number + 1))
    if (($2 == 0)); then
        echo "ok $number - $1"
    else
        sed 's/^/# /' "$folder/said"
        echo "not ok $number - $1"
    fi
}

# with EXPECTED_STATUS ARGUMENTS...: runs the program, and keeps what it says in $folder/said.
with() {
    local wanted=$1
    shift
    "$binary" "$@" >"$folder/said" 2>&1
    local got=$?
    ((got == wanted)) || echo "exit status $got, not $wanted" >>"$folder/said"
    ((got == wanted))
}

with 0 oats run oats/first.yaml && grep -q '^  27 of 27 pairs, each in one row$' "$folder/said" &&
    grep -q '^  9 of 9 rows as expected' "$folder/said" && [[ $(grep -c ': effective  *0  ok$' "$folder/said") == 9 ]]
told "nine rows, 27 of 27 pairs, all healed" $?

cp "$folder/said" "$folder/first"
cp -r "$folder/lab/oats/first" "$folder/rows"
with 0 oats run oats/first.yaml && cmp "$folder/said" "$folder/first" && diff -r "$folder/lab/oats/first" "$folder/rows"
told "twice the same bytes, in the table and in the rows' files" $?

with 0 oats run oats/first.yaml --json
status=$?
cp "$folder/said" "$folder/first.json"
same=0
for file in "$folder"/lab/oats/first/*.yaml; do
    with 0 sim "$file" --json || status=1
    alone=$(sed -n 's/.*"digest": *"\([^"]*\)".*/\1/p; s/.*"recover_p50_s": *\([0-9.]*\).*/\1/p' "$folder/said" | sort)
    [[ -n $alone ]] || status=1
    while read -r figure; do
        grep -qF "$figure" "$folder/first.json" && same=$((same + 1))
    done <<<"$alone"
done
((status == 0 && same == 18)) || echo "$same of 18 figures are the same" >>"$folder/said"
((status == 0 && same == 18))
told "each row's file run alone gives the same digest and the same time" $?

with 0 oats run oats/first.yaml --seed 2 && ! cmp -s "$folder/said" "$folder/first"
told "another seed gives another course of events, and all is healed again" $?

with 1 oats run oats/first.yaml --policy policies/first.yaml && grep -q '^  3 of 9 rows as expected' "$folder/said" &&
    grep -q 'row 4: nothing in the policy leads to reset_network' "$folder/said"
told "a policy that only restarts fails the six rows that a restart does not cure" $?

# The rows name the policy by its way from their folder.
with 0 oats run oats/first.yaml --policy policies/default.yaml && with 0 sim "$folder/lab/oats/first/06.yaml" &&
    grep -q '^policy: \.\./.*policies/default.yaml$' "$folder/lab/oats/first/06.yaml"
told "a row's file finds its policy, wherever it is run" $?

with 1 oats run oats/compositions.yaml && grep -q '^  54 of 54 pairs, each in one row$' "$folder/said" &&
    [[ $(grep -c '  spike .*  not ok$' "$folder/said") == 3 && $(grep -c '  not ok$' "$folder/said") == 3 ]]
told "four factors in nine rows: short spikes are what the default policy does not see" $?

with 0 oats show oats/first.yaml && grep -q '^  fault x node: 9 of 9$' "$folder/said" && with 0 oats check oats/first.yaml &&
    with 2 oats check policies/first.yaml && grep -q 'policies/first.yaml:[0-9]*:[0-9]*: ' "$folder/said" && with 2 oats rnu x
told "show proves the pairs without running, check tells mistakes with their place" $?
