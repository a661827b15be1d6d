/* SPDX-License-Identifier: MIT */
#pragma once
/* One connection to upgd: calls out, replies in. Blocks in poll(2); a signal ends the wait with -EINTR. */

#include "proto/fail.h"
#include "proto/frame.h"

#include <stdbool.h>

struct json_object;

struct client {
	int fd;
	struct frame in;
};

struct client_reply {
	struct json_object *message; /* owned */
	struct json_object *params;  /* in message, never NULL */
	const char *error;           /* in message: NULL, or "NoSuchUnit" without io.upgd.Control */
	bool continues;
};

/* -errno: why upgd cannot be reached, with a hint. */
must_check int client_open(struct client *client, const char *path, struct fail *fail);
void client_close(struct client *client);

must_check int client_call(struct client *client, const char *method, struct json_object *params, bool more, struct fail *fail);
/* The next reply: 0; -EINTR; -ECONNRESET: upgd has gone. */
must_check int client_next(struct client *client, struct client_reply *reply, struct fail *fail);
void client_reply_done(struct client_reply *reply);
