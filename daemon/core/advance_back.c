/* SPDX-License-Identifier: MIT */
/* The way back of one unit: from the last step that was ever sent to the first, each undone where that is legal. */
#include "advance.h"

#include "back.h"
#include "facts.h"

#include <stdio.h>

bool undo_passed(struct rollout *r, struct out *out, uint32_t unit, bool was_first)
{
	if (!was_first)
		return true;
	const struct unit *u = &r->units[unit];
	if ((u->flags & UNIT_TURNED) != 0)
		(void)unit_event(r, out, unit, UNIT_EV_BACK, NULL, (u->flags & UNIT_STAYS) ? "undone but for what had to stay" : NULL);
	else
		unit_fail(r, out, unit, UNIT_EV_BACK_FAILED, rollout_stage(r, u)->has_window ? "undone after the failure; its window is closed" : "undone after the failure");
	return true;
}

/* Legal now? Judged on facts younger than the question. */
static enum floor_verdict undo_is_legal(struct rollout *r, const struct step *step, const char **which, uint8_t *floor, int64_t *value, struct out *out)
{
	for (size_t i = 0; i < step->n_undo_while; i++) {
		*floor = (uint8_t)i;
		int64_t limit;
		enum floor_verdict verdict = facts_floor(r, &step->undo_while[i], RECORD_NO_UNIT, value, &limit);
		if (verdict != FLOOR_HOLDS) {
			char name[64];
			*which = out_text(out, "%s", counter_text(r->profile, &step->undo_while[i].what, name, sizeof(name)));
			return verdict;
		}
	}
	return FLOOR_HOLDS;
}

static bool back_stays(struct rollout *r, struct out *out, uint32_t unit, const char *which, int64_t value)
{
	bool was_first = r->units[unit].step == 0;
	struct record *rec = out_record(r, out, RECORD_STAYS, unit);
	rec->value = value;
	rec->text = out_text(out, "not undone, it would strand users: %s is %lld", which, (long long)value);
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	return undo_passed(r, out, unit, was_first);
}

void nothing_to_undo(struct rollout *r, struct out *out, uint32_t unit, const char *text)
{
	const struct action *undo = &rollout_step(r, &r->units[unit])->undo;
	bool was_first = r->units[unit].step == 0;
	if (undo->kind == ACTION_SERVER)
		record_want(r, out, unit, undo, undo->restore); /* as if it had been undone: else custody goes on wanting what the step had set */
	step_end(r, out, unit, STEP_UNDONE, out_text(out, "nothing to undo: %s", text != NULL ? text : "it is so"));
	(void)undo_passed(r, out, unit, was_first);
}

/* What is asked right before an undo is not asked so when the undo has to wait: it is asked again. */
static bool undo_send(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	struct live *live = &r->live[unit];
	if (host_is_away(r, out, unit, &step->undo)) {
		live->asked = false;
		return false;
	}
	if (step->n_undo_unless > 0 && !live->asked)
		return send_question(r, out, unit, EFFECT_ASK, BUSY_ASK);
	if (send_action(r, out, unit, step, &step->undo))
		return true;
	live->asked = false;
	return false;
}

bool back_next(struct rollout *r, struct out *out, uint32_t unit)
{
	struct unit *u = &r->units[unit];
	struct live *live = &r->live[unit];
	const struct step *step = rollout_step(r, u);
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
	if (left_something(u, step) && !live->clear)
		return send_orphans_look(r, out, unit);
	if (!step->has_undo || (u->touched & (1u << u->step)) == 0) {
		bool was_first = u->step == 0;
		step_end(r, out, unit, STEP_SKIPPED, NULL);
		return undo_passed(r, out, unit, was_first);
	}
	if (step->n_undo_while > 0 && live->gate_at == 0) {
		live->busy = BUSY_OBSERVE;
		live->gate_at = r->now;
		(void)out_effect(out, EFFECT_OBSERVE, unit);
		return true;
	}
	const char *which = "";
	int64_t value = 0;
	uint8_t floor = 0;
	enum floor_verdict verdict = undo_is_legal(r, step, &which, &floor, &value, out);
	if (verdict == FLOOR_UNKNOWN) {
		live->gate_at = 0;
		wait_for(r, out, unit, WHY_UNKNOWN, UNKNOWN_AGAIN_MS);
		return false;
	}
	if (verdict == FLOOR_STOPS && r->back == BACK_GOING && back_kept(r) != RECORD_NO_UNIT) { /* not for good: what is under it would be kept, and no rest come */
		live->gate_at = 0;
		wait_for(r, out, unit, WHY_FLOOR, UNKNOWN_AGAIN_MS);
		live->why.floor = floor;
		live->why.value = value;
		return false;
	}
	if (verdict == FLOOR_STOPS)
		return back_stays(r, out, unit, which, value);
	if (u->attempt > 1 && step->n_undo_verify > 0 && !live->asked_undone) /* a tool refuses what a person has undone */
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	return undo_send(r, out, unit, step);
}
