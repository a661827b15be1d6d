/* SPDX-License-Identifier: MIT */
#pragma once
/* What a profile that brings its own site is run with: parameters by their type where nobody says one, and a size. */

#include "sim.h"

enum { CHOICE_PARAMS = 64 };

struct choice {
	struct profile *profile;                  /* with these parameters; owned */
	const char *params[2 * CHOICE_PARAMS + 1]; /* KEY, VALUE ..., NULL */
	char *values[CHOICE_PARAMS];              /* owned */
	uint32_t nodes, rows;                     /* 0: as the seed has it */
	unsigned sites;                           /* which troubles make sense: enum trouble_site */
};

/* --set KEY=VALUE, --nodes N, --rows N of the command line. NULL: said on stderr what is wrong. */
struct choice *choice_new(const struct profile *profile, int argc, char **argv);
void choice_free(struct choice *choice);
void choice_apply(const struct choice *choice, struct sim_options *options);
struct trouble_reach choice_reach(const struct choice *choice, const struct sim_options *options);
