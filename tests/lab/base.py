# SPDX-License-Identifier: MIT
"""
What every lab has, whichever system it is of: a directory, a mark, ports, processes with their logs, nodes that are directories reached by LAB/remote,
balancers on their sockets, upgd and upgctl. Class Lab (lab.py) is the site of App Suite, class Site (sites.py) a small one of any system.
"""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

import templates
from ports import Ports
from procs import MARK, LabError, Procs, SLOW, start_time, tail_of, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH_MAX = 108 - len("/lb/lb1-master.sock.12345678.tmp")  # sun_path; HAProxy binds a longer name first, then renames


class Base:
	folders = ("log", "cnf", "lb", "secrets", "state", "backup", "fault")

	def __init__(self, directory=None, build=None, env=None):
		"""directory: made if missing; None: a temporary one, removed at the end. env: of whatever runs on a node."""
		self.is_temporary = directory is None
		self.dir = pathlib.Path(tempfile.mkdtemp(prefix="upgd-lab-") if directory is None else directory).resolve()
		if len(str(self.dir)) > PATH_MAX:
			raise LabError(f"{self.dir}: too long for Unix sockets in it; at most {PATH_MAX} characters")
		self.build = pathlib.Path(build or os.environ.get("UPGD_BUILD") or ROOT / "build").resolve()
		self.stand_ins = pathlib.Path(os.environ.get("UPGD_STAND_INS") or self.build).resolve()
		self.env = dict(env or {})
		self.mark = uuid.uuid4().hex
		self.ports = Ports()
		self.procs = self.upgd = None
		self.nodes = []

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
		raise NotImplementedError

	def begin(self):
		"""The directory, and processes that carry the mark; ports must have been taken, the guard holds their locks."""
		for name in self.folders:
			(self.dir / name).mkdir(parents=True, exist_ok=True)
		if (self.dir / "lab.json").exists():
			raise LabError(f"{self.dir}: a lab was here before; take another directory or remove it")
		os.chmod(self.dir / "secrets", 0o700)
		path = os.environ.get("PATH", "")
		if "/usr/sbin" not in path.split(":"):
			os.environ["PATH"] = path + ":/usr/sbin:/sbin"
		self.procs = Procs(self.mark, self.dir / "log", self.ports.fds())
		for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
			self.procs.env[name] = f"{os.environ.get(name, '')}:log_path={self.dir}/log/memory"
		self.procs.watch(self.dir if self.is_temporary else None)

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

	def private(self, path, text):
		with open(os.open(self.dir / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
			out.write(text)

	def write_remote(self):
		(self.dir / "remote").write_text(templates.remote(self, MARK))
		os.chmod(self.dir / "remote", 0o755)

	def facts(self):
		"""What else is told in lab.json."""
		return {}

	def write_json(self, ready):
		text = json.dumps({"ready": ready, "mark": self.mark, "keeper": os.getpid(), "keeper_started": start_time(os.getpid()), "dir": str(self.dir),
			"build": str(self.build), **self.facts(), "pids": {p.name: p.pid for p in self.procs.children}}, indent=1)
		(self.dir / "lab.json.new").write_text(text + "\n")
		os.rename(self.dir / "lab.json.new", self.dir / "lab.json")

	# what is there

	def wait_until(self, condition, seconds, what):
		return wait_until(condition, seconds, what, self.tails)

	def tails(self):
		"""The ends of all logs, for the report of a failure."""
		logs = sorted((self.dir / "log").glob("*.log")) + sorted(self.dir.glob("nodes/*/node.log"))
		return "\n".join(tail_of(p, 4 if p.name.startswith(("db", "install")) else 25) for p in logs if p.stat().st_size)

	def memory_reports(self):
		"""What sanitizers of our programs, or UPGD_WRAP's program, wrote; "" if they have nothing to say."""
		return "\n".join(p.read_text(errors="replace") for p in sorted(self.dir.glob("log/memory.*")) if p.stat().st_size)

	def node(self, name):
		return next(n for n in self.nodes if n.name == name)

	def remote(self, node, *argv, seconds=60):
		return self.procs.run([self.dir / "remote", node, *argv], seconds=seconds)

	def serve_argv(self, node):
		"""Of the runner on a node; its own tools are found by LAB/remote."""
		return ["upgd-run", "serve", "--state", f"{self.dir}/nodes/{node}/run", "--secrets", f"{self.dir}/secrets"]

	def remote_argv(self):
		"""upgd.conf's remote."""
		return [f"{self.dir}/remote", "${node.name}", *self.serve_argv("${node.name}")]

	def fault(self, name, word, node=None):
		"""Sets a fault hook of a stand-in; None clears it."""
		path = (self.node(node).dir if node else self.dir) / "fault" / name
		if word is None:
			path.unlink(missing_ok=True)
		else:
			path.write_text(word + "\n")

	# balancers

	def start_haproxy(self, name, text):
		"""Master and worker with LAB/lb/NAME.cfg, runtime and master socket beside it."""
		cfg = self.dir / "lb" / f"{name}.cfg"
		cfg.write_text(text)
		process = self.procs.start(name, ["haproxy", "-W", "-S", f"{self.dir}/lb/{name}-master.sock,mode,600", "-f", cfg])
		self.procs.wait(process, lambda: self.lb(name, "show info", missing=""), 10, f"{name} answers on its socket")

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

	def servers_of(self, name, backend):
		"""{server: row of show stat} of a backend."""
		lines = self.lb(name, f"show stat {backend} 4 -1").strip().splitlines()
		keys = lines[0].lstrip("# ").split(",")
		return {row["svname"]: row for row in (dict(zip(keys, line.split(","))) for line in lines[1:])}

	def reload_lb(self, name):
		"""As `systemctl reload haproxy`; returns when the new worker answers, and the master: it starts itself anew."""
		process = next(p for p in self.procs.children if p.name == name)
		pid = self.info(name)["Pid"]
		os.kill(process.pid, signal.SIGUSR2)
		self.wait_until(lambda: self.info(name).get("Pid", pid) != pid, 10, f"{name} has a new worker")
		self.wait_until(lambda: self._master_answers(name), 10, f"the master of {name} answers")

	def _master_answers(self, name):
		with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
			s.settimeout(5)
			s.connect(f"{self.dir}/lb/{name}-master.sock")
			s.sendall(b"show proc\n")
			return s.recv(1) != b""
		return False

	def info(self, name):
		return dict(line.split(": ", 1) for line in self.lb(name, "show info", missing="").splitlines() if ": " in line)

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

	def upgctl(self, *args, json=False, seconds=60, codes=(0,)):  # pylint: disable=redefined-outer-name
		"""Its stdout, or with json=True the parsed reply. LabError if the exit code is none of these (None: any)."""
		argv = self.upgctl_argv(*args, *(["--json"] if json else []))
		done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.procs.env, timeout=seconds * SLOW, check=False)
		if codes is not None and done.returncode not in codes:
			raise LabError(f"upgctl {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
		return _parse(done.stdout) if json else done.stdout

	def status(self):
		return self.upgctl("status", json=True, codes=None)

	def status_or_none(self):
		"""The rollout; None if upgd is not there to say."""
		try:
			return self.status().get("rollout")
		except ValueError:
			return None

	def units(self, stage=None):
		"""{name: unit} of all units."""
		found = self.upgctl("list", *(["--stage", stage] if stage else []), json=True)
		return {u["name"]: u for u in found["units"]}

	def wait_for_state(self, *states, seconds=120):
		def there():
			rollout = self.status().get("rollout")
			return rollout if rollout and rollout["state"] in states else None
		return self.wait_until(there, seconds, f"the rollout is {' or '.join(states)}")

	def seen(self):
		"""What users saw, for the report of a failure."""
		return []

	def evidence(self):
		parts = [f"lab: {self.dir}"]
		if self.upgd is not None:
			for args in (("status",), ("log", "--limit", "40")):
				try:
					parts.append(f"$ upgctl {' '.join(args)}\n" + self.upgctl(*args, codes=None, seconds=10))
				except (OSError, ValueError, LabError, subprocess.TimeoutExpired) as e:
					parts.append(f"$ upgctl {' '.join(args)}: {e}")
		parts += self.seen()
		parts += [tail_of(p, 60) for p in (self.dir / "log/upgd.log",) if p.exists()]
		return "\n".join(parts)


def _parse(text):
	return json.loads(text)
