/* SPDX-License-Identifier: MIT */
/*
 * A disk that fails: linked into a test, or put under a whole program by LD_PRELOAD. While the file $UPGD_FAULT_DISK holds "CALL ERRNO DIR",
 * as in "fsync EIO /var/lib/upgd", every such call on a file below DIR fails so. CALL is fsync or write; ERRNO is EIO, EROFS or ENOSPC.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);
/* By their names in the library: with 64-bit offsets the headers call both by one. */
ssize_t pwrite_32(int fd, const void *data, size_t size, off_t offset) __asm__("pwrite");
ssize_t pwrite_64(int fd, const void *data, size_t size, off_t offset) __asm__("pwrite64");

static bool is_below(int fd, const char *dir)
{
	char link[64], path[PATH_MAX];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	size_t n = strlen(dir);
	return len > 0 && (size_t)len > n && memcmp(path, dir, n) == 0 && path[n] == '/';
}

/* 0, or what the call fails with. */
static int fault(const char *call, int fd)
{
	static const struct { const char *word; int number; } errors[] = { { "EIO", EIO }, { "EROFS", EROFS }, { "ENOSPC", ENOSPC } };
	const char *file = getenv("UPGD_FAULT_DISK");
	char text[PATH_MAX + 32], what[16], error[16], dir[PATH_MAX];
	int control = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	if (control < 0)
		return 0;
	ssize_t len = read(control, text, sizeof(text) - 1);
	close(control);
	text[len > 0 ? len : 0] = '\0';
	if (sscanf(text, "%15s %15s %4095s", what, error, dir) != 3 || strcmp(what, call) != 0 || !is_below(fd, dir))
		return 0;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].word, error) == 0)
			return errors[i].number;
	return 0;
}

static long answer(const char *call, int fd, long number, const void *data, size_t size, off_t offset)
{
	int error = fault(call, fd);
	if (error == 0)
		return syscall(number, fd, data, size, offset);
	errno = error;
	return -1;
}

int fsync(int fd)
{
	return (int)answer("fsync", fd, SYS_fsync, NULL, 0, 0);
}

int fdatasync(int fd)
{
	return (int)answer("fsync", fd, SYS_fdatasync, NULL, 0, 0);
}

ssize_t pwrite_32(int fd, const void *data, size_t size, off_t offset)
{
	return answer("write", fd, SYS_pwrite64, data, size, offset);
}

ssize_t pwrite_64(int fd, const void *data, size_t size, off_t offset)
{
	return answer("write", fd, SYS_pwrite64, data, size, offset);
}
