/* SPDX-License-Identifier: MIT */
/*
 * What may be left at the end. Done: the world is the one that a run without troubles leaves. Anything else was a person's word, or is
 * signed: the records of each unit that is not done name a trouble that happened. Nobody came: what stands says which trouble it stands for.
 */
#include "sim_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A text with "#id" of a trouble that happened. */
static bool is_signed(const struct sim *s, const char *text)
{
	const char *mark = text != NULL ? strrchr(text, '#') : NULL;
	unsigned long id = mark != NULL ? strtoul(mark + 1, NULL, 10) : 0;
	return id > 0 && id <= s->troubles.n && s->troubles.list[id - 1].fired;
}

static bool unit_cites(const struct sim *s, uint32_t unit)
{
	for (size_t i = 0; i < s->n_durable; i++)
		if (s->journal[i].unit == unit && s->journal[i].kind != RECORD_ROW && is_signed(s, s->journal[i].text))
			return true;
	return false;
}

/* A node stands still where a unit of it was parked: what else is to be done on it fails. */
static bool node_cites(const struct sim *s, const struct rollout *r, uint32_t unit)
{
	uint32_t row = r->units[unit].row;
	bool is_node = world_node(&s->world, r, row) != NULL;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].row == row && r->units[i].state == UNIT_PARKED && is_node && unit_cites(s, i))
			return true;
	return unit_cites(s, unit);
}

static bool person_said(const struct sim *s, enum record_kind kind, unsigned code)
{
	for (size_t i = 0; i < s->n_durable; i++) {
		const struct record *rec = &s->journal[i];
		if (rec->kind == kind && (kind != RECORD_UNIT || rec->code == code) && rec->actor != NULL && is_signed(s, rec->text))
			return true;
	}
	return false;
}

/* A node that is away stops nobody, and nobody has to say so. */
static bool is_fenced(const struct sim *s, const struct rollout *r, uint32_t unit)
{
	const struct world_node *node = world_node(&s->world, r, r->units[unit].row);
	return r->units[unit].state == UNIT_FENCED && node != NULL && node->cause != 0;
}

static bool gave_up(const struct sim *s, const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if (is_fenced(s, r, i))
			return true;
	return s->options.keep_on || person_said(s, RECORD_ABORT, 0) || person_said(s, RECORD_UNIT, UNIT_SKIPPED) ||
		person_said(s, RECORD_UNIT, UNIT_PARKED);
}

static void judge_units(struct sim *s, const struct rollout *r)
{
	char name[300];
	for (uint32_t i = 0; i < r->n_units; i++) {
		unsigned state = r->units[i].state;
		if (state == UNIT_DONE || state == UNIT_WAITING || (r->state == ROLLOUT_ABORTED && state == UNIT_UNDONE))
			continue;
		if (!is_fenced(s, r, i) && !node_cites(s, r, i))
			world_broken(&s->world, "I9: %s is %s, and no record of it says why", rollout_unit_name(r, i, name, sizeof(name)), unit_state_word(state));
	}
}

/* The world as a run without troubles leaves it, by size of the site. */
static uint64_t goal(const struct sim *s)
{
	static uint64_t known[WORLD_NODES][WORLD_SCHEMATA];
	uint32_t nodes = s->options.nodes, schemata = s->options.schemata;
	if (known[nodes][schemata] == 0) {
		struct sim_options o = { .seed = 1, .nodes = nodes, .schemata = schemata, .profile_text = s->options.profile_text, .profile = s->options.profile,
			.params = s->options.params, .approve = true };
		struct sim *plain = sim_new(&o);
		sim_start(plain, NULL, NULL, false);
		sim_run_until(plain, 4 * 3600 * 1000);
		known[nodes][schemata] = world_digest(&plain->world, nodes, schemata);
		sim_free(plain);
	}
	return known[nodes][schemata];
}

static void judge_done(struct sim *s, const struct rollout *r)
{
	bool by_hand = false;
	for (unsigned i = 0; i < WORLD_HOSTS; i++)
		if (s->world.hosts[i].server != 0 && s->world.now < s->world.hosts[i].away_until + 6000)
			return; /* a failover of the last moment: nobody has met the new server yet */
	world_check_done(&s->world, r);
	for (uint32_t n = 0; n < s->world.n_nodes; n++)
		by_hand |= s->world.nodes[n].rewritten != 0;
	for (uint32_t b = 0; b < s->world.n_balancers; b++)
		for (int p = 0; p < WORLD_PROCESSES; p++)
			for (uint32_t n = 0; n < s->world.n_nodes; n++)
				by_hand |= s->world.hand[b][p][n] || s->world.now < s->world.forgot_until[b][p];
	if (s->troubles.n > 0 && !by_hand && world_digest(&s->world, s->options.nodes, s->options.schemata) != goal(s))
		world_broken(&s->world, "done, and the world is not as without troubles");
}

/* It waits for a node that somebody else has out, and says so. */
static bool floor_names_a_hand(const struct rollout *r, uint32_t unit)
{
	char text[400];
	const struct live *live = &r->live[unit];
	if (r->units[unit].state != UNIT_WAITING || live->why.kind != WHY_FLOOR)
		return false;
	return strstr(why_text(r, unit, &live->why, text, sizeof(text)), "by another hand") != NULL;
}

/* Why does nothing go on? The answer that `status` gives first, or a unit that waits for a person. */
static bool stop_is_explained(const struct sim *s, const struct rollout *r)
{
	struct why why = admit_rollout(r, true);
	if (why.kind == WHY_PAUSE)
		return person_said(s, RECORD_PAUSE, 0);
	if (why.kind == WHY_FAILED || (why.kind == WHY_BACK && r->back == BACK_REST)) /* parked, it may be, while it went back */
		return unit_cites(s, why.other);
	for (size_t b = 0; b < r->profile->n_balancers; b++)
		for (uint32_t n = 0; r->profile->set_node >= 0 && n < r->n_set_rows[r->profile->set_node]; n++)
			if (r->wants[b][n].contested)
				return true; /* a hold of its own in `status` */
	for (uint32_t i = 0; i < r->n_units; i++) {
		if (line_changed(r, i) != NULL)
			return true; /* the same, of a file */
		if (floor_names_a_hand(r, i))
			return true;
		enum why_kind kind = r->live[i].why.kind;
		const struct world_schema *schema = world_schema(&s->world, r, r->units[i].row);
		if (kind == WHY_PLACE && schema != NULL && (schema->late || schema->lost))
			return true; /* made on the old fleet when its last node was on its way */
		if (kind == WHY_CONTESTED || kind == WHY_APPROVAL || (kind == WHY_CHECK && is_signed(s, r->live[i].text)))
			return true;
		if ((r->units[i].state == UNIT_FAILED || r->units[i].state == UNIT_UNCERTAIN) && unit_cites(s, i))
			return true; /* aborting: it waits for what failed with its window open */
	}
	return false;
}

/* Tenants that were made meanwhile, and no node has room for them: the floors say so until a person makes room. */
static bool is_full(const struct sim *s, const struct rollout *r)
{
	bool late = false, floor = false;
	for (uint32_t i = 0; i < s->world.n_schemata; i++)
		late |= s->world.schemata[i].late;
	for (uint32_t i = 0; i < r->n_units; i++)
		floor |= r->units[i].state == UNIT_WAITING && r->live[i].why.kind == WHY_FLOOR && rollout_stage(r, &r->units[i])->has_pivot;
	return late && floor && admit_rollout(r, true).kind == WHY_NONE;
}

void judge_end(struct sim *s)
{
	const struct rollout *r = sim_rollout(s);
	if (s->world.broken[0] != '\0')
		return;
	if (s->options.troubles == NULL && (r == NULL || !rollout_is_over(r))) {
		world_broken(&s->world, "it does not come to an end in %" PRIu64 " s", s->world.now / 1000);
		return;
	}
	if (r == NULL || !rollout_is_over(r)) {
		if (r == NULL || !(s->options.person ? is_full(s, r) : stop_is_explained(s, r) || is_full(s, r)))
			world_broken(&s->world, "it does not come to an end, and nothing says why");
		return;
	}
	if (r->state == ROLLOUT_DONE)
		judge_done(s, r);
	else if (s->options.troubles != NULL && !gave_up(s, r))
		world_broken(&s->world, "%s, and nobody gave anything up", rollout_state_word(r->state));
	if (r->state == ROLLOUT_ABORTED)
		world_check_aborted(&s->world, r);
	if (s->options.troubles != NULL)
		judge_units(s, r);
}
