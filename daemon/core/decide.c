/* SPDX-License-Identifier: MIT */
/*
 * The door: every event comes in here, every record and effect leaves by here. After the event itself the pump turns until nothing
 * moves any more; the number of turns is bounded by the number of steps there are, and asserted.
 */
#include "decide.h"

#include "facts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * A finished unit whose row is observed, later than anything we did, as it was before: a tenant came in by a side door, or an action that
 * nobody waited for any more came after all and disabled them. A row without any tenant is nobody's. Once a person has mended it, what was
 * verified is asked again, and it is finished again (admit_may_be_done()).
 */
static void reopen(struct rollout *r, struct out *out)
{
	if (r->state != ROLLOUT_RUNNING || rollout_goes_back(r))
		return;
	uint64_t moved_at = r->moved_at; /* opening one moves nothing in the row of another */
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		const struct stage *stage = rollout_stage(r, u);
		const struct fact_row *fact = &r->facts.rows[u->row];
		if (!stage->again || !fact->known || r->facts.rows_at[stage->set] <= moved_at)
			continue;
		const char *seen = r->profile->classes[fact->class_];
		bool again = (stage->where & (1u << fact->class_)) != 0;
		if (u->state == UNIT_DONE && again && (fact->tenants > 0 || fact->weight > 0))
			(void)unit_event(r, out, i, UNIT_EV_REOPEN, NULL, out_text(out, "observed as %s again, %u tenants", seen,
				fact->tenants > fact->weight ? fact->tenants : fact->weight));
	}
}

static void on_facts(struct rollout *r, struct out *out)
{
	uint64_t age = facts_age(r);
	if (r->observe_at != 0 && facts_age_all(r) >= r->observe_at)
		r->observe_at = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->live[i].busy == BUSY_OBSERVE && age >= r->live[i].gate_at)
			r->live[i].busy = BUSY_NO;
	reopen(r, out);
}

static void on_new_row(struct rollout *r, struct out *out, const struct event *ev)
{
	if (rollout_is_over(r) || (int)ev->row == r->profile->set_node)
		return;
	struct record *rec = out_record(r, out, RECORD_ROW, r->n_rows);
	rec->step = (uint16_t)ev->row;
	rec->lane = ev->host;
	rec->code = ev->class_;
	rec->value = ev->value;
	rec->text = out_text(out, "%s", ev->text);
	out_commit(r, out, rec);
	rollout_order(r);
}

static const struct known_host *known_host(const struct rollout *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_known; i++)
		if (strcmp(r->known[i].name, name) == 0)
			return &r->known[i];
	return NULL;
}

/*
 * Another server under the same name (a failover), or the same one begun anew (a crash may have lost its last commits): what was verified
 * on it may not be so any more. An uptime is known to a second or two; the daemon's host may have begun anew too.
 */
static void on_host(struct rollout *r, struct out *out, const struct event *ev)
{
	enum { CLOCKS_MS = 2500 };
	uint32_t index = ev->host != 0 ? ev->host : ev->row;
	if (ev->text == NULL || index >= (ev->host != 0 ? r->facts.n_hosts : r->facts.n_databases) || r->state == ROLLOUT_PLANNING || rollout_is_over(r))
		return;
	struct fact_host *fact = ev->host != 0 ? &r->facts.hosts[index] : &r->facts.databases[index];
	const struct known_host *known = known_host(r, fact->name);
	enum host_change change = HOST_FIRST;
	if (known != NULL && strcmp(known->identity, ev->text) != 0)
		change = HOST_OTHER;
	else if (known != NULL && (ev->value > known->started + CLOCKS_MS || ev->value < known->started - CLOCKS_MS))
		change = HOST_RESTARTED;
	else if (known != NULL)
		return;
	struct record *rec = out_record(r, out, RECORD_HOST, RECORD_NO_UNIT);
	rec->hash = ev->host;
	rec->code = (uint16_t)change;
	rec->value = ev->value;
	rec->text = out_text(out, "%s: %s", fact->name, ev->text);
	out_commit(r, out, rec);
	if (change != HOST_FIRST)
		fact->trouble_at = r->now;
}

/* Shown, and a person may give it up; the work goes on, and so does its time. */
static void on_stalled(struct rollout *r, const struct event *ev)
{
	const struct unit *u = ev->unit < r->n_units ? &r->units[ev->unit] : NULL;
	if (u == NULL || r->live[ev->unit].busy != BUSY_ACT || u->step != ev->step || u->dir != ev->dir || u->attempt != ev->attempt)
		return;
	r->live[ev->unit].stalled_at = (uint64_t)ev->value;
	(void)snprintf(r->live[ev->unit].text, sizeof(r->live[ev->unit].text), "%s", ev->text != NULL ? ev->text : "");
}

/* At every event: there is one wake for all, and what is not asked for again is forgotten. */
static void note_late(struct rollout *r, struct out *out)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		struct live *live = &r->live[i];
		if (live->deadline == 0 || live->late)
			continue;
		live->late = r->now >= live->deadline;
		if (!live->late)
			out_wake(out, live->deadline);
	}
}

/* Finished units: some at a time, the databases have others to serve. */
static bool pump_rechecks(struct rollout *r, struct out *out)
{
	enum { AT_ONCE = 8 };
	unsigned open = 0;
	bool moved = false;
	for (uint32_t i = 0; i < r->n_units; i++)
		open += r->live[i].busy == BUSY_RECHECK;
	for (uint32_t i = 0; i < r->n_units && open < AT_ONCE && r->state == ROLLOUT_RUNNING && r->back == BACK_NO; i++) {
		bool may_be_done = r->units[i].state == UNIT_DONE || admit_may_be_done(r, i);
		bool asked = may_be_done && advance_recheck(r, out, i);
		open += asked;
		moved |= asked;
	}
	return moved;
}

static bool pump_units(struct rollout *r, struct out *out)
{
	bool moved = false;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state == UNIT_RUNNING || r->units[i].state == UNIT_UNDOING)
			for (unsigned turns = 0; advance_unit(r, out, i); turns++) {
				assert(turns < 4 * PROFILE_STEPS_MAX);
				moved = true;
			}
	return moved | pump_rechecks(r, out);
}

static void pump(struct rollout *r, struct out *out)
{
	for (unsigned turns = 0; !rollout_is_over(r); turns++) {
		assert(turns < 100000);
		bool moved = fence_step(r, out);
		moved |= pump_units(r, out);
		moved |= admit_stages(r, out);
		if (!moved && !outcome_step(r, out))
			return;
	}
}

void decide(struct rollout *r, const struct event *ev, struct out *out)
{
	r->now = ev->boot_ms;
	r->wall = ev->wall_ms;
	switch (ev->kind) {
	case EVENT_RECOVERED:
		r->moved_at = r->now;
		out_effect(out, EFFECT_OBSERVE, RECORD_NO_UNIT);
		break;
	case EVENT_FACTS:
		on_facts(r, out);
		break;
	case EVENT_GATE:
		admit_gate(r, out, ev);
		break;
	case EVENT_ASKED:
	case EVENT_CAPTURED:
	case EVENT_ACTED:
	case EVENT_VERIFIED:
	case EVENT_POLLED:
	case EVENT_ORPHANS:
	case EVENT_RECHECKED:
		advance_answer(r, out, ev);
		break;
	case EVENT_STALLED:
		on_stalled(r, ev);
		break;
	case EVENT_SERVER:
		custody_server(r, out, ev);
		break;
	case EVENT_LINE:
		line_seen(r, out, ev);
		break;
	case EVENT_PROCESS:
		custody_process(r, out, ev);
		break;
	case EVENT_NEW_ROW:
		on_new_row(r, out, ev);
		break;
	case EVENT_COMMAND:
		command_run(r, out, ev);
		break;
	case EVENT_HOST:
		on_host(r, out, ev);
		break;
	case EVENT_LOW:
		r->low = ev->value != 0;
		break;
	case EVENT_STOP:
		r->stopping = true;
		break;
	case EVENT_TICK:
	case EVENT_KINDS:
		break;
	}
	if (r->state == ROLLOUT_PLANNING || rollout_is_over(r))
		return;
	note_late(r, out);
	pump(r, out);
}
