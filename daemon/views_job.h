/* SPDX-License-Identifier: MIT */
#pragma once
/* One call of Check, Plan or Start while upgd looks at the site for it; for views_start.c, views_params.c and views_plan.c only. */

#include "views_parts.h"

enum { VIEW_PARAMS_MAX = 64, VIEW_NAMED_MAX = 8 };

enum job_kind { JOB_CHECK, JOB_PLAN, JOB_START };

struct discover_result;
struct params_ask;
struct view_planner;

struct view_job {
	struct view_job *next;
	struct views *views;
	struct control_call *call; /* open until it is answered */
	enum job_kind kind;
	char *params[2 * VIEW_PARAMS_MAX + 1]; /* KEY, VALUE ..., NULL; owned */
	size_t n_params;           /* strings in params */
	struct profile *early;     /* owned: without what is being asked */
	struct params_ask *asking;
	void (*go)(struct view_job *job); /* once the parameters are known */
	char *said[VIEW_PARAMS_MAX]; /* what was found out before the look, a line each; owned */
	size_t n_said;
	struct profile *profile;   /* owned */
	struct discovery *discovery;
	struct view_planner *planner; /* PLAN: rehearsing in its thread */
	uint32_t id;               /* START: of the rollout */
	int64_t back_by_ms;        /* START: wall; 0: not said */
	char *extra;               /* START: what was skipped; owned */
};

void view_job_free(struct view_job *job); /* after its call is answered */

/* Fills job->params and job->profile, asking the site where the profile says so; then go(), or the call is answered and the job is gone. */
void view_params_find(struct view_job *job, void (*go)(struct view_job *job));
/* job->said and the plan, as an array of lines. */
struct json_object *view_params_text(const struct view_job *job);

void view_check_reply(struct view_job *job, const struct discover_result *result);

/* The profile of this job with the limits and times that the call names; false: the call is answered. */
bool view_plan_adjust(struct view_job *job);
/* Answers the call and frees the job, later. */
void view_plan_run(struct view_job *job, const struct discover_result *result);
void view_plan_cancel(struct view_planner *planner); /* waits for its thread, which looks up every few milliseconds */
