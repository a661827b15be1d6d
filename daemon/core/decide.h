/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * decide(): all rules of a rollout. Pure: no I/O, no clock; time and facts come with the event. It appends records (each is applied at
 * once, so that the next rule sees it) and effects. The caller makes the records durable as one batch and only then lets the effects
 * out. Effects are requests: the answer comes back as an event that names unit, step, lane and attempt, and a late one is ignored.
 *
 *   event -> what it means for one unit or the rollout (decide.c, command.c)
 *         -> pump: units under way go on (advance.c), new ones start (admit.c), the rollout ends (outcome.c), until nothing moves
 */

#include "rollout.h"

enum event_kind {
	EVENT_TICK,      /* time has passed */
	EVENT_RECOVERED, /* after a restart: the journal is folded, nothing is known of the world yet */
	EVENT_FACTS,     /* facts of a set or balancer were replaced (facts_* fields are already new) */
	EVENT_GATE,      /* answer to EFFECT_GATE */
	EVENT_ASKED,     /* answer to EFFECT_ASK: OK = done already, or nothing to undo */
	EVENT_CAPTURED,  /* answer to EFFECT_CAPTURE: text is the captures as JSON */
	EVENT_ACTED,     /* answer to EFFECT_ACT */
	EVENT_VERIFIED,  /* answer to EFFECT_VERIFY */
	EVENT_POLLED,    /* EFFECT_VERIFY goes on: what does not hold yet */
	EVENT_ORPHANS,   /* answer to EFFECT_ORPHANS: OK = none, FAILED = text names those that run; and to EFFECT_KILL */
	EVENT_SERVER,    /* a process shows a server otherwise than we want it: row, balancer, value = its state, lane = process */
	EVENT_PROCESS,   /* a process of a balancer is another one than the last that was seen: lane, seq = pid, value = its start */
	EVENT_NEW_ROW,   /* a row that the plan does not know (text: columns) */
	EVENT_COMMAND,   /* a person */
	EVENT_LOW,       /* value: the journal's disk is low (1) or not (0) */
	EVENT_STOP,      /* the daemon is asked to end */
	EVENT_HOST,      /* a database server answered: host (or 0 and row: the database), text = which one it is, value = boot ms when it began */
	EVENT_LINE,      /* a line that a step set was read: value 1 = it is so, 0 = text says what is there */
	EVENT_RECHECKED, /* answer to EFFECT_RECHECK; value = the step whose verify does not hold */
	EVENT_STALLED,   /* EFFECT_ACT goes on: value = boot ms since when it gets no further, as text says; 0: it does again */
	EVENT_KINDS
};

enum command_verb { COMMAND_PAUSE, COMMAND_PAUSE_NOW, COMMAND_RESUME, COMMAND_APPROVE, COMMAND_SKIP, COMMAND_PARK, COMMAND_RETRY,
	COMMAND_ABORT, COMMAND_FENCE, COMMAND_VERBS };

struct event {
	enum event_kind kind;
	uint64_t boot_ms;    /* now */
	int64_t wall_ms;     /* now, for people */
	uint32_t unit;
	uint16_t step;
	int32_t lane;
	uint8_t dir, attempt;
	uint8_t balancer;    /* SERVER */
	uint64_t seq;        /* ACTED: of the intent, as the effect had it; PROCESS: pid; SERVER: sessions there since the process began */
	uint32_t row;        /* SERVER; NEW_ROW: set */
	bool reloaded;       /* SERVER: the process is another one than that in which it was set */
	enum result result;
	int64_t value;
	const char *text;    /* for people, or a capture; borrowed */
	uint8_t causes;      /* ACTED, VERIFIED, CAPTURED, if FAILED: bits of the step's rows of on_failure whose match fits */
	const char *output;  /* ACTED, if FAILED: the end of what the program printed; borrowed; NULL: nothing */
	enum command_verb verb;
	const char *actor, *reason; /* COMMAND */
	uint16_t host;       /* NEW_ROW */
	uint8_t class_;      /* NEW_ROW */
};

enum effect_kind {
	EFFECT_GATE,    /* look at the world anew, then ask the stage's `before` probes for this unit */
	EFFECT_OBSERVE, /* look at the world anew */
	EFFECT_ASK,     /* the step's done_when; verify where it has none; on the way back its undo's unless */
	EFFECT_CAPTURE, /* the step's captures and baseline */
	EFFECT_ACT,
	EFFECT_VERIFY,  /* the step's verify until it holds or its time is over; with resolve: done_when or verify, once */
	EFFECT_ORPHANS, /* look for statements of the step's action that outlived their client */
	EFFECT_KILL,    /* look once more, and kill those that were there the last time too */
	EFFECT_ACK,     /* the outcome of an action is durable: its runner may forget it */
	EFFECT_ASSERT,  /* custody: put a server back in one process */
	EFFECT_ENDED,   /* the rollout is over */
	EFFECT_RECHECK, /* of a unit: what its steps verified in databases, again */
};

struct effect {
	enum effect_kind kind;
	uint32_t unit;
	uint16_t step;
	int32_t lane;
	uint8_t dir, attempt;
	uint64_t seq;        /* ACT, ACK: of the intent; the action's name at its runner is made of it, never used twice */
	bool again;          /* ACT: sent before, by a life of this daemon that ended: attach, do not start twice */
	bool resolve;        /* VERIFY */
	uint8_t balancer;    /* ASSERT */
	uint32_t row;        /* ASSERT */
	uint8_t want;        /* ASSERT */
};

/* What came of one decide(). Arrays grow and are reused; texts live in the arena until out_reset(). */
struct out {
	struct record *records;
	size_t n_records, max_records;
	struct effect *effects;
	size_t n_effects, max_effects;
	char **texts;        /* owned */
	size_t n_texts, max_texts;
	uint64_t wake_at;    /* boot ms of the next TICK that is needed; 0: none */
	int refused;         /* COMMAND: 0 = done, 1 = refused; answer says what came of it or why not */
	char answer[320];
	/* Called for each INTENT before it is applied: fills text and hash with the rendered action. NULL in tests. */
	void (*render)(void *arg, const struct rollout *r, struct record *intent);
	void *render_arg;
};

void out_reset(struct out *out);
void out_done(struct out *out);

void decide(struct rollout *r, const struct event *event, struct out *out);

/* ---- out.c: how a rule says something ---- */

struct record *out_record(struct rollout *r, struct out *out, enum record_kind kind, uint32_t unit); /* prepared, not yet applied */
void out_commit(struct rollout *r, struct out *out, struct record *record); /* numbers and applies it */
const char *out_text(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct effect *out_effect(struct out *out, enum effect_kind kind, uint32_t unit);
void out_wake(struct out *out, uint64_t boot_ms);
/* unit_next() and a UNIT record; false if the table refuses. */
bool unit_event(struct rollout *r, struct out *out, uint32_t unit, enum unit_event event, const char *actor, const char *text);

/* ---- the rules, by file ---- */

enum { ADVANCE_UNDO_TRIES = 3 }; /* a way back is worth more than one try, whatever the step says of the way there */
bool advance_unit(struct rollout *r, struct out *out, uint32_t unit);       /* true: something was recorded or asked */
void advance_answer(struct rollout *r, struct out *out, const struct event *event);
bool admit_stages(struct rollout *r, struct out *out);
void admit_gate(struct rollout *r, struct out *out, const struct event *event);
struct why admit_rollout(const struct rollout *r, bool new_units);          /* what holds everything; WHY_NONE: nothing */
struct why admit_retry(const struct rollout *r, uint32_t unit);             /* a limit or floor that a retry of it would break; or WHY_NONE */
bool outcome_step(struct rollout *r, struct out *out);                     /* abort's progress and the end */
void command_run(struct rollout *r, struct out *out, const struct event *event);
bool advance_recheck(struct rollout *r, struct out *out, uint32_t unit);    /* a finished unit; true: asked */
bool admit_may_be_done(const struct rollout *r, uint32_t unit);             /* was opened again, and its row looks finished: asked before it starts */
bool admit_is_open(const struct rollout *r, uint8_t stage);                 /* what it comes after and needs is there */

/* ---- fence.c ---- */

bool fence_step(struct rollout *r, struct out *out);                        /* fences what is away, takes up what is back */
bool fence_holds(const struct rollout *r, const struct unit *u);            /* seen in maintenance in every process */
bool fence_is_back(const struct rollout *r, const struct unit *u);          /* fenced, its node seen: goes on once the fence is seen too */
uint32_t fence_of(const struct rollout *r, uint32_t row);                   /* the unit that keeps this node out, or RECORD_NO_UNIT */
bool fence_is_legal(const struct rollout *r, uint32_t unit, char *why, size_t size); /* why: without subject */
void fence_unit(struct rollout *r, struct out *out, uint32_t unit, const char *actor, const char *text); /* where legal */

/* ---- lines.c ---- */

bool line_is_ours(const struct rollout *r, uint32_t unit, uint16_t step);   /* in custody: set by this step, and by none after it */
bool line_is_set_later(const struct rollout *r, const struct unit *u, const struct step *step); /* by a later stage */
const struct changed_line *line_changed(const struct rollout *r, uint32_t unit); /* the first of the unit that is contested; NULL: none */
struct why line_why(const struct changed_line *line);
struct why line_held(const struct rollout *r, uint32_t stages, uint32_t row); /* one of these stages, or of this row's units; NO_ROW: none */
bool line_again(struct rollout *r, struct out *out, uint32_t unit, const char *actor, const char *text); /* false: none, or not now */
void line_seen(struct rollout *r, struct out *out, const struct event *event);

void custody_server(struct rollout *r, struct out *out, const struct event *event);
/* Has one process of a balancer told once more what we want there; it is looked at again by the watch, not by this. */
void custody_assert(struct out *out, uint8_t balancer, uint32_t row, int32_t process, uint8_t state);
void custody_process(struct rollout *r, struct out *out, const struct event *event);

/* A sentence for a unit's why: "floor: old.capacity would be 300, below 412 old.tenants". Empty for WHY_NONE. */
const char *why_text(const struct rollout *r, uint32_t unit, const struct why *why, char *buf, size_t size);
