/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A site that follows from a profile alone: no name of any system, tool or probe is known here. Each step of each unit is done or not;
 * what a probe says is whether the step that it is asked for is. A row is new once the step that makes it so is done, the level of a way is
 * that of the last edge gone, and an undo takes with it what came later and has no undo of its own: a dump that is restored.
 */

#include "sim.h"
#include "world.h"

/* Of one step of one unit. */
struct plain_step {
	bool applied;          /* it is so now */
	bool haunted;          /* by a client that nobody waited for any more: when and whether is nobody's fault */
	bool lost;             /* a failover had lost it once */
	uint32_t at;           /* the higher the later */
	bool denied;           /* and said not to be, or to be done once more */
	uint16_t times;        /* since it was not so */
	uint64_t busy_until;   /* a killed client's statement runs until then, and then has done its work; 0: none did */
};

struct plain {
	const struct profile *profile;  /* borrowed */
	struct plain_step *steps;       /* by unit, PROFILE_STEPS_MAX each */
	uint32_t n_units;
	struct { int stage, step; } arrival[8]; /* by set: this step makes its rows new; -1: none does */
	uint8_t begins_as[8];           /* by set: the class before */
	uint32_t n_rows[8];             /* of a set of SQL */
	uint32_t way[64], n_way[8], way_at[8]; /* by set of a path: its edges, from way_at on */
	uint32_t n_done;
	uint16_t cause;                 /* the trouble that touched a row which is no node last */
	bool ghostly;                   /* what is done now is done by such a client */
};

/* Makes the world too. */
struct plain *plain_new(struct world *world, const struct sim_options *options);
void plain_free(struct plain *plain);
size_t plain_rows(const struct world *world, struct engine_row *rows, char (*columns)[96], size_t max);

/* As in world.h. */
bool plain_act(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, const struct action *act, uint8_t dir);
bool plain_probe(const struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, enum asked asked, const char *probe);
void plain_facts(const struct world *world, struct rollout *r, uint32_t row, bool up);
void plain_linger(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step, uint64_t until); /* 0: it is killed too */
unsigned plain_cause(const struct world *world, const struct rollout *r, const struct unit *u);
void plain_blame(struct world *world, uint16_t trouble);
uint64_t plain_digest(const struct world *world);

/* Its client is gone, it may be done at any time; what is done until the end of this is. */
void plain_haunt(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step);
void plain_ghost(struct world *world, bool begins);
/* Another database server takes over: what was committed last is not there. */
void plain_lose(struct world *world, const struct rollout *r, uint16_t trouble);
/* There is nothing of it to undo: what it did is no matter. */
void plain_moot(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step);
/* A person says: once more; at rest of all. */
void plain_retry(struct world *world, const struct rollout *r, uint32_t unit);
/* It was said to have failed, whatever it did. */
void plain_deny(struct world *world, const struct rollout *r, const struct unit *u, const struct step *step);

/* What became of a step. */
struct plain_step *plain_step(const struct world *world, uint32_t unit, uint16_t step);
bool plain_applied(const struct world *world, uint32_t unit, uint16_t step);
bool plain_acts(const struct step *step); /* it does something */
/* As the steps that are done have told this server; else as it was at the start. */
enum server_state plain_server(const struct world *world, const struct rollout *r, uint32_t row, uint8_t balancer, const struct plain_step *without);
uint32_t plain_level(const struct world *world, const struct rollout *r, uint8_t set); /* edges gone */

/* plain_judge.c */
bool plain_stands_on(const struct rollout *r, uint32_t unit, uint32_t on); /* however far */
void plain_order(struct world *world, const struct rollout *r, uint32_t unit, uint16_t step, uint8_t dir); /* may this be done now? */
void plain_check(struct world *world, const struct rollout *r);
void plain_check_done(struct world *world, const struct rollout *r);
void plain_check_aborted(struct world *world, const struct rollout *r);
