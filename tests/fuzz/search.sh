#!/usr/bin/env bash
# search.sh PROGRAM CORPUS: lets a fuzz target search for HOMEOSTAT_FUZZ_SECONDS (30), beginning with its corpus. What it
# finds stays in the folder PROGRAM.found; the last lines say how to repeat it and how it becomes part of the corpus.
set -u
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=quarantine_size_mb=32
program=$(readlink -f "$1") corpus=$2
name=$(basename "$corpus")
seconds=${HOMEOSTAT_FUZZ_SECONDS:-30}
found=$program.found
grown=$(mktemp -d)
trap 'rm -rf "$grown"' EXIT
mkdir -p "$found"
options=(-max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found/")
# A control plane keeps most of what it allocates: its target looks for leaks whenever it begins anew. And it has so much
# code that weighing what is rare takes longer than trying it.
if [[ $name == api ]]; then options+=(-detect_leaks=0 -entropic=0 -max_len=2048); elif [[ $name == recording ]]; then options+=(-max_len=32768); else options+=(-max_len=8192); fi
# The spool tells people of every file that it sets aside.
[[ $name != spool ]] || options+=(-close_fd_mask=2)
dictionary=$(dirname "$0")/$name.dict
[[ ! -f $dictionary ]] || options+=(-dict="$dictionary")

status=0
"$program" "${options[@]}" "$grown" "$corpus" >"$grown.log" 2>&1 || status=$?
trap 'rm -rf "$grown" "$grown.log"' EXIT
if ((status == 0)); then
    grep -E '^stat::(number_of_executed|average_exec|peak_rss)' "$grown.log"
    grep ' cov: ' "$grown.log" | tail -n 1
    exit 0
fi
tail -n 60 "$grown.log"
echo "To repeat it:  $program $found/FILE"
echo "Once mended, the file belongs into $corpus/ under a short name."
exit 1
