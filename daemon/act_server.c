/* SPDX-License-Identifier: MIT */
/*
 * A server's state in every process of a balancer, in rounds: look at all processes; where something is to be set, set it and look again;
 * where nothing is, wait for what the state is for (no request in flight; up and fresh) or be done. A command's reply proves nothing, the
 * next look does.
 *
 *   - A process that cannot be reached keeps the step waiting: a node is idle only when every process says so.
 *   - maint -> ready goes through drain: HAProxy calls a server UP the moment it leaves maint, before any check has passed. In drain checks
 *     run and nothing is sent; when check health is full again, ready.
 *   - Idle is seen twice, at least 50 ms apart, in all workers of all processes; without a master socket a reload makes it unknown for a while.
 *   - Shedding is a round each second, between looks. What nobody can name, or nobody can end so, is shut down together after a while.
 *   - A state that was as wanted and is not any more, in the same process: a person did that. We do not fight, the step fails and says so.
 *   - Restore is compare-and-set, per process: only what still is as we set it goes back to what it was.
 */
#include "act.h"

#include "act_shed.h"
#include "config.h"
#include "io/haproxy.h"
#include "io/loop.h"
#include "log.h"
#include "look.h"
#include "memory.h"
#include "proto/json.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { IDLE_POLL_MS = 100, WAIT_POLL_MS = 250, AWAY_POLL_MS = 500, ZEROS = 2, REFUSALS_MAX = 5, LOG_AFTER_MS = 30000, TROUBLE_MS = 5000, SHUT_MS = 5000,
	SHED_EVERY_MS = 1000, SHED_VAIN = 30 };

struct process {
	struct server *s;
	struct site_call *call;
	bool reachable, present, up, fresh, old_unknown;
	uint8_t state;           /* as seen in the last round */
	uint8_t want;            /* SERVER_UNKNOWN: left alone */
	bool judged;             /* restore: want is decided */
	unsigned sessions, pid, wanted_pid; /* wanted_pid: the process in which it was seen as wanted; 0: not yet */
	uint64_t start_s, wanted_start;
	unsigned commands, refusals;
	char error[200];
};

struct server {
	struct flight *f;
	const char *balancer, *name; /* borrowed from the profile; from the rollout's row */
	struct process processes[CONFIG_SOCKETS_MAX];
	size_t n;
	unsigned open;               /* questions or commands not yet answered */
	struct json_object *baseline; /* restore: owned; else NULL */
	unsigned zeros;
	uint64_t idle_until;         /* boot ms; 0: not yet waiting for it */
	struct act_shed *shedding;
	uint64_t shed_at;            /* boot ms: the next round; 0: not yet */
	unsigned shed_sessions, shed_vain; /* ended so far; rounds in a row that found nothing to end */
	char shed_error[300];        /* of the last round */
	uint64_t shut_until;         /* boot ms; what is left was shut down, and is looked for until then; 0: it was not */
	uint64_t away_since;         /* boot ms; 0: all answer */
	const struct process *away;  /* one that does not */
	uint64_t down_since;         /* boot ms; 0: not waiting for it to be up */
	bool said;
	char note[300];
};

static void round_start(struct server *s);

static void server_cancel(struct flight *f)
{
	struct server *s = f->work;
	for (size_t i = 0; i < s->n; i++)
		site_call_cancel(s->processes[i].call);
	act_shed_cancel(s->shedding);
	json_putp(&s->baseline);
	free(s);
}

static unsigned sessions_left(const struct server *s, bool *unknown)
{
	unsigned sessions = 0;
	*unknown = false;
	for (size_t i = 0; i < s->n; i++) {
		sessions += s->processes[i].sessions;
		*unknown |= s->processes[i].old_unknown;
	}
	return sessions;
}

/* What nothing but the world ends: a process that is away, a server that does not come up, requests that do not end. */
static const char *server_trouble(struct flight *f, char *buf, size_t size)
{
	const struct server *s = f->work;
	uint64_t now = loop_boot_ms();
	bool unknown;
	unsigned sessions = sessions_left(s, &unknown);
	buf[0] = '\0';
	if (s->away_since != 0 && now - s->away_since > TROUBLE_MS)
		(void)snprintf(buf, size, "balancer %s does not answer: %s", s->balancer, s->away->error);
	else if (s->down_since != 0 && now - s->down_since > LOG_AFTER_MS)
		(void)snprintf(buf, size, "%s is not up in balancer %s, which must see it healthy first", s->name, s->balancer);
	else if (s->shed_error[0] != '\0')
		(void)snprintf(buf, size, "sessions of %s in balancer %s could not be ended: %s", s->name, s->balancer, s->shed_error);
	else if (s->idle_until != 0 && s->shut_until == 0 && s->shed_at == 0 && now > s->idle_until && s->zeros == 0)
		(void)snprintf(buf, size, "%u requests are still in flight to %s in balancer %s%s, and it is to be idle: end them, or wait", sessions, s->name,
			s->balancer, unknown ? ", what old workers serve is unknown" : "");
	return buf;
}

/* What goes as it should, and takes its time. */
static const char *server_doing(struct flight *f, char *buf, size_t size)
{
	const struct server *s = f->work;
	bool unknown;
	unsigned sessions = sessions_left(s, &unknown);
	buf[0] = '\0';
	if (s->shed_at != 0)
		(void)snprintf(buf, size, "shedding %u sessions a second, %u left%s", flight_action(f)->rate, sessions,
			unknown ? ", and those of old workers" : "");
	else if (s->idle_until != 0 && sessions > 0)
		(void)snprintf(buf, size, "%u requests or sessions are in flight, and are waited for", sessions);
	return buf;
}

static void on_timer(void *arg)
{
	struct flight *f = arg;
	round_start(f->work);
}

static void again_in(struct server *s, uint64_t ms)
{
	if (s->f->timer == NULL)
		s->f->timer = loop_timer_new(s->f->x->loop, on_timer, s->f);
	loop_timer_set(s->f->timer, ms);
}

static const char *socket_of(const struct process *p)
{
	return site_socket(p->s->f->x->site, p->s->balancer, (size_t)(p - p->s->processes));
}

static void note(struct server *s, const char *format, ...) printf_like(2, 3);
static void note(struct server *s, const char *format, ...)
{
	size_t len = strlen(s->note);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(s->note + len, sizeof(s->note) - len, format, args);
	va_end(args);
}

/* ---- commands ---- */

static void command_done(struct process *p, const char *error)
{
	struct server *s = p->s;
	p->call = NULL;
	p->refusals = error != NULL ? p->refusals + 1 : 0;
	(void)snprintf(p->error, sizeof(p->error), "%s", error != NULL ? error : "");
	if (--s->open > 0)
		return;
	unsigned most = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->processes[i].commands > most)
			most = s->processes[i].commands;
	again_in(s, most < 6 ? 10u << most : 1000); /* read back; slower if it does not stick */
}

static void on_set(void *arg, const char *error)
{
	command_done(arg, error);
}

static void command(struct process *p, enum server_state state)
{
	static const enum haproxy_want wants[] = { [SERVER_READY] = HAPROXY_READY, [SERVER_DRAIN] = HAPROXY_DRAIN, [SERVER_MAINT] = HAPROXY_MAINT };
	struct server *s = p->s;
	s->open++;
	p->commands++;
	p->call = site_set(s->f->x->site, s->balancer, (size_t)(p - s->processes), s->name, wants[state], on_set, p);
}

static void on_shut(void *arg, const char *error)
{
	struct process *p = arg;
	struct server *s = p->s;
	p->call = NULL;
	if (error != NULL)
		note(s, "; %s: %s", socket_of(p), error);
	if (--s->open > 0)
		return;
	s->shut_until = loop_boot_ms() + SHUT_MS;
	again_in(s, IDLE_POLL_MS);
}

/* HAProxy does as it is told in the worker that serves; an old one says "Proxy is disabled", and its requests go on. */
static void shutdown_judge(struct server *s, unsigned sessions)
{
	if (sessions > 0 && loop_boot_ms() < s->shut_until) {
		again_in(s, IDLE_POLL_MS);
		return;
	}
	if (sessions > 0)
		note(s, "; %u go on all the same, in old workers of HAProxy that nobody can tell", sessions);
	flight_answer(s->f, RESULT_OK, (int64_t)sessions, s->note);
}

static void shutdown_rest(struct server *s, unsigned sessions)
{
	note(s, "%u requests were still in flight and were shut down", sessions);
	for (size_t i = 0; i < s->n; i++) {
		s->open++;
		s->processes[i].call = site_shutdown(s->f->x->site, s->balancer, i, s->name, on_shut, &s->processes[i]);
	}
}

static void on_shed(void *arg, unsigned ended, const char *error)
{
	struct server *s = arg;
	s->shedding = NULL;
	s->open--;
	s->shed_sessions += ended;
	if (ended > 0)
		s->shed_vain = 0;
	else if (error == NULL)
		s->shed_vain++;
	(void)snprintf(s->shed_error, sizeof(s->shed_error), "%s", error != NULL ? error : "");
	again_in(s, IDLE_POLL_MS);
}

static void shed(struct server *s, unsigned sessions)
{
	uint64_t now = loop_boot_ms();
	if (sessions > 0 && s->shed_vain >= SHED_VAIN) {
		shutdown_rest(s, sessions);
	} else if (sessions == 0 || now < s->shed_at) {
		again_in(s, IDLE_POLL_MS);
	} else {
		s->shed_at = now + SHED_EVERY_MS;
		s->open++;
		s->shedding = act_shed_start(s->f->x->site, s->balancer, s->name, flight_action(s->f)->rate, on_shed, s);
	}
}

/* ---- rounds ---- */

/* What is to be done with one process: true if it is as it should be. */
static bool settle(struct process *p)
{
	if (p->want == SERVER_UNKNOWN)
		return true;
	if (p->state == p->want) {
		p->wanted_pid = p->pid;
		p->wanted_start = p->start_s;
		return p->want != SERVER_READY || p->up;
	}
	if (p->want == SERVER_READY && p->state == SERVER_MAINT)
		command(p, SERVER_DRAIN);
	else if (p->want != SERVER_READY || (p->up && p->fresh))
		command(p, (enum server_state)p->want);
	return false;
}

/* It was as wanted, in this very process, and is not any more. */
static bool was_changed(const struct process *p)
{
	return p->want != SERVER_UNKNOWN && p->wanted_pid != 0 && p->wanted_pid == p->pid && p->wanted_start == p->start_s && p->state != p->want;
}

static bool fails(struct server *s)
{
	char text[400] = "";
	for (size_t i = 0; i < s->n && text[0] == '\0'; i++) {
		const struct process *p = &s->processes[i];
		if (p->reachable && !p->present)
			(void)snprintf(text, sizeof(text), "%s: backend %s has no server \"%s\"", socket_of(p),
				site_backend(s->f->x->site, s->balancer), s->name);
		else if (p->reachable && was_changed(p))
			(void)snprintf(text, sizeof(text), "%s: %s was %s and is %s now: a person or an agent check changed it; settle that, then retry",
				socket_of(p), s->name, server_state_word((enum server_state)p->want), server_state_word((enum server_state)p->state));
		else if (p->refusals >= REFUSALS_MAX)
			(void)snprintf(text, sizeof(text), "%s: %s", socket_of(p), p->error);
	}
	if (text[0] != '\0')
		flight_answer(s->f, RESULT_FAILED, 0, text);
	return text[0] != '\0';
}

/* Compare-and-set: what it was before, if it still is what we made of it. */
static void restore_judge(struct process *p)
{
	static const char *const words[] = { "ready", "drain", "maint" };
	struct server *s = p->s;
	uint8_t ours = (uint8_t)flight_step(s->f)->act.want, base = SERVER_UNKNOWN;
	struct json_object *word = json_object_array_get_idx(s->baseline, (size_t)(p - s->processes));
	for (uint8_t i = 0; i < 3 && word != NULL; i++)
		if (strcmp(json_object_get_string(word), words[i]) == 0)
			base = (uint8_t)(SERVER_READY + i);
	/* half-way from maint to ready when an earlier life of ours ended */
	bool half = s->f->effect.again && base == SERVER_READY && ours == SERVER_MAINT && p->state == SERVER_DRAIN;
	p->judged = true;
	p->want = base != SERVER_UNKNOWN && (p->state == ours || half) ? base : SERVER_UNKNOWN;
	if (p->want == SERVER_UNKNOWN && p->state != base)
		note(s, "%s%s: left as it is (%s)%s", s->note[0] ? "; " : "", socket_of(p), server_state_word((enum server_state)p->state),
			base == SERVER_UNKNOWN ? ", nobody knows what it was" : ", somebody changed it");
}

static void idle_round(struct server *s)
{
	const struct action *action = flight_action(s->f);
	bool unknown;
	unsigned sessions = sessions_left(s, &unknown);
	uint64_t now = loop_boot_ms();
	if (s->idle_until == 0)
		s->idle_until = now + action->idle_ms;
	if (s->shut_until != 0) {
		shutdown_judge(s, sessions);
		return;
	}
	s->zeros = sessions == 0 && !unknown ? s->zeros + 1 : 0;
	if (s->zeros >= ZEROS) {
		char text[80] = "idle";
		if (s->shed_sessions > 0)
			(void)snprintf(text, sizeof(text), "idle; %u sessions were ended, %u a second", s->shed_sessions, action->rate);
		flight_answer(s->f, RESULT_OK, 0, text);
	} else if (now < s->idle_until || action->then == UNTIL_HOLD || s->zeros > 0) {
		again_in(s, IDLE_POLL_MS);
	} else if (action->then == UNTIL_SHUTDOWN) {
		shutdown_rest(s, sessions);
	} else if (action->then == UNTIL_SHED) {
		shed(s, sessions);
	} else {
		note(s, "%u sessions left%s", sessions, unknown ? ", and what old workers still serve is unknown" : "");
		flight_answer(s->f, RESULT_OK, (int64_t)sessions, s->note);
	}
}

static void say_away(struct server *s, const struct process *away)
{
	uint64_t now = loop_boot_ms();
	s->away = away;
	if (away == NULL)
		s->away_since = 0;
	else if (s->away_since == 0)
		s->away_since = now;
	else if (!s->said && now - s->away_since > LOG_AFTER_MS) {
		s->said = true;
		log_say(LOG_AT_WARNING, "balancer %s: %s waits for %s: %s", s->balancer, s->name, socket_of(away), away->error);
	}
}

static void round_judge(struct server *s)
{
	const struct process *away = NULL;
	bool settled = true;
	if (fails(s))
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct process *p = &s->processes[i];
		if (!p->reachable) {
			away = p;
			continue;
		}
		if (s->baseline != NULL && !p->judged)
			restore_judge(p);
		settled &= settle(p);
	}
	say_away(s, away);
	s->down_since = settled || away != NULL ? 0 : s->down_since != 0 ? s->down_since : loop_boot_ms();
	if (s->open > 0)
		return; /* commands: the next round follows their answers */
	if (away != NULL) {
		s->zeros = 0;
		again_in(s, AWAY_POLL_MS);
	} else if (!settled) {
		again_in(s, WAIT_POLL_MS);
	} else if (s->baseline == NULL && flight_action(s->f)->idle) {
		idle_round(s);
	} else {
		flight_answer(s->f, RESULT_OK, 0, s->note);
	}
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct process *p = arg;
	struct server *s = p->s;
	p->call = NULL;
	p->reachable = snapshot->reachable && !snapshot->stopping;
	p->present = false;
	if (!p->reachable) {
		(void)snprintf(p->error, sizeof(p->error), "%s", snapshot->stopping ? "only an old worker answers" : snapshot->error);
		p->refusals = 0;
	}
	for (size_t i = 0; p->reachable && i < snapshot->n_servers; i++) {
		const struct haproxy_server *server = &snapshot->servers[i];
		if (strcmp(server->name, s->name) != 0)
			continue;
		p->present = true;
		p->state = (uint8_t)look_server(server);
		p->up = server->up;
		p->fresh = server->fresh;
		p->sessions = server->sessions + server->old_sessions;
		p->old_unknown = snapshot->old_unknown;
		p->pid = snapshot->pid;
		p->start_s = snapshot->start_s;
	}
	if (--s->open == 0)
		round_judge(s);
}

static void round_start(struct server *s)
{
	s->open = (unsigned)s->n;
	for (size_t i = 0; i < s->n; i++)
		s->processes[i].call = site_snapshot(s->f->x->site, s->balancer, i, on_snapshot, &s->processes[i]);
}

void act_server(struct flight *f)
{
	const struct rollout *r = flight_rollout(f);
	const struct action *action = flight_action(f);
	struct server *s = memory_need(calloc(1, sizeof(*s)));
	s->f = f;
	s->balancer = r->profile->balancers[action->balancer];
	s->n = site_processes(f->x->site, s->balancer);
	s->name = r->rows[r->units[f->effect.unit].row].name;
	f->work = s;
	f->cancel = server_cancel;
	f->trouble = server_trouble;
	f->doing = server_doing;
	for (size_t i = 0; i < s->n; i++)
		s->processes[i] = (struct process){ .s = s, .want = action->restore ? SERVER_UNKNOWN : (uint8_t)action->want };
	if (action->restore)
		s->baseline = captures_baseline(&f->x->captures, f->effect.unit, flight_step(f)->name);
	if (s->n == 0)
		flight_answer_later(f, RESULT_FAILED, "the configuration has no such balancer");
	else if (action->restore && (s->baseline == NULL || !json_object_is_type(s->baseline, json_type_array)))
		flight_answer_later(f, RESULT_FAILED, "what the server's state was before is not in the journal: put it back by hand, then retry");
	else
		round_start(s);
}
