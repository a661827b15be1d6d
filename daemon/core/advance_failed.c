/* SPDX-License-Identifier: MIT */
/* A step has failed: what is done about it. */
#include "advance.h"

enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000 };

static bool retries_left(const struct unit *u, const struct step *step)
{
	return u->attempt - u->lost <= (u->dir == DIR_UNDO ? ADVANCE_UNDO_TRIES : step->retry);
}

void retry_record(struct rollout *r, struct out *out, uint32_t unit, bool is_lost, const char *text)
{
	struct unit *u = &r->units[unit];
	uint64_t pause = (uint64_t)RETRY_FIRST_MS << (u->attempt < 6 ? u->attempt - 1 : 5);
	struct record *rec = out_record(r, out, RECORD_RETRY, unit);
	rec->code = is_lost;
	rec->text = text != NULL ? out_text(out, "%s", text) : NULL;
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	r->live[unit].retry_at = r->now + (pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
	out_wake(out, r->live[unit].retry_at);
}

void unit_fail(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *text)
{
	(void)unit_event(r, out, unit, event, NULL, text);
	if (r->on_failure_continue && r->units[unit].state == UNIT_FAILED)
		(void)unit_event(r, out, unit, UNIT_EV_PARK, NULL, "on_failure=continue");
}

void step_failed(struct rollout *r, struct out *out, uint32_t unit, const char *text)
{
	const struct unit *u = &r->units[unit];
	const struct step *step = rollout_step(r, u);
	if (retries_left(u, step)) {
		retry_record(r, out, unit, false, text);
		return;
	}
	bool may_go_back = u->dir == DIR_DO && (u->flags & UNIT_PIVOT) == 0;
	bool back = step->on_failure == FAILURE_UNDO || (step->on_failure == FAILURE_DEFAULT && (u->flags & UNIT_WINDOW) != 0);
	unit_fail(r, out, unit, may_go_back && back ? UNIT_EV_FAIL_BACK : UNIT_EV_FAIL, text);
}
