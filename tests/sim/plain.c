/* SPDX-License-Identifier: MIT */
#include "plain.h"

#include "daemon/way.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the profile says of the site ---- */

bool plain_acts(const struct step *step)
{
	return step->act.kind == ACTION_RUN || step->act.kind == ACTION_EDIT || step->act.kind == ACTION_SERVER;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_list(char *const *a, char *const *b)
{
	size_t i = 0;
	for (; a != NULL && b != NULL && a[i] != NULL && b[i] != NULL; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return (a == NULL || a[i] == NULL) && (b == NULL || b[i] == NULL);
}

/* It asks what the set's own probe asks. */
static bool asks_class(const struct profile *p, const struct set *set, int probe)
{
	int index = set->class_probe != NULL ? profile_probe(p, set->class_probe) : -1;
	const struct probe *a = &p->probes[probe], *b = index >= 0 ? &p->probes[index] : NULL;
	return b != NULL && a->kind == b->kind && same_text(a->target, b->target) && same_text(a->query, b->query) && same_list(a->args, b->args);
}

/* And expects that it is as this text says. */
static bool expects(const struct profile *p, const struct set *set, int probe, const char *text)
{
	const struct probe *a = &p->probes[probe];
	return asks_class(p, set, probe) && (a->expect == EXPECT_MATCH || a->expect == EXPECT_EQUALS) && strstr(a->expected, text) != NULL;
}

static bool makes_new(const struct profile *p, const struct set *set, const struct step *step)
{
	for (size_t i = 0; i < step->n_verify; i++)
		if (plain_acts(step) && expects(p, set, step->verify[i], "param.to}"))
			return true;
	return false;
}

/* The first step that is verified by the class; else the pivot; else the last that does something. */
static void find_arrival(struct plain *plain, uint8_t s)
{
	const struct profile *p = plain->profile;
	int rank = 0;
	plain->arrival[s].stage = plain->arrival[s].step = -1;
	for (size_t i = 0; i < p->n_stages; i++)
		for (size_t k = 0; p->stages[i].set == s && k < p->stages[i].n_steps; k++) {
			const struct step *step = &p->stages[i].steps[k];
			int as = makes_new(p, &p->sets[s], step) ? 3 : step->pivot ? 2 : step->act.kind == ACTION_RUN || step->act.kind == ACTION_EDIT ? 1 : 0;
			bool first = as == 3 || p->sets[s].absent != CLASS_NONE; /* a row that is wrong no more is not found any more */
			if (as == 0 || as < rank || (as == rank && first))
				continue;
			rank = as;
			plain->arrival[s].stage = (int)i;
			plain->arrival[s].step = (int)k;
		}
}

/* What has work at the start: the first class that a stage has work for, and that is not what it becomes. */
static uint8_t begins_as(const struct profile *p, uint8_t s)
{
	const struct set *set = &p->sets[s];
	for (size_t i = 0; i < p->n_stages; i++)
		for (size_t k = 0; p->stages[i].set == s && p->stages[i].where != 0 && k < set->n_classes; k++) {
			uint8_t class_ = set->classes[k].class_;
			if (class_ != CLASS_NEW && (p->stages[i].where & 1u << class_) != 0)
				return class_;
		}
	return CLASS_OLD;
}

static const char *param_value(const struct sim_options *options, const char *text)
{
	size_t len = strlen(text);
	for (size_t i = 0; options->params[i] != NULL; i += 2)
		if (strncmp(text, "${param.", 8) == 0 && len == strlen(options->params[i]) + 9 && strncmp(text + 8, options->params[i], len - 9) == 0)
			return options->params[i + 1];
	return text;
}

/* From the level that `from` is called, where there is such a one and an edge begins there; else from the first edge's. */
static void find_way(struct plain *plain, const struct set *set, const struct sim_options *options, uint8_t s, size_t at)
{
	struct way way = { 0 };
	struct fail fail;
	const char *level = way_target(set, param_value(options, "${param.from}")), *to = way_target(set, param_value(options, set->target));
	if (way_find(set, level, to, &way, &fail) != 0 && way_find(set, set->edges[0].from, to, &way, &fail) != 0)
		(void)fprintf(stderr, "%s: %s\n", set->name, fail.text);
	plain->way_at[s] = (uint32_t)at;
	plain->n_way[s] = (uint32_t)way.n;
	for (size_t i = 0; i < way.n && at + i < sizeof(plain->way) / sizeof(plain->way[0]); i++)
		plain->way[at + i] = (uint32_t)way.edges[i];
}

static bool drains_first(const struct profile *p, uint8_t balancer)
{
	for (size_t i = 0; i < p->n_stages; i++)
		for (size_t k = 0; k < p->stages[i].n_steps; k++) {
			const struct action *act = &p->stages[i].steps[k].act;
			if (act->kind == ACTION_SERVER && act->balancer == balancer && !p->stages[i].steps[k].only_fenced)
				return act->want != SERVER_READY;
		}
	return true;
}

static uint32_t hosts(const struct profile *p)
{
	uint32_t n = 0;
	for (size_t i = 0; i < p->n_sets; i++) {
		n = p->sets[i].from == SET_SQL && n == 0 ? 1 : n;
		n = p->sets[i].host_column != NULL ? WORLD_HOSTS : n;
	}
	for (size_t i = 0; i < p->n_probes; i++)
		n = p->probes[i].kind == PROBE_SQL && n == 0 ? 1 : n;
	return n;
}

struct plain *plain_new(struct world *w, const struct sim_options *options)
{
	const struct profile *p = options->profile;
	struct plain *plain = calloc(1, sizeof(*plain));
	if (plain == NULL)
		abort();
	plain->profile = p;
	world_init(w, options->nodes, 0, options->seed);
	w->n_balancers = (uint32_t)p->n_balancers;
	w->n_hosts = hosts(p);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		(void)snprintf(w->nodes[i].name, sizeof(w->nodes[i].name), "node%u", i + 1);
	for (uint8_t b = 0; b < p->n_balancers; b++) {
		w->baseline[b] = drains_first(p, b) ? SERVER_READY : SERVER_MAINT;
		for (int k = 0; k < WORLD_PROCESSES; k++)
			for (uint32_t n = 0; n < w->n_nodes; n++)
				w->admin[b][k][n] = w->baseline[b];
	}
	size_t at = 0;
	for (uint8_t s = 0; s < p->n_sets; s++) {
		const struct set *set = &p->sets[s];
		find_arrival(plain, s);
		plain->begins_as[s] = begins_as(p, s);
		plain->n_rows[s] = options->schemata;
		if (set->from != SET_PATH || set->n_edges == 0)
			continue;
		find_way(plain, set, options, s, at);
		at += plain->n_way[s];
	}
	return plain;
}

void plain_free(struct plain *plain)
{
	if (plain == NULL)
		return;
	free(plain->steps);
	free(plain);
}

size_t plain_rows(const struct world *w, struct engine_row *rows, char (*columns)[96], size_t max)
{
	const struct plain *plain = w->plain;
	const struct profile *p = plain->profile;
	size_t n = 0, tenants = 0;
	for (uint8_t s = 1; s < p->n_sets; s++) {
		const struct set *set = &p->sets[s];
		bool is_node = (int)s == p->set_node;
		uint32_t count = is_node ? w->n_nodes : set->from == SET_PATH ? plain->n_way[s] : plain->n_rows[s];
		for (uint32_t i = 0; i < count && n < max; i++, n++) {
			rows[n] = (struct engine_row){ .set = s, .columns = columns[n], .class_ = plain->begins_as[s] };
			if (is_node) {
				(void)snprintf(columns[n], sizeof(*columns), "name=%s\n", w->nodes[i].name);
			} else if (set->from == SET_PATH) {
				(void)snprintf(columns[n], sizeof(*columns), "name=%s\n", set->edges[plain->way[plain->way_at[s] + i]].to);
			} else {
				(void)snprintf(columns[n], sizeof(*columns), "name=%s_%u\n", set->name, i + 1);
				rows[n].weight = set->weight_column != NULL ? 20 + i * 37 % 100 : 1;
				rows[n].host = (uint16_t)(set->host_column != NULL ? 1 + i % 2 : 0);
				tenants += rows[n].weight;
			}
		}
	}
	for (size_t i = 0; i < n && p->set_tenants >= 0; i++)
		if ((int)rows[i].set == p->set_node)
			rows[i].capacity = (uint32_t)(tenants / (w->n_nodes > 1 ? w->n_nodes - 1 : 1) + 1);
	return n;
}

/* ---- what was done ---- */

struct plain_step *plain_step(const struct world *w, uint32_t unit, uint16_t step)
{
	struct plain *plain = w->plain;
	if (unit >= plain->n_units) {
		uint32_t more = unit + 64;
		plain->steps = realloc(plain->steps, (size_t)more * PROFILE_STEPS_MAX * sizeof(*plain->steps));
		if (plain->steps == NULL)
			abort();
		memset(plain->steps + (size_t)plain->n_units * PROFILE_STEPS_MAX, 0, (size_t)(more - plain->n_units) * PROFILE_STEPS_MAX * sizeof(*plain->steps));
		plain->n_units = more;
	}
	return &plain->steps[(size_t)unit * PROFILE_STEPS_MAX + step];
}

static struct plain_step *step_of(const struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	return plain_step(w, (uint32_t)(u - r->units), (uint16_t)(step - rollout_stage(r, u)->steps));
}

static bool is_busy(const struct world *w, const struct plain_step *step)
{
	return step->busy_until > w->now;
}

static bool applied(const struct world *w, const struct plain_step *step)
{
	return step->applied || (step->busy_until != 0 && !is_busy(w, step));
}

bool plain_applied(const struct world *w, uint32_t unit, uint16_t step)
{
	return applied(w, plain_step(w, unit, step));
}

enum server_state plain_server(const struct world *w, const struct rollout *r, uint32_t row, uint8_t balancer, const struct plain_step *without)
{
	enum server_state state = (enum server_state)w->baseline[balancer];
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		uint32_t unit = r->rows[row].set == stage->set ? r->unit_of[s][r->rows[row].rank] : RECORD_NO_UNIT;
		for (uint16_t k = 0; unit != RECORD_NO_UNIT && k < stage->n_steps; k++) {
			const struct action *act = &stage->steps[k].act;
			if (act->kind == ACTION_SERVER && act->balancer == balancer && plain_step(w, unit, k) != without && plain_applied(w, unit, k))
				state = act->want;
		}
	}
	return state;
}

uint32_t plain_level(const struct world *w, const struct rollout *r, uint8_t set)
{
	int stage = w->plain->arrival[set].stage;
	uint32_t level = 0;
	while (stage >= 0 && level < r->n_set_rows[set]) {
		uint32_t unit = r->unit_of[stage][level];
		if (unit == RECORD_NO_UNIT || !plain_applied(w, unit, (uint16_t)w->plain->arrival[set].step))
			break;
		level++;
	}
	return level;
}

static bool set_server(struct world *w, const struct rollout *r, const struct unit *u, const struct action *act, const struct plain_step *done)
{
	const struct world_node *node = world_node(w, r, u->row);
	enum server_state want = act->restore ? plain_server(w, r, u->row, act->balancer, done) : act->want;
	if (node == NULL || (want == SERVER_READY && !world_is_up(w, r, u)))
		return false;
	for (int p = 0; p < WORLD_PROCESSES; p++)
		world_set_server(w, act->balancer, p, (uint32_t)(node - w->nodes), want, false);
	return true;
}

static bool is_local(const struct step *step)
{
	return step->act.kind == ACTION_RUN && step->n_on == 1 && step->on[0] == LANE_ON_LOCAL;
}

/* What was done to the databases after it, and cannot be undone by itself, is gone with it. */
static void restored(struct world *w, const struct rollout *r, uint32_t unit, uint16_t step)
{
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct stage *stage = rollout_stage(r, &r->units[i]);
		bool is_later = i != unit && plain_stands_on(r, i, unit);
		for (uint16_t k = 0; k < stage->n_steps; k++)
			if ((is_later || (i == unit && k > step)) && is_local(&stage->steps[k]) && !stage->steps[k].has_undo)
				*plain_step(w, i, k) = (struct plain_step){ 0 };
	}
}

/* What leads to the next level refuses another one than that where it begins. */
static bool misses_its_level(const struct world *w, const struct rollout *r, const struct unit *u, uint16_t step)
{
	const struct row *row = &r->rows[u->row];
	bool leads = r->profile->sets[row->set].from == SET_PATH && w->plain->arrival[row->set].stage == (int)u->stage && w->plain->arrival[row->set].step == (int)step;
	uint32_t before = leads && row->rank > 0 ? r->unit_of[u->stage][row->rank - 1] : RECORD_NO_UNIT;
	return before != RECORD_NO_UNIT && plain_step(w, before, step)->lost && plain_level(w, r, row->set) < row->rank;
}

bool plain_act(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step, const struct action *act, uint8_t dir)
{
	uint32_t unit = (uint32_t)(u - r->units);
	uint16_t at = (uint16_t)(step - rollout_stage(r, u)->steps);
	struct plain_step *done = plain_step(w, unit, at);
	if (act->kind == ACTION_SERVER && !set_server(w, r, u, act, done))
		return false;
	if (!w->plain->ghostly)
		plain_order(w, r, unit, at, dir);
	if (dir != DIR_UNDO && misses_its_level(w, r, u, at))
		return false;
	bool haunted = w->plain->ghostly || done->haunted, lost = done->lost;
	uint16_t times = dir == DIR_UNDO ? 0 : (uint16_t)(done->times + 1);
	*done = (struct plain_step){ .applied = dir != DIR_UNDO, 	.haunted = haunted, .lost = lost, .times = times, .at = ++w->plain->n_done };
	if (dir == DIR_UNDO && is_local(step))
		restored(w, r, unit, at);
	return true;
}

void plain_linger(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step, uint64_t until)
{
	struct plain_step *done = step_of(w, r, u, step);
	if (until == 0 ? is_busy(w, done) : done->busy_until == 0) {
		done->busy_until = until;
		done->at = ++w->plain->n_done;
	}
}

void plain_haunt(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	step_of(w, r, u, step)->haunted = true;
}

void plain_ghost(struct world *w, bool begins)
{
	if (w->plain != NULL)
		w->plain->ghostly = begins;
}

void plain_deny(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	step_of(w, r, u, step)->denied = true;
}

static bool is_asked_in_a_database(const struct rollout *r, const struct step *step)
{
	for (size_t i = 0; i < step->n_verify; i++)
		if (r->profile->probes[step->verify[i]].kind == PROBE_SQL && is_local(step))
			return true;
	return false;
}

void plain_lose(struct world *w, const struct rollout *r, uint16_t trouble)
{
	struct plain_step *last = NULL;
	uint32_t unit = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		for (uint16_t k = 0; k < rollout_stage(r, &r->units[i])->n_steps; k++) {
			struct plain_step *done = plain_step(w, i, k);
			if (is_busy(w, done))
				done->busy_until = 0; /* it ran on the server that is gone */
			if (applied(w, done) && is_asked_in_a_database(r, &rollout_stage(r, &r->units[i])->steps[k]) && (last == NULL || done->at > last->at)) {
				last = done;
				unit = i;
			}
		}
	if (last == NULL)
		return;
	last->applied = false;
	last->busy_until = 0;
	last->lost = true;
	struct world_node *node = world_node(w, r, r->units[unit].row);
	*(node != NULL ? &node->cause : &w->plain->cause) = trouble;
}

void plain_moot(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	step_of(w, r, u, step)->applied = false;
}

void plain_retry(struct world *w, const struct rollout *r, uint32_t unit)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		for (uint16_t k = 0; k < PROFILE_STEPS_MAX; k++)
			if (r->back != BACK_NO ? r->profile->sets[r->rows[r->units[i].row].set].from != SET_PATH : i == unit && k == r->units[i].step)
				plain_step(w, i, k)->denied = true;
}

void plain_blame(struct world *w, uint16_t trouble)
{
	w->plain->cause = trouble;
}

unsigned plain_cause(const struct world *w, const struct rollout *r, const struct unit *u)
{
	return world_node(w, r, u->row) == NULL ? w->plain->cause : 0;
}

/* ---- what is seen of it ---- */

/* A step that only looks sees what was done before it in its row; a floor or a class is looked at elsewhere. */
static bool is_whole(const struct world *w, const struct rollout *r, uint32_t unit, uint16_t before)
{
	const struct stage *stage = rollout_stage(r, &r->units[unit]);
	for (uint16_t k = 0; k < before; k++)
		if (plain_acts(&stage->steps[k]) && plain_step(w, unit, k)->times > 0 && !plain_applied(w, unit, k))
			return false;
	return true;
}

/* The level is the end of this edge, and not that of a later one. */
static bool asks_level(const struct profile *p, const struct row *row, const char *probe)
{
	const struct set *set = &p->sets[row->set];
	char name[80];
	(void)snprintf(name, sizeof(name), "${%s.", set->name);
	return set->from == SET_PATH && expects(p, set, profile_probe(p, probe), name);
}

/* The level that was seen at first is there: of the first way, and of a later one only where that has not begun. */
static bool is_as_before(const struct world *w, const struct rollout *r, const char *probe, bool *asked)
{
	for (uint8_t s = 0; s < r->profile->n_sets; s++) {
		int index = profile_probe(r->profile, probe);
		if (r->profile->sets[s].from != SET_PATH || r->profile->probes[index].expect != EXPECT_SAME_AS || !asks_class(r->profile, &r->profile->sets[s], index))
			continue;
		*asked = true;
		return plain_level(w, r, s) == 0;
	}
	return true;
}

bool plain_probe(const struct world *w, const struct rollout *r, const struct unit *u, const struct step *step, enum asked asked, const char *probe)
{
	if (asked == ASKED_BEFORE || step == NULL)
		return true;
	const struct plain_step *done = step_of(w, r, u, step);
	bool is_level = false, before;
	switch (asked) {
	case ASKED_ORPHANS:
		return !is_busy(w, done);
	case ASKED_UNDONE:
		before = is_as_before(w, r, probe, &is_level);
		return is_level ? before : !plain_acts(step) || !applied(w, done);
	case ASKED_BEFORE:
	case ASKED_DONE:
		break;
	}
	if (!plain_acts(step))
		return is_whole(w, r, (uint32_t)(u - r->units), (uint16_t)(step - rollout_stage(r, u)->steps));
	if (asks_level(r->profile, &r->rows[u->row], probe))
		return plain_level(w, r, r->rows[u->row].set) == r->rows[u->row].rank + 1;
	return applied(w, done);
}

static bool has_arrived(const struct world *w, const struct rollout *r, uint32_t row)
{
	uint8_t set = r->rows[row].set;
	int stage = w->plain->arrival[set].stage;
	if (r->profile->sets[set].from == SET_PATH)
		return r->rows[row].rank < plain_level(w, r, set);
	uint32_t unit = stage >= 0 ? r->unit_of[stage][r->rows[row].rank] : RECORD_NO_UNIT;
	return unit != RECORD_NO_UNIT && plain_applied(w, unit, (uint16_t)w->plain->arrival[set].step);
}

static bool are_down(const struct world *w, const struct rollout *r, uint32_t row)
{
	bool down = false;
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		uint32_t unit = stage->set == r->rows[row].set ? r->unit_of[s][r->rows[row].rank] : RECORD_NO_UNIT;
		for (uint16_t k = 0; unit != RECORD_NO_UNIT && k < stage->n_steps; k++)
			if (stage->steps[k].window != WINDOW_NONE && plain_applied(w, unit, k))
				down = stage->steps[k].window == WINDOW_OPEN;
	}
	return down;
}

void plain_facts(const struct world *w, struct rollout *r, uint32_t row, bool up)
{
	struct fact_row *fact = &r->facts.rows[row];
	uint8_t set = r->rows[row].set;
	const struct set *of = &r->profile->sets[set];
	fact->known = true;
	if (set == 0)
		return;
	fact->class_ = !has_arrived(w, r, row) ? w->plain->begins_as[set] : of->absent != CLASS_NONE ? of->absent : CLASS_NEW;
	fact->up = up;
	fact->weight = r->rows[row].weight;
	fact->tenants = are_down(w, r, row) ? 0 : r->rows[row].weight;
}

uint64_t plain_digest(const struct world *w)
{
	uint64_t h = 0;
	for (size_t i = 0; i < (size_t)w->plain->n_units * PROFILE_STEPS_MAX; i++)
		h = applied(w, &w->plain->steps[i]) ? (h ^ (i + 1)) * 1099511628211u : h;
	return h;
}
