/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Which units are open, worst first, and what brings each to a safe state by hand. The way is the one the rules would take: past a pivot
 * only forward, before it back; what is undone only under a condition is printed as a comment under that condition.
 */

#include "captures.h"

#include <stdio.h>

struct config;

struct runbook {
	const struct config *config;
	const struct rollout *r;
	const struct captures *captures;
	char *const *reasons; /* by unit: why it last failed; entries may be NULL */
	uint32_t n_reasons;
};

void runbook_print(const struct runbook *runbook, FILE *out);
