#!/usr/bin/env bash
# The dashboard in a real browser: run.sh BINARY BUILD STORIES [WORD...] runs STORIES.mjs beside this file, or another path.
# What drives the browser is fetched into BUILD/web-tests by `./run test`; all that is started gets a folder of its own, and
# nothing of it stays.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/../e2e/lib.sh"

build=$(readlink -f "$2")
modules=$build/web-tests
stories=$3
[[ $stories == */* ]] || stories=$root/tests/web/$stories.mjs

skip() {
    echo "1..0 # SKIP $*"
    exit 0
}

# Its name differs from system to system.
find_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        ! "$name" --version >/dev/null 2>&1 || { command -v "$name"; return; }
    done
    return 1
}

browser=$(find_browser) || skip 'no chromium, chromium-browser or google-chrome is here'
command -v node >/dev/null || skip 'node is not installed'
[[ -d $modules/node_modules/playwright-core ]] || skip "$(cat "$modules/why" 2>/dev/null || echo 'what drives the browser is not here: ./run test --web fetches it')"
grep -qs '"/web/app.js"' "$build/web/page.c" || skip 'the dashboard is not in this build: ./run build says why'

# What can be played is looked for in the home.
ln -s "$root/scenarios" "$folder/scenarios"
HOMEOSTAT_HOME=$folder NO_COLOR=1 TMPDIR=$folder BINARY=$binary BROWSER=$browser MODULES=$modules PICTURES=$build/screenshots \
    node "$stories" "${@:4}"
