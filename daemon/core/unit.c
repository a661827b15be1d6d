/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stddef.h>

static const struct unit_rule rules[] = {
	{ UNIT_WAITING,   UNIT_EV_ADMIT,       UNIT_RUNNING },
	{ UNIT_WAITING,   UNIT_EV_SKIP,        UNIT_SKIPPED },
	{ UNIT_WAITING,   UNIT_EV_ADOPT,       UNIT_DONE },

	{ UNIT_RUNNING,   UNIT_EV_FINISH,      UNIT_DONE },
	{ UNIT_RUNNING,   UNIT_EV_FAIL_BACK,   UNIT_UNDOING },
	{ UNIT_RUNNING,   UNIT_EV_FAIL,        UNIT_FAILED },
	{ UNIT_RUNNING,   UNIT_EV_LOST,        UNIT_UNCERTAIN },
	{ UNIT_RUNNING,   UNIT_EV_TURN,        UNIT_UNDOING },

	{ UNIT_UNDOING,   UNIT_EV_BACK,        UNIT_UNDONE },
	{ UNIT_UNDOING,   UNIT_EV_BACK_FAILED, UNIT_FAILED },
	{ UNIT_UNDOING,   UNIT_EV_FAIL,        UNIT_FAILED },
	{ UNIT_UNDOING,   UNIT_EV_LOST,        UNIT_UNCERTAIN },

	{ UNIT_FAILED,    UNIT_EV_RETRY,       UNIT_RUNNING },
	{ UNIT_FAILED,    UNIT_EV_PARK,        UNIT_PARKED },
	{ UNIT_FAILED,    UNIT_EV_TURN,        UNIT_UNDOING },  /* abort brings back what had failed before its pivot */

	{ UNIT_UNCERTAIN, UNIT_EV_RETRY,       UNIT_RUNNING },
	{ UNIT_UNCERTAIN, UNIT_EV_PARK,        UNIT_PARKED },

	{ UNIT_PARKED,    UNIT_EV_RETRY,       UNIT_RUNNING },

	{ UNIT_SKIPPED,   UNIT_EV_RETRY,       UNIT_WAITING },

	{ UNIT_DONE,      UNIT_EV_TURN,        UNIT_UNDOING },  /* abort undoes finished units without a pivot */
	{ UNIT_DONE,      UNIT_EV_REOPEN,      UNIT_WAITING },
	{ UNIT_DONE,      UNIT_EV_FAIL,        UNIT_FAILED },   /* what was verified is not so any more: a failover lost it */

	{ UNIT_WAITING,   UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_RUNNING,   UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_FAILED,    UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_UNCERTAIN, UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_PARKED,    UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_SKIPPED,   UNIT_EV_FENCE,       UNIT_FENCED },
	{ UNIT_DONE,      UNIT_EV_AGAIN,       UNIT_RUNNING },  /* somebody changed a line that it had set */
	{ UNIT_DONE,      UNIT_EV_FENCE,       UNIT_FENCED },   /* what it set may be gone with the node's disk */
	{ UNIT_UNDONE,    UNIT_EV_ANEW,        UNIT_WAITING },  /* the rollout went back as a whole, and rested */
	{ UNIT_FAILED,    UNIT_EV_ANEW,        UNIT_WAITING },
	{ UNIT_PARKED,    UNIT_EV_ANEW,        UNIT_WAITING },
	{ UNIT_DONE,      UNIT_EV_ANEW,        UNIT_WAITING },  /* what had nothing to undo: a dump, a check */
	{ UNIT_FENCED,    UNIT_EV_RETURN,      UNIT_RUNNING },
};

static const char *const refusals[UNIT_STATES] = {
	[UNIT_WAITING] = "is not started yet",
	[UNIT_RUNNING] = "is running; let it end, or pause the rollout",
	[UNIT_UNDOING] = "is being undone; let it end",
	[UNIT_DONE] = "is done",
	[UNIT_FAILED] = "has failed; retry or park it",
	[UNIT_UNCERTAIN] = "is uncertain: look what its step did, then retry or park it",
	[UNIT_PARKED] = "is parked; retry takes it up again",
	[UNIT_SKIPPED] = "is skipped; retry takes it up again",
	[UNIT_UNDONE] = "was undone; a new start takes it up",
	[UNIT_FENCED] = "is fenced; it goes on when its node is seen again",
};

static const struct {
	const char *word;
	bool settled;
} states[UNIT_STATES] = {
#define X(name, number, word_, settled_, doc) [number] = { word_, settled_ },
#include "unit.def"
#undef X
};

static const char *const events[UNIT_EVENTS] = { "admit", "finish", "fail", "fail-back", "lost", "turn", "back",
	"back-failed", "skip", "park", "retry", "reopen", "adopt", "fence", "return", "again", "anew" };

const struct unit_rule *unit_rules(unsigned *n)
{
	*n = sizeof(rules) / sizeof(rules[0]);
	return rules;
}

bool unit_next(enum unit_state from, enum unit_event event, enum unit_state *to)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].from == from && rules[i].event == event) {
			*to = rules[i].to;
			return true;
		}
	}
	return false;
}

const char *unit_refusal(enum unit_state from, enum unit_event event)
{
	(void)event;
	return refusals[from];
}

const char *unit_state_word(unsigned state)
{
	return state < UNIT_STATES ? states[state].word : "?";
}

const char *unit_event_word(unsigned event)
{
	return event < UNIT_EVENTS ? events[event] : "?";
}

bool unit_is_settled(unsigned state)
{
	return state < UNIT_STATES && states[state].settled;
}
