/* SPDX-License-Identifier: MIT */
#include "clt.h"
#include "rmi.h"
#include "site.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option common[] = {
	{"A", "adminuser", true}, {"P", "adminpass", true}, {"h", "help", false}, {"", "nonl", false}, {"", "environment", false},
	{"", "responsetimeout", true}, {"", "", false},
};

static int complain(const struct clt *clt, int code, const char *format, const char *what)
{
	char line[256];
	snprintf(line, sizeof(line), "%s: %s", format, what);
	fprintf(stderr, "Error: %s\nUse '%s -h' for help.\n", line, clt->tool->name);
	return clt->tool->flags & RMI_CLI ? EXIT_FAILED : code;
}

static const struct option *find_in(const struct option *options, const char *name, size_t n, bool is_long)
{
	for (const struct option *option = options; *option->longs != '\0'; option++) {
		const char *have = is_long ? option->longs : option->shorts;
		if (strlen(have) == n && n > 0 && strncmp(have, name, n) == 0)
			return option;
	}
	return NULL;
}

static const struct option *find_option(const struct clt *clt, const char *arg, const char **value)
{
	bool is_long = strncmp(arg, "--", 2) == 0;
	const char *name = arg + (is_long ? 2 : 1);
	size_t n = is_long ? strcspn(name, "=") : strlen(name);
	*value = name[n] == '=' ? name + n + 1 : NULL;
	const struct option *option = find_in(clt->tool->options, name, n, is_long);
	return option != NULL ? option : find_in(common, name, n, is_long);
}

static bool is_given(const struct clt *clt, const char *names, size_t n)
{
	while (n > 0) {
		size_t one = strcspn(names, "| ");
		char name[32];
		snprintf(name, sizeof(name), "%.*s", (int)one, names);
		if (clt_option(clt, name) != NULL)
			return true;
		size_t step = one + (names[one] == '|');
		names += step;
		n = n > step ? n - step : 0;
	}
	return false;
}

int clt_parse(struct clt *clt, int argc, char **argv)
{
	clt->given = json_object_new_object();
	for (int i = 1; i < argc; i++) {
		const char *value = NULL;
		const struct option *option = argv[i][0] == '-' ? find_option(clt, argv[i], &value) : NULL;
		if (option == NULL)
			return complain(clt, EXIT_UNKNOWN_OPTION, "Unrecognized options on the command line", argv[i]);
		if (option->has_value && value == NULL && ++i == argc)
			return complain(clt, EXIT_BAD_VALUE, "Option needs a value", option->longs);
		json_add_str(clt->given, option->longs, !option->has_value ? "true" : value != NULL ? value : argv[i]);
	}
	for (const char *at = clt->tool->mandatory; *at != '\0'; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");
		if (!is_given(clt, at, n) && clt_option(clt, "help") == NULL)
			return complain(clt, EXIT_MISSING, "Missing option(s)", at);
		at += n;
	}
	return 0;
}

const char *clt_option(const struct clt *clt, const char *longs)
{
	struct fail fail;
	const char *value = NULL;
	return json_get_str(clt->given, longs, &value, &fail) == 0 ? value : NULL;
}

int64_t clt_number(const struct clt *clt, const char *longs)
{
	const char *value = clt_option(clt, longs);
	return value == NULL ? 0 : strtoll(value, NULL, 10);
}

void clt_parse_host(const char *text, char host[128], int *port)
{
	if (strncmp(text, "rmi://", 6) == 0)
		text += 6;
	size_t n = strcspn(text, ":/, ");
	snprintf(host, 128, "%.*s", (int)n, text);
	*port = text[n] == ':' ? atoi(text + n + 1) : 1099;
}

int clt_call_at(const struct clt *clt, const char *host, int port, const char *service, struct json_object *request,
	struct json_object **ok)
{
	struct fail fail = {.code = 0};
	const char *password = clt_option(clt, "adminpass"), *error = NULL;
	int64_t code = 1;
	bool is_plain = (clt->tool->flags & RMI_CLI) != 0;
	json_cleanup struct json_object *mine = request;
	json_cleanup struct json_object *answer = NULL;
	json_add_str(mine, "password", password != NULL ? password : getenv("ADMIN_PASSWORD"));
	int rc = rmi_call(host, port, service, mine, (int)clt_number(clt, "responsetimeout") * 1000, &answer, &fail);
	if (rc < 0) {
		fprintf(stderr, "Error: %s\n", fail.text);
		return is_plain ? EXIT_FAILED : rc == -ECONNREFUSED ? EXIT_REFUSED : EXIT_REMOTE;
	}
	if (json_get_str(answer, "error", &error, &fail) == 0) {
		(void)!json_get_int(answer, "exit", 0, 255, &code, &fail);
		fprintf(stderr, "Server response:\n %s\n", error);
		return is_plain ? EXIT_FAILED : (int)code;
	}
	struct json_object *result = NULL;
	json_object_object_get_ex(answer, "ok", &result);
	if (ok != NULL)
		*ok = json_object_get(result);
	return 0;
}

int clt_call(const struct clt *clt, const char *service, struct json_object *request, struct json_object **ok)
{
	return clt_call_at(clt, clt->host, clt->port, service, request, ok);
}

static const char *cell(struct json_object *row, size_t column)
{
	struct json_object *value = json_object_array_get_idx(row, column);
	return value == NULL ? NULL : json_object_get_string(value);
}

void print_csv(struct json_object *rows, const char *const *columns)
{
	for (size_t i = 0; columns[i] != NULL; i++)
		printf("%s%s", i > 0 ? "," : "", columns[i]);
	putchar('\n');
	for (size_t r = 0; r < json_object_array_length(rows); r++) {
		for (size_t i = 0; columns[i] != NULL; i++) {
			const char *text = cell(json_object_array_get_idx(rows, r), i);
			printf("%s%s", i > 0 ? "," : "", text != NULL ? "\"" : "");
			for (const char *at = text != NULL ? text : ""; *at != '\0'; at++)
				fputs(*at == '"' ? "\"\"" : (char[]){*at, '\0'}, stdout);
			if (text != NULL)
				putchar('"');
		}
		putchar('\n');
	}
}

void print_table(struct json_object *rows, const char *const *columns)
{
	int width[8] = {0};
	for (size_t i = 0; columns[i] != NULL; i++) {
		width[i] = (int)strlen(columns[i]);
		for (size_t r = 0; r < json_object_array_length(rows); r++) {
			const char *text = cell(json_object_array_get_idx(rows, r), i);
			if (text != NULL && (int)strlen(text) > width[i])
				width[i] = (int)strlen(text);
		}
		printf("%-*s ", width[i], columns[i]);
	}
	putchar('\n');
	for (size_t r = 0; r < json_object_array_length(rows); r++) {
		for (size_t i = 0; columns[i] != NULL; i++) {
			const char *text = cell(json_object_array_get_idx(rows, r), i);
			printf("%-*s ", width[i], text != NULL ? text : "");
		}
		putchar('\n');
	}
}
