/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What all users saw: counts, the denied intervals of each schema, the last failures, which node served. Written as
 * one JSON file (atomically) and as a log of one line per event. Does not judge.
 */

#include "judge.h"

#include "proto/fail.h"

#include <stdint.h>

struct tally;

/* log_path is appended to. NULL with fail set if it cannot be opened. */
struct tally *tally_open(const char *log_path, struct fail *fail);
void tally_close(struct tally *tally);

/* Finds or adds; the id is what tally_count takes. */
unsigned tally_schema(struct tally *tally, const char *name);

/* One user of a schema, as far as the tally must know it. */
struct tally_user {
	const char *login;
	unsigned schema;
	bool off;            /* an admin had disabled the context: denied is right, ok is a failure */
	unsigned denied_mark; /* the tally's own: the interval this user was counted in */
};

/* One judged request at a wall clock time in ms; node may be NULL. */
void tally_count(struct tally *tally, struct tally_user *user, const struct judgement *judgement, const char *node,
	const char *target, int64_t now_ms, unsigned took_ms);

/* Users with a session now: the file says it. */
void tally_sessions(struct tally *tally, unsigned n_sessions, unsigned n_users);

must_check int tally_write(struct tally *tally, const char *path, int64_t now_ms, struct fail *fail);
