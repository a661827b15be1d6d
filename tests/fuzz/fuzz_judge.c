/* SPDX-License-Identifier: MIT */
/* What programs print and nodes answer, any bytes: as lines, as a table with a header, as JSON. None of it grows beyond what it was made of. */
#include "daemon/judge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lines_of(const char *text, size_t size)
{
	struct judge_lines lines;
	judge_lines(text, &lines);
	size_t n = lines.table.n_rows, columns = lines.table.n_columns;
	if (n > size || columns > JUDGE_COLUMNS_MAX || (columns > 1 && columns > size))
		abort();
	for (size_t i = 0; i < n * columns; i++)
		if (lines.table.cells[i] == NULL || strlen(lines.table.cells[i]) > size)
			abort();
	judge_lines_done(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct judge_column column;
	struct fail fail = { .text = "" };
	char *text = malloc(size + 1);
	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	lines_of(text, size);
	if (judge_column(text, "name", &column, &fail) == 0)
		judge_column_done(&column);
	free(judge_pointer(text, size, "/nodes/name=ox1/version", &fail));
	free(text);
	return 0;
}
