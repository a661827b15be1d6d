# SPDX-License-Identifier: MIT
"""Rules of the tree that no compiler knows: who may include what, no naps in tests, a licence line in each source."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
C = sorted(p for top in ("daemon", "runner", "ctl", "proto", "tests") for p in (ROOT / top).rglob("*.[ch]"))
SCRIPTS = sorted([*(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.sh"), *(ROOT / "tests").rglob("*.sh"), ROOT / ".ci/run"])

# header → the files that may include it. The lab and the tests are their own programs.
OWNERS = {
	r"event2/|event\.h": ["daemon/io/loop.c"],
	r"curl/": ["daemon/io/http.c"],
	r"mysql/|mysql\.h|mariadb/|errmsg\.h|mysqld_error\.h": ["daemon/io/sql_conn.c"],
	r"sqlite3\.h": ["daemon/io/store_sqlite.c"],
	r"libconfig\.h": ["daemon/io/conf.c"],
	r"json-c/|json\.h$": ["proto/json.c", "proto/json.h"],
}
LIBC = set("""assert.h ctype.h errno.h fcntl.h float.h getopt.h glob.h grp.h inttypes.h libgen.h limits.h locale.h math.h netdb.h netinet/in.h arpa/inet.h
poll.h pthread.h pwd.h regex.h sched.h search.h signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h strings.h sysexits.h syslog.h termios.h time.h unistd.h wchar.h""".split())
PURE = ("daemon/core/", "daemon/render/", "proto/")


def name(path):
	return str(path.relative_to(ROOT))


def includes(path):
	"""(line number, header, is quoted) of each #include."""
	for number, line in enumerate(path.read_text().splitlines(), 1):
		found = re.match(r'\s*#\s*include\s+([<"])([^">]+)[">]', line)
		if found:
			yield number, found[2], found[1] == '"'


def test_there_is_something_to_check():
	assert len(C) > 10 and len(SCRIPTS) > 5


def test_each_library_has_one_owner():
	wrong = []
	for path in C:
		if name(path).startswith("tests/"):
			continue
		for number, header, quoted in includes(path):
			for pattern, owners in OWNERS.items():
				if not quoted and re.match(pattern, header) and name(path) not in owners:
					wrong.append(f"{name(path)}:{number}: {header} belongs to {owners[0]} alone")
	assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layer", PURE)
def test_pure_layers_know_libc_only(layer):
	wrong = []
	for path in C:
		if not name(path).startswith(layer) or name(path) in ("proto/json.c", "proto/json.h"):
			continue
		for number, header, quoted in includes(path):
			if quoted and header.startswith(("daemon/io/", "../io/", "io/")):
				wrong.append(f"{name(path)}:{number}: {header}: a pure layer does no I/O")
			if not quoted and header not in LIBC and not header.startswith(("sys/", "linux/")):
				wrong.append(f"{name(path)}:{number}: {header}: libc only here")
	assert not wrong, "\n".join(wrong)


def test_core_does_no_io_and_asks_no_clock():
	calls = r"\b(time|clock_gettime|gettimeofday|open|fopen|read|write|socket|connect|fork|exec\w*|getenv|random|rand|printf)\s*\("
	wrong = [f"{name(p)}:{n}: {line.strip()}" for p in C if name(p).startswith("daemon/core/") and p.suffix == ".c"
		for n, line in enumerate(code(p), 1) if re.search(calls, line)]
	assert not wrong, "\n".join(wrong)


def code(path):
	"""Lines of a C file without comments and strings; as many as there were."""
	text = re.sub(r'"(\\.|[^"\\\n])*"', '""', path.read_text())
	text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
	return re.sub(r"//[^\n]*", "", text).splitlines()


def test_no_naps_in_tests():
	"""Tests wait on a condition. The stand-in node may be slow on purpose; a poll interval stands in a loop with a deadline."""
	wrong = []
	for path in C:
		if name(path).startswith("tests/") and not name(path).startswith("tests/lab/node/"):
			wrong += [f"{name(path)}:{n}: {line.strip()}" for n, line in enumerate(code(path), 1) if re.search(r"\b(u|nano)?sleep\s*\(", line)]
	for path in SCRIPTS:
		if path == pathlib.Path(__file__).resolve():
			continue
		lines = path.read_text().splitlines()
		for number, line in enumerate(lines, 1):
			if re.search(r"\btime\.sleep\(|^\s*sleep\s", line) and "poll interval" not in line and "deadline" not in "".join(lines[max(0, number - 6):number]):
				wrong.append(f"{name(path)}:{number}: {line.strip()}")
	assert not wrong, "\n".join(wrong)


def test_licence_line():
	wrong = [name(p) for p in [*C, *SCRIPTS] if "SPDX-License-Identifier: MIT" not in "\n".join(p.read_text().splitlines()[:3])]
	assert not wrong, "\n".join(wrong)


def test_each_c_file_includes_its_own_header_first():
	wrong = []
	for path in C:
		if path.suffix != ".c" or not path.with_suffix(".h").exists():
			continue
		first = next(includes(path), (0, "", False))
		if pathlib.PurePath(first[1]).name != path.with_suffix(".h").name:
			wrong.append(f"{name(path)}: includes {first[1]} before {path.stem}.h")
	assert not wrong, "\n".join(wrong)


def test_headers_are_guarded():
	assert not [name(p) for p in C if p.suffix == ".h" and "#pragma once" not in p.read_text()]


def test_no_unsafe_calls():
	"""Nothing crosses a shell, no buffer is filled without a bound."""
	pattern = r"\b(system|popen|strcpy|strcat|sprintf|vsprintf|gets|tmpnam|mktemp)\s*\("
	wrong = [f"{name(p)}:{n}: {line.strip()}" for p in C if not name(p).startswith("tests/")
		for n, line in enumerate(code(p), 1) if re.search(pattern, line)]
	assert not wrong, "\n".join(wrong)


def test_failpoints_are_off_unless_asked_for():
	"""The binary itself is looked at by tests/e2e/test_crash.py."""
	options = (ROOT / "meson_options.txt").read_text()
	assert re.search(r"^option\('failpoints', type: 'boolean', value: false,", options, re.MULTILINE)
	wrong = [name(p) for p in C if "getenv(\"UPGD_FAILPOINT\")" in p.read_text() and name(p) != "daemon/failpoint.c"]
	assert not wrong, "\n".join(wrong)
	build = (ROOT / "daemon/meson.build").read_text()
	assert re.search(r"if get_option\('failpoints'\)\n[^\n]*'failpoint.c'", build) and build.count("failpoint.c") == 1


def test_no_program_knows_a_system_by_name():
	"""What is special about a system is in its profile; C code outside the tests serves them all alike."""
	systems = {p.stem for p in (ROOT / "conf/profiles").glob("*.conf")}
	words = {w for s in systems for w in (s, *s.split("-")) if w not in ("cells", "ox")} | {"open-?xchange", "app ?suite"}
	assert {"cloudreve", "omero", "mongooseim", "pydio"} <= words
	pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(words))})(?![a-z])", re.IGNORECASE)
	wrong = [f"{name(p)}:{n}: {line.strip()}" for p in [*C, ROOT / "proto/methods.def"] if not name(p).startswith("tests/")
		for n, line in enumerate(p.read_text().splitlines(), 1) if pattern.search(line)]
	assert not wrong, "\n".join(wrong)


def names_of_tests(text):
	"""`unit/test_x.c::t`, `e2e/test_x.py::t`, `sim/scenarios/NN-x.sim`, `mutants/NAME`: (path, test or empty)."""
	return re.findall(r"`((?:unit|e2e|lab|lint|sim|mutants|bench)/[\w./-]+)(?:::(\w+))?(?: --\w+)?`", text)


def is_there(path, test, mutants):
	if path.startswith("mutants/") and not path.endswith((".md", ".py")):
		return path.removeprefix("mutants/") in mutants
	file = ROOT / "tests" / (path + ".c" if path == "sim/run" else path)
	return file.is_file() and (not test or re.search(rf"\b{test}\(", file.read_text()) is not None)


def test_what_is_named_is_there():
	"""PROMISES.md, BUGS.md and mutants/README.md name tests; one that is renamed or removed takes its row along."""
	mutants = set(re.findall(r'^\tMutant\("([\w-]+)"', (ROOT / "tests/mutants/mutants.py").read_text(), re.MULTILINE))
	wrong = []
	for page in ("PROMISES.md", "BUGS.md", "mutants/README.md"):
		named = [n for n in names_of_tests((ROOT / "tests" / page).read_text()) if "NN-x" not in n[0] and n != ("mutants/NAME", "") and "/test_x." not in n[0]]
		wrong += [f"tests/{page}: {path}{'::' + test if test else ''} is not there" for path, test in named if not is_there(path, test, mutants)]
		wrong += [f"tests/{page}: only {len(named)} tests are named"] if len(named) < 40 else []
	rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "tests/mutants/README.md").read_text(), re.MULTILINE)
	wrong += [f"tests/mutants/README.md: {m} has no row, or no mutant" for m in sorted(set(rows) ^ mutants)]
	wrong += [f"tests/mutants/README.md: {m} has two rows" for m in sorted({m for m in rows if rows.count(m) > 1})]
	assert not wrong, "\n".join(wrong)
