/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the files of a discovery share; for discover*.c only. discover.c asks everybody at once and judges at the end, discover_way.c then asks
 * at which level the site is, and discover_checks.c last what `check` of the stages wants to know of the rows that are there.
 */

#include "config.h"
#include "discover.h"
#include "look.h"
#include "probe.h"

struct discover_checks;
struct discover_way;
struct sql_query;

enum { DISCOVER_AT_ONCE = 32 };

struct node {
	struct discovery *d;
	const struct config_node *config;
	struct probe_run *run;
	char *columns;       /* owned */
	struct row row;      /* for templates; borrows columns */
	char *value, *error; /* owned; value NULL: there was none */
	uint8_t class_, also; /* also: another class that fits */
};

struct table {
	struct discovery *d;
	uint8_t set;
	struct sql_query *query;
	struct engine_row *rows; /* columns owned */
	char **names, **hosts, **values; /* owned, for findings */
	size_t n;
	char *error;         /* owned */
};

struct seen_server {
	char name[64];
	uint8_t state;
	bool up;
};

struct process {
	struct discovery *d;
	const char *balancer;
	size_t number;
	struct site_call *call;
	struct seen_server *servers; /* owned */
	size_t n;
	bool reachable;
	char *error, *refused; /* owned; refused: what a command that does nothing was answered */
};

/* A database host that probes ask about schemata: "host:POOL". */
struct machine {
	struct discovery *d;
	const struct config_host *host;
	struct sql_query *query;
	char *error;         /* owned */
};

struct place {
	struct discovery *d;
	const char *node;    /* NULL: local */
	struct runner *runner;
	struct runner_request *request;
	char id[100];
	char **argv;         /* owned */
	char *error, *mend;  /* owned */
};

struct discovery {
	struct site *site;
	const struct profile *profile;
	bool check;
	discover_fn *fn;
	void *arg;
	struct loop_timer *end;
	size_t open, next_node, nodes_open, next_place, places_open;
	struct node *nodes;
	struct look_classes classes[8];
	struct table tables[8];
	struct process processes[CONFIG_BALANCERS_MAX * CONFIG_SOCKETS_MAX];
	size_t n_processes;
	struct machine *machines;
	struct place *places; /* check: every runner; the last is local */
	size_t n_places;
	char **secrets;       /* env that names each secret of the profile once; owned */
	unsigned phase;       /* of discover.c */
	struct rollout *world; /* made of what was found so far, for probes that name its nodes; NULL: not yet; owned */
	struct discover_way *ways; /* by set; owned */
	struct discover_checks *checks; /* NULL: not begun; owned */
	struct discover_result result;
};


const struct config *discover_config(const struct discovery *d);
struct bind discover_bind(const struct discovery *d, const struct row *row);
/* Each question counts in `open`; with the last answer the next phase begins, when the loop turns. */
void discover_one_less(struct discovery *d);
void discover_say(struct discovery *d, enum discover_level level, const char *subject, const char *mend, const char *format, ...) printf_like(5, 6);

/* `check` only: every runner. */
void discover_places_start(struct discovery *d);
void discover_places_judge(struct discovery *d);
void discover_places_done(struct discovery *d);

/* Paths: their levels are asked, then their rows are there, in order. */
void discover_ways_start(struct discovery *d);
void discover_ways_judge(struct discovery *d);
size_t discover_ways_rows(const struct discovery *d, uint8_t set, struct engine_row *out); /* borrowed columns; out NULL: only how many */
void discover_ways_done(struct discovery *d);

/* `check` of the stages, for each row with work in them. */
void discover_checks_start(struct discovery *d);
void discover_checks_done(struct discovery *d);
