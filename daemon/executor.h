/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Carries out effects at the site and looks at it: the engine's hands and eyes. Every effect is answered by exactly one event (or by none
 * if the daemon dies), always from the loop, never from inside executor_perform().
 */

#include "core/decide.h"
#include "engine.h"

struct loop;
struct site;
struct executor;

struct executor *executor_new(struct loop *loop, struct site *site, struct fail *fail);
void executor_free(struct executor *executor);            /* cancels; tasks go on in their runners */
void executor_engine(struct executor *executor, struct engine *engine); /* before anything else; borrowed */

/* engine_ops parts. */
void executor_perform(struct executor *executor, struct rollout *rollout, const struct effect *effect);
void executor_render(struct executor *executor, const struct rollout *rollout, struct record *intent);
void executor_applied(struct executor *executor, const struct rollout *rollout, const struct record *record); /* keeps captures */

/* Starts and stops the watch: balancers every config watch interval, sets every observe interval. Runs while a rollout is in memory (custody: also when it is over and not done). */
void executor_watch(struct executor *executor, bool on);

/* For status: the last snapshot of a process; NULL: never. */
struct haproxy_snapshot;
const char *executor_balancer_error(const struct executor *executor, const char *balancer); /* NULL: all processes answer and agree */

/* After a restart with a rollout: what earlier lives left at the runners. */
void executor_look_back(struct executor *executor);
/* A task that runs and is not waited for, as a sentence; NULL past the last. Borrowed. */
const char *executor_stray(const struct executor *executor, size_t i);

/* What is wrong with the waiting for the unit's action: no way to its host, and why. "": nothing. */
const char *executor_trouble(const struct executor *executor, uint32_t unit, char *buf, size_t size);

/* How far the unit's action is, where that can be told and nothing is wrong: "shedding 50 sessions a second, 340 left". Else "". */
const char *executor_doing(const struct executor *executor, uint32_t unit, char *buf, size_t size);

/* The captures of a unit as JSON, for show; NULL: none. Borrowed. */
const char *executor_captures(const struct executor *executor, uint32_t unit);
