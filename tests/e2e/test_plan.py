# SPDX-License-Identifier: MIT
"""plan --simulate: the night's rules over the real site's rows, before anything is touched."""

import subprocess

PARAMS = ("--to", "7.10.6", "--set", "package=7.10.6-44")


def simulated(site, *args):
	reply = site.upgctl("plan", *PARAMS, "--simulate", *args, json=True)
	assert reply["problems"] == []
	return reply["simulation"]


def refused(site, *args):
	done = subprocess.run(site.upgctl_argv(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
	assert done.returncode != 0
	return done.stderr


def test_a_night_is_simulated_with_ones_own_limits(make_lab):
	lab = make_lab(nodes=3, schemata=8)
	lab.start_upgd()
	began = lab.upgctl("log", json=True)
	narrow = simulated(lab, "--limit", "migrate.total=1", "--takes", "migrate/update=100s")
	wide = simulated(lab, "--limit", "migrate.total=8", "--limit", "migrate.per_host=4", "--takes", "migrate/update=100s")
	assert narrow["windows"]["n"] == wide["windows"]["n"] == 7, "the empty schema takes nobody away"
	assert 100_000 < narrow["windows"]["median_ms"] < 140_000
	assert narrow["tenants_down"] < wide["tenants_down"]
	ends = [next(s["end_ms"] for s in run["stages"] if s["name"] == "migrate") for run in (narrow, wide)]
	assert ends[1] < ends[0]
	assert lab.upgctl("log", json=True) == began, "a simulation leaves no trace"
	text = lab.upgctl("plan", *PARAMS, "--simulate")
	assert "Simulated, with the times the profile gives its steps" in text and "7 windows: median" in text


def test_what_cannot_be_simulated_is_said(make_lab):
	lab = make_lab(nodes=3, schemata=6)
	lab.start_upgd()
	for args, word in ((("--limit", "migrate.total=0"), "is no number from 1"),
		(("--limit", "nowhere.total=1"), "should be STAGE.total"),
		(("--limit", "migrate.nodes=1"), "limits are total, per_host and tenants_down"),
		(("--takes", "migrate/update=soon"), "is no duration"),
		(("--takes", "migrate/nothing=1s"), "is no STAGE/STEP")):
		assert word in refused(lab, "plan", *PARAMS, "--simulate", *args)
	assert "is for a simulation" in refused(lab, "plan", *PARAMS, "--limit", "migrate.total=1")
