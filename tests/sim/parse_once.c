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

enum { KEPT_MAX = 8, PARAMS_MAX = 64 };
static struct kept {
	struct profile *profile;
	char *text, *params[PARAMS_MAX];
} kept[KEPT_MAX];
static size_t n_kept;

static bool same(const struct kept *k, const char *text, const char *const *params)
{
	if (strcmp(k->text, text) != 0)
		return false;
	size_t i = 0;
	for (; params[i] != NULL && i < PARAMS_MAX - 1; i++)
		if (k->params[i] == NULL || strcmp(k->params[i], params[i]) != 0)
			return false;
	return k->params[i] == NULL;
}

struct profile *__wrap_profile_parse(const char *text, const char *name, const char *const *params, struct conf_errors *errors, struct fail *fail)
{
	for (size_t i = 0; params != NULL && i < n_kept; i++)
		if (same(&kept[i], text, params))
			return kept[i].profile;
	struct profile *profile = __real_profile_parse(text, name, params, errors, fail);
	if (n_kept == KEPT_MAX || profile == NULL || params == NULL)
		return profile;
	struct kept *k = &kept[n_kept++];
	k->profile = profile;
	k->text = strdup(text);
	for (size_t i = 0; params[i] != NULL && i < PARAMS_MAX - 1; i++)
		k->params[i] = strdup(params[i]);
	return profile;
}

void __wrap_profile_free(struct profile *profile)
{
	for (size_t i = 0; i < n_kept; i++)
		if (profile == kept[i].profile)
			return;
	__real_profile_free(profile);
}
