/* SPDX-License-Identifier: MIT */
/*
 * A usage string is a row of tokens: <p:shown>, [--name <p:shown>], [-n|--name <p:shown>], [--flag], each with an optional "...". Help
 * prints the same string with the parameters' names left out, so that it cannot say anything else than what is parsed.
 */
#include "grammar.h"

#include "proto/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct token {
	char name[2][24];  /* "--skip", "-k"; both empty: a positional */
	char param[40];    /* "unit", "params.to", "": a flag */
	const char *end;
};

static void copy_part(char *to, size_t size, const char *from, size_t n)
{
	(void)snprintf(to, size, "%.*s", (int)n, from);
}

/* The next token of a usage after its verb; false at the end. */
static bool token_next(const char **cursor, struct token *token)
{
	const char *at = *cursor + strspn(*cursor, " .");
	if (*at == '\0')
		return false;
	*token = (struct token){ .end = at + strcspn(at, *at == '[' ? "]" : " ") };
	if (*at == '[') {
		at++;
		size_t n = strcspn(at, "| ]");
		copy_part(token->name[0], sizeof(token->name[0]), at, n);
		if (at[n] == '|')
			copy_part(token->name[1], sizeof(token->name[1]), at + n + 1, strcspn(at + n + 1, " ]"));
		at += strcspn(at, "<]");
	}
	if (*at == '<')
		copy_part(token->param, sizeof(token->param), at + 1, strcspn(at + 1, ":>"));
	*cursor = token->end + (*token->end == ']');
	return true;
}

static const char *after_verb(const char *usage)
{
	return usage + strcspn(usage, " ");
}

/* ---- verbs ---- */

static int verb_find(const char *word, const struct verb **out, struct fail *fail)
{
	size_t n, found = 0;
	char names[200] = "";
	const struct verb *verbs = verb_table(&n);
	for (size_t i = 0; i < n; i++) {
		size_t length = strcspn(verbs[i].usage, " ");
		if (strncmp(verbs[i].usage, word, strlen(word)) != 0)
			continue;
		*out = &verbs[i];
		if (strlen(word) == length)
			return 0;
		size_t used = strlen(names);
		(void)snprintf(names + used, sizeof(names) - used, "%s%.*s", found++ ? ", " : "", (int)length, verbs[i].usage);
	}
	if (found == 1)
		return 0;
	if (found > 1)
		return fail_set(fail, -EINVAL, "%s: may be %s (write more of it)", word, names);
	return fail_set(fail, -EINVAL, "%s: no such %s (upgctl help lists them)", word, word[0] == '-' ? "option" : "verb");
}

/* ---- values ---- */

static int add_to_map(struct grammar_call *call, const char *param, const char *key, const char *value)
{
	struct json_object *map;
	if (!json_object_object_get_ex(call->params, param, &map)) {
		map = json_object_new_object();
		json_add(call->params, param, map);
	}
	json_add_str(map, key, value);
	return 0;
}

static int add_list(struct grammar_call *call, const char *param, const char *value)
{
	struct json_object *list;
	if (!json_object_object_get_ex(call->params, param, &list)) {
		list = json_object_new_array();
		json_add(call->params, param, list);
	}
	while (*value != '\0') {
		size_t n = strcspn(value, ",");
		if (n > 0)
			json_object_array_add(list, json_object_new_string_len(value, (int)n));
		value += n + (value[n] == ',');
	}
	return 0;
}

static int add_number(struct grammar_call *call, const char *param, const char *value, struct fail *fail)
{
	char *end;
	errno = 0;
	long long number = strtoll(value, &end, 10);
	if (*value == '\0' || *end != '\0' || errno != 0)
		return fail_set(fail, -EINVAL, "%s: %s must be a whole number, not \"%s\"", call->word, param, value);
	json_add_int(call->params, param, number);
	return 0;
}

static int add_value(struct grammar_call *call, const char *param, const char *value, struct fail *fail)
{
	struct method_arg arg;
	char name[40];
	size_t n = strcspn(param, ".");
	copy_part(name, sizeof(name), param, n);
	if (!method_arg_find(call->method, name, &arg))
		return fail_set(fail, -EINVAL, "%s: %s is no parameter of %s", call->word, name, call->method->name);
	if (param[n] == '.')
		return add_to_map(call, name, param + n + 1, value);
	switch (arg.type) {
	case ARG_STRINGS:
		return add_list(call, name, value);
	case ARG_INT:
		return add_number(call, name, value, fail);
	case ARG_MAP: {
		char key[64];
		n = strcspn(value, "=");
		if (n == 0 || n >= sizeof(key) || value[n] != '=')
			return fail_set(fail, -EINVAL, "%s: \"%s\" must be NAME=VALUE", call->word, value);
		copy_part(key, sizeof(key), value, n);
		return add_to_map(call, name, key, value + n + 1);
	}
	case ARG_STRING:
	case ARG_BOOL:
		break;
	}
	json_add_str(call->params, name, value);
	return 0;
}

static int set_flag(struct grammar_call *call, const char *name, struct fail *fail)
{
	struct method_arg arg;
	while (*name == '-')
		name++;
	if (strcmp(name, "f") == 0) /* OX's own letter for it */
		return add_value(call, "on_failure", "continue", fail);
	if (strcmp(name, "wait") == 0)
		call->wait = true;
	else if (strcmp(name, "follow") == 0)
		call->follow = true;
	else if (method_arg_find(call->method, name, &arg) && arg.type == ARG_BOOL)
		json_add_bool(call->params, name, true);
	return 0;
}

/* ---- the line ---- */

static bool token_is(const struct token *token, const char *word, size_t n)
{
	for (int i = 0; i < 2; i++)
		if (token->name[i][0] != '\0' && strlen(token->name[i]) == n && strncmp(token->name[i], word, n) == 0)
			return true;
	return false;
}

/* *at is the option's index; moved on if its value is the next word. */
static int take_option(struct grammar_call *call, char *const *words, size_t n, size_t *at, struct fail *fail)
{
	const char *word = words[*at], *equals = strchr(word, '=');
	size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
	struct token token;
	for (const char *cursor = after_verb(call->verb->usage); token_next(&cursor, &token);) {
		if (!token_is(&token, word, length))
			continue;
		if (token.param[0] == '\0' && equals != NULL)
			return fail_set(fail, -EINVAL, "%s: %.*s takes no value", call->word, (int)length, word);
		if (token.param[0] == '\0')
			return set_flag(call, word, fail);
		if (equals != NULL)
			return add_value(call, token.param, equals + 1, fail);
		if (*at + 1 >= n)
			return fail_set(fail, -EINVAL, "%s: %s needs a value", call->word, word);
		return add_value(call, token.param, words[++*at], fail);
	}
	return fail_set(fail, -EINVAL, "%s: no option %.*s (upgctl help %s)", call->word, (int)length, word, call->word);
}

static const char *nth_positional(const char *usage, size_t index, struct token *token)
{
	for (const char *cursor = after_verb(usage); token_next(&cursor, token);)
		if (token->name[0][0] == '\0' && index-- == 0)
			return token->param;
	return NULL;
}

static int parse_words(struct grammar_call *call, char *const *words, size_t n, struct fail *fail)
{
	struct token token;
	size_t positionals = 0;
	bool only_values = false;
	for (size_t i = 1; i < n; i++) {
		int r;
		if (!only_values && strcmp(words[i], "--") == 0) {
			only_values = true;
			continue;
		}
		if (!only_values && words[i][0] == '-' && words[i][1] != '\0') {
			r = take_option(call, words, n, &i, fail);
		} else {
			const char *param = nth_positional(call->verb->usage, positionals++, &token);
			r = param != NULL ? add_value(call, param, words[i], fail) :
				fail_set(fail, -EINVAL, "%s: one word too many: %s (upgctl help %s)", call->word, words[i], call->word);
		}
		if (r < 0)
			return r;
	}
	const char *missing = nth_positional(call->verb->usage, positionals, &token);
	if (missing != NULL)
		return fail_set(fail, -EINVAL, "%s: which %s? (upgctl help %s)", call->word,
			strcmp(missing, "rollout") == 0 ? "run, by number" : strcmp(missing, "what") == 0 ? "STAGE/STEP" : missing, call->word);
	return 0;
}

int grammar_parse(struct grammar_call *call, char *const *words, size_t n, struct fail *fail)
{
	*call = (struct grammar_call){ 0 };
	int r = verb_find(words[0], &call->verb, fail);
	if (r < 0)
		return r;
	copy_part(call->word, sizeof(call->word), call->verb->usage, strcspn(call->verb->usage, " "));
	call->method = method_find(call->verb->method);
	call->params = json_object_new_object();
	r = parse_words(call, words, n, fail);
	if (r < 0)
		grammar_done(call);
	return r;
}

void grammar_done(struct grammar_call *call)
{
	json_object_put(call->params);
	call->params = NULL;
}

/* ---- help ---- */

/* "<skip:a,b>" is shown as "<a,b>". */
static void print_usage(FILE *out, const char *usage)
{
	while (*usage != '\0') {
		size_t n = strcspn(usage, "<");
		(void)fprintf(out, "%.*s", (int)n, usage);
		usage += n;
		n = strcspn(usage, ">");
		size_t colon = strcspn(usage, ":");
		if (*usage == '<')
			(void)fprintf(out, "<%.*s", (int)(colon < n ? n - colon - 1 : n - 1), usage + (colon < n ? colon + 1 : 1));
		usage += n;
	}
}

void grammar_help_all(FILE *out)
{
	size_t n;
	const struct verb *verbs = verb_table(&n);
	(void)fputs("usage: upgctl [--json] [--reason TEXT] [--socket PATH] VERB ...\n\n", out);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(out, "  %-9.*s %s\n", (int)strcspn(verbs[i].usage, " "), verbs[i].usage, verbs[i].help);
	(void)fputs("\nA verb may be cut as long as it is the only one that begins so. upgctl help VERB shows its options.\n"
		"exit: 0 ok, 1 error, 2 usage, 3 ended with units failed, parked or left out, 4 paused or waiting for a person,\n"
		"      5 held by a guard or window, 6 not permitted, 7 upgd not reachable\n", out);
}

int grammar_help(FILE *out, const char *word, struct fail *fail)
{
	const struct verb *verb;
	int r = verb_find(word, &verb, fail);
	if (r < 0)
		return r;
	(void)fputs("usage: upgctl ", out);
	print_usage(out, verb->usage);
	(void)fprintf(out, "\n  %s\n  needs the role %s\n", verb->help, role_word(method_find(verb->method)->role));
	return 0;
}
