# SPDX-License-Identifier: MIT
"""What breaks on the way: the daemon, the tools it runs, nodes, balancers, databases and disks; and people who reach in."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from procs import marked
from test_rollout import START, TASK, all_is_new, hold, nobody_failed, pending, records, schemata, servers, tenants, unit_is

FIRST = "oxdatabase_3"  # the largest: the canary of `migrate`
LOG = "log/upgd.log"


@pytest.fixture
def small(make_lab):
	"""Three nodes, six schemata, upgd. users=0: for tests that cut off users themselves."""
	def make(users=60, drain=None, prepare=None):
		lab = make_lab(nodes=3, schemata=6, contexts=5)
		if drain:
			conf = lab.dir / "upgd.conf"
			conf.write_text(conf.read_text().replace('drain = "30s"', f'drain = "{drain}"'))
		if prepare:
			prepare(lab)
		lab.before = tenants(lab)
		lab.start_upgd()
		if users:
			lab.start_users(users)
		return lab
	return make


# what is seen


def logged(lab, pattern, count=1):
	"""Whether upgd's log has so many lines like this. It is read anew each time: it is short, and no line is missed."""
	return len(re.findall(pattern, (lab.dir / LOG).read_text(), re.MULTILINE)) >= count


def wait_for_log(lab, pattern, seconds=90):
	lab.wait_until(lambda: logged(lab, pattern), seconds, f"upgd logs {pattern}")


def wait_for_task(lab, schema, seconds=90):
	"""The slow task of the schema is running, on whatever node."""
	line = f"schema {schema}: task com.openexchange.groupware.update.tasks.{TASK}"
	lab.wait_until(lambda: task_runs(lab)[(schema, TASK)] > 0, seconds, line)


def next_update(lab, known):
	"""Of a schema not known, once its slow task runs. Which one comes first is upgd's affair."""
	return lab.wait_until(lambda: next((s for s, task in task_runs(lab) if task == TASK and s not in known), None), 90, "the next update is at its slow task")


def pool_of(lab, schema):
	return next(s["pool"] for s in lab.summary["schemata"] if s["name"] == schema)


def server_of(lab, schema):
	return 2 if pool_of(lab, schema) == 5 else 1


def task_runs(lab):
	"""{(schema, task): how often a node began it}"""
	found = collections.Counter()
	for path in lab.dir.glob("nodes/*/node.log"):
		for schema, task in re.findall(r"^schema (\S+): task \S*?(\w+)$", path.read_text(errors="replace"), re.MULTILINE):
			found[(schema, task)] += 1
	return found


def each_update_ran_once(lab):
	runs = task_runs(lab)
	assert {schema for schema, _ in runs} == set(schemata(lab))
	assert [(key, n) for key, n in runs.items() if n != 1] == []
	for name in schemata(lab):
		assert lab.sql(f"SELECT taskName FROM {name}.updateTask GROUP BY taskName HAVING COUNT(*) > 1", server_of(lab, name)) == []


def no_unit_failed(lab):
	assert not re.findall(r"unit run=.* code=(?:failed|uncertain|parked).*", (lab.dir / LOG).read_text())


def reaches_done(lab, seconds=120):
	assert lab.wait_for_state("done", "partial", "aborted", seconds=seconds)["state"] == "done"
	all_is_new(lab)


def again(lab):
	lab.kill_upgd()
	lab.start_upgd()


def command_of(pid):
	try:
		return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
	except OSError:
		return []


def parent_of(pid):
	return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def tool_pid(lab, schema):
	"""runupdate's process for that schema."""
	def there():
		for pid in marked(lab.mark):
			argv = command_of(pid)
			if argv and argv[0].endswith(b"runupdate") and schema.encode() in argv:
				return pid
		return None
	return lab.wait_until(there, 30, f"runupdate of {schema} runs")


# the daemon is killed


def test_killed_at_the_start_of_each_stage_and_in_each_step_of_a_window(small):
	lab = small()
	lab.fault(f"task.{FIRST}.{TASK}", "slow:1500")
	lab.upgctl(*START, "--yes")
	moments = [f"admit .*unit={stage}/" for stage in ("prepare", "redirect", "convert", "migrate")]
	moments += [f"intent .*unit=migrate/{FIRST} step={step}" for step in ("disable", "repoint", "update")]
	for moment in moments:
		wait_for_log(lab, moment)
		again(lab)
	wait_for_task(lab, FIRST)
	again(lab)
	assert unit_is(lab, f"migrate/{FIRST}", state="running", step="update")["in_window"]
	moments = [f"intent .*unit=migrate/{FIRST} step=enable", "intent .*unit=convert/ox2 step=install", "intent .*unit=migrate/oxdatabase_archive step=enable"]
	moments += [f"admit .*unit={stage}/" for stage in ("sweep", "flip", "settle", "close")]
	for moment in moments:
		wait_for_log(lab, moment)
		again(lab)
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	nobody_failed(lab)


# what it runs is killed


def test_the_tool_and_then_the_supervisor_are_killed_in_their_windows(small):
	"""The update itself goes on in the node; what upgd knows is only that its answer will not come."""
	lab = small()
	lab.fault(f"task.any.{TASK}", "slow:3000")
	lab.upgctl(*START, "--yes")
	first = next_update(lab, ())
	os.kill(tool_pid(lab, first), signal.SIGKILL)
	stands(lab, first, "signal 9")
	wait_updated(lab, first)
	lab.upgctl("retry", f"migrate/{first}")
	second = next_update(lab, {first})
	supervisor = parent_of(tool_pid(lab, second))
	assert b"supervise" in command_of(supervisor)
	os.kill(supervisor, signal.SIGKILL)
	stands(lab, second, "lost")
	wait_updated(lab, second)
	lab.fault(f"task.any.{TASK}", None)
	lab.upgctl("retry", f"migrate/{second}")
	reaches_done(lab)
	each_update_ran_once(lab)
	nobody_failed(lab)


def stands(lab, schema, why):
	"""Failed or uncertain in its window, explain names it and says why, and nothing of it goes on by itself."""
	name = f"migrate/{schema}"
	def there():
		unit = lab.units("migrate")[name]
		return unit if unit["state"] in ("failed", "uncertain") else None
	unit = lab.wait_until(there, 60, f"{name} stands")
	assert unit["in_window"] and unit["step"] == "update"
	text = lab.upgctl("explain", name)
	assert name in text and f"upgctl retry {name}" in text
	assert re.search(why, text), text
	return unit


def is_locked(lab, schema):
	return lab.sql(f"SELECT taskName FROM {schema}.updateTask WHERE taskName IN ('LOCKED', 'BACKGROUND')", server_of(lab, schema)) != []


def wait_updated(lab, schema):
	"""Between its two phases nothing is locked for a moment: the background tasks are still to come."""
	lab.wait_until(lambda: not pending(lab, schema) and not is_locked(lab, schema), 60, f"{schema} is updated")


def test_the_new_node_dies_in_the_middle_of_an_update(small):
	lab = small(users=0)  # the only new node dies: who was moved is cut off, and not by upgd
	lab.fault(f"task.any.{TASK}", "once:die")
	lab.upgctl(*START, "--yes")
	schema = next_update(lab, ())
	stands(lab, schema, "no answer")
	assert is_locked(lab, schema)
	node = next(n.name for n in lab.nodes if lab.health(n.name)[0] == 0)
	lab.systemctl(node, "start")
	lab.wait_until(lambda: lab.is_healthy(node), 30, f"{node} is healthy")
	# too early: runupdate says success and has done nothing
	lab.upgctl("retry", f"migrate/{schema}")
	stands(lab, schema, "LOCKED")
	lab.remote(node, "unblockdatabase", "-P", (lab.dir / "secrets/ox").read_text().strip(), "-i", pool_of(lab, schema), "--schema", schema)
	lab.upgctl("retry", f"migrate/{schema}")
	reaches_done(lab)
	runs = task_runs(lab)
	assert runs.pop((schema, TASK)) == 2 and set(runs.values()) == {1}


# balancers


@contextlib.contextmanager
def request_in_flight(lab, node, balancer):
	"""A user whose request takes as long as we like: its body never comes. What drains the node must wait for it."""
	port = lab.lb_ports[balancer]
	with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
		s.sendall(f"POST /ajax/login?action=login HTTP/1.1\r\nHost: lab\r\nCookie: SRV={node}\r\nContent-Length: 8\r\n\r\n".encode())
		lab.wait_until(lambda: int(lab.servers(balancer)[node]["scur"]) > 0, 10, f"a request through {balancer} is in flight on {node}")
		yield s


def state(lab, balancer, node):
	return lab.servers(balancer)[node]["status"].split()[0]


def wait_for_server(lab, balancer, node, *states):
	lab.wait_until(lambda: state(lab, balancer, node) in states, 20, f"{node} is {states} in {balancer}")


def stays(condition, seconds):
	"""Watched so long that upgd has had its chance to do otherwise; it looks every 100 to 500 ms."""
	until = time.monotonic() + seconds
	while time.monotonic() < until:
		assert condition()


def test_a_reload_forgets_drains_and_upgd_does_not(small):
	lab = small(drain="60s")
	with request_in_flight(lab, "ox1", "lb2"):
		lab.upgctl(*START, "--yes")
		wait_for_server(lab, "lb1", "ox1", "DRAIN")
		lab.reload_lb("lb1")
		wait_for_server(lab, "lb1", "ox1", "DRAIN")  # the step that drains it sets it again, and waits on
		assert lab.units("convert")["convert/ox1"]["step"] == "drain"
	# and again while the node is away: a new worker takes it for up until its first checks, and what it sends there is the gap
	wait_for_log(lab, "intent .*unit=convert/ox1 step=install")
	failed = lab.users_summary()["failed"]
	assert failed == 0, lab.users_summary()["last_failures"]
	lab.reload_lb("lb2")
	wait_for_log(lab, "reassert .*ox1 in main: ready, we want maint; the process is new")
	assert unit(lab, "flip/ox1")["state"] == "waiting"
	wait_for_server(lab, "lb2", "ox1", "MAINT")
	reaches_done(lab)
	no_unit_failed(lab)
	assert "foreign" not in {r["kind"] for r in records(lab)}
	end = lab.stop_users()
	print(f"requests in the gap: {end['failed']} of {end['requests']}: {end['last_failures']}")
	assert all("ox1" in line for line in end["last_failures"]) and end["failed"] <= 20


def test_a_balancer_that_does_not_answer_and_a_hand_that_reaches_in(small):
	lab = small(users=0, drain="60s")
	with request_in_flight(lab, "ox1", "lb1"):
		lab.upgctl(*START, "--yes")
		wait_for_server(lab, "lb2", "ox1", "DRAIN")
		start = stop_child(lab, "lb2")
		lab.wait_until(lambda: main(lab)["reachable"] == 1, 30, "upgd misses lb2")
	lab.wait_until(lambda: lab.servers("lb1")["ox1"]["scur"] == "0", 20, "nothing in flight where one can see")
	stays(lambda: unit(lab, "convert/ox1")["step"] == "drain" and state(lab, "lb1", "ox1") == "DRAIN", 3)
	assert "lb2.sock" in lab.upgctl("status", codes=None)
	start()
	wait_for_log(lab, "unit run=.* unit=convert/ox1 .*code=done")
	# while ox1 is ours in maint, a person has it ready: shown, not fought, and nothing more is done to ox1
	lab.set_server("lb1", "ox1", "ready")
	found = hold(lab, "contested")
	assert found["scope"] == "main/ox1" and found["who"] in ("operator", "world")
	lab.wait_until(lambda: unit(lab, "flip/ox2")["state"] == "done", 90, "all others go on")
	stays(lambda: unit(lab, "flip/ox1")["state"] == "waiting" and state(lab, "lb1", "ox1") != "MAINT", 2)
	lab.set_server("lb1", "ox1", "maint")
	reaches_done(lab)
	no_unit_failed(lab)
	kinds = [r["kind"] for r in records(lab)]
	assert kinds.count("foreign") == kinds.count("lift") == 1


def main(lab):
	return next(b for b in lab.status()["balancers"] if b["name"] == "main")


def unit(lab, name):
	return lab.units(name.split("/")[0])[name]


# databases


def stop_child(lab, name):
	"""As `systemctl stop`; returns what starts it again."""
	process = next(p for p in lab.procs.children if p.name == name)
	argv = process.popen.args
	process.stop(seconds=30)
	lab.procs.children.remove(process)
	return lambda: lab.procs.start(name, argv)


def test_a_database_goes_away_and_comes_back(small):
	"""Its schemata wait, and nobody has to say anything when it is there again."""
	lab = small(users=0)
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, "intent .*unit=convert/ox1 step=install")
	start = stop_child(lab, "db2")
	wait_for_log(lab, f"unit run=.*unit=migrate/{FIRST} code=done")
	found = hold(lab, "host")
	assert found["scope"] == "db2" and "db2 cannot be reached" in found["text"] and found["who"] == "world"
	stays(lambda: unit(lab, "migrate/oxdatabase_2")["state"] == "waiting", 2)
	start()
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)


# the end of the daemon


def test_sigterm_closes_the_open_window_first(small):
	lab = small()
	lab.fault(f"task.any.{TASK}", "slow:2000")
	lab.upgctl(*START, "--yes")
	schema = next_update(lab, ())
	second = subprocess.run([lab.build / "daemon/upgd", "-c", lab.dir / "upgd.conf"], capture_output=True, text=True, timeout=30, check=False)
	assert second.returncode == 1 and f"another upgd (pid {lab.upgd.pid})" in second.stderr, second.stderr
	assert lab.stop_upgd(seconds=60) == 0
	log = (lab.dir / LOG).read_text()
	after = log[log.index("nothing new starts, 1 open windows close first"):]
	assert f"unit=migrate/{schema} code=done" in after and "admit" not in after and "ending: no window is open" in after
	assert {cid: t[2:] for cid, t in tenants(lab).items()} == {cid: t[2:] for cid, t in lab.before.items()}
	lab.fault(f"task.any.{TASK}", None)
	lab.start_upgd()
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	nobody_failed(lab)


# disks


@contextlib.contextmanager
def small_disk(path, size):
	subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
	try:
		yield
	finally:
		subprocess.run(["umount", "-l", path], check=True)


def fill(path):
	with open(path, "ab", buffering=0) as out, contextlib.suppress(OSError):
		while True:
			out.write(b"x" * 4096)


def says_pause_until(lab, condition):
	"""Something to be written down, on a full disk."""
	fill(lab.dir / "state/filler")
	for verb in ("pause", "resume"):  # one that is cut off is asked again for a minute
		lab.upgctl(verb, codes=None, seconds=100)
	return condition()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of its own needs root")
def test_the_disk_under_the_journal_is_full(make_lab):
	"""Full: nothing new, what is open closes out of the ballast. Fuller: it says so and ends. Room again: it goes on."""
	lab = make_lab(nodes=3, schemata=6, contexts=5)
	lab.before = tenants(lab)
	with contextlib.ExitStack() as stack:
		stack.enter_context(small_disk(lab.dir / "state", "40m"))
		stack.callback(lambda: lab.upgd and lab.kill_upgd())
		lab.start_upgd()
		lab.start_users(60)
		assert (lab.dir / "state/ballast").stat().st_size == 16 << 20
		lab.fault(f"task.any.{TASK}", "slow:2000")
		lab.upgctl(*START, "--yes")
		schema = next_update(lab, ())
		fill(lab.dir / "state/filler")
		wait_for_log(lab, "the journal's disk is full")
		wait_for_log(lab, f"unit run=.*unit=migrate/{schema} code=done")
		found = hold(lab, "disk")
		assert found["who"] in ("world", "operator") and lab.status()["low"] and lab.status()["tenants_down"] == 0
		log = (lab.dir / LOG).read_text()
		assert "admit" not in log[log.index("the journal's disk is full"):]
		# room again, and then fuller than that in a window: what cannot be written down is not done
		lab.fault(f"task.any.{TASK}", "slow:6000")
		os.unlink(lab.dir / "state/filler")
		wait_for_log(lab, "there is room for the journal again")
		schema = next_update(lab, {schema})
		lab.wait_until(lambda: says_pause_until(lab, lambda: logged(lab, "the journal's disk is full", 2)), 60, "the disk is full again")
		lab.wait_until(lambda: says_pause_until(lab, lambda: not lab.upgd.alive()), 60, "upgd ends")
		assert lab.stop_upgd() == 1 and logged(lab, "the journal cannot be written: .*: free some space on that disk")
		os.unlink(lab.dir / "state/filler")
		lab.fault(f"task.any.{TASK}", None)
		lab.start_upgd()
		lab.upgctl("resume", codes=None)
		reaches_done(lab)
		no_unit_failed(lab)
		each_update_ran_once(lab)
		nobody_failed(lab)
		assert lab.stop_upgd() == 0
