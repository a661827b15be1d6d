/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Looks at an option file (my.cnf format) before the client library reads it, because the library is lenient where leniency
 * is dangerous: a missing file, a wrong mode, and TLS switches it does not understand pass without a word.
 */

#include "proto/fail.h"

#include <stdbool.h>

struct sql_options {
	bool tls;    /* the file asks for an encrypted connection: one without a cipher is not to be used */
	bool verify; /* by ssl-verify-server-cert=1 */
};

/* group NULL: none beside [client]. Refuses, with file and line, what would not mean what its writer thinks. */
must_check int sql_options_check(const char *file, const char *group, struct sql_options *out, struct fail *fail);
