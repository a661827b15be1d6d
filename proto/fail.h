/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * An error a person will read: a code that programs may test and one sentence that says what, where and
 * what to do. Passed as the last parameter, set only on failure.
 */

#include <stdarg.h>
#include <stdbool.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

struct fail {
	int code;       /* negative errno, or a positive code of the function that failed */
	char text[480]; /* one sentence, no newline at the end */
};

/* Sets code and text; returns code, so that callers write `return fail_set(fail, -EINVAL, "...")`. fail may be NULL. */
int fail_set(struct fail *fail, int code, const char *format, ...) printf_like(3, 4);

/* Puts "prefix: " in front of the text that is there. */
void fail_prefix(struct fail *fail, const char *format, ...) printf_like(2, 3);
