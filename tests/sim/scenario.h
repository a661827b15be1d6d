/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A scenario file: inputs at the left margin, the transcript they must give indented below. `--bless` in the environment variable
 * SIM_BLESS writes what came out, to be read by a person before it is kept.
 */

/* The profile with another setting: orphans "kills" or "asks", "tight" tenants_down, a register that only "verifies". */
const char *scenario_profile(const char *word);
/* 0: as expected. Prints the first line that differs. */
int scenario_run(const char *path, const char *profile_text);
