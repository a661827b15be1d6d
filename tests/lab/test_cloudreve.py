# SPDX-License-Identifier: MIT
"""The stand-in of Cloudreve fails where the real tool does, and nowhere else."""

import pytest

from cloudreve.site import Cloudreve

# After a kill here a second run goes on by itself …
SAFE = ("before-commit-2", "before-commit-4", "before-commit-6", "before-commit-7", "inside-8", "before-commit-9", "before-commit-10", "before-commit-11",
	"before-commit-15", "completed")
# … and here each further run ends at a duplicate key, or at half a state file, for ever.
STUCK = ("after-commit-2", "inside-3", "after-commit-4", "inside-5", "after-commit-6", "after-commit-7", "after-commit-9", "after-commit-10",
	"after-commit-11", "after-commit-15", "state-write-9")


@pytest.fixture(name="files", scope="module")
def _files():
	with Cloudreve(users=20, dirty=["clash", "orphans"]) as site:
		yield site


def anew(site, charset="utf8mb4"):
	site.db.sql(f"DROP DATABASE v4; CREATE DATABASE v4 CHARACTER SET {charset}")
	(site.home / "migration_state.json").unlink(missing_ok=True)


@pytest.mark.parametrize("point", SAFE + STUCK)
def test_a_kill_is_survived_or_for_ever(files, point):
	anew(files)
	files.hook("migrate.crash", f"once:{point}")
	assert files.migrate()[0] == -9
	code, text = files.migrate()
	if point in STUCK:
		assert code == 1 and ("Duplicate entry" in text or "failed to load migration state" in text)
		anew(files)
		code, text = files.migrate()
	assert code == 0 and "Migration completed successfully" in text
	assert files.rows()["users"] == 20 and files.rows()["files"] == 20 * 8 + 1


def test_again_is_nothing_and_a_reset_only_forgets(files):
	anew(files)
	assert files.migrate()[0] == 0
	code, text = files.migrate()
	assert code == 0 and "Resumed migration from step 16 (completed)" in text
	code, text = files.migrate("--force-reset")
	assert code == 1 and "failed to create setting hash_id_salt" in text


def test_what_it_asks_and_what_it_does_not(files):
	anew(files)
	files.write_v3_conf(salt="")
	assert files.migrate()[0] == 1 and "hash ID salt is not set" in files.migrate()[1]
	files.write_v3_conf()
	files.write_v4_conf(name="v3")
	code, text = files.migrate()
	assert code == 1 and "failed creating schema resources: sql/schema: copy rows from old table" in text
	(files.home / "data/conf.ini").unlink()
	anew(files)
	code, text = files.migrate()
	assert code == 0 and "Migration completed successfully" in text
	assert (files.home / "data/conf.ini").exists() and files.db.sql("SHOW TABLES FROM v4") == []  # another site, and nobody says so
	files.write_v4_conf()
	files.db.sql("SET GLOBAL default_storage_engine = MyISAM")
	code, text = files.migrate()
	assert code == 1 and "1071" in text
	files.db.sql("SET GLOBAL default_storage_engine = InnoDB")


# What it stops at for good, each alone: what makes it so in V3's tables, and what it says.
WRONG = (
	("UPDATE v3.cd_policies SET options = '' WHERE id = 1", "failed to unmarshal options for policy"),
	("UPDATE v3.cd_groups SET options = '{\"archive_download\":tru' WHERE id = 3", "failed to unmarshal options for group"),
	("UPDATE v3.cd_groups SET policies = '{}' WHERE id = 2", "failed to unmarshal policies for group"),
	("UPDATE v3.cd_nodes SET aria2_enabled = 1, aria2_options = 'not json'", "failed to unmarshal aria2 options"),
	("UPDATE v3.cd_nodes SET aria2_enabled = 1, aria2_options = '{\"options\":\"not json\"}'", "failed to unmarshal aria2 options"),
	("UPDATE v3.cd_users SET group_id = 9 WHERE id = 3", "constraint failed"),
	("UPDATE v3.cd_folders SET owner_id = 99999 WHERE parent_id = 4 AND name = 'folder1'", "ent: file not found"))


def test_what_is_wrong_in_v3_stops_it_for_good(files):
	for statement, said in WRONG:
		files.db.sql("DROP DATABASE v3; CREATE DATABASE v3 CHARACTER SET utf8mb4")
		files.fill()
		files.db.sql(statement)
		anew(files)
		code, text = files.migrate()
		assert code == 1 and said in text, (statement, text)
		assert files.migrate()[0] == 1
