/* SPDX-License-Identifier: MIT */
#include "proto/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_accepted(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{}", " { } ", "[]", "{\"a\":1,\"b\":[true,false,null,-0,1.5,2e3,\"x\"]}", "\t{\"a\"\n:\r{}}",
		"{\"a\":9223372036854775807,\"b\":-9223372036854775808}",
		"{\"\\ud83d\\ude00\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"}", "{\"\xc3\xa4\":\"\xf0\x9f\x98\x80\"}",
		"{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
		"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct fail fail = { 0 };
		json_cleanup struct json_object *object = json_parse(texts[i], strlen(texts[i]), &fail);
		if (object == NULL)
			fail_msg("refused: %s: %s", texts[i], fail.text);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "expected" },
		{ "x", "expected" },
		{ "1", "object" },
		{ "null", "object" },
		{ "{} x", "after the end" },
		{ "{}{}", "after the end" },
		{ "{\"a\":1", "comma" },
		{ "{\"a\":1,}", "string" },
		{ "[1,]", "value" },
		{ "{\"a\" 1}", "colon" },
		{ "{a:1}", "string" },
		{ "{'a':1}", "string" },
		{ "{\"a\":'b'}", "value" },
		{ "{\"a\":NaN}", "value" },
		{ "{\"a\":Infinity}", "value" },
		{ "{\"a\":-Infinity}", "digit" },
		{ "{\"a\":True}", "value" },
		{ "{\"a\":01}", "comma" },
		{ "{\"a\":1.}", "digit" },
		{ "{\"a\":.5}", "value" },
		{ "{\"a\":+1}", "value" },
		{ "{\"a\":1e}", "digit" },
		{ "{\"a\":0x10}", "comma" },
		{ "{\"a\":\"x\ny\"}", "control" },
		{ "{\"a\":\"x", "without end" },
		{ "{\"a\":\"\\x41\"}", "escape" },
		{ "{\"a\":\"\\u12\"}", "hex" },
		{ "{\"a\":\"\\u0000\"}", "NUL" },
		{ "{\"a\":\"\\ud83d\"}", "surrogate" },
		{ "{\"a\":\"\\ude00\"}", "surrogate" },
		{ "{\"a\":\"\\ud83d\\u0041\"}", "surrogate" },
		{ "{\"a\":\"\xff\"}", "UTF-8" },
		{ "{\"a\":\"\xc0\xaf\"}", "UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "UTF-8" },
		{ "{\"a\":\"\xf5\x80\x80\x80\"}", "UTF-8" },
		{ "{\"a\":\"\xc3", "UTF-8" },
		{ "{\"a\":1,\"a\":2}", "twice" },
		{ "{\"a\":1,\"\\u0061\":2}", "twice" },
		{ "{\"x\":[{\"a\":{\"b\":1},\"a\":{\"b\":2}}]}", "twice" },
		{ "{\"a\":9223372036854775808}", "range" },
		{ "{\"a\":-9223372036854775809}", "range" },
		{ "{\"a\":1e999}", "range" },
		{ "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "deep" },
		{ "{}/**/", "after the end" },
		{ "{\"a\":1}\v", "after the end" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fail fail = { 0 };
		json_cleanup struct json_object *object = json_parse(rows[i].text, strlen(rows[i].text), &fail);
		if (object != NULL)
			fail_msg("accepted: %s", rows[i].text);
		if (strstr(fail.text, rows[i].why) == NULL)
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, fail.text, rows[i].why);
	}
}

/* Exact buffers, so that the sanitizer sees any read past the end; a NUL inside is refused. */
static void test_reads_no_further_than_told(void **state)
{
	(void)state;
	static const char text[] = "{\"a\":[1,\"\xc3\xa4\\u00e4\",true]}";
	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n ? n : 1);
		memcpy(exact, text, n);
		json_cleanup struct json_object *object = json_parse(exact, n, NULL);
		assert_int_equal(object != NULL, n == sizeof(text) - 1);
		free(exact);
	}
	assert_null(json_parse("{}\0", 3, NULL));
	assert_null(json_parse("{\"a\0b\":1}", 9, NULL));
}

static void test_many_depths(void **state)
{
	(void)state;
	size_t n = 60000;
	char *text = malloc(n);
	memset(text, '[', n);
	struct fail fail = { 0 };
	assert_null(json_parse(text, n, &fail));
	assert_non_null(strstr(fail.text, "deep"));
	free(text);
}

static void test_getters(void **state)
{
	(void)state;
	static const char text[] = "{\"s\":\"x\",\"i\":7,\"b\":true,\"a\":[1],\"o\":{\"k\":1},\"n\":null,\"d\":1.5}";
	json_cleanup struct json_object *object = json_parse(text, sizeof(text) - 1, NULL);
	struct fail fail;
	const char *string = "untouched";
	int64_t number = 42;
	bool flag = false;
	struct json_object *part = NULL;

	assert_int_equal(json_get_str(object, "none", &string, &fail), 1);
	assert_int_equal(json_get_str(object, "n", &string, &fail), 1);
	assert_string_equal(string, "untouched");
	assert_int_equal(json_get_str(object, "i", &string, &fail), -EINVAL);
	assert_string_equal(fail.text, "\"i\" must be a string, not int");
	assert_int_equal(json_get_str(object, "s", &string, &fail), 0);
	assert_string_equal(string, "x");

	assert_int_equal(json_get_int(object, "s", 0, 9, &number, &fail), -EINVAL);
	assert_int_equal(json_get_int(object, "d", 0, 9, &number, &fail), -EINVAL);
	assert_int_equal(json_get_int(object, "b", 0, 9, &number, &fail), -EINVAL);
	assert_int_equal(json_get_int(object, "i", 8, 9, &number, &fail), -EINVAL);
	assert_string_equal(fail.text, "\"i\" must be from 8 to 9, not 7");
	assert_int_equal(number, 42);
	assert_int_equal(json_get_int(object, "i", 7, 7, &number, &fail), 0);
	assert_int_equal(number, 7);

	assert_int_equal(json_get_bool(object, "i", &flag, &fail), -EINVAL);
	assert_int_equal(json_get_bool(object, "b", &flag, &fail), 0);
	assert_true(flag);
	assert_int_equal(json_get_array(object, "o", &part, &fail), -EINVAL);
	assert_int_equal(json_get_array(object, "a", &part, &fail), 0);
	assert_int_equal(json_get_object(object, "a", &part, &fail), -EINVAL);
	assert_int_equal(json_get_object(object, "o", &part, &fail), 0);

	static const char *const some[] = { "k", NULL }, *const none[] = { NULL };
	assert_int_equal(json_known_keys(part, some, &fail), 0);
	assert_int_equal(json_known_keys(part, none, &fail), -EINVAL);
	assert_string_equal(fail.text, "unknown key \"k\"");
}

static void test_build(void **state)
{
	(void)state;
	json_cleanup struct json_object *object = json_object_new_object();
	json_add_str(object, "s", "a\xff/\"\n\xc3\xa4\xe2\x82");
	json_add_str(object, "left out", NULL);
	json_add_int(object, "i", INT64_MIN);
	json_add_bool(object, "b", false);
	json_add(object, "n", NULL);
	size_t len;
	const char *text = json_text(object, &len);
	assert_string_equal(text,
		"{\"s\":\"a\xef\xbf\xbd/\\\"\\n\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\",\"i\":-9223372036854775808,\"b\":false,\"n\":null}");
	assert_int_equal(len, strlen(text));
	json_cleanup struct json_object *again = json_parse(text, len, NULL);
	assert_non_null(again);
}

static uint64_t digest(const char *text)
{
	json_cleanup struct json_object *object = json_parse(text, strlen(text), NULL);
	assert_non_null(object);
	return json_digest(object);
}

static void test_digest(void **state)
{
	(void)state;
	static const char *const differ[] = { "{}", "[]", "{\"a\":{}}", "{\"a\":1}", "{\"a\":\"1\"}", "{\"a\":null}", "{\"a\":[1,2]}", "{\"a\":[2,1]}",
		"{\"a\":[[1],2]}", "{\"a\":\"b\",\"c\":\"d\"}", "{\"a\":\"d\",\"c\":\"b\"}", "{\"ab\":\"\"}", "{\"a\":\"b\"}" };
	enum { N = sizeof(differ) / sizeof(differ[0]) };
	assert_int_equal(digest("{\"a\":{\"x\":1,\"y\":2},\"b\":3}"), digest("{\"b\":3, \"a\":{\"y\":2,\"x\":1}}"));
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			if (digest(differ[i]) == digest(differ[k]))
				fail_msg("%s and %s", differ[i], differ[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reads_no_further_than_told),
		cmocka_unit_test(test_many_depths),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_digest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
