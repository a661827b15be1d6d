/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside the simulator: the queue of what will happen, the journal, and up to two daemons over it. */

#include "sim.h"

enum { WALL_MS = 1700000000 };
#define SIM_WALL ((int64_t)WALL_MS * 1000)

enum thing { THING_DURABLE, THING_ACT_END, THING_ANSWER, THING_FACTS, THING_TICK, THING_WATCH, THING_TROUBLE, THING_PERSON, THING_GHOST, THING_SLOW,
	THING_RESTART, THING_BACK };

struct happening {
	uint64_t at;
	enum thing thing;
	uint32_t life;         /* of the daemon that waits for it; 0: the world's own */
	uint32_t which;        /* TROUBLE: index */
	bool counted;          /* ACT_END: it waited for its node and is no new action */
	struct effect effect;
	struct event event;
};

/* What upgd-run knows: survives the daemon. */
struct task {
	uint64_t seq;          /* its name */
	uint64_t began, ends_at;
	uint32_t reboots;      /* of its host when it began */
	enum result result;
	uint16_t cause;        /* the trouble that was its fate; 0: none */
};

struct daemon {
	struct sim *sim;
	struct engine *engine;
	struct ask *ask;       /* NULL: nobody asks */
	uint32_t life;
	uint32_t told[WORLD_HOSTS]; /* which database server, and of which beginning */
};

struct sim {
	struct sim_options options;
	struct troubles troubles;
	struct world world;
	struct daemon *daemon;  /* NULL: dead */
	struct daemon *zombie;  /* thinks that it is the one; NULL: none */
	uint64_t random;
	uint32_t life;
	struct happening *queue; /* what comes next is the last */
	size_t n_queue, max_queue;
	struct record *journal; /* texts owned */
	size_t n_journal, max_journal, n_durable; /* in records */
	size_t *batch_end;
	size_t n_batches, max_batches, n_acked;
	uint32_t n_made;        /* batches ever */
	uint32_t n_actions, n_questions;
	struct task *tasks;
	size_t n_tasks, max_tasks;
	char answer[320];
	uint16_t asked_by;      /* the trouble that speaks as a person; 0: the one who deals with them */
	bool watching;
	uint64_t tick_at, busy_at; /* busy_at: something was decided last */
	uint64_t up_since;
	uint32_t n_visits;      /* of the person */
	uint64_t lines_at;      /* the lines of files were read last, by this life */
	bool line_is_new;       /* and one has come into custody since */
	uint64_t line_off_since[WORLD_NODES]; /* one differs, and nobody says so; 0: none */
	int64_t wall_step_ms;   /* somebody set the clock */
	uint32_t seen_wanted[WORLD_BALANCERS][WORLD_PROCESSES][WORLD_NODES]; /* the daemon's memory: pid that was last seen as wanted; 0: none */
	char fate_step[64];     /* a scenario's word on the next actions of that name */
	enum trouble_kind fate;
	unsigned fate_times;
	struct rollout *shadow; /* the fold so far: made by rollout_apply() alone */
	size_t n_shadow;
};

uint32_t sim_roll(struct sim *s, uint32_t n);
struct happening *sim_later(struct sim *s, uint64_t after, enum thing thing); /* of the daemon that lives, else of the world */
void *sim_more(void *array, size_t n, size_t *max, size_t size);
void sim_say(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3))); /* a line of the transcript */
void sim_takeover(struct sim *s);

/* site.c: what the daemon's hands and eyes meet */
void site_perform(void *arg, struct rollout *r, const struct effect *e);
void site_act(struct sim *s, struct daemon *d, const struct happening *h);
void site_ghost(struct sim *s, const struct happening *h, bool answer);
void site_answer(struct sim *s, struct daemon *d, const struct happening *h);
void site_watch(struct sim *s);

/* databases.c: the servers that upgd looks at itself */
void databases_look(struct sim *s, struct daemon *d);
void databases_strike(struct sim *s, enum trouble_kind kind, uint32_t a, uint32_t b, uint16_t cause);
/* What an action needs is not there to be written to, or went away since (0: now only); NULL: it is. */
const struct world_host *databases_refuse(const struct sim *s, const struct rollout *r, const struct unit *u, const struct action *act, uint64_t since);
bool databases_answer(const struct sim *s, const struct rollout *r, const struct unit *u, const struct probe *probe, unsigned *cause);

/* strike.c: troubles, and the person who deals with them */
void strike_time(struct sim *s, uint32_t which);
/* The trouble that waits for this ordinal, now fired; NULL: none. */
struct trouble *strike_due(struct sim *s, enum trouble_when when, uint32_t ordinal);
void strike_person(struct sim *s);
/* A person enables the tenants of an open window by hand, when this action of it is sent. True: the daemon died before it arrived. */
bool strike_window(struct sim *s, const struct rollout *r, const struct effect *e);
void strike_back(struct sim *s, uint32_t node); /* a host that was dead for long is up again */

/* judge.c */
void judge_end(struct sim *s);
