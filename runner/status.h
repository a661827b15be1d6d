/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * `upgd-run status`: what a person on the node wants to see. Takes no lock and changes nothing.
 */

#include "task.h"

int status_print(const struct store *store); /* the exit code of the process */
