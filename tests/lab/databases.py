# SPDX-License-Identifier: MIT
"""Real database servers of one lab, each with a directory, a socket and a loopback port of its own; ended by pid with the lab."""

import os
import pathlib
import pwd
import shutil
import signal
import socket

import templates
from procs import LabError

PG = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


class MariaDB:
	"""
	LAB/NAME.sock, LAB/cnf/NAME-root.cnf (all rights), LAB/cnf/NAME.cnf (upgd: reads only). `options`: more arguments of mariadbd.
	"""

	def __init__(self, lab, name="db", options=()):
		self.lab, self.name, self.port = lab, name, lab.ports.take()
		self.options = list(options)
		self.socket = lab.dir / f"{name}.sock"
		self.cnf, self.root_cnf = lab.dir / f"cnf/{name}.cnf", lab.dir / f"cnf/{name}-root.cnf"
		self.process = None

	def start(self):
		lab, name = self.lab, self.name
		data, tmp = lab.dir / name, lab.dir / f"{name}.tmp"
		lab.private(f"cnf/{name}-root.cnf", templates.option_file(socket=self.socket, user="root"))
		lab.private(f"cnf/{name}.cnf", templates.option_file(host="127.0.0.1", port=self.port, user="upgd", password=lab.mark))
		# A mariadbd that starts removes every #sql file in its tmpdir, another server's too: never share /tmp.
		common = ["--no-defaults", *(["--user=root"] if os.geteuid() == 0 else []), f"--datadir={data}", f"--tmpdir={tmp}",
			"--innodb-log-file-size=8M", "--innodb-buffer-pool-size=24M", "--innodb-data-file-path=ibdata1:4M:autoextend", "--innodb-autoextend-increment=4"]
		if not data.exists():
			tmp.mkdir()
			lab.procs.run(["mariadb-install-db", *common, "--force", "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve"])
		self.process = lab.procs.start(name, ["mariadbd", *common, f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
			f"--pid-file={lab.dir}/{name}.pid", "--skip-name-resolve", "--max-connections=200", "--performance-schema=OFF",
			"--innodb-flush-log-at-trx-commit=2", *self.options])
		lab.procs.wait(self.process, self._answers, 30, f"{name} answers")
		for host in ("%", "localhost"):
			self.sql(f"CREATE USER IF NOT EXISTS upgd@'{host}' IDENTIFIED BY '{lab.mark}'; GRANT SELECT, PROCESS ON *.* TO upgd@'{host}'")
		return self

	def _answers(self):
		with socket.socket(socket.AF_UNIX) as s:
			s.settimeout(5)
			try:
				s.connect(str(self.socket))
				return s.recv(1)
			except OSError:
				return False

	def sql(self, query, database=None, seconds=60):
		"""Rows as lists of str, as root; NULL is the text NULL. Several statements may be given."""
		out = self.lab.procs.run(["mariadb", f"--defaults-file={self.root_cnf}", "--batch", "--skip-column-names", *([database] if database else [])],
			text=query, seconds=seconds)
		return [line.split("\t") for line in out.splitlines()]

	def stop(self, signum=signal.SIGTERM):
		stop(self, signum)


class Postgres:
	"""
	LAB/NAME is its data, LAB/NAME.run its socket directory; `postgres` is the superuser, and nobody asks for a password. initdb refuses root, so
	where root runs the lab it is the account `postgres` or `nobody`. `env` leads libpq to it: psql, pg_dump and pg_restore find it by that.
	"""

	def __init__(self, lab, name="pg", options=()):
		self.lab, self.name, self.port = lab, name, lab.ports.take()
		self.options = list(options)
		self.data, self.run = lab.dir / name, lab.dir / f"{name}.run"
		self.env = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}
		self.bin = PG[-1] if PG else None
		self.process = None

	def start(self):
		if self.bin is None:
			raise LabError("not installed: postgresql")
		lab = self.lab
		os.chmod(lab.dir, 0o711)  # its account must come through
		if not self.data.exists():
			for path in (self.data, self.run):
				path.mkdir(mode=0o700)
				if os.geteuid() == 0:
					shutil.chown(path, _account(), _group())
			lab.procs.run([*self._as(), self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
		# fsync: what a lab loses with its machine is nobody's. Dynamic shared memory in files: what is killed leaves nothing in /dev/shm.
		settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.run, "fsync": "off", "shared_buffers": "24MB",
			"max_connections": 60, "dynamic_shared_memory_type": "mmap", "autovacuum": "off", "log_line_prefix": "%m [%p] %a "}
		self.process = lab.procs.start(self.name, [*self._as(), self.bin / "postgres", "-D", self.data,
			*[w for k, v in settings.items() for w in ("-c", f"{k}={v}")], *self.options])
		self.process.stop_with = signal.SIGINT  # TERM waits for every client to leave
		lab.procs.wait(self.process, self._answers, 30, f"{self.name} answers")
		return self

	def _as(self):
		# The kernel forgets whose death ends a process when it changes its user, so setpriv says it again.
		return ["setpriv", f"--reuid={_account()}", f"--regid={_group()}", "--clear-groups", "--pdeathsig", "KILL"] if os.geteuid() == 0 else []

	def _answers(self):
		try:
			return self.sql("SELECT 1")
		except LabError:
			return False

	def sql(self, query, database="postgres", seconds=60):
		"""Rows as lists of str; NULL is the empty text. Several statements may be given; the first that fails is a LabError."""
		out = self.lab.procs.run([self.bin / "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database], env=self.env, text=query, seconds=seconds)
		return [line.split("\t") for line in out.splitlines()]

	def value(self, query, database="postgres"):
		return self.sql(query, database)[0][0]

	def stop(self, signum=signal.SIGINT):
		stop(self, signum)


def _account():
	for name in ("postgres", "nobody"):
		try:
			return pwd.getpwnam(name).pw_name
		except KeyError:
			pass
	raise LabError("neither postgres nor nobody is an account of this machine")


def _group():
	return pwd.getpwnam(_account()).pw_gid


def stop(server, signum):
	"""The server alone, as when its machine is off; start() brings it back with its data."""
	server.process.stop(signum)
	server.lab.procs.children.remove(server.process)
	server.process = None
