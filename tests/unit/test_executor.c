/* SPDX-License-Identifier: MIT */
/* Actions at a site that is not there: a journal that an earlier life left, the real engine and executor, and a configuration without nodes. */
#include "daemon/act.h"
#include "daemon/captures.h"
#include "daemon/causes.h"
#include "daemon/config.h"
#include "daemon/executor.h"
#include "daemon/io/conf.h"
#include "daemon/io/loop.h"
#include "daemon/io/runner.h"
#include "daemon/probe.h"
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

/* There are programs that print an error and end with 0. */
static void a_program_has_done_what_its_output_says(void **state)
{
	static const struct {
		const char *name, *match, *not_match;
		int two, code, signal; /* two: 2 is success too */
		const char *out;
		bool cut;
		enum result result;
		const char *says;
	} rows[] = {
		{ "fine", NULL, NULL, 0, 0, 0, "hello\n", false, RESULT_OK, "exit 0 after 1.5 s" },
		{ "failed", NULL, NULL, 0, 2, 0, "hello\noh no\n\n", false, RESULT_FAILED, "exit 2: oh no" },
		{ "a code of its own", NULL, NULL, 1, 2, 0, "", false, RESULT_OK, "exit 2 after 1.5 s" },
		{ "0 is success all the same", NULL, NULL, 1, 0, 0, "", false, RESULT_OK, NULL },
		{ "no other code", NULL, NULL, 1, 3, 0, "", false, RESULT_FAILED, "exit 3" },
		{ "ended", NULL, NULL, 1, -1, 9, "", false, RESULT_FAILED, "ended by signal 9" },
		{ "a lie", NULL, "^ERROR", 0, 0, 0, "ok\nERROR 7: no\nall done\n", false, RESULT_FAILED, "exit 0, but it printed \"ERROR 7: no\"" },
		{ "no lie", NULL, "^ERROR", 0, 0, 0, "no ERROR\n", false, RESULT_OK, NULL },
		{ "failed, with the line", NULL, "^ERROR", 0, 1, 0, "ok\nERROR 7: no\nbye\n", false, RESULT_FAILED, "exit 1: ERROR 7: no" },
		{ "promised", "^upgraded$", NULL, 0, 0, 0, "is\nupgraded\nnow", false, RESULT_OK, NULL },
		{ "not promised", "^upgraded$", NULL, 0, 0, 0, "is\nnot upgraded\n", false, RESULT_FAILED,
			"exit 0, but it did not print ^upgraded$; its last line: not upgraded" },
		{ "nothing said", "^upgraded$", NULL, 0, 0, 0, "", false, RESULT_FAILED, "exit 0, but it did not print ^upgraded$" },
		{ "promised and a lie", "ok", "no", 0, 0, 0, "ok\nno\n", false, RESULT_FAILED, "exit 0, but it printed \"no\"" },
		{ "what is lost may be the error", NULL, "^ERROR", 0, 0, 0, "ok\n", true, RESULT_FAILED,
			"exit 0, but only the beginning and the end of what it printed are known (more than 64 KiB, or the disk there is full), so nobody can "
			"say that ^ERROR is not in it; its last line: ok" },
		{ "the error is in the rest", NULL, "^ERROR", 0, 0, 0, "ERROR\n", true, RESULT_FAILED, "exit 0, but it printed \"ERROR\"" },
		{ "the promise is in the rest", "ok", NULL, 0, 0, 0, "ok\n", true, RESULT_OK, NULL },
		{ "the promise may be lost", "ok", NULL, 0, 0, 0, "hm\n", true, RESULT_FAILED,
			"exit 0, but it did not print ok, as far as is known: only the beginning and the end are (more than 64 KiB, or the disk there is full); "
			"its last line: hm" },
		{ "its database", NULL, "^ERROR", 0, 0, 0, "ERROR: gone away\n", false, RESULT_UNKNOWN, NULL },
	};
	(void)state;
	struct profile profile = { .passing = (char[]){ "gone away" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char verdict[ACT_VERDICT_MAX];
		struct action action = { .kind = ACTION_RUN, .match = (char *)(uintptr_t)rows[i].match, .not_match = (char *)(uintptr_t)rows[i].not_match,
			.exits = { 2 }, .n_exits = (size_t)rows[i].two };
		struct runner_result end = { .state = RUNNER_EXITED, .exit_code = rows[i].code, .signal = rows[i].signal, .out = rows[i].out,
			.out_len = strlen(rows[i].out), .whole = !rows[i].cut, .took_ms = 1500 };
		enum result result = act_verdict(&profile, &action, &end, verdict);
		if (result != rows[i].result || (rows[i].says != NULL && strcmp(rows[i].says, verdict) != 0))
			fail_msg("%s: %d, \"%s\"", rows[i].name, result, verdict);
	}
}

/* What is said of a failure, and what the program printed: each line by itself. */
static void a_failure_is_known_by_what_is_said(void **state)
{
	(void)state;
	static struct step step = { .n_causes = 3, .causes = { { .match = (char *)(uintptr_t)"^ERROR: lock timeout$" }, { .match = (char *)(uintptr_t)"^exit 3" }, { 0 } } };
	assert_int_equal(causes_fit(&step, NULL, "begin\nERROR: lock timeout\nrollback\n"), 1 | 4);
	assert_int_equal(causes_fit(&step, "exit 3: rollback", "begin\nno ERROR: lock timeout\n"), 2 | 4);
	assert_int_equal(causes_fit(&step, NULL, NULL), 4);
}

static void the_end_of_a_report_is_kept(void **state)
{
	(void)state;
	static char out[2 * CAUSES_OUTPUT_MAX];
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = "four\n"[i % 5];
	char *kept = causes_output(out, sizeof(out));
	assert_in_range(strlen(kept), CAUSES_OUTPUT_MAX - 5, CAUSES_OUTPUT_MAX);
	assert_true(strncmp(kept, "four\n", 5) == 0);
	free(kept);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = "\xe2\x82\xac"[i % 3]; /* one line, of characters of three bytes */
	kept = causes_output(out, sizeof(out));
	assert_in_range(strlen(kept), CAUSES_OUTPUT_MAX - 3, CAUSES_OUTPUT_MAX);
	assert_true(strncmp(kept, "\xe2\x82\xac", 3) == 0);
	free(kept);
	kept = causes_output("one\0two\n", 8);
	assert_string_equal(kept, "one two\n");
	free(kept);
}

/* A finished unit that is opened again still knows what was before; one that begins anew after the whole rollout went back does not. */
static void what_begins_anew_forgets_its_captures(void **state)
{
	(void)state;
	struct captures captures = { 0 };
	captures_applied(&captures, NULL, &(struct record){ .kind = RECORD_CAPTURE, .unit = 3, .text = "{\"baseline\":{\"bind\":\"old\"}}" });
	captures_applied(&captures, NULL, &(struct record){ .kind = RECORD_UNIT, .unit = 3, .code = UNIT_WAITING });
	assert_non_null(captures_text(&captures, 3));
	captures_applied(&captures, NULL, &(struct record){ .kind = RECORD_UNIT, .unit = 3, .code = UNIT_WAITING, .value = 1 });
	assert_null(captures_text(&captures, 3));
	struct unit units[4] = { [3] = { .stays = 1 } };
	const struct rollout stays = { .units = units, .n_units = 4 };
	captures_applied(&captures, &stays, &(struct record){ .kind = RECORD_CAPTURE, .unit = 3, .text = "{\"baseline\":{\"bind\":\"old\"}}" });
	captures_applied(&captures, &stays, &(struct record){ .kind = RECORD_UNIT, .unit = 3, .code = UNIT_UNDONE });
	captures_applied(&captures, &stays, &(struct record){ .kind = RECORD_UNIT, .unit = 3, .code = UNIT_WAITING, .value = 1 });
	assert_non_null(captures_text(&captures, 3)); /* a step could not be undone: what is there now is ours */
	captures_done(&captures);
}

static void on_probe(void *arg, const struct probe_answer *answer)
{
	(void)snprintf(arg, JUDGE_TEXT_MAX, "%s", answer->text);
	loop_quit(world.loop);
}

/* Rows move when one more joins: what is said of the row that was asked about is made before. */
static void an_answer_may_come_when_its_row_has_moved(void **state)
{
	(void)state;
	struct fail fail = { .text = "" };
	char said[JUDGE_TEXT_MAX] = "";
	struct set set = { .name = (char[]){ "schema" } };
	const struct profile profile = { .sets = &set, .n_sets = 1 };
	const struct config config = { .cluster = (char *)(uintptr_t)"test" };
	struct row row = { .columns = (char[]){ "name=asked\n" } };
	const struct probe probe = { .name = (char[]){ "serves" }, .kind = PROBE_HTTP, .target = (char[]){ "http://127.0.0.1:1/" }, .expect = EXPECT_EQUALS,
		.expected = (char[]){ "200" }, .doc = (char[]){ "users of ${schema.name}" } };
	world.late = false;
	world.loop = loop_new(&fail);
	assert_non_null(world.loop);
	world.deadline = loop_timer_new(world.loop, on_deadline, NULL);
	world.site = site_new(world.loop, &config, &fail);
	assert_non_null(world.site);
	const struct probe_options options = { .bind = { .profile = &profile, .row = &row }, .unit = RECORD_NO_UNIT, .polled = true };
	(void)probe_start(world.site, &probe, &options, on_probe, said);
	row.columns = (char[]){ "name=another\n" };
	loop_timer_set(world.deadline, 20000);
	assert_int_equal(loop_run(world.loop), 0);
	assert_false(world.late);
	assert_non_null(strstr(said, "(users of asked)"));
	site_free(world.site);
	loop_timer_free(world.deadline);
	loop_free(world.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_begins_anew_forgets_its_captures),
		cmocka_unit_test(a_failure_is_known_by_what_is_said),
		cmocka_unit_test(the_end_of_a_report_is_kept),
		cmocka_unit_test(a_node_that_is_gone_has_not_failed),
		cmocka_unit_test(an_answer_may_come_when_its_row_has_moved),
		cmocka_unit_test(a_program_has_done_what_its_output_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
