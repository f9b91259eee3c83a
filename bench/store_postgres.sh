#!/usr/bin/env bash
# ./run bench store_postgres [--json]: bench/store beside a PostgreSQL server of its own.
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HOMEOSTAT_TEST_FSYNC=on "$root/tests/with_postgres.sh" "$root/build/bench/store" "$@"
