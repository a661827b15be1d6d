#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds with gcc, clang and sanitizers, runs every suite, ends with "N passed, N failed".
#   ./test.sh         all of it but the long suites
#   ./test.sh --all   those too: the long e2e tests (25 minutes one by one, half of it the kills in each step of test_crash.py; the others take
#                     20 to 90 s each), a million schedules, the deliberate bugs (half an hour), the demo
# A suite that does not start or ends early counts as failed; what failed is named once more at the end. Logs stay in build/test-logs.
set -u
top=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$top/tests/deps.sh"
export LC_ALL=C.UTF-8 COLUMNS=300 UPGD_BUILD="$top/build"
all="" seeds=20000
case "${1-}" in
"") ;;
--all) all=1 seeds=1000000; export UPGD_TEST_ALL=1 ;;
*) echo "usage: test.sh [--all]" >&2; exit 2 ;;
esac

passed=0 failed=0 names=""
logs=$top/build/test-logs

# count NAME PASSED FAILED LOG [WHICH]: WHICH has a line for each that failed
count() {
	passed=$((passed + $2)) failed=$((failed + $3))
	printf '%-28s %5d passed %3d failed   %4d s\n' "$1" "$2" "$3" "$SECONDS"
	[ "$3" != 0 ] || return 0
	echo "--- end of $4"
	tail -n 60 "$4"
	names+=$(sed "s|^|  $1: |" <<<"${5:-see ${4#"$top/"}}")$'\n'
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
	count "$name" "$ok" "$bad" "$log" "$(sed -n '/^Summary of Failures/,/^Ok:/s/^ *[0-9]*\/[0-9]* *//p' "$log" | tr -s ' ')"
}

# suite NAME SECONDS ARGUMENT...: pytest; the numbers are in its junit file, an error counts as a failure. INT lets it say what it knows.
suite() {
	local name=$1 seconds=$2 log=$logs/$1.log xml=$logs/$1.xml code tests=0 bad=0 skipped=0 head which
	shift 2
	rm -f "$xml"
	(cd "$top" && timeout --foreground --signal=INT --kill-after=90 "$seconds" /usr/bin/python3 -m pytest -v --durations=20 -p no:cacheprovider --junit-xml="$xml" "$@") \
		</dev/null >"$log" 2>&1
	code=$?
	if head=$(grep -o '<testsuite [^>]*>' "$xml" 2>/dev/null); then
		attribute() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$head"; }
		tests=$(attribute tests) skipped=$(attribute skipped) bad=$(($(attribute failures) + $(attribute errors)))
	fi
	local good=$((tests > bad + skipped ? tests - bad - skipped : 0))
	which=$(sed -n 's/^\(FAILED\|ERROR\) \(tests\/.*\)/\2/p' "$log" | cut -c -300 | sort -u)
	# 1 is "tests failed"; anything else is not its own end, whatever had failed by then.
	if [ "$code" -gt 1 ] || [ $((code + good + bad)) = 0 ]; then
		bad=$((bad + 1)) which+="${which:+$'\n'}$(cut_off "$code" "$seconds" "$log")"
	elif [ "$code" = 1 ] && [ "$bad" = 0 ]; then
		bad=1
	fi
	count "$name" "$good" "$bad" "$log" "$which"
}

# cut_off CODE SECONDS LOG: what a suite that did not end by itself was at
cut_off() {
	local text="ended early, exit $1"
	case $1 in 124 | 137) text="cut off after $2 s" ;; esac
	awk -v text="$text" '
		/^=+ (FAILURES|ERRORS|slowest|short test summary)/ { exit }
		match($0, /tests\/[^ ]*::[^ ]*/) {
			name = substr($0, RSTART, RLENGTH)
			open[name]
			if (/PASSED|FAILED|ERROR|SKIPPED|XFAIL/) delete open[name]
			if (/FAILED|ERROR/) bad[name]
		}
		END {
			for (name in open) text = text "; begun and not ended: " name
			for (name in bad) text = text "; failed before: " name
			print text
		}' "$3"
}

# program NAME SECONDS COMMAND...: one test, passed if it exits 0
program() {
	local name=$1 seconds=$2 log=$logs/$1.log code
	shift 2
	timeout "$seconds" "$@" </dev/null >"$log" 2>&1
	code=$?
	case $code in
	0) count "$name" 1 0 "$log" ;;
	124 | 137) count "$name" 0 1 "$log" "cut off after $seconds s" ;;
	*) count "$name" 0 1 "$log" "exit $code" ;;
	esac
}

deps_need $deps_build $deps_lab $deps_test || { echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$logs" || exit 1

suite lint 900 tests/lint
build build-gcc "$top/build" -Dwerror=true && units unit-gcc "$top/build" -t 3
CC=clang build build-clang "$top/build-clang" -Dwerror=true && units unit-clang "$top/build-clang" -t 3
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
build build-sanitizers "$top/build-asan" -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true && units unit-sanitizers "$top/build-asan" -t 6
program simulator "$((600 + seeds / 100))" "$top/build/tests/sim/run" "$top/conf/profiles/ox-appsuite.conf" --seeds "$seeds" --jobs "$(nproc)"
suite lab 900 tests/lab
export UPGD_BUILD_FAILPOINTS="$top/build-failpoints"
build build-failpoints "$UPGD_BUILD_FAILPOINTS" -Dfailpoints=true -Dwerror=true
# Two labs at a time: a test mostly waits.
suite e2e "$([ -n "$all" ] && echo 10800 || echo 1500)" -n 2 tests/e2e
[ -z "$all" ] || program mutants 5400 nice /usr/bin/python3 "$top/tests/mutants/run" # half an hour
[ -z "$all" ] || program demo 1500 "$top/demo.sh"

[ -z "$names" ] || printf 'FAILED\n%s' "$names"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
