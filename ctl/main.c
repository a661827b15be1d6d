/* SPDX-License-Identifier: MIT */
#include "grammar.h"
#include "outcome.h"
#include "proto/json.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { WORDS_MAX = 256 };

struct options {
	const char *socket, *reason;
	bool json, help, version;
	char *words[WORDS_MAX]; /* the verb and what belongs to it */
	size_t n_words;
};

static int usage_error(const struct fail *fail)
{
	(void)fprintf(stderr, "upgctl: %s\n", fail->text);
	return EXIT_USAGE;
}

/* "--name VALUE" or "--name=VALUE": *value, and *at moved on. 1: another option. */
static int take_value(const char *name, char **argv, int argc, int *at, const char **value, struct fail *fail)
{
	size_t n = strlen(name);
	if (strncmp(argv[*at], name, n) != 0 || (argv[*at][n] != '\0' && argv[*at][n] != '='))
		return 1;
	if (argv[*at][n] == '=')
		*value = argv[*at] + n + 1;
	else if (*at + 1 < argc)
		*value = argv[++*at];
	else
		return fail_set(fail, -1, "%s needs a value", name);
	return 0;
}

/* What every verb knows is taken out, wherever it stands; the rest is the verb's own. */
static int parse_options(struct options *options, int argc, char **argv, struct fail *fail)
{
	bool only_words = false;
	for (int i = 1; i < argc; i++) {
		int r = 1;
		if (!only_words && (r = take_value("--socket", argv, argc, &i, &options->socket, fail)) == 1)
			r = take_value("--reason", argv, argc, &i, &options->reason, fail);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (!only_words && strcmp(argv[i], "--json") == 0) {
			options->json = true;
		} else if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			options->help = true;
		} else if (!only_words && strcmp(argv[i], "--version") == 0) {
			options->version = true;
		} else {
			if (options->n_words == WORDS_MAX)
				return fail_set(fail, -1, "more than %d words", WORDS_MAX);
			only_words = only_words || strcmp(argv[i], "--") == 0;
			options->words[options->n_words++] = argv[i];
		}
	}
	return 0;
}

static int help(const struct options *options)
{
	struct fail fail;
	bool is_verb = options->n_words > 0 && strcmp(options->words[0], "help") == 0;
	if (options->n_words <= (is_verb ? 1U : 0U)) {
		grammar_help_all(stdout);
		return EXIT_OK;
	}
	return grammar_help(stdout, options->words[is_verb ? 1 : 0], &fail) < 0 ? usage_error(&fail) : EXIT_OK;
}

/* The daemon remembers it in the journal: the same request, should it arrive twice, is carried out once. */
static void add_request_id(struct json_object *params)
{
	unsigned char bytes[16];
	char text[2 * sizeof(bytes) + 1];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort();
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	json_add_str(params, "request_id", text);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct fail fail;
	if (parse_options(&options, argc, argv, &fail) < 0)
		return usage_error(&fail);
	if (options.version) {
		(void)puts("upgctl " UPGD_VERSION);
		return EXIT_OK;
	}
	if (options.help || (options.n_words > 0 && strcmp(options.words[0], "help") == 0))
		return help(&options);
	if (options.n_words == 0) {
		grammar_help_all(stderr);
		return EXIT_USAGE;
	}
	struct grammar_call call;
	if (grammar_parse(&call, options.words, options.n_words, &fail) < 0)
		return usage_error(&fail);
	if (call.method->mutating) {
		add_request_id(call.params);
		json_add_str(call.params, "reason", options.reason);
	}
	const char *from_env = getenv("UPGD_SOCKET");
	struct session session = {
		.path = options.socket != NULL ? options.socket : from_env != NULL && *from_env ? from_env : "/run/upgd/upgd.sock",
		.json = options.json,
	};
	int code = session_run(&session, &call);
	grammar_done(&call);
	return code;
}
