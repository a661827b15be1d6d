/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Update tasks: the list belongs to this node's release, the record of what ran to the schema's updateTask table.
 */

#include "proto/json.h"

#include <stdint.h>

enum schema_state { SCHEMA_CURRENT, SCHEMA_LOCKED, SCHEMA_PENDING, SCHEMA_DOWN };

/* What updateTask says. */
struct ledger {
	struct json_object *ran; /* task → true or false (failed), owned */
	int64_t locked_at, background_at; /* 0: no such marker */
};
must_check int ledger_read(int pool, const char *schema, struct ledger *out, struct fail *fail);
static inline void ledger_done(struct ledger *ledger)
{
	json_object_put(ledger->ran);
}
#define ledger_cleanup __attribute__((cleanup(ledger_done)))

/* True when a task of this release never ran there, or was excluded neither. */
bool ledger_has_pending(const struct ledger *ledger);

/* Milliseconds as this node writes them (fault "clock"). */
int64_t update_now(void);

/* As a context load sees it: from the cache when it was ever found current. */
enum schema_state update_state(int pool, const char *schema);
/* Runs all pending tasks; whatever goes wrong is logged and swallowed. failures: array that gets the names of failed tasks, or NULL. */
void update_run(int pool, const char *schema, struct json_object *failures);
/* The same in the background. */
void update_trigger(int pool, const char *schema);
/* Runs one task, whether it ran before or not. */
must_check int update_force(int pool, const char *schema, const char *task, struct fail *fail);
/* Runs that are under way in this process. */
int update_count(void);
