# SPDX-License-Identifier: MIT
"""What HAProxy does behind upgd's back, and what persons and agents do in it. Two more of these are in test_faults.py."""

import contextlib
import os
import re
import signal
import socket
import threading
import time

import pytest

from test_bad_input import PROFILE
from test_faults import (each_update_ran_once, logged, main, next_update, no_unit_failed, reaches_done, request_in_flight, state, stays, stop_child,
	unit, wait_for_log, wait_for_server)
from test_rollout import START, TASK, hold, nobody_failed, records, tenants, unit_is


@pytest.fixture
def small(make_lab):
	def make(users=0, drain=None, prepare=None, **options):
		lab = make_lab(**{"nodes": 3, "schemata": 6, "contexts": 5, **options})
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


def now_ms():
	return time.time_ns() // 1_000_000


def put_back(lab, since, count, seconds=30):
	"""[(ms until it was put back, ms until that was seen)] of so many servers, as upgd's own records have it."""
	def there():
		new = [r for r in records(lab) if r["at"] >= since]
		lifts = [r["at"] - since for r in new if r["kind"] == "lift"]
		return [(r["at"] - since, lift) for r, lift in zip((r for r in new if r["kind"] == "reassert"), lifts)] if len(lifts) >= count else None
	return lab.wait_until(there, seconds, f"{count} servers are put back")


def in_first_window(lab, ms):
	"""One node is converted, and a schema is in its window for so long."""
	lab.fault(f"task.any.{TASK}", f"slow:{ms}")
	lab.upgctl(*START, "--yes")
	return next_update(lab, ())


def hard_restart(lab, name):
	"""As a crash: master and worker at once. Returns when the new one answers, with the time of its start."""
	worker = int(lab.info(name)["Pid"])
	start = stop_child_hard(lab, name)
	with contextlib.suppress(ProcessLookupError):
		os.kill(worker, signal.SIGKILL)
	began = now_ms()
	start()
	lab.wait_until(lambda: lab.info(name).get("Pid", str(worker)) != str(worker), 20, f"{name} is there again")
	return began


def stop_child_hard(lab, name):
	process = next(p for p in lab.procs.children if p.name == name)
	argv = process.popen.args
	process.stop(signal.SIGKILL)
	lab.procs.children.remove(process)
	return lambda: lab.procs.start(name, argv)


def test_reload_and_hard_restart_in_a_window(small):
	"""Forgotten drains are put back within 2 s; who changed what is told rightly also by an upgd that was away meanwhile."""
	lab = small(users=60)
	schema = in_first_window(lab, 12000)
	times = {}
	for turn in range(3):  # a machine that is busy elsewhere may miss it once
		began = now_ms()
		lab.reload_lb("lb2")
		times[f"reload {turn + 1} of lb2"] = pairs = put_back(lab, began, 1)
		if pairs[0][0] <= 2000:
			break
	else:
		pytest.fail(f"not put back within 2 s: {times}")
	end = lab.stop_users()
	wrong = [line for line in end["last_failures"] if "ox1" in line]
	print(f"requests that a wrong node served meanwhile: {end['failed']} of {end['requests']}: {wrong}")
	assert end["failed"] <= 20 * len(times) and len(wrong) == min(end["failed"], len(end["last_failures"])), end["last_failures"]
	times["restart of lb1"] = put_back(lab, hard_restart(lab, "lb1"), 1)
	times["restart of sec"] = put_back(lab, hard_restart(lab, "sec"), 1)
	print(f"ms from the reload or restart to put back, seen: {times}")
	assert all(0 < back <= seen for pairs in times.values() for back, seen in pairs), times
	assert unit(lab, f"migrate/{schema}")["in_window"] and [state(lab, b, "ox1") for b in ("lb1", "lb2")] == ["MAINT"] * 2
	assert "foreign" not in {r["kind"] for r in records(lab)}
	# upgd is away, HAProxy forgets: put back. upgd is away, a person sets: shown
	lab.kill_upgd()
	lab.reload_lb("lb1")
	with request_in_flight(lab, "ox1", "lb1"):
		pass  # somebody whom the wrong node serves
	began = now_ms()
	lab.start_upgd()
	put_back(lab, began, 1)
	text = next(r["text"] for r in records(lab) if r["at"] >= began and r["kind"] == "reassert")
	assert re.fullmatch(r"ox1 in main: ready, we want maint; the process is new, put back; it had sent [1-9]\d* sessions? there", text), text
	lab.kill_upgd()
	lab.set_server("lb1", "ox1", "ready")
	lab.start_upgd()
	found = hold(lab, "contested")
	assert found["scope"] == "main/ox1" and "maint" in found["text"], found
	kinds = [r["kind"] for r in records(lab)]
	assert kinds.count("foreign") == 1 and kinds.count("reassert") == len(times) + 1
	stays(lambda: state(lab, "lb1", "ox1") != "MAINT", 1)
	lab.set_server("lb1", "ox1", "maint")
	lab.fault(f"task.any.{TASK}", None)
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)


def test_an_old_worker_still_serves(small):
	"""With a state file a reload forgets nothing, and nobody notices; the old worker's request is waited for, the new one's zero is no proof."""
	lab = small(users=60, drain="60s", state_file=True)
	with request_in_flight(lab, "ox1", "lb1"):
		lab.upgctl(*START, "--yes")
		wait_for_server(lab, "lb1", "ox1", "DRAIN")
		(lab.dir / "lb/lb1.state").write_text(lab.lb("lb1", "show servers state"))
		lab.reload_lb("lb1")
		assert state(lab, "lb1", "ox1") == "DRAIN"
		wait_for_log(lab, "process .*process 1 of main is pid .* it was")
		lab.wait_until(lambda: lab.servers("lb1")["ox1"]["scur"] == "0", 30, "the new worker has nothing in flight there")
		stays(lambda: unit(lab, "convert/ox1")["step"] == "drain", 3)
		assert not logged(lab, "intent .*unit=convert/ox1 step=quiet")
	reaches_done(lab)
	no_unit_failed(lab)
	assert not {"reassert", "foreign"} & {r["kind"] for r in records(lab)}
	nobody_failed(lab)


def rewrite(lab, name, pattern, new):
	"""An edit of its configuration, and the reload. Returns the text as it was."""
	path = lab.dir / f"lb/{name}.cfg"
	before = path.read_text()
	path.write_text(re.sub(pattern, new, before, flags=re.M))
	assert path.read_text() != before
	lab.reload_lb(name)
	return before


def restore(lab, name, text):
	(lab.dir / f"lb/{name}.cfg").write_text(text)
	lab.reload_lb(name)


def test_what_cannot_be_understood_holds(small):
	"""A socket that accepts and says nothing, a backend that was renamed, a server that is not there: named, waited for or failed, never success."""
	lab = small()
	lab.upgctl(*START)
	lab.upgctl("approve", "prepare/freeze")
	unit_is(lab, "convert/ox1", step="first-boot")
	worker = int(lab.info("lb2")["Pid"])
	os.kill(worker, signal.SIGSTOP)
	try:
		lab.wait_until(lambda: main(lab)["reachable"] == 1, 30, "upgd misses lb2")
		lab.upgctl("approve", "convert/first-boot")
		assert "lb2.sock" in lab.upgctl("status", codes=None) and "2000 ms" in lab.upgctl("status", codes=None)
		stays(lambda: unit(lab, "convert/ox1")["step"] in ("first-boot", "drain") and state(lab, "lb1", "ox1") in ("UP", "DRAIN"), 3)
	finally:
		os.kill(worker, signal.SIGCONT)
	lab.fault(f"task.any.{TASK}", "slow:3000")
	schema = next_update(lab, ())
	# the backend of one process has another name
	before = rewrite(lab, "lb1", r"\bbe_ox\b", "be_other")
	wait_for_log(lab, f"unit run=.*unit=migrate/{schema} code=done")  # a window closes whatever the balancers say
	lab.fault(f"task.any.{TASK}", None)
	lab.wait_until(lambda: "lb1.sock: no backend be_ox (renamed?)" in lab.upgctl("status", codes=None), 20, "status says why")
	stays(lambda: unit(lab, "convert/ox2")["state"] == "waiting" and unit(lab, "migrate/oxdatabase_1")["state"] in ("waiting", "running"), 2)
	# a server is missing where it is to become ready
	other = rewrite(lab, "sec", r"^\tserver ox2 .*\n", "")
	restore(lab, "lb1", before)
	stands = unit_is(lab, "convert/ox2", state="failed")
	assert stands["step"] == "join"
	text = lab.upgctl("explain", "convert/ox2")
	assert 'backend be_ox_new has no server "ox2"' in text and "upgctl retry convert/ox2" in text
	lab.wait_until(lambda: "there is no server ox2, which is to be ready" in lab.upgctl("status", codes=None), 20, "status says what is missing")
	assert not logged(lab, "unit run=.*unit=convert/ox2 code=done")
	restore(lab, "sec", other)
	lab.upgctl("retry", "convert/ox2")
	reaches_done(lab)
	each_update_ran_once(lab)
	assert "foreign" not in {r["kind"] for r in records(lab)}


@pytest.mark.long
@pytest.mark.parametrize("then", ["shutdown", "old worker", "hold"])
def test_a_request_that_never_ends(small, tmp_path, then):
	"""Its server goes DOWN meanwhile; that is no end of it. `next` goes on to the next step, `shutdown` cuts it, `hold` waits."""
	profile = tmp_path / "ox-appsuite.conf"
	text = PROFILE.read_text().replace('want = "maint"; idle = "30s"; then = "shutdown"', f'want = "maint"; idle = "2s"; then = "{then if then == "hold" else "shutdown"}"')
	assert text != PROFILE.read_text()
	profile.write_text(text)
	lab = small(drain="1s", nodes=2, profile=profile)
	with request_in_flight(lab, "ox1", "lb1") as client:
		lab.upgctl(*START, "--yes")
		wait_for_server(lab, "lb1", "ox1", "DRAIN")
		if then == "old worker":
			lab.reload_lb("lb1")
		lab.fault("health", "503", node="ox1")
		wait_for_server(lab, "lb1", "ox1", "DOWN", "MAINT")
		wait_for_log(lab, "acted .*unit=convert/ox1 step=drain text=\"1 sessions left")
		if then == "old worker":
			wait_for_log(lab, "acted .*unit=convert/ox1 step=quiet .*text=\"1 requests were still in flight and were shut down; 1 go on all the same, in old workers")
		elif then == "shutdown":
			wait_for_log(lab, "acted .*unit=convert/ox1 step=quiet text=\"1 requests were still in flight and were shut down")
			client.settimeout(30)
			assert client.recv(4096) == b""  # cut by HAProxy; a node that ends would be a 502
		else:
			wait_for_server(lab, "lb1", "ox1", "MAINT")
			says = "1 requests are still in flight to ox1 in balancer main, and it is to be idle: end them, or wait"
			lab.wait_until(lambda: unit(lab, "convert/ox1").get("text") == says, 20, "the unit says what it waits for")
			assert "convert/ox1" in {u["name"] for u in lab.status()["attention"]} and says in lab.upgctl("explain", "convert/ox1")
			stays(lambda: unit(lab, "convert/ox1")["step"] == "quiet", 3)
		lab.fault("health", None, node="ox1")
	reaches_done(lab)
	no_unit_failed(lab)


@contextlib.contextmanager
def agent(lab):
	"""A HAProxy agent for ox1 in lb1. say["word"] is its answer; up: no opinion of ours."""
	say = {"word": "up"}
	with socket.create_server(("127.0.0.1", 0)) as server:
		def serve():
			while True:
				try:
					peer, _ = server.accept()
				except OSError:
					return
				with peer, contextlib.suppress(OSError):
					peer.sendall(say["word"].encode() + b"\n")
		thread = threading.Thread(target=serve)
		thread.start()
		try:
			port = server.getsockname()[1]
			rewrite(lab, "lb1", r"^(\tserver ox1 .*)$", rf"\1 agent-check agent-port {port} agent-inter 200ms")
			yield say
		finally:
			server.shutdown(socket.SHUT_RDWR)
			thread.join()


@pytest.mark.long
def test_an_agent_check_that_overrides(small):
	"""Its `ready` cancels a drain, and a maintenance: as a person's hand, not fought. While it has its say nothing more is done to that node."""
	lab = small(nodes=2)
	with agent(lab) as say:
		wait_for_server(lab, "lb1", "ox1", "UP")
		say["word"] = "ready"
		lab.upgctl(*START, "--yes")
		stands = unit_is(lab, "convert/ox1", state="failed")
		assert stands["step"] in ("drain", "quiet")
		assert "a person or an agent check changed it" in lab.upgctl("explain", "convert/ox1")
		assert not logged(lab, "intent .*unit=convert/ox1 step=stop")
		say["word"] = "up"
		lab.upgctl("retry", "convert/ox1")
		wait_for_log(lab, "unit run=.* unit=convert/ox1 .*code=done")
		say["word"] = "ready"
		found = hold(lab, "contested")
		assert found["scope"] == "main/ox1", found
		say["word"] = "up"
		lab.set_server("lb1", "ox1", "maint")
		reaches_done(lab)
		kinds = [r["kind"] for r in records(lab)]
		assert kinds.count("foreign") == kinds.count("lift") >= 1 and "reassert" not in kinds
