/* SPDX-License-Identifier: MIT */
/* What a person says to a rollout that is there. The rules are in core/command.c; here names become numbers, and answers replies. */
#include "views_parts.h"

#include "memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_answer(void *arg, int refused, const char *answer)
{
	struct control_call *call = arg;
	if (refused != 0) {
		control_error_text(call, "Refused", answer);
		return;
	}
	struct json_object *reply = json_object_new_object();
	json_add_str(reply, "text", answer);
	control_reply(call, reply, false);
}

struct request view_request(struct control_call *call)
{
	struct json_object *method = json_object_new_object();
	json_add(method, control_call_method(call)->name, json_object_get(control_call_args(call)));
	struct request request = { .id = view_arg(call, "request_id"), .digest = json_digest(method) };
	json_object_put(method);
	return request;
}

struct told {
	struct control_call *call;
	uint32_t rollout;
};

static void on_told(void *arg, int refused, const char *answer)
{
	struct told *told = arg;
	if (refused == 0 && strcmp(control_call_method(told->call)->name, "Start") == 0)
		view_start_reply(told->call, told->rollout, true, answer, NULL);
	else
		on_answer(told->call, refused, answer);
	free(told);
}

void view_tell_done(struct views *views, struct control_call *call, uint32_t rollout, const char *text)
{
	struct told *told = memory_need(malloc(sizeof(*told)));
	*told = (struct told){ .call = call, .rollout = rollout };
	engine_tell(views->with.engine, text, on_told, told);
}

bool view_request_is_settled(struct views *views, struct control_call *call)
{
	const struct request request = view_request(call);
	const struct request_kept *kept;
	char text[200];
	if (request.id != NULL && (request.id[0] == '\0' || strlen(request.id) > REQUEST_ID_MAX)) {
		view_bad(call, "request_id", "should be 1 to %d bytes", REQUEST_ID_MAX);
		return true;
	}
	switch (engine_request(views->with.engine, &request, &kept)) {
	case REQUEST_NEW:
		return false;
	case REQUEST_OTHER:
		view_bad(call, "request_id", "\"%.60s\" named another request before, of rollout %u: every request needs an id of its own", request.id,
			kept->rollout);
		return true;
	case REQUEST_DONE:
		break;
	}
	(void)snprintf(text, sizeof(text), "done already: this request was carried out before, in rollout %u", kept->rollout);
	view_tell_done(views, call, kept->rollout, text);
	return true;
}

static void command(struct views *views, struct control_call *call, struct event *event)
{
	event->kind = EVENT_COMMAND;
	event->actor = control_call_actor(call);
	event->reason = view_arg(call, "reason");
	const struct request request = view_request(call);
	engine_command(views->with.engine, event, &request, on_answer, call);
}

static void rollout_command(struct views *views, struct control_call *call, enum command_verb verb)
{
	struct event event = { .verb = verb, .unit = RECORD_NO_UNIT };
	if (view_has_rollout(views, call))
		command(views, call, &event);
}

static void unit_command(struct views *views, struct control_call *call, enum command_verb verb)
{
	struct event event = { .verb = verb };
	if (view_find_unit(views, call, view_arg(call, "unit"), &event.unit))
		command(views, call, &event);
}

void view_pause(struct views *views, struct control_call *call)
{
	rollout_command(views, call, view_flag(call, "now") ? COMMAND_PAUSE_NOW : COMMAND_PAUSE);
}

void view_resume(struct views *views, struct control_call *call)
{
	rollout_command(views, call, COMMAND_RESUME);
}

void view_skip(struct views *views, struct control_call *call)
{
	unit_command(views, call, COMMAND_SKIP);
}

void view_park(struct views *views, struct control_call *call)
{
	unit_command(views, call, COMMAND_PARK);
}

void view_retry(struct views *views, struct control_call *call)
{
	unit_command(views, call, COMMAND_RETRY);
}

void view_fence(struct views *views, struct control_call *call)
{
	unit_command(views, call, COMMAND_FENCE);
}

void view_abort(struct views *views, struct control_call *call)
{
	int64_t id = 0;
	if (!view_has_rollout(views, call))
		return;
	const struct rollout *r = engine_rollout(views->with.engine);
	(void)!json_get_int(control_call_args(call), "rollout", INT64_MIN, INT64_MAX, &id, NULL);
	if (id == r->id)
		rollout_command(views, call, COMMAND_ABORT);
	else
		view_bad(call, "rollout", "run %u is at hand, not %" PRId64 ": abort names the run it ends", r->id, id);
}

/* ---- approve: "stage/step", or a stage or unit that asks one question ---- */

static bool is_question(const struct stage *stage, uint16_t step)
{
	return step < stage->n_steps && stage->steps[step].act.kind == ACTION_APPROVE;
}

/* The step by that name; without a name the only one that asks. -1: none. */
static int question_of(const struct stage *stage, const char *name)
{
	int found = -1;
	for (uint16_t i = 0; i < stage->n_steps; i++) {
		if (!is_question(stage, i) || (name != NULL && strcmp(stage->steps[i].name, name) != 0))
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

static bool find_question(const struct rollout *r, const char *what, uint8_t *out_stage, uint16_t *out_step)
{
	char stage_name[256];
	const char *slash = strchr(what, '/');
	(void)snprintf(stage_name, sizeof(stage_name), "%.*s", slash != NULL ? (int)(slash - what) : (int)strlen(what), what);
	int stage = profile_stage(r->profile, stage_name);
	if (stage < 0)
		return false;
	int step = question_of(&r->profile->stages[stage], slash != NULL ? slash + 1 : NULL);
	uint32_t unit = step < 0 && slash != NULL ? rollout_unit(r, what) : RECORD_NO_UNIT;
	if (unit != RECORD_NO_UNIT)
		step = is_question(&r->profile->stages[stage], r->units[unit].step) ? r->units[unit].step : question_of(&r->profile->stages[stage], NULL);
	*out_stage = (uint8_t)stage;
	*out_step = (uint16_t)step;
	return step >= 0;
}

static void no_question(const struct rollout *r, struct control_call *call, const char *what)
{
	char known[300] = "";
	size_t len = 0;
	for (size_t s = 0; s < r->profile->n_stages; s++)
		for (uint16_t i = 0; i < r->profile->stages[s].n_steps && len < sizeof(known); i++)
			if (is_question(&r->profile->stages[s], i))
				len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s/%s", len > 0 ? ", " : "", r->profile->stages[s].name,
					r->profile->stages[s].steps[i].name);
	view_bad(call, "what", "%.100s asks no question; these do: %s", what, len > 0 ? known : "none");
}

void view_approve(struct views *views, struct control_call *call)
{
	struct event event = { .verb = COMMAND_APPROVE, .unit = RECORD_NO_UNIT };
	const char *what = view_arg(call, "what");
	uint8_t stage;
	uint16_t step;
	if (!view_has_rollout(views, call))
		return;
	const struct rollout *r = engine_rollout(views->with.engine);
	if (!find_question(r, what, &stage, &step)) {
		no_question(r, call, what);
		return;
	}
	if (!rollout_is_over(r) && (r->approve_all || (r->approved[stage] & (UINT64_C(1) << step)) != 0)) {
		char text[300];
		(void)snprintf(text, sizeof(text), "approve: %s/%s is approved already", r->profile->stages[stage].name, r->profile->stages[stage].steps[step].name);
		view_tell_done(views, call, r->id, text);
		return;
	}
	event.value = stage;
	event.step = step;
	command(views, call, &event);
}

/* ---- and two that only answer ---- */

void view_history(struct views *views, struct control_call *call)
{
	struct json_object *reply = json_object_new_object(), *array = json_object_new_array();
	size_t bytes = 0;
	for (size_t i = views->n_past; i > 0 && i + VIEWS_HISTORY > views->n_past && bytes < VIEWS_PAGE_BYTES; i--) {
		const struct past *past = &views->past[(i - 1) % VIEWS_HISTORY];
		struct json_object *object = view_past(past);
		const struct rollout *r = engine_rollout(views->with.engine);
		if (i == views->n_past && r != NULL)
			json_add_str(object, "state", view_state_word(r));
		json_object_array_add(array, object);
		bytes += strlen(past->params) * 2 + 500;
	}
	json_add(reply, "rollouts", array);
	control_reply(call, reply, false);
}

void view_whoami(struct views *views, struct control_call *call)
{
	(void)views;
	struct json_object *reply = json_object_new_object();
	json_add_int(reply, "uid", (int64_t)control_call_uid(call));
	json_add_str(reply, "user", control_call_user(call));
	json_add_str(reply, "role", role_word(control_call_role(call)));
	json_add_str(reply, "version", UPGD_VERSION);
	control_reply(call, reply, false);
}
