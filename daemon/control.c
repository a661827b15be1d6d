/* SPDX-License-Identifier: MIT */
/*
 * Each client has an input frame, at most one open call, and an output queue. Varlink answers in the order of the requests,
 * so the next request of a client is looked at when its last one is answered; the rest waits in the frame.
 *
 * Nothing is torn down where it is noticed: a handler may be in the middle of control_reply() when the queue overflows. The client is
 * marked doomed, and the sweep, a timer of 0 ms, removes it with clean stacks and tells the call. The same sweep takes up
 * requests that waited for an answer given outside this file.
 *
 * Failure stories: a follower that stops reading fills its own queue and is dropped with a reason; one that pipelines without
 * reading is not read from until it takes its answers; binary or endless input gets an error and is closed; no
 * descriptors left (EMFILE) pauses accept() for a second, as poll would spin; a monitor that leaks connections cannot
 * take the last places, which are for operators.
 */
#include "control.h"

#include "daemon/failpoint.h"
#include "daemon/io/loop.h"
#include "daemon/listen.h"
#include "proto/frame.h"
#include "proto/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPT_PAUSE_MS = 1000,
	OUT_HIGH = 256 << 10,  /* above it no further request of this client is begun */
	PIPELINE_MAX = 1 << 20, /* bytes of requests that wait behind an open call */
};

struct client {
	struct client *next;
	struct control *control;
	int fd;
	struct loop_fd *watch;
	struct peer peer;
	struct frame in;
	char *out; /* owned */
	size_t out_begin, out_end, out_size;
	struct control_call *call; /* the open one, or NULL */
	bool eof;                  /* nothing more will come; answers are still sent */
	bool closing;              /* close once the queue is empty */
	const char *doomed;        /* why it goes at the next sweep, "" without a line in the log */
};

struct control {
	struct loop *loop;
	struct control_options options;
	struct listener listener;
	struct loop_fd *watch;
	struct loop_timer *accept_again, *sweep;
	struct client *clients;
	size_t n_clients;
};

struct control_call {
	struct client *client; /* NULL: gone */
	const struct method *method;
	struct json_object *message, *args; /* message owned; args owned */
	uid_t uid;
	enum role role;
	char user[33], actor[96];
	bool more, oneway;
	control_gone_fn *gone;
	void *gone_arg;
};

static void control_log(struct control *control, const struct client *client, const char *text)
{
	char line[256];
	(void)snprintf(line, sizeof(line), "control: client %s: %s", client->peer.actor, text);
	if (control->options.log != NULL)
		control->options.log(control->options.arg, line);
}

/* ---- output ---- */

static void client_doom(struct client *client, const char *why)
{
	if (client->doomed == NULL)
		client->doomed = why;
	loop_timer_set(client->control->sweep, 0);
}

static size_t client_queued(const struct client *client)
{
	return client->out_end - client->out_begin;
}

static void client_watch(struct client *client)
{
	bool read = !client->eof && !client->closing && client_queued(client) < OUT_HIGH;
	loop_fd_set(client->watch, (read ? LOOP_READ : 0U) | (client_queued(client) > 0 ? LOOP_WRITE : 0U));
}

static void out_room(struct client *client, size_t n)
{
	if (client->out_begin > 0) {
		memmove(client->out, client->out + client->out_begin, client_queued(client));
		client->out_end -= client->out_begin;
		client->out_begin = 0;
	}
	size_t size = client->out_size ? client->out_size : 4096;
	while (size - client->out_end < n)
		size *= 2;
	char *out = realloc(client->out, size);
	if (out == NULL)
		abort();
	client->out = out;
	client->out_size = size;
}

static void client_send(struct client *client, struct json_object *message)
{
	size_t n;
	const char *text = json_text(message, &n);
	if (client->doomed != NULL)
		return;
	if (client_queued(client) + n + 1 > CONTROL_OUT_MAX) {
		client_doom(client, "dropped: it does not read its answers, 8 MiB are waiting");
		return;
	}
	if (client->out_size - client->out_end < n + 1)
		out_room(client, n + 1);
	memcpy(client->out + client->out_end, text, n + 1);
	client->out_end += n + 1;
	client_watch(client);
}

static void client_send_error(struct client *client, const char *name, struct json_object *params)
{
	json_cleanup struct json_object *message = json_object_new_object();
	char full[128];
	(void)snprintf(full, sizeof(full), "%s%s", strchr(name, '.') ? "" : CONTROL_INTERFACE ".", name);
	json_add_str(message, "error", full);
	json_add(message, "parameters", params != NULL ? params : json_object_new_object());
	client_send(client, message);
}

/* ---- calls ---- */

static void call_free(struct control_call *call)
{
	json_object_put(call->message);
	json_object_put(call->args);
	free(call);
}

/* The answer is given. What waits behind this call is taken up by the sweep, or by the loop in client_pump() we may be inside of. */
static void call_end(struct control_call *call)
{
	struct client *client = call->client;
	if (client != NULL) {
		client->call = NULL;
		loop_timer_set(client->control->sweep, 0);
	}
	call_free(call);
}

void control_reply(struct control_call *call, struct json_object *params, bool continues)
{
	failpoint(FAILPOINT_BEFORE_ACK, "%s", call->method != NULL ? call->method->name : "");
	continues = continues && call->more;
	json_cleanup struct json_object *message = json_object_new_object();
	json_add(message, "parameters", params != NULL ? params : json_object_new_object());
	if (continues)
		json_add_bool(message, "continues", true);
	if (call->client != NULL && !call->oneway)
		client_send(call->client, message);
	if (!continues)
		call_end(call);
}

void control_error(struct control_call *call, const char *name, struct json_object *params)
{
	if (call->client != NULL && !call->oneway)
		client_send_error(call->client, name, params);
	else
		json_object_put(params);
	call_end(call);
}

void control_error_text(struct control_call *call, const char *name, const char *text)
{
	struct json_object *params = json_object_new_object();
	json_add_str(params, "text", text);
	control_error(call, name, params);
}

const struct method *control_call_method(const struct control_call *call)
{
	return call->method;
}

struct json_object *control_call_args(const struct control_call *call)
{
	return call->args;
}

const char *control_call_actor(const struct control_call *call)
{
	return call->actor;
}

uid_t control_call_uid(const struct control_call *call)
{
	return call->uid;
}

const char *control_call_user(const struct control_call *call)
{
	return call->user;
}

enum role control_call_role(const struct control_call *call)
{
	return call->role;
}

bool control_call_wants_more(const struct control_call *call)
{
	return call->more;
}

void control_call_on_gone(struct control_call *call, control_gone_fn *fn, void *arg)
{
	call->gone = fn;
	call->gone_arg = arg;
}

bool control_call_is_gone(const struct control_call *call)
{
	return call->client == NULL;
}

/* ---- dispatch: everything that can be wrong with a call is said here, before any handler ---- */

static void refuse(struct control_call *call, const char *name, const char *key, const char *value, const char *text)
{
	struct json_object *params = json_object_new_object();
	json_add_str(params, key, value);
	json_add_str(params, "text", text);
	control_error(call, name, params);
}

static void answer_info(struct control_call *call)
{
	struct json_object *params = json_object_new_object(), *interfaces = json_object_new_array();
	json_add_str(params, "vendor", "upgd");
	json_add_str(params, "product", "upgd");
	json_add_str(params, "version", UPGD_VERSION);
	json_add_str(params, "url", "https://varlink.org/");
	json_object_array_add(interfaces, json_object_new_string("org.varlink.service"));
	json_object_array_add(interfaces, json_object_new_string(CONTROL_INTERFACE));
	json_add(params, "interfaces", interfaces);
	control_reply(call, params, false);
}

static void answer_description(struct control_call *call)
{
	static const char service_text[] =
		"interface org.varlink.service\n"
		"method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n"
		"method GetInterfaceDescription(interface: string) -> (description: string)\n"
		"error InterfaceNotFound (interface: string)\n"
		"error MethodNotFound (method: string)\n"
		"error MethodNotImplemented (method: string)\n"
		"error InvalidParameter (parameter: string)\n";
	const char *name = NULL;
	struct fail fail;
	if (json_get_str(call->args, "interface", &name, &fail) != 0) {
		refuse(call, "org.varlink.service.InvalidParameter", "parameter", "interface", "it must name an interface");
		return;
	}
	bool is_service = strcmp(name, "org.varlink.service") == 0;
	if (!is_service && strcmp(name, CONTROL_INTERFACE) != 0) {
		refuse(call, "org.varlink.service.InterfaceNotFound", "interface", name, NULL);
		return;
	}
	struct json_object *params = json_object_new_object();
	json_add_str(params, "description", is_service ? service_text : control_interface_text);
	control_reply(call, params, false);
}

static void refuse_role(struct control_call *call)
{
	char text[200];
	(void)snprintf(text, sizeof(text), "%s needs the role %s; %s has %s", call->method->name, role_word(call->method->role),
		call->actor, role_word(call->role));
	struct json_object *params = json_object_new_object();
	json_add_str(params, "role", role_word(call->role));
	json_add_str(params, "needs", role_word(call->method->role));
	json_add_str(params, "text", text);
	control_error(call, "NotPermitted", params);
}

static void call_dispatch(struct control *control, struct control_call *call, const char *full)
{
	static const char service[] = "org.varlink.service.", ours[] = CONTROL_INTERFACE ".";
	if (strcmp(full, "org.varlink.service.GetInfo") == 0) {
		answer_info(call);
		return;
	}
	if (strcmp(full, "org.varlink.service.GetInterfaceDescription") == 0) {
		answer_description(call);
		return;
	}
	bool is_ours = strncmp(full, ours, sizeof(ours) - 1) == 0;
	if (!is_ours && strncmp(full, service, sizeof(service) - 1) != 0) {
		const char *dot = strrchr(full, '.');
		char interface[128];
		(void)snprintf(interface, sizeof(interface), "%.*s", dot ? (int)(dot - full) : 0, full);
		refuse(call, "org.varlink.service.InterfaceNotFound", "interface", interface, NULL);
		return;
	}
	call->method = is_ours ? method_find(full + sizeof(ours) - 1) : NULL;
	struct fail fail;
	char bad[64];
	if (call->method == NULL)
		refuse(call, "org.varlink.service.MethodNotFound", "method", full, NULL);
	else if (call->role < call->method->role)
		refuse_role(call);
	else if (method_check(call->method, call->args, bad, &fail) < 0)
		refuse(call, "org.varlink.service.InvalidParameter", "parameter", bad, fail.text);
	else
		control->options.handle(control->options.arg, call);
}

/* ---- requests ---- */

static int read_envelope(struct json_object *message, const char **method, struct control_call *call, struct fail *fail)
{
	static const char *const keys[] = { "method", "parameters", "more", "oneway", "upgrade", NULL };
	struct json_object *args = NULL;
	bool upgrade = false;
	if (!json_object_is_type(message, json_type_object))
		return fail_set(fail, -EINVAL, "a message must be an object");
	int r = json_known_keys(message, keys, fail);
	if (r == 0)
		r = json_get_str(message, "method", method, fail);
	if (r == 1)
		return fail_set(fail, -EINVAL, "\"method\" is missing");
	if (r < 0 || (r = json_get_object(message, "parameters", &args, fail)) < 0 ||
		(r = json_get_bool(message, "more", &call->more, fail)) < 0 ||
		(r = json_get_bool(message, "oneway", &call->oneway, fail)) < 0 ||
		(r = json_get_bool(message, "upgrade", &upgrade, fail)) < 0)
		return r;
	if (upgrade)
		return fail_set(fail, -EINVAL, "\"upgrade\" is not offered");
	call->args = args != NULL ? json_object_get(args) : json_object_new_object();
	return 0;
}

static void bad_frame(struct client *client, const char *text)
{
	struct json_object *params = json_object_new_object();
	json_add_str(params, "parameter", "message");
	json_add_str(params, "text", text);
	client_send_error(client, "BadParameter", params);
	control_log(client->control, client, text);
	client->closing = true;
	client_watch(client);
}

static void client_request(struct client *client, const char *text, size_t len)
{
	struct fail fail;
	struct json_object *message = json_parse(text, len, &fail);
	if (message == NULL) {
		bad_frame(client, fail.text);
		return;
	}
	struct control_call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		abort();
	call->message = message;
	const char *method = NULL;
	if (read_envelope(message, &method, call, &fail) < 0) {
		call_free(call);
		bad_frame(client, fail.text);
		return;
	}
	call->client = client;
	call->uid = client->peer.uid;
	call->role = peer_role(&client->peer, client->control->options.roles);
	(void)snprintf(call->user, sizeof(call->user), "%s", client->peer.user);
	(void)snprintf(call->actor, sizeof(call->actor), "%s", client->peer.actor);
	client->call = call;
	call_dispatch(client->control, call, method);
}

static bool is_free_for_more(const struct client *client)
{
	return client->call == NULL && !client->closing && client->doomed == NULL && client_queued(client) < OUT_HIGH;
}

/* Begins requests until one stays open or none is left. */
static void client_pump(struct client *client)
{
	size_t len;
	char *message;
	while (is_free_for_more(client) && (message = frame_next(&client->in, &len)) != NULL)
		client_request(client, message, len);
	bool idle = client->call == NULL && client_queued(client) == 0 && client->in.taken >= client->in.start;
	if (client->doomed == NULL && client_queued(client) == 0 && (client->closing || (client->eof && idle)))
		client_doom(client, "");
}

/* A caller may close its side for writing and still wait for answers; if it left altogether, or only follows, it is gone. */
static void client_eof(struct client *client)
{
	struct pollfd poll_fd = { .fd = client->fd };
	client->eof = true;
	bool left = poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0;
	if (left || (client->call != NULL && client->call->more))
		client_doom(client, "");
}

static void client_read(struct client *client)
{
	char *space;
	size_t room;
	struct fail fail;
	frame_space(&client->in, &space, &room);
	ssize_t n = read(client->fd, space, room);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_doom(client, "");
		return;
	}
	if (n == 0)
		client_eof(client);
	int r = frame_fed(&client->in, (size_t)n, &fail);
	client_pump(client); /* what came whole before a message that is too long still counts */
	if (r < 0 && !client->closing)
		bad_frame(client, fail.text);
	if (client->in.len - client->in.taken > PIPELINE_MAX)
		client_doom(client, "dropped: more than 1 MiB of requests behind one that is not answered yet");
}

static void client_write(struct client *client)
{
	ssize_t n = send(client->fd, client->out + client->out_begin, client_queued(client), MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_doom(client, "");
		return;
	}
	client->out_begin += (size_t)n;
	if (client_queued(client) > 0)
		return;
	client->out_begin = client->out_end = 0;
	if (client->out_size > OUT_HIGH) {
		free(client->out);
		client->out = NULL;
		client->out_size = 0;
	}
}

static void on_client(void *arg, int fd, unsigned mask)
{
	(void)fd;
	struct client *client = arg;
	if (client->doomed != NULL)
		return;
	if (mask & LOOP_WRITE)
		client_write(client);
	if (mask & LOOP_READ)
		client_read(client);
	client_pump(client);
	client_watch(client);
}

/* ---- coming and going ---- */

static void client_free(struct client *client)
{
	struct control_call *call = client->call;
	if (call != NULL) {
		call->client = NULL;
		if (call->gone != NULL) {
			call->gone(call->gone_arg, call);
			call_free(call);
		}
	}
	loop_fd_free(client->watch);
	close(client->fd);
	frame_done(&client->in);
	peer_done(&client->peer);
	free(client->out);
	free(client);
}

static void on_sweep(void *arg)
{
	struct control *control = arg;
	for (struct client *client = control->clients; client != NULL; client = client->next) {
		client_pump(client);
		client_watch(client);
	}
	for (struct client **at = &control->clients; *at != NULL;) {
		struct client *client = *at;
		if (client->doomed == NULL) {
			at = &client->next;
			continue;
		}
		*at = client->next;
		control->n_clients--;
		if (client->doomed[0] != '\0')
			control_log(control, client, client->doomed);
		client_free(client);
	}
}

static bool has_place(const struct control *control, const struct peer *peer)
{
	if (peer_role(peer, control->options.roles) >= ROLE_OPERATOR)
		return control->n_clients < CONTROL_CLIENTS_MAX;
	return control->n_clients < CONTROL_CLIENTS_MAX - CONTROL_RESERVED;
}

static void client_new(struct control *control, int fd, const struct peer *peer)
{
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->control = control;
	client->fd = fd;
	client->peer = *peer;
	frame_init(&client->in, FRAME_REQUEST_MAX);
	client->watch = loop_fd_new(control->loop, fd, LOOP_READ, on_client, client);
	bool full = !has_place(control, peer);
	client->next = control->clients;
	control->clients = client;
	control->n_clients++;
	if (!full)
		return;
	struct json_object *params = json_object_new_object();
	json_add_str(params, "text", "too many clients on the control socket; close some");
	client_send_error(client, "Busy", params);
	client_write(client); /* a place it does not have: sent now or never */
	client_doom(client, "refused: too many clients");
}

static void on_accept(void *arg, int fd, unsigned mask)
{
	(void)mask;
	struct control *control = arg;
	int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client_fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_fd_set(control->watch, 0);
			loop_timer_set(control->accept_again, ACCEPT_PAUSE_MS);
		}
		return;
	}
	struct peer peer;
	struct fail fail;
	if (peer_init(&peer, client_fd, &fail) < 0) {
		if (control->options.log != NULL)
			control->options.log(control->options.arg, fail.text);
		close(client_fd);
		return;
	}
	client_new(control, client_fd, &peer);
}

static void on_accept_again(void *arg)
{
	struct control *control = arg;
	loop_fd_set(control->watch, LOOP_READ);
}

int control_new(struct control **out, struct loop *loop, const struct control_options *options, struct fail *fail)
{
	struct listener listener;
	int r = listener_open(&listener, options->path, options->mode, fail);
	if (r < 0)
		return r;
	struct control *control = calloc(1, sizeof(*control));
	if (control == NULL)
		abort();
	control->loop = loop;
	control->options = *options;
	control->listener = listener;
	control->watch = loop_fd_new(loop, listener.fd, LOOP_READ, on_accept, control);
	control->accept_again = loop_timer_new(loop, on_accept_again, control);
	control->sweep = loop_timer_new(loop, on_sweep, control);
	*out = control;
	return 0;
}

void control_set_roles(struct control *control, const struct peer_roles *roles)
{
	control->options.roles = roles;
}

void control_free(struct control *control)
{
	if (control == NULL)
		return;
	while (control->clients != NULL) {
		struct client *client = control->clients;
		control->clients = client->next;
		client_free(client);
	}
	loop_fd_free(control->watch);
	loop_timer_free(control->accept_again);
	loop_timer_free(control->sweep);
	listener_close(&control->listener);
	free(control);
}
