/* SPDX-License-Identifier: MIT */
#pragma once
/* How replies are shown: one function per verb, each given the parameters of a reply. JSON needs none of them. */

#include <stdio.h>

struct json_object;

typedef void render_fn(FILE *out, struct json_object *params);

struct render {
	render_fn *status, *units, *explain, *show, *log, *check, *plan, *history, *whoami;
	render_fn *text; /* all others: the sentence in "text" */
};

extern const struct render render_text;

render_fn *render_for(const struct render *render, const char *verb);
