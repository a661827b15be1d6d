# SPDX-License-Identifier: MIT
"""
The stand-in node and tools against what OX does: each test shows one bad habit. Needs a build directory:
  UPGD_BUILD=/path/to/build /usr/bin/python3 -m pytest tests/lab/test_lab_node.py
"""

import base64
import csv
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import pytest

from ports import Ports

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("UPGD_BUILD", HERE.parent.parent / "build"))
CLT = BUILD / "tests/lab/node/lab-clt"
OLD, NEW, ANCIENT = "7.10.5-40", "7.10.6-44", "7.10.0-1"
REDIRECT = "com.openexchange.server.migrationRedirectURL"
DENY = "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad"
TASKS = "com.openexchange.groupware.update.tasks."
TOOLS = """registerserver listserver unregisterserver listdatabaseschema disableschema enableschema changeserver runupdate listUpdateTasks
checkdatabase forceupdatetask unblockdatabase reloadconfiguration upgradeschemata createcontext disablecontext enablecontext systemctl apt-get""".split()

pytestmark = pytest.mark.skipif(not CLT.exists(), reason=f"{CLT} is not built")


PORTS = Ports()


def wait_for(what, condition, seconds=60):
	deadline = time.monotonic() + seconds
	while time.monotonic() < deadline:
		got = condition()
		if got:
			return got
		time.sleep(0.02)
	pytest.fail(f"not within {seconds} s: {what}")


class Database:
	def __init__(self, directory):
		self.directory, self.port = directory, PORTS.take()
		self.socket = directory / "db.sock"
		self.cnf = directory / "node.cnf"
		self.cnf.write_text(f"[client]\nsocket={self.socket}\nuser=root\n")
		data = directory / "data"
		data.mkdir()
		subprocess.run(["mariadb-install-db", "--no-defaults", "--force", f"--datadir={data}", "--user=root", "--auth-root-authentication-method=normal",
			"--skip-test-db"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		self.process = subprocess.Popen(["mariadbd", "--no-defaults", f"--datadir={data}", "--user=root", f"--socket={self.socket}",
			f"--port={self.port}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"],
			stdout=subprocess.DEVNULL, stderr=(directory / "db.log").open("w"))
		wait_for("mariadbd", lambda: subprocess.run(["mariadb-admin", f"--defaults-file={self.cnf}", "ping"], check=False,
			capture_output=True).returncode == 0, 30)

	def sql(self, text):
		done = subprocess.run(["mariadb", f"--defaults-file={self.cnf}", "-N", "-B"], input=text, text=True, capture_output=True, check=False)
		assert done.returncode == 0, done.stderr
		return [line.split("\t") for line in done.stdout.splitlines()]

	def one(self, text):
		return self.sql(text)[0][0]

	def clear(self):
		names = [n for (n,) in self.sql("SHOW DATABASES") if n == "configdb" or n.startswith("oxdatabase")]
		self.sql("".join(f"DROP DATABASE `{n}`;" for n in names))

	def stop(self):
		self.process.terminate()
		self.process.wait(30)


class Node:
	def __init__(self, lab, name, version, server="oxserver", **properties):
		self.lab, self.name, self.http, self.rmi = lab, name, PORTS.take(), PORTS.take()
		self.dir = lab.dir / "nodes" / name
		for sub in ("etc/plugin", "bin", "fault", f"versions/{version}"):
			(self.dir / sub).mkdir(parents=True)
		shutil.copy(HERE / f"releases/{version}.json", self.dir / f"versions/{version}/release")
		(self.dir / "current").symlink_to(f"versions/{version}")
		(self.dir / "node.json").write_text(json.dumps({"name": name, "http": self.http, "rmi": self.rmi, "configdb": str(lab.db.cnf),
			"lab": str(lab.dir)}))
		self.properties = {"com.openexchange.push.allowPermanentPush": "false"} | properties
		self.write_properties()
		self.server_name(server)
		(self.dir / "etc/hazelcast.properties").write_text("com.openexchange.hazelcast.group.name=site\n")
		for tool in TOOLS:
			(self.dir / "bin" / tool).symlink_to(CLT)

	def write_properties(self, **more):
		self.properties |= more
		(self.dir / "etc/server.properties").write_text("".join(f"{k}={v}\n" for k, v in self.properties.items()))

	def server_name(self, name):
		(self.dir / "etc/system.properties").write_text(f"SERVER_NAME={name}\n")

	def reason(self, reason):
		(self.dir / "etc/plugin/hosting.properties").write_text(f"SCHEMA_MOVE_MAINTENANCE_REASON={reason}\n")

	def fault(self, name, text):
		(self.dir / "fault" / name).write_text(text)

	def env(self, **more):
		return os.environ | {"LAB_NODE_DIR": str(self.dir), "ADMIN_PASSWORD": "adminpw", "LAB_BOOT_MS": "20", "LAB_CLT_MS": "0", "LAB_APT_MS": "0",
			"LAB_CHANGELOG_MS": "50"} | more

	def spawn(self, tool, *args, stdin=subprocess.DEVNULL, **env):
		return subprocess.Popen([str(self.dir / "bin" / tool), *args], env=self.env(**env), stdin=stdin, text=True,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE)

	def clt(self, tool, *args, code=0, text=None, **env):
		process = self.spawn(tool, *args, stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL, **env)
		out, err = process.communicate(text, timeout=120)
		assert process.returncode == code, (tool, args, process.returncode, out, err)
		return out if code == 0 else err

	def start(self):
		self.clt("systemctl", "start", "open-xchange")
		wait_for(f"{self.name} serves", self.is_up)
		return self

	def stop(self):
		self.clt("systemctl", "stop", "open-xchange")

	def kill(self):
		pid = int((self.dir / "node.pid").read_text())
		os.kill(pid, signal.SIGKILL)
		self.is_dead()

	def is_dead(self):
		wait_for("death", lambda: self.spawn("systemctl", "is-active", "open-xchange").wait(60) == 3)

	def is_up(self):
		try:
			return self.get("/lab/state")[0] == 200
		except OSError:
			return False

	def request(self, method, path, body=None, headers=None, timeout=30):
		connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
		connection.request(method, path, body, headers or {})
		answer = connection.getresponse()
		text = answer.read().decode()
		connection.close()
		return answer.status, dict(answer.getheaders()), json.loads(text) if text.startswith("{") else text

	def get(self, path, **headers):
		return self.request("GET", path, headers=headers)

	def login(self, cid, password="secret"):
		return self.request("POST", "/ajax/login?action=login", urllib.parse.urlencode({"name": f"anna@tenant{cid}.example", "password": password}))

	def code(self, cid):
		return self.login(cid)[2].get("code", "ok")

	def mail(self, session):
		return self.get(f"/ajax/mail?session={session}")

	def state(self):
		return self.get("/lab/state")[2]


class Lab:
	def __init__(self, db, directory):
		self.db, self.dir, self.nodes = db, directory, {}
		for sub in ("nodes", "secrets", "fault", "clusters"):
			(directory / sub).mkdir()
		(directory / "secrets/ox").write_text("adminpw\n")
		(directory / "secrets/db").write_text("dbpw\n")
		for version in (OLD, NEW, ANCIENT):
			(directory / "packages" / version).mkdir(parents=True)
			shutil.copy(HERE / f"releases/{version}.json", directory / "packages" / version / "release")

	def load(self, *options):
		self.db.clear()
		done = subprocess.run([HERE / "data.py", "--cnf", self.db.cnf, "--port", str(self.db.port), "--password-file", self.dir / "secrets/db",
			"--contexts", "6", *options], check=False, capture_output=True, text=True)
		assert done.returncode == 0, done.stderr
		self.schemata = {s["name"]: s for s in json.loads(done.stdout)["schemata"]}

	def node(self, name, *args, **properties):
		self.nodes[name] = Node(self, name, *args, **properties)
		return self.nodes[name]

	def cids(self, schema):
		return [int(c) for (c,) in self.db.sql(f"SELECT cid FROM configdb.context_server2db_pool WHERE db_schema='{schema}' ORDER BY cid")]

	def enabled(self, schema):
		return [int(c) for (c,) in self.db.sql("SELECT cid FROM configdb.context JOIN configdb.context_server2db_pool USING (cid) "
			f"WHERE db_schema='{schema}' AND enabled=1 ORDER BY cid")]

	def tasks(self, schema):
		return {name: int(ok) for name, ok in self.db.sql(f"SELECT taskName,successful FROM {schema}.updateTask")}


@pytest.fixture(scope="session")
def database():
	with tempfile.TemporaryDirectory(prefix="labdb") as directory:
		db = Database(pathlib.Path(directory))
		yield db
		db.stop()


@pytest.fixture
def empty_lab(database, tmp_path):
	lab = Lab(database, tmp_path)
	lab.load()
	yield lab
	for node in lab.nodes.values():
		(node.dir / "fault/boot").unlink(missing_ok=True)
		node.stop()


@pytest.fixture
def lab(empty_lab):
	"""Two old nodes in one cluster, one new node in another, its server registered as 113."""
	empty_lab.db.sql("INSERT INTO configdb.server VALUES (113,'oxserver-new')")
	empty_lab.ox1 = empty_lab.node("ox1", OLD).start()
	empty_lab.ox2 = empty_lab.node("ox2", OLD).start()
	empty_lab.ox3 = empty_lab.node("ox3", NEW, "oxserver-new", **{DENY: "true"}).start()
	wait_for("the changelog", lambda: empty_lab.ox3.get("/health")[0] == 200)
	return empty_lab


def move(lab, schema):
	lab.ox1.clt("disableschema", "-m", schema)
	lab.ox1.clt("changeserver", "-m", schema, "-s", "113")


# ---- what users see

def test_a_user_logs_in_and_reads_mail(lab):
	cid = lab.enabled("oxdatabase_3")[0]
	status, headers, answer = lab.ox1.login(cid)
	assert (status, answer["cid"], headers["X-Lab-Node"]) == (200, cid, "ox1")
	assert headers["Set-Cookie"].startswith("JSESSIONID=") and ".ox1;" in headers["Set-Cookie"]
	status, headers, mail = lab.ox1.mail(answer["session"])
	assert mail["data"] | {"mails": 0} == {"cid": cid, "mails": 0, "schema": "oxdatabase_3", "schema_version": 6, "server_version": "7.10.5-Rev40"}
	assert "X-Lab-Mismatch" not in headers
	assert lab.ox1.mail("nonsense")[2]["code"] == "SES-0203"
	assert lab.ox1.login(cid, "wrong")[2]["code"] == "LGN-0006"
	assert lab.ox1.code(99999) == "LGN-0006"


def test_sessions_live_in_the_cluster_and_nowhere_else(lab):
	session = lab.ox1.login(1)[2]["session"]
	assert "data" in lab.ox2.mail(session)[2]
	assert lab.ox3.mail(session)[2]["code"] == "SES-0203"
	lab.ox1.stop()
	assert "data" in lab.ox2.mail(session)[2]
	lab.ox1.start()
	assert "data" in lab.ox1.mail(session)[2], "a joining member gets the sessions"


def test_redirect_table(lab):
	cid = lab.enabled("oxdatabase_1")[0]
	assert lab.ox3.code(cid) == "CTX-0012"
	move(lab, "oxdatabase_1")
	assert lab.ox1.code(cid) == "AUTHORIZATION-0001"
	lab.ox3.clt("runupdate", "-n", "oxdatabase_1")
	assert lab.ox3.code(cid) == "AUTHORIZATION-0001"
	lab.ox1.clt("enableschema", "-m", "oxdatabase_1")
	lab.ox3.clt("enableschema", "-m", "oxdatabase_1")
	assert lab.ox1.code(cid) == "CTX-0012", "no redirect configured"
	lab.ox1.write_properties(**{REDIRECT: "https://new.example"})
	assert lab.ox1.code(cid) == "CTX-0012", "not before the reload"
	lab.ox1.clt("reloadconfiguration", ADMIN_PASSWORD="")
	status, _, answer = lab.ox1.login(cid)
	assert (status, answer["code"], answer["error_params"]) == (200, "LGN-0016", ["https://new.example"])
	assert lab.ox3.code(cid) == "ok"
	basic = "Basic " + base64.b64encode(f"anna@{cid}:secret".encode()).decode()
	assert lab.ox1.get("/servlet/dav", Authorization=basic)[0] == 401
	assert lab.ox2.get("/servlet/dav", Authorization=basic)[0] == 500
	assert lab.ox3.get("/servlet/dav", Authorization=basic)[0] == 207


def test_stale_cache_until_invalidated(lab):
	cid = lab.enabled("oxdatabase_1")[0]
	session = lab.ox1.login(cid)[2]["session"]
	lab.db.sql("UPDATE configdb.context SET enabled=0,reason_id=1 WHERE cid=%d" % cid)
	assert "data" in lab.ox1.mail(session)[2] and lab.ox1.code(cid) == "ok", "SQL alone changes nothing"
	lab.ox3.clt("disableschema", "-m", "oxdatabase_1")
	assert "data" in lab.ox1.mail(session)[2], "the other cluster never hears of it"
	lab.ox2.clt("disableschema", "-m", "oxdatabase_1")
	assert lab.ox1.mail(session)[2]["code"] == "SES-0203" and lab.ox1.code(cid) == "AUTHORIZATION-0001"


def test_code_that_does_not_fit_the_schema_is_seen(lab):
	schema = "oxdatabase_1"
	cid = lab.enabled(schema)[0]
	session = lab.ox1.login(cid)[2]["session"]
	lab.ox3.clt("disableschema", "-m", schema)  # the wrong cluster: ox1 goes on
	lab.ox1.clt("changeserver", "-m", schema, "-s", "113")
	lab.ox3.clt("runupdate", "-n", schema)
	assert lab.ox1.mail(session)[1]["X-Lab-Mismatch"] == "old-code-new-schema"
	lab.ox3.clt("enableschema", "-m", schema)
	session = lab.ox3.login(cid)[2]["session"]
	lab.db.sql(f"DELETE FROM {schema}.updateTask WHERE taskName LIKE '%AddSharedParentFolderTask'")
	assert lab.ox3.mail(session)[1]["X-Lab-Mismatch"] == "new-code-old-schema"


def test_server_id_is_kept_for_life(empty_lab):
	node = empty_lab.node("ox9", NEW, "unborn").start()
	assert node.code(1) == "DBP-0019"
	assert node.clt("registerserver", "-n", "unborn") == "server 113 registered\n"
	assert node.code(1) == "DBP-0019", "until the restart"
	node.stop()
	node.start()
	assert node.code(1) == "CTX-0012" and node.state()["server_id"] == 113


def test_a_load_starts_the_update_by_itself(empty_lab):
	empty_lab.ox1 = empty_lab.node("ox1", OLD).start()
	node = empty_lab.node("ox9", NEW).start()  # still with the old server name
	cid = empty_lab.enabled("oxdatabase_1")[0]
	assert node.code(cid) == "CTX-0007"
	wait_for("the update nobody asked for", lambda: node.code(cid) == "ok")
	assert empty_lab.tasks("oxdatabase_1")[TASKS + "ConvertUtf8ToUtf8mb4Task"] == 1
	node.write_properties(**{DENY: "true"})
	node.clt("reloadconfiguration")
	assert node.code(empty_lab.enabled("oxdatabase_3")[0]) == "CTX-0013"


def test_permanent_push_updates_schemata_of_a_misnamed_node(empty_lab):
	node = empty_lab.node("ox9", NEW, **{"com.openexchange.push.allowPermanentPush": "true"})
	node.start()
	wait_for("an update", lambda: TASKS + "AddSharedParentFolderTask" in empty_lab.tasks("oxdatabase_3"))
	wait_for("the end of all", lambda: node.state()["updates"] == 0)


# ---- health, boot, stop

def test_health_and_first_boot(empty_lab):
	old = empty_lab.node("ox1", OLD).start()
	wait_for("health", lambda: old.get("/health")[0] == 200)
	answer = old.get("/health")[2]
	assert answer["service"] == {"name": "appsuite-middleware", "version": "7.10.5-Rev40"}
	assert [c["data"]["memberCount"] for c in answer["checks"] if c["name"] == "hazelcast"] == [1]
	new = empty_lab.node("ox2", NEW)
	empty_lab.db.sql("UPDATE configdb.DATABASECHANGELOGLOCK SET LOCKED=1")
	new.start()
	assert new.get("/health")[0] == 503, "the changelog waits for its lock"
	empty_lab.db.sql("UPDATE configdb.DATABASECHANGELOGLOCK SET LOCKED=0")
	wait_for("health", lambda: new.get("/health")[0] == 200)
	assert empty_lab.db.one("SELECT COUNT(*) FROM configdb.DATABASECHANGELOG") == "6"
	assert old.get("/health")[2]["checks"][3]["data"]["memberCount"] == 1, "two versions, two clusters"
	assert empty_lab.node("ox3", ANCIENT).start().get("/health")[0] == 404
	new.fault("health", "503")
	assert new.get("/health")[0] == 503
	new.fault("health", "once:garbage")
	assert new.get("/health")[2].startswith("<html>") and new.get("/health")[0] == 200


def test_members_leave_and_dead_ones_are_found(lab):
	count = lambda: lab.ox2.get("/health")[2]["checks"][3]["data"]["memberCount"]
	assert count() == 2
	lab.ox1.kill()
	assert count() == 1
	lab.ox1.start()
	assert count() == 2
	lab.ox1.stop()
	assert count() == 1 and os.listdir(lab.dir / "clusters/site-7.10.5-Rev40") == ["ox2"]


def test_stop_ends_what_is_in_flight(lab):
	pid = int((lab.ox1.dir / "node.pid").read_text())
	lab.ox1.fault("http", "slow:3000")
	with socket.create_connection(("127.0.0.1", lab.ox1.http)) as s:
		s.sendall(b"GET /ajax/mail?session=x HTTP/1.1\r\nHost: x\r\n\r\n")
		wait_for("the request", lambda: lab.ox1.state()["requests"] == 2)
		os.kill(pid, signal.SIGTERM)
		answer = s.recv(4096)
	assert answer.startswith(b"HTTP/1.1 200")
	wait_for("the end", lambda: not pathlib.Path(f"/proc/{pid}/fd/0").exists())


def test_apt_and_systemctl(lab):
	node = lab.ox2
	assert "was not found" in node.clt("apt-get", "install", "-y", "open-xchange=9.9.9", code=100)
	node.clt("systemctl", "stop", "open-xchange")
	node.clt("systemctl", "is-active", "open-xchange", code=3)
	node.clt("apt-get", "install", "-y", "open-xchange=7.10.6*")
	assert os.readlink(node.dir / "current") == f"versions/{NEW}"
	assert "allowPermanentPush" in (node.dir / "etc/server.properties").read_text()
	node.start()
	assert node.state()["group"] == "site-7.10.6-Rev44" and node.state()["members"] == 2


# ---- the tools

def test_register_list_unregister(lab):
	ox1 = lab.ox1
	assert "already exists" in ox1.clt("registerserver", "-n", "oxserver-new", code=103)
	assert "Invalid server name" in ox1.clt("registerserver", "-n", " ", code=103)
	assert ox1.clt("listserver", "-s", "oxserver-*", "--csv") == 'id,name\n"113","oxserver-new"\n'
	assert "in use" in ox1.clt("unregisterserver", "-n", "oxserver", code=106)
	assert ox1.clt("unregisterserver", "-i", "113") == "server 113 unregistered\n"
	ox1.clt("unregisterserver", "-n", "oxserver-new", code=103)


def test_exit_codes(lab):
	lab.ox1.clt("listserver", code=101, ADMIN_PASSWORD="guess")
	lab.ox1.clt("listserver", "-P", "adminpw", ADMIN_PASSWORD="guess")
	lab.ox1.clt("listserver", code=105, RMI_HOSTNAME=f"127.0.0.1:{PORTS.take()}")
	lab.ox1.clt("registerserver", code=104)
	lab.ox1.clt("registerserver", "--nonsense", code=111)
	lab.ox1.clt("disableschema", "-m", "nosuch", code=1)
	lab.ox1.clt("runupdate", "-n", "nosuch", code=1)


def test_csv_is_quoted_as_ox_does_it(lab):
	lab.db.sql("""UPDATE configdb.server SET name='a"b,c' WHERE server_id=113""")
	text = lab.ox1.clt("listserver", "--csv")
	assert '"113","a""b,c"\n' in text
	assert list(csv.reader(io.StringIO(text)))[0] == ["id", "name"]


def test_listdatabaseschema_hides_closed_databases(lab):
	rows = list(csv.DictReader(io.StringIO(lab.ox1.clt("listdatabaseschema", "--csv"))))
	listed = {r["schema_name"] for r in rows}
	assert set(lab.schemata) - listed == {"oxdatabase_12"}
	assert list(rows[0]) == ["id", "display_name", "schema_name", "url", "currentunits"]
	assert "oxdatabase_11" in lab.ox1.clt("listdatabaseschema", "--only-empty-schemas")


def test_enable_restores_what_was_and_forgets_other_reasons(lab):
	before = lab.enabled("oxdatabase_1")
	assert before != lab.cids("oxdatabase_1")
	assert lab.ox1.clt("disableschema", "-m", "oxdatabase_1") == ""
	assert lab.enabled("oxdatabase_1") == []
	lab.ox3.reason(7)
	lab.ox3.stop()
	lab.ox3.start()
	lab.ox3.clt("enableschema", "-m", "oxdatabase_1")
	assert lab.enabled("oxdatabase_1") == [], "another reason: none, and exit 0"
	lab.ox1.clt("enableschema", "-m", "oxdatabase_1")
	assert lab.enabled("oxdatabase_1") == before


def test_disable_at_several_hosts(lab):
	cid = lab.enabled("oxdatabase_1")[0]
	session = lab.ox1.login(cid)[2]["session"]
	refused = f"127.0.0.1:{lab.ox1.rmi},127.0.0.1:{PORTS.take()}"
	lab.ox3.clt("disableschema", "-m", "oxdatabase_1", "-r", refused, code=105)
	assert cid in lab.enabled("oxdatabase_1"), "all hosts are looked up first"
	lab.ox3.clt("disableschema", "-m", "oxdatabase_1", "-r", f"127.0.0.1:{lab.ox3.rmi},127.0.0.1:{lab.ox1.rmi}")
	assert lab.ox1.mail(session)[2]["code"] == "SES-0203"


def test_changeserver_guards(lab):
	ox1, cid = lab.ox1, lab.enabled("oxdatabase_1")[0]
	assert f"still enabled: [{cid}" in ox1.clt("changeserver", "-m", "oxdatabase_1", "-s", "113", code=106)
	ox1.clt("disableschema", "-m", "oxdatabase_1")
	ox1.clt("changeserver", "-m", "oxdatabase_1", "-s", "999", code=103)
	said = "Successfully changed to server '113' for schema 'oxdatabase_1'.\n"
	assert ox1.clt("changeserver", "-m", "oxdatabase_1", "-s", "113") == said
	assert ox1.clt("changeserver", "-m", "oxdatabase_1", "-s", "113") == said, "matched rows count, not changed ones"
	assert "The schema is empty" in ox1.clt("changeserver", "-m", "oxdatabase_11", "-s", "113", code=106)


def test_createcontext_lands_in_the_window(lab):
	lab.ox1.clt("disableschema", "-m", "oxdatabase_1")
	lab.ox2.clt("createcontext", "-c", "9001", "-N", "tenant9001.example", "--schema", "oxdatabase_1")
	assert "[9001]" in lab.ox1.clt("changeserver", "-m", "oxdatabase_1", "-s", "113", code=106)
	assert lab.ox2.code(9001) == "ok"
	lab.ox2.clt("disablecontext", "-c", "9001")
	assert lab.ox1.code(9001) == "AUTHORIZATION-0001"
	lab.ox2.clt("disablecontext", "-c", "9002", code=102)


# ---- update tasks

def test_runupdate(lab):
	schema = "oxdatabase_1"
	move(lab, schema)
	assert lab.ox1.clt("runupdate", "-n", schema) == "" and len(lab.tasks(schema)) == 7, "old code has nothing to do and says nothing"
	pending = lab.ox3.clt("listUpdateTasks", "-n", schema, "-g").splitlines()
	assert pending[0].split() == ["taskName", "state", "reason"] and len(pending) == 6
	assert lab.ox1.clt("runupdate", "-n", schema, "-s", "127.0.0.1", "-p", str(lab.ox3.rmi)) == "" and len(lab.tasks(schema)) == 7, "-s is ignored"
	assert lab.ox1.clt("runupdate", "-n", schema, RMI_HOSTNAME=f"127.0.0.1:{lab.ox3.rmi}") == ""
	assert len(lab.tasks(schema)) == 12 and all(lab.tasks(schema).values())
	assert lab.ox3.clt("listUpdateTasks", "-n", schema, "-g") == "No entries found.\n"
	assert len(lab.ox3.clt("listUpdateTasks", "-n", schema, "-e").splitlines()) == 13


def test_failed_tasks_exit_0_and_are_never_retried(lab):
	schema, broken = "oxdatabase_1", TASKS + "AddSharedParentFolderTask"
	move(lab, schema)
	lab.ox3.fault(f"task.{schema}.AddSharedParentFolderTask", "once:fail")
	out = lab.ox3.clt("runupdate", "-n", schema)
	assert "The following update task(s) failed:" in out and "AddSharedParentFolderTask" in out
	assert lab.tasks(schema)[broken] == 0
	assert TASKS + "ConvertUtf8ToUtf8mb4Task" not in lab.tasks(schema), "the unmet dependency ended the run"
	assert lab.ox3.clt("runupdate", "-n", schema) == "", "the second run looks green"
	assert lab.tasks(schema)[broken] == 0
	lab.ox3.clt("forceupdatetask", "-t", broken, "-n", schema)
	assert lab.tasks(schema)[broken] == 1
	lab.ox3.clt("runupdate", "-n", schema)
	assert len(lab.tasks(schema)) == 12 and all(lab.tasks(schema).values())


def test_second_caller_gets_success_for_nothing(lab):
	schema = "oxdatabase_1"
	move(lab, schema)
	lab.ox3.fault(f"task.{schema}.AddSharedParentFolderTask", "slow:5000")
	first = lab.ox3.spawn("runupdate", "-n", schema)
	wait_for("LOCKED", lambda: "LOCKED" in lab.tasks(schema))
	assert lab.ox3.clt("runupdate", "-n", schema) == ""
	assert "LOCKED" in lab.tasks(schema), "the first still runs"
	out, _ = first.communicate(timeout=30)
	assert (first.returncode, out) == (0, "") and "LOCKED" not in lab.tasks(schema)


def test_kill_leaves_locked(lab):
	schema = "oxdatabase_1"
	move(lab, schema)
	lab.ox3.fault(f"task.{schema}.CalendarEventAddRDateTask", "once:die")
	lab.ox3.clt("runupdate", "-n", schema, code=1)
	tasks = lab.tasks(schema)
	assert "LOCKED" in tasks and tasks[TASKS + "AddSharedParentFolderTask"] == 1 and TASKS + "CalendarEventAddRDateTask" not in tasks
	lab.ox3.is_dead()
	lab.ox3.start()
	assert lab.ox3.code(lab.cids(schema)[0]) == "CTX-0007"
	assert lab.ox3.clt("runupdate", "-n", schema) == "" and len(lab.tasks(schema)) == 9, "locked: success without work"
	lines = lab.ox3.clt("checkdatabase", "--csv").splitlines()
	assert lines[0] == "..." and lines[1] == "id,display_name,url,scheme,status"
	assert [r for r in lines if f'"{schema}","Blocking updates running"' in r] and len([r for r in lines if '"Needs update"' in r]) == 11
	assert lab.ox3.clt("unblockdatabase", "-i", "3", "--schema", schema) == f"schema {schema} unblocked\n"
	assert lab.ox3.clt("unblockdatabase", "-n", "db1", "--schema", schema) == f"schema {schema} is already unblocked\n"
	lab.ox3.clt("runupdate", "-n", schema)
	assert len(lab.tasks(schema)) == 12


def test_a_silent_lock_is_stolen_by_newer_releases(lab):
	schema = "oxdatabase_1"
	move(lab, schema)
	lab.db.sql(f"INSERT INTO {schema}.updateTask VALUES (0,'LOCKED',1,1000,0x8d8b93e559794baca39daef8f87087a1)")
	lab.ox3.clt("runupdate", "-n", schema)
	assert len(lab.tasks(schema)) == 12 and "LOCKED" not in lab.tasks(schema)


def test_heartbeat_goes_on_while_a_task_hangs(lab):
	schema = "oxdatabase_1"
	lab.ox3.write_properties(**{"com.openexchange.groupware.update.refreshIntervalMillis": "100"})
	lab.ox3.clt("reloadconfiguration")
	move(lab, schema)
	lab.ox3.fault(f"task.{schema}.AddSharedParentFolderTask", "hang")
	caller = lab.ox3.spawn("runupdate", "-n", schema)
	beat = lambda: lab.db.sql(f"SELECT lastModified FROM {schema}.updateTask WHERE taskName='LOCKED'")
	first = wait_for("LOCKED", beat)
	wait_for("a heartbeat", lambda: beat() not in (first, []))
	caller.kill()
	caller.communicate()
	second = beat()
	wait_for("a heartbeat without the caller", lambda: beat() not in (second, []))
	time_of_two_tasks = time.monotonic() + 1
	wait_for("longer than the task takes", lambda: time.monotonic() > time_of_two_tasks)
	lab.ox3.stop()
	assert "LOCKED" in lab.tasks(schema), "a stop cuts update tasks off"


def test_uncounted_schema_is_unknown(empty_lab):
	empty_lab.load("--uncounted", "--same-reason")
	node = empty_lab.node("ox1", OLD).start()
	assert "UNKNOWN_SCHEMA" in node.clt("runupdate", "-n", "oxdatabase_13", code=1)
	assert "oxdatabase_13" not in node.clt("listdatabaseschema")
	off = set(empty_lab.cids("oxdatabase_5")) - set(empty_lab.enabled("oxdatabase_5"))
	node.clt("disableschema", "-m", "oxdatabase_5")
	node.clt("enableschema", "-m", "oxdatabase_5")
	assert set(empty_lab.enabled("oxdatabase_5")) & off, "the admin's own use of the maintenance reason is undone"


def test_database_down_looks_like_success(lab):
	lab.db.sql("UPDATE configdb.db_pool SET url='jdbc:mysql://127.0.0.1:1' WHERE db_pool_id=5")
	assert lab.ox3.clt("runupdate", "-n", "oxdatabase_2") == ""
	assert lab.ox1.code(lab.enabled("oxdatabase_2")[0]) == "DBP-0001"


# ---- upgradeschemata, and faults of the tools

def test_upgradeschemata_skips_nothing_and_rolls_nothing_back(lab):
	ox1 = lab.ox1
	lab.db.sql("DELETE FROM configdb.server WHERE server_id=113")
	lab.ox3.fault("task.oxdatabase_archive.MailAccountOAuthTask", "fail")
	process = ox1.spawn("upgradeschemata", "-n", "oxserver-new", "-k", "oxdatabase_1", "-H", "127.0.0.1", "-p", str(lab.ox3.rmi))
	out, _ = process.communicate(timeout=120)
	assert process.returncode in (1, 106) and "Registering the server with name 'oxserver-new'...OK" in out
	assert "Disabling schema 'oxdatabase_1'...OK" in out, "-k is dead code"
	down = [s for s in lab.schemata if lab.schemata[s]["contexts"] and not lab.enabled(s)]
	assert len(down) == 1, "one schema is left disabled"
	assert "NumberFormatException" in ox1.clt("upgradeschemata", "-n", "oxserver-new", "-m", "oxdatabase_1", text="what\ncontinue\n", code=1)
	assert "WARNING" in ox1.clt("upgradeschemata", "-n", "oxserver-new", text="abort\n")
	assert "NoSuchElement" in ox1.clt("upgradeschemata", "-n", "oxserver-new", text="", code=1)


def test_tool_faults(lab):
	ox1, schema = lab.ox1, "oxdatabase_3"
	all_enabled = lab.enabled(schema)
	ox1.fault("clt.disableschema", "exit:7")
	ox1.clt("disableschema", "-m", schema, code=7)
	ox1.fault("clt.disableschema", "once:partial")
	ox1.clt("disableschema", "-m", schema, code=106)
	assert 0 < len(lab.enabled(schema)) < len(all_enabled)
	ox1.fault("clt.disableschema", "once:die-after")
	ox1.clt("disableschema", "-m", schema, code=-signal.SIGKILL)
	assert lab.enabled(schema) == []
	ox1.fault("clt.enableschema", "once:flood")
	assert len(ox1.clt("enableschema", "-m", schema)) > 4000000 and lab.enabled(schema) == all_enabled
	ox1.fault("clt.disableschema", "hang-after")
	hanging = ox1.spawn("disableschema", "-m", schema)
	wait_for("the act", lambda: lab.enabled(schema) == [])
	assert hanging.poll() is None
	hanging.kill()
	hanging.communicate()
	(lab.dir / "fault/cluster").write_text("split")
	assert ox1.get("/health")[2]["checks"][3]["data"]["memberCount"] == 1
