/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The configdb's own migration, which the first node of a release runs in the background when it starts.
 */

#include <stdbool.h>

/* Starts it on a thread. */
void changelog_start(void);
bool changelog_is_done(void);
