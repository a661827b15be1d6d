/* SPDX-License-Identifier: MIT */
/*
 * A step has failed: what is done about it. First what the profile says of this cause (on_failure rows; who judges the words has handed in
 * which rows fit), then the tries that are left, then the way back or a person.
 */
#include "advance.h"

#include "back.h"

#include <inttypes.h>
#include <string.h>

enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000 };

static bool retries_left(const struct unit *u, const struct step *step)
{
	return u->attempt - u->lost - u->spared <= (u->dir == DIR_UNDO ? ADVANCE_UNDO_TRIES : step->retry);
}

static void retry_put(struct rollout *r, struct out *out, uint32_t unit, struct record *rec, const char *text, uint64_t pause_ms)
{
	rec->text = text != NULL ? out_text(out, "%s", text) : NULL;
	rec->hash = pause_ms;
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	r->live[unit].retry_at = r->now + pause_ms;
	out_wake(out, r->live[unit].retry_at);
}

void retry_record(struct rollout *r, struct out *out, uint32_t unit, enum retry_kind kind, const char *text)
{
	const struct unit *u = &r->units[unit];
	uint64_t pause = (uint64_t)RETRY_FIRST_MS << (u->attempt < 6 ? u->attempt - 1 : 5);
	struct record *rec = out_record(r, out, RECORD_RETRY, unit);
	rec->code = (uint16_t)kind;
	retry_put(r, out, unit, rec, text, pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
}

void unit_fail(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *text)
{
	(void)unit_event(r, out, unit, event, NULL, text);
	if (r->on_failure_continue && r->back == BACK_NO && r->units[unit].state == UNIT_FAILED)
		(void)unit_event(r, out, unit, UNIT_EV_PARK, NULL, "on_failure=continue");
}

/* The first row that fits and is not used up; NULL: none. */
static const struct cause *cause_of(const struct rollout *r, uint32_t unit, const struct step *step, uint8_t fit)
{
	const struct unit *u = &r->units[unit];
	for (size_t i = 0; i < step->n_causes && u->dir == DIR_DO; i++) {
		const struct cause *cause = &step->causes[i];
		bool tries = cause->what == CAUSE_RETRY || cause->what == CAUSE_AGAIN;
		if ((cause->match == NULL || (fit & (1u << i)) != 0) && (!tries || rollout_tried(r, unit, u->step, (uint8_t)i) < cause->max))
			return cause;
	}
	return NULL;
}

/* In the first line, which every view shows; what the program printed comes behind it. */
static const char *add_to_first(struct out *out, const char *text, const char *what)
{
	int n = (int)strcspn(text, "\n");
	return what != NULL && what[0] != '\0' ? out_text(out, "%.*s; %s%s", n, text, what, text + n) : text;
}

static void cause_retry(struct rollout *r, struct out *out, uint32_t unit, const struct cause *cause, const char *text)
{
	const struct unit *u = &r->units[unit];
	const struct stage *stage = rollout_stage(r, u);
	uint8_t row = (uint8_t)(cause - rollout_step(r, u)->causes);
	bool is_from = cause->what == CAUSE_AGAIN;
	const char *where = is_from ? out_text(out, " from %s", stage->steps[cause->from].name) : "";
	text = add_to_first(out, text, out_text(out, "again%s, %u of %u", where, rollout_tried(r, unit, u->step, row) + 1u, cause->max));
	struct record *rec = out_record(r, out, RECORD_RETRY, unit);
	rec->code = (uint16_t)((is_from ? RETRY_FROM : RETRY_CAUSE) | row << 8);
	rec->value = is_from ? cause->from : 0;
	retry_put(r, out, unit, rec, text, cause->wait_ms);
}

/* The first to say so sends all others back; it itself stays failed, so that it is clear whose cause is to be mended. */
static void cause_back(struct rollout *r, struct out *out, uint32_t unit, const char *text)
{
	char name[300];
	const struct unit *u = &r->units[unit];
	uint32_t past = (u->flags & UNIT_PIVOT) != 0 ? unit : back_barred(r);
	if (rollout_goes_back(r) && past != unit) {
		(void)unit_event(r, out, unit, UNIT_EV_TURN, NULL, text);
	} else if (past != RECORD_NO_UNIT) {
		const char *barred = out_text(out, "it is not taken back: %s is past its pivot", rollout_unit_name(r, past, name, sizeof(name)));
		unit_fail(r, out, unit, UNIT_EV_FAIL, add_to_first(out, text, barred));
	} else {
		back_begin(r, out, unit, text);
		unit_fail(r, out, unit, UNIT_EV_FAIL_BACK, text);
	}
}

void step_failed(struct rollout *r, struct out *out, uint32_t unit, uint8_t causes, const char *text)
{
	const struct unit *u = &r->units[unit];
	const struct step *step = rollout_step(r, u);
	const struct cause *cause = cause_of(r, unit, step, causes);
	if (cause != NULL)
		text = add_to_first(out, text, cause->hint);
	if (cause != NULL && (cause->what == CAUSE_RETRY || cause->what == CAUSE_AGAIN)) {
		cause_retry(r, out, unit, cause, text);
		return;
	}
	if (cause == NULL && retries_left(u, step)) {
		retry_record(r, out, unit, RETRY_OWN, text);
		return;
	}
	if (cause != NULL && cause->what == CAUSE_BACK && (u->flags & UNIT_FENCE) == 0) {
		cause_back(r, out, unit, text);
		return;
	}
	bool may_go_back = u->dir == DIR_DO && (u->flags & UNIT_PIVOT) == 0;
	bool back = step->on_failure == FAILURE_UNDO || (step->on_failure == FAILURE_DEFAULT && (u->flags & UNIT_WINDOW) != 0);
	if (cause != NULL)
		back = cause->what == CAUSE_UNDO;
	unit_fail(r, out, unit, may_go_back && back ? UNIT_EV_FAIL_BACK : UNIT_EV_FAIL, text);
}
