/* SPDX-License-Identifier: MIT */
#include "daemon/io/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void parse(struct conf *conf, const char *text)
{
	struct fail fail = {0};
	int rc = conf_parse(conf, text, "t.conf", &fail);
	if (rc != 0)
		fail_msg("%s", fail.text);
}

static char *dump(const struct conf *conf)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	conf_dump(&conf->root, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void reads_every_type_with_its_line(void **state)
{
	struct conf conf;
	parse(&conf, "s = \"a\" \"b\";\ni = -5;\nl = 5000000000L; h = 0xff;\nb = TRUE;\nf = 1.5;\ng = {\n x = 1;\n};\n"
		     "list = ( 1,\n \"two\",\n { three = 3; } );\na = [ \"x\",\n \"y\" ];\n");
	const struct conf_node *root = &conf.root;
	assert_int_equal(root->type, CONF_GROUP);
	assert_string_equal(conf_get(root, "s")->string, "ab");
	assert_int_equal(conf_get(root, "i")->integer, -5);
	assert_int_equal(conf_get(root, "l")->integer, 5000000000LL);
	assert_int_equal(conf_get(root, "h")->integer, 255);
	assert_true(conf_get(root, "b")->boolean);
	assert_true(conf_get(root, "f")->real > 1.49 && conf_get(root, "f")->real < 1.51);
	assert_int_equal(conf_get(root, "g")->line, 6);
	assert_int_equal(conf_get(conf_get(root, "g"), "x")->line, 7);
	const struct conf_node *list = conf_get(root, "list");
	assert_int_equal(list->n_children, 3);
	assert_int_equal(list->children[1].line, 10);
	assert_int_equal(list->children[2].line, 11);
	assert_null(list->children[2].name);
	assert_int_equal(conf_get(root, "a")->type, CONF_ARRAY);
	assert_string_equal(list->file, "t.conf");
	assert_null(conf_get(root, "none"));
	assert_null(conf_get(NULL, "none"));
	conf_done(&conf);
	conf_done(NULL);
}

static void refuses_text_with_place_and_reason(void **state)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{"wrapped integer", "a = 1;\nb = 99999999999;", "t.conf:2: number 99999999999 needs an L"},
		{"first integer that wraps", "b = 2147483648;", "t.conf:1: number 2147483648 needs an L"},
		{"negative integer that wraps", "b = -2147483649;", "number -2147483649 needs an L"},
		{"hex that wraps", "b = 0x80000000;", "number 0x80000000 needs an L"},
		{"in a list", "b = ( 1,\n3000000000 );", "t.conf:2: number 3000000000 needs an L"},
		{"more than 64 bits", "b = 99999999999999999999L;", "does not fit 64 bits"},
		{"infinite", "b = 1e999;", "out of range"},
		{"include", "a = 1;\n@include \"x.conf\"\n", "t.conf:2: @include is not supported"},
		{"trailing comma in a list", "a = ( 1,\n2,\n);", "t.conf:3: a comma right before ')'"},
		{"trailing comma in an array", "a = [ 1, ];", "a comma right before ']'"},
		{"lost quote", "a = 1;\nb = \"x;\nc = 2;\n", "t.conf:2: the string that begins here"},
		{"lost end of comment", "a = 1; /* x\n\n", "t.conf:1: the comment that begins here"},
		{"lost brace", "a = {\n b = 1;\n", "t.conf:1: the '{' opened here is never closed"},
		{"wrong bracket", "a = (\n{ b = 1; );\n", "t.conf:2: ')' does not close the '{' of line 2"},
		{"bracket too many", "a = 1; }\n", "'}' closes nothing"},
		{"bad UTF-8", "a = 1;\n# \xff\n", "t.conf:2: byte 0xff is no valid UTF-8"},
		{"overlong UTF-8", "a = \"\xc0\xaf\";", "no valid UTF-8"},
		{"surrogate", "a = \"\xed\xa0\x80\";", "no valid UTF-8"},
		{"cut UTF-8 at the end", "# \xe2\x82", "no valid UTF-8"},
		{"bad UTF-8 by escape", "a = 1;\nb = \"\\xff\";", "t.conf:2: the string's escapes make no valid UTF-8"},
		{"NUL by escape", "b = \"x\\x00y\";", "would cut the string short"},
		{"byte order mark", "\xef\xbb\xbf" "a = 1;", "byte order mark"},
		{"duplicate name", "a = 1;\na = 2;", "t.conf:2: duplicate setting name"},
		{"syntax", "a = 1;\nb == 2;", "t.conf:2: syntax error"},
		{"mixed array", "a = [ 1, \"x\" ];", "t.conf:1: "},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf conf;
		struct fail fail = {0};
		int rc = conf_parse(&conf, rows[i].text, "t.conf", &fail);
		if (rc != -EINVAL || strstr(fail.text, rows[i].want) == NULL)
			fail_msg("%s: rc %d, \"%s\"", rows[i].name, rc, fail.text);
	}
	char deep[200] = "a = ";
	memset(deep + 4, '(', 100);
	struct conf conf;
	struct fail fail = {0};
	assert_int_equal(conf_parse(&conf, deep, "t.conf", &fail), -EINVAL);
	assert_non_null(strstr(fail.text, "nested deeper than 32"));
}

static void leaves_what_only_looks_wrong(void **state)
{
	struct conf conf;
	parse(&conf, "# 99999999999 @include ( \"\n// { \"\n/* [ \" 99999999999\n*/ a99999999999 = \"@include 99999999999 \\\" ( \\\\\";\n"
		     "b = 2147483647; c = -2147483648; d = 99999999999L; e = 010; f = .5; g = 1e3; h = 0x7fffffff; g2 = { x = 1, y = 2, };\n"
		     "s = \"two\nlines \xc3\xa9\";");
	assert_string_equal(conf_get(&conf.root, "a99999999999")->string, "@include 99999999999 \" ( \\");
	assert_int_equal(conf_get(&conf.root, "b")->integer, 2147483647);
	assert_int_equal(conf_get(&conf.root, "c")->integer, -2147483648LL);
	assert_int_equal(conf_get(&conf.root, "d")->integer, 99999999999LL);
	assert_int_equal(conf_get(&conf.root, "e")->integer, 10);
	assert_int_equal(conf_get(&conf.root, "g")->type, CONF_FLOAT);
	conf_done(&conf);
	parse(&conf, "");
	assert_int_equal(conf.root.n_children, 0);
	conf_done(&conf);
}

static void dump_of_a_dump_is_identical(void **state)
{
	struct conf first, second;
	parse(&first, "a = 1; b = [ 3000000000L, 4L ]; c = ( ); d = [ ]; e = ( 1, ( \"x\", { y = true; } ), { z = 0.1; } ); f = 2.0; g = 1e300;\n"
		      "s = \"q\\\" b\\\\ n\\n t\\t f\\f x\\x1b u\xc3\xa9\"; k = { l = { }; m = -7; }; big = -9000000000L; e2 = ( { a = 1; }, { a = 2; } );");
	char *one = dump(&first);
	parse(&second, one);
	char *two = dump(&second);
	assert_string_equal(one, two);
	assert_string_equal(conf_get(&second.root, "s")->string, conf_get(&first.root, "s")->string);
	assert_int_equal(conf_get(&second.root, "f")->type, CONF_FLOAT);
	assert_true(conf_get(&second.root, "big")->integer == -9000000000LL);
	free(one);
	free(two);
	conf_done(&first);
	conf_done(&second);
}

static void collects_mistakes_in_the_order_of_the_file(void **state)
{
	static const char *const keys[] = {"name", "capacity", "pools", "wait", NULL};
	struct conf conf;
	struct conf_errors errors = {0};
	parse(&conf, "nmae = \"x\";\ncapacity = -1;\nwait = 30;\nzzz = 1;\nwait2 = \"5 minutes\";\npools = [ 1,\n2 ];\nflag = \"true\";\nlate = \"2h\";\nempty = \"\";");
	const struct conf_node *root = &conf.root;
	assert_int_equal(conf_duration_ms(root, "late", CONF_OPTIONAL, (struct conf_limits){0, 3600000, 7}, &errors), 7);
	conf_known(root, keys, &errors);
	assert_null(conf_str(root, "name", CONF_REQUIRED, NULL, &errors));
	assert_int_equal(conf_int(root, "capacity", CONF_OPTIONAL, (struct conf_limits){0, 10, 3}, &errors), 3);
	assert_int_equal(conf_duration_ms(root, "wait", CONF_OPTIONAL, (struct conf_limits){0, 3600000, 7}, &errors), 7);
	assert_int_equal(conf_duration_ms(root, "wait2", CONF_OPTIONAL, (struct conf_limits){0, 3600000, 7}, &errors), 7);
	assert_true(conf_bool(root, "flag", CONF_OPTIONAL, true, &errors));
	assert_null(conf_str(root, "empty", CONF_REQUIRED, NULL, &errors));
	const char **pools;
	assert_int_equal(conf_str_list(root, "pools", CONF_REQUIRED, &pools, &errors), 0);
	assert_null(pools[0]);
	free(pools);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	conf_errors_print(&errors, out);
	(void)fclose(out);
	assert_string_equal(text,
		"t.conf:1: 'nmae' is not known here: did you mean 'name'?\n"
		"t.conf:1: 'name' is missing: it must be a string\n"
		"t.conf:2: 'capacity' must be from 0 to 10, not -1\n"
		"t.conf:3: 'wait' needs a unit, in quotes: \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\"\n"
		"t.conf:4: 'zzz' is not known here\n"
		"t.conf:5: 'wait2' is not known here: did you mean 'wait'?\n"
		"t.conf:5: 'wait2' must be a duration like \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\", not \"5 minutes\"\n"
		"t.conf:6: element 1 of 'pools' must be a string, not an integer\n"
		"t.conf:7: element 2 of 'pools' must be a string, not an integer\n"
		"t.conf:8: 'flag' is not known here\n"
		"t.conf:8: 'flag' must be a boolean, not a string\n"
		"t.conf:9: 'late' must be from 0ms to 1h, not 2h\n"
		"t.conf:9: 'late' is not known here\n"
		"t.conf:10: 'empty' is not known here\n"
		"t.conf:10: 'empty' must not be empty\n");
	free(text);
	conf_errors_done(&errors);
	for (size_t i = 0; i < CONF_ERRORS_MAX + 5; i++)
		conf_error(&errors, NULL, "mistake %zu", i);
	assert_int_equal(errors.n, CONF_ERRORS_MAX);
	assert_int_equal(errors.n_more, 5);
	conf_errors_done(&errors);
	conf_done(&conf);
}

static void a_missing_group_is_reported_once(void **state)
{
	struct conf conf;
	struct conf_errors errors = {0};
	parse(&conf, "a = 1;");
	const struct conf_node *group = conf_group(&conf.root, "g", CONF_REQUIRED, &errors);
	assert_null(conf_str(group, "s", CONF_REQUIRED, NULL, &errors));
	conf_known(group, (const char *const[]){NULL}, &errors);
	assert_int_equal(errors.n, 1);
	conf_errors_done(&errors);
	conf_done(&conf);
}

static void durations_and_sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		int64_t ms;
	} rows[] = {
		{"250ms", 0, 250}, {"30s", 0, 30000}, {"10m", 0, 600000}, {"2h", 0, 7200000}, {"1d", 0, 86400000}, {"0s", 0, 0},
		{"", -EINVAL, 0}, {"s", -EINVAL, 0}, {"5", -EINVAL, 0}, {"-5s", -EINVAL, 0}, {" 5s", -EINVAL, 0}, {"5 s", -EINVAL, 0},
		{"5sec", -EINVAL, 0}, {"1.5h", -EINVAL, 0}, {"99999999999999999999s", -ERANGE, 0}, {"9223372036854775807d", -ERANGE, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = 0;
		int rc = conf_parse_duration(rows[i].text, &ms);
		if (rc != rows[i].rc || ms != rows[i].ms)
			fail_msg("\"%s\": rc %d, %lld", rows[i].text, rc, (long long)ms);
	}
	int64_t bytes;
	char text[32];
	assert_int_equal(conf_parse_size("16M", &bytes), 0);
	assert_int_equal(bytes, 16 << 20);
	assert_int_equal(conf_parse_size("4096", &bytes), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(conf_parse_size("16MB", &bytes), -EINVAL);
	assert_string_equal(conf_format_duration(90000, text), "90s");
	assert_string_equal(conf_format_duration(3600000, text), "1h");
	assert_string_equal(conf_format_duration(172800000, text), "2d");
	assert_string_equal(conf_format_duration(1500, text), "1500ms");
	assert_string_equal(conf_format_duration(0, text), "0ms");
}

static void files_that_are_none(void **state)
{
	char dir[] = "/tmp/test_conf.XXXXXX", path[64];
	struct conf conf;
	struct fail fail = {0};
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(conf_load(&conf, dir, &fail), -EISDIR);
	assert_non_null(strstr(fail.text, "a directory, not a file"));
	assert_int_equal(conf_load(&conf, path, &fail), -ENOENT);
	assert_non_null(strstr(fail.text, "No such file"));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(conf_load(&conf, path, &fail), -EINVAL);
	assert_int_equal(unlink(path), 0);
	FILE *file = fopen(path, "w");
	(void)fwrite("a = 1;\0b", 1, 8, file);
	(void)fclose(file);
	assert_int_equal(conf_load(&conf, path, &fail), -EINVAL);
	assert_non_null(strstr(fail.text, "NUL byte at offset 6"));
	assert_int_equal(truncate(path, CONF_FILE_MAX + 1), 0);
	assert_int_equal(conf_load(&conf, path, &fail), -EFBIG);
	file = fopen(path, "w");
	(void)fputs("a = 1;", file);
	(void)fclose(file);
	assert_int_equal(conf_load(&conf, path, &fail), 0);
	assert_string_equal(conf.root.children[0].file, path);
	conf_done(&conf);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_type_with_its_line),
		cmocka_unit_test(refuses_text_with_place_and_reason),
		cmocka_unit_test(leaves_what_only_looks_wrong),
		cmocka_unit_test(dump_of_a_dump_is_identical),
		cmocka_unit_test(collects_mistakes_in_the_order_of_the_file),
		cmocka_unit_test(a_missing_group_is_reported_once),
		cmocka_unit_test(durations_and_sizes),
		cmocka_unit_test(files_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
