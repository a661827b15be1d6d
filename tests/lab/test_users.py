# SPDX-License-Identifier: MIT
"""
The judge can fail: lab-users against a server that answers from a script, one case for each kind of verdict.
"""

import json
import os
import pathlib
import queue
import socket
import subprocess
import threading

import pytest

from procs import wait_until

BUILD = pathlib.Path(os.environ.get("UPGD_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build")
SESSION = '{"session":"s1","cid":1}'
MAIL = '{"data":{"cid":1}}'
HANG, CUT, RESET = "hang", "cut", "reset"


def answer(body, status=200, **headers):
	lines = "".join(f"X-Lab-{name.title()}: {value}\r\n" for name, value in headers.items())
	return f"HTTP/1.1 {status} X\r\nX-Lab-Node: ox1\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def error(code, *params):
	return json.dumps({"error": "text", "code": code, "error_params": list(params)})


class Server:
	"""Answers requests, in order over all connections, from script; then with the last entry for ever. Records what was asked."""

	def __init__(self, script):
		self.script, self.asked, self.lock = list(script), [], threading.Lock()
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
		self.open = []
		threading.Thread(target=self._accept, daemon=True).start()

	def _accept(self):
		while True:
			try:
				connection, _ = self.listener.accept()
			except OSError:
				return
			self.open.append(connection)
			threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

	def _serve(self, connection):
		reader = connection.makefile("rb")
		try:
			while line := reader.readline().decode():
				length, cookie = 0, ""
				while (head := reader.readline().decode().strip()):
					name, _, value = head.partition(":")
					length = int(value) if name.lower() == "content-length" else length
					cookie = value.strip() if name.lower() == "cookie" else cookie
				reader.read(length)
				with self.lock:
					self.asked.append((line.split()[1], cookie))
					act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
				if act == HANG:
					queue.Queue().get()
				if act == CUT:
					connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
				if act in (CUT, RESET):
					connection.shutdown(socket.SHUT_RDWR)
					return
				connection.sendall(act)
		except OSError:
			pass

	def close(self):
		self.listener.close()
		for connection in self.open:
			connection.close()


class Judge:
	def __init__(self, directory):
		self.dir, self.process, self.servers = directory, None, []

	def server(self, *script):
		self.servers.append(Server(script))
		return self.servers[-1]

	def start(self, main, secondary=None, users=1, kind="user", timeout_ms=20000):
		(self.dir / "users.tsv").write_text("".join(f"u{i}@tenant1.example\tsecret\t1\toxdatabase_1\t{kind}\n" for i in range(users)))
		argv = [BUILD / "tests/lab/users/lab-users", "--users", "users.tsv", "--json", "users.json", "--log", "users.log", "--main", main.url,
			"--min-ms", "1", "--max-ms", "5", "--timeout-ms", str(timeout_ms)]
		self.process = subprocess.Popen(argv + (["--secondary", secondary.url] if secondary else []), cwd=self.dir)

	def summary(self):
		try:
			return json.loads((self.dir / "users.json").read_text())
		except FileNotFoundError:
			return {}

	def until(self, condition, what):
		return wait_until(lambda: condition(self.summary()), 30, what, lambda: json.dumps(self.summary()))

	def stop(self):
		self.process.terminate()
		assert self.process.wait(60) == 0
		return self.summary()


@pytest.fixture
def judge(tmp_path):
	judge = Judge(tmp_path)
	yield judge
	if judge.process is not None:
		judge.process.kill()
		judge.process.wait()
	for server in judge.servers:
		server.close()


def test_served(judge):
	judge.start(judge.server(answer(SESSION), answer(MAIL, version="7.10.5")))
	judge.until(lambda s: s.get("ok", 0) > 20, "served")
	end = judge.stop()
	assert (end["failed"], end["denied"], end["relogin"], end["sessions"]) == (0, 0, 0, 1)
	assert end["ok_by_node"] == {"ox1": end["ok"]} and end["requests"] == end["ok"]


@pytest.mark.parametrize("act, text", [
	(answer("", status=503), "HTTP 503"),
	(answer("no json"), "no JSON object"),
	(answer(error("CTX-0012")), "CTX-0012"),
	(answer(error("DBP-0019")), "DBP-0019"),
	(answer(MAIL, mismatch="old-code-new-schema"), "old-code-new-schema"),
	(answer('{"error":"odd"}'), "without a code"),
	(HANG, "timed out"),
	(CUT, "bytes remaining"),
	(RESET, "before the answer began"),
], ids=["5xx", "garbage", "ctx-0012", "unregistered", "mismatch", "no-code", "timeout", "cut", "eof-on-kept-connection"])
def test_failed_and_not_asked_again(judge, act, text):
	server = judge.server(answer(SESSION), answer(MAIL), act, answer(MAIL))
	judge.start(server, timeout_ms=2000 if act == HANG else 20000)
	judge.until(lambda s: s.get("ok", 0) > 5, "served again")
	end = judge.stop()
	assert end["failed"] == 1 and text in end["last_failures"][0]
	assert end["requests"] in (len(server.asked), len(server.asked) - 1), "one request more than it counts: it asked again"
	assert text in (judge.dir / "users.log").read_text()


def test_version_never_goes_back(judge):
	judge.start(judge.server(answer(SESSION), answer(MAIL, version="7.10.6-Rev44"), answer(MAIL, version="7.10.5-Rev40"), answer(MAIL, version="7.10.6-Rev44")))
	judge.until(lambda s: s.get("ok", 0) > 5, "served again")
	end = judge.stop()
	assert end["failed"] == 1 and "7.10.5-Rev40 after 7.10.6-Rev44" in end["last_failures"][0]


def test_redirect_is_followed_with_a_new_login(judge):
	secondary = judge.server(answer(SESSION), answer(MAIL))
	main = judge.server(answer(SESSION), answer(MAIL), answer(error("SES-0203")), answer(error("LGN-0016", secondary.url + "/")))
	judge.start(main, secondary)
	judge.until(lambda s: s.get("ok", 0) > 10, "served by the secondary")
	end = judge.stop()
	assert (end["failed"], end["relogin"], end["redirected"]) == (0, 1, 1)
	assert len(main.asked) == 4 and secondary.asked[0][0].startswith("/ajax/login")
	assert "redirected" in (judge.dir / "users.log").read_text()


def test_redirect_to_nowhere_and_in_a_loop(judge):
	main = judge.server(answer(error("LGN-0016", "http://127.0.0.1:1/")), answer(error("LGN-0016")), answer(SESSION), answer(MAIL))
	judge.start(main, judge.server(answer(SESSION)))
	judge.until(lambda s: s.get("failed", 0) == 2, "two failures")
	judge.stop()
	loop = judge.server(answer(MAIL))
	loop.script = [answer(error("LGN-0016", loop.url))]
	judge.start(loop, loop)
	judge.until(lambda s: any("in a row" in line for line in s.get("last_failures", [])), "the loop is seen")


def test_denied_intervals(judge):
	"""Two windows of one schema, seen as two; a session that dies in the first is no failure."""
	denied = answer(error("AUTHORIZATION-0001"))
	judge.start(judge.server(answer(SESSION), answer(MAIL), answer(error("SES-0204")), denied, denied, answer(SESSION), answer(MAIL),
		answer(error("CTX-0007")), answer(SESSION), answer(MAIL)))
	judge.until(lambda s: s.get("ok", 0) > 10, "served again")
	end = judge.stop()
	seen = end["denied_by_schema"]["oxdatabase_1"]
	assert (end["failed"], end["denied"]) == (0, 4)
	assert [i["requests"] for i in seen["intervals"]] == [3, 1] and not any(i["open"] for i in seen["intervals"])
	assert seen["users"] == 1 and seen["ms"] == sum(i["to"] - i["from"] for i in seen["intervals"])


def test_switched_off_tenant_must_stay_out(judge):
	judge.start(judge.server(answer(error("AUTHORIZATION-0001")), answer(SESSION)), kind="off")
	end = judge.until(lambda s: s.get("failed", 0) and s, "let in")
	assert end["off_denied"] == 1 and end["denied"] == 0 and "an admin had disabled" in end["last_failures"][0]


def test_cookies_are_kept_and_dropped_at_the_next_site(judge):
	secondary = judge.server(answer(SESSION), answer(MAIL))
	cookie = answer(SESSION).replace(b"X-Lab-Node", b"Set-Cookie: SRV=ox3; path=/\r\nX-Lab-Node")
	main = judge.server(cookie, answer(error("SES-0203")), answer(error("LGN-0016", secondary.url)))
	judge.start(main, secondary)
	judge.until(lambda s: s.get("ok", 0) > 3, "served by the secondary")
	judge.stop()
	assert [c for _, c in main.asked] == ["", "SRV=ox3", "SRV=ox3"] and secondary.asked[0][1] == ""


@pytest.mark.parametrize("line", ["", "a\tb\tc\td\n", "a\tb\t1\ts\twhat\n"])
def test_bad_list(tmp_path, line):
	(tmp_path / "users.tsv").write_text(line or "x\n")
	done = subprocess.run([BUILD / "tests/lab/users/lab-users", "--users", "users.tsv", "--json", "j", "--log", "l", "--main", "http://127.0.0.1:1"],
		cwd=tmp_path, capture_output=True, text=True, check=False)
	assert done.returncode == 1 and "users.tsv:1" in done.stderr
