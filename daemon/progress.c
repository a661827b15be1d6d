/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "engine.h"
#include "io/loop.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

enum { EVERY_MIN_MS = 1000, EVERY_MAX_MS = 60000, LOOKS = 10 /* in the time that it may stand still */ };

struct progress {
	struct flight *f; /* borrowed: it owns this */
	struct loop_timer *timer;
	struct probe_run *run;
	char *said;       /* owned: the last answer; NULL: none yet */
	uint64_t since;   /* boot ms: it was said first */
	bool stalled;     /* the engine was told */
};

static uint64_t every_ms(const struct step *step)
{
	uint64_t ms = step->stall_ms / LOOKS;
	return ms < EVERY_MIN_MS ? EVERY_MIN_MS : ms > EVERY_MAX_MS ? EVERY_MAX_MS : ms;
}

static char *answer_text(const struct probe_answer *answer)
{
	const struct judge_table *table = answer->table;
	char *text;
	size_t size;
	FILE *stream = memory_need(open_memstream(&text, &size));
	if (table == NULL)
		(void)fputs(answer->text, stream);
	for (size_t i = 0; table != NULL && i < table->n_rows * table->n_columns; i++)
		(void)fprintf(stream, "%s%c", table->cells[i] != NULL ? table->cells[i] : "", (i + 1) % table->n_columns == 0 ? '\n' : '\t');
	(void)fclose(stream);
	return text;
}

/* Last, for the event may end the flight, and this with it. */
static void tell(struct progress *p, bool stalled, const char *text)
{
	const struct effect *e = &p->f->effect;
	char said[JUDGE_TEXT_MAX + 8];
	const char *name = flight_rollout(p->f)->profile->probes[flight_step(p->f)->progress].name;
	size_t skip = strlen(name) + 2; /* "NAME: " */
	(void)snprintf(said, sizeof(said), "%s says %s", name, strlen(text) > skip ? text + skip : "nothing");
	struct event event = { .kind = EVENT_STALLED, .unit = e->unit, .step = e->step, .dir = e->dir, .attempt = e->attempt,
		.value = stalled ? (int64_t)p->since : 0, .text = said };
	p->stalled = stalled;
	engine_event(p->f->x->engine, &event);
}

static void on_answer(void *arg, const struct probe_answer *answer)
{
	struct progress *p = arg;
	uint64_t now = loop_boot_ms();
	p->run = NULL;
	loop_timer_set(p->timer, every_ms(flight_step(p->f)));
	if (answer->result == RESULT_UNKNOWN)
		return; /* nobody could be asked: that says nothing of the work */
	char *said = answer_text(answer);
	bool same = p->said != NULL && strcmp(p->said, said) == 0;
	free(p->said);
	p->said = said;
	if (!same)
		p->since = now;
	if (same ? !p->stalled && now - p->since >= flight_step(p->f)->stall_ms : p->stalled)
		tell(p, same, answer->text);
}

static void on_time(void *arg)
{
	struct progress *p = arg;
	struct probe_options options = { .bind = flight_bind(p->f), .unit = p->f->effect.unit };
	p->run = probe_start(p->f->x->site, &flight_rollout(p->f)->profile->probes[flight_step(p->f)->progress], &options, on_answer, p);
}

struct progress *progress_new(struct flight *f)
{
	struct progress *p = memory_need(calloc(1, sizeof(*p)));
	p->f = f;
	p->timer = loop_timer_new(f->x->loop, on_time, p);
	loop_timer_set(p->timer, 0);
	return p;
}

void progress_free(struct progress *p)
{
	if (p == NULL)
		return;
	probe_cancel(p->run);
	loop_timer_free(p->timer);
	free(p->said);
	free(p);
}
