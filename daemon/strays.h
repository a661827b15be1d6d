/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the runners of the site hold and nobody waits for any more. Records of tasks whose end is durable here are acknowledged once more:
 * the first time may have been lost with its channel. Tasks that still run are strays, and are named: of a rollout that is over, given up
 * by a person, or not in this journal at all. Nothing is ended.
 */

#include "core/rollout.h"

struct engine;
struct strays;
struct site;

struct strays *strays_new(struct site *site);
void strays_free(struct strays *strays); /* before the site; NULL is fine */
void strays_engine(struct strays *strays, struct engine *engine); /* before anything else; borrowed */

/* Every record as it is applied, folded ones too: which rollouts there were. */
void strays_applied(struct strays *strays, const struct rollout *r, const struct record *record);

/* Asks every place, soon: at the start of a life that finds a rollout, and when one is over. */
void strays_look(struct strays *strays);

/* A sentence for each, for people; NULL past the last. Borrowed, until the loop turns. */
const char *strays_text(const struct strays *strays, size_t i);
