/* SPDX-License-Identifier: MIT */
/* All parsers of HAProxy's words on any bytes. A text that one of them takes for whole must not be taken so when its end is missing. */
#include "daemon/io/haproxy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SERVERS = 8 };

static int parse_all(const char *text, size_t len)
{
	struct haproxy_server servers[SERVERS] = { { .name = "ox1" }, { .name = "ox2" } };
	unsigned pid, pids[4];
	uint64_t start_s;
	bool stopping;
	size_t n = 0;
	struct fail fail = { 0 };
	int whole = haproxy_parse_info(text, len, &pid, &start_s, &stopping, &fail) == 0;
	whole |= haproxy_parse_stat(text, len, "be_ox", servers, 2, &fail) == 0;
	whole |= haproxy_parse_state(text, len, "be_ox", servers, SERVERS, &n, &fail) == 0;
	whole |= haproxy_parse_proc(text, len, pids, 4, &n, &fail) == 0;
	(void)!haproxy_parse_old_stat(text, len, "be_ox", servers, 2, &fail);
	(void)!haproxy_parse_set_reply(text, len, &fail);
	(void)!haproxy_parse_shutdown(text, len, &pid, &fail);
	return whole;
}

/* In one piece, or in two: the same ids, and no line twice. */
static void sieve_all(const char *data, size_t len)
{
	char *whole = malloc(len + 1), *parts = malloc(len + 1), id[HAPROXY_SESS_MAX];
	struct fail fail = { 0 };
	if (whole != NULL && parts != NULL) {
		memcpy(whole, data, len);
		memcpy(parts, data, len);
		size_t n = haproxy_sieve_sess(whole, len, "be_ox", "ox1", 3), half = haproxy_sieve_sess(parts, len / 2, "be_ox", "ox1", 3);
		memmove(parts + half, data + len / 2, len - len / 2);
		size_t m = haproxy_sieve_sess(parts, half + len - len / 2, "be_ox", "ox1", 3);
		if (n > len || n != m || memcmp(whole, parts, n) != 0)
			abort();
		const char *rest = whole;
		while (haproxy_next_sess(&rest, &n, id, &fail) > 0)
			;
	}
	free(whole);
	free(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	sieve_all(text, size);
	if (parse_all(text, size) && size >= 3 && text[size - 3] != '\n') {
		text[size - 1] = '\0';
		if (parse_all(text, size - 1))
			abort();
	}
	free(text);
	return 0;
}
