/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A look at configuration text before libconfig gets it: refuses what libconfig would silently misread, and names the line where
 * a bracket, string or comment was opened instead of the end of the file. Says nothing about the grammar beyond that.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>

/* 0, or -EINVAL with "name:line: sentence". */
must_check int conf_scan(const char *text, const char *name, struct fail *fail);

/* Length of the valid UTF-8 sequence at text (1..4), 0 if it is none. No overlong forms, no surrogates. */
size_t conf_utf8_length(const char *text);
bool conf_utf8_valid(const char *text);
