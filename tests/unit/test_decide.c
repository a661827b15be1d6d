/* SPDX-License-Identifier: MIT */
/* Rules that the one profile of the simulator has no steps for. */
#include "daemon/core/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

/* The answer to what is under way for the one unit. */
static void answer(enum event_kind kind, enum result result)
{
	const struct unit *u = &r->units[0];
	tell((struct event){ .kind = kind, .step = u->step, .dir = u->dir, .attempt = u->attempt, .lane = u->lane[0], .seq = u->intent[0],
		.result = result, .text = "it is so" });
}

static void later(uint64_t ms)
{
	now += ms;
	tell((struct event){ .kind = EVENT_TICK });
}

static void command(enum command_verb verb, uint16_t step)
{
	tell((struct event){ .kind = EVENT_COMMAND, .verb = verb, .unit = RECORD_NO_UNIT, .step = step, .actor = "uid=0" });
}

static struct step run_step(const char *name)
{
	return (struct step){ .name = (char *)(uintptr_t)name, .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1, .resolve = RESOLVE_RERUN };
}

static void begin(size_t n_steps)
{
	stage.n_steps = n_steps;
	now = 1000;
	r = rollout_new(&profile, 1);
	const struct record records[] = { { .seq = 1, .kind = RECORD_START, .unit = RECORD_NO_UNIT, .boot_ms = now },
		{ .seq = 2, .kind = RECORD_ROW, .unit = 0, .boot_ms = now, .text = "name=cluster\n" },
		{ .seq = 3, .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT, .boot_ms = now } };
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rollout_apply(r, &records[i]), 0);
	rollout_recovered(r);
	tell((struct event){ .kind = EVENT_TICK });
	assert_int_equal(r->units[0].state, UNIT_RUNNING);
}

static int teardown(void **state)
{
	(void)state;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_abort_waits_for_an_approval, teardown),
		cmocka_unit_test_teardown(a_kill_that_nobody_could_look_for_is_tried_again, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
