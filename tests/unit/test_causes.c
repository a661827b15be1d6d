/* SPDX-License-Identifier: MIT */
/*
 * What happens after a failure, and the way back: the rules over a small made-up world, which is also left and taken up again at every
 * batch of records. Nothing here is of a real system: a stop, a dump, a migration and a start, each with a step or two.
 */
#include "daemon/core/back.h"
#include "daemon/core/decide.h"
#include "daemon/core/explain.h"
#include "daemon/core/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAME(text) ((char *)(uintptr_t)(text))

enum { DOWN, DUMP, MIGRATE, UP, STAGES };
enum { STEPS = 3, QUEUE = 64, JOURNAL = 4096, TURNS = 2000 };

static struct set set = { .name = NAME("cluster"), .from = SET_CLUSTER };
static uint32_t n_rows; /* of the one set there is; unit = row * STAGES + stage */
static struct step steps[STAGES][STEPS];
static struct stage stages[STAGES];
static struct profile profile = { .set_node = -1, .set_tenants = -1, .sets = &set, .n_sets = 1, .stages = stages, .n_stages = STAGES };

/* What the world says to an action or a question; *causes and *text may be set. */
typedef enum result says_fn(const struct effect *e, uint8_t *causes, const char **text);

static struct {
	struct rollout *r;
	struct out out;
	uint64_t now, seen;       /* boot ms; the seq of the newest action that was carried out */
	struct effect queue[QUEUE];
	size_t n_queue;
	struct record journal[JOURNAL];
	size_t n_journal;
	unsigned batches, crash_at, crashes; /* crash_at: after that batch; 0: never */
	bool reboots;             /* a crash is the host's */
	says_fn *says;
	bool applied[STAGES][STEPS];
	unsigned did[STAGES][STEPS], undid[STAGES][STEPS], captured[STAGES][STEPS], asked[STAGES][STEPS]; /* how often */
} w;

static struct step run_step(const char *name)
{
	return (struct step){ .name = NAME(name), .act = { .kind = ACTION_RUN }, .on = { LANE_ON_LOCAL }, .n_on = 1, .resolve = RESOLVE_RERUN };
}

static struct step undone_step(const char *name)
{
	struct step step = run_step(name);
	step.has_undo = true;
	step.undo.kind = ACTION_RUN;
	return step;
}

static const struct step *step_of(const struct effect *e)
{
	return &steps[w.r->units[e->unit].stage][e->step];
}

static uint8_t stage_of(const struct effect *e)
{
	return w.r->units[e->unit].stage;
}

/* ---- the journal, and a life that begins anew from it ---- */

static void journal_keep(const struct record *rec)
{
	assert_in_range(w.n_journal, 0, JOURNAL - 1);
	struct record *kept = &w.journal[w.n_journal++];
	*kept = *rec;
	kept->text = rec->text != NULL ? strdup(rec->text) : NULL;
	kept->actor = NULL;
}

static struct rollout *fold(void)
{
	struct rollout *r = rollout_new(&profile, 1);
	for (size_t i = 0; i < w.n_journal; i++)
		assert_int_equal(rollout_apply(r, &w.journal[i]), 0);
	return r;
}

static void tell(struct event ev);

static void crash(void)
{
	w.crashes++;
	w.n_queue = 0;
	w.now = w.reboots ? 500 : w.now;
	rollout_free(w.r);
	w.r = fold();
	w.r->now = w.now;
	rollout_recovered(w.r);
	struct record rec = { .kind = RECORD_EPOCH, .unit = RECORD_NO_UNIT, .seq = w.r->seq + 1, .boot_ms = w.now, .epoch = w.r->epoch + 1 };
	assert_int_equal(rollout_apply(w.r, &rec), 0);
	journal_keep(&rec);
	tell((struct event){ .kind = EVENT_RECOVERED });
}

static void tell(struct event ev)
{
	ev.boot_ms = w.now += 10;
	ev.wall_ms = 1700000000000 + (int64_t)w.now;
	out_reset(&w.out);
	decide(w.r, &ev, &w.out);
	for (size_t i = 0; i < w.out.n_records; i++)
		journal_keep(&w.out.records[i]);
	for (size_t i = 0; i < w.out.n_effects; i++) {
		assert_in_range(w.n_queue, 0, QUEUE - 1);
		w.queue[w.n_queue++] = w.out.effects[i];
	}
	const char *what = "";
	struct rollout *other = fold();
	if (!rollout_same(w.r, other, &what))
		fail_msg("the fold is another state: %s", what);
	rollout_free(other);
	w.batches += w.out.n_records > 0;
	if (w.out.n_records > 0 && w.batches == w.crash_at)
		crash();
}

/* ---- the world ---- */

static void observe(void)
{
	for (size_t i = 0; i < 8; i++)
		w.r->facts.rows_at[i] = w.r->facts.servers_at[i] = w.now += 5;
	tell((struct event){ .kind = EVENT_FACTS });
}

/* Carried out once, however often it is asked for. */
static void carry_out(const struct effect *e, enum result result)
{
	if (e->seq <= w.seen)
		return;
	w.seen = e->seq;
	bool undo = e->dir == DIR_UNDO;
	if (undo)
		w.undid[stage_of(e)][e->step]++;
	else
		w.did[stage_of(e)][e->step]++;
	if (result == RESULT_OK)
		w.applied[stage_of(e)][e->step] = !undo;
}

static void answer(const struct effect *e)
{
	static const enum event_kind kinds[] = { [EFFECT_GATE] = EVENT_GATE, [EFFECT_ASK] = EVENT_ASKED, [EFFECT_CAPTURE] = EVENT_CAPTURED,
		[EFFECT_ACT] = EVENT_ACTED, [EFFECT_VERIFY] = EVENT_VERIFIED, [EFFECT_ORPHANS] = EVENT_ORPHANS, [EFFECT_RECHECK] = EVENT_RECHECKED };
	struct event ev = { .kind = kinds[e->kind], .unit = e->unit, .step = e->step, .lane = e->lane, .dir = e->dir, .attempt = e->attempt, .seq = e->seq };
	ev.text = e->kind == EFFECT_CAPTURE ? "{}" : "it is so";
	if (w.says != NULL)
		ev.result = w.says(e, &ev.causes, &ev.text);
	if (e->kind == EFFECT_ASK)
		w.asked[stage_of(e)][e->step]++;
	if (e->kind == EFFECT_CAPTURE)
		w.captured[stage_of(e)][e->step]++;
	if (e->kind == EFFECT_ACT)
		carry_out(e, ev.result);
	tell(ev);
}

static bool floor_is_waited_for(void)
{
	for (uint32_t i = 0; i < w.r->n_units; i++)
		if (w.r->units[i].state == UNIT_UNDOING && w.r->live[i].why.kind == WHY_FLOOR && w.r->live[i].busy == BUSY_NO)
			return true;
	return false;
}

/* Until nothing is asked and no time is waited for, but what a floor is looked at again for. */
static void play(void)
{
	for (unsigned turns = 0; turns < TURNS; turns++) {
		if (w.n_queue == 0 && (w.out.wake_at == 0 || floor_is_waited_for()))
			return;
		if (w.n_queue == 0) {
			w.now = w.out.wake_at > w.now ? w.out.wake_at : w.now;
			tell((struct event){ .kind = EVENT_TICK });
			continue;
		}
		struct effect e = w.queue[0];
		memmove(w.queue, w.queue + 1, --w.n_queue * sizeof(e));
		if (e.kind == EFFECT_OBSERVE)
			observe();
		else if (e.kind != EFFECT_ACK && e.kind != EFFECT_ENDED && e.kind != EFFECT_ASSERT)
			answer(&e);
	}
	fail_msg("it never comes to rest");
}

static void command(enum command_verb verb, uint32_t unit)
{
	tell((struct event){ .kind = EVENT_COMMAND, .verb = verb, .unit = unit, .actor = "uid=0" });
}

static bool noted(enum record_kind kind, const char *text)
{
	for (size_t i = 0; i < w.n_journal; i++)
		if (w.journal[i].kind == kind && w.journal[i].text != NULL && strstr(w.journal[i].text, text) != NULL)
			return true;
	return false;
}

static void begin(says_fn *says, unsigned crash_at)
{
	struct record start[] = { { .kind = RECORD_START, .unit = RECORD_NO_UNIT }, { .kind = RECORD_ROW, .text = "name=cluster\n" },
		{ .kind = RECORD_ROW, .unit = 1, .text = "name=other\n" }, { .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT } };
	w.now = 1000;
	w.says = says;
	w.crash_at = crash_at;
	w.r = rollout_new(&profile, 1);
	for (size_t i = 0; i < 4; i++) {
		if (start[i].kind == RECORD_ROW && start[i].unit >= n_rows)
			continue;
		start[i].seq = w.r->seq + 1;
		start[i].boot_ms = w.now;
		assert_int_equal(rollout_apply(w.r, &start[i]), 0);
		journal_keep(&start[i]);
	}
	rollout_recovered(w.r);
	tell((struct event){ .kind = EVENT_TICK });
	play();
}

static void end(void)
{
	for (size_t i = 0; i < w.n_journal; i++)
		free((char *)(uintptr_t)w.journal[i].text);
	out_done(&w.out);
	rollout_free(w.r);
	memset(&w, 0, sizeof(w));
}

static int setup(void **state)
{
	static const char *const names[] = { "down", "dump", "migrate", "up" };
	(void)state;
	profile.set_node = -1;
	profile.n_balancers = 0;
	profile.balancers[0] = NAME("front");
	memset(&w, 0, sizeof(w));
	memset(steps, 0, sizeof(steps));
	n_rows = 1;
	for (size_t s = 0; s < STAGES; s++)
		stages[s] = (struct stage){ .name = NAME(names[s]), .fence = -1, .steps = steps[s], .n_steps = 1, .needs = s > 0 ? 1u << (s - 1) : 0 };
	steps[DOWN][0] = undone_step("stop");
	steps[DUMP][0] = run_step("dump");
	steps[MIGRATE][0] = run_step("backup");
	steps[MIGRATE][1] = undone_step("schema");
	stages[MIGRATE].n_steps = 2;
	steps[UP][0] = run_step("start");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	return 0;
}

/* ---- a stage in which nothing is to be done ---- */

static enum result nothing_stops(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)causes;
	(void)text;
	return stage_of(e) == DOWN ? RESULT_FAILED : RESULT_OK;
}

static void what_has_no_work_passes_on_what_it_waits_for(void **state)
{
	(void)state;
	stages[DUMP].where = 1u << CLASS_NEW; /* no row is */
	begin(nothing_stops, 0);
	assert_int_equal(w.did[DOWN][0], 1);
	assert_int_equal(w.did[MIGRATE][0], 0);
}

/* ---- rows of on_failure ---- */

static bool is_do(const struct effect *e, enum effect_kind kind, uint8_t stage, uint16_t step)
{
	return e->kind == kind && e->dir == DIR_DO && stage_of(e) == stage && e->step == step;
}

/* The migration fails; the first row fits, the second does not. */
static enum result schema_fails(const struct effect *e, uint8_t *causes, const char **text)
{
	if (!is_do(e, EFFECT_ACT, MIGRATE, 1))
		return RESULT_OK;
	*causes = 1;
	*text = "exit 1: it is locked\nmuch more";
	return RESULT_FAILED;
}

static void a_cause_is_tried_again_so_often_and_no_more(void **state)
{
	(void)state;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_RETRY, .max = 3, .wait_ms = 60000, .hint = NAME("end the other one") };
	steps[MIGRATE][1].n_causes = 1;
	steps[MIGRATE][1].retry = 1; /* comes after, and is not used up by it */
	begin(schema_fails, 0);
	assert_int_equal(w.did[MIGRATE][1], 1 + 3 + 1);
	assert_in_range(w.now, 3 * 60000, 4 * 60000);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_true(noted(RECORD_RETRY, "exit 1: it is locked; end the other one; again, 3 of 3\nmuch more"));
	assert_false(noted(RECORD_UNIT, "end the other one")); /* of the row that was used up */
	command(COMMAND_RETRY, MIGRATE);
	play();
	assert_int_equal(w.did[MIGRATE][1], 5 + 3 + 1); /* by a person's word it counts anew */
}

/* Each crash may lose an answer, and what is tried again is known from the journal alone. */
static void tries_by_a_cause_are_counted_over_a_crash(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 40; at++) {
		steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_RETRY, .max = 3 };
		steps[MIGRATE][1].n_causes = 1;
		begin(schema_fails, at);
		assert_int_equal(w.did[MIGRATE][1], 1 + 3);
		assert_int_equal(rollout_tried(w.r, MIGRATE, 1, 0), 3);
		bool was_last = w.crashes == 0;
		end();
		if (was_last)
			return;
	}
	fail_msg("there is no last batch");
}

/* A wait is as long as it says, wherever the daemon ends in it; also if its host does, whose clock begins anew. */
static void a_wait_is_as_long_over_a_crash(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 80; at++) {
		steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_RETRY, .max = 3, .wait_ms = 60000 };
		steps[MIGRATE][1].n_causes = 1;
		w.reboots = at % 2 != 0;
		begin(schema_fails, at / 2 + 1);
		assert_int_equal(w.did[MIGRATE][1], 1 + 3);
		assert_in_range(rollout_steady(w.r, w.now), 3 * 60000, 4 * 60000);
		bool was_last = w.crashes == 0;
		end();
		if (was_last)
			return;
	}
	fail_msg("there is no last batch");
}

static void the_first_row_that_fits_counts(void **state)
{
	(void)state;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_HOLD, .hint = NAME("look") };
	steps[MIGRATE][1].causes[1] = (struct cause){ .what = CAUSE_UNDO };
	steps[MIGRATE][1].n_causes = 2;
	steps[MIGRATE][1].retry = 5;
	begin(schema_fails, 0);
	assert_int_equal(w.did[MIGRATE][1], 1);
	assert_int_equal(w.undid[MIGRATE][1], 0);
	assert_true(noted(RECORD_UNIT, "exit 1: it is locked; look\nmuch more"));
}

static enum result nobody_knows_why(const struct effect *e, uint8_t *causes, const char **text)
{
	enum result result = schema_fails(e, causes, text);
	*causes = 0;
	return result;
}

/* A row without a match fits what nobody foresaw; one with another match does not. */
static void what_no_row_names_is_undone_by_the_one_for_all(void **state)
{
	(void)state;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_HOLD };
	steps[MIGRATE][1].causes[1] = (struct cause){ .what = CAUSE_UNDO };
	steps[MIGRATE][1].n_causes = 2;
	begin(nobody_knows_why, 0);
	assert_int_equal(w.undid[MIGRATE][1], 1);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
}

/* Fails until the step before has run twice. */
static enum result needs_the_step_before(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)text;
	bool fails = is_do(e, EFFECT_VERIFY, MIGRATE, 1) && w.did[MIGRATE][0] < 2;
	*causes = fails;
	return fails || (is_do(e, EFFECT_ASK, MIGRATE, 0)) ? RESULT_FAILED : RESULT_OK;
}

static void again_goes_on_from_an_earlier_step(void **state)
{
	(void)state;
	steps[MIGRATE][0].captures[0] = (struct capture){ .name = NAME("before"), .probe = NAME("p") };
	steps[MIGRATE][0].n_captures = 1;
	steps[MIGRATE][0].skip_if_done = true;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("gone"), .what = CAUSE_AGAIN, .from = 0, .max = 1 };
	steps[MIGRATE][1].n_causes = 1;
	begin(needs_the_step_before, 0);
	assert_int_equal(w.r->state, ROLLOUT_DONE);
	assert_int_equal(w.did[MIGRATE][0], 2);
	assert_int_equal(w.did[MIGRATE][1], 2);
	assert_int_equal(w.captured[MIGRATE][0], 1); /* what was there before is not what is there now */
	assert_int_equal(w.asked[MIGRATE][0], 2);
	assert_true(noted(RECORD_RETRY, "again from backup, 1 of 1"));
}

static enum result never_gets_by(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)text;
	*causes = is_do(e, EFFECT_VERIFY, MIGRATE, 1);
	return *causes ? RESULT_FAILED : RESULT_OK;
}

/* The step that it goes back to is finished well each time: that is no reason to count anew. */
static void again_ends_too(void **state)
{
	(void)state;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("gone"), .what = CAUSE_AGAIN, .from = 0, .max = 2 };
	steps[MIGRATE][1].n_causes = 1;
	begin(never_gets_by, 0);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_int_equal(w.did[MIGRATE][0], 3);
}

/* Locked three times, then gone. */
static enum result one_after_the_other(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)text;
	if (!is_do(e, EFFECT_VERIFY, MIGRATE, 1) || w.did[MIGRATE][0] > 1)
		return RESULT_OK;
	*causes = w.did[MIGRATE][1] <= 3 ? 1 : 2;
	return RESULT_FAILED;
}

static void each_row_has_its_own_count(void **state)
{
	(void)state;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_RETRY, .max = 3 };
	steps[MIGRATE][1].causes[1] = (struct cause){ .match = NAME("gone"), .what = CAUSE_AGAIN, .from = 0, .max = 1 };
	steps[MIGRATE][1].n_causes = 2;
	begin(one_after_the_other, 0);
	assert_int_equal(w.r->state, ROLLOUT_DONE);
	assert_int_equal(w.did[MIGRATE][1], 5);
}

static enum result leaves_statements_behind(const struct effect *e, uint8_t *causes, const char **text)
{
	if (is_do(e, EFFECT_VERIFY, MIGRATE, 1))
		return RESULT_FAILED;
	return schema_fails(e, causes, text);
}

/* Between the failure and what is done about it stand questions; what the program printed is known by then from the journal alone. */
static void a_cause_is_remembered_over_a_crash(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 12; at++) {
		steps[MIGRATE][1].has_orphans = true;
		steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("locked"), .what = CAUSE_HOLD, .hint = NAME("end the other one") };
		steps[MIGRATE][1].n_causes = 1;
		steps[MIGRATE][1].retry = 3;
		begin(leaves_statements_behind, at);
		assert_int_equal(w.did[MIGRATE][1], 1);
		assert_true(noted(RECORD_UNIT, "end the other one"));
		end();
	}
}

static void what_a_failed_program_printed_is_kept(void **state)
{
	(void)state;
	begin(schema_fails, 0);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	const struct unit *u = &w.r->units[MIGRATE];
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(u->phase, PHASE_ACT);
	w.n_queue = 0;
	tell((struct event){ .kind = EVENT_ACTED, .unit = MIGRATE, .step = 1, .attempt = u->attempt, .lane = u->lane[0], .seq = u->intent[0],
		.result = RESULT_FAILED, .text = "exit 3", .output = "row 5 of files: no owner\n" });
	assert_true(noted(RECORD_OUTPUT, "row 5 of files"));
}

/* ---- unless ---- */

static enum result fails_and_is_undone(const struct effect *e, uint8_t *causes, const char **text)
{
	static unsigned unknown;
	if (e->kind == EFFECT_ASK && e->dir == DIR_UNDO && e->step == 1) {
		*text = "level: it is the old one";
		if (step_of(e)->undo_takes_ms == 1)
			return RESULT_FAILED;
		return unknown++ % 2 == 0 ? RESULT_UNKNOWN : RESULT_OK;
	}
	return schema_fails(e, causes, text);
}

static void what_is_as_before_is_not_undone(void **state)
{
	(void)state;
	steps[MIGRATE][1].on_failure = FAILURE_UNDO;
	steps[MIGRATE][1].n_undo_unless = 1;
	begin(fails_and_is_undone, 0);
	assert_int_equal(w.asked[MIGRATE][1], 2); /* nobody could say at first */
	assert_int_equal(w.undid[MIGRATE][1], 0);
	assert_int_equal(w.r->units[MIGRATE].touched, 0);
	assert_true(noted(RECORD_STEP, "nothing to undo: level: it is the old one"));
}

static void what_is_not_as_before_is_undone(void **state)
{
	(void)state;
	steps[MIGRATE][1].on_failure = FAILURE_UNDO;
	steps[MIGRATE][1].n_undo_unless = 1;
	steps[MIGRATE][1].undo_takes_ms = 1; /* see above */
	begin(fails_and_is_undone, 0);
	assert_int_equal(w.asked[MIGRATE][1], 1);
	assert_int_equal(w.undid[MIGRATE][1], 1);
	assert_int_equal(w.r->units[MIGRATE].touched, 0);
}

/* ---- the whole rollout goes back ---- */

static bool mended;

/* The gate after the migration finds something that a person has to mend first. */
static enum result gate_says_no(const struct effect *e, uint8_t *causes, const char **text)
{
	if (e->unit >= STAGES || !is_do(e, EFFECT_ACT, MIGRATE, 1) || mended)
		return RESULT_OK;
	*causes = 1;
	*text = "exit 3: 5 files have no owner\nfile 1";
	return RESULT_FAILED;
}

static void gate(void)
{
	mended = false;
	steps[DOWN][0].captures[0] = (struct capture){ .name = NAME("before"), .probe = NAME("p") };
	steps[DOWN][0].n_captures = 1;
	stages[DOWN].canary = 1;
	steps[MIGRATE][1].causes[0] = (struct cause){ .match = NAME("no owner"), .what = CAUSE_BACK, .hint = NAME("give them one") };
	steps[MIGRATE][1].n_causes = 1;
}

static unsigned count(enum record_kind kind)
{
	unsigned n = 0;
	for (size_t i = 0; i < w.n_journal; i++)
		n += w.journal[i].kind == kind;
	return n;
}

static void is_at_rest(void)
{
	assert_int_equal(w.r->state, ROLLOUT_RUNNING);
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.r->units[DOWN].state, UNIT_UNDONE);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_int_equal(w.r->units[UP].state, UNIT_WAITING);
	assert_false(w.applied[DOWN][0]);
	assert_false(w.applied[MIGRATE][1]);
}

static void it_goes_back_and_rests_until_it_is_mended(void **state)
{
	(void)state;
	char text[600];
	gate();
	begin(gate_says_no, 0);
	is_at_rest();
	assert_int_equal(count(RECORD_END), 0);
	const struct why why = admit_rollout(w.r, true);
	assert_int_equal(why.kind, WHY_BACK);
	assert_non_null(strstr(why_text(w.r, RECORD_NO_UNIT, &why, text, sizeof(text)), "migrate/cluster failed: schema: exit 3: 5 files have no owner; give them one"));
	command(COMMAND_PAUSE, 0);
	assert_int_equal(w.out.refused, 1);
	command(COMMAND_RETRY, DOWN);
	assert_int_equal(w.out.refused, 1);
	assert_non_null(strstr(w.out.answer, "upgctl retry migrate/cluster"));
	mended = true;
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->state, ROLLOUT_DONE);
	assert_int_equal(w.captured[DOWN][0], 2); /* the users have changed things since */
	assert_int_equal(w.did[DUMP][0], 2);
	assert_true(w.applied[DOWN][0] && w.applied[MIGRATE][1]);
}

static void what_begins_anew_has_nothing_of_before(void **state)
{
	(void)state;
	gate();
	begin(gate_says_no, 0);
	w.says = NULL;
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.r->units[DOWN].flags, UNIT_STARTED);
	assert_int_equal(w.r->units[DOWN].captured, 0);
	assert_int_equal(w.r->canary_done_ms[DOWN], 0);
	for (unsigned s = DUMP; s < STAGES; s++) {
		const struct unit *u = &w.r->units[s];
		assert_int_equal(u->state, UNIT_WAITING);
		assert_int_equal(u->touched | u->captured | u->flags | u->step | u->lost, 0);
		assert_int_equal(u->attempt, 1);
	}
}

static void it_goes_back_and_is_aborted(void **state)
{
	(void)state;
	gate();
	begin(gate_says_no, 0);
	command(COMMAND_ABORT, RECORD_NO_UNIT);
	play();
	assert_int_equal(w.r->state, ROLLOUT_ABORTED);
	assert_int_equal(w.undid[DOWN][0], 1);
	assert_false(w.applied[DOWN][0]);
}

/* Killed after each batch of the whole story, and after each once more: it ends the same way, and nothing is done or undone twice. */
static void a_crash_on_the_way_back_changes_nothing(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 100; at++) {
		gate();
		begin(gate_says_no, at);
		is_at_rest();
		assert_int_equal(w.undid[DOWN][0], 1);
		mended = true;
		command(COMMAND_RETRY, MIGRATE);
		play();
		assert_int_equal(w.r->state, ROLLOUT_DONE);
		assert_int_equal(count(RECORD_BACK), 1);
		assert_int_equal(count(RECORD_REST), 1);
		assert_int_equal(count(RECORD_ANEW), 1);
		assert_int_equal(w.did[DOWN][0], 2);
		assert_int_equal(w.did[MIGRATE][1], 2);
		assert_true(w.applied[DOWN][0] && w.applied[MIGRATE][1] && w.applied[UP][0]);
		bool was_last = w.crashes == 0;
		end();
		if (was_last)
			return;
	}
	fail_msg("there is no last batch");
}

static void past_a_pivot_it_is_a_hold(void **state)
{
	(void)state;
	gate();
	steps[DUMP][0].pivot = true;
	begin(gate_says_no, 0);
	assert_int_equal(w.r->back, BACK_NO);
	assert_int_equal(w.r->units[DOWN].state, UNIT_DONE);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_true(noted(RECORD_UNIT, "give them one; it is not taken back: dump/cluster is past its pivot\nfile 1"));
}

static void past_its_own_pivot_it_is_a_hold_too(void **state)
{
	(void)state;
	gate();
	steps[MIGRATE][0].pivot = true;
	begin(gate_says_no, 0);
	assert_int_equal(w.r->back, BACK_NO);
	assert_int_equal(w.undid[MIGRATE][1], 0);
	assert_true(noted(RECORD_UNIT, "it is not taken back: migrate/cluster is past its pivot"));
}

/* Two at once: what the other one does is waited for, then it turns too, and nothing new starts. */
static void the_others_go_back_too(void **state)
{
	(void)state;
	n_rows = 2;
	gate();
	stages[DOWN].canary = 0;
	stages[DOWN].total = stages[DUMP].total = stages[MIGRATE].total = 2;
	steps[MIGRATE][0].has_undo = true;
	steps[MIGRATE][0].undo.kind = ACTION_RUN;
	begin(gate_says_no, 0);
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.r->units[STAGES + MIGRATE].state, UNIT_UNDONE);
	assert_int_equal(w.r->units[STAGES + DOWN].state, UNIT_UNDONE);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_int_equal(w.undid[DOWN][0], 2);
	assert_int_equal(w.did[UP][0], 0);
}

static bool stuck;

static enum result undo_is_stuck(const struct effect *e, uint8_t *causes, const char **text)
{
	if (stuck && e->kind == EFFECT_ACT && e->dir == DIR_UNDO && stage_of(e) == MIGRATE)
		return RESULT_FAILED;
	return gate_says_no(e, causes, text);
}

/* The old service is not begun over a database that is still the new one. */
static void nothing_is_undone_over_what_could_not_be(void **state)
{
	(void)state;
	gate();
	stuck = true;
	begin(undo_is_stuck, 0);
	assert_int_equal(w.r->back, BACK_GOING);
	assert_int_equal(w.undid[DOWN][0], 0);
	command(COMMAND_RESUME, RECORD_NO_UNIT);
	assert_int_equal(w.out.refused, 1);
	stuck = false;
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.undid[DOWN][0], 1);
	mended = true;
	command(COMMAND_RETRY, MIGRATE);
	play();
	assert_int_equal(w.r->state, ROLLOUT_DONE);
}

static void what_was_parked_half_way_is_undone_before_it_begins_anew(void **state)
{
	(void)state;
	gate();
	stuck = true;
	begin(undo_is_stuck, 0);
	command(COMMAND_PARK, MIGRATE);
	play();
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.undid[DOWN][0], 1); /* by a person's word */
	stuck = false;
	mended = true;
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.r->units[MIGRATE].touched, 0);
	command(COMMAND_RETRY, MIGRATE);
	play();
	assert_int_equal(w.r->state, ROLLOUT_DONE);
}

/* ---- what may not be undone, or could not be ---- */

/* Never holds, until it is mended. */
static const struct floor shut = { .what = { .kind = COUNTER_CONST, .constant = 0 }, .bound = { .kind = COUNTER_CONST, .constant = 1 } };

static void floors(struct step *step)
{
	step->undo_while[0] = shut;
	step->n_undo_while = 1;
}

/* What the gate is for MIGRATE, a gate after everything. */
static enum result end_says_no(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)text;
	bool fails = is_do(e, EFFECT_ACT, UP, 1) && !mended;
	*causes = fails;
	return fails ? RESULT_FAILED : RESULT_OK;
}

static void gate_at_the_end(void)
{
	mended = false;
	steps[UP][1] = run_step("gate");
	steps[UP][1].causes[0] = (struct cause){ .what = CAUSE_BACK };
	steps[UP][1].n_causes = 1;
	stages[UP].n_steps = 2;
}

static void what_it_needs_is_not_undone_under_what_may_not_be(void **state)
{
	(void)state;
	char text[600];
	gate_at_the_end();
	floors(&steps[MIGRATE][1]);
	begin(end_says_no, 0);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_DONE);
	assert_int_equal(w.undid[DOWN][0], 0);
	assert_int_equal(w.r->back, BACK_GOING); /* this is not the old version */
	const struct why why = admit_rollout(w.r, true);
	assert_non_null(strstr(why_text(w.r, RECORD_NO_UNIT, &why, text, sizeof(text)), "down/cluster is kept, for something that needs it was not undone"));
	steps[MIGRATE][1].undo_while[0].what.constant = 1;
	observe();
	play();
	assert_int_equal(w.undid[MIGRATE][1], 1);
	assert_int_equal(w.undid[DOWN][0], 1);
	assert_int_equal(w.r->back, BACK_REST);
}

/* The rollout goes back, and the start may not be undone: all else stands on it. */
static void begin_with_a_start_that_must_stay(void)
{
	gate_at_the_end();
	steps[UP][0] = undone_step("start");
	floors(&steps[UP][0]);
	begin(end_says_no, 0);
}

static void what_it_needs_is_not_undone_under_what_stays(void **state)
{
	(void)state;
	begin_with_a_start_that_must_stay();
	char text[600];
	assert_non_null(strstr(why_text(w.r, UP, &w.r->live[UP].why, text, sizeof(text)), "undoing start would strand users: 0 is 0"));
	assert_non_null(strstr(why_how(w.r, UP, &w.r->live[UP].why, text, sizeof(text)), "upgctl park up/cluster"));
	assert_false(noted(RECORD_STAYS, ""));
	assert_int_equal(w.undid[MIGRATE][1], 0);
	assert_int_equal(w.undid[DOWN][0], 0);
	assert_int_equal(w.r->back, BACK_GOING);
	command(COMMAND_ABORT, RECORD_NO_UNIT);
	w.now += 10000;
	tell((struct event){ .kind = EVENT_TICK });
	play();
	assert_int_equal(w.r->state, ROLLOUT_ABORTED); /* a person may end it so */
	assert_true(noted(RECORD_STAYS, "not undone, it would strand users"));
	assert_int_equal(w.undid[DOWN][0], 0);
}

/* The floor may hold again while it goes back: then it goes on, and rests. */
static void what_may_be_undone_later_is_undone_then(void **state)
{
	(void)state;
	begin_with_a_start_that_must_stay();
	assert_int_equal(w.r->back, BACK_GOING);
	steps[UP][0].undo_while[0].what.constant = 1;
	w.now += 10000;
	tell((struct event){ .kind = EVENT_TICK });
	play();
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.undid[UP][0], 1);
	assert_int_equal(w.undid[DOWN][0], 1);
}

/* Or a person says that it stays: what it needs may go then, and it rests. */
static void what_may_not_be_undone_may_be_parked(void **state)
{
	(void)state;
	begin_with_a_start_that_must_stay();
	command(COMMAND_PARK, UP);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->units[UP].state, UNIT_PARKED);
	assert_int_equal(w.r->back, BACK_REST);
	assert_int_equal(w.undid[UP][0], 0);
	assert_int_equal(w.undid[DOWN][0], 1);
}

/* Its floors and limits are those of the way forward. */
static enum result no_undo_of_the_dump(const struct effect *e, uint8_t *causes, const char **text)
{
	bool undone = e->kind == EFFECT_ACT && e->dir == DIR_UNDO && stage_of(e) == DUMP;
	return undone && !mended ? RESULT_FAILED : end_says_no(e, causes, text);
}

static void an_undo_is_never_one_too_many(void **state)
{
	(void)state;
	gate_at_the_end();
	steps[DUMP][0] = undone_step("dump");
	begin(no_undo_of_the_dump, 0);
	assert_int_equal(w.r->units[DUMP].state, UNIT_FAILED);
	assert_int_equal(w.r->units[DUMP].dir, DIR_UNDO);
	stages[DUMP].keep[0] = shut;
	stages[DUMP].n_keep = 1;
	mended = true;
	command(COMMAND_RETRY, DUMP);
	assert_string_equal(w.out.refused ? w.out.answer : "", "");
	play();
	assert_int_equal(w.r->back, BACK_REST);
	stages[DUMP].n_keep = 0;
}

/* What is there when it begins anew is of our own doing. */
static void what_stays_keeps_what_was_captured(void **state)
{
	(void)state;
	gate_at_the_end();
	steps[DOWN][0].has_undo = steps[MIGRATE][1].has_undo = false;
	steps[UP][0] = undone_step("start");
	floors(&steps[UP][0]);
	steps[UP][0].captures[0] = steps[UP][1].captures[0] = (struct capture){ .name = NAME("before"), .probe = NAME("p") };
	steps[UP][0].n_captures = steps[UP][1].n_captures = 1;
	begin(end_says_no, 0);
	assert_int_equal(w.r->back, BACK_REST);
	assert_true(noted(RECORD_REST, "of 1 something stays"));
	mended = true;
	command(COMMAND_RETRY, UP);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->state, ROLLOUT_DONE);
	assert_int_equal(w.captured[UP][0], 1);
	assert_int_equal(w.captured[UP][1], 2);
}

/* ---- a server is set back already ---- */

static enum result server_is_refused(const struct effect *e, uint8_t *causes, const char **text)
{
	(void)causes;
	(void)text;
	return is_do(e, EFFECT_VERIFY, MIGRATE, 1) ? RESULT_FAILED : RESULT_OK;
}

static void what_is_set_back_already_is_released(void **state)
{
	(void)state;
	profile.set_node = 0;
	profile.n_balancers = 1;
	steps[MIGRATE][1] = (struct step){ .name = NAME("maint"), .act = { .kind = ACTION_SERVER, .want = SERVER_MAINT }, .has_undo = true,
		.undo = { .kind = ACTION_SERVER, .restore = true }, .n_undo_unless = 1, .on_failure = FAILURE_UNDO, .resolve = RESOLVE_RERUN };
	begin(server_is_refused, 0);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_true(noted(RECORD_STEP, "nothing to undo"));
	assert_int_equal(w.r->wants[0][0].state, SERVER_UNKNOWN); /* else custody wants maint for ever */
}

/* ---- a node that comes back ---- */

static void put(struct record rec)
{
	rec.seq = w.r->seq + 1;
	rec.boot_ms = w.now;
	assert_int_equal(rollout_apply(w.r, &rec), 0);
	journal_keep(&rec);
}

static void a_fenced_node_is_let_in_by_no_rollout_that_is_back(void **state)
{
	(void)state;
	gate();
	profile.set_node = 0;
	profile.n_balancers = 1;
	stages[UP].fence = 0;
	begin(gate_says_no, 0);
	is_at_rest();
	put((struct record){ .kind = RECORD_UNIT, .unit = UP, .code = UNIT_FENCED });
	put((struct record){ .kind = RECORD_WANT, .unit = UP, .lane = 0, .code = SERVER_MAINT });
	w.r->facts.rows[0] = (struct fact_row){ .known = true, .up = true };
	observe();
	play();
	assert_int_equal(w.r->units[UP].state, UNIT_FENCED);
	assert_int_equal(w.did[UP][0], 0);
}

/* ---- retries at the wrong time ---- */

static enum result undo_of_the_other_is_stuck(const struct effect *e, uint8_t *causes, const char **text)
{
	if (stuck && e->kind == EFFECT_ACT && e->dir == DIR_UNDO && e->unit == STAGES + MIGRATE)
		return RESULT_FAILED;
	return gate_says_no(e, causes, text);
}

static void refused(const char *text)
{
	assert_int_equal(w.out.refused, 1);
	if (strstr(w.out.answer, text) == NULL)
		fail_msg("%s", w.out.answer);
}

static void nothing_begins_anew_beside_an_undo(void **state)
{
	(void)state;
	n_rows = 2;
	gate();
	stages[DOWN].canary = 0;
	stages[DOWN].total = stages[DUMP].total = stages[MIGRATE].total = 2;
	steps[MIGRATE][0].has_undo = true;
	steps[MIGRATE][0].undo.kind = ACTION_RUN;
	stuck = true;
	begin(undo_of_the_other_is_stuck, 0);
	assert_int_equal(w.r->back, BACK_GOING);
	command(COMMAND_RETRY, MIGRATE);
	refused("the rollout still goes back");
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	command(COMMAND_PARK, STAGES + MIGRATE);
	play();
	assert_int_equal(w.r->back, BACK_REST);
	command(COMMAND_RETRY, STAGES + MIGRATE);
	assert_int_equal(w.out.refused, 0);
	command(COMMAND_RETRY, MIGRATE);
	refused("nothing begins anew yet: migrate/other is being undone");
	play();
	command(COMMAND_RETRY, MIGRATE);
	refused("nothing begins anew yet: migrate/other has failed; retry or park it");
	command(COMMAND_PARK, STAGES + MIGRATE);
	assert_int_equal(w.out.refused, 0);
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.out.refused, 0);
	assert_int_equal(w.r->back, BACK_NO);
}

/* ---- an answer from before ---- */

static void what_was_asked_before_it_went_back_reopens_nothing(void **state)
{
	(void)state;
	gate();
	steps[MIGRATE][0] = (struct step){ .name = NAME("sure"), .act = { .kind = ACTION_APPROVE } };
	stages[DUMP].again = true;
	begin(gate_says_no, 0);
	put((struct record){ .kind = RECORD_HOST, .unit = RECORD_NO_UNIT, .code = HOST_OTHER, .text = "db: another one" });
	tell((struct event){ .kind = EVENT_TICK });
	assert_int_equal(w.r->live[DUMP].busy, BUSY_RECHECK);
	size_t n = 0;
	for (size_t i = 0; i < w.n_queue; i++) /* that of DUMP is answered later */
		if (w.queue[i].unit != DUMP)
			w.queue[n++] = w.queue[i];
	w.n_queue = n;
	tell((struct event){ .kind = EVENT_COMMAND, .verb = COMMAND_APPROVE, .value = MIGRATE, .step = 0, .actor = "uid=0" });
	play();
	assert_int_equal(w.r->back, BACK_REST);
	tell((struct event){ .kind = EVENT_RECHECKED, .unit = DUMP, .attempt = w.r->units[DUMP].attempt, .result = RESULT_FAILED, .text = "it is gone" });
	assert_int_equal(w.r->units[DUMP].state, UNIT_DONE);
	mended = true;
	command(COMMAND_RETRY, MIGRATE);
	assert_int_equal(w.out.refused, 0);
	play();
	assert_int_equal(w.r->state, ROLLOUT_DONE);
}

/* ---- how long the way back takes ---- */

static void the_way_back_has_its_time(void **state)
{
	(void)state;
	uint64_t ms;
	bool more;
	n_rows = 2;
	gate();
	stages[DOWN].canary = 0;
	stages[DOWN].total = stages[DUMP].total = stages[MIGRATE].total = 2;
	steps[DOWN][0].undo_takes_ms = 60000;
	steps[MIGRATE][1].undo_takes_ms = 600000;
	steps[MIGRATE][1].causes[0].what = CAUSE_HOLD;
	begin(gate_says_no, 0);
	assert_int_equal(w.r->units[MIGRATE].state, UNIT_FAILED);
	assert_true(back_takes(w.r, &ms, &more));
	assert_int_equal(ms, 660000); /* two at a time */
	assert_false(more);
	steps[DOWN][0].undo_takes_ms = 0;
	assert_true(back_takes(w.r, &ms, &more));
	assert_true(more);
	command(COMMAND_ABORT, RECORD_NO_UNIT);
	play();
	assert_false(back_takes(w.r, &ms, &more));
}

static void past_a_pivot_there_is_no_way_back(void **state)
{
	(void)state;
	uint64_t ms;
	bool more;
	gate();
	steps[DOWN][0].undo_takes_ms = 60000;
	steps[DUMP][0].pivot = true;
	begin(gate_says_no, 0);
	assert_false(back_takes(w.r, &ms, &more));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_has_no_work_passes_on_what_it_waits_for, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cause_is_tried_again_so_often_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(tries_by_a_cause_are_counted_over_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wait_is_as_long_over_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(the_first_row_that_fits_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_row_names_is_undone_by_the_one_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(again_goes_on_from_an_earlier_step, setup, teardown),
		cmocka_unit_test_setup_teardown(again_ends_too, setup, teardown),
		cmocka_unit_test_setup_teardown(each_row_has_its_own_count, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cause_is_remembered_over_a_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_failed_program_printed_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_as_before_is_not_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_as_before_is_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_back_and_rests_until_it_is_mended, setup, teardown),
		cmocka_unit_test_setup_teardown(what_begins_anew_has_nothing_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_back_and_is_aborted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_on_the_way_back_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(past_a_pivot_it_is_a_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(past_its_own_pivot_it_is_a_hold_too, setup, teardown),
		cmocka_unit_test_setup_teardown(the_others_go_back_too, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_parked_half_way_is_undone_before_it_begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(the_way_back_has_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(past_a_pivot_there_is_no_way_back, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_undone_over_what_could_not_be, setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_needs_is_not_undone_under_what_may_not_be, setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_needs_is_not_undone_under_what_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_be_undone_later_is_undone_then, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_not_be_undone_may_be_parked, setup, teardown),
		cmocka_unit_test_setup_teardown(an_undo_is_never_one_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(what_stays_keeps_what_was_captured, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_set_back_already_is_released, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fenced_node_is_let_in_by_no_rollout_that_is_back, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_begins_anew_beside_an_undo, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_asked_before_it_went_back_reopens_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
