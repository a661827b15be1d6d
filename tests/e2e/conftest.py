# SPDX-License-Identifier: MIT
"""
Labs for end-to-end tests.

  lab       a running lab, users not yet started, upgd not started
  site      the same with 200 users and upgd; what most tests want
  make_lab  makes labs with options of class Lab: make_lab(nodes=3, schemata=6); or of another system: make_lab(Omero, nodes=1)

When a test fails, the report gets upgd's log, `upgctl status`, the last records, the users' summary, and the lab's directory is kept.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

import lab as lab_module  # noqa: E402
import truth  # noqa: E402


def pytest_configure(config):
	config.addinivalue_line("markers", "long: takes long; run by ./test.sh --all, or with UPGD_TEST_ALL=1")


def pytest_collection_modifyitems(items):
	if os.environ.get("UPGD_TEST_ALL") == "1":
		return
	for item in items:
		if item.get_closest_marker("long"):
			item.add_marker(pytest.mark.skip(reason="long; UPGD_TEST_ALL=1 runs it"))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
	report = (yield).get_result()
	if report.when != "teardown" and report.failed:
		item.stash[FAILED] = True
		for lab in item.stash.get(LABS, []):
			try:
				report.sections.append(("lab", lab.evidence() + "\n" + lab.tails()))
			except Exception as e:  # pylint: disable=broad-except
				report.sections.append(("lab", f"no evidence: {e!r}"))


LABS = pytest.StashKey()
FAILED = pytest.StashKey()


@pytest.fixture
def make_lab(request):
	labs = request.node.stash.setdefault(LABS, [])
	kept = []

	def make(kind=lab_module.Lab, **options):
		name = re.sub(r"\W+", "-", request.node.name)[:24]
		directory = tempfile.mkdtemp(prefix=f"upgd-{name}-")
		kept.append(directory)
		lab = kind(directory, **options)
		labs.append(lab)
		try:
			lab.start()
		except BaseException:
			request.node.stash[FAILED] = True
			raise
		return lab

	yield make
	memory = wrong = ""
	try:
		for lab in labs:
			wrong += what_is_untrue(request, lab)
	finally:
		for lab in labs:
			lab.stop()
			memory += lab.memory_reports()
		if memory or wrong:
			request.node.stash[FAILED] = True
		for directory in kept:
			if not request.node.stash.get(FAILED, False) or os.environ.get("UPGD_KEEP") == "0":
				shutil.rmtree(directory, ignore_errors=True)
			else:
				for name in ("db", "db1", "db2", "pg"):
					shutil.rmtree(f"{directory}/{name}", ignore_errors=True)
	if memory:
		pytest.fail(f"a sanitizer or UPGD_WRAP's program found this:\n{memory[:20000]}", pytrace=False)
	if wrong:
		pytest.fail(wrong, pytrace=False)


def what_is_untrue(request, lab):
	"""Of a rollout that has ended, if its test has passed and upgd is there to say something."""
	if request.node.stash.get(FAILED, False) or lab.upgd is None or not lab.upgd.alive():
		return ""
	wrong = truth.untrue(lab)
	return "upgd does not tell the truth:\n  " + "\n  ".join(wrong) + "\n" + lab.evidence() + "\n" if wrong else ""


@pytest.fixture
def lab(make_lab):
	return make_lab()


@pytest.fixture
def site(lab):
	if not (lab.build / "daemon/upgd").exists():
		pytest.fail("upgd is not built")
	lab.start_upgd()
	lab.start_users()
	return lab
