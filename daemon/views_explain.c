/* SPDX-License-Identifier: MIT */
/*
 * One unit, the units in pages, and the journal as people read it. What is in the journal is read from the disk, never from memory: what a
 * person sees is what a restart would see.
 */
#include "views_parts.h"

#include "core/explain.h"
#include "executor.h"
#include "io/store.h"
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 500, LOG_DEFAULT = 200, LOG_MAX = 4096, LOG_UNWRITTEN = 500, EXPLAIN_RECORDS = 50, EVIDENCE_MAX = 8, OUTPUT_LINES = 40 };

/* ---- ListUnits ---- */

static bool state_is(const char *word)
{
	for (unsigned s = 0; s < UNIT_STATES; s++)
		if (strcmp(unit_state_word(s), word) == 0)
			return true;
	return false;
}

static bool list_wanted(const struct rollout *r, uint32_t unit, const char *stage, const char *state)
{
	const struct unit *u = &r->units[unit];
	return (stage == NULL || strcmp(rollout_stage(r, u)->name, stage) == 0) && (state == NULL || strcmp(unit_state_word(u->state), state) == 0);
}

/* Plan order: by stage, in a stage by admission. Begins behind `after`; false: the page was full before the end. */
static bool list_page(const struct views *views, const struct rollout *r, struct json_object *call_args[2], uint32_t after, int64_t limit,
	struct json_object *units)
{
	const char *stage = call_args[0] != NULL ? json_object_get_string(call_args[0]) : NULL;
	const char *state = call_args[1] != NULL ? json_object_get_string(call_args[1]) : NULL;
	bool begun = after == RECORD_NO_UNIT;
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		for (uint32_t k = 0; k < r->n_order[s]; k++) {
			uint32_t unit = r->order[s][k];
			if (begun && list_wanted(r, unit, stage, state)) {
				if ((int64_t)json_object_array_length(units) == limit)
					return false;
				json_object_array_add(units, view_unit(views, r, unit));
			}
			begun |= unit == after;
		}
	}
	return true;
}

void view_list(struct views *views, struct control_call *call)
{
	if (!view_has_rollout(views, call))
		return;
	const struct rollout *r = engine_rollout(views->with.engine);
	struct json_object *args = control_call_args(call), *filters[2] = { NULL, NULL };
	const char *after = view_arg(call, "after"), *stage = view_arg(call, "stage"), *state = view_arg(call, "state");
	uint32_t unit = RECORD_NO_UNIT;
	int64_t limit = LIST_DEFAULT;
	struct fail fail;
	if (json_get_int(args, "limit", 1, LIST_MAX, &limit, &fail) < 0) {
		view_bad(call, "limit", "%s", fail.text);
		return;
	}
	if (stage != NULL && profile_stage(r->profile, stage) < 0) {
		view_bad(call, "stage", "there is no stage \"%s\" in profile %s", stage, r->profile->name);
		return;
	}
	if (state != NULL && !state_is(state)) {
		view_bad(call, "state", "there is no state \"%s\": waiting, running, undoing, done, failed, uncertain, parked, skipped, undone, fenced", state);
		return;
	}
	if (after != NULL && !view_find_unit(views, call, after, &unit))
		return;
	(void)json_object_object_get_ex(args, "stage", &filters[0]);
	(void)json_object_object_get_ex(args, "state", &filters[1]);
	struct json_object *reply = json_object_new_object(), *units = json_object_new_array();
	bool whole = list_page(views, r, filters, unit, limit, units);
	json_add(reply, "units", units);
	json_add_bool(reply, "more", !whole);
	control_reply(call, reply, false);
}

/* ---- Log ---- */

struct reading {
	const struct views *views;
	const struct rollout *rollout;
	uint32_t unit;
	struct json_object *records;
	uint64_t last;
	size_t bytes;
	size_t keep; /* 0: all; else only the last so many */
};

/* A ROW's unit number is its row's. */
static bool is_of(const struct reading *reading, const struct record *rec)
{
	return reading->unit == RECORD_NO_UNIT || (rec->unit == reading->unit && rec->kind != RECORD_ROW);
}

static size_t record_bytes(struct json_object *record)
{
	struct json_object *text = NULL;
	return json_object_object_get_ex(record, "text", &text) ? 300 + 2 * (size_t)json_object_get_string_len(text) : 300;
}

static int on_record(void *arg, const struct record *rec)
{
	struct reading *reading = arg;
	reading->last = rec->seq;
	if (!is_of(reading, rec))
		return 0;
	struct json_object *record = view_record(reading->views, reading->rollout, rec);
	json_object_array_add(reading->records, record);
	reading->bytes += record_bytes(record);
	while (reading->keep != 0 && (json_object_array_length(reading->records) > reading->keep || reading->bytes > VIEWS_PAGE_BYTES)) {
		reading->bytes -= record_bytes(json_object_array_get_idx(reading->records, 0));
		json_object_array_del_idx(reading->records, 0, 1);
	}
	return reading->keep == 0 && reading->bytes > VIEWS_PAGE_BYTES ? 1 : 0; /* the page is full */
}

static struct json_object *records_read(const struct views *views, uint64_t after, uint32_t unit, size_t max, size_t keep, uint64_t *last,
	struct fail *fail)
{
	struct reading reading = { .views = views, .rollout = engine_rollout(views->with.engine), .unit = unit,
		.records = json_object_new_array(), .last = after, .keep = keep };
	if (unit != RECORD_NO_UNIT && views->start_seq > 0 && after < views->start_seq - 1)
		after = views->start_seq - 1; /* before that, the number meant another unit */
	int rc = store_read(views->with.store, after, unit, max, on_record, &reading, fail);
	if (rc < 0) {
		json_object_put(reading.records);
		return NULL;
	}
	*last = reading.last;
	return reading.records;
}

struct json_object *view_records(const struct views *views, uint64_t after, uint32_t unit, size_t max, uint64_t *last, struct fail *fail)
{
	return records_read(views, after, unit, max, 0, last, fail);
}

/* What was decided last may not be on the disk yet: the last ones that are, are looked for a little before. */
static struct json_object *records_last(const struct views *views, size_t n, uint64_t *last, struct fail *fail)
{
	uint64_t seq = engine_seq(views->with.engine);
	size_t keep = n < LOG_DEFAULT ? n : LOG_DEFAULT; /* a reply stays below 1 MB */
	return records_read(views, seq > keep + LOG_UNWRITTEN ? seq - keep - LOG_UNWRITTEN : 0, RECORD_NO_UNIT, STORE_READ_MAX, keep, last, fail);
}

static void log_follow(struct views *views, struct control_call *call, uint64_t last, uint32_t unit)
{
	struct follower *follower = view_follow(views, call, FOLLOW_LOG);
	follower->seq = last;
	follower->unit = unit;
}

void view_log(struct views *views, struct control_call *call)
{
	struct json_object *args = control_call_args(call);
	const char *name = view_arg(call, "unit");
	uint32_t unit = RECORD_NO_UNIT;
	int64_t since = 0, limit = LOG_DEFAULT;
	struct fail fail;
	if (name != NULL && !view_find_unit(views, call, name, &unit))
		return;
	int has_since = json_get_int(args, "since", 0, INT64_MAX, &since, &fail);
	if (has_since < 0) {
		view_bad(call, "since", "%s", fail.text);
		return;
	}
	int has_limit = json_get_int(args, "limit", 1, LOG_MAX, &limit, &fail);
	if (has_limit < 0) {
		view_bad(call, "limit", "%s", fail.text);
		return;
	}
	/* Who names a limit and no beginning wants the last ones. */
	uint64_t last = 0;
	bool tail = has_since == 1 && has_limit == 0 && unit == RECORD_NO_UNIT;
	struct json_object *records = tail ? records_last(views, (size_t)limit, &last, &fail)
		: view_records(views, (uint64_t)since, unit, (size_t)limit, &last, &fail);
	if (records == NULL) {
		control_error_text(call, "Refused", fail.text);
		return;
	}
	bool more = control_call_wants_more(call);
	if (more)
		log_follow(views, call, last, unit);
	struct json_object *reply = json_object_new_object();
	json_add(reply, "records", records);
	control_reply(call, reply, more);
}

/* ---- Explain ---- */

static void add_string(struct json_object *array, const char *format, ...) printf_like(2, 3);

static void add_string(struct json_object *array, const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	char *clean = view_clean(text, VIEWS_TEXT_MAX);
	json_array_add_str(array, clean);
	free(clean);
	free(text);
}

struct story {
	struct reading reading;
	char *acted[EVIDENCE_MAX]; /* owned; a ring: what actions said */
	size_t n_acted;
	char *intent;              /* owned: the last action as it was sent */
	char *output;              /* owned: what the last one that failed printed; NULL: nothing, or its step is done by now */
	uint16_t output_step;
};

static int on_story(void *arg, const struct record *rec)
{
	struct story *story = arg;
	(void)on_record(&story->reading, rec);
	if (is_of(&story->reading, rec) && rec->kind == RECORD_STEP && rec->dir == DIR_DO && rec->step == story->output_step) {
		free(story->output); /* it got over it */
		story->output = NULL;
	}
	if (!is_of(&story->reading, rec) || rec->text == NULL)
		return 0;
	const struct rollout *r = story->reading.rollout;
	const struct stage *stage = rollout_stage(r, &r->units[story->reading.unit]);
	const char *step = rec->step < stage->n_steps ? stage->steps[rec->step].name : "?";
	if (rec->kind == RECORD_INTENT) {
		free(story->intent);
		story->intent = memory_need(strdup(rec->text));
	} else if (rec->kind == RECORD_OUTPUT) {
		free(story->output);
		story->output = memory_need(strdup(rec->text));
		if (story->n_acted > 0) { /* that has only its end, and the report is told by its lines */
			char *said = story->acted[(story->n_acted - 1) % EVIDENCE_MAX];
			said[strcspn(said, "\n")] = '\0';
		}
		story->output_step = rec->step;
	} else if (rec->kind == RECORD_ACTED || rec->kind == RECORD_STAYS || rec->kind == RECORD_RETRY) {
		char **slot = &story->acted[story->n_acted++ % EVIDENCE_MAX];
		free(*slot);
		if (asprintf(slot, "%s attempt %u: %s", step, rec->attempt, rec->text) < 0)
			abort();
	}
	return 0;
}

static int story_read(struct story *story, struct fail *fail)
{
	const struct views *views = story->reading.views;
	uint64_t after = views->start_seq > 0 ? views->start_seq - 1 : 0;
	for (int page = 0; page < 64; page++) {
		story->reading.last = 0;
		int rc = store_read(views->with.store, after, story->reading.unit, STORE_READ_MAX, on_story, story, fail);
		if (rc != 0 || story->reading.last == 0)
			return rc;
		after = story->reading.last;
	}
	return 0;
}

/* What counts, and what does not. */
static void add_tries(struct json_object *array, const struct unit *u, const struct step *step)
{
	unsigned tries = u->attempt - u->lost - u->spared, of = explain_tries(u, step);
	char lost[120] = "";
	if (u->lost > 0)
		(void)snprintf(lost, sizeof(lost), "; %u lost, and not counted", u->lost);
	size_t len = strlen(lost);
	if (u->spared > 0)
		(void)snprintf(lost + len, sizeof(lost) - len, "; %u more by on_failure", u->spared);
	if (tries <= of)
		add_string(array, "%s: try %u of %u%s", step->name, tries, of, lost);
	else
		add_string(array, "%s: try %u, by a person's word%s", step->name, tries, lost);
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

/* The end of the report: all of it is in the log. */
static void add_output(struct json_object *array, const struct story *story, uint32_t unit)
{
	const struct rollout *r = story->reading.rollout;
	const struct stage *stage = rollout_stage(r, &r->units[unit]);
	const char *name = story->output_step < stage->n_steps ? stage->steps[story->output_step].name : "?", *text = story->output;
	size_t lines = 0;
	for (const char *line = text; *line != '\0'; line = next_line(line))
		lines++;
	size_t left_out = lines > OUTPUT_LINES ? lines - OUTPUT_LINES : 0;
	if (left_out > 0)
		add_string(array, "%s printed (the last %d of %zu lines that are kept, all: upgctl log):", name, OUTPUT_LINES, lines);
	else
		add_string(array, "%s printed:", name);
	for (const char *line = text; *line != '\0'; line = next_line(line))
		if (left_out == 0 || left_out-- == 0)
			add_string(array, "  %.*s", (int)strcspn(line, "\n"), line);
}

static struct json_object *evidence(const struct story *story, uint32_t unit)
{
	struct json_object *array = json_object_new_array();
	size_t from = story->n_acted > EVIDENCE_MAX ? story->n_acted - EVIDENCE_MAX : 0;
	for (size_t i = from; i < story->n_acted; i++)
		add_string(array, "%s", story->acted[i % EVIDENCE_MAX]);
	const struct rollout *r = story->reading.rollout;
	const struct unit *u = &r->units[unit];
	const struct step *step = rollout_step(r, u);
	if (step != NULL && u->attempt > 1 && !unit_is_settled(u->state))
		add_tries(array, u, step);
	if (story->output != NULL && u->state != UNIT_DONE)
		add_output(array, story, unit);
	char way_back[200];
	if ((u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && view_way_back(r, way_back, sizeof(way_back)) != NULL)
		add_string(array, "%s", way_back);
	const struct executor *executor = story->reading.views->with.executor;
	const char *captures = executor != NULL ? executor_captures(executor, unit) : NULL;
	if (captures != NULL)
		add_string(array, "before: %s", captures);
	return array;
}

static void add_verb(struct json_object *array, const struct rollout *r, uint32_t unit, enum unit_event event, const char *verb, const char *what)
{
	char name[300];
	enum unit_state to;
	if (unit_next((enum unit_state)r->units[unit].state, event, &to))
		add_string(array, "upgctl %s %s    %s", verb, rollout_unit_name(r, unit, name, sizeof(name)), what);
}

static struct json_object *commands(const struct story *story, const struct rollout *r, uint32_t unit)
{
	char how[400];
	struct json_object *array = json_object_new_array();
	const struct unit *u = &r->units[unit];
	struct why why = view_why_of(r, unit), wide = admit_rollout(r, true);
	bool tenants = r->rows[u->row].set == r->profile->set_tenants;
	bool down = (u->flags & UNIT_WINDOW) != 0, failed = u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN || u->state == UNIT_PARKED;
	if (rollout_is_over(r)) {
		if (why.kind != WHY_NONE)
			add_string(array, "%s", why_how(r, unit, &why, how, sizeof(how)));
		add_string(array, "upgctl start    the rollout is over: a new one takes up what is not done");
		return array;
	}
	if (r->back == BACK_REST) {
		add_string(array, "upgctl retry %s    once it is mended: all of it begins anew", rollout_unit_name(r, r->back_unit, how, sizeof(how)));
		add_string(array, "upgctl abort %u    ends it on the old version", r->id);
		return array;
	}
	if (why.kind != WHY_NONE && why_how(r, unit, &why, how, sizeof(how))[0] != '\0')
		add_string(array, "%s", how);
	add_verb(array, r, unit, UNIT_EV_RETRY, "retry", "after mending the cause");
	add_verb(array, r, unit, UNIT_EV_PARK, "park", !down ? "go on without it" : tenants ? "go on without it; its tenants stay DOWN" : "go on without it; its window stays open");
	if (!rollout_goes_back(r))
		add_verb(array, r, unit, UNIT_EV_SKIP, "skip", "leave it out");
	if (fence_is_legal(r, unit, how, sizeof(how)) && !r->facts.rows[u->row].up)
		add_string(array, "upgctl fence %s    keep its node out until it is back, and go on", rollout_unit_name(r, unit, how, sizeof(how)));
	if (failed && wide.kind == WHY_FAILED && !rollout_goes_back(r))
		add_string(array, "upgctl resume    go on around failed units");
	if (failed && story->intent != NULL)
		add_string(array, "by hand: %s", story->intent);
	return array;
}

void view_explain(struct views *views, struct control_call *call)
{
	uint32_t unit;
	struct fail fail;
	const char *name = view_arg(call, "unit");
	if (!view_find_unit(views, call, name, &unit))
		return;
	const struct rollout *r = engine_rollout(views->with.engine);
	struct story story = { .reading = { .views = views, .rollout = r, .unit = unit, .records = json_object_new_array(), .keep = EXPLAIN_RECORDS } };
	if (story_read(&story, &fail) < 0) {
		json_object_put(story.reading.records);
		control_error_text(call, "Refused", fail.text);
	} else {
		struct json_object *reply = json_object_new_object();
		json_add(reply, "unit", view_unit(views, r, unit));
		json_add(reply, "chain", view_chain(views, r, unit));
		json_add(reply, "evidence", evidence(&story, unit));
		json_add(reply, "commands", commands(&story, r, unit));
		json_add(reply, "records", story.reading.records);
		control_reply(call, reply, false);
	}
	for (size_t i = 0; i < EVIDENCE_MAX; i++)
		free(story.acted[i]);
	free(story.intent);
	free(story.output);
}
