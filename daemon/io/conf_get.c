/* SPDX-License-Identifier: MIT */
/*
 * Typed reading of a configuration tree that never stops: a person who made five mistakes gets five lines, in the order of the
 * file, and repairs them in one go.
 */
#include "conf.h"

#include "daemon/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void errors_insert(struct conf_errors *errors, char *line, unsigned at)
{
	errors->lines = memory_need(reallocarray(errors->lines, errors->n + 1, sizeof(*errors->lines)));
	errors->at = memory_need(reallocarray(errors->at, errors->n + 1, sizeof(*errors->at)));
	size_t i = errors->n++;
	for (; i > 0 && errors->at[i - 1] > at; i--) {
		errors->lines[i] = errors->lines[i - 1];
		errors->at[i] = errors->at[i - 1];
	}
	errors->lines[i] = line;
	errors->at[i] = at;
}

void conf_error(struct conf_errors *errors, const struct conf_node *node, const char *format, ...)
{
	if (errors->n == CONF_ERRORS_MAX) {
		errors->n_more++;
		return;
	}
	char *sentence, *line;
	va_list args;
	va_start(args, format);
	if (vasprintf(&sentence, format, args) < 0)
		sentence = memory_need(NULL);
	va_end(args);
	if (node == NULL) {
		errors_insert(errors, sentence, 0);
		return;
	}
	if (asprintf(&line, "%s:%u: %s", node->file, node->line, sentence) < 0)
		line = memory_need(NULL);
	free(sentence);
	errors_insert(errors, line, node->line);
}

void conf_errors_print(const struct conf_errors *errors, FILE *out)
{
	for (size_t i = 0; i < errors->n; i++)
		(void)fprintf(out, "%s\n", errors->lines[i]);
	if (errors->n_more)
		(void)fprintf(out, "and %zu more\n", errors->n_more);
}

void conf_errors_done(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		free(errors->lines[i]);
	free(errors->lines);
	free(errors->at);
	*errors = (struct conf_errors){0};
}

const char *conf_type_name(enum conf_type type)
{
	static const char *const names[] = {
		[CONF_GROUP] = "a group", [CONF_LIST] = "a list", [CONF_ARRAY] = "an array", [CONF_STRING] = "a string",
		[CONF_INT] = "an integer", [CONF_BOOL] = "a boolean", [CONF_FLOAT] = "a number with a fraction",
	};
	return names[type];
}

const struct conf_node *conf_get(const struct conf_node *group, const char *name)
{
	for (size_t i = 0; group != NULL && i < group->n_children; i++)
		if (group->children[i].name != NULL && strcmp(group->children[i].name, name) == 0)
			return &group->children[i];
	return NULL;
}

/* The member if it is there and of the type; a mistake is recorded otherwise, unless it may be missing and is. */
static const struct conf_node *member(const struct conf_node *group, const char *name, enum conf_need need, enum conf_type type, struct conf_errors *errors)
{
	const struct conf_node *node = conf_get(group, name);
	if (node == NULL && group != NULL && need == CONF_REQUIRED)
		conf_error(errors, group, "'%s' is missing: it must be %s", name, conf_type_name(type));
	if (node == NULL || node->type == type)
		return node;
	conf_error(errors, node, "'%s' must be %s, not %s", name, conf_type_name(type), conf_type_name(node->type));
	return NULL;
}

const struct conf_node *conf_group(const struct conf_node *group, const char *name, enum conf_need need, struct conf_errors *errors)
{
	return member(group, name, need, CONF_GROUP, errors);
}

const struct conf_node *conf_list(const struct conf_node *group, const char *name, enum conf_need need, struct conf_errors *errors)
{
	const struct conf_node *node = conf_get(group, name);
	return node != NULL && node->type == CONF_ARRAY ? node : member(group, name, need, CONF_LIST, errors);
}

const char *conf_str(const struct conf_node *group, const char *name, enum conf_need need, const char *def, struct conf_errors *errors)
{
	const struct conf_node *node = member(group, name, need, CONF_STRING, errors);
	if (node == NULL)
		return def;
	if (node->string[0] == '\0' && need == CONF_REQUIRED) {
		conf_error(errors, node, "'%s' must not be empty", name);
		return def;
	}
	return node->string;
}

int64_t conf_int(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors)
{
	const struct conf_node *node = member(group, name, need, CONF_INT, errors);
	if (node == NULL)
		return limits.def;
	if (node->integer >= limits.min && node->integer <= limits.max)
		return node->integer;
	conf_error(errors, node, "'%s' must be from %" PRId64 " to %" PRId64 ", not %" PRId64, name, limits.min, limits.max, node->integer);
	return limits.def;
}

bool conf_bool(const struct conf_node *group, const char *name, enum conf_need need, bool def, struct conf_errors *errors)
{
	const struct conf_node *node = member(group, name, need, CONF_BOOL, errors);
	return node != NULL ? node->boolean : def;
}

struct unit {
	const char *suffix;
	int64_t factor;
};

static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024LL * 1024 * 1024}, {"T", 1024LL * 1024 * 1024 * 1024}, {NULL, 0}};

static int parse_unit(const char *text, const struct unit *units, int64_t *out)
{
	if (*text < '0' || *text > '9')
		return -EINVAL;
	char *end;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	for (; units->suffix != NULL; units++) {
		if (strcmp(end, units->suffix) != 0)
			continue;
		int64_t value;
		if (__builtin_mul_overflow(number, units->factor, &value))
			return -ERANGE;
		*out = value;
		return 0;
	}
	return -EINVAL;
}

int conf_parse_duration(const char *text, int64_t *out_ms)
{
	return parse_unit(text, durations, out_ms);
}

int conf_parse_size(const char *text, int64_t *out_bytes)
{
	return parse_unit(text, sizes, out_bytes);
}

const char *conf_format_duration(int64_t ms, char buffer[static 32])
{
	const struct unit *unit = durations;
	while (unit->factor > 1 && (ms == 0 || ms % unit->factor != 0))
		unit++;
	(void)snprintf(buffer, 32, "%" PRId64 "%s", ms / unit->factor, unit->suffix);
	return buffer;
}

int64_t conf_duration_ms(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors)
{
	const struct conf_node *node = conf_get(group, name);
	char low[32], high[32];
	int64_t ms;
	if (node != NULL && node->type == CONF_INT) {
		conf_error(errors, node, "'%s' needs a unit, in quotes: \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\"", name);
		return limits.def;
	}
	node = member(group, name, need, CONF_STRING, errors);
	if (node == NULL)
		return limits.def;
	if (conf_parse_duration(node->string, &ms) < 0) {
		conf_error(errors, node, "'%s' must be a duration like \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\", not \"%s\"", name, node->string);
		return limits.def;
	}
	if (ms >= limits.min && ms <= limits.max)
		return ms;
	conf_error(errors, node, "'%s' must be from %s to %s, not %s", name, conf_format_duration(limits.min, low), conf_format_duration(limits.max, high), node->string);
	return limits.def;
}

int64_t conf_size(const struct conf_node *group, const char *name, enum conf_need need, struct conf_limits limits, struct conf_errors *errors)
{
	const struct conf_node *node = conf_get(group, name);
	if (node != NULL && node->type == CONF_INT)
		return conf_int(group, name, need, limits, errors);
	node = member(group, name, need, CONF_STRING, errors);
	int64_t bytes;
	if (node == NULL)
		return limits.def;
	if (conf_parse_size(node->string, &bytes) < 0) {
		conf_error(errors, node, "'%s' must be a size like \"512K\", \"16M\" or \"2G\", not \"%s\"", name, node->string);
		return limits.def;
	}
	if (bytes >= limits.min && bytes <= limits.max)
		return bytes;
	conf_error(errors, node, "'%s' must be from %" PRId64 " to %" PRId64 " bytes, not %s", name, limits.min, limits.max, node->string);
	return limits.def;
}

size_t conf_str_list(const struct conf_node *group, const char *name, enum conf_need need, const char ***out_strings, struct conf_errors *errors)
{
	const struct conf_node *list = conf_list(group, name, need, errors);
	size_t n = 0, n_elements = list != NULL ? list->n_children : 0;
	const char **strings = memory_need(calloc(n_elements + 1, sizeof(*strings)));
	for (size_t i = 0; i < n_elements; i++) {
		const struct conf_node *element = &list->children[i];
		if (element->type == CONF_STRING)
			strings[n++] = element->string;
		else
			conf_error(errors, element, "element %zu of '%s' must be a string, not %s", i + 1, name, conf_type_name(element->type));
	}
	if (list != NULL && n_elements == 0 && need == CONF_REQUIRED)
		conf_error(errors, list, "'%s' must not be empty", name);
	*out_strings = strings;
	return n;
}

/* Levenshtein with one row; names longer than the row are near to nothing. */
static size_t distance(const char *a, const char *b)
{
	size_t row[65], n = strlen(b);
	if (n > 64 || strlen(a) > 64)
		return SIZE_MAX / 2;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t replace = diagonal + (a[i - 1] != b[j - 1]);
			size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = replace < shift ? replace : shift;
		}
	}
	return row[n];
}

const char *conf_nearest(const char *name, const char *const *keys)
{
	const char *best = NULL;
	size_t best_distance = strlen(name) < 4 ? 2 : 3; /* exclusive: one slip in a short name, two in a longer one */
	for (; *keys != NULL; keys++) {
		size_t d = distance(name, *keys) + (name[0] != (*keys)[0]); /* few people miss the first letter */
		if (d < best_distance) {
			best = *keys;
			best_distance = d;
		}
	}
	return best;
}

void conf_known(const struct conf_node *group, const char *const *keys, struct conf_errors *errors)
{
	for (size_t i = 0; group != NULL && i < group->n_children; i++) {
		const char *name = group->children[i].name;
		bool found = name == NULL;
		for (const char *const *key = keys; !found && *key != NULL; key++)
			found = strcmp(*key, name) == 0;
		if (found)
			continue;
		const char *near = conf_nearest(name, keys);
		if (near != NULL)
			conf_error(errors, &group->children[i], "'%s' is not known here: did you mean '%s'?", name, near);
		else
			conf_error(errors, &group->children[i], "'%s' is not known here", name);
	}
}
