/* SPDX-License-Identifier: MIT */
/* Actions at a site that is not there: a journal that an earlier life left, the real engine and executor, and a configuration without nodes. */
#include "daemon/config.h"
#include "daemon/executor.h"
#include "daemon/io/conf.h"
#include "daemon/io/loop.h"
#include "daemon/profile_load.h"
#include "daemon/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
	struct loop *loop;
	struct site *site;
	struct executor *executor;
	struct engine *engine;
	struct loop_timer *disk, *deadline;
	unsigned appended;
	uint64_t seq;
	unsigned acted, result; /* answers in the journal; the last one */
	bool late;
} world;

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	(void)arg;
	*boot_ms = loop_boot_ms();
	*wall_ms = loop_wall_ms();
}

static void on_disk(void *arg)
{
	(void)arg;
	for (; world.appended > 0; world.appended--)
		engine_durable(world.engine, 0);
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++) {
		if (records[i].kind != RECORD_ACTED)
			continue;
		world.acted++;
		world.result = records[i].code;
		loop_quit(world.loop);
	}
	world.appended++;
	loop_timer_set(world.disk, 0);
}

static void op_perform(void *arg, struct rollout *rollout, const struct effect *effect)
{
	(void)arg;
	executor_perform(world.executor, rollout, effect);
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	(void)arg;
	(void)boot_ms;
}

static void op_applied(void *arg, const struct rollout *rollout, const struct record *record)
{
	(void)arg;
	executor_applied(world.executor, rollout, record);
}

static void on_deadline(void *arg)
{
	(void)arg;
	world.late = true;
	loop_quit(world.loop);
}

static void fold(struct record rec)
{
	struct fail fail = { .text = "" };
	rec.seq = ++world.seq;
	rec.epoch = 1;
	rec.boot_ms = loop_boot_ms();
	rec.at_ms = loop_wall_ms();
	if (engine_fold(world.engine, &rec, &fail) != 0)
		fail_msg("%s", fail.text);
}

static char *start_text(void)
{
	static const char *const params[] = { "from", "7.10.5", "to", "7.10.6", "package", "7.10.6-44", "new_fleet", "new", "redirect",
		"https://x.example.com", NULL };
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	struct profile *profile = profile_load(UPGD_SOURCE_DIR "/conf/profiles/ox-appsuite.conf", params, &errors, &fail);
	assert_non_null(profile);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (size_t i = 0; params[i] != NULL; i += 2)
		(void)fprintf(out, "%s=%s\n", params[i], params[i + 1]);
	(void)fprintf(out, "\n%s", profile->text);
	(void)fclose(out);
	conf_errors_done(&errors);
	profile_free(profile);
	return text;
}

/* A task was sent to ox9, and upgd.conf has no ox9 any more: what became of it, nobody knows. It has not failed. */
static void a_node_that_is_gone_has_not_failed(void **state)
{
	static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake, .applied = op_applied };
	(void)state;
	struct fail fail = { .text = "" };
	const struct config config = { .cluster = (char *)(uintptr_t)"test", .watch_ms = 1000, .observe_ms = 5000 };
	memset(&world, 0, sizeof(world));
	world.loop = loop_new(&fail);
	assert_non_null(world.loop);
	world.disk = loop_timer_new(world.loop, on_disk, NULL);
	world.deadline = loop_timer_new(world.loop, on_deadline, NULL);
	world.site = site_new(world.loop, &config, &fail);
	assert_non_null(world.site);
	world.executor = executor_new(world.loop, world.site, &fail);
	world.engine = engine_new(&ops, NULL);
	executor_engine(world.executor, world.engine);

	char *text = start_text();
	fold((struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT, .value = 1, .text = text });
	free(text);
	fold((struct record){ .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\n" });
	fold((struct record){ .kind = RECORD_ROW, .unit = 1, .step = 1, .code = CLASS_OLD, .text = "name=ox9\n" });
	fold((struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	uint32_t unit = rollout_unit(engine_rollout(world.engine), "redirect/ox9");
	fold((struct record){ .kind = RECORD_ADMIT, .unit = unit, .code = CLASS_OLD });
	fold((struct record){ .kind = RECORD_INTENT, .unit = unit, .lane = 1, .attempt = 1 });
	engine_recovered(world.engine);
	loop_timer_set(world.deadline, 20000);
	assert_int_equal(loop_run(world.loop), 0);
	assert_false(world.late);
	assert_int_equal(world.acted, 1);
	assert_int_equal(world.result, RESULT_UNKNOWN);

	executor_free(world.executor);
	site_free(world.site);
	engine_free(world.engine);
	loop_timer_free(world.disk);
	loop_timer_free(world.deadline);
	loop_free(world.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_is_gone_has_not_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
