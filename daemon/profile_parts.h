/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files that read a profile share: profile_load.c (the file as a whole), profile_sets.c, profile_steps.c. */

#include "core/profile.h"
#include "io/conf.h"

struct loader {
	struct profile *profile;
	const char *const *params;  /* KEY, VALUE ..., NULL; NULL: none given */
	bool early;                 /* what has a probe may be missing: it is about to be asked */
	const struct conf_node *left_out; /* stages that the plan does without; they may be named */
	size_t n_left_out;
	struct conf_errors *errors;
};

char *profile_copy(const char *text); /* NULL gives NULL */
void *profile_zeros(size_t n, size_t size);

/* One value of a group, as the profile keeps it: a copy, NULL if it is absent; a NULL-terminated list of copies; a word of a closed list, the first by default. */
char *profile_text(struct loader *l, const struct conf_node *group, const char *key, enum conf_need need);
char **profile_list(struct loader *l, const struct conf_node *group, const char *key);
unsigned profile_word(struct loader *l, const struct conf_node *group, const char *key, const char *const *words);
/* A duration that may be ${param.x}: the parameter's default is used until start gives another one. */
uint64_t profile_duration(struct loader *l, const struct conf_node *group, const char *key);
char *profile_regex(struct loader *l, const struct conf_node *group, const char *key); /* one that compiles, and no template; NULL if absent */
size_t profile_probes(struct loader *l, const struct conf_node *group, const char *key, uint16_t out[PROFILE_LIST_MAX]);
bool profile_one_probe(struct loader *l, const struct conf_node *group, const char *key, uint16_t *out); /* false: absent, or not known */
size_t profile_exits(struct loader *l, const struct conf_node *group, uint8_t out[PROFILE_EXITS_MAX]);

uint8_t profile_class(struct loader *l, const struct conf_node *at, const char *name);
uint8_t profile_balancer_index(struct loader *l, const char *name);
/* What does not fit is never left out in silence: a floor that is not looked at guards nobody. */
void profile_too_many(struct loader *l, const struct conf_node *at, const char *what, size_t most, size_t n);

void profile_load_classes(struct loader *l, const struct conf_node *root);
void profile_load_sets(struct loader *l, const struct conf_node *root);
void profile_load_probes(struct loader *l, const struct conf_node *root);
void profile_load_stages(struct loader *l, const struct conf_node *root);
