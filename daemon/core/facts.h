/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The observed world in numbers, and floors on it. A floor is judged as if the action in question were already taken: a node whose unit
 * is under way serves nobody; a schema whose unit is under way counts on both fleets.
 */

#include "rollout.h"

/* True and *out if all that is needed was observed; false: something was never seen or is lost. candidate: a unit, or RECORD_NO_UNIT. */
bool facts_count(const struct rollout *r, const struct counter *counter, uint32_t candidate, bool over_one, int64_t *out);

enum floor_verdict { FLOOR_HOLDS, FLOOR_STOPS, FLOOR_UNKNOWN };

/* value and limit are set unless FLOOR_UNKNOWN. */
enum floor_verdict facts_floor(const struct rollout *r, const struct floor *floor, uint32_t candidate, int64_t *value, int64_t *limit);

/* Enabled tenants, and tenants inside open windows now. */
int64_t facts_tenants_down(const struct rollout *r);

/* The same, and tenants of units that have started and will open their window, or are about to start; without the unit in question. */
/* Tenants of a row, by the plan or by the last look, disabled ones too: they move with the others. */
int64_t facts_weight(const struct rollout *r, uint32_t row);
int64_t facts_tenants_committed(const struct rollout *r, uint32_t except);

/* The set's rows are observed: not the cluster's, not of a set that the plan has no stage for, not of a path that is at its end. */
bool facts_looked_at(const struct rollout *r, uint8_t set);
/* The oldest observation behind what floors count: nodes, tenants, balancers. Boot ms; 0: something was never seen. */
uint64_t facts_age(const struct rollout *r);
/*
 * The same with the rows of all sets: what the last look before the end needs. On the way back nobody starts by them, and the database
 * that says them may be what is to be brought back. At which level a path is, each edge asks for itself.
 */
uint64_t facts_age_all(const struct rollout *r);

/* The fact of a host (by number) or of a database (by index), made if it is new. Pointers to others are not good any more. */
struct fact_host *facts_host(struct rollout *r, bool is_database, uint32_t index, const char *name);
/* What a look that began at `looked` has shown. text: why it is away. True if it is otherwise than before. */
bool facts_host_seen(struct fact_host *host, uint64_t looked, int64_t wall_ms, bool away, bool read_only, const char *text);
/* The server on which this row's units cannot be worked now: WHY_HOST; WHY_NONE: there is none. */
struct why facts_host_held(const struct rollout *r, uint32_t row);
/* A server this row depends on that was away, read-only, restarted or replaced since then; NULL: none. */
const struct fact_host *facts_host_trouble(const struct rollout *r, uint32_t row, uint64_t since);
const struct fact_host *facts_host_of(const struct rollout *r, const struct why *why); /* of a WHY_HOST; NULL: not known any more */

/*
 * Which fleet does what is for this one: itself, or the new one when no node of the old is left. A schema that is taken up again then, for
 * what a failover lost, is away from the only cluster there is.
 */
uint8_t facts_fleet(const struct rollout *r, uint8_t class_);

/* A node of this class that can run something now: up, not under way itself; the best first by being ready somewhere. -1: none. */
int32_t facts_place(const struct rollout *r, uint8_t class_, uint32_t turn);

/*
 * One that we want elsewhere, or that a step is yet to let in, is READY by a person's hand or a reload, and not for long: nobody may rely
 * on it.
 */
bool facts_may_rely(const struct rollout *r, uint32_t row, uint8_t balancer);

/* True if the node's unit of a stage that takes it out is under way (or failed there), or the node is fenced. */
bool facts_node_out(const struct rollout *r, uint32_t row, uint32_t candidate);
