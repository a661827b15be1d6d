/* SPDX-License-Identifier: MIT */
#include "requests.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum request_is requests_find(const struct requests *requests, const struct request *request, const struct request_kept **kept)
{
	for (unsigned i = 0; request->id != NULL && i < REQUESTS_KEPT; i++) {
		const struct request_kept *had = &requests->ring[i];
		if (had->id == NULL || strcmp(had->id, request->id) != 0)
			continue;
		if (kept != NULL)
			*kept = had;
		return had->digest == 0 || request->digest == 0 || had->digest == request->digest ? REQUEST_DONE : REQUEST_OTHER;
	}
	return REQUEST_NEW;
}

void requests_note(struct requests *requests, const struct request *request, uint32_t rollout)
{
	struct request_kept *slot = &requests->ring[requests->n++ % REQUESTS_KEPT];
	free(slot->id);
	*slot = (struct request_kept){ .id = strdup(request->id), .digest = request->digest, .rollout = rollout };
	if (slot->id == NULL)
		abort();
}

void requests_done(struct requests *requests)
{
	for (unsigned i = 0; i < REQUESTS_KEPT; i++)
		free(requests->ring[i].id);
}
