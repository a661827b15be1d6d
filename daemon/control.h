/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The control socket: a Varlink server for io.upgd.Control. It knows clients, calls, roles and the method table, and nothing of
 * rollouts: whatever passes the table's checks goes to one handler, which answers now or later.
 */

#include "daemon/peer.h"
#include "proto/fail.h"
#include "proto/methods.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct json_object;
struct loop;
struct control;
struct control_call;

enum {
	CONTROL_CLIENTS_MAX = 64,
	CONTROL_RESERVED = 16, /* of these: only for operators and admins, so that a leaking monitor locks nobody out */
	CONTROL_OUT_MAX = 8 << 20,
};

/* Must answer every call it is given, at once or later, with control_reply() or control_error(). Role and parameters are checked. */
typedef void control_handle_fn(void *arg, struct control_call *call);
typedef void control_log_fn(void *arg, const char *text);
typedef void control_gone_fn(void *arg, struct control_call *call);

struct control_options {
	const char *path; /* not used if the service manager passed a listening socket (LISTEN_FDS) */
	mode_t mode;      /* of the socket file */
	const struct peer_roles *roles; /* borrowed until control_set_roles() or control_free() */
	control_handle_fn *handle;
	control_log_fn *log; /* one sentence; may be NULL */
	void *arg;           /* for both */
};

/* -EADDRINUSE: somebody answers on the path. A socket file nobody answers on is replaced; anything else there is left alone. */
must_check int control_new(struct control **out, struct loop *loop, const struct control_options *options, struct fail *fail);
void control_free(struct control *control); /* open calls are told they are gone; removes its own socket file; NULL is fine */
void control_set_roles(struct control *control, const struct peer_roles *roles); /* counts from the next call on */

/* All borrowed, valid as long as the call. */
const struct method *control_call_method(const struct control_call *call);
struct json_object *control_call_args(const struct control_call *call); /* an object, empty if there were none */
const char *control_call_actor(const struct control_call *call);        /* "uid=1001(eva) pid=4711" */
uid_t control_call_uid(const struct control_call *call);
const char *control_call_user(const struct control_call *call); /* "" if not in /etc/passwd */
enum role control_call_role(const struct control_call *call);
bool control_call_wants_more(const struct control_call *call);

/*
 * Consumes params (NULL: empty). With continues, for callers that want more, the call stays open; else it is freed here, and the
 * same goes for an error. name: "NoSuchUnit", of io.upgd.Control, or a full name with dots.
 */
void control_reply(struct control_call *call, struct json_object *params, bool continues);
void control_error(struct control_call *call, const char *name, struct json_object *params);
/* {"text": text} as the parameters of an error. */
void control_error_text(struct control_call *call, const char *name, const char *text);

/*
 * When the client goes away with the call open, fn is called from the loop, never from inside control_reply(), and the call
 * is freed after it: fn must not answer. Without fn, the call stays until its last answer, which is thrown away. To be set before
 * handle() returns; a handler that sets it later must ask control_call_is_gone() first.
 */
void control_call_on_gone(struct control_call *call, control_gone_fn *fn, void *arg);
bool control_call_is_gone(const struct control_call *call);
