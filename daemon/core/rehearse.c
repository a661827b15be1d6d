/* SPDX-License-Identifier: MIT */
/*
 * The world here follows from the profile alone: a node is new once its pivot is passed, a server is as it was set, a schema is new once its
 * last step is done. Floors are judged by the same code as at night.
 *
 * What is under way waits in a heap for its time to come. With nothing timed every time is now, and the order is that of asking.
 */
#include "rehearse.h"

#include "decide.h"
#include "facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flight {
	struct effect effect;
	uint64_t due, order;
};

struct rehearsal {
	struct rollout *r;
	struct out out;
	struct flight *heap;    /* owned; the earliest first */
	size_t n, max;
	uint64_t asked;         /* effects so far */
	uint64_t began;
	const struct rehearse_options *options;
	struct rehearse_result *result;
};

static bool is_before(const struct flight *a, const struct flight *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void swap(struct flight *a, struct flight *b)
{
	struct flight c = *a;
	*a = *b;
	*b = c;
}

static void put_in_flight(struct rehearsal *s, const struct effect *e, uint64_t due)
{
	if (s->n == s->max) {
		s->max = s->max ? s->max * 2 : 256;
		s->heap = realloc(s->heap, s->max * sizeof(*s->heap));
		if (s->heap == NULL)
			abort();
	}
	size_t at = s->n++;
	s->heap[at] = (struct flight){ .effect = *e, .due = due, .order = s->asked++ };
	for (; at > 0 && is_before(&s->heap[at], &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&s->heap[at], &s->heap[(at - 1) / 2]);
}

static struct effect land_first(struct rehearsal *s)
{
	struct effect first = s->heap[0].effect;
	s->heap[0] = s->heap[--s->n];
	for (size_t at = 0, child = 1; child < s->n; child = 2 * at + 1) {
		if (child + 1 < s->n && is_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!is_before(&s->heap[child], &s->heap[at]))
			break;
		swap(&s->heap[at], &s->heap[child]);
		at = child;
	}
	return first;
}

static uint64_t takes(const struct rehearsal *s, const struct effect *e)
{
	if (!s->options->timed || e->kind != EFFECT_ACT || e->dir == DIR_UNDO)
		return 0;
	return rollout_stage(s->r, &s->r->units[e->unit])->steps[e->step].takes_ms;
}

static void later(struct rehearsal *s)
{
	for (size_t i = 0; i < s->out.n_effects; i++)
		put_in_flight(s, &s->out.effects[i], s->r->now + takes(s, &s->out.effects[i]));
}

static void tell(struct rehearsal *s, struct event *ev)
{
	uint64_t wake = s->out.wake_at;
	ev->boot_ms = s->r->now;
	ev->wall_ms = s->r->wall;
	out_reset(&s->out);
	decide(s->r, ev, &s->out);
	later(s);
	if (s->out.wake_at == 0)
		s->out.wake_at = wake > s->r->now ? wake : 0;
	int64_t down = facts_tenants_down(s->r);
	if (down > s->result->most_down)
		s->result->most_down = down;
}

/* Time moves on a little with every look, so that facts are younger than what was done before. */
static void look(struct rehearsal *s)
{
	struct event ev = { .kind = EVENT_FACTS };
	s->r->now++;
	s->r->wall++;
	for (size_t i = 0; i < s->r->profile->n_sets; i++)
		s->r->facts.rows_at[i] = s->r->now;
	for (size_t i = 0; i < s->r->profile->n_balancers; i++)
		s->r->facts.servers_at[i] = s->r->now;
	s->r->now++;
	tell(s, &ev);
}

static void becomes(struct rehearsal *s, const struct effect *e)
{
	struct rollout *r = s->r;
	const struct unit *u = &r->units[e->unit];
	const struct stage *stage = rollout_stage(r, u);
	const struct step *step = &stage->steps[e->step];
	const struct action *act = e->dir == DIR_UNDO ? &step->undo : &step->act;
	if (act->kind == ACTION_SERVER)
		r->facts.servers[act->balancer][r->rows[u->row].rank] = (struct fact_server){ .state = (uint8_t)act->want, .up = true };
	bool is_node = (int)stage->set == r->profile->set_node;
	bool arrives = is_node ? step->pivot : stage->has_window && (step->window == WINDOW_CLOSE || step->pivot);
	if (arrives)
		r->facts.rows[u->row].class_ = CLASS_NEW;
}

static void carry_out(struct rehearsal *s, const struct effect *e)
{
	struct event ev = { .unit = e->unit, .step = e->step, .lane = e->lane, .dir = e->dir, .attempt = e->attempt, .seq = e->seq, .result = RESULT_OK };
	switch (e->kind) {
	case EFFECT_GATE:
		look(s);
		ev.kind = EVENT_GATE;
		break;
	case EFFECT_OBSERVE:
		look(s);
		return;
	case EFFECT_ASK:
		ev.kind = EVENT_ASKED;
		ev.result = RESULT_FAILED;
		break;
	case EFFECT_CAPTURE:
		ev.kind = EVENT_CAPTURED;
		break;
	case EFFECT_ACT:
		becomes(s, e);
		s->result->actions++;
		ev.kind = EVENT_ACTED;
		break;
	case EFFECT_ORPHANS:
	case EFFECT_KILL:
		ev.kind = EVENT_ORPHANS;
		break;
	case EFFECT_VERIFY:
		ev.kind = EVENT_VERIFIED;
		break;
	case EFFECT_RECHECK:
	case EFFECT_ACK:
	case EFFECT_ASSERT:
	case EFFECT_ENDED:
		return;
	}
	tell(s, &ev);
}

static void nodes_out(struct rehearsal *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->r->n_rows; i++)
		n += s->r->rows[i].set == s->r->profile->set_node && facts_node_out(s->r, i, RECORD_NO_UNIT);
	if (n > s->result->most_out)
		s->result->most_out = n;
}

static void put(struct rehearsal *s, struct record *rec)
{
	out_commit(s->r, &s->out, rec);
}

static void begin(struct rehearsal *s, const struct rehearse_row *rows, size_t n_rows)
{
	struct rollout *r = s->r;
	r->now = 1000;
	r->wall = 1000;
	struct record *rec = out_record(r, &s->out, RECORD_START, RECORD_NO_UNIT);
	rec->code = START_APPROVE_ALL;
	put(s, rec);
	for (size_t i = 0; i <= n_rows; i++) {
		static const struct rehearse_row cluster = { .columns = "name=cluster\n" };
		const struct rehearse_row *row = i == 0 ? &cluster : &rows[i - 1];
		rec = out_record(r, &s->out, RECORD_ROW, r->n_rows);
		rec->step = row->set;
		rec->lane = row->host;
		rec->code = (uint16_t)(row->class_ | (row->aside ? 256 : 0));
		rec->value = row->weight;
		rec->hash = row->capacity;
		rec->text = row->columns;
		put(s, rec);
	}
	put(s, out_record(r, &s->out, RECORD_PLANNED, RECORD_NO_UNIT));
	rollout_recovered(r);
	for (uint32_t i = 0; i < r->n_rows; i++)
		r->facts.rows[i] = (struct fact_row){ .class_ = r->rows[i].class_, .known = true, .up = true, .tenants = r->rows[i].weight, .weight = r->rows[i].weight };
	for (uint32_t i = 0; i < r->n_rows; i++) /* the first balancer serves the old fleet; what is aside serves nobody */
		for (size_t b = 0; b < r->profile->n_balancers && r->rows[i].set == r->profile->set_node; b++) {
			bool serves = (b == 0) == (r->rows[i].class_ != CLASS_NEW) && !r->rows[i].aside;
			r->facts.servers[b][r->rows[i].rank] = (struct fact_server){ .state = serves ? SERVER_READY : SERVER_MAINT, .up = true };
		}
}

/* The first unit, in the profile's order, that waits for something that will never come. */
static void explain(struct rehearsal *s)
{
	const struct rollout *r = s->r;
	struct rehearse_result *out = s->result;
	char unit[300], what[64], bound[64];
	for (uint8_t st = 0; st < r->profile->n_stages; st++) {
		for (uint32_t k = 0; k < r->n_order[st]; k++) {
			uint32_t i = r->order[st][k];
			const struct why *why = &r->live[i].why;
			if (r->units[i].state != UNIT_WAITING || why->kind != WHY_FLOOR)
				continue;
			const struct floor *floor = &r->profile->stages[st].keep[why->floor];
			(void)snprintf(out->problem, sizeof(out->problem), "%s could never start: %s would be %lld, and must be at %s %lld (%s)",
				rollout_unit_name(r, i, unit, sizeof(unit)), counter_text(r->profile, &floor->what, what, sizeof(what)),
				(long long)why->value, floor->is_max ? "most" : "least", (long long)why->limit,
				counter_text(r->profile, &floor->bound, bound, sizeof(bound)));
			return;
		}
	}
	for (uint32_t i = 0; i < r->n_units; i++)
		if (!unit_is_settled(r->units[i].state)) {
			(void)snprintf(out->problem, sizeof(out->problem), "%s does not come to its end", rollout_unit_name(r, i, unit, sizeof(unit)));
			return;
		}
}

static int longest_first(const void *a, const void *b)
{
	const struct rehearse_window *x = a, *y = b;
	if (x->ms != y->ms)
		return x->ms > y->ms ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Row 0 is the cluster's, the others are those given, in their order. */
static void measure(struct rehearsal *s)
{
	const struct rollout *r = s->r;
	struct rehearse_result *out = s->result;
	out->makespan_ms = r->now - s->began;
	out->windows = calloc(r->n_units + 1, sizeof(*out->windows));
	if (out->windows == NULL)
		abort();
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (u->window_open_ms != 0 && u->window_close_ms > u->window_open_ms)
			out->windows[out->n_windows++] = (struct rehearse_window){ .row = u->row > 0 ? u->row - 1 : REHEARSE_CLUSTER, .stage = u->stage,
				.ms = (uint64_t)(u->window_close_ms - u->window_open_ms), .weight = r->rows[u->row].weight };
	}
	qsort(out->windows, out->n_windows, sizeof(*out->windows), longest_first);
}

/* A stage begins with its first effect and ends with its last. */
static void note_stage(struct rehearsal *s, const struct effect *e)
{
	if (e->kind != EFFECT_ACT && e->kind != EFFECT_VERIFY)
		return;
	uint8_t stage = s->r->units[e->unit].stage;
	uint64_t end = s->r->now - s->began;
	if (s->result->stage_end_ms[stage] == 0)
		s->result->stage_begin_ms[stage] = end - takes(s, e);
	s->result->stage_end_ms[stage] = end;
}

/* False: nothing will come any more. */
static bool turn(struct rehearsal *s, bool last_half)
{
	struct rollout *r = s->r;
	uint64_t wake = s->out.wake_at;
	if (s->n > 0 && (wake == 0 || s->heap[0].due <= wake || s->heap[0].due <= r->now)) {
		uint64_t ahead = s->heap[0].due > r->now ? s->heap[0].due - r->now : 0;
		struct effect e = land_first(s);
		r->now += ahead;
		r->wall += (int64_t)ahead;
		if (s->options->timed)
			note_stage(s, &e);
		carry_out(s, &e);
		nodes_out(s);
		return true;
	}
	if (wake == 0)
		return false;
	uint64_t ahead = wake > r->now ? wake - r->now : 1;
	r->now += ahead;
	r->wall += (int64_t)ahead;
	if (s->n == 0 && (r->stuck_at != 0 || last_half))
		return false;
	tell(s, &(struct event){ .kind = EVENT_TICK });
	look(s);
	return true;
}

void rehearse(const struct profile *profile, const struct rehearse_row *rows, size_t n_rows, const struct rehearse_options *options,
	struct rehearse_result *out)
{
	static const struct rehearse_options none = { 0 };
	struct rehearsal s = { .r = rollout_new(profile, 1), .options = options != NULL ? options : &none, .result = out };
	*out = (struct rehearse_result){ 0 };
	begin(&s, rows, n_rows);
	s.began = s.r->now;
	uint64_t bound = 1000 + 200 * (uint64_t)s.r->n_units * PROFILE_STEPS_MAX;
	look(&s);
	for (uint64_t i = 0; i < bound && !rollout_is_over(s.r) && !out->cancelled; i++) {
		if (!turn(&s, i > bound / 2))
			break;
		out->cancelled = s.options->cancel != NULL && atomic_load_explicit(s.options->cancel, memory_order_relaxed);
	}
	out->reaches_end = s.r->state == ROLLOUT_DONE;
	for (uint32_t i = 0; i < s.r->n_rows; i++) /* what a person had set aside is no obstacle of the plan's */
		out->reaches_end |= s.r->rows[i].aside && s.r->state == ROLLOUT_PARTIAL;
	if (!out->reaches_end)
		explain(&s);
	if (s.options->timed)
		measure(&s);
	free(s.heap);
	out_done(&s.out);
	rollout_free(s.r);
}

void rehearse_result_done(struct rehearse_result *result)
{
	free(result->windows);
	result->windows = NULL;
	result->n_windows = 0;
}

void rehearse_small(const struct profile *profile, struct rehearse_result *out)
{
	enum { NODES = 5, ROWS = 8 };
	struct rehearse_row rows[8 * ROWS];
	char names[8 * ROWS][24];
	size_t n = 0;
	for (size_t set = 1; set < profile->n_sets; set++) {
		bool is_node = (int)set == profile->set_node;
		for (int i = 0; i < (is_node ? NODES : ROWS); i++, n++) {
			(void)snprintf(names[n], sizeof(names[n]), "name=row%d\n", i + 1);
			rows[n] = (struct rehearse_row){ .set = (uint8_t)set, .columns = names[n], .weight = is_node ? 0 : 50, .host = is_node ? 0 : (uint16_t)(1 + i % 2),
				.class_ = CLASS_OLD, .capacity = is_node ? 50 * ROWS / (NODES - 1) : 0 };
		}
	}
	rehearse(profile, rows, n, NULL, out);
}
