/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Looks at the whole site once, without a rollout: the rows of every set with their classes, and the state of every server. What start,
 * plan and check begin with. Read-only.
 */

#include "core/profile.h"
#include "engine.h"

struct site;
struct discovery;

enum discover_level { DISCOVER_OK, DISCOVER_WARNING, DISCOVER_ERROR };

struct discover_finding {
	enum discover_level level;
	char *subject, *text, *mend; /* mend may be NULL; owned by the result */
};

struct discover_result {
	struct engine_row *rows;     /* in set order, nodes as configured, schemata as the query gave them; owned */
	size_t n_rows;
	struct discover_finding *findings;
	size_t n_findings, n_errors, n_warnings;
};

/* Called once from the loop; the result is borrowed for the call. */
typedef void discover_fn(void *arg, const struct discover_result *result);

/* profile: with params filled in; borrowed until the callback. check: also ask what only `check` wants to know (every runner reachable, every tool, secrets, lb state files). */
struct discovery *discover_start(struct site *site, const struct profile *profile, bool check, discover_fn *fn, void *arg);
void discover_cancel(struct discovery *discovery);
