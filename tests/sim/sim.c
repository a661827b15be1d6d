/* SPDX-License-Identifier: MIT */
/*
 * Virtual time: a queue of things that will happen. What the daemon asked for answers later; what it had asked for before it died goes on
 * in the world, and its answers go nowhere. The journal is an array; a batch is on disk a moment after it was handed over, and a crash in
 * that moment loses it. After each batch the fold of the whole journal must equal the live state.
 */
#include "sim.h"

#include "daemon/core/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum thing { THING_DURABLE, THING_ACT_END, THING_ANSWER, THING_FACTS, THING_TICK, THING_WATCH, THING_FAULT, THING_PERSON };

struct happening {
	uint64_t at, order;
	enum thing thing;
	uint32_t life;         /* of the daemon that waits for it; 0: the world's own */
	struct effect effect;
	struct event event;
	uint32_t task;
};

/* What upgd-run knows: survives the daemon. */
struct task {
	uint64_t seq;          /* its name */
	enum result result;
};

struct sim {
	struct sim_options options;
	struct world world;
	struct engine *engine;  /* NULL: dead */
	uint64_t random, order;
	uint32_t life;
	struct happening *queue;
	size_t n_queue, max_queue;
	struct record *journal; /* texts owned */
	size_t n_journal, max_journal, n_durable; /* in records */
	size_t batch_end[1 << 16];
	uint32_t n_batches, n_acked;
	uint32_t next_crash;
	struct task *tasks;
	size_t n_tasks, max_tasks;
	char answer[320];
	bool answered;
	uint32_t faults_left;
	bool watching;
	int64_t wall_step_ms;   /* somebody set the clock */
	uint64_t tick_at;
	char fate_step[64];     /* a scenario's word on the next actions of that name */
	enum sim_fate fate;
	unsigned fate_times;
	struct rollout *shadow; /* the fold so far: made by rollout_apply() alone */
	size_t n_shadow;
};

static uint32_t roll(struct sim *s, uint32_t n)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->random >> 33) % n;
}

static void *more(void *array, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return array;
	*max = *max ? *max * 2 : 64;
	array = realloc(array, *max * size);
	if (array == NULL)
		abort();
	return array;
}

static struct happening *later(struct sim *s, uint64_t after, enum thing thing)
{
	s->queue = more(s->queue, s->n_queue, &s->max_queue, sizeof(*s->queue));
	struct happening *h = &s->queue[s->n_queue++];
	*h = (struct happening){ .at = s->world.now + after, .order = s->order++, .thing = thing, .life = s->life };
	return h;
}

/* ---- the engine's ops ---- */

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	struct sim *s = arg;
	*boot_ms = s->world.now;
	*wall_ms = (int64_t)s->world.now + 1700000000000 + s->wall_step_ms;
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	struct sim *s = arg;
	for (size_t i = 0; i < n; i++) {
		s->journal = more(s->journal, s->n_journal, &s->max_journal, sizeof(*s->journal));
		struct record *rec = &s->journal[s->n_journal++];
		*rec = records[i];
		rec->text = records[i].text != NULL ? strdup(records[i].text) : NULL;
		rec->actor = records[i].actor != NULL ? strdup(records[i].actor) : NULL;
	}
	if (s->n_batches < sizeof(s->batch_end) / sizeof(s->batch_end[0]))
		s->batch_end[s->n_batches++] = s->n_journal;
	else
		world_broken(&s->world, "no end: %u batches", s->n_batches);
	(void)later(s, 1 + roll(s, 3), THING_DURABLE);
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	struct sim *s = arg;
	s->tick_at = boot_ms;
	if (boot_ms != 0)
		later(s, boot_ms > s->world.now ? boot_ms - s->world.now : 0, THING_TICK);
}

static const struct step *effect_step(const struct rollout *r, const struct effect *e)
{
	return &rollout_stage(r, &r->units[e->unit])->steps[e->step];
}

/* The answer to a question about the world is found when it is given, not when it is asked. */
static void op_perform(void *arg, struct rollout *r, const struct effect *e)
{
	struct sim *s = arg;
	(void)r;
	struct happening *h;
	switch (e->kind) {
	case EFFECT_ACT:
		h = later(s, 1 + roll(s, 20), THING_ACT_END); /* sent; how long it takes is drawn there */
		break;
	case EFFECT_OBSERVE:
		h = later(s, 5 + roll(s, 50), THING_FACTS);
		break;
	case EFFECT_ASSERT:
		h = later(s, 5, THING_ANSWER);
		break;
	case EFFECT_ACK:
	case EFFECT_ENDED:
		return;
	default:
		h = later(s, 5 + roll(s, 100), THING_ANSWER);
	}
	h->effect = *e;
}

static void transcript(struct sim *s, const struct rollout *r, const struct record *rec)
{
	char unit[300];
	FILE *out = s->options.transcript;
	if (out == NULL || rec->kind == RECORD_ROW || rec->kind == RECORD_START)
		return;
	(void)fprintf(out, "    [%7.1fs] %s", (double)s->world.now / 1000, record_kind_word(rec->kind));
	if (rec->unit < r->n_units) {
		const struct unit *u = &r->units[rec->unit];
		(void)fprintf(out, " %s", rollout_unit_name(r, rec->unit, unit, sizeof(unit)));
		const struct stage *stage = rollout_stage(r, u);
		if (rec->step < stage->n_steps && rec->kind != RECORD_UNIT && rec->kind != RECORD_ADMIT && rec->kind != RECORD_WANT)
			(void)fprintf(out, ".%s", stage->steps[rec->step].name);
		if (rec->dir == DIR_UNDO)
			(void)fprintf(out, " undo");
		if (rec->kind == RECORD_UNIT)
			(void)fprintf(out, " %s", unit_state_word(rec->code));
		if (rec->attempt > 1)
			(void)fprintf(out, " attempt=%u", rec->attempt);
	}
	if (rec->kind == RECORD_WANT)
		(void)fprintf(out, " %s=%s", r->profile->balancers[rec->step], server_state_word(rec->code));
	if (rec->text != NULL && rec->kind != RECORD_INTENT && rec->kind != RECORD_CAPTURE && rec->kind != RECORD_ADMIT)
		(void)fprintf(out, " \"%s\"", rec->text);
	(void)fputc('\n', out);
}

static void op_applied(void *arg, const struct rollout *r, const struct record *rec)
{
	struct sim *s = arg;
	if (r != NULL && s->watching)
		transcript(s, r, rec);
}

/* ---- life ---- */

static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake, .applied = op_applied };

struct sim *sim_new(const struct sim_options *options)
{
	struct sim *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->options = *options;
	s->random = options->seed * 2862933555777941757u + 3037000493u;
	s->faults_left = options->faults ? 1 + roll(s, 4) : 0;
	s->next_crash = options->crash_at;
	world_init(&s->world, options->nodes, options->schemata, options->seed);
	s->world.now = 1000;
	s->life = 1;
	s->watching = true;
	s->engine = engine_new(&ops, s);
	later(s, 500, THING_WATCH)->life = 0;
	if (options->faults) {
		later(s, 1000 + roll(s, 60000), THING_FAULT)->life = 0;
		later(s, 5000, THING_PERSON)->life = 0;
	}
	return s;
}

void sim_free(struct sim *s)
{
	engine_free(s->engine);
	rollout_free(s->shadow);
	for (size_t i = 0; i < s->n_journal; i++) {
		free((void *)(uintptr_t)s->journal[i].text);
		free((void *)(uintptr_t)s->journal[i].actor);
	}
	free(s->journal);
	free(s->queue);
	free(s->tasks);
	free(s);
}

struct world *sim_world(struct sim *s)
{
	return &s->world;
}

struct rollout *sim_rollout(struct sim *s)
{
	return s->engine != NULL ? engine_rollout(s->engine) : NULL;
}

uint32_t sim_batches(const struct sim *s)
{
	return s->n_batches;
}

uint32_t sim_records(const struct sim *s)
{
	return (uint32_t)s->n_durable;
}

uint64_t sim_now(const struct sim *s)
{
	return s->world.now;
}

const char *sim_broken(const struct sim *s)
{
	return s->world.broken;
}

static void journal_cut(struct sim *s, size_t n)
{
	while (s->n_journal > n) {
		s->n_journal--;
		free((void *)(uintptr_t)s->journal[s->n_journal].text);
		free((void *)(uintptr_t)s->journal[s->n_journal].actor);
	}
}

void sim_crash(struct sim *s)
{
	if (s->options.transcript != NULL)
		(void)fprintf(s->options.transcript, "    [%7.1fs] --- the daemon is killed\n", (double)s->world.now / 1000);
	engine_free(s->engine);
	s->engine = NULL;
	journal_cut(s, s->n_durable);
	s->n_batches = s->n_acked;
	s->life++;
}

static struct engine *fold(struct sim *s, size_t n)
{
	struct engine *e = engine_new(&ops, s);
	struct fail fail;
	bool watching = s->watching;
	s->watching = false;
	for (size_t i = 0; i < n; i++)
		if (engine_fold(e, &s->journal[i], &fail) != 0)
			world_broken(&s->world, "fold: %s", fail.text);
	s->watching = watching;
	return e;
}

void sim_restart(struct sim *s)
{
	s->engine = fold(s, s->n_durable);
	engine_recovered(s->engine);
}

/* The fold of what is on disk, kept going record by record; judged whenever the live state is not ahead of the disk. */
static void check_fold(struct sim *s)
{
	const char *what;
	struct rollout *live = engine_rollout(s->engine);
	if (s->shadow == NULL)
		s->shadow = rollout_new(live->profile, live->id);
	s->shadow->profile = live->profile;
	for (; s->n_shadow < s->n_durable; s->n_shadow++)
		if (rollout_apply(s->shadow, &s->journal[s->n_shadow]) != 0)
			world_broken(&s->world, "I7: record %zu cannot be folded", s->n_shadow + 1);
	if (s->n_durable == s->n_journal && !rollout_same(s->shadow, live, &what))
		world_broken(&s->world, "I7: the fold differs from the state in its %s", what);
}

/* ---- the runner ---- */

static struct task *task_find(struct sim *s, uint64_t seq)
{
	for (size_t i = 0; i < s->n_tasks; i++)
		if (s->tasks[i].seq == seq)
			return &s->tasks[i];
	return NULL;
}

static void answer_act(struct sim *s, const struct effect *e, enum result result, uint64_t after)
{
	struct happening *h = later(s, after, THING_ANSWER);
	h->effect = *e;
	h->event = (struct event){ .kind = EVENT_ACTED, .result = result, .value = result == RESULT_OK ? 0 : 1,
		.text = result == RESULT_OK ? NULL : result == RESULT_FAILED ? "exit 1" : "lost" };
}

static void check_intent(struct sim *s, const struct effect *e)
{
	if (e->seq == 0 || e->seq > s->n_durable || s->journal[e->seq - 1].kind != RECORD_INTENT || s->journal[e->seq - 1].unit != e->unit)
		world_broken(&s->world, "I6: an action without a durable intent");
}

/* The world does it, or a fault has its way. */
static enum result act(struct sim *s, const struct effect *e)
{
	struct rollout *r = sim_rollout(s);
	if (r == NULL)
		return RESULT_UNKNOWN;
	const struct unit *u = &r->units[e->unit];
	const struct step *step = effect_step(r, e);
	const struct action *action = e->dir == DIR_UNDO ? &step->undo : &step->act;
	uint32_t fate = s->options.faults && s->faults_left > 0 ? roll(s, 60) : 99;
	if (fate <= FATE_LINGERS)
		s->faults_left--;
	if (s->fate_times > 0 && strcmp(s->fate_step, step->name) == 0) {
		s->fate_times--;
		fate = (uint32_t)s->fate;
	}
	if (fate == 0)
		return RESULT_FAILED; /* did nothing and says so */
	if (fate == FATE_LINGERS && e->dir == DIR_DO && step->has_orphans) {
		world_linger(&s->world, r, u); /* its client was killed, and the database goes on */
		return RESULT_FAILED;
	}
	bool ok = fate == 1 ? true : world_act(&s->world, r, u, step, action, e->dir);
	if (fate == 1)
		return RESULT_UNKNOWN; /* did nothing, nobody knows */
	if (fate == 2)
		return RESULT_UNKNOWN; /* done, and the answer was lost */
	return ok ? RESULT_OK : RESULT_FAILED;
}

/* What the executor ends when a unit is not under way any more. */
static bool is_given_up(const struct rollout *r, const struct effect *e, const struct action *action)
{
	const struct unit *u = &r->units[e->unit];
	bool waits = u->phase == PHASE_ACT && (u->intent[0] == e->seq || u->intent[1] == e->seq);
	return !waits && (action->kind == ACTION_SERVER || u->state == UNIT_FENCED);
}

static bool is_on_away(const struct sim *s, const struct rollout *r, const struct effect *e)
{
	return e->lane >= 0 && (uint32_t)e->lane < r->n_rows && r->rows[e->lane].rank < s->world.n_nodes && s->world.nodes[r->rows[e->lane].rank].away;
}

static void on_act(struct sim *s, const struct effect *e)
{
	struct rollout *r = sim_rollout(s);
	if (r == NULL)
		return;
	check_intent(s, e);
	const struct step *step = effect_step(r, e);
	const struct action *action = e->dir == DIR_UNDO ? &step->undo : &step->act;
	struct task *t = task_find(s, e->seq);
	if (is_given_up(r, e, action))
		return;
	if (is_on_away(s, r, e)) {
		later(s, 300, THING_ACT_END)->effect = *e;
		return;
	}
	bool runner = action->kind == ACTION_RUN || action->kind == ACTION_EDIT;
	if (t != NULL && runner) {
		answer_act(s, e, t->result, 1);
		return;
	}
	if (action->kind == ACTION_SERVER && action->want == SERVER_READY && !world_act(&s->world, r, &r->units[e->unit], step, action, e->dir)) {
		later(s, 300, THING_ACT_END)->effect = *e; /* not up yet: the executor waits for fresh checks */
		return;
	}
	s->tasks = more(s->tasks, s->n_tasks, &s->max_tasks, sizeof(*s->tasks));
	t = &s->tasks[s->n_tasks++];
	*t = (struct task){ .seq = e->seq };
	t->result = act(s, e);
	answer_act(s, e, t->result, 10 + roll(s, step->pivot ? 3000 : 300));
}

/* ---- answers ---- */

static bool all_hold(struct sim *s, const struct rollout *r, const struct effect *e, const uint16_t *list, size_t n, const char **which)
{
	for (size_t i = 0; i < n; i++) {
		*which = r->profile->probes[list[i]].name;
		if (!world_probe(&s->world, r, &r->units[e->unit], *which))
			return false;
	}
	return true;
}

static void answer_question(struct sim *s, const struct effect *e)
{
	struct rollout *r = sim_rollout(s);
	struct event ev = { .unit = e->unit, .step = e->step, .dir = e->dir, .attempt = e->attempt, .lane = e->lane };
	const char *which = "";
	bool ok = true;
	if (e->kind == EFFECT_GATE) {
		const struct stage *stage = rollout_stage(r, &r->units[e->unit]);
		world_facts(&s->world, r);
		struct event facts = { .kind = EVENT_FACTS };
		engine_event(s->engine, &facts);
		ok = all_hold(s, r, e, stage->before, stage->n_before, &which);
		ev.kind = EVENT_GATE;
	} else {
		const struct step *step = effect_step(r, e);
		bool done_when = (e->kind == EFFECT_ASK || e->resolve) && step->n_done_when > 0;
		if (e->kind == EFFECT_CAPTURE)
			ev.kind = EVENT_CAPTURED;
		else if (e->kind == EFFECT_ORPHANS || e->kind == EFFECT_KILL)
			ok = all_hold(s, r, e, &step->orphans, 1, &which);
		else if (e->dir == DIR_UNDO)
			ok = all_hold(s, r, e, step->undo_verify, step->n_undo_verify, &which);
		else
			ok = done_when ? all_hold(s, r, e, step->done_when, step->n_done_when, &which) : all_hold(s, r, e, step->verify, step->n_verify, &which);
		if (e->kind != EFFECT_CAPTURE)
			ev.kind = e->kind == EFFECT_ASK ? EVENT_ASKED : e->kind == EFFECT_VERIFY ? EVENT_VERIFIED : EVENT_ORPHANS;
		uint64_t waited = s->world.now - (uint64_t)r->units[e->unit].step_ms;
		if (!ok && e->kind == EFFECT_VERIFY && !e->resolve && waited < step->within_ms) {
			later(s, 500, THING_ANSWER)->effect = *e; /* polled until it holds */
			return;
		}
	}
	ev.result = ok ? RESULT_OK : RESULT_FAILED;
	ev.text = ok ? NULL : which;
	engine_event(s->engine, &ev);
}

static void on_answer(struct sim *s, const struct happening *h)
{
	const struct effect *e = &h->effect;
	if (e->kind == EFFECT_ASSERT) {
		struct rollout *r = sim_rollout(s);
		int balancer = strcmp(r->profile->balancers[e->balancer], "main") == 0 ? 0 : 1;
		s->world.admin[balancer][e->lane][r->rows[e->row].rank] = e->want;
		return;
	}
	if (e->kind != EFFECT_ACT) {
		answer_question(s, e);
		return;
	}
	struct event ev = h->event;
	ev.unit = e->unit;
	ev.step = e->step;
	ev.dir = e->dir;
	ev.attempt = e->attempt;
	ev.lane = e->lane;
	ev.seq = e->seq;
	engine_event(s->engine, &ev);
}

/* The watch on the balancers: what a process shows against what we want. */
static void watch(struct sim *s)
{
	struct rollout *r = sim_rollout(s);
	if (r == NULL || r->state == ROLLOUT_PLANNING)
		return;
	world_facts(&s->world, r);
	struct event facts = { .kind = EVENT_FACTS };
	engine_event(s->engine, &facts);
	for (uint32_t i = 0; i < r->n_rows; i++) {
		for (uint8_t b = 0; b < r->profile->n_balancers && r->rows[i].set == r->profile->set_node; b++) {
			const struct want *want = &r->wants[b][r->rows[i].rank];
			int balancer = strcmp(r->profile->balancers[b], "main") == 0 ? 0 : 1;
			int differs = -1;
			for (int p = 0; p < WORLD_PROCESSES; p++)
				if (s->world.admin[balancer][p][r->rows[i].rank] != want->state)
					differs = p;
			if (want->state == SERVER_UNKNOWN || (differs < 0 && !want->contested && !want->reasserted))
				continue;
			int p = differs < 0 ? 0 : differs;
			struct event ev = { .kind = EVENT_SERVER, .balancer = b, .row = i, .lane = p, .value = s->world.admin[balancer][p][r->rows[i].rank],
				.reloaded = s->world.started_ms[balancer][p] > want->at_ms };
			engine_event(s->engine, &ev);
		}
	}
}

void sim_set_clock(struct sim *s, int64_t by_ms)
{
	s->wall_step_ms += by_ms;
}

void sim_away(struct sim *s, const char *name, bool away, bool bare)
{
	for (uint32_t n = 0; n < s->world.n_nodes; n++) {
		struct world_node *node = &s->world.nodes[n];
		if (strcmp(node->name, name) != 0)
			continue;
		node->away = away;
		if (bare)
			node->redirect = false;
	}
}

void sim_reload(struct sim *s, int balancer, int process)
{
	if (s->options.transcript != NULL)
		(void)fprintf(s->options.transcript, "    [%7.1fs] --- %s process %d reloads\n", (double)s->world.now / 1000, balancer ? "secondary" : "main", process + 1);
	for (uint32_t n = 0; n < s->world.n_nodes; n++)
		s->world.admin[balancer][process][n] = balancer == 0 ? SERVER_READY : SERVER_MAINT;
	s->world.started_ms[balancer][process] = (int64_t)s->world.now + 1700000000000;
	watch(s); /* I10 is judged after the watch had its chance; the time until then is the e2e's to measure */
	struct rollout *r = sim_rollout(s);
	for (uint32_t n = 0; r != NULL && n < s->world.n_nodes; n++)
		for (uint8_t b = 0; b < r->profile->n_balancers; b++)
			if (r->wants[b] != NULL && (strcmp(r->profile->balancers[b], "main") == 0 ? 0 : 1) == balancer && r->wants[b][n].state != SERVER_UNKNOWN)
				s->world.admin[balancer][process][n] = r->wants[b][n].state;
}

void sim_person_sets(struct sim *s, int balancer, const char *node, enum server_state state)
{
	for (uint32_t n = 0; n < s->world.n_nodes; n++)
		if (strcmp(s->world.nodes[n].name, node) == 0)
			for (int p = 0; p < WORLD_PROCESSES; p++)
				s->world.admin[balancer][p][n] = (uint8_t)state;
}

/* ---- random trouble ---- */

static void fault(struct sim *s)
{
	if (sim_rollout(s) == NULL || rollout_is_over(sim_rollout(s)))
		return;
	switch (roll(s, 5)) {
	case 0:
		s->world.schemata[roll(s, s->world.n_schemata)].task_will_fail = true;
		break;
	case 1:
		sim_reload(s, (int)roll(s, 2), (int)roll(s, 2));
		break;
	case 2:
		sim_command(s, COMMAND_PAUSE, NULL);
		break;
	case 3: {
		char name[64];
		(void)snprintf(name, sizeof(name), "migrate/ox_%u", 1 + roll(s, s->world.n_schemata));
		if (roll(s, 4) == 0)
			sim_command(s, COMMAND_SKIP, name);
		break;
	}
	default:
		if (roll(s, 2) == 0)
			sim_command(s, COMMAND_ABORT, NULL);
	}
	if (s->faults_left > 0 && roll(s, 3) > 0)
		later(s, 1000 + roll(s, 60000), THING_FAULT)->life = 0;
}

/* A person who comes by and deals with what waits for one. */
static void person(struct sim *s)
{
	struct rollout *r = sim_rollout(s);
	char name[300];
	if (r == NULL || rollout_is_over(r))
		return;
	if (r->paused)
		sim_command(s, COMMAND_RESUME, NULL);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		if (u->state != UNIT_FAILED && u->state != UNIT_UNCERTAIN)
			continue;
		(void)rollout_unit_name(r, i, name, sizeof(name));
		if (roll(s, 5) == 0) {
			sim_command(s, COMMAND_PARK, name);
			continue;
		}
		for (uint32_t k = 0; k < s->world.n_schemata; k++) {
			struct world_schema *schema = &s->world.schemata[k];
			if (strcmp(schema->name, r->rows[u->row].name) == 0 && schema->task_failed) {
				schema->task_will_fail = schema->task_failed = false; /* forceupdatetask */
				schema->tasks_done = true;
			}
		}
		sim_command(s, COMMAND_RETRY, name);
	}
}

/* ---- time ---- */

static size_t next_index(const struct sim *s)
{
	size_t best = 0;
	for (size_t i = 1; i < s->n_queue; i++)
		if (s->queue[i].at < s->queue[best].at || (s->queue[i].at == s->queue[best].at && s->queue[i].order < s->queue[best].order))
			best = i;
	return best;
}

static void on_durable(struct sim *s)
{
	if (s->next_crash != 0 && s->n_acked + 1 >= s->next_crash) {
		bool keep = s->options.crash == CRASH_AFTER;
		s->next_crash = s->options.crash_every != 0 ? s->next_crash + s->options.crash_every : 0;
		if (keep)
			s->n_durable = s->batch_end[s->n_acked++];
		sim_crash(s);
		sim_restart(s);
		if (s->n_durable == 0)
			sim_start(s, NULL, NULL, false); /* it was never acknowledged: the person says it again */
		return;
	}
	s->n_durable = s->batch_end[s->n_acked++];
	check_fold(s);
	engine_durable(s->engine, 0);
}

static void step(struct sim *s)
{
	size_t i = next_index(s);
	struct happening h = s->queue[i];
	s->queue[i] = s->queue[--s->n_queue];
	s->world.now = h.at;
	if (h.life != 0 && h.life != s->life)
		return; /* nobody waits for it any more */
	struct event ev = { .kind = EVENT_TICK };
	switch (h.thing) {
	case THING_DURABLE:
		on_durable(s);
		break;
	case THING_ACT_END:
		on_act(s, &h.effect);
		break;
	case THING_ANSWER:
		on_answer(s, &h);
		break;
	case THING_FACTS:
		watch(s);
		break;
	case THING_TICK:
		if (h.at >= s->tick_at && s->tick_at != 0)
			engine_event(s->engine, &ev);
		break;
	case THING_WATCH:
		watch(s);
		later(s, 500, THING_WATCH)->life = 0;
		break;
	case THING_FAULT:
		fault(s);
		break;
	case THING_PERSON:
		person(s);
		later(s, 30000, THING_PERSON)->life = 0;
		break;
	}
	world_check(&s->world, sim_rollout(s));
}

void sim_run_until(struct sim *s, uint64_t ms)
{
	while (s->n_queue > 0 && s->world.broken[0] == '\0' && s->queue[next_index(s)].at <= ms) {
		step(s);
		struct rollout *r = sim_rollout(s);
		if (r != NULL && rollout_is_over(r) && s->n_acked == s->n_batches)
			return;
	}
	if (s->world.now < ms)
		s->world.now = ms;
}

void sim_run(struct sim *s)
{
	uint64_t limit = s->options.limit_ms != 0 ? s->options.limit_ms : 4 * 3600 * 1000;
	sim_run_until(s, limit);
	struct rollout *r = sim_rollout(s);
	if (s->world.broken[0] == '\0' && (r == NULL || !rollout_is_over(r)))
		world_broken(&s->world, "it does not come to an end in %" PRIu64 " s", limit / 1000);
	if (r != NULL && r->state == ROLLOUT_DONE)
		world_check_done(&s->world, r);
	if (r != NULL && r->state == ROLLOUT_ABORTED)
		world_check_aborted(&s->world, r);
}

void sim_fate(struct sim *s, const char *step, enum sim_fate fate, unsigned times)
{
	(void)snprintf(s->fate_step, sizeof(s->fate_step), "%s", step);
	s->fate = fate;
	s->fate_times = times;
}

/* ---- persons ---- */

static void on_answered(void *arg, int refused, const char *answer)
{
	struct sim *s = arg;
	(void)snprintf(s->answer, sizeof(s->answer), "%s%s", refused ? "refused: " : "", answer);
	s->answered = true;
}

void sim_command(struct sim *s, enum command_verb verb, const char *unit)
{
	struct event ev = { .kind = EVENT_COMMAND, .verb = verb, .actor = "somebody", .unit = RECORD_NO_UNIT };
	struct rollout *r = sim_rollout(s);
	if (r == NULL)
		return;
	if (unit != NULL)
		ev.unit = rollout_unit(r, unit);
	if (verb == COMMAND_APPROVE) {
		char stage[64] = "", name[64] = "";
		(void)sscanf(unit, "%63[^/]/%63s", stage, name);
		ev.value = profile_stage(r->profile, stage);
		for (uint16_t i = 0; ev.value >= 0 && i < r->profile->stages[ev.value].n_steps; i++)
			if (strcmp(r->profile->stages[ev.value].steps[i].name, name) == 0)
				ev.step = i;
	}
	s->answer[0] = '\0';
	engine_command(s->engine, &ev, NULL, on_answered, s);
}

const char *sim_answer(struct sim *s)
{
	for (unsigned i = 0; s->answer[0] == '\0' && i < 100 && s->n_queue > 0; i++)
		step(s);
	return s->answer;
}

void sim_start(struct sim *s, const char *until, const char *const *skip, bool on_failure_continue)
{
	static const char *const params[] = { "from", "7.10.5", "to", "7.10.6", "package", "7.10.6-44", "new_fleet", "oxserver-7106", "redirect",
		"https://wwwxyz.example.com", "soak", "10s", "settle", "10s", NULL };
	struct engine_row rows[WORLD_NODES + WORLD_SCHEMATA];
	char columns[WORLD_NODES + WORLD_SCHEMATA][64];
	size_t n = 0;
	uint32_t tenants = 0;
	for (uint32_t i = 0; i < s->world.n_schemata; i++)
		tenants += s->world.schemata[i].tenants;
	for (uint32_t i = 0; i < s->world.n_nodes; i++, n++) {
		(void)snprintf(columns[n], sizeof(columns[n]), "name=%s\n", s->world.nodes[i].name);
		rows[n] = (struct engine_row){ .set = 1, .columns = columns[n], .class_ = CLASS_OLD, .capacity = tenants / (s->world.n_nodes - (s->options.spare ? s->options.spare : 1)) + 1 };
	}
	for (uint32_t i = 0; i < s->world.n_schemata; i++, n++) {
		const struct world_schema *schema = &s->world.schemata[i];
		(void)snprintf(columns[n], sizeof(columns[n]), "name=%s\n", schema->name);
		rows[n] = (struct engine_row){ .set = 2, .columns = columns[n], .weight = schema->tenants, .host = schema->host,
			.class_ = schema->tenants == 0 ? 4 : CLASS_OLD };
	}
	struct engine_start start = { .text = s->options.profile_text, .params = params, .rows = rows, .n_rows = n, .until = until, .skip = skip,
		.flags = (s->options.approve ? START_APPROVE_ALL : 0u) | (on_failure_continue ? START_CONTINUE : 0u), .actor = "somebody" };
	struct fail fail = { 0 };
	if (engine_start(s->engine, &start, on_answered, s, &fail) != 0)
		world_broken(&s->world, "start: %s", fail.text);
}
