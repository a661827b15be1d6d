/* SPDX-License-Identifier: MIT */
/*
 * A unit under way: one step after the other, forward or back. Between two actions stands PHASE_NEXT, the only place where a unit may be
 * stopped, and inside a window not even there: once tenants are down, only the unit's own steps pass time.
 *
 *   forward   ask done_when -> captures -> intent, act in every lane -> verify -> next step
 *   back      fresh facts, is the undo legal? -> intent, act -> verify -> the step before
 *
 * Where an action leaves statements behind in a database (`orphans`), nothing more is done about it, forward or back, while one runs: then the
 * effect is looked at first, for it may be there. An action whose answer is lost is resolved as its step says; nothing is ever sent twice on suspicion.
 */
#include "advance.h"

#include "back.h"
#include "facts.h"

#include <stdio.h>

enum { LEVEL_MS = 5000 };  /* so long a look at the level is waited for */
enum { LATE_MS = 600000 }; /* where a step names no timeout: from then on a person may give it up */

void wait_for(struct rollout *r, struct out *out, uint32_t unit, enum why_kind kind, uint64_t again_ms)
{
	struct live *live = &r->live[unit];
	if (live->why.kind != kind)
		live->why = (struct why){ .kind = kind, .since_boot = r->now, .since_ms = r->wall };
	if (again_ms != 0) {
		live->retry_at = r->now + again_ms;
		out_wake(out, live->retry_at);
	}
}

/* ---- sending ---- */

bool send_question(struct rollout *r, struct out *out, uint32_t unit, enum effect_kind kind, enum live_busy busy)
{
	const struct unit *u = &r->units[unit];
	struct effect *effect = out_effect(out, kind, unit);
	effect->step = u->step;
	effect->dir = u->dir;
	effect->attempt = u->attempt;
	effect->resolve = u->phase == PHASE_RESOLVE || (u->dir == DIR_UNDO && u->phase == PHASE_NEXT); /* as it is now: nobody waits for it to become so */
	r->live[unit].busy = (uint8_t)busy;
	r->live[unit].asked_at = r->now;
	if (r->live[unit].why.kind != WHY_HOST || facts_host_held(r, u->row).kind == WHY_NONE)
		r->live[unit].why.kind = WHY_NONE;
	return true;
}

static void send_lane(struct rollout *r, struct out *out, uint32_t unit, uint8_t index, bool again)
{
	const struct unit *u = &r->units[unit];
	struct effect *effect = out_effect(out, EFFECT_ACT, unit);
	effect->step = u->step;
	effect->dir = u->dir;
	effect->attempt = u->attempt;
	effect->lane = u->lane[index];
	effect->seq = u->intent[index];
	effect->again = again;
	r->live[unit].busy = BUSY_ACT;
	r->live[unit].why.kind = WHY_NONE;
}

/* Without a word to the reason: it is shown from one look to the next. */
bool send_orphans_look(struct rollout *r, struct out *out, uint32_t unit)
{
	struct effect *effect = out_effect(out, EFFECT_ORPHANS, unit);
	effect->step = r->units[unit].step;
	effect->dir = r->units[unit].dir;
	effect->attempt = r->units[unit].attempt;
	r->live[unit].busy = BUSY_ORPHANS;
	return true;
}

bool left_something(const struct unit *u, const struct step *step)
{
	return step->has_orphans && (u->touched & (1u << u->step)) != 0;
}

static void deadline_begin(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	struct live *live = &r->live[unit];
	live->late = false;
	live->stalled_at = 0;
	live->sent_at = r->now;
	live->deadline = r->now + (step->timeout_ms != 0 ? step->timeout_ms : LATE_MS);
	out_wake(out, live->deadline);
}

/* After a restart: what was sent is asked for, under the same name. Its time is counted anew. */
static bool send_again(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	deadline_begin(r, out, unit, rollout_step(r, u));
	for (uint8_t i = 0; i < u->n_lanes; i++)
		if ((u->lanes & (1u << i)) != 0)
			send_lane(r, out, unit, i, true);
	return true;
}

/*
 * Where the step runs; false: a lane has no place now. With tenants down, a lane of a fleet that has nobody up is left out if another
 * lane is there: nobody is left on it whom the step could reach.
 */
static bool lanes_choose(struct rollout *r, const struct unit *u, const struct step *step, int32_t *lanes, uint8_t *n)
{
	*n = 0;
	for (size_t i = 0; i < step->n_on; i++) {
		int32_t lane = LANE_NONE;
		if (step->on[i] == LANE_ON_SELF)
			lane = (int32_t)u->row;
		else if (step->on[i] == LANE_ON_LOCAL)
			lane = LANE_LOCAL;
		else if (step->on[i] == LANE_ON_OLD || step->on[i] == LANE_ON_NEW)
			lane = facts_place(r, step->on[i] == LANE_ON_OLD ? CLASS_OLD : CLASS_NEW, r->next_place++);
		bool leave_out = lane == LANE_NONE && (u->flags & UNIT_WINDOW) != 0 && step->n_on > 1;
		if (lane == LANE_NONE && !leave_out)
			return false;
		if (!leave_out && (*n == 0 || lanes[0] != lane))
			lanes[(*n)++] = lane;
	}
	if (*n == 0 && step->n_on > 0)
		return false;
	if (*n == 0)
		lanes[(*n)++] = LANE_NONE;
	return true;
}

void record_want(struct rollout *r, struct out *out, uint32_t unit, const struct action *act, bool release)
{
	struct record *rec = out_record(r, out, RECORD_WANT, unit);
	rec->step = act->balancer;
	rec->lane = (int32_t)r->units[unit].row;
	rec->code = (uint16_t)(release ? SERVER_UNKNOWN : act->want);
	out_commit(r, out, rec);
}

bool send_action(struct rollout *r, struct out *out, uint32_t unit, const struct step *step, const struct action *act)
{
	int32_t lanes[PROFILE_LANES_MAX];
	uint8_t n;
	const struct unit *u = &r->units[unit];
	if (!lanes_choose(r, u, step, lanes, &n)) {
		wait_for(r, out, unit, WHY_PLACE, UNKNOWN_AGAIN_MS);
		return false;
	}
	for (uint8_t i = 0; i < n; i++) {
		struct record *rec = out_record(r, out, RECORD_INTENT, unit);
		rec->lane = lanes[i];
		out_commit(r, out, rec);
	}
	if (act->kind == ACTION_SERVER)
		record_want(r, out, unit, act, u->dir == DIR_UNDO && act->restore);
	if (act->kind == ACTION_WAIT)
		return true; /* PHASE_ACT is the waiting itself */
	for (uint8_t i = 0; i < n; i++)
		send_lane(r, out, unit, i, false);
	deadline_begin(r, out, unit, step);
	return true;
}

/* ---- ends ---- */

void step_end(struct rollout *r, struct out *out, uint32_t unit, enum step_end code, const char *text)
{
	struct record *rec = out_record(r, out, RECORD_STEP, unit);
	rec->code = (uint16_t)code;
	rec->text = text != NULL && text[0] != '\0' ? out_text(out, "%s", text) : NULL;
	out_commit(r, out, rec);
	struct live *live = &r->live[unit];
	*live = (struct live){ 0 };
}

/* ---- forward ---- */

static bool resolve(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct step *step = rollout_step(r, u);
	enum resolve_kind kind = u->dir == DIR_UNDO ? RESOLVE_RERUN : step->resolve;
	if (step->has_orphans && !r->live[unit].clear)
		return send_orphans_look(r, out, unit);
	if (step->has_orphans && u->dir == DIR_DO)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (kind == RESOLVE_PROBE || kind == RESOLVE_ATTACH)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (kind == RESOLVE_RERUN && u->lost < RERUNS_MAX)
		retry_record(r, out, unit, RETRY_LOST, "its answer was lost; it is safe to run again");
	else
		(void)unit_event(r, out, unit, UNIT_EV_LOST, NULL, "nobody can know what the action did: its answer was lost");
	return true;
}

/* A failover may have lost where an edge begins while it was under way; a person who parks that edge has decided otherwise. */
static bool edge_before_is_open(const struct rollout *r, const struct unit *u)
{
	uint32_t rank = r->rows[u->row].rank;
	const struct unit *before = rollout_stage(r, u)->order == ORDER_PATH && rank > 0 ? &r->units[r->unit_of[u->stage][rank - 1]] : NULL;
	return before != NULL && (!unit_is_settled(before->state) || (before->flags & UNIT_RECHECK) != 0);
}

/* Why the next step may not be sent. Inside a window nothing but the step itself counts. */
static bool step_is_held(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	if ((u->flags & (UNIT_WINDOW | UNIT_FENCE)) != 0 && !r->paused_now)
		return false; /* a fenced node that is back takes load from the others */
	struct why why = admit_rollout(r, false);
	if (why.kind == WHY_NONE && r->rows[u->row].set == r->profile->set_node) {
		for (uint8_t b = 0; b < r->profile->n_balancers; b++)
			if (r->wants[b] != NULL && r->wants[b][r->rows[u->row].rank].contested)
				why = (struct why){ .kind = WHY_CONTESTED, .balancer = b, .other = u->row };
	}
	if (why.kind == WHY_NONE && edge_before_is_open(r, u))
		why = (struct why){ .kind = WHY_ORDER, .other = u->stage };
	const struct changed_line *line = why.kind == WHY_NONE ? line_changed(r, unit) : NULL;
	if (line != NULL)
		why = line_why(line);
	if (why.kind == WHY_NONE)
		return false;
	wait_for(r, out, unit, why.kind, 0);
	r->live[unit].why.balancer = why.balancer;
	r->live[unit].why.other = why.other;
	r->live[unit].why.floor = why.floor;
	return true;
}

/* What it runs would fail, and a demoted primary is not to be worked on. Also inside a window: nothing would be won by failing there. */
bool host_is_away(struct rollout *r, struct out *out, uint32_t unit, const struct action *act)
{
	struct why held = act->kind == ACTION_RUN ? facts_host_held(r, r->units[unit].row) : (struct why){ .kind = WHY_NONE };
	if (held.kind == WHY_NONE)
		return false;
	wait_for(r, out, unit, WHY_HOST, 0);
	r->live[unit].why = held;
	return true;
}

/* Nobody could answer: said with the server that is away, if one is. */
void wait_unanswered(struct rollout *r, struct out *out, uint32_t unit, const char *text)
{
	struct live *live = &r->live[unit];
	struct why held = facts_host_held(r, r->units[unit].row);
	wait_for(r, out, unit, held.kind != WHY_NONE ? WHY_HOST : WHY_UNKNOWN, UNKNOWN_AGAIN_MS);
	if (held.kind != WHY_NONE)
		live->why = held;
	(void)snprintf(live->text, sizeof(live->text), "%s", text != NULL ? text : "");
}

static bool needs_capture(const struct unit *u, const struct step *step)
{
	bool baseline = (step->act.kind == ACTION_SERVER || step->act.kind == ACTION_EDIT) && step->undo.restore;
	return (step->n_captures > 0 || baseline) && (u->captured & (1u << u->step)) == 0;
}

static bool step_by_person(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	bool approved = r->approve_all || (r->approved[u->stage] & (UINT64_C(1) << u->step)) != 0;
	if (approved)
		step_end(r, out, unit, STEP_APPROVED, r->approve_all ? "approved at start" : NULL);
	else
		wait_for(r, out, unit, WHY_APPROVAL, 0);
	return approved;
}

/* The server of a fenced node was out by a person's hand: the rest is theirs again. */
static void fence_release(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	record_want(r, out, unit, &step->act, true);
	step_end(r, out, unit, STEP_SKIPPED, "left in maintenance: a person had it so");
}

/*
 * An edge is tried again: where is the site now? A person may have gone on by hand. True: that is being looked at. In a window, and where nobody
 * says the level (a script may have stopped half way), the retry is what counts.
 */
static bool looks_at_level(struct rollout *r, struct out *out, uint32_t unit)
{
	struct live *live = &r->live[unit];
	const struct unit *u = &r->units[unit];
	const struct fact_row *fact = &r->facts.rows[u->row];
	bool again = u->step == 0 || (u->touched & (1u << u->step)) != 0;
	if (rollout_stage(r, u)->order != ORDER_PATH || live->gate_open || !again || (u->flags & UNIT_WINDOW) != 0)
		return false;
	if (live->look_at == 0) {
		live->look_at = r->now;
		(void)out_effect(out, EFFECT_OBSERVE, RECORD_NO_UNIT);
	}
	bool seen = fact->known && r->facts.rows_at[r->rows[u->row].set] >= live->look_at;
	live->gate_open = seen || ((!fact->known || r->facts.rows_at[r->rows[u->row].set] == 0) && r->now - live->look_at >= LEVEL_MS); /* what was seen before is no answer, however slow its probe */
	if (!live->gate_open)
		wait_for(r, out, unit, WHY_UNKNOWN, UNKNOWN_AGAIN_MS);
	return !live->gate_open;
}

/* The site is at the end of an edge, as was just seen; or further, where what it does would be wrong in any case. */
static bool level_is_at(const struct rollout *r, const struct unit *u, uint32_t further)
{
	uint32_t rank = r->rows[u->row].rank + further;
	if (rollout_stage(r, u)->order != ORDER_PATH || (u->flags & UNIT_WINDOW) != 0 || rank >= r->n_set_rows[r->rows[u->row].set])
		return false;
	const struct fact_row *fact = &r->facts.rows[r->units[r->unit_of[u->stage][rank]].row];
	return fact->known && fact->class_ == CLASS_NEW;
}

static bool forward_next(struct rollout *r, struct out *out, uint32_t unit)
{
	struct unit *u = &r->units[unit];
	struct live *live = &r->live[unit];
	const struct step *step = rollout_step(r, u);
	bool fenced = (u->flags & UNIT_FENCE) != 0;
	if (step == NULL || (step->only_fenced && !fenced))
		return unit_event(r, out, unit, UNIT_EV_FINISH, NULL, NULL);
	if (rollout_goes_back(r) && (u->flags & UNIT_PIVOT) == 0 && !fenced)
		return unit_event(r, out, unit, UNIT_EV_TURN, NULL, back_word(r, out));
	if (step_is_held(r, out, unit))
		return false;
	if (needs_recheck(r, u))
		return advance_recheck(r, out, unit);
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
	if (looks_at_level(r, out, unit))
		return false;
	if (level_is_at(r, u, 1) && r->units[r->unit_of[u->stage][r->rows[u->row].rank + 1]].touched == 0)
		return unit_event(r, out, unit, UNIT_EV_FINISH, NULL, "the level is past its end: somebody else has brought it there");
	bool has_tenants = r->rows[u->row].weight > 0;
	if (step->only_fenced && (u->flags & UNIT_FENCE_THEIRS) != 0) {
		fence_release(r, out, unit, step);
		return true;
	}
	if ((step->only_with_tenants && !has_tenants) || (step->only_without_tenants && has_tenants)) {
		step_end(r, out, unit, STEP_SKIPPED, NULL);
		return true;
	}
	if (line_is_set_later(r, u, step)) { /* the unit was done once already */
		step_end(r, out, unit, STEP_SKIPPED, "a later stage has set this line");
		return true;
	}
	if (step->act.kind == ACTION_APPROVE)
		return step_by_person(r, out, unit);
	if (left_something(u, step) && !live->clear)
		return send_orphans_look(r, out, unit);
	if (left_something(u, step) && !live->asked)
		return send_question(r, out, unit, EFFECT_ASK, BUSY_ASK);
	bool is_touched = (u->touched & (1u << u->step)) != 0;
	bool is_there = level_is_at(r, u, 0) && (step->n_done_when > 0 || (is_touched && step->n_verify > 0));
	if ((step->skip_if_done || is_there) && !live->asked) /* at each try: what failed or was given up may be done by now */
		return send_question(r, out, unit, EFFECT_ASK, BUSY_ASK);
	if (needs_capture(u, step))
		return send_question(r, out, unit, EFFECT_CAPTURE, BUSY_CAPTURE);
	if (step->act.kind == ACTION_NONE)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (host_is_away(r, out, unit, &step->act))
		return false;
	return send_action(r, out, unit, step, &step->act);
}

/* ---- */

static bool wait_step(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	int64_t left = r->units[unit].step_ms + (int64_t)step->act.wait_ms - rollout_steady(r, r->now);
	if (left > 0 && !rollout_goes_back(r)) {
		out_wake(out, r->now + (uint64_t)left);
		return false;
	}
	struct record *rec = out_record(r, out, RECORD_ACTED, unit);
	rec->lane = r->units[unit].lane[0];
	rec->hash = r->units[unit].intent[0];
	out_commit(r, out, rec);
	return true;
}

bool advance_unit(struct rollout *r, struct out *out, uint32_t unit)
{
	struct unit *u = &r->units[unit];
	if (r->live[unit].busy != BUSY_NO || (u->state != UNIT_RUNNING && u->state != UNIT_UNDOING))
		return false;
	const struct step *step = rollout_step(r, u);
	switch (u->phase) {
	case PHASE_ACT:
		if (u->dir == DIR_DO && step->act.kind == ACTION_WAIT)
			return wait_step(r, out, unit, step);
		if (in_doubt(r, u)) /* it may never have been sent: then this begins it */
			return advance_recheck(r, out, unit);
		return send_again(r, out, unit);
	case PHASE_VERIFY:
		if (r->live[unit].retry_at > r->now) {
			out_wake(out, r->live[unit].retry_at);
			return false;
		}
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	case PHASE_RESOLVE:
		if (r->live[unit].retry_at > r->now) {
			out_wake(out, r->live[unit].retry_at);
			return false;
		}
		return resolve(r, out, unit);
	default:
		return u->dir == DIR_UNDO ? back_next(r, out, unit) : forward_next(r, out, unit);
	}
}
