# SPDX-License-Identifier: MIT
"""OMERO from 3.2 to 4.3: what check says, a report that only a person can decide, the way back, the repair, and the end."""

import socket

from omero.data import DIRTY, SQL
from omero.site import Omero


def site(directory, build):
	return Omero(directory, build, old="3.2.3", images=20000, values={"drain": "1m"})


def until_drain(show):
	show.site.wait_until(lambda: show.site.units()["down/n1"].get("step") == "drain", 60, "the node drains")


def run(show):
	omero = show.site
	omero.start_visitors()
	omero.start_upgd()
	show.say("Is the site fit for it? Every check of every script on the way, before anything is touched")
	show.upgctl("check", "--set", "to=4.3.3")
	show.upgctl("plan", "--to", "4.3.3")
	show.say("The rollout begins. While the last session ends, somebody links images of two groups: what 4.2 does not allow")
	with socket.create_connection(("127.0.0.1", omero.fe_server), timeout=10):
		show.upgctl("start", "--to", "4.3.3", "--yes")
		until_drain(show)
		omero.pg.sql(DIRTY["groups"], "omero")
	omero.wait_back("migrate/OMERO4.2__0")
	show.say("Two scripts had committed; the third refused. The old release is back, on the dump, and the rollout rests")
	show.upgctl("status", codes=None)
	show.look(omero.omero("version").startswith("3.2.3") and omero.dbpatch() == "OMERO3A__11", "the old service is not back")
	show.say("A person decides: the images move to the group of their owner. Then it goes on, anew")
	omero.procs.run([omero.pg.bin / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-vGRP=2", "-vUSR=1", "-d", "omero", "-f", SQL / "OMERO4.2__0/omero-4.1-move-to-group.sql"], env=omero.pg.env)
	show.upgctl("retry", "migrate/OMERO4.2__0")
	omero.wait_for_state("done")
	show.upgctl("status", codes=None)
	web, _ = omero.visitors
	web.wait_for("4.3.3")
	show.look(omero.dbpatch() == "OMERO4.3__0", "the database is not at the level of 4.3")
	show.look(web.words() == ["3.2.3", "maintenance", "3.2.3", "maintenance", "4.3.3"], f"users saw something else: {web.told()}")
