/* SPDX-License-Identifier: MIT */
/*
 * The fold. Every durable field of a rollout is assigned in this file and nowhere else; no rule lives here. A record says what was
 * decided; if an old daemon decided by other rules, the fold of its records is still what it meant.
 *
 * Records are written in batches that are all or nothing, so that a state "between" two records of a batch is never seen by a restart.
 */
#include "rollout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef int apply_fn(struct rollout *r, const struct record *rec);

static void *grow(void *array, uint32_t n, size_t size)
{
	void *more = realloc(array, (size_t)n * size);
	if (more == NULL)
		abort();
	return more;
}

static int apply_start(struct rollout *r, const struct record *rec)
{
	r->started_ms = rec->at_ms;
	r->back_by_ms = (int64_t)rec->hash;
	r->epoch = rec->epoch;
	r->approve_all = rec->code & START_APPROVE_ALL;
	r->on_failure_continue = rec->code & START_CONTINUE;
	r->state = ROLLOUT_PLANNING;
	return 0;
}

static void unit_add(struct rollout *r, uint8_t stage, uint32_t row)
{
	if (r->n_units == r->max_units) {
		r->max_units = r->max_units ? r->max_units * 2 : 64;
		r->units = grow(r->units, r->max_units, sizeof(*r->units));
		r->live = grow(r->live, r->max_units, sizeof(*r->live));
	}
	struct unit *u = &r->units[r->n_units];
	memset(u, 0, sizeof(*u)); /* padding too: units are compared as bytes */
	u->row = row;
	u->stage = stage;
	u->attempt = 1;
	u->since_ms = r->started_ms;
	const struct stage *s = &r->profile->stages[stage];
	const struct row *the_row = &r->rows[row];
	if (the_row->aside)
		u->state = UNIT_SKIPPED;
	else if (s->where != 0 && (s->where & (1u << the_row->class_)) == 0) {
		u->state = UNIT_DONE;
		u->flags = UNIT_ADOPTED;
	}
	memset(&r->live[r->n_units], 0, sizeof(*r->live));
	r->unit_of[stage][the_row->rank] = r->n_units++;
}

static void row_units(struct rollout *r, uint32_t row)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++) {
		if (r->profile->stages[s].set != r->rows[row].set)
			continue;
		r->unit_of[s] = grow(r->unit_of[s], r->rows[row].rank + 1, sizeof(uint32_t));
		unit_add(r, s, row);
	}
}

static int apply_row(struct rollout *r, const struct record *rec)
{
	if (rec->unit != r->n_rows || rec->step >= r->profile->n_sets || rec->text == NULL)
		return -EUCLEAN;
	if (r->n_rows == r->max_rows) {
		r->max_rows = r->max_rows ? r->max_rows * 2 : 64;
		r->rows = grow(r->rows, r->max_rows, sizeof(*r->rows));
		r->facts.rows = grow(r->facts.rows, r->max_rows, sizeof(*r->facts.rows));
	}
	struct row *row = &r->rows[r->n_rows];
	*row = (struct row){ .set = (uint8_t)rec->step, .weight = (uint32_t)rec->value, .host = (uint16_t)rec->lane,
		.class_ = rec->code & 0xff, .aside = rec->code >> 8, .capacity = (uint32_t)rec->hash,
		.rank = r->n_set_rows[rec->step]++ };
	r->facts.rows[r->n_rows] = (struct fact_row){ .class_ = row->class_ };
	row->columns = strdup(rec->text);
	char name[256];
	if (!row_column(row, "name", name, sizeof(name)))
		name[0] = '\0';
	row->name = strdup(name);
	if (row->name == NULL || row->columns == NULL)
		abort();
	uint32_t index = r->n_rows++;
	if (r->state != ROLLOUT_PLANNING)
		row_units(r, index); /* found later: joins the plan at its end */
	return 0;
}

static int apply_planned(struct rollout *r, const struct record *rec)
{
	(void)rec;
	for (uint32_t i = 0; i < r->n_rows; i++)
		row_units(r, i);
	int set = r->profile->set_node;
	uint32_t nodes = set >= 0 ? r->n_set_rows[set] : 0;
	for (size_t i = 0; i < r->profile->n_balancers && nodes > 0; i++) {
		r->wants[i] = calloc(nodes, sizeof(struct want));
		r->facts.servers[i] = calloc(nodes, sizeof(struct fact_server));
		if (r->wants[i] == NULL || r->facts.servers[i] == NULL)
			abort();
	}
	r->state = ROLLOUT_RUNNING;
	return 0;
}

static int apply_epoch(struct rollout *r, const struct record *rec)
{
	r->epoch = rec->epoch;
	r->doubt_seq = rec->seq;
	return 0;
}

/* Of the step at hand, whichever that is now. */
static void first_attempt(struct unit *u)
{
	u->attempt = 1;
	u->lost = u->spared = u->causes = 0;
	u->again_ms = 0;
}

static void unit_restart(struct unit *u)
{
	u->step = 0;
	u->dir = DIR_DO;
	u->phase = PHASE_NEXT;
	u->lanes = u->n_lanes = 0;
	first_attempt(u);
}

static void unit_state(struct unit *u, const struct record *rec, enum unit_state state)
{
	u->state = (uint8_t)state;
	u->since_ms = rec->at_ms;
	u->again_ms = 0;
	u->lanes = 0;
	u->phase = PHASE_NEXT;
}

static void tried_count(struct rollout *r, uint32_t unit, uint8_t step, uint8_t row)
{
	for (uint32_t i = 0; i < r->n_tried; i++) {
		struct tried *tried = &r->tried[i];
		if (tried->unit == unit && tried->step == step && tried->row == row) {
			tried->n += tried->n < UINT8_MAX;
			return;
		}
	}
	r->tried = grow(r->tried, r->n_tried + 1, sizeof(*r->tried));
	r->tried[r->n_tried++] = (struct tried){ .unit = unit, .step = step, .row = row, .n = 1 };
}

static void tried_forget(struct rollout *r, uint32_t unit)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_tried; i++)
		if (r->tried[i].unit != unit)
			r->tried[n++] = r->tried[i];
	r->n_tried = n;
}

static int apply_admit(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	unit_restart(u);
	unit_state(u, rec, UNIT_RUNNING);
	u->touched = 0;
	u->flags = (uint16_t)(UNIT_STARTED | (u->flags & UNIT_PIVOT));
	tried_forget(r, rec->unit);
	if (rec->value > r->rows[u->row].weight)
		r->rows[u->row].weight = (uint32_t)rec->value; /* tenants came since the plan */
	/* Its tenants were not all old (0: a journal that did not say): to take it back would take those along that never were there. */
	if (rec->code > CLASS_OLD && r->profile->stages[u->stage].has_window && r->rows[u->row].weight > 0)
		u->flags |= UNIT_PIVOT;
	u->window_open_ms = u->window_close_ms = u->task_ms = 0;
	return 0;
}

/* Keeps their order: two folds of one journal are alike. */
static void line_forget(struct rollout *r, uint32_t unit, uint16_t step)
{
	for (uint32_t i = 0; i < r->n_lines; i++) {
		if (r->lines[i].unit != unit || r->lines[i].step != step)
			continue;
		free(r->lines[i].text);
		memmove(&r->lines[i], &r->lines[i + 1], (r->n_lines - i - 1) * sizeof(*r->lines));
		r->n_lines--;
		return;
	}
}

static int apply_line(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	if (rec->step >= r->profile->stages[u->stage].n_steps)
		return -EUCLEAN;
	line_forget(r, rec->unit, rec->step);
	if (rec->code == LINE_AGAIN) {
		u->step = (uint8_t)rec->step;
		first_attempt(u);
		u->phase = PHASE_NEXT;
		u->lanes = 0;
	}
	if (rec->code != LINE_CHANGED)
		return 0;
	r->lines = grow(r->lines, r->n_lines + 1, sizeof(*r->lines));
	r->lines[r->n_lines] = (struct changed_line){ .unit = rec->unit, .step = rec->step, .since_ms = rec->at_ms, .text = strdup(rec->text != NULL ? rec->text : "") };
	if (r->lines[r->n_lines++].text == NULL)
		abort();
	return 0;
}

static int apply_intent(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	const struct step *step = &r->profile->stages[u->stage].steps[u->step];
	if (u->phase != PHASE_ACT) {
		u->phase = PHASE_ACT;
		u->lanes = u->n_lanes = 0;
		u->result = RESULT_OK;
		u->causes = 0;
		u->step_ms = r->steady_ms;
		u->again_ms = 0;
	}
	if (u->n_lanes == PROFILE_LANES_MAX)
		return -EUCLEAN;
	line_forget(r, rec->unit, u->step);
	u->lane[u->n_lanes] = rec->lane;
	u->intent[u->n_lanes] = rec->seq;
	u->lanes |= (uint8_t)(1u << u->n_lanes);
	u->n_lanes++;
	if (rec->dir == DIR_UNDO)
		return 0;
	u->touched |= 1u << u->step;
	if (step->window == WINDOW_OPEN && (u->flags & UNIT_WINDOW) == 0) {
		u->flags |= UNIT_WINDOW;
		u->window_open_ms = r->steady_ms;
		u->window_close_ms = 0;
		u->sure_seq = rec->seq;
	}
	if (step->pivot)
		u->flags |= UNIT_PIVOT;
	return 0;
}

static int apply_acted(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	for (uint8_t i = 0; i < u->n_lanes; i++) {
		if (u->intent[i] == rec->hash && (u->lanes & (1u << i)) != 0) {
			u->lanes &= (uint8_t)~(1u << i);
			break;
		}
	}
	if ((rec->code & 0xff) > u->result)
		u->result = rec->code & 0xff;
	u->causes |= (uint8_t)(rec->code >> 8);
	if (u->lanes != 0)
		return 0;
	/* A client that failed, or was killed, may have left a statement behind that goes on. */
	bool left = rec->dir == DIR_DO && r->profile->stages[u->stage].steps[u->step].has_orphans;
	if (u->result == RESULT_OK)
		u->phase = PHASE_VERIFY;
	else
		u->phase = u->result == RESULT_UNKNOWN || left ? PHASE_RESOLVE : PHASE_NEXT;
	return 0;
}

static void window_close(const struct rollout *r, struct unit *u)
{
	if ((u->flags & UNIT_WINDOW) != 0)
		u->window_close_ms = r->steady_ms;
	u->flags &= (uint16_t)~UNIT_WINDOW;
}

static int apply_step(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	const struct stage *stage = &r->profile->stages[u->stage];
	if (u->step >= stage->n_steps)
		return -EUCLEAN;
	const struct step *step = &stage->steps[u->step];
	u->phase = PHASE_NEXT;
	u->lanes = 0;
	first_attempt(u);
	if (rec->dir == DIR_UNDO) {
		if (step->window == WINDOW_OPEN && rec->code == STEP_UNDONE)
			window_close(r, u);
		if (rec->code == STEP_UNDONE)
			u->stays &= ~(1u << u->step);
		u->touched &= ~(1u << u->step);
		if (u->step > 0)
			u->step--;
		return 0;
	}
	if (step->pivot && (u->flags & UNIT_WINDOW) != 0 && rec->code == STEP_VERIFIED)
		u->task_ms = r->steady_ms - u->step_ms;
	if (step->window == WINDOW_CLOSE)
		window_close(r, u);
	u->step++;
	return 0;
}

static int apply_stays(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	u->flags |= UNIT_STAYS;
	u->stays |= 1u << u->step;
	u->touched &= ~(1u << u->step);
	first_attempt(u);
	u->phase = PHASE_NEXT;
	if (u->step > 0)
		u->step--;
	return 0;
}

static int apply_capture(struct rollout *r, const struct record *rec)
{
	r->units[rec->unit].captured |= 1u << (rec->step & 31);
	return 0;
}

static uint32_t canaries_ended(const struct rollout *r, uint8_t stage)
{
	uint32_t ended = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].stage == stage && (r->units[i].flags & UNIT_STARTED) && unit_is_settled(r->units[i].state))
			ended++;
	return ended;
}

static void canary_note(struct rollout *r, const struct unit *u)
{
	const struct stage *stage = &r->profile->stages[u->stage];
	if (stage->canary == 0 || r->canary_done_ms[u->stage] != 0)
		return;
	if (canaries_ended(r, u->stage) >= stage->canary)
		r->canary_done_ms[u->stage] = r->steady_ms;
}

static int apply_unit(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	bool was_back = u->dir == DIR_UNDO || u->state == UNIT_FENCED, was_waiting = u->state == UNIT_WAITING, was_done = u->state == UNIT_DONE;
	if (rec->code >= UNIT_STATES)
		return -EUCLEAN;
	unit_state(u, rec, (enum unit_state)rec->code);
	switch (rec->code) {
	case UNIT_WAITING:
		unit_restart(u);
		/* opened again: finished once more only when what was verified is so; and what is past its pivot stays so; value 1: begun anew */
		u->flags = was_done && rec->value == 0 ? (uint16_t)(UNIT_RECHECK | (u->flags & UNIT_PIVOT)) : 0;
		u->stays = rec->value != 0 ? u->stays : 0;
		u->captured &= u->stays; /* what is there now is of our own doing */
		u->touched = 0;
		break;
	case UNIT_RUNNING: /* retry: from the step it stopped at, or anew if it had gone back or its node was away */
		if (was_back)
			unit_restart(u);
		else if (u->attempt < UINT8_MAX)
			u->attempt++;
		u->dir = DIR_DO;
		u->sure_seq = 0;
		tried_forget(r, rec->unit);
		u->flags &= (uint16_t)~UNIT_MUTED;
		u->flags |= UNIT_STARTED;
		break;
	case UNIT_FENCED:
		unit_restart(u);
		u->flags |= (uint16_t)(UNIT_FENCE | (rec->value != 0 ? UNIT_FENCE_THEIRS : 0));
		break;
	case UNIT_DONE:
		u->flags &= (uint16_t)~(UNIT_FENCE | UNIT_FENCE_THEIRS);
		if (was_waiting)
			u->flags = (u->flags & (uint16_t)~UNIT_RECHECK) | UNIT_ADOPTED | UNIT_STARTED; /* once: it was verified, and can be lost again */
		break;
	case UNIT_UNDOING:
		u->flags &= (uint16_t)~UNIT_MUTED;
		u->dir = DIR_UNDO;
		first_attempt(u);
		/* from the last step that was ever sent: a retry may have begun anew at the first */
		u->step = u->touched != 0 ? (uint8_t)(31 - __builtin_clz(u->touched)) : 0;
		if (rec->value != 0)
			u->flags |= UNIT_TURNED;
		break;
	default:
		break;
	}
	if (unit_is_settled(u->state))
		canary_note(r, u);
	return 0;
}

static int apply_retry(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	uint8_t kind = rec->code & 0xff;
	if (kind >= RETRY_CAUSE)
		tried_count(r, rec->unit, u->step, (uint8_t)(rec->code >> 8));
	if (kind == RETRY_FROM) {
		if (rec->value < 0 || rec->value > u->step)
			return -EUCLEAN;
		u->step = (uint8_t)rec->value;
		first_attempt(u);
	} else if (u->attempt < UINT8_MAX) {
		u->attempt++;
		u->lost += kind == RETRY_LOST;
		u->spared += kind == RETRY_CAUSE;
	}
	u->again_ms = r->steady_ms + (int64_t)rec->hash;
	u->phase = PHASE_NEXT;
	u->lanes = 0;
	return 0;
}

static struct known_host *known_of(struct rollout *r, const char *name, size_t len)
{
	for (uint32_t i = 0; i < r->n_known; i++)
		if (strlen(r->known[i].name) == len && strncmp(r->known[i].name, name, len) == 0)
			return &r->known[i];
	r->known = grow(r->known, r->n_known + 1, sizeof(*r->known));
	struct known_host *known = &r->known[r->n_known++];
	*known = (struct known_host){ .name = strndup(name, len) };
	return known;
}

/* "db3: db3.example:3306 server_id 3". Whose tenants depend on it was verified on another server, or before it began anew. */
static int apply_host(struct rollout *r, const struct record *rec)
{
	const char *colon = rec->text != NULL ? strstr(rec->text, ": ") : NULL;
	if (colon == NULL)
		return -EUCLEAN;
	struct known_host *known = known_of(r, rec->text, (size_t)(colon - rec->text));
	free(known->identity);
	known->identity = strdup(colon + 2);
	if (known->name == NULL || known->identity == NULL)
		abort();
	known->started = rec->value;
	known->number = (uint16_t)rec->hash;
	known->change = rec->code;
	known->changed_ms = rec->code != HOST_FIRST ? rec->at_ms : 0;
	for (uint32_t i = 0; i < r->n_units && rec->code != HOST_FIRST; i++) {
		struct unit *u = &r->units[i];
		bool holds = u->state == UNIT_DONE || u->state == UNIT_RUNNING || u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN;
		if (holds && (u->flags & UNIT_STARTED) != 0 && (rec->hash == 0 || rec->hash == r->rows[u->row].host))
			u->flags |= UNIT_RECHECK;
	}
	return 0;
}

/* What does not hold is where the unit goes on from; with its tenants up, that is the beginning. */
static int apply_checked(struct rollout *r, const struct record *rec)
{
	struct unit *u = &r->units[rec->unit];
	u->flags &= (uint16_t)~UNIT_RECHECK;
	u->sure_seq = rec->seq;
	if (rec->code == 0)
		return 0;
	bool window = (u->flags & UNIT_WINDOW) != 0;
	unit_restart(u);
	u->step = window ? (uint8_t)rec->step : 0;
	return 0;
}

static int apply_approve(struct rollout *r, const struct record *rec)
{
	if (rec->code >= r->profile->n_stages || rec->step >= 64)
		return -EUCLEAN;
	r->approved[rec->code] |= UINT64_C(1) << rec->step;
	return 0;
}

static int apply_pause(struct rollout *r, const struct record *rec)
{
	r->paused = true;
	r->paused_now = rec->code != 0;
	return 0;
}

static int apply_resume(struct rollout *r, const struct record *rec)
{
	if (r->paused_now)
		r->doubt_seq = rec->seq;
	r->paused = r->paused_now = false;
	r->until_stage = -1;
	r->until_unit = RECORD_NO_UNIT;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state == UNIT_FAILED || r->units[i].state == UNIT_UNCERTAIN)
			r->units[i].flags |= UNIT_MUTED;
	return 0;
}

static void back_is(struct rollout *r, enum back_state back, uint32_t unit, const char *text)
{
	free(r->back_text);
	r->back = (uint8_t)back;
	r->back_unit = unit;
	r->back_text = text != NULL ? strdup(text) : NULL;
	if (text != NULL && r->back_text == NULL)
		abort();
}

static int apply_abort(struct rollout *r, const struct record *rec)
{
	if (r->paused_now)
		r->doubt_seq = rec->seq;
	r->state = ROLLOUT_ABORTING;
	back_is(r, BACK_NO, RECORD_NO_UNIT, NULL);
	r->paused = r->paused_now = false;
	return 0;
}

static int apply_back(struct rollout *r, const struct record *rec)
{
	back_is(r, BACK_GOING, rec->unit, rec->text != NULL ? rec->text : "");
	return 0;
}

static int apply_rest(struct rollout *r, const struct record *rec)
{
	(void)rec;
	r->back = BACK_REST;
	return 0;
}

/* The units that begin anew have records of their own, in the same batch. */
static int apply_anew(struct rollout *r, const struct record *rec)
{
	(void)rec;
	back_is(r, BACK_NO, RECORD_NO_UNIT, NULL);
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		if (canaries_ended(r, s) < r->profile->stages[s].canary)
			r->canary_done_ms[s] = 0;
	return 0;
}

static int apply_limit(struct rollout *r, const struct record *rec)
{
	if (rec->code == LIMIT_UNTIL_STAGE)
		r->until_stage = (int16_t)rec->value;
	else if (rec->code == LIMIT_UNTIL_UNIT)
		r->until_unit = (uint32_t)rec->value;
	return 0;
}

static struct want *want_of(struct rollout *r, const struct record *rec)
{
	if (rec->step >= PROFILE_BALANCERS_MAX || r->wants[rec->step] == NULL || rec->lane < 0 ||
		(uint32_t)rec->lane >= r->n_rows)
		return NULL;
	return &r->wants[rec->step][r->rows[rec->lane].rank];
}

static int apply_want(struct rollout *r, const struct record *rec)
{
	struct want *want = want_of(r, rec);
	if (want == NULL)
		return -EUCLEAN;
	*want = (struct want){ .state = (uint8_t)rec->code, .at_ms = rec->at_ms, .seq = rec->seq };
	return 0;
}

static int apply_foreign(struct rollout *r, const struct record *rec)
{
	struct want *want = want_of(r, rec);
	if (want == NULL)
		return -EUCLEAN;
	want->contested = true;
	return 0;
}

static int apply_lift(struct rollout *r, const struct record *rec)
{
	struct want *want = want_of(r, rec);
	if (want == NULL)
		return -EUCLEAN;
	want->contested = false;
	if (want->reasserted) { /* processes seen before this know what we want */
		want->at_ms = rec->at_ms;
		want->seq = rec->seq;
	}
	want->reasserted = false;
	return 0;
}

static int apply_reassert(struct rollout *r, const struct record *rec)
{
	struct want *want = want_of(r, rec);
	if (want == NULL)
		return -EUCLEAN;
	want->contested = false;
	want->reasserted = true;
	return 0;
}

static int apply_process(struct rollout *r, const struct record *rec)
{
	if (rec->step >= PROFILE_BALANCERS_MAX || rec->lane < 0 || rec->lane >= PROFILE_PROCESSES_MAX)
		return -EUCLEAN;
	struct balancer_process *process = &r->processes[rec->step][rec->lane];
	*process = (struct balancer_process){ .pid = (uint32_t)rec->hash, .start_s = rec->value, .since_seq = process->pid != 0 ? rec->seq : 0 };
	return 0;
}

static int apply_end(struct rollout *r, const struct record *rec)
{
	r->state = (uint8_t)rec->code;
	r->ended_ms = rec->at_ms;
	return 0;
}

static int apply_nothing(struct rollout *r, const struct record *rec)
{
	(void)r;
	(void)rec;
	return 0;
}

static const struct {
	uint16_t kind;
	bool of_unit; /* rec->unit must be a unit, and its newest record is this one */
	apply_fn *fn;
} table[] = {
	{ RECORD_START, false, apply_start },
	{ RECORD_ROW, false, apply_row },
	{ RECORD_EPOCH, false, apply_epoch },
	{ RECORD_PLANNED, false, apply_planned },
	{ RECORD_ADMIT, true, apply_admit },
	{ RECORD_INTENT, true, apply_intent },
	{ RECORD_ACTED, true, apply_acted },
	{ RECORD_STEP, true, apply_step },
	{ RECORD_CAPTURE, true, apply_capture },
	{ RECORD_UNIT, true, apply_unit },
	{ RECORD_RETRY, true, apply_retry },
	{ RECORD_RESOLVE, true, apply_nothing },
	{ RECORD_STAYS, true, apply_stays },
	{ RECORD_LIFT, false, apply_lift },
	{ RECORD_APPROVE, false, apply_approve },
	{ RECORD_PAUSE, false, apply_pause },
	{ RECORD_RESUME, false, apply_resume },
	{ RECORD_ABORT, false, apply_abort },
	{ RECORD_LIMIT, false, apply_limit },
	{ RECORD_BACK, true, apply_back },
	{ RECORD_REST, false, apply_rest },
	{ RECORD_ANEW, false, apply_anew },
	{ RECORD_WANT, false, apply_want },
	{ RECORD_FOREIGN, false, apply_foreign },
	{ RECORD_REASSERT, false, apply_reassert },
	{ RECORD_PROCESS, false, apply_process },
	{ RECORD_HOST, false, apply_host },
	{ RECORD_CHECKED, true, apply_checked },
	{ RECORD_LINE, true, apply_line },
	{ RECORD_END, false, apply_end },
};

/* Behind what was counted: another boot. It goes on from there. */
static void count_time(struct rollout *r, uint64_t boot_ms)
{
	int64_t steady = rollout_steady(r, boot_ms);
	if (steady < r->steady_ms)
		r->boot_offset += r->steady_ms - steady;
	else
		r->steady_ms = steady;
}

int rollout_apply(struct rollout *r, const struct record *rec)
{
	count_time(r, rec->boot_ms);
	r->wall_ms = rec->at_ms;
	r->seq = rec->seq;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kind != rec->kind)
			continue;
		if (!table[i].of_unit)
			return table[i].fn(r, rec);
		if (rec->unit >= r->n_units)
			return -EUCLEAN;
		r->units[rec->unit].last_seq = rec->seq;
		return table[i].fn(r, rec);
	}
	return 0; /* NOTE, REQUEST, HEADER: for people and for the engine */
}
