/* SPDX-License-Identifier: MIT */
/* A way of several steps: which edges lead on, and in which order and when their units start. */
#include "daemon/core/back.h"
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
static struct step steps[2] = { { .name = S("sql"), .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1, .resolve = RESOLVE_RERUN } };
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
}

/* ---- a person goes on by hand ---- */

static bool wants(enum effect_kind kind)
{
	for (size_t i = 0; i < out.n_effects; i++)
		if (out.effects[i].kind == kind)
			return true;
	return false;
}

static void through_the_gate(const char *name)
{
	tell((struct event){ .kind = EVENT_GATE, .unit = rollout_unit(r, name), .result = RESULT_OK });
}

static void what_is_behind_while_it_waits_is_not_run(void **state)
{
	(void)state;
	begin("8");
	seen("10");
	through_the_gate("climb/9");
	assert_false(wants(EFFECT_ACT));
	assert_int_equal(r->units[rollout_unit(r, "climb/9")].state, UNIT_DONE);
	through_the_gate("climb/10");
	assert_false(wants(EFFECT_ACT));
	assert_int_equal(r->units[rollout_unit(r, "climb/10")].state, UNIT_DONE);
	goes("climb/11", "11");
	assert_int_equal(r->state, ROLLOUT_DONE);
}

/* The first edge fails, and a person says retry. */
static uint32_t retried(void)
{
	begin("8");
	uint32_t unit = rollout_unit(r, "climb/9");
	through_the_gate("climb/9");
	tell((struct event){ .kind = EVENT_ACTED, .unit = unit, .attempt = 1, .lane = r->units[unit].lane[0], .seq = r->units[unit].intent[0], .result = RESULT_FAILED });
	assert_int_equal(r->units[unit].state, UNIT_FAILED);
	seen("8");
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_RETRY, .unit = unit, .actor = "uid=0" });
	assert_int_equal(out.refused, 0);
	assert_true(wants(EFFECT_OBSERVE));
	assert_false(wants(EFFECT_ACT)); /* on no old look */
	return unit;
}

static void what_is_far_behind_is_not_run_by_a_retry(void **state)
{
	(void)state;
	uint32_t unit = retried();
	seen("10");
	now += 3000;
	seen("10");
	assert_int_equal(r->units[unit].state, UNIT_DONE);
	through_the_gate("climb/10");
	assert_int_equal(r->units[rollout_unit(r, "climb/10")].state, UNIT_DONE);
}

/* Right at its end it may be its own work: it is asked. */
static void what_is_at_its_end_is_asked_by_a_retry(void **state)
{
	(void)state;
	steps[0].n_verify = 1;
	uint32_t unit = retried();
	now += 3000;
	seen("9");
	assert_true(wants(EFFECT_ASK));
	assert_false(wants(EFFECT_ACT));
	tell((struct event){ .kind = EVENT_ASKED, .unit = unit, .attempt = 2, .result = RESULT_OK });
	assert_int_equal(r->units[unit].state, UNIT_DONE);
	steps[0].n_verify = 0;
}

/* The first step failed, and a person ran the script by hand: that was never sent, and is asked all the same. */
static void what_comes_later_is_asked_at_its_end_too(void **state)
{
	(void)state;
	steps[1] = steps[0];
	steps[1].n_done_when = 1;
	stage.n_steps = 2;
	uint32_t unit = retried();
	now += 3000;
	seen("9");
	assert_true(wants(EFFECT_ACT)); /* the first says nothing of when it is done */
	tell((struct event){ .kind = EVENT_ACTED, .unit = unit, .attempt = 2, .lane = r->units[unit].lane[0], .seq = r->units[unit].intent[0], .result = RESULT_OK });
	tell((struct event){ .kind = EVENT_VERIFIED, .unit = unit, .attempt = 2, .result = RESULT_OK });
	assert_int_equal(r->units[unit].step, 1);
	assert_true(wants(EFFECT_ASK));
	assert_false(wants(EFFECT_ACT));
	stage.n_steps = 1;
	steps[1].n_done_when = 0;
}

/* It may take two minutes to say: until then what was seen before is no answer. */
static void a_retry_waits_for_a_slow_level(void **state)
{
	(void)state;
	uint32_t unit = retried();
	for (int i = 0; i < 5; i++) {
		now += 3000;
		tell((struct event){ .kind = EVENT_TICK });
		assert_false(wants(EFFECT_ACT));
	}
	seen("10");
	now += 3000;
	seen("10");
	assert_int_equal(r->units[unit].state, UNIT_DONE);
}

static void what_is_not_behind_is_run_by_a_retry(void **state)
{
	(void)state;
	(void)retried();
	now += 3000;
	seen("8");
	assert_true(wants(EFFECT_ACT));
}

/* A script has stopped half way: that nobody knows the level then is no reason to wait for ever. */
static void a_retry_waits_for_no_level_that_nobody_says(void **state)
{
	(void)state;
	(void)retried();
	seen(NULL);
	assert_false(wants(EFFECT_ACT));
	now += 6000;
	seen(NULL);
	assert_true(wants(EFFECT_ACT));
}

/* ---- asked again ---- */

/* The look that was ordered began after the answer, and before the question that was asked meanwhile. */
static void a_look_that_was_ordered_is_not_too_old(void **state)
{
	(void)state;
	begin("8");
	goes("climb/9", "9");
	goes("climb/10", "10");
	uint32_t unit = rollout_unit(r, "climb/9");
	assert_int_equal(r->live[rollout_unit(r, "climb/11")].busy, BUSY_GATE);
	through_the_gate("climb/11");
	put((struct record){ .kind = RECORD_HOST, .unit = RECORD_NO_UNIT, .code = HOST_OTHER, .text = "db: another one" });
	tell((struct event){ .kind = EVENT_TICK });
	assert_int_equal(r->live[unit].busy, BUSY_RECHECK);
	tell((struct event){ .kind = EVENT_RECHECKED, .unit = unit, .attempt = 1, .result = RESULT_FAILED });
	assert_true(wants(EFFECT_OBSERVE));
	seen("10");
	now += 2000;
	tell((struct event){ .kind = EVENT_TICK });
	assert_int_equal(r->live[unit].busy, BUSY_RECHECK);
	tell((struct event){ .kind = EVENT_RECHECKED, .unit = unit, .attempt = 1, .result = RESULT_FAILED });
	assert_int_equal(r->units[unit].state, UNIT_DONE);
	assert_int_equal(r->units[unit].flags & UNIT_RECHECK, 0);
}

/* ---- and back ---- */

static void undo_answers(uint32_t unit, enum result result)
{
	const struct unit *u = &r->units[unit];
	tell((struct event){ .kind = EVENT_ACTED, .unit = unit, .dir = DIR_UNDO, .attempt = u->attempt, .lane = u->lane[0], .seq = u->intent[0], .result = result });
	if (result == RESULT_OK)
		tell((struct event){ .kind = EVENT_VERIFIED, .unit = unit, .dir = DIR_UNDO, .attempt = 1, .result = RESULT_OK });
	now += 60000;
	seen(NULL);
}

static void begin_back(void)
{
	steps[0].has_undo = true;
	steps[0].undo = (struct action){ .kind = ACTION_RUN };
	steps[0].undo_takes_ms = 60000;
	begin("8");
	goes("climb/9", "9");
	goes("climb/10", "10");
	uint64_t ms;
	bool more;
	assert_true(back_takes(r, &ms, &more));
	assert_int_equal(ms, 120000); /* one after the other */
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_ABORT, .actor = "uid=0" });
	now += 5000;
	seen(NULL);
}

static int teardown_back(void **state)
{
	steps[0].has_undo = false;
	steps[0].undo_takes_ms = 0;
	return teardown(state);
}

static void the_last_edge_is_undone_first(void **state)
{
	(void)state;
	begin_back();
	uint32_t nine = rollout_unit(r, "climb/9"), ten = rollout_unit(r, "climb/10");
	assert_int_equal(r->units[ten].state, UNIT_UNDOING);
	assert_int_equal(r->units[nine].state, UNIT_DONE);
	undo_answers(ten, RESULT_OK);
	assert_int_equal(r->units[ten].state, UNIT_UNDONE);
	assert_int_equal(r->units[nine].state, UNIT_UNDOING);
	undo_answers(nine, RESULT_OK);
	assert_int_equal(r->state, ROLLOUT_ABORTED);
}

/* Its undo fails for good: the edge before it is not undone under it before a person has said so. */
static void no_edge_is_undone_under_one_that_could_not_be(void **state)
{
	(void)state;
	begin_back();
	uint32_t nine = rollout_unit(r, "climb/9"), ten = rollout_unit(r, "climb/10");
	for (int i = 0; i < 10 && r->units[ten].state == UNIT_UNDOING; i++)
		undo_answers(ten, RESULT_FAILED);
	assert_int_equal(r->units[ten].state, UNIT_FAILED);
	now += 60000;
	seen(NULL);
	assert_int_equal(r->units[nine].state, UNIT_DONE);
	assert_int_equal(r->state, ROLLOUT_ABORTING);
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_PARK, .unit = ten, .actor = "uid=0" });
	now += 5000;
	seen(NULL);
	assert_int_equal(r->units[nine].state, UNIT_UNDOING);
}

/* A person has gone the next edge by hand: the one before it is not undone under that. */
static void what_somebody_else_has_gone_is_not_undone_under(void **state)
{
	(void)state;
	steps[0].has_undo = true;
	steps[0].undo = (struct action){ .kind = ACTION_RUN };
	begin("8");
	goes("climb/9", "9");
	seen("10");
	through_the_gate("climb/10");
	assert_int_equal(r->units[rollout_unit(r, "climb/10")].state, UNIT_DONE);
	now += 1000;
	seen("10");
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_ABORT, .actor = "uid=0" });
	now += 5000;
	seen("10");
	assert_int_equal(r->units[rollout_unit(r, "climb/9")].state, UNIT_DONE);
	assert_int_equal(r->state, ROLLOUT_ABORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_shortest_way_is_found), cmocka_unit_test(where_there_is_none_it_is_said),
		cmocka_unit_test(a_version_has_a_level), cmocka_unit_test(columns_are_bound), cmocka_unit_test_teardown(one_after_the_other, teardown),
		cmocka_unit_test_teardown(a_gap_is_not_jumped_over, teardown), cmocka_unit_test_teardown(off_the_way_nothing_starts, teardown),
		cmocka_unit_test_teardown(the_way_back_does_not_wait_for_the_level, teardown),
		cmocka_unit_test_teardown(what_is_behind_while_it_waits_is_not_run, teardown),
		cmocka_unit_test_teardown(what_is_far_behind_is_not_run_by_a_retry, teardown),
		cmocka_unit_test_teardown(what_is_at_its_end_is_asked_by_a_retry, teardown),
		cmocka_unit_test_teardown(what_comes_later_is_asked_at_its_end_too, teardown), cmocka_unit_test_teardown(a_retry_waits_for_a_slow_level, teardown),
		cmocka_unit_test_teardown(what_is_not_behind_is_run_by_a_retry, teardown),
		cmocka_unit_test_teardown(a_retry_waits_for_no_level_that_nobody_says, teardown),
		cmocka_unit_test_teardown(a_look_that_was_ordered_is_not_too_old, teardown),
		cmocka_unit_test_teardown(the_last_edge_is_undone_first, teardown_back),
		cmocka_unit_test_teardown(no_edge_is_undone_under_one_that_could_not_be, teardown_back),
		cmocka_unit_test_teardown(what_somebody_else_has_gone_is_not_undone_under, teardown_back) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
