# SPDX-License-Identifier: MIT
"""
Processes of one lab: started with its mark in their environment, ended by pid, none left behind.

Three nets, each for what the one before cannot catch: stop() ends the children in reverse order; the kernel ends them when we die
(PDEATHSIG); and a guard, a process of its own that holds a pipe of ours, sweeps whatever still carries the mark when that pipe
closes: nodes that their systemctl started, tasks that outlive their daemon. A pid is only signalled through a pidfd
opened before the look at what it is, so never a stranger's.
"""

import ctypes
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

MARK = "UPGD_LAB_MARK"
_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class LabError(Exception):
	pass


SLOW = 2  # every deadline is this much longer than its test says: what is waited for comes at once, or the machine is busy


def wait_until(condition, seconds, what, tail=None):
	"""The condition's first true value; asks every 20 ms. On time-out raises, with tail() as its evidence."""
	seconds *= SLOW
	deadline = time.monotonic() + seconds
	while True:
		value = condition()
		if value:
			return value
		if time.monotonic() > deadline:
			raise LabError(f"waited {seconds} s in vain: {what}" + (f"\n{tail()}" if tail else ""))
		time.sleep(0.02)  # the one poll interval of all waits; never the thing waited for


def tail_of(path, lines=25):
	try:
		text = pathlib.Path(path).read_text(errors="replace").splitlines()
	except OSError as e:
		return f"--- {path}: {e.strerror}"
	return "\n".join([f"--- {path} (last {min(lines, len(text))} of {len(text)} lines)"] + text[-lines:])


def _die_with(parent):
	def child():
		os.setsid()  # a Ctrl-C at the terminal is for us, who stop them in order
		_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
		if os.getppid() != parent:
			os._exit(1)
	return child


def start_time(pid):
	"""Clock ticks since boot at which pid started; None: no such process, or only its zombie."""
	try:
		stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
	except OSError:
		return None
	return None if stat[0] in "ZX" else int(stat[19])


def marked(mark):
	"""pids of all processes that carry the mark, but this one."""
	want = f"{MARK}={mark}".encode()
	found = []
	for entry in os.listdir("/proc"):
		if not entry.isdigit() or int(entry) == os.getpid():
			continue
		try:
			with open(f"/proc/{entry}/environ", "rb") as environ:
				if want in environ.read().split(b"\0"):
					found.append(int(entry))
		except OSError:
			pass  # gone, or another user's
	return found


def _signal_marked(pid, mark, signum):
	try:
		fd = os.pidfd_open(pid)
	except OSError:
		return
	try:
		if pid in marked(mark):
			signal.pidfd_send_signal(fd, signum)
	except OSError:
		pass
	finally:
		os.close(fd)


def _words(pid):
	try:
		return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
	except OSError:
		return "?"  # gone meanwhile


def sweep(mark, spare=()):
	"""Ends all that carry the mark: TERM, 3 s, KILL. Returns what it found, for the record."""
	found = {}
	deadline = time.monotonic() + 3
	while True:
		left = [pid for pid in marked(mark) if pid not in spare]
		if not left:
			return found
		late = time.monotonic() > deadline
		for pid in left:
			if pid not in found:
				found[pid] = _words(pid)
				_signal_marked(pid, mark, signal.SIGTERM)
			elif late:
				_signal_marked(pid, mark, signal.SIGKILL)
		if late and time.monotonic() > deadline + 5:
			raise LabError(f"could not end: {left}")
		time.sleep(0.02)  # poll interval, as above


class Process:
	def __init__(self, name, popen, log):
		self.name, self.popen, self.log = name, popen, log
		self.pid = popen.pid
		self.started = start_time(popen.pid)
		self.stop_with = signal.SIGTERM  # what asks it to end

	def alive(self):
		return self.popen.poll() is None

	def stop(self, signum=None, seconds=10):
		"""Our child: it cannot be another process before we have waited for it. Returns its exit code."""
		if self.alive():
			self.popen.send_signal(signum or self.stop_with)
		try:
			return self.popen.wait(seconds)
		except subprocess.TimeoutExpired:
			self.popen.kill()
			return self.popen.wait()


class Procs:
	def __init__(self, mark, log_dir, lock_fds=()):
		self.mark = mark
		self.log_dir = pathlib.Path(log_dir)
		self.env = dict(os.environ, **{MARK: mark, "LC_ALL": "C.UTF-8"})
		for name in ("http_proxy", "https_proxy", "all_proxy", "RMI_HOSTNAME", "NOTIFY_SOCKET", "LISTEN_FDS"):
			self.env.pop(name, None)
			self.env.pop(name.upper(), None)
		self.children = []
		self.guard = None
		self.lock_fds = lock_fds

	def watch(self, directory=None):
		"""Starts the guard. With a directory, it removes that too if we die."""
		argv = [sys.executable, "-I", __file__, self.mark, str(directory or "")]
		with open(self.log_dir / "guard.log", "ab") as log:
			self.guard = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
				pass_fds=self.lock_fds)

	def start(self, name, argv, env=None):
		path = self.log_dir / f"{name}.log"
		if not shutil.which(str(argv[0]), path=self.env["PATH"]):
			raise LabError(f"{argv[0]}: not there (not built, not installed?)")
		with open(path, "ab") as log:
			popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
				env={**self.env, **(env or {})}, preexec_fn=_die_with(os.getpid()))
		process = Process(name, popen, path)
		self.children.append(process)
		return process

	def run(self, argv, env=None, seconds=60, text=None):
		"""A command that ends by itself. Its output, or LabError with it."""
		done = subprocess.run([str(a) for a in argv], input=text, stdin=None if text is not None else subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd="/", env={**self.env, **(env or {})}, timeout=seconds,
			check=False)
		if done.returncode:
			raise LabError(f"{' '.join(str(a) for a in argv)}: exit {done.returncode}\n{done.stdout}")
		return done.stdout

	def wait(self, process, condition, seconds, what):
		"""As wait_until, and gives up at once when the process is gone."""
		def check():
			if not process.alive():
				raise LabError(f"{process.name} ended with {process.popen.returncode} before: {what}\n{tail_of(process.log)}")
			return condition()
		return wait_until(check, seconds, what, lambda: tail_of(process.log))

	def stop(self):
		"""Everything, last started first. Returns {pid: command} of what had to be swept."""
		for process in reversed(self.children):
			process.stop()
		self.children.clear()
		found = sweep(self.mark)
		if self.guard is not None:
			self.guard.stdin.write(b"done\n")
			self.guard.stdin.close()
			self.guard.wait()
			self.guard = None
		return found


def guard_main(mark, directory):
	signal.signal(signal.SIGINT, signal.SIG_IGN)
	signal.signal(signal.SIGTERM, signal.SIG_IGN)
	signal.signal(signal.SIGHUP, signal.SIG_IGN)
	select.select([0], [], [])
	word = os.read(0, 16)
	for pid, command in sweep(mark).items():
		print(f"guard: ended {pid} {command}", flush=True)
	if directory and word == b"":
		shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
	guard_main(sys.argv[1], sys.argv[2])
