/* SPDX-License-Identifier: MIT */
#pragma once
/* What the eyes have in common; for watch.c, watch_balancers.c and watch_sets.c. */

#include "core/facts.h"
#include "look.h"
#include "watch.h"

struct seen {
	bool present, up;
	uint8_t state;
	uint32_t sessions;
	uint64_t total;          /* since the process began */
	unsigned wanted_pid;     /* the process in which it was last seen as wanted; 0: never */
	uint64_t wanted_start;
};

struct eye {
	struct watch *watch;
	bool is_set;
	uint8_t index, process;  /* set; or balancer and process */
	bool running, again, stale; /* stale: told of a change that was older than our last act; tell once more */
	unsigned tries;
	uint64_t began, looked;  /* boot ms: of the look at hand; of the last finished one */
	char error[200];
	/* a process */
	struct site_call *call;
	struct seen *seen;       /* by rank in the node set */
	unsigned pid;
	uint64_t start_s;
	bool reachable;
	/* a set */
	struct sql_query *query;
	struct look_classes classes;
	struct node_look *nodes;
	uint32_t n_nodes, next_node, n_open;
	bool changed;
	/* a path */
	struct probe_run *level;
};

struct node_look {
	struct eye *eye;
	struct probe_run *run;
	uint32_t row;
};

struct waiter {
	struct waiter *next;
	watch_fn *fn;
	void *arg;
	uint64_t since;
};

/* Rows of a set by name and host, for finding them. */
struct key {
	const char *name;
	char *host;
	uint32_t row;
};

struct index {
	struct key *keys;
	uint32_t n, of_rows;
};

struct watch {
	struct site *site;
	struct engine *engine;
	struct loop_timer *balancers, *sets, *waiters_timer;
	struct eye *eyes;
	size_t n_eyes;
	struct index index[8];
	struct waiter *waiters;
	uint32_t rollout;
	bool on;
	char error[260];
};

/* ---- watch.c ---- */

struct rollout *watch_rollout(const struct watch *w); /* NULL: none, or it is still being planned */
void watch_tell_facts(struct watch *w);
void eye_done(struct eye *eye, bool changed);         /* the look has ended, and what was seen is in the facts */

/* ---- a look each; it ends in eye_done() ---- */

void eye_look_balancer(struct eye *eye, struct rollout *r);
void eye_look_rows(struct eye *eye, struct rollout *r);
void eye_look_level(struct eye *eye, struct rollout *r);
void eye_look_nodes(struct eye *eye);

/* ---- watch_sets.c ---- */

/* By name and host ("": none). ROLLOUT_NO_ROW: it is not planned. */
uint32_t watch_find_row(struct watch *w, const struct rollout *r, uint8_t set, const char *name, char *host);
void index_done(struct index *index);
