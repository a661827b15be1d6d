/* SPDX-License-Identifier: MIT */
/*
 * What each process of a balancer shows. A process that does not answer makes its balancer unknown (servers_at = 0).
 *
 * Custody: a process that shows a server otherwise than wanted is told to the engine with one more fact: whether it is another process
 * than the one that was last seen as wanted. A reload forgets what was set; a person does not change the pid. Which process was seen is in
 * the journal, so that this holds over a restart of ours; no clock is compared with another one.
 */
#include "watch_parts.h"

#include "engine.h"
#include "io/haproxy.h"
#include "log.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { STOPPING_TRIES = 5 };

static struct eye *first_eye(struct watch *w, uint8_t balancer)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (!w->eyes[i].is_set && w->eyes[i].index == balancer)
			return &w->eyes[i];
	return NULL;
}

static bool is_of(const struct watch *w, const struct eye *eye, uint8_t balancer)
{
	return eye < w->eyes + w->n_eyes && !eye->is_set && eye->index == balancer;
}

/* One server over all processes: known only where all agree. */
static struct fact_server agree(const struct watch *w, const struct eye *first, uint8_t balancer, uint32_t rank)
{
	struct fact_server fact = { .state = first->seen[rank].present ? first->seen[rank].state : SERVER_UNKNOWN, .up = true };
	for (const struct eye *eye = first; is_of(w, eye, balancer); eye++) {
		const struct seen *seen = &eye->seen[rank];
		if (!seen->present || seen->state != fact.state)
			fact.state = SERVER_UNKNOWN;
		fact.up = fact.up && seen->present && seen->up;
		fact.sessions += seen->sessions;
	}
	return fact;
}

/* True if something that rules look at has changed. */
static bool balancer_facts(struct watch *w, struct rollout *r, uint8_t balancer)
{
	const struct eye *first = first_eye(w, balancer);
	struct fact_server *servers = r->facts.servers[balancer];
	uint64_t at = UINT64_MAX;
	if (first == NULL || servers == NULL)
		return false;
	for (const struct eye *eye = first; is_of(w, eye, balancer); eye++)
		at = !eye->reachable ? 0 : eye->looked < at ? eye->looked : at;
	bool changed = (at == 0) != (r->facts.servers_at[balancer] == 0);
	r->facts.servers_at[balancer] = at;
	for (uint32_t i = 0; i < r->n_set_rows[r->profile->set_node]; i++) {
		struct fact_server fact = at != 0 ? agree(w, first, balancer, i) : (struct fact_server){ 0 };
		changed |= fact.state != servers[i].state || fact.up != servers[i].up;
		servers[i] = fact;
	}
	return changed;
}

/* Younger than what we set in it. Where it was seen as wanted, that says it; else, after a restart of ours, what the journal saw before. */
static bool has_forgotten(const struct eye *eye, const struct rollout *r, const struct seen *seen, const struct want *want)
{
	if (seen->wanted_pid != 0)
		return seen->wanted_pid != eye->pid || seen->wanted_start != eye->start_s;
	return r->processes[eye->index][eye->process].since_seq > want->seq;
}

/* Tells the journal of another process before anything is judged in it. */
static void who_answers(struct eye *eye)
{
	const struct rollout *r = watch_rollout(eye->watch);
	const struct balancer_process *last = &r->processes[eye->index][eye->process];
	if (last->pid == eye->pid && last->start_s == (int64_t)eye->start_s)
		return;
	struct event event = { .kind = EVENT_PROCESS, .balancer = eye->index, .lane = eye->process, .seq = eye->pid, .value = (int64_t)eye->start_s };
	engine_event(eye->watch->engine, &event);
}

/* Each server of ours in the process that has just answered. */
static void custody(struct eye *eye)
{
	struct watch *w = eye->watch;
	struct rollout *r = watch_rollout(w);
	for (uint32_t i = 0; r != NULL && i < r->n_rows; i++) {
		if (r->rows[i].set != r->profile->set_node)
			continue;
		uint32_t rank = r->rows[i].rank;
		const struct want *want = &r->wants[eye->index][rank];
		struct seen *seen = &eye->seen[rank];
		if (want->state == SERVER_UNKNOWN || !seen->present)
			continue;
		bool matches = seen->state == want->state;
		if (matches) {
			seen->wanted_pid = eye->pid;
			seen->wanted_start = eye->start_s;
			if ((!want->contested && !want->reasserted) || agree(w, first_eye(w, eye->index), eye->index, rank).state != want->state)
				continue;
		}
		struct event event = { .kind = EVENT_SERVER, .balancer = eye->index, .row = i, .lane = eye->process, .value = seen->state,
			.seq = seen->total, .reloaded = has_forgotten(eye, r, seen, want) };
		engine_event(w->engine, &event);
	}
}

static void keep_servers(struct eye *eye, const struct rollout *r, const struct haproxy_snapshot *snapshot)
{
	uint32_t n = r->n_set_rows[r->profile->set_node];
	for (uint32_t i = 0; i < n; i++)
		eye->seen[i].present = false;
	for (size_t i = 0; i < snapshot->n_servers; i++) {
		const struct haproxy_server *server = &snapshot->servers[i];
		char none[1] = "";
		uint32_t row = watch_find_row(eye->watch, r, (uint8_t)r->profile->set_node, server->name, none);
		if (row == ROLLOUT_NO_ROW)
			continue;
		struct seen *seen = &eye->seen[r->rows[row].rank];
		seen->present = true;
		seen->up = server->up;
		seen->state = (uint8_t)look_server(server);
		seen->sessions = server->sessions + server->old_sessions;
		seen->total = server->total;
	}
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct eye *eye = arg;
	struct watch *w = eye->watch;
	struct rollout *r = watch_rollout(w);
	eye->call = NULL;
	bool stopping = snapshot->reachable && snapshot->stopping;
	if (stopping && eye->tries++ < STOPPING_TRIES) {
		eye->call = site_snapshot(w->site, r->profile->balancers[eye->index], eye->process, on_snapshot, eye);
		return;
	}
	eye->tries = 0;
	eye->looked = eye->began;
	bool was = eye->reachable || eye->error[0] == '\0';
	eye->reachable = snapshot->reachable && !stopping;
	if (stopping)
		(void)snprintf(eye->error, sizeof(eye->error), "%.120s: only an old worker answers", site_socket(w->site, r->profile->balancers[eye->index], eye->process));
	else
		(void)snprintf(eye->error, sizeof(eye->error), "%s", eye->reachable ? "" : snapshot->error);
	if (!eye->reachable && was)
		log_say(LOG_AT_WARNING, "balancer %s: %s; its servers are unknown until it answers", r->profile->balancers[eye->index], eye->error);
	if (eye->reachable) {
		eye->pid = snapshot->pid;
		eye->start_s = snapshot->start_s;
		keep_servers(eye, r, snapshot);
	}
	bool changed = balancer_facts(w, r, eye->index);
	if (eye->reachable) {
		who_answers(eye);
		custody(eye);
	}
	eye_done(eye, changed);
}

void eye_look_balancer(struct eye *eye, struct rollout *r)
{
	eye->call = site_snapshot(eye->watch->site, r->profile->balancers[eye->index], eye->process, on_snapshot, eye);
}

const char *watch_error(struct watch *w, const char *name)
{
	const struct rollout *r = watch_rollout(w);
	int balancer = r != NULL ? profile_balancer(r->profile, name) : -1;
	struct eye *first = balancer >= 0 ? first_eye(w, (uint8_t)balancer) : NULL;
	if (first == NULL || w->rollout != r->id)
		return NULL;
	for (const struct eye *eye = first; is_of(w, eye, (uint8_t)balancer); eye++) {
		if (eye->looked == 0 || eye->reachable)
			continue;
		(void)snprintf(w->error, sizeof(w->error), "%s", eye->error); /* begins with its socket */
		return w->error;
	}
	for (uint32_t i = 0; i < r->n_rows; i++) {
		if (r->rows[i].set != r->profile->set_node)
			continue;
		for (const struct eye *eye = first; is_of(w, eye, (uint8_t)balancer); eye++) {
			const struct seen *here = &eye->seen[r->rows[i].rank], *there = &first->seen[r->rows[i].rank];
			uint8_t want = r->wants[balancer] != NULL ? r->wants[balancer][r->rows[i].rank].state : SERVER_UNKNOWN;
			if (eye->looked != 0 && !here->present && want != SERVER_UNKNOWN) {
				(void)snprintf(w->error, sizeof(w->error), "%.120s: there is no server %.60s, which is to be %s (renamed?)",
					site_socket(w->site, name, eye->process), r->rows[i].name, server_state_word((enum server_state)want));
				return w->error;
			}
			if (eye->looked == 0 || first->looked == 0 || (here->present == there->present && here->state == there->state))
				continue;
			(void)snprintf(w->error, sizeof(w->error), "its processes disagree about %.60s: %s and %s", r->rows[i].name,
				there->present ? server_state_word((enum server_state)there->state) : "missing",
				here->present ? server_state_word((enum server_state)here->state) : "missing");
			return w->error;
		}
	}
	return NULL;
}
