/* SPDX-License-Identifier: MIT */
#pragma once
/* Taking a rollout back: by an abort, which ends it, or by a row of on_failure, after which it rests. */

#include "decide.h"

uint32_t back_barred(const struct rollout *r);                              /* a unit past its pivot, or RECORD_NO_UNIT */
void back_begin(struct rollout *r, struct out *out, uint32_t unit, const char *text); /* because of this unit's failure */
const char *back_word(const struct rollout *r, struct out *out);            /* why units turn */
bool back_turn_failed(struct rollout *r, struct out *out);
bool back_turn_done(struct rollout *r, struct out *out);
int back_newest(const struct rollout *r, uint32_t stages);                  /* of these the one to be taken back first, wherever it is written; -1: none */
bool back_waits(const struct rollout *r);                                    /* for a person, before anything is taken from under what is not known */
uint32_t back_kept(const struct rollout *r);                                /* not undone, for what stands on it is not; or RECORD_NO_UNIT */
bool back_stood_on(const struct rollout *r, uint32_t unit);                  /* what is built on it is not undone, as far as that is known */
bool back_step(struct rollout *r, struct out *out);                         /* nothing is under way; true: something was recorded */
uint32_t back_anew(struct rollout *r, struct out *out, const char *actor, const char *reason); /* how many units wait again */

/*
 * How long it would take to undo what was begun, by what the profile says of each undo: stage by stage, the newest first, the units of a stage
 * beside each other. False: nothing is there to undo, or a unit is past its pivot. more: of some of it the profile says nothing.
 */
bool back_takes(const struct rollout *r, uint64_t *ms, bool *more);

/* ---- outcome.c ---- */

bool outcome_facts_fresh(struct rollout *r, struct out *out); /* younger than the last movement; else they are asked for */
