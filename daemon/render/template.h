/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Templates: text with ${name} in it, and nothing more: no expressions, defaults or functions. `$${` is a plain `${`.
 * ${secret.x} is left as it is: the runner puts it in on the far side.
 */

#include "proto/fail.h"

#include <stddef.h>

enum template_quote {
	TEMPLATE_PLAIN,
	TEMPLATE_REGEX, /* what is put in matches itself in an extended regular expression */
};

/* The value of a name: 0 and *out (borrowed until the next call or end of binding), or -errno with fail set. */
typedef int template_lookup_fn(void *arg, const char *name, const char **out, struct fail *fail);

/* A new string owned by the caller; NULL: a name has no value or the braces do not pair, fail says which. */
char *template_bind(const char *text, enum template_quote quote, template_lookup_fn *fn, void *arg, struct fail *fail);

/* Calls fn for each name; stops at its first non-zero return and gives it back; -EINVAL: braces do not pair. */
int template_names(const char *text, int (*fn)(void *arg, const char *name), void *arg, struct fail *fail);
