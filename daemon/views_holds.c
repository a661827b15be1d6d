/* SPDX-License-Identifier: MIT */
/*
 * Holds are not kept anywhere: they are read off the reasons that the last decision left behind, so that what a person sees is what
 * decided. One line per reason and place, not per unit: of a thousand schemata that wait for one floor, the first speaks for all.
 */
#include "views_parts.h"

#include "core/back.h"
#include "core/explain.h"
#include "core/facts.h"
#include "executor.h"
#include "io/loop.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

struct hold {
	struct why why;
	uint32_t unit;   /* whose; RECORD_NO_UNIT */
	int16_t stage;   /* -1: the rollout */
	uint16_t step;   /* APPROVAL: one for all units at it */
	uint32_t n;      /* how many units say the same */
	const char *text, *scope, *kind; /* instead of what why says; borrowed; NULL: not so */
};

struct holds {
	struct hold items[64];
	size_t n;
};

static void add(struct holds *holds, struct hold hold)
{
	for (size_t i = 0; i < holds->n; i++) {
		struct hold *other = &holds->items[i];
		if (hold.text == NULL && other->text == NULL && other->why.kind == hold.why.kind && other->stage == hold.stage && other->step == hold.step &&
			other->why.floor == hold.why.floor && other->why.balancer == hold.why.balancer && ((hold.why.kind != WHY_CONTESTED && hold.why.kind != WHY_HOST && hold.why.kind != WHY_FENCED) || other->why.other == hold.why.other)) {
			other->n++;
			return;
		}
	}
	if (holds->n == sizeof(holds->items) / sizeof(holds->items[0]))
		return;
	hold.n = 1;
	holds->items[holds->n++] = hold;
}

bool view_unit_moves(const struct rollout *r, uint32_t unit)
{
	uint8_t state = r->units[unit].state;
	return (state == UNIT_RUNNING || state == UNIT_UNDOING) && r->live[unit].why.kind == WHY_NONE;
}

bool view_is_moving(const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		if (view_unit_moves(r, i))
			return true;
		if (r->units[i].state == UNIT_WAITING && r->live[i].busy == BUSY_GATE && r->live[i].why.kind == WHY_NONE)
			return true;
	}
	return false;
}

static bool has_waiting(const struct rollout *r, uint8_t stage)
{
	for (uint32_t k = 0; k < r->n_order[stage]; k++)
		if (r->units[r->order[stage][k]].state == UNIT_WAITING)
			return true;
	return false;
}

/* A limit is how it should be as long as something of the stage moves; it is a hold where failures use it up. */
static bool is_pace(const struct rollout *r, uint8_t stage)
{
	for (uint32_t k = 0; k < r->n_order[stage]; k++)
		if (view_unit_moves(r, r->order[stage][k]))
			return true;
	return false;
}

static bool is_shown(const struct rollout *r, uint8_t stage, enum why_kind kind)
{
	if (kind == WHY_NONE || kind == WHY_ORDER)
		return false;
	return kind != WHY_LIMIT || !is_pace(r, stage);
}

static void collect_failed(const struct rollout *r, struct holds *holds)
{
	bool stands = rollout_goes_back(r) || !view_is_moving(r);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (r->back == BACK_REST && i == r->back_unit)
			continue; /* it is what the rest is about */
		bool is_muted = (u->flags & UNIT_MUTED) != 0 && !stands; /* a person said go on, and it goes on */
		if ((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && !is_muted)
			add(holds, (struct hold){ .why = { .kind = WHY_FAILED, .other = i, .since_ms = u->since_ms }, .unit = i, .stage = u->stage,
				.kind = u->state == UNIT_UNCERTAIN ? "uncertain" : NULL });
	}
}

static void collect_contested(const struct rollout *r, struct holds *holds)
{
	int set = r->profile->set_node;
	for (uint32_t i = 0; i < r->n_rows && set >= 0; i++)
		for (uint8_t b = 0; b < r->profile->n_balancers && r->rows[i].set == set; b++)
			if (r->wants[b] != NULL && r->wants[b][r->rows[i].rank].contested)
				add(holds, (struct hold){ .why = { .kind = WHY_CONTESTED, .balancer = b, .other = i }, .unit = RECORD_NO_UNIT, .stage = -1 });
}

static void collect_lines(const struct rollout *r, struct holds *holds)
{
	for (uint32_t i = 0; i < r->n_lines; i++)
		if (line_is_ours(r, r->lines[i].unit, r->lines[i].step))
			add(holds, (struct hold){ .why = line_why(&r->lines[i]), .unit = r->lines[i].unit, .stage = -1 });
}

static void collect_fenced(const struct rollout *r, struct holds *holds)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if ((r->units[i].flags & UNIT_FENCE) != 0)
			add(holds, (struct hold){ .why = { .kind = WHY_FENCED, .other = i, .since_ms = r->units[i].since_ms }, .unit = i, .stage = r->units[i].stage });
}

static void collect_rollout(const struct rollout *r, struct holds *holds)
{
	struct why why = admit_rollout(r, true);
	bool goes_back = why.kind == WHY_BACK && r->back == BACK_GOING && (view_is_moving(r) || back_kept(r) == RECORD_NO_UNIT); /* that is under way, not held */
	if (why.kind != WHY_NONE && why.kind != WHY_FAILED && !goes_back)
		add(holds, (struct hold){ .why = why, .unit = RECORD_NO_UNIT, .stage = -1 });
	collect_failed(r, holds);
	collect_contested(r, holds);
	collect_lines(r, holds);
	collect_fenced(r, holds);
}

static void collect_units(const struct rollout *r, struct holds *holds)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		const struct why *why = &r->live[i].why;
		bool active = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
		bool waits = u->state == UNIT_WAITING && r->state == ROLLOUT_RUNNING && r->stage_why[u->stage].kind == WHY_NONE;
		bool asked = u->state == UNIT_DONE && (u->flags & UNIT_RECHECK) != 0; /* what comes after it waits for the answer */
		if ((!active && !waits && !asked) || !is_shown(r, u->stage, why->kind) || why_is_of_rollout(why->kind) || why->kind == WHY_CONTESTED ||
			why->kind == WHY_FENCED || why->kind == WHY_HOST)
			continue;
		add(holds, (struct hold){ .why = *why, .unit = i, .stage = u->stage, .step = why->kind == WHY_APPROVAL ? u->step : 0 });
	}
}

/* For other units or what comes of them: the last old nodes wait for tenants that only a later stage moves. */
static bool waits_for_others(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	enum why_kind stage = r->stage_why[u->stage].kind, own = r->live[unit].why.kind;
	return u->state == UNIT_WAITING && (stage == WHY_ORDER || (stage == WHY_NONE && (own == WHY_ORDER || own == WHY_FLOOR)));
}

/* --until is a hold when all it lets through is through, or cannot be before what it stops; it is one, not one for each later stage. */
static bool until_is_reached(const struct rollout *r)
{
	if (r->until_stage < 0 || view_is_moving(r))
		return false;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].stage <= r->until_stage && !unit_is_settled(r->units[i].state) && !waits_for_others(r, i))
			return false;
	return true;
}

static void collect_stages(const struct rollout *r, struct holds *holds)
{
	if (r->state == ROLLOUT_RUNNING && r->back == BACK_NO && until_is_reached(r))
		add(holds, (struct hold){ .why = { .kind = WHY_UNTIL }, .unit = RECORD_NO_UNIT, .stage = r->until_stage });
	for (uint8_t s = 0; s < r->profile->n_stages && r->state == ROLLOUT_RUNNING; s++) {
		const struct why *why = &r->stage_why[s];
		if (why_is_of_rollout(why->kind) || why->kind == WHY_CONTESTED || !is_shown(r, s, why->kind) || !has_waiting(r, s))
			continue;
		if (why->kind == WHY_SOAK && why->limit != 0 && is_pace(r, s))
			continue; /* the canary is on its way */
		add(holds, (struct hold){ .why = *why, .unit = RECORD_NO_UNIT, .stage = s });
	}
}

static uint32_t depend_on(const struct rollout *r, const struct why *why)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		n += (!unit_is_settled(r->units[i].state) || (r->units[i].flags & UNIT_RECHECK) != 0) && (why->balancer || r->rows[r->units[i].row].host == why->other);
	return n;
}

/* Said as soon as it is seen, not only when the first unit comes to wait for it. */
static void collect_hosts(const struct rollout *r, struct holds *holds)
{
	for (int pass = 0; pass < 2; pass++) {
		bool is_database = pass == 0; /* what all wait for first */
		const struct fact_host *list = is_database ? r->facts.databases : r->facts.hosts;
		uint32_t n = is_database ? r->facts.n_databases : r->facts.n_hosts;
		for (uint32_t i = 0; i < n; i++) {
			struct why why = { .kind = WHY_HOST, .balancer = is_database, .other = i, .since_boot = list[i].since_boot, .since_ms = list[i].since_ms };
			if (list[i].name != NULL && (list[i].away || list[i].read_only) && depend_on(r, &why) > 0)
				add(holds, (struct hold){ .why = why, .unit = RECORD_NO_UNIT, .stage = -1, .scope = list[i].name });
		}
	}
}

static void collect_balancers(const struct views *views, const struct rollout *r, struct holds *holds)
{
	for (size_t b = 0; b < r->profile->n_balancers && views->with.executor != NULL; b++) {
		const char *error = executor_balancer_error(views->with.executor, r->profile->balancers[b]);
		if (error != NULL)
			add(holds, (struct hold){ .why = { .kind = WHY_UNKNOWN }, .unit = RECORD_NO_UNIT, .stage = -1, .text = error,
				.scope = r->profile->balancers[b] });
	}
}

static unsigned weight(const struct hold *hold)
{
	return why_weight(hold->why.kind);
}

/* Few, and equal ones stay in their order. */
static void sort(struct holds *holds)
{
	for (size_t i = 1; i < holds->n; i++) {
		struct hold hold = holds->items[i];
		size_t k = i;
		for (; k > 0 && weight(&holds->items[k - 1]) < weight(&hold); k--)
			holds->items[k] = holds->items[k - 1];
		holds->items[k] = hold;
	}
}

static const char *scope_of(const struct rollout *r, const struct hold *hold, char *buf, size_t size)
{
	if (hold->scope != NULL)
		return hold->scope;
	if (hold->why.kind == WHY_CONTESTED && hold->why.balancer != WHY_LINE) {
		(void)snprintf(buf, size, "%s/%s", r->profile->balancers[hold->why.balancer], r->rows[hold->why.other].name);
		return buf;
	}
	if (hold->why.kind == WHY_APPROVAL)
		return r->profile->stages[hold->stage].name;
	if (hold->unit != RECORD_NO_UNIT)
		return rollout_unit_name(r, hold->unit, buf, size);
	if (hold->why.kind == WHY_CONTESTED)
		return rollout_unit_name(r, hold->why.other, buf, size);
	return hold->stage >= 0 ? r->profile->stages[hold->stage].name : "rollout";
}

static void hold_text(const struct rollout *r, const struct hold *hold, char *buf, size_t size)
{
	char how[400];
	if (hold->text != NULL) {
		(void)snprintf(buf, size, "%s", hold->text);
		return;
	}
	(void)view_why_text(r, hold->unit, &hold->why, buf, size);
	size_t len = strlen(buf);
	if (hold->n > 1 && hold->why.kind != WHY_APPROVAL)
		len += (size_t)snprintf(buf + len, size - len, " (and %u more units)", hold->n - 1);
	if (hold->why.kind != WHY_APPROVAL && len < size && why_how(r, hold->unit, &hold->why, how, sizeof(how))[0] != '\0')
		(void)snprintf(buf + len, size - len, ": %s", how);
}

/* The kind stands beside it already. */
static const char *without_kind(const char *text)
{
	const char *colon = strstr(text, ": ");
	return colon != NULL && colon - text <= 12 ? colon + 2 : text;
}

static struct json_object *hold_json(const struct rollout *r, const struct hold *hold, size_t id)
{
	char text[800], scope[300];
	struct json_object *object = json_object_new_object();
	hold_text(r, hold, text, sizeof(text));
	json_add_int(object, "id", (int64_t)id + 1);
	json_add_str(object, "kind", hold->kind != NULL ? hold->kind : why_word(hold->why.kind));
	json_add_str(object, "scope", scope_of(r, hold, scope, sizeof(scope)));
	char *clean = view_clean(hold->text == NULL ? without_kind(text) : text, sizeof(text));
	json_add_str(object, "text", clean);
	free(clean);
	json_add_str(object, "who", why_who(hold->why.kind));
	if (hold->why.kind == WHY_FLOOR || hold->why.kind == WHY_LIMIT) {
		json_add_int(object, "value", hold->why.value);
		json_add_int(object, "limit", hold->why.limit);
	}
	json_add_int(object, "since", hold->why.since_ms);
	return object;
}

struct json_object *view_holds(const struct views *views, const struct rollout *r, char **first)
{
	struct holds holds = { 0 };
	struct json_object *array = json_object_new_array();
	*first = NULL;
	if (rollout_is_over(r) || r->state == ROLLOUT_PLANNING)
		return array;
	collect_rollout(r, &holds);
	collect_units(r, &holds);
	collect_stages(r, &holds);
	collect_hosts(r, &holds);
	collect_balancers(views, r, &holds);
	sort(&holds);
	for (size_t i = 0; i < holds.n && i < VIEWS_FEW; i++)
		json_object_array_add(array, hold_json(r, &holds.items[i], i));
	if (holds.n > 0) {
		char text[800] = "";
		const struct hold *hold = &holds.items[0];
		size_t len = hold->scope != NULL ? (size_t)snprintf(text, sizeof(text), "%s: ", hold->scope) : 0;
		hold_text(r, hold, text + len, sizeof(text) - len);
		*first = view_clean(text, sizeof(text));
	}
	return array;
}

struct json_object *view_chain(const struct views *views, const struct rollout *r, uint32_t unit)
{
	struct json_object *array = json_object_new_array();
	const struct unit *u = &r->units[unit];
	struct hold chain[5];
	size_t n = 0;
	struct why line = view_why_of(r, unit);
	if (line.kind == WHY_CONTESTED && (u->state == UNIT_DONE || rollout_is_over(r)))
		json_object_array_add(array, hold_json(r, &(struct hold){ .why = line, .unit = unit, .stage = u->stage, .n = 1 }, 0));
	if (rollout_is_over(r) || (unit_is_settled(u->state) && u->state != UNIT_PARKED))
		return array;
	bool waiting = u->state == UNIT_WAITING;
	struct why wide = admit_rollout(r, waiting), stage = r->stage_why[u->stage], own = r->live[unit].why;
	if (wide.kind != WHY_NONE && (u->flags & UNIT_WINDOW) == 0)
		chain[n++] = (struct hold){ .why = wide, .unit = RECORD_NO_UNIT, .stage = -1, .n = 1 };
	if (waiting && stage.kind != WHY_NONE && stage.kind != wide.kind)
		chain[n++] = (struct hold){ .why = stage, .unit = RECORD_NO_UNIT, .stage = u->stage, .n = 1 };
	if ((waiting || u->state == UNIT_RUNNING || u->state == UNIT_UNDOING) && own.kind != WHY_NONE && own.kind != wide.kind && own.kind != stage.kind)
		chain[n++] = (struct hold){ .why = own, .unit = unit, .stage = u->stage, .n = 1 };
	struct why host = facts_host_held(r, u->row);
	if (host.kind != WHY_NONE && own.kind != WHY_HOST)
		chain[n++] = (struct hold){ .why = host, .unit = unit, .stage = u->stage, .n = 1 };
	if (u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN || u->state == UNIT_PARKED) {
		const char *reason = unit < views->n_reasons ? views->reasons[unit] : NULL;
		chain[n++] = (struct hold){ .why = { .kind = WHY_FAILED, .other = unit, .since_ms = u->since_ms }, .unit = unit, .stage = u->stage, .n = 1,
			.text = reason, .kind = u->state == UNIT_UNCERTAIN ? "uncertain" : NULL };
	}
	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, hold_json(r, &chain[i], i));
	return array;
}
