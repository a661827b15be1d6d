# SPDX-License-Identifier: MIT
"""The server of either version: ping, share information, direct links to local files, WebDAV's door; ends gracefully on SIGTERM."""

import http.server
import json
import signal
import socketserver
import threading
import time
import urllib.parse

import hook
import schema
from conf import log, number_of, panic
from maria import MariaError

POOL_SECONDS = 30
GONE = {"code": 404, "msg": "Share link is not available", "data": None}


class V3:
	api = "/api/v3"

	def __init__(self, version, conf):
		self.version, self.conf = version, conf
		self.lock, self.idle, self.since = threading.Lock(), None, 0

	def give_back(self, db):
		"""The pool: one connection stays for up to POOL_SECONDS."""
		with self.lock:
			is_old = self.idle is None or time.monotonic() > self.since + POOL_SECONDS
			rest = self.idle if is_old else db
			if is_old:
				self.idle, self.since = db, time.monotonic()
		if rest:
			rest.close()

	def open(self):
		db = self.conf.connect()
		if not db.value(f"SELECT COUNT(*) FROM `{self.conf.prefix}settings` WHERE name LIKE 'db_version_{self.version.rpartition('.')[0]}%'"):
			log("Info", "Start initializing database schema...")
		db.close()

	def salt(self, _):
		return self.conf.salt

	def share(self, db, number):
		p = self.conf.prefix
		rows = db.query(f"SELECT f.name, f.size, s.password FROM `{p}shares` s JOIN `{p}files` f ON f.id = s.source_id AND NOT s.is_dir "
			f"WHERE s.id = {number} AND s.deleted_at IS NULL")
		return {"locked": rows[0][2] != "", "source": {"name": rows[0][0], "size": int(rows[0][1])}} if rows else None

	def source(self, db, number):
		p = self.conf.prefix
		rows = db.query(f"SELECT f.source_name FROM `{p}source_links` l JOIN `{p}files` f ON f.id = l.file_id WHERE l.id = {number}")
		return rows[0][0] if rows else None

	def site(self, _):
		"""Before the way to a file: nothing."""
		return ""

	def put(self, db, name):
		p = self.conf.prefix
		db.query(f"INSERT INTO `{p}files` (name, source_name, user_id, size, folder_id, policy_id) SELECT '{name}', 'x', 1, 1, MIN(id), 1 FROM `{p}folders` WHERE owner_id = 1")


class V4(V3):
	api = "/api/v4"

	def open(self):
		"""Its own schema, and its own site if the database is empty. What the migration did not make is no error to it."""
		db = self.conf.connect()
		if self.conf.charset == "utf8":
			panic("Error 3988 (HY000): Conversion from collation utf8mb4_bin into utf8mb3_general_ci impossible for parameter")
		if db.query("SHOW TABLES LIKE '%folders'"):
			panic("failed creating schema resources: sql/schema: copy rows from old table")
		for statement in schema.v4_ddl():
			db.query(statement)
		db.query(f"INSERT IGNORE INTO settings (name, value) VALUES ('hash_id_salt', 'a new one'), ('db_version_{self.version}', 'installed')")
		db.close()

	def salt(self, db):
		return db.value("SELECT value FROM settings WHERE name = 'hash_id_salt'")

	def share(self, db, number):
		rows = db.query(f"SELECT f.name, s.password FROM shares s JOIN files f ON f.id = s.file_shares WHERE s.id = {number}")
		return {"name": rows[0][0], "unlocked": rows[0][1] == "", "expired": False} if rows else None

	def source(self, db, number):
		rows = db.query(f"SELECT e.source FROM direct_links l JOIN files f ON f.id = l.file_id JOIN entities e ON e.id = f.primary_entity WHERE l.id = {number}")
		return rows[0][0] if rows else None

	def site(self, db):
		"""Its name for users, wherever it is asked from."""
		return db.value("SELECT value FROM settings WHERE name = 'siteURL'")

	def put(self, db, name):
		db.query(f"INSERT INTO files (type, name, owner_id, size, file_children) SELECT 0, '{name}', 1, 1, MIN(id) FROM files WHERE owner_id = 1")


def handler_of(app):
	class Handler(http.server.BaseHTTPRequestHandler):
		protocol_version = "HTTP/1.1"

		def log_message(self, *_):  # pylint: disable=arguments-differ
			pass

		def say(self, status, body, kind="application/json", location=None):
			raw = body if isinstance(body, bytes) else json.dumps(body).encode()
			self.send_response(status)
			self.send_header("Content-Type", kind)
			self.send_header("Content-Length", str(len(raw)))
			self.send_header("X-Lab-Version", app.version)
			if location:
				self.send_header("Location", location)
			self.end_headers()
			self.wfile.write(raw)

		def do_GET(self):
			db = None
			try:
				db = app.conf.connect()
				self.route(db, urllib.parse.unquote(self.path))
			except MariaError as e:
				self.say(500, {"code": 500, "msg": str(e)})
			finally:
				if db:
					app.give_back(db)

		def route(self, db, path):
			if path == f"{app.api}/site/ping":
				self.say(200, {"code": 0, "data": hook.word("server.version") or app.version, "msg": ""})
			elif path.startswith(f"{app.api}/share/info/"):
				number = number_of(app.salt(db), "share", path.rpartition("/")[2])
				found = app.share(db, number) if number is not None else None
				self.say(200, {"code": 0, "data": found, "msg": ""} if found else GONE)
			elif path.startswith("/f/"):
				self.say(302, b"", "text/plain", location=f"{app.site(db)}{app.api}/file/content/{path[3:]}")
			elif path.startswith(f"{app.api}/file/content/"):
				self.content(db, path.split("/")[5])
			elif path.startswith("/lab/put/"):
				app.put(db, path.rpartition("/")[2])
				self.say(200, {"code": 0})
			elif path.startswith("/api/"):
				self.say(404, b"404 page not found", "text/plain")
			else:
				self.say(200, b"<!doctype html><title>Cloudreve</title>", "text/html")  # the application: for any path

		def content(self, db, key):
			number = number_of(app.salt(db), "link", key)
			source = app.source(db, number) if number is not None else None
			path = hook.home / source if source else None
			if path is None or not path.is_file():
				self.say(404, b"404 page not found", "text/plain")
			else:
				self.say(200, path.read_bytes(), "application/octet-stream")
	return Handler


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
	allow_reuse_address = True
	daemon_threads = True

	def handle_error(self, request, client_address):
		"""A client that has gone is none."""
	request_queue_size = 64


def serve(version, conf):
	"""Until SIGTERM. The exit code."""
	app = (V3 if version.startswith("3") else V4)(version, conf)
	if conf.type == "sqlite":
		panic("sqlite: no such table: settings")
	try:
		app.open()
	except MariaError as e:
		panic(f"failed to initialize database: {e}")
	held = None
	hook.wait(int(hook.word("server.slow") or 0) / 1000)
	if hook.word("server.fail", version[0]):
		panic("failed to start: the hook says so")
	server = Server(("127.0.0.1", conf.port), handler_of(app))
	signal.signal(signal.SIGTERM, lambda *_: None if hook.word("server.stop", "hang") else threading.Thread(target=server.shutdown).start())
	log("Info", f"Listening to \":{conf.port}\"")
	if hook.word("server.hold"):
		held = conf.connect()  # a client that stays on the database
	server.serve_forever(poll_interval=0.1)
	if held:
		held.close()
	log("Info", "Received signal terminated, shutting down server...")
	return 0
