/* SPDX-License-Identifier: MIT */
/* What a runbook prints of foreign text. */
#include "daemon/by_hand.h"
#include "daemon/config.h"

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

/* A row of a database with a line's end in it does not become a line of its own, which somebody would run. */
static void what_was_captured_stays_a_comment(void **state)
{
	(void)state;
	struct probe probe = { .name = text_of("off"), .kind = PROBE_SQL, .target = text_of("configdb"), .query = text_of("SELECT 1"), .expect = EXPECT_SUBSET_OF,
		.expected = text_of("was_off") };
	struct stage stage = { .name = text_of("work"), .fence = -1 };
	struct set set = { .name = text_of("cluster") };
	const struct profile profile = { .set_node = -1, .set_tenants = -1, .probes = &probe, .n_probes = 1, .sets = &set, .n_sets = 1, .stages = &stage,
		.n_stages = 1 };
	struct rollout *r = rollout_new(&profile, 1);
	const struct record records[] = { { .seq = 1, .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\n" },
		{ .seq = 2, .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT } };
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(rollout_apply(r, &records[i]), 0);
	struct config config = { .cluster = text_of("test") };
	char *text = NULL;
	size_t size;
	struct by_hand hand = { .config = &config, .r = r, .unit = 0, .captures = "{\"was_off\":{\"rows\":[[\"17\\nreboot\\r\\u001b[2J\"],[\"18\"]]}}",
		.out = open_memstream(&text, &size) };
	by_hand_probe(&hand, 0);
	(void)fclose(hand.out);
	assert_non_null(strstr(text, "#   was_off: 2: 17 reboot  [2J, 18\n"));
	assert_null(strstr(text, "\nreboot"));
	free(text);
	rollout_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_captured_stays_a_comment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
