/* SPDX-License-Identifier: MIT */
/*
 * What comes of a decision: records, each numbered and applied the moment it is complete, and effects. The only door through which a rule
 * changes anything.
 */
#include "decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void out_reset(struct out *out)
{
	for (size_t i = 0; i < out->n_texts; i++)
		free(out->texts[i]);
	out->n_records = out->n_effects = out->n_texts = 0;
	out->wake_at = 0;
	out->refused = 0;
	out->answer[0] = '\0';
}

void out_done(struct out *out)
{
	out_reset(out);
	free(out->records);
	free(out->effects);
	free(out->texts);
	out->records = NULL;
	out->effects = NULL;
	out->texts = NULL;
	out->max_records = out->max_effects = out->max_texts = 0;
}

/* Room for one more; returns the array. */
static void *room(void *array, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return array;
	*max = *max ? *max * 2 : 16;
	array = realloc(array, *max * size);
	if (array == NULL)
		abort();
	return array;
}

const char *out_text(struct out *out, const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	out->texts = room(out->texts, out->n_texts, &out->max_texts, sizeof(*out->texts));
	out->texts[out->n_texts++] = text;
	return text;
}

struct record *out_record(struct rollout *r, struct out *out, enum record_kind kind, uint32_t unit)
{
	out->records = room(out->records, out->n_records, &out->max_records, sizeof(*out->records));
	struct record *rec = &out->records[out->n_records];
	*rec = (struct record){ .kind = (uint16_t)kind, .unit = unit, .step = RECORD_NO_STEP, .lane = LANE_NONE,
		.at_ms = r->wall, .boot_ms = r->now, .epoch = r->epoch };
	if (unit < r->n_units) {
		rec->step = r->units[unit].step;
		rec->dir = r->units[unit].dir;
		rec->attempt = r->units[unit].attempt;
	}
	return rec;
}

void out_commit(struct rollout *r, struct out *out, struct record *rec)
{
	rec->seq = r->seq + 1;
	if (rec->kind == RECORD_INTENT && out->render != NULL)
		out->render(out->render_arg, r, rec);
	int rc = rollout_apply(r, rec);
	if (rc != 0)
		abort(); /* a rule wrote what cannot be: better to fold anew than to go on beside the journal */
	out->n_records++;
	if (rec->kind == RECORD_REASSERT || rec->kind == RECORD_FOREIGN || rec->kind == RECORD_LIFT || rec->kind == RECORD_PROCESS ||
		rec->kind == RECORD_HOST || rec->kind == RECORD_LINE || rec->kind == RECORD_NOTE)
		return; /* nothing of ours has moved */
	r->moved_at = r->now;
	r->stuck_at = 0;
}

struct effect *out_effect(struct out *out, enum effect_kind kind, uint32_t unit)
{
	out->effects = room(out->effects, out->n_effects, &out->max_effects, sizeof(*out->effects));
	struct effect *effect = &out->effects[out->n_effects++];
	*effect = (struct effect){ .kind = kind, .unit = unit, .step = RECORD_NO_STEP, .lane = LANE_NONE };
	return effect;
}

void out_wake(struct out *out, uint64_t boot_ms)
{
	if (out->wake_at == 0 || boot_ms < out->wake_at)
		out->wake_at = boot_ms;
}

bool unit_event(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *actor, const char *text)
{
	enum unit_state to;
	struct unit *u = &r->units[unit];
	if (!unit_next((enum unit_state)u->state, event, &to))
		return false;
	struct record *rec = out_record(r, out, RECORD_UNIT, unit);
	rec->code = (uint16_t)to;
	rec->actor = actor;
	rec->text = text != NULL && text[0] != '\0' ? out_text(out, "%s", text) : NULL;
	rec->value = event == UNIT_EV_TURN || event == UNIT_EV_ANEW;
	out_commit(r, out, rec);
	r->live[unit] = (struct live){ 0 };
	return true;
}
