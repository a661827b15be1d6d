/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * `upgd --offline`: break-glass. Reads the journal without a daemon, read-only, and says where everything stands, or how each open unit is
 * brought to a safe state by hand. Nothing is observed: what it knows is what the journal says.
 */

enum offline_what { OFFLINE_STATUS, OFFLINE_RUNBOOK };

/* state_dir NULL: that of the configuration; else a copy of one. Returns the exit status. */
int offline_run(enum offline_what what, const char *config_path, const char *state_dir);
