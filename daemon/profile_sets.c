/* SPDX-License-Identifier: MIT */
/* Classes, sets and probes of a profile. */
#include "profile_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void profile_load_classes(struct loader *l, const struct conf_node *root)
{
	struct profile *p = l->profile;
	p->classes[p->n_classes++] = profile_copy("none");
	p->classes[p->n_classes++] = profile_copy("old");
	p->classes[p->n_classes++] = profile_copy("new");
	char **more = profile_list(l, root, "classes");
	size_t n = 0;
	for (; more != NULL && more[n] != NULL; n++) {
		if (p->n_classes < PROFILE_CLASSES_MAX)
			p->classes[p->n_classes++] = more[n];
		else
			free(more[n]);
	}
	profile_too_many(l, conf_get(root, "classes"), "classes", PROFILE_CLASSES_MAX - 3, n);
	free(more);
}

static void load_class_rules(struct loader *l, const struct conf_node *node, struct set *set)
{
	static const char *const keys[] = { "is", "match", NULL };
	const struct conf_node *rules = conf_list(node, "class", CONF_REQUIRED, l->errors);
	if (rules != NULL)
		profile_too_many(l, rules, "class", PROFILE_CLASSES_MAX, rules->n_children);
	for (size_t i = 0; rules != NULL && i < rules->n_children && set->n_classes < PROFILE_CLASSES_MAX; i++) {
		const struct conf_node *rule = &rules->children[i];
		conf_known(rule, keys, l->errors);
		const char *is = conf_str(rule, "is", CONF_REQUIRED, "old", l->errors);
		set->classes[set->n_classes++] = (struct class_rule){ .class_ = profile_class(l, rule, is),
			.match = profile_copy(conf_str(rule, "match", CONF_REQUIRED, "", l->errors)) };
	}
}

/* Further columns of an edge, as the columns of a row are kept: "key=value\n". */
static char *edge_columns(struct loader *l, const struct conf_node *edge)
{
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	if (stream == NULL)
		abort();
	for (size_t i = 0; i < edge->n_children; i++) {
		const struct conf_node *column = &edge->children[i];
		bool is_text = column->type == CONF_STRING && strpbrk(column->string, "\n\\") == NULL;
		if (!is_text)
			conf_error(l->errors, column, "%s: a column of an edge is one line of text", column->name);
		else if (strcmp(column->name, "name") == 0)
			conf_error(l->errors, column, "an edge is named by its `to`");
		else if (strcmp(column->name, "to") != 0)
			(void)fprintf(stream, "%s=%s\n", column->name, column->string);
	}
	(void)fclose(stream);
	return text;
}

static void load_edges(struct loader *l, const struct conf_node *node, struct set *set)
{
	const struct conf_node *list = conf_list(node, "edges", CONF_REQUIRED, l->errors);
	size_t n = list != NULL ? list->n_children : 0;
	set->edges = profile_zeros(n, sizeof(struct edge));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *item = &list->children[i];
		set->edges[set->n_edges++] = (struct edge){ .from = profile_copy(conf_str(item, "from", CONF_REQUIRED, "?", l->errors)),
			.to = profile_copy(conf_str(item, "to", CONF_REQUIRED, "?", l->errors)), .columns = edge_columns(l, item) };
	}
}

static void load_levels(struct loader *l, const struct conf_node *node, struct set *set)
{
	static const char *const keys[] = { "is", "match", NULL };
	const struct conf_node *list = conf_get(node, "levels") != NULL ? conf_list(node, "levels", CONF_REQUIRED, l->errors) : NULL;
	size_t n = list != NULL ? list->n_children : 0;
	set->levels = profile_zeros(n, sizeof(struct level_rule));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *rule = &list->children[i];
		conf_known(rule, keys, l->errors);
		char *match = profile_regex(l, rule, "match");
		if (match == NULL)
			conf_error(l->errors, rule, "a level needs match");
		set->levels[set->n_levels++] = (struct level_rule){ .is = profile_copy(conf_str(rule, "is", CONF_REQUIRED, "?", l->errors)),
			.match = match != NULL ? match : profile_copy("") };
	}
}

/* The rows are the edges on the way from the level that is observed to the target. */
static void load_path(struct loader *l, const struct conf_node *node, struct set *set)
{
	static const char *const keys[] = { "from", "probe", "to", "levels", "edges", NULL };
	conf_known(node, keys, l->errors);
	set->from = SET_PATH;
	set->class_probe = profile_text(l, node, "probe", CONF_REQUIRED);
	set->target = profile_text(l, node, "to", CONF_REQUIRED);
	load_levels(l, node, set);
	load_edges(l, node, set);
}

static void load_set(struct loader *l, const struct conf_node *node)
{
	static const char *const keys[] = { "from", "sql", "query", "host", "weight", "up", "column", "probe", "class", "absent", NULL };
	struct profile *p = l->profile;
	struct set *set = &p->sets[p->n_sets];
	set->name = profile_copy(node->name);
	const struct conf_node *path = conf_get(node, "from");
	if (path != NULL && path->type == CONF_STRING && strcmp(path->string, "path") == 0) {
		load_path(l, node, set);
		p->n_sets++;
		return;
	}
	conf_known(node, keys, l->errors);
	const char *absent = conf_str(node, "absent", CONF_OPTIONAL, NULL, l->errors);
	set->absent = absent != NULL ? profile_class(l, conf_get(node, "absent"), absent) : CLASS_NONE;
	set->database = profile_text(l, node, "sql", CONF_OPTIONAL);
	if (set->database != NULL) {
		set->from = SET_SQL;
		set->query = profile_text(l, node, "query", CONF_REQUIRED);
		set->host_column = profile_text(l, node, "host", CONF_OPTIONAL);
		set->weight_column = profile_text(l, node, "weight", CONF_OPTIONAL);
		set->up_column = profile_text(l, node, "up", CONF_OPTIONAL);
		set->class_column = profile_text(l, node, "column", CONF_REQUIRED);
		if (set->weight_column != NULL)
			p->set_tenants = (int)p->n_sets;
	} else {
		const char *from = conf_str(node, "from", CONF_REQUIRED, "nodes", l->errors);
		set->from = SET_NODES;
		if (absent != NULL)
			conf_error(l->errors, conf_get(node, "absent"), "absent goes with sql");
		if (strcmp(from, "nodes") != 0)
			conf_error(l->errors, conf_get(node, "from"), "from = \"%s\" is not known; a set comes from \"nodes\", \"path\" or from sql", from);
		if (p->set_node >= 0)
			conf_error(l->errors, node, "a second set of nodes; there is one");
		set->class_probe = profile_text(l, node, "probe", CONF_REQUIRED);
		p->set_node = (int)p->n_sets;
	}
	load_class_rules(l, node, set);
	p->n_sets++;
}

void profile_load_sets(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *group = conf_group(root, "sets", CONF_REQUIRED, l->errors);
	size_t n = group != NULL ? group->n_children : 0;
	if (n > 7) {
		conf_error(l->errors, group, "%zu sets; at most 7", n);
		n = 7;
	}
	l->profile->sets = profile_zeros(n + 1, sizeof(struct set));
	l->profile->sets[0] = (struct set){ .name = profile_copy("cluster"), .from = SET_CLUSTER };
	l->profile->n_sets = 1;
	for (size_t i = 0; i < n; i++)
		load_set(l, &group->children[i]);
}

/* ---- probes ---- */

static void load_expect(struct loader *l, const struct conf_node *node, struct probe *probe)
{
	static const struct {
		const char *key;
		enum expect_kind kind;
		bool number;
	} kinds[] = { { "rows", EXPECT_ROWS, true }, { "equals", EXPECT_EQUALS, false }, { "match", EXPECT_MATCH, false },
		{ "not_match", EXPECT_NOT_MATCH, false }, { "min", EXPECT_MIN, true }, { "max", EXPECT_MAX, true },
		{ "contains", EXPECT_CONTAINS, false }, { "subset_of", EXPECT_SUBSET_OF, false }, { "same_as", EXPECT_SAME_AS, false } };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (conf_get(node, kinds[i].key) == NULL)
			continue;
		if (probe->expect != EXPECT_NONE)
			conf_error(l->errors, node, "probe %s expects two things; make two probes of it", probe->name);
		probe->expect = kinds[i].kind;
		free(probe->expected);
		probe->expected = NULL;
		if (kinds[i].number)
			probe->number = conf_int(node, kinds[i].key, CONF_REQUIRED, (struct conf_limits){ .max = INT64_MAX }, l->errors);
		else
			probe->expected = profile_text(l, node, kinds[i].key, CONF_REQUIRED);
	}
}

static void load_probe(struct loader *l, const struct conf_node *node, struct probe *probe)
{
	static const char *const keys[] = { "sql", "query", "position", "args", "http", "json", "run", "env", "on", "cwd", "exit", "lines", "column", "read", "rows", "equals",
		"match", "not_match", "min", "max", "contains", "except", "subset_of", "same_as", "doc", "mend", NULL };
	static const char *const places[] = { "self", "old", "new", "local", NULL };
	conf_known(node, keys, l->errors);
	probe->name = profile_copy(node->name);
	probe->doc = profile_text(l, node, "doc", CONF_OPTIONAL);
	probe->mend = profile_text(l, node, "mend", CONF_OPTIONAL);
	int kinds = (conf_get(node, "sql") != NULL) + (conf_get(node, "http") != NULL) + (conf_get(node, "run") != NULL) + (conf_get(node, "read") != NULL);
	if (kinds != 1)
		conf_error(l->errors, node, "probe %s: needs exactly one of sql, http, run, read", node->name);
	if (conf_get(node, "sql") != NULL) {
		probe->kind = PROBE_SQL;
		probe->target = profile_text(l, node, "sql", CONF_REQUIRED);
		probe->query = profile_text(l, node, "query", CONF_REQUIRED);
		probe->args = profile_list(l, node, "args");
		probe->position = profile_text(l, node, "position", CONF_OPTIONAL);
		if (probe->position != NULL && (strncmp(probe->target, "replicas:", 9) != 0 || probe->args != NULL))
			conf_error(l->errors, conf_get(node, "position"), "position goes with sql = \"replicas:...\", and without args: it is the one ? of the query");
		if (probe->position == NULL && probe->target != NULL && strncmp(probe->target, "replicas:", 9) == 0 && probe->args != NULL)
			conf_error(l->errors, conf_get(node, "args"), "args do not reach replicas: the one ? of such a query is the position");
	} else if (conf_get(node, "http") != NULL) {
		probe->kind = PROBE_HTTP;
		probe->target = profile_text(l, node, "http", CONF_REQUIRED);
		probe->json = profile_text(l, node, "json", CONF_OPTIONAL);
	} else if (conf_get(node, "run") != NULL) {
		probe->kind = PROBE_RUN;
		probe->args = profile_list(l, node, "run");
		probe->column = profile_text(l, node, "column", CONF_OPTIONAL);
	} else {
		probe->kind = PROBE_READ;
		probe->target = profile_text(l, node, "read", CONF_OPTIONAL);
	}
	probe->env = profile_list(l, node, "env");
	probe->cwd = profile_text(l, node, "cwd", CONF_OPTIONAL);
	probe->n_exits = profile_exits(l, node, probe->exits);
	probe->lines = conf_bool(node, "lines", CONF_OPTIONAL, false, l->errors);
	if (probe->kind != PROBE_RUN && (probe->n_exits > 0 || probe->cwd != NULL))
		conf_error(l->errors, node, "exit and cwd go with run");
	if (probe->lines && ((probe->kind != PROBE_RUN && probe->kind != PROBE_READ) || probe->column != NULL))
		conf_error(l->errors, node, "lines goes with run or read, and without column");
	if (probe->kind == PROBE_RUN || probe->kind == PROBE_READ) {
		(void)profile_word(l, node, "on", places);
		probe->on = profile_text(l, node, "on", CONF_REQUIRED);
	}
	load_expect(l, node, probe);
	if (probe->expect == EXPECT_NONE && probe->n_exits > 0)
		probe->expect = EXPECT_EXIT;
	probe->except = profile_list(l, node, "except");
	if (probe->except != NULL && probe->expect != EXPECT_CONTAINS)
		conf_error(l->errors, conf_get(node, "except"), "except goes with contains");
}

void profile_load_probes(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *group = conf_group(root, "probes", CONF_OPTIONAL, l->errors);
	size_t n = group != NULL ? group->n_children : 0;
	l->profile->probes = profile_zeros(n, sizeof(struct probe));
	for (size_t i = 0; i < n; i++)
		load_probe(l, &group->children[i], &l->profile->probes[l->profile->n_probes++]);
}

