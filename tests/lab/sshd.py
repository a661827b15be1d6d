# SPDX-License-Identifier: MIT
"""
A real sshd on loopback, for one lab: own port, host key, configuration and accounts file; it runs as whoever runs the lab and lets only
that user in. Each node is a Host of LAB/ssh/config with a key of its own, which can do one thing: start `upgd-run serve` there, as
upgd-run(8) tells a site to do it. Nothing of the machine's own ssh is read or touched.
"""

import os
import pathlib
import pwd
import shlex
import shutil
import signal
import socket

from procs import LabError, wait_until


def parent_of(pid):
	"""None: gone."""
	try:
		return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
	except OSError:
		return None


def children_of(pid):
	return [int(p) for p in os.listdir("/proc") if p.isdigit() and parent_of(p) == pid]


def command_of(pid):
	try:
		return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
	except OSError:
		return []


class Sshd:
	def __init__(self, lab):
		self.lab, self.dir, self.process = lab, lab.dir / "ssh", None
		self.port = lab.ports.take()
		self.program = shutil.which("sshd", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
		if self.program is None or not shutil.which("ssh"):
			raise LabError("not installed: openssh-server openssh-client")
		self.dir.mkdir(mode=0o700)
		self._keys()
		self._files()

	def _keys(self):
		for name in ["host"] + [n.name for n in self.lab.nodes]:
			self.lab.procs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.dir / name])

	def _public(self, name):
		return (self.dir / f"{name}.pub").read_text().strip()

	def _files(self):
		user = pwd.getpwuid(os.geteuid()).pw_name
		lines = []
		for node in self.lab.nodes:
			command = " ".join(shlex.quote(str(w)) for w in [self.lab.dir / "remote", node.name, *self.lab.serve_argv(node.name)])
			lines.append(f'restrict,command="{command}" {self._public(node.name)}\n')
		(self.dir / "authorized_keys").write_text("".join(lines))
		(self.dir / "known_hosts").write_text(f"lab {self._public('host')}\n")
		# StrictModes: the lab is below /tmp, which others may write to.
		(self.dir / "sshd_config").write_text(f"""ListenAddress 127.0.0.1
Port {self.port}
HostKey {self.dir}/host
PidFile none
AuthorizedKeysFile {self.dir}/authorized_keys
AllowUsers {user}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
PrintMotd no
LogLevel VERBOSE
""")
		hosts = "".join(f"Host {n.name}\n\tIdentityFile {self.dir}/{n.name}\n" for n in self.lab.nodes)
		(self.dir / "config").write_text(f"""Host *
	HostName 127.0.0.1
	Port {self.port}
	User {user}
	HostKeyAlias lab
	UserKnownHostsFile {self.dir}/known_hosts
	GlobalKnownHostsFile /dev/null
	IdentitiesOnly yes
	IdentityAgent none
	BatchMode yes
	ConnectTimeout 10
	ServerAliveInterval 2
	ServerAliveCountMax 2
{hosts}""")

	def start(self):
		if os.geteuid() == 0:
			pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks its unprivileged half up; the package leaves it to systemd
		self.process = self.lab.procs.start("sshd", [self.program, "-D", "-e", "-f", self.dir / "sshd_config"])
		self.lab.procs.wait(self.process, self._answers, 20, "sshd answers")

	def stop(self):
		"""As a host that is off: no new connection, and those there are cut."""
		sessions = [pid for node in self.lab.nodes for pid in self.sessions(node.name)]
		self.process.stop()
		self.lab.procs.children.remove(self.process)
		self.process = None
		for pid in sessions:
			os.kill(pid, signal.SIGKILL)

	def _answers(self):
		with socket.socket() as s:
			s.settimeout(5)
			try:
				s.connect(("127.0.0.1", self.port))
				return s.recv(4) == b"SSH-"
			except OSError:
				return False

	def argv(self):
		"""What upgd.conf says of remote."""
		return ["ssh", "-F", f"{self.dir}/config", "${node.name}", "upgd-run", "serve"]

	def serve_pid(self, node):
		"""`upgd-run serve` at the end of a session, below the process that holds the connection; None: none."""
		found = [pid for session in children_of(self.process.pid) for pid in self._below(session)]
		return next((pid for pid in found if "serve" in command_of(pid) and str(self.lab.node(node).dir / "run") in command_of(pid)), None)

	def _below(self, pid):
		for child in children_of(pid):
			yield child
			yield from self._below(child)

	def sessions(self, node):
		"""The sshd processes of the connection to that node."""
		pid, found = self.serve_pid(node), []
		while pid is not None and parent_of(pid) not in (None, self.process.pid):
			pid = parent_of(pid)
			found.append(pid)
		return found

	def wait_session(self, node, seconds=60):
		return wait_until(lambda: self.sessions(node), seconds, f"a session to {node}", self.lab.tails)
