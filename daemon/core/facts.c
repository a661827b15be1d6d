/* SPDX-License-Identifier: MIT */
#include "facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Started, and not yet where it will stay: what it touches is in neither of its two legal places. */
static bool under_way(const struct unit *u)
{
	return (u->flags & UNIT_STARTED) != 0 && !unit_is_settled(u->state) && u->state != UNIT_WAITING;
}

static const struct unit *row_unit_in(const struct rollout *r, uint32_t row, uint8_t stage)
{
	const struct stage *s = &r->profile->stages[stage];
	if (s->set != r->rows[row].set || r->unit_of[stage] == NULL)
		return NULL;
	return &r->units[r->unit_of[stage][r->rows[row].rank]];
}

bool facts_node_out(const struct rollout *r, uint32_t row, uint32_t candidate)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct unit *u = r->profile->stages[s].takes_out ? row_unit_in(r, row, s) : NULL;
		if (u != NULL && (under_way(u) || u - r->units == (ptrdiff_t)candidate))
			return true;
		u = r->profile->stages[s].fence >= 0 ? row_unit_in(r, row, s) : NULL;
		if (u != NULL && (u->flags & UNIT_FENCE) != 0)
			return true;
	}
	return false;
}

/* Taken out of its balancer and parked there: it lives, and carries nobody. Tools may run on it all the same. */
static bool node_parked_out(const struct rollout *r, uint32_t row)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		const struct unit *u = stage->takes_out ? row_unit_in(r, row, s) : NULL;
		for (uint8_t i = 0; u != NULL && u->state == UNIT_PARKED && i < stage->n_steps; i++)
			if ((u->touched & (1u << i)) != 0 && stage->steps[i].act.kind == ACTION_SERVER && stage->steps[i].act.want != SERVER_READY)
				return true;
	}
	return false;
}

/* A schema being moved counts on both fleets until it has arrived. */
static bool row_moves(const struct rollout *r, uint32_t row, uint32_t candidate, bool over_one)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct unit *u = r->profile->stages[s].has_window ? row_unit_in(r, row, s) : NULL;
		if (u != NULL && (under_way(u) || (!over_one && u - r->units == (ptrdiff_t)candidate)))
			return true;
	}
	return false;
}

/* Parked with its window open: nobody sees its tenants, and they are somebody's all the same. */
static const struct unit *row_parked_open(const struct rollout *r, uint32_t row)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct unit *u = r->profile->stages[s].has_window ? row_unit_in(r, row, s) : NULL;
		if (u != NULL && u->state == UNIT_PARKED && (u->flags & UNIT_WINDOW) != 0)
			return u;
	}
	return NULL;
}

/* The profile's first word on this server is a step that lets it in, and that step is yet to come. */
static bool is_let_in_later(const struct rollout *r, uint32_t row, uint8_t balancer)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		const struct unit *u = row_unit_in(r, row, s);
		for (size_t i = 0; u != NULL && i < stage->n_steps; i++) {
			const struct step *step = &stage->steps[i];
			if (step->act.kind == ACTION_SERVER && step->act.balancer == balancer && !step->only_fenced)
				return step->act.want == SERVER_READY && u->state != UNIT_DONE && (u->touched & (1u << i)) == 0;
		}
	}
	return false;
}

bool facts_may_rely(const struct rollout *r, uint32_t row, uint8_t balancer)
{
	const struct want *want = r->wants[balancer] != NULL ? &r->wants[balancer][r->rows[row].rank] : NULL;
	if (want != NULL && want->state != SERVER_UNKNOWN)
		return want->state == SERVER_READY;
	return !is_let_in_later(r, row, balancer);
}

static bool count_ready(const struct rollout *r, uint8_t balancer, uint32_t candidate, int64_t *out)
{
	int set = r->profile->set_node;
	if (set < 0 || r->facts.servers_at[balancer] == 0)
		return false;
	*out = 0;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		if (r->rows[i].set != set)
			continue;
		const struct fact_server *server = &r->facts.servers[balancer][r->rows[i].rank];
		*out += server->state == SERVER_READY && server->up && facts_may_rely(r, i, balancer) && !facts_node_out(r, i, candidate);
	}
	return true;
}

static bool count_nodes(const struct rollout *r, uint8_t class_, bool capacity, uint32_t candidate, int64_t *out)
{
	int set = r->profile->set_node;
	if (set < 0 || r->facts.rows_at[set] == 0)
		return false;
	*out = 0;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		const struct fact_row *fact = &r->facts.rows[i];
		if (r->rows[i].set != set || !fact->known || fact->class_ != class_ || !fact->up || facts_node_out(r, i, candidate) || node_parked_out(r, i))
			continue;
		if (capacity && r->rows[i].capacity == 0)
			return *out = INT64_MAX, true;
		*out += capacity ? r->rows[i].capacity : 1;
	}
	return true;
}

/* Of no unit: what must be so for an undo. Who is disabled now may be enabled at any time, by a person's hand, and must not meet what is undone. */
static bool count_tenants(const struct rollout *r, uint8_t class_, bool rows, uint32_t candidate, bool over_one, int64_t *out)
{
	int set = r->profile->set_tenants;
	if (set < 0 || r->facts.rows_at[set] == 0)
		return false;
	*out = 0;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		const struct fact_row *fact = &r->facts.rows[i];
		if (r->rows[i].set != set || !fact->known)
			continue;
		if (over_one && candidate < r->n_units && r->units[candidate].row == i && !under_way(&r->units[candidate]))
			continue; /* also a mixed one, which is counted on both fleets: nothing else would ever make it whole */
		const struct unit *parked = row_parked_open(r, i);
		if (parked != NULL) /* past its pivot it can only come back on the new fleet */
			*out += class_ == CLASS_NEW || (parked->flags & UNIT_PIVOT) == 0 ? (rows ? 1 : r->rows[i].weight) : 0;
		else if (row_moves(r, i, candidate, over_one))
			*out += rows ? 1 : r->rows[i].weight;
		else if (fact->class_ == class_ || (class_ <= CLASS_NEW && fact->class_ > CLASS_NEW))
			*out += rows ? fact->class_ == class_ : candidate == RECORD_NO_UNIT && fact->weight > fact->tenants ? fact->weight : fact->tenants;
	}
	return true;
}

bool facts_count(const struct rollout *r, const struct counter *counter, uint32_t candidate, bool over_one, int64_t *out)
{
	switch (counter->kind) {
	case COUNTER_CONST:
		*out = counter->constant;
		return true;
	case COUNTER_READY:
		return count_ready(r, counter->index, candidate, out);
	case COUNTER_NODES:
		return count_nodes(r, counter->index, false, candidate, out);
	case COUNTER_CAPACITY:
		return count_nodes(r, counter->index, true, candidate, out);
	case COUNTER_TENANTS:
		return count_tenants(r, counter->index, false, candidate, over_one, out);
	case COUNTER_ROWS:
		return count_tenants(r, counter->index, true, candidate, over_one, out);
	}
	return false;
}

enum floor_verdict facts_floor(const struct rollout *r, const struct floor *floor, uint32_t candidate, int64_t *value, int64_t *limit)
{
	int64_t only;
	if (floor->has_only) {
		if (!facts_count(r, &floor->only, candidate, false, &only))
			return FLOOR_UNKNOWN;
		if (only <= 0)
			return FLOOR_HOLDS;
	}
	if (!facts_count(r, &floor->what, candidate, floor->over_one, value) ||
		!facts_count(r, &floor->bound, candidate, floor->over_one, limit))
		return FLOOR_UNKNOWN;
	bool holds = floor->is_max ? *value <= *limit : *value >= *limit;
	return holds ? FLOOR_HOLDS : FLOOR_STOPS;
}

int64_t facts_tenants_down(const struct rollout *r)
{
	int64_t down = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if ((r->units[i].flags & UNIT_WINDOW) != 0 && r->rows[r->units[i].row].set == r->profile->set_tenants)
			down += r->rows[r->units[i].row].weight;
	return down;
}

int64_t facts_weight(const struct rollout *r, uint32_t row)
{
	const struct fact_row *fact = &r->facts.rows[row];
	uint32_t weight = r->rows[row].weight;
	if (fact->known && fact->tenants > weight)
		weight = fact->tenants;
	if (fact->known && fact->weight > weight)
		weight = fact->weight;
	return weight;
}

/* Its window is ahead of it, for the first time or once more. */
static bool will_open(const struct rollout *r, const struct unit *u)
{
	const struct stage *stage = rollout_stage(r, u);
	for (size_t i = u->step; i < stage->n_steps; i++)
		if (stage->steps[i].window == WINDOW_OPEN)
			return true;
	return false;
}

int64_t facts_tenants_committed(const struct rollout *r, uint32_t except)
{
	int64_t down = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		bool opens = u->state == UNIT_RUNNING && will_open(r, u);
		bool gate = u->state == UNIT_WAITING && rollout_stage(r, u)->has_window && (r->live[i].busy == BUSY_GATE || r->live[i].gate_open);
		bool window = (u->flags & UNIT_WINDOW) != 0 && u->state != UNIT_PARKED; /* given up: it would hold the others for ever */
		if (i != except && (window || opens || gate))
			down += gate ? facts_weight(r, u->row) : r->rows[u->row].weight;
	}
	return down;
}

bool facts_looked_at(const struct rollout *r, uint8_t set)
{
	const struct set *s = &r->profile->sets[set];
	return s->from != SET_CLUSTER && !s->idle && (s->from != SET_PATH || r->n_set_rows[set] > 0);
}

static uint64_t age(const struct rollout *r, bool all)
{
	uint64_t oldest = UINT64_MAX;
	for (uint8_t i = 0; i < r->profile->n_sets; i++) {
		bool counts = (int)i == r->profile->set_node || (int)i == r->profile->set_tenants || (all && r->profile->sets[i].from == SET_SQL);
		if (counts && facts_looked_at(r, i) && r->facts.rows_at[i] < oldest)
			oldest = r->facts.rows_at[i];
	}
	for (size_t i = 0; i < r->profile->n_balancers; i++)
		if (r->facts.servers_at[i] < oldest)
			oldest = r->facts.servers_at[i];
	return oldest == UINT64_MAX ? r->now : oldest; /* nothing is observed: nothing is old */
}

uint64_t facts_age(const struct rollout *r)
{
	return age(r, false);
}

uint64_t facts_age_all(const struct rollout *r)
{
	return age(r, !rollout_goes_back(r));
}

/* ---- database servers ---- */

struct fact_host *facts_host(struct rollout *r, bool is_database, uint32_t index, const char *name)
{
	struct fact_host **list = is_database ? &r->facts.databases : &r->facts.hosts;
	uint32_t *n = is_database ? &r->facts.n_databases : &r->facts.n_hosts;
	if (index >= *n) {
		struct fact_host *more = realloc(*list, (size_t)(index + 1) * sizeof(*more));
		if (more == NULL)
			abort();
		memset(more + *n, 0, (size_t)(index + 1 - *n) * sizeof(*more));
		*list = more;
		*n = index + 1;
	}
	struct fact_host *host = &(*list)[index];
	if (host->name == NULL && (host->name = strdup(name)) == NULL)
		abort();
	return host;
}

bool facts_host_seen(struct fact_host *host, uint64_t looked, int64_t wall_ms, bool away, bool read_only, const char *text)
{
	bool changed = host->looked_at == 0 || host->away != away || host->read_only != read_only;
	if (changed) {
		host->since_boot = looked;
		host->since_ms = wall_ms;
	}
	host->looked_at = looked;
	host->away = away;
	host->read_only = read_only;
	if (away || read_only)
		host->trouble_at = looked;
	(void)snprintf(host->text, sizeof(host->text), "%s", away && text != NULL ? text : "");
	return changed;
}

static bool cannot_be_worked(const struct fact_host *host)
{
	return host->name != NULL && (host->away || host->read_only);
}

static struct why held_by(const struct fact_host *host, bool is_database, uint32_t index)
{
	return (struct why){ .kind = WHY_HOST, .balancer = is_database, .other = index, .since_boot = host->since_boot, .since_ms = host->since_ms };
}

struct why facts_host_held(const struct rollout *r, uint32_t row)
{
	uint32_t number = r->rows[row].host;
	for (uint32_t i = 0; i < r->facts.n_databases; i++)
		if (cannot_be_worked(&r->facts.databases[i]))
			return held_by(&r->facts.databases[i], true, i);
	if (number < r->facts.n_hosts && cannot_be_worked(&r->facts.hosts[number]))
		return held_by(&r->facts.hosts[number], false, number);
	return (struct why){ .kind = WHY_NONE };
}

const struct fact_host *facts_host_trouble(const struct rollout *r, uint32_t row, uint64_t since)
{
	uint32_t number = r->rows[row].host;
	for (uint32_t i = 0; i < r->facts.n_databases; i++)
		if (r->facts.databases[i].trouble_at != 0 && r->facts.databases[i].trouble_at >= since)
			return &r->facts.databases[i];
	if (number < r->facts.n_hosts && r->facts.hosts[number].trouble_at != 0 && r->facts.hosts[number].trouble_at >= since)
		return &r->facts.hosts[number];
	return NULL;
}

const struct fact_host *facts_host_of(const struct rollout *r, const struct why *why)
{
	const struct fact_host *list = why->balancer ? r->facts.databases : r->facts.hosts;
	uint32_t n = why->balancer ? r->facts.n_databases : r->facts.n_hosts;
	return why->kind == WHY_HOST && why->other < n && list[why->other].name != NULL ? &list[why->other] : NULL;
}

static bool ready_somewhere(const struct rollout *r, uint32_t rank)
{
	for (size_t b = 0; b < r->profile->n_balancers; b++)
		if (r->facts.servers[b] != NULL && r->facts.servers[b][rank].state == SERVER_READY && r->facts.servers[b][rank].up)
			return true;
	return false;
}

uint8_t facts_fleet(const struct rollout *r, uint8_t class_)
{
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == r->profile->set_node && (!r->facts.rows[i].known || r->facts.rows[i].class_ != CLASS_NEW))
			return class_;
	return CLASS_NEW;
}

int32_t facts_place(const struct rollout *r, uint8_t class_, uint32_t turn)
{
	class_ = facts_fleet(r, class_);
	int32_t best = -1;
	uint32_t n_good = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < r->n_rows; i++) {
			const struct fact_row *fact = &r->facts.rows[i];
			if (r->rows[i].set != r->profile->set_node || !fact->known || !fact->up || fact->class_ != class_ ||
				facts_node_out(r, i, RECORD_NO_UNIT))
				continue;
			if (best < 0)
				best = (int32_t)i; /* up at least */
			if (!ready_somewhere(r, r->rows[i].rank))
				continue;
			if (pass == 0)
				n_good++;
			else if (n_good > 0 && turn-- == 0)
				return (int32_t)i;
		}
		if (n_good > 0)
			turn %= n_good;
	}
	return best;
}
