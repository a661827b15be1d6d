/* SPDX-License-Identifier: MIT */
/* Each row spoils a small profile that is right, and names the sentence that must come of it. */
#include "daemon/profile_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What is observed, the plan that follows from it, a way of several steps, and what may become of a step. */
static const char ways[] =
	"language = 1; profile = \"small\";\n"
	"params = { from = { type = \"version\"; probe = \"version\"; }; to = { type = \"version\"; }; db = { type = \"name\"; default = \"app\"; }; };\n"
	"plans = ( { name = \"climb\"; when = { from = \"^1\"; to = \"^[23]\"; }; stages = [ \"climb\", \"roll\" ]; },\n"
	"  { name = \"patch\"; when = { from = \"^2\"; }; stages = [ \"roll\" ]; } );\n"
	"sets = { node = { from = \"nodes\"; probe = \"version\"; class = ( { is = \"old\"; match = \"^1\"; } ); };\n"
	"  edge = { from = \"path\"; probe = \"level\"; to = \"${param.to}\"; levels = ( { is = \"two\"; match = \"^2\"; } );\n"
	"    edges = ( { from = \"one\"; to = \"two\"; file = \"${param.db}.sql\"; } ); };\n"
	"  fix = { sql = \"db\"; query = \"SELECT name, state FROM fix\"; column = \"state\"; absent = \"new\"; class = ( { is = \"old\"; match = \".\"; } ); }; };\n"
	"probes = { version = { read = \"/version\"; on = \"self\"; };\n"
	"  level = { run = [ \"level\", \"${param.db}\" ]; on = \"local\"; lines = true; };\n"
	"  there = { run = [ \"level\", \"${param.db}\" ]; on = \"local\"; cwd = \"/x\"; equals = \"${edge.name}\"; };\n"
	"  lives = { run = [ \"true\" ]; on = \"local\"; exit = [ 0, 3 ]; }; broken = { read = \"/log\"; on = \"self\"; match = \"panic\"; }; };\n"
	"stages = (\n"
	"  { name = \"climb\"; for = \"edge\"; where = [ \"old\" ]; order = \"path\"; check = [ \"lives\" ]; steps = (\n"
	"    { name = \"dump\"; run = [ \"dump\" ]; on = \"local\"; resolve = \"rerun\"; undo = { run = [ \"restore\" ]; unless = [ \"lives\" ]; takes = \"5m\"; }; },\n"
	"    { name = \"sql\"; run = [ \"psql\", \"${edge.file}\", \"${edge.from}\" ]; on = \"local\"; cwd = \"/sql\"; exit = [ 0, 1 ]; match = \"COMMIT\"; not_match = \"^ERROR\";\n"
	"      resolve = \"rerun\"; verify = [ \"there\" ]; progress = \"level\"; stall = \"10m\"; undo = \"none\";\n"
	"      on_failure = ( { match = \"lock\"; do = \"retry\"; max = 3; wait = \"10s\"; }, { match = \"half\"; do = \"again\"; from = \"dump\"; max = 1; }, { do = \"back\"; hint = \"see\"; } ); } ); },\n"
	"  { name = \"repair\"; for = \"fix\"; where = [ \"old\" ]; after = [ \"climb\" ]; steps = ( { name = \"go\"; run = [ \"fix\", \"${fix.name}\" ]; on = \"local\"; resolve = \"rerun\"; } ); },\n"
	"  { name = \"roll\"; for = \"node\"; where = [ \"old\" ]; after = [ \"repair\" ]; steps = (\n"
	"    { name = \"shed\"; server = \"main\"; want = \"maint\"; then = \"shed\"; rate = 50; undo = { restore = true; }; },\n"
	"    { name = \"install\"; run = [ \"get\" ]; on = \"self\"; resolve = \"rerun\"; verify = [ \"lives\" ]; within = \"1m\"; fails = [ \"broken\" ]; undo = \"none\"; } ); } );\n";

static char *spoil(const char *whole, const char *from, const char *to)
{
	const char *at = strstr(whole, from);
	char *text;
	if (at == NULL)
		(void)fprintf(stderr, "there is no \"%s\"\n", from);
	assert_non_null(at);
	if (asprintf(&text, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from)) < 0)
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

struct spoiled { const char *from, *to, *want; };

static void each_is_refused(const char *whole, const struct spoiled *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *text = spoil(whole, rows[i].from, rows[i].to);
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

static void spoiled_ones_are_refused(void **state)
{
	static const struct spoiled rows[] = {
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
	each_is_refused(good, rows, sizeof(rows) / sizeof(rows[0]));
}

static void spoiled_ways_are_refused(void **state)
{
	static const struct spoiled rows[] = {
		/* params */
		{ "probe = \"version\"; }; to", "probe = \"versoin\"; }; to", "parameter from: no probe \"versoin\"" },
		{ "default = \"app\"", "default = \"app\"; probe = \"level\"", "has a default and a probe" },
		{ "read = \"/version\"; on = \"self\"", "read = \"/version\"; on = \"old\"", "parameter from: probe version has on = \"old\"" },
		{ "read = \"/version\"", "read = \"/${edge.from}\"", "parameter from: ${edge.from} is not known here" },
		{ "on = \"self\"; };\n  level", "on = \"self\"; same_as = \"x\"; };\n  level", "parameter from: probe version compares with a capture" },
		/* plans */
		{ "when = { from = \"^2\"; }", "when = { form = \"^2\"; }", "plan patch: no parameter \"form\"" },
		{ "when = { from = \"^2\"; }", "when = { from = \"(\"; }", "\"(\" is no regular expression" },
		{ "stages = [ \"roll\" ]", "stages = [ ]", "plan patch has no stages" },
		{ "stages = [ \"roll\" ]", "stages = [ \"rool\" ]", "plan patch names 1 stages, and 0 of them are there" },
		{ "stages = [ \"roll\" ]", "stages = [ \"roll\", \"roll\" ]", "plan patch names 2 stages, and 1 of them are there" },
		{ "{ name = \"patch\"; when", "{ nam = \"patch\"; when", "nam" },
		{ "verify = [ \"lives\" ]; within", "verify = [ \"there\" ]; within", "${edge.name} is not known here" }, /* in every plan */
		/* paths */
		{ "from = \"path\"; probe = \"level\"", "from = \"path\"; probe = \"levle\"", "set edge: no probe \"levle\"" },
		{ "from = \"path\"; probe = \"level\"", "from = \"path\"; probe = \"version\"", "edge: probe version has on = \"self\"" },
		{ "from = \"path\"; probe", "from = \"paht\"; probe", "a set comes from \"nodes\", \"path\" or from sql" },
		{ "from = \"path\"; probe = \"level\"; to = \"${param.to}\"", "from = \"path\"; probe = \"level\"", "to" },
		{ "from = \"path\"; probe = \"level\"; to = \"${param.to}\"", "from = \"path\"; probe = \"level\"; to = \"${param.ot}\"", "${param.ot} is not known here" },
		{ "{ from = \"one\"; to = \"two\"; file = \"${param.db}.sql\"; }", "", "a path without edges leads nowhere" },
		{ "file = \"${param.db}.sql\"", "name = \"x\"", "an edge is named by its `to`" },
		{ "file = \"${param.db}.sql\"", "file = 7", "a column of an edge is one line of text" },
		{ "file = \"${param.db}.sql\"", "file = \"${node.name}\"", "${node.name} is not known here" },
		{ "match = \"^2\"; } );\n    edges", "match = \"[\"; } );\n    edges", "is no regular expression" },
		{ "\"${edge.file}\"", "\"${edge.flie}\"", "${edge.flie} is not known here" },
		{ "order = \"path\"; ", "", "order = \"path\" is for the edges of a path" },
		{ "order = \"path\"; ", "order = \"path\"; again = true; ", "again is not for the edges of a path" },
		{ "where = [ \"old\" ]; after = [ \"repair\" ]", "where = [ \"old\" ]; order = \"path\"; after = [ \"repair\" ]", "order = \"path\" is for the edges of a path" },
		{ "absent = \"new\"", "absent = \"gone\"", "no class \"gone\"" },
		{ "probe = \"version\"; class", "probe = \"version\"; absent = \"new\"; class", "absent goes with sql" },
		{ "check = [ \"lives\" ]", "check = [ \"broken\" ]", "on = \"self\", but its rows are no nodes" },
		/* probes */
		{ "on = \"local\"; lines = true", "on = \"local\"; lines = true; column = \"x\"", "lines goes with run or read, and without column" },
		{ "read = \"/log\"; on = \"self\"", "read = \"/log\"; on = \"self\"; exit = [ 1 ]", "exit and cwd go with run" },
		{ "exit = [ 0, 3 ]", "exit = [ 300 ]", "numbers from 0 to 255" },
		{ "exit = [ 0, 3 ]", "exit = [ 0, 1, 2, 3, 4, 5, 6, 7, 8 ]", "exit: 9 of them, at most 8" },
		{ "match = \"panic\"", "match = \"panic\"; not_match = \"x\"", "expects two things" },
		/* steps */
		{ "match = \"COMMIT\"", "match = \"(COMMIT\"", "\"(COMMIT\" is no regular expression" },
		{ "then = \"shed\"; rate = 50", "then = \"shed\"", "then = \"shed\" and rate" },
		{ "then = \"shed\"; rate = 50", "rate = 50", "then = \"shed\" and rate" },
		{ "then = \"shed\"; rate = 50", "cwd = \"/\"", "cwd, exit, match and not_match go with run" },
		{ "unless = [ \"lives\" ]", "unless = [ \"livse\" ]", "unless: no probe \"livse\"" },
		{ "unless = [ \"lives\" ]", "unless = [ \"broken\" ]", "on = \"self\", but its rows are no nodes" },
		{ "within = \"1m\"; ", "", "fails needs verify and within" },
		{ "stall = \"10m\"; ", "", "and stall, how long it may stand still, go together" },
		{ "progress = \"level\"; ", "", "and stall, how long it may stand still, go together" },
		{ "progress = \"level\"", "progress = \"lvl\"", "progress: no probe \"lvl\"" },
		{ "{ match = \"lock\"; do = \"retry\"", "{ match = \"lock\"", "on_failure: needs do" },
		{ "do = \"again\"; from = \"dump\"", "do = \"again\"", "on_failure: from, an earlier step, goes with" },
		{ "do = \"again\"; from = \"dump\"", "do = \"again\"; from = \"sql\"", "from = \"sql\" is no earlier step of climb" },
		{ "do = \"back\"; hint", "do = \"back\"; wait = \"1s\"; hint", "max and wait go with" },
		{ "{ name = \"dump\"; ", "{ name = \"dump\"; pivot = true; ", "do = \"back\" is for steps before any pivot" },
		{ "{ name = \"dump\"; ", "{ name = \"dump\"; pivot = true; ", "do = \"again\" goes back over dump" },
		{ "match = \"lock\"; do", "match = \"(lock\"; do", "\"(lock\" is no regular expression" },
	};
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	(void)state;
	struct profile *profile = profile_parse(ways, "small", NULL, &errors, &fail);
	conf_errors_print(&errors, stderr);
	assert_non_null(profile);
	profile_free(profile);
	conf_errors_done(&errors);
	each_is_refused(ways, rows, sizeof(rows) / sizeof(rows[0]));
}

static struct profile *with(const char *const *params, const char *want)
{
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct profile *profile = profile_parse(ways, "small", params, &errors, &fail);
	assert_int_equal(profile == NULL, want != NULL);
	if (want != NULL && strstr(errors.lines[0], want) == NULL)
		fail_msg("%s", errors.lines[0]);
	conf_errors_done(&errors);
	return profile;
}

/* The journal keeps text and parameters: whoever folds it later has the same stages under the same numbers. */
static void a_plan_leaves_stages_out(void **state)
{
	static const char *const climb[] = { "from", "1.7", "to", "2.0", NULL }, *const patch[] = { "from", "2.0", "to", "2.1", NULL };
	static const char *const none[] = { "from", "3.0", "to", "4.0", NULL }, *const less[] = { "to", "2.0", NULL };
	char text[200];
	(void)state;
	struct profile *profile = with(climb, NULL);
	assert_int_equal(profile->n_stages, 2);
	assert_string_equal(profile->stages[0].name, "climb");
	assert_string_equal(profile->stages[1].name, "roll");
	assert_int_equal(profile->stages[1].after, 0); /* repair is not there: who waits for it waits for nothing */
	assert_false(profile->sets[2].idle);
	assert_true(profile->sets[3].idle); /* nobody asks for what there is no stage for */
	assert_true(profile_plan_text(profile, text, sizeof(text)));
	assert_string_equal(text, "plan: climb (from 1.7 matches ^1, to 2.0 matches ^[23])");
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct profile *again = profile_parse(profile->text, "journal", climb, &errors, &fail);
	assert_non_null(again);
	assert_string_equal(again->text, profile->text);
	assert_int_equal(again->plan, profile->plan);
	assert_int_equal(again->n_stages, 2);
	profile_free(again);
	char *loose = NULL; /* of an upgd that asked for less: what was started with it goes on */
	const char *at = strstr(profile->text, "order = \"path\"");
	assert_true(at != NULL && asprintf(&loose, "%.*sagain = true;\n%s", (int)(at - profile->text), profile->text, at) > 0);
	assert_null(profile_parse(loose, "journal", climb, &errors, &fail));
	conf_errors_done(&errors);
	errors = (struct conf_errors){ 0 };
	again = profile_of_journal(loose, climb, &errors, &fail);
	assert_non_null(again);
	free(loose);
	assert_non_null(strstr(profile->text, "repair")); /* the whole text, whatever was taken of it */
	profile_free(again);
	profile_free(profile);
	profile = with(patch, NULL);
	assert_int_equal(profile->n_stages, 1);
	assert_true(profile->sets[2].idle && !profile->sets[1].idle);
	profile_free(profile);
	(void)with(none, "profile small has no plan for this: climb (from is 3.0 and should match ^1, to is 4.0 and should match ^[23]), patch (from is 3.0 and should match ^2)");
	(void)with(less, "parameter from is missing");
}

/* Before the site was asked: what it will be asked for may be missing, nothing else. */
static void early_is_without_what_is_asked(void **state)
{
	static const char *const less[] = { "to", "2.0", NULL }, *const nothing[] = { NULL }, *const bad[] = { "to", "2.0", "db", "a b", NULL };
	char path[] = "/tmp/upgd-test-profile-XXXXXX";
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, ways, strlen(ways)), (ssize_t)strlen(ways));
	(void)close(fd);
	struct profile *profile = profile_load_early(path, less, &errors, &fail);
	assert_non_null(profile);
	assert_null(profile->params[0].value);
	profile_free(profile);
	assert_null(profile_load_early(path, nothing, &errors, &fail));
	assert_non_null(strstr(errors.lines[0], "parameter to is missing"));
	conf_errors_done(&errors);
	errors = (struct conf_errors){ 0 };
	assert_null(profile_load_early(path, bad, &errors, &fail));
	assert_non_null(strstr(errors.lines[0], "parameter db = \"a b\": should be a name"));
	conf_errors_done(&errors);
	(void)unlink(path);
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(good_one_loads), cmocka_unit_test(spoiled_ones_are_refused), cmocka_unit_test(params_are_judged),
		cmocka_unit_test(spoiled_ways_are_refused), cmocka_unit_test(a_plan_leaves_stages_out), cmocka_unit_test(early_is_without_what_is_asked) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
