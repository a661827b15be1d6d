/* SPDX-License-Identifier: MIT */
/*
 * Order is everything here. decide() changes the state at once, so that the next event meets it; but what leaves (effects, answers) waits
 * in line until its batch is on disk. If the journal fails, nothing of the line leaves any more: the daemon ends and folds anew.
 */
#include "engine.h"

#include "failpoint.h"
#include "profile_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What waits for one batch; batches without records wait for the one before. */
struct pending {
	struct pending *next;
	struct effect *effects; /* owned */
	size_t n_effects;
	bool appended;          /* has records of its own */
	engine_answer_fn *fn;
	void *arg;
	int refused;
	char answer[320];
};

struct engine {
	struct engine_ops ops;
	void *arg;
	struct profile *profile; /* owned */
	struct rollout *rollout; /* owned */
	struct out out;
	struct pending *first, **last;
	uint64_t seq;
	uint32_t epoch, n_rollouts;
	struct requests requests;
	bool failed;
};

static void render(void *arg, const struct rollout *r, struct record *intent)
{
	struct engine *e = arg;
	if (e->ops.render != NULL)
		e->ops.render(e->arg, r, intent);
}

struct engine *engine_new(const struct engine_ops *ops, void *arg)
{
	struct engine *e = calloc(1, sizeof(*e));
	if (e == NULL)
		abort();
	e->ops = *ops;
	e->arg = arg;
	e->last = &e->first;
	e->out.render = render;
	e->out.render_arg = e;
	return e;
}

static void pending_free(struct pending *p)
{
	free(p->effects);
	free(p);
}

void engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	while (e->first != NULL) {
		struct pending *p = e->first;
		e->first = p->next;
		pending_free(p);
	}
	requests_done(&e->requests);
	rollout_free(e->rollout);
	profile_free(e->profile);
	out_done(&e->out);
	free(e);
}

struct rollout *engine_rollout(struct engine *e)
{
	return e->rollout;
}

const struct profile *engine_profile(const struct engine *e)
{
	return e->profile;
}

uint64_t engine_seq(const struct engine *e)
{
	return e->seq;
}

bool engine_is_durable(const struct engine *e)
{
	return e->first == NULL && !e->failed;
}

const char *engine_param(const struct engine *e, const char *name)
{
	for (size_t i = 0; e->profile != NULL && i < e->profile->n_params; i++)
		if (strcmp(e->profile->params[i].name, name) == 0)
			return e->profile->params[i].value;
	return NULL;
}

enum request_is engine_request(const struct engine *e, const struct request *request, const struct request_kept **kept)
{
	return requests_find(&e->requests, request, kept);
}

/* ---- start of a rollout: the profile comes from the record's own text, live as in replay ---- */

/* "key=value\n...\n\nprofile text": what START holds. */
static char *start_text(const struct engine_start *start)
{
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	if (stream == NULL)
		abort();
	for (size_t i = 0; start->params != NULL && start->params[i] != NULL; i += 2)
		(void)fprintf(stream, "%s=%s\n", start->params[i], start->params[i + 1]);
	(void)fprintf(stream, "\n%s", start->text);
	(void)fclose(stream);
	return text;
}

static struct profile *start_profile(const char *text, struct fail *fail)
{
	const char *pairs[2 * 64 + 1];
	size_t n = 0;
	char *copy = strdup(text);
	if (copy == NULL)
		abort();
	char *at = copy;
	while (*at != '\0' && *at != '\n' && n < 128) {
		char *end = strchr(at, '\n');
		char *equals = strchr(at, '=');
		if (end == NULL || equals == NULL || equals > end)
			break;
		*end = *equals = '\0';
		pairs[n++] = at;
		pairs[n++] = equals + 1;
		at = end + 1;
	}
	pairs[n] = NULL;
	struct conf_errors errors = { 0 };
	struct profile *profile = profile_of_journal(*at == '\n' ? at + 1 : at, pairs, &errors, fail);
	if (profile == NULL && errors.n > 0)
		(void)fail_set(fail, -EINVAL, "%s", errors.lines[0]);
	conf_errors_done(&errors);
	free(copy);
	return profile;
}

/* Numbers of a rollout that is gone. What was to be acknowledged is when the next one ends (strays.c); what was to be put back is seen again. */
static void effects_forget(struct engine *e)
{
	for (struct pending *p = e->first; p != NULL; p = p->next)
		p->n_effects = 0;
}

static int rollout_begin(struct engine *e, const struct record *start, struct fail *fail)
{
	struct profile *profile = start_profile(start->text != NULL ? start->text : "", fail);
	if (profile == NULL)
		return -EINVAL;
	effects_forget(e);
	rollout_free(e->rollout);
	profile_free(e->profile);
	e->profile = profile;
	e->rollout = rollout_new(profile, (uint32_t)start->value);
	e->rollout->epoch = e->epoch;
	e->n_rollouts = (uint32_t)start->value;
	return 0;
}

int engine_fold(struct engine *e, const struct record *rec, struct fail *fail)
{
	if (rec->kind == RECORD_START) {
		int rc = rollout_begin(e, rec, fail);
		if (rc != 0)
			return rc;
	}
	if (rec->kind == RECORD_REQUEST && rec->text != NULL)
		requests_note(&e->requests, &(struct request){ rec->text, rec->hash }, e->rollout != NULL ? e->rollout->id : 0);
	if (rec->epoch > e->epoch)
		e->epoch = rec->epoch;
	e->seq = rec->seq;
	if (e->rollout != NULL) {
		int rc = rollout_apply(e->rollout, rec);
		if (rc != 0)
			return fail_set(fail, rc, "record %llu (%s) does not fit what is before it: the journal is damaged; see upgd(8) JOURNAL",
				(unsigned long long)rec->seq, record_kind_word(rec->kind));
	}
	if (e->ops.applied != NULL)
		e->ops.applied(e->arg, e->rollout, rec);
	return 0;
}

/* ---- out ---- */

static void release(struct engine *e, struct pending *p)
{
	for (size_t i = 0; i < p->n_effects && e->rollout != NULL; i++)
		e->ops.perform(e->arg, e->rollout, &p->effects[i]);
	if (p->fn != NULL)
		p->fn(p->arg, p->refused, p->answer);
	pending_free(p);
}

void engine_durable(struct engine *e, int error)
{
	bool own = true; /* the first that has records is the one that is durable now; those behind it without records go along */
	if (error != 0)
		e->failed = true;
	while (e->first != NULL && !(e->first->appended && !own)) {
		struct pending *p = e->first;
		e->first = p->next;
		if (e->first == NULL)
			e->last = &e->first;
		if (p->appended)
			own = false;
		if (e->failed) {
			p->n_effects = 0;
			p->refused = error != 0 ? error : -EIO;
			(void)snprintf(p->answer, sizeof(p->answer), "the journal cannot be written: %s", strerror(-p->refused));
		}
		release(e, p);
	}
}

#ifdef UPGD_FAILPOINTS
/* "intent migrate/ox_5/disable"; "epoch" */
static void passing(const struct engine *e)
{
	const struct rollout *r = e->rollout;
	for (size_t i = 0; i < e->out.n_records; i++) {
		const struct record *rec = &e->out.records[i];
		char name[400], unit[300];
		if (rec->kind == RECORD_ROW || rec->unit >= r->n_units) {
			failpoint_record(rec->seq, record_kind_word(rec->kind));
			continue;
		}
		const struct stage *stage = rollout_stage(r, &r->units[rec->unit]);
		(void)snprintf(name, sizeof(name), "%s %s/%s", record_kind_word(rec->kind), rollout_unit_name(r, rec->unit, unit, sizeof(unit)),
			rec->step < stage->n_steps ? stage->steps[rec->step].name : "-");
		failpoint_record(rec->seq, name);
	}
}
#else
#define passing(e) ((void)0)
#endif

/* Sends off what decide() left in e->out. */
static void flush(struct engine *e, engine_answer_fn *fn, void *arg)
{
	struct out *out = &e->out;
	struct pending *p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	p->n_effects = out->n_effects;
	p->effects = malloc((out->n_effects + 1) * sizeof(struct effect));
	if (p->effects == NULL)
		abort();
	if (out->n_effects > 0)
		memcpy(p->effects, out->effects, out->n_effects * sizeof(struct effect));
	p->appended = out->n_records > 0;
	p->fn = fn;
	p->arg = arg;
	p->refused = out->refused;
	(void)snprintf(p->answer, sizeof(p->answer), "%s", out->answer);
	bool idle = e->first == NULL;
	*e->last = p;
	e->last = &p->next;
	for (size_t i = 0; i < out->n_records; i++) {
		e->seq = out->records[i].seq;
		if (e->ops.applied != NULL)
			e->ops.applied(e->arg, e->rollout, &out->records[i]);
	}
	passing(e);
	if (p->appended) {
		e->ops.append(e->arg, out->records, out->n_records);
	} else if (idle) {
		e->first = NULL;
		e->last = &e->first;
		release(e, p);
	}
}

static void stamp(struct engine *e, struct event *ev)
{
	e->ops.now(e->arg, &ev->boot_ms, &ev->wall_ms);
}

/* Only what was decided knows when the next look is due: an answer alone must leave that wish as it is. */
static void turn(struct engine *e, const struct event *ev)
{
	decide(e->rollout, ev, &e->out);
	e->ops.wake(e->arg, e->out.wake_at);
}

void engine_event(struct engine *e, struct event *ev)
{
	if (e->rollout == NULL || e->failed)
		return;
	stamp(e, ev);
	out_reset(&e->out);
	turn(e, ev);
	flush(e, NULL, NULL);
}

static void request_record(struct engine *e, const struct request *request, const char *actor)
{
	if (request == NULL || request->id == NULL)
		return;
	struct record *rec = out_record(e->rollout, &e->out, RECORD_REQUEST, RECORD_NO_UNIT);
	rec->text = out_text(&e->out, "%s", request->id);
	rec->hash = request->digest;
	rec->actor = actor != NULL ? out_text(&e->out, "%s", actor) : NULL;
	out_commit(e->rollout, &e->out, rec);
	requests_note(&e->requests, request, e->rollout->id);
}

static void refuse_failed(struct engine *e)
{
	e->out.refused = -EIO;
	(void)snprintf(e->out.answer, sizeof(e->out.answer), "the journal cannot be written; upgd is ending");
}

void engine_command(struct engine *e, struct event *ev, const struct request *request, engine_answer_fn *fn, void *arg)
{
	stamp(e, ev);
	out_reset(&e->out);
	if (e->failed) {
		refuse_failed(e);
	} else {
		turn(e, ev);
		if (e->out.refused == 0)
			request_record(e, request, ev->actor);
	}
	flush(e, fn, arg);
}

void engine_tell(struct engine *e, const char *answer, engine_answer_fn *fn, void *arg)
{
	out_reset(&e->out);
	(void)snprintf(e->out.answer, sizeof(e->out.answer), "%s", answer);
	if (e->failed)
		refuse_failed(e);
	flush(e, fn, arg);
}

void engine_recovered(struct engine *e)
{
	if (e->rollout == NULL)
		return;
	struct event ev = { .kind = EVENT_RECOVERED };
	stamp(e, &ev);
	out_reset(&e->out);
	e->rollout->now = ev.boot_ms;
	e->rollout->wall = ev.wall_ms;
	rollout_recovered(e->rollout);
	e->rollout->seq = e->seq;
	e->rollout->epoch = ++e->epoch;
	struct record *rec = out_record(e->rollout, &e->out, RECORD_EPOCH, RECORD_NO_UNIT);
	out_commit(e->rollout, &e->out, rec);
	turn(e, &ev);
	flush(e, NULL, NULL);
}

/* ---- start ---- */

static bool listed(const char *const *list, const char *name)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static void put(struct engine *e, struct record *rec)
{
	out_commit(e->rollout, &e->out, rec);
}

/* What the rollout before still holds in the balancers: a partial or aborted one left it in custody. */
struct held {
	char *balancer, *node;
	uint8_t state;
};

static struct held *held_take(const struct rollout *r, size_t *n)
{
	*n = 0;
	if (r == NULL || r->state == ROLLOUT_DONE || r->profile->set_node < 0)
		return NULL;
	struct held *held = calloc((size_t)r->n_rows * r->profile->n_balancers + 1, sizeof(*held));
	if (held == NULL)
		abort();
	for (uint32_t i = 0; i < r->n_rows; i++)
		for (size_t b = 0; b < r->profile->n_balancers && r->rows[i].set == r->profile->set_node; b++)
			if (r->wants[b] != NULL && r->wants[b][r->rows[i].rank].state != SERVER_UNKNOWN)
				held[(*n)++] = (struct held){ strdup(r->profile->balancers[b]), strdup(r->rows[i].name), r->wants[b][r->rows[i].rank].state };
	return held;
}

static void held_put(struct engine *e, struct held *held, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int balancer = profile_balancer(e->profile, held[i].balancer);
		uint32_t row = rollout_row(e->rollout, (uint8_t)e->profile->set_node, held[i].node);
		if (balancer >= 0 && row != ROLLOUT_NO_ROW) {
			struct record *rec = out_record(e->rollout, &e->out, RECORD_WANT, RECORD_NO_UNIT);
			rec->step = (uint16_t)balancer;
			rec->lane = (int32_t)row;
			rec->code = held[i].state;
			put(e, rec);
		}
		free(held[i].balancer);
		free(held[i].node);
	}
	free(held);
}

/* In maintenance, and by us: by the rollout before, which ended with this node half way. */
static bool ours(const struct held *held, size_t n, const char *columns)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(held[i].node);
		if (held[i].state != SERVER_READY && strncmp(columns, "name=", 5) == 0 && strncmp(columns + 5, held[i].node, len) == 0 && columns[5 + len] == '\n')
			return true;
	}
	return false;
}

static void put_rows(struct engine *e, const struct engine_start *start, const struct held *held, size_t n_held)
{
	struct rollout *r = e->rollout;
	struct record *rec = out_record(r, &e->out, RECORD_ROW, r->n_rows);
	rec->step = 0;
	rec->text = out_text(&e->out, "name=cluster\n");
	put(e, rec);
	for (size_t i = 0; i < start->n_rows; i++) {
		const struct engine_row *row = &start->rows[i];
		rec = out_record(r, &e->out, RECORD_ROW, r->n_rows);
		rec->step = row->set;
		rec->lane = row->host;
		rec->code = (uint16_t)(row->class_ | (row->aside && !ours(held, n_held, row->columns) ? 256 : 0));
		rec->value = row->weight;
		rec->hash = row->capacity;
		rec->text = out_text(&e->out, "%s", row->columns);
		put(e, rec);
	}
	put(e, out_record(r, &e->out, RECORD_PLANNED, RECORD_NO_UNIT));
}

/*
 * --only and --skip speak of the work proper: of units with a pivot. What must be so on every node (a redirect) is done on a skipped one
 * too. They become skipped units, said aloud in the journal; --until becomes a limit.
 */
static void put_choice(struct engine *e, const struct engine_start *start)
{
	struct rollout *r = e->rollout;
	bool speaks_of[8] = { false }; /* --only: the sets that its names are from */
	for (uint32_t i = 0; i < r->n_rows; i++)
		speaks_of[r->rows[i].set] |= r->rows[i].set != 0 && listed(start->only, r->rows[i].name);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct row *row = &r->rows[r->units[i].row];
		if (!rollout_stage(r, &r->units[i])->has_pivot)
			continue;
		bool wanted = !speaks_of[row->set] || listed(start->only, row->name);
		if ((!wanted || listed(start->skip, row->name)) && r->units[i].state == UNIT_WAITING)
			(void)unit_event(r, &e->out, i, UNIT_EV_SKIP, start->actor, wanted ? "--skip" : "--only");
	}
	if (start->until == NULL)
		return;
	uint32_t unit = rollout_unit(r, start->until);
	int stage = profile_stage(e->profile, start->until);
	struct record *rec = out_record(r, &e->out, RECORD_LIMIT, RECORD_NO_UNIT);
	rec->code = unit != RECORD_NO_UNIT ? LIMIT_UNTIL_UNIT : LIMIT_UNTIL_STAGE;
	rec->value = unit != RECORD_NO_UNIT ? (int64_t)unit : stage;
	rec->actor = start->actor;
	put(e, rec);
}

int engine_start(struct engine *e, const struct engine_start *start, engine_answer_fn *fn, void *arg, struct fail *fail)
{
	if (e->rollout != NULL && !rollout_is_over(e->rollout))
		return fail_set(fail, 1, "rollout %u is %s; watch it, or abort %u first", e->rollout->id,
			rollout_state_word(e->rollout->state), e->rollout->id);
	if (e->failed)
		return fail_set(fail, -EIO, "the journal cannot be written; upgd is ending");
	for (size_t i = 0; start->params != NULL && start->params[i] != NULL; i++)
		if (strchr(start->params[i], '\n') != NULL)
			return fail_set(fail, -EINVAL, "parameter %s: one line of text, please", start->params[i & ~(size_t)1]);
	if (e->epoch == 0)
		e->epoch = 1;
	out_reset(&e->out);
	char *text = start_text(start);
	struct record first = { .kind = RECORD_START, .value = e->n_rollouts + 1, .text = text };
	size_t n_held;
	struct held *held = held_take(e->rollout, &n_held);
	int rc = rollout_begin(e, &first, fail);
	if (rc != 0) {
		for (size_t i = 0; i < n_held; i++) {
			free(held[i].balancer);
			free(held[i].node);
		}
		free(held);
		free(text);
		return rc;
	}
	struct event ev = { .kind = EVENT_TICK };
	stamp(e, &ev);
	e->rollout->now = ev.boot_ms;
	e->rollout->wall = ev.wall_ms;
	e->rollout->seq = e->seq;
	struct record *rec = out_record(e->rollout, &e->out, RECORD_START, RECORD_NO_UNIT);
	rec->value = e->rollout->id;
	rec->code = (uint16_t)start->flags;
	rec->hash = (uint64_t)start->back_by_ms;
	rec->actor = start->actor != NULL ? out_text(&e->out, "%s", start->actor) : NULL;
	rec->text = out_text(&e->out, "%s", text);
	free(text);
	put(e, rec);
	put_rows(e, start, held, n_held);
	held_put(e, held, n_held);
	put_choice(e, start);
	if (start->reason != NULL) {
		rec = out_record(e->rollout, &e->out, RECORD_NOTE, RECORD_NO_UNIT);
		rec->actor = start->actor;
		rec->text = out_text(&e->out, "%s", start->reason);
		put(e, rec);
	}
	request_record(e, &start->request, start->actor);
	rollout_recovered(e->rollout);
	(void)out_effect(&e->out, EFFECT_OBSERVE, RECORD_NO_UNIT);
	turn(e, &ev);
	(void)snprintf(e->out.answer, sizeof(e->out.answer), "rollout %u started: %u units", e->rollout->id, e->rollout->n_units);
	flush(e, fn, arg);
	return 0;
}
