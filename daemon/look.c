/* SPDX-License-Identifier: MIT */
#include "look.h"

#include "config.h"
#include "io/haproxy.h"
#include "io/sql.h"
#include "memory.h"

#include <errno.h>
#include <string.h>

int look_classes_init(struct look_classes *classes, struct bind *bind, const struct set *set, struct fail *fail)
{
	*classes = (struct look_classes){ 0 };
	for (size_t i = 0; i < set->n_classes; i++) {
		char *pattern = bind_regex(bind, set->classes[i].match, fail);
		int rc = pattern != NULL ? regcomp(&classes->regex[classes->n], pattern, REG_EXTENDED | REG_NOSUB) : -1;
		if (pattern != NULL && rc != 0)
			(void)fail_set(fail, -EINVAL, "set %s: \"%s\" is no regular expression", set->name, pattern);
		free(pattern);
		if (rc != 0) {
			look_classes_done(classes);
			return -EINVAL;
		}
		classes->class_[classes->n++] = set->classes[i].class_;
	}
	return 0;
}

void look_classes_done(struct look_classes *classes)
{
	while (classes->n > 0)
		regfree(&classes->regex[--classes->n]);
}

uint8_t look_class(const struct look_classes *classes, const char *value)
{
	for (size_t i = 0; i < classes->n; i++)
		if (regexec(&classes->regex[i], value, 0, NULL, 0) == 0)
			return classes->class_[i];
	return CLASS_NONE;
}

uint8_t look_class_again(const struct look_classes *classes, const char *value, uint8_t but)
{
	for (size_t i = 0; i < classes->n; i++)
		if (classes->class_[i] != but && regexec(&classes->regex[i], value, 0, NULL, 0) == 0)
			return classes->class_[i];
	return CLASS_NONE;
}

/* ---- rows of a query ---- */

static const char *cell(const struct sql_result *result, size_t row, const char *column)
{
	for (size_t i = 0; column != NULL && i < result->n_columns; i++)
		if (strcmp(result->names[i], column) == 0) {
			const char *text = result->cells[row * result->n_columns + i];
			return text != NULL ? text : "";
		}
	return NULL;
}

static uint32_t number(const char *text)
{
	unsigned long long value = strtoull(text, NULL, 10);
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int no_column(struct fail *fail, const struct set *set, const char *column)
{
	return fail_set(fail, -EINVAL, "the query of set %s gives no column \"%s\"; see sets in the profile", set->name, column);
}

int look_row(const struct config *config, const struct set *set, const struct look_classes *classes, const struct sql_result *result,
	size_t row, struct look_row *out, struct fail *fail)
{
	const char *weight = cell(result, row, set->weight_column), *tenants = cell(result, row, set->up_column);
	*out = (struct look_row){ .name = cell(result, row, "name"), .host = cell(result, row, set->host_column), .weight = 1,
		.value = cell(result, row, set->class_column) };
	if (out->name == NULL || out->value == NULL)
		return no_column(fail, set, out->name == NULL ? "name" : set->class_column);
	if (out->name[0] == '\0')
		return fail_set(fail, -EINVAL, "set %s: row %zu has no name", set->name, row + 1);
	if (set->host_column != NULL && out->host == NULL)
		return no_column(fail, set, set->host_column);
	if ((set->weight_column != NULL && weight == NULL) || (set->up_column != NULL && tenants == NULL))
		return no_column(fail, set, weight == NULL ? set->weight_column : set->up_column);
	if (weight != NULL)
		out->weight = number(weight);
	out->tenants = tenants != NULL ? number(tenants) : out->weight;
	out->class_ = look_class(classes, out->value);
	if (out->host == NULL)
		out->host = "";
	const struct config_host *host = out->host[0] != '\0' ? config_host_of_pool(config, out->host) : NULL;
	if (host != NULL)
		out->host_number = (uint16_t)(host - config->hosts + 1);
	return 0;
}

/* ---- columns ---- */

static void put(FILE *stream, const char *key, const char *value)
{
	(void)fprintf(stream, "%s=", key);
	for (; *value != '\0'; value++) {
		if (*value == '\n')
			(void)fputs("\\n", stream);
		else if (*value == '\\')
			(void)fputs("\\\\", stream);
		else
			(void)fputc(*value, stream);
	}
	(void)fputc('\n', stream);
}

char *look_sql_columns(const struct set *set, const struct sql_result *result, size_t row)
{
	char *text;
	size_t size;
	FILE *stream = memory_need(open_memstream(&text, &size));
	const char *host = cell(result, row, set->host_column);
	put(stream, "name", cell(result, row, "name"));
	if (host != NULL)
		put(stream, "host", host);
	for (size_t i = 0; i < result->n_columns; i++) {
		const char *name = result->names[i], *value = result->cells[row * result->n_columns + i];
		if (strcmp(name, "name") != 0 && (host == NULL || strcmp(name, "host") != 0) && value != NULL && strpbrk(name, "=\n") == NULL)
			put(stream, name, value);
	}
	(void)fclose(stream);
	return text;
}

char *look_node_columns(const struct config_node *node)
{
	char *text, capacity[24];
	size_t size;
	FILE *stream = memory_need(open_memstream(&text, &size));
	put(stream, "name", node->name);
	put(stream, "host", node->host != NULL ? node->host : node->name);
	if (node->health != NULL)
		put(stream, "health", node->health);
	(void)snprintf(capacity, sizeof(capacity), "%lld", (long long)node->capacity);
	put(stream, "capacity", capacity);
	for (size_t i = 0; i < node->columns.n; i++)
		put(stream, node->columns.items[i].name, node->columns.items[i].value);
	(void)fclose(stream);
	return text;
}

enum server_state look_server(const struct haproxy_server *server)
{
	if ((server->admin & (HAPROXY_FMAINT | HAPROXY_IMAINT | HAPROXY_RMAINT)) != 0)
		return SERVER_MAINT;
	return (server->admin & (HAPROXY_FDRAIN | HAPROXY_IDRAIN)) != 0 ? SERVER_DRAIN : SERVER_READY;
}
