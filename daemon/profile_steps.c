/* SPDX-License-Identifier: MIT */
/* Floors, steps and stages of a profile. Names of probes, stages and balancers become numbers; what is between the quotes stays a template. */
#include "profile_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		*out = (struct counter){ .kind = COUNTER_READY, .index = profile_balancer_index(l, name) };
		return;
	}
	for (int i = COUNTER_NODES; i <= COUNTER_ROWS; i++) {
		if (what[i] != NULL && strcmp(dot + 1, what[i]) == 0) {
			*out = (struct counter){ .kind = (enum counter_kind)i, .index = profile_class(l, at, name) };
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
		profile_too_many(l, list, key, PROFILE_LIST_MAX, list->n_children);
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
		floor->over_one = profile_word(l, node, "over", overs) == 1;
	}
	return n;
}

/* ---- steps ---- */

static void load_action(struct loader *l, const struct conf_node *node, struct action *act)
{
	static const char *const wants[] = { "unknown", "ready", "drain", "maint", NULL };
	static const char *const thens[] = { "next", "shutdown", "hold", "shed", NULL };
	static const char *const kinds[] = { "run", "edit", "server", "approve", "wait", "restore" };
	int n = 0;
	for (size_t i = 0; i < 6; i++)
		n += conf_get(node, kinds[i]) != NULL;
	if (n > 1)
		conf_error(l->errors, node, "does two things; a step does one of run, edit, server, approve, wait");
	bool judges = conf_get(node, "cwd") != NULL || conf_get(node, "exit") != NULL || conf_get(node, "match") != NULL || conf_get(node, "not_match") != NULL;
	if (judges && conf_get(node, "run") == NULL)
		conf_error(l->errors, node, "cwd, exit, match and not_match go with run");
	act->env = profile_list(l, node, "env");
	if (conf_get(node, "run") != NULL) {
		act->kind = ACTION_RUN;
		act->argv = profile_list(l, node, "run");
		act->cwd = profile_text(l, node, "cwd", CONF_OPTIONAL);
		act->n_exits = profile_exits(l, node, act->exits);
		act->match = profile_regex(l, node, "match");
		act->not_match = profile_regex(l, node, "not_match");
		if (act->argv == NULL || act->argv[0] == NULL)
			conf_error(l->errors, node, "run is empty; it is a list of arguments, the program first");
	} else if (conf_get(node, "edit") != NULL) {
		act->kind = ACTION_EDIT;
		act->file = profile_text(l, node, "edit", CONF_REQUIRED);
		act->line = profile_text(l, node, "line", CONF_REQUIRED);
		const struct conf_node *to = conf_get(node, "to"); /* "" is a value: the line is there and empty */
		if (to != NULL && to->type == CONF_STRING)
			act->to = profile_copy(to->string);
		else
			act->to = profile_text(l, node, "to", CONF_REQUIRED);
	} else if (conf_get(node, "server") != NULL) {
		act->kind = ACTION_SERVER;
		act->balancer = profile_balancer_index(l, conf_str(node, "server", CONF_REQUIRED, "main", l->errors));
		act->want = (enum server_state)profile_word(l, node, "want", wants);
		if (act->want == SERVER_UNKNOWN)
			conf_error(l->errors, node, "server needs want = \"ready\", \"drain\" or \"maint\"");
		act->idle = conf_get(node, "idle") != NULL;
		act->idle_ms = profile_duration(l, node, "idle");
		act->then = (enum until_then)profile_word(l, node, "then", thens);
		act->rate = (uint32_t)conf_int(node, "rate", CONF_OPTIONAL, (struct conf_limits){ .max = 100000 }, l->errors);
		if ((act->then == UNTIL_SHED) != (act->rate > 0))
			conf_error(l->errors, node, "then = \"shed\" and rate, sessions per second, go together");
	} else if (conf_get(node, "approve") != NULL) {
		act->kind = ACTION_APPROVE;
		act->to = profile_text(l, node, "approve", CONF_REQUIRED);
	} else if (conf_get(node, "wait") != NULL) {
		act->kind = ACTION_WAIT;
		act->wait_ms = profile_duration(l, node, "wait");
	}
}

static void load_undo(struct loader *l, const struct conf_node *node, struct step *step)
{
	static const char *const keys[] = { "run", "env", "cwd", "exit", "match", "not_match", "restore", "while", "unless", "takes", "verify", NULL };
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
		step->undo.file = profile_copy(step->act.file);
		step->undo.line = profile_copy(step->act.line);
	} else if (step->undo.kind == ACTION_NONE) {
		conf_error(l->errors, undo, "undo does nothing: give run or restore, or say undo = \"none\"");
	}
	step->n_undo_while = load_floors(l, undo, "while", step->undo_while);
	step->n_undo_verify = profile_probes(l, undo, "verify", step->undo_verify);
	step->n_undo_unless = profile_probes(l, undo, "unless", step->undo_unless);
	step->undo_takes_ms = profile_duration(l, undo, "takes");
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
		profile_too_many(l, list, "capture", PROFILE_LIST_MAX, list->n_children);
	for (size_t i = 0; list != NULL && i < list->n_children && step->n_captures < PROFILE_LIST_MAX; i++) {
		const struct conf_node *item = &list->children[i];
		struct capture *capture = &step->captures[step->n_captures++];
		conf_known(item, keys, l->errors);
		capture->name = profile_text(l, item, "name", CONF_REQUIRED);
		capture->probe = profile_text(l, item, "probe", CONF_REQUIRED);
		if (capture->probe != NULL && profile_probe(l->profile, capture->probe) < 0)
			conf_error(l->errors, item, "capture: no probe \"%s\"", capture->probe);
	}
}

static void load_orphans(struct loader *l, const struct conf_node *node, struct step *step)
{
	step->has_orphans = profile_one_probe(l, node, "orphans", &step->orphans);
	if (conf_get(node, "orphans") == NULL && conf_get(node, "on_orphans") != NULL)
		conf_error(l->errors, conf_get(node, "on_orphans"), "on_orphans goes with orphans");
}

static void load_progress(struct loader *l, const struct conf_node *node, struct step *step)
{
	step->has_progress = profile_one_probe(l, node, "progress", &step->progress);
	step->stall_ms = profile_duration(l, node, "stall");
	if ((conf_get(node, "progress") != NULL) != (step->stall_ms > 0))
		conf_error(l->errors, node, "progress, a probe whose answer changes while the work gets on, and stall, how long it may stand still, go together");
}

/* Rows by which a failure is judged: the first that fits and is not used up. from: a step that comes before this one. */
static void load_cause(struct loader *l, const struct conf_node *node, const struct stage *stage, size_t index, struct cause *cause)
{
	static const char *const keys[] = { "match", "do", "from", "max", "wait", "hint", NULL };
	static const char *const what[] = { "retry", "again", "undo", "hold", "back", NULL };
	conf_known(node, keys, l->errors);
	cause->match = profile_regex(l, node, "match");
	if (conf_get(node, "do") == NULL)
		conf_error(l->errors, node, "on_failure: needs do = \"retry\", \"again\", \"undo\", \"hold\" or \"back\"");
	cause->what = (enum cause_do)profile_word(l, node, "do", what);
	bool tries = cause->what == CAUSE_RETRY || cause->what == CAUSE_AGAIN;
	cause->max = (uint8_t)conf_int(node, "max", CONF_OPTIONAL, (struct conf_limits){ .max = 100, .def = tries }, l->errors);
	cause->wait_ms = profile_duration(l, node, "wait");
	cause->hint = profile_text(l, node, "hint", CONF_OPTIONAL);
	const char *from = conf_str(node, "from", CONF_OPTIONAL, NULL, l->errors);
	if ((cause->what == CAUSE_AGAIN) != (from != NULL))
		conf_error(l->errors, node, "on_failure: from, an earlier step, goes with do = \"again\"");
	if (!tries && (cause->max > 0 || cause->wait_ms > 0))
		conf_error(l->errors, node, "on_failure: max and wait go with do = \"retry\" or \"again\"");
	size_t i = 0;
	while (from != NULL && i < index && strcmp(stage->steps[i].name, from) != 0)
		i++;
	if (from != NULL && i == index)
		conf_error(l->errors, node, "on_failure: from = \"%s\" is no earlier step of %s", from, stage->name);
	cause->from = (uint16_t)i;
}

static void load_failure(struct loader *l, const struct conf_node *node, const struct stage *stage, size_t index, struct step *step)
{
	static const char *const words[] = { "default", "undo", "hold", NULL };
	const struct conf_node *failure = conf_get(node, "on_failure");
	if (failure == NULL || failure->type == CONF_STRING) {
		step->on_failure = (enum failure_kind)profile_word(l, node, "on_failure", words);
		return;
	}
	const struct conf_node *rows = conf_list(node, "on_failure", CONF_REQUIRED, l->errors);
	size_t n = rows != NULL ? rows->n_children : 0;
	profile_too_many(l, rows, "on_failure", PROFILE_CAUSES_MAX, n);
	for (size_t i = 0; i < n && i < PROFILE_CAUSES_MAX; i++)
		load_cause(l, &rows->children[i], stage, index, &step->causes[step->n_causes++]);
}

static void load_step(struct loader *l, const struct conf_node *node, const struct stage *stage, size_t index)
{
	struct step *step = &stage->steps[index];
	static const char *const keys[] = { "name", "run", "env", "cwd", "exit", "match", "not_match", "edit", "line", "to", "server", "want", "idle", "then", "rate", "approve", "wait", "on",
		"when", "window", "pivot", "resolve", "orphans", "on_orphans", "skip_if_done", "done_when", "verify", "within", "steady", "fails", "progress", "stall", "capture", "timeout", "on_timeout", "retry",
		"on_failure", "undo", "takes", NULL };
	static const char *const windows[] = { "none", "open", "close", NULL };
	static const char *const resolves[] = { "ask", "rerun", "probe", "attach", NULL };
	static const char *const whens[] = { "always", "tenants", "no tenants", "fenced", NULL };
	static const char *const orphans[] = { "wait", "kill", "ask", NULL };
	static const char *const timeouts[] = { "hold", "kill", NULL };
	conf_known(node, keys, l->errors);
	step->name = profile_copy(conf_str(node, "name", CONF_REQUIRED, "?", l->errors));
	load_action(l, node, &step->act);
	load_on(l, node, step);
	unsigned when = profile_word(l, node, "when", whens);
	step->only_with_tenants = when == 1;
	step->only_without_tenants = when == 2;
	step->only_fenced = when == 3;
	step->window = (enum step_window)profile_word(l, node, "window", windows);
	step->pivot = conf_bool(node, "pivot", CONF_OPTIONAL, false, l->errors);
	step->resolve = (enum resolve_kind)profile_word(l, node, "resolve", resolves);
	load_orphans(l, node, step);
	step->on_orphans = (enum orphans_then)profile_word(l, node, "on_orphans", orphans);
	step->skip_if_done = conf_bool(node, "skip_if_done", CONF_OPTIONAL, false, l->errors);
	step->n_done_when = profile_probes(l, node, "done_when", step->done_when);
	step->n_verify = profile_probes(l, node, "verify", step->verify);
	step->n_fails = profile_probes(l, node, "fails", step->fails);
	load_progress(l, node, step);
	step->within_ms = profile_duration(l, node, "within");
	step->steady_ms = profile_duration(l, node, "steady");
	step->timeout_ms = profile_duration(l, node, "timeout");
	step->kill = profile_word(l, node, "on_timeout", timeouts) == 1;
	step->retry = (uint8_t)conf_int(node, "retry", CONF_OPTIONAL, (struct conf_limits){ .max = 100 }, l->errors);
	load_failure(l, node, stage, index, step);
	step->takes_ms = profile_duration(l, node, "takes");
	if (step->takes_ms == 0 && step->act.kind == ACTION_SERVER)
		step->takes_ms = step->act.idle_ms; /* at most */
	load_captures(l, node, step);
	load_undo(l, node, step);
	if (step->act.kind == ACTION_SERVER)
		step->resolve = RESOLVE_RERUN; /* a wish, set again until it is read back */
}

/* ---- stages ---- */

/* A stage that the plan does without: whoever waits for it waits for nothing. */
static bool is_left_out(const struct loader *l, const char *name)
{
	for (size_t i = 0; i < l->n_left_out; i++) {
		const struct conf_node *node = conf_get(&l->left_out[i], "name");
		if (node != NULL && node->type == CONF_STRING && strcmp(node->string, name) == 0)
			return true;
	}
	return false;
}

static uint32_t stage_list(struct loader *l, const struct conf_node *group, const char *key)
{
	char **names = profile_list(l, group, key);
	uint32_t bits = 0;
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		int stage = profile_stage(l->profile, names[i]);
		if (stage < 0 && !is_left_out(l, names[i]))
			conf_error(l->errors, conf_get(group, key), "%s: no stage \"%s\"", key, names[i]);
		else
			bits |= stage >= 0 ? 1u << stage : 0;
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
	static const char *const orders[] = { "name", "longest", "path", NULL };
	conf_known(node, keys, l->errors);
	const char *set = conf_str(node, "for", CONF_REQUIRED, "cluster", l->errors);
	size_t i = 0;
	while (i < l->profile->n_sets && strcmp(l->profile->sets[i].name, set) != 0)
		i++;
	if (i == l->profile->n_sets)
		conf_error(l->errors, conf_get(node, "for"), "no set \"%s\"", set);
	else
		stage->set = (uint8_t)i;
	char **where = profile_list(l, node, "where");
	for (size_t k = 0; where != NULL && where[k] != NULL; k++) {
		stage->where |= 1u << profile_class(l, conf_get(node, "where"), where[k]);
		free(where[k]);
	}
	free(where);
	stage->after = stage_list(l, node, "after");
	stage->needs = stage_list(l, node, "needs");
	stage->same = stage_list(l, node, "same");
	stage->n_keep = load_floors(l, node, "keep", stage->keep);
	stage->n_before = profile_probes(l, node, "before", stage->before);
	stage->n_check = profile_probes(l, node, "check", stage->check);
	load_limits(l, node, stage);
	stage->canary = (uint32_t)conf_int(node, "canary", CONF_OPTIONAL, (struct conf_limits){ .max = 1000 }, l->errors);
	stage->soak_ms = profile_duration(l, node, "soak");
	stage->order = (enum stage_order)profile_word(l, node, "order", orders);
	const char *fence = conf_str(node, "fence", CONF_OPTIONAL, NULL, l->errors);
	stage->fence = fence != NULL ? profile_balancer_index(l, fence) : -1;
	stage->away_ms = profile_duration(l, node, "away");
	stage->again = conf_bool(node, "again", CONF_OPTIONAL, false, l->errors);
	const struct conf_node *steps = conf_list(node, "steps", CONF_REQUIRED, l->errors);
	size_t n = steps != NULL ? steps->n_children : 0;
	if (n == 0 || n > PROFILE_STEPS_MAX)
		conf_error(l->errors, node, "stage %s has %zu steps; 1 to %d", stage->name, n, PROFILE_STEPS_MAX);
	stage->n_steps = n <= PROFILE_STEPS_MAX ? n : PROFILE_STEPS_MAX;
	stage->steps = profile_zeros(stage->n_steps, sizeof(struct step));
	for (size_t k = 0; k < stage->n_steps; k++) {
		struct step *step = &stage->steps[k];
		load_step(l, &steps->children[k], stage, k);
		stage->has_window |= step->window == WINDOW_OPEN;
		stage->has_pivot |= step->pivot;
		stage->takes_out |= step->act.kind == ACTION_SERVER && step->act.want != SERVER_READY;
	}
}

void profile_load_stages(struct loader *l, const struct conf_node *root)
{
	const struct conf_node *list = conf_list(root, "stages", CONF_REQUIRED, l->errors);
	size_t n = list != NULL ? list->n_children : 0;
	if (n > PROFILE_STAGES_MAX) {
		conf_error(l->errors, list, "%zu stages; at most %d", n, PROFILE_STAGES_MAX);
		n = PROFILE_STAGES_MAX;
	}
	l->profile->stages = profile_zeros(n, sizeof(struct stage));
	for (size_t i = 0; i < n; i++) /* names first: after and same may look ahead */
		l->profile->stages[i].name = profile_copy(conf_str(&list->children[i], "name", CONF_REQUIRED, "?", l->errors));
	l->profile->n_stages = n;
	for (size_t i = 0; i < n; i++)
		load_stage(l, &list->children[i], &l->profile->stages[i]);
}

