/* SPDX-License-Identifier: MIT */
/*
 * The journal on a disk that fails, one test for each way: what was acknowledged is there at the next open, nothing is acknowledged that is
 * not, the failure is final and its text says what to do.
 */
#include "daemon/io/loop.h"
#include "daemon/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, BALLAST = 1 << 20 };

struct fixture {
	char dir[64], fault[80];
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
	strcpy(f->dir, "/tmp/upgd-faults-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->fault, sizeof(f->fault), "%s.fault", f->dir);
	assert_int_equal(setenv("UPGD_FAULT_DISK", f->fault, 1), 0);
	f->loop = loop_new(&f->fail);
	assert_non_null(f->loop);
	f->watchdog = loop_timer_new(f->loop, on_watchdog, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)unlink(f->fault);
	store_close(f->store);
	loop_timer_free(f->watchdog);
	loop_free(f->loop);
	if (f->mounted)
		umount2(f->dir, MNT_DETACH);
	char command[256];
	(void)snprintf(command, sizeof(command), "rm -rf %s %s.away", f->dir, f->dir);
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

/* The disk fails so from now on; NULL: it works again. */
static void disk(const struct fixture *f, const char *how)
{
	if (how == NULL) {
		assert_int_equal(unlink(f->fault), 0);
		return;
	}
	FILE *out = fopen(f->fault, "w");
	assert_non_null(out);
	assert_true(fprintf(out, "%s %s\n", how, f->dir) > 0);
	assert_int_equal(fclose(out), 0);
}

static int open_it(struct fixture *f)
{
	struct store_options options = { .dir = f->dir, .ballast_bytes = BALLAST, .ballast_retry_ms = 50 };
	return store_open(&f->store, f->loop, &options, &f->fail);
}

static void open_ok(struct fixture *f)
{
	if (open_it(f) != 0)
		fail_msg("%s", f->fail.text);
}

static void close_it(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

struct ack {
	struct loop *loop;
	int error;
	char text[480];
};

static void on_durable(void *arg, int error, const char *text)
{
	struct ack *ack = arg;
	ack->error = error;
	(void)snprintf(ack->text, sizeof(ack->text), "%s", text != NULL ? text : "");
	loop_quit(ack->loop);
}

static struct ack append(struct fixture *f, uint64_t seq)
{
	struct ack ack = { .loop = f->loop };
	const struct record record = { .seq = seq, .kind = RECORD_NOTE, .unit = RECORD_NO_UNIT, .step = RECORD_NO_STEP, .lane = LANE_NONE, .text = "a note" };
	store_append(f->store, &record, 1, on_durable, &ack);
	loop_timer_set(f->watchdog, DEADLINE_MS);
	assert_int_equal(loop_run(f->loop), 0);
	loop_timer_clear(f->watchdog);
	return ack;
}

static int on_record(void *arg, const struct record *record)
{
	*(uint64_t *)arg = record->seq;
	return 0;
}

static uint64_t last_of(struct fixture *f)
{
	uint64_t last = 0;
	if (store_fold(f->store, 0, on_record, &last, &f->fail) != 0)
		fail_msg("%s", f->fail.text);
	return last;
}

static void assert_says(const char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("not \"%s\" in: %s", what, text);
}

/* Two records are there, the third fails with `error` and words, the fourth too although the disk works again; then a new life. */
static void fails_for_good(struct fixture *f, const char *how, int error, const char *words)
{
	open_ok(f);
	assert_int_equal(append(f, 2).error, 0);
	disk(f, how);
	struct ack ack = append(f, 3);
	assert_int_equal(ack.error, error);
	assert_says(ack.text, "journal.db: cannot write to it");
	assert_says(ack.text, words);
	disk(f, NULL);
	assert_int_equal(append(f, 4).error, error);
	close_it(f);
	open_ok(f);
	uint64_t last = last_of(f);
	assert_in_range(last, 2, 3); /* what was not acknowledged may be there all the same, and is folded then */
	assert_int_equal(append(f, last + 1).error, 0);
}

static void test_fsync_that_fails_is_not_tried_again(void **state)
{
	fails_for_good(*state, "fsync EIO", -EIO, "the disk fails or has become read-only, see dmesg; when it is mended start again, and what reached it is read then");
}

static void test_fsync_that_finds_the_disk_full_is_no_full_disk(void **state)
{
	struct fixture *f = *state;
	fails_for_good(f, "fsync ENOSPC", -EIO, "the disk fails");
	assert_int_equal(access(path_of(f, "ballast"), F_OK), 0);
}

static void test_write_that_fails_is_final(void **state)
{
	fails_for_good(*state, "write EIO", -EIO, "the disk fails");
}

static void test_disk_that_turns_read_only_is_final(void **state)
{
	fails_for_good(*state, "write EROFS", -EIO, "has become read-only");
}

static void test_checkpoint_that_fails_is_final(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	uint64_t seq = 2;
	struct stat st = { 0 };
	while (st.st_size < 3 << 20) { /* short of a checkpoint */
		assert_int_equal(append(f, seq++).error, 0);
		assert_int_equal(stat(path_of(f, "journal.db-wal"), &st), 0);
	}
	struct ack ack = { 0 };
	disk(f, "fsync EIO");
	while (ack.error == 0)
		ack = append(f, seq++);
	assert_int_equal(ack.error, -EIO);
	disk(f, NULL);
	close_it(f);
	open_ok(f);
	assert_in_range(last_of(f), seq - 2, seq - 1);
}

/* ---- the directory ---- */

static void move_away(struct fixture *f, bool back)
{
	char away[80];
	(void)snprintf(away, sizeof(away), "%s.away", f->dir);
	assert_int_equal(back ? rename(away, f->dir) : rename(f->dir, away), 0);
}

static void test_directory_that_goes_away_is_noticed(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	assert_int_equal(append(f, 2).error, 0);
	move_away(f, false);
	struct ack ack = append(f, 3);
	assert_int_equal(ack.error, -ESTALE);
	assert_says(ack.text, "was removed or replaced while upgd had it open: put the directory back as it was before you start upgd again");
	assert_int_equal(append(f, 4).error, -ESTALE);
	close_it(f);
	move_away(f, true);
	open_ok(f);
	assert_in_range(last_of(f), 2, 3);
}

static void test_journal_that_is_deleted_is_noticed(void **state)
{
	struct fixture *f = *state;
	open_ok(f);
	assert_int_equal(append(f, 2).error, 0);
	assert_int_equal(unlink(path_of(f, "journal.db")), 0);
	assert_int_equal(append(f, 3).error, -ESTALE);
}

/* ---- a file system that is read-only from the start ---- */

/* A mount namespace of our own: nothing of it is left, whatever becomes of us. */
static bool own_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
}

static void mount_or_skip(struct fixture *f, unsigned long flags, const char *options)
{
	if (geteuid() != 0)
		skip(); /* only root may mount; the suites of the project run as root too */
	assert_true(own_mounts());
	assert_int_equal(mount("upgd-test", f->dir, "tmpfs", flags, options), 0);
	f->mounted = true;
}

static void remount(const struct fixture *f, unsigned long flags)
{
	assert_int_equal(mount("none", f->dir, "none", MS_REMOUNT | flags, NULL), 0);
}

static void test_read_only_file_system_is_refused_and_read_offline(void **state)
{
	struct fixture *f = *state;
	mount_or_skip(f, 0, "size=8m,mode=0700");
	open_ok(f);
	assert_int_equal(append(f, 2).error, 0);
	close_it(f);
	remount(f, MS_RDONLY);
	assert_int_not_equal(open_it(f), 0);
	assert_says(f->fail.text, "Read-only file system");
	uint64_t last = 0;
	if (store_open_offline(&f->store, f->dir, &f->fail) != 0)
		fail_msg("%s", f->fail.text);
	assert_int_equal(store_fold(f->store, 0, on_record, &last, &f->fail), 0);
	assert_int_equal(last, 2);
}

/* A daemon that was killed left its log; somebody made the file system read-only, or copied the directory to such a one. */
static void test_log_of_a_dead_daemon_is_read_offline(void **state)
{
	struct fixture *f = *state;
	mount_or_skip(f, 0, "size=8m,mode=0700");
	pid_t pid = fork();
	if (pid == 0) {
		struct fixture mine = *f; /* its loop is the parent's: a loop of its own */
		mine.loop = loop_new(&mine.fail);
		mine.watchdog = loop_timer_new(mine.loop, on_watchdog, &mine);
		open_ok(&mine);
		_exit(append(&mine, 2).error != 0 || append(&mine, 3).error != 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	struct stat before, after;
	assert_int_equal(stat(path_of(f, "journal.db-wal"), &before), 0);
	assert_true(before.st_size > 0);
	for (int read_only = 0; read_only < 3; read_only++) {
		if (read_only > 0)
			remount(f, MS_RDONLY);
		uint64_t last = 0;
		if (store_open_offline(&f->store, f->dir, &f->fail) != 0)
			fail_msg("round %d: %s", read_only, f->fail.text);
		assert_int_equal(store_fold(f->store, 0, on_record, &last, &f->fail), 0);
		assert_int_equal(last, 3);
		close_it(f);
		assert_int_equal(stat(path_of(f, "journal.db-wal"), &after), 0);
		assert_int_equal(after.st_size, before.st_size); /* not moved into the file: it is the next daemon's */
		if (read_only == 1) { /* as a copy without the index */
			remount(f, 0);
			assert_int_equal(unlink(path_of(f, "journal.db-shm")), 0);
		}
	}
	remount(f, 0);
	open_ok(f);
	assert_int_equal(last_of(f), 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_fsync_that_fails_is_not_tried_again),
		T(test_fsync_that_finds_the_disk_full_is_no_full_disk),
		T(test_write_that_fails_is_final),
		T(test_disk_that_turns_read_only_is_final),
		T(test_checkpoint_that_fails_is_final),
		T(test_directory_that_goes_away_is_noticed),
		T(test_journal_that_is_deleted_is_noticed),
		T(test_read_only_file_system_is_refused_and_read_offline),
		T(test_log_of_a_dead_daemon_is_read_offline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
