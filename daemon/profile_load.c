/* SPDX-License-Identifier: MIT */
/*
 * From text to struct profile. Reading goes on after a mistake, so that all of them are told at once. Names of probes, stages, classes and
 * balancers become numbers here; what is between the quotes stays a template.
 */
#include "profile_load.h"

#include "profile_parts.h"
#include "profile_prove.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *profile_copy(const char *text)
{
	if (text == NULL)
		return NULL;
	char *out = strdup(text);
	if (out == NULL)
		abort();
	return out;
}

void *profile_zeros(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);
	if (p == NULL)
		abort();
	return p;
}

char *profile_text(struct loader *l, const struct conf_node *group, const char *key, enum conf_need need)
{
	return profile_copy(conf_str(group, key, need, NULL, l->errors));
}

/* A list of strings as a NULL-terminated array of its own; NULL if the key is absent. */
char **profile_list(struct loader *l, const struct conf_node *group, const char *key)
{
	if (conf_get(group, key) == NULL)
		return NULL;
	const char **strings;
	size_t n = conf_str_list(group, key, CONF_OPTIONAL, &strings, l->errors);
	char **out = profile_zeros(n + 1, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = profile_copy(strings[i]);
	free(strings);
	return out;
}

/* A word out of a closed list; the first is the default. */
unsigned profile_word(struct loader *l, const struct conf_node *group, const char *key, const char *const *words)
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

uint8_t profile_class(struct loader *l, const struct conf_node *at, const char *name)
{
	for (size_t i = 1; i < l->profile->n_classes; i++)
		if (strcmp(l->profile->classes[i], name) == 0)
			return (uint8_t)i;
	conf_error(l->errors, at, "no class \"%s\"; besides old and new, classes are declared in `classes`", name);
	return CLASS_OLD;
}

uint8_t profile_balancer_index(struct loader *l, const char *name)
{
	int i = profile_balancer(l->profile, name);
	if (i >= 0)
		return (uint8_t)i;
	if (l->profile->n_balancers == PROFILE_BALANCERS_MAX) {
		conf_error(l->errors, NULL, "balancer \"%s\": a profile has at most %d", name, PROFILE_BALANCERS_MAX);
		return 0;
	}
	l->profile->balancers[l->profile->n_balancers] = profile_copy(name); /* whether the site has it is for check */
	return (uint8_t)l->profile->n_balancers++;
}

void profile_too_many(struct loader *l, const struct conf_node *at, const char *what, size_t most, size_t n)
{
	if (n > most)
		conf_error(l->errors, at, "%s: %zu of them, at most %zu", what, n, most);
}

uint64_t profile_duration(struct loader *l, const struct conf_node *group, const char *key)
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

size_t profile_probes(struct loader *l, const struct conf_node *group, const char *key, uint16_t out[PROFILE_LIST_MAX])
{
	char **names = profile_list(l, group, key);
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

bool profile_one_probe(struct loader *l, const struct conf_node *group, const char *key, uint16_t *out)
{
	const char *name = conf_str(group, key, CONF_OPTIONAL, NULL, l->errors);
	int probe = name != NULL ? profile_probe(l->profile, name) : -1;
	if (name != NULL && probe < 0)
		conf_error(l->errors, conf_get(group, key), "%s: no probe \"%s\"", key, name);
	*out = (uint16_t)(probe >= 0 ? probe : 0);
	return probe >= 0;
}

char *profile_regex(struct loader *l, const struct conf_node *group, const char *key)
{
	regex_t regex;
	char *text = profile_text(l, group, key, CONF_OPTIONAL);
	if (text == NULL)
		return NULL;
	if (regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) == 0)
		regfree(&regex);
	else
		conf_error(l->errors, conf_get(group, key), "\"%s\" is no regular expression", text);
	return text;
}

size_t profile_exits(struct loader *l, const struct conf_node *group, uint8_t out[PROFILE_EXITS_MAX])
{
	const struct conf_node *list = conf_get(group, "exit") != NULL ? conf_list(group, "exit", CONF_REQUIRED, l->errors) : NULL;
	size_t n = list != NULL ? list->n_children : 0;
	profile_too_many(l, list, "exit", PROFILE_EXITS_MAX, n);
	n = n < PROFILE_EXITS_MAX ? n : PROFILE_EXITS_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *code = &list->children[i];
		if (code->type != CONF_INT || code->integer < 0 || code->integer > 255)
			conf_error(l->errors, code, "exit is a list of numbers from 0 to 255");
		out[i] = (uint8_t)code->integer;
	}
	return n;
}

/* ---- params and plans ---- */

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
			param->value = profile_copy(l->params[i + 1]);
		}
	}
	if (param->value == NULL && l->params != NULL && !(l->early && param->probe != NULL))
		conf_error(l->errors, NULL, "parameter %s is missing: %s", param->name, param->doc != NULL ? param->doc : want[param->type]);
	if (param->value != NULL && !param_fits(param->type, param->value))
		conf_error(l->errors, l->params == NULL ? node : NULL, "parameter %s = \"%s\": should be %s", param->name, param->value, want[param->type]);
}

static void load_params(struct loader *l, const struct conf_node *root)
{
	static const char *const keys[] = { "type", "default", "probe", "doc", NULL };
	static const char *const types[] = { "text", "version", "name", "url", "duration", "int", NULL };
	const struct conf_node *group = conf_group(root, "params", CONF_OPTIONAL, l->errors);
	if (group == NULL)
		return;
	l->profile->params = profile_zeros(group->n_children, sizeof(struct param));
	for (size_t i = 0; i < group->n_children; i++) {
		const struct conf_node *node = &group->children[i];
		struct param *param = &l->profile->params[l->profile->n_params++];
		conf_known(node, keys, l->errors);
		param->name = profile_copy(node->name);
		param->type = (enum param_type)profile_word(l, node, "type", types);
		param->value = profile_text(l, node, "default", CONF_OPTIONAL);
		param->probe = profile_text(l, node, "probe", CONF_OPTIONAL);
		if (param->value != NULL && param->probe != NULL)
			conf_error(l->errors, node, "parameter %s: has a default and a probe; it is the one or the other", param->name);
		param->doc = profile_text(l, node, "doc", CONF_OPTIONAL);
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

static const struct param *param_named(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->n_params; i++)
		if (strcmp(p->params[i].name, name) == 0)
			return &p->params[i];
	return NULL;
}

static void load_plan(struct loader *l, const struct conf_node *node, struct plan *plan)
{
	static const char *const keys[] = { "name", "when", "stages", "all", NULL };
	conf_known(node, keys, l->errors);
	plan->name = profile_copy(conf_str(node, "name", CONF_REQUIRED, "?", l->errors));
	plan->stages = profile_list(l, node, "stages");
	plan->all = conf_bool(node, "all", CONF_OPTIONAL, false, l->errors);
	if (plan->stages == NULL || plan->stages[0] == NULL)
		conf_error(l->errors, node, "plan %s has no stages", plan->name);
	const struct conf_node *when = conf_group(node, "when", CONF_REQUIRED, l->errors);
	size_t n = when != NULL ? when->n_children : 0;
	plan->params = profile_zeros(n + 1, sizeof(char *));
	plan->matches = profile_zeros(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		const char *name = when->children[i].name;
		plan->params[i] = profile_copy(name);
		plan->matches[i] = profile_regex(l, when, name);
		if (param_named(l->profile, name) == NULL)
			conf_error(l->errors, &when->children[i], "plan %s: no parameter \"%s\"", plan->name, name);
		if (plan->matches[i] == NULL)
			plan->matches[i] = profile_copy("");
	}
}

static bool plan_fits(const struct profile *p, const struct plan *plan)
{
	bool fits = true;
	for (size_t i = 0; plan->params[i] != NULL && fits; i++) {
		const struct param *param = param_named(p, plan->params[i]);
		regex_t regex;
		if (param == NULL || param->value == NULL || regcomp(&regex, plan->matches[i], REG_EXTENDED | REG_NOSUB) != 0)
			return false;
		fits = regexec(&regex, param->value, 0, NULL, 0) == 0;
		regfree(&regex);
	}
	return fits;
}

/* What was looked at, and what there would be. */
static void no_plan(struct loader *l)
{
	const struct profile *p = l->profile;
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	if (stream == NULL)
		abort();
	for (size_t i = 0; i < p->n_plans; i++) {
		(void)fprintf(stream, "%s%s (", i == 0 ? "" : ", ", p->plans[i].name);
		for (size_t k = 0; p->plans[i].params[k] != NULL; k++) {
			const struct param *param = param_named(p, p->plans[i].params[k]);
			(void)fprintf(stream, "%s%s is %s and should match %s", k == 0 ? "" : ", ", p->plans[i].params[k],
				param != NULL && param->value != NULL ? param->value : "not known", p->plans[i].matches[k]);
		}
		(void)fputc(')', stream);
	}
	(void)fclose(stream);
	conf_error(l->errors, NULL, "profile %s has no plan for this: %s", p->name, text);
	free(text);
}

/* which: taken whatever the parameters say, so that every one of them is proved; -1: the first that fits. */
static void load_plans(struct loader *l, const struct conf_node *root, int which)
{
	struct profile *p = l->profile;
	const struct conf_node *list = conf_get(root, "plans") != NULL ? conf_list(root, "plans", CONF_REQUIRED, l->errors) : NULL;
	size_t n = list != NULL ? list->n_children : 0;
	p->plans = profile_zeros(n, sizeof(struct plan));
	for (size_t i = 0; i < n; i++)
		load_plan(l, &list->children[i], &p->plans[p->n_plans++]);
	for (size_t i = 0; which < 0 && i < n && p->plan < 0; i++)
		if (plan_fits(p, &p->plans[i]))
			p->plan = (int)i;
	if (which >= 0 && n > 0)
		p->plan = which;
	else if (n > 0 && p->plan < 0)
		no_plan(l);
}

/* The stages of the plan to the front, in the order of the profile; how many there are. */
static size_t stages_of_plan(struct loader *l, const struct conf_node *root, struct conf_node *list)
{
	const struct plan *plan = &l->profile->plans[l->profile->plan];
	struct conf_node *all = profile_zeros(list->n_children, sizeof(*all));
	size_t n = 0, out = 0, found = 0;
	for (int taken = 1; taken >= 0; taken--) {
		for (size_t i = 0; i < list->n_children; i++) {
			const char *name = conf_str(&list->children[i], "name", CONF_REQUIRED, "?", l->errors);
			bool is_in = false;
			for (char **stage = plan->stages; stage != NULL && *stage != NULL; stage++)
				is_in |= strcmp(*stage, name) == 0;
			if (is_in == (taken == 1))
				all[out++] = list->children[i];
			n += is_in && taken == 1;
		}
	}
	while (plan->stages != NULL && plan->stages[found] != NULL)
		found++;
	if (found != n)
		conf_error(l->errors, &conf_get(root, "plans")->children[l->profile->plan], "plan %s names %zu stages, and %zu of them are there, each once", plan->name, found, n);
	memcpy(list->children, all, list->n_children * sizeof(*all));
	free(all);
	return n;
}

/* What is asked before there is anything else: no row and no other unknown parameter speaks there. */
static void params_have_probes(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *group = conf_get(root, "params");
	for (size_t i = 0; i < l->profile->n_params; i++) {
		const char *name = l->profile->params[i].probe;
		if (name != NULL && profile_probe(l->profile, name) < 0)
			conf_error(l->errors, &group->children[i], "parameter %s: no probe \"%s\"", l->profile->params[i].name, name);
	}
}

/* What the plan has no stage for is not looked at: its query may be of a version that is not there yet. Nodes and tenants count for floors. */
static void sets_without_stages(struct profile *p)
{
	for (size_t s = 1; s < p->n_sets; s++) {
		bool used = (int)s == p->set_node || (int)s == p->set_tenants;
		for (size_t i = 0; i < p->n_stages; i++)
			used |= p->stages[i].set == s;
		p->sets[s].idle = !used;
	}
}

/* EARLY: see profile_load_early(). PROVED: when it was started, by what was asked of a profile then. */
enum load { LOAD_WHOLE, LOAD_EARLY, LOAD_PROVED };

static struct profile *load_tree(struct conf_node *root, const char *const *params, enum load how, int which, struct conf_errors *errors)
{
	static const char *const keys[] = { "language", "profile", "params", "plans", "classes", "passing", "respect", "afterwards", "sets", "probes", "stages", NULL };
	struct loader l = { .profile = profile_new(), .params = params, .early = how == LOAD_EARLY, .errors = errors };
	size_t before = errors->n;
	conf_known(root, keys, errors);
	if (conf_int(root, "language", CONF_REQUIRED, (struct conf_limits){ 1, 1, 1 }, errors) != 1)
		conf_error(errors, conf_get(root, "language"), "this upgd speaks profile language 1");
	l.profile->name = profile_copy(conf_str(root, "profile", CONF_REQUIRED, "?", errors));
	load_params(&l, root);
	params_known(&l);
	load_plans(&l, root, which);
	profile_load_classes(&l, root);
	profile_load_sets(&l, root);
	profile_load_probes(&l, root);
	/* Stages that the plan does without are put aside for the while: they stay in the text. */
	struct conf_node *list = (struct conf_node *)(uintptr_t)conf_get(root, "stages");
	size_t n_stages = list != NULL ? list->n_children : 0, n_taken = n_stages;
	struct conf_node *as_written = profile_zeros(n_stages, sizeof(*as_written));
	if (n_stages > 0)
		memcpy(as_written, list->children, n_stages * sizeof(*as_written));
	if (l.profile->plan >= 0 && list != NULL && list->type != CONF_STRING) {
		n_taken = stages_of_plan(&l, root, list);
		l.left_out = list->children + n_taken;
		l.n_left_out = n_stages - n_taken;
		list->n_children = n_taken;
	}
	profile_load_stages(&l, root);
	sets_without_stages(l.profile);
	l.profile->respect = profile_text(&l, root, "respect", CONF_OPTIONAL);
	l.profile->afterwards = profile_list(&l, root, "afterwards");
	l.profile->passing = profile_regex(&l, root, "passing");
	params_have_probes(&l, root);
	if (errors->n == before && how != LOAD_PROVED)
		profile_prove(l.profile, root, errors);
	if (n_stages > 0) {
		memcpy(list->children, as_written, n_stages * sizeof(*as_written));
		list->n_children = n_stages;
	}
	free(as_written);
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

static struct profile *load_conf(struct conf *conf, const char *const *params, enum load how, struct conf_errors *errors)
{
	const struct conf_node *plans = conf_get(&conf->root, "plans");
	bool all = (params == NULL || how == LOAD_EARLY) && plans != NULL && plans->n_children > 0;
	struct profile *profile = load_tree(&conf->root, params, how, all ? 0 : -1, errors);
	for (size_t i = 1; all && profile != NULL && i < plans->n_children; i++) {
		struct profile *other = load_tree(&conf->root, params, how, (int)i, errors);
		if (other == NULL) {
			profile_free(profile);
			profile = NULL;
		}
		profile_free(other);
	}
	if (profile != NULL)
		profile->text = dump(&conf->root);
	conf_done(conf);
	return profile;
}

struct profile *profile_load(const char *path, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_load(&conf, path, fail) == 0 ? load_conf(&conf, params, LOAD_WHOLE, errors) : NULL;
}

struct profile *profile_load_early(const char *path, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_load(&conf, path, fail) == 0 ? load_conf(&conf, params, LOAD_EARLY, errors) : NULL;
}

struct profile *profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_parse(&conf, text, name, fail) == 0 ? load_conf(&conf, params, LOAD_WHOLE, errors) : NULL;
}

struct profile *profile_of_journal(const char *text, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	return conf_parse(&conf, text, "the journal's profile", fail) == 0 ? load_conf(&conf, params, LOAD_PROVED, errors) : NULL;
}
