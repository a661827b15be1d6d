# SPDX-License-Identifier: MIT
"""What befalls upgd as a process: its clock is set, it is stopped and goes on, its limits are low, signals come at the wrong moment."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import sqlite3
import subprocess

import pytest

from test_faults import LOG, each_update_ran_once, logged, next_update, no_unit_failed, reaches_done, tool_pid, unit, wait_for_log
from test_rollout import START, TASK, hold, nobody_failed, records, tenants

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
HOUR, YEAR = 3600, 365 * 86400


def start_as(lab, prefix=(), env=None):
	"""lab.start_upgd() in other clothes: behind a command that execs it, with more environment."""
	lab.upgd = lab.procs.start("upgd", [*prefix, lab.build / "daemon/upgd", "-c", lab.dir / "upgd.conf"], env=env)
	lab.procs.wait(lab.upgd, lab._upgd_answers, 30, "upgd answers on its socket")  # pylint: disable=protected-access


def boot_times(lab):
	"""{seq: (boot ms, wall ms)} of the journal's records."""
	with contextlib.closing(sqlite3.connect(f"file:{lab.dir}/state/journal.db?mode=ro", uri=True)) as journal:
		return {seq: (boot, wall) for seq, boot, wall in journal.execute("SELECT seq, boot_ms, at FROM journal")}


def edit_conf(lab, old, new):
	path = lab.dir / "upgd.conf"
	text = path.read_text()
	assert old in text
	path.write_text(text.replace(old, new))


# the clock


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists(FAKETIME), reason="the package faketime is not installed")
def test_the_wall_clock_is_set_and_nothing_takes_longer_or_shorter(make_lab):
	"""By an hour, back by two, back by a year: in a canary's soak, in a window, in a wait, each with a restart. Only what is shown knows."""
	soak = 5000
	lab = make_lab(nodes=2, schemata=6, contexts=3, env={"LD_PRELOAD": ""})  # nobody but upgd
	edit_conf(lab, 'soak = "1s"; settle = "1s"', f'soak = "{soak}ms"; settle = "{soak}ms"')
	lab.before = tenants(lab)
	stamp = lab.dir / "clock"
	stamp.write_text("+0\n")
	clock = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

	def set_clock(seconds):
		new = stamp.with_suffix(".new")
		new.write_text(f"{seconds:+d}\n")
		os.rename(new, stamp)
	lab.fault(f"task.any.{TASK}", "slow:500")
	start_as(lab, env=clock)
	lab.upgctl(*START, "--yes")
	first = next_update(lab, ())
	set_clock(-HOUR)
	wait_for_log(lab, f"unit run=.*unit=migrate/{first} code=done")
	set_clock(HOUR)
	lab.kill_upgd()
	start_as(lab, env=clock)
	next_update(lab, {first})
	set_clock(-YEAR)
	wait_for_log(lab, "intent .*unit=sweep/cluster step=settle")
	set_clock(-YEAR - HOUR)
	lab.kill_upgd()
	start_as(lab, env=clock)
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	found, times = records(lab), boot_times(lab)

	def boot(kind, name, **more):
		return next(times[r["seq"]][0] for r in found if r["kind"] == kind and r.get("unit") == name and all(r.get(k) == v for k, v in more.items()))
	# the order is that of what happened, whatever the clock says
	assert [r["seq"] for r in found] == sorted(times) and sorted(times.values()) == [times[s] for s in sorted(times)]
	assert max(b - a for a, b in zip(walls(times), walls(times)[1:])) > HOUR * 900 and min(b - a for a, b in zip(walls(times), walls(times)[1:])) < -YEAR * 900
	soaked = min(times[r["seq"]][0] for r in found if r["kind"] == "admit" and r["unit"].startswith("migrate/") and r["unit"] != f"migrate/{first}") \
		- boot("unit", f"migrate/{first}", code="done")
	waited = boot("acted", "sweep/cluster", step="settle") - boot("intent", "sweep/cluster", step="settle")
	print(f"soak {soak} ms: {soaked} ms; wait {soak} ms: {waited} ms")
	assert soak <= soaked < soak + 60000 and soak <= waited < soak + 60000
	windows = {name: u["window_ms"] for name, u in lab.units("migrate").items() if u.get("window_ms")}
	assert windows and all(0 < ms < 60000 for ms in windows.values()), windows


def walls(times):
	return [times[seq][1] for seq in sorted(times)]


# stopped, and on again


def ended(pid):
	"""Of a child of another process: gone, or waiting to be reaped."""
	try:
		return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
	except OSError:
		return True


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_stopped_in_a_window_and_on_again(make_lab, seconds):
	"""What it waited for has happened meanwhile and counts; what it knew before is old: the world is asked before the next schema starts."""
	lab = make_lab(nodes=3, schemata=6, contexts=5)
	lab.before = tenants(lab)
	lab.fault(f"task.any.{TASK}", "slow:1000")
	lab.start_upgd()
	lab.upgctl(*START, "--yes")
	first = next_update(lab, ())
	tool = tool_pid(lab, first)
	others = {f"migrate/{s['name']}" for s in lab.summary["schemata"] if s["contexts"] and s["name"] != first}
	os.kill(lab.upgd.pid, signal.SIGSTOP)
	lab.wait_until(lambda: ended(tool), 60, "the update has ended")
	counts = "configdb.contexts_per_dbschema"
	lab.sql(f"CREATE TABLE configdb.kept AS SELECT * FROM {counts} WHERE count > 0; DELETE FROM {counts} WHERE count > 0")  # the next gate must see it
	with contextlib.suppress(subprocess.TimeoutExpired):
		lab.upgd.popen.wait(seconds)
	before = len((lab.dir / LOG).read_text())
	os.kill(lab.upgd.pid, signal.SIGCONT)
	wait_for_log(lab, f"unit run=.*unit=migrate/{first} code=done")
	found = hold(lab, "check")
	assert "counted" in found["text"]
	assert not others & set(re.findall(r"admit .*unit=(migrate/\S+)", (lab.dir / LOG).read_text()[before:]))
	lab.sql(f"INSERT INTO {counts} SELECT * FROM configdb.kept")
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)


# limits


def test_too_few_files_are_refused_with_their_number(tmp_path):
	conf = (pathlib.Path(__file__).resolve().parents[2] / "conf/upgd.conf").read_text()
	(tmp_path / "upgd.conf").write_text(re.sub(r'^#?\s*state_dir\s*=.*$', "", conf, flags=re.M) + f'\nstate_dir = "{tmp_path}/state";\nsocket = "{tmp_path}/sock";\n')
	from test_bad_input import BUILD  # pylint: disable=import-outside-toplevel
	done = subprocess.run([BUILD / "daemon/upgd", "-c", tmp_path / "upgd.conf"], capture_output=True, text=True, timeout=60, check=False,
		preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
	assert done.returncode == 1 and re.search(r"cannot start: \d{3} files may be open at once .* the limit is 32: raise it \(LimitNOFILE=", done.stderr), done.stderr
	assert not (tmp_path / "state").exists()


@pytest.mark.long
def test_out_of_memory_in_mid_rollout_it_ends_with_a_word_and_goes_on(make_lab):
	lab = make_lab(nodes=3, schemata=6, contexts=5)
	lab.before = tenants(lab)
	lab.fault(f"task.any.{TASK}", "slow:3000")
	lab.start_upgd()
	lab.upgctl(*START, "--yes")
	next_update(lab, ())
	size = int(re.search(r"^VmSize:\s+(\d+) kB", pathlib.Path(f"/proc/{lab.upgd.pid}/status").read_text(), re.M)[1]) << 10
	resource.prlimit(lab.upgd.pid, resource.RLIMIT_AS, (size, size))
	with contextlib.ExitStack() as stack:
		def hungry():
			"""Each half message is kept for its client."""
			s = stack.enter_context(socket.socket(socket.AF_UNIX))
			s.settimeout(5)
			with contextlib.suppress(OSError):
				s.connect(f"{lab.dir}/upgd.sock")
				for message in ([b'{"method":"io.upgd.Control.ListUnits","parameters":{"limit":500}}\0'] * 500, [b"[" * 60000]):
					s.sendall(b"".join(message))
			return not lab.upgd.alive()
		lab.wait_until(hungry, 60, "upgd ends")
	text = (lab.dir / LOG).read_text()
	assert lab.stop_upgd() == 1 and re.search(r"out of memory", text), text[-2000:]
	lab.fault(f"task.any.{TASK}", None)
	lab.start_upgd()
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)


# signals


def test_signals_in_mid_rollout(make_lab):
	"""Started with nothing on 0 and 1 and a low limit of files; a reload right and wrong; two SIGTERM in a window: at once, the task goes on."""
	lab = make_lab(nodes=3, schemata=6, contexts=5)
	lab.before = tenants(lab)
	lab.fault(f"task.any.{TASK}", "slow:5000")
	start_as(lab, ["sh", "-c", 'ulimit -Sn 32; exec "$@" <&- >&-', "sh"])
	assert [os.readlink(f"/proc/{lab.upgd.pid}/fd/{n}") for n in (0, 1)] == ["/dev/null"] * 2
	assert resource.prlimit(lab.upgd.pid, resource.RLIMIT_NOFILE)[0] > 64
	lab.start_users(60)
	lab.upgctl(*START, "--yes")
	schema = next_update(lab, ())
	path = lab.dir / "upgd.conf"
	good = path.read_text()
	path.write_text(good + "nonsense = 7;\n")
	os.kill(lab.upgd.pid, signal.SIGHUP)
	wait_for_log(lab, r"upgd.conf:\d+: .*nonsense")
	wait_for_log(lab, "reload: upgd.conf has mistakes; everything stays as it is")
	path.write_text(good.replace('watch = "200ms"', 'watch = "100ms"').replace('cluster = "lab"', 'cluster = "other"'))
	os.kill(lab.upgd.pid, signal.SIGHUP)
	wait_for_log(lab, "reload: needs a restart: cluster")
	wait_for_log(lab, "reload: roles, pace and vars are those of")
	path.write_text(good)
	assert unit(lab, f"migrate/{schema}")["state"] == "running"
	tool = tool_pid(lab, schema)
	os.kill(lab.upgd.pid, signal.SIGTERM)
	wait_for_log(lab, "nothing new starts, 1 open windows close first")
	assert lab.stop_upgd(seconds=20) == 0
	assert logged(lab, "again: ending at once, 1 windows stay open until upgd starts again")
	assert not ended(tool)
	lab.fault(f"task.any.{TASK}", None)
	start_as(lab, ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
	assert [os.readlink(f"/proc/{lab.upgd.pid}/fd/{n}") for n in (0, 1, 2)] == ["/dev/null"] * 3
	reaches_done(lab)
	no_unit_failed(lab)
	each_update_ran_once(lab)
	nobody_failed(lab)
