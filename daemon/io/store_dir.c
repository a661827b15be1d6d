/* SPDX-License-Identifier: MIT */
/*
 * The lock is a flock: the kernel drops it with the process, so a stale file after a crash locks nobody out, and no pid is
 * ever trusted. The pid inside is for people only.
 *
 * The ballast is allocated, not sparse: on a full disk its blocks are what the journal needs to write "enable" for
 * tenants who are down. It counts as laid only if a quarter of its size is still free beside it; without that
 * air a disk that hovers around full would take the ballast and give it back with every commit.
 */
#include "store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void holder_read(int fd, char pid[static 32])
{
	ssize_t n = pread(fd, pid, 31, 0);
	pid[n > 0 ? (size_t)n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	if (pid[0] == '\0')
		(void)snprintf(pid, 32, "unknown");
}

static int lock_refused(const struct store_dir *dir, struct fail *fail)
{
	char pid[32];
	holder_read(dir->lock_fd, pid);
	return fail_set(fail, -EBUSY,
		"%s is in use by another upgd (pid %s): stop that one first, or give this one another state directory", dir->path, pid);
}

/* Asked by trying: a shared lock, given back at once. */
bool store_dir_is_held(const char *path, char pid[static 32])
{
	char *name;
	if (asprintf(&name, "%s/lock", path) < 0)
		abort();
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	free(name);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (held)
		holder_read(fd, pid);
	if (fd >= 0)
		close(fd);
	return held;
}

static int lock_take(struct store_dir *dir, struct fail *fail)
{
	dir->lock_fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (dir->lock_fd < 0)
		return fail_set(fail, -errno, "cannot open %s/lock: %s", dir->path, strerror(errno));
	if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return lock_refused(dir, fail);
		return fail_set(fail, -errno, "cannot lock %s/lock: %s", dir->path, strerror(errno));
	}
	/* A full disk may refuse the pid; the lock holds without it. */
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	(void)!ftruncate(dir->lock_fd, 0);
	(void)!pwrite(dir->lock_fd, pid, (size_t)n, 0);
	return 0;
}

int store_dir_open(struct store_dir *dir, const char *path, struct fail *fail)
{
	*dir = (struct store_dir){ .path = strdup(path), .fd = -1, .lock_fd = -1 };
	if (dir->path == NULL)
		abort();
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail_set(fail, -errno, "cannot make the state directory %s: %s", path, strerror(errno));
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return fail_set(fail, -errno, "cannot open the state directory %s: %s", path, strerror(errno));
	return lock_take(dir, fail);
}

void store_dir_close(struct store_dir *dir)
{
	if (dir->lock_fd >= 0)
		close(dir->lock_fd);
	if (dir->fd >= 0)
		close(dir->fd);
	free(dir->path);
	*dir = (struct store_dir){ .fd = -1, .lock_fd = -1 };
}

static bool has_air(const struct store_dir *dir, size_t bytes)
{
	struct statvfs vfs;
	return fstatvfs(dir->fd, &vfs) == 0 && (unsigned long long)vfs.f_bavail * vfs.f_frsize >= bytes / 4;
}

bool store_dir_lay_ballast(const struct store_dir *dir, size_t bytes)
{
	struct stat st;
	if (fstatat(dir->fd, "ballast", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)bytes &&
		(unsigned long long)st.st_blocks * 512 >= bytes)
		return true;
	int fd = openat(dir->fd, "ballast", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	bool laid = posix_fallocate(fd, 0, (off_t)bytes) == 0;
	close(fd);
	if (laid && has_air(dir, bytes))
		return true;
	(void)store_dir_drop_ballast(dir);
	return false;
}

bool store_dir_drop_ballast(const struct store_dir *dir)
{
	return unlinkat(dir->fd, "ballast", 0) == 0;
}
