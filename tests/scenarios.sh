#!/usr/bin/env bash
# Every scenario reaches what it promises, breaks no invariant, and comes out the same twice.
#
#     scenarios.sh BINARY ROOT [NAME...]      these; without a name all but a-day, which takes a minute
set -u
binary=$1 root=$2
shift 2
files=()
for file in "$root"/scenarios/*.yaml "$root"/scenarios/live/*.yaml; do
    name=$(basename "$file" .yaml)
    if [[ " $* " == *" $name "* || ($# -eq 0 && $name != a-day) ]]; then files+=("$file"); fi
done
echo "1..${#files[@]}"
number=0
for file in "${files[@]}"; do
    number=$((number + 1))
    name=$(basename "$file" .yaml)
    first=$("$binary" sim "$file" --json 2>&1) code=$?
    second=$("$binary" sim "$file" --json 2>&1 | sed -n 's/.*"digest": *"\([^"]*\)".*/\1/p')
    digest=$(sed -n 's/.*"digest": *"\([^"]*\)".*/\1/p' <<<"$first")
    if ((code == 2)) && [[ $first == *"is for the live lab alone"* ]]; then
        echo "ok $number - $name # SKIP it is for the live lab alone"
    elif ((code == 0)) && [[ -n $digest && $digest == "$second" ]]; then
        echo "ok $number - $name"
    else
        echo "# exit status $code, digests $digest and $second; $binary sim $file says:"
        while read -r line; do echo "# $line"; done <<<"$first"
        echo "not ok $number - $name"
    fi
done
