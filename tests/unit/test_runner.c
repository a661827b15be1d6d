/* SPDX-License-Identifier: MIT */
/* The client against the real upgd-run, by a command and by a socket, while channels die. */
#include "daemon/io/loop.h"
#include "daemon/io/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The first is how long an answer may take on a busy machine; PATIENCE_MAX_MS, how often a shell may be too slow for a short patience. */
enum { DEADLINE_MS = 100000, PATIENCE_MS = 90000, PATIENCE_MAX_MS = 20000 };

static char dir[64], state_dir[96], secrets_dir[96];
static struct loop *loop;
static struct loop_timer *watchdog;

struct answer {
	int n;
	enum runner_state state;
	int code, signal;
	char out[256], error[480], old[64];
	size_t out_len;
	struct runner *free_me;
};

static void on_answer(void *arg, const struct runner_result *result)
{
	struct answer *answer = arg;
	answer->n++;
	answer->state = result->state;
	answer->code = result->exit_code;
	answer->signal = result->signal;
	answer->out_len = result->out_len;
	(void)snprintf(answer->out, sizeof(answer->out), "%.200s", result->out);
	(void)snprintf(answer->error, sizeof(answer->error), "%s", result->error != NULL ? result->error : "");
	(void)snprintf(answer->old, sizeof(answer->old), "%.60s", result->old != NULL ? result->old : "(null)");
	runner_free(answer->free_me);
	loop_quit(loop);
}

static void on_watchdog(void *arg)
{
	fail_msg("no answer in %d ms", DEADLINE_MS);
}

static void await(const struct answer *answer)
{
	loop_timer_set(watchdog, DEADLINE_MS);
	while (answer->n == 0)
		assert_int_equal(loop_run(loop), 0);
	loop_timer_clear(watchdog);
	assert_int_equal(answer->n, 1);
}

struct await_file {
	const char *name;
	struct loop_timer *timer;
};

static void on_look(void *arg)
{
	struct await_file *wait = arg;
	struct stat st;
	if (stat(wait->name, &st) == 0 && st.st_size > 0)
		loop_quit(loop);
	else
		loop_timer_set(wait->timer, 10);
}

/* Turns the loop until the file is there with something in it. */
static void await_file(const char *name)
{
	struct await_file wait = { .name = name };
	wait.timer = loop_timer_new(loop, on_look, &wait);
	loop_timer_set(watchdog, DEADLINE_MS);
	loop_timer_set(wait.timer, 0);
	struct stat st;
	while (stat(name, &st) < 0 || st.st_size == 0)
		assert_int_equal(loop_run(loop), 0);
	loop_timer_clear(watchdog);
	loop_timer_free(wait.timer);
}

static const char *path(const char *name)
{
	static char paths[4][128];
	static unsigned at;
	char *out = paths[at++ % 4];
	(void)snprintf(out, 128, "%s/%s", dir, name);
	return out;
}

static void file_write(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int file_lines(const char *name)
{
	FILE *file = fopen(name, "re");
	int n = 0;
	for (int c; file != NULL && (c = fgetc(file)) != EOF;)
		n += c == '\n';
	if (file != NULL)
		(void)fclose(file);
	return n;
}

/* The remote command: a script that notes its pid and becomes upgd-run. */
static struct runner *remote(const char *script)
{
	const char *const argv[] = { "sh", "-c", script, getenv("UPGD_RUN"), state_dir, secrets_dir, NULL };
	const struct runner_place place = { .name = "ox1", .argv = argv };
	struct runner *runner = runner_new(loop, &place, NULL);
	assert_non_null(runner);
	return runner;
}

#define SERVE "exec $0 serve --state $1 --secrets $2"

static struct runner_request *start(struct runner *runner, const char *id, const char *script, uint64_t patience_ms, struct answer *answer)
{
	const char *const argv[] = { "sh", "-c", script, NULL }, *const env[] = { "X=a=b", NULL };
	const struct runner_task task = { .id = id, .argv = argv, .env = env, .cwd = dir };
	return runner_start(runner, &task, patience_ms, on_answer, answer);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test-runner-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
	(void)snprintf(secrets_dir, sizeof(secrets_dir), "%s/secrets", dir);
	assert_int_equal(setenv("T", dir, 1), 0);
	loop = loop_new(NULL);
	watchdog = loop_timer_new(loop, on_watchdog, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_timer_free(watchdog);
	loop_free(loop);
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void test_runs_over_a_command(void **state)
{
	struct runner *runner = remote(SERVE);
	struct answer one = { .n = 0 }, two = { .n = 0 };
	start(runner, "a", "echo $X; exit 3", 0, &one);
	assert_int_equal(one.n, 0);
	start(runner, "b", "kill -9 $$", PATIENCE_MS, &two);
	await(&one);
	assert_int_equal(one.state, RUNNER_EXITED);
	assert_int_equal(one.code, 3);
	assert_string_equal(one.out, "a=b\n");
	assert_int_equal(one.out_len, 4);
	await(&two);
	assert_int_equal(two.signal, 9);
	assert_int_equal(two.code, -1);
	runner_free(runner);
}

static void test_edit_read_ack(void **state)
{
	file_write(path("f"), "k=1\n", 0600);
	struct runner *runner = remote(SERVE);
	struct answer edited = { .n = 0 }, read = { .n = 0 }, refused = { .n = 0 };
	const struct runner_edit edit = { .id = "e", .file = path("f"), .prefix = "k=", .value = "2" };
	runner_edit(runner, &edit, 0, on_answer, &edited);
	await(&edited);
	assert_int_equal(edited.state, RUNNER_EXITED);
	assert_string_equal(edited.old, "k=1");
	runner_read(runner, path("f"), NULL, 0, on_answer, &read);
	await(&read);
	assert_string_equal(read.out, "k=2\n");
	assert_string_equal(read.old, "(null)");
	runner_ack(runner, "e");
	runner_edit(runner, &edit, 0, on_answer, &refused);
	await(&refused);
	assert_int_equal(refused.state, RUNNER_REFUSED);
	assert_non_null(strstr(refused.error, "ox1: "));
	assert_non_null(strstr(refused.error, "acknowledged"));
	runner_free(runner);
}

/* The channel is killed while a task runs: sent again, attached, run once. */
static void test_lost_channel_is_mended(void **state)
{
	struct runner *runner = remote("echo $$ >>$T/pid; " SERVE);
	struct answer answer = { .n = 0 };
	start(runner, "a", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done; exit 6", PATIENCE_MS, &answer);
	await_file(path("count"));
	FILE *file = fopen(path("pid"), "re");
	int pid = 0;
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	(void)fclose(file);
	assert_int_equal(kill(pid, SIGKILL), 0);
	file_write(path("go"), "", 0600);
	await(&answer);
	assert_int_equal(answer.state, RUNNER_EXITED);
	assert_int_equal(answer.code, 6);
	assert_int_equal(file_lines(path("count")), 1);
	assert_int_equal(file_lines(path("pid")), 2);
	runner_free(runner);
}

/* The first two tries fail before a greeting. */
static void test_tries_again(void **state)
{
	struct runner *runner = remote("echo x >>$T/tries; [ $(wc -l <$T/tries) -gt 2 ] || { echo no route >&2; exit 255; }; " SERVE);
	struct answer answer = { .n = 0 };
	start(runner, "a", "true", PATIENCE_MS, &answer);
	await(&answer);
	assert_int_equal(answer.state, RUNNER_EXITED);
	assert_int_equal(file_lines(path("tries")), 3);
	runner_free(runner);
}

/* What may only begin soon does not when the channel comes late; what has begun is told as ever. */
static void test_late(void **state)
{
	struct runner *runner = remote("echo x >>$T/tries; [ $(wc -l <$T/tries) -gt 1 ] || exit 255; " SERVE);
	const char *const argv[] = { "sh", "-c", "echo x >>count; while [ ! -e go ]; do sleep 0.02; done", NULL };
	const struct runner_task task = { .id = "a", .argv = argv, .cwd = dir, .fresh_ms = 1 };
	struct answer late = { .n = 0 }, answer = { .n = 0 };
	runner_start(runner, &task, PATIENCE_MS, on_answer, &late);
	await(&late);
	assert_int_equal(late.state, RUNNER_LATE);
	assert_non_null(strstr(late.error, "no runner for"));
	assert_int_not_equal(access(path("count"), F_OK), 0);
	runner_start(runner, &task, PATIENCE_MS, on_answer, &answer);
	await_file(path("count"));
	file_write(path("go"), "", 0600);
	await(&answer);
	assert_int_equal(answer.state, RUNNER_EXITED);
	assert_int_equal(file_lines(path("count")), 1);
	runner_free(runner);
}

static void test_away(void **state)
{
	const struct {
		const char *script, *error;
	} rows[] = {
		{ "echo ssh: no route to host >&2; exit 255", "ssh: no route to host" },
		{ "echo Welcome to ox1; printf '\\0'; cat", "is no upgd-run" },
		{ "exec sleep 1000", "no answer" },
		{ "exec head -c 3000000 /dev/zero | tr '\\0' x", "longer than" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t patience_ms = 400;
		struct answer answer = { .n = 0 };
		do {
			struct runner *runner = remote(rows[i].script);
			answer = (struct answer){ .n = 0 };
			start(runner, "a", "true", patience_ms, &answer);
			await(&answer);
			assert_int_equal(answer.state, RUNNER_AWAY);
			runner_free(runner);
			patience_ms *= 2;
		} while (strstr(answer.error, rows[i].error) == NULL && patience_ms < PATIENCE_MAX_MS);
		if (strstr(answer.error, rows[i].error) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", answer.error, rows[i].error);
	}
}

/* Patience is for a silent place, not for a long task: this one lasts longer than that, and is not given up once it is said to run. */
static void test_patience_waits_for_a_running_task(void **state)
{
	struct runner *runner = remote(SERVE);
	struct answer ready = { .n = 0 }, answer = { .n = 0 };
	runner_read(runner, "/dev/null", NULL, 0, on_answer, &ready);
	await(&ready);
	uint64_t patience_ms = 250;
	do {
		char id[16], script[48];
		patience_ms *= 2;
		(void)snprintf(id, sizeof(id), "a/%" PRIu64, patience_ms);
		(void)snprintf(script, sizeof(script), "sleep %" PRIu64 ".3; exit 2", (patience_ms + 999) / 1000);
		answer = (struct answer){ .n = 0 };
		start(runner, id, script, patience_ms, &answer);
		await(&answer);
		struct answer end = { .n = 0 };
		start(runner, id, script, 0, &end);
		await(&end);
		assert_int_equal(end.code, 2);
	} while (answer.state == RUNNER_AWAY && patience_ms < PATIENCE_MAX_MS / 2);
	assert_int_equal(answer.state, RUNNER_EXITED);
	assert_int_equal(answer.code, 2);
	runner_free(runner);
}

static void test_refused_here(void **state)
{
	struct runner *runner = remote(SERVE);
	static char big[70 << 10];
	memset(big, 'x', sizeof(big) - 1);
	const char *const rows[][2] = { { "a b", "true" }, { "", "true" }, { "a", big }, { "a", "echo \xff" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct answer answer = { .n = 0 };
		start(runner, rows[i][0], rows[i][1], 0, &answer);
		assert_int_equal(answer.n, 0);
		await(&answer);
		assert_int_equal(answer.state, RUNNER_REFUSED);
	}
	runner_free(runner);
	const struct runner_place none = { .name = "ox1" };
	assert_null(runner_new(loop, &none, NULL));
}

#define LONG "echo >began; exec sleep 1000"

static void test_cancel_and_free(void **state)
{
	struct runner *runner = remote(SERVE);
	struct answer cancelled = { .n = 0 }, last = { .free_me = runner }, never = { .n = 0 };
	struct runner_request *request = start(runner, "a", "true", 0, &cancelled);
	runner_cancel(request);
	request = start(runner, "a b", "true", 0, &cancelled);
	runner_cancel(request);
	start(runner, "c", LONG, 0, &never);
	await_file(path("began"));
	start(runner, "b", "true", 0, &last);
	await(&last); /* its callback frees the runner */
	assert_int_equal(cancelled.n, 0);
	assert_int_equal(never.n, 0);
	/* The task goes on, and ends by hand. */
	runner = remote("printf '{\"op\":\"cancel\",\"id\":\"c\"}\\0' | $0 serve --state $1 >/dev/null; echo >$T/cancelled; exec sleep 1000");
	runner_read(runner, "/x", NULL, 0, on_answer, &never);
	await_file(path("cancelled"));
	runner_free(runner);
	runner = remote(SERVE);
	struct answer end = { .n = 0 };
	start(runner, "c", LONG, 0, &end);
	await(&end);
	assert_int_equal(end.state, RUNNER_TIMEOUT);
	runner_free(runner);
}

/* What systemd does with Accept=yes: one upgd-run per connection, the connection as its standard streams. */
static pid_t listener(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	pid_t pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGPIPE, SIG_DFL);
	for (;;) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (fork() == 0) {
			(void)signal(SIGCHLD, SIG_DFL);
			dup2(peer, 0);
			dup2(peer, 1);
			execl(getenv("UPGD_RUN"), "upgd-run", "serve", "--state", state_dir, "--secrets", secrets_dir, (char *)NULL);
			_exit(127);
		}
		close(peer);
	}
}

static void test_socket(void **state)
{
	const struct runner_place place = { .name = "local", .socket = path("sock") };
	struct runner *runner = runner_new(loop, &place, NULL);
	struct answer away = { .n = 0 }, answer = { .n = 0 };
	start(runner, "a", "exit 4", 300, &away);
	await(&away);
	assert_int_equal(away.state, RUNNER_AWAY);
	assert_non_null(strstr(away.error, "cannot connect"));
	pid_t pid = listener(path("sock"));
	start(runner, "a", "exit 4", PATIENCE_MS, &answer);
	await(&answer);
	assert_int_equal(answer.state, RUNNER_EXITED);
	assert_int_equal(answer.code, 4);
	runner_free(runner);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_many(void **state)
{
	enum { N = 60 };
	struct runner *runner = remote(SERVE);
	static struct answer answers[N];
	char id[16];
	for (int i = 0; i < N; i++) {
		(void)snprintf(id, sizeof(id), "t/%d", i);
		start(runner, id, "exit 9", 0, &answers[i]);
	}
	for (int i = 0; i < N; i++) {
		await(&answers[i]);
		assert_int_equal(answers[i].code, 9);
	}
	runner_free(runner);
	/* Nothing of the channel's process is left: no zombie either. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

#define row(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { row(test_runs_over_a_command), row(test_edit_read_ack), row(test_lost_channel_is_mended),
		row(test_tries_again), row(test_late), row(test_away), row(test_patience_waits_for_a_running_task), row(test_refused_here),
		row(test_cancel_and_free), row(test_socket), row(test_many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
