/* SPDX-License-Identifier: MIT */
/* The real upgd-run, spoken to as upgd does: its promises are about what survives which kill. */
#include "proto/frame.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 60000 };

static char dir[64];

struct serve {
	pid_t pid;
	int in, out;
	struct frame frame;
};

static long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static char *path(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *path(const char *format, ...)
{
	static char paths[8][512];
	static unsigned at;
	char *out = paths[at++ % 8];
	int n = snprintf(out, 512, "%s/", dir);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(out + n, 512 - (size_t)n, format, args);
	va_end(args);
	return out;
}

static struct serve serve_start(const char *boot_id_file)
{
	int in[2], out[2];
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct serve serve = { .pid = fork(), .in = in[1], .out = out[0] };
	if (serve.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		setenv("UPGD_RUN_GRACE_MS", "300", 1);
		if (boot_id_file != NULL)
			setenv("UPGD_RUN_BOOT_ID_FILE", boot_id_file, 1);
		execl(getenv("UPGD_RUN"), "upgd-run", "serve", "--state", path("state"), "--secrets", path("secrets"), (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	frame_init(&serve.frame, 1 << 20);
	return serve;
}

/* The exit code; -1: killed. */
static int serve_end(struct serve *serve, bool kill_it)
{
	int status;
	if (kill_it)
		kill(serve->pid, SIGKILL);
	close(serve->in);
	assert_int_equal(waitpid(serve->pid, &status, 0), serve->pid);
	close(serve->out);
	frame_done(&serve->frame);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void say(struct serve *serve, const char *text)
{
	size_t len = strlen(text) + 1;
	assert_int_equal(write(serve->in, text, len), (ssize_t)len);
}

/* The next message, NULL at the end of the channel. */
static struct json_object *hear(struct serve *serve)
{
	long end = now_ms() + DEADLINE_MS;
	for (;;) {
		size_t len, n;
		char *space, *text = frame_next(&serve->frame, &len);
		if (text != NULL)
			return json_parse(text, len, NULL);
		struct pollfd fd = { .fd = serve->out, .events = POLLIN };
		long left = end - now_ms();
		if (left <= 0 || poll(&fd, 1, (int)left) <= 0)
			fail_msg("no answer from upgd-run in %d ms", DEADLINE_MS);
		frame_space(&serve->frame, &space, &n);
		ssize_t got = read(serve->out, space, n);
		if (got <= 0)
			return NULL;
		assert_int_equal(frame_fed(&serve->frame, (size_t)got, NULL), 0);
	}
}

static const char *str(struct json_object *message, const char *key)
{
	const char *text = "";
	(void)!json_get_str(message, key, &text, NULL);
	return text;
}

static long num(struct json_object *message, const char *key)
{
	int64_t value = -1;
	(void)!json_get_int(message, key, INT64_MIN, INT64_MAX, &value, NULL);
	return (long)value;
}

/* The next answer for the id with that state, or with any end state. */
static struct json_object *await(struct serve *serve, const char *id, const char *state)
{
	for (;;) {
		struct json_object *message = hear(serve);
		assert_non_null(message);
		bool hit = strcmp(str(message, "id"), id) == 0 &&
			(state != NULL ? strcmp(str(message, "state"), state) == 0 : strcmp(str(message, "state"), "running") != 0);
		if (hit)
			return message;
		json_object_put(message);
	}
}

static void start(struct serve *serve, const char *id, const char *script, const char *more)
{
	json_cleanup struct json_object *message = more != NULL ? json_parse(more, strlen(more), NULL) : json_object_new_object();
	struct json_object *argv = json_object_new_array();
	json_object_array_add(argv, json_object_new_string("sh"));
	json_object_array_add(argv, json_object_new_string("-c"));
	json_object_array_add(argv, json_object_new_string(script));
	json_add_str(message, "op", "start");
	json_add_str(message, "id", id);
	json_add(message, "argv", argv);
	json_add_str(message, "cwd", dir);
	say(serve, json_text(message, NULL));
}

static void file_write(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static char *file_text(const char *name)
{
	static char text[8192];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

/* Waits until the file has a line in it. */
static void await_file(const char *name)
{
	long end = now_ms() + DEADLINE_MS;
	while (strchr(file_text(name), '\n') == NULL) {
		if (now_ms() > end)
			fail_msg("%s did not appear", name);
		(void)poll(NULL, 0, 10);
	}
}

static bool is_alive(pid_t pid)
{
	char *text = file_text(path("../../proc/%d/stat", (int)pid));
	char *end = strrchr(text, ')');
	return end != NULL && end[2] != 'Z';
}

static void await_dead(pid_t pid)
{
	long end = now_ms() + DEADLINE_MS;
	while (is_alive(pid)) {
		if (now_ms() > end)
			fail_msg("process %d lives on", (int)pid);
		(void)poll(NULL, 0, 10);
	}
}

static struct json_object *started(const char *name)
{
	char *text = file_text(path("state/%s/started", name));
	struct json_object *record = json_parse(text, strlen(text), NULL);
	assert_non_null(record);
	return record;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-upgd-run-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(mkdir(path("secrets"), 0700), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void test_exit_code_and_output(void **state)
{
	struct serve serve = serve_start(NULL);
	json_cleanup struct json_object *greeting = hear(&serve);
	assert_string_not_equal(str(greeting, "boot_id"), "");
	start(&serve, "r1/u/s@0", "echo out; echo err >&2; printf 'a\\000b\\377'; cat; exit 7", NULL);
	json_cleanup struct json_object *running = hear(&serve);
	assert_string_equal(str(running, "state"), "running");
	json_cleanup struct json_object *end = await(&serve, "r1/u/s@0", NULL);
	assert_string_equal(str(end, "state"), "exited");
	assert_int_equal(num(end, "code"), 7);
	assert_true(num(end, "took_ms") >= 0);
	assert_string_equal(str(end, "out"), "out\nerr\na\xef\xbf\xbd" "b\xef\xbf\xbd");
	assert_int_equal(access(path("state/r1%%2Fu%%2Fs%%400/exit"), F_OK), 0);
	assert_int_equal(serve_end(&serve, false), 0);
}

static void test_signal(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "kill -9 $$", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "exited");
	assert_int_equal(num(end, "signal"), 9);
	assert_int_equal(num(end, "code"), -1);
	serve_end(&serve, false);
}

static void test_no_such_program(void **state)
{
	struct serve serve = serve_start(NULL);
	say(&serve, "{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"/no/such\"]}");
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "refused");
	assert_non_null(strstr(str(end, "error"), "/no/such"));
	serve_end(&serve, false);
}

static void test_flood_is_bounded(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "echo first; yes 0123456789 | head -c 50000000; echo last", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	const char *out = str(end, "out");
	assert_true(strlen(out) <= (64 << 10) + 128 && strlen(out) > 60 << 10);
	assert_memory_equal(out, "first\n", 6);
	assert_string_equal(out + strlen(out) - 5, "last\n");
	assert_non_null(strstr(out, " bytes left out]\n"));
	bool whole = true;
	assert_int_equal(json_get_bool(end, "whole", &whole, NULL), 0);
	assert_false(whole);
	struct stat st;
	assert_int_equal(stat(path("state/a/out"), &st), 0);
	assert_true(st.st_size <= (64 << 10) + 128);
	serve_end(&serve, false);
}

static void test_deadline_ends_the_group(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "trap '' TERM; sleep 1000 & echo $! >child; setsid sleep 1000 & echo $! >away; while :; do sleep 1; done",
		"{\"deadline_ms\":500}");
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "timeout");
	pid_t child = atoi(file_text(path("child"))), away = atoi(file_text(path("away")));
	assert_true(child > 0 && !is_alive(child));
	assert_true(away > 0 && is_alive(away));
	assert_non_null(strstr(str(end, "error"), "still run"));
	kill(away, SIGKILL);
	serve_end(&serve, false);
}

static void test_term_is_enough(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "trap 'echo bye; exit 3' TERM; echo up >up; while :; do sleep 0.02; done", NULL);
	await_file(path("up"));
	say(&serve, "{\"op\":\"cancel\",\"id\":\"a\"}");
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "timeout");
	assert_int_equal(num(end, "code"), 3);
	assert_non_null(strstr(str(end, "out"), "bye\n"));
	serve_end(&serve, false);
}

static void test_same_id_runs_once(void **state)
{
	struct serve one = serve_start(NULL), two = serve_start(NULL);
	for (int i = 0; i < 2; i++) {
		start(&one, "a", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done; exit 3", NULL);
		start(&two, "a", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done; exit 3", NULL);
	}
	await_file(path("count"));
	json_object_put(await(&two, "a", "running"));
	file_write(path("go"), "", 0600);
	for (int i = 0; i < 4; i++) {
		json_cleanup struct json_object *end = await(i % 2 ? &one : &two, "a", NULL);
		assert_int_equal(num(end, "code"), 3);
	}
	assert_string_equal(file_text(path("count")), "x\n");
	start(&one, "a", "echo y >>count", NULL);
	json_cleanup struct json_object *other = await(&one, "a", NULL);
	assert_string_equal(str(other, "state"), "refused");
	assert_string_equal(file_text(path("count")), "x\n");
	serve_end(&one, false);
	serve_end(&two, false);
}

static void test_serve_killed_then_attached(void **state)
{
	struct serve serve = serve_start(NULL);
	const char *script = "echo x >>count; while [ ! -e go ]; do sleep 0.02; done; echo done; exit 5";
	start(&serve, "a", script, NULL);
	await_file(path("count"));
	assert_int_equal(serve_end(&serve, true), -1);
	serve = serve_start(NULL);
	start(&serve, "a", script, NULL);
	json_object_put(await(&serve, "a", "running"));
	file_write(path("go"), "", 0600);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_int_equal(num(end, "code"), 5);
	assert_string_equal(str(end, "out"), "done\n");
	assert_string_equal(file_text(path("count")), "x\n");
	serve_end(&serve, false);
}

static void test_supervisor_killed(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "sleep 1000 & echo $! >child; echo up >up; wait", NULL);
	await_file(path("up"));
	json_cleanup struct json_object *record = started("a");
	json_object_put(await(&serve, "a", "running"));
	kill((pid_t)num(record, "supervisor"), SIGKILL);
	/* The program goes with it. Its child does not: no end is told, and the id is not run again, until that is gone too. */
	json_cleanup struct json_object *half = await(&serve, "a", "running");
	await_dead((pid_t)num(record, "pid"));
	pid_t child = atoi(file_text(path("child")));
	char pid[16];
	(void)snprintf(pid, sizeof(pid), " %d ", (int)child);
	assert_non_null(strstr(str(half, "error"), pid));
	serve_end(&serve, true);
	serve = serve_start(NULL);
	start(&serve, "a", "sleep 1000 & echo $! >child; echo up >up; wait", NULL);
	json_cleanup struct json_object *attached = await(&serve, "a", "running");
	assert_non_null(strstr(str(attached, "error"), pid));
	kill(child, SIGKILL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "lost");
	assert_non_null(strstr(str(end, "error"), "its supervisor was killed"));
	serve_end(&serve, false);
	/* The verdict stays. */
	serve = serve_start(NULL);
	start(&serve, "a", "sleep 1000 & echo $! >child; echo up >up; wait", NULL);
	json_cleanup struct json_object *again = await(&serve, "a", NULL);
	assert_string_equal(str(again, "state"), "lost");
	serve_end(&serve, false);
}

static void test_reboot(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "echo up >up; exec sleep 1000", NULL);
	await_file(path("up"));
	serve_end(&serve, true);
	json_cleanup struct json_object *record = started("a");
	kill((pid_t)num(record, "supervisor"), SIGKILL);
	await_dead((pid_t)num(record, "supervisor"));
	await_dead((pid_t)num(record, "pid"));
	file_write(path("boot"), "another-boot\n", 0600);
	serve = serve_start(path("boot"));
	start(&serve, "a", "echo up >up; exec sleep 1000", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "lost");
	assert_non_null(strstr(str(end, "error"), "host was restarted"));
	serve_end(&serve, false);
}

static void test_claimed_not_started(void **state)
{
	assert_int_equal(mkdir(path("state"), 0700), 0);
	assert_int_equal(mkdir(path("state/a"), 0700), 0);
	assert_int_equal(mkdir(path("state/b"), 0700), 0);
	file_write(path("state/b/spec"), "{\"op\":\"start\",\"id\":\"b\",\"argv\":[\"true\"]}", 0600);
	struct serve serve = serve_start(NULL);
	say(&serve, "{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"false\"]}");
	json_cleanup struct json_object *a = await(&serve, "a", NULL);
	assert_int_equal(num(a, "code"), 1);
	say(&serve, "{\"op\":\"start\",\"id\":\"b\",\"argv\":[\"true\"]}");
	json_cleanup struct json_object *b = await(&serve, "b", NULL);
	assert_int_equal(num(b, "code"), 0);
	serve_end(&serve, false);
}

static void test_secrets(void **state)
{
	file_write(path("secrets/pw"), "tr0ub4dor\nsecond line\n", 0600);
	file_write(path("secrets/pin"), "4711", 0600); /* shorter than what is held back for the other one */
	file_write(path("secrets/open"), "x\n", 0644);
	struct serve serve = serve_start(NULL);
	/* Printed in two writes, too. */
	start(&serve, "a", "echo $PW ${secret.pw}; printf tr0u; sleep 0.1; echo b4dor; test $PW = tr0ub4''dor; echo $?; while [ ! -e go ]; do sleep 0.02; done; printf $PIN",
		"{\"env\":{\"PW\":\"${secret.pw}\",\"PIN\":\"${secret.pin}\"}}");
	json_object_put(await(&serve, "a", "running"));
	char command[400];
	(void)snprintf(command, sizeof(command), "! tr '\\0' ' ' </proc/%d/cmdline | grep -q tr0ub4dor", (int)serve.pid);
	assert_int_equal(system(command), 0);
	file_write(path("go"), "", 0600);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "out"), "[secret] [secret]\n[secret]\n0\n[secret]");
	(void)snprintf(command, sizeof(command), "! grep -rq tr0ub4dor %s/state", dir);
	assert_int_equal(system(command), 0);
	const char *const bad[] = { "${secret.open}", "${secret.none}", "${secret.../x}", "${secret.pw" };
	for (size_t i = 0; i < 4; i++) {
		char id[8];
		(void)snprintf(id, sizeof(id), "bad%zu", i);
		start(&serve, id, bad[i], NULL);
		json_cleanup struct json_object *refused = await(&serve, id, NULL);
		assert_string_equal(str(refused, "state"), "refused");
	}
	serve_end(&serve, false);
}

static struct json_object *edit(struct serve *serve, const char *id, const char *file, const char *prefix, const char *value)
{
	json_cleanup struct json_object *message = json_object_new_object();
	json_add_str(message, "op", "edit");
	json_add_str(message, "id", id);
	json_add_str(message, "file", file);
	json_add_str(message, "prefix", prefix);
	json_add_str(message, "value", value);
	say(serve, json_text(message, NULL));
	return await(serve, id, NULL);
}

static void test_edit(void **state)
{
	file_write(path("real"), "# top\nkey=old\nkey=second\nlast", 0640);
	assert_int_equal(symlink("real", path("link")), 0);
	struct serve serve = serve_start(NULL);
	json_cleanup struct json_object *end = edit(&serve, "e1", path("link"), "key=", "new");
	assert_string_equal(str(end, "state"), "exited");
	assert_string_equal(str(end, "old"), "key=old");
	assert_string_equal(file_text(path("real")), "# top\nkey=new\nkey=second\nlast");
	struct stat st;
	assert_int_equal(lstat(path("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(path("real"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* A repeat does nothing; one after a crash before its record does it again, with the first old line. */
	file_write(path("real"), "key=foreign\n", 0640);
	json_cleanup struct json_object *again = edit(&serve, "e1", path("link"), "key=", "new");
	assert_string_equal(str(again, "old"), "key=old");
	assert_string_equal(file_text(path("real")), "key=foreign\n");
	assert_int_equal(unlink(path("state/e1/exit")), 0);
	json_cleanup struct json_object *crashed = edit(&serve, "e1", path("link"), "key=", "new");
	assert_string_equal(str(crashed, "old"), "key=old");
	assert_string_equal(file_text(path("real")), "key=new\n");
	/* Append, remove, DOS line ends. */
	file_write(path("real"), "a=1\r\nb=2", 0640);
	json_cleanup struct json_object *dos = edit(&serve, "e2", path("real"), "a=", "5");
	assert_string_equal(str(dos, "old"), "a=1");
	json_object_put(edit(&serve, "e3", path("real"), "c=", "3"));
	assert_string_equal(file_text(path("real")), "a=5\r\nb=2\nc=3\n");
	json_object_put(edit(&serve, "e4", path("real"), "b=", NULL));
	assert_string_equal(file_text(path("real")), "a=5\r\nc=3\n");
	serve_end(&serve, false);
}

static void test_edit_refused(void **state)
{
	file_write(path("latin"), "key=\xe4\n", 0600);
	struct serve serve = serve_start(NULL);
	const struct {
		const char *id, *file, *prefix, *value, *error;
	} rows[] = {
		{ "missing", path("none"), "a=", "1", "No such file" },
		{ "folder", dir, "a=", "1", "no regular file" },
		{ "relative", "etc/x", "a=", "1", "absolute" },
		{ "lines", path("latin"), "a=", "1\n2", "one line" },
		{ "no-prefix", path("latin"), "", "1", "prefix" },
		{ "latin", path("latin"), "key=", "1", "no UTF-8" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_cleanup struct json_object *end = edit(&serve, rows[i].id, rows[i].file, rows[i].prefix, rows[i].value);
		assert_string_equal(str(end, "state"), "refused");
		assert_non_null(strstr(str(end, "error"), rows[i].error));
	}
	assert_string_equal(file_text(path("latin")), "key=\xe4\n");
	serve_end(&serve, false);
}

static void test_read(void **state)
{
	file_write(path("small"), "hello\n", 0600);
	file_write(path("big"), "", 0600);
	assert_int_equal(truncate(path("big"), (64 << 10) + 1), 0);
	struct serve serve = serve_start(NULL);
	char text[600];
	const char *const files[] = { "small", "big", "none" }, *const states[] = { "exited", "refused", "refused" };
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "{\"op\":\"read\",\"id\":\"r\",\"file\":\"%s\"}", path("%s", files[i]));
		say(&serve, text);
		json_cleanup struct json_object *end = await(&serve, "r", NULL);
		assert_string_equal(str(end, "state"), states[i]);
		assert_string_equal(str(end, "out"), i == 0 ? "hello\n" : "");
	}
	assert_int_equal(truncate(path("big"), 64 << 10), 0);
	(void)snprintf(text, sizeof(text), "{\"op\":\"read\",\"id\":\"r\",\"file\":\"%s\"}", path("big"));
	say(&serve, text);
	json_cleanup struct json_object *end = await(&serve, "r", NULL);
	assert_int_equal(strlen(str(end, "out")), 3 * (64 << 10)); /* U+FFFD for each NUL */
	serve_end(&serve, false);
}

/* Of a file that is too large to be read whole, the one line that is asked for. */
static void test_read_line(void **state)
{
	enum { SIZE = 100 << 10 };
	static const struct { const char *prefix, *state, *out; } rows[] = { { "key=", "exited", "key=1" }, { "none=", "exited", "" }, { "", "refused", "" } };
	char *content = malloc(SIZE + 1), text[600];
	assert_non_null(content);
	memset(content, '#', SIZE);
	content[SIZE] = '\0';
	memcpy(content + SIZE - 20, "\nkey=1\r\nkey=2\n", 15);
	file_write(path("large"), content, 0600);
	free(content);
	struct serve serve = serve_start(NULL);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "{\"op\":\"read\",\"id\":\"r\",\"file\":\"%s\",\"prefix\":\"%s\"}", path("large"), rows[i].prefix);
		say(&serve, text);
		json_cleanup struct json_object *end = await(&serve, "r", NULL);
		assert_string_equal(str(end, "state"), rows[i].state);
		assert_string_equal(str(end, "out"), rows[i].out);
	}
	serve_end(&serve, false);
}

static void test_ack_forgets_for_good(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a/b", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done", NULL);
	await_file(path("count"));
	say(&serve, "{\"op\":\"ack\",\"id\":\"a/b\"}"); /* of a running task: nothing */
	file_write(path("go"), "", 0600);
	json_object_put(await(&serve, "a/b", "exited"));
	say(&serve, "{\"op\":\"ack\",\"id\":\"a/b\"}");
	start(&serve, "a/b", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done", NULL);
	json_cleanup struct json_object *end = await(&serve, "a/b", NULL);
	assert_string_equal(str(end, "state"), "refused");
	assert_int_equal(access(path("state/a%%2Fb"), F_OK), -1);
	assert_string_equal(file_text(path("count")), "x\n");
	serve_end(&serve, false);
	/* Tombstones are swept when they are old. */
	const struct timespec old[2] = { { .tv_sec = time(NULL) - 31 * 86400 }, { .tv_sec = time(NULL) - 31 * 86400 } };
	assert_int_equal(utimensat(AT_FDCWD, path("state/.acked/a%%2Fb"), old, 0), 0);
	serve = serve_start(NULL);
	json_object_put(hear(&serve));
	assert_int_equal(access(path("state/.acked/a%%2Fb"), F_OK), -1);
	serve_end(&serve, false);
}

static void test_bad_requests(void **state)
{
	struct serve serve = serve_start(NULL);
	const char *const rows[] = { "{\"op\":\"nap\",\"id\":\"a\"}", "{\"op\":\"start\",\"id\":\"a\"}", "{\"op\":\"start\",\"id\":\"a\",\"argv\":[]}",
		"{\"op\":\"start\",\"id\":\"a\",\"argv\":[1]}", "{\"op\":\"start\",\"id\":\"a\",\"argv\":\"ls\"}",
		"{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"ls\"],\"env\":{\"A=B\":\"c\"}}",
		"{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"ls\"],\"nice\":1}", "{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"ls\"],\"cwd\":\"x\"}",
		"{\"op\":\"start\",\"id\":\"a\",\"argv\":[\"ls\"],\"deadline_ms\":-1}", "{\"op\":\"edit\",\"id\":\"a\"}", "{\"op\":\"read\",\"id\":\"a\"}",
		"{\"op\":\"cancel\",\"id\":\"a\"}" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		say(&serve, rows[i]);
		json_cleanup struct json_object *end = await(&serve, "a", NULL);
		assert_string_equal(str(end, "state"), "refused");
		assert_string_not_equal(str(end, "error"), "");
	}
	assert_int_equal(access(path("state/a"), F_OK), -1);
	/* Names: dots and slashes lead nowhere, and very long ids fit. */
	char id[201], text[400];
	memset(id, '/', 200);
	id[200] = '\0';
	const char *const ids[] = { "..", ".acked", "../../x", id };
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof(text), "{\"op\":\"start\",\"id\":\"%s\",\"argv\":[\"true\"]}", ids[i]);
		say(&serve, text);
		json_cleanup struct json_object *end = await(&serve, ids[i], NULL);
		assert_int_equal(num(end, "code"), 0);
	}
	assert_int_equal(access(path("state/%%2E./exit"), F_OK), 0);
	assert_int_equal(access(path("state/%%2E.%%2F..%%2Fx/exit"), F_OK), 0);
	serve_end(&serve, false);
}

static void test_garbage_drops_the_channel(void **state)
{
	const char *const rows[] = { "hello", "[]", "{}", "{\"op\":\"ping\"}", "{\"op\":\"ping\",\"id\":\"a b\"}", "{\"op\":\"ping\",\"id\":\"a\",\"id\":\"b\"}", "" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct serve serve = serve_start(NULL);
		say(&serve, rows[i]);
		json_object_put(hear(&serve));
		assert_null(hear(&serve));
		assert_int_equal(serve_end(&serve, false), 1);
	}
	struct serve serve = serve_start(NULL);
	static char megabyte[1 << 20];
	memset(megabyte, 'x', sizeof(megabyte));
	(void)signal(SIGPIPE, SIG_IGN);
	(void)!write(serve.in, megabyte, sizeof(megabyte));
	json_object_put(hear(&serve));
	assert_null(hear(&serve));
	assert_int_equal(serve_end(&serve, false), 1);
}

static void test_status(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "ended/1", "exit 4", NULL);
	json_object_put(await(&serve, "ended/1", "exited"));
	start(&serve, "runs/1", "echo up >up; exec sleep 1000", NULL);
	await_file(path("up"));
	char command[700];
	(void)snprintf(command, sizeof(command), "%s status --state %s/state >%s/status && cd %s && grep -q '^exited 4 .* ended/1  sh -c exit 4' status && grep -q '^running .* runs/1 ' status && grep -q '^2 tasks in' status",
		getenv("UPGD_RUN"), dir, dir, dir);
	assert_int_equal(system(command), 0);
	/* A directory that is not there is named, and not made. */
	(void)snprintf(command, sizeof(command), "%s status --state %s/nowhere | grep -q '^0 tasks: there is no ' && ! test -e %s/nowhere", getenv("UPGD_RUN"), dir, dir);
	assert_int_equal(system(command), 0);
	say(&serve, "{\"op\":\"cancel\",\"id\":\"runs/1\"}");
	json_object_put(await(&serve, "runs/1", "timeout"));
	serve_end(&serve, false);
}

/* A process in a session of its own; its pid. */
static pid_t bystander(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		(void)setsid();
		execlp("sleep", "sleep", "1000", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char command[700];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* The record names a pid that belongs to somebody else by now: no signal for it, and no waiting. */
static void test_a_pid_that_is_used_again(void **state)
{
	pid_t other = bystander();
	struct serve serve = serve_start(NULL);
	json_cleanup struct json_object *greeting = hear(&serve);
	start(&serve, "a", "echo up >up; exec sleep 1000", NULL);
	await_file(path("up"));
	json_cleanup struct json_object *record = started("a");
	pid_t supervisor = (pid_t)num(record, "supervisor");
	char text[300];
	(void)snprintf(text, sizeof(text), "{\"pid\":%d,\"starttime\":1,\"supervisor\":%d,\"supervisor_starttime\":1,\"boot_id\":\"%s\"}", (int)other, (int)other,
		str(greeting, "boot_id"));
	file_write(path("state/a/started"), text, 0600);
	say(&serve, "{\"op\":\"cancel\",\"id\":\"a\"}");
	say(&serve, "{\"op\":\"ping\",\"id\":\"p\"}");
	json_object_put(await(&serve, "p", NULL));
	assert_true(is_alive(other));
	kill(supervisor, SIGKILL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "lost");
	assert_true(is_alive(other));
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
	serve_end(&serve, false);
}

/* /proc/PID/stat holds names as they are. */
static void test_odd_names(void **state)
{
	struct serve serve = serve_start(NULL);
	run("cp $(command -v sleep) '%s/a) Z 1 (b'", dir);
	start(&serve, "a", "'./a) Z 1 (b' 1000 </dev/null >/dev/null 2>&1 & echo $! >child; until grep -q Z /proc/$!/comm; do :; done; echo up >up; wait", NULL);
	await_file(path("up"));
	json_object_put(await(&serve, "a", "running"));
	json_cleanup struct json_object *record = started("a");
	kill((pid_t)num(record, "supervisor"), SIGKILL);
	json_cleanup struct json_object *half = await(&serve, "a", "running");
	assert_non_null(strstr(str(half, "error"), "(a) Z 1 (b)"));
	/* Nobody is left who could wait out a grace: a cancel ends it at once. */
	say(&serve, "{\"op\":\"cancel\",\"id\":\"a\"}");
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "lost");
	assert_false(is_alive(atoi(file_text(path("child")))));
	serve_end(&serve, false);
}

static void test_a_full_disk(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(path("state"), 0700), 0);
	run("mount -t tmpfs -o size=256k upgd-run-test %s/state", dir);
	run("head -c 1000000 /dev/zero >%s/state/.filler 2>/dev/null; true", dir);
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "echo x >>count", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	bool said = strcmp(str(end, "state"), "refused") == 0 && strstr(str(end, "error"), "No space left on device") != NULL;
	bool ran = access(path("count"), F_OK) == 0;
	/* Room again: the same request runs. */
	assert_int_equal(unlink(path("state/.filler")), 0);
	start(&serve, "a", "echo x >>count", NULL);
	json_cleanup struct json_object *again = await(&serve, "a", NULL);
	serve_end(&serve, false);
	run("umount -l %s/state", dir);
	assert_true(said && !ran);
	assert_int_equal(num(again, "code"), 0);
}

/* The disk fills up while it runs: its end is told, and that not all of its output is there. */
static void test_output_that_cannot_be_kept(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "echo one; while [ ! -s state/a/out ]; do sleep 0.01; done; mkdir state/a/out.tmp; echo two; exit 5", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	bool whole = true;
	assert_int_equal(num(end, "code"), 5);
	assert_int_equal(json_get_bool(end, "whole", &whole, NULL), 0);
	assert_false(whole);
	assert_string_equal(str(end, "out"), "one\n");
	serve_end(&serve, false);
	assert_int_equal(rmdir(path("state/a/out.tmp")), 0);
}

/* Whoever removes the records of what runs makes its end unknown, and no second run. */
static void test_the_state_directory_is_removed(void **state)
{
	struct serve serve = serve_start(NULL), other;
	const char *script = "echo x >>count; echo up >up; while [ ! -e go ]; do sleep 0.02; done";
	start(&serve, "a", script, NULL);
	json_object_put(await(&serve, "a", "running"));
	await_file(path("up"));
	run("rm -r %s/state", dir);
	other = serve_start(NULL);
	start(&other, "a", script, NULL);
	json_cleanup struct json_object *second = await(&other, "a", NULL);
	assert_string_equal(str(second, "state"), "lost");
	assert_non_null(strstr(str(second, "error"), "its records were removed while it ran"));
	file_write(path("go"), "", 0600);
	json_cleanup struct json_object *first = await(&serve, "a", NULL);
	assert_string_equal(str(first, "state"), "lost");
	assert_string_equal(file_text(path("count")), "x\n");
	/* A new task is refused by a channel that has lost its directory, with the reason. */
	start(&serve, "b", "echo x >>count", NULL);
	json_cleanup struct json_object *refused = await(&serve, "b", NULL);
	assert_string_equal(str(refused, "state"), "refused");
	assert_non_null(strstr(str(refused, "error"), "No such file or directory"));
	serve_end(&serve, false);
	serve_end(&other, false);
}

/* Stopped by somebody, and still asked to end well. */
static void test_a_stopped_task(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "trap 'exit 3' TERM; echo up >up; while :; do sleep 0.02; done", "{\"deadline_ms\":60000}");
	await_file(path("up"));
	json_cleanup struct json_object *record = started("a");
	kill((pid_t)num(record, "pid"), SIGSTOP);
	say(&serve, "{\"op\":\"cancel\",\"id\":\"a\"}");
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_string_equal(str(end, "state"), "timeout");
	assert_int_equal(num(end, "code"), 3);
	serve_end(&serve, false);
}

static void test_closed_output_is_no_end(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "echo said; exec >&- 2>&-; : >quiet; echo up >up; while [ ! -e go ]; do sleep 0.02; done; exit 5", NULL);
	await_file(path("up"));
	say(&serve, "{\"op\":\"list\",\"id\":\"l\"}");
	json_cleanup struct json_object *list = await(&serve, "l", NULL);
	assert_string_equal(str(list, "out"), "running a\n");
	file_write(path("go"), "", 0600);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_int_equal(num(end, "code"), 5);
	assert_string_equal(str(end, "out"), "said\n");
	serve_end(&serve, false);
}

/* It has left its task: the task ends, the daemon does not, and is listed. */
static void test_a_daemon_leaves_its_task(void **state)
{
	struct serve serve = serve_start(NULL);
	start(&serve, "a", "setsid --fork sh -c 'echo $$ >daemon; exec sleep 1000' </dev/null >/dev/null 2>&1; while [ ! -s daemon ]; do sleep 0.02; done", NULL);
	json_cleanup struct json_object *end = await(&serve, "a", NULL);
	assert_int_equal(num(end, "code"), 0);
	pid_t daemon = atoi(file_text(path("daemon")));
	assert_true(is_alive(daemon));
	run("%s status --state %s/state | grep -q '^orphan *%d  .*, left behind by a$'", getenv("UPGD_RUN"), dir, (int)daemon);
	say(&serve, "{\"op\":\"list\",\"id\":\"l\"}");
	json_cleanup struct json_object *list = await(&serve, "l", NULL);
	assert_string_equal(str(list, "out"), "ended a\n");
	kill(daemon, SIGKILL);
	serve_end(&serve, false);
}

static void test_two_hundred_at_once(void **state)
{
	enum { N = 200 };
	struct serve serve = serve_start(NULL);
	char id[16];
	for (int i = 0; i < N; i++) {
		(void)snprintf(id, sizeof(id), "t%d", i);
		start(&serve, id, "echo x >>count; while [ ! -e go ]; do sleep 0.2; done", NULL);
		json_object_put(await(&serve, id, "running"));
	}
	say(&serve, "{\"op\":\"list\",\"id\":\"l\"}");
	json_cleanup struct json_object *list = await(&serve, "l", NULL);
	int n = 0;
	for (const char *at = str(list, "out"); (at = strstr(at, "running t")) != NULL; at++)
		n++;
	assert_int_equal(n, N);
	file_write(path("go"), "", 0600);
	for (int ended = 0; ended < N; ended++) {
		json_cleanup struct json_object *message = hear(&serve);
		assert_non_null(message);
		assert_string_equal(str(message, "state"), "exited");
		assert_int_equal(num(message, "code"), 0);
	}
	assert_int_equal(strlen(file_text(path("count"))), 2 * N);
	serve_end(&serve, false);
}

#define row(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { row(test_exit_code_and_output), row(test_signal), row(test_no_such_program),
		row(test_flood_is_bounded), row(test_deadline_ends_the_group), row(test_term_is_enough), row(test_same_id_runs_once),
		row(test_serve_killed_then_attached), row(test_supervisor_killed), row(test_reboot), row(test_claimed_not_started),
		row(test_secrets), row(test_edit), row(test_edit_refused), row(test_read), row(test_read_line), row(test_ack_forgets_for_good),
		row(test_bad_requests), row(test_garbage_drops_the_channel), row(test_status),
		row(test_a_pid_that_is_used_again), row(test_odd_names), row(test_a_full_disk), row(test_output_that_cannot_be_kept), row(test_the_state_directory_is_removed),
		row(test_a_stopped_task), row(test_closed_output_is_no_end), row(test_a_daemon_leaves_its_task), row(test_two_hundred_at_once) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
