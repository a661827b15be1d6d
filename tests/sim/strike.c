/* SPDX-License-Identifier: MIT */
/* Troubles that come by themselves, and the person who comes by and deals with what they left. */
#include "sim_parts.h"

#include <string.h>

struct trouble *strike_due(struct sim *s, enum trouble_when when, uint32_t ordinal)
{
	for (size_t i = 0; i < s->troubles.n; i++) {
		struct trouble *t = &s->troubles.list[i];
		if ((t->fired && t->left == 0) || trouble_when(t->kind) != when || t->at > ordinal)
			continue;
		t->left = (uint8_t)(t->fired ? t->left - 1u : t->kind == TROUBLE_PASSES ? t->b % 8 : 0);
		t->fired = true;
		sim_say(s, "#%u: %s", t->id, trouble_word(t->kind));
		return t;
	}
	return NULL;
}

static const char *balancer_name(const struct sim *s, int balancer)
{
	if (s->world.plain != NULL)
		return s->options.profile->balancers[balancer];
	return balancer ? "secondary" : "main";
}

void sim_reload(struct sim *s, int balancer, int process)
{
	struct world *w = &s->world;
	sim_say(s, "%s process %d reloads", balancer_name(s, balancer), process + 1);
	for (uint32_t n = 0; n < w->n_nodes; n++)
		world_set_server(w, balancer, process, n, w->baseline[balancer], false);
	w->pid[balancer][process]++;
	w->forgot_until[balancer][process] = s->daemon == NULL ? UINT64_MAX : w->now + 15000; /* put back by then: I10, see check_custody() */
}

void sim_person_sets(struct sim *s, int balancer, const char *node, enum server_state state)
{
	for (uint32_t n = 0; n < s->world.n_nodes; n++)
		if (strcmp(s->world.nodes[n].name, node) == 0)
			for (int p = 0; p < WORLD_PROCESSES; p++)
				world_set_server(&s->world, balancer, p, n, state, true);
}

void sim_away(struct sim *s, const char *name, bool away, bool bare)
{
	for (uint32_t n = 0; n < s->world.n_nodes; n++) {
		struct world_node *node = &s->world.nodes[n];
		if (strcmp(node->name, name) != 0)
			continue;
		node->away = away;
		if (bare)
			node->redirect = false;
	}
}

static void reboot(struct sim *s, uint32_t n, uint64_t ms, uint16_t cause)
{
	struct world_node *node = &s->world.nodes[n];
	sim_say(s, "the host of %s is down", node->name);
	node->down_until = s->world.now + ms;
	node->boots_at = node->running ? node->down_until + 2000 : node->boots_at;
	node->reboots++;
	node->cause = cause;
}

/* A host that was away for long may be another one, bare: where upgd keeps it out. */
void strike_back(struct sim *s, uint32_t node)
{
	const struct rollout *r = sim_rollout(s);
	for (uint32_t i = 0; r != NULL && i < r->n_units; i++)
		if (world_node(&s->world, r, r->units[i].row) == &s->world.nodes[node] && r->units[i].state == UNIT_FENCED) {
			sim_say(s, "%s is back, bare", s->world.nodes[node].name);
			s->world.nodes[node].redirect = false;
		}
}

bool strike_window(struct sim *s, const struct rollout *r, const struct effect *e)
{
	const struct unit *u = &r->units[e->unit];
	struct world_schema *schema = world_schema(&s->world, r, u->row);
	if (schema == NULL || (u->flags & UNIT_WINDOW) == 0 || u->step < 3 || schema->tenants == 0 || schema->enabled)
		return false;
	const struct trouble *t = strike_due(s, AT_WINDOW, s->n_actions);
	if (t == NULL)
		return false;
	schema->cause = t->id;
	bool dies = t->b % 3 == 1;
	s->asked_by = t->id;
	if (t->b % 3 == 2)
		sim_command(s, COMMAND_PAUSE_NOW, NULL);
	s->asked_by = 0;
	if (dies)
		sim_crash(s);
	schema->enabled = schema->unseen = true;
	schema->cached_old |= !schema->owner_new;
	if (dies)
		sim_later(s, 1 + t->a % 60000, THING_RESTART)->life = 0;
	return dies;
}

/* An old node must be there to make it. */
static bool old_fleet_is_there(const struct world *w)
{
	for (uint32_t n = 0; n < w->n_nodes; n++)
		if (!w->nodes[n].is_new && w->nodes[n].running && w->nodes[n].name_new == false)
			return true;
	return false;
}

static bool in_window(const struct sim *s, uint32_t schema)
{
	const struct rollout *r = s->daemon != NULL ? engine_rollout(s->daemon->engine) : NULL;
	bool under_way = r == NULL;
	for (uint32_t i = 0; r != NULL && i < r->n_units; i++)
		under_way |= world_schema(&s->world, r, r->units[i].row) == &s->world.schemata[schema] && r->units[i].state != UNIT_DONE &&
			r->units[i].state != UNIT_WAITING;
	return under_way;
}

static void tenant(struct sim *s, uint32_t n, uint16_t cause)
{
	struct world_schema *schema = &s->world.schemata[n];
	if (!old_fleet_is_there(&s->world) || in_window(s, n))
		return;
	sim_say(s, "a tenant is made in %s on the old fleet", schema->name);
	schema->cause = cause;
	schema->late = true;
	if (schema->owner_new)
		schema->strays += 5;
	else
		schema->tenants += 5;
	schema->enabled = true;
}

static void new_schema(struct sim *s, uint16_t cause)
{
	struct world *w = &s->world;
	if (w->n_schemata == WORLD_SCHEMATA || !old_fleet_is_there(w))
		return;
	struct world_schema *schema = &w->schemata[w->n_schemata++];
	*schema = (struct world_schema){ .tenants = 7, .enabled = true, .host = (uint16_t)(1 + w->n_schemata % 2), .cause = cause, .late = true };
	(void)snprintf(schema->name, sizeof(schema->name), "ox_%u", w->n_schemata);
	sim_say(s, "%s is made", schema->name);
}

/* A unit by number; half of the time one that has begun and is not done. */
static void command(struct sim *s, enum command_verb verb, uint32_t a, uint32_t b)
{
	struct rollout *r = sim_rollout(s);
	char name[300];
	if (r == NULL || r->n_units == 0 || rollout_is_over(r))
		return;
	uint32_t unit = a % r->n_units, begun[64], n = 0;
	for (uint32_t i = 0; i < r->n_units && n < 64; i++)
		if ((r->units[i].flags & UNIT_STARTED) && r->units[i].state != UNIT_DONE)
			begun[n++] = i;
	if (n > 0 && b % 2 == 0)
		unit = begun[a % n];
	if (verb == COMMAND_FENCE) {
		(void)snprintf(name, sizeof(name), "redirect/%s", s->world.nodes[a % s->world.n_nodes].name);
		sim_command(s, verb, name);
		return;
	}
	bool of_unit = verb == COMMAND_RETRY || verb == COMMAND_SKIP || verb == COMMAND_PARK;
	sim_command(s, verb, of_unit ? rollout_unit_name(r, unit, name, sizeof(name)) : NULL);
}

static void hand(struct sim *s, uint32_t a, uint32_t b)
{
	static const enum server_state states[] = { SERVER_READY, SERVER_DRAIN, SERVER_MAINT };
	const char *node = s->world.nodes[a % s->world.n_nodes].name;
	enum server_state state = states[(b >> 1) % 3];
	int balancer = (int)(b % s->world.n_balancers);
	sim_say(s, "a person sets %s to %s in %s", node, server_state_word(state), balancer_name(s, balancer));
	sim_person_sets(s, balancer, node, state);
}

static void strike(struct sim *s, enum trouble_kind kind, uint32_t a, uint32_t b, uint16_t id)
{
	static const enum command_verb verbs[TROUBLE_KINDS] = { [TROUBLE_PAUSE] = COMMAND_PAUSE, [TROUBLE_PAUSE_NOW] = COMMAND_PAUSE_NOW,
		[TROUBLE_RESUME] = COMMAND_RESUME, [TROUBLE_RETRY] = COMMAND_RETRY, [TROUBLE_SKIP] = COMMAND_SKIP, [TROUBLE_PARK] = COMMAND_PARK,
		[TROUBLE_ABORT] = COMMAND_ABORT, [TROUBLE_FENCE] = COMMAND_FENCE };
	struct world *w = &s->world;
	switch (kind) {
	case TROUBLE_NONE:
		return;
	case TROUBLE_KILL:
		if (s->daemon != NULL) {
			sim_crash(s);
			sim_later(s, a % 60000, THING_RESTART);
		}
		return;
	case TROUBLE_TAKEOVER:
		sim_takeover(s);
		return;
	case TROUBLE_RELOAD:
		if (w->n_balancers > 0)
			sim_reload(s, (int)(a % s->world.n_balancers), (int)(b % 2));
		return;
	case TROUBLE_HAND:
		hand(s, a, b);
		return;
	case TROUBLE_REWRITE:
		world_rewrite(w, a % w->n_nodes, b % 2, false);
		return;
	case TROUBLE_REBOOT:
		reboot(s, a % w->n_nodes, 5000 + b % 120000, id);
		return;
	case TROUBLE_DEAD:
		reboot(s, a % w->n_nodes, 130000 + b % 600000, id);
		if (b % 2 == 0) {
			struct happening *h = sim_later(s, 130000 + b % 600000, THING_BACK);
			h->life = 0;
			h->which = a % w->n_nodes;
		}
		return;
	case TROUBLE_DATABASE:
	case TROUBLE_READ_ONLY:
	case TROUBLE_FAILOVER:
		databases_strike(s, kind, a, b, id);
		return;
	case TROUBLE_TASK:
		w->schemata[a % w->n_schemata].task_will_fail = !w->schemata[a % w->n_schemata].tasks_done;
		w->schemata[a % w->n_schemata].cause = id;
		return;
	case TROUBLE_TENANT:
		tenant(s, a % w->n_schemata, id);
		return;
	case TROUBLE_SCHEMA:
		new_schema(s, id);
		return;
	default:
		s->asked_by = id;
		command(s, verbs[kind], a, b);
		s->asked_by = 0;
	}
}

void strike_time(struct sim *s, uint32_t which)
{
	struct trouble *t = &s->troubles.list[which];
	const struct rollout *r = sim_rollout(s);
	if (r != NULL && rollout_is_over(r))
		return;
	t->fired = true;
	if (t->kind != TROUBLE_NONE)
		sim_say(s, "#%u: %s", t->id, trouble_word(t->kind));
	strike(s, (enum trouble_kind)t->kind, t->a, t->b, t->id);
}

void sim_strike(struct sim *s, enum trouble_kind kind, uint32_t a, uint32_t b)
{
	strike(s, kind, a, b, 0);
}

/* ---- the person ---- */

/* What somebody did by hand is put as it is wanted; where upgd wants nothing, as it was before. */
static void hands_back(struct sim *s, const struct rollout *r)
{
	for (uint8_t b = 0; b < r->profile->n_balancers && r->wants[b] != NULL; b++) {
		int balancer = b;
		for (uint32_t n = 0; n < s->world.n_nodes; n++) {
			const struct want *want = &r->wants[b][n];
			enum server_state state = want->state != SERVER_UNKNOWN ? (enum server_state)want->state : (enum server_state)s->world.baseline[balancer];
			bool mine = want->contested;
			for (int p = 0; p < WORLD_PROCESSES; p++)
				mine |= s->world.hand[balancer][p][n];
			for (int p = 0; p < WORLD_PROCESSES && mine; p++)
				world_set_server(&s->world, balancer, p, n, state, false);
		}
	}
}

/* Lines that somebody changed: set again by a word, or by hand. */
static void lines_back(struct sim *s, const struct rollout *r)
{
	char name[300];
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct changed_line *line = line_changed(r, i);
		const struct row *row = &r->rows[r->units[i].row];
		if (line != NULL && s->n_visits % 2 == 0 && world_node(&s->world, r, r->units[i].row) != NULL)
			for (int which = 0; which < 2; which++)
				world_rewrite(&s->world, row->rank, which, true);
		else if (line != NULL)
			sim_command(s, COMMAND_RETRY, rollout_unit_name(r, i, name, sizeof(name)));
	}
}

static void force_task(struct sim *s, const struct rollout *r, uint32_t row)
{
	struct world_schema *schema = world_schema(&s->world, r, row);
	if (schema == NULL || !schema->task_failed)
		return;
	schema->task_will_fail = schema->task_failed = false; /* forceupdatetask */
	schema->tasks_done = true;
}

static void approve_all(struct sim *s, const struct rollout *r)
{
	char name[160];
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct step *step = rollout_step(r, &r->units[i]);
		if (r->live[i].why.kind != WHY_APPROVAL || step == NULL)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", rollout_stage(r, &r->units[i])->name, step->name);
		sim_command(s, COMMAND_APPROVE, name);
	}
}

/* A schema that upgd does not touch because somebody disabled it with its own reason: enabled by hand. */
static void enable_by_hand(struct sim *s, const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		struct world_schema *schema = world_schema(&s->world, r, r->units[i].row);
		if (schema != NULL && r->units[i].state == UNIT_WAITING && r->live[i].why.kind == WHY_CHECK && strncmp(r->live[i].text, "reason_free", 11) == 0)
			schema->enabled = true;
	}
}

/* Made on the old fleet when its last node was on its way: no node is left that could take it over. */
static void stranded(struct sim *s, const struct rollout *r)
{
	char name[300];
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct world_schema *schema = world_schema(&s->world, r, r->units[i].row);
		if (r->live[i].why.kind != WHY_PLACE || schema == NULL || (!schema->late && !schema->lost) || s->world.now - r->live[i].why.since_boot < 60000)
			continue;
		s->asked_by = schema->cause;
		sim_command(s, COMMAND_PARK, rollout_unit_name(r, i, name, sizeof(name)));
		s->asked_by = 0;
	}
}

/* The tool refuses to move tenants that somebody enabled in the window; who reads that disables them before the way back is tried again. */
static void disable_by_hand(struct sim *s, const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	struct world_schema *schema = world_schema(&s->world, r, u->row);
	if (schema != NULL && u->dir == DIR_UNDO && (u->flags & UNIT_WINDOW) != 0)
		schema->enabled = false;
}

void strike_person(struct sim *s)
{
	struct rollout *r = sim_rollout(s);
	char name[300];
	if (r == NULL || rollout_is_over(r))
		return;
	s->n_visits++;
	hands_back(s, r);
	lines_back(s, r);
	if (r->paused)
		sim_command(s, COMMAND_RESUME, NULL);
	approve_all(s, r);
	stranded(s, r);
	enable_by_hand(s, r);
	if (r->back == BACK_REST && !rollout_is_over(r)) { /* as status says */
		sim_command(s, COMMAND_RETRY, rollout_unit_name(r, r->back_unit, name, sizeof(name)));
		return;
	}
	for (uint32_t i = 0; i < r->n_units; i++) {
		if (r->units[i].state != UNIT_FAILED && r->units[i].state != UNIT_UNCERTAIN)
			continue;
		if (s->n_visits % 2 == 0) { /* what did not get better by a retry is gone around, and tried again the next time */
			if (!r->paused && (r->units[i].flags & UNIT_MUTED) == 0)
				sim_command(s, COMMAND_RESUME, NULL);
			continue;
		}
		if (r->units[i].attempt > 20 || (s->n_visits > 40 && admit_retry(r, i).kind == WHY_FLOOR)) { /* nothing helps */
			s->asked_by = (uint16_t)world_cause(&s->world, r, &r->units[i]);
			sim_command(s, COMMAND_PARK, rollout_unit_name(r, i, name, sizeof(name)));
			s->asked_by = 0;
			continue;
		}
		force_task(s, r, r->units[i].row);
		disable_by_hand(s, r, i);
		sim_command(s, COMMAND_RETRY, rollout_unit_name(r, i, name, sizeof(name)));
	}
}
