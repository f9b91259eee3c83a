#!/bin/sh
# The shipped policies do what policies/tests/ says of them, and `policy test` says so with its exit code.
set -u
homeostat=$1 root=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
number=0

# WHAT COMMAND...: one test case; what the command printed is shown if it fails.
check() {
    what=$1
    shift
    number=$((number + 1))
    if said=$("$@" 2>&1); then echo "ok $number - $what"; else
        echo "not ok $number - $what"
        echo "$said" | sed 's/^/# /'
    fi
}

# CODE PATTERN COMMAND...: it exits so, and says that.
says() {
    code=$1 pattern=$2
    shift 2
    "$@" >"$folder/said" 2>&1
    got=$?
    cat "$folder/said"
    [ $got -eq "$code" ] && grep -q -e "$pattern" "$folder/said"
}

for policy in first default naive; do
    check "policies/$policy.yaml does what its test says" "$homeostat" policy test "$root/policies/tests/$policy.yaml"
done

# The example of the reference, beside a copy of the policy that it names.
mkdir "$folder/tests"
cp "$root/policies/first.yaml" "$folder/first.yaml"
awk '/^## Policy tests/ { here = 1 } here && inside && /^```/ { exit } inside { print } here && /^```yaml/ { inside = 1 }' \
    "$root/docs/policy.md" >"$folder/tests/spike.yaml"
check 'the example of docs/policy.md does what it says' says 0 '1 case as expected' "$homeostat" policy test "$folder/tests/spike.yaml"

cat >"$folder/wrong.yaml" <<END
version: 1
policy: {version: 1, rules: [{if: service_up < 1, for: 0s, do: restart_service}]}
cases:
  - name: a dead service is left alone
    nodes: [web-1]
    series: {web-1: {service_up: 1x3 0x3}}
    commands: []
END
check 'what is not as expected: exit 1, the place' says 1 'wrong.yaml:4:5: at 3 s' "$homeostat" policy test "$folder/wrong.yaml"
check 'and what was seen instead' says 1 'seen: *restart_service to web-1 at 3 s' "$homeostat" policy test "$folder/wrong.yaml"
check 'and the trace that people read' says 1 '3.0 s  DETECT    web-1     service is down' "$homeostat" policy test "$folder/wrong.yaml"
check 'the same as JSON' says 1 '"expected": "no command at all"' "$homeostat" policy test --json "$folder/wrong.yaml"
sed 's/commands/comands/' "$folder/wrong.yaml" >"$folder/typo.yaml"
check 'what does not read: exit 2, the mend' says 2 'typo.yaml:7:5: unknown key "comands"; did you mean commands' \
    "$homeostat" policy test "$folder/typo.yaml" "$root/policies/tests/first.yaml"
check 'no such file: exit 3' says 3 'No such file' "$homeostat" policy test "$folder/nothing.yaml"
check 'no file at all: exit 2' says 2 'wants files' "$homeostat" policy test
check '-v shows the trace of what went well' says 0 'RESOLVED  web-1     effective' \
    "$homeostat" policy test -v "$root/policies/tests/first.yaml"
echo "1..$number"
