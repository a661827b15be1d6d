/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One HAProxy process: its runtime socket and, where given, the master socket beside it. One-shot connections, one command
 * each (frame = EOF), with a deadline. Knows HAProxy's words and traps, nothing of rollouts.
 *
 * Facts behind it (HAProxy 2.4 to 3.x): an empty reply is no proof, so states are read back by the caller from the next
 * snapshot; admin state is the truth for what was set; a reload forgets admin states and its new worker shows no
 * sessions while the old worker still serves, so sessions are summed over old workers through the master socket.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct haproxy;

enum haproxy_want { HAPROXY_READY, HAPROXY_DRAIN, HAPROXY_MAINT };

/* Bits of srv_admin_state in `show servers state`. */
enum haproxy_admin {
	HAPROXY_FMAINT = 0x01, HAPROXY_IMAINT = 0x02, HAPROXY_CMAINT = 0x04 /* once "disabled" in the file; stays: no maintenance by itself */,
	HAPROXY_FDRAIN = 0x08,
	HAPROXY_IDRAIN = 0x10, HAPROXY_RMAINT = 0x20, HAPROXY_HMAINT = 0x40,
};

struct haproxy_server {
	char name[64];
	unsigned admin;        /* bits above */
	bool up;               /* would take traffic, or would once out of drain: last check passed, status begins UP, DRAIN or "no check" */
	bool fresh;            /* UP not counting stale checks: check_health is full (rise + fall - 1), or the server has no check */
	bool has_check;
	unsigned sessions;     /* scur + qcur in the current worker */
	uint64_t total;        /* stot: sessions since the current worker began */
	unsigned old_sessions; /* scur + qcur in old workers still running; 0 also when unknown, see old_unknown */
	char status[32];       /* as HAProxy says it */
	char check[16];        /* check_status */
};

struct haproxy_snapshot {
	bool reachable;         /* false: error says why, nothing else counts */
	const char *error;
	unsigned pid;           /* of the worker that answered; a change = reload or restart */
	uint64_t start_s;       /* Start_time_sec, the second half of its identity */
	bool stopping;          /* an old worker answered: ask again */
	unsigned old_workers;   /* still running, by the master socket */
	bool old_unknown;       /* pid changed less than 60 s ago and there is no master socket: sessions elsewhere are unknown */
	const struct haproxy_server *servers; /* of the one backend asked for; borrowed, valid in the callback only */
	size_t n_servers;
};

struct haproxy_options {
	const char *socket;     /* "/path", "address:port", "[v6]:port" or "localhost:port"; names are not looked up; copied */
	const char *master;     /* NULL: none */
	unsigned timeout_ms;    /* per command; 0 = 2000 */
};

typedef void haproxy_snapshot_fn(void *arg, const struct haproxy_snapshot *snapshot);
typedef void haproxy_command_fn(void *arg, const char *error); /* NULL: accepted (severity > 3 and no known refusal); read back! */

struct haproxy *haproxy_new(struct loop *loop, const struct haproxy_options *options, struct fail *fail);
void haproxy_free(struct haproxy *haproxy); /* cancels without callbacks */

/* Callbacks run from the loop. Several calls may be made; they are queued, one connection at a time. */
void haproxy_snapshot(struct haproxy *haproxy, const char *backend, haproxy_snapshot_fn *fn, void *arg);
void haproxy_set(struct haproxy *haproxy, const char *backend, const char *server, enum haproxy_want want, haproxy_command_fn *fn, void *arg);
void haproxy_shutdown_sessions(struct haproxy *haproxy, const char *backend, const char *server, haproxy_command_fn *fn, void *arg);

/* Pure parsers, for tests and fuzzing. All take text with a NUL at text[len] and tolerate any bytes. */
must_check int haproxy_parse_info(const char *text, size_t len, unsigned *pid, uint64_t *start_s, bool *stopping, struct fail *fail);
must_check int haproxy_parse_state(const char *text, size_t len, const char *backend, struct haproxy_server *out, size_t max, size_t *n, struct fail *fail);
must_check int haproxy_parse_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n, struct fail *fail);
/* Adds scur + qcur of an old worker's `show stat` to old_sessions; HAPROXY_WORKER_GONE if it has ended. Servers it alone knows do not count. */
enum { HAPROXY_WORKER_GONE = 1 };
must_check int haproxy_parse_old_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n, struct fail *fail);
must_check int haproxy_parse_proc(const char *text, size_t len, unsigned *old_pids, size_t max, size_t *n, struct fail *fail);
must_check int haproxy_parse_set_reply(const char *text, size_t len, struct fail *fail);
