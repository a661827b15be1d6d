/* SPDX-License-Identifier: MIT */
/*
 * Whatever was queued while the thread was busy joins its next transaction: a slow disk makes larger groups, not a longer
 * queue. Callbacks return in order through an eventfd that the loop watches, and not by loop_post_from_thread(), because a
 * post could not be withdrawn by store_writer_stop().
 *
 * Failure stories:
 * - Full disk: the transaction is rolled back. The ballast goes, the same group is written once more, `low` stays set until
 *   the ballast could be laid again, which is tried every ballast_retry_ms. If the second try fails too, the writer is done:
 *   the tenants of open windows stay down, which is why admission stops as soon as `low` is set.
 * - Any other error: what reached the disk is unknown and a second fsync may lie. Nothing is tried again; every batch
 *   queued then or later gets the same error, and the next daemon folds what is really there.
 * - A batch whose numbers do not go on is a fault of the caller. It fails the writer as well: what follows it would
 *   leave a hole.
 */
#include "store_writer.h"

#include "loop.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct store_writer {
	struct store_writer_options options;
	struct loop_fd *watch;
	int wake_fd;
	uint64_t next_seq;     /* of the loop thread */
	struct fail failed;    /* of the thread, written once; code 0: none */
	uint64_t ballast_at;   /* of the thread: boot ms of the next try */
	atomic_bool low;
	pthread_t thread;
	pthread_mutex_t lock;  /* guards the rest */
	pthread_cond_t more;
	struct batches queue, done;
	bool closing;
};

static char *text_copy(char **at, const char *text)
{
	if (text == NULL)
		return NULL;
	size_t size = strlen(text) + 1;
	char *copy = memcpy(*at, text, size);
	*at += size;
	return copy;
}

static struct batch *batch_new(const struct record *records, size_t n, store_durable_fn *fn, void *arg)
{
	size_t size = sizeof(struct batch) + n * sizeof(*records);
	for (size_t i = 0; i < n; i++) {
		size += records[i].actor != NULL ? strlen(records[i].actor) + 1 : 0;
		size += records[i].text != NULL ? strlen(records[i].text) + 1 : 0;
	}
	struct batch *batch = malloc(size);
	if (batch == NULL)
		abort();
	*batch = (struct batch){ .n = n, .fn = fn, .arg = arg };
	char *texts = (char *)(batch->records + n);
	for (size_t i = 0; i < n; i++) {
		batch->records[i] = records[i];
		batch->records[i].actor = text_copy(&texts, records[i].actor);
		batch->records[i].text = text_copy(&texts, records[i].text);
	}
	return batch;
}

static void batches_free(struct batches *batches)
{
	struct batch *batch;
	while ((batch = STAILQ_FIRST(batches)) != NULL) {
		STAILQ_REMOVE_HEAD(batches, entry);
		free(batch);
	}
}

/* ---- the thread ---- */

static void ballast_drop(struct store_writer *writer)
{
	atomic_store(&writer->low, true);
	(void)store_dir_drop_ballast(writer->options.dir);
	writer->ballast_at = loop_boot_ms() + writer->options.ballast_retry_ms;
}

static void ballast_lay(struct store_writer *writer)
{
	if (!atomic_load(&writer->low) || loop_boot_ms() < writer->ballast_at)
		return;
	writer->ballast_at = loop_boot_ms() + writer->options.ballast_retry_ms;
	if (store_dir_lay_ballast(writer->options.dir, writer->options.ballast_bytes))
		atomic_store(&writer->low, false);
}

static void group_write(struct store_writer *writer, struct batches *group)
{
	const struct store_writer_options *options = &writer->options;
	struct fail *failed = &writer->failed;
	struct batch *batch;
	STAILQ_FOREACH(batch, group, entry)
		if (batch->error != 0 && failed->code == 0)
			(void)fail_set(failed, batch->error, "the records appended do not go on from the last one: this is a fault in upgd");

	if (failed->code == 0) {
		struct fail fail = { 0 };
		int error = options->write(options->arg, group, &fail);
		if (error == -ENOSPC) {
			ballast_drop(writer);
			error = options->write(options->arg, group, &fail);
		}
		if (error != 0)
			*failed = fail;
	}
	STAILQ_FOREACH(batch, group, entry) {
		batch->error = failed->code;
		batch->text = failed->code != 0 ? failed->text : NULL;
	}
}

/* Room for the journal's own growth is low disk too: then the WAL goes on growing into what the ballast leaves. */
static void group_tidy(struct store_writer *writer)
{
	struct fail fail = { 0 };
	if (writer->failed.code != 0)
		return;
	int error = writer->options.tidy(writer->options.arg, &fail);
	if (error == -ENOSPC)
		ballast_drop(writer);
	else if (error != 0)
		writer->failed = fail;
}

static void wait_for_more(struct store_writer *writer)
{
	if (!atomic_load(&writer->low)) {
		pthread_cond_wait(&writer->more, &writer->lock);
		return;
	}
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += writer->options.ballast_retry_ms / 1000;
	until.tv_nsec += (long)(writer->options.ballast_retry_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&writer->more, &writer->lock, &until);
}

static void *writer_main(void *arg)
{
	struct store_writer *writer = arg;
	pthread_mutex_lock(&writer->lock);
	for (;;) {
		if (STAILQ_EMPTY(&writer->queue)) {
			if (writer->closing)
				break;
			wait_for_more(writer);
		}
		struct batches group = STAILQ_HEAD_INITIALIZER(group);
		STAILQ_CONCAT(&group, &writer->queue);
		pthread_mutex_unlock(&writer->lock);

		bool any = !STAILQ_EMPTY(&group);
		if (any)
			group_write(writer, &group);
		pthread_mutex_lock(&writer->lock);
		STAILQ_CONCAT(&writer->done, &group);
		pthread_mutex_unlock(&writer->lock);
		if (any) {
			uint64_t one = 1;
			(void)!write(writer->wake_fd, &one, sizeof(one));
			group_tidy(writer);
		}
		ballast_lay(writer);
		pthread_mutex_lock(&writer->lock);
	}
	pthread_mutex_unlock(&writer->lock);
	return NULL;
}

/* ---- the loop's side ---- */

static void on_done(void *arg, int fd, unsigned mask)
{
	struct store_writer *writer = arg;
	uint64_t count;
	(void)mask;
	(void)!read(fd, &count, sizeof(count));

	struct batches done = STAILQ_HEAD_INITIALIZER(done);
	pthread_mutex_lock(&writer->lock);
	STAILQ_CONCAT(&done, &writer->done);
	pthread_mutex_unlock(&writer->lock);

	struct batch *batch;
	while ((batch = STAILQ_FIRST(&done)) != NULL) {
		STAILQ_REMOVE_HEAD(&done, entry);
		if (batch->fn != NULL)
			batch->fn(batch->arg, batch->error, batch->text);
		free(batch);
	}
}

void store_writer_append(struct store_writer *writer, const struct record *records, size_t n, store_durable_fn *fn, void *arg)
{
	struct batch *batch = batch_new(records, n, fn, arg);
	for (size_t i = 0; i < n; i++)
		if (records[i].seq != writer->next_seq + i)
			batch->error = -EINVAL;
	writer->next_seq += n;
	pthread_mutex_lock(&writer->lock);
	STAILQ_INSERT_TAIL(&writer->queue, batch, entry);
	pthread_cond_signal(&writer->more);
	pthread_mutex_unlock(&writer->lock);
}

bool store_writer_is_low(const struct store_writer *writer)
{
	return atomic_load(&writer->low);
}

/* Signals belong to the loop: the thread starts with all of them blocked. */
static int thread_start(struct store_writer *writer)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&writer->thread, NULL, writer_main, writer);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -error;
}

static void writer_free(struct store_writer *writer)
{
	loop_fd_free(writer->watch);
	if (writer->wake_fd >= 0)
		close(writer->wake_fd);
	batches_free(&writer->queue);
	batches_free(&writer->done);
	pthread_cond_destroy(&writer->more);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

int store_writer_start(struct store_writer **out, const struct store_writer_options *options, struct fail *fail)
{
	struct store_writer *writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		abort();
	writer->options = *options;
	writer->next_seq = options->next_seq;
	writer->ballast_at = loop_boot_ms() + options->ballast_retry_ms;
	atomic_init(&writer->low, options->low);
	STAILQ_INIT(&writer->queue);
	STAILQ_INIT(&writer->done);
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->more, &attr);
	pthread_condattr_destroy(&attr);

	writer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = writer->wake_fd < 0 ? -errno : thread_start(writer);
	if (error != 0) {
		writer_free(writer);
		return fail_set(fail, error, "cannot start the journal's writer: %s", strerror(-error));
	}
	writer->watch = loop_fd_new(options->loop, writer->wake_fd, LOOP_READ, on_done, writer);
	*out = writer;
	return 0;
}

void store_writer_stop(struct store_writer *writer)
{
	if (writer == NULL)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->closing = true;
	pthread_cond_signal(&writer->more);
	pthread_mutex_unlock(&writer->lock);
	pthread_join(writer->thread, NULL);
	writer_free(writer);
}
