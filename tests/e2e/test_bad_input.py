# SPDX-License-Identifier: MIT
"""What people, tools and strangers say wrongly: each mistake is named where it is, and nobody else notices."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import threading

import pytest

from test_faults import stop_child
from test_rollout import RELEASE, START, hold

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("UPGD_BUILD") or ROOT / "build").resolve()
PROFILE = ROOT / "conf/profiles/ox-appsuite.conf"


@pytest.fixture
def small(make_lab):
	def make(**options):
		lab = make_lab(nodes=2, schemata=6, contexts=3, **options)
		lab.start_upgd()
		return lab
	return make


def run(*argv):
	return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def upgd(*args):
	return run(BUILD / "daemon/upgd", *args)


def upgctl(lab, *args):
	"""(exit code, stdout, stderr)"""
	done = run(*lab.upgctl_argv(*args))
	return done.returncode, done.stdout, done.stderr


def says(lab, code, text, *args):
	"""It ends with that code and one line on standard error that says so."""
	got, out, err = upgctl(lab, *args)
	assert got == code and re.search(text, err), f"{args}: exit {got}\n{out}{err}"
	assert err.startswith("upgctl: ") and err.count("\n") == 1


# upgd.conf

MISTAKES = f"""cluster = "";                                     // 1
profle = "x";                                     // 2
profile = "{PROFILE}";
state_dir = "state";                              // 4
socket = 7;                                       // 5
nodes = (
	{{ name = "ox1"; host = "h"; health = "http://h:1"; capacity = -5; }},   // 7
	{{ name = "ox2"; health = "http://h:2"; }},                            // 8
	{{ name = "ox 3"; host = "h"; health = "http://h:3"; }},               // 9
	{{ host = "h"; health = "http://h:4"; capacity = "many"; }}            // 10, twice
);
balancers = {{
	main = {{ backend = ""; sockets = [ "/a.sock" ]; masters = [ "/a", "/b" ]; }}; // 13, twice
	secondary = {{ backend = "be"; sockets = "x"; }}; // 14
}};
remote = {{ argv = [ ]; }};                         // 16
local_runner = "x";                               // 17
databases = {{
	configdb = {{ option_fil = "/x"; }};            // 19
	hosts = (
		{{ name = "db1"; pools = [ "3", "3" ]; option_file = "/x"; parallel = 0; }}, // 21, twice
		{{ name = "db1"; pools = [ "9" ]; option_file = "relative"; }},              // 22, twice
		{{ name = "db3"; pools = [ "3" ]; option_file = "/x"; }}                     // 23
	);
}};
vars = {{ soak = 7; }};                             // 26
pace = {{ watch = "200"; in_flight = 0; }};         // 27, twice
roles = {{ operator = [ "nobody-of-that-name" ]; admn = [ "root" ]; }};            // 28, twice
"""


def test_all_mistakes_of_a_configuration_are_named_with_their_lines(tmp_path):
	path = tmp_path / "upgd.conf"
	path.write_text(MISTAKES)
	done = upgd("-t", "-c", path)
	named = [int(n) for n in re.findall(rf"^{re.escape(str(path))}:(\d+): .", done.stderr, re.MULTILINE)]
	assert done.returncode == 1 and len(named) == done.stderr.count("\n") >= 20
	assert set(named) >= {1, 2, 4, 5, 7, 8, 9, 10, 13, 14, 16, 17, 19, 21, 22, 23, 26, 27, 28}
	assert all(named.count(line) >= 2 for line in (10, 13, 21, 22, 27, 28))
	for word in ("did you mean 'profile'", "absolute path", "pool '3' is there twice", "database host 'db1' is there twice", "nobody-of-that-name"):
		assert word in done.stderr
	# and the daemon does not start with it
	assert upgd("-c", path).returncode == 1 and not (tmp_path / "state").exists()


@pytest.mark.parametrize("text,line,why", [
	('cluster = "x";\nprofile = = "y";\n', 2, "syntax error"),
	('cluster = "x";\nnodes = ( { name = "a"; capacity = 4294967297; } );\n', 2, "4294967297 needs an L at its end"),
	('cluster = "x";\n@include "nowhere.conf"\n', 2, "@include is not supported"),
	('cluster = "x";\ncluster = "y";\n', 2, "duplicate setting"),
	('cluster = "x";\nvars = { a = "unterminated;\n', 2, "no closing quote"),
])
def test_a_configuration_that_cannot_be_read(tmp_path, text, line, why):
	path = tmp_path / "upgd.conf"
	path.write_text(text)
	done = upgd("-t", "-c", path)
	assert done.returncode == 1 and re.search(rf"^{re.escape(str(path))}:{line}: .*{why}", done.stderr, re.MULTILINE), done.stderr


def test_words_that_upgd_and_upgctl_do_not_know(tmp_path):
	for args, why in (([], "No such file"), (["--bogus"], "unknown option --bogus"), (["--dump"], "goes with -t"), (["x"], "options only"), (["-l", "loud"], "debug"),
			(["--offline", "x"], "status or runbook"), (["--print-doc", "x"], "methods"), (["-t", "--offline", "status"], "do not go together")):
		done = upgd(*(["-c", tmp_path / "none"] if not args else args))
		assert done.returncode == (2 if args else 1) and why in done.stderr, done.stderr
	done = upgd("--help")
	assert done.returncode == 0 and "--offline status|runbook" in done.stdout
	ctl = (BUILD / "ctl/upgctl", "--socket", tmp_path / "none")
	for args, code, why in ((["frobnicate"], 2, "no such verb"), (["--bogus", "status"], 2, "--bogus: no such option"), (["pause", "--bogus"], 2, "no option --bogus"), (["retry"], 2, "which unit"), (["approve"], 2, "which STAGE/STEP?"), (["abort", "x"], 2, "whole number"),
			(["status"], 7, "cannot reach upgd"), (["watch"], 7, "cannot reach upgd"), (["pause", "--json"], 7, "cannot reach upgd")):
		done = run(*ctl, *args)
		assert done.returncode == code and why in done.stderr and done.stderr.count("\n") == 1, f"{args}: {done.returncode} {done.stderr}"


def test_what_is_dumped_is_the_same_configuration(make_lab):
	lab = make_lab(nodes=2, schemata=6, contexts=3)
	first = upgd("-t", "--dump", "-c", lab.dir / "upgd.conf")
	(lab.dir / "dumped.conf").write_text(first.stdout)
	second = upgd("-t", "--dump", "-c", lab.dir / "dumped.conf")
	assert first.returncode == second.returncode == 0 and first.stdout == second.stdout
	for value in (lab.dir / "upgd.sock", lab.dir / "lb/lb2-master.sock", lab.nodes[1].http, lab.secondary_url, "db2.cnf", "200ms"):
		assert str(value) in first.stdout
	# a directory without a journal is not taken for a disk that fails
	done = upgd("--offline", "status", "-c", lab.dir / "upgd.conf", "--state", lab.dir)
	assert done.returncode == 1 and "there is no journal here" in done.stderr, done.stderr
	# a profile that is not there is found before the start
	conf = (lab.dir / "upgd.conf").read_text().replace(str(lab.profile), "no-such-profile")
	(lab.dir / "other.conf").write_text(conf)
	done = upgd("-t", "-c", lab.dir / "other.conf")
	assert done.returncode == 1 and "no-such-profile" in done.stderr


# what upgctl is told


def test_names_that_are_not_there(small):
	lab = small()
	says(lab, 1, "there is no rollout yet", "explain", "migrate/nope")
	says(lab, 2, "nope is no stage of profile ox-appsuite", *START, "--until", "nope", "--yes")
	says(lab, 2, "nothing here is called nope", *START, "-k", "nope", "--yes")
	says(lab, 2, "nothing here is called nope", *START, "--only", "nope", "--yes")
	says(lab, 2, 'no parameter "nope"', *START, "--set", "nope=1", "--yes")
	says(lab, 2, "package is missing", "start", "--to", "7.10.6", "--yes")
	says(lab, 2, "should be a duration", *START, "--set", "soak=soon", "--yes")
	says(lab, 2, "continue or pause", *START, "--on-failure=maybe", "--yes")
	says(lab, 1, "there is no rollout yet", "pause")
	lab.upgctl(*START, "--until", "prepare", "--yes")
	hold(lab, "until")
	for verb in ("explain", "show", "skip", "park", "retry"):
		says(lab, 1, "migrate/nope", verb, "migrate/nope")
	says(lab, 2, "nope", "list", "--stage", "nope")
	says(lab, 2, "nope", "list", "--state", "nope")
	says(lab, 2, "asks no question", "approve", "nope")
	says(lab, 2, "run 1 is at hand, not 7", "abort", "7")
	says(lab, 2, "from 0 to", "log", "--since", "-1")
	# the same start again is acknowledged, another one is not
	assert "already" in lab.upgctl(*START, "--until", "prepare", "--yes")
	says(lab, 1, "rollout 1 with other parameters", "start", "--to", "7.10.6", "--set", "package=7.10.6-45", "--yes")
	assert len(lab.upgctl("history", json=True)["rollouts"]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_has_no_role_may_look_at_nothing_and_change_nothing(small):
	lab = small()
	os.chmod(lab.dir, 0o755)
	build = lab.dir / "upgctl"
	build.write_bytes((lab.build / "ctl/upgctl").read_bytes())  # the build directory may be closed to others
	os.chmod(build, 0o755)

	def nobody(*args):
		return run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", build, "--socket", lab.dir / "upgd.sock", *args)
	done = nobody("whoami")
	assert done.returncode == 0 and "role none" in done.stdout
	for args, role in ((["status"], "viewer"), (["check"], "operator"), ([*START, "--yes"], "operator"), (["abort", "1"], "admin")):
		done = nobody(*args)
		assert done.returncode == 6 and f"needs the role {role}; uid=65534" in done.stderr and done.stderr.count("\n") == 1, done.stderr
	# given the role of a viewer, by a reload
	with open(lab.dir / "upgd.conf", "a") as conf:
		conf.write('roles = { viewer = [ "uid:65534" ]; };\n')
	os.kill(lab.upgd.pid, signal.SIGHUP)
	lab.wait_until(lambda: nobody("status").returncode == 0, 20, "the reload gives the role")
	assert nobody(*START, "--yes").returncode == 6
	assert lab.status()["rollout"] is None


# the control socket


def talk(lab, data):
	"""All that is answered until the other side closes."""
	with socket.socket(socket.AF_UNIX) as s:
		s.settimeout(20)
		s.connect(f"{lab.dir}/upgd.sock")
		with contextlib.suppress(OSError):  # it hangs up on who says too much
			s.sendall(data)
			s.shutdown(socket.SHUT_WR)
		out = b""
		with contextlib.suppress(ConnectionResetError):
			while more := s.recv(65536):
				out += more
	return [json.loads(m) for m in out.split(b"\0") if m]


def call(method, **parameters):
	return json.dumps({"method": method, "parameters": parameters}).encode() + b"\0"


CONTROL = "io.upgd.Control."
WRONG = [
	(b"x" * (1 << 20), "BadParameter", "longer than 65536 bytes"),
	(b"[" * 60000 + b"\0", "BadParameter", "not JSON|nest|deep"),
	(b"\xff\xfe\x00\x01\x80" * 400 + b"\0", "BadParameter", "not JSON"),
	(b"\0", "BadParameter", "not JSON"),
	(b"[]\0", "BadParameter", "must be an object"),
	(b"{}\0", "BadParameter", "method.* is missing"),
	(b'{"method":7}\0', "BadParameter", "must be a string"),
	(b'{"method":"io.upgd.Control.Status","method":"io.upgd.Control.Abort"}\0', "BadParameter", "."),
	(b'{"method":"io.upgd.Control.Status","parameters":[]}\0', "BadParameter", "must be an object"),
	(call(CONTROL + "Nope"), "MethodNotFound", ""),
	(call("io.upgd.Nope.X"), "InterfaceNotFound", ""),
	(call(CONTROL + "Explain", unit=7), "InvalidParameter", "must be a string"),
	(call(CONTROL + "Explain"), "InvalidParameter", "needs the parameter"),
	(call(CONTROL + "Status", nope=1), "InvalidParameter", "no parameter"),
	(call(CONTROL + "ListUnits", limit="x"), "InvalidParameter", "whole number"),
	(call(CONTROL + "Log", since=-1), "BadParameter", "from 0 to"),
	(call(CONTROL + "Start", params={"to": {}}), "Parameter", "."),
]


def test_nonsense_on_the_control_socket_is_answered_and_hurts_nobody(small):
	lab = small()
	with subprocess.Popen(lab.upgctl_argv("log", "--follow", "--json"), stdout=subprocess.PIPE, text=True, env=lab.procs.env) as follower:
		deadline = threading.Timer(120, follower.kill)
		deadline.start()
		try:
			for data, error, text in WRONG:
				answers = talk(lab, data)
				assert len(answers) == 1 and answers[0]["error"].endswith(error), f"{data[:80]}: {answers}"
				assert re.search(text, answers[0]["parameters"].get("text", "")), f"{data[:80]}: {answers}"
			assert talk(lab, b'{"method":"io.upgd.Control.Sta') == []
			assert talk(lab, b"") == []
			# one that says half a message and stays is nobody's burden
			with socket.socket(socket.AF_UNIX) as half:
				half.connect(f"{lab.dir}/upgd.sock")
				half.sendall(b'{"method"')
				answers = talk(lab, call(CONTROL + "Whoami") + call(CONTROL + "Status"))
				assert [sorted(a) for a in answers] == [["parameters"], ["parameters"]]
			# who followed all the time is served still, by the same process
			lab.upgctl(*START, "--until", "prepare", "--yes")
			assert any('"kind":"start"' in line for line in follower.stdout)
		finally:
			deadline.cancel()
			follower.kill()
	assert lab.stop_upgd() == 0


def test_clients_that_crowd_dawdle_and_vanish(small):
	"""A thousand at once, one that never reads, one letter at a time, one that is gone before its answer: each is bounded, the rest is served."""
	lab = small()
	path = f"{lab.dir}/upgd.sock"
	with contextlib.ExitStack() as stack:
		crowd = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(1000)]
		for s in crowd:
			s.connect(path)  # waits for its turn
			s.settimeout(20)
		lab.wait_until(lambda: any(json.loads(m).get("error", "").endswith("Busy") for m in _said(crowd[-1])), 30, "the last one is told that it is full")
	lab.wait_until(lambda: "rollout" in lab.status(), 30, "there is room again")
	with contextlib.ExitStack() as stack:
		deaf = stack.enter_context(socket.socket(socket.AF_UNIX))
		deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
		deaf.connect(path)
		deaf.sendall(call(CONTROL + "Whoami"))
		deaf.settimeout(1)
		with contextlib.suppress(OSError):  # it is not read from any more, or dropped
			for _ in range(64):
				deaf.sendall(call(CONTROL + "Whoami") * 1000)
		slow = stack.enter_context(socket.socket(socket.AF_UNIX))
		slow.settimeout(20)
		slow.connect(path)
		message = call(CONTROL + "Whoami")
		for i in range(len(message)):
			slow.sendall(message[i:i + 1])
			if i % 16 == 0:
				assert lab.upgctl("whoami")
		assert b"parameters" in slow.recv(4096)
	rss = int(re.search(r"^VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{lab.upgd.pid}/status").read_text(), re.M)[1])
	assert rss < 64 << 10, f"{rss} kB"
	lab.upgctl(*START, "--until", "prepare", "--yes")
	hold(lab, "until")
	with socket.socket(socket.AF_UNIX) as gone:
		gone.connect(path)
		gone.sendall(call(CONTROL + "Pause"))
	lab.wait_until(lambda: lab.status()["rollout"]["state"] == "paused", 20, "what was asked for is done, also if nobody waits for the answer")
	assert lab.stop_upgd() == 0


def _said(s):
	"""The whole messages that have come."""
	with contextlib.suppress(OSError):
		return [m for m in s.recv(65536).split(b"\0") if m]
	return []


# what upgd asks and is not answered


@contextlib.contextmanager
def moved_away(path):
	os.rename(path, f"{path}.away")
	try:
		yield
	finally:
		path.unlink(missing_ok=True)
		os.rename(f"{path}.away", path)


@contextlib.contextmanager
def impostor(path, answer):
	"""Answers each connection with these bytes and hangs up."""
	with socket.socket(socket.AF_UNIX) as s:
		s.bind(str(path))
		s.listen(16)

		def serve():
			while True:
				try:
					peer, _ = s.accept()
				except OSError:
					return
				with peer, contextlib.suppress(OSError):
					peer.recv(4096)
					peer.sendall(answer)
		thread = threading.Thread(target=serve)
		thread.start()
		try:
			yield
		finally:
			s.shutdown(socket.SHUT_RDWR)
			thread.join()
			path.unlink()


def refused(lab, text):
	"""check names it, start does not begin."""
	code, out, _ = upgctl(lab, "check", *RELEASE)
	assert code == 1 and re.search(text, out), out
	got, _, err = upgctl(lab, *START, "--yes")
	assert got == 1 and lab.status()["rollout"] is None, err
	return err


def test_a_balancer_that_cannot_be_understood(small):
	lab = small()
	path = lab.dir / "lb/sec.sock"
	with moved_away(path):
		refused(lab, f"balancer secondary.*{path}: cannot connect: No such file or directory")
		if os.geteuid() != 0:
			path.touch(mode=0)
			refused(lab, "Permission denied|Connection refused")
			path.unlink()
		for answer, why in ((b"garbage\n\n", 'unexpected answer "garbage"'), (b"Name: HAPr", "unexpected|without|cut|incomplete|missing|no "), (b"", "closed without an answer"),
				(b"\xff\x00\x1b[31m" * 40, "unexpected answer"), (b"x" * (9 << 20), "longer than 4 MiB")):
			with impostor(path, answer):
				refused(lab, f"balancer secondary.*{path}.*({why})")
	assert "0 errors" in lab.upgctl("check", *RELEASE)


def test_no_database_no_start(small):
	lab = small()
	start = stop_child(lab, "db1")
	err = refused(lab, "configdb: cannot connect: Can't connect")
	assert "cannot connect" in err and err.count("\n") == 1
	assert lab.upgd.alive()
	start()
	lab.wait_until(lambda: upgctl(lab, "check", *RELEASE)[0] == 0, 60, "check is content again")
	lab.upgctl(*START, "--until", "redirect", "--yes")
	hold(lab, "until")


# tools


def tool(lab, node, name, script):
	"""Puts a script in the place of a tool; $real is the tool."""
	path = lab.node(node).dir / "bin" / name
	real = lab.node(node).dir / "real" / name
	real.parent.mkdir(exist_ok=True)
	if path.is_symlink():
		os.rename(path, real)
	path.unlink(missing_ok=True)
	path.write_text(f"#!/bin/sh\nreal={shlex.quote(str(real))}\n{script}\n")
	os.chmod(path, 0o755)


@pytest.mark.long
def test_a_list_too_long_to_be_kept_opens_no_window(make_lab):
	"""Of more than 64 KiB the middle is gone: tasks that nobody would ever see done, with the tenants already down."""
	lab = make_lab(nodes=2, schemata=6, contexts=2)
	for node in ("ox1", "ox2"):
		tool(lab, node, "listUpdateTasks", f'[ -e {lab.dir}/go ] && exec $real "$@"\nout=$($real "$@")\nfor i in $(seq 300); do echo "$out"; done')
	lab.start_upgd()
	lab.upgctl(*START, "--until", "migrate", "--yes")

	def asked():
		return [u for u in lab.units("migrate").values() if "is not known as a whole" in u.get("text", "")]
	lab.wait_until(asked, 90, "the list is not taken as it is")
	assert not any(u.get("in_window") for u in lab.units("migrate").values())
	(lab.dir / "go").touch()
	lab.wait_until(lambda: {u["state"] for u in lab.units("migrate").values()} == {"done"}, 90, "all is moved")


def test_tools_that_hang_flood_and_talk_garbage(make_lab, tmp_path):
	profile = tmp_path / "ox-appsuite.conf"
	profile.write_text(PROFILE.read_text().replace('timeout = "2m"', 'timeout = "1s"'))
	lab = make_lab(nodes=3, schemata=6, contexts=3, profile=profile)
	go = lab.dir / "go"
	tool(lab, "ox1", "reloadconfiguration", "head -c 52428800 /dev/zero | tr '\\0' x\nexec $real")
	tool(lab, "ox2", "reloadconfiguration", f"while [ ! -e {go} ]; do sleep 0.05; done\nexec $real")
	tool(lab, "ox3", "reloadconfiguration", "printf 'a\\377\\033[2J\\n\\001'\nexit 42")
	lab.start_upgd()
	lab.upgctl(*START, "--until", "redirect", "--yes")

	def unit(name):
		return lab.units("redirect")[f"redirect/{name}"]
	lab.wait_until(lambda: unit("ox1")["state"] == "done" and unit("ox3")["state"] == "failed", 60, "one ends well, one fails")
	# late is not failed: who knows what it does
	lab.wait_until(lambda: "over its time" in unit("ox2").get("text", ""), 30, "ox2 is shown as late")
	assert "redirect/ox2" in {u["name"] for u in lab.status()["attention"]}
	assert unit("ox2")["state"] == "running" and unit("ox2")["attempt"] == 1
	text = lab.upgctl("explain", "redirect/ox3")
	assert "exit 42" in text and "\033" not in text and "\377" not in text
	assert max(len(r.get("text") or "") for r in lab.upgctl("log", "--limit", "500", json=True)["records"]) < 80 << 10
	assert sum(p.stat().st_size for p in (lab.dir / "state").glob("journal.db*")) < 4 << 20
	assert sum(p.stat().st_size for p in (lab.node("ox1").dir / "run").rglob("*") if p.is_file()) < 2 << 20
	go.touch()
	tool(lab, "ox3", "reloadconfiguration", "exec $real")
	lab.upgctl("retry", "redirect/ox3")
	lab.wait_until(lambda: {u["state"] for u in lab.units("redirect").values()} == {"done"}, 60, "all is done")
	assert unit("ox2")["attempt"] == 1


# what check knows before the night


def test_check_names_what_would_go_wrong_at_night(make_lab):
	"""A program that one node lacks, a version that nobody has, one that runs already, a rollout that is at hand."""
	lab = make_lab(nodes=2, schemata=6, contexts=2)
	lab.start_upgd()
	assert "0 errors" in lab.upgctl("check", *RELEASE)
	tool = lab.node("ox2").dir / "bin/reloadconfiguration"
	tool.rename(tool.with_suffix(".away"))
	code, out, _ = upgctl(lab, "check", *RELEASE)
	assert code == 1 and re.search("runner of ox2: what the profile runs there is not there: reloadconfiguration\n", out) and "runner of ox1" not in out, out
	tool.with_suffix(".away").rename(tool)
	code, out, _ = upgctl(lab, "check", "--to", "7.10.6", "--set", "package=7.10.6-99")
	assert code == 1 and len(re.findall("node ox[12]: .*Version '7.10.6-99' for 'open-xchange' was not found", out)) == 2, out
	code, out, _ = upgctl(lab, "check", "--to", "7.10.5", "--set", "package=7.10.5-40")
	assert code == 1 and len(re.findall('node ox[12]: "7.10.5-Rev40" is both old and new', out)) == 2 and "runs already" in out, out
	says(lab, 1, "is both old and new", "start", "--to", "7.10.5", "--set", "package=7.10.5-40", "--yes")
	code, out, _ = upgctl(lab, "check", "--to", "7.10.5", "--set", "package=7.10.5-40", "--set", "from=7.10.4")
	assert "every node is new already" in out, out
	lab.upgctl(*START, "--until", "prepare", "--yes")
	code, out, _ = upgctl(lab, "check", *RELEASE)
	assert code == 1 and "rollout 1: is at hand" in out, out
