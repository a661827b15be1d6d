/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What stands behind the control socket: every method of io.upgd.Control. Reads the rollout, the journal and the last facts; changes
 * nothing itself, commands go through the engine. Keeps beside it only what a reader wants and the state does not hold: the last reason
 * of each unit, the list of earlier rollouts, and who follows.
 */

#include "core/rollout.h"
#include "proto/fail.h"

struct config;
struct control_call;
struct engine;
struct executor;
struct loop;
struct site;
struct store;
struct views;

struct json_object;

struct views_options { /* all borrowed, longer-lived */
	struct loop *loop;
	struct store *store;
	struct engine *engine;
	struct site *site;
	struct executor *executor;
	const struct config *config;
};

struct views *views_new(const struct views_options *options);
/* What was asked at the site is cancelled; open calls stay with the control socket, which is to be freed in between. */
void views_stop(struct views *views);
void views_free(struct views *views);

/* A control_handle_fn. */
void views_handle(void *arg, struct control_call *call);

/* What Status answers; owned by the caller. */
struct json_object *views_status(const struct views *views);

/* Every record as it is applied, folded ones too. */
void views_applied(struct views *views, const struct rollout *rollout, const struct record *record);
/* Followers get to see something soon: the journal went on, or what waits changed. */
void views_changed(struct views *views);
