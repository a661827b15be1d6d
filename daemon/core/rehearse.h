/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A rehearsal: the real rules over a world in which everything works, in no time. It proves that the stages can reach their end with these
 * rows, and names what stands in the way if they cannot. Used by `upgd -t` with a small made-up site, and by plan with the real one.
 */

#include "rollout.h"

struct rehearse_row {
	uint8_t set;
	const char *columns; /* "key=value\n" lines, name first */
	uint32_t weight, capacity;
	uint16_t host;
	uint8_t class_;
	bool aside;
};

struct rehearse_result {
	bool reaches_end;       /* every unit done */
	unsigned actions;       /* sent in all */
	uint32_t most_out;      /* nodes under way at once */
	int64_t most_down;      /* tenants down at once */
	char problem[400];      /* what is in the way, with the numbers that mend it; "" if nothing */
};

void rehearse(const struct profile *profile, const struct rehearse_row *rows, size_t n_rows, struct rehearse_result *out);

/* With five nodes and some schemata made up for the profile. */
void rehearse_small(const struct profile *profile, struct rehearse_result *out);
