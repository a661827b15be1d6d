/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Asks one probe at the site and judges the answer. Never changes anything.
 */

#include "bind.h"
#include "judge.h"

struct site;
struct probe_run;

struct probe_options {
	struct bind bind;    /* copied; what it points to must live until the answer, but captures, which are copied, and row, used by probe_start() only */
	uint32_t unit;       /* for the names of tasks; RECORD_NO_UNIT */
	bool polled;         /* it is asked again and again: no connection is an answer too (failed), not a lack of one (unknown) */
	unsigned timeout_ms; /* 0: what fits the kind */
};

struct probe_answer {
	enum result result;
	const char *text;                /* a sentence, also when it holds */
	const struct judge_table *table; /* NULL: there was no answer */
	bool whole;                      /* the value itself, not an HTTP status in its place */
};

/* Called once from the loop, never from inside probe_start(); the answer is borrowed for the call. */
typedef void probe_fn(void *arg, const struct probe_answer *answer);

/* Probes that run tasks name them probe/LIFE/...: those of another life of the daemon nobody waits for. */
uint64_t probe_life(void);

struct probe_run *probe_start(struct site *site, const struct probe *probe, const struct probe_options *options, probe_fn *fn, void *arg);
void probe_cancel(struct probe_run *run); /* no callback after this; NULL is fine */
