/* SPDX-License-Identifier: MIT */
/* Parameters are kept as the text of the interface file, so that the test against it compares text with text. */
#include "methods.h"

#include "json.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct method methods[] = {
#define METHOD(name, args, role, mutating) { #name, args, ROLE_##role, mutating },
#define VERB(method, usage, help)
#include "methods.def"
#undef METHOD
#undef VERB
};

static const struct verb verbs[] = {
#define METHOD(name, args, role, mutating)
#define VERB(method, usage, help) { #method, usage, help },
#include "methods.def"
#undef METHOD
#undef VERB
};

static const struct {
	const char *word, *what;
	enum json_type json;
} types[] = {
	[ARG_STRING] = { "string", "a string", json_type_string },
	[ARG_INT] = { "int", "a whole number", json_type_int },
	[ARG_BOOL] = { "bool", "true or false", json_type_boolean },
	[ARG_STRINGS] = { "[]string", "an array of strings", json_type_array },
	[ARG_MAP] = { "[string]string", "an object of strings", json_type_object },
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

const char *role_word(enum role role)
{
	static const char *const words[] = { "none", "viewer", "operator", "admin" };
	return words[role];
}

const struct method *method_table(size_t *n)
{
	*n = sizeof(methods) / sizeof(methods[0]);
	return methods;
}

const struct verb *verb_table(size_t *n)
{
	*n = sizeof(verbs) / sizeof(verbs[0]);
	return verbs;
}

const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

bool method_arg_next(const struct method *method, const char **cursor, struct method_arg *arg)
{
	const char *at = *cursor != NULL ? *cursor : method->args;
	at += strspn(at, ", ");
	if (*at == '\0')
		return false;
	size_t n = strcspn(at, ":");
	assert(n < sizeof(arg->name) && at[n] == ':');
	memcpy(arg->name, at, n);
	arg->name[n] = '\0';
	at += n + 1;
	at += strspn(at, " ");
	arg->optional = *at == '?';
	at += arg->optional;
	n = strcspn(at, ", ");
	size_t type = 0;
	while (type < N_TYPES && (strlen(types[type].word) != n || strncmp(types[type].word, at, n) != 0))
		type++;
	assert(type < N_TYPES); /* a row of methods.def that nobody can serve */
	arg->type = (enum method_arg_type)type;
	*cursor = at + n;
	return true;
}

bool method_arg_find(const struct method *method, const char *name, struct method_arg *arg)
{
	for (const char *cursor = NULL; method_arg_next(method, &cursor, arg);)
		if (strcmp(arg->name, name) == 0)
			return true;
	return false;
}

static bool has_type(struct json_object *value, enum method_arg_type type)
{
	if (!json_object_is_type(value, types[type].json))
		return false;
	if (type == ARG_STRINGS)
		for (size_t i = 0; i < json_object_array_length(value); i++)
			if (!json_object_is_type(json_object_array_get_idx(value, i), json_type_string))
				return false;
	if (type == ARG_MAP) {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			if (!json_object_is_type(member, json_type_string))
				return false;
		}
	}
	return true;
}

int method_check(const struct method *method, struct json_object *params, char bad[64], struct fail *fail)
{
	struct method_arg arg;
	json_object_object_foreach(params, key, value)
	{
		(void)snprintf(bad, 64, "%.63s", key);
		if (!method_arg_find(method, key, &arg))
			return fail_set(fail, -EINVAL, "%s has no parameter \"%.100s\"", method->name, key);
		if (value != NULL && !has_type(value, arg.type))
			return fail_set(fail, -EINVAL, "parameter \"%s\" of %s must be %s", key, method->name, types[arg.type].what);
	}
	for (const char *cursor = NULL; method_arg_next(method, &cursor, &arg);) {
		(void)snprintf(bad, 64, "%s", arg.name);
		struct json_object *given;
		if (!arg.optional && (!json_object_object_get_ex(params, arg.name, &given) || given == NULL))
			return fail_set(fail, -EINVAL, "%s needs the parameter \"%s\"", method->name, arg.name);
	}
	return 0;
}
