#!/bin/sh
# What this build is, in two numbers: hash.sh OUT.c SOURCE_ROOT. One over all sources that decide, one over those that lay out
# the core's memory. Of the sources, not of the objects: compilers differ, decisions do not. Needs sh, cat and sha256sum only.
set -eu
LC_ALL=C
export LC_ALL
out=$1
src=$2/src
# shellcheck disable=SC2048,SC2086 # words and patterns
sum() { (cd "$src" && cat $*) | sha256sum | cut -c 1-16; }
{
    echo '/* Made by hash.sh. */'
    echo '#include "journal/journal.h"'
    echo "const uint64_t journal_build = 0x$(sum 'core/*.c core/*.h base/approx.* base/heap.* base/units.h');"
    echo "const uint64_t journal_layout = 0x$(sum core/core.h core/incident.h core/policy.h core/state.h core/tables.h \
        core/vocabulary.h core/core.c base/heap.c base/units.h);"
} > "$out"
