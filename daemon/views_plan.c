/* SPDX-License-Identifier: MIT */
/*
 * What Check and Plan answer. A plan is rehearsed by the rules that decide at night, over the rows just seen: seconds for thousands of
 * schemata, so it is done in a thread of its own. The thread owns what it reads (the job's profile, a copy of the rows) and returns through
 * an eventfd, which can be unwatched, unlike a posted call, when upgd ends meanwhile.
 */
#include "views_job.h"

#include "bind.h"
#include "core/rehearse.h"
#include "discover.h"
#include "io/conf.h"
#include "io/loop.h"
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FINDINGS_MAX = 500, SIMULATED_WINDOWS = 5 };

struct view_planner {
	struct view_job *job;
	struct rehearse_row *rows; /* owned, with their columns */
	size_t n_rows;
	bool timed;
	atomic_bool cancel;
	struct rehearse_result result;
	struct json_object *reply, *text, *problems; /* the parts of the answer that need no rehearsal; text and problems are in reply */
	pthread_t thread;
	int done_fd;
	struct loop_fd *watch;
};

/* ---- Check ---- */

static const char *level_word(enum discover_level level)
{
	return level == DISCOVER_ERROR ? "error" : level == DISCOVER_WARNING ? "warning" : "ok";
}

static struct json_object *finding_json(const struct discover_finding *finding)
{
	struct json_object *object = json_object_new_object();
	char *text = view_clean(finding->text, 800);
	json_add_str(object, "level", level_word(finding->level));
	json_add_str(object, "subject", finding->subject);
	json_add_str(object, "text", text);
	json_add_str(object, "mend", finding->mend);
	free(text);
	return object;
}

/* What it finds is true all the same; a start would be refused. */
static bool check_running(const struct views *views, struct json_object *array)
{
	const struct rollout *r = engine_rollout(views->with.engine);
	char subject[40], mend[80], text[] = "is at hand: until it has ended no other is started";
	if (r == NULL || rollout_is_over(r))
		return false;
	(void)snprintf(subject, sizeof(subject), "rollout %u", r->id);
	(void)snprintf(mend, sizeof(mend), "let it end (upgctl watch), or upgctl abort %u", r->id);
	const struct discover_finding finding = { .level = DISCOVER_ERROR, .subject = subject, .text = text, .mend = mend };
	json_object_array_add(array, finding_json(&finding));
	return true;
}

void view_check_reply(struct view_job *job, const struct discover_result *result)
{
	struct json_object *reply = json_object_new_object(), *array = json_object_new_array();
	for (int level = DISCOVER_ERROR; level >= DISCOVER_OK; level--) /* of very many, what is in order is left out */
		for (size_t i = 0; i < result->n_findings && json_object_array_length(array) < FINDINGS_MAX; i++)
			if ((int)result->findings[i].level == level)
				json_object_array_add(array, finding_json(&result->findings[i]));
	bool running = check_running(job->views, array);
	json_add(reply, "findings", array);
	json_add_int(reply, "errors", (int64_t)result->n_errors + running);
	json_add_int(reply, "warnings", (int64_t)result->n_warnings);
	json_add(reply, "text", view_params_text(job));
	control_reply(job->call, reply, false);
}

/* ---- Plan ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (const char *c = text; ; c++) {
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
		if (*c == '\0')
			return hash;
	}
}

static uint64_t plan_hash(const struct view_job *job, const struct discover_result *result)
{
	uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), job->profile->text);
	for (size_t i = 0; i < job->profile->n_params; i++)
		hash = hash_text(hash, job->profile->params[i].value != NULL ? job->profile->params[i].value : "");
	for (size_t i = 0; i < result->n_rows; i++) {
		char line[64];
		const struct engine_row *row = &result->rows[i];
		(void)snprintf(line, sizeof(line), "%u %u %u %u %u", row->set, row->class_, row->weight, row->capacity, row->aside);
		hash = hash_text(hash_text(hash, line), row->columns);
	}
	return hash;
}

struct stage_plan {
	uint32_t total, done, skipped;
};

static bool stage_has(const struct stage *stage, const struct engine_row *row)
{
	return stage->where == 0 || (stage->where & (1u << row->class_)) != 0;
}

static struct stage_plan stage_plan(const struct stage *stage, const struct discover_result *result)
{
	struct stage_plan plan = { .total = stage->set == 0 };
	for (size_t i = 0; i < result->n_rows; i++) {
		const struct engine_row *row = &result->rows[i];
		if (row->set != stage->set)
			continue;
		plan.total++;
		plan.skipped += row->aside;
		plan.done += !row->aside && !stage_has(stage, row);
	}
	return plan;
}

static struct json_object *stage_json(const struct profile *profile, const struct stage *stage, const struct discover_result *result)
{
	static const char *const none[] = { "running", "failed", "parked", "undone" };
	struct stage_plan plan = stage_plan(stage, result);
	struct json_object *object = json_object_new_object(), *counts = json_object_new_object();
	json_add_int(counts, "waiting", plan.total - plan.done - plan.skipped);
	json_add_int(counts, "done", plan.done);
	json_add_int(counts, "skipped", plan.skipped);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		json_add_int(counts, none[i], 0);
	json_add_int(counts, "total", plan.total);
	json_add_str(object, "name", stage->name);
	json_add_str(object, "set", profile->sets[stage->set].name);
	json_add(object, "counts", counts);
	return object;
}

static char *stage_line(const struct profile *profile, const struct stage *stage, const struct discover_result *result)
{
	char *text = NULL, span[32];
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));
	struct stage_plan plan = stage_plan(stage, result);
	(void)fprintf(out, "%-12s %u of %s, %u at once", stage->name, plan.total - plan.done - plan.skipped, profile->sets[stage->set].name,
		stage->total != 0 ? stage->total : 1);
	if (stage->per_host != 0)
		(void)fprintf(out, ", %u per host", stage->per_host);
	if (stage->canary != 0)
		(void)fprintf(out, "; first %u, then %s of soak", stage->canary, view_span((int64_t)stage->soak_ms, span));
	for (size_t i = 0; i < stage->n_steps; i++) {
		const struct step *step = &stage->steps[i];
		if (step->act.kind == ACTION_APPROVE)
			(void)fprintf(out, "; asks for approval: %s", step->name);
		if (step->pivot)
			(void)fprintf(out, "; ONE WAY from %s on", step->name);
	}
	(void)fclose(out);
	return text;
}

static void add_string(struct json_object *array, char *text)
{
	json_array_add_str(array, text);
	free(text);
}

/* What a person says yes to, in full: where a loss is announced, it is read before the start. */
static void approvals_add(struct json_object *text, const struct profile *profile, const struct stage *stage)
{
	struct bind bind = { .profile = profile, .lane = LANE_NONE };
	struct fail fail;
	for (size_t i = 0; i < stage->n_steps; i++) {
		const struct step *step = &stage->steps[i];
		if (step->act.kind != ACTION_APPROVE)
			continue;
		char *question = bind_text(&bind, step->act.to, &fail), *line;
		if (asprintf(&line, "%*s%s: %s", 13, "", step->name, question != NULL ? question : step->act.to) < 0)
			abort();
		add_string(text, line);
		free(question);
	}
}

/* ---- what the call changes for its rehearsal ---- */

/* "STAGE.LIMIT"; false: answered. */
static bool limit_set(struct view_job *job, const char *name, const char *value)
{
	char stage[64] = "", limit[32] = "", *end;
	long long number = strtoll(value, &end, 10);
	int at = sscanf(name, "%63[^.].%31s", stage, limit) == 2 ? profile_stage(job->profile, stage) : -1;
	if (at < 0) {
		view_bad(job->call, "limits", "\"%.80s\": should be STAGE.total, STAGE.per_host or STAGE.tenants_down of profile %s", name, job->profile->name);
		return false;
	}
	if (end == value || *end != '\0' || number < 1 || number > 100000000) {
		view_bad(job->call, "limits", "%.80s: \"%.40s\" is no number from 1 to 100000000", name, value);
		return false;
	}
	struct stage *which = &job->profile->stages[at];
	if (strcmp(limit, "total") == 0)
		which->total = (uint32_t)number;
	else if (strcmp(limit, "per_host") == 0)
		which->per_host = (uint32_t)number;
	else if (strcmp(limit, "tenants_down") == 0)
		which->tenants_down = number;
	else
		view_bad(job->call, "limits", "\"%.80s\": limits are total, per_host and tenants_down", name);
	return strcmp(limit, "total") == 0 || strcmp(limit, "per_host") == 0 || strcmp(limit, "tenants_down") == 0;
}

/* "STAGE/STEP"; false: answered. */
static bool takes_set(struct view_job *job, const char *name, const char *value)
{
	char stage[64] = "", step[64] = "";
	int64_t ms;
	int at = sscanf(name, "%63[^/]/%63s", stage, step) == 2 ? profile_stage(job->profile, stage) : -1;
	if (conf_parse_duration(value, &ms) != 0 || ms < 0) {
		view_bad(job->call, "takes", "%.80s: \"%.40s\" is no duration like 250ms, 30s, 10m or 2h", name, value);
		return false;
	}
	for (size_t i = 0; at >= 0 && i < job->profile->stages[at].n_steps; i++) {
		if (strcmp(job->profile->stages[at].steps[i].name, step) == 0) {
			job->profile->stages[at].steps[i].takes_ms = (uint64_t)ms;
			return true;
		}
	}
	view_bad(job->call, "takes", "\"%.120s\" is no STAGE/STEP of profile %s", name, job->profile->name);
	return false;
}

bool view_plan_adjust(struct view_job *job)
{
	static const struct {
		const char *key;
		bool (*set)(struct view_job *job, const char *name, const char *value);
	} kinds[] = { { "limits", limit_set }, { "takes", takes_set } };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct json_object *given = NULL;
		(void)!json_get_object(control_call_args(job->call), kinds[i].key, &given, NULL);
		if (given == NULL)
			continue;
		if (!view_flag(job->call, "simulate")) {
			view_bad(job->call, kinds[i].key, "%s is for a simulation: upgctl plan --simulate", kinds[i].key);
			return false;
		}
		json_object_object_foreach(given, name, value)
			if (!kinds[i].set(job, name, json_object_get_string(value)))
				return false;
	}
	return true;
}

/* ---- the simulation's figures ---- */

static const char *row_named(const struct view_planner *planner, uint32_t row, char *buf, size_t size)
{
	if (row == REHEARSE_CLUSTER)
		return "cluster";
	struct row as = { .columns = (char *)(uintptr_t)planner->rows[row].columns };
	return row_column(&as, "name", buf, size) ? buf : "?";
}

static struct json_object *windows_json(const struct view_planner *planner)
{
	const struct rehearse_result *result = &planner->result;
	struct json_object *object = json_object_new_object(), *longest = json_object_new_array();
	json_add_int(object, "n", (int64_t)result->n_windows);
	json_add_int(object, "median_ms", (int64_t)result->windows[result->n_windows / 2].ms);
	json_add_int(object, "longest_ms", (int64_t)result->windows[0].ms);
	for (size_t i = 0; i < result->n_windows && i < SIMULATED_WINDOWS; i++) {
		char name[256];
		struct json_object *window = json_object_new_object();
		json_add_str(window, "name", row_named(planner, result->windows[i].row, name, sizeof(name)));
		json_add_int(window, "ms", (int64_t)result->windows[i].ms);
		bool tenants = result->windows[i].row != REHEARSE_CLUSTER && planner->rows[result->windows[i].row].set == planner->job->profile->set_tenants;
		json_add_int(window, "tenants", tenants ? result->windows[i].weight : 0);
		json_object_array_add(longest, window);
	}
	json_add(object, "longest", longest);
	return object;
}

static struct json_object *simulation_json(const struct view_planner *planner)
{
	const struct rehearse_result *result = &planner->result;
	const struct profile *profile = planner->job->profile;
	struct json_object *object = json_object_new_object(), *stages = json_object_new_array();
	json_add_int(object, "makespan_ms", (int64_t)result->makespan_ms);
	json_add_int(object, "tenants_down", result->most_down);
	json_add_int(object, "nodes_out", result->most_out);
	for (size_t i = 0; i < profile->n_stages; i++) {
		struct json_object *stage = json_object_new_object();
		json_add_str(stage, "name", profile->stages[i].name);
		json_add_int(stage, "begin_ms", (int64_t)result->stage_begin_ms[i]);
		json_add_int(stage, "end_ms", (int64_t)result->stage_end_ms[i]);
		json_object_array_add(stages, stage);
	}
	json_add(object, "stages", stages);
	json_add(object, "windows", result->n_windows > 0 ? windows_json(planner) : NULL);
	return object;
}

/* ---- the rehearsal, beside the loop ---- */

static void planner_free(struct view_planner *planner)
{
	for (size_t i = 0; i < planner->n_rows; i++)
		free((char *)(uintptr_t)planner->rows[i].columns);
	free(planner->rows);
	rehearse_result_done(&planner->result);
	json_object_put(planner->reply);
	if (planner->watch != NULL)
		loop_fd_free(planner->watch);
	if (planner->done_fd >= 0)
		(void)close(planner->done_fd);
	free(planner);
}

static void *planner_thread(void *arg)
{
	struct view_planner *planner = arg;
	const struct rehearse_options options = { .timed = planner->timed, .cancel = &planner->cancel };
	rehearse(planner->job->profile, planner->rows, planner->n_rows, &options, &planner->result);
	(void)!write(planner->done_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
	return NULL;
}

static void on_rehearsed(void *arg, int fd, unsigned mask)
{
	struct view_planner *planner = arg;
	struct view_job *job = planner->job;
	const struct rehearse_result *result = &planner->result;
	char *line, tenants[60] = "";
	(void)pthread_join(planner->thread, NULL);
	if (job->profile->set_tenants >= 0)
		(void)snprintf(tenants, sizeof(tenants), " and %" PRId64 " tenants down", result->most_down);
	if (asprintf(&line, "rehearsed: %u actions; at most %u nodes out%s at once; %s", result->actions, result->most_out, tenants, result->reaches_end ? "reaches its end" : "does NOT reach its end") < 0)
		abort();
	add_string(planner->text, line);
	if (!result->reaches_end || result->problem[0] != '\0')
		json_array_add_str(planner->problems, result->problem[0] != '\0' ? result->problem : "it does not reach its end");
	if (planner->timed)
		json_add(planner->reply, "simulation", simulation_json(planner));
	control_reply(job->call, planner->reply, false);
	planner->reply = NULL;
	planner_free(planner);
	job->planner = NULL;
	view_job_free(job);
}

void view_plan_cancel(struct view_planner *planner)
{
	atomic_store(&planner->cancel, true);
	(void)pthread_join(planner->thread, NULL);
	planner->job->planner = NULL;
	planner_free(planner);
}

/* Everything of the answer but the rehearsal. */
static void plan_begun(struct view_planner *planner, const struct discover_result *result)
{
	const struct view_job *job = planner->job;
	char hash[20], *line;
	int64_t tenants = 0;
	struct json_object *stages = json_object_new_array();
	planner->reply = json_object_new_object();
	planner->text = view_params_text(job);
	planner->problems = json_object_new_array();
	(void)snprintf(hash, sizeof(hash), "%012" PRIx64, plan_hash(job, result) & UINT64_C(0xffffffffffff));
	for (size_t i = 0; i < result->n_rows; i++)
		tenants += result->rows[i].set == job->profile->set_tenants ? result->rows[i].weight : 0;
	for (size_t i = 0; i < job->profile->n_stages; i++) {
		json_object_array_add(stages, stage_json(job->profile, &job->profile->stages[i], result));
		add_string(planner->text, stage_line(job->profile, &job->profile->stages[i], result));
		approvals_add(planner->text, job->profile, &job->profile->stages[i]);
	}
	for (size_t i = 0; i < result->n_findings && json_object_array_length(planner->problems) < FINDINGS_MAX; i++) {
		const struct discover_finding *finding = &result->findings[i];
		if (finding->level != DISCOVER_ERROR)
			continue;
		if (asprintf(&line, "%s: %.800s", finding->subject, finding->text) < 0)
			abort();
		add_string(planner->problems, line);
	}
	json_add_str(planner->reply, "hash", hash);
	json_add(planner->reply, "stages", stages);
	json_add(planner->reply, "text", planner->text);
	json_add(planner->reply, "problems", planner->problems);
	json_add_int(planner->reply, "tenants", tenants);
}

static int planner_go(struct view_planner *planner)
{
	planner->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (planner->done_fd < 0)
		return -errno;
	int err = pthread_create(&planner->thread, NULL, planner_thread, planner);
	if (err != 0)
		return -err;
	planner->watch = loop_fd_new(planner->job->views->with.loop, planner->done_fd, LOOP_READ, on_rehearsed, planner);
	return 0;
}

void view_plan_run(struct view_job *job, const struct discover_result *result)
{
	struct view_planner *planner = memory_need(calloc(1, sizeof(*planner)));
	*planner = (struct view_planner){ .job = job, .timed = view_flag(job->call, "simulate"), .done_fd = -1, .n_rows = result->n_rows };
	planner->rows = memory_need(calloc(result->n_rows + 1, sizeof(*planner->rows)));
	for (size_t i = 0; i < result->n_rows; i++) {
		const struct engine_row *row = &result->rows[i];
		planner->rows[i] = (struct rehearse_row){ .set = row->set, .columns = memory_need(strdup(row->columns)), .weight = row->weight,
			.capacity = row->capacity, .host = row->host, .class_ = row->class_, .aside = row->aside };
	}
	plan_begun(planner, result);
	job->planner = planner;
	int err = planner_go(planner);
	if (err == 0)
		return;
	char text[120];
	(void)snprintf(text, sizeof(text), "no room to rehearse the plan: %s: try again later", strerror(-err));
	control_error_text(job->call, "Busy", text);
	job->planner = NULL;
	planner_free(planner);
	view_job_free(job);
}
