/* SPDX-License-Identifier: MIT */
/*
 * A socket file left by a crash looks like one in use. The difference is whether connect() is answered, so we ask before we remove.
 * Two daemons starting in the same instant could both find it dead; the journal's lock, taken before, decides that race.
 */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PASSED_FD = 3, BACKLOG = 64 };

/* The descriptor, or -1: none was passed to this process. */
static int passed_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	bool is_ours = pid != NULL && n != NULL && strtol(pid, NULL, 10) == (long)getpid() && strtol(n, NULL, 10) >= 1;
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	int listens = 0;
	socklen_t size = sizeof(listens);
	if (!is_ours || getsockopt(PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
		return -1;
	return PASSED_FD;
}

static int make_way(const struct sockaddr_un *address, struct fail *fail)
{
	struct stat st;
	if (lstat(address->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return fail_set(fail, -EEXIST, "%s is there and is no socket: remove it or choose another path", address->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_set(fail, -errno, "cannot make a socket: %s", strerror(errno));
	int r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = r < 0 ? errno : 0;
	close(fd);
	if (error == ECONNREFUSED && (unlink(address->sun_path) == 0 || errno == ENOENT))
		return 0;
	if (error == 0 || error == EAGAIN)
		return fail_set(fail, -EADDRINUSE, "%s is in use by another process: is upgd running already?", address->sun_path);
	return fail_set(fail, -error, "%s is there and cannot be replaced: %s", address->sun_path, strerror(error));
}

/* Bound with no access for others and opened up afterwards: there is no moment with a wider mode. */
static int bind_path(struct listener *listener, const struct sockaddr_un *address, mode_t mode, struct fail *fail)
{
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return fail_set(fail, -errno, "cannot make a socket: %s", strerror(errno));
	mode_t old = umask(0177);
	int r = bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	int error = r < 0 ? errno : 0;
	(void)umask(old);
	struct stat st = { 0 };
	if (r == 0 && (listen(listener->fd, BACKLOG) < 0 || chmod(address->sun_path, mode) < 0 || lstat(address->sun_path, &st) < 0))
		error = errno;
	if (error != 0) {
		close(listener->fd);
		listener->fd = -1;
		return fail_set(fail, -error, "cannot listen on %s: %s", address->sun_path, strerror(error));
	}
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	(void)snprintf(listener->path, sizeof(listener->path), "%s", address->sun_path);
	return 0;
}

int listener_open(struct listener *listener, const char *path, mode_t mode, struct fail *fail)
{
	*listener = (struct listener){ .fd = passed_socket() };
	if (listener->fd >= 0) {
		int flags = fcntl(listener->fd, F_GETFL);
		(void)fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
		(void)fcntl(listener->fd, F_SETFD, FD_CLOEXEC);
		return 0;
	}
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (path == NULL || path[0] != '/' || strlen(path) >= sizeof(address.sun_path))
		return fail_set(fail, -EINVAL, "\"%s\" is no path for a socket: absolute, at most %zu bytes", path ? path : "",
			sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	int r = make_way(&address, fail);
	return r < 0 ? r : bind_path(listener, &address, mode, fail);
}

void listener_close(struct listener *listener)
{
	struct stat st;
	if (listener->fd < 0)
		return;
	close(listener->fd);
	listener->fd = -1;
	if (listener->path[0] != '\0' && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev && st.st_ino == listener->ino)
		(void)unlink(listener->path);
}
