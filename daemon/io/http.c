/* SPDX-License-Identifier: MIT */
/*
 * libcurl lives here and nowhere else. It asks for descriptors and one timer by callbacks; those only touch the loop. The loop
 * tells it what happened by curl_multi_socket_action(); only after that, outside of any of libcurl's callbacks, finished
 * transfers are taken off the handle and put in a list, and a timer of 0 ms hands them to their owners. So an owner may
 * start, cancel and free anything from its callback.
 *
 * Each request has a connection of its own: a kept one may lead to a process that no longer listens, and an answer from it
 * would say nothing about the one that does.
 */
#include "http.h"

#include "loop.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { DEFAULT_TIMEOUT_MS = 10000, CONNECT_MS = 5000 };

/* A descriptor that libcurl wants watched. */
struct fd_watch {
	LIST_ENTRY(fd_watch) link;
	struct http *http;
	struct loop_fd *fd;
};

struct http_request {
	TAILQ_ENTRY(http_request) link;
	struct http *http;
	CURL *easy; /* NULL once the transfer is over */
	char error[CURL_ERROR_SIZE];
	char where[192]; /* for messages: the URL without user, password and query */
	char *body;      /* owned */
	size_t len, max;
	bool full; /* the body was longer than HTTP_BODY_MAX */
	int status;
	char text[sizeof(((struct fail *)NULL)->text)];
	http_done_fn *fn;
	void *arg;
};

TAILQ_HEAD(request_list, http_request);

struct http {
	struct loop *loop; /* borrowed */
	CURLM *multi;
	struct loop_timer *timer;   /* libcurl's */
	struct loop_timer *deliver;
	struct request_list active; /* owned; in multi */
	struct request_list done;   /* owned; to be delivered, in order */
	struct http_request *delivering;
	bool dead; /* freed from inside a callback */
	LIST_HEAD(, fd_watch) watches;
};

static void request_free(struct http_request *request)
{
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	free(request->body);
	free(request);
}

static void request_done(struct http_request *request)
{
	TAILQ_INSERT_TAIL(&request->http->done, request, link);
	loop_timer_set(request->http->deliver, 0);
}

static void on_deliver(void *arg)
{
	struct http *http = arg;
	struct http_request *request = TAILQ_FIRST(&http->done);
	if (request == NULL)
		return;
	TAILQ_REMOVE(&http->done, request, link);
	if (!TAILQ_EMPTY(&http->done))
		loop_timer_set(http->deliver, 0);
	struct http_reply reply = {
		.status = request->status,
		.body = request->body != NULL ? request->body : "",
		.body_len = request->len,
		.error = request->status == 0 ? request->text : NULL,
	};
	http->delivering = request;
	request->fn(request->arg, &reply);
	http->delivering = NULL;
	request_free(request);
	if (http->dead)
		free(http);
}

static void take_result(struct http_request *request, CURLcode code)
{
	long status = 0;
	(void)curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && request->full))
		request->status = (int)status;
	if (request->status != 0)
		return;
	request->len = 0;
	if (request->body != NULL)
		request->body[0] = '\0';
	(void)snprintf(request->text, sizeof(request->text), "GET %s: %s", request->where,
		request->error[0] != '\0' ? request->error : curl_easy_strerror(code));
}

static void take_finished(struct http *http)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result; /* message is gone after remove_handle */
		struct http_request *request = NULL;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
		take_result(request, code);
		(void)curl_multi_remove_handle(http->multi, easy);
		curl_easy_cleanup(easy);
		request->easy = NULL;
		TAILQ_REMOVE(&http->active, request, link);
		request_done(request);
	}
}

static void on_ready(void *arg, int fd, unsigned mask)
{
	struct fd_watch *watch = arg;
	struct http *http = watch->http; /* libcurl may drop this watch in the call below */
	int running, events = ((mask & LOOP_READ) ? CURL_CSELECT_IN : 0) | ((mask & LOOP_WRITE) ? CURL_CSELECT_OUT : 0);
	(void)curl_multi_socket_action(http->multi, fd, events, &running);
	take_finished(http);
}

static void on_timer(void *arg)
{
	struct http *http = arg;
	int running;
	(void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(http);
}

static void fd_watch_free(struct fd_watch *watch)
{
	loop_fd_free(watch->fd);
	LIST_REMOVE(watch, link);
	free(watch);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	(void)easy;
	struct http *http = arg;
	struct fd_watch *watch = assigned;
	if (what == CURL_POLL_REMOVE) {
		if (watch != NULL)
			fd_watch_free(watch);
		(void)curl_multi_assign(http->multi, fd, NULL);
		return 0;
	}
	unsigned mask = ((what & CURL_POLL_IN) ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0);
	if (watch != NULL) {
		loop_fd_set(watch->fd, mask);
		return 0;
	}
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		abort();
	watch->http = http;
	watch->fd = loop_fd_new(http->loop, fd, mask, on_ready, watch);
	LIST_INSERT_HEAD(&http->watches, watch, link);
	(void)curl_multi_assign(http->multi, fd, watch);
	return 0;
}

static int on_curl_timer(CURLM *multi, long after_ms, void *arg)
{
	(void)multi;
	struct http *http = arg;
	if (after_ms < 0)
		loop_timer_clear(http->timer);
	else
		loop_timer_set(http->timer, (uint64_t)after_ms);
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_request *request = arg;
	size_t got = size * n, room = HTTP_BODY_MAX - request->len, take = got < room ? got : room;
	if (request->len + take + 1 > request->max) {
		request->max = (request->len + take + 1) * 2;
		request->body = realloc(request->body, request->max);
		if (request->body == NULL)
			abort();
	}
	memcpy(request->body + request->len, data, take);
	request->len += take;
	request->body[request->len] = '\0';
	request->full = take < got;
	return take; /* less than offered ends the transfer */
}

struct http *http_new(struct loop *loop, struct fail *fail)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)fail_set(fail, -ENOMEM, "cannot initialise libcurl");
		return NULL;
	}
	struct http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		abort();
	http->loop = loop;
	TAILQ_INIT(&http->active);
	TAILQ_INIT(&http->done);
	LIST_INIT(&http->watches);
	http->multi = curl_multi_init();
	if (http->multi == NULL)
		abort();
	http->timer = loop_timer_new(loop, on_timer, http);
	http->deliver = loop_timer_new(loop, on_deliver, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return http;
}

static void drop_all(struct http *http, struct request_list *list)
{
	struct http_request *request;
	while ((request = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, request, link);
		if (request->easy != NULL)
			(void)curl_multi_remove_handle(http->multi, request->easy);
		request_free(request);
	}
}

/* In this order: libcurl may still call back for watches and its timer until multi_cleanup has returned. */
void http_free(struct http *http)
{
	if (http == NULL)
		return;
	drop_all(http, &http->active);
	drop_all(http, &http->done);
	(void)curl_multi_cleanup(http->multi);
	while (!LIST_EMPTY(&http->watches))
		fd_watch_free(LIST_FIRST(&http->watches));
	loop_timer_free(http->timer);
	loop_timer_free(http->deliver);
	curl_global_cleanup();
	http->dead = true;
	if (http->delivering == NULL)
		free(http);
}

/* Reads the URL once for ourselves: to refuse what is none, and to have a text for messages without its secrets. */
static CURLcode check_url(struct http_request *request, const char *url)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
	CURLU *parts = curl_url();
	CURLUcode rc = parts == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(parts, CURLUPART_URL, url, 0);
	if (rc == CURLUE_OK)
		rc = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
	if (rc == CURLUE_OK)
		rc = curl_url_get(parts, CURLUPART_HOST, &host, 0);
	if (rc == CURLUE_OK)
		rc = curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (rc == CURLUE_OK)
		rc = curl_url_get(parts, CURLUPART_PATH, &path, 0);
	if (rc == CURLUE_OK)
		(void)snprintf(request->where, sizeof(request->where), "%s://%s:%s%s", scheme, host, port, path);
	else
		(void)snprintf(request->error, sizeof(request->error), "this is no URL: %s", curl_url_strerror(rc));
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_url_cleanup(parts);
	return rc == CURLUE_OK ? CURLE_OK : CURLE_URL_MALFORMAT;
}

static CURLcode set_options(struct http_request *request, const char *url, long timeout_ms)
{
	CURL *easy = request->easy;
	const struct { CURLoption option; long value; } numbers[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_TIMEOUT_MS, timeout_ms },
		{ CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_FRESH_CONNECT, 1 },
		{ CURLOPT_FORBID_REUSE, 1 },
#if LIBCURL_VERSION_NUM >= 0x075700
		{ CURLOPT_QUICK_EXIT, 1 }, /* or a timeout waits for the resolver's thread, and the loop with it */
#endif
	};
	const struct { CURLoption option; const void *value; } pointers[] = {
		{ CURLOPT_URL, url },
		{ CURLOPT_PROXY, "" }, /* not even from the environment */
#if LIBCURL_VERSION_NUM >= 0x075500
		{ CURLOPT_PROTOCOLS_STR, "http,https" },
#endif
		{ CURLOPT_USERAGENT, "upgd/" UPGD_VERSION },
		{ CURLOPT_ERRORBUFFER, request->error },
		{ CURLOPT_WRITEDATA, request },
		{ CURLOPT_PRIVATE, request },
	};
	CURLcode rc = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
#if LIBCURL_VERSION_NUM < 0x075500
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && rc == CURLE_OK; i++)
		rc = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]) && rc == CURLE_OK; i++)
		rc = curl_easy_setopt(easy, pointers[i].option, pointers[i].value);
	return rc;
}

struct http_request *http_get(struct http *http, const char *url, unsigned timeout_ms, http_done_fn *fn, void *arg)
{
	struct http_request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		abort();
	request->http = http;
	request->fn = fn;
	request->arg = arg;
	const char *at = strrchr(url, '@'), *shown = at != NULL ? at + 1 : url; /* before it may be a password */
	(void)snprintf(request->where, sizeof(request->where), "\"%.*s\"", (int)strcspn(shown, "?"), shown);
	request->easy = curl_easy_init();
	if (request->easy == NULL)
		abort();
	CURLcode rc = check_url(request, url);
	if (rc == CURLE_OK)
		rc = set_options(request, url, timeout_ms != 0 ? (long)timeout_ms : DEFAULT_TIMEOUT_MS);
	if (rc == CURLE_OK && curl_multi_add_handle(http->multi, request->easy) != CURLM_OK)
		rc = CURLE_FAILED_INIT;
	if (rc == CURLE_OK) {
		TAILQ_INSERT_TAIL(&http->active, request, link);
		return request;
	}
	take_result(request, rc);
	curl_easy_cleanup(request->easy);
	request->easy = NULL;
	request_done(request);
	return request;
}

void http_cancel(struct http_request *request)
{
	if (request == NULL || request == request->http->delivering)
		return;
	struct http *http = request->http;
	if (request->easy != NULL) {
		TAILQ_REMOVE(&http->active, request, link);
		(void)curl_multi_remove_handle(http->multi, request->easy);
	} else {
		TAILQ_REMOVE(&http->done, request, link);
	}
	request_free(request);
}

const char *http_library(void)
{
	return curl_version();
}
