/* SPDX-License-Identifier: MIT */
/*
 * Loading judges the whole file and reports every mistake; nothing half-loaded ever leaves: *out is written when all is well.
 * Simple settings are table rows (config_rows.h); what is left here are the parts that name things, and the rules between settings.
 */
#include "config.h"

#include "config_nodes.h"
#include "config_roles.h"
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#ifndef UPGD_PROFILE_DIR
#define UPGD_PROFILE_DIR "/usr/share/upgd/profiles"
#endif
#define LOCAL_SOCKET "/run/upgd-run/run.sock"

#define AT(type, field) .offset = offsetof(struct type, field)

static const struct row top_rows[] = {
	{"cluster", ROW_NAME, CONF_REQUIRED, ROW_RESTART, AT(config, cluster), .doc = "Name of what this upgd looks after. It is in the journal and in messages."},
	{"profile", ROW_STRING, CONF_REQUIRED, ROW_LIVE, AT(config, profile),
		.doc = "How its system is upgraded: the name of a profile in ``profile_dir``, or a path, which has a ``/``. Relative paths begin at the folder of this file. A rollout keeps the text that it started with."},
	{"profile_dir", ROW_PATH, CONF_OPTIONAL, ROW_LIVE, AT(config, profile_dir), .def = UPGD_PROFILE_DIR, .doc = "Where profiles are looked for by name: NAME.conf."},
	{"state_dir", ROW_PATH, CONF_OPTIONAL, ROW_RESTART, AT(config, state_dir), .def = "/var/lib/upgd", .doc = "Where the journal is kept."},
	{"socket", ROW_PATH, CONF_OPTIONAL, ROW_RESTART, AT(config, socket), .def = "/run/upgd/upgd.sock", .doc = "Unix socket that upgctl(1) speaks to."},
	{"nodes", ROW_OWN, .def = "list of groups", .doc = "The nodes of both fleets. Which of them is old or new is observed, never written here."},
	{"balancers", ROW_OWN, .def = "group of groups", .doc = "Logical load balancers by name, at most 8."},
	{"remote", ROW_OWN, .def = "group", .doc = "How tasks reach a node."},
	{"local_runner", ROW_STRINGS, CONF_OPTIONAL, ROW_LIVE, AT(config, local_runner), .limits.max = CONFIG_ARGV_MAX - 1,
		.doc = "Command that runs tasks of this host, instead of ``local_socket``: for trying things out."},
	{"local_socket", ROW_PATH, CONF_OPTIONAL, ROW_LIVE, AT(config, local_socket), .def = LOCAL_SOCKET, .doc = "Unix socket of the task runner on this host, see upgd-run(8)."},
	{"databases", ROW_OWN, .def = "group", .doc = "Databases that profiles ask by name, and the hosts that schemata live on."},
	{"vars", ROW_OWN, .def = "group of strings", .doc = "Values for parameters of the profile. ``upgctl start --set`` comes first."},
	{"roles", ROW_OWN, .def = "group", .doc = "Who may do what, by the identity that the kernel reports for the other end of the socket."},
	{"pace", ROW_OWN, .def = "group", .doc = "How often to look and how much to do at once."},
	{0},
};

static const struct row balancer_rows[] = {
	{"backend", ROW_NAME, CONF_REQUIRED, AT(config_balancer, backend), .doc = "Name of the backend; its servers have the names of nodes."},
	{"sockets", ROW_STRINGS, CONF_REQUIRED, AT(config_balancer, sockets), .limits.max = CONFIG_SOCKETS_MAX,
		.doc = "Runtime sockets with ``level admin``, one for each HAProxy process, as ``/path`` or ``host:port``. All processes must agree before a node counts as out."},
	{"masters", ROW_STRINGS, CONF_OPTIONAL, AT(config_balancer, masters), .limits.max = CONFIG_SOCKETS_MAX,
		.doc = "Master sockets in the same order. They tell of requests that old workers still serve after a reload; without them, a node is not idle until old workers had time to end."},
	{0},
};

static const struct row remote_rows[] = {
	{"argv", ROW_STRINGS, CONF_REQUIRED, AT(config, remote), .limits.max = CONFIG_ARGV_MAX - 1,
		.doc = "Constant command whose stdin and stdout speak with ``upgd-run serve`` on the node. ``${node.name}``, ``${node.host}`` and other columns are replaced; no shell is involved."},
	{0},
};

static const struct row database_rows[] = {
	{"option_file", ROW_PATH, CONF_REQUIRED, AT(config_database, option_file), .doc = "MySQL option file with host, user and password; readable by upgd only. SELECT is all that upgd needs; on the hosts of schemata PROCESS too, to see transactions and statements of others. Statements of a profile name tables only: `database` in it says where they are."},
	{"group", ROW_STRING, CONF_OPTIONAL, AT(config_database, group), .doc = "Group of the option file to read after ``[client]``."},
	{0},
};

static const struct row databases_rows[] = {
	{"hosts", ROW_OWN, .def = "list of groups", .doc = "Machines that schemata live on. Every other name in ``databases`` is a database of its own, a group:"},
	{0},
};

static const struct row host_rows[] = {
	{"name", ROW_NAME, CONF_REQUIRED, AT(config_host, name), .doc = "Name of the machine."},
	{"pools", ROW_IDS, CONF_REQUIRED, AT(config_host, pools), .doc = "Database pools on it, as the system's own tables number or name them. A limit belongs to a machine, not to a pool."},
	{"option_file", ROW_PATH, CONF_REQUIRED, AT(config_host, option_file), .doc = "As above."},
	{"group", ROW_STRING, CONF_OPTIONAL, AT(config_host, group), .doc = "As above."},
	{"replicas", ROW_STRINGS, CONF_OPTIONAL, AT(config_host, replicas), .limits.max = CONFIG_REPLICAS_MAX,
		.doc = "Option files of the read replicas that the system uses, each with host, user and password; they are called NAME-replica1, NAME-replica2. No tenant comes back before they have what the host has. One that is broken holds everything on its host: mend it, or take it out here and start upgd again."},
	{"parallel", ROW_INT, CONF_OPTIONAL, AT(config_host, parallel), .limits = {1, 64, 2}, .doc = "Schemata that may be upgraded on it at once."},
	{0},
};

static const struct row pace_rows[] = {
	{"watch", ROW_DURATION, CONF_OPTIONAL, AT(config, watch_ms), .limits = {100, 60000, 500}, .doc = "How often balancers are looked at while something depends on them."},
	{"observe", ROW_DURATION, CONF_OPTIONAL, AT(config, observe_ms), .limits = {500, 300000, 2000}, .doc = "How often sets and health are asked."},
	{"in_flight", ROW_INT, CONF_OPTIONAL, AT(config, in_flight), .limits = {1, 1024, 8}, .doc = "Units that may be worked on at once, in total."},
	{0},
};

static bool is_socket_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	if (text[0] == '/')
		return strlen(text) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
	return colon != NULL && colon != text && colon[1] != '\0' && strspn(colon + 1, "0123456789") == strlen(colon + 1) && atol(colon + 1) > 0 && atol(colon + 1) < 65536;
}

static void judge_addresses(const struct config_strings *strings, const struct conf_node *at, struct conf_errors *errors)
{
	for (size_t i = 0; i < strings->n; i++) {
		if (!is_socket_address(strings->items[i]))
			conf_error(errors, &at->children[i], "\"%s\" must be a path of at most 107 bytes or host:port", strings->items[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(strings->items[i], strings->items[k]) == 0)
				conf_error(errors, &at->children[i], "\"%s\" is there twice", strings->items[i]);
	}
}

/* Two balancers may share processes, but not a backend of one. */
static void judge_overlap(const struct config *config, const struct config_balancer *balancer, const struct conf_node *at, struct conf_errors *errors)
{
	for (size_t i = 0; i < config->n_balancers; i++) {
		const struct config_balancer *other = &config->balancers[i];
		if (balancer->backend == NULL || other->backend == NULL || strcmp(balancer->backend, other->backend) != 0)
			continue;
		for (size_t k = 0; k < balancer->sockets.n * other->sockets.n; k++) {
			const char *socket = balancer->sockets.items[k % balancer->sockets.n];
			if (strcmp(socket, other->sockets.items[k / balancer->sockets.n]) != 0)
				continue;
			conf_error(errors, at, "balancers '%s' and '%s' both name backend '%s' of socket \"%s\"", other->name, balancer->name, balancer->backend, socket);
			return;
		}
	}
}

static void balancers_load(struct config *config, const struct conf_node *group, struct conf_errors *errors)
{
	size_t n = group != NULL ? group->n_children : 0;
	if (n > CONFIG_BALANCERS_MAX)
		conf_error(errors, group, "more than %d balancers", CONFIG_BALANCERS_MAX);
	config->balancers = memory_need(calloc(n + 1, sizeof(*config->balancers)));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *entry = &group->children[i];
		if (entry->type != CONF_GROUP) {
			conf_error(errors, entry, "balancer '%s' must be a group, not %s", entry->name, conf_type_name(entry->type));
			continue;
		}
		struct config_balancer *balancer = &config->balancers[config->n_balancers];
		balancer->name = memory_need(strdup(entry->name));
		rows_load(balancer_rows, entry, balancer, errors);
		rows_known(balancer_rows, entry, errors);
		judge_addresses(&balancer->sockets, conf_get(entry, "sockets"), errors);
		judge_addresses(&balancer->masters, conf_get(entry, "masters"), errors);
		judge_overlap(config, balancer, entry, errors);
		if (balancer->masters.n > 0 && balancer->masters.n != balancer->sockets.n)
			conf_error(errors, conf_get(entry, "masters"), "%zu 'masters' for %zu 'sockets': there must be one for each, in the same order, or none", balancer->masters.n, balancer->sockets.n);
		config->n_balancers++;
	}
}

static void judge_host(const struct config *config, const struct config_host *host, const struct conf_node *at, struct conf_errors *errors)
{
	for (size_t i = 0; i < config->n_hosts; i++)
		if (host->name && config->hosts[i].name && strcmp(host->name, config->hosts[i].name) == 0)
			conf_error(errors, at, "database host '%s' is there twice", host->name);
	for (size_t i = 0; i < host->pools.n; i++) {
		const struct config_host *other = config_host_of_pool(config, host->pools.items[i]);
		if (other != NULL)
			conf_error(errors, at, "pool '%s' is on host '%s' already: a pool lives on one machine", host->pools.items[i], other->name ? other->name : "?");
		for (size_t k = 0; k < i; k++)
			if (strcmp(host->pools.items[i], host->pools.items[k]) == 0)
				conf_error(errors, at, "pool '%s' is there twice", host->pools.items[i]);
	}
}

static void judge_replicas(const struct config_host *host, const struct conf_node *at, struct conf_errors *errors)
{
	for (size_t i = 0; i < host->replicas.n; i++)
		if (host->replicas.items[i][0] != '/')
			conf_error(errors, at, "replica '%s' must be the absolute path of an option file", host->replicas.items[i]);
}

static void hosts_load(struct config *config, const struct conf_node *list, struct conf_errors *errors)
{
	size_t n = list != NULL ? list->n_children : 0;
	if (n > CONFIG_HOSTS_MAX)
		conf_error(errors, list, "more than %d database hosts", CONFIG_HOSTS_MAX);
	config->hosts = memory_need(calloc(n + 1, sizeof(*config->hosts)));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *entry = &list->children[i];
		if (entry->type != CONF_GROUP) {
			conf_error(errors, entry, "element %zu of 'hosts' must be a group, not %s", i + 1, conf_type_name(entry->type));
			continue;
		}
		struct config_host *host = &config->hosts[config->n_hosts];
		rows_load(host_rows, entry, host, errors);
		rows_known(host_rows, entry, errors);
		judge_host(config, host, entry, errors);
		judge_replicas(host, entry, errors);
		config->n_hosts++;
	}
}

static void databases_load(struct config *config, const struct conf_node *group, struct conf_errors *errors)
{
	size_t n = group != NULL ? group->n_children : 0;
	if (n > CONFIG_DATABASES_MAX)
		conf_error(errors, group, "more than %d databases", CONFIG_DATABASES_MAX);
	config->databases = memory_need(calloc(n + 1, sizeof(*config->databases)));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *entry = &group->children[i];
		if (strcmp(entry->name, "hosts") == 0)
			continue;
		if (entry->type != CONF_GROUP) {
			conf_error(errors, entry, "database '%s' must be a group, not %s", entry->name, conf_type_name(entry->type));
			continue;
		}
		struct config_database *database = &config->databases[config->n_databases++];
		database->name = memory_need(strdup(entry->name));
		rows_load(database_rows, entry, database, errors);
		rows_known(database_rows, entry, errors);
	}
	hosts_load(config, conf_list(group, "hosts", CONF_OPTIONAL, errors), errors);
}

static void vars_load(struct config *config, const struct conf_node *group, struct conf_errors *errors)
{
	size_t n = group != NULL ? group->n_children : 0;
	if (n > CONFIG_VARS_MAX)
		conf_error(errors, group, "more than %d vars", CONFIG_VARS_MAX);
	config->vars.items = memory_need(calloc(n + 1, sizeof(*config->vars.items)));
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *entry = &group->children[i];
		if (entry->type != CONF_STRING)
			conf_error(errors, entry, "'%s' in 'vars' must be a string, not %s", entry->name, conf_type_name(entry->type));
		else
			config->vars.items[config->vars.n++] = (struct config_pair){memory_need(strdup(entry->name)), memory_need(strdup(entry->string)), entry->line};
	}
}

static char *profile_path(const struct config *config, const char *path)
{
	char *out;
	const char *slash = strrchr(path, '/');
	int rc;
	if (strchr(config->profile, '/') == NULL)
		rc = asprintf(&out, "%s/%s.conf", config->profile_dir, config->profile);
	else if (config->profile[0] == '/' || slash == NULL)
		rc = asprintf(&out, "%s", config->profile);
	else
		rc = asprintf(&out, "%.*s/%s", (int)(slash - path), path, config->profile);
	return rc < 0 ? memory_need(NULL) : out;
}

static void judge_top(struct config *config, const struct conf_node *root, const char *path, struct conf_errors *errors)
{
	if (strlen(config->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		conf_error(errors, conf_get(root, "socket"), "'socket' is longer than 107 bytes, the most a Unix socket can have");
	if (config->profile != NULL && strchr(config->profile, '/') == NULL && !row_is_name(config->profile))
		conf_error(errors, conf_get(root, "profile"), "'profile' must be a name or a path, not \"%s\"", config->profile);
	if (config->profile != NULL)
		config->profile_path = profile_path(config, path);
	if (config->local_runner.n == 0)
		return;
	if (conf_get(root, "local_socket") != NULL)
		conf_error(errors, conf_get(root, "local_socket"), "'local_socket' and 'local_runner' exclude each other: remove one");
	free(config->local_socket);
	config->local_socket = NULL;
}

static void load_all(struct config *config, const struct conf_node *root, const char *path, struct conf_errors *errors)
{
	rows_load(top_rows, root, config, errors);
	rows_known(top_rows, root, errors);
	judge_top(config, root, path, errors);
	config_nodes_load(config, conf_list(root, "nodes", CONF_OPTIONAL, errors), errors);
	balancers_load(config, conf_group(root, "balancers", CONF_OPTIONAL, errors), errors);
	databases_load(config, conf_group(root, "databases", CONF_OPTIONAL, errors), errors);
	vars_load(config, conf_group(root, "vars", CONF_OPTIONAL, errors), errors);
	config_roles_load(config, conf_group(root, "roles", CONF_OPTIONAL, errors), errors);
	const struct conf_node *remote = conf_group(root, "remote", CONF_OPTIONAL, errors);
	rows_load(remote_rows, remote, config, errors);
	rows_known(remote_rows, remote, errors);
	config_nodes_check_remote(config, remote, errors);
	const struct conf_node *pace = conf_group(root, "pace", CONF_OPTIONAL, errors);
	rows_load(pace_rows, pace, config, errors);
	rows_known(pace_rows, pace, errors);
}

int config_load(struct config *out, const char *path, struct conf_errors *errors, struct fail *fail)
{
	struct conf conf;
	int rc = conf_load(&conf, path, fail);
	if (rc < 0)
		return rc;
	struct config config = {0};
	load_all(&config, &conf.root, path, errors);
	conf_done(&conf);
	if (errors->n > 0) {
		config_done(&config);
		return fail_set(fail, -EINVAL, "%s: %zu mistake%s, the first: %s", path, errors->n + errors->n_more, errors->n > 1 ? "s" : "", errors->lines[0]);
	}
	*out = config;
	return 0;
}

void config_done(struct config *config)
{
	rows_done(top_rows, config);
	rows_done(remote_rows, config);
	free(config->profile_path);
	config_nodes_done(config);
	for (size_t i = 0; i < config->n_balancers; i++) {
		rows_done(balancer_rows, &config->balancers[i]);
		free(config->balancers[i].name);
	}
	free(config->balancers);
	for (size_t i = 0; i < config->n_databases; i++) {
		rows_done(database_rows, &config->databases[i]);
		free(config->databases[i].name);
	}
	free(config->databases);
	for (size_t i = 0; i < config->n_hosts; i++)
		rows_done(host_rows, &config->hosts[i]);
	free(config->hosts);
	for (size_t i = 0; i < config->vars.n; i++) {
		free(config->vars.items[i].name);
		free(config->vars.items[i].value);
	}
	free(config->vars.items);
	config_roles_done(config);
	*config = (struct config){0};
}

static void databases_dump(const struct config *config, FILE *out)
{
	(void)fputs("databases = {\n", out);
	for (size_t i = 0; i < config->n_databases; i++) {
		(void)fprintf(out, "  %s = { ", config->databases[i].name);
		rows_dump(database_rows, &config->databases[i], "", " ", out);
		(void)fputs("};\n", out);
	}
	(void)fputs("  hosts = (", out);
	for (size_t i = 0; i < config->n_hosts; i++) {
		(void)fprintf(out, "%s\n    { ", i ? "," : "");
		rows_dump(host_rows, &config->hosts[i], "", " ", out);
		(void)fputc('}', out);
	}
	(void)fputs("\n  );\n};\n", out);
}

void config_dump(const struct config *config, FILE *out)
{
	rows_dump(top_rows, config, "", "\n", out);
	config_nodes_dump(config, out);
	(void)fputs("balancers = {\n", out);
	for (size_t i = 0; i < config->n_balancers; i++) {
		(void)fprintf(out, "  %s = {\n", config->balancers[i].name);
		rows_dump(balancer_rows, &config->balancers[i], "    ", "\n", out);
		(void)fputs("  };\n", out);
	}
	(void)fputs("};\n", out);
	if (config->remote.n > 0) {
		(void)fputs("remote = {\n", out);
		rows_dump(remote_rows, config, "  ", "\n", out);
		(void)fputs("};\n", out);
	}
	databases_dump(config, out);
	(void)fputs("vars = {\n", out);
	for (size_t i = 0; i < config->vars.n; i++) {
		(void)fprintf(out, "  %s = ", config->vars.items[i].name);
		conf_dump_string(config->vars.items[i].value, out);
		(void)fputs(";\n", out);
	}
	(void)fputs("};\n", out);
	config_roles_dump(config, out);
	(void)fputs("pace = {\n", out);
	rows_dump(pace_rows, config, "  ", "\n", out);
	(void)fputs("};\n", out);
}

size_t config_fixed_changed(const struct config *old, const struct config *new, FILE *out)
{
	return rows_fixed_changed(top_rows, old, new, out);
}

void config_print_doc(FILE *out)
{
	rows_print_doc(top_rows, "Settings", out);
	rows_print_doc(config_node_rows, "Each of nodes", out);
	(void)fputs("Any other string is a column of your own, for profiles and ``remote``; ``${name}`` and ``${host}`` are replaced.\n\n", out);
	rows_print_doc(balancer_rows, "Each of balancers", out);
	rows_print_doc(remote_rows, "remote", out);
	rows_print_doc(databases_rows, "databases", out);
	rows_print_doc(database_rows, "Each database", out);
	rows_print_doc(host_rows, "Each of databases.hosts", out);
	rows_print_doc(config_role_rows, "roles", out);
	(void)fputs("Each is written as ``user``, ``@group``, ``uid:NUMBER`` or ``gid:NUMBER``. Names are looked up in /etc/passwd and\n/etc/group when the file is read, nowhere else.\n\n", out);
	rows_print_doc(pace_rows, "pace", out);
}

const struct config_balancer *config_balancer(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_balancers; i++)
		if (strcmp(config->balancers[i].name, name) == 0)
			return &config->balancers[i];
	return NULL;
}

const struct config_host *config_host_of_pool(const struct config *config, const char *pool)
{
	for (size_t i = 0; i < config->n_hosts; i++)
		for (size_t k = 0; k < config->hosts[i].pools.n; k++)
			if (strcmp(config->hosts[i].pools.items[k], pool) == 0)
				return &config->hosts[i];
	return NULL;
}

const char *config_var(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->vars.n; i++)
		if (strcmp(config->vars.items[i].name, name) == 0)
			return config->vars.items[i].value;
	return NULL;
}
