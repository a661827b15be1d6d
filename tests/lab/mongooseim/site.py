# SPDX-License-Identifier: MIT
"""Three MongooseIM nodes behind HAProxy (mode tcp), their database on real PostgreSQL or MariaDB, and users whose sessions stay open."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import templates  # noqa: E402
from procs import LabError  # noqa: E402
from sites import MariaDB, Postgres, Site  # noqa: E402

FILES = ["4.2.0_5.0.0", "5.0.0_5.1.0", "5.1.0_6.0.0", "6.1.0_6.2.0", "6.2.0_6.2.1", "6.3.1_6.3.2", "6.5.0_6.6.0", "6.7.0_6.8.0"]
VERSIONS = ["4.2.0", "5.0.0", "5.1.0", "6.0.0", "6.1.0", "6.2.0", "6.2.1", "6.3.0", "6.3.1", "6.3.2", "6.5.0", "6.6.0", "6.8.0"]
TOML = """[general]
  loglevel = "warning"
  hosts = ["example.net"]
  default_server_domain = "example.net"

[internal_databases.cets]
  backend = "rdbms"
  cluster_name = "mim"

[outgoing_pools.rdbms.default]
# scope = "single_host", and before 6.6.0 mod_bosh and zlib: in a comment nobody minds
  scope = "global"
  workers = 10
"""
# As on a real site: its account is none that may do all; another schema, somebody who only reads, and a database with settings of its own.
PG_SITE = """CREATE ROLE mim LOGIN CREATEDB;
CREATE ROLE reader;
CREATE ROLE reports;
CREATE DATABASE mim OWNER mim TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und';
REVOKE CONNECT ON DATABASE mim FROM PUBLIC;
GRANT CONNECT ON DATABASE mim TO reader;
ALTER DATABASE mim SET idle_in_transaction_session_timeout = '1h'"""
PG_MORE = """CREATE SCHEMA report AUTHORIZATION mim;
GRANT USAGE ON SCHEMA public, report TO reader;
CREATE TABLE report.daily (day date PRIMARY KEY, users int);
INSERT INTO report.daily VALUES ('2024-04-12', 200);
SET ROLE mim;
GRANT SELECT ON report.daily TO reader"""
# More rows than a statement takes at a glance, and few enough that a lab is there at once.
FILL = {"pgsql": """INSERT INTO users SELECT 'user' || i, 'x' FROM generate_series(1, 200) i;
INSERT INTO rosterusers (username, jid) SELECT 'user' || (i % 200), 'friend' || i || '@example.net' FROM generate_series(1, {rows}) i;
INSERT INTO rostergroups SELECT 'user' || (i % 200), 'friend' || i || '@example.net', 'group' || (i % 3) FROM generate_series(1, {rows}) i;
INSERT INTO mam_message SELECT i, i % 200, 'hello' FROM generate_series(1, {rows}) i;
INSERT INTO inbox (luser, lserver, remote_bare_jid, archive) SELECT 'user' || i, 'example.net', 'friend' || i, i % 2 = 0 FROM generate_series(1, 200) i;
INSERT INTO last SELECT 'user' || i, i, '' FROM generate_series(1, 200) i""",
	"mysql": """INSERT INTO users SELECT CONCAT('user', seq), 'x' FROM seq_1_to_200;
INSERT INTO rosterusers (username, jid) SELECT CONCAT('user', seq % 200), CONCAT('friend', seq, '@example.net') FROM seq_1_to_{rows};
INSERT INTO rostergroups SELECT CONCAT('user', seq % 200), CONCAT('friend', seq, '@example.net'), CONCAT('group', seq % 3) FROM seq_1_to_{rows};
INSERT INTO mam_message SELECT seq, seq % 200, 'hello' FROM seq_1_to_{rows};
INSERT INTO inbox (luser, lserver, remote_bare_jid, archive) SELECT CONCAT('user', seq), 'example.net', CONCAT('friend', seq), seq % 2 = 0 FROM seq_1_to_200;
INSERT INTO last SELECT CONCAT('user', seq), seq, '' FROM seq_1_to_200"""}
CFG = """frontend c2s
	mode tcp
	bind 127.0.0.1:{port}
	timeout client 1h
	default_backend be_c2s

backend be_c2s
	mode tcp
	balance leastconn
	option redispatch
	timeout server 1h
{servers}
	server sorry 127.0.0.1:{sorry} backup
"""


class User(threading.Thread):
	"""Stays on one connection for as long as it lasts, and says now and then where that is. Comes again at once when it ends, as XMPP clients do."""

	def __init__(self, port, name):
		super().__init__(daemon=True, name=name)
		self.port, self.places, self.cuts = port, [], 0
		self._end = threading.Event()
		self.start()

	def run(self):
		while not self._end.is_set():
			try:
				with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
					self.talk(s)
			except OSError:
				pass
			self.cuts += 1
			self._end.wait(0.1)

	def talk(self, s):
		lines = s.makefile()
		while not self._end.is_set():
			s.sendall(b"ping\n")
			line = lines.readline()
			if not line:
				return
			place = " ".join(line.split()[:2])
			if not self.places or self.places[-1] != place:
				self.places.append(place)
			self._end.wait(0.3)

	def told(self):
		return " → ".join(self.places)

	def leave(self):
		self._end.set()
		self.join()


class Sorry(threading.Thread):
	"""The site's own answer while all nodes are down: a line, and the connection ends."""

	def __init__(self, port):
		super().__init__(daemon=True)
		self.listener = socket.create_server(("127.0.0.1", port))
		self.start()

	def run(self):
		while True:
			try:
				client, _ = self.listener.accept()
			except OSError:
				return
			try:
				client.recv(100)
				client.sendall(b"maintenance until 03:00 ping\n")
			except OSError:
				pass
			client.close()


class MongooseIM(Site):
	system = "mongooseim"
	n_nodes = 3

	def __init__(self, directory=None, build=None, database="pgsql", version="6.2.0", to="6.2.1", rows=3000, users=12, more=None, **options):
		"""rows: of the roster and of the archive. users: sessions that stay open. more: further values of vars."""
		super().__init__(directory, build, **options)
		self.kind, self.version, self.to, self.rows, self.more = database, version, to, rows, more or {}
		self.port, self.sorry_port = self.ports.take(), self.ports.take()
		for node in self.nodes:
			node.c2s = self.ports.take()
		self.n_users, self.users = users, []

	def build_site(self):
		self.db = Postgres(self).start() if self.kind == "pgsql" else MariaDB(self, options=["--innodb-lock-wait-timeout=10"]).start()
		if self.kind == "pgsql":
			self.sql(PG_SITE, database="")
			self.sql(PG_MORE)
		else:
			# As on a real site: not root, and no right outside its own database but to see who is there.
			self.sql(f"CREATE DATABASE mim; CREATE USER mim@localhost IDENTIFIED BY '{self.mark}'; GRANT ALL ON mim.* TO mim@localhost; GRANT PROCESS ON *.* TO mim@localhost; "
				"SET GLOBAL sql_mode = ''", database="")
			self.private("cnf/mim.cnf", templates.option_file(socket=self.db.socket, user="mim", password=self.mark))
		self.make_schema()
		if self.kind == "mysql":
			self.sql("CREATE DEFINER = mim@localhost PROCEDURE tidy() SELECT 1")
		self.scripts()
		query = ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(), "-c"] if self.kind == "pgsql" else \
			["mariadb", f"--defaults-file={self.dir}/cnf/mim.cnf", "-BN", "-D", "mim", "-e"]
		(self.dir / "mim.json").write_text(json.dumps({"kind": self.kind, "query": query, "second": 0.05}))
		for version in VERSIONS:
			(self.dir / "packages" / version).mkdir(parents=True)
			(self.dir / "packages" / version / "VERSION").write_text(version + "\n")
		for node in self.nodes:
			self.make_node(node)
		for node in self.nodes:
			self.remote(node.name, "mongooseimctl", "start")
		for node in self.nodes:
			self.remote(node.name, "mongooseimctl", "started")
		self.sorry = Sorry(self.sorry_port)
		servers = "\n".join(f"\tserver {n.name} 127.0.0.1:{n.c2s} check" for n in self.nodes)
		self.start_balancer("lb", CFG.format(port=self.port, servers=servers, sorry=self.sorry_port))
		self.wait_until(lambda: all(s["status"] == "UP" for n, s in self.servers().items() if n != "sorry"), 20, "the balancer sees all nodes UP")
		self.users = self.visitors = [User(self.port, f"user{i + 1}") for i in range(self.n_users)]
		self.wait_until(lambda: all(u.places for u in self.users), 20, "every user has a session")
		self.write_conf(values={"database": self.kind, "db": "mim", "package": self.to, "scripts": f"{self.dir}/scripts", "bin": "",
			**({"cnf": f"{self.dir}/cnf/mim.cnf"} if self.kind == "mysql" else {"pg": f"host=127.0.0.1 port={self.db.port} user=mim"}), "haproxy_cfg": f"{self.dir}/lb/lb.cfg",
			"backup_dir": f"{self.dir}/backup", "drain": "1s", "stop": "5s", "boot": "20s", "soak": "1s", **self.more}, balancers={"main": ("be_c2s", ("lb",))})

	def stop(self):
		if hasattr(self, "sorry"):
			self.sorry.listener.close()
		return super().stop()

	# what it is made of

	def make_node(self, node):
		(node.dir / "release").mkdir()
		(node.dir / "etc").mkdir()
		(node.dir / "run-mim").mkdir()
		node.columns.update(erlang=f"mongooseim@{node.name}", etc=f"{node.dir}/etc")
		(node.dir / "release/VERSION").write_text(self.version + "\n")
		(node.dir / "etc/mongooseim.toml").write_text(TOML)
		(node.dir / "etc/vm.args").write_text(f"-setcookie mim\n-sname mongooseim@{node.name}\n")
		(node.dir / "node.json").write_text(json.dumps({"name": node.name, "c2s": node.c2s, "lab": str(self.dir)}))
		for name, program in (("mongooseim", "mongooseim"), ("mongooseimctl", "node.py"), ("apt-get", "node.py"), ("apt-cache", "node.py"), ("apt-mark", "node.py"), ("dpkg-query", "mongooseim")):
			(node.dir / "bin" / name).symlink_to(HERE / program)

	def conninfo(self):
		return f"host=127.0.0.1 port={self.db.port} user=mim dbname=mim"

	def sql(self, query, database="mim"):
		"""As the account of the nodes; with database "": as who may do all."""
		if self.kind == "pgsql":
			return self.db.sql(f"SET ROLE mim;\n{query}" if database else query, database or "postgres")
		return self.db.sql(query, database or None)

	def make_schema(self):
		"""The base, filled, and the scripts up to the version of the site; rostergroups as the vendor's own base has it from 6.2.1 on."""
		self.sql((HERE / f"sql/{self.kind}_base_4.2.0.sql").read_text())
		self.sql(FILL[self.kind].format(rows=self.rows))
		for name in FILES:
			level = name.split("_")[1]
			if _number(level) <= _number(self.version):
				self.sql(self.script(name).replace("PRIMARY KEY(server, username, jid, grp)", "PRIMARY KEY(server(150), username(200), jid, grp(150))"))

	def script(self, name):
		"""One script as an operator leaves it: with the site's own domain in it."""
		text = (HERE / f"sql/{self.kind}_{name}.sql").read_text()
		return "".join(line for line in text.splitlines(True) if "FIXME" not in line).replace("'localhost'", "'example.net'")

	def scripts(self):
		(self.dir / "scripts").mkdir()
		for name in FILES:
			(self.dir / f"scripts/{self.kind}_{name}.sql").write_text(self.script(name))

	# what is there

	def servers(self):
		return self.servers_of("lb", "be_c2s")

	def running(self):
		"""{node: version}, of those that are started."""
		found = {}
		for node in self.nodes:
			run = node.dir / "run-mim"
			pid = (run / "pid").read_text().split()[0]
			if (run / "status").read_text() == "started" and os.path.exists(f"/proc/{pid}"):
				found[node.name] = (run / "running").read_text()
		return found

	def serving(self):
		"""Servers that are ready and up."""
		return {name for name, s in self.servers().items() if s["status"] == "UP" and name != "sorry"}

	def on_which(self):
		return {user.places[-1] for user in self.users}

	def calls(self, node, words):
		return [line for line in (self.node(node).dir / "calls.log").read_text().splitlines() if line.startswith(words)]

	@contextlib.contextmanager
	def hold(self, table):
		"""A transaction that has looked at the table and stays open: no ALTER of it gets through meanwhile."""
		argv = ["psql", "-Xq", "-d", self.conninfo()] if self.kind == "pgsql" else ["mariadb", f"--defaults-file={self.db.root_cnf}", "--unbuffered", "-D", "mim"]
		with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.procs.env) as client:
			client.stdin.write(f"BEGIN; SELECT 'held' FROM {table} LIMIT 1;\n")
			client.stdin.flush()
			line = None
			while line != "held":
				line = client.stdout.readline()
				if not line:
					raise LabError(f"{argv[0]} ended and holds nothing")
				line = line.strip()
			yield
			client.stdin.write("ROLLBACK;\n")
			client.stdin.close()

	def altering(self):
		"""Statements of a migration that are in the database now."""
		if self.kind == "pgsql":
			return self.sql("SELECT query FROM pg_stat_activity WHERE application_name LIKE 'upgd-%' AND state = 'active'", database="")
		return self.sql("SELECT INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER%'")

	def kill_client(self, word, supervisor=False):
		"""The client program of a migration, by its arguments; as if its host had killed it. Its statement is not asked. supervisor: the runner's that would tell, before it."""
		deadline = time.monotonic() + 60
		while time.monotonic() < deadline:
			for entry in pathlib.Path("/proc").iterdir():
				if entry.name.isdigit():
					try:
						argv = (entry / "cmdline").read_bytes().split(b"\0")
						found = argv[0].rpartition(b"/")[2] in (b"psql", b"mariadb") and any(word.encode() in arg for arg in argv)
						ours = found and self.mark.encode() in (entry / "environ").read_bytes()
					except OSError:
						continue
					if ours:
						if supervisor:
							os.kill(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), 9)
						os.kill(int(entry.name), 9)
						return
			time.sleep(0.01)  # poll interval
		raise LabError(f"no client with {word}")


def _number(version):
	return tuple(int(part) for part in version.split("."))
