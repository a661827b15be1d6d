/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The state directory: one directory per task, named by its id, with its records. This file decides what a directory means;
 * it runs nothing.
 */

#include "proto/fail.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct json_object;

enum { TASK_ID_MAX = 200, TASK_NAME_MAX = 256, TASK_SPEC_MAX = 60 << 10, TASK_LOCK_FD = 3 };

struct store {
	int fd;
	char path[PATH_MAX]; /* absolute */
	char secrets[PATH_MAX];
};

struct task {
	char name[TASK_NAME_MAX];
	int dir_fd, lock_fd;
	struct json_object *exit; /* owned: the exit record, for TASK_ENDED */
	bool fresh;               /* nothing was here before this claim */
	char left[240];           /* TASK_HALF: who still runs, for people */
};

enum { TASK_BUSY = 1, TASK_HALF, TASK_ENDED };

/* Makes the directory, 0700, if it is not there. */
must_check int store_open(struct store *store, const char *path, const char *secrets, struct fail *fail);
void store_close(struct store *store);
void store_sweep(const struct store *store);          /* forgets acknowledged ids after 30 days */

/* -EINVAL: no id. The name is the id itself where it can be; other bytes are percent-encoded. */
must_check int task_name(const char *id, char name[TASK_NAME_MAX], struct fail *fail);

/*
 * Claims the id for this request: 0 = it is ours to run, its request is durable, we hold its lock. TASK_BUSY: somebody holds the
 * lock, so it runs. TASK_HALF: its supervisor was killed and processes of it still run: to be asked again, until they are gone; what
 * may be killed (a deadline that is over, a cancel) is. TASK_ENDED: task->exit says how; a task found dead without an exit record gets
 * one here, saying "lost". Negative: refused. The caller owes a task_close() after 0 and the positive codes.
 */
must_check int task_claim(const struct store *store, const char *id, struct json_object *spec, struct task *task, struct fail *fail);
void task_close(struct task *task);
#define TASK_NONE ((struct task){ .dir_fd = -1, .lock_fd = -1 })

/* For others than the owner; these never take the lock. */
must_check int task_open(const struct store *store, const char *name, struct task *task, struct fail *fail);
bool task_is_locked(const struct task *task);
bool task_has(const struct task *task, const char *record);
struct json_object *task_record(const struct task *task, const char *record, struct fail *fail); /* owned by the caller, or NULL */
/* Something of it runs: it is locked, or half dead. */
bool task_runs(const struct task *task);
/* The state word of a record for a person: claimed, running, unwatched (TASK_HALF), lost, or the exit record's. */
void task_state(const struct task *task, char *text, size_t size);

/* Its end, for one that may have run and of which no more can be known; task->exit is the record. */
void task_lost(const struct store *store, struct task *task, const char *why);
must_check int task_save(const struct task *task, const char *record, struct json_object *value, struct fail *fail);
/* Forgets a task that has ended; its id is remembered as used. Does nothing to a running one. */
void task_ack(const struct store *store, const char *id);
/* Asks the supervisor to end the program; 1 = the task is not running. */
must_check int task_cancel(const struct store *store, const char *id, struct fail *fail);
