/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of a unit's way share: advance.c (there), advance_back.c (back), advance_answer.c, advance_recheck.c, advance_failed.c. */

#include "decide.h"

enum {
	UNKNOWN_AGAIN_MS = 2000, /* a question that could not be asked is asked again */
	RERUNS_MAX = 10,         /* an action lost so often is not lost by chance */
};

/* again_ms: not before; 0: until something moves. */
void wait_for(struct rollout *r, struct out *out, uint32_t unit, enum why_kind kind, uint64_t again_ms);
void wait_unanswered(struct rollout *r, struct out *out, uint32_t unit, const char *text); /* said with the server that is away, if one is */
bool host_is_away(struct rollout *r, struct out *out, uint32_t unit, const struct action *act); /* true: it waits for it */

bool send_question(struct rollout *r, struct out *out, uint32_t unit, enum effect_kind kind, enum live_busy busy); /* true */
bool send_action(struct rollout *r, struct out *out, uint32_t unit, const struct step *step, const struct action *act); /* false: no place */
void record_want(struct rollout *r, struct out *out, uint32_t unit, const struct action *act, bool release);
bool send_orphans_look(struct rollout *r, struct out *out, uint32_t unit); /* true */
bool left_something(const struct unit *u, const struct step *step);

void step_end(struct rollout *r, struct out *out, uint32_t unit, enum step_end code, const char *text);

/* ---- advance_back.c ---- */

bool back_next(struct rollout *r, struct out *out, uint32_t unit);
bool undo_passed(struct rollout *r, struct out *out, uint32_t unit, bool was_first); /* a step is undone; true */
void nothing_to_undo(struct rollout *r, struct out *out, uint32_t unit, const char *text); /* its `unless` holds */

/* ---- advance_recheck.c ---- */

bool in_doubt(const struct rollout *r, const struct unit *u); /* nobody watched its window */
bool needs_recheck(const struct rollout *r, const struct unit *u);
void on_rechecked(struct rollout *r, struct out *out, const struct event *event);

/* ---- advance_failed.c ---- */

/* LOST: nobody knows what the attempt did, or its database was away: it does not use up a try. */
void retry_record(struct rollout *r, struct out *out, uint32_t unit, enum retry_kind kind, const char *text);
void unit_fail(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *text);
/* causes: bits of the rows of on_failure that fit. */
void step_failed(struct rollout *r, struct out *out, uint32_t unit, uint8_t causes, const char *text);
