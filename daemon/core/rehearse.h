/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A rehearsal: the real rules over a world in which everything works, in no time. It proves that the stages can reach their end with these
 * rows, and names what stands in the way if they cannot. Used by `upgd -t` with a small made-up site, and by plan with the real one.
 * With `timed` every action takes as long as the profile says (`takes`), and the result says how long the rollout and its windows would be.
 */

#include "rollout.h"

#include <stdatomic.h>

struct rehearse_row {
	uint8_t set;
	const char *columns; /* "key=value\n" lines, name first */
	uint32_t weight, capacity;
	uint16_t host;
	uint8_t class_;
	bool aside;
};

struct rehearse_options {
	bool timed;
	const atomic_bool *cancel; /* looked at now and then, may be set by another thread; NULL: never */
};

enum { REHEARSE_CLUSTER = ROLLOUT_NO_ROW };

struct rehearse_window {
	uint32_t row;           /* index into the rows given; REHEARSE_CLUSTER: the cluster's own, which is not given */
	uint8_t stage;
	uint64_t ms;
	uint32_t weight;
};

struct rehearse_result {
	bool reaches_end;       /* every unit done */
	bool cancelled;         /* nothing else here counts */
	unsigned actions;       /* sent in all */
	uint32_t most_out;      /* nodes under way at once */
	int64_t most_down;      /* tenants down at once */
	char problem[400];      /* what is in the way, with the numbers that mend it; "" if nothing */
	/* timed only */
	uint64_t makespan_ms;
	uint64_t stage_begin_ms[PROFILE_STAGES_MAX], stage_end_ms[PROFILE_STAGES_MAX]; /* since the start; 0 and 0: had nothing to do */
	struct rehearse_window *windows; /* closed ones, longest first; owned: rehearse_result_done() */
	size_t n_windows;
};

/* options may be NULL. */
void rehearse(const struct profile *profile, const struct rehearse_row *rows, size_t n_rows, const struct rehearse_options *options,
	struct rehearse_result *out);
void rehearse_result_done(struct rehearse_result *result);

/* With five nodes and some schemata made up for the profile. */
void rehearse_small(const struct profile *profile, struct rehearse_result *out);
