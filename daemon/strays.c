/* SPDX-License-Identifier: MIT */
/*
 * An answer is judged against the state of the moment, not of the question: what was sent in between is waited for by then. An end that
 * is decided but not yet on the disk is no reason to acknowledge, so the question is put again a little later.
 */
#include "strays.h"

#include "config.h"
#include "engine.h"
#include "io/loop.h"
#include "io/runner.h"
#include "log.h"
#include "memory.h"
#include "probe.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum {
	AT_ONCE = 8,         /* each is an ssh to begin with */
	PATIENCE_MS = 60000,
	SOON_MS = 200,
	AGAIN_MS = 5000,     /* as long as there are strays */
	LIST_FULL = 1000,    /* a list of so many is cut: there may be more behind it (runner/PROTOCOL.md) */
};

struct known {
	uint32_t id;
	int64_t started_ms;
};

struct stray {
	struct stray *next;
	size_t place;
	char *text; /* owned */
	bool seen;  /* in the list at hand */
};

struct place {
	struct strays *strays;
	const char *node; /* NULL: local */
	struct runner_request *request;
	bool wanted;
};

struct strays {
	struct site *site;
	struct engine *engine;
	struct known *known;           /* owned */
	size_t n_known;
	struct place *places;          /* owned */
	size_t n_places, n_asked;
	struct stray *first;          /* owned */
	struct loop_timer *timer;
};

static void ask(struct strays *o);

static bool is_wanted(const struct strays *o)
{
	for (size_t i = 0; i < o->n_places; i++)
		if (o->places[i].wanted)
			return true;
	return false;
}

static void on_timer(void *arg)
{
	struct strays *o = arg;
	for (const struct stray *stray = is_wanted(o) ? NULL : o->first; stray != NULL; stray = stray->next)
		o->places[stray->place].wanted = true;
	ask(o);
}

struct strays *strays_new(struct site *site)
{
	struct strays *o = memory_need(calloc(1, sizeof(*o)));
	const struct config *config = site_config(site);
	o->site = site;
	o->n_places = config->n_nodes + 1;
	o->places = memory_need(calloc(o->n_places, sizeof(*o->places)));
	for (size_t i = 0; i < o->n_places; i++)
		o->places[i] = (struct place){ .strays = o, .node = i < config->n_nodes ? config->nodes[i].name : NULL };
	o->timer = loop_timer_new(site_loop(site), on_timer, o);
	return o;
}

static void stray_free(struct stray *stray)
{
	free(stray->text);
	free(stray);
}

void strays_free(struct strays *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->n_places; i++)
		runner_cancel(o->places[i].request);
	while (o->first != NULL) {
		struct stray *stray = o->first;
		o->first = stray->next;
		stray_free(stray);
	}
	loop_timer_free(o->timer);
	free(o->places);
	free(o->known);
	free(o);
}

void strays_engine(struct strays *o, struct engine *engine)
{
	o->engine = engine;
}

/* A site may have no runner beside upgd, if its profile runs nothing there. */
static bool uses_local(const struct profile *p)
{
	for (size_t i = 0; i < p->n_probes; i++)
		if (p->probes[i].on != NULL && strcmp(p->probes[i].on, "local") == 0)
			return true;
	for (size_t i = 0; i < p->n_stages; i++)
		for (size_t k = 0; k < p->stages[i].n_steps; k++)
			for (size_t lane = 0; lane < p->stages[i].steps[k].n_on; lane++)
				if (p->stages[i].steps[k].on[lane] == LANE_ON_LOCAL)
					return true;
	return false;
}

void strays_look(struct strays *o)
{
	const struct rollout *r = engine_rollout(o->engine);
	for (size_t i = 0; i < o->n_places && r != NULL; i++)
		o->places[i].wanted = o->places[i].node != NULL || uses_local(r->profile);
	loop_timer_set(o->timer, SOON_MS);
}

static void look_at_lanes(struct strays *o, const struct rollout *r, const struct unit *u)
{
	for (uint8_t k = 0; k < u->n_lanes; k++)
		for (size_t i = 0; i < o->n_places; i++) {
			const char *node = o->places[i].node;
			bool there = node == NULL ? u->lane[k] == LANE_LOCAL
				: u->lane[k] >= 0 && (uint32_t)u->lane[k] < r->n_rows && strcmp(r->rows[u->lane[k]].name, node) == 0;
			o->places[i].wanted |= there;
		}
	loop_timer_set(o->timer, SOON_MS);
}

void strays_applied(struct strays *o, const struct rollout *r, const struct record *rec)
{
	if (rec->kind == RECORD_UNIT && rec->code == UNIT_UNCERTAIN && rec->unit < r->n_units)
		look_at_lanes(o, r, &r->units[rec->unit]); /* given up, it may be */
	if (rec->kind != RECORD_START)
		return;
	o->known = memory_need(realloc(o->known, (o->n_known + 1) * sizeof(*o->known)));
	o->known[o->n_known++] = (struct known){ .id = r->id, .started_ms = r->started_ms };
}

/* ---- one task ---- */

static bool is_waited_for(const struct rollout *r, uint64_t seq)
{
	for (uint32_t i = 0; i < r->n_units && !rollout_is_over(r); i++) {
		const struct unit *u = &r->units[i];
		if (u->state != UNIT_RUNNING && u->state != UNIT_UNDOING)
			continue;
		for (uint8_t k = 0; k < u->n_lanes; k++)
			if (u->intent[k] == seq && (u->lanes & (1u << k)) != 0)
				return true;
	}
	return false;
}

static bool is_known(const struct strays *o, uint32_t id, int64_t started_ms)
{
	for (size_t i = 0; i < o->n_known; i++)
		if (o->known[i].id == id && o->known[i].started_ms == started_ms)
			return true;
	return false;
}

enum verdict { WAITED_FOR, OURS, STRANGE };

/* act_id() and probe.c make the names. why: of an stray. */
static enum verdict judge_id(const struct strays *o, const char *id, char *why, size_t size)
{
	const struct rollout *r = engine_rollout(o->engine);
	unsigned rollout;
	unsigned long long started, seq, life;
	const char *last = strrchr(id, '/');
	if (sscanf(id, "probe/%llx/", &life) == 1)
		return life == probe_life() ? WAITED_FOR : OURS; /* one of an earlier life is ended by its own deadline */
	(void)snprintf(why, size, "it is not in this journal");
	if (r == NULL || sscanf(id, "r%u-%llx/", &rollout, &started) != 2 || last == NULL || sscanf(last, "/%llu", &seq) != 1 ||
		!is_known(o, rollout, (int64_t)started))
		return STRANGE;
	if (r->id == rollout && r->started_ms == (int64_t)started && is_waited_for(r, seq))
		return WAITED_FOR;
	bool over = r->id != rollout || rollout_is_over(r);
	(void)snprintf(why, size, over ? "rollout %u is over" : "rollout %u has given it up", rollout);
	return OURS;
}

static void name_stray(struct strays *o, size_t place, const char *id, const char *why)
{
	char *text;
	const char *node = o->places[place].node;
	if (asprintf(&text, "%s: task %s still runs, and nobody waits for it: %s", node != NULL ? node : "local", id, why) < 0)
		abort();
	for (struct stray *stray = o->first; stray != NULL; stray = stray->next) {
		if (strcmp(stray->text, text) != 0)
			continue;
		stray->seen = true;
		free(text);
		return;
	}
	struct stray *stray = memory_need(calloc(1, sizeof(*stray)));
	*stray = (struct stray){ .next = o->first, .place = place, .text = text, .seen = true };
	o->first = stray;
	log_say(LOG_AT_WARNING, "%s; see `upgd-run status` there", text);
}

/* ---- one place ---- */

/* Returns how many were acknowledged. */
static size_t take_list(struct strays *o, size_t place, struct runner *runner, char *list, size_t *n_lines)
{
	char *save = NULL, why[80];
	size_t n = 0;
	*n_lines = 0;
	for (char *line = strtok_r(list, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *id = strchr(line, ' ');
		if (id == NULL)
			continue;
		*id++ = '\0';
		(*n_lines)++;
		enum verdict verdict = judge_id(o, id, why, sizeof(why));
		bool runs = strcmp(line, "running") == 0, probe = strncmp(id, "probe/", 6) == 0;
		if (verdict == OURS && !runs) {
			runner_ack(runner, id);
			n++;
		} else if (verdict != WAITED_FOR && runs && !probe) {
			name_stray(o, place, id, why);
		}
	}
	return n;
}

static void forget_unseen(struct strays *o, size_t place)
{
	for (struct stray **at = &o->first; *at != NULL;) {
		struct stray *stray = *at;
		bool gone = stray->place == place && !stray->seen;
		stray->seen &= stray->place != place;
		if (!gone) {
			at = &stray->next;
			continue;
		}
		*at = stray->next;
		log_say(LOG_AT_NOTICE, "no more: %s", stray->text);
		stray_free(stray);
	}
}

static void on_list(void *arg, const struct runner_result *result)
{
	struct place *place = arg;
	struct strays *o = place->strays;
	size_t index = (size_t)(place - o->places), n_lines = 0;
	place->request = NULL;
	o->n_asked--;
	if (result->state == RUNNER_EXITED && !engine_is_durable(o->engine)) {
		place->wanted = true;
	} else if (result->state == RUNNER_EXITED) {
		char *list = memory_need(strndup(result->out, result->out_len));
		struct runner *runner = site_runner(o->site, place->node, NULL);
		for (struct stray *stray = o->first; stray != NULL; stray = stray->next)
			stray->seen &= stray->place != index;
		size_t n = take_list(o, index, runner, list, &n_lines);
		forget_unseen(o, index);
		place->wanted = n > 0 && n_lines >= LIST_FULL;
		free(list);
	} else if (result->state == RUNNER_AWAY) {
		log_say(LOG_AT_NOTICE, "cannot tell what is left on %s", result->error);
	}
	if (is_wanted(o) || o->first != NULL)
		loop_timer_set(o->timer, is_wanted(o) ? SOON_MS : AGAIN_MS);
}

static void ask(struct strays *o)
{
	for (size_t i = 0; i < o->n_places && o->n_asked < AT_ONCE; i++) {
		struct place *place = &o->places[i];
		struct runner *runner = place->wanted && place->request == NULL ? site_runner(o->site, place->node, NULL) : NULL;
		if (runner == NULL)
			continue;
		place->wanted = false;
		place->request = runner_list(runner, PATIENCE_MS, on_list, place);
		o->n_asked++;
	}
}

const char *strays_text(const struct strays *o, size_t i)
{
	const struct stray *stray = o->first;
	for (; stray != NULL && i > 0; i--)
		stray = stray->next;
	return stray != NULL ? stray->text : NULL;
}
