/* SPDX-License-Identifier: MIT */
/*
 * Proofs at load. Scope: a template may name a parameter, a column of its own row, something captured by an earlier step of the same
 * unit, the lane it runs on, any node of a fleet, or a count. Windows: opened once, closed once, nothing waits inside, pivot inside
 * it or none. Way back: every step before the pivot that acts says how it is undone, if only "none".
 */
#include "profile_prove.h"

#include "daemon/render/template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct scope {
	const struct profile *profile;
	const struct stage *stage; /* NULL: no row (a set's own query) */
	size_t steps;              /* captures of steps [0, steps) are there */
	bool lane;                 /* runs somewhere */
	bool secrets;
	const struct conf_node *at;
	const char *where;         /* for the message */
	struct conf_errors *errors;
};

static bool captured(const struct scope *s, const char *name)
{
	for (size_t i = 0; s->stage != NULL && i < s->steps; i++)
		for (size_t k = 0; k < s->stage->steps[i].n_captures; k++)
			if (strcmp(s->stage->steps[i].captures[k].name, name) == 0)
				return true;
	return false;
}

static bool param_known(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->n_params; i++)
		if (strcmp(p->params[i].name, name) == 0)
			return true;
	return false;
}

static bool column_known(const struct set *set, const char *name)
{
	if (set->from == SET_PATH) {
		bool known = strcmp(name, "name") == 0 || set->n_edges == 0;
		for (size_t i = 0; i < set->n_edges && !known; i++) {
			const char *at = strstr(set->edges[i].columns, name);
			known = at != NULL && at[strlen(name)] == '=' && (at == set->edges[i].columns || at[-1] == '\n');
		}
		return known;
	}
	return set->from != SET_SQL || strcmp(name, "name") == 0 || (set->query != NULL && strstr(set->query, name) != NULL);
}

static bool in_scope(const struct scope *s, const char *name)
{
	const struct set *set = s->stage != NULL ? &s->profile->sets[s->stage->set] : NULL;
	size_t len = set != NULL ? strlen(set->name) : 0;
	if (strncmp(name, "param.", 6) == 0)
		return param_known(s->profile, name + 6);
	if (strcmp(name, "rollout") == 0 || strcmp(name, "cluster.name") == 0)
		return true;
	if (strncmp(name, "secret.", 7) == 0)
		return s->secrets;
	if (strncmp(name, "capture.", 8) == 0)
		return captured(s, name + 8);
	if (strncmp(name, "lane.", 5) == 0)
		return s->lane;
	if (strncmp(name, "old.", 4) == 0 || strncmp(name, "new.", 4) == 0)
		return s->profile->set_node >= 0;
	if (strncmp(name, "count.", 6) == 0)
		return strcmp(name, "count.old.up") == 0 || strcmp(name, "count.new.up") == 0;
	return set != NULL && strncmp(name, set->name, len) == 0 && name[len] == '.' && column_known(set, name + len + 1);
}

static int check_name(void *arg, const char *name)
{
	const struct scope *s = arg;
	if (!in_scope(s, name))
		conf_error(s->errors, s->at, "%s: ${%s} is not known here", s->where, name);
	return 0;
}

static void check_text(const struct scope *s, const char *text)
{
	struct fail fail;
	if (text != NULL && template_names(text, check_name, (void *)(uintptr_t)s, &fail) == -EINVAL)
		conf_error(s->errors, s->at, "%s: %s", s->where, fail.text);
}

static void check_list(const struct scope *s, char *const *list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		check_text(s, list[i]);
}

/* What is sent to ask it. */
static void check_asked(const struct scope *s, const struct probe *probe)
{
	check_text(s, probe->target);
	check_text(s, probe->query);
	check_text(s, probe->position);
	check_list(s, probe->args);
	check_list(s, probe->env);
	check_text(s, probe->cwd);
	check_text(s, probe->mend);
}

static void check_probe(const struct scope *outer, uint16_t index)
{
	const struct probe *probe = &outer->profile->probes[index];
	char where[160];
	(void)snprintf(where, sizeof(where), "%s, probe %s", outer->where, probe->name);
	struct scope s = *outer;
	s.where = where;
	s.secrets = probe->kind == PROBE_RUN;
	check_asked(&s, probe);
	if (probe->on != NULL && strcmp(probe->on, "self") == 0 && (int)s.stage->set != s.profile->set_node)
		conf_error(s.errors, s.at, "%s: on = \"self\", but its rows are no nodes", where);
	if (probe->expect == EXPECT_CONTAINS || probe->expect == EXPECT_SUBSET_OF || probe->expect == EXPECT_SAME_AS) {
		if (!captured(&s, probe->expected))
			conf_error(s.errors, s.at, "%s: compares with \"%s\", which no earlier step captures", where, probe->expected);
		for (size_t i = 0; probe->except != NULL && probe->except[i] != NULL; i++)
			if (!captured(&s, probe->except[i]))
				conf_error(s.errors, s.at, "%s: excepts \"%s\", which no earlier step captures", where, probe->except[i]);
	} else {
		check_text(&s, probe->expected);
	}
	if (probe->expect == EXPECT_NONE)
		conf_error(s.errors, s.at, "%s: expects nothing, so it can prove nothing; give it rows, equals, match, min, max, contains, subset_of, same_as or exit", where);
	check_text(&s, probe->doc);
	check_text(&s, probe->mend);
}

static void check_probes(const struct scope *s, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_probe(s, list[i]);
}

static void check_action(const struct scope *outer, const struct action *act)
{
	struct scope s = *outer;
	s.secrets = act->kind == ACTION_RUN;
	check_list(&s, act->argv);
	check_list(&s, act->env);
	check_text(&s, act->cwd);
	check_text(&s, act->file);
	if (!act->restore)
		check_text(&s, act->to);
}

static void check_captures(const struct scope *outer, const struct step *step)
{
	for (size_t i = 0; i < step->n_captures; i++) {
		int index = profile_probe(outer->profile, step->captures[i].probe);
		if (index < 0)
			continue;
		const struct probe *probe = &outer->profile->probes[index];
		struct scope s = *outer;
		s.secrets = probe->kind == PROBE_RUN;
		if (probe->kind == PROBE_SQL && strncmp(probe->target, "replicas:", 9) == 0)
			conf_error(s.errors, s.at, "%s: captures %s, which has no rows where there are no replicas", s.where, probe->name);
		check_asked(&s, probe);
	}
}

static void prove_place(const struct scope *s, const struct profile *p, const struct step *step)
{
	bool is_node = (int)s->stage->set == p->set_node;
	bool needs = step->act.kind == ACTION_RUN || step->act.kind == ACTION_EDIT;
	if (needs && step->n_on == 0)
		conf_error(s->errors, s->at, "%s: says not where; on = \"self\", \"old\", \"new\" or \"local\"", s->where);
	if (!needs && step->n_on > 0)
		conf_error(s->errors, s->at, "%s: runs nothing, so `on` means nothing here", s->where);
	if (step->n_on == 2 && step->on[0] == step->on[1])
		conf_error(s->errors, s->at, "%s: on names the same place twice", s->where);
	for (size_t i = 0; i < step->n_on; i++)
		if (step->on[i] == LANE_ON_SELF && !is_node)
			conf_error(s->errors, s->at, "%s: on = \"self\", but its rows are no nodes", s->where);
	if (step->act.kind == ACTION_SERVER && !is_node)
		conf_error(s->errors, s->at, "%s: sets a server, but its rows are no nodes", s->where);
}

static void prove_orphans(const struct scope *s, const struct profile *p, const struct step *step)
{
	const struct probe *probe = &p->probes[step->orphans];
	check_probe(s, step->orphans);
	if (step->act.kind != ACTION_RUN)
		conf_error(s->errors, s->at, "%s: runs nothing, so it leaves no orphans", s->where);
	bool rows = probe->kind == PROBE_SQL || ((probe->kind == PROBE_RUN || probe->kind == PROBE_READ) && (probe->lines || probe->column != NULL));
	if (!rows || probe->expect != EXPECT_ROWS || probe->number != 0)
		conf_error(s->errors, s->at, "%s: orphans = \"%s\" must be a probe with sql, or with lines, and rows = 0: one row for each statement that still runs, "
			"its connection's id first", s->where, probe->name);
	if (step->on_orphans == ORPHANS_KILL && probe->kind != PROBE_SQL)
		conf_error(s->errors, s->at, "%s: on_orphans = \"kill\" needs orphans by sql: upgd kills over its own connection", s->where);
	if (step->n_verify == 0 && step->n_done_when == 0)
		conf_error(s->errors, s->at, "%s: orphans needs verify or done_when: when the statement has ended, nothing tells what it did", s->where);
}

/* Its answer is compared with itself, so it need not expect anything. */
static void prove_progress(const struct scope *outer, const struct step *step)
{
	const struct probe *probe = &outer->profile->probes[step->progress];
	struct scope s = *outer;
	s.secrets = probe->kind == PROBE_RUN;
	if (step->act.kind != ACTION_RUN)
		conf_error(s.errors, s.at, "%s: progress goes with run", s.where);
	check_asked(&s, probe);
}

static void prove_step(const struct profile *p, const struct stage *stage, size_t index, bool past_pivot, const struct conf_node *node,
	struct conf_errors *errors)
{
	const struct step *step = &stage->steps[index];
	char where[120];
	(void)snprintf(where, sizeof(where), "%s/%s", stage->name, step->name);
	struct scope s = { .profile = p, .stage = stage, .steps = index, .lane = step->n_on > 0, .at = node, .where = where, .errors = errors };
	check_action(&s, &step->act);
	check_action(&s, &step->undo);
	check_captures(&s, step);
	s.steps = index + 1;
	check_probes(&s, step->verify, step->n_verify);
	check_probes(&s, step->done_when, step->n_done_when);
	check_probes(&s, step->undo_verify, step->n_undo_verify);
	check_probes(&s, step->undo_unless, step->n_undo_unless);
	check_probes(&s, step->fails, step->n_fails);
	prove_place(&s, p, step);
	if (step->has_orphans)
		prove_orphans(&s, p, step);
	bool acts = step->act.kind == ACTION_RUN || step->act.kind == ACTION_EDIT || step->act.kind == ACTION_SERVER;
	if (acts && step->act.kind == ACTION_RUN && conf_get(node, "resolve") == NULL)
		conf_error(errors, node, "%s: says not what to do when its answer is lost; resolve = \"rerun\", \"probe\", \"attach\" or \"ask\"", where);
	if (acts && stage->has_pivot && !past_pivot && !step->pivot && conf_get(node, "undo") == NULL)
		conf_error(errors, node, "%s: comes before the pivot and says not how it is undone; undo = { ... } or \"none\"", where);
	if (step->steady_ms != 0 && (step->within_ms == 0 || step->n_verify == 0))
		conf_error(errors, node, "%s: steady needs verify and within: it says for how long verify must hold", where);
	if (step->n_fails != 0 && (step->within_ms == 0 || step->n_verify == 0))
		conf_error(errors, node, "%s: fails needs verify and within: it says when verify is waited for in vain", where);
	if (step->has_progress)
		prove_progress(&s, step);
	for (size_t i = 0; i < step->n_causes; i++) {
		if (step->causes[i].what == CAUSE_BACK && (past_pivot || stage->has_window))
			conf_error(errors, node, "%s: do = \"back\" is for steps before any pivot, in a stage without a window", where);
		for (size_t k = step->causes[i].from; step->causes[i].what == CAUSE_AGAIN && k < index; k++)
			if (stage->steps[k].pivot || stage->steps[k].window != WINDOW_NONE)
				conf_error(errors, node, "%s: do = \"again\" goes back over %s, a pivot or the edge of a window", where, stage->steps[k].name);
	}
	if ((step->skip_if_done || step->resolve == RESOLVE_PROBE) && step->n_done_when == 0 && step->n_verify == 0)
		conf_error(errors, node, "%s: needs done_when: there is nothing to ask", where);
}

static void prove_window(const struct stage *stage, const struct conf_node *steps, struct conf_errors *errors)
{
	const struct step *open = NULL;
	for (size_t i = 0; i < stage->n_steps; i++) {
		const struct step *step = &stage->steps[i];
		const struct conf_node *node = &steps->children[i];
		bool waits = step->act.kind == ACTION_APPROVE || step->act.kind == ACTION_WAIT;
		if (open != NULL && waits)
			conf_error(errors, node, "%s/%s: waits inside a window, with tenants down; move it before the window", stage->name, step->name);
		if (step->window == WINDOW_OPEN && open != NULL)
			conf_error(errors, node, "%s/%s: opens a window inside a window", stage->name, step->name);
		if (step->window == WINDOW_CLOSE && open == NULL)
			conf_error(errors, node, "%s/%s: closes a window that is not open", stage->name, step->name);
		if (step->window == WINDOW_CLOSE && open != NULL &&
			(open->only_with_tenants != step->only_with_tenants || open->only_without_tenants != step->only_without_tenants))
			conf_error(errors, node, "%s/%s: closes the window on another condition than %s opens it", stage->name, step->name, open->name);
		open = step->window == WINDOW_OPEN ? step : step->window == WINDOW_CLOSE ? NULL : open;
	}
	if (open != NULL)
		conf_error(errors, steps, "%s/%s opens a window that no step closes: its tenants would stay down", stage->name, open->name);
}

/* A fence is lifted by its stage's last step, and its steps may be run anew at any time. */
static void prove_fence(const struct profile *p, const struct stage *stage, const struct conf_node *node, const struct conf_node *steps,
	struct conf_errors *errors)
{
	const struct step *last = &stage->steps[stage->n_steps - 1];
	bool lifts = last->only_fenced && last->act.kind == ACTION_SERVER && last->act.want == SERVER_READY && (int)last->act.balancer == stage->fence;
	for (size_t i = 0; i < stage->n_steps; i++)
		if (stage->steps[i].only_fenced && (stage->fence < 0 || i + 1 < stage->n_steps))
			conf_error(errors, &steps->children[i], "%s/%s: when = \"fenced\" is for the last step of a stage with fence", stage->name, stage->steps[i].name);
	if (stage->fence < 0)
		return;
	if ((int)stage->set != p->set_node)
		conf_error(errors, node, "stage %s: fence is for stages of nodes", stage->name);
	if (!lifts)
		conf_error(errors, node, "stage %s: with fence, its last step has server = \"%s\", want = \"ready\", when = \"fenced\"", stage->name,
			p->balancers[stage->fence]);
	for (size_t i = 0; i < stage->n_steps; i++)
		if (stage->steps[i].act.kind == ACTION_RUN && stage->steps[i].resolve != RESOLVE_RERUN)
			conf_error(errors, &steps->children[i], "%s/%s: in a stage with fence every step must be safe to run again: resolve = \"rerun\"", stage->name,
				stage->steps[i].name);
	if (stage->has_pivot || stage->has_window)
		conf_error(errors, node, "stage %s: with fence it has no pivot and no window", stage->name);
}

static void prove_order(const struct profile *p, const struct conf_node *list, struct conf_errors *errors)
{
	uint32_t done = 0;
	for (size_t turn = 0; turn < p->n_stages; turn++)
		for (size_t i = 0; i < p->n_stages; i++)
			if (((p->stages[i].after | p->stages[i].needs | p->stages[i].same) & ~done) == 0)
				done |= 1u << i;
	for (size_t i = 0; i < p->n_stages; i++)
		if ((done & (1u << i)) == 0)
			conf_error(errors, &list->children[i], "stage %s can never start: its `after`, `needs` and `same` go in a circle", p->stages[i].name);
}

/* Asked before there is a rollout: of the level of a path, or what a parameter is. There are no captures, and no row but perhaps a node. */
static void prove_early(const struct profile *p, const char *name, bool of_node, const struct conf_node *at, const char *where, struct conf_errors *errors)
{
	int index = name != NULL ? profile_probe(p, name) : -1;
	if (index < 0)
		return; /* said elsewhere */
	const struct probe *probe = &p->probes[index];
	struct stage as_row = { .set = (uint8_t)(of_node && p->set_node >= 0 ? p->set_node : 0) };
	struct scope s = { .profile = p, .stage = &as_row, .secrets = probe->kind == PROBE_RUN, .at = at, .where = where, .errors = errors };
	check_asked(&s, probe);
	bool captures = probe->expect == EXPECT_CONTAINS || probe->expect == EXPECT_SUBSET_OF || probe->expect == EXPECT_SAME_AS;
	if (captures)
		conf_error(errors, at, "%s: probe %s compares with a capture, and there is none before the start", where, name);
	else
		check_text(&s, probe->expected);
	if (probe->on == NULL || strcmp(probe->on, "local") == 0)
		return;
	if (strcmp(probe->on, "self") == 0 ? !of_node : of_node)
		conf_error(errors, at, "%s: probe %s has on = \"%s\"; there it is not known yet who that is", where, name, probe->on);
}

static void prove_params(const struct profile *p, const struct conf_node *root, struct conf_errors *errors)
{
	const struct conf_node *params = conf_get(root, "params");
	char where[120];
	for (size_t i = 0; i < p->n_params; i++) {
		(void)snprintf(where, sizeof(where), "parameter %.90s", p->params[i].name);
		prove_early(p, p->params[i].probe, true, &params->children[i], where, errors);
	}
}

static void prove_sets(const struct profile *p, const struct conf_node *root, struct conf_errors *errors)
{
	const struct conf_node *sets = conf_get(root, "sets");
	for (size_t i = 1; i < p->n_sets; i++) {
		const struct set *set = &p->sets[i];
		bool is_path = set->from == SET_PATH;
		struct stage as_row = { .set = (uint8_t)i };
		struct scope s = { .profile = p, .stage = &as_row, .at = &sets->children[i - 1], .where = set->name, .errors = errors };
		if (set->class_probe != NULL && profile_probe(p, set->class_probe) < 0)
			conf_error(errors, s.at, "set %s: no probe \"%s\"", set->name, set->class_probe);
		for (size_t k = 0; k < set->n_classes; k++)
			check_text(&s, set->classes[k].match);
		s.stage = NULL;
		check_text(&s, set->query);
		check_text(&s, set->target);
		if (is_path)
			prove_early(p, set->class_probe, false, s.at, set->name, errors);
		for (size_t k = 0; k < set->n_edges; k++)
			check_text(&s, set->edges[k].columns);
		if (is_path && set->n_edges == 0)
			conf_error(errors, s.at, "set %s: a path without edges leads nowhere", set->name);
	}
}

static int check_param(void *arg, const char *name)
{
	const struct scope *s = arg;
	if (strncmp(name, "param.", 6) != 0 || !param_known(s->profile, name + 6))
		conf_error(s->errors, s->at, "%s: ${%s} is no parameter", s->where, name);
	return 0;
}

/* Told when it is over: no row and no node speaks there. */
static void prove_afterwards(const struct profile *p, const struct conf_node *root, struct conf_errors *errors)
{
	struct fail fail;
	struct scope s = { .profile = p, .at = conf_get(root, "afterwards"), .where = "afterwards", .errors = errors };
	for (char **text = p->afterwards; text != NULL && *text != NULL; text++)
		if (template_names(*text, check_param, &s, &fail) == -EINVAL)
			conf_error(errors, s.at, "afterwards: %s", fail.text);
}

void profile_prove(const struct profile *p, const struct conf_node *root, struct conf_errors *errors)
{
	const struct conf_node *list = conf_get(root, "stages");
	prove_sets(p, root, errors);
	prove_params(p, root, errors);
	prove_afterwards(p, root, errors);
	prove_order(p, list, errors);
	for (size_t i = 0; i < p->n_stages; i++) {
		const struct stage *stage = &p->stages[i];
		const struct conf_node *steps = conf_get(&list->children[i], "steps");
		bool past_pivot = false;
		struct scope s = { .profile = p, .stage = stage, .at = &list->children[i], .where = stage->name, .errors = errors };
		if ((stage->order == ORDER_PATH) != (p->sets[stage->set].from == SET_PATH))
			conf_error(errors, s.at, "stage %s: order = \"path\" is for the edges of a path, and they have no other order", stage->name);
		if (stage->order == ORDER_PATH && stage->again)
			conf_error(errors, s.at, "stage %s: again is not for the edges of a path: where the site is on it says its level", stage->name);
		check_probes(&s, stage->before, stage->n_before);
		check_probes(&s, stage->check, stage->n_check);
		for (size_t k = 0; k < stage->n_steps; k++) {
			prove_step(p, stage, k, past_pivot, &steps->children[k], errors);
			past_pivot |= stage->steps[k].pivot;
		}
		prove_window(stage, steps, errors);
		if (stage->n_steps > 0)
			prove_fence(p, stage, &list->children[i], steps, errors);
	}
}
