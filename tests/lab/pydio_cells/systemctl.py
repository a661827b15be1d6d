# SPDX-License-Identifier: MIT
"""
systemctl start|stop|restart|is-active cells of a node: the unit runs CELLS_BIN start, its process is in NODE/cells.pid, TimeoutStopSec is 15 s. As
systemd does, start returns when the process is there, whatever becomes of it. NODE/fault/systemctl: the word `stop`, and it cannot stop.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

NODE = pathlib.Path(os.environ["LAB_NODE_DIR"])
PID = NODE / "cells.pid"


def alive():
	"""The pid, if it still is a process of this unit."""
	try:
		pid = int(PID.read_text())
		state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
		words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
	except (OSError, ValueError):
		return None
	return pid if state not in "ZX" and os.environ["CELLS_BIN"].encode() in words else None


def start():
	if alive():
		return 0
	exe = os.environ["CELLS_BIN"]
	with open(NODE / "node.log", "ab") as log:
		# argv[0] is the program, as with a binary: who looks for its processes finds this one.
		process = subprocess.Popen([exe, exe, "start"], executable=sys.executable, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
	PID.write_text(f"{process.pid}\n")
	return 0


def stop():
	pid = alive()
	if pid is None:
		return 0
	os.kill(pid, signal.SIGTERM)
	deadline = time.monotonic() + 15
	while alive():
		if time.monotonic() > deadline:
			os.kill(pid, signal.SIGKILL)
		time.sleep(0.02)  # poll interval
	return 0


def main(args):
	verb, unit = [a for a in args if not a.startswith("-")][:2]
	if verb != "is-active":
		with open(NODE / "calls.log", "a") as out:
			out.write(f"systemctl {' '.join(args)}\n")
	if unit.removesuffix(".service") != "cells":
		print(f"Failed to {verb} {unit}: Unit {unit} not found.", file=sys.stderr)
		return 5
	if verb == "stop" and (NODE / "fault/systemctl").exists() and (NODE / "fault/systemctl").read_text().strip() == "stop":
		print(f"Failed to stop {unit}: Connection timed out", file=sys.stderr)
		return 1
	if verb == "is-active":
		print("active" if alive() else "inactive")
		return 0 if alive() else 3
	if verb in ("stop", "restart"):
		stop()
	return start() if verb in ("start", "restart") else 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
