/* SPDX-License-Identifier: MIT */
/* What a person may say, and what comes of it. Every verb answers with a consequence; a refusal says what to do instead. */
#include "back.h"
#include "facts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void answer(struct out *out, int refused, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void answer(struct out *out, int refused, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	out->refused = refused;
	(void)vsnprintf(out->answer, sizeof(out->answer), format, args);
	va_end(args);
}

static void record_person(struct rollout *r, struct out *out, enum record_kind kind, const struct event *ev)
{
	struct record *rec = out_record(r, out, kind, RECORD_NO_UNIT);
	rec->actor = out_text(out, "%s", ev->actor != NULL ? ev->actor : "?");
	rec->text = ev->reason != NULL ? out_text(out, "%s", ev->reason) : NULL;
	rec->code = kind == RECORD_APPROVE ? (uint16_t)ev->value : kind == RECORD_PAUSE && ev->verb == COMMAND_PAUSE_NOW;
	rec->step = kind == RECORD_APPROVE ? ev->step : RECORD_NO_STEP;
	out_commit(r, out, rec);
}

static uint32_t windows_open(const struct rollout *r)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		n += (r->units[i].flags & UNIT_WINDOW) != 0 && r->units[i].state == UNIT_RUNNING;
	return n;
}

static void pause(struct rollout *r, struct out *out, const struct event *ev)
{
	bool now = ev->verb == COMMAND_PAUSE_NOW;
	if (r->paused && (!now || r->paused_now)) {
		answer(out, 0, "pause: it is paused already");
		return;
	}
	record_person(r, out, RECORD_PAUSE, ev);
	if (now && r->profile->set_tenants < 0) {
		answer(out, 0, "pause --now: %u windows stay open until resume", windows_open(r));
		return;
	}
	if (now) {
		answer(out, 0, "pause --now: %u windows stay open, %" PRId64 " tenants stay DOWN until resume", windows_open(r), facts_tenants_down(r));
		return;
	}
	uint32_t n = 0, first = 0;
	for (uint32_t i = r->n_units; i-- > 0;)
		if ((r->units[i].state == UNIT_RUNNING || r->units[i].state == UNIT_UNDOING) && (r->units[i].flags & UNIT_WINDOW) == 0) {
			n++;
			first = i;
		}
	char name[300];
	if (n == 0)
		answer(out, 0, "pause: nothing new starts; %u open windows close first", windows_open(r));
	else
		answer(out, 0, "pause: nothing new starts; %u open windows close first; %u more under way stay where they are until resume: %s%s", windows_open(r),
			n, rollout_unit_name(r, first, name, sizeof(name)), n > 1 ? " ..." : "");
}

static void resume(struct rollout *r, struct out *out, const struct event *ev)
{
	uint32_t muted = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		muted += (r->units[i].state == UNIT_FAILED || r->units[i].state == UNIT_UNCERTAIN) && !(r->units[i].flags & UNIT_MUTED);
	record_person(r, out, RECORD_RESUME, ev);
	answer(out, 0, "resume: the rollout goes on%s; %u failed units stay as they are", muted ? " around them" : "", muted);
}

static void approve(struct rollout *r, struct out *out, const struct event *ev)
{
	record_person(r, out, RECORD_APPROVE, ev);
	const struct stage *stage = &r->profile->stages[ev->value];
	answer(out, 0, "approve: %s/%s", stage->name, stage->steps[ev->step].name);
}

static void abort_rollout(struct rollout *r, struct out *out, const struct event *ev)
{
	if (r->state == ROLLOUT_ABORTING) {
		answer(out, 0, "abort: it is being aborted already");
		return;
	}
	record_person(r, out, RECORD_ABORT, ev);
	uint32_t past = 0, before = 0, failed = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		bool active = r->units[i].state == UNIT_RUNNING;
		past += active && (r->units[i].flags & UNIT_PIVOT);
		before += active && !(r->units[i].flags & UNIT_PIVOT);
		failed += (r->units[i].state == UNIT_FAILED || r->units[i].state == UNIT_UNCERTAIN) && (r->units[i].flags & UNIT_WINDOW);
	}
	answer(out, 0, "abort: %u units go back, %u are past their pivot and go forward to their end; what has moved stays, in custody", before, past);
	size_t len = strlen(out->answer);
	if (failed > 0)
		(void)snprintf(out->answer + len, sizeof(out->answer) - len, "; %u failed with tenants DOWN: it does not end before you retry or park them",
			failed);
}

/* Its action is over its time, or gets no further, or has no place to run, or nobody can be asked: a person may stop waiting. What it did stays unknown. */
static bool may_give_up(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct live *live = &r->live[unit];
	bool active = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
	return active && (live->late || rollout_is_stalled(r, unit) || live->why.kind == WHY_PLACE || live->why.kind == WHY_UNKNOWN || live->why.kind == WHY_STATEMENT ||
		live->why.kind == WHY_HOST || (u->state == UNIT_UNDOING && live->why.kind == WHY_FLOOR));
}

/* Somebody changed a line that it had set. False: a retry as any other. */
static bool again(struct rollout *r, struct out *out, const struct event *ev, const char *name)
{
	const struct unit *u = &r->units[ev->unit];
	const struct why held = u->state == UNIT_DONE ? admit_retry(r, ev->unit) : (struct why){ .kind = WHY_NONE };
	char text[200];
	if (held.kind != WHY_NONE)
		answer(out, 1, "retry: %s would be one too many now (%s); retry it later", name,
			why_text(r, held.kind == WHY_LIMIT ? RECORD_NO_UNIT : ev->unit, &held, text, sizeof(text)));
	else if (line_again(r, out, ev->unit, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), ev->reason))
		answer(out, 0, "retry: %s sets its line again, and does what comes after it", name);
	else
		return false;
	return true;
}

/* Is under way, or nobody knows what it did, or it could not be undone: nothing begins anew beside it. */
static uint32_t who_is_open(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		bool failed = u->state == UNIT_FAILED && u->touched != 0 && (u->flags & UNIT_FENCE) == 0;
		if (u->state == UNIT_RUNNING || u->state == UNIT_UNDOING || u->state == UNIT_UNCERTAIN || failed)
			return i;
	}
	return RECORD_NO_UNIT;
}

/* It rests: this retry begins anew; or the undo of what somebody parked half way is tried once more. */
static void retry_at_rest(struct rollout *r, struct out *out, const struct event *ev, const char *name)
{
	const struct unit *u = &r->units[ev->unit];
	char mended[300];
	uint32_t open = who_is_open(r);
	if (ev->unit == r->back_unit && u->touched == 0 && open != RECORD_NO_UNIT) {
		answer(out, 1, "retry: nothing begins anew yet: %s %s", rollout_unit_name(r, open, mended, sizeof(mended)),
			unit_refusal((enum unit_state)r->units[open].state, UNIT_EV_RETRY));
		return;
	}
	if (ev->unit == r->back_unit && u->touched == 0) {
		uint32_t n = back_anew(r, out, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), ev->reason);
		answer(out, 0, "retry: %s: the rollout begins anew, %u units wait again; approvals that were given stay", name, n);
		return;
	}
	if (u->touched != 0 && unit_event(r, out, ev->unit, UNIT_EV_RETRY, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), ev->reason)) {
		answer(out, 0, "retry: %s: what is left of it is undone; retry %s after that begins anew", name,
			rollout_unit_name(r, r->back_unit, mended, sizeof(mended)));
		return;
	}
	answer(out, 1, "retry: %s is not what sent the rollout back: upgctl retry %s begins anew, with all others", name,
		rollout_unit_name(r, r->back_unit, mended, sizeof(mended)));
}

static void on_unit(struct rollout *r, struct out *out, const struct event *ev, enum unit_event event, const char *verb)
{
	char name[300];
	enum unit_state to;
	const struct unit *u = &r->units[ev->unit];
	(void)rollout_unit_name(r, ev->unit, name, sizeof(name));
	bool gives_up = may_give_up(r, ev->unit) && (event == UNIT_EV_PARK || event == UNIT_EV_RETRY);
	if (gives_up)
		(void)unit_event(r, out, ev->unit, UNIT_EV_LOST, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), "given up waiting for its answer");
	if (event == UNIT_EV_RETRY && r->back == BACK_REST) {
		retry_at_rest(r, out, ev, name);
		return;
	}
	if (event == UNIT_EV_RETRY && line_changed(r, ev->unit) != NULL && again(r, out, ev, name))
		return;
	if (!unit_next((enum unit_state)u->state, event, &to)) {
		answer(out, 1, "%s: %s %s", verb, name, unit_refusal((enum unit_state)u->state, event));
		return;
	}
	bool is_mended = u->touched == 0 && (u->state == UNIT_FAILED || u->state == UNIT_PARKED);
	if (event == UNIT_EV_RETRY && r->back == BACK_GOING && is_mended) {
		answer(out, 1, "retry: the rollout still goes back, and nothing of %s is left to undo: retry it when it rests", name);
		return;
	}
	struct why held = event == UNIT_EV_RETRY && !gives_up ? admit_retry(r, ev->unit) : (struct why){ .kind = WHY_NONE };
	if (held.kind == WHY_ORDER) {
		answer(out, 1, "%s: %s begins where the edge before it has ended, and that is not done: retry that one first", verb, name);
		return;
	}
	if (held.kind != WHY_NONE) {
		char text[200];
		answer(out, 1, "%s: %s would be one too many now (%s); retry it later", verb, name,
			why_text(r, held.kind == WHY_LIMIT && r->rows[u->row].host == 0 ? RECORD_NO_UNIT : ev->unit, &held, text, sizeof(text)));
		return;
	}
	if (event == UNIT_EV_SKIP && (r->live[ev->unit].busy == BUSY_GATE))
		r->live[ev->unit].busy = BUSY_NO;
	uint32_t tenants = r->rows[u->row].set == r->profile->set_tenants ? r->rows[u->row].weight : 0;
	bool down = (u->flags & UNIT_WINDOW) != 0;
	if (!unit_event(r, out, ev->unit, event, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), ev->reason))
		return;
	if (event == UNIT_EV_RETRY && r->back == BACK_GOING && to == UNIT_RUNNING)
		answer(out, 0, "retry: %s: its undo is tried once more", name);
	else if (tenants == 0)
		answer(out, 0, "%s: %s is %s%s", verb, name, unit_state_word(to), down ? "; its window stays open" : "");
	else if (down)
		answer(out, 0, "%s: %s is %s; %" PRIu32 " tenants %s", verb, name, unit_state_word(to), tenants,
			event == UNIT_EV_PARK ? "stay DOWN" : "are down until it ends");
	else
		answer(out, 0, "%s: %s is %s; its %" PRIu32 " tenants are not down", verb, name, unit_state_word(to), tenants);
}

static void fence(struct rollout *r, struct out *out, const struct event *ev)
{
	char name[300], why[300];
	(void)rollout_unit_name(r, ev->unit, name, sizeof(name));
	if (!fence_is_legal(r, ev->unit, why, sizeof(why))) {
		answer(out, 1, "fence: %s %s", name, why);
		return;
	}
	const struct unit *u = &r->units[ev->unit];
	fence_unit(r, out, ev->unit, out_text(out, "%s", ev->actor != NULL ? ev->actor : "?"), ev->reason != NULL && ev->reason[0] ? ev->reason : "by a person's word");
	answer(out, 0, "fence: %s is fenced; %s is kept out of %s until it is seen again and its steps are done", name, r->rows[u->row].name,
		r->profile->balancers[rollout_stage(r, u)->fence]);
}

void command_run(struct rollout *r, struct out *out, const struct event *ev)
{
	if (rollout_is_over(r)) {
		answer(out, 1, "the rollout is over (%s); start another one", rollout_state_word(r->state));
		return;
	}
	bool in_abort = ev->verb == COMMAND_PARK || ev->verb == COMMAND_RETRY || ev->verb == COMMAND_ABORT || ev->verb == COMMAND_APPROVE;
	if (r->state == ROLLOUT_ABORTING && !in_abort) {
		answer(out, 1, "the rollout is being aborted; retry or park what failed, approve what asks, watch the rest");
		return;
	}
	if (r->back == BACK_GOING && !in_abort) {
		answer(out, 1, "the rollout goes back; retry or park what cannot be undone, or abort to end it when it is back");
		return;
	}
	if (r->back == BACK_REST && ev->verb != COMMAND_RETRY && ev->verb != COMMAND_PARK && ev->verb != COMMAND_ABORT) {
		answer(out, 1, "the rollout is back on the old version, and rests: retry begins anew, abort ends it");
		return;
	}
	bool of_unit = ev->verb == COMMAND_SKIP || ev->verb == COMMAND_PARK || ev->verb == COMMAND_RETRY || ev->verb == COMMAND_FENCE;
	if (of_unit && ev->unit >= r->n_units) {
		answer(out, 1, "no such unit");
		return;
	}
	switch (ev->verb) {
	case COMMAND_PAUSE:
	case COMMAND_PAUSE_NOW:
		pause(r, out, ev);
		return;
	case COMMAND_RESUME:
		resume(r, out, ev);
		return;
	case COMMAND_APPROVE:
		approve(r, out, ev);
		return;
	case COMMAND_SKIP:
		on_unit(r, out, ev, UNIT_EV_SKIP, "skip");
		return;
	case COMMAND_PARK:
		on_unit(r, out, ev, UNIT_EV_PARK, "park");
		return;
	case COMMAND_RETRY:
		on_unit(r, out, ev, UNIT_EV_RETRY, "retry");
		return;
	case COMMAND_ABORT:
		abort_rollout(r, out, ev);
		return;
	case COMMAND_FENCE:
		fence(r, out, ev);
		return;
	case COMMAND_VERBS:
		return;
	}
}
