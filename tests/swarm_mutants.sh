#!/usr/bin/env bash
# Every way to break the core is killed by the swarm within a thousand seeds, and docs/mutants.md says by which.
#
#     swarm_mutants.sh MUTANTS ROOT            compares
#     swarm_mutants.sh MUTANTS ROOT --write    writes docs/mutants.md anew
set -u
mutants=$1 root=$2 page=$2/docs/mutants.md
table=$("$mutants" --table 1000)
code=$?
written() {
    sed '/^| mutant/,$d' "$page"
    echo "$table"
}
if [[ ${3:-} == --write ]]; then
    new=$(written) && echo "$new" >"$page"
    exit $code
fi
echo 1..2
if ((code == 0)); then
    echo 'ok 1 - every mutant is killed'
else
    grep 'it lives' <<<"$table" | sed 's/^/# /'
    echo 'not ok 1 - every mutant is killed'
fi
if [[ $(written) == "$(cat "$page")" ]]; then
    echo 'ok 2 - docs/mutants.md says by which seed'
else
    diff <(written) "$page" | sed 's/^/# /'
    echo "# write it anew: $0 $mutants $root --write"
    echo 'not ok 2 - docs/mutants.md says by which seed'
fi
