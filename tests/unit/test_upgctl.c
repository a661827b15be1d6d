/* SPDX-License-Identifier: MIT */
/* The real upgctl (environment UPGCTL) against the real control socket with made-up answers: words, exit codes, what is sent. */
#include "daemon/control.h"
#include "daemon/io/loop.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 60000 };

static struct {
	char dir[64], path[96], out[96], err[96], text[8192], error[2048], args[1024], method[32];
	struct loop *loop;
	struct loop_timer *tick;
	struct control *control;
	const char *reply;        /* JSON, of all methods but those below */
	const char *fail_name;    /* not NULL: an error instead */
	const char *const *steps; /* of a followed Status, NULL-terminated */
	size_t n_pages;
	bool drop_once, lose_once;
	char lost[1024];          /* what was asked when it was lost */
} world;

static struct json_object *parse(const char *text)
{
	struct fail fail;
	struct json_object *object = json_parse(text, strlen(text), &fail);
	if (object == NULL)
		fail_msg("%s: %s", text, fail.text);
	return object;
}

static void handle(void *arg, struct control_call *call);

static int start(void)
{
	static const struct peer_roles roles;
	struct control_options options = { .path = world.path, .mode = 0600, .roles = &roles, .handle = handle };
	return control_new(&world.control, world.loop, &options, NULL);
}

static void on_drop(void *arg)
{
	(void)arg;
	control_free(world.control);
	assert_int_equal(start(), 0);
}

static void forget(void *arg, struct control_call *call)
{
	(void)arg;
	(void)call;
}

static void follow(struct control_call *call)
{
	control_call_on_gone(call, forget, NULL);
	if (world.drop_once) { /* the daemon goes away and comes back */
		world.drop_once = false;
		control_reply(call, parse(world.steps[0]), true);
		loop_post(world.loop, on_drop, NULL);
		return;
	}
	for (size_t i = 0; world.steps[i] != NULL; i++)
		control_reply(call, parse(world.steps[i]), true);
}

static void page(struct control_call *call)
{
	const char *after = "none";
	(void)!json_get_str(control_call_args(call), "after", &after, NULL);
	assert_string_equal(after, world.n_pages == 0 ? "none" : "s/2");
	control_reply(call, parse(world.n_pages++ == 0 ?
		"{\"units\":[{\"name\":\"s/1\",\"state\":\"done\"},{\"name\":\"s/2\",\"state\":\"done\"}],\"more\":true}" :
		"{\"units\":[{\"name\":\"s/3\",\"state\":\"waiting\"}],\"more\":false}"), false);
}

static void handle(void *arg, struct control_call *call)
{
	(void)arg;
	(void)snprintf(world.method, sizeof(world.method), "%s", control_call_method(call)->name);
	(void)snprintf(world.args, sizeof(world.args), "%s", json_text(control_call_args(call), NULL));
	if (world.lose_once && control_call_method(call)->mutating) { /* carried out, and the answer never leaves */
		world.lose_once = false;
		(void)snprintf(world.lost, sizeof(world.lost), "%s", world.args);
		control_call_on_gone(call, forget, NULL);
		loop_post(world.loop, on_drop, NULL);
	} else if (world.fail_name != NULL)
		control_error_text(call, world.fail_name, "because of this");
	else if (control_call_wants_more(call) && strcmp(world.method, "Status") == 0)
		follow(call);
	else if (strcmp(world.method, "ListUnits") == 0)
		page(call);
	else
		control_reply(call, parse(world.reply), false);
}

static void on_tick(void *arg)
{
	(void)arg;
	loop_quit(world.loop);
}

static void slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Runs upgctl with the words while the loop serves it; the exit code. */
static int run(const char *words)
{
	extern char **environ;
	char copy[512], *argv[32] = { getenv("UPGCTL"), NULL };
	size_t n = 1;
	(void)snprintf(copy, sizeof(copy), "%s", words);
	for (char *save = NULL, *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, world.out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, world.err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	pid_t pid;
	assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	int status = 0;
	for (uint64_t deadline = loop_boot_ms() + DEADLINE_MS; waitpid(pid, &status, WNOHANG) == 0;) {
		if (loop_boot_ms() > deadline) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			break;
		}
		loop_timer_set(world.tick, 1);
		assert_int_equal(loop_run(world.loop), 0);
	}
	slurp(world.out, world.text, sizeof(world.text));
	slurp(world.err, world.error, sizeof(world.error));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_run(const char *words, int code, const char *out, const char *err)
{
	int got = run(words);
	if (got != code || (out != NULL && strstr(world.text, out) == NULL) || (err != NULL && strstr(world.error, err) == NULL))
		fail_msg("upgctl %s: exit %d (not %d)\nstdout: %s\nstderr: %s", words, got, code, world.text, world.error);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	(void)snprintf(world.dir, sizeof(world.dir), "/tmp/upgd-upgctl-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	(void)snprintf(world.path, sizeof(world.path), "%s/sock", world.dir);
	(void)snprintf(world.out, sizeof(world.out), "%s/out", world.dir);
	(void)snprintf(world.err, sizeof(world.err), "%s/err", world.dir);
	(void)setenv("UPGD_SOCKET", world.path, 1);
	world.loop = loop_new(NULL);
	world.tick = loop_timer_new(world.loop, on_tick, NULL);
	world.reply = "{\"text\":\"park: 1 schema; 1012 tenants stay DOWN\"}";
	assert_int_equal(start(), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	control_free(world.control);
	loop_timer_free(world.tick);
	loop_free(world.loop);
	(void)unlink(world.out);
	(void)unlink(world.err);
	assert_int_equal(rmdir(world.dir), 0);
	return 0;
}

#define STATUS(state, waits, now, holds)                                                                                    \
	"{\"first\":\"run 1 " state "\",\"rollout\":{\"id\":1,\"state\":\"" state "\"},\"waits\":\"" waits "\",\"tenants_down\":0," \
	"\"now\":[" now "],\"holds\":[" holds "],\"seq\":1}"
#define UNIT "{\"name\":\"s/1\",\"state\":\"running\",\"step\":\"update\",\"in_window\":true,\"tenants\":7}"
#define HOLD(who) "{\"kind\":\"floor\",\"scope\":\"rollout\",\"text\":\"main has one server\",\"who\":\"" who "\",\"since\":1}"

static void test_status_codes(void **state)
{
	(void)state;
	static const struct {
		const char *reply;
		int code;
	} rows[] = {
		{ "{\"first\":\"no rollout\",\"rollout\":null,\"waits\":\"nothing\"}", 0 },
		{ STATUS("running", "nothing", UNIT, ""), 0 },
		{ STATUS("running", "a soak", UNIT, HOLD("time")), 0 },
		{ STATUS("running", "a soak", "", HOLD("time")), 5 },
		{ STATUS("running", "a floor", "", HOLD("world")), 5 },
		{ STATUS("running", "a failed unit", UNIT, HOLD("operator")), 4 },
		{ STATUS("paused", "a pause", UNIT, HOLD("operator")), 4 },
		{ STATUS("aborting", "nothing", UNIT, ""), 0 },
		{ STATUS("done", "nothing", "", ""), 0 },
		{ STATUS("partial", "nothing", "", ""), 3 },
		{ STATUS("aborted", "nothing", "", ""), 1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world.reply = rows[i].reply;
		assert_run("status", rows[i].code, "r", "");
	}
	world.reply = STATUS("running", "a floor", UNIT, HOLD("world"));
	assert_run("status", 0, "run 1 running\nNow        s/1 ", NULL);
	assert_non_null(strstr(world.text, "update  down: 7 tenants\n"));
	assert_non_null(strstr(world.text, "\nHeld       floor rollout: main has one server, since "));
	assert_run("--json status", 0, "{\"first\":\"run 1 running\",\"rollout\":{\"id\":1", NULL);
	assert_ptr_equal(strchr(world.text, '\n'), world.text + strlen(world.text) - 1);
}

/* A schema may be named anything. JSON is for programs and stays as it is. */
static void test_nothing_that_a_terminal_obeys(void **state)
{
	(void)state;
	world.reply = STATUS("running", "nothing", "{\"name\":\"s/\\u001b[2J\\u009b1m\\u00e9\\u007f\",\"state\":\"running\"}", "");
	assert_run("status", 0, "s/?[2J?1m\xc3\xa9? ", "");
	assert_run("--json status", 0, "s/\\u001b[2J", "");
	world.reply = "{\"text\":\"park: \\u001b]0;x\\u0007\"}";
	assert_run("pause", 0, "park: ?]0;x?\n", "");
}

static void test_what_is_sent(void **state)
{
	(void)state;
	static const struct {
		const char *words, *method, *args;
	} rows[] = {
		{ "stat", "Status", "{}" },
		{ "expl a/1", "Explain", "{\"unit\":\"a/1\"}" },
		{ "show -- a/1", "Explain", "{\"unit\":\"a/1\"}" },
		{ "log --since 5 --limit=7 --unit a/1", "Log", "{\"since\":5,\"limit\":7,\"unit\":\"a/1\"}" },
		{ "check --to 2 --set a=b=c", "Check", "{\"params\":{\"to\":\"2\",\"a\":\"b=c\"}}" },
		{ "park a/1 --reason dba", "Park", "{\"unit\":\"a/1\",\"request_id\":\"" },
		{ "--reason=x park a/1", "Park", "\",\"reason\":\"x\"}" },
		{ "pause --now", "Pause", "{\"now\":true,\"request_id\":\"" },
		{ "abort 12", "Abort", "{\"rollout\":12,\"request_id\":\"" },
		{ "approve first-boot", "Approve", "{\"what\":\"first-boot\",\"request_id\":\"" },
		{ "start --to 7.10.6 --only a,b -k c,d -m e -f --yes", "Start",
			"{\"params\":{\"to\":\"7.10.6\"},\"only\":[\"a\",\"b\"],\"skip\":[\"c\",\"d\"],\"skip_after\":\"e\",\"on_failure\":\"continue\",\"yes\":true," },
		{ "start --until canary --on-failure=pause --skip x", "Start", "{\"until\":\"canary\",\"on_failure\":\"pause\",\"skip\":[\"x\"]," },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_run(rows[i].words, 0, NULL, "");
		assert_string_equal(world.method, rows[i].method);
		if (strstr(world.args, rows[i].args) == NULL)
			fail_msg("%s sends %s", rows[i].words, world.args);
	}
	assert_run("park a/1", 0, "park: 1 schema; 1012 tenants stay DOWN\n", "");
}

static void test_usage(void **state)
{
	(void)state;
	static const struct {
		const char *words, *error;
	} rows[] = {
		{ "", "usage:" },
		{ "nope", "upgctl: nope: no such verb" },
		{ "st", "st: may be status, start" },
		{ "park", "park: which unit?" },
		{ "abort", "abort: which run, by number?" },
		{ "abort x", "must be a whole number, not \"x\"" },
		{ "park a b", "one word too many: b" },
		{ "park a --nope", "park: no option --nope" },
		{ "pause --now=1", "takes no value" },
		{ "log --since", "needs a value" },
		{ "start --set x", "must be NAME=VALUE" },
		{ "status --socket", "--socket needs a value" },
		{ "help nope", "no such verb" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_run(rows[i].words, 2, "", rows[i].error);
	assert_string_equal(world.method, ""); /* nothing was sent */
	assert_run("help start", 0, "[-m|--after <schema>] [-f] [--on-failure <continue|pause>]", "");
	assert_run("status --help", 0, "needs the role viewer", "");
}

static void test_errors(void **state)
{
	(void)state;
	world.fail_name = "NoSuchUnit";
	assert_run("park a/1", 1, "", "upgctl: park: because of this\n");
	world.fail_name = "NotPermitted";
	assert_run("resume", 6, "", "upgctl: resume: because of this\n");
	world.fail_name = "BadParameter";
	assert_run("start --json", 2, "{\"error\":\"io.upgd.Control.BadParameter\"", "because of this");
	assert_run("--socket /nonexistent/sock status", 7, "", "upgctl: cannot reach upgd at /nonexistent/sock: No such file or directory (");
}

static void test_findings(void **state)
{
	(void)state;
	world.reply = "{\"findings\":[{\"level\":\"error\",\"subject\":\"ox4\",\"text\":\"old\",\"mend\":\"apt\"}],\"errors\":1,\"warnings\":0}";
	assert_run("check", 1, "REFUSED: 1 errors 0 warnings\nerror    ox4: old\n", "");
	world.reply = "{\"hash\":\"3f\",\"stages\":[],\"text\":[],\"problems\":[\"no ramp\"],\"tenants\":1}";
	assert_run("plan", 1, "Problem    no ramp", "");
}

static void test_list_pages_to_the_end(void **state)
{
	(void)state;
	assert_run("list", 0, "s/1", "");
	assert_non_null(strstr(world.text, "s/3"));
	assert_int_equal(world.n_pages, 2);
}

static void test_wait_and_watch(void **state)
{
	(void)state;
	static const char *const good[] = { STATUS("running", "nothing", UNIT, ""), STATUS("running", "nothing", UNIT, ""),
		STATUS("running", "a person", "", HOLD("operator")), STATUS("done", "nothing", "", ""), NULL };
	world.steps = good;
	world.reply = "{\"rollout\":1,\"already\":false,\"text\":\"run 1 started\"}";
	assert_run("start --wait", 0, "run 1 started\nrun 1 running\nrun 1 running\nrun 1 done\n", "");
	assert_run("watch", 4, "run 1 running\n", ""); /* no terminal: nobody here could answer */

	static const char *const back[] = { STATUS("running", "nothing", UNIT, ""), "{\"first\":\"run 1 BACK\",\"rollout\":{\"id\":1,\"state\":\"running\"},"
		"\"waits\":\"back\",\"now\":[],\"holds\":[{\"kind\":\"back\",\"scope\":\"rollout\",\"text\":\"it rests\",\"who\":\"operator\",\"since\":1}],"
		"\"afterwards\":[\"upgctl retry s/1 \\u001b[2Jbegins anew\"]}", STATUS("done", "nothing", "", ""), NULL };
	world.steps = back;
	assert_run("start --wait", 4, "run 1 running\nrun 1 BACK\n", "upgctl: upgctl retry s/1 ?[2Jbegins anew\n"); /* nobody is here to say so */
	assert_run("--json start --wait", 4, NULL, "upgctl: upgctl retry s/1 ?[2Jbegins anew\n");

	static const char *const bad[] = { STATUS("running", "nothing", UNIT, ""), STATUS("partial", "nothing", "", ""), NULL };
	world.steps = bad;
	assert_run("watch", 3, "run 1 running\nrun 1 partial\n", "");
	assert_run("watch --json", 3, "\"state\":\"partial\"", "");

	static const char *const old[] = { "{\"first\":\"run 0 done\",\"rollout\":{\"id\":0,\"state\":\"done\"}}",
		STATUS("aborted", "nothing", "", ""), NULL };
	world.steps = old;
	assert_run("start --wait", 1, "run 1 started\nrun 1 aborted\n", ""); /* not taken in by the run before */

	world.steps = bad;
	world.drop_once = true;
	assert_run("watch", 3, "run 1 partial\n", "upgd closed the connection");
}

static void test_a_change_whose_answer_is_lost_is_asked_for_again(void **state)
{
	(void)state;
	world.lose_once = true;
	assert_run("park a/1", 0, "park: 1 schema; 1012 tenants stay DOWN\n", "asking again");
	assert_non_null(strstr(world.lost, "\"request_id\":\""));
	assert_string_equal(world.args, world.lost); /* the same name: carried out once */
}

int main(void)
{
	if (getenv("UPGCTL") == NULL) {
		(void)fprintf(stderr, "UPGCTL must name the program\n");
		return 77;
	}
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_status_codes),
		TEST(test_nothing_that_a_terminal_obeys),
		TEST(test_what_is_sent),
		TEST(test_usage),
		TEST(test_errors),
		TEST(test_findings),
		TEST(test_list_pages_to_the_end),
		TEST(test_wait_and_watch),
		TEST(test_a_change_whose_answer_is_lost_is_asked_for_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
