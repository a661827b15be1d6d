/* SPDX-License-Identifier: MIT */
#pragma once
/* What by_hand.c and by_hand_probe.c share. */

#include "bind.h"
#include "by_hand.h"

struct by_hand_run {
	char *const *argv, *const *env;
	const char *cwd; /* NULL: anywhere */
	bool says_exit;  /* what it ends with is the answer */
};

void by_hand_word(FILE *out, const char *word, const char *secrets); /* of a shell command */
void by_hand_cannot(const struct by_hand *h, const char *what, const struct fail *fail);
struct bind by_hand_bind(const struct by_hand *h, int32_t lane);
int32_t by_hand_lane(const struct by_hand *h, enum lane_kind kind);
void by_hand_run(const struct by_hand *h, int32_t lane, const struct by_hand_run *run);
