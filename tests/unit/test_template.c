/* SPDX-License-Identifier: MIT */
#include "daemon/render/template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int lookup(void *arg, const char *name, const char **out, struct fail *fail)
{
	(void)arg;
	if (strcmp(name, "node.name") == 0)
		return *out = "ox1", 0;
	if (strcmp(name, "param.to") == 0)
		return *out = "7.10.6", 0;
	if (strcmp(name, "odd") == 0)
		return *out = "${node.name}$${", 0;
	return fail_set(fail, -ENOENT, "${%s} has no value", name);
}

static void binds(void **state)
{
	static const struct { const char *text; enum template_quote quote; const char *want; } rows[] = {
		{ "", TEMPLATE_PLAIN, "" },
		{ "plain $ text }", TEMPLATE_PLAIN, "plain $ text }" },
		{ "${node.name}", TEMPLATE_PLAIN, "ox1" },
		{ "a${node.name}b${param.to}", TEMPLATE_PLAIN, "aox1b7.10.6" },
		{ "$${node.name}", TEMPLATE_PLAIN, "${node.name}" },
		{ "${secret.ox}", TEMPLATE_PLAIN, "${secret.ox}" },   /* stays a reference */
		{ "${odd}", TEMPLATE_PLAIN, "${node.name}$${" },      /* a value is never bound again */
		{ "^${param.to}(-|$)", TEMPLATE_REGEX, "^7\\.10\\.6(-|$)" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fail fail = { 0 };
		char *got = template_bind(rows[i].text, rows[i].quote, lookup, NULL, &fail);
		assert_non_null(got);
		assert_string_equal(got, rows[i].want);
		free(got);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "${", "${}", "${node.name", "${node name}", "a ${b${node.name}}", "${unknown}" };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fail fail = { 0 };
		assert_null(template_bind(bad[i], TEMPLATE_PLAIN, lookup, NULL, &fail));
		assert_true(fail.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(binds), cmocka_unit_test(refuses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
