#!/bin/sh
# Makes C of the preload library: embed.sh OUT.c IN.so. Needs sh, od and sed.
set -eu
{
    echo '/* Made by embed.sh. */'
    echo '#include "inject/preload_image.h"'
    echo 'const unsigned char preload_image[] = {'
    od -An -v -tu1 "$2" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
    echo '};'
    echo 'const size_t preload_image_size = sizeof(preload_image);'
} > "$1"
