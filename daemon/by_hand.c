/* SPDX-License-Identifier: MIT */
/*
 * Commands for nodes go through the standard input of a shell over there: `ssh ox1 sh <<'EOF'` needs no second quoting, whatever the
 * remote command is. Each has its own standard input closed, so that it cannot eat what follows it.
 */
#include "by_hand.h"

#include "bind.h"
#include "by_hand_parts.h"
#include "config.h"
#include "core/facts.h"
#include "memory.h"
#include "proto/json.h"

#include <inttypes.h>
#include <string.h>

enum { POLL_S = 2 };

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
		(void)fputs(*word == '\n' ? "\n\"\"" : (const char[]){ *word, '\0' }, out);
		word++;
	}
	(void)fputc('"', out);
}

/* One word of a shell command. */
void by_hand_word(FILE *out, const char *word, const char *secrets)
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
	for (; *word != '\0'; word++) /* no line of it may be the word that ends a here-document */
		(void)fputs(*word == '\'' ? "'\\''" : *word == '\n' ? "\n''" : (const char[]){ *word, '\0' }, out);
	(void)fputc('\'', out);
}

static void put_assignment(FILE *out, const char *assignment, const char *secrets)
{
	const char *equals = strchr(assignment, '=');
	if (equals == NULL)
		return;
	(void)fprintf(out, "%.*s=", (int)(equals - assignment), assignment);
	by_hand_word(out, equals + 1, secrets);
	(void)fputc(' ', out);
}

void by_hand_cannot(const struct by_hand *h, const char *what, const struct fail *fail)
{
	(void)fprintf(h->out, "# %s cannot be said as a command: ", what);
	by_hand_plain(h->out, fail->text);
	(void)fputc('\n', h->out);
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
		by_hand_word(out, place->argv[i], place->secrets);
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

struct bind by_hand_bind(const struct by_hand *h, int32_t lane)
{
	return (struct bind){ .profile = h->r->profile, .r = h->r, .row = &h->r->rows[h->r->units[h->unit].row], .cluster = h->config->cluster,
		.captures = h->captures, .rollout = h->r->id, .lane = lane };
}

/* ---- commands on nodes ---- */

void by_hand_run(const struct by_hand *h, int32_t lane, const struct by_hand_run *run)
{
	struct fail fail;
	struct bind bind = by_hand_bind(h, lane);
	char **words = bind_list(&bind, run->argv, &fail);
	char **variables = words != NULL ? bind_list(&bind, run->env, &fail) : NULL;
	char *cwd = variables != NULL && run->cwd != NULL ? bind_text(&bind, run->cwd, &fail) : NULL;
	if (variables == NULL || (cwd == NULL && run->cwd != NULL)) {
		by_hand_cannot(h, run->argv[0], &fail);
		bind_list_free(words);
		bind_list_free(variables);
		return;
	}
	struct place place = place_of(h, lane);
	script_begin(h->out, &place);
	if (cwd != NULL) {
		(void)fputs("cd ", h->out);
		by_hand_word(h->out, cwd, place.secrets);
		(void)fputs(" && ", h->out);
	}
	for (size_t i = 0; variables[i] != NULL; i++)
		put_assignment(h->out, variables[i], place.secrets);
	for (size_t i = 0; words[i] != NULL; i++) {
		by_hand_word(h->out, words[i], place.secrets);
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
	by_hand_word(out, file, "");
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
		by_hand_word(out, line, "");
		(void)fputs(" >>\"$f\"\n", out);
	}
	script_end(out, &place);
	place_done(&place);
}

static void by_hand_edit(const struct by_hand *h, int32_t lane, const struct step *step, bool undo)
{
	struct fail fail = { 0 };
	struct bind bind = by_hand_bind(h, lane);
	const struct action *action = undo ? &step->undo : &step->act;
	char *file = bind_text(&bind, action->file, &fail);
	char *prefix = file != NULL ? bind_text(&bind, action->line, &fail) : NULL;
	char *to = prefix != NULL && !action->restore ? bind_text(&bind, action->to, &fail) : NULL, *line = NULL;
	json_cleanup struct json_object *all = h->captures != NULL ? json_parse(h->captures, strlen(h->captures), NULL) : NULL;
	struct json_object *baseline = NULL;
	const char *old = NULL;
	if (prefix == NULL || (to == NULL && !action->restore)) {
		by_hand_cannot(h, "the edit", &fail);
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
	by_hand_word(out, address, "");
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
int32_t by_hand_lane(const struct by_hand *h, enum lane_kind kind)
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

static void say_question(const struct by_hand *h, const struct step *step, const struct action *action)
{
	struct fail fail;
	struct bind bind = by_hand_bind(h, LANE_NONE);
	char *question = action->to != NULL ? bind_text(&bind, action->to, &fail) : NULL;
	(void)fputs("# a person's word: ", h->out);
	by_hand_plain(h->out, question != NULL ? question : step->name);
	(void)fputc('\n', h->out);
	free(question);
}

void by_hand_action(const struct by_hand *h, const struct step *step, bool undo)
{
	const struct action *action = undo ? &step->undo : &step->act;
	if (action->kind == ACTION_RUN)
		say_success(h, action);
	if (action->kind == ACTION_SERVER) {
		by_hand_balancer(h, step, undo);
	} else if (action->kind == ACTION_APPROVE) {
		say_question(h, step, action);
	} else if (action->kind == ACTION_WAIT) {
		(void)fprintf(h->out, "# wait %" PRIu64 " s\n", action->wait_ms / 1000);
	}
	for (size_t i = 0; i < step->n_on && (action->kind == ACTION_RUN || action->kind == ACTION_EDIT); i++) {
		int32_t lane = by_hand_lane(h, step->on[i]);
		say_place(h, step->on[i], lane);
		if (lane == LANE_NONE)
			continue;
		if (action->kind == ACTION_RUN)
			by_hand_run(h, lane, &(struct by_hand_run){ .argv = action->argv, .env = action->env, .cwd = action->cwd, .says_exit = action->n_exits > 0 });
		else
			by_hand_edit(h, lane, step, undo);
	}
}

void by_hand_wait(const struct by_hand *h, int32_t lane, const char *id)
{
	struct place place = place_of(h, lane);
	(void)fputs("until s=$(", h->out);
	put_before(h->out, &place);
	by_hand_word(h->out, place.upgd_run, "");
	(void)fputs(" status", h->out);
	if (place.state != NULL) {
		(void)fputs(" --state ", h->out);
		by_hand_word(h->out, place.state, "");
	}
	(void)fprintf(h->out, ") && ! echo \"$s\" | grep -F '%s' | grep '^running'; do sleep %d; done\n", id, POLL_S);
	place_done(&place);
}
