/* SPDX-License-Identifier: MIT */
/* A way of several steps: which edges lead on, and in which order and when their units start. */
#include "daemon/core/decide.h"
#include "daemon/core/explain.h"
#include "daemon/way.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S(text) ((char *)(uintptr_t)(text))

static struct edge edges[] = {
	{ S("4.0"), S("4.1"), S("from=4.0\nfile=${param.dir}/41.sql\n") },
	{ S("4.1"), S("4.2"), S("from=4.1\n") },
	{ S("4.2"), S("5.0"), S("from=4.2\n") },
	{ S("4.0"), S("4.2"), S("from=4.0\n") },
	{ S("4.1"), S("5.0"), S("from=4.1\n") },
	{ S("7.0"), S("8.0"), S("from=7.0\n") },
};
static struct level_rule levels[] = { { S("5.0"), S("^5[.]") }, { S("4.2"), S("^4[.]2[.]") } };
static struct param params[] = { { .name = S("dir"), .value = S("C:\\sql") } };
static struct set sets[] = { { .name = S("cluster"), .from = SET_CLUSTER },
	{ .name = S("edge"), .from = SET_PATH, .edges = edges, .n_edges = 6, .levels = levels, .n_levels = 2 } };
static struct step steps[1] = { { .name = S("sql"), .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1, .resolve = RESOLVE_RERUN } };
static struct stage stage = { .name = S("climb"), .set = 1, .where = 1u << CLASS_OLD, .order = ORDER_PATH, .fence = -1, .total = 8, .steps = steps, .n_steps = 1 };
static struct profile profile = { .set_node = -1, .set_tenants = -1, .sets = sets, .n_sets = 2, .stages = &stage, .n_stages = 1,
	.params = params, .n_params = 1, .plan = -1 };

static void the_shortest_way_is_found(void **state)
{
	struct way way;
	struct fail fail;
	(void)state;
	assert_int_equal(way_find(&sets[1], "4.0", "5.0", &way, &fail), 0);
	assert_int_equal(way.n, 2);
	assert_true(way.edges[0] == 0 && way.edges[1] == 4); /* as short as over 4.2, and first in the profile */
	assert_int_equal(way_find(&sets[1], "5.0", "5.0", &way, &fail), 0);
	assert_int_equal(way.n, 0);
	assert_int_equal(way_find(&sets[1], "9", "9", &way, &fail), 0); /* nothing to do, whatever it is called */
}

static void where_there_is_none_it_is_said(void **state)
{
	static const struct { const char *level, *target, *want; } rows[] = {
		{ "3.9", "5.0", "the site is at level \"3.9\", which the profile does not know, and should come to \"5.0\"; it knows 4.0 to 4.1, 4.1 to 4.2" },
		{ "5.0", "4.1", "the site is at level \"5.0\", which is newer than \"4.1\": there is no way back" },
		{ "4.0", "8.0", "there is no way from level \"4.0\", where the site is, to \"8.0\"" },
		{ "4.0", "6.0", "there is no way from level \"4.0\", where the site is, to \"6.0\"" },
	};
	struct way way;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fail fail = { .text = "" };
		assert_int_equal(way_find(&sets[1], rows[i].level, rows[i].target, &way, &fail), -ENOENT);
		assert_int_equal(way.n, 0);
		if (strstr(fail.text, rows[i].want) == NULL)
			fail_msg("%s", fail.text);
	}
}

static void a_version_has_a_level(void **state)
{
	(void)state;
	assert_string_equal(way_target(&sets[1], "5.1.3"), "5.0");
	assert_string_equal(way_target(&sets[1], "4.2.7"), "4.2");
	assert_string_equal(way_target(&sets[1], "4.1"), "4.1"); /* no rule: it is called so */
}

static void columns_are_bound(void **state)
{
	struct bind bind = { .profile = &profile, .lane = LANE_NONE };
	struct fail fail;
	char value[64];
	(void)state;
	char *columns = way_columns(&edges[0], &bind, &fail);
	assert_non_null(columns);
	const struct row row = { .columns = columns };
	assert_true(row_column(&row, "name", value, sizeof(value)));
	assert_string_equal(value, "4.1");
	assert_true(row_column(&row, "from", value, sizeof(value)));
	assert_string_equal(value, "4.0");
	assert_true(row_column(&row, "file", value, sizeof(value)));
	assert_string_equal(value, "C:\\sql/41.sql");
	free(columns);
	params[0].value = NULL;
	assert_null(way_columns(&edges[0], &bind, &fail));
	params[0].value = S("C:\\sql");
}

/* ---- the rules ---- */

static struct rollout *r;
static struct out out;
static uint64_t now;

static void tell(struct event ev)
{
	ev.boot_ms = now += 10;
	ev.wall_ms = 1700000000000 + (int64_t)now;
	out_reset(&out);
	decide(r, &ev, &out);
}

static void put(struct record rec)
{
	rec.seq = r->seq + 1;
	rec.boot_ms = now;
	assert_int_equal(rollout_apply(r, &rec), 0);
}

/* As the watch would. NULL: nobody says it. */
static void seen(const char *level)
{
	int passed = level != NULL ? way_passed(r, 1, level) : -1;
	r->facts.rows_at[1] = level != NULL ? now + 10 : 0;
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == 1)
			r->facts.rows[i] = (struct fact_row){ .known = passed >= 0, .up = true, .class_ = (int)r->rows[i].rank < passed ? CLASS_NEW : CLASS_OLD };
	tell((struct event){ .kind = EVENT_FACTS });
}

/* In the order in which they are gone, which is not that of their names. */
static void begin(const char *level)
{
	static const char *const rows[] = { "name=9\nfrom=8\n", "name=10\nfrom=9\n", "name=11\nfrom=10\n" };
	now = 1000;
	r = rollout_new(&profile, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	put((struct record){ .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\n" });
	for (uint32_t i = 0; i < 3; i++)
		put((struct record){ .kind = RECORD_ROW, .unit = i + 1, .step = 1, .code = CLASS_OLD, .text = rows[i] });
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	seen(level);
}

static int teardown(void **state)
{
	(void)state;
	out_done(&out);
	rollout_free(r);
	r = NULL;
	return 0;
}

/* Through the gate, and to its end. */
static void goes(const char *name, const char *level)
{
	uint32_t unit = rollout_unit(r, name);
	assert_int_equal(r->live[unit].busy, BUSY_GATE); /* not on what was seen before the last step */
	tell((struct event){ .kind = EVENT_GATE, .unit = unit, .result = RESULT_OK });
	assert_int_equal(r->units[unit].state, UNIT_RUNNING);
	tell((struct event){ .kind = EVENT_ACTED, .unit = unit, .attempt = 1, .lane = r->units[unit].lane[0], .seq = r->units[unit].intent[0], .result = RESULT_OK });
	tell((struct event){ .kind = EVENT_VERIFIED, .unit = unit, .attempt = 1, .result = RESULT_OK });
	assert_int_equal(r->units[unit].state, UNIT_DONE);
	seen(level);
}

static const char *says(const char *name)
{
	static char text[400];
	uint32_t unit = rollout_unit(r, name);
	return why_text(r, unit, &r->live[unit].why, text, sizeof(text));
}

static void one_after_the_other(void **state)
{
	(void)state;
	begin("8");
	assert_int_equal(r->order[0][0], rollout_unit(r, "climb/9"));
	assert_int_equal(r->live[rollout_unit(r, "climb/10")].busy, BUSY_NO);
	assert_string_equal(says("climb/10"), "order: climb/9 comes before it and is not done");
	goes("climb/9", "9");
	assert_int_equal(way_passed(r, 1, "9"), 1);
	goes("climb/10", "10");
	goes("climb/11", "11");
	assert_int_equal(way_passed(r, 1, "11"), 3);
	assert_int_equal(r->state, ROLLOUT_DONE);
}

/* Skipped or parked is not done: what comes after it would run on what it has not made. */
static void a_gap_is_not_jumped_over(void **state)
{
	(void)state;
	begin("8");
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_SKIP, .unit = rollout_unit(r, "climb/10"), .actor = "uid=0" });
	assert_int_equal(out.refused, 0);
	goes("climb/9", "9");
	assert_int_equal(r->units[rollout_unit(r, "climb/11")].state, UNIT_WAITING);
	for (int i = 0; i < 10 && r->state == ROLLOUT_RUNNING; i++) {
		now += 1000;
		seen("9");
	}
	assert_int_equal(r->state, ROLLOUT_PARTIAL);
	assert_int_equal(r->units[rollout_unit(r, "climb/11")].state, UNIT_WAITING);
}

static void off_the_way_nothing_starts(void **state)
{
	(void)state;
	begin("7");
	assert_int_equal(r->live[rollout_unit(r, "climb/9")].busy, BUSY_NO);
	(void)snprintf(r->facts.level[1], sizeof(r->facts.level[1]), "the site says \"7\"");
	assert_string_equal(says("climb/9"), "level: where the site is on its way is not known: the site says \"7\"");
	seen(NULL);
	assert_int_equal(r->live[rollout_unit(r, "climb/9")].busy, BUSY_NO);
	seen("8");
	goes("climb/9", "12");
	tell((struct event){ .kind = EVENT_GATE, .unit = rollout_unit(r, "climb/10"), .result = RESULT_OK }); /* the look before it starts has shown that */
	assert_int_equal(r->units[rollout_unit(r, "climb/10")].state, UNIT_WAITING);
	assert_int_equal(r->live[rollout_unit(r, "climb/10")].why.kind, WHY_LEVEL);
	seen("9");
	goes("climb/10", "10");
}

/* The database that says the level may be what is brought back: nobody waits for its word on the way back. */
static void the_way_back_does_not_wait_for_the_level(void **state)
{
	(void)state;
	steps[0].has_undo = true;
	steps[0].undo = (struct action){ .kind = ACTION_RUN };
	begin("8");
	goes("climb/9", "9");
	uint32_t unit = rollout_unit(r, "climb/9");
	seen(NULL);
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_ABORT, .actor = "uid=0" });
	assert_int_equal(out.refused, 0);
	now += 5000;
	seen(NULL);
	assert_int_equal(r->units[unit].state, UNIT_UNDOING);
	tell((struct event){ .kind = EVENT_ACTED, .unit = unit, .dir = DIR_UNDO, .attempt = 1, .lane = r->units[unit].lane[0], .seq = r->units[unit].intent[0], .result = RESULT_OK });
	tell((struct event){ .kind = EVENT_VERIFIED, .unit = unit, .dir = DIR_UNDO, .attempt = 1, .result = RESULT_OK });
	now += 5000;
	seen(NULL);
	assert_int_equal(r->state, ROLLOUT_ABORTED);
	steps[0].has_undo = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_shortest_way_is_found), cmocka_unit_test(where_there_is_none_it_is_said),
		cmocka_unit_test(a_version_has_a_level), cmocka_unit_test(columns_are_bound), cmocka_unit_test_teardown(one_after_the_other, teardown),
		cmocka_unit_test_teardown(a_gap_is_not_jumped_over, teardown), cmocka_unit_test_teardown(off_the_way_nothing_starts, teardown),
		cmocka_unit_test_teardown(the_way_back_does_not_wait_for_the_level, teardown) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
