# SPDX-License-Identifier: MIT
"""
Cloudreve, V3 or V4 as its VERSION says, as far as an upgrade meets it. A binary of the lab is a file of a few lines that calls main().

  cloudreve [-c FILE]                                        the server; V3 reads conf.ini beside itself, V4 data/conf.ini
  cloudreve migrate --v3-conf F -c F [--force-reset] [-w]    V4 only; F is looked for from the working directory
"""

import argparse
import pathlib
import sys

import hook
from conf import Conf, log
from migrate import migrate
from server import serve

HELP = """Cloudreve - Self-hosted file management and sharing system

Usage:
  cloudreve [flags]
  cloudreve [command]

Available Commands:
  eject       Eject all embedded static files
  help        Help about any command
{migrate}  server      Start a Cloudreve server with the given config file
"""


def main(version, program):
	hook.home = pathlib.Path(program).resolve().parent
	words = sys.argv[1:]
	is_v4 = version.startswith("4")
	if words and words[0] in ("--help", "-h", "help"):
		print(HELP.format(migrate="  migrate     Migrate from v3 to v4\n" if version.startswith("4.0") else ""))
		return 0
	if words and words[0] == "migrate":
		return _migrate(version, words[1:])
	parser = argparse.ArgumentParser(prog="cloudreve")
	parser.add_argument("-c", "--conf", default=str(hook.home / ("data/conf.ini" if is_v4 else "conf.ini")))
	return serve(version, Conf(pathlib.Path(parser.parse_args(words).conf)))


def _migrate(version, words):
	if not version.startswith("4.0"):
		print('Error: unknown command "migrate" for "cloudreve"', file=sys.stderr)
		return 1
	parser = argparse.ArgumentParser(prog="cloudreve migrate")
	parser.add_argument("--v3-conf", required=True)
	parser.add_argument("-c", "--conf", required=True)
	parser.add_argument("--force-reset", action="store_true")
	parser.add_argument("-w", "--use-working-dir", action="store_true")
	args = parser.parse_args(words)
	if args.use_working_dir:
		hook.home = pathlib.Path.cwd()
	log("Info", f"Cloudreve {version} migrator")
	return migrate(pathlib.Path(args.v3_conf).absolute(), pathlib.Path(args.conf).absolute(), args.force_reset)
