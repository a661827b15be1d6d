# SPDX-License-Identifier: MIT
"""Long sessions are ended a few a second, in the real HAProxy in mode tcp: those of the node that leaves, and nobody else's."""

import contextlib
import socket
import threading
import time

from sites import Site

RATE, CLIENTS = 2, 16

PROFILE = """language = 1; profile = "chat";
sets = { node = { from = "nodes"; probe = "state"; class = ( { is = "old"; match = "^old$"; }, { is = "new"; match = "^new$"; } ); }; };
probes = {
	state = { read = "DIR/nodes/${node.name}/state"; on = "self"; };
	is_new = { read = "DIR/nodes/${node.name}/state"; on = "self"; equals = "new"; doc = "it is new"; };
};
stages = ( { name = "roll"; for = "node"; where = [ "old" ]; steps = (
	{ name = "drain"; server = "main"; want = "drain"; idle = "1s"; then = "shed"; rate = RATE; undo = { restore = true; }; },
	{ name = "update"; run = [ "sh", "-c", "echo new >DIR/nodes/${node.name}/state" ]; on = "self"; pivot = true; resolve = "rerun"; verify = [ "is_new" ]; },
	{ name = "ready"; server = "main"; want = "ready"; } ); } );
"""


class Room:
	"""A server that takes connections and keeps them, silently."""

	def __init__(self, port):
		self.listener = socket.create_server(("127.0.0.1", port))
		self.taken = []
		threading.Thread(target=self._take, daemon=True).start()

	def _take(self):
		with contextlib.suppress(OSError):
			while True:
				self.taken.append(self.listener.accept()[0])

	def stop(self):
		for s in (self.listener, *self.taken):
			s.close()


class Guest:
	"""A client that stays, and notes when it is thrown out."""

	def __init__(self, port):
		self.socket = socket.create_connection(("127.0.0.1", port))
		self.out_at = None
		threading.Thread(target=self._stay, daemon=True).start()

	def _stay(self):
		with contextlib.suppress(OSError):
			while self.socket.recv(100):
				pass
		self.out_at = time.monotonic()


class Chat(Site):
	system = "chat"
	n_nodes = 2

	def build_site(self):
		self.profile = self.dir / "chat.conf"
		self.profile.write_text(PROFILE.replace("DIR", str(self.dir)).replace("RATE", str(RATE)))
		for node, state in zip(self.nodes, ("old", "new")):
			(node.dir / "state").write_text(state)
			node.columns = {"health": "http://127.0.0.1:9"}
		ports = [self.ports.take() for _ in self.nodes]
		self.front = self.ports.take()
		self.rooms = [Room(port) for port in ports]
		servers = "".join(f"	server {n.name} 127.0.0.1:{port} check\n" for n, port in zip(self.nodes, ports))
		self.start_balancer("lb", f"listen be_chat\n	mode tcp\n	bind 127.0.0.1:{self.front}\n	balance leastconn\n	timeout client 1h\n	timeout server 1h\n{servers}")
		self.write_conf(balancers={"main": ("be_chat", ("lb",))})

	def stop(self):
		for room in self.rooms:
			room.stop()
		return super().stop()


def test_sessions_are_shed_at_a_rate(make_lab):
	"""Nobody is thrown out faster than that; a reload in the midst loses nobody: the old worker's are shed too. The other node's guests notice nothing."""
	lab = make_lab(Chat)
	lab.start_upgd()
	guests = [Guest(lab.front) for _ in range(CLIENTS)]
	lab.wait_until(lambda: sum(len(r.taken) for r in lab.rooms) >= CLIENTS, 20, "all are in")
	lab.upgctl("start", "--yes")
	lab.wait_until(lambda: f"shedding {RATE} sessions a second, " in lab.upgctl("explain", "roll/n1"), 30, "it says that it sheds")
	assert not lab.status()["attention"]
	lab.reload_lb("lb")
	lab.wait_until(lambda: ",DRAIN," in lab.lb("lb", "show stat be_chat 4 -1"), 20, "the new worker sends nobody there")
	late = Guest(lab.front)
	assert lab.wait_for_state("done", "partial")["state"] == "done"
	out = sorted(g.out_at for g in guests if g.out_at is not None)
	assert len(out) == CLIENTS // 2, out
	assert all(out[i + RATE] - out[i] > 0.7 for i in range(len(out) - RATE)), out
	assert late.out_at is None
	assert f"idle; {CLIENTS // 2} sessions were ended, {RATE} a second" in lab.upgctl("log", "--json")
	for guest in (*guests, late):
		guest.socket.close()
