/* SPDX-License-Identifier: MIT */
#pragma once
/* Requests that were carried out: the last 256, from the journal, so that one that comes again is acknowledged and not applied twice. */

#include <stdint.h>

enum { REQUESTS_KEPT = 256, REQUEST_ID_MAX = 128 };

/* How a caller names what it asks for. */
struct request {
	const char *id;  /* NULL: without a name */
	uint64_t digest; /* of the method and its parameters; 0: not known, as in journals of 0.1.0 */
};

struct request_kept {
	char *id; /* owned */
	uint64_t digest;
	uint32_t rollout; /* that it was said to, or that it began */
};

struct requests {
	struct request_kept ring[REQUESTS_KEPT];
	unsigned n; /* ever */
};

enum request_is { REQUEST_NEW, REQUEST_DONE, REQUEST_OTHER }; /* OTHER: the name was used before, for something else */

/* kept, which may be NULL: what is known of it, unless it is new. Borrowed. */
enum request_is requests_find(const struct requests *requests, const struct request *request, const struct request_kept **kept);
void requests_note(struct requests *requests, const struct request *request, uint32_t rollout);
void requests_done(struct requests *requests);
