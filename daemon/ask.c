/* SPDX-License-Identifier: MIT */
/*
 * Questions: a list of probes, one after the other, once or until they hold; and captures, which are answers that are kept: rows of
 * probes, and what a server or a line was before our hand came to it.
 */
#include "act.h"

#include "config.h"
#include "engine.h"
#include "io/haproxy.h"
#include "io/loop.h"
#include "io/runner.h"
#include "look.h"
#include "memory.h"
#include "proto/json.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { POLL_FIRST_MS = 250, POLL_MAX_MS = 2000, CAPTURE_MAX = 60 << 10, READ_PATIENCE_MS = 15000 };

struct ask {
	const uint16_t *probes;  /* of the profile */
	size_t n, i;
	bool polled;
	uint64_t round, until, pause; /* boot ms: this one began, the last one begins; ms */
	uint64_t steady, since;  /* ms; boot ms: all have held since, 0: not so */
	const uint16_t *fails;   /* of the profile: once one of these holds, it is not waited for any longer */
	size_t n_fails, k;
	uint16_t *list;          /* recheck: probes, then the step of each; owned */
	struct probe_run *run;
	/* of captures */
	struct json_object *got; /* owned */
	int64_t n_rows;
	struct runner_request *read;
	char *prefix;            /* owned */
	struct site_call *calls[CONFIG_SOCKETS_MAX];
	struct word {
		struct flight *f;
		size_t process;
		const char *state;   /* NULL: not known */
	} words[CONFIG_SOCKETS_MAX];
	size_t n_words, n_open;
	char error[300];
	enum result worst;
};

static void ask_next(struct flight *f);
static void fails_next(struct flight *f);

static void ask_cancel(struct flight *f)
{
	struct ask *a = f->work;
	probe_cancel(a->run);
	if (a->read != NULL)
		runner_cancel(a->read);
	for (size_t i = 0; i < a->n_words; i++)
		site_call_cancel(a->calls[i]);
	json_putp(&a->got);
	free(a->prefix);
	free(a->list);
	free(a);
}

static struct ask *ask_new(struct flight *f)
{
	struct ask *a = memory_need(calloc(1, sizeof(*a)));
	f->work = a;
	f->cancel = ask_cancel;
	return a;
}

static struct probe_run *ask_one(struct flight *f, size_t index, bool polled, probe_fn *fn)
{
	const struct rollout *r = flight_rollout(f);
	struct probe_options options = { .bind = flight_bind(f), .unit = f->effect.unit, .polled = polled };
	return probe_start(f->x->site, &r->profile->probes[index], &options, fn, f);
}

/* ---- probes ---- */

static void on_poll(void *arg)
{
	ask_next(arg);
}

/* All of them again, anew: after a pause, but not past the end of the waiting. */
static void poll_later(struct flight *f)
{
	struct ask *a = f->work;
	uint64_t now = loop_boot_ms(), end = a->since != 0 ? a->since + a->steady : a->until;
	uint64_t left = end > now ? end - now : 0;
	a->i = 0;
	if (f->timer == NULL)
		f->timer = loop_timer_new(f->x->loop, on_poll, f);
	if (a->since != 0)
		a->pause = POLL_FIRST_MS; /* what comes and goes is to be caught while it is gone */
	loop_timer_set(f->timer, a->pause < left ? a->pause : left);
	a->pause = a->pause * 2 < POLL_MAX_MS ? a->pause * 2 : POLL_MAX_MS;
}

/* Only a yes is an answer: a log that nobody can read says nothing. */
static void on_fails(void *arg, const struct probe_answer *answer)
{
	struct flight *f = arg;
	struct ask *a = f->work;
	a->run = NULL;
	if (answer->result == RESULT_OK) {
		const char *doc = flight_rollout(f)->profile->probes[a->fails[a->k]].doc;
		char text[JUDGE_TEXT_MAX + 400];
		(void)snprintf(text, sizeof(text), "%s%s%.300s%s, so it is not waited for any longer", answer->text, doc != NULL ? " (" : "", doc != NULL ? doc : "",
			doc != NULL ? ")" : "");
		flight_answer(f, RESULT_FAILED, 0, text);
		return;
	}
	a->k++;
	fails_next(f);
}

static void fails_next(struct flight *f)
{
	struct ask *a = f->work;
	if (a->k < a->n_fails)
		a->run = ask_one(f, a->fails[a->k], true, on_fails);
	else
		poll_later(f);
}

static void on_probe(void *arg, const struct probe_answer *answer)
{
	struct flight *f = arg;
	struct ask *a = f->work;
	a->run = NULL;
	if (answer->result == RESULT_OK && a->i + 1 < a->n) {
		a->i++;
		ask_next(f);
		return;
	}
	uint64_t now = loop_boot_ms();
	bool holds = answer->result == RESULT_OK;
	a->since = !holds ? 0 : a->since != 0 ? a->since : now;
	bool wait = a->polled && (holds ? now - a->since < a->steady : a->round < a->until); /* it may have passed while we were stopped */
	if (!wait) {
		char text[JUDGE_TEXT_MAX]; /* the answer ends with the flight */
		(void)snprintf(text, sizeof(text), "%s", answer->text);
		flight_answer(f, answer->result, a->list != NULL ? a->list[a->n + a->i] : 0, text);
		return;
	}
	if (f->effect.kind == EFFECT_VERIFY) {
		struct event event = { .kind = EVENT_POLLED, .unit = f->effect.unit, .step = f->effect.step, .dir = f->effect.dir,
			.attempt = f->effect.attempt, .text = answer->text };
		engine_event(f->x->engine, &event);
	}
	a->k = 0;
	fails_next(f);
}

static void ask_next(struct flight *f)
{
	struct ask *a = f->work;
	if (a->i == 0)
		a->round = loop_boot_ms();
	a->run = ask_one(f, a->probes[a->i], a->polled, on_probe);
}

void ask_probes(struct flight *f, const uint16_t *probes, size_t n, uint64_t within_ms, uint64_t steady_ms)
{
	if (n == 0) {
		flight_answer_later(f, RESULT_OK, NULL);
		return;
	}
	struct ask *a = ask_new(f);
	a->probes = probes;
	a->n = n;
	a->polled = within_ms != 0;
	a->steady = steady_ms;
	a->until = loop_boot_ms() + within_ms;
	a->pause = POLL_FIRST_MS;
	ask_next(f);
}

void ask_verify(struct flight *f, const struct step *step)
{
	ask_probes(f, step->verify, step->n_verify, step->within_ms, step->steady_ms);
	if (step->n_verify == 0)
		return;
	struct ask *a = f->work;
	a->fails = step->fails;
	a->n_fails = step->n_fails;
}

/* ---- what was verified, again ---- */

/* What the window's first step verifies, that the tenants are off, is true while it is open: whichever of its steps verifies it too. */
static bool of_window(const struct stage *stage, uint16_t probe)
{
	for (size_t s = 0; s < stage->n_steps; s++)
		for (size_t i = 0; i < stage->steps[s].n_verify && stage->steps[s].window == WINDOW_OPEN; i++)
			if (stage->steps[s].verify[i] == probe)
				return true;
	return false;
}

/*
 * Of steps that are finished: what they verified in databases and still must be so; in an open window whatever they verified. What waits
 * for the world verified nothing of its own.
 */
void ask_recheck(struct flight *f)
{
	const struct rollout *r = flight_rollout(f);
	const struct unit *u = &r->units[f->effect.unit];
	const struct stage *stage = rollout_stage(r, u);
	bool is_done = u->state == UNIT_DONE || u->state == UNIT_WAITING; /* was, and may be again */
	size_t n_steps = is_done ? stage->n_steps : u->step, n = 0;
	bool closing = is_done || (u->flags & UNIT_WINDOW) == 0 || (u->step < stage->n_steps && stage->steps[u->step].window == WINDOW_CLOSE);
	bool in_window = false;
	uint16_t probes[PROFILE_STEPS_MAX * PROFILE_LIST_MAX], steps[PROFILE_STEPS_MAX * PROFILE_LIST_MAX];
	for (size_t s = 0; s < n_steps; s++) {
		const struct step *step = &stage->steps[s];
		in_window |= step->window == WINDOW_OPEN && (u->flags & UNIT_WINDOW) != 0;
		for (size_t i = 0; i < step->n_verify && step->act.kind != ACTION_NONE; i++) {
			bool is_over = closing && of_window(stage, step->verify[i]);
			if (is_over || (r->profile->probes[step->verify[i]].kind != PROBE_SQL && !in_window))
				continue;
			probes[n] = step->verify[i];
			steps[n++] = (uint16_t)s;
		}
	}
	if (n == 0) {
		flight_answer_later(f, RESULT_OK, NULL);
		return;
	}
	struct ask *a = ask_new(f);
	a->list = memory_need(calloc(2 * n, sizeof(*a->list)));
	memcpy(a->list, probes, n * sizeof(*probes));
	memcpy(a->list + n, steps, n * sizeof(*steps));
	a->probes = a->list;
	a->n = n;
	ask_next(f);
}

/* ---- captures ---- */

static void captures_end(struct flight *f)
{
	struct ask *a = f->work;
	size_t len;
	const char *text = json_text(a->got, &len);
	int64_t n_rows = a->n_rows;
	if (len > CAPTURE_MAX) {
		char why[200];
		(void)snprintf(why, sizeof(why), "the captures of step %s are %zu KiB; at most %d KiB fit the journal", flight_step(f)->name, len >> 10,
			CAPTURE_MAX >> 10);
		flight_answer(f, RESULT_FAILED, n_rows, why);
		return;
	}
	char *copy = memory_need(strdup(text));
	flight_answer(f, RESULT_OK, n_rows, copy);
	free(copy);
}

static void baseline_end(struct flight *f, struct json_object *value)
{
	struct ask *a = f->work;
	struct json_object *baseline = json_object_new_object();
	json_add(baseline, flight_step(f)->name, value);
	json_add(a->got, "baseline", baseline);
	captures_end(f);
}

static void servers_end(struct flight *f)
{
	struct ask *a = f->work;
	if (a->worst != RESULT_OK) {
		char error[sizeof(a->error)];
		memcpy(error, a->error, sizeof(error));
		flight_answer(f, a->worst, 0, error);
		return;
	}
	struct json_object *words = json_object_new_array();
	for (size_t i = 0; i < a->n_words; i++)
		json_object_array_add(words, json_object_new_string(a->words[i].state));
	baseline_end(f, words);
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct word *word = arg;
	struct flight *f = word->f;
	struct ask *a = f->work;
	const struct rollout *r = flight_rollout(f);
	const char *name = r->rows[r->units[f->effect.unit].row].name;
	const char *balancer = r->profile->balancers[flight_step(f)->act.balancer];
	bool reachable = snapshot->reachable && !snapshot->stopping;
	a->calls[word->process] = NULL;
	for (size_t i = 0; reachable && i < snapshot->n_servers; i++)
		if (strcmp(snapshot->servers[i].name, name) == 0)
			word->state = server_state_word(look_server(&snapshot->servers[i]));
	if (word->state == NULL) {
		if (a->worst == RESULT_FAILED)
			goto out; /* one process has no such server: that will not pass, whatever the others say */
		a->worst = reachable ? RESULT_FAILED : RESULT_UNKNOWN;
		(void)snprintf(a->error, sizeof(a->error), "%.60s: %.200s%s%s", site_socket(f->x->site, balancer, word->process),
			reachable ? "there is no server " : snapshot->reachable ? "only an old worker answers" : snapshot->error, reachable ? name : "",
			reachable ? "; is it named as the node?" : "");
	}
out:
	if (--a->n_open == 0)
		servers_end(f);
}

static void baseline_server(struct flight *f)
{
	struct ask *a = f->work;
	const char *balancer = flight_rollout(f)->profile->balancers[flight_step(f)->act.balancer];
	a->n_words = a->n_open = site_processes(f->x->site, balancer);
	for (size_t i = 0; i < a->n_words; i++) {
		a->words[i] = (struct word){ .f = f, .process = i };
		a->calls[i] = site_snapshot(f->x->site, balancer, i, on_snapshot, &a->words[i]);
	}
	if (a->n_words == 0)
		flight_answer_later(f, RESULT_FAILED, "the configuration has no such balancer");
}

static void on_file(void *arg, const struct runner_result *result)
{
	struct flight *f = arg;
	struct ask *a = f->work;
	a->read = NULL;
	if (result->state != RUNNER_EXITED) {
		flight_answer(f, result->state == RUNNER_REFUSED ? RESULT_FAILED : RESULT_UNKNOWN, 0, result->error);
		return;
	}
	char *line = act_line_in(result->out, a->prefix); /* "": there was none */
	baseline_end(f, json_object_new_string(line));
	free(line);
}

static void baseline_edit(struct flight *f)
{
	struct ask *a = f->work;
	const struct rollout *r = flight_rollout(f);
	const struct step *step = flight_step(f);
	struct bind bind = flight_bind(f);
	struct fail fail = { 0 };
	const char *node = step->n_on > 0 && step->on[0] == LANE_ON_SELF ? r->rows[r->units[f->effect.unit].row].name : NULL;
	if (step->n_on != 1 || (step->on[0] != LANE_ON_SELF && step->on[0] != LANE_ON_LOCAL)) {
		flight_answer_later(f, RESULT_FAILED, "a line can only be put back where on = \"self\" or \"local\"");
		return;
	}
	struct runner *runner = site_runner(f->x->site, node, &fail);
	char *file = runner != NULL ? bind_text(&bind, step->act.file, &fail) : NULL;
	a->prefix = file != NULL ? bind_text(&bind, step->act.line, &fail) : NULL;
	if (a->prefix != NULL)
		a->read = runner_read(runner, file, a->prefix, READ_PATIENCE_MS, on_file, f);
	else
		flight_answer_later(f, RESULT_FAILED, fail.text);
	free(file);
}

static void capture_next(struct flight *f);

static void on_captured(void *arg, const struct probe_answer *answer)
{
	struct flight *f = arg;
	struct ask *a = f->work;
	a->run = NULL;
	if (answer->result != RESULT_OK || answer->table == NULL) {
		char text[JUDGE_TEXT_MAX];
		(void)snprintf(text, sizeof(text), "%s", answer->text);
		flight_answer(f, answer->result != RESULT_OK ? answer->result : RESULT_UNKNOWN, 0, text);
		return;
	}
	struct fail fail;
	struct json_object *rows = judge_rows(answer->table, &fail);
	if (rows == NULL) {
		fail_prefix(&fail, "capture %s", flight_step(f)->captures[a->i].name);
		flight_answer(f, RESULT_FAILED, 0, fail.text);
		return;
	}
	json_add(a->got, flight_step(f)->captures[a->i].name, rows);
	a->n_rows += (int64_t)answer->table->n_rows;
	a->i++;
	capture_next(f);
}

static void capture_next(struct flight *f)
{
	struct ask *a = f->work;
	const struct step *step = flight_step(f);
	if (a->i < step->n_captures) {
		int probe = profile_probe(flight_rollout(f)->profile, step->captures[a->i].probe);
		if (probe >= 0)
			a->run = ask_one(f, (size_t)probe, false, on_captured);
		else
			flight_answer_later(f, RESULT_FAILED, "a capture names a probe that the profile does not have");
	} else if (step->undo.restore && step->act.kind == ACTION_SERVER) {
		baseline_server(f);
	} else if (step->undo.restore && step->act.kind == ACTION_EDIT) {
		baseline_edit(f);
	} else {
		captures_end(f);
	}
}

void ask_captures(struct flight *f)
{
	struct ask *a = ask_new(f);
	a->got = json_object_new_object();
	capture_next(f);
}
