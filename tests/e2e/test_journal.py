# SPDX-License-Identifier: MIT
"""The journal when things go wrong: the runbook that a person has without a daemon, and disks that fail under it."""

import contextlib
import os
import re
import subprocess

import pytest

from test_faults import LOG, each_update_ran_once, logged, next_update, reaches_done, request_in_flight, wait_for_log
from test_rollout import NEW, START, TASK, everywhere, only_the_owner_changed, packages, properties, servers, tenants


@pytest.fixture
def small(make_lab):
	"""Two nodes, six schemata, upgd; no users."""
	def make(**options):
		lab = make_lab(nodes=2, schemata=6, contexts=3, **options)
		lab.before = tenants(lab)
		lab.start_upgd()
		return lab
	return make


def offline(lab, what, *more, code=0):
	done = subprocess.run([lab.build / "daemon/upgd", "--offline", what, "-c", lab.dir / "upgd.conf", *more],
		capture_output=True, text=True, timeout=60, check=False)
	assert done.returncode == code, done.stderr
	return done.stdout if code == 0 else done.stderr


def by_hand(lab):
	"""Does what the runbook says, all of it, in order. Returns the book."""
	book = offline(lab, "runbook")
	(lab.dir / "log/runbook.log").write_text(book)
	done = subprocess.run(["bash"], input=book, capture_output=True, text=True, timeout=120, env=lab.procs.env, check=False)
	(lab.dir / "log/by-hand.log").write_text(done.stdout + done.stderr)
	assert [line for line in done.stderr.splitlines() if not line.startswith("curl: ")] == []  # those wait for a node to answer
	return book


def secret(lab):
	return (lab.dir / "secrets/ox").read_text().strip()


# break-glass


def person_lets_it_go_on(lab):
	"""What its window stands on was undone by hand: said with what to do, and done anew by one retry."""
	name = lab.wait_until(lambda: next((n for n, u in lab.units("migrate").items() if u["state"] == "failed"), None), 60, "the unit is failed")
	text = lab.upgctl("explain", name)
	assert "no longer true after nobody watched it" in text and f"upgctl retry {name}" in text, text
	lab.upgctl("retry", name)


def test_by_hand_in_a_window_before_its_pivot(small):
	lab = small()
	lab.fault("clt.changeserver", "slow:2000")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, "intent .*unit=migrate/.* step=repoint")
	assert f"upgd is running (pid {lab.upgd.pid})" in offline(lab, "status")
	lab.kill_upgd()
	lab.fault("clt.changeserver", None)
	status = offline(lab, "status")
	assert "upgd is not running" in status and "migrate/" in status and "repoint" in status and "waits: upgd, which is not running" in status
	book = by_hand(lab)
	assert book.index("before its pivot: back") < book.index("UNKNOWN: repoint") < book.index("undo repoint") < book.index("undo disable")
	assert secret(lab) not in book and "runupdate" not in book
	only_the_owner_changed(lab, moved=())  # all are up again, on the old fleet
	# started again, upgd finds that what its window stands on is no longer so and says it; a person lets it go on
	lab.start_upgd()
	person_lets_it_go_on(lab)
	reaches_done(lab)


def test_by_hand_in_a_window_past_its_pivot(small):
	lab = small()
	lab.fault(f"task.any.{TASK}", "slow:3000")
	lab.upgctl(*START, "--yes")
	schema = next_update(lab, ())
	lab.kill_upgd()
	book = by_hand(lab)
	assert book.index("UNKNOWN: update") < book.index("PROCESSLIST") < book.index("# is it done?") and "has no replica in upgd.conf: nothing to ask" in book
	assert "past its pivot: only forward" in book and "#? ADMIN_PASSWORD" in book and "undo" not in book.split("migrate/")[1].split("====")[0]
	assert secret(lab) not in book
	only_the_owner_changed(lab, moved=[schema])  # up again, on the new fleet
	lab.fault(f"task.any.{TASK}", None)
	lab.start_upgd()
	person_lets_it_go_on(lab)
	reaches_done(lab)
	assert not logged(lab, "unit run=.* code=(uncertain|parked)")


@pytest.mark.long
def test_by_hand_a_node_before_its_pivot(small):
	lab = small()
	with request_in_flight(lab, "ox1", "lb1"):
		lab.upgctl(*START, "--yes")
		lab.wait_until(lambda: lab.servers("lb1")["ox1"]["status"].startswith("DRAIN") and lab.servers("lb2")["ox1"]["status"].startswith("DRAIN"),
			60, "ox1 is drained")
		lab.kill_upgd()
		book = by_hand(lab)
		assert "ox1 is out of its balancer" in book and "echo \"set server be_ox/ox1 state ready\" | socat" in book
		assert servers(lab, "main") == everywhere(lab, "UP") and servers(lab, "secondary") == everywhere(lab, "MAINT")
	lab.start_upgd()
	reaches_done(lab)


@pytest.mark.long
def test_by_hand_a_node_past_its_pivot(small):
	lab = small()
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, "intent .*unit=convert/ox1 step=install")
	lab.kill_upgd()
	book = by_hand(lab)
	assert "only forward" in book and "undo" not in book
	assert packages(lab)["ox1"] == "7.10.6-44" and lab.is_healthy("ox1")
	assert properties(lab, "ox1", "system.properties")["SERVER_NAME"] == NEW
	assert properties(lab, "ox1")["com.openexchange.server.migrationRedirectURL"] == ""
	assert servers(lab, "secondary")["ox1"] == "UP" and servers(lab, "main")["ox1"] == "MAINT"
	lab.start_upgd()
	reaches_done(lab)
	assert not logged(lab, "unit run=.* code=(failed|uncertain|parked)")


# disks


@contextlib.contextmanager
def failing(lab, how):
	"""The disk under the journal fails so: "fsync EIO"."""
	control = lab.dir / "disk-fault"
	control.write_text(f"{how} {lab.dir}/state\n")
	yield
	control.unlink()


def ends(lab, pattern):
	"""upgd ends by itself, says why, and has let nothing begin after that."""
	lab.wait_until(lambda: not lab.upgd.alive(), 60, "upgd ends")
	assert lab.stop_upgd() == 1
	log = (lab.dir / LOG).read_text()
	line = next(n for n, line in enumerate(log.splitlines()) if re.search(f"the journal cannot be written: .*{pattern}", line))
	assert not [later for later in log.splitlines()[line:] if re.search(r"(admit|intent) run=", later)]
	(lab.dir / LOG).rename(lab.dir / f"log/upgd-{pattern[:5]}.log")


def test_the_journal_cannot_be_written_in_a_window(make_lab):
	"""An fsync that fails, then the directory taken away: upgd ends at once, and the next one goes on from what is really there."""
	lab = make_lab(nodes=2, schemata=6, contexts=3)
	lab.before = tenants(lab)
	lab.procs.env |= {"LD_PRELOAD": str(lab.build / "tests/faults/disk_faults.so"), "UPGD_FAULT_DISK": str(lab.dir / "disk-fault")}
	lab.start_upgd()
	lab.fault(f"task.any.{TASK}", "slow:2500")
	lab.upgctl(*START, "--yes")
	first = next_update(lab, ())
	with failing(lab, "fsync EIO"):
		ends(lab, "the disk fails")
	lab.start_upgd()
	second = next_update(lab, {first})
	os.rename(lab.dir / "state", lab.dir / "state.away")
	ends(lab, "was removed or replaced")
	os.rename(lab.dir / "state.away", lab.dir / "state")
	assert "past its pivot: only forward" in offline(lab, "runbook").split(f"migrate/{second}")[1]
	lab.fault(f"task.any.{TASK}", None)
	lab.start_upgd()
	reaches_done(lab)
	each_update_ran_once(lab)
