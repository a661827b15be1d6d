/* SPDX-License-Identifier: MIT */
#include "daemon/io/http.h"
#include "daemon/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, SILENT_MAX = 64 };

/* A server in a thread: one connection after the other, and those that get no answer are kept until the end. */
struct server {
	int fd, stop[2];
	unsigned port;
	pthread_t thread;
	int silent[SILENT_MAX];
	size_t n_silent;
};

static void say(int fd, const char *text)
{
	size_t n = strlen(text);
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		n -= (size_t)sent;
	}
}

static void say_much(int fd)
{
	static char block[65536];
	memset(block, 'x', sizeof(block) - 1);
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
	for (int i = 0; i < 122; i++)
		say(fd, block);
}

static bool is_path(const char *head, const char *path)
{
	size_t n = strlen(path);
	return strncmp(head, "GET ", 4) == 0 && strncmp(head + 4, path, n) == 0 && head[4 + n] == ' ';
}

/* False: leave it open. */
static bool answer(int fd)
{
	char head[4096] = "", text[5000];
	size_t n = 0;
	while (strstr(head, "\r\n\r\n") == NULL && n < sizeof(head) - 1) {
		ssize_t got = recv(fd, head + n, sizeof(head) - 1 - n, 0);
		if (got <= 0)
			return true;
		n += (size_t)got;
		head[n] = '\0';
	}
	if (is_path(head, "/silent"))
		return false;
	if (is_path(head, "/half"))
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
	else if (is_path(head, "/garbage"))
		say(fd, "\x16\x03 no http at all\r\n\r\n");
	else if (is_path(head, "/redirect"))
		say(fd, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	else if (is_path(head, "/503"))
		say(fd, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown");
	else if (is_path(head, "/much"))
		say_much(fd);
	else if (!is_path(head, "/nothing")) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(head), head);
		say(fd, text);
	}
	return true;
}

static void *serve(void *arg)
{
	struct server *server = arg;
	struct pollfd polls[] = { { .fd = server->fd, .events = POLLIN }, { .fd = server->stop[0], .events = POLLIN } };
	while (poll(polls, 2, -1) >= 0 && polls[1].revents == 0) {
		int fd = accept(server->fd, NULL, NULL);
		if (fd < 0)
			continue;
		if (answer(fd) || server->n_silent == SILENT_MAX)
			close(fd);
		else
			server->silent[server->n_silent++] = fd;
	}
	return NULL;
}

struct asked {
	struct world *world;
	struct http_request *request, *victim;
	int calls, status;
	size_t len;
	char body[4096];
	char error[512];
	bool free_http;
};

struct world {
	struct loop *loop;
	struct http *http;
	struct loop_timer *guard, *idle;
	struct server server;
	int waiting;
};

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("no callback within %d ms", DEADLINE_MS);
}

static void on_idle(void *arg)
{
	loop_quit(((struct world *)arg)->loop);
}

static int set_up(void **state)
{
	static struct world world;
	world = (struct world){ .loop = loop_new(NULL) };
	world.http = http_new(world.loop, NULL);
	world.guard = loop_timer_new(world.loop, on_guard, NULL);
	world.idle = loop_timer_new(world.loop, on_idle, &world);
	loop_timer_set(world.guard, DEADLINE_MS);
	struct server *server = &world.server;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(server->fd, 128), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &len), 0);
	server->port = ntohs(at.sin_port);
	assert_int_equal(pipe(server->stop), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct server *server = &world->server;
	http_free(world->http);
	loop_timer_free(world->guard);
	loop_timer_free(world->idle);
	loop_free(world->loop);
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	close(server->fd);
	for (size_t i = 0; i < server->n_silent; i++)
		close(server->silent[i]);
	return 0;
}

static void on_done(void *arg, const struct http_reply *reply)
{
	struct asked *asked = arg;
	struct world *world = asked->world;
	asked->calls++;
	asked->status = reply->status;
	asked->len = reply->body_len;
	assert_int_equal(strlen(reply->body), reply->body_len);
	(void)snprintf(asked->body, sizeof(asked->body), "%s", reply->body);
	(void)snprintf(asked->error, sizeof(asked->error), "%s", reply->error != NULL ? reply->error : "");
	assert_true((reply->status == 0) == (reply->error != NULL));
	if (asked->victim != NULL)
		http_cancel(asked->victim);
	if (asked->free_http) {
		http_free(world->http);
		world->http = NULL;
	}
	if (--world->waiting == 0)
		loop_quit(world->loop);
}

static void ask_url(struct world *world, struct asked *asked, const char *url, unsigned timeout_ms)
{
	*asked = (struct asked){ .world = world };
	world->waiting++;
	asked->request = http_get(world->http, url, timeout_ms, on_done, asked);
	assert_non_null(asked->request);
	assert_int_equal(asked->calls, 0);
}

static void ask(struct world *world, struct asked *asked, const char *path, unsigned timeout_ms)
{
	char url[128];
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", world->server.port, path);
	ask_url(world, asked, url, timeout_ms);
}

static void run(struct world *world)
{
	assert_int_equal(loop_run(world->loop), 0);
}

/* Lets everything happen that would. */
static void run_idle(struct world *world, unsigned ms)
{
	loop_timer_set(world->idle, ms);
	run(world);
}

static void test_get(void **state)
{
	struct asked asked;
	ask(*state, &asked, "/health", 0);
	run(*state);
	assert_int_equal(asked.status, 200);
	assert_non_null(strstr(asked.body, "GET /health HTTP/1.1\r\n"));
	assert_non_null(strstr(asked.body, "User-Agent: upgd/" UPGD_VERSION "\r\n"));
}

static void test_environment_proxy_is_not_used(void **state)
{
	struct asked asked;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	ask(*state, &asked, "/ok", 0);
	run(*state);
	unsetenv("http_proxy");
	assert_int_equal(asked.status, 200);
}

static void test_statuses_are_answers(void **state)
{
	struct asked asked;
	ask(*state, &asked, "/503", 0);
	run(*state);
	assert_int_equal(asked.status, 503);
	assert_string_equal(asked.body, "down");
	ask(*state, &asked, "/redirect", 0);
	run(*state);
	assert_int_equal(asked.status, 302);
	assert_string_equal(asked.body, "");
}

static void test_body_is_capped(void **state)
{
	struct asked asked;
	ask(*state, &asked, "/much", 0);
	run(*state);
	assert_int_equal(asked.status, 200);
	assert_int_equal(asked.len, HTTP_BODY_MAX);
}

static void test_no_answers_are_errors(void **state)
{
	static const struct { const char *path, *error; } rows[] = {
		{ "/silent", "127.0.0.1" }, { "/half", "bytes remaining" }, { "/garbage", "HTTP/0.9" }, { "/nothing", "Empty reply" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asked asked;
		ask(*state, &asked, rows[i].path, 1500);
		run(*state);
		assert_int_equal(asked.status, 0);
		assert_int_equal(asked.len, 0);
		if (strstr(asked.error, rows[i].error) == NULL || strstr(asked.error, rows[i].path) == NULL)
			fail_msg("%s: %s", rows[i].path, asked.error);
	}
}

static void test_bad_urls_are_errors(void **state)
{
	static const char *const urls[] = { "", "http://", "http:// a b/", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1:1/",
		"http://127.0.0.1:99999/", "gopher://127.0.0.1:70/" };
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct asked asked;
		ask_url(*state, &asked, urls[i], 2000);
		run(*state);
		assert_int_equal(asked.calls, 1);
		assert_int_equal(asked.status, 0);
		assert_true(strlen(asked.error) > 10);
	}
}

static void test_errors_keep_secrets(void **state)
{
	struct asked asked;
	ask_url(*state, &asked, "http://admin:hunter2@127.0.0.1:1/x?token=hunter2", 2000);
	run(*state);
	assert_null(strstr(asked.error, "hunter2"));
	assert_non_null(strstr(asked.error, "http://127.0.0.1:1/x"));
	ask_url(*state, &asked, "http://admin:hunter2@127.0.0.1:port/x?token=hunter2", 2000);
	run(*state);
	assert_null(strstr(asked.error, "hunter2"));
	assert_non_null(strstr(asked.error, "127.0.0.1:port/x"));
}

static void test_cancel_at_once(void **state)
{
	struct world *world = *state;
	struct asked asked;
	ask(world, &asked, "/ok", 0);
	http_cancel(asked.request);
	ask_url(world, &asked, "no url at all:", 0);
	http_cancel(asked.request);
	run_idle(world, 50);
	assert_int_equal(asked.calls, 0);
}

static void test_cancel_while_waiting(void **state)
{
	struct world *world = *state;
	struct asked asked;
	ask(world, &asked, "/silent", 0);
	run_idle(world, 50);
	http_cancel(asked.request);
	run_idle(world, 50);
	assert_int_equal(asked.calls, 0);
}

static void test_cancel_from_callbacks(void **state)
{
	struct world *world = *state;
	struct asked first, second, active;
	ask(world, &active, "/silent", 0);
	ask_url(world, &first, "", 0);
	ask_url(world, &second, "", 0);
	first.victim = second.request; /* finished, not yet told */
	run_idle(world, 50);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 0);
	ask_url(world, &first, "", 0);
	first.victim = active.request;
	run_idle(world, 50);
	assert_int_equal(active.calls, 0);
	ask(world, &first, "/ok", 0);
	first.victim = first.request; /* itself: nothing to cancel any more */
	run_idle(world, 200);
	assert_int_equal(first.calls, 1);
}

static void test_free_from_callback(void **state)
{
	struct world *world = *state;
	struct asked first, second, third;
	ask_url(world, &first, "", 0);
	ask_url(world, &second, "", 0);
	ask(world, &third, "/silent", 0);
	first.free_http = true;
	run_idle(world, 50);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls + third.calls, 0);
}

static void test_free_with_everything_under_way(void **state)
{
	struct world *world = *state;
	struct asked asked[4];
	ask(world, &asked[0], "/silent", 0);
	ask(world, &asked[1], "/much", 0);
	run_idle(world, 20);
	ask(world, &asked[2], "/ok", 0);
	ask_url(world, &asked[3], "", 0);
	http_free(world->http);
	world->http = NULL;
	run_idle(world, 50);
	assert_int_equal(asked[0].calls + asked[2].calls + asked[3].calls, 0);
}

static void test_many_at_once(void **state)
{
	static struct asked asked[50];
	struct world *world = *state;
	for (size_t i = 0; i < 50; i++)
		ask(world, &asked[i], "/ok", 15000);
	run(world);
	for (size_t i = 0; i < 50; i++) {
		assert_int_equal(asked[i].calls, 1);
		assert_int_equal(asked[i].status, 200);
	}
}

int main(void)
{
#define HTTP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_get),
		HTTP_TEST(test_environment_proxy_is_not_used),
		HTTP_TEST(test_statuses_are_answers),
		HTTP_TEST(test_body_is_capped),
		HTTP_TEST(test_no_answers_are_errors),
		HTTP_TEST(test_bad_urls_are_errors),
		HTTP_TEST(test_errors_keep_secrets),
		HTTP_TEST(test_cancel_at_once),
		HTTP_TEST(test_cancel_while_waiting),
		HTTP_TEST(test_cancel_from_callbacks),
		HTTP_TEST(test_free_from_callback),
		HTTP_TEST(test_free_with_everything_under_way),
		HTTP_TEST(test_many_at_once),
	};
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
