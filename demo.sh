#!/bin/bash
# SPDX-License-Identifier: MIT
# Shows a rollout from 7.10.5 to 7.10.6: five nodes, twelve schemata, 200 users, on this machine and for nobody else to see.
# Exit 0: the rollout is done and no request of any user failed.
#   ./demo.sh          start, roll out, report, stop everything
#   ./demo.sh --keep   leave the site up afterwards and say how to look at it
#   ./demo.sh --idle   leave the site up and start no rollout: for the walk in README
#   ./demo.sh SYSTEM [--keep | --idle]   the same of another system: tests/lab/SYSTEM/demo.py
set -u
top=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$top/tests/deps.sh"
export LC_ALL=C.UTF-8

keep="" idle="" system=""
case "${1-}" in
[a-z]*) system=$1; shift ;;
esac
case "${1-}" in
"") ;;
--keep) keep=1 ;;
--idle) keep=1 idle=1 ;;
*) echo "usage: demo.sh [SYSTEM] [--keep | --idle]" >&2; exit 2 ;;
esac

deps_need $deps_build $deps_lab ${system:+$deps_sites} || exit 1
build=${UPGD_BUILD:-$top/build}
# A checkout that belongs to another user: build beside it.
{ [ -w "$top" ] && { [ ! -e "$build" ] || [ -w "$build" ]; }; } || [ -n "${UPGD_BUILD-}" ] || build=${XDG_CACHE_HOME:-$HOME/.cache}/upgd-build
echo "building in $build"
deps_meson "$build" && ninja -C "$build" >"$build/demo.log" 2>&1 || { tail -n 30 "$build/demo.log" >&2; echo "demo: the build failed" >&2; exit 1; }

[ -z "$system" ] || exec /usr/bin/python3 "$top/tests/lab/show.py" "$system" --build "$build" "$@"

dir=$(mktemp -d "${TMPDIR:-/tmp}/upgd-demo-XXXXXX") || exit 1
finish() {
	code=$?
	trap - EXIT INT TERM HUP
	if [ -z "$keep" ]; then
		/usr/bin/python3 "$top/tests/lab/lab.py" down "$dir"
		if [ "$code" = 0 ] || [ "$code" = 130 ]; then rm -rf "$dir"; else echo "logs: $dir" >&2; fi
	fi
	exit "$code"
}
trap finish EXIT
trap 'keep=""; exit 130' INT TERM HUP

echo "starting five nodes, two database servers, three HAProxy, 200 users"
watch="--for $$"
[ -n "$keep" ] && watch=""
/usr/bin/python3 "$top/tests/lab/lab.py" up "$dir" --build "$build" --users 200 --upgd $watch || exit 1
upgctl="$build/ctl/upgctl --socket $dir/upgd.sock"

how_to_look() {
	cat <<-END

	The site is up. To speak with it:
	  export UPGD_SOCKET=$dir/upgd.sock PATH=$build/ctl:$build/daemon:\$PATH
	  upgctl status
	  upgctl list
	  upgctl log
	  tail -f $dir/log/upgd.log
	What its users see:      $dir/users.json
	To kill upgd:            pkill -9 -f "upgd -c $dir/upgd.conf"
	While it is dead:        upgd --offline status -c $dir/upgd.conf     (runbook: how to mend by hand)
	upgd again, if killed:   /usr/bin/python3 $top/tests/lab/lab.py upgd $dir
	End it:                  /usr/bin/python3 $top/tests/lab/lab.py down $dir && rm -rf $dir
	END
}
[ -z "$idle" ] || { how_to_look; exit 0; }

echo "\$ upgctl start --to 7.10.6 --set package=7.10.6-44 --yes --wait"
$upgctl start --to 7.10.6 --set package=7.10.6-44 --yes --wait --reason "demo.sh"
started=$?
echo
/usr/bin/python3 "$top/tests/lab/report.py" "$dir"
code=$?
[ "$started" = 0 ] || { echo "demo: upgctl start ended with $started" >&2; code=1; }
[ -z "$keep" ] || how_to_look
exit "$code"
