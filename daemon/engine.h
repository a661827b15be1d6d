/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bridge between decide() and the world: takes events, makes what was decided durable, and only then lets effects and answers out, in
 * order. Knows no event loop, file or socket: it sees a clock, a journal and an executor. The simulator puts fakes there.
 */

#include "daemon/core/decide.h"
#include "daemon/requests.h"
#include "proto/fail.h"

struct engine;

struct engine_ops {
	void (*now)(void *arg, uint64_t *boot_ms, int64_t *wall_ms);
	/* Queues one batch; engine_durable() must be called once for each, in order, later: never from inside. Texts are borrowed. */
	void (*append)(void *arg, const struct record *records, size_t n);
	void (*perform)(void *arg, struct rollout *rollout, const struct effect *effect);
	void (*wake)(void *arg, uint64_t boot_ms); /* an EVENT_TICK is wanted then; replaces the last wish; 0: none */
	void (*render)(void *arg, const struct rollout *rollout, struct record *intent); /* may be NULL */
	void (*applied)(void *arg, const struct rollout *rollout, const struct record *record); /* live or folded; may be NULL */
};

struct engine *engine_new(const struct engine_ops *ops, void *arg);
void engine_free(struct engine *engine);

/* One record of the journal at start, in order. */
must_check int engine_fold(struct engine *engine, const struct record *record, struct fail *fail);
/* After the last one: a new epoch is written, and what was under way goes on. */
void engine_recovered(struct engine *engine);

/* The rollout at hand or the last one; NULL: there was none. Facts may be written, then EVENT_FACTS posted. */
struct rollout *engine_rollout(struct engine *engine);
const struct profile *engine_profile(const struct engine *engine);
uint64_t engine_seq(const struct engine *engine);
bool engine_is_durable(const struct engine *engine); /* everything decided so far is on the disk */

/* Time is put in. Never call from inside an op: post it to the loop. */
void engine_event(struct engine *engine, struct event *event);

/* refused: 0 done, 1 refused, <0 not durable. Called when durable; answer is borrowed. */
typedef void engine_answer_fn(void *arg, int refused, const char *answer);
void engine_command(struct engine *engine, struct event *event, const struct request *request, engine_answer_fn *fn, void *arg); /* NULL: no name */
/* Nothing is decided, but it is said only when all that was decided before is on disk. */
void engine_tell(struct engine *engine, const char *answer, engine_answer_fn *fn, void *arg);

struct engine_row {
	uint8_t set;
	const char *columns; /* "key=value\n" lines, with name first */
	uint32_t weight, capacity;
	uint16_t host;
	uint8_t class_;
	bool aside;
};

struct engine_start {
	const char *text;           /* the profile, canonical */
	const char *const *params;  /* KEY, VALUE ..., NULL */
	const struct engine_row *rows;
	size_t n_rows;
	unsigned flags;             /* enum start_flag */
	const char *until;          /* a stage or unit; NULL */
	int64_t back_by_ms;         /* wall; 0: none */
	const char *const *only;    /* rows by name; NULL-terminated; NULL: all */
	const char *const *skip;    /* rows by name */
	const char *actor, *reason;
	struct request request;
};

/* Refused (1) with a sentence while another one runs; -errno if the profile cannot be parsed. fn as above. */
must_check int engine_start(struct engine *engine, const struct engine_start *start, engine_answer_fn *fn, void *arg, struct fail *fail);

/* The batch appended first of those not yet answered is on disk (error 0), or never will be. */
void engine_durable(struct engine *engine, int error);

/* What is carried out is to be asked before a command or start: neither looks again. */
enum request_is engine_request(const struct engine *engine, const struct request *request, const struct request_kept **kept);

/* Params as they were frozen: value or NULL. */
const char *engine_param(const struct engine *engine, const char *name);
