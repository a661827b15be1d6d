# SPDX-License-Identifier: MIT
"""MongooseIM 6.2.0 to 6.2.1 on PostgreSQL, three nodes, sessions that stay open; what a night has in store: duplicate rows, and a node that does not start."""

from procs import LabError

from .site import MongooseIM


def site(directory, build):
	return MongooseIM(directory, build=build)


def run(show):
	mim = show.site
	mim.start_upgd()
	show.say("Rows that are left from a cluster of before: the new key of discovery_nodes would fail at them. upgctl check says so, and how to mend it")
	mim.sql("INSERT INTO discovery_nodes SELECT 'before', node_name, node_num, '', 0 FROM discovery_nodes")
	show.upgctl("check", "--to", "6.2.1", codes=(1,))
	mim.sql("DELETE FROM discovery_nodes d USING discovery_nodes n WHERE d.node_name = n.node_name AND d.updated_timestamp < n.updated_timestamp")
	show.upgctl("check", "--to", "6.2.1")
	show.say("The schema first, under the old nodes; then node by node. n2 will not start with the new version: it goes back alone")
	mim.fault("boot", "die-new", "n2")
	show.upgctl("start", "--to", "6.2.1", "--yes", "--reason", "demo.sh")
	mim.wait_until(lambda: mim.units()["roll/n2"]["state"] in ("failed", "undone"), 90, "n2 is back on the old version")
	mim.wait_until(lambda: len(mim.serving()) == 3, 20, "all nodes serve")
	mim.wait_until(lambda: "n2 ready" in mim.upgctl("status", codes=None), 20, "upgd sees that they do")
	show.upgctl("status", codes=(4,))
	show.look(mim.running() == {"n1": "6.2.1", "n2": "6.2.0", "n3": "6.2.0"}, f"the nodes run {mim.running()}")
	show.say("Mended, it is tried again, and the rollout goes on")
	mim.fault("boot", None, "n2")
	show.upgctl("retry", "roll/n2")
	try:
		mim.wait_for_state("done", seconds=120)
	except LabError as e:
		show.look(False, str(e))
	show.upgctl("status")
	show.look(set(mim.running().values()) == {"6.2.1"}, f"the nodes run {mim.running()}")
	show.look(not any("maintenance" in place for user in mim.users for place in user.places), "a user was told of maintenance")
	show.look({place.split()[1] for place in mim.on_which()} == {"6.2.1"}, f"users are on {mim.on_which()}")
