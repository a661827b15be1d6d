/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A make-believe OX site in memory: what the tools, the balancers and the databases would do, with their bad habits, under a virtual
 * clock. It knows the profile's tools and probes by name, as the real site does; the engine above it is the real one.
 */

#include "daemon/core/decide.h"
#include "daemon/engine.h"

enum { WORLD_NODES = 32, WORLD_SCHEMATA = 256, WORLD_PROCESSES = 2, WORLD_BALANCERS = 2 };

struct world_node {
	char name[16];
	bool is_new, running, name_new, redirect, push_off, deny;
	bool away;                         /* dead, or cut off: nobody reaches it, nothing ends on it */
	uint64_t boots_at;                 /* virtual ms: serves from then on */
};

struct world_schema {
	char name[32];
	uint32_t tenants;
	uint16_t host;
	bool owner_new, enabled, cached_old; /* cached_old: old nodes may still serve what they had cached */
	bool tasks_done, task_failed, locked;
	bool task_will_fail;                 /* until forced */
	uint64_t busy_until;                 /* virtual ms: a killed client's statement runs until then, and then has done its work; 0: none did */
};

struct world {
	struct world_node nodes[WORLD_NODES];
	uint32_t n_nodes;
	struct world_schema schemata[WORLD_SCHEMATA];
	uint32_t n_schemata;
	uint8_t admin[WORLD_BALANCERS][WORLD_PROCESSES][WORLD_NODES]; /* enum server_state: 0 main, 1 secondary */
	int64_t started_ms[WORLD_BALANCERS][WORLD_PROCESSES];         /* wall: the process' start */
	bool registered;
	uint64_t now;
	char broken[256];                    /* the first invariant that broke; "" = none */
};

void world_init(struct world *world, uint32_t nodes, uint32_t schemata, uint64_t seed);

/* What an action does, at its end. False: it reports failure (exit code not 0). */
bool world_act(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, const struct action *act, uint8_t dir);
/* The client of the unit's update is killed, its statement goes on for a while. */
void world_linger(struct world *world, const struct rollout *r, const struct unit *u);
/* What a probe says. */
bool world_probe(const struct world *world, const struct rollout *r, const struct unit *u, const char *probe);
/* Writes what would be observed now into the facts. */
void world_facts(const struct world *world, struct rollout *r);
/* Invariants that can be judged from the world and the durable state; sets broken. */
void world_check(struct world *world, const struct rollout *r);
/* The end state a run without faults must reach; sets broken. */
void world_check_done(struct world *world, const struct rollout *r);
/* What an abort may leave: nothing disabled that no unit answers for, and old nodes serving as before. */
void world_check_aborted(struct world *world, const struct rollout *r);
void world_broken(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
