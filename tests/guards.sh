#!/bin/sh
# docs/guards.md must name every block reason of the core, in the core's order and words, and stories that are there.
#
#     guards.sh ROOT
set -eu
root=$1
doc=$root/docs/guards.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/#define BLOCK_REASON_TABLE/,/^$/s/^ *X([A-Z_]*, "\([a-z_]*\)", "\([^"]*\)").*/\1: \2/p' "$root/src/core/tables.h" |
    grep -v '^none:' > "$work/core"
# shellcheck disable=SC2016 # the backquotes are meant
sed -n 's/^| `\([a-z_]*\)` | \([^|]*\) | .* |$/\1: \2/p' "$doc" > "$work/doc"
# shellcheck disable=SC2016
grep -o '`test_[a-z_]*`' "$doc" | tr -d '`' | sort -u > "$work/stories"
lost=
while read -r story; do
    grep -q "cmocka_unit_test($story)" "$root"/tests/test_core*.c || lost="$lost $story"
done < "$work/stories"

echo "1..2"
if [ -s "$work/core" ] && diff "$work/core" "$work/doc" > "$work/diff"; then
    echo "ok 1 - every block reason stands in docs/guards.md, in the core's words"
else
    sed 's/^/# /' "$work/diff"
    echo "not ok 1 - docs/guards.md and the core's block reasons differ"
fi
if [ "$(wc -l < "$work/stories")" -ge 22 ] && [ -z "$lost" ]; then
    echo "ok 2 - $(wc -l < "$work/stories") stories of docs/guards.md are run"
else
    echo "not ok 2 - stories that docs/guards.md names are not there:$lost"
fi
