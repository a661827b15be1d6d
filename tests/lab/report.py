#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
report.py LAB: what the users saw beside what upgd says, of the last rollout. Exit 0: done, on every node and schema, and no request failed.

upgd takes a tenant's schema away at the start of its window and gives it back at the end; users notice a little later. So what users
saw denied must fit into upgd's window, give or take their pace of asking; what does not is a failure too.
"""

import json
import pathlib
import subprocess
import sys

SLACK_MS = 1500  # a denied user asks again after at most 400 ms; the rest is a busy machine


def upgctl(directory, lab, *args):
	done = subprocess.run([f"{lab['build']}/ctl/upgctl", "--socket", f"{directory}/upgd.sock", "--json", *args], capture_output=True, text=True, check=False)
	try:
		return json.loads(done.stdout)
	except ValueError:
		sys.exit(f"report: upgctl {' '.join(args)}: {done.stderr or done.stdout or 'no answer'}")


def seconds(ms):
	return "     -" if ms is None else f"{ms / 1000:5.1f}s"


def versions(lab, directory):
	"""{node: version of its release} as the nodes' own files say, not as upgd does."""
	return {name: json.loads(pathlib.Path(f"{directory}/nodes/{name}/current/release").read_text())["package"] for name in lab["nodes"]}


def compare(units, users):
	"""Lines of the table and what is wrong in it. units: those with a window."""
	lines, wrong = [], []
	seen = users["denied_by_schema"]
	for unit in sorted(units, key=lambda u: u["row"]):
		schema = unit["row"].split("/")[-1]
		denied = seen.get(schema, {"ms": 0, "users": 0})
		window, task = unit.get("window_ms"), unit.get("task_ms")
		lines.append(f"  {schema:<22} {unit['state']:<9} {unit['tenants']:5} tenants   update {seconds(task)}   window {seconds(window)}   users denied {seconds(denied['ms'])} ({denied['users']} users)")
		if denied["ms"] > (window or 0) + SLACK_MS:
			wrong.append(f"{schema}: users were denied for {denied['ms']} ms, upgd's window was {window} ms")
	with_window = {u["row"].split("/")[-1] for u in units if u.get("window_ms")}
	for schema, denied in seen.items():
		if schema not in with_window:
			wrong.append(f"{schema}: {denied['users']} users were denied, and upgd knows of no window")
		if any(i["open"] for i in denied["intervals"]):
			wrong.append(f"{schema}: its users are denied still")
	return lines, wrong


def report(directory, expect_package="7.10.6-44"):
	lab = json.loads(pathlib.Path(f"{directory}/lab.json").read_text())
	users = json.loads(pathlib.Path(f"{directory}/users.json").read_text())
	rollout = upgctl(directory, lab, "status").get("rollout") or {}
	units = upgctl(directory, lab, "list")["units"]
	nodes, schemata = versions(lab, directory), [u for u in units if u["set"] == "schema" and u["stage"] == "migrate"]
	new = sum(package == expect_package for package in nodes.values())
	done = sum(u["state"] == "done" for u in schemata)
	lines, wrong = compare(schemata, users)
	total = len(lab["summary"]["schemata"])
	if rollout.get("state") != "done":
		wrong.append(f"the rollout is {rollout.get('state', 'not there')}: {rollout.get('text') or 'no reason given'}")
	if new != len(nodes):
		wrong.append("old nodes: " + " ".join(n for n, package in nodes.items() if package != expect_package))
	if done != total:
		wrong.append(f"{total - done} of {total} schemata are not done")
	if users["failed"] or not users["ok"]:
		wrong.append(f"{users['failed']} requests failed, {users['ok']} were served")
	took = (rollout.get("ended") or users["at"]) - rollout.get("started", users["begin"])
	print(f"rollout {rollout.get('id', '-')} {rollout.get('state', '-').upper()} in {took / 1000:.0f} s")
	print(f"nodes {new}/{len(nodes)}   schemata {done}/{total}   tenants {lab['summary']['contexts']}")
	print(f"users {users['users']}   requests {users['requests']}   served {users['ok']}   redirected {users['redirected']}   logged in again {users['relogin']}"
		f"   denied in their window {users['denied']}   FAILED {users['failed']}")
	print("\n".join(lines))
	for line in users["last_failures"]:
		print(f"  {line}")
	for line in wrong:
		print(f"WRONG  {line}")
	return 1 if wrong else 0


if __name__ == "__main__":
	if len(sys.argv) != 2:
		sys.exit("usage: report.py LAB")
	sys.exit(report(sys.argv[1]))
