/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BOOT_MS = 2000, LINGER_MS = 5000, MAIN = 0, SECONDARY = 1 };

void world_broken(struct world *w, const char *format, ...)
{
	if (w->broken[0] != '\0')
		return;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(w->broken, sizeof(w->broken), format, args);
	va_end(args);
}

void world_init(struct world *w, uint32_t nodes, uint32_t schemata, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->n_nodes = nodes;
	w->n_schemata = schemata;
	w->n_balancers = 2;
	w->n_hosts = WORLD_HOSTS;
	w->baseline[MAIN] = SERVER_READY;
	w->baseline[SECONDARY] = SERVER_MAINT;
	for (uint32_t i = 0; i < nodes; i++) {
		(void)snprintf(w->nodes[i].name, sizeof(w->nodes[i].name), "ox%u", i + 1);
		w->nodes[i].running = true;
		for (int p = 0; p < WORLD_PROCESSES; p++) {
			for (uint32_t b = 0; b < w->n_balancers; b++)
				w->admin[b][p][i] = w->baseline[b];
		}
	}
	for (int b = 0; b < WORLD_BALANCERS; b++)
		for (int p = 0; p < WORLD_PROCESSES; p++)
			w->pid[b][p] = 100;
	for (uint32_t i = 0; i < schemata; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		struct world_schema *s = &w->schemata[i];
		(void)snprintf(s->name, sizeof(s->name), "ox_%u", i + 1);
		s->tenants = i == 2 ? 0 : 20 + (uint32_t)(seed >> 33) % 100; /* one is empty */
		s->enabled = s->tenants > 0;
		s->host = (uint16_t)(1 + i % 2);
	}
}

void world_done(struct world *w)
{
	plain_free(w->plain);
	w->plain = NULL;
}

/* Rows are put in the world's order: the rank of a row is its place here. */
struct world_node *world_node(const struct world *w, const struct rollout *r, uint32_t row)
{
	const struct row *of = &r->rows[row];
	return of->set == r->profile->set_node && of->rank < w->n_nodes ? (struct world_node *)(uintptr_t)&w->nodes[of->rank] : NULL;
}

/* Set 2 is the schemata. */
struct world_schema *world_schema(const struct world *w, const struct rollout *r, uint32_t row)
{
	const struct row *of = &r->rows[row];
	return w->plain == NULL && of->set == 2 && of->rank < w->n_schemata ? (struct world_schema *)(uintptr_t)&w->schemata[of->rank] : NULL;
}

static struct world_node *node_of(const struct world *w, const struct rollout *r, const struct unit *u)
{
	return world_node(w, r, u->row);
}

static struct world_schema *schema_of(const struct world *w, const struct rollout *r, const struct unit *u)
{
	return world_schema(w, r, u->row);
}

void world_seen(struct world *w, int32_t schema)
{
	for (uint32_t i = 0; i < w->n_schemata; i++)
		if (schema < 0 || i == (uint32_t)schema)
			w->schemata[i].unseen = false;
}

/* Nobody reaches it, nothing ends on it. */
static bool is_away(const struct world *w, const struct world_node *node)
{
	return node->away || w->now < node->down_until;
}

static bool serves(const struct world *w, const struct world_node *node)
{
	return node->running && w->now >= node->boots_at && !is_away(w, node);
}

bool world_lane_down(const struct world *w, const struct rollout *r, int32_t lane)
{
	const struct world_node *node = lane >= 0 && (uint32_t)lane < r->n_rows ? world_node(w, r, (uint32_t)lane) : NULL;
	return node != NULL && is_away(w, node);
}

bool world_is_up(const struct world *w, const struct rollout *r, const struct unit *u)
{
	const struct world_node *node = node_of(w, r, u);
	return node == NULL || serves(w, node);
}

unsigned world_cause(const struct world *w, const struct rollout *r, const struct unit *u)
{
	const struct world_node *node = node_of(w, r, u);
	const struct world_schema *schema = schema_of(w, r, u);
	if (node != NULL || schema != NULL)
		return node != NULL ? node->cause : schema->cause;
	unsigned cause = w->plain != NULL ? plain_cause(w, r, u) : 0;
	for (uint32_t i = 0; i < w->n_schemata && cause == 0; i++)
		cause = w->schemata[i].cause;
	for (uint32_t i = 0; i < w->n_hosts && cause == 0; i++)
		cause = w->hosts[i].cause;
	return cause;
}

/* ---- tools ---- */

static bool node_tool(struct world *w, struct world_node *node, const char *tool, const char *verb)
{
	if (strcmp(tool, "systemctl") == 0) {
		bool start = strcmp(verb, "start") == 0, boots = start && !node->running;
		if (boots)
			node->boots_at = w->now + BOOT_MS;
		node->running = start;
		if (boots && node->is_new && (!node->name_new || node->redirect || !node->push_off || !node->deny))
			world_broken(w, "%s booted the new version with old settings", node->name);
		return true;
	}
	if (strcmp(tool, "apt-get") == 0) {
		if (node->running)
			world_broken(w, "%s was upgraded while it ran", node->name);
		node->is_new = true;
		return true;
	}
	return strcmp(tool, "reloadconfiguration") == 0 ? node->running : true;
}

static bool is_busy(const struct world *w, const struct world_schema *s)
{
	return s->busy_until > w->now;
}

static bool tasks_done(const struct world *w, const struct world_schema *s)
{
	return s->tasks_done || (s->busy_until != 0 && !is_busy(w, s));
}

void world_linger(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	if (w->plain != NULL) {
		plain_linger(w, r, u, step, w->now + LINGER_MS);
		return;
	}
	struct world_schema *s = schema_of(w, r, u);
	if (s != NULL && s->busy_until == 0)
		s->busy_until = w->now + LINGER_MS;
}

void world_kill(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step)
{
	struct world_schema *s = schema_of(w, r, u);
	if (w->plain != NULL)
		plain_linger(w, r, u, step, 0);
	else if (s != NULL && is_busy(w, s))
		s->busy_until = 0;
}

static bool run_updates(struct world *w, struct world_schema *s)
{
	if (s->enabled && s->tenants > 0 && !s->unseen && w->now >= s->haunted_until)
		world_broken(w, "I2: update tasks ran in %s with its tenants enabled", s->name);
	if (s->cached_old)
		world_broken(w, "update tasks ran in %s while old nodes served it from their caches", s->name);
	if (is_busy(w, s))
		world_broken(w, "update tasks ran in %s beside the statement of the client before", s->name);
	if (s->locked)
		return true; /* a second caller gets success for nothing */
	if (s->task_will_fail && !s->tasks_done)
		s->task_failed = true; /* exit 0 all the same */
	else
		s->tasks_done = true;
	return true;
}

static bool schema_tool(struct world *w, struct world_schema *s, const char *tool, bool to_new)
{
	if (strcmp(tool, "disableschema") == 0) {
		s->enabled = false;
		s->cached_old = false; /* invalidation reaches the old fleet: it ran there */
		return s->tenants > 0;
	}
	if (strcmp(tool, "changeserver") == 0) {
		if (s->enabled || s->tenants == 0)
			return false;
		s->owner_new = to_new;
		s->tenants += s->strays;
		s->strays = 0;
		return true;
	}
	if (strcmp(tool, "runupdate") == 0)
		return run_updates(w, s);
	if (strcmp(tool, "enableschema") == 0) {
		if (is_busy(w, s))
			world_broken(w, "%s was enabled while a statement of its update ran", s->name);
		if (s->owner_new && !tasks_done(w, s) && !s->lost)
			world_broken(w, "%s was enabled on the new fleet without its tasks", s->name);
		if (!s->owner_new && tasks_done(w, s) && !s->lost)
			world_broken(w, "%s was enabled on the old fleet after its tasks", s->name);
		s->enabled = s->tenants > 0;
		s->cached_old |= !s->owner_new;
		return true;
	}
	return true;
}

static enum world_line which_line(const char *line)
{
	if (strstr(line, "migrationRedirectURL") != NULL)
		return LINE_REDIRECT;
	if (strstr(line, "SERVER_NAME") != NULL)
		return LINE_NAME;
	if (strstr(line, "allowPermanentPush") != NULL)
		return LINE_PUSH;
	return strstr(line, "denyImplicit") != NULL ? LINE_DENY : 0;
}

static bool *value_of(struct world_node *node, enum world_line line)
{
	switch (line) {
	case LINE_REDIRECT:
		return &node->redirect;
	case LINE_NAME:
		return &node->name_new;
	case LINE_PUSH:
		return &node->push_off;
	case LINE_DENY:
		return &node->deny;
	}
	return NULL;
}

static bool edit_value(const struct action *act, enum world_line line)
{
	const char *to = act->to != NULL ? act->to : "";
	return line == LINE_PUSH ? strcmp(to, "false") == 0 : line == LINE_DENY ? strcmp(to, "true") == 0 : to[0] != '\0';
}

static bool edit(struct world_node *node, const struct action *act, bool undo)
{
	enum world_line line = which_line(act->line);
	bool *value = value_of(node, line);
	if (value != NULL)
		*value = !undo && edit_value(act, line);
	node->rewritten &= (uint8_t)~line;
	return true;
}

bool world_line_is(const struct world *w, const struct rollout *r, uint32_t unit, const struct action *act)
{
	if (w->plain != NULL)
		return true;
	struct world_node *node = node_of(w, r, &r->units[unit]);
	enum world_line line = which_line(act->line);
	const bool *value = node != NULL ? value_of(node, line) : NULL;
	return value == NULL || *value == edit_value(act, line);
}

void world_rewrite(struct world *w, uint32_t n, bool name, bool as_set)
{
	struct world_node *node = &w->nodes[n];
	enum world_line line = !node->is_new ? LINE_REDIRECT : name ? LINE_NAME : LINE_DENY;
	bool *value = value_of(node, line), ours = as_set ? (node->rewritten & line) != 0 : *value;
	if (!ours || !serves(w, node))
		return;
	*value = as_set;
	node->rewritten = (uint8_t)(as_set ? node->rewritten & ~line : node->rewritten | line);
	node->rewritten_at = w->now;
}

void world_set_server(struct world *w, int balancer, int process, uint32_t node, enum server_state state, bool by_hand)
{
	uint8_t *admin = &w->admin[balancer][process][node];
	bool *hand = &w->hand[balancer][process][node];
	*hand = by_hand || (*hand && *admin != SERVER_READY && state != SERVER_READY); /* out by a hand, and only more so by us */
	*admin = (uint8_t)state;
}

static bool set_server(struct world *w, const struct rollout *r, const struct world_node *node, const struct step *step, const struct action *act, uint8_t dir)
{
	uint32_t i = (uint32_t)(node - w->nodes);
	enum server_state want = act->want;
	if (dir == DIR_UNDO) /* restore: what the profile's order implies was there before */
		want = step->act.want == SERVER_MAINT ? SERVER_DRAIN : SERVER_READY;
	if (want == SERVER_READY && !serves(w, node))
		return false; /* the executor waits for fresh checks; here it just is not up yet */
	for (int p = 0; p < WORLD_PROCESSES; p++)
		world_set_server(w, act->balancer, p, i, want, false);
	return true;
}

static const char *tool_name(const char *argv0)
{
	const char *brace = strrchr(argv0, '}'), *slash = strrchr(argv0, '/');
	const char *last = brace > slash ? brace : slash;
	return last != NULL ? last + 1 : argv0;
}

bool world_act(struct world *w, const struct rollout *r, const struct unit *u, const struct step *step, const struct action *act, uint8_t dir)
{
	if (w->plain != NULL)
		return plain_act(w, r, u, step, act, dir);
	struct world_node *node = node_of(w, r, u);
	struct world_schema *schema = schema_of(w, r, u);
	if (act->kind == ACTION_EDIT)
		return node != NULL && edit(node, act, dir == DIR_UNDO);
	if (act->kind == ACTION_SERVER)
		return node != NULL && set_server(w, r, node, step, act, dir);
	if (act->kind != ACTION_RUN)
		return true;
	const char *tool = tool_name(act->argv[0]);
	if (strcmp(tool, "registerserver") == 0)
		return w->registered ? false : (w->registered = true);
	if (strcmp(tool, "unregisterserver") == 0) {
		w->registered = false;
		return true;
	}
	if (node != NULL)
		return node_tool(w, node, tool, act->argv[1] != NULL ? act->argv[1] : "");
	return schema == NULL || schema_tool(w, schema, tool, dir == DIR_DO);
}

/* ---- probes ---- */

static bool schema_probe(const struct world *w, const struct world_schema *s, const char *probe)
{
	if (strcmp(probe, "none_enabled") == 0)
		return !s->enabled;
	if (strcmp(probe, "owned_new") == 0)
		return (s->owner_new && s->strays == 0) || s->tenants == 0;
	if (strcmp(probe, "owned_old") == 0)
		return !s->owner_new || s->tenants == 0;
	if (strcmp(probe, "none_left") == 0)
		return s->enabled || s->tenants == 0;
	if (strcmp(probe, "unlocked") == 0)
		return !s->locked;
	if (strcmp(probe, "reason_free") == 0)
		return s->enabled || s->tenants == 0;
	if (strcmp(probe, "tasks_done") == 0)
		return tasks_done(w, s);
	if (strcmp(probe, "statements") == 0)
		return !is_busy(w, s);
	if (strcmp(probe, "no_new_bad") == 0)
		return !s->task_failed;
	return true;
}

bool world_probe(const struct world *w, const struct rollout *r, const struct unit *u, const struct step *step, enum asked asked, const char *probe)
{
	if (w->plain != NULL)
		return plain_probe(w, r, u, step, asked, probe);
	const struct world_node *node = node_of(w, r, u);
	const struct world_schema *schema = schema_of(w, r, u);
	if (strcmp(probe, "registered") == 0)
		return w->registered;
	if (strcmp(probe, "runs_old") == 0 || strcmp(probe, "runs_new") == 0)
		return node != NULL && serves(w, node) && node->is_new == (strcmp(probe, "runs_new") == 0);
	if (strcmp(probe, "no_tenant_old") == 0) {
		for (uint32_t i = 0; i < w->n_schemata; i++)
			if (w->schemata[i].enabled && (!w->schemata[i].owner_new || w->schemata[i].strays > 0))
				return false;
		return true;
	}
	return schema == NULL || schema_probe(w, schema, probe);
}

/* ---- facts ---- */

static uint8_t agreed(const struct world *w, int balancer, uint32_t node)
{
	uint8_t state = w->admin[balancer][0][node];
	for (int p = 1; p < WORLD_PROCESSES; p++)
		if (w->admin[balancer][p][node] != state)
			return SERVER_UNKNOWN;
	return state;
}

static void row_facts(const struct world *w, struct rollout *r, uint32_t i)
{
	struct fact_row *fact = &r->facts.rows[i];
	struct unit as_unit = { .row = i };
	const struct world_node *node = node_of(w, r, &as_unit);
	const struct world_schema *schema = schema_of(w, r, &as_unit);
	fact->known = true;
	if (w->plain != NULL) {
		plain_facts(w, r, i, node == NULL || serves(w, node));
		return;
	}
	if (node != NULL && is_away(w, node)) {
		fact->up = false;
	} else if (node != NULL) {
		fact->class_ = node->is_new ? CLASS_NEW : CLASS_OLD;
		fact->up = serves(w, node);
	} else if (schema != NULL) {
		fact->class_ = schema->tenants == 0 ? 4 : !schema->enabled ? 5 : schema->strays > 0 ? 3 :
			schema->owner_new ? CLASS_NEW : CLASS_OLD; /* 3: mixed, 4: empty, 5: half */
		fact->weight = schema->tenants + schema->strays;
		fact->tenants = schema->enabled ? schema->tenants + schema->strays : 0;
	}
}

void world_facts(const struct world *w, struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->profile->sets[r->rows[i].set].from != SET_SQL || w->now >= w->hosts[0].away_until)
			row_facts(w, r, i);
	for (size_t i = 0; i < r->profile->n_sets; i++)
		if (r->profile->sets[i].from != SET_SQL || w->now >= w->hosts[0].away_until)
			r->facts.rows_at[i] = w->now;
	for (size_t b = 0; b < r->profile->n_balancers; b++) {
		r->facts.servers_at[b] = w->now;
		for (uint32_t n = 0; n < w->n_nodes && r->profile->set_node >= 0 && n < r->n_set_rows[r->profile->set_node]; n++)
			r->facts.servers[b][n] = (struct fact_server){ .state = agreed(w, (int)b, n), .up = serves(w, &w->nodes[n]) };
	}
}

/* ---- invariants ---- */

/* What a person, a dead host or a reload of a moment ago did is not ours; how long it lasts is watched elsewhere (I10). */
static bool excused(const struct world *w, int balancer, int process, uint32_t node)
{
	return w->hand[balancer][process][node] || w->now < w->forgot_until[balancer][process];
}

static void check_process(struct world *w, int p, bool old_tenants, bool new_tenants)
{
	int main_ready = 0, second_ready = 0;
	bool main_excused = false, second_excused = false;
	for (uint32_t n = 0; n < w->n_nodes; n++) {
		const struct world_node *node = &w->nodes[n];
		bool in_main = w->admin[MAIN][p][n] == SERVER_READY, in_second = w->admin[SECONDARY][p][n] == SERVER_READY;
		bool hit = is_away(w, node) || (node->cause != 0 && node->running && !serves(w, node));
		main_ready += in_main && serves(w, node);
		second_ready += in_second && serves(w, node);
		main_excused |= hit || excused(w, MAIN, p, n);
		second_excused |= hit || excused(w, SECONDARY, p, n);
		if (in_main && !node->running && !is_away(w, node) && !excused(w, MAIN, p, n))
			world_broken(w, "I4: %s is READY in main and stopped", node->name);
		if (in_main && node->is_new && old_tenants && !excused(w, MAIN, p, n))
			world_broken(w, "I4: new %s is READY in main while tenants are old", node->name);
		if (in_second && !node->is_new && !excused(w, SECONDARY, p, n))
			world_broken(w, "I4: old %s is READY in secondary", node->name);
		if (in_main && !node->is_new && new_tenants && !node->redirect && (node->rewritten & LINE_REDIRECT) == 0 && serves(w, node) && !excused(w, MAIN, p, n))
			world_broken(w, "I3: new tenants meet old %s without the redirect", node->name);
	}
	if (main_ready == 0 && !main_excused)
		world_broken(w, "I4: main has nobody");
	if (new_tenants && old_tenants && second_ready == 0 && !second_excused)
		world_broken(w, "I4: secondary has nobody for the redirected");
}

static void check_balancers(struct world *w)
{
	bool old_tenants = false, new_tenants = false;
	for (uint32_t i = 0; i < w->n_schemata; i++) {
		old_tenants |= w->schemata[i].enabled && !w->schemata[i].owner_new && !w->schemata[i].late;
		new_tenants |= w->schemata[i].enabled && w->schemata[i].owner_new;
	}
	for (int p = 0; p < WORLD_PROCESSES; p++)
		check_process(w, p, old_tenants, new_tenants);
}

static void check_units(struct world *w, const struct rollout *r)
{
	unsigned converting = 0, migrating = 0, on_host[3] = { 0 }, windows = 0;
	int64_t down = 0, down_max = 0;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		const struct stage *stage = rollout_stage(r, u);
		const struct world_schema *s = schema_of(w, r, u);
		bool active = u->state == UNIT_RUNNING || u->state == UNIT_UNDOING;
		converting += active && strcmp(stage->name, "convert") == 0;
		if (s == NULL)
			continue;
		active |= (u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN) && (u->flags & UNIT_WINDOW) != 0; /* its tenants are down */
		migrating += active;
		on_host[s->host] += active;
		down_max = stage->tenants_down;
		bool open = (u->flags & UNIT_WINDOW) != 0 && u->state != UNIT_PARKED;
		windows += open;
		down += open ? r->rows[u->row].weight : 0;
		bool said = s->lost || (s->haunted_until != 0 && (u->state == UNIT_WAITING || w->now < s->haunted_until)); /* opened again, and held by what it says */
		if (!s->enabled && s->tenants > 0 && (u->flags & UNIT_WINDOW) == 0 && !said)
			world_broken(w, "I2: %s is disabled outside a window", s->name);
	}
	if (converting > 1 || migrating > 4 || on_host[1] > 2 || on_host[2] > 2)
		world_broken(w, "I5: %u nodes, %u schemata under way (hosts %u, %u)", converting, migrating, on_host[1], on_host[2]);
	if (down_max != 0 && windows > 1 && down > down_max)
		world_broken(w, "I5: %lld tenants are down in %u windows, at most %lld may", (long long)down, windows, (long long)down_max);
}

void world_check(struct world *w, const struct rollout *r)
{
	if (w->plain != NULL) {
		plain_check(w, r);
		return;
	}
	check_balancers(w);
	if (r != NULL && r->state != ROLLOUT_PLANNING)
		check_units(w, r);
}

void world_check_done(struct world *w, const struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_units; i++)
		if (r->units[i].state != UNIT_DONE)
			world_broken(w, "I9: done with a unit that is %s", unit_state_word(r->units[i].state));
	if (w->plain != NULL) {
		plain_check_done(w, r);
		return;
	}
	for (uint32_t i = 0; i < w->n_schemata && i < r->n_set_rows[2]; i++) {
		const struct world_schema *s = &w->schemata[i];
		if (s->tenants > 0 && (!s->enabled || !s->owner_new || s->strays > 0))
			world_broken(w, "I8: done, and %s is %s and %s", s->name, s->enabled ? "enabled" : "disabled", s->owner_new ? "new" : "old");
		if (!tasks_done(w, s) || s->task_failed || s->locked || is_busy(w, s))
			world_broken(w, "I9: done, and the tasks of %s are not", s->name);
	}
	for (uint32_t n = 0; n < w->n_nodes; n++) {
		const struct world_node *node = &w->nodes[n];
		if (!node->is_new || !node->running || node->redirect || node->push_off)
			world_broken(w, "I8: done, and %s is not settled", node->name);
		for (int p = 0; p < WORLD_PROCESSES; p++)
			if (!excused(w, MAIN, p, n) && !excused(w, SECONDARY, p, n) &&
				(w->admin[MAIN][p][n] != SERVER_READY || w->admin[SECONDARY][p][n] != SERVER_READY))
				world_broken(w, "I8: done, and %s is out of a balancer", node->name);
	}
}

static bool answered_for(const struct world *w, const struct rollout *r, const char *row)
{
	(void)w;
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		bool open = u->state == UNIT_FENCED || u->state == UNIT_FAILED || u->state == UNIT_UNCERTAIN || u->state == UNIT_PARKED;
		if (open && strcmp(r->rows[u->row].name, row) == 0)
			return true;
	}
	return false;
}

void world_check_aborted(struct world *w, const struct rollout *r)
{
	if (w->plain != NULL) {
		plain_check_aborted(w, r);
		return;
	}
	bool anything_new = false;
	for (uint32_t i = 0; i < w->n_schemata; i++) {
		const struct world_schema *s = &w->schemata[i];
		if (i >= r->n_set_rows[2])
			continue; /* came too late to be ours */
		anything_new |= s->owner_new && s->tenants > 0;
		if (s->tenants > 0 && !s->enabled && s->haunted_until == 0 && !answered_for(w, r, s->name))
			world_broken(w, "I8: aborted, and %s is disabled and nobody says so", s->name);
	}
	for (uint32_t n = 0; n < w->n_nodes; n++)
		anything_new |= w->nodes[n].is_new;
	for (uint32_t n = 0; n < w->n_nodes; n++) {
		const struct world_node *node = &w->nodes[n];
		if (node->is_new || answered_for(w, r, node->name))
			continue;
		if (excused(w, MAIN, 0, n) || excused(w, MAIN, 1, n))
			continue;
		if (!node->running || w->admin[MAIN][0][n] != SERVER_READY || w->admin[MAIN][1][n] != SERVER_READY)
			world_broken(w, "I8: aborted, and old %s does not serve main", node->name);
		if (node->redirect && !anything_new)
			world_broken(w, "I8: aborted with nothing moved, and %s keeps its redirect", node->name);
	}
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	return (h ^ value) * 1099511628211u;
}

uint64_t world_digest(const struct world *w, uint32_t nodes, uint32_t schemata)
{
	uint64_t h = mix(14695981039346656037u, w->plain != NULL ? plain_digest(w) : w->registered);
	for (uint32_t n = 0; n < nodes; n++) {
		const struct world_node *node = &w->nodes[n];
		if (w->plain == NULL)
			h = mix(h, node->is_new | node->running << 1 | node->name_new << 2 | node->redirect << 3 | node->push_off << 4 | node->deny << 5);
		for (uint32_t b = 0; b < w->n_balancers; b++)
			for (int p = 0; p < WORLD_PROCESSES; p++)
				h = mix(h, w->admin[b][p][n]);
	}
	for (uint32_t i = 0; i < schemata && w->plain == NULL; i++) {
		const struct world_schema *s = &w->schemata[i];
		bool empty = s->tenants == 0;
		h = mix(h, (s->owner_new || empty) | (s->enabled || empty) << 1 | tasks_done(w, s) << 2 | s->task_failed << 3 | s->locked << 4 | (s->strays > 0) << 5);
	}
	return h;
}
