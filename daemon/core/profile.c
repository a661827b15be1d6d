/* SPDX-License-Identifier: MIT */
#include "profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct profile *profile_new(void)
{
	struct profile *profile = calloc(1, sizeof(*profile));
	if (profile == NULL)
		abort();
	profile->set_node = profile->set_tenants = profile->plan = -1;
	return profile;
}

static void list_free(char **list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void action_done(struct action *action)
{
	list_free(action->argv);
	list_free(action->env);
	free(action->cwd);
	free(action->match);
	free(action->not_match);
	free(action->file);
	free(action->line);
	free(action->to);
}

static void stage_done(struct stage *stage)
{
	for (size_t i = 0; i < stage->n_steps; i++) {
		struct step *step = &stage->steps[i];
		free(step->name);
		action_done(&step->act);
		action_done(&step->undo);
		for (size_t k = 0; k < step->n_causes; k++) {
			free(step->causes[k].match);
			free(step->causes[k].hint);
		}
		for (size_t k = 0; k < step->n_captures; k++) {
			free(step->captures[k].name);
			free(step->captures[k].probe);
		}
	}
	free(stage->steps);
	free(stage->name);
}

static void set_done(struct set *set)
{
	free(set->name);
	free(set->database);
	free(set->query);
	free(set->host_column);
	free(set->weight_column);
	free(set->up_column);
	free(set->class_column);
	free(set->class_probe);
	for (size_t i = 0; i < set->n_classes; i++)
		free(set->classes[i].match);
	free(set->target);
	for (size_t i = 0; i < set->n_levels; i++) {
		free(set->levels[i].is);
		free(set->levels[i].match);
	}
	free(set->levels);
	for (size_t i = 0; i < set->n_edges; i++) {
		free(set->edges[i].from);
		free(set->edges[i].to);
		free(set->edges[i].columns);
	}
	free(set->edges);
}

static void probe_done(struct probe *probe)
{
	free(probe->name);
	free(probe->target);
	free(probe->query);
	free(probe->position);
	list_free(probe->args);
	free(probe->json);
	free(probe->column);
	free(probe->on);
	list_free(probe->env);
	free(probe->cwd);
	free(probe->expected);
	list_free(probe->except);
	free(probe->doc);
	free(probe->mend);
}

void profile_free(struct profile *profile)
{
	if (profile == NULL)
		return;
	for (size_t i = 0; i < profile->n_params; i++) {
		free(profile->params[i].name);
		free(profile->params[i].value);
		free(profile->params[i].probe);
		free(profile->params[i].doc);
	}
	for (size_t i = 0; i < profile->n_classes; i++)
		free(profile->classes[i]);
	for (size_t i = 0; i < profile->n_balancers; i++)
		free(profile->balancers[i]);
	for (size_t i = 0; i < profile->n_sets; i++)
		set_done(&profile->sets[i]);
	for (size_t i = 0; i < profile->n_probes; i++)
		probe_done(&profile->probes[i]);
	for (size_t i = 0; i < profile->n_stages; i++)
		stage_done(&profile->stages[i]);
	for (size_t i = 0; i < profile->n_plans; i++) {
		free(profile->plans[i].name);
		list_free(profile->plans[i].params);
		list_free(profile->plans[i].matches);
		list_free(profile->plans[i].stages);
	}
	free(profile->plans);
	free(profile->params);
	free(profile->sets);
	free(profile->probes);
	free(profile->stages);
	free(profile->passing);
	free(profile->respect);
	list_free(profile->afterwards);
	free(profile->name);
	free(profile->text);
	free(profile);
}

int profile_stage(const struct profile *profile, const char *name)
{
	for (size_t i = 0; i < profile->n_stages; i++)
		if (strcmp(profile->stages[i].name, name) == 0)
			return (int)i;
	return -1;
}

int profile_probe(const struct profile *profile, const char *name)
{
	for (size_t i = 0; i < profile->n_probes; i++)
		if (strcmp(profile->probes[i].name, name) == 0)
			return (int)i;
	return -1;
}

int profile_balancer(const struct profile *profile, const char *name)
{
	for (size_t i = 0; i < profile->n_balancers; i++)
		if (strcmp(profile->balancers[i], name) == 0)
			return (int)i;
	return -1;
}

const char *server_state_word(enum server_state state)
{
	static const char *const words[] = { "unknown", "ready", "drain", "maint" };
	return (unsigned)state < 4 ? words[state] : "?";
}

const char *counter_text(const struct profile *profile, const struct counter *counter, char *buf, size_t size)
{
	static const char *const words[] = { [COUNTER_NODES] = "nodes", [COUNTER_TENANTS] = "tenants",
		[COUNTER_CAPACITY] = "capacity", [COUNTER_ROWS] = "rows" };
	if (counter->kind == COUNTER_CONST)
		(void)snprintf(buf, size, "%" PRId64, counter->constant);
	else if (counter->kind == COUNTER_READY)
		(void)snprintf(buf, size, "%s.ready", profile->balancers[counter->index]);
	else
		(void)snprintf(buf, size, "%s.%s", profile->classes[counter->index], words[counter->kind]);
	return buf;
}

static const char *value_of(const struct profile *profile, const char *param)
{
	for (size_t i = 0; i < profile->n_params; i++)
		if (strcmp(profile->params[i].name, param) == 0 && profile->params[i].value != NULL)
			return profile->params[i].value;
	return "?";
}

bool profile_plan_text(const struct profile *profile, char *buf, size_t size)
{
	if (profile->plan < 0)
		return false;
	const struct plan *plan = &profile->plans[profile->plan];
	size_t len = (size_t)snprintf(buf, size, "plan: %s", plan->name);
	for (size_t i = 0; plan->params[i] != NULL && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s %s matches %s%s", i == 0 ? " (" : ", ", plan->params[i], value_of(profile, plan->params[i]),
			plan->matches[i], plan->params[i + 1] == NULL ? ")" : "");
	return true;
}
