/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Channels to `upgd-run serve`, one per place (a node, or this host), opened on first use and reopened after a loss. The far
 * side keeps tasks and their exit records; a channel that breaks loses nothing: every unanswered request is sent again,
 * which is safe because start(id) attaches. Messages: runner/PROTOCOL.md.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct runner;
struct runner_request;

enum runner_state {
	RUNNER_EXITED,  /* the program ended: exit_code, or signal */
	RUNNER_TIMEOUT, /* ended by its deadline: what it did is unknown */
	RUNNER_LOST,    /* started once, gone without an exit record (killed runner, reboot): what it did is unknown */
	RUNNER_REFUSED, /* the far side will not: same id with another spec, bad file, no such program; nothing was done */
	RUNNER_LATE,    /* the channel came only after fresh_ms, and nothing is known to have begun: ask for the same again if it is still right */
	RUNNER_AWAY,    /* the channel could not be had before the request's patience ended; it may still run over there */
};

struct runner_result {
	enum runner_state state;
	int exit_code;          /* 0..255; -1 if it ended by a signal */
	int signal;             /* 0 if none */
	const char *out;        /* stdout and stderr as they came, head and tail if long; borrowed, NUL-terminated */
	size_t out_len;
	bool whole;             /* out is all that was printed */
	const char *error;      /* a sentence unless RUNNER_EXITED */
	const char *old;        /* edit: the line that was there before ("" = none); else NULL */
	uint64_t took_ms;
};

struct runner_task {
	const char *id;              /* unique for ever: rollout/unit/step/lane/dir/attempt; [A-Za-z0-9._@:/+-], at most 200 */
	const char *const *argv;     /* NULL-terminated; may hold ${secret.NAME}, put in on the far side */
	const char *const *env;      /* NULL-terminated KEY=VALUE, the same; NULL: none */
	const char *cwd;             /* NULL: / */
	uint64_t deadline_ms;        /* 0: none; then TERM, KILL after 10 s */
	uint64_t fresh_ms;           /* 0: it may begin whenever the channel comes, else within this time */
};

struct runner_edit {
	const char *id;
	const char *file;            /* absolute */
	const char *prefix;          /* the line begins with it */
	const char *value;           /* the rest; NULL: remove the line */
};

struct runner_place {
	const char *name;            /* "ox1", "local" */
	const char *socket;          /* Unix socket of a local `upgd-run serve`, or NULL */
	const char *const *argv;     /* else the constant remote command, e.g. ssh -oBatchMode=yes HOST upgd-run serve; copied */
};

typedef void runner_done_fn(void *arg, const struct runner_result *result);

struct runner *runner_new(struct loop *loop, const struct runner_place *place, struct fail *fail);
void runner_free(struct runner *runner); /* cancels waiting, not tasks; no callbacks */

/* patience_ms: how long to try for a channel and an answer before RUNNER_AWAY; 0 = for ever. Callbacks run from the loop. */
struct runner_request *runner_start(struct runner *runner, const struct runner_task *task, uint64_t patience_ms, runner_done_fn *fn, void *arg);
struct runner_request *runner_edit(struct runner *runner, const struct runner_edit *edit, uint64_t patience_ms, runner_done_fn *fn, void *arg);
/* Reads a file of at most 64 KiB, or of one that may be larger the first line that begins with prefix ("" if there is none): result.out. */
struct runner_request *runner_read(struct runner *runner, const char *file, const char *prefix, uint64_t patience_ms, runner_done_fn *fn, void *arg);
/* Names what the far side has: result.out is lines of "running ID" or "ended ID" (runner/PROTOCOL.md). */
struct runner_request *runner_list(struct runner *runner, uint64_t patience_ms, runner_done_fn *fn, void *arg);
/* What is not as it should be with the waiting, for people: no channel and why, or what the far side says. "": nothing, it runs. */
const char *runner_trouble(const struct runner_request *request, char *buf, size_t size);
void runner_cancel(struct runner_request *request);               /* stops waiting; the task goes on */
void runner_ack(struct runner *runner, const char *id);           /* its exit record may be forgotten; after the outcome is durable */
