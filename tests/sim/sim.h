/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The real engine over a make-believe site, in virtual time. One struct sim is one run; everything random comes from its seed.
 */

#include "trouble.h"
#include "world.h"

#include <stdio.h>

struct sim_options {
	uint64_t seed;
	uint32_t nodes, schemata;
	uint32_t spare;            /* nodes that may be missing without loss of capacity; 0: one */
	const char *profile_text;
	const struct profile *profile; /* as it is with these params: the site follows from it (plain.h); NULL: an OX site */
	const char *const *params;     /* KEY, VALUE ..., NULL */
	FILE *transcript;          /* NULL: none */
	const struct troubles *troubles; /* NULL: none; copied */
	bool person;               /* somebody comes by every half minute and deals with what waits for a person */
	bool keep_on;              /* start --on-failure=continue */
	bool approve;              /* nobody has to */
	bool ask;                  /* somebody never stops asking (ask.h) */
	uint64_t limit_ms;         /* virtual time at most */
};

struct sim;

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* Runs until the rollout is over, nothing moves any more or the time is up; then judges what is left (judge.c). */
void sim_run(struct sim *sim);
/* Runs until virtual time, or until it is over. */
void sim_run_until(struct sim *sim, uint64_t ms);

void sim_start(struct sim *sim, const char *until, const char *const *skip, bool on_failure_continue);
/* A person. unit: a name, or NULL. The answer comes when it is durable; sim_answer() runs until then. */
void sim_command(struct sim *sim, enum command_verb verb, const char *unit);
const char *sim_answer(struct sim *sim);
void sim_crash(struct sim *sim);    /* SIGKILL */
void sim_restart(struct sim *sim);
/* The next actions of a step's name have this trouble; or something happens now. */
void sim_fate(struct sim *sim, const char *step, enum trouble_kind kind, unsigned times);
void sim_strike(struct sim *sim, enum trouble_kind kind, uint32_t a, uint32_t b);

struct world *sim_world(struct sim *sim);
struct rollout *sim_rollout(struct sim *sim);
const struct troubles *sim_troubles(const struct sim *sim); /* what became of them */
uint32_t sim_batches(const struct sim *sim);
uint32_t sim_actions(const struct sim *sim);
uint32_t sim_questions(const struct sim *sim);
uint64_t sim_now(const struct sim *sim);
const char *sim_broken(const struct sim *sim); /* "" = all invariants held */
void sim_set_clock(struct sim *sim, int64_t by_ms); /* the wall clock only */
void sim_away(struct sim *sim, const char *node, bool away, bool bare); /* bare: it comes back without what was set on it */
void sim_failover(struct sim *sim, const char *schema); /* its server is another one, which never got the last update */
void sim_reload(struct sim *sim, int balancer, int process); /* HAProxy forgets */
void sim_person_sets(struct sim *sim, int balancer, const char *node, enum server_state state);
