/* SPDX-License-Identifier: MIT */
#include "daemon/core/rehearse.h"
#include "daemon/profile_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct profile *ox(void)
{
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct profile *profile = profile_load(UPGD_SOURCE_DIR "/conf/profiles/ox-appsuite.conf", NULL, &errors, &fail);
	conf_errors_print(&errors, stderr);
	assert_non_null(profile);
	conf_errors_done(&errors);
	return profile;
}

static void small_site_ends(void **state)
{
	(void)state;
	struct profile *profile = ox();
	struct rehearse_result result;
	rehearse_small(profile, &result);
	assert_string_equal(result.problem, "");
	assert_true(result.reaches_end);
	assert_int_equal(result.most_out, 1);
	assert_true(result.most_down > 0 && result.most_down <= 200);
	profile_free(profile);
}

/* One node cannot be taken out and serve. */
static void one_node_cannot(void **state)
{
	(void)state;
	struct profile *profile = ox();
	struct rehearse_row rows[] = { { .set = 1, .columns = "name=ox1\n", .class_ = CLASS_OLD },
		{ .set = 2, .columns = "name=s1\n", .class_ = CLASS_OLD, .weight = 5, .host = 1 } };
	struct rehearse_result result;
	rehearse(profile, rows, 2, NULL, &result);
	assert_false(result.reaches_end);
	assert_string_equal(result.problem, "convert/ox1 could never start: main.ready would be 0, and must be at least 1 (1)");
	profile_free(profile);
}

/* Declared capacity that cannot carry the tenants while a node is out. */
static void capacity_is_judged(void **state)
{
	(void)state;
	struct profile *profile = ox();
	struct rehearse_row rows[] = { { .set = 1, .columns = "name=ox1\n", .class_ = CLASS_OLD, .capacity = 50 },
		{ .set = 1, .columns = "name=ox2\n", .class_ = CLASS_OLD, .capacity = 50 },
		{ .set = 2, .columns = "name=s1\n", .class_ = CLASS_OLD, .weight = 90, .host = 1 } };
	struct rehearse_result result;
	rehearse(profile, rows, 3, NULL, &result);
	assert_false(result.reaches_end);
	assert_string_equal(result.problem,
		"convert/ox1 could never start: old.capacity would be 50, and must be at least 90 (old.tenants)");
	profile_free(profile);
}

static struct rehearse_result timed(const struct profile *profile, uint32_t n_schemata)
{
	enum { NODES = 4, MAX = 64 };
	struct rehearse_row rows[NODES + MAX];
	char names[NODES + MAX][24];
	for (uint32_t i = 0; i < NODES + n_schemata; i++) {
		bool is_node = i < NODES;
		(void)snprintf(names[i], sizeof(names[i]), "name=row%u\n", i);
		rows[i] = (struct rehearse_row){ .set = is_node ? 1 : 2, .columns = names[i], .class_ = CLASS_OLD, .weight = is_node ? 0 : 10,
			.host = is_node ? 0 : (uint16_t)(1 + i % 2), .capacity = is_node ? 1000 : 0 };
	}
	struct rehearse_result result;
	const struct rehearse_options options = { .timed = true };
	rehearse(profile, rows, NODES + n_schemata, &options, &result);
	assert_string_equal(result.problem, "");
	assert_true(result.reaches_end);
	return result;
}

/* A window holds what its steps take; twice as many per host at once end sooner, with more tenants down. */
static void time_follows_the_limits(void **state)
{
	(void)state;
	struct profile *profile = ox();
	int migrate = profile_stage(profile, "migrate");
	assert_true(migrate >= 0);
	struct stage *stage = &profile->stages[migrate];
	uint64_t window = 0;
	for (size_t i = 0; i < stage->n_steps; i++)
		window += stage->steps[i].takes_ms;
	assert_true(window >= 30000);
	struct rehearse_result narrow = timed(profile, 41);
	assert_int_equal(narrow.n_windows, 41);
	for (size_t i = 0; i < narrow.n_windows; i++)
		assert_true(narrow.windows[i].ms >= window && narrow.windows[i].ms < window + 5000);
	assert_int_equal(narrow.most_down, 40);
	uint64_t spent = narrow.stage_end_ms[migrate] - narrow.stage_begin_ms[migrate];
	assert_true(spent >= stage->soak_ms + 11 * window && spent < stage->soak_ms + 13 * window);
	assert_true(narrow.makespan_ms > narrow.stage_end_ms[migrate]);
	stage->total = 8;
	stage->per_host = 4;
	struct rehearse_result wide = timed(profile, 41);
	assert_int_equal(wide.most_down, 80);
	assert_true(wide.stage_end_ms[migrate] < narrow.stage_end_ms[migrate]);
	rehearse_result_done(&narrow);
	rehearse_result_done(&wide);
	profile_free(profile);
}

static void a_cancelled_one_ends(void **state)
{
	(void)state;
	struct profile *profile = ox();
	struct rehearse_row rows[] = { { .set = 1, .columns = "name=ox1\n", .class_ = CLASS_OLD } };
	struct rehearse_result result;
	atomic_bool cancel = true;
	rehearse(profile, rows, 1, &(struct rehearse_options){ .cancel = &cancel }, &result);
	assert_true(result.cancelled);
	profile_free(profile);
}

/* All down, step by step to the new level, and up again: one node, no tenants, no floors. */
static void a_way_comes_to_its_end(void **state)
{
	static const char text[] = "language = 1; profile = \"way\"; params = { to = { type = \"version\"; default = \"3\"; }; };\n"
		"sets = { node = { from = \"nodes\"; probe = \"version\"; class = ( { is = \"old\"; match = \"1\"; } ); };\n"
		"  edge = { from = \"path\"; probe = \"level\"; to = \"${param.to}\"; edges = ( { from = \"1\"; to = \"2\"; }, { from = \"2\"; to = \"3\"; } ); };\n"
		"  fix = { sql = \"db\"; query = \"SELECT name, state\"; column = \"state\"; class = ( { is = \"old\"; match = \".\"; } ); }; };\n"
		"probes = { version = { read = \"/v\"; on = \"self\"; }; level = { read = \"/l\"; on = \"local\"; }; };\n"
		"stages = ( { name = \"down\"; for = \"node\"; where = [ \"old\" ]; limits = { total = 9; }; steps = (\n"
		"    { name = \"stop\"; run = [ \"stop\" ]; on = \"self\"; resolve = \"rerun\"; window = \"open\"; undo = { run = [ \"start\" ]; }; },\n"
		"    { name = \"stopped\"; run = [ \"x\" ]; on = \"self\"; resolve = \"rerun\"; window = \"close\"; undo = \"none\"; } ); },\n"
		"  { name = \"climb\"; for = \"edge\"; where = [ \"old\" ]; order = \"path\"; needs = [ \"down\" ]; steps = (\n"
		"    { name = \"sql\"; run = [ \"psql\" ]; on = \"local\"; resolve = \"rerun\"; } ); },\n"
		"  { name = \"mend\"; for = \"fix\"; where = [ \"old\" ]; needs = [ \"climb\" ]; steps = ( { name = \"go\"; run = [ \"x\" ]; on = \"local\"; resolve = \"rerun\"; } ); },\n"
		"  { name = \"up\"; for = \"node\"; where = [ \"old\" ]; needs = [ \"mend\" ]; canary = 1; soak = \"1m\"; steps = (\n"
		"    { name = \"start\"; run = [ \"start\" ]; on = \"self\"; resolve = \"rerun\"; } ); } );\n";
	static const struct rehearse_row rows[] = { { .set = 1, .columns = "name=one\n", .class_ = CLASS_OLD, .weight = 1 },
		{ .set = 2, .columns = "name=2\nfrom=1\n", .class_ = CLASS_OLD }, { .set = 2, .columns = "name=3\nfrom=2\n", .class_ = CLASS_OLD } };
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	struct rehearse_result result;
	(void)state;
	struct profile *profile = profile_parse(text, "way", NULL, &errors, &fail);
	conf_errors_print(&errors, stderr);
	assert_non_null(profile);
	for (size_t n_rows = 1; n_rows <= 3; n_rows++) { /* one node; and no step, one or two to go */
		const struct rehearse_options timed = { .timed = true };
		rehearse(profile, rows, n_rows, &timed, &result);
		assert_string_equal(result.problem, "");
		assert_true(result.reaches_end);
		assert_int_equal(result.actions, 2 + (n_rows - 1) + 1);
		rehearse_result_done(&result);
	}
	rehearse_small(profile, &result);
	assert_string_equal(result.problem, "");
	assert_true(result.reaches_end);
	profile_free(profile);
	conf_errors_done(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_site_ends),
		cmocka_unit_test(one_node_cannot),
		cmocka_unit_test(capacity_is_judged),
		cmocka_unit_test(time_follows_the_limits), cmocka_unit_test(a_cancelled_one_ends), cmocka_unit_test(a_way_comes_to_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
