# SPDX-License-Identifier: MIT
"""
Somebody who comes again and again, through the balancer as users do, and counts what was seen: a word per visit, in the order of time.

  Visitor("web", page(url, word))   word(status, headers, body) says what an answer was
  Visitor("port", port(number))     the first line that is said to one who connects
Words of our own: refused (nobody listens), cut (the connection ended without an answer), late (no answer in time).
"""

import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from procs import wait_until


def page(url, word, seconds=10):
	def visit():
		try:
			with urllib.request.urlopen(url, timeout=seconds) as answer:
				return word(answer.status, answer.headers, answer.read().decode(errors="replace"))
		except urllib.error.HTTPError as e:
			return word(e.code, e.headers, e.read().decode(errors="replace"))
		except urllib.error.URLError as e:
			return _word_of(e.reason)
		except (OSError, http.client.HTTPException) as e:
			return _word_of(e)
	return visit


def port(number, seconds=10):
	def visit():
		try:
			with socket.create_connection(("127.0.0.1", number), timeout=seconds) as s:
				line = s.makefile().readline().strip()
				return line or "cut"
		except OSError as e:
			return _word_of(e)
	return visit


def _word_of(reason):
	if isinstance(reason, TimeoutError):
		return "late"
	return "refused" if isinstance(reason, ConnectionRefusedError) else "cut"


@dataclass
class Run:
	"""So many visits one after the other that saw the same."""
	word: str
	count: int
	first: float  # time.monotonic()
	last: float


class Visitor(threading.Thread):
	def __init__(self, name, visit, every=0.05):
		super().__init__(name=f"visitor-{name}", daemon=True)
		self.visit, self.every = visit, every
		self.runs = []
		self._end = threading.Event()
		self.start()

	def run(self):
		while not self._end.wait(self.every):
			begun = time.monotonic()
			word = self.visit()
			if not self.runs or self.runs[-1].word != word:
				self.runs.append(Run(word, 0, begun, begun))
			self.runs[-1].count += 1
			self.runs[-1].last = time.monotonic()

	def leave(self):
		"""The runs, now complete."""
		self._end.set()
		self.join()
		return self.runs

	def words(self):
		"""What was seen, in order, each change once."""
		return [r.word for r in self.runs]

	def counts(self):
		found = {}
		for r in list(self.runs):
			found[r.word] = found.get(r.word, 0) + r.count
		return found

	def wait_for(self, word, seconds=60):
		"""Until that is what is seen, from now on."""
		begun = time.monotonic()
		wait_until(lambda: self.runs and self.runs[-1].word == word and self.runs[-1].last > begun, seconds, f"{self.name} sees {word}", lambda: f"it saw {self.told()}")

	def told(self):
		return " → ".join(f"{r.word} ({r.count}×, {r.last - r.first:.1f} s)" for r in list(self.runs))
