/* SPDX-License-Identifier: MIT */
/*
 * The way back of the whole rollout, by a row of on_failure: as an abort would, the newest stages first, but its end is a rest. Users are
 * served as before; a person mends what is named, and a retry begins anew. Nothing is taken back past a pivot: then it is a hold.
 */
#include "back.h"

#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint32_t back_barred(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if ((r->units[i].flags & UNIT_PIVOT) != 0)
			return i;
	return RECORD_NO_UNIT;
}

void back_begin(struct rollout *r, struct out *out, uint32_t unit, const char *text)
{
	struct record *rec = out_record(r, out, RECORD_BACK, unit);
	rec->text = out_text(out, "%.*s", (int)strcspn(text, "\n"), text);
	out_commit(r, out, rec);
}

const char *back_word(const struct rollout *r, struct out *out)
{
	char name[300];
	if (r->back == BACK_NO)
		return "abort";
	return out_text(out, "the rollout goes back: %s failed", rollout_unit_name(r, r->back_unit, name, sizeof(name)));
}

/* Of a finished unit: something was done that can be undone. */
static bool has_something(const struct stage *stage, const struct unit *u)
{
	for (size_t i = 0; i < stage->n_steps; i++)
		if ((u->touched & (1u << i)) != 0 && stage->steps[i].has_undo)
			return true;
	return false;
}

/* A finished unit that is to be taken back: no pivot, something to undo, and every undo of it legal now. */
static bool should_turn(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
	if (u->state != UNIT_DONE || (u->flags & UNIT_PIVOT) != 0)
		return false;
	for (size_t i = 0; i < stage->n_steps; i++) {
		const struct step *step = &stage->steps[i];
		if ((u->touched & (1u << i)) == 0 || !step->has_undo)
			continue;
		for (size_t k = 0; k < step->n_undo_while; k++) {
			int64_t value, limit;
			if (facts_floor(r, &step->undo_while[k], RECORD_NO_UNIT, &value, &limit) != FLOOR_HOLDS)
				return false;
		}
	}
	return has_something(stage, u);
}

/* A node that was fenced and is back stays fenced: what it needs to be let in is ahead of it, not behind. */
bool back_turn_failed(struct rollout *r, struct out *out)
{
	bool moved = false;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (u->state == UNIT_FAILED && u->dir == DIR_DO && (u->flags & (UNIT_PIVOT | UNIT_FENCE)) == 0 && u->touched != 0)
			moved |= unit_event(r, out, i, UNIT_EV_TURN, NULL, back_word(r, out));
	}
	return moved;
}

/* Later stages first, all of one before the next. */
bool back_turn_done(struct rollout *r, struct out *out)
{
	for (int s = (int)r->profile->n_stages - 1; s >= 0; s--) {
		bool moved = false;
		for (uint32_t k = 0; k < r->n_order[s]; k++)
			if (should_turn(r, &r->units[r->order[s][k]]))
				moved |= unit_event(r, out, r->order[s][k], UNIT_EV_TURN, NULL, back_word(r, out));
		if (moved)
			return true;
	}
	return false;
}

/* Something could not be undone: what comes before it is not undone over it. A person retries the undo, or parks it. */
static bool undo_waits(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (u->state == UNIT_UNCERTAIN || (u->state == UNIT_FAILED && u->touched != 0 && (u->flags & UNIT_FENCE) == 0))
			return true;
	}
	return false;
}

static void rest(struct rollout *r, struct out *out)
{
	uint32_t undone = 0, parked = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		undone += r->units[i].state == UNIT_UNDONE;
		parked += r->units[i].state == UNIT_PARKED && r->units[i].touched != 0;
	}
	struct record *rec = out_record(r, out, RECORD_REST, RECORD_NO_UNIT);
	rec->text = out_text(out, "%u units undone", undone);
	if (parked > 0)
		rec->text = out_text(out, "%s, %u parked half way", rec->text, parked);
	out_commit(r, out, rec);
}

bool back_step(struct rollout *r, struct out *out)
{
	if (r->back != BACK_GOING)
		return false;
	if (back_turn_failed(r, out))
		return true;
	if (undo_waits(r) || !outcome_facts_fresh(r, out))
		return false;
	if (!back_turn_done(r, out))
		rest(r, out);
	return true;
}

/*
 * What was finished and has nothing to undo is done once more too: a dump of before would bring yesterday's data back. What could not be
 * undone stays as it is: a baseline taken of it now would be of our own doing.
 */
static bool begins_anew(const struct rollout *r, const struct unit *u)
{
	if (u->state == UNIT_DONE)
		return (u->flags & UNIT_STARTED) != 0 && !has_something(rollout_stage(r, u), u);
	return u->state == UNIT_UNDONE || ((u->state == UNIT_FAILED || u->state == UNIT_PARKED) && u->touched == 0);
}

uint32_t back_anew(struct rollout *r, struct out *out, const char *actor, const char *reason)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (begins_anew(r, &r->units[i]))
			n += unit_event(r, out, i, UNIT_EV_ANEW, actor, NULL);
	struct record *rec = out_record(r, out, RECORD_ANEW, RECORD_NO_UNIT);
	rec->actor = actor;
	rec->text = reason != NULL && reason[0] != '\0' ? out_text(out, "%s", reason) : NULL;
	out_commit(r, out, rec);
	return n;
}
