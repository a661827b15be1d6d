# SPDX-License-Identifier: MIT
"""conf.ini of either version, and what is made of it."""

import base64
import configparser
import hashlib
import sys
import time

from maria import Maria

DEFAULT = """[System]
Mode = master
Listen = :5212

[Database]
Type = sqlite
DBFile = data/cloudreve.db
"""


def log(level, text, where="application/cloudreve.go:1"):
	print(f"[{level}]\t {time.strftime('%Y-%m-%d %H:%M:%S')} [{where}] {text}", flush=True)


def panic(text):
	"""What a Go program does with a dependency that it does not get."""
	log("Panic", f"Fatal error in dependency initialization: {text}")
	sys.exit(2)


class Conf:
	def __init__(self, path):
		"""A file that is not there is made, and silently is another site: V4 does so."""
		if not path.exists():
			path.parent.mkdir(parents=True, exist_ok=True)
			path.write_text(DEFAULT)
			log("Info", f"Config file {path} not found, creating a default one.")
		ini = configparser.ConfigParser(interpolation=None, strict=False)
		ini.optionxform = str
		ini.read(path)
		self.path = path
		self.system = dict(ini["System"]) if ini.has_section("System") else {}
		self.database = dict(ini["Database"]) if ini.has_section("Database") else {}
		self.type = self.database.get("Type", "sqlite")
		self.name = self.database.get("Name", "")
		self.prefix = self.database.get("TablePrefix", "")
		self.charset = self.database.get("Charset", "utf8mb4")
		self.salt = self.system.get("HashIDSalt", "")
		self.port = int(self.system.get("Listen", ":5212").rpartition(":")[2])
		self.grace = int(self.system.get("GracePeriod", "10"))

	def connect(self):
		d = self.database
		return Maria(d.get("Host", "127.0.0.1"), d.get("Port", "3306"), d.get("User", ""), d.get("Password", ""), self.name,
			"utf8mb3" if self.charset == "utf8" else self.charset)


def key_of(salt, kind, number):
	"""The public name of a share or a direct link: depends on the salt, as a hashid does, and can be read back."""
	text, n = "", number
	while n or not text:
		n, digit = divmod(n, 36)
		text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
	mac = base64.b32encode(hashlib.sha256(f"{salt}/{kind}/{number}".encode()).digest()).decode().lower()
	return mac[:5] + text


def number_of(salt, kind, key):
	"""None: no such key, or made with another salt."""
	try:
		number = int(key[5:], 36)
	except ValueError:
		return None
	return number if key_of(salt, kind, number) == key else None
