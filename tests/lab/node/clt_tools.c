/* SPDX-License-Identifier: MIT */
/*
 * OX's command line tools: options, output and exit codes. The work is done by the node they call.
 */
#include "clt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option list_options[] = {{"s", "searchpattern", true}, {"", "csv", false}, {"", "", false}};
static const struct option server_options[] = {{"i", "id", true}, {"n", "name", true}, {"", "", false}};
static const struct option listschema_options[] = {
	{"s", "searchpattern", true}, {"", "only-empty-schemas", false}, {"", "csv", false}, {"", "", false}};
static const struct option disable_options[] = {{"m", "schema", true}, {"r", "rmi-hosts", true}, {"", "", false}};
static const struct option enable_options[] = {{"m", "target-schema", true}, {"r", "rmi-hosts", true}, {"", "", false}};
static const struct option change_options[] = {{"m", "schema-name", true}, {"s", "server-id", true}, {"", "", false}};
static const struct option run_options[] = {
	{"n", "name", true}, {"c", "context", true}, {"s", "server", true}, {"p", "port", true}, {"", "", false}};
static const struct option tasks_options[] = {
	{"n", "name", true}, {"a", "all", false}, {"g", "pending", false}, {"e", "executed", false}, {"x", "excluded", false},
	{"xf", "excluded-via-file", false}, {"xn", "excluded-via-namespace", false}, {"s", "server", true}, {"p", "port", true}, {"", "", false}};
static const struct option force_options[] = {
	{"t", "task", true}, {"n", "name", true}, {"c", "context", true}, {"s", "server", true}, {"p", "port", true}, {"", "", false}};
static const struct option check_options[] = {{"", "csv", false}, {"", "", false}};
static const struct option unblock_options[] = {{"i", "id", true}, {"n", "name", true}, {"", "schema", true}, {"", "", false}};
static const struct option reload_options[] = {{"s", "server", true}, {"p", "port", true}, {"", "", false}};
static const struct option create_options[] = {{"c", "contextid", true}, {"N", "contextname", true}, {"", "schema", true}, {"", "", false}};
static const struct option switch_options[] = {{"c", "contextid", true}, {"", "", false}};

/* A request with the text options given under other names; pairs of option and key, ended by NULL. */
static struct json_object *request_of(const struct clt *clt, const char *const *pairs)
{
	struct json_object *request = json_object_new_object();
	for (; pairs[0] != NULL; pairs += 2) {
		const char *value = clt_option(clt, pairs[0]);
		bool is_number = pairs[1][0] == '#';
		if (value != NULL && is_number)
			json_add_int(request, pairs[1] + 1, strtoll(value, NULL, 10));
		else if (value != NULL)
			json_add_str(request, pairs[1], value);
	}
	return request;
}
#define REQUEST(clt, ...) request_of(clt, (const char *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})
#define COLUMNS(...) (const char *const[]){__VA_ARGS__, NULL}

static int register_server(struct clt *clt)
{
	json_cleanup struct json_object *ok = NULL;
	int64_t id = 0;
	struct fail fail;
	int rc = clt_call(clt, "registerServer", REQUEST(clt, "name", "name"), &ok);
	if (rc == 0 && json_get_int(ok, "id", 0, INT32_MAX, &id, &fail) == 0)
		printf("server %d registered\n", (int)id);
	return rc;
}

static int list_server(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	int rc = clt_call(clt, "listServer", REQUEST(clt, "searchpattern", "pattern"), &rows);
	if (rc == 0)
		print_rows(clt, rows, COLUMNS("id", "name"), COLUMNS("Id", "Name"));
	return rc;
}

static int unregister_server(struct clt *clt)
{
	const char *name = clt_option(clt, "name");
	int rc = clt_call(clt, "unregisterServer", REQUEST(clt, "name", "name", "id", "#id"), NULL);
	if (rc == 0)
		printf("server %s unregistered\n", name != NULL ? name : clt_option(clt, "id"));
	return rc;
}

static int list_database_schema(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	int rc = clt_call(clt, "listDatabaseSchema", REQUEST(clt, "only-empty-schemas", "#only_empty"), &rows);
	if (rc != 0)
		return rc;
	if (json_object_array_length(rows) == 0)
		puts("No such database schemas found");
	else
		print_rows(clt, rows, COLUMNS("id", "display_name", "schema_name", "url", "currentunits"),
			COLUMNS("id", "name", "schemaname", "hostname", "curctx"));
	return 0;
}

static struct json_object *schema_request(const struct clt *clt, const char *schema, int64_t sessions)
{
	struct json_object *request = json_object_new_object();
	json_add_str(request, "schema", schema);
	json_add_int(request, "sessions", sessions);
	if (clt->is_partial)
		json_add_str(request, "partial", clt->is_silent ? "silent" : "partial");
	return request;
}

/* Calls fn(host, port) for every place: those of -r, else the one node. */
static int at_each_host(struct clt *clt, int (*fn)(struct clt *clt, void *arg), void *arg)
{
	const char *hosts = clt_option(clt, "rmi-hosts");
	if (hosts == NULL)
		return fn(clt, arg);
	for (const char *at = hosts; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
		clt_parse_host(at, clt->host, &clt->port);
		int rc = fn(clt, arg);
		if (rc != 0)
			return rc;
	}
	return 0;
}

struct move {
	const char *service, *schema;
	int64_t sessions;
};

static int look_up(struct clt *clt, void *arg)
{
	return clt_call(clt, "ping", json_object_new_object(), NULL);
}

static int invalidate(struct clt *clt, void *arg)
{
	const struct move *move = arg;
	return clt_call(clt, "invalidateContexts", schema_request(clt, move->schema, move->sessions), NULL);
}

/* All stubs first, then SQL once on the first host, then the invalidation on each. */
static int move_schema(struct clt *clt, struct move *move)
{
	int rc = at_each_host(clt, look_up, NULL);
	if (rc != 0)
		return rc;
	if (clt_option(clt, "rmi-hosts") != NULL)
		clt_parse_host(clt_option(clt, "rmi-hosts"), clt->host, &clt->port);
	rc = clt_call(clt, move->service, schema_request(clt, move->schema, 0), NULL);
	return rc != 0 ? rc : at_each_host(clt, invalidate, move);
}

static int disable_schema(struct clt *clt)
{
	return move_schema(clt, &(struct move){"disableSchema", clt_option(clt, "schema"), 1});
}

static int enable_schema(struct clt *clt)
{
	return move_schema(clt, &(struct move){"enableSchema", clt_option(clt, "target-schema"), 0});
}

static int change_server(struct clt *clt)
{
	int rc = clt_call(clt, "changeServer", REQUEST(clt, "schema-name", "schema", "server-id", "#server_id"), NULL);
	if (rc == 0)
		printf("Successfully changed to server '%s' for schema '%s'.\n", clt_option(clt, "server-id"), clt_option(clt, "schema-name"));
	return rc;
}

/* -s and -p are looked at by the authentication only; the work is done where RMI_HOSTNAME says. */
static int authenticate(const struct clt *clt)
{
	char host[128];
	int port;
	if (clt_option(clt, "server") == NULL || clt_option(clt, "port") == NULL)
		return 0;
	clt_parse_host(clt_option(clt, "server"), host, &port);
	return clt_call_at(clt, host, (int)clt_number(clt, "port"), "listServer", json_object_new_object(), NULL);
}

static int run_update(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	int rc = authenticate(clt);
	if (rc == 0)
		rc = clt_call(clt, "runUpdate", REQUEST(clt, "name", "schema", "context", "#cid"), &rows);
	if (rc == 0 && json_object_array_length(rows) > 0) {
		puts("The following update task(s) failed:");
		print_table(rows, COLUMNS("taskName", "className", "schema"));
	}
	return rc; /* 0 with failures, too */
}

static const char *which_tasks(const struct clt *clt)
{
	static const char *const names[][2] = {{"all", "a"}, {"pending", "g"}, {"executed", "e"}, {"excluded", "x"},
		{"excluded-via-file", "x"}, {"excluded-via-namespace", "xn"}};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (clt_option(clt, names[i][0]) != NULL)
			return names[i][1];
	return "";
}

static int list_update_tasks(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	const char *which = which_tasks(clt);
	int rc = authenticate(clt);
	struct json_object *request = REQUEST(clt, "name", "schema");
	json_add_str(request, "which", which);
	if (rc == 0)
		rc = clt_call(clt, "listUpdateTasks", request, &rows);
	if (rc != 0)
		return rc;
	if (json_object_array_length(rows) == 0)
		puts("No entries found.");
	else if (strcmp(which, "e") == 0)
		print_table(rows, COLUMNS("taskName", "successful", "lastModified"));
	else
		print_table(rows, COLUMNS("taskName", "state", "reason"));
	return 0;
}

static int check_database(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	fputs(".", stdout);
	int rc = clt_call(clt, "checkDatabase", json_object_new_object(), &rows);
	puts("..");
	if (rc != 0)
		return rc;
	if (json_object_array_length(rows) == 0 && clt_option(clt, "csv") == NULL)
		puts("Neither pending, blocking nor stale schemas found");
	else
		print_rows(clt, rows, COLUMNS("id", "display_name", "url", "scheme", "status"), COLUMNS("id", "name", "hostname", "scheme", "status"));
	return 0;
}

static int force_update_task(struct clt *clt)
{
	int rc = authenticate(clt);
	return rc != 0 ? rc : clt_call(clt, "forceUpdateTask", REQUEST(clt, "task", "task", "name", "schema", "context", "#cid"), NULL);
}

static int unblock_database(struct clt *clt)
{
	json_cleanup struct json_object *lines = NULL;
	int rc = clt_call(clt, "unblockDatabase", REQUEST(clt, "id", "#id", "name", "name", "schema", "schema"), &lines);
	for (size_t i = 0; rc == 0 && i < json_object_array_length(lines); i++)
		puts(json_object_get_string(json_object_array_get_idx(lines, i)));
	return rc;
}

static int reload_configuration(struct clt *clt)
{
	return clt_call(clt, "reloadConfiguration", json_object_new_object(), NULL);
}

static int create_context(struct clt *clt)
{
	int rc = clt_call(clt, "createContext", REQUEST(clt, "contextid", "#cid", "contextname", "name", "schema", "schema"), NULL);
	if (rc == 0)
		printf("context %s created\n", clt_option(clt, "contextid"));
	return rc;
}

static int switch_context(struct clt *clt)
{
	bool enable = strcmp(clt->tool->name, "enablecontext") == 0;
	struct json_object *request = REQUEST(clt, "contextid", "#cid");
	json_add_int(request, "enable", enable);
	int rc = clt_call(clt, "switchContext", request, NULL);
	if (rc == 0)
		printf("context %s %s\n", clt_option(clt, "contextid"), enable ? "enabled" : "disabled");
	return rc;
}

const struct tool tools[] = {
	{"registerserver", server_options, "name", 0, register_server},
	{"listserver", list_options, "", 0, list_server},
	{"unregisterserver", server_options, "id|name", 0, unregister_server},
	{"listdatabaseschema", listschema_options, "", 0, list_database_schema},
	{"disableschema", disable_options, "schema", 0, disable_schema},
	{"enableschema", enable_options, "target-schema", 0, enable_schema},
	{"changeserver", change_options, "schema-name server-id", 0, change_server},
	{"runupdate", run_options, "name|context", RMI_CLI, run_update},
	{"listUpdateTasks", tasks_options, "name all|pending|executed|excluded|excluded-via-file|excluded-via-namespace", RMI_CLI, list_update_tasks},
	{"checkdatabase", check_options, "", 0, check_database},
	{"forceupdatetask", force_options, "task", RMI_CLI, force_update_task},
	{"unblockdatabase", unblock_options, "id|name", 0, unblock_database},
	{"reloadconfiguration", reload_options, "", RMI_CLI, reload_configuration},
	{"upgradeschemata", upgradeschemata_options, "server-name", 0, upgradeschemata_run},
	{"createcontext", create_options, "contextid contextname", 0, create_context},
	{"disablecontext", switch_options, "contextid", 0, switch_context},
	{"enablecontext", switch_options, "contextid", 0, switch_context},
	{NULL, NULL, NULL, 0, NULL},
};
