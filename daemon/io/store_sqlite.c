/* SPDX-License-Identifier: MIT */
/*
 * The journal in SQLite: one STRICT table of integer columns and small texts, WAL, synchronous=FULL. Two connections: the
 * writer's, used only by the thread of store_writer.c once it runs (what happens on errors is told there), and a
 * reader's, used only by the loop thread. In WAL mode neither waits for the other.
 *
 * Every row carries a sum over its columns and the sum of the row before. It finds what disks, restores and well-meant
 * UPDATEs do to a journal; it is no signature. Rows cut off at the end leave no trace in the rest: a WAL that lost its
 * tail with the disk's cache opens at an earlier commit, and only observation of the world can tell.
 *
 * - Disk full at COMMIT: SQLite has rolled back by itself (a ROLLBACK then is an error); ENOSPC of an fsync is not that case.
 * - Disk full at open: a WAL journal cannot even be read then, because its -shm cannot grow. The ballast goes, then once more.
 * - Automatic checkpoints are off, since SQLite swallows their errors; they are made after the callbacks are on their way.
 * - A person with the sqlite3 shell holds the write lock: waited for BUSY_MS, then an error like any other.
 */
#include "store.h"

#include "daemon/failpoint.h"
#include "loop.h"
#include "store_dir.h"
#include "store_writer.h"

#include <sqlite3.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	APPLICATION_ID = 0x75706764, /* "upgd" */
	BUSY_MS = 30000,
	CHECKPOINT_FRAMES = 1000,    /* about 4 MiB of WAL, SQLite's own default */
};

#define COLUMNS "seq, at, boot_ms, epoch, kind, unit, step, lane, dir, attempt, code, value, hash, actor, text, sum"

#define INSERT_SQL "INSERT INTO journal (" COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"

/* An index on unit alone serves (unit, seq): SQLite keeps the rowid, which is seq, behind it. */
#define SCHEMA_SQL                                                                                                     \
	"CREATE TABLE journal (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, boot_ms INTEGER NOT NULL,"                \
	" epoch INTEGER NOT NULL, kind INTEGER NOT NULL, unit INTEGER, step INTEGER, lane INTEGER NOT NULL,"           \
	" dir INTEGER NOT NULL, attempt INTEGER NOT NULL, code INTEGER NOT NULL, value INTEGER NOT NULL,"              \
	" hash INTEGER NOT NULL, actor TEXT, text TEXT, sum INTEGER NOT NULL) STRICT;"                                 \
	"CREATE INDEX journal_unit ON journal (unit) WHERE unit IS NOT NULL;"

/* For eyes only; nothing here reads it. Made anew by a version that has more words. */
static const char view_sql[] =
	"CREATE VIEW log AS SELECT seq, strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS at_utc, epoch,"
	" CASE kind"
#define X(name, number, word, must_understand, doc) " WHEN " #number " THEN '" word "'"
#include "daemon/core/record.def"
#undef X
	" ELSE kind END AS kind, unit, step, lane, CASE dir WHEN 1 THEN 'undo' ELSE 'do' END AS dir, attempt, code,"
	" value, printf('%016x', hash) AS hash, coalesce(actor, 'upgd') AS actor, text FROM journal";

struct store {
	struct store_dir dir;
	sqlite3 *reader;             /* of the loop thread */
	struct store_writer *thread; /* NULL offline */

	sqlite3 *writer;             /* of the writer thread once it runs, like the rest */
	sqlite3_stmt *insert;
	uint64_t sum;                /* of the last committed row */
	int wal_frames;
	dev_t device;                /* of journal.db as it was opened */
	ino_t inode;
};

/* Each step is a bijection of the sum, so that no change of one column can go unnoticed. Fixed for ever, as is the order below. */
static uint64_t sum_int(uint64_t sum, uint64_t value)
{
	sum ^= value;
	sum = (sum << 29) | (sum >> 35);
	return sum * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t sum_text(uint64_t sum, const char *text)
{
	if (text == NULL)
		return sum_int(sum, 0);
	size_t len = strlen(text);
	sum = sum_int(sum, len + 1);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = 0;
		for (size_t k = 0; k < 8 && i + k < len; k++)
			word |= (uint64_t)(unsigned char)text[i + k] << (8 * k);
		sum = sum_int(sum, word);
	}
	return sum;
}

static uint64_t sum_record(uint64_t sum, const struct record *r)
{
	const uint64_t columns[] = { r->seq, (uint64_t)r->at_ms, r->boot_ms, r->epoch, r->kind, r->unit, r->step,
		(uint64_t)r->lane, r->dir, r->attempt, r->code, (uint64_t)r->value, r->hash };
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		sum = sum_int(sum, columns[i]);
	return sum_text(sum_text(sum, r->actor), r->text);
}

/* Full is also what a quota says. Only for writes: an fsync that says ENOSPC has lost pages like any other failed fsync. */
static bool is_full(sqlite3 *db)
{
	int rc = sqlite3_extended_errcode(db);
	int system = sqlite3_system_errno(db);
	if ((rc & 0xff) == SQLITE_FULL)
		return true;
	return (rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_SHMSIZE || rc == SQLITE_IOERR_SHMMAP) &&
		(system == ENOSPC || system == EDQUOT);
}

static int db_errno(sqlite3 *db)
{
	if (is_full(db))
		return -ENOSPC;
	switch (sqlite3_errcode(db) & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return -EACCES;
	case SQLITE_NOMEM:
		return -ENOMEM;
	}
	return -EIO;
}

/* What a person does about it. */
static const char *hint_for(int code)
{
	if (code == -ENOSPC)
		return ": free some space on that disk and start again";
	if (code == -EUCLEAN)
		return ": keep a copy of the directory, then restore it from a backup";
	if (code == -EBUSY)
		return ": another program holds it locked; end that one";
	if (code == -EACCES)
		return ": make it writable for upgd";
	/* SQLite often does not keep which it was */
	return code == -EIO ? ": the disk fails or has become read-only, see dmesg; when it is mended start again, and what reached it is read then" : "";
}

static int db_fail(const struct store *store, sqlite3 *db, struct fail *fail, const char *doing)
{
	int code = db_errno(db);
	int system = sqlite3_system_errno(db);
	const char *hint = hint_for(code);
	return fail_set(fail, code, "%s/journal.db: cannot %s: %s (SQLite %d%s%s)%s", store->dir.path, doing, sqlite3_errmsg(db),
		sqlite3_extended_errcode(db), system != 0 ? ", " : "", system != 0 ? strerror(system) : "", hint);
}

static int db_exec(const struct store *store, sqlite3 *db, const char *sql, const char *doing, struct fail *fail)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(store, db, fail, doing);
}

/* First column of the first row; 0 if there is no row. */
static int db_int(const struct store *store, sqlite3 *db, const char *sql, int64_t *out, struct fail *fail)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return db_fail(store, db, fail, "read it");
	int rc = sqlite3_step(stmt);
	int error = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : db_fail(store, db, fail, "read it");
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return error;
}

static int db_set(const struct store *store, sqlite3 **out, int rc, struct fail *fail)
{
	if (*out == NULL)
		abort();
	if (rc != SQLITE_OK)
		return db_fail(store, *out, fail, "open it");
	sqlite3_extended_result_codes(*out, 1);
	return db_exec(store, *out, "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON",
		"open it", fail);
}

static int db_open(const struct store *store, sqlite3 **out, int flags, struct fail *fail)
{
	char *path = sqlite3_mprintf("%s/journal.db", store->dir.path);
	if (path == NULL)
		abort();
	int rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);
	sqlite3_free(path);
	return db_set(store, out, rc, fail);
}

/* ---- rows ---- */

static void bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
	if (text != NULL)
		sqlite3_bind_text(stmt, column, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, column);
}

static int row_insert(sqlite3_stmt *insert, const struct record *r, uint64_t sum)
{
	sqlite3_clear_bindings(insert);
	sqlite3_bind_int64(insert, 1, (int64_t)r->seq);
	sqlite3_bind_int64(insert, 2, r->at_ms);
	sqlite3_bind_int64(insert, 3, (int64_t)r->boot_ms);
	sqlite3_bind_int64(insert, 4, r->epoch);
	sqlite3_bind_int64(insert, 5, r->kind);
	if (r->unit != RECORD_NO_UNIT)
		sqlite3_bind_int64(insert, 6, r->unit);
	if (r->step != RECORD_NO_STEP)
		sqlite3_bind_int64(insert, 7, r->step);
	sqlite3_bind_int64(insert, 8, r->lane);
	sqlite3_bind_int64(insert, 9, r->dir);
	sqlite3_bind_int64(insert, 10, r->attempt);
	sqlite3_bind_int64(insert, 11, r->code);
	sqlite3_bind_int64(insert, 12, r->value);
	sqlite3_bind_int64(insert, 13, (int64_t)r->hash);
	bind_text(insert, 14, r->actor);
	bind_text(insert, 15, r->text);
	sqlite3_bind_int64(insert, 16, (int64_t)sum);
	int rc = sqlite3_step(insert);
	sqlite3_reset(insert);
	return rc;
}

static uint64_t row_get(sqlite3_stmt *row, struct record *r)
{
	*r = (struct record){
		.seq = (uint64_t)sqlite3_column_int64(row, 0),
		.at_ms = sqlite3_column_int64(row, 1),
		.boot_ms = (uint64_t)sqlite3_column_int64(row, 2),
		.epoch = (uint32_t)sqlite3_column_int64(row, 3),
		.kind = (uint16_t)sqlite3_column_int64(row, 4),
		.unit = RECORD_NO_UNIT,
		.step = RECORD_NO_STEP,
		.lane = (int32_t)sqlite3_column_int64(row, 7),
		.dir = (uint8_t)sqlite3_column_int64(row, 8),
		.attempt = (uint8_t)sqlite3_column_int64(row, 9),
		.code = (uint16_t)sqlite3_column_int64(row, 10),
		.value = sqlite3_column_int64(row, 11),
		.hash = (uint64_t)sqlite3_column_int64(row, 12),
		.actor = (const char *)sqlite3_column_text(row, 13),
		.text = (const char *)sqlite3_column_text(row, 14),
	};
	if (sqlite3_column_type(row, 5) != SQLITE_NULL)
		r->unit = (uint32_t)sqlite3_column_int64(row, 5);
	if (sqlite3_column_type(row, 6) != SQLITE_NULL)
		r->step = (uint16_t)sqlite3_column_int64(row, 6);
	return (uint64_t)sqlite3_column_int64(row, 15);
}

static int kind_check(const struct store *store, const struct record *r, struct fail *fail)
{
	if (record_kind_word(r->kind) != NULL)
		return 0;
	return fail_set(fail, -EPROTO,
		"%s/journal.db: record %" PRIu64 " is of kind %u, which upgd " UPGD_VERSION " does not know: a newer upgd wrote it, run that one",
		store->dir.path, r->seq, r->kind);
}

/* Where a fold stands: the last row seen and its sum. */
struct chain {
	uint64_t seq, sum;
};

static int chain_check(const struct store *store, struct chain *chain, const struct record *r, uint64_t sum, struct fail *fail)
{
	const char *advice = "keep a copy of the directory, then restore it from a backup or end the rollout by hand";
	if (r->seq != chain->seq + 1)
		return fail_set(fail, -EUCLEAN, "%s/journal.db: record %" PRIu64 " is missing: %s", store->dir.path, chain->seq + 1, advice);
	if (sum_record(chain->sum, r) != sum)
		return fail_set(fail, -EUCLEAN, "%s/journal.db: record %" PRIu64 " does not match its checksum, it was damaged or altered: %s",
			store->dir.path, r->seq, advice);
	*chain = (struct chain){ r->seq, sum };
	return 0;
}

/* chain NULL: no sums are compared. The row that chain->seq names only starts the chain. */
static int rows_walk(struct store *store, sqlite3_stmt *rows, struct chain *chain, store_fold_fn *fn, void *arg, struct fail *fail)
{
	int rc;
	while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
		struct record record;
		uint64_t sum = row_get(rows, &record);
		if (chain != NULL && record.seq == chain->seq) {
			chain->sum = sum;
			continue;
		}
		int result = chain != NULL ? chain_check(store, chain, &record, sum, fail) : 0;
		if (result == 0)
			result = kind_check(store, &record, fail);
		if (result == 0)
			result = fn(arg, &record);
		if (result != 0)
			return result;
	}
	return rc == SQLITE_DONE ? 0 : db_fail(store, store->reader, fail, "read it");
}

static int rows_prepare(struct store *store, sqlite3_stmt **out, const char *sql, uint64_t after, struct fail *fail)
{
	if (sqlite3_prepare_v2(store->reader, sql, -1, out, NULL) != SQLITE_OK)
		return db_fail(store, store->reader, fail, "read it");
	sqlite3_bind_int64(*out, 1, after < INT64_MAX ? (int64_t)after : INT64_MAX);
	return 0;
}

int store_fold(struct store *store, uint64_t after, store_fold_fn *fn, void *arg, struct fail *fail)
{
	sqlite3_stmt *rows = NULL;
	int error = rows_prepare(store, &rows, "SELECT " COLUMNS " FROM journal WHERE seq >= ? ORDER BY seq", after, fail);
	if (error != 0)
		return error;
	struct chain chain = { after, 0 };
	int result = rows_walk(store, rows, &chain, fn, arg, fail);
	sqlite3_finalize(rows);
	return result;
}

int store_read(struct store *store, uint64_t after, uint32_t unit_or_all, size_t max, store_fold_fn *fn, void *arg, struct fail *fail)
{
	bool all = unit_or_all == RECORD_NO_UNIT;
	sqlite3_stmt *rows = NULL;
	int error = rows_prepare(store, &rows, all ?
		"SELECT " COLUMNS " FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2" :
		"SELECT " COLUMNS " FROM journal WHERE unit = ?3 AND seq > ?1 ORDER BY seq LIMIT ?2", after, fail);
	if (error != 0)
		return error;
	sqlite3_bind_int64(rows, 2, max < STORE_READ_MAX ? (int64_t)max : STORE_READ_MAX);
	if (!all)
		sqlite3_bind_int64(rows, 3, unit_or_all);
	int result = rows_walk(store, rows, NULL, fn, arg, fail);
	sqlite3_finalize(rows);
	return result;
}

/* ---- writing, on the writer's thread ---- */

static int rows_insert(struct store *store, const struct batches *group, uint64_t *sum)
{
	const struct batch *batch;
	STAILQ_FOREACH(batch, group, entry) {
		for (size_t i = 0; i < batch->n; i++) {
			*sum = sum_record(*sum, &batch->records[i]);
			if (row_insert(store->insert, &batch->records[i], *sum) != SQLITE_DONE)
				return -1;
			failpoint_written(batch->records[i].seq);
		}
	}
	return 0;
}

/* SQLite goes on writing to a file that has no name any more, and says that all is well. */
static int file_check(const struct store *store, struct fail *fail)
{
	struct stat st;
	char *path = sqlite3_mprintf("%s/journal.db", store->dir.path);
	if (path == NULL)
		abort();
	bool same = stat(path, &st) == 0 && st.st_dev == store->device && st.st_ino == store->inode;
	sqlite3_free(path);
	return same ? 0 : fail_set(fail, -ESTALE,
		"%s/journal.db was removed or replaced while upgd had it open: put the directory back as it was before you start upgd again; "
		"without it a rollout under way is not known any more", store->dir.path);
}

static int file_note(struct store *store, struct fail *fail)
{
	struct stat st;
	char *path = sqlite3_mprintf("%s/journal.db", store->dir.path);
	if (path == NULL)
		abort();
	int rc = stat(path, &st) == 0 ? 0 : fail_set(fail, -errno, "%s: %s", path, strerror(errno));
	sqlite3_free(path);
	store->device = st.st_dev;
	store->inode = st.st_ino;
	return rc;
}

static int group_commit(void *arg, const struct batches *group, struct fail *fail)
{
	struct store *store = arg;
	uint64_t sum = store->sum;
	if (sqlite3_exec(store->writer, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || rows_insert(store, group, &sum) != 0 ||
		sqlite3_exec(store->writer, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
		int error = db_fail(store, store->writer, fail, "write to it");
		if (!sqlite3_get_autocommit(store->writer))
			(void)sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
		return error;
	}
	failpoint_committed();
	store->sum = sum;
	return file_check(store, fail);
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct store *store = arg;
	(void)db;
	(void)name;
	store->wal_frames = frames;
	return SQLITE_OK;
}

/* PASSIVE never waits for a reader; what it could not copy now comes with the next one. */
static int checkpoint(void *arg, struct fail *fail)
{
	struct store *store = arg;
	if (store->wal_frames < CHECKPOINT_FRAMES)
		return 0;
	int rc = sqlite3_wal_checkpoint_v2(store->writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY)
		return 0;
	return db_fail(store, store->writer, fail, "move the write-ahead log into it");
}

/* ---- opening ---- */

static int journal_create(struct store *store, struct fail *fail)
{
	char *sql = sqlite3_mprintf("BEGIN IMMEDIATE; " SCHEMA_SQL "%s; PRAGMA application_id = %d; PRAGMA user_version = %d", view_sql,
		APPLICATION_ID, STORE_FORMAT);
	if (sql == NULL)
		abort();
	int error = db_exec(store, store->writer, sql, "make it", fail);
	sqlite3_free(sql);
	if (error != 0)
		return error;

	char text[128];
	(void)snprintf(text, sizeof(text), "{\"format\":%d,\"upgd\":\"%s\"}", STORE_FORMAT, UPGD_VERSION);
	const struct record header = { .seq = 1, .at_ms = loop_wall_ms(), .boot_ms = loop_boot_ms(), .kind = RECORD_HEADER,
		.unit = RECORD_NO_UNIT, .step = RECORD_NO_STEP, .lane = LANE_NONE, .text = text };
	sqlite3_stmt *insert = NULL;
	if (sqlite3_prepare_v2(store->writer, INSERT_SQL, -1, &insert, NULL) != SQLITE_OK ||
		row_insert(insert, &header, sum_record(0, &header)) != SQLITE_DONE)
		error = db_fail(store, store->writer, fail, "make it");
	sqlite3_finalize(insert);
	return error != 0 ? error : db_exec(store, store->writer, "COMMIT", "make it", fail);
}

/* Looks before anything is written: a file that is not ours, or newer than us, stays as it is. 1: there is nothing in it yet. */
static int format_check(const struct store *store, sqlite3 *db, struct fail *fail)
{
	int64_t application, format, tables;
	int error = db_int(store, db, "PRAGMA application_id", &application, fail);
	if (error == 0)
		error = db_int(store, db, "PRAGMA user_version", &format, fail);
	if (error == 0)
		error = db_int(store, db, "SELECT count(*) FROM sqlite_schema", &tables, fail);
	if (error != 0)
		return error;
	if (application == 0 && format == 0 && tables == 0)
		return 1;
	if (application != APPLICATION_ID)
		return fail_set(fail, -EPROTO, "%s/journal.db is an SQLite file, but no journal of upgd: give upgd another state directory",
			store->dir.path);
	if (format != STORE_FORMAT)
		return fail_set(fail, -EPROTO, "%s/journal.db has format %" PRId64 ", and upgd " UPGD_VERSION " knows %d: run the upgd that wrote it",
			store->dir.path, format, STORE_FORMAT);
	return 0;
}

static int journal_check(struct store *store, struct fail *fail)
{
	sqlite3_stmt *check = NULL;
	if (sqlite3_prepare_v2(store->writer, "PRAGMA quick_check(1)", -1, &check, NULL) != SQLITE_OK)
		return db_fail(store, store->writer, fail, "check it");
	int error = 0;
	if (sqlite3_step(check) != SQLITE_ROW)
		error = db_fail(store, store->writer, fail, "check it");
	else if (strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0)
		error = fail_set(fail, -EUCLEAN, "%s/journal.db is damaged (%s): keep a copy of the directory, then restore it from a backup",
			store->dir.path, (const char *)sqlite3_column_text(check, 0));
	sqlite3_finalize(check);
	return error;
}

/* A view of older words is replaced; that it could not be (full disk) harms nobody. */
static void view_renew(struct store *store)
{
	sqlite3_stmt *old = NULL;
	if (sqlite3_prepare_v2(store->writer, "SELECT sql FROM sqlite_schema WHERE name = 'log'", -1, &old, NULL) != SQLITE_OK)
		return;
	bool same = sqlite3_step(old) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(old, 0), view_sql) == 0;
	sqlite3_finalize(old);
	if (same)
		return;
	char *sql = sqlite3_mprintf("BEGIN IMMEDIATE; DROP VIEW IF EXISTS log; %s; COMMIT", view_sql);
	if (sql == NULL)
		abort();
	if (sqlite3_exec(store->writer, sql, NULL, NULL, NULL) != SQLITE_OK && !sqlite3_get_autocommit(store->writer))
		(void)sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_free(sql);
}

static int wal_set(struct store *store, struct fail *fail)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(store->writer, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) != SQLITE_OK)
		return db_fail(store, store->writer, fail, "open it");
	int error = 0;
	if (sqlite3_step(stmt) != SQLITE_ROW)
		error = db_fail(store, store->writer, fail, "open it");
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") != 0)
		error = fail_set(fail, -ENOTSUP, "%s/journal.db: no write-ahead log is possible there (a network file system?): use a local disk",
			store->dir.path);
	sqlite3_finalize(stmt);
	if (error != 0)
		return error;
	sqlite3_wal_hook(store->writer, on_wal, store); /* and no automatic checkpoint any more */
	return db_exec(store, store->writer, "PRAGMA synchronous = FULL", "open it", fail);
}

static int writer_open(struct store *store, struct fail *fail)
{
	int error = db_open(store, &store->writer, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, fail);
	if (error != 0)
		return error;
	sqlite3_busy_timeout(store->writer, BUSY_MS);
	int fresh = format_check(store, store->writer, fail);
	if (fresh < 0)
		return fresh;
	error = wal_set(store, fail);
	if (error == 0)
		error = fresh ? journal_create(store, fail) : journal_check(store, fail);
	if (error != 0)
		return error;
	view_renew(store);
	if (sqlite3_prepare_v3(store->writer, INSERT_SQL, -1, SQLITE_PREPARE_PERSISTENT, &store->insert, NULL) != SQLITE_OK)
		return db_fail(store, store->writer, fail, "open it");
	return 0;
}

static void db_close(struct store *store)
{
	sqlite3_finalize(store->insert);
	sqlite3_close(store->reader);
	sqlite3_close(store->writer); /* the last one moves the log into the file and removes it */
	store->insert = NULL;
	store->reader = store->writer = NULL;
}

static int both_open(struct store *store, int64_t *last_seq, struct fail *fail)
{
	int64_t sum = 0;
	int error = writer_open(store, fail);
	if (error == 0)
		error = db_open(store, &store->reader, SQLITE_OPEN_READONLY, fail);
	if (error == 0)
		error = file_note(store, fail);
	if (error == 0)
		error = db_int(store, store->reader, "SELECT max(seq) FROM journal", last_seq, fail);
	if (error == 0)
		error = db_int(store, store->reader, "SELECT sum FROM journal ORDER BY seq DESC LIMIT 1", &sum, fail);
	if (error == 0 && *last_seq == 0)
		error = fail_set(fail, -EUCLEAN, "%s/journal.db: record 1 is missing: keep a copy of the directory, then restore it from a backup",
			store->dir.path);
	store->sum = (uint64_t)sum;
	return error;
}

int store_open(struct store **out, struct loop *loop, const struct store_options *options, struct fail *fail)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		abort();
	size_t ballast = options->ballast_bytes != 0 ? options->ballast_bytes : STORE_BALLAST_BYTES;
	int64_t last_seq = 0;
	int error = store_dir_open(&store->dir, options->dir, fail);
	if (error == 0)
		error = both_open(store, &last_seq, fail);
	if ((error == -ENOSPC || error == -EIO) && store_dir_drop_ballast(&store->dir)) {
		db_close(store);
		error = both_open(store, &last_seq, fail);
	}
	if (error == 0)
		error = store_writer_start(&store->thread, &(struct store_writer_options){
			.loop = loop,
			.dir = &store->dir,
			.ballast_bytes = ballast,
			.ballast_retry_ms = options->ballast_retry_ms != 0 ? options->ballast_retry_ms : STORE_BALLAST_RETRY_MS,
			.low = !store_dir_lay_ballast(&store->dir, ballast),
			.next_seq = (uint64_t)last_seq + 1,
			.write = group_commit,
			.tidy = checkpoint,
			.arg = store,
		}, fail);
	if (error != 0) {
		store_close(store);
		return error;
	}
	*out = store;
	return 0;
}

/* SQLite has the same words for a directory that is wrong and for a disk that fails. */
static int offline_find(const struct store *store, struct fail *fail)
{
	struct stat st;
	char *path = sqlite3_mprintf("%s/journal.db", store->dir.path);
	if (path == NULL)
		abort();
	int error = stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR) ?
		fail_set(fail, -ENOENT, "%s: there is no journal here: no upgd has run with this state directory yet, or it is another one", path) : 0;
	sqlite3_free(path);
	return error;
}

static int offline_check(struct store *store, struct fail *fail)
{
	(void)sqlite3_db_config(store->reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	int error = format_check(store, store->reader, fail);
	return error != 1 ? error : fail_set(fail, -ENOENT, "%s/journal.db is empty: no upgd has run with this state directory yet", store->dir.path);
}

/* As a name in a URI. */
static void put_path(FILE *out, const char *path)
{
	for (; *path != '\0'; path++)
		if (strchr("%?#", *path) != NULL)
			(void)fprintf(out, "%%%02x", (unsigned)*path);
		else
			(void)fputc(*path, out);
}

/*
 * Where nothing can be written, on a full or read-only file system, there is no room for the index of the log, and SQLite reads nothing.
 * Without locks it keeps that index in memory, and a file that has no log is taken as it is: sound as long as nobody writes.
 */
static int still_open(struct store *store, struct fail *fail)
{
	char *uri = NULL;
	size_t size;
	struct stat st;
	char *log = sqlite3_mprintf("%s/journal.db-wal", store->dir.path);
	FILE *out = open_memstream(&uri, &size);
	if (log == NULL || out == NULL)
		abort();
	bool has_log = stat(log, &st) == 0 && st.st_size > 0;
	sqlite3_free(log);
	(void)fputs("file:", out);
	put_path(out, store->dir.path);
	(void)fputs(has_log ? "/journal.db?vfs=unix-none" : "/journal.db?immutable=1", out);
	(void)fclose(out);
	sqlite3_close(store->reader);
	store->reader = NULL;
	int rc = sqlite3_open_v2(uri, &store->reader, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	free(uri);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(store->reader, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
	int error = db_set(store, &store->reader, rc, fail);
	return error != 0 ? error : offline_check(store, fail);
}

int store_open_offline(struct store **out, const char *dir, struct fail *fail)
{
	struct store *store = calloc(1, sizeof(*store));
	char pid[32];
	if (store == NULL)
		abort();
	store->dir = (struct store_dir){ .path = strdup(dir), .fd = -1, .lock_fd = -1 };
	if (store->dir.path == NULL)
		abort();
	int error = offline_find(store, fail);
	if (error == 0)
		error = db_open(store, &store->reader, SQLITE_OPEN_READONLY, fail);
	if (error == 0)
		error = offline_check(store, fail);
	if ((error == -EIO || error == -ENOSPC || error == -EACCES) && !store_dir_is_held(dir, pid))
		error = still_open(store, fail);
	if (error != 0) {
		store_close(store);
		return error;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	store_writer_stop(store->thread);
	db_close(store);
	store_dir_close(&store->dir);
	free(store);
}

void store_append(struct store *store, const struct record *records, size_t n, store_durable_fn *fn, void *arg)
{
	store_writer_append(store->thread, records, n, fn, arg);
}

bool store_is_low(const struct store *store)
{
	return store_writer_is_low(store->thread);
}

const char *store_library(void)
{
	static char text[64];
	(void)snprintf(text, sizeof(text), "SQLite %s", sqlite3_libversion());
	return text;
}
