/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A make-believe site in memory: what the tools, the balancers and the databases would do, with their bad habits, under a virtual clock.
 * Nodes, balancers and database servers are the same for every system. For OX it knows the profile's tools and probes by name, as the real
 * site does; what any other profile's do follows from the profile (plain.h). The engine above it is the real one.
 */

#include "daemon/core/decide.h"
#include "daemon/engine.h"

enum { WORLD_NODES = 32, WORLD_SCHEMATA = 256, WORLD_PROCESSES = 2, WORLD_BALANCERS = 4, WORLD_HOSTS = 3 };

struct plain; /* plain.h */

enum world_line { LINE_REDIRECT = 1, LINE_NAME = 2, LINE_PUSH = 4, LINE_DENY = 8 };

struct world_node {
	char name[16];
	bool is_new, running, name_new, redirect, push_off, deny;
	bool away;                         /* dead, or cut off: nobody reaches it, nothing ends on it */
	uint64_t boots_at;                 /* virtual ms: serves from then on */
	uint64_t down_until;               /* the host is down until then: a trouble */
	uint32_t reboots;
	uint8_t rewritten;                 /* enum world_line: somebody wrote its file anew, and nobody has since */
	uint64_t rewritten_at;
	uint16_t cause;                    /* the trouble that touched it last */
};

struct world_schema {
	char name[32];
	uint32_t tenants;
	uint16_t host;
	bool owner_new, enabled, cached_old; /* cached_old: old nodes may still serve what they had cached */
	bool tasks_done, task_failed, locked;
	bool task_will_fail;                 /* until forced */
	uint64_t busy_until;                 /* virtual ms: a killed client's statement runs until then, and then has done its work; 0: none did */
	bool late;                           /* its tenants were made while provisioning was frozen */
	uint32_t strays;                     /* tenants somebody made on the old fleet after it had moved */
	bool unseen;                         /* enabled by hand inside its window, and nobody could know yet */
	bool lost;                           /* a failover lost something of it */
	uint64_t haunted_until;              /* an action nobody waits for any more may still come: I2 is excused so long */
	uint16_t cause;
};

/* A database server; 0 is the one that every unit depends on. */
struct world_host {
	uint64_t away_until, read_only_until, gone_at;
	uint32_t server, n_begun;
	int64_t began;
	uint16_t cause;
};

struct world {
	struct plain *plain;                 /* NULL: an OX site */
	struct world_node nodes[WORLD_NODES];
	uint32_t n_nodes;
	struct world_schema schemata[WORLD_SCHEMATA];
	uint32_t n_schemata;
	uint8_t admin[WORLD_BALANCERS][WORLD_PROCESSES][WORLD_NODES]; /* enum server_state; by place in the profile */
	uint32_t pid[WORLD_BALANCERS][WORLD_PROCESSES];
	bool hand[WORLD_BALANCERS][WORLD_PROCESSES][WORLD_NODES];     /* a person set it, nobody has since */
	uint64_t forgot_until[WORLD_BALANCERS][WORLD_PROCESSES];      /* reloaded: until then it may be wrong */
	uint64_t off_since[WORLD_BALANCERS][WORLD_PROCESSES][WORLD_NODES]; /* differs from what is in custody; 0: does not */
	uint8_t baseline[WORLD_BALANCERS];   /* what a process begins with; it forgets the rest */
	uint32_t n_balancers;
	struct world_host hosts[WORLD_HOSTS];
	uint32_t n_hosts;                    /* that somebody asks */
	bool registered;
	uint64_t now;
	char broken[256];                    /* the first invariant that broke; "" = none */
};

void world_init(struct world *world, uint32_t nodes, uint32_t schemata, uint64_t seed);
void world_done(struct world *world);

/* Whom a row stands for; NULL: none of these. */
struct world_node *world_node(const struct world *world, const struct rollout *r, uint32_t row);
struct world_schema *world_schema(const struct world *world, const struct rollout *r, uint32_t row);

/* What an action does, at its end. False: it reports failure (exit code not 0). */
bool world_act(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, const struct action *act, uint8_t dir);
/* The client of the unit's step is killed, its statement goes on for a while; or that is killed too: what it had begun is undone. */
void world_linger(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step);
void world_kill(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step);
/* The host of a lane is down: nothing starts there. */
bool world_lane_down(const struct world *world, const struct rollout *r, int32_t lane);
/* One process of a balancer, as a person, a put-back or half a command does it. */
void world_set_server(struct world *world, int balancer, int process, uint32_t node, enum server_state state, bool by_hand);
/* Whoever asks, or decides anew, is to see it from now on: who enabled it did so before. row: of a schema; -1: all. */
void world_seen(struct world *world, int32_t schema);
/* A configuration tool writes the node's file without what a step had set; or as it was set, by hand. */
void world_rewrite(struct world *world, uint32_t node, bool name, bool as_set);
/* The line that a step sets is as it sets it. */
bool world_line_is(const struct world *world, const struct rollout *r, uint32_t unit, const struct action *act);
/* READY waits for a node that serves. */
bool world_is_up(const struct world *world, const struct rollout *r, const struct unit *u);
/* The trouble that touched a unit's row, or for a cluster unit any row; 0: none. */
unsigned world_cause(const struct world *world, const struct rollout *r, const struct unit *u);
/* A number over everything that is left at the end; equal worlds have equal ones. Rows above the given numbers do not count. */
uint64_t world_digest(const struct world *world, uint32_t nodes, uint32_t schemata);
/* Whether a probe holds, and what it is asked for. step: NULL where it is of none. */
enum asked { ASKED_BEFORE, ASKED_DONE, ASKED_UNDONE, ASKED_ORPHANS };
bool world_probe(const struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, enum asked asked, const char *probe);
/* Writes what would be observed now into the facts. */
void world_facts(const struct world *world, struct rollout *r);
/* Invariants that can be judged from the world and the durable state; sets broken. */
void world_check(struct world *world, const struct rollout *r);
/* The end state a run without faults must reach; sets broken. */
void world_check_done(struct world *world, const struct rollout *r);
/* What an abort may leave: nothing disabled that no unit answers for, and old nodes serving as before. */
void world_check_aborted(struct world *world, const struct rollout *r);
void world_broken(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
