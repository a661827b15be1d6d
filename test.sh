#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds with gcc, clang and sanitizers, runs every suite, ends with "N passed, N failed".
#   ./test.sh         all of it but the long suites
#   ./test.sh --all   those too: the long e2e tests (25 minutes one by one, half of it the kills in each step of test_crash.py; the others take
#                     20 to 90 s each), a million schedules, sanitizers and valgrind over labs, the fuzzers (40 minutes), the deliberate
#                     bugs (half an hour), the demos
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

core="killed_at_the_start or goes_away or sigterm_closes"

# labs BUILD NAME FILE...: e2e tests with that build of upgd, upgd-run and upgctl; the stand-ins are the quick ones
labs() {
	local build=$1 name=$2
	shift 2
	UPGD_TEST_ALL="" UPGD_BUILD="$build" UPGD_STAND_INS="$top/build" suite "$name" 3600 "$@"
}

# The same code under what sees more and is slower: about 40 minutes on two idle cores.
sanitized() {
	local profile=$top/conf/profiles/ox-appsuite.conf target
	# ASan and UBSan beside every fault, 15 minutes
	labs "$top/build-asan" e2e-sanitizers tests/e2e/test_faults.py tests/e2e/test_haproxy.py tests/e2e/test_mariadb.py tests/e2e/test_nodes.py
	# ThreadSanitizer: the journal's writer, SQL's workers, the rehearsal; 8 minutes
	export TSAN_OPTIONS=halt_on_error=0:exitcode=66
	build build-tsan "$top/build-tsan" -Db_sanitize=thread -Db_lundef=false -Dwerror=true && units unit-tsan "$top/build-tsan" --suite unit -t 8
	program sim-tsan 600 "$top/build-tsan/tests/sim/run" "$profile" --seeds 300
	labs "$top/build-tsan" e2e-tsan tests/e2e/test_faults.py -k "$core"
	# valgrind, 10 minutes. Not upgd-run itself: it starts itself anew by /proc/self/exe, which is valgrind there; ASan sees it.
	local memcheck="valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
	units unit-valgrind "$top/build" --suite unit -t 10 --wrap "$memcheck"
	program sim-valgrind 1500 $memcheck "$top/build/tests/sim/run" "$profile" --seeds 100
	UPGD_WRAP="$memcheck --log-file={lab}/log/memory.%p" labs "$top/build" e2e-valgrind tests/e2e/test_faults.py -k "$core"
	# the fuzzers, one minute each
	CC=clang build build-fuzz "$top/build-fuzz" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false || return
	for target in haproxy frames conf runner serve judge; do
		mkdir -p "$logs/fuzz-$target.found"
		program "fuzz-$target" 300 "$top/build-fuzz/tests/fuzz/fuzz_$target" -max_total_time=60 -max_len=8000 \
			-artifact_prefix="$logs/fuzz-$target." "$logs/fuzz-$target.found" "$top/tests/fuzz/seeds/$target"
	done
}

deps_need $deps_build $deps_lab $deps_sites $deps_test || { echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$logs" || exit 1

suite lint 900 tests/lint
build build-gcc "$top/build" -Dwerror=true && units unit-gcc "$top/build" -t 3
CC=clang build build-clang "$top/build-clang" -Dwerror=true && units unit-clang "$top/build-clang" --suite unit -t 3
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
build build-sanitizers "$top/build-asan" -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true && units unit-sanitizers "$top/build-asan" $([ -n "$all" ] || echo --suite unit) -t 6
# Every view asked for over every state that random troubles lead to: half a minute. All: 300 seeds, 4 minutes.
program sim-sanitizers 1200 nice "$top/build-asan/tests/sim/run" "$top/conf/profiles/ox-appsuite.conf" --seeds "$([ -n "$all" ] && echo 300 || echo 20)" --ask
program simulator "$((600 + seeds / 100))" "$top/build/tests/sim/run" "$top/conf/profiles/ox-appsuite.conf" --seeds "$seeds" --jobs "$(nproc)"
suite lab 900 -n 2 tests/lab
export UPGD_BUILD_FAILPOINTS="$top/build-failpoints"
build build-failpoints "$UPGD_BUILD_FAILPOINTS" -Dfailpoints=true -Dwerror=true
# Two labs at a time: a test mostly waits.
suite e2e "$([ -n "$all" ] && echo 14400 || echo 2700)" -n 2 tests/e2e
[ -z "$all" ] || sanitized
[ -z "$all" ] || program mutants 5400 nice /usr/bin/python3 "$top/tests/mutants/run" # half an hour
[ -z "$all" ] || program demo 1500 "$top/demo.sh"
[ -z "$all" ] || for demo in "$top"/tests/lab/*/demo.py; do
	system=$(basename "${demo%/demo.py}" | tr _ -)
	program "demo-$system" 600 "$top/demo.sh" "$system"
done

[ -z "$names" ] || printf 'FAILED\n%s' "$names"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
