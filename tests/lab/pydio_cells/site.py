# SPDX-License-Identifier: MIT
"""
A site of Pydio Cells: three nodes on one database behind one balancer, whose error file answers while nobody is up. A node is LAB/nodes/nN with
cells/cells (the binary, with a capability where the machine lets us), work/ (CELLS_WORKING_DIR: pydio.json, logs/, data, which is a symbolic link),
data/ (users' files and .minio.sys), backup/; `systemctl` runs it. Who dumps and restores has all rights on the database of Cells, and no others.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import templates  # noqa: E402
from pydio_cells import data  # noqa: E402
from pydio_cells.program import write_binary  # noqa: E402
from sites import MariaDB, Site  # noqa: E402
from visitors import page  # noqa: E402

BALANCER = """
frontend web
	bind 127.0.0.1:{web}
	default_backend cells

backend cells
	option httpchk GET /healthcheck/
	http-check expect status 200
{errorfile}
{servers}
"""
MAINTENANCE = "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 600\r\n\r\nCells is being upgraded, please come back in half an hour\r\n"


FORMAT = '{"version":"1","format":"fs"}\n'


class Cells(Site):
	system = "pydio-cells"
	n_nodes = 3

	def __init__(self, directory=None, state="healthy", binds="127.0.0.1", maintenance=True, users=200, files=2000, values=None, **more):
		"""state: of the database (data.py). binds: the name in each bind address. maintenance: whether the balancer has an answer when nobody is up."""
		super().__init__(directory, **more)
		self.state, self.binds, self.maintenance, self.rows, self.values = state, binds, maintenance, {"users": users, "files": files}, dict(values or {})
		self.capable = set()

	def build_site(self):
		self.db = MariaDB(self).start()
		data.create(self.db, self.state, **self.rows)
		for host in ("%", "localhost"):
			self.db.sql(f"GRANT REFERENCES ON cells.* TO upgd@'{host}'")
			self.db.sql(f"CREATE USER cellsadmin@'{host}' IDENTIFIED BY '{self.mark}'; GRANT ALL ON cells.* TO cellsadmin@'{host}'")
		self.admin_cnf = self.dir / "cnf/cells-admin.cnf"
		# Its character set is that of years ago: a dump in it would lose letters.
		self.private("cnf/cells-admin.cnf", templates.option_file(host="127.0.0.1", port=self.db.port, user="cellsadmin", password=self.mark) + "default-character-set=latin1\n")
		self.keys, self.texts = data.keys(self.db), data.texts(self.db)
		for name in ("packages", "saved"):
			(self.dir / name).mkdir()
		for version in ("3.0.9", "4.0.6", "4.2.1"):
			write_binary(self.dir / f"packages/cells-{version}", version)
		self.env.update(LAB_PACKAGES=self.dir / "packages", LAB_GATE_MS="1000")
		for node in self.nodes:
			self._make_node(node)
		self._remote_of_cells()
		self._balancer()
		self.write_conf(self._vars(), balancers={"main": ("cells", ("lb",))}, databases={"cells": (self.db, "cells")})
		for node in self.nodes:
			(node.dir / "enabled").touch()
			self.remote(node.name, "systemctl", "start", "cells")
		self.wait_until(lambda: all(s["status"] == "UP" for s in self.servers_of("lb", "cells").values()), 30, "all nodes are up")

	def _vars(self):
		return {"option_file": self.admin_cnf, "haproxy_cfg": self.dir / "lb/lb.cfg", "saved": self.dir / "saved", "soak": "1s", "drain": "5s", "steady": "1s",
			**self.values}

	def _make_node(self, node):
		http, health = self.ports.take(), self.ports.take()
		work = node.dir / "work"
		for name in ("cells", "work", "data/.minio.sys", "data/pydiods1", "work/services/pydio.grpc.update", "work/logs", "backup"):
			(node.dir / name).mkdir(parents=True)
		write_binary(node.dir / "cells/cells", "3.0.9")
		if subprocess.run(["setcap", "cap_net_bind_service=+ep", node.dir / "cells/cells"], capture_output=True, check=False).returncode == 0:
			self.capable.add(node.name)
		(work / "data").symlink_to("../data")
		(node.dir / "data/.minio.sys/format.json").write_text(FORMAT)
		(node.dir / "data/pydiods1/big.bin").write_bytes(b"\0" * 65536)
		(work / "services/pydio.grpc.search.bleve").write_text("index of 3.0.9\n")
		(work / "pydio.json").write_text(json.dumps({
			"databases": {"main": {"driver": "mysql", "dsn": f"cells:cells@tcp(127.0.0.1:{self.db.port})/cells?parseTime=true"}},
			"defaults": {"sites": [{"Binds": [f"{self.binds}:{http}"], "SelfSigned": {}}]},
			"services": {"pydio.grpc.data.objects.local1": {"Name": "local1", "LocalFolder": str(node.dir / "data"), "StorageType": "LOCAL"}}, "versions": {"pydio.grpc.oauth": "3.0.9"}}, indent=2) + "\n")
		node.columns = {"health": f"http://127.0.0.1:{health}", "bin": node.dir / "cells/cells", "work": work, "data": node.dir / "data", "backup": node.dir / "backup"}
		node.http, node.health = http, health
		self.tool(node.name, HERE / "systemctl.py")

	def _remote_of_cells(self):
		"""What a unit file would say of each node."""
		self.write_remote()
		path = self.dir / "remote"
		ports = "".join(f"{n.name}) CELLS_HEALTHCHECK={n.health} ;;\n" for n in self.nodes)
		more = f'case $node in\n{ports}esac\nexport CELLS_HEALTHCHECK CELLS_BIN="$lab/nodes/$node/cells/cells" CELLS_WORKING_DIR="$lab/nodes/$node/work" LAB_FAULT="$lab/nodes/$node/fault"\n'
		path.write_text(path.read_text().replace('exec "$@"', more + 'exec "$@"'))

	def _balancer(self):
		self.web = self.ports.take()
		(self.dir / "lb/503.http").write_text(MAINTENANCE)
		servers = "\n".join(f"\tserver {n.name} 127.0.0.1:{n.http} check port {n.health} # not backup1" for n in self.nodes)
		self.start_balancer("lb", BALANCER.format(web=self.web, servers=servers, errorfile=f"\terrorfile 503 {self.dir}/lb/503.http" if self.maintenance else ""))

	# what is there

	def users(self):
		"""Somebody who opens the front page again and again: v3, v4, maintenance, or what went wrong."""
		def word(status, _, body):
			if status == 200:
				return "v" + body.partition("Cells ")[2][:1]
			return "maintenance" if "being upgraded" in body else "starting" if "Server is starting" in body else f"error {status}"
		return self.visitor("users", page(f"http://127.0.0.1:{self.web}/", word))

	def version(self, node):
		return self.remote(node, self.node(node).columns["bin"], "version", "-f", "{{.Version}}").strip()

	def versions(self):
		return {self.version(n.name) for n in self.nodes}

	def reboot(self, node):
		"""Everything on it is gone at once, and what it starts when it boots is there again."""
		self.remote(node, "systemctl", "reboot", "cells")

	def is_running(self, node):
		return subprocess.run(["pgrep", "-f", f"^{self.node(node).columns['bin']} "], stdout=subprocess.DEVNULL, check=False).returncode == 0

	def boots(self):
		"""The nodes that start Cells when they boot."""
		return [n.name for n in self.nodes if (n.dir / "enabled").exists()]

	def capabilities(self):
		"""The nodes whose program has that of its file."""
		return {n.name for n in self.nodes if "net_bind" in self.remote(n.name, "getcap", n.columns["bin"])}

	def gate(self):
		"""What v4 would not start with."""
		return self.db.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'cells' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '%\\_migrations'"
			" AND table_name NOT LIKE '%\\_migration' AND table_collation NOT LIKE 'ascii%' AND table_collation NOT LIKE CONCAT((SELECT default_character_set_name"
			" FROM information_schema.schemata WHERE schema_name = 'cells'), '%') ORDER BY 1")

	def migrated(self):
		return len(self.db.sql("SELECT id FROM cells.gorp_migrations WHERE id LIKE '%\\_v4\\_%'"))

	def calls(self, node):
		path = self.node(node).dir / "calls.log"
		return path.read_text().splitlines() if path.exists() else []
