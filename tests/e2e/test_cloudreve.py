# SPDX-License-Identifier: MIT
"""Cloudreve 3.8 to 4.0 by conf/profiles/cloudreve.conf: the stand-in, whose tool fails as the real one does, on a real MariaDB, behind a real HAProxy."""

import json
import os
import pathlib
import shutil
import signal
import sys

import pytest

from cloudreve.site import Cloudreve
from procs import LabError

# Of the state file's life: after a kill here a second run goes on by itself …
SAFE = ("before-commit-2", "before-commit-6", "before-commit-7", "inside-8", "before-commit-9", "before-commit-15", "completed")
# … and here each further run ends at a duplicate key, or at half a state file, for ever.
STUCK = ("after-commit-2", "inside-3", "after-commit-4", "inside-5", "after-commit-6", "after-commit-9", "after-commit-10", "after-commit-15", "state-write-9")

NOBODY = 65534


@pytest.fixture(name="files")
def _files(make_lab):
	def make(**options):
		site = make_lab(Cloudreve, **options)
		site.start_upgd()
		return site
	return make


def start(site):
	site.upgctl("start", "--to", "4.0.0", "--yes")


def is_done(site, seconds=60):
	"""Done, and so it is: V4 serves what V3 served."""
	site.wait_for_state("done", seconds=seconds)
	at = site.remote("n1", "curl", "-s", f"http://127.0.0.1:{site.web}/api/v4/share/info/{site.public['shares'][0]}")
	assert json.loads(at)["data"]["name"] == "report1.pdf"
	assert json.loads((site.home / "migration_state.json").read_text())["step"] == 16
	whole = {"users": site.users, "groups": 3, "files": site.users * 8, "entities": site.users * 5, "shares": min(site.users, 50), "dav_accounts": site.users, "direct_links": 3}
	found = site.rows()
	clash = "clash" in site.dirty
	assert found == {**whole, "files": whole["files"] + clash, "entities": whole["entities"] + clash}


def somebody(site):
	"""A process that does not run as root."""
	return site.procs.start("somebody", ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "sleep", "600"]).pid


def test_a_site_moves_to_v4_and_users_see_nothing_but_the_page_in_between(files):
	site = files(dirty=["clash", "orphans"])
	(site.node("n1").dir / "service.main").write_text(str(somebody(site)))
	user = site.user()
	user.wait_for("3.8.3")
	plan = site.upgctl("plan", "--to", "4.0.0")
	assert "loss: V4 does not take over: records of remote downloads" in plan and "the database v4 is dropped" in plan and "ONE WAY from open on" in plan, plan
	start(site)
	is_done(site)
	user.wait_for("4.0.0")
	user.leave()
	assert user.words() == ["3.8.3", "maintenance", "4.0.0"], user.told()
	assert site.db.sql("SELECT name FROM v4.files WHERE name LIKE '%\\_folder1'") != []  # the file that is called as a folder
	dump = (site.dir / "backup/cloudreve-1.sql").read_text()
	assert dump.rstrip().splitlines()[-1].startswith("-- Dump completed") and (site.dir / "backup/cloudreve-1.sql").stat().st_mode & 0o77 == 0
	assert {(site.home / name).stat().st_uid for name in ("data", "data/conf.ini")} == {NOBODY}  # V4 writes there
	assert (site.home / "cloudreve_v3").exists() and (site.home / "before-v4-1.tgz").stat().st_mode & 0o77 == 0  # it has passwords
	assert site.remote("n1", "systemctl", "show", "--property=UnitFileState", "--value", "cloudreve").strip() == "enabled"


@pytest.mark.parametrize("point", [p if p in ("before-commit-9", "after-commit-9") else pytest.param(p, marks=pytest.mark.long) for p in SAFE + STUCK])
def test_a_migration_that_is_killed_at_any_point_is_completed(files, point):
	site = files(users=30)
	site.hook("migrate.crash", f"once:{point}")
	start(site)
	is_done(site)
	steps = records(site, "acted")
	assert any("signal 9" in r["text"] for r in steps if r["step"] == "migrate"), "it was killed"
	assert [r["step"] for r in steps].count("empty") == 1 + (point in STUCK)  # the target is made anew where nothing else helps, and only there


def records(site, kind):
	return [r for r in site.upgctl("log", "--limit", 500, json=True)["records"] if r["kind"] == kind]


def bad(site):
	"""Everything that the tool does not ask, at once."""
	site.remote("n1", "env", "CR_CONF_ANY=other", "systemctl", "restart", "cloudreve")
	site.remote("n1", "curl", "-s", "--retry", "30", "--retry-connrefused", "--retry-delay", "1", f"http://127.0.0.1:{site.app}/api/v3/site/ping")
	site.write_v3_conf(salt="", name="other")
	site.write_v4_conf(name="v3", charset="utf8", more="TablePrefix = cd_\nLogLevel = warning\n[Redis]\nServer = 127.0.0.1:6379", port=1, kind="mariadb")
	(site.node("n1").dir / "service.arguments").write_text(" -c conf.ini")
	site.values["site"] = "http://127.0.0.1:1"
	site.lead_to()
	site.remote("n1", "systemctl", "disable", "cloudreve")
	site.db.sql("REVOKE DROP ON v4.* FROM admin@'%'; REVOKE SELECT ON v3.* FROM admin@'%'; REVOKE PROCESS ON *.* FROM upgd@'%'; REVOKE PROCESS ON *.* FROM upgd@localhost")
	site.write_balancer(has_page=False)
	site.binary("cloudreve_v4", "4.1.0")
	(site.home / "migration_state.json").write_text("{}")
	site.db.sql("DROP DATABASE v4; CREATE DATABASE v4 CHARACTER SET latin1; CREATE TABLE v4.somebodys (a int); SET GLOBAL default_storage_engine = MyISAM")
	(site.dir / "backup").rmdir()


def text_of(found, name):
	"""What check says of one probe; nothing: it is content."""
	return "".join(f["text"] for f in found if f["text"].startswith(name + ":"))


def test_check_names_every_problem_of_a_bad_site_at_once_and_its_mend(files):
	site = files(dirty=["json", "constraints"], users=10)
	site.stop_upgd()  # who has a right keeps it while connected
	bad(site)
	site.start_upgd()
	found = [f for f in site.upgctl("check", json=True, codes=(1,))["findings"] if f["level"] == "error"]
	assert {f["text"].split(":")[0] for f in found} == {"json", "innodb", "utf8mb4", "empty", "page", "dump_dir", "v4_name", "v4_prefix", "v4_charset", "salt",
		"v3_name", "leftovers", "migrator", "may_v3", "may_v4", "may_drop", "may_dump", "v4_port", "enabled",
		"v4_conf", "v4_redis", "v4_log", "unit", "no_env", "site_url", "site_old", "keys"}
	assert all(f["mend"] and "${" not in f["mend"] for f in found), found
	for row in ("policy 1: options", "group 3: options", "group 2: policies", "node 2: aria2_options", "node 3: options in aria2_options"):
		assert row in text_of(found, "json")
	assert "5 rows" in text_of(found, "json")  # node 4 downloads nothing, so nobody reads its options
	for row in ("user 3: there is no group 9", "folder 17: there is no owner 99999, but folder 4 has one"):
		assert row in text_of(found, "keys")
	(site.node("n1").dir / "service.main").write_text("0")
	assert text_of(site.upgctl("check", json=True, codes=(1,))["findings"], "main_pid")
	site.write_v4_conf()
	assert not text_of(site.upgctl("check", json=True, codes=(1,))["findings"], "v4_conf")
	(site.home / "data/conf.ini").unlink()
	assert text_of(site.upgctl("check", json=True, codes=(1,))["findings"], "v4_conf")
	with pytest.raises(LabError, match="to is 4.1.0 and should match"):
		site.upgctl("plan", "--to", "4.1.0")
	site.db.sql("UPDATE v3.cd_settings SET name = 'db_version_3.7.1' WHERE name LIKE 'db_version%'")
	with pytest.raises(LabError, match="from is 3.7.1 and should match"):
		site.upgctl("plan", "--to", "4.0.0")


def rests(site, *words):
	"""Back on V3, which serves; waits for a person."""
	def there():
		return "it is back on the old version, and rests" in site.upgctl("status", codes=None)
	site.wait_until(there, 60, "the rollout rests on V3")
	text = site.upgctl("status", codes=None)
	assert all(word in text for word in words), text
	assert json.loads(site.remote("n1", "curl", "-s", f"http://127.0.0.1:{site.web}/api/v3/site/ping"))["data"] == site.version
	assert (site.home / "cloudreve_v4").exists() and not (site.home / "cloudreve_v3").exists()
	assert site.rows_or_none() is None  # V4's database is as it was found


@pytest.mark.long
def test_every_option_file_leads_to_the_server_that_v3_uses(files):
	site = files(users=10)
	other = site.copy()

	def found(**databases):
		site.stop_upgd()
		site.lead_to(**databases)
		site.start_upgd()
		return {f["text"].split(":")[0] for f in site.upgctl("check", json=True, codes=(0, 1))["findings"] if f["level"] == "error"}
	assert found(v4=other) == {"v4_server"}
	assert found(admin=other) == {"admin_server"}
	assert found(v3=other) == {"v4_server", "admin_server"}
	assert found(v3=other, v4=other, admin=other) == set()  # a copy is as good, but V3 is not there
	user = site.user()
	start(site)
	site.wait_until(lambda: "V3 is connected to the server" in site.upgctl("explain", "upgrade/n1", codes=None), 60, "it says why")
	assert user.words() == ["3.8.3"]


@pytest.mark.long
def test_who_starts_without_having_asked_is_stopped_before_anything_is_touched(files):
	site = files(dirty=["json", "constraints"], users=10)
	user = site.user()
	site.db.sql("CREATE TABLE v4.users (a int)")  # another V4, perhaps
	start(site)

	def says(unit, word):
		site.wait_until(lambda: word in site.upgctl("explain", unit, codes=None), 30, f"{unit} waits: {word}")
	says("prepare/cluster", "V4's database is empty")
	site.db.sql("DROP TABLE v4.users")
	site.upgctl("retry", "prepare/cluster")
	says("upgrade/n1", "group 3: options")
	site.db.sql("CREATE TABLE v4.somebodys (a int); UPDATE v3.cd_groups SET options = '{}', policies = '[1]'; UPDATE v3.cd_policies SET options = '{}'; DELETE FROM v3.cd_nodes WHERE id > 1")
	site.upgctl("retry", "upgrade/n1")
	says("upgrade/n1", "somebodys")
	site.db.sql("DROP TABLE v4.somebodys")
	site.upgctl("retry", "upgrade/n1")
	says("upgrade/n1", "there is no group 9")
	site.db.sql("UPDATE v3.cd_users SET group_id = 2; UPDATE v3.cd_folders SET owner_id = parent_id WHERE parent_id > 0")
	assert user.words() == ["3.8.3"]
	site.upgctl("retry", "upgrade/n1")
	is_done(site)


@pytest.mark.long
def test_who_does_not_see_the_connections_is_stopped_before_anything_is_touched(files):
	site = files(users=10)
	site.stop_upgd()
	site.db.sql("REVOKE PROCESS ON *.* FROM upgd@'%'; REVOKE PROCESS ON *.* FROM upgd@localhost")
	site.start_upgd()
	user = site.user()
	start(site)
	site.wait_until(lambda: "PROCESS" in site.upgctl("explain", "accounts/cluster", codes=None), 30, "it says what is missing")
	assert user.words() == ["3.8.3"]


def test_a_machine_that_comes_up_again_does_not_bring_v4_up_on_half_of_its_rows(files):
	site = files(users=10)
	site.hook("migrate.boot", "yes")
	site.hook("migrate.crash", "once:before-commit-9")
	start(site)
	is_done(site)
	assert (site.node("n1").dir / "booted").read_text() == "disabled"


def test_a_migration_that_fails_for_good_goes_back_to_v3_and_begins_anew(files):
	site = files(users=30)
	user = site.user()
	user.wait_for("3.8.3")
	site.hook("migrate.fail.9", "no space left on device")
	start(site)
	rests(site)
	assert "no space left on device" in site.upgctl("explain", "upgrade/n1", codes=None)
	user.wait_for("3.8.3")
	site.hook("migrate.fail.9", None)
	site.upgctl("retry", "upgrade/n1")
	is_done(site)
	user.wait_for("4.0.0")
	user.leave()
	assert user.words() == ["3.8.3", "maintenance", "3.8.3", "maintenance", "4.0.0"], user.told()


def no_room(site):
	"""A stat that says so. The environment that leads to it."""
	(site.dir / "bin").mkdir()
	(site.dir / "bin/stat").write_text("#!/bin/sh\ncase $3 in %a) echo 2;; *) echo 500;; esac\n")
	(site.dir / "bin/stat").chmod(0o755)
	return {"PATH": f"{site.dir}/bin:{os.environ['PATH']}"}


@pytest.mark.long
def test_a_dump_that_has_no_room_is_not_begun(files):
	site = files(users=10)
	site.stop_upgd()
	site.start_upgd(env=no_room(site))
	user = site.user()
	start(site)
	site.wait_until(lambda: "and 1000 are free" in site.upgctl("explain", "upgrade/n1", codes=None), 30, "it says how much is missing")
	assert user.words() == ["3.8.3"]


def cut_dumps(site):
	"""A mysqldump on upgd's host that says 0 and leaves out the end. The environment that leads to it."""
	(site.dir / "bin").mkdir()
	real = shutil.which("mysqldump")
	(site.dir / "bin/mysqldump").write_text(f'#!/bin/sh\n{real} "$@" || exit 1\nfor a; do case $a in --result-file=*) truncate -s -40 "${{a#*=}}";; esac; done\n')
	(site.dir / "bin/mysqldump").chmod(0o755)
	return {"PATH": f"{site.dir}/bin:{os.environ['PATH']}"}


@pytest.mark.long
def test_a_cut_dump_and_a_v4_that_does_not_start_end_on_v3(files):
	site = files(users=10)
	site.stop_upgd()
	site.start_upgd(env=cut_dumps(site))
	start(site)
	rests(site, "dump_whole")
	(site.dir / "bin/mysqldump").unlink()
	site.hook("server.fail", "4")
	site.upgctl("retry", "upgrade/n1")
	rests(site, "the service has ended by itself")
	site.hook("server.fail", None)
	site.upgctl("retry", "upgrade/n1")
	is_done(site)


@pytest.mark.long
def test_a_v3_that_does_not_stop_is_killed_and_a_deadlock_is_no_failure(files):
	site = files(users=10, values={"stop": "2s"})
	site.hook("server.stop", "hang")
	site.hook("migrate.fail.9", "once:deadlock")
	start(site)
	is_done(site)
	steps = [r["step"] for r in records(site, "acted")]
	assert "kill" in steps and steps.count("empty") == 1 and steps.count("migrate") == 2
	assert not [r for r in records(site, "retry") if "1 of" in r["text"]]  # it used up no try


@pytest.mark.long
def test_upgd_is_killed_while_the_migration_stands_still(files):
	site = files(users=10, values={"stall": "2s"})
	site.hook("migrate.hang.9", "yes")
	start(site)
	site.wait_until(lambda: "no progress for" in site.upgctl("explain", "upgrade/n1", codes=None), 60, "it is shown that nothing gets on")
	assert "the way back takes about 1 min" in site.upgctl("status")
	site.kill_upgd()
	site.start_upgd()
	site.hook("migrate.hang.9", None)
	is_done(site)
	assert len([r for r in records(site, "intent") if r["step"] == "migrate"]) == 1  # taken up again, not begun again


@pytest.mark.long
def test_an_abort_and_another_file_under_an_old_link_end_on_v3(files):
	site = files(users=10)
	site.hook("migrate.hang.9", "yes")
	start(site)
	site.wait_until(lambda: "migrate" in [r["step"] for r in records(site, "intent")], 60, "it migrates")
	(site.home / "uploads/2/report2.pdf").write_text("FILE 2 " * 200)  # of the same size
	site.hook("migrate.hang.9", None)
	rests(site, "same_sum")
	site.upgctl("abort", 1)
	site.wait_for_state("aborted")
	assert site.remote("n1", "curl", "-s", f"http://127.0.0.1:{site.web}/api/v3/site/ping")


@pytest.mark.long
def test_who_stays_on_the_old_database_is_named(files):
	site = files(users=10)
	site.hook("server.hold", "yes")
	holder = site.procs.start("holder", ["mariadb", f"--defaults-file={site.db.root_cnf}", "-e", "SELECT SLEEP(600)", "v3"])
	start(site)
	rests(site, "quiet: 1 row", "root@localhost")
	holder.stop()
	site.upgctl("retry", "upgrade/n1")
	is_done(site)


@pytest.mark.long
def test_who_starts_v4_on_half_of_its_rows_is_noticed(files):
	site = files(users=10)
	site.hook("migrate.hang.9", "yes")
	start(site)
	site.wait_until(lambda: site.progress().get("step") == 9, 60, "it is at the files")
	site.remote("n1", "systemctl", "start", "cloudreve")
	site.hook("migrate.hang.9", None)
	rests(site, "alone", "the service is stopped")
	site.upgctl("retry", "upgrade/n1")
	is_done(site)


@pytest.mark.long
def test_a_row_that_is_missing_is_noticed(files):
	site = files(users=10)
	site.hook("migrate.hang.15", "yes")
	start(site)
	site.wait_until(lambda: site.progress().get("step") == 15, 60, "it is past the links")
	site.db.sql("DELETE FROM v4.direct_links WHERE id = 3")
	site.hook("migrate.hang.15", None)
	is_done(site)
	assert [r["step"] for r in records(site, "acted")].count("empty") == 2  # begun anew


@pytest.mark.long
def test_a_large_site(files):
	site = files(users=4000)
	start(site)
	is_done(site, 300)


@pytest.mark.long
def test_the_database_server_dies_under_the_migration(files):
	site = files(users=10)
	site.hook("migrate.hang.9", "yes")
	start(site)
	site.wait_until(lambda: site.progress().get("step") == 9, 60, "it is at the files")
	site.db.stop(signal.SIGKILL)
	site.hook("migrate.hang.9", None)
	site.wait_until(lambda: [r for r in records(site, "acted") if r["step"] == "migrate"], 60, "the tool has ended")
	site.db.start()
	is_done(site)


@pytest.mark.long
def test_a_statement_of_a_killed_migration_is_waited_for(files):
	site = files(users=10)
	site.hook("migrate.hang.9", "yes")
	start(site)
	site.wait_until(lambda: site.progress().get("step") == 9, 60, "it is at the files")
	site.procs.start("orphan", [sys.executable, str(pathlib.Path(__file__).parents[1] / "lab/cloudreve/maria.py"), str(site.db.port), "DO SLEEP(600)"])
	site.hook("migrate.crash", "once:before-commit-9")
	site.hook("migrate.hang.9", None)
	site.wait_until(lambda: "DO SLEEP(600)" in site.upgctl("explain", "upgrade/n1", codes=None), 60, "it says what it waits for")
	assert [r["step"] for r in records(site, "intent")].count("migrate") == 1
	left = site.db.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'DO SLEEP(600)'")[0][0]
	site.db.sql(f"KILL {left}")
	is_done(site)


@pytest.mark.long
def test_upgd_is_killed_on_the_way_back(files):
	site = files(users=10)
	site.hook("migrate.fail.9", "no space left on device")
	site.hook("server.slow", "8000")  # of seconds, as it may need
	start(site)
	site.wait_until(lambda: [r for r in records(site, "intent") if r["step"] == "stop" and r.get("dir") == "undo"], 60, "V3 is started again")
	site.kill_upgd()
	site.start_upgd()
	rests(site)
