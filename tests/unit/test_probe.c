/* SPDX-License-Identifier: MIT */
/* Judging and binding: what a probe's answer means, and what a ${name} becomes. */
#include "daemon/bind.h"
#include "daemon/judge.h"
#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPTURES "{\"src\":{\"rows\":[[\"6\"]]},\"tasks\":{\"rows\":[[\"b\"],[\"a\"]]},\"none\":{\"rows\":[]},\"two\":{\"rows\":[[\"1\",\"x\"],[\"2\",null]]}}"

/* ---- judging ---- */

struct judged {
	const char *name;
	enum expect_kind expect;
	const char *expected;
	int64_t number;
	const char *cells[6];
	size_t n_rows, n_columns;
	enum result result;
	const char *says;
};

static const struct judged judged[] = {
	{ "any", EXPECT_NONE, NULL, 0, { "1" }, 1, 1, RESULT_OK, "p: 1 row" },
	{ "no rows", EXPECT_ROWS, NULL, 0, { 0 }, 0, 1, RESULT_OK, "p: 0 rows, expected 0" },
	{ "rows", EXPECT_ROWS, NULL, 0, { "17", "18" }, 2, 1, RESULT_FAILED, "p: 2 rows, expected 0: 17, 18" },
	{ "too few rows", EXPECT_ROWS, NULL, 2, { "17" }, 1, 1, RESULT_FAILED, "p: 1 row, expected 2: 17" },
	{ "equal", EXPECT_EQUALS, "3", 0, { "3" }, 1, 1, RESULT_OK, "p: \"3\", expected \"3\"" },
	{ "unequal", EXPECT_EQUALS, "3", 0, { "30" }, 1, 1, RESULT_FAILED, "p: \"30\", expected \"3\"" },
	{ "nothing to equal", EXPECT_EQUALS, "", 0, { 0 }, 0, 1, RESULT_FAILED, "p: no rows, expected a value" },
	{ "match", EXPECT_MATCH, "^7\\.10\\.6(-|$)", 0, { "7.10.6-Rev44" }, 1, 1, RESULT_OK, NULL },
	{ "a longer version", EXPECT_MATCH, "^7\\.10\\.6(-|$)", 0, { "7.10.60" }, 1, 1, RESULT_FAILED, NULL },
	{ "not match", EXPECT_NOT_MATCH, "error", 0, { "fine" }, 1, 1, RESULT_OK, NULL },
	{ "matches after all", EXPECT_NOT_MATCH, "error", 0, { "an error" }, 1, 1, RESULT_FAILED, NULL },
	{ "no expression", EXPECT_MATCH, "(", 0, { "x" }, 1, 1, RESULT_FAILED, "p: \"(\" is no regular expression" },
	{ "min", EXPECT_MIN, NULL, 3, { "3" }, 1, 1, RESULT_OK, NULL },
	{ "below min", EXPECT_MIN, NULL, 3, { "2" }, 1, 1, RESULT_FAILED, NULL },
	{ "no number", EXPECT_MIN, NULL, 0, { "3x" }, 1, 1, RESULT_FAILED, NULL },
	{ "max", EXPECT_MAX, NULL, 3, { "3" }, 1, 1, RESULT_OK, NULL },
	{ "above max", EXPECT_MAX, NULL, 3, { "4" }, 1, 1, RESULT_FAILED, NULL },
	{ "NULL is no number", EXPECT_MAX, NULL, 3, { NULL }, 1, 1, RESULT_FAILED, NULL },
	{ "contains", EXPECT_CONTAINS, "tasks", 0, { "a", "z", "b" }, 3, 1, RESULT_OK, "p: 3 rows, as captured in tasks" },
	{ "contains not", EXPECT_CONTAINS, "tasks", 0, { "a", "z" }, 2, 1, RESULT_FAILED, "p: missing: b, compared with tasks" },
	{ "contains nothing", EXPECT_CONTAINS, "none", 0, { 0 }, 0, 1, RESULT_OK, NULL },
	{ "subset", EXPECT_SUBSET_OF, "tasks", 0, { "b" }, 1, 1, RESULT_OK, NULL },
	{ "the empty subset", EXPECT_SUBSET_OF, "none", 0, { 0 }, 0, 1, RESULT_OK, NULL },
	{ "no subset", EXPECT_SUBSET_OF, "tasks", 0, { "b", "c" }, 2, 1, RESULT_FAILED, "p: more than was captured: c, compared with tasks" },
	{ "same", EXPECT_SAME_AS, "two", 0, { "2", NULL, "1", "x" }, 2, 2, RESULT_OK, NULL },
	{ "another row", EXPECT_SAME_AS, "two", 0, { "2", NULL, "1", "y" }, 2, 2, RESULT_FAILED, NULL },
	{ "a row less", EXPECT_SAME_AS, "two", 0, { "1", "x" }, 1, 2, RESULT_FAILED, NULL },
	{ "never captured", EXPECT_CONTAINS, "other", 0, { "a" }, 1, 1, RESULT_FAILED, "p: nothing to compare with: other was not captured" },
};

static void test_judge(void **state)
{
	(void)state;
	char text[JUDGE_TEXT_MAX];
	for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++) {
		const struct judged *j = &judged[i];
		struct probe probe = { .name = (char[]){ "p" }, .expect = j->expect, .expected = (char *)(uintptr_t)j->expected, .number = j->number };
		struct judge_table table = { .n_rows = j->n_rows, .n_columns = j->n_columns, .cells = j->cells };
		enum result result = judge(&probe, &table, j->expected, CAPTURES, text);
		if (result != j->result || (j->says != NULL && strcmp(j->says, text) != 0))
			fail_msg("%s: %d, \"%s\"; expected %d, \"%s\"", j->name, result, text, j->result, j->says != NULL ? j->says : "-");
	}
}

/* What a program printed has lines; a value of a database has not. */
static void test_match_is_by_line_where_lines_are(void **state)
{
	(void)state;
	static const struct {
		const char *name, *expression, *output;
		enum probe_kind kind;
		enum expect_kind expect;
		enum result result;
		const char *says;
	} rows[] = {
		{ "a line", "^status: ok$", "hello\nstatus: ok\nbye", PROBE_RUN, EXPECT_MATCH, RESULT_OK, "p: \"status: ok\", expected to match ^status: ok$" },
		{ "a file's line", "^a=1$", "b=2\na=1", PROBE_READ, EXPECT_MATCH, RESULT_OK, NULL },
		{ "not over the end of a line", "hello.*bye", "hello\nbye", PROBE_RUN, EXPECT_MATCH, RESULT_FAILED,
			"p: ... \"bye\", expected to match hello.*bye" },
		{ "the line is named", "^E:", "W: old\nE: gone\nsorry", PROBE_RUN, EXPECT_NOT_MATCH, RESULT_FAILED, "p: \"E: gone\", expected not to match ^E:" },
		{ "none", "^E:", "W: old\nsorry", PROBE_RUN, EXPECT_NOT_MATCH, RESULT_OK, "p: ... \"sorry\", expected not to match ^E:" },
		{ "a value is one", "^b", "a\nb", PROBE_SQL, EXPECT_MATCH, RESULT_FAILED, NULL },
	};
	char text[JUDGE_TEXT_MAX];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct probe probe = { .name = (char[]){ "p" }, .kind = rows[i].kind, .expect = rows[i].expect };
		struct judge_table table = { .n_rows = 1, .n_columns = 1, .cells = &rows[i].output, .single = true };
		enum result result = judge(&probe, &table, rows[i].expression, NULL, text);
		if (result != rows[i].result || (rows[i].says != NULL && strcmp(rows[i].says, text) != 0))
			fail_msg("%s: %d, \"%s\"", rows[i].name, result, text);
	}
}

static void test_lines_are_rows(void **state)
{
	(void)state;
	struct judge_lines lines;
	static const char *const cells[] = { "1", "a b", "", "22", "", "", "", "x", "y" };
	judge_lines("1\ta b\n\n22\r\n\r\n\tx\ty", &lines);
	assert_int_equal(lines.table.n_rows, 3);
	assert_int_equal(lines.table.n_columns, 3);
	for (size_t i = 0; i < 9; i++)
		assert_string_equal(lines.table.cells[i], cells[i]);
	judge_lines_done(&lines);
	judge_lines("\n\n", &lines);
	assert_int_equal(lines.table.n_rows, 0);
	judge_lines_done(&lines);

	/* one line of tabs does not make all others as wide */
	static const char tabs[] = "1\n0\t";
	char wide[1000];
	for (size_t i = 0; i < sizeof(wide) - 1; i++)
		wide[i] = tabs[i < 4 ? i : 3];
	wide[sizeof(wide) - 1] = '\0';
	judge_lines(wide, &lines);
	assert_int_equal(lines.table.n_rows, 2);
	assert_int_equal(lines.table.n_columns, JUDGE_COLUMNS_MAX);
	assert_string_equal(lines.table.cells[JUDGE_COLUMNS_MAX], "0");
	assert_int_equal(strlen(lines.table.cells[2 * JUDGE_COLUMNS_MAX - 1]), sizeof(wide) - 1 - 3 - (JUDGE_COLUMNS_MAX - 1));
	judge_lines_done(&lines);

	/* and compared as such */
	char text[JUDGE_TEXT_MAX];
	struct probe probe = { .name = (char[]){ "p" }, .kind = PROBE_RUN, .lines = true, .expect = EXPECT_SAME_AS, .expected = (char[]){ "two" } };
	judge_lines("2\t\n1\tx\n", &lines);
	assert_int_equal(judge(&probe, &lines.table, NULL, CAPTURES, text), RESULT_OK);
	probe.expect = EXPECT_ROWS;
	assert_int_equal(judge(&probe, &lines.table, NULL, CAPTURES, text), RESULT_FAILED);
	assert_string_equal(text, "p: 2 rows, expected 0: 2, 1");
	judge_lines_done(&lines);
}

/* listUpdateTasks names what failed in an earlier release as pending for ever; a site may have excluded tasks too. */
static void test_what_is_excepted_is_not_expected(void **state)
{
	(void)state;
	char text[JUDGE_TEXT_MAX];
	char *except[] = { (char[]){ "src" }, (char[]){ "none" }, NULL };
	struct probe probe = { .name = (char[]){ "p" }, .expect = EXPECT_CONTAINS, .expected = (char[]){ "then" }, .except = except };
	struct judge_table table = { .n_rows = 1, .n_columns = 1, .cells = (const char *[]){ "a" } };
	static const char captures[] = "{\"then\":{\"rows\":[[\"a\"],[\"6\"]]},\"src\":{\"rows\":[[\"6\"]]},\"none\":{\"rows\":[]}}";
	assert_int_equal(judge(&probe, &table, probe.expected, captures, text), RESULT_OK);
	probe.except = NULL;
	assert_int_equal(judge(&probe, &table, probe.expected, captures, text), RESULT_FAILED);
}

static void test_judge_cuts(void **state)
{
	(void)state;
	char text[JUDGE_TEXT_MAX], longest[2000];
	const char *cells[300];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < 300; i++)
		cells[i] = longest;
	struct probe probe = { .name = longest, .expect = EXPECT_SUBSET_OF, .expected = (char[]){ "tasks" }, .doc = longest };
	struct judge_table table = { .n_rows = 300, .n_columns = 1, .cells = cells };
	assert_int_equal(judge(&probe, &table, NULL, CAPTURES, text), RESULT_FAILED);
	assert_int_equal(strlen(text), JUDGE_TEXT_MAX - 1);
	probe.name[1] = '\0';
	probe.doc = NULL;
	assert_int_equal(judge(&probe, &table, NULL, NULL, text), RESULT_FAILED);
}

/* ---- values ---- */

#define HEALTH "{\"status\":\"UP\",\"service\":{\"version\":\"7.10.6-Rev44\",\"a/b\":true},\"checks\":[{\"name\":\"configDB\"},{\"name\":\"hazelcast\",\"data\":{\"memberCount\":2}}]}"

static void test_pointer(void **state)
{
	(void)state;
	static const char *const rows[][2] = { { "/service/version", "7.10.6-Rev44" }, { "/checks/name=hazelcast/data/memberCount", "2" },
		{ "/checks/0/name", "configDB" }, { "/service/a~1b", "true" }, { "/service/none", NULL }, { "/checks/name=none/data", NULL },
		{ "/checks/7/name", NULL }, { "/checks/x", NULL }, { "/status/deeper", NULL } };
	struct fail fail;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *value = judge_pointer(HEALTH, strlen(HEALTH), rows[i][0], &fail);
		if (rows[i][1] == NULL) {
			assert_null(value);
			assert_non_null(strstr(fail.text, rows[i][0]));
		} else {
			assert_non_null(value);
			assert_string_equal(value, rows[i][1]);
		}
		free(value);
	}
	assert_null(judge_pointer("garbage", 7, "/a", &fail));
}

/* As OX prints it: cells padded to the widest, one space between. */
#define TABLE \
	"Some words before it\n" \
	"taskName              state   reason \n" \
	"com.openexchange.Aaaa pending        \n" \
	"com.openexchange.Bb   pending because\n"

static void test_column(void **state)
{
	(void)state;
	struct judge_column column;
	struct fail fail;
	assert_int_equal(judge_column(TABLE, "taskName", &column, &fail), 0);
	assert_int_equal(column.n, 2);
	assert_string_equal(column.cells[0], "com.openexchange.Aaaa");
	assert_string_equal(column.cells[1], "com.openexchange.Bb");
	judge_column_done(&column);
	assert_int_equal(judge_column(TABLE, "reason", &column, &fail), 0);
	assert_string_equal(column.cells[0], "");
	assert_string_equal(column.cells[1], "because");
	judge_column_done(&column);
	assert_int_equal(judge_column("| id | name |\n|----|------|\n| 1  | a b  |\n", "name", &column, &fail), 0);
	assert_int_equal(column.n, 1);
	assert_string_equal(column.cells[0], "a b");
	judge_column_done(&column);
	assert_int_equal(judge_column("No entries found.\n", "taskName", &column, &fail), 0);
	assert_int_equal(column.n, 0);
	judge_column_done(&column);
}

static void test_column_refused(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "Error: connection refused\n", "taskNames state\na b\n",
		"taskName state\ncom.openexchange.TooLongForTheTable pending\n" };
	struct judge_column column;
	struct fail fail;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (judge_column(texts[i], "taskName", &column, &fail) == 0)
			fail_msg("took \"%s\" for a table", texts[i]);
	assert_true(judge_column("name   state\nlonger-than pending\n", "state", &column, &fail) != 0);
}

static void test_rows(void **state)
{
	(void)state;
	const char *cells[] = { "1", "x", "2", NULL };
	struct judge_table table = { .n_rows = 2, .n_columns = 2, .cells = cells };
	json_cleanup struct json_object *rows = judge_rows(&table, NULL);
	assert_string_equal(json_text(rows, NULL), "{\"rows\":[[\"1\",\"x\"],[\"2\",null]]}");
	/* A column of bytes: what is kept of it must be what is read back, or nothing. */
	struct fail fail = { 0 };
	cells[2] = "\xff";
	assert_null(judge_rows(&table, &fail));
	assert_string_equal(fail.text, "row 2, column 1 is no UTF-8 text, so it could not be compared later: ask for HEX() of it");
}

/* ---- binding ---- */

static struct param params[] = { { .name = (char[]){ "to" }, .value = (char[]){ "7.10.6" } }, { .name = (char[]){ "bad" }, .value = (char[]){ "-x; DROP" } },
	{ .name = (char[]){ "unset" } } };
static struct set sets[] = { { .name = (char[]){ "cluster" } }, { .name = (char[]){ "schema" } } };

static struct bind bind_make(struct row *row)
{
	static struct profile profile = { .params = params, .n_params = 3, .sets = sets, .n_sets = 2, .set_node = -1, .set_tenants = 1 };
	static char name[] = "ox`5", columns[] = "name=ox`5\nhost=3\nodd=a\\nb\n";
	*row = (struct row){ .name = name, .columns = columns, .set = 1 };
	return (struct bind){ .profile = &profile, .row = row, .cluster = "lab", .captures = CAPTURES, .rollout = 7, .lane = LANE_LOCAL };
}

static void test_bind(void **state)
{
	(void)state;
	static const char *const rows[][2] = { { "${param.to}-${rollout}", "7.10.6-7" }, { "${cluster.name}", "lab" }, { "${schema.host}", "3" },
		{ "${schema.odd}", "a\nb" }, { "${capture.src}", "6" }, { "${lane.name}", "local" }, { "ADMIN_PASSWORD=${secret.ox}", "ADMIN_PASSWORD=${secret.ox}" },
		{ "${param.unset}", NULL }, { "${schema.none}", NULL }, { "${node.name}", NULL }, { "${capture.none}", NULL }, { "${capture.other}", NULL },
		{ "${old.health}", NULL }, { "${count.old.up}", NULL }, { "${nothing}", NULL } };
	struct row row;
	struct bind bind = bind_make(&row);
	struct fail fail;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = bind_text(&bind, rows[i][0], &fail);
		if ((text == NULL) != (rows[i][1] == NULL) || (text != NULL && strcmp(text, rows[i][1]) != 0))
			fail_msg("%s became \"%s\"", rows[i][0], text != NULL ? text : fail.text);
		free(text);
	}
	char *regex = bind_regex(&bind, "^${param.to}(-|$)", &fail);
	assert_string_equal(regex, "^7\\.10\\.6(-|$)");
	free(regex);
}

static void test_bind_sql(void **state)
{
	(void)state;
	static const struct {
		const char *text, *becomes;
	} rows[] = {
		{ "SELECT 1 FROM `${param.to}`.t WHERE v = '${param.to}'", "SELECT 1 FROM `7.10.6`.t WHERE v = '7.10.6'" },
		{ "SELECT 1 FROM `a${param.bad}b`", "SELECT 1 FROM `a-x; DROPb`" },
		{ "SELECT 1 FROM `${schema.name}`.t", NULL },           /* a backtick would end the name */
		{ "SELECT 1 WHERE v = ${param.bad}", NULL },
		{ "SELECT `a` WHERE v = ${param.bad}", NULL },          /* the backticks are closed again */
		{ "SELECT `$${` WHERE v = ${param.bad}", NULL },
		{ "SELECT '${secret.ox}'", NULL },
	};
	struct row row;
	struct bind bind = bind_make(&row);
	struct fail fail;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = bind_sql(&bind, rows[i].text, &fail);
		if ((text == NULL) != (rows[i].becomes == NULL) || (text != NULL && strcmp(text, rows[i].becomes) != 0))
			fail_msg("%s became \"%s\"", rows[i].text, text != NULL ? text : fail.text);
		free(text);
	}
}

static void test_bind_list(void **state)
{
	(void)state;
	char *good[] = { (char[]){ "tool" }, (char[]){ "-n" }, (char[]){ "${param.to}" }, (char[]){ "--x=${param.bad}" }, NULL };
	char *option[] = { (char[]){ "tool" }, (char[]){ "${param.bad}" }, NULL };
	struct row row;
	struct bind bind = bind_make(&row);
	struct fail fail;
	char **list = bind_list(&bind, good, &fail);
	assert_non_null(list);
	assert_string_equal(list[3], "--x=-x; DROP");
	assert_null(list[4]);
	bind_list_free(list);
	assert_null(bind_list(&bind, option, &fail));
	assert_non_null(strstr(fail.text, "option"));
	list = bind_list(&bind, NULL, &fail);
	assert_null(list[0]);
	bind_list_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_match_is_by_line_where_lines_are),
		cmocka_unit_test(test_lines_are_rows),
		cmocka_unit_test(test_what_is_excepted_is_not_expected), cmocka_unit_test(test_judge_cuts),
		cmocka_unit_test(test_pointer),
		cmocka_unit_test(test_column),
		cmocka_unit_test(test_column_refused),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_bind_sql),
		cmocka_unit_test(test_bind_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
