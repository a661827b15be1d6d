/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a ${name} of a profile means for one unit at one place: the only source of values for templates. Which names are in scope where
 * is proved when the profile is loaded (profile_prove.c); a name without a value here is an error with a sentence.
 */

#include "core/rollout.h"
#include "proto/fail.h"

struct bind {
	const struct profile *profile;
	const struct row *row;     /* of the unit; NULL: none */
	const struct rollout *r;   /* for lane, old, new and count; NULL: none, as in a discovery */
	const char *cluster;
	const char *captures;      /* JSON; NULL: none */
	uint32_t rollout;          /* its number */
	int32_t lane;              /* enum record_lane or a row */
	char value[4096];          /* the last one */
};

/* New strings owned by the caller, NULL with fail set; a whole list is one to be freed with bind_list_free(). */
char *bind_text(struct bind *bind, const char *text, struct fail *fail);
char *bind_regex(struct bind *bind, const char *text, struct fail *fail);
/* A statement: values are safe where they stand: inside backticks without a backtick, elsewhere letters, digits and _ . - only. */
char *bind_sql(struct bind *bind, const char *text, struct fail *fail);
/* A value may not become an option: an element that begins with ${ must not be bound to something that begins with "-". list NULL: empty. */
char **bind_list(struct bind *bind, char *const *list, struct fail *fail);
void bind_list_free(char **list);
