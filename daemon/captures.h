/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The captures of each unit: what was so before our hand came to it. Too big for the rollout's state; kept from the journal's records, live
 * and folded, so that a restart has them too.
 */

#include "core/rollout.h"

struct captures {
	struct captures_unit *units; /* by unit; owned */
	uint32_t n;
};

void captures_done(struct captures *captures);
void captures_applied(struct captures *captures, const struct rollout *rollout, const struct record *record); /* rollout as it is now */

const char *captures_text(const struct captures *captures, uint32_t unit); /* JSON; NULL: none. Borrowed until the next record */
/* The baseline of a step: an array of words (server) or a text (edit) as JSON, owned by the caller (json_object_put); NULL: none. */
struct json_object;
struct json_object *captures_baseline(const struct captures *captures, uint32_t unit, const char *step);
