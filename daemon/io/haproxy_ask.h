/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One question to one HAProxy socket: connect, send a line, read to EOF, all non-blocking and with one deadline. Knows
 * nothing of what the words mean.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct loop;
struct haproxy_ask;

enum { HAPROXY_REPLY_MAX = 4 << 20 };

struct haproxy_address {
	char *name; /* as the config has it, for messages; owned */
	struct sockaddr_storage at;
	socklen_t len;
	bool half_close; /* a master socket stays interactive: it ends the session only when we stop sending */
};

/* reply NULL: fail says why and names the socket. The question is over when this is called; reply is borrowed. */
typedef void haproxy_ask_fn(void *arg, const char *reply, size_t len, const struct fail *fail);

/* "/path", "address:port", "[v6]:port" or "localhost:port": names would block the loop in the resolver. */
must_check int haproxy_address_init(struct haproxy_address *address, const char *text, struct fail *fail);
void haproxy_address_done(struct haproxy_address *address);

/* Of a long reply what is wanted: drops whole lines from text in place and gives what is left; the last line may not have come whole. */
typedef size_t haproxy_sieve_fn(void *arg, char *text, size_t len);

/* address must outlive the question. fn runs from the loop, never from inside this call. */
struct haproxy_ask *haproxy_ask_start(struct loop *loop, const struct haproxy_address *address, const char *line, unsigned timeout_ms, haproxy_ask_fn *fn, void *arg);
void haproxy_ask_sieve(struct haproxy_ask *ask, haproxy_sieve_fn *sieve); /* right after the start; its arg is that of fn */
void haproxy_ask_cancel(struct haproxy_ask *ask); /* no callback after this; NULL is fine */
