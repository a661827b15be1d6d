/* SPDX-License-Identifier: MIT */
#pragma once
/* The table of methods and verbs, methods.def, as data; and the check of a call's parameters against it. */

#include "fail.h"

#include <stdbool.h>
#include <stddef.h>

struct json_object;

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

struct method {
	const char *name; /* without the interface */
	const char *args; /* "unit: string, reason: ?string" */
	enum role role;   /* the least that may call it */
	bool mutating;
};

struct verb {
	const char *method;
	const char *usage; /* the grammar, see methods.def */
	const char *help;
};

enum method_arg_type { ARG_STRING, ARG_INT, ARG_BOOL, ARG_STRINGS, ARG_MAP };

struct method_arg {
	char name[32];
	enum method_arg_type type;
	bool optional;
};

#define CONTROL_INTERFACE "io.upgd.Control"

extern const char control_interface_text[]; /* io.upgd.Control.varlink, embedded */

const char *role_word(enum role role);

const struct method *method_table(size_t *n);
const struct verb *verb_table(size_t *n);
const struct method *method_find(const char *name); /* without the interface; NULL: none */

/* Steps through method->args: *cursor begins as NULL. False at the end. */
bool method_arg_next(const struct method *method, const char **cursor, struct method_arg *arg);
bool method_arg_find(const struct method *method, const char *name, struct method_arg *arg);

/* Unknown keys, types, and what is required. -EINVAL: bad holds the name of the parameter, cut if long. */
must_check int method_check(const struct method *method, struct json_object *params, char bad[64], struct fail *fail);
