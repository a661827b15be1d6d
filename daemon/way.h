/* SPDX-License-Identifier: MIT */
#pragma once
/* Sets of SET_PATH: which edges lead from the level of a site to the one it shall have, and how far on them it is. No I/O. */

#include "bind.h"

/* What the target is called as a level: by the first of the set's `levels` that matches, else as it is written. bound: set->target, bound. */
const char *way_target(const struct set *set, const char *bound);

enum { WAY_MAX = 64 }; /* edges on one way */

struct way {
	size_t edges[WAY_MAX]; /* indices into set->edges, in order */
	size_t n;              /* 0: it is there already */
};
/* The shortest way; of two that are as short, the one whose edges come first in the profile. -ENOENT: there is none, and fail says what there is. */
must_check int way_find(const struct set *set, const char *level, const char *target, struct way *out, struct fail *fail);

/* "key=value\n" lines of the row for an edge, as struct row keeps them; owned by the caller, NULL with fail set. */
char *way_columns(const struct edge *edge, struct bind *bind, struct fail *fail);

/* How many of the rollout's edges of this set lie behind the level: 0 at the first one's `from`. -1: it is on none of them. */
int way_passed(const struct rollout *r, uint8_t set, const char *level);
