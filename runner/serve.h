/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One channel: requests on standard input, answers on standard output (PROTOCOL.md), until the input ends. Tasks do not need it.
 */

#include "task.h"

int serve(const struct store *store); /* the exit code of the process */
