/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The state of one rollout. Three parts, kept apart on purpose:
 *   durable   what the journal says; written by rollout_apply() alone, equal to the fold of the records at any time (I7);
 *   facts     what was observed last, with its age; never in the journal, a decision's record carries the values it used;
 *   live      what is under way in this process (questions asked, timers); empty after a restart.
 */

#include "profile.h"
#include "record.h"
#include "unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROLLOUT_ROWS_MAX = 1 << 20, ROLLOUT_HOSTS_MAX = 1024, ROLLOUT_NO_ROW = 0x7fffffff };

/* A row of a set: frozen by the plan (durable). */
struct row {
	char *name;       /* "ox1", "oxdatabase_5"; owned */
	char *columns;    /* "key=value\n" lines, \ escapes newline and itself; owned; for templates */
	uint32_t weight;  /* tenants */
	uint32_t capacity; /* nodes: tenants it can serve; 0: no limit */
	uint32_t rank;    /* place in its set */
	uint16_t host;    /* 1-based number of the database host; 0: none */
	uint8_t set;
	uint8_t class_;   /* as observed by the plan */
	bool aside;       /* in maintenance by a person's hand before the start: left alone */
};

enum unit_phase {
	PHASE_NEXT,    /* between actions: the step at hand has not been sent (in this attempt) */
	PHASE_ACT,     /* sent: at least one lane has not answered */
	PHASE_VERIFY,  /* answered: to be verified */
	PHASE_RESOLVE, /* nobody knows what became of it: to be found out */
};

enum unit_flag {
	UNIT_WINDOW = 1,  /* its tenants are down */
	UNIT_PIVOT = 2,   /* only forward */
	UNIT_ADOPTED = 4, /* found as it should be by the plan */
	UNIT_MUTED = 8,   /* failed, and a person said go on */
	UNIT_TURNED = 16, /* going back because of an abort, not a failure */
	UNIT_STAYS = 32,  /* something of it could not be undone */
	UNIT_STARTED = 64, /* was admitted once */
	UNIT_FENCE = 128, /* its server is kept in maintenance until its steps are done */
	UNIT_FENCE_THEIRS = 256, /* it was out already, by a person: it is not for us to let it in again */
	UNIT_RECHECK = 512, /* its database server is another one now, or began anew: is what was verified still so? */
};

struct unit {
	uint32_t row;       /* index into rows */
	uint32_t touched;   /* bits of steps whose action was sent */
	uint32_t captured;  /* bits of steps whose captures are in the journal */
	uint32_t stays;     /* bits of steps that were to be undone, and could not be; until they are */
	int32_t lane[PROFILE_LANES_MAX]; /* where the step at hand was sent */
	uint64_t intent[PROFILE_LANES_MAX]; /* seq of the intents: what an action is called at its runner, unique for ever */
	uint8_t stage, state, phase, step;
	uint8_t attempt;    /* of the step at hand, from 1 */
	uint8_t dir;        /* enum record_dir */
	uint8_t lanes;      /* bits: sent and not answered */
	uint8_t n_lanes;
	uint8_t result;     /* enum result: the worst of the lanes that answered */
	uint16_t flags;     /* enum unit_flag */
	uint8_t lost;       /* attempts of the step at hand that do not count: the answer was lost, or the database was */
	uint8_t spared;     /* those that do not count because a row of on_failure had it tried again */
	uint8_t causes;     /* bits of rows of on_failure: they fit what the action at hand printed when it failed */
	uint64_t last_seq;  /* newest record of this unit */
	uint64_t sure_seq;  /* what was verified in its window was so at that record: its opening, or when it was asked again; 0: to be asked */
	int64_t since_ms;   /* wall: of the state */
	int64_t step_ms;    /* steady: the step at hand was sent */
	int64_t again_ms;   /* steady: the step at hand is tried again, not before; 0: it is not to be tried again */
	int64_t window_open_ms, window_close_ms; /* steady; 0: never */
	int64_t task_ms;    /* how long the pivot step inside the window took */
};

/* What is under way for a unit in this process. */
enum live_busy { BUSY_NO, BUSY_GATE, BUSY_ASK, BUSY_CAPTURE, BUSY_ACT, BUSY_VERIFY, BUSY_OBSERVE, BUSY_ORPHANS, BUSY_KILL, BUSY_RECHECK };

enum why_kind {
	WHY_NONE, WHY_ORDER, WHY_PAUSE, WHY_FAILED, WHY_CONTESTED, WHY_APPROVAL, WHY_SOAK, WHY_CHECK, WHY_FLOOR, WHY_LIMIT,
	WHY_UNTIL, WHY_DISK, WHY_STOP, WHY_PLACE, WHY_UNKNOWN, WHY_FENCED, WHY_STATEMENT, WHY_HOST, WHY_GONE, WHY_LEVEL, WHY_BACK, WHY_KINDS
};

enum { WHY_LINE = 255 }; /* as the balancer of CONTESTED: it is a line of a file */

/* Why a unit does not go on: the one answer behind holds, explain and the first line of status. */
struct why {
	enum why_kind kind;
	uint8_t floor;       /* FLOOR: index in keep; CONTESTED, of a line: step */
	uint8_t balancer;    /* CONTESTED, or WHY_LINE; HOST: 1 = `other` is an index in databases, 0 = in hosts */
	uint32_t other;      /* ORDER: stage; FAILED, FENCED: unit; CONTESTED: row, of a line: unit; HOST */
	int64_t value, limit;
	uint64_t since_boot; /* 0: just now */
	int64_t since_ms;
};

struct live {
	uint8_t busy;        /* enum live_busy */
	bool gate_open;      /* asked and answered yes, with facts from after the question */
	bool asked;          /* done_when of the step at hand was asked: no */
	bool asked_undone;   /* a try to undo it has failed, and its check was asked: it is not undone */
	bool clear;          /* no statement of the action runs any more: asked since it ended */
	bool killed;         /* those that did were killed, once */
	bool stale;          /* the action at hand waited for its node: its window is asked again before it is sent */
	bool late;           /* over its timeout: the waiting is shown, the work goes on */
	uint64_t gate_at;    /* boot ms when the gate was last asked */
	uint64_t retry_at;   /* boot ms: not before */
	uint64_t deadline;   /* boot ms; 0: none */
	uint64_t stalled_at; /* boot ms: since then its action has got no further, as the step's progress says; 0: it has */
	uint64_t sent_at;    /* boot ms: the action at hand was sent, by this process */
	uint64_t asked_at;   /* boot ms: the question at hand was asked */
	uint64_t look_at;    /* boot ms: a look at the level of its path was ordered; 0: none was */
	struct why why;
	char text[160];      /* what a failing check said, or the progress of an action that gets no further */
};

/* What is observed of a row. */
struct fact_row {
	uint8_t class_;
	bool known, up;
	uint32_t tenants;    /* enabled */
	uint64_t away_since; /* nodes: boot ms, neither up nor served by a balancer since; 0: not so. Kept by fence.c */
	uint32_t weight;     /* enabled or not */
};

struct fact_server {
	uint8_t state;       /* enum server_state, where all processes agree; else UNKNOWN */
	bool up;             /* in all of them */
	uint32_t sessions;
};

/* A database server that units depend on: the one its row's schema lives on, and every database that the profile asks by name. */
struct fact_host {
	char *name;          /* owned; NULL: there is none of this number */
	bool away, read_only;
	uint64_t looked_at;  /* boot ms: the last look began; 0: never */
	uint64_t since_boot; /* of away or read_only */
	int64_t since_ms;    /* wall: the same */
	uint64_t trouble_at; /* boot ms: last seen away, read-only, restarted or as another server; 0: never in this life */
	char text[160];      /* why it is away */
};

struct facts {
	struct fact_row *rows;       /* by row index */
	struct fact_server *servers[PROFILE_BALANCERS_MAX]; /* by rank in the node set */
	uint64_t rows_at[8], servers_at[PROFILE_BALANCERS_MAX]; /* boot ms: the observation began; 0: never or lost */
	char level[8][160];  /* of a path whose rows are not known: why; "" before the first look */
	struct fact_host *hosts; /* by number, as in struct row; 0 is none */
	struct fact_host *databases; /* every unit depends on each */
	uint32_t n_hosts, n_databases;
};

struct want {
	uint8_t state;       /* enum server_state; UNKNOWN: not ours */
	bool contested;
	bool reasserted;     /* being put back after a reload; until it is seen as wanted again */
	int64_t at_ms;       /* wall: last set or put back */
	uint64_t seq;        /* of that record */
};

/* A process of a balancer as it was last seen. What was set before it was first seen, it has forgotten. */
struct balancer_process {
	uint32_t pid;        /* 0: never seen */
	int64_t start_s;     /* its own word; with the pid its identity */
	uint64_t since_seq;  /* the record that saw it follow another one; 0: it is the first */
};

/* How often a row of on_failure had a step of a unit tried again, since its start or a person's retry. Few are ever there. */
struct tried {
	uint32_t unit;
	uint8_t step, row, n, zero; /* zero: they are compared as bytes */
};

/* A line of a file that a step has set, and that somebody has changed since. */
struct changed_line {
	uint32_t unit;
	uint16_t step;
	int64_t since_ms;    /* wall */
	char *text;          /* what is there, and what we set; owned */
};

/* Which server answered under a name, last: durable, so that a failover while the daemon was down is seen. */
struct known_host {
	char *name, *identity; /* owned */
	int64_t started;       /* boot ms of the daemon's host: when it began, by its uptime */
	uint16_t number;       /* of the host; 0: a database that every unit depends on */
	uint16_t change;       /* enum host_change */
	int64_t changed_ms;    /* wall; 0: as first seen */
};

enum rollout_state { ROLLOUT_PLANNING, ROLLOUT_RUNNING, ROLLOUT_ABORTING, ROLLOUT_DONE, ROLLOUT_PARTIAL, ROLLOUT_ABORTED };

/* By a row of on_failure: the rollout goes back as a whole, then rests. */
enum back_state { BACK_NO, BACK_GOING, BACK_REST };

struct rollout {
	/* durable */
	const struct profile *profile; /* borrowed */
	uint32_t id, epoch;
	uint64_t seq;
	uint64_t doubt_seq;       /* a restart, or the end of `pause --now`: nobody watched the windows that were open */
	uint8_t state;            /* enum rollout_state */
	uint8_t back;             /* enum back_state; while RUNNING */
	uint32_t back_unit;       /* whose failure sent it back */
	char *back_text;          /* why; owned; NULL: it does not go back */
	bool paused, paused_now, on_failure_continue, approve_all; /* paused_now: inside windows too */
	uint64_t approved[PROFILE_STAGES_MAX]; /* bits of steps */
	int64_t started_ms, ended_ms;
	int64_t back_by_ms;       /* wall: a person wants to be able to be back by then; 0: nobody said */
	uint32_t until_unit;      /* RECORD_NO_UNIT: none */
	int16_t until_stage;      /* -1: none */
	struct row *rows;
	uint32_t n_rows, max_rows;
	uint32_t n_set_rows[8];
	struct unit *units;
	uint32_t n_units, max_units;
	uint32_t *unit_of[PROFILE_STAGES_MAX]; /* by rank of the row; RECORD_NO_UNIT */
	struct want *wants[PROFILE_BALANCERS_MAX]; /* by rank in the node set */
	int64_t canary_done_ms[PROFILE_STAGES_MAX]; /* steady: the last canary ended; 0: not yet */
	int64_t steady_ms, boot_offset, wall_ms; /* of the last record; see rollout_steady() */
	struct balancer_process processes[PROFILE_BALANCERS_MAX][PROFILE_PROCESSES_MAX];

	struct known_host *known;
	uint32_t n_known;
	struct changed_line *lines; /* not all of them count any more: line_is_ours() */
	uint32_t n_lines;
	struct tried *tried;
	uint32_t n_tried;

	/* facts */
	struct facts facts;

	/* live */
	struct live *live;        /* by unit */
	uint32_t *order[PROFILE_STAGES_MAX]; /* unit indices in admission order */
	uint32_t n_order[PROFILE_STAGES_MAX];
	struct why stage_why[PROFILE_STAGES_MAX]; /* why no further unit of it starts */
	uint64_t now;             /* boot ms of the event at hand */
	int64_t wall;             /* wall ms */
	uint64_t moved_at;        /* boot ms: a unit last changed */
	uint64_t stuck_at;        /* boot ms: since when nothing can go on; 0: something can */
	uint64_t observe_at;      /* boot ms: EFFECT_OBSERVE was sent; 0: no */
	bool low, stopping;
	uint32_t next_place;      /* spreads lanes over nodes */
};

/* What an action, a question or a check came to. In the journal as the lower byte of `code` of ACTED; the upper one has the causes that fit. */
enum result {
	RESULT_OK = 0,
	RESULT_FAILED = 1,
	RESULT_UNKNOWN = 2, /* nobody can say: lost, timed out, answer lost */
	RESULT_UNSENT = 3,  /* it waited for its node, which is there again: to be sent if it is still right; in no record */
};

/* `code` of STEP. */
enum step_end { STEP_VERIFIED = 0, STEP_SKIPPED = 1, STEP_ADOPTED = 2, STEP_APPROVED = 3, STEP_UNDONE = 4 };

/* The lower byte of `code` of RETRY. CAUSE, FROM: by a row of on_failure, which is the upper byte; FROM: value is the earlier step it goes on from. */
enum retry_kind { RETRY_OWN = 0, RETRY_LOST = 1, RETRY_CAUSE = 2, RETRY_FROM = 3 };

/* `code` of HOST. */
enum host_change { HOST_FIRST = 0, HOST_OTHER = 1, HOST_RESTARTED = 2 };

/* `code` of LINE. */
enum line_change { LINE_CHANGED = 0, LINE_LIFTED = 1, LINE_AGAIN = 2 };

/* `code` of START is a sum of these; of LIMIT one of them. */
enum start_flag { START_APPROVE_ALL = 1, START_CONTINUE = 2 };
enum limit_kind { LIMIT_UNTIL_STAGE = 1, LIMIT_UNTIL_UNIT = 2 };

struct rollout *rollout_new(const struct profile *profile, uint32_t id);
void rollout_free(struct rollout *rollout);

/* The only writer of durable state; has no rules. Records come in order; a record that cannot be is a bug or a damaged journal: -EUCLEAN. */
int rollout_apply(struct rollout *rollout, const struct record *record);

/*
 * What durations are counted in: boot time that goes on over a reboot where the journal left it. No step of the wall clock makes a wait or
 * a soak shorter or longer, and the host's time without upgd counts at most as long as it was.
 */
int64_t rollout_steady(const struct rollout *rollout, uint64_t boot_ms);
/* For people: what the wall clock of the last record would have shown at that moment. */
int64_t rollout_wall(const struct rollout *rollout, int64_t steady_ms);

/* After a fold, before the first event, with `now` set: makes the live part anew. */
void rollout_recovered(struct rollout *rollout);
/* Makes the admission order of every stage anew: after PLANNED and after a ROW that came later. */
void rollout_order(struct rollout *rollout);

/* True if the durable parts are equal; what: first difference, for people. */
bool rollout_same(const struct rollout *a, const struct rollout *b, const char **what);

/* Lookup. Names: "migrate/oxdatabase_5". RECORD_NO_UNIT / ROLLOUT_NO_ROW if there is none. */
uint32_t rollout_unit(const struct rollout *rollout, const char *name);
uint32_t rollout_row(const struct rollout *rollout, uint8_t set, const char *name);
const char *rollout_unit_name(const struct rollout *rollout, uint32_t unit, char *buf, size_t size);
const struct stage *rollout_stage(const struct rollout *rollout, const struct unit *unit);
const struct step *rollout_step(const struct rollout *rollout, const struct unit *unit); /* the step at hand; NULL past the end */
uint8_t rollout_tried(const struct rollout *rollout, uint32_t unit, uint8_t step, uint8_t row); /* so often, by that row of on_failure */
bool rollout_is_over(const struct rollout *rollout);
bool rollout_is_stalled(const struct rollout *rollout, uint32_t unit); /* its action gets no further; the work goes on */
bool rollout_goes_back(const struct rollout *rollout); /* an abort, or a failure: what is before its pivot turns */
const char *rollout_state_word(unsigned state);
const char *why_word(enum why_kind kind);

/* A column of a row into buf (unescaped); false if there is none. */
bool row_column(const struct row *row, const char *key, char *buf, size_t size);
