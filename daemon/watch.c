/* SPDX-License-Identifier: MIT */
/*
 * An eye looks at one thing and never twice at once. Each remembers when its last finished look began; a refresh asked for at T is over
 * when every eye has one that began at or after T, so any number of askers share at most two looks: the one under way and one after it.
 *
 * Fail closed: a process that does not answer makes its balancer unknown (servers_at = 0), a database that does not answer its set.
 */
#include "watch.h"

#include "watch_parts.h"

#include "config.h"
#include "engine.h"
#include "io/loop.h"
#include "io/sql.h"
#include "log.h"
#include "memory.h"
#include "probe.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

struct rollout *watch_rollout(const struct watch *w)
{
	struct rollout *r = w->engine != NULL ? engine_rollout(w->engine) : NULL;
	return r != NULL && r->state != ROLLOUT_PLANNING ? r : NULL;
}

void watch_tell_facts(struct watch *w)
{
	struct event event = { .kind = EVENT_FACTS };
	engine_event(w->engine, &event);
}

/* ---- eyes ---- */

static void eye_look(struct eye *eye)
{
	struct watch *w = eye->watch;
	struct rollout *r = watch_rollout(w);
	if (eye->running) {
		eye->again = true;
		return;
	}
	eye->running = true;
	eye->again = false;
	eye->began = loop_boot_ms();
	eye->changed = false;
	if (!eye->is_set) {
		eye_look_balancer(eye, r);
	} else if (r->profile->sets[eye->index].from == SET_SQL) {
		eye_look_rows(eye, r);
	} else if (r->profile->sets[eye->index].from == SET_PATH) {
		eye_look_level(eye, r);
	} else {
		eye_look_nodes(eye);
	}
}

static bool everything_seen_since(const struct watch *w, uint64_t since)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (w->eyes[i].looked < since || w->eyes[i].looked == 0)
			return false;
	return true;
}

/* A change that was observed before our last act may be of our own doing; the next look tells it once more. */
static bool is_worth_telling(struct eye *eye, bool changed)
{
	struct rollout *r = watch_rollout(eye->watch);
	bool tell = changed || eye->stale;
	eye->stale = tell && eye->is_set && r->facts.rows_at[eye->index] <= r->moved_at && r->facts.rows_at[eye->index] != 0;
	return tell;
}

static void on_waiters(void *arg)
{
	struct watch *w = arg;
	bool told = false;
	if (watch_rollout(w) == NULL)
		return;
	for (struct waiter **at = &w->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (!everything_seen_since(w, waiter->since)) {
			at = &waiter->next;
			continue;
		}
		if (!told) {
			told = true;
			watch_tell_facts(w); /* may add waiters and effects */
			at = &w->waiters;
			continue;
		}
		*at = waiter->next;
		waiter->fn(waiter->arg);
		free(waiter);
		at = &w->waiters;
	}
}

void eye_done(struct eye *eye, bool changed)
{
	struct watch *w = eye->watch;
	eye->running = false;
	if (w->waiters != NULL)
		loop_timer_set(w->waiters_timer, 0);
	if (eye->again)
		eye_look(eye);
	if (is_worth_telling(eye, changed))
		watch_tell_facts(w);
}

static struct eye *eye_add(struct watch *w, bool is_set, uint8_t index, uint8_t process)
{
	struct eye *eye = &w->eyes[w->n_eyes++];
	*eye = (struct eye){ .watch = w, .is_set = is_set, .index = index, .process = process };
	return eye;
}

static void eye_set_add(struct watch *w, const struct rollout *r, uint8_t s)
{
	const struct set *set = &r->profile->sets[s];
	struct eye *eye = eye_add(w, true, s, 0);
	struct bind bind = { .profile = r->profile, .r = r, .rollout = r->id, .lane = LANE_NONE };
	struct fail fail;
	if (look_classes_init(&eye->classes, &bind, set, &fail) != 0)
		log_say(LOG_AT_ERR, "%s; rows of %s have no class", fail.text, set->name);
	if (set->from != SET_NODES)
		return;
	eye->nodes = memory_need(calloc(r->n_set_rows[s] + 1, sizeof(struct node_look)));
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == s)
			eye->nodes[eye->n_nodes++] = (struct node_look){ .eye = eye, .row = i };
}

/* Eyes for the rollout at hand; they stay where they are until it is another one. */
static bool eyes_open(struct watch *w)
{
	const struct rollout *r = watch_rollout(w);
	if (r == NULL)
		return false;
	if (w->eyes != NULL && w->rollout == r->id)
		return true;
	watch_forget(w);
	w->rollout = r->id;
	w->eyes = memory_need(calloc(CONFIG_BALANCERS_MAX * CONFIG_SOCKETS_MAX + 8, sizeof(struct eye)));
	for (uint8_t s = 0; s < r->profile->n_sets; s++)
		if (facts_looked_at(r, s))
			eye_set_add(w, r, s);
	for (uint8_t b = 0; b < r->profile->n_balancers; b++) {
		size_t n = r->facts.servers[b] != NULL ? site_processes(w->site, r->profile->balancers[b]) : 0;
		for (size_t p = 0; p < n; p++)
			eye_add(w, false, b, (uint8_t)p)->seen = memory_need(calloc(r->n_set_rows[r->profile->set_node] + 1, sizeof(struct seen)));
	}
	return true;
}

void watch_forget(struct watch *w)
{
	for (size_t i = 0; i < w->n_eyes; i++) {
		struct eye *eye = &w->eyes[i];
		site_call_cancel(eye->call);
		if (eye->query != NULL)
			sql_cancel(eye->query);
		probe_cancel(eye->level);
		for (uint32_t k = 0; k < eye->n_nodes; k++)
			probe_cancel(eye->nodes[k].run);
		look_classes_done(&eye->classes);
		free(eye->nodes);
		free(eye->seen);
	}
	free(w->eyes);
	w->eyes = NULL;
	w->n_eyes = 0;
	for (size_t i = 0; i < 8; i++)
		index_done(&w->index[i]);
	while (w->waiters != NULL) {
		struct waiter *waiter = w->waiters;
		w->waiters = waiter->next;
		free(waiter);
	}
}

/* ---- pace ---- */

static void look_all(struct watch *w, bool is_set)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (w->eyes[i].is_set == is_set && !w->eyes[i].running)
			eye_look(&w->eyes[i]);
}

static void on_balancers(void *arg)
{
	struct watch *w = arg;
	loop_timer_set(w->balancers, (uint64_t)site_config(w->site)->watch_ms);
	if (eyes_open(w))
		look_all(w, false);
}

static void on_sets(void *arg)
{
	struct watch *w = arg;
	loop_timer_set(w->sets, (uint64_t)site_config(w->site)->observe_ms);
	if (eyes_open(w))
		look_all(w, true);
}

struct watch *watch_new(struct site *site)
{
	struct watch *w = memory_need(calloc(1, sizeof(*w)));
	w->site = site;
	w->balancers = loop_timer_new(site_loop(site), on_balancers, w);
	w->sets = loop_timer_new(site_loop(site), on_sets, w);
	w->waiters_timer = loop_timer_new(site_loop(site), on_waiters, w);
	return w;
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	watch_forget(w);
	loop_timer_free(w->balancers);
	loop_timer_free(w->sets);
	loop_timer_free(w->waiters_timer);
	free(w);
}

void watch_engine(struct watch *w, struct engine *engine)
{
	w->engine = engine;
}

void watch_on(struct watch *w, bool on)
{
	if (w->on == on)
		return;
	w->on = on;
	if (on) {
		loop_timer_set(w->balancers, 0);
		loop_timer_set(w->sets, 0);
	} else {
		loop_timer_clear(w->balancers);
		loop_timer_clear(w->sets);
	}
}

void watch_refresh(struct watch *w, watch_fn *fn, void *arg)
{
	struct waiter *waiter = memory_need(calloc(1, sizeof(*waiter)));
	*waiter = (struct waiter){ .next = w->waiters, .fn = fn, .arg = arg, .since = loop_boot_ms() };
	if (!eyes_open(w)) {
		free(waiter); /* no rollout: nothing to look at, and nobody left who asks */
		return;
	}
	waiter->next = w->waiters;
	w->waiters = waiter;
	for (size_t i = 0; i < w->n_eyes; i++)
		eye_look(&w->eyes[i]);
	loop_timer_set(w->waiters_timer, 0); /* a profile without sets has nothing to wait for */
}

void watch_refresh_cancel(struct watch *w, void *arg)
{
	for (struct waiter **at = &w->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (waiter->arg != arg) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
}
