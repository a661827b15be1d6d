/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * HTTP with libevent's evhttp: the loop thread reads requests and writes answers, a worker thread handles each. The only owner of
 * libevent in the lab.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stdint.h>

struct json_object;

/* What a handler sees and fills in, on a worker thread. */
struct request {
	char *path;  /* "/ajax/login" */
	char *query; /* after the question mark, or "" */
	char *body;
	char *authorization; /* header, or "" */
	bool is_post;
	/* the answer */
	int status;
	char *text;                  /* owned; NULL: empty */
	struct json_object *headers; /* name → value */
	bool is_silent;              /* never answered: the client waits until it gives up */
	void *private;
};
void request_header(struct request *request, const char *name, const char *value);
/* Answers with object, consumed. */
void request_json(struct request *request, int status, struct json_object *object);
/* Value of a form field or query parameter, decoded and owned by the caller; NULL: absent. */
char *form_field(const char *form, const char *name);

must_check int web_init(struct fail *fail);
/* Listens on loopback; handle is called on worker threads. */
must_check int web_listen(int port, void (*handle)(struct request *request), struct fail *fail);
/* Runs fn on the loop thread. Any thread may call. */
void web_post(void (*fn)(void *arg), void *arg);
/* Calls fn on the loop thread after some time; again and again when it returns true. Loop thread only. */
void web_after(int64_t ms, bool (*fn)(void));
void web_on_signal(int number, void (*fn)(void));
/* Closes the listening sockets; open connections are asked to close with their next answer. */
void web_stop_listening(void);
/* Requests being handled that the stop should wait for. */
int web_busy(void);
/* This request is not waited for (an update task that runs for hours). Worker thread, any time. */
void web_do_not_wait(struct request *request);
/* Runs until the process exits. */
void web_run(void);
