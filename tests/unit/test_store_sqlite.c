/* SPDX-License-Identifier: MIT */
/*
 * The journal against real files: what was acknowledged survives kill -9, damage is named, a full disk gives the ballast
 * first and says no second. The full disk is a small tmpfs (root only; skipped otherwise). A failing fsync is made by the
 * fdatasync() below, which SQLite's calls reach because the executable's symbols come first.
 */
#include "daemon/io/loop.h"
#include "daemon/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000 };

static atomic_bool fsync_fails;
static atomic_uint fsyncs;

int fdatasync(int fd)
{
	atomic_fetch_add(&fsyncs, 1);
	if (atomic_load(&fsync_fails)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
	char dir[64];
	struct loop *loop;
	struct loop_timer *watchdog;
	struct store *store;
	struct fail fail;
	bool mounted;
};

static void on_watchdog(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for %d ms", DEADLINE_MS);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->dir, "/tmp/upgd-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->loop = loop_new(&f->fail);
	assert_non_null(f->loop);
	f->watchdog = loop_timer_new(f->loop, on_watchdog, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	atomic_store(&fsync_fails, false);
	store_close(f->store);
	loop_timer_free(f->watchdog);
	loop_free(f->loop);
	if (f->mounted)
		umount2(f->dir, MNT_DETACH);
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	int rc = system(command);
	free(f);
	return rc;
}

static const char *path_of(const struct fixture *f, const char *file)
{
	static char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, file);
	return path;
}

static int open_with(struct fixture *f, size_t ballast)
{
	struct store_options options = { .dir = f->dir, .ballast_bytes = ballast, .ballast_retry_ms = 50 };
	return store_open(&f->store, f->loop, &options, &f->fail);
}

static void open_ok(struct fixture *f)
{
	if (open_with(f, 1 << 20) != 0)
		fail_msg("%s", f->fail.text);
}

static void close_it(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static struct record record_of(uint64_t seq, const char *text)
{
	return (struct record){ .seq = seq, .at_ms = 1700000000000 + (int64_t)seq, .boot_ms = seq * 3, .epoch = 7, .kind = RECORD_INTENT,
		.unit = (uint32_t)(seq % 5), .step = 2, .lane = LANE_LOCAL, .dir = DIR_UNDO, .attempt = 3, .code = 9,
		.value = -5, .hash = UINT64_MAX - seq, .actor = "uid=1001(eva)", .text = text };
}

struct ack {
	struct fixture *f;
	int n, error;
	char text[480];
	int stop_at;
	int order[64];
	int n_order;
};

static void on_durable(void *arg, int error, const char *text)
{
	struct ack *ack = arg;
	ack->n++;
	ack->error = error;
	(void)snprintf(ack->text, sizeof(ack->text), "%s", text != NULL ? text : "");
	if (ack->n == ack->stop_at)
		loop_quit(ack->f->loop);
}

static void run(struct fixture *f)
{
	loop_timer_set(f->watchdog, DEADLINE_MS);
	assert_int_equal(loop_run(f->loop), 0);
	loop_timer_clear(f->watchdog);
}

/* Appends one record and waits for it. */
static int append_one(struct fixture *f, uint64_t seq, const char *text, struct ack *out)
{
	struct ack ack = { .f = f, .stop_at = 1 };
	struct record record = record_of(seq, text);
	store_append(f->store, &record, 1, on_durable, &ack);
	run(f);
	if (out != NULL)
		*out = ack;
	return ack.error;
}

struct seen {
	uint64_t n, last;
	struct record record; /* the last, texts copied below */
	char text[128], actor[64];
};

static int on_record(void *arg, const struct record *record)
{
	struct seen *seen = arg;
	seen->n++;
	seen->last = record->seq;
	seen->record = *record;
	(void)snprintf(seen->text, sizeof(seen->text), "%s", record->text != NULL ? record->text : "(none)");
	(void)snprintf(seen->actor, sizeof(seen->actor), "%s", record->actor != NULL ? record->actor : "(none)");
	return 0;
}

static struct seen fold_ok(struct fixture *f, uint64_t after)
{
	struct seen seen = { 0 };
	if (store_fold(f->store, after, on_record, &seen, &f->fail) != 0)
		fail_msg("%s", f->fail.text);
	return seen;
}

static void patch(const char *path, const char *find, size_t len, char with)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *bytes = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	char *at = memmem(bytes, (size_t)st.st_size, find, len);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, &with, 1, at - bytes), 1);
	free(bytes);
	close(fd);
}

static void sqlite_do(const struct fixture *f, const char *sql)
{
	sqlite3 *db = NULL;
	char *error = NULL;
	assert_int_equal(sqlite3_open(path_of(f, "journal.db"), &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	sqlite3_close(db);
}

/* ---- the usual ---- */

static void test_new_journal_begins_with_header(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	assert_false(store_is_low(f->store));
	struct seen seen = fold_ok(f, 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.record.kind, RECORD_HEADER);
	assert_string_equal(seen.text, "{\"format\":1,\"upgd\":\"" UPGD_VERSION "\"}");
	struct stat st;
	assert_int_equal(stat(path_of(f, "ballast"), &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
}

static void test_missing_directory_is_made_private(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rmdir(f->dir), 0);
	open_ok(f);
	struct stat st;
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void assert_same_numbers(const struct record *a, const struct record *b)
{
	assert_true(a->seq == b->seq && a->at_ms == b->at_ms && a->boot_ms == b->boot_ms && a->epoch == b->epoch);
	assert_true(a->kind == b->kind && a->unit == b->unit && a->step == b->step && a->lane == b->lane);
	assert_true(a->dir == b->dir && a->attempt == b->attempt && a->code == b->code && a->value == b->value);
	assert_true(a->hash == b->hash);
}

static void test_every_column_comes_back(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	struct record written[] = { record_of(2, "it's a \"text\" – öß"), record_of(3, NULL), record_of(4, "") };
	written[1] = (struct record){ .seq = 3, .at_ms = INT64_MIN, .boot_ms = UINT64_MAX, .epoch = UINT32_MAX, .kind = RECORD_END,
		.unit = RECORD_NO_UNIT, .step = RECORD_NO_STEP, .lane = INT32_MIN, .attempt = 255, .code = UINT16_MAX,
		.value = INT64_MAX, .hash = UINT64_MAX };
	written[2].unit = RECORD_NO_UNIT - 1;
	struct ack ack = { .f = f, .stop_at = 1 };
	store_append(f->store, written, 3, on_durable, &ack);
	run(f);
	assert_int_equal(ack.error, 0);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < 3; i++) {
			struct seen seen = { 0 };
			assert_int_equal(store_read(f->store, written[i].seq - 1, RECORD_NO_UNIT, 1, on_record, &seen, &f->fail), 0);
			assert_int_equal(seen.n, 1);
			assert_string_equal(seen.text, written[i].text != NULL ? written[i].text : "(none)");
			assert_string_equal(seen.actor, written[i].actor != NULL ? written[i].actor : "(none)");
			assert_same_numbers(&seen.record, &written[i]);
		}
		assert_int_equal(fold_ok(f, 0).n, 4);
		assert_int_equal(fold_ok(f, 3).n, 1);
		assert_int_equal(fold_ok(f, 4).n, 0);
		close_it(f);
		open_ok(f);
	}
}

static void note_order(void *arg, int error, const char *text)
{
	(void)text;
	int *slot = arg;
	static int next;
	if (slot[0] == -1)
		next = 0;
	slot[0] = error == 0 ? next++ : -100;
}

static void test_callbacks_in_order_and_grouped(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	enum { N = 2000 };
	static int order[N];
	unsigned before = atomic_load(&fsyncs);
	order[0] = -1;
	for (int i = 0; i < N; i++) {
		struct record record = record_of((uint64_t)i + 2, "x");
		store_append(f->store, &record, 1, note_order, &order[i]);
	}
	struct ack ack = { .f = f, .stop_at = 1 };
	store_append(f->store, NULL, 0, on_durable, &ack); /* an empty batch is a barrier */
	assert_int_equal(ack.n, 0);
	run(f);
	for (int i = 0; i < N; i++)
		assert_int_equal(order[i], i);
	assert_in_range(atomic_load(&fsyncs) - before, 1, N / 4);
	assert_int_equal(fold_ok(f, 0).last, N + 1);
}

static void test_read_pages_and_units(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	for (uint64_t seq = 2; seq < 32; seq++)
		assert_int_equal(append_one(f, seq, "x", NULL), 0);
	struct seen seen = { 0 };
	assert_int_equal(store_read(f->store, 10, RECORD_NO_UNIT, 5, on_record, &seen, &f->fail), 0);
	assert_int_equal(seen.n, 5);
	assert_int_equal(seen.last, 15);
	seen = (struct seen){ 0 };
	assert_int_equal(store_read(f->store, 10, 3, 100, on_record, &seen, &f->fail), 0);
	assert_int_equal(seen.n, 4); /* 13 18 23 28 */
	assert_int_equal(seen.last, 28);
	assert_int_equal(store_read(f->store, UINT64_MAX, RECORD_NO_UNIT, 5, on_record, &seen, &f->fail), 0);
	assert_int_equal(seen.last, 28);
}

static int on_record_stop(void *arg, const struct record *record)
{
	(void)arg;
	return record->seq == 3 ? 42 : 0;
}

static void test_fold_stops_when_told(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	for (uint64_t seq = 2; seq < 6; seq++)
		assert_int_equal(append_one(f, seq, "x", NULL), 0);
	assert_int_equal(store_fold(f->store, 0, on_record_stop, NULL, &f->fail), 42);
}

static void test_gap_is_refused_for_good(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	assert_int_equal(append_one(f, 4, "x", NULL), -EINVAL);
	assert_int_equal(append_one(f, 2, "x", NULL), -EINVAL);
	assert_int_equal(fold_ok(f, 0).n, 1);
}

static void test_close_writes_what_was_appended(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	struct ack ack = { .f = f };
	for (uint64_t seq = 2; seq < 500; seq++) {
		struct record record = record_of(seq, "x");
		store_append(f->store, &record, 1, on_durable, &ack);
	}
	close_it(f);
	assert_int_equal(ack.n, 0);
	open_ok(f);
	assert_int_equal(fold_ok(f, 0).last, 499);
}

static void test_view_for_eyes(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	assert_int_equal(append_one(f, 2, "x", NULL), 0);
	close_it(f);
	sqlite_do(f, "CREATE TABLE found (n INTEGER CHECK (n = 1));"
		     "INSERT INTO found SELECT count(*) FROM log WHERE kind = 'intent' AND dir = 'undo' AND at_utc LIKE '2023-%'; DROP TABLE found");
}

static void test_older_view_is_renewed(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	close_it(f);
	sqlite_do(f, "DROP VIEW log; CREATE VIEW log AS SELECT 1");
	open_ok(f);
	close_it(f);
	sqlite_do(f, "SELECT actor FROM log");
}

/* ---- who may open ---- */

static void test_second_opener_refused_by_pid(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	struct store *second = NULL;
	struct store_options options = { .dir = f->dir };
	assert_int_equal(store_open(&second, f->loop, &options, &f->fail), -EBUSY);
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
	assert_non_null(strstr(f->fail.text, pid));
	assert_null(second);
	assert_int_equal(append_one(f, 2, "still works", NULL), 0);
}

static void test_offline_reads_beside_the_daemon(void **state)
{
	struct fixture *f = *state;
	struct store *offline = NULL;
	assert_int_not_equal(store_open_offline(&offline, f->dir, &f->fail), 0);
	open_ok(f);
	assert_int_equal(append_one(f, 2, "x", NULL), 0);
	struct seen seen = { 0 };
	assert_int_equal(store_open_offline(&offline, f->dir, &f->fail), 0);
	assert_int_equal(store_fold(offline, 0, on_record, &seen, &f->fail), 0);
	assert_int_equal(seen.last, 2);
	assert_int_equal(append_one(f, 3, "x", NULL), 0);
	store_close(offline);
	close_it(f);
	assert_int_equal(store_open_offline(&offline, f->dir, &f->fail), 0);
	seen = (struct seen){ 0 };
	assert_int_equal(store_read(offline, 0, RECORD_NO_UNIT, 10, on_record, &seen, &f->fail), 0);
	assert_int_equal(seen.n, 3);
	store_close(offline);
}

static void test_newer_format_refused(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	close_it(f);
	sqlite_do(f, "PRAGMA user_version = 2");
	assert_int_equal(open_with(f, 0), -EPROTO);
	assert_non_null(strstr(f->fail.text, "has format 2"));
	struct store *offline = NULL;
	assert_int_equal(store_open_offline(&offline, f->dir, &f->fail), -EPROTO);
}

static void test_foreign_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	sqlite_do(f, "CREATE TABLE mine (x)");
	assert_int_equal(open_with(f, 0), -EPROTO);
	sqlite_do(f, "PRAGMA journal_mode = DELETE; INSERT INTO mine VALUES (1)");
	assert_int_equal(truncate(path_of(f, "journal.db"), 0), 0);
	int fd = open(path_of(f, "journal.db"), O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 200; i++)
		assert_int_equal(write(fd, "this is no database at all\n", 27), 27);
	close(fd);
	assert_int_equal(open_with(f, 0), -EUCLEAN);
}

static void test_unknown_kind_refused_by_number(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	struct record record = record_of(2, "from the future");
	record.kind = 99;
	struct ack ack = { .f = f, .stop_at = 1 };
	store_append(f->store, &record, 1, on_durable, &ack);
	run(f);
	struct seen seen = { 0 };
	assert_int_equal(store_fold(f->store, 0, on_record, &seen, &f->fail), -EPROTO);
	assert_non_null(strstr(f->fail.text, "record 2 is of kind 99"));
	assert_int_equal(store_read(f->store, 0, RECORD_NO_UNIT, 9, on_record, &seen, &f->fail), -EPROTO);
}

/* ---- damage ---- */

static void fold_finds(struct fixture *f, const char *what)
{
	struct seen seen = { 0 };
	open_ok(f);
	assert_int_equal(store_fold(f->store, 0, on_record, &seen, &f->fail), -EUCLEAN);
	if (strstr(f->fail.text, what) == NULL)
		fail_msg("not \"%s\" in: %s", what, f->fail.text);
	close_it(f);
}

static void write_five(struct fixture *f)
{
	open_ok(f);
	for (uint64_t seq = 2; seq < 7; seq++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "needle %" PRIu64, seq);
		assert_int_equal(append_one(f, seq, text, NULL), 0);
	}
	close_it(f);
}

static void test_flipped_byte_is_named(void **state)
{
	struct fixture *f = *state;
	write_five(f);
	patch(path_of(f, "journal.db"), "needle 4", 8, 'N');
	fold_finds(f, "record 4 does not match");
}

static void test_altered_and_removed_rows_are_named(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *sql, *undo, *what; } rows[] = {
		{ "UPDATE journal SET value = 1 WHERE seq = 3", "UPDATE journal SET value = -5 WHERE seq = 3", "record 3 does not" },
		{ "UPDATE journal SET unit = NULL WHERE seq = 6", "UPDATE journal SET unit = 1 WHERE seq = 6", "record 6 does not" },
		{ "UPDATE journal SET text = NULL WHERE seq = 5", "UPDATE journal SET text = 'needle 5' WHERE seq = 5", "record 5 does not" },
		{ "UPDATE journal SET sum = sum + 1 WHERE seq = 2", "UPDATE journal SET sum = sum - 1 WHERE seq = 2", "record 2 does not" },
		{ "DELETE FROM journal WHERE seq = 4; UPDATE journal SET seq = seq - 1 WHERE seq > 4", NULL, "record 4 does not" },
		{ "DELETE FROM journal WHERE seq = 1", NULL, "record 1 is missing" },
	};
	write_five(f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sqlite_do(f, rows[i].sql);
		fold_finds(f, rows[i].what);
		if (rows[i].undo != NULL)
			sqlite_do(f, rows[i].undo);
	}
}

static void test_broken_page_refused_at_open(void **state)
{
	struct fixture *f = *state;
	write_five(f);
	int fd = open(path_of(f, "journal.db"), O_WRONLY | O_CLOEXEC);
	char zeros[64] = { 0 };
	memset(zeros, 0x5a, sizeof(zeros));
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 4096), sizeof(zeros));
	close(fd);
	assert_int_equal(open_with(f, 0), -EUCLEAN);
	assert_non_null(strstr(f->fail.text, "restore it from a backup"));
}

/* ---- crashes ---- */

struct child {
	struct fixture *f;
	int fd;
	uint64_t seq;
};

static void child_next(struct child *child);

static void on_child_durable(void *arg, int error, const char *text)
{
	struct child *child = arg;
	(void)text;
	if (error != 0 || write(child->fd, &child->seq, sizeof(child->seq)) != sizeof(child->seq))
		_exit(1);
	child_next(child);
}

static void child_next(struct child *child)
{
	struct record records[2] = { record_of(child->seq + 1, "first"), record_of(child->seq + 2, "second") };
	child->seq += 2;
	store_append(child->f->store, records, 2, on_child_durable, child);
}

/* Starts a child that appends pairs and acknowledges them; kills it after `acks`. Returns the last acknowledged seq. */
static uint64_t crash_after(struct fixture *f, uint64_t last, int acks)
{
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(pipe_fds[0]);
		struct child child = { .f = f, .fd = pipe_fds[1], .seq = last };
		struct fail fail;
		f->loop = loop_new(&fail);
		if (open_with(f, 1 << 20) != 0)
			_exit(2);
		child_next(&child);
		_exit(loop_run(f->loop) == 0 ? 0 : 3);
	}
	close(pipe_fds[1]);
	uint64_t acked = 0;
	for (int i = 0; i < acks; i++)
		assert_int_equal(read(pipe_fds[0], &acked, sizeof(acked)), sizeof(acked));
	kill(pid, SIGKILL);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	uint64_t more; /* what was acknowledged between our last read and the kill */
	while (read(pipe_fds[0], &more, sizeof(more)) == sizeof(more))
		acked = more;
	close(pipe_fds[0]);
	return acked;
}

static void test_kill_9_loses_no_acknowledged_record(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 1;
	for (int i = 0; i < 12; i++) {
		uint64_t acked = crash_after(f, last, 5 + i * 7);
		open_ok(f);
		last = fold_ok(f, 0).last;
		assert_true(last >= acked);
		assert_int_equal(last % 2, 1); /* whole batches only */
		close_it(f);
	}
}

static void test_torn_log_opens_at_an_earlier_commit(void **state)
{
	struct fixture *f = *state;
	uint64_t acked = crash_after(f, 1, 50);
	struct stat st;
	assert_int_equal(stat(path_of(f, "journal.db-wal"), &st), 0);
	assert_int_equal(truncate(path_of(f, "journal.db-wal"), st.st_size * 2 / 3 + 100), 0);
	open_ok(f);
	struct seen seen = fold_ok(f, 0);
	assert_in_range(seen.last, 2, acked);
	assert_int_equal(seen.last % 2, 1);
	assert_int_equal(append_one(f, seen.last + 1, "goes on", NULL), 0);
}

/* ---- disks ---- */

static void test_failed_fsync_is_final(void **state)
{
	struct fixture *f = *state;
	struct ack ack;
	open_ok(f);
	assert_int_equal(append_one(f, 2, "good", NULL), 0);
	atomic_store(&fsync_fails, true);
	assert_int_equal(append_one(f, 3, "bad", &ack), -EIO);
	assert_non_null(strstr(ack.text, "journal.db"));
	atomic_store(&fsync_fails, false);
	assert_int_equal(append_one(f, 4, "never", NULL), -EIO);
	close_it(f);
	open_ok(f);
	assert_true(fold_ok(f, 0).last <= 3);
}

static void test_checkpoints_keep_the_log_short(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	char text[4000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (uint64_t seq = 2; seq < 4000; seq++)
		assert_int_equal(append_one(f, seq, text, NULL), 0);
	struct stat st;
	assert_int_equal(stat(path_of(f, "journal.db-wal"), &st), 0);
	assert_in_range(st.st_size, 1, 8 << 20);
}

static void mount_small(struct fixture *f)
{
	if (geteuid() != 0) {
		print_message("skipped: a small tmpfs needs root\n");
		skip();
	}
	assert_int_equal(mount("upgd-test", f->dir, "tmpfs", 0, "size=4m,mode=0700"), 0);
	f->mounted = true;
}

/* Fills the file system to its last page; returns the filler's descriptor. */
static int fill(const struct fixture *f)
{
	int fd = open(path_of(f, "filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	static const char page[4096];
	while (write(fd, page, sizeof(page)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	return fd;
}

static uint64_t free_bytes(const struct fixture *f)
{
	struct statvfs vfs;
	assert_int_equal(statvfs(f->dir, &vfs), 0);
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static void on_tick(void *arg)
{
	loop_quit(arg);
}

static void wait_not_low(struct fixture *f)
{
	uint64_t until = loop_boot_ms() + DEADLINE_MS;
	struct loop_timer *timer = loop_timer_new(f->loop, on_tick, f->loop);
	while (store_is_low(f->store) && loop_boot_ms() < until) {
		loop_timer_set(timer, 10);
		assert_int_equal(loop_run(f->loop), 0);
	}
	loop_timer_free(timer);
	assert_false(store_is_low(f->store));
}

static void test_full_disk_takes_the_ballast_first(void **state)
{
	struct fixture *f = *state;
	mount_small(f);
	open_ok(f);
	assert_int_equal(append_one(f, 2, "before", NULL), 0);
	int fd = fill(f);
	uint64_t seq = 3;
	while (!store_is_low(f->store)) {
		assert_int_equal(append_one(f, seq++, "the disk is full", NULL), 0);
		assert_true(seq < 100000);
	}
	for (int i = 0; i < 50; i++)
		assert_int_equal(append_one(f, seq++, "on ballast", NULL), 0);
	assert_true(store_is_low(f->store));
	assert_int_not_equal(access(path_of(f, "ballast"), F_OK), 0);

	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	wait_not_low(f);
	assert_int_equal(access(path_of(f, "ballast"), F_OK), 0);
	assert_int_equal(append_one(f, seq++, "after", NULL), 0);
	close_it(f);
	open_ok(f);
	assert_int_equal(fold_ok(f, 0).last, seq - 1);
}

static void test_full_disk_twice_is_final(void **state)
{
	struct fixture *f = *state;
	struct ack ack = { 0 };
	mount_small(f);
	open_ok(f);
	int fd = fill(f);
	uint64_t seq = 2;
	while (append_one(f, seq, "the disk is full", &ack) == 0) {
		seq++;
		while (store_is_low(f->store) && free_bytes(f) > 0 && write(fd, ack.text, sizeof(ack.text)) > 0)
			; /* somebody else eats what the ballast gave */
		assert_true(seq < 100000);
	}
	assert_int_equal(ack.error, -ENOSPC);
	assert_non_null(strstr(ack.text, "free some space"));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(append_one(f, seq + 1, "not any more", NULL), -ENOSPC);
	close(fd);
	close_it(f);
	open_ok(f);
	assert_int_equal(fold_ok(f, 0).last, seq - 1);
}

/* A crash left a log; the disk is full to the last page when the daemon comes back. Moving the log may make room for the ballast again. */
static void test_opens_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	mount_small(f);
	uint64_t acked = crash_after(f, 1, 20);
	assert_int_equal(unlink(path_of(f, "journal.db-shm")), 0);
	int fd = fill(f);
	struct store *offline = NULL;
	struct seen seen = { 0 };
	if (store_open_offline(&offline, f->dir, &f->fail) != 0) /* a person can see what is open, too */
		fail_msg("%s", f->fail.text);
	assert_int_equal(store_fold(offline, 0, on_record, &seen, &f->fail), 0);
	assert_true(seen.last >= acked);
	store_close(offline);
	seen = (struct seen){ 0 };
	assert_int_equal(open_with(f, 1 << 20), 0);
	seen = fold_ok(f, 0);
	assert_true(seen.last >= acked);
	assert_int_equal(append_one(f, seen.last + 1, "a window closes", NULL), 0);
	close(fd);
}

static void test_no_room_for_ballast_at_the_start(void **state)
{
	struct fixture *f = *state;
	mount_small(f);
	assert_int_equal(open_with(f, 64 << 20), 0);
	assert_true(store_is_low(f->store));
	assert_int_not_equal(access(path_of(f, "ballast"), F_OK), 0);
	assert_int_equal(append_one(f, 2, "x", NULL), 0);
}

/* ---- for information ---- */

static void test_fold_speed(void **state)
{
	struct fixture *f = *state;
	enum { N = 50000, BATCH = 1000 };
	open_ok(f);
	struct ack ack = { .f = f, .stop_at = N / BATCH };
	uint64_t start = loop_boot_ms();
	for (uint64_t seq = 2; seq < N + 2; seq += BATCH) {
		static struct record records[BATCH];
		for (uint64_t i = 0; i < BATCH; i++)
			records[i] = record_of(seq + i, "disableschema -m oxdatabase_5 #9f31");
		store_append(f->store, records, BATCH, on_durable, &ack);
	}
	run(f);
	uint64_t written = loop_boot_ms();
	assert_int_equal(fold_ok(f, 0).n, N + 1);
	uint64_t folded = loop_boot_ms();
	print_message("%d records: written in %" PRIu64 " ms, folded in %" PRIu64 " ms\n", N, written - start, folded - written);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_new_journal_begins_with_header),
		T(test_missing_directory_is_made_private),
		T(test_every_column_comes_back),
		T(test_callbacks_in_order_and_grouped),
		T(test_read_pages_and_units),
		T(test_fold_stops_when_told),
		T(test_gap_is_refused_for_good),
		T(test_close_writes_what_was_appended),
		T(test_view_for_eyes),
		T(test_older_view_is_renewed),
		T(test_second_opener_refused_by_pid),
		T(test_offline_reads_beside_the_daemon),
		T(test_newer_format_refused),
		T(test_foreign_file_is_left_alone),
		T(test_unknown_kind_refused_by_number),
		T(test_flipped_byte_is_named),
		T(test_altered_and_removed_rows_are_named),
		T(test_broken_page_refused_at_open),
		T(test_kill_9_loses_no_acknowledged_record),
		T(test_torn_log_opens_at_an_earlier_commit),
		T(test_failed_fsync_is_final),
		T(test_checkpoints_keep_the_log_short),
		T(test_full_disk_takes_the_ballast_first),
		T(test_full_disk_twice_is_final),
		T(test_opens_on_a_full_disk),
		T(test_no_room_for_ballast_at_the_start),
		T(test_fold_speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
