/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Finding and loading contexts the way OX does: from the caches first, and with the consequences of a load.
 */

#include "cache.h"
#include "proto/fail.h"

/* An OX exception. */
struct trouble {
	const char *code; /* "CTX-0012" */
	char text[512];
	char param[512]; /* error_params[0], "" none */
};
/* Returns -1, for return statements. */
int trouble_set(struct trouble *trouble, const char *code, const char *format, ...) printf_like(3, 4);

/* Context of a login string (what follows the @); 0 or -1. */
must_check int context_find(const char *login, int *cid, struct trouble *trouble);
/* A context that this node may serve, disabled or not; 0 or -1. A load may start an update. */
must_check int context_load(int cid, struct context *out, struct trouble *trouble);
/* This node's server_id as first resolved; 0: not yet asked, -1: SERVER_NAME is not registered. */
int context_server_id(void);
/* Resolves it now when that has not happened; <= 0: trouble. */
int context_resolve_server(struct trouble *trouble);
/* Loads one enabled context of this node's in every schema, as permanent push does after a start. */
void context_push(void);
