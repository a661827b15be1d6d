# SPDX-License-Identifier: MIT
"""
What upgd says of a rollout that has ended, held against its journal, the site's own tables and files, and what the users saw (I9). conftest.py
asks this at the end of every test whose upgd is still there.
"""

import collections
import json
import re
import sqlite3

OX = "ox-appsuite"
LATE_MS = 5000  # a user whose schema is back asks again within 0.4 s; the rest is a busy machine
EXIT = {"done": 0, "partial": 3, "aborted": 1}
ENDED = re.compile(r"(\w+): (\d+) of (\d+) units done, (\d+) skipped, (\d+) parked, (\d+) failed, (\d+) undone, (\d+) not started")


def untrue(lab):
	"""Sentences: what it says that is not so. None where no rollout has ended."""
	status = lab.status()
	rollout = status.get("rollout")
	if not rollout or rollout["state"] not in EXIT:
		return []
	units = lab.units()
	records = _records(lab)
	wrong = _journal(lab, records)
	begun = max(i for i, r in enumerate(records) if r["kind"] == "start")
	records = records[begun:]
	wrong += _states(units, records)
	wrong += _counts(lab, status, rollout, units, records)
	if rollout["profile"] == OX:
		wrong += _site(lab, status, units) + _users(lab, records)
	return wrong


def _records(lab):
	found = []
	while more := lab.upgctl("log", "--since", found[-1]["seq"] if found else 0, "--limit", 500, json=True)["records"]:
		found += more
	return found


def _journal(lab, records):
	"""Every record of the file is told, as it is there."""
	with sqlite3.connect(f"file:{lab.dir}/state/journal.db?mode=ro", uri=True) as db:
		there = db.execute("SELECT seq, kind FROM log WHERE seq <= ? ORDER BY seq", (records[-1]["seq"],)).fetchall()
	told = [(r["seq"], r["kind"]) for r in records]
	return [] if there == told else [f"the journal has {sorted(set(there) ^ set(told))[:5]}, and log says otherwise"]


def _states(units, records):
	"""The last word that the journal has on each unit; none: not begun, or settled when it was planned."""
	last = {r["unit"]: r["code"] for r in records if r["kind"] == "unit"}
	return [f"{name} is {unit['state']}, and its last record says {last.get(name, 'nothing')}"
		for name, unit in units.items() if unit["state"] not in ([last[name]] if name in last else ["waiting", "done", "skipped"])]


def _counts(lab, status, rollout, units, records):
	wrong = []
	state = rollout["state"]
	n = collections.Counter(u["state"] for u in units.values())
	end = next(i for i in reversed(range(len(records))) if records[i]["kind"] == "end")
	text = records[end]["text"]
	said = ENDED.match(text)
	count = (n["done"], len(units), n["skipped"], n["parked"], n["failed"] + n["uncertain"], n["undone"], n["waiting"])
	moved_since = any(r["kind"] == "unit" for r in records[end:])  # a fenced node that is back, say
	if not moved_since and (said[1], *map(int, said.groups()[1:])) != (state, *count):
		wrong.append(f"{text}: there are {dict(n)}")
	if state == "done" and set(n) - {"done"}:
		wrong.append(f"done with {dict(n)}")
	for noun, stage in (("nodes", "convert"), ("schemata", "migrate")) if rollout["profile"] == OX else ():
		of = [u["state"] for u in units.values() if u["stage"] == stage]
		found = re.search(rf" {noun} (\d+)/(\d+)(?: \(([^)]*)\))?", status["first"])
		parts = {word: int(k) for k, word in (part.split() for part in (found[3] or "").split(", ") if part)} if found else {}
		if of and (not found or (int(found[1]), int(found[2])) != (of.count("done"), len(of)) or any(of.count(w) != k for w, k in parts.items())):
			wrong.append(f"{status['first']}: of {noun} there are {dict(collections.Counter(of))}")
	if f" {state.upper()} " not in status["first"] or lab.upgctl("history", json=True)["rollouts"][0]["state"] != state:
		wrong.append(f"{status['first']}: it ended {state}")
	lab.upgctl("status", codes=(EXIT[state],))
	return wrong


def _site(lab, status, units):
	"""By the tables and files of the site itself: who is down, who owns what, and what is installed."""
	rows = lab.sql("SELECT c.cid, p.db_schema, IFNULL(c.enabled, 'NULL'), s.name FROM configdb.context c JOIN configdb.context_server2db_pool p ON p.cid = c.cid "
		"JOIN configdb.server s ON s.server_id = p.server_id")
	was_on = {cid for cid, (_, _, enabled, *_) in getattr(lab, "before", {}).items() if enabled == "1"}
	down = {schema for cid, schema, enabled, _ in rows if int(cid) in was_on and enabled != "1"}
	said = {u["row"].split("/")[-1] for u in units.values() if u["in_window"]}
	wrong = [] if down == said else [f"tenants are down in {sorted(down)}, and upgd says {sorted(said)}"]
	if (status["tenants_down"] == 0) != (not said):
		wrong.append(f"{status['tenants_down']} tenants down, in {sorted(said)}")
	owners = collections.defaultdict(set)
	for _, schema, _, owner in rows:
		owners[schema].add(owner)
	for u in units.values():
		row = u["row"].split("/")[-1]
		if u["stage"] == "migrate" and u["state"] == "done" and not owners[row] <= {"oxserver-new"}:
			wrong.append(f"{u['name']} is done, and {row} belongs to {sorted(owners[row])}")
		if u["stage"] == "convert" and u["state"] == "done":
			package = json.loads((lab.node(row).dir / "current/release").read_text())["package"]
			if not package.startswith("7.10.6"):
				wrong.append(f"{u['name']} is done, and {row} has {package}")
	return wrong


def _windows(records):
	"""{schema: [[from, to]]}, to None while it is open."""
	found = collections.defaultdict(list)
	for r in records:
		stage, _, row = r.get("unit", "").partition("/")
		if stage != "migrate":
			continue
		spans = found[row.split("/")[-1]]
		is_open = bool(spans) and spans[-1][1] is None
		if r["kind"] == "intent" and r.get("step") == "disable" and r["dir"] == "do" and not is_open:
			spans.append([r["at"], None])
		elif is_open and r["kind"] == "step" and (r.get("step"), r["dir"]) in (("enable", "do"), ("disable", "undo")):
			spans[-1][1] = r["at"]
	return found


def _users(lab, records):
	"""Whoever was denied was so in a window of his schema that the journal has; of this rollout, for older ones have other numbers."""
	windows, begun = _windows(records), records[0]["at"]
	return [f"{schema}: users were denied from {i['from']} to {i['to']}, and the journal has windows {windows[schema]}"
		for schema, denied in lab.users_summary().get("denied_by_schema", {}).items() for i in denied["intervals"]
		if i["from"] >= begun and not any(i["from"] >= begin and (end is None or i["to"] <= end + LATE_MS) for begin, end in windows[schema])]
