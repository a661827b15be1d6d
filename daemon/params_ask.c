/* SPDX-License-Identifier: MIT */
/* One question for each parameter and each place where it is asked; judged when the last answer is there. */
#include "params_ask.h"

#include "config.h"
#include "io/loop.h"
#include "look.h"
#include "memory.h"
#include "probe.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { AT_ONCE = 32, NAMED_MAX = 8, SHOWN_MAX = 160 };

struct question {
	struct params_ask *ask;
	const struct param *param;
	const struct config_node *node; /* NULL: asked once, for all */
	char *columns;       /* owned */
	struct row row;      /* for templates; borrows columns */
	struct probe_run *run;
	char *value, *text;  /* owned; value NULL: it did not answer, or did not say what it should: text */
	bool answered;
};

struct params_ask {
	struct site *site;
	const struct profile *profile;
	params_ask_fn *fn;
	void *arg;
	struct loop_timer *end;
	struct question *questions; /* owned; those of one parameter stand together */
	size_t n, next, n_open;
};

static void go_on(struct params_ask *a);

/* ---- what is asked where ---- */

static bool names_row(const struct profile *profile, const char *text)
{
	char name[100];
	if (profile->set_node < 0 || text == NULL)
		return false;
	(void)snprintf(name, sizeof(name), "${%.90s.", profile->sets[profile->set_node].name);
	return strstr(text, name) != NULL;
}

static bool list_names_row(const struct profile *profile, char *const *list)
{
	bool named = false;
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		named |= names_row(profile, list[i]);
	return named;
}

static bool is_of_nodes(const struct profile *profile, const struct probe *probe)
{
	return (probe->on != NULL && strcmp(probe->on, "self") == 0) || names_row(profile, probe->target) || names_row(profile, probe->query) ||
		names_row(profile, probe->cwd) || list_names_row(profile, probe->args) || list_names_row(profile, probe->env);
}

static const struct probe *probe_of(const struct profile *profile, const struct param *param)
{
	return &profile->probes[profile_probe(profile, param->probe)]; /* it is there: the loader looks */
}

static void question_add(struct params_ask *a, const struct param *param, const struct config_node *node)
{
	int set = a->profile->set_node;
	struct question *q = &a->questions[a->n++];
	*q = (struct question){ .ask = a, .param = param, .node = node };
	if (node == NULL)
		return;
	q->columns = look_node_columns(node);
	q->row = (struct row){ .name = node->name, .columns = q->columns, .set = (uint8_t)(set >= 0 ? set : 0) };
}

/* ---- answers ---- */

static void say(struct question *q, const char *text)
{
	if (asprintf(&q->text, "%.*s", SHOWN_MAX, text) < 0)
		abort();
}

static void on_answer(void *arg, const struct probe_answer *answer)
{
	struct question *q = arg;
	struct params_ask *a = q->ask;
	const struct judge_table *table = answer->table;
	const char *value = table != NULL && table->n_rows > 0 && table->cells[0] != NULL ? table->cells[0] : "";
	q->run = NULL;
	q->answered = table != NULL && answer->whole;
	if (!q->answered || answer->result != RESULT_OK)
		say(q, answer->text);
	else if (table->n_rows > 1)
		say(q, "it says more than one row");
	else if (value[0] == '\0')
		say(q, "it says nothing");
	else if (strpbrk(value, "\n\r") != NULL)
		say(q, "it says more than one line");
	else
		q->value = memory_need(strdup(value));
	a->n_open--;
	go_on(a);
}

static void go_on(struct params_ask *a)
{
	while (a->n_open < AT_ONCE && a->next < a->n) {
		struct question *q = &a->questions[a->next++];
		struct probe_options options = { .bind = { .profile = a->profile, .row = q->node != NULL ? &q->row : NULL, .lane = LANE_NONE,
			.cluster = site_config(a->site)->cluster }, .unit = RECORD_NO_UNIT };
		a->n_open++;
		q->run = probe_start(a->site, probe_of(a->profile, q->param), &options, on_answer, q);
	}
	if (a->n_open == 0)
		loop_timer_set(a->end, 0);
}

/* ---- judging ---- */

/* "mim1, mim2 and 3 more", of those who said this value; NULL: who did not answer. */
static void name_them(FILE *out, const struct question *first, const struct question *end, const char *value)
{
	size_t n = 0;
	for (const struct question *q = first; q < end; q++) {
		if (value == NULL ? q->answered : q->value == NULL || strcmp(q->value, value) != 0)
			continue;
		if (n++ < NAMED_MAX)
			(void)fprintf(out, "%s%s", n > 1 ? ", " : "", q->node != NULL ? q->node->name : q->param->probe);
	}
	if (n > NAMED_MAX)
		(void)fprintf(out, " and %zu more", n - NAMED_MAX);
}

static bool said_before(const struct question *first, const struct question *at)
{
	for (const struct question *q = first; q < at; q++)
		if (q->value != NULL && strcmp(q->value, at->value) == 0)
			return true;
	return false;
}

static const struct question *one_that_says(const struct question *first, const struct question *end)
{
	for (const struct question *q = first; q < end; q++)
		if (q->value != NULL)
			return q;
	return NULL;
}

/* The value that all say who answer, NULL if there is none; with who says it, or who says what. */
static const char *judge_param(const struct question *first, const struct question *end, FILE *out)
{
	const struct question *one = one_that_says(first, end);
	size_t n_values = 0, n_silent = 0, n_wrong = 0, shown = 0;
	for (const struct question *q = first; q < end; q++) {
		n_values += q->value != NULL && !said_before(first, q);
		n_silent += !q->answered;
		n_wrong += q->answered && q->value == NULL;
	}
	if (n_values == 1 && n_wrong == 0) {
		(void)fprintf(out, "%s, as said by ", one->value);
		name_them(out, first, end, one->value);
		if (n_silent > 0) {
			(void)fputs("; no answer from ", out);
			name_them(out, first, end, NULL);
		}
		return one->value;
	}
	(void)fputs(n_values + n_wrong == 0 ? "nobody says what it is" : n_values > 1 ? "not the same everywhere" : "cannot be taken as said", out);
	for (const struct question *q = first; q < end; q++) {
		if (q->value == NULL || said_before(first, q))
			continue;
		(void)fputs("; ", out);
		name_them(out, first, end, q->value);
		(void)fprintf(out, ": %.80s", q->value);
	}
	for (const struct question *q = first; q < end; q++)
		if (q->value == NULL && (q->answered || n_values == 0) && shown++ < NAMED_MAX)
			(void)fprintf(out, "; %s%s%s", q->node != NULL ? q->node->name : "", q->node != NULL ? ": " : "", q->text);
	return NULL;
}

static void ask_free(struct params_ask *a)
{
	for (size_t i = 0; i < a->n; i++) {
		probe_cancel(a->questions[i].run);
		free(a->questions[i].columns);
		free(a->questions[i].value);
		free(a->questions[i].text);
	}
	free(a->questions);
	loop_timer_free(a->end);
	free(a);
}

static void on_end(void *arg)
{
	struct params_ask *a = arg;
	struct params_said *said = memory_need(calloc(a->n + 1, sizeof(*said)));
	size_t n = 0;
	for (size_t i = 0, end; i < a->n; i = end) {
		char *text;
		size_t size;
		FILE *out = memory_need(open_memstream(&text, &size));
		for (end = i; end < a->n && a->questions[end].param == a->questions[i].param;)
			end++;
		said[n] = (struct params_said){ .param = a->questions[i].param->name, .value = judge_param(&a->questions[i], &a->questions[end], out) };
		(void)fclose(out);
		said[n++].text = text;
	}
	a->fn(a->arg, said, n);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)said[i].text);
	free(said);
	ask_free(a);
}

struct params_ask *params_ask_start(struct site *site, const struct profile *profile, params_ask_fn *fn, void *arg)
{
	const struct config *config = site_config(site);
	struct params_ask *a = memory_need(calloc(1, sizeof(*a)));
	*a = (struct params_ask){ .site = site, .profile = profile, .fn = fn, .arg = arg };
	a->questions = memory_need(calloc(profile->n_params * (config->n_nodes + 1) + 1, sizeof(struct question)));
	for (size_t i = 0; i < profile->n_params; i++) {
		const struct param *param = &profile->params[i];
		if (param->value != NULL || param->probe == NULL)
			continue;
		bool of_nodes = is_of_nodes(profile, probe_of(profile, param)) && config->n_nodes > 0;
		for (size_t k = 0; of_nodes && k < config->n_nodes; k++)
			question_add(a, param, &config->nodes[k]);
		if (!of_nodes)
			question_add(a, param, NULL);
	}
	if (a->n == 0) {
		free(a->questions);
		free(a);
		return NULL;
	}
	a->end = loop_timer_new(site_loop(site), on_end, a);
	go_on(a);
	return a;
}

void params_ask_cancel(struct params_ask *ask)
{
	if (ask != NULL)
		ask_free(ask);
}
