#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Starts and stops a lab (README.md beside this file says what one is).

  lab.py up DIR [--users N] [--upgd] [--for PID] …   starts it in the background, returns when it is ready
  lab.py down DIR                                    stops it, also when its keeper was killed
  lab.py run DIR …                                   the same in the foreground, until SIGINT or SIGTERM

Tests use class Lab. It owns the processes it starts; see procs.py for why none outlives it.
"""

import argparse
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import templates  # noqa: E402
from base import ROOT, Base  # noqa: E402
from procs import LabError, start_time, sweep, tail_of, wait_until  # noqa: E402
from sshd import Sshd  # noqa: E402

TOOLS = """registerserver listserver unregisterserver listdatabaseschema disableschema enableschema changeserver runupdate
listUpdateTasks checkdatabase forceupdatetask unblockdatabase reloadconfiguration upgradeschemata createcontext disablecontext
enablecontext systemctl apt-get dpkg-query""".split()
BALANCERS = ("lb1", "lb2", "sec")


@dataclass
class Node:
	name: str
	http: int
	rmi: int
	dir: pathlib.Path


class Lab(Base):
	folders = (*Base.folders, "packages")

	def __init__(self, directory=None, build=None, nodes=5, schemata=12, contexts=10, release="7.10.5-40", profile=None,
			env=None, data=(), state_file=False, seed=1, ssh=False, bare=False):
		"""
		directory: made if missing; None: a temporary one, removed at the end. contexts: mean of a schema. data: more arguments of data.py.
		ssh: upgd reaches its nodes through a real sshd. bare: nodes that are directories and a runner, no more; upgd.conf is the caller's.
		"""
		super().__init__(directory, build, env)
		self.profile = pathlib.Path(profile or ROOT / "conf/profiles/ox-appsuite.conf")
		self.release, self.schemata, self.contexts, self.seed = release, schemata, contexts, seed
		self.data_args, self.state_file = list(data), state_file
		self.has_health = json.loads((HERE / f"releases/{release}.json").read_text()).get("health", True)
		self.n_nodes = nodes
		self.users = self.sshd = None
		self.ssh, self.bare = ssh, bare
		self.capacity, self.summary = 0, {}

	# life

	def start(self):
		if not self.bare:
			self._missing()
		self._take_ports()
		self.begin()
		self._write_files()
		self.write_json(ready=False)
		if self.ssh:
			self.sshd = Sshd(self)
			self.sshd.start()
		if not self.bare:
			self._start_site()
			(self.dir / "upgd.conf").write_text(templates.upgd_conf(self))
		self.write_json(ready=True)

	def _start_site(self):
		self._start_databases()
		for name, backend, disabled in (("lb1", "be_ox", False), ("lb2", "be_ox", False), ("sec", "be_ox_new", True)):
			self._start_balancer(name, backend, disabled)
		for node in self.nodes:
			self.systemctl(node.name, "start")
		for node in self.nodes:
			self.wait_until(lambda node=node: self.is_healthy(node.name), 20, f"{node.name} is healthy")
		for name in ("lb1", "lb2"):
			self.wait_until(lambda name=name: all(s["status"] == "UP" for s in self.servers(name).values()), 10, f"{name} sees all nodes UP")

	def _missing(self):
		need = {"mariadbd": "mariadb-server-core", "mariadb-install-db": "mariadb-server-core", "mariadb": "mariadb-client-core",
			"my_print_defaults": "mariadb-client-core", "mysqldump": "mariadb-client", "haproxy": "haproxy"}
		path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
		missing = sorted({package for tool, package in need.items() if not shutil.which(tool, path=path)})
		if missing:
			raise LabError(f"not installed: {' '.join(missing)}")
		for program in ("tests/lab/node/lab-node", "tests/lab/node/lab-clt", "tests/lab/users/lab-users"):
			if not (self.build / program).exists():
				raise LabError(f"{self.build / program}: not built")

	def _take_ports(self):
		self.db_ports = [self.ports.take(), self.ports.take()]
		self.lb_ports = {name: self.ports.take() for name in BALANCERS}
		self.nodes = [Node(f"ox{i}", self.ports.take(), self.ports.take(), self.dir / f"nodes/ox{i}") for i in range(1, self.n_nodes + 1)]
		self.main_urls = [f"http://127.0.0.1:{self.lb_ports[name]}" for name in ("lb1", "lb2")]
		self.secondary_url = f"http://127.0.0.1:{self.lb_ports['sec']}"

	def _write_files(self):
		password, db1, db2 = uuid.uuid4().hex, *self.db_ports
		self.private("secrets/ox", uuid.uuid4().hex + "\n")
		self.private("cnf/node.password", password + "\n")
		self.private("cnf/node.cnf", templates.option_file(host="127.0.0.1", port=db1, user="openexchange", password=password))
		for name, port in (("configdb", db1), ("db1", db1), ("db2", db2)):
			self.private(f"cnf/{name}.cnf", templates.option_file(host="127.0.0.1", port=port, user="upgd", password=self.mark, **({"database": "configdb"} if name == "configdb" else {})))
		for n in (1, 2):
			self.private(f"cnf/root{n}.cnf", templates.option_file(socket=f"{self.dir}/db{n}.sock", user="root"))
		for release in (HERE / "releases").glob("*.json"):
			package = self.dir / "packages" / release.stem
			package.mkdir(exist_ok=True)
			shutil.copy(release, package / "release")
		for node in self.nodes:
			self._write_node(node)
		self.write_remote()

	def _write_node(self, node):
		for name in ("bin", "run", "fault", "versions", "etc/plugin"):
			(node.dir / name).mkdir(parents=True)
		for name, text in templates.properties("oxserver").items():
			(node.dir / "etc" / name).write_text(text)
		for tool in TOOLS:
			(node.dir / "bin" / tool).symlink_to(self.stand_ins / "tests/lab/node/lab-clt")
		shutil.copytree(self.dir / "packages" / self.release, node.dir / "versions" / self.release)
		(node.dir / "current").symlink_to(f"versions/{self.release}")
		(node.dir / "node.json").write_text(json.dumps({"name": node.name, "http": node.http, "rmi": node.rmi,
			"configdb": f"{self.dir}/cnf/node.cnf", "lab": str(self.dir)}))

	def _start_databases(self):
		user = ["--user=root"] if os.geteuid() == 0 else []
		size = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=24M", "--innodb-data-file-path=ibdata1:4M:autoextend", "--innodb-autoextend-increment=4"]
		# A mariadbd that starts removes every #sql file in its tmpdir, another server's too: never share /tmp.
		common = {n: ["--no-defaults", *user, *size, f"--datadir={self.dir}/db{n}", f"--tmpdir={self.dir}/tmp{n}"] for n in (1, 2)}
		for n in (1, 2):
			(self.dir / f"tmp{n}").mkdir()
		install = self.procs.start("install", ["mariadb-install-db", *common[1], "--force", "--skip-test-db",
			"--auth-root-authentication-method=normal", "--skip-name-resolve"])
		wait_until(lambda: not install.alive(), 60, "mariadb-install-db ends", lambda: tail_of(install.log))
		if install.popen.returncode:
			raise LabError(f"mariadb-install-db: exit {install.popen.returncode}\n{tail_of(install.log)}")
		self.procs.children.remove(install)
		shutil.copytree(self.dir / "db1", self.dir / "db2")
		servers = [self.procs.start(f"db{n}", ["mariadbd", *common[n], f"--socket={self.dir}/db{n}.sock",
			f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={self.dir}/db{n}.pid", "--skip-name-resolve", f"--server-id={n}",
			"--max-connections=400", "--performance-schema=OFF", "--innodb-flush-log-at-trx-commit=2", "--thread-cache-size=64",
			"--log-bin=binlog", "--max-binlog-size=4M", "--innodb-lock-wait-timeout=10"]) for n, port in enumerate(self.db_ports, 1)]
		account = "".join(f"CREATE USER upgd@'{host}' IDENTIFIED BY '{self.mark}';\n"
			f"GRANT SELECT, PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO upgd@'{host}';\n" for host in ("%", "localhost"))
		for n, server in enumerate(servers, 1):
			self.procs.wait(server, lambda n=n: self._answers(n), 30, f"db{n} answers")
			self.procs.run(["mariadb", f"--defaults-file={self.dir}/cnf/root{n}.cnf"], text=account)
		self.summary = json.loads(self.procs.run([sys.executable, HERE / "data.py", "--cnf", f"{self.dir}/cnf/root1.cnf", "--port", self.db_ports[0],
			"--cnf2", f"{self.dir}/cnf/root2.cnf", "--port2", self.db_ports[1], "--password-file", f"{self.dir}/cnf/node.password",
			"--schemata", self.schemata, "--contexts", self.contexts, "--seed", self.seed, "--release", HERE / f"releases/{self.release}.json", *self.data_args]))
		self.capacity = -(-self.summary["contexts"] // max(1, self.n_nodes - 1))

	def _answers(self, n):
		with socket.socket(socket.AF_UNIX) as s:
			s.settimeout(5)
			try:
				s.connect(f"{self.dir}/db{n}.sock")
				return s.recv(1)
			except OSError:
				return False

	def _start_balancer(self, name, backend, disabled):
		if self.state_file:
			(self.dir / f"lb/{name}.state").touch()
		self.start_haproxy(name, templates.haproxy(self, name, self.lb_ports[name], backend, disabled))

	# what is there

	def facts(self):
		return {"main": self.main_urls, "secondary": self.secondary_url, "release": self.release, "summary": self.summary,
			"nodes": {n.name: {"http": n.http, "rmi": n.rmi} for n in self.nodes}}

	def remote_argv(self):
		return self.sshd.argv() if self.sshd else super().remote_argv()

	def systemctl(self, node, verb):
		return self.remote(node, "systemctl", verb, "open-xchange")

	def health(self, node):
		"""(status, document) of its /health; (0, None) if there is no answer."""
		try:
			with urllib.request.urlopen(f"http://127.0.0.1:{self.node(node).http}/health", timeout=3) as answer:
				return answer.status, json.load(answer)
		except urllib.error.HTTPError as e:
			return e.code, None
		except (OSError, ValueError):
			return 0, None

	def is_healthy(self, node):
		return self.health(node)[0] == (200 if self.release_has_health(node) else 404)

	def release_has_health(self, node):
		return json.loads((self.node(node).dir / "current/release").read_text()).get("health", True)

	def node_pid(self, node):
		return int((self.node(node).dir / "node.pid").read_text().split()[0])

	def sql(self, query, server=1):
		"""Rows as lists of str, as root; NULL is the text NULL."""
		out = self.procs.run(["mariadb", f"--defaults-file={self.dir}/cnf/root{server}.cnf", "--batch", "--skip-column-names", "-e", query])
		return [line.split("\t") for line in out.splitlines()]

	def servers(self, name):
		"""{server: row of show stat} of a balancer's one backend."""
		return self.servers_of(name, "be_ox_new" if name == "sec" else "be_ox")

	def set_server(self, name, server, state):
		backend = "be_ox_new" if name == "sec" else "be_ox"
		answer = self.lb(name, f"set server {backend}/{server} state {state}").strip()
		if answer:
			raise LabError(f"{name}: set server {server} state {state}: {answer}")

	# users

	def start_users(self, count=200, min_ms=50, max_ms=200, timeout_ms=15000):
		"""Returns when each has its session. Tenants that are off get one user each, of class off."""
		rows = self.sql("SELECT c.cid, IFNULL(c.enabled, 0), p.db_schema FROM configdb.context c JOIN configdb.context_server2db_pool p USING (cid) ORDER BY c.cid")
		on = [r for r in rows if r[1] == "1"]
		# every schema gets its share, whatever its size
		by_schema = {}
		for row in on:
			by_schema.setdefault(row[2], []).append(row)
		picked = []
		while on and len(picked) < count:
			for members in by_schema.values():
				if len(picked) < count:
					picked.append(members[len(picked) // len(by_schema) % len(members)])
		lines = [f"user{i}@tenant{cid}.example\tsecret\t{cid}\t{schema}\tuser" for i, (cid, _, schema) in enumerate(picked)]
		lines += [f"user@tenant{cid}.example\tsecret\t{cid}\t{schema}\toff" for cid, enabled, schema in rows if enabled != "1"]
		(self.dir / "users.tsv").write_text("".join(line + "\n" for line in lines))
		(self.dir / "users.json").unlink(missing_ok=True)
		argv = [self.stand_ins / "tests/lab/users/lab-users", "--users", f"{self.dir}/users.tsv", "--json", f"{self.dir}/users.json",
			"--log", f"{self.dir}/users.log", "--secondary", self.secondary_url, "--min-ms", min_ms, "--max-ms", max_ms, "--timeout-ms", timeout_ms]
		for url in self.main_urls:
			argv += ["--main", url]
		self.users = self.procs.start("users", argv)
		self.procs.wait(self.users, lambda: self.users_summary().get("sessions", 0) == len(picked), 60, "every user has a session")

	def users_summary(self):
		try:
			return json.loads((self.dir / "users.json").read_text())
		except FileNotFoundError:
			return {}

	def stop_users(self):
		"""Their last summary."""
		code = self.users.stop()
		self.procs.children.remove(self.users)
		self.users = None
		if code:
			raise LabError(f"lab-users ended with {code}\n{tail_of(self.dir / 'log/users.log')}")
		return self.users_summary()

	def seen(self):
		return ["users: " + json.dumps(self.users_summary(), indent=1)] if (self.dir / "users.json").exists() else []


# command line


def lab_of(args):
	return Lab(args.dir, build=args.build, nodes=args.nodes, schemata=args.schemata, contexts=args.contexts, release=args.release)


def run(args):
	"""Until SIGINT or SIGTERM, or until the process --for is gone."""
	def leave(*_):
		raise SystemExit(0)
	signal.signal(signal.SIGTERM, leave)
	signal.signal(signal.SIGINT, leave)
	watched = os.pidfd_open(args.watch) if args.watch else None
	lab = lab_of(args)
	try:
		lab.start()
		if args.users:
			lab.start_users(args.users)
		if args.upgd:
			lab.start_upgd()
		lab.write_json(ready=True)
		(lab.dir / "up").touch()
		select.select([watched] if watched else [], [], [])
	finally:
		signal.signal(signal.SIGTERM, signal.SIG_IGN)
		signal.signal(signal.SIGINT, signal.SIG_IGN)
		lab.stop()


def up(args):
	directory = pathlib.Path(args.dir)
	directory.mkdir(parents=True, exist_ok=True)
	argv = [sys.executable, __file__, "run", *sys.argv[2:]]
	with open(directory / "keeper.log", "ab") as log:
		keeper = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
	try:
		deadline = time.monotonic() + 120
		while not (directory / "up").exists():
			if keeper.poll() is not None:
				sys.exit(f"the lab did not come up:\n{(directory / 'keeper.log').read_text()}")
			if time.monotonic() > deadline:
				raise LabError(f"the lab is not up after 120 s\n{tail_of(directory / 'keeper.log')}")
			time.sleep(0.05)  # poll interval
	except BaseException:
		keeper.terminate()
		keeper.wait()
		raise


def down(args):
	path = pathlib.Path(args.dir) / "lab.json"
	if not path.exists():
		return
	lab = json.loads(path.read_text())
	if start_time(lab["keeper"]) == lab["keeper_started"]:
		os.kill(lab["keeper"], signal.SIGTERM)
		wait_until(lambda: start_time(lab["keeper"]) != lab["keeper_started"], 60, "the lab's keeper ends")
	for pid, command in sweep(lab["mark"]).items():
		print(f"ended {pid} {command}")


def upgd(args):
	"""upgd once more, after somebody ended it."""
	path = pathlib.Path(args.dir).resolve()
	if not (path / "lab.json").exists():
		raise LabError(f"{path} is no lab: there is no lab.json")
	lab = json.loads((path / "lab.json").read_text())
	with open(path / "log/upgd.log", "ab") as log:
		process = subprocess.Popen([f"{lab['build']}/daemon/upgd", "-c", path / "upgd.conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
			env={**os.environ, "UPGD_LAB_MARK": lab["mark"]}, start_new_session=True)
	print(f"upgd starts (pid {process.pid}); its log is {path / 'log/upgd.log'}")


def main():
	parser = argparse.ArgumentParser(description="Starts and stops a lab.")
	verbs = parser.add_subparsers(dest="verb", required=True)
	for name, function in (("up", up), ("run", run), ("down", down), ("upgd", upgd)):
		verb = verbs.add_parser(name)
		verb.set_defaults(function=function)
		verb.add_argument("dir")
		if name in ("down", "upgd"):
			continue
		verb.add_argument("--build")
		verb.add_argument("--nodes", type=int, default=5)
		verb.add_argument("--schemata", type=int, default=12)
		verb.add_argument("--contexts", type=int, default=10, help="mean of a schema")
		verb.add_argument("--release", default="7.10.5-40")
		verb.add_argument("--users", type=int, default=0)
		verb.add_argument("--upgd", action="store_true")
		verb.add_argument("--for", dest="watch", type=int, help="stop when this process is gone")
	args = parser.parse_args()
	try:
		args.function(args)
	except LabError as e:
		sys.exit(f"lab: {e}")


if __name__ == "__main__":
	main()
