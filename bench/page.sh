#!/usr/bin/env bash
# What the dashboard costs a browser, measured in the page:  ./run bench page [--json]
# First paint, bytes over the wire, the work of a frame with 20 and with 1,000 nodes, and how soon a fault is seen. Labs and
# browser are its own, and gone afterwards. docs/bench.md says how it is measured.
set -euo pipefail

root=${HOMEOSTAT_HOME:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..}
told=$("$root/tests/web/run.sh" "$root/build/homeostat" "$root/build" "$root/bench/page.mjs" "$@")
if [[ $told == '1..0 # SKIP'* ]]; then
    echo "bench page is left out: ${told#*SKIP }" >&2
    told=
    [[ ${1-} != --json ]] || told={}
fi
echo "$told"
