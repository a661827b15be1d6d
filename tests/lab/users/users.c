/* SPDX-License-Identifier: MIT */
/*
 * The users of the lab, and its judge: every user logs in through the main balancer, keeps its cookies and connections, asks for
 * its mail every 50 to 200 ms, follows LGN-0016 to the secondary's URL, logs in again when its session is gone,
 * and NEVER asks again for what failed. One process, curl's multi interface, no threads.
 *
 * curl itself would hide a failure: on a kept connection that dies before the first byte of an answer it silently sends the
 * request once more. The prerequest callback is called before each sending; the second call for one request
 * ends it, and it counts as failed, as it would for a form that a browser must not post twice.
 */
#include "judge.h"
#include "tally.h"

#include <curl/curl.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MAX = 16384, MAIN_MAX = 8, WRITE_MS = 500, HOPS_MAX = 3, OFF_PACE_MS = 2000, FINISH_MS = 5000 };

struct user {
	struct tally_user tally;
	char *login, *password; /* owned */
	CURL *easy;             /* owned */
	char base[256];         /* scheme, host and port of the balancer it talks to */
	char session[512];      /* "": none */
	char seen[64];          /* newest version that served it */
	char body[BODY_MAX + 1];
	size_t len;
	char error[CURL_ERROR_SIZE];
	int64_t due_ms, begin_ms; /* monotonic */
	unsigned hops;            /* redirects in a row */
	unsigned sendings;        /* of the request in flight */
	bool busy, login_asked;
};

static struct {
	const char *users, *json, *log, *secondary;
	const char *mains[MAIN_MAX];
	unsigned n_mains, next_main;
	long min_ms, max_ms, timeout_ms;
} arg_ = {.min_ms = 50, .max_ms = 200, .timeout_ms = 5000};

static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
	stopping = sig;
}

static int64_t clock_ms(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static long pace_ms(const struct user *user)
{
	if (user->tally.off)
		return OFF_PACE_MS;
	return arg_.min_ms + random() % (arg_.max_ms - arg_.min_ms + 1);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct user *user = arg;
	if (n > BODY_MAX - user->len)
		return 0; /* curl calls it a write error, the judge a failure */
	memcpy(user->body + user->len, data, n);
	user->len += n;
	return size * n;
}

static int on_sending(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct user *user = arg;
	return ++user->sendings > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Another base is another site: what the first one's cookies say means nothing there. */
static void user_goto(struct user *user, const char *base)
{
	size_t len = strlen(base);
	while (len > 0 && base[len - 1] == '/')
		len--;
	snprintf(user->base, sizeof(user->base), "%.*s", (int)len, base);
	curl_easy_setopt(user->easy, CURLOPT_COOKIELIST, "ALL");
}

static void user_init(struct user *user)
{
	user->easy = curl_easy_init();
	if (user->easy == NULL)
		abort();
	curl_easy_setopt(user->easy, CURLOPT_PRIVATE, user);
	curl_easy_setopt(user->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(user->easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(user->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(user->easy, CURLOPT_COOKIEFILE, "");
	curl_easy_setopt(user->easy, CURLOPT_TIMEOUT_MS, arg_.timeout_ms);
	curl_easy_setopt(user->easy, CURLOPT_ERRORBUFFER, user->error);
	curl_easy_setopt(user->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(user->easy, CURLOPT_WRITEDATA, user);
	curl_easy_setopt(user->easy, CURLOPT_PREREQFUNCTION, on_sending);
	curl_easy_setopt(user->easy, CURLOPT_PREREQDATA, user);
	user_goto(user, arg_.mains[arg_.next_main++ % arg_.n_mains]);
	user->due_ms = clock_ms(CLOCK_MONOTONIC) + random() % arg_.max_ms;
}

static void user_free(struct user *user)
{
	curl_easy_cleanup(user->easy);
	free(user->login);
	free(user->password);
}

static void user_ask(struct user *user, CURLM *multi)
{
	char url[2048];
	user->login_asked = user->session[0] == '\0';
	if (user->login_asked) {
		char *name = curl_easy_escape(user->easy, user->login, 0);
		char *password = curl_easy_escape(user->easy, user->password, 0);
		char form[512];
		snprintf(form, sizeof(form), "name=%s&password=%s", name, password);
		snprintf(url, sizeof(url), "%s/ajax/login?action=login", user->base);
		curl_easy_setopt(user->easy, CURLOPT_COPYPOSTFIELDS, form);
		curl_free(name);
		curl_free(password);
	} else {
		char *session = curl_easy_escape(user->easy, user->session, 0);
		snprintf(url, sizeof(url), "%s/ajax/mail?action=all&session=%s", user->base, session);
		curl_easy_setopt(user->easy, CURLOPT_HTTPGET, 1L);
		curl_free(session);
	}
	curl_easy_setopt(user->easy, CURLOPT_URL, url);
	user->len = 0;
	user->error[0] = '\0';
	user->sendings = 0;
	user->busy = true;
	user->begin_ms = clock_ms(CLOCK_MONOTONIC);
	curl_multi_add_handle(multi, user->easy);
}

/* NULL if the answer has no such header. */
static const char *header(CURL *easy, const char *name)
{
	struct curl_header *found = NULL;
	return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : NULL;
}

static void user_follow(struct user *user, struct judgement *judgement)
{
	size_t len = arg_.secondary == NULL ? 0 : strlen(arg_.secondary);
	if (strncmp(judgement->value, arg_.secondary == NULL ? "http://" : arg_.secondary, len == 0 ? 7 : len) != 0) {
		judgement->verdict = VERDICT_FAILED;
		snprintf(judgement->text, sizeof(judgement->text), "redirected to a URL nobody set: %.150s", judgement->value);
		return;
	}
	if (++user->hops > HOPS_MAX) {
		judgement->verdict = VERDICT_FAILED;
		snprintf(judgement->text, sizeof(judgement->text), "redirected %u times in a row, now to %.150s", user->hops,
			judgement->value);
		return;
	}
	user_goto(user, judgement->value);
}

/* What the user does next; may turn a redirect that leads nowhere into a failure. */
static void user_react(struct user *user, struct judgement *judgement, const char *version)
{
	long wait_ms = pace_ms(user);
	switch (judgement->verdict) {
	case VERDICT_OK:
		user->hops = 0;
		if (user->login_asked)
			snprintf(user->session, sizeof(user->session), "%s", judgement->value);
		if (version != NULL)
			snprintf(user->seen, sizeof(user->seen), "%s", version);
		break;
	case VERDICT_REDIRECTED:
		user_follow(user, judgement);
		wait_ms = judgement->verdict == VERDICT_REDIRECTED ? 0 : wait_ms;
		break;
	case VERDICT_RELOGIN:
		user->session[0] = '\0';
		wait_ms = 0;
		break;
	case VERDICT_DENIED:
		user->session[0] = '\0';
		wait_ms *= 2;
		break;
	case VERDICT_FAILED:
		break;
	}
	user->due_ms = clock_ms(CLOCK_MONOTONIC) + wait_ms;
}

static void user_answered(struct user *user, CURLcode result, struct tally *tally)
{
	struct answer answer = {.login = user->login_asked, .seen = user->seen, .body = user->body, .len = user->len};
	struct judgement judgement;
	char target[300];
	if (user->sendings > 1)
		answer.transport = "connection closed before the answer began";
	else if (result != CURLE_OK)
		answer.transport = user->error[0] != '\0' ? user->error : curl_easy_strerror(result);
	curl_easy_getinfo(user->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	answer.mismatch = header(user->easy, "X-Lab-Mismatch");
	answer.version = header(user->easy, "X-Lab-Version");
	judge(&answer, &judgement);
	snprintf(target, sizeof(target), "%s%s", user->base, user->login_asked ? "/ajax/login" : "/ajax/mail");
	user_react(user, &judgement, answer.version);
	tally_count(tally, &user->tally, &judgement, header(user->easy, "X-Lab-Node"), target, clock_ms(CLOCK_REALTIME),
		(unsigned)(clock_ms(CLOCK_MONOTONIC) - user->begin_ms));
	user->busy = false;
}

static int users_load(const char *path, struct tally *tally, struct user **out, unsigned *out_n)
{
	FILE *file = fopen(path, "re");
	char line[512], login[128], password[128], cid[32], schema[64], class[16];
	unsigned n = 0;
	struct user *users = NULL;
	if (file == NULL) {
		fprintf(stderr, "lab-users: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		int fields = sscanf(line, "%127[^\t]\t%127[^\t]\t%31[^\t]\t%63[^\t]\t%15[^\t\n]", login, password, cid, schema, class);
		if (fields != 5 || (strcmp(class, "user") != 0 && strcmp(class, "off") != 0)) {
			fprintf(stderr, "lab-users: %s:%u: want login, password, cid, schema and user or off, with tabs between\n", path, n + 1);
			fclose(file);
			return -1;
		}
		users = reallocarray(users, n + 1, sizeof(*users));
		if (users == NULL)
			abort();
		users[n] = (struct user){.login = strdup(login), .password = strdup(password)};
		users[n].tally = (struct tally_user){.login = users[n].login, .schema = tally_schema(tally, schema), .off = strcmp(class, "off") == 0};
		n++;
	}
	fclose(file);
	*out = users;
	*out_n = n;
	return 0;
}

/* Milliseconds until the next user is due, at most 50. */
static int ask_due(struct user *users, unsigned n, CURLM *multi)
{
	int64_t now = clock_ms(CLOCK_MONOTONIC), next = now + 50;
	for (unsigned i = 0; i < n; i++) {
		if (users[i].busy)
			continue;
		if (users[i].due_ms <= now)
			user_ask(&users[i], multi);
		else if (users[i].due_ms < next)
			next = users[i].due_ms;
	}
	return (int)(next - now);
}

static void take_answers(CURLM *multi, struct tally *tally)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(multi, &left)) != NULL) {
		struct user *user = NULL;
		CURL *easy = message->easy_handle;
		CURLcode result = message->data.result;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&user);
		curl_multi_remove_handle(multi, easy);
		user_answered(user, result, tally);
	}
}

static void tell(struct tally *tally, const struct user *users, unsigned n)
{
	struct fail fail = {0};
	unsigned n_sessions = 0, n_expected = 0;
	for (unsigned i = 0; i < n; i++) {
		n_sessions += !users[i].tally.off && users[i].session[0] != '\0';
		n_expected += !users[i].tally.off;
	}
	tally_sessions(tally, n_sessions, n_expected);
	if (tally_write(tally, arg_.json, clock_ms(CLOCK_REALTIME), &fail) < 0)
		fprintf(stderr, "lab-users: %s\n", fail.text);
}

static void run(struct user *users, unsigned n, struct tally *tally)
{
	CURLM *multi = curl_multi_init();
	int64_t tell_ms = 0, finish_ms = 0;
	int n_running = 0;
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)n * 2);
	for (unsigned i = 0; i < n; i++)
		user_init(&users[i]);
	do {
		int wait_ms = stopping ? 50 : ask_due(users, n, multi);
		int64_t now = clock_ms(CLOCK_MONOTONIC);
		if (stopping && finish_ms == 0)
			finish_ms = now + FINISH_MS;
		if (now >= tell_ms) {
			tell(tally, users, n);
			tell_ms = now + WRITE_MS;
		}
		curl_multi_perform(multi, &n_running);
		take_answers(multi, tally);
		if (!stopping || n_running > 0)
			curl_multi_poll(multi, NULL, 0, wait_ms, NULL);
	} while (!stopping || (n_running > 0 && clock_ms(CLOCK_MONOTONIC) < finish_ms));
	tell(tally, users, n);
	for (unsigned i = 0; i < n; i++) {
		if (users[i].busy)
			curl_multi_remove_handle(multi, users[i].easy);
		user_free(&users[i]);
	}
	curl_multi_cleanup(multi);
}

static bool parse_args(int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"users", required_argument, NULL, 'u'}, {"main", required_argument, NULL, 'm'},
		{"secondary", required_argument, NULL, 's'}, {"json", required_argument, NULL, 'j'}, {"log", required_argument, NULL, 'l'},
		{"min-ms", required_argument, NULL, 'a'}, {"max-ms", required_argument, NULL, 'z'}, {"timeout-ms", required_argument, NULL, 't'}, {0}};
	for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		switch (c) {
		case 'u': arg_.users = optarg; break;
		case 's': arg_.secondary = optarg; break;
		case 'j': arg_.json = optarg; break;
		case 'l': arg_.log = optarg; break;
		case 'a': arg_.min_ms = atol(optarg); break;
		case 'z': arg_.max_ms = atol(optarg); break;
		case 't': arg_.timeout_ms = atol(optarg); break;
		case 'm':
			if (arg_.n_mains == MAIN_MAX)
				return false;
			arg_.mains[arg_.n_mains++] = optarg;
			break;
		default: return false;
		}
	}
	return optind == argc && arg_.users != NULL && arg_.json != NULL && arg_.log != NULL && arg_.n_mains > 0 &&
		arg_.min_ms > 0 && arg_.max_ms >= arg_.min_ms && arg_.timeout_ms > 0;
}

int main(int argc, char **argv)
{
	struct fail fail = {0};
	struct user *users = NULL;
	unsigned n = 0;
	if (!parse_args(argc, argv)) {
		fprintf(stderr, "usage: lab-users --users FILE --json FILE --log FILE --main URL [--main URL]... [--secondary URL]\n"
				"                 [--min-ms N] [--max-ms N] [--timeout-ms N]\n");
		return 2;
	}
	struct tally *tally = tally_open(arg_.log, &fail);
	if (tally == NULL) {
		fprintf(stderr, "lab-users: %s\n", fail.text);
		return 1;
	}
	if (users_load(arg_.users, tally, &users, &n) < 0) {
		tally_close(tally);
		return 1;
	}
	const struct sigaction term = {.sa_handler = on_term};
	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &term, NULL);
	signal(SIGPIPE, SIG_IGN);
	srandom((unsigned)getpid());
	curl_global_init(CURL_GLOBAL_DEFAULT);
	run(users, n, tally);
	curl_global_cleanup();
	free(users);
	tally_close(tally);
	return 0;
}
