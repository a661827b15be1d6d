/* SPDX-License-Identifier: MIT */
/* Each row spoils a small profile that is right, and names the sentence that must come of it. */
#include "daemon/profile_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char good[] =
	"language = 1; profile = \"small\";\n"
	"params = { to = { type = \"version\"; }; wait = { type = \"duration\"; default = \"5s\"; }; };\n"
	"sets = { node = { from = \"nodes\"; probe = \"version\"; class = ( { is = \"old\"; match = \"^1\"; }, { is = \"new\"; match = \"^${param.to}$\"; } ); };\n"
	"  shard = { sql = \"db\"; query = \"SELECT name, host, owner, tenants FROM shard\"; host = \"host\"; weight = \"tenants\"; column = \"owner\";\n"
	"            class = ( { is = \"old\"; match = \"^a$\"; }, { is = \"new\"; match = \"^b$\"; } ); }; };\n"
	"probes = { version = { http = \"${node.health}\"; }; up = { http = \"${node.health}\"; equals = \"${param.to}\"; };\n"
	"  off = { sql = \"db\"; query = \"SELECT id FROM t WHERE shard = ?\"; args = [ \"${shard.name}\" ]; };\n"
	"  same = { sql = \"db\"; query = \"SELECT id FROM t WHERE shard = ?\"; args = [ \"${shard.name}\" ]; subset_of = \"off\"; }; };\n"
	"stages = (\n"
	"  { name = \"roll\"; for = \"node\"; where = [ \"old\" ]; keep = ( { what = \"main.ready\"; min = 1; } ); steps = (\n"
	"    { name = \"out\"; server = \"main\"; want = \"maint\"; undo = { restore = true; }; },\n"
	"    { name = \"install\"; run = [ \"get\", \"${param.to}\" ]; on = \"self\"; resolve = \"rerun\"; pivot = true; verify = [ \"up\" ]; },\n"
	"    { name = \"in\"; server = \"main\"; want = \"ready\"; } ); },\n"
	"  { name = \"move\"; for = \"shard\"; where = [ \"old\" ]; after = [ \"roll\" ]; steps = (\n"
	"    { name = \"base\"; capture = ( { name = \"off\"; probe = \"off\"; } ); },\n"
	"    { name = \"close\"; run = [ \"off\", \"${shard.name}\" ]; on = \"new\"; resolve = \"rerun\"; window = \"open\"; undo = \"none\"; },\n"
	"    { name = \"move\"; run = [ \"move\" ]; on = \"new\"; resolve = \"attach\"; pivot = true; verify = [ \"same\" ]; },\n"
	"    { name = \"open\"; run = [ \"on\" ]; on = \"new\"; resolve = \"rerun\"; window = \"close\"; } ); } );\n";

static char *spoil(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text;
	assert_non_null(at);
	if (asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) < 0)
		abort();
	return text;
}

static void good_one_loads(void **state)
{
	(void)state;
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct profile *profile = profile_parse(good, "small", NULL, &errors, &fail);
	conf_errors_print(&errors, stderr);
	assert_non_null(profile);
	assert_int_equal(profile->n_stages, 2);
	assert_true(profile->stages[0].takes_out && profile->stages[1].has_window);
	struct profile *again = profile_parse(profile->text, "small", NULL, &errors, &fail);
	assert_non_null(again);
	assert_string_equal(again->text, profile->text); /* canonical text is a fixed point */
	profile_free(again);
	profile_free(profile);
	conf_errors_done(&errors);
}

static void spoiled_ones_are_refused(void **state)
{
	static const struct { const char *from, *to, *want; } rows[] = {
		{ "language = 1", "language = 2", "language" },
		{ "\"get\", \"${param.to}\"", "\"get\", \"${param.too}\"", "${param.too} is not known here" },
		{ "\"get\", \"${param.to}\"", "\"get\", \"${shard.name}\"", "${shard.name} is not known here" },
		{ "\"get\", \"${param.to}\"", "\"get\", \"${param.to\"", "expected ${name}" },
		{ "subset_of = \"off\"", "subset_of = \"on\"", "which no earlier step captures" },
		{ "verify = [ \"up\" ]", "verify = [ \"version\" ]", "expects nothing" },
		{ "verify = [ \"up\" ]", "verify = [ \"upp\" ]", "no probe \"upp\"" },
		{ "window = \"close\"", "timeout = \"5s\"", "opens a window that no step closes" },
		{ "window = \"open\"; ", "", "closes a window that is not open" },
		{ "{ name = \"move\"; run", "{ name = \"ask\"; approve = \"sure?\"; },\n{ name = \"move\"; run", "waits inside a window" },
		{ "undo = \"none\"; }", "}", "says not how it is undone" },
		{ "on = \"self\"; resolve = \"rerun\"; ", "on = \"self\"; ", "when its answer is lost" },
		{ "on = \"self\"; ", "", "says not where" },
		{ "run = [ \"move\" ]; on = \"new\"", "run = [ \"move\" ]; on = \"self\"", "its rows are no nodes" },
		{ "after = [ \"roll\" ]", "after = [ \"rol\" ]", "no stage \"rol\"" },
		{ "where = [ \"old\" ]; keep", "after = [ \"move\" ]; keep", "go in a circle" },
		{ "what = \"main.ready\"", "what = \"main.redy\"", "counts nothing" },
		{ "what = \"main.ready\"; min = 1", "what = \"main.ready\"", "needs min or max" },
		{ "want = \"ready\"", "want = \"redy\"", "did you mean \"ready\"" },
		{ "where = [ \"old\" ]; keep", "were = [ \"old\" ]; keep", "were" },
		{ "verify = [ \"up\" ]", "verify = [ \"up\" ]; on_orphans = \"kill\"", "on_orphans goes with orphans" },
		{ "verify = [ \"up\" ]", "verify = [ \"up\" ]; orphans = \"upp\"", "orphans: no probe \"upp\"" },
		{ "verify = [ \"up\" ]", "verify = [ \"up\" ]; orphans = \"up\"", "must be a probe with sql, or with lines, and rows = 0" },
		{ "default = \"5s\"", "default = \"5 parsec\"", "should be a duration" },
		{ "same = { sql = \"db\"", "same = { sql = \"replicas:${shard.host}\"", "args do not reach replicas" },
		{ "( { what = \"main.ready\"; min = 1; } )", "( { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; }, { what = \"main.ready\"; min = 1; } )", "keep: 9 of them, at most 8" },
		{ "( { name = \"off\"; probe = \"off\"; } )", "( { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; }, { name = \"off\"; probe = \"off\"; } )", "capture: 9 of them, at most 8" },
		{ "profile = \"small\";", "profile = \"small\"; classes = [ \"a\", \"b\", \"c\", \"d\", \"e\", \"f\" ];", "classes: 6 of them, at most 5" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = spoil(rows[i].from, rows[i].to);
		struct conf_errors errors = { 0 };
		struct fail fail = { 0 };
		struct profile *profile = profile_parse(text, "small", NULL, &errors, &fail);
		bool said = strstr(fail.text, rows[i].want) != NULL;
		for (size_t k = 0; k < errors.n; k++)
			said |= strstr(errors.lines[k], rows[i].want) != NULL && strncmp(errors.lines[k], "small:", 6) == 0;
		if (profile != NULL || !said) {
			(void)fprintf(stderr, "row %zu: wanted \"%s\"\n", i, rows[i].want);
			conf_errors_print(&errors, stderr);
		}
		assert_null(profile);
		assert_true(said);
		conf_errors_done(&errors);
		free(text);
	}
}

static void params_are_judged(void **state)
{
	static const char *const bad[][5] = { { "to", "-x", NULL }, { "too", "1", NULL }, { "wait", "5s", NULL }, { "to", "2", "wait", "soon", NULL } };
	static const char *const fine[] = { "to", "2.0", "wait", "9s", NULL };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct conf_errors errors = { 0 };
		struct fail fail = { 0 };
		assert_null(profile_parse(good, "small", bad[i], &errors, &fail));
		assert_true(errors.n > 0);
		conf_errors_done(&errors);
	}
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct profile *profile = profile_parse(good, "small", fine, &errors, &fail);
	assert_non_null(profile);
	assert_string_equal(profile->params[0].value, "2.0");
	profile_free(profile);
	conf_errors_done(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good_one_loads), cmocka_unit_test(spoiled_ones_are_refused), cmocka_unit_test(params_are_judged) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
