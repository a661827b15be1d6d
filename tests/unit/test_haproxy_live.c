/* SPDX-License-Identifier: MIT */
/*
 * The HAProxy client against the real thing, in master-worker mode, with a backend that holds requests to /slow until it is told to
 * let them go: no test depends on how long something takes. Skipped where HAProxy is not installed.
 */
#include "daemon/io/haproxy.h"
#include "daemon/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, POLL_MS = 20, HELD_MAX = 16 };

static const char *const binaries[] = { "/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy", "/usr/local/bin/haproxy" };

struct world {
	const char *binary; /* NULL: skip everything */
	char dir[64], runtime[96], master[96], user[96], front[96], im[96], tcp[32];
	pid_t pid;
	int listener, control[2]; /* to the backend: 'r' releases what is held; closed: end */
	unsigned backend_port;
	pthread_t backend;
	atomic_size_t held;
	struct loop *loop;
	struct loop_timer *guard, *pause;
	struct haproxy *lb; /* with the master socket */
	/* the last answer */
	struct haproxy_snapshot snapshot;
	struct haproxy_server servers[4];
	char error[512];
};

static struct world world;

static void answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	(void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
	close(fd);
}

static void *backend(void *arg)
{
	(void)arg;
	int held[HELD_MAX];
	size_t n = 0;
	struct pollfd polls[] = { { .fd = world.listener, .events = POLLIN }, { .fd = world.control[0], .events = POLLIN } };
	while (poll(polls, 2, -1) >= 0) {
		char head[2048];
		if (polls[1].revents != 0) {
			while (n > 0)
				answer(held[--n]);
			if (read(world.control[0], head, 1) != 1)
				return NULL;
		}
		world.held = n;
		int fd = polls[0].revents != 0 ? accept(world.listener, NULL, NULL) : -1;
		if (fd < 0)
			continue;
		ssize_t got = recv(fd, head, sizeof(head), 0);
		if (got > 10 && memcmp(head, "GET /slow ", 10) == 0 && n < HELD_MAX)
			held[n++] = fd;
		else
			answer(fd);
		world.held = n;
	}
	return NULL;
}

/* A port of 127.0.0.1 that was free just now. HAProxies share ports silently, so never a fixed one. */
static int free_port(unsigned *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static void write_config(void)
{
	char path[128];
	unsigned port;
	close(free_port(&port));
	(void)snprintf(world.tcp, sizeof(world.tcp), "127.0.0.1:%u", port);
	(void)snprintf(path, sizeof(path), "%s/haproxy.cfg", world.dir);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file,
		"global\n  nbthread 1\n  maxconn 100\n"
		"  stats socket %s mode 600 level admin\n  stats socket %s mode 600 level user\n  stats socket ipv4@%s level admin\n"
		"defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n"
		"frontend fe\n  bind unix@%s\n  default_backend be_ox\n"
		"backend be_ox\n  option httpchk GET /health\n  default-server inter 50 rise 3 fall 3\n"
		"  server ox1 127.0.0.1:%u check\n  server ox2 127.0.0.1:%u check\n  server ox3 127.0.0.1:%u\n"
		"listen be_im\n  mode tcp\n  bind unix@%s\n  balance leastconn\n  server im1 127.0.0.1:%u\n  server im2 127.0.0.1:%u\n",
		world.runtime, world.user, world.tcp, world.front, world.backend_port, world.backend_port, world.backend_port, world.im, world.backend_port,
		world.backend_port);
	assert_int_equal(fclose(file), 0);
}

static void start_haproxy(void)
{
	char config[128], log[128];
	(void)snprintf(config, sizeof(config), "%s/haproxy.cfg", world.dir);
	(void)snprintf(log, sizeof(log), "%s/haproxy.log", world.dir);
	world.pid = fork();
	assert_true(world.pid >= 0);
	if (world.pid > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)signal(SIGPIPE, SIG_DFL);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	(void)dup2(fd, 1);
	(void)dup2(fd, 2);
	execl(world.binary, "haproxy", "-W", "-S", world.master, "-f", config, (char *)NULL);
	_exit(127);
}

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("not reached within %d ms; last: %s pid=%u ox1=%s sessions=%u old=%u", DEADLINE_MS, world.error, world.snapshot.pid,
		world.servers[0].status, world.servers[0].sessions, world.servers[0].old_sessions);
}

static void on_pause(void *arg)
{
	(void)arg;
	loop_quit(world.loop);
}

static struct haproxy *client(const char *socket, const char *master)
{
	struct haproxy_options options = { .socket = socket, .master = master };
	struct haproxy *haproxy = haproxy_new(world.loop, &options, NULL);
	assert_non_null(haproxy);
	return haproxy;
}

static void on_snapshot(void *arg, const struct haproxy_snapshot *snapshot)
{
	(void)arg;
	world.snapshot = *snapshot;
	assert_true(snapshot->n_servers <= 4);
	if (snapshot->n_servers > 0)
		memcpy(world.servers, snapshot->servers, snapshot->n_servers * sizeof(*snapshot->servers));
	(void)snprintf(world.error, sizeof(world.error), "%s", snapshot->error != NULL ? snapshot->error : "");
	loop_quit(world.loop);
}

static void on_command(void *arg, const char *error)
{
	(void)arg;
	(void)snprintf(world.error, sizeof(world.error), "%s", error != NULL ? error : "");
	loop_quit(world.loop);
}

static void run(void)
{
	assert_int_equal(loop_run(world.loop), 0);
}

static void look_by(struct haproxy *haproxy)
{
	haproxy_snapshot(haproxy, "be_ox", on_snapshot, NULL);
	run();
}

static void look(void)
{
	look_by(world.lb);
	assert_string_equal(world.error, "");
	assert_int_equal(world.snapshot.n_servers, 3);
}

static void set(const char *server, enum haproxy_want want)
{
	haproxy_set(world.lb, "be_ox", server, want, on_command, NULL);
	run();
	assert_string_equal(world.error, "");
}

static void look_at_im(struct haproxy *haproxy)
{
	haproxy_snapshot(haproxy, "be_im", on_snapshot, NULL);
	run();
}

/* Looks until condition is true; the guard ends a test that waits in vain. */
#define LOOK_UNTIL_BY(look_now, condition) do { \
	loop_timer_set(world.guard, DEADLINE_MS); \
	for (look_now(world.lb); !(condition); look_now(world.lb)) { \
		loop_timer_set(world.pause, POLL_MS); \
		run(); \
	} \
	loop_timer_clear(world.guard); \
} while (0)
#define LOOK_UNTIL(condition) LOOK_UNTIL_BY(look_by, condition)

static int group_set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(binaries) / sizeof(binaries[0]) && world.binary == NULL; i++)
		if (access(binaries[i], X_OK) == 0)
			world.binary = binaries[i];
	if (world.binary == NULL) {
		print_message("HAProxy is not installed: live tests are skipped\n");
		return 0;
	}
	strcpy(world.dir, "/tmp/test_haproxy_live.XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	(void)snprintf(world.runtime, sizeof(world.runtime), "%s/lb1.sock", world.dir);
	(void)snprintf(world.master, sizeof(world.master), "%s/lb1-master.sock", world.dir);
	(void)snprintf(world.user, sizeof(world.user), "%s/user.sock", world.dir);
	(void)snprintf(world.im, sizeof(world.im), "%s/im.sock", world.dir);
	(void)snprintf(world.front, sizeof(world.front), "%s/front.sock", world.dir);
	world.listener = free_port(&world.backend_port);
	assert_int_equal(listen(world.listener, 64), 0);
	assert_int_equal(pipe(world.control), 0);
	assert_int_equal(pthread_create(&world.backend, NULL, backend, NULL), 0);
	world.loop = loop_new(NULL);
	world.guard = loop_timer_new(world.loop, on_guard, NULL);
	world.pause = loop_timer_new(world.loop, on_pause, NULL);
	world.lb = client(world.runtime, world.master);
	write_config();
	start_haproxy();
	return 0;
}

static int group_tear_down(void **state)
{
	(void)state;
	if (world.binary == NULL)
		return 0;
	haproxy_free(world.lb);
	loop_timer_free(world.guard);
	loop_timer_free(world.pause);
	loop_free(world.loop);
	if (world.pid > 0) {
		kill(world.pid, SIGTERM);
		(void)waitpid(world.pid, NULL, 0);
	}
	close(world.control[1]);
	pthread_join(world.backend, NULL);
	close(world.control[0]);
	close(world.listener);
	static const char *const files[] = { "haproxy.cfg", "haproxy.log", "lb1.sock", "lb1-master.sock", "user.sock", "front.sock", "im.sock" };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[128];
		(void)snprintf(path, sizeof(path), "%s/%s", world.dir, files[i]);
		(void)unlink(path);
	}
	return rmdir(world.dir);
}

/* Before each test: everything ready, nothing running. */
static int all_ready(void **state)
{
	(void)state;
	if (world.binary == NULL)
		return 0;
	LOOK_UNTIL(world.snapshot.reachable);
	for (int i = 0; i < 3; i++)
		if (world.servers[i].admin != 0)
			set(world.servers[i].name, HAPROXY_READY);
	LOOK_UNTIL(world.snapshot.reachable && world.servers[0].fresh && world.servers[1].fresh && world.servers[0].admin == 0 &&
		world.snapshot.old_workers == 0);
	return 0;
}

#define NEEDS_HAPROXY() do { if (world.binary == NULL) skip(); } while (0)

/* Sends a request that only ox1 can get, and that runs until release(). Returns the client's connection. */
static int slow_request(void)
{
	set("ox2", HAPROXY_MAINT);
	set("ox3", HAPROXY_MAINT);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	strcpy(un.sun_path, world.front);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	static const char text[] = "GET /slow HTTP/1.1\r\nHost: ox\r\n\r\n";
	assert_int_equal(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
	LOOK_UNTIL(world.servers[0].sessions == 1 && world.held == 1);
	return fd;
}

static void release(void)
{
	assert_int_equal(write(world.control[1], "r", 1), 1);
}

static void assert_answer(int fd, const char *begins)
{
	char text[256] = "";
	struct timeval patience = { .tv_sec = DEADLINE_MS / 1000 };
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_true(recv(fd, text, sizeof(text) - 1, 0) >= 0);
	close(fd);
	assert_int_equal(strncmp(text, begins, strlen(begins)), 0);
}

static void test_states(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	look();
	assert_string_equal(world.servers[0].name, "ox1");
	assert_string_equal(world.servers[0].status, "UP");
	assert_string_equal(world.servers[0].check, "L7OK");
	assert_true(world.servers[0].up && world.servers[0].has_check);
	assert_true(world.servers[2].up && world.servers[2].fresh && !world.servers[2].has_check);
	assert_true(world.snapshot.pid != 0 && world.snapshot.start_s > 1600000000);
	unsigned pid = world.snapshot.pid;

	set("ox1", HAPROXY_DRAIN);
	look();
	assert_int_equal(world.servers[0].admin, HAPROXY_FDRAIN);
	assert_string_equal(world.servers[0].status, "DRAIN");
	assert_true(world.servers[0].up && world.servers[0].fresh);

	set("ox1", HAPROXY_MAINT);
	look();
	assert_int_equal(world.servers[0].admin, HAPROXY_FMAINT);
	assert_string_equal(world.servers[0].status, "MAINT");
	assert_true(!world.servers[0].up && !world.servers[0].fresh && world.servers[0].has_check);

	set("ox1", HAPROXY_DRAIN);
	LOOK_UNTIL(world.servers[0].fresh);
	assert_int_equal(world.servers[0].admin, HAPROXY_FDRAIN);
	assert_true(world.servers[0].up);

	set("ox1", HAPROXY_READY);
	look();
	assert_int_equal(world.servers[0].admin, 0);
	assert_string_equal(world.servers[0].status, "UP");
	assert_int_equal(world.snapshot.pid, pid);
}

static void test_sessions_of_a_drained_server(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	int fd = slow_request();
	set("ox1", HAPROXY_DRAIN);
	look();
	assert_int_equal(world.servers[0].sessions, 1);
	set("ox1", HAPROXY_MAINT);
	look();
	assert_int_equal(world.servers[0].sessions, 1);
	release();
	LOOK_UNTIL(world.servers[0].sessions == 0);
	assert_answer(fd, "HTTP/1.1 200");
}

static void test_shutdown_sessions(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	int fd = slow_request();
	haproxy_shutdown_sessions(world.lb, "be_ox", "ox1", on_command, NULL);
	run();
	assert_string_equal(world.error, "");
	LOOK_UNTIL(world.servers[0].sessions == 0);
	assert_answer(fd, "");
	release();
}

/* Sends what the backend holds, too. */
static int long_session(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static const char text[] = "GET /slow HTTP/1.1\r\n\r\n";
	strcpy(un.sun_path, world.im);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
	return fd;
}

static void on_shed(void *arg, unsigned ended, const char *error)
{
	*(unsigned *)arg = ended;
	on_command(NULL, error);
}

static unsigned shed(struct haproxy *haproxy, const char *server, unsigned most)
{
	unsigned ended = 1000;
	(void)haproxy_shed(haproxy, "be_im", server, most, on_shed, &ended);
	run();
	return ended;
}

#define IM1 (world.servers[0].sessions + world.servers[0].old_sessions)
#define IM2 (world.servers[1].sessions + world.servers[1].old_sessions)

/* So many and no more, of this server and no other; after a reload those that the old worker serves, which nothing else ends. */
static void test_shedding(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	int fds[8];
	for (size_t i = 0; i < 8; i++)
		fds[i] = long_session();
	LOOK_UNTIL_BY(look_at_im, IM1 == 4 && IM2 == 4 && world.held == 8);
	struct haproxy *user = client(world.user, NULL);
	assert_int_equal(shed(user, "im1", 2), 0);
	assert_non_null(strstr(world.error, "user.sock: show sess: unexpected answer \"Permission denied\" (the socket needs `level admin`)"));
	haproxy_free(user);
	assert_int_equal(shed(world.lb, "im1;show", 2), 0);
	assert_non_null(strstr(world.error, "is no name of a HAProxy server"));
	assert_int_equal(shed(world.lb, "im9", 2), 0);
	assert_string_equal(world.error, "");
	assert_int_equal(shed(world.lb, "im1", 2), 2);
	assert_string_equal(world.error, "");
	LOOK_UNTIL_BY(look_at_im, IM1 == 2);
	assert_int_equal(IM2, 4);
	unsigned pid = world.snapshot.pid;
	assert_int_equal(kill(world.pid, SIGUSR2), 0);
	LOOK_UNTIL_BY(look_at_im, world.snapshot.reachable && world.snapshot.pid != pid);
	assert_int_equal(world.servers[0].old_sessions, 2);
	haproxy_shutdown_sessions(world.lb, "be_im", "im1", on_command, NULL);
	run();
	look_at_im(world.lb);
	assert_int_equal(world.servers[0].old_sessions, 2); /* they go on */
	assert_int_equal(shed(world.lb, "im1", 10), 2);
	LOOK_UNTIL_BY(look_at_im, IM1 == 0);
	assert_int_equal(world.servers[1].old_sessions, 4);
	haproxy_shed_cancel(haproxy_shed(world.lb, "be_im", "im2", 10, on_shed, NULL));
	assert_int_equal(shed(world.lb, "im2", 10), 4);
	release();
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
}

static void test_reload_while_a_request_runs(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	struct haproxy *blind = client(world.tcp, NULL); /* no master socket */
	look_by(blind);
	assert_string_equal(world.error, "");
	assert_false(world.snapshot.old_unknown);
	int fd = slow_request();
	unsigned pid = world.snapshot.pid;
	assert_int_equal(kill(world.pid, SIGUSR2), 0);
	LOOK_UNTIL(world.snapshot.reachable && world.snapshot.pid != pid);
	look();
	assert_int_equal(world.servers[0].sessions, 0);
	assert_int_equal(world.servers[0].old_sessions, 1);
	assert_int_equal(world.servers[1].old_sessions, 0);
	assert_int_equal(world.snapshot.old_workers, 1);
	assert_int_equal(world.servers[1].admin, 0); /* forgotten */
	assert_false(world.snapshot.old_unknown || world.snapshot.stopping);

	look_by(blind);
	assert_string_equal(world.error, "");
	assert_true(world.snapshot.old_unknown);
	assert_int_equal(world.servers[0].old_sessions, 0);
	haproxy_free(blind);

	release();
	LOOK_UNTIL(world.snapshot.reachable && world.snapshot.old_workers == 0);
	assert_int_equal(world.servers[0].old_sessions, 0);
	assert_answer(fd, "HTTP/1.1 200");
}

static void test_refusals(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	haproxy_set(world.lb, "be_ox", "ox9", HAPROXY_DRAIN, on_command, NULL);
	run();
	assert_non_null(strstr(world.error, "lb1.sock: refused: No such server."));
	haproxy_set(world.lb, "be_gone", "ox1", HAPROXY_DRAIN, on_command, NULL);
	run();
	assert_non_null(strstr(world.error, "refused: No such backend."));
	haproxy_snapshot(world.lb, "be_gone", on_snapshot, NULL);
	run();
	assert_non_null(strstr(world.error, "lb1.sock: no backend be_gone (renamed?)"));
	struct haproxy *user = client(world.user, NULL);
	haproxy_set(user, "be_ox", "ox1", HAPROXY_DRAIN, on_command, NULL);
	run();
	assert_non_null(strstr(world.error, "user.sock: refused: Permission denied (the socket needs `level admin`)"));
	haproxy_free(user);
	struct haproxy *wrong = client(world.master, NULL); /* the master socket in the runtime socket's place */
	look_by(wrong);
	assert_non_null(strstr(world.error, "lb1-master.sock"));
	haproxy_free(wrong);
	wrong = client(world.runtime, world.runtime);
	look_by(wrong);
	assert_non_null(strstr(world.error, "lb1.sock: show proc"));
	haproxy_free(wrong);
}

/* The last one: it ends the process. */
static void test_haproxy_is_gone(void **state)
{
	(void)state;
	NEEDS_HAPROXY();
	assert_int_equal(kill(world.pid, SIGTERM), 0);
	assert_int_equal(waitpid(world.pid, NULL, 0), world.pid);
	world.pid = 0;
	LOOK_UNTIL(!world.snapshot.reachable);
	assert_non_null(strstr(world.error, "lb1.sock: cannot connect"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_states, all_ready),
		cmocka_unit_test_setup(test_sessions_of_a_drained_server, all_ready),
		cmocka_unit_test_setup(test_shutdown_sessions, all_ready),
		cmocka_unit_test_setup(test_shedding, all_ready),
		cmocka_unit_test_setup(test_reload_while_a_request_runs, all_ready),
		cmocka_unit_test_setup(test_refusals, all_ready),
		cmocka_unit_test(test_haproxy_is_gone),
	};
	return cmocka_run_group_tests_name("haproxy_live", tests, group_set_up, group_tear_down);
}
