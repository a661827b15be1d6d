/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A monitor that never stops asking: after each batch, and now and then between, for the status and one unit after the other; at the start of
 * each life and now and then for every view. upgctl's words are made of each answer. What reads the state must be able to read any state.
 */

#include "daemon/core/rollout.h"

struct ask;
struct engine;
struct sim;

struct ask *ask_new(struct sim *sim, struct engine *engine); /* both borrowed, longer-lived */
void ask_free(struct ask *ask);
void ask_applied(struct ask *ask, const struct rollout *rollout, const struct record *record);
/* What is no answer breaks the run. */
void ask_now(struct ask *ask);
