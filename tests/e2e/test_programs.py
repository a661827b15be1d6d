# SPDX-License-Identifier: MIT
"""
Programs that are not what their exit code says: they print an error and end with 0, fail into a log, stand still, and leave statements behind.
The real upgd and upgd-run, one node that is a directory, and a profile of a few steps.
"""

import os
import re

import pytest

from templates import strings

# What the node is, a file says; `new` once it is done.
HEAD = """language = 1; profile = "programs";
sets = { node = { from = "nodes"; probe = "state"; class = ( { is = "old"; match = "^old$"; }, { is = "new"; match = "^new$"; } ); }; };
"""


class Desk:
	"""One node, one step; the node's directory is where everything is."""

	def __init__(self, lab):
		self.lab, self.dir = lab, lab.nodes[0].dir

	def file(self, name, text=None):
		"""Writes it whole, so that nobody reads half of it."""
		path = self.dir / name
		if text is not None:
			(self.dir / "new-file").write_text(text)
			os.rename(self.dir / "new-file", path)
		return path.read_text()

	def start(self, task, step, **probes):
		self.file("state", "old")
		self.file("task", "#!/bin/sh\n" + task)
		os.chmod(self.dir / "task", 0o755)
		probes = {"state": f'read = "{self.dir}/state"; on = "self"', "is_new": f'read = "{self.dir}/state"; on = "self"; equals = "new"; doc = "it is new"', **probes}
		text = "".join(f"\t{name} = {{ {body}; }};\n" for name, body in probes.items())
		(self.lab.dir / "programs.conf").write_text(HEAD + f"""probes = {{\n{text}}};
stages = ( {{ name = "work"; for = "node"; where = [ "old" ]; steps = (
	{{ name = "task"; run = [ "./task" ]; on = "self"; resolve = "attach"; undo = "none"; {step} }} ); }} );
""".replace("DIR", str(self.dir)))
		lab = self.lab
		(lab.dir / "upgd.conf").write_text(f"""cluster = "programs";
profile = "{lab.dir}/programs.conf";
state_dir = "{lab.dir}/state";
socket = "{lab.dir}/upgd.sock";
nodes = ( {{ name = "ox1"; host = "127.0.0.1"; health = "http://127.0.0.1:9"; }} );
remote = {{ argv = {strings(lab.remote_argv())}; }};
local_runner = {strings([lab.build / "runner/upgd-run", "serve", "--state", f"{lab.dir}/state/run"])};
pace = {{ watch = "200ms"; observe = "500ms"; }};
""")
		lab.start_upgd()
		lab.upgctl("start", "--yes")

	def unit(self):
		return self.lab.units()["work/ox1"]

	def reaches(self, state):
		return self.lab.wait_until(lambda: self.unit()["state"] == state and self.unit(), 60, f"the unit is {state}")

	def says(self, text):
		"""explain, as soon as that is in it."""
		def there():
			told = self.lab.upgctl("explain", "work/ox1")
			return told if re.search(text, told) else None
		return self.lab.wait_until(there, 60, f"explain says {text}")

	def retry(self):
		self.lab.upgctl("retry", "work/ox1")


@pytest.fixture
def desk(make_lab):
	return Desk(make_lab(nodes=1, bare=True))


def test_a_program_that_lies(desk):
	"""It prints an error and ends with 0; mended, it ends with a code of its own and says what it must. It runs where it is told to, and reads nothing."""
	desk.file("task2", "#!/bin/sh\ncat rows; exit 7\n")
	os.chmod(desk.dir / "task2", 0o755)
	desk.file("answer", "first\nERROR 1062: Duplicate entry\nsuccessfully upgraded\n")
	desk.start("""read -r line && echo "ERROR: I was spoken to"
pwd >where
cat answer
grep -qx 'successfully upgraded' answer && ! grep -q ERROR answer || exit 0
printf 'a\\t1\\n\\nb\\t2\\n' >rows; cat third >>rows; echo new >state
exit 3
""", 'cwd = "DIR"; exit = [ 3 ]; match = "^successfully upgraded$"; not_match = "^ERROR"; verify = [ "is_new", "two_rows", "first_row", "no_third" ];',
		two_rows='run = [ "head", "-n3", "rows" ]; cwd = "DIR"; on = "self"; lines = true; rows = 2',
		first_row='run = [ "./task2" ]; cwd = "DIR"; on = "self"; lines = true; exit = [ 7 ]; equals = "a"',
		no_third='run = [ "grep", "-q", "c", "rows" ]; cwd = "DIR"; on = "self"; exit = [ 1 ]; doc = "there is no third"')
	desk.reaches("failed")
	desk.says('exit 0, but it printed "ERROR 1062: Duplicate entry"')
	desk.file("answer", "nothing to do\n")
	desk.retry()
	desk.says("exit 0, but it did not print .successfully upgraded.; its last line: nothing to do")
	desk.reaches("failed")
	desk.file("answer", "successfully upgraded\n")
	desk.file("third", "c\n")
	desk.retry()
	desk.says("no_third: exit 0 .there is no third.")
	os.unlink(desk.dir / "third")
	desk.retry()
	assert desk.lab.wait_for_state("done", "partial")["state"] == "done"
	assert desk.file("where").strip() == str(desk.dir)
	assert f"cd {desk.dir} && ./task" in desk.lab.upgctl("log", "--json")


def test_a_line_in_a_log_ends_the_waiting(desk):
	"""Nobody waits an hour for what its log says will not come. A log that is not there says nothing."""
	desk.start("exit 0", 'cwd = "DIR"; verify = [ "is_new" ]; within = "1h"; fails = [ "unreadable", "gives_up" ];',
		unreadable='run = [ "false" ]; on = "self"; equals = "x"',
		gives_up='run = [ "grep", "-m1", "giving up", "log" ]; cwd = "DIR"; on = "self"; exit = [ 0 ]; doc = "the server gives up"')
	lab = desk.lab
	lab.wait_until(lambda: '"acted"' in lab.upgctl("log", "--json"), 30, "it has run, and is waited for")
	assert desk.unit()["state"] == "running"
	desk.file("log", "starting\nno database, giving up after 3 tries\n")
	desk.reaches("failed")
	desk.says("gives_up: it ended as expected: no database, giving up after 3 tries .the server gives up., so it is not waited for any longer")
	desk.file("log", "starting\n")
	desk.retry()
	desk.file("state", "new")
	assert lab.wait_for_state("done", "partial")["state"] == "done"


def test_a_program_that_stands_still_is_shown_and_goes_on(desk):
	"""And is late no more once its answer changes; nothing of it is in the journal."""
	desk.file("count", "17\n")
	desk.start("while [ ! -e go ]; do sleep 0.05; done; echo new >state", 'cwd = "DIR"; verify = [ "is_new" ]; progress = "counted"; stall = "2s";',
		counted='run = [ "cat", "count" ]; cwd = "DIR"; on = "self"')
	lab = desk.lab
	desk.says(r'no progress for \d+s: counted says "17"; the work goes on')
	assert [u["name"] for u in lab.status()["attention"]] == ["work/ox1"]
	desk.file("count", "18\n")
	lab.wait_until(lambda: not lab.status()["attention"], 30, "it is no more of a person's business")
	assert "no progress" not in lab.upgctl("explain", "work/ox1")
	desk.says(r'no progress for \d+s: counted says "18"')
	lab.kill_upgd()
	lab.start_upgd()
	desk.says(r'no progress for \d+s: counted says "18"')
	records = lab.upgctl("log", "--json")
	assert "counted says" not in records
	desk.file("go", "")
	assert lab.wait_for_state("done", "partial")["state"] == "done"


@pytest.mark.long
def test_statements_that_outlive_their_client_are_found_by_a_program(desk):
	"""As psql shows those of PostgreSQL. Nothing is done before they have ended; then what they did is looked at."""
	desk.file("activity", "41\tALTER TABLE users\n42\tCREATE INDEX\n")
	desk.start("echo x >>ran; exit 2", 'cwd = "DIR"; verify = [ "is_new" ]; orphans = "activity"; retry = 3;',
		activity='run = [ "cat", "activity" ]; cwd = "DIR"; on = "self"; lines = true; rows = 0')
	desk.says("41 ALTER TABLE users, and others")
	desk.file("activity", "42\tCREATE INDEX\n")
	desk.says("42 CREATE INDEX")
	desk.file("state", "new")
	desk.file("activity", "\n")
	assert desk.lab.wait_for_state("done", "partial")["state"] == "done"
	assert desk.file("ran") == "x\n"
