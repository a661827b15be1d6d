/* SPDX-License-Identifier: MIT */
#include "choose.h"

#include "daemon/profile_load.h"
#include "plain.h"

#include <stdlib.h>
#include <string.h>

static const char *said(int argc, char **argv, const char *name)
{
	size_t len = strlen(name);
	for (int i = 2; i + 1 < argc; i++)
		if (strcmp(argv[i], "--set") == 0 && strncmp(argv[i + 1], name, len) == 0 && argv[i + 1][len] == '=')
			return argv[i + 1] + len + 1;
	return NULL;
}

static uint32_t number(int argc, char **argv, const char *name)
{
	for (int i = 2; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return (uint32_t)strtoul(argv[i + 1], NULL, 10);
	return 0;
}

/* Waits are short: what they are good for shows in a few seconds too. */
static const char *by_type(const struct param *param)
{
	if (param->type == PARAM_DURATION)
		return "10s";
	if (param->value != NULL)
		return param->value;
	switch (param->type) {
	case PARAM_VERSION:
		return "1.2.3";
	case PARAM_URL:
		return "https://www.example.com";
	case PARAM_INT:
		return "7";
	case PARAM_TEXT:
	case PARAM_NAME:
	case PARAM_DURATION:
		break;
	}
	return "some";
}

static unsigned sites(const struct profile *p)
{
	unsigned bits = SITE_ANY | SITE_PLAIN | (p->n_balancers > 0 ? SITE_BALANCER : 0u);
	for (size_t i = 0; i < p->n_probes; i++)
		bits |= p->probes[i].kind == PROBE_SQL ? SITE_DATABASE : 0u;
	return bits;
}

struct choice *choice_new(const struct profile *profile, int argc, char **argv)
{
	struct choice *choice = calloc(1, sizeof(*choice));
	struct conf_errors errors = { 0 };
	struct fail fail = { 0 };
	if (choice == NULL)
		abort();
	for (size_t i = 0; i < profile->n_params && i < CHOICE_PARAMS; i++) {
		const struct param *param = &profile->params[i];
		const char *value = said(argc, argv, param->name);
		choice->values[i] = strdup(value != NULL ? value : by_type(param));
		choice->params[2 * i] = param->name;
		choice->params[2 * i + 1] = choice->values[i];
	}
	choice->nodes = number(argc, argv, "--nodes");
	choice->rows = number(argc, argv, "--rows");
	choice->profile = profile_parse(profile->text, "profile", choice->params, &errors, &fail);
	if (choice->profile == NULL) {
		conf_errors_print(&errors, stderr);
		(void)fprintf(stderr, "%s\n", errors.n == 0 ? fail.text : "the profile is wrong with these parameters (--set KEY=VALUE)");
		conf_errors_done(&errors);
		free(choice);
		return NULL;
	}
	conf_errors_done(&errors);
	choice->sites = sites(choice->profile);
	return choice;
}

void choice_free(struct choice *choice)
{
	if (choice == NULL)
		return;
	profile_free(choice->profile);
	for (size_t i = 0; i < CHOICE_PARAMS; i++)
		free(choice->values[i]);
	free(choice);
}

void choice_apply(const struct choice *choice, struct sim_options *options)
{
	enum { NODES_MOST = 4, ROWS_MOST = 6 };
	options->profile = choice->profile;
	options->profile_text = choice->profile->text;
	options->params = choice->params;
	options->nodes = choice->nodes != 0 ? choice->nodes : options->nodes < NODES_MOST ? options->nodes : NODES_MOST;
	options->schemata = choice->rows != 0 ? choice->rows : options->schemata < ROWS_MOST ? options->schemata : ROWS_MOST;
}

struct trouble_reach choice_reach(const struct choice *choice, const struct sim_options *options)
{
	static struct trouble_reach known[WORLD_NODES][WORLD_SCHEMATA];
	struct trouble_reach *reach = &known[options->nodes][options->schemata];
	if (reach->ms != 0)
		return *reach;
	struct sim_options o = { .seed = 1, .approve = true, .nodes = options->nodes, .schemata = options->schemata };
	choice_apply(choice, &o);
	struct sim *s = sim_new(&o);
	sim_start(s, NULL, NULL, false);
	sim_run(s);
	if (sim_broken(s)[0] != '\0')
		(void)fprintf(stderr, "how far a run goes is not known: %s\n", sim_broken(s));
	*reach = (struct trouble_reach){ .actions = sim_actions(s) + 2, .questions = sim_questions(s) + 2, .batches = sim_batches(s) + 2, .ms = (uint32_t)sim_now(s) };
	sim_free(s);
	return *reach;
}
