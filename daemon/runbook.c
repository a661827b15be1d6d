/* SPDX-License-Identifier: MIT */
/*
 * A step whose answer is not in the journal may still be running, may be done, may never have begun: that is said first, with how to find
 * out, and nothing after it is due before. Only what is safe whatever came of it is printed as a command; the rest is a comment ("#? ") that a
 * person makes a command of. So the whole text, run line by line, does nothing that the rules would not.
 */
#include "runbook.h"

#include "act.h"
#include "by_hand.h"
#include "config.h"
#include "core/back.h"
#include "memory.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const char *at(int64_t wall_ms, char buf[static 32])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (localtime_r(&seconds, &tm) == NULL || strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buf, 32, "?");
	return buf;
}

/* ---- what is open ---- */

enum urgency { TENANTS_DOWN, NODE_OUT, HALF_WAY, NOT_OPEN };

static enum urgency urgency(const struct rollout *r, const struct unit *u)
{
	if ((u->flags & UNIT_WINDOW) != 0)
		return TENANTS_DOWN;
	bool standing = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING || u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN ||
		u->state == UNIT_PARKED;
	if (!standing || u->touched == 0)
		return NOT_OPEN;
	return rollout_stage(r, u)->takes_out ? NODE_OUT : HALF_WAY;
}

static int worse(const void *a, const void *b, void *arg)
{
	const struct rollout *r = arg;
	const struct unit *x = &r->units[*(const uint32_t *)a], *y = &r->units[*(const uint32_t *)b];
	enum urgency ux = urgency(r, x), uy = urgency(r, y);
	if (ux != uy)
		return ux < uy ? -1 : 1;
	uint32_t wx = r->rows[x->row].weight, wy = r->rows[y->row].weight;
	return wx != wy ? (wx > wy ? -1 : 1) : (x < y ? -1 : x > y);
}

static uint32_t *open_units(const struct rollout *r, uint32_t *n)
{
	uint32_t *units = memory_need(calloc(r->n_units + 1, sizeof(*units)));
	*n = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (urgency(r, &r->units[i]) != NOT_OPEN)
			units[(*n)++] = i;
	qsort_r(units, *n, sizeof(*units), worse, (void *)(uintptr_t)r);
	return units;
}

/* ---- commands under a condition ---- */

/* What was printed, as comments that stand out. */
static void put_aside(FILE *out, char *text)
{
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		(void)fprintf(out, "%s%s\n", line[0] == '#' ? "" : "#? ", line);
	free(text);
}

static void conditional(const struct by_hand *hand, const struct step *step, bool undo)
{
	char *text = NULL;
	size_t size;
	struct by_hand aside = *hand;
	aside.out = memory_need(open_memstream(&text, &size));
	by_hand_action(&aside, step, undo);
	(void)fclose(aside.out);
	put_aside(hand->out, text);
}

static void probes(const struct by_hand *hand, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		by_hand_probe(hand, list[i]);
}

static void say_floor(const struct by_hand *hand, const struct floor *floor)
{
	char what[64], bound[64], only[64];
	const struct profile *p = hand->r->profile;
	(void)fprintf(hand->out, "# ONLY while %s is at %s %s", counter_text(p, &floor->what, what, sizeof(what)), floor->is_max ? "most" : "least",
		counter_text(p, &floor->bound, bound, sizeof(bound)));
	if (floor->has_only)
		(void)fprintf(hand->out, ", or %s is 0", counter_text(p, &floor->only, only, sizeof(only)));
	(void)fputs(": else it would strand users and stays as it is. Count by hand:\n", hand->out);
	by_hand_count(hand, &floor->what);
}

/* ---- the step at hand ---- */

static bool was_sent(const struct unit *u)
{
	return (u->touched & (1u << u->step)) != 0 || u->phase != PHASE_NEXT;
}

/* It may still run, and nobody wrote down how it ended. */
static bool is_unknown(const struct unit *u)
{
	return u->phase == PHASE_ACT || u->phase == PHASE_RESOLVE || u->state == UNIT_UNCERTAIN || (u->state == UNIT_PARKED && was_sent(u));
}

static void wait_for_tasks(const struct by_hand *hand, const struct step *step)
{
	const struct unit *u = &hand->r->units[hand->unit];
	const struct action *action = u->dir == DIR_UNDO ? &step->undo : &step->act;
	char id[ACT_ID_MAX];
	if (action->kind != ACTION_RUN)
		return;
	(void)fputs("# does it still run? Nothing below is due before it has ended (to end it: upgd-run(8), status)\n", hand->out);
	for (uint8_t i = 0; i < u->n_lanes; i++) {
		const struct effect effect = { .unit = hand->unit, .step = u->step, .lane = u->lane[i], .dir = u->dir, .attempt = u->attempt, .seq = u->intent[i] };
		act_id(hand->r, &effect, id);
		by_hand_wait(hand, u->lane[i], id);
	}
}

static void say_where(const struct runbook *book, const struct by_hand *hand, const struct step *step)
{
	const struct rollout *r = hand->r;
	const struct unit *u = &r->units[hand->unit];
	const char *reason = hand->unit < book->n_reasons ? book->reasons[hand->unit] : NULL, *way = u->dir == DIR_UNDO ? "the undo of " : "";
	char buf[32];
	if (is_unknown(u)) {
		(void)fprintf(hand->out, "# UNKNOWN: %s%s was sent", way, step->name);
		for (uint8_t i = 0; i < u->n_lanes; i++)
			(void)fprintf(hand->out, "%s%s", i == 0 ? " to " : " and ", u->lane[i] >= 0 ? r->rows[u->lane[i]].name : "this host");
		(void)fprintf(hand->out, " at %s, and how it ended is not in the journal\n", at(rollout_wall(hand->r, u->step_ms), buf));
	} else if (u->state == UNIT_FAILED) {
		(void)fprintf(hand->out, "# %s%s FAILED: mend the cause first\n", way, step->name);
	}
	if (reason != NULL && u->state != UNIT_RUNNING) {
		char *first = memory_need(strndup(reason, strcspn(reason, "\n")));
		(void)fputs("# ", hand->out);
		by_hand_plain(hand->out, first);
		(void)fputc('\n', hand->out);
		free(first);
	}
	if (was_sent(u))
		wait_for_tasks(hand, step);
	if (was_sent(u) && step->has_orphans) {
		(void)fputs("# nor before its statements have ended: they outlive their client. Ask again until none comes\n", hand->out);
		by_hand_probe(hand, step->orphans);
	}
}

/* ---- ways ---- */

static void undo_step(const struct by_hand *hand, const struct step *step)
{
	if (!step->has_undo) {
		(void)fprintf(hand->out, "\n# %s: nothing to undo\n", step->name);
		return;
	}
	(void)fprintf(hand->out, "\n# undo %s\n", step->name);
	for (size_t i = 0; i < step->n_undo_while; i++)
		say_floor(hand, &step->undo_while[i]);
	if (step->n_undo_unless > 0) {
		(void)fputs("# while all of this is so there is nothing to undo:\n", hand->out);
		probes(hand, step->undo_unless, step->n_undo_unless);
		(void)fputs("# else:\n", hand->out);
	}
	if (step->n_undo_while + step->n_undo_unless > 0)
		conditional(hand, step, true);
	else
		by_hand_action(hand, step, true);
	probes(hand, step->undo_verify, step->n_undo_verify);
}

static void back(const struct runbook *book, const struct by_hand *hand)
{
	const struct unit *u = &hand->r->units[hand->unit];
	const struct stage *stage = rollout_stage(hand->r, u);
	const struct step *step = rollout_step(hand->r, u);
	if (step != NULL)
		say_where(book, hand, step);
	if (step != NULL && u->dir == DIR_DO && is_unknown(u)) {
		(void)fputs("# what it did; it is undone all the same\n", hand->out);
		probes(hand, step->n_done_when > 0 ? step->done_when : step->verify, step->n_done_when > 0 ? step->n_done_when : step->n_verify);
	}
	for (size_t i = stage->n_steps; i-- > 0;)
		if ((u->touched & (1u << i)) != 0)
			undo_step(hand, &stage->steps[i]);
}

static bool is_due(const struct rollout *r, const struct unit *u, const struct step *step)
{
	bool has_tenants = r->rows[u->row].weight > 0;
	return (has_tenants || !step->only_with_tenants) && (!has_tenants || !step->only_without_tenants);
}

/* Sent already: it is looked at first, and sent again by a person's word unless that is safe in any case. */
static void forward_sent(const struct by_hand *hand, const struct step *step)
{
	const struct unit *u = &hand->r->units[hand->unit];
	const uint16_t *list = step->n_done_when > 0 ? step->done_when : step->verify;
	size_t n = step->n_done_when > 0 ? step->n_done_when : step->n_verify;
	bool safe = step->resolve == RESOLVE_RERUN && u->phase != PHASE_VERIFY;
	if (safe) {
		(void)fputs("# it is safe to run again\n", hand->out);
		by_hand_action(hand, step, false);
		probes(hand, step->verify, step->n_verify);
		return;
	}
	(void)fputs("# is it done?\n", hand->out);
	probes(hand, list, n);
	(void)fputs("# if not, and nothing of it runs any more, again:\n", hand->out);
	conditional(hand, step, false);
	(void)fputs("# go on only when it is done\n", hand->out);
}

static void forward(const struct runbook *book, const struct by_hand *hand)
{
	const struct rollout *r = hand->r;
	const struct unit *u = &r->units[hand->unit];
	const struct stage *stage = rollout_stage(r, u);
	for (size_t i = u->step; i < stage->n_steps; i++) {
		const struct step *step = &stage->steps[i];
		if (!is_due(r, u, step))
			continue;
		(void)fprintf(hand->out, "\n# %s\n", step->name);
		if (i == u->step)
			say_where(book, hand, step);
		if (i == u->step && was_sent(u)) {
			forward_sent(hand, step);
			continue;
		}
		by_hand_action(hand, step, false);
		probes(hand, step->verify, step->n_verify);
	}
}

/* ---- a unit ---- */

/* A name may come from a database: it neither ends its comment nor speaks to the terminal. */
static const char *plain_name(const struct rollout *r, uint32_t unit, char *buf, size_t size)
{
	(void)rollout_unit_name(r, unit, buf, size);
	for (char *at = buf; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	return buf;
}

static void unit_head(const struct by_hand *hand, uint32_t number)
{
	const struct rollout *r = hand->r;
	const struct unit *u = &r->units[hand->unit];
	const struct step *step = rollout_step(r, u);
	char name[300], buf[32];
	(void)fprintf(hand->out, "\n# ==== %u. %s: %s%s%s", number, plain_name(r, hand->unit, name, sizeof(name)), unit_state_word(u->state),
		step != NULL ? " at " : "", step != NULL ? step->name : "");
	switch (urgency(r, u)) {
	case TENANTS_DOWN:
		if (r->rows[u->row].set == r->profile->set_tenants)
			(void)fprintf(hand->out, ", %u tenants DOWN", r->rows[u->row].weight);
		else
			(void)fputs(", its window is open", hand->out);
		(void)fprintf(hand->out, " since %s", at(rollout_wall(r, u->window_open_ms), buf));
		break;
	case NODE_OUT:
		(void)fprintf(hand->out, ", %s is out of its balancer since %s", r->rows[u->row].name, at(u->since_ms, buf));
		break;
	case HALF_WAY:
	case NOT_OPEN:
		break;
	}
	(void)fprintf(hand->out, "\n# %s\n", (u->flags & UNIT_PIVOT) != 0 ? "past its pivot: only forward" : "before its pivot: back");
	if (urgency(r, u) == HALF_WAY)
		(void)fputs("# nobody is down because of it: it may stay as it is until upgd runs again\n", hand->out);
}

static bool has_undo(const struct stage *stage, const struct unit *u)
{
	for (size_t i = 0; i < stage->n_steps; i++)
		if ((u->touched & (1u << i)) != 0 && stage->steps[i].has_undo)
			return true;
	return false;
}

static uint32_t finished_stages(const struct rollout *r)
{
	uint32_t stages = 0;
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state == UNIT_DONE && has_undo(rollout_stage(r, &r->units[i]), &r->units[i]))
			stages |= 1u << r->units[i].stage;
	return stages;
}

static void finished_unit(const struct runbook *book, const struct by_hand *base, uint32_t unit)
{
	char name[300], *text = NULL;
	size_t size;
	const struct unit *u = &book->r->units[unit];
	const struct stage *stage = rollout_stage(book->r, u);
	struct by_hand aside = *base;
	aside.unit = unit;
	aside.captures = captures_text(book->captures, unit);
	aside.out = memory_need(open_memstream(&text, &size));
	for (size_t i = stage->n_steps; i-- > 0;)
		if ((u->touched & (1u << i)) != 0)
			undo_step(&aside, &stage->steps[i]);
	(void)fclose(aside.out);
	(void)fprintf(base->out, "\n# ---- %s\n", plain_name(book->r, unit, name, sizeof(name)));
	bool stood_on = back_stood_on(book->r, unit);
	if (stood_on)
		(void)fputs("# only when what needs it is undone: until then it stays as it is\n", base->out);
	if (rollout_goes_back(book->r) && !stood_on) {
		(void)fputs(text, base->out);
		free(text);
	} else {
		put_aside(base->out, text);
	}
}

/* What an abort, or a failure that sends it back, would undo besides: due at once only if that is what goes on. */
static void finished(const struct runbook *book, const struct by_hand *base)
{
	const struct rollout *r = book->r;
	uint32_t stages = finished_stages(r);
	if (stages == 0 || rollout_is_over(r) || back_barred(r) != RECORD_NO_UNIT)
		return;
	(void)fprintf(base->out, "\n# ==== What is finished and %s, after all above: the newest first\n",
		rollout_goes_back(r) ? "goes back too" : "would go back if the whole rollout did");
	for (int s; (s = back_newest(r, stages)) >= 0; stages &= ~(1u << s)) {
		for (uint32_t k = r->n_order[s]; k-- > 0;) {
			const struct unit *u = &r->units[r->order[s][k]];
			if (u->state == UNIT_DONE && has_undo(&r->profile->stages[s], u))
				finished_unit(book, base, r->order[s][k]);
		}
	}
}

/* A node that is not ours to bring back has to stay as it is; HAProxy forgets it with a reload. */
static void custody(const struct by_hand *base, const uint32_t *open, uint32_t n_open)
{
	const struct rollout *r = base->r;
	bool said = false;
	for (uint8_t b = 0; b < r->profile->n_balancers; b++) {
		for (uint32_t i = 0; i < r->n_rows && r->wants[b] != NULL; i++) {
			bool is_node = r->rows[i].set == r->profile->set_node, is_open = false;
			if (!is_node || r->wants[b][r->rows[i].rank].state == SERVER_UNKNOWN)
				continue;
			for (uint32_t k = 0; k < n_open; k++)
				is_open |= r->units[open[k]].row == i && urgency(r, &r->units[open[k]]) == NODE_OUT;
			if (is_open)
				continue;
			if (!said)
				(void)fputs("\n# ==== What upgd set in the balancers, and what has to stay so. A reload of HAProxy forgets it; then:\n", base->out);
			said = true;
			char *text = NULL, *save = NULL;
			size_t size;
			struct by_hand aside = *base;
			aside.out = memory_need(open_memstream(&text, &size));
			by_hand_server(&aside, b, r->rows[i].name, (enum server_state)r->wants[b][r->rows[i].rank].state);
			(void)fclose(aside.out);
			for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
				(void)fprintf(base->out, "#? %s\n", line);
			free(text);
		}
	}
}

void runbook_print(const struct runbook *book, FILE *out)
{
	uint32_t n;
	uint32_t *units = open_units(book->r, &n);
	struct by_hand hand = { .config = book->config, .r = book->r, .out = out };
	if (book->r->back == BACK_REST) {
		(void)fputs("\n# It went back as a whole, and rests: ", out);
		by_hand_plain(out, book->r->back_text);
		(void)fputc('\n', out);
	}
	if (n == 0)
		(void)fputs("\n# No unit is open: no tenant is down and no node is out because of upgd.\n", out);
	for (uint32_t i = 0; i < n; i++) {
		hand.unit = units[i];
		hand.captures = captures_text(book->captures, units[i]);
		unit_head(&hand, i + 1);
		if ((book->r->units[units[i]].flags & UNIT_PIVOT) != 0)
			forward(book, &hand);
		else
			back(book, &hand);
	}
	finished(book, &hand);
	custody(&hand, units, n);
	free(units);
}
