# SPDX-License-Identifier: MIT
"""
What is done about a failure by its cause, and the way back of a whole rollout: the real upgd and upgd-run, one node that is a directory, and a
service that is a few files: stopped, dumped, migrated, begun again.
"""

import os
import re
import subprocess
import time

import pytest

from templates import strings

PROFILE = """language = 1; profile = "causes";
sets = { node = { from = "nodes"; probe = "level"; class = ( { is = "old"; match = "^old$"; }, { is = "new"; match = "^new$"; } ); }; };
probes = {
	level = { read = "DIR/level"; on = "self"; };
	serves = { read = "DIR/service"; on = "local"; equals = "up"; };
	still = { read = "DIR/service"; on = "local"; equals = "down"; };
	dumped = { read = "DIR/dump"; on = "local"; };
	is_dumped = { read = "DIR/dump"; on = "local"; equals = "old"; };
	is_old = { read = "DIR/level"; on = "local"; equals = "old"; doc = "nothing was migrated"; };
	is_new = { read = "DIR/level"; on = "local"; equals = "new"; };
};
stages = (
	{ name = "down"; for = "cluster"; steps = (
		{ name = "stop"; run = [ "./control", "down" ]; cwd = "DIR"; on = "local"; resolve = "rerun"; verify = [ "still" ];
			undo = { run = [ "./control", "up" ]; cwd = "DIR"; verify = [ "serves" ]; takes = "90s"; }; },
		{ name = "dump"; run = [ "cp", "level", "dump" ]; cwd = "DIR"; on = "local"; resolve = "rerun"; verify = [ "is_dumped" ];
			undo = { run = [ "./restore" ]; cwd = "DIR"; unless = [ "is_old" ]; verify = [ "is_old" ]; takes = "20m"; }; } ); },
	{ name = "shape"; for = "cluster"; needs = [ "down" ]; steps = (
		{ name = "ready"; run = [ "./ready" ]; cwd = "DIR"; on = "local"; resolve = "rerun"; undo = "none"; },
		{ name = "gate"; run = [ "./gate" ]; cwd = "DIR"; on = "local"; resolve = "rerun"; undo = "none";
			on_failure = ( { match = "^ERROR: lock timeout"; do = "retry"; max = 2; wait = "200ms"; },
				{ match = "not prepared"; do = "again"; from = "ready"; max = 1; },
				{ match = "have no owner"; do = "back"; hint = "give each file an owner, see the report"; } ); } ); },
	{ name = "up"; for = "node"; where = [ "old" ]; needs = [ "shape" ]; steps = (
		{ name = "start"; run = [ "./control", "up" ]; cwd = "DIR"; on = "self"; resolve = "rerun"; pivot = true; verify = [ "serves", "is_new" ]; } ); } );
"""


class Desk:
	def __init__(self, lab):
		self.lab, self.dir = lab, lab.nodes[0].dir

	def program(self, name, text):
		path = self.dir / name
		(self.dir / "new").write_text("#!/bin/sh\n" + text)
		os.chmod(self.dir / "new", 0o755)
		os.rename(self.dir / "new", path)

	def prepare(self):
		(self.dir / "level").write_text("old")
		(self.dir / "service").write_text("up")
		self.program("ready", "echo x >>ready-ran\n")
		self.program("restore", "echo x >>restored; cp dump level\n")
		lab = self.lab
		(lab.dir / "causes.conf").write_text(PROFILE.replace("DIR", str(self.dir)))
		self.program("control", "printf %s \"$1\" >service; echo \"$1\" >>turns\n")
		(lab.dir / "upgd.conf").write_text(f"""cluster = "causes";
profile = "{lab.dir}/causes.conf";
state_dir = "{lab.dir}/state";
socket = "{lab.dir}/upgd.sock";
nodes = ( {{ name = "ox1"; host = "127.0.0.1"; health = "http://127.0.0.1:9"; }} );
remote = {{ argv = {strings(lab.remote_argv())}; }};
local_runner = {strings([lab.build / "runner/upgd-run", "serve", "--state", f"{lab.dir}/state/run"])};
pace = {{ watch = "200ms"; observe = "500ms"; }};
""")
		lab.start_upgd()

	def lines(self, name):
		path = self.dir / name
		return path.read_text().splitlines() if path.exists() else []

	def first(self):
		return self.lab.upgctl("status", codes=None).splitlines()[0]

	def rests(self):
		self.lab.wait_until(lambda: " BACK " in self.first(), 60, "it is back, and rests")


@pytest.fixture
def desk(make_lab):
	desk = Desk(make_lab(nodes=1, bare=True))
	desk.prepare()
	return desk


def records(lab, kind):
	return [record for record in lab.upgctl("log", json=True)["records"] if record["kind"] == kind]


def offline(lab, what):
	argv = [lab.build / "daemon/upgd", "-c", lab.dir / "upgd.conf", "--offline", what]
	return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


# Locked twice, not prepared once, then it reports what a person has to mend.
GATE = """echo x >>gate-ran
[ $(wc -l <gate-ran) -gt 2 ] || { echo "ERROR: lock timeout"; exit 3; }
[ $(wc -l <ready-ran) -gt 1 ] || { echo "not prepared"; exit 4; }
[ -e mended ] || { for i in $(seq 60); do echo "file $i of eva"; done; echo "60 files have no owner"; exit 1; }
printf new >level
"""


def test_a_cause_sends_it_back_and_it_begins_anew(desk):
	lab = desk.lab
	desk.program("gate", GATE)
	lab.upgctl("start", "--yes", "--back-by", "23:59")
	desk.rests()
	assert len(desk.lines("gate-ran")) == 4 and len(desk.lines("ready-ran")) == 2
	assert [r["code"] for r in records(lab, "retry")] == ["on-failure", "on-failure", "from"]
	assert desk.lines("turns") == ["down", "up"] and not desk.lines("restored"), "users are served again, and nothing was restored over what is as before"
	assert "nothing to undo: is_old" in lab.upgctl("log")
	told = lab.upgctl("status", codes=None)
	assert "shape/cluster failed: gate: exit 1: 60 files have no owner; give each file an owner, see the report" in told
	assert "upgctl retry shape/cluster" in told
	told = lab.upgctl("explain", "shape/cluster")
	assert "file 60 of eva" in told and "file 22 of eva" in told and "file 21 of eva" not in told
	report = records(lab, "output")[-1]["text"].splitlines()
	assert report[0] == "file 1 of eva" and report[-1] == "60 files have no owner"
	lab.kill_upgd()
	assert " BACK " in offline(lab, "status")
	book = offline(lab, "runbook")
	assert "It went back as a whole, and rests: gate: exit 1: 60 files have no owner" in book and "No unit is open" in book
	lab.start_upgd()
	desk.rests()
	waits = subprocess.run(lab.upgctl_argv("start", "--yes", "--wait"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
	assert waits.returncode == 4 and "Mend what is named, then upgctl retry shape/cluster begins anew" in waits.stderr, waits
	(desk.dir / "mended").write_text("")
	lab.upgctl("retry", "shape/cluster")
	assert lab.wait_for_state("done", "partial")["state"] == "done"
	assert desk.lines("turns") == ["down", "up", "down", "up"]


def test_the_way_back_has_its_time(desk):
	"""Shown as long as there is a way back; a moment that it would miss is said too."""
	lab = desk.lab
	desk.program("gate", "echo no; exit 1\n")
	with pytest.raises(Exception, match="should be a time of day as HH:MM"):
		lab.upgctl("start", "--yes", "--back-by", "25:00")
	soon = time.strftime("%H:%M", time.localtime(time.time() + 120))
	lab.upgctl("start", "--yes", "--back-by", soon)
	lab.wait_until(lambda: lab.units()["shape/cluster"]["state"] == "failed", 60, "the gate says no")
	expected = f"the way back takes about 22 min; it is too late to be back by {soon}"
	assert expected in lab.upgctl("status", codes=None)
	assert expected in lab.upgctl("explain", "shape/cluster")
	lab.kill_upgd()
	book = offline(lab, "runbook")
	assert "finished and would go back if the whole rollout did" in book
	assert f"#? cd {desk.dir} && ./control up </dev/null" in book
	assert re.search(f"while all of this is so there is nothing to undo:\n.*\n#\\? cat {desk.dir}/level </dev/null\n# else:\n#\\? cd {desk.dir} && ./restore", book), book
	lab.start_upgd()
	(desk.dir / "level").write_text("half")
	lab.upgctl("abort", "1")
	lab.wait_for_state("aborted")
	assert desk.lines("restored") == ["x"] and desk.lines("turns") == ["down", "up"]
	assert "way back" not in lab.upgctl("status", codes=None)
