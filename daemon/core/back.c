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
			if (r->profile->stages[s].order == ORDER_PATH)
				longest += one;
			else
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

/* Every undo of it is legal now. */
static bool is_legal(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
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
	return true;
}

/* It stays as it is: past its pivot, or something of it could not be undone, or may not be now. */
static bool stands(const struct rollout *r, const struct unit *u)
{
	if ((u->flags & UNIT_PIVOT) != 0 || u->stays != 0)
		return true;
	return (u->state == UNIT_DONE || u->state == UNIT_UNDOING) && has_something(rollout_stage(r, u), u) && !is_legal(r, u);
}

/* An edge that somebody else has gone: what leads to its beginning is not undone under it. */
static bool is_theirs(const struct unit *u)
{
	return u->state == UNIT_DONE && (u->flags & UNIT_STARTED) != 0 && u->touched == 0;
}

/* Stages that something which stands needs: no dump is restored under a node on which users are again. */
static uint32_t under_what_stands(const struct rollout *r)
{
	uint32_t needs = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (stands(r, &r->units[i]))
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

/* Something that stands is built on it. */
static bool carries(const struct rollout *r, const struct unit *u, uint32_t under)
{
	const struct stage *stage = rollout_stage(r, u);
	uint32_t rank = r->rows[u->row].rank;
	bool does = (under & 1u << u->stage) != 0;
	if (has_floors(stage))
		return false;
	for (uint8_t s = 0; s < r->profile->n_stages && !does; s++)
		if ((r->profile->stages[s].same & 1u << u->stage) != 0 && r->profile->stages[s].set == stage->set)
			does = stands(r, &r->units[r->unit_of[s][rank]]);
	for (uint32_t k = rank + 1; stage->order == ORDER_PATH && k < r->n_set_rows[stage->set] && !does; k++)
		does = stands(r, &r->units[r->unit_of[u->stage][k]]) || is_theirs(&r->units[r->unit_of[u->stage][k]]);
	return does;
}

bool back_stood_on(const struct rollout *r, uint32_t unit)
{
	return carries(r, &r->units[unit], under_what_stands(r));
}

/* A finished unit that is to be taken back: no pivot, something to undo, and every undo of it legal now. */
static bool would_turn(const struct rollout *r, const struct unit *u)
{
	return u->state == UNIT_DONE && (u->flags & UNIT_PIVOT) == 0 && has_something(rollout_stage(r, u), u) && is_legal(r, u);
}

static bool should_turn(const struct rollout *r, const struct unit *u, uint32_t under)
{
	return would_turn(r, u) && !carries(r, u, under);
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

/* Of a path the last edge that was gone, alone. */
static bool turn_stage(struct rollout *r, struct out *out, uint8_t stage, uint32_t under)
{
	bool moved = false, is_path = r->profile->stages[stage].order == ORDER_PATH;
	for (uint32_t k = 0; k < r->n_order[stage] && !(moved && is_path); k++) {
		uint32_t unit = r->order[stage][is_path ? r->n_order[stage] - 1 - k : k];
		if (should_turn(r, &r->units[unit], under))
			moved |= unit_event(r, out, unit, UNIT_EV_TURN, NULL, back_word(r, out));
	}
	return moved;
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
	uint32_t turning = 0, under = under_what_stands(r);
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		turning |= any_turns(r, s, under) ? 1u << s : 0;
	int s = back_newest(r, turning);
	return s >= 0 && turn_stage(r, out, (uint8_t)s, under);
}

/* Nobody knows what it did, or it could not be undone. */
static bool is_open(const struct unit *u)
{
	return u->state == UNIT_UNCERTAIN || (u->state == UNIT_FAILED && u->touched != 0);
}

/* An edge before this one would be undone under it. */
static bool is_after_one(const struct rollout *r, const struct unit *u, uint32_t under)
{
	const struct stage *stage = rollout_stage(r, u);
	for (uint32_t k = 0; stage->order == ORDER_PATH && k < r->rows[u->row].rank; k++)
		if (should_turn(r, &r->units[r->unit_of[u->stage][k]], under))
			return true;
	return false;
}

/* What something open needs is not taken from under it before a person has said so. */
bool back_waits(const struct rollout *r)
{
	uint32_t open = 0, under = under_what_stands(r);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (!is_open(u))
			continue;
		if (is_after_one(r, u, under))
			return true;
		open |= rollout_stage(r, u)->needs | rollout_stage(r, u)->same;
	}
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
		if (is_open(u) && (u->state == UNIT_UNCERTAIN || (u->flags & UNIT_FENCE) == 0))
			return true;
	}
	return false;
}

uint32_t back_kept(const struct rollout *r)
{
	uint32_t under = under_what_stands(r);
	for (uint32_t i = 0; i < r->n_units; i++)
		if (would_turn(r, &r->units[i]) && carries(r, &r->units[i], under))
			return i;
	return RECORD_NO_UNIT;
}

static void rest(struct rollout *r, struct out *out)
{
	uint32_t undone = 0, parked = 0, stays = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		undone += r->units[i].state == UNIT_UNDONE;
		parked += r->units[i].state == UNIT_PARKED && r->units[i].touched != 0;
		stays += stands(r, &r->units[i]);
	}
	struct record *rec = out_record(r, out, RECORD_REST, RECORD_NO_UNIT);
	rec->text = out_text(out, "%u units undone", undone);
	if (parked > 0)
		rec->text = out_text(out, "%s, %u parked half way", rec->text, parked);
	if (stays > 0)
		rec->text = out_text(out, "%s, of %u something stays", rec->text, stays);
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
	if (back_turn_done(r, out))
		return true;
	if (back_kept(r) != RECORD_NO_UNIT) /* no rest: until a floor holds again, or a person ends it */
		return false;
	rest(r, out);
	return true;
}

/*
 * What was finished and has nothing to undo is done once more too: a dump of before would bring yesterday's data back. What could not be
 * undone stays as it is: a baseline taken of it now would be of our own doing, so that of before is kept.
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
