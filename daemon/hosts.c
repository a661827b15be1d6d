/* SPDX-License-Identifier: MIT */
/*
 * A look is two statements that every server of the family understands for every account: SHOW GLOBAL VARIABLES and the uptime. It is
 * short of time on purpose: a server that needs seconds for them cannot be worked either.
 */
#include "hosts.h"

#include "config.h"
#include "core/facts.h"
#include "engine.h"
#include "io/loop.h"
#include "io/sql.h"
#include "log.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 3000, EXACT_MS = 1000 };

struct eye {
	struct hosts *hosts;
	struct eye *next;
	const char *name;        /* borrowed from the configuration */
	bool is_database;
	uint32_t index;          /* number of the host; place in facts.databases */
	struct sql *sql;         /* owned */
	struct sql_query *query;
	bool running, again;
	uint64_t began, looked;  /* boot ms: of the look at hand; of the last finished one */
	uint64_t asked;          /* boot ms: for the uptime */
	bool read_only;
	char which[200], told[200]; /* the server that answers; as it was told to the engine */
	int64_t started, told_started;
};

struct waiter {
	struct waiter *next;
	hosts_fn *fn;
	void *arg;
	uint64_t since;
};

struct hosts {
	struct site *site;
	struct engine *engine;
	struct eye *eyes;        /* owned */
	struct waiter *waiters;
	struct loop_timer *timer, *waiters_timer;
	uint32_t rollout, of_rows;
	bool on;
};

static void eye_look(struct eye *eye);

static struct rollout *rollout_of(const struct hosts *h)
{
	struct rollout *r = h->engine != NULL ? engine_rollout(h->engine) : NULL;
	return r != NULL && r->state != ROLLOUT_PLANNING ? r : NULL;
}

/* ---- one look ---- */

static void eye_done(struct eye *eye, bool away, const char *error)
{
	size_t len = strlen(eye->name);
	if (error != NULL && strncmp(error, eye->name, len) == 0 && strncmp(error + len, ": ", 2) == 0)
		error += len + 2; /* it is said with it each time */
	struct hosts *h = eye->hosts;
	struct rollout *r = rollout_of(h);
	eye->running = false;
	eye->looked = eye->began;
	struct fact_host *fact = facts_host(r, eye->is_database, eye->index, eye->name);
	int64_t since = fact->since_ms;
	bool was_away = fact->away, was_read_only = fact->read_only;
	bool changed = facts_host_seen(fact, eye->began, loop_wall_ms(), away, eye->read_only && !away, error);
	if (away && !was_away)
		log_say(LOG_AT_WARNING, "database server %s cannot be reached: %s; what depends on it waits", eye->name, error);
	else if (!away && was_away)
		log_say(LOG_AT_NOTICE, "database server %s answers again after %lld s", eye->name, (long long)(loop_wall_ms() - since) / 1000);
	if (!away && eye->read_only != was_read_only)
		log_say(LOG_AT_WARNING, "database server %s is %s", eye->name, eye->read_only ? "read-only: nothing is changed on it" : "no longer read-only");
	if (h->waiters != NULL)
		loop_timer_set(h->waiters_timer, 0);
	bool tell = !away && eye->started != 0 && (strcmp(eye->which, eye->told) != 0 || eye->started != eye->told_started);
	if (tell) {
		struct event event = { .kind = EVENT_HOST, .host = eye->is_database ? 0 : (uint16_t)eye->index, .row = eye->index, .text = eye->which,
			.value = eye->started };
		(void)snprintf(eye->told, sizeof(eye->told), "%s", eye->which);
		eye->told_started = eye->started;
		engine_event(h->engine, &event);
	}
	if (changed) {
		struct event event = { .kind = EVENT_FACTS };
		engine_event(h->engine, &event);
	}
	if (eye->again)
		eye_look(eye);
}

static const char *value_of(const struct sql_result *result, const char *name)
{
	for (size_t i = 0; i < result->n_rows && result->n_columns == 2; i++)
		if (result->cells[2 * i] != NULL && strcasecmp(result->cells[2 * i], name) == 0)
			return result->cells[2 * i + 1] != NULL ? result->cells[2 * i + 1] : "";
	return "";
}

static void on_uptime(void *arg, const struct sql_result *result)
{
	struct eye *eye = arg;
	eye->query = NULL;
	uint64_t took = loop_boot_ms() - eye->asked;
	if (result->outcome == SQL_OK && took < EXACT_MS) /* else it would not be known to the second */
		eye->started = (int64_t)eye->asked - strtoll(value_of(result, "Uptime"), NULL, 10) * 1000;
	eye_done(eye, result->outcome != SQL_OK, result->error);
}

static void on_variables(void *arg, const struct sql_result *result)
{
	struct eye *eye = arg;
	eye->query = NULL;
	if (result->outcome != SQL_OK) {
		eye_done(eye, true, result->error);
		return;
	}
	const char *read_only = value_of(result, "read_only"), *uid = value_of(result, "server_uuid");
	if (uid[0] == '\0')
		uid = value_of(result, "server_uid");
	eye->read_only = read_only[0] != '\0' && strcasecmp(read_only, "OFF") != 0 && strcmp(read_only, "0") != 0;
	(void)snprintf(eye->which, sizeof(eye->which), "%.80s:%.8s, server_id %.12s%s%.64s", value_of(result, "hostname"), value_of(result, "port"),
		value_of(result, "server_id"), uid[0] != '\0' ? ", " : "", uid);
	eye->asked = loop_boot_ms();
	eye->query = sql_run(eye->sql, "SHOW GLOBAL STATUS LIKE 'Uptime'", NULL, 0, LOOK_MS, on_uptime, eye);
}

static void eye_look(struct eye *eye)
{
	if (eye->running) {
		eye->again = true;
		return;
	}
	eye->running = true;
	eye->again = false;
	eye->began = loop_boot_ms();
	eye->query = sql_run(eye->sql, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('hostname', 'port', 'server_id', 'server_uuid', 'server_uid', 'read_only')",
		NULL, 0, LOOK_MS, on_variables, eye);
}

/* ---- which servers ---- */

static void eye_add(struct hosts *h, bool is_database, uint32_t index, const struct sql_server *server)
{
	struct fail fail;
	for (const struct eye *eye = h->eyes; eye != NULL; eye = eye->next)
		if (eye->is_database == is_database && eye->index == index)
			return;
	struct sql *sql = sql_new(site_loop(h->site), server, &fail);
	if (sql == NULL)
		return; /* its probes say so */
	struct eye *eye = memory_need(calloc(1, sizeof(*eye)));
	*eye = (struct eye){ .hosts = h, .next = h->eyes, .name = server->name, .is_database = is_database, .index = index, .sql = sql };
	h->eyes = eye;
	(void)facts_host(rollout_of(h), is_database, index, server->name);
}

static bool is_named(const struct profile *p, const char *database)
{
	for (size_t i = 0; i < p->n_sets; i++)
		if (p->sets[i].database != NULL && strcmp(p->sets[i].database, database) == 0)
			return true;
	for (size_t i = 0; i < p->n_probes; i++)
		if (p->probes[i].kind == PROBE_SQL && strcmp(p->probes[i].target, database) == 0)
			return true;
	return false;
}

/* The databases that the profile names, and the hosts that rows live on; rows may join. */
static bool eyes_open(struct hosts *h)
{
	const struct rollout *r = rollout_of(h);
	const struct config *config = site_config(h->site);
	if (r == NULL)
		return false;
	if (h->rollout == r->id && h->of_rows == r->n_rows)
		return true;
	if (h->rollout != r->id)
		hosts_forget(h);
	h->rollout = r->id;
	h->of_rows = r->n_rows;
	for (uint32_t i = 0; i < config->n_databases; i++)
		if (is_named(r->profile, config->databases[i].name))
			eye_add(h, true, i, &(struct sql_server){ .name = config->databases[i].name, .option_file = config->databases[i].option_file,
				.group = config->databases[i].group, .connections = 1 });
	for (uint32_t i = 0; i < r->n_rows; i++) {
		uint16_t number = r->rows[i].host;
		if (number == 0 || number > config->n_hosts)
			continue;
		const struct config_host *host = &config->hosts[number - 1];
		eye_add(h, false, number, &(struct sql_server){ .name = host->name, .option_file = host->option_file, .group = host->group, .connections = 1 });
	}
	return true;
}

void hosts_forget(struct hosts *h)
{
	while (h->eyes != NULL) {
		struct eye *eye = h->eyes;
		h->eyes = eye->next;
		sql_free(eye->sql);
		free(eye);
	}
	while (h->waiters != NULL) {
		struct waiter *waiter = h->waiters;
		h->waiters = waiter->next;
		free(waiter);
	}
	h->rollout = h->of_rows = 0;
}

/* ---- pace ---- */

static void on_timer(void *arg)
{
	struct hosts *h = arg;
	loop_timer_set(h->timer, (uint64_t)site_config(h->site)->observe_ms);
	if (!eyes_open(h))
		return;
	for (struct eye *eye = h->eyes; eye != NULL; eye = eye->next)
		if (!eye->running)
			eye_look(eye);
}

static bool all_looked_since(const struct hosts *h, uint64_t since)
{
	for (const struct eye *eye = h->eyes; eye != NULL; eye = eye->next)
		if (eye->looked < since || eye->looked == 0)
			return false;
	return true;
}

static void on_waiters(void *arg)
{
	struct hosts *h = arg;
	for (struct waiter **at = &h->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (!all_looked_since(h, waiter->since)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->fn(waiter->arg); /* may add waiters, or end others */
		free(waiter);
		at = &h->waiters;
	}
}

void hosts_refresh(struct hosts *h, hosts_fn *fn, void *arg)
{
	struct waiter *waiter = memory_need(calloc(1, sizeof(*waiter)));
	bool open = eyes_open(h);
	*waiter = (struct waiter){ .next = h->waiters, .fn = fn, .arg = arg, .since = loop_boot_ms() };
	h->waiters = waiter;
	for (struct eye *eye = open ? h->eyes : NULL; eye != NULL; eye = eye->next)
		eye_look(eye);
	loop_timer_set(h->waiters_timer, 0);
}

void hosts_refresh_cancel(struct hosts *h, void *arg)
{
	for (struct waiter **at = &h->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (waiter->arg != arg) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
}

struct hosts *hosts_new(struct site *site)
{
	struct hosts *h = memory_need(calloc(1, sizeof(*h)));
	h->site = site;
	h->timer = loop_timer_new(site_loop(site), on_timer, h);
	h->waiters_timer = loop_timer_new(site_loop(site), on_waiters, h);
	return h;
}

void hosts_free(struct hosts *h)
{
	if (h == NULL)
		return;
	hosts_forget(h);
	loop_timer_free(h->timer);
	loop_timer_free(h->waiters_timer);
	free(h);
}

void hosts_engine(struct hosts *h, struct engine *engine)
{
	h->engine = engine;
}

void hosts_on(struct hosts *h, bool on)
{
	if (on && !h->on)
		loop_timer_set(h->timer, 0);
	else if (!on)
		loop_timer_clear(h->timer);
	h->on = on;
}
