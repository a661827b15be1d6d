/* SPDX-License-Identifier: MIT */
#include "outcome.h"

#include "proto/json.h"

#include <string.h>

static const char *rollout_state(struct json_object *params)
{
	struct json_object *rollout = NULL;
	const char *state = "none";
	if (json_get_object(params, "rollout", &rollout, NULL) == 0)
		(void)!json_get_str(rollout, "state", &state, NULL);
	return state;
}

bool outcome_has_ended(struct json_object *params)
{
	const char *state = rollout_state(params);
	return strcmp(state, "none") == 0 || strcmp(state, "done") == 0 || strcmp(state, "partial") == 0 || strcmp(state, "aborted") == 0;
}

bool outcome_rests(struct json_object *params)
{
	struct json_object *holds = NULL;
	(void)!json_get_array(params, "holds", &holds, NULL);
	for (size_t i = 0; holds != NULL && i < json_object_array_length(holds); i++) {
		const char *kind = "";
		(void)!json_get_str(json_object_array_get_idx(holds, i), "kind", &kind, NULL);
		if (strcmp(kind, "back") == 0)
			return true;
	}
	return false;
}

static bool waits_for_person(struct json_object *params)
{
	struct json_object *holds = NULL;
	(void)!json_get_array(params, "holds", &holds, NULL);
	for (size_t i = 0; holds != NULL && i < json_object_array_length(holds); i++) {
		const char *who = "";
		(void)!json_get_str(json_object_array_get_idx(holds, i), "who", &who, NULL);
		if (strcmp(who, "operator") == 0)
			return true;
	}
	return false;
}

/* A rollout that waits for something and still has units at work makes progress: that is 0, unless a person is asked for. */
int outcome_of_status(struct json_object *params)
{
	const char *state = rollout_state(params), *waits = "nothing";
	struct json_object *now = NULL;
	if (strcmp(state, "partial") == 0)
		return EXIT_PARTIAL;
	if (strcmp(state, "aborted") == 0)
		return EXIT_ERROR;
	if (strcmp(state, "paused") == 0)
		return EXIT_PERSON;
	(void)!json_get_str(params, "waits", &waits, NULL);
	(void)!json_get_array(params, "now", &now, NULL);
	if (outcome_has_ended(params) || strcmp(waits, "nothing") == 0)
		return EXIT_OK;
	if (waits_for_person(params))
		return EXIT_PERSON;
	return now != NULL && json_object_array_length(now) > 0 ? EXIT_OK : EXIT_HELD;
}

int outcome_of_reply(const char *verb, struct json_object *params)
{
	int64_t errors = 0;
	struct json_object *problems = NULL;
	if (strcmp(verb, "status") == 0)
		return outcome_of_status(params);
	if (strcmp(verb, "check") == 0 && json_get_int(params, "errors", 0, INT64_MAX, &errors, NULL) == 0)
		return errors > 0 ? EXIT_ERROR : EXIT_OK;
	if (strcmp(verb, "plan") == 0 && json_get_array(params, "problems", &problems, NULL) == 0)
		return json_object_array_length(problems) > 0 ? EXIT_ERROR : EXIT_OK;
	return EXIT_OK;
}

int outcome_of_error(const char *error)
{
	if (strcmp(error, "NotPermitted") == 0)
		return EXIT_ROLE;
	if (strcmp(error, "BadParameter") == 0 || strcmp(error, "org.varlink.service.InvalidParameter") == 0)
		return EXIT_USAGE;
	return EXIT_ERROR;
}
