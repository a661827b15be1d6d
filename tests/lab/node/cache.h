/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a node remembers: contexts, logins, states of schemata, sessions. Nothing here is ever looked up again until someone
 * invalidates it: that is the point. Any thread may call.
 */

#include "proto/json.h"

#include <stdbool.h>

struct context {
	int cid, pool;
	char schema[33];
	bool enabled;
};

bool cache_context(int cid, struct context *out);
void cache_context_put(const struct context *context);
int cache_login(const char *login); /* cid, 0: unknown */
void cache_login_put(const char *login, int cid);
/* cids: array of numbers. */
void cache_contexts_forget(struct json_object *cids);

/* True when this schema was found free of locks and pending tasks. */
bool cache_schema_is_current(int pool, const char *schema);
void cache_schema_put(int pool, const char *schema);
void cache_schema_forget(int pool, const char *schema);

void session_put(const char *id, int cid);
int session_find(const char *id); /* cid, 0: no such session */
void sessions_drop(struct json_object *cids);
struct json_object *sessions_copy(void); /* id → cid, owned by the caller */

/* Numbers for /lab/state. */
void cache_describe(struct json_object *out);
