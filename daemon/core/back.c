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
	rec->text = out_text(out, "%s: %.*s", rollout_step(r, &r->units[unit])->name, (int)strcspn(text, "\n"), text); /* it will stand at its first step */
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

/* Of one unit. */
static bool undo_takes(const struct rollout *r, const struct unit *u, uint64_t *ms, bool *more)
{
	const struct stage *stage = rollout_stage(r, u);
	*ms = 0;
	for (size_t i = 0; i < stage->n_steps; i++) {
		if ((u->touched & (1u << i)) == 0 || !stage->steps[i].has_undo)
			continue;
		*ms += stage->steps[i].undo_takes_ms;
		*more |= stage->steps[i].undo_takes_ms == 0;
	}
	return has_something(stage, u);
}

bool back_takes(const struct rollout *r, uint64_t *ms, bool *more)
{
	bool any = false;
	*ms = 0;
	*more = false;
	if (rollout_is_over(r) || back_barred(r) != RECORD_NO_UNIT)
		return false;
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		uint64_t longest = 0, one;
		for (uint32_t k = 0; k < r->n_order[s]; k++) {
			if (!undo_takes(r, &r->units[r->order[s][k]], &one, more))
				continue;
			any = true;
			longest = one > longest ? one : longest;
		}
		*ms += longest;
	}
	return any;
}

/* All stages that these come after, however far; order: those too that they only follow, not need. */
static uint32_t before(const struct rollout *r, uint32_t bits, bool order)
{
	uint32_t last = 0;
	while (bits != last) {
		last = bits;
		for (uint8_t s = 0; s < r->profile->n_stages; s++) {
			const struct stage *stage = &r->profile->stages[s];
			if ((last & 1u << s) != 0)
				bits |= stage->needs | (order ? stage->after | stage->same : 0);
		}
	}
	return bits;
}

/* Stages that something past its pivot needs: no dump is restored under a node on which users are again. */
static uint32_t under_pivots(const struct rollout *r)
{
	uint32_t needs = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if ((r->units[i].flags & UNIT_PIVOT) != 0)
			needs |= rollout_stage(r, &r->units[i])->needs;
	return before(r, needs, false);
}

/* Where an undo of it has floors of its own, those say when it may go: the author has thought of it. */
static bool has_floors(const struct stage *stage)
{
	for (size_t i = 0; i < stage->n_steps; i++)
		if (stage->steps[i].n_undo_while > 0)
			return true;
	return false;
}

static bool carries_a_pivot(const struct rollout *r, const struct unit *u, uint32_t under)
{
	const struct stage *stage = rollout_stage(r, u);
	bool carries = (under & 1u << u->stage) != 0;
	if (has_floors(stage))
		return false;
	for (uint8_t s = 0; s < r->profile->n_stages && !carries; s++)
		if ((r->profile->stages[s].same & 1u << u->stage) != 0 && r->profile->stages[s].set == stage->set)
			carries = (r->units[r->unit_of[s][r->rows[u->row].rank]].flags & UNIT_PIVOT) != 0;
	return carries;
}

/* A finished unit that is to be taken back: no pivot, none that stands on it, something to undo, and every undo of it legal now. */
static bool should_turn(const struct rollout *r, const struct unit *u, uint32_t under)
{
	const struct stage *stage = rollout_stage(r, u);
	if (u->state != UNIT_DONE || (u->flags & UNIT_PIVOT) != 0 || carries_a_pivot(r, u, under))
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

static bool any_turns(const struct rollout *r, uint8_t stage, uint32_t under)
{
	for (uint32_t k = 0; k < r->n_order[stage]; k++)
		if (should_turn(r, &r->units[r->order[stage][k]], under))
			return true;
	return false;
}

int back_newest(const struct rollout *r, uint32_t stages)
{
	for (int s = (int)r->profile->n_stages - 1; s >= 0; s--)
		if ((stages & 1u << s) != 0 && (before(r, stages & ~(1u << s), true) & 1u << s) == 0)
			return s;
	return -1;
}

/* What comes later first; all of one stage before the next. */
bool back_turn_done(struct rollout *r, struct out *out)
{
	uint32_t turning = 0, under = under_pivots(r);
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		turning |= any_turns(r, s, under) ? 1u << s : 0;
	bool moved = false;
	int s = back_newest(r, turning);
	for (uint32_t k = 0; s >= 0 && k < r->n_order[s]; k++)
		if (should_turn(r, &r->units[r->order[s][k]], under))
			moved |= unit_event(r, out, r->order[s][k], UNIT_EV_TURN, NULL, back_word(r, out));
	return moved;
}

/* Nobody knows what a unit did, or it could not be undone: what it needs is not taken from under it before a person has said so. */
bool back_waits(const struct rollout *r)
{
	uint32_t open = 0, under = under_pivots(r);
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state == UNIT_UNCERTAIN || (r->units[i].state == UNIT_FAILED && r->units[i].touched != 0))
			open |= rollout_stage(r, &r->units[i])->needs | rollout_stage(r, &r->units[i])->same;
	open = before(r, open, false);
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		if ((open & 1u << s) != 0 && !has_floors(&r->profile->stages[s]) && any_turns(r, s, under))
			return true;
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
