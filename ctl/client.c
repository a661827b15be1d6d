/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "proto/json.h"
#include "proto/methods.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *hint(int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return "is it running? systemctl status upgd";
	case EACCES:
	case EPERM:
		return "your user may not open the socket; ask for its group";
	default:
		return "see the log of upgd";
	}
}

int client_open(struct client *client, const char *path, struct fail *fail)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	*client = (struct client){ .fd = -1 };
	if (strlen(path) >= sizeof(address.sun_path))
		return fail_set(fail, -ENAMETOOLONG, "cannot reach upgd at %s: the path is too long (at most %zu bytes)", path,
			sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;
		client_close(client);
		return fail_set(fail, -error, "cannot reach upgd at %s: %s (%s)", path, strerror(error), hint(error));
	}
	frame_init(&client->in, FRAME_REPLY_MAX);
	return 0;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	frame_done(&client->in);
}

int client_call(struct client *client, const char *method, struct json_object *params, bool more, struct fail *fail)
{
	json_cleanup struct json_object *message = json_object_new_object();
	char full[96];
	(void)snprintf(full, sizeof(full), CONTROL_INTERFACE ".%s", method);
	json_add_str(message, "method", full);
	json_add(message, "parameters", json_object_get(params));
	if (more)
		json_add_bool(message, "more", true);
	size_t n;
	const char *text = json_text(message, &n);
	for (n++; n > 0;) {
		ssize_t sent = send(client->fd, text, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0; /* the reason may be there to be read */
		if (sent < 0)
			return fail_set(fail, -errno, "cannot write to upgd: %s", strerror(errno));
		text += sent;
		n -= (size_t)sent;
	}
	return 0;
}

static int reply_read(struct client_reply *reply, const char *text, size_t len, struct fail *fail)
{
	*reply = (struct client_reply){ .message = json_parse(text, len, fail) };
	int r = reply->message == NULL ? -EPROTO : json_get_str(reply->message, "error", &reply->error, fail);
	if (r >= 0)
		r = json_get_bool(reply->message, "continues", &reply->continues, fail);
	if (r >= 0)
		r = json_get_object(reply->message, "parameters", &reply->params, fail);
	if (r < 0) {
		fail_prefix(fail, "upgd's answer cannot be read");
		client_reply_done(reply);
		return -EPROTO;
	}
	if (reply->params == NULL) {
		reply->params = json_object_new_object();
		json_add(reply->message, "parameters", reply->params);
	}
	if (reply->error != NULL && strncmp(reply->error, CONTROL_INTERFACE ".", strlen(CONTROL_INTERFACE ".")) == 0)
		reply->error += strlen(CONTROL_INTERFACE ".");
	return 0;
}

int client_next(struct client *client, struct client_reply *reply, struct fail *fail)
{
	for (;;) {
		size_t len, room;
		char *space, *text = frame_next(&client->in, &len);
		if (text != NULL)
			return reply_read(reply, text, len, fail);
		/* poll() is never restarted after a signal, as read() may be. */
		struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
		if (poll(&poll_fd, 1, -1) < 0)
			return fail_set(fail, -errno, "interrupted");
		frame_space(&client->in, &space, &room);
		ssize_t n = recv(client->fd, space, room, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return fail_set(fail, -ECONNRESET, "upgd closed the connection (restarted? see its log)");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return fail_set(fail, -errno, "cannot read from upgd: %s", strerror(errno));
		if (n > 0 && frame_fed(&client->in, (size_t)n, fail) < 0)
			return -EPROTO;
	}
}

void client_reply_done(struct client_reply *reply)
{
	json_object_put(reply->message);
	*reply = (struct client_reply){ 0 };
}
