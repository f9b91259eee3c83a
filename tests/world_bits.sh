#!/bin/sh
# Every compiler at every level makes the same world, bit for bit: builds tests/world_bits.c with those that are here and
# compares what it prints.
#
#     world_bits.sh ROOT
set -eu
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "1..1"
built=0
for cc in gcc clang clang-14; do
    command -v "$cc" > /dev/null || continue
    for level in -O0 -O3; do
        "$cc" -std=gnu17 $level -ffp-contract=off -fno-strict-aliasing -D_GNU_SOURCE -I"$root/src" -o "$work/bits" \
            "$root/tests/world_bits.c" "$root"/src/world/*.c "$root/src/core/vocabulary.c" \
            "$root/src/base/approx.c" "$root/src/base/random.c" "$root/src/base/check.c"
        echo "$("$work/bits") $cc $level" | tee -a "$work/all" | sed 's/^/# /'
        built=$((built + 1))
    done
done
if [ "$(cut -d' ' -f1,2 "$work/all" | sort -u | wc -l)" -eq 1 ]; then
    echo "ok 1 - $built builds of the world print the same digests"
else
    echo "not ok 1 - the world's bits depend on who builds it"
fi
