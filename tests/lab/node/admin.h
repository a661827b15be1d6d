/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The services behind the command line tools. Worker threads. A service gives its answer, owned by the caller, or NULL and
 * fail with the tool's exit code.
 */

#include "proto/json.h"

#include <stddef.h>

struct request;
struct db;

/* The tools' exit codes. */
enum { EXIT_RMI = 1, EXIT_CREDENTIALS = 101, EXIT_NO_CONTEXT = 102, EXIT_INVALID = 103, EXIT_STORAGE = 106 };

enum service_flags { OPEN_TO_ALL = 1, RUNS_LONG = 2 };
struct service {
	const char *name;
	struct json_object *(*serve)(struct json_object *args, struct fail *fail);
	int flags;
};
/* Ended by a row without name. */
extern const struct service schema_services[], update_services[];

void admin_handle(struct request *request);

/* The configdb, or NULL and exit code 106. */
struct db *admin_configdb(struct fail *fail);
/* Arguments; "" and 0 when absent. */
const char *arg_text(struct json_object *args, const char *key);
int64_t arg_number(struct json_object *args, const char *key);
/* Sets fail, returns NULL. */
struct json_object *refuse(struct fail *fail, int exit_code, const char *format, ...) printf_like(3, 4);
/* The answer of a service that has nothing to say. */
struct json_object *done(void);
