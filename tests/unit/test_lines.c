/* SPDX-License-Identifier: MIT */
/* Custody of lines: whose a line is, and what comes of one that somebody changed. Two stages of two nodes, made by hand. */
#include "daemon/core/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { REDIRECT, CONVERT, MIGRATE };
enum { CLUSTER, OX1, OX2 }; /* rows */
enum { SET, RELOAD };

static char n_redirect[] = "redirect", n_convert[] = "convert", n_migrate[] = "migrate", n_set[] = "set", n_reload[] = "reload", n_clear[] = "clear",
	file[] = "${node.etc}/server.properties", line[] = "url=", url[] = "https://new", nothing[] = "", n_cluster[] = "cluster", n_node[] = "node",
	columns[][16] = { "name=all\n", "name=ox1\n", "name=ox2\n" };
static struct step redirect_steps[] = {
	{ .name = n_set, .act = { .kind = ACTION_EDIT, .file = file, .line = line, .to = url }, .on = { LANE_ON_SELF }, .n_on = 1 },
	{ .name = n_reload, .act = { .kind = ACTION_RUN }, .on = { LANE_ON_SELF }, .n_on = 1 },
};
static struct step convert_steps[] = {
	{ .name = n_clear, .act = { .kind = ACTION_EDIT, .file = file, .line = line, .to = nothing }, .on = { LANE_ON_SELF }, .n_on = 1 },
};
static struct step migrate_steps[] = { { .name = n_reload, .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1 } };
static struct stage stages[] = {
	[REDIRECT] = { .name = n_redirect, .set = 1, .total = 8, .fence = -1, .steps = redirect_steps, .n_steps = 2 },
	[CONVERT] = { .name = n_convert, .set = 1, .needs = 1u << REDIRECT, .total = 1, .fence = -1, .steps = convert_steps, .n_steps = 1 },
	[MIGRATE] = { .name = n_migrate, .set = 0, .needs = 1u << REDIRECT, .total = 1, .fence = -1, .steps = migrate_steps, .n_steps = 1 },
};
static struct set sets[] = { { .name = n_cluster }, { .name = n_node, .from = SET_NODES } };
static const struct profile profile = { .stages = stages, .n_stages = 3, .sets = sets, .n_sets = 2, .set_node = 1, .set_tenants = -1 };

struct site {
	struct rollout *r;
	struct out out;
};

static void apply(struct rollout *r, struct record rec)
{
	rec.seq = r->seq + 1;
	assert_int_equal(rollout_apply(r, &rec), 0);
}

/* Both nodes have their redirect; nothing else has begun. */
static void begin(struct site *s)
{
	*s = (struct site){ .r = rollout_new(&profile, 1) };
	apply(s->r, (struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT, .epoch = 1 });
	for (uint32_t i = 0; i < 3; i++)
		apply(s->r, (struct record){ .kind = RECORD_ROW, .unit = i, .step = i > 0, .code = CLASS_OLD, .text = columns[i] });
	apply(s->r, (struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	rollout_order(s->r);
	uint32_t units[] = { rollout_unit(s->r, "redirect/ox1"), rollout_unit(s->r, "redirect/ox2") };
	for (size_t i = 0; i < 2; i++) {
		apply(s->r, (struct record){ .kind = RECORD_ADMIT, .unit = units[i] });
		for (uint16_t k = 0; k < 2; k++) {
			apply(s->r, (struct record){ .kind = RECORD_INTENT, .unit = units[i], .step = k });
			apply(s->r, (struct record){ .kind = RECORD_ACTED, .unit = units[i], .step = k, .hash = s->r->seq });
			apply(s->r, (struct record){ .kind = RECORD_STEP, .unit = units[i], .step = k });
		}
		apply(s->r, (struct record){ .kind = RECORD_UNIT, .unit = units[i], .code = UNIT_DONE });
	}
}

static void end(struct site *s)
{
	out_done(&s->out);
	rollout_free(s->r);
}

static uint32_t unit(const struct site *s, const char *name)
{
	uint32_t index = rollout_unit(s->r, name);
	assert_int_not_equal(index, RECORD_NO_UNIT);
	return index;
}

/* Without the pump: only what the event itself means. */
static void seen(struct site *s, const char *name, const char *text)
{
	struct event ev = { .kind = EVENT_LINE, .unit = unit(s, name), .step = SET, .value = text == NULL, .text = text };
	out_reset(&s->out);
	line_seen(s->r, &s->out, &ev);
}

static unsigned state(const struct site *s, const char *name)
{
	return s->r->units[unit(s, name)].state;
}

static void test_a_line_is_ours_from_its_step_to_the_next_that_sets_it(void **ignored)
{
	(void)ignored;
	struct site s;
	begin(&s);
	uint32_t ox1 = unit(&s, "redirect/ox1"), clear = unit(&s, "convert/ox1");
	assert_true(line_is_ours(s.r, ox1, SET));
	assert_false(line_is_ours(s.r, ox1, RELOAD)); /* no edit */
	assert_false(line_is_ours(s.r, ox1, 7));
	assert_false(line_is_ours(s.r, clear, SET)); /* not begun */
	apply(s.r, (struct record){ .kind = RECORD_ADMIT, .unit = clear });
	assert_true(line_is_ours(s.r, ox1, SET));
	apply(s.r, (struct record){ .kind = RECORD_INTENT, .unit = clear });
	assert_false(line_is_ours(s.r, ox1, SET));
	assert_false(line_is_ours(s.r, clear, SET)); /* under way: what is seen may be its half */
	assert_true(line_is_ours(s.r, unit(&s, "redirect/ox2"), SET));
	apply(s.r, (struct record){ .kind = RECORD_ACTED, .unit = clear, .hash = s.r->seq });
	apply(s.r, (struct record){ .kind = RECORD_STEP, .unit = clear });
	assert_true(line_is_ours(s.r, clear, SET));
	apply(s.r, (struct record){ .kind = RECORD_UNIT, .unit = clear, .code = UNIT_DONE });
	assert_true(line_is_ours(s.r, clear, SET));
	apply(s.r, (struct record){ .kind = RECORD_END, .unit = RECORD_NO_UNIT, .code = ROLLOUT_PARTIAL });
	assert_true(line_is_ours(s.r, clear, SET)); /* the world is mixed for days */
	apply(s.r, (struct record){ .kind = RECORD_END, .unit = RECORD_NO_UNIT, .code = ROLLOUT_DONE });
	assert_false(line_is_ours(s.r, clear, SET));
	end(&s);
}

static void test_a_changed_line_holds_what_needs_it_and_is_not_fought(void **ignored)
{
	(void)ignored;
	struct site s;
	char text[300];
	begin(&s);
	assert_int_equal(line_held(s.r, 1u << REDIRECT, ROLLOUT_NO_ROW).kind, WHY_NONE);
	seen(&s, "redirect/ox2", "/etc/server.properties: we set \"url=https://new\", there is \"url=\"");
	assert_int_equal(s.out.n_records, 1);
	assert_int_equal(s.out.records[0].kind, RECORD_LINE);
	assert_int_equal(s.out.n_effects, 0);
	assert_int_equal(state(&s, "redirect/ox2"), UNIT_DONE);
	seen(&s, "redirect/ox2", "/etc/server.properties: we set \"url=https://new\", there is \"url=\"");
	assert_int_equal(s.out.n_records, 0); /* said already */
	struct why why = line_held(s.r, 1u << REDIRECT, ROLLOUT_NO_ROW);
	assert_int_equal(why.kind, WHY_CONTESTED);
	assert_string_equal(why_text(s.r, RECORD_NO_UNIT, &why, text, sizeof(text)),
		"contested: on ox2 somebody changed /etc/server.properties: we set \"url=https://new\", there is \"url=\"");
	assert_int_equal(line_held(s.r, 1u << CONVERT, ROLLOUT_NO_ROW).kind, WHY_NONE);
	assert_int_equal(line_held(s.r, 0, OX2).kind, WHY_CONTESTED);
	assert_int_equal(line_held(s.r, 0, OX1).kind, WHY_NONE);
	/* nobody is admitted: every stage here needs it, and says why */
	struct event tick = { .kind = EVENT_TICK, .boot_ms = 1000 };
	out_reset(&s.out);
	decide(s.r, &tick, &s.out);
	assert_int_equal(s.out.n_records, 0);
	assert_int_equal(s.r->stage_why[MIGRATE].kind, WHY_CONTESTED);
	assert_int_equal(s.r->stage_why[CONVERT].kind, WHY_CONTESTED);
	end(&s);
}

static void is_set_again(struct site *s)
{
	const struct unit *u = &s->r->units[unit(s, "redirect/ox2")];
	assert_int_equal(u->state, UNIT_RUNNING);
	assert_int_equal(u->step, SET); /* and the reload after it */
	assert_int_equal(u->attempt, 1);
	assert_null(line_changed(s->r, unit(s, "redirect/ox2")));
}

static void test_retry_or_a_hand_goes_on_from_the_line(void **ignored)
{
	(void)ignored;
	struct site s;
	begin(&s);
	assert_false(line_again(s.r, &s.out, unit(&s, "redirect/ox2"), "eva", NULL)); /* nobody changed it */
	seen(&s, "redirect/ox2", "gone");
	struct event retry = { .kind = EVENT_COMMAND, .verb = COMMAND_RETRY, .unit = unit(&s, "redirect/ox2"), .actor = "eva" };
	out_reset(&s.out);
	command_run(s.r, &s.out, &retry);
	assert_int_equal(s.out.refused, 0);
	is_set_again(&s);
	end(&s);
	begin(&s);
	seen(&s, "redirect/ox2", "gone");
	seen(&s, "redirect/ox2", NULL);
	is_set_again(&s);
	end(&s);
}

/* Else its redirect would be set beside the step that clears it, or after it. */
static void test_nothing_is_set_again_beside_another_unit_of_the_node(void **ignored)
{
	(void)ignored;
	struct site s;
	begin(&s);
	seen(&s, "redirect/ox2", "gone");
	apply(s.r, (struct record){ .kind = RECORD_ADMIT, .unit = unit(&s, "convert/ox2") });
	assert_false(line_again(s.r, &s.out, unit(&s, "redirect/ox2"), "eva", NULL));
	seen(&s, "redirect/ox2", NULL);
	assert_int_equal(state(&s, "redirect/ox2"), UNIT_DONE);
	assert_non_null(line_changed(s.r, unit(&s, "redirect/ox2")));
	assert_true(line_is_set_later(s.r, &s.r->units[unit(&s, "redirect/ox2")], &redirect_steps[SET]) == false);
	apply(s.r, (struct record){ .kind = RECORD_INTENT, .unit = unit(&s, "convert/ox2") });
	assert_true(line_is_set_later(s.r, &s.r->units[unit(&s, "redirect/ox2")], &redirect_steps[SET]));
	assert_null(line_changed(s.r, unit(&s, "redirect/ox2"))); /* and is not ours any more */
	end(&s);
}

static void test_while_it_is_aborted_nothing_is_set_again(void **ignored)
{
	(void)ignored;
	struct site s;
	begin(&s);
	seen(&s, "redirect/ox2", "gone");
	apply(s.r, (struct record){ .kind = RECORD_ABORT, .unit = RECORD_NO_UNIT });
	assert_false(line_again(s.r, &s.out, unit(&s, "redirect/ox2"), "eva", NULL));
	seen(&s, "redirect/ox2", NULL);
	assert_int_equal(state(&s, "redirect/ox2"), UNIT_DONE);
	assert_null(line_changed(s.r, unit(&s, "redirect/ox2")));
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_is_ours_from_its_step_to_the_next_that_sets_it),
		cmocka_unit_test(test_a_changed_line_holds_what_needs_it_and_is_not_fought),
		cmocka_unit_test(test_retry_or_a_hand_goes_on_from_the_line),
		cmocka_unit_test(test_nothing_is_set_again_beside_another_unit_of_the_node),
		cmocka_unit_test(test_while_it_is_aborted_nothing_is_set_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
