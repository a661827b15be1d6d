/* SPDX-License-Identifier: MIT */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };
			(void)poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int durable_write(int dir_fd, const char *name, const char *text, size_t len, struct fail *fail)
{
	char tmp[NAME_MAX + 1];
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	close_cleanup int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_set(fail, -errno, "cannot make the record %s: %s", tmp, strerror(errno));
	int err = write_all(fd, text, len);
	if (err == 0 && fsync(fd) < 0)
		err = -errno;
	if (err == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		err = -errno;
	if (err == 0 && fsync(dir_fd) < 0)
		err = -errno;
	if (err < 0) {
		(void)unlinkat(dir_fd, tmp, 0);
		return fail_set(fail, err, "cannot write the record %s: %s", name, strerror(-err));
	}
	return 0;
}

static char *read_failed(const char *name, int err, struct fail *fail)
{
	(void)fail_set(fail, err, "cannot read %s: %s", name, strerror(-err));
	return NULL;
}

char *file_read(int dir_fd, const char *name, size_t max, size_t *len, struct fail *fail)
{
	/* O_NONBLOCK: opening a FIFO must not hang; it is refused below. */
	close_cleanup int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return read_failed(name, -errno, fail);
	if (!S_ISREG(st.st_mode)) {
		(void)fail_set(fail, -EINVAL, "%s is no regular file", name);
		return NULL;
	}
	char *text = malloc(max + 2);
	if (text == NULL)
		abort();
	/* Files in /proc say that they are empty, so the end is where read() finds it. */
	size_t got = 0;
	while (got <= max) {
		ssize_t n = read(fd, text + got, max + 1 - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = -errno;
			free(text);
			return read_failed(name, err, fail);
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	if (got > max) {
		free(text);
		(void)fail_set(fail, -EFBIG, "%s is longer than %zu KiB", name, max >> 10);
		return NULL;
	}
	text[got] = '\0';
	*len = got;
	return text;
}
