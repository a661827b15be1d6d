/* SPDX-License-Identifier: MIT */
/*
 * Commands for nodes go through the standard input of a shell over there: `ssh ox1 sh <<'EOF'` needs no second quoting, whatever the
 * remote command is. Each has its own standard input closed, so that it cannot eat what follows it.
 */
#include "by_hand.h"

#include "bind.h"
#include "config.h"
#include "core/facts.h"
#include "memory.h"
#include "proto/json.h"

#include <inttypes.h>
#include <string.h>

enum { ENTRIES_SHOWN = 40, POLL_S = 2 };

static const char secret_opening[] = "${secret.";

/* ---- words ---- */

void by_hand_plain(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		(void)fputc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, out);
}

static void put_quoted(FILE *out, const char *word, const char *secrets)
{
	(void)fputc('"', out);
	while (*word != '\0') {
		const char *end = strncmp(word, secret_opening, strlen(secret_opening)) == 0 ? strchr(word, '}') : NULL;
		if (end != NULL) {
			const char *name = word + strlen(secret_opening);
			(void)fprintf(out, "$(head -n 1 '%s/%.*s')", secrets, (int)(end - name), name);
			word = end + 1;
			continue;
		}
		if (strchr("\"$`\\", *word) != NULL)
			(void)fputc('\\', out);
		(void)fputc(*word++, out);
	}
	(void)fputc('"', out);
}

/* One word of a shell command. */
static void put_word(FILE *out, const char *word, const char *secrets)
{
	if (strstr(word, secret_opening) != NULL) {
		put_quoted(out, word, secrets);
		return;
	}
	if (word[0] != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-") == strlen(word)) {
		(void)fputs(word, out);
		return;
	}
	(void)fputc('\'', out);
	for (; *word != '\0'; word++)
		(void)fputs(*word == '\'' ? "'\\''" : (const char[]){ *word, '\0' }, out);
	(void)fputc('\'', out);
}

static void put_assignment(FILE *out, const char *assignment, const char *secrets)
{
	const char *equals = strchr(assignment, '=');
	if (equals == NULL)
		return;
	(void)fprintf(out, "%.*s=", (int)(equals - assignment), assignment);
	put_word(out, equals + 1, secrets);
	(void)fputc(' ', out);
}

static void cannot(const struct by_hand *h, const char *what, const struct fail *fail)
{
	(void)fprintf(h->out, "# %s cannot be said as a command: %s\n", what, fail->text);
}

/* ---- places ---- */

struct place {
	const char *name;               /* a node, or NULL: the host of upgd */
	char **argv;                    /* one free(); NULL: nothing goes before a command */
	size_t n_before;                /* words before upgd-run */
	const char *upgd_run, *state, *secrets;
};

static void place_done(struct place *place)
{
	free(place->argv);
}

/* The words before upgd-run are what reaches the place; the ones after it say where its tasks and secrets are. */
static void place_read(struct place *place, char *const *argv)
{
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) {
		const char *slash = strrchr(argv[i], '/');
		if (place->upgd_run == NULL && strcmp(slash != NULL ? slash + 1 : argv[i], "upgd-run") == 0) {
			place->upgd_run = argv[i];
			place->n_before = i;
		}
		if (argv[i + 1] != NULL && strcmp(argv[i], "--state") == 0)
			place->state = argv[i + 1];
		if (argv[i + 1] != NULL && strcmp(argv[i], "--secrets") == 0)
			place->secrets = argv[i + 1];
	}
}

static struct place place_of(const struct by_hand *h, int32_t lane)
{
	struct place place = { .secrets = "/etc/upgd/secrets" };
	if (lane >= 0 && (uint32_t)lane < h->r->n_rows) {
		const struct config_node *node = config_node(h->config, h->r->rows[lane].name);
		place.name = h->r->rows[lane].name;
		place.argv = node != NULL && h->config->remote.n > 0 ? config_remote_argv(h->config, node) : NULL;
		place_read(&place, place.argv);
		if (node == NULL)
			(void)fprintf(h->out, "# %s is not in upgd.conf any more: run this there\n", place.name);
	} else {
		place_read(&place, h->config->local_runner.items);
		place.n_before = 0; /* it is this host */
	}
	if (place.upgd_run == NULL)
		place.upgd_run = "upgd-run";
	return place;
}

static void put_before(FILE *out, const struct place *place)
{
	for (size_t i = 0; i < place->n_before; i++) {
		put_word(out, place->argv[i], place->secrets);
		(void)fputc(' ', out);
	}
}

static void script_begin(FILE *out, const struct place *place)
{
	if (place->n_before == 0)
		return;
	put_before(out, place);
	(void)fputs("sh <<'EOF'\n", out);
}

static void script_end(FILE *out, const struct place *place)
{
	if (place->n_before > 0)
		(void)fputs("EOF\n", out);
}

static struct bind bind_of(const struct by_hand *h, int32_t lane)
{
	return (struct bind){ .profile = h->r->profile, .r = h->r, .row = &h->r->rows[h->r->units[h->unit].row], .cluster = h->config->cluster,
		.captures = h->captures, .rollout = h->r->id, .lane = lane };
}

/* ---- commands on nodes ---- */

struct run {
	char *const *argv, *const *env;
	const char *cwd; /* NULL: anywhere */
	bool says_exit;  /* what it ends with is the answer */
};

static void put_run(const struct by_hand *h, int32_t lane, const struct run *run)
{
	struct fail fail;
	struct bind bind = bind_of(h, lane);
	char **words = bind_list(&bind, run->argv, &fail);
	char **variables = words != NULL ? bind_list(&bind, run->env, &fail) : NULL;
	char *cwd = variables != NULL && run->cwd != NULL ? bind_text(&bind, run->cwd, &fail) : NULL;
	if (variables == NULL || (cwd == NULL && run->cwd != NULL)) {
		cannot(h, run->argv[0], &fail);
		bind_list_free(words);
		bind_list_free(variables);
		return;
	}
	struct place place = place_of(h, lane);
	script_begin(h->out, &place);
	if (cwd != NULL) {
		(void)fputs("cd ", h->out);
		put_word(h->out, cwd, place.secrets);
		(void)fputs(" && ", h->out);
	}
	for (size_t i = 0; variables[i] != NULL; i++)
		put_assignment(h->out, variables[i], place.secrets);
	for (size_t i = 0; words[i] != NULL; i++) {
		put_word(h->out, words[i], place.secrets);
		(void)fputc(' ', h->out);
	}
	(void)fputs(run->says_exit ? "</dev/null; echo \"it ended with $?\"\n" : "</dev/null\n", h->out);
	script_end(h->out, &place);
	place_done(&place);
	free(cwd);
	bind_list_free(words);
	bind_list_free(variables);
}

/* Text that sed takes literally, between slashes. */
static void put_sed(FILE *out, const char *text, const char *special)
{
	for (; *text != '\0'; text++) {
		if (strchr(special, *text) != NULL)
			(void)fputc('\\', out);
		(void)fputs(*text == '\'' ? "'\\''" : (const char[]){ *text, '\0' }, out);
	}
}

/* line NULL: it goes. */
static void put_edit(const struct by_hand *h, int32_t lane, const char *file, const char *prefix, const char *line)
{
	struct place place = place_of(h, lane);
	FILE *out = h->out;
	script_begin(out, &place);
	(void)fputs("f=", out);
	put_word(out, file, "");
	(void)fputs("\ngrep '^", out);
	put_sed(out, prefix, "/.*[]^$\\");
	(void)fputs("' \"$f\" # as it is now\nsed -i '/^", out);
	put_sed(out, prefix, "/.*[]^$\\");
	if (line == NULL) {
		(void)fputs("/d' \"$f\"\n", out);
	} else {
		(void)fputs("/c\\\n", out);
		put_sed(out, line, "\\");
		(void)fputs("' \"$f\"\ngrep -q '^", out);
		put_sed(out, prefix, "/.*[]^$\\");
		(void)fputs("' \"$f\" || echo ", out);
		put_word(out, line, "");
		(void)fputs(" >>\"$f\"\n", out);
	}
	script_end(out, &place);
	place_done(&place);
}

static void by_hand_edit(const struct by_hand *h, int32_t lane, const struct step *step, bool undo)
{
	struct fail fail = { 0 };
	struct bind bind = bind_of(h, lane);
	const struct action *action = undo ? &step->undo : &step->act;
	char *file = bind_text(&bind, action->file, &fail);
	char *prefix = file != NULL ? bind_text(&bind, action->line, &fail) : NULL;
	char *to = prefix != NULL && !action->restore ? bind_text(&bind, action->to, &fail) : NULL, *line = NULL;
	json_cleanup struct json_object *all = h->captures != NULL ? json_parse(h->captures, strlen(h->captures), NULL) : NULL;
	struct json_object *baseline = NULL;
	const char *old = NULL;
	if (prefix == NULL || (to == NULL && !action->restore)) {
		cannot(h, "the edit", &fail);
	} else if (!action->restore) {
		if (asprintf(&line, "%s%s", prefix, to) < 0)
			abort();
		put_edit(h, lane, file, prefix, line);
	} else if (all == NULL || json_get_object(all, "baseline", &baseline, NULL) != 0 || json_get_str(baseline, step->name, &old, NULL) != 0) {
		(void)fprintf(h->out, "# what the line %s of %s was before is not in the journal: nothing was changed there yet, or look into its backup\n",
			prefix, file);
	} else {
		(void)fprintf(h->out, "# only if the line still is as upgd made it: somebody else's change stays\n");
		put_edit(h, lane, file, prefix, old[0] != '\0' ? old : NULL);
	}
	free(file);
	free(prefix);
	free(to);
	free(line);
}

/* ---- balancers ---- */

static void put_socat(FILE *out, const char *socket)
{
	(void)fputs(" | socat - ", out);
	char *address;
	if (asprintf(&address, "%s%s", socket[0] == '/' ? "UNIX-CONNECT:" : "TCP:", socket) < 0)
		abort();
	put_word(out, address, "");
	free(address);
}

static void put_look(FILE *out, const struct config_balancer *balancer, const char *socket, const char *server)
{
	(void)fprintf(out, "echo \"show stat %s 4 -1\"", balancer->backend);
	put_socat(out, socket);
	(void)fprintf(out, " | grep ',%s,' | cut -d, -f1,2,5,18 # requests in flight, state\n", server);
}

static void put_set(FILE *out, const struct config_balancer *balancer, const char *socket, const char *server, const char *state)
{
	(void)fprintf(out, "echo \"set server %s/%s state %s\"", balancer->backend, server, state);
	put_socat(out, socket);
	(void)fputc('\n', out);
}

void by_hand_server(const struct by_hand *h, uint8_t balancer, const char *server, enum server_state state)
{
	const struct config_balancer *b = config_balancer(h->config, h->r->profile->balancers[balancer]);
	for (size_t i = 0; b != NULL && i < b->sockets.n; i++)
		put_set(h->out, b, b->sockets.items[i], server, server_state_word(state));
}

static void server_back(const struct by_hand *h, const struct step *step, const struct config_balancer *b, const char *server)
{
	json_cleanup struct json_object *all = h->captures != NULL ? json_parse(h->captures, strlen(h->captures), NULL) : NULL;
	struct json_object *baseline = NULL, *words = NULL;
	if (all != NULL && json_get_object(all, "baseline", &baseline, NULL) == 0)
		(void)!json_get_array(baseline, step->name, &words, NULL);
	if (words == NULL) {
		(void)fprintf(h->out, "# what %s was in %s before is not in the journal: nothing was set there yet\n", server, b->name);
		return;
	}
	(void)fprintf(h->out, "# where it is still %s; what a person set since stays\n", server_state_word(step->act.want));
	for (size_t i = 0; i < b->sockets.n; i++) {
		struct json_object *word = json_object_array_get_idx(words, i);
		put_look(h->out, b, b->sockets.items[i], server);
		if (word != NULL)
			put_set(h->out, b, b->sockets.items[i], server, json_object_get_string(word));
	}
}

static void by_hand_balancer(const struct by_hand *h, const struct step *step, bool undo)
{
	const struct action *action = undo ? &step->undo : &step->act;
	const char *server = h->r->rows[h->r->units[h->unit].row].name;
	const struct config_balancer *b = config_balancer(h->config, h->r->profile->balancers[action->balancer]);
	if (b == NULL) {
		(void)fprintf(h->out, "# balancer %s is not in upgd.conf any more\n", h->r->profile->balancers[action->balancer]);
	} else if (action->restore) {
		server_back(h, step, b, server);
	} else {
		if (action->want == SERVER_READY)
			(void)fprintf(h->out, "# only when %s is healthy: a server that leaves maint is sent requests at once\n", server);
		by_hand_server(h, action->balancer, server, action->want);
		for (size_t i = 0; action->idle && i < b->sockets.n; i++)
			put_look(h->out, b, b->sockets.items[i], server);
		if (action->idle)
			(void)fprintf(h->out, "# wait until none of them has a request in flight, at most %" PRIu64 " s\n", action->idle_ms / 1000);
		if (action->idle && action->then == UNTIL_SHED)
			(void)fprintf(h->out, "# then end the rest, %u a second: \"show sess\" names those with srv=%s, \"shutdown session ID\" ends one\n", action->rate, server);
		else if (action->idle && action->then == UNTIL_SHUTDOWN)
			(void)fprintf(h->out, "# then end the rest: \"shutdown sessions server %s/%s\" on each socket\n", b->backend, server);
	}
}

/* ---- a step ---- */

/* As the rules choose: self, this host, or a node of the fleet; the one that took it last time comes first. */
static int32_t lane_of(const struct by_hand *h, enum lane_kind kind)
{
	switch (kind) {
	case LANE_ON_SELF:
		return (int32_t)h->r->units[h->unit].row;
	case LANE_ON_OLD:
		return facts_place(h->r, CLASS_OLD, 0);
	case LANE_ON_NEW:
		return facts_place(h->r, CLASS_NEW, 0);
	case LANE_ON_LOCAL:
		return LANE_LOCAL;
	case LANE_ON_NONE:
		break;
	}
	return LANE_NONE;
}

static void say_place(const struct by_hand *h, enum lane_kind kind, int32_t lane)
{
	if (kind != LANE_ON_OLD && kind != LANE_ON_NEW)
		return;
	const char *class = h->r->profile->classes[kind == LANE_ON_OLD ? CLASS_OLD : CLASS_NEW];
	if (lane >= 0)
		(void)fprintf(h->out, "# on one node of the %s fleet, %s here; any other that is up will do\n", class, h->r->rows[lane].name);
	else
		(void)fprintf(h->out, "# on one node of the %s fleet: by the journal there is none\n", class);
}

/* What counts as its success, where that is not that it ends with 0. */
static void say_success(const struct by_hand *h, const struct action *action)
{
	if (action->n_exits > 0) {
		(void)fputs("# it may end with 0", h->out);
		for (size_t i = 0; i < action->n_exits; i++)
			if (action->exits[i] != 0)
				(void)fprintf(h->out, " or %u", action->exits[i]);
		(void)fputc('\n', h->out);
	}
	const char *texts[] = { action->match, action->not_match };
	for (size_t i = 0; i < 2; i++) {
		if (texts[i] == NULL)
			continue;
		(void)fprintf(h->out, "# what it prints must %smatch ", i == 0 ? "" : "not ");
		by_hand_plain(h->out, texts[i]);
		(void)fputc('\n', h->out);
	}
}

void by_hand_action(const struct by_hand *h, const struct step *step, bool undo)
{
	const struct action *action = undo ? &step->undo : &step->act;
	if (action->kind == ACTION_RUN)
		say_success(h, action);
	if (action->kind == ACTION_SERVER) {
		by_hand_balancer(h, step, undo);
	} else if (action->kind == ACTION_APPROVE) {
		(void)fprintf(h->out, "# a person's word: %s\n", action->to != NULL ? action->to : step->name);
	} else if (action->kind == ACTION_WAIT) {
		(void)fprintf(h->out, "# wait %" PRIu64 " s\n", action->wait_ms / 1000);
	}
	for (size_t i = 0; i < step->n_on && (action->kind == ACTION_RUN || action->kind == ACTION_EDIT); i++) {
		int32_t lane = lane_of(h, step->on[i]);
		say_place(h, step->on[i], lane);
		if (lane == LANE_NONE)
			continue;
		if (action->kind == ACTION_RUN)
			put_run(h, lane, &(struct run){ .argv = action->argv, .env = action->env, .cwd = action->cwd, .says_exit = action->n_exits > 0 });
		else
			by_hand_edit(h, lane, step, undo);
	}
}

/* ---- probes ---- */

static void put_literal(FILE *out, const char *value)
{
	(void)fputc('\'', out);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			(void)fputc(*value, out);
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
	put_word(h->out, file, "");
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
		cannot(h, name, &fail);
	} else if (of_replicas) {
		put_replicas(h, target + 9, probe, query);
	} else if (file == NULL) {
		(void)fprintf(h->out, "# %s is no database of upgd.conf any more\n", target);
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
		cannot(h, probe->name, &fail);
		return;
	}
	if (probe->json != NULL) {
		(void)fputs("until curl -fsS ", h->out);
		put_word(h->out, url, "");
		(void)fprintf(h->out, "; do sleep %d; done; echo\n", POLL_S);
	} else {
		(void)fputs("curl -sS -o /dev/null -w '%{http_code}\\n' ", h->out);
		put_word(h->out, url, "");
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
			return lane_of(h, words[i].kind);
	return LANE_NONE;
}

static void put_read(const struct by_hand *h, const struct probe *probe, int32_t lane)
{
	struct fail fail = { 0 };
	struct bind bind = bind_of(h, lane);
	char *file = bind_text(&bind, probe->target, &fail);
	if (file == NULL)
		cannot(h, probe->name, &fail);
	else
		put_run(h, lane, &(struct run){ .argv = (char *const[]){ (char *)(uintptr_t)"cat", file, NULL } });
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
	(void)fprintf(h->out, "# %s: ", probe->doc != NULL ? probe->doc : probe->name);
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
}

void by_hand_probe(const struct by_hand *h, uint16_t index)
{
	const struct probe *probe = &h->r->profile->probes[index];
	int32_t lane = probe->on != NULL ? probe_lane(h, probe) : LANE_NONE;
	struct bind bind = bind_of(h, lane);
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
			put_run(h, lane, &(struct run){ .argv = probe->args, .env = probe->env, .cwd = probe->cwd, .says_exit = probe->expect == EXPECT_EXIT });
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
	struct bind bind = bind_of(h, LANE_NONE);
	bool of_tenants = counter->kind == COUNTER_TENANTS || counter->kind == COUNTER_ROWS;
	if (!of_tenants || p->set_tenants < 0)
		return;
	const struct set *set = &p->sets[p->set_tenants];
	const struct probe question = { .target = set->database, .query = set->query };
	put_sql(h, set->name, &question, &bind);
}

void by_hand_wait(const struct by_hand *h, int32_t lane, const char *id)
{
	struct place place = place_of(h, lane);
	(void)fputs("until s=$(", h->out);
	put_before(h->out, &place);
	put_word(h->out, place.upgd_run, "");
	(void)fputs(" status", h->out);
	if (place.state != NULL) {
		(void)fputs(" --state ", h->out);
		put_word(h->out, place.state, "");
	}
	(void)fprintf(h->out, ") && ! echo \"$s\" | grep -F '%s' | grep '^running'; do sleep %d; done\n", id, POLL_S);
	place_done(&place);
}
