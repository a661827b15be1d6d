# SPDX-License-Identifier: MIT
"""The texts lab.py writes: HAProxy's configuration, a node's properties, the remote command, upgd's configuration."""

import shlex


def haproxy(lab, name, port, backend, disabled):
	"""One balancer process pair (master and worker). No server-state-file unless asked for: a reload forgets drains, as Debian's does."""
	state = f"\tserver-state-file {lab.dir}/lb/{name}.state" if lab.state_file else ""
	load = "\tload-server-state-from-file global" if lab.state_file else ""
	check = "\toption httpchk GET /health\n\thttp-check expect status 200" if lab.has_health else ""
	servers = "\n".join(
		f"\tserver {n.name} 127.0.0.1:{n.http} check cookie {n.name}{' disabled' if disabled else ''}" for n in lab.nodes)
	return f"""global
	stats socket {lab.dir}/lb/{name}.sock mode 600 level admin
	stats timeout 30s
	log stdout format raw local0
	maxconn 2000
	nbthread 1
	hard-stop-after 60s
{state}
defaults
	mode http
	log global
	option httplog
	option dontlog-normal
	timeout connect 1s
	timeout client 60s
	timeout server 30s
	timeout queue 5s
	timeout http-request 10s
	timeout http-keep-alive 60s
	timeout check 3s
	retries 3
	option redispatch
	# Else a reload closes kept connections at once, and who sends a request just then gets no answer.
	option idle-close-on-response
	default-server inter 300ms rise 2 fall 2
{load}
frontend fe
	bind 127.0.0.1:{port}
	default_backend {backend}

backend {backend}
	balance roundrobin
	cookie SRV insert indirect nocache
{check}
{servers}
"""


SERVER_PROPERTIES = """# server.properties of open-xchange, as far as the lab knows it
com.openexchange.server.migrationRedirectURL=
com.openexchange.push.allowPermanentPush=true
com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=false
"""


def properties(server_name):
	"""{path below the node's etc: text}"""
	return {
		"server.properties": SERVER_PROPERTIES,
		"system.properties": f"SERVER_NAME={server_name}\n",
		"hazelcast.properties": "com.openexchange.hazelcast.group.name=lab\n",
		"plugin/hosting.properties": "SCHEMA_MOVE_MAINTENANCE_REASON=1431655765\n",
		"excludedupdatetasks.properties": "",
	}


def option_file(**values):
	return "[client]\n" + "".join(f"{k.replace('_', '-')}={v}\n" for k, v in values.items())


def remote(lab, mark_name):
	"""Stands in for `ssh NODE CMD...`: the node's own tools first in PATH. NODE/fault/ssh makes the host unreachable."""
	env = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in sorted(lab.env.items()))
	return f"""#!/bin/sh
lab={shlex.quote(str(lab.dir))}
node=$1
shift
if [ ! -d "$lab/nodes/$node" ] || [ -e "$lab/nodes/$node/fault/ssh" ]; then
	echo "ssh: connect to host $node port 22: No route to host" >&2
	exit 255
fi
{env}export {mark_name}={lab.mark} LAB_NODE_DIR="$lab/nodes/$node" HOME="$lab/nodes/$node"
export PATH="$lab/nodes/$node/bin:{lab.build}/runner:/usr/bin:/bin:/usr/sbin:/sbin"
unset RMI_HOSTNAME
exec "$@"
"""


def strings(values):
	return "[ " + ", ".join('"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values) + " ]"


def upgd_conf(lab):
	d = lab.dir
	nodes = ",\n".join(
		f'\t{{ name = "{n.name}"; host = "127.0.0.1"; health = "http://127.0.0.1:{n.http}"; etc = "{d}/nodes/{n.name}/etc"; capacity = {lab.capacity}; }}'
		for n in lab.nodes)
	local = [f"{lab.build}/runner/upgd-run", "serve", "--state", f"{d}/state/run", "--secrets", f"{d}/secrets"]
	return f"""# The lab's configuration: every path and port is this lab's own.
cluster = "lab";
profile = "{lab.profile}";
state_dir = "{d}/state";
socket = "{d}/upgd.sock";
nodes = (
{nodes}
);
balancers = {{
	main = {{ backend = "be_ox";
		sockets = {strings([f"{d}/lb/lb1.sock", f"{d}/lb/lb2.sock"])};
		masters = {strings([f"{d}/lb/lb1-master.sock", f"{d}/lb/lb2-master.sock"])}; }};
	secondary = {{ backend = "be_ox_new";
		sockets = {strings([f"{d}/lb/sec.sock"])};
		masters = {strings([f"{d}/lb/sec-master.sock"])}; }};
}};
remote = {{ argv = {strings(lab.remote_argv())}; }};
local_runner = {strings(local)};
databases = {{
	configdb = {{ option_file = "{d}/cnf/configdb.cnf"; }};
	hosts = (
		{{ name = "db1"; pools = [ "3", "4" ]; option_file = "{d}/cnf/db1.cnf"; parallel = 2; }},
		{{ name = "db2"; pools = [ "5" ]; option_file = "{d}/cnf/db2.cnf"; parallel = 2; }}
	);
}};
vars = {{
	sbin = ""; from = "{lab.release.split("-")[0]}"; old_fleet = "oxserver"; new_fleet = "oxserver-new"; redirect = "{lab.secondary_url}";
	backup_cnf = "{d}/cnf/root1.cnf"; backup_dir = "{d}/backup"; soak = "1s"; settle = "1s"; drain = "30s"; away = "4s"; steady = "1s";
}};
pace = {{ watch = "200ms"; observe = "500ms"; in_flight = 8; }};
"""
