#!/bin/sh
# The decision core is pure: what it does not define itself must be on this short list. No clock, no file, no socket,
# no entropy, no allocation. check_failed is the one way out: it says where, and aborts.
#
#     purity.sh libcore.a libbase.a
set -eu
core=$1
base=$2
allowed='memcpy memmove memset memcmp memchr strcmp strlen strncmp
check_failed heap_size heap_init heap_set heap_at heap_top_at heap_top
text_over text_add text_addf text_copy text_duration text_instant'
sanitizer='^(__asan|__ubsan|__sanitizer|__odr_asan|__start|__stop)'
compiler='^(__popcountdi2|bcmp|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__memcpy_chk|__memset_chk)$'

# The names that archive $1 needs and does not define.
missing() {
    nm -u "$1" | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u > "$work/wanted"
    nm --defined-only "$1" | awk 'NF == 3 {print $3}' | sort -u > "$work/defined"
    comm -23 "$work/wanted" "$work/defined" | grep -Ev "$sanitizer|$compiler" || true
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "1..2"
printf '%s\n' $allowed | sort -u > "$work/allowed"
missing "$core" | sort -u > "$work/needs"
impure=$(comm -23 "$work/needs" "$work/allowed")
if [ -z "$impure" ]; then
    echo "ok 1 - the core needs nothing but $(wc -l < "$work/needs") known names"
else
    echo "not ok 1 - the core needs what it must not:" $impure
fi
# Text is made by snprintf in the C locale; nothing of the heap or of the text reads a clock or allocates.
impure=$(missing "$base" | grep -E '^(malloc|calloc|realloc|free|time|clock|gettimeofday|open|read|write|rand|getrandom)' || true)
if [ -z "$impure" ]; then
    echo "ok 2 - its base neither allocates nor asks for the time"
else
    echo "not ok 2 - base needs what it must not:" $impure
fi
