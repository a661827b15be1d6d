/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Settings as table rows: one row loads, releases, dumps, compares and documents its setting, so that none of these can be forgotten.
 * What a value means beyond its row is judged by who owns the table (config.c, config_nodes.c).
 */

#include "io/conf.h"

struct config_strings;

enum row_kind {
	ROW_STRING,   /* char *; NULL where absent and without default */
	ROW_NAME,     /* char *: letters, digits, . _ -, at most 63 */
	ROW_PATH,     /* char *: absolute */
	ROW_STRINGS,  /* struct config_strings */
	ROW_IDS,      /* struct config_strings; integers are taken too */
	ROW_INT,      /* int64_t */
	ROW_DURATION, /* int64_t, milliseconds */
	ROW_OWN,      /* loaded and dumped by the owner of the table; documented here */
};

enum row_change { ROW_LIVE, ROW_RESTART };

struct row {
	const char *name; /* NULL ends a table */
	enum row_kind kind;
	enum conf_need need;
	enum row_change change;
	size_t offset;               /* of the field in the struct that the table fills */
	const char *def;             /* strings: the default, or NULL; ROW_OWN: for the documentation */
	struct conf_limits limits;   /* numbers; ROW_STRINGS: max elements */
	const char *doc;             /* one paragraph of reStructuredText */
};

/* Fills the fields of *out, which is zeroed or partly filled before; group may be NULL (all defaults). Does not look for unknown names. */
void rows_load(const struct row *rows, const struct conf_node *group, void *out, struct conf_errors *errors);
void rows_known(const struct row *rows, const struct conf_node *group, struct conf_errors *errors);
const struct row *rows_find(const struct row *rows, const char *name);
const char *rows_nearest(const struct row *rows, const char *name);
void rows_done(const struct row *rows, void *object);
/* "name = value;" for each row but ROW_OWN, indented; separator "\n" or " ". */
void rows_dump(const struct row *rows, const void *object, const char *indent, const char *separator, FILE *out);
size_t rows_fixed_changed(const struct row *rows, const void *old, const void *new, FILE *out);
void rows_print_doc(const struct row *rows, const char *title, FILE *out);

/* At most 63 of letters, digits, '.', '_', '-'; begins with a letter or digit. */
bool row_is_name(const char *text);
void config_dump_strings(const struct config_strings *strings, FILE *out);
