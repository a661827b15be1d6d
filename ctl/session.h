/* SPDX-License-Identifier: MIT */
#pragma once
/* One run of upgctl against the daemon: calls, pages, following; what to print and which exit code comes of it. */

#include "client.h"
#include "grammar.h"

#include <stdbool.h>

struct session {
	const char *path; /* of the socket */
	bool json;
	struct client client;
};

/* Carries out the call; prints; the exit code. */
int session_run(struct session *session, struct grammar_call *call);
