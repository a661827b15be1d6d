/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Faults on demand: files NODE/fault/NAME or LAB/fault/NAME, content [once:]WORD[:N].
 */

#include <stdbool.h>
#include <stdint.h>

struct fault {
	char word[32];
	int64_t number; /* what follows the colon, 0: nothing */
};

/* True when there is such a fault now; one marked once: is gone afterwards. */
bool fault_is_set(const char *name, struct fault *out);
/* The same for one word only. */
bool fault_is(const char *name, const char *word);
