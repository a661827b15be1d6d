/* SPDX-License-Identifier: MIT */
/* methods.def against io.upgd.Control.varlink, both ways; and the check of parameters. */
#include "proto/json.h"
#include "proto/methods.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* White space and comments left out, so that line breaks do not matter. */
static char *squeezed(const char *text)
{
	char *copy = malloc(strlen(text) + 1), *to = copy;
	for (; *text != '\0'; text++) {
		if (*text == '#')
			text += strcspn(text, "\n");
		if (strchr(" \t\n", *text) == NULL)
			*to++ = *text;
	}
	*to = '\0';
	return copy;
}

/* "methodStatus()->(": `method` is no part of another word there, as a name follows with a capital letter. */
static const char *next_method(const char *at)
{
	while ((at = strstr(at, "method")) != NULL) {
		at += strlen("method");
		if (*at >= 'A' && *at <= 'Z')
			return at;
	}
	return NULL;
}

static void test_every_method_of_the_interface_is_in_the_table(void **state)
{
	(void)state;
	char *text = squeezed(control_interface_text);
	size_t found = 0, n;
	(void)method_table(&n);
	for (const char *at = text; (at = next_method(at)) != NULL; found++) {
		char name[64];
		size_t length = strcspn(at, "(");
		(void)snprintf(name, sizeof(name), "%.*s", (int)length, at);
		const struct method *method = method_find(name);
		if (method == NULL)
			fail_msg("methods.def lacks %s", name);
		char *args = squeezed(method->args);
		const char *theirs = at + length + 1;
		if (strncmp(theirs, args, strlen(args)) != 0 || theirs[strlen(args)] != ')')
			fail_msg("%s: methods.def says (%s), the interface (%.*s)", name, args, (int)strcspn(theirs, ")"), theirs);
		free(args);
	}
	assert_int_equal(found, n); /* no name is there twice, so this is the other way round */
	free(text);
}

static void test_every_row_can_be_read(void **state)
{
	(void)state;
	size_t n, n_verbs;
	const struct method *methods = method_table(&n);
	for (size_t i = 0; i < n; i++) {
		struct method_arg arg, again;
		assert_ptr_equal(method_find(methods[i].name), &methods[i]);
		for (const char *cursor = NULL; method_arg_next(&methods[i], &cursor, &arg);)
			assert_true(method_arg_find(&methods[i], arg.name, &again));
		assert_int_equal(method_arg_find(&methods[i], "request_id", &arg), methods[i].mutating);
		if (methods[i].mutating)
			assert_true(methods[i].role >= ROLE_OPERATOR);
	}
	const struct verb *verbs = verb_table(&n_verbs);
	for (size_t i = 0; i < n_verbs; i++)
		assert_non_null(method_find(verbs[i].method));
}

static void test_check(void **state)
{
	(void)state;
	static const struct {
		const char *method, *params, *bad, *why;
	} rows[] = {
		{ "Status", "{}", NULL, NULL },
		{ "Status", "{\"x\":1}", "x", "no parameter" },
		{ "Explain", "{}", "unit", "needs" },
		{ "Explain", "{\"unit\":null}", "unit", "needs" },
		{ "Explain", "{\"unit\":1}", "unit", "a string" },
		{ "Explain", "{\"unit\":\"a/b\"}", NULL, NULL },
		{ "Log", "{\"since\":1.5}", "since", "whole" },
		{ "Log", "{\"since\":\"1\"}", "since", "whole" },
		{ "Log", "{\"since\":null,\"limit\":3}", NULL, NULL },
		{ "Pause", "{\"now\":1}", "now", "true or false" },
		{ "Start", "{\"only\":[\"a\",1]}", "only", "array of strings" },
		{ "Start", "{\"only\":\"a\"}", "only", "array of strings" },
		{ "Start", "{\"params\":{\"to\":1}}", "params", "object of strings" },
		{ "Start", "{\"params\":{\"to\":null}}", "params", "object of strings" },
		{ "Start", "{\"params\":{\"to\":\"2\"},\"only\":[\"a\"],\"yes\":true}", NULL, NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fail fail = { 0 };
		char bad[64] = "";
		json_cleanup struct json_object *params = json_parse(rows[i].params, strlen(rows[i].params), &fail);
		int r = method_check(method_find(rows[i].method), params, bad, &fail);
		assert_int_equal(r, rows[i].bad != NULL ? -EINVAL : 0);
		if (rows[i].bad == NULL)
			continue;
		assert_string_equal(bad, rows[i].bad);
		if (strstr(fail.text, rows[i].why) == NULL)
			fail_msg("%s %s: %s", rows[i].method, rows[i].params, fail.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_method_of_the_interface_is_in_the_table),
		cmocka_unit_test(test_every_row_can_be_read),
		cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
