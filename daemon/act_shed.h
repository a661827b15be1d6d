/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One round of shedding: at most so many sessions of a server are ended, in all processes of a balancer together, one process after the other.
 */

#include <stddef.h>

struct site;
struct act_shed;

/* error: of a process that could not be asked, the last one; the others were. From the loop. */
typedef void act_shed_fn(void *arg, unsigned ended, const char *error);

struct act_shed *act_shed_start(struct site *site, const char *balancer, const char *server, unsigned most, act_shed_fn *fn, void *arg);
void act_shed_cancel(struct act_shed *shed); /* NULL is fine */
