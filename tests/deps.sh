# SPDX-License-Identifier: MIT
# Sourced by demo.sh and test.sh: puts what they need on a bare Debian 12. Starts no system service.

deps_build="gcc meson ninja-build pkg-config libevent-dev libcurl4-openssl-dev default-libmysqlclient-dev libjson-c-dev libconfig-dev libsqlite3-dev libcmocka-dev python3-docutils"
deps_lab="haproxy mariadb-server-core mariadb-client-core mariadb-client openssh-server openssh-client python3 socat curl"
# The labs use the programs alone: postgresql-common is told to make no cluster, which would be started at every boot.
deps_sites="postgresql postgresql-client libcap2-bin"
deps_test="clang valgrind python3-pytest python3-pytest-xdist faketime"

deps_say() { printf '%s\n' "$*" >&2; }

# deps_need PACKAGE...: installs those that are missing.
deps_need() {
	local missing="" package root=""
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		if ! { command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; then
			deps_say "missing:$missing"
			deps_say "as root: apt-get install --no-install-recommends$missing"
			return 1
		fi
		root=sudo
	fi
	deps_say "installing:$missing"
	# The packages of haproxy and openssh-server would start a system service: policy-rc.d says no, for as long as this takes, unless the machine has a policy of its own.
	$root sh -c '
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			printf "#!/bin/sh\nexit 101\n" >$policy && chmod 755 $policy
			trap "rm -f $policy" EXIT
			trap "exit 1" INT TERM HUP
		fi
		if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
			mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
		fi
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null || echo "apt-get update failed, going on with what is known" >&2
		apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" </dev/null >/dev/null
	' sh $missing || { deps_say "could not install:$missing"; return 1; }
}

# deps_meson DIR [OPTION...]: a configured build directory, made once, told the options again.
deps_meson() {
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >/dev/null
	else
		meson setup "$dir" "$top" "$@" >"${TMPDIR:-/tmp}/upgd-meson.$$" 2>&1 || { cat "${TMPDIR:-/tmp}/upgd-meson.$$" >&2; return 1; }
		rm -f "${TMPDIR:-/tmp}/upgd-meson.$$"
	fi
}
