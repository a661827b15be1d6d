/* SPDX-License-Identifier: MIT */
/*
 * One growing buffer. Whole messages lie in [taken, start), the beginning of the next one in [start, len). Keeping `start`
 * means that every byte is looked at once, so a 4 MiB reply that comes in small reads costs no more than in one.
 *
 * What must not happen: a peer that never sends NUL filling our memory (refused as soon as it is over max), and a second
 * message in the same read being left lying until more bytes come (frame_next() is called until it says NULL).
 */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SPACE_MIN = 4096,
	KEEP_MAX = 64 << 10, /* an idle peer holds no more than this */
};

void frame_init(struct frame *frame, size_t max)
{
	*frame = (struct frame){ .max = max };
}

void frame_done(struct frame *frame)
{
	free(frame->buf);
	frame_init(frame, frame->max);
}

static void drop_taken(struct frame *frame)
{
	if (frame->taken == 0)
		return;
	memmove(frame->buf, frame->buf + frame->taken, frame->len - frame->taken);
	frame->len -= frame->taken;
	frame->start -= frame->taken;
	frame->taken = 0;
}

void frame_space(struct frame *frame, char **space, size_t *n)
{
	drop_taken(frame);
	if (frame->len == 0 && frame->size > KEEP_MAX)
		frame_done(frame);
	if (frame->size - frame->len < SPACE_MIN) {
		size_t size = frame->size ? frame->size * 2 : (size_t)2 * SPACE_MIN;
		char *buf = realloc(frame->buf, size);
		if (buf == NULL)
			abort();
		frame->buf = buf;
		frame->size = size;
	}
	*space = frame->buf + frame->len;
	*n = frame->size - frame->len;
}

int frame_fed(struct frame *frame, size_t n, struct fail *fail)
{
	const char *from = frame->buf + frame->len;
	frame->len += n;
	const char *end = frame->buf + frame->len;
	const char *nul;
	while (from < end && (nul = memchr(from, '\0', (size_t)(end - from))) != NULL) {
		if ((size_t)(nul - (frame->buf + frame->start)) > frame->max)
			break;
		from = nul + 1;
		frame->start = (size_t)(from - frame->buf);
	}
	/* Judged by what came, not by how it was cut into reads: one byte over max is too long with or without its NUL. */
	size_t pending = frame->len - frame->start;
	if (pending > frame->max)
		return fail_set(fail, -EMSGSIZE, "a message is longer than %zu bytes", frame->max);
	return 0;
}

char *frame_next(struct frame *frame, size_t *len)
{
	if (frame->taken >= frame->start)
		return NULL;
	char *message = frame->buf + frame->taken;
	*len = strlen(message);
	frame->taken += *len + 1;
	return message;
}
