/* SPDX-License-Identifier: MIT */
/*
 * The parameters of Check, Plan and Start: those of upgd.conf, then those of the call, then what the site says where the profile has a probe
 * for it. What was observed is from then on as if a person had given it: the journal, replay and the next start see no difference. Parameters
 * are copied: a reload of upgd.conf may come in between.
 */
#include "views_job.h"

#include "config.h"
#include "memory.h"
#include "params_ask.h"
#include "profile_load.h"

#include <string.h>

/* ---- parameters: those of upgd.conf, then those of the call ---- */

static bool param_set(struct view_job *job, const char *name, const char *value)
{
	for (size_t i = 0; i < job->n_params; i += 2) {
		if (strcmp(job->params[i], name) == 0) {
			free(job->params[i + 1]);
			job->params[i + 1] = memory_need(strdup(value));
			return true;
		}
	}
	if (job->n_params >= 2 * VIEW_PARAMS_MAX)
		return false;
	job->params[job->n_params++] = memory_need(strdup(name));
	job->params[job->n_params++] = memory_need(strdup(value));
	return true;
}

/* The journal keeps them as lines. */
static bool params_given(struct view_job *job)
{
	const struct config *config = job->views->with.config;
	struct json_object *given = NULL;
	bool fits = true;
	for (size_t i = 0; i < config->vars.n; i++)
		fits &= param_set(job, config->vars.items[i].name, config->vars.items[i].value);
	(void)!json_get_object(control_call_args(job->call), "params", &given, NULL);
	if (given != NULL) {
		json_object_object_foreach(given, name, value) {
			const char *text = json_object_get_string(value);
			if (strpbrk(text, "\n\r") != NULL || strpbrk(name, "=\n\r") != NULL) {
				view_bad(job->call, "params", "parameter %.60s: one line, and no = in its name", name);
				return false;
			}
			fits &= param_set(job, name, text);
		}
	}
	if (!fits)
		view_bad(job->call, "params", "more than %d parameters", VIEW_PARAMS_MAX);
	return fits;
}

/* Check was asked what is in the way, and answers that. errors: or, if there are none, fail. */
static void profile_findings(struct view_job *job, const struct conf_errors *errors, const struct fail *fail)
{
	struct json_object *reply = json_object_new_object(), *array = json_object_new_array();
	size_t n = errors->n > 0 ? errors->n : 1;
	for (size_t i = 0; i < n; i++) {
		struct json_object *finding = json_object_new_object();
		json_add_str(finding, "level", "error");
		json_add_str(finding, "subject", "profile");
		json_add_str(finding, "text", errors->n > 0 ? errors->lines[i] : fail->text);
		json_object_array_add(array, finding);
	}
	json_add(reply, "findings", array);
	json_add_int(reply, "errors", (int64_t)n);
	json_add_int(reply, "warnings", 0);
	json_add(reply, "text", view_params_text(job));
	control_reply(job->call, reply, false);
}

/* All mistakes at once: they are mended in one go. */
static void profile_refused(struct view_job *job, const struct conf_errors *errors, const struct fail *fail)
{
	char text[1500];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s", errors->n > 0 ? "" : fail->text);
	for (size_t i = 0; i < errors->n && i < VIEW_NAMED_MAX && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? "; " : "", errors->lines[i]);
	if (errors->n > VIEW_NAMED_MAX && len < sizeof(text))
		(void)snprintf(text + len, sizeof(text) - len, "; and %zu more: upgctl check names all", errors->n - VIEW_NAMED_MAX);
	struct json_object *params = json_object_new_object();
	json_add_str(params, "parameter", "params");
	json_add_str(params, "text", text);
	control_error(job->call, "BadParameter", params);
}

static void profile_unusable(struct view_job *job, const struct conf_errors *errors, const struct fail *fail)
{
	if (job->kind == JOB_CHECK)
		profile_findings(job, errors, fail);
	else
		profile_refused(job, errors, fail);
}

/* False: the call is answered. */
static bool profile_given(struct view_job *job)
{
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	job->profile = profile_load(job->views->with.config->profile_path, (const char *const *)job->params, &errors, &fail);
	if (job->profile == NULL)
		profile_unusable(job, &errors, &fail);
	conf_errors_done(&errors);
	return job->profile != NULL;
}

/* ---- what nobody gave ---- */

static void say(struct view_job *job, const char *param, const char *text)
{
	if (job->n_said < VIEW_PARAMS_MAX && asprintf(&job->said[job->n_said++], "parameter %s: %s", param, text) < 0)
		abort();
}

static void findings_of_said(struct view_job *job, const struct params_said *said, size_t n)
{
	struct json_object *reply = json_object_new_object(), *array = json_object_new_array();
	int64_t errors = 0;
	for (size_t i = 0; i < n; i++) {
		char subject[100], mend[200];
		struct json_object *finding = json_object_new_object();
		(void)snprintf(subject, sizeof(subject), "parameter %.80s", said[i].param);
		(void)snprintf(mend, sizeof(mend), "give it: upgctl check --set %.80s=VALUE; the rest was not looked at, it hangs on this", said[i].param);
		errors += said[i].value == NULL;
		json_add_str(finding, "level", said[i].value == NULL ? "error" : "ok");
		json_add_str(finding, "subject", subject);
		json_add_str(finding, "text", said[i].text);
		json_add_str(finding, "mend", said[i].value == NULL ? mend : NULL);
		json_object_array_add(array, finding);
	}
	json_add(reply, "findings", array);
	json_add_int(reply, "errors", errors);
	json_add_int(reply, "warnings", 0);
	json_add(reply, "text", view_params_text(job));
	control_reply(job->call, reply, false);
}

/* False: the call is answered. */
static bool said_is_enough(struct view_job *job, const struct params_said *said, size_t n)
{
	struct conf_errors errors = { 0 };
	bool fits = true;
	for (size_t i = 0; i < n; i++) {
		if (said[i].value == NULL)
			conf_error(&errors, NULL, "parameter %s: %s; give it: --set %s=VALUE", said[i].param, said[i].text, said[i].param);
		else
			fits &= param_set(job, said[i].param, said[i].value);
	}
	bool enough = errors.n == 0 && fits;
	if (errors.n > 0 && job->kind == JOB_CHECK)
		findings_of_said(job, said, n);
	else if (errors.n > 0)
		profile_refused(job, &errors, NULL);
	else if (!fits)
		view_bad(job->call, "params", "more than %d parameters", VIEW_PARAMS_MAX);
	conf_errors_done(&errors);
	return enough;
}

static void go_on(struct view_job *job)
{
	if (profile_given(job))
		job->go(job);
	else
		view_job_free(job);
}

static void on_said(void *arg, const struct params_said *said, size_t n)
{
	struct view_job *job = arg;
	job->asking = NULL;
	for (size_t i = 0; i < n; i++)
		if (said[i].value != NULL)
			say(job, said[i].param, said[i].text);
	if (said_is_enough(job, said, n))
		go_on(job);
	else
		view_job_free(job);
}

/* Half of a fleet may be new by now: what a rollout under way has begun with is what its next start would be told. */
static void take_frozen(struct view_job *job)
{
	const struct rollout *r = engine_rollout(job->views->with.engine);
	const struct profile *frozen = engine_profile(job->views->with.engine);
	if (r == NULL || rollout_is_over(r) || frozen == NULL || strcmp(frozen->name, job->early->name) != 0)
		return;
	for (size_t i = 0; i < job->early->n_params; i++) {
		struct param *param = &job->early->params[i];
		const char *was = param->value == NULL && param->probe != NULL ? engine_param(job->views->with.engine, param->name) : NULL;
		char text[200];
		if (was == NULL || !param_set(job, param->name, was))
			continue;
		param->value = memory_need(strdup(was));
		(void)snprintf(text, sizeof(text), "%.100s, as rollout %u found it", was, r->id);
		say(job, param->name, text);
	}
}

void view_params_find(struct view_job *job, void (*go)(struct view_job *job))
{
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	job->go = go;
	if (!params_given(job)) {
		view_job_free(job);
		return;
	}
	job->early = profile_load_early(job->views->with.config->profile_path, (const char *const *)job->params, &errors, &fail);
	if (job->early == NULL) {
		profile_unusable(job, &errors, &fail);
		conf_errors_done(&errors);
		view_job_free(job);
		return;
	}
	conf_errors_done(&errors);
	take_frozen(job);
	job->asking = params_ask_start(job->views->with.site, job->early, on_said, job);
	if (job->asking == NULL)
		go_on(job);
}

struct json_object *view_params_text(const struct view_job *job)
{
	struct json_object *array = json_object_new_array();
	char plan[600];
	for (size_t i = 0; i < job->n_said; i++)
		json_array_add_str(array, job->said[i]);
	if (job->profile != NULL && profile_plan_text(job->profile, plan, sizeof(plan)))
		json_array_add_str(array, plan);
	return array;
}
