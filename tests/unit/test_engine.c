/* SPDX-License-Identifier: MIT */
/* The order in which things leave, with a clock, a journal and hands that are made up here. */
#include "daemon/engine.h"
#include "daemon/profile_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
	struct engine *engine;
	uint64_t now;
	unsigned appended; /* batches that are not on the disk */
	unsigned ended;    /* effects ENDED */
	uint32_t rollout;  /* that the last effect was performed for */
	int refused;
	char answer[320];
} world;

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	(void)arg;
	*boot_ms = world.now;
	*wall_ms = 1700000000000 + (int64_t)world.now;
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	(void)arg;
	(void)records;
	(void)n;
	world.appended++;
}

static void op_perform(void *arg, struct rollout *rollout, const struct effect *effect)
{
	(void)arg;
	world.ended += effect->kind == EFFECT_ENDED;
	world.rollout = rollout->id;
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	(void)arg;
	(void)boot_ms;
}

static void durable(void)
{
	while (world.appended > 0) {
		world.appended--;
		engine_durable(world.engine, 0);
	}
}

static void on_answer(void *arg, int refused, const char *answer)
{
	(void)arg;
	world.refused = refused;
	(void)snprintf(world.answer, sizeof(world.answer), "%s", answer);
}

static int setup(void **state)
{
	static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake };
	(void)state;
	memset(&world, 0, sizeof(world));
	world.now = 1000;
	world.engine = engine_new(&ops, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_free(world.engine);
	return 0;
}

static void start(uint32_t n_nodes)
{
	static const char *const params[] = { "from", "7.10.5", "to", "7.10.6", "package", "7.10.6-44", "new_fleet", "new", "redirect",
		"https://x.example.com", NULL };
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	struct profile *profile = profile_load(UPGD_SOURCE_DIR "/conf/profiles/ox-appsuite.conf", params, &errors, &fail);
	assert_non_null(profile);
	char names[8][24];
	struct engine_row rows[8];
	for (uint32_t i = 0; i < n_nodes; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "name=ox%u\n", i + 1);
		rows[i] = (struct engine_row){ .set = 1, .columns = names[i], .class_ = CLASS_OLD };
	}
	const struct engine_start with = { .text = profile->text, .params = params, .rows = rows, .n_rows = n_nodes, .actor = "uid=0" };
	if (engine_start(world.engine, &with, on_answer, NULL, &fail) != 0)
		fail_msg("%s", fail.text);
	conf_errors_done(&errors);
	profile_free(profile);
}

static void look(void)
{
	struct rollout *r = engine_rollout(world.engine);
	struct event event = { .kind = EVENT_FACTS };
	world.now += 10;
	for (size_t i = 0; i < 8; i++)
		r->facts.rows_at[i] = r->facts.servers_at[i] = world.now;
	world.now += 10;
	engine_event(world.engine, &event);
}

/* What a rollout's last batch would have done means other units and rows in the next one, which began while the disk was slow. */
static void nothing_of_one_rollout_is_done_to_the_next(void **state)
{
	(void)state;
	start(3);
	durable();
	struct event event = { .kind = EVENT_COMMAND, .verb = COMMAND_ABORT, .unit = RECORD_NO_UNIT, .actor = "uid=0" };
	engine_command(world.engine, &event, NULL, on_answer, NULL);
	durable();
	look();
	assert_int_equal(engine_rollout(world.engine)->state, ROLLOUT_ABORTED);
	assert_int_equal(world.ended, 0); /* not on the disk yet */
	start(1);
	assert_int_equal(engine_rollout(world.engine)->id, 2);
	durable();
	assert_int_equal(world.ended, 0);
	assert_string_equal(world.answer, "rollout 2 started: 7 units");
	assert_int_equal(world.rollout, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_of_one_rollout_is_done_to_the_next, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
