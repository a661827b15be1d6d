/* SPDX-License-Identifier: MIT */
/* What a runbook prints of foreign text, and in which order what goes back. */
#include "daemon/by_hand.h"
#include "daemon/config.h"
#include "daemon/runbook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* A rollout of one row, "cluster". */
static struct rollout *planned(const struct profile *profile)
{
	struct rollout *r = rollout_new(profile, 1);
	const struct record records[] = { { .seq = 1, .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\\nreboot\n" },
		{ .seq = 2, .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT } };
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(rollout_apply(r, &records[i]), 0);
	rollout_order(r);
	return r;
}

/* What is printed of a probe, or of a step; owned by the caller. */
static char *printed_of(struct probe *probe, const struct step *step, const struct config *config, const char *captures)
{
	struct stage stage = { .name = text_of("work"), .fence = -1 };
	struct set set = { .name = text_of("cluster") };
	const struct profile profile = { .set_node = -1, .set_tenants = -1, .probes = probe, .n_probes = 1, .sets = &set, .n_sets = 1, .stages = &stage,
		.n_stages = 1 };
	struct rollout *r = planned(&profile);
	char *text = NULL;
	size_t size;
	struct by_hand hand = { .config = config, .r = r, .unit = 0, .captures = captures, .out = open_memstream(&text, &size) };
	if (probe != NULL)
		by_hand_probe(&hand, 0);
	else
		by_hand_action(&hand, step, false);
	(void)fclose(hand.out);
	rollout_free(r);
	return text;
}

static char *printed(struct probe *probe, const struct config *config, const char *captures)
{
	return printed_of(probe, NULL, config, captures);
}

/* Of a profile: nobody pastes the second line of it into a shell. */
static void what_a_profile_says_stays_a_comment(void **state)
{
	(void)state;
	const struct config config = { .cluster = text_of("test") };
	struct probe probe = { .name = text_of("free"), .kind = PROBE_SQL, .target = text_of("configdb"), .query = text_of("SELECT 1"), .expect = EXPECT_EQUALS,
		.expected = text_of("1"), .doc = text_of("the room of ${cluster.name}\nreboot") };
	char *text = printed(&probe, &config, NULL);
	assert_non_null(strstr(text, "# the room of test reboot: the answer must be 1\n"));
	free(text);
	probe.doc = text_of("the room of ${param.nothing}\nreboot");
	text = printed(&probe, &config, NULL);
	assert_non_null(strstr(text, "# free: the answer must be 1\n"));
	free(text);
	const struct step step = { .name = text_of("agree"), .act = { .kind = ACTION_APPROVE, .to = text_of("${cluster.name} loses its mail\nreboot") } };
	text = printed_of(NULL, &step, &config, NULL);
	assert_string_equal(text, "# a person's word: test loses its mail reboot\n");
	free(text);
}

/* The dump is written first, and needs that all is down: it is restored before the old service begins, as upgd would. */
static void what_goes_back_does_so_in_the_order_of_needs(void **state)
{
	(void)state;
	char *restore[] = { text_of("restore"), NULL }, *begin[] = { text_of("begin"), NULL };
	struct step steps[2] = { { .name = text_of("dump"), .has_undo = true, .undo = { .kind = ACTION_RUN, .argv = restore }, .on = { LANE_ON_LOCAL }, .n_on = 1 },
		{ .name = text_of("stop"), .has_undo = true, .undo = { .kind = ACTION_RUN, .argv = begin }, .on = { LANE_ON_LOCAL }, .n_on = 1 } };
	struct stage stages[2] = { { .name = text_of("dump"), .fence = -1, .needs = 2, .steps = &steps[0], .n_steps = 1 },
		{ .name = text_of("down"), .fence = -1, .steps = &steps[1], .n_steps = 1 } };
	struct set set = { .name = text_of("cluster") };
	const struct profile profile = { .set_node = -1, .set_tenants = -1, .sets = &set, .n_sets = 1, .stages = stages, .n_stages = 2 };
	const struct config config = { .cluster = text_of("test") };
	const struct captures captures = { 0 };
	struct rollout *r = planned(&profile);
	for (uint32_t i = 0; i < 2; i++) {
		r->units[i].state = UNIT_DONE;
		r->units[i].touched = 1;
	}
	r->back = BACK_GOING;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	runbook_print(&(struct runbook){ .config = &config, .r = r, .captures = &captures }, out);
	(void)fclose(out);
	const char *first = strstr(text, "\nrestore </dev/null\n"), *second = strstr(text, "\nbegin </dev/null\n");
	if (first == NULL || second == NULL || first > second || strstr(text, "\nreboot") != NULL || strstr(text, "cluster reboot") == NULL)
		fail_msg("%s", text);
	free(text);
	rollout_free(r);
}

/* A row of a database with a line's end in it does not become a line of its own, which somebody would run. */
static void what_was_captured_stays_a_comment(void **state)
{
	(void)state;
	struct probe probe = { .name = text_of("off"), .kind = PROBE_SQL, .target = text_of("configdb"), .query = text_of("SELECT 1"), .expect = EXPECT_SUBSET_OF,
		.expected = text_of("was_off") };
	const struct config config = { .cluster = text_of("test") };
	char *text = printed(&probe, &config, "{\"was_off\":{\"rows\":[[\"17\\nreboot\\r\\u001b[2J\"],[\"18\"]]}}");
	assert_non_null(strstr(text, "#   was_off: 2: 17 reboot  [2J, 18\n"));
	assert_null(strstr(text, "\nreboot"));
	free(text);
}

/* What comes from a node or a database may have the word that ends a here-document on a line of its own: what follows would be run. */
static void what_was_captured_ends_no_document(void **state)
{
	(void)state;
	char *args[] = { text_of("${capture.was}"), NULL }, *argv[] = { text_of("say"), text_of("${capture.was}"), NULL };
	struct config_database database = { .name = text_of("configdb"), .option_file = text_of("/c.cnf") };
	const struct config config = { .cluster = text_of("test"), .databases = &database, .n_databases = 1 };
	struct probe probe = { .name = text_of("off"), .kind = PROBE_SQL, .target = text_of("configdb"), .query = text_of("SELECT ?"), .args = args };
	char *text = printed(&probe, &config, "{\"was\":{\"rows\":[[\"a\\nEOF\\nreboot\"]]}}");
	assert_non_null(strstr(text, "SELECT 'a\\nEOF\\nreboot';\nEOF\n"));
	free(text);
	const struct step step = { .name = text_of("say"), .act = { .kind = ACTION_RUN, .argv = argv }, .on = { LANE_ON_LOCAL }, .n_on = 1 };
	text = printed_of(NULL, &step, &config, "{\"was\":{\"rows\":[[\"a\\nEOF\\nreboot\"]]}}");
	assert_non_null(strstr(text, "say 'a\n''EOF\n''reboot'"));
	free(text);
}

/* Each of them, against where the host is at that moment; without any there is nothing to ask. */
static void replicas_are_asked_each(void **state)
{
	(void)state;
	char *pools[] = { text_of("3") }, *replicas[] = { text_of("/r1.cnf"), text_of("/r2.cnf") };
	struct config_host host = { .name = text_of("db1"), .pools = { .items = pools, .n = 1 }, .option_file = text_of("/db1.cnf"),
		.replicas = { .items = replicas, .n = 2 } };
	const struct config config = { .cluster = text_of("test"), .hosts = &host, .n_hosts = 1 };
	struct probe probe = { .name = text_of("caught_up"), .kind = PROBE_SQL, .target = text_of("replicas:3"), .position = text_of("SELECT @@gtid"),
		.query = text_of("SELECT WAIT(?, 5)"), .expect = EXPECT_EQUALS, .expected = text_of("0") };
	char *text = printed(&probe, &config, NULL);
	static const char first[] = "position=$(mariadb --defaults-extra-file=/db1.cnf -BN <<'EOF'\nSELECT @@gtid;\nEOF\n)\n";
	static const char one[] = "mariadb --defaults-extra-file=/r1.cnf --init-command=\"SET @position = '$position'\" --table <<'EOF'\nSELECT WAIT(@position, 5);\nEOF\n";
	const char *at = strstr(text, first);
	assert_non_null(at);
	assert_non_null(at = strstr(at, one));
	assert_non_null(strstr(at, "/r2.cnf"));
	free(text);
	host.replicas.n = 0;
	text = printed(&probe, &config, NULL);
	assert_non_null(strstr(text, "# db1 has no replica in upgd.conf: nothing to ask\n"));
	assert_null(strstr(text, "mariadb"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_captured_stays_a_comment), cmocka_unit_test(what_was_captured_ends_no_document),
		cmocka_unit_test(what_a_profile_says_stays_a_comment),
		cmocka_unit_test(what_goes_back_does_so_in_the_order_of_needs),
		cmocka_unit_test(replicas_are_asked_each),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
