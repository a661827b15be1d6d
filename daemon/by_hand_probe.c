/* SPDX-License-Identifier: MIT */
/* Questions as commands, each below what must come of it. */
#include "by_hand_parts.h"

#include "config.h"
#include "memory.h"
#include "proto/json.h"

#include <inttypes.h>
#include <string.h>

enum { ENTRIES_SHOWN = 40, POLL_S = 2 };

static void put_literal(FILE *out, const char *value)
{
	(void)fputc('\'', out);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			(void)fputc(*value, out);
		if (*value == '\n') /* no line of it may be the word that ends a here-document */
			(void)fputs("\\n", out);
		else
			(void)fputc(*value, out);
	}
	(void)fputc('\'', out);
}

/* The statement with its arguments put in, as the prepared one means it: values, or else names. */
static void put_statement(FILE *out, const char *query, char *const *args, bool values)
{
	char quote = '\0';
	for (size_t n = 0; *query != '\0'; query++) {
		if (quote == '\0' && *query == '?' && args[n] != NULL) {
			if (values)
				put_literal(out, args[n]);
			else
				(void)fputs(args[n], out);
			n++;
			continue;
		}
		if (quote == '\0' && strchr("'\"`", *query) != NULL)
			quote = *query;
		else if (*query == quote)
			quote = '\0';
		(void)fputc(*query, out);
	}
	(void)fputs(";\n", out);
}

/* Opens a client for what follows, to its end "EOF"; says as a comment what else of the option file counts. */
static void put_client(const struct by_hand *h, const char *file, const char *group, const char *options)
{
	if (group != NULL)
		(void)fprintf(h->out, "# with what [%s] of that file says\n", group);
	(void)fputs("mariadb --defaults-extra-file=", h->out);
	by_hand_word(h->out, file, "");
	(void)fprintf(h->out, " %s <<'EOF'\n", options);
}

/* Each replica of a host, against what the host has at that moment. */
static void put_replicas(const struct by_hand *h, const char *pool, const struct probe *probe, const char *query)
{
	static char position_word[] = "@position";
	const struct config_host *host = config_host_of_pool(h->config, pool);
	if (host == NULL || host->replicas.n == 0) {
		(void)fprintf(h->out, "# %s has no replica in upgd.conf: nothing to ask\n", host != NULL ? host->name : pool);
		return;
	}
	if (probe->position != NULL) {
		(void)fputs("position=$(", h->out);
		put_client(h, host->option_file, NULL, "-BN");
		put_statement(h->out, probe->position, (char *[]){ NULL }, false);
		(void)fputs("EOF\n)\n", h->out);
	}
	for (size_t i = 0; i < host->replicas.n; i++) {
		put_client(h, host->replicas.items[i], NULL, probe->position != NULL ? "--init-command=\"SET @position = '$position'\" --table" : "--table");
		put_statement(h->out, query, (char *[]){ position_word, NULL }, false);
		(void)fputs("EOF\n", h->out);
	}
}

static void put_sql(const struct by_hand *h, const char *name, const struct probe *probe, struct bind *bind)
{
	struct fail fail = { 0 };
	char *target = bind_text(bind, probe->target, &fail);
	char *query = target != NULL ? bind_sql(bind, probe->query, &fail) : NULL;
	char **args = query != NULL ? bind_list(bind, probe->args, &fail) : NULL;
	const char *file = NULL, *group = NULL;
	bool of_replicas = target != NULL && strncmp(target, "replicas:", 9) == 0;
	if (target != NULL && strncmp(target, "host:", 5) == 0) {
		const struct config_host *host = config_host_of_pool(h->config, target + 5);
		file = host != NULL ? host->option_file : NULL;
		group = host != NULL ? host->group : NULL;
	}
	for (size_t i = 0; target != NULL && i < h->config->n_databases; i++) {
		if (strcmp(h->config->databases[i].name, target) == 0) {
			file = h->config->databases[i].option_file;
			group = h->config->databases[i].group;
		}
	}
	if (args == NULL) {
		by_hand_cannot(h, name, &fail);
	} else if (of_replicas) {
		put_replicas(h, target + 9, probe, query);
	} else if (file == NULL) {
		(void)fputs("# ", h->out);
		by_hand_plain(h->out, target);
		(void)fputs(" is no database of upgd.conf any more\n", h->out);
	} else {
		put_client(h, file, group, "--table");
		put_statement(h->out, query, args, true);
		(void)fputs("EOF\n", h->out);
	}
	free(target);
	free(query);
	bind_list_free(args);
}

static void put_http(const struct by_hand *h, const struct probe *probe, struct bind *bind)
{
	struct fail fail = { 0 };
	char *url = bind_text(bind, probe->target, &fail);
	if (url == NULL) {
		by_hand_cannot(h, probe->name, &fail);
		return;
	}
	if (probe->json != NULL) {
		(void)fputs("until curl -fsS ", h->out);
		by_hand_word(h->out, url, "");
		(void)fprintf(h->out, "; do sleep %d; done; echo\n", POLL_S);
	} else {
		(void)fputs("curl -sS -o /dev/null -w '%{http_code}\\n' ", h->out);
		by_hand_word(h->out, url, "");
		(void)fputc('\n', h->out);
	}
	free(url);
}

static int32_t probe_lane(const struct by_hand *h, const struct probe *probe)
{
	static const struct { const char *word; enum lane_kind kind; } words[] = { { "self", LANE_ON_SELF }, { "old", LANE_ON_OLD },
		{ "new", LANE_ON_NEW }, { "local", LANE_ON_LOCAL } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, probe->on) == 0)
			return by_hand_lane(h, words[i].kind);
	return LANE_NONE;
}

static void put_read(const struct by_hand *h, const struct probe *probe, int32_t lane)
{
	struct fail fail = { 0 };
	struct bind bind = by_hand_bind(h, lane);
	char *file = bind_text(&bind, probe->target, &fail);
	if (file == NULL)
		by_hand_cannot(h, probe->name, &fail);
	else
		by_hand_run(h, lane, &(struct by_hand_run){ .argv = (char *const[]){ (char *)(uintptr_t)"cat", file, NULL } });
	free(file);
}

/* First column of a capture, a few of them: what an answer is compared with. */
static void list_capture(const struct by_hand *h, const char *name)
{
	json_cleanup struct json_object *all = h->captures != NULL ? json_parse(h->captures, strlen(h->captures), NULL) : NULL;
	struct json_object *one = NULL, *rows = NULL;
	if (all == NULL || json_get_object(all, name, &one, NULL) != 0 || json_get_array(one, "rows", &rows, NULL) != 0) {
		(void)fprintf(h->out, "#   %s: not captured\n", name);
		return;
	}
	size_t n = json_object_array_length(rows);
	(void)fprintf(h->out, "#   %s: %zu", name, n);
	for (size_t i = 0; i < n && i < ENTRIES_SHOWN; i++) {
		struct json_object *cell = json_object_array_get_idx(json_object_array_get_idx(rows, i), 0);
		(void)fputs(i == 0 ? ": " : ", ", h->out);
		by_hand_plain(h->out, cell != NULL ? json_object_get_string(cell) : "NULL");
	}
	(void)fputs(n > ENTRIES_SHOWN ? ", ...\n" : "\n", h->out);
}

static void say_expected(const struct by_hand *h, const struct probe *probe, struct bind *bind)
{
	struct fail fail = { 0 };
	bool pattern = probe->expect == EXPECT_MATCH || probe->expect == EXPECT_NOT_MATCH;
	char *expected = probe->expected == NULL ? NULL : pattern ? bind_regex(bind, probe->expected, &fail) : bind_text(bind, probe->expected, &fail);
	const char *text = expected != NULL ? expected : "?", *at = probe->json != NULL ? probe->json : "the answer";
	char *doc = probe->doc != NULL ? bind_text(bind, probe->doc, &fail) : NULL;
	(void)fputs("# ", h->out);
	by_hand_plain(h->out, doc != NULL ? doc : probe->name);
	(void)fputs(": ", h->out);
	switch (probe->expect) {
	case EXPECT_ROWS:
		(void)(probe->number == 0 ? fprintf(h->out, "no row may come\n") : fprintf(h->out, "%" PRId64 " row must come\n", probe->number));
		break;
	case EXPECT_EQUALS:
		(void)fprintf(h->out, "%s must be ", at);
		by_hand_plain(h->out, text);
		(void)fputc('\n', h->out);
		break;
	case EXPECT_MATCH:
	case EXPECT_NOT_MATCH:
		(void)fprintf(h->out, "%s must %smatch ", at, probe->expect == EXPECT_MATCH ? "" : "not ");
		by_hand_plain(h->out, text);
		(void)fputc('\n', h->out);
		break;
	case EXPECT_MIN:
	case EXPECT_MAX:
		(void)fprintf(h->out, "%s must be at %s %" PRId64 "\n", at, probe->expect == EXPECT_MIN ? "least" : "most", probe->number);
		break;
	case EXPECT_CONTAINS:
	case EXPECT_SUBSET_OF:
	case EXPECT_SAME_AS:
		(void)fprintf(h->out, "%s\n", probe->expect == EXPECT_CONTAINS ? "every one of the first list must come, but for those of the others" :
			probe->expect == EXPECT_SUBSET_OF ? "nothing may come that is not in this list" : "exactly this list must come");
		list_capture(h, probe->expected);
		for (size_t i = 0; probe->except != NULL && probe->except[i] != NULL; i++)
			list_capture(h, probe->except[i]);
		break;
	case EXPECT_EXIT:
		(void)fprintf(h->out, "it must end with");
		for (size_t i = 0; i < probe->n_exits; i++)
			(void)fprintf(h->out, "%s %u", i == 0 ? "" : " or", probe->exits[i]);
		(void)fputc('\n', h->out);
		break;
	case EXPECT_STATE:
	case EXPECT_NONE:
		(void)fprintf(h->out, "look at what comes\n");
		break;
	}
	free(expected);
	free(doc);
}

void by_hand_probe(const struct by_hand *h, uint16_t index)
{
	const struct probe *probe = &h->r->profile->probes[index];
	int32_t lane = probe->on != NULL ? probe_lane(h, probe) : LANE_NONE;
	struct bind bind = by_hand_bind(h, lane);
	say_expected(h, probe, &bind);
	switch (probe->kind) {
	case PROBE_SQL:
		put_sql(h, probe->name, probe, &bind);
		break;
	case PROBE_HTTP:
		put_http(h, probe, &bind);
		break;
	case PROBE_RUN:
		if (lane == LANE_NONE)
			(void)fprintf(h->out, "# by the journal there is no node of the %s fleet to ask it on\n", probe->on);
		else
			by_hand_run(h, lane, &(struct by_hand_run){ .argv = probe->args, .env = probe->env, .cwd = probe->cwd, .says_exit = probe->expect == EXPECT_EXIT });
		break;
	case PROBE_READ:
		put_read(h, probe, lane);
		break;
	case PROBE_SERVER:
		break;
	}
}

void by_hand_count(const struct by_hand *h, const struct counter *counter)
{
	const struct profile *p = h->r->profile;
	struct bind bind = by_hand_bind(h, LANE_NONE);
	bool of_tenants = counter->kind == COUNTER_TENANTS || counter->kind == COUNTER_ROWS;
	if (!of_tenants || p->set_tenants < 0)
		return;
	const struct set *set = &p->sets[p->set_tenants];
	const struct probe question = { .target = set->database, .query = set->query };
	put_sql(h, set->name, &question, &bind);
}
