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
#include "decide.h"

#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MAX_MS = 30000,
	ORPHANS_AGAIN_MS = 1000,
	UNKNOWN_AGAIN_MS = 2000, /* a question that could not be asked is asked again */
	RERUNS_MAX = 10,         /* an action lost so often is not lost by chance */
	LATE_MS = 600000,        /* where a step names no timeout: from then on a person may give it up */
};

static void wait_for(struct rollout *r, struct out *out, uint32_t unit, enum why_kind kind, uint64_t again_ms)
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

static bool send_question(struct rollout *r, struct out *out, uint32_t unit, enum effect_kind kind, enum live_busy busy)
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
static bool orphans_look(struct rollout *r, struct out *out, uint32_t unit)
{
	struct effect *effect = out_effect(out, EFFECT_ORPHANS, unit);
	effect->step = r->units[unit].step;
	effect->dir = r->units[unit].dir;
	effect->attempt = r->units[unit].attempt;
	r->live[unit].busy = BUSY_ORPHANS;
	return true;
}

static bool left_something(const struct unit *u, const struct step *step)
{
	return step->has_orphans && (u->touched & (1u << u->step)) != 0;
}

static void deadline_begin(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	struct live *live = &r->live[unit];
	live->late = false;
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

static void record_want(struct rollout *r, struct out *out, uint32_t unit, const struct action *act, bool release)
{
	struct record *rec = out_record(r, out, RECORD_WANT, unit);
	rec->step = act->balancer;
	rec->lane = (int32_t)r->units[unit].row;
	rec->code = (uint16_t)(release ? SERVER_UNKNOWN : act->want);
	out_commit(r, out, rec);
}

static bool send_action(struct rollout *r, struct out *out, uint32_t unit, const struct step *step, const struct action *act)
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

static void step_end(struct rollout *r, struct out *out, uint32_t unit, enum step_end code, const char *text)
{
	struct record *rec = out_record(r, out, RECORD_STEP, unit);
	rec->code = (uint16_t)code;
	rec->text = text != NULL && text[0] != '\0' ? out_text(out, "%s", text) : NULL;
	out_commit(r, out, rec);
	struct live *live = &r->live[unit];
	*live = (struct live){ 0 };
}

static bool retries_left(const struct unit *u, const struct step *step)
{
	return u->attempt - u->lost <= (u->dir == DIR_UNDO ? ADVANCE_UNDO_TRIES : step->retry);
}

/* is_lost: nobody knows what the attempt did, or its database was away: it does not use up a try. */
static void retry_record(struct rollout *r, struct out *out, uint32_t unit, bool is_lost, const char *text)
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

static void unit_fail(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *text)
{
	(void)unit_event(r, out, unit, event, NULL, text);
	if (r->on_failure_continue && r->units[unit].state == UNIT_FAILED)
		(void)unit_event(r, out, unit, UNIT_EV_PARK, NULL, "on_failure=continue");
}

static void step_failed(struct rollout *r, struct out *out, uint32_t unit, const char *text)
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

/* ---- forward ---- */

static bool resolve(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct step *step = rollout_step(r, u);
	enum resolve_kind kind = u->dir == DIR_UNDO ? RESOLVE_RERUN : step->resolve;
	if (step->has_orphans && !r->live[unit].clear)
		return orphans_look(r, out, unit);
	if (step->has_orphans && u->dir == DIR_DO)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (kind == RESOLVE_PROBE || kind == RESOLVE_ATTACH)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (kind == RESOLVE_RERUN && u->lost < RERUNS_MAX)
		retry_record(r, out, unit, true, "its answer was lost; it is safe to run again");
	else
		(void)unit_event(r, out, unit, UNIT_EV_LOST, NULL, "nobody can know what the action did: its answer was lost");
	return true;
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
static bool host_is_away(struct rollout *r, struct out *out, uint32_t unit, const struct action *act)
{
	struct why held = act->kind == ACTION_RUN ? facts_host_held(r, r->units[unit].row) : (struct why){ .kind = WHY_NONE };
	if (held.kind == WHY_NONE)
		return false;
	wait_for(r, out, unit, WHY_HOST, 0);
	r->live[unit].why = held;
	return true;
}

/* Nobody could answer: said with the server that is away, if one is. */
static void wait_unanswered(struct rollout *r, struct out *out, uint32_t unit, const char *text)
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
 * A person may have undone by hand what a window stands on while nobody watched it: after a restart, a `pause --now`, or a failure. It is
 * asked again before anything else is done there; update tasks on enabled tenants are past mending. Nothing is asked on the way back, which
 * enables them.
 */
static bool in_doubt(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
	bool is_open = false;
	if ((u->flags & UNIT_WINDOW) == 0 || u->dir == DIR_UNDO || (u->sure_seq != 0 && u->sure_seq > r->doubt_seq && !r->live[u - r->units].stale))
		return false;
	for (size_t i = 0; i < u->step && !is_open; i++)
		is_open = stage->steps[i].window == WINDOW_OPEN;
	return is_open;
}

static bool needs_recheck(const struct rollout *r, const struct unit *u)
{
	return (u->flags & UNIT_RECHECK) != 0 || (u->state == UNIT_RUNNING && in_doubt(r, u));
}

static bool forward_next(struct rollout *r, struct out *out, uint32_t unit)
{
	struct unit *u = &r->units[unit];
	struct live *live = &r->live[unit];
	const struct step *step = rollout_step(r, u);
	bool fenced = (u->flags & UNIT_FENCE) != 0;
	if (step == NULL || (step->only_fenced && !fenced))
		return unit_event(r, out, unit, UNIT_EV_FINISH, NULL, NULL);
	if (r->state == ROLLOUT_ABORTING && (u->flags & UNIT_PIVOT) == 0 && !fenced)
		return unit_event(r, out, unit, UNIT_EV_TURN, NULL, "abort");
	if (step_is_held(r, out, unit))
		return false;
	if (needs_recheck(r, u))
		return advance_recheck(r, out, unit);
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
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
		return orphans_look(r, out, unit);
	if (left_something(u, step) && !live->asked)
		return send_question(r, out, unit, EFFECT_ASK, BUSY_ASK);
	if (step->skip_if_done && !live->asked) /* at each try: what failed or was given up may be done by now */
		return send_question(r, out, unit, EFFECT_ASK, BUSY_ASK);
	if (needs_capture(u, step))
		return send_question(r, out, unit, EFFECT_CAPTURE, BUSY_CAPTURE);
	if (step->act.kind == ACTION_NONE)
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (host_is_away(r, out, unit, &step->act))
		return false;
	return send_action(r, out, unit, step, &step->act);
}

/* ---- back ---- */

static bool undo_passed(struct rollout *r, struct out *out, uint32_t unit, bool was_first)
{
	if (!was_first)
		return true;
	const struct unit *u = &r->units[unit];
	if ((u->flags & UNIT_TURNED) != 0)
		(void)unit_event(r, out, unit, UNIT_EV_BACK, NULL, (u->flags & UNIT_STAYS) ? "undone but for what had to stay" : NULL);
	else
		unit_fail(r, out, unit, UNIT_EV_BACK_FAILED, "undone after the failure; its window is closed");
	return true;
}

/* Legal now? Judged on facts younger than the question. */
static enum floor_verdict undo_is_legal(struct rollout *r, const struct step *step, const char **which, int64_t *value, struct out *out)
{
	for (size_t i = 0; i < step->n_undo_while; i++) {
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

static bool back_next(struct rollout *r, struct out *out, uint32_t unit)
{
	struct unit *u = &r->units[unit];
	struct live *live = &r->live[unit];
	const struct step *step = rollout_step(r, u);
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
	if (left_something(u, step) && !live->clear)
		return orphans_look(r, out, unit);
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
	enum floor_verdict verdict = undo_is_legal(r, step, &which, &value, out);
	if (verdict == FLOOR_UNKNOWN) {
		live->gate_at = 0;
		wait_for(r, out, unit, WHY_UNKNOWN, UNKNOWN_AGAIN_MS);
		return false;
	}
	if (verdict == FLOOR_STOPS)
		return back_stays(r, out, unit, which, value);
	if (u->attempt > 1 && step->n_undo_verify > 0 && !live->asked_undone) /* a tool refuses what a person has undone */
		return send_question(r, out, unit, EFFECT_VERIFY, BUSY_VERIFY);
	if (host_is_away(r, out, unit, &step->undo))
		return false;
	return send_action(r, out, unit, step, &step->undo);
}

/* ---- */

static bool wait_step(struct rollout *r, struct out *out, uint32_t unit, const struct step *step)
{
	int64_t left = r->units[unit].step_ms + (int64_t)step->act.wait_ms - rollout_steady(r, r->now);
	if (left > 0 && r->state != ROLLOUT_ABORTING) {
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

/* ---- answers ---- */

static const char *trouble_word(const struct fact_host *host)
{
	return host->read_only ? "is read-only" : host->away ? "is away" : "was away or began anew";
}

/* The check after the action says no, and its database went away meanwhile: that is no failure of the step. */
static void step_disturbed(struct rollout *r, struct out *out, uint32_t unit, const struct fact_host *host, const char *text)
{
	const struct unit *u = &r->units[unit];
	enum resolve_kind kind = u->dir == DIR_UNDO ? RESOLVE_RERUN : rollout_step(r, u)->resolve;
	text = out_text(out, "%s %s meanwhile: it does not count: %s", host->name, trouble_word(host), text);
	if ((kind == RESOLVE_RERUN || kind == RESOLVE_PROBE) && u->lost < RERUNS_MAX)
		retry_record(r, out, unit, true, text);
	else
		(void)unit_event(r, out, unit, UNIT_EV_LOST, NULL, text);
}

static void on_acted(struct rollout *r, struct out *out, const struct event *ev)
{
	struct unit *u = &r->units[ev->unit];
	bool open = false;
	for (uint8_t i = 0; i < u->n_lanes; i++)
		open |= u->lane[i] == ev->lane && u->intent[i] == ev->seq && (u->lanes & (1u << i)) != 0;
	if (u->phase != PHASE_ACT || u->attempt != ev->attempt || !open)
		return;
	if (ev->result == RESULT_UNSENT) {
		r->live[ev->unit].busy = BUSY_NO;
		r->live[ev->unit].stale = true;
		return;
	}
	struct record *rec = out_record(r, out, RECORD_ACTED, ev->unit);
	const struct fact_host *host = ev->result == RESULT_FAILED ? facts_host_trouble(r, u->row, r->live[ev->unit].sent_at) : NULL;
	rec->lane = ev->lane;
	rec->code = (uint16_t)(host != NULL ? RESULT_UNKNOWN : ev->result);
	rec->hash = ev->seq;
	rec->value = ev->value;
	rec->text = ev->text != NULL && ev->text[0] != '\0' ? out_text(out, "%s", ev->text) : NULL;
	if (host != NULL)
		rec->text = out_text(out, "%s %s meanwhile: it does not count: %s", host->name, trouble_word(host), rec->text != NULL ? rec->text : "failed");
	const char *text = rec->text;
	out_commit(r, out, rec);
	struct effect *ack = out_effect(out, EFFECT_ACK, ev->unit);
	ack->step = ev->step;
	ack->seq = ev->seq;
	ack->lane = ev->lane;
	ack->dir = ev->dir;
	ack->attempt = ev->attempt;
	if (u->lanes != 0)
		return;
	r->live[ev->unit].busy = BUSY_NO;
	r->live[ev->unit].deadline = 0;
	if (u->phase == PHASE_NEXT)
		step_failed(r, out, ev->unit, text != NULL ? text : "the action failed");
}

static void on_verified(struct rollout *r, struct out *out, const struct event *ev)
{
	struct unit *u = &r->units[ev->unit];
	const struct step *step = rollout_step(r, u);
	struct live *live = &r->live[ev->unit];
	if (live->busy != BUSY_VERIFY || u->attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	live->why.kind = WHY_NONE;
	const struct action *act = u->dir == DIR_UNDO ? &step->undo : &step->act;
	bool asks_only = act->kind != ACTION_RUN || u->phase != PHASE_VERIFY;
	const struct fact_host *host = ev->result == RESULT_FAILED ? facts_host_trouble(r, u->row, asks_only ? live->asked_at : live->sent_at) : NULL;
	if (ev->result == RESULT_UNKNOWN || (host != NULL && asks_only)) {
		wait_unanswered(r, out, ev->unit, ev->text);
		return;
	}
	if (ev->result == RESULT_OK) {
		bool back = u->dir == DIR_UNDO, was_first = u->step == 0;
		step_end(r, out, ev->unit, back ? STEP_UNDONE : STEP_VERIFIED, ev->text);
		if (back)
			(void)undo_passed(r, out, ev->unit, was_first);
		return;
	}
	bool again = step->resolve == RESOLVE_PROBE || (step->resolve == RESOLVE_RERUN && step->has_orphans);
	if (u->dir == DIR_UNDO && u->phase == PHASE_NEXT)
		live->asked_undone = true;
	else if (host != NULL)
		step_disturbed(r, out, ev->unit, host, ev->text != NULL ? ev->text : "the check after it does not hold");
	else if (u->phase != PHASE_RESOLVE)
		step_failed(r, out, ev->unit, ev->text != NULL ? ev->text : "the check after it does not hold");
	else if (u->result == RESULT_FAILED)
		step_failed(r, out, ev->unit, out_text(out, "the action failed, and %s", ev->text != NULL ? ev->text : "its check does not hold"));
	else if (again && u->lost < RERUNS_MAX)
		retry_record(r, out, ev->unit, true, "its answer was lost; the probe says it is not done");
	else
		(void)unit_event(r, out, ev->unit, UNIT_EV_LOST, NULL,
			out_text(out, "its answer was lost, and it is not as it should be: %s", ev->text != NULL ? ev->text : "?"));
}

static void on_asked(struct rollout *r, struct out *out, const struct event *ev)
{
	struct live *live = &r->live[ev->unit];
	if (live->busy != BUSY_ASK || r->units[ev->unit].attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	if (ev->result == RESULT_OK)
		step_end(r, out, ev->unit, STEP_ADOPTED, ev->text);
	else if (ev->result == RESULT_FAILED)
		live->asked = true;
	else
		wait_unanswered(r, out, ev->unit, ev->text);
}

static void on_captured(struct rollout *r, struct out *out, const struct event *ev)
{
	struct live *live = &r->live[ev->unit];
	if (live->busy != BUSY_CAPTURE || r->units[ev->unit].attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	if (ev->result == RESULT_OK) {
		struct record *rec = out_record(r, out, RECORD_CAPTURE, ev->unit);
		rec->value = ev->value;
		rec->text = out_text(out, "%s", ev->text != NULL ? ev->text : "{}");
		out_commit(r, out, rec);
	} else if (ev->result == RESULT_FAILED && facts_host_trouble(r, r->units[ev->unit].row, live->asked_at) == NULL) {
		step_failed(r, out, ev->unit, ev->text);
	} else {
		wait_unanswered(r, out, ev->unit, ev->text);
	}
}

/* Shown where tenants are down, and nothing else: the question is still out. A node that boots is no hold. */
static void on_polled(struct rollout *r, struct out *out, const struct event *ev)
{
	struct live *live = &r->live[ev->unit];
	const struct unit *u = &r->units[ev->unit];
	if (live->busy != BUSY_VERIFY || u->attempt != ev->attempt || (u->flags & UNIT_WINDOW) == 0)
		return;
	(void)snprintf(live->text, sizeof(live->text), "%s", ev->text != NULL ? ev->text : "");
	wait_for(r, out, ev->unit, WHY_CHECK, 0);
}

static void on_orphans(struct rollout *r, struct out *out, const struct event *ev)
{
	struct live *live = &r->live[ev->unit];
	const struct step *step = rollout_step(r, &r->units[ev->unit]);
	const char *text = ev->text != NULL ? ev->text : "?";
	bool was_kill = live->busy == BUSY_KILL;
	if ((!was_kill && live->busy != BUSY_ORPHANS) || r->units[ev->unit].attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	live->clear = ev->result == RESULT_OK && !was_kill;
	if (live->clear) {
		live->why.kind = WHY_NONE;
		return;
	}
	(void)snprintf(live->text, sizeof(live->text), "%s", text);
	if (ev->result == RESULT_UNKNOWN) {
		live->killed = live->killed && !was_kill; /* nobody could look what to kill */
		wait_unanswered(r, out, ev->unit, text);
		return;
	}
	live->asked = false; /* when it has ended, its effect may be there */
	if (!was_kill && step->on_orphans == ORPHANS_KILL && !live->killed) {
		struct record *rec = out_record(r, out, RECORD_RESOLVE, ev->unit);
		rec->text = out_text(out, "kill in the database: %s", text);
		out_commit(r, out, rec);
		(void)orphans_look(r, out, ev->unit);
		out->effects[out->n_effects - 1].kind = EFFECT_KILL;
		live->busy = BUSY_KILL;
		live->killed = true;
	} else if (was_kill ? ev->result != RESULT_OK : step->on_orphans == ORPHANS_ASK) {
		(void)unit_event(r, out, ev->unit, UNIT_EV_LOST, NULL, was_kill ? text : out_text(out, "what its action began still runs: %s", text));
		return;
	}
	wait_for(r, out, ev->unit, WHY_STATEMENT, ORPHANS_AGAIN_MS);
}

/* ---- what was verified, again ---- */

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

static void on_rechecked(struct rollout *r, struct out *out, const struct event *ev)
{
	const struct unit *u = &r->units[ev->unit];
	struct live *live = &r->live[ev->unit];
	if (live->busy != BUSY_RECHECK || u->attempt != ev->attempt)
		return;
	live->busy = BUSY_NO;
	if (!needs_recheck(r, u))
		return;
	if (ev->result == RESULT_UNKNOWN || (ev->result == RESULT_FAILED && facts_host_trouble(r, u->row, live->asked_at) != NULL)) {
		wait_unanswered(r, out, ev->unit, ev->text);
		return;
	}
	const char *text = ev->result == RESULT_OK ? NULL : recheck_text(r, out, ev);
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

void advance_answer(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->unit >= r->n_units || rollout_is_over(r))
		return;
	const struct unit *u = &r->units[ev->unit];
	if (ev->kind == EVENT_RECHECKED) {
		on_rechecked(r, out, ev);
		return;
	}
	if ((u->state != UNIT_RUNNING && u->state != UNIT_UNDOING) || u->step != ev->step || u->dir != ev->dir)
		return; /* an answer to a question of an earlier life */
	switch (ev->kind) {
	case EVENT_ACTED:
		on_acted(r, out, ev);
		return;
	case EVENT_VERIFIED:
		on_verified(r, out, ev);
		return;
	case EVENT_POLLED:
		on_polled(r, out, ev);
		return;
	case EVENT_ORPHANS:
		on_orphans(r, out, ev);
		return;
	case EVENT_ASKED:
		on_asked(r, out, ev);
		return;
	default:
		on_captured(r, out, ev);
	}
}
