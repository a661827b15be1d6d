# SPDX-License-Identifier: MIT
"""
systemctl start|stop|restart|enable|disable|is-active|is-enabled|show cells of a node: the unit runs CELLS_BIN start with Restart=on-failure, its process
is in NODE/cells.pid, how often it was restarted in NODE/restarts; NODE/enabled is there if it starts with the node. As systemd does, start returns when
the process is there, whatever becomes of it. What has died is restarted when somebody asks. TimeoutStopSec is 15 s. NODE/fault/systemctl: the word `stop`,
and it cannot stop. `reboot`, of our own: all its processes die, and the unit starts if it is enabled.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

NODE = pathlib.Path(os.environ["LAB_NODE_DIR"])
PID, RESTARTS, ENABLED = NODE / "cells.pid", NODE / "restarts", NODE / "enabled"
QUIET = ("is-active", "is-enabled", "show", "reboot")


def alive():
	"""The pid, if it still is a process of this unit."""
	try:
		pid = int(PID.read_text())
		state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
		words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
	except (OSError, ValueError):
		return None
	return pid if state not in "ZX" and os.environ["CELLS_BIN"].encode() in words else None


def spawn():
	exe = os.environ["CELLS_BIN"]
	with open(NODE / "node.log", "ab") as log:
		# argv[0] is the program, as with a binary: who looks for its processes finds this one.
		process = subprocess.Popen([exe, exe, "start"], executable=sys.executable, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
	PID.write_text(f"{process.pid}\n")


def start():
	if not alive():
		RESTARTS.write_text("0")
		spawn()
	return 0


def restart_what_died():
	if PID.exists() and not alive():
		RESTARTS.write_text(str(int(RESTARTS.read_text()) + 1))
		spawn()


def ask_to_end(signum):
	pid = alive()
	try:
		if pid is not None:
			os.kill(pid, signum)
	except ProcessLookupError:
		pass


def end(signum, seconds):
	deadline = time.monotonic() + seconds
	ask_to_end(signum)
	while alive():
		if time.monotonic() > deadline:
			ask_to_end(signal.SIGKILL)
		time.sleep(0.02)  # poll interval
	PID.unlink(missing_ok=True)
	return 0


def reboot():
	end(signal.SIGKILL, 0)
	return start() if ENABLED.exists() else 0


def is_active():
	state = "active" if alive() else "activating" if PID.exists() else "inactive"
	restart_what_died()
	print(state)
	return 0 if state == "active" else 3


def show():
	restart_what_died()
	print(f"NRestarts={RESTARTS.read_text() if RESTARTS.exists() else 0}\nSubState={'running' if alive() else 'dead'}")
	return 0


def is_enabled():
	print("enabled" if ENABLED.exists() else "disabled")
	return 0 if ENABLED.exists() else 1


def stop():
	return end(signal.SIGTERM, 15)


def restart():
	stop()
	return start()


VERBS = {"start": start, "stop": stop, "restart": restart, "reboot": reboot, "is-active": is_active, "is-enabled": is_enabled, "show": show,
	"enable": ENABLED.touch, "disable": lambda: ENABLED.unlink(missing_ok=True)}


def main(args):
	verb, unit = [a for a in args if not a.startswith("-")][:2]
	if verb not in QUIET:
		with open(NODE / "calls.log", "a") as out:
			out.write(f"systemctl {' '.join(args)}\n")
	if unit.removesuffix(".service") != "cells":
		print(f"Failed to {verb} {unit}: Unit {unit} not found.", file=sys.stderr)
		return 5
	if verb == "stop" and (NODE / "fault/systemctl").exists() and (NODE / "fault/systemctl").read_text().strip() == "stop":
		print(f"Failed to stop {unit}: Connection timed out", file=sys.stderr)
		return 1
	return VERBS[verb]() or 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
