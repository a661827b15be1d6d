/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The process that stands by one program for its life.
 */

#include "task.h"

/* Starts a supervisor for a task that was claimed: it takes over the lock. Called by `serve`. */
must_check int supervisor_spawn(const struct store *store, const struct task *task, struct fail *fail);
/* The supervisor itself, `upgd-run supervise`: the exit code of the process. TASK_LOCK_FD is the locked file. */
int supervise(const struct store *store, const char *name);
