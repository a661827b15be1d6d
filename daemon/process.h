/* SPDX-License-Identifier: MIT */
#pragma once
/* What upgd needs of the system before it opens anything: standard descriptors, room for more of them, a last word when memory is out. */

#include "proto/fail.h"

struct config;

/* First of all: what a launcher left closed would become the journal or a socket, and the log would be written into it. */
void process_begin(void);

/* Raises the limit of open files as far as this configuration may need. -EMFILE: it may not be raised so far; fail says to what. */
must_check int process_files(const struct config *config, struct fail *fail);
