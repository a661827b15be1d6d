/* SPDX-License-Identifier: MIT */
/*
 * Check, Plan and Start begin alike: the profile with its parameters (views_params.c), then one look at the whole site, which takes seconds;
 * only then is there something to say. A job holds the call meanwhile.
 */
#include "views_job.h"

#include "config.h"
#include "discover.h"
#include "io/loop.h"
#include "memory.h"
#include "params_ask.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { JOBS_MAX = 4 };

void view_job_free(struct view_job *job)
{
	for (struct view_job **at = &job->views->jobs; *at != NULL; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			job->views->n_jobs--;
			break;
		}
	}
	for (size_t i = 0; i < job->n_params; i++)
		free(job->params[i]);
	for (size_t i = 0; i < job->n_said; i++)
		free(job->said[i]);
	profile_free(job->early);
	profile_free(job->profile);
	free(job->extra);
	free(job);
}

void view_jobs_stop(struct views *views)
{
	while (views->jobs != NULL) {
		struct view_job *job = views->jobs;
		params_ask_cancel(job->asking);
		if (job->discovery != NULL)
			discover_cancel(job->discovery);
		if (job->planner != NULL)
			view_plan_cancel(job->planner);
		control_error_text(job->call, "Busy", "upgd is ending");
		view_job_free(job);
	}
}

/* ---- Start ---- */

void view_start_reply(struct control_call *call, uint32_t id, bool already, const char *text, const char *extra)
{
	struct json_object *reply = json_object_new_object();
	char *whole;
	if (asprintf(&whole, "%s%s%s", text, extra != NULL ? "; " : "", extra != NULL ? extra : "") < 0)
		abort();
	json_add_int(reply, "rollout", id);
	json_add_bool(reply, "already", already);
	json_add_str(reply, "text", whole);
	control_reply(call, reply, false);
	free(whole);
}

static bool same_params(const struct view_job *job)
{
	const struct profile *frozen = engine_profile(job->views->with.engine);
	if (frozen == NULL || strcmp(frozen->name, job->profile->name) != 0)
		return false;
	for (size_t i = 0; i < job->profile->n_params; i++) {
		const char *was = engine_param(job->views->with.engine, job->profile->params[i].name), *is = job->profile->params[i].value;
		if ((was == NULL) != (is == NULL) || (was != NULL && strcmp(was, is) != 0))
			return false;
	}
	return true;
}

static bool is_left_out(const struct rollout *r, const char *row)
{
	bool found = false;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (!rollout_stage(r, u)->has_pivot || strcmp(r->rows[u->row].name, row) != 0)
			continue;
		found = true;
		if (u->state != UNIT_SKIPPED)
			return false;
	}
	return found;
}

/* What this start asks for beside the target and the rollout at hand was not started with; false: nothing. */
static bool asks_for_more(const struct view_job *job, const struct rollout *r, char *text, size_t size)
{
	struct json_object *skip = NULL;
	const char *until = view_arg(job->call, "until"), *on_failure = view_arg(job->call, "on_failure");
	(void)!json_get_array(control_call_args(job->call), "skip", &skip, NULL);
	for (size_t i = 0; skip != NULL && i < json_object_array_length(skip); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(skip, i));
		if (name != NULL && !is_left_out(r, name)) {
			(void)snprintf(text, size, "rollout %u runs and does not leave out %.80s: upgctl skip STAGE/%.80s does, while it is waiting", r->id, name, name);
			return true;
		}
	}
	struct json_object *only = NULL;
	(void)!json_get_array(control_call_args(job->call), "only", &only, NULL);
	bool other_until = until != NULL && profile_stage(r->profile, until) != r->until_stage &&
		(r->until_unit == RECORD_NO_UNIT || rollout_unit(r, until) != r->until_unit);
	bool other_back = job->back_by_ms != 0 && job->back_by_ms != r->back_by_ms;
	bool other_failure = on_failure != NULL && (strcmp(on_failure, "continue") == 0) != r->on_failure_continue;
	if (only == NULL && view_arg(job->call, "skip_after") == NULL && !other_until && !other_failure && !other_back)
		return false;
	(void)snprintf(text, size, "rollout %u runs already, and %s is taken at its start only; pause, skip and park are for one that runs", r->id,
		only != NULL ? "--only" : other_until ? "--until" : other_failure ? "--on-failure" : other_back ? "--back-by" : "--after");
	return true;
}

/* True: nothing is to be started, and the call is answered. */
static bool start_is_settled(struct view_job *job)
{
	struct engine *engine = job->views->with.engine;
	const struct rollout *r = engine_rollout(engine);
	char text[300];
	if (view_request_is_settled(job->views, job->call))
		return true; /* it came twice, and the first one has started it while this one looked at the site */
	if (r == NULL || rollout_is_over(r))
		return false;
	if (same_params(job) && asks_for_more(job, r, text, sizeof(text))) {
		control_error_text(job->call, "Refused", text);
		return true;
	}
	if (same_params(job)) {
		(void)snprintf(text, sizeof(text), "rollout %u to the same target is %s already", r->id, view_state_word(r));
		view_tell_done(job->views, job->call, r->id, text);
		return true;
	}
	(void)snprintf(text, sizeof(text), "rollout %u with other parameters is %s: watch it to its end, or abort it first: upgctl abort %u", r->id,
		view_state_word(r), r->id);
	control_error_text(job->call, "Refused", text);
	return true;
}

/* "name=..." is the first line of every row. */
static char *row_name(const struct engine_row *row)
{
	struct row as = { .columns = (char *)(uintptr_t)row->columns };
	char buf[256];
	return memory_need(strdup(row_column(&as, "name", buf, sizeof(buf)) ? buf : ""));
}

struct names { /* of rows, in their order; and lists made of them */
	char **items;      /* owned */
	size_t n;
	const char **only, **skip; /* NULL-terminated; NULL: not given; borrowed strings */
	size_t n_skip;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	free(names->only);
	free(names->skip);
}

/* NULL-terminated array of the names listed in the call, with room for `more`; every one must be a row's. */
static bool list_given(struct view_job *job, const struct names *names, const char *key, size_t more, const char ***out, size_t *out_n)
{
	struct json_object *array = NULL;
	char missing[400] = "";
	size_t len = 0;
	(void)!json_get_array(control_call_args(job->call), key, &array, NULL);
	size_t n = array != NULL ? json_object_array_length(array) : 0;
	*out_n = n;
	if (array == NULL && more == 0)
		return true;
	*out = memory_need(calloc(n + more + 1, sizeof(char *)));
	for (size_t i = 0; i < n; i++) {
		const char *name = (*out)[i] = json_object_get_string(json_object_array_get_idx(array, i));
		size_t k = 0;
		while (k < names->n && strcmp(names->items[k], name) != 0)
			k++;
		if (k == names->n && len < sizeof(missing))
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s", len > 0 ? ", " : "", name);
	}
	if (len > 0)
		view_bad(job->call, key, "nothing here is called %s", missing);
	return len == 0;
}

/* ---- OX's -m: its tool sorts by the number behind the last underscore, and goes on behind the named schema ---- */

struct numbered {
	const char *name;
	const struct engine_row *row;
	int64_t number;
};

static int by_number(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int64_t number_of(const char *name)
{
	const char *last = strrchr(name, '_');
	char *end;
	int64_t number = last != NULL ? strtoll(last + 1, &end, 10) : -1;
	return last == NULL || end == last + 1 || *end != '\0' ? INT64_MAX : number;
}

static char *skipped_text(const struct numbered *list, size_t n, const char *after)
{
	char *text = NULL;
	size_t size, listed = 0, n_old = 0;
	FILE *out = memory_need(open_memstream(&text, &size));
	(void)fprintf(out, "%zu skipped, up to and with %s", n, after);
	for (size_t i = 0; i < n; i++)
		n_old += list[i].row->class_ != CLASS_NEW;
	if (n_old > 0)
		(void)fprintf(out, "; %zu of them are NOT observed as new:", n_old);
	for (size_t i = 0; i < n && listed < VIEW_NAMED_MAX; i++)
		if (list[i].row->class_ != CLASS_NEW && ++listed > 0)
			(void)fprintf(out, " %s", list[i].name);
	if (n_old > listed)
		(void)fputs(" ...", out);
	(void)fclose(out);
	return text;
}

static bool skip_after(struct view_job *job, const struct discover_result *result, struct names *names)
{
	const char *after = view_arg(job->call, "skip_after");
	size_t n = 0, at = 0;
	if (after == NULL)
		return true;
	struct numbered *list = memory_need(calloc(result->n_rows + 1, sizeof(*list)));
	for (size_t i = 0; i < result->n_rows; i++)
		if (result->rows[i].set == job->profile->set_tenants)
			list[n++] = (struct numbered){ .name = names->items[i], .row = &result->rows[i], .number = number_of(names->items[i]) };
	qsort(list, n, sizeof(*list), by_number);
	while (at < n && strcmp(list[at].name, after) != 0)
		at++;
	if (at == n)
		view_bad(job->call, "skip_after", "there is no schema %.100s: nothing was started", after);
	for (size_t i = 0; at < n && i <= at; i++)
		names->skip[names->n_skip++] = list[i].name;
	if (at < n)
		job->extra = skipped_text(list, at + 1, after);
	free(list);
	return at < n;
}

static bool until_exists(const struct view_job *job, const struct discover_result *result, const struct names *names, const char *until)
{
	char stage[256];
	if (until == NULL || profile_stage(job->profile, until) >= 0)
		return true;
	const char *slash = strchr(until, '/');
	(void)snprintf(stage, sizeof(stage), "%.*s", slash != NULL ? (int)(slash - until) : 0, until);
	int index = profile_stage(job->profile, stage);
	for (size_t i = 0; i < names->n && index >= 0; i++)
		if (result->rows[i].set == job->profile->stages[index].set && strcmp(names->items[i], slash + 1) == 0)
			return true;
	view_bad(job->call, "until", "%.200s is no stage of profile %s and no unit", until, job->profile->name);
	return false;
}

static bool names_given(struct view_job *job, const struct discover_result *result, struct names *names)
{
	size_t n;
	names->items = memory_need(calloc(result->n_rows + 1, sizeof(char *)));
	for (; names->n < result->n_rows; names->n++)
		names->items[names->n] = row_name(&result->rows[names->n]);
	bool after = view_arg(job->call, "skip_after") != NULL;
	return list_given(job, names, "only", 0, &names->only, &n) && list_given(job, names, "skip", after ? result->n_rows : 0, &names->skip, &names->n_skip) &&
		skip_after(job, result, names) && until_exists(job, result, names, view_arg(job->call, "until"));
}

static void on_started(void *arg, int refused, const char *answer)
{
	struct view_job *job = arg;
	if (refused != 0)
		control_error_text(job->call, "Refused", answer);
	else
		view_start_reply(job->call, job->id, false, answer, job->extra);
	view_job_free(job);
}

static bool findings_refuse(struct view_job *job, const struct discover_result *result)
{
	char text[1800];
	size_t shown = 0;
	if (result->n_errors == 0)
		return false;
	size_t len = (size_t)snprintf(text, sizeof(text), "%zu errors: ", result->n_errors);
	for (size_t i = 0; i < result->n_findings && shown < VIEW_NAMED_MAX && len < sizeof(text); i++) {
		const struct discover_finding *finding = &result->findings[i];
		if (finding->level == DISCOVER_ERROR)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s: %.160s", shown++ > 0 ? "; " : "", finding->subject, finding->text);
	}
	if (len < sizeof(text))
		(void)snprintf(text + len, sizeof(text) - len, ". upgctl check says all of it, and how to mend it");
	control_error_text(job->call, "Refused", text);
	return true;
}

/* True: the engine has the job now and will answer. */
static bool start_run(struct view_job *job, const struct discover_result *result, const struct names *names)
{
	const char *on_failure = view_arg(job->call, "on_failure");
	struct fail fail = { .text = "" };
	struct engine *engine = job->views->with.engine;
	const struct engine_start start = { .text = job->profile->text, .params = (const char *const *)job->params, .rows = result->rows,
		.n_rows = result->n_rows,
		.flags = (view_flag(job->call, "yes") ? START_APPROVE_ALL : 0u) |
			(on_failure != NULL && strcmp(on_failure, "continue") == 0 ? START_CONTINUE : 0u),
		.until = view_arg(job->call, "until"), .back_by_ms = job->back_by_ms, .only = names->only, .skip = names->skip, .actor = control_call_actor(job->call),
		.reason = view_arg(job->call, "reason"), .request = view_request(job->call) };
	job->id = (job->views->n_past > 0 ? job->views->past[(job->views->n_past - 1) % VIEWS_HISTORY].id : 0) + 1;
	if (engine_start(engine, &start, on_started, job, &fail) == 0)
		return true;
	control_error_text(job->call, "Refused", fail.text);
	return false;
}

/* True: somebody else answers and frees the job. */
static bool start_go(struct view_job *job, const struct discover_result *result)
{
	struct names names = { 0 };
	bool gone = false;
	if (!start_is_settled(job) && !findings_refuse(job, result) && names_given(job, result, &names))
		gone = start_run(job, result, &names);
	names_done(&names);
	return gone;
}

/* ---- */

static void on_discovered(void *arg, const struct discover_result *result)
{
	struct view_job *job = arg;
	job->discovery = NULL;
	if (job->kind == JOB_START) {
		if (start_go(job, result))
			return;
	} else if (job->kind == JOB_PLAN) {
		view_plan_run(job, result);
		return;
	} else {
		view_check_reply(job, result);
	}
	view_job_free(job);
}

/* With its parameters known. */
static void look(struct view_job *job)
{
	if ((job->kind == JOB_PLAN && !view_plan_adjust(job)) || (job->kind == JOB_START && start_is_settled(job)))
		view_job_free(job);
	else
		job->discovery = discover_start(job->views->with.site, job->profile, job->kind != JOB_START, on_discovered, job);
}

/* "23:30": the next such moment of the local day, wall ms; 0: it is no time. */
static int64_t next_moment(const char *text)
{
	time_t now = (time_t)(loop_wall_ms() / 1000);
	struct tm tm;
	bool shape = strlen(text) == 5 && isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1]) && text[2] == ':' &&
		isdigit((unsigned char)text[3]) && isdigit((unsigned char)text[4]);
	int hour = shape ? (text[0] - '0') * 10 + text[1] - '0' : 24, minute = shape ? (text[3] - '0') * 10 + text[4] - '0' : 60;
	if (hour > 23 || minute > 59 || localtime_r(&now, &tm) == NULL)
		return 0;
	bool tomorrow = hour * 60 + minute <= tm.tm_hour * 60 + tm.tm_min;
	tm.tm_mday += tomorrow;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm) * 1000;
}

static void job_begin(struct views *views, struct control_call *call, enum job_kind kind)
{
	if (views->n_jobs >= JOBS_MAX || views->stopped) {
		control_error_text(call, "Busy", views->stopped ? "upgd is ending" : "others are looking at the site right now: try again in a few seconds");
		return;
	}
	struct view_job *job = memory_need(calloc(1, sizeof(*job)));
	*job = (struct view_job){ .next = views->jobs, .views = views, .call = call, .kind = kind };
	views->jobs = job;
	views->n_jobs++;
	const char *back_by = kind == JOB_START ? view_arg(call, "back_by") : NULL;
	job->back_by_ms = back_by != NULL ? next_moment(back_by) : 0;
	view_params_find(job, look);
}

void view_check(struct views *views, struct control_call *call)
{
	job_begin(views, call, JOB_CHECK);
}

void view_plan(struct views *views, struct control_call *call)
{
	job_begin(views, call, JOB_PLAN);
}

/* --yes answers every approval beforehand, so it needs what approving needs. */
static void not_permitted(struct control_call *call)
{
	struct json_object *params = json_object_new_object();
	json_add_str(params, "role", role_word(control_call_role(call)));
	json_add_str(params, "needs", role_word(ROLE_ADMIN));
	json_add_str(params, "text", "start --yes approves the steps that are one way: an admin's word; start without it, and an admin approves");
	control_error(call, "NotPermitted", params);
}

void view_start(struct views *views, struct control_call *call)
{
	const char *on_failure = view_arg(call, "on_failure"), *back_by = view_arg(call, "back_by");
	const struct rollout *r = engine_rollout(views->with.engine);
	if (on_failure != NULL && strcmp(on_failure, "continue") != 0 && strcmp(on_failure, "pause") != 0)
		view_bad(call, "on_failure", "\"%.60s\": should be continue or pause", on_failure);
	else if (back_by != NULL && next_moment(back_by) == 0)
		view_bad(call, "back_by", "\"%.60s\": should be a time of day as HH:MM, for example 23:30", back_by);
	else if (r != NULL && r->stopping)
		control_error_text(call, "Busy", "upgd is ending");
	else if (view_flag(call, "yes") && control_call_role(call) < ROLE_ADMIN)
		not_permitted(call);
	else
		job_begin(views, call, JOB_START);
}
