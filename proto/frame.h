/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Varlink framing, sans I/O: messages are bytes without NUL, each ended by one NUL. Used on the control socket and
 * between upgd and upgd-run. Feed bytes in, take whole messages out until there is none left.
 */

#include "fail.h"

#include <stddef.h>

enum { FRAME_REQUEST_MAX = 64 << 10, FRAME_REPLY_MAX = 4 << 20 };

struct frame {
	char *buf;        /* owned */
	size_t len, size; /* bytes held, bytes allocated */
	size_t taken;     /* bytes of messages already handed out */
	size_t start;     /* where the message that is not whole yet begins */
	size_t max;       /* longest message allowed, without the NUL */
};

void frame_init(struct frame *frame, size_t max);
void frame_done(struct frame *frame);

/* Room for at least 4 KiB: read straight into *space, then frame_fed(). Pointers from frame_next() die here. */
void frame_space(struct frame *frame, char **space, size_t *n);
/* -EMSGSIZE: a message is longer than max; the peer must be dropped, after the whole messages before it are taken. */
must_check int frame_fed(struct frame *frame, size_t n, struct fail *fail);
/* The next whole message, NUL-terminated, valid until the next frame_space(); NULL: none yet. */
char *frame_next(struct frame *frame, size_t *len);
