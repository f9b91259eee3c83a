#!/usr/bin/env bash
# The same scenarios in virtual time and on real processes: the same incidents, the same sequence of states, remedies and
# verdicts, and recovery within a quarter or two seconds.
#
#     both.sh BINARY [--full]
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# One after the other: two labs at once would be each other's noisy neighbour.
names=(crash control-plane-crash)
if [[ ${2-} == --full ]]; then
    names=()
    # The world model has no retry_storm.
    for file in "$root"/scenarios/live/*.yaml; do [[ $file == */retry-storm.yaml ]] || names+=("$(basename "$file" .yaml)"); done
fi
for name in "${names[@]}"; do
    check "$name tells the same story both ways" says 0 'they agree' homeostat sim "$root/scenarios/live/$name.yaml" --live
    check "$name leaves nothing behind" within 5 no_processes
done
finish
