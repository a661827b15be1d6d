/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Judges what a probe got: pure, no I/O. A value is a table of text; a single value is a table of one cell.
 */

#include "core/profile.h"
#include "core/rollout.h"
#include "proto/fail.h"

struct judge_table {
	size_t n_rows, n_columns;
	const char *const *cells; /* row-major; NULL cell: SQL NULL; borrowed */
	bool single;              /* one value, not rows */
};

enum { JUDGE_TEXT_MAX = 480, JUDGE_LINE_MAX = 160, JUDGE_COLUMNS_MAX = 64 };

/*
 * expected: probe->expected with its names put in (for match: as a regular expression); captures: JSON of the unit, NULL: none. text
 * names the probe, what it got, what was expected and what that means; also when it holds.
 */
enum result judge(const struct probe *probe, const struct judge_table *table, const char *expected, const char *captures,
	char text[static JUDGE_TEXT_MAX]);

/* The value at a JSON pointer as text, owned by the caller; NULL with fail set. A segment "name=hazelcast" picks the element of an array. */
char *judge_pointer(const char *body, size_t len, const char *pointer, struct fail *fail);

/* One column of a table that a tool printed; cells are owned by the result. "No entries found." is no rows. */
struct judge_column {
	char **cells;
	size_t n;
};
must_check int judge_column(const char *text, const char *column, struct judge_column *out, struct fail *fail);
void judge_column_done(struct judge_column *column);

/*
 * Each line that is not empty as a row, its cells between tabs; all rows are as wide as the widest. The last of JUDGE_COLUMNS_MAX cells has the
 * rest of its line: one line of tabs beside many short ones would be gigabytes. Owned by the result.
 */
struct judge_lines {
	char *text;
	struct judge_table table;
};
void judge_lines(const char *text, struct judge_lines *out);
void judge_lines_done(struct judge_lines *lines);

/*
 * 1: it is found, and line is the line on which it begins, cut; 0: it is not; -EINVAL: no regular expression. by_line: ^ and $ are the ends
 * of lines, not of the text.
 */
int judge_find(const char *expression, const char *text, bool by_line, char line[static JUDGE_LINE_MAX]);

/* {"rows":[["a"],["b"]]}, as captures hold it; owned by the caller (json_object_put). */
struct json_object;
struct json_object *judge_rows(const struct judge_table *table, struct fail *fail); /* NULL: a cell is no text */

/* What a program said when it failed is not its own fault: the profile's `passing`. */
bool judge_passing(const struct profile *profile, const char *output);
