/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a query brought: rows, or why there are none. Texts lie in chunks that never move, so that cells can point to them.
 */

#include "sql.h"

struct sql_answer {
	enum sql_outcome outcome;
	struct fail error;           /* code: the library's or the server's number, 0 if none */
	struct sql_chunk *chunks;    /* owned */
	size_t bytes;
	const char **cells, **names; /* owned arrays of texts in the chunks; a NULL cell is SQL's NULL */
	size_t n_cells, max_cells, n_columns, n_rows;
};

void sql_answer_columns(struct sql_answer *answer, size_t n);
void sql_answer_name(struct sql_answer *answer, size_t column, const char *name);
void sql_answer_row(struct sql_answer *answer, char *const *cells, const unsigned long *lengths);
bool sql_answer_fits(const struct sql_answer *answer); /* false: more rows or bytes than are kept */

/* Drops the rows there are. */
void sql_answer_fail(struct sql_answer *answer, enum sql_outcome outcome, unsigned code, const char *format, ...) printf_like(4, 5);
void sql_answer_done(struct sql_answer *answer);
