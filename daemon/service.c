/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int notify_connect(const char *path, struct fail *fail)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof(address.sun_path))
		return fail_set(fail, -EINVAL, "NOTIFY_SOCKET \"%s\": neither an absolute path nor an abstract socket", path);
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Abstract names are as long as the address says: no NUL at the end. */
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'))) == 0)
		return fd;
	int rc = -errno;
	if (fd >= 0)
		(void)close(fd);
	return fail_set(fail, rc, "NOTIFY_SOCKET \"%s\": cannot connect: %s", path, strerror(-rc));
}

/* WATCHDOG_PID says who is meant: a child that inherits the variables is not. */
static uint64_t watchdog_half_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 2000;
}

int service_init(struct service *service, struct fail *fail)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct service new = {.fd = -1};
	if (path != NULL && path[0] != '\0') {
		new.fd = notify_connect(path, fail);
		if (new.fd < 0)
			return new.fd;
		new.watchdog_ms = watchdog_half_ms();
	}
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	*service = new;
	return 0;
}

void service_done(struct service *service)
{
	if (service->fd >= 0)
		(void)close(service->fd);
	service->fd = -1;
}

static void notify(struct service *service, const char *message)
{
	if (service->fd >= 0)
		(void)send(service->fd, message, strlen(message), MSG_NOSIGNAL);
}

void service_ready(struct service *service)
{
	notify(service, "READY=1");
}

void service_reloading(struct service *service)
{
	char message[64];
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify(service, message);
}

void service_stopping(struct service *service)
{
	notify(service, "STOPPING=1");
}

void service_watchdog(struct service *service)
{
	notify(service, "WATCHDOG=1");
}

void service_status(struct service *service, const char *format, ...)
{
	char message[512] = "STATUS=";
	va_list args;
	va_start(args, format);
	(void)vsnprintf(message + 7, sizeof(message) - 7, format, args);
	va_end(args);
	for (char *p = message; *p; p++) /* a newline would begin another variable */
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	notify(service, message);
}
