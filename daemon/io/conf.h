/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Configuration text as a plain tree: the only owner of libconfig. Knows the language (groups, lists, values, lines), nothing
 * of what upgd.conf or a profile mean.
 *
 * Two kinds of errors: text that cannot be read stops at once (struct fail); a tree that can be read but is wrong is judged to
 * its end, and every mistake is collected with its line (struct conf_errors).
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONF_FILE_MAX = 1024 * 1024, CONF_DEPTH_MAX = 32, CONF_ERRORS_MAX = 100 };

enum conf_type { CONF_GROUP, CONF_LIST, CONF_ARRAY, CONF_STRING, CONF_INT, CONF_BOOL, CONF_FLOAT };
enum conf_need { CONF_OPTIONAL, CONF_REQUIRED };

struct conf_node {
	char *name; /* NULL for the root and for elements of lists and arrays */
	enum conf_type type;
	char *string; /* CONF_STRING: never NULL, valid UTF-8 */
	int64_t integer;
	bool boolean;
	double real;
	struct conf_node *children; /* of groups, lists and arrays */
	size_t n_children;
	unsigned line;
	const char *file; /* borrowed from the struct conf */
};

struct conf {
	struct conf_node root; /* a group */
	char *file;
};

/* Mistakes found in a readable tree, by line; a whole line each: "file:line: sentence". */
struct conf_errors {
	char **lines;
	unsigned *at;
	size_t n;
	size_t n_more; /* not kept: above CONF_ERRORS_MAX */
};

/* Both build into an uninitialised *out; on failure it is untouched and fail begins with the file's name. 0 or -errno. */
must_check int conf_load(struct conf *out, const char *path, struct fail *fail);
must_check int conf_parse(struct conf *out, const char *text, const char *name_for_errors, struct fail *fail);
void conf_done(struct conf *conf);

/* The text of a regular file of at most CONF_FILE_MAX, NUL-terminated, without other NULs; the caller frees it. For who needs a hash of it. */
must_check int conf_read_text(const char *path, char **out_text, struct fail *fail);

/* Canonical text that parses again to an identical dump. root: any group, its members are printed without its own braces. */
void conf_dump(const struct conf_node *root, FILE *out);
/* One value as the dump prints it, without name and end of line. */
void conf_dump_string(const char *string, FILE *out);

/* Records one mistake. node gives file and line; NULL: the sentence stands alone. */
void conf_error(struct conf_errors *errors, const struct conf_node *node, const char *format, ...) printf_like(3, 4);
void conf_errors_print(const struct conf_errors *errors, FILE *out);
void conf_errors_done(struct conf_errors *errors);

/*
 * Getters. A missing optional member gives the default; what is missing and required, of the wrong type or out of range is
 * recorded and gives the default too, so that reading goes on. A NULL group has no members and is no mistake (its own absence
 * was reported, if it is one). Strings and nodes are borrowed from the tree.
 */
struct conf_limits {
	int64_t min, max, def;
};

const struct conf_node *conf_get(const struct conf_node *group, const char *name);
const struct conf_node *conf_group(const struct conf_node *group, const char *name, enum conf_need need, struct conf_errors *errors);
const struct conf_node *conf_list(const struct conf_node *group, const char *name, enum conf_need need, struct conf_errors *errors); /* list or array */
const char *conf_str(const struct conf_node *group, const char *name, enum conf_need need, const char *def, struct conf_errors *errors);
int64_t conf_int(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors);
bool conf_bool(const struct conf_node *group, const char *name, enum conf_need need, bool def, struct conf_errors *errors);
int64_t conf_duration_ms(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors); /* "250ms" "30s" "10m" "2h" "1d" */
int64_t conf_size(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors);        /* "16M", or bytes */

/* Strings of a list or array: a NULL-terminated array (never NULL; free it, not the strings) and its length. */
size_t conf_str_list(const struct conf_node *group, const char *name, enum conf_need need, const char ***out_strings, struct conf_errors *errors);

/* Every member not in the NULL-terminated keys is a mistake, with the nearest known name as a hint. */
void conf_known(const struct conf_node *group, const char *const *keys, struct conf_errors *errors);
/* The nearest of the keys for a "did you mean", or NULL if none is near. */
const char *conf_nearest(const char *name, const char *const *keys);

const char *conf_type_name(enum conf_type type); /* "a group", "a string" */

/* Whole strings only; 0 or -EINVAL, -ERANGE. Never negative values. */
must_check int conf_parse_duration(const char *text, int64_t *out_ms);
must_check int conf_parse_size(const char *text, int64_t *out_bytes);
/* The shortest exact form: 90000 → "90s", 3600000 → "1h". Returns buffer. */
const char *conf_format_duration(int64_t ms, char buffer[static 32]);

const char *conf_library(void); /* "libconfig 1.5" */
