# SPDX-License-Identifier: MIT
"""Cloudreve 3.8.3 to 4.0.0: a check that saves the night, a tool that is killed where it cannot go on by itself, and users who see one page."""

import time

from cloudreve.site import Cloudreve

USERS = 800


def site(directory, build):
	return Cloudreve(directory, build=build, users=USERS, dirty=("clash", "orphans"))


def run(show):
	files = show.site
	files.start_upgd()
	user = files.user()
	user.wait_for("3.8.3")

	show.say("V4's configuration has a TablePrefix, which V4 does not know and does not mention; a file of an earlier try is there, too")
	files.write_v4_conf(more="TablePrefix = cd_")
	(files.home / "migration_state.json").write_text("{}")
	show.upgctl("check", codes=(1,))
	files.write_v4_conf()
	(files.home / "migration_state.json").unlink()

	show.say("mended. What will be done, what is lost, and from where on there is no way back")
	show.upgctl("check")
	show.upgctl("plan", "--to", "4.0.0")

	show.say(f"start: {USERS} users, {USERS * 8} files and folders. The migration is killed between a commit and its state file: run again, it would fail for ever")
	files.hook("migrate.crash", "once:after-commit-9")
	begun = time.monotonic()
	show.upgctl("start", "--to", "4.0.0", "--yes", "--wait")
	show.upgctl("status")
	user.wait_for("4.0.0")
	rows = files.rows()
	print(f"{rows['files']} rows of files in V4 after {time.monotonic() - begun:.0f} s")
	show.look(rows["files"] == USERS * 8 + 1 and rows["users"] == USERS, f"rows are missing: {rows}")
	show.look(user.words() == ["3.8.3", "maintenance", "4.0.0"], "users saw something else than the page in between")
