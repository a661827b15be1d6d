/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One line of one text file. The rest of the file is kept byte for byte.
 */

#include "proto/fail.h"

#include <stddef.h>

enum { EDIT_FILE_MAX = 1 << 20, READ_FILE_MAX = 64 << 10, EDIT_UNSURE = 1 };

struct edit {
	const char *file;   /* absolute */
	const char *prefix; /* not empty */
	const char *value;  /* NULL: the line is removed */
};

must_check int edit_check(const struct edit *edit, struct fail *fail);
/* The first line that begins with the prefix, without its end, "" if there is none: owned by the caller; NULL on failure. */
char *edit_line(const struct edit *edit, struct fail *fail);
/* Atomic and durable, mode and owner kept, read back. Doing it twice is doing it once. EDIT_UNSURE: done, but not sure to last. */
must_check int edit_apply(const struct edit *edit, struct fail *fail);
