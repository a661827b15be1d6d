/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Whether the work of a run action gets on: the step's progress probe is asked while it is under way, and the engine is told when its answer
 * has been the same for too long, and when it is not any more. Ends nothing.
 */

#include "flight.h"

struct progress;

struct progress *progress_new(struct flight *flight); /* of a step that has one; freed before the flight */
void progress_free(struct progress *progress);        /* NULL is fine */
