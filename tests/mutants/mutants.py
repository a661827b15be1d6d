# SPDX-License-Identifier: MIT
"""One place each; `old` must be there exactly once. tests: "sim", names of unit tests or of files in e2e/, the likeliest first."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
	name: str
	path: str
	old: str
	new: str
	tests: tuple = ("sim",)


CORE = "daemon/core/"

MUTANTS = [
	Mutant("baseline-retaken-after-crash", CORE + "apply.c", "	r->epoch = rec->epoch;\n	return 0;\n}\n\nstatic void unit_restart",
		"	r->epoch = rec->epoch;\n	for (uint32_t i = 0; i < r->n_units; i++)\n		r->units[i].captured = 0;\n	return 0;\n}\n\nstatic void unit_restart"),
	Mutant("baseline-never-kept", CORE + "apply.c", "captured |= 1u << (rec->step & 31);", "captured |= 0;"),
	Mutant("verify-skipped", CORE + "apply.c", "		u->phase = PHASE_VERIFY;", "		u->phase = PHASE_NEXT;"),
	Mutant("enable-before-verify", CORE + "advance.c", "	if (ev->result == RESULT_OK) {\n		bool back", "	if (ev->result == RESULT_OK || step->pivot) {\n		bool back"),
	Mutant("redirect-cleared-on-abort", "conf/profiles/ox-appsuite.conf", "undo = { restore = true; while = ( { what = \"new.tenants\"; max = 0; } ); }; },",
		"undo = { restore = true; }; },"),
	Mutant("abort-turns-what-would-strand", CORE + "outcome.c", "!= FLOOR_HOLDS)\n				return false;", "!= FLOOR_HOLDS)\n				break;"),
	Mutant("drain-forgotten-after-reload", CORE + "custody.c", "bool forgotten = ev->reloaded || want->reasserted;", "bool forgotten = false;"),
	Mutant("hand-is-fought", CORE + "custody.c", "bool forgotten = ev->reloaded || want->reasserted;", "bool forgotten = true;"),
	Mutant("put-back-asked-once-only", CORE + "custody.c", "		assert_again(out, ev, want->state); /* said already", "		/* said already"),
	Mutant("rerun-where-attach-is-due", CORE + "advance.c", "	if (step->has_orphans && !r->live[unit].clear)\n		return orphans_look(r, out, unit);\n	if (step->has_orphans && u->dir == DIR_DO)",
		"	kind = RESOLVE_RERUN;\n	if (false)"),
	Mutant("lost-is-success", CORE + "apply.c", "u->result == RESULT_UNKNOWN || left ? PHASE_RESOLVE : PHASE_NEXT;", "u->result == RESULT_UNKNOWN || left ? PHASE_VERIFY : PHASE_NEXT;"),
	Mutant("failed-windows-do-not-count", CORE + "admit.c", "		((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && (u->flags & UNIT_WINDOW) != 0);", "		false;"),
	Mutant("retry-over-the-limit", CORE + "admit.c", "if (u->state == UNIT_SKIPPED || uses_slot(u))", "if (true)"),
	Mutant("needs-treated-as-after", CORE + "admit.c", "!stage_settled(r, a, true)", "!stage_settled(r, a, false)"),
	Mutant("same-forgotten", CORE + "admit.c", "if ((stage->same & (1u << a)) == 0 ||", "if (true || (stage->same & (1u << a)) == 0 ||"),
	Mutant("floors-forgotten", CORE + "admit.c", "		if (verdict != FLOOR_HOLDS)\n			return held;", "		if (verdict == FLOOR_UNKNOWN)\n			return held;"),
	Mutant("ready-by-hand-counts", CORE + "facts.c", "bool ours = want == NULL || want->state == SERVER_UNKNOWN || want->state == SERVER_READY;", "bool ours = true;"),
	Mutant("admitted-on-old-facts", CORE + "admit.c", "	if (needs_gate && !live->gate_open) {", "	if (false) {"),
	Mutant("pivot-forgotten", CORE + "apply.c", "	if (step->pivot)\n		u->flags |= UNIT_PIVOT;", ""),
	Mutant("mixed-schema-goes-back", CORE + "apply.c", "rec->code > CLASS_OLD && r->profile", "false && r->profile"),
	Mutant("half-is-not-opened-again", CORE + "decide.c", "(fact->tenants > 0 || fact->weight > 0)", "fact->tenants > 0"),
	Mutant("done-without-a-last-look", CORE + "outcome.c", "		if (!facts_fresh(r, out))\n			return false; /* a last look", "		if (false)\n			return false; /* a last look"),
	Mutant("held-inside-a-window", CORE + "advance.c", "	if ((u->flags & (UNIT_WINDOW | UNIT_FENCE)) != 0 && !r->paused_now)\n		return false;", "	if (false)\n		return false;"),
	Mutant("done-when-asked-once", CORE + "advance.c", "if (step->skip_if_done && !live->asked)", "if (step->skip_if_done && !live->asked && u->attempt == 1)"),
	Mutant("answered-twice", CORE + "advance.c", "if (u->phase != PHASE_ACT || u->attempt != ev->attempt || !open)", "if (u->phase != PHASE_ACT)"),
	Mutant("one-lane-is-enough", CORE + "advance.c", "	if (u->lanes != 0)\n		return;", "	if (false)\n		return;"),
	Mutant("failed-task-resumes-in-undo", CORE + "apply.c", "		if (was_back)\n			unit_restart(u);", "		if (false)\n			unit_restart(u);"),
	Mutant("fold-ignores-a-record", CORE + "apply.c", "	{ RECORD_RETRY, true, apply_retry },\n", ""),
	Mutant("fold-is-not-the-state", CORE + "advance.c", "	r->live[unit] = (struct live){ 0 };\n	r->live[unit].retry_at = r->now +", "	r->units[unit].n_lanes = 0;\n	r->live[unit] = (struct live){ 0 };\n	r->live[unit].retry_at = r->now +"),
	Mutant("intent-not-waited-for", "daemon/engine.c", "	if (p->appended) {\n		e->ops.append(e->arg, out->records, out->n_records);",
		"	if (p->appended) {\n		for (size_t i = 0; i < p->n_effects; i++)\n			e->ops.perform(e->arg, e->rollout, &p->effects[i]);\n		p->n_effects = 0;\n		e->ops.append(e->arg, out->records, out->n_records);"),
	Mutant("no-new-epoch", "daemon/engine.c", "e->rollout->epoch = ++e->epoch;", "e->rollout->epoch = e->epoch;"),
	Mutant("effects-of-a-lost-batch-leave", "daemon/engine.c", "			p->n_effects = 0;\n			p->refused = error", "			p->refused = error", ("sim", "views")),
	Mutant("action-not-sent-again", CORE + "advance.c", "	for (uint8_t i = 0; i < u->n_lanes; i++)\n		if ((u->lanes & (1u << i)) != 0)\n			send_lane(r, out, unit, i, true);\n	return true;",
		"	return false;"),
	Mutant("request-id-forgotten", "daemon/engine.c", "	if (rec->kind == RECORD_REQUEST && rec->text != NULL)", "	if (false)", ("views", "journals", "sim")),
	Mutant("checksum-not-compared", "daemon/io/store_sqlite.c", "if (sum_record(chain->sum, r) != sum)", "if (false)", ("store_sqlite", "store_faults")),
	Mutant("journal-not-synchronous", "daemon/io/store_sqlite.c", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF", ("store_faults", "store_sqlite")),
	Mutant("old-workers-forgotten", "daemon/io/haproxy_text.c", "server->old_sessions += sessions;", "server->old_sessions += 0;", ("haproxy",)),
	Mutant("same-id-another-request", "runner/task.c", "		return fail_set(fail, -EEXIST, \"this id was used for another request\");", "		return 0;", ("upgd_run",)),
	Mutant("edit-loses-the-mode", "runner/edit.c", "fchown(fd, old->st_uid, old->st_gid) < 0 || fchmod(fd, old->st_mode & 07777) < 0", "fchown(fd, old->st_uid, old->st_gid) < 0", ("upgd_run",)),
	Mutant("action-named-by-attempt", CORE + "advance.c", "	effect->seq = u->intent[index];", "	effect->seq = u->attempt;"),
	Mutant("undo-tried-once", CORE + "advance.c", "u->dir == DIR_UNDO ? ADVANCE_UNDO_TRIES : step->retry", "u->dir == DIR_UNDO ? 0 : step->retry"),
	Mutant("lost-tries-count", CORE + "advance.c", "return u->attempt - u->lost <=", "return u->attempt <="),
	Mutant("late-told-by-its-tick-alone", CORE + "decide.c", "	note_late(r, out);\n	pump(r, out);",
		"	if (ev->kind == EVENT_TICK)\n		note_late(r, out);\n	pump(r, out);"),
	Mutant("mended-is-not-finished-again", CORE + "decide.c", "else if (was_done && fact->class_ == CLASS_NEW && !again)", "else if (false)"),
	Mutant("mixed-in-its-own-way", CORE + "facts.c", "		if (over_one && candidate < r->n_units", "		if (false && candidate < r->n_units"),
	Mutant("parked-schema-counts-nowhere", CORE + "facts.c", "		if (parked != NULL) /* past its pivot", "		if (false) /* past its pivot"),
	Mutant("gates-stay-open", CORE + "admit.c", "		gates_close(r, s);", "		;"),
	Mutant("abort-ends-over-a-window", CORE + "outcome.c", "	if (window_waits(r))\n		return false;", "	if (false)\n		return false;"),
	Mutant("abort-lets-a-fenced-node-in", CORE + "outcome.c", "(u->flags & (UNIT_PIVOT | UNIT_FENCE)) == 0 && u->touched != 0", "(u->flags & UNIT_PIVOT) == 0 && u->touched != 0"),
	Mutant("a-floor-is-something-to-wait-for", CORE + "outcome.c", "kind != WHY_ORDER && kind != WHY_FLOOR", "kind != WHY_ORDER"),
	Mutant("contested-goes-on", CORE + "advance.c", "r->wants[b][r->rows[u->row].rank].contested)\n				why =", "false)\n				why ="),
	Mutant("settle-before-its-convert", "conf/profiles/ox-appsuite.conf", 'after = [ "flip" ]; same = [ "convert" ]; limits = { total = 4; }', 'after = [ "flip" ]; limits = { total = 4; }'),
	Mutant("close-with-tenants-on-the-old", "conf/profiles/ox-appsuite.conf", 'after = [ "settle", "convert" ]; keep = ( { what = "old.tenants"; max = 0; } ); steps', 'after = [ "settle", "convert" ]; steps'),
	Mutant("disabled-in-the-file-is-maintenance", "daemon/io/haproxy_text.c", "unsigned maint = HAPROXY_FMAINT |", "unsigned maint = HAPROXY_CMAINT | HAPROXY_FMAINT |", ("haproxy", "haproxy_live")),
	Mutant("answer-from-before-a-stop", "daemon/io/haproxy_ask.c", "ask->fail.code == 0 && age > ask->timeout_ms", "false && age > ask->timeout_ms", ("haproxy",)),
	Mutant("failed-before-is-expected-still", "daemon/judge.c", "probe->except != NULL && probe->except[i] != NULL; i++", "false; i++", ("probe",)),
	Mutant("journal-deleted-unseen", "daemon/io/store_sqlite.c", "	return same ? 0 : fail_set(fail, -ESTALE,", "	return same || true ? 0 : fail_set(fail, -ESTALE,", ("store_faults",)),
	Mutant("half-dead-task-is-lost", "runner/task.c", "size_t n = start.this_boot ? proc_session(start.pid, start.starttime, found, 4) : 0;",
		"size_t n = start.this_boot ? 0 * proc_session(start.pid, start.starttime, found, 4) : 0;", ("upgd_run",)),
]

# Of what only the real parts know: HAProxy, MariaDB, sshd, the tools.
MUTANTS += [
	Mutant("forgotten-drain-not-put-back", "daemon/executor.c", "	(void)site_set(x->site, balancer, (size_t)effect->lane, r->rows[effect->row].name, wants[effect->want], on_asserted, NULL);",
		"	(void)wants;\n	(void)on_asserted;", ("e2e/test_haproxy.py::test_reload_and_hard_restart_in_a_window",)),
	Mutant("in-flight-is-idle", "daemon/act_server.c", "s->zeros = sessions == 0 && !unknown ? s->zeros + 1 : 0;", "s->zeros++;",
		("e2e/test_haproxy.py::test_an_old_worker_still_serves",)),
	Mutant("hand-in-a-step-is-fought", "daemon/act_server.c", "p->reachable && was_changed(p)", "false && was_changed(p)",
		("e2e/test_haproxy.py::test_an_agent_check_that_overrides",)),
	Mutant("orphan-statement-not-seen", "daemon/orphans.c", "flight_answer(f, some ? RESULT_FAILED : seen->rows != NULL ?", "flight_answer(f, seen->rows != NULL ?",
		("e2e/test_sql.py::test_an_alter_whose_client_was_killed_is_waited_for_and_not_run_again",)),
	Mutant("orphan-statement-not-killed", "daemon/orphans.c", "\"KILL %s\"", "\"DO %s\"",
		("e2e/test_sql.py::test_an_alter_whose_client_was_killed_is_killed_where_the_profile_says_so",)),
	Mutant("replica-behind-is-fine", "daemon/probe.c", "	answer(run, holds, text, &table, true);\n}\n\nstatic void replica_next", "	answer(run, at->position != NULL ? RESULT_OK : holds, text, &table, true);\n}\n\nstatic void replica_next",
		("e2e/test_sql.py::test_no_tenant_comes_back_before_the_replica_has_what_the_update_wrote",)),
	Mutant("transaction-not-waited-for", "conf/profiles/ox-appsuite.conf", "\"new_whole\", \"transactions\",", "\"new_whole\",",
		("e2e/test_sql.py::test_a_transaction_of_somebody_keeps_a_schema_waiting_with_its_tenants_up",)),
	Mutant("failover-not-looked-into", "daemon/ask.c", "	if (n == 0) {\n		flight_answer_later(f, RESULT_OK, NULL);\n		return;\n	}\n	struct ask *a = ask_new(f);\n	a->list",
		"	if (true) {\n		flight_answer_later(f, RESULT_OK, NULL);\n		return;\n	}\n	struct ask *a = ask_new(f);\n	a->list",
		("e2e/test_mariadb.py::test_a_failover_lost_the_update_of_a_finished_schema",)),
	Mutant("lost-update-is-adopted", CORE + "apply.c", "		u->flags &= UNIT_RECHECK;", "		u->flags = 0;"),
	Mutant("closed-window-asked-again", "daemon/ask.c", "(!in_window && of_window(stage, step->verify[i]))", "(false && of_window(stage, step->verify[i]))",
		("e2e/test_mariadb.py::test_a_failover_lost_the_update_of_a_finished_schema",)),
	Mutant("mixed-schema-looks-new", "conf/profiles/ox-appsuite.conf", "WHEN COUNT(DISTINCT p.server_id) > 1 THEN 'MIXED' ELSE MIN(s.name)", "ELSE MAX(s.name)",
		("e2e/test_tenants.py::test_tenants_and_a_schema_come_in_while_the_world_is_mixed",)),
	Mutant("silent-connection-not-lost", "daemon/io/runner.c", "++runner->silent > 2", "++runner->silent > 2000",
		("e2e/test_runner.py::test_a_task_survives_lost_ssh",)),
	Mutant("lost-acknowledgement-not-repeated", "daemon/strays.c", "			runner_ack(runner, id);\n			n++;", "			n++;",
		("e2e/test_runner.py::test_records_whose_acknowledgement_was_lost_are_swept",)),
	Mutant("request-id-not-heeded", "daemon/views_command.c", "	switch (engine_request(views->with.engine, &request, &kept)) {", "	switch (REQUEST_NEW) {",
		("e2e/test_crash.py::test_killed_at_every_kind_of_boundary_in_each_stage",)),
	Mutant("runbook-leaves-tenants-off", "daemon/runbook.c", "	if (!step->has_undo) {", "	if (!step->has_undo || step->window == WINDOW_OPEN) {",
		("e2e/test_journal.py::test_by_hand_in_a_window_before_its_pivot",)),
]
