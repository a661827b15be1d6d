/* SPDX-License-Identifier: MIT */
/*
 * A fence: the server of a node that is away is put in maintenance in every process of a balancer, so that what was not done on the
 * node harms nobody when it comes back. Custody sets it and keeps it; as long as it is seen so everywhere, the unit counts as done for
 * what needs it. When the node is seen again the unit runs from its first step, and the last one lets the server in.
 *
 * A node is away when upgd and every process of the balancer say so, for as long as the stage names: what nobody reaches is no loss.
 */
#include "decide.h"

#include "facts.h"

#include <stdio.h>

static bool is_away(const struct rollout *r, uint32_t row, uint8_t balancer)
{
	const struct fact_row *fact = &r->facts.rows[row];
	bool seen = r->facts.rows_at[r->rows[row].set] != 0 && r->facts.servers_at[balancer] != 0;
	return seen && !fact->up && !r->facts.servers[balancer][r->rows[row].rank].up;
}

bool fence_holds(const struct rollout *r, const struct unit *u)
{
	int balancer = rollout_stage(r, u)->fence;
	if ((u->flags & UNIT_FENCE) == 0 || balancer < 0 || r->wants[balancer] == NULL)
		return false;
	const struct want *want = &r->wants[balancer][r->rows[u->row].rank];
	return want->state == SERVER_MAINT && !want->reasserted && !want->contested;
}

uint32_t fence_of(const struct rollout *r, uint32_t row)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		if (stage->fence < 0 || stage->set != r->rows[row].set || r->unit_of[s] == NULL)
			continue;
		uint32_t unit = r->unit_of[s][r->rows[row].rank];
		if ((r->units[unit].flags & UNIT_FENCE) != 0)
			return unit;
	}
	return RECORD_NO_UNIT;
}

/* Its server is the affair of a stage that takes it out, now or from then on. */
static bool is_taken_out(const struct rollout *r, uint32_t row)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		if (!r->profile->stages[s].takes_out || r->profile->stages[s].set != r->rows[row].set)
			continue;
		const struct unit *u = &r->units[r->unit_of[s][r->rows[row].rank]];
		if ((u->flags & UNIT_STARTED) != 0 && u->state != UNIT_WAITING && u->state != UNIT_UNDONE)
			return true;
	}
	return false;
}

static bool others_ready(const struct rollout *r, uint32_t row, uint8_t balancer)
{
	for (uint32_t i = 0; i < r->n_rows; i++) {
		if (r->rows[i].set != r->profile->set_node || i == row)
			continue;
		const struct fact_server *server = &r->facts.servers[balancer][r->rows[i].rank];
		if (server->state == SERVER_READY && server->up && facts_may_rely(r, i, balancer) && !facts_node_out(r, i, RECORD_NO_UNIT))
			return true;
	}
	return false;
}

bool fence_is_legal(const struct rollout *r, uint32_t unit, char *why, size_t size)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	const char *node = r->rows[u->row].name, *balancer = stage->fence >= 0 ? r->profile->balancers[stage->fence] : "";
	enum unit_state to;
	why[0] = '\0';
	if (stage->fence < 0)
		(void)snprintf(why, size, "is of a stage that fences nothing");
	else if (r->rows[u->row].aside)
		(void)snprintf(why, size, "is left alone: a person had %s out before the start", node);
	else if (is_taken_out(r, u->row))
		(void)snprintf(why, size, "is over: %s is being upgraded, or is", node);
	else if (!unit_next((enum unit_state)u->state, UNIT_EV_FENCE, &to))
		(void)snprintf(why, size, "%s", unit_refusal((enum unit_state)u->state, UNIT_EV_FENCE));
	else if (r->facts.servers_at[stage->fence] == 0 || r->facts.servers[stage->fence][r->rows[u->row].rank].state == SERVER_UNKNOWN)
		(void)snprintf(why, size, "cannot be fenced: %s does not answer, or its processes disagree about %s", balancer, node);
	else if (!others_ready(r, u->row, (uint8_t)stage->fence))
		(void)snprintf(why, size, "cannot be fenced: no other server of %s is ready", balancer);
	return why[0] == '\0';
}

void fence_unit(struct rollout *r, struct out *out, uint32_t unit, const char *actor, const char *text)
{
	const struct unit *u = &r->units[unit];
	uint8_t balancer = (uint8_t)rollout_stage(r, u)->fence;
	const char *node = r->rows[u->row].name, *name = r->profile->balancers[balancer];
	/* What upgd has just let in may be seen so at the next look only; what a person takes out again is contested by then. */
	const struct want *want = &r->wants[balancer][r->rows[u->row].rank];
	bool ours = (u->flags & UNIT_FENCE) != 0 || (want->state == SERVER_READY && !want->contested);
	bool theirs = !ours && r->facts.servers[balancer][r->rows[u->row].rank].state != SERVER_READY;
	struct record *rec = out_record(r, out, RECORD_UNIT, unit);
	rec->code = UNIT_FENCED;
	rec->value = theirs;
	rec->actor = actor;
	rec->text = out_text(out, "%s; %s is kept out of %s%s", text, node, name, theirs ? ", as a person had it" : " until it is seen again");
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	rec = out_record(r, out, RECORD_WANT, unit);
	rec->step = balancer;
	rec->lane = (int32_t)u->row;
	rec->code = SERVER_MAINT;
	out_commit(r, out, rec);
	rec = out_record(r, out, RECORD_REASSERT, RECORD_NO_UNIT); /* custody sets it again, until it is seen in every process */
	rec->step = balancer;
	rec->lane = (int32_t)u->row;
	rec->text = out_text(out, "%s in %s: we want maint", node, name);
	out_commit(r, out, rec);
	/* Now, not at the next look: the node may be back before it. */
	for (int32_t p = 0; p < PROFILE_PROCESSES_MAX; p++)
		if (r->processes[balancer][p].pid != 0)
			custody_assert(out, balancer, u->row, p, SERVER_MAINT);
}

/* The rollout is where the unit matters, and nobody has said to leave the node out. */
static bool may_fence(const struct rollout *r, uint32_t unit)
{
	char why[300];
	const struct unit *u = &r->units[unit];
	if (r->state != ROLLOUT_RUNNING || r->back != BACK_NO || rollout_stage(r, u)->away_ms == 0 || u->state == UNIT_SKIPPED)
		return false;
	return admit_is_open(r, u->stage) && fence_is_legal(r, unit, why, sizeof(why));
}

static bool away_step(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	struct fact_row *fact = &r->facts.rows[u->row];
	if (!is_away(r, u->row, (uint8_t)stage->fence)) {
		fact->away_since = 0;
		return false;
	}
	if (fact->away_since == 0)
		fact->away_since = r->now;
	if (!may_fence(r, unit))
		return false;
	if (r->now - fact->away_since < stage->away_ms) {
		out_wake(out, fact->away_since + stage->away_ms);
		return false;
	}
	fence_unit(r, out, unit, NULL, out_text(out, "its node does not answer, and is down in %s", r->profile->balancers[stage->fence]));
	return true;
}

bool fence_is_back(const struct rollout *r, const struct unit *u)
{
	const struct fact_row *fact = &r->facts.rows[u->row];
	uint32_t where = rollout_stage(r, u)->where;
	return u->state == UNIT_FENCED && r->facts.rows_at[r->rows[u->row].set] != 0 && fact->known && fact->up &&
		(where == 0 || (where & (1u << fact->class_)) != 0);
}

static bool return_step(struct rollout *r, struct out *out, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	return r->back == BACK_NO && fence_is_back(r, u) && fence_holds(r, u) && unit_event(r, out, unit, UNIT_EV_RETURN, NULL, "its node is seen again");
}

bool fence_step(struct rollout *r, struct out *out)
{
	bool moved = false;
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		for (uint32_t k = 0; r->profile->stages[s].fence >= 0 && k < r->n_order[s]; k++) {
			uint32_t unit = r->order[s][k];
			moved |= r->units[unit].state == UNIT_FENCED ? return_step(r, out, unit) : away_step(r, out, unit);
		}
	return moved;
}
