#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Fills a MariaDB server with the configdb and the user schemata of one OX App Suite site, unfriendly on purpose:

  pool 3 (db1, open), pool 4 (the same host, closed: max_units=0, so listdatabaseschema hides its schema) and pool 5 (db2);
  schemata of unequal size, one empty, one without a number in its name (upgradeschemata -m dies of it);
  tenants that an admin disabled before anybody upgraded (reason NULL, and another reason) in several schemata,
  and tenants whose `enabled` is NULL;
  the tasks of the old release executed everywhere, one of them failed in one schema years ago.

--same-reason has an admin disable a tenant with OX's own maintenance reason: enableschema will wrongly enable it.
--uncounted adds a schema that contexts_per_dbschema does not know: OX's runupdate can never do it (UNKNOWN_SCHEMA).
The SQL goes to the mariadb client on its standard input, so that no password is in an argv. Prints a JSON summary.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import uuid

HERE = pathlib.Path(__file__).resolve().parent
OPEN, CLOSED, SECOND = 3, 4, 5
POOL_NAMES = {OPEN: "db1", CLOSED: "db1-closed", SECOND: "db2"}
MAINTENANCE = 1431655765
OLD_SERVER_ID = 6
RAN_AT = 1577836800000  # 2020-01-01, long before any run of a test

USER_SCHEMA = """
CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`;
CREATE TABLE updateTask (cid INT UNSIGNED NOT NULL, taskName VARCHAR(1024) NOT NULL, successful BOOLEAN NOT NULL,
  lastModified BIGINT NOT NULL, uuid BINARY(16) NOT NULL, PRIMARY KEY (cid, uuid), KEY full (cid, taskName(191))) ENGINE=InnoDB;
CREATE TABLE replicationMonitor (cid INT UNSIGNED NOT NULL, transaction BIGINT NOT NULL, PRIMARY KEY (cid)) ENGINE=InnoDB;
CREATE TABLE lab_tenant (cid INT UNSIGNED NOT NULL, mails INT UNSIGNED NOT NULL, PRIMARY KEY (cid)) ENGINE=InnoDB;
"""


def quote(text):
	return "'" + str(text).replace("\\", "\\\\").replace("'", "''") + "'"


def insert(table, rows):
	if not rows:
		return ""
	lines = ("(" + ",".join("NULL" if v is None else str(v) if isinstance(v, int) else v for v in row) + ")" for row in rows)
	return f"INSERT INTO {table} VALUES {','.join(lines)};\n"


def sizes(options, dice):
	"""Unequal: most are small, a few hold many tenants; the mean is about --contexts."""
	return [max(2, round(options.contexts * dice.choice((0.3, 0.5, 0.5, 0.8, 1, 1.2, 2.7)))) for _ in range(options.schemata)]


def layout(options, dice):
	"""Name, pool and number of tenants of each schema; the oddities take fixed places so that tests can name them."""
	rows = []
	for number, size in enumerate(sizes(options, dice), start=1):
		name, pool = f"oxdatabase_{number}", OPEN if number % 2 else SECOND
		if number == options.schemata:
			pool = CLOSED
		elif number == options.schemata - 1:
			size = 0
		elif number == options.schemata - 2:
			name = "oxdatabase_archive"
		rows.append({"name": name, "pool": pool, "contexts": size, "counted": True})
	if options.uncounted:
		rows.append({"name": f"oxdatabase_{options.schemata + 1}", "pool": OPEN, "contexts": 3, "counted": False})
	return rows


def switched_off(schema_index, tenant_index, same_reason):
	"""(enabled, reason) of a tenant before anything began."""
	if tenant_index == 1 and schema_index % 3 == 0:
		return 0, None
	if tenant_index == 2 and schema_index % 4 == 1:
		return 0, 42
	if tenant_index == 0 and schema_index == 4 and same_reason:
		return 0, MAINTENANCE
	if tenant_index == 1 and schema_index == 5:
		return None, None
	return 1, None


def build(options):
	dice = random.Random(options.seed)
	release = json.loads(pathlib.Path(options.release).read_text())
	password = pathlib.Path(options.password_file).read_text().splitlines()[0]
	schemata = layout(options, dice)
	contexts, owners, logins, sql = [], [], [], ([], [])
	ports = {SECOND: options.port2 or options.port}
	cid = 0
	for index, schema in enumerate(schemata):
		tenants = []
		schema["off"] = []
		for tenant in range(schema["contexts"]):
			cid += 1
			enabled, reason = switched_off(index, tenant, options.same_reason)
			if enabled != 1:
				schema["off"].append(cid)
			contexts.append((cid, quote(f"tenant{cid}"), enabled, reason, 1, quote(f"{cid}_ctx_store"), None, None, 0))
			owners.append((OLD_SERVER_ID, cid, schema["pool"], schema["pool"], quote(schema["name"])))
			logins += [(cid, quote(cid)), (cid, quote(f"tenant{cid}.example"))]
			tenants.append((cid, dice.randrange(1, 500)))
		old_failure = index == 2
		done = [(0, quote(task["name"]), 0 if old_failure and n == 1 else 1, RAN_AT + n, "0x" + uuid.UUID(int=dice.getrandbits(128)).hex)
			for n, task in enumerate(release["tasks"])]
		sql[schema["pool"] == SECOND].extend([USER_SCHEMA.format(name=schema["name"]), insert("updateTask", done),
			insert("lab_tenant", tenants), insert("replicationMonitor", [(c, 0) for c, _ in tenants])])
	login = quote(options.login)
	account = "".join(f"CREATE OR REPLACE USER {login}@'{host}' IDENTIFIED BY {quote(password)}; GRANT ALL ON *.* TO {login}@'{host}';\n"
		for host in ("%", "localhost"))
	config = [(HERE / "schema.sql").read_text(), "USE configdb;\n",
		insert("configdb_sequence", [(options.schemata + 100,)]),
		insert("server", [(OLD_SERVER_ID, quote(options.server))]),
		insert("reason_text", [(42, quote("customer did not pay"))]),
		insert("db_pool", [(p, quote(f"jdbc:mysql://127.0.0.1:{ports.get(p, options.port)}"), quote("com.mysql.jdbc.Driver"), login, quote(password), 1, 100, 0, quote(n))
			for p, n in POOL_NAMES.items()]),
		insert("db_cluster", [(n, p, p, 100, 0 if p == CLOSED else 1000) for n, p in enumerate(POOL_NAMES, start=1)]),
		insert("context", contexts), insert("context_server2db_pool", owners), insert("login2context", logins),
		insert("contexts_per_dbpool", [(p, sum(s["contexts"] for s in schemata if s["pool"] == p)) for p in POOL_NAMES]),
		insert("contexts_per_dbschema", [(s["pool"], quote(s["name"]), s["contexts"], RAN_AT) for s in schemata if s["counted"]]),
		insert("dbpool_lock", [(p,) for p in POOL_NAMES]),
		insert("dbschema_lock", [(s["pool"], quote(s["name"])) for s in schemata]),
		insert("DATABASECHANGELOG", [(quote(c), quote("ox"), quote("configdbChangeLog.xml"), "'2020-01-01'", n, quote("EXECUTED"))
			for n, c in enumerate(release["changelog"])])]
	return account + "".join(config + sql[0]), account + "".join(sql[1]), {"contexts": cid, "schemata": schemata}


def run(cnf, sql):
	client = subprocess.run(["mariadb", f"--defaults-file={cnf}"], input=sql, text=True, check=False)
	if client.returncode:
		sys.exit(f"data.py: the mariadb client ended with {client.returncode}")


def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
	parser.add_argument("--cnf", required=True, help="option file of the mariadb client, with full rights")
	parser.add_argument("--port", type=int, required=True, help="TCP port of the server, goes into db_pool.url")
	parser.add_argument("--cnf2", help="the same two of the server of pool 5; default: one server holds all")
	parser.add_argument("--port2", type=int)
	parser.add_argument("--password-file", required=True, help="first line: password of the nodes' database account")
	parser.add_argument("--login", default="openexchange", help="the nodes' database account, created with all rights")
	parser.add_argument("--schemata", type=int, default=12, help="at least 6")
	parser.add_argument("--contexts", type=int, default=10, help="mean number of tenants of a schema")
	parser.add_argument("--server", default="oxserver")
	parser.add_argument("--release", default=str(HERE / "releases/7.10.5-40.json"))
	parser.add_argument("--seed", type=int, default=1)
	parser.add_argument("--uncounted", action="store_true")
	parser.add_argument("--same-reason", action="store_true")
	options = parser.parse_args()
	if options.schemata < 6:
		parser.error("--schemata: the oddities need at least 6")
	first, second, summary = build(options)
	run(options.cnf, first)
	run(options.cnf2 or options.cnf, second)
	json.dump(summary, sys.stdout)
	print()


if __name__ == "__main__":
	main()
