/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One connection, blocking, for worker threads only; sql_conn.c is the only owner of libmysqlclient. Knows no queue and no loop.
 */

#include "sql_answer.h"

struct sql_conn;

struct sql_conn_options {
	const char *option_file, *group; /* group may be NULL */
	unsigned connect_s, read_s;
};

void sql_conn_thread_begin(void); /* around everything else in a thread */
void sql_conn_thread_end(void);

/* NULL: fail says why, its code is the library's or the server's number, or 0. */
struct sql_conn *sql_conn_open(const struct sql_conn_options *options, struct fail *fail);
void sql_conn_close(struct sql_conn *conn); /* NULL is fine */
int sql_conn_fd(const struct sql_conn *conn);
unsigned long sql_conn_id(const struct sql_conn *conn); /* in the server, for KILL */
bool sql_conn_is_alive(struct sql_conn *conn);          /* asks the server */

/* Read-only session, short lock waits, and the server's own limit for each statement from here on, read back. The code as above, 0 = done. */
must_check int sql_conn_prepare(struct sql_conn *conn, unsigned limit_ms, struct fail *fail);

/* The statement with its arguments in place of `?`; as many as it has. Freed by the caller. */
char *sql_conn_bind(struct sql_conn *conn, const char *statement, char *const *args, size_t n_args, size_t *out_len);

/* False: the connection is of no use any more. */
must_check bool sql_conn_run(struct sql_conn *conn, const char *text, size_t len, struct sql_answer *answer);
void sql_conn_kill(struct sql_conn *conn, unsigned long id);
