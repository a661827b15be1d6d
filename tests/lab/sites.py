# SPDX-License-Identifier: MIT
"""
A small site of any system: what the labs of Pydio Cells, Cloudreve, OMERO and MongooseIM share. A system's own is a class in
tests/lab/SYSTEM/site.py that says in build_site() what runs there:

  class Omero(Site):
    system = "omero"                                # conf/profiles/omero.conf
    def build_site(self):
      self.pg = Postgres(self).start()              # databases.py; MariaDB(self) likewise
      self.tool("om1", HERE / "omero.py", "omero")  # a stand-in, in that node's PATH
      self.start_balancer("lb", "frontend …")
      self.write_conf(vars={…}, balancers={…})      # upgd.conf

Then start_upgd(), upgctl(), visitor(name, page(…)), remote(node, program, …), fault(name, word, node).
"""

import os
import pathlib
import shlex
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import templates  # noqa: E402
from base import ROOT, Base  # noqa: E402
from databases import MariaDB, Postgres  # noqa: E402,F401  pylint: disable=unused-import
from visitors import Visitor  # noqa: E402

GLOBAL = """global
	stats socket {sock} mode 600 level admin
	stats timeout 30s
	log stdout format raw local0
	maxconn 1000
	nbthread 1
	hard-stop-after 20s

defaults
	mode http
	log global
	option dontlog-normal
	timeout connect 2s
	timeout client 60s
	timeout server 60s
	timeout queue 5s
	timeout http-request 10s
	timeout check 2s
	default-server inter 200ms rise 1 fall 2

"""


@dataclass
class Node:
	name: str
	dir: pathlib.Path
	columns: dict


class Site(Base):
	system = None  # the profile's name
	n_nodes = 1

	def __init__(self, directory=None, build=None, nodes=None, profile=None, env=None):
		"""nodes: how many. env: of all that runs on a node; build_site() may add to self.env before it calls write_remote() again."""
		super().__init__(directory, build, env)
		self.profile = pathlib.Path(profile or ROOT / f"conf/profiles/{self.system}.conf")
		for i in range(1, (nodes or self.n_nodes) + 1):
			self.nodes.append(Node(f"n{i}", self.dir / f"nodes/n{i}", {}))
		self.visitors = []

	# life

	def start(self):
		self.begin()
		for node in self.nodes:
			for name in ("bin", "run", "fault"):
				(node.dir / name).mkdir(parents=True)
		self.write_remote()
		self.write_json(ready=False)
		self.build_site()
		self.write_json(ready=True)

	def build_site(self):
		"""What runs there before upgd comes; at its end upgd.conf is written."""
		raise NotImplementedError

	def stop(self):
		for visitor in self.visitors:
			visitor.leave()
		return super().stop()

	def seen(self):
		return [f"{v.name} saw {v.told()}" for v in self.visitors]

	# what build_site() is made of

	def tool(self, node, program, name=None):
		"""A stand-in in the node's PATH, as `name`: a program of ours, or a Python file."""
		program = pathlib.Path(program)
		path = self.node(node).dir / "bin" / (name or program.stem)
		start = f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}" if program.suffix == ".py" else shlex.quote(str(program))
		path.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
		os.chmod(path, 0o755)

	def start_balancer(self, name, text):
		"""`text`: what comes after global and defaults (mode http)."""
		self.start_haproxy(name, GLOBAL.format(sock=f"{self.dir}/lb/{name}.sock") + text)

	def write_conf(self, values=None, balancers=None, databases=None, more=""):
		"""
		upgd.conf. values: its vars. balancers: {name: (backend, (balancer, …))}. databases: {name: MariaDB} or {name: (MariaDB, "database")}.
		A node's columns are those of node.columns.
		"""
		d = self.dir
		nodes = ",\n".join("\t{ " + "".join(f"{k} = {_text(v)}; " for k, v in {"name": n.name, "host": "127.0.0.1", **n.columns}.items()) + "}" for n in self.nodes)
		local = [f"{self.build}/runner/upgd-run", "serve", "--state", f"{d}/state/run", "--secrets", f"{d}/secrets"]
		text = f"""cluster = "lab";
profile = {_text(self.profile)};
state_dir = "{d}/state";
socket = "{d}/upgd.sock";
nodes = (
{nodes}
);
remote = {{ argv = {templates.strings(self.remote_argv())}; }};
local_runner = {templates.strings(local)};
pace = {{ watch = "200ms"; observe = "500ms"; in_flight = 8; }};
"""
		if balancers:
			rows = "".join(f"\t{name} = {{ backend = {_text(backend)}; sockets = {templates.strings(f'{d}/lb/{b}.sock' for b in of)};"
				f" masters = {templates.strings(f'{d}/lb/{b}-master.sock' for b in of)}; }};\n" for name, (backend, of) in balancers.items())
			text += f"balancers = {{\n{rows}}};\n"
		if databases:
			rows = "".join(f"\t{name} = {{ option_file = {_text(self._option_file(name, db))}; }};\n" for name, db in databases.items())
			text += f"databases = {{\n{rows}}};\n"
		if values:
			text += "vars = {\n" + "".join(f"\t{k} = {_text(v)};\n" for k, v in values.items()) + "};\n"
		(d / "upgd.conf").write_text(text + more)

	def _option_file(self, name, db):
		server, database = db if isinstance(db, tuple) else (db, None)
		if database is None:
			return server.cnf
		self.private(f"cnf/{name}-of-upgd.cnf", server.cnf.read_text() + f"database={database}\n")
		return self.dir / f"cnf/{name}-of-upgd.cnf"

	def visitor(self, name, visit, every=0.05):
		"""Comes until the site is stopped, or leave()."""
		self.visitors.append(Visitor(name, visit, every))
		return self.visitors[-1]


def _text(value):
	return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
