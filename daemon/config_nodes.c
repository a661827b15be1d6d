/* SPDX-License-Identifier: MIT */
/*
 * An entry of `nodes` is a template: `name = "ox[1-5]"` makes five nodes, and ${name} and ${host} in the other strings are replaced
 * for each. What is left after loading has no ${} in it. Host names end up in the argument vector of ssh: none may look like an
 * option (-oProxyCommand=...).
 */
#include "config_nodes.h"

#include "config.h"
#include "memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct row config_node_rows[] = {
	{"name", ROW_STRING, CONF_REQUIRED, .offset = offsetof(struct config_node, name),
		.doc = "Name of the node, the same as its server name in HAProxy. ``ox[1-5]`` stands for five nodes, ``ox[01-12]`` for twelve with two digits each."},
	{"host", ROW_STRING, CONF_REQUIRED, .offset = offsetof(struct config_node, host),
		.doc = "Name or address to reach it by. ``${name}`` is replaced by the name."},
	{"health", ROW_STRING, CONF_OPTIONAL, .offset = offsetof(struct config_node, health), .def = "http://${host}:8009",
		.doc = "Base URL of its health answers. ``${name}`` and ``${host}`` are replaced."},
	{"capacity", ROW_INT, CONF_OPTIONAL, .offset = offsetof(struct config_node, capacity), .limits = {0, 1000000000, 0},
		.doc = "Tenants that it can carry; 0 is no limit."},
	{0},
};

typedef const char *lookup_fn(const void *context, const char *key);

/* Replaces each ${key}. False and the key in bad if one is unknown or has no end; out is NULL then. */
static bool expand(const char *text, lookup_fn *lookup, const void *context, char **out_text, char bad[static 64])
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = memory_need(open_memstream(&result, &size));
	bool ok = true;
	while (ok && *text) {
		if (strncmp(text, "${", 2) != 0) {
			(void)fputc(*text++, out);
			continue;
		}
		size_t n = strcspn(text + 2, "}");
		(void)snprintf(bad, 64, "%.*s", (int)(n < 63 ? n : 63), text + 2);
		const char *value = n < 63 && text[2 + n] == '}' ? lookup(context, bad) : NULL;
		ok = value != NULL;
		if (ok) {
			(void)fputs(value, out);
			text += n + 3;
		}
	}
	(void)fclose(out);
	if (!ok)
		free(result);
	*out_text = ok ? memory_need(result) : NULL;
	return ok;
}

struct range {
	int prefix; /* bytes of the pattern before the bracket */
	const char *suffix;
	unsigned long low, high;
	int width; /* of zero-padded numbers, else 0 */
	bool plain; /* no brackets: the prefix is all */
};

static bool range_parse(const char *pattern, struct range *out)
{
	const char *open = strchr(pattern, '[');
	*out = (struct range){.prefix = (int)strlen(pattern), .suffix = "", .plain = open == NULL};
	if (open == NULL)
		return strchr(pattern, ']') == NULL;
	char *end;
	if (!isdigit((unsigned char)open[1]))
		return false;
	out->prefix = (int)(open - pattern);
	out->low = strtoul(open + 1, &end, 10);
	out->width = open[1] == '0' ? (int)(end - open - 1) : 0;
	if (*end != '-' || !isdigit((unsigned char)end[1]))
		return false;
	out->high = strtoul(end + 1, &end, 10);
	out->suffix = end + 1;
	return *end == ']' && strpbrk(end + 1, "[]") == NULL && out->low <= out->high && out->high <= 999999 && out->width <= 6;
}

static const char *lookup_name_or_host(const void *context, const char *key)
{
	const struct config_node *node = context;
	return strcmp(key, "name") == 0 ? node->name : strcmp(key, "host") == 0 ? node->host : NULL;
}

static char *expand_column(const struct config_node *node, const char *what, const char *text, const struct conf_node *at, struct conf_errors *errors)
{
	char bad[64], *out;
	if (expand(text, lookup_name_or_host, node, &out, bad))
		return out;
	conf_error(errors, at, "'%s' refers to ${%s}: only ${name}%s can be used here", what, bad, strcmp(what, "host") == 0 ? "" : " and ${host}");
	return NULL;
}

/* Strings of the site: members of the entry that have no row. */
static bool columns_load(struct config_node *node, const struct conf_node *entry, struct conf_errors *errors)
{
	node->columns.items = memory_need(calloc(entry->n_children + 1, sizeof(*node->columns.items)));
	for (size_t i = 0; i < entry->n_children; i++) {
		const struct conf_node *member = &entry->children[i];
		if (rows_find(config_node_rows, member->name) != NULL)
			continue;
		char *value = expand_column(node, member->name, member->string, member, errors);
		if (value == NULL)
			return false;
		node->columns.items[node->columns.n++] = (struct config_pair){memory_need(strdup(member->name)), value, 0};
	}
	return true;
}

static void node_done(struct config_node *node)
{
	rows_done(config_node_rows, node);
	for (size_t i = 0; i < node->columns.n; i++) {
		free(node->columns.items[i].name);
		free(node->columns.items[i].value);
	}
	free(node->columns.items);
}

static bool node_judge(const struct config *config, const struct config_node *node, const struct conf_node *entry, struct conf_errors *errors)
{
	const struct config_node *twin = config_node(config, node->name);
	size_t before = errors->n + errors->n_more;
	if (!row_is_name(node->name))
		conf_error(errors, entry, "node name \"%s\" must be at most 63 letters, digits, '.', '_' or '-'", node->name);
	if (twin != NULL)
		conf_error(errors, entry, "node '%s' is already defined in line %u", node->name, twin->line);
	if (node->host[0] == '-' || strpbrk(node->host, " /@") != NULL)
		conf_error(errors, conf_get(entry, "host"), "host \"%s\" of node '%s' is no host name or address", node->host, node->name);
	if (strncmp(node->health, "http://", 7) != 0 && strncmp(node->health, "https://", 8) != 0)
		conf_error(errors, conf_get(entry, "health"), "'health' must begin with http:// or https://, not \"%s\"", node->health);
	return errors->n + errors->n_more == before;
}

/* One node of the entry; false stops the range, since all others would repeat the mistake. */
static bool node_add(struct config *config, const struct config_node *template, const char *name, const struct conf_node *entry, struct conf_errors *errors)
{
	struct config_node node = {.name = memory_need(strdup(name)), .capacity = template->capacity, .line = entry->line};
	node.host = expand_column(&(struct config_node){.name = node.name}, "host", template->host, conf_get(entry, "host"), errors);
	node.health = node.host ? expand_column(&node, "health", template->health, conf_get(entry, "health"), errors) : NULL;
	bool ok = node.health != NULL && columns_load(&node, entry, errors) && node_judge(config, &node, entry, errors);
	if (!ok) {
		node_done(&node);
		return false;
	}
	config->nodes = memory_need(reallocarray(config->nodes, config->n_nodes + 1, sizeof(node)));
	config->nodes[config->n_nodes++] = node;
	return true;
}

/* Are the members that are no rows usable as columns? */
static void columns_judge(const struct conf_node *entry, struct conf_errors *errors)
{
	for (size_t i = 0; i < entry->n_children; i++) {
		const struct conf_node *member = &entry->children[i];
		if (rows_find(config_node_rows, member->name) != NULL)
			continue;
		const char *near = rows_nearest(config_node_rows, member->name);
		if (near != NULL && conf_get(entry, near) == NULL)
			conf_error(errors, member, "'%s' is not known here: did you mean '%s'?", member->name, near);
		else if (member->type != CONF_STRING)
			conf_error(errors, member, "'%s' is a column of your own and must be a string, not %s", member->name, conf_type_name(member->type));
	}
	if (entry->n_children > CONFIG_COLUMNS_MAX)
		conf_error(errors, entry, "a node can have %d columns at most", CONFIG_COLUMNS_MAX);
}

static void entry_load(struct config *config, const struct conf_node *entry, struct conf_errors *errors)
{
	struct config_node template = {0};
	struct range range = {0};
	size_t before = errors->n + errors->n_more;
	rows_load(config_node_rows, entry, &template, errors);
	columns_judge(entry, errors);
	if (template.name != NULL && !range_parse(template.name, &range))
		conf_error(errors, conf_get(entry, "name"), "\"%s\" is no name and no range like ox[1-5] or ox[01-12]", template.name);
	bool ok = errors->n + errors->n_more == before;
	for (unsigned long i = range.low; ok && i <= range.high; i++) {
		char number[16] = "", *name;
		if (!range.plain)
			(void)snprintf(number, sizeof(number), "%0*lu", range.width, i);
		if (asprintf(&name, "%.*s%s%s", range.prefix, template.name, number, range.suffix) < 0)
			name = memory_need(NULL);
		ok = config->n_nodes < CONFIG_NODES_MAX && node_add(config, &template, name, entry, errors);
		free(name);
		if (config->n_nodes == CONFIG_NODES_MAX && i < range.high)
			conf_error(errors, entry, "more than %d nodes", CONFIG_NODES_MAX);
	}
	rows_done(config_node_rows, &template);
}

void config_nodes_load(struct config *config, const struct conf_node *list, struct conf_errors *errors)
{
	for (size_t i = 0; list != NULL && i < list->n_children; i++) {
		if (list->children[i].type == CONF_GROUP)
			entry_load(config, &list->children[i], errors);
		else
			conf_error(errors, &list->children[i], "element %zu of 'nodes' must be a group, not %s", i + 1, conf_type_name(list->children[i].type));
	}
}

const char *config_node_column(const struct config_node *node, const char *name)
{
	const char *value = lookup_name_or_host(node, name);
	if (value == NULL && strcmp(name, "health") == 0)
		return node->health;
	for (size_t i = 0; value == NULL && i < node->columns.n; i++)
		if (strcmp(node->columns.items[i].name, name) == 0)
			return node->columns.items[i].value;
	return value;
}

static const char *lookup_node_column(const void *context, const char *key)
{
	return strncmp(key, "node.", 5) == 0 ? config_node_column(context, key + 5) : NULL;
}

void config_nodes_check_remote(const struct config *config, const struct conf_node *remote, struct conf_errors *errors)
{
	const struct conf_node *argv = conf_get(remote, "argv");
	for (size_t i = 0; i < config->remote.n; i++) {
		const char *template = config->remote.items[i];
		for (size_t k = 0; k < config->n_nodes; k++) {
			char *argument, bad[64];
			bool ok = expand(template, lookup_node_column, &config->nodes[k], &argument, bad);
			if (!ok)
				conf_error(errors, argv, "'argv' refers to ${%s}, which node '%s' has not: use ${node.name}, ${node.host} or a column of every node", bad, config->nodes[k].name);
			else if (argument[0] == '-' && template[0] != '-')
				conf_error(errors, argv, "argument %zu of 'argv' would become the option \"%s\" for node '%s'", i + 1, argument, config->nodes[k].name);
			ok = ok && (argument[0] != '-' || template[0] == '-');
			free(argument);
			if (!ok)
				break; /* once is enough */
		}
	}
}

char **config_remote_argv(const struct config *config, const struct config_node *node)
{
	size_t n = config->remote.n, length = 0;
	char *strings[CONFIG_ARGV_MAX], bad[64];
	for (size_t i = 0; i < n; i++) {
		(void)expand(config->remote.items[i], lookup_node_column, node, &strings[i], bad); /* checked at load */
		length += strlen(strings[i]) + 1;
	}
	char **argv = memory_need(malloc((n + 1) * sizeof(*argv) + length));
	char *at = (char *)(argv + n + 1);
	for (size_t i = 0; i < n; i++) {
		argv[i] = at;
		at = stpcpy(at, strings[i]) + 1;
		free(strings[i]);
	}
	argv[n] = NULL;
	return argv;
}

const struct config_node *config_node(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_nodes; i++)
		if (strcmp(config->nodes[i].name, name) == 0)
			return &config->nodes[i];
	return NULL;
}

void config_nodes_dump(const struct config *config, FILE *out)
{
	(void)fputs("nodes = (", out);
	for (size_t i = 0; i < config->n_nodes; i++) {
		const struct config_node *node = &config->nodes[i];
		(void)fprintf(out, "%s\n  { ", i ? "," : "");
		rows_dump(config_node_rows, node, "", " ", out);
		for (size_t k = 0; k < node->columns.n; k++) {
			(void)fprintf(out, "%s = ", node->columns.items[k].name);
			conf_dump_string(node->columns.items[k].value, out);
			(void)fputs("; ", out);
		}
		(void)fputc('}', out);
	}
	(void)fputs("\n);\n", out);
}

void config_nodes_done(struct config *config)
{
	for (size_t i = 0; i < config->n_nodes; i++)
		node_done(&config->nodes[i]);
	free(config->nodes);
}
