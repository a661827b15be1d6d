#!/usr/bin/python3 -I
# SPDX-License-Identifier: MIT
"""
Stands in for one MongooseIM node and its programs, by the name it is called by: mongooseim, mongooseimctl, apt-get, apt-cache, apt-mark, dpkg-query.

Texts, exit codes and bad habits are MongooseIM's: `start` returns at once, `stop` waits for ever, join_cluster and its like ask
on stdin until somebody says yes, a node of 6.2.0 cannot register while its row belongs to another cluster, and is then never started.
Before 6.2.0 nodes share Mnesia: one that starts waits without limit for those that were there when it stopped.

  NODE/node.json     name, c2s (port), lab
  NODE/release/VERSION   what apt-get installed        NODE/etc/   mongooseim.toml, vm.args
  NODE/run/          pid, status, running (its version), sessions, disco
  LAB/mim.json       query: the client that takes a statement; kind: pgsql or mysql; second: how long a second is here
  NODE/fault/NAME, LAB/fault/NAME:  boot (slow:SECONDS | never | die-new: not with the version that it had first |
                    row-first: registers before it looks at anything) · stop (hang) · sessions (decay:N a second) · package (broken | held) · disco (alone: it finds only itself)
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

NODE = pathlib.Path(os.environ["LAB_NODE_DIR"])
CONF = json.loads((NODE / "node.json").read_text())
LAB = pathlib.Path(CONF["lab"])
RUN = NODE / "run-mim"
SITE = json.loads((LAB / "mim.json").read_text())
SECOND = float(SITE.get("second", 1))
ERLANG_NAME = (NODE / "etc/vm.args").read_text().split("-sname ")[1].split()[0]
LEVELS = ["4.2.0", "5.0.0", "5.1.0", "6.0.0", "6.2.0", "6.2.1", "6.3.2", "6.6.0", "6.8.0"]
# What a version no longer understands in its mongooseim.toml: it does not start with it.
OBSOLETE = [("6.2.0", ("mongooseimctl_access_commands", "service_admin_extra", "riak")), ("6.2.1", ("scope = \"host\"", "single_host")),
	("6.6.0", ("rdbms_server_type", "mod_bosh", "mongoose_admin_api", "mongoose_client_api")), ("6.8.0", ("mod_muc_log", "service_translations"))]
HELP = "\nCommands to start a MongooseIM node:\n  start           Start a MongooseIM node as daemon (detached from terminal)\n"


def nap(seconds):
	time.sleep(seconds)  # poll interval, or the time that the real thing takes


def number(version):
	return tuple(int(part) for part in version.split("-")[0].split("."))


def installed():
	return (NODE / "release/VERSION").read_text().strip()


def fault(name):
	for place in (NODE, LAB):
		try:
			return (place / "fault" / name).read_text().strip()
		except OSError:
			pass
	return ""


def query(sql):
	"""Rows; raises where the server says no."""
	done = subprocess.run([*SITE["query"], sql], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
	if done.returncode:
		raise RuntimeError(done.stderr.strip())
	return [line.split("\t") for line in done.stdout.splitlines()]


def write(name, text):
	(RUN / (name + ".new")).write_text(text)
	os.rename(RUN / (name + ".new"), RUN / name)


def read(name, default=""):
	try:
		return (RUN / name).read_text().strip()
	except OSError:
		return default


def pid_of(directory=RUN):
	"""The node's process; 0: none."""
	try:
		pid, started = (directory / "pid").read_text().split()
		stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
		return int(pid) if stat[0] not in "ZX" and stat[19] == started else 0
	except (OSError, ValueError):
		return 0


def cluster_of(version):
	if number(version) < (6, 2, 0):
		return None
	return "mim" if number(version) < (6, 2, 1) else "mim-0.2" if number(version) < (6, 3, 0) else "mim-0.3"


# the node itself


def columns():
	return {f"{table}.{column}" for table, column in query("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema IN ('public', DATABASE())"
		.replace("DATABASE()", "'public'" if SITE["kind"] == "pgsql" else "DATABASE()"))}


def why_not(version):
	"""What a node of this version finds wrong; "": nothing."""
	toml = "\n".join(line for line in (NODE / "etc/mongooseim.toml").read_text().splitlines() if not line.startswith("#"))
	for since, words in OBSOLETE:
		for word in words:
			if number(version) >= number(since) and word in toml:
				return f"what=toml_processing_failed unexpected_key={word.split()[0]}"
	if number(version) >= (6, 2, 1) and 'verify_mode = "peer"' in toml and "cacertfile" not in toml:
		return "what=toml_processing_failed what=missing_cacertfile"
	there = columns()
	needs = {"5.0.0": "users.server", "5.1.0": "inbox.box", "6.0.0": "domain_settings.status", "6.2.0": "discovery_nodes.node_name", "6.2.1": "mam_message.is_groupchat",
		"6.3.2": "fast_auth_token.server", "6.6.0": "blocklist.luser", "6.8.0": "pubsub_node.node_id"}
	for level, column in needs.items():
		if number(version) >= number(level) and column not in there:
			return f"what=sql_execute_failed column {column} does not exist"
	for before, column in (("5.0.0", "users.server"), ("5.1.0", "inbox.box"), ("6.0.0", "domain_settings.status")):
		if number(version) < number(before) and column in there:
			return f"what=sql_execute_failed the schema is newer than {before}: {column}"
	return ""


def register(cluster):
	"""As its version does it: 6.2.0 inserts and fails where the node has a row of another cluster; later ones delete that row first."""
	rows = query(f"SELECT node_name, node_num FROM discovery_nodes WHERE cluster_name = '{cluster}'")
	now = int(time.time())
	if any(row[0] == ERLANG_NAME for row in rows):
		query(f"UPDATE discovery_nodes SET updated_timestamp = {now} WHERE cluster_name = '{cluster}' AND node_name = '{ERLANG_NAME}'")
		return
	if cluster != "mim":
		query(f"DELETE FROM discovery_nodes WHERE node_name = '{ERLANG_NAME}'")
	taken = {int(row[1]) for row in rows}
	free = next(n for n in range(1, 100) if n not in taken)
	query(f"INSERT INTO discovery_nodes (cluster_name, node_name, node_num, address, updated_timestamp) VALUES ('{cluster}', '{ERLANG_NAME}', {free}, '', {now})")


class Sessions:
	"""One line in, one line out: which node of which version a client is on. They are open until somebody closes them."""

	def __init__(self, version):
		self.version, self.open, self.lock = version, set(), threading.Lock()
		self.listener = socket.socket()
		self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self.listener.bind(("127.0.0.1", CONF["c2s"]))
		self.listener.listen(1024)
		threading.Thread(target=self.accept, daemon=True).start()

	def accept(self):
		while True:
			client, _ = self.listener.accept()
			threading.Thread(target=self.serve, args=(client,), daemon=True).start()

	def serve(self, client):
		counted = False
		try:
			for line in client.makefile("r"):
				if not counted:
					counted = True
					with self.lock:
						self.open.add(client)
				client.sendall(f"{CONF['name']} {self.version} {line}".encode())
		except OSError:
			pass
		with self.lock:
			self.open.discard(client)
		client.close()

	def end_some(self, n):
		with self.lock:
			some = list(self.open)[:n]
		for client in some:
			try:
				client.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass


def missed():
	"""Nodes that may have been there when this one stopped, and are not there now: only they have the tables as they were last."""
	left = float(read("left", "0"))
	others = [run for run in LAB.glob("nodes/*/run-mim") if run != RUN and (run / "left").exists() and not pid_of(run)]
	return left and [run for run in others if float((run / "left").read_text()) > left - 10]


def node():
	"""The process that `start` leaves behind."""
	version = installed()
	stopping = []
	signal.signal(signal.SIGTERM, lambda *_: stopping.append("term"))
	started = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
	write("pid", f"{os.getpid()} {started}")
	write("status", "starting")
	write("running", version)
	if not (RUN / "first").exists():
		write("first", version)
	write("sessions", "0")
	(RUN / "stop").unlink(missing_ok=True)
	word = fault("boot")
	wait = float(word.split(":")[1]) if word.startswith("slow:") else 0.5
	deadline = time.monotonic() + wait * SECOND
	while time.monotonic() < deadline or word == "never":
		if stopping or (RUN / "stop").exists():
			write("status", "stopped")
			return 0
		nap(0.02)
	if word == "row-first" and cluster_of(version) not in (None, "mim"):
		register(cluster_of(version))  # it had joined, and ended after that
	while number(version) < (6, 2, 0) and missed():
		if stopping or (RUN / "stop").exists():
			write("status", "stopped")
			return 0
		nap(0.02)
	wrong = "what=fault" if word == "die-new" and (NODE / "run-mim/first").read_text() != version else why_not(version)
	if wrong:
		print(f"when={time.strftime('%FT%T')} level=critical {wrong}\nCould not start MongooseIM {version}", flush=True)
		return 1
	cluster = cluster_of(version)
	# Its pool: one connection for as long as it runs. It ends with us, as its input does.
	pool = subprocess.Popen(SITE["query"][:-1], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
	sessions = None
	next_look = 0.0
	while not stopping and not ((RUN / "stop").exists() and fault("stop") != "hang"):
		if cluster is not None and time.monotonic() >= next_look:
			next_look = time.monotonic() + 1
			try:
				register(cluster)
				write("disco", "works")
			except RuntimeError as e:
				write("disco", "failed")
				print(f"level=error what=discovery_failed_select {e}", flush=True)
		if sessions is None and (cluster is None or read("disco") == "works"):
			sessions = Sessions(version)
			write("status", "started")
		if sessions is not None:
			write("sessions", str(len(sessions.open)))
			if fault("sessions").startswith("decay:"):
				sessions.end_some(max(1, int(fault("sessions").split(":")[1]) // 20))
		nap(0.05)
	if sessions is not None:
		sessions.end_some(100000)
	pool.communicate()
	write("left", str(time.time()))
	write("status", "stopped")
	return 0


# mongooseim


def start():
	if pid_of():
		print("Node is already running!")
		return 1
	RUN.mkdir(exist_ok=True)
	(RUN / "disco").unlink(missing_ok=True)
	with open(NODE / "node.log", "ab") as log:
		child = subprocess.Popen([__file__, "--node"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
	while not read("pid").startswith(f"{child.pid} ") and child.poll() is None:
		nap(0.01)
	return 0


def stop(force):
	"""Without force it waits for ever."""
	pid = pid_of()
	if not pid:
		print("Node is not running!")
		if not (RUN / "pid").exists():
			print(f"Pid file {RUN}/pid is missing! The node can still be running though.")
		return 0
	write("stop", "")
	seconds = 0
	while pid_of() == pid:
		nap(SECOND)
		print(f"Waiting for {pid} for {seconds} seconds", flush=True)
		seconds += 1
		if force and seconds in (30, 60):
			print(f"Force kill {pid} using {'SIGTERM' if seconds == 30 else 'SIGKILL'}")
			os.kill(pid, signal.SIGTERM if seconds == 30 else signal.SIGKILL)
	return 0


# mongooseimctl


def status():
	if not pid_of():
		print(f"Failed RPC connection to the node '{ERLANG_NAME}': nodedown\n{HELP}")
		return 3
	up = read("status") == "started"
	version = f"{read('running')} (as mongooseim)" if up else "unavailable - neither ejabberd nor mongooseim is running"
	print(f"MongooseIM node '{ERLANG_NAME}':\n    operating system pid: {pid_of()}\n    Erlang VM status: started (of: starting | started | stopping)\n"
		f"    boot script status: started\n    version: {version}\n    uptime: 0:0:1\n    distribution protocol: inet_tcp\n    logs:\n        {NODE}/node.log")
	return 0 if up else 1


def wait_for(want):
	for _ in range(60 if want == "started" else 30):
		if (read("status") == want and (want == "started") == bool(pid_of())) or (want == "stopped" and not pid_of()):
			return 0
		nap(SECOND)
	print(f"wait_for_status_file: timeout, last status: {read('status', 'file_missing')}, expected status: {want}\nwait_for_status: timeout")
	return 1


def manage_cluster(args):
	if "-f" not in args and "--force" not in args:
		answer = ""
		print("Warning. This will drop all current connections and will discard all persistent data from Mnesia.\n        Do you want to continue? (yes/no)", flush=True)
		while answer not in ("yes", "no"):
			answer = sys.stdin.readline().strip()
			if answer not in ("yes", "no"):
				print("Command unknown. Do you want to continue? (yes/no)", flush=True)
				nap(0.01)
		if answer == "no":
			print("Operation discarded by user")
			return 1
	query(f"DELETE FROM discovery_nodes WHERE node_name = '{ERLANG_NAME}'")
	return 0


def pretty(value, depth=0):
	"""As jiffy prints it: `"key" : value`, and an empty list over three lines."""
	pad = "  " * (depth + 1)
	if isinstance(value, dict):
		return "{\n" + ",\n".join(f'{pad}"{k}" : {pretty(v, depth + 1)}' for k, v in value.items()) + "\n" + pad[2:] + "}"
	if isinstance(value, list):
		return "[\n" + ",\n".join(pad + pretty(v, depth + 1) for v in value) + "\n" + pad[2:] + "]"
	return json.dumps(value)


def system_info():
	cluster = cluster_of(read("running"))
	rows = query(f"SELECT node_name FROM discovery_nodes WHERE cluster_name = '{cluster}' ORDER BY node_name")
	discovered = [row[0] for row in rows if fault("disco") != "alone" or row[0] == ERLANG_NAME]
	alive = []
	for other in sorted(LAB.glob("nodes/*/run-mim")):
		name = (other.parent / "etc/vm.args").read_text().split("-sname ")[1].split()[0]
		if pid_of(other) and (other / "status").read_text() == "started" and cluster_of((other / "running").read_text()) == cluster:
			alive.append(name)
	joined = [name for name in discovered if name in alive]
	return {"unavailableNodes": [name for name in discovered if name not in alive], "remoteUnknownTables": [], "remoteNodesWithoutDisco": [],
		"joinedNodes": joined, "discoveryWorks": read("disco") == "works", "discoveredNodes": discovered, "conflictTables": [], "conflictNodes": [],
		"availableNodes": joined}


def admin(category, command):
	"""The GraphQL commands, as far as an upgrade asks them."""
	answers = {("session", "countSessions"): lambda: int(read("sessions", "0")),
		("server", "status"): lambda: {"statusCode": "RUNNING", "version": read("running"), "message": "MongooseIM is running"}}
	if number(installed()) >= (6, 2, 0):
		answers[("cets", "systemInfo")] = system_info
	if not pid_of():
		print(f"Failed RPC connection to the node '{ERLANG_NAME}': nodedown\n{HELP}")
		return 3
	if (category, command) not in answers or read("status") != "started":
		print(f"Unknown {'command' if any(category == c for c, _ in answers) else 'category'} '{category}'\n\nUsage: mongooseimctl [category] command [arguments]")
		return 1
	print(pretty({"data": {category: {command: answers[category, command]()}}}))
	return 0


def ctl(args):
	verbs = {"status": status, "start": start, "stop": lambda: stop(False), "force_stop": lambda: stop(True), "started": lambda: wait_for("started"),
		"stopped": lambda: wait_for("stopped")}
	if args and args[0] in verbs:
		return verbs[args[0]]()
	if args and args[0] in ("join_cluster", "leave_cluster", "remove_from_cluster"):
		return manage_cluster(args)
	return admin(*(args + ["", ""])[:2])


# packages


def apt_get(args):
	want = next((arg.split("=")[1] for arg in args if arg.startswith("mongooseim=")), None)
	package = LAB / "packages" / str(want)
	if not package.is_dir():
		print(f"E: Version '{want}' for 'mongooseim' was not found", file=sys.stderr)
		return 100
	if "--simulate" in args:
		return 0
	if fault("package") == "held":
		print("E: Held packages were changed and -y was used without --allow-change-held-packages.", file=sys.stderr)
		return 100
	if fault("package") == "broken":
		print("E: Sub-process /usr/bin/dpkg returned an error code (1)", file=sys.stderr)
		return 100
	(NODE / "release/VERSION.new").write_text((package / "VERSION").read_text())
	os.rename(NODE / "release/VERSION.new", NODE / "release/VERSION")
	return 0


def apt_cache(args):
	"""madison: what the repositories have, whatever is installed."""
	for package in sorted((LAB / "packages").iterdir()) if args[:2] == ["madison", "mongooseim"] else []:
		print(f"mongooseim | {package.name:>10} | http://packages.example.net bookworm/main amd64 Packages")
	return 0


def main():
	name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
	if args[:1] == ["--node"]:
		sys.exit(node())
	with open(NODE / "calls.log", "a") as log:
		log.write(f"{name} {' '.join(args)}\n")
	if name == "mongooseimctl":
		sys.exit(ctl(args))
	if name == "apt-get":
		sys.exit(apt_get(args))
	if name == "apt-cache":
		sys.exit(apt_cache(args))
	if name == "apt-mark":
		print("mongooseim\n" if fault("package") == "held" else "", end="")
		sys.exit(0)
	sys.exit(ctl(args) if args and args[0] in ("start", "stop", "force_stop") else 1)


if __name__ == "__main__":
	main()
