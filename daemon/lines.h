/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The eyes on the lines that steps have set in files of their nodes (core/lines.c): one question at a time for each node, a few nodes at once,
 * all of them every tenth observe interval. What is otherwise than it was set, or so again, is told to the engine.
 */

#include <stdbool.h>

struct executor;
struct lines;
struct record;
struct rollout;

typedef void lines_fn(void *arg);

struct lines *lines_new(struct executor *executor);
void lines_free(struct lines *lines); /* NULL is fine */
void lines_on(struct lines *lines, bool on);
void lines_applied(struct lines *lines, const struct rollout *r, const struct record *rec);
void lines_forget(struct lines *lines); /* another rollout is in memory; who waits is not called */

/*
 * fn runs from the loop when every line has been read since a few seconds before this call, and since it came into custody. A node that did not answer the last time is not
 * waited for: what nobody can read is not taken as changed.
 */
void lines_refresh(struct lines *lines, lines_fn *fn, void *arg);
void lines_refresh_cancel(struct lines *lines, void *arg); /* all of this arg */
