/* SPDX-License-Identifier: MIT */
#include "sql_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 10, ANSWER_BYTES_MAX = 64 << 20 };

struct sql_chunk {
	struct sql_chunk *next;
	size_t used, size;
	char bytes[];
};

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static const char *keep(struct sql_answer *answer, const char *text, size_t len)
{
	struct sql_chunk *chunk = answer->chunks;
	if (chunk == NULL || chunk->size - chunk->used <= len) {
		size_t size = len + 1 > CHUNK_BYTES ? len + 1 : CHUNK_BYTES;
		chunk = must(malloc(sizeof(*chunk) + size));
		*chunk = (struct sql_chunk){ .next = answer->chunks, .size = size };
		answer->chunks = chunk;
		answer->bytes += size;
	}
	char *at = chunk->bytes + chunk->used;
	memcpy(at, text, len);
	at[len] = '\0';
	chunk->used += len + 1;
	return at;
}

void sql_answer_columns(struct sql_answer *answer, size_t n)
{
	answer->n_columns = n;
	answer->names = must(calloc(n, sizeof(*answer->names)));
}

void sql_answer_name(struct sql_answer *answer, size_t column, const char *name)
{
	answer->names[column] = keep(answer, name, strlen(name));
}

void sql_answer_row(struct sql_answer *answer, char *const *cells, const unsigned long *lengths)
{
	if (answer->n_cells + answer->n_columns > answer->max_cells) {
		answer->max_cells = answer->max_cells * 2 + answer->n_columns;
		answer->cells = must(realloc(answer->cells, answer->max_cells * sizeof(*answer->cells)));
	}
	for (size_t i = 0; i < answer->n_columns; i++)
		answer->cells[answer->n_cells++] = cells[i] != NULL ? keep(answer, cells[i], lengths[i]) : NULL;
	answer->n_rows++;
}

bool sql_answer_fits(const struct sql_answer *answer)
{
	return answer->n_rows <= SQL_ROWS_MAX && answer->bytes + answer->max_cells * sizeof(*answer->cells) <= ANSWER_BYTES_MAX;
}

void sql_answer_fail(struct sql_answer *answer, enum sql_outcome outcome, unsigned code, const char *format, ...)
{
	char text[sizeof(answer->error.text)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sql_answer_done(answer);
	answer->outcome = outcome;
	(void)fail_set(&answer->error, (int)code, "%s", text);
}

void sql_answer_done(struct sql_answer *answer)
{
	while (answer->chunks != NULL) {
		struct sql_chunk *chunk = answer->chunks;
		answer->chunks = chunk->next;
		free(chunk);
	}
	free(answer->cells);
	free(answer->names);
	*answer = (struct sql_answer){ 0 };
}
