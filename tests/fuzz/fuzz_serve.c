/* SPDX-License-Identifier: MIT */
/*
 * Requests to upgd-run, any bytes, over a state directory that earlier requests have filled. No program is started and no file edited:
 * these two are made up here. Every answer is a message.
 */
#include "runner/serve.c"

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int supervisor_spawn(const struct store *store, const struct task *task, struct fail *fail)
{
	return fail_set(fail, -EAGAIN, "not here");
}

int edit_check(const struct edit *edit, struct fail *fail)
{
	return edit->file[0] == '/' && edit->prefix[0] != '\0' ? 0 : fail_set(fail, -EINVAL, "no");
}

char *edit_line(const struct edit *edit, struct fail *fail)
{
	return strdup(edit->prefix);
}

int edit_apply(const struct edit *edit, struct fail *fail)
{
	return 0;
}

static char dir[] = "/dev/shm/upgd-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
	return remove(path);
}

static void dir_remove(void)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct store *store_here(void)
{
	static struct store store;
	struct fail fail = { .text = "" };
	if (store.path[0] != '\0')
		return &store;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || mkdtemp(dir) == NULL || atexit(dir_remove) != 0 || store_open(&store, dir, dir, &fail) != 0)
		abort();
	close(null);
	return &store;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serve self = { .store = store_here(), .signal_fd = -1, .inotify_fd = -1 };
	struct fail fail = { .text = "" };
	struct frame frame;
	int err = 0;
	frame_init(&frame, FRAME_REQUEST_MAX);
	while (size > 0 && err == 0) {
		char *space;
		size_t n, len;
		frame_space(&frame, &space, &n);
		n = n < size ? n : size;
		memcpy(space, data, n);
		data += n;
		size -= n;
		err = frame_fed(&frame, n, &fail);
		for (char *text; err == 0 && (text = frame_next(&frame, &len)) != NULL;)
			err = on_message(&self, text, len, &fail);
	}
	requests_look(&self);
	while (self.open != NULL)
		request_free(&self, self.open);
	frame_done(&frame);
	return 0;
}
