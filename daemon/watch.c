/* SPDX-License-Identifier: MIT */
/*
 * An eye looks at one thing and never twice at once. Each remembers when its last finished look began; a refresh asked for at T is over
 * when every eye has one that began at or after T, so any number of askers share at most two looks: the one under way and one after it.
 *
 * Fail closed: a process that does not answer makes its balancer unknown (servers_at = 0), a database that does not answer its set.
 *
 * Custody: a process that shows a server otherwise than wanted is told to the engine with one more fact: whether it is another process
 * than the one that was last seen as wanted. A reload forgets what was set; a person does not change the pid. Which process was seen is in
 * the journal, so that this holds over a restart of ours; no clock is compared with another one.
 */
#include "watch.h"

#include "config.h"
#include "core/facts.h"
#include "engine.h"
#include "io/haproxy.h"
#include "io/loop.h"
#include "io/sql.h"
#include "log.h"
#include "look.h"
#include "memory.h"
#include "probe.h"
#include "site.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

enum { SET_QUERY_MS = 20000, NODE_MS = 3000, NODES_AT_ONCE = 64, STOPPING_TRIES = 5 };

struct seen {
	bool present, up;
	uint8_t state;
	uint32_t sessions;
	uint64_t total;          /* since the process began */
	unsigned wanted_pid;     /* the process in which it was last seen as wanted; 0: never */
	uint64_t wanted_start;
};

struct eye {
	struct watch *watch;
	bool is_set;
	uint8_t index, process;  /* set; or balancer and process */
	bool running, again, stale; /* stale: told of a change that was older than our last act; tell once more */
	unsigned tries;
	uint64_t began, looked;  /* boot ms: of the look at hand; of the last finished one */
	char error[200];
	/* a process */
	struct site_call *call;
	struct seen *seen;       /* by rank in the node set */
	unsigned pid;
	uint64_t start_s;
	bool reachable;
	/* a set */
	struct sql_query *query;
	struct look_classes classes;
	struct node_look *nodes;
	uint32_t n_nodes, next_node, n_open;
	bool changed;
	/* a path */
	struct probe_run *level;
};

struct node_look {
	struct eye *eye;
	struct probe_run *run;
	uint32_t row;
};

struct waiter {
	struct waiter *next;
	watch_fn *fn;
	void *arg;
	uint64_t since;
};

/* Rows of a set by name and host, for finding them. */
struct key {
	const char *name;
	char *host;
	uint32_t row;
};

struct index {
	struct key *keys;
	uint32_t n, of_rows;
};

struct watch {
	struct site *site;
	struct engine *engine;
	struct loop_timer *balancers, *sets, *waiters_timer;
	struct eye *eyes;
	size_t n_eyes;
	struct index index[8];
	struct waiter *waiters;
	uint32_t rollout;
	bool on;
	char error[260];
};

static void eye_look(struct eye *eye);
static void eye_done(struct eye *eye, bool changed);

static struct rollout *rollout_of(const struct watch *w)
{
	struct rollout *r = w->engine != NULL ? engine_rollout(w->engine) : NULL;
	return r != NULL && r->state != ROLLOUT_PLANNING ? r : NULL;
}

static void tell_facts(struct watch *w)
{
	struct event event = { .kind = EVENT_FACTS };
	engine_event(w->engine, &event);
}

/* ---- finding rows ---- */

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int rc = strcmp(x->name, y->name);
	return rc != 0 ? rc : strcmp(x->host, y->host);
}

static void index_done(struct index *index)
{
	for (uint32_t i = 0; i < index->n; i++)
		free(index->keys[i].host);
	free(index->keys);
	*index = (struct index){ 0 };
}

static struct index *index_of(struct watch *w, const struct rollout *r, uint8_t set)
{
	struct index *index = &w->index[set];
	if (index->of_rows == r->n_rows)
		return index;
	index_done(index);
	index->keys = memory_need(calloc(r->n_rows + 1, sizeof(struct key)));
	index->of_rows = r->n_rows;
	bool hosts = r->profile->sets[set].host_column != NULL;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		char host[256] = "";
		if (r->rows[i].set != set)
			continue;
		if (hosts)
			(void)row_column(&r->rows[i], "host", host, sizeof(host));
		index->keys[index->n++] = (struct key){ .name = r->rows[i].name, .host = memory_need(strdup(host)), .row = i };
	}
	qsort(index->keys, index->n, sizeof(struct key), by_key);
	return index;
}

static uint32_t find_row(struct watch *w, const struct rollout *r, uint8_t set, const char *name, char *host)
{
	const struct index *index = index_of(w, r, set);
	struct key key = { .name = name, .host = host };
	const struct key *hit = bsearch(&key, index->keys, index->n, sizeof(struct key), by_key);
	return hit != NULL ? hit->row : ROLLOUT_NO_ROW;
}

/* ---- a balancer process ---- */

static struct eye *first_eye(struct watch *w, uint8_t balancer)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (!w->eyes[i].is_set && w->eyes[i].index == balancer)
			return &w->eyes[i];
	return NULL;
}

static bool is_of(const struct watch *w, const struct eye *eye, uint8_t balancer)
{
	return eye < w->eyes + w->n_eyes && !eye->is_set && eye->index == balancer;
}

/* One server over all processes: known only where all agree. */
static struct fact_server agree(const struct watch *w, const struct eye *first, uint8_t balancer, uint32_t rank)
{
	struct fact_server fact = { .state = first->seen[rank].present ? first->seen[rank].state : SERVER_UNKNOWN, .up = true };
	for (const struct eye *eye = first; is_of(w, eye, balancer); eye++) {
		const struct seen *seen = &eye->seen[rank];
		if (!seen->present || seen->state != fact.state)
			fact.state = SERVER_UNKNOWN;
		fact.up = fact.up && seen->present && seen->up;
		fact.sessions += seen->sessions;
	}
	return fact;
}

/* True if something that rules look at has changed. */
static bool balancer_facts(struct watch *w, struct rollout *r, uint8_t balancer)
{
	const struct eye *first = first_eye(w, balancer);
	struct fact_server *servers = r->facts.servers[balancer];
	uint64_t at = UINT64_MAX;
	if (first == NULL || servers == NULL)
		return false;
	for (const struct eye *eye = first; is_of(w, eye, balancer); eye++)
		at = !eye->reachable ? 0 : eye->looked < at ? eye->looked : at;
	bool changed = (at == 0) != (r->facts.servers_at[balancer] == 0);
	r->facts.servers_at[balancer] = at;
	for (uint32_t i = 0; i < r->n_set_rows[r->profile->set_node]; i++) {
		struct fact_server fact = at != 0 ? agree(w, first, balancer, i) : (struct fact_server){ 0 };
		changed |= fact.state != servers[i].state || fact.up != servers[i].up;
		servers[i] = fact;
	}
	return changed;
}

/* Younger than what we set in it. Where it was seen as wanted, that says it; else, after a restart of ours, what the journal saw before. */
static bool has_forgotten(const struct eye *eye, const struct rollout *r, const struct seen *seen, const struct want *want)
{
	if (seen->wanted_pid != 0)
		return seen->wanted_pid != eye->pid || seen->wanted_start != eye->start_s;
	return r->processes[eye->index][eye->process].since_seq > want->seq;
}

/* Tells the journal of another process before anything is judged in it. */
static void who_answers(struct eye *eye)
{
	const struct rollout *r = rollout_of(eye->watch);
	const struct balancer_process *last = &r->processes[eye->index][eye->process];
	if (last->pid == eye->pid && last->start_s == (int64_t)eye->start_s)
		return;
	struct event event = { .kind = EVENT_PROCESS, .balancer = eye->index, .lane = eye->process, .seq = eye->pid, .value = (int64_t)eye->start_s };
	engine_event(eye->watch->engine, &event);
}

/* Each server of ours in the process that has just answered. */
static void custody(struct eye *eye)
{
	struct watch *w = eye->watch;
	struct rollout *r = rollout_of(w);
	for (uint32_t i = 0; r != NULL && i < r->n_rows; i++) {
		if (r->rows[i].set != r->profile->set_node)
			continue;
		uint32_t rank = r->rows[i].rank;
		const struct want *want = &r->wants[eye->index][rank];
		struct seen *seen = &eye->seen[rank];
		if (want->state == SERVER_UNKNOWN || !seen->present)
			continue;
		bool matches = seen->state == want->state;
		if (matches) {
			seen->wanted_pid = eye->pid;
			seen->wanted_start = eye->start_s;
			if ((!want->contested && !want->reasserted) || agree(w, first_eye(w, eye->index), eye->index, rank).state != want->state)
				continue;
		}
		struct event event = { .kind = EVENT_SERVER, .balancer = eye->index, .row = i, .lane = eye->process, .value = seen->state,
			.seq = seen->total, .reloaded = has_forgotten(eye, r, seen, want) };
		engine_event(w->engine, &event);
	}
}

static void keep_servers(struct eye *eye, const struct rollout *r, const struct haproxy_snapshot *snapshot)
{
	uint32_t n = r->n_set_rows[r->profile->set_node];
	for (uint32_t i = 0; i < n; i++)
		eye->seen[i].present = false;
	for (size_t i = 0; i < snapshot->n_servers; i++) {
		const struct haproxy_server *server = &snapshot->servers[i];
		char none[1] = "";
		uint32_t row = find_row(eye->watch, r, (uint8_t)r->profile->set_node, server->name, none);
		if (row == ROLLOUT_NO_ROW)
			continue;
		struct seen *seen = &eye->seen[r->rows[row].rank];
		seen->present = true;
		seen->up = server->up;
		seen->state = (uint8_t)look_server(server);
		seen->sessions = server->sessions + server->old_sessions;
		seen->total = server->total;
	}
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct eye *eye = arg;
	struct watch *w = eye->watch;
	struct rollout *r = rollout_of(w);
	eye->call = NULL;
	bool stopping = snapshot->reachable && snapshot->stopping;
	if (stopping && eye->tries++ < STOPPING_TRIES) {
		eye->call = site_snapshot(w->site, r->profile->balancers[eye->index], eye->process, on_snapshot, eye);
		return;
	}
	eye->tries = 0;
	eye->looked = eye->began;
	bool was = eye->reachable || eye->error[0] == '\0';
	eye->reachable = snapshot->reachable && !stopping;
	if (stopping)
		(void)snprintf(eye->error, sizeof(eye->error), "%.120s: only an old worker answers", site_socket(w->site, r->profile->balancers[eye->index], eye->process));
	else
		(void)snprintf(eye->error, sizeof(eye->error), "%s", eye->reachable ? "" : snapshot->error);
	if (!eye->reachable && was)
		log_say(LOG_AT_WARNING, "balancer %s: %s; its servers are unknown until it answers", r->profile->balancers[eye->index], eye->error);
	if (eye->reachable) {
		eye->pid = snapshot->pid;
		eye->start_s = snapshot->start_s;
		keep_servers(eye, r, snapshot);
	}
	bool changed = balancer_facts(w, r, eye->index);
	if (eye->reachable) {
		who_answers(eye);
		custody(eye);
	}
	eye_done(eye, changed);
}

/* ---- a set from a database ---- */

static bool set_lost(struct eye *eye, struct rollout *r, const char *why)
{
	if (eye->error[0] == '\0')
		log_say(LOG_AT_WARNING, "set %s: %s; its rows are unknown until it can be read", r->profile->sets[eye->index].name, why);
	(void)snprintf(eye->error, sizeof(eye->error), "%s", why);
	bool changed = r->facts.rows_at[eye->index] != 0;
	r->facts.rows_at[eye->index] = 0;
	return changed;
}

static void new_row(struct eye *eye, struct rollout *r, const struct sql_result *result, size_t i, const struct look_row *look)
{
	if (r->state == ROLLOUT_PLANNING || rollout_is_over(r))
		return;
	uint32_t n_rows = r->n_rows;
	char *columns = look_sql_columns(&r->profile->sets[eye->index], result, i);
	struct event event = { .kind = EVENT_NEW_ROW, .row = eye->index, .text = columns, .value = look->weight, .host = look->host_number,
		.class_ = look->class_ };
	engine_event(eye->watch->engine, &event);
	free(columns);
	if (r->n_rows > n_rows) {
		r->facts.rows[n_rows] = (struct fact_row){ .class_ = look->class_, .known = true, .up = true, .tenants = look->tenants, .weight = look->weight };
		log_say(LOG_AT_NOTICE, "set %s: %s is new; it joins the plan", r->profile->sets[eye->index].name, look->name);
		eye->changed = true;
	}
}

static bool row_facts(struct fact_row *fact, const struct look_row *look)
{
	struct fact_row now = { .class_ = look->class_, .known = true, .up = true, .tenants = look->tenants, .weight = look->weight };
	bool changed = !fact->known || fact->class_ != now.class_ || fact->tenants != now.tenants || fact->weight != now.weight;
	*fact = now;
	return changed;
}

/* The query does not give it any more: what that means the profile says, or nobody. */
static bool row_absent(struct fact_row *fact, uint8_t absent)
{
	struct fact_row now = *fact;
	now.known = absent != CLASS_NONE;
	if (now.known)
		now = (struct fact_row){ .class_ = absent, .known = true, .up = true };
	bool changed = fact->known != now.known || fact->class_ != now.class_ || fact->tenants != now.tenants || fact->weight != now.weight;
	*fact = now;
	return changed;
}

/* All rows or none: a row that cannot be read makes the whole set unknown. */
static bool read_rows(struct eye *eye, struct rollout *r, const struct sql_result *result)
{
	const struct set *set = &r->profile->sets[eye->index];
	const struct config *config = site_config(eye->watch->site);
	struct look_row look;
	struct fail fail;
	uint32_t planned = r->n_rows;
	for (size_t i = 0; i < result->n_rows; i++)
		if (look_row(config, set, &eye->classes, result, i, &look, &fail) != 0)
			return set_lost(eye, r, fail.text);
	bool *seen = memory_need(calloc(planned + 1, sizeof(bool)));
	bool *news = memory_need(calloc(result->n_rows + 1, sizeof(bool)));
	eye->changed = r->facts.rows_at[eye->index] == 0;
	eye->error[0] = '\0';
	for (size_t i = 0; i < result->n_rows; i++) {
		(void)!look_row(config, set, &eye->classes, result, i, &look, &fail);
		char *host = memory_need(strdup(look.host));
		uint32_t row = find_row(eye->watch, r, eye->index, look.name, host);
		free(host);
		news[i] = row == ROLLOUT_NO_ROW;
		if (news[i])
			continue;
		seen[row] = true;
		eye->changed |= row_facts(&r->facts.rows[row], &look);
	}
	for (uint32_t i = 0; i < planned; i++)
		if (r->rows[i].set == eye->index && !seen[i])
			eye->changed |= row_absent(&r->facts.rows[i], set->absent);
	for (size_t i = 0; i < result->n_rows; i++) {
		if (!news[i])
			continue;
		(void)!look_row(config, set, &eye->classes, result, i, &look, &fail);
		new_row(eye, r, result, i, &look);
	}
	r->facts.rows_at[eye->index] = eye->began; /* not before: who joins is decided about, and what waits for this look counts all */
	free(seen);
	free(news);
	return eye->changed;
}

static void on_rows(void *arg, const struct sql_result *result)
{
	struct eye *eye = arg;
	struct rollout *r = rollout_of(eye->watch);
	eye->query = NULL;
	eye->looked = eye->began;
	bool changed = result->outcome == SQL_OK ? read_rows(eye, r, result) : set_lost(eye, r, result->error);
	eye_done(eye, changed);
}

static void look_rows(struct eye *eye, struct rollout *r)
{
	const struct set *set = &r->profile->sets[eye->index];
	struct bind bind = { .profile = r->profile, .r = r, .rollout = r->id, .lane = LANE_NONE, .cluster = site_config(eye->watch->site)->cluster };
	struct fail fail = { 0 };
	struct sql *sql = site_sql(eye->watch->site, set->database, &fail);
	char *query = sql != NULL ? bind_sql(&bind, set->query, &fail) : NULL;
	if (query != NULL) {
		char *tagged = sql_tagged(query, "rollout=%u set=%s", r->id, set->name);
		eye->query = sql_run(sql, tagged, NULL, 0, SET_QUERY_MS, on_rows, eye);
		free(tagged);
		free(query);
		return;
	}
	eye->looked = eye->began;
	eye_done(eye, set_lost(eye, r, fail.text));
}

/* ---- the level of a path ---- */

/* Nobody says it, or it is on none of the edges: nothing is known of them, and text says why. */
static bool level_lost(struct eye *eye, struct rollout *r, const char *text)
{
	bool changed = strcmp(r->facts.level[eye->index], text) != 0;
	if (changed)
		log_say(LOG_AT_WARNING, "set %s: %s; its rows are unknown until the level is on their way", r->profile->sets[eye->index].name, text);
	(void)snprintf(r->facts.level[eye->index], sizeof(r->facts.level[0]), "%s", text);
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == eye->index)
			r->facts.rows[i].known = false;
	return changed;
}

static bool level_seen(struct eye *eye, struct rollout *r, const char *level)
{
	char text[160];
	int passed = way_passed(r, eye->index, level);
	bool changed = r->facts.level[eye->index][0] != '\0';
	if (passed < 0) {
		(void)snprintf(text, sizeof(text), "the site says \"%.80s\", which is no level of this way", level);
		return level_lost(eye, r, text);
	}
	r->facts.level[eye->index][0] = '\0';
	for (uint32_t i = 0; i < r->n_rows; i++) {
		struct fact_row *fact = &r->facts.rows[i];
		uint8_t class_ = (int)r->rows[i].rank < passed ? CLASS_NEW : CLASS_OLD;
		if (r->rows[i].set != eye->index)
			continue;
		changed |= !fact->known || fact->class_ != class_;
		*fact = (struct fact_row){ .class_ = class_, .known = true, .up = true };
	}
	return changed;
}

static void on_level(void *arg, const struct probe_answer *answer)
{
	struct eye *eye = arg;
	struct rollout *r = rollout_of(eye->watch);
	const struct judge_table *table = answer->table;
	const char *level = table != NULL && answer->whole && table->n_rows > 0 && table->cells[0] != NULL ? table->cells[0] : "";
	bool said = level[0] != '\0' && answer->result == RESULT_OK, first = r->facts.rows_at[eye->index] == 0;
	char text[160];
	(void)snprintf(text, sizeof(text), "%.150s", table != NULL && answer->result == RESULT_OK ? "the answer is empty" : answer->text);
	eye->level = NULL;
	eye->looked = eye->began;
	r->facts.rows_at[eye->index] = said ? eye->began : 0;
	bool changed = said ? level_seen(eye, r, level) : level_lost(eye, r, text);
	eye_done(eye, changed || first == said);
}

static void look_level(struct eye *eye, struct rollout *r)
{
	const struct probe_options options = { .bind = { .profile = r->profile, .r = r, .rollout = r->id, .lane = LANE_NONE,
		.cluster = site_config(eye->watch->site)->cluster }, .unit = RECORD_NO_UNIT };
	int probe = profile_probe(r->profile, r->profile->sets[eye->index].class_probe); /* it is there: the loader looks */
	eye->level = probe_start(eye->watch->site, &r->profile->probes[probe], &options, on_level, eye);
}

/* ---- the nodes ---- */

static void nodes_go_on(struct eye *eye);

static void on_node(void *arg, const struct probe_answer *answer)
{
	struct node_look *look = arg;
	struct eye *eye = look->eye;
	struct rollout *r = rollout_of(eye->watch);
	struct fact_row *fact = &r->facts.rows[look->row], now = *fact;
	look->run = NULL;
	now.up = false;
	if (answer->table != NULL && answer->whole && answer->table->n_rows > 0) {
		now.class_ = look_class(&eye->classes, answer->table->cells[0] != NULL ? answer->table->cells[0] : "");
		now.known = true;
		now.up = now.class_ != CLASS_NONE;
	}
	eye->changed |= now.class_ != fact->class_ || now.known != fact->known || now.up != fact->up;
	*fact = now;
	eye->n_open--;
	nodes_go_on(eye);
}

static void nodes_go_on(struct eye *eye)
{
	struct watch *w = eye->watch;
	struct rollout *r = rollout_of(w);
	const struct set *set = &r->profile->sets[eye->index];
	int probe = profile_probe(r->profile, set->class_probe);
	while (probe >= 0 && eye->n_open < NODES_AT_ONCE && eye->next_node < eye->n_nodes) {
		struct node_look *look = &eye->nodes[eye->next_node++];
		struct probe_options options = { .bind = { .profile = r->profile, .r = r, .row = &r->rows[look->row], .rollout = r->id,
			.lane = LANE_NONE, .cluster = site_config(w->site)->cluster }, .unit = RECORD_NO_UNIT, .timeout_ms = NODE_MS };
		eye->n_open++;
		look->run = probe_start(w->site, &r->profile->probes[probe], &options, on_node, look);
	}
	if (eye->n_open > 0)
		return;
	eye->looked = eye->began;
	bool first = r->facts.rows_at[eye->index] == 0;
	r->facts.rows_at[eye->index] = eye->began;
	eye_done(eye, eye->changed || first);
}

/* ---- eyes ---- */

static void eye_look(struct eye *eye)
{
	struct watch *w = eye->watch;
	struct rollout *r = rollout_of(w);
	if (eye->running) {
		eye->again = true;
		return;
	}
	eye->running = true;
	eye->again = false;
	eye->began = loop_boot_ms();
	eye->changed = false;
	if (!eye->is_set) {
		eye->call = site_snapshot(w->site, r->profile->balancers[eye->index], eye->process, on_snapshot, eye);
	} else if (r->profile->sets[eye->index].from == SET_SQL) {
		look_rows(eye, r);
	} else if (r->profile->sets[eye->index].from == SET_PATH) {
		look_level(eye, r);
	} else {
		eye->next_node = eye->n_open = 0;
		nodes_go_on(eye);
	}
}

static bool everything_seen_since(const struct watch *w, uint64_t since)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (w->eyes[i].looked < since || w->eyes[i].looked == 0)
			return false;
	return true;
}

/* A change that was observed before our last act may be of our own doing; the next look tells it once more. */
static bool is_worth_telling(struct eye *eye, bool changed)
{
	struct rollout *r = rollout_of(eye->watch);
	bool tell = changed || eye->stale;
	eye->stale = tell && eye->is_set && r->facts.rows_at[eye->index] <= r->moved_at && r->facts.rows_at[eye->index] != 0;
	return tell;
}

static void on_waiters(void *arg)
{
	struct watch *w = arg;
	bool told = false;
	if (rollout_of(w) == NULL)
		return;
	for (struct waiter **at = &w->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (!everything_seen_since(w, waiter->since)) {
			at = &waiter->next;
			continue;
		}
		if (!told) {
			told = true;
			tell_facts(w); /* may add waiters and effects */
			at = &w->waiters;
			continue;
		}
		*at = waiter->next;
		waiter->fn(waiter->arg);
		free(waiter);
		at = &w->waiters;
	}
}

static void eye_done(struct eye *eye, bool changed)
{
	struct watch *w = eye->watch;
	eye->running = false;
	if (w->waiters != NULL)
		loop_timer_set(w->waiters_timer, 0);
	if (eye->again)
		eye_look(eye);
	if (is_worth_telling(eye, changed))
		tell_facts(w);
}

static struct eye *eye_add(struct watch *w, bool is_set, uint8_t index, uint8_t process)
{
	struct eye *eye = &w->eyes[w->n_eyes++];
	*eye = (struct eye){ .watch = w, .is_set = is_set, .index = index, .process = process };
	return eye;
}

static void eye_set_add(struct watch *w, const struct rollout *r, uint8_t s)
{
	const struct set *set = &r->profile->sets[s];
	struct eye *eye = eye_add(w, true, s, 0);
	struct bind bind = { .profile = r->profile, .r = r, .rollout = r->id, .lane = LANE_NONE };
	struct fail fail;
	if (look_classes_init(&eye->classes, &bind, set, &fail) != 0)
		log_say(LOG_AT_ERR, "%s; rows of %s have no class", fail.text, set->name);
	if (set->from != SET_NODES)
		return;
	eye->nodes = memory_need(calloc(r->n_set_rows[s] + 1, sizeof(struct node_look)));
	for (uint32_t i = 0; i < r->n_rows; i++)
		if (r->rows[i].set == s)
			eye->nodes[eye->n_nodes++] = (struct node_look){ .eye = eye, .row = i };
}

/* Eyes for the rollout at hand; they stay where they are until it is another one. */
static bool eyes_open(struct watch *w)
{
	const struct rollout *r = rollout_of(w);
	if (r == NULL)
		return false;
	if (w->eyes != NULL && w->rollout == r->id)
		return true;
	watch_forget(w);
	w->rollout = r->id;
	w->eyes = memory_need(calloc(CONFIG_BALANCERS_MAX * CONFIG_SOCKETS_MAX + 8, sizeof(struct eye)));
	for (uint8_t s = 0; s < r->profile->n_sets; s++)
		if (facts_looked_at(r, s))
			eye_set_add(w, r, s);
	for (uint8_t b = 0; b < r->profile->n_balancers; b++) {
		size_t n = r->facts.servers[b] != NULL ? site_processes(w->site, r->profile->balancers[b]) : 0;
		for (size_t p = 0; p < n; p++)
			eye_add(w, false, b, (uint8_t)p)->seen = memory_need(calloc(r->n_set_rows[r->profile->set_node] + 1, sizeof(struct seen)));
	}
	return true;
}

void watch_forget(struct watch *w)
{
	for (size_t i = 0; i < w->n_eyes; i++) {
		struct eye *eye = &w->eyes[i];
		site_call_cancel(eye->call);
		if (eye->query != NULL)
			sql_cancel(eye->query);
		probe_cancel(eye->level);
		for (uint32_t k = 0; k < eye->n_nodes; k++)
			probe_cancel(eye->nodes[k].run);
		look_classes_done(&eye->classes);
		free(eye->nodes);
		free(eye->seen);
	}
	free(w->eyes);
	w->eyes = NULL;
	w->n_eyes = 0;
	for (size_t i = 0; i < 8; i++)
		index_done(&w->index[i]);
	while (w->waiters != NULL) {
		struct waiter *waiter = w->waiters;
		w->waiters = waiter->next;
		free(waiter);
	}
}

/* ---- pace ---- */

static void look_all(struct watch *w, bool is_set)
{
	for (size_t i = 0; i < w->n_eyes; i++)
		if (w->eyes[i].is_set == is_set && !w->eyes[i].running)
			eye_look(&w->eyes[i]);
}

static void on_balancers(void *arg)
{
	struct watch *w = arg;
	loop_timer_set(w->balancers, (uint64_t)site_config(w->site)->watch_ms);
	if (eyes_open(w))
		look_all(w, false);
}

static void on_sets(void *arg)
{
	struct watch *w = arg;
	loop_timer_set(w->sets, (uint64_t)site_config(w->site)->observe_ms);
	if (eyes_open(w))
		look_all(w, true);
}

struct watch *watch_new(struct site *site)
{
	struct watch *w = memory_need(calloc(1, sizeof(*w)));
	w->site = site;
	w->balancers = loop_timer_new(site_loop(site), on_balancers, w);
	w->sets = loop_timer_new(site_loop(site), on_sets, w);
	w->waiters_timer = loop_timer_new(site_loop(site), on_waiters, w);
	return w;
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	watch_forget(w);
	loop_timer_free(w->balancers);
	loop_timer_free(w->sets);
	loop_timer_free(w->waiters_timer);
	free(w);
}

void watch_engine(struct watch *w, struct engine *engine)
{
	w->engine = engine;
}

void watch_on(struct watch *w, bool on)
{
	if (w->on == on)
		return;
	w->on = on;
	if (on) {
		loop_timer_set(w->balancers, 0);
		loop_timer_set(w->sets, 0);
	} else {
		loop_timer_clear(w->balancers);
		loop_timer_clear(w->sets);
	}
}

void watch_refresh(struct watch *w, watch_fn *fn, void *arg)
{
	struct waiter *waiter = memory_need(calloc(1, sizeof(*waiter)));
	*waiter = (struct waiter){ .next = w->waiters, .fn = fn, .arg = arg, .since = loop_boot_ms() };
	if (!eyes_open(w)) {
		free(waiter); /* no rollout: nothing to look at, and nobody left who asks */
		return;
	}
	waiter->next = w->waiters;
	w->waiters = waiter;
	for (size_t i = 0; i < w->n_eyes; i++)
		eye_look(&w->eyes[i]);
	loop_timer_set(w->waiters_timer, 0); /* a profile without sets has nothing to wait for */
}

void watch_refresh_cancel(struct watch *w, void *arg)
{
	for (struct waiter **at = &w->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (waiter->arg != arg) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
}

const char *watch_error(struct watch *w, const char *name)
{
	const struct rollout *r = rollout_of(w);
	int balancer = r != NULL ? profile_balancer(r->profile, name) : -1;
	struct eye *first = balancer >= 0 ? first_eye(w, (uint8_t)balancer) : NULL;
	if (first == NULL || w->rollout != r->id)
		return NULL;
	for (const struct eye *eye = first; is_of(w, eye, (uint8_t)balancer); eye++) {
		if (eye->looked == 0 || eye->reachable)
			continue;
		(void)snprintf(w->error, sizeof(w->error), "%s", eye->error); /* begins with its socket */
		return w->error;
	}
	for (uint32_t i = 0; i < r->n_rows; i++) {
		if (r->rows[i].set != r->profile->set_node)
			continue;
		for (const struct eye *eye = first; is_of(w, eye, (uint8_t)balancer); eye++) {
			const struct seen *here = &eye->seen[r->rows[i].rank], *there = &first->seen[r->rows[i].rank];
			uint8_t want = r->wants[balancer] != NULL ? r->wants[balancer][r->rows[i].rank].state : SERVER_UNKNOWN;
			if (eye->looked != 0 && !here->present && want != SERVER_UNKNOWN) {
				(void)snprintf(w->error, sizeof(w->error), "%.120s: there is no server %.60s, which is to be %s (renamed?)",
					site_socket(w->site, name, eye->process), r->rows[i].name, server_state_word((enum server_state)want));
				return w->error;
			}
			if (eye->looked == 0 || first->looked == 0 || (here->present == there->present && here->state == there->state))
				continue;
			(void)snprintf(w->error, sizeof(w->error), "its processes disagree about %.60s: %s and %s", r->rows[i].name,
				there->present ? server_state_word((enum server_state)there->state) : "missing",
				here->present ? server_state_word((enum server_state)here->state) : "missing");
			return w->error;
		}
	}
	return NULL;
}
