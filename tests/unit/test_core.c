/* SPDX-License-Identifier: MIT */
/* Properties of the unit's table that no example shows: nothing is forgotten, doubled, out of reach or without a way out. */
#include "daemon/core/decide.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

static void test_every_pair_is_a_rule_or_refused(void **state)
{
	(void)state;
	unsigned n, legal = 0;
	(void)unit_rules(&n);
	for (unsigned from = 0; from < UNIT_STATES; from++) {
		for (unsigned event = 0; event < UNIT_EVENTS; event++) {
			enum unit_state to = UNIT_STATES;
			if (unit_next((enum unit_state)from, (enum unit_event)event, &to)) {
				assert_true(to < UNIT_STATES);
				legal++;
				continue;
			}
			assert_int_equal(to, UNIT_STATES); /* untouched */
			const char *why = unit_refusal((enum unit_state)from, (enum unit_event)event);
			assert_non_null(why);
			assert_true(strlen(why) > 5);
		}
	}
	assert_int_equal(legal, n); /* no row is shadowed by an earlier one */
}

static void test_no_rule_twice(void **state)
{
	(void)state;
	unsigned n;
	const struct unit_rule *rules = unit_rules(&n);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = i + 1; k < n; k++)
			if (rules[i].from == rules[k].from && rules[i].event == rules[k].event)
				fail_msg("%s, %s is there twice", unit_state_word(rules[i].from), unit_event_word(rules[i].event));
}

/* Bits of the states that one can come to from these. */
static unsigned reach(unsigned set)
{
	unsigned n;
	const struct unit_rule *rules = unit_rules(&n);
	for (unsigned before = 0; before != set;) {
		before = set;
		for (unsigned i = 0; i < n; i++)
			if ((set & (1u << rules[i].from)) != 0)
				set |= 1u << rules[i].to;
	}
	return set;
}

static void test_every_state_is_reached_from_waiting(void **state)
{
	(void)state;
	unsigned reached = reach(1u << UNIT_WAITING);
	for (unsigned s = 0; s < UNIT_STATES; s++)
		if ((reached & (1u << s)) == 0)
			fail_msg("nothing leads to %s", unit_state_word(s));
}

static void test_every_state_has_a_way_to_rest(void **state)
{
	(void)state;
	for (unsigned s = 0; s < UNIT_STATES; s++) {
		bool rests = false;
		unsigned reached = reach(1u << s);
		for (unsigned to = 0; to < UNIT_STATES; to++)
			rests |= (reached & (1u << to)) != 0 && unit_is_settled(to);
		if (!rests)
			fail_msg("a unit that is %s has no way to rest", unit_state_word(s));
	}
}

/* Nothing a person did not ask for ends in a skip, and a unit that runs is never skipped or parked. */
static void test_who_runs_is_left_alone(void **state)
{
	(void)state;
	static const enum unit_event persons[] = { UNIT_EV_SKIP, UNIT_EV_PARK, UNIT_EV_RETRY };
	static const enum unit_state active[] = { UNIT_RUNNING, UNIT_UNDOING };
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < 3; k++) {
			enum unit_state to;
			assert_false(unit_next(active[i], persons[k], &to));
		}
	unsigned n;
	const struct unit_rule *rules = unit_rules(&n);
	for (unsigned i = 0; i < n; i++)
		assert_true((rules[i].to == UNIT_SKIPPED) == (rules[i].event == UNIT_EV_SKIP));
}

static void test_words_differ(void **state)
{
	(void)state;
	for (unsigned a = 0; a < UNIT_STATES; a++)
		for (unsigned b = a + 1; b < UNIT_STATES; b++)
			assert_string_not_equal(unit_state_word(a), unit_state_word(b));
	for (unsigned a = 0; a < UNIT_EVENTS; a++)
		for (unsigned b = a + 1; b < UNIT_EVENTS; b++)
			assert_string_not_equal(unit_event_word(a), unit_event_word(b));
	for (unsigned a = 0; a < WHY_KINDS; a++)
		for (unsigned b = a + 1; b < WHY_KINDS; b++)
			assert_string_not_equal(why_word((enum why_kind)a), why_word((enum why_kind)b));
	assert_string_equal(unit_state_word(UNIT_STATES), "?");
	assert_string_equal(unit_event_word(UNIT_EVENTS), "?");
}

/* Numbers on disk are for ever: a record's word is found by them alone. */
static void test_record_kinds_are_distinct(void **state)
{
	(void)state;
	static const unsigned kinds[] = {
#define X(name, number, word, must, doc) number,
#include "daemon/core/record.def"
#undef X
	};
	size_t n = sizeof(kinds) / sizeof(kinds[0]);
	for (size_t i = 0; i < n; i++) {
		assert_non_null(record_kind_word(kinds[i]));
		for (size_t k = i + 1; k < n; k++) {
			assert_true(kinds[i] != kinds[k]);
			assert_string_not_equal(record_kind_word(kinds[i]), record_kind_word(kinds[k]));
		}
	}
	assert_null(record_kind_word(9999));
}

static void at(struct rollout *r, uint64_t boot_ms)
{
	struct record rec = { .seq = r->seq + 1, .kind = RECORD_EPOCH, .unit = RECORD_NO_UNIT, .boot_ms = boot_ms, .at_ms = 1700000000000 };
	assert_int_equal(rollout_apply(r, &rec), 0);
}

/* A reboot begins anew at 0: durations go on where the journal left them, never back and never by more than what passed. */
static void test_time_goes_on_over_a_reboot(void **state)
{
	(void)state;
	static const struct profile profile = { .set_node = -1, .set_tenants = -1 };
	struct rollout *r = rollout_new(&profile, 1);
	at(r, 5000);
	at(r, 8000);
	assert_int_equal(rollout_steady(r, 9000), 9000);
	at(r, 100); /* another boot */
	assert_int_equal(rollout_steady(r, 100), 8000);
	at(r, 700);
	assert_int_equal(rollout_steady(r, 1100), 9000);
	at(r, 50); /* and another */
	assert_int_equal(rollout_steady(r, 60), 8610);
	assert_int_equal(rollout_wall(r, 8000), 1699999999400); /* as people saw it then */
	rollout_free(r);
}

/* Which process of a balancer was seen last: the first is no news, the next one has forgotten what was set before it. */
static void test_a_process_that_follows_another_is_remembered(void **state)
{
	(void)state;
	static const struct profile profile = { .set_node = -1, .set_tenants = -1 };
	struct rollout *r = rollout_new(&profile, 1);
	struct record rec = { .seq = 1, .kind = RECORD_PROCESS, .unit = RECORD_NO_UNIT, .step = 1, .lane = 2, .hash = 4711, .value = 1700000000 };
	assert_int_equal(rollout_apply(r, &rec), 0);
	assert_int_equal(r->processes[1][2].pid, 4711);
	assert_int_equal(r->processes[1][2].since_seq, 0);
	rec.seq = 2;
	rec.hash = 4712;
	assert_int_equal(rollout_apply(r, &rec), 0);
	assert_int_equal(r->processes[1][2].since_seq, 2);
	rec.lane = PROFILE_PROCESSES_MAX;
	assert_int_equal(rollout_apply(r, &rec), -EUCLEAN);
	rollout_free(r);
}

static struct stage one_stage[] = { { .name = (char *)(uintptr_t)"work", .fence = -1 } };
static struct set one_set[] = { { .name = (char *)(uintptr_t)"row" } };
static const struct profile small = { .set_node = -1, .set_tenants = -1, .sets = one_set, .n_sets = 1, .stages = one_stage, .n_stages = 1 };

static struct rollout *of_rows(uint32_t n)
{
	struct rollout *r = rollout_new(&small, 1);
	for (uint32_t i = 0; i < n; i++) {
		char columns[32];
		(void)snprintf(columns, sizeof(columns), "name=row%06u\n", n - i);
		struct record rec = { .seq = r->seq + 1, .kind = RECORD_ROW, .unit = i, .text = columns };
		assert_int_equal(rollout_apply(r, &rec), 0);
	}
	struct record rec = { .seq = r->seq + 1, .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT };
	assert_int_equal(rollout_apply(r, &rec), 0);
	return r;
}

static atomic_uint disorder;

static void *order_again(void *arg)
{
	struct rollout *r = arg;
	for (unsigned turn = 0; turn < (r->n_order[0] < 100 ? 30000u : 100u); turn++) {
		rollout_order(r);
		for (uint32_t k = 0; k < r->n_order[0]; k++)
			disorder += r->order[0][k] != r->n_order[0] - 1 - k;
	}
	return NULL;
}

/* The loop decides while a plan is rehearsed beside it, and two plans may be. */
static void test_two_rollouts_are_ordered_at_once(void **state)
{
	(void)state;
	pthread_t threads[2];
	struct rollout *rollouts[] = { of_rows(3), of_rows(2000) };
	disorder = 0;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, order_again, rollouts[i]), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		rollout_free(rollouts[i]);
	}
	assert_int_equal(disorder, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair_is_a_rule_or_refused),
		cmocka_unit_test(test_no_rule_twice),
		cmocka_unit_test(test_every_state_is_reached_from_waiting),
		cmocka_unit_test(test_every_state_has_a_way_to_rest),
		cmocka_unit_test(test_who_runs_is_left_alone),
		cmocka_unit_test(test_words_differ),
		cmocka_unit_test(test_record_kinds_are_distinct),
		cmocka_unit_test(test_time_goes_on_over_a_reboot),
		cmocka_unit_test(test_two_rollouts_are_ordered_at_once),
		cmocka_unit_test(test_a_process_that_follows_another_is_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
