# SPDX-License-Identifier: MIT
"""Tenants that come, go and change while their schemata move."""

import pytest

from test_faults import reaches_done, small as small  # noqa: F401  pylint: disable=unused-import,useless-import-alias
from test_faults import pool_of, server_of, wait_for_log, wait_for_task
from test_rollout import NEW, OLD, START, TASK, hold, pending, schemata, tenants, tool, unit_is

FIRST = "oxdatabase_3"   # the largest: the canary of `migrate`
EMPTY = "oxdatabase_5"


def made(lab, node, cid, schema):
	tool(lab, node, "createcontext", "-c", str(cid), "-N", f"late{cid}", "--schema", schema)
	lab.before = tenants(lab)
	return cid


def is_new_and(lab, cid, schema, enabled):
	assert tenants(lab)[cid][:3] == (schema, NEW, enabled), tenants(lab)[cid]


def retried(lab, unit):
	"""Refused while others use up the room of the new fleet, or the limits: then later."""
	lab.wait_until(lambda: lab.upgctl("retry", unit, codes=(0, 1)), 60, f"{unit} may be tried again")


def new_schema(lab, name, like, cid):
	"""As OX makes one: counted, with all tables and tasks of its release, and a first tenant."""
	pool = pool_of(lab, like)
	tables = [t for (t,) in lab.sql(f"SHOW TABLES FROM {like}", server_of(lab, like))]
	lab.sql(f"CREATE DATABASE {name}; " + "".join(f"CREATE TABLE {name}.{t} LIKE {like}.{t}; " for t in tables) +
		f"INSERT INTO {name}.updateTask SELECT * FROM {like}.updateTask", server_of(lab, like))
	lab.sql(f"INSERT INTO configdb.contexts_per_dbschema (db_pool_id, schemaname, count, creating_date) VALUES ({pool}, '{name}', 0, 0); "
		f"INSERT INTO configdb.dbschema_lock VALUES ({pool}, '{name}')")
	lab.summary["schemata"].append({"name": name, "pool": pool, "contexts": 1, "counted": True})
	return made(lab, "ox3", cid, name)


def test_tenants_and_a_schema_come_in_while_the_world_is_mixed(small):
	lab = small(users=0)
	lab.upgctl(*START, "--yes", "--set", "soak=5s")  # after the first, time to pause before the others
	unit_is(lab, f"migrate/{FIRST}", state="done")
	lab.upgctl("pause")
	lab.wait_until(lambda: not any(u["in_window"] for u in lab.units("migrate").values()), 60, "no window is open")
	units = lab.units("migrate")
	kept = next(name for name in schemata(lab) if units[f"migrate/{name}"]["state"] == "waiting" and name != EMPTY)
	made(lab, "ox3", 901, FIRST)   # by the old fleet, in a schema that is new
	made(lab, "ox1", 902, kept)    # by the new fleet, in one that is old
	made(lab, "ox3", 903, EMPTY)   # disabled before anybody saw it
	tool(lab, "ox3", "disablecontext", "-c", "903")
	new_schema(lab, "oxdatabase_late", kept, 904)
	lab.before = tenants(lab)
	assert {tenants(lab)[cid][1] for cid in (901, 903, 904)} == {OLD} and tenants(lab)[902][1] == NEW
	lab.upgctl("resume")
	reaches_done(lab)  # every tenant is new, enabled or disabled as it was, and every schema has its tasks
	for cid, schema, enabled in ((901, FIRST, "1"), (902, kept, "1"), (903, EMPTY, "0"), (904, "oxdatabase_late", "1")):
		is_new_and(lab, cid, schema, enabled)
	assert lab.units("migrate")["migrate/oxdatabase_late"]["state"] == "done" and not pending(lab, "oxdatabase_late")
	assert any(r["kind"] == "unit" and "observed as mixed again" in (r.get("text") or "") for r in lab.upgctl("log", "--unit", f"migrate/{FIRST}", json=True)["records"])


def test_an_admin_disables_and_another_is_made_inside_a_window(small):
	"""Disabled stays disabled. Who was made on the old fleet meanwhile moves in a window of its own."""
	lab = small(users=0)
	lab.fault(f"task.{FIRST}.{TASK}", "slow:3000")
	lab.upgctl(*START, "--yes")
	wait_for_task(lab, FIRST)
	cid = next(c for c, t in tenants(lab).items() if t[0] == FIRST and t[3] == "1431655765")
	tool(lab, "ox3", "disablecontext", "-c", str(cid))
	made(lab, "ox3", 901, FIRST)
	lab.before = {c: (t[0], OLD, "1", "NULL") if t[3] == "1431655765" else (t[0], OLD, *t[2:]) for c, t in tenants(lab).items()}
	lab.fault(f"task.{FIRST}.{TASK}", None)
	reaches_done(lab)
	is_new_and(lab, cid, FIRST, "0")
	is_new_and(lab, 901, FIRST, "1")


@pytest.mark.long
def test_a_tenant_that_is_enabled_inside_a_window_is_not_updated_under_its_users(small):
	lab = small(users=0)
	lab.fault("clt.changeserver", "slow:3000")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"intent .*unit=migrate/{FIRST} step=repoint")
	cid = next(c for c, t in tenants(lab).items() if t[0] == FIRST and t[3] == "1431655765")
	tool(lab, "ox3", "enablecontext", "-c", str(cid))
	unit = unit_is(lab, f"migrate/{FIRST}", state="failed")
	assert not unit["in_window"] and not unit["past_pivot"]
	assert {c: t for c, t in tenants(lab).items() if t[0] == FIRST} == {c: t for c, t in lab.before.items() if t[0] == FIRST}  # undone
	assert pending(lab, FIRST)
	lab.fault("clt.changeserver", None)
	assert f"upgctl retry migrate/{FIRST}" in lab.upgctl("explain", f"migrate/{FIRST}")
	retried(lab, f"migrate/{FIRST}")
	reaches_done(lab)


@pytest.mark.long
def test_tenants_enabled_while_nobody_watched_are_not_updated_under_their_users(small):
	"""A pause --now in a window, upgd is killed, a person undoes by hand, upgd is back: it looks before it goes on."""
	lab = small(users=0)
	lab.fault("clt.changeserver", "slow:3000")
	lab.upgctl(*START, "--yes")
	wait_for_log(lab, f"intent .*unit=migrate/{FIRST} step=repoint")
	lab.upgctl("pause", "--now")
	lab.fault("clt.changeserver", None)
	wait_for_log(lab, f"step .*unit=migrate/{FIRST} step=repoint")
	lab.kill_upgd()
	tool(lab, "ox3", "enablecontext", "-c", str(next(c for c, t in tenants(lab).items() if t[0] == FIRST and t[3] == "1431655765")))
	lab.start_upgd()
	lab.upgctl("resume")
	unit = unit_is(lab, f"migrate/{FIRST}", state="failed")
	assert unit["in_window"] and not unit["past_pivot"] and pending(lab, FIRST)
	assert "no longer true after nobody watched it" in unit["text"] and "no context of the schema is enabled" in unit["text"], unit
	retried(lab, f"migrate/{FIRST}")
	reaches_done(lab)


@pytest.mark.long
def test_a_schema_that_is_dropped_is_left_out_by_a_person(small):
	lab = small(users=0)
	lab.upgctl(*START)
	hold(lab, "approval")
	gone = "oxdatabase_2"
	lab.sql(f"DELETE FROM configdb.context WHERE cid IN (SELECT cid FROM configdb.context_server2db_pool WHERE db_schema = '{gone}'); "
		f"DELETE FROM configdb.context_server2db_pool WHERE db_schema = '{gone}'; DELETE FROM configdb.contexts_per_dbschema WHERE schemaname = '{gone}'")
	lab.sql(f"DROP DATABASE {gone}", server_of(lab, gone))
	lab.upgctl("approve", "prepare/freeze")
	lab.upgctl("approve", "convert/first-boot")
	found = hold(lab, "gone")
	assert found["scope"] == f"migrate/{gone}" and f"upgctl skip migrate/{gone}" in found["text"]
	lab.upgctl("skip", f"migrate/{gone}")
	rollout = lab.wait_for_state("done", "partial", "aborted")
	assert rollout["state"] == "partial" and "1 skipped" in rollout["text"]
	assert {t[1] for t in tenants(lab).values()} == {NEW}
