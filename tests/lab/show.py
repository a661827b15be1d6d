#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The demo of a small site: ./demo.sh SYSTEM. tests/lab/SYSTEM/demo.py has two functions: site(directory, build), which makes it, and run(show), which tells
a story with the words of class Show. Exit 0: all that the story looks at is so.
"""

import argparse
import importlib
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from procs import LabError  # noqa: E402


class Show:
	def __init__(self, site):
		self.site, self.wrong = site, []

	def say(self, text):
		print(f"\n── {text}", flush=True)

	def upgctl(self, *args, codes=(0,)):
		"""As at a terminal: the command, what it prints, its exit code."""
		print(f"$ upgctl {' '.join(map(str, args))}", flush=True)
		code = subprocess.run(self.site.upgctl_argv(*args), stdin=subprocess.DEVNULL, env=self.site.procs.env, check=False).returncode
		if codes is not None:
			self.look(code in codes, f"upgctl {args[0]} ended with {code}")
		return code

	def look(self, good, wrong):
		"""`wrong` is what is said of it if it is not so."""
		if not good:
			self.wrong.append(wrong)
			print(f"demo: {wrong}", file=sys.stderr, flush=True)
		return good

	def seen(self):
		print("\nwhat users saw:")
		for visitor in self.site.visitors:
			print(f"  {visitor.name.removeprefix('visitor-')}: {visitor.told()}", flush=True)


def how_to_look(site):
	print(f"""
The site is up. To speak with it:
  export UPGD_SOCKET={site.dir}/upgd.sock PATH={site.build}/ctl:{site.build}/daemon:$PATH
  upgctl status
  tail -f {site.dir}/log/upgd.log
To kill upgd:      pkill -9 -f "upgd -c {site.dir}/upgd.conf"
While it is dead:  upgd --offline runbook -c {site.dir}/upgd.conf
upgd again:        upgd -c {site.dir}/upgd.conf &
End it: Ctrl-C here.""", flush=True)
	signal.pause()


def main():
	parser = argparse.ArgumentParser(description="Shows a rollout of a small site.")
	parser.add_argument("system")
	parser.add_argument("--build")
	parser.add_argument("--dir")
	parser.add_argument("--keep", action="store_true", help="leave the site up afterwards, until Ctrl-C")
	parser.add_argument("--idle", action="store_true", help="leave it up and start no rollout")
	args = parser.parse_args()
	name = args.system.replace("-", "_")
	if not (HERE / name / "demo.py").exists():
		there = sorted(p.parent.name.replace("_", "-") for p in HERE.glob("*/demo.py"))
		sys.exit(f"demo: {args.system}: no such system; there are: {' '.join(there)}")
	demo = importlib.import_module(f"{name}.demo")
	signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
	signal.signal(signal.SIGTERM, signal.default_int_handler)
	try:
		with demo.site(args.dir, args.build) as site:
			show = Show(site)
			if args.idle:
				site.start_upgd()
			else:
				demo.run(show)
				show.seen()
			if args.keep or args.idle:
				how_to_look(site)
	except LabError as e:
		sys.exit(f"demo: {e}")
	except KeyboardInterrupt:
		sys.exit(130)
	sys.exit(1 if show.wrong else 0)


if __name__ == "__main__":
	main()
