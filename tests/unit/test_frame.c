/* SPDX-License-Identifier: MIT */
#include "proto/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds all of it in as many rounds as frame_space() needs. */
static int feed(struct frame *frame, const char *bytes, size_t n)
{
	while (n > 0) {
		char *space;
		size_t room;
		frame_space(frame, &space, &room);
		assert_true(room >= 4096);
		size_t part = n < room ? n : room;
		memcpy(space, bytes, part);
		int r = frame_fed(frame, part, NULL);
		if (r < 0)
			return r;
		bytes += part;
		n -= part;
	}
	return 0;
}

static void assert_next(struct frame *frame, const char *expected)
{
	size_t len = 0;
	char *message = frame_next(frame, &len);
	if (expected == NULL) {
		assert_null(message);
		return;
	}
	assert_non_null(message);
	assert_string_equal(message, expected);
	assert_int_equal(len, strlen(expected));
}

static void test_split_at_every_byte(void **state)
{
	(void)state;
	static const char bytes[] = "{\"a\":1}\0{}\0\0{\"b\":\"\xc3\xa4\"}"; /* the literal's own NUL ends the last */
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		struct frame frame;
		frame_init(&frame, 64);
		size_t found = 0;
		const char *parts[] = { bytes, bytes + cut };
		size_t sizes[] = { cut, sizeof(bytes) - cut };
		for (int i = 0; i < 2; i++) {
			assert_int_equal(feed(&frame, parts[i], sizes[i]), 0);
			size_t len;
			const char *expected[] = { "{\"a\":1}", "{}", "", "{\"b\":\"\xc3\xa4\"}" };
			for (char *message; (message = frame_next(&frame, &len)) != NULL; found++)
				assert_string_equal(message, expected[found]);
		}
		assert_int_equal(found, 4);
		frame_done(&frame);
	}
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	struct frame frame;
	frame_init(&frame, 64);
	static const char bytes[] = "one\0two";
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(feed(&frame, bytes + i, 1), 0);
		assert_next(&frame, i == 3 ? "one" : i == 7 ? "two" : NULL);
	}
	frame_done(&frame);
}

static void test_several_in_one_read(void **state)
{
	(void)state;
	struct frame frame;
	frame_init(&frame, 64);
	assert_int_equal(feed(&frame, "a\0b\0c\0d", 7), 0);
	assert_next(&frame, "a");
	assert_next(&frame, "b");
	assert_next(&frame, "c");
	assert_next(&frame, NULL);
	assert_int_equal(feed(&frame, "d\0", 2), 0);
	assert_next(&frame, "dd");
	frame_done(&frame);
}

static void test_megabyte_without_nul(void **state)
{
	(void)state;
	size_t n = 1 << 20;
	char *bytes = malloc(n);
	memset(bytes, 'x', n);
	struct frame frame;
	frame_init(&frame, FRAME_REQUEST_MAX);
	struct fail fail;
	assert_int_equal(feed(&frame, bytes, n), -EMSGSIZE);
	assert_true(frame.size <= 4 * FRAME_REQUEST_MAX); /* refused early, not after all of it */
	assert_int_equal(frame_fed(&frame, 0, &fail), -EMSGSIZE);
	assert_non_null(strstr(fail.text, "65536"));
	frame_done(&frame);
	free(bytes);
}

static void test_exactly_max(void **state)
{
	(void)state;
	struct frame frame;
	frame_init(&frame, 4);
	assert_int_equal(feed(&frame, "1234\0", 5), 0);
	assert_next(&frame, "1234");
	assert_int_equal(feed(&frame, "ok\00012345\0", 9), -EMSGSIZE);
	assert_next(&frame, "ok");
	assert_next(&frame, NULL);
	frame_done(&frame);
}

static void test_binary(void **state)
{
	(void)state;
	char bytes[256];
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)(255 - i); /* ends in NUL */
	struct frame frame;
	frame_init(&frame, 1000);
	assert_int_equal(feed(&frame, bytes, sizeof(bytes)), 0);
	size_t len;
	char *message = frame_next(&frame, &len);
	assert_int_equal(len, 255);
	assert_memory_equal(message, bytes, 256);
	frame_done(&frame);
}

static void test_big_buffer_is_given_back(void **state)
{
	(void)state;
	size_t n = 1 << 20;
	char *bytes = calloc(1, n + 1);
	memset(bytes, 'x', n);
	struct frame frame;
	frame_init(&frame, FRAME_REPLY_MAX);
	assert_int_equal(feed(&frame, bytes, n + 1), 0);
	size_t len;
	assert_non_null(frame_next(&frame, &len));
	assert_int_equal(len, n);
	assert_int_equal(feed(&frame, "a\0", 2), 0);
	assert_next(&frame, "a");
	assert_true(frame.size <= 64 << 10);
	frame_done(&frame);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_at_every_byte),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_several_in_one_read),
		cmocka_unit_test(test_megabyte_without_nul),
		cmocka_unit_test(test_exactly_max),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_big_buffer_is_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
