# SPDX-License-Identifier: MIT
"""systemctl for one unit, HOME/cloudreve, as far as a rollout needs it: start (Type=simple: at once), stop (SIGKILL after 90 s), restart, kill, show, enable, disable; and boot, what a machine does with it that comes up."""

import os
import pathlib
import signal
import subprocess
import sys
import time

NODE = pathlib.Path(os.environ["LAB_NODE_DIR"])
PID = NODE / "service.pid"  # there while it should run
OFF = NODE / "service.disabled"
MORE = NODE / "service.arguments"  # what ExecStart has besides
MAIN = NODE / "service.main"  # another process for the main one
STOP_SECONDS = 90


def alive():
	"""Its pid; None. A pid that is another process's now is not ours."""
	try:
		pid = int(PID.read_text())
		return pid if b"cloudreve" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() else None
	except (OSError, ValueError):
		return None


def start():
	if alive():
		return 0
	with open(NODE / "node.log", "ab") as log:
		popen = subprocess.Popen([NODE / "home/cloudreve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=NODE / "home", start_new_session=True)
	PID.write_text(str(popen.pid))
	return 0


def stop():
	pid, deadline = alive(), time.monotonic() + STOP_SECONDS
	if pid:
		os.kill(pid, signal.SIGTERM)
	while alive():
		if time.monotonic() > deadline:
			os.kill(pid, signal.SIGKILL)
		time.sleep(0.05)  # poll interval
	PID.unlink(missing_ok=True)
	return 0


def kill():
	pid = alive()
	if pid:
		os.kill(pid, signal.SIGKILL)
	while alive():
		time.sleep(0.05)  # poll interval
	return 0


def restart():
	return stop() or start()


def enable():
	OFF.unlink(missing_ok=True)
	return 0


def disable():
	OFF.touch()
	return 0


def boot():
	(NODE / "booted").write_text("disabled" if OFF.exists() else "enabled")
	return 0 if OFF.exists() else start()


def show():
	if "--property=UnitFileState" in sys.argv:
		print("disabled" if OFF.exists() else "enabled")
		return 0
	if "--property=ExecStart" in sys.argv:
		print(f"{{ path={NODE}/home/cloudreve ; argv[]={NODE}/home/cloudreve{MORE.read_text() if MORE.exists() else ''} ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}")
		return 0
	if "--property=MainPID" in sys.argv:
		print(MAIN.read_text() if MAIN.exists() else alive() or 0)
		return 0
	print("active" if alive() else "failed" if PID.exists() else "inactive")
	return 0


if __name__ == "__main__":
	sys.exit({"start": start, "stop": stop, "restart": restart, "kill": kill, "show": show, "enable": enable, "disable": disable, "boot": boot}[sys.argv[1]]())
