# SPDX-License-Identifier: MIT
"""
TCP ports on loopback that are this lab's alone, also while nothing listens on them.

bind(0) is not enough: HAProxy shares a port silently (SO_REUSEPORT) with a second one, and a stopped node's port may be taken
by any outgoing connection. So ports come from below the ephemeral range, and a lab locks each by an abstract Unix socket of that
number: the kernel frees it with its last holder, nobody's file is left over, and it is as wide as the ports are (one
network namespace, all users).
"""

import errno
import random
import socket

FIRST, LAST = 20000, 32000  # Linux hands out 32768 and up by itself


def _lock(port):
	lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	try:
		lock.bind(f"\0upgd-lab-port-{port}")
		with socket.socket() as probe:
			probe.bind(("127.0.0.1", port))
		return lock
	except OSError as e:
		lock.close()
		if e.errno == errno.EADDRINUSE:
			return None
		raise


class Ports:
	"""Holds what it took until close() or the end of the process (and of those that inherited the locks)."""

	def __init__(self):
		self.locks = {}

	def take(self):
		for port in random.sample(range(FIRST, LAST), 2000):
			lock = None if port in self.locks else _lock(port)
			if lock is not None:
				self.locks[port] = lock
				return port
		raise RuntimeError(f"no free port between {FIRST} and {LAST} in 2000 tries")

	def fds(self):
		return [lock.fileno() for lock in self.locks.values()]

	def close(self):
		for lock in self.locks.values():
			lock.close()
		self.locks.clear()
