#!/usr/bin/env bash
# What the command line says to those who ask, and to those who mistype.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

dozen_lines() {
    [[ $(homeostat | wc -l) -le 12 ]]
}

every_verb_has_an_example() {
    local verb
    for verb in $(homeostat help all | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        says 0 '^Example' homeostat "$verb" --help || return
        says 0 '^Example' homeostat help "$verb" || return
    done
}

# No help is wider than a page, for those who call the program by its short name.
helps_fit() {
    local verb
    for verb in $(homeostat help all | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        ! homeostat "$verb" --help | sed "s#$binary#./run#" | grep -E '^.{101}' || return
    done
    ! homeostat help all | grep -E '^.{101}' && ! "$root/run" test --help | grep -E '^.{101}'
}

# Any other library may stand for one that is too old. Whoever does not name such a database never asks for it.
without_libpq() {
    mkdir -p "$folder/old"
    cp "$(ldd "$binary" | awk '/libjansson/ { print $3 }')" "$folder/old/libpq.so.5" || return
    local LD_LIBRARY_PATH=$folder/old
    export LD_LIBRARY_PATH
    says 3 'client library is too old, .*: bring it to release 14' homeostat serve --port 0 --store postgresql://a@127.0.0.1/b &&
        says 3 'bad +libpq +.*is too old' homeostat doctor --store postgresql://a@127.0.0.1/b && says 0 '^homeostat' homeostat version
}

list_fits() {
    ! homeostat inject --list | grep -E '^.{101}'
}

one_json_object() {
    [[ $("$@" | head -c 1) == '{' ]]
}

check 'without a verb: five of them, in a dozen lines' dozen_lines
check 'help all: the groups' says 0 '^Operate' homeostat help all
check 'every verb explains itself, with an example' every_verb_has_an_example
check 'no help is wider than 100 columns' helps_fit
check 'a misspelt verb: did you mean' says 2 "did you mean 'incidents'" homeostat incidnets
check 'a verb like no other' says 2 'help all' homeostat frobnicate
check 'a misspelt option: did you mean' says 2 "did you mean '--fault'" homeostat demo --falt cpu_spike
check 'a misspelt fault: did you mean' says 2 "did you mean 'cpu_spike'" homeostat demo --fault cpu_spik
check 'a misspelt fault to inject: did you mean' says 2 "did you mean 'service_hang'" homeostat inject servce_hang web-1
check 'a misspelt state: did you mean' says 2 "did you mean 'resolved'" homeostat incidents --state resolvd
check 'a state like no other: the six that there are' says 2 'open, planned, acting, verifying, resolved or escalated' \
    homeostat incidents --state xyz
check 'a crash point that is none: those that there are' says 2 'before_intent, .*after_ack' \
    env HOMEOSTAT_CRASH_AT=sometimes "$binary" version
check 'a misspelt remedy: did you mean' says 2 "did you mean 'restart_service'" homeostat approve 1 --remedy restart_servce
check 'a node that the demo does not have' says 2 'web-1, api-1 and db-1' homeostat demo --node web-7
check 'an operand too many' says 2 'too many' homeostat nodes web-1
check 'an operand missing' says 2 'too few' homeostat incident
check 'an option without its value' says 2 'wants a value' homeostat demo --fault
check 'a duration that is none' says 2 'a duration such as' homeostat inject cpu_spike web-1 --lease soon
check 'an intensity out of range' says 2 'between' homeostat inject cpu_spike web-1 --intensity 7
check 'an incident that is no number' says 2 'not the number' homeostat incident seven
check 'the kinds of faults, without a control plane' says 0 'failover_storage' homeostat inject --list
check 'the same as JSON' one_json_object homeostat inject --list --json
check 'one kind in detail' says 0 'shapes: step, ramp' homeostat inject --list cpu_spike
check 'one kind that is none' says 2 "did you mean 'cpu_spike'" homeostat inject --list cpu_spik
check 'the list is no wider than a page' list_fits
check 'an intensity of what is there or not' says 2 'leave --intensity out' homeostat inject service_crash web-1 --intensity 1
check 'a misspelt shape: did you mean' says 2 "did you mean 'sawtooth'" homeostat inject cpu_spike web-1 --shape sawtoth
check 'a fault without a node' says 2 'on which node' homeostat inject cpu_spike
check 'a fault of the control plane with one' says 2 'strikes the control plane itself' homeostat inject control_plane_stall web-1
check 'words that mean no nodes' says 2 "role:web, zone:a, 2 of role:web or below web-1" homeostat inject cpu_spike web 1
check 'what is made of others: of what' says 2 "did you mean 'io_error'" homeostat inject dependency_sick web-1 --of io_eror
check 'what is not made of others' says 2 'belongs to dependency_sick and flapping' homeostat inject cpu_spike web-1 --of io_error
check 'a demo of what nothing cures' says 2 'no story of it ends' homeostat demo --fault clock_skew
check 'a PostgreSQL library that is too old' without_libpq
check 'the version' says 0 '^homeostat +[0-9]' homeostat version
check 'the version as JSON' one_json_object homeostat version --json

printf 'version: 1\nrules:\n  - {if: cpu_utilization > 0.9, for: 3s, do: restart_servise}\n' >"$folder/wrong.yaml"
check 'a good policy' says 0 'good' homeostat policy check "$root/policies/default.yaml"
check 'a wrong policy: file, line, and the mend' says 1 'wrong.yaml:3:.*did you mean restart_service' \
    homeostat policy check "$folder/wrong.yaml"
check 'a policy with its defaults' says 0 'max_disrupted' homeostat policy show "$root/policies/first.yaml" --effective
check 'a misspelt word of policy: did you mean' says 2 "did you mean 'check'" homeostat policy chek x.yaml

url=http://127.0.0.1:1
check 'no control plane and no database' says 3 'there is no database' homeostat incidents
check 'a link speed as people write it' says 3 'no control plane' homeostat inject network_bandwidth web-1 --intensity 2kB/s
check 'a negative intensity where it means something' says 3 'no control plane' homeostat inject clock_skew web-1 --intensity -2h
check 'some nodes, without quotes' says 3 'no control plane' homeostat inject cpu_spike 2 of role:web
check 'no control plane to order from' says 3 'no control plane answers' homeostat pause
finish
