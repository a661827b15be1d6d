/* SPDX-License-Identifier: MIT */
/* The rows of sets from paths: at which level the site is, and the edges from there to the target. */
#include "discover_parts.h"

#include "memory.h"
#include "site.h"
#include "way.h"

#include <string.h>

enum { SETS_MAX = 8 };

struct discover_way {
	struct discovery *d;
	uint8_t set;
	struct probe_run *run;
	char *target, *level;   /* owned; level NULL: nobody says it: error */
	char *error;            /* owned */
	char *columns[WAY_MAX]; /* of the edges in way; owned */
	struct way way;
};

static const struct set *set_of(const struct discover_way *w)
{
	return &w->d->profile->sets[w->set];
}

static void fails(struct discover_way *w, const char *text)
{
	w->error = memory_need(strdup(text));
	w->way.n = 0;
}

static void find_way(struct discover_way *w)
{
	struct bind bind = discover_bind(w->d, NULL);
	struct fail fail = { .text = "" };
	if (way_find(set_of(w), w->level, w->target, &w->way, &fail) != 0) {
		fails(w, fail.text);
		return;
	}
	for (size_t i = 0; i < w->way.n; i++) {
		w->columns[i] = way_columns(&set_of(w)->edges[w->way.edges[i]], &bind, &fail);
		if (w->columns[i] == NULL) {
			fails(w, fail.text);
			return;
		}
	}
}

static void on_level(void *arg, const struct probe_answer *answer)
{
	struct discover_way *w = arg;
	const struct judge_table *table = answer->table;
	const char *level = table != NULL && answer->whole && table->n_rows > 0 && table->cells[0] != NULL ? table->cells[0] : "";
	char text[700];
	w->run = NULL;
	if (level[0] != '\0' && answer->result == RESULT_OK) {
		w->level = memory_need(strdup(level));
		find_way(w);
	} else {
		(void)snprintf(text, sizeof(text), "at which level the site is, nobody says, and it should come to \"%.80s\": %.500s", w->target,
			table != NULL && answer->result == RESULT_OK ? "the answer is empty" : answer->text);
		fails(w, text);
	}
	discover_one_less(w->d);
}

static void way_start(struct discover_way *w)
{
	struct discovery *d = w->d;
	struct bind bind = discover_bind(d, NULL);
	struct fail fail = { .text = "" };
	char *target = bind_text(&bind, set_of(w)->target, &fail);
	if (target == NULL) {
		fails(w, fail.text);
		return;
	}
	w->target = memory_need(strdup(way_target(set_of(w), target)));
	free(target);
	struct probe_options options = { .bind = bind, .unit = RECORD_NO_UNIT };
	d->open++;
	w->run = probe_start(d->site, &d->profile->probes[profile_probe(d->profile, set_of(w)->class_probe)], &options, on_level, w);
}

void discover_ways_start(struct discovery *d)
{
	d->ways = memory_need(calloc(SETS_MAX, sizeof(*d->ways)));
	for (uint8_t s = 0; s < d->profile->n_sets; s++) {
		d->ways[s] = (struct discover_way){ .d = d, .set = s };
		if (d->profile->sets[s].from == SET_PATH && !d->profile->sets[s].idle)
			way_start(&d->ways[s]);
	}
}

size_t discover_ways_rows(const struct discovery *d, uint8_t set, struct engine_row *out)
{
	const struct discover_way *w = d->ways != NULL ? &d->ways[set] : NULL;
	for (size_t i = 0; w != NULL && out != NULL && i < w->way.n; i++)
		out[i] = (struct engine_row){ .set = set, .columns = w->columns[i], .class_ = CLASS_OLD };
	return w != NULL ? w->way.n : 0;
}

static void judge_way(struct discovery *d, const struct discover_way *w)
{
	const struct set *set = set_of(w);
	char steps[300] = "";
	size_t len = 0;
	for (size_t i = 0; i < w->way.n && len < sizeof(steps); i++)
		len += (size_t)snprintf(steps + len, sizeof(steps) - len, "%s%s", i > 0 ? ", " : ": ", set->edges[w->way.edges[i]].to);
	if (w->error != NULL)
		discover_say(d, DISCOVER_ERROR, set->name, "compare the parameters of the rollout with what the site is; see sets in the profile", "%s", w->error);
	else
		discover_say(d, DISCOVER_OK, set->name, NULL, "from level %s to %s in %zu steps%s", w->level, w->target, w->way.n, steps);
}

void discover_ways_judge(struct discovery *d)
{
	for (uint8_t s = 0; s < d->profile->n_sets; s++)
		if (d->profile->sets[s].from == SET_PATH && !d->profile->sets[s].idle)
			judge_way(d, &d->ways[s]);
}

void discover_ways_done(struct discovery *d)
{
	for (uint8_t s = 0; d->ways != NULL && s < SETS_MAX; s++) { /* the profile may be gone */
		struct discover_way *w = &d->ways[s];
		probe_cancel(w->run);
		for (size_t i = 0; i < WAY_MAX; i++)
			free(w->columns[i]);
		free(w->target);
		free(w->level);
		free(w->error);
	}
	free(d->ways);
	d->ways = NULL;
}
