#!/bin/sh
# Makes C of one text file: embed.sh OUT.c IN. As numbers, since a literal may only be so long. Needs sh, od and sed.
set -eu
{
    echo '/* Made by embed.sh. */'
    echo '#include "plane/openapi.h"'
    echo 'const char openapi_text[] = {'
    od -An -v -tu1 "$2" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
    echo '0};'
    echo 'const size_t openapi_length = sizeof(openapi_text) - 1;'
} > "$1"
