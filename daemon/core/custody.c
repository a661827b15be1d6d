/* SPDX-License-Identifier: MIT */
/*
 * Custody: what upgd set in a balancer stays so while the world is mixed: running, paused, aborted, over night. A process that is younger
 * than what we set has forgotten it: it is put back. A process that is as old shows a person's hand: contested, shown, never fought.
 */
#include "decide.h"

#include <inttypes.h>

/*
 * A step of ours on this very server is not finished (or failed there): what is seen may be its half, and is not a person's. What a
 * process has forgotten is put back all the same once nobody is at it any more: a parked step may have let in the only server.
 */
static bool being_set(const struct rollout *r, uint32_t row, uint8_t balancer, bool forgotten)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		const struct step *step = u->row == row ? rollout_step(r, u) : NULL;
		if (step == NULL || (u->touched & (1u << u->step)) == 0 || u->state == UNIT_DONE || u->state == UNIT_FENCED)
			continue;
		if (forgotten && u->state != UNIT_RUNNING && u->state != UNIT_UNDOING)
			continue;
		if (step->act.kind == ACTION_SERVER && step->act.balancer == balancer)
			return true;
	}
	return false;
}

void custody_assert(struct out *out, uint8_t balancer, uint32_t row, int32_t process, uint8_t state)
{
	struct effect *effect = out_effect(out, EFFECT_ASSERT, RECORD_NO_UNIT);
	effect->balancer = balancer;
	effect->row = row;
	effect->lane = process;
	effect->want = state;
}

void custody_process(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->balancer >= r->profile->n_balancers || ev->lane < 0 || ev->lane >= PROFILE_PROCESSES_MAX)
		return;
	const struct balancer_process *last = &r->processes[ev->balancer][ev->lane];
	if (last->pid == ev->seq && last->start_s == ev->value)
		return;
	struct record *rec = out_record(r, out, RECORD_PROCESS, RECORD_NO_UNIT);
	rec->step = ev->balancer;
	rec->lane = ev->lane;
	rec->hash = ev->seq;
	rec->value = ev->value;
	rec->text = last->pid == 0 ? out_text(out, "process %d of %s is pid %u", ev->lane + 1, r->profile->balancers[ev->balancer], (unsigned)ev->seq)
		: out_text(out, "process %d of %s is pid %u now, it was %u", ev->lane + 1, r->profile->balancers[ev->balancer], (unsigned)ev->seq, last->pid);
	out_commit(r, out, rec);
}

void custody_server(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->balancer >= r->profile->n_balancers || r->wants[ev->balancer] == NULL || ev->row >= r->n_rows)
		return;
	struct want *want = &r->wants[ev->balancer][r->rows[ev->row].rank];
	if (want->state == SERVER_UNKNOWN || ev->value == SERVER_UNKNOWN)
		return;
	bool as_wanted = ev->value == want->state;
	bool forgotten = ev->reloaded || want->reasserted; /* asked to be put back, and not seen so yet: perhaps before a crash */
	if (as_wanted ? !want->contested && !want->reasserted : want->contested && !forgotten)
		return;
	/* As wanted again is so whoever is at it: a step that waits for a contested server would wait for itself. */
	if (!(as_wanted && want->contested) && being_set(r, ev->row, ev->balancer, forgotten))
		return;
	if (!as_wanted && want->reasserted) {
		custody_assert(out, ev->balancer, ev->row, ev->lane, want->state); /* said already; a put-back that does not stick is not news at every look */
		return;
	}
	enum record_kind kind = as_wanted ? RECORD_LIFT : forgotten ? RECORD_REASSERT : RECORD_FOREIGN;
	struct record *rec = out_record(r, out, kind, RECORD_NO_UNIT);
	rec->step = ev->balancer;
	rec->lane = (int32_t)ev->row;
	rec->code = (uint16_t)ev->value;
	rec->value = ev->lane;
	/* Who went there since the process began. To a drain some do so by right, with a session that is kept. */
	const char *strayed = kind == RECORD_REASSERT && ev->seq > 0
		? out_text(out, "; it had sent %" PRIu64 " session%s there", ev->seq, ev->seq == 1 ? "" : "s") : "";
	rec->text = out_text(out, "%s in %s: %s, we want %s%s%s", r->rows[ev->row].name, r->profile->balancers[ev->balancer],
		server_state_word((enum server_state)ev->value), server_state_word((enum server_state)want->state),
		kind == RECORD_REASSERT ? "; the process is new, put back" : kind == RECORD_FOREIGN ? "; somebody changed it" : "", strayed);
	out_commit(r, out, rec);
	if (kind == RECORD_REASSERT)
		custody_assert(out, ev->balancer, ev->row, ev->lane, want->state);
}
