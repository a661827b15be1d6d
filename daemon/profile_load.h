/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Reads a profile's text into a struct profile and proves what can be proved without a site: names resolve, every ${name} is in
 * scope, windows open and close in pairs, nothing waits inside one, every step before a pivot says how it is undone. Whether the
 * stages can reach their end is proved by core/rehearse.c.
 */

#include "daemon/core/profile.h"
#include "daemon/io/conf.h"

/*
 * Owned by the caller; NULL if errors were recorded (all of them) or the text could not be read (fail). params: KEY, VALUE, KEY, VALUE ...,
 * NULL, or NULL: without a rollout, defaults only. With params every one that is required, unknown or ill-formed is recorded.
 */
struct profile *profile_load(const char *path, const char *const *params, struct conf_errors *errors, struct fail *fail);
struct profile *profile_parse(const char *text, const char *name_for_errors, const char *const *params, struct conf_errors *errors,
	struct fail *fail);
/* Of a rollout that was started: its parts are read, nothing is proved once more. Else a newer upgd, which asks for more, would not go on with it. */
struct profile *profile_of_journal(const char *text, const char *const *params, struct conf_errors *errors, struct fail *fail);
/* As profile_load(), before the site was asked: a parameter that has a probe may be missing, and no plan is chosen. For its params and probes only. */
struct profile *profile_load_early(const char *path, const char *const *params, struct conf_errors *errors, struct fail *fail);
