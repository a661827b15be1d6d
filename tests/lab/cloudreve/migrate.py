# SPDX-License-Identifier: MIT
"""
`cloudreve migrate`: V3's tables into V4's, in sixteen steps, with the state file and every trap of the real tool.

Each batch is one transaction and the state is saved after its commit; so a kill between the two makes every later run stop
at a duplicate key, and only an empty target with a new state file helps. LIMIT and OFFSET have no ORDER BY: V3 must be quiet.
"""

import json
import sys

import hook
import schema
from conf import Conf, log, panic
from maria import MariaError

BATCH = 1000
COMPLETED = 16
STEPS = {1: "schema", 2: "settings", 3: "node", 4: "policy", 5: "group", 6: "user", 7: "folders", 8: "folder parent", 9: "file",
	10: "share", 11: "direct link", 12: "unused", 13: "unused", 14: "avatar", 15: "webdav", 16: "completed"}
OFFSETS = {6: "user_offset", 7: "folder_offset", 8: "folder_parent_offset", 9: "file_offset", 10: "share_offset",
	11: "direct_link_offset", 15: "webdav_offset"}
# As Go writes them: one line, in the order of the structure, nothing that is empty.
KEYS = ("policy_ids", "local_policy_ids", "user_ids", "folder_ids", "entity_sources", "last_folder_id", "step", "user_offset", "folder_offset", "file_offset", "share_offset",
	"direct_link_offset", "webdav_offset", "file_conflict_rename", "folder_parent_offset", "thumb_suffix", "v3_avatar_path")


class Failed(Exception):
	pass


class State:
	"""migration_state.json beside V3's configuration, wherever the tool was called from; rewritten in place."""

	def __init__(self, path):
		self.path, self.values = path, {}

	def load(self):
		if not self.path.exists():
			return
		log("Info", f"Found existing migration state file at {self.path}", "application/migrator/migrator.go:75")
		try:
			self.values = json.loads(self.path.read_text())
		except ValueError as e:
			raise Failed(f"failed to load migration state: failed to unmarshal state: {e}") from e
		log("Info", f"Resumed migration from step {self.step} ({STEPS[self.step]})", "application/migrator/migrator.go:90")

	@property
	def step(self):
		return self.values.get("step", 1)

	def get(self, name, default=0):
		return self.values.get(name, default)

	def save(self, **values):
		self.values.update(values)
		self.values = {k: self.values[k] for k in KEYS if self.values.get(k) not in (0, "", {}, [], None)}
		text = json.dumps(self.values, separators=(",", ":"))
		torn = hook.is_crash(f"state-write-{self.step}")
		self.path.write_text(text[:len(text) // 2] if torn else text)
		if torn:
			hook.die()


class Migrator:
	def __init__(self, v3_conf, v4_conf, state):
		self.v3_conf, self.v4_conf, self.state = v3_conf, v4_conf, state
		try:
			self.v3 = v3_conf.connect()
			self.v4 = v4_conf.connect()
		except MariaError as e:
			panic(f"failed to initialize database: {e}")

	def run(self):
		self._guard()
		doers = {1: self.schema, 2: self.settings, 3: self.nodes, 4: self.policies, 5: self.groups, 6: self.users, 7: self.folders,
			8: self.folder_parents, 9: self.files, 10: self.shares, 11: self.direct_links, 15: self.webdavs}
		while self.state.step < COMPLETED:
			step = self.state.step
			log("Info", f"Migrating {STEPS[step]}...", f"application/migrator/{STEPS[step].split()[0]}.go:20")
			self._trouble(step)
			if step in doers:
				doers[step]()
			self.state.save(step=step + 1)
		hook.crash("completed")
		log("Info", "Migration completed successfully", "application/migrator/migrator.go:240")

	def _guard(self):
		"""Nothing here asks for V3's version: 3.8 or not is for the reader of the documentation."""
		if not self.v3_conf.salt:
			raise Failed("failed to migrate settings: hash ID salt is not set, please set it from v3 conf file")

	def _trouble(self, step):
		said = hook.word(f"migrate.fail.{step}")
		if said:
			raise Failed({"deadlock": f"failed to migrate {STEPS[step]}: Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction"}.get(said, f"failed to migrate {STEPS[step]}: {said}"))
		while hook.word(f"migrate.hang.{step}"):
			hook.wait(0.05)

	def rows(self, table, columns, offset=0, limit=BATCH):
		p = self.v3_conf.prefix
		return self.v3.query(f"SELECT {columns} FROM `{p}{table}` WHERE deleted_at IS NULL LIMIT {limit} OFFSET {offset}")

	def commit(self, step, write):
		"""One transaction; the points before and after its end are where a kill is told apart."""
		try:
			self.v4.query("START TRANSACTION")
			write()
			hook.crash(f"before-commit-{step}")
			self.v4.query("COMMIT")
		except MariaError as e:
			self.v4.query("ROLLBACK")
			raise Failed(f"failed to create {STEPS[step]}: ent: constraint failed: insert nodes to table: {e}" if e.errno in (1062, 1452)
				else f"failed to create {STEPS[step]}: {e}") from e
		hook.crash(f"after-commit-{step}")

	def batches(self, table, columns, write):
		"""write(rows) for each batch of live rows, the state saved after each."""
		step = self.state.step
		name = OFFSETS[step]
		delay = int(hook.word("migrate.delay") or 0)
		while True:
			offset = self.state.get(name)
			rows = self.rows(table, columns, offset)
			if not rows:
				return
			self.commit(step, lambda rows=rows: write(rows))
			self.state.save(**{name: offset + len(rows)})
			log("Info", f"Migrated {offset + len(rows)} rows of {table}", "application/migrator/batch.go:60")
			hook.wait(delay / 1000)

	# the steps

	def schema(self):
		"""On V3's own database ent would copy its tables over and fails at the first; other engines have no room for the keys."""
		if self.v4.query("SHOW TABLES LIKE '%folders'"):
			raise Failed('failed creating schema resources: sql/schema: copy rows from old table "groups": Error 1054 (42S22): Unknown column')
		if self.v4.value("SELECT @@default_storage_engine") == "MyISAM":  # MySQL; MariaDB has room, and would lose what a kill cuts
			raise Failed("failed creating schema resources: sql/schema: create table \"users\": Error 1071 (42000): Specified key was too long; max key length is 1000 bytes")
		for statement in schema.v4_ddl():
			try:
				self.v4.query(statement)
			except MariaError as e:
				raise Failed(f"failed creating schema resources: sql/schema: create table: {e}") from e

	def settings(self):
		def write():
			try:
				self.v4.insert("settings", ("name", "value"), [("hash_id_salt", self.v3_conf.salt)])
			except MariaError as e:
				raise Failed(f"failed to create setting hash_id_salt: ent: constraint failed: insert node to table \"settings\": {e}") from e
			self.v4.insert("settings", ("name", "value"), [r for r in self.rows("settings", "name, value", limit=100000) if not r[0].startswith("db_version")])
		self.commit(2, write)

	def nodes(self):
		"""One INSERT a row, no transaction: broken JSON or a kill in the middle leaves the rows before it."""
		self._singly(3, "nodes", "id, name, server, aria2_options, aria2_enabled",
			lambda r: self.v4.insert("nodes", ("id", "name", "server", "settings"), [(r[0], r[1], r[2], self.aria2(r))]))

	def policies(self):
		rows = self.rows("policies", "id, name, type, server, options", limit=100000)
		self.commit(4, lambda: self.v4.insert("storage_policies", ("id", "name", "type", "server", "settings"),
			[(*r[:4], self.json(f"options for policy {r[1]}", r[4], dict)) for r in rows]))
		self.state.save(policy_ids={r[0]: True for r in rows}, local_policy_ids={r[0]: True for r in rows if r[2] == "local"})

	def groups(self):
		self._singly(5, "groups", "id, name, max_storage, options, policies",
			lambda r: self.v4.insert("groups", ("id", "name", "max_storage", "settings", "storage_policy_id"),
				[(*r[:3], self.json(f"options for group {r[1]}", r[3], dict), (json.loads(self.json(f"policies for group {r[1]}", r[4], list)) or [None])[0])]))

	def _singly(self, step, table, columns, insert):
		for row in self.rows(table, columns, limit=100000):
			try:
				insert(row)
			except MariaError as e:
				raise Failed(f"failed to create {STEPS[step]} {row[0]}: ent: constraint failed: insert node to table \"{table}\": {e}") from e
			hook.crash(f"inside-{step}")

	def json(self, what, text, kind):
		"""The text, which may not be empty, and must be an object or a list as the structure is."""
		try:
			is_good = isinstance(json.loads(text or ""), (kind, type(None)))
		except ValueError as e:
			raise Failed(f"failed to unmarshal {what}: invalid character: {e}") from e
		if not is_good:
			raise Failed(f"failed to unmarshal {what}: json: cannot unmarshal into Go value")
		return text

	def aria2(self, row):
		"""Of a node that downloads only; within it another one."""
		if row[4] != "1":
			return "{}"
		inner = json.loads(self.json("aria2 options", row[3], dict)).get("options")
		return self.json("aria2 options", inner, dict) if inner else row[3]

	def users(self):
		def write(rows):
			self.v4.insert("users", ("id", "email", "nick", "password", "storage", "group_users", "settings"), [(*r, "{}") for r in rows])
			self.state.values["user_ids"] = {**self.state.get("user_ids", {}), **{r[0]: True for r in rows}}
		self.batches("users", "id, email, nick, password, storage, group_id", write)

	def folders(self):
		def write(rows):
			users = self.state.get("user_ids", {})
			good = []
			for row in rows:
				if row[3] not in users or row[2] == "0":
					log("Warn", f"Folder {row[0]} has no owner or parent, skipped.", "application/migrator/folders.go:60")
				else:
					good.append(row)
			self.v4.insert("files", ("id", "type", "name", "owner_id", "size"), [(r[0], 1, "" if r[2] is None else r[1], r[3], 0) for r in good])
			self.state.values["folder_ids"] = {**self.state.get("folder_ids", {}), **{r[0]: True for r in good}}
			self.state.values["last_folder_id"] = max([self.state.get("last_folder_id")] + [int(r[0]) for r in rows])
		self.batches("folders", "id, name, parent_id, owner_id", write)

	def folder_parents(self):
		"""Updates: as good the second time. A folder that was skipped, in one that was not, is an error."""
		def write(rows):
			known = self.state.get("folder_ids", {})
			for row in rows:
				if row[1] in known:
					if row[0] not in known:
						raise Failed(f"failed to update folder parent {row[0]}: ent: file not found")
					self.v4.query(f"UPDATE files SET file_children = {row[1]} WHERE id = {row[0]}")
				hook.crash("inside-8")
		self.batches("folders", "id, parent_id", write)

	def files(self):
		def write(rows):
			good = [r for r in rows if self._is_whole(r)]
			self._rename_clashes(good)
			last, renamed = self.state.get("last_folder_id"), self.state.get("file_conflict_rename", {})
			self.v4.insert("files", ("id", "type", "name", "owner_id", "size", "primary_entity", "file_children"),
				[(int(r[0]) + last, 0, renamed.get(r[0], r[1]), r[3], r[4], int(r[0]), r[5]) for r in good])
			self.v4.insert("entities", ("id", "source", "size", "storage_policy_entities", "created_by"), [(r[0], r[2], r[4], r[6], r[3]) for r in good])
		self.batches("files", "id, name, source_name, user_id, size, folder_id, policy_id", write)

	def _is_whole(self, row):
		for what, value, known in (("owner", row[3], "user_ids"), ("parent", row[5], "folder_ids"), ("policy", row[6], "policy_ids")):
			if value not in self.state.get(known, {}):
				log("Warn", f"File {row[0]} has no {what}, skipped.", "application/migrator/file.go:80")
				return False
		return True

	def _rename_clashes(self, rows):
		renamed = self.state.get("file_conflict_rename", {})
		if not rows:
			return
		parents = ",".join(sorted({r[5] for r in rows}))
		taken = {(r[0], r[1]) for r in self.v4.query(f"SELECT file_children, name FROM files WHERE file_children IN ({parents})")}
		for row in rows:
			key = (row[5], row[1])
			if key in taken:
				log("Warn", f"File {row[0]} already exists, will retry with new name in next batch", "application/migrator/file.go:150")
				renamed[row[0]] = f"{row[0]}_{row[1]}"
			taken.add(key)
		self.state.values["file_conflict_rename"] = renamed

	def shares(self):
		def write(rows):
			last, users = self.state.get("last_folder_id"), self.state.get("user_ids", {})
			ids = [int(r[5]) + (0 if r[6] == "1" else last) for r in rows]
			there = {r[0] for r in self.v4.query(f"SELECT id FROM files WHERE id IN ({','.join(map(str, ids))})")}
			good = [(r, i) for r, i in zip(rows, ids) if str(i) in there and r[4] in users]
			for row in (r for r, i in zip(rows, ids) if not (str(i) in there and r[4] in users)):
				log("Warn", f"Share {row[0]} has no owner or source, skipped.", "application/migrator/share.go:60")
			self.v4.insert("shares", ("id", "password", "views", "downloads", "user_shares", "file_shares"), [(*r[:5], i) for r, i in good])
		self.batches("shares", "id, password, views, downloads, user_id, source_id, is_dir", write)

	def direct_links(self):
		def write(rows):
			last = self.state.get("last_folder_id")
			there = {r[0] for r in self.v4.query(f"SELECT id FROM files WHERE id IN ({','.join(str(int(r[1]) + last) for r in rows)})")}
			self.v4.insert("direct_links", ("id", "file_id", "name", "downloads"), [(r[0], int(r[1]) + last, r[2], r[3]) for r in rows if str(int(r[1]) + last) in there])
		self.batches("source_links", "id, file_id, name, downloads", write)

	def webdavs(self):
		def write(rows):
			users = self.state.get("user_ids", {})
			self.v4.insert("dav_accounts", ("id", "name", "password", "owner_id", "uri"), [r for r in rows if r[3] in users])
		self.batches("webdavs", "id, name, password, user_id, root", write)


def migrate(v3_path, v4_path, force_reset):
	"""The exit code."""
	if not v3_path.exists():
		log("Error", f"failed to load v3 config: open {v3_path}: no such file or directory")
		return 1
	v3_conf, v4_conf = Conf(v3_path), Conf(v4_path)
	if v4_conf.type == "sqlite":
		return _into_sqlite(v4_conf)
	if v4_conf.type != "mysql":
		log("Error", f"Failed to create migrator: unsupported database type \"{v4_conf.type}\"", "cmd/migrate.go:55")
		return 1
	state = State(v3_path.parent / "migration_state.json")
	try:
		if force_reset and state.path.exists():
			log("Info", "Force resetting migration state file")
			state.path.unlink()
		state.load()
		Migrator(v3_conf, v4_conf, state).run()
	except Failed as e:
		log("Error", f"Failed to migrate: {e}", "cmd/migrate.go:60")
		return 1
	except MariaError as e:
		log("Error", f"Failed to migrate: {e}", "cmd/migrate.go:60")
		return 1
	return 0


def _into_sqlite(v4_conf):
	"""What the default configuration leads to: another, fresh database, and nobody says so."""
	(hook.home / v4_conf.database.get("DBFile", "cloudreve.db")).touch()
	log("Info", "Migration completed successfully", "application/migrator/migrator.go:240")
	return 0


if __name__ == "__main__":
	sys.exit("run by a version of cloudreve")
