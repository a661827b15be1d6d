/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The journal behind one interface: SQLite today (store_sqlite.c), memory in the simulator. A batch is all or nothing. Nothing with an
 * effect happens before on_durable. A failed write is never retried and trusted: the store says so once and the daemon stops.
 */

#include "daemon/core/record.h"
#include "proto/fail.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct store;

enum { STORE_FORMAT = 1, STORE_BALLAST_BYTES = 16 << 20, STORE_BALLAST_RETRY_MS = 10000, STORE_READ_MAX = 4096 };

typedef void store_durable_fn(void *arg, int error, const char *text); /* error 0, or -errno (-ENOSPC: see below) */
typedef int store_fold_fn(void *arg, const struct record *record);     /* non-zero stops the fold and is returned */

struct store_options {
	const char *dir;         /* journal.db, ballast and the lock live here; made 0700 if missing */
	size_t ballast_bytes;    /* 0 = STORE_BALLAST_BYTES */
	unsigned ballast_retry_ms; /* how often to try to lay a dropped ballast again; 0 = STORE_BALLAST_RETRY_MS */
};

/*
 * Opens or makes the journal, checks format and integrity, takes the lock (a second daemon is refused by name and pid), and
 * starts the writer thread. -EUCLEAN: damaged, text names the record; -EPROTO: a newer format.
 */
must_check int store_open(struct store **out, struct loop *loop, const struct store_options *options, struct fail *fail);
/* Waits until everything appended is on the disk. No callback after it has begun; not from inside one. NULL is fine. */
void store_close(struct store *store);

/*
 * All records with seq > after, in order, before the first append. Text is borrowed for the call. Every record's checksum is
 * compared, chained with the one before: -EUCLEAN names the record. -EPROTO: a kind that this version does not know.
 */
must_check int store_fold(struct store *store, uint64_t after, store_fold_fn *fn, void *arg, struct fail *fail);

/*
 * Queues a batch: seq must go on from the last one (-EINVAL and nothing more is accepted). Copies everything. on_durable runs from the loop, in order of the appends.
 * On a full disk the ballast is dropped and the batch tried once more; from then on store_is_low() is true until
 * the ballast could be laid again. If even that fails: -ENOSPC, and this store accepts nothing more.
 */
void store_append(struct store *store, const struct record *records, size_t n, store_durable_fn *fn, void *arg);

bool store_is_low(const struct store *store); /* admit nothing new, close what is open */

/*
 * Reads for people (log, explain, show): what is committed, never blocks the writer; at most `max` rows (and STORE_READ_MAX: go on
 * from the last seq) with seq > after. unit_or_all = RECORD_NO_UNIT: of all units. Checksums are not compared here.
 */
must_check int store_read(struct store *store, uint64_t after, uint32_t unit_or_all, size_t max, store_fold_fn *fn, void *arg, struct fail *fail);

/*
 * Opens read-only with no lock, for `upgd --offline`: only store_fold, store_read and store_close work. Changes nothing that a daemon would
 * miss, and works beside one; on a read-only or full file system only without one.
 */
must_check int store_open_offline(struct store **out, const char *dir, struct fail *fail);

const char *store_library(void);
