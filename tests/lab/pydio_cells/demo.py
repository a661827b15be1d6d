# SPDX-License-Identifier: MIT
"""
The demo of Pydio Cells: a site whose tables v4 would refuse. It is found before anything stops, mended while the site is down; the first start of v4 fails,
everything goes back and v3 serves; after the repair the same rollout goes on to its end.
"""

from pydio_cells import data
from pydio_cells.site import Cells

START = ("start", "--to", "4.2.1", "--yes")


def site(directory, build):
	return Cells(directory, build=build, state="latin1", files=20000)


def rests(lab):
	return "back on the old version, and rests" in lab.upgctl("status", codes=None)


def run(show):
	lab = show.site
	lab.start_upgd()
	users = lab.users()
	users.wait_for("v3")
	show.say("Three nodes of Cells 3.0.9 on one MariaDB, whose tables are latin1: v4 would answer 503 and try again for ten minutes. check says so.")
	show.upgctl("check", "--to", "4.2.1", codes=None)
	show.say("It is mended on the way: tables converted statement by statement, foreign keys dropped and added again. But v4 cannot migrate: a fault of the demo.")
	lab.fault("migrate", "fail:pydio.grpc.policy", "n1")
	show.upgctl(*START, "--set", "fix_collation=yes", "--reason", "demo")
	lab.wait_until(lambda: rests(lab), 90, "it is back and rests")
	users.wait_for("v3")
	show.upgctl("status", codes=None)
	show.look(lab.versions() == {"3.0.9"} and data.keys(lab.db) == lab.keys and len(lab.gate()) == 14, "v3 is not as it was")
	show.say("v3 serves, its database is as it was dumped. The cause is repaired; the same rollout begins anew.")
	lab.fault("migrate", None, "n1")
	show.upgctl("retry", "up/n1")
	lab.wait_for_state("done", seconds=90)
	users.wait_for("v4")
	show.upgctl("status", codes=None)
	show.look(lab.versions() == {"4.2.1"} and lab.migrated() == 5, "not every node is on 4.2.1")
	show.look(data.keys(lab.db) == lab.keys and len(lab.keys) == 6, "foreign keys were lost")
	show.look(data.collations(lab.db)["data_pydiods1_nodes.name"] == "utf8mb4_bin", "names do not differ by case any more")
	show.look(data.texts(lab.db) == lab.texts, "what people had written is not the same")
	show.look(set(users.words()) == {"v3", "maintenance", "v4"}, "users saw something else than Cells and the maintenance page")
