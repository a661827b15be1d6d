/* SPDX-License-Identifier: MIT */
/*
 * upgradeschemata as OX ships it, the tool a coordinator is compared with. Kept on purpose: -k splits the literal comma and so skips
 * nothing; -m needs a number at the end of every schema's name and skips the named one as well; the update runs where -H and -p say
 * while everything else goes to the own node; nothing is rolled back; -f enables schemata whose tasks failed.
 */
#include "clt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option upgradeschemata_options[] = {
	{"n", "server-name", true}, {"f", "force", false}, {"m", "schema-name", true}, {"k", "skip-schemata", true}, {"H", "host", true},
	{"p", "port", true}, {"l", "login", true}, {"s", "password", true}, {"", "", false},
};

/* A failed step: which of OX's exceptions it stands for. */
enum outcome { STEP_OK, STEP_SKIP, STEP_TOLERABLE, STEP_FATAL };

static const char *cell(struct json_object *rows, size_t row, size_t column)
{
	struct json_object *value = json_object_array_get_idx(json_object_array_get_idx(rows, row), column);
	return value == NULL ? "" : json_object_get_string(value);
}

/* 0: go on; 1: abort with exit code *code. */
static int prompt(int *code)
{
	char word[64];
	for (;;) {
		puts("Type 'continue' to proceed or 'abort' to leave:");
		fflush(stdout);
		if (scanf("%63s", word) != 1) {
			fputs("java.util.NoSuchElementException\n", stderr);
			*code = 1;
			return 1;
		}
		if (strcmp(word, "abort") == 0) {
			*code = 0;
			return 1;
		}
		if (strcmp(word, "continue") == 0)
			return 0;
		printf("Unrecognized command '%s'\n", word);
	}
}

/* Registers the server or takes the one that is there; 0 and *id. */
static int find_server(struct clt *clt, int64_t *id, bool *is_over)
{
	json_cleanup struct json_object *rows = NULL, *answer = NULL;
	const char *name = clt_option(clt, "server-name");
	struct json_object *request = json_object_new_object();
	struct fail fail;
	json_add_str(request, "pattern", name);
	int rc = clt_call(clt, "listServer", request, &rows);
	if (rc != 0)
		return rc;
	if (json_object_array_length(rows) == 1) {
		*id = strtoll(cell(rows, 0, 0), NULL, 10);
		printf(clt_option(clt, "schema-name") != NULL ? "The server with name '%s' will be used.\n" :
								"WARNING: A server with name '%s' is already registered.\n", name);
		*is_over = prompt(&rc) != 0;
		return rc;
	}
	printf("Registering the server with name '%s'...", name);
	fflush(stdout);
	request = json_object_new_object();
	json_add_str(request, "name", name);
	rc = clt_call(clt, "registerServer", request, &answer);
	if (rc == 0)
		puts("OK");
	return rc == 0 && json_get_int(answer, "id", 0, INT32_MAX, id, &fail) != 0 ? 1 : rc;
}

/* The number after the last underscore; false: NumberFormatException. */
static bool suffix(const char *schema, long *out)
{
	const char *last = strrchr(schema, '_');
	char *end = NULL;
	*out = last == NULL ? 0 : strtol(last + 1, &end, 10);
	return last != NULL && end != last + 1 && *end == '\0';
}

static int by_suffix(const void *a, const void *b)
{
	long left, right;
	suffix(*(const char *const *)a, &left);
	suffix(*(const char *const *)b, &right);
	return (left > right) - (left < right);
}

/* The schemata to do, in OX's order; exit code or 0. names is an array with room for all. */
static int choose(struct clt *clt, struct json_object *rows, const char **names, size_t *n)
{
	const char *from = clt_option(clt, "schema-name");
	size_t all = json_object_array_length(rows), first = 0;
	long number;
	for (size_t i = 0; i < all; i++)
		names[i] = cell(rows, i, 2);
	*n = all;
	if (from == NULL)
		return 0; /* before the filter of -k is ever reached */
	for (size_t i = 0; i < all; i++) {
		if (!suffix(names[i], &number)) {
			fprintf(stderr, "java.lang.NumberFormatException: For input string: \"%s\"\n", strrchr(names[i], '_') + 1);
			return 1;
		}
	}
	if (strchr(from, '_') == NULL)
		return 1;
	qsort(names, all, sizeof(*names), by_suffix);
	while (first < all && strcmp(names[first], from) != 0)
		first++;
	first = first < all ? first + 1 : 0;
	memmove(names, names + first, (all - first) * sizeof(*names));
	*n = all - first;
	return 0;
}

static struct json_object *request_for(const char *schema, int64_t sessions, int64_t server)
{
	struct json_object *request = json_object_new_object();
	json_add_str(request, "schema", schema);
	json_add_int(request, "sessions", sessions);
	json_add_int(request, "server_id", server);
	return request;
}

static enum outcome judge(int rc)
{
	return rc == 0 ? STEP_OK : rc == EXIT_REFUSED || rc == EXIT_REMOTE ? STEP_TOLERABLE : rc == 1 ? STEP_SKIP : STEP_FATAL;
}

/* Runs the tasks over "JMX". */
static enum outcome update(struct clt *clt, const char *schema, bool force)
{
	json_cleanup struct json_object *failed = NULL;
	char host[128];
	int port = 0, other = 0;
	clt_parse_host(clt_option(clt, "host") != NULL ? clt_option(clt, "host") : clt->host, host, &other);
	port = clt_option(clt, "port") != NULL ? (int)clt_number(clt, "port") : clt->port;
	printf("Running updates for schema '%s'...", schema);
	fflush(stdout);
	int rc = clt_call_at(clt, host, port, "runUpdate", request_for(schema, 0, 0), &failed);
	if (rc != 0)
		return judge(rc) == STEP_SKIP ? STEP_FATAL : judge(rc);
	if (json_object_array_length(failed) == 0) {
		puts("OK");
		return STEP_OK;
	}
	puts("\nThe following update tasks failed:");
	for (size_t i = 0; i < json_object_array_length(failed); i++)
		puts(cell(failed, i, 1));
	return force ? STEP_OK : STEP_TOLERABLE;
}

static enum outcome step(struct clt *clt, const char *what, const char *service, const char *schema, int64_t sessions, int64_t server)
{
	printf("%s schema '%s'...", what, schema);
	fflush(stdout);
	int rc = clt_call(clt, service, request_for(schema, sessions, server), NULL);
	if (rc == 0 && strcmp(service, "changeServer") != 0)
		rc = clt_call(clt, "invalidateContexts", request_for(schema, sessions, 0), NULL);
	if (rc == 0)
		puts("OK");
	return judge(rc);
}

static enum outcome upgrade(struct clt *clt, const char *schema, int64_t server, bool force)
{
	enum outcome outcome = step(clt, "Disabling", "disableSchema", schema, 1, 0);
	if (outcome == STEP_OK)
		outcome = step(clt, "Changing server for", "changeServer", schema, 0, server);
	if (outcome == STEP_OK)
		outcome = update(clt, schema, force);
	if (outcome == STEP_OK)
		outcome = step(clt, "Enabling", "enableSchema", schema, 0, 0);
	return outcome;
}

static int upgrade_all(struct clt *clt, struct json_object *rows, int64_t server)
{
	size_t n = 0;
	bool force = clt_option(clt, "force") != NULL;
	const char **names = calloc(json_object_array_length(rows) + 1, sizeof(*names));
	int rc = choose(clt, rows, names, &n);
	for (size_t i = 0; i < n && rc == 0; i++) {
		switch (upgrade(clt, names[i], server, force)) {
		case STEP_OK:
			break;
		case STEP_SKIP:
			printf("Schema '%s' not found. Skipping\n", names[i]);
			break;
		case STEP_TOLERABLE:
			rc = force ? 0 : 1;
			break;
		case STEP_FATAL:
			fputs("An error occurred during schema upgrade. Manual intervention is advised.\n", stderr);
			rc = 106;
			break;
		}
	}
	free(names);
	return rc;
}

int upgradeschemata_run(struct clt *clt)
{
	json_cleanup struct json_object *rows = NULL;
	int64_t server = 0;
	bool is_over = false;
	int rc = find_server(clt, &server, &is_over);
	if (rc != 0 || is_over)
		return rc;
	rc = clt_call(clt, "listDatabaseSchema", json_object_new_object(), &rows);
	return rc != 0 ? rc : upgrade_all(clt, rows, server);
}
