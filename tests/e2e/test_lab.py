# SPDX-License-Identifier: MIT
"""The lab itself, without upgd: it serves, HAProxy is what the facts say, the judge can fail, nothing is left behind."""

import os
import signal
import subprocess
import sys
import urllib.request

from procs import marked, start_time


def requests_more(lab, n):
	"""Waits for n more requests; the summary then."""
	begin = lab.users_summary()["requests"]
	return lab.wait_until(lambda: (s := lab.users_summary())["requests"] >= begin + n and s, 30, f"{n} more requests")


def in_flight(lab, node):
	return sum(int(lab.servers(name)[node]["scur"]) for name in ("lb1", "lb2"))


def set_both(lab, node, state):
	for name in ("lb1", "lb2"):
		lab.set_server(name, node, state)


def visitor(lab):
	"""The node that serves one who comes without a cookie."""
	with urllib.request.urlopen(lab.main_urls[0] + "/ajax/mail?session=none", timeout=5) as answer:
		return answer.headers["X-Lab-Node"]


def test_data_is_spread_over_two_servers(lab):
	pools = {row[0] for row in lab.sql("SELECT DISTINCT write_db_pool_id FROM configdb.context_server2db_pool")}
	first = {row[0] for row in lab.sql("SHOW DATABASES LIKE 'oxdatabase%'", 1)}
	second = {row[0] for row in lab.sql("SHOW DATABASES LIKE 'oxdatabase%'", 2)}
	assert pools == {"3", "4", "5"} and first and second and not first & second and len(first | second) == 12


def test_a_node_is_rolled_by_hand_without_a_failure(lab):
	"""drain, idle, maint, stop, start, drain, healthy, ready, on both processes: no user notices."""
	lab.start_users()
	requests_more(lab, 1500)
	set_both(lab, "ox1", "drain")
	# cookie clients go on hitting a drained server; maint moves them
	set_both(lab, "ox1", "maint")
	lab.wait_until(lambda: in_flight(lab, "ox1") == 0, 15, "nothing in flight on ox1")
	lab.systemctl("ox1", "stop")
	requests_more(lab, 1000)
	lab.systemctl("ox1", "start")
	lab.wait_until(lambda: lab.is_healthy("ox1"), 20, "ox1 is healthy")
	set_both(lab, "ox1", "drain")
	for name in ("lb1", "lb2"):
		lab.wait_until(lambda name=name: lab.servers(name)["ox1"]["check_status"] == "L7OK" and lab.servers(name)["ox1"]["status"] == "DRAIN", 10, f"{name} sees ox1 healthy")
	set_both(lab, "ox1", "ready")
	# the users stay where their cookies lead; who comes anew reaches ox1 too
	lab.wait_until(lambda: visitor(lab) == "ox1", 20, "ox1 serves again")
	end = lab.stop_users()
	assert end["failed"] == 0, end["last_failures"]
	assert end["denied"] == 0 and end["redirected"] == 0 and end["ok"] > 2500


def test_the_judge_sees_a_hard_stop(lab):
	lab.start_users()
	requests_more(lab, 500)
	# a node that stands still first: one killed between two requests hurts nobody, HAProxy tries them elsewhere
	pid = lab.node_pid("ox2")
	os.kill(pid, signal.SIGSTOP)
	lab.wait_until(lambda: in_flight(lab, "ox2") > 0, 10, "a request is in flight on ox2")
	os.kill(pid, signal.SIGKILL)
	end = lab.wait_until(lambda: (s := lab.users_summary())["failed"] > 0 and s, 20, "a failure is seen")
	assert end["last_failures"]


def test_secondary_starts_without_servers(lab):
	assert {row["status"] for row in lab.servers("sec").values()} == {"MAINT"}


def test_a_reload_forgets_what_was_set(lab):
	lab.set_server("lb1", "ox3", "maint")
	lab.reload_lb("lb1")
	lab.wait_until(lambda: lab.servers("lb1")["ox3"]["status"].startswith("UP"), 10, "the drain is forgotten")
	assert lab.servers("lb2")["ox3"]["status"] == "UP"


def test_an_unreachable_host(lab):
	lab.fault("ssh", "refuse", node="ox4")
	done = subprocess.run([lab.dir / "remote", "ox4", "true"], capture_output=True, text=True, check=False)
	assert done.returncode == 255 and "No route to host" in done.stderr
	lab.fault("ssh", None, node="ox4")
	assert lab.remote("ox4", "true") == ""


def test_two_labs_side_by_side(make_lab):
	one, two = make_lab(nodes=2, schemata=6), make_lab(nodes=2, schemata=6)
	assert not set(one.ports.locks) & set(two.ports.locks)
	one.start_users(20)
	two.start_users(20)
	two.stop()
	requests_more(one, 200)
	assert one.stop_users()["failed"] == 0


def test_nothing_is_left_behind(make_lab):
	lab = make_lab(nodes=2, schemata=6)
	lab.start_users(20)
	assert len(marked(lab.mark)) > 8
	lab.stop()
	assert marked(lab.mark) == []


def test_nothing_is_left_behind_when_its_keeper_is_killed(tmp_path_factory, lab):
	"""kill -9 of the process that owns the lab: the guard ends the rest, nodes and all."""
	code = f"""
import sys; sys.path.insert(0, {os.path.dirname(sys.modules['procs'].__file__)!r})
from lab import Lab
l = Lab(build={str(lab.build)!r}, nodes=2, schemata=6); l.start(); print(l.mark, l.dir, flush=True); sys.stdin.read()
"""
	with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
		try:
			mark, directory = keeper.stdout.readline().split()
			assert len(marked(mark)) > 6
		finally:
			keeper.kill()
	lab.wait_until(lambda: not marked(mark), 15, "the guard swept")
	lab.wait_until(lambda: not os.path.exists(directory), 15, "the temporary directory is gone")
	assert start_time(keeper.pid) is None
