#!/usr/bin/env bash
# The node agent in shell, under the policy of three lines: its service burns, and is restarted.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

node=shell-$$

burns_and_is_healed() {
    touch "/tmp/$node.burn"
    within 30 says 0 "$node +[a-z-]+ +restart_service +resolved +effective" homeostat incidents
}

ends() {
    kill "$agent" && wait "$agent"
    kill "$plane" && exits 0 wait "$plane" && within 5 no_processes
}

check 'a control plane starts' serve_alone 0 --db "$folder/shell.db" --policy "$root/policies/first.yaml"
HOMEOSTAT_HOME=$folder HOMEOSTAT_URL=$url "$root/examples/node-agent.sh" "$node" >"$folder/agent.log" 2>&1 &
agent=$!
check 'the node reports and is healthy' within 15 its_node_is healthy
check 'its service burns, and is restarted' burns_and_is_healed
check 'the node agent says what it did' grep -q 'restart_service: done, process' "$folder/agent.log"
check 'all of it ends' ends
rm -f "/tmp/$node.burn"
finish
