/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The unit's state machine: one row per rule, first match wins, and the table cannot be overridden. Only rollout_apply() assigns
 * a state; only through unit_next() is one chosen. A pair that is in no row is refused; unit_refusal() says why.
 */

#include <stdbool.h>
#include <stdint.h>

enum unit_state {
#define X(name, number, word, settled, doc) UNIT_##name = number,
#include "unit.def"
#undef X
	UNIT_STATES
};

/* What may happen to a unit. */
enum unit_event {
	UNIT_EV_ADMIT,   /* all it waited for is there */
	UNIT_EV_FINISH,  /* the last step is verified */
	UNIT_EV_FAIL,    /* a step failed for good */
	UNIT_EV_FAIL_BACK, /* a step failed for good, and going back is right (the window is open, the pivot not passed) */
	UNIT_EV_LOST,    /* nobody can know what a step did */
	UNIT_EV_TURN,    /* abort, before the pivot */
	UNIT_EV_BACK,    /* the first step is undone, after an abort */
	UNIT_EV_BACK_FAILED, /* the first step is undone, after a failure */
	UNIT_EV_SKIP,
	UNIT_EV_PARK,
	UNIT_EV_RETRY,
	UNIT_EV_REOPEN,  /* its row is observed as it was before */
	UNIT_EV_ADOPT,   /* opened again, and its row is observed as it should be */
	UNIT_EV_FENCE,   /* its node is away: nobody is to be sent there */
	UNIT_EV_RETURN,  /* the node of a fenced unit is seen again */
	UNIT_EV_AGAIN,   /* goes on from a step in its middle: a line that it had set is to be so again */
	UNIT_EV_ANEW,    /* begins from nothing: the whole rollout went back, and a person mended the cause */
	UNIT_EVENTS
};

struct unit_rule {
	enum unit_state from;
	enum unit_event event;
	enum unit_state to;
};

/* All rules, for tests, `upgd --print-doc` and the graph. */
const struct unit_rule *unit_rules(unsigned *n);

/* True and *to set if the event is legal in this state. */
bool unit_next(enum unit_state from, enum unit_event event, enum unit_state *to);
const char *unit_refusal(enum unit_state from, enum unit_event event); /* a sentence without subject: "is not started yet" */

const char *unit_state_word(unsigned state);
const char *unit_event_word(unsigned event);
bool unit_is_settled(unsigned state);
