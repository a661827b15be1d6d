/* SPDX-License-Identifier: MIT */
/*
 * Actions that a runner carries out. The id names the action for ever, so whatever is sent twice (a lost channel, a restart of ours)
 * is done once. Only the runner's own word ends the waiting: there is no time after which a task that may still run counts as failed.
 */
#include "act.h"

#include "io/loop.h"
#include "io/runner.h"
#include "log.h"
#include "memory.h"
#include "progress.h"
#include "proto/json.h"
#include "site.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
	FRESH_MS = 5000, /* past its pivot there is no way back: what waited longer for its node is asked about once more before it begins */
};

struct act {
	struct runner *runner;
	struct runner_request *request;
	struct progress *progress; /* run: NULL: nobody can tell */
	char *file, *line, *to; /* edit: owned */
	char *old;              /* restore: the line as it was; owned; "" = none */
};

static void act_cancel(struct flight *f)
{
	struct act *act = f->work;
	if (act->request != NULL)
		runner_cancel(act->request);
	progress_free(act->progress);
	free(act->file);
	free(act->line);
	free(act->to);
	free(act->old);
	free(act);
}

static const char *act_trouble(struct flight *f, char *buf, size_t size)
{
	const struct act *act = f->work;
	buf[0] = '\0';
	return act->request != NULL ? runner_trouble(act->request, buf, size) : buf;
}

static struct act *act_new(struct flight *f)
{
	struct act *act = memory_need(calloc(1, sizeof(*act)));
	f->work = act;
	f->cancel = act_cancel;
	f->trouble = act_trouble;
	return act;
}

/* ---- ids ---- */

/* Bytes that an id may not hold become "_"; then, or if it was cut, the number makes it unique again. */
static void id_part(char *out, size_t size, const char *name, uint32_t number)
{
	size_t n = 0;
	bool clean = strlen(name) < size - 12;
	for (; *name != '\0' && n < size - 12; name++) {
		bool good = isalnum((unsigned char)*name) || strchr("._@:+-", *name) != NULL;
		clean &= good;
		out[n++] = good ? *name : '_';
	}
	(void)snprintf(out + n, size - n, clean ? "%s" : "%s.%u", "", number);
}

void act_id(const struct rollout *r, const struct effect *e, char id[static ACT_ID_MAX])
{
	const struct unit *u = &r->units[e->unit];
	const struct stage *stage = rollout_stage(r, u);
	char row[60], lane[40] = "none", stage_name[30], step[30];
	id_part(row, sizeof(row), r->rows[u->row].name, u->row);
	id_part(stage_name, sizeof(stage_name), stage->name, u->stage);
	id_part(step, sizeof(step), e->step < stage->n_steps ? stage->steps[e->step].name : "", e->step);
	if (e->lane == LANE_LOCAL)
		(void)snprintf(lane, sizeof(lane), "local");
	else if (e->lane >= 0 && (uint32_t)e->lane < r->n_rows)
		id_part(lane, sizeof(lane), r->rows[e->lane].name, (uint32_t)e->lane);
	/* the start's time too: a journal begun anew counts from 1 again, and runners remember */
	(void)snprintf(id, ACT_ID_MAX, "r%u-%llx/%s/%s/%s/%s/%s/%u/%llu", r->id, (unsigned long long)r->started_ms, stage_name, row, step, lane,
		e->dir == DIR_UNDO ? "undo" : "do", e->attempt, (unsigned long long)e->seq);
}

void act_tag(const struct rollout *r, const struct effect *e, char tag[static ACT_ID_MAX])
{
	const struct unit *u = &r->units[e->unit];
	const struct stage *stage = rollout_stage(r, u);
	char row[60], stage_name[30], step[30];
	id_part(row, sizeof(row), r->rows[u->row].name, u->row);
	id_part(stage_name, sizeof(stage_name), stage->name, u->stage);
	id_part(step, sizeof(step), e->step < stage->n_steps ? stage->steps[e->step].name : "", e->step);
	(void)snprintf(tag, ACT_ID_MAX, "%u/%s/%s/%s/%llu", r->id, stage_name, row, step, (unsigned long long)e->seq);
}

/* The environment with UPGD_TAG, unless the profile has one of its own. */
static char **env_tagged(char **env, const struct rollout *r, const struct effect *e)
{
	char tag[ACT_ID_MAX];
	size_t n = 0;
	for (; env[n] != NULL; n++)
		if (strncmp(env[n], "UPGD_TAG=", 9) == 0)
			return env;
	act_tag(r, e, tag);
	env = memory_need(realloc(env, (n + 2) * sizeof(char *)));
	if (asprintf(&env[n], "UPGD_TAG=%s", tag) < 0)
		abort();
	env[n + 1] = NULL;
	return env;
}

/* The runner of the flight's lane; NULL: the flight has failed. */
static struct runner *runner_of(struct flight *f)
{
	const struct rollout *r = flight_rollout(f);
	struct fail fail;
	bool node = f->effect.lane >= 0 && (uint32_t)f->effect.lane < r->n_rows;
	enum result result = f->effect.again ? RESULT_UNKNOWN : RESULT_FAILED; /* sent by an earlier life, to a node that upgd.conf had then */
	if (!node && f->effect.lane != LANE_LOCAL) {
		flight_answer_later(f, result, "the action has no place to run on");
		return NULL;
	}
	struct runner *runner = site_runner(f->x->site, node ? r->rows[f->effect.lane].name : NULL, &fail);
	if (runner == NULL)
		flight_answer_later(f, result, fail.text);
	return runner;
}

/* ---- results ---- */

static void on_result(void *arg, const struct runner_result *result)
{
	struct flight *f = arg;
	struct act *act = f->work;
	act->request = NULL;
	switch (result->state) {
	case RUNNER_EXITED:
		act_ended(f, result);
		return;
	case RUNNER_REFUSED:
		/* Sent by an earlier life, perhaps as something else: then it may have been done. */
		flight_answer(f, f->effect.again ? RESULT_UNKNOWN : RESULT_FAILED, 0, result->error);
		return;
	case RUNNER_LATE:
		flight_answer(f, RESULT_UNSENT, 0, result->error);
		return;
	case RUNNER_TIMEOUT:
	case RUNNER_LOST:
	case RUNNER_AWAY:
		break;
	}
	flight_answer(f, RESULT_UNKNOWN, 0, result->error);
}

/* ---- run ---- */

void act_run(struct flight *f)
{
	const struct action *action = flight_action(f);
	const struct step *step = flight_step(f);
	struct bind bind = flight_bind(f);
	struct fail fail;
	struct runner *runner = runner_of(f);
	if (runner == NULL)
		return;
	char id[ACT_ID_MAX];
	char **argv = bind_list(&bind, action->argv, &fail);
	char **env = argv != NULL ? bind_list(&bind, action->env, &fail) : NULL;
	char *cwd = env != NULL ? bind_text(&bind, action->cwd != NULL ? action->cwd : "/", &fail) : NULL;
	if (cwd == NULL) {
		flight_answer_later(f, f->effect.again ? RESULT_UNKNOWN : RESULT_FAILED, fail.text);
	} else {
		struct act *act = act_new(f);
		act_id(flight_rollout(f), &f->effect, id);
		env = env_tagged(env, flight_rollout(f), &f->effect);
		struct runner_task task = { .id = id, .argv = (const char *const *)argv, .env = (const char *const *)env,
			.cwd = cwd, .deadline_ms = step->kill ? step->timeout_ms : 0, .fresh_ms = step->pivot ? FRESH_MS : 0 };
		act->runner = runner;
		act->request = runner_start(runner, &task, 0, on_result, f);
		if (step->has_progress && f->effect.dir == DIR_DO)
			act->progress = progress_new(f);
	}
	bind_list_free(argv);
	bind_list_free(env);
	free(cwd);
}

/* ---- edit ---- */

static void edit(struct flight *f, const char *value)
{
	struct act *act = f->work;
	char id[ACT_ID_MAX];
	act_id(flight_rollout(f), &f->effect, id);
	struct runner_edit task = { .id = id, .file = act->file, .prefix = act->line, .value = value };
	act->request = runner_edit(act->runner, &task, 0, on_result, f);
}

char *act_line_in(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);
	while (text != NULL && *text != '\0') {
		const char *end = strchr(text, '\n');
		size_t n = end != NULL ? (size_t)(end - text) : strlen(text);
		if (strncmp(text, prefix, len) == 0) {
			while (n > 0 && text[n - 1] == '\r')
				n--;
			return memory_need(strndup(text, n));
		}
		text = end != NULL ? end + 1 : NULL;
	}
	return memory_need(strdup(""));
}

/* Put back only what still is as we had set it: anything else is a person's. */
static void on_present(void *arg, const struct runner_result *result)
{
	struct flight *f = arg;
	struct act *act = f->work;
	act->request = NULL;
	if (result->state != RUNNER_EXITED) {
		flight_answer(f, result->state == RUNNER_REFUSED ? RESULT_FAILED : RESULT_UNKNOWN, 0, result->error);
		return;
	}
	char *present = act_line_in(result->out, act->line), *ours;
	if (asprintf(&ours, "%s%s", act->line, act->to) < 0)
		abort();
	if (strcmp(present, act->old) == 0)
		flight_answer(f, RESULT_OK, 0, "it is as it was before");
	else if (strcmp(present, ours) != 0)
		flight_answer(f, RESULT_OK, 0, "left as it is: somebody changed the line since");
	else
		edit(f, act->old[0] != '\0' ? act->old + strlen(act->line) : NULL);
	free(present);
	free(ours);
}

static bool restore_line(struct flight *f, struct act *act)
{
	json_cleanup struct json_object *baseline = captures_baseline(&f->x->captures, f->effect.unit, flight_step(f)->name);
	if (baseline == NULL || !json_object_is_type(baseline, json_type_string))
		return false;
	act->old = memory_need(strdup(json_object_get_string(baseline)));
	return act->old[0] == '\0' || strncmp(act->old, act->line, strlen(act->line)) == 0;
}

void act_edit(struct flight *f)
{
	const struct action *action = flight_action(f);
	const struct action *forward = &flight_step(f)->act;
	struct bind bind = flight_bind(f);
	struct fail fail = { 0 };
	struct runner *runner = runner_of(f);
	if (runner == NULL)
		return;
	struct act *act = act_new(f);
	act->runner = runner;
	act->file = bind_text(&bind, action->file, &fail);
	act->line = act->file != NULL ? bind_text(&bind, action->line, &fail) : NULL;
	act->to = act->line != NULL ? bind_text(&bind, action->restore ? forward->to : action->to, &fail) : NULL;
	if (act->to == NULL)
		flight_answer_later(f, f->effect.again ? RESULT_UNKNOWN : RESULT_FAILED, fail.text);
	else if (!action->restore)
		edit(f, act->to);
	else if (restore_line(f, act))
		act->request = runner_read(runner, act->file, act->line, 0, on_present, f);
	else
		flight_answer_later(f, RESULT_FAILED, "what the line was before is not in the journal: put it back by hand, then retry");
}
