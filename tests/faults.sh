#!/usr/bin/env bash
# docs/faults.md is held to the program's own table: each kind that can be injected has its row there, with the same cures.
#
#     faults.sh BINARY SOURCE_FOLDER
set -u
page=$2/docs/faults.md
status=0

# KIND CURES: what `inject --list` says, a line each.
told() {
    "$1" inject --list | sed 's/\x1b\[[0-9;]*m//g' | awk '
        /^  [a-z]/ { if (kind) print kind, cures; kind = $1; cures = ""; said = ""; over = 0 }
        /^ +on / { over = 1 }
        !/^  [a-z]/ && !over { said = said $0; if (match(said, /cured by [a-z_, ]*/)) cures = substr(said, RSTART + 9, RLENGTH - 9) }
        END { print kind, cures }' | tr -d ','
}

# The words in backquotes in the fourth column.
written() {
    sed -n "s/^| \`$1\` |//p" "$page" | awk -F'|' '{ print $3 }' | grep -o "\`[a-z_]*\`" | tr -d "\`" | sort | xargs
}

count=0
while read -r kind cures; do
    count=$((count + 1))
    if ! grep -q "^| \`$kind\` |" "$page"; then
        echo "not ok $count - $kind has no row in docs/faults.md"
    elif [[ $(tr ' ' '\n' <<<"$cures" | sort | xargs) != "$(written "$kind")" ]]; then
        echo "not ok $count - $kind is cured by '$cures', and docs/faults.md says '$(written "$kind")'"
    else
        echo "ok $count - $kind"
        continue
    fi
    status=1
done < <(told "$1")
((count >= 23)) || { echo "not ok $((++count)) - only $count kinds were told"; status=1; }
echo "1..$count"
exit "$status"
