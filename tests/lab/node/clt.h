/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the tools share: a call's options, talking to a node, and printing the way OX's console does.
 */

#include "fault.h"
#include "proto/json.h"

#include <stdbool.h>

enum { EXIT_FAILED = 1, EXIT_MISSING = 104, EXIT_REFUSED = 105, EXIT_REMOTE = 107, EXIT_BAD_VALUE = 109, EXIT_UNKNOWN_OPTION = 111 };

struct option {
	const char *shorts, *longs; /* "" none */
	bool has_value;
};

/* AbstractRmiCLI: every error is exit 1. */
enum tool_flags { RMI_CLI = 1 };

struct clt;
struct tool {
	const char *name;
	const struct option *options; /* ended by a row without longs; the common ones are added */
	const char *mandatory;        /* long names; "id|name": one of them; blank between */
	int flags;
	int (*run)(struct clt *clt);
};

struct clt {
	const struct tool *tool;
	struct json_object *given; /* long name → value */
	char host[128];
	int port;
	bool is_partial; /* fault: change half */
	bool is_silent;  /* and say nothing about it */
};

/* 0, or an exit code after saying why. */
must_check int clt_parse(struct clt *clt, int argc, char **argv);
/* Value of an option, NULL: not given. */
const char *clt_option(const struct clt *clt, const char *longs);
int64_t clt_number(const struct clt *clt, const char *longs);

/* host[:port], rmi:// before and / after it allowed; the port is 1099 when missing. */
void clt_parse_host(const char *text, char host[128], int *port);
/* Calls a service; request is consumed. 0 and *ok owned by the caller (may be NULL); otherwise the exit code, and the reason was printed. */
must_check int clt_call(const struct clt *clt, const char *service, struct json_object *request, struct json_object **ok);
/* The same at another place. */
must_check int clt_call_at(const struct clt *clt, const char *host, int port, const char *service, struct json_object *request,
	struct json_object **ok);

/* rows: array of arrays. columns: NULL-terminated. doCSVOutput: header bare, cells quoted, NULL empty. */
void print_csv(struct json_object *rows, const char *const *columns);
void print_table(struct json_object *rows, const char *const *columns);
static inline void print_rows(const struct clt *clt, struct json_object *rows, const char *const *csv, const char *const *table)
{
	if (clt_option(clt, "csv") != NULL)
		print_csv(rows, csv);
	else
		print_table(rows, table);
}

extern const struct tool tools[]; /* ended by a row without name */
int upgradeschemata_run(struct clt *clt);
extern const struct option upgradeschemata_options[];

/* systemctl and apt-get; their exit code. */
int host_systemctl(int argc, char **argv);
int host_apt_get(int argc, char **argv);
int host_dpkg_query(void); /* the version that is installed, as -W -f=${Version} prints it */
