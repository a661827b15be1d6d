/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A profile in memory: how one system is upgraded. Read-only once loaded; frozen for a rollout. Templates ("${...}") are kept as
 * text and bound by render/; core reads only the numbers around them. Built by daemon/profile_load.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROFILE_STAGES_MAX = 32,
	PROFILE_STEPS_MAX = 32,
	PROFILE_BALANCERS_MAX = 8,
	PROFILE_PROCESSES_MAX = 8, /* of one balancer */
	PROFILE_LANES_MAX = 2,
	PROFILE_LIST_MAX = 8, /* verify, done_when, capture, keep, before */
	PROFILE_CLASSES_MAX = 8,
	PROFILE_EXITS_MAX = 8,
	PROFILE_CAUSES_MAX = 8,
};

enum param_type { PARAM_TEXT, PARAM_VERSION, PARAM_NAME, PARAM_URL, PARAM_DURATION, PARAM_INT };

struct param {
	char *name;
	enum param_type type;
	char *value; /* the default until start fills it in; NULL: must be given */
	char *probe; /* what it is where start gives none: what this probe says of the site; NULL: nobody asks */
	char *doc;
};

/* Which stages there are, by what the parameters say: the first one that fits is taken. */
struct plan {
	char *name;
	char **params, **matches; /* each of these parameters matches its regular expression; NULL-terminated, in pairs */
	char **stages;            /* their names; NULL-terminated */
	bool all;                 /* no node may be left alone */
};

/* What an observed row is. Class 0 is "no match": nothing is ever done to such a row. */
enum { CLASS_NONE = 0, CLASS_OLD = 1, CLASS_NEW = 2 };

enum set_from { SET_CLUSTER, SET_NODES, SET_SQL, SET_PATH };

/* One way from a level to the next: a row of a set of SET_PATH, if it is on the way. */
struct edge {
	char *from, *to;
	char *columns;   /* further columns, as in struct row; with templates of parameters */
};

/* What a version's level is called. */
struct level_rule {
	char *is, *match;
};

struct class_rule {
	uint8_t class_;  /* index into profile.classes */
	char *match;     /* extended regular expression, a template */
};

struct set {
	char *name;
	enum set_from from;
	char *database;      /* SET_SQL: name of a database in the configuration */
	char *query;         /* SET_SQL: columns by name; must give `name` */
	char *host_column;   /* SET_SQL: the database host's pool id; NULL: none */
	char *weight_column; /* tenants; NULL: 1 each */
	char *up_column;     /* enabled tenants; NULL: as weight */
	char *class_column;  /* SET_SQL: the column the rules look at */
	char *class_probe;   /* SET_NODES: the probe whose value the rules look at; SET_PATH: the probe that says the level */
	bool idle;           /* derived: no stage of the plan is for it, so nobody looks at it */
	uint8_t absent;      /* SET_SQL: what a row is that the query does not give any more; CLASS_NONE: gone, and held */
	char *target;        /* SET_PATH: where the way leads to, a template */
	struct level_rule *levels; /* SET_PATH: the level of a target; first match; none: as it is written */
	size_t n_levels;
	struct edge *edges;
	size_t n_edges;
	struct class_rule classes[PROFILE_CLASSES_MAX];
	size_t n_classes;
};

enum probe_kind { PROBE_SQL, PROBE_HTTP, PROBE_RUN, PROBE_READ, PROBE_SERVER };

enum expect_kind {
	EXPECT_NONE,      /* any answer will do (captures) */
	EXPECT_ROWS,      /* exactly n rows */
	EXPECT_EQUALS,    /* the value is this text */
	EXPECT_MATCH,     /* the value matches this regular expression */
	EXPECT_NOT_MATCH,
	EXPECT_MIN,
	EXPECT_MAX,
	EXPECT_CONTAINS,  /* the first column holds every entry of a capture */
	EXPECT_SUBSET_OF, /* every entry of the first column is in a capture */
	EXPECT_SAME_AS,   /* the rows are those of a capture */
	EXPECT_STATE,     /* PROBE_SERVER: ready (and up), drain, maint, idle */
	EXPECT_EXIT,      /* PROBE_RUN: it ends with one of `exits`, whatever it prints */
};

struct probe {
	char *name;
	enum probe_kind kind;
	char *target;    /* sql: database, "host:${...}" or "replicas:${...}"; http: URL; read: file; server: server name */
	char *query;     /* sql */
	char *position;  /* sql = "replicas:...": asked on the primary first; its value is the `?` of the query; NULL: none */
	char **args;     /* sql, run (argv); NULL-terminated */
	char *json;      /* http: JSON pointer into the body; NULL: the status is the value */
	char *column;    /* run: take this column of a printed table as the rows; NULL: the whole output is the value */
	char *on;        /* run, read: self, old, new, local */
	char **env;      /* run */
	char *cwd;       /* run; NULL: / */
	uint8_t exits[PROFILE_EXITS_MAX]; /* run: ends that are an answer */
	size_t n_exits;  /* 0: only 0 is */
	bool lines;      /* run, read: each line is a row, its cells between tabs */
	uint8_t balancer;
	enum expect_kind expect;
	char *expected;  /* template or capture name */
	char **except;   /* contains: entries of these captures are not expected; NULL: none */
	int64_t number;  /* rows, min, max, state */
	char *doc;       /* what it means when it does not hold, for people; NULL: the name serves */
	char *mend;      /* what a person does about it; NULL: nothing to say */
};

enum action_kind {
	ACTION_NONE,    /* only verifies or captures */
	ACTION_RUN,
	ACTION_EDIT,
	ACTION_SERVER,  /* a server's state in a balancer */
	ACTION_APPROVE, /* a person says yes, once for the stage */
	ACTION_WAIT,
};

enum server_state { SERVER_UNKNOWN, SERVER_READY, SERVER_DRAIN, SERVER_MAINT };

enum until_then { UNTIL_NEXT, UNTIL_SHUTDOWN, UNTIL_HOLD, UNTIL_SHED };

struct action {
	enum action_kind kind;
	char **argv;          /* run */
	char **env;           /* run */
	char *cwd;            /* run; NULL: / */
	uint8_t exits[PROFILE_EXITS_MAX]; /* run: ends that are no failure */
	size_t n_exits;       /* 0: only 0 is none */
	char *match, *not_match; /* run: regular expressions; what it prints must, and must not; NULL: whatever */
	char *file;           /* edit */
	char *line;           /* edit: prefix */
	char *to;             /* edit: template; approve: the question */
	uint8_t balancer;     /* server */
	enum server_state want;
	bool restore;         /* undo of edit and server: back to the baseline, if it still is what we set */
	bool idle;            /* server: wait until no request is in flight */
	uint64_t idle_ms;     /* server: for so long at most */
	enum until_then then; /* server: and then */
	uint32_t rate;        /* server, UNTIL_SHED: sessions ended per second */
	uint64_t wait_ms;
};

enum lane_kind { LANE_ON_NONE, LANE_ON_SELF, LANE_ON_OLD, LANE_ON_NEW, LANE_ON_LOCAL };
enum step_window { WINDOW_NONE, WINDOW_OPEN, WINDOW_CLOSE };
enum resolve_kind { RESOLVE_ASK, RESOLVE_RERUN, RESOLVE_PROBE, RESOLVE_ATTACH };
enum orphans_then { ORPHANS_WAIT, ORPHANS_KILL, ORPHANS_ASK };
enum failure_kind { FAILURE_DEFAULT, FAILURE_UNDO, FAILURE_HOLD };

/* Something that can be counted in the observed world. */
enum counter_kind { COUNTER_CONST, COUNTER_READY, COUNTER_NODES, COUNTER_TENANTS, COUNTER_CAPACITY, COUNTER_ROWS };

struct counter {
	enum counter_kind kind;
	uint8_t index;    /* READY: balancer; else class */
	int64_t constant;
};

/* what >= bound (min) or what <= bound (max), while `only` > 0; over_one: the row in question is not yet counted. */
struct floor {
	struct counter what, bound;
	bool is_max, over_one, has_only;
	struct counter only;
};

struct capture {
	char *name;
	char *probe;
};

/* What is done about a failure, by what is said of it. */
enum cause_do { CAUSE_RETRY, CAUSE_AGAIN, CAUSE_UNDO, CAUSE_HOLD, CAUSE_BACK };

struct cause {
	char *match;          /* regular expression: what was printed, or what the check says; NULL: any failure */
	enum cause_do what;
	uint16_t from;        /* AGAIN: the step to go on from */
	uint8_t max;          /* RETRY, AGAIN: so often, by this row */
	uint64_t wait_ms;     /* RETRY, AGAIN: after so long */
	char *hint;           /* what a person does about it; NULL: nothing to say */
};

struct step {
	char *name;
	struct action act, undo;
	bool has_undo;          /* else "none" or nothing to undo */
	struct floor undo_while[PROFILE_LIST_MAX];
	size_t n_undo_while;
	uint16_t undo_unless[PROFILE_LIST_MAX]; /* probes: while all of them hold there is nothing to undo */
	size_t n_undo_unless;
	uint64_t undo_takes_ms; /* for the way-back clock; no rule looks at it */
	uint16_t undo_verify[PROFILE_LIST_MAX]; /* probes */
	size_t n_undo_verify;
	enum lane_kind on[PROFILE_LANES_MAX];
	size_t n_on;
	bool only_with_tenants; /* when = "tenants > 0" */
	bool only_without_tenants;
	bool only_fenced;       /* when = "fenced": the last step, which lets a server in again */
	enum step_window window;
	bool pivot;
	enum resolve_kind resolve;
	bool has_orphans;
	uint16_t orphans;       /* probe: statements of the action that still run in the database, one a row */
	enum orphans_then on_orphans;
	bool skip_if_done;
	uint16_t done_when[PROFILE_LIST_MAX], verify[PROFILE_LIST_MAX];
	size_t n_done_when, n_verify;
	uint16_t fails[PROFILE_LIST_MAX]; /* probes: once one holds, nobody waits for verify any longer */
	size_t n_fails;
	bool has_progress;
	uint16_t progress;      /* probe: what it says changes while the action gets on */
	uint64_t stall_ms;      /* unchanged for so long: shown as late; the work goes on */
	struct capture captures[PROFILE_LIST_MAX];
	size_t n_captures;
	uint64_t within_ms;     /* verify is asked again until then */
	uint64_t steady_ms;     /* and counts when it has held for so long, asked again and again */
	uint64_t timeout_ms;    /* 0: none; ends the waiting, not the work */
	bool kill;              /* on_timeout = "kill" */
	uint8_t retry;          /* further tries */
	uint64_t takes_ms;      /* as a rule, at a site of this kind; for `plan --simulate` only, no rule looks at it */
	enum failure_kind on_failure; /* where no cause fits */
	struct cause causes[PROFILE_CAUSES_MAX];
	size_t n_causes;
};

enum stage_order { ORDER_NAME, ORDER_LONGEST, ORDER_PATH };

struct stage {
	char *name;
	uint8_t set;
	uint32_t where;         /* bits of classes; 0: any */
	uint32_t after;         /* bits of stages: all their units are settled, however */
	uint32_t needs;         /* all their units are done; parked or skipped is not enough */
	uint32_t same;          /* this row's unit of them is done */
	struct floor keep[PROFILE_LIST_MAX];
	size_t n_keep;
	uint16_t before[PROFILE_LIST_MAX], check[PROFILE_LIST_MAX]; /* check: asked of each node by `upgctl check`; no rule looks at it */
	size_t n_before, n_check;
	uint32_t total, per_host; /* 0: no limit */
	int64_t tenants_down;     /* 0: no limit */
	uint32_t canary;
	uint64_t soak_ms;
	enum stage_order order;
	int fence;              /* balancer in which the server of a unit whose node is away is put in maintenance; -1: none */
	uint64_t away_ms;       /* fence: by itself when the node was away for so long; 0: only by a person */
	bool again;             /* a finished unit is opened again when its row is observed in `where` once more */
	struct step *steps;
	size_t n_steps;
	bool takes_out;         /* derived: a node of it leaves a balancer */
	bool has_window;        /* derived */
	bool has_pivot;         /* derived */
};

struct profile {
	char *name, *text;      /* text: canonical, what the journal keeps */
	struct param *params;
	size_t n_params;
	struct plan *plans;
	size_t n_plans;
	int plan;               /* the one that was taken: only its stages are here; -1: there is none to choose from */
	char *classes[PROFILE_CLASSES_MAX]; /* [0] "none", [1] "old", [2] "new", then as declared */
	size_t n_classes;
	char *balancers[PROFILE_BALANCERS_MAX];
	size_t n_balancers;
	struct set *sets;       /* [0] is "cluster": one row */
	size_t n_sets;
	struct probe *probes;
	size_t n_probes;
	struct stage *stages;
	size_t n_stages;
	int set_node, set_tenants; /* index of the node set; of the set whose rows hold tenants; -1: none */
	char *passing;          /* regular expression: what a program says when its database connection failed it, not its work; NULL: none */
	char **afterwards;      /* what a person does next when all is done; with ${param.X}; NULL: nothing */
	char *respect;          /* balancer whose servers in maintenance at the start are a person's: left alone; NULL: none */
};

struct profile *profile_new(void);
void profile_free(struct profile *profile); /* owns everything in it; NULL is fine */
int profile_stage(const struct profile *profile, const char *name); /* index or -1 */
int profile_probe(const struct profile *profile, const char *name);
int profile_balancer(const struct profile *profile, const char *name);
const char *server_state_word(enum server_state state);
/* "old.tenants" into buf; for messages. */
const char *counter_text(const struct profile *profile, const struct counter *counter, char *buf, size_t size);
/* "plan: rolling (from 6.2.0 matches ^6[.]2, to 6.2.1 matches ^6)", of the plan that was taken; false: there is none to choose from. */
bool profile_plan_text(const struct profile *profile, char *buf, size_t size);
