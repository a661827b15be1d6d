/* SPDX-License-Identifier: MIT */
/*
 * A look at the whole site before there is a rollout. Everything is asked at once (nodes in parts), answers are kept as they come, and
 * judged when the last one is there: a person should see all that is wrong in one go, each with what to do about it.
 */
#include "discover.h"

#include "discover_parts.h"
#include "io/haproxy.h"
#include "io/loop.h"
#include "io/sql.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { QUERY_MS = 20000, NODE_MS = 3000, MACHINE_MS = 5000 };

const struct config *discover_config(const struct discovery *d)
{
	return site_config(d->site);
}

struct bind discover_bind(const struct discovery *d, const struct row *row)
{
	struct bind bind = { .profile = d->profile, .row = row, .r = d->world, .cluster = discover_config(d)->cluster, .lane = LANE_NONE };
	return bind;
}

void discover_one_less(struct discovery *d)
{
	if (--d->open == 0)
		loop_timer_set(d->end, 0);
}

/* ---- findings ---- */

static __attribute__((format(printf, 1, 0))) char *said(const char *format, va_list args)
{
	char *text;
	if (vasprintf(&text, format, args) < 0)
		abort();
	return text;
}

void discover_say(struct discovery *d, enum discover_level level, const char *subject, const char *mend, const char *format, ...)
{
	struct discover_result *r = &d->result;
	va_list args;
	r->findings = memory_need(realloc(r->findings, (r->n_findings + 1) * sizeof(*r->findings)));
	va_start(args, format);
	r->findings[r->n_findings++] = (struct discover_finding){ .level = level, .subject = memory_need(strdup(subject)),
		.text = said(format, args), .mend = mend != NULL ? memory_need(strdup(mend)) : NULL };
	va_end(args);
	r->n_errors += level == DISCOVER_ERROR;
	r->n_warnings += level == DISCOVER_WARNING;
}

/* ---- nodes ---- */

static void nodes_go_on(struct discovery *d);

static void node_done(struct node *node)
{
	struct discovery *d = node->d;
	d->nodes_open--;
	nodes_go_on(d);
	discover_one_less(d);
}

static void on_node(void *arg, const struct probe_answer *answer)
{
	struct node *node = arg;
	struct discovery *d = node->d;
	const char *value = answer->table != NULL && answer->table->n_rows > 0 ? answer->table->cells[0] : NULL;
	node->run = NULL;
	if (value != NULL && answer->whole) {
		node->value = memory_need(strdup(value));
		node->class_ = look_class(&d->classes[d->profile->set_node], value);
		node->also = look_class_again(&d->classes[d->profile->set_node], value, node->class_);
	} else {
		node->error = memory_need(strdup(answer->text));
	}
	node_done(node);
}

static void nodes_go_on(struct discovery *d)
{
	int probe = profile_probe(d->profile, d->profile->sets[d->profile->set_node].class_probe);
	while (probe >= 0 && d->nodes_open < DISCOVER_AT_ONCE && d->next_node < discover_config(d)->n_nodes) {
		struct node *node = &d->nodes[d->next_node++];
		struct probe_options options = { .bind = discover_bind(d, &node->row), .unit = RECORD_NO_UNIT, .timeout_ms = NODE_MS };
		d->nodes_open++;
		d->open++;
		node->run = probe_start(d->site, &d->profile->probes[probe], &options, on_node, node);
	}
}

static void nodes_start(struct discovery *d)
{
	const struct config *config = discover_config(d);
	d->nodes = memory_need(calloc(config->n_nodes + 1, sizeof(struct node)));
	for (size_t i = 0; i < config->n_nodes; i++) {
		struct node *node = &d->nodes[i];
		node->d = d;
		node->config = &config->nodes[i];
		node->columns = look_node_columns(node->config);
		node->row = (struct row){ .name = node->config->name, .columns = node->columns, .set = (uint8_t)d->profile->set_node };
	}
	nodes_go_on(d);
}

/* ---- sets of a database ---- */

static void keep_rows(struct table *t, const struct sql_result *result)
{
	struct discovery *d = t->d;
	const struct set *set = &d->profile->sets[t->set];
	struct look_row look;
	struct fail fail;
	t->rows = memory_need(calloc(result->n_rows + 1, sizeof(*t->rows)));
	t->names = memory_need(calloc(result->n_rows + 1, sizeof(char *)));
	t->hosts = memory_need(calloc(result->n_rows + 1, sizeof(char *)));
	t->values = memory_need(calloc(result->n_rows + 1, sizeof(char *)));
	for (size_t i = 0; i < result->n_rows; i++) {
		if (look_row(discover_config(d), set, &d->classes[t->set], result, i, &look, &fail) != 0) {
			t->error = memory_need(strdup(fail.text));
			return;
		}
		t->rows[t->n] = (struct engine_row){ .set = t->set, .columns = look_sql_columns(set, result, i), .weight = look.weight,
			.host = look.host_number, .class_ = look.class_ };
		t->names[t->n] = memory_need(strdup(look.name));
		t->hosts[t->n] = memory_need(strdup(look.host));
		t->values[t->n++] = memory_need(strdup(look.value));
	}
}

static void on_rows(void *arg, const struct sql_result *result)
{
	struct table *t = arg;
	t->query = NULL;
	if (result->outcome == SQL_OK)
		keep_rows(t, result);
	else
		t->error = memory_need(strdup(result->error));
	discover_one_less(t->d);
}

static void table_start(struct discovery *d, uint8_t s)
{
	const struct set *set = &d->profile->sets[s];
	struct table *t = &d->tables[s];
	struct bind bind = discover_bind(d, NULL);
	struct fail fail = { 0 };
	struct sql *sql = site_sql(d->site, set->database, &fail);
	char *query = sql != NULL ? bind_sql(&bind, set->query, &fail) : NULL;
	t->d = d;
	t->set = s;
	if (query == NULL) {
		t->error = memory_need(strdup(fail.text));
		return;
	}
	d->open++;
	char *tagged = sql_tagged(query, "plan set=%s", set->name);
	t->query = sql_run(sql, tagged, NULL, 0, QUERY_MS, on_rows, t);
	free(tagged);
	free(query);
}

/* ---- database hosts ---- */

static void on_machine(void *arg, const struct sql_result *result)
{
	struct machine *m = arg;
	m->query = NULL;
	if (result->outcome != SQL_OK)
		m->error = memory_need(strdup(result->error));
	discover_one_less(m->d);
}

static void machine_start(struct machine *m)
{
	char target[300];
	struct fail fail = { 0 };
	if (m->host->pools.n == 0)
		return;
	(void)snprintf(target, sizeof(target), "host:%s", m->host->pools.items[0]);
	struct sql *sql = site_sql(m->d->site, target, &fail);
	if (sql == NULL) {
		m->error = memory_need(strdup(fail.text));
		return;
	}
	m->d->open++;
	m->query = sql_run(sql, "/* upgd plan */ SELECT 1", NULL, 0, MACHINE_MS, on_machine, m);
}

static void machines_start(struct discovery *d)
{
	const struct config *config = discover_config(d);
	bool needed = false;
	for (size_t i = 0; i < d->profile->n_probes; i++)
		needed |= d->profile->probes[i].kind == PROBE_SQL && strncmp(d->profile->probes[i].target, "host:", 5) == 0;
	d->machines = memory_need(calloc(config->n_hosts + 1, sizeof(struct machine)));
	for (size_t i = 0; needed && i < config->n_hosts; i++) {
		d->machines[i] = (struct machine){ .d = d, .host = &config->hosts[i] };
		machine_start(&d->machines[i]);
	}
}

/* ---- balancers ---- */

static void on_refused(void *arg, const char *error)
{
	struct process *p = arg;
	p->call = NULL;
	if (error != NULL)
		p->refused = memory_need(strdup(error));
	discover_one_less(p->d);
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct process *p = arg;
	struct discovery *d = p->d;
	p->call = NULL;
	p->reachable = snapshot->reachable;
	if (!p->reachable) {
		p->error = memory_need(strdup(snapshot->error));
		discover_one_less(d);
		return;
	}
	p->servers = memory_need(calloc(snapshot->n_servers + 1, sizeof(*p->servers)));
	for (size_t i = 0; i < snapshot->n_servers; i++) {
		struct seen_server *seen = &p->servers[p->n++];
		(void)snprintf(seen->name, sizeof(seen->name), "%s", snapshot->servers[i].name);
		seen->state = (uint8_t)look_server(&snapshot->servers[i]);
		seen->up = snapshot->servers[i].up;
	}
	/* A command for a server that cannot be tells whether the socket may command at all, and changes nothing. */
	p->call = site_set(d->site, p->balancer, p->number, "upgd-asks-for-its-level", HAPROXY_READY, on_refused, p);
}

static void balancers_start(struct discovery *d)
{
	for (size_t b = 0; b < d->profile->n_balancers; b++) {
		size_t n = site_processes(d->site, d->profile->balancers[b]);
		for (size_t i = 0; i < n; i++) {
			struct process *p = &d->processes[d->n_processes++];
			*p = (struct process){ .d = d, .balancer = d->profile->balancers[b], .number = i };
			d->open++;
			p->call = site_snapshot(d->site, p->balancer, i, on_snapshot, p);
		}
	}
}

static const struct seen_server *server_in(const struct process *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->servers[i].name, name) == 0)
			return &p->servers[i];
	return NULL;
}

/* ---- judging ---- */

static void judge_params(struct discovery *d)
{
	for (size_t i = 0; i < d->profile->n_params; i++) {
		const struct param *p = &d->profile->params[i];
		char subject[100], mend[160];
		(void)snprintf(subject, sizeof(subject), "parameter %s", p->name);
		(void)snprintf(mend, sizeof(mend), "upgctl start --set %s=VALUE, or vars in upgd.conf", p->name);
		if (p->value == NULL)
			discover_say(d, DISCOVER_ERROR, subject, mend, "is not given: %s", p->doc != NULL ? p->doc : "it has no default");
	}
}

static void judge_node(struct discovery *d, const struct node *node, const struct set *set)
{
	char subject[300];
	(void)snprintf(subject, sizeof(subject), "node %s", node->config->name);
	if (node->value == NULL)
		discover_say(d, DISCOVER_ERROR, subject, "is it running, and health in upgd.conf right? take it out of nodes if it is gone for good",
			"%s", node->error != NULL ? node->error : "its class could not be asked");
	else if (node->class_ == CLASS_NONE)
		discover_say(d, DISCOVER_ERROR, subject, "compare the parameters of the rollout with what the nodes run",
			"%s says \"%.80s\", which is of no class", set->class_probe, node->value);
	else if (node->also != CLASS_NONE)
		discover_say(d, DISCOVER_ERROR, subject, "give another version: this one runs already",
			"\"%.80s\" is both %s and %s: nothing would tell the fleets apart", node->value, d->profile->classes[node->class_], d->profile->classes[node->also]);
	else
		discover_say(d, DISCOVER_OK, subject, NULL, "%s, \"%.80s\"", d->profile->classes[node->class_], node->value);
}

static void judge_nodes(struct discovery *d)
{
	const struct set *set = &d->profile->sets[d->profile->set_node];
	const struct config *config = discover_config(d);
	if (config->n_nodes == 0)
		discover_say(d, DISCOVER_ERROR, set->name, "add nodes to upgd.conf", "the set has no rows");
	if (profile_probe(d->profile, set->class_probe) < 0)
		discover_say(d, DISCOVER_ERROR, set->name, "name one of probes in the profile", "there is no probe \"%s\"", set->class_probe);
	size_t n_new = 0;
	for (size_t i = 0; i < config->n_nodes; i++) {
		judge_node(d, &d->nodes[i], set);
		n_new += d->nodes[i].class_ == CLASS_NEW && d->nodes[i].also == CLASS_NONE;
	}
	if (n_new > 0 && n_new == config->n_nodes)
		discover_say(d, DISCOVER_WARNING, set->name, "compare from and to with what the nodes run", "every node is new already: none would be upgraded");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void judge_twice(struct discovery *d, const struct table *t)
{
	char **names = memory_need(calloc(t->n + 1, sizeof(char *)));
	for (size_t i = 0; i < t->n; i++)
		names[i] = t->names[i];
	qsort(names, t->n, sizeof(char *), by_name);
	for (size_t i = 1; i < t->n; i++)
		if (strcmp(names[i], names[i - 1]) == 0 && (i < 2 || strcmp(names[i], names[i - 2]) != 0))
			discover_say(d, DISCOVER_ERROR, names[i], "tools take a name alone and would touch both: rename one, or leave it out of the system",
				"is there more than once in set %s, on different database hosts", d->profile->sets[t->set].name);
	free(names);
}

static void judge_table(struct discovery *d, const struct table *t)
{
	const struct set *set = &d->profile->sets[t->set];
	size_t n_of[PROFILE_CLASSES_MAX] = { 0 };
	char counts[200] = "";
	if (t->error != NULL) {
		discover_say(d, DISCOVER_ERROR, set->name, "see databases in upgd.conf, and what its account may do", "%s: %s", set->database, t->error);
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		n_of[t->rows[i].class_]++;
		if (set->host_column != NULL && t->rows[i].host == 0)
			discover_say(d, DISCOVER_ERROR, t->names[i], "add the pool to pools of a host in databases of upgd.conf",
				"is on pool %s, which no database host has", t->hosts[i][0] ? t->hosts[i] : "(none)");
		if (t->rows[i].class_ == CLASS_NONE)
			discover_say(d, DISCOVER_ERROR, t->names[i], "compare the parameters of the rollout with what the site calls its fleets",
				"%s is \"%.80s\", which is of no class", set->class_column, t->values[i]);
	}
	judge_twice(d, t);
	for (size_t i = 0; i < d->profile->n_classes; i++)
		if (n_of[i] > 0)
			(void)snprintf(counts + strlen(counts), sizeof(counts) - strlen(counts), ", %zu %s", n_of[i], d->profile->classes[i]);
	if (t->n == 0 && set->weight_column != NULL)
		discover_say(d, DISCOVER_WARNING, set->name, NULL, "the set has no rows");
	else if (t->n == 0)
		discover_say(d, DISCOVER_OK, set->name, NULL, "no rows: nothing to do");
	else
		discover_say(d, DISCOVER_OK, set->name, NULL, "%zu rows%s", t->n, counts);
}

static void judge_machines(struct discovery *d)
{
	for (size_t i = 0; i < discover_config(d)->n_hosts; i++) {
		const struct machine *m = &d->machines[i];
		char subject[300];
		(void)snprintf(subject, sizeof(subject), "database host %s", discover_config(d)->hosts[i].name);
		if (m->error != NULL)
			discover_say(d, DISCOVER_ERROR, subject, "see hosts in databases of upgd.conf, and its option file", "%s", m->error);
	}
}

static void judge_process(struct discovery *d, const struct process *p)
{
	char subject[400];
	(void)snprintf(subject, sizeof(subject), "balancer %s, %s", p->balancer, site_socket(d->site, p->balancer, p->number));
	if (!p->reachable) {
		discover_say(d, DISCOVER_ERROR, subject, "is HAProxy running, and may upgd open its socket? see balancers in upgd.conf",
			"%s", p->error != NULL ? p->error : "does not answer");
		return;
	}
	if (p->refused != NULL && strstr(p->refused, "ermission denied") != NULL)
		discover_say(d, DISCOVER_ERROR, subject, "stats socket ... level admin, in haproxy.cfg", "may be read, but not commanded: %s", p->refused);
	for (size_t i = 0; i < discover_config(d)->n_nodes; i++) {
		const char *name = discover_config(d)->nodes[i].name;
		if (server_in(p, name) == NULL)
			discover_say(d, DISCOVER_ERROR, subject, "servers in HAProxy are named as nodes in upgd.conf; add it, disabled if it serves elsewhere",
				"backend %s has no server \"%s\"", site_backend(d->site, p->balancer), name);
	}
}

static void judge_agreement(struct discovery *d, const struct process *first, const char *name)
{
	const struct seen_server *there = server_in(first, name);
	char subject[400];
	(void)snprintf(subject, sizeof(subject), "balancer %s", first->balancer);
	for (const struct process *p = first + 1; p < d->processes + d->n_processes && p->balancer == first->balancer; p++) {
		const struct seen_server *here = server_in(p, name);
		if (there != NULL && here != NULL && there->state != here->state)
			discover_say(d, DISCOVER_ERROR, subject, "set it the same in all processes", "its processes disagree about %s: %s at %s, %s at %s", name,
				server_state_word((enum server_state)there->state), site_socket(d->site, first->balancer, first->number),
				server_state_word((enum server_state)here->state), site_socket(d->site, p->balancer, p->number));
	}
}

static void judge_balancers(struct discovery *d)
{
	for (size_t b = 0; b < d->profile->n_balancers; b++) {
		const char *name = d->profile->balancers[b];
		char subject[100];
		(void)snprintf(subject, sizeof(subject), "balancer %s", name);
		if (site_processes(d->site, name) == 0)
			discover_say(d, DISCOVER_ERROR, subject, "add it to balancers in upgd.conf", "the profile needs it and the configuration does not have it");
		else if (!site_has_master(d->site, name))
			discover_say(d, DISCOVER_WARNING, subject, "give masters in balancers of upgd.conf",
				"has no master socket: for a minute after a reload, nobody can say whether a node is idle");
	}
	for (size_t i = 0; i < d->n_processes; i++) {
		judge_process(d, &d->processes[i]);
		if (d->processes[i].number == 0)
			for (size_t n = 0; n < discover_config(d)->n_nodes; n++)
				judge_agreement(d, &d->processes[i], discover_config(d)->nodes[n].name);
	}
}

/* Old, and a person has it in maintenance: left alone. */
static bool is_aside(const struct discovery *d, const struct node *node)
{
	if (d->profile->respect == NULL || node->class_ != CLASS_OLD)
		return false;
	for (size_t i = 0; i < d->n_processes; i++) {
		const struct process *p = &d->processes[i];
		const struct seen_server *server = strcmp(p->balancer, d->profile->respect) == 0 ? server_in(p, node->config->name) : NULL;
		if (server != NULL && server->state == SERVER_MAINT)
			return true;
	}
	return false;
}

/* What is known so far; once more when the ways are known. */
static void rows_collect(struct discovery *d)
{
	struct discover_result *r = &d->result;
	size_t max = discover_config(d)->n_nodes;
	for (uint8_t s = 0; s < d->profile->n_sets; s++)
		max += d->tables[s].n + discover_ways_rows(d, s, NULL);
	free(r->rows);
	r->rows = memory_need(calloc(max + 1, sizeof(*r->rows)));
	r->n_rows = 0;
	for (uint8_t s = 0; s < d->profile->n_sets; s++) {
		for (size_t i = 0; i < d->tables[s].n; i++)
			r->rows[r->n_rows++] = d->tables[s].rows[i];
		r->n_rows += discover_ways_rows(d, s, r->rows + r->n_rows);
		for (size_t i = 0; (int)s == d->profile->set_node && i < discover_config(d)->n_nodes; i++) {
			struct node *node = &d->nodes[i];
			r->rows[r->n_rows++] = (struct engine_row){ .set = s, .columns = node->columns, .weight = 1, .class_ = node->class_,
				.capacity = node->config->capacity > UINT32_MAX ? UINT32_MAX : (uint32_t)node->config->capacity, .aside = is_aside(d, node) };
		}
	}
}

static void judge_aside(struct discovery *d)
{
	const struct profile *p = d->profile;
	bool all = p->plan >= 0 && p->plans[p->plan].all;
	for (size_t i = 0; p->set_node >= 0 && i < discover_config(d)->n_nodes; i++)
		if (is_aside(d, &d->nodes[i]) && all)
			discover_say(d, DISCOVER_ERROR, d->nodes[i].config->name, "make it ready there, or stop it and take it out of nodes in upgd.conf",
				"is in maintenance in %s by somebody's hand, and this plan leaves no node alone", p->respect);
		else if (is_aside(d, &d->nodes[i]))
			discover_say(d, DISCOVER_WARNING, d->nodes[i].config->name, "make it ready in the balancer before the start, or upgrade it by hand",
				"is in maintenance in %s by somebody's hand: it is left alone", d->profile->respect);
}

static void world_record(struct rollout *world, struct record rec)
{
	rec.seq = world->seq + 1;
	(void)!rollout_apply(world, &rec); /* made here, from what was found */
}

/* A rollout that was never started: who asks about a row may name the nodes that are there. */
static void world_make(struct discovery *d)
{
	rows_collect(d);
	rollout_free(d->world);
	struct rollout *world = d->world = rollout_new(d->profile, 0);
	world_record(world, (struct record){ .kind = RECORD_START, .unit = RECORD_NO_UNIT });
	world_record(world, (struct record){ .kind = RECORD_ROW, .unit = 0, .text = "name=cluster\n" });
	for (size_t i = 0; i < d->result.n_rows; i++) {
		const struct engine_row *row = &d->result.rows[i];
		world_record(world, (struct record){ .kind = RECORD_ROW, .unit = world->n_rows, .step = row->set, .lane = row->host, .value = row->weight,
			.code = (uint16_t)(row->class_ | (row->aside ? 256 : 0)), .hash = row->capacity, .text = row->columns });
	}
	world_record(world, (struct record){ .kind = RECORD_PLANNED, .unit = RECORD_NO_UNIT });
	for (uint32_t i = 0; i < world->n_rows; i++)
		world->facts.rows[i].known = world->facts.rows[i].up = world->rows[i].class_ != CLASS_NONE;
}

static void discovery_free(struct discovery *d)
{
	discover_checks_done(d);
	discover_ways_done(d);
	rollout_free(d->world);
	for (size_t i = 0; d->nodes != NULL && i < discover_config(d)->n_nodes; i++) {
		probe_cancel(d->nodes[i].run);
		free(d->nodes[i].columns);
		free(d->nodes[i].value);
		free(d->nodes[i].error);
	}
	for (size_t s = 0; s < 8; s++) {
		struct table *t = &d->tables[s];
		if (t->query != NULL)
			sql_cancel(t->query);
		for (size_t i = 0; i < t->n; i++) {
			free((void *)(uintptr_t)t->rows[i].columns);
			free(t->names[i]);
			free(t->hosts[i]);
			free(t->values[i]);
		}
		free(t->rows);
		free(t->names);
		free(t->hosts);
		free(t->values);
		free(t->error);
		look_classes_done(&d->classes[s]);
	}
	for (size_t i = 0; i < discover_config(d)->n_hosts; i++) {
		if (d->machines[i].query != NULL)
			sql_cancel(d->machines[i].query);
		free(d->machines[i].error);
	}
	for (size_t i = 0; i < d->n_processes; i++) {
		site_call_cancel(d->processes[i].call);
		free(d->processes[i].servers);
		free(d->processes[i].error);
		free(d->processes[i].refused);
	}
	for (size_t i = 0; i < d->result.n_findings; i++) {
		free(d->result.findings[i].subject);
		free(d->result.findings[i].text);
		free(d->result.findings[i].mend);
	}
	free(d->result.findings);
	free(d->result.rows);
	free(d->nodes);
	free(d->machines);
	discover_places_done(d);
	loop_timer_free(d->end);
	free(d);
}

static void end(struct discovery *d)
{
	judge_params(d);
	if (d->profile->set_node >= 0)
		judge_nodes(d);
	for (size_t s = 0; s < d->profile->n_sets; s++)
		if (d->profile->sets[s].from == SET_SQL && !d->profile->sets[s].idle)
			judge_table(d, &d->tables[s]);
	discover_ways_judge(d);
	judge_machines(d);
	judge_balancers(d);
	discover_places_judge(d);
	judge_aside(d);
	rollout_free(d->world);
	d->world = NULL;
	d->fn(d->arg, &d->result); /* who asked may take the profile along */
	discovery_free(d);
}

/* All that was asked is answered. */
static void on_end(void *arg)
{
	struct discovery *d = arg;
	d->open = 1;
	if (++d->phase == 1) {
		world_make(d);
		discover_ways_start(d);
	} else if (d->phase == 2) {
		world_make(d);
		if (d->check)
			discover_checks_start(d);
	} else {
		end(d);
		return;
	}
	discover_one_less(d); /* what was asked counts for itself */
}

struct discovery *discover_start(struct site *site, const struct profile *profile, bool check, discover_fn *fn, void *arg)
{
	struct discovery *d = memory_need(calloc(1, sizeof(*d)));
	struct fail fail;
	*d = (struct discovery){ .site = site, .profile = profile, .check = check, .fn = fn, .arg = arg, .open = 1 };
	d->end = loop_timer_new(site_loop(site), on_end, d);
	for (uint8_t s = 0; s < profile->n_sets; s++) {
		struct bind bind = discover_bind(d, NULL);
		if (profile->sets[s].from == SET_CLUSTER || profile->sets[s].from == SET_PATH || profile->sets[s].idle)
			continue;
		if (look_classes_init(&d->classes[s], &bind, &profile->sets[s], &fail) != 0)
			discover_say(d, DISCOVER_ERROR, profile->sets[s].name, "give the parameters that its classes need", "%s", fail.text);
		if (profile->sets[s].from == SET_SQL)
			table_start(d, s);
	}
	if (profile->set_node >= 0)
		nodes_start(d);
	machines_start(d);
	balancers_start(d);
	if (check)
		discover_places_start(d);
	discover_one_less(d); /* what was asked above counts for itself */
	return d;
}

void discover_cancel(struct discovery *d)
{
	if (d != NULL)
		discovery_free(d);
}
