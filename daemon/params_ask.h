/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the site says of parameters that nobody gave (params.X.probe). Asked before there is anything else: no rollout, no plan, no rows but
 * the nodes of upgd.conf. A probe of a node is asked of every one of them, and all that answer must say the same.
 */

#include "core/profile.h"

#include <stddef.h>

struct site;
struct params_ask;

struct params_said {
	const char *param;
	const char *value; /* NULL: it is not known */
	const char *text;  /* who said it, or why it is not known */
};

/* Called once from the loop, never from inside params_ask_start(); everything is borrowed for the call. */
typedef void params_ask_fn(void *arg, const struct params_said *said, size_t n);

/* profile: borrowed until the callback; asks for its parameters with a probe and no value. NULL: there is none of those. */
struct params_ask *params_ask_start(struct site *site, const struct profile *profile, params_ask_fn *fn, void *arg);
void params_ask_cancel(struct params_ask *ask); /* no callback after this; NULL is fine */
