/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Why something does not go on, in words for people: who can change that and how. The sentence itself is why_text() of decide.h.
 * Pure; what the words rest on was found by admit.c and advance.c.
 */

#include "rollout.h"

/* "operator" (a person), "time" (it goes on by itself), "world" (something outside must become so). */
const char *why_who(enum why_kind kind);

/*
 * The verb that lifts it, "upgctl approve prepare/freeze", or what a person does elsewhere; "" if there is nothing to do. unit may be
 * RECORD_NO_UNIT.
 */
const char *why_how(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size);

/* How often the step at hand is tried before it is a failure. */
unsigned explain_tries(const struct unit *unit, const struct step *step);

/* What is most worth saying first, when nothing goes on for several reasons: higher is said first. */
unsigned why_weight(enum why_kind kind);

/* Why no new unit starts and no step outside a window is sent: a person, a stop, the disk, a failure, --until. */
bool why_is_of_rollout(enum why_kind kind);
