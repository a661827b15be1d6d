/* SPDX-License-Identifier: MIT */
/*
 * Following (watch, start --wait) outlives the daemon: it may be restarted or upgraded in the middle of a rollout and the person who
 * looks should not have to care, so a lost connection is tried again for a minute. Ctrl-C ends the looking only and says so.
 */
#include "session.h"

#include "outcome.h"
#include "proto/json.h"
#include "render.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { AGAIN_MS = 500, AGAIN_MAX = 120 };

struct follow {
	bool wait;       /* start --wait: a hold is no end */
	int64_t rollout; /* the one that is waited for, 0: any */
	size_t lines;    /* on the terminal, to be drawn over */
	char last[2048]; /* what was said last, where it is no terminal */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* Names come from databases and configurations as they are: what a terminal would obey is shown as "?". */
static void text_clean(struct json_object *string)
{
	char *text = strdup(json_object_get_string(string)), *to = text;
	if (text == NULL)
		abort();
	for (const unsigned char *from = (const unsigned char *)text; *from != '\0'; from++) {
		bool c1 = from[0] == 0xc2 && from[1] >= 0x80 && from[1] < 0xa0, c0 = (*from < 0x20 && *from != '\n') || *from == 0x7f;
		*to++ = c1 || c0 ? '?' : (char)*from;
		from += c1;
	}
	*to = '\0';
	if (strcmp(text, json_object_get_string(string)) != 0 && !json_object_set_string(string, text))
		abort();
	free(text);
}

static void clean(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		text_clean(value);
	for (size_t i = 0; json_object_is_type(value, json_type_array) && i < json_object_array_length(value); i++)
		clean(json_object_array_get_idx(value, i));
	if (!json_object_is_type(value, json_type_object))
		return;
	json_object_object_foreach(value, key, member)
	{
		(void)key;
		clean(member);
	}
}

static int say(const char *what, const struct fail *fail, int code)
{
	/* Answers of upgd often begin with the verb, for the log: once is enough. */
	size_t len = strlen(what);
	const char *text = len > 0 && strncmp(fail->text, what, len) == 0 && strncmp(fail->text + len, ": ", 2) == 0 ? fail->text + len + 2 : fail->text;
	(void)fflush(stdout);
	(void)fprintf(stderr, "upgctl: %s%s%s\n", what, *what ? ": " : "", text);
	return code;
}

static int say_error(const struct session *session, const char *verb, const struct client_reply *reply)
{
	struct fail fail;
	const char *text = NULL, *parameter = NULL;
	if (!session->json)
		clean(reply->params);
	(void)!json_get_str(reply->params, "text", &text, NULL);
	(void)!json_get_str(reply->params, "parameter", &parameter, NULL);
	if (session->json)
		(void)printf("%s\n", json_text(reply->message, NULL));
	(void)fail_set(&fail, 0, "%s%s%s", text ? text : reply->error, text || !parameter ? "" : " ", text || !parameter ? "" : parameter);
	return say(verb, &fail, outcome_of_error(reply->error));
}

static void show(const struct session *session, const char *verb, struct json_object *params)
{
	if (session->json) {
		(void)printf("%s\n", json_text(params, NULL));
	} else {
		clean(params);
		render_for(&render_text, verb)(stdout, params);
	}
	(void)fflush(stdout);
}

/* ---- one reply, or pages of them ---- */

/* Until there is a connection again (0), or for a minute, or until Ctrl-C where that is caught (-EINTR). */
static int open_again(struct session *session, struct fail *fail)
{
	int r = -ECONNRESET;
	for (int i = 0; r != 0 && i < AGAIN_MAX; i++) {
		(void)poll(NULL, 0, AGAIN_MS);
		if (interrupted)
			return -EINTR;
		client_close(&session->client);
		r = client_open(&session->client, session->path, fail);
	}
	return r;
}

static int ask_once(struct session *session, struct grammar_call *call, bool more, struct client_reply *reply, struct fail *fail)
{
	int r = client_call(&session->client, call->method->name, call->params, more, fail);
	return r < 0 ? r : client_next(&session->client, reply, fail);
}

/* What changes something has a name, which upgd remembers: it may be asked again, and is carried out once. */
static int ask(struct session *session, struct grammar_call *call, bool more, struct client_reply *reply)
{
	struct fail fail;
	int r = ask_once(session, call, more, reply, &fail);
	if (r == -ECONNRESET && call->method->mutating) {
		(void)fprintf(stderr, "upgctl: %s: %s; asking again\n", call->word, fail.text);
		r = open_again(session, &fail);
		if (r == 0)
			r = ask_once(session, call, more, reply, &fail);
		if (r < 0)
			(void)fprintf(stderr, "upgctl: %s: whether it was carried out is not known: upgctl status and upgctl log say\n", call->word);
	}
	if (r < 0)
		return say(call->word, &fail, r == -EPROTO ? EXIT_ERROR : EXIT_AWAY);
	if (reply->error == NULL)
		return EXIT_OK;
	int code = say_error(session, call->word, reply);
	client_reply_done(reply);
	return code;
}

/* The last item of a page gives where the next one begins; false: there is none. */
static bool next_page(struct grammar_call *call, struct json_object *params)
{
	bool is_list = strcmp(call->word, "list") == 0, more = true;
	struct json_object *items = NULL;
	if (json_get_array(params, is_list ? "units" : "records", &items, NULL) != 0 || json_object_array_length(items) == 0)
		return false;
	struct json_object *last = json_object_array_get_idx(items, json_object_array_length(items) - 1);
	const char *name = NULL;
	int64_t seq = 0;
	if (is_list) {
		(void)!json_get_bool(params, "more", &more, NULL);
		if (!more || json_get_str(last, "name", &name, NULL) != 0)
			return false;
		json_add_str(call->params, "after", name);
		return true;
	}
	if (json_get_int(last, "seq", 0, INT64_MAX, &seq, NULL) != 0)
		return false;
	json_add_int(call->params, "since", seq);
	return true;
}

static int run_pages(struct session *session, struct grammar_call *call)
{
	struct json_object *limit;
	bool one = json_object_object_get_ex(call->params, "limit", &limit);
	for (bool more = true, first = true; more; first = false) {
		struct client_reply reply;
		int code = ask(session, call, false, &reply);
		if (code != EXIT_OK)
			return code;
		more = !one && next_page(call, reply.params);
		if (first || more || strcmp(call->word, "list") == 0)
			show(session, call->word, reply.params);
		client_reply_done(&reply);
	}
	return EXIT_OK;
}

/* ---- following ---- */

static int detached(const struct follow *follow)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "\nupgctl: detached; the rollout goes on (upgctl watch looks again, upgctl pause holds it");
	if (follow->rollout > 0)
		(void)fprintf(stderr, ", upgctl abort %lld ends it", (long long)follow->rollout);
	(void)fprintf(stderr, ")\n");
	return EXIT_DETACHED;
}

/* Draws over what was drawn before. */
static void draw(struct follow *follow, struct json_object *params)
{
	char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);
	if (memory == NULL)
		abort();
	render_text.status(memory, params);
	(void)fclose(memory);
	if (follow->lines > 0)
		(void)printf("\033[%zuA\033[J", follow->lines);
	follow->lines = 0;
	/* Cut to the terminal: a line that wraps would be drawn over by too few. */
	struct winsize window = { .ws_row = 24, .ws_col = 80 };
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
	size_t width = window.ws_col > 1 ? window.ws_col - 1u : 79, height = window.ws_row > 2 ? window.ws_row - 1u : 23;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL && follow->lines < height; line = strtok_r(NULL, "\n", &save)) {
		size_t cut = strlen(line) <= width ? strlen(line) : width;
		while (cut > 0 && ((unsigned char)line[cut] & 0xc0) == 0x80)
			cut--; /* not in the middle of a character */
		(void)printf("%.*s\n", (int)cut, line);
		follow->lines++;
	}
	free(text);
}

/* What a line is worth in a log: state, nodes and schemata done, and why it waits; not what runs at this moment nor how long. */
static void progress(const char *first, const char *waits, char *out, size_t size)
{
	size_t n = 0;
	int depth = 0;
	const char *end = strstr(first, " down ");
	if (end == NULL)
		end = strstr(first, " elapsed "); /* a system without tenants */
	for (const char *c = first; *c != '\0' && (end == NULL || c < end) && n + 1 < size; c++) {
		depth += *c == '(';
		if (depth == 0)
			out[n++] = *c;
		depth -= *c == ')';
	}
	(void)snprintf(out + n, size - n, " %s", waits);
}

static void follow_show(struct session *session, struct follow *follow, struct json_object *params)
{
	const char *first = "", *waits = "";
	if (!session->json)
		clean(params);
	(void)!json_get_str(params, "first", &first, NULL);
	(void)!json_get_str(params, "waits", &waits, NULL);
	if (session->json) {
		(void)printf("%s\n", json_text(params, NULL));
	} else if (isatty(STDOUT_FILENO)) {
		draw(follow, params);
	} else {
		char line[sizeof(follow->last)];
		if (follow->wait)
			progress(first, waits, line, sizeof(line));
		else
			(void)snprintf(line, sizeof(line), "%s", first);
		if (strcmp(line, follow->last) != 0)
			(void)printf("%s\n", first);
		(void)snprintf(follow->last, sizeof(follow->last), "%s", line);
	}
	(void)fflush(stdout);
}

static bool is_the_one(const struct follow *follow, struct json_object *params)
{
	struct json_object *rollout = NULL;
	int64_t id = 0;
	if (follow->rollout == 0)
		return true;
	return json_get_object(params, "rollout", &rollout, NULL) == 0 && json_get_int(rollout, "id", 0, INT64_MAX, &id, NULL) == 0 &&
		id >= follow->rollout;
}

/* Nothing goes on by itself: who started it as a job would wait for ever. */
static int say_rest(struct json_object *params)
{
	struct json_object *next = NULL;
	clean(params); /* with --json too: this is for a person */
	(void)!json_get_array(params, "afterwards", &next, NULL);
	(void)fflush(stdout);
	for (size_t i = 0; next != NULL && i < json_object_array_length(next); i++)
		(void)fprintf(stderr, "upgctl: %s\n", json_object_get_string(json_object_array_get_idx(next, i)));
	return EXIT_PERSON;
}

/* -1: go on. */
static int follow_reply(struct session *session, struct follow *follow, struct json_object *params)
{
	if (!is_the_one(follow, params))
		return -1;
	bool ended = outcome_has_ended(params);
	if (ended)
		follow->last[0] = '\0'; /* the end is a line of its own */
	follow_show(session, follow, params);
	int code = outcome_of_status(params);
	if (ended)
		return code;
	if (follow->wait && outcome_rests(params))
		return say_rest(params);
	struct json_object *now = NULL;
	(void)!json_get_array(params, "now", &now, NULL);
	bool stands = now == NULL || json_object_array_length(now) == 0;
	return !follow->wait && code == EXIT_PERSON && stands && !isatty(STDIN_FILENO) ? code : -1;
}

/* Until the connection ends or there is an exit code; -ECONNRESET: to be tried again. */
static int follow_once(struct session *session, struct follow *follow, struct fail *fail)
{
	json_cleanup struct json_object *none = json_object_new_object();
	if (client_call(&session->client, "Status", none, true, fail) < 0)
		return -ECONNRESET;
	for (;;) {
		struct client_reply reply;
		int r = interrupted ? -EINTR : client_next(&session->client, &reply, fail);
		if (r == -EINTR && interrupted)
			return detached(follow);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return r == -ECONNRESET ? r : say("status", fail, EXIT_ERROR);
		int code = reply.error != NULL ? say_error(session, "status", &reply) : follow_reply(session, follow, reply.params);
		bool last = !reply.continues;
		client_reply_done(&reply);
		if (code >= 0)
			return code;
		if (last)
			return fail_set(fail, -ECONNRESET, "upgd ended the stream");
	}
}

static int follow_again(struct session *session, const struct follow *follow, struct fail *fail)
{
	(void)say("", fail, 0);
	int r = open_again(session, fail);
	if (r == -EINTR)
		return detached(follow);
	return r == 0 ? -1 : say("", fail, EXIT_AWAY);
}

static int follow_status(struct session *session, struct follow *follow)
{
	struct fail fail;
	struct sigaction action = { .sa_handler = on_interrupt };
	(void)sigaction(SIGINT, &action, NULL);
	for (;;) {
		int code = follow_once(session, follow, &fail);
		if (code != -ECONNRESET)
			return code;
		code = follow_again(session, follow, &fail);
		if (code >= 0)
			return code;
		follow->lines = 0;
	}
}

static int run_start(struct session *session, struct grammar_call *call)
{
	struct client_reply reply;
	int code = ask(session, call, false, &reply);
	if (code != EXIT_OK)
		return code;
	show(session, call->word, reply.params);
	struct follow follow = { .wait = true };
	(void)!json_get_int(reply.params, "rollout", 0, INT64_MAX, &follow.rollout, NULL);
	client_reply_done(&reply);
	return call->wait ? follow_status(session, &follow) : EXIT_OK;
}

static int run_log_follow(struct session *session, struct grammar_call *call)
{
	struct fail fail;
	if (client_call(&session->client, call->method->name, call->params, true, &fail) < 0)
		return say(call->word, &fail, EXIT_ERROR);
	for (;;) {
		struct client_reply reply;
		int r = client_next(&session->client, &reply, &fail);
		if (r < 0)
			return say(call->word, &fail, r == -ECONNRESET ? EXIT_AWAY : EXIT_ERROR);
		int code = reply.error != NULL ? say_error(session, call->word, &reply) : EXIT_OK;
		if (code == EXIT_OK)
			show(session, call->word, reply.params);
		bool last = !reply.continues;
		client_reply_done(&reply);
		if (last)
			return code;
	}
}

static int run_once(struct session *session, struct grammar_call *call)
{
	struct client_reply reply;
	int code = ask(session, call, false, &reply);
	if (code != EXIT_OK)
		return code;
	show(session, call->word, reply.params);
	code = outcome_of_reply(call->word, reply.params);
	client_reply_done(&reply);
	return code;
}

int session_run(struct session *session, struct grammar_call *call)
{
	struct follow follow = { 0 };
	struct fail fail;
	int code;
	if (client_open(&session->client, session->path, &fail) < 0)
		return say("", &fail, EXIT_AWAY);
	if (strcmp(call->word, "watch") == 0)
		code = follow_status(session, &follow);
	else if (strcmp(call->word, "start") == 0)
		code = run_start(session, call);
	else if (strcmp(call->word, "log") == 0 && call->follow)
		code = run_log_follow(session, call);
	else if (strcmp(call->word, "log") == 0 || strcmp(call->word, "list") == 0)
		code = run_pages(session, call);
	else
		code = run_once(session, call);
	client_close(&session->client);
	return code;
}
