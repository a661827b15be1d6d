# SPDX-License-Identifier: MIT
"""A rollout from its start to each of its ends, with users on it, and what a person may say to it on the way."""

import json
import pathlib

import pytest

import report
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
	out = site.upgctl(*START, "--yes", "--wait", seconds=240)
	assert " DONE " in out.splitlines()[-1]
	assert report.report(site.dir) == 0
	all_is_new(site)
	closed, empty = schemata(site)[-1], schemata(site)[-2]
	assert next(s["pool"] for s in site.summary["schemata"] if s["name"] == closed) == 4 and not owners(site)[empty]
	assert {f"migrate/{name}" for name in (closed, empty, "oxdatabase_archive")} <= set(site.units("migrate"))
	assert any(before[2] != "1" for before in site.before.values())
	nobody_failed(site)
