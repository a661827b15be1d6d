# SPDX-License-Identifier: MIT
"""
A Cells server, as far as an upgrade meets it: it listens at once and answers 503 until all services are up; the first start of a new version migrates
the database, service by service, each recorded in gorp_migrations and in `versions` of pydio.json, so that a start after a kill goes on where the last
one ended; v4 stops all migrations at the collation gate, says so in the log, and asks again and again while the site answers 503.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydio_cells.program import fault

# The migrations of v4: service, file as gorp_migrations names it, its statement. A file is recorded after its DDL, which commits by itself.
V4 = (
	("pydio.grpc.oauth", "hydra_v4_1.sql", "CREATE TABLE v4_flow (id INT PRIMARY KEY, client VARCHAR(255), FOREIGN KEY (client) REFERENCES hydra_client (id))"),
	("pydio.grpc.user", "idm_user_v4_1.sql", "ALTER TABLE idm_user_attributes ADD COLUMN v4_hash INT NULL"),
	("pydio.grpc.acl", "idm_acl_v4_1.sql", "ALTER TABLE idm_acls ADD COLUMN v4_expires DATETIME NULL"),
	("pydio.grpc.policy", "idm_policy_v4_1.sql", "ALTER TABLE idm_policy ADD COLUMN v4_meta TEXT NULL"),
	("pydio.grpc.data.index", "data_index_v4_1.sql", "ALTER TABLE data_pydiods1_nodes ADD COLUMN v4_hash VARCHAR(64) NULL"),
)
GATE = """SELECT table_name, table_collation FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
	AND table_name NOT LIKE '%\\_migrations' AND table_name NOT LIKE '%\\_migration' AND table_collation NOT LIKE 'ascii%'
	AND table_collation NOT LIKE CONCAT(@@character_set_database, '%')"""
STARTING = json.dumps({"Code": "503", "Title": "Server is starting", "Detail": "Please retry in a few seconds"})
PAGE = "<html><head><title>Server is starting</title></head><body>Server is starting, please wait.</body></html>"


class Failed(Exception):
	pass


class Server:
	def __init__(self, version, exe, work, health_port):
		self.version, self.exe, self.work, self.health_port = version, exe, work, health_port
		self.is_v4 = int(version.split(".")[0]) >= 4
		self.is_up = False
		self.ended = threading.Event()
		self.config = json.loads((work / "pydio.json").read_text())
		(work / "logs").mkdir(exist_ok=True)
		found = re.fullmatch(r"(.+?):(.*)@tcp\((.+):(\d+)\)/(\w+)\?.*", self.config["databases"]["main"]["dsn"])
		user, password, host, port, self.database = found.groups()
		self.client = ["mariadb", "--no-defaults", f"--user={user}", f"--password={password}", f"--host={host}", f"--port={port}", "--batch",
			"--skip-column-names", self.database]

	# life

	def serve(self):
		asked = []  # set() in a handler would wait for a lock that the thread it interrupts may hold
		signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
		binds = self.config["defaults"]["sites"][0]["Binds"]
		if self.is_v4 and any(re.search("[A-Za-z]", b) for b in binds):
			self.log("ERROR", "pydio.web.gateway", f"cannot listen on {binds[0]}: a bind address must be an IP address")
			binds = []
		servers = [self._listen(int(b.rpartition(":")[2]), self._site) for b in binds]
		if self.health_port:
			servers.append(self._listen(self.health_port, self._health))
		self.log("INFO", "pydio.server", f"Starting Cells {self.version}")
		# One of its connections, which ends with us.
		pool = subprocess.Popen(self.client, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		if binds:
			threading.Thread(target=self._boot, daemon=True).start()
		while not asked and not self.ended.wait(0.02):  # poll interval
			pass
		self.ended.set()
		word, argument = fault("stop")
		if word == "slow":
			time.sleep(int(argument) / 1000)  # the fault itself, no deadline and no poll interval
		self.log("INFO", "pydio.server", "Stopping")
		pool.stdin.close()
		pool.wait()
		for server in servers:
			server.shutdown()
		return 0

	def _listen(self, port, answer):
		class Handler(BaseHTTPRequestHandler):
			def do_GET(self):  # pylint: disable=invalid-name
				status, kind, body = answer(self.path, self.headers)
				self.send_response(status)
				if status == 503:
					self.send_header("Retry-After", "10")
				self.send_header("Content-Type", kind)
				self.send_header("Content-Length", str(len(body.encode())))
				self.end_headers()
				try:
					self.wfile.write(body.encode())
				except ConnectionError:
					pass  # a health check that has seen enough

			def log_message(self, *_):  # pylint: disable=arguments-differ
				pass

		server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
		threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
		return server

	def _site(self, path, headers):
		if not self.is_up:
			self.log("WARN", "pydio.gateway", "Returning server is starting because grpc.oauth monitor is not Up")
			return (503, "text/html", PAGE) if "text/html" in headers.get("Accept", "") else (503, "application/json", STARTING)
		if path.startswith("/a/frontend/bootconf"):
			return 200, "application/json", json.dumps({"backend": {}, "ENDPOINT_REST_API": "/a"})
		return 200, "text/html", f"<html>Cells {self.version}</html>"

	def _health(self, _path, _headers):
		rows = [{"Name": "pydio.grpc.oauth", "Ready": self.is_up}]
		return 200 if self.is_up else 500, "application/json", json.dumps(rows)

	# what it remembers

	def log(self, level, service, text):
		with open(self.work / "logs/pydio.log", "a") as out:
			out.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')}\t{level}\t{service}\t{text}\n")

	def sql(self, query):
		done = subprocess.run(self.client, input=query, capture_output=True, text=True, check=False)
		if done.returncode:
			raise Failed(done.stderr.strip())
		return [line.split("\t") for line in done.stdout.splitlines()]

	def remember(self, service):
		self.config.setdefault("versions", {})[service] = self.version
		path = self.work / "pydio.json"
		(self.work / "pydio.json.new").write_text(json.dumps(self.config, indent=2) + "\n")
		os.rename(self.work / "pydio.json.new", path)

	# the start of its services

	def _boot(self):
		while True:
			try:
				self._migrate()
				break
			except Failed as e:
				self.log("ERROR", "pydio.server", f"Could not apply migrations: {e}")
			if self.ended.wait(1):
				return
		if fault("start")[0] == "never":
			return
		self.log("INFO", "pydio.server", "All services are started: Cells is ready")
		self.is_up = True

	def _migrate(self):
		known = {row[0] for row in self.sql("SELECT id FROM gorp_migrations")}
		if not self.is_v4:
			if known & {name for _, name, _ in V4}:
				raise Failed("Unable to create migration plan because of hydra_v4_1.sql: unknown migration in database")
			return
		self._objects()
		if fault("migrate")[0] == "code":
			self.sql("UPDATE idm_user_attributes SET value = CONCAT('v4:', value)")
			self.remember("pydio.grpc.user")
			raise Failed("pydio.grpc.user: cannot update user attributes")
		self._oauth()
		for service, name, statement in V4:
			if name not in known:
				self._file(service, name, statement)
			if self.config.get("versions", {}).get(service) != self.version:
				self.remember(service)

	def _objects(self):
		for service in self.config.get("services", {}).values():
			if "LocalFolder" in service:
				(pathlib.Path(service["LocalFolder"]) / ".minio.sys/format.json").write_text('{"version":"1","format":"xl-single"}\n')

	def _file(self, service, name, statement):
		word, argument = fault("migrate")
		time.sleep(int(os.environ.get("LAB_SERVICE_MS", "50")) / 1000)  # the work of that service, no poll interval
		if word == "panic":
			print("panic: assignment to entry in nil map", file=sys.stderr, flush=True)
			os._exit(2)
		if word == "fail" and argument == service:
			raise Failed(f"{name}: Error 1064: You have an error in your SQL syntax")
		while fault("migrate") == ("wait", service) and not self.ended.wait(0.02):
			pass
		self.sql(statement)
		if word == "die" and argument == service:
			os.kill(os.getpid(), signal.SIGKILL)
		self.sql(f"INSERT INTO gorp_migrations VALUES ('{name}', NOW())")
		self.log("INFO", service, f"Applied {name}")

	def _oauth(self):
		"""The gate, which is for who comes from v3; then all tokens are gone."""
		if not self.sql("SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'hydra_jwk_migration'"):
			return
		self.log("INFO", "pydio.grpc.oauth", "Detected HydraJwkMigration, checking collations")
		if fault("gate")[0] == "dirty":
			self.sql("CREATE TABLE IF NOT EXISTS stray (id INT PRIMARY KEY) CHARSET latin1")
		for _ in range(int(os.environ.get("LAB_GATE_TRIES", "60"))):
			wrong = self.sql(GATE)
			if not wrong:
				break
			self.log("ERROR", "pydio.grpc.oauth", "Stopping all migrations as some tables may have collations differing from the database: "
				+ ", ".join(f"{table} ({collation})" for table, collation in wrong))
			self.log("ERROR", "pydio.grpc.oauth", "Could not start service: wrong collation")
			if self.ended.wait(int(os.environ.get("LAB_GATE_MS", "10000")) / 1000):
				raise SystemExit
		else:
			raise SystemExit
		self.log("INFO", "pydio.grpc.oauth", "Applying migrations for oauth if required")
		self.sql("DELETE FROM hydra_jwk WHERE sid = 'hydra.openid.id-token'; DROP TABLE hydra_jwk_migration")
		self.log("INFO", "pydio.grpc.oauth", "Finished in 12ms")
