/* SPDX-License-Identifier: MIT */
/* In which order the units of a stage are admitted. */
#include "rollout.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b, void *arg)
{
	const struct rollout *r = arg;
	const struct unit *x = &r->units[*(const uint32_t *)a], *y = &r->units[*(const uint32_t *)b];
	return strcmp(r->rows[x->row].name, r->rows[y->row].name);
}

static int by_weight(const void *a, const void *b, void *arg)
{
	const struct rollout *r = arg;
	const struct unit *x = &r->units[*(const uint32_t *)a], *y = &r->units[*(const uint32_t *)b];
	uint32_t v = r->rows[x->row].weight, w = r->rows[y->row].weight;
	return v != w ? (v < w ? 1 : -1) : by_name(a, b, arg);
}

/* Longest first, but the canaries are the smallest that have tenants: they cost the least if they fail. */
static void canaries_first(const struct rollout *r, uint32_t *order, uint32_t n, uint32_t canary)
{
	uint32_t end = n;
	while (end > 0 && r->rows[r->units[order[end - 1]].row].weight == 0)
		end--;
	for (uint32_t k = 0; k < canary && end > canary; k++) {
		uint32_t unit = order[end - 1];
		memmove(order + k + 1, order + k, (end - 1 - k) * sizeof(*order));
		order[k] = unit;
	}
}

static void order_make(struct rollout *r, uint8_t s)
{
	const struct stage *stage = &r->profile->stages[s];
	uint32_t rows = r->n_set_rows[stage->set];
	free(r->order[s]);
	r->order[s] = NULL;
	r->n_order[s] = 0;
	if (rows == 0 || r->unit_of[s] == NULL)
		return;
	r->order[s] = calloc(rows, sizeof(uint32_t));
	if (r->order[s] == NULL)
		abort();
	for (uint32_t i = 0; i < rows; i++)
		r->order[s][i] = r->unit_of[s][i];
	r->n_order[s] = rows;
	if (stage->order == ORDER_PATH)
		return; /* as planned */
	qsort_r(r->order[s], rows, sizeof(uint32_t), stage->order == ORDER_LONGEST ? by_weight : by_name, r); /* a plan is rehearsed beside the loop */
	if (stage->order == ORDER_LONGEST)
		canaries_first(r, r->order[s], rows, stage->canary);
}

void rollout_order(struct rollout *r)
{
	for (uint8_t s = 0; s < r->profile->n_stages; s++)
		order_make(r, s);
}

void rollout_recovered(struct rollout *r)
{
	int64_t now = rollout_steady(r, r->now);
	now = now < r->steady_ms ? r->steady_ms : now; /* another boot, and no record of it yet */
	if (r->n_units > 0)
		memset(r->live, 0, r->n_units * sizeof(*r->live));
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].again_ms > now)
			r->live[i].retry_at = r->now + (uint64_t)(r->units[i].again_ms - now);
	rollout_order(r);
}
