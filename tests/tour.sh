#!/bin/sh
# docs/tour.md names functions; they must be there, and together be short enough to be read in one sitting.
set -eu
root=$1
limit=800
total=0
lost=
# shellcheck disable=SC2013,SC2016 # the stops hold no blanks, and the backquotes are meant
for stop in $(sed -n 's/^| .* | `\(src[^`]*\)` | `\([a-z_]*\)` |$/\1:\2/p' "$root/docs/tour.md"); do
    file=${stop%%:*} function=${stop##*:}
    # From the line that begins the definition to the closing brace in the first column.
    lines=$(awk -v name="$function" '
        !inside && $0 ~ "(^|[ *])" name "\\(" && $0 !~ /^[ \t]/ { start = NR; inside = 1 }
        inside && /;[ \t]*$/ && !body { inside = 0 }
        inside && /^\{/ { body = 1 }
        inside && body && /^\}/ { print NR - start + 1; exit }' "$root/$file")
    if [ -z "$lines" ]; then lost="$lost $stop"; else total=$((total + lines)); fi
done
echo "1..2"
if [ -z "$lost" ]; then echo "ok 1 - every stop of the tour is there"; else echo "not ok 1 - not there:$lost"; fi
if [ "$total" -gt 300 ] && [ "$total" -le $limit ]; then
    echo "ok 2 - the tour is $total lines of C"
else
    echo "not ok 2 - the tour is $total lines of C, the limit is $limit"
fi
