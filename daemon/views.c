/* SPDX-License-Identifier: MIT */
#include "views.h"

#include "views_parts.h"

#include "core/explain.h"
#include "io/conf.h"
#include "io/loop.h"
#include "memory.h"

#include <stdarg.h>
#include <string.h>

enum { NEAREST_MAX = 4000 };

static const struct {
	const char *method;
	view_method_fn *fn;
} methods[] = {
	{ "Status", view_status }, { "ListUnits", view_list }, { "Explain", view_explain }, { "Log", view_log }, { "Check", view_check },
	{ "Plan", view_plan }, { "Start", view_start }, { "Pause", view_pause }, { "Resume", view_resume }, { "Approve", view_approve },
	{ "Skip", view_skip }, { "Park", view_park }, { "Retry", view_retry }, { "Fence", view_fence }, { "Abort", view_abort }, { "History", view_history },
	{ "Whoami", view_whoami },
};

void views_handle(void *arg, struct control_call *call)
{
	struct views *views = arg;
	const char *name = control_call_method(call)->name;
	if (control_call_method(call)->mutating && view_request_is_settled(views, call))
		return;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].method, name) == 0) {
			methods[i].fn(views, call);
			return;
		}
	}
	control_error_text(call, "Refused", "this upgd does not know how to do that");
}

/* ---- followers ---- */

static void on_gone(void *arg, struct control_call *call)
{
	struct follower *gone = arg;
	(void)call;
	for (struct follower **at = &gone->views->followers; *at != NULL; at = &(*at)->next) {
		if (*at == gone) {
			*at = gone->next;
			free(gone);
			return;
		}
	}
}

struct follower *view_follow(struct views *views, struct control_call *call, enum follow_kind kind)
{
	struct follower *follower = memory_need(calloc(1, sizeof(*follower)));
	*follower = (struct follower){ .next = views->followers, .views = views, .call = call, .kind = kind, .unit = RECORD_NO_UNIT };
	views->followers = follower;
	control_call_on_gone(call, on_gone, follower);
	loop_timer_set(views->timer, VIEWS_FOLLOW_MS);
	return follower;
}

/* Status without its first line, where the time runs. */
static char *shown_of(struct json_object *status)
{
	struct json_object *first = NULL;
	(void)json_object_object_get_ex(status, "first", &first);
	json_object_get(first);
	json_object_object_del(status, "first");
	char *text = memory_need(strdup(json_text(status, NULL)));
	json_add(status, "first", first);
	return text;
}

static void send_status(struct views *views)
{
	struct json_object *status = view_status_reply(views);
	char *shown = shown_of(status);
	bool changed = views->shown == NULL || strcmp(views->shown, shown) != 0;
	free(views->shown);
	views->shown = shown;
	for (struct follower *f = views->followers, *next; changed && f != NULL; f = next) {
		next = f->next; /* a slow one may be dropped by the reply */
		if (f->kind == FOLLOW_STATUS)
			control_reply(f->call, json_object_get(status), true);
	}
	json_object_put(status);
}

/* True if there is more than fitted on the page. */
static bool send_log(struct views *views, struct follower *f)
{
	struct fail fail;
	uint64_t last = f->seq;
	struct json_object *records = view_records(views, f->seq, f->unit, 200, &last, &fail);
	if (records == NULL)
		return false; /* the journal's own trouble is told by its writer */
	bool more = last != f->seq;
	f->seq = last;
	if (json_object_array_length(records) == 0) {
		json_object_put(records);
		return more;
	}
	struct json_object *reply = json_object_new_object();
	json_add(reply, "records", records);
	control_reply(f->call, reply, true);
	return more;
}

static void on_timer(void *arg)
{
	struct views *views = arg;
	bool status = false;
	views->dirty = false;
	for (struct follower *f = views->followers, *next; f != NULL; f = next) {
		next = f->next;
		status |= f->kind == FOLLOW_STATUS;
		if (f->kind == FOLLOW_LOG)
			views->dirty |= send_log(views, f);
	}
	if (status)
		send_status(views);
	if (views->followers != NULL)
		loop_timer_set(views->timer, views->dirty ? VIEWS_FOLLOW_MS : VIEWS_LOOK_MS);
}

void views_changed(struct views *views)
{
	if (views->dirty || views->followers == NULL || views->stopped)
		return;
	views->dirty = true;
	loop_timer_set(views->timer, VIEWS_FOLLOW_MS);
}

/* ---- what is kept beside the state ---- */

static void past_done(struct past *past)
{
	free(past->profile);
	free(past->actor);
	free(past->text);
	free(past->params);
}

static char *params_text(const struct profile *profile)
{
	char *text = NULL;
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));
	for (size_t i = 0; i < profile->n_params; i++)
		if (profile->params[i].value != NULL)
			(void)fprintf(out, "%s=%s\n", profile->params[i].name, profile->params[i].value);
	(void)fclose(out);
	return text;
}

static void note_start(struct views *views, const struct rollout *r, const struct record *rec)
{
	for (uint32_t i = 0; i < views->n_reasons; i++) {
		free(views->reasons[i]);
		views->reasons[i] = NULL;
	}
	views->start_seq = rec->seq;
	struct past *past = &views->past[views->n_past++ % VIEWS_HISTORY];
	past_done(past);
	*past = (struct past){ .id = (uint32_t)rec->value, .state = ROLLOUT_RUNNING, .started_ms = rec->at_ms,
		.profile = memory_need(strdup(r->profile->name)), .actor = memory_need(strdup(rec->actor != NULL ? rec->actor : "upgd")),
		.params = params_text(r->profile) };
}

static void note_end(struct views *views, const struct record *rec)
{
	if (views->n_past == 0)
		return;
	struct past *past = &views->past[(views->n_past - 1) % VIEWS_HISTORY];
	past->state = (uint8_t)rec->code;
	past->ended_ms = rec->at_ms;
	free(past->text);
	past->text = rec->text != NULL ? memory_need(strdup(rec->text)) : NULL;
}

static char **reason_slot(struct views *views, uint32_t unit)
{
	if (unit >= views->n_reasons) {
		uint32_t n = unit + 64;
		views->reasons = memory_need(reallocarray(views->reasons, n, sizeof(char *)));
		memset(views->reasons + views->n_reasons, 0, (n - views->n_reasons) * sizeof(char *));
		views->n_reasons = n;
	}
	return &views->reasons[unit];
}

/* The cause of a failure outlives what is said when it is undone or parked. */
static void note_unit(struct views *views, const struct record *rec)
{
	char **slot = reason_slot(views, rec->unit), *old = *slot, *new = NULL;
	bool keeps = old != NULL && (rec->code == UNIT_PARKED || (rec->code == UNIT_FAILED && rec->dir == DIR_UNDO));
	if (rec->text == NULL) {
		if (!keeps) {
			free(old);
			*slot = NULL;
		}
		return;
	}
	if (keeps && strstr(old, rec->text) != NULL)
		return;
	/* its first line: what a program printed is evidence */
	if (asprintf(&new, "%s%s%.*s", keeps ? old : "", keeps ? "; " : "", (int)strcspn(rec->text, "\n"), rec->text) < 0)
		abort();
	free(old);
	*slot = new;
}

void views_applied(struct views *views, const struct rollout *r, const struct record *rec)
{
	bool of_unit = r != NULL && rec->unit < r->n_units;
	if (rec->kind == RECORD_START && r != NULL)
		note_start(views, r, rec);
	else if (rec->kind == RECORD_END)
		note_end(views, rec);
	else if (of_unit && (rec->kind == RECORD_UNIT || rec->kind == RECORD_RETRY))
		note_unit(views, rec);
	else if (of_unit && rec->kind == RECORD_STEP && views->n_reasons > rec->unit && rec->dir == DIR_DO) {
		free(views->reasons[rec->unit]); /* it got over it */
		views->reasons[rec->unit] = NULL;
	}
	views_changed(views);
}

/* ---- life ---- */

struct views *views_new(const struct views_options *options)
{
	struct views *views = memory_need(calloc(1, sizeof(*views)));
	views->with = *options;
	views->timer = loop_timer_new(options->loop, on_timer, views);
	return views;
}

void views_stop(struct views *views)
{
	if (views == NULL || views->stopped)
		return;
	views->stopped = true;
	loop_timer_clear(views->timer);
	view_jobs_stop(views);
}

void views_free(struct views *views)
{
	if (views == NULL)
		return;
	views_stop(views);
	loop_timer_free(views->timer);
	for (uint32_t i = 0; i < views->n_reasons; i++)
		free(views->reasons[i]);
	free(views->reasons);
	for (size_t i = 0; i < VIEWS_HISTORY; i++)
		past_done(&views->past[i]);
	while (views->followers != NULL) {
		struct follower *f = views->followers;
		views->followers = f->next;
		free(f);
	}
	free(views->shown);
	free(views);
}

/* ---- what methods share ---- */

const char *view_arg(struct control_call *call, const char *name)
{
	const char *text = NULL;
	(void)!json_get_str(control_call_args(call), name, &text, NULL);
	return text;
}

bool view_flag(struct control_call *call, const char *name)
{
	bool flag = false;
	(void)!json_get_bool(control_call_args(call), name, &flag, NULL);
	return flag;
}

void view_bad(struct control_call *call, const char *parameter, const char *format, ...)
{
	char text[600];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	struct json_object *params = json_object_new_object();
	json_add_str(params, "parameter", parameter);
	json_add_str(params, "text", text);
	control_error(call, "BadParameter", params);
}

bool view_has_rollout(struct views *views, struct control_call *call)
{
	const struct rollout *r = engine_rollout(views->with.engine);
	if (r != NULL && r->state != ROLLOUT_PLANNING)
		return true;
	control_error_text(call, "NoRollout", "there is no rollout yet: upgctl start begins one");
	return false;
}

/* Units of that row, or the one whose name is nearest. */
static void nearest(const struct rollout *r, const char *name, char *buf, size_t size)
{
	char one[300];
	size_t len = 0, n = 0;
	const char *slash = strchr(name, '/'), *row = slash != NULL ? slash + 1 : name;
	buf[0] = '\0';
	for (uint32_t i = 0; i < r->n_units && n < 4 && row[0] != '\0'; i++) {
		if (strcmp(r->rows[r->units[i].row].name, row) != 0)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", n++ > 0 ? ", " : "", rollout_unit_name(r, i, one, sizeof(one)));
		if (len >= size)
			return;
	}
	if (n > 0)
		return;
	uint32_t max = r->n_units < NEAREST_MAX ? r->n_units : NEAREST_MAX;
	char **names = memory_need(calloc(max + 1, sizeof(char *)));
	for (uint32_t i = 0; i < max; i++)
		names[i] = memory_need(strdup(rollout_unit_name(r, i, one, sizeof(one))));
	const char *found = conf_nearest(name, (const char *const *)names);
	if (found != NULL)
		(void)snprintf(buf, size, "%s", found);
	for (uint32_t i = 0; i < max; i++)
		free(names[i]);
	free(names);
}

bool view_find_unit(struct views *views, struct control_call *call, const char *name, uint32_t *out_unit)
{
	char near[700], text[1100];
	if (!view_has_rollout(views, call))
		return false;
	const struct rollout *r = engine_rollout(views->with.engine);
	*out_unit = rollout_unit(r, name);
	if (*out_unit != RECORD_NO_UNIT)
		return true;
	nearest(r, name, near, sizeof(near));
	(void)snprintf(text, sizeof(text), "there is no unit %.200s%s%s%s: upgctl list shows all", name, near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
	struct json_object *params = json_object_new_object();
	json_add_str(params, "unit", name);
	json_add_str(params, "text", text);
	control_error(call, "NoSuchUnit", params);
	return false;
}
