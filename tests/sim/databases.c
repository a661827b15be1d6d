/* SPDX-License-Identifier: MIT */
/*
 * The database servers: away for a while, begun anew, read-only, or another one under the same name that never got the last commits. Number
 * 0 is configdb, the others are where schemata live. What a daemon sees of them is what hosts.c would see.
 */
#include "daemon/core/facts.h"
#include "plain.h"
#include "sim_parts.h"

#include <stdio.h>
#include <string.h>

static const char *const names[WORLD_HOSTS] = { "configdb", "db1", "db2" };

static bool is_away(const struct world *w, unsigned host)
{
	return w->now < w->hosts[host].away_until;
}

static unsigned host_of(const struct rollout *r, const struct unit *u)
{
	uint16_t number = r->rows[u->row].host;
	return number < WORLD_HOSTS ? number : 0;
}

static bool writes(const struct sim *s, const struct rollout *r, const struct unit *u, const struct action *act)
{
	if (s->world.plain != NULL)
		return act->kind == ACTION_RUN && world_node(&s->world, r, u->row) == NULL;
	return act->kind == ACTION_RUN && strstr(act->argv[0], "param.sbin") != NULL && strstr(act->argv[0], "reloadconfiguration") == NULL;
}

const struct world_host *databases_refuse(const struct sim *s, const struct rollout *r, const struct unit *u, const struct action *act, uint64_t since)
{
	const struct world *w = &s->world;
	unsigned mine = host_of(r, u);
	for (unsigned i = 0; i < w->n_hosts && writes(s, r, u, act); i++) {
		const struct world_host *host = &w->hosts[i];
		if ((i == 0 || i == mine) && (is_away(w, i) || w->now < host->read_only_until || (since != 0 && host->gone_at >= since)))
			return host;
	}
	return NULL;
}

bool databases_answer(const struct sim *s, const struct rollout *r, const struct unit *u, const struct probe *probe, unsigned *cause)
{
	if (probe->kind != PROBE_SQL || strncmp(probe->target, "replicas:", 9) == 0)
		return true;
	unsigned host = s->world.n_hosts > 1 && strncmp(probe->target, "host:", 5) == 0 ? host_of(r, u) : 0;
	if (!is_away(&s->world, host))
		return true;
	*cause = s->world.hosts[host].cause;
	return false;
}

void databases_look(struct sim *s, struct daemon *d)
{
	struct rollout *r = engine_rollout(d->engine);
	for (unsigned i = 0; i < s->world.n_hosts; i++) {
		struct world_host *host = &s->world.hosts[i];
		bool away = is_away(&s->world, i);
		char which[32];
		struct fact_host *fact = facts_host(r, i == 0, i, names[i]);
		bool changed = facts_host_seen(fact, s->world.now, (int64_t)s->world.now + SIM_WALL, away, !away && s->world.now < host->read_only_until, "away");
		if (!away && d->told[i] != host->server * 65536 + host->n_begun + 1) {
			struct event ev = { .kind = EVENT_HOST, .host = (uint16_t)i, .row = i, .text = which, .value = host->began };
			d->told[i] = host->server * 65536 + host->n_begun + 1;
			(void)snprintf(which, sizeof(which), "server %u", host->server);
			engine_event(d->engine, &ev);
		} else if (changed) {
			struct event ev = { .kind = EVENT_FACTS };
			engine_event(d->engine, &ev);
		}
	}
}

/* ---- what befalls them ---- */

static void goes(struct sim *s, unsigned host, uint64_t ms, bool anew, uint16_t cause)
{
	struct world_host *h = &s->world.hosts[host];
	sim_say(s, "%s is away for %.1f s", names[host], (double)ms / 1000);
	h->gone_at = s->world.now;
	h->away_until = s->world.now + ms;
	h->cause = cause;
	if (anew) {
		h->began = (int64_t)h->away_until;
		h->n_begun++;
	}
}

/* Of one of its schemata what was committed last is not there: its repoint, its disable or enable; on its own server its tasks. */
static void forgets(struct sim *s, unsigned host, uint32_t a, uint32_t b, uint16_t cause)
{
	struct world *w = &s->world;
	for (uint32_t i = 0; i < w->n_schemata; i++) {
		struct world_schema *schema = &w->schemata[(a + i) % w->n_schemata];
		if (schema->tenants == 0 || (host != 0 && (schema->host != host || !schema->tasks_done)) || (host == 0 && !schema->owner_new))
			continue;
		schema->cause = cause;
		schema->lost = true;
		if (host != 0) {
			schema->tasks_done = false;
			schema->busy_until = 0;
			sim_say(s, "the tasks of %s are lost", schema->name);
		} else if (b % 3 != 0) {
			schema->enabled = !schema->enabled;
			schema->unseen = schema->enabled;
			if (schema->haunted_until < w->hosts[0].away_until + 60000) /* what is under way there may come later still */
				schema->haunted_until = w->hosts[0].away_until + 60000;
			sim_say(s, "%s is %s", schema->name, schema->enabled ? "enabled again" : "disabled again");
		} else {
			schema->owner_new = false;
			schema->late = true;
			sim_say(s, "%s belongs to the old fleet again", schema->name);
		}
		return;
	}
}

void databases_strike(struct sim *s, enum trouble_kind kind, uint32_t a, uint32_t b, uint16_t cause)
{
	if (s->world.n_hosts == 0)
		return;
	unsigned host = a % s->world.n_hosts;
	if (kind == TROUBLE_DATABASE) {
		goes(s, host, 200 + b % 90000, b % 2 == 0, cause);
	} else if (kind == TROUBLE_READ_ONLY) {
		s->world.hosts[host].read_only_until = s->world.now + 1000 + b % 60000;
		s->world.hosts[host].cause = cause;
		sim_say(s, "%s is read-only", names[host]);
	} else {
		goes(s, host, 1000 + b % 15000, true, cause);
		s->world.hosts[host].server++;
		if (s->world.plain != NULL && sim_rollout(s) != NULL)
			plain_lose(&s->world, sim_rollout(s), cause);
		forgets(s, host, a >> 4, b >> 4, cause);
	}
}

void sim_failover(struct sim *s, const char *schema)
{
	for (uint32_t i = 0; i < s->world.n_schemata; i++) {
		struct world_schema *lost = &s->world.schemata[i];
		if (strcmp(lost->name, schema) != 0)
			continue;
		lost->lost = true;
		lost->tasks_done = false;
		s->world.hosts[lost->host].server++;
		s->world.hosts[lost->host].began = (int64_t)s->world.now;
	}
}
