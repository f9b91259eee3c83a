# ./run test [--full | --web] [NAME...], read by ./run: every test program under gcc, and once more under clang with the
# address and undefined-behaviour sanitizers, where the fuzz targets search, too; the layout of the C files; the shell
# scripts. The last line counts single test cases: N passed, N failed.
# shellcheck shell=bash disable=SC2154 # `root`, `build` and the needs are those of ./run

passed=0 failed=0

# WORTH NAME COMMAND...: a step that counts as WORTH tests if it succeeds, and as one if it does not.
note() {
    local worth=$1 name=$2
    shift 2
    if "$@"; then
        passed=$((passed + worth))
        printf '%-28s ok\n' "$name"
    else
        failed=$((failed + 1))
        printf '%-28s FAILED\n' "$name"
    fi
}

require_everything() {
    require "$build/.ready" "${build_needs[@]}"
    require "$build/.ready-test" "${test_needs[@]}"
    require_browser
}

# What the stories in tests/web need: a browser, and from npm what drives it, in a folder of the build. Where that cannot be
# had, they are skipped, and say why.
require_browser() {
    local dir=$build/web-tests log
    (require "$build/.ready-web" "${web_needs[@]}") || true
    mkdir -p "$dir"
    ! cmp -s "$root/web/package-lock.json" "$dir/node_modules/.lock" || return 0
    rm -rf "$dir/node_modules" "$dir/why"
    cp "$root/web/package.json" "$root/web/package-lock.json" "$dir/"
    say 'fetching what drives the browser, with npm'
    if log=$(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error 2>&1); then
        cp "$dir/package-lock.json" "$dir/node_modules/.lock"
        retry_page
    else
        rm -rf "$dir/node_modules"
        printf 'npm could not fetch what drives the browser: %s' "$(tail -n 3 <<<"$log" | tr -s '\n' ' ')" >"$dir/why"
    fi
}

build_plain() {
    configure "$build" && compile "$build" && put_in_its_place
}

build_with_sanitizers() {
    # Lines are enough of debugging information to read a sanitizer's report by; after one nothing goes on.
    CC=clang configure "$build-asan" -Dbuildtype=debug -Doptimization=1 '-Dc_args=-g1 -fno-sanitize-recover=all' \
        -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true && with_fuzz_targets && compile "$build-asan"
}

# A folder from before there were fuzz targets has to be told of them.
with_fuzz_targets() {
    grep -q tests/fuzz/fuzz_ "$build-asan/build.ninja" || quietly meson configure "$build-asan" -Dfuzz=true
}

# Runs the tests of a build folder, shows a line for each as it ends, then the output of those that failed, and
# adds up. The arguments go to `meson test`. Nobody fails for being three times as slow as where the time limits were set.
test_in() {
    local dir=$1 log=$1/meson-logs/testlog.json said=$1/test.log fixed_addresses=() ok bad
    shift
    printf '\n%s:\n' "${dir##*/}"
    # Some kernels scatter addresses wider than the sanitizers of older compilers can follow; containers may refuse.
    ! setarch "$(uname -m)" -R true 2>/dev/null || fixed_addresses=(setarch "$(uname -m)" -R)
    rm -f "$log"
    PYTHONUNBUFFERED=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "${fixed_addresses[@]}" \
        meson test -C "$dir" --no-rebuild --timeout-multiplier 3 "$@" 2>&1 </dev/null |
        tee "$said" | sed -un -e '/^Summary of Failures/,$d' -e 's/^ *[0-9]*\/[0-9]* \(homeostat[^ ]* \/ \)*/  /p' || true
    if [[ -f $log ]]; then
        read -r ok bad < <(python3 "$root/tests/tally.py" "${dir##*/}" "$log") || ok=0 bad=1
        passed=$((passed + ok)) failed=$((failed + bad))
    elif ! grep -q 'No suitable tests' "$said"; then
        cat "$said"
        failed=$((failed + 1))
    fi
}

check_shell() {
    files_named '*.sh' | xargs -0 shellcheck -x -P "$root" "$root/run" "$root/.ci/run"
}

run_tests() {
    local names=() slow=(--no-suite slow) fuzz_seconds=15 web='' word
    for word; do
        case $word in
        --full) slow=() fuzz_seconds=600 ;;
        --web) web=yes ;;
        -*) say "test takes --full, --web and names of tests, not $word" && exit 2 ;;
        *) names+=("$word") ;;
        esac
    done
    prefer_the_systems_tools
    alone require_everything
    if [[ -n $web ]]; then
        alone build_program
        test_in "$build" --num-processes "$(nproc)" --suite web "${names[@]}"
        sum_up "${names[@]}"
        return
    fi
    note 0 'build with gcc' alone build_plain
    note 0 'build with clang, sanitizers' alone build_with_sanitizers
    if ((${#names[@]} == 0)); then
        ! clang_format >/dev/null || note 1 'layout of the C files' format --check
        ! command -v shellcheck >/dev/null || note 1 'shell scripts' check_shell
    fi
    # More at a time than there are processors, since most of them mostly wait; of whole labs one more. Those that burn run
    # alone (meson.build).
    local many=$((2 * $(nproc)))
    test_in "$build" --num-processes $((many + 1)) --no-suite e2e "${slow[@]}" "${names[@]}"
    test_in "$build" --num-processes $(($(nproc) + 1)) --suite timed "${slow[@]}" "${names[@]}"
    test_in "$build" --num-processes $(($(nproc) + 1)) --suite e2e --no-suite timed "${slow[@]}" "${names[@]}"
    test_in "$build-asan" --num-processes "$many" --no-suite e2e --no-suite fuzz "${slow[@]}" "${names[@]}"
    # All at a time, so that eleven searches take a quarter of a minute.
    HOMEOSTAT_FUZZ_SECONDS=$fuzz_seconds test_in "$build-asan" --suite fuzz --num-processes 12 "${names[@]}"
    sum_up "${names[@]}"
}

sum_up() {
    ((passed + failed > 0 || $# == 0)) || note 0 "a test called $*" false
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}
