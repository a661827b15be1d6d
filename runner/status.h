/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What is there: `upgd-run status` for a person on the node, `list` for upgd. Takes no lock and changes nothing.
 */

#include "task.h"

int status_print(const struct store *store); /* the exit code of the process */
/* "running ID\n" or "ended ID\n" for every task that was started, the running ones first, at most 1000. Owned by the caller. */
char *status_list(const struct store *store);
