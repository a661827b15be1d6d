#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Makes the journal that a release leaves behind for its successors: two rollouts in a lab, one aborted, one to its end, with what happens to
rollouts on the way: a crash, a tool that fails, a pause, a hand in a balancer, a parked schema. Run once per release, before it is tagged:

  tests/journals/make.py        writes tests/journals/VERSION/rollouts.sql
  UPGD_BLESS=1 build/tests/unit/test_journals        writes rollouts.state beside it: read it, it is what every later version must fold

Journals of earlier releases are never made anew: they are the proof.
"""

import pathlib
import re
import sqlite3
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lab")]

from lab import Lab, LabError, wait_until  # noqa: E402

START = ("start", "--to", "7.10.6", "--set", "package=7.10.6-44", "--yes")


def logged(lab, pattern, count=1):
	def there():
		return len(re.findall(pattern, (lab.dir / "log/upgd.log").read_text())) >= count
	lab.wait_until(there, 120, f"upgd logs {pattern}")


def aborted(lab):
	lab.upgctl(*START, "--reason", "a first try")
	logged(lab, "unit run=1 .*unit=convert/ox1 code=done")
	lab.upgctl("abort", "1", "--reason", "not tonight")
	logged(lab, "end run=1")


def to_the_end(lab):
	lab.fault("clt.changeserver", "once:exit:106")
	lab.upgctl(*START)
	logged(lab, "admit run=2 .*unit=migrate/")
	lab.kill_upgd()
	lab.start_upgd()
	lab.upgctl("pause", "--reason", "a look")
	lab.set_server("lb1", "ox2", "drain")
	lab.upgctl("resume")
	def over():
		for unit in json_units(lab):
			if unit["state"] in ("failed", "uncertain"):
				lab.upgctl("retry", unit["name"], codes=None)
		return "end run=2" in (lab.dir / "log/upgd.log").read_text()
	lab.set_server("lb1", "ox2", "ready")
	wait_until(over, 180, "the second rollout ends", lab.tails)


def json_units(lab):
	import json  # pylint: disable=import-outside-toplevel
	return json.loads(lab.upgctl("list", "--json"))["units"]


def dump(path):
	db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
	yield f"PRAGMA application_id = {db.execute('PRAGMA application_id').fetchone()[0]};"
	yield f"PRAGMA user_version = {db.execute('PRAGMA user_version').fetchone()[0]};"
	yield from db.iterdump()


def main():
	version = re.search(r"version: '([^']+)'", (HERE.parents[1] / "meson.build").read_text())[1]
	out = HERE / version / "rollouts.sql"
	out.parent.mkdir(exist_ok=True)
	with Lab(nodes=2, schemata=6, contexts=2) as lab:
		lab.start_upgd()
		aborted(lab)
		to_the_end(lab)
		if lab.stop_upgd():
			raise LabError("upgd did not end well")
		out.write_text("".join(line + "\n" for line in dump(lab.dir / "state/journal.db")))
	print(f"{out}: {out.stat().st_size >> 10} KiB")


if __name__ == "__main__":
	main()
