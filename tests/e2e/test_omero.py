# SPDX-License-Identifier: MIT
"""OMERO, by conf/profiles/omero.conf: real PostgreSQL and HAProxy, a stand-in of bin/omero, SQL scripts of the shape that OMERO's have."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from omero.data import DIRTY, SQL
from omero.site import Omero
from procs import LabError, marked

START = ("start", "--to", "4.3.3", "--yes")
OLD, NEW = "OMERO.server {} images=400", "OMERO.server 4.3.3 images=400"


def begin(make_lab, **options):
	site = make_lab(Omero, **options)
	site.start_upgd()
	return site


def captured(site, step):
	"""What a step has captured, as the journal has it."""
	records = site.upgctl("log", "--limit", 500, json=True)["records"]
	return next(r["text"] for r in records if r["kind"] == "capture" and r.get("step") == step)


def serves(site, version, level, level_of="omero"):
	"""The site is up with that version on a database of that level, for users too."""
	web, server = site.visitors
	web.wait_for(version)
	server.wait_for(f"OMERO.server {version} images={site.images}")
	site.omero("admin", "status")
	assert site.omero("version").startswith(version) and site.dbpatch(level_of) == level


def test_from_32_to_43_in_one_go(make_lab):
	"""Four scripts; users see the old one, the page, the new one, and nothing else; the dump is whole and its checksum in the journal."""
	site = begin(make_lab, old="3.2.3")
	dump = site.dir / "backup/omero-1.dump"
	dump.write_text("of an earlier time")
	web, server = site.start_visitors()
	site.upgctl(*START, "--wait", seconds=120)
	serves(site, "4.3.3", "OMERO4.3__0")
	assert web.words() == ["3.2.3", "maintenance", "4.3.3"], web.told()
	assert [w for w in server.words() if w != "cut"] == [OLD.format("3.2.3"), NEW], server.told()
	assert list(site.units("migrate")) == ["migrate/OMERO4__0", "migrate/OMERO4.1__0", "migrate/OMERO4.2__0", "migrate/OMERO4.3__0"]
	assert dump.with_suffix(".dump.earlier").read_text() == "of an earlier time"
	assert dump.stat().st_mode & 0o077 == 0
	assert hashlib.sha256(dump.read_bytes()).hexdigest() in captured(site, "sum")
	old, new = site.home / "omero_dist_old", site.home / "omero_dist"
	assert (old / "VERSION").read_text() == "3.2.3\n" and not (site.home / "omero_dist_new").exists()
	assert (old / "etc/grid/config.xml").read_bytes() == (new / "etc/grid/config.xml").read_bytes()
	assert site.databases() == ["omero"]


class Session:
	"""A user who stays connected: the drain waits for him, and meanwhile nothing has stopped."""

	def __init__(self, site):
		self.socket = socket.create_connection(("127.0.0.1", site.fe_server), timeout=10)
		assert self.socket.recv(200).startswith(b"OMERO.server")

	def leave(self):
		self.socket.close()


def on_the_way(make_lab, *start, **options):
	"""A rollout that has looked at everything and drains: (site, what lets it go on)."""
	site = begin(make_lab, values={"drain": "5m"}, **options)
	site.start_visitors()
	session = Session(site)
	site.upgctl(*START, *start)
	site.wait_until(lambda: site.units()["down/n1"].get("step") == "drain", 60, "the node drains")
	return site, session


def spoiled(make_lab, *dirty, **options):
	"""What is wrong with the data came after the look."""
	site, session = on_the_way(make_lab, **options)
	for name in dirty:
		site.pg.sql(DIRTY[name], "omero")
	session.leave()
	return site


def test_check_names_every_problem_at_once(make_lab):
	"""Each with what to do about it, and nothing is touched."""
	site = make_lab(Omero, dirty=("groups", "removed", "sizez", "unfinished"), errorfile=False, values={"db": "omero", "web": "http://127.0.0.1:1/"})
	site.pg.sql("CREATE FUNCTION old() RETURNS int LANGUAGE sql AS 'SELECT 1'", "omero")
	site.omero("config", "set", "omero.db.name", "other")
	(site.home / "omero_dist_old").mkdir()
	(site.home / "omero_dist_new/VERSION").write_text("4.2.0\n")
	script = site.dir / "sql/OMERO4.3__0/OMERO4.2__0.sql"
	script.write_text(script.read_text() + "\n-- RAISE EXCEPTION ''%%'', txt\n")
	site.omero("admin", "stop")
	site.start_upgd()
	(site.dir / "bin/pg_restore").write_text("#!/bin/sh\necho 'pg_restore (PostgreSQL) 9.6.24'\n")
	found = site.upgctl("check", "--set", "to=4.3.3", codes=(1, 2, 3, 4, 5, 6))
	for probe in ("finished", "in_use", "answers", "gate", "clean", "raises", "new_there", "none_left", "is_up", "web_up", "db_name", "rights", "clients"):
		at = [n for n, line in enumerate(found.splitlines()) if f" {probe}:" in line]
		assert len(at) == 1 and found.splitlines()[at[0] + 1].strip().startswith("mend:"), f"{probe}\n{found}"
	assert found.count("error ") == 13, found
	assert "Your database has data which is incompatible with 4.2" in found, found


@pytest.mark.parametrize("old, dirty, edge, what", [("4.1.1", "humidity", "OMERO4.3__0", "imagingenvironment: 1 rows where"),
	pytest.param("3.2.3", "category", "OMERO4__0", "category: 1 rows where", marks=pytest.mark.long)])
def test_what_a_script_refuses_is_told_while_users_work(make_lab, old, dirty, edge, what):
	site = begin(make_lab, old=old, dirty=(dirty,))
	web, _ = site.start_visitors()
	assert what in site.upgctl("check", "--set", "to=4.3.3", codes=(1, 2, 3, 4, 5, 6))
	site.upgctl(*START)
	site.wait_until(lambda: site.units()[f"ask/{edge}"]["state"] == "failed", 60, "it asks")
	assert what in site.upgctl("explain", f"ask/{edge}") and web.words() == [old], web.told()


def test_what_could_not_be_brought_back_stops_nobody(make_lab):
	"""The way back is rehearsed while users work: what only a superuser may make, this account could not."""
	site = begin(make_lab)
	web, _ = site.start_visitors()
	xml = site.home / "omero_dist/etc/grid/config.xml"
	text = xml.read_text()
	xml.write_text("<icegrid><properties id='default'/></icegrid>\n")
	told = site.upgctl("check", "--set", "to=4.3.3", "--set", "pgoptions=-c no_such_setting=1", codes=(1, 2, 3, 4, 5, 6))
	assert "options:" in told and "configured:" in told, told
	xml.write_text(text)
	site.pg.sql("CREATE FUNCTION old(int) RETURNS int LANGUAGE internal AS 'int4abs'; ALTER FUNCTION old(int) OWNER TO omero", "omero")
	site.upgctl(*START)
	unit = "rehearse/cluster"
	site.wait_until(lambda: site.units()[unit]["state"] == "failed", 60, "it is rehearsed")
	assert "permission denied for language internal" in site.upgctl("explain", unit)
	assert web.words() == ["4.1.1"], web.told()
	site.pg.sql("DROP FUNCTION old(int)", "omero")
	site.upgctl("retry", unit)
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")
	assert site.databases() == ["omero"]


@pytest.mark.long
def test_nobody_is_sent_away_where_the_web_is_down_already(make_lab):
	"""Nobody asked `check`; what is down before could not be told from what does not come back."""
	site = begin(make_lab)
	site.omero("web", "stop")
	site.upgctl(*START)
	site.wait_until(lambda: site.units()["down/n1"]["state"] == "failed", 90, "it looks")
	assert "web_up" in site.upgctl("explain", "down/n1")
	site.omero("admin", "status")
	assert site.servers_of("lb", "be_server")["n1"]["status"] == "UP"


@pytest.mark.long
def test_a_level_without_a_way_is_refused(make_lab):
	"""An older one, one beyond all scripts, and a database whose level nobody knows: before anything is touched."""
	site = begin(make_lab)
	for target, what in (("4.0.2", "OMERO4.1__0"), ("5.0.0", "5.0.0"), ("4.3.3", "OMERO4.1DEV__7")):
		if "DEV" in what:
			site.pg.sql(DIRTY["unknown"], "omero")
		with pytest.raises(LabError, match=re.escape(what)):
			site.upgctl("start", "--to", target, "--yes")
	assert site.upgctl("status", codes=None).startswith("no rollout yet")


def test_permissions_that_nobody_has_decided_bring_the_old_service_back(make_lab):
	"""The report is kept, the database was never touched; after the repair `retry` goes on in the same rollout."""
	site = spoiled(make_lab, "groups")
	told = site.wait_back("migrate/OMERO4.2__0")
	assert "Different groups: Dataset(id=1)" in told and "move-to-group" in told, told
	serves(site, "4.1.1", "OMERO4.1__0")
	assert site.databases() == ["omero"] and (site.home / "omero_dist_new/VERSION").read_text() == "4.3.3\n"
	repair = [site.pg.bin / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-vGRP=2", "-vUSR=1", "-d", "omero", "-f", SQL / "OMERO4.2__0/omero-4.1-move-to-group.sql"]
	site.procs.run(repair, env=site.pg.env)
	site.upgctl("retry", "migrate/OMERO4.2__0")
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")
	assert [w for w in site.visitors[0].words()] == ["4.1.1", "maintenance", "4.1.1", "maintenance", "4.3.3"], site.visitors[0].told()


@pytest.mark.long
def test_what_the_data_fix_mends_is_mended_on_the_way(make_lab):
	site = begin(make_lab, old="4.2.2", dirty=("sizez", "waves"))
	site.upgctl(*START, "--wait", seconds=120)
	assert site.dbpatch() == "OMERO4.3__0" and site.pg.value("SELECT count(*) FROM pixels WHERE sizez = 1 AND id IN (7, 8)", "omero") == "2"
	assert site.pg.value("SELECT count(*) FROM logicalchannel WHERE excitationwave IS NULL OR emissionwave IS NULL", "omero") == "2"


def made(site):
	"""What of a database is not in its dump."""
	return site.pg.sql("SELECT pg_get_userbyid(datdba), datcollate, datctype, ARRAY(SELECT unnest(datacl)::text ORDER BY 1), "
		"(SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace), ARRAY(SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0 ORDER BY 1) FROM pg_database d WHERE datname = 'omero'")


def test_the_way_back_is_a_new_database_with_the_old_release_on_it(make_lab):
	"""Three of four scripts have committed: the dump comes back under the database's name, what was half done is kept, and retry begins anew."""
	site = spoiled(make_lab, "index", old="3.2.3")
	before = made(site)
	told = site.wait_back("migrate/OMERO4.3__0")
	assert "objectivesettings_check" in told, told
	serves(site, "3.2.3", "OMERO3A__11")
	assert made(site) == before
	assert site.pg.value("SELECT count(*) FROM pg_stats WHERE tablename = 'image'", "omero") != "0"  # they are not in the dump
	kept = [d for d in site.databases() if d != "omero"]
	assert len(kept) == 1 and kept[0].startswith("omero_failed_") and site.dbpatch(kept[0]) == "OMERO4.2__0", site.databases()
	site.pg.sql("UPDATE objectivesettings SET refractiveindex = 1.33 WHERE id = 5", "omero")
	site.upgctl("retry", "migrate/OMERO4.3__0")
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")


@pytest.mark.long
def test_a_new_server_that_does_not_come_up(make_lab):
	"""admin start ends with 43 after its time: the old one is back, on the restored database."""
	site = begin(make_lab)
	site.start_visitors()
	site.fault("start", "never 4.3.3", node="n1")
	site.upgctl(*START)
	told = site.wait_back("up/n1")
	assert "Failed to startup some components" in told, told
	serves(site, "4.1.1", "OMERO4.1__0")
	site.fault("start", None, node="n1")
	site.upgctl("abort", 1)
	site.wait_for_state("aborted")
	serves(site, "4.1.1", "OMERO4.1__0")


@pytest.mark.long
def test_a_server_that_does_not_stop_is_let_be(make_lab):
	site = begin(make_lab)
	site.start_visitors()
	site.fault("stop", "hangs", node="n1")
	site.upgctl(*START)
	site.wait_back("down/n1")
	serves(site, "4.1.1", "OMERO4.1__0")
	assert site.omero("version").startswith("4.1.1") and not (site.dir / "backup/omero-1.dump").exists()


@pytest.mark.long
def test_a_dump_that_is_cut_off_is_made_again(make_lab):
	site = begin(make_lab)
	site.fault("pg_dump.cut", "")
	site.upgctl(*START, "--wait", seconds=120)
	records = site.upgctl("log", "--limit", 500, json=True)["records"]
	assert len([r for r in records if r["kind"] == "intent" and r.get("step") == "dump" and r["unit"].startswith("save/")]) == 2
	site.procs.run([site.pg.bin / "pg_restore", "-f", "/dev/null", site.dir / "backup/omero-1.dump"])


class Lock:
	"""Somebody else's transaction has read a table and idles: no script that changes the table gets on. Named as ours are, it is no client that is in the way."""

	def __init__(self, site, table):
		self.psql = subprocess.Popen([site.pg.bin / "psql", "-Xq", "-d", "omero"], env={**site.procs.env, **site.pg.env, "PGAPPNAME": "upgd-test"},  # pylint: disable=consider-using-with
			stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
		self.psql.stdin.write(f"BEGIN; SELECT 1 FROM {table} LIMIT 1;\n")
		self.psql.stdin.flush()
		site.wait_until(lambda: site.pg.value("SELECT count(*) FROM pg_stat_activity "
			"WHERE application_name = 'upgd-test' AND state = 'idle in transaction'") != "0", 20, f"{table} is read")

	def release(self):
		self.psql.stdin.write("ROLLBACK;\n")
		self.psql.stdin.close()
		self.psql.wait()


def blocked(site):
	"""The backend of the script that waits for the lock."""
	rows = site.pg.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'upgd-edge' AND wait_event_type = 'Lock'")
	return rows[0][0] if rows else None


def client_of(site, words):
	"""The process of the site whose command has these words."""
	for pid in marked(site.mark):
		command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
		if words in command and command[0].endswith("psql"):
			return pid
	return None


@pytest.mark.parametrize("whom", ["both", pytest.param("psql", marks=pytest.mark.long), pytest.param("upgd", marks=pytest.mark.long)])
def test_killed_in_the_midst_of_a_script(make_lab, whom):
	"""It is rolled back or goes on, and is there once."""
	site, session = on_the_way(make_lab)
	lock = Lock(site, "pixels")  # the script for 4.2 does not touch it, the one for 4.3 does
	session.leave()
	site.wait_until(lambda: blocked(site), 60, "a script waits for the lock")
	pid = client_of(site, "OMERO4.2__0.sql")
	if whom != "psql":
		site.kill_upgd()
	if whom != "upgd":
		os.kill(pid, signal.SIGKILL)
	if whom != "psql":
		site.start_upgd()
	lock.release()
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")
	assert site.pg.value("SELECT count(*) FROM dbpatch WHERE currentversion = 'OMERO4.3'", "omero") == "1"
	records = site.upgctl("log", "--limit", 500, json=True)["records"]
	tries = [r for r in records if r["kind"] == "intent" and (r["unit"], r["step"]) == ("migrate/OMERO4.3__0", "script")]
	assert len(tries) == (1 if whom == "upgd" else 2), tries


@pytest.mark.long
def test_upgd_killed_while_the_dump_comes_back(make_lab):
	"""In the midst of the way back: it is gone to its end, once."""
	site = begin(make_lab, old="4.0.2", dirty=("index",))
	site.start_visitors()
	site.fault("pg_restore.words", f"omero_restored_1 {site.dir}/backup/omero-1.dump")  # not the rehearsal's
	with open(site.dir / "fault/pg_restore.lock", "w") as held:
		fcntl.flock(held, fcntl.LOCK_EX)
		site.upgctl(*START)
		site.wait_until(lambda: "omero_restored_1" in site.databases() and any(u.get("step") == "dump" for u in site.units("save").values()), 90, "the dump comes back")
		site.kill_upgd()
	site.start_upgd()
	site.wait_back("migrate/OMERO4.3__0")
	serves(site, "4.0.2", "OMERO4__0")
	assert len(site.databases()) == 2, site.databases()


@contextlib.contextmanager
def stranger(site):
	with subprocess.Popen([site.pg.bin / "psql", "-Xq", "-d", "omero"], env={**site.procs.env, **site.pg.env, "PGAPPNAME": "report"}, stdin=subprocess.PIPE, text=True) as psql:
		site.wait_until(lambda: site.pg.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'report'") == "1", 20, "he is in")
		yield
		psql.stdin.close()


@pytest.mark.long
@pytest.mark.parametrize("tool, words, stage, unit", [("pg_dump", "omero-1.dump", "save", "swap/n1"), ("psql", "OMERO4.1__0.sql", "migrate", "migrate/OMERO4.3__0")])
def test_who_comes_into_the_database_later_is_seen(make_lab, tool, words, stage, unit):
	"""As an OMERO.server does that a reboot began: while it is dumped, and between two scripts."""
	site = begin(make_lab)
	site.start_visitors()
	site.fault(f"{tool}.words", words)
	with open(site.dir / f"fault/{tool}.lock", "w") as held:
		fcntl.flock(held, fcntl.LOCK_EX)
		site.upgctl(*START)
		site.wait_until(lambda: any(u.get("step") in ("dump", "script") for u in site.units(stage).values()), 90, "it waits for the lock")
		someone = stranger(site)
		someone.__enter__()  # pylint: disable=unnecessary-dunder-call
	site.wait_until(lambda: site.units()[unit]["state"] == "failed", 120, "he is seen")
	someone.__exit__(None, None, None)
	site.wait_back(unit)
	assert "report of postgres" in site.upgctl("explain", unit)
	serves(site, "4.1.1", "OMERO4.1__0")


@pytest.mark.long
def test_a_web_that_does_not_end_brings_the_old_service_back(make_lab):
	"""`web stop` says OK; the old web would have kept the port, and passed for the new one."""
	site = begin(make_lab)
	site.start_visitors()
	site.fault("web", "stays", node="n1")
	site.upgctl(*START)
	assert "web_down" in site.wait_back("down/n1")
	serves(site, "4.1.1", "OMERO4.1__0")


@pytest.mark.long
def test_postgresql_is_restarted_in_the_midst_of_a_script(make_lab):
	"""What it was in the midst of is rolled back; it is waited for, and nothing goes back for that."""
	site, session = on_the_way(make_lab)
	lock = Lock(site, "pixels")
	session.leave()
	site.wait_until(lambda: blocked(site), 60, "a script waits for the lock")
	site.pg.stop()
	lock.psql.kill()
	lock.psql.wait()
	unit = "migrate/OMERO4.3__0"
	site.wait_until(lambda: "Connection refused" in site.upgctl("explain", unit), 60, "the script is sent again")
	site.pg.start()
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")
	assert site.visitors[0].words() == ["4.1.1", "maintenance", "4.3.3"], site.visitors[0].told()


@pytest.mark.long
def test_within_a_level_only_the_release_changes(make_lab):
	site = begin(make_lab, old="4.3.1")
	web, _ = site.start_visitors()
	site.upgctl(*START, "--wait", seconds=120)
	serves(site, "4.3.3", "OMERO4.3__0")
	assert web.words() == ["4.3.1", "maintenance", "4.3.3"] and not site.units("migrate"), web.told()


@pytest.mark.long
def test_a_stranger_in_the_database_brings_the_old_service_back(make_lab):
	"""Of another account: what he does, one who is no superuser does not see."""
	site = begin(make_lab)
	site.start_visitors()
	with stranger(site):
		site.upgctl(*START)
		told = site.wait_back("down/n1")
	assert "no_clients" in told and "report of postgres" in told, told
	serves(site, "4.1.1", "OMERO4.1__0")
	assert not (site.dir / "backup/omero-1.dump").exists()


def test_what_fails_while_everybody_is_out_brings_the_old_service_back(make_lab):
	site, session = on_the_way(make_lab)
	(site.home / "omero_dist_new/etc/grid").rename(site.home / "grid")
	session.leave()
	site.wait_back("swap/n1")
	serves(site, "4.1.1", "OMERO4.1__0")
	assert site.databases() == ["omero"]
	(site.home / "grid").rename(site.home / "omero_dist_new/etc/grid")
	site.upgctl("retry", "swap/n1")
	site.wait_for_state("done")
	serves(site, "4.3.3", "OMERO4.3__0")


@pytest.mark.long
def test_two_hundred_thousand_images(make_lab):
	"""There and, with three scripts committed, back, and there: none is lost."""
	site = spoiled(make_lab, "index", old="3.2.3", images=200000)
	site.wait_until(lambda: "is back on the old version, and rests" in site.upgctl("status", codes=None), 400, "it is back")
	serves(site, "3.2.3", "OMERO3A__11")
	site.pg.sql("UPDATE objectivesettings SET refractiveindex = 1.33 WHERE id = 5", "omero")
	site.upgctl("retry", "migrate/OMERO4.3__0")
	site.wait_for_state("done", seconds=400)
	serves(site, "4.3.3", "OMERO4.3__0")
