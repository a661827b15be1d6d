/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "config.h"
#include "core/record.h"
#include "core/rehearse.h"
#include "core/unit.h"
#include "io/conf.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/sql.h"
#include "io/store.h"
#include "memory.h"
#include "offline.h"
#include "profile_load.h"
#include "proto/methods.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_DUMP = 256, OPTION_PROFILE, OPTION_VERSION, OPTION_DOC, OPTION_OFFLINE, OPTION_STATE, OPTION_HELP };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "log", required_argument, NULL, 'l' },
	{ "dump", no_argument, NULL, OPTION_DUMP },
	{ "profile-check", required_argument, NULL, OPTION_PROFILE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "print-doc", required_argument, NULL, OPTION_DOC },
	{ "offline", required_argument, NULL, OPTION_OFFLINE },
	{ "state", required_argument, NULL, OPTION_STATE },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

int options_parse(struct options *out, int argc, char **argv, struct fail *fail)
{
	struct options options = { .config = UPGD_CONFIG, .log = LOG_AT_INFO };
	opterr = 0;
	optind = 1;
	for (int c; (c = getopt_long(argc, argv, ":c:tl:d:", long_options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			options.config = optarg;
			break;
		case 't':
			options.test = true;
			break;
		case 'd':
		case 'l':
			if (log_level_parse(optarg, &options.log) != 0)
				return fail_set(fail, -EINVAL, "-l %s: should be err, warning, notice, info or debug", optarg);
			break;
		case OPTION_DUMP:
			options.dump = true;
			break;
		case OPTION_PROFILE:
			options.profile = optarg;
			break;
		case OPTION_VERSION:
			options.version = true;
			break;
		case OPTION_HELP:
			options.help = true;
			break;
		case OPTION_DOC:
			options.doc = optarg;
			break;
		case OPTION_OFFLINE:
			options.offline = optarg;
			break;
		case OPTION_STATE:
			options.state = optarg;
			break;
		default:
			return fail_set(fail, -EINVAL, c == ':' ? "%s needs a value; see upgd(8)" : "unknown option %s; see upgd(8)", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return fail_set(fail, -EINVAL, "%s: upgd takes options only; see upgd(8)", argv[optind]);
	if (options.dump && !options.test)
		return fail_set(fail, -EINVAL, "--dump goes with -t");
	if (options.offline != NULL && options.test)
		return fail_set(fail, -EINVAL, "-t and --offline do not go together");
	if (options.state != NULL && options.offline == NULL)
		return fail_set(fail, -EINVAL, "--state goes with --offline; the daemon's own is state_dir in upgd.conf(5)");
	*out = options;
	return 0;
}

/* ---- -t ---- */

/* A value that fits the type, for a parameter that only `start` will give. */
static const char *placeholder(enum param_type type)
{
	static const char *const values[] = { [PARAM_TEXT] = "x", [PARAM_VERSION] = "1.0", [PARAM_NAME] = "x", [PARAM_URL] = "http://x.invalid",
		[PARAM_DURATION] = "1s", [PARAM_INT] = "1" };
	return values[type];
}

static struct profile *load(const char *path, const char *const *params, bool early)
{
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	struct profile *profile = early ? profile_load_early(path, params, &errors, &fail) : profile_load(path, params, &errors, &fail);
	if (profile == NULL && errors.n == 0)
		(void)fprintf(stderr, "%s\n", fail.text);
	conf_errors_print(&errors, stderr);
	conf_errors_done(&errors);
	return profile;
}

/* Names in `vars` that the profile does not know; those it knows are judged with it. */
static size_t vars_unknown(const char *file, const struct config *config, const struct profile *profile)
{
	const char **names = memory_need(calloc(profile->n_params + 1, sizeof(char *)));
	size_t unknown = 0;
	for (size_t i = 0; i < profile->n_params; i++)
		names[i] = profile->params[i].name;
	for (size_t i = 0; i < config->vars.n; i++) {
		const struct config_pair *var = &config->vars.items[i];
		size_t k = 0;
		while (names[k] != NULL && strcmp(names[k], var->name) != 0)
			k++;
		if (names[k] != NULL)
			continue;
		const char *near = conf_nearest(var->name, names);
		(void)fprintf(stderr, "%s:%u: vars: profile %s has no parameter \"%s\"%s%s%s\n", file, var->line, profile->name, var->name,
			near != NULL ? "; did you mean \"" : "", near != NULL ? near : "", near != NULL ? "\"?" : "");
		unknown++;
	}
	free(names);
	return unknown;
}

/* First without parameters, for its own mistakes with their lines; then with those of upgd.conf, and something fitting for the rest. */
static struct profile *profile_tested(const char *path, const struct config *config, const char *file)
{
	struct profile *bare = load(path, NULL, false);
	if (bare == NULL)
		return NULL;
	if (vars_unknown(file, config, bare) > 0) {
		profile_free(bare);
		return NULL;
	}
	const char **params = memory_need(calloc(2 * (bare->n_params + config->vars.n) + 1, sizeof(char *)));
	size_t n = 0;
	bool guessed = false;
	for (size_t i = 0; i < config->vars.n; i++) {
		params[n++] = config->vars.items[i].name;
		params[n++] = config->vars.items[i].value;
	}
	for (size_t i = 0; i < bare->n_params; i++) {
		if (bare->params[i].value != NULL || config_var(config, bare->params[i].name) != NULL)
			continue;
		params[n++] = bare->params[i].name;
		params[n++] = placeholder(bare->params[i].type);
		guessed = true;
	}
	/* What was made up would fit no plan: each of them is proved, and the first is rehearsed. */
	struct profile *profile = load(path, params, guessed && bare->n_plans > 0);
	free(params);
	profile_free(bare);
	return profile;
}

static bool rehearsed(const struct profile *profile, const char *path)
{
	struct rehearse_result result = { 0 };
	rehearse_small(profile, &result);
	if (!result.reaches_end)
		(void)fprintf(stderr, "%s: the stages do not reach their end with a small made-up site: %s\n", path, result.problem);
	return result.reaches_end;
}

int options_profile_check(const char *path)
{
	const struct config none = { 0 };
	struct profile *profile = profile_tested(path, &none, path);
	bool good = profile != NULL && rehearsed(profile, path);
	if (good)
		(void)printf("%s: ok: profile %s, %zu stages, %zu probes, %zu parameters\n", path, profile->name, profile->n_stages, profile->n_probes,
			profile->n_params);
	profile_free(profile);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int options_test(const struct options *options)
{
	struct config config;
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	if (config_load(&config, options->config, &errors, &fail) != 0) {
		if (errors.n == 0)
			(void)fprintf(stderr, "%s\n", fail.text);
		conf_errors_print(&errors, stderr);
		conf_errors_done(&errors);
		return EXIT_FAILURE;
	}
	conf_errors_done(&errors);
	struct profile *profile = profile_tested(config.profile_path, &config, options->config);
	bool good = profile != NULL && rehearsed(profile, config.profile_path);
	if (good && options->dump)
		config_dump(&config, stdout);
	else if (good)
		(void)printf("%s: ok: cluster %s, %zu nodes, %zu balancers, %zu databases, %zu database hosts; profile %s, %zu stages\n", options->config,
			config.cluster, config.n_nodes, config.n_balancers, config.n_databases, config.n_hosts, profile->name, profile->n_stages);
	profile_free(profile);
	config_done(&config);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- --print-doc ---- */

static void print_states(void)
{
	static const char *const docs[] = {
#define X(name, number, word, settled, doc) [number] = doc,
#include "core/unit.def"
#undef X
	};
	unsigned n;
	const struct unit_rule *rules = unit_rules(&n);
	for (unsigned i = 0; i < UNIT_STATES; i++)
		(void)printf("%s\n  %s%s\n\n", unit_state_word(i), docs[i], unit_is_settled(i) ? "; settled" : "");
	for (unsigned i = 0; i < n; i++)
		(void)printf("| %s -- %s --> %s\n", unit_state_word(rules[i].from), unit_event_word(rules[i].event), unit_state_word(rules[i].to));
}

static void print_records(void)
{
#define X(name, number, word, must_understand, doc) (void)printf("%s (%d)\n  %s\n\n", word, number, doc);
#include "core/record.def"
#undef X
}

static void print_methods(void)
{
	size_t n;
	const struct method *methods = method_table(&n);
	for (size_t i = 0; i < n; i++)
		(void)printf("%s (%s)\n  %s%s\n\n", methods[i].name, methods[i].args, role_word(methods[i].role), methods[i].mutating ? "; changes something" : "");
}

static void print_config(void)
{
	config_print_doc(stdout);
}

int options_print_doc(const char *what)
{
	static const struct {
		const char *what;
		void (*print)(void);
	} docs[] = { { "config", print_config }, { "states", print_states }, { "records", print_records }, { "methods", print_methods } };
	for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++) {
		if (strcmp(docs[i].what, what) == 0) {
			docs[i].print();
			return EXIT_SUCCESS;
		}
	}
	(void)fprintf(stderr, "upgd: --print-doc %s: should be config, states, records or methods\n", what);
	return 2;
}

int options_offline(const struct options *options)
{
	if (strcmp(options->offline, "status") == 0)
		return offline_run(OFFLINE_STATUS, options->config, options->state);
	if (strcmp(options->offline, "runbook") == 0)
		return offline_run(OFFLINE_RUNBOOK, options->config, options->state);
	(void)fprintf(stderr, "upgd: --offline %s: should be status or runbook\n", options->offline);
	return 2;
}

int options_help(void)
{
	return puts("usage: upgd [-c FILE] [-l LEVEL]\n"
		"       upgd -t [--dump] [-c FILE]\n"
		"       upgd --offline status|runbook [-c FILE] [--state DIR]\n"
		"       upgd --profile-check FILE\n"
		"       upgd --print-doc config|states|records|methods\n"
		"       upgd --version | --help\n"
		"FILE: " UPGD_CONFIG "; see upgd(8)") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int options_version(void)
{
	(void)printf("upgd " UPGD_VERSION "\n%s\n%s\n%s\n%s\n%s\n", loop_library(), http_library(), sql_library(), store_library(), conf_library());
	return EXIT_SUCCESS;
}
