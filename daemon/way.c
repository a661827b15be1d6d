/* SPDX-License-Identifier: MIT */
#include "way.h"

#include "memory.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

const char *way_target(const struct set *set, const char *bound)
{
	for (size_t i = 0; i < set->n_levels; i++) {
		regex_t regex;
		if (regcomp(&regex, set->levels[i].match, REG_EXTENDED | REG_NOSUB) != 0)
			continue; /* the loader has refused it */
		bool hit = regexec(&regex, bound, 0, NULL, 0) == 0;
		regfree(&regex);
		if (hit)
			return set->levels[i].is;
	}
	return bound;
}

static bool leads_on(const struct set *set, size_t edge, const char *level)
{
	return strcmp(set->edges[edge].from, level) == 0;
}

/* Breadth first: from each edge that was reached, those that go on from its end. came: the edge before, n_edges for none. */
static size_t reach(const struct set *set, const char *level, const char *target, size_t *came)
{
	size_t n = set->n_edges, head = 0, tail = 0, found = n;
	size_t *queue = memory_need(calloc(n + 1, sizeof(*queue)));
	bool *seen = memory_need(calloc(n + 1, sizeof(*seen)));
	for (size_t i = 0; i < n; i++)
		if (leads_on(set, i, level)) {
			seen[i] = true;
			came[i] = n;
			queue[tail++] = i;
		}
	while (head < tail && found == n) {
		size_t at = queue[head++];
		if (strcmp(set->edges[at].to, target) == 0)
			found = at;
		for (size_t i = 0; i < n && found == n; i++)
			if (!seen[i] && leads_on(set, i, set->edges[at].to)) {
				seen[i] = true;
				came[i] = at;
				queue[tail++] = i;
			}
	}
	free(queue);
	free(seen);
	return found;
}

static bool is_level(const struct set *set, const char *level)
{
	for (size_t i = 0; i < set->n_edges; i++)
		if (leads_on(set, i, level) || strcmp(set->edges[i].to, level) == 0)
			return true;
	return false;
}

static int no_way(const struct set *set, const char *level, const char *target, bool is_newer, struct fail *fail)
{
	char edges[300] = "";
	size_t len = 0;
	for (size_t i = 0; i < set->n_edges && len < sizeof(edges); i++)
		len += (size_t)snprintf(edges + len, sizeof(edges) - len, "%s%s to %s", i > 0 ? ", " : "", set->edges[i].from, set->edges[i].to);
	if (!is_level(set, level))
		return fail_set(fail, -ENOENT, "the site is at level \"%.80s\", which the profile does not know, and should come to \"%.80s\"; it knows %s", level, target, edges);
	if (is_newer)
		return fail_set(fail, -ENOENT, "the site is at level \"%.80s\", which is newer than \"%.80s\": there is no way back; the profile knows %s", level, target, edges);
	return fail_set(fail, -ENOENT, "there is no way from level \"%.80s\", where the site is, to \"%.80s\"; the profile knows %s", level, target, edges);
}

int way_find(const struct set *set, const char *level, const char *target, struct way *out, struct fail *fail)
{
	*out = (struct way){ .n = 0 };
	if (strcmp(level, target) == 0)
		return 0;
	size_t *came = memory_need(calloc(set->n_edges + 1, sizeof(*came)));
	size_t found = reach(set, level, target, came), n = 0;
	int rc = 0;
	if (found == set->n_edges)
		rc = no_way(set, level, target, reach(set, target, level, came) != set->n_edges, fail);
	for (size_t at = found; rc == 0 && at != set->n_edges; at = came[at])
		n++;
	if (n > WAY_MAX)
		rc = fail_set(fail, -ENOENT, "from level \"%.80s\" to \"%.80s\" there are %zu steps; at most %d", level, target, n, WAY_MAX);
	if (rc == 0)
		out->n = n;
	for (size_t at = found; rc == 0 && at != set->n_edges; at = came[at])
		out->edges[--n] = at;
	free(came);
	return rc;
}

static void put(FILE *stream, const char *key, size_t len, const char *value)
{
	(void)fprintf(stream, "%.*s=", (int)len, key);
	for (; *value != '\0'; value++) {
		if (*value == '\\')
			(void)fputs("\\\\", stream);
		else
			(void)fputc(*value, stream); /* a parameter is one line */
	}
	(void)fputc('\n', stream);
}

char *way_columns(const struct edge *edge, struct bind *bind, struct fail *fail)
{
	char *text;
	size_t size;
	bool failed = false;
	FILE *stream = memory_need(open_memstream(&text, &size));
	put(stream, "name", 4, edge->to);
	for (const char *line = edge->columns; *line != '\0' && !failed;) {
		const char *is = strchr(line, '='), *end = strchr(line, '\n');
		char *template = memory_need(strndup(is + 1, (size_t)(end - is - 1)));
		char *value = bind_text(bind, template, fail);
		if (value != NULL)
			put(stream, line, (size_t)(is - line), value);
		failed = value == NULL;
		free(value);
		free(template);
		line = end + 1;
	}
	(void)fclose(stream);
	if (!failed)
		return text;
	free(text);
	return NULL;
}

int way_passed(const struct rollout *r, uint8_t set, const char *level)
{
	char from[256];
	int at = -1;
	for (uint32_t i = 0; i < r->n_rows; i++) {
		const struct row *row = &r->rows[i];
		if (row->set != set)
			continue;
		if (row->rank == 0 && row_column(row, "from", from, sizeof(from)) && strcmp(from, level) == 0)
			at = 0;
		if (strcmp(row->name, level) == 0)
			at = (int)row->rank + 1;
	}
	return at;
}
