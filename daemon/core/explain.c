/* SPDX-License-Identifier: MIT */
/*
 * One row per kind of reason. The tables here and why_word() are all a new kind needs to be shown everywhere: in the first line of
 * status, as a hold, by explain.
 */
#include "explain.h"

#include "back.h"
#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *who;
	unsigned weight;
	bool of_rollout;
} kinds[WHY_KINDS] = {
	[WHY_NONE] = { "time", 0, false },
	[WHY_ORDER] = { "time", 1, false },
	[WHY_PAUSE] = { "operator", 15, true },
	[WHY_FAILED] = { "operator", 12, true },
	[WHY_CONTESTED] = { "operator", 10, false },
	[WHY_APPROVAL] = { "operator", 9, false },
	[WHY_SOAK] = { "time", 4, false },
	[WHY_CHECK] = { "world", 7, false },
	[WHY_FLOOR] = { "world", 6, false },
	[WHY_LIMIT] = { "time", 2, false },
	[WHY_UNTIL] = { "operator", 8, true },
	[WHY_DISK] = { "world", 13, true },
	[WHY_STOP] = { "operator", 14, true },
	[WHY_PLACE] = { "world", 5, false },
	[WHY_UNKNOWN] = { "world", 3, false },
	[WHY_FENCED] = { "world", 8, false },
	[WHY_GONE] = { "operator", 9, false },
	[WHY_LEVEL] = { "operator", 9, false },
	[WHY_STATEMENT] = { "world", 5, false },
	[WHY_HOST] = { "world", 11, false },
	[WHY_BACK] = { "operator", 11, true },
};

const char *why_who(enum why_kind kind)
{
	return (unsigned)kind < WHY_KINDS ? kinds[kind].who : "operator";
}

unsigned why_weight(enum why_kind kind)
{
	return (unsigned)kind < WHY_KINDS ? kinds[kind].weight : 0;
}

bool why_is_of_rollout(enum why_kind kind)
{
	return (unsigned)kind < WHY_KINDS && kinds[kind].of_rollout;
}

static const struct unit *unit_of(const struct rollout *r, uint32_t unit)
{
	return unit < r->n_units ? &r->units[unit] : NULL;
}

static const char *live_text(const struct rollout *r, uint32_t unit)
{
	return unit < r->n_units ? r->live[unit].text : "";
}

static void span(int64_t ms, char *buf, size_t size)
{
	int64_t s = (ms + 999) / 1000;
	if (s < 60)
		(void)snprintf(buf, size, "%" PRId64 "s", s);
	else if (s < 3600)
		(void)snprintf(buf, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else
		(void)snprintf(buf, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
}

/* Servers that count for nothing because somebody else has them out: "; by another hand: ox1 maint, ox2 drain". */
static void others_text(const struct rollout *r, const struct counter *what, char *buf, size_t size)
{
	const struct profile *p = r->profile;
	bool knows = what->kind == COUNTER_READY && p->respect != NULL && strcmp(p->balancers[what->index], p->respect) == 0;
	size_t len = 0;
	buf[0] = '\0';
	for (uint32_t i = 0; i < r->n_rows && knows && len < size; i++) {
		const struct row *row = &r->rows[i];
		if (row->set != p->set_node || row->aside || r->wants[what->index] == NULL || r->wants[what->index][row->rank].state != SERVER_UNKNOWN)
			continue;
		unsigned state = r->facts.servers[what->index][row->rank].state;
		if (state == SERVER_DRAIN || state == SERVER_MAINT)
			len += (size_t)snprintf(buf + len, size - len, "%s %s %s", len == 0 ? "; by another hand:" : ",", row->name, server_state_word((enum server_state)state));
	}
}

static void floor_text(const struct rollout *r, const struct unit *u, const struct why *why, char *buf, size_t size)
{
	const struct stage *stage = u != NULL ? rollout_stage(r, u) : NULL;
	const struct step *step = u != NULL && u->state == UNIT_UNDOING ? rollout_step(r, u) : NULL;
	if (step != NULL && why->floor < step->n_undo_while) {
		char counted[64];
		(void)snprintf(buf, size, "floor: undoing %s would strand users: %s is %" PRId64, step->name,
			counter_text(r->profile, &step->undo_while[why->floor].what, counted, sizeof(counted)), why->value);
		return;
	}
	if (stage == NULL || why->floor >= stage->n_keep) {
		(void)snprintf(buf, size, "floor: it would be %" PRId64 " against %" PRId64, why->value, why->limit);
		return;
	}
	char what[64], bound[64], named[80] = "", others[160];
	const struct floor *floor = &stage->keep[why->floor];
	(void)counter_text(r->profile, &floor->what, what, sizeof(what));
	(void)counter_text(r->profile, &floor->bound, bound, sizeof(bound));
	if (floor->bound.kind != COUNTER_CONST)
		(void)snprintf(named, sizeof(named), " %s", bound);
	others_text(r, &floor->what, others, sizeof(others));
	(void)snprintf(buf, size, "floor: %s would be %" PRId64 ", %s %" PRId64 "%s%s", what, why->value, floor->is_max ? "above" : "below", why->limit, named,
		others);
}

static void order_text(const struct rollout *r, const struct unit *u, const struct why *why, char *buf, size_t size)
{
	const char *stage = why->other < r->profile->n_stages ? r->profile->stages[why->other].name : "?";
	char before[300];
	if (u != NULL && why->other == u->stage && rollout_stage(r, u)->order == ORDER_PATH && r->rows[u->row].rank > 0) {
		(void)snprintf(buf, size, "order: %s comes before it and is not done",
			rollout_unit_name(r, r->unit_of[u->stage][r->rows[u->row].rank - 1], before, sizeof(before)));
		return;
	}
	bool same = u != NULL && (rollout_stage(r, u)->same & (1u << (why->other & 31))) != 0 &&
		(rollout_stage(r, u)->after & (1u << (why->other & 31))) == 0;
	(void)snprintf(buf, size, same ? "order: its own unit of stage %s is not done" : "order: stage %s is not finished", stage);
}

static void approval_text(const struct rollout *r, const struct unit *u, char *buf, size_t size)
{
	const struct step *step = u != NULL ? rollout_step(r, u) : NULL;
	if (step == NULL || step->act.kind != ACTION_APPROVE)
		(void)snprintf(buf, size, "approval: a person is asked");
	else
		(void)snprintf(buf, size, "approval: %s? upgctl approve %s/%s", step->act.to != NULL ? step->act.to : step->name,
			rollout_stage(r, u)->name, step->name);
}

static void failed_text(const struct rollout *r, const struct why *why, char *buf, size_t size)
{
	char name[300];
	const struct unit *u = unit_of(r, why->other);
	(void)snprintf(buf, size, "failed unit: %s is %s; no new unit starts", rollout_unit_name(r, why->other, name, sizeof(name)),
		u != NULL ? unit_state_word(u->state) : "?");
}

static void back_text(const struct rollout *r, char *buf, size_t size)
{
	char name[300], other[300];
	uint32_t kept = r->back == BACK_GOING ? back_kept(r) : RECORD_NO_UNIT;
	const char *text = r->back_text != NULL ? r->back_text : "?";
	(void)rollout_unit_name(r, r->back_unit, name, sizeof(name));
	if (r->back == BACK_REST)
		(void)snprintf(buf, size, "back: it is back on the old version, and rests: %s failed: %.400s", name, text);
	else if (kept != RECORD_NO_UNIT)
		(void)snprintf(buf, size, "back: %s is kept, for something that needs it was not undone; %s failed: %.400s",
			rollout_unit_name(r, kept, other, sizeof(other)), name, text);
	else
		(void)snprintf(buf, size, "back: all that was begun is undone, for %s failed: %.400s", name, text);
}

static const struct changed_line *line_of(const struct rollout *r, const struct why *why)
{
	for (uint32_t i = 0; i < r->n_lines; i++)
		if (why->balancer == WHY_LINE && r->lines[i].unit == why->other && r->lines[i].step == why->floor)
			return &r->lines[i];
	return NULL;
}

static void contested_text(const struct rollout *r, const struct why *why, char *buf, size_t size)
{
	const struct changed_line *line = line_of(r, why);
	if (line != NULL) {
		(void)snprintf(buf, size, "contested: on %s somebody changed %s", r->rows[r->units[line->unit].row].name, line->text);
		return;
	}
	if (why->balancer == WHY_LINE) {
		(void)snprintf(buf, size, "contested: somebody changed a line that upgd had set");
		return;
	}
	const char *row = why->other < r->n_rows ? r->rows[why->other].name : "?";
	const char *balancer = why->balancer < r->profile->n_balancers ? r->profile->balancers[why->balancer] : "?";
	const struct want *want = why->other < r->n_rows && why->balancer < r->profile->n_balancers && r->wants[why->balancer] != NULL
		? &r->wants[why->balancer][r->rows[why->other].rank] : NULL;
	(void)snprintf(buf, size, "contested: somebody changed %s in %s; we want %s", row, balancer,
		want != NULL ? server_state_word((enum server_state)want->state) : "?");
}

static void soak_text(const struct why *why, char *buf, size_t size)
{
	char left[32];
	span(why->value, left, sizeof(left));
	if (why->limit != 0)
		(void)snprintf(buf, size, "soak: the first %" PRId64 " must end well before others start", why->limit);
	else
		(void)snprintf(buf, size, "soak: %s left after the first", left);
}

static void limit_text(const struct rollout *r, const struct unit *u, const struct why *why, char *buf, size_t size)
{
	const struct stage *stage = u != NULL ? rollout_stage(r, u) : NULL;
	bool host = stage != NULL && why->limit == stage->per_host && why->limit != stage->total;
	bool tenants = stage != NULL && stage->tenants_down != 0 && why->limit == stage->tenants_down && why->value > why->limit;
	if (tenants)
		(void)snprintf(buf, size, "limit: %" PRId64 " tenants would be down, %" PRId64 " may", why->value, why->limit);
	else
		(void)snprintf(buf, size, "limit: %" PRId64 " of %" PRId64 " under way%s", why->value, why->limit, host ? " on its host" : "");
}

static void place_text(const struct rollout *r, const struct unit *u, char *buf, size_t size)
{
	bool own = u != NULL && u->state == UNIT_WAITING && r->rows[u->row].set == r->profile->set_node;
	(void)snprintf(buf, size, "place: %s%s", own ? r->rows[u->row].name : "no node of the fleet it must run on", own ? " does not answer, or is not healthy" : " is up");
}

static void fenced_text(const struct rollout *r, const struct why *why, char *buf, size_t size)
{
	char name[300];
	const struct unit *u = unit_of(r, why->other);
	int balancer = u != NULL ? rollout_stage(r, u)->fence : -1;
	(void)snprintf(buf, size, "fenced: %s: %s", rollout_unit_name(r, why->other, name, sizeof(name)),
		u != NULL && u->state != UNIT_FENCED ? "its node is back, and let in again when its steps are done" : "its node is away");
	size_t len = strlen(buf);
	if (balancer >= 0 && u->state == UNIT_FENCED)
		(void)snprintf(buf + len, size - len, ", and kept out of %s until it is seen again", r->profile->balancers[balancer]);
}

static void host_text(const struct rollout *r, const struct why *why, char *buf, size_t size)
{
	char lasts[32];
	const struct fact_host *host = facts_host_of(r, why);
	if (host == NULL) {
		(void)snprintf(buf, size, "host: its database server cannot be reached");
		return;
	}
	span(r->wall - host->since_ms, lasts, sizeof(lasts));
	if (host->away)
		(void)snprintf(buf, size, "host: %s cannot be reached for %s: %s", host->name, lasts, host->text);
	else
		(void)snprintf(buf, size, "host: %s is read-only for %s: nothing is changed on it until it is the primary", host->name, lasts);
}

static void with_detail(const char *what, const char *detail, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s", what, detail[0] != '\0' ? ": " : "", detail);
}

const char *why_text(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size)
{
	const struct unit *u = unit_of(r, unit);
	buf[0] = '\0';
	switch (why->kind) {
	case WHY_NONE:
	case WHY_KINDS:
		break;
	case WHY_ORDER:
		order_text(r, u, why, buf, size);
		break;
	case WHY_PAUSE:
		(void)snprintf(buf, size, "pause: a person paused the rollout");
		break;
	case WHY_FAILED:
		failed_text(r, why, buf, size);
		break;
	case WHY_CONTESTED:
		contested_text(r, why, buf, size);
		break;
	case WHY_APPROVAL:
		approval_text(r, u, buf, size);
		break;
	case WHY_SOAK:
		soak_text(why, buf, size);
		break;
	case WHY_CHECK:
		with_detail("check", live_text(r, unit), buf, size);
		break;
	case WHY_FLOOR:
		floor_text(r, u, why, buf, size);
		break;
	case WHY_LIMIT:
		limit_text(r, u, why, buf, size);
		break;
	case WHY_UNTIL:
		(void)snprintf(buf, size, "until: it was started to go so far and no further");
		break;
	case WHY_DISK:
		(void)snprintf(buf, size, "disk: the journal's disk is full; nothing new starts");
		break;
	case WHY_STOP:
		(void)snprintf(buf, size, "stop: upgd is ending; open windows close first");
		break;
	case WHY_PLACE:
		place_text(r, u, buf, size);
		break;
	case WHY_FENCED:
		fenced_text(r, why, buf, size);
		break;
	case WHY_HOST:
		host_text(r, why, buf, size);
		break;
	case WHY_GONE:
		(void)snprintf(buf, size, "gone: %s is not there any more", why->other < r->n_rows ? r->rows[why->other].name : "?");
		break;
	case WHY_LEVEL:
		with_detail("level: where the site is on its way is not known", why->other < 8 ? r->facts.level[why->other] : "", buf, size);
		break;
	case WHY_UNKNOWN:
		with_detail("unknown: what must be known cannot be observed", live_text(r, unit), buf, size);
		break;
	case WHY_BACK:
		back_text(r, buf, size);
		break;
	case WHY_STATEMENT:
		with_detail("statement: what its action began still runs in the database", live_text(r, unit), buf, size);
		break;
	}
	return buf;
}

static void approve_how(const struct rollout *r, const struct unit *u, char *buf, size_t size)
{
	const struct step *step = u != NULL ? rollout_step(r, u) : NULL;
	if (step != NULL)
		(void)snprintf(buf, size, "upgctl approve %s/%s", rollout_stage(r, u)->name, step->name);
}

static void retry_how(const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	char name[300];
	if (unit < r->n_units)
		(void)snprintf(buf, size, "upgctl explain %s, then retry or park it%s", rollout_unit_name(r, unit, name, sizeof(name)),
			rollout_goes_back(r) ? "" : ", or upgctl resume to go on around it");
}

static void line_how(const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	char name[300];
	if (rollout_is_over(r))
		(void)snprintf(buf, size, "set it as it was, and have it read");
	else
		(void)snprintf(buf, size, "stop who does it, then upgctl retry %s sets it again; or set it by hand: upgd sees it and goes on",
			rollout_unit_name(r, unit, name, sizeof(name)));
}

const char *why_how(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size)
{
	static const char *const fixed[WHY_KINDS] = {
		[WHY_PAUSE] = "upgctl resume",
		[WHY_UNTIL] = "upgctl resume",
		[WHY_CONTESTED] = "set the server back in HAProxy: upgd sees it and goes on",
		[WHY_DISK] = "free some space: upgd tries again every few seconds",
		[WHY_STOP] = "start upgd again",
		[WHY_PLACE] = "start the node",
		[WHY_FENCED] = "start the node; or upgctl skip what waits for it, to end without it",
		[WHY_STATEMENT] = "it is waited for; end it in the database if it will not end",
		[WHY_LEVEL] = "see what the site says of its level: upgd looks again by itself; or upgctl abort",
		[WHY_BACK] = "it goes back by itself, then it rests",
		[WHY_HOST] = "mend the database server: upgd sees it and goes on",
	};
	buf[0] = '\0';
	if ((unsigned)why->kind >= WHY_KINDS)
		return buf;
	char name[300];
	if (why->kind == WHY_GONE && unit < r->n_units)
		(void)snprintf(buf, size, "upgctl skip %s", rollout_unit_name(r, unit, name, sizeof(name)));
	else if (why->kind == WHY_CONTESTED && why->balancer == WHY_LINE)
		line_how(r, why->other, buf, size);
	else if (why->kind == WHY_APPROVAL)
		approve_how(r, unit_of(r, unit), buf, size);
	else if (why->kind == WHY_FAILED)
		retry_how(r, why->other, buf, size);
	else if (why->kind == WHY_FLOOR && unit < r->n_units && r->units[unit].state == UNIT_UNDOING)
		(void)snprintf(buf, size, "it goes on when that holds; upgctl park %s leaves it as it is; upgctl abort ends it so",
			rollout_unit_name(r, unit, name, sizeof(name)));
	else if (why->kind == WHY_BACK && r->back == BACK_GOING && back_kept(r) != RECORD_NO_UNIT)
		(void)snprintf(buf, size, "it goes on when the undo of that is legal (upgctl log says what stays); upgctl abort ends it so");
	else if (why->kind == WHY_BACK && r->back == BACK_REST)
		(void)snprintf(buf, size, "mend it, then upgctl retry %s begins anew; or upgctl abort ends it", rollout_unit_name(r, r->back_unit, name, sizeof(name)));
	else if (fixed[why->kind] != NULL)
		(void)snprintf(buf, size, "%s", fixed[why->kind]);
	return buf;
}

unsigned explain_tries(const struct unit *unit, const struct step *step)
{
	return 1u + (unit->dir == DIR_UNDO ? (unsigned)ADVANCE_UNDO_TRIES : step->retry);
}
