/* SPDX-License-Identifier: MIT */
#include "daemon/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fields_are_quoted_where_needed(void **state)
{
	char line[LOG_LINE_MAX];
	const struct log_field fields[] = {{"node", "ox1"}, {"reason", "drain \"ok\""}, {"none", NULL}, {"empty", ""}, {NULL, NULL}};
	size_t n = log_format(line, LOG_SYSTEMD, NULL, LOG_AT_NOTICE, "unit done", fields);
	assert_string_equal(line, "<5>unit done node=ox1 reason=\"drain \\\"ok\\\"\" empty=\"\"\n");
	assert_int_equal(n, strlen(line));
	(void)log_format(line, LOG_PLAIN, "2026-11-21 02:14:07.120", LOG_AT_ERR, "no", NULL);
	assert_string_equal(line, "2026-11-21 02:14:07.120 err: no\n");
}

static void nothing_begins_a_second_line(void **state)
{
	char line[LOG_LINE_MAX];
	const struct log_field fields[] = {{"out", "x\n<3>forged"}, {"esc", "\033[2J\xc2\x9b" "1m\r"}, {NULL, NULL}};
	(void)log_format(line, LOG_SYSTEMD, NULL, LOG_AT_INFO, "a\n<0>b \xc3\xa9", fields);
	assert_string_equal(line, "<6>a\\n<0>b \xc3\xa9 out=\"x\\n<3>forged\" esc=\\x1b[2J\\xc2\x9b" "1m\\x0d\n");
}

static void long_lines_are_cut(void **state)
{
	char line[LOG_LINE_MAX], text[3 * LOG_LINE_MAX];
	memset(text, '\n', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	const struct log_field fields[] = {{"late", "x"}, {NULL, NULL}};
	size_t n = log_format(line, LOG_PLAIN, "now", LOG_AT_INFO, text, fields);
	assert_true(n < LOG_LINE_MAX);
	assert_int_equal(n, strlen(line));
	assert_string_equal(line + n - 6, "\\n...\n");
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static void levels_have_names(void **state)
{
	enum log_level level = LOG_AT_ERR;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_AT_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_AT_DEBUG);
}

/* A pager that is not scrolled, a journal daemon that hangs: the daemon goes on, and says later what is missing. */
static void nobody_reads_the_log(void **state)
{
	enum { LINES = 2000 };
	int fds[2], err = dup(STDERR_FILENO);
	assert_int_equal(pipe(fds), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	(void)unsetenv("JOURNAL_STREAM");
	(void)unsetenv("INVOCATION_ID");
	(void)alarm(20); /* it would wait for ever */
	for (int i = 0; i < LINES; i++)
		log_say(LOG_AT_NOTICE, "line %d of many, with something behind it that fills the pipe", i);
	(void)alarm(0);
	static char text[1 << 20];
	size_t n = (size_t)read(fds[0], text, sizeof(text) - 1), shown = 0;
	log_say(LOG_AT_NOTICE, "and on");
	assert_true(dup2(err, STDERR_FILENO) >= 0);
	(void)close(fds[1]);
	for (const char *at = text; (at = memchr(at, '\n', n - (size_t)(at - text))) != NULL; at++)
		shown++;
	assert_int_equal(text[n - 1], '\n'); /* no line is torn */
	ssize_t more = read(fds[0], text, sizeof(text) - 1);
	assert_true(more > 0);
	text[more] = '\0';
	const char *missing = strstr(text, "warning: ");
	assert_non_null(missing);
	assert_int_equal(shown + strtoul(missing + strlen("warning: "), NULL, 10), LINES);
	assert_non_null(strstr(text, "lines are missing here"));
	assert_non_null(strstr(text, "and on\n"));
	(void)close(fds[0]);
	(void)close(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_quoted_where_needed),
		cmocka_unit_test(nothing_begins_a_second_line),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(nobody_reads_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
