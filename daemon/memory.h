/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Out of memory ends the process: every size that comes from outside is capped before it is allocated, so what fails here is
 * small, and the journal takes up after the restart what was not written down.
 */

#include <stdio.h>
#include <stdlib.h>

/* For what malloc and friends return: never NULL afterwards. */
static inline void *memory_need(void *memory)
{
	if (memory == NULL) {
		(void)fputs("upgd: out of memory\n", stderr);
		abort();
	}
	return memory;
}
