/* SPDX-License-Identifier: MIT */
/*
 * Admission: whether one more unit may start. The reasons that hold it are looked at from the widest to the narrowest, and the first
 * one is remembered, so that "why does it wait" always has one answer. Limits count what is under way and what has failed in its window;
 * floors are judged as if the unit were already under way. Nothing is admitted on old facts: first the gate looks at the world and asks
 * the stage's `before` probes, then everything is judged once more.
 */
#include "decide.h"

#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	GATE_AGAIN_MS = 2000,  /* a `before` probe that said no is asked again */
	GATE_VALID_MS = 10000, /* an open gate that was not used is asked anew */
	FLOOR_TRIES = 16,      /* how many candidates are tried when floors stop the first ones */
};

struct usage {
	uint32_t total;      /* under way, failed ones too */
	uint32_t gating;     /* at the gate */
	uint32_t started;    /* ever */
	uint32_t host[ROLLOUT_HOSTS_MAX + 1]; /* under way by database host */
};

static struct why why(enum why_kind kind, int64_t value, int64_t limit)
{
	return (struct why){ .kind = kind, .value = value, .limit = limit };
}

struct why admit_rollout(const struct rollout *r, bool new_units)
{
	if (new_units && r->back != BACK_NO)
		return (struct why){ .kind = WHY_BACK, .other = r->back_unit };
	if (r->paused)
		return why(WHY_PAUSE, 0, 0);
	if (r->stopping)
		return why(WHY_STOP, 0, 0);
	if (!new_units)
		return why(WHY_NONE, 0, 0);
	if (r->low)
		return why(WHY_DISK, 0, 0);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if ((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && (u->flags & UNIT_MUTED) == 0)
			return (struct why){ .kind = WHY_FAILED, .other = i };
	}
	if (r->until_unit != RECORD_NO_UNIT && unit_is_settled(r->units[r->until_unit].state))
		return why(WHY_UNTIL, 0, 0);
	return why(WHY_NONE, 0, 0);
}

/* A failed unit uses its slot as long as its tenants are down. */
static bool uses_slot(const struct unit *u)
{
	return u->state == UNIT_RUNNING || u->state == UNIT_UNDOING ||
		((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && (u->flags & UNIT_WINDOW) != 0);
}

/* 0: none; upgd.conf names no more than fit. */
static uint32_t host_of(const struct row *row)
{
	return row->host <= ROLLOUT_HOSTS_MAX ? row->host : 0;
}

static void usage_count(const struct rollout *r, uint8_t s, struct usage *usage)
{
	usage->total = usage->gating = usage->started = 0;
	for (uint32_t k = 0; k < r->n_order[s]; k++)
		usage->host[host_of(&r->rows[r->units[r->order[s][k]].row])] = 0; /* the others nobody asks for, and they are many */
	for (uint32_t k = 0; k < r->n_order[s]; k++) {
		uint32_t unit = r->order[s][k];
		const struct unit *u = &r->units[unit];
		usage->started += (u->flags & UNIT_STARTED) != 0;
		bool gate = u->state == UNIT_WAITING && (r->live[unit].busy == BUSY_GATE || r->live[unit].gate_open);
		usage->gating += gate;
		if (gate || uses_slot(u)) {
			usage->total += !gate;
			usage->host[host_of(&r->rows[u->row])]++;
		}
	}
}

/* By "all are done": the stages that were looked at already, and what came of it. Many that have no work come after each other. */
struct settled {
	uint32_t known[2], is[2];
};

static int first_open(const struct rollout *r, uint8_t s, struct settled *memo);

/* A row that a person had set aside before the start takes part in nothing. */
static bool look_settled(const struct rollout *r, uint8_t s, bool all_done, struct settled *memo)
{
	bool has_work = false;
	for (uint32_t k = 0; k < r->n_order[s]; k++) {
		const struct unit *u = &r->units[r->order[s][k]];
		bool fine = all_done ? u->state == UNIT_DONE || r->rows[u->row].aside || fence_holds(r, u) : unit_is_settled(u->state);
		if (u->state == UNIT_DONE && (u->flags & UNIT_RECHECK) != 0)
			return false;
		if (!fine)
			return false;
		has_work |= u->state != UNIT_DONE || (u->flags & UNIT_STARTED) != 0;
	}
	return has_work || first_open(r, s, memo) < 0; /* where there is nothing to do, what it waits for is waited for all the same */
}

static bool stage_settled(const struct rollout *r, uint8_t s, bool all_done, struct settled *memo)
{
	uint32_t bit = 1u << s;
	if ((memo->known[all_done] & bit) == 0) {
		memo->is[all_done] |= look_settled(r, s, all_done, memo) ? bit : 0;
		memo->known[all_done] |= bit;
	}
	return (memo->is[all_done] & bit) != 0;
}

static int first_open(const struct rollout *r, uint8_t s, struct settled *memo)
{
	const struct stage *stage = &r->profile->stages[s];
	for (uint8_t a = 0; a < r->profile->n_stages; a++)
		if (((stage->after & (1u << a)) != 0 && !stage_settled(r, a, false, memo)) || ((stage->needs & (1u << a)) != 0 && !stage_settled(r, a, true, memo)))
			return a;
	return -1;
}

/* The first stage that this one waits for; -1: none. */
static int comes_after(const struct rollout *r, uint8_t s)
{
	struct settled memo = { 0 };
	return first_open(r, s, &memo);
}

bool admit_may_be_done(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct fact_row *fact = &r->facts.rows[u->row];
	return u->state == UNIT_WAITING && (u->flags & UNIT_RECHECK) != 0 && fact->known && fact->class_ == CLASS_NEW && !r->live[unit].asked;
}

bool admit_is_open(const struct rollout *r, uint8_t stage)
{
	return comes_after(r, stage) < 0;
}

/* What holds every further unit of the stage. */
static struct why stage_held(struct rollout *r, struct out *out, uint8_t s, const struct usage *usage)
{
	const struct stage *stage = &r->profile->stages[s];
	struct why held = admit_rollout(r, true);
	if (held.kind != WHY_NONE)
		return held;
	if ((r->until_stage >= 0 && s > r->until_stage) ||
		(r->until_unit != RECORD_NO_UNIT && s > r->units[r->until_unit].stage))
		return why(WHY_UNTIL, 0, 0);
	held = line_held(r, stage->needs, ROLLOUT_NO_ROW);
	if (held.kind != WHY_NONE)
		return held;
	int order = comes_after(r, s);
	if (order >= 0)
		return (struct why){ .kind = WHY_ORDER, .other = (uint32_t)order };
	uint32_t total = stage->total != 0 ? stage->total : 1;
	if (usage->total + usage->gating > total || (usage->gating == 0 && usage->total >= total))
		return why(WHY_LIMIT, usage->total, total);
	if (stage->canary == 0)
		return why(WHY_NONE, 0, 0);
	if (r->canary_done_ms[s] == 0)
		return usage->started >= stage->canary ? why(WHY_SOAK, usage->started, stage->canary) : why(WHY_NONE, 0, 0);
	int64_t left = r->canary_done_ms[s] + (int64_t)stage->soak_ms - rollout_steady(r, r->now);
	if (left <= 0)
		return why(WHY_NONE, 0, 0);
	out_wake(out, r->now + (uint64_t)left);
	return why(WHY_SOAK, left, 0);
}

static struct why floors_held(const struct rollout *r, const struct stage *stage, uint32_t unit)
{
	for (uint8_t i = 0; i < stage->n_keep; i++) {
		struct why held = { .kind = WHY_FLOOR, .floor = i };
		enum floor_verdict verdict = facts_floor(r, &stage->keep[i], unit, &held.value, &held.limit);
		if (verdict == FLOOR_UNKNOWN)
			held.kind = WHY_UNKNOWN;
		if (verdict != FLOOR_HOLDS)
			return held;
	}
	return why(WHY_NONE, 0, 0);
}

static struct why contested_held(const struct rollout *r, uint32_t row)
{
	if (r->rows[row].set == r->profile->set_node)
		for (uint8_t b = 0; b < r->profile->n_balancers; b++)
			if (r->wants[b] != NULL && r->wants[b][r->rows[row].rank].contested)
				return (struct why){ .kind = WHY_CONTESTED, .balancer = b, .other = row };
	return line_held(r, 0, row);
}

/* One alone may be more than the limit, or it would never be done. */
static struct why tenants_held(const struct rollout *r, uint32_t unit)
{
	const struct stage *stage = rollout_stage(r, &r->units[unit]);
	if (stage->tenants_down == 0 || !stage->has_window)
		return why(WHY_NONE, 0, 0); /* it counts all units: not for nothing */
	int64_t down = facts_tenants_committed(r, unit), weight = facts_weight(r, r->units[unit].row);
	return down > 0 && down + weight > stage->tenants_down ? why(WHY_LIMIT, down + weight, stage->tenants_down) : why(WHY_NONE, 0, 0);
}

/* A step of a path starts where the one before it has arrived, and where the site is at a level of the path. */
static struct why path_held(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct row *row = &r->rows[u->row];
	if (rollout_stage(r, u)->order != ORDER_PATH)
		return why(WHY_NONE, 0, 0);
	const struct unit *before = row->rank > 0 ? &r->units[r->unit_of[u->stage][row->rank - 1]] : NULL;
	if (before != NULL && (before->state != UNIT_DONE || (before->flags & UNIT_RECHECK) != 0))
		return (struct why){ .kind = WHY_ORDER, .other = u->stage };
	if (!r->facts.rows[u->row].known)
		return (struct why){ .kind = WHY_LEVEL, .other = row->set };
	return why(WHY_NONE, 0, 0);
}

/* What holds this one unit. */
static struct why unit_held(const struct rollout *r, uint32_t unit, const struct usage *usage)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	const struct row *row = &r->rows[u->row];
	for (uint8_t a = 0; a < r->profile->n_stages; a++) {
		if ((stage->same & (1u << a)) == 0 || r->profile->stages[a].set != stage->set)
			continue;
		if (r->units[r->unit_of[a][row->rank]].state != UNIT_DONE)
			return (struct why){ .kind = WHY_ORDER, .other = a };
	}
	struct why on_path = path_held(r, unit);
	if (on_path.kind != WHY_NONE)
		return on_path;
	bool mine = r->live[unit].busy == BUSY_GATE || r->live[unit].gate_open; /* counted already */
	uint32_t on_host = usage->host[host_of(row)] - mine;
	if (stage->per_host != 0 && row->host != 0 && on_host >= stage->per_host)
		return why(WHY_LIMIT, on_host, stage->per_host);
	struct why held = tenants_held(r, unit);
	if (held.kind == WHY_NONE)
		held = contested_held(r, u->row);
	if (held.kind == WHY_NONE)
		held = facts_host_held(r, u->row);
	bool far = stage->takes_out || stage->fence >= 0; /* what starts with something that the node itself must do */
	if (held.kind == WHY_NONE && far && row->set == r->profile->set_node && r->facts.rows_at[row->set] != 0 && !r->facts.rows[u->row].up && !row->aside)
		held = (struct why){ .kind = WHY_PLACE, .other = u->row };
	if (held.kind == WHY_NONE && admit_may_be_done(r, unit))
		held = r->live[unit].why.kind == WHY_UNKNOWN ? r->live[unit].why : why(WHY_UNKNOWN, 0, 0);
	if (held.kind == WHY_NONE && r->profile->sets[row->set].from == SET_SQL && r->facts.rows_at[row->set] != 0 && !r->facts.rows[u->row].known)
		held = (struct why){ .kind = WHY_GONE, .other = u->row };
	uint32_t fence = held.kind == WHY_NONE || held.kind == WHY_PLACE ? fence_of(r, u->row) : RECORD_NO_UNIT;
	if (fence != RECORD_NO_UNIT && fence != unit)
		return (struct why){ .kind = WHY_FENCED, .other = fence };
	return held.kind != WHY_NONE ? held : floors_held(r, stage, unit);
}

/* With its window open it has its slot, and the sooner it ends the better. */
struct why admit_retry(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	struct usage usage;
	if (u->dir == DIR_UNDO && rollout_goes_back(r)) /* what is taken back is never one too many: limits and floors are those of the way forward */
		return why(WHY_NONE, 0, 0);
	struct why on_path = path_held(r, unit);
	if (on_path.kind == WHY_ORDER)
		return on_path;
	if (u->state == UNIT_SKIPPED || uses_slot(u))
		return why(WHY_NONE, 0, 0);
	usage_count(r, u->stage, &usage);
	uint32_t total = stage->total != 0 ? stage->total : 1, on_host = usage.host[host_of(&r->rows[u->row])];
	bool waited_for = stage->order == ORDER_PATH; /* whoever is under way behind it waits for it */
	if (!waited_for && usage.total + usage.gating >= total)
		return why(WHY_LIMIT, usage.total + usage.gating, total);
	if (!waited_for && stage->per_host != 0 && r->rows[u->row].host != 0 && on_host >= stage->per_host)
		return why(WHY_LIMIT, on_host, stage->per_host);
	struct why held = tenants_held(r, unit);
	if (held.kind != WHY_NONE)
		return held;
	held = floors_held(r, stage, unit);
	return held.kind == WHY_FLOOR && (u->flags & UNIT_PIVOT) == 0 ? held : why(WHY_NONE, 0, 0);
}

static void remember(struct rollout *r, struct why *slot, struct why held)
{
	if (slot->kind != held.kind || slot->other != held.other || slot->floor != held.floor) {
		held.since_boot = r->now;
		held.since_ms = r->wall;
		*slot = held;
	} else {
		slot->value = held.value;
		slot->limit = held.limit;
	}
}

static void admit(struct rollout *r, struct out *out, uint32_t unit, const struct usage *usage)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	struct record *rec = out_record(r, out, RECORD_ADMIT, unit);
	rec->step = 0;
	const struct fact_row *fact = &r->facts.rows[u->row];
	rec->value = facts_weight(r, u->row);
	rec->code = fact->known ? fact->class_ : r->rows[u->row].class_;
	rec->text = out_text(out, "under way %u of %u", usage->total + 1, stage->total != 0 ? stage->total : 1);
	if (r->profile->set_tenants >= 0)
		rec->text = out_text(out, "%s, tenants down %" PRId64, rec->text, facts_tenants_down(r));
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	r->live[unit].gate_open = true; /* so that its level is known */
}

/* A person has brought the site to the end of this edge, or further, while it waited. */
static bool has_been_passed(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct fact_row *fact = &r->facts.rows[u->row];
	return rollout_stage(r, u)->order == ORDER_PATH && fact->known && fact->class_ == CLASS_NEW;
}

/* One candidate: to the gate, or through it. True: something moved. */
static bool try_unit(struct rollout *r, struct out *out, uint32_t unit, const struct usage *usage, uint32_t total)
{
	struct live *live = &r->live[unit];
	const struct stage *stage = rollout_stage(r, &r->units[unit]);
	if (live->busy == BUSY_GATE)
		return false;
	if (live->retry_at > r->now) {
		out_wake(out, live->retry_at);
		return false;
	}
	bool needs_gate = stage->n_before > 0 || stage->n_keep > 0 || stage->has_window || stage->order == ORDER_PATH;
	if (live->gate_open && r->now - live->gate_at > GATE_VALID_MS)
		live->gate_open = false;
	if (needs_gate && !live->gate_open) {
		if (usage->total + usage->gating >= total)
			return false;
		live->busy = BUSY_GATE;
		live->gate_at = r->now;
		(void)out_effect(out, EFFECT_GATE, unit);
		return true;
	}
	if (usage->total >= total)
		return false;
	if (has_been_passed(r, unit))
		(void)unit_event(r, out, unit, UNIT_EV_ADOPT, NULL, "the level is at its end or past it: somebody else has brought it there");
	else
		admit(r, out, unit, usage);
	return true;
}

/* Of units that came as far before the stage was held, by a canary that went first or by a person: the world will have moved on. */
static void gates_close(struct rollout *r, uint8_t s)
{
	for (uint32_t k = 0; k < r->n_order[s]; k++)
		r->live[r->order[s][k]].gate_open = false;
}

/* At most one movement; the pump calls again. */
static bool admit_stage(struct rollout *r, struct out *out, uint8_t s)
{
	const struct stage *stage = &r->profile->stages[s];
	struct usage usage;
	unsigned floors = 0;
	if (r->n_order[s] == 0)
		return false;
	usage_count(r, s, &usage);
	struct why held = stage_held(r, out, s, &usage);
	remember(r, &r->stage_why[s], held);
	if (held.kind != WHY_NONE && held.kind != WHY_LIMIT)
		gates_close(r, s);
	if (held.kind != WHY_NONE)
		return false;
	for (uint32_t k = 0; k < r->n_order[s] && floors < FLOOR_TRIES; k++) {
		uint32_t unit = r->order[s][k];
		if (r->units[unit].state != UNIT_WAITING || r->live[unit].busy == BUSY_GATE)
			continue;
		if (r->live[unit].why.kind == WHY_CHECK && r->live[unit].retry_at > r->now) {
			out_wake(out, r->live[unit].retry_at);
			continue;
		}
		held = unit_held(r, unit, &usage);
		if (held.kind != WHY_NONE || r->live[unit].why.kind != WHY_CHECK)
			remember(r, &r->live[unit].why, held);
		floors += held.kind == WHY_FLOOR || held.kind == WHY_UNKNOWN;
		if (held.kind != WHY_NONE)
			r->live[unit].gate_open = false; /* what it saw is not true any more */
		if (held.kind == WHY_NONE && try_unit(r, out, unit, &usage, stage->total != 0 ? stage->total : 1))
			return true;
	}
	for (uint32_t k = 0; floors == FLOOR_TRIES && k < r->n_order[s]; k++) {
		uint32_t unit = r->order[s][k]; /* those behind the ones that were tried wait for the same */
		if (r->units[unit].state == UNIT_WAITING && r->live[unit].why.kind == WHY_NONE)
			remember(r, &r->live[unit].why, held);
	}
	return false;
}

bool admit_stages(struct rollout *r, struct out *out)
{
	bool moved = false;
	if (r->state != ROLLOUT_RUNNING)
		return false;
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		while (admit_stage(r, out, s))
			moved = true;
	return moved;
}

void admit_gate(struct rollout *r, struct out *out, const struct event *ev)
{
	if (ev->unit >= r->n_units || r->live[ev->unit].busy != BUSY_GATE)
		return;
	struct live *live = &r->live[ev->unit];
	live->busy = BUSY_NO;
	live->gate_open = ev->result == RESULT_OK;
	if (live->gate_open) {
		live->why.kind = WHY_NONE;
		live->retry_at = 0;
		return;
	}
	/* no answer holds as a no does, and is said as long: until the next answer, not until the next look at the floors */
	remember(r, &live->why, why(WHY_CHECK, ev->value, 0));
	(void)snprintf(live->text, sizeof(live->text), "%s", ev->text != NULL ? ev->text : "");
	live->retry_at = r->now + GATE_AGAIN_MS;
	out_wake(out, live->retry_at);
}
