/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of views share; for views*.c only. */

#include "control.h"
#include "core/decide.h"
#include "engine.h"
#include "proto/json.h"
#include "views.h"

enum {
	VIEWS_FEW = 20,            /* units and holds that status shows */
	VIEWS_PAGE_BYTES = 512000, /* a page of records or units ends here: a reply stays below 1 MB */
	VIEWS_TEXT_MAX = 2000,     /* of one record's text as it is shown */
	VIEWS_HISTORY = 100,
	VIEWS_FOLLOW_MS = 200,     /* at most five replies a second */
	VIEWS_LOOK_MS = 1000,      /* what changes without a record is looked for so often */
};

struct past {
	uint32_t id;
	uint8_t state;
	int64_t started_ms, ended_ms;
	char *profile, *actor, *text, *params; /* owned; params: "key=value\n" lines; text may be NULL */
};

enum follow_kind { FOLLOW_STATUS, FOLLOW_LOG };

struct follower {
	struct follower *next;
	struct views *views;
	struct control_call *call; /* borrowed: its end is told by on_gone */
	enum follow_kind kind;
	uint64_t seq;              /* LOG: the last record sent */
	uint32_t unit;             /* LOG: or RECORD_NO_UNIT */
};

struct view_job;

struct views {
	struct views_options with;
	char **reasons;     /* by unit; owned */
	uint32_t n_reasons;
	uint64_t start_seq; /* of the rollout in memory; 0: none */
	struct past past[VIEWS_HISTORY]; /* a ring */
	size_t n_past;      /* ever */
	struct follower *followers;
	struct loop_timer *timer;
	bool dirty, stopped;
	char *shown;        /* status as last sent, without its first line */
	struct view_job *jobs;
	unsigned n_jobs;
};

/* ---- JSON of the interface's types (views_json.c) ---- */

struct json_object *view_counts(const struct rollout *r, int stage); /* -1: all */
struct json_object *view_stage(const struct rollout *r, uint8_t stage);
struct json_object *view_unit(const struct views *views, const struct rollout *r, uint32_t unit);
struct json_object *view_record(const struct views *views, const struct rollout *r, const struct record *record);
struct json_object *view_past(const struct past *past);
/* "paused" too. */
const char *view_state_word(const struct rollout *r);
/* Why it stands where it stands; "" if it goes on. A waiting unit that its stage holds shows the stage's reason. */
const char *view_why(const struct views *views, const struct rollout *r, uint32_t unit, char *buf, size_t size);
/* why_text() with what a person is asked as it is meant: its parameters have their values. */
const char *view_why_text(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size);
struct why view_why_of(const struct rollout *r, uint32_t unit);
/* "the way back takes about 12 min; decide by 23:18 to be back by 23:30"; NULL: there is nothing to undo, or no way back. */
const char *view_way_back(const struct rollout *r, char *buf, size_t size);
/* A number with commas. */
const char *view_number(int64_t number, char buf[static 32]);
const char *view_span(int64_t ms, char buf[static 32]);
/* One line, printable, at most max bytes. */
char *view_clean(const char *text, size_t max);

/* ---- holds (views_holds.c) ---- */

/* An array of Hold, weightiest first, at most VIEWS_FEW; *first: a copy of the weightiest one's sentence, owned by the caller, or NULL. */
struct json_object *view_holds(const struct views *views, const struct rollout *r, char **first);
/* Those that hold this one unit, widest first. */
struct json_object *view_chain(const struct views *views, const struct rollout *r, uint32_t unit);
/* Something goes on by itself right now. */
bool view_is_moving(const struct rollout *r);
/* Running and not held itself. */
bool view_unit_moves(const struct rollout *r, uint32_t unit);

/* ---- methods ---- */

typedef void view_method_fn(struct views *views, struct control_call *call);

view_method_fn view_status, view_list, view_explain, view_log, view_check, view_plan, view_start, view_pause, view_resume, view_approve,
	view_skip, view_park, view_retry, view_fence, view_abort, view_history, view_whoami;

struct json_object *view_status_reply(const struct views *views);
/* Records after seq for a Log reply: *last is moved on. A new array; NULL with fail. */
struct json_object *view_records(const struct views *views, uint64_t after, uint32_t unit, size_t max, uint64_t *last, struct fail *fail);
struct follower *view_follow(struct views *views, struct control_call *call, enum follow_kind kind);
void view_jobs_stop(struct views *views);

/* How the caller names this request. */
struct request view_request(struct control_call *call);
/* True: it was carried out before, or its name was used for something else; the call will be answered. */
bool view_request_is_settled(struct views *views, struct control_call *call);
/* It is as asked for without us: said when what made it so is on disk. */
void view_tell_done(struct views *views, struct control_call *call, uint32_t rollout, const char *text);
void view_start_reply(struct control_call *call, uint32_t id, bool already, const char *text, const char *extra);

/* Helpers of methods; false: the call is answered with an error. */
bool view_find_unit(struct views *views, struct control_call *call, const char *name, uint32_t *out_unit);
bool view_has_rollout(struct views *views, struct control_call *call);
void view_bad(struct control_call *call, const char *parameter, const char *format, ...) printf_like(3, 4);
const char *view_arg(struct control_call *call, const char *name); /* NULL: absent */
bool view_flag(struct control_call *call, const char *name);
