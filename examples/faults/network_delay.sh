#!/bin/sh
# A network delay: the link holds every reply of the node back for 200 ms. Its cure is reset_network.
# The lease ends it after a minute if nothing heals it before.
#   examples/faults/network_delay.sh [NODE]
set -eu
node=${1:-web-1}
url=${HOMEOSTAT_URL:-http://127.0.0.1:7070}

curl --silent --show-error --fail-with-body "$url/v1/faults" --header 'Content-Type: application/json' \
    --data "{\"kind\":\"network_delay\",\"node\":\"$node\",\"intensity\":0.2,\"lease_s\":60}"
echo
