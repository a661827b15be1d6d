/* SPDX-License-Identifier: MIT */
/*
 * What `check` of the stages asks, of each row that has work in the stage, whatever set it is of. One probe is asked once for a row, however many
 * stages name it. Who cannot be asked is an error too, but not a second time where its node, runner or database is named already.
 */
#include "discover_parts.h"

#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

struct question {
	struct discovery *d;
	uint32_t row;        /* of the world */
	uint16_t probe;
	struct probe_run *run;
};

struct discover_checks {
	struct question *questions; /* owned */
	size_t n, next, n_open;
};

static void go_on(struct discovery *d);

static bool has_work(const struct stage *stage, const struct row *row)
{
	if (row->set != stage->set || row->aside)
		return false;
	return stage->set == 0 || (row->class_ != CLASS_NONE && (stage->where == 0 || (stage->where & (1u << row->class_)) != 0));
}

/* In this stage or one before it. */
static bool asked_before(const struct profile *p, size_t stage, size_t check, const struct row *row)
{
	uint16_t probe = p->stages[stage].check[check];
	for (size_t s = 0; s <= stage; s++)
		for (size_t i = 0; i < (s < stage ? p->stages[s].n_check : check); i++)
			if (p->stages[s].check[i] == probe && has_work(&p->stages[s], row))
				return true;
	return false;
}

static size_t collect(struct discovery *d, struct question *out)
{
	const struct profile *p = d->profile;
	size_t n = 0;
	for (size_t s = 0; s < p->n_stages; s++)
		for (uint32_t row = 0; row < d->world->n_rows; row++)
			for (size_t i = 0; i < p->stages[s].n_check; i++) {
				if (!has_work(&p->stages[s], &d->world->rows[row]) || asked_before(p, s, i, &d->world->rows[row]))
					continue;
				if (out != NULL)
					out[n] = (struct question){ .d = d, .row = row, .probe = p->stages[s].check[i] };
				n++;
			}
	return n;
}

/* ---- answers ---- */

/* Its runner, or a database of it, has said why: the same once more helps nobody. */
static bool is_named_elsewhere(const struct question *q)
{
	const struct discovery *d = q->d;
	const struct probe *probe = &d->profile->probes[q->probe];
	const struct row *row = &d->world->rows[q->row];
	bool is_task = probe->kind == PROBE_RUN || probe->kind == PROBE_READ;
	for (size_t i = 0; is_task && i < d->n_places; i++) {
		const struct place *p = &d->places[i];
		bool here = p->node == NULL ? strcmp(probe->on, "local") == 0 : strcmp(probe->on, "self") == 0 && strcmp(p->node, row->name) == 0;
		if (here && p->error != NULL)
			return true;
	}
	for (size_t s = 0; probe->kind == PROBE_SQL && s < d->profile->n_sets; s++)
		if (d->tables[s].error != NULL && strcmp(d->profile->sets[s].database, probe->target) == 0)
			return true;
	bool of_host = probe->kind == PROBE_SQL && strncmp(probe->target, "host:", 5) == 0 && row->host > 0 && row->host <= discover_config(d)->n_hosts;
	return of_host && d->machines[row->host - 1].error != NULL;
}

static void on_answer(void *arg, const struct probe_answer *answer)
{
	struct question *q = arg;
	struct discovery *d = q->d;
	const struct row *row = &d->world->rows[q->row];
	const struct probe *probe = &d->profile->probes[q->probe];
	char subject[300];
	q->run = NULL;
	(void)snprintf(subject, sizeof(subject), "%s%s%s", d->profile->sets[row->set].name, row->set == 0 ? "" : " ", row->set == 0 ? "" : row->name);
	struct bind bind = discover_bind(d, row);
	struct fail fail;
	char *mend = probe->mend != NULL ? bind_text(&bind, probe->mend, &fail) : NULL;
	if (answer->result != RESULT_OK && (answer->result == RESULT_FAILED || !is_named_elsewhere(q)))
		discover_say(d, DISCOVER_ERROR, subject, mend != NULL ? mend : "see the parameters of the rollout, and what is said when it is asked by hand",
			"%s", answer->text);
	free(mend);
	d->checks->n_open--;
	go_on(d);
	discover_one_less(d);
}

static void go_on(struct discovery *d)
{
	struct discover_checks *c = d->checks;
	while (c->n_open < DISCOVER_AT_ONCE && c->next < c->n) {
		struct question *q = &c->questions[c->next++];
		struct probe_options options = { .bind = discover_bind(d, &d->world->rows[q->row]), .unit = RECORD_NO_UNIT };
		c->n_open++;
		d->open++;
		q->run = probe_start(d->site, &d->profile->probes[q->probe], &options, on_answer, q);
	}
}

void discover_checks_start(struct discovery *d)
{
	d->checks = memory_need(calloc(1, sizeof(*d->checks)));
	d->checks->n = collect(d, NULL);
	d->checks->questions = memory_need(calloc(d->checks->n + 1, sizeof(struct question)));
	(void)collect(d, d->checks->questions);
	go_on(d);
}

void discover_checks_done(struct discovery *d)
{
	for (size_t i = 0; d->checks != NULL && i < d->checks->n; i++)
		probe_cancel(d->checks->questions[i].run);
	if (d->checks != NULL)
		free(d->checks->questions);
	free(d->checks);
	d->checks = NULL;
}
