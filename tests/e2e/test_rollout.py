# SPDX-License-Identifier: MIT
"""A rollout from its start to each of its ends, with users on it, and what a person may say to it on the way."""

import json

import pytest

import report
import templates
from procs import LabError

OLD, NEW = "oxserver", "oxserver-new"
RELEASE = ("--to", "7.10.6", "--set", "package=7.10.6-44")
START = ("start", *RELEASE)
TASK = "ConvertUtf8ToUtf8mb4Task"
REDIRECT = "com.openexchange.server.migrationRedirectURL"


@pytest.fixture
def small(make_lab):
	"""Three nodes and six schemata, 60 users, upgd; `before` is what a rollout must leave as it was."""
	def make(prepare=None):
		lab = make_lab(nodes=3, schemata=6, contexts=5)
		if prepare:
			prepare(lab)
		lab.before = tenants(lab)
		lab.start_upgd()
		lab.start_users(60)
		return lab
	return make


# what is there, by the site's own tables, files and balancers


def tenants(lab):
	"""{cid: (schema, owner, enabled, reason)}"""
	rows = lab.sql("SELECT c.cid, p.db_schema, s.name, IFNULL(c.enabled, 'NULL'), IFNULL(c.reason_id, 'NULL') FROM configdb.context c "
		"JOIN configdb.context_server2db_pool p ON p.cid = c.cid JOIN configdb.server s ON s.server_id = p.server_id")
	return {int(cid): tuple(rest) for cid, *rest in rows}


def schemata(lab):
	return [s["name"] for s in lab.summary["schemata"]]


def owners(lab):
	"""{schema: its owners}; an empty schema has none."""
	found = {name: set() for name in schemata(lab)}
	for schema, owner, *_ in tenants(lab).values():
		found[schema].add(owner)
	return found


def pending(lab, schema):
	"""Tasks of the new release that have not run there with success."""
	server = 2 if next(s for s in lab.summary["schemata"] if s["name"] == schema)["pool"] == 5 else 1
	ran = {name for (name,) in lab.sql(f"SELECT taskName FROM {schema}.updateTask WHERE successful", server)}
	release = json.loads((lab.dir / "packages/7.10.6-44/release").read_text())
	before = json.loads((lab.dir / "packages/7.10.5-40/release").read_text())
	old = {t["name"] for t in before["tasks"]}
	return {t["name"].split(".")[-1] for t in release["tasks"] if t["name"] not in ran | old}


def properties(lab, node, name="server.properties"):
	text = (lab.node(node).dir / "etc" / name).read_text()
	return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def redirects(lab):
	"""Nodes that send users away, and it is to where it should be."""
	found = {n.name: properties(lab, n.name)[REDIRECT] for n in lab.nodes}
	assert set(found.values()) <= {"", lab.secondary_url}
	return {name for name, url in found.items() if url}


def packages(lab):
	return {n.name: json.loads((n.dir / "current/release").read_text())["package"] for n in lab.nodes}


def servers(lab, balancer):
	"""{node: UP, DRAIN or MAINT}, the same in each of its processes."""
	names = ("lb1", "lb2") if balancer == "main" else ("sec",)
	found = [{node: row["status"].split()[0] for node, row in lab.servers(name).items() if node != "BACKEND"} for name in names]
	assert all(states == found[0] for states in found)
	return found[0]


def registered(lab):
	return {name for (name,) in lab.sql("SELECT name FROM configdb.server")}


def everywhere(lab, value):
	return {n.name: value for n in lab.nodes}


# what must hold


def only_the_owner_changed(lab, moved=None):
	"""Every tenant is enabled or disabled as it was, an admin's reasons too; owned by the new fleet if its schema has moved."""
	moved = set(schemata(lab)) if moved is None else set(moved)
	want = {cid: (schema, NEW if schema in moved else owner, *rest) for cid, (schema, owner, *rest) in lab.before.items()}
	assert tenants(lab) == want


def nobody_failed(lab):
	end = lab.stop_users()
	assert end["failed"] == 0, end["last_failures"]
	assert end["ok"] > 0
	return end


def all_is_new(lab):
	"""`done`: every node and schema is new, and nothing of the way there is left."""
	only_the_owner_changed(lab)
	assert {name: pending(lab, name) for name in schemata(lab)} == {name: set() for name in schemata(lab)}
	assert packages(lab) == everywhere(lab, "7.10.6-44")
	assert redirects(lab) == set()
	for node in lab.nodes:
		found = properties(lab, node.name)
		assert found["com.openexchange.push.allowPermanentPush"] == "true"
		assert found["com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad"] == "false"
		assert properties(lab, node.name, "system.properties")["SERVER_NAME"] == NEW
	assert servers(lab, "main") == servers(lab, "secondary") == everywhere(lab, "UP")
	assert {u["state"] for u in lab.units().values()} == {"done"}
	assert lab.status()["tenants_down"] == 0


def all_is_as_it_was(lab):
	only_the_owner_changed(lab, moved=())
	assert packages(lab) == everywhere(lab, "7.10.5-40")
	assert redirects(lab) == set() and registered(lab) == {OLD}
	assert servers(lab, "main") == everywhere(lab, "UP") and servers(lab, "secondary") == everywhere(lab, "MAINT")


def requests_more(lab, n):
	begin = lab.users_summary()["ok"]
	return lab.wait_until(lambda: (s := lab.users_summary())["ok"] >= begin + n and s, 60, f"{n} more requests are served")


def tool(lab, node, *argv):
	"""One of OX's tools on a node, as an admin runs it."""
	return lab.remote(node, "env", "ADMIN_PASSWORD=" + (lab.dir / "secrets/ox").read_text().strip(), *argv)


def unit_is(lab, name, **want):
	def there():
		unit = lab.units(name.split("/")[0]).get(name, {})
		return unit if all(unit.get(k) == v for k, v in want.items()) else None
	return lab.wait_until(there, 90, f"{name} is {want}")


def hold(lab, kind, seconds=90):
	"""The hold of that kind, once it is there."""
	return lab.wait_until(lambda: next((h for h in lab.status()["holds"] if h["kind"] == kind), None), seconds, f"held by {kind}")


def records(lab, since=0):
	found = []
	while more := lab.upgctl("log", "--since", found[-1]["seq"] if found else since, "--limit", 500, json=True)["records"]:
		found += more
	return found


# the way to the end


def test_five_nodes_and_twelve_schemata(site):
	site.before = tenants(site)
	out = site.upgctl(*START, "--yes", "--wait", seconds=400)
	assert " DONE " in out.splitlines()[-1]
	assert report.report(site.dir) == 0
	all_is_new(site)
	closed, empty = schemata(site)[-1], schemata(site)[-2]
	assert next(s["pool"] for s in site.summary["schemata"] if s["name"] == closed) == 4 and not owners(site)[empty]
	assert {f"migrate/{name}" for name in (closed, empty, "oxdatabase_archive")} <= set(site.units("migrate"))
	assert any(before[2] != "1" for before in site.before.values())
	nobody_failed(site)


# a task fails


def start_with_failing_task(lab, *options):
	"""runupdate says success for it; only the schema's own table knows better."""
	lab.fault(f"task.oxdatabase_3.{TASK}", "once:fail")
	return lab.upgctl(*START, "--yes", *options, seconds=120, codes=(0, 3))


def wait_for_failed_unit(lab):
	"""One failed unit, in its window, and everything else at rest."""
	lab.wait_until(lambda: (s := lab.status())["now"] == [] and any(h["kind"] == "failed_unit" for h in s["holds"]), 90, "a failed unit holds the rest")
	found = lab.units()
	assert [name for name, u in found.items() if u["state"] == "failed"] == ["migrate/oxdatabase_3"]
	unit = found["migrate/oxdatabase_3"]
	assert unit["step"] == "update" and unit["in_window"] and unit["past_pivot"]
	return unit


def new_node(lab):
	return next(name for name, package in packages(lab).items() if package == "7.10.6-44")


def test_a_failed_task_holds_until_it_is_mended(small):
	lab = small()
	start_with_failing_task(lab)
	unit = wait_for_failed_unit(lab)
	status = lab.upgctl("status", json=True, codes=(4,))
	assert status["tenants_down"] == unit["tenants"] > 0 and "migrate/oxdatabase_3 is failed" in status["waits"]
	assert TASK in lab.upgctl("explain", "migrate/oxdatabase_3")
	down = {cid for cid, (_, _, enabled, _) in tenants(lab).items() if enabled != lab.before[cid][2]}
	assert {lab.before[cid][0] for cid in down} == {"oxdatabase_3"} and len(down) == unit["tenants"]
	# too early: it is still not there
	lab.upgctl("retry", "migrate/oxdatabase_3")
	wait_for_failed_unit(lab)
	tool(lab, new_node(lab), "forceupdatetask", "-t", f"com.openexchange.groupware.update.tasks.{TASK}", "-n", "oxdatabase_3")
	lab.upgctl("retry", "migrate/oxdatabase_3", "--reason", "ran it by hand")
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "done"
	lab.upgctl("status", codes=(0,))
	all_is_new(lab)
	nobody_failed(lab)


def parked_alone(lab):
	"""partial: the tenants of the parked schema are down, moved, and marked as ours; nobody else's."""
	units = lab.units()
	assert [name for name, u in units.items() if u["state"] == "parked"] == ["migrate/oxdatabase_3"]
	found = tenants(lab)
	for cid, (schema, owner, enabled, reason) in lab.before.items():
		parked = schema == "oxdatabase_3" and enabled == "1"
		assert found[cid] == (schema, NEW, *(("0", "1431655765") if parked else (enabled, reason)))
	assert pending(lab, "oxdatabase_3") == {TASK}
	assert not any(pending(lab, name) for name in schemata(lab) if name != "oxdatabase_3")
	end = nobody_failed(lab)
	still = {name for name, denied in end["denied_by_schema"].items() if any(i["open"] for i in denied["intervals"])}
	assert still == {"oxdatabase_3"}


def test_park_ends_partial_with_that_schema_down(small):
	lab = small()
	start_with_failing_task(lab)
	tenants_of = wait_for_failed_unit(lab)["tenants"]
	out = lab.upgctl("park", "migrate/oxdatabase_3")
	assert "parked" in out and f"{tenants_of} tenants stay DOWN" in out
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "partial"
	status = lab.upgctl("status", json=True, codes=(3,))
	assert status["tenants_down"] == tenants_of and "1 parked" in status["first"]
	assert "upgctl start with the same parameters" in status["afterwards"][0]
	parked_alone(lab)


def test_on_failure_continue_parks_by_itself(small):
	lab = small()
	out = start_with_failing_task(lab, "-f", "--wait")
	assert " PARTIAL " in out.splitlines()[-1]
	lab.upgctl("status", codes=(3,))
	assert "on_failure=continue" in lab.upgctl("show", "migrate/oxdatabase_3")
	parked_alone(lab)


# left out


def test_a_skipped_schema_keeps_an_old_node(small):
	lab = small()
	out = lab.upgctl(*START, "--yes", "-k", "oxdatabase_2", "--wait", seconds=120, codes=(3,))
	assert " PARTIAL " in out.splitlines()[-1]
	only_the_owner_changed(lab, moved=set(schemata(lab)) - {"oxdatabase_2"})
	old = {name for name, package in packages(lab).items() if package == "7.10.5-40"}
	assert len(old) >= 1 and redirects(lab) == old
	assert servers(lab, "main") == {n.name: "UP" if n.name in old else "MAINT" for n in lab.nodes}
	assert servers(lab, "secondary") == {n.name: "MAINT" if n.name in old else "UP" for n in lab.nodes}
	before = requests_more(lab, 1)["ok_by_node"]
	after = requests_more(lab, 600)["ok_by_node"]
	served = {name for name, ok in after.items() if ok > before.get(name, 0)}
	assert served & old and served - old  # not each node: whom a drain had sent elsewhere stays there
	end = nobody_failed(lab)
	assert "oxdatabase_2" not in end["denied_by_schema"]


def test_after_skips_up_to_and_with_a_schema_in_ox_order(small):
	lab = small()
	with pytest.raises(LabError, match="no schema oxdatabase_99"):
		lab.upgctl(*START, "--yes", "-m", "oxdatabase_99")
	out = lab.upgctl(*START, "--yes", "-m", "oxdatabase_2")
	assert "2 skipped, up to and with oxdatabase_2; 2 of them are NOT observed as new: oxdatabase_1 oxdatabase_2" in out
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "partial"
	lab.upgctl("status", codes=(3,))
	assert {name for name, u in lab.units("migrate").items() if u["state"] == "skipped"} == {"migrate/oxdatabase_1", "migrate/oxdatabase_2"}
	only_the_owner_changed(lab, moved=set(schemata(lab)) - {"oxdatabase_1", "oxdatabase_2"})
	nobody_failed(lab)


# a person says wait


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
def test_pause_closes_the_window_first(small, killed):
	"""With a daemon that is killed meanwhile, too: it is still paused when it is there again, and serves the open window."""
	lab = small()
	lab.fault(f"task.any.{TASK}", "slow:3000")
	lab.upgctl(*START, "--yes")
	lab.wait_until(lambda: lab.status()["tenants_down"] > 0, 60, "a window is open")
	first = lab.status()["seq"]
	assert "1 open windows close first" in lab.upgctl("pause", "--reason", "lunch")
	lab.upgctl("status", codes=(4,))
	if killed:
		lab.kill_upgd()
		lab.start_upgd()
		assert lab.status()["rollout"]["state"] == "paused"
	lab.wait_until(lambda: (s := lab.status())["tenants_down"] == 0 and not s["now"], 60, "the window is closed, nothing is at work")
	assert [u["state"] for u in lab.units("migrate").values()].count("done") == 1
	assert lab.upgctl("status", codes=(4,)).startswith("run 1 PAUSED")
	lab.fault(f"task.any.{TASK}", None)
	requests_more(lab, 300)
	paused = records(lab, first)
	assert not [r for r in paused[next(i for i, r in enumerate(paused) if r["kind"] == "pause"):] if r["kind"] == "admit"]
	lab.upgctl("resume")
	if killed:  # the other is the same from here on
		assert lab.wait_for_state("done", "partial", "aborted")["state"] == "done"
		all_is_new(lab)
	else:
		lab.wait_until(lambda: [u["state"] for u in lab.units("migrate").values()].count("done") > 1, 60, "it goes on")
	nobody_failed(lab)


def test_start_asks_twice_and_is_idempotent(small):
	lab = small()
	assert "started" in lab.upgctl(*START)
	assert "prepare/freeze" in hold(lab, "approval")["text"]
	lab.upgctl("status", codes=(4,))
	again = lab.upgctl(*START, json=True)
	assert again["already"] is True and again["rollout"] == 1
	with pytest.raises(LabError, match="exit 1\n.*rollout 1 with other parameters is running.*upgctl abort 1"):
		lab.upgctl("start", "--to", "7.10.6", "--set", "package=7.10.6-45")
	with pytest.raises(LabError, match="exit 2\n.*prepare/freeze, convert/first-boot"):
		lab.upgctl("approve", "migrate")
	assert lab.status()["stages"][1]["counts"]["done"] == 0
	lab.upgctl("approve", "prepare/freeze")
	assert "the first node of 7.10.6 migrates" in lab.wait_until(lambda: "first-boot" in (h := hold(lab, "approval"))["text"] and h, 90, "asked for the first boot")["text"]
	lab.upgctl("status", codes=(4,))
	assert redirects(lab) == set(everywhere(lab, "")) and packages(lab) == everywhere(lab, "7.10.5-40")
	assert servers(lab, "main") == everywhere(lab, "UP")
	lab.upgctl("approve", "convert", "--reason", "tested on Tuesday")
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "done"
	all_is_new(lab)
	assert lab.upgctl("history", json=True)["rollouts"][0]["id"] == 1
	nobody_failed(lab)


def test_until_stops_there_and_only_these_move(small):
	"""The way of a pilot: one node and one schema, a look between; the rest with the next start."""
	lab = small()
	lab.upgctl(*START, "--yes", "--until", "convert", "--only", "ox1,oxdatabase_1")
	hold(lab, "until")
	dumps = list((lab.dir / "backup").iterdir())
	assert len(dumps) == 1 and dumps[0].stat().st_mode & 0o077 == 0  # it holds the databases' passwords
	assert "until" in lab.upgctl("status", json=True, codes=(4,))["waits"]
	assert packages(lab) == {"ox1": "7.10.6-44", "ox2": "7.10.5-40", "ox3": "7.10.5-40"}
	assert lab.units("migrate")["migrate/oxdatabase_1"]["state"] == "waiting"
	lab.upgctl("resume")
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "partial"
	only_the_owner_changed(lab, moved=("oxdatabase_1",))
	assert packages(lab) == {"ox1": "7.10.6-44", "ox2": "7.10.5-40", "ox3": "7.10.5-40"} and redirects(lab) == {"ox2", "ox3"}
	lab.upgctl(*START, "--yes", "--wait", seconds=120)
	all_is_new(lab)
	nobody_failed(lab)


def test_until_says_so_when_what_it_lets_through_needs_what_it_stops(small):
	"""The last old nodes are held by the tenants that they serve, and those by --until: a person is asked, not the world."""
	lab = small()
	lab.upgctl(*START, "--yes", "--until", "convert")
	hold(lab, "until")
	assert packages(lab)["ox1"] == "7.10.6-44"
	assert lab.upgctl("status", json=True, codes=(4,))["waits"].startswith("until: ")
	lab.upgctl("abort", 1)
	assert lab.wait_for_state("aborted")
	nobody_failed(lab)


def test_a_name_that_is_registered_is_adopted_and_not_taken_back(small):
	lab = small(lambda lab: tool(lab, "ox1", "registerserver", "-n", NEW))
	lab.upgctl(*START, "--yes", "--until", "prepare")
	hold(lab, "until")
	lab.upgctl("status", codes=(4,))
	register = [r for r in records(lab) if r.get("step") == "register" and r["kind"] in ("intent", "step")]
	assert [(r["kind"], r["code"]) for r in register] == [("step", "adopted")]
	lab.upgctl("abort", 1)
	assert lab.wait_for_state("aborted")
	lab.upgctl("status", codes=(1,))
	assert registered(lab) == {OLD, NEW}
	only_the_owner_changed(lab, moved=())
	nobody_failed(lab)


# back


@pytest.mark.parametrize("tool_name, stage, step", [("reloadconfiguration", "redirect", "reload"), ("systemctl", "convert", "stop")])
def test_abort_before_the_pivot_leaves_nothing(small, tool_name, stage, step):
	lab = small()
	lab.fault(f"clt.{tool_name}", "slow:3000", node="ox1")
	lab.upgctl(*START, "--yes")
	unit_is(lab, f"{stage}/ox1", state="running", step=step)
	with pytest.raises(LabError, match="exit 2"):
		lab.upgctl("abort", 7)
	assert "1 units go back" in lab.upgctl("abort", 1, "--reason", "not tonight")
	lab.fault(f"clt.{tool_name}", None, node="ox1")
	assert lab.wait_for_state("done", "partial", "aborted")["state"] == "aborted"
	lab.upgctl("status", codes=(1,))
	all_is_as_it_was(lab)
	nobody_failed(lab)


def test_abort_of_a_mixed_world_is_a_place_to_live(small):
	"""What has moved stays, what is past its pivot ends, nothing else is touched; users of both live on, and a new start takes over."""
	lab = small()
	lab.fault(f"task.any.{TASK}", "slow:1500")
	lab.upgctl(*START, "--yes")
	lab.wait_until(lambda: {"done", "running"} <= {u["state"] for u in lab.units("migrate").values()} and lab.status()["tenants_down"], 90, "one has moved, one is at it")
	lab.upgctl("abort", 1)
	lab.fault(f"task.any.{TASK}", None)
	rollout = lab.wait_for_state("done", "partial", "aborted")
	assert rollout["state"] == "aborted"
	status = lab.upgctl("status", json=True, codes=(1,))
	assert status["tenants_down"] == 0
	moved = {name for name, found in owners(lab).items() if NEW in found}
	assert 1 <= len(moved) < 5
	only_the_owner_changed(lab, moved)
	old = {name for name, package in packages(lab).items() if package == "7.10.5-40"}
	assert old and redirects(lab) == old and registered(lab) == {OLD, NEW}
	assert servers(lab, "main") == {n.name: "UP" if n.name in old else "MAINT" for n in lab.nodes}
	assert servers(lab, "secondary") == {n.name: "MAINT" if n.name in old else "UP" for n in lab.nodes}
	before = requests_more(lab, 1)
	after = requests_more(lab, 1500)
	assert after["denied"] == before["denied"] and after["failed"] == 0
	served = {name for name, ok in after["ok_by_node"].items() if ok > before["ok_by_node"].get(name, 0)}
	assert served & old and served - old  # not each node: whom a drain had sent elsewhere stays there
	lab.upgctl(*START, "--yes", "--wait", seconds=120)
	assert lab.status()["rollout"]["id"] == 2
	all_is_new(lab)
	nobody_failed(lab)


# what a person did before


def test_a_node_that_a_person_took_out_is_left_alone(small):
	def take_out(lab):
		for name in ("lb1", "lb2"):
			lab.set_server(name, "ox3", "maint")
		lab.capacity = lab.summary["contexts"]  # the one new node has room for all while the last in main stays old
		(lab.dir / "upgd.conf").write_text(templates.upgd_conf(lab))
	lab = small(take_out)
	findings = lab.upgctl("check", *RELEASE, json=True)["findings"]
	assert [f["level"] for f in findings if f["subject"] == "ox3" and "left alone" in f["text"]] == ["warning"]
	out = lab.upgctl(*START, "--yes", "--wait", codes=(3,), seconds=120)
	assert " PARTIAL " in out.splitlines()[-1]
	only_the_owner_changed(lab)
	assert packages(lab) == {"ox1": "7.10.6-44", "ox2": "7.10.6-44", "ox3": "7.10.5-40"}
	assert servers(lab, "main") == {"ox1": "UP", "ox2": "UP", "ox3": "MAINT"}
	assert servers(lab, "secondary") == {"ox1": "UP", "ox2": "UP", "ox3": "MAINT"}
	assert properties(lab, "ox3") == {**properties(lab, "ox3"), REDIRECT: "", "com.openexchange.push.allowPermanentPush": "true"}
	nobody_failed(lab)


def set_property(lab, node, file, key, value):
	path = lab.node(node).dir / "etc" / file
	lines = [f"{key}={value}" if line.startswith(key + "=") else line for line in path.read_text().splitlines()]
	path.write_text("".join(line + "\n" for line in lines))


def upgrade_by_hand(lab):
	tool(lab, "ox1", "registerserver", "-n", NEW)
	for name in ("lb1", "lb2"):
		lab.set_server(name, "ox3", "maint")
	lab.systemctl("ox3", "stop")
	lab.remote("ox3", "apt-get", "install", "-y", "open-xchange=7.10.6-44")
	set_property(lab, "ox3", "system.properties", "SERVER_NAME", NEW)
	set_property(lab, "ox3", "server.properties", "com.openexchange.push.allowPermanentPush", "false")
	set_property(lab, "ox3", "server.properties", "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad", "true")
	lab.systemctl("ox3", "start")
	lab.wait_until(lambda: lab.is_healthy("ox3"), 30, "ox3 is healthy")
	lab.set_server("sec", "ox3", "ready")
	lab.wait_until(lambda: servers(lab, "secondary")["ox3"] == "UP", 10, "secondary sees it")


def test_a_node_upgraded_by_hand_is_adopted(small):
	lab = small(upgrade_by_hand)
	pid = lab.node_pid("ox3")
	lab.upgctl(*START, "--yes", "--wait", seconds=120)
	assert not [r for r in records(lab) if r["kind"] == "intent" and r["unit"] in ("convert/ox3", "redirect/ox3")]
	assert lab.node_pid("ox3") == pid
	all_is_new(lab)
	nobody_failed(lab)
