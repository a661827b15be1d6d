# SPDX-License-Identifier: MIT
"""Fault hooks: files HOME/fault/NAME, looked at when the thing happens; the content is a word, `once:` before it removes the file at its first use."""

import os
import pathlib
import signal
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
	os.kill(os.getpid(), signal.SIGKILL)


def wait(seconds):
	"""What a real program needs for its work."""
	threading.Event().wait(seconds)
