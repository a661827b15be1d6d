# SPDX-License-Identifier: MIT
"""
One OMERO site: OMERO.server and OMERO.web on one node, PostgreSQL, HAProxy in front of both (tcp 4064, http). LAB/nodes/n1/omero_dist is what runs,
LAB/nodes/n1/omero_dist_new the release that was unpacked beside it.
"""

import os
import pathlib
import shutil
import sys

from omero import data
from sites import Postgres, Site
from visitors import page, port

HERE = pathlib.Path(__file__).resolve().parent

CFG = """
frontend fe_server
	mode tcp
	bind 127.0.0.1:{fe_server}
	default_backend be_server

backend be_server
	mode tcp
	option tcp-check
	server n1 127.0.0.1:{server} check

frontend fe_web
	bind 127.0.0.1:{fe_web}
	default_backend be_web

backend be_web
	option httpchk GET /
{errorfile}	server n1 127.0.0.1:{web} check
"""
PAGE = "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>OMERO is being upgraded</h1>\r\n"

TOOL = """#!/bin/sh
case "$*" in *"$(cat {lab}/fault/{name}.words 2>/dev/null || echo no such words)"*) flock {lab}/fault/{name}.lock true ;; esac
case "$*" in *.dump*) [ -e {lab}/fault/{name}.cut ] ;; *) false ;; esac || exec {real} "$@"
rm {lab}/fault/{name}.cut
{real} "$@" && for last in "$@"; do case $last in *.dump) truncate -s -300 "$last" ;; esac; done
"""


class Omero(Site):
	system = "omero"

	def __init__(self, directory=None, build=None, old="4.1.1", new="4.3.3", level=None, images=400, dirty=(), errorfile=True, wait="5", values=None, **more):
		"""level: of the database, where it is not that of `old`. dirty: names of data.DIRTY. errorfile: haproxy.cfg answers for a site that is down."""
		super().__init__(directory, build, **more)
		self.old, self.new, self.images, self.dirty, self.errorfile, self.values = old, new, images, dirty, errorfile, values or {}
		self.level = level or {"3.2": "OMERO3A__11", "4.0": "OMERO4__0"}.get(old[:3], f"OMERO{old[:3]}__0")
		self.env["STANDIN_WAIT"] = wait
		self.pg = None

	@property
	def home(self):
		return self.node("n1").dir

	def build_site(self):
		self.pg = Postgres(self).start()
		data.create(self.pg, "omero", self.level, self.images, self.dirty)
		self.server, self.web, self.fe_server, self.fe_web = (self.ports.take() for _ in range(4))
		self.make_dist("omero_dist", self.old)
		self.make_dist("omero_dist_new", self.new)
		(self.home / "omero_dist_new/etc/grid/config.xml").unlink()
		shutil.copytree(data.SQL, self.dir / "sql")  # a copy for the host of upgd
		(self.dir / "lb/503.http").write_text(PAGE)
		self.start_balancer("lb", CFG.format(**self.__dict__ | {"errorfile": f"\terrorfile 503 {self.dir}/lb/503.http\n" if self.errorfile else ""}))
		for words in (("admin", "start"), ("web", "syncmedia"), ("web", "start")):
			self.omero(*words)
		self.wait_until(self.is_let_in, 20, "HAProxy sees both up")
		pg = f"host=127.0.0.1 port={self.pg.port} user=omero"
		self.write_conf(values={"pg": pg, "home": self.home, "backup_dir": f"{self.dir}/backup", "sql": self.dir / "sql", "haproxy_cfg": f"{self.dir}/lb/lb.cfg",
			"web": f"http://127.0.0.1:{self.web}/webclient/", "drain": "1s", **self.values},
			balancers={"server": ("be_server", ["lb"]), "web": ("be_web", ["lb"])})

	def start_upgd(self, *more, env=None, program=None):
		"""Its own tasks find psql and its like through LAB/bin: where fault NAME.words is in
		their command they wait for the lock LAB/fault/NAME.lock, and fault NAME.cut cuts the end of a dump off."""
		(self.dir / "bin").mkdir(exist_ok=True)
		for name in ("psql", "pg_dump", "pg_restore"):
			path = self.dir / "bin" / name
			path.write_text(TOOL.format(lab=self.dir, name=name, real=self.pg.bin / name))
			os.chmod(path, 0o755)
		super().start_upgd(*more, env={"PATH": f"{self.dir}/bin:{os.environ['PATH']}", **(env or {})}, program=program)

	def make_dist(self, name, version):
		dist = self.home / name
		for folder in ("bin", "etc/grid", "var"):
			(dist / folder).mkdir(parents=True)
		(dist / "VERSION").write_text(version + "\n")
		(dist / "bin/omero").write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/omero.py "${{0%/bin/omero}}" "$@"\n')
		os.chmod(dist / "bin/omero", 0o755)
		values = {"omero.db.host": "127.0.0.1", "omero.db.port": self.pg.port, "omero.db.user": "omero", "omero.db.pass": "secret",
			"omero.ports.ssl": self.server, "omero.web.application_server.port": self.web}
		rows = "".join(f'<property name="{k}" value="{v}"/>' for k, v in values.items())
		(dist / "etc/grid/config.xml").write_text(f'<icegrid><properties id="default">{rows}</properties></icegrid>\n')

	def omero(self, *words, dist="omero_dist"):
		return self.remote("n1", self.home / dist / "bin/omero", *words)

	def is_let_in(self):
		return all(s["status"] == "UP" for backend in ("be_server", "be_web") for s in self.servers_of("lb", backend).values())

	def dbpatch(self, database="omero"):
		return self.pg.value("SELECT currentversion || '__' || currentpatch FROM dbpatch ORDER BY id DESC LIMIT 1", database)

	def databases(self):
		return sorted(row[0] for row in self.pg.sql("SELECT datname FROM pg_database WHERE datname LIKE 'omero%'"))

	def wait_back(self, unit):
		"""The whole rollout went back and rests, for that unit: what explain says of it."""
		self.wait_until(lambda: "is back on the old version, and rests" in self.upgctl("status", codes=None), 120, f"it is back, for {unit}")
		return self.upgctl("explain", unit)

	def start_visitors(self):
		def word(status, _, body):
			return body.strip().removeprefix("OMERO.web ") if status == 200 else "maintenance" if "being upgraded" in body else f"error {status}"
		for visitor in (self.visitor("web", page(f"http://127.0.0.1:{self.fe_web}/", word)), self.visitor("server", port(self.fe_server))):
			visitor.wait_for(self.old if visitor.name.endswith("web") else f"OMERO.server {self.old} images={self.images}")
		return self.visitors
