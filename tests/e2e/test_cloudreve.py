# SPDX-License-Identifier: MIT
"""Cloudreve 3.8 to 4.0 by conf/profiles/cloudreve.conf: the stand-in, whose tool fails as the real one does, on a real MariaDB, behind a real HAProxy."""

import json
import pathlib

import pytest

from cloudreve.site import Cloudreve

# Of the state file's life: after a kill here a second run goes on by itself …
SAFE = ("before-commit-2", "before-commit-6", "before-commit-7", "inside-8", "before-commit-9", "before-commit-15", "completed")
# … and here each further run ends at a duplicate key, or at half a state file, for ever.
STUCK = ("after-commit-2", "inside-3", "after-commit-4", "inside-5", "after-commit-6", "after-commit-9", "after-commit-10", "after-commit-15", "state-write-9")


@pytest.fixture(name="files")
def _files(make_lab):
	def make(**options):
		site = make_lab(Cloudreve, **options)
		site.start_upgd()
		return site
	return make


def start(site):
	site.upgctl("start", "--to", "4.0.0", "--yes")


def is_done(site, seconds=60):
	"""Done, and so it is: V4 serves what V3 served."""
	site.wait_for_state("done", seconds=seconds)
	at = site.remote("n1", "curl", "-s", f"http://127.0.0.1:{site.web}/api/v4/share/info/{site.public['shares'][0]}")
	assert json.loads(at)["data"]["name"] == "report1.pdf"
	assert json.loads((site.home / "migration_state.json").read_text())["step"] == 16
	whole = {"users": site.users, "groups": 3, "files": site.users * 8, "entities": site.users * 5, "shares": min(site.users, 50), "dav_accounts": site.users, "direct_links": 3}
	found = site.rows()
	clash = "clash" in site.dirty
	assert found == {**whole, "files": whole["files"] + clash, "entities": whole["entities"] + clash}


def test_a_site_moves_to_v4_and_users_see_nothing_but_the_page_in_between(files):
	site = files(dirty=["clash", "orphans"])
	user = site.user()
	user.wait_for("3.8.3")
	start(site)
	is_done(site)
	user.wait_for("4.0.0")
	user.leave()
	assert user.words() == ["3.8.3", "maintenance", "4.0.0"], user.told()
	assert site.db.sql("SELECT name FROM v4.files WHERE name LIKE '%\\_folder1'") != []  # the file that is called as a folder
	dump = (site.dir / "backup/cloudreve-1.sql").read_text()
	assert dump.rstrip().splitlines()[-1].startswith("-- Dump completed") and pathlib.Path(site.dir / "backup/cloudreve-1.sql").stat().st_mode & 0o77 == 0
	assert (site.home / "cloudreve_v3").exists() and (site.home / "before-v4-1.tgz").exists()


@pytest.mark.parametrize("point", [p if p in ("before-commit-9", "after-commit-9") else pytest.param(p, marks=pytest.mark.long) for p in SAFE + STUCK])
def test_a_migration_that_is_killed_at_any_point_is_completed(files, point):
	site = files(users=30)
	site.hook("migrate.crash", f"once:{point}")
	start(site)
	is_done(site)
	steps = records(site, "acted")
	assert any("signal 9" in r["text"] for r in steps if r["step"] == "migrate"), "it was killed"
	assert ("empty" in [r["step"] for r in steps]) == (point in STUCK)  # the target is made anew where nothing else helps, and only there


def records(site, kind):
	return [r for r in site.upgctl("log", "--limit", 500, json=True)["records"] if r["kind"] == kind]
