/* SPDX-License-Identifier: MIT */
/*
 * evhttp's objects belong to the loop thread. A request is copied, handled by a worker, and comes back through a queue and an
 * eventfd. Should the client go meanwhile, the close callback takes the evhttp request away and the answer is dropped; the work itself
 * goes on, as in a servlet container.
 */
#include "web.h"
#include "proto/json.h"
#include "site.h"
#include "work.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

enum { LISTENERS_MAX = 2 };

struct exchange {
	struct request request;
	struct evhttp_request *http; /* NULL: the client went away */
	void (*handle)(struct request *request);
	atomic_bool is_counted;
	bool is_handled; /* the worker is done with it */
};

struct post {
	STAILQ_ENTRY(post) next;
	void (*fn)(void *arg);
	void *arg;
};

struct later {
	bool (*fn)(void);
	struct event *event;
	struct timeval after;
};

static struct event_base *base;
static struct {
	struct evhttp *http;
	struct evhttp_bound_socket *socket;
} listeners[LISTENERS_MAX];
static int n_listeners, wake_fd;
static bool is_stopping;
static atomic_int n_busy;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(, post) posts = STAILQ_HEAD_INITIALIZER(posts);

void request_header(struct request *request, const char *name, const char *value)
{
	json_add_str(request->headers, name, value);
}

void request_json(struct request *request, int status, struct json_object *object)
{
	request->status = status;
	free(request->text);
	request->text = strdup(json_text(object, NULL));
	request_header(request, "Content-Type", "application/json");
	json_object_put(object);
}

char *form_field(const char *form, const char *name)
{
	struct evkeyvalq fields;
	if (form == NULL || evhttp_parse_query_str(form, &fields) != 0)
		return NULL;
	const char *value = evhttp_find_header(&fields, name);
	char *copy = value == NULL ? NULL : strdup(value);
	evhttp_clear_headers(&fields);
	return copy;
}

void web_post(void (*fn)(void *arg), void *arg)
{
	struct post *post = malloc(sizeof(*post));
	*post = (struct post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&posts, post, next);
	pthread_mutex_unlock(&lock);
	(void)!write(wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;
	(void)!read(fd, &n, sizeof(n));
	for (;;) {
		pthread_mutex_lock(&lock);
		struct post *post = STAILQ_FIRST(&posts);
		if (post != NULL)
			STAILQ_REMOVE_HEAD(&posts, next);
		pthread_mutex_unlock(&lock);
		if (post == NULL)
			return;
		post->fn(post->arg);
		free(post);
	}
}

static void uncount(struct exchange *exchange)
{
	if (atomic_exchange(&exchange->is_counted, false))
		atomic_fetch_sub(&n_busy, 1);
}

void web_do_not_wait(struct request *request)
{
	uncount(request->private);
}

int web_busy(void)
{
	return atomic_load(&n_busy);
}

static void free_exchange(struct exchange *exchange)
{
	struct request *request = &exchange->request;
	free(request->path);
	free(request->query);
	free(request->body);
	free(request->authorization);
	free(request->text);
	json_object_put(request->headers);
	free(exchange);
}

/* The answer is written; only now a stop may go on. */
static void on_sent(struct evhttp_request *http, void *arg)
{
	struct exchange *exchange = arg;
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
	uncount(exchange);
	free_exchange(exchange);
}

static void send_answer(struct exchange *exchange)
{
	struct request *request = &exchange->request;
	struct evkeyvalq *headers = evhttp_request_get_output_headers(exchange->http);
	evhttp_request_set_on_complete_cb(exchange->http, on_sent, exchange);
	evhttp_add_header(headers, "X-Lab-Node", site.name);
	evhttp_add_header(headers, "X-Lab-Version", site.version);
	if (is_stopping)
		evhttp_add_header(headers, "Connection", "close");
	struct json_object_iter at;
	json_object_object_foreachC(request->headers, at)
		evhttp_add_header(headers, at.key, json_object_get_string(at.val));
	struct evbuffer *body = evbuffer_new();
	if (request->text != NULL)
		evbuffer_add(body, request->text, strlen(request->text));
	evhttp_send_reply(exchange->http, request->status, NULL, body);
	evbuffer_free(body);
}

static void on_handled(void *arg)
{
	struct exchange *exchange = arg;
	exchange->is_handled = true;
	if (exchange->http != NULL && !exchange->request.is_silent) {
		send_answer(exchange);
		return;
	}
	uncount(exchange);
	if (exchange->http == NULL)
		free_exchange(exchange); /* else when the client goes */
}

static void on_client_gone(struct evhttp_connection *connection, void *arg)
{
	struct exchange *exchange = arg;
	exchange->http = NULL;
	if (!exchange->is_handled)
		return; /* the worker still has it */
	uncount(exchange);
	free_exchange(exchange);
}

static void handle(void *arg)
{
	struct exchange *exchange = arg;
	exchange->handle(&exchange->request);
	web_post(on_handled, exchange);
}

static char *copy_or_empty(const char *text)
{
	return strdup(text != NULL ? text : "");
}

static void on_request(struct evhttp_request *http, void *arg)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
	struct evbuffer *body = evhttp_request_get_input_buffer(http);
	size_t n = evbuffer_get_length(body);
	*exchange = (struct exchange){.http = http};
	memcpy(&exchange->handle, arg, sizeof(exchange->handle));
	struct request *request = &exchange->request;
	*request = (struct request){.status = 404, .headers = json_object_new_object(), .private = exchange};
	request->path = copy_or_empty(evhttp_uri_get_path(uri));
	request->query = copy_or_empty(evhttp_uri_get_query(uri));
	request->authorization = copy_or_empty(evhttp_find_header(evhttp_request_get_input_headers(http), "Authorization"));
	request->is_post = evhttp_request_get_command(http) == EVHTTP_REQ_POST;
	request->body = calloc(1, n + 1);
	evbuffer_remove(body, request->body, n);
	atomic_store(&exchange->is_counted, true);
	atomic_fetch_add(&n_busy, 1);
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_client_gone, exchange);
	work_run(handle, exchange);
}

int web_init(struct fail *fail)
{
	base = event_base_new();
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (base == NULL || wake_fd < 0)
		return fail_set(fail, -errno, "cannot start the event loop: %s", strerror(errno));
	event_add(event_new(base, wake_fd, EV_READ | EV_PERSIST, on_wake, NULL), NULL);
	return 0;
}

int web_listen(int port, void (*fn)(struct request *request), struct fail *fail)
{
	static void (*handlers[LISTENERS_MAX])(struct request *request);
	struct evhttp *http = evhttp_new(base);
	evhttp_set_max_body_size(http, 4 << 20);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PUT);
	handlers[n_listeners] = fn;
	evhttp_set_gencb(http, on_request, &handlers[n_listeners]);
	struct evhttp_bound_socket *socket = evhttp_bind_socket_with_handle(http, "127.0.0.1", (ev_uint16_t)port);
	if (socket == NULL)
		return fail_set(fail, -errno, "cannot listen on 127.0.0.1:%d: %s", port, strerror(errno));
	listeners[n_listeners].http = http;
	listeners[n_listeners++].socket = socket;
	return 0;
}

void web_stop_listening(void)
{
	is_stopping = true;
	for (int i = 0; i < n_listeners; i++)
		evhttp_del_accept_socket(listeners[i].http, listeners[i].socket);
	n_listeners = 0;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct later *later = arg;
	if (later->fn()) {
		event_add(later->event, &later->after);
		return;
	}
	event_free(later->event);
	free(later);
}

void web_after(int64_t ms, bool (*fn)(void))
{
	struct later *later = calloc(1, sizeof(*later));
	*later = (struct later){.fn = fn, .after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
	later->event = event_new(base, -1, 0, on_time, later);
	event_add(later->event, &later->after);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	void (*fn)(void);
	memcpy(&fn, arg, sizeof(fn));
	fn();
}

void web_on_signal(int number, void (*fn)(void))
{
	void (**copy)(void) = malloc(sizeof(*copy));
	*copy = fn;
	event_add(evsignal_new(base, number, on_signal, copy), NULL);
}

void web_run(void)
{
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}
