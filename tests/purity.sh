#!/bin/sh
# The decision core and the world are pure: what they do not define themselves must be on these short lists. No clock, no
# file, no socket, no entropy, no allocation, no libm. check_failed is the one way out: it says where, and aborts.
#
#     purity.sh libcore.a libbase.a libworld.a
set -eu
core=$1
base=$2
world=$3
allowed='memcpy memmove memset memcmp memchr strcmp strlen strncmp
check_failed heap_size heap_init heap_set heap_at heap_top_at heap_top heap_is_sound
text_over text_add text_addf text_copy text_duration text_instant'
of_the_world='memcpy memmove memset strcmp check_failed approx_log2 approx_sine random_pareto fault_infos fault_gray fault_level fault_shape_fits'
sanitizer='^(__asan|__ubsan|__sanitizer|__sancov|__odr_asan|__start|__stop)'
compiler='^(__popcountdi2|bcmp|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__memcpy_chk|__memset_chk)$'

# The names that archive $1 needs and does not define.
missing() {
    nm -u "$1" | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u > "$work/wanted"
    nm --defined-only "$1" | awk 'NF == 3 {print $3}' | sort -u > "$work/defined"
    comm -23 "$work/wanted" "$work/defined" | grep -Ev "$sanitizer|$compiler" || true
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Says "ok NUMBER - TITLE" if the list of names on stdin is empty.
expect_none() {
    names=$(tr '\n' ' ')
    if [ -z "$names" ]; then echo "ok $1 - $2"; else echo "not ok $1 - $2; but: $names"; fi
}

echo "1..3"
echo "$allowed" | tr ' ' '\n' | sort -u > "$work/allowed"
missing "$core" | sort -u | comm -23 - "$work/allowed" |
    expect_none 1 "the core needs nothing but what is allowed here"
missing "$base" | { grep -E '^(malloc|calloc|realloc|free|time|clock|clock_gettime|gettimeofday|open|socket|getrandom|rand)$' || true; } |
    expect_none 2 "its base neither allocates nor asks for the time"
echo "$of_the_world" | tr ' ' '\n' | sort -u > "$work/allowed"
missing "$world" | sort -u | comm -23 - "$work/allowed" |
    expect_none 3 "the world needs nothing but what is allowed here"
