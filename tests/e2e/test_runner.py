# SPDX-License-Identifier: MIT
"""
What becomes of a task when something on its way dies: upgd, the connection, the runner, the host. The real upgd and upgd-run over a
real sshd; the site is nothing but nodes, and a profile of one step, whose task each test writes itself. It notes that it was begun, and
waits for leave to end: so nothing here hangs on time.
"""

import contextlib
import http.server
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

import pytest

from procs import start_time
from sshd import children_of, command_of, parent_of
from templates import strings
from test_faults import stays

TASK = """cd "$LAB_NODE_DIR"
echo $$ >>ran
while [ ! -e go ]; do sleep 0.05; done
echo the end
"""


class Bench:
	"""Nodes that run one task each."""

	def __init__(self, lab, health):
		self.lab, self.health = lab, health

	def write(self, task=TASK, resolve="rerun", more=""):
		lab = self.lab
		(lab.dir / "task").write_text("#!/bin/bash\n" + task)
		os.chmod(lab.dir / "task", 0o755)
		for node in lab.nodes:
			(node.dir / "done").write_text("no\n")
		(lab.dir / "bench.conf").write_text(f"""language = 1; profile = "bench";
sets = {{ node = {{ from = "nodes"; probe = "status"; class = ( {{ is = "old"; match = "^200$"; }} ); }}; }};
probes = {{ status = {{ http = "${{node.health}}"; }};
	done = {{ read = "{lab.dir}/nodes/${{node.name}}/done"; on = "self"; match = "yes"; doc = "it is done"; }}; }};
stages = ( {{ name = "work"; for = "node"; where = [ "old" ]; limits = {{ total = 8; }}; steps = (
	{{ name = "run"; run = [ "{lab.dir}/task" ]; on = "self"; pivot = true; resolve = "{resolve}"; {more} }} ); }} );
""")
		nodes = ",\n".join(f'\t{{ name = "{n.name}"; host = "127.0.0.1"; health = "{self.health}/{n.name}"; }}' for n in lab.nodes)
		(lab.dir / "upgd.conf").write_text(f"""cluster = "bench";
profile = "{lab.dir}/bench.conf";
state_dir = "{lab.dir}/state";
socket = "{lab.dir}/upgd.sock";
nodes = (
{nodes}
);
remote = {{ argv = {strings(lab.remote_argv())}; }};
local_runner = {strings([lab.build / "runner/upgd-run", "serve", "--state", f"{lab.dir}/state/run"])};
pace = {{ watch = "200ms"; observe = "500ms"; in_flight = 8; }};
""")

	def start(self, **options):
		"""The rollout runs, and so does every task."""
		self.write(**options)
		self.lab.start_upgd()
		self.lab.upgctl("start", "--yes")
		for node in self.lab.nodes:
			self.begun(node.name)

	def again(self):
		self.lab.kill_upgd()
		self.lab.start_upgd()

	def file(self, node, name):
		return self.lab.node(node).dir / name

	def runs(self, node):
		"""pids of the tasks that were ever begun there."""
		with contextlib.suppress(FileNotFoundError):
			return [int(pid) for pid in self.file(node, "ran").read_text().split()]
		return []

	def begun(self, node, times=1):
		return self.lab.wait_until(lambda: len(self.runs(node)) >= times and self.runs(node), 60, f"{node} has begun {times} tasks")

	def go(self, *nodes):
		for node in nodes:
			self.file(node, "go").touch()

	def wait_pid(self, node, name):
		"""What a task wrote down of a process."""
		path = self.file(node, name)
		return int(self.lab.wait_until(lambda: path.exists() and path.read_text().strip(), 30, f"{node}/{name} holds a pid"))

	def supervisor(self, node):
		pid = parent_of(self.runs(node)[-1])
		assert "supervise" in command_of(pid), command_of(pid)
		return pid

	def unit(self, node):
		return self.lab.units()[f"work/{node}"]

	def explain(self, node):
		return self.lab.upgctl("explain", f"work/{node}")

	def reaches_done(self, **runs):
		"""With so many runs on each node; one if it is not named."""
		assert self.lab.wait_for_state("done", "partial", "aborted")["state"] == "done"
		assert {n.name: len(self.runs(n.name)) for n in self.lab.nodes} == {n.name: runs.get(n.name, 1) for n in self.lab.nodes}


class Health(http.server.BaseHTTPRequestHandler):
	def do_GET(self):  # pylint: disable=invalid-name
		self.send_response(200)
		self.send_header("Content-Length", "0")
		self.end_headers()

	def log_message(self, *_):  # pylint: disable=arguments-differ
		pass


@pytest.fixture
def bench(make_lab, tmp_path):
	"""Two nodes behind sshd. boot: the file that they take for their boot id."""
	server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
	thread = threading.Thread(target=server.serve_forever, args=(0.05,))
	thread.start()
	boot = tmp_path / "boot"
	boot.write_text("first-boot\n")
	try:
		lab = make_lab(nodes=2, bare=True, ssh=True, env={"UPGD_RUN_BOOT_ID_FILE": boot, "UPGD_RUN_GRACE_MS": 500})
		bench = Bench(lab, f"http://127.0.0.1:{server.server_address[1]}")
		bench.boot = boot
		yield bench
	finally:
		server.shutdown()
		thread.join()
		server.server_close()


def is_gone(pid):
	return start_time(pid) is None


def wait_gone(bench, *pids):
	bench.lab.wait_until(lambda: all(is_gone(pid) for pid in pids), 30, f"{pids} are gone")


# upgd


def test_a_task_survives_a_kill_of_the_daemon(bench):
	"""One ends while nobody listens, the other when somebody does again."""
	bench.start()
	bench.lab.kill_upgd()
	bench.go("ox1")
	wait_gone(bench, *bench.runs("ox1"))
	bench.lab.start_upgd()
	bench.lab.wait_until(lambda: bench.unit("ox1")["state"] == "done", 60, "the end of ox1's task is known")
	bench.go("ox2")
	bench.reaches_done()


def test_a_task_survives_an_upgrade_of_the_daemon_and_of_the_runner(bench):
	"""Other files, started while the task of the old ones runs."""
	bench.start()
	lab = bench.lab
	assert lab.stop_upgd() == 0
	new = shutil.copy(lab.build / "daemon/upgd", lab.dir / "upgd-new")
	for node in lab.nodes:
		shutil.copy(lab.build / "runner/upgd-run", node.dir / "bin/upgd-run")
	lab.start_upgd(program=new)
	serve = lab.wait_until(lambda: lab.sshd.serve_pid("ox1"), 60, "the new upgd speaks to ox1")
	assert os.readlink(f"/proc/{serve}/exe") == str(lab.node("ox1").dir / "bin/upgd-run")
	bench.go("ox1", "ox2")
	bench.reaches_done()


# the connection


def test_a_task_survives_lost_ssh(bench):
	"""Its session is killed on the one node, and falls silent to the other; then there is no sshd at all, and a person can see why."""
	bench.start()
	lab, sshd = bench.lab, bench.lab.sshd
	was = {node: sshd.serve_pid(node) for node in ("ox1", "ox2")}
	os.kill(sshd.sessions("ox1")[0], signal.SIGKILL)
	for pid in sshd.sessions("ox2"):
		os.kill(pid, signal.SIGSTOP)
	lab.wait_until(lambda: sshd.serve_pid("ox1") not in (None, was["ox1"]), 60, "ox1 is spoken to again")
	lab.wait_until(lambda: any(pid not in (None, was["ox2"]) for pid in serves(bench, "ox2")), 60, "ox2 is spoken to again")
	sshd.stop()
	said = f"ox1: no runner since .*: ssh: connect to host 127.0.0.1 port {sshd.port}: Connection refused"
	lab.wait_until(lambda: re.search(said, bench.explain("ox1")), 60, f"explain says {said}")
	assert {u["name"] for u in lab.status()["attention"]} >= {"work/ox1"} and bench.unit("ox1")["state"] == "running"
	sshd.start()
	lab.wait_until(lambda: "no runner" not in bench.explain("ox1"), 60, "ox1 is spoken to once more")
	bench.go("ox1", "ox2")
	bench.reaches_done()


def serves(bench, node):
	"""Every `upgd-run serve` of the node, stopped sessions' too."""
	return [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if "serve" in command_of(p) and str(bench.lab.node(node).dir / "run") in command_of(p)]


# the runner


def test_a_half_dead_task_is_neither_run_again_nor_forgotten(bench):
	"""serve and the supervisor are killed, and what the program had started is not: it is named and waited for, then the step resolves."""
	bench.start(task='cd "$LAB_NODE_DIR"\nsleep 1000 </dev/null >/dev/null 2>&1 & echo $! >child.$$\n' + TASK)
	lab = bench.lab
	program = bench.runs("ox1")[0]
	child = bench.wait_pid("ox1", f"child.{program}")
	os.kill(lab.sshd.serve_pid("ox1"), signal.SIGKILL)
	os.kill(bench.supervisor("ox1"), signal.SIGKILL)
	wait_gone(bench, program)
	said = rf"ox1: its supervisor was killed; 1 of its processes still run and are waited for: {child} \(sleep\)"
	lab.wait_until(lambda: re.search(said, bench.explain("ox1")), 60, f"explain says {said}")
	stays(lambda: bench.unit("ox1")["state"] == "running" and len(bench.runs("ox1")) == 1, 2)
	bench.again()
	lab.wait_until(lambda: re.search(said, bench.explain("ox1")), 60, f"explain says {said}")
	assert re.search(rf"unwatched .*work/ox1", lab.remote("ox1", "upgd-run", "status", "--state", bench.file("ox1", "run")))
	os.kill(child, signal.SIGKILL)
	bench.begun("ox1", 2)
	assert "its answer was lost; it is safe to run again" in bench.explain("ox1")
	bench.go("ox1", "ox2")
	bench.reaches_done(ox1=2)


def test_after_a_reboot_resolve_decides(bench):
	"""Both hosts are off and on again in mid-task. On one of them the work had been done, on the other it had not."""
	bench.start(resolve="probe", more='done_when = [ "done" ]; verify = [ "done" ];')
	lab = bench.lab
	bench.file("ox1", "done").write_text("yes\n")
	lab.sshd.stop()
	for node in ("ox1", "ox2"):
		os.kill(bench.supervisor(node), signal.SIGKILL)
		wait_gone(bench, *bench.runs(node))
	bench.boot.write_text("second-boot\n")
	lab.sshd.start()
	bench.begun("ox2", 2)
	lab.wait_until(lambda: bench.unit("ox1")["state"] == "done", 60, "ox1 was done before")
	for node in ("ox1", "ox2"):
		assert "then the host was restarted before it ended: what it did is unknown" in bench.explain(node)
	bench.file("ox2", "done").write_text("yes\n")
	bench.go("ox2")
	bench.reaches_done(ox2=2)


def test_a_flood_of_output_is_bounded(bench):
	"""1 GiB: the task is not held up, and no more of it is kept than a screen or two of its head and its tail."""
	bench.start(task=f"echo the head\nhead -c {1 << 30} /dev/zero | tr '\\0' x\necho; echo the tail; " + TASK)
	supervisor = bench.supervisor("ox1")
	peak = int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{supervisor}/status").read_text()).group(1))
	assert peak < 16 << 10
	kept = next(bench.file("ox1", "run").glob("r*/out"))
	out = bench.lab.wait_until(lambda: kept.read_text().endswith("the tail\n") and kept.read_text(), 30, "the tail is kept")
	assert len(out) < 66 << 10 and out.startswith("the head\nxxx") and re.search(r"\n\[\d{10} bytes left out\]\nxxx", out)
	assert sum(f.stat().st_size for f in kept.parent.iterdir()) < 100 << 10
	bench.go("ox1", "ox2")
	bench.reaches_done()
	assert "run attempt 1: exit 0 after" in bench.explain("ox1")


def test_what_may_be_killed_is_killed_with_all_it_started(bench):
	"""on_timeout = kill: children and grandchildren, in groups of their own, deaf to SIGTERM, stopped; not a daemon that left."""
	bench.start(task="""cd "$LAB_NODE_DIR"
set -m
trap '' TERM
bash -c 'trap "" TERM; sleep 1000 & echo $! >grandchild; echo $$ >child; while :; do sleep 0.1; done' &
tail -f /dev/null & kill -STOP $!; echo $! >stopped
setsid --fork sh -c 'echo $$ >daemon; exec sleep 1000' </dev/null >/dev/null 2>&1
while [ ! -s child ] || [ ! -s grandchild ] || [ ! -s stopped ] || [ ! -s daemon ]; do sleep 0.05; done
""" + TASK, more='timeout = "6s"; on_timeout = "kill"; retry = 0;', resolve="ask")
	pids = [bench.wait_pid("ox1", name) for name in ("child", "grandchild", "stopped")] + bench.runs("ox1")
	daemon = bench.wait_pid("ox1", "daemon")
	bench.lab.wait_until(lambda: bench.unit("ox1")["state"] == "uncertain", 60, "the step is over its time")
	assert all(is_gone(pid) for pid in pids)
	assert not is_gone(daemon)
	assert re.search(rf"ended by its deadline of 6 s, with SIGKILL as it did not heed SIGTERM; 1 of its processes left its session and still run: {daemon} \(sleep\)",
		bench.explain("ox1"))
	for node in ("ox1", "ox2"):
		os.kill(bench.wait_pid(node, "daemon"), signal.SIGKILL)


# what is left


def records(bench, node):
	"""Tasks that the node's runner still knows."""
	return [d.name for d in bench.file(node, "run").iterdir() if not d.name.startswith(".")]


def say(bench, node, message):
	"""One request to the node's runner, by hand."""
	argv = [bench.lab.dir / "remote", node, *bench.lab.serve_argv(node)]
	subprocess.run(argv, input=message.encode() + b"\0", stdout=subprocess.PIPE, env=bench.lab.procs.env, timeout=30, check=True)


def test_records_whose_acknowledgement_was_lost_are_swept(bench):
	"""As if the acknowledgements had been lost on their way: the next life sees the records, and that their ends are durable here."""
	bench.start()
	lab = bench.lab
	kept = {node: shutil.copytree(bench.file(node, "run"), lab.dir / f"kept-{node}") for node in ("ox1", "ox2")}
	bench.go("ox1", "ox2")
	bench.reaches_done()
	lab.wait_until(lambda: not records(bench, "ox1") + records(bench, "ox2"), 30, "all is acknowledged")
	lab.kill_upgd()
	for node, copy in kept.items():
		shutil.rmtree(bench.file(node, "run"))
		shutil.copytree(copy, bench.file(node, "run"))
		name, = records(bench, node)
		(bench.file(node, "run") / name / "exit").write_text('{"state":"exited","code":0,"took_ms":1}')
	strange = bench.file("ox1", "run") / "r9-1%2Fwork"
	strange.mkdir()
	for name, text in (("spec", '{"id":"r9-1/work"}'), ("started", "{}"), ("exit", '{"state":"exited","code":0}'), ("lock", "")):
		(strange / name).write_text(text)
	assert len(records(bench, "ox1")) == 2
	lab.start_upgd()
	lab.wait_until(lambda: records(bench, "ox2") == [] and records(bench, "ox1") == [strange.name], 60, "only what this journal does not know is left")
	assert lab.status()["strays"] == []


def test_strays_are_named(bench):
	"""A task that a person gave up still runs, and so does one that this journal does not know: said in status and in the log, until they end."""
	bench.start(more='timeout = "2s";', resolve="ask")
	lab = bench.lab
	lab.wait_until(lambda: "over its time" in bench.unit("ox1").get("text", ""), 60, "ox1 is late")
	assert lab.status()["strays"] == []
	lab.upgctl("park", "work/ox1")
	given_up = r"ox1: task r1-[0-9a-f]+/work/ox1/run/ox1/do/1/\d+ still runs, and nobody waits for it: rollout 1 has given it up"
	named = lambda *texts: len(lab.status()["strays"]) == len(texts) and all(any(re.search(t, o) for o in lab.status()["strays"]) for t in texts)
	lab.wait_until(lambda: named(given_up), 60, given_up)
	bench.go("ox2")
	assert lab.wait_for_state("partial")
	lab.kill_upgd()
	say(bench, "ox2", '{"op":"start","id":"r7-1/work/x/1","argv":["sleep","1000"]}')
	lab.start_upgd()
	over, strange = given_up.replace("has given it up", "is over"), "ox2: task r7-1/work/x/1 still runs, and nobody waits for it: it is not in this journal"
	lab.wait_until(lambda: named(over, strange), 60, f"{over} and {strange}")
	assert re.search(strange, lab.upgctl("status", codes=None)) and re.search(strange, (lab.dir / "log/upgd.log").read_text())
	bench.go("ox1")
	say(bench, "ox2", '{"op":"cancel","id":"r7-1/work/x/1"}')
	lab.wait_until(lambda: lab.status()["strays"] == [], 60, "no strays are left")
	lab.wait_until(lambda: records(bench, "ox1") == [], 60, "the record of what was given up is swept")
