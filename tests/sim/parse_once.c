/* SPDX-License-Identifier: MIT */
/*
 * A hundred thousand runs of one profile: the engine parses it at every start and every restart, which is most of the time there is. The
 * linker gives these two for the real ones (-Wl,--wrap); the same text and parameters give the same profile, which nobody writes to.
 */
#include "daemon/profile_load.h"

#include <stdlib.h>
#include <string.h>

struct profile *__real_profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail);
void __real_profile_free(struct profile *profile);
struct profile *__wrap_profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail);
void __wrap_profile_free(struct profile *profile);

static struct profile *kept;
static char *kept_text;
static char *kept_params[64];

static bool same(const char *text, const char *const *params)
{
	if (kept == NULL || strcmp(kept_text, text) != 0)
		return false;
	size_t i = 0;
	for (; params[i] != NULL && i < 63; i++)
		if (kept_params[i] == NULL || strcmp(kept_params[i], params[i]) != 0)
			return false;
	return kept_params[i] == NULL;
}

struct profile *__wrap_profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	if (params != NULL && same(text, params))
		return kept;
	struct profile *profile = __real_profile_parse(text, name, params, errors, fail);
	if (kept == NULL && profile != NULL && params != NULL) {
		kept = profile;
		kept_text = strdup(text);
		for (size_t i = 0; params[i] != NULL && i < 63; i++)
			kept_params[i] = strdup(params[i]);
	}
	return profile;
}

void __wrap_profile_free(struct profile *profile)
{
	if (profile != kept)
		__real_profile_free(profile);
}
