# SPDX-License-Identifier: MIT
"""Database servers that go away, refuse, or come back as others. None of that is a failure of what upgd was doing."""

import contextlib
import re
import socket
import subprocess

import lab as lab_module
import pytest

from test_faults import each_update_ran_once, logged, no_unit_failed, reaches_done, stays, stop_child, task_runs, wait_for_log, wait_for_task
from test_rollout import START, TASK, owners, pending, records, tenants

ON_DB2 = "oxdatabase_archive"  # with oxdatabase_2; the others live on db1 beside configdb
ON_DB1 = "oxdatabase_3"        # the largest


@pytest.fixture
def tiny(make_lab):
	"""Two nodes and six schemata without users: what is looked at is what upgd does and says."""
	def make(prepare=None):
		lab = make_lab(nodes=2, schemata=6, contexts=3)
		if prepare:
			prepare(lab)
		lab.before = tenants(lab)
		lab.start_upgd()
		return lab
	return make


def unit(lab, name):
	return lab.units(name.split("/")[0])[name]


def retries(lab):
	return [r for r in records(lab) if r["kind"] == "retry"]


def all_as_before(lab):
	"""Done, nobody's tenants other than they were but for their owner, nothing failed and nothing ran twice."""
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	assert {cid: t[2:] for cid, t in tenants(lab).items()} == {cid: t[2:] for cid, t in lab.before.items()}


def says_host(lab, name, text):
	"""The outage is a hold as soon as it is seen, and what status says first as soon as nothing else goes on."""
	def held():
		return next((h for h in lab.status()["holds"] if h["kind"] == "host" and h["scope"] == name and re.search(text, h["text"])), None)
	found = lab.wait_until(held, 60, f"{name} is a hold: {text}")  # what was under way may have failed in another way first
	assert found["who"] == "world" and found["since"] > 0
	lab.wait_until(lambda: re.search(f"waits: {name}: .*{text}", lab.status()["first"]), 60, f"the first line says {name}")


# away


def test_a_database_server_is_away_inside_a_window(tiny):
	"""The unit stands before its next step, says for whom it waits, and goes on by itself."""
	lab = tiny()
	lab.fault("clt.changeserver", "slow:2000")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"intent .*unit=migrate/{ON_DB2} step=repoint")
	start = stop_child(lab, "db2")
	says_host(lab, "db2", "db2 cannot be reached for .*: cannot connect")
	wait_for_log(lab, f"step .*unit=migrate/{ON_DB2} step=repoint")
	stays(lambda: unit(lab, f"migrate/{ON_DB2}")["step"] == "update" and unit(lab, f"migrate/{ON_DB2}")["in_window"], 3)
	text = lab.upgctl("explain", f"migrate/{ON_DB2}")
	assert "db2 cannot be reached" in text, text
	assert lab.status()["tenants_down"] > 0
	lab.fault("clt.changeserver", None)
	start()
	all_as_before(lab)
	assert retries(lab) == []


@pytest.mark.long
def test_configdb_is_away_while_a_tool_of_a_window_runs(tiny):
	"""The tool fails, and that is not counted: repoint has one further try, and it is not used up by three outages."""
	lab = tiny()
	lab.fault("clt.changeserver", "slow:1500")
	lab.upgctl(*START, "--yes")
	for outage in range(1, 4):
		wait_for_log(lab, f"intent .*unit=migrate/\\S+ step=repoint(?s:.*intent .*step=repoint){{{outage - 1}}}")
		start = stop_child(lab, "db1")
		lab.wait_until(lambda n=outage: logged(lab, "acted .* step=repoint .*code=2", n), 60, "the tool has failed")
		says_host(lab, "configdb", "configdb cannot be reached for .*: cannot connect")
		if outage == 3:
			lab.fault("clt.changeserver", None)
		start()
	all_as_before(lab)
	assert {r["code"] for r in retries(lab)} == {"lost"} and len(retries(lab)) >= 3


@pytest.mark.long
def test_a_database_server_begins_anew_outside_a_window(tiny):
	"""In the middle of a node's conversion: nothing fails, and what was done before is looked at again."""
	lab = tiny()
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, "intent .*unit=convert/ox1 step=stop")
	stop_child(lab, "db1")()
	wait_for_log(lab, "host run=.* code=2 text=\"configdb: ")
	all_as_before(lab)
	checked = [r for r in records(lab) if r["kind"] == "checked"]
	assert {"prepare/cluster", "redirect/ox1", "redirect/ox2"} <= {r["unit"] for r in checked} and {r["code"] for r in checked} == {"holds"}


# refused


def test_deadlocks_locks_and_lost_connections_of_the_tools(tiny):
	"""Each is tried again and uses up no try; what was done before the connection was lost is not done twice."""
	lab = tiny()
	faults = {"registerserver": 1040, "reloadconfiguration": 2006, "disableschema": 1213, "changeserver": 2013, "enableschema": 1205}
	for tool, number in faults.items():
		lab.fault(f"clt.{tool}", f"once:errno:{number}")
	lab.upgctl(*START, "--yes")
	all_as_before(lab)
	assert {r["step"] for r in retries(lab)} == {"register", "probe", "disable", "enable"} and {r["code"] for r in retries(lab)} == {"lost"}
	acted = [r["text"] for r in records(lab) if r["kind"] == "acted" and r["code"] == "unknown"]
	assert len(acted) == len(faults) and all(text.startswith("its database failed it, which does not count: exit 106: ") for text in acted), acted
	calls = [c for n in lab.nodes for c in (n.dir / "calls.log").read_text().splitlines() if c.startswith("changeserver")]
	assert len(calls) == len(set(calls)) == 5, calls


def kill_ours(lab, server):
	ids = [row[0] for row in lab.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'upgd'", server)]
	for connection in ids:
		with contextlib.suppress(lab_module.LabError):  # it has gone by itself
			lab.sql(f"KILL {connection}", server)
	return len(ids)


@pytest.mark.long
def test_our_connections_are_killed(tiny):
	"""Again and again while a window opens and closes: what was asked is asked once more, and nothing is lost with it."""
	lab = tiny()
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, "admit .*unit=migrate/")
	killed = 0
	while not logged(lab, "unit run=.* unit=migrate/.*code=done", 3):
		killed += kill_ours(lab, 1) + kill_ours(lab, 2)
	assert killed >= 3
	all_as_before(lab)


@contextlib.contextmanager
def no_connection_free(lab, server):
	"""Every slot is taken by somebody who never logs in, and ours are killed until they cannot come back."""
	argv = ["mariadb", f"--defaults-file={lab.dir}/cnf/root{server}.cnf", "--force"]
	with contextlib.ExitStack() as stack:
		root = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True))
		stack.callback(root.stdin.close)

		def say(statement):
			root.stdin.write(statement + ";\n")
			root.stdin.flush()

		def is_full():
			say("KILL USER upgd")
			for _ in range(8):
				stack.enter_context(socket.create_connection(("127.0.0.1", lab.db_ports[server - 1]), timeout=10))
			return any(h["kind"] == "host" for h in lab.status()["holds"])
		say("SET GLOBAL connect_timeout = 300, max_connections = 10")
		lab.wait_until(is_full, 60, "no connection is free")
		yield


@pytest.mark.long
def test_no_connection_is_free(tiny):
	lab = tiny()
	lab.fault("clt.changeserver", "slow:1500")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"intent .*unit=migrate/{ON_DB2} step=repoint")
	with no_connection_free(lab, 2):
		says_host(lab, "db2", "db2 cannot be reached for .*: .*Too many connections")
		wait_for_log(lab, f"step .*unit=migrate/{ON_DB2} step=repoint")
		assert unit(lab, f"migrate/{ON_DB2}")["in_window"]
	lab.fault("clt.changeserver", None)
	all_as_before(lab)


def test_a_demoted_primary_is_not_worked_on(tiny):
	"""read_only: its schemata wait with their tenants up, and go on when it may be written to."""
	lab = tiny()
	lab.sql("SET GLOBAL read_only = 1", 2)
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"unit run=.* unit=migrate/{ON_DB1} .*code=done")
	says_host(lab, "db2", "db2 is read-only for .*: nothing is changed on it")
	assert unit(lab, f"migrate/{ON_DB2}")["state"] == "waiting" and lab.status()["tenants_down"] == 0
	assert not logged(lab, f"admit .*unit=migrate/{ON_DB2}") and owners(lab)[ON_DB2] == {"oxserver"}
	lab.sql("SET GLOBAL read_only = 0", 2)
	all_as_before(lab)


# another server


def becomes_another(lab, name, number):
	"""A failover: what answers under that name is another server."""
	process = next(p for p in lab.procs.children if p.name == name)
	process.popen.args = [f"--server-id={number}" if str(a).startswith("--server-id=") else a for a in process.popen.args]
	stop_child(lab, name)()


def forget_update(lab, schema, server):
	"""As the replica that never got the last commits."""
	lost = [name for (name,) in lab.sql(f"SELECT taskName FROM {schema}.updateTask WHERE taskName LIKE '%{TASK}'", server)]
	assert lost
	lab.sql(f"DELETE FROM {schema}.updateTask WHERE taskName LIKE '%{TASK}'", server)


@pytest.mark.long
def test_a_failover_lost_the_update_of_a_finished_schema(tiny):
	"""What was verified on the old server is verified on the new one, and what is not so any more is done again."""
	lab = tiny()
	lab.fault(f"task.{ON_DB1}.{TASK}", "slow:6000")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"unit run=.* unit=migrate/{ON_DB2} .*code=done")
	forget_update(lab, ON_DB2, 2)
	becomes_another(lab, "db2", 22)
	wait_for_log(lab, "host run=.* code=1 text=\"db2: ")
	wait_for_log(lab, f"unit run=.* unit=migrate/{ON_DB2} .*no longer true after db2: it is another server now: tasks_done")
	reaches_done(lab)
	assert pending(lab, ON_DB2) == set() and task_runs(lab)[(ON_DB2, TASK)] == 2
	reopened = {r["unit"] for r in records(lab) if r["kind"] == "unit" and "no longer true" in r.get("text", "")}
	assert reopened == {f"migrate/{ON_DB2}"}, reopened  # what is still true is left alone, its tenants up
	no_unit_failed(lab)


def test_a_failover_of_configdb_lost_the_repoint_of_an_open_window(tiny):
	"""Nobody is enabled where he is not: the unit stands, says what is not so any more, and a retry goes on from there."""
	lab = tiny()
	lab.fault(f"task.{ON_DB2}.{TASK}", "slow:9000")
	lab.upgctl(*START, "--yes")
	wait_for_task(lab, ON_DB2)
	lab.upgctl("pause")  # a server that begins anew cuts off the tasks of its own schemata: none of them is to be under way
	lab.wait_until(lambda: [n for n, u in lab.units("migrate").items() if u["state"] == "running"] == [f"migrate/{ON_DB2}"], 60, "the others have ended")
	lab.sql(f"UPDATE configdb.context_server2db_pool SET server_id = 6 WHERE db_schema = '{ON_DB2}'")
	becomes_another(lab, "db1", 11)
	found = lab.wait_until(lambda: next((u for u in lab.status()["attention"] if u["name"] == f"migrate/{ON_DB2}"), None), 60, "it stands")
	assert found["state"] == "failed" and found["in_window"] and "no longer true after configdb: it is another server now: owned_new" in found["text"], found
	assert found["step"] == "repoint" and not logged(lab, f"intent .*unit=migrate/{ON_DB2} step=enable")
	lab.upgctl("retry", f"migrate/{ON_DB2}")
	lab.upgctl("resume")
	reaches_done(lab)
	assert {t[1] for t in tenants(lab).values()} == {"oxserver-new"}
