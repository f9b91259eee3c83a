#!/usr/bin/env bash
# The node agent in shell, under the policy of three lines: its service burns, and is restarted.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

node=shell-$$

start_plane() {
    mkfifo "$folder/ready"
    HOMEOSTAT_HOME=$folder "$binary" serve --port 0 --db "$folder/shell.db" --policy "$root/policies/first.yaml" \
        --ready-fd 3 3>"$folder/ready" 2>"$folder/plane.log" &
    plane=$!
    read -r -t 15 port <"$folder/ready" && url=http://127.0.0.1:$port
}

node_is() {
    [[ $(homeostat nodes --json | member health) == "$1" ]]
}

burns_and_is_healed() {
    touch "/tmp/$node.burn"
    within 30 says 0 "$node +[a-z-]+ +restart_service +resolved +effective" homeostat incidents
}

ends() {
    kill "$agent" && wait "$agent"
    kill "$plane" && exits 0 wait "$plane" && within 5 no_processes
}

check 'a control plane starts' start_plane
HOMEOSTAT_HOME=$folder HOMEOSTAT_URL=$url "$root/examples/node-agent.sh" "$node" >"$folder/agent.log" 2>&1 &
agent=$!
check 'the node reports and is healthy' within 15 node_is healthy
check 'its service burns, and is restarted' burns_and_is_healed
check 'the node agent says what it did' grep -q 'restart_service: done, process' "$folder/agent.log"
check 'all of it ends' ends
rm -f "/tmp/$node.burn"
finish
