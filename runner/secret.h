/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * ${secret.NAME} in a text is replaced by the first line of the file NAME in the secrets directory. What was used is
 * remembered so that it can be kept out of the output.
 */

#include "proto/fail.h"

#include <stddef.h>

enum { SECRET_MAX = 4096, SECRETS_MAX = 32 };

struct secrets {
	const char *dir;          /* borrowed */
	char *value[SECRETS_MAX]; /* owned */
	size_t n;
};

/* A new string owned by the caller, or NULL. */
char *secret_expand(struct secrets *secrets, const char *text, struct fail *fail);
void secrets_done(struct secrets *secrets); /* wipes them */
