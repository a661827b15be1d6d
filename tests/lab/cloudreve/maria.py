# SPDX-License-Identifier: MIT
"""One connection to MariaDB through libmariadb: a killed stand-in must lose its connection as the real program does, at once."""

import ctypes
import sys

_lib = ctypes.CDLL("libmariadb.so.3")
_p, _s, _ul = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong
for _name, _result, _args in (
		("mysql_init", _p, [_p]),
		("mysql_real_connect", _p, [_p, _s, _s, _s, _s, ctypes.c_uint, _s, _ul]),
		("mysql_set_character_set", ctypes.c_int, [_p, _s]),
		("mysql_real_query", ctypes.c_int, [_p, _s, _ul]),
		("mysql_store_result", _p, [_p]),
		("mysql_num_fields", ctypes.c_uint, [_p]),
		("mysql_fetch_row", ctypes.POINTER(_p), [_p]),
		("mysql_fetch_lengths", ctypes.POINTER(_ul), [_p]),
		("mysql_free_result", None, [_p]),
		("mysql_errno", ctypes.c_uint, [_p]),
		("mysql_sqlstate", _s, [_p]),
		("mysql_error", _s, [_p]),
		("mysql_stmt_init", _p, [_p]),
		("mysql_stmt_prepare", ctypes.c_int, [_p, _s, _ul]),
		("mysql_stmt_execute", ctypes.c_int, [_p]),
		("mysql_close", None, [_p])):
	getattr(_lib, _name).restype = _result
	getattr(_lib, _name).argtypes = _args


class MariaError(Exception):
	def __init__(self, errno, state, text):
		super().__init__(f"Error {errno} ({state}): {text}")
		self.errno = errno


class Maria:
	def __init__(self, host, port, user, password, database, charset="utf8mb4"):
		self.handle = _lib.mysql_init(None)
		words = [w.encode() for w in (host, user, password, database)]
		if not _lib.mysql_real_connect(self.handle, *words, int(port), None, 0):
			raise self._error()
		if _lib.mysql_set_character_set(self.handle, charset.encode()):
			raise self._error()

	def _error(self):
		return MariaError(_lib.mysql_errno(self.handle), _lib.mysql_sqlstate(self.handle).decode(), _lib.mysql_error(self.handle).decode(errors="replace"))

	def query(self, text):
		"""Rows as tuples of str, or None for NULL; () for a statement that gives none."""
		raw = text.encode()
		if _lib.mysql_real_query(self.handle, raw, len(raw)):
			raise self._error()
		result = _lib.mysql_store_result(self.handle)
		if not result:
			if _lib.mysql_errno(self.handle):
				raise self._error()
			return ()
		rows, n = [], _lib.mysql_num_fields(result)
		while True:
			row = _lib.mysql_fetch_row(result)
			if not row:
				break
			sizes = _lib.mysql_fetch_lengths(result)
			rows.append(tuple(ctypes.string_at(row[i], sizes[i]).decode(errors="replace") if row[i] else None for i in range(n)))
		_lib.mysql_free_result(result)
		return rows

	def execute(self, text):
		"""A prepared one, as Go's driver has them all: the process list calls it Execute."""
		raw, statement = text.encode(), _lib.mysql_stmt_init(self.handle)
		if _lib.mysql_stmt_prepare(statement, raw, len(raw)) or _lib.mysql_stmt_execute(statement):
			raise self._error()

	def value(self, text):
		rows = self.query(text)
		return rows[0][0] if rows else None

	def insert(self, table, columns, rows):
		"""Multi-row INSERTs, all in the caller's transaction."""
		for at in range(0, len(rows), 500):
			values = ",".join("(" + ",".join(quote(v) for v in row) + ")" for row in rows[at:at + 500])
			self.query(f"INSERT INTO `{table}` ({','.join(columns)}) VALUES {values}")

	def close(self):
		if self.handle:
			_lib.mysql_close(self.handle)
			self.handle = None


def quote(value):
	if value is None:
		return "NULL"
	if isinstance(value, int):
		return str(value)
	return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
	Maria("127.0.0.1", sys.argv[1], "cloudreve", "cloudreve", "v4").execute(sys.argv[2])
