/* SPDX-License-Identifier: MIT */
/* Rules that the one profile of the simulator has no steps for. */
#include "daemon/core/decide.h"
#include "daemon/core/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct step steps[4];
static struct stage stage = { .name = (char *)(uintptr_t)"work", .fence = -1, .steps = steps };
static struct set set = { .name = (char *)(uintptr_t)"cluster", .from = SET_CLUSTER };
static const struct profile profile = { .set_node = -1, .set_tenants = -1, .sets = &set, .n_sets = 1, .stages = &stage, .n_stages = 1 };

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

static bool wants(enum effect_kind kind)
{
	for (size_t i = 0; i < out.n_effects; i++)
		if (out.effects[i].kind == kind)
			return true;
	return false;
}

/* The answer to what is under way for a unit. */
static void answer_of(uint32_t unit, enum event_kind kind, enum result result)
{
	const struct unit *u = &r->units[unit];
	tell((struct event){ .kind = kind, .unit = unit, .step = u->step, .dir = u->dir, .attempt = u->attempt, .lane = u->lane[0], .seq = u->intent[0],
		.result = result, .text = "it is so" });
}

static void answer(enum event_kind kind, enum result result)
{
	answer_of(0, kind, result);
}

static void later(uint64_t ms)
{
	now += ms;
	tell((struct event){ .kind = EVENT_TICK });
}

static void command(enum command_verb verb, uint16_t step)
{
	tell((struct event){ .kind = EVENT_COMMAND, .verb = verb, .unit = 0, .step = step, .actor = "uid=0" });
}

static struct step run_step(const char *name)
{
	return (struct step){ .name = (char *)(uintptr_t)name, .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1, .resolve = RESOLVE_RERUN };
}

static void put(struct record rec)
{
	rec.seq = r->seq + 1;
	rec.boot_ms = now;
	assert_int_equal(rollout_apply(r, &rec), 0);
}

static void begin_on(size_t n_steps, size_t n_rows, const uint16_t *hosts)
{
	stage.n_steps = n_steps;
	now = 1000;
	r = rollout_new(&profile, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	for (uint32_t i = 0; i < n_rows; i++) {
		char columns[24];
		(void)snprintf(columns, sizeof(columns), "name=row%u\n", i);
		put((struct record){ .kind = RECORD_ROW, .unit = i, .lane = hosts != NULL ? hosts[i] : 0, .text = columns });
	}
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	tell((struct event){ .kind = EVENT_TICK });
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
}

static void begin(size_t n_steps)
{
	begin_on(n_steps, 1, NULL);
}

static int teardown(void **state)
{
	(void)state;
	stage.n_keep = stage.total = stage.per_host = 0;
	stage.again = stage.has_window = false;
	out_done(&out);
	rollout_free(r);
	r = NULL;
	return 0;
}

/* Past its pivot a unit goes forward to its end, and a question on that way can still be answered: else the abort would never end. */
static void an_abort_waits_for_an_approval(void **state)
{
	(void)state;
	steps[0] = run_step("install");
	steps[0].pivot = true;
	steps[1] = (struct step){ .name = (char *)(uintptr_t)"look", .act = { .kind = ACTION_APPROVE } };
	begin(2);
	assert_true(wants(EFFECT_ACT));
	command(COMMAND_ABORT, 0);
	assert_int_equal(r->state, ROLLOUT_ABORTING);
	answer(EVENT_ACTED, RESULT_OK);
	answer(EVENT_VERIFIED, RESULT_OK);
	assert_int_equal(r->units[0].step, 1);
	assert_int_equal(r->live[0].why.kind, WHY_APPROVAL);
	command(COMMAND_PAUSE, 0);
	assert_int_equal(out.refused, 1);
	command(COMMAND_APPROVE, 1);
	assert_int_equal(out.refused, 0);
	assert_int_equal(r->units[0].state, UNIT_DONE);
}

/* The look before a kill could not be had: nothing was killed, and that one try is not used up. */
static void a_kill_that_nobody_could_look_for_is_tried_again(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	steps[0].has_orphans = true;
	steps[0].on_orphans = ORPHANS_KILL;
	begin(1);
	answer(EVENT_ACTED, RESULT_FAILED);
	assert_true(wants(EFFECT_ORPHANS));
	answer(EVENT_ORPHANS, RESULT_FAILED);
	assert_true(wants(EFFECT_KILL));
	answer(EVENT_ORPHANS, RESULT_UNKNOWN);
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
	later(5000);
	assert_true(wants(EFFECT_ORPHANS));
	answer(EVENT_ORPHANS, RESULT_FAILED);
	assert_true(wants(EFFECT_KILL));
	answer(EVENT_ORPHANS, RESULT_OK);
	later(5000);
	assert_true(wants(EFFECT_ORPHANS));
	answer(EVENT_ORPHANS, RESULT_FAILED);
	assert_false(wants(EFFECT_KILL)); /* once */
}

/* More hosts than fit a byte: each has its own limit. */
static void hosts_are_not_mixed_up(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	stage.total = 4;
	stage.per_host = 1;
	begin_on(1, 4, (const uint16_t[]){ 1, 257, 1024, 1 });
	assert_int_equal(r->units[1].state, UNIT_RUNNING);
	assert_int_equal(r->units[2].state, UNIT_RUNNING);
	assert_int_equal(r->units[3].state, UNIT_WAITING);
}

/* It was given up, and asked anew: what the first question comes to is of another time. */
static void an_answer_of_an_earlier_try_is_not_heard(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	steps[0].skip_if_done = true;
	begin(1);
	assert_true(wants(EFFECT_ASK));
	answer(EVENT_ASKED, RESULT_FAILED);
	struct event late = { .kind = EVENT_ASKED, .attempt = r->units[0].attempt, .result = RESULT_OK };
	later(3600000); /* over its time */
	command(COMMAND_RETRY, 0);
	assert_int_equal(out.refused, 0);
	assert_true(wants(EFFECT_ASK));
	tell(late);
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
	assert_int_equal(r->units[0].step, 0);
	answer(EVENT_ASKED, RESULT_FAILED);
	assert_true(wants(EFFECT_ACT));
}

/* Its progress stands still: a person may give it up, and need not once it moves. What another try's says is not heard. */
static void who_gets_no_further_may_be_given_up(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	begin(1);
	assert_true(wants(EFFECT_ACT));
	struct event stalled = { .kind = EVENT_STALLED, .attempt = r->units[0].attempt, .value = 900, .text = "rows says 17" };
	tell(stalled);
	assert_true(rollout_is_stalled(r, 0));
	assert_int_equal(out.n_records, 0);
	struct event moves = stalled;
	moves.value = 0;
	tell(moves);
	assert_false(rollout_is_stalled(r, 0));
	command(COMMAND_RETRY, 0);
	assert_int_equal(out.refused, 1);
	tell(stalled);
	command(COMMAND_RETRY, 0);
	assert_int_equal(out.refused, 0);
	assert_true(wants(EFFECT_ACT));
	assert_false(rollout_is_stalled(r, 0));
	tell(stalled);
	assert_false(rollout_is_stalled(r, 0));
	stalled.attempt = r->units[0].attempt;
	tell(stalled);
	assert_true(rollout_is_stalled(r, 0));
	answer(EVENT_ACTED, RESULT_OK);
	assert_false(rollout_is_stalled(r, 0));
}

/* It has its place among those under way as long as it is one of them; a refusal changes nothing. */
static void who_is_late_is_tried_again_in_its_own_place(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	begin(1);
	later(3600000);
	stage.n_keep = 1;
	stage.keep[0] = (struct floor){ .what = { .constant = 0 }, .bound = { .constant = 1 } }; /* could not start now */
	command(COMMAND_RETRY, 0);
	assert_int_equal(out.refused, 0);
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
}

/* Nothing is observed where a profile has no rows but the cluster's: nothing is waited for either. */
static void a_profile_of_the_cluster_alone_ends(void **state)
{
	(void)state;
	steps[0] = run_step("update");
	begin(1);
	answer(EVENT_ACTED, RESULT_OK);
	answer(EVENT_VERIFIED, RESULT_OK);
	later(5000);
	assert_int_equal(r->state, ROLLOUT_DONE);
}

static void server_is(const char *identity)
{
	(void)facts_host(r, true, 0, "configdb");
	tell((struct event){ .kind = EVENT_HOST, .text = identity, .value = 1 });
}

/* One unit is done and checked again after a failover, the other is under way; then somebody aborts. */
static void check_again_and_abort(void)
{
	steps[0] = run_step("update");
	stage.total = 2;
	stage.again = true;
	begin_on(1, 2, NULL);
	server_is("db1");
	answer(EVENT_ACTED, RESULT_OK);
	answer(EVENT_VERIFIED, RESULT_OK);
	server_is("db2");
	assert_true(wants(EFFECT_RECHECK));
	r->facts.databases[0].trouble_at = 0;
	command(COMMAND_ABORT, 0);
}

static void what_is_over_is_not_opened_again(void **state)
{
	(void)state;
	check_again_and_abort();
	answer_of(1, EVENT_ACTED, RESULT_OK);
	answer_of(1, EVENT_VERIFIED, RESULT_OK);
	later(5000);
	assert_int_equal(r->state, ROLLOUT_ABORTED);
	answer(EVENT_RECHECKED, RESULT_FAILED);
	assert_int_equal(out.n_records, 0);
	assert_int_equal(r->units[0].state, UNIT_DONE);
}

/* Opened again it would never be started, and be called so. */
static void an_abort_names_what_a_failover_lost(void **state)
{
	(void)state;
	check_again_and_abort();
	answer(EVENT_RECHECKED, RESULT_FAILED);
	assert_int_equal(r->units[0].state, UNIT_FAILED);
}

/* One look shows them all: they are not taken up one after the other, each with a look of its own. */
static void all_that_are_as_before_are_opened_again(void **state)
{
	(void)state;
	static struct stage again = { .name = (char *)(uintptr_t)"work", .fence = -1, .steps = steps, .n_steps = 1, .where = 1u << CLASS_OLD, .again = true };
	static const struct profile classed = { .set_node = -1, .set_tenants = -1, .sets = &set, .n_sets = 1, .stages = &again, .n_stages = 1,
		.classes = { (char *)(uintptr_t)"none", (char *)(uintptr_t)"old", (char *)(uintptr_t)"new" }, .n_classes = 3 };
	steps[0] = run_step("update");
	now = 1000;
	r = rollout_new(&classed, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	put((struct record){ .kind = RECORD_ROW, .unit = 0, .code = CLASS_NEW, .text = "name=a\n" });
	put((struct record){ .kind = RECORD_ROW, .unit = 1, .code = CLASS_NEW, .text = "name=b\n" });
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(r->units[i].state, UNIT_DONE);
		r->facts.rows[i] = (struct fact_row){ .class_ = CLASS_OLD, .known = true, .up = true, .tenants = 3, .weight = 3 };
	}
	r->facts.rows_at[0] = now += 5;
	tell((struct event){ .kind = EVENT_FACTS });
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
	assert_int_equal(r->units[1].state, UNIT_WAITING);
}

/* Empty when it was planned, of both fleets when it starts: to take it back would take those along that never were there. */
static void what_has_become_mixed_only_goes_forward(void **state)
{
	(void)state;
	enum { CLASS_MIXED = 3 };
	steps[0] = run_step("update");
	begin(1);
	stage.has_window = true;
	assert_int_equal(r->rows[0].weight, 0);
	put((struct record){ .kind = RECORD_ADMIT, .unit = 0, .code = CLASS_MIXED, .value = 0 });
	assert_int_equal(r->units[0].flags & UNIT_PIVOT, 0); /* there is nobody */
	put((struct record){ .kind = RECORD_ADMIT, .unit = 0, .code = CLASS_MIXED, .value = 5 });
	assert_int_equal(r->rows[0].weight, 5);
	assert_int_equal(r->units[0].flags & UNIT_PIVOT, UNIT_PIVOT);
}

/* Taken out of its balancer, failed there and parked: alive, of the old fleet, and nobody is sent to it. */
static void a_parked_node_carries_nobody(void **state)
{
	(void)state;
	static struct set sets[] = { { .name = (char *)(uintptr_t)"cluster" }, { .name = (char *)(uintptr_t)"node", .from = SET_NODES } };
	static struct step take_out = { .name = (char *)(uintptr_t)"drain", .act = { .kind = ACTION_SERVER, .want = SERVER_DRAIN } };
	static struct stage convert = { .name = (char *)(uintptr_t)"convert", .set = 1, .fence = -1, .takes_out = true, .steps = &take_out, .n_steps = 1 };
	static const struct profile fleet = { .set_node = 1, .set_tenants = -1, .sets = sets, .n_sets = 2, .stages = &convert, .n_stages = 1,
		.balancers = { (char *)(uintptr_t)"main" }, .n_balancers = 1 };
	r = rollout_new(&fleet, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	for (uint32_t i = 0; i < 3; i++) {
		char columns[24];
		(void)snprintf(columns, sizeof(columns), "name=ox%u\n", i);
		put((struct record){ .kind = RECORD_ROW, .unit = i, .step = 1, .code = CLASS_OLD, .hash = 100, .text = columns });
	}
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	for (uint32_t i = 0; i < 3; i++)
		r->facts.rows[i] = (struct fact_row){ .class_ = CLASS_OLD, .known = true, .up = true };
	r->facts.rows_at[1] = 1000;
	const struct counter capacity = { .kind = COUNTER_CAPACITY, .index = CLASS_OLD };
	int64_t n = 0;
	assert_true(facts_count(r, &capacity, RECORD_NO_UNIT, false, &n));
	assert_int_equal(n, 300);
	put((struct record){ .kind = RECORD_ADMIT, .unit = 0 });
	put((struct record){ .kind = RECORD_INTENT, .unit = 0, .lane = LANE_NONE });
	put((struct record){ .kind = RECORD_UNIT, .unit = 0, .code = UNIT_FAILED });
	put((struct record){ .kind = RECORD_UNIT, .unit = 0, .code = UNIT_PARKED });
	assert_true(facts_count(r, &capacity, RECORD_NO_UNIT, false, &n));
	assert_int_equal(n, 200);
	assert_int_equal(facts_place(r, CLASS_OLD, 0), 0); /* tools run there all the same */
}

/* Made while it is aborted: its tenants count for what an undo must not be done under. So do those that are disabled at the moment. */
static void who_comes_during_an_abort_counts(void **state)
{
	(void)state;
	static struct set sets[] = { { .name = (char *)(uintptr_t)"cluster" }, { .name = (char *)(uintptr_t)"schema", .from = SET_SQL } };
	static const struct profile fleet = { .set_node = -1, .set_tenants = 1, .sets = sets, .n_sets = 2, .stages = &stage, .n_stages = 1 };
	static const struct floor nobody = { .what = { .kind = COUNTER_TENANTS, .index = CLASS_NEW }, .bound = { .kind = COUNTER_CONST }, .is_max = true };
	steps[0] = run_step("redirect");
	steps[0].has_undo = true;
	steps[0].undo_while[0] = nobody;
	steps[0].n_undo_while = 1;
	steps[1] = run_step("next");
	stage.n_steps = 2;
	now = 1000;
	r = rollout_new(&fleet, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	put((struct record){ .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\n" });
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	tell((struct event){ .kind = EVENT_TICK });
	answer(EVENT_ACTED, RESULT_OK);
	answer(EVENT_VERIFIED, RESULT_OK);
	assert_int_equal(r->units[0].step, 1);
	command(COMMAND_ABORT, 0);
	assert_int_equal(r->state, ROLLOUT_ABORTING);
	tell((struct event){ .kind = EVENT_NEW_ROW, .row = 1, .class_ = CLASS_NEW, .value = 7, .text = "name=ox_9\n" });
	assert_int_equal(r->n_rows, 2);
	answer(EVENT_ACTED, RESULT_FAILED);
	for (int looks = 0; looks < 5 && !rollout_is_over(r); looks++) {
		r->facts.rows[1] = (struct fact_row){ .class_ = CLASS_NEW, .known = true, .up = true, .weight = 7 };
		r->facts.rows_at[1] = now += 500;
		tell((struct event){ .kind = EVENT_FACTS });
	}
	assert_int_equal(r->units[0].flags & UNIT_STAYS, UNIT_STAYS);
	assert_int_equal(r->state, ROLLOUT_ABORTED);
}

/* Each comes after all before it, and has nothing to do: that is found out once for each, not once for each way to it. */
static void many_stages_without_work_cost_no_time(void **state)
{
	static struct stage many[PROFILE_STAGES_MAX];
	static struct profile long_one;
	(void)state;
	steps[0] = run_step("work");
	for (uint8_t s = 0; s < PROFILE_STAGES_MAX; s++)
		many[s] = (struct stage){ .name = stage.name, .fence = -1, .steps = steps, .n_steps = 1, .needs = (1u << s) - 1, .where = s + 1 < PROFILE_STAGES_MAX ? 1u << CLASS_NEW : 0 };
	long_one = profile;
	long_one.stages = many;
	long_one.n_stages = PROFILE_STAGES_MAX;
	now = 1000;
	r = rollout_new(&long_one, 1);
	put((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	put((struct record){ .kind = RECORD_ROW, .unit = 0, .text = "name=row\n" });
	put((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_recovered(r);
	(void)alarm(60);
	tell((struct event){ .kind = EVENT_TICK });
	(void)alarm(0);
	assert_int_equal(r->units[PROFILE_STAGES_MAX - 1].state, UNIT_RUNNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_abort_waits_for_an_approval, teardown),
		cmocka_unit_test_teardown(a_kill_that_nobody_could_look_for_is_tried_again, teardown),
		cmocka_unit_test_teardown(hosts_are_not_mixed_up, teardown),
		cmocka_unit_test_teardown(an_answer_of_an_earlier_try_is_not_heard, teardown),
		cmocka_unit_test_teardown(who_gets_no_further_may_be_given_up, teardown),
		cmocka_unit_test_teardown(who_is_late_is_tried_again_in_its_own_place, teardown),
		cmocka_unit_test_teardown(a_profile_of_the_cluster_alone_ends, teardown),
		cmocka_unit_test_teardown(what_is_over_is_not_opened_again, teardown),
		cmocka_unit_test_teardown(an_abort_names_what_a_failover_lost, teardown),
		cmocka_unit_test_teardown(all_that_are_as_before_are_opened_again, teardown),
		cmocka_unit_test_teardown(what_has_become_mixed_only_goes_forward, teardown),
		cmocka_unit_test_teardown(a_parked_node_carries_nobody, teardown),
		cmocka_unit_test_teardown(who_comes_during_an_abort_counts, teardown),
		cmocka_unit_test_teardown(many_stages_without_work_cost_no_time, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
