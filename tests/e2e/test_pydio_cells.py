# SPDX-License-Identifier: MIT
"""Pydio Cells from v3 to v4: three nodes stopped at once, real MariaDB and HAProxy, stand-ins of cells and systemctl (tests/lab/pydio_cells)."""

import json
import os
import pathlib
import signal
import subprocess

import pytest

from procs import wait_until
from pydio_cells import data
from pydio_cells.site import FORMAT, Cells

START = ("start", "--to", "4.2.1", "--yes")
FIX = ("--set", "fix_collation=yes")


def later(*values):
	return pytest.param(*values, marks=pytest.mark.long)


def start(site, *more):
	site.start_upgd()
	site.people = site.users()
	site.people.wait_for("v3")
	site.upgctl(*START, *more)


def let_go_on(site, fault, node="n1"):
	site.fault(fault, None, node)


def is_v4(site):
	"""Migrated once and whole, nothing lost, all nodes in."""
	assert site.versions() == {"4.2.1"} and site.migrated() == 5
	assert data.texts(site.db) == site.texts
	assert [s["status"] for s in site.servers_of("lb", "cells").values()] == ["UP"] * len(site.nodes)
	assert not site.db.sql("SELECT 1 FROM cells.hydra_jwk WHERE sid = 'hydra.openid.id-token'")
	assert site.capabilities() == site.capable and site.boots() == [n.name for n in site.nodes]


def is_v3(site, collations):
	"""As it was before anybody came: database, files, programs; and it serves."""
	assert site.versions() == {"3.0.9"} and site.migrated() == 0
	assert data.texts(site.db) == site.texts and data.keys(site.db) == site.keys and data.collations(site.db) == collations
	assert len(site.db.sql("SELECT 1 FROM cells.hydra_jwk")) == 2
	assert site.capabilities() == site.capable and site.boots() == [n.name for n in site.nodes]
	for node in site.nodes:
		assert (node.dir / "data/.minio.sys/format.json").read_text() == FORMAT
		assert json.loads((node.columns["work"] / "pydio.json").read_text())["versions"] == {"pydio.grpc.oauth": "3.0.9"}
		assert not pathlib.Path(f"{node.columns['bin']}.next").exists()
	site.people.wait_for("v3")


def unit_text(site, name):
	return site.upgctl("explain", name)


def wait_for_unit(site, name, *states, seconds=60):
	return site.wait_until(lambda: (site.units().get(name) or {}).get("state") in states, seconds, f"{name} is {' or '.join(states)}")


def rests(site):
	"""The whole rollout is undone, and waits for a person."""
	units = site.units()
	return units["up/n1"]["state"] == "failed" and all(units[f"{stage}/n{i}"]["state"] == "undone" for stage in ("down", "files", "swap") for i in range(1, len(site.nodes) + 1)) \
		and "back on" in site.upgctl("status", codes=None)


# the way there


def test_all_nodes_at_once_and_users_see_the_maintenance_page(make_lab):
	site = make_lab(Cells)
	before = data.collations(site.db)
	site.lb("lb", "set server cells/n3 state maint")  # by somebody's hand: its Cells runs, and must be stopped like the others
	start(site)
	site.wait_for_state("done", seconds=60)
	site.people.wait_for("v4")
	is_v4(site)
	assert data.keys(site.db) == site.keys
	after = data.collations(site.db)
	assert {k: after[k] for k in before if not k.startswith("hydra_jwk_migration")} == {k: v for k, v in before.items() if not k.startswith("hydra_jwk_migration")}
	assert [w for w in site.people.words() if not w.startswith("error")] == ["v3", "maintenance", "v4"], site.people.told()
	assert not [w for w in site.people.words() if w.startswith("error")], site.people.told()
	assert (site.dir / "saved/cells-1.sql").stat().st_mode & 0o077 == 0
	for node in site.nodes:
		assert "./pydio.json" in archived(node, "work") and "./.minio.sys/format.json" in archived(node, "objects")
		assert not [f for f in archived(node, "work") + archived(node, "objects") if "big.bin" in f]
		assert site.calls(node.name) == [f"systemctl {verb} cells" for verb in ("start", "disable", "stop", "stop", "start", "enable")]


def archived(node, what):
	"""What is in it; nobody else may read it, for pydio.json has passwords."""
	path = node.columns["backup"] / f"{what}-1.tar"
	assert path.stat().st_mode & 0o077 == 0
	return subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.long
def test_who_else_is_connected_to_the_database_is_named(make_lab):
	"""Cells on a node that nobody knows of: it would write while the database is saved, and run on what v4 has migrated."""
	site = make_lab(Cells, nodes=2)
	before = data.collations(site.db)
	other = site.procs.start("other", ["mariadb", "--no-defaults", "--user=cells", "--password=cells", "--host=127.0.0.1", f"--port={site.db.port}", "-e", "SELECT SLEEP(600)", "cells"])
	start(site)
	site.wait_until(lambda: is_back(site, "save/cluster"), 90, "it is back and rests")
	assert "nobody else is connected" in unit_text(site, "save/cluster") or "cells@" in unit_text(site, "save/cluster")
	is_v3(site, before)
	other.stop()
	site.upgctl("retry", "save/cluster")
	site.wait_for_state("done", seconds=60)
	is_v4(site)


def is_back(site, unit):
	return site.units()[unit]["state"] == "failed" and "back on" in site.upgctl("status", codes=None)


@pytest.mark.long
def test_cells_that_cannot_be_stopped_keeps_nobody_out(make_lab):
	site = make_lab(Cells)
	before = data.collations(site.db)
	site.fault("systemctl", "stop", "n2")
	start(site)
	site.wait_until(lambda: is_back(site, "down/n2"), 60, "it is back and rests")
	is_v3(site, before)
	site.wait_until(lambda: [s["status"] for s in site.servers_of("lb", "cells").values()] == ["UP"] * 3, 30, "all are in again")
	let_go_on(site, "systemctl", "n2")
	site.upgctl("retry", "down/n2")
	site.wait_for_state("done", seconds=60)
	is_v4(site)


@pytest.mark.long
def test_a_node_that_somebody_starts_beside_the_first_start(make_lab):
	"""It runs v4 as well; on the way back it is stopped before the old state is restored under it."""
	site = make_lab(Cells)
	before = data.collations(site.db)
	for node in ("n1", "n2"):
		site.fault("migrate", "wait:pydio.grpc.acl", node)
	start(site)
	site.wait_until(lambda: site.migrated() == 2, 60, "v4 is half way in its migration")
	site.remote("n2", "systemctl", "start", "cells")
	site.fault("migrate", "fail:pydio.grpc.policy", "n1")
	site.wait_until(lambda: rests(site), 90, "it is back and rests")
	is_v3(site, before)
	assert site.calls("n2")[-5:] == [f"systemctl {verb} cells" for verb in ("start", "stop", "stop", "start", "enable")]


@pytest.mark.long
def test_a_node_that_is_rebooted_while_all_are_down(make_lab):
	"""Neither v3 nor v4 starts with it, before its turn."""
	site = make_lab(Cells, nodes=2)
	site.fault("migrate", "wait:pydio.grpc.acl", "n1")
	start(site)
	site.wait_until(lambda: site.migrated() == 2, 60, "v4 is half way in its migration")
	site.reboot("n2")
	assert not site.is_running("n2") and site.is_running("n1")
	let_go_on(site, "migrate")
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert site.calls("n2").count("systemctl start cells") == 2


# As where there is no room: the archive ends in the middle of a file.
TAR = """#!/bin/sh
case "$*" in
*--create*) [ ! -e "$LAB_FAULT/tar" ] || {
	/usr/bin/tar "$@"
	for word; do case $word in --file=*) truncate -s 50000 "${word#--file=}" ;; esac; done
	echo "tar: Wrote only 50000 of 112640 bytes" >&2
	exit 2
	} ;;
esac
exec /usr/bin/tar "$@"
"""


@pytest.mark.long
def test_an_archive_that_fails_half_way_keeps_nobody_out(make_lab):
	"""There is nothing whole to restore from, and nothing to restore."""
	site = make_lab(Cells, nodes=2)
	before = data.collations(site.db)
	(site.dir / "tar").write_text(TAR)
	os.chmod(site.dir / "tar", 0o755)
	site.tool("n2", site.dir / "tar")
	(site.node("n2").columns["work"] / "services/index.bolt").write_bytes(b"x" * 100000)
	site.fault("tar", "short", "n2")
	start(site)
	site.wait_until(lambda: is_back(site, "files/n2"), 60, "it is back and rests")
	is_v3(site, before)
	let_go_on(site, "tar", "n2")
	site.upgctl("retry", "files/n2")
	site.wait_for_state("done", seconds=60)
	is_v4(site)


# collations


@pytest.mark.parametrize("state", ["latin1", "jwk", later("database"), later("keyless")])
def test_a_wrong_collation_is_found_before_and_mended_if_asked_for(make_lab, state):
	site = make_lab(Cells, state=state, nodes=1)
	before, default = data.collations(site.db), site.db.sql("SELECT @@collation_database", "cells")
	assert site.gate() and (state != "jwk" or len(site.gate()) == 1)
	start(site, *FIX)
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert not site.gate() and site.db.sql("SELECT @@collation_database", "cells") == ([["utf8mb4_general_ci"]] if state == "database" else default)
	assert data.keys(site.db) == site.keys and len(site.keys) == (0 if state == "keyless" else 6)
	after = data.collations(site.db)
	exact = {k for k, v in before.items() if v.endswith("_bin")}
	assert len(exact) == 9 and {k for k, v in after.items() if v.endswith("_bin") and ".v4_" not in k} == exact
	assert all(after[k].startswith("utf8mb4") for k in before if not k.startswith(("gorp_", "hydra_jwk_migration", "enc_node_keys")))
	assert after["enc_node_keys.node_id"] == "ascii_general_ci" and after["hydra_jwk.kid"] == after["hydra_client.id"] == after["hydra_client"]


@pytest.mark.long
def test_a_healthy_database_is_not_mended(make_lab):
	site = make_lab(Cells, nodes=1)
	start(site, *FIX)
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert not [u for u in site.units() if u.startswith(("convert", "unlink", "relink"))]
	assert data.collations(site.db)["data_pydiods1_nodes.name"] == "utf8mb4_bin"


def alters(site, what):
	return site.db.sql(f"SELECT id FROM information_schema.processlist WHERE info LIKE '/* upgd 1 {what} */%'")


@pytest.mark.long
def test_killed_in_the_mending_with_its_client(make_lab):
	"""upgd and the client are killed, the statement runs on: it is found in the database, waited for, and not run twice."""
	site = make_lab(Cells, state="latin1", nodes=1, files=150000)
	start(site, *FIX)
	wait_until(lambda: alters(site, "data_pydiods1_nodes"), 60, "the table is being converted")
	site.kill_upgd()
	wait_until(lambda: kill_clients(site, "data_pydiods1_nodes"), 20, "the client is killed")
	assert alters(site, "data_pydiods1_nodes")
	site.start_upgd()
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert data.keys(site.db) == site.keys and not site.gate()
	assert intents(site, "convert/data_pydiods1_nodes", "alter") == 1


def intents(site, unit, step):
	records = site.upgctl("log", "--limit", "1000", json=True)["records"]
	return len([r for r in records if r["kind"] == "intent" and r["unit"] == unit and r["step"] == step])


def kill_clients(site, what):
	"""Of the statement on that row, by their pids."""
	found = subprocess.run(["pgrep", "-f", f"^mysql.*{site.admin_cnf}.*upgd 1 {what} "], capture_output=True, text=True, check=False).stdout.split()
	for pid in found:
		try:
			os.kill(int(pid), signal.SIGKILL)
		except ProcessLookupError:
			pass
	return found


@pytest.mark.long
@pytest.mark.parametrize("unit", [later("unlink/idm_acls.idm_acls_f2"), "relink/idm_acls.idm_acls_f2"])
def test_killed_between_two_statements(make_lab, unit):
	"""The rows were written down at the start: what is gone by now is not forgotten."""
	site = make_lab(Cells, state="latin1", nodes=1)
	start(site, *FIX)
	wait_for_unit(site, unit, "done")
	site.kill_upgd()
	site.start_upgd()
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert data.keys(site.db) == site.keys and len(site.keys) == 6 and not site.gate()


# the tools that lie


@pytest.mark.long
@pytest.mark.parametrize("word,why", [("fail", "Error while"), later("lies", "3.0.9")])
def test_cells_update_that_says_nothing_by_its_exit_code(make_lab, word, why):
	site = make_lab(Cells)
	before = data.collations(site.db)
	site.fault("update", word, "n2")
	start(site)
	wait_for_unit(site, "fetch/n2", "failed")
	assert why in unit_text(site, "fetch/n2")
	assert site.people.words() == ["v3"] and site.versions() == {"3.0.9"} and data.collations(site.db) == before
	let_go_on(site, "update", "n2")
	site.upgctl("retry", "fetch/n2")
	site.wait_for_state("done", seconds=60)
	is_v4(site)


@pytest.mark.long
def test_a_binary_from_a_file_and_hashes_at_the_end(make_lab):
	site = make_lab(Cells, nodes=2)
	file = site.dir / "packages/cells-4.2.1"
	total = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]
	site.start_upgd()
	site.people = site.users()
	given = ("--to", "4.2.1", "--set", f"binary={file}", "--set", "rehash=yes")
	assert "sha256" in site.upgctl("check", *given, codes=None)  # it is not left out
	assert "has that checksum" in site.upgctl("check", *given, "--set", "sha256=" + "0" * 64, codes=None)
	site.fault("rehash", "fail", "n1")
	site.fault("rehash", "fail", "n2")
	site.upgctl("start", "--yes", *given, "--set", f"sha256={total}")
	wait_for_unit(site, "rehash/personal", "failed")
	is_v4(site)
	for node in ("n1", "n2"):
		let_go_on(site, "rehash", node)
	site.upgctl("retry", "rehash/personal")
	site.wait_for_state("done", seconds=60)
	hashed = "".join(p.read_text() for p in site.dir.glob("nodes/*/work/rehashed"))
	assert sorted(line.split()[0] for line in hashed.splitlines()) == ["personal", "pydiods1"]


# the first start


@pytest.mark.long
def test_killed_in_the_first_start(make_lab):
	site = make_lab(Cells)
	site.fault("migrate", "wait:pydio.grpc.acl", "n1")
	start(site)
	site.wait_until(lambda: site.migrated() == 2, 60, "v4 is half way in its migration")
	site.kill_upgd()
	site.start_upgd()
	let_go_on(site, "migrate")
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert data.keys(site.db) == site.keys and site.calls("n1").count("systemctl start cells") == 2


@pytest.mark.parametrize("fault,word,said,hint", [
	later("gate", "dirty", "Stopping all migrations", "fix_collation=yes"),
	("migrate", "code", "Could not apply migrations", "v4 could not migrate"),
	later("migrate", "panic", "gone", "v4 ended while it started"),
	later("migrate", "die:pydio.grpc.acl", "gone", "v4 ended while it started")])
def test_v4_that_refuses_is_found_by_its_log_and_everything_goes_back(make_lab, fault, word, said, hint):
	site = make_lab(Cells)
	before = data.collations(site.db)
	site.fault(fault, word, "n1")
	start(site)
	site.wait_until(lambda: rests(site), 60, "it is back and rests")
	assert said in unit_text(site, "up/n1") and hint in unit_text(site, "up/n1")
	is_v3(site, before)
	let_go_on(site, fault)
	site.upgctl("retry", "up/n1")
	site.wait_for_state("done", seconds=60)
	is_v4(site)
	assert site.people.words() == ["v3", "maintenance", "v3", "maintenance", "v4"], site.people.told()


@pytest.mark.long
def test_killed_on_the_way_back(make_lab):
	"""While the dump is restored: v3 serves on a database that is whole."""
	site = make_lab(Cells, nodes=1, files=50000)
	before = data.collations(site.db)
	site.fault("migrate", "fail:pydio.grpc.policy", "n1")
	start(site)
	site.wait_until(lambda: "dir=undo" in restore_of(site), 60, "the dump is being restored")
	site.kill_upgd()
	site.start_upgd()
	site.wait_until(lambda: rests(site), 60, "it is back and rests")
	is_v3(site, before)


@pytest.mark.long
def test_what_v4_had_begun_ends_before_the_restore(make_lab):
	"""A statement outlives its v4: its table is not dropped under it."""
	site = make_lab(Cells, nodes=1)
	before = data.collations(site.db)
	site.fault("migrate", "wait:pydio.grpc.acl", "n1")
	start(site)
	site.wait_until(lambda: site.migrated() == 2, 60, "v4 is half way in its migration")
	site.procs.start("left", ["mariadb", "--no-defaults", "--user=cells", "--password=cells", "--host=127.0.0.1", f"--port={site.db.port}", "-e", "SELECT SLEEP(20)", "cells"])
	wait_until(lambda: is_left(site), 20, "a statement runs")
	site.fault("migrate", "fail:pydio.grpc.policy", "n1")
	site.wait_until(lambda: "dir=undo" in restore_of(site), 60, "the dump is being restored")
	assert not is_left(site)
	site.wait_until(lambda: rests(site), 60, "it is back and rests")
	is_v3(site, before)


def is_left(site):
	return site.db.sql("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'")


@pytest.mark.long
def test_a_restore_that_was_cut_off_is_not_taken_for_one(make_lab):
	"""All tables are there, the rows of the last are not: what tells structures from one another sees no difference."""
	site = make_lab(Cells, nodes=1, users=40000)
	before = data.collations(site.db)
	site.fault("migrate", "fail:pydio.grpc.policy", "n1")
	start(site)
	site.wait_until(lambda: "dir=undo" in restore_of(site), 60, "the dump is being restored")
	wait_until(lambda: not is_there(site, "idm_user_roles"), 20, "the restore has begun")
	wait_until(lambda: is_there(site, "idm_user_roles"), 60, "the last table is made")
	found = subprocess.run(["pgrep", "-f", f"^mysql .*{site.admin_cnf}"], capture_output=True, text=True, check=True).stdout.split()
	os.kill(int(found[0]), signal.SIGKILL)
	site.wait_until(lambda: rests(site), 60, "it is back and rests")
	is_v3(site, before)


def is_there(site, table):
	return site.db.sql(f"SELECT 1 FROM information_schema.tables WHERE table_schema = 'cells' AND table_name = '{table}'")


def restore_of(site):
	return "".join(line for line in (site.dir / "log/upgd.log").read_text().splitlines() if "intent " in line and "step=dump" in line)


# before


def test_check_lists_every_problem_of_a_bad_site_at_once(make_lab):
	site = make_lab(Cells, state="latin1", binds="localhost", maintenance=False, values={"option_file": "/nonexistent/admin.cnf"})
	site.fault("update", "empty", "n2")
	site.start_upgd()
	said = site.upgctl("check", "--to", "4.2.1", codes=None)
	for words in ("collation of the database's character set", "--set fix_collation=yes", "bind address", "cells configure sites", "update server has that version",
			"--set binary=/path", "answer for users", "errorfile 503", "can log in", "/nonexistent/admin.cnf"):
		assert words in said, words
	errors = [line for line in said.splitlines() if line.startswith("error")]
	assert len([e for e in errors if "bind address" in e]) == 3 and len([e for e in errors if "update server has" in e]) == 1
	site.upgctl(*START)
	site.wait_until(lambda: "site_answers" in site.upgctl("status", codes=None), 30, "it is started all the same, and held")
	assert set(u["state"] for u in site.units().values()) == {"waiting"} and site.calls("n1") == ["systemctl start cells"]


def test_check_names_what_would_lead_astray(make_lab):
	"""Another database would be saved than v4 changes, a look at a node would see nothing, the way back would not be allowed: each named, and started all the same nothing stops."""
	site = make_lab(Cells, nodes=1, values={"database": "other", "saved": "/proc"})
	node = site.nodes[0]
	site.db.sql("CREATE DATABASE other")
	site.procs.start("report", ["mariadb", f"--defaults-file={site.db.root_cnf}", "-e", "SELECT SLEEP(600)", "cells"])
	(node.dir / "link").symlink_to(node.columns["bin"])
	(node.dir / "work/storage").mkdir()
	(node.dir / "work/logs/pydio.log").unlink()
	(node.dir / "enabled").unlink()
	conf = (site.dir / "upgd.conf").read_text()
	for column, now in (("bin", node.dir / "link"), ("data", node.dir / "work/storage"), ("backup", "/proc"), ("health", f"http://127.0.0.1:{site.ports.take()}")):
		assert str(node.columns[column]) in conf
		conf = conf.replace(f'{column} = "{node.columns[column]}"', f'{column} = "{now}"')
	(site.dir / "upgd.conf").write_text(conf)
	site.start_upgd()
	said = site.upgctl("check", "--to", "4.2.1", codes=None)
	for words in ("it is one of Cells v3", "may bring the database back", "can dump the database", "one account is connected", "room for the dump", "healthy",
			"under the name that upgd.conf has", "systemd starts Cells", "names the database other", "names no further database", "writes its log", "but as `data`",
			"in the folder that upgd.conf names", "room for the working directory"):
		assert len([line for line in said.splitlines() if line.startswith("error") and words in line]) == 1, (words, said)
	site.upgctl(*START)
	site.wait_until(lambda: "is_of_v3" in site.upgctl("status", codes=None), 30, "it is started all the same, and held")
	assert set(u["state"] for u in site.units().values()) == {"waiting"} and site.calls("n1") == ["systemctl start cells"]


@pytest.mark.long
def test_who_may_not_see_foreign_keys_is_told_so(make_lab):
	"""An account that only reads is shown none, and no error: with the rows made of that the keys would not be dropped, or worse, not added again."""
	site = make_lab(Cells, state="latin1", nodes=1)
	for host in ("%", "localhost"):
		site.db.sql(f"REVOKE REFERENCES ON cells.* FROM upgd@'{host}'")
	site.start_upgd()
	said = site.upgctl("check", "--to", "4.2.1", *FIX, codes=None)
	assert "REFUSED" in said and "GRANT REFERENCES ON cells.*" in said


def test_a_version_that_is_not_for_this_profile(make_lab):
	site = make_lab(Cells, nodes=1)
	tested = site.procs.run([site.build / "daemon/upgd", "-t", "-c", site.dir / "upgd.conf"])
	assert "ok: cluster lab" in tested and "profile pydio-cells" in tested
	site.start_upgd()
	said = site.upgctl("check", "--to", "5.0.0", codes=None)
	assert "no plan" in said and "^4" in said
