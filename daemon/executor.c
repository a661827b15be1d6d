/* SPDX-License-Identifier: MIT */
/* Which part carries which effect out; what a view asks of what is under way; templates that are rendered for it. */
#include "executor.h"

#include "act.h"
#include "hosts.h"
#include "io/loop.h"
#include "io/runner.h"
#include "lines.h"
#include "log.h"
#include "memory.h"
#include "strays.h"
#include "site.h"
#include "watch.h"

#include <errno.h>
#include <string.h>

static void gate_cancel(struct flight *f)
{
	watch_refresh_cancel(f->x->watch, f);
	hosts_refresh_cancel(f->x->hosts, f);
	lines_refresh_cancel(f->x->lines, f);
}

static void gate_probes(void *arg)
{
	struct flight *f = arg;
	const struct rollout *r = flight_rollout(f);
	const struct stage *stage = rollout_stage(r, &r->units[f->effect.unit]);
	f->cancel = NULL;
	ask_probes(f, stage->before, stage->n_before, 0, 0);
}

/* What must be done first must be so still: the lines it set too. */
static void gate_lines(void *arg)
{
	struct flight *f = arg;
	const struct rollout *r = flight_rollout(f);
	if (rollout_stage(r, &r->units[f->effect.unit])->needs != 0)
		lines_refresh(f->x->lines, gate_probes, f);
	else
		gate_probes(f);
}

static void on_gate(void *arg)
{
	struct flight *f = arg;
	watch_refresh(f->x->watch, gate_lines, f);
}

static void gate(struct executor *x, const struct effect *effect)
{
	struct flight *f = flight_new(x, effect);
	f->cancel = gate_cancel;
	hosts_refresh(x->hosts, on_gate, f);
}

static void on_observed(void *arg)
{
	(void)arg; /* EVENT_FACTS, which was told, is the answer */
}

static void act(struct flight *f)
{
	const struct action *action = flight_action(f);
	switch (action->kind) {
	case ACTION_RUN:
		act_run(f);
		return;
	case ACTION_EDIT:
		act_edit(f);
		return;
	case ACTION_SERVER:
		act_server(f);
		return;
	case ACTION_NONE:
	case ACTION_APPROVE:
	case ACTION_WAIT:
		break;
	}
	flight_answer_later(f, RESULT_OK, NULL);
}

static void ask(struct flight *f)
{
	const struct step *step = flight_step(f);
	if (f->effect.dir == DIR_UNDO)
		ask_probes(f, step->undo_unless, step->n_undo_unless, 0, 0);
	else if (step->n_done_when > 0)
		ask_probes(f, step->done_when, step->n_done_when, 0, 0);
	else
		ask_probes(f, step->verify, step->n_verify, 0, 0);
}

static void verify(struct flight *f)
{
	const struct step *step = flight_step(f);
	if (f->effect.dir == DIR_UNDO)
		ask_probes(f, step->undo_verify, step->n_undo_verify, f->effect.resolve ? 0 : step->within_ms, step->steady_ms);
	else if (f->effect.resolve && step->n_done_when > 0)
		ask_probes(f, step->done_when, step->n_done_when, 0, 0);
	else if (f->effect.resolve)
		ask_probes(f, step->verify, step->n_verify, 0, step->steady_ms);
	else
		ask_verify(f, step);
}

static void on_asserted(void *arg, const char *error)
{
	(void)arg;
	if (error != NULL)
		log_say(LOG_AT_WARNING, "a balancer could not be put back: %s; the next look tries again", error);
}

static void put_back(struct executor *x, const struct rollout *r, const struct effect *effect)
{
	static const enum haproxy_want wants[] = { [SERVER_READY] = HAPROXY_READY, [SERVER_DRAIN] = HAPROXY_DRAIN, [SERVER_MAINT] = HAPROXY_MAINT };
	const char *balancer = r->profile->balancers[effect->balancer];
	const struct want *want = r->wants[effect->balancer] != NULL ? &r->wants[effect->balancer][r->rows[effect->row].rank] : NULL;
	if (want == NULL || want->state != effect->want || effect->want == SERVER_UNKNOWN || effect->lane < 0 ||
		(size_t)effect->lane >= site_processes(x->site, balancer))
		return; /* we want something else by now */
	log_say(LOG_AT_NOTICE, "balancer %s: %s %s is to be %s; put back", balancer,
		site_socket(x->site, balancer, (size_t)effect->lane), r->rows[effect->row].name, server_state_word((enum server_state)effect->want));
	(void)site_set(x->site, balancer, (size_t)effect->lane, r->rows[effect->row].name, wants[effect->want], on_asserted, NULL);
}

/* Only what ran on a runner has a record there. */
static void acknowledge(struct executor *x, const struct rollout *r, const struct effect *effect)
{
	const struct stage *stage = rollout_stage(r, &r->units[effect->unit]);
	char id[ACT_ID_MAX];
	bool node = effect->lane >= 0 && (uint32_t)effect->lane < r->n_rows;
	if (effect->step >= stage->n_steps || (!node && effect->lane != LANE_LOCAL))
		return;
	struct runner *runner = site_runner(x->site, node ? r->rows[effect->lane].name : NULL, NULL);
	act_id(r, effect, id);
	if (runner != NULL)
		runner_ack(runner, id);
}

void executor_perform(struct executor *x, struct rollout *r, const struct effect *effect)
{
	switch (effect->kind) {
	case EFFECT_GATE:
		gate(x, effect);
		return;
	case EFFECT_OBSERVE:
		watch_refresh(x->watch, on_observed, x);
		return;
	case EFFECT_ASK:
		ask(flight_new(x, effect));
		return;
	case EFFECT_ORPHANS:
		orphans_look(flight_new(x, effect));
		return;
	case EFFECT_KILL:
		orphans_kill(flight_new(x, effect));
		return;
	case EFFECT_CAPTURE:
		ask_captures(flight_new(x, effect));
		return;
	case EFFECT_ACT:
		act(flight_new(x, effect));
		return;
	case EFFECT_VERIFY:
		verify(flight_new(x, effect));
		return;
	case EFFECT_RECHECK:
		ask_recheck(flight_new(x, effect));
		return;
	case EFFECT_ACK:
		acknowledge(x, r, effect);
		return;
	case EFFECT_ASSERT:
		put_back(x, r, effect);
		return;
	case EFFECT_ENDED:
		log_say(LOG_AT_NOTICE, "rollout %u is over: %s", r->id, rollout_state_word(r->state));
		strays_look(x->strays); /* an acknowledgement that was lost would leave its record there for ever */
		return;
	}
}

/* ---- the text of an action, before it is sent ---- */

static void put_word(FILE *stream, const char *word)
{
	bool plain = word[0] != '\0' && strpbrk(word, " \t\n\"'\\$&|;<>*?#()`") == NULL;
	bool secret = strncmp(word, "${secret.", 9) == 0;
	if (plain || secret) {
		(void)fputs(word, stream);
		return;
	}
	const char *equals = strchr(word, '=');
	if (equals != NULL && strncmp(equals + 1, "${secret.", 9) == 0 && strpbrk(word, " '") == NULL) {
		(void)fputs(word, stream);
		return;
	}
	(void)fputc('\'', stream);
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			(void)fputs("'\\''", stream);
		else
			(void)fputc(*word, stream);
	}
	(void)fputc('\'', stream);
}

static int put_list(FILE *stream, struct bind *bind, char *const *list, struct fail *fail)
{
	char **bound = bind_list(bind, list, fail);
	if (bound == NULL)
		return -EINVAL;
	for (size_t i = 0; bound[i] != NULL; i++) {
		put_word(stream, bound[i]);
		(void)fputc(' ', stream);
	}
	bind_list_free(bound);
	return 0;
}

static int put_run(FILE *stream, struct bind *bind, const struct action *action, struct fail *fail)
{
	char *cwd = action->cwd != NULL ? bind_text(bind, action->cwd, fail) : NULL;
	if (action->cwd != NULL && cwd == NULL)
		return -EINVAL;
	if (cwd != NULL) {
		(void)fputs("cd ", stream);
		put_word(stream, cwd);
		(void)fputs(" && ", stream);
	}
	free(cwd);
	return put_list(stream, bind, action->env, fail) == 0 ? put_list(stream, bind, action->argv, fail) : -EINVAL;
}

static int put_edit(FILE *stream, struct bind *bind, const struct action *action, struct fail *fail)
{
	char *file = bind_text(bind, action->file, fail);
	char *line = file != NULL ? bind_text(bind, action->line, fail) : NULL;
	char *to = line != NULL && !action->restore ? bind_text(bind, action->to, fail) : NULL;
	int rc = line != NULL && (to != NULL || action->restore) ? 0 : -EINVAL;
	if (rc == 0)
		(void)fprintf(stream, "edit %s: %s%s", file, line, action->restore ? " back as it was" : to);
	free(file);
	free(line);
	free(to);
	return rc;
}

static int put_action(FILE *stream, struct bind *bind, const struct action *action, struct fail *fail)
{
	const char *balancer = bind->profile->balancers[action->balancer];
	switch (action->kind) {
	case ACTION_RUN:
		return put_run(stream, bind, action, fail);
	case ACTION_EDIT:
		return put_edit(stream, bind, action, fail);
	case ACTION_SERVER:
		(void)fprintf(stream, "%s/%s -> %s", balancer, bind->row->name, action->restore ? "as it was" : server_state_word(action->want));
		return 0;
	case ACTION_WAIT:
		(void)fprintf(stream, "wait %llu s", (unsigned long long)action->wait_ms / 1000);
		return 0;
	case ACTION_NONE:
	case ACTION_APPROVE:
		break;
	}
	return 0;
}

/* FNV-1a. */
static uint64_t hash(const char *text)
{
	uint64_t h = 14695981039346656037u;
	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

static void on_tidy(void *arg)
{
	struct executor *x = arg;
	while (x->n_rendered > 0)
		free(x->rendered[--x->n_rendered]);
}

void executor_render(struct executor *x, const struct rollout *r, struct record *intent)
{
	struct bind bind;
	struct fail fail;
	char *text;
	size_t size;
	const struct stage *stage = rollout_stage(r, &r->units[intent->unit]);
	if (intent->step >= stage->n_steps)
		return;
	const struct action *action = intent->dir == DIR_UNDO ? &stage->steps[intent->step].undo : &stage->steps[intent->step].act;
	FILE *stream = memory_need(open_memstream(&text, &size));
	flight_bind_init(x, r, intent->unit, intent->lane, &bind);
	if (put_action(stream, &bind, action, &fail) != 0)
		(void)fprintf(stream, "cannot be said: %s", fail.text);
	(void)fclose(stream);
	if (size > 0 && text[size - 1] == ' ')
		text[size - 1] = '\0';
	if (size >= RECORD_TEXT_MAX)
		text[RECORD_TEXT_MAX - 1] = '\0';
	if (x->n_rendered == x->max_rendered) {
		x->max_rendered = x->max_rendered ? x->max_rendered * 2 : 16;
		x->rendered = memory_need(realloc(x->rendered, x->max_rendered * sizeof(char *)));
	}
	x->rendered[x->n_rendered++] = text; /* the engine has handed the batch on before the loop turns */
	loop_timer_set(x->tidy, 0);
	intent->text = text;
	intent->hash = hash(text);
}

/* ---- life ---- */

/* A unit that is not under way any more acts no more. What runs on a runner goes on there, and is asked for again if it is taken up. */
static void flights_end_of(struct executor *x, const struct rollout *r, const struct record *rec)
{
	for (struct flight *f = x->flights, *next; f != NULL; f = next) {
		next = f->next;
		if (f->effect.kind != EFFECT_ACT || f->effect.unit != rec->unit || rec->unit >= r->n_units)
			continue;
		if (rec->code == UNIT_FENCED || flight_action(f)->kind == ACTION_SERVER)
			flight_free(f);
	}
}

static void flights_end(struct executor *x)
{
	while (x->flights != NULL)
		flight_free(x->flights);
}

void executor_applied(struct executor *x, const struct rollout *r, const struct record *rec)
{
	if (rec->kind == RECORD_START) {
		flights_end(x); /* of a rollout that is gone */
		watch_forget(x->watch);
		hosts_forget(x->hosts);
		lines_forget(x->lines);
	}
	if (rec->kind == RECORD_UNIT && rec->code != UNIT_RUNNING && rec->code != UNIT_UNDOING && x->engine != NULL && engine_rollout(x->engine) == r)
		flights_end_of(x, r, rec);
	captures_applied(&x->captures, r, rec);
	lines_applied(x->lines, r, rec);
	strays_applied(x->strays, r, rec);
}

struct executor *executor_new(struct loop *loop, struct site *site, struct fail *fail)
{
	(void)fail;
	struct executor *x = memory_need(calloc(1, sizeof(*x)));
	x->loop = loop;
	x->site = site;
	x->watch = watch_new(site);
	x->strays = strays_new(site);
	x->hosts = hosts_new(site);
	x->lines = lines_new(x);
	x->tidy = loop_timer_new(loop, on_tidy, x);
	return x;
}

void executor_free(struct executor *x)
{
	if (x == NULL)
		return;
	flights_end(x);
	lines_free(x->lines);
	watch_free(x->watch);
	strays_free(x->strays);
	hosts_free(x->hosts);
	on_tidy(x);
	loop_timer_free(x->tidy);
	free(x->rendered);
	captures_done(&x->captures);
	orphans_done(x);
	free(x);
}

void executor_engine(struct executor *x, struct engine *engine)
{
	x->engine = engine;
	watch_engine(x->watch, engine);
	strays_engine(x->strays, engine);
	hosts_engine(x->hosts, engine);
}

void executor_watch(struct executor *x, bool on)
{
	watch_on(x->watch, on);
	hosts_on(x->hosts, on);
	lines_on(x->lines, on);
}

const char *executor_balancer_error(const struct executor *x, const char *balancer)
{
	return watch_error(x->watch, balancer);
}

void executor_look_back(struct executor *x)
{
	strays_look(x->strays);
}

const char *executor_stray(const struct executor *x, size_t i)
{
	return strays_text(x->strays, i);
}

const char *executor_trouble(const struct executor *x, uint32_t unit, char *buf, size_t size)
{
	buf[0] = '\0';
	for (struct flight *f = x->flights; f != NULL && buf[0] == '\0'; f = f->next) {
		if (f->effect.kind == EFFECT_ACT && f->effect.unit == unit && f->trouble != NULL)
			(void)f->trouble(f, buf, size);
	}
	return buf;
}

const char *executor_doing(const struct executor *x, uint32_t unit, char *buf, size_t size)
{
	buf[0] = '\0';
	for (struct flight *f = x->flights; f != NULL && buf[0] == '\0'; f = f->next) {
		if (f->effect.kind == EFFECT_ACT && f->effect.unit == unit && f->doing != NULL)
			(void)f->doing(f, buf, size);
	}
	return buf;
}

const char *executor_captures(const struct executor *x, uint32_t unit)
{
	return captures_text(&x->captures, unit);
}
