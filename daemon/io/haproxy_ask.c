/* SPDX-License-Identifier: MIT */
/*
 * A frame is a connection: HAProxy ends some replies with a blank line and some without, so the only sure end is EOF. The
 * newline after the command matters (without it nothing runs and nothing is answered), and so does the deadline: beyond
 * `stats maxconn` HAProxy's kernel accepts a connection that nobody will ever serve.
 */
#include "haproxy_ask.h"

#include "daemon/failpoint.h"
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BUSY_RETRY_MS = 20, /* a Unix socket with a full backlog refuses at once instead of queueing */
	FIRST_BUFFER = 16384,
	TURN_MAX = 1 << 20,  /* read in one turn of the loop */
};

struct haproxy_ask {
	struct loop *loop;                     /* borrowed */
	const struct haproxy_address *address; /* borrowed */
	int fd;
	struct loop_fd *watch;
	struct loop_timer *deadline;
	struct loop_timer *soon; /* to report from the loop what failed at once, and to try again when busy */
	unsigned timeout_ms;
	uint64_t began_ms;
	char *line; /* owned */
	size_t line_len, sent;
	bool connected;
	char *reply; /* owned */
	size_t len, max;
	struct fail fail;
	haproxy_ask_fn *fn;
	haproxy_sieve_fn *sieve; /* NULL: all of it is wanted */
	void *arg;
};

static int port_of(const char *text, in_port_t *out)
{
	char *end;
	errno = 0;
	unsigned long port = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || port == 0 || port > 65535)
		return -EINVAL;
	*out = htons((in_port_t)port);
	return 0;
}

static int unix_address(struct haproxy_address *address, const char *text, struct fail *fail)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(text);
	if (len >= sizeof(un.sun_path))
		return fail_set(fail, -ENAMETOOLONG, "socket path %s is longer than the %zu bytes the system allows", text,
			sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, text, len);
	memcpy(&address->at, &un, sizeof(un));
	address->len = sizeof(un);
	return 0;
}

static int inet_address(struct haproxy_address *address, const char *text, struct fail *fail)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	in_port_t port;
	size_t n = colon == NULL ? 0 : (size_t)(colon - text);
	if (n == 0 || n >= sizeof(host) || port_of(colon + 1, &port) != 0)
		return fail_set(fail, -EINVAL, "HAProxy socket \"%s\" is neither an absolute path nor address:port", text);
	if (text[0] == '[' && colon[-1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = '\0';

	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port };
	if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &in.sin_addr) == 1) {
		memcpy(&address->at, &in, sizeof(in));
		address->len = sizeof(in);
		return 0;
	}
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port };
	if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		memcpy(&address->at, &in6, sizeof(in6));
		address->len = sizeof(in6);
		return 0;
	}
	return fail_set(fail, -EINVAL, "HAProxy socket \"%s\": %s is no numeric address; names are not looked up here, give "
		"the address or \"localhost\"", address->name, host);
}

int haproxy_address_init(struct haproxy_address *address, const char *text, struct fail *fail)
{
	*address = (struct haproxy_address){ .name = strdup(text) };
	if (address->name == NULL)
		abort();
	int rc = text[0] == '/' ? unix_address(address, text, fail) : inet_address(address, text, fail);
	if (rc != 0)
		haproxy_address_done(address);
	return rc;
}

void haproxy_address_done(struct haproxy_address *address)
{
	free(address->name);
	address->name = NULL;
}

static void hang_up(struct haproxy_ask *ask)
{
	loop_fd_free(ask->watch);
	ask->watch = NULL;
	if (ask->fd >= 0)
		close(ask->fd);
	ask->fd = -1;
}

void haproxy_ask_cancel(struct haproxy_ask *ask)
{
	if (ask == NULL)
		return;
	hang_up(ask);
	loop_timer_free(ask->deadline);
	loop_timer_free(ask->soon);
	free(ask->line);
	free(ask->reply);
	free(ask);
}

/* What lay there while this process was stopped, or its host suspended, says nothing of now. */
static void check_age(struct haproxy_ask *ask)
{
	uint64_t age = loop_boot_ms() - ask->began_ms;
	if (ask->fail.code == 0 && age > ask->timeout_ms)
		(void)fail_set(&ask->fail, -ETIMEDOUT, "%s: the answer to \"%.*s\" is %llu ms old, at most %u ms count", ask->address->name,
			(int)ask->line_len - 1, ask->line, (unsigned long long)age, ask->timeout_ms);
}

static void finish(struct haproxy_ask *ask)
{
	check_age(ask);
	struct fail fail = ask->fail;
	char *reply = ask->reply;
	size_t len = ask->len;
	haproxy_ask_fn *fn = ask->fn;
	void *arg = ask->arg;
	ask->reply = NULL;
	haproxy_ask_cancel(ask);
	if (fail.code == 0)
		fn(arg, reply != NULL ? reply : "", len, NULL);
	else
		fn(arg, NULL, 0, &fail);
	free(reply);
}

static const char *connect_hint(int error)
{
	switch (error) {
	case ENOENT:
		return " (is HAProxy running, and is this the path of its socket?)";
	case ECONNREFUSED:
		return " (nobody listens there: is HAProxy running?)";
	case EACCES:
	case EPERM:
		return " (upgd's user must be in the group of this socket)";
	default:
		return "";
	}
}

static void fail_connect(struct haproxy_ask *ask, int error)
{
	(void)fail_set(&ask->fail, -error, "%s: cannot connect: %s%s", ask->address->name, strerror(error),
		connect_hint(error));
}

static void make_room(struct haproxy_ask *ask)
{
	if (ask->max - ask->len >= 2)
		return;
	if (ask->sieve != NULL && ask->len > 0)
		ask->len = ask->sieve(ask->arg, ask->reply, ask->len);
	if (ask->max > 0 && ask->len <= ask->max / 2)
		return;
	ask->max = ask->max == 0 ? FIRST_BUFFER : ask->max * 2;
	ask->reply = realloc(ask->reply, ask->max);
	if (ask->reply == NULL)
		abort();
}

/* Reads what is there. 0: more to come, 1: over, well or with ask->fail set. */
static int read_some(struct haproxy_ask *ask)
{
	for (size_t got = 0; got < TURN_MAX;) {
		make_room(ask);
		ssize_t n = recv(ask->fd, ask->reply + ask->len, ask->max - ask->len - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0) {
			(void)fail_set(&ask->fail, -errno, "%s: connection broke while reading the answer: %s",
				ask->address->name, strerror(errno));
			return 1;
		}
		got += (size_t)n;
		ask->len += (size_t)n;
		if (n == 0 && ask->sieve != NULL)
			ask->len = ask->sieve(ask->arg, ask->reply, ask->len);
		ask->reply[ask->len] = '\0';
		if (n == 0)
			return 1;
		if (ask->len > HAPROXY_REPLY_MAX) {
			(void)fail_set(&ask->fail, -EMSGSIZE, "%s: answer to \"%.*s\" is longer than %d MiB; is this a HAProxy "
				"stats socket?", ask->address->name, (int)ask->line_len - 1, ask->line, HAPROXY_REPLY_MAX >> 20);
			return 1;
		}
	}
	return 0;
}

static void on_ready(void *arg, int fd, unsigned mask)
{
	struct haproxy_ask *ask = arg;
	if (!ask->connected) {
		int error = 0;
		socklen_t len = sizeof(error);
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0) {
			fail_connect(ask, error);
			finish(ask);
			return;
		}
		ask->connected = true;
	}
	if ((mask & LOOP_WRITE) && ask->sent < ask->line_len) {
		ssize_t n = send(fd, ask->line + ask->sent, ask->line_len - ask->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			n = (ssize_t)(ask->line_len - ask->sent); /* it hung up; what it said before tells why */
		if (n > 0)
			ask->sent += (size_t)n;
		if (ask->sent == ask->line_len) {
			if (ask->address->half_close)
				(void)shutdown(fd, SHUT_WR);
			failpoint(FAILPOINT_AFTER_SEND, "%s", ask->line);
			loop_fd_set(ask->watch, LOOP_READ);
		}
	}
	if ((mask & LOOP_READ) && read_some(ask))
		finish(ask);
}

/* Whatever fails here is reported from the loop, by `soon`. */
static void dial(struct haproxy_ask *ask)
{
	const struct haproxy_address *address = ask->address;
	ask->fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask->fd < 0) {
		(void)fail_set(&ask->fail, -errno, "%s: cannot make a socket: %s", address->name, strerror(errno));
		loop_timer_set(ask->soon, 0);
		return;
	}
	if (connect(ask->fd, (const struct sockaddr *)&address->at, address->len) == 0 || errno == EINPROGRESS) {
		ask->watch = loop_fd_new(ask->loop, ask->fd, LOOP_READ | LOOP_WRITE, on_ready, ask);
		return;
	}
	int error = errno;
	hang_up(ask);
	if (error != EAGAIN)
		fail_connect(ask, error);
	loop_timer_set(ask->soon, error == EAGAIN ? BUSY_RETRY_MS : 0);
}

static void on_soon(void *arg)
{
	struct haproxy_ask *ask = arg;
	if (ask->fail.code != 0)
		finish(ask);
	else
		dial(ask);
}

static void on_deadline(void *arg)
{
	struct haproxy_ask *ask = arg;
	if (ask->watch == NULL)
		(void)fail_set(&ask->fail, -ETIMEDOUT, "%s: HAProxy accepts no connection: its backlog was full for %u ms",
			ask->address->name, ask->timeout_ms);
	else
		(void)fail_set(&ask->fail, -ETIMEDOUT, "%s: no full answer to \"%.*s\" within %u ms (%zu bytes came)",
			ask->address->name, (int)ask->line_len - 1, ask->line, ask->timeout_ms, ask->len);
	finish(ask);
}

struct haproxy_ask *haproxy_ask_start(struct loop *loop, const struct haproxy_address *address, const char *line,
	unsigned timeout_ms, haproxy_ask_fn *fn, void *arg)
{
	struct haproxy_ask *ask = calloc(1, sizeof(*ask));
	if (ask == NULL)
		abort();
	*ask = (struct haproxy_ask){ .loop = loop, .address = address, .fd = -1, .timeout_ms = timeout_ms, .began_ms = loop_boot_ms(), .fn = fn, .arg = arg };
	int n = asprintf(&ask->line, "%s\n", line);
	if (n < 0)
		abort();
	ask->line_len = (size_t)n;
	ask->deadline = loop_timer_new(loop, on_deadline, ask);
	ask->soon = loop_timer_new(loop, on_soon, ask);
	loop_timer_set(ask->deadline, timeout_ms);
	dial(ask);
	return ask;
}

void haproxy_ask_sieve(struct haproxy_ask *ask, haproxy_sieve_fn *sieve)
{
	ask->sieve = sieve;
}
