/* SPDX-License-Identifier: MIT */
#include "rmi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 << 20 };

static int dial(const char *host, int port, int timeout_ms, struct fail *fail)
{
	char service[16];
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
	snprintf(service, sizeof(service), "%d", port);
	int rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0)
		return fail_set(fail, -EHOSTUNREACH, "unknown host %s: %s", host, gai_strerror(rc));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	rc = connect(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : -errno;
	freeaddrinfo(found);
	if (rc == 0)
		return fd;
	close(fd);
	return fail_set(fail, rc, "Connection refused to host: %s; port %d: %s", host, port, strerror(-rc));
}

static int send_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0) {
			text += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

/* All bytes up to the end of the connection; owned by the caller. */
static char *receive_all(int fd, size_t *len)
{
	size_t room = 4096;
	char *text = malloc(room);
	*len = 0;
	for (;;) {
		if (*len + 1 == room)
			text = realloc(text, room *= 2);
		ssize_t n = recv(fd, text + *len, room - *len - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 && *len > 0) {
			text[*len] = '\0';
			return text;
		}
		if (n <= 0 || room > ANSWER_MAX) {
			free(text);
			return NULL;
		}
		*len += (size_t)n;
	}
}

int rmi_call(const char *host, int port, const char *name, struct json_object *request, int timeout_ms,
	struct json_object **out, struct fail *fail)
{
	char head[512];
	size_t n = 0;
	const char *body = json_text(request, &n);
	int fd = dial(host, port, timeout_ms, fail);
	if (fd < 0)
		return fd;
	int len = snprintf(head, sizeof(head),
		"POST /rmi/%s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		name, host, port, n);
	char *answer = NULL;
	if (send_all(fd, head, (size_t)len) == 0 && send_all(fd, body, n) == 0)
		answer = receive_all(fd, &n);
	close(fd);
	if (answer == NULL)
		return fail_set(fail, -EPIPE, "%s: no answer from %s:%d (error unmarshalling return header)", name, host, port);
	const char *text = strstr(answer, "\r\n\r\n");
	*out = text == NULL ? NULL : json_parse(text + 4, strlen(text + 4), fail);
	if (*out == NULL)
		fail_set(fail, -EPROTO, "%s: what %s:%d answered is no JSON", name, host, port);
	free(answer);
	return *out == NULL ? -EPROTO : 0;
}

bool rmi_is_up(int port)
{
	struct fail fail;
	int fd = dial("127.0.0.1", port, 1000, &fail);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}
