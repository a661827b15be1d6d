# SPDX-License-Identifier: MIT
"""A small site of any system (sites.py): its servers are real, its visitor tells what is seen, nothing is left behind."""

import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from procs import LabError, marked
from sites import MariaDB, Postgres, Site
from visitors import page, port

CFG = """
frontend web
	bind 127.0.0.1:{web}
	default_backend be_web

backend be_web
	errorfile 503 {maintenance}
	server n1 127.0.0.1:{app} check

frontend raw
	mode tcp
	bind 127.0.0.1:{tcp}
	default_backend be_raw

backend be_raw
	mode tcp
	server n1 127.0.0.1:{app}
"""


class Small(Site):
	system = "ox-appsuite"  # some profile

	def build_site(self):
		self.web, self.tcp, self.app = (self.ports.take() for _ in range(3))
		(self.dir / "lb/503.http").write_text("HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nmaintenance\r\n")
		self.start_balancer("lb", CFG.format(web=self.web, tcp=self.tcp, app=self.app, maintenance=f"{self.dir}/lb/503.http"))


@pytest.fixture(name="small")
def _small():
	with Small() as site:
		yield site
		mark = site.mark
	assert not marked(mark)


class Hello(BaseHTTPRequestHandler):
	def do_GET(self):  # pylint: disable=invalid-name
		self.send_response(200)
		self.end_headers()
		self.wfile.write(b"version 1")

	def log_message(self, *_):  # pylint: disable=arguments-differ
		pass


def test_postgres_is_real_and_comes_back_with_its_data(small):
	pg = Postgres(small).start()
	pg.sql("CREATE DATABASE a; ")
	pg.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)", "a")
	pg.stop()
	pg.start()
	assert pg.sql("SELECT a, a * 2 FROM t ORDER BY a", "a") == [["1", "2"], ["2", "4"]]
	with pytest.raises(LabError, match="does not exist"):
		pg.sql("SELECT 1; SELECT * FROM nowhere; SELECT 2", "a")
	pg.stop(signal.SIGKILL)
	pg.start()
	assert pg.value("SHOW server_version").startswith("15") and pg.value("SELECT count(*) FROM t", "a") == "2"


def test_mariadb_is_real_and_upgd_may_only_read(small):
	db = MariaDB(small).start()
	db.sql("CREATE DATABASE a; CREATE TABLE a.t (a int); INSERT INTO a.t VALUES (7)")
	db.stop()
	db.start()
	assert db.sql("SELECT a FROM t", "a") == [["7"]]
	argv = ["mariadb", f"--defaults-file={db.cnf}", "-N", "-e"]
	assert small.procs.run([*argv, "SELECT a FROM a.t"]).strip() == "7"
	with pytest.raises(LabError, match="denied"):
		small.procs.run([*argv, "DELETE FROM a.t"])


def test_a_visitor_tells_what_is_seen(small):
	def word(status, _, body):
		return body if status == 200 else "maintenance" if "maintenance" in body else f"error {status}"
	visitor = small.visitor("web", page(f"http://127.0.0.1:{small.web}/", word))
	raw = small.visitor("raw", port(small.tcp))
	visitor.wait_for("maintenance")
	raw.wait_for("cut")
	server = HTTPServer(("127.0.0.1", small.app), Hello)
	threading.Thread(target=server.serve_forever, daemon=True).start()
	visitor.wait_for("version 1")
	server.shutdown()
	server.server_close()
	visitor.wait_for("maintenance")
	visitor.leave()
	assert visitor.words()[0] == "maintenance" and "version 1" in visitor.words() and visitor.counts()["maintenance"] >= 2
	assert [s["status"] for s in small.servers_of("lb", "be_web").values()] == ["DOWN"]


def test_a_tool_runs_on_its_node_with_its_environment(small, tmp_path):
	(tmp_path / "tool.py").write_text("import os, sys\nprint(os.environ['LAB_NODE_DIR'], *sys.argv[1:])\n")
	small.tool("n1", tmp_path / "tool.py", "hello")
	assert small.remote("n1", "hello", "a b").split("\n")[0] == f"{small.node('n1').dir} a b"
