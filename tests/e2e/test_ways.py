# SPDX-License-Identifier: MIT
"""
What a profile says of the way: what nobody gave is asked of the site, the plan follows from it, and so do the steps of a path. The site is nodes
that are directories, each with a file `version`, and one file `level`.
"""

import os
import re
import subprocess

import pytest

from databases import MariaDB
from templates import strings

PROFILE = """language = 1; profile = "ways";
params = {
	from = { type = "version"; doc = "what the nodes run"; probe = "version"; };
	to = { type = "version"; doc = "what they shall run"; };
	name = { type = "name"; doc = "what the site is called"; probe = "site"; };
};
plans = (
	{ name = "in place"; when = { from = "^2"; to = "^2"; }; stages = [ "roll" ]; },
	{ name = "climb"; when = { from = "^1"; to = "^[23]"; }; stages = [ "climb", "roll" ]; }
);
sets = {
	node = { from = "nodes"; probe = "version"; class = ( { is = "old"; match = "^${param.from}$"; }, { is = "new"; match = "^${param.to}$"; } ); };
	edge = { from = "path"; probe = "level"; to = "${param.to}"; levels = ( { is = "three"; match = "^3[.]"; }, { is = "two"; match = "^2[.]"; } );
		edges = ( { from = "one"; to = "odd"; file = "a"; }, { from = "odd"; to = "three"; file = "${param.name}.sql"; },
			{ from = "one"; to = "oneandahalf"; file = "c"; }, { from = "oneandahalf"; to = "two"; file = "d"; }, { from = "two"; to = "three"; file = "e"; } ); };
};
probes = {
	version = { read = "LAB/nodes/${node.name}/version"; on = "self"; };
	site = { run = [ "cat", "LAB/site" ]; on = "local"; };
	level = { run = [ "cat", "LAB/level" ]; on = "local"; };
	there = { run = [ "cat", "LAB/level" ]; on = "local"; equals = "${edge.name}"; };
	upgraded = { read = "LAB/nodes/${node.name}/version"; on = "self"; equals = "${param.to}"; };
};
stages = (
	{ name = "climb"; for = "edge"; where = [ "old" ]; order = "path"; steps = (
		{ name = "step"; run = [ "sh", "-c", "echo $1 $2 >>LAB/ran; test ! -e LAB/stop.$1 && echo $1 >LAB/level", "climb", "${edge.name}", "${edge.file}" ]; on = "local";
			resolve = "rerun"; verify = [ "there" ]; undo = "none"; } ); },
	{ name = "roll"; for = "node"; where = [ "old" ]; after = [ "climb" ]; steps = (
		{ name = "install"; run = [ "sh", "-c", "echo ${param.to} >version.new; mv version.new LAB/nodes/${node.name}/version" ]; on = "self";
			resolve = "rerun"; verify = [ "upgraded" ]; undo = "none"; } ); } );
"""


class Ways:
	"""A small site and its profile."""

	def __init__(self, lab):
		self.lab = lab
		for node in lab.nodes:
			self.version(node.name, "1.7")
		(lab.dir / "site").write_text("bench\n")
		self.level("one")

	def version(self, node, version):
		(self.lab.node(node).dir / "version").write_text(version + "\n")

	def level(self, level):
		(self.lab.dir / "level").write_text(level + "\n")

	def start_upgd(self, profile=PROFILE, more=""):
		lab = self.lab
		(lab.dir / "ways.conf").write_text(profile.replace("LAB", str(lab.dir)))
		nodes = ",\n".join(f'\t{{ name = "{n.name}"; host = "127.0.0.1"; health = "http://127.0.0.1:1"; }}' for n in lab.nodes)
		(lab.dir / "upgd.conf").write_text(f"""cluster = "ways";
profile = "{lab.dir}/ways.conf";
state_dir = "{lab.dir}/state";
socket = "{lab.dir}/upgd.sock";
nodes = (
{nodes}
);
remote = {{ argv = {strings(lab.remote_argv())}; }};
local_runner = {strings([lab.build / "runner/upgd-run", "serve", "--state", f"{lab.dir}/state/run"])};
pace = {{ watch = "200ms"; observe = "500ms"; in_flight = 8; }};
""" + more)
		lab.start_upgd()

	def refused(self, *args):
		"""What it says to who asks for that, and is refused."""
		done = subprocess.run(self.lab.upgctl_argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
		assert done.returncode not in (0, 7), done.stdout
		return done.stderr + done.stdout

	def text(self, *args):
		return self.lab.upgctl(*args)


@pytest.fixture
def ways(make_lab):
	site = Ways(make_lab(nodes=3, bare=True))
	site.start_upgd()
	return site


def test_what_nobody_gave_is_asked_and_the_plan_follows_from_it(ways):
	check = ways.text("check", "--to", "2.0")
	assert "parameter from: 1.7, as said by ox1, ox2, ox3" in check and "parameter name: bench, as said by site" in check
	assert "plan: climb (from 1.7 matches ^1, to 2.0 matches ^[23])" in check
	plan = ways.text("plan", "--to", "2.0")
	assert "plan: climb (from 1.7 matches ^1" in plan

	ways.version("ox2", "1.8")
	for verb in ("plan", "start"):
		said = ways.refused(verb, "--to", "2.0")
		assert "parameter from: not the same everywhere; ox1, ox3: 1.7; ox2: 1.8; give it: --set from=VALUE" in said
	check = ways.refused("check", "--to", "2.0")
	assert "parameter from: not the same everywhere" in check and "give it: upgctl check --set from=VALUE" in check
	assert "plan: climb (from 1.8 matches" in ways.refused("check", "--to", "2.0", "--set", "from=1.8"), "what is given is not asked"
	ways.version("ox2", "1.7")

	said = ways.refused("start", "--to", "9.0")
	assert "has no plan for this" in said and "climb (from is 1.7 and should match ^1, to is 9.0 and should match ^[23])" in said
	os.rename(ways.lab.dir / "site", ways.lab.dir / "gone")
	assert "parameter name: nobody says what it is; site: exit 1" in ways.refused("start", "--to", "2.0")
	os.rename(ways.lab.dir / "gone", ways.lab.dir / "site")
	(ways.lab.dir / "nodes/ox3/version").unlink()
	assert "parameter from: 1.7, as said by ox1, ox2; no answer from ox3" in ways.refused("check", "--to", "2.0")


def test_a_path_is_gone_step_by_step(ways):
	lab = ways.lab
	plan = ways.text("plan", "--to", "3.0")
	assert "climb        2 of edge" in plan and "reaches its end" in plan, "the shortest way"
	found = lab.upgctl("check", "--to", "3.0", json=True)["findings"]
	assert "from level one to three in 2 steps: odd, three" in [f["text"] for f in found if f["subject"] == "edge"]

	lab.upgctl("start", "--to", "3.0", "--until", "climb/odd")
	lab.wait_until(lambda: lab.units("climb")["climb/odd"]["state"] == "done", 20, "the first step is done")
	assert lab.upgctl("start", "--to", "3.0", json=True)["already"], "what was asked then counts, whatever would be said now"
	assert "ways 1.7>3.0 (plan climb) climb 1/2 roll 0/3" in lab.status()["first"]
	lab.kill_upgd()
	lab.start_upgd()
	assert "ways 1.7>3.0 (plan climb) climb 1/2 roll 0/3" in lab.status()["first"], "the journal has the same plan"
	ways.level("two")
	lab.upgctl("resume")
	lab.wait_until(lambda: "two" in ways.text("explain", "climb/three"), 20, "the level is not on the way, and that is said")
	assert 'level: where the site is on its way is not known: the site says "two", which is no level of this way' in ways.text("explain", "climb/three")
	ways.level("odd")
	lab.wait_for_state("done")
	assert (lab.dir / "ran").read_text() == "odd a\nthree bench.sql\n"
	assert "nothing to do" not in ways.text("plan", "--to", "3.0", "--set", "from=1.7")
	assert "climb        0 of edge" in ways.text("plan", "--to", "3.0", "--set", "from=1.7"), "it is at its end"


def test_what_somebody_else_has_gone_is_not_gone_once_more(ways):
	"""Before the first step, while the rollout is paused; and before a retry of one that has failed."""
	lab = ways.lab
	(lab.dir / "stop.odd").touch()
	lab.upgctl("start", "--to", "3.0")
	lab.wait_until(lambda: lab.units("climb")["climb/odd"]["state"] == "failed", 20, "the first step has failed")
	lab.upgctl("pause")
	ways.level("three")
	lab.upgctl("retry", "climb/odd")
	lab.upgctl("resume")
	lab.wait_for_state("done")
	assert (lab.dir / "ran").read_text() == "odd a\n", "nothing ran but what had failed"
	assert "somebody else has brought it there" in ways.text("log", "--unit", "climb/odd")


def test_what_a_resume_went_around_is_named_when_nothing_else_is_left(ways):
	lab = ways.lab
	(lab.dir / "stop.odd").touch()
	lab.upgctl("start", "--to", "3.0")
	lab.wait_until(lambda: lab.units("climb")["climb/odd"]["state"] == "failed", 20, "the first step has failed")
	lab.upgctl("resume")
	held = lab.wait_until(lambda: [h for h in lab.status()["holds"] if h["scope"] == "climb/odd"], 20, "it is said what all wait for")
	assert held[0]["scope"] == "climb/odd" and lab.status()["waits"] != "nothing"
	lab.upgctl("status", codes=(4,))


def test_a_step_waits_for_the_one_before_it(ways):
	lab = ways.lab
	(lab.dir / "stop.odd").touch()
	lab.upgctl("start", "--to", "3.0")
	lab.wait_until(lambda: lab.units("climb")["climb/odd"]["state"] == "failed", 20, "the first step has failed")
	lab.upgctl("park", "climb/odd")
	lab.wait_for_state("partial")
	units = lab.units("climb")
	assert units["climb/three"]["state"] == "waiting" and (lab.dir / "ran").read_text() == "odd a\n"


def test_where_there_is_no_way_nothing_starts(ways):
	ways.level("nowhere")
	said = ways.refused("start", "--to", "3.0")
	assert 'edge: the site is at level "nowhere", which the profile does not know, and should come to "three"; it knows one to odd, odd to three' in said
	ways.level("three")
	assert 'the site is at level "three", which is newer than "two": there is no way back' in ways.refused("start", "--to", "2.0")
	(ways.lab.dir / "level").unlink()
	assert 'at which level the site is, nobody says, and it should come to "two": level: exit 1' in ways.refused("check", "--to", "2.0")


CHECKED = PROFILE.replace('order = "path"; steps', 'order = "path"; check = [ "script", "asked" ]; steps').replace('after = [ "climb" ]; steps', '''after = [ "climb" ]; check = [ "room", "asked" ]; steps''') \
	.replace('stages = (\n', '''stages = (
	{ name = "begin"; for = "cluster"; check = [ "quiet", "fresh" ]; steps = ( { name = "sure"; approve = "go"; } ); },
''').replace('stages = [ "climb", "roll" ]', 'stages = [ "begin", "climb", "roll" ]').replace("probes = {\n", """probes = {
	script = { run = [ "test", "-e", "LAB/${edge.file}" ]; on = "local"; exit = [ 0 ]; doc = "the script is missing"; mend = "fetch it"; };
	room = { read = "LAB/nodes/${node.name}/room"; on = "self"; match = "enough"; mend = "make room"; };
	quiet = { run = [ "cat", "LAB/quiet" ]; on = "old"; equals = "yes"; };
	fresh = { run = [ "true" ]; on = "new"; exit = [ 0 ]; };
	asked = { run = [ "sh", "-c", "echo >>LAB/asked" ]; on = "local"; exit = [ 0 ]; };
""")


def test_checks_are_asked_of_each_row_with_work(make_lab):
	ways = Ways(make_lab(nodes=3, bare=True))
	lab = ways.lab
	for node in lab.nodes:
		(node.dir / "room").write_text("enough\n")
	(lab.dir / "a").touch()
	ways.start_upgd(CHECKED)
	ways.version("ox3", "3.0")
	(lab.dir / "nodes/ox2/room").write_text("none\n")
	(lab.dir / "quiet").write_text("no\n")
	to = ("--to", "3.0", "--set", "from=1.7")
	lab.upgctl("check", *to, codes=(1,))
	reply = lab.upgctl("check", *to, json=True, codes=(1,))
	errors = {f["subject"]: f for f in reply["findings"] if f["level"] == "error"}
	assert set(errors) == {"edge three", "node ox2", "cluster"}, "each that fails, none of ox3, which has no work there"
	assert errors["edge three"]["text"] == "script: exit 1 (the script is missing)" and errors["edge three"]["mend"] == "fetch it"
	assert errors["node ox2"]["text"].startswith("room: ") and errors["node ox2"]["mend"] == "make room"
	assert errors["cluster"]["text"].startswith("quiet: ")
	assert (lab.dir / "asked").read_text() == "\n" * 8, "twice: two edges and two old nodes"
	assert "edge three: script: " in "".join(lab.upgctl("plan", *to, json=True, codes=(1,))["problems"])

	ways.version("ox3", "1.7")
	(lab.dir / "quiet").write_text("yes\n")
	errors = [f["text"] for f in lab.upgctl("check", *to, json=True, codes=(1,))["findings"] if f["subject"] == "cluster"]
	assert errors == ["fresh: no new node is up to be asked"], "who cannot be asked has not said yes"


ONE = """language = 1; profile = "one";
params = { to = { type = "version"; default = "2.0"; }; };
sets = { edge = { from = "path"; probe = "level"; to = "${param.to}"; edges = ( { from = "1.0"; to = "2.0"; } ); }; };
probes = { level = { run = [ "cat", "LAB/level" ]; on = "local"; }; there = { run = [ "cat", "LAB/level" ]; on = "local"; equals = "${edge.name}"; }; };
stages = ( { name = "climb"; for = "edge"; where = [ "old" ]; order = "path"; steps = (
		{ name = "shut"; run = [ "touch", "LAB/shut" ]; on = "local"; resolve = "rerun"; window = "open"; takes = "1m"; undo = { run = [ "rm", "LAB/shut" ]; }; },
		{ name = "step"; run = [ "sh", "-c", "test -e LAB/go && echo ${edge.name} >LAB/level" ]; on = "local"; resolve = "rerun"; verify = [ "there" ]; takes = "5m"; on_failure = "hold"; undo = "none"; },
		{ name = "open"; run = [ "rm", "LAB/shut" ]; on = "local"; resolve = "rerun"; window = "close"; undo = "none"; } ); },
	{ name = "end"; for = "cluster"; after = [ "climb" ]; steps = ( { name = "said"; run = [ "true" ]; on = "local"; resolve = "rerun"; } ); } );
"""


def test_without_fleets_tenants_or_balancers_nothing_speaks_of_them(make_lab):
	ways = Ways(make_lab(nodes=1, bare=True))
	lab = ways.lab
	ways.level("1.0")
	ways.start_upgd(ONE)
	simulated = ways.text("plan", "--simulate")
	assert "reaches its end" in simulated and "ends after 6m" in simulated and "1 windows: median 6m" in simulated
	lab.upgctl("start")
	lab.wait_until(lambda: lab.units("climb")["climb/2.0"]["state"] == "failed", 20, "the step has failed")
	failed = [simulated, lab.upgctl("status", codes=None), ways.text("explain", "climb/2.0"), lab.upgctl("list", codes=None), lab.upgctl("check", codes=(1,))]
	assert "run 1 HELD one 2.0 climb 0/1 (1 failed) end 0/1 elapsed" in failed[1] and "window open" in failed[1]
	(lab.dir / "go").touch()
	failed += [ways.text("retry", "climb/2.0")]
	lab.wait_for_state("done")
	failed += [ways.text("status"), ways.text("plan"), ways.text("history"), ways.text("log")]
	words = [line for text in failed for line in text.splitlines() for word in ("tenant", "schema", "capacity", " null", "(null)") if word in line]
	assert not words
	assert "climb        0 of edge" in failed[7] and "reaches its end" in failed[7], "nothing left to do, and that is fine"


ROWS = """language = 1; profile = "rows";
sets = { fix = { sql = "db"; query = "SELECT name, state FROM app.fix WHERE state = 'bad'"; column = "state"; absent = "new"; class = ( { is = "old"; match = "."; } ); }; };
probes = { fixed = { sql = "db"; query = "SELECT name FROM app.fix WHERE state = 'bad' AND name = ?"; args = [ "${fix.name}" ]; rows = 0; };
	there = { sql = "db"; query = "SELECT 1"; rows = 1; }; };
stages = ( { name = "mend"; for = "fix"; where = [ "old" ]; before = [ "there" ]; steps = (
	{ name = "go"; run = [ "mariadb", "--defaults-file=LAB/cnf/db-root.cnf", "-e", "UPDATE app.fix SET state = 'good', n = n + 1 WHERE name = '${fix.name}'" ]; on = "local";
		resolve = "rerun"; skip_if_done = true; done_when = [ "fixed" ]; verify = [ "fixed" ]; } ); } );
"""


def test_a_row_that_its_query_gives_no_more_counts_as_the_profile_says(make_lab):
	ways = Ways(make_lab(nodes=1, bare=True))
	lab, db = ways.lab, MariaDB(ways.lab).start()
	db.sql("CREATE DATABASE app; CREATE TABLE app.fix (name VARCHAR(9), state VARCHAR(9), n INT DEFAULT 0); "
		"INSERT INTO app.fix (name, state) VALUES ('a', 'bad'), ('b', 'bad'), ('c', 'bad')")
	ways.start_upgd(ROWS, f'databases = {{ db = {{ option_file = "{db.cnf}"; }}; }};\n')
	lab.upgctl("start", "--until", "mend/a")
	lab.wait_until(lambda: lab.units()["mend/a"]["state"] == "done", 20, "a is mended")
	db.sql("UPDATE app.fix SET state = 'good' WHERE name = 'b'")
	lab.upgctl("resume")
	lab.wait_for_state("done")
	assert db.sql("SELECT name, n FROM app.fix ORDER BY name") == [["a", "1"], ["b", "0"], ["c", "1"]]
	assert "reaches its end" in ways.text("plan") and "0 errors 0 warnings" in ways.text("check"), "no rows: nothing to do"
	lab.upgctl("start")
	lab.wait_for_state("done")


def test_an_end_does_not_wait_for_the_answers(make_lab):
	"""What a parameter is, the level, a check: upgd ends all the same, and leaves nothing of its own behind (under valgrind)."""
	for name in ("site", "level", "asked"):
		ways = Ways(make_lab(nodes=1, bare=True))
		lab = ways.lab
		ways.start_upgd(re.sub(f"(\t{name} = {{ run = )[^]]*]", r'\1[ "sh", "-c", "echo >LAB/begun; exec sleep 1000" ]', CHECKED))
		with subprocess.Popen(lab.upgctl_argv("plan", "--to", "3.0"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as plan:
			lab.wait_until((lab.dir / "begun").exists, 30, f"{name} is asked")
			assert lab.stop_upgd() == 0
			assert plan.wait(60) != 0
