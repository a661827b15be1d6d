/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a step does and what a probe asks, as lines that a person pastes into a shell on the host of upgd: nodes are reached as upgd.conf
 * says, balancers by their sockets, databases by their option files. Secrets stay where they are and are named, not printed. Asks and
 * changes nothing; which commands are due, and in which order, is the runbook's affair.
 */

#include "core/rollout.h"

#include <stdio.h>

struct config;

struct by_hand {
	const struct config *config;
	const struct rollout *r; /* with facts: which node is of which class */
	const char *captures;    /* of the unit, JSON; NULL: none */
	uint32_t unit;
	FILE *out;
};

/* Foreign text inside a comment: it neither ends its line nor speaks to the terminal. */
void by_hand_plain(FILE *out, const char *text);
/* The step's action, or its undo, in every place where it must happen. Says as a comment what cannot be said as a command. */
void by_hand_action(const struct by_hand *hand, const struct step *step, bool undo);
/* The probe's question, and as a comment what must come of it. */
void by_hand_probe(const struct by_hand *hand, uint16_t probe);
/* The rows that a counter of tenants is made of; nothing for the others. */
void by_hand_count(const struct by_hand *hand, const struct counter *counter);
/* Waits until the runner of this lane has no running task of this id. */
void by_hand_wait(const struct by_hand *hand, int32_t lane, const char *id);
/* The line that sets a server in all processes of a balancer. */
void by_hand_server(const struct by_hand *hand, uint8_t balancer, const char *server, enum server_state state);
