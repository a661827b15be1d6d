# SPDX-License-Identifier: MIT
"""A site with one Cloudreve: its directory, systemd's part of it, a real MariaDB for both versions' databases, a real HAProxy that has a page for the meantime."""

import json
import os
import pathlib
import subprocess
import sys

import templates
from sites import GLOBAL, MariaDB, Site
from visitors import page

HERE = pathlib.Path(__file__).resolve().parent
SALT = "a salt of long ago"

CFG = """
frontend web
	bind 127.0.0.1:{web}
	default_backend be_files

backend be_files
	option httpchk GET /
	{page}
	server n1 127.0.0.1:{app} check
"""

CONF = """[System]
Mode = master
Listen = :{app}
{system}

[Database]
Type = {kind}
Port = {port}
User = cloudreve
Password = cloudreve
Host = 127.0.0.1
Name = {name}
Charset = {charset}
{more}
"""


class Cloudreve(Site):
	system = "cloudreve"

	def __init__(self, directory=None, users=60, dirty=(), version="3.8.3", values=None, **options):
		"""users: what decides how much there is to migrate. dirty: see data.py. values: of upgd.conf, instead of those here."""
		super().__init__(directory, **options)
		self.users, self.dirty, self.version, self.values = users, list(dirty), version, dict(values or {})
		self.home = self.node("n1").dir / "home"
		self.db = None
		self.app = self.web = 0
		self.public = {}

	def build_site(self):
		self.app, self.web = self.ports.take(), self.ports.take()
		self.db = MariaDB(self).start()
		self.db.sql("CREATE USER cloudreve@'%' IDENTIFIED BY 'cloudreve'; GRANT ALL ON v3.* TO cloudreve@'%'; GRANT ALL ON v4.* TO cloudreve@'%';"
			"CREATE DATABASE v3 CHARACTER SET utf8mb4; CREATE DATABASE v4 CHARACTER SET utf8mb4")
		self.grant(self.db)
		for name in ("data", "fault"):
			(self.home / name).mkdir(parents=True)
		self.write_v3_conf()
		self.write_v4_conf()
		self.binary("cloudreve", self.version)
		self.binary("cloudreve_v4", "4.0.0")
		self.fill()
		self.tool("n1", HERE / "systemctl.py")
		self.write_balancer()
		self.start_haproxy("lb", (self.dir / "lb/lb.cfg").read_text())
		self.remote("n1", "systemctl", "start", "cloudreve")
		self.wait_until(lambda: self.servers_of("lb", "be_files")["n1"]["status"] == "UP", 20, "the balancer sees it UP")
		self.node("n1").columns.update(home=self.home, url=f"http://127.0.0.1:{self.app}")
		self.lead_to()

	def fill(self):
		self.public = json.loads(self.procs.run([sys.executable, HERE / "data.py", self.home, "--site", f"http://127.0.0.1:{self.web}", "--users", self.users,
			*(["--dirty", *self.dirty] if self.dirty else [])]))

	def grant(self, db):
		"""The accounts of upgd as the guide has them, and nothing more."""
		db.sql(f"CREATE USER admin@'%' IDENTIFIED BY '{self.mark}'; GRANT SELECT, SHOW VIEW, TRIGGER ON v3.* TO admin@'%'; GRANT CREATE, DROP ON v4.* TO admin@'%';"
			+ "".join(f"REVOKE SELECT ON *.* FROM upgd@'{host}'; GRANT SELECT ON v3.* TO upgd@'{host}'; GRANT SELECT ON v4.* TO upgd@'{host}';" for host in ("%", "localhost")))
		self.private(f"cnf/{db.name}-admin.cnf", templates.option_file(host="127.0.0.1", port=db.port, user="admin", password=self.mark))

	def lead_to(self, **databases):
		"""upgd.conf, with some of the databases v3, v4 and admin another server's."""
		server = {"v3": self.db, "v4": self.db, "admin": self.db, **databases}
		self.write_conf(databases={"v3": server["v3"], "v4": server["v4"]}, balancers={"main": ("be_files", ("lb",))}, values={
			"to": "4.0.0", "v3_db": "v3", "v4_db": "v4", "prefix": "cd_", "admin_cnf": self.dir / f"cnf/{server['admin'].name}-admin.cnf", "backup_dir": self.dir / "backup",
			"site": f"http://127.0.0.1:{self.web}", "haproxy_cfg": self.dir / "lb/lb.cfg", "samples": ",".join(self.public["links"]),
			**{f"share_{i}": key for i, key in enumerate(self.public["shares"], 1)}, "drain": "5s", "stop": "20s", "stall": "30s", "steady": "1s", **self.values})

	def copy(self):
		"""Another server with what the first one has."""
		other = MariaDB(self, "db2").start()
		dump = self.procs.run(["mysqldump", f"--defaults-file={self.db.root_cnf}", "--databases", "v3", "v4"])
		other.sql(dump)
		self.grant(other)
		return other

	def write_v3_conf(self, salt=SALT, name="v3"):
		(self.home / "conf.ini").write_text(CONF.format(kind="mysql", app=self.app, port=self.db.port, system=f"HashIDSalt = {salt}", name=name, charset="utf8mb4", more="TablePrefix = cd_"))

	def write_v4_conf(self, name="v4", charset="utf8mb4", more="", port=None, kind="mysql"):
		(self.home / "data/conf.ini").write_text(CONF.format(kind=kind, app=self.app, port=port or self.db.port, system="", name=name, charset=charset, more=more))

	def write_balancer(self, has_page=True):
		(self.dir / "lb/503.http").write_text("HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nmaintenance\r\n")
		(self.dir / "lb/lb.cfg").write_text(GLOBAL.format(sock=f"{self.dir}/lb/lb.sock")
			+ CFG.format(web=self.web, app=self.app, page=f"errorfile 503 {self.dir}/lb/503.http" if has_page else ""))

	def binary(self, name, version):
		"""A file that is this version, whatever it is called later."""
		path = self.home / name
		path.write_text(f"#!{sys.executable}\nimport sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, {str(HERE)!r})\n"
			f"import program\nsys.exit(program.main({version!r}, __file__))\n")
		os.chmod(path, 0o755)

	def hook(self, name, word):
		"""One of the stand-in (hook.py); None: no longer."""
		if word is None:
			(self.home / "fault" / name).unlink(missing_ok=True)
		else:
			(self.home / "fault" / name).write_text(word)

	def migrate(self, *more):
		"""By hand, as the documentation says: (exit code, what it printed)."""
		done = subprocess.run([self.home / "cloudreve_v4", "migrate", "--v3-conf", "conf.ini", "-c", "data/conf.ini", *more], cwd=self.home,
			env=self.procs.env, capture_output=True, text=True, check=False)
		return done.returncode, done.stdout + done.stderr

	def rows(self):
		"""{table: rows} of V4."""
		return {t: int(self.db.sql(f"SELECT COUNT(*) FROM v4.{t}")[0][0]) for t in ("users", "groups", "files", "entities", "shares", "dav_accounts", "direct_links")}

	def progress(self):
		"""What the state file says; {}: nothing, or not now."""
		try:
			return json.loads((self.home / "migration_state.json").read_text())
		except (OSError, ValueError):
			return {}

	def rows_or_none(self):
		"""None: V4 has no tables."""
		return self.rows() if self.db.sql("SHOW TABLES FROM v4") else None

	def user(self):
		"""Somebody who looks at the site all the time."""
		def word(status, headers, body):
			return headers.get("X-Lab-Version") or ("maintenance" if "maintenance" in body else f"error {status}")
		return self.visitor("web", page(f"http://127.0.0.1:{self.web}/", word))


