/* SPDX-License-Identifier: MIT */
/* The state in the words of the interface file. Numbers of the journal become words here and nowhere else. */
#include "views_parts.h"

#include "bind.h"
#include "core/back.h"
#include "core/explain.h"
#include "executor.h"
#include "io/loop.h"
#include "memory.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

const char *view_number(int64_t number, char buf[static 32])
{
	char plain[24];
	size_t len = (size_t)snprintf(plain, sizeof(plain), "%" PRId64, number < 0 ? 0 : number), n = 0;
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[n++] = ',';
		buf[n++] = plain[i];
	}
	buf[n] = '\0';
	return buf;
}

const char *view_span(int64_t ms, char buf[static 32])
{
	int64_t s = ms < 0 ? 0 : ms / 1000;
	if (s < 60)
		(void)snprintf(buf, 32, "%" PRId64 "s", s);
	else if (s < 3600)
		(void)snprintf(buf, 32, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else
		(void)snprintf(buf, 32, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	return buf;
}

char *view_clean(const char *text, size_t max)
{
	size_t len = strlen(text);
	bool cut = len > max;
	if (cut)
		len = max;
	char *out = memory_need(malloc(len + 4));
	memcpy(out, text, len);
	for (size_t i = 0; i < len; i++) {
		bool is_c1 = i + 1 < len && (unsigned char)out[i] == 0xc2 && ((unsigned char)out[i + 1] & 0xe0) == 0x80; /* terminals obey them too */
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f || is_c1)
			out[i] = ' ';
		if (is_c1)
			out[++i] = ' ';
	}
	while (cut && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--; /* never half a character */
	memcpy(out + len, cut ? "..." : "", cut ? 4 : 1);
	return out;
}

static void add_clean(struct json_object *object, const char *key, const char *text, size_t max)
{
	if (text == NULL || text[0] == '\0')
		return;
	char *clean = view_clean(text, max);
	json_add_str(object, key, clean);
	free(clean);
}

struct json_object *view_counts(const struct rollout *r, int stage)
{
	int64_t n[UNIT_STATES] = { 0 }, total = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		if (stage >= 0 && r->units[i].stage != stage)
			continue;
		n[r->units[i].state]++;
		total++;
	}
	struct json_object *counts = json_object_new_object();
	json_add_int(counts, "waiting", n[UNIT_WAITING]);
	json_add_int(counts, "running", n[UNIT_RUNNING] + n[UNIT_UNDOING]);
	json_add_int(counts, "done", n[UNIT_DONE]);
	json_add_int(counts, "failed", n[UNIT_FAILED] + n[UNIT_UNCERTAIN]);
	json_add_int(counts, "parked", n[UNIT_PARKED]);
	json_add_int(counts, "skipped", n[UNIT_SKIPPED]);
	json_add_int(counts, "undone", n[UNIT_UNDONE]);
	json_add_int(counts, "fenced", n[UNIT_FENCED]);
	json_add_int(counts, "total", total);
	return counts;
}

struct json_object *view_stage(const struct rollout *r, uint8_t stage)
{
	struct json_object *object = json_object_new_object();
	json_add_str(object, "name", r->profile->stages[stage].name);
	json_add_str(object, "set", r->profile->sets[r->profile->stages[stage].set].name);
	json_add(object, "counts", view_counts(r, stage));
	return object;
}

const char *view_state_word(const struct rollout *r)
{
	return r->state == ROLLOUT_RUNNING && r->paused && r->back == BACK_NO ? "paused" : rollout_state_word(r->state);
}

/* What a waiting unit waits for is mostly its stage's affair; only where the stage may go on, its own. */
struct why view_why_of(const struct rollout *r, uint32_t unit)
{
	const struct unit *u = &r->units[unit];
	const struct changed_line *line = line_changed(r, unit);
	if (line != NULL && (u->state == UNIT_DONE || rollout_is_over(r)))
		return line_why(line);
	if (rollout_is_over(r))
		return (struct why){ .kind = WHY_NONE };
	if (u->state == UNIT_WAITING && r->stage_why[u->stage].kind != WHY_NONE)
		return r->stage_why[u->stage];
	if (u->state == UNIT_WAITING || u->state == UNIT_RUNNING || u->state == UNIT_UNDOING)
		return r->live[unit].why;
	return (struct why){ .kind = WHY_NONE };
}

/* Of one that is under way and that nothing holds. */
static const char *why_active(const struct views *views, const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	char span[32];
	const struct executor *executor = views->with.executor;
	const struct live *live = &r->live[unit];
	buf[0] = '\0';
	if (executor != NULL && executor_trouble(executor, unit, buf, size)[0] != '\0')
		return buf;
	if (rollout_is_stalled(r, unit))
		(void)snprintf(buf, size, "no progress for %s: %s; the work goes on and is waited for",
			view_span((int64_t)(loop_boot_ms() - live->stalled_at), span), live->text);
	else if (r->units[unit].state == UNIT_RUNNING && live->late)
		(void)snprintf(buf, size, "over its time; the work goes on and is waited for");
	else if (executor != NULL)
		(void)executor_doing(executor, unit, buf, size);
	return buf;
}

const char *view_why_text(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size)
{
	(void)why_text(r, unit, why, buf, size);
	if (why->kind != WHY_APPROVAL || unit >= r->n_units)
		return buf;
	struct bind bind = { .profile = r->profile, .r = r, .row = &r->rows[r->units[unit].row], .rollout = r->id, .lane = LANE_NONE };
	struct fail fail;
	char *bound = bind_text(&bind, buf, &fail);
	if (bound != NULL)
		(void)snprintf(buf, size, "%s", bound);
	free(bound);
	return buf;
}

const char *view_why(const struct views *views, const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	buf[0] = '\0';
	const struct unit *u = &r->units[unit];
	struct why why = view_why_of(r, unit);
	const char *reason = unit < views->n_reasons ? views->reasons[unit] : NULL;
	bool active = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
	if (why.kind != WHY_NONE)
		return view_why_text(r, unit, &why, buf, size);
	if (active && why_active(views, r, unit, buf, size)[0] != '\0')
		return buf;
	if (reason != NULL && u->state != UNIT_DONE)
		(void)snprintf(buf, size, "%s", reason);
	return buf;
}

static const char *clock_at(int64_t wall_ms, char buf[static 16])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (localtime_r(&seconds, &tm) == NULL || strftime(buf, 16, "%H:%M", &tm) == 0)
		(void)snprintf(buf, 16, "?");
	return buf;
}

const char *view_way_back(const struct rollout *r, char *buf, size_t size)
{
	uint64_t ms;
	bool more;
	char by[16], decide[16];
	if (!back_takes(r, &ms, &more) || ms == 0)
		return NULL;
	size_t len = (size_t)snprintf(buf, size, "the way back takes about %" PRIu64 " min%s", (ms + 59999) / 60000, more ? ", and more: not every undo says how long" : "");
	int64_t last = r->back_by_ms - (int64_t)ms;
	if (r->back_by_ms == 0 || rollout_goes_back(r) || len >= size)
		return buf;
	if (last > loop_wall_ms())
		(void)snprintf(buf + len, size - len, "; decide by %s to be back by %s", clock_at(last, decide), clock_at(r->back_by_ms, by));
	else
		(void)snprintf(buf + len, size - len, "; it is too late to be back by %s", clock_at(r->back_by_ms, by));
	return buf;
}

static const char *lane_word(const struct rollout *r, int32_t lane)
{
	if (lane == LANE_LOCAL)
		return "local";
	return lane >= 0 && (uint32_t)lane < r->n_rows ? r->rows[lane].name : NULL;
}

static void add_lanes(struct json_object *object, const struct rollout *r, const struct unit *u)
{
	char text[300] = "";
	for (uint8_t i = 0; i < u->n_lanes && u->phase == PHASE_ACT; i++) {
		const char *word = (u->lanes & (1u << i)) != 0 ? lane_word(r, u->lane[i]) : NULL;
		size_t len = strlen(text);
		if (word != NULL)
			(void)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? " " : "", word);
	}
	if (text[0] != '\0')
		json_add_str(object, "lane", text);
}

struct json_object *view_unit(const struct views *views, const struct rollout *r, uint32_t unit)
{
	char buf[600];
	const struct unit *u = &r->units[unit];
	const struct row *row = &r->rows[u->row];
	const struct step *step = rollout_step(r, u);
	struct json_object *object = json_object_new_object();
	json_add_str(object, "name", rollout_unit_name(r, unit, buf, sizeof(buf)));
	json_add_str(object, "stage", rollout_stage(r, u)->name);
	json_add_str(object, "row", row->name);
	json_add_str(object, "set", r->profile->sets[row->set].name);
	json_add_str(object, "state", unit_state_word(u->state));
	bool begun = u->state != UNIT_WAITING && u->state != UNIT_DONE && u->state != UNIT_SKIPPED && u->state != UNIT_UNDONE;
	json_add_str(object, "step", begun && step != NULL ? step->name : NULL);
	json_add_int(object, "attempt", u->attempt);
	add_lanes(object, r, u);
	json_add_int(object, "tenants", row->set == r->profile->set_tenants ? row->weight : 0);
	json_add_bool(object, "in_window", (u->flags & UNIT_WINDOW) != 0);
	json_add_bool(object, "past_pivot", (u->flags & UNIT_PIVOT) != 0);
	json_add_int(object, "since", u->since_ms);
	if (u->window_open_ms != 0)
		json_add_int(object, "window_ms", (u->window_close_ms != 0 ? u->window_close_ms : rollout_steady(r, loop_boot_ms())) - u->window_open_ms);
	if (u->task_ms != 0)
		json_add_int(object, "task_ms", u->task_ms);
	add_clean(object, "text", view_why(views, r, unit, buf, sizeof(buf)), sizeof(buf));
	return object;
}

/* ---- records ---- */

static const char *code_word(const struct record *rec)
{
	static const char *const results[] = { "ok", "failed", "unknown" };
	static const char *const ends[] = { "verified", "skipped", "adopted", "approved", "undone" };
	static const char *const retries[] = { NULL, "lost", "on-failure", "from" };
	static const char *const lines[] = { "changed", "as-set", "set-again" };
	static const char *const changes[] = { "seen", "other", "restarted" };
	switch (rec->kind) {
	case RECORD_ACTED:
		return (rec->code & 0xff) < 3 ? results[rec->code & 0xff] : NULL;
	case RECORD_STEP:
		return rec->code < 5 ? ends[rec->code] : NULL;
	case RECORD_UNIT:
		return unit_state_word(rec->code);
	case RECORD_END:
		return rollout_state_word(rec->code);
	case RECORD_HOST:
		return rec->code < 3 ? changes[rec->code] : NULL;
	case RECORD_LINE:
		return rec->code < 3 ? lines[rec->code] : NULL;
	case RECORD_CHECKED:
		return rec->code == 0 ? "holds" : "broken";
	case RECORD_RETRY:
		return (rec->code & 0xff) < 4 ? retries[rec->code & 0xff] : NULL;
	case RECORD_WANT:
	case RECORD_FOREIGN:
	case RECORD_LIFT:
	case RECORD_REASSERT:
		return rec->code == SERVER_UNKNOWN ? "released" : server_state_word((enum server_state)rec->code);
	default:
		return NULL;
	}
}

/* The number in `step` is that of a step, a balancer or a set, by kind. */
static const char *step_word(const struct rollout *r, const struct record *rec)
{
	const struct profile *p = r->profile;
	switch (rec->kind) {
	case RECORD_WANT:
	case RECORD_FOREIGN:
	case RECORD_LIFT:
	case RECORD_REASSERT:
	case RECORD_PROCESS:
		return rec->step < p->n_balancers ? p->balancers[rec->step] : NULL;
	case RECORD_ROW:
		return rec->step < p->n_sets ? p->sets[rec->step].name : NULL;
	case RECORD_APPROVE:
		return rec->code < p->n_stages && rec->step < p->stages[rec->code].n_steps ? p->stages[rec->code].steps[rec->step].name : NULL;
	default:
		break;
	}
	if (rec->unit >= r->n_units)
		return NULL;
	const struct stage *stage = rollout_stage(r, &r->units[rec->unit]);
	return rec->step < stage->n_steps ? stage->steps[rec->step].name : NULL;
}

static void add_place(struct json_object *object, const struct rollout *r, const struct record *rec)
{
	char name[300];
	if (rec->kind == RECORD_ROW) {
		json_add_str(object, "step", step_word(r, rec));
		return;
	}
	if (rec->kind == RECORD_APPROVE && rec->code < r->profile->n_stages)
		json_add_str(object, "unit", r->profile->stages[rec->code].name);
	if (rec->unit < r->n_units)
		json_add_str(object, "unit", rollout_unit_name(r, rec->unit, name, sizeof(name)));
	json_add_str(object, "step", step_word(r, rec));
	if (rec->kind != RECORD_PROCESS)
		json_add_str(object, "lane", lane_word(r, rec->lane));
}

/* What a program printed: its lines, each as every text is shown. */
static void add_lines(struct json_object *object, const char *text)
{
	char *all = NULL;
	size_t size;
	FILE *out = memory_need(open_memstream(&all, &size));
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		char *copy = memory_need(strndup(line, len)), *clean = view_clean(copy, VIEWS_TEXT_MAX);
		(void)fprintf(out, "%s%s", line != text ? "\n" : "", clean);
		free(copy);
		free(clean);
		line += len + (line[len] == '\n');
	}
	(void)fclose(out);
	json_add_str(object, "text", all);
	free(all);
}

/* START holds the params, an empty line and the whole profile: for people the params do. */
static void add_text(struct json_object *object, const struct record *rec)
{
	if (rec->text == NULL)
		return;
	if (rec->kind == RECORD_OUTPUT) {
		add_lines(object, rec->text);
		return;
	}
	const char *end = rec->kind != RECORD_START ? NULL : rec->text[0] == '\n' ? rec->text : strstr(rec->text, "\n\n");
	size_t len = end != NULL ? (size_t)(end - rec->text) : strlen(rec->text);
	char *text = memory_need(strndup(rec->text, len));
	add_clean(object, "text", text, VIEWS_TEXT_MAX);
	free(text);
}

struct json_object *view_record(const struct views *views, const struct rollout *r, const struct record *rec)
{
	struct json_object *object = json_object_new_object();
	bool of_this = r != NULL && views->start_seq != 0 && rec->seq >= views->start_seq; /* older numbers mean rows of another run */
	json_add_int(object, "seq", (int64_t)rec->seq);
	json_add_int(object, "at", rec->at_ms);
	json_add_str(object, "kind", record_kind_word(rec->kind));
	if (of_this)
		add_place(object, r, rec);
	bool acts = rec->kind == RECORD_INTENT || rec->kind == RECORD_ACTED || rec->kind == RECORD_STEP || rec->kind == RECORD_RETRY ||
		rec->kind == RECORD_OUTPUT;
	if (acts) {
		json_add_str(object, "dir", rec->dir == DIR_UNDO ? "undo" : "do");
		json_add_int(object, "attempt", rec->attempt);
	}
	json_add_str(object, "code", code_word(rec));
	if (rec->value != 0)
		json_add_int(object, "value", rec->value);
	json_add_str(object, "actor", rec->actor);
	add_text(object, rec);
	return object;
}

static struct json_object *past_params(const struct past *past)
{
	struct json_object *params = json_object_new_object();
	char *copy = memory_need(strdup(past->params)), *save = NULL;
	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *equals = strchr(line, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		json_add_str(params, line, equals + 1);
	}
	free(copy);
	return params;
}

struct json_object *view_past(const struct past *past)
{
	struct json_object *object = json_object_new_object();
	json_add_int(object, "id", past->id);
	json_add_str(object, "profile", past->profile);
	json_add_str(object, "state", rollout_state_word(past->state));
	json_add_int(object, "started", past->started_ms);
	if (past->ended_ms != 0)
		json_add_int(object, "ended", past->ended_ms);
	json_add_str(object, "actor", past->actor);
	json_add(object, "params", past_params(past));
	add_clean(object, "text", past->text, VIEWS_TEXT_MAX);
	return object;
}
