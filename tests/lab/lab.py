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
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import templates  # noqa: E402
from ports import Ports  # noqa: E402
from procs import MARK, LabError, Procs, SLOW, start_time, sweep, tail_of, wait_until  # noqa: E402
from sshd import Sshd  # noqa: E402

TOOLS = """registerserver listserver unregisterserver listdatabaseschema disableschema enableschema changeserver runupdate
listUpdateTasks checkdatabase forceupdatetask unblockdatabase reloadconfiguration upgradeschemata createcontext disablecontext
enablecontext systemctl apt-get dpkg-query""".split()
BALANCERS = ("lb1", "lb2", "sec")
PATH_MAX = 108 - len("/lb/lb1-master.sock.12345678.tmp")  # sun_path; HAProxy binds a longer name first, then renames


@dataclass
class Node:
	name: str
	http: int
	rmi: int
	dir: pathlib.Path


class Lab:
	def __init__(self, directory=None, build=None, nodes=5, schemata=12, contexts=10, release="7.10.5-40", profile=None,
			env=None, data=(), state_file=False, seed=1, ssh=False, bare=False):
		"""
		directory: made if missing; None: a temporary one, removed at the end. contexts: mean of a schema. data: more arguments of data.py.
		ssh: upgd reaches its nodes through a real sshd. bare: nodes that are directories and a runner, no more; upgd.conf is the caller's.
		"""
		self.is_temporary = directory is None
		self.dir = pathlib.Path(tempfile.mkdtemp(prefix="upgd-lab-") if directory is None else directory).resolve()
		if len(str(self.dir)) > PATH_MAX:
			raise LabError(f"{self.dir}: too long for Unix sockets in it; at most {PATH_MAX} characters")
		self.build = pathlib.Path(build or os.environ.get("UPGD_BUILD") or ROOT / "build").resolve()
		self.stand_ins = pathlib.Path(os.environ.get("UPGD_STAND_INS") or self.build).resolve()
		self.profile = pathlib.Path(profile or ROOT / "conf/profiles/ox-appsuite.conf")
		self.release, self.schemata, self.contexts, self.seed = release, schemata, contexts, seed
		self.data_args, self.state_file, self.env = list(data), state_file, dict(env or {})
		self.has_health = json.loads((HERE / f"releases/{release}.json").read_text()).get("health", True)
		self.n_nodes = nodes
		self.mark = uuid.uuid4().hex
		self.ports = Ports()
		self.procs = self.users = self.upgd = self.sshd = None
		self.ssh, self.bare = ssh, bare
		self.nodes, self.capacity, self.summary = [], 0, {}

	def __enter__(self):
		try:
			self.start()
		except BaseException:
			self.stop()
			raise
		return self

	def __exit__(self, *_):
		self.stop()

	# life

	def start(self):
		for name in ("log", "cnf", "lb", "secrets", "state", "backup", "fault", "packages"):
			(self.dir / name).mkdir(parents=True, exist_ok=True)
		if (self.dir / "lab.json").exists():
			raise LabError(f"{self.dir}: a lab was here before; take another directory or remove it")
		os.chmod(self.dir / "secrets", 0o700)
		if not self.bare:
			self._missing()
		self._take_ports()
		self.procs = Procs(self.mark, self.dir / "log", self.ports.fds())
		for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
			self.procs.env[name] = f"{os.environ.get(name, '')}:log_path={self.dir}/log/memory"
		self.procs.watch(self.dir if self.is_temporary else None)
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

	def stop(self):
		"""Ends everything, in reverse order. Returns {pid: command} of what only the sweep found."""
		found = {}
		try:
			if self.procs is not None:
				found = self.procs.stop()
		finally:
			self.procs = None
			self.ports.close()
			if self.is_temporary:
				shutil.rmtree(self.dir, ignore_errors=True)
		return found

	def _missing(self):
		need = {"mariadbd": "mariadb-server-core", "mariadb-install-db": "mariadb-server-core", "mariadb": "mariadb-client-core",
			"my_print_defaults": "mariadb-client-core", "mysqldump": "mariadb-client", "haproxy": "haproxy"}
		path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
		os.environ["PATH"] = path if "/usr/sbin" not in os.environ.get("PATH", "").split(":") else os.environ["PATH"]
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

	def _private(self, path, text):
		with open(os.open(self.dir / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
			out.write(text)

	def _write_files(self):
		password, db1, db2 = uuid.uuid4().hex, *self.db_ports
		self._private("secrets/ox", uuid.uuid4().hex + "\n")
		self._private("cnf/node.password", password + "\n")
		self._private("cnf/node.cnf", templates.option_file(host="127.0.0.1", port=db1, user="openexchange", password=password))
		for name, port in (("configdb", db1), ("db1", db1), ("db2", db2)):
			self._private(f"cnf/{name}.cnf", templates.option_file(host="127.0.0.1", port=port, user="upgd", password=self.mark, **({"database": "configdb"} if name == "configdb" else {})))
		for n in (1, 2):
			self._private(f"cnf/root{n}.cnf", templates.option_file(socket=f"{self.dir}/db{n}.sock", user="root"))
		for release in (HERE / "releases").glob("*.json"):
			package = self.dir / "packages" / release.stem
			package.mkdir(exist_ok=True)
			shutil.copy(release, package / "release")
		for node in self.nodes:
			self._write_node(node)
		(self.dir / "remote").write_text(templates.remote(self, MARK))
		os.chmod(self.dir / "remote", 0o755)

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
		cfg = self.dir / "lb" / f"{name}.cfg"
		cfg.write_text(templates.haproxy(self, name, self.lb_ports[name], backend, disabled))
		if self.state_file:
			(self.dir / f"lb/{name}.state").touch()
		process = self.procs.start(name, ["haproxy", "-W", "-S", f"{self.dir}/lb/{name}-master.sock,mode,600", "-f", cfg])
		self.procs.wait(process, lambda: self.lb(name, "show info", missing=""), 10, f"{name} answers on its socket")

	# what is there

	def wait_until(self, condition, seconds, what):
		return wait_until(condition, seconds, what, self.tails)

	def tails(self):
		"""The ends of all logs, for the report of a failure."""
		logs = sorted((self.dir / "log").glob("*.log")) + sorted(self.dir.glob("nodes/*/node.log"))
		return "\n".join(tail_of(p, 4 if p.name.startswith(("db", "install")) else 25) for p in logs if p.stat().st_size)

	def write_json(self, ready):
		text = json.dumps({"ready": ready, "mark": self.mark, "keeper": os.getpid(), "keeper_started": start_time(os.getpid()), "dir": str(self.dir),
			"build": str(self.build), "main": self.main_urls, "secondary": self.secondary_url, "release": self.release, "summary": self.summary,
			"nodes": {n.name: {"http": n.http, "rmi": n.rmi} for n in self.nodes}, "pids": {p.name: p.pid for p in self.procs.children}}, indent=1)
		(self.dir / "lab.json.new").write_text(text + "\n")
		os.rename(self.dir / "lab.json.new", self.dir / "lab.json")

	def serve_argv(self, node):
		"""Of the runner on a node; its own tools are found by LAB/remote."""
		return ["upgd-run", "serve", "--state", f"{self.dir}/nodes/{node}/run", "--secrets", f"{self.dir}/secrets"]

	def remote_argv(self):
		"""upgd.conf's remote."""
		return self.sshd.argv() if self.sshd else [f"{self.dir}/remote", "${node.name}", *self.serve_argv("${node.name}")]

	def node(self, name):
		return next(n for n in self.nodes if n.name == name)

	def remote(self, node, *argv, seconds=60):
		return self.procs.run([self.dir / "remote", node, *argv], seconds=seconds)

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

	def lb(self, name, command, missing=None):
		"""One command on a balancer's runtime socket, e.g. lb("lb1", "show info"). missing: what to return if nothing answers."""
		try:
			with socket.socket(socket.AF_UNIX) as s:
				s.settimeout(5)
				s.connect(f"{self.dir}/lb/{name}.sock")
				s.sendall(command.encode() + b"\n")
				return b"".join(iter(lambda: s.recv(65536), b"")).decode()
		except OSError:
			if missing is None:
				raise
			return missing

	def servers(self, name):
		"""{server: row of show stat} of a balancer's one backend."""
		backend = "be_ox_new" if name == "sec" else "be_ox"
		lines = self.lb(name, f"show stat {backend} 4 -1").strip().splitlines()
		keys = lines[0].lstrip("# ").split(",")
		return {row["svname"]: row for row in (dict(zip(keys, line.split(","))) for line in lines[1:])}

	def set_server(self, name, server, state):
		backend = "be_ox_new" if name == "sec" else "be_ox"
		answer = self.lb(name, f"set server {backend}/{server} state {state}").strip()
		if answer:
			raise LabError(f"{name}: set server {server} state {state}: {answer}")

	def reload_lb(self, name):
		"""As `systemctl reload haproxy`; returns when the new worker answers."""
		process = next(p for p in self.procs.children if p.name == name)
		pid = self.info(name)["Pid"]
		os.kill(process.pid, signal.SIGUSR2)
		self.wait_until(lambda: self.info(name).get("Pid", pid) != pid, 10, f"{name} has a new worker")

	def info(self, name):
		return dict(line.split(": ", 1) for line in self.lb(name, "show info", missing="").splitlines() if ": " in line)

	def fault(self, name, word, node=None):
		"""Sets a fault of README.md's list; None clears it."""
		path = (self.node(node).dir if node else self.dir) / "fault" / name
		if word is None:
			path.unlink(missing_ok=True)
		else:
			path.write_text(word + "\n")

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

	def memory_reports(self):
		"""What sanitizers of our programs, or UPGD_WRAP's program, wrote; "" if they have nothing to say."""
		return "\n".join(p.read_text(errors="replace") for p in sorted(self.dir.glob("log/memory.*")) if p.stat().st_size)

	# upgd

	def start_upgd(self, *more, env=None, program=None):
		"""Returns when its socket answers."""
		wrap = shlex.split(os.environ.get("UPGD_WRAP", "").replace("{lab}", str(self.dir)))
		self.upgd = self.procs.start("upgd", [*wrap, program or self.build / "daemon/upgd", "-c", self.dir / "upgd.conf", *more], env)
		self.procs.wait(self.upgd, self._upgd_answers, 60, "upgd answers on its socket")

	def _upgd_answers(self):
		with socket.socket(socket.AF_UNIX) as s:
			try:
				s.connect(f"{self.dir}/upgd.sock")
				return True
			except OSError:
				return False

	def kill_upgd(self):
		self.stop_upgd(signal.SIGKILL)

	def stop_upgd(self, signum=signal.SIGTERM, seconds=30):
		"""Its exit code; negative: by that signal."""
		code = self.upgd.stop(signum, seconds)
		self.procs.children.remove(self.upgd)
		self.upgd = None
		return code

	def upgctl_argv(self, *args):
		return [str(self.build / "ctl/upgctl"), "--socket", f"{self.dir}/upgd.sock", *map(str, args)]

	def upgctl(self, *args, seconds=60, codes=(0,)):
		"""Its stdout. LabError if the exit code is none of these (None: any)."""
		done = subprocess.run(self.upgctl_argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.procs.env, timeout=seconds * SLOW, check=False)
		if codes is not None and done.returncode not in codes:
			raise LabError(f"upgctl {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
		return done.stdout


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
