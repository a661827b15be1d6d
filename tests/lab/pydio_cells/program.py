# SPDX-License-Identifier: MIT
"""
What a `cells` binary does in the lab: version, update, start, admin datasource rehash. A binary is one text file with its version in it (binary()
makes it), so to replace the file is to replace the program, as with the real one.

Environment: CELLS_WORKING_DIR; LAB_PACKAGES, the update server (a directory of files cells-VERSION); LAB_FAULT, a directory of fault hooks, read when
the thing happens, each one word; CELLS_HEALTHCHECK, a port; LAB_GATE_MS and LAB_GATE_TRIES, how often and how many times the collation gate is asked
again (10000 and 60); LAB_SERVICE_MS, how long the migration of one service takes (50).

  fault/update   fail (the error is printed, exit 0, nothing is replaced) · lies (says it was upgraded, and nothing was) · empty (no update there)
  fault/gate     dirty (a service makes a latin1 table just before the gate looks)
  fault/migrate  code (fails in its code: rows and pydio.json are changed, no table is) · fail:SERVICE · die:SERVICE (after its DDL, before it is recorded) · panic · wait:SERVICE (until the file is gone)
  fault/start    never (503 for ever)
  fault/stop     slow:MS
  fault/rehash   fail (prints an error, exit 0)
"""

import os
import pathlib
import shutil
import sys
import time

LAB = pathlib.Path(__file__).resolve().parents[1]


def binary(version):
	return f"""#!/usr/bin/python3
# Pydio Cells {version}
import sys
sys.path.insert(0, {str(LAB)!r})
from pydio_cells import program
sys.exit(program.main({version!r}, __file__, sys.argv[1:]))
"""


def write_binary(path, version):
	path = pathlib.Path(path)
	path.write_text(binary(version))
	os.chmod(path, 0o755)


def work_dir():
	return pathlib.Path(os.environ["CELLS_WORKING_DIR"])


def fault(name):
	"""(word, argument) of a hook; ("", "") where there is none."""
	try:
		word, _, argument = (pathlib.Path(os.environ["LAB_FAULT"]) / name).read_text().strip().partition(":")
	except (KeyError, OSError):
		return "", ""
	return word, argument


def main(version, exe, args):
	calls = {"version": print_version, "update": update, "start": start, "admin": admin}
	if not args or args[0] not in calls:
		print(f'Error: unknown command "{args[0] if args else ""}" for "cells"', file=sys.stderr)
		return 1
	return calls[args[0]](version, pathlib.Path(exe), args[1:])


def print_version(version, _exe, args):
	if args[:1] in (["-f"], ["--format"]):
		print(args[1].replace("{{.Version}}", version), end="")
	else:
		print(f"Pydio Cells Home Edition\n Version: \t{version}\n Built: \t21 Nov 26 12:00 +0000\n Go Version: \tgo1.19")
	return 0


def packages(version):
	"""{version: file} of what the update server has for this one."""
	found = {p.name.removeprefix("cells-"): p for p in pathlib.Path(os.environ["LAB_PACKAGES"]).glob("cells-*")}
	return {v: p for v, p in sorted(found.items()) if _number(v) > _number(version) and fault("update")[0] != "empty"}


def _number(version):
	return [int(n) for n in version.split("-")[0].split(".")]


def update(version, exe, args):
	wanted = next((a.partition("=")[2] for a in args if a.startswith("--version=")), None)
	if not pathlib.Path(os.environ["LAB_PACKAGES"]).is_dir():
		print("Cannot retrieve available updates", file=sys.stderr)
		return 1
	there = packages(version)
	if not there:
		print("No updates are available for this version")
		return 0
	if wanted is None:
		print("+---------+--------------+----------------+\n| VERSION | PACKAGE NAME | DESCRIPTION    |\n+---------+--------------+----------------+")
		for v in there:
			print(f"| {v:7} | pydio-cells  | Cells {v:8} |")
		print("+---------+--------------+----------------+\n\nIf you wish to upgrade, run the update command with --version=<version>")
		return 0
	if wanted not in there:
		print("Cannot find the requested version", file=sys.stderr)
		return 1
	return _apply(version, exe, there[wanted], dry="--dry-run" in args or "-d" in args)


def _apply(version, exe, package, dry):
	print("Updating binary now")
	for percent in (10, 60, 100):
		print(f"\rDownloading binary: {percent}%", end="")
	word = fault("update")[0]
	if word == "fail" or package.stat().st_size == 0:
		print("\rError while updating binary: crypto/rsa: verification error")
		return 0
	if word != "lies":
		target = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / "pydio-update" if dry else exe
		if not dry:
			kept = work_dir() / "services/pydio.grpc.update"
			kept.mkdir(parents=True, exist_ok=True)
			shutil.copy2(exe, kept / f"{exe.name}-v{version}")
		shutil.copy2(package, f"{target}.part")
		os.rename(f"{target}.part", target)
	print("\rSuccessfully upgraded binary, you can restart pydio now!" if version < "4" else "\rBinary successfully upgraded, you can restart cells now!")
	return 0


def start(version, exe, args):
	from pydio_cells import server  # pylint: disable=import-outside-toplevel  # half of the start of a program that only says its version
	port = os.environ.get("CELLS_HEALTHCHECK")
	if "--healthcheck" in args:
		port = args[args.index("--healthcheck") + 1]
	return server.Server(version, exe, work_dir(), int(port) if port else None).serve()


def admin(_version, _exe, args):
	if args[:2] != ["datasource", "rehash"] or "--datasource" not in args or "-u" not in args:
		print("Error: required flag(s) \"datasource\" not set", file=sys.stderr)
		return 1
	name = args[args.index("--datasource") + 1]
	if fault("rehash")[0] == "fail":
		print("✗ [ERROR] context deadline exceeded")
		return 0
	with open(work_dir() / "rehashed", "a") as out:
		out.write(f"{name} {time.time():.0f}\n")
	print("✔ [SUCCESS] Posted job for recomputing hashes on all files. You can monitor the job in the scheduler.")
	return 0
