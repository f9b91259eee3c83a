#!/bin/sh
# A CPU spike: the service burns 95 % of a core on its own request loop. Its cure is restart_service.
# The lease ends it after a minute if nothing heals it before.
#   examples/faults/cpu_spike.sh [NODE]
set -eu
node=${1:-web-1}
url=${HOMEOSTAT_URL:-http://127.0.0.1:7070}

curl --silent --show-error --fail-with-body "$url/v1/faults" --header 'Content-Type: application/json' \
    --data "{\"kind\":\"cpu_spike\",\"node\":\"$node\",\"intensity\":0.95,\"lease_s\":60}"
echo
