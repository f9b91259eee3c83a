#!/usr/bin/env bash
# Every compiler at every level decides the same: BINARY is the simulator, with the core and the world in it, as this build
# has it, optimised by COMPILER (gcc or clang). It is built once more by the other one without optimisation, or with --full by
# each at each level, and what they say of every scenario is compared.
#
#     sim_bits.sh ROOT BINARY VERSION COMPILER [--full]
set -eu
root=$1 binary=$(readlink -f "$2") version=$3 compiler=$4 other=clang
[[ $compiler != clang ]] || other=gcc
command -v "$other" >/dev/null || other=$compiler
builds=("$other -O0")
[[ -z ${5-} ]] || builds=({"$compiler","$other"}' '{-O0,-O1,-O2,-O3})
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
files=()
for file in "$root"/scenarios/*.yaml; do
    [[ $file == */fleet-of-a-thousand.yaml || $file == */a-day.yaml ]] || files+=("$file") # those take long at -O0
done
folders=(base core world policy scenario journal sim)
od -An -v -tu1 "$root/policies/default.yaml" | sed 's/[0-9][0-9]*/&,/g' >"$work/default.yaml.inc"
sh "$root/src/journal/hash.sh" "$work/build_hash.c" "$root"
built=0

# PROGRAM NAME
run() {
    "$1" "$root/policies/default.yaml" "$work/journal" "${files[@]}" >"$work/said.$built"
    echo "# $2: $(cksum <"$work/said.$built")"
    built=$((built + 1))
}

# COMPILER LEVEL
build_and_run() {
    local folder objects=() into flags=(-std=gnu17 "$2" -ffp-contract=off -fno-strict-aliasing -D_GNU_SOURCE '-DHOMEOSTAT_VERSION="'"$version"'"' -I"$root/src" -I"$work")
    for folder in "${folders[@]}"; do
        into=$work/$built/$folder # two folders may have files of one name
        mkdir -p "$into"
        (cd "$into" && printf '%s\0' "$root/src/$folder"/*.c | xargs -0 -P2 -n12 "$1" "${flags[@]}" -c)
        objects+=("$into"/*.o)
    done
    "$1" "${flags[@]}" -o "$work/bits" "$root/tests/sim_bits.c" "$work/build_hash.c" "${objects[@]}" -lyaml
    run "$work/bits" "$1 $2"
}

echo "1..2"
run "$binary" 'this build'
for one in "${builds[@]}"; do
    build_and_run "${one% *}" "${one#* }"
done
different=0
for ((i = 1; i < built; i++)); do
    diff "$work/said.0" "$work/said.$i" >"$work/diff" || different=$((different + 1))
    sed 's/^/# /' "$work/diff"
done
if ((built >= 2 && different == 0)); then
    echo "ok 1 - $built builds decide the same in $(wc -l <"$work/said.0") runs"
else
    echo "not ok 1 - $different of $built builds decide otherwise"
fi
# The third word is the digest: no two runs share one, so another seed is another course of events.
if [[ $(cut -d' ' -f1 --complement <"$work/said.0" | grep -oE ' [0-9a-f]{16} ' | sort | uniq -d | wc -l) -eq 0 ]]; then
    echo "ok 2 - another seed is another course of events"
else
    echo "not ok 2 - two runs came out the same"
fi
