/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of upgd, and what upgd does with it other than run: test a configuration, print what is in its tables. */

#include "log.h"

#include <stdbool.h>

struct options {
	const char *config;  /* -c */
	const char *profile; /* --profile-check FILE; NULL: not asked */
	const char *doc;     /* --print-doc WHAT; NULL: not asked */
	const char *offline; /* --offline WHAT; NULL: not asked */
	const char *state;   /* --state DIR; NULL: that of the configuration */
	bool test, dump, version, help;
	enum log_level log;
};

/* Strings are borrowed from argv. -EINVAL: fail says what is wrong. */
must_check int options_parse(struct options *out, int argc, char **argv, struct fail *fail);

/* Each prints and returns the exit status. */
int options_test(const struct options *options);
int options_profile_check(const char *path);
int options_print_doc(const char *what);
int options_version(void);
int options_help(void);
int options_offline(const struct options *options);
