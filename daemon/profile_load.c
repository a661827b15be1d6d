/* SPDX-License-Identifier: MIT */
/*
 * From text to struct profile. Reading goes on after a mistake, so that all of them are told at once. Names of probes, stages, classes and
 * balancers become numbers here; what is between the quotes stays a template.
 */
#include "profile_load.h"

#include "profile_prove.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
	struct profile *profile;
	const char *const *params; /* KEY, VALUE ..., NULL; NULL: none given */
	struct conf_errors *errors;
};

static char *copy(const char *text)
{
	if (text == NULL)
		return NULL;
	char *out = strdup(text);
	if (out == NULL)
		abort();
	return out;
}

static void *zeros(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);
	if (p == NULL)
		abort();
	return p;
}

static char *text_of(struct loader *l, const struct conf_node *group, const char *key, enum conf_need need)
{
	return copy(conf_str(group, key, need, NULL, l->errors));
}

/* A list of strings as a NULL-terminated array of its own; NULL if the key is absent. */
static char **list_of(struct loader *l, const struct conf_node *group, const char *key)
{
	if (conf_get(group, key) == NULL)
		return NULL;
	const char **strings;
	size_t n = conf_str_list(group, key, CONF_OPTIONAL, &strings, l->errors);
	char **out = zeros(n + 1, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = copy(strings[i]);
	free(strings);
	return out;
}

/* A word out of a closed list; the first is the default. */
static unsigned word_of(struct loader *l, const struct conf_node *group, const char *key, const char *const *words)
{
	const char *word = conf_str(group, key, CONF_OPTIONAL, words[0], l->errors);
	for (unsigned i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	const char *near = conf_nearest(word, words);
	conf_error(l->errors, conf_get(group, key), "%s = \"%s\" is not known%s%s%s", key, word, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
	return 0;
}

static uint8_t class_index(struct loader *l, const struct conf_node *at, const char *name)
{
	for (size_t i = 1; i < l->profile->n_classes; i++)
		if (strcmp(l->profile->classes[i], name) == 0)
			return (uint8_t)i;
	conf_error(l->errors, at, "no class \"%s\"; besides old and new, classes are declared in `classes`", name);
	return CLASS_OLD;
}

static uint8_t balancer_index(struct loader *l, const char *name)
{
	int i = profile_balancer(l->profile, name);
	if (i >= 0)
		return (uint8_t)i;
	if (l->profile->n_balancers == PROFILE_BALANCERS_MAX) {
		conf_error(l->errors, NULL, "balancer \"%s\": a profile has at most %d", name, PROFILE_BALANCERS_MAX);
		return 0;
	}
	l->profile->balancers[l->profile->n_balancers] = copy(name); /* whether the site has it is for check */
	return (uint8_t)l->profile->n_balancers++;
}

/* What does not fit is never left out in silence: a floor that is not looked at guards nobody. */
static void too_many(struct loader *l, const struct conf_node *at, const char *what, size_t most, size_t n)
{
	if (n > most)
		conf_error(l->errors, at, "%s: %zu of them, at most %zu", what, n, most);
}

/* ---- params, classes, sets ---- */

static bool param_fits(enum param_type type, const char *value)
{
	int64_t ms;
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	switch (type) {
	case PARAM_TEXT:
		return strchr(value, '\n') == NULL;
	case PARAM_VERSION:
	case PARAM_NAME:
		return value[0] != '\0' && value[0] != '-' && strspn(value, name) == strlen(value);
	case PARAM_URL:
		return (strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0) && strpbrk(value, " \n\t\"'") == NULL;
	case PARAM_DURATION:
		return conf_parse_duration(value, &ms) == 0;
	case PARAM_INT:
		return value[0] != '\0' && strspn(value, "0123456789") == strlen(value) && strlen(value) < 19;
	}
	return false;
}

/* The value from `start`, if there is one; without a start only defaults are judged. */
static void param_given(struct loader *l, const struct conf_node *node, struct param *param)
{
	static const char *const want[] = { "one line of text", "a version, 7.10.6", "a name of letters, digits, . _ -", "an http or https URL",
		"a duration, 30s or 10m", "a number" };
	for (size_t i = 0; l->params != NULL && l->params[i] != NULL; i += 2) {
		if (strcmp(l->params[i], param->name) == 0) {
			free(param->value);
			param->value = copy(l->params[i + 1]);
		}
	}
	if (param->value == NULL && l->params != NULL)
		conf_error(l->errors, NULL, "parameter %s is missing: %s", param->name, param->doc != NULL ? param->doc : want[param->type]);
	if (param->value != NULL && !param_fits(param->type, param->value))
		conf_error(l->errors, l->params == NULL ? node : NULL, "parameter %s = \"%s\": should be %s", param->name, param->value, want[param->type]);
}

static void load_params(struct loader *l, const struct conf_node *root)
{
	static const char *const keys[] = { "type", "default", "doc", NULL };
	static const char *const types[] = { "text", "version", "name", "url", "duration", "int", NULL };
	const struct conf_node *group = conf_group(root, "params", CONF_OPTIONAL, l->errors);
	if (group == NULL)
		return;
	l->profile->params = zeros(group->n_children, sizeof(struct param));
	for (size_t i = 0; i < group->n_children; i++) {
		const struct conf_node *node = &group->children[i];
		struct param *param = &l->profile->params[l->profile->n_params++];
		conf_known(node, keys, l->errors);
		param->name = copy(node->name);
		param->type = (enum param_type)word_of(l, node, "type", types);
		param->value = text_of(l, node, "default", CONF_OPTIONAL);
		param->doc = text_of(l, node, "doc", CONF_OPTIONAL);
		param_given(l, node, param);
	}
}

static void params_known(struct loader *l)
{
	for (size_t i = 0; l->params != NULL && l->params[i] != NULL; i += 2) {
		size_t k = 0;
		while (k < l->profile->n_params && strcmp(l->profile->params[k].name, l->params[i]) != 0)
			k++;
		if (k == l->profile->n_params)
			conf_error(l->errors, NULL, "profile %s has no parameter \"%s\"", l->profile->name, l->params[i]);
	}
}

static void load_classes(struct loader *l, const struct conf_node *root)
{
	struct profile *p = l->profile;
	p->classes[p->n_classes++] = copy("none");
	p->classes[p->n_classes++] = copy("old");
	p->classes[p->n_classes++] = copy("new");
	char **more = list_of(l, root, "classes");
	size_t n = 0;
	for (; more != NULL && more[n] != NULL; n++) {
		if (p->n_classes < PROFILE_CLASSES_MAX)
			p->classes[p->n_classes++] = more[n];
		else
			free(more[n]);
	}
	too_many(l, conf_get(root, "classes"), "classes", PROFILE_CLASSES_MAX - 3, n);
	free(more);
}

static void load_class_rules(struct loader *l, const struct conf_node *node, struct set *set)
{
	static const char *const keys[] = { "is", "match", NULL };
	const struct conf_node *rules = conf_list(node, "class", CONF_REQUIRED, l->errors);
	if (rules != NULL)
		too_many(l, rules, "class", PROFILE_CLASSES_MAX, rules->n_children);
	for (size_t i = 0; rules != NULL && i < rules->n_children && set->n_classes < PROFILE_CLASSES_MAX; i++) {
		const struct conf_node *rule = &rules->children[i];
		conf_known(rule, keys, l->errors);
		const char *is = conf_str(rule, "is", CONF_REQUIRED, "old", l->errors);
		set->classes[set->n_classes++] = (struct class_rule){ .class_ = class_index(l, rule, is),
			.match = copy(conf_str(rule, "match", CONF_REQUIRED, "", l->errors)) };
	}
}

static void load_set(struct loader *l, const struct conf_node *node)
{
	static const char *const keys[] = { "from", "sql", "query", "host", "weight", "up", "column", "probe", "class", NULL };
	struct profile *p = l->profile;
	struct set *set = &p->sets[p->n_sets];
	conf_known(node, keys, l->errors);
	set->name = copy(node->name);
	set->database = text_of(l, node, "sql", CONF_OPTIONAL);
	if (set->database != NULL) {
		set->from = SET_SQL;
		set->query = text_of(l, node, "query", CONF_REQUIRED);
		set->host_column = text_of(l, node, "host", CONF_OPTIONAL);
		set->weight_column = text_of(l, node, "weight", CONF_OPTIONAL);
		set->up_column = text_of(l, node, "up", CONF_OPTIONAL);
		set->class_column = text_of(l, node, "column", CONF_REQUIRED);
		if (set->weight_column != NULL)
			p->set_tenants = (int)p->n_sets;
	} else {
		const char *from = conf_str(node, "from", CONF_REQUIRED, "nodes", l->errors);
		set->from = SET_NODES;
		if (strcmp(from, "nodes") != 0)
			conf_error(l->errors, conf_get(node, "from"), "from = \"%s\" is not known; a set comes from \"nodes\" or from sql", from);
		if (p->set_node >= 0)
			conf_error(l->errors, node, "a second set of nodes; there is one");
		set->class_probe = text_of(l, node, "probe", CONF_REQUIRED);
		p->set_node = (int)p->n_sets;
	}
	load_class_rules(l, node, set);
	p->n_sets++;
}

static void load_sets(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *group = conf_group(root, "sets", CONF_REQUIRED, l->errors);
	size_t n = group != NULL ? group->n_children : 0;
	if (n > 7) {
		conf_error(l->errors, group, "%zu sets; at most 7", n);
		n = 7;
	}
	l->profile->sets = zeros(n + 1, sizeof(struct set));
	l->profile->sets[0] = (struct set){ .name = copy("cluster"), .from = SET_CLUSTER };
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
			probe->expected = text_of(l, node, kinds[i].key, CONF_REQUIRED);
	}
}

static void load_probe(struct loader *l, const struct conf_node *node, struct probe *probe)
{
	static const char *const keys[] = { "sql", "query", "position", "args", "http", "json", "run", "env", "on", "column", "read", "rows", "equals",
		"match", "not_match", "min", "max", "contains", "except", "subset_of", "same_as", "doc", NULL };
	static const char *const places[] = { "self", "old", "new", "local", NULL };
	conf_known(node, keys, l->errors);
	probe->name = copy(node->name);
	probe->doc = text_of(l, node, "doc", CONF_OPTIONAL);
	int kinds = (conf_get(node, "sql") != NULL) + (conf_get(node, "http") != NULL) + (conf_get(node, "run") != NULL) + (conf_get(node, "read") != NULL);
	if (kinds != 1)
		conf_error(l->errors, node, "probe %s: needs exactly one of sql, http, run, read", node->name);
	if (conf_get(node, "sql") != NULL) {
		probe->kind = PROBE_SQL;
		probe->target = text_of(l, node, "sql", CONF_REQUIRED);
		probe->query = text_of(l, node, "query", CONF_REQUIRED);
		probe->args = list_of(l, node, "args");
		probe->position = text_of(l, node, "position", CONF_OPTIONAL);
		if (probe->position != NULL && (strncmp(probe->target, "replicas:", 9) != 0 || probe->args != NULL))
			conf_error(l->errors, conf_get(node, "position"), "position goes with sql = \"replicas:...\", and without args: it is the one ? of the query");
		if (probe->position == NULL && probe->target != NULL && strncmp(probe->target, "replicas:", 9) == 0 && probe->args != NULL)
			conf_error(l->errors, conf_get(node, "args"), "args do not reach replicas: the one ? of such a query is the position");
	} else if (conf_get(node, "http") != NULL) {
		probe->kind = PROBE_HTTP;
		probe->target = text_of(l, node, "http", CONF_REQUIRED);
		probe->json = text_of(l, node, "json", CONF_OPTIONAL);
	} else if (conf_get(node, "run") != NULL) {
		probe->kind = PROBE_RUN;
		probe->args = list_of(l, node, "run");
		probe->column = text_of(l, node, "column", CONF_OPTIONAL);
	} else {
		probe->kind = PROBE_READ;
		probe->target = text_of(l, node, "read", CONF_OPTIONAL);
	}
	probe->env = list_of(l, node, "env");
	if (probe->kind == PROBE_RUN || probe->kind == PROBE_READ) {
		(void)word_of(l, node, "on", places);
		probe->on = text_of(l, node, "on", CONF_REQUIRED);
	}
	load_expect(l, node, probe);
	probe->except = list_of(l, node, "except");
	if (probe->except != NULL && probe->expect != EXPECT_CONTAINS)
		conf_error(l->errors, conf_get(node, "except"), "except goes with contains");
}

static void load_probes(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *group = conf_group(root, "probes", CONF_OPTIONAL, l->errors);
	size_t n = group != NULL ? group->n_children : 0;
	l->profile->probes = zeros(n, sizeof(struct probe));
	for (size_t i = 0; i < n; i++)
		load_probe(l, &group->children[i], &l->profile->probes[l->profile->n_probes++]);
}

static size_t probe_list(struct loader *l, const struct conf_node *group, const char *key, uint16_t out[PROFILE_LIST_MAX])
{
	char **names = list_of(l, group, key);
	size_t n = 0;
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		int probe = profile_probe(l->profile, names[i]);
		if (probe < 0)
			conf_error(l->errors, conf_get(group, key), "%s: no probe \"%s\"", key, names[i]);
		else if (n == PROFILE_LIST_MAX)
			conf_error(l->errors, conf_get(group, key), "%s: more than %d probes", key, PROFILE_LIST_MAX);
		else
			out[n++] = (uint16_t)probe;
		free(names[i]);
	}
	free(names);
	return n;
}

/* ---- floors ---- */

static void load_counter(struct loader *l, const struct conf_node *at, const char *text, struct counter *out)
{
	static const char *const what[] = { [COUNTER_NODES] = "nodes", [COUNTER_TENANTS] = "tenants", [COUNTER_CAPACITY] = "capacity", [COUNTER_ROWS] = "rows" };
	const char *dot = strchr(text, '.');
	if (dot == NULL) {
		conf_error(l->errors, at, "\"%s\" is no counter; a counter is BALANCER.ready or CLASS.nodes, .tenants, .capacity, .rows", text);
		return;
	}
	char name[64];
	(void)snprintf(name, sizeof(name), "%.*s", (int)(dot - text), text);
	if (strcmp(dot + 1, "ready") == 0) {
		*out = (struct counter){ .kind = COUNTER_READY, .index = balancer_index(l, name) };
		return;
	}
	for (int i = COUNTER_NODES; i <= COUNTER_ROWS; i++) {
		if (what[i] != NULL && strcmp(dot + 1, what[i]) == 0) {
			*out = (struct counter){ .kind = (enum counter_kind)i, .index = class_index(l, at, name) };
			return;
		}
	}
	conf_error(l->errors, at, "\"%s\" counts nothing; a counter is BALANCER.ready or CLASS.nodes, .tenants, .capacity, .rows", text);
}

/* min and max are a number or a counter. */
static void load_bound(struct loader *l, const struct conf_node *group, const char *key, struct counter *out)
{
	const struct conf_node *node = conf_get(group, key);
	if (node->type == CONF_STRING)
		load_counter(l, node, node->string, out);
	else
		*out = (struct counter){ .kind = COUNTER_CONST,
			.constant = conf_int(group, key, CONF_REQUIRED, (struct conf_limits){ .max = INT64_MAX }, l->errors) };
}

static size_t load_floors(struct loader *l, const struct conf_node *group, const char *key, struct floor out[PROFILE_LIST_MAX])
{
	static const char *const keys[] = { "what", "min", "max", "only", "over", NULL };
	static const char *const overs[] = { "none", "one", NULL };
	const struct conf_node *list = conf_get(group, key) != NULL ? conf_list(group, key, CONF_REQUIRED, l->errors) : NULL;
	size_t n = 0;
	if (list != NULL)
		too_many(l, list, key, PROFILE_LIST_MAX, list->n_children);
	for (size_t i = 0; list != NULL && i < list->n_children && n < PROFILE_LIST_MAX; i++) {
		const struct conf_node *node = &list->children[i];
		struct floor *floor = &out[n++];
		conf_known(node, keys, l->errors);
		load_counter(l, node, conf_str(node, "what", CONF_REQUIRED, "old.nodes", l->errors), &floor->what);
		if ((conf_get(node, "min") == NULL) == (conf_get(node, "max") == NULL)) {
			conf_error(l->errors, node, "needs min or max, and not both");
			continue;
		}
		floor->is_max = conf_get(node, "max") != NULL;
		load_bound(l, node, floor->is_max ? "max" : "min", &floor->bound);
		floor->has_only = conf_get(node, "only") != NULL;
		if (floor->has_only)
			load_counter(l, node, conf_str(node, "only", CONF_REQUIRED, "old.nodes", l->errors), &floor->only);
		floor->over_one = word_of(l, node, "over", overs) == 1;
	}
	return n;
}

/* ---- steps ---- */

/* A duration that may be ${param.x}: the parameter's default is used until start gives another one. */
static uint64_t duration_of(struct loader *l, const struct conf_node *group, const char *key)
{
	const struct conf_node *node = conf_get(group, key);
	int64_t ms = 0;
	if (node == NULL)
		return 0;
	if (node->type == CONF_STRING && strncmp(node->string, "${param.", 8) == 0) {
		char name[64] = "";
		(void)sscanf(node->string, "${param.%63[^}]", name);
		for (size_t i = 0; i < l->profile->n_params; i++)
			if (strcmp(l->profile->params[i].name, name) == 0 && l->profile->params[i].value != NULL &&
				conf_parse_duration(l->profile->params[i].value, &ms) == 0)
				return (uint64_t)ms;
		conf_error(l->errors, node, "%s: ${param.%s} is no duration with a default", key, name);
		return 0;
	}
	return (uint64_t)conf_duration_ms(group, key, CONF_OPTIONAL, (struct conf_limits){ .max = INT64_MAX }, l->errors);
}

static void load_action(struct loader *l, const struct conf_node *node, struct action *act)
{
	static const char *const wants[] = { "unknown", "ready", "drain", "maint", NULL };
	static const char *const thens[] = { "next", "shutdown", "hold", NULL };
	static const char *const kinds[] = { "run", "edit", "server", "approve", "wait", "restore" };
	int n = 0;
	for (size_t i = 0; i < 6; i++)
		n += conf_get(node, kinds[i]) != NULL;
	if (n > 1)
		conf_error(l->errors, node, "does two things; a step does one of run, edit, server, approve, wait");
	act->env = list_of(l, node, "env");
	if (conf_get(node, "run") != NULL) {
		act->kind = ACTION_RUN;
		act->argv = list_of(l, node, "run");
		if (act->argv == NULL || act->argv[0] == NULL)
			conf_error(l->errors, node, "run is empty; it is a list of arguments, the program first");
	} else if (conf_get(node, "edit") != NULL) {
		act->kind = ACTION_EDIT;
		act->file = text_of(l, node, "edit", CONF_REQUIRED);
		act->line = text_of(l, node, "line", CONF_REQUIRED);
		const struct conf_node *to = conf_get(node, "to"); /* "" is a value: the line is there and empty */
		if (to != NULL && to->type == CONF_STRING)
			act->to = copy(to->string);
		else
			act->to = text_of(l, node, "to", CONF_REQUIRED);
	} else if (conf_get(node, "server") != NULL) {
		act->kind = ACTION_SERVER;
		act->balancer = balancer_index(l, conf_str(node, "server", CONF_REQUIRED, "main", l->errors));
		act->want = (enum server_state)word_of(l, node, "want", wants);
		if (act->want == SERVER_UNKNOWN)
			conf_error(l->errors, node, "server needs want = \"ready\", \"drain\" or \"maint\"");
		act->idle = conf_get(node, "idle") != NULL;
		act->idle_ms = duration_of(l, node, "idle");
		act->then = (enum until_then)word_of(l, node, "then", thens);
	} else if (conf_get(node, "approve") != NULL) {
		act->kind = ACTION_APPROVE;
		act->to = text_of(l, node, "approve", CONF_REQUIRED);
	} else if (conf_get(node, "wait") != NULL) {
		act->kind = ACTION_WAIT;
		act->wait_ms = duration_of(l, node, "wait");
	}
}

static void load_undo(struct loader *l, const struct conf_node *node, struct step *step)
{
	static const char *const keys[] = { "run", "env", "restore", "while", "verify", NULL };
	const struct conf_node *undo = conf_get(node, "undo");
	if (undo == NULL || undo->type == CONF_STRING) {
		if (undo != NULL && strcmp(undo->string, "none") != 0)
			conf_error(l->errors, undo, "undo is a group, or \"none\"");
		return;
	}
	conf_known(undo, keys, l->errors);
	step->has_undo = true;
	load_action(l, undo, &step->undo);
	step->undo.restore = conf_bool(undo, "restore", CONF_OPTIONAL, false, l->errors);
	if (step->undo.restore) {
		if (step->act.kind != ACTION_EDIT && step->act.kind != ACTION_SERVER)
			conf_error(l->errors, undo, "restore is for edit and server");
		step->undo.kind = step->act.kind;
		step->undo.balancer = step->act.balancer;
		step->undo.file = copy(step->act.file);
		step->undo.line = copy(step->act.line);
	} else if (step->undo.kind == ACTION_NONE) {
		conf_error(l->errors, undo, "undo does nothing: give run or restore, or say undo = \"none\"");
	}
	step->n_undo_while = load_floors(l, undo, "while", step->undo_while);
	step->n_undo_verify = probe_list(l, undo, "verify", step->undo_verify);
}

static void load_on(struct loader *l, const struct conf_node *node, struct step *step)
{
	static const char *const words[] = { "none", "self", "old", "new", "local" };
	const struct conf_node *on = conf_get(node, "on");
	const char **strings;
	const char *one[] = { on != NULL && on->type == CONF_STRING ? on->string : NULL };
	size_t n = one[0] != NULL;
	bool is_list = on != NULL && on->type != CONF_STRING;
	if (is_list)
		n = conf_str_list(node, "on", CONF_OPTIONAL, &strings, l->errors);
	for (size_t i = 0; i < n; i++) {
		const char *word = is_list ? strings[i] : one[0];
		unsigned k = 1;
		while (k < 5 && strcmp(words[k], word) != 0)
			k++;
		if (k == 5)
			conf_error(l->errors, on, "on = \"%s\" is not known; it is self, old, new or local", word);
		else if (step->n_on == PROFILE_LANES_MAX)
			conf_error(l->errors, on, "on names more than %d places", PROFILE_LANES_MAX);
		else
			step->on[step->n_on++] = (enum lane_kind)k;
	}
	if (is_list)
		free(strings);
}

static void load_captures(struct loader *l, const struct conf_node *node, struct step *step)
{
	static const char *const keys[] = { "name", "probe", NULL };
	const struct conf_node *list = conf_get(node, "capture") != NULL ? conf_list(node, "capture", CONF_REQUIRED, l->errors) : NULL;
	if (list != NULL)
		too_many(l, list, "capture", PROFILE_LIST_MAX, list->n_children);
	for (size_t i = 0; list != NULL && i < list->n_children && step->n_captures < PROFILE_LIST_MAX; i++) {
		const struct conf_node *item = &list->children[i];
		struct capture *capture = &step->captures[step->n_captures++];
		conf_known(item, keys, l->errors);
		capture->name = text_of(l, item, "name", CONF_REQUIRED);
		capture->probe = text_of(l, item, "probe", CONF_REQUIRED);
		if (capture->probe != NULL && profile_probe(l->profile, capture->probe) < 0)
			conf_error(l->errors, item, "capture: no probe \"%s\"", capture->probe);
	}
}

static void load_orphans(struct loader *l, const struct conf_node *node, struct step *step)
{
	char *name = text_of(l, node, "orphans", CONF_OPTIONAL);
	int probe = name != NULL ? profile_probe(l->profile, name) : -1;
	if (name == NULL && conf_get(node, "on_orphans") != NULL)
		conf_error(l->errors, conf_get(node, "on_orphans"), "on_orphans goes with orphans");
	else if (name != NULL && probe < 0)
		conf_error(l->errors, conf_get(node, "orphans"), "orphans: no probe \"%s\"", name);
	step->has_orphans = probe >= 0;
	step->orphans = (uint16_t)(probe >= 0 ? probe : 0);
	free(name);
}

static void load_step(struct loader *l, const struct conf_node *node, struct step *step)
{
	static const char *const keys[] = { "name", "run", "env", "edit", "line", "to", "server", "want", "idle", "then", "approve", "wait", "on",
		"when", "window", "pivot", "resolve", "orphans", "on_orphans", "skip_if_done", "done_when", "verify", "within", "steady", "capture", "timeout", "on_timeout", "retry",
		"on_failure", "undo", "takes", NULL };
	static const char *const windows[] = { "none", "open", "close", NULL };
	static const char *const resolves[] = { "ask", "rerun", "probe", "attach", NULL };
	static const char *const failures[] = { "default", "undo", "hold", NULL };
	static const char *const whens[] = { "always", "tenants", "no tenants", "fenced", NULL };
	static const char *const orphans[] = { "wait", "kill", "ask", NULL };
	static const char *const timeouts[] = { "hold", "kill", NULL };
	conf_known(node, keys, l->errors);
	step->name = copy(conf_str(node, "name", CONF_REQUIRED, "?", l->errors));
	load_action(l, node, &step->act);
	load_on(l, node, step);
	unsigned when = word_of(l, node, "when", whens);
	step->only_with_tenants = when == 1;
	step->only_without_tenants = when == 2;
	step->only_fenced = when == 3;
	step->window = (enum step_window)word_of(l, node, "window", windows);
	step->pivot = conf_bool(node, "pivot", CONF_OPTIONAL, false, l->errors);
	step->resolve = (enum resolve_kind)word_of(l, node, "resolve", resolves);
	load_orphans(l, node, step);
	step->on_orphans = (enum orphans_then)word_of(l, node, "on_orphans", orphans);
	step->skip_if_done = conf_bool(node, "skip_if_done", CONF_OPTIONAL, false, l->errors);
	step->n_done_when = probe_list(l, node, "done_when", step->done_when);
	step->n_verify = probe_list(l, node, "verify", step->verify);
	step->within_ms = duration_of(l, node, "within");
	step->steady_ms = duration_of(l, node, "steady");
	step->timeout_ms = duration_of(l, node, "timeout");
	step->kill = word_of(l, node, "on_timeout", timeouts) == 1;
	step->retry = (uint8_t)conf_int(node, "retry", CONF_OPTIONAL, (struct conf_limits){ .max = 100 }, l->errors);
	step->on_failure = (enum failure_kind)word_of(l, node, "on_failure", failures);
	step->takes_ms = duration_of(l, node, "takes");
	if (step->takes_ms == 0 && step->act.kind == ACTION_SERVER)
		step->takes_ms = step->act.idle_ms; /* at most */
	load_captures(l, node, step);
	load_undo(l, node, step);
	if (step->act.kind == ACTION_SERVER)
		step->resolve = RESOLVE_RERUN; /* a wish, set again until it is read back */
}

/* ---- stages ---- */

static uint32_t stage_list(struct loader *l, const struct conf_node *group, const char *key)
{
	char **names = list_of(l, group, key);
	uint32_t bits = 0;
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		int stage = profile_stage(l->profile, names[i]);
		if (stage < 0)
			conf_error(l->errors, conf_get(group, key), "%s: no stage \"%s\"", key, names[i]);
		else
			bits |= 1u << stage;
		free(names[i]);
	}
	free(names);
	return bits;
}

static void load_limits(struct loader *l, const struct conf_node *node, struct stage *stage)
{
	static const char *const keys[] = { "total", "per_host", "tenants_down", NULL };
	const struct conf_limits range = { .max = 100000000 };
	const struct conf_node *limits = conf_group(node, "limits", CONF_OPTIONAL, l->errors);
	if (limits == NULL)
		return;
	conf_known(limits, keys, l->errors);
	stage->total = (uint32_t)conf_int(limits, "total", CONF_OPTIONAL, range, l->errors);
	stage->per_host = (uint32_t)conf_int(limits, "per_host", CONF_OPTIONAL, range, l->errors);
	stage->tenants_down = conf_int(limits, "tenants_down", CONF_OPTIONAL, range, l->errors);
}

static void load_stage(struct loader *l, const struct conf_node *node, struct stage *stage)
{
	static const char *const keys[] = { "name", "for", "where", "after", "needs", "same", "keep", "before", "check", "limits", "canary", "soak", "order", "again",
		"fence", "away", "steps", NULL };
	static const char *const orders[] = { "name", "longest", NULL };
	conf_known(node, keys, l->errors);
	const char *set = conf_str(node, "for", CONF_REQUIRED, "cluster", l->errors);
	size_t i = 0;
	while (i < l->profile->n_sets && strcmp(l->profile->sets[i].name, set) != 0)
		i++;
	if (i == l->profile->n_sets)
		conf_error(l->errors, conf_get(node, "for"), "no set \"%s\"", set);
	else
		stage->set = (uint8_t)i;
	char **where = list_of(l, node, "where");
	for (size_t k = 0; where != NULL && where[k] != NULL; k++) {
		stage->where |= 1u << class_index(l, conf_get(node, "where"), where[k]);
		free(where[k]);
	}
	free(where);
	stage->after = stage_list(l, node, "after");
	stage->needs = stage_list(l, node, "needs");
	stage->same = stage_list(l, node, "same");
	stage->n_keep = load_floors(l, node, "keep", stage->keep);
	stage->n_before = probe_list(l, node, "before", stage->before);
	stage->n_check = probe_list(l, node, "check", stage->check);
	load_limits(l, node, stage);
	stage->canary = (uint32_t)conf_int(node, "canary", CONF_OPTIONAL, (struct conf_limits){ .max = 1000 }, l->errors);
	stage->soak_ms = duration_of(l, node, "soak");
	stage->order = (enum stage_order)word_of(l, node, "order", orders);
	const char *fence = conf_str(node, "fence", CONF_OPTIONAL, NULL, l->errors);
	stage->fence = fence != NULL ? balancer_index(l, fence) : -1;
	stage->away_ms = duration_of(l, node, "away");
	stage->again = conf_bool(node, "again", CONF_OPTIONAL, false, l->errors);
	const struct conf_node *steps = conf_list(node, "steps", CONF_REQUIRED, l->errors);
	size_t n = steps != NULL ? steps->n_children : 0;
	if (n == 0 || n > PROFILE_STEPS_MAX)
		conf_error(l->errors, node, "stage %s has %zu steps; 1 to %d", stage->name, n, PROFILE_STEPS_MAX);
	stage->n_steps = n <= PROFILE_STEPS_MAX ? n : PROFILE_STEPS_MAX;
	stage->steps = zeros(stage->n_steps, sizeof(struct step));
	for (size_t k = 0; k < stage->n_steps; k++) {
		struct step *step = &stage->steps[k];
		load_step(l, &steps->children[k], step);
		stage->has_window |= step->window == WINDOW_OPEN;
		stage->has_pivot |= step->pivot;
		stage->takes_out |= step->act.kind == ACTION_SERVER && step->act.want != SERVER_READY;
	}
}

static void load_stages(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *list = conf_list(root, "stages", CONF_REQUIRED, l->errors);
	size_t n = list != NULL ? list->n_children : 0;
	if (n > PROFILE_STAGES_MAX) {
		conf_error(l->errors, list, "%zu stages; at most %d", n, PROFILE_STAGES_MAX);
		n = PROFILE_STAGES_MAX;
	}
	l->profile->stages = zeros(n, sizeof(struct stage));
	for (size_t i = 0; i < n; i++) /* names first: after and same may look ahead */
		l->profile->stages[i].name = copy(conf_str(&list->children[i], "name", CONF_REQUIRED, "?", l->errors));
	l->profile->n_stages = n;
	for (size_t i = 0; i < n; i++)
		load_stage(l, &list->children[i], &l->profile->stages[i]);
}

static void load_passing(struct loader *l, const struct conf_node *root)
{
	regex_t regex;
	l->profile->passing = text_of(l, root, "passing", CONF_OPTIONAL);
	if (l->profile->passing == NULL)
		return;
	if (regcomp(&regex, l->profile->passing, REG_EXTENDED | REG_NOSUB) == 0)
		regfree(&regex);
	else
		conf_error(l->errors, conf_get(root, "passing"), "\"%s\" is no regular expression", l->profile->passing);
}

static struct profile *load_tree(const struct conf_node *root, const char *const *params, struct conf_errors *errors)
{
	static const char *const keys[] = { "language", "profile", "params", "classes", "passing", "respect", "afterwards", "sets", "probes", "stages", NULL };
	struct loader l = { .profile = profile_new(), .params = params, .errors = errors };
	size_t before = errors->n;
	conf_known(root, keys, errors);
	if (conf_int(root, "language", CONF_REQUIRED, (struct conf_limits){ 1, 1, 1 }, errors) != 1)
		conf_error(errors, conf_get(root, "language"), "this upgd speaks profile language 1");
	l.profile->name = copy(conf_str(root, "profile", CONF_REQUIRED, "?", errors));
	load_params(&l, root);
	params_known(&l);
	load_classes(&l, root);
	load_sets(&l, root);
	load_probes(&l, root);
	load_stages(&l, root);
	l.profile->respect = text_of(&l, root, "respect", CONF_OPTIONAL);
	l.profile->afterwards = list_of(&l, root, "afterwards");
	load_passing(&l, root);
	if (errors->n == before)
		profile_prove(l.profile, root, errors);
	if (errors->n == before)
		return l.profile;
	profile_free(l.profile);
	return NULL;
}

static char *dump(const struct conf_node *root)
{
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	if (stream == NULL)
		abort();
	conf_dump(root, stream);
	(void)fclose(stream);
	return text;
}

static struct profile *load_conf(struct conf *conf, const char *const *params, struct conf_errors *errors)
{
	struct profile *profile = load_tree(&conf->root, params, errors);
	if (profile != NULL)
		profile->text = dump(&conf->root);
	conf_done(conf);
	return profile;
}

struct profile *profile_load(const char *path, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_load(&conf, path, fail) == 0 ? load_conf(&conf, params, errors) : NULL;
}

struct profile *profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_parse(&conf, text, name, fail) == 0 ? load_conf(&conf, params, errors) : NULL;
}
