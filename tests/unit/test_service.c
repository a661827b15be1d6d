/* SPDX-License-Identifier: MIT */
#include "daemon/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Listens as a manager would; puts the name for NOTIFY_SOCKET there. */
static int manager_open(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	memcpy(address.sun_path, name, n);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'))), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static const char *manager_read(int fd)
{
	static char message[1024];
	ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
	message[n > 0 ? n : 0] = '\0';
	return message;
}

static void speaks_on(const char *name)
{
	int fd = manager_open(name);
	char pid[16];
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	(void)setenv("WATCHDOG_PID", pid, 1);
	struct service service;
	struct fail fail = {0};
	if (service_init(&service, &fail) != 0)
		fail_msg("%s", fail.text);
	assert_int_equal(service.watchdog_ms, 15000);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	service_ready(&service);
	assert_string_equal(manager_read(fd), "READY=1");
	service_status(&service, "7 of %d\nMAINPID=1", 12);
	assert_string_equal(manager_read(fd), "STATUS=7 of 12 MAINPID=1");
	service_watchdog(&service);
	assert_string_equal(manager_read(fd), "WATCHDOG=1");
	service_reloading(&service);
	assert_memory_equal(manager_read(fd), "RELOADING=1\nMONOTONIC_USEC=", 27);
	service_stopping(&service);
	assert_string_equal(manager_read(fd), "STOPPING=1");
	(void)close(fd);
	service_ready(&service); /* the manager is gone: no signal, no block */
	service_done(&service);
}

static void path_and_abstract_sockets(void **state)
{
	char dir[] = "/tmp/test_service.XXXXXX", path[64], abstract[64];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/notify", dir);
	(void)snprintf(abstract, sizeof(abstract), "@test_service.%d", getpid());
	speaks_on(path);
	speaks_on(abstract);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void a_full_queue_does_not_block(void **state)
{
	char abstract[64];
	(void)snprintf(abstract, sizeof(abstract), "@test_service.full.%d", getpid());
	int fd = manager_open(abstract);
	struct service service;
	assert_int_equal(service_init(&service, NULL), 0);
	(void)alarm(20);
	for (int i = 0; i < 10000; i++)
		service_watchdog(&service);
	(void)alarm(0);
	service_done(&service);
	(void)close(fd);
}

static void without_a_manager_nothing_happens(void **state)
{
	struct service service;
	struct fail fail = {0};
	(void)unsetenv("NOTIFY_SOCKET");
	assert_int_equal(service_init(&service, &fail), 0);
	assert_int_equal(service.watchdog_ms, 0);
	service_ready(&service);
	service_done(&service);
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(service_init(&service, &fail), -EINVAL);
	(void)setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_int_equal(service_init(&service, &fail), -ENOENT);
	(void)unsetenv("NOTIFY_SOCKET");
}

static void a_watchdog_of_another_process_is_not_ours(void **state)
{
	char abstract[64];
	(void)snprintf(abstract, sizeof(abstract), "@test_service.other.%d", getpid());
	int fd = manager_open(abstract);
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	(void)setenv("WATCHDOG_PID", "1", 1);
	struct service service;
	assert_int_equal(service_init(&service, NULL), 0);
	assert_int_equal(service.watchdog_ms, 0);
	service_done(&service);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_and_abstract_sockets),
		cmocka_unit_test(a_full_queue_does_not_block),
		cmocka_unit_test(without_a_manager_nothing_happens),
		cmocka_unit_test(a_watchdog_of_another_process_is_not_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
