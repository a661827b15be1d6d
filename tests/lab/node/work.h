/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Threads for what blocks: as many as are busy at once, kept for the next job.
 */

/* Runs fn(arg) on some thread, soon. Any thread may call. */
void work_run(void (*fn)(void *arg), void *arg);
