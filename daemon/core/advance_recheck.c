/* SPDX-License-Identifier: MIT */
/* What was verified, again: after a failover, and in a window that nobody watched. */
#include "advance.h"

#include "facts.h"

#include <inttypes.h>

enum { PASSED_AGAIN_MS = 2000, LOOK_AGAIN_MS = 10000 };

/*
 * A person may have undone by hand what a window stands on while nobody watched it: after a restart, a `pause --now`, or a failure. It is
 * asked again before anything else is done there; update tasks on enabled tenants are past mending. Nothing is asked on the way back, which
 * enables them.
 */
bool in_doubt(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
	bool is_open = false;
	if ((u->flags & UNIT_WINDOW) == 0 || u->dir == DIR_UNDO || (u->sure_seq != 0 && u->sure_seq > r->doubt_seq && !r->live[u - r->units].stale))
		return false;
	for (size_t i = 0; i < u->step && !is_open; i++)
		is_open = stage->steps[i].window == WINDOW_OPEN;
	return is_open;
}

bool needs_recheck(const struct rollout *r, const struct unit *u)
{
	return (u->flags & UNIT_RECHECK) != 0 || (u->state == UNIT_RUNNING && in_doubt(r, u));
}

/* The server that changed last, of those the unit depends on. */
static const struct known_host *changed_host(const struct rollout *r, uint32_t row)
{
	const struct known_host *last = NULL;
	for (uint32_t i = 0; i < r->n_known; i++) {
		const struct known_host *known = &r->known[i];
		bool concerns = known->number == 0 || known->number == r->rows[row].host;
		if (concerns && known->changed_ms != 0 && (last == NULL || known->changed_ms > last->changed_ms))
			last = known;
	}
	return last;
}

/* What an edge of a path verified, its level, is not so any more once the next one is gone; that it lies behind is what counts then. */
static bool is_passed(const struct rollout *r, const struct unit *u)
{
	uint32_t next = r->rows[u->row].rank + 1;
	if (rollout_stage(r, u)->order != ORDER_PATH || u->state != UNIT_DONE || next >= r->n_set_rows[r->rows[u->row].set])
		return false;
	const struct unit *after = &r->units[r->unit_of[u->stage][next]];
	return after->touched != 0 || after->state == UNIT_DONE;
}

/* The level was looked at since the question, and the edge lies behind it; lost: before it. False: neither is known, it will be asked again. */
static bool passed_is_known(struct rollout *r, struct out *out, uint32_t unit, bool *lost)
{
	const struct row *row = &r->rows[r->units[unit].row];
	const struct fact_row *fact = &r->facts.rows[r->units[unit].row];
	struct live *live = &r->live[unit];
	uint64_t seen_at = fact->known ? r->facts.rows_at[row->set] : 0;
	if (seen_at <= live->asked_at && (live->look_at == 0 || seen_at < live->look_at)) { /* one ordered before this question will do: it came after the first */
		if (live->look_at == 0 || r->now - live->look_at > LOOK_AGAIN_MS) {
			(void)out_effect(out, EFFECT_OBSERVE, RECORD_NO_UNIT);
			live->look_at = r->now;
		}
		live->retry_at = r->now + PASSED_AGAIN_MS;
		out_wake(out, live->retry_at);
		return false;
	}
	live->look_at = 0;
	*lost = fact->class_ != CLASS_NEW;
	return true;
}

bool advance_recheck(struct rollout *r, struct out *out, uint32_t unit)
{
	struct live *live = &r->live[unit];
	const struct unit *u = &r->units[unit];
	if (!needs_recheck(r, u) || live->busy != BUSY_NO)
		return false;
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
	struct why held = facts_host_held(r, u->row);
	if (held.kind != WHY_NONE && r->facts.n_hosts + r->facts.n_databases > 0) {
		live->why = held;
		return false;
	}
	return send_question(r, out, unit, EFFECT_RECHECK, BUSY_RECHECK);
}

/* What is said of what does not hold any more. */
static const char *recheck_text(const struct rollout *r, struct out *out, const struct event *ev)
{
	const struct unit *u = &r->units[ev->unit];
	const char *what = ev->text != NULL ? ev->text : "?";
	if (r->live[ev->unit].stale)
		return out_text(out, "verified in its window, and no longer true when the node of its action was there again: %s", what);
	if ((u->flags & UNIT_RECHECK) == 0)
		return out_text(out, "verified in its window, and no longer true after nobody watched it (a restart, a pause or a failure): %s", what);
	const struct known_host *known = changed_host(r, u->row);
	return out_text(out, "verified %" PRId64 " s before, and no longer true after %s: it %s: %s", (r->wall - u->since_ms) / 1000,
		known != NULL ? known->name : "its database", known == NULL || known->change == HOST_OTHER ? "is another server now" : "began anew", what);
}

void on_rechecked(struct rollout *r, struct out *out, const struct event *ev)
{
	const struct unit *u = &r->units[ev->unit];
	struct live *live = &r->live[ev->unit];
	if (live->busy != BUSY_RECHECK || u->attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	if (!needs_recheck(r, u))
		return;
	if (r->back != BACK_NO && (u->state == UNIT_DONE || u->state == UNIT_WAITING))
		return; /* asked before the rollout went back: what is finished is undone, or is asked again when it begins anew */
	if (ev->result == RESULT_UNKNOWN || (ev->result == RESULT_FAILED && facts_host_trouble(r, u->row, live->asked_at) != NULL)) {
		wait_unanswered(r, out, ev->unit, ev->text);
		return;
	}
	bool lost = ev->result != RESULT_OK;
	if (lost && is_passed(r, u) && !passed_is_known(r, out, ev->unit, &lost))
		return;
	const char *text = !lost ? NULL : recheck_text(r, out, ev);
	if (u->state == UNIT_WAITING && text != NULL) {
		live->asked = true;
		return;
	}
	if (u->state == UNIT_WAITING) {
		(void)unit_event(r, out, ev->unit, UNIT_EV_ADOPT, NULL, "observed as new once more, and what was verified is so");
		return;
	}
	if (text != NULL && u->state == UNIT_DONE && rollout_stage(r, u)->again && r->state == ROLLOUT_RUNNING) { /* an abort would never start it */
		(void)unit_event(r, out, ev->unit, UNIT_EV_REOPEN, NULL, text);
		return;
	}
	live->stale = false;
	if (text != NULL && u->phase == PHASE_ACT)
		text = out_text(out, "%s; nobody knows what its action did: look before a retry", text);
	struct record *rec = out_record(r, out, RECORD_CHECKED, ev->unit);
	rec->code = text != NULL;
	rec->step = text != NULL ? (uint16_t)ev->value : rec->step;
	rec->text = text;
	out_commit(r, out, rec);
	if (text != NULL)
		unit_fail(r, out, ev->unit, UNIT_EV_FAIL, text);
}
