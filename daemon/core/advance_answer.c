/* SPDX-License-Identifier: MIT */
/* What the answers to actions and questions mean for the unit that waits for them. */
#include "advance.h"

#include "facts.h"

#include <stdio.h>

enum { ORPHANS_AGAIN_MS = 1000 };

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
		retry_record(r, out, unit, RETRY_LOST, text);
	else
		(void)unit_event(r, out, unit, UNIT_EV_LOST, NULL, text);
}

/* The report of what failed outlives the runner's record, and upgd. */
static void keep_output(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->result != RESULT_FAILED || ev->output == NULL || ev->output[0] == '\0')
		return;
	struct record *rec = out_record(r, out, RECORD_OUTPUT, ev->unit);
	rec->lane = ev->lane;
	rec->text = out_text(out, "%s", ev->output);
	out_commit(r, out, rec);
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
	if (rec->code == RESULT_FAILED && u->dir == DIR_DO)
		rec->code |= (uint16_t)(ev->causes << 8);
	rec->hash = ev->seq;
	rec->value = ev->value;
	rec->text = ev->text != NULL && ev->text[0] != '\0' ? out_text(out, "%s", ev->text) : NULL;
	if (host != NULL)
		rec->text = out_text(out, "%s %s meanwhile: it does not count: %s", host->name, trouble_word(host), rec->text != NULL ? rec->text : "failed");
	const char *text = rec->text;
	out_commit(r, out, rec);
	keep_output(r, out, ev);
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
		step_failed(r, out, ev->unit, u->causes, text != NULL ? text : "the action failed");
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
		step_failed(r, out, ev->unit, ev->causes, ev->text != NULL ? ev->text : "the check after it does not hold");
	else if (u->result == RESULT_FAILED)
		step_failed(r, out, ev->unit, u->causes | ev->causes, out_text(out, "the action failed, and %s", ev->text != NULL ? ev->text : "its check does not hold"));
	else if (again && u->lost < RERUNS_MAX)
		retry_record(r, out, ev->unit, RETRY_LOST, "its answer was lost; the probe says it is not done");
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
	if (ev->result == RESULT_OK && r->units[ev->unit].dir == DIR_UNDO)
		nothing_to_undo(r, out, ev->unit, ev->text);
	else if (ev->result == RESULT_OK)
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
		step_failed(r, out, ev->unit, ev->causes, ev->text != NULL ? ev->text : "what it was before cannot be had");
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
		(void)send_orphans_look(r, out, ev->unit);
		out->effects[out->n_effects - 1].kind = EFFECT_KILL;
		live->busy = BUSY_KILL;
		live->killed = true;
	} else if (was_kill ? ev->result != RESULT_OK : step->on_orphans == ORPHANS_ASK) {
		(void)unit_event(r, out, ev->unit, UNIT_EV_LOST, NULL, was_kill ? text : out_text(out, "what its action began still runs: %s", text));
		return;
	}
	wait_for(r, out, ev->unit, WHY_STATEMENT, ORPHANS_AGAIN_MS);
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
