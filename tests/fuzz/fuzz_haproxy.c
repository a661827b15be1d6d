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
	return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (parse_all(text, size) && size >= 3 && text[size - 3] != '\n') {
		text[size - 1] = '\0';
		if (parse_all(text, size - 1))
			abort();
	}
	free(text);
	return 0;
}
