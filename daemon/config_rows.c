/* SPDX-License-Identifier: MIT */
#include "config_rows.h"

#include "config.h"
#include "memory.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 63 }; /* a DNS label; it is part of task ids as well */

bool row_is_name(const char *text)
{
	size_t n = strlen(text);
	if (n == 0 || n > NAME_MAX_LENGTH || !isalnum((unsigned char)text[0]))
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("._-", *text))
			return false;
	return true;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return true;
	return false;
}

static char *load_string(const struct row *row, const struct conf_node *group, struct conf_errors *errors)
{
	const char *text = conf_str(group, row->name, row->need, row->def, errors);
	const struct conf_node *node = conf_get(group, row->name);
	if (text == NULL)
		return NULL;
	if (node != NULL && node->type == CONF_STRING && text == node->string) {
		if (text[0] == '\0')
			conf_error(errors, node, "'%s' must not be empty", row->name);
		else if (has_control(text))
			conf_error(errors, node, "'%s' must not hold control characters", row->name);
		else if (row->kind == ROW_NAME && !row_is_name(text))
			conf_error(errors, node, "'%s' must be a name of at most 63 letters, digits, '.', '_' or '-', not \"%s\"", row->name, text);
		else if (row->kind == ROW_PATH && text[0] != '/')
			conf_error(errors, node, "'%s' must be an absolute path, not \"%s\"", row->name, text);
	}
	return memory_need(strdup(text));
}

static struct config_strings load_strings(const struct row *row, const struct conf_node *group, struct conf_errors *errors)
{
	const struct conf_node *list = conf_list(group, row->name, row->need, errors);
	size_t n = list != NULL ? list->n_children : 0;
	struct config_strings strings = {0};
	if (list != NULL && n == 0 && row->need == CONF_REQUIRED)
		conf_error(errors, list, "'%s' must not be empty", row->name);
	if (row->limits.max > 0 && n > (size_t)row->limits.max)
		conf_error(errors, list, "'%s' has %zu elements; at most %" PRId64 " are possible", row->name, n, row->limits.max);
	if (n == 0)
		return strings;
	strings.items = memory_need(calloc(n + 1, sizeof(*strings.items)));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *element = &list->children[i];
		char *text = NULL;
		if (element->type == CONF_STRING && element->string[0] != '\0')
			text = strdup(element->string);
		else if (element->type == CONF_STRING)
			conf_error(errors, element, "element %zu of '%s' must not be empty", i + 1, row->name);
		else if (element->type != CONF_INT || row->kind != ROW_IDS)
			conf_error(errors, element, "element %zu of '%s' must be a string, not %s", i + 1, row->name, conf_type_name(element->type));
		else if (asprintf(&text, "%" PRId64, element->integer) < 0)
			text = NULL;
		strings.items[strings.n++] = memory_need(text ? text : strdup("-"));
	}
	return strings;
}

void rows_load(const struct row *rows, const struct conf_node *group, void *out, struct conf_errors *errors)
{
	for (const struct row *row = rows; row->name != NULL; row++) {
		void *field = (char *)out + row->offset;
		switch (row->kind) {
		case ROW_STRING:
		case ROW_NAME:
		case ROW_PATH:
			*(char **)field = load_string(row, group, errors);
			break;
		case ROW_STRINGS:
		case ROW_IDS:
			*(struct config_strings *)field = load_strings(row, group, errors);
			break;
		case ROW_INT:
			*(int64_t *)field = conf_int(group, row->name, row->need, row->limits, errors);
			break;
		case ROW_DURATION:
			*(int64_t *)field = conf_duration_ms(group, row->name, row->need, row->limits, errors);
			break;
		case ROW_OWN:
			break;
		}
	}
}

const struct row *rows_find(const struct row *rows, const char *name)
{
	for (; rows->name != NULL; rows++)
		if (strcmp(rows->name, name) == 0)
			return rows;
	return NULL;
}

enum { ROWS_MAX = 32 };

static void row_names(const struct row *rows, const char *names[static ROWS_MAX])
{
	size_t n = 0;
	for (; rows->name != NULL && n < ROWS_MAX - 1; rows++)
		names[n++] = rows->name;
	names[n] = NULL;
}

void rows_known(const struct row *rows, const struct conf_node *group, struct conf_errors *errors)
{
	const char *names[ROWS_MAX];
	row_names(rows, names);
	conf_known(group, names, errors);
}

const char *rows_nearest(const struct row *rows, const char *name)
{
	const char *names[ROWS_MAX];
	row_names(rows, names);
	return conf_nearest(name, names);
}

static void strings_done(struct config_strings *strings)
{
	for (size_t i = 0; i < strings->n; i++)
		free(strings->items[i]);
	free(strings->items);
}

void rows_done(const struct row *rows, void *object)
{
	for (const struct row *row = rows; row->name != NULL; row++) {
		void *field = (char *)object + row->offset;
		if (row->kind == ROW_STRING || row->kind == ROW_NAME || row->kind == ROW_PATH)
			free(*(char **)field);
		else if (row->kind == ROW_STRINGS || row->kind == ROW_IDS)
			strings_done(field);
	}
}

void config_dump_strings(const struct config_strings *strings, FILE *out)
{
	(void)fputc('[', out);
	for (size_t i = 0; i < strings->n; i++) {
		(void)fputs(i ? ", " : " ", out);
		conf_dump_string(strings->items[i], out);
	}
	(void)fputs(" ]", out);
}

/* Prints the value and returns true, or nothing where there is none: absent strings, empty lists, ROW_OWN. */
static bool dump_field(const struct row *row, const void *object, FILE *out)
{
	const void *field = (const char *)object + row->offset;
	char text[32];
	switch (row->kind) {
	case ROW_STRING:
	case ROW_NAME:
	case ROW_PATH:
		if (*(char *const *)field == NULL)
			return false;
		conf_dump_string(*(char *const *)field, out);
		return true;
	case ROW_STRINGS:
	case ROW_IDS:
		if (((const struct config_strings *)field)->n == 0)
			return false;
		config_dump_strings(field, out);
		return true;
	case ROW_INT:
		(void)fprintf(out, "%" PRId64, *(const int64_t *)field);
		return true;
	case ROW_DURATION:
		(void)fprintf(out, "\"%s\"", conf_format_duration(*(const int64_t *)field, text));
		return true;
	case ROW_OWN:
		return false;
	}
	return false;
}

static char *field_text(const struct row *row, const void *object)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = memory_need(open_memstream(&text, &size));
	(void)dump_field(row, object, out);
	(void)fclose(out);
	return memory_need(text);
}

void rows_dump(const struct row *rows, const void *object, const char *indent, const char *separator, FILE *out)
{
	for (const struct row *row = rows; row->name != NULL; row++) {
		char *text = field_text(row, object);
		if (text[0] != '\0')
			(void)fprintf(out, "%s%s = %s;%s", indent, row->name, text, separator);
		free(text);
	}
}

size_t rows_fixed_changed(const struct row *rows, const void *old, const void *new, FILE *out)
{
	size_t n = 0;
	for (const struct row *row = rows; row->name != NULL; row++) {
		if (row->change != ROW_RESTART || row->kind == ROW_OWN)
			continue;
		char *before = field_text(row, old), *after = field_text(row, new);
		if (strcmp(before, after) != 0) {
			(void)fprintf(out, "%s: %s -> %s\n", row->name, before[0] ? before : "none", after[0] ? after : "none");
			n++;
		}
		free(before);
		free(after);
	}
	return n;
}

static void print_limits(const struct row *row, FILE *out)
{
	char low[32], high[32], def[32];
	if (row->kind == ROW_INT)
		(void)fprintf(out, "integer from %" PRId64 " to %" PRId64 ", default %" PRId64, row->limits.min, row->limits.max, row->limits.def);
	else if (row->kind == ROW_DURATION)
		(void)fprintf(out, "duration from %s to %s, default \"%s\"", conf_format_duration(row->limits.min, low),
			conf_format_duration(row->limits.max, high), conf_format_duration(row->limits.def, def));
}

void rows_print_doc(const struct row *rows, const char *title, FILE *out)
{
	static const char *const kinds[] = {
		[ROW_STRING] = "string", [ROW_NAME] = "name", [ROW_PATH] = "absolute path", [ROW_STRINGS] = "array of strings",
		[ROW_IDS] = "array of strings or integers", [ROW_OWN] = "group",
	};
	(void)fprintf(out, "%s\n", title);
	for (size_t i = strlen(title); i > 0; i--)
		(void)fputc('-', out);
	(void)fputc('\n', out);
	for (const struct row *row = rows; row->name != NULL; row++) {
		(void)fprintf(out, "\n``%s`` (", row->name);
		if (row->kind == ROW_INT || row->kind == ROW_DURATION) {
			print_limits(row, out);
		} else if (row->kind == ROW_OWN) {
			(void)fputs(row->def, out);
		} else {
			(void)fputs(kinds[row->kind], out);
			if (row->def != NULL)
				(void)fprintf(out, ", default \"%s\"", row->def);
		}
		(void)fprintf(out, "%s%s)\n  %s\n", row->need == CONF_REQUIRED ? ", required" : "", row->change == ROW_RESTART ? ", takes effect with a restart" : "", row->doc);
	}
	(void)fputc('\n', out);
}
