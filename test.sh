#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds with gcc, clang and sanitizers, runs every suite, ends with "N passed, N failed".
#   ./test.sh         all of it but the long suites
#   ./test.sh --all   those too
# A suite that does not start or ends early counts as failed. Logs stay in build/test-logs.
set -u
top=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$top/tests/deps.sh"
export LC_ALL=C.UTF-8 UPGD_BUILD="$top/build"
all="" seeds=20000
case "${1-}" in
"") ;;
--all) all=1 seeds=1000000; export UPGD_TEST_ALL=1 ;;
*) echo "usage: test.sh [--all]" >&2; exit 2 ;;
esac

passed=0 failed=0
logs=$top/build/test-logs

# count NAME PASSED FAILED LOG
count() {
	passed=$((passed + $2)) failed=$((failed + $3))
	printf '%-28s %5d passed %3d failed   %4d s\n' "$1" "$2" "$3" "$SECONDS"
	[ "$3" = 0 ] || { echo "--- end of $4"; tail -n 60 "$4"; }
}

# build NAME DIR [OPTION...]: one test, passed if it builds
build() {
	local name=$1 dir=$2
	shift 2
	if { deps_meson "$dir" "$@" && ninja -C "$dir"; } >"$logs/$name.log" 2>&1; then count "$name" 1 0 "$logs/$name.log"; return 0; fi
	count "$name" 0 1 "$logs/$name.log"
	return 1
}

# units NAME DIR [SUITE]: meson's tests; the numbers are in meson's own summary
units() {
	local name=$1 dir=$2 log=$logs/$1.log code ok bad
	shift 2
	meson test -C "$dir" --no-rebuild --print-errorlogs "$@" >"$log" 2>&1
	code=$?
	ok=$(sed -n 's/^\(Ok\|Expected Fail\): *//p' "$log" | awk '{n += $1} END {print n + 0}')
	bad=$(sed -n 's/^\(Fail\|Timeout\|Unexpected Pass\): *//p' "$log" | awk '{n += $1} END {print n + 0}')
	[ "$code" = 0 ] && [ "$ok" -gt 0 ] || [ "$bad" -gt 0 ] || bad=1
	count "$name" "$ok" "$bad" "$log"
}

# suite NAME FILE...: pytest; the numbers are in its junit file, an error counts as a failure
suite() {
	local name=$1 log=$logs/$1.log xml=$logs/$1.xml code tests=0 bad=1 skipped=0 head
	shift
	rm -f "$xml"
	(cd "$top" && timeout 3000 /usr/bin/python3 -m pytest -q -p no:cacheprovider --junit-xml="$xml" "$@") >"$log" 2>&1
	code=$?
	if head=$(grep -o '<testsuite [^>]*>' "$xml" 2>/dev/null); then
		attribute() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$head"; }
		tests=$(attribute tests) skipped=$(attribute skipped) bad=$(($(attribute failures) + $(attribute errors)))
	fi
	local good=$((tests > bad + skipped ? tests - bad - skipped : 0))
	[ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || bad=1
	count "$name" "$good" "$bad" "$log"
}

# program NAME COMMAND...: one test, passed if it exits 0
program() {
	local name=$1 log=$logs/$1.log
	shift
	if timeout 1500 "$@" >"$log" 2>&1; then count "$name" 1 0 "$log"; else count "$name" 0 1 "$log"; fi
}

deps_need $deps_build $deps_lab $deps_test || { echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$logs" || exit 1

suite lint tests/lint
build build-gcc "$top/build" -Dwerror=true && units unit-gcc "$top/build"
CC=clang build build-clang "$top/build-clang" -Dwerror=true && units unit-clang "$top/build-clang"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
build build-sanitizers "$top/build-asan" -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true && units unit-sanitizers "$top/build-asan" -t 4
program simulator "$top/build/tests/sim/run" "$top/conf/profiles/ox-appsuite.conf" --seeds "$seeds"
suite lab tests/lab
export UPGD_BUILD_FAILPOINTS="$top/build-failpoints"
build build-failpoints "$UPGD_BUILD_FAILPOINTS" -Dfailpoints=true -Dwerror=true
suite e2e tests/e2e
[ -z "$all" ] || program mutants nice /usr/bin/python3 "$top/tests/mutants/run" # four to eight minutes
[ -z "$all" ] || program demo "$top/demo.sh"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
