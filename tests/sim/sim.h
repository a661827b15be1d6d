/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The real engine over a make-believe site, in virtual time. One struct sim is one run; everything random comes from its seed.
 */

#include "world.h"

#include <stdio.h>

enum sim_crash { CRASH_NONE, CRASH_BEFORE, CRASH_AFTER }; /* the batch is lost / the batch is kept, its effects are not */

struct sim_options {
	uint64_t seed;
	uint32_t nodes, schemata;
	uint32_t spare;            /* nodes that may be missing without loss of capacity; 0: one */
	const char *profile_text;
	FILE *transcript;          /* NULL: none */
	bool faults;               /* random failures, lost answers, reloads, persons */
	uint32_t crash_at;         /* the daemon dies when so many batches were made; 0: never */
	enum sim_crash crash;
	uint32_t crash_every;      /* and again each so many batches after; 0: once */
	bool approve;              /* nobody has to */
	uint64_t limit_ms;         /* virtual time at most */
};

struct sim;

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* Runs until the rollout is over, nothing moves any more or the time is up. */
void sim_run(struct sim *sim);
/* Runs until virtual time, or until it is over. */
void sim_run_until(struct sim *sim, uint64_t ms);

void sim_start(struct sim *sim, const char *until, const char *const *skip, bool on_failure_continue);
/* A person. unit: a name, or NULL. The answer comes when it is durable; sim_answer() runs until then. */
void sim_command(struct sim *sim, enum command_verb verb, const char *unit);
const char *sim_answer(struct sim *sim);
void sim_crash(struct sim *sim);    /* SIGKILL */
void sim_restart(struct sim *sim);

struct world *sim_world(struct sim *sim);
struct rollout *sim_rollout(struct sim *sim);
uint32_t sim_batches(const struct sim *sim);
uint32_t sim_records(const struct sim *sim);
uint64_t sim_now(const struct sim *sim);
const char *sim_broken(const struct sim *sim); /* "" = all invariants held */
enum sim_fate { FATE_FAILS, FATE_LOST_UNDONE, FATE_LOST_DONE, FATE_LINGERS };
void sim_fate(struct sim *sim, const char *step, enum sim_fate fate, unsigned times); /* of the next actions of that name */
void sim_set_clock(struct sim *sim, int64_t by_ms); /* the wall clock only */
void sim_away(struct sim *sim, const char *node, bool away, bool bare); /* bare: it comes back without what was set on it */
void sim_reload(struct sim *sim, int balancer, int process); /* HAProxy forgets */
void sim_person_sets(struct sim *sim, int balancer, const char *node, enum server_state state);
