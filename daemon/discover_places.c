/* SPDX-License-Identifier: MIT */
/* What only `check` wants to know of every runner: does it answer, has it the secrets, is there what steps run at its place. */
#include "discover_parts.h"

#include "io/loop.h"
#include "io/runner.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { RUNNER_MS = 10000 };

static void places_go_on(struct discovery *d);

/* Behind what is there: each program that steps run at the place. What only the new version brings is not looked for. */
static void tools_of(struct discovery *d, const char *node, char **argv, size_t max)
{
	struct bind bind = discover_bind(d, NULL);
	struct fail fail;
	size_t n = 0;
	while (argv[n] != NULL)
		n++;
	for (size_t s = 0; s < d->profile->n_stages; s++)
		for (size_t i = 0; i < 2 * d->profile->stages[s].n_steps && n < max; i++) {
			const struct step *step = &d->profile->stages[s].steps[i / 2];
			const struct action *act = i % 2 == 0 ? &step->act : &step->undo;
			bool here = false;
			for (size_t k = 0; k < step->n_on; k++)
				here |= node == NULL ? step->on[k] == LANE_ON_LOCAL : step->on[k] == LANE_ON_SELF || step->on[k] == LANE_ON_OLD;
			char *tool = here && act->kind == ACTION_RUN ? bind_text(&bind, act->argv[0], &fail) : NULL;
			for (size_t k = 0; k < n && tool != NULL; k++)
				if (strcmp(argv[k], tool) == 0) {
					free(tool);
					tool = NULL;
				}
			if (tool != NULL)
				argv[n++] = tool;
		}
}

static void tools_missing(struct place *p, const struct runner_result *result)
{
	char names[300] = "";
	for (size_t i = 0; i < result->out_len && i + 1 < sizeof(names); i++)
		names[i] = result->out[i] == '\n' ? (i + 1 < result->out_len ? ' ' : '\0') : result->out[i];
	if (asprintf(&p->error, "what the profile runs there is not there: %s", names) < 0)
		abort();
	p->mend = memory_need(strdup("install it, or see the parameters of the profile that say where programs are, and the PATH of upgd-run"));
}

static void on_runner(void *arg, const struct runner_result *result)
{
	struct place *p = arg;
	struct discovery *d = p->d;
	p->request = NULL;
	if (result->state != RUNNER_AWAY)
		runner_ack(p->runner, p->id);
	if (result->state == RUNNER_EXITED && result->exit_code == 0 && result->out_len > 0) {
		tools_missing(p, result);
	} else if (result->state != RUNNER_EXITED || result->exit_code != 0) {
		p->error = memory_need(strdup(result->error != NULL ? result->error : "its runner cannot run `sh`"));
		p->mend = memory_need(strdup(result->state == RUNNER_REFUSED ? "see secrets in upgd-run(8)"
			: p->node != NULL ? "try the command of remote in upgd.conf by hand, as the user of upgd"
			: "is upgd-run serve running here? see local_runner and local_socket in upgd.conf(5)"));
	}
	d->places_open--;
	places_go_on(d);
	discover_one_less(d);
}

static void place_start(struct discovery *d, struct place *p)
{
	enum { TOOLS_MAX = 64 };
	static const char *const look[] = { "sh", "-c", "for tool; do command -v \"$tool\" >/dev/null || echo \"$tool\"; done", "check" };
	struct fail fail = { 0 };
	uint64_t nonce = loop_boot_ms();
	p->runner = site_runner(d->site, p->node, &fail);
	if (p->runner == NULL) {
		p->error = memory_need(strdup(fail.text));
		return;
	}
	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != (ssize_t)sizeof(nonce))
		nonce ^= (uint64_t)(uintptr_t)p;
	(void)snprintf(p->id, sizeof(p->id), "check/%016llx", (unsigned long long)nonce);
	p->argv = memory_need(calloc(TOOLS_MAX + 1, sizeof(char *)));
	for (size_t i = 0; i < sizeof(look) / sizeof(look[0]); i++)
		p->argv[i] = memory_need(strdup(look[i]));
	tools_of(d, p->node, p->argv, TOOLS_MAX);
	struct runner_task task = { .id = p->id, .argv = (const char *const *)p->argv, .env = (const char *const *)d->secrets, .deadline_ms = RUNNER_MS };
	d->open++;
	d->places_open++;
	p->request = runner_start(p->runner, &task, RUNNER_MS, on_runner, p);
}

static void places_go_on(struct discovery *d)
{
	while (d->places_open < DISCOVER_AT_ONCE && d->next_place < d->n_places)
		place_start(d, &d->places[d->next_place++]);
}

/* "UPGD_SECRET_0=${secret.ox}": a runner refuses a task whose secret it does not have. */
static void secrets_of(struct discovery *d)
{
	size_t n = 0;
	d->secrets = memory_need(calloc(17, sizeof(char *)));
	for (const char *at = d->profile->text; at != NULL && n < 16;) {
		at = strstr(at, "${secret.");
		const char *end = at != NULL ? strchr(at, '}') : NULL;
		if (end == NULL)
			return;
		char *entry;
		if (asprintf(&entry, "UPGD_SECRET_%zu=%.*s", n, (int)(end + 1 - at), at) < 0)
			abort();
		bool known = false;
		for (size_t i = 0; i < n; i++)
			known |= strcmp(strchr(d->secrets[i], '='), strchr(entry, '=')) == 0;
		if (known)
			free(entry);
		else
			d->secrets[n++] = entry;
		at = end;
	}
}

void discover_places_start(struct discovery *d)
{
	const struct config *config = discover_config(d);
	secrets_of(d);
	d->places = memory_need(calloc(config->n_nodes + 1, sizeof(struct place)));
	d->n_places = config->n_nodes + 1;
	for (size_t i = 0; i < d->n_places; i++)
		d->places[i] = (struct place){ .d = d, .node = i < config->n_nodes ? config->nodes[i].name : NULL };
	places_go_on(d);
}

void discover_places_judge(struct discovery *d)
{
	for (size_t i = 0; i < d->n_places; i++) {
		const struct place *p = &d->places[i];
		char subject[300];
		(void)snprintf(subject, sizeof(subject), "runner of %s", p->node != NULL ? p->node : "this host");
		if (p->error != NULL)
			discover_say(d, DISCOVER_ERROR, subject, p->mend, "%s", p->error);
	}
}

void discover_places_done(struct discovery *d)
{
	for (size_t i = 0; i < d->n_places; i++) {
		if (d->places[i].request != NULL)
			runner_cancel(d->places[i].request);
		free(d->places[i].error);
		free(d->places[i].mend);
		bind_list_free(d->places[i].argv);
	}
	free(d->places);
	bind_list_free(d->secrets);
}
