/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * HTTP GET/POST by libcurl's multi interface, driven by the loop; the only owner of libcurl. Environment proxies and
 * redirects are off. Completion callbacks run from the loop, never from inside http_get().
 */

#include "proto/fail.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct http;
struct http_request;

struct http_reply {
	int status;        /* 0: no reply at all, see error */
	const char *body;  /* NUL-terminated, capped at HTTP_BODY_MAX; borrowed: valid in the callback only */
	size_t body_len;
	const char *error; /* a sentence when status is 0, else NULL */
};

enum { HTTP_BODY_MAX = 1 << 20 };

typedef void http_done_fn(void *arg, const struct http_reply *reply);

struct http *http_new(struct loop *loop, struct fail *fail);
void http_free(struct http *http); /* cancels what is under way without callbacks */

/* The request owns itself until its callback has run or http_cancel() was called. Never NULL: a bad URL is an error reply. */
struct http_request *http_get(struct http *http, const char *url, unsigned timeout_ms, http_done_fn *fn, void *arg);
void http_cancel(struct http_request *request); /* no callback after this */

const char *http_library(void);
