/* SPDX-License-Identifier: MIT */
/*
 * The real views over the simulated engine. What they need beside it is made up here: calls without a socket, a loop that never runs, the
 * simulated journal, and a site that always has something to complain of.
 */
#include "ask.h"

#include "ctl/render.h"
#include "daemon/control.h"
#include "daemon/discover.h"
#include "daemon/params_ask.h"
#include "daemon/executor.h"
#include "daemon/io/loop.h"
#include "daemon/io/store.h"
#include "daemon/site.h"
#include "daemon/views.h"
#include "proto/json.h"
#include "sim_parts.h"

#include <stdlib.h>
#include <string.h>

enum { REPLY_MAX = 1 << 20, PAGE = 3, EVERYTHING = 64, IDLE = 16 };

struct store {
	struct sim *sim;
};

struct ask {
	struct sim *sim;
	struct engine *engine;
	struct views *views;
	struct store store;
	uint32_t n_asked, n_idle;
	size_t n_seen; /* records */
	FILE *paper; /* where nobody reads */
};

struct control_call {
	struct ask *ask;
	const struct method *method;
	struct json_object *args;
	render_fn *render;
	unsigned answers, errors;
};

/* ---- a call ---- */

const struct method *control_call_method(const struct control_call *call)
{
	return call->method;
}

struct json_object *control_call_args(const struct control_call *call)
{
	return call->args;
}

const char *control_call_actor(const struct control_call *call)
{
	return "uid=0(root) pid=1";
}

uid_t control_call_uid(const struct control_call *call)
{
	return 0;
}

const char *control_call_user(const struct control_call *call)
{
	return "root";
}

enum role control_call_role(const struct control_call *call)
{
	return ROLE_ADMIN;
}

bool control_call_wants_more(const struct control_call *call)
{
	return false;
}

void control_call_on_gone(struct control_call *call, control_gone_fn *fn, void *arg)
{
}

void control_reply(struct control_call *call, struct json_object *params, bool continues)
{
	struct fail fail = { .text = "" };
	size_t len = 0;
	json_cleanup struct json_object *reply = params != NULL ? params : json_object_new_object();
	const char *text = json_text(reply, &len);
	call->answers++;
	if (len >= REPLY_MAX)
		world_broken(&call->ask->sim->world, "%s answers with %zu bytes", call->method->name, len);
	json_cleanup struct json_object *read = json_parse(text, len, &fail);
	if (read == NULL)
		world_broken(&call->ask->sim->world, "%s answers what nobody can read: %s", call->method->name, fail.text);
	else
		call->render(call->ask->paper, read);
}

void control_error(struct control_call *call, const char *name, struct json_object *params)
{
	json_object_put(params);
	call->errors++;
}

void control_error_text(struct control_call *call, const char *name, const char *text)
{
	call->errors++;
}

/* ---- what the views have beside the engine ---- */

int store_read(struct store *store, uint64_t after, uint32_t unit_or_all, size_t max, store_fold_fn *fn, void *arg, struct fail *fail)
{
	const struct sim *s = store->sim;
	size_t n = 0;
	for (size_t i = (size_t)after; i < s->n_durable && n < max && n < STORE_READ_MAX; i++) {
		if (unit_or_all != RECORD_NO_UNIT && s->journal[i].unit != unit_or_all)
			continue;
		n++;
		int rc = fn(arg, &s->journal[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

size_t site_processes(const struct site *site, const char *balancer)
{
	return 2;
}

const char *executor_balancer_error(const struct executor *executor, const char *balancer)
{
	return strcmp(balancer, "secondary") == 0 ? "lb2: no answer for 4 s" : NULL;
}

const char *executor_stray(const struct executor *executor, size_t i)
{
	return i == 0 ? "ox1: task r7-1/work/ox1/run/ox1/do/1/9 still runs, and nobody waits for it: rollout 7 is over" : NULL;
}

const char *executor_trouble(const struct executor *executor, uint32_t unit, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", unit % 2 == 0 ? "ox1: the runner does not answer" : "");
	return buf;
}

const char *executor_doing(const struct executor *executor, uint32_t unit, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", unit % 3 == 1 ? "shedding 50 sessions a second, 340 left" : "");
	return buf;
}

const char *executor_captures(const struct executor *executor, uint32_t unit)
{
	return unit % 2 == 0 ? "{\"before\":[1,2]}" : NULL;
}

struct discovery *discover_start(struct site *site, const struct profile *profile, bool check, discover_fn *fn, void *arg)
{
	abort(); /* nobody asks for it */
}

void discover_cancel(struct discovery *discovery)
{
}

struct params_ask *params_ask_start(struct site *site, const struct profile *profile, params_ask_fn *fn, void *arg)
{
	(void)site;
	(void)profile;
	(void)fn;
	(void)arg;
	return NULL;
}

void params_ask_cancel(struct params_ask *ask)
{
	(void)ask;
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	return NULL;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms)
{
}

void loop_timer_clear(struct loop_timer *timer)
{
}

void loop_timer_free(struct loop_timer *timer)
{
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned mask, loop_fd_fn *fn, void *arg)
{
	abort();
}

void loop_fd_free(struct loop_fd *watch)
{
}

static const struct sim *now_of; /* whose time it is */

uint64_t loop_boot_ms(void)
{
	return now_of->world.now;
}

int64_t loop_wall_ms(void)
{
	return (int64_t)now_of->world.now + SIM_WALL + now_of->wall_step_ms;
}

/* ---- asking ---- */

static void ask_one(struct ask *ask, const char *method, render_fn *render, const char *key, const char *value)
{
	json_cleanup struct json_object *args = json_object_new_object();
	if (key != NULL)
		json_add_str(args, key, value);
	if (strcmp(method, "ListUnits") == 0 && key != NULL)
		json_add_int(args, "limit", PAGE);
	struct control_call call = { .ask = ask, .method = method_find(method), .args = args, .render = render };
	views_handle(ask->views, &call);
	bool has_rollout = engine_rollout(ask->engine) != NULL;
	if (call.answers + call.errors != 1 || (call.errors != 0 && has_rollout))
		world_broken(&ask->sim->world, "%s %s: %u answers, %u errors", method, value != NULL ? value : "", call.answers, call.errors);
}

static void ask_unit(struct ask *ask, const struct rollout *r, uint32_t unit)
{
	char name[300];
	(void)rollout_unit_name(r, unit, name, sizeof(name));
	ask_one(ask, "Explain", (unit + ask->n_asked) % 2 == 0 ? render_text.explain : render_text.show, "unit", name);
	ask_one(ask, "ListUnits", render_text.units, "after", name);
}

void ask_now(struct ask *ask)
{
	const struct rollout *r = engine_rollout(ask->engine);
	now_of = ask->sim;
	if (ask->n_seen == ask->sim->n_journal && ++ask->n_idle % IDLE != 0)
		return;
	ask->n_seen = ask->sim->n_journal;
	ask_one(ask, "Status", render_text.status, NULL, NULL);
	if (r != NULL && r->n_units > 0)
		ask_unit(ask, r, ask->n_asked % r->n_units);
	if (ask->n_asked++ % EVERYTHING != 0)
		return;
	ask_one(ask, "ListUnits", render_text.units, NULL, NULL);
	ask_one(ask, "Log", render_text.log, NULL, NULL);
	ask_one(ask, "History", render_text.history, NULL, NULL);
	for (uint32_t i = 0; r != NULL && i < r->n_units; i++)
		ask_unit(ask, r, i);
}

void ask_applied(struct ask *ask, const struct rollout *rollout, const struct record *record)
{
	now_of = ask->sim;
	views_applied(ask->views, rollout, record);
}

struct ask *ask_new(struct sim *sim, struct engine *engine)
{
	static char something; /* for what is only handed on to the functions above */
	struct ask *ask = calloc(1, sizeof(*ask));
	if (ask == NULL)
		abort();
	*ask = (struct ask){ .sim = sim, .engine = engine, .store = { sim }, .paper = fopen("/dev/null", "we") };
	const struct views_options options = { .store = &ask->store, .engine = engine, .site = (struct site *)&something,
		.executor = (struct executor *)&something };
	ask->views = views_new(&options);
	if (ask->paper == NULL)
		abort();
	return ask;
}

void ask_free(struct ask *ask)
{
	if (ask == NULL)
		return;
	views_stop(ask->views);
	views_free(ask->views);
	(void)fclose(ask->paper);
	free(ask);
}
