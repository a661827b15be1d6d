#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Stand-in of bin/omero: the server, OMERO.web and the command line of one dist, as OMERO 3.2 to 4.3 has them, bad habits included.

  omero.py DIST admin start|stop|status [--nodeonly]|diagnostics · web start|stop|syncmedia · config get [KEY]|set KEY VALUE · version

DIST has VERSION, etc/grid/config.xml, var/. The server compares dbpatch with what it was made for and does not come up on another level: it says so
in var/log/Blitz-0.log, and `admin start` prints dots for STANDIN_WAIT seconds (300), stops it and ends with 43. Exit codes above 255 wrap: 876 is 108.
Fault hooks, files of LAB_NODE_DIR/fault: `start`: never VERSION · `stop`: hangs, leaves · `web`: never, stays.
"""

import http.server
import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

LEVELS = {"3.2": "OMERO3A__11", "4.0": "OMERO4__0", "4.1": "OMERO4.1__0", "4.2": "OMERO4.2__0", "4.3": "OMERO4.3__0"}
LAST = "SELECT currentversion || '__' || currentpatch FROM dbpatch ORDER BY id DESC LIMIT 1"


class Die(Exception):
	def __init__(self, code, text):
		super().__init__(text)
		self.code = code & 255


class Dist:
	def __init__(self, path):
		self.dir = pathlib.Path(path).resolve()
		self.version = (self.dir / "VERSION").read_text().strip()
		self.level = LEVELS[".".join(self.version.split(".")[:2])]
		self.xml = self.dir / "etc/grid/config.xml"
		self.log = self.dir / "var/log/Blitz-0.log"

	def config(self, xml=None):
		xml = xml or self.xml
		if not xml.exists():
			return {}
		return {p.get("name"): p.get("value") for p in ET.parse(xml).getroot().iter("property")}

	def save(self, values):
		root = ET.Element("icegrid")
		properties = ET.SubElement(root, "properties", id="default")
		for name, value in sorted(values.items()):
			ET.SubElement(properties, "property", name=name, value=value)
		new = self.xml.with_suffix(".new")
		ET.ElementTree(root).write(new)
		os.rename(new, self.xml)

	def say(self, level, text):
		self.log.parent.mkdir(parents=True, exist_ok=True)
		with open(self.log, "a") as log:
			log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 {level:5} [            ome.services.util.DBPatchCheck] (      main) {text}\n")

	def chat(self, lines):
		"""More than a reader of a whole file keeps."""
		self.say("INFO", "\n".join(f"Loading XML bean definitions from class path resource [ome/services/bean-{n}.xml]" for n in range(lines)))

	def psql(self, *args, **more):
		c = self.config()
		env = dict(os.environ, PGHOST=c["omero.db.host"], PGPORT=c["omero.db.port"], PGUSER=c["omero.db.user"], PGAPPNAME="OMERO.server", PGOPTIONS="")
		return subprocess.Popen(["psql", "-XAtq", "-d", c.get("omero.db.name", "omero"), *args], env=env, text=True, **more)  # pylint: disable=consider-using-with

	def ask(self, query):
		with self.psql("-c", query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as p:
			return p.communicate()[0].strip() if p.wait() == 0 else None

	# processes

	def pid(self, what):
		try:
			pid, began = (self.dir / f"var/{what}.pid").read_text().split()
		except (OSError, ValueError):
			return None
		return int(pid) if started(int(pid)) == began else None

	def spawn(self, what):
		(self.dir / "var/log").mkdir(parents=True, exist_ok=True)
		with open(self.dir / f"var/log/{what}.out", "ab") as out:
			child = subprocess.Popen([sys.executable, __file__, str(self.dir), f"serve-{what}"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,  # pylint: disable=consider-using-with
				start_new_session=True, cwd="/")
		(self.dir / f"var/{what}.pid").write_text(f"{child.pid} {started(child.pid)}\n")

	def end(self, what, seconds=20):
		"""False: it is still there."""
		pid = self.pid(what)
		if pid is None:
			return True
		if fault("stop") != "hangs":
			os.kill(pid, signal.SIGTERM)
		deadline = time.monotonic() + (1 if fault("stop") == "hangs" else seconds)
		while self.pid(what) is not None:
			if time.monotonic() > deadline:
				return False
			time.sleep(0.05)  # poll interval, below the deadline
		return True


def started(pid):
	try:
		stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
	except OSError:
		return None
	return None if stat[0] in "ZX" else stat[19]


def fault(name):
	try:
		return (pathlib.Path(os.environ["LAB_NODE_DIR"]) / "fault" / name).read_text().strip()
	except (KeyError, OSError):
		return ""


# the server


class Tcp(socketserver.ThreadingTCPServer):
	allow_reuse_address = True
	daemon_threads = True


def serve_blitz(dist):
	"""The grid node is there at once; Blitz, which listens, only when the database suits."""
	if fault("start") == f"never {dist.version}":
		signal.pause()
	level = dist.ask(LAST)
	if level is None:
		dist.say("ERROR", "Error connecting to database table dbpatch. You may need to bootstrap.")
		signal.pause()
	if level != dist.level:
		dist.say("ERROR", f"DB version ({level}) does not match the configured value ({dist.level}). Please apply a db upgrade.")
		signal.pause()
	dist.chat(200)
	dist.say("INFO", f"Verified database patch: {dist.level}")
	dist.chat(800)
	session = dist.psql(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # as long as it lives it is a client of the database
	session.stdin.write("SELECT 1;\n")
	session.stdin.flush()
	images = dist.ask("SELECT count(*) FROM image")

	class Glacier(socketserver.BaseRequestHandler):
		def handle(self):
			self.request.sendall(f"OMERO.server {dist.version} images={images}\n".encode())
			self.request.recv(1)  # a session lasts until the user leaves

	server = Tcp(("127.0.0.1", int(dist.config()["omero.ports.ssl"])), Glacier)

	def leave(*_):
		session.kill()
		os._exit(0)
	signal.signal(signal.SIGTERM, leave)
	server.serve_forever()


def serve_web(dist):
	class Page(http.server.BaseHTTPRequestHandler):
		def do_GET(self):  # pylint: disable=invalid-name
			media = "" if (dist.dir / "var/media").exists() else ", no media"
			body = f"OMERO.web {dist.version}{media}\n".encode()
			self.send_response(302 if self.path.startswith("/webclient") else 200)
			self.send_header("Content-Length", str(len(body)))
			self.end_headers()
			self.wfile.write(body)

		def log_message(self, *_):  # pylint: disable=arguments-differ
			pass

	class Http(socketserver.ThreadingMixIn, http.server.HTTPServer):
		daemon_threads = True

	signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
	Http(("127.0.0.1", int(dist.config()["omero.web.application_server.port"])), Page).serve_forever()


def listens(dist, what="omero.ports.ssl"):
	port = f"{int(dist.config().get(what, 0)):04X}"
	lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
	return any(line[1].endswith(":" + port) and line[3] == "0A" for line in lines)


# the commands


def admin_start(dist, _):
	if not dist.config():
		raise Die(574, "FATAL: missing internal.cfg: config.xml has no database")
	if dist.pid("blitz") is not None:
		raise Die(876, "Server already running")
	print("No descriptor given. Using etc/grid/default.xml")
	dist.spawn("blitz")
	print("Waiting on startup. Use CTRL-C to exit")
	wait = float(os.environ.get("STANDIN_WAIT", "300"))
	deadline = time.monotonic() + wait
	while dist.pid("blitz") is None or not listens(dist):
		if time.monotonic() > deadline:
			print(f"\nFailed to startup some components after {int(wait)} seconds", flush=True)
			dist.end("blitz")
			raise Die(43, "Calling \"stop\" on remaining components")
		print(".", end="", flush=True)
		time.sleep(0.1)  # poll interval, below the deadline
	print()


def admin_stop(dist, _):
	if dist.pid("blitz") is None:
		raise Die(1, "Server not running")
	if fault("stop") == "leaves":  # says that it has ended, and has not
		return
	print("Waiting on shutdown. Use CTRL-C to exit")
	if not dist.end("blitz"):
		raise Die(44, "Failed to shutdown some components after 300 seconds")


def admin_status(dist, args):
	if dist.pid("blitz") is None:
		raise Die(1, "Server not running")
	if "--nodeonly" not in args and not listens(dist):
		raise Die(1, "Blitz-0 is not reachable")


def admin_diagnostics(dist, _):
	up = dist.pid("blitz") is not None
	print(f"OMERO Diagnostics {dist.version}\n{'=' * 80}\nServer:     Version      {dist.version}\nOMERO:      {'active' if up else 'inactive'}")
	if dist.log.exists():
		lines = dist.log.read_text().splitlines()
		print(f"Log files:  Blitz-0.log  {sum('ERROR' in x for x in lines)} errors", *lines[-5:], sep="\n")


def web_start(dist, _):
	if dist.pid("web") is not None:
		raise Die(606, "OMERO.web already started")
	if fault("web") == "never":
		raise Die(1, "Starting OMERO.web... [FAILED]")
	dist.spawn("web")
	deadline = time.monotonic() + 20
	while not listens(dist, "omero.web.application_server.port"):
		if time.monotonic() > deadline:
			raise Die(1, "Starting OMERO.web... [FAILED]")
		time.sleep(0.05)  # poll interval, below the deadline
	print("Starting OMERO.web... [OK]")


def web_stop(dist, _):
	if dist.pid("web") is None:
		raise Die(1, "Stopping OMERO.web... [FAILED]\nnot running")
	if fault("web") != "stays":  # says that it has ended, and has not
		dist.end("web")
	print("Stopping OMERO.web... [OK]")


def web_syncmedia(dist, _):
	(dist.dir / "var/media").mkdir(parents=True, exist_ok=True)
	print("Copying media files... [OK]")


def config_get(dist, args):
	names = [a for a in args if not a.startswith("-")]
	values = dist.config(pathlib.Path("etc/grid/config.xml"))  # as 4.2: from where it is run
	if names:
		if names[0] in values:
			print(values[names[0]])
		return
	for name, value in sorted(values.items()):
		print(f"{name}={'********' if name.endswith('.pass') and '--show-password' not in args else value}")


def config_set(dist, args):
	if len(args) != 2:
		raise Die(2, "usage: omero config set KEY VALUE")
	dist.save({**dist.config(), args[0]: args[1]})


COMMANDS = {("admin", "start"): admin_start, ("admin", "stop"): admin_stop, ("admin", "status"): admin_status, ("admin", "diagnostics"): admin_diagnostics,
	("web", "start"): web_start, ("web", "stop"): web_stop, ("web", "syncmedia"): web_syncmedia, ("config", "get"): config_get, ("config", "set"): config_set}


def main(argv):
	dist = Dist(argv[1])
	if argv[2:3] == ["serve-blitz"]:
		return serve_blitz(dist)
	if argv[2:3] == ["serve-web"]:
		return serve_web(dist)
	if argv[2:] == ["version"]:
		print(f"{dist.version}-ice34-b1")
		return 0
	command = COMMANDS.get(tuple(argv[2:4]))
	if command is None:
		print("usage: omero admin|web|config|version …", file=sys.stderr)
		return 2
	if "LAB_NODE_DIR" in os.environ and argv[2] != "config":
		with open(pathlib.Path(os.environ["LAB_NODE_DIR"]) / "calls.log", "a") as calls:
			calls.write(f"{dist.version} {' '.join(argv[2:])}\n")
	try:
		command(dist, argv[4:])
	except Die as e:
		print(e, file=sys.stderr)
		return e.code
	return 0


if __name__ == "__main__":
	sys.exit(main(sys.argv))
