/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The eyes on a rollout's world: one on each balancer process, one on each set. They look at their own pace while the watch is on, and at
 * once when somebody asks for a fresh look. What they see goes into the rollout's facts; what changed is told to the engine.
 */

#include "proto/fail.h"

#include <stdbool.h>

struct site;
struct engine;
struct watch;

typedef void watch_fn(void *arg);

struct watch *watch_new(struct site *site);
void watch_free(struct watch *watch); /* NULL is fine */
void watch_engine(struct watch *watch, struct engine *engine);
void watch_on(struct watch *watch, bool on);

/* fn runs when every eye has finished a look that began after this call, and EVENT_FACTS was told. Those who ask at once share the look. */
void watch_refresh(struct watch *watch, watch_fn *fn, void *arg);
void watch_refresh_cancel(struct watch *watch, void *arg); /* all of this arg */

/* Another rollout is in memory: what was known of the one before is dropped, and who waits for a look is not called. */
void watch_forget(struct watch *watch);

/* NULL: all processes of it answer and agree. Borrowed until the loop turns. */
const char *watch_error(struct watch *watch, const char *balancer);
