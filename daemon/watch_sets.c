/* SPDX-License-Identifier: MIT */
/* What the sets show: rows of a database, the level of a path, the nodes. Who cannot be asked makes its set unknown (rows_at = 0). */
#include "watch_parts.h"

#include "config.h"
#include "engine.h"
#include "io/sql.h"
#include "log.h"
#include "memory.h"
#include "probe.h"
#include "site.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

enum { SET_QUERY_MS = 20000, NODE_MS = 3000, NODES_AT_ONCE = 64 };

/* ---- finding rows ---- */

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int rc = strcmp(x->name, y->name);
	return rc != 0 ? rc : strcmp(x->host, y->host);
}

void index_done(struct index *index)
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

uint32_t watch_find_row(struct watch *w, const struct rollout *r, uint8_t set, const char *name, char *host)
{
	const struct index *index = index_of(w, r, set);
	struct key key = { .name = name, .host = host };
	const struct key *hit = bsearch(&key, index->keys, index->n, sizeof(struct key), by_key);
	return hit != NULL ? hit->row : ROLLOUT_NO_ROW;
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
		uint32_t row = watch_find_row(eye->watch, r, eye->index, look.name, host);
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
	struct rollout *r = watch_rollout(eye->watch);
	eye->query = NULL;
	eye->looked = eye->began;
	bool changed = result->outcome == SQL_OK ? read_rows(eye, r, result) : set_lost(eye, r, result->error);
	eye_done(eye, changed);
}

void eye_look_rows(struct eye *eye, struct rollout *r)
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
	struct rollout *r = watch_rollout(eye->watch);
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

void eye_look_level(struct eye *eye, struct rollout *r)
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
	struct rollout *r = watch_rollout(eye->watch);
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
	struct rollout *r = watch_rollout(w);
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

void eye_look_nodes(struct eye *eye)
{
	eye->next_node = eye->n_open = 0;
	nodes_go_on(eye);
}
