/* SPDX-License-Identifier: MIT */
/*
 * A reading is a conversation of several questions, and a reload may fall between any two of them. So it is bracketed:
 *
 *	show info | show servers state | show stat | [master: show proc, show stat of each old worker] | show info
 *
 * The same worker (Pid and Start_time_sec) must answer first and last and must not be among the old ones: then no reload came
 * between, everything in it belongs together, and no worker was left out of the sum. Otherwise it is done again.
 *
 * The failure this guards against: a reload forgets drain and maint, its new worker says scur=0, and the old worker still
 * runs requests on the node about to be stopped. Without a master socket nobody can ask the old worker; after a change
 * of worker the sessions elsewhere are then unknown for OLD_UNKNOWN_MS.
 *
 * Jobs are done one after the other, one connection at a time: `stats maxconn` is 10 for everybody.
 */
#include "haproxy.h"

#include "haproxy_ask.h"
#include "haproxy_shed.h"
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	DEFAULT_TIMEOUT_MS = 2000,
	ATTEMPTS = 3,
	AGAIN_MS = 100,         /* the gap that a reload makes */
	OLD_UNKNOWN_MS = 60000, /* how long an old worker may matter unseen; a longer hard-stop-after is not known here */
	OLD_WORKERS_MAX = 64,
	STATE_LINE_MIN = 48,    /* 25 columns and the blanks between them */
};

struct waiter {
	haproxy_snapshot_fn *snapshot; /* one of the two */
	haproxy_command_fn *command;
	void *arg;
};

struct job {
	TAILQ_ENTRY(job) link;
	char *backend;          /* owned; of a snapshot */
	char *line;             /* owned; of a command */
	struct fail refused;    /* code != 0: not asked at all */
	struct waiter *waiters; /* owned; more than one when equal snapshots were asked for */
	size_t n_waiters;
};

enum step { STEP_INFO, STEP_STATE, STEP_STAT, STEP_PROC, STEP_OLD, STEP_INFO_AGAIN };

struct reading {
	enum step step;
	unsigned attempt;
	unsigned pid;
	uint64_t start_s;
	bool stopping;
	struct haproxy_server *servers; /* owned */
	size_t n_servers;
	unsigned old_pids[OLD_WORKERS_MAX];
	size_t n_old, next_old;
	unsigned old_workers; /* of them, those that answered */
};

struct haproxy {
	struct loop *loop; /* borrowed */
	struct haproxy_address socket, master;
	bool has_master;
	unsigned timeout_ms;
	TAILQ_HEAD(job_queue, job) jobs; /* owned; not yet begun */
	struct job *job;        /* owned; under way */
	struct haproxy_ask *ask;
	struct loop_timer *kick; /* begin the next job, or this one's next attempt */
	struct reading reading;
	bool delivering, dead;   /* freed from inside a callback: the last step of the delivery releases it */
	unsigned seen_pid;       /* the last worker that was seen, 0: none yet */
	uint64_t seen_start_s;
	uint64_t changed_ms;     /* when another one was seen in its place, 0: never */
};

static void on_reply(void *arg, const char *reply, size_t len, const struct fail *fail);

static void job_free(struct job *job)
{
	if (job == NULL)
		return;
	free(job->backend);
	free(job->line);
	free(job->waiters);
	free(job);
}

static void reading_reset(struct reading *reading)
{
	free(reading->servers);
	*reading = (struct reading){ .attempt = reading->attempt };
}

static void release(struct haproxy *haproxy)
{
	haproxy_address_done(&haproxy->socket);
	haproxy_address_done(&haproxy->master);
	free(haproxy->reading.servers);
	free(haproxy);
}

void haproxy_free(struct haproxy *haproxy)
{
	if (haproxy == NULL)
		return;
	haproxy_ask_cancel(haproxy->ask);
	haproxy->ask = NULL;
	loop_timer_free(haproxy->kick);
	haproxy->kick = NULL;
	job_free(haproxy->job);
	haproxy->job = NULL;
	while (!TAILQ_EMPTY(&haproxy->jobs)) {
		struct job *job = TAILQ_FIRST(&haproxy->jobs);
		TAILQ_REMOVE(&haproxy->jobs, job, link);
		job_free(job);
	}
	haproxy->dead = true;
	if (!haproxy->delivering)
		release(haproxy);
}

/* Ends the job at hand. Exactly one of snapshot and error counts for a command: error may be NULL. */
static void job_finish(struct haproxy *haproxy, const struct haproxy_snapshot *snapshot, const char *error)
{
	struct haproxy_snapshot unreachable = { .error = error };
	struct job *job = haproxy->job;
	haproxy->job = NULL;
	haproxy->delivering = true;
	for (size_t i = 0; i < job->n_waiters && !haproxy->dead; i++) {
		struct waiter *waiter = &job->waiters[i];
		if (waiter->snapshot != NULL)
			waiter->snapshot(waiter->arg, snapshot != NULL ? snapshot : &unreachable);
		else
			waiter->command(waiter->arg, error);
	}
	haproxy->delivering = false;
	job_free(job);
	if (haproxy->dead) {
		release(haproxy);
		return;
	}
	haproxy->reading.attempt = 0;
	reading_reset(&haproxy->reading);
	if (!TAILQ_EMPTY(&haproxy->jobs))
		loop_timer_set(haproxy->kick, 0);
}

/* The text of a parser does not say where it heard that. */
static void job_fail(struct haproxy *haproxy, const struct haproxy_address *where, struct fail *fail)
{
	fail_prefix(fail, "%s", where->name);
	job_finish(haproxy, NULL, fail->text);
}

static void ask(struct haproxy *haproxy, const struct haproxy_address *where, const char *line)
{
	haproxy->ask = haproxy_ask_start(haproxy->loop, where, line, haproxy->timeout_ms, on_reply, haproxy);
}

static void step_begin(struct haproxy *haproxy, enum step step)
{
	struct reading *reading = &haproxy->reading;
	const char *backend = haproxy->job->backend;
	char line[256];
	reading->step = step;
	switch (step) {
	case STEP_INFO:
	case STEP_INFO_AGAIN:
		ask(haproxy, &haproxy->socket, "show info");
		return;
	case STEP_STATE:
		(void)snprintf(line, sizeof(line), "show servers state %s", backend);
		ask(haproxy, &haproxy->socket, line);
		return;
	case STEP_STAT:
		(void)snprintf(line, sizeof(line), "show stat %s 4 -1", backend);
		ask(haproxy, &haproxy->socket, line);
		return;
	case STEP_PROC:
		ask(haproxy, &haproxy->master, "show proc");
		return;
	case STEP_OLD:
		(void)snprintf(line, sizeof(line), "@!%u show stat %s 4 -1", reading->old_pids[reading->next_old], backend);
		ask(haproxy, &haproxy->master, line);
		return;
	}
}

static void reading_begin(struct haproxy *haproxy)
{
	reading_reset(&haproxy->reading);
	haproxy->reading.attempt++;
	step_begin(haproxy, STEP_INFO);
}

/* The answers do not belong together. True: it will be tried again. */
static bool reading_again(struct haproxy *haproxy)
{
	if (haproxy->reading.attempt >= ATTEMPTS)
		return false;
	loop_timer_set(haproxy->kick, AGAIN_MS);
	return true;
}

static void reading_finish(struct haproxy *haproxy)
{
	struct reading *reading = &haproxy->reading;
	uint64_t now = loop_boot_ms();
	if (haproxy->seen_pid != 0 && (haproxy->seen_pid != reading->pid || haproxy->seen_start_s != reading->start_s))
		haproxy->changed_ms = now;
	haproxy->seen_pid = reading->pid;
	haproxy->seen_start_s = reading->start_s;
	struct haproxy_snapshot snapshot = {
		.reachable = true,
		.pid = reading->pid,
		.start_s = reading->start_s,
		.stopping = reading->stopping,
		.old_workers = reading->old_workers,
		.old_unknown = !haproxy->has_master && haproxy->changed_ms != 0 && now - haproxy->changed_ms < OLD_UNKNOWN_MS,
		.servers = reading->servers,
		.n_servers = reading->n_servers,
	};
	job_finish(haproxy, &snapshot, NULL);
}

static int take_info(struct haproxy *haproxy, const char *reply, size_t len, struct fail *fail)
{
	struct reading *reading = &haproxy->reading;
	return haproxy_parse_info(reply, len, &reading->pid, &reading->start_s, &reading->stopping, fail);
}

static int take_state(struct haproxy *haproxy, const char *reply, size_t len, struct fail *fail)
{
	struct reading *reading = &haproxy->reading;
	size_t max = len / STATE_LINE_MIN + 1;
	reading->servers = calloc(max, sizeof(*reading->servers));
	if (reading->servers == NULL)
		abort();
	return haproxy_parse_state(reply, len, haproxy->job->backend, reading->servers, max, &reading->n_servers, fail);
}

/* True: the worker that answered first is an old one by now. */
static bool is_old(const struct reading *reading)
{
	for (size_t i = 0; i < reading->n_old; i++)
		if (reading->old_pids[i] == reading->pid)
			return true;
	return false;
}

static void close_bracket(struct haproxy *haproxy, const char *reply, size_t len)
{
	struct reading *reading = &haproxy->reading;
	struct fail fail = { 0 };
	unsigned pid;
	uint64_t start_s;
	bool stopping;
	if (haproxy_parse_info(reply, len, &pid, &start_s, &stopping, &fail) != 0) {
		job_fail(haproxy, &haproxy->socket, &fail);
		return;
	}
	bool same = pid == reading->pid && start_s == reading->start_s && !is_old(reading);
	reading->stopping |= stopping;
	if ((!same || reading->stopping) && reading_again(haproxy))
		return;
	if (!same) {
		(void)fail_set(&fail, -EAGAIN, "worker changed from pid %u to %u while it was asked, %d times in a row", reading->pid,
			pid, ATTEMPTS);
		job_fail(haproxy, &haproxy->socket, &fail);
		return;
	}
	reading_finish(haproxy);
}

static void take_old(struct haproxy *haproxy, const char *reply, size_t len)
{
	struct reading *reading = &haproxy->reading;
	struct fail fail = { 0 };
	int rc = haproxy_parse_old_stat(reply, len, haproxy->job->backend, reading->servers, reading->n_servers, &fail);
	if (rc < 0) {
		/* It may have ended in the middle of the sentence. */
		if (reading_again(haproxy))
			return;
		fail_prefix(&fail, "old worker %u", reading->old_pids[reading->next_old]);
		job_fail(haproxy, &haproxy->master, &fail);
		return;
	}
	reading->old_workers += rc == 0;
	reading->next_old++;
	step_begin(haproxy, reading->next_old < reading->n_old ? STEP_OLD : STEP_INFO_AGAIN);
}

static void take_reading(struct haproxy *haproxy, const char *reply, size_t len)
{
	struct reading *reading = &haproxy->reading;
	const struct haproxy_address *where = &haproxy->socket;
	struct fail fail = { 0 };
	int rc = 0;
	enum step next = STEP_INFO_AGAIN;
	switch (reading->step) {
	case STEP_INFO:
		rc = take_info(haproxy, reply, len, &fail);
		next = STEP_STATE;
		break;
	case STEP_STATE:
		rc = take_state(haproxy, reply, len, &fail);
		next = STEP_STAT;
		break;
	case STEP_STAT:
		rc = haproxy_parse_stat(reply, len, haproxy->job->backend, reading->servers, reading->n_servers, &fail);
		next = haproxy->has_master ? STEP_PROC : STEP_INFO_AGAIN;
		break;
	case STEP_PROC:
		where = &haproxy->master;
		rc = haproxy_parse_proc(reply, len, reading->old_pids, OLD_WORKERS_MAX, &reading->n_old, &fail);
		next = reading->n_old > 0 ? STEP_OLD : STEP_INFO_AGAIN;
		break;
	case STEP_OLD:
		take_old(haproxy, reply, len);
		return;
	case STEP_INFO_AGAIN:
		close_bracket(haproxy, reply, len);
		return;
	}
	if (rc != 0)
		job_fail(haproxy, where, &fail);
	else
		step_begin(haproxy, next);
}

static void on_reply(void *arg, const char *reply, size_t len, const struct fail *ask_fail)
{
	struct haproxy *haproxy = arg;
	struct fail fail = { 0 };
	haproxy->ask = NULL;
	if (reply == NULL)
		job_finish(haproxy, NULL, ask_fail->text);
	else if (haproxy->job->line == NULL)
		take_reading(haproxy, reply, len);
	else if (haproxy_parse_set_reply(reply, len, &fail) != 0)
		job_fail(haproxy, &haproxy->socket, &fail);
	else
		job_finish(haproxy, NULL, NULL);
}

static void on_kick(void *arg)
{
	struct haproxy *haproxy = arg;
	if (haproxy->ask != NULL)
		return;
	if (haproxy->job == NULL) {
		haproxy->job = TAILQ_FIRST(&haproxy->jobs);
		if (haproxy->job == NULL)
			return;
		TAILQ_REMOVE(&haproxy->jobs, haproxy->job, link);
	}
	if (haproxy->job->refused.code != 0)
		job_fail(haproxy, &haproxy->socket, &haproxy->job->refused);
	else if (haproxy->job->line != NULL)
		ask(haproxy, &haproxy->socket, haproxy->job->line);
	else
		reading_begin(haproxy);
}

struct haproxy *haproxy_new(struct loop *loop, const struct haproxy_options *options, struct fail *fail)
{
	struct haproxy *haproxy = calloc(1, sizeof(*haproxy));
	if (haproxy == NULL)
		abort();
	haproxy->loop = loop;
	haproxy->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
	haproxy->has_master = options->master != NULL;
	TAILQ_INIT(&haproxy->jobs);
	if (haproxy_address_init(&haproxy->socket, options->socket, fail) != 0 ||
		(haproxy->has_master && haproxy_address_init(&haproxy->master, options->master, fail) != 0)) {
		release(haproxy);
		return NULL;
	}
	haproxy->master.half_close = true;
	haproxy->kick = loop_timer_new(loop, on_kick, haproxy);
	return haproxy;
}

static void add_waiter(struct job *job, struct waiter waiter)
{
	job->waiters = realloc(job->waiters, (job->n_waiters + 1) * sizeof(*job->waiters));
	if (job->waiters == NULL)
		abort();
	job->waiters[job->n_waiters++] = waiter;
}

static void enqueue(struct haproxy *haproxy, struct job *job, struct waiter waiter)
{
	add_waiter(job, waiter);
	TAILQ_INSERT_TAIL(&haproxy->jobs, job, link);
	if (haproxy->job == NULL)
		loop_timer_set(haproxy->kick, 0);
}

static struct job *job_new(void)
{
	struct job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		abort();
	return job;
}

void haproxy_snapshot(struct haproxy *haproxy, const char *backend, haproxy_snapshot_fn *fn, void *arg)
{
	struct waiter waiter = { .snapshot = fn, .arg = arg };
	/* Only one that has not begun and that nothing is to happen before: no answer may be older than its question. */
	struct job *last = TAILQ_LAST(&haproxy->jobs, job_queue);
	if (last != NULL && last->backend != NULL && strcmp(last->backend, backend) == 0) {
		add_waiter(last, waiter);
		return;
	}
	struct job *job = job_new();
	job->backend = strdup(backend);
	if (job->backend == NULL)
		abort();
	(void)!haproxy_check_name("backend", backend, &job->refused);
	enqueue(haproxy, job, waiter);
}

static void command(struct haproxy *haproxy, const char *backend, const char *server, const char *verb, const char *rest,
	struct waiter waiter)
{
	struct job *job = job_new();
	if (asprintf(&job->line, "set severity-output number; %s %s/%s%s", verb, backend, server, rest) < 0)
		abort();
	if (haproxy_check_name("backend", backend, &job->refused) == 0)
		(void)!haproxy_check_name("server", server, &job->refused);
	enqueue(haproxy, job, waiter);
}

void haproxy_set(struct haproxy *haproxy, const char *backend, const char *server, enum haproxy_want want,
	haproxy_command_fn *fn, void *arg)
{
	static const char *const words[] = {
		[HAPROXY_READY] = " state ready", [HAPROXY_DRAIN] = " state drain", [HAPROXY_MAINT] = " state maint",
	};
	command(haproxy, backend, server, "set server", words[want], (struct waiter){ .command = fn, .arg = arg });
}

void haproxy_shutdown_sessions(struct haproxy *haproxy, const char *backend, const char *server, haproxy_command_fn *fn,
	void *arg)
{
	command(haproxy, backend, server, "shutdown sessions server", "", (struct waiter){ .command = fn, .arg = arg });
}

struct haproxy_shed *haproxy_shed(struct haproxy *haproxy, const char *backend, const char *server, unsigned most, haproxy_shed_fn *fn, void *arg)
{
	return haproxy_shed_start(haproxy->loop, &haproxy->socket, haproxy->has_master ? &haproxy->master : NULL, backend, server, most, fn, arg);
}
