/* SPDX-License-Identifier: MIT */
/*
 * Virtual time: a queue of things that will happen. What the daemon asked for answers later; what it had asked for before it died goes on
 * in the world, and its answers go nowhere. The journal is an array; a batch is on disk a moment after it was handed over, and a crash in
 * that moment loses it. After each batch the fold of the whole journal must equal the live state.
 */
#include "sim.h"

#include "ask.h"
#include "plain.h"
#include "sim_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

uint32_t sim_roll(struct sim *s, uint32_t n)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->random >> 33) % n;
}

void *sim_more(void *array, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return array;
	*max = *max ? *max * 2 : 64;
	array = realloc(array, *max * size);
	if (array == NULL)
		abort();
	return array;
}

struct happening *sim_later(struct sim *s, uint64_t after, enum thing thing)
{
	uint64_t at = s->world.now + after;
	s->queue = sim_more(s->queue, s->n_queue, &s->max_queue, sizeof(*s->queue));
	size_t i = s->n_queue++;
	for (; i > 0 && s->queue[i - 1].at <= at; i--) /* most come soon: few are moved */
		s->queue[i] = s->queue[i - 1];
	s->queue[i] = (struct happening){ .at = at, .thing = thing, .life = s->daemon != NULL ? s->daemon->life : 0 };
	return &s->queue[i];
}

void sim_say(struct sim *s, const char *format, ...)
{
	if (s->options.transcript == NULL)
		return;
	va_list args;
	(void)fprintf(s->options.transcript, "    [%7.1fs] --- ", (double)s->world.now / 1000);
	va_start(args, format);
	(void)vfprintf(s->options.transcript, format, args);
	va_end(args);
	(void)fputc('\n', s->options.transcript);
}

/* ---- the engine's ops ---- */

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	const struct daemon *d = arg;
	*boot_ms = d->sim->world.now;
	*wall_ms = (int64_t)d->sim->world.now + SIM_WALL + d->sim->wall_step_ms;
}

/* An outcome has its intent, and only one; a daemon that begins has an epoch of its own. */
static void check_record(struct sim *s, const struct record *rec)
{
	bool intent = rec->kind != RECORD_ACTED || (rec->hash > 0 && rec->hash < s->n_journal && s->journal[rec->hash - 1].kind == RECORD_INTENT &&
		s->journal[rec->hash - 1].unit == rec->unit);
	for (size_t i = rec->hash; rec->kind == RECORD_ACTED && i + 1 < s->n_journal && intent; i++)
		intent = s->journal[i].kind != RECORD_ACTED || s->journal[i].hash != rec->hash;
	if (!intent)
		world_broken(&s->world, "I6: record %" PRIu64 " is the outcome of no intent that is open", rec->seq);
	uint32_t before = s->n_journal > 1 ? s->journal[s->n_journal - 2].epoch : 0;
	if (rec->epoch < before || (rec->kind == RECORD_EPOCH && rec->epoch == before))
		world_broken(&s->world, "I1: record %" PRIu64 " is of epoch %u, the one before of %u", rec->seq, rec->epoch, before);
}

/* A schema is moved only while every old node has the redirect that it needs, as far as a look of a moment ago can know. */
static void check_admit(struct sim *s, const struct record *rec)
{
	enum { KNOWN_MS = 16000 };
	const struct rollout *r = sim_rollout(s);
	if (s->world.plain != NULL || rec->kind != RECORD_ADMIT || r == NULL || rec->unit >= r->n_units || !rollout_stage(r, &r->units[rec->unit])->has_window)
		return;
	for (uint32_t n = 0; n < s->world.n_nodes; n++) {
		const struct world_node *node = &s->world.nodes[n];
		bool lost = !node->is_new && (node->rewritten & LINE_REDIRECT) != 0 && node->running && node->down_until < node->rewritten_at && !node->away;
		bool ours = false;
		for (uint32_t i = 0; i < r->n_units; i++)
			ours |= world_node(&s->world, r, r->units[i].row) == node && line_is_ours(r, i, 1);
		if (lost && ours && s->world.now > node->rewritten_at + KNOWN_MS)
			world_broken(&s->world, "I3: %s is taken up, and %s has lost its redirect", r->rows[r->units[rec->unit].row].name, node->name);
	}
}

/* What was so before us is looked at before we touch it, and never again: after a crash it would be what we made of it. */
static void check_captures(struct sim *s, const struct record *records, size_t n)
{
	const struct rollout *before = s->shadow;
	char name[300];
	for (size_t i = 0; before != NULL && i < n; i++) {
		const struct record *rec = &records[i];
		if (rec->kind == RECORD_CAPTURE && rec->unit < before->n_units && (before->units[rec->unit].touched & (1u << rec->step)) != 0)
			world_broken(&s->world, "I6: the baseline of %s is taken after its action", rollout_unit_name(before, rec->unit, name, sizeof(name)));
	}
}

/* The journal takes records of the newest epoch only: what a daemon that lost its place still writes is refused, and it ends. */
static void op_append(void *arg, const struct record *records, size_t n)
{
	struct daemon *d = arg;
	struct sim *s = d->sim;
	uint64_t after = records[0].kind == RECORD_PROCESS || (records[0].kind == RECORD_HOST && records[0].code == HOST_FIRST) ? 1 : 1 + sim_roll(s, 3);
	s->busy_at = s->world.now;
	if (d != s->daemon) {
		sim_later(s, after, THING_DURABLE)->life = d->life;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		s->journal = sim_more(s->journal, s->n_journal, &s->max_journal, sizeof(*s->journal));
		struct record *rec = &s->journal[s->n_journal++];
		*rec = records[i];
		rec->text = records[i].text != NULL ? strdup(records[i].text) : NULL;
		rec->actor = records[i].actor != NULL ? strdup(records[i].actor) : NULL;
		check_record(s, rec);
		check_admit(s, rec);
	}
	check_captures(s, records, n);
	s->batch_end = sim_more(s->batch_end, s->n_batches, &s->max_batches, sizeof(*s->batch_end));
	s->batch_end[s->n_batches++] = s->n_journal;
	if (++s->n_made > 1u << 16)
		world_broken(&s->world, "no end: %u batches", s->n_made);
	(void)sim_later(s, after, THING_DURABLE);
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	struct daemon *d = arg;
	struct sim *s = d->sim;
	if (d == s->daemon)
		s->tick_at = boot_ms;
	if (boot_ms != 0)
		sim_later(s, boot_ms > s->world.now ? boot_ms - s->world.now : 0, THING_TICK)->life = d->life;
}

static void transcript(struct sim *s, const struct rollout *r, const struct record *rec)
{
	char unit[300];
	FILE *out = s->options.transcript;
	if (out == NULL || rec->kind == RECORD_ROW || (rec->kind == RECORD_HOST && rec->code == HOST_FIRST) || rec->kind == RECORD_START || (rec->kind == RECORD_PROCESS && rec->seq < 100))
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
	struct daemon *d = arg;
	struct sim *s = d->sim;
	if (d->ask != NULL)
		ask_applied(d->ask, r, rec);
	if (r != NULL && rec->kind == RECORD_STEP && d == s->daemon)
		s->line_is_new |= line_is_ours(r, rec->unit, rec->step);
	if (r != NULL && s->watching && arg == s->daemon)
		transcript(s, r, rec);
}

static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = site_perform, .wake = op_wake, .applied = op_applied };

/* ---- life ---- */

static struct daemon *daemon_new(struct sim *s)
{
	struct daemon *d = calloc(1, sizeof(*d));
	if (d == NULL)
		abort();
	*d = (struct daemon){ .sim = s, .life = ++s->life };
	d->engine = engine_new(&ops, d);
	d->ask = s->options.ask ? ask_new(s, d->engine) : NULL;
	s->up_since = s->world.now;
	s->lines_at = 0;
	memset(s->seen_wanted, 0, sizeof(s->seen_wanted));
	return d;
}

static void daemon_free(struct daemon *d)
{
	if (d == NULL)
		return;
	ask_free(d->ask);
	engine_free(d->engine);
	free(d);
}

struct sim *sim_new(const struct sim_options *options)
{
	struct sim *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->options = *options;
	if (options->troubles != NULL)
		s->troubles = *options->troubles;
	s->random = options->seed * 2862933555777941757u + 3037000493u;
	if (options->profile != NULL)
		s->world.plain = plain_new(&s->world, options);
	else
		world_init(&s->world, options->nodes, options->schemata, options->seed);
	s->world.now = 1000;
	s->watching = true;
	sim_later(s, 500, THING_WATCH);
	for (uint32_t i = 0; i < s->troubles.n; i++)
		if (trouble_when(s->troubles.list[i].kind) == AT_TIME)
			sim_later(s, s->troubles.list[i].at, THING_TROUBLE)->which = i;
	if (options->person)
		sim_later(s, 5000, THING_PERSON);
	s->daemon = daemon_new(s);
	return s;
}

void sim_free(struct sim *s)
{
	daemon_free(s->daemon);
	daemon_free(s->zombie);
	rollout_free(s->shadow);
	world_done(&s->world);
	for (size_t i = 0; i < s->n_journal; i++) {
		free((void *)(uintptr_t)s->journal[i].text);
		free((void *)(uintptr_t)s->journal[i].actor);
	}
	free(s->journal);
	free(s->batch_end);
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
	return s->daemon != NULL ? engine_rollout(s->daemon->engine) : NULL;
}

const struct troubles *sim_troubles(const struct sim *s)
{
	return &s->troubles;
}

uint32_t sim_batches(const struct sim *s)
{
	return s->n_made;
}

uint32_t sim_actions(const struct sim *s)
{
	return s->n_actions;
}

uint32_t sim_questions(const struct sim *s)
{
	return s->n_questions;
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

/* What was handed over and not yet on disk is lost. */
static void journal_lose(struct sim *s)
{
	journal_cut(s, s->n_durable);
	s->n_batches = s->n_acked;
}

/* What a balancer forgot stays so while nobody is there to put it back. */
static void forgotten(struct sim *s, uint64_t from, uint64_t until)
{
	for (uint32_t b = 0; b < s->world.n_balancers; b++)
		for (int p = 0; p < WORLD_PROCESSES; p++)
			if (s->world.forgot_until[b][p] >= from)
				s->world.forgot_until[b][p] = until;
}

void sim_crash(struct sim *s)
{
	sim_say(s, "the daemon is killed");
	forgotten(s, s->world.now, UINT64_MAX);
	daemon_free(s->daemon);
	s->daemon = NULL;
	journal_lose(s);
}

static void fold(struct sim *s, struct daemon *d)
{
	struct fail fail;
	bool watching = s->watching;
	s->watching = false;
	for (size_t i = 0; i < s->n_durable; i++)
		if (engine_fold(d->engine, &s->journal[i], &fail) != 0)
			world_broken(&s->world, "fold: %s", fail.text);
	s->watching = watching;
}

void sim_restart(struct sim *s)
{
	if (s->daemon != NULL)
		return;
	s->daemon = daemon_new(s);
	forgotten(s, UINT64_MAX, s->world.now + 15000);
	if (s->zombie == NULL)
		world_seen(&s->world, -1); /* what was done until now is to be found */
	fold(s, s->daemon);
	engine_recovered(s->daemon->engine);
	if (s->n_durable == 0)
		sim_start(s, NULL, NULL, s->options.keep_on); /* it was never acknowledged: the person says it again */
}

/* The first goes on as if nothing had happened, until the journal refuses what it writes. */
void sim_takeover(struct sim *s)
{
	if (s->daemon == NULL || s->zombie != NULL || s->n_durable == 0)
		return;
	sim_say(s, "a second daemon takes over");
	s->zombie = s->daemon;
	s->daemon = NULL;
	journal_lose(s);
	sim_restart(s);
}

/* The fold of what is on disk, kept going record by record; judged whenever the live state is not ahead of the disk. */
static void check_fold(struct sim *s)
{
	const char *what;
	struct rollout *live = sim_rollout(s);
	if (s->shadow == NULL)
		s->shadow = rollout_new(live->profile, live->id);
	s->shadow->profile = live->profile;
	for (; s->n_shadow < s->n_durable; s->n_shadow++)
		if (rollout_apply(s->shadow, &s->journal[s->n_shadow]) != 0)
			world_broken(&s->world, "I7: record %zu cannot be folded", s->n_shadow + 1);
	if (s->n_durable == s->n_journal && !rollout_same(s->shadow, live, &what))
		world_broken(&s->world, "I7: the fold differs from the state in its %s", what);
}

/* ---- time ---- */

static void on_durable(struct sim *s, struct daemon *d)
{
	if (d == s->zombie) {
		sim_say(s, "the first daemon's records are refused; it ends");
		engine_durable(d->engine, -ESTALE);
		daemon_free(d);
		s->zombie = NULL;
		return;
	}
	uint32_t batch = s->n_made - (uint32_t)(s->n_batches - s->n_acked) + 1;
	const struct trouble *trouble = strike_due(s, AT_BATCH, batch);
	if (trouble == NULL) {
		s->n_durable = s->batch_end[s->n_acked++];
		check_fold(s);
		engine_durable(d->engine, 0);
		return;
	}
	if (trouble->kind == TROUBLE_CRASH_AFTER)
		s->n_durable = s->batch_end[s->n_acked++];
	sim_crash(s);
	sim_restart(s);
}

static void on_tick(struct sim *s, struct daemon *d, uint64_t at)
{
	struct event ev = { .kind = EVENT_TICK };
	if (d == s->zombie || (at >= s->tick_at && s->tick_at != 0))
		engine_event(d->engine, &ev);
}

static void on_watch(struct sim *s)
{
	site_watch(s);
	/* Where nothing is decided any more, looking more seldom finds the same. */
	sim_later(s, s->world.now - s->busy_at < 40000 ? 500 : 5000, THING_WATCH)->life = 0;
}

static struct daemon *daemon_of(struct sim *s, uint32_t life)
{
	if (s->daemon != NULL && s->daemon->life == life)
		return s->daemon;
	return s->zombie != NULL && s->zombie->life == life ? s->zombie : NULL;
}

static void step(struct sim *s)
{
	struct happening h = s->queue[--s->n_queue];
	s->world.now = h.at;
	struct daemon *d = daemon_of(s, h.life);
	if (h.life != 0 && d == NULL)
		return; /* nobody waits for it any more */
	switch (h.thing) {
	case THING_DURABLE:
		on_durable(s, d);
		break;
	case THING_ACT_END:
		site_act(s, d, &h);
		break;
	case THING_ANSWER:
		site_answer(s, d, &h);
		break;
	case THING_GHOST:
	case THING_SLOW:
		site_ghost(s, &h, h.thing == THING_SLOW);
		break;
	case THING_FACTS:
		if (d == s->daemon)
			site_watch(s);
		break;
	case THING_TICK:
		on_tick(s, d, h.at);
		break;
	case THING_WATCH:
		on_watch(s);
		break;
	case THING_TROUBLE:
		strike_time(s, h.which);
		break;
	case THING_PERSON:
		strike_person(s);
		sim_later(s, 30000, THING_PERSON)->life = 0;
		break;
	case THING_BACK:
		strike_back(s, h.which);
		break;
	case THING_RESTART:
		sim_restart(s);
		break;
	}
	world_check(&s->world, sim_rollout(s));
	if (s->daemon != NULL && s->daemon->ask != NULL)
		ask_now(s->daemon->ask);
}

void sim_run_until(struct sim *s, uint64_t ms)
{
	while (s->n_queue > 0 && s->world.broken[0] == '\0' && s->queue[s->n_queue - 1].at <= ms) {
		step(s);
		struct rollout *r = sim_rollout(s);
		if (r != NULL && rollout_is_over(r) && s->n_acked == s->n_batches)
			return;
	}
	if (s->world.now < ms && s->world.broken[0] == '\0')
		s->world.now = ms;
}

void sim_run(struct sim *s)
{
	sim_run_until(s, s->options.limit_ms != 0 ? s->options.limit_ms : 4 * 3600 * 1000);
	judge_end(s);
}

void sim_set_clock(struct sim *s, int64_t by_ms)
{
	s->wall_step_ms += by_ms;
}

void sim_fate(struct sim *s, const char *name, enum trouble_kind kind, unsigned times)
{
	(void)snprintf(s->fate_step, sizeof(s->fate_step), "%s", name);
	s->fate = kind;
	s->fate_times = times;
}

/* ---- persons ---- */

static void on_answered(void *arg, int refused, const char *answer)
{
	struct sim *s = arg;
	(void)snprintf(s->answer, sizeof(s->answer), "%s%s", refused ? "refused: " : "", answer);
}

void sim_command(struct sim *s, enum command_verb verb, const char *unit)
{
	char sign[16];
	struct event ev = { .kind = EVENT_COMMAND, .verb = verb, .actor = "somebody", .unit = RECORD_NO_UNIT };
	struct rollout *r = sim_rollout(s);
	if (r == NULL)
		return;
	(void)snprintf(sign, sizeof(sign), "#%u", s->asked_by);
	ev.reason = s->asked_by != 0 ? sign : NULL;
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
	if (verb == COMMAND_RESUME && r->paused_now)
		world_seen(&s->world, -1);
	if (verb == COMMAND_RETRY && ev.unit < r->n_units && r->units[ev.unit].state != UNIT_RUNNING && world_schema(&s->world, r, r->units[ev.unit].row) != NULL)
		world_seen(&s->world, (int32_t)r->rows[r->units[ev.unit].row].rank);
	if (verb == COMMAND_RETRY && ev.unit < r->n_units && s->world.plain != NULL)
		plain_retry(&s->world, r, ev.unit);
	s->answer[0] = '\0';
	engine_command(s->daemon->engine, &ev, NULL, on_answered, s);
}

const char *sim_answer(struct sim *s)
{
	for (unsigned i = 0; s->answer[0] == '\0' && i < 100 && s->n_queue > 0; i++)
		step(s);
	return s->answer;
}

/* The params and rows of an OX site. */
static size_t ox_rows(const struct sim *s, struct engine_row *rows, char (*columns)[96])
{
	size_t n = 0;
	uint32_t tenants = s->troubles.n > 0 ? 100 : 0; /* room for those that somebody makes meanwhile */
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
	return n;
}

void sim_start(struct sim *s, const char *until, const char *const *skip, bool on_failure_continue)
{
	static const char *const params[] = { "from", "7.10.5", "to", "7.10.6", "package", "7.10.6-44", "new_fleet", "oxserver-7106", "redirect",
		"https://wwwxyz.example.com", "soak", "10s", "settle", "10s", NULL };
	struct engine_row rows[WORLD_NODES + WORLD_SCHEMATA];
	char columns[WORLD_NODES + WORLD_SCHEMATA][96];
	bool is_ox = s->world.plain == NULL;
	size_t n = is_ox ? ox_rows(s, rows, columns) : plain_rows(&s->world, rows, columns, WORLD_NODES + WORLD_SCHEMATA);
	struct engine_start start = { .text = s->options.profile_text, .params = is_ox ? params : s->options.params, .rows = rows, .n_rows = n, .until = until, .skip = skip,
		.flags = (s->options.approve ? START_APPROVE_ALL : 0u) | (on_failure_continue ? START_CONTINUE : 0u), .actor = "somebody" };
	struct fail fail = { 0 };
	if (engine_start(s->daemon->engine, &start, on_answered, s, &fail) != 0)
		world_broken(&s->world, "start: %s", fail.text);
}
