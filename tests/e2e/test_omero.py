# SPDX-License-Identifier: MIT
"""OMERO, by conf/profiles/omero.conf: real PostgreSQL and HAProxy, a stand-in of bin/omero, SQL scripts of the shape that OMERO's have."""

import hashlib
import os
import signal

import pytest

from omero.data import SQL
from omero.site import Omero
from procs import LabError

START = ("start", "--to", "4.3.3", "--yes")
OLD, NEW = "OMERO.server {} images=400", "OMERO.server 4.3.3 images=400"


def begin(make_lab, **options):
	site = make_lab(Omero, **options)
	site.start_upgd()
	return site


def captured(site, step):
	"""What a step has captured, as the journal has it."""
	records = site.upgctl("log", "--limit", 500, json=True)["records"]
	return next(r["text"] for r in records if r["kind"] == "capture" and r.get("step") == step)


def serves(site, version, level, level_of="omero"):
	"""The site is up with that version on a database of that level, for users too."""
	web, server = site.visitors
	web.wait_for(version)
	server.wait_for(f"OMERO.server {version} images={site.images}")
	site.omero("admin", "status")
	assert site.omero("version").startswith(version) and site.dbpatch(level_of) == level


def test_from_32_to_43_in_one_go(make_lab):
	"""Four scripts; users see the old one, the page, the new one, and nothing else; the dump is whole and its checksum in the journal."""
	site = begin(make_lab, old="3.2.3")
	web, server = site.start_visitors()
	site.upgctl(*START, "--wait", seconds=120)
	serves(site, "4.3.3", "OMERO4.3__0")
	assert web.words() == ["3.2.3", "maintenance", "4.3.3"], web.told()
	assert [w for w in server.words() if w != "cut"] == [OLD.format("3.2.3"), NEW], server.told()
	assert list(site.units("migrate")) == ["migrate/OMERO4__0", "migrate/OMERO4.1__0", "migrate/OMERO4.2__0", "migrate/OMERO4.3__0"]
	dump = site.dir / "backup/omero-1.dump"
	assert hashlib.sha256(dump.read_bytes()).hexdigest() in captured(site, "sum")
	old, new = site.home / "omero_dist_old", site.home / "omero_dist"
	assert (old / "VERSION").read_text() == "3.2.3\n" and not (site.home / "omero_dist_new").exists()
	assert (old / "etc/grid/config.xml").read_bytes() == (new / "etc/grid/config.xml").read_bytes()
	assert site.databases() == ["omero"]
