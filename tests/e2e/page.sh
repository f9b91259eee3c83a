#!/usr/bin/env bash
# How the dashboard is served: its headers, its size, and what there is without npm. What it does is tests/web.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "$0")/lib.sh"

start() {
    printf 'operator %s\n' 0123456789abcdef-operator >"$folder/tokens"
    chmod 600 "$folder/tokens"
    HOMEOSTAT_HOME=$folder "$binary" serve --port 0 --ready-fd 7 --db "$folder/page.db" --token-file "$folder/tokens" \
        7>"$folder/port" 2>"$folder/serve.log" &
    disown
    within 15 test -s "$folder/port" && url=http://127.0.0.1:$(<"$folder/port")
}

# PATH CURL_OPTION...: its headers go to $folder/head, its body to $folder/body.
fetch() {
    local path=$1
    shift
    curl -sS -D "$folder/head" -o "$folder/body" "$@" "$url$path"
}

has() {
    grep -qiE -- "^$1"$'\r?$' "$folder/head" || { cat "$folder/head"; return 1; }
}

# Scripts and styles of its own only: no inline ones, no eval, nothing from elsewhere, in nobody's frame.
needs_no_token_and_is_strict() {
    fetch / && has 'HTTP/1.1 200 OK' && has 'Content-Type: text/html; charset=utf-8' && has 'X-Content-Type-Options: nosniff' &&
        has "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'" &&
        ! grep -i 'content-security-policy:.*unsafe' "$folder/head" &&
        ! grep -oE '<script>|style=|(src|href)="?https?:' "$folder/body" &&
        fetch /v1/nodes && has 'HTTP/1.1 401 .*'
}

is_packed_if_that_is_understood() {
    fetch / && cp "$folder/body" "$folder/plain" && ! has 'Content-Encoding: .*' >/dev/null &&
        fetch / -H 'Accept-Encoding: br, gzip' && has 'Content-Encoding: gzip' && gzip -dc "$folder/body" | cmp - "$folder/plain" &&
        fetch / -H 'Accept-Encoding: gzip;q=0, br;q=1' && cmp "$folder/body" "$folder/plain"
}

is_not_sent_again() {
    local tag
    fetch / && tag=$(sed -n 's/^[Ee][Tt]ag: \(.*\)\r$/\1/p' "$folder/head") && rm "$folder/body" &&
        fetch / -H "If-None-Match: \"other\", $tag" && has 'HTTP/1.1 304 .*' && [[ ! -s $folder/body ]] && ! has 'Content-Length: .*' >/dev/null &&
        fetch / -H 'If-None-Match: W/"0-0"' && has 'HTTP/1.1 200 OK'
}

unknown_files_are_no_files() {
    fetch /web/../../etc/passwd --path-as-is && has 'HTTP/1.1 4.*' && fetch /web/nothing.js && has 'HTTP/1.1 404 .*' &&
        fetch / -X POST && has 'HTTP/1.1 405 .*'
}

# Every file that the page names is served, and all of them together are small.
is_small_and_whole() {
    local file bytes=0 files=(/)
    fetch /
    mapfile -t -O 1 files < <(grep -oE '(href|src)="/web/[^"]*"' "$folder/body" | cut -d'"' -f2 | sort -u)
    for ((i = 0; i < ${#files[@]}; i++)); do
        file=${files[i]}
        fetch "$file" -H 'Accept-Encoding: gzip' && has 'HTTP/1.1 200 OK' && has 'Content-Encoding: gzip' || return
        bytes=$((bytes + $(stat -c %s "$folder/body")))
        # The modules that it imports in turn.
        while read -r file; do
            [[ " ${files[*]} " == *" /web/$file "* ]] || files+=("/web/$file")
        done < <(gzip -dc "$folder/body" | grep -oE "(from|import) *['\"]\./[^'\"]*['\"]" | sed "s|.*['\"]\./\([^'\"]*\)['\"]|\1|")
    done
    echo "${#files[@]} files, $bytes bytes"
    ((bytes < 150 * 1000))
}

without_npm_there_is_a_plain_page() {
    local tool tools=$folder/tools
    mkdir -p "$tools" "$folder/scratch"
    for tool in cat cksum cp cut dirname gzip mkdir mv od sed tr; do ln -s "$(command -v "$tool")" "$tools/"; done
    says 0 'the dashboard is not in this build' env PATH="$tools" /bin/sh "$root/web/pack.sh" \
        "$folder/page.c" "$folder/scratch" "$root/web/package.json" "$root/web/index.html" && grep -q '"/web/plain.css"' "$folder/page.c" && ! grep -q preact "$folder/page.c"
}

check 'a control plane that asks for tokens starts' start
check 'the page needs no token, its data does; scripts and styles are its own only' needs_no_token_and_is_strict
check 'it is packed for those who understand that' is_packed_if_that_is_understood
check 'one that has not changed is not sent again' is_not_sent_again
check 'what is no file of the page is not given' unknown_files_are_no_files
check 'all it names is there, at most 150 kB packed' is_small_and_whole
check 'without npm the build has a plain page that says how to get the rest' without_npm_there_is_a_plain_page
finish
