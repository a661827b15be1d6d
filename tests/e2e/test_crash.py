# SPDX-License-Identifier: MIT
"""
upgd is killed (SIGKILL) at each boundary between decided, written down, sent, answered and told, in each stage; started again, it goes
on, and the world ends as if nothing had been. Needs a build with -Dfailpoints=true, in UPGD_BUILD_FAILPOINTS or build-failpoints.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import socket

import pytest

import lab as lab_module
from procs import LabError
from test_faults import each_update_ran_once, logged, no_unit_failed, reaches_done, server_of
from test_rollout import START, nobody_failed, owners, packages, records, redirects, registered, schemata, servers, tenants

FIRST = "oxdatabase_3"  # the canary of `migrate`
PARAMS = {"to": "7.10.6", "package": "7.10.6-44"}


@pytest.fixture(scope="session")
def failpoints():
	build = pathlib.Path(os.environ.get("UPGD_BUILD_FAILPOINTS") or lab_module.ROOT / "build-failpoints").resolve()
	binary = build / "daemon/upgd"
	if not binary.exists() or b"UPGD_FAILPOINT" not in binary.read_bytes():
		pytest.fail(f"{binary}: no build with failpoints; meson setup -Dfailpoints=true {build} && ninja -C {build} makes one", pytrace=False)
	return build


@pytest.fixture
def small(make_lab, failpoints):
	"""Three nodes and six schemata; upgd is not started yet."""
	def make(users=40, **options):
		lab = make_lab(nodes=3, schemata=6, contexts=4, build=failpoints, **options)
		lab.before = tenants(lab)
		if users:
			lab.start_users(users)
		return lab
	return make


def live(lab, point):
	"""A life of upgd that ends at the failpoint, or None: one that lasts."""
	lab.start_upgd(env={"UPGD_FAILPOINT": f"1 {point}"} if point else {})


def begin_to_die(lab, point):
	"""It may be dead before its socket answers."""
	try:
		live(lab, point)
	except LabError:
		if lab.upgd.alive():
			raise


def died(lab, point, seconds=90):
	"""Waits until it was killed there, and nowhere else."""
	def gone():
		if not lab.upgd.alive():
			return True
		rollout = lab.status_or_none()
		assert rollout is None or rollout["state"] not in ("done", "partial", "aborted"), f"the rollout ended and never came to: {point}"
		return False
	lab.wait_until(gone, seconds, f"upgd comes to {point}")
	assert lab.stop_upgd() == -signal.SIGKILL
	assert logged(lab, f"^failpoint: killed at {re.escape(point)}$")


def lives(lab, points):
	for point in points:
		begin_to_die(lab, point)
		died(lab, point)


def call(lab, method, **params):
	"""One call on the control socket. The reply's parameters; its error; None if the connection was lost first."""
	with socket.socket(socket.AF_UNIX) as s:
		s.settimeout(60)
		s.connect(f"{lab.dir}/upgd.sock")
		s.sendall(json.dumps({"method": f"io.upgd.Control.{method}", "parameters": params}).encode() + b"\0")
		text = b""
		while not text.endswith(b"\0"):
			try:
				more = s.recv(65536)
			except ConnectionResetError:
				more = b""
			if not more:
				return None
			text += more
		reply = json.loads(text[:-1])
		return reply["error"].rpartition(".")[2] + ": " + reply["parameters"].get("text", "") if "error" in reply else reply["parameters"]


def calls(lab):
	"""{tool and its arguments: how often it was called, on whatever node}"""
	found = collections.Counter()
	for path in lab.dir.glob("nodes/*/calls.log"):
		found.update(path.read_text().splitlines())
	return found


def each_tool_ran_once(lab):
	found = calls(lab)
	empty = {name for name, owner in owners(lab).items() if not owner}
	want = {f"registerserver -n oxserver-new": 1, **{f"runupdate -n {name}": 1 for name in schemata(lab)}}
	for name in set(schemata(lab)) - empty:
		want.update({f"disableschema -m {name}": 1, f"enableschema -m {name}": 2})  # on a node of either fleet
	got = {line: n for line, n in found.items() if line.startswith(("registerserver", "unregisterserver", "runupdate", "disableschema", "enableschema"))}
	assert got == want
	moved = collections.Counter(line.split()[2] for line in found.elements() if line.startswith("changeserver"))
	assert moved == {name: 1 for name in set(schemata(lab)) - empty}
	assert sum(n for line, n in found.items() if line.startswith("apt-get install")) == len(lab.nodes)
	assert found["systemctl stop open-xchange"] == len(lab.nodes)
	assert found["systemctl start open-xchange"] == 2 * len(lab.nodes)  # the first is the lab's own


def nothing_was_lost(lab):
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	each_tool_ran_once(lab)
	nobody_failed(lab)


def test_a_release_has_no_failpoints(failpoints):
	def traces(build):
		return {word for word in (b"UPGD_FAILPOINT", b"failpoint_", b"before_commit", b"before_ack") if word in (build / "daemon/upgd").read_bytes()}
	release = pathlib.Path(os.environ.get("UPGD_BUILD") or lab_module.ROOT / "build")
	assert len(traces(failpoints)) == 4
	assert traces(release) == set()


# the whole matrix: each step of each stage, at each point


ACTIONS = {  # of the units that go first: step -> what is sent to a balancer; None: to a runner
	"prepare/cluster": {"backup": None, "register": None},
	"redirect/ox1": {"probe": None, "set": None, "reload": None},
	"convert/ox1": {"drain": "be_ox/ox1 state drain", "quiet": "be_ox/ox1 state maint", "stop": None, "install": None, "name": None, "clear": None,
		"no-push": None, "no-update": None, "reason": None, "start": None, "join": "be_ox_new/ox1 state ready"},
	f"migrate/{FIRST}": {"disable": None, "repoint": None, "update": None, "enable": None},
	"flip/ox1": {"main": "be_ox/ox1 state ready"},
	"settle/ox1": {"push": None, "update": None, "reload": None},
}
STEPS = [f"{unit}/{step}" for unit, steps in ACTIONS.items() for step in steps]
RESTS = ["sweep/cluster/settle", "sweep/cluster/look", "close/cluster/last-look"]  # they send nothing
UNITS = [*list(ACTIONS)[:4], "sweep/cluster", *list(ACTIONS)[4:], "close/cluster"]


def sent(step):
	unit, _, name = step.rpartition("/")
	command = ACTIONS[unit][name]
	return f"after_send *set server {command}*" if command else f"after_send *{step}/*"


def in_order(steps):
	"""sweep comes before flip."""
	stages = [unit.split("/")[0] for unit in UNITS]
	return sorted(steps, key=lambda step: stages.index(step.split("/")[0]))


MATRIX = {
	"before the intent's commit": [f"before_commit intent {step}" for step in STEPS],
	"after the intent's commit": [f"after_commit intent {step}" for step in STEPS],
	"after the send": [sent(step) for step in STEPS],
	"after the reply": [f"after_reply acted {step}" for step in STEPS],
	"before the outcome's commit": [f"before_commit acted {step}" for step in STEPS],
	"after the outcome's commit": [f"after_commit acted {step}" for step in STEPS],
	"around the step's end": [f"{when}_commit step {step}" for step in in_order([*STEPS, *RESTS]) for when in ("before", "after")],
	"around a unit's begin and end": [point for unit in UNITS[1:] for point in
		(*([f"after_reply gate {unit}/*"] if unit.startswith(("convert", "migrate")) else []),
		*([f"before_commit admit {unit}/*", f"after_commit admit {unit}/*"] if unit in UNITS[:5] else []),  # the others begin in the batch before
		f"after_commit unit {unit}/*")],
	"and again in the recovery": [point for i, step in enumerate(STEPS) for point in
		((f"after_commit intent {step}", sent(step), f"after_reply acted {step}")[i % 3], ("before_commit epoch", "after_commit epoch")[i % 2])],
}


def world(lab):
	"""What a rollout leaves behind."""
	def tasks(name):
		return sorted(map(tuple, lab.sql(f"SELECT taskName, successful FROM {name}.updateTask", server_of(lab, name))))
	files = {(node.name, path.name): path.read_text().replace(lab.secondary_url, "SECONDARY").replace(str(lab.dir), "LAB")
		for node in lab.nodes for path in sorted((node.dir / "etc").rglob("*.properties"))}
	return {"tenants": tenants(lab), "tasks": {name: tasks(name) for name in schemata(lab)}, "packages": packages(lab), "files": files,
		"main": servers(lab, "main"), "secondary": servers(lab, "secondary"), "redirects": redirects(lab), "registered": registered(lab),
		"configdb": sorted(map(tuple, lab.sql("SELECT schemaname, count FROM configdb.contexts_per_dbschema"))),
		"locks": lab.sql("SELECT * FROM configdb.DATABASECHANGELOGLOCK WHERE LOCKED")}


@pytest.fixture
def undisturbed(small):
	"""The world after a rollout that nobody killed; made once."""
	if not UNDISTURBED:
		lab = small(users=0)
		live(lab, None)
		lab.upgctl(*START, "--yes")
		reaches_done(lab)
		UNDISTURBED.update(world(lab))
		lab.stop()
	return UNDISTURBED


UNDISTURBED = {}


@pytest.mark.long
@pytest.mark.parametrize("where", MATRIX)
def test_killed_in_each_step(small, undisturbed, where):
	lab = small()
	live(lab, None)
	assert call(lab, "Start", params=PARAMS)["rollout"] == 1
	assert call(lab, "Approve", what="convert/first-boot")
	lab.kill_upgd()
	for i, point in enumerate(MATRIX[where]):
		begin_to_die(lab, point)
		if i < 3:  # it is lost if its commit was, and said again
			with contextlib.suppress(OSError):
				call(lab, "Approve", what="prepare/freeze", request_id="a")
		died(lab, point)
	live(lab, None)
	nothing_was_lost(lab)
	assert world(lab) == undisturbed


def test_each_request_is_carried_out_once_over_a_death_before_its_answer(small):
	"""Durable, and never told: who says it again with the same id is told that it was done, and it is not done twice."""
	lab = small(users=0)
	unit = f"migrate/{FIRST}"
	said = [("Start", {"params": PARAMS}), ("Pause", {}), ("Resume", {}), ("Pause", {"now": True}), ("Skip", {"unit": unit}), ("Retry", {"unit": unit}),
		("Fence", {"unit": "redirect/ox1"}), ("Approve", {"what": "convert/first-boot"}), ("Abort", {"rollout": 1})]
	for i, (method, args) in enumerate(said):
		begin_to_die(lab, f"before_ack {method}")
		if method == "Fence":  # it must have seen who else is ready
			lab.wait_until(lambda: "cannot be fenced" not in (call(lab, "Fence", **args, request_id="f") or ""), 60, "ox1 is fenced")
		else:
			assert call(lab, method, **args, request_id=f"r{i}") is None
		died(lab, f"before_ack {method}")
	live(lab, None)
	for i, (method, args) in enumerate(said):
		again = call(lab, method, **args, request_id="f" if method == "Fence" else f"r{i}")
		assert "this request was carried out before" in again["text"], again
	found = collections.Counter((r["kind"], r.get("unit")) for r in records(lab) if r.get("actor"))
	assert all(found[kind, name] == n for kind, name, n in (("start", None, 1), ("pause", None, 2), ("resume", None, 1), ("unit", unit, 2),
		("unit", "redirect/ox1", 1), ("approve", "convert", 1), ("abort", None, 1))), found


def test_killed_at_every_kind_of_boundary_in_each_stage(small):
	lab = small()
	begin_to_die(lab, "before_ack Start")
	assert call(lab, "Start", params=PARAMS, yes=True, request_id="s") is None
	died(lab, "before_ack Start")
	live(lab, "before_commit step prepare/cluster/backup")
	again = call(lab, "Start", params=PARAMS, yes=True, request_id="s")
	assert again["rollout"] == 1 and again["already"] and "this request was carried out before" in again["text"], again
	died(lab, "before_commit step prepare/cluster/backup")
	lives(lab, [
		"after_send *start*prepare/cluster/register*",
		"after_reply acted redirect/ox1/set",
		"after_commit intent convert/ox1/drain",
		"after_send *set server be_ox/ox1 state maint*",
		"after_commit acted convert/ox1/install",
		"before_commit epoch",
		"after_reply verified convert/ox1/start",
		f"after_send *start*migrate/{FIRST}/disable*",
		f"after_reply acted migrate/{FIRST}/disable",
		f"before_commit intent migrate/{FIRST}/repoint",
		f"after_send *start*migrate/{FIRST}/update*",
		"after_commit epoch",
		f"after_reply acted migrate/{FIRST}/update",
		f"after_commit intent migrate/{FIRST}/enable",
		"after_commit step sweep/cluster/look",
		"after_send *set server be_ox/* state ready*",
		"after_reply acted settle/*/push",
		"before_commit end",
	])
	live(lab, None)
	nothing_was_lost(lab)
