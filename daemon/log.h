/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the daemon says to the person who reads its log: one sentence and key=value fields, one line each, on stderr. Libraries
 * and pure layers do not log; who decides does, once.
 */

#include "proto/fail.h"

#include <stddef.h>

enum log_level { /* syslog's numbers, which systemd reads from the <N> in front */
	LOG_AT_ERR = 3,     /* a person must act */
	LOG_AT_WARNING = 4, /* odd, and dealt with */
	LOG_AT_NOTICE = 5,  /* what the daemon decided */
	LOG_AT_INFO = 6,    /* requests */
	LOG_AT_DEBUG = 7,
};

struct log_field {
	const char *key, *value; /* both NULL end an array; a NULL value leaves the field out */
};

enum log_form { LOG_SYSTEMD, LOG_PLAIN };

enum { LOG_LINE_MAX = 4096 };

/* Under systemd, lines begin with <N>, else with the time. Without a call: LOG_AT_INFO, and what the environment says. */
void log_setup(enum log_level most);
must_check int log_level_parse(const char *name, enum log_level *out_level); /* "err" … "debug"; else -EINVAL */

void log_say(enum log_level level, const char *format, ...) printf_like(2, 3);
void log_with(enum log_level level, const struct log_field *fields, const char *format, ...) printf_like(3, 4);

/* Pure: the line with its newline; nothing in text or fields can start another. Long lines are cut. Returns the length. when: for LOG_PLAIN. */
size_t log_format(char out[static LOG_LINE_MAX], enum log_form form, const char *when, enum log_level level, const char *text, const struct log_field *fields);
