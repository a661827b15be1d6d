# SPDX-License-Identifier: MIT
"""
V3's database, full: users with folders, files, shares, direct links and WebDAV accounts; clean, or dirty in the ways that the migration meets.

  clash     a file that is called as a folder beside it: renamed by the migration
  orphans   files, folders, shares and WebDAV accounts of nobody: skipped by the migration
  json      groups, nodes and a policy with options that are not what they should be: half way it stops, outside any transaction
  constraints  a user of no group, and nobody's folder in somebody's: it stops for good
"""

import argparse
import json
import pathlib

import conf
import schema

FILES_EACH = 5  # of a user; folders: 2 and the root


def fill(db, prefix, home, salt, site, users=60, dirty=(), version="3.8.1"):
	"""Returns the public names of three shares and three direct links, whose files are on disk."""
	for statement in schema.v3_ddl(prefix):
		db.query(statement)
	_site(db, prefix, version, site)
	_users(db, prefix, users)
	for kind in dirty:
		for statement in DIRT[kind](prefix):
			db.query(statement)
	for i in range(1, 4):
		path = home / f"uploads/{i}/report{i}.pdf"
		path.parent.mkdir(parents=True, exist_ok=True)
		path.write_bytes(f"file {i} ".encode() * 100 * i)
		db.query(f"UPDATE `{prefix}files` SET name = 'report{i}.pdf', source_name = 'uploads/{i}/report{i}.pdf', size = {path.stat().st_size} WHERE id = {i}")
		db.query(f"INSERT INTO `{prefix}source_links` (id, file_id, name, downloads) VALUES ({i}, {i}, 'report{i}.pdf', 0)")
	return {"shares": [conf.key_of(salt, "share", i) for i in range(1, 4)],
		"links": [f"f/{conf.key_of(salt, 'link', i)}/report{i}.pdf" for i in range(1, 4)]}


def _site(db, p, version, site):
	db.insert(f"{p}settings", ("type", "name", "value"), [("basic", "siteName", "The lab's files"), ("basic", "siteURL", site),
		("version", f"db_version_{version}", "installed")])
	db.insert(f"{p}nodes", ("id", "status", "name", "type", "aria2_enabled", "aria2_options"), [(1, 0, "Master (Local machine)", 1, 0, "")])
	db.insert(f"{p}policies", ("id", "name", "type", "options"), [(1, "Default storage policy", "local", "{}")])
	db.insert(f"{p}groups", ("id", "name", "policies", "max_storage", "options"),
		[(1, "Admin", "[1]", 1 << 30, '{"archive_download":true}'), (2, "User", "[1]", 1 << 30, "{}"), (3, "Anonymous", "[]", 0, "{}")])


def _users(db, p, n):
	"""By the server's own number table: thousands of rows cost one statement each."""
	db.query(f"INSERT INTO `{p}users` (id, email, nick, password, status, group_id, storage, options) "
		f"SELECT seq, CONCAT('user', seq, '@lab.example'), CONCAT('user', seq), 'x', 0, IF(seq = 1, 1, 2), 0, '{{}}' FROM seq_1_to_{n}")
	db.query(f"INSERT INTO `{p}folders` (id, name, parent_id, owner_id) SELECT seq, '/', NULL, seq FROM seq_1_to_{n}")
	db.query(f"INSERT INTO `{p}folders` (name, parent_id, owner_id) SELECT CONCAT('folder', k.seq), u.seq, u.seq FROM seq_1_to_{n} u JOIN seq_1_to_2 k")
	db.query(f"INSERT INTO `{p}files` (name, source_name, user_id, size, folder_id, policy_id) "
		f"SELECT CONCAT('file', k.seq), CONCAT('uploads/', u.seq, '/file', k.seq), u.seq, 1000, u.seq, 1 FROM seq_1_to_{n} u JOIN seq_1_to_{FILES_EACH} k")
	db.query(f"INSERT INTO `{p}shares` (id, password, is_dir, user_id, source_id, views, downloads) SELECT seq, '', 0, seq, seq, 0, 0 FROM seq_1_to_{min(n, 50)}")
	db.query(f"INSERT INTO `{p}webdavs` (name, password, user_id, root) SELECT 'dav', 'x', seq, '/' FROM seq_1_to_{n}")
	db.query(f"INSERT INTO `{p}tasks` (status, type, user_id) VALUES (1, 1, 1)")


DIRT = {
	"clash": lambda p: [f"INSERT INTO `{p}files` (name, source_name, user_id, size, folder_id, policy_id) VALUES ('folder1', 'uploads/1/folder1', 1, 9, 1, 1)"],
	"orphans": lambda p: [
		f"INSERT INTO `{p}files` (name, source_name, user_id, size, folder_id, policy_id) VALUES ('lost1', 'x', 99999, 9, 1, 1), ('lost2', 'x', 1, 9, 999999, 1), ('lost3', 'x', 1, 9, 1, 77)",
		f"INSERT INTO `{p}folders` (name, parent_id, owner_id) VALUES ('lost', 0, 1), ('lost', NULL, 99999)",
		f"INSERT INTO `{p}shares` (password, is_dir, user_id, source_id, views, downloads) VALUES ('', 0, 1, 999999, 0, 0)",
		f"INSERT INTO `{p}webdavs` (name, password, user_id, root) VALUES ('lost', 'x', 99999, '/')",
		f"INSERT INTO `{p}users` (email, nick, password, group_id, options, deleted_at) VALUES ('gone@lab.example', 'gone', 'x', 2, '{{}}', NOW())"],
	"json": lambda p: [
		f"UPDATE `{p}groups` SET options = '{{\"archive_download\":tru' WHERE id = 3",
		f"INSERT INTO `{p}nodes` (id, status, name, type, aria2_enabled, aria2_options) VALUES (2, 0, 'slave', 0, 1, 'not json'), (3, 0, 'slave3', 0, 1, '{{\"options\":\"not json\"}}'), (4, 0, 'slave4', 0, 0, 'not asked for')",
		f"UPDATE `{p}policies` SET options = '' WHERE id = 1", f"UPDATE `{p}groups` SET policies = '{{}}' WHERE id = 2"],
	"constraints": lambda p: [
		f"UPDATE `{p}users` SET group_id = 9 WHERE id = 3",
		f"UPDATE `{p}folders` SET owner_id = 99999 WHERE parent_id = 4 AND name = 'folder1'"],
}


def main():
	parser = argparse.ArgumentParser(description="Fills V3's database, as its conf.ini says; prints the public names of three shares and three links.")
	parser.add_argument("home", type=pathlib.Path)
	parser.add_argument("--site", default="http://lab.example")
	parser.add_argument("--users", type=int, default=60)
	parser.add_argument("--version", default="3.8.1")
	parser.add_argument("--dirty", nargs="*", default=[], choices=sorted(DIRT))
	args = parser.parse_args()
	v3 = conf.Conf(args.home / "conf.ini")
	print(json.dumps(fill(v3.connect(), v3.prefix, args.home, v3.salt, args.site, args.users, args.dirty, args.version)))


if __name__ == "__main__":
	main()
