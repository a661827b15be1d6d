/* SPDX-License-Identifier: MIT */
/* The real server on a real socket; the test is both the clients and the handler. */
#include "daemon/control.h"
#include "daemon/io/loop.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 60000, VIEWER_UID = 4001, OPERATOR_GID = 4002, ADMIN_UID = 4003 };

static struct {
	char dir[64], path[96];
	struct loop *loop;
	struct loop_timer *tick;
	struct control *control;
	struct control_call *held[8]; /* Explain and Log are answered by the test */
	size_t n_held, n_handled, n_gone;
	char log[256];
} world;

static const uid_t viewer_uids[] = { VIEWER_UID }, admin_uids[] = { ADMIN_UID };
static const gid_t operator_gids[] = { OPERATOR_GID };
static const struct peer_roles roles = {
	.viewer = { .uids = viewer_uids, .n_uids = 1 },
	.operator = { .gids = operator_gids, .n_gids = 1 },
	.admin = { .uids = admin_uids, .n_uids = 1 },
};

static void on_gone(void *arg, struct control_call *call)
{
	(void)arg;
	world.n_gone++;
	for (size_t i = 0; i < world.n_held; i++)
		if (world.held[i] == call)
			world.held[i] = NULL;
}

static void handle(void *arg, struct control_call *call)
{
	(void)arg;
	const char *name = control_call_method(call)->name;
	world.n_handled++;
	if (strcmp(name, "Explain") == 0 || strcmp(name, "Log") == 0) {
		world.held[world.n_held++] = call;
		if (control_call_wants_more(call))
			control_call_on_gone(call, on_gone, NULL);
		return;
	}
	struct json_object *params = json_object_new_object();
	json_add_str(params, "method", name);
	json_add_str(params, "role", role_word(control_call_role(call)));
	json_add_str(params, "actor", control_call_actor(call));
	if (strcmp(name, "ListUnits") == 0) {
		char *big = calloc(1, 100001);
		memset(big, 'x', 100000);
		json_add_str(params, "big", big);
		free(big);
	}
	control_reply(call, params, false);
}

static void on_log(void *arg, const char *text)
{
	(void)arg;
	(void)snprintf(world.log, sizeof(world.log), "%s", text);
}

static void on_tick(void *arg)
{
	(void)arg;
	loop_quit(world.loop);
}

static void turn(void)
{
	loop_timer_set(world.tick, 1);
	assert_int_equal(loop_run(world.loop), 0);
}

/* Runs the loop until the condition holds; fails at the deadline. */
#define UNTIL(condition)                                                     \
	do {                                                                 \
		uint64_t deadline_ = loop_boot_ms() + DEADLINE_MS;           \
		while (!(condition)) {                                       \
			if (loop_boot_ms() > deadline_)                      \
				fail_msg("waited in vain for " #condition);  \
			turn();                                              \
		}                                                            \
	} while (0)

static int control_start(struct fail *fail)
{
	struct control_options options = { .path = world.path, .mode = 0666, .roles = &roles, .handle = handle, .log = on_log };
	return control_new(&world.control, world.loop, &options, fail);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	(void)snprintf(world.dir, sizeof(world.dir), "/tmp/upgd-control-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	(void)chmod(world.dir, 0755);
	(void)snprintf(world.path, sizeof(world.path), "%s/sock", world.dir);
	world.loop = loop_new(NULL);
	world.tick = loop_timer_new(world.loop, on_tick, NULL);
	struct fail fail;
	if (control_start(&fail) != 0)
		fail_msg("%s", fail.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	control_free(world.control);
	for (size_t i = 0; i < world.n_held; i++)
		if (world.held[i] != NULL)
			control_reply(world.held[i], NULL, false);
	loop_timer_free(world.tick);
	loop_free(world.loop);
	assert_int_equal(access(world.path, F_OK), -1);
	(void)rmdir(world.dir);
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int client(void)
{
	int fd = connect_to(world.path);
	assert_true(fd >= 0);
	return fd;
}

/* The kernel notes the effective ids of the moment of connect(). */
static int client_as(uid_t uid, gid_t extra)
{
	assert_int_equal(setgroups(extra ? 1 : 0, &extra), 0);
	assert_int_equal(setegid(65534), 0);
	assert_int_equal(seteuid(uid), 0);
	int fd = connect_to(world.path);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
	assert_true(fd >= 0);
	return fd;
}

static void put(int fd, const char *bytes, size_t n)
{
	uint64_t deadline = loop_boot_ms() + DEADLINE_MS;
	while (n > 0) {
		if (loop_boot_ms() > deadline)
			fail_msg("the server does not read");
		ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
		if (done < 0 && errno != EAGAIN)
			return; /* the server may close on us in mid-message */
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
		turn();
	}
}

static void ask(int fd, const char *text)
{
	put(fd, text, strlen(text) + 1);
}

/* The next message; "" at the end of the connection. Byte by byte: only tests do that. */
static const char *answer(int fd)
{
	static char text[200000];
	size_t n = 0;
	for (uint64_t deadline = loop_boot_ms() + DEADLINE_MS; loop_boot_ms() < deadline;) {
		ssize_t r = recv(fd, text + n, 1, 0);
		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return "";
		if (r < 0) {
			turn();
			continue;
		}
		if (text[n++] == '\0')
			return text;
	}
	fail_msg("no answer");
	return NULL;
}

static void assert_answer(int fd, const char *part)
{
	const char *text = answer(fd);
	if (*part == '\0' ? *text != '\0' : strstr(text, part) == NULL)
		fail_msg("\"%.300s\" has no \"%s\"", text, part);
}

#define CALL(name, rest) "{\"method\":\"io.upgd.Control." name "\"" rest "}"

static void test_call(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Status", ""));
	assert_answer(fd, "{\"parameters\":{\"method\":\"Status\",\"role\":\"admin\",\"actor\":\"uid=");
	ask(fd, CALL("Status", ",\"parameters\":null"));
	assert_answer(fd, "Status");
	close(fd);
}

static void test_service(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
	assert_answer(fd, "\"interfaces\":[\"org.varlink.service\",\"io.upgd.Control\"]");
	ask(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"io.upgd.Control\"}}");
	assert_answer(fd, "method Abort(rollout: int");
	ask(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.varlink.service\"}}");
	assert_answer(fd, "method GetInfo()");
	ask(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"x.y\"}}");
	assert_answer(fd, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"x.y\"}}");
	ask(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}");
	assert_answer(fd, "InvalidParameter");
	close(fd);
}

static void test_refused_before_the_handler(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Nope", ""));
	assert_answer(fd, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.upgd.Control.Nope\"}}");
	ask(fd, "{\"method\":\"a.b.C\"}");
	assert_answer(fd, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"a.b\"}}");
	ask(fd, "{\"method\":\"\"}");
	assert_answer(fd, "InterfaceNotFound");
	ask(fd, CALL("Explain", ""));
	assert_answer(fd, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"unit\"");
	ask(fd, CALL("Explain", ",\"parameters\":{\"unit\":1}"));
	assert_answer(fd, "\"parameter\":\"unit\"");
	ask(fd, CALL("Status", ",\"parameters\":{\"more\":1}"));
	assert_answer(fd, "\"parameter\":\"more\"");
	assert_int_equal(world.n_handled, 0);
	ask(fd, CALL("Whoami", ""));
	assert_answer(fd, "Whoami");
	close(fd);
}

static void test_roles(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	static const struct {
		uid_t uid;
		gid_t extra;
		const char *role;
		enum role rank;
	} rows[] = {
		{ 4009, 0, "none", ROLE_NONE },
		{ VIEWER_UID, 0, "viewer", ROLE_VIEWER },
		{ 4009, OPERATOR_GID, "operator", ROLE_OPERATOR },
		{ VIEWER_UID, OPERATOR_GID, "operator", ROLE_OPERATOR },
		{ ADMIN_UID, OPERATOR_GID, "admin", ROLE_ADMIN },
		{ 0, 0, "admin", ROLE_ADMIN },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = client_as(rows[i].uid, rows[i].extra);
		char who[64];
		(void)snprintf(who, sizeof(who), "\"role\":\"%s\",\"actor\":\"uid=%u", rows[i].role, (unsigned)rows[i].uid);
		ask(fd, CALL("Whoami", ""));
		assert_answer(fd, who);
		size_t before = world.n_handled;
		const char *refused = "{\"error\":\"io.upgd.Control.NotPermitted\",\"parameters\":{\"role\":";
		ask(fd, CALL("Status", ""));
		assert_answer(fd, rows[i].rank >= ROLE_VIEWER ? "\"method\"" : refused);
		ask(fd, CALL("Pause", ""));
		assert_answer(fd, rows[i].rank >= ROLE_OPERATOR ? "\"method\"" : refused);
		ask(fd, CALL("Abort", ",\"parameters\":{\"rollout\":1}"));
		assert_answer(fd, rows[i].rank >= ROLE_ADMIN ? "\"method\"" : refused);
		assert_int_equal(world.n_handled - before, (size_t)rows[i].rank);
		close(fd);
	}
}

static void test_pipelined_in_order(void **state)
{
	(void)state;
	int fd = client();
	static const char bytes[] = CALL("Explain", ",\"parameters\":{\"unit\":\"a/1\"}") "\0" CALL("Status", "") "\0" CALL("Nope", "") "\0" CALL("Whoami", "");
	put(fd, bytes, sizeof(bytes));
	UNTIL(world.n_held == 1);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(world.n_handled, 1); /* the rest waits */
	const char *unit = NULL;
	assert_int_equal(json_get_str(control_call_args(world.held[0]), "unit", &unit, NULL), 0);
	assert_string_equal(unit, "a/1");
	struct json_object *params = json_object_new_object();
	json_add_str(params, "text", "no such unit");
	control_error(world.held[0], "NoSuchUnit", params);
	world.held[0] = NULL;
	assert_answer(fd, "{\"error\":\"io.upgd.Control.NoSuchUnit\",\"parameters\":{\"text\":\"no such unit\"}}");
	assert_answer(fd, "\"Status\"");
	assert_answer(fd, "MethodNotFound");
	assert_answer(fd, "\"Whoami\"");
	close(fd);
}

/* 300 big answers are far more than the socket and the queue's high mark take: the reader sets the pace and is not dropped. */
static void test_pipelined_big_answers(void **state)
{
	(void)state;
	int fd = client();
	static const char one[] = CALL("ListUnits", "");
	static char all[300 * sizeof(one)];
	for (int i = 0; i < 300; i++)
		memcpy(all + (size_t)i * sizeof(one), one, sizeof(one));
	put(fd, all, sizeof(all));
	for (int i = 0; i < 50; i++)
		turn();
	assert_true(world.n_handled < 100);
	char *chunk = malloc(1 << 20);
	size_t nuls = 0;
	for (uint64_t deadline = loop_boot_ms() + DEADLINE_MS; nuls < 300 && loop_boot_ms() < deadline;) {
		ssize_t n = recv(fd, chunk, 1 << 20, 0);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		for (ssize_t i = 0; i < n; i++)
			nuls += chunk[i] == '\0';
		if (n < 0)
			turn();
	}
	assert_int_equal(nuls, 300);
	free(chunk);
	close(fd);
}

static void test_more(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Log", ",\"more\":true"));
	UNTIL(world.n_held == 1);
	for (int i = 0; i < 3; i++)
		control_reply(world.held[0], NULL, true);
	control_reply(world.held[0], NULL, false);
	world.held[0] = NULL;
	for (int i = 0; i < 3; i++)
		assert_answer(fd, "{\"parameters\":{},\"continues\":true}");
	assert_string_equal(answer(fd), "{\"parameters\":{}}");
	ask(fd, CALL("Status", ""));
	assert_answer(fd, "Status");
	assert_int_equal(world.n_gone, 0);
	close(fd);
}

static void test_oneway(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Pause", ",\"oneway\":true"));
	ask(fd, CALL("Nope", ",\"oneway\":true"));
	ask(fd, CALL("Status", ""));
	assert_answer(fd, "\"Status\"");
	assert_int_equal(world.n_handled, 2);
	close(fd);
}

static void test_slow_reader_is_dropped(void **state)
{
	(void)state;
	int slow = client(), other = client();
	ask(slow, CALL("Log", ",\"more\":true"));
	UNTIL(world.n_held == 1);
	char *big = calloc(1, 65537);
	memset(big, 'x', 65536);
	for (int i = 0; i < 400 && world.held[0] != NULL; i++) {
		struct json_object *params = json_object_new_object();
		json_add_str(params, "big", big);
		control_reply(world.held[0], params, true);
		if (i % 100 == 0)
			turn();
	}
	free(big);
	UNTIL(world.n_gone == 1);
	assert_non_null(strstr(world.log, "does not read"));
	ask(other, CALL("Status", ""));
	assert_answer(other, "Status");
	close(slow);
	close(other);
}

static void test_half_a_message(void **state)
{
	(void)state;
	int fd = client(), other = client();
	static const char text[] = CALL("Status", "");
	put(fd, text, 20);
	ask(other, CALL("Status", ""));
	assert_answer(other, "Status");
	assert_int_equal(world.n_handled, 1);
	put(fd, text + 20, sizeof(text) - 20);
	assert_answer(fd, "Status");
	put(fd, text, 20);
	close(fd);
	ask(other, CALL("Status", ""));
	assert_answer(other, "Status");
	close(other);
}

static void test_bad_frames(void **state)
{
	(void)state;
	static char long_text[100000], binary[256];
	memset(long_text, ' ', sizeof(long_text) - 1);
	for (size_t i = 0; i < sizeof(binary); i++)
		binary[i] = (char)(255 - i);
	const struct {
		const char *bytes;
		size_t n;
		const char *why;
	} rows[] = {
		{ "hello", 6, "not JSON at byte 0" },
		{ "", 1, "not JSON" },
		{ "GET / HTTP/1.1\r\n\r\n\0", 19, "not JSON" },
		{ "[]", 3, "must be an object" },
		{ "{}", 3, "\\\"method\\\" is missing" },
		{ "{\"method\":1}", 13, "must be a string" },
		{ "{\"method\":\"a.B\",\"x\":1}", 23, "unknown key" },
		{ "{\"method\":\"a.B\",\"parameters\":[]}", 33, "must be an object" },
		{ "{\"method\":\"a.B\",\"more\":1}", 26, "true or false" },
		{ "{\"method\":\"a.B\",\"upgrade\":true}", 32, "not offered" },
		{ "{\"method\":\"a.B\",\"method\":\"a.C\"}", 32, "twice" },
		{ binary, sizeof(binary), "not JSON" },
		{ long_text, sizeof(long_text), "longer than 65536" },
		{ long_text, sizeof(long_text) - 1, "longer than 65536" },
	};
	int other = client();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = client();
		put(fd, rows[i].bytes, rows[i].n);
		const char *text = answer(fd);
		if (strstr(text, "{\"error\":\"io.upgd.Control.BadParameter\",\"parameters\":{\"parameter\":\"message\"") == NULL ||
			strstr(text, rows[i].why) == NULL)
			fail_msg("row %zu: %s", i, text);
		assert_answer(fd, "");
		close(fd);
		ask(other, CALL("Status", ""));
		assert_answer(other, "Status");
	}
	assert_int_equal(world.n_handled, sizeof(rows) / sizeof(rows[0]));
	close(other);
}

static void test_whole_messages_before_a_bad_one_count(void **state)
{
	(void)state;
	int fd = client();
	static const char bytes[] = CALL("Status", "") "\0x";
	put(fd, bytes, sizeof(bytes));
	assert_answer(fd, "Status");
	assert_answer(fd, "BadParameter");
	assert_answer(fd, "");
	close(fd);
}

static void test_client_leaves(void **state)
{
	(void)state;
	int stream = client(), once = client();
	ask(stream, CALL("Log", ",\"more\":true"));
	UNTIL(world.n_held == 1);
	ask(once, CALL("Explain", ",\"parameters\":{\"unit\":\"a/1\"}"));
	UNTIL(world.n_held == 2);
	control_reply(world.held[0], NULL, true);
	close(stream);
	close(once);
	UNTIL(world.n_gone == 1);
	UNTIL(control_call_is_gone(world.held[1]));
	control_reply(world.held[1], NULL, false); /* to nobody, and of no harm */
	world.held[1] = NULL;
	int fd = client();
	ask(fd, CALL("Status", ""));
	assert_answer(fd, "Status");
	close(fd);
}

static void test_answers_after_half_close(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Explain", ",\"parameters\":{\"unit\":\"a/1\"}"));
	ask(fd, CALL("Status", ""));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	UNTIL(world.n_held == 1);
	for (int i = 0; i < 5; i++)
		turn();
	control_reply(world.held[0], NULL, false);
	world.held[0] = NULL;
	assert_answer(fd, "{\"parameters\":{}}");
	assert_answer(fd, "Status");
	assert_answer(fd, "");
	close(fd);
}

static void test_too_many_clients(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	int fds[CONTROL_CLIENTS_MAX];
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = i < CONTROL_CLIENTS_MAX - CONTROL_RESERVED ? client_as(VIEWER_UID, 0) : client();
		ask(fds[i], CALL("Status", ""));
		assert_answer(fds[i], "Status");
		if (i + 1 != CONTROL_CLIENTS_MAX - CONTROL_RESERVED)
			continue;
		int viewer = client_as(VIEWER_UID, 0);
		assert_answer(viewer, "io.upgd.Control.Busy");
		assert_answer(viewer, "");
		close(viewer);
	}
	int admin = client();
	assert_answer(admin, "io.upgd.Control.Busy");
	close(admin);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	bool again = false;
	UNTIL((admin = client(), ask(admin, CALL("Status", "")), again = strstr(answer(admin), "Busy") == NULL, close(admin), again));
}

static void test_socket_file(void **state)
{
	(void)state;
	struct fail fail;
	struct control *first = world.control;
	assert_int_equal(control_start(&fail), -EADDRINUSE);
	assert_non_null(strstr(fail.text, world.path));
	struct stat st;
	assert_int_equal(stat(world.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	control_free(first);
	assert_int_equal(access(world.path, F_OK), -1);

	int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world.path);
	assert_int_equal(bind(stale, (struct sockaddr *)&address, sizeof(address)), 0);
	close(stale);
	assert_int_equal(control_start(&fail), 0);
	control_free(world.control);
	world.control = NULL;

	close(open(world.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(control_start(&fail), -EEXIST);
	assert_int_equal(unlink(world.path), 0);
}

/* main() keeps descriptor 3 free for this. */
static void test_passed_socket(void **state)
{
	(void)state;
	control_free(world.control);
	world.control = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", world.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(dup2(fd, 3), 3);
	close(fd);
	char pid[16];
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	assert_int_equal(control_start(NULL), 0);
	assert_null(getenv("LISTEN_FDS"));
	fd = client();
	ask(fd, CALL("Status", ""));
	assert_answer(fd, "Status");
	close(fd);
	control_free(world.control);
	world.control = NULL;
	assert_int_equal(access(world.path, F_OK), 0); /* the service manager's file */
	(void)unlink(world.path);
	(void)dup2(STDERR_FILENO, 3);
}

static void test_freed_with_open_calls(void **state)
{
	(void)state;
	int fd = client();
	ask(fd, CALL("Log", ",\"more\":true"));
	UNTIL(world.n_held == 1);
	control_free(world.control);
	world.control = NULL;
	assert_int_equal(world.n_gone, 1);
	close(fd);
}

int main(void)
{
	(void)dup2(STDERR_FILENO, 3);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_call),
		TEST(test_service),
		TEST(test_refused_before_the_handler),
		TEST(test_roles),
		TEST(test_pipelined_in_order),
		TEST(test_pipelined_big_answers),
		TEST(test_more),
		TEST(test_oneway),
		TEST(test_slow_reader_is_dropped),
		TEST(test_half_a_message),
		TEST(test_bad_frames),
		TEST(test_whole_messages_before_a_bad_one_count),
		TEST(test_client_leaves),
		TEST(test_answers_after_half_close),
		TEST(test_too_many_clients),
		TEST(test_socket_file),
		TEST(test_passed_socket),
		TEST(test_freed_with_open_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
