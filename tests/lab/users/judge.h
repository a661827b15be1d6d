/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What one answer means to one user. Pure: no clock, no socket, no memory between answers. Whether a denial
 * fell into its schema's own window is not known here; the tally keeps the times, the report compares.
 */

#include <stdbool.h>
#include <stddef.h>

enum verdict { VERDICT_OK, VERDICT_REDIRECTED, VERDICT_RELOGIN, VERDICT_DENIED, VERDICT_FAILED };

/* One finished request. Nothing is owned. */
struct answer {
	bool login;             /* asked for a session; else asked within one */
	const char *transport;  /* why there is no answer, NULL: there is one */
	long status;            /* HTTP */
	const char *mismatch;   /* X-Lab-Mismatch: a node served a tenant it must not serve; NULL: none */
	const char *version;    /* X-Lab-Version, may be NULL */
	const char *seen;       /* the newest version that served this user so far, "" */
	const char *body;
	size_t len;
};

struct judgement {
	enum verdict verdict;
	char text[240];  /* of a failure or denial: why, one line */
	char value[512]; /* OK on login: the session; REDIRECTED: the URL to go to */
};

void judge(const struct answer *answer, struct judgement *out);
