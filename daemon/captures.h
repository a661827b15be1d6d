/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the journal's records say beyond the rollout's state: the captures of each unit, and which life of the unit it is. Kept from the
 * records, live and folded, so that a restart has them too.
 */

#include "core/rollout.h"

struct captures {
	struct captures_unit *units; /* by unit; owned */
	uint32_t n;
};

void captures_done(struct captures *captures);
void captures_applied(struct captures *captures, const struct rollout *rollout, const struct record *record); /* rollout as it is now */

const char *captures_text(const struct captures *captures, uint32_t unit); /* JSON; NULL: none. Borrowed until the next record */
/*
 * The seq of the record since which the unit's attempts are counted (admitted, retried, turned back): tells an action from the same
 * one of an earlier life. 0: never. acted: that of the newest answer, which may be one life older.
 */
uint64_t captures_life(const struct captures *captures, uint32_t unit);
uint64_t captures_acted(const struct captures *captures, uint32_t unit);
/* The baseline of a step: an array of words (server) or a text (edit) as JSON, owned by the caller (json_object_put); NULL: none. */
struct json_object;
struct json_object *captures_baseline(const struct captures *captures, uint32_t unit, const char *step);
