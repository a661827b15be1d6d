/* SPDX-License-Identifier: MIT */
#pragma once
/* What a failure says, held against the rows of on_failure; and what is kept of it. Pure, no I/O. */

#include "core/profile.h"

enum { CAUSES_OUTPUT_MAX = 16 << 10 };

/* Bits of the rows whose match fits; a row without one fits anything. Each text may be NULL. */
uint8_t causes_fit(const struct step *step, const char *said, const char *output);

/* The end of what was printed, at most CAUSES_OUTPUT_MAX bytes, from the beginning of a line or a character on; owned by the caller. */
char *causes_output(const char *out, size_t len);
