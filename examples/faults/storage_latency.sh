#!/bin/sh
# Slow storage: each write and fsync of the service waits 250 ms. Its cure is failover_storage.
# The lease ends it after a minute if nothing heals it before.
#   examples/faults/storage_latency.sh [NODE]
set -eu
node=${1:-db-1}
url=${HOMEOSTAT_URL:-http://127.0.0.1:7070}

curl --silent --show-error --fail-with-body "$url/v1/faults" --header 'Content-Type: application/json' \
    --data "{\"kind\":\"storage_latency\",\"node\":\"$node\",\"intensity\":0.25,\"lease_s\":60}"
echo
