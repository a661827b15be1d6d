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
	rehearse(profile, rows, 2, &result);
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
	rehearse(profile, rows, 3, &result);
	assert_false(result.reaches_end);
	assert_string_equal(result.problem,
		"convert/ox1 could never start: old.capacity would be 50, and must be at least 90 (old.tenants)");
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_site_ends),
		cmocka_unit_test(one_node_cannot),
		cmocka_unit_test(capacity_is_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
