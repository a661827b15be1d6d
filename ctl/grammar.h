/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of one verb, read by its usage string in proto/methods.def: words in, a method and its parameters out. */

#include "proto/fail.h"
#include "proto/methods.h"

#include <stdbool.h>
#include <stdio.h>

struct json_object;

struct grammar_call {
	char word[16]; /* the verb in full: "status" */
	const struct verb *verb;
	const struct method *method;
	struct json_object *params; /* owned */
	bool wait, follow;          /* flags that are upgctl's own */
};

/* words[0] is the verb or the beginning of one. -EINVAL: fail says what is wrong and how it is used. */
must_check int grammar_parse(struct grammar_call *call, char *const *words, size_t n, struct fail *fail);
void grammar_done(struct grammar_call *call);

/* All verbs, or one with its usage; -EINVAL: no such verb. */
void grammar_help_all(FILE *out);
must_check int grammar_help(FILE *out, const char *word, struct fail *fail);
