/* SPDX-License-Identifier: MIT */
/* Life, lookup and words of a rollout. What changes it is in apply.c. */
#include "rollout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rollout *rollout_new(const struct profile *profile, uint32_t id)
{
	struct rollout *r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->profile = profile;
	r->id = id;
	r->until_unit = RECORD_NO_UNIT;
	r->until_stage = -1;
	r->back_unit = RECORD_NO_UNIT;
	return r;
}

void rollout_free(struct rollout *r)
{
	if (r == NULL)
		return;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		free(r->rows[i].name);
		free(r->rows[i].columns);
	}
	for (size_t i = 0; i < PROFILE_STAGES_MAX; i++) {
		free(r->unit_of[i]);
		free(r->order[i]);
	}
	for (size_t i = 0; i < PROFILE_BALANCERS_MAX; i++) {
		free(r->wants[i]);
		free(r->facts.servers[i]);
	}
	for (uint32_t i = 0; i < r->n_known; i++) {
		free(r->known[i].name);
		free(r->known[i].identity);
	}
	free(r->known);
	for (uint32_t i = 0; i < r->n_lines; i++)
		free(r->lines[i].text);
	free(r->lines);
	free(r->back_text);
	free(r->tried);
	for (uint32_t i = 0; i < r->facts.n_hosts; i++)
		free(r->facts.hosts[i].name);
	for (uint32_t i = 0; i < r->facts.n_databases; i++)
		free(r->facts.databases[i].name);
	free(r->facts.hosts);
	free(r->facts.databases);
	free(r->facts.rows);
	free(r->rows);
	free(r->units);
	free(r->live);
	free(r);
}

uint32_t rollout_row(const struct rollout *r, uint8_t set, const char *name)
{
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == set && strcmp(r->rows[i].name, name) == 0)
			return i;
	return ROLLOUT_NO_ROW;
}

uint32_t rollout_unit(const struct rollout *r, const char *name)
{
	const char *slash = strchr(name, '/');
	if (slash == NULL)
		return RECORD_NO_UNIT;
	for (size_t s = 0; s < r->profile->n_stages; s++) {
		const struct stage *stage = &r->profile->stages[s];
		size_t len = strlen(stage->name);
		if (len != (size_t)(slash - name) || strncmp(stage->name, name, len) != 0)
			continue;
		uint32_t row = rollout_row(r, stage->set, slash + 1);
		if (row == ROLLOUT_NO_ROW || r->unit_of[s] == NULL)
			return RECORD_NO_UNIT;
		return r->unit_of[s][r->rows[row].rank];
	}
	return RECORD_NO_UNIT;
}

const char *rollout_unit_name(const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	if (unit >= r->n_units)
		return "-";
	const struct unit *u = &r->units[unit];
	(void)snprintf(buf, size, "%s/%s", r->profile->stages[u->stage].name, r->rows[u->row].name);
	return buf;
}

const struct stage *rollout_stage(const struct rollout *r, const struct unit *unit)
{
	return &r->profile->stages[unit->stage];
}

const struct step *rollout_step(const struct rollout *r, const struct unit *unit)
{
	const struct stage *stage = &r->profile->stages[unit->stage];
	return unit->step < stage->n_steps ? &stage->steps[unit->step] : NULL;
}

bool rollout_is_stalled(const struct rollout *r, uint32_t unit)
{
	return r->live[unit].stalled_at != 0 && r->live[unit].busy == BUSY_ACT;
}

bool rollout_is_over(const struct rollout *r)
{
	return r->state >= ROLLOUT_DONE;
}

uint8_t rollout_tried(const struct rollout *r, uint32_t unit, uint8_t step, uint8_t row)
{
	for (uint32_t i = 0; i < r->n_tried; i++)
		if (r->tried[i].unit == unit && r->tried[i].step == step && r->tried[i].row == row)
			return r->tried[i].n;
	return 0;
}

bool rollout_goes_back(const struct rollout *r)
{
	return r->state == ROLLOUT_ABORTING || r->back != BACK_NO;
}

const char *rollout_state_word(unsigned state)
{
	static const char *const words[] = { "planning", "running", "aborting", "done", "partial", "aborted" };
	return state < 6 ? words[state] : "?";
}

const char *why_word(enum why_kind kind)
{
	static const char *const words[WHY_KINDS] = { "none", "order", "pause", "failed_unit", "contested", "approval",
		"soak", "check", "floor", "limit", "until", "disk", "stop", "place", "unknown", "fenced", "statement", "host", "gone", "level", "back" };
	return (unsigned)kind < WHY_KINDS ? words[kind] : "?";
}

bool row_column(const struct row *row, const char *key, char *buf, size_t size)
{
	size_t len = strlen(key);
	for (const char *line = row->columns; line != NULL && *line != '\0';) {
		bool hit = strncmp(line, key, len) == 0 && line[len] == '=';
		const char *from = line + (hit ? len + 1 : 0);
		size_t n = 0;
		for (; *from != '\0' && *from != '\n'; from++) {
			char c = *from;
			if (c == '\\' && from[1] != '\0') {
				from++;
				c = *from == 'n' ? '\n' : *from;
			}
			if (hit && n + 1 < size)
				buf[n++] = c;
		}
		if (hit) {
			if (size > 0)
				buf[n] = '\0';
			return true;
		}
		line = *from == '\n' ? from + 1 : from;
	}
	return false;
}

bool rollout_same(const struct rollout *a, const struct rollout *b, const char **what)
{
	static const char *dummy;
	if (what == NULL)
		what = &dummy;
	*what = "scalars";
	if (a->id != b->id || a->epoch != b->epoch || a->seq != b->seq || a->doubt_seq != b->doubt_seq || a->steady_ms != b->steady_ms || a->boot_offset != b->boot_offset || a->state != b->state || a->paused != b->paused || a->paused_now != b->paused_now ||
		a->on_failure_continue != b->on_failure_continue || a->approve_all != b->approve_all ||
		a->started_ms != b->started_ms || a->back_by_ms != b->back_by_ms || a->ended_ms != b->ended_ms || a->until_unit != b->until_unit ||
		a->until_stage != b->until_stage || a->n_rows != b->n_rows || a->n_units != b->n_units)
		return false;
	*what = "the way back";
	if (a->back != b->back || a->back_unit != b->back_unit || strcmp(a->back_text != NULL ? a->back_text : "", b->back_text != NULL ? b->back_text : "") != 0)
		return false;
	*what = "approvals or canaries";
	if (memcmp(a->approved, b->approved, sizeof(a->approved)) != 0 ||
		memcmp(a->canary_done_ms, b->canary_done_ms, sizeof(a->canary_done_ms)) != 0)
		return false;
	*what = "rows";
	for (uint32_t i = 0; i < a->n_rows; i++) {
		const struct row *x = &a->rows[i], *y = &b->rows[i];
		if (strcmp(x->name, y->name) != 0 || x->set != y->set || x->weight != y->weight || x->host != y->host ||
			x->class_ != y->class_ || x->aside != y->aside || x->capacity != y->capacity)
			return false;
	}
	*what = "units";
	if (a->n_units > 0 && memcmp(a->units, b->units, a->n_units * sizeof(*a->units)) != 0)
		return false;
	*what = "processes";
	for (size_t i = 0; i < PROFILE_BALANCERS_MAX; i++)
		for (size_t k = 0; k < PROFILE_PROCESSES_MAX; k++) {
			const struct balancer_process *x = &a->processes[i][k], *y = &b->processes[i][k];
			if (x->pid != y->pid || x->start_s != y->start_s || x->since_seq != y->since_seq)
				return false;
		}
	*what = "hosts";
	if (a->n_known != b->n_known)
		return false;
	for (uint32_t i = 0; i < a->n_known; i++) {
		const struct known_host *x = &a->known[i], *y = &b->known[i];
		if (strcmp(x->name, y->name) != 0 || strcmp(x->identity, y->identity) != 0 || x->started != y->started || x->change != y->change)
			return false;
	}
	*what = "lines";
	if (a->n_lines != b->n_lines)
		return false;
	for (uint32_t i = 0; i < a->n_lines; i++)
		if (a->lines[i].unit != b->lines[i].unit || a->lines[i].step != b->lines[i].step || strcmp(a->lines[i].text, b->lines[i].text) != 0)
			return false;
	*what = "tries";
	if (a->n_tried != b->n_tried || (a->n_tried > 0 && memcmp(a->tried, b->tried, a->n_tried * sizeof(*a->tried)) != 0))
		return false;
	*what = "wants";
	uint32_t nodes = a->profile->set_node >= 0 ? a->n_set_rows[a->profile->set_node] : 0;
	for (size_t i = 0; i < PROFILE_BALANCERS_MAX; i++) {
		if ((a->wants[i] == NULL) != (b->wants[i] == NULL))
			return false;
		for (uint32_t k = 0; a->wants[i] != NULL && k < nodes; k++)
			if (a->wants[i][k].state != b->wants[i][k].state || a->wants[i][k].at_ms != b->wants[i][k].at_ms ||
				a->wants[i][k].seq != b->wants[i][k].seq ||
				a->wants[i][k].contested != b->wants[i][k].contested || a->wants[i][k].reasserted != b->wants[i][k].reasserted)
				return false;
	}
	return true;
}

int64_t rollout_steady(const struct rollout *r, uint64_t boot_ms)
{
	return (int64_t)boot_ms + r->boot_offset;
}

int64_t rollout_wall(const struct rollout *r, int64_t steady_ms)
{
	return r->wall_ms - (r->steady_ms - steady_ms);
}
