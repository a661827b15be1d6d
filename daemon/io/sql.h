/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Short SQL on worker threads with blocking calls; the only owner of libmysqlclient (MariaDB's or Oracle's). Statements here
 * are probes: read-only, at most SQL_STATEMENT_MS long by a limit set in the server. Scripts are tasks of the runner.
 *
 * Credentials come from option files only. Reconnect is never on: a statement whose connection broke has an unknown outcome
 * and says so. TLS: where the option file asks for verification, the cipher is checked after connecting.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct sql;
struct sql_query;

enum { SQL_STATEMENT_MS = 30000, SQL_ROWS_MAX = 200000, SQL_ARGS_MAX = 8 };

enum sql_outcome {
	SQL_OK,
	SQL_FAILED,  /* the server said no: error and code tell */
	SQL_AWAY,    /* no connection could be had; nothing was sent */
	SQL_UNKNOWN, /* sent, and the answer was lost */
};

struct sql_result {
	enum sql_outcome outcome;
	unsigned code;            /* server or client error number, 0 if none */
	const char *error;        /* NULL when SQL_OK */
	size_t n_rows, n_columns; /* cells in row-major order, names has n_columns; borrowed: valid in the callback only */
	const char *const *cells; /* NULL cell = SQL NULL */
	const char *const *names;
};

struct sql_server {
	const char *name;        /* "configdb", "db1": for messages; copied */
	const char *option_file; /* checked for readability and mode before use; copied */
	const char *group;       /* extra group in it, NULL: none; copied */
	unsigned connections;    /* workers at most; 0 = 2 */
};

typedef void sql_done_fn(void *arg, const struct sql_result *result);

/* One pool of workers for one server. Connects lazily; keeps connections open while idle. */
struct sql *sql_new(struct loop *loop, const struct sql_server *server, struct fail *fail);
/*
 * Cancels without callbacks; not from inside one. Statements are killed and their sockets shut, so it waits only for a connection
 * that is just being made: a few seconds at worst.
 */
void sql_free(struct sql *sql);

/*
 * Runs one statement. `?` outside quotes, backticks and comments is replaced by args[i], quoted and escaped by the library on the
 * connection itself; a NULL argument becomes NULL. The callback runs from the loop. Copies everything. Sessions are read-only:
 * SET SESSION TRANSACTION READ ONLY. Bytes behind a NUL in a cell are lost to the reader: ask for HEX() of binary columns.
 *
 * timeout_ms (0 = SQL_STATEMENT_MS, which is also the most) bounds the wait for a connection, SQL_AWAY, and then, by the server,
 * the statement, SQL_FAILED; a server that does not answer at all is SQL_UNKNOWN 2 s later.
 */
struct sql_query *sql_run(struct sql *sql, const char *statement, const char *const *args, size_t n_args, unsigned timeout_ms, sql_done_fn *fn, void *arg);
void sql_cancel(struct sql_query *query); /* no callback after this; the statement is killed by its id from a second connection */

/*
 * Pure: the statement behind a comment that says whose it is, for whoever looks at the process list: upgd, then the words.
 * Whatever the words hold, they stay inside the comment. Owned by the caller.
 */
char *sql_tagged(const char *statement, const char *format, ...) printf_like(2, 3);

/* Pure: counts placeholders outside quotes, backticks and comments; for the profile check. */
size_t sql_placeholders(const char *statement);

const char *sql_library(void);
