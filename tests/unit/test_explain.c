/* SPDX-License-Identifier: MIT */
/* Sentences for people: each names the numbers that decided and what lifts it. The state is made by hand, no rule runs. */
#include "daemon/core/decide.h"
#include "daemon/core/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { STAGE_PREPARE, STAGE_CONVERT };
enum { CLUSTER, OX3 }; /* rows and units alike */

static char n_prepare[] = "prepare", n_convert[] = "convert", n_freeze[] = "freeze", n_stop[] = "stop", n_cluster[] = "cluster", n_ox3[] = "ox3",
	n_main[] = "main", n_none[] = "none", n_old[] = "old", n_new[] = "new", question[] = "provisioning is frozen";

static struct step freeze_steps[] = { { .name = n_freeze, .act = { .kind = ACTION_APPROVE, .to = question } } };
static struct step convert_steps[] = { { .name = n_stop, .act = { .kind = ACTION_RUN } } };
static struct stage stages[] = {
	[STAGE_PREPARE] = { .name = n_prepare, .steps = freeze_steps, .n_steps = 1 },
	[STAGE_CONVERT] = { .name = n_convert, .set = 1, .after = 1u << STAGE_PREPARE, .total = 1, .tenants_down = 1000, .steps = convert_steps, .n_steps = 1, .n_keep = 2,
		.keep = { { .what = { COUNTER_CAPACITY, CLASS_OLD, 0 }, .bound = { COUNTER_TENANTS, CLASS_OLD, 0 } },
			{ .what = { COUNTER_READY, 0, 0 }, .bound = { COUNTER_CONST, 0, 1 } } } },
};
static struct profile profile = { .stages = stages, .n_stages = 2, .balancers = { n_main }, .n_balancers = 1, .classes = { n_none, n_old, n_new },
	.n_classes = 3, .set_node = 1, .set_tenants = -1 };
static struct row rows[] = { [CLUSTER] = { .name = n_cluster }, [OX3] = { .name = n_ox3, .set = 1 } };
static struct unit units[] = { [CLUSTER] = { .row = CLUSTER, .stage = STAGE_PREPARE, .state = UNIT_RUNNING },
	[OX3] = { .row = OX3, .stage = STAGE_CONVERT, .state = UNIT_FAILED } };
static struct live live[2];
static struct want wants[] = { { .state = SERVER_DRAIN, .contested = true } };
static struct rollout rollout = { .profile = &profile, .rows = rows, .n_rows = 2, .units = units, .n_units = 2, .live = live, .wants = { wants } };

static void says(uint32_t unit, struct why why, const char *expected)
{
	char buf[300];
	assert_string_equal(why_text(&rollout, unit, &why, buf, sizeof(buf)), expected);
}

static void how(uint32_t unit, struct why why, const char *expected)
{
	char buf[300];
	assert_string_equal(why_how(&rollout, unit, &why, buf, sizeof(buf)), expected);
}

static void test_floor_names_numbers(void **state)
{
	(void)state;
	says(OX3, (struct why){ .kind = WHY_FLOOR, .value = 300, .limit = 412 }, "floor: old.capacity would be 300, below 412 old.tenants");
	says(OX3, (struct why){ .kind = WHY_FLOOR, .floor = 1, .value = 0, .limit = 1 }, "floor: main.ready would be 0, below 1");
	struct fact_server server = { .state = SERVER_DRAIN };
	profile.respect = n_main;
	rollout.facts.servers[0] = &server;
	says(OX3, (struct why){ .kind = WHY_FLOOR, .floor = 1, .value = 0, .limit = 1 }, "floor: main.ready would be 0, below 1"); /* ours */
	wants[0].state = SERVER_UNKNOWN;
	says(OX3, (struct why){ .kind = WHY_FLOOR, .floor = 1, .value = 0, .limit = 1 }, "floor: main.ready would be 0, below 1; by another hand: ox3 drain");
	wants[0].state = SERVER_DRAIN;
	rollout.facts.servers[0] = NULL;
	profile.respect = NULL;
	stages[STAGE_CONVERT].keep[1].is_max = true;
	says(OX3, (struct why){ .kind = WHY_FLOOR, .floor = 1, .value = 2, .limit = 1 }, "floor: main.ready would be 2, above 1");
	stages[STAGE_CONVERT].keep[1].is_max = false;
	says(OX3, (struct why){ .kind = WHY_FLOOR, .floor = 9, .value = 2, .limit = 3 }, "floor: it would be 2 against 3");
}

static void test_approval_asks_the_question(void **state)
{
	(void)state;
	says(CLUSTER, (struct why){ .kind = WHY_APPROVAL }, "approval: provisioning is frozen? upgctl approve prepare/freeze");
	how(CLUSTER, (struct why){ .kind = WHY_APPROVAL }, "upgctl approve prepare/freeze");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_APPROVAL }, "approval: a person is asked");
	units[CLUSTER].step = 1; /* past the end: the question was answered meanwhile */
	says(CLUSTER, (struct why){ .kind = WHY_APPROVAL }, "approval: a person is asked");
	units[CLUSTER].step = 0;
}

static void test_failed_names_unit_and_verbs(void **state)
{
	(void)state;
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_FAILED, .other = OX3 }, "failed unit: convert/ox3 is failed; no new unit starts");
	how(RECORD_NO_UNIT, (struct why){ .kind = WHY_FAILED, .other = OX3 },
		"upgctl explain convert/ox3, then retry or park it, or upgctl resume to go on around it");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_FAILED, .other = 77 }, "failed unit: - is ?; no new unit starts");
}

static void test_contested_says_what_we_want(void **state)
{
	(void)state;
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_CONTESTED, .other = OX3 }, "contested: somebody changed ox3 in main; we want drain");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_CONTESTED, .other = 9, .balancer = 5 }, "contested: somebody changed ? in ?; we want ?");
}

static void test_time_left(void **state)
{
	(void)state;
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_SOAK, .value = 1100 }, "soak: 2s left after the first");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_SOAK, .value = 90000 }, "soak: 1m30s left after the first");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_SOAK, .value = 2 * 3600 * 1000 }, "soak: 2h00m left after the first");
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_SOAK, .value = 1, .limit = 1 }, "soak: the first 1 must end well before others start");
}

static void test_limits(void **state)
{
	(void)state;
	says(RECORD_NO_UNIT, (struct why){ .kind = WHY_LIMIT, .value = 1, .limit = 1 }, "limit: 1 of 1 under way");
	says(OX3, (struct why){ .kind = WHY_LIMIT, .value = 1, .limit = 1 }, "limit: 1 of 1 under way");
	stages[STAGE_CONVERT].total = 4;
	stages[STAGE_CONVERT].per_host = 2;
	says(OX3, (struct why){ .kind = WHY_LIMIT, .value = 2, .limit = 2 }, "limit: 2 of 2 under way on its host");
	says(OX3, (struct why){ .kind = WHY_LIMIT, .value = 4, .limit = 4 }, "limit: 4 of 4 under way");
	stages[STAGE_CONVERT].total = 1;
	stages[STAGE_CONVERT].per_host = 0;
	says(OX3, (struct why){ .kind = WHY_LIMIT, .value = 1100, .limit = 1000 }, "limit: 1100 tenants would be down, 1000 may");
}

static void test_order(void **state)
{
	(void)state;
	says(OX3, (struct why){ .kind = WHY_ORDER, .other = STAGE_PREPARE }, "order: stage prepare is not finished");
	stages[STAGE_CONVERT].after = 0;
	stages[STAGE_CONVERT].same = 1u << STAGE_PREPARE;
	says(OX3, (struct why){ .kind = WHY_ORDER, .other = STAGE_PREPARE }, "order: its own unit of stage prepare is not done");
	stages[STAGE_CONVERT].after = 1u << STAGE_PREPARE;
	stages[STAGE_CONVERT].same = 0;
}

static void test_check_says_what_failed(void **state)
{
	(void)state;
	(void)snprintf(live[OX3].text, sizeof(live[OX3].text), "an update is running in the schema");
	says(OX3, (struct why){ .kind = WHY_CHECK }, "check: an update is running in the schema");
	says(OX3, (struct why){ .kind = WHY_UNKNOWN }, "unknown: what must be known cannot be observed: an update is running in the schema");
	live[OX3].text[0] = '\0';
	says(OX3, (struct why){ .kind = WHY_CHECK }, "check");
}

static void test_every_kind_has_words(void **state)
{
	(void)state;
	for (int kind = WHY_NONE + 1; kind < WHY_KINDS; kind++) {
		char buf[300], lift[300];
		struct why why = { .kind = (enum why_kind)kind };
		assert_true(strlen(why_text(&rollout, OX3, &why, buf, sizeof(buf))) > 4);
		const char *who = why_who(why.kind);
		assert_true(strcmp(who, "operator") == 0 || strcmp(who, "time") == 0 || strcmp(who, "world") == 0);
		/* who waits for a person is told what the person does */
		if (strcmp(who, "operator") == 0)
			assert_true(strlen(why_how(&rollout, OX3, &why, lift, sizeof(lift))) > 4);
		assert_true(why_weight(why.kind) > 0);
	}
	struct why none = { .kind = WHY_NONE };
	char buf[8] = "x";
	assert_string_equal(why_text(&rollout, OX3, &none, buf, sizeof(buf)), "");
}

static void test_small_buffer(void **state)
{
	(void)state;
	char buf[10];
	struct why why = { .kind = WHY_FLOOR, .value = 300, .limit = 412 };
	assert_string_equal(why_text(&rollout, OX3, &why, buf, sizeof(buf)), "floor: ol");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floor_names_numbers),
		cmocka_unit_test(test_approval_asks_the_question),
		cmocka_unit_test(test_failed_names_unit_and_verbs),
		cmocka_unit_test(test_contested_says_what_we_want),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_check_says_what_failed),
		cmocka_unit_test(test_every_kind_has_words),
		cmocka_unit_test(test_small_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
