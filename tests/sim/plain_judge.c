/* SPDX-License-Identifier: MIT */
/*
 * What holds of any profile: steps are done in their order, after what they need and not beside what they wait for; they are undone newest
 * first; and at the end all is done, or nothing is.
 */
#include "plain.h"

#include <stdio.h>

/* Of a step: it is done, or there is a reason why it need not be. */
static bool is_done(const struct world *w, const struct rollout *r, uint32_t unit, uint16_t step)
{
	const struct step *s = &rollout_stage(r, &r->units[unit])->steps[step];
	bool sometimes = s->only_with_tenants || s->only_without_tenants || s->only_fenced || s->skip_if_done;
	return !plain_acts(s) || sometimes || plain_applied(w, unit, step);
}

static bool is_whole(const struct world *w, const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	for (uint16_t k = 0; k < rollout_stage(r, u)->n_steps; k++)
		if (plain_step(w, unit, k)->lost)
			return true; /* found out when it is asked again; what is under way goes on meanwhile */
	for (uint16_t k = 0; k < rollout_stage(r, u)->n_steps && (u->flags & UNIT_ADOPTED) == 0; k++)
		if (!is_done(w, r, unit, k))
			return false;
	return u->state == UNIT_DONE || u->state == UNIT_FENCED;
}

static const char *what(const struct rollout *r, uint32_t unit, uint16_t step, char *buf, size_t size)
{
	char name[200];
	(void)snprintf(buf, size, "%s.%s", rollout_unit_name(r, unit, name, sizeof(name)), rollout_stage(r, &r->units[unit])->steps[step].name);
	return buf;
}

/* A unit of `on` may begin only when that one is done. */
static bool waits_for(const struct rollout *r, uint32_t on, uint32_t unit)
{
	const struct stage *stage = rollout_stage(r, &r->units[on]);
	uint32_t bit = 1u << r->units[unit].stage;
	return (stage->needs & bit) != 0 || ((stage->same & bit) != 0 && r->units[on].row == r->units[unit].row);
}

/* All stages that come before this one, however far. */
static uint32_t stands_on(const struct rollout *r, uint8_t stage)
{
	uint32_t bits = 1u << stage, before = 0;
	while (bits != before) {
		before = bits;
		for (uint8_t s = 0; s < r->profile->n_stages; s++)
			if ((bits & 1u << s) != 0)
				bits |= r->profile->stages[s].needs;
	}
	return bits & ~(1u << stage);
}

/* Of one way, the later edge on the earlier. */
static bool is_further(const struct rollout *r, uint32_t unit, uint32_t on)
{
	const struct unit *a = &r->units[unit], *b = &r->units[on];
	return a->stage == b->stage && rollout_stage(r, a)->order == ORDER_PATH && r->rows[a->row].rank > r->rows[b->row].rank;
}

bool plain_stands_on(const struct rollout *r, uint32_t unit, uint32_t on)
{
	return is_further(r, unit, on) || waits_for(r, unit, on) || (stands_on(r, r->units[unit].stage) & 1u << r->units[on].stage) != 0;
}

static void order_do(struct world *w, const struct rollout *r, uint32_t unit, uint16_t step)
{
	char a[256], b[256];
	const struct step *s = &rollout_stage(r, &r->units[unit])->steps[step];
	const struct plain_step *done = plain_step(w, unit, step);
	for (uint16_t k = 0; k < step; k++)
		if (!is_done(w, r, unit, k) && !plain_step(w, unit, k)->lost)
			world_broken(w, "order: %s is sent, and %s is not done", what(r, unit, step, a, sizeof(a)), what(r, unit, k, b, sizeof(b)));
	for (uint32_t i = 0; i < r->n_units; i++)
		if (i != unit && waits_for(r, unit, i) && !is_whole(w, r, i))
			world_broken(w, "order: %s is sent, and %s is not done", what(r, unit, step, a, sizeof(a)), rollout_unit_name(r, i, b, sizeof(b)));
	const struct row *mine = &r->rows[r->units[unit].row];
	uint32_t before = rollout_stage(r, &r->units[unit])->order == ORDER_PATH && mine->rank > 0 ? r->unit_of[r->units[unit].stage][mine->rank - 1] : RECORD_NO_UNIT;
	if (before != RECORD_NO_UNIT && !unit_is_settled(r->units[before].state))
		world_broken(w, "order: %s is sent, and %s is not done", what(r, unit, step, a, sizeof(a)), rollout_unit_name(r, before, b, sizeof(b)));
	if (done->busy_until > w->now)
		world_broken(w, "order: %s is sent beside the statement of the client before", what(r, unit, step, a, sizeof(a)));
	bool once = s->act.kind == ACTION_RUN && s->resolve != RESOLVE_RERUN && s->n_on <= 1;
	for (uint8_t k = (uint8_t)(step + 1); k < PROFILE_STEPS_MAX; k++)
		for (uint8_t row = 0; row < PROFILE_CAUSES_MAX; row++)
			once &= rollout_tried(r, unit, k, row) == 0; /* a row of on_failure has sent it back */
	if (once && done->applied && !done->denied && !done->haunted)
		world_broken(w, "order: %s was done, and is sent once more", what(r, unit, step, a, sizeof(a)));
}

static void order_undo(struct world *w, const struct rollout *r, uint32_t unit, uint16_t step)
{
	char a[256], b[256];
	const struct stage *stage = rollout_stage(r, &r->units[unit]);
	for (uint16_t k = (uint16_t)(step + 1); k < stage->n_steps; k++)
		if (stage->steps[k].has_undo && plain_applied(w, unit, k) && !plain_step(w, unit, k)->haunted && (r->units[unit].flags & UNIT_STAYS) == 0)
			world_broken(w, "order: %s is undone before %s", what(r, unit, step, a, sizeof(a)), what(r, unit, k, b, sizeof(b)));
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		bool is_theirs = u->state == UNIT_PARKED || (u->flags & UNIT_STAYS) != 0;
		for (uint16_t k = 0; i != unit && !is_theirs && plain_stands_on(r, i, unit) && k < rollout_stage(r, u)->n_steps; k++) {
			const struct step *s = &rollout_stage(r, u)->steps[k];
			if (plain_applied(w, i, k) && !plain_step(w, i, k)->haunted && (s->has_undo || s->pivot))
				world_broken(w, "order: %s is undone under %s", what(r, unit, step, a, sizeof(a)), what(r, i, k, b, sizeof(b)));
		}
	}
}

void plain_order(struct world *w, const struct rollout *r, uint32_t unit, uint16_t step, uint8_t dir)
{
	if (dir == DIR_UNDO)
		order_undo(w, r, unit, step);
	else
		order_do(w, r, unit, step);
}

/* ---- at any time ---- */

/* A node that is away, or was a moment ago, serves nobody whatever the rules are. */
static bool somebody_is_away(const struct world *w)
{
	for (uint32_t n = 0; n < w->n_nodes; n++)
		if (w->now < w->nodes[n].down_until || w->nodes[n].cause != 0)
			return true;
	return false;
}

static void check_floor(struct world *w, const struct rollout *r, const struct floor *floor)
{
	for (int p = 0; p < WORLD_PROCESSES; p++) {
		uint8_t b = floor->what.index;
		int64_t ready = 0;
		bool excused = somebody_is_away(w);
		for (uint32_t n = 0; n < w->n_nodes; n++) {
			ready += w->admin[b][p][n] == SERVER_READY;
			excused |= w->hand[b][p][n] || w->now < w->forgot_until[b][p];
		}
		if (ready < floor->bound.constant && !excused)
			world_broken(w, "I4: %lld servers are ready in process %d of %s, at least %lld must be", (long long)ready, p + 1, r->profile->balancers[b],
				(long long)floor->bound.constant);
	}
}

static void check_stage(struct world *w, const struct rollout *r, uint8_t s)
{
	const struct stage *stage = &r->profile->stages[s];
	uint32_t running = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		running += r->units[i].stage == s && r->units[i].state == UNIT_RUNNING;
	if (stage->total != 0 && running > stage->total)
		world_broken(w, "I5: %u units of %s are under way, at most %u may be", running, stage->name, stage->total);
	for (size_t i = 0; i < stage->n_keep && running > 0; i++) {
		const struct floor *floor = &stage->keep[i];
		if (floor->what.kind == COUNTER_READY && !floor->is_max && floor->bound.kind == COUNTER_CONST && !floor->has_only)
			check_floor(w, r, floor);
	}
}

static void check_back(struct world *w, const struct rollout *r, const char *how);

void plain_check(struct world *w, const struct rollout *r)
{
	if (r == NULL || r->state == ROLLOUT_PLANNING)
		return;
	if (r->back == BACK_REST && r->state == ROLLOUT_RUNNING)
		check_back(w, r, "at rest");
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		check_stage(w, r, s);
	for (uint8_t set = 0; set < r->profile->n_sets; set++) {
		int stage = w->plain->arrival[set].stage;
		for (uint32_t i = plain_level(w, r, set); stage >= 0 && r->profile->sets[set].from == SET_PATH && i < r->n_set_rows[set]; i++) {
			uint32_t unit = r->unit_of[stage][i];
			if (unit != RECORD_NO_UNIT && plain_applied(w, unit, (uint16_t)w->plain->arrival[set].step) && !plain_step(w, unit, (uint16_t)w->plain->arrival[set].step)->haunted)
				world_broken(w, "order: the way to %s was gone before the edge before it", r->rows[r->units[unit].row].name);
		}
	}
}

/* ---- at the end ---- */

/* What was done before a pivot elsewhere stays: where its undo says so, and under that pivot. */
static bool stays(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
	if (u->state != UNIT_DONE || r->state == ROLLOUT_DONE)
		return false;
	for (size_t k = 0; k < stage->n_steps; k++)
		if (stage->steps[k].n_undo_while > 0)
			return true;
	for (uint32_t i = 0; i < r->n_units; i++)
		if ((r->units[i].flags & UNIT_PIVOT) != 0 && plain_stands_on(r, i, (uint32_t)(u - r->units)))
			return true;
	return false;
}

static void check_servers(struct world *w, const struct rollout *r, const char *how)
{
	for (uint32_t row = 0; row < r->n_rows; row++) {
		const struct world_node *node = world_node(w, r, row);
		for (uint8_t b = 0; node != NULL && b < r->profile->n_balancers; b++) {
			enum server_state is = plain_server(w, r, row, b, NULL);
			uint32_t n = (uint32_t)(node - w->nodes);
			bool stands = false; /* a person said that it may be as it is */
			for (uint32_t i = 0; i < r->n_units; i++)
				stands |= r->units[i].row == row && (r->units[i].state == UNIT_PARKED || r->units[i].state == UNIT_FENCED || r->units[i].state == UNIT_SKIPPED ||
					r->units[i].state == UNIT_FAILED || r->units[i].state == UNIT_UNCERTAIN || (r->units[i].flags & UNIT_STAYS) != 0 || stays(r, &r->units[i]));
			for (int p = 0; p < WORLD_PROCESSES && !stands; p++) {
				if (w->hand[b][p][n] || w->now < w->forgot_until[b][p])
					continue;
				if (w->admin[b][p][n] != is)
					world_broken(w, "I8: %s, and %s is %s in process %d of %s, not %s", how, node->name, server_state_word(w->admin[b][p][n]), p + 1,
						r->profile->balancers[b], server_state_word(is));
				if (is != w->baseline[b] && is != SERVER_READY)
					world_broken(w, "I8: %s, and %s is left in %s in %s", how, node->name, server_state_word(is), r->profile->balancers[b]);
			}
		}
	}
}

void plain_check_done(struct world *w, const struct rollout *r)
{
	char name[256];
	for (uint32_t i = 0; i < r->n_units; i++)
		for (uint16_t k = 0; k < rollout_stage(r, &r->units[i])->n_steps && (r->units[i].flags & UNIT_ADOPTED) == 0; k++)
			if (!is_done(w, r, i, k))
				world_broken(w, "I9: done, and %s is not", what(r, i, k, name, sizeof(name)));
	check_servers(w, r, "done");
}

static bool should_be_undone(const struct rollout *r, const struct unit *u)
{
	bool left = u->state == UNIT_UNDONE || u->state == UNIT_WAITING || u->state == UNIT_DONE;
	return left && !stays(r, u) && (u->flags & (UNIT_PIVOT | UNIT_STAYS)) == 0;
}

/* What was begun is undone, and the servers are as before. */
static void check_back(struct world *w, const struct rollout *r, const char *how)
{
	char name[256];
	for (uint32_t i = 0; i < r->n_units; i++)
		for (uint16_t k = 0; k < rollout_stage(r, &r->units[i])->n_steps && should_be_undone(r, &r->units[i]); k++)
			if (rollout_stage(r, &r->units[i])->steps[k].has_undo && plain_applied(w, i, k) && !plain_step(w, i, k)->haunted)
				world_broken(w, "I8: %s, and %s is done still", how, what(r, i, k, name, sizeof(name)));
	check_servers(w, r, how);
}

void plain_check_aborted(struct world *w, const struct rollout *r)
{
	check_back(w, r, "aborted");
}
