/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * upgd.conf: what one upgd looks after, where it is and who may do what. Plain data with owned strings; ranges are expanded, names
 * of people resolved, defaults filled in. Not here: how a system is upgraded (profiles), credentials (option files, on the far side).
 *
 * Reload = load into a new struct, config_fixed_changed() against the old one, swap.
 */

#include "proto/fail.h"
#include "proto/methods.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct conf_errors;

enum {
	CONFIG_NODES_MAX = 4096,
	CONFIG_COLUMNS_MAX = 32,
	CONFIG_BALANCERS_MAX = 8,
	CONFIG_SOCKETS_MAX = 8, /* PROFILE_PROCESSES_MAX */
	CONFIG_DATABASES_MAX = 64,
	CONFIG_HOSTS_MAX = 1024,
	CONFIG_REPLICAS_MAX = 8,
	CONFIG_VARS_MAX = 256,
	CONFIG_GRANTS_MAX = 256,
	CONFIG_ARGV_MAX = 64,
};

struct config_strings {
	char **items; /* NULL-terminated; NULL when n is 0 */
	size_t n;
};

struct config_pair {
	char *name, *value;
	unsigned line; /* where it stands; 0: made up */
};

struct config_pairs {
	struct config_pair *items;
	size_t n;
};

struct config_node {
	char *name, *host;
	char *health;                /* base URL */
	int64_t capacity;            /* tenants; 0: no limit */
	struct config_pairs columns; /* any further strings of the site */
	unsigned line;
};

struct config_balancer {
	char *name, *backend;
	struct config_strings sockets; /* "/path" or "host:port" */
	struct config_strings masters; /* as many as sockets, or none */
};

struct config_database {
	char *name;
	char *option_file, *group; /* group may be NULL */
};

struct config_host {
	char *name;
	struct config_strings pools; /* as the system's own tables call them */
	char *option_file, *group;   /* group may be NULL */
	struct config_strings replicas; /* option files of its read replicas; named NAME-replica1, ... */
	int64_t parallel;            /* schemata at once on this machine */
};

enum config_grant_kind { CONFIG_UID, CONFIG_GID };

struct config_grant {
	char *text; /* as written: "anna", "@sre", "uid:1001" */
	enum config_grant_kind kind;
	uint32_t id;
	enum role role;
};

struct config {
	char *cluster;
	char *profile;      /* as written */
	char *profile_path; /* what that means: a file; relative paths begin at the folder of upgd.conf */
	char *profile_dir, *state_dir, *socket;
	struct config_node *nodes;
	size_t n_nodes;
	struct config_balancer *balancers;
	size_t n_balancers;
	struct config_strings remote;       /* ${node.COLUMN} still in it: config_remote_argv() */
	struct config_strings local_runner; /* argv, or none: then local_socket */
	char *local_socket;
	struct config_database *databases;
	size_t n_databases;
	struct config_host *hosts;
	size_t n_hosts;
	struct config_pairs vars;
	struct config_grant *grants;
	size_t n_grants;
	int64_t watch_ms, observe_ms;
	int64_t in_flight;
};

/*
 * Builds into an uninitialised *out. 0; -errno with fail where the file cannot be read as configuration; -EINVAL with fail and every
 * mistake of the file in errors where it can. *out is untouched on failure. errors is initialised ({0}) and released by the caller.
 */
must_check int config_load(struct config *out, const char *path, struct conf_errors *errors, struct fail *fail);
void config_done(struct config *config);

/* Canonical text with all defaults: loading it gives the same dump. */
void config_dump(const struct config *config, FILE *out);
/* One line "name: old -> new" for each setting that differs and takes effect with a restart only; their number. */
size_t config_fixed_changed(const struct config *old, const struct config *new, FILE *out);
/* The settings as reStructuredText, from the rows that load them: the body of upgd.conf(5). */
void config_print_doc(FILE *out);

const struct config_node *config_node(const struct config *config, const char *name);         /* NULL: none */
const struct config_balancer *config_balancer(const struct config *config, const char *name); /* NULL: none */
const struct config_host *config_host_of_pool(const struct config *config, const char *pool); /* NULL: none */
const char *config_var(const struct config *config, const char *name);                        /* NULL: none */
/* name, host, health or a column of the site; NULL: the node has none of that name. */
const char *config_node_column(const struct config_node *node, const char *name);
/* The command that reaches the node's runner: a NULL-terminated array, one free() for all of it. */
char **config_remote_argv(const struct config *config, const struct config_node *node);

/* The highest role that uid or one of the gids was granted. uid 0 is always admin. */
enum role config_role_of(const struct config *config, uint32_t uid, const uint32_t *gids, size_t n_gids);
const char *config_role_name(enum role role); /* "nobody", "viewer", ... */
