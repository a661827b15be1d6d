# SPDX-License-Identifier: MIT
"""Nodes that die, that come back otherwise than they went, or not at all."""

import os
import re
import signal

import pytest

from test_faults import no_unit_failed, reaches_done, state, wait_for_server
from test_rollout import NEW, REDIRECT, START, hold, nobody_failed, only_the_owner_changed, owners, records, redirects, servers, tenants, unit_is

@pytest.fixture
def site_of(make_lab):
	"""So many nodes, six schemata, upgd; every node alone could carry all tenants. within: how long a new node may take to be healthy."""
	def make(nodes=3, within=None, steady=None):
		lab = make_lab(nodes=nodes, schemata=6, contexts=5)
		conf = lab.dir / "upgd.conf"
		text = re.sub(r"capacity = \d+", "capacity = 1000", conf.read_text())
		if within:
			profile = lab.dir / "profile.conf"
			profile.write_text(lab.profile.read_text().replace('within = "15m"', f'within = "{within}"'))
			text = text.replace(str(lab.profile), str(profile))
		if steady:
			text = text.replace('steady = "1s"', f'steady = "{steady}"')
		conf.write_text(text)
		lab.before = tenants(lab)
		lab.start_upgd()
		return lab
	return make


def unit(lab, name):
	return lab.units(name.split("/")[0])[name]


def cut_off(lab, node):
	"""The node dies, and nobody reaches its host."""
	os.kill(lab.node_pid(node), signal.SIGKILL)
	lab.fault("ssh", "cut", node)
	for name in ("lb1", "lb2"):
		lab.wait_until(lambda name=name: state(lab, name, node) == "DOWN", 20, f"{node} is DOWN in {name}")


def comes_back(lab, node):
	lab.fault("ssh", None, node)
	lab.systemctl(node, "start")
	lab.wait_until(lambda: lab.is_healthy(node), 30, f"{node} is healthy")


def approve_all(lab):
	lab.upgctl("approve", "prepare/freeze")
	lab.upgctl("approve", "convert/first-boot")


# fences


def test_a_dead_old_node_is_fenced_and_comes_back_without_its_redirect(site_of):
	lab = site_of()
	lab.upgctl(*START)
	hold(lab, "approval")
	cut_off(lab, "ox3")
	lab.start_users(20)
	approve_all(lab)
	unit_is(lab, "redirect/ox3", state="fenced")
	for name in ("lb1", "lb2"):
		wait_for_server(lab, name, "ox3", "MAINT")
	# the night goes on without it, and says what it waits for
	lab.wait_until(lambda: all(u["state"] == "done" for u in lab.units("migrate").values()), 90, "every schema is moved")
	found = hold(lab, "fenced")
	assert found["scope"] == "redirect/ox3" and found["who"] == "world" and "kept out of main" in found["text"]
	assert "upgctl skip" in lab.upgctl("explain", "convert/ox3")
	assert {o for owner in owners(lab).values() for o in owner} == {NEW}
	# it is back, as it went: with no redirect. Nobody is sent there before it has one
	comes_back(lab, "ox3")
	reaches_done(lab)
	order = [(r["kind"], r.get("unit"), r.get("step")) for r in records(lab)]
	assert order.index(("step", "redirect/ox3", "reload")) < order.index(("intent", "redirect/ox3", "admit"))
	nobody_failed(lab)


def test_a_node_that_lost_its_redirect_is_fenced_by_a_person(site_of):
	lab = site_of(nodes=2)
	lab.start_users(20)
	lab.upgctl(*START, "--yes", "--until", "redirect")
	hold(lab, "until")
	path = lab.node("ox2").dir / "etc/server.properties"
	path.write_text(path.read_text().replace(REDIRECT + "=" + lab.secondary_url, REDIRECT + "="))
	assert redirects(lab) == {"ox1"}
	out = lab.upgctl("fence", "redirect/ox2")
	assert "ox2 is kept out of main" in out
	refused = lab.upgctl("fence", "redirect/ox1", codes=(1,))
	assert refused == ""  # on stderr: one is always left
	unit_is(lab, "redirect/ox2", state="done")
	assert redirects(lab) == {"ox1", "ox2"} and servers(lab, "main") == {"ox1": "UP", "ox2": "UP"}
	kinds = [r["kind"] for r in records(lab)]
	assert kinds.count("foreign") == 0
	lab.upgctl("resume")
	reaches_done(lab)
	no_unit_failed(lab)
	nobody_failed(lab)


# what a node is after its upgrade


def stands_and_says(lab, name, *words):
	lab.wait_until(lambda: unit(lab, name)["state"] == "failed", 90, f"{name} has failed")
	text = lab.upgctl("explain", name)
	for word in words:
		assert word in text, text
	return unit(lab, name)


def test_an_upgrade_that_says_success_and_leaves_the_old_version(site_of):
	"""The package that is there counts, then what the node itself says; each is named, and the node is not let in."""
	lab = site_of(nodes=2, within="6s")
	lab.fault("clt.apt-get", "exit:0", "ox1")
	lab.upgctl(*START, "--yes")
	found = stands_and_says(lab, "convert/ox1", "installed", "7.10.5-40")
	assert found["step"] == "install" and found["past_pivot"]
	assert lab.health("ox1")[0] == 0  # the old code was not started with the new name
	lab.fault("clt.apt-get", None, "ox1")
	lab.fault("health", "old", "ox1")  # healthy, and a process of the old version
	lab.upgctl("retry", "convert/ox1")
	lab.wait_until(lambda: unit(lab, "convert/ox1")["step"] == "start", 30, "the retry installs")
	found = stands_and_says(lab, "convert/ox1", "runs_new", "7.10.5-Rev40")
	assert found["step"] == "start"
	assert servers(lab, "secondary") == {"ox1": "MAINT", "ox2": "MAINT"} and servers(lab, "main")["ox1"] == "MAINT"
	assert {u["state"] for u in lab.units("migrate").values()} == {"waiting"}
	lab.fault("health", None, "ox1")
	lab.upgctl("retry", "convert/ox1")
	reaches_done(lab)


def test_a_node_that_never_comes_back_is_parked_and_the_end_says_so(site_of):
	lab = site_of(nodes=2, within="6s")
	lab.fault("boot", "never", "ox1")
	lab.start_users(20)
	lab.upgctl(*START, "--yes")
	stands_and_says(lab, "convert/ox1", "no answer", "upgctl park convert/ox1")
	out = lab.upgctl("park", "convert/ox1")
	assert "parked" in out
	rollout = lab.wait_for_state("partial", "done", "aborted")
	assert rollout["state"] == "partial" and "1 parked" in rollout["text"]
	# the floors kept the last old node, and everything that it serves
	assert servers(lab, "main") == {"ox1": "MAINT", "ox2": "UP"}
	assert lab.status()["first"].split()[2:3] == ["PARTIAL"] and lab.status()["tenants_down"] == 0
	only_the_owner_changed(lab, moved=())
	nobody_failed(lab)


@pytest.mark.long
def test_a_flapping_node_is_not_let_in(site_of):
	lab = site_of(nodes=2, within="5s", steady="3s")
	lab.upgctl(*START)
	hold(lab, "approval")
	lab.upgctl("approve", "prepare/freeze")
	unit_is(lab, "convert/ox1", state="running", step="first-boot")  # a start refuses a node that is not healthy
	lab.fault("health", "flap:1000", "ox1")
	lab.upgctl("approve", "convert/first-boot")
	stands_and_says(lab, "convert/ox1", "runs_new")
	assert servers(lab, "secondary")["ox1"] == "MAINT"
	lab.fault("health", None, "ox1")
	lab.upgctl("retry", "convert/ox1")
	reaches_done(lab)


# what upgd set in a file


def rewritten(lab, node, url=""):
	"""server.properties as a configuration tool writes it, without what upgd set."""
	path = lab.node(node).dir / "etc/server.properties"
	path.write_text(re.sub(rf"^{re.escape(REDIRECT)}=.*$", f"{REDIRECT}={url}", path.read_text(), flags=re.M))


def test_a_redirect_that_somebody_rewrites_holds_the_migration(site_of):
	"""Named and not fought, until a person says that it is to be set again; nobody is sent to the wrong fleet."""
	lab = site_of(nodes=2)
	lab.start_users(20)
	lab.upgctl(*START, "--yes", "--set", "soak=3s")
	lab.wait_until(lambda: [u for u in lab.units("migrate").values() if u["state"] == "done"], 90, "the first schema is moved")
	lab.upgctl("pause")
	lab.wait_until(lambda: not lab.status()["now"], 60, "nothing moves")
	waiting = {name for name, u in lab.units("migrate").items() if u["state"] == "waiting"}
	assert waiting and redirects(lab) == {"ox2"}
	# as a configuration tool writes it, without what upgd set
	path = lab.node("ox2").dir / "etc/server.properties"
	path.write_text(path.read_text().replace(f"{REDIRECT}={lab.secondary_url}", f"{REDIRECT}="))
	found = lab.wait_until(lambda: next((u for u in lab.status()["attention"] if u["name"] == "redirect/ox2"), None), 60, "it is named")
	assert f'server.properties: we set "{REDIRECT}={lab.secondary_url}", there is "{REDIRECT}="' in found["text"], found
	# what needs it is held, and says so
	lab.upgctl("resume")
	held = hold(lab, "contested")
	assert held["who"] == "operator" and held["scope"] == "redirect/ox2" and "upgctl retry redirect/ox2" in held["text"]
	assert lab.status()["first"].split()[2] == "HELD" and "server.properties" in lab.status()["first"]
	assert "server.properties" in lab.upgctl("explain", min(waiting))
	assert "upgctl retry redirect/ox2" in lab.upgctl("explain", "redirect/ox2")
	assert redirects(lab) == set()
	said = lab.upgctl("retry", "redirect/ox2")
	assert "sets its line again" in said
	reaches_done(lab)
	kinds = [(r["kind"], r.get("unit"), r.get("step"), r.get("code")) for r in records(lab)]
	changed, again = (kinds.index(("line", "redirect/ox2", "set", word)) for word in ("changed", "set-again"))
	read = again + kinds[again:].index(("step", "redirect/ox2", "reload", "verified"))
	assert "unregisterserver -n oxserver," in lab.upgctl("status")  # what a person does next
	assert changed < again and not [k for k in kinds[changed:read] if k[0] == "admit"]
	nobody_failed(lab)
