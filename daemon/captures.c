/* SPDX-License-Identifier: MIT */
#include "captures.h"

#include "memory.h"
#include "proto/json.h"

#include <string.h>

struct captures_unit {
	char *text; /* owned; NULL: none */
};

static struct captures_unit *unit_of(struct captures *c, uint32_t unit)
{
	if (unit >= c->n) {
		uint32_t n = (unit + 1) * 2;
		c->units = memory_need(realloc(c->units, n * sizeof(*c->units)));
		memset(c->units + c->n, 0, (n - c->n) * sizeof(*c->units));
		c->n = n;
	}
	return &c->units[unit];
}

static void forget(struct captures_unit *u)
{
	free(u->text);
	u->text = NULL;
}

/* Captures of one step join those of earlier ones; baselines are kept by step. */
static void merge(struct captures_unit *u, const char *text)
{
	json_cleanup struct json_object *more = json_parse(text, strlen(text), NULL);
	json_cleanup struct json_object *all = u->text != NULL ? json_parse(u->text, strlen(u->text), NULL) : json_object_new_object();
	struct json_object *old;
	if (more == NULL || all == NULL || !json_object_is_type(more, json_type_object))
		return;
	json_object_object_foreach(more, key, value) {
		if (strcmp(key, "baseline") == 0 && json_object_object_get_ex(all, "baseline", &old)) {
			json_object_object_foreach(value, step, baseline)
				json_object_object_add(old, step, json_object_get(baseline));
		} else {
			json_object_object_add(all, key, json_object_get(value));
		}
	}
	char *merged = memory_need(strdup(json_text(all, NULL)));
	forget(u);
	u->text = merged;
}

void captures_done(struct captures *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		free(c->units[i].text);
	free(c->units);
	*c = (struct captures){ 0 };
}

/* An abort undoes finished units too, and then needs what was before; what was verified may have to be verified again, also of one that was opened again. */
static bool is_over(const struct record *rec)
{
	return rec->code == UNIT_UNDONE || (rec->code == UNIT_WAITING && rec->value != 0); /* begins anew */
}

/* Something of it could not be undone: what was there before is known from here alone. */
static bool stays(const struct rollout *r, uint32_t unit)
{
	return r != NULL && unit < r->n_units && r->units[unit].stays != 0;
}

void captures_applied(struct captures *c, const struct rollout *r, const struct record *rec)
{
	if (rec->kind == RECORD_START)
		captures_done(c);
	if (rec->kind == RECORD_CAPTURE && rec->unit < ROLLOUT_ROWS_MAX * 8u && rec->text != NULL)
		merge(unit_of(c, rec->unit), rec->text);
	else if (rec->kind == RECORD_UNIT && rec->unit < c->n && is_over(rec) && !stays(r, rec->unit))
		forget(&c->units[rec->unit]);
}

const char *captures_text(const struct captures *c, uint32_t unit)
{
	return unit < c->n ? c->units[unit].text : NULL;
}

struct json_object *captures_baseline(const struct captures *c, uint32_t unit, const char *step)
{
	const char *text = captures_text(c, unit);
	json_cleanup struct json_object *all = text != NULL ? json_parse(text, strlen(text), NULL) : NULL;
	struct json_object *baseline, *value;
	if (all == NULL || json_get_object(all, "baseline", &baseline, NULL) != 0 || !json_object_object_get_ex(baseline, step, &value))
		return NULL;
	return json_object_get(value);
}
