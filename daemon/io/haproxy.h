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

enum { HAPROXY_SESS_MAX = 24 }; /* "0x" and a pointer */

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

/*
 * Ends at most `most` sessions of a server, in this process and in its old workers where there is a master socket: they are named by `show
 * sess` and ended at once, one by one. A session that ends meanwhile needs no more. One callback, from the loop; beside the queue.
 */
struct haproxy_shed;
typedef void haproxy_shed_fn(void *arg, unsigned ended, const char *error); /* error NULL: all that could be asked were */
struct haproxy_shed *haproxy_shed(struct haproxy *haproxy, const char *backend, const char *server, unsigned most, haproxy_shed_fn *fn, void *arg);
void haproxy_shed_cancel(struct haproxy_shed *shed); /* no callback after this; before the haproxy is freed; NULL is fine */

/* Pure parsers, for tests and fuzzing. All take text with a NUL at text[len] and tolerate any bytes. */
must_check int haproxy_parse_info(const char *text, size_t len, unsigned *pid, uint64_t *start_s, bool *stopping, struct fail *fail);
must_check int haproxy_parse_state(const char *text, size_t len, const char *backend, struct haproxy_server *out, size_t max, size_t *n, struct fail *fail);
must_check int haproxy_parse_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n, struct fail *fail);
/* Adds scur + qcur of an old worker's `show stat` to old_sessions; HAPROXY_WORKER_GONE if it has ended. Servers it alone knows do not count. */
enum { HAPROXY_WORKER_GONE = 1 };
must_check int haproxy_parse_old_stat(const char *text, size_t len, const char *backend, struct haproxy_server *servers, size_t n, struct fail *fail);
must_check int haproxy_parse_proc(const char *text, size_t len, unsigned *old_pids, size_t max, size_t *n, struct fail *fail);
must_check int haproxy_parse_set_reply(const char *text, size_t len, struct fail *fail);
/*
 * Of a `show sess`: what is left are the ids of the server's sessions, at most `most` of them, one a line, and what is no session's line. May be
 * called again with more behind it. The other: the first of those ids, and the rest of the text behind it; 0: there is none; negative: a refusal.
 */
size_t haproxy_sieve_sess(char *text, size_t len, const char *backend, const char *server, size_t most);
must_check int haproxy_next_sess(const char **text, size_t *len, char id[static HAPROXY_SESS_MAX], struct fail *fail);
/* Of several `shutdown session`, how many were gone already. */
must_check int haproxy_parse_shutdown(const char *text, size_t len, unsigned *gone, struct fail *fail);
/* A blank or a semicolon in a name would be a second command. */
must_check int haproxy_check_name(const char *what, const char *name, struct fail *fail);
