/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One effect under way. A flight ends with flight_answer(), which tells the engine and frees it; or it is cancelled (flight_free), and nobody
 * is told.
 */

#include "captures.h"
#include "executor.h"
#include "probe.h"

struct strays;
struct site;
struct watch;
struct hosts;
struct lines;
struct flight;

struct executor {
	struct loop *loop;
	struct site *site;
	struct engine *engine;   /* borrowed */
	struct watch *watch;
	struct strays *strays;
	struct hosts *hosts;
	struct lines *lines;
	struct flight *flights;  /* all that is under way */
	struct captures captures;
	struct orphans *orphans; /* of orphans.c: what the last looks saw */
	char **rendered;         /* owned, until the loop turns */
	size_t n_rendered, max_rendered;
	struct loop_timer *tidy; /* frees them */
};

struct flight {
	struct executor *x;
	struct effect effect;
	struct flight *next, **link;
	struct loop_timer *timer;       /* of the part that carries it out */
	void (*cancel)(struct flight *flight); /* ends what is open; frees work. NULL: nothing is */
	void *work;                     /* of the part that carries it out */
	const char *(*trouble)(struct flight *flight, char *buf, size_t size); /* what is wrong with the waiting, while work is its own; NULL: nothing ever is */
	const char *(*doing)(struct flight *flight, char *buf, size_t size); /* how far it is, likewise; NULL: nobody can tell */
	struct failure *failure;        /* owned: its answer, until the databases were looked at */
	char *output;                   /* owned: the end of what its program printed, which failed; NULL: nothing */
	uint8_t causes;                 /* rows of on_failure that fit what it printed */
};

/* In the executor's list, with nothing under way yet. */
struct flight *flight_new(struct executor *executor, const struct effect *effect);
/* Runs its cancel. */
void flight_free(struct flight *flight);

struct rollout *flight_rollout(const struct flight *flight);
const struct step *flight_step(const struct flight *flight);
const struct action *flight_action(const struct flight *flight);
/* What templates of this flight are bound with. */
struct bind flight_bind(const struct flight *flight);
void flight_bind_init(const struct executor *executor, const struct rollout *r, uint32_t unit, int32_t lane, struct bind *bind);

/* All that is known of what its program printed, before flight_answer() tells that it failed. */
void flight_printed(struct flight *flight, const char *out, size_t len);
/* From the loop only. Runs the flight's cancel first, so that work is freed in one place. */
void flight_answer(struct flight *flight, enum result result, int64_t value, const char *text);
/* The same, from inside executor_perform(): the loop turns first. */
void flight_answer_later(struct flight *flight, enum result result, const char *text);
