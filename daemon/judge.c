/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include "memory.h"
#include "proto/json.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

enum { SHOWN_MAX = 5 };

static const char *cell(const struct judge_table *t, size_t row, size_t column)
{
	const char *text = row < t->n_rows && column < t->n_columns ? t->cells[row * t->n_columns + column] : NULL;
	return text != NULL ? text : "";
}

/* ---- sentences ---- */

static void say(char text[static JUDGE_TEXT_MAX], const char *format, ...) printf_like(2, 3);
static void say(char text[static JUDGE_TEXT_MAX], const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text + len, JUDGE_TEXT_MAX - len, format, args);
	va_end(args);
}

static void say_rows(char text[static JUDGE_TEXT_MAX], const struct judge_table *t)
{
	for (size_t i = 0; i < t->n_rows && i < SHOWN_MAX; i++)
		say(text, "%s %.100s", i == 0 ? ":" : ",", cell(t, i, 0));
	if (t->n_rows > SHOWN_MAX)
		say(text, ", ...");
}

static enum result verdict(bool holds)
{
	return holds ? RESULT_OK : RESULT_FAILED;
}

/* ---- expectations ---- */

static enum result judge_count(const struct probe *probe, const struct judge_table *t, char text[static JUDGE_TEXT_MAX])
{
	bool holds = (int64_t)t->n_rows == probe->number;
	say(text, "%zu row%s, expected %lld", t->n_rows, t->n_rows == 1 ? "" : "s", (long long)probe->number);
	if (!holds)
		say_rows(text, t);
	return verdict(holds);
}

static enum result judge_number(const struct probe *probe, const char *value, char text[static JUDGE_TEXT_MAX])
{
	char *end;
	errno = 0;
	long long number = strtoll(value, &end, 10);
	bool is_min = probe->expect == EXPECT_MIN;
	bool holds = errno == 0 && end != value && *end == '\0' && (is_min ? number >= probe->number : number <= probe->number);
	say(text, "\"%.80s\", expected a number, at %s %lld", value, is_min ? "least" : "most", (long long)probe->number);
	return verdict(holds);
}

int judge_find(const char *expression, const char *text, bool by_line, char line[static JUDGE_LINE_MAX])
{
	regex_t regex;
	regmatch_t at;
	if (regcomp(&regex, expression, REG_EXTENDED | (by_line ? REG_NEWLINE : 0)) != 0)
		return -EINVAL;
	bool found = regexec(&regex, text, 1, &at, 0) == 0;
	regfree(&regex);
	if (!found)
		return 0;
	const char *from = text + at.rm_so;
	while (from > text && from[-1] != '\n')
		from--;
	(void)snprintf(line, JUDGE_LINE_MAX, "%.*s", (int)strcspn(from, "\r\n"), from);
	return 1;
}

/* What many lines have in them is said with the line, or with the last one. */
static enum result judge_match(const struct probe *probe, const char *value, const char *expected, char text[static JUDGE_TEXT_MAX])
{
	char line[JUDGE_LINE_MAX];
	bool wanted = probe->expect == EXPECT_MATCH;
	int found = judge_find(expected, value, probe->kind == PROBE_RUN || probe->kind == PROBE_READ, line);
	if (found < 0) {
		say(text, "\"%.80s\" is no regular expression", expected);
		return RESULT_FAILED;
	}
	const char *last = strrchr(value, '\n');
	say(text, "%s\"%.80s\", expected %s match %.120s", found == 0 && last != NULL ? "... " : "", found > 0 ? line : last != NULL ? last + 1 : value,
		wanted ? "to" : "not to", expected);
	return verdict((found > 0) == wanted);
}

static enum result judge_value(const struct probe *probe, const struct judge_table *t, const char *expected, char text[static JUDGE_TEXT_MAX])
{
	const char *value = cell(t, 0, 0);
	if (t->n_rows == 0) {
		say(text, "no rows, expected a value");
		return verdict(false);
	}
	if (probe->expect == EXPECT_MIN || probe->expect == EXPECT_MAX)
		return judge_number(probe, value, text);
	if (probe->expect != EXPECT_EQUALS)
		return judge_match(probe, value, expected, text);
	say(text, "\"%.80s\", expected \"%.80s\"", value, expected);
	return verdict(strcmp(value, expected) == 0);
}

/* ---- comparing with a capture ---- */

struct lines {
	char **items; /* sorted; owned */
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_done(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->items[i]);
	free(lines->items);
}

/* Whole rows (cells joined) or first cells. */
static struct lines lines_of(const struct judge_table *t, bool whole)
{
	struct lines lines = { .items = memory_need(calloc(t->n_rows + 1, sizeof(char *))), .n = t->n_rows };
	for (size_t i = 0; i < t->n_rows; i++) {
		size_t size;
		FILE *stream = memory_need(open_memstream(&lines.items[i], &size));
		for (size_t k = 0; k < (whole ? t->n_columns : 1); k++)
			(void)fprintf(stream, "%s%s", k > 0 ? "\t" : "", cell(t, i, k));
		(void)fclose(stream);
	}
	qsort(lines.items, lines.n, sizeof(char *), by_text);
	return lines;
}

static bool lines_of_capture(const char *captures, const char *name, bool whole, struct lines *out)
{
	json_cleanup struct json_object *all = captures != NULL ? json_parse(captures, strlen(captures), NULL) : NULL;
	struct json_object *one, *rows;
	if (all == NULL || json_get_object(all, name, &one, NULL) != 0 || json_get_array(one, "rows", &rows, NULL) != 0)
		return false;
	size_t n = json_object_array_length(rows);
	size_t columns = n > 0 ? json_object_array_length(json_object_array_get_idx(rows, 0)) : 0;
	const char **cells = memory_need(calloc(n * columns + 1, sizeof(char *)));
	for (size_t i = 0; i < n * columns; i++) {
		struct json_object *item = json_object_array_get_idx(json_object_array_get_idx(rows, i / columns), i % columns);
		cells[i] = item != NULL ? json_object_get_string(item) : NULL;
	}
	struct judge_table table = { .n_rows = n, .n_columns = columns, .cells = cells };
	*out = lines_of(&table, whole);
	free(cells);
	return true;
}

/* What of `some` is not in `all`: their number; the first few go into text. */
static size_t missing(const struct lines *some, const struct lines *all, const char *what, char text[static JUDGE_TEXT_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < some->n; i++) {
		if (bsearch(&some->items[i], all->items, all->n, sizeof(char *), by_text) != NULL)
			continue;
		if (n < SHOWN_MAX)
			say(text, "%s%s %.110s", n == 0 ? what : ",", n == 0 ? ":" : "", some->items[i]);
		n++;
	}
	if (n > SHOWN_MAX)
		say(text, " and %zu more", n - SHOWN_MAX);
	return n;
}

/* Takes away what the capture `name` holds; what was never captured takes nothing away. */
static void lines_take_away(struct lines *lines, const char *captures, const char *name)
{
	struct lines off;
	if (name == NULL || !lines_of_capture(captures, name, false, &off))
		return;
	size_t kept = 0;
	for (size_t i = 0; i < lines->n; i++) {
		if (bsearch(&lines->items[i], off.items, off.n, sizeof(char *), by_text) != NULL)
			free(lines->items[i]);
		else
			lines->items[kept++] = lines->items[i];
	}
	lines->n = kept;
	lines_done(&off);
}

static enum result judge_capture(const struct probe *probe, const struct judge_table *t, const char *captures, char text[static JUDGE_TEXT_MAX])
{
	struct lines then, now;
	bool whole = probe->expect == EXPECT_SAME_AS;
	if (!lines_of_capture(captures, probe->expected, whole, &then)) {
		say(text, "nothing to compare with: %s was not captured", probe->expected);
		return verdict(false);
	}
	for (size_t i = 0; probe->except != NULL && probe->except[i] != NULL; i++)
		lines_take_away(&then, captures, probe->except[i]);
	now = lines_of(t, whole);
	size_t bad = 0;
	if (probe->expect != EXPECT_CONTAINS)
		bad += missing(&now, &then, "more than was captured", text);
	if (bad > 0 && probe->expect == EXPECT_SAME_AS)
		say(text, "; ");
	if (probe->expect != EXPECT_SUBSET_OF)
		bad += missing(&then, &now, "missing", text);
	if (bad == 0)
		say(text, "%zu row%s, as captured in %s", t->n_rows, t->n_rows == 1 ? "" : "s", probe->expected);
	else
		say(text, ", compared with %s", probe->expected);
	lines_done(&then);
	lines_done(&now);
	return verdict(bad == 0);
}

enum result judge(const struct probe *probe, const struct judge_table *t, const char *expected, const char *captures,
	char text[static JUDGE_TEXT_MAX])
{
	(void)snprintf(text, JUDGE_TEXT_MAX, "%s: ", probe->name);
	switch (probe->expect) {
	case EXPECT_NONE:
		if (t->single)
			say(text, "\"%.80s\"", cell(t, 0, 0));
		else
			say(text, "%zu row%s", t->n_rows, t->n_rows == 1 ? "" : "s");
		return RESULT_OK;
	case EXPECT_ROWS:
		return judge_count(probe, t, text);
	case EXPECT_EQUALS:
	case EXPECT_MATCH:
	case EXPECT_NOT_MATCH:
	case EXPECT_MIN:
	case EXPECT_MAX:
		return judge_value(probe, t, expected != NULL ? expected : "", text);
	case EXPECT_CONTAINS:
	case EXPECT_SUBSET_OF:
	case EXPECT_SAME_AS:
		return judge_capture(probe, t, captures, text);
	case EXPECT_EXIT:
		say(text, "it ended as expected%s%.*s", cell(t, 0, 0)[0] != '\0' ? ": " : "", (int)strcspn(cell(t, 0, 0), "\n"), cell(t, 0, 0));
		return RESULT_OK;
	case EXPECT_STATE:
		break;
	}
	say(text, "this version cannot judge it");
	return RESULT_UNKNOWN;
}

/* ---- values ---- */

static struct json_object *element(struct json_object *array, const char *segment)
{
	size_t n = json_object_array_length(array);
	const char *equals = strchr(segment, '=');
	char *end;
	unsigned long index = strtoul(segment, &end, 10);
	if (equals == NULL)
		return end != segment && *end == '\0' && index < n ? json_object_array_get_idx(array, index) : NULL;
	for (size_t i = 0; i < n; i++) {
		char key[100];
		const char *value;
		struct json_object *item = json_object_array_get_idx(array, i);
		(void)snprintf(key, sizeof(key), "%.*s", (int)(equals - segment), segment);
		if (json_object_is_type(item, json_type_object) && json_get_str(item, key, &value, NULL) == 0 && strcmp(value, equals + 1) == 0)
			return item;
	}
	return NULL;
}

/* The next "/segment" of the pointer, ~1 and ~0 undone; returns the rest. */
static const char *segment_of(const char *at, char *out, size_t size)
{
	size_t n = 0;
	for (at++; *at != '\0' && *at != '/'; at++) {
		char c = *at;
		if (c == '~' && (at[1] == '0' || at[1] == '1'))
			c = *++at == '1' ? '/' : '~';
		if (n + 1 < size)
			out[n++] = c;
	}
	out[n] = '\0';
	return at;
}

char *judge_pointer(const char *body, size_t len, const char *pointer, struct fail *fail)
{
	json_cleanup struct json_object *root = json_parse(body, len, fail);
	if (root == NULL)
		return NULL;
	struct json_object *at = root;
	const char *rest = pointer;
	while (*rest == '/' && at != NULL) {
		char segment[200];
		rest = segment_of(rest, segment, sizeof(segment));
		if (json_object_is_type(at, json_type_array))
			at = element(at, segment);
		else if (!json_object_is_type(at, json_type_object) || !json_object_object_get_ex(at, segment, &at))
			at = NULL;
	}
	if (at == NULL || *rest != '\0') {
		(void)fail_set(fail, -ENOENT, "the answer has nothing at %s", pointer);
		return NULL;
	}
	return memory_need(strdup(json_object_get_string(at)));
}

/* ---- printed tables ---- */

static const char *line_end(const char *line)
{
	const char *end = strchr(line, '\n');
	return end != NULL ? end : line + strlen(line);
}

static bool is_word_in(const char *line, const char *end, const char *word, size_t *offset)
{
	size_t len = strlen(word);
	for (const char *at = line; at + len <= end; at++) {
		bool starts = at == line || at[-1] == ' ' || at[-1] == '|' || at[-1] == '\t';
		const char *after = at + len;
		if (starts && strncmp(at, word, len) == 0 && (after == end || strchr(" |\t\r", *after) != NULL))
			return *offset = (size_t)(at - line), true;
	}
	return false;
}

static bool is_rule(const char *line, const char *end)
{
	return (size_t)(end - line) == strspn(line, "-+=| \t\r");
}

/* Where the next word of the header begins: the column ends there; SIZE_MAX: it is the last. */
static size_t column_end(const char *header, const char *end, size_t from)
{
	const char *at = header + from;
	while (at < end && strchr(" |\t\r", *at) == NULL)
		at++;
	while (at < end && strchr(" |\t\r", *at) != NULL)
		at++;
	return at < end ? (size_t)(at - header) : SIZE_MAX;
}

static int cell_add(struct judge_column *out, const char *line, const char *end, size_t from, size_t to, struct fail *fail)
{
	size_t len = (size_t)(end - line);
	if (to > len)
		to = len;
	const char *start = line + (from < to ? from : to), *stop = line + to;
	const char *bar = memchr(start, '|', (size_t)(stop - start));
	if (bar != NULL)
		stop = bar;
	if ((from > 0 && from < len && strchr(" |\t", line[from - 1]) == NULL) || (to < len && strchr(" |\t", line[to - 1]) == NULL))
		return fail_set(fail, -EINVAL, "the table's columns do not line up at \"%.*s\"", (int)(len < 80 ? len : 80), line);
	while (start < stop && (*start == ' ' || *start == '\t'))
		start++;
	while (stop > start && strchr(" \t\r", stop[-1]) != NULL)
		stop--;
	out->cells = memory_need(realloc(out->cells, (out->n + 1) * sizeof(char *)));
	out->cells[out->n++] = memory_need(strndup(start, (size_t)(stop - start)));
	return 0;
}

int judge_column(const char *text, const char *column, struct judge_column *out, struct fail *fail)
{
	size_t from = 0, to = 0;
	bool header = false, none = false;
	*out = (struct judge_column){ 0 };
	for (const char *line = text; *line != '\0';) {
		const char *end = line_end(line);
		none |= strncmp(line, "No entries found", 16) == 0;
		if (!header && is_word_in(line, end, column, &from)) {
			header = true;
			to = column_end(line, end, from);
		} else if (header && !is_rule(line, end) && cell_add(out, line, end, from, to, fail) != 0) {
			judge_column_done(out);
			return -EINVAL;
		}
		line = *end == '\n' ? end + 1 : end;
	}
	if (header || none)
		return 0;
	return fail_set(fail, -ENOENT, "the output has no column %s: \"%.80s\"", column, text);
}

void judge_column_done(struct judge_column *column)
{
	for (size_t i = 0; i < column->n; i++)
		free(column->cells[i]);
	free(column->cells);
	*column = (struct judge_column){ 0 };
}

/* ---- printed lines ---- */

/* The lines of text that are not empty, ended in place; cells NULL: only counted. */
static size_t split(char *text, size_t n_columns, const char **cells, size_t *widest)
{
	size_t n = 0;
	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		size_t len = next != NULL ? (size_t)(next - line) : strlen(line), width = 1;
		next = next != NULL ? next + 1 : NULL;
		while (len > 0 && line[len - 1] == '\r')
			len--;
		if (len == 0)
			continue;
		for (size_t i = 0; i < len && width < JUDGE_COLUMNS_MAX; i++)
			width += line[i] == '\t';
		if (width > *widest)
			*widest = width;
		if (cells != NULL)
			line[len] = '\0';
		for (size_t i = 0; cells != NULL && i < n_columns; i++) {
			size_t cell = i + 1 < JUDGE_COLUMNS_MAX ? strcspn(line, "\t") : strlen(line);
			cells[n * n_columns + i] = line;
			bool more = line[cell] == '\t';
			line[cell] = '\0';
			line += more ? cell + 1 : cell;
		}
		n++;
	}
	return n;
}

void judge_lines(const char *text, struct judge_lines *out)
{
	size_t widest = 1;
	out->text = memory_need(strdup(text));
	size_t n = split(out->text, 0, NULL, &widest);
	const char **cells = memory_need(calloc(n * widest + 1, sizeof(char *)));
	(void)split(out->text, widest, cells, &widest);
	out->table = (struct judge_table){ .n_rows = n, .n_columns = widest, .cells = cells };
}

void judge_lines_done(struct judge_lines *lines)
{
	free((void *)(uintptr_t)lines->table.cells);
	free(lines->text);
}

/* As it would be read back: json_add_str() mends what is no UTF-8. */
static bool is_text(const char *cell)
{
	json_cleanup struct json_object *holder = json_object_new_object();
	const char *back = "";
	json_add_str(holder, "cell", cell);
	return json_get_str(holder, "cell", &back, NULL) == 0 && strcmp(back, cell) == 0;
}

struct json_object *judge_rows(const struct judge_table *t, struct fail *fail)
{
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
		if (t->cells[i] == NULL || is_text(t->cells[i]))
			continue;
		(void)fail_set(fail, -EILSEQ, "row %zu, column %zu is no UTF-8 text, so it could not be compared later: ask for HEX() of it", i / t->n_columns + 1,
			i % t->n_columns + 1);
		return NULL;
	}
	struct json_object *one = json_object_new_object(), *rows = json_object_new_array();
	for (size_t i = 0; i < t->n_rows; i++) {
		struct json_object *row = json_object_new_array();
		for (size_t k = 0; k < t->n_columns; k++) {
			const char *text = t->cells[i * t->n_columns + k];
			if (text != NULL)
				json_array_add_str(row, text);
			else
				json_object_array_add(row, NULL);
		}
		json_object_array_add(rows, row);
	}
	json_add(one, "rows", rows);
	return one;
}

bool judge_passing(const struct profile *profile, const char *output)
{
	regex_t regex;
	if (profile->passing == NULL || regcomp(&regex, profile->passing, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	bool hit = regexec(&regex, output, 0, NULL, 0) == 0;
	regfree(&regex);
	return hit;
}
