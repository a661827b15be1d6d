# SPDX-License-Identifier: MIT
"""MongooseIM by conf/profiles/mongooseim.conf: stand-ins of its programs, real PostgreSQL and MariaDB, a real HAProxy in tcp mode, sessions that stay open."""

import os
import shutil

import pytest

from mongooseim.site import MongooseIM
from procs import LabError

OLD, NEW = "6.2.0", "6.2.1"
ALL = {"n1", "n2", "n3"}


@pytest.fixture(name="mim")
def _mim(make_lab):
	def make(**options):
		site = make_lab(MongooseIM, **options)
		site.start_upgd()
		return site
	return make


def start(site, *more):
	site.upgctl("start", "--to", site.to, "--yes", *more)


def wait_for_unit(site, name, *states, seconds=60):
	"""Its record, once it is in one of these states."""
	def there():
		unit = site.units().get(name)
		return unit if unit and unit["state"] in states else None
	return site.wait_until(there, seconds, f"{name} is {' or '.join(states)}")


def wait_for_step(site, unit, step, seconds=60):
	site.wait_until(lambda: f"intent   {unit} {step} " in log(site), seconds, f"{unit} is at {step}")


def log(site):
	"""What upgctl log prints, each record once."""
	return site.upgctl("log", "--limit", "500")


def is_done(site, seconds=120):
	"""Done, and so it is: every node runs the new version and serves; users are on nothing else."""
	site.wait_for_state("done", seconds=seconds)
	assert site.running() == {name: site.to for name in ALL}
	assert site.serving() == ALL
	assert {place.split()[1] for place in site.on_which()} == {site.to}


def rests(site):
	site.wait_until(lambda: "it is back on the old version, and rests" in site.upgctl("status", codes=None), 90, "it rests")


def is_as_before(site):
	assert site.running() == {name: site.version for name in ALL}
	site.wait_until(lambda: site.serving() == ALL, 20, "all nodes serve")
	site.wait_until(lambda: {place.split()[1] for place in site.on_which()} == {site.version}, 20, "users are on the old version")


def keys(site, table):
	"""Columns of the primary key, on MariaDB with what of them is in it."""
	if site.kind == "pgsql":
		return [row[0] for row in site.sql(f"SELECT a.attname FROM pg_index i, pg_attribute a WHERE i.indrelid = '{table}'::regclass AND i.indisprimary AND a.attrelid = i.indrelid "
			"AND a.attnum = ANY(i.indkey) ORDER BY array_position(i.indkey, a.attnum)")]
	return [f"{row[0]}({row[1]})" if row[1] != "NULL" else row[0] for row in site.sql("SELECT COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'mim' "
		f"AND TABLE_NAME = '{table}' AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX")]


def problems(site, *args):
	"""What upgctl check finds wrong: {subject: text}, all that it says of a subject in one text."""
	found = {}
	for f in site.upgctl("check", "--to", site.to, *args, json=True, codes=None)["findings"]:
		if f["level"] == "error":
			found[f["subject"]] = found.get(f["subject"], "") + f["text"] + " | " + (f.get("mend") or "") + "\n"
	return found


def test_rolls_on_postgres_while_users_stay(mim):
	"""The schema first, under the old nodes; then one node after the other, two clusters in between; nobody is ever without a node."""
	site = mim()
	rows = site.sql("SELECT count(*) FROM rostergroups")
	start(site)
	wait_for_unit(site, "roll/n1", "done")
	assert {row[0] for row in site.sql("SELECT cluster_name FROM discovery_nodes")} == {"mim", "mim-0.2"}
	is_done(site)
	assert keys(site, "discovery_nodes") == ["node_name"] and keys(site, "rostergroups") == ["server", "username", "jid", "grp"]
	assert site.sql("SELECT count(*) FROM rostergroups") == rows
	assert sorted(site.sql("SELECT cluster_name, node_name FROM discovery_nodes")) == [["mim-0.2", f"mongooseim@{n}"] for n in sorted(ALL)]
	# A node that is drained sheds its sessions, and each comes again at another one: never to the page of a site that is down.
	assert all("maintenance" not in place for user in site.users for place in user.places)
	assert max(user.cuts for user in site.users) <= 3 * len(ALL)


def test_goes_on_from_where_the_vendors_script_ends_on_mariadb(mim):
	"""1071 at the key of rostergroups, and after that 1091 at its first line for ever: the steps begin where it ended."""
	site = mim(database="mysql")
	with pytest.raises(Exception, match="1071"):
		site.sql(site.script("6.2.0_6.2.1"))
	with pytest.raises(Exception, match="1091"):
		site.sql(site.script("6.2.0_6.2.1"))
	start(site)
	is_done(site)
	assert keys(site, "rostergroups") == ["server(150)", "username(200)", "jid", "grp(150)"]
	assert keys(site, "rosterusers") == ["server", "username", "jid"] and keys(site, "discovery_nodes") == ["node_name"]
	assert "migrate-mysql/6.2.1 rosterusers do adopted" in log(site) and "migrate-mysql/6.2.1 script do adopted" in log(site)


TWICE = "INSERT INTO discovery_nodes SELECT 'other', node_name, node_num, '', 0 FROM discovery_nodes"


def no_room(site):
	"""A df on upgd's host that finds little. The environment that leads to it."""
	(site.dir / "bin").mkdir()
	(site.dir / "bin/df").write_text("#!/bin/sh\necho Avail\necho 1000\n")
	(site.dir / "bin/df").chmod(0o755)
	return {"PATH": f"{site.dir}/bin:{os.environ['PATH']}"}


@pytest.mark.parametrize("kind", ["pgsql", pytest.param("mysql", marks=pytest.mark.long)])
def test_check_names_all_that_is_wrong_at_once(mim, kind):
	site = mim(database=kind)
	assert problems(site) == {}
	site.sql(TWICE + "; INSERT INTO rostergroups SELECT * FROM rostergroups LIMIT 1")
	script = site.dir / f"scripts/{kind}_6.2.0_6.2.1.sql"
	script.write_text("-- FIXME Replace localhost with your domain name\n" + script.read_text())
	for node in site.nodes[:2]:
		toml = node.dir / "etc/mongooseim.toml"
		toml.write_text(toml.read_text().replace('scope = "global"', 'scope = "single_host"\n  host = "example.net"'))
	site.remote("n3", "mongooseimctl", "stop")
	site.procs.run(["rm", "-r", f"{site.dir}/packages/6.2.1", f"{site.dir}/packages/6.2.0"])
	site.fault("package", "held", "n1")
	if kind == "mysql":
		site.sql("REVOKE TRIGGER ON mim.* FROM mim@localhost")
	site.stop_upgd()
	site.start_upgd(env=no_room(site))
	found = problems(site)
	text = "\n".join(f"{subject}: {said}" for subject, said in found.items())
	for what in ("no node has two rows in discovery_nodes", "rostergroups is there twice", "has nothing left to fill in", "no scope that 6.2.1 does not know", "the node runs (mongooseimctl",
			"every node that is discovered has joined", "knows that version of the package", "could get the version before again", "nobody holds the package back", "room for the dump",
			*(["could bring all of the database back"] if kind == "mysql" else [])):
		assert what in text, f"{what}\n{text}"
	for mend in ("DELETE", "put your domain", 'scope = "host_type"', "start it", "apt-get update"):
		assert mend in text, f"{mend}\n{text}"


@pytest.mark.long
def test_check_of_a_site_that_would_be_stopped(mim):
	"""Nobody would answer users while all is down; and a way back to an older version is none."""
	site = mim(version="6.3.1", to="6.3.2")
	assert problems(site) == {}
	cfg = site.dir / "lb/lb.cfg"
	cfg.write_text(cfg.read_text().replace(" backup", ""))
	assert "a backup server" in str(problems(site))
	site.to = "6.3.0"
	assert "6.3.0 is newer than 6.3.1" in str(problems(site))


def test_a_level_that_nobody_knows_a_gap_and_a_way_back_are_refused(mim):
	site = mim(version="6.3.1", to="6.3.2")
	for sql, to, why in (("SELECT 1", "6.2.0", "there is no way back"), ("SELECT 1", "7.0.0", "7.0.0"), ("CREATE TABLE blocklist (luser int)", "6.3.2", "unknown: 111111010"),
			("DROP TABLE blocklist; DROP TABLE caps", "6.3.2", "unknown: 11111h000")):
		site.sql(sql)
		with pytest.raises(LabError, match=why):
			site.upgctl("start", "--to", to, "--yes")
	assert site.status().get("rollout") is None
	is_as_before(site)


@pytest.mark.long
def test_a_transaction_of_a_node_holds_the_migration_up_and_no_longer(mim):
	"""An ALTER that waits for a lock gives up after 5 s, so that nobody waits behind it for long, and comes again."""
	site = mim(more={"soak": "0s"})
	with site.hold("rosterusers"):
		start(site)
		site.wait_until(lambda: "lock timeout" in log(site), 40, "the migration has given up once")
		assert site.units()["migrate-pgsql/6.2.1"]["state"] == "running"
	is_done(site)


@pytest.mark.long
def test_a_statement_whose_client_was_killed_is_waited_for(mim):
	"""MariaDB: kill -9 of the client does not end its ALTER. Until it has ended nothing is done, and what it did is not done twice."""
	site = mim(database="mysql")
	with site.hold("rostergroups"):
		start(site)
		wait_for_step(site, "migrate-mysql/6.2.1", "rostergroups")
		site.wait_until(lambda: site.altering(), 20, "the ALTER is in the database")
		site.kill_client("ALTER TABLE rostergroups")
		assert site.altering()
		site.wait_until(lambda: "statement" in site.upgctl("explain", "migrate-mysql/6.2.1"), 20, "explain names the statement")
	is_done(site)
	assert keys(site, "rostergroups") == ["server(150)", "username(200)", "jid", "grp(150)"]


@pytest.mark.long
def test_psql_killed_in_the_middle_leaves_nothing_of_its_script(mim):
	site = mim()
	with site.hold("discovery_nodes"):
		start(site)
		site.wait_until(lambda: site.altering(), 20, "the last ALTER of the script waits")
		site.kill_client("6.2.0_6.2.1")
		site.wait_until(lambda: not site.altering(), 20, "its statement has ended with it")
		assert keys(site, "rosterusers") == []
	is_done(site)


@pytest.mark.long
def test_upgd_killed_while_a_node_is_down(mim):
	site = mim()
	site.fault("boot", "slow:80", "n2")  # longer than `mongooseimctl started` waits
	start(site)
	wait_for_step(site, "roll/n2", "started")
	site.kill_upgd()
	assert "roll/n2" in os.popen(f"{site.build}/daemon/upgd --offline status -c {site.dir}/upgd.conf").read()
	site.start_upgd()
	is_done(site)
	assert len(site.calls("n2", "apt-get install -y")) == 1


@pytest.mark.long
def test_a_node_that_does_not_start_goes_back_is_mended_and_done(mim):
	"""What nobody can ask in advance: TLS without the certificates that 6.2.1 wants. Its row of the new cluster has to go before the old version starts, which
	cannot register beside it. What somebody writes into the old configuration between two tries stays."""
	site = mim(more={"config": "mongooseim.toml.621"})
	for node in site.nodes:
		shutil.copy(node.dir / "etc/mongooseim.toml", node.dir / "etc/mongooseim.toml.621")
	used, new = (site.node("n2").dir / "etc" / name for name in ("mongooseim.toml", "mongooseim.toml.621"))
	new.write_text(new.read_text() + '\n[outgoing_pools.rdbms.default.connection.tls]\n  verify_mode = "peer"\n')
	site.fault("boot", "row-first", "n2")
	start(site)
	wait_for_unit(site, "roll/n2", "failed")
	assert site.running() == {"n1": NEW, "n2": OLD, "n3": OLD}
	site.wait_until(lambda: site.serving() == ALL, 20, "all nodes serve")
	assert ["mim", "mongooseim@n2"] in site.sql("SELECT cluster_name, node_name FROM discovery_nodes")
	new.write_text(new.read_text() + '  cacertfile = "priv/ssl/cacert.pem"\n')
	by_hand = used.read_text() + "# by hand\n"
	used.write_text(by_hand)
	site.fault("boot", "die-new", "n2")
	site.upgctl("retry", "roll/n2")
	site.wait_until(lambda: (site.node("n2").dir / "node.log").read_text().count("Could not start") == 2, 60, "it has not started once more")
	wait_for_unit(site, "roll/n2", "failed")
	assert used.read_text() == by_hand
	site.fault("boot", None, "n2")
	site.upgctl("retry", "roll/n2")
	is_done(site)
	assert used.read_text() == new.read_text()


@pytest.mark.parametrize("kind", ["pgsql", pytest.param("mysql", marks=pytest.mark.long)])
def test_rows_that_are_there_twice_stop_it_before_anything_is_touched(mim, kind):
	"""Whoever did not ask check first: it says what to do before there is even a dump, and goes on from there."""
	site = mim(database=kind)
	site.sql(TWICE)
	start(site)
	wait_for_unit(site, f"ask-{kind}/6.2.1", "failed")
	assert "no node has two rows in discovery_nodes" in site.upgctl("explain", f"ask-{kind}/6.2.1")
	assert keys(site, "rosterusers") == [] and "dump" not in log(site)
	is_as_before(site)
	site.sql("DELETE FROM discovery_nodes WHERE cluster_name = 'other'")
	site.upgctl("retry", f"ask-{kind}/6.2.1")
	is_done(site)


@pytest.mark.parametrize("kind", ["pgsql", pytest.param("mysql", marks=pytest.mark.long)])
def test_a_script_with_localhost_in_it_moves_nobody(mim, kind):
	"""It would succeed, and every user would be of another domain. Nobody has asked check; no node is stopped for it."""
	site = mim(database=kind, version="4.2.0", to="5.0.0")
	script = site.dir / f"scripts/{kind}_4.2.0_5.0.0.sql"
	script.write_text(script.read_text().replace("'example.net'", "'localhost'"))
	start(site)
	wait_for_unit(site, f"ask-{kind}/5.0.0", "failed")
	assert "has nothing left to fill in" in site.upgctl("explain", f"ask-{kind}/5.0.0")
	is_as_before(site)
	assert all(len(user.places) == 1 for user in site.users)


def test_a_node_in_maintenance_is_named_where_all_are_stopped(mim):
	"""It would be left alone, and its process run on the database that is changed under it. Where nodes are rolled it may stay."""
	site = mim(version="6.3.1", to="6.3.2")
	site.lb("lb", "set server be_c2s/n3 state maint")
	site.wait_until(lambda: site.servers()["n3"]["status"].startswith("MAINT"), 10, "n3 is in maintenance")
	assert "leaves no node alone" in problems(site)["n3"]
	with pytest.raises(LabError, match="leaves no node alone"):
		start(site)
	assert site.running() == {name: "6.3.1" for name in ALL}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["pgsql", "mysql"])
def test_whoever_is_still_in_the_database_sends_a_stop_of_all_back(mim, kind):
	site = mim(database=kind, version="5.0.0", to="5.1.0")
	with site.hold("users"):
		start(site)
		wait_for_unit(site, f"save-{kind}/cluster", "failed", seconds=150)
		rests(site)
	assert "somebody still uses the database" in site.upgctl("status", codes=None) + site.upgctl("explain", f"save-{kind}/cluster")
	is_as_before(site)
	assert not site.sql("SELECT 1 FROM information_schema.columns WHERE table_name = 'inbox' AND column_name = 'box'")


@pytest.mark.long
def test_whoever_came_while_the_dump_was_made_sends_a_stop_of_all_back(mim):
	"""What he has written would not come back with the dump."""
	site = mim(version="5.0.0", to="5.1.0")
	(site.dir / "bin").mkdir()
	(site.dir / "bin/pg_dump").write_text(f"""#!/bin/sh
{shutil.which("pg_dump")} "$@" || exit 1
case "$*" in *schema-only*) ;; *) setsid psql -XAtq -d '{site.conninfo()}' -c 'SELECT pg_sleep(600)' </dev/null >/dev/null 2>&1 & esac
""")
	(site.dir / "bin/pg_dump").chmod(0o755)
	site.stop_upgd()
	site.start_upgd(env={"PATH": f"{site.dir}/bin:{os.environ['PATH']}"})
	start(site)
	rests(site)
	assert "somebody came while the dump was made" in site.upgctl("explain", "save-pgsql/cluster")
	is_as_before(site)


@pytest.mark.long
def test_a_node_that_finds_only_itself_is_named(mim):
	site = mim(more={"soak": "0s"})
	site.fault("disco", "alone", "n2")
	start(site)
	wait_for_unit(site, "look/n2", "failed", seconds=120)
	assert "all_joined" in site.upgctl("explain", "look/n2") and site.units()["look/n1"]["state"] == "done"
	site.fault("disco", None, "n2")
	site.upgctl("retry", "look/n2")
	is_done(site)


@pytest.mark.long
@pytest.mark.parametrize("how", ["an error", "a lost client", "a lost answer"])
def test_a_script_on_mariadb_that_did_not_reach_its_end_is_not_done(mim, how):
	"""After its second statement the column is there that tells 5.1.0; boxes of '0' and '1' are none."""
	site = mim(database="mysql", version="5.0.0", to="5.1.0")
	before = site.sql("SELECT * FROM inbox ORDER BY luser")
	script = site.dir / "scripts/mysql_5.0.0_5.1.0.sql"
	good = script.read_text()
	script.write_text(good.replace("UPDATE inbox", "SELECT SLEEP(20); UPDATE inbox" if how.startswith("a lost") else "UPDATE no_such_table", 1))
	start(site)
	if how.startswith("a lost"):
		site.wait_until(lambda: site.sql("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(20)'"), 90, "the script is half way")
		site.kill_client("lock_wait_timeout = 20", supervisor=how == "a lost answer")
	rests(site)
	is_as_before(site)
	assert site.sql("SELECT * FROM inbox ORDER BY luser") == before
	script.write_text(good)
	site.upgctl("retry", "migrate-mysql/5.1.0")
	is_done(site)
	assert {row[0] for row in site.sql("SELECT DISTINCT box FROM inbox")} == {"inbox", "archive"}


@pytest.mark.long
def test_no_name_of_a_group_is_cut_on_mariadb(mim):
	"""The column is made shorter, and a server that is not strict cuts what is longer."""
	site = mim(database="mysql")
	site.sql("INSERT INTO rostergroups (server, username, jid, grp) VALUES ('example.net', 'user1', 'long@example.net', REPEAT('x', 300))")
	assert "more than 255 characters" in str(problems(site))
	start(site)
	wait_for_unit(site, "ask-mysql/6.2.1", "failed")
	assert site.sql("SELECT MAX(CHAR_LENGTH(grp)) FROM rostergroups") == [["300"]]


@pytest.mark.long
def test_what_could_not_be_brought_back_is_found_before_anybody_is_sent_away(mim):
	"""A table of somebody else: the account of upgd can dump it, and not make it his again. What was tried leaves nothing."""
	site = mim(version="6.3.1", to="6.3.2")
	site.db.sql("CREATE TABLE theirs (i int); ALTER TABLE theirs OWNER TO reports; GRANT SELECT ON theirs TO mim", "mim")
	start(site)
	wait_for_unit(site, "rehearse-pgsql/cluster", "failed")
	assert "could not bring the database back" in site.upgctl("explain", "rehearse-pgsql/cluster")
	is_as_before(site)
	assert all(len(user.places) == 1 for user in site.users)
	site.upgctl("abort", 1)
	site.wait_for_state("aborted")
	assert not site.sql("SELECT datname FROM pg_database WHERE datname LIKE 'mim_%'") and not list((site.dir / "backup").iterdir())


@pytest.mark.parametrize("why", ["no old package", "held"])
def test_a_package_that_would_not_come_stops_it_before_anybody_is_sent_away(mim, why):
	site = mim(version="6.3.1", to="6.3.2")
	if why == "held":
		site.fault("package", "held", "n2")
	else:
		site.procs.run(["rm", "-r", f"{site.dir}/packages/6.3.1"])
	start(site)
	wait_for_unit(site, "ask-down/n2", "failed")
	assert {"held": "nobody holds the package back"}.get(why, "could get the version before again") in site.upgctl("explain", "ask-down/n2")
	is_as_before(site)
	assert all(len(user.places) == 1 for user in site.users)


@pytest.mark.long
def test_a_stop_that_never_ends_is_forced(mim):
	site = mim(more={"stop": "2s"})
	site.fault("stop", "hang", "n1")
	start(site)
	is_done(site)
	assert "exit 124" in log(site) and site.calls("n1", "mongooseimctl force_stop")


def test_stops_all_where_rolling_is_not_viable(mim):
	site = mim(version="6.3.1", to="6.3.2")
	start(site)
	is_done(site)
	for user in site.users:
		assert [place.split()[0] == "maintenance" for place in user.places][1] and not any(place.split()[1] == "6.3.1" for place in user.places[1:]), user.places


def what_is_around(site):
	"""What a dump of the tables alone would lose: owners, rights, other schemas, the database's own settings; routines."""
	if site.kind == "mysql":
		return site.sql("SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mim'")
	return site.sql("SELECT nspname, relname, pg_get_userbyid(relowner), relacl FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname IN ('public', 'report') ORDER BY 1, 2; "
		"SELECT nspname, pg_get_userbyid(nspowner), has_schema_privilege('reader', oid, 'USAGE') FROM pg_namespace WHERE nspname IN ('public', 'report') ORDER BY 1; "
		"SELECT pg_get_userbyid(datdba), has_database_privilege('reader', oid, 'CONNECT'), has_database_privilege('reports', oid, 'CONNECT'), datcollate, datlocprovider, daticulocale FROM pg_database WHERE datname = 'mim'; "
		"SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 'mim'); "
		"SELECT * FROM report.daily")


@pytest.mark.parametrize("kind", ["pgsql", pytest.param("mysql", marks=pytest.mark.long)])
def test_a_first_node_that_does_not_start_brings_the_old_version_back(mim, kind):
	"""From the dump, as nothing else takes back what the script did; then it rests, and begins anew when it is mended."""
	site = mim(database=kind, version="5.0.0", to="5.1.0")
	before, around = site.sql("SELECT * FROM inbox ORDER BY luser"), what_is_around(site)
	site.fault("boot", "die-new", "n1")
	start(site)
	wait_for_unit(site, "up/n1", "failed", seconds=90)
	rests(site)
	is_as_before(site)
	assert site.sql("SELECT * FROM inbox ORDER BY luser") == before and what_is_around(site) == around
	site.fault("boot", None, "n1")
	site.upgctl("retry", "up/n1")
	is_done(site)
	assert {row[0] for row in site.sql("SELECT DISTINCT box FROM inbox")} == {"inbox", "archive"}


@pytest.mark.long
def test_half_a_script_on_mariadb_goes_back_to_the_dump(mim):
	site = mim(database="mysql", version="5.1.0", to="6.1.0")
	script = site.dir / "scripts/mysql_5.1.0_6.0.0.sql"
	good = script.read_text()
	script.write_text(good.replace("CREATE TABLE domain_admins", "CREATE TABLE users"))
	start(site)
	rests(site)
	is_as_before(site)
	assert site.sql("SHOW COLUMNS FROM domain_settings LIKE 'enabled'") and not site.sql("SHOW COLUMNS FROM domain_settings LIKE 'status'")
	script.write_text(good)
	site.upgctl("retry", "migrate-mysql/6.0.0")
	is_done(site)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["pgsql", "mysql"])
def test_the_whole_chain_in_one_rollout(mim, kind):
	"""4.2.0 to 6.8.0: eight scripts, in order, nobody in between; upgd is killed on the way."""
	site = mim(database=kind, version="4.2.0", to="6.8.0")
	start(site)
	wait_for_step(site, f"migrate-{kind}/6.0.0", "script", seconds=120)
	site.kill_upgd()
	site.start_upgd()
	is_done(site, seconds=240)
	assert {row[0] for row in site.sql("SELECT DISTINCT server FROM rosterusers")} == {"example.net"}
	assert site.sql("SELECT count(*) FROM broadcast_worker_state") == [["0"]]
