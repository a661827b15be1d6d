/* SPDX-License-Identifier: MIT */
/*
 * SQL against a private MariaDB server in a temporary directory, reached by its Unix socket only. Skipped, but for the pure
 * parts, where there is no server to start.
 */
#include "daemon/io/loop.h"
#include "daemon/io/sql.h"
#include "daemon/io/sql_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000 };

static struct {
	char dir[64];
	char program[256]; /* the server's; empty: there is none */
	pid_t pid;
	const char *extra;
} server;

struct fixture {
	struct loop *loop;
	struct loop_timer *watchdog;
	struct sql *sql;
	struct fail fail;
};

/* ---- the server ---- */

static pid_t spawn(const char *const *argv, const char *log)
{
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		char *args[24] = { 0 };
		for (size_t i = 0; argv[i] != NULL; i++)
			args[i] = strdup(argv[i]);
		execvp(args[0], args);
		_exit(127);
	}
	return pid;
}

static const char *in_dir(const char *file)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", server.dir, file);
	return path;
}

static const char *option(const char *name, const char *file)
{
	static char options[8][192];
	static unsigned next;
	char *text = options[next++ % 8];
	(void)snprintf(text, sizeof(options[0]), "--%s=%s", name, in_dir(file));
	return text;
}

static bool is_listening(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir("s"));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return ok;
}

static void server_start(void)
{
	const char *argv[] = { server.program, "--no-defaults", geteuid() == 0 ? "--user=root" : "--console", option("datadir", "db"),
		option("socket", "s"), option("pid-file", "pid"), option("init-file", "init.sql"), "--skip-networking", "--skip-ssl",
		"--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M", "--skip-log-bin", "--performance-schema=OFF", server.extra, NULL };
	server.pid = spawn(argv, in_dir("server.log"));
	uint64_t until = loop_boot_ms() + DEADLINE_MS;
	while (!is_listening()) {
		if (loop_boot_ms() > until || waitpid(server.pid, NULL, WNOHANG) != 0)
			fail_msg("the server does not start, see %s/server.log", server.dir);
		(void)poll(NULL, 0, 20);
	}
}

static void server_stop(int signal)
{
	if (server.pid > 0) {
		kill(server.pid, signal);
		waitpid(server.pid, NULL, 0);
	}
	server.pid = 0;
}

static void write_file(const char *file, mode_t mode, const char *text)
{
	(void)unlink(file);
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static const char *option_file(const char *name, mode_t mode, const char *format, ...) __attribute__((format(printf, 3, 4)));

static const char *option_file(const char *name, mode_t mode, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	const char *path = in_dir(name);
	write_file(path, mode, text);
	return path;
}

static bool find_program(void)
{
	static const char *const places[] = { "/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/bin/mariadbd", "/usr/local/bin/mariadbd" };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (access(places[i], X_OK) == 0) {
			(void)snprintf(server.program, sizeof(server.program), "%s", places[i]);
			return true;
		}
	}
	return false;
}

static int group_setup(void **state)
{
	(void)state;
	strcpy(server.dir, "/tmp/upgd-sql-XXXXXX");
	if (mkdtemp(server.dir) == NULL)
		return -1;
	if (!find_program())
		return 0;
	const char *install[] = { "mariadb-install-db", "--no-defaults", "--force", geteuid() == 0 ? "--user=root" : "--force", option("datadir", "db"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M", NULL };
	int status;
	pid_t pid = spawn(install, in_dir("install.log"));
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		char command[128];
		print_message("mariadb-install-db failed (status 0x%x):\n", (unsigned)status);
		(void)snprintf(command, sizeof(command), "tail -n 40 %s/install.log", server.dir);
		(void)!system(command);
		return -1;
	}
	write_file(in_dir("init.sql"), 0600,
		"CREATE DATABASE IF NOT EXISTS t;\n"
		"CREATE TABLE IF NOT EXISTS t.kv (k VARCHAR(40) PRIMARY KEY, v VARCHAR(400));\n"
		"INSERT IGNORE INTO t.kv VALUES ('a', 'one'), ('b', NULL), ('c', '');\n"
		"CREATE USER IF NOT EXISTS 'probe'@'localhost' IDENTIFIED BY 'se#cret';\n"
		"GRANT SELECT, UPDATE, CREATE ON t.* TO 'probe'@'localhost';\n"
		"DROP PROCEDURE IF EXISTS t.two;\n"
		"CREATE DEFINER=root@localhost PROCEDURE t.two() SELECT 1 UNION SELECT 2;\n"
		"GRANT EXECUTE ON t.* TO 'probe'@'localhost';\n");
	server_start();
	option_file("probe.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword=\"se#cret\"\n", in_dir("s"));
	option_file("root.cnf", 0600, "[client]\nsocket=%s\nuser=root\n", in_dir("s"));
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	server_stop(SIGTERM);
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s", server.dir);
	return system(command);
}

static void on_watchdog(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for %d ms", DEADLINE_MS);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->loop = loop_new(&f->fail);
	f->watchdog = loop_timer_new(f->loop, on_watchdog, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	sql_free(f->sql);
	loop_timer_free(f->watchdog);
	loop_free(f->loop);
	free(f);
	return 0;
}

static struct sql *sql_of(struct fixture *f, const char *file, unsigned connections)
{
	struct sql_server place = { .name = "db1", .option_file = file, .connections = connections };
	return sql_new(f->loop, &place, &f->fail);
}

static void sql_open(struct fixture *f, const char *cnf, unsigned connections)
{
	if (server.pid == 0) {
		print_message("skipped: there is no mariadbd\n");
		skip();
	}
	f->sql = sql_of(f, in_dir(cnf), connections);
	if (f->sql == NULL)
		fail_msg("%s", f->fail.text);
}

/* ---- asking ---- */

struct answer {
	struct fixture *f;
	int *waiting;
	enum sql_outcome outcome;
	unsigned code;
	size_t n_rows, n_columns;
	char error[480];
	char text[2048]; /* cells joined: column by '|', row by '/', NULL as ~ */
	uint64_t at;
};

static void on_answer(void *arg, const struct sql_result *result)
{
	struct answer *answer = arg;
	answer->outcome = result->outcome;
	answer->code = result->code;
	answer->n_rows = result->n_rows;
	answer->n_columns = result->n_columns;
	answer->at = loop_boot_ms();
	(void)snprintf(answer->error, sizeof(answer->error), "%s", result->error != NULL ? result->error : "");
	assert_true((result->error == NULL) == (result->outcome == SQL_OK));
	size_t used = 0;
	for (size_t i = 0; i < result->n_rows * result->n_columns && used < sizeof(answer->text); i++) {
		const char *before = i == 0 ? "" : i % result->n_columns == 0 ? "/" : "|";
		used += (size_t)snprintf(answer->text + used, sizeof(answer->text) - used, "%s%s", before, result->cells[i] != NULL ? result->cells[i] : "~");
	}
	if (--*answer->waiting == 0)
		loop_quit(answer->f->loop);
}

static void run(struct fixture *f)
{
	loop_timer_set(f->watchdog, DEADLINE_MS);
	assert_int_equal(loop_run(f->loop), 0);
	loop_timer_clear(f->watchdog);
}

static struct answer ask_args(struct fixture *f, struct sql *sql, unsigned timeout_ms, const char *statement, const char *const *args, size_t n)
{
	int waiting = 1;
	struct answer answer = { .f = f, .waiting = &waiting };
	(void)sql_run(sql, statement, args, n, timeout_ms, on_answer, &answer);
	assert_int_equal(waiting, 1); /* never from inside */
	run(f);
	return answer;
}

static struct answer ask(struct fixture *f, const char *statement)
{
	return ask_args(f, f->sql, 0, statement, NULL, 0);
}

static void assert_answer(const struct answer *answer, const char *text)
{
	if (answer->outcome != SQL_OK)
		fail_msg("%s", answer->error);
	assert_string_equal(answer->text, text);
}

static void assert_says(const struct answer *answer, enum sql_outcome outcome, const char *text)
{
	if (answer->outcome != outcome || strstr(answer->error, text) == NULL)
		fail_msg("outcome %d, not %d with \"%s\": %s", (int)answer->outcome, (int)outcome, text, answer->error);
}

/* Asks as root until the one cell says what is expected. */
static void wait_until(struct fixture *f, const char *statement, const char *text)
{
	struct sql *root = sql_of(f, in_dir("root.cnf"), 1);
	uint64_t until = loop_boot_ms() + DEADLINE_MS / 2;
	struct answer answer;
	do {
		answer = ask_args(f, root, 0, statement, NULL, 0);
	} while ((answer.outcome != SQL_OK || strcmp(answer.text, text) != 0) && loop_boot_ms() < until);
	sql_free(root);
	assert_answer(&answer, text);
}

#define SLEEPERS "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%' AND state = 'User sleep'"
#define SLEEPER_ID "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"

/* ---- pure ---- */

static void test_placeholders(void **state)
{
	(void)state;
	static const struct { const char *name, *text; size_t n; } rows[] = {
		{ "empty", "", 0 },
		{ "plain", "SELECT ?, ? FROM x WHERE y=?", 3 },
		{ "at the ends", "?a?", 2 },
		{ "single quotes", "SELECT '?' , ?", 1 },
		{ "double quotes", "SELECT \"?\" , ?", 1 },
		{ "backticks", "SELECT `a?b`, ?", 1 },
		{ "doubled quote", "SELECT 'it''s ?', ?", 1 },
		{ "escaped quote", "SELECT 'it\\'s ?', ?", 1 },
		{ "escaped backslash", "SELECT '\\\\', ?", 1 },
		{ "backslash in backticks is none", "SELECT `\\`, ?", 1 },
		{ "doubled backtick", "SELECT `a``?`, ?", 1 },
		{ "other quote inside", "SELECT '\"', ?, \"'\", ?", 2 },
		{ "dash comment", "SELECT 1 -- ?\n, ?", 1 },
		{ "dash comment with tab", "SELECT 1 --\t?\n, ?", 1 },
		{ "dash dash at the end", "SELECT ? --", 1 },
		{ "minus minus is no comment", "SELECT 1--?", 1 },
		{ "hash comment", "SELECT 1 # ? ' \n, ?", 1 },
		{ "star comment", "SELECT /* ? ' */ ?", 1 },
		{ "star comment not nested", "SELECT /* /* ? */ ? ", 1 },
		{ "slash star slash is open", "SELECT /*/ ? */ ?", 1 },
		{ "division", "SELECT ?/?", 2 },
		{ "open quote", "SELECT ? '?", 1 },
		{ "open comment", "SELECT ? /* ?", 1 },
		{ "backslash at the end", "SELECT '\\", 0 },
		{ "not ascii", "SELECT 'ä?', ?", 1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (sql_placeholders(rows[i].text) != rows[i].n)
			fail_msg("%s: %zu", rows[i].name, sql_placeholders(rows[i].text));
}

static void test_tags(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "rollout=7 probe=unlocked unit=migrate/ox_7", "/* upgd rollout=7 probe=unlocked unit=migrate/ox_7 */ SELECT ?" },
		{ "unit=a*/ DROP TABLE t /*", "/* upgd unit=a_/ DROP TABLE t /_ */ SELECT ?" },
		{ "a\n-- '\"`?;!\\", "/* upgd a_-- _______ */ SELECT ?" },
		{ "\xc3\xa4", "/* upgd __ */ SELECT ?" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = sql_tagged("SELECT ?", "%s", cases[i][0]);
		assert_string_equal(text, cases[i][1]);
		assert_int_equal(sql_placeholders(text), 1);
		free(text);
	}
}

static void test_option_files(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		mode_t mode;
		const char *text;
		int error;
		bool tls;
		const char *says;
	} rows[] = {
		{ "plain", 0600, "[client]\nuser=x\npassword=y\n", 0, false, NULL },
		{ "empty", 0600, "", 0, false, NULL },
		{ "no password, world-readable", 0644, "# [client]\n[client]\nuser = x\n", 0, false, NULL },
		{ "password, group-readable", 0640, "[client]\npassword=y\n", 0, false, NULL },
		{ "password, world-readable", 0644, "[client]\npassword = y\n", -EACCES, false, "everybody may read" },
		{ "empty password, world-readable", 0644, "[client]\npassword=\"\"\n", 0, false, NULL },
		{ "password of another section, world-readable", 0604, "[mysqldump]\npassword=y\n", -EACCES, false, "0604" },
		{ "group-writable", 0660, "[client]\n", -EACCES, false, "chmod go-w" },
		{ "world-writable", 0602, "[client]\n", -EACCES, false, "chmod go-w" },
		{ "verify", 0600, "[client]\nssl-verify-server-cert=1\n", 0, true, NULL },
		{ "verify off", 0600, "[client]\nssl-verify-server-cert=0\n", 0, false, NULL },
		{ "verify, underscores", 0600, "[client]\nssl_verify_server_cert = 1\n", 0, true, NULL },
		{ "verify alone is read as 0", 0600, "[client]\n\nssl-verify-server-cert\n", -EINVAL, false, ":3: write \"ssl-verify-server-cert=1\"" },
		{ "verify on is read as 0", 0600, "[client]\nssl-verify-server-cert=on\n", -EINVAL, false, ":2:" },
		{ "ssl alone", 0600, "[client]\nssl\n", -EINVAL, false, "\"ssl=1\"" },
		{ "ca", 0600, "[client]\nssl-ca=/x.pem\n", 0, true, NULL },
		{ "ca of another section", 0600, "[mysqld]\nssl-ca=/x.pem\nssl\n", 0, false, NULL },
		{ "ca of our group", 0600, "[upgd]\nssl-ca=/x.pem\n", 0, true, NULL },
		{ "mode of Oracle's", 0600, "[client]\nssl-mode=verify_identity\n", 0, true, NULL },
		{ "mode preferred", 0600, "[client]\nssl-mode=PREFERRED\n", 0, false, NULL },
		{ "includedir", 0600, "!includedir /etc/mysql\n", -EINVAL, false, "!includedir" },
		{ "include of a missing file", 0600, "!include /nonexistent/x.cnf\n", -ENOENT, false, "/nonexistent/x.cnf" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sql_options out;
		struct fail fail = { 0 };
		const char *file = option_file("pure.cnf", rows[i].mode, "%s", rows[i].text);
		int error = sql_options_check(file, "upgd", &out, &fail);
		if (error != rows[i].error || (error == 0 && out.tls != rows[i].tls) || (rows[i].says != NULL && strstr(fail.text, rows[i].says) == NULL))
			fail_msg("%s: %d, tls %d, %s", rows[i].name, error, out.tls, fail.text);
	}
}

static void test_included_option_files(void **state)
{
	(void)state;
	struct sql_options out;
	struct fail fail = { 0 };
	option_file("inner.cnf", 0644, "[client]\nssl-ca=/x.pem\npassword=y\n");
	const char *outer = option_file("outer.cnf", 0600, "[client]\nuser=x\n!include %s\nport=1\n", in_dir("inner.cnf"));
	assert_int_equal(sql_options_check(outer, NULL, &out, &fail), -EACCES);
	assert_non_null(strstr(fail.text, "inner.cnf"));
	option_file("inner.cnf", 0600, "[client]\nssl-ca=/x.pem\npassword=y\n");
	assert_int_equal(sql_options_check(outer, NULL, &out, &fail), 0);
	assert_true(out.tls);
	option_file("inner.cnf", 0600, "!include %s\n", in_dir("inner.cnf"));
	assert_int_equal(sql_options_check(outer, NULL, &out, &fail), -ELOOP);
}

static void test_missing_option_file_refused(void **state)
{
	struct fixture *f = *state;
	assert_null(sql_of(f, "/nonexistent/upgd.cnf", 0));
	assert_int_equal(f->fail.code, -ENOENT);
	assert_non_null(strstr(f->fail.text, "db1: cannot read the option file /nonexistent/upgd.cnf"));
}

/* ---- statements ---- */

static void test_rows_nulls_and_names(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 0);
	struct answer answer = ask(f, "SELECT k, v FROM t.kv ORDER BY k");
	assert_answer(&answer, "a|one/b|~/c|");
	assert_int_equal(answer.n_rows, 3);
	assert_int_equal(answer.n_columns, 2);
	answer = ask(f, "SELECT k, v FROM t.kv WHERE k = 'none'");
	assert_answer(&answer, "");
	assert_int_equal(answer.n_rows, 0);
	assert_int_equal(answer.n_columns, 2);
	answer = ask(f, "DO 1");
	assert_answer(&answer, "");
	assert_int_equal(answer.n_columns, 0);
}

static void test_arguments_are_quoted(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	static const char *const args[] = { "it's", "\\\"`;-- ", "\n\r\t\x1a\x01", "ä€\xf0\x9f\x9a\x80", "?", NULL, "", "x' OR '1'='1" };
	struct answer answer = ask_args(f, f->sql, 0, "SELECT ?, ?, HEX(?), ?, ?, ?, ?, ? /* ? */ -- ?", args, 8);
	assert_answer(&answer, "it's|\\\"`;-- |0A0D091A01|ä€\xf0\x9f\x9a\x80|?|~||x' OR '1'='1");
	static const char *const not_utf8[] = { "\xff\xfe" };
	answer = ask_args(f, f->sql, 0, "SELECT HEX(?)", not_utf8, 1);
	assert_true(answer.outcome == SQL_FAILED || strcmp(answer.text, "FFFE") == 0); /* said or kept, never changed in silence */
}

static void test_wrong_number_of_arguments(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	static const char *const args[9] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
	struct answer answer = ask_args(f, f->sql, 0, "SELECT ?, ?", args, 1);
	assert_says(&answer, SQL_FAILED, "2 placeholders and 1 arguments");
	answer = ask_args(f, f->sql, 0, "SELECT ?,?,?,?,?,?,?,?,?", args, 9);
	assert_says(&answer, SQL_FAILED, "nothing was sent");
}

static void test_server_says_no(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "SELECT nonsense FROM t.kv");
	assert_says(&answer, SQL_FAILED, "db1: Unknown column");
	assert_int_equal(answer.code, 1054);
	answer = ask(f, "SELECT 1; SELECT 2");
	assert_int_equal(answer.code, 1064);
	answer = ask(f, "SELECT 1");
	assert_answer(&answer, "1");
}

static void test_session_is_read_only(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "UPDATE t.kv SET v = 'x' WHERE k = 'a'");
	assert_says(&answer, SQL_FAILED, "READ ONLY");
	assert_int_equal(answer.code, 1792);
	answer = ask(f, "CREATE TABLE t.nope (x INT)");
	assert_int_equal(answer.outcome, SQL_FAILED);
	answer = ask(f, "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@max_statement_time, @@character_set_client, @@wait_timeout, "
		"@@net_read_timeout, @@net_write_timeout, @@autocommit, @@sql_mode, @@tx_read_only");
	assert_answer(&answer, "5|5|30.000000|utf8mb4|600|30|30|1||1");
}

static void test_call_leaves_nothing_behind(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer id = ask(f, "SELECT CONNECTION_ID()");
	for (int i = 0; i < 3; i++) {
		struct answer answer = ask(f, "CALL t.two()");
		assert_answer(&answer, "1/2");
		answer = ask(f, "SELECT CONNECTION_ID()");
		assert_answer(&answer, id.text); /* the same connection is still good */
	}
}

static void test_too_many_rows(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "SELECT seq FROM t.seq_1_to_200001");
	assert_says(&answer, SQL_FAILED, "more than 200000 rows");
	answer = ask(f, "SELECT seq FROM t.seq_1_to_200000");
	assert_int_equal(answer.outcome, SQL_OK);
	assert_int_equal(answer.n_rows, 200000);
	answer = ask(f, "SELECT REPEAT('x', 1048576) FROM t.seq_1_to_100");
	assert_says(&answer, SQL_FAILED, "64 MiB");
	answer = ask(f, "SELECT LENGTH(REPEAT('x', 1048576))");
	assert_answer(&answer, "1048576");
}

static void test_statement_limit_is_the_servers(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask_args(f, f->sql, 300, "SELECT SLEEP(30)", NULL, 0);
	assert_int_equal(answer.outcome, SQL_FAILED);
	assert_int_equal(answer.code, 1969);
	answer = ask_args(f, f->sql, 0, "SELECT @@max_statement_time", NULL, 0);
	assert_answer(&answer, "30.000000");
}

static void test_statement_that_was_cut_takes_its_connection_along(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer before = ask(f, "SELECT CONNECTION_ID()");
	struct answer cut = ask_args(f, f->sql, 300, "SELECT SLEEP(30)", NULL, 0);
	assert_int_equal(cut.code, 1969);
	struct answer after = ask(f, "SELECT CONNECTION_ID()");
	assert_int_equal(after.outcome, SQL_OK);
	assert_string_not_equal(after.text, before.text);
}

/* A server that takes SET without a word and keeps its own: refused where that may mean no limit. Less than was asked for is good enough. */
static void test_server_that_keeps_its_own_limits_is_named(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	server_stop(SIGTERM);
	server.extra = "--maximum-lock-wait-timeout=0";
	server_start();
	struct answer answer = ask(f, "SELECT 1");
	server_stop(SIGTERM);
	server.extra = "--maximum-wait-timeout=60";
	server_start();
	struct answer less = ask(f, "SELECT @@wait_timeout");
	server_stop(SIGTERM);
	server.extra = NULL;
	server_start();
	assert_says(&answer, SQL_AWAY, "db1: the server keeps lock_wait_timeout at \"0\" and not at \"5\"");
	assert_answer(&less, "60");
}

static void test_sixteen_at_once(void **state)
{
	struct fixture *f = *state;
	enum { N = 16 };
	sql_open(f, "probe.cnf", N);
	struct answer answers[N];
	int waiting = N;
	uint64_t start = loop_boot_ms();
	for (int i = 0; i < N; i++) {
		answers[i] = (struct answer){ .f = f, .waiting = &waiting };
		(void)sql_run(f->sql, "SELECT SLEEP(1)", NULL, 0, 0, on_answer, &answers[i]);
	}
	run(f);
	for (int i = 0; i < N; i++)
		assert_answer(&answers[i], "0");
	assert_in_range(loop_boot_ms() - start, 900, 15000); /* one after the other were 16 s */
}

static void test_two_connections_at_most(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 2);
	struct answer answers[20];
	int waiting = 20;
	for (int i = 0; i < 20; i++) {
		answers[i] = (struct answer){ .f = f, .waiting = &waiting };
		(void)sql_run(f->sql, "SELECT CONNECTION_ID() FROM (SELECT SLEEP(0.02)) x", NULL, 0, 0, on_answer, &answers[i]);
	}
	run(f);
	const char *first = answers[0].text, *other = NULL;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(answers[i].outcome, SQL_OK);
		if (strcmp(answers[i].text, first) != 0 && other == NULL)
			other = answers[i].text;
		else if (strcmp(answers[i].text, first) != 0)
			assert_string_equal(answers[i].text, other);
	}
	assert_non_null(other);
}

/* ---- connections ---- */

static void test_wrong_password(void **state)
{
	struct fixture *f = *state;
	option_file("wrong.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword=wrong\n", in_dir("s"));
	sql_open(f, "wrong.cnf", 1);
	struct answer answer = ask(f, "SELECT 1");
	assert_says(&answer, SQL_AWAY, "Access denied");
	assert_int_equal(answer.code, 1045);
	assert_null(strstr(answer.error, "wrong"));
	option_file("wrong.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword='se#cret'\n", in_dir("s")); /* read anew each time */
	answer = ask(f, "SELECT 1");
	assert_answer(&answer, "1");
}

static void test_group_comes_on_top(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	option_file("group.cnf", 0600, "[client]\nsocket=%s\nuser=nobody\npassword=\"se#cret\"\n[upgd]\nuser=probe\n", in_dir("s"));
	struct sql_server place = { .name = "db1", .option_file = in_dir("group.cnf"), .group = "upgd" };
	struct sql *sql = sql_new(f->loop, &place, &f->fail);
	assert_non_null(sql);
	struct answer answer = ask_args(f, sql, 0, "SELECT USER()", NULL, 0);
	sql_free(sql);
	assert_answer(&answer, "probe@localhost");
}

static void test_mode_is_checked_at_each_connect(void **state)
{
	struct fixture *f = *state;
	option_file("mode.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword=se\n", in_dir("s"));
	sql_open(f, "mode.cnf", 1);
	assert_int_equal(chmod(in_dir("mode.cnf"), 0644), 0);
	struct answer answer = ask(f, "SELECT 1");
	assert_says(&answer, SQL_AWAY, "everybody may read it");
}

static void test_tls_asked_for_and_not_offered(void **state)
{
	struct fixture *f = *state;
	if (server.pid != 0) {
		write_file(in_dir("ca.pem"), 0644, "");
		char command[400];
		(void)snprintf(command, sizeof(command),
			"openssl req -x509 -newkey rsa:2048 -nodes -keyout %s/key.pem -out %s/ca.pem -days 2 -subj /CN=x 2>/dev/null", server.dir, server.dir);
		if (system(command) != 0)
			skip();
	}
	option_file("tls.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword=\"se#cret\"\nssl-ca=%s\n", in_dir("s"), in_dir("ca.pem"));
	sql_open(f, "tls.cnf", 1);
	struct answer answer = ask(f, "SELECT 1");
	assert_says(&answer, SQL_AWAY, "asks for TLS");
	option_file("tls.cnf", 0600, "[client]\nsocket=%s\nuser=probe\npassword=\"se#cret\"\nssl-verify-server-cert=1\n", in_dir("s"));
	answer = ask(f, "SELECT 1");
	assert_int_equal(answer.outcome, SQL_AWAY);
}

static void test_server_away_and_back(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "SELECT 1");
	assert_answer(&answer, "1");
	server_stop(SIGTERM);
	answer = ask(f, "SELECT 1");
	assert_says(&answer, SQL_AWAY, "cannot connect");
	server_start();
	answer = ask(f, "SELECT v FROM t.kv WHERE k = 'a'");
	assert_answer(&answer, "one");
	/* and a restart between two statements goes unnoticed, with the session prepared again */
	server_stop(SIGTERM);
	server_start();
	answer = ask(f, "UPDATE t.kv SET v = 'x'");
	assert_int_equal(answer.code, 1792);
}

static void test_idle_connection_that_was_killed(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "SELECT CONNECTION_ID()");
	struct sql *root = sql_of(f, in_dir("root.cnf"), 1);
	const char *const args[] = { answer.text };
	struct answer killed = ask_args(f, root, 0, "KILL CONNECTION CAST(? AS UNSIGNED)", args, 1);
	sql_free(root);
	assert_int_equal(killed.outcome, SQL_OK);
	struct answer again = ask(f, "SELECT CONNECTION_ID()");
	assert_int_equal(again.outcome, SQL_OK);
	assert_string_not_equal(again.text, answer.text);
}

/* Starts a sleep, waits until the server runs it, and returns its connection's id in `id`. */
static struct sql_query *sleep_start(struct fixture *f, struct answer *answer, int *waiting, unsigned timeout_ms, char *id, size_t size)
{
	*answer = (struct answer){ .f = f, .waiting = waiting };
	struct sql_query *query = sql_run(f->sql, "SELECT SLEEP(100)", NULL, 0, timeout_ms, on_answer, answer);
	wait_until(f, SLEEPERS, "1");
	struct sql *root = sql_of(f, in_dir("root.cnf"), 1);
	struct answer found = ask_args(f, root, 0, SLEEPER_ID, NULL, 0);
	sql_free(root);
	(void)snprintf(id, size, "%.31s", found.text);
	return query;
}

static void test_connection_killed_under_a_statement(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer;
	int waiting = 1;
	char id[32];
	(void)sleep_start(f, &answer, &waiting, 0, id, sizeof(id));
	struct sql *root = sql_of(f, in_dir("root.cnf"), 1);
	int killing = 1;
	struct answer killed = { .f = f, .waiting = &killing };
	const char *const args[] = { id };
	waiting = 2; /* the loop ends with the second of the two */
	killed.waiting = &waiting;
	(void)sql_run(root, "KILL CONNECTION CAST(? AS UNSIGNED)", args, 1, 0, on_answer, &killed);
	run(f);
	sql_free(root);
	assert_int_equal(killed.outcome, SQL_OK);
	assert_says(&answer, SQL_UNKNOWN, "its answer was lost");
	answer = ask(f, "SELECT 1");
	assert_answer(&answer, "1");
}

static void test_server_dies_under_a_statement(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer;
	int waiting = 1;
	char id[32];
	(void)sleep_start(f, &answer, &waiting, 0, id, sizeof(id));
	waiting = 1;
	server_stop(SIGKILL);
	run(f);
	assert_int_equal(answer.outcome, SQL_UNKNOWN);
	server_start();
}

static void test_server_stops_answering(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer = ask(f, "SELECT 1"), second;
	int waiting = 1;
	char id[32];
	(void)sleep_start(f, &answer, &waiting, 1500, id, sizeof(id));
	kill(server.pid, SIGSTOP);
	uint64_t start = loop_boot_ms();
	waiting = 1;
	if (answer.at == 0)
		run(f);
	uint64_t first_took = loop_boot_ms() - start;
	second = ask_args(f, f->sql, 700, "SELECT 1", NULL, 0); /* a new connection: accepted by the kernel, answered by nobody */
	uint64_t free_start = loop_boot_ms();
	sql_free(f->sql);
	f->sql = NULL;
	uint64_t free_took = loop_boot_ms() - free_start;
	kill(server.pid, SIGCONT);
	assert_int_equal(answer.outcome, SQL_UNKNOWN);
	assert_in_range(first_took, 0, 20000);
	assert_says(&second, SQL_AWAY, "nothing was sent");
	assert_in_range(free_took, 0, 20000);
}

static void test_cancel_kills_in_the_server(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer;
	int waiting = 100; /* never comes down */
	char id[32];
	struct sql_query *query = sleep_start(f, &answer, &waiting, 0, id, sizeof(id));
	struct sql_query *behind = sql_run(f->sql, "SELECT 2", NULL, 0, 0, on_answer, &answer);
	sql_cancel(behind);
	uint64_t start = loop_boot_ms();
	sql_cancel(query);
	wait_until(f, SLEEPERS, "0");
	struct answer after = ask(f, "SELECT 3");
	assert_answer(&after, "3");
	assert_in_range(loop_boot_ms() - start, 0, 20000);
	assert_int_equal(waiting, 100);
}

static void test_waiting_for_a_worker_has_an_end(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 1);
	struct answer answer;
	int waiting = 100;
	char id[32];
	struct sql_query *query = sleep_start(f, &answer, &waiting, 0, id, sizeof(id));
	struct answer late = ask_args(f, f->sql, 200, "SELECT 1", NULL, 0);
	assert_says(&late, SQL_AWAY, "no connection became free");
	sql_cancel(query);
}

static void test_free_with_a_statement_under_way(void **state)
{
	struct fixture *f = *state;
	sql_open(f, "probe.cnf", 2);
	struct answer answer;
	int waiting = 100;
	char id[32];
	(void)sleep_start(f, &answer, &waiting, 0, id, sizeof(id));
	(void)sql_run(f->sql, "SELECT 1", NULL, 0, 0, on_answer, &answer);
	(void)sql_run(f->sql, "SELECT 2", NULL, 0, 0, on_answer, &answer);
	uint64_t start = loop_boot_ms();
	sql_free(f->sql);
	f->sql = NULL;
	assert_in_range(loop_boot_ms() - start, 0, 20000);
	assert_int_equal(waiting, 100);
	wait_until(f, SLEEPERS, "0");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_placeholders),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_option_files),
		cmocka_unit_test(test_included_option_files),
		T(test_missing_option_file_refused),
		T(test_rows_nulls_and_names),
		T(test_arguments_are_quoted),
		T(test_wrong_number_of_arguments),
		T(test_server_says_no),
		T(test_session_is_read_only),
		T(test_call_leaves_nothing_behind),
		T(test_too_many_rows),
		T(test_statement_limit_is_the_servers),
		T(test_statement_that_was_cut_takes_its_connection_along),
		T(test_server_that_keeps_its_own_limits_is_named),
		T(test_sixteen_at_once),
		T(test_two_connections_at_most),
		T(test_wrong_password),
		T(test_group_comes_on_top),
		T(test_mode_is_checked_at_each_connect),
		T(test_tls_asked_for_and_not_offered),
		T(test_server_away_and_back),
		T(test_idle_connection_that_was_killed),
		T(test_connection_killed_under_a_statement),
		T(test_server_dies_under_a_statement),
		T(test_server_stops_answering),
		T(test_cancel_kills_in_the_server),
		T(test_waiting_for_a_worker_has_an_end),
		T(test_free_with_a_statement_under_way),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
