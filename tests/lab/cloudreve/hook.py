# SPDX-License-Identifier: MIT
"""
Fault hooks: files HOME/fault/NAME, looked at when the thing happens; the content is a word, `once:` before it removes the file at its first use.

  migrate.crash   POINT: kill -9 of itself there: before-commit-N, after-commit-N, inside-3, inside-5, inside-8, state-write-N, completed
  migrate.fail.N  deadlock, or what it says when step N begins; it ends with 1
  migrate.hang.N  stands still there while the file is there
  migrate.boot    a crash is the machine's: the unit is brought up again, if it is enabled
  migrate.delay   MS after each batch
  server.slow     MS before it listens · server.fail VERSION (3, 4): panics · server.stop hang: SIGTERM does nothing
  server.hold     keeps a connection to its database · server.version X: says so
"""

import os
import pathlib
import signal
import subprocess
import threading

home = pathlib.Path(".")  # the directory of the program; set by main


def word(name, wanted=None):
	"""The hook's word, if it is set (and is the wanted one); None else."""
	path = home / "fault" / name
	try:
		text = path.read_text().strip()
	except OSError:
		return None
	once, said = text.startswith("once:"), text.removeprefix("once:")
	if wanted is not None and said != wanted:
		return None
	if once:
		path.unlink(missing_ok=True)
	return said


def is_crash(point):
	return word("migrate.crash", point) is not None


def crash(point):
	if is_crash(point):
		die()


def die():
	if word("migrate.boot"):
		subprocess.run(["systemctl", "boot"], check=True)
	os.kill(os.getpid(), signal.SIGKILL)


def wait(seconds):
	"""What a real program needs for its work."""
	threading.Event().wait(seconds)
