#!/bin/sh
# Makes C of the page: pack.sh OUT.c FOLDER FILE... where FOLDER is scratch and the first FILE is package.json.
# The libraries that package-lock.json names are fetched by npm; without npm, or when it fails, the page is
# plain.html, which says how to get the rest. Needs sh, od, sed, gzip and cksum.
set -eu

out=$1 scratch=$2
shift 2
here=$(dirname "$1")

# Name of a file in the page, and where its text lies.
vendor='preact.js preact/dist/preact.module.js
preact-hooks.js preact/hooks/dist/hooks.module.js
htm.js htm/dist/htm.module.js
uplot.js uplot/dist/uPlot.iife.min.js
uplot.css uplot/dist/uPlot.min.css'

fetch() {
    mkdir -p "$scratch"
    cp "$here/package.json" "$here/package-lock.json" "$scratch/" || return
    command -v npm >/dev/null || { echo 'npm is not installed' >"$scratch/why"; return 1; }
    (cd "$scratch" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error) >"$scratch/why" 2>&1 || return
    echo "$vendor" | while read -r name path; do
        # A browser resolves no bare names, and the source maps are not served.
        sed -e 's|from *"preact"|from"./preact.js"|g' -e '/^\/\/# sourceMappingURL=/d' -e 's|//# sourceMappingURL=.*$||' \
            "$scratch/node_modules/$path" >"$scratch/$name" || exit
    done || return
    echo 'export default uPlot;' >>"$scratch/uplot.js" # the small one is no module by itself
}

numbers() {
    od -An -v -tu1 | sed 's/  *\([0-9][0-9]*\)/\1,/g'
}

type_of() {
    case $1 in
    *.html) echo 'text/html; charset=utf-8' ;;
    *.js) echo 'text/javascript; charset=utf-8' ;;
    *.css) echo 'text/css; charset=utf-8' ;;
    *.svg) echo 'image/svg+xml' ;;
    *) echo 'application/octet-stream' ;;
    esac
}

count=0
add() { # PATH FILE
    count=$((count + 1))
    {
        echo "static const unsigned char plain_${count}[] = {"
        numbers <"$2"
        echo '0};'
        echo "static const unsigned char packed_${count}[] = {"
        gzip -9nc "$2" | numbers
        echo '0};'
    } >>"$out.new"
    sum=$(cksum <"$2" | tr ' ' '-')
    rows="$rows    {\"$1\", \"$(type_of "$2")\", \"W/\\\"$sum\\\"\", plain_$count, sizeof plain_$count - 1, packed_$count, sizeof packed_$count - 1},
"
}

rows=
{
    echo '/* Made by web/pack.sh. */'
    echo '#include "plane/page.h"'
} >"$out.new"
if fetch; then
    for file in "$@"; do
        case $file in
        *.json | */plain.html) continue ;;
        */index.html) add / "$file" ;;
        *) add "/web/${file##*/}" "$file" ;;
        esac
    done
    for name in $(echo "$vendor" | cut -d' ' -f1); do add "/web/$name" "$scratch/$name"; done
else
    echo 'web: the dashboard is not in this build; its address shows a plain page:' >&2
    cat "$scratch/why" >&2
    add / "$here/plain.html"
    add /web/plain.css "$here/plain.css"
fi
{
    echo 'const struct page_file page_files[] = {'
    printf '%s' "$rows"
    echo '};'
    echo "const size_t page_file_count = $count;"
} >>"$out.new"
mv "$out.new" "$out"
