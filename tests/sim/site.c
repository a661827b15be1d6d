/* SPDX-License-Identifier: MIT */
/*
 * The daemon's hands and eyes. An action is done by the world, or a trouble has its way; a task's result is kept under its name, so that a
 * daemon that asks again is told the same. Questions are answered with what is true when the answer leaves.
 */
#include "daemon/core/facts.h"
#include "plain.h"
#include "sim_parts.h"

#include <string.h>

enum { LINES_FRESH_MS = 5000, LINES_EVERY_MS = 20000, LINES_NOTICED_MS = 60000 };

static const struct step *effect_step(const struct rollout *r, const struct effect *e)
{
	return &rollout_stage(r, &r->units[e->unit])->steps[e->step];
}

static const struct action *effect_action(const struct rollout *r, const struct effect *e)
{
	const struct step *step = effect_step(r, e);
	return e->dir == DIR_UNDO ? &step->undo : &step->act;
}

void site_perform(void *arg, struct rollout *r, const struct effect *e)
{
	struct daemon *d = arg;
	struct sim *s = d->sim;
	(void)r;
	struct happening *h;
	switch (e->kind) {
	case EFFECT_ACT:
		h = sim_later(s, 1 + sim_roll(s, 20), THING_ACT_END); /* sent; how long it takes is drawn there */
		break;
	case EFFECT_OBSERVE:
		h = sim_later(s, 5 + sim_roll(s, 50), THING_FACTS);
		break;
	case EFFECT_ASSERT:
		h = sim_later(s, 5, THING_ANSWER);
		break;
	case EFFECT_ACK:
	case EFFECT_ENDED:
		return;
	default:
		h = sim_later(s, 5 + sim_roll(s, 100), THING_ANSWER);
	}
	h->effect = *e;
	h->life = d->life;
}

/* ---- the runner ---- */

static struct task *task_find(struct sim *s, uint64_t seq)
{
	for (size_t i = s->n_tasks; i-- > 0;)
		if (s->tasks[i].seq == seq)
			return &s->tasks[i];
	return NULL;
}

static uint32_t reboots(const struct sim *s, const struct rollout *r, int32_t lane)
{
	const struct world_node *node = lane >= 0 && (uint32_t)lane < r->n_rows ? world_node(&s->world, r, (uint32_t)lane) : NULL;
	return node != NULL ? node->reboots : 0;
}

static void answer_in(struct sim *s, const struct daemon *d, const struct effect *e, enum result result, uint64_t after)
{
	struct happening *h = sim_later(s, after, THING_ANSWER);
	h->effect = *e;
	h->life = d != NULL ? d->life : UINT32_MAX;
	h->event = (struct event){ .kind = EVENT_ACTED, .result = result };
}

static void check_intent(struct sim *s, const struct effect *e)
{
	if (e->seq == 0 || e->seq > s->n_durable || s->journal[e->seq - 1].kind != RECORD_INTENT || s->journal[e->seq - 1].unit != e->unit)
		world_broken(&s->world, "I6: an action without a durable intent");
}

static enum trouble_kind fate_of(struct sim *s, const struct step *step, struct trouble **trouble)
{
	*trouble = strike_due(s, AT_ACTION, ++s->n_actions);
	if (*trouble != NULL)
		return (enum trouble_kind)(*trouble)->kind;
	if (s->fate_times == 0 || strcmp(s->fate_step, step->name) != 0)
		return TROUBLE_NONE;
	s->fate_times--;
	return s->fate;
}

static bool world_does(struct sim *s, const struct rollout *r, const struct effect *e)
{
	return world_act(&s->world, r, &r->units[e->unit], effect_step(r, e), effect_action(r, e), e->dir);
}

static void blame(struct sim *s, const struct rollout *r, const struct effect *e, const struct trouble *trouble)
{
	uint32_t row = r->units[e->unit].row;
	struct world_node *node = world_node(&s->world, r, row);
	struct world_schema *schema = world_schema(&s->world, r, row);
	if (trouble == NULL)
		return;
	if (node != NULL)
		node->cause = trouble->id;
	else if (schema != NULL)
		schema->cause = trouble->id;
	else if (s->world.plain != NULL)
		plain_blame(&s->world, trouble->id);
}

/* Its client is gone, the work goes on: nobody will hear of its end. */
static void haunt(struct sim *s, struct daemon *d, const struct rollout *r, const struct effect *e, enum thing thing, uint64_t after)
{
	struct world_schema *schema = world_schema(&s->world, r, r->units[e->unit].row);
	struct happening *h = sim_later(s, after, thing);
	h->effect = *e;
	h->life = 0;
	h->which = thing == THING_SLOW ? d->life : 0;
	if (s->world.plain != NULL)
		plain_haunt(&s->world, r, &r->units[e->unit], effect_step(r, e));
	if (schema == NULL)
		return;
	const struct action *act = effect_action(r, e);
	schema->locked = act->kind == ACTION_RUN && strstr(act->argv[0], "runupdate") != NULL;
	schema->haunted_until = s->world.now + after + 60000;
}

/* What the executor ends when a unit is not under way any more. */
static bool is_given_up(const struct rollout *r, const struct effect *e, const struct action *action)
{
	const struct unit *u = &r->units[e->unit];
	bool waits = u->phase == PHASE_ACT && (u->intent[0] == e->seq || u->intent[1] == e->seq);
	return !waits && (action->kind == ACTION_SERVER || u->state == UNIT_FENCED);
}

void site_ghost(struct sim *s, const struct happening *h, bool answer)
{
	struct rollout *r = sim_rollout(s);
	const struct effect *e = &h->effect;
	if (r == NULL) { /* the world has no names without the plan */
		struct happening *again = sim_later(s, 500, h->thing);
		again->effect = *e;
		again->which = h->which;
		again->life = 0;
		return;
	}
	if (answer && effect_action(r, e)->kind == ACTION_SERVER && (s->daemon->life != h->which || is_given_up(r, e, effect_action(r, e))))
		return; /* who waits to set a server is the daemon itself */
	struct world_schema *schema = world_schema(&s->world, r, r->units[e->unit].row);
	if (schema != NULL)
		schema->locked = false;
	struct task *t = task_find(s, e->seq);
	plain_ghost(&s->world, true);
	bool ok = world_does(s, r, e);
	plain_ghost(&s->world, false);
	if (!answer)
		return;
	t->result = ok ? RESULT_OK : RESULT_FAILED;
	struct daemon as = { .life = h->which };
	answer_in(s, &as, e, t->result, 1);
}

/* The daemon dies when the command is out: in a balancer perhaps to one process of two. */
static void die_sending(struct sim *s, const struct rollout *r, const struct effect *e, struct task *t)
{
	const struct action *act = effect_action(r, e);
	const struct row *row = &r->rows[r->units[e->unit].row];
	if (act->kind == ACTION_SERVER && !act->restore)
		world_set_server(&s->world, act->balancer, 0, row->rank, act->want, false);
	else
		t->result = world_does(s, r, e) ? RESULT_OK : RESULT_FAILED;
	t->ends_at = s->world.now + 500;
	sim_crash(s);
	sim_restart(s);
}

static uint64_t over_timeout(const struct step *step, uint32_t more)
{
	uint64_t timeout = step->timeout_ms != 0 && step->timeout_ms < 3600000 ? step->timeout_ms : 600000;
	return timeout + 1000 + more % 300000;
}

/* systemd and dpkg do one thing at a time: what is under way on the node comes before what is asked for now. */
static void let_ghosts_pass(struct sim *s, const struct rollout *r, const struct effect *e)
{
	uint32_t row = r->units[e->unit].row;
	bool in_turn = world_schema(&s->world, r, row) == NULL && (s->world.plain != NULL || world_node(&s->world, r, row) != NULL);
	for (size_t i = 0; in_turn && i < s->n_queue; i++) {
		struct happening *h = &s->queue[i];
		if (h->thing != THING_GHOST || h->life == UINT32_MAX || r->units[h->effect.unit].row != row || (s->world.plain == NULL && effect_action(r, &h->effect)->kind != ACTION_RUN))
			continue;
		struct happening ghost = *h;
		h->life = UINT32_MAX; /* nobody's any more */
		site_ghost(s, &ghost, false);
	}
}

static void begin(struct sim *s, struct daemon *d, const struct effect *e)
{
	struct rollout *r = sim_rollout(s);
	let_ghosts_pass(s, r, e);
	const struct step *step = effect_step(r, e);
	struct trouble *trouble;
	enum trouble_kind kind = fate_of(s, step, &trouble);
	uint32_t a = trouble != NULL ? trouble->a : 1500;
	if (effect_action(r, e)->kind == ACTION_EDIT && (kind == TROUBLE_GHOST || kind == TROUBLE_SLOW))
		kind = TROUBLE_UNHEARD; /* done by the runner itself: it has no client that could die before it */
	if (kind == TROUBLE_LINGERS && (e->dir != DIR_DO || !step->has_orphans))
		kind = TROUBLE_FAILS;
	const struct world_host *refused = databases_refuse(s, r, &r->units[e->unit], effect_action(r, e), 0);
	if (refused != NULL)
		kind = TROUBLE_FAILS;
	if (kind == TROUBLE_PASSES && effect_action(r, e)->kind != ACTION_RUN)
		kind = TROUBLE_NONE;
	bool is_seen = e->dir == DIR_UNDO ? step->n_undo_verify > 0 : step->n_verify > 0;
	if (kind == TROUBLE_HOLLOW && (!is_seen || effect_action(r, e)->kind != ACTION_RUN))
		kind = TROUBLE_NONE; /* it would never be known */
	bool does = kind != TROUBLE_HOLLOW && kind != TROUBLE_PASSES && kind != TROUBLE_FAILS && kind != TROUBLE_LINGERS && kind != TROUBLE_VANISHES && kind != TROUBLE_GHOST && kind != TROUBLE_SLOW && kind != TROUBLE_HALF;
	s->tasks = sim_more(s->tasks, s->n_tasks, &s->max_tasks, sizeof(*s->tasks));
	struct task *t = &s->tasks[s->n_tasks++];
	*t = (struct task){ .seq = e->seq, .reboots = reboots(s, r, e->lane), .cause = trouble != NULL ? trouble->id : refused != NULL ? refused->cause : 0,
		.began = s->world.now };
	blame(s, r, e, trouble);
	bool ok = does && world_does(s, r, e);
	t->result = ok ? RESULT_OK : RESULT_FAILED;
	uint64_t took = 10 + sim_roll(s, step->pivot ? 3000 : 300);
	switch (kind) {
	case TROUBLE_LINGERS:
		world_linger(&s->world, r, &r->units[e->unit], step);
		break;
	case TROUBLE_HOLLOW:
		t->result = RESULT_OK;
		break;
	case TROUBLE_LIES:
		t->result = RESULT_FAILED;
		if (s->world.plain != NULL)
			plain_deny(&s->world, r, &r->units[e->unit], step);
		break;
	case TROUBLE_PASSES: /* its database failed it, as its output says */
	case TROUBLE_VANISHES:
	case TROUBLE_UNHEARD:
		t->result = RESULT_UNKNOWN;
		break;
	case TROUBLE_GHOST:
		t->result = RESULT_UNKNOWN;
		/* a database does more than one thing at a time */
		haunt(s, d, r, e, THING_GHOST, 200 + a % (world_schema(&s->world, r, r->units[e->unit].row) != NULL ? 3000 : 600));
		break;
	case TROUBLE_LATE:
		took = over_timeout(step, a);
		break;
	case TROUBLE_SLOW:
		took = over_timeout(step, a);
		t->ends_at = s->world.now + took;
		haunt(s, d, r, e, THING_SLOW, took);
		return;
	case TROUBLE_TWICE:
		answer_in(s, d, e, t->result, took + 10 + a % 5000);
		break;
	case TROUBLE_HALF:
		die_sending(s, r, e, t);
		return;
	default:
		break;
	}
	t->ends_at = s->world.now + took;
	answer_in(s, d, e, t->result, took);
}

static void wait_for_node(struct sim *s, const struct happening *h, uint64_t after)
{
	struct happening *again = sim_later(s, after, THING_ACT_END);
	again->effect = h->effect;
	again->life = h->life;
	again->counted = true;
}

void site_act(struct sim *s, struct daemon *d, const struct happening *h)
{
	struct rollout *r = sim_rollout(s);
	const struct effect *e = &h->effect;
	if (r == NULL)
		return;
	check_intent(s, e);
	if (d == s->daemon && strike_window(s, r, e))
		return;
	const struct action *act = effect_action(r, e);
	struct task *t = task_find(s, e->seq);
	if (is_given_up(r, e, act))
		return;
	if (world_lane_down(&s->world, r, e->lane)) {
		wait_for_node(s, h, 300); /* the channel to its runner is made again and again */
		return;
	}
	if (t != NULL && (act->kind == ACTION_RUN || act->kind == ACTION_EDIT)) {
		answer_in(s, d, e, t->result, t->ends_at > s->world.now ? t->ends_at - s->world.now : 1);
		return;
	}
	/* A daemon that was replaced still has it waiting: nothing but the one lock of a journal keeps two apart. */
	if (h->counted && d == s->zombie && d != NULL && r->rows[r->units[e->unit].row].set == 2)
		s->world.schemata[r->rows[r->units[e->unit].row].rank].haunted_until = s->world.now + 60000;
	if (h->counted && e->dir == DIR_DO && effect_step(r, e)->pivot) { /* it has waited for its node */
		struct event ev = { .kind = EVENT_ACTED, .unit = e->unit, .step = e->step, .dir = e->dir, .attempt = e->attempt, .lane = e->lane, .seq = e->seq, .result = RESULT_UNSENT };
		if (d != NULL && engine_rollout(d->engine) != NULL)
			engine_event(d->engine, &ev);
		return;
	}
	if (act->kind == ACTION_SERVER && act->want == SERVER_READY && !world_is_up(&s->world, r, &r->units[e->unit])) {
		wait_for_node(s, h, 300); /* the executor waits for fresh checks */
		return;
	}
	begin(s, d, e);
}

/* ---- answers ---- */

static enum result all_hold(struct sim *s, const struct rollout *r, const struct effect *e, const struct step *step, enum asked asked, const uint16_t *list, size_t n, const char **which, unsigned *cause)
{
	const struct unit *u = &r->units[e->unit];
	for (size_t i = 0; i < n; i++) {
		const struct probe *probe = &r->profile->probes[list[i]];
		*which = probe->name;
		if (!databases_answer(s, r, u, probe, cause))
			return RESULT_UNKNOWN;
		if (world_schema(&s->world, r, u->row) != NULL && strcmp(probe->name, "none_enabled") == 0)
			world_seen(&s->world, (int32_t)r->rows[u->row].rank);
		if (!world_probe(&s->world, r, u, step, asked, probe->name))
			return RESULT_FAILED;
	}
	return RESULT_OK;
}

static bool of_opening(const struct stage *stage, uint16_t probe)
{
	for (size_t i = 0; i < stage->n_steps; i++)
		for (size_t k = 0; stage->steps[i].window == WINDOW_OPEN && k < stage->steps[i].n_verify; k++)
			if (stage->steps[i].verify[k] == probe)
				return true;
	return false;
}

/* As ask_recheck() does it. */
static enum result recheck(struct sim *s, const struct rollout *r, const struct effect *e, const char **which, unsigned *cause, int64_t *step)
{
	const struct unit *u = &r->units[e->unit];
	const struct stage *stage = rollout_stage(r, u);
	bool is_done = u->state == UNIT_DONE || u->state == UNIT_WAITING;
	size_t n = is_done ? stage->n_steps : u->step;
	bool closing = is_done || (u->flags & UNIT_WINDOW) == 0 || (u->step < stage->n_steps && stage->steps[u->step].window == WINDOW_CLOSE);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < stage->steps[i].n_verify && stage->steps[i].act.kind != ACTION_NONE; k++) {
			const uint16_t *probe = &stage->steps[i].verify[k];
			if (r->profile->probes[*probe].kind != PROBE_SQL || (closing && of_opening(stage, *probe)))
				continue;
			enum result result = all_hold(s, r, e, &stage->steps[i], ASKED_DONE, probe, 1, which, cause);
			*step = (int64_t)i;
			if (result != RESULT_OK)
				return result;
		}
	return RESULT_OK;
}

static enum result question_result(struct sim *s, const struct rollout *r, const struct effect *e, const char **which, unsigned *cause, int64_t *value)
{
	const struct stage *stage = rollout_stage(r, &r->units[e->unit]);
	if (e->kind == EFFECT_GATE)
		return all_hold(s, r, e, NULL, ASKED_BEFORE, stage->before, stage->n_before, which, cause);
	if (e->kind == EFFECT_RECHECK)
		return recheck(s, r, e, which, cause, value);
	const struct step *step = effect_step(r, e);
	if (e->kind == EFFECT_CAPTURE)
		return RESULT_OK;
	if (e->kind == EFFECT_KILL) { /* what had been seen before */
		world_kill(&s->world, r, &r->units[e->unit], step);
		return RESULT_OK;
	}
	if (e->kind == EFFECT_ORPHANS)
		return all_hold(s, r, e, step, ASKED_ORPHANS, &step->orphans, 1, which, cause);
	if (e->dir == DIR_UNDO && e->kind == EFFECT_ASK) {
		enum result result = all_hold(s, r, e, step, ASKED_UNDONE, step->undo_unless, step->n_undo_unless, which, cause);
		if (result == RESULT_OK && s->world.plain != NULL)
			plain_moot(&s->world, r, &r->units[e->unit], step);
		return result;
	}
	if (e->dir == DIR_UNDO)
		return all_hold(s, r, e, step, ASKED_UNDONE, step->undo_verify, step->n_undo_verify, which, cause);
	if ((e->kind == EFFECT_ASK || e->resolve) && step->n_done_when > 0)
		return all_hold(s, r, e, step, ASKED_DONE, step->done_when, step->n_done_when, which, cause);
	return all_hold(s, r, e, step, ASKED_DONE, step->verify, step->n_verify, which, cause);
}

/* A row that is new joins before anybody counts: watch.c says that a set was read when all of its rows are there. */
static void tell_new_rows(struct sim *s, struct daemon *d)
{
	struct rollout *r = engine_rollout(d->engine);
	bool readable = s->world.plain == NULL && s->world.now >= s->world.hosts[0].away_until;
	while (readable && r->state != ROLLOUT_PLANNING && !rollout_is_over(r) && r->n_set_rows[2] < s->world.n_schemata) {
		const struct world_schema *schema = &s->world.schemata[r->n_set_rows[2]];
		char columns[64];
		(void)snprintf(columns, sizeof(columns), "name=%s\n", schema->name);
		struct event ev = { .kind = EVENT_NEW_ROW, .row = 2, .text = columns, .value = schema->tenants, .host = schema->host,
			.class_ = schema->owner_new ? CLASS_NEW : CLASS_OLD };
		engine_event(d->engine, &ev);
	}
}

static void look(struct sim *s, struct daemon *d)
{
	struct event facts = { .kind = EVENT_FACTS };
	databases_look(s, d);
	tell_new_rows(s, d);
	world_facts(&s->world, engine_rollout(d->engine));
	engine_event(d->engine, &facts);
}

/* As lines.c does it: what is otherwise than it was set is told, and what is so again. */
static void tell_lines(struct sim *s, struct daemon *d, uint64_t fresh)
{
	const struct rollout *r = engine_rollout(d->engine);
	bool is_fresh = s->lines_at != 0 && s->world.now - s->lines_at < fresh && !(s->line_is_new && fresh == LINES_FRESH_MS);
	if (d != s->daemon || r == NULL || r->state == ROLLOUT_PLANNING || is_fresh)
		return;
	s->line_is_new = false;
	s->lines_at = s->world.now;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct stage *stage = rollout_stage(r, &r->units[i]);
		for (uint16_t k = 0; k < stage->n_steps && world_node(&s->world, r, r->units[i].row) != NULL; k++) {
			if (!line_is_ours(r, i, k) || world_lane_down(&s->world, r, (int32_t)r->units[i].row))
				continue;
			bool is = world_line_is(&s->world, r, i, &stage->steps[k].act);
			struct event ev = { .kind = EVENT_LINE, .unit = i, .step = k, .value = is, .text = is ? NULL : stage->steps[k].act.line };
			if (!is || r->n_lines > 0)
				engine_event(d->engine, &ev);
		}
	}
}

/* Which rows of on_failure fit what a failure says is anybody's guess; of the same failure it is the same. */
static uint8_t causes(const struct sim *s, const struct effect *e, const struct step *step)
{
	uint32_t which = (uint32_t)s->options.seed * 31 + e->unit * 7 + e->step * 3 + e->attempt;
	return step->n_causes == 0 ? 0 : (uint8_t)((which * 2654435761u >> 12) & ((1u << step->n_causes) - 1));
}

static void answer_question(struct sim *s, struct daemon *d, const struct happening *h)
{
	const struct effect *e = &h->effect;
	struct rollout *r = engine_rollout(d->engine);
	struct event ev = { .unit = e->unit, .step = e->step, .dir = e->dir, .attempt = e->attempt, .lane = e->lane };
	const char *which = "";
	char text[96] = "";
	ev.kind = e->kind == EFFECT_GATE ? EVENT_GATE : e->kind == EFFECT_CAPTURE ? EVENT_CAPTURED : e->kind == EFFECT_ASK ? EVENT_ASKED :
		e->kind == EFFECT_VERIFY ? EVENT_VERIFIED : e->kind == EFFECT_RECHECK ? EVENT_RECHECKED : EVENT_ORPHANS;
	if (e->kind == EFFECT_GATE)
		look(s, d);
	if (e->kind == EFFECT_GATE && rollout_stage(r, &r->units[e->unit])->needs != 0)
		tell_lines(s, d, LINES_FRESH_MS);
	const struct trouble *mute = h->counted ? NULL : strike_due(s, AT_QUESTION, ++s->n_questions);
	unsigned by = 0;
	enum result result = question_result(s, r, e, &which, &by, &ev.value);
	ev.result = mute != NULL ? RESULT_UNKNOWN : result;
	if (ev.result == RESULT_FAILED && e->kind == EFFECT_VERIFY && !e->resolve) {
		uint64_t waited = s->world.now - (uint64_t)r->units[e->unit].step_ms;
		if (waited < effect_step(r, e)->within_ms) {
			struct happening *again = sim_later(s, 500, THING_ANSWER); /* polled until it holds */
			again->effect = *e;
			again->life = d->life;
			again->counted = true;
			return;
		}
	}
	unsigned cause = mute != NULL ? mute->id : by != 0 ? by : world_cause(&s->world, r, &r->units[e->unit]);
	if (ev.result == RESULT_FAILED)
		databases_look(s, d); /* whether it is the step's own is judged on that */
	if (cause != 0)
		(void)snprintf(text, sizeof(text), "%s #%u", mute != NULL ? "cannot be asked" : which, cause);
	ev.text = ev.result == RESULT_OK ? NULL : text[0] != '\0' ? text : which;
	if (ev.result == RESULT_FAILED && e->kind == EFFECT_VERIFY && e->dir == DIR_DO)
		ev.causes = causes(s, e, effect_step(r, e));
	engine_event(d->engine, &ev);
}

static void on_acted(struct sim *s, struct daemon *d, const struct happening *h)
{
	const struct effect *e = &h->effect;
	const struct rollout *r = engine_rollout(d->engine);
	struct event ev = h->event;
	struct task *t = task_find(s, e->seq);
	char text[64];
	if (t != NULL && t->reboots != reboots(s, r, e->lane) && effect_action(r, e)->kind == ACTION_RUN && ev.result == RESULT_OK &&
		t->ends_at + 1 >= s->world.now)
		t->result = ev.result = RESULT_UNKNOWN; /* its host went down under it */
	if (d == s->daemon && ev.result == RESULT_OK && effect_action(r, e)->kind == ACTION_SERVER && !is_given_up(r, e, effect_action(r, e)))
		(void)world_does(s, r, e); /* it was read back until now */
	const struct world_host *gone = t != NULL ? databases_refuse(s, r, &r->units[e->unit], effect_action(r, e), t->began) : NULL;
	if (gone != NULL && ev.result == RESULT_OK) { /* it did its work, and its server went away under it */
		t->result = ev.result = RESULT_FAILED;
		t->cause = gone->cause;
		if (s->world.plain != NULL)
			plain_deny(&s->world, r, &r->units[e->unit], effect_step(r, e));
	}
	if (ev.result == RESULT_FAILED)
		databases_look(s, d);
	const char *word = ev.result == RESULT_FAILED ? "exit 1" : "lost";
	unsigned cause = t != NULL && t->cause != 0 ? t->cause : world_cause(&s->world, r, &r->units[e->unit]);
	(void)snprintf(text, sizeof(text), cause != 0 ? "%s #%u" : "%s", word, cause);
	ev.text = ev.result == RESULT_OK ? NULL : text;
	ev.value = ev.result == RESULT_OK ? 0 : 1;
	if (ev.result == RESULT_FAILED && e->dir == DIR_DO)
		ev.causes = causes(s, e, effect_step(r, e));
	ev.unit = e->unit;
	ev.step = e->step;
	ev.dir = e->dir;
	ev.attempt = e->attempt;
	ev.lane = e->lane;
	ev.seq = e->seq;
	engine_event(d->engine, &ev);
}

void site_answer(struct sim *s, struct daemon *d, const struct happening *h)
{
	const struct effect *e = &h->effect;
	const struct rollout *r = engine_rollout(d->engine);
	if (e->kind == EFFECT_ACT) {
		on_acted(s, d, h);
	} else if (e->kind == EFFECT_ASSERT) {
		const struct want *want = &r->wants[e->balancer][r->rows[e->row].rank];
		if (want->state == e->want) /* else we want something else by now */
			world_set_server(&s->world, e->balancer, e->lane, r->rows[e->row].rank, e->want, false);
	} else {
		answer_question(s, d, h);
	}
}

/* ---- the watch on the balancers and sets ---- */

/* As watch.c does it: another process is told first, then each server in it that is not as wanted, or is again. */
static void tell_server(struct sim *s, uint32_t row, uint8_t b, int balancer, int p)
{
	struct rollout *r = sim_rollout(s);
	uint8_t (*admin)[WORLD_NODES] = s->world.admin[balancer];
	uint32_t rank = r->rows[row].rank, pid = s->world.pid[balancer][p], *seen = &s->seen_wanted[balancer][p][rank];
	const struct want *want = &r->wants[b][rank];
	if (want->state == SERVER_UNKNOWN)
		return;
	if (admin[p][rank] == want->state) {
		*seen = pid;
		if ((!want->contested && !want->reasserted) || admin[0][rank] != admin[1][rank])
			return;
	}
	struct event ev = { .kind = EVENT_SERVER, .balancer = b, .row = row, .lane = p, .value = admin[p][rank],
		.reloaded = *seen != 0 ? *seen != pid : r->processes[b][p].since_seq > want->seq };
	engine_event(s->daemon->engine, &ev);
}

static void tell_process(struct sim *s, uint8_t b, int balancer, int p)
{
	struct rollout *r = sim_rollout(s);
	if (r->processes[b][p].pid == s->world.pid[balancer][p])
		return;
	struct event ev = { .kind = EVENT_PROCESS, .balancer = b, .lane = p, .seq = s->world.pid[balancer][p], .value = s->world.pid[balancer][p] };
	engine_event(s->daemon->engine, &ev);
}

/* A unit of the row stands at a step that sets it: what is seen may be its half. */
static bool row_at_work(const struct rollout *r, uint32_t row)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].row == row && r->units[i].state != UNIT_DONE && r->units[i].touched != 0)
			return true;
	return false;
}

/* I10: what is ours and differs is put back or said to be contested, in a few looks. */
static void check_custody(struct sim *s, uint32_t row, uint8_t b, int balancer)
{
	const struct rollout *r = sim_rollout(s);
	uint32_t rank = r->rows[row].rank;
	const struct want *want = &r->wants[b][rank];
	for (int p = 0; p < WORLD_PROCESSES; p++) {
		uint64_t *since = &s->world.off_since[balancer][p][rank];
		bool off = want->state != SERVER_UNKNOWN && s->world.admin[balancer][p][rank] != want->state && !want->contested && !row_at_work(r, row);
		if (!off)
			*since = 0;
		else if (*since == 0 || *since < s->up_since)
			*since = s->world.now;
		else if (s->world.now - *since > 15000)
			world_broken(&s->world, "I10: %s is not as we want it in process %d of %s, and nobody says so", r->rows[row].name, p + 1,
				r->profile->balancers[b]);
	}
}

/* I10: a line that is not as we set it is said to be contested, at one of the next looks. */
static void check_lines(struct sim *s)
{
	const struct rollout *r = sim_rollout(s);
	bool off[WORLD_NODES] = { 0 };
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct row *row = &r->rows[r->units[i].row];
		const struct stage *stage = rollout_stage(r, &r->units[i]);
		for (uint16_t k = 0; k < stage->n_steps && world_node(&s->world, r, r->units[i].row) != NULL; k++)
			off[row->rank] |= line_is_ours(r, i, k) && !world_line_is(&s->world, r, i, &stage->steps[k].act) && line_held(r, 0, r->units[i].row).kind == WHY_NONE &&
				!world_lane_down(&s->world, r, (int32_t)r->units[i].row);
	}
	for (uint32_t n = 0; n < s->world.n_nodes; n++) {
		uint64_t *since = &s->line_off_since[n];
		if (!off[n])
			*since = 0;
		else if (*since == 0 || *since < s->up_since)
			*since = s->world.now;
		else if (s->world.now - *since > LINES_NOTICED_MS)
			world_broken(&s->world, "I10: a line on %s is not as we set it, and nobody says so", s->world.nodes[n].name);
	}
}

void site_watch(struct sim *s)
{
	struct rollout *r = sim_rollout(s);
	if (r == NULL || r->state == ROLLOUT_PLANNING)
		return;
	look(s, s->daemon);
	tell_lines(s, s->daemon, LINES_EVERY_MS);
	check_lines(s);
	for (uint8_t b = 0; b < r->profile->n_balancers; b++) {
		int balancer = b;
		for (int p = 0; p < WORLD_PROCESSES; p++) {
			tell_process(s, b, balancer, p);
			for (uint32_t i = 0; i < r->n_rows; i++)
				if (r->rows[i].set == r->profile->set_node)
					tell_server(s, i, b, balancer, p);
		}
		for (uint32_t i = 0; i < r->n_rows; i++)
			if (r->rows[i].set == r->profile->set_node)
				check_custody(s, i, b, balancer);
	}
}
