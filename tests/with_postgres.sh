#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own: HOMEOSTAT_TEST_STORE is its address. The server listens on loopback, on a
# port that was free; it and its folder are gone afterwards. Without PostgreSQL: a skipped test.
#
#     with_postgres.sh COMMAND...
set -u
binaries=$(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -V | tail -n 1)
PATH=$PATH${binaries:+:$binaries}
if ! command -v initdb >/dev/null || ! command -v postgres >/dev/null; then
    echo '1..0 # SKIP there is no PostgreSQL server here'
    exit 0
fi
folder=$(mktemp -d /tmp/homeostat-postgres-XXXXXX)
# PostgreSQL refuses to run as root.
as_server=()
if [[ $(id -u) -eq 0 ]]; then
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    chown "$owner" "$folder"
    as_server=(setpriv "--reuid=$owner" --clear-groups --)
fi
server=
# shellcheck disable=SC2317 # the trap calls it
end() {
    : >"$folder/over"
    while [[ -n $server ]] && kill -0 "$server" 2>/dev/null; do # it may be on its way back
        kill -s INT "$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
        sleep 0.05
    done
    rm -rf "$folder"
}
trap end EXIT
here=$PWD
cd "$folder" || exit 3 # the server's user may not be able to stand where we do
"${as_server[@]}" initdb -D "$folder/data" -U homeostat -A trust -E UTF8 --locale=C --no-sync >"$folder/initdb.log" 2>&1 ||
    { sed 's/^/# /' "$folder/initdb.log"; exit 3; }
# Processes are killed here, no machine is: without fsync, a server that died is back in a moment on a busy disk, too.
# What measures asks for `on`.
echo "fsync = ${HOMEOSTAT_TEST_FSYNC:-off}" >>"$folder/data/postgresql.conf"
serve() { # until `over` is there: a server that ends is started again, one that cannot start yet is tried again
    local failed=0
    until [[ -e $folder/over ]]; do
        "${as_server[@]}" postgres -D "$folder/data" -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c shared_buffers=32MB -c max_connections=50 -c logging_collector=off -c restart_after_crash=on && continue
        # The one before, killed, may not have let go of memory and port: until it has.
        ((++failed < 100)) || return
        sleep 0.05
    done
}
# A port that was free a moment ago; if somebody took it meanwhile, serve() tries again and the wait below says so.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
serve "$port" >"$folder/server.log" 2>&1 &
server=$!
ready=
for ((waited = 0; waited < 600; waited++)); do
    pg_isready -q -U homeostat -d postgres -h 127.0.0.1 -p "$port" && ready=yes && break
    sleep 0.05
done
[[ -n $ready ]] || { sed 's/^/# /' "$folder/server.log"; exit 3; }
export HOMEOSTAT_TEST_STORE=postgresql://homeostat@127.0.0.1:$port/postgres HOMEOSTAT_TEST_PIDFILE=$folder/data/postmaster.pid
cd "$here" || exit 3
"$@"
code=$?
((code == 0)) || sed 's/^/# server: /' "$folder/server.log" | tail -n 20
exit "$code"
