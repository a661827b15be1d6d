/* SPDX-License-Identifier: MIT */
/*
 * How a rollout ends. `done`: every unit is done. `partial`: nothing is under way, nothing may start, and neither time nor a person's
 * answer would change that, because something was skipped or parked. `aborted`: what could be undone is, what is past its pivot
 * was finished, the rest stays in custody. It never ends by waiting for ever, and never by hoping.
 */
#include "back.h"

#include "facts.h"

#include <stdio.h>

enum { STUCK_MS = 3000 }; /* floors must stay shut so long, on fresh facts, before that is an outcome */

struct tally {
	uint32_t open, active, recheck, done, skipped, parked, failed, undone, fenced, stays;
};

static struct tally tally(const struct rollout *r)
{
	struct tally t = { 0 };
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		t.open += !unit_is_settled(u->state);
		t.active += u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
		t.done += u->state == UNIT_DONE;
		t.recheck += u->state == UNIT_DONE && (u->flags & UNIT_RECHECK) != 0;
		t.skipped += u->state == UNIT_SKIPPED;
		t.parked += u->state == UNIT_PARKED;
		t.failed += u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN;
		t.undone += u->state == UNIT_UNDONE;
		t.fenced += u->state == UNIT_FENCED;
		t.stays += (u->flags & UNIT_STAYS) != 0;
	}
	return t;
}

/* They held what needed them; at the end they are named. */
static const char *changed_lines(const struct rollout *r, struct out *out)
{
	char name[300] = "";
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_lines; i++)
		if (line_is_ours(r, r->lines[i].unit, r->lines[i].step) && n++ == 0)
			(void)rollout_unit_name(r, r->lines[i].unit, name, sizeof(name));
	return n > 0 ? out_text(out, "; %u line%s of files changed by somebody: upgctl log --unit %s", n, n == 1 ? "" : "s", name) : "";
}

static void end(struct rollout *r, struct out *out, enum rollout_state state, const struct tally *t)
{
	struct record *rec = out_record(r, out, RECORD_END, RECORD_NO_UNIT);
	rec->code = (uint16_t)state;
	rec->value = state == ROLLOUT_DONE ? 0 : 3;
	const char *fenced = t->fenced ? out_text(out, "; %u fenced: kept out until a person has looked", t->fenced) : "";
	rec->text = out_text(out, "%s: %u of %u units done, %u skipped, %u parked, %u failed, %u undone, %u not started%s%s%s",
		rollout_state_word(state), t->done, r->n_units, t->skipped, t->parked, t->failed, t->undone,
		t->open - t->failed - t->active, t->stays ? "; some of it stays" : "", fenced, changed_lines(r, out));
	out_commit(r, out, rec);
	(void)out_effect(out, EFFECT_ENDED, RECORD_NO_UNIT);
}

/* Facts younger than the last movement, or a look at the world under way to get them. */
bool outcome_facts_fresh(struct rollout *r, struct out *out)
{
	if (facts_age_all(r) > r->moved_at)
		return true;
	if (r->observe_at == 0 || r->now - r->observe_at > 10000) {
		r->observe_at = r->now;
		(void)out_effect(out, EFFECT_OBSERVE, RECORD_NO_UNIT);
	}
	out_wake(out, r->now + 1000);
	return false;
}

/* Does anything wait for time, the world or a person? */
static bool may_still_move(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if (fence_is_back(r, &r->units[i]))
			return true;
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		enum why_kind stage = r->stage_why[s].kind;
		if (stage != WHY_NONE && stage != WHY_ORDER)
			return true;
		for (uint32_t k = 0; stage == WHY_NONE && k < r->n_order[s]; k++) {
			uint32_t unit = r->order[s][k];
			const struct why *why = &r->live[unit].why;
			bool parked = why->kind == WHY_FENCED && r->units[why->other].state == UNIT_PARKED; /* somebody gave up letting it in */
			if (r->units[unit].state == UNIT_WAITING && why->kind != WHY_ORDER && why->kind != WHY_FLOOR && !parked)
				return true;
		}
	}
	return false;
}

static bool running_step(struct rollout *r, struct out *out, const struct tally *t)
{
	if (t->active > 0)
		return false;
	if (r->back != BACK_NO)
		return back_step(r, out);
	if (t->recheck > 0)
		return false;
	if (t->open == 0) {
		if (!outcome_facts_fresh(r, out))
			return false; /* a last look: a row may be as it was before */
		end(r, out, t->skipped + t->parked + t->fenced == 0 ? ROLLOUT_DONE : ROLLOUT_PARTIAL, t);
		return true;
	}
	if (t->failed > 0 || t->skipped + t->parked + t->fenced == 0 || may_still_move(r))
		return false;
	if (!outcome_facts_fresh(r, out))
		return false;
	if (r->stuck_at == 0)
		r->stuck_at = r->now;
	if (r->now - r->stuck_at < STUCK_MS) {
		out_wake(out, r->stuck_at + STUCK_MS);
		return false;
	}
	end(r, out, ROLLOUT_PARTIAL, t);
	return true;
}

/* Tenants are down and only a person can say what next: retry goes on with the way it was on, park gives up. No end before that. */
static bool window_waits(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if ((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && (u->flags & UNIT_WINDOW) != 0)
			return true;
	}
	return false;
}

static bool aborting_step(struct rollout *r, struct out *out, const struct tally *t)
{
	if (t->active > 0)
		return false;
	if (back_turn_failed(r, out))
		return true;
	if (window_waits(r))
		return false;
	if (!outcome_facts_fresh(r, out))
		return false;
	if (back_waits(r))
		return false;
	if (back_turn_done(r, out))
		return true;
	struct tally now = tally(r);
	end(r, out, ROLLOUT_ABORTED, &now);
	return true;
}

bool outcome_step(struct rollout *r, struct out *out)
{
	struct tally t = tally(r);
	return r->state == ROLLOUT_ABORTING ? aborting_step(r, out, &t) : running_step(r, out, &t);
}
