/* SPDX-License-Identifier: MIT */
/*
 * Runners and SQL pools are made on first use, so that a daemon that only looks starts no ssh. HAProxy objects hold no connection
 * between commands and are made at once: a bad socket address is then an error of the start, not of the first drain.
 */
#include "site.h"

#include "config.h"
#include "io/http.h"
#include "io/runner.h"
#include "io/sql.h"
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PROBE_WORKERS = 4, HOST_WORKERS = 3 };

struct site_call {
	struct site *site;
	struct site_call *next, **link;
	haproxy_snapshot_fn *snapshot_fn; /* both NULL: cancelled */
	haproxy_command_fn *command_fn;
	void *arg;
};

struct site {
	struct loop *loop;
	const struct config *config;
	struct http *http;
	struct runner **runners;   /* by node; the last is "local" */
	struct sql **databases, **hosts;
	struct sql *(*replicas)[CONFIG_REPLICAS_MAX]; /* by host */
	struct haproxy *balancers[CONFIG_BALANCERS_MAX][CONFIG_SOCKETS_MAX];
	struct site_call *calls;
};

static int balancers_new(struct site *site, struct fail *fail)
{
	for (size_t b = 0; b < site->config->n_balancers; b++) {
		const struct config_balancer *balancer = &site->config->balancers[b];
		for (size_t p = 0; p < balancer->sockets.n; p++) {
			struct haproxy_options options = { .socket = balancer->sockets.items[p],
				.master = p < balancer->masters.n ? balancer->masters.items[p] : NULL };
			site->balancers[b][p] = haproxy_new(site->loop, &options, fail);
			if (site->balancers[b][p] == NULL) {
				fail_prefix(fail, "balancer %s", balancer->name);
				return -EINVAL;
			}
		}
	}
	return 0;
}

struct site *site_new(struct loop *loop, const struct config *config, struct fail *fail)
{
	struct site *site = memory_need(calloc(1, sizeof(*site)));
	site->loop = loop;
	site->config = config;
	site->runners = memory_need(calloc(config->n_nodes + 1, sizeof(struct runner *)));
	site->databases = memory_need(calloc(config->n_databases + 1, sizeof(struct sql *)));
	site->hosts = memory_need(calloc(config->n_hosts + 1, sizeof(struct sql *)));
	site->replicas = memory_need(calloc(config->n_hosts + 1, sizeof(*site->replicas)));
	site->http = http_new(loop, fail);
	if (site->http == NULL || balancers_new(site, fail) != 0) {
		site_free(site);
		return NULL;
	}
	return site;
}

void site_free(struct site *site)
{
	if (site == NULL)
		return;
	for (size_t i = 0; i <= site->config->n_nodes; i++)
		if (site->runners[i] != NULL)
			runner_free(site->runners[i]);
	for (size_t i = 0; i < site->config->n_databases; i++)
		if (site->databases[i] != NULL)
			sql_free(site->databases[i]);
	for (size_t i = 0; i < site->config->n_hosts; i++)
		if (site->hosts[i] != NULL)
			sql_free(site->hosts[i]);
	for (size_t i = 0; i < site->config->n_hosts; i++)
		for (size_t k = 0; k < CONFIG_REPLICAS_MAX; k++)
			if (site->replicas[i][k] != NULL)
				sql_free(site->replicas[i][k]);
	for (size_t b = 0; b < CONFIG_BALANCERS_MAX; b++)
		for (size_t p = 0; p < CONFIG_SOCKETS_MAX; p++)
			if (site->balancers[b][p] != NULL)
				haproxy_free(site->balancers[b][p]);
	while (site->calls != NULL) {
		struct site_call *call = site->calls;
		site->calls = call->next;
		free(call);
	}
	if (site->http != NULL)
		http_free(site->http);
	free(site->runners);
	free(site->databases);
	free(site->hosts);
	free(site->replicas);
	free(site);
}

const struct config *site_config(const struct site *site)
{
	return site->config;
}

struct loop *site_loop(const struct site *site)
{
	return site->loop;
}

struct http *site_http(const struct site *site)
{
	return site->http;
}

/* ---- runners ---- */

static struct runner *runner_local(struct site *site, struct fail *fail)
{
	const struct config *config = site->config;
	struct runner_place place = { .name = "local" };
	if (config->local_runner.n > 0)
		place.argv = (const char *const *)config->local_runner.items;
	else
		place.socket = config->local_socket;
	return runner_new(site->loop, &place, fail);
}

static struct runner *runner_of_node(struct site *site, const struct config_node *node, struct fail *fail)
{
	char **argv = config_remote_argv(site->config, node);
	struct runner_place place = { .name = node->name, .argv = (const char *const *)argv };
	struct runner *runner = runner_new(site->loop, &place, fail);
	free(argv);
	return runner;
}

struct runner *site_runner(struct site *site, const char *name, struct fail *fail)
{
	const struct config_node *node = name != NULL ? config_node(site->config, name) : NULL;
	if (name != NULL && node == NULL) {
		(void)fail_set(fail, -ENOENT, "no node \"%s\" in the configuration; add it to nodes in upgd.conf", name);
		return NULL;
	}
	struct runner **slot = &site->runners[node != NULL ? (size_t)(node - site->config->nodes) : site->config->n_nodes];
	if (*slot == NULL)
		*slot = node != NULL ? runner_of_node(site, node, fail) : runner_local(site, fail);
	return *slot;
}

/* ---- databases ---- */

static struct sql *sql_of_host(struct site *site, const char *pool, struct fail *fail)
{
	const struct config_host *host = config_host_of_pool(site->config, pool);
	if (host == NULL) {
		(void)fail_set(fail, -ENOENT, "no database host has pool \"%s\"; add it to pools of a host in databases of upgd.conf", pool);
		return NULL;
	}
	struct sql **slot = &site->hosts[host - site->config->hosts];
	struct sql_server server = { .name = host->name, .option_file = host->option_file, .group = host->group, .connections = HOST_WORKERS };
	if (*slot == NULL)
		*slot = sql_new(site->loop, &server, fail);
	return *slot;
}

struct sql *site_sql(struct site *site, const char *target, struct fail *fail)
{
	if (strncmp(target, "host:", 5) == 0)
		return sql_of_host(site, target + 5, fail);
	for (size_t i = 0; i < site->config->n_databases; i++) {
		const struct config_database *database = &site->config->databases[i];
		struct sql_server server = { .name = database->name, .option_file = database->option_file, .group = database->group,
			.connections = PROBE_WORKERS };
		if (strcmp(database->name, target) != 0)
			continue;
		if (site->databases[i] == NULL)
			site->databases[i] = sql_new(site->loop, &server, fail);
		return site->databases[i];
	}
	(void)fail_set(fail, -ENOENT, "no database \"%s\" in the configuration; add it to databases in upgd.conf", target);
	return NULL;
}

size_t site_replicas(const struct site *site, const char *pool)
{
	const struct config_host *host = config_host_of_pool(site->config, pool);
	return host != NULL ? host->replicas.n : 0;
}

struct sql *site_replica(struct site *site, const char *pool, size_t index, struct fail *fail)
{
	const struct config_host *host = config_host_of_pool(site->config, pool);
	char name[100];
	if (host == NULL || index >= host->replicas.n) {
		(void)fail_set(fail, -ENOENT, "pool %s has no replica %zu", pool, index + 1);
		return NULL;
	}
	struct sql **slot = &site->replicas[host - site->config->hosts][index];
	(void)snprintf(name, sizeof(name), "%s-replica%zu", host->name, index + 1);
	struct sql_server server = { .name = name, .option_file = host->replicas.items[index], .connections = HOST_WORKERS };
	if (*slot == NULL)
		*slot = sql_new(site->loop, &server, fail);
	return *slot;
}

/* ---- balancers ---- */

size_t site_processes(const struct site *site, const char *name)
{
	const struct config_balancer *balancer = config_balancer(site->config, name);
	return balancer != NULL ? balancer->sockets.n : 0;
}

struct haproxy *site_haproxy(struct site *site, const char *name, size_t process)
{
	const struct config_balancer *balancer = config_balancer(site->config, name);
	if (balancer == NULL || process >= balancer->sockets.n)
		return NULL;
	return site->balancers[balancer - site->config->balancers][process];
}

const char *site_backend(const struct site *site, const char *name)
{
	const struct config_balancer *balancer = config_balancer(site->config, name);
	return balancer != NULL ? balancer->backend : "";
}

const char *site_socket(const struct site *site, const char *name, size_t process)
{
	const struct config_balancer *balancer = config_balancer(site->config, name);
	return balancer != NULL && process < balancer->sockets.n ? balancer->sockets.items[process] : "?";
}

bool site_has_master(const struct site *site, const char *name)
{
	const struct config_balancer *balancer = config_balancer(site->config, name);
	return balancer != NULL && balancer->masters.n == balancer->sockets.n;
}

static struct site_call *call_new(struct site *site, void *arg)
{
	struct site_call *call = memory_need(calloc(1, sizeof(*call)));
	call->site = site;
	call->arg = arg;
	call->next = site->calls;
	call->link = &site->calls;
	if (call->next != NULL)
		call->next->link = &call->next;
	site->calls = call;
	return call;
}

static void call_free(struct site_call *call)
{
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	free(call);
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	struct site_call *call = arg;
	haproxy_snapshot_fn *fn = call->snapshot_fn;
	void *fn_arg = call->arg;
	call_free(call);
	if (fn != NULL)
		fn(fn_arg, snapshot);
}

static void on_command(void *arg, const char *error)
{
	struct site_call *call = arg;
	haproxy_command_fn *fn = call->command_fn;
	void *fn_arg = call->arg;
	call_free(call);
	if (fn != NULL)
		fn(fn_arg, error);
}

struct site_call *site_snapshot(struct site *site, const char *balancer, size_t process, haproxy_snapshot_fn *fn, void *arg)
{
	struct site_call *call = call_new(site, arg);
	call->snapshot_fn = fn;
	haproxy_snapshot(site_haproxy(site, balancer, process), site_backend(site, balancer), on_snapshot, call);
	return call;
}

struct site_call *site_set(struct site *site, const char *balancer, size_t process, const char *server, enum haproxy_want want,
	haproxy_command_fn *fn, void *arg)
{
	struct site_call *call = call_new(site, arg);
	call->command_fn = fn;
	haproxy_set(site_haproxy(site, balancer, process), site_backend(site, balancer), server, want, on_command, call);
	return call;
}

struct site_call *site_shutdown(struct site *site, const char *balancer, size_t process, const char *server, haproxy_command_fn *fn, void *arg)
{
	struct site_call *call = call_new(site, arg);
	call->command_fn = fn;
	haproxy_shutdown_sessions(site_haproxy(site, balancer, process), site_backend(site, balancer), server, on_command, call);
	return call;
}

void site_call_cancel(struct site_call *call)
{
	if (call == NULL)
		return;
	call->snapshot_fn = NULL; /* the process still answers; nobody listens */
	call->command_fn = NULL;
}
