/* SPDX-License-Identifier: MIT */
/*
 * The door: every event comes in here, every record and effect leaves by here. After the event itself the pump turns until nothing
 * moves any more; the number of turns is bounded by the number of steps there are, and asserted.
 */
#include "decide.h"

#include "facts.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void out_reset(struct out *out)
{
	for (size_t i = 0; i < out->n_texts; i++)
		free(out->texts[i]);
	out->n_records = out->n_effects = out->n_texts = 0;
	out->wake_at = 0;
	out->refused = 0;
	out->answer[0] = '\0';
}

void out_done(struct out *out)
{
	out_reset(out);
	free(out->records);
	free(out->effects);
	free(out->texts);
	out->records = NULL;
	out->effects = NULL;
	out->texts = NULL;
	out->max_records = out->max_effects = out->max_texts = 0;
}

/* Room for one more; returns the array. */
static void *room(void *array, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return array;
	*max = *max ? *max * 2 : 16;
	array = realloc(array, *max * size);
	if (array == NULL)
		abort();
	return array;
}

const char *out_text(struct out *out, const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	out->texts = room(out->texts, out->n_texts, &out->max_texts, sizeof(*out->texts));
	out->texts[out->n_texts++] = text;
	return text;
}

struct record *out_record(struct rollout *r, struct out *out, enum record_kind kind, uint32_t unit)
{
	out->records = room(out->records, out->n_records, &out->max_records, sizeof(*out->records));
	struct record *rec = &out->records[out->n_records];
	*rec = (struct record){ .kind = (uint16_t)kind, .unit = unit, .step = RECORD_NO_STEP, .lane = LANE_NONE,
		.at_ms = r->wall, .boot_ms = r->now, .epoch = r->epoch };
	if (unit < r->n_units) {
		rec->step = r->units[unit].step;
		rec->dir = r->units[unit].dir;
		rec->attempt = r->units[unit].attempt;
	}
	return rec;
}

void out_commit(struct rollout *r, struct out *out, struct record *rec)
{
	rec->seq = r->seq + 1;
	if (rec->kind == RECORD_INTENT && out->render != NULL)
		out->render(out->render_arg, r, rec);
	int rc = rollout_apply(r, rec);
	assert(rc == 0);
	(void)rc;
	out->n_records++;
	r->moved_at = r->now;
	r->stuck_at = 0;
}

struct effect *out_effect(struct out *out, enum effect_kind kind, uint32_t unit)
{
	out->effects = room(out->effects, out->n_effects, &out->max_effects, sizeof(*out->effects));
	struct effect *effect = &out->effects[out->n_effects++];
	*effect = (struct effect){ .kind = kind, .unit = unit, .step = RECORD_NO_STEP, .lane = LANE_NONE };
	return effect;
}

void out_wake(struct out *out, uint64_t boot_ms)
{
	if (out->wake_at == 0 || boot_ms < out->wake_at)
		out->wake_at = boot_ms;
}

bool unit_event(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *actor, const char *text)
{
	enum unit_state to;
	struct unit *u = &r->units[unit];
	if (!unit_next((enum unit_state)u->state, event, &to))
		return false;
	struct record *rec = out_record(r, out, RECORD_UNIT, unit);
	rec->code = (uint16_t)to;
	rec->actor = actor;
	rec->text = text != NULL && text[0] != '\0' ? out_text(out, "%s", text) : NULL;
	rec->value = event == UNIT_EV_TURN;
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	return true;
}

/* A finished unit whose row is observed, later than anything we did, as it was before: a tenant came in by a side door. */
static void reopen(struct rollout *r, struct out *out)
{
	if (r->state != ROLLOUT_RUNNING)
		return;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		const struct stage *stage = rollout_stage(r, u);
		const struct fact_row *fact = &r->facts.rows[u->row];
		if (!stage->again || u->state != UNIT_DONE || !fact->known || fact->tenants == 0)
			continue;
		if ((stage->where & (1u << fact->class_)) == 0 || r->facts.rows_at[stage->set] <= r->moved_at)
			continue;
		(void)unit_event(r, out, i, UNIT_EV_REOPEN, NULL, out_text(out, "observed as %s again, %u tenants",
			r->profile->classes[fact->class_], fact->tenants));
	}
}

static void on_facts(struct rollout *r, struct out *out)
{
	uint64_t age = facts_age(r);
	if (r->observe_at != 0 && age >= r->observe_at)
		r->observe_at = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->live[i].busy == BUSY_OBSERVE && age >= r->live[i].gate_at)
			r->live[i].busy = BUSY_NO;
	reopen(r, out);
}

static void on_new_row(struct rollout *r, struct out *out, const struct event *ev)
{
	if (rollout_is_over(r) || (int)ev->row == r->profile->set_node || r->state == ROLLOUT_ABORTING)
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

static void tick(struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->live[i].deadline != 0 && r->now >= r->live[i].deadline)
			r->live[i].late = true;
}

static bool pump_units(struct rollout *r, struct out *out)
{
	bool moved = false;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state == UNIT_RUNNING || r->units[i].state == UNIT_UNDOING)
			while (advance_unit(r, out, i))
				moved = true;
	return moved;
}

static void pump(struct rollout *r, struct out *out)
{
	for (unsigned turns = 0; !rollout_is_over(r); turns++) {
		assert(turns < 100000);
		bool moved = pump_units(r, out);
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
	case EVENT_TICK:
		tick(r);
		break;
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
		advance_answer(r, out, ev);
		break;
	case EVENT_SERVER:
		custody_server(r, out, ev);
		break;
	case EVENT_NEW_ROW:
		on_new_row(r, out, ev);
		break;
	case EVENT_COMMAND:
		command_run(r, out, ev);
		break;
	case EVENT_LOW:
		r->low = ev->value != 0;
		break;
	case EVENT_STOP:
		r->stopping = true;
		break;
	case EVENT_KINDS:
		break;
	}
	if (r->state != ROLLOUT_PLANNING && !rollout_is_over(r))
		pump(r, out);
}
