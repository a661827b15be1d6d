/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The thread that writes batches: queue, group commit, what to do when the disk is full, and the way back to the loop. The
 * transaction itself is the caller's function; this knows no database.
 */

#include "store.h"
#include "store_dir.h"

#include <sys/queue.h>

struct store_writer;

struct batch {
	STAILQ_ENTRY(batch) entry;
	size_t n;
	store_durable_fn *fn;
	void *arg;
	int error;
	const char *text;        /* borrowed from the writer */
	struct record records[]; /* their texts lie behind them */
};
STAILQ_HEAD(batches, batch);

struct store_writer_options {
	struct loop *loop;
	const struct store_dir *dir; /* borrowed */
	size_t ballast_bytes;
	unsigned ballast_retry_ms;
	bool low;          /* there is no ballast at the start */
	uint64_t next_seq; /* the first append begins here */

	/* Both run on the writer's thread. write: one transaction for all batches; on failure nothing of it is there. */
	int (*write)(void *arg, const struct batches *group, struct fail *fail);
	int (*tidy)(void *arg, struct fail *fail); /* after each group, when its callbacks are on their way */
	void *arg;
};

must_check int store_writer_start(struct store_writer **out, const struct store_writer_options *options, struct fail *fail);
void store_writer_stop(struct store_writer *writer); /* writes what is queued; no callback any more; NULL is fine */
void store_writer_append(struct store_writer *writer, const struct record *records, size_t n, store_durable_fn *fn, void *arg);
bool store_writer_is_low(const struct store_writer *writer);
