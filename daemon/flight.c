/* SPDX-License-Identifier: MIT */
/*
 * Each effect becomes a flight: an entry in one list, a part that carries it out (act.c, act_server.c, ask.c, orphans.c), an answer. What the
 * engine no longer waits for may still answer: the event says which attempt it belongs to, and decide() ignores what is over. A flight never
 * keeps a pointer into the rollout across the loop; it asks the engine for it, and all flights end when another rollout starts.
 */
#include "flight.h"

#include "causes.h"
#include "config.h"
#include "engine.h"
#include "failpoint.h"
#include "hosts.h"
#include "io/loop.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

struct rollout *flight_rollout(const struct flight *f)
{
	return engine_rollout(f->x->engine);
}

const struct step *flight_step(const struct flight *f)
{
	const struct rollout *r = flight_rollout(f);
	return &rollout_stage(r, &r->units[f->effect.unit])->steps[f->effect.step];
}

const struct action *flight_action(const struct flight *f)
{
	const struct step *step = flight_step(f);
	return f->effect.dir == DIR_UNDO ? &step->undo : &step->act;
}

void flight_bind_init(const struct executor *x, const struct rollout *r, uint32_t unit, int32_t lane, struct bind *bind)
{
	memset(bind, 0, sizeof(*bind));
	bind->profile = r->profile;
	bind->r = r;
	bind->row = &r->rows[r->units[unit].row];
	bind->cluster = site_config(x->site)->cluster;
	bind->captures = captures_text(&x->captures, unit);
	bind->rollout = r->id;
	bind->lane = lane;
}

struct bind flight_bind(const struct flight *f)
{
	struct bind bind;
	flight_bind_init(f->x, flight_rollout(f), f->effect.unit, f->effect.lane, &bind);
	return bind;
}

struct flight *flight_new(struct executor *x, const struct effect *effect)
{
	struct flight *f = memory_need(calloc(1, sizeof(*f)));
	f->x = x;
	f->effect = *effect;
	f->next = x->flights;
	f->link = &x->flights;
	if (f->next != NULL)
		f->next->link = &f->next;
	x->flights = f;
	return f;
}

void flight_free(struct flight *f)
{
	if (f->cancel != NULL)
		f->cancel(f);
	if (f->timer != NULL)
		loop_timer_free(f->timer);
	free(f->failure);
	free(f->output);
	*f->link = f->next;
	if (f->next != NULL)
		f->next->link = f->link;
	free(f);
}

#ifdef UPGD_FAILPOINTS
static void passed(const struct flight *f)
{
	static const char *const words[] = { [EFFECT_GATE] = "gate", [EFFECT_ASK] = "asked", [EFFECT_CAPTURE] = "captured", [EFFECT_ACT] = "acted",
		[EFFECT_VERIFY] = "verified", [EFFECT_RECHECK] = "rechecked" };
	char unit[300];
	const struct rollout *r = flight_rollout(f);
	const struct stage *stage = rollout_stage(r, &r->units[f->effect.unit]);
	failpoint(FAILPOINT_AFTER_REPLY, "%s %s/%s", words[f->effect.kind], rollout_unit_name(r, f->effect.unit, unit, sizeof(unit)),
		f->effect.step < stage->n_steps ? stage->steps[f->effect.step].name : "-");
}
#else
#define passed(f) ((void)0)
#endif

/* A failure, until the database servers were looked at once more. */
struct failure {
	int64_t value;
	char text[];
};

static void look_cancel(struct flight *f)
{
	hosts_refresh_cancel(f->x->hosts, f);
}

static void on_looked(void *arg)
{
	struct flight *f = arg;
	f->cancel = NULL;
	flight_answer(f, RESULT_FAILED, f->failure->value, f->failure->text);
}

/* Whether the failure is the step's own is judged on what its databases were meanwhile: that must be known first. True: the answer waits. */
static bool look_first(struct flight *f, int64_t value, const char *text)
{
	bool judged = f->effect.kind == EFFECT_VERIFY || f->effect.kind == EFFECT_CAPTURE || f->effect.kind == EFFECT_RECHECK ||
		(f->effect.kind == EFFECT_ACT && flight_action(f)->kind == ACTION_RUN);
	if (!judged || f->failure != NULL)
		return false;
	size_t size = text != NULL ? strlen(text) + 1 : 1;
	f->failure = memory_need(malloc(sizeof(*f->failure) + size));
	f->failure->value = value;
	memcpy(f->failure->text, text != NULL ? text : "", size);
	if (f->cancel != NULL)
		f->cancel(f);
	f->work = NULL;
	f->trouble = NULL;
	f->doing = NULL;
	f->cancel = look_cancel;
	if (f->timer != NULL)
		loop_timer_free(f->timer);
	f->timer = NULL;
	hosts_refresh(f->x->hosts, on_looked, f);
	return true;
}

/* Is it of those whose failure is the step's, on its way there? */
static bool has_causes(const struct flight *f)
{
	bool judged = f->effect.kind == EFFECT_ACT || f->effect.kind == EFFECT_VERIFY || f->effect.kind == EFFECT_CAPTURE;
	return judged && f->effect.dir == DIR_DO;
}

void flight_printed(struct flight *f, const char *out, size_t len)
{
	if (len == 0)
		return;
	if (has_causes(f))
		f->causes = causes_fit(flight_step(f), NULL, out);
	free(f->output);
	f->output = causes_output(out, len);
}

void flight_answer(struct flight *f, enum result result, int64_t value, const char *text)
{
	if (result == RESULT_FAILED && f->failure == NULL && has_causes(f))
		f->causes |= causes_fit(flight_step(f), text, NULL);
	if (result == RESULT_FAILED && look_first(f, value, text))
		return;
	static const enum event_kind kinds[] = { [EFFECT_GATE] = EVENT_GATE, [EFFECT_ASK] = EVENT_ASKED, [EFFECT_CAPTURE] = EVENT_CAPTURED,
		[EFFECT_ACT] = EVENT_ACTED, [EFFECT_VERIFY] = EVENT_VERIFIED, [EFFECT_ORPHANS] = EVENT_ORPHANS, [EFFECT_KILL] = EVENT_ORPHANS,
		[EFFECT_RECHECK] = EVENT_RECHECKED };
	struct engine *engine = f->x->engine;
	passed(f);
	char *copy = text != NULL && text[0] != '\0' ? memory_need(strdup(text)) : NULL; /* it may live in the flight */
	char *output = f->output;
	f->output = NULL;
	struct event event = { .kind = kinds[f->effect.kind], .unit = f->effect.unit, .step = f->effect.step, .seq = f->effect.seq, .lane = f->effect.lane,
		.dir = f->effect.dir, .attempt = f->effect.attempt, .result = result, .value = value, .text = copy,
		.causes = f->causes, .output = output };
	flight_free(f);
	engine_event(engine, &event);
	free(copy);
	free(output);
}

struct later {
	enum result result;
	char text[sizeof(((struct fail *)NULL)->text)];
	void (*cancel)(struct flight *f); /* of what was there before */
	void *work;
};

static void later_cancel(struct flight *f)
{
	struct later *later = f->work;
	f->work = later->work;
	f->cancel = later->cancel;
	if (f->cancel != NULL)
		f->cancel(f);
	free(later);
}

static void on_later(void *arg)
{
	struct flight *f = arg;
	struct later *later = f->work;
	flight_answer(f, later->result, 0, later->text);
}

void flight_answer_later(struct flight *f, enum result result, const char *text)
{
	struct later *later = memory_need(calloc(1, sizeof(*later)));
	later->result = result;
	(void)snprintf(later->text, sizeof(later->text), "%s", text != NULL ? text : "");
	later->cancel = f->cancel;
	later->work = f->work;
	f->work = later;
	f->trouble = NULL;
	f->doing = NULL;
	f->cancel = later_cancel;
	if (f->timer != NULL)
		loop_timer_free(f->timer);
	f->timer = loop_timer_new(f->x->loop, on_later, f);
	loop_timer_set(f->timer, 0);
}
