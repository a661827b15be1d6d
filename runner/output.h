/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The output of one program in a fixed amount of memory: its first 16 KiB, its last 48 KiB, and a count of what lies
 * between. Secrets are taken out as it streams through, also where a read split them.
 */

#include "secret.h"

#include <stdbool.h>
#include <stdint.h>

enum { OUTPUT_HEAD = 16 << 10, OUTPUT_TAIL = 48 << 10, OUTPUT_MAX = OUTPUT_HEAD + OUTPUT_TAIL + 128 };

struct output {
	const struct secrets *secrets;   /* borrowed */
	size_t longest;                  /* secret */
	size_t n_head;
	uint64_t n_tail;                 /* bytes ever put into the ring */
	size_t n_carry;                  /* bytes that might begin a secret */
	char head[OUTPUT_HEAD];
	char tail[OUTPUT_TAIL];          /* a ring */
	char carry[4 * SECRET_MAX];
};

void output_init(struct output *output, const struct secrets *secrets);
void output_feed(struct output *output, const char *data, size_t len);
void output_end(struct output *output);                           /* nothing more will come */
bool output_is_whole(const struct output *output);                /* nothing is left out of output_text() */
size_t output_text(const struct output *output, char *text);      /* at most OUTPUT_MAX bytes, no NUL at the end */
