/* SPDX-License-Identifier: MIT */
#pragma once
/* What a reply means to a script: the exit codes of upgctl(1). */

#include <stdbool.h>

struct json_object;

enum {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3, /* ended with units failed, parked or left out */
	EXIT_PERSON = 4,  /* paused or waiting for a person */
	EXIT_HELD = 5,    /* held by a guard or window */
	EXIT_ROLE = 6,
	EXIT_AWAY = 7,
	EXIT_DETACHED = 130, /* Ctrl-C while following, as shells have it */
};

/* Of a Status reply. */
int outcome_of_status(struct json_object *params);
bool outcome_has_ended(struct json_object *params); /* no rollout, or an ended one */
bool outcome_rests(struct json_object *params);     /* it went back as a whole, and goes on by a person's word only */
/* Of any verb's one reply. */
int outcome_of_reply(const char *verb, struct json_object *params);
int outcome_of_error(const char *error);
