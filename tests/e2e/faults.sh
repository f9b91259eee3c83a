#!/usr/bin/env bash
# Each kind of fault on real processes: it is seen, it is healed by what cures it (or rightly left alone), nobody else
# is touched, its end is seen, and nothing of it is left.
#
#     faults.sh BINARY [--full]      --full: three rounds, one lab at a time
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

# Five labs at once, the longest first; those that need both processors alone.
light=(bad-config memory-leak network-loss hang flapping io-error network-bandwidth network-delay sick-database slow-storage cpu-spike
    disk-full network-cut zone-outage crash-loop partition sensor-fault clock-skew crash)
heavy=(noisy-neighbour overload retry-storm)
rounds=1 at_once=5
if [[ ${2-} == --full ]]; then
    rounds=3 at_once=1
fi

# Each lab has a folder of its own below the common one, its name at the end of HOMEOSTAT_HOME behind a slash.
processes() {
    grep -lsz "^HOMEOSTAT_HOME=$folder/${1-}" /proc/[0-9]*/environ | cut -d/ -f3
}

no_processes() {
    [[ -z $(processes "$1/") ]]
}

# NAME: the run, and what it said.
run_lab() {
    local status=0
    mkdir -p "$folder/$1"
    HOMEOSTAT_HOME=$folder/$1/ "$binary" up --scenario "$root/scenarios/live/$1.yaml" --port 0 --db "$folder/$1/lab.db" --json \
        >"$folder/$1/run.json" 2>"$folder/$1/run.err" || status=$?
    echo "$status" >"$folder/$1/status"
    judge "$1" >"$folder/$1/judgement" 2>&1 && echo good >"$folder/$1/judged"
}

# A lab of its own, which is no scenario.
run_stall() {
    mkdir -p "$folder/stall"
    a_stall_blames_nobody >"$folder/stall/judgement" 2>&1 && echo good >"$folder/stall/judged"
}

# COUNT NAME...: so many at a time.
run_labs() {
    local most=$1 name running=0
    shift
    for name; do
        if ((running >= most)); then
            wait -n
            running=$((running - 1))
        fi
        if [[ $name == stall ]]; then run_stall & else run_lab "$name" & fi
        running=$((running + 1))
    done
    wait
}

# NAME: what the lab knows about the fault and about the incidents.
judge() {
    [[ $(cat "$folder/$1/status" "$folder/$1/run.err") == 0 ]] || { cat "$folder/$1/run.err" "$folder/$1/run.json"; return 1; }
    homeostat faults --all --json --db "$folder/$1/lab.db" >"$folder/$1/faults.json" || return
    homeostat incidents --json --db "$folder/$1/lab.db" >"$folder/$1/incidents.json" || return
    python3 - "$folder/$1" <<'PYTHON'
import json, sys

def read(name):
    return json.load(open(f"{sys.argv[1]}/{name}.json"))

run, told, incidents = read("run"), read("faults"), read("incidents")["incidents"]
cures = {kind["kind"]: kind["cures"] for kind in told["kinds"]}
struck = {fault["node"] for fault in told["faults"]}
wrong = []
for fault in told["faults"]:
    if fault["effect"] != "seen":
        wrong.append(f"{fault['kind']}: its effect was not seen")
    if fault["state"] != "ended" or fault["removal"] != "seen":
        wrong.append(f"{fault['kind']}: its end was not seen")
    if not cures[fault["kind"]]:
        continue
    healing = [incident["remedy"] for incident in incidents if incident["node"] == fault["node"] and incident["verdict"] == "effective"]
    if not healing or healing[0] not in cures[fault["kind"]]:
        wrong.append(f"{fault['kind']}: healed by {healing}, cured by {cures[fault['kind']]}")
    # Too many users stay when there is room for them.
    if fault["reason"] != "cured" and fault["metric"] != "offered_load":
        wrong.append(f"{fault['kind']}: ended as {fault['reason']}")
if not struck or run["wrong"] or (run["commands"] and not any(cures[fault["kind"]] for fault in told["faults"])):
    wrong.append(f"{run['commands']} commands, {run['wrong']} of them wrong")
if wrong:
    sys.exit("\n".join(wrong + [json.dumps(told["faults"], indent=2), json.dumps(incidents, indent=2)]))
PYTHON
}

judged() {
    [[ -f $folder/$1/judged ]] || { cat "$folder/$1/judgement"; return 1; }
}

# NAME: processors that the lab itself found in use by others. The labs beside it are among them.
others() {
    printf '%.1f' "$(sed -n 's/^  "others": \([0-9.]*\),\{0,1\}$/\1/p' "$folder/$1/run.json")"
}

was_disturbed() {
    awk -v others="$(others "$1")" 'BEGIN { exit !(others >= 0.3) }'
}

# NAME: what was done wrong while others used the machine counts only if the lab does so when it has the machine to itself.
settle() {
    local tries=2
    while ((tries-- > 0)) && ! judged "$1" >/dev/null && was_disturbed "$1" && nothing_left "$1" >/dev/null 2>&1; do
        echo "# $1 was not healed while others used $(others "$1") processors; it is run once more, alone"
        rm -rf "${folder:?}/$1"
        run_lab "$1"
    done
}

# NAME: as check; skipped where the machine was never its own, since some cures are a second processor.
check_judgement() {
    local name="$1 is seen, healed by its cure or left alone, and over"
    if judged "$1" >/dev/null || ! was_disturbed "$1"; then
        check "$name" judged "$1"
    else
        count=$((count + 1))
        echo "ok $count - $name # SKIP other programs used $(others "$1") processors all the time"
    fi
}

# NAME: neither processes, nor what filled the disk, nor a release or configuration that a fault has made.
nothing_left() {
    local files
    within 5 no_processes "$1" || { processes "$1/" | xargs -I{} sh -c "tr '\0' ' ' </proc/{}/cmdline"; return 1; }
    [[ -d $folder/$1/lab-nodes ]] || { ls "$folder/$1"; return 1; }
    files=$(find "$folder/$1/lab-nodes" -path '*/scratch/*' -type f
        grep -rlsE 'rolled out by fault|"broken": *true' "$folder/$1"/lab-nodes/*/{releases,configs})
    [[ -z $files ]] || { echo "left: $files"; return 1; }
}

# The control plane stops itself for longer than a node may be silent, and blames nobody afterwards.
a_stall_blames_nobody() {
    local status=0 up url
    HOMEOSTAT_HOME=$folder/stall/ NO_COLOR=1 "$binary" up --port 0 --interval 500ms --db "$folder/stall/lab.db" >"$folder/stall/up.log" 2>&1 &
    up=$!
    within 20 grep -q '3 nodes, ill by itself: 0' "$folder/stall/up.log" || { cat "$folder/stall/up.log"; return 1; }
    url=$(sed -n 's/.*control plane  //p' "$folder/stall/up.log")
    homeostat inject control_plane_stall --lease 7s && within 20 is_over || return
    within 5 grep -q 'the control plane was away for' "$folder/stall/up.log" || { cat "$folder/stall/up.log"; return 1; }
    within 10 three_are_healthy || return
    says 0 'no incidents' homeostat incidents && kill -s INT "$up" && wait "$up" || status=$?
    return "$status"
}

three_are_healthy() {
    [[ $(homeostat nodes --json | grep -c '"health": "healthy"') -eq 3 ]]
}

is_over() {
    homeostat faults --all | grep -qE 'control_plane_stall .* ended .*seen.*expired'
}

for ((round = 1; round <= rounds; round++)); do
    run_labs "$at_once" "${light[@]}" stall
    run_labs 1 "${heavy[@]}"
    for name in "${light[@]}" "${heavy[@]}"; do
        settle "$name"
        check_judgement "$name"
        check "$name leaves nothing behind" nothing_left "$name"
    done
    check 'a stall of the control plane is seen, blames nobody, and is over' judged stall
    check 'the stall leaves nothing behind' within 5 no_processes stall
    rm -rf "${folder:?}"/*
done
finish
