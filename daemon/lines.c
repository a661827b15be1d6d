/* SPDX-License-Identifier: MIT */
/*
 * A round reads every line that is in custody. Its load is bounded whatever the size of the site: some nodes at a time, one small answer a
 * line, and units that are admitted one after the other share a round.
 */
#include "lines.h"

#include "act.h"
#include "bind.h"
#include "config.h"
#include "io/loop.h"
#include "io/runner.h"
#include "log.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum {
	AT_ONCE = 8,
	PATIENCE_MS = 5000,
	FRESH_MS = 5000,   /* a round that began so long ago still counts */
	EVERY = 10,        /* observe intervals */
	SHOWN = 300,
};

struct place {
	struct lines *lines;
	uint32_t row;
	uint32_t unit;     /* the line that was asked for last; from there on others are looked for */
	uint16_t step;
	uint64_t last_seq; /* of the unit, when it was asked: what was read before a record of ours says nothing */
	char *file, *prefix, *to; /* owned */
	struct runner_request *request;
	bool open, away;   /* of this round; did not answer the last time */
};

struct waiter {
	struct waiter *next;
	lines_fn *fn;
	void *arg;
	uint64_t since;
};

struct lines {
	struct executor *x;
	struct place *places; /* by rank in the node set; owned */
	uint32_t n_places;
	uint64_t began, looked; /* boot ms: the round at hand, 0: none; the last one that is over began */
	uint64_t newest;     /* boot ms: a round that began before has not read every line that is in custody now */
	struct waiter *waiters;
	struct loop_timer *timer, *waiters_timer;
	bool on;
};

static void ask_more(struct lines *l);

static struct rollout *rollout_of(const struct lines *l)
{
	struct rollout *r = l->x->engine != NULL ? engine_rollout(l->x->engine) : NULL;
	return r != NULL && r->state != ROLLOUT_PLANNING && r->profile->set_node >= 0 ? r : NULL;
}

static void place_clear(struct place *place)
{
	runner_cancel(place->request);
	place->request = NULL;
	free(place->file);
	free(place->prefix);
	free(place->to);
	place->file = place->prefix = place->to = NULL;
}

/* ---- one line ---- */

/* "FILE: we set "x=1", there is "x=2""; NULL: it is so. Owned by the caller. */
static char *difference(const struct place *place, const struct runner_result *result)
{
	char *ours, *text = NULL;
	if (asprintf(&ours, "%s%s", place->prefix, place->to) < 0)
		abort();
	char *present = result->state == RUNNER_EXITED ? act_line_in(result->out, place->prefix) : NULL;
	int n = 0;
	if (present == NULL)
		n = asprintf(&text, "%s: we set \"%.*s\", and it cannot be read: %s", place->file, SHOWN, ours, result->error);
	else if (present[0] == '\0')
		n = asprintf(&text, "%s: we set \"%.*s\", and there is no such line", place->file, SHOWN, ours);
	else if (strcmp(present, ours) != 0)
		n = asprintf(&text, "%s: we set \"%.*s\", there is \"%.*s\"", place->file, SHOWN, ours, SHOWN, present);
	if (n < 0)
		abort();
	free(present);
	free(ours);
	return text;
}

static bool is_known_changed(const struct rollout *r, uint32_t unit, uint16_t step)
{
	for (uint32_t i = 0; i < r->n_lines; i++)
		if (r->lines[i].unit == unit && r->lines[i].step == step)
			return true;
	return false;
}

static void tell(struct place *place, const struct runner_result *result)
{
	struct rollout *r = rollout_of(place->lines);
	if (r == NULL || place->unit >= r->n_units || r->units[place->unit].last_seq != place->last_seq)
		return;
	char *text = difference(place, result);
	struct event event = { .kind = EVENT_LINE, .unit = place->unit, .step = place->step, .value = text == NULL, .text = text };
	if (text != NULL || is_known_changed(r, place->unit, place->step))
		engine_event(place->lines->x->engine, &event);
	free(text);
}

static void on_line(void *arg, const struct runner_result *result)
{
	struct place *place = arg;
	place->request = NULL;
	place->away = result->state != RUNNER_EXITED && result->state != RUNNER_REFUSED;
	if (place->away)
		place->open = false;
	else
		tell(place, result);
	place_clear(place);
	ask_more(place->lines);
}

/* ---- one node ---- */

/* The next line of the node that is in custody, in the order of the plan; false: there is none. */
static bool place_next(struct place *place, const struct rollout *r)
{
	const struct row *row = &r->rows[place->row];
	uint8_t from = place->unit < r->n_units ? r->units[place->unit].stage : 0;
	for (uint8_t s = from; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		if (stage->set != row->set || r->unit_of[s] == NULL)
			continue;
		uint32_t unit = r->unit_of[s][row->rank];
		for (uint16_t k = unit == place->unit ? (uint16_t)(place->step + 1) : 0; k < stage->n_steps; k++) {
			if (!line_is_ours(r, unit, k))
				continue;
			place->unit = unit;
			place->step = k;
			return true;
		}
	}
	return false;
}

/* What is made of names that change by themselves is not compared. */
static bool is_fixed(const char *template)
{
	return strstr(template, "${old.") == NULL && strstr(template, "${new.") == NULL && strstr(template, "${count.") == NULL;
}

/* False: nothing is left to ask of it in this round. */
static bool place_ask(struct place *place, const struct rollout *r)
{
	struct executor *x = place->lines->x;
	struct fail fail;
	while (place_next(place, r)) {
		const struct action *act = &rollout_stage(r, &r->units[place->unit])->steps[place->step].act;
		struct bind bind;
		struct runner *runner = site_runner(x->site, r->rows[place->row].name, &fail);
		if (runner == NULL || !is_fixed(act->to))
			continue;
		flight_bind_init(x, r, place->unit, (int32_t)place->row, &bind);
		place->file = bind_text(&bind, act->file, &fail);
		place->prefix = place->file != NULL ? bind_text(&bind, act->line, &fail) : NULL;
		place->to = place->prefix != NULL ? bind_text(&bind, act->to, &fail) : NULL;
		if (place->to == NULL) {
			place_clear(place);
			continue;
		}
		place->last_seq = r->units[place->unit].last_seq;
		place->request = runner_read(runner, place->file, place->prefix, PATIENCE_MS, on_line, place);
		return true;
	}
	return false;
}

/* ---- rounds ---- */

static void next_round_at(struct lines *l)
{
	if (l->on)
		loop_timer_set(l->timer, (uint64_t)site_config(l->x->site)->observe_ms * EVERY);
}

static void round_end(struct lines *l)
{
	l->looked = l->began;
	l->began = 0;
	next_round_at(l);
	if (l->waiters != NULL)
		loop_timer_set(l->waiters_timer, 0);
}

/* Those that were away are asked too, beside the others, and hold nothing up. */
static void ask_more(struct lines *l)
{
	const struct rollout *r = rollout_of(l);
	uint32_t asked = 0, open = 0;
	for (uint32_t i = 0; i < l->n_places; i++)
		asked += l->places[i].request != NULL && !l->places[i].away;
	for (uint32_t i = 0; i < l->n_places && r != NULL; i++) {
		struct place *place = &l->places[i];
		if (place->open && place->request == NULL && (place->away || asked < AT_ONCE)) {
			place->open = place_ask(place, r);
			asked += place->open && !place->away;
		}
		open += place->open && !place->away;
	}
	if (open == 0 && l->began != 0)
		round_end(l);
}

static void places_make(struct lines *l, const struct rollout *r)
{
	uint32_t n = r->n_set_rows[r->profile->set_node];
	if (l->n_places == n)
		return;
	lines_forget(l);
	l->places = memory_need(calloc(n + 1, sizeof(*l->places)));
	l->n_places = n;
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == r->profile->set_node)
			l->places[r->rows[i].rank] = (struct place){ .lines = l, .row = i };
}

static void round_begin(struct lines *l)
{
	const struct rollout *r = rollout_of(l);
	if (l->began != 0)
		return;
	if (r == NULL) {
		l->looked = loop_boot_ms();
		return;
	}
	places_make(l, r);
	l->began = loop_boot_ms();
	for (uint32_t i = 0; i < l->n_places; i++) {
		struct place *place = &l->places[i];
		if (place->request != NULL)
			continue; /* away, and asked already */
		place->open = true;
		place->unit = RECORD_NO_UNIT;
	}
	ask_more(l);
}

static void on_timer(void *arg)
{
	struct lines *l = arg;
	next_round_at(l);
	round_begin(l);
}

/* ---- who waits ---- */

static void on_waiters(void *arg)
{
	struct lines *l = arg;
	for (struct waiter **at = &l->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (l->looked < waiter->since) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->fn(waiter->arg); /* may add waiters, or end others */
		free(waiter);
		at = &l->waiters;
	}
	if (l->waiters != NULL && l->began == 0) {
		round_begin(l);
		if (l->began == 0)
			loop_timer_set(l->waiters_timer, 0);
	}
}

void lines_refresh(struct lines *l, lines_fn *fn, void *arg)
{
	struct waiter *waiter = memory_need(calloc(1, sizeof(*waiter)));
	uint64_t now = loop_boot_ms();
	*waiter = (struct waiter){ .next = l->waiters, .fn = fn, .arg = arg, .since = now > FRESH_MS ? now - FRESH_MS : 1 };
	if (waiter->since < l->newest)
		waiter->since = l->newest;
	l->waiters = waiter;
	loop_timer_set(l->waiters_timer, 0);
}

void lines_refresh_cancel(struct lines *l, void *arg)
{
	for (struct waiter **at = &l->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (waiter->arg != arg) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
}

/* ---- life ---- */

/* It may have been rewritten since it was set: an answer can come long after its action, when upgd was dead meanwhile. */
void lines_applied(struct lines *l, const struct rollout *r, const struct record *rec)
{
	if (rec->kind == RECORD_STEP && rec->unit < r->n_units && line_is_ours(r, rec->unit, rec->step))
		l->newest = loop_boot_ms() + 1;
}

void lines_forget(struct lines *l)
{
	for (uint32_t i = 0; i < l->n_places; i++)
		place_clear(&l->places[i]);
	free(l->places);
	l->places = NULL;
	l->n_places = 0;
	l->began = l->looked = 0;
}

struct lines *lines_new(struct executor *x)
{
	struct lines *l = memory_need(calloc(1, sizeof(*l)));
	l->x = x;
	l->timer = loop_timer_new(x->loop, on_timer, l);
	l->waiters_timer = loop_timer_new(x->loop, on_waiters, l);
	return l;
}

void lines_free(struct lines *l)
{
	if (l == NULL)
		return;
	lines_forget(l);
	while (l->waiters != NULL)
		lines_refresh_cancel(l, l->waiters->arg);
	loop_timer_free(l->timer);
	loop_timer_free(l->waiters_timer);
	free(l);
}

void lines_on(struct lines *l, bool on)
{
	bool was = l->on;
	l->on = on;
	if (on && !was)
		next_round_at(l);
	else if (!on)
		loop_timer_clear(l->timer);
}
