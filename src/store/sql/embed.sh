#!/bin/sh
# Makes C of the numbered migrations: embed.sh OUT.c NAME 001_first.sql 002_... Needs sh, sed and basename only.
set -eu
out=$1 list=$2
shift 2
{
    echo '/* Made by embed.sh of the files in src/store/sql. */'
    echo '#include "store/migrate.h"'
    echo '#pragma GCC diagnostic ignored "-Woverlength-strings"'
    echo "const struct migration ${list}[] = {"
    number=0
    for file in "$@"; do
        number=$((number + 1))
        name=$(basename "$file" .sql)
        case $name in
        $(printf '%03d' "$number")_?*) ;;
        *) echo "embed.sh: $file: expected number $number next" >&2; exit 1 ;;
        esac
        echo "    {\"${name#*_}\","
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/?/\\?/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
        echo '    },'
    done
    echo '};'
    echo "const int ${list}_count = $number;"
} > "$out"
