/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The eyes on the database servers that a rollout depends on: does it answer, may it be written to, is it the one it was? Each has a
 * connection of its own, so that a look never waits behind our probes. What is seen goes into the rollout's facts and to the engine.
 */

#include <stdbool.h>

struct site;
struct engine;
struct hosts;

typedef void hosts_fn(void *arg);

struct hosts *hosts_new(struct site *site);
void hosts_free(struct hosts *hosts); /* NULL is fine */
void hosts_engine(struct hosts *hosts, struct engine *engine);
void hosts_on(struct hosts *hosts, bool on);
void hosts_forget(struct hosts *hosts); /* another rollout is in memory; who waits is not called */

/* fn runs from the loop when every server has been looked at once more, or given up after a few seconds. */
void hosts_refresh(struct hosts *hosts, hosts_fn *fn, void *arg);
void hosts_refresh_cancel(struct hosts *hosts, void *arg); /* all of this arg */
