/* SPDX-License-Identifier: MIT */
/*
 * Custody of lines: what a step set in a file of its node stays so until a later step sets the same line, it is undone, or all is done. A
 * line is read now and then, and before units start that need it. One that is otherwise shows somebody's hand, a package's or a
 * configuration tool's: contested, shown, never fought. What needs its unit waits, and so do units of its node.
 *
 * Set again, by retry, or by hand and seen so: the unit goes on from that step, because what comes after it has the node read the file.
 */
#include "decide.h"

#include <string.h>

static bool is_edit(const struct step *step)
{
	return step->act.kind == ACTION_EDIT && step->n_on == 1 && step->on[0] == LANE_ON_SELF;
}

static bool same_line(const struct action *a, const struct action *b)
{
	return strcmp(a->file, b->file) == 0 && strcmp(a->line, b->line) == 0;
}

/* By a stage that comes later in the profile: sent, and not undone. */
bool line_is_set_later(const struct rollout *r, const struct unit *u, const struct step *step)
{
	for (uint8_t s = (uint8_t)(u->stage + 1); is_edit(step) && s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		if (stage->set != rollout_stage(r, u)->set || r->unit_of[s] == NULL)
			continue;
		const struct unit *other = &r->units[r->unit_of[s][r->rows[u->row].rank]];
		for (size_t k = 0; k < stage->n_steps; k++)
			if ((other->touched & (1u << k)) != 0 && is_edit(&stage->steps[k]) && same_line(&stage->steps[k].act, &step->act))
				return true;
	}
	return false;
}

static bool is_set_later_here(const struct unit *u, const struct stage *stage, uint16_t step)
{
	for (size_t k = step + 1u; k < stage->n_steps; k++)
		if ((u->touched & (1u << k)) != 0 && is_edit(&stage->steps[k]) && same_line(&stage->steps[k].act, &stage->steps[step].act))
			return true;
	return false;
}

bool line_is_ours(const struct rollout *r, uint32_t unit, uint16_t step)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	if (r->state == ROLLOUT_DONE || step >= stage->n_steps || !is_edit(&stage->steps[step]) || (u->touched & (1u << step)) == 0)
		return false;
	bool stands = u->state == UNIT_DONE || u->state == UNIT_RUNNING || u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN || u->state == UNIT_PARKED;
	bool finished = u->state == UNIT_DONE || (u->dir == DIR_DO && u->step > step);
	return stands && finished && !is_set_later_here(u, stage, step) && !line_is_set_later(r, u, &stage->steps[step]);
}

const struct changed_line *line_changed(const struct rollout *r, uint32_t unit)
{
	const struct changed_line *first = NULL;
	for (uint32_t i = 0; i < r->n_lines; i++) {
		const struct changed_line *line = &r->lines[i];
		if (line->unit == unit && (first == NULL || line->step < first->step) && line_is_ours(r, unit, line->step))
			first = line;
	}
	return first;
}

struct why line_why(const struct changed_line *line)
{
	return (struct why){ .kind = WHY_CONTESTED, .balancer = WHY_LINE, .other = line->unit, .floor = (uint8_t)line->step, .since_ms = line->since_ms };
}

struct why line_held(const struct rollout *r, uint32_t stages, uint32_t row)
{
	for (uint32_t i = 0; i < r->n_lines; i++) {
		const struct unit *u = &r->units[r->lines[i].unit];
		if (((stages & (1u << u->stage)) != 0 || u->row == row) && line_is_ours(r, r->lines[i].unit, r->lines[i].step))
			return line_why(&r->lines[i]);
	}
	return (struct why){ .kind = WHY_NONE };
}

/* Another unit works on the row: it may be about to set the line itself. */
static bool is_worked_on(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		if (r->profile->stages[s].set != rollout_stage(r, u)->set || r->unit_of[s] == NULL)
			continue;
		const struct unit *other = &r->units[r->unit_of[s][r->rows[u->row].rank]];
		if (other != u && other->state != UNIT_WAITING && !unit_is_settled(other->state))
			return true;
	}
	return false;
}

bool line_again(struct rollout *r, struct out *out, uint32_t unit, const char *actor, const char *text)
{
	const struct changed_line *line = line_changed(r, unit);
	const struct unit *u = &r->units[unit];
	bool stands = u->state == UNIT_RUNNING && r->live[unit].busy == BUSY_NO && u->phase == PHASE_NEXT;
	if (line == NULL || r->state != ROLLOUT_RUNNING || r->back != BACK_NO || (u->state != UNIT_DONE && !stands) || is_worked_on(r, unit))
		return false;
	uint16_t step = line->step;
	if (u->state == UNIT_DONE)
		(void)unit_event(r, out, unit, UNIT_EV_AGAIN, actor, text);
	struct record *rec = out_record(r, out, RECORD_LINE, unit);
	rec->code = LINE_AGAIN;
	rec->step = step;
	rec->attempt = 1;
	rec->actor = actor;
	rec->text = text != NULL && text[0] != '\0' ? out_text(out, "%s", text) : NULL;
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	return true;
}

static const struct changed_line *find(const struct rollout *r, uint32_t unit, uint16_t step)
{
	for (uint32_t i = 0; i < r->n_lines; i++)
		if (r->lines[i].unit == unit && r->lines[i].step == step)
			return &r->lines[i];
	return NULL;
}

void line_seen(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->unit >= r->n_units || !line_is_ours(r, ev->unit, ev->step))
		return;
	const struct unit *u = &r->units[ev->unit];
	const struct changed_line *line = find(r, ev->unit, ev->step);
	const char *text = ev->text != NULL ? ev->text : "";
	bool as_set = ev->value != 0;
	if (as_set ? line == NULL : line != NULL && strcmp(line->text, text) == 0)
		return;
	bool first = as_set && line == line_changed(r, ev->unit);
	if (first && r->state == ROLLOUT_RUNNING && u->state == UNIT_DONE) {
		if (admit_retry(r, ev->unit).kind == WHY_NONE) /* else at one of the next looks */
			(void)line_again(r, out, ev->unit, NULL, "its line is as it was set again: from there on once more, so that it is read");
		return;
	}
	struct record *rec = out_record(r, out, RECORD_LINE, ev->unit);
	rec->code = as_set ? LINE_LIFTED : LINE_CHANGED;
	rec->step = ev->step;
	rec->text = as_set ? NULL : out_text(out, "%s", text);
	out_commit(r, out, rec);
}
