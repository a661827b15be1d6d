/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The node's database connections, blocking, one per use; the only owner of libmysqlclient in the lab. Connections are
 * kept per pool and checked before reuse.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct json_object;

/* NULL: down, fail says why. pool 0 is the configdb. */
struct db *db_open(int pool, struct fail *fail);
/* Gives it back; NULL and the pointer of a broken one are fine. */
void db_close(struct db **db);
#define db_cleanup __attribute__((cleanup(db_close)))

/* 'text' as an SQL literal, or NULL; valid until the eighth next call on this connection. */
const char *db_quote(struct db *db, const char *text);
/* Matched rows as Connector/J counts them, or -errno (-EEXIST: duplicate key). */
must_check int64_t db_exec(struct db *db, struct fail *fail, const char *format, ...) printf_like(3, 4);
/* Array of arrays of strings or null, owned by the caller; NULL: failed. */
must_check struct json_object *db_rows(struct db *db, struct fail *fail, const char *format, ...) printf_like(3, 4);
/* The one number a query gives; otherwise when it gives none or fails. */
int64_t db_number(struct db *db, int64_t otherwise, const char *format, ...) printf_like(3, 4);

/* Cells of what db_rows gave. */
const char *row_text(struct json_object *rows, size_t row, size_t column);
int64_t row_number(struct json_object *rows, size_t row, size_t column);
