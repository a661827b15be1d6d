/* SPDX-License-Identifier: MIT */
/*
 * What comes over the control socket and from a runner: any bytes, cut into reads of any size, are the same messages; each is read as
 * JSON, checked as a request against its method, and shown as a reply by every renderer of upgctl.
 */
#include "ctl/render.h"
#include "proto/frame.h"
#include "proto/json.h"
#include "proto/methods.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *paper;

static void request_read(struct json_object *message)
{
	static const char ours[] = CONTROL_INTERFACE ".";
	const char *name = "";
	char bad[64];
	struct json_object *params = NULL;
	struct fail fail = { .text = "" };
	(void)!json_get_str(message, "method", &name, &fail);
	const struct method *method = strncmp(name, ours, sizeof(ours) - 1) == 0 ? method_find(name + sizeof(ours) - 1) : NULL;
	if (method != NULL && json_get_object(message, "parameters", &params, &fail) == 0)
		(void)!method_check(method, params, bad, &fail);
}

static void reply_read(struct json_object *message)
{
	static const char *const verbs[] = { "status", "list", "explain", "show", "log", "check", "plan", "history", "whoami", "pause" };
	struct json_object *params = NULL;
	struct fail fail = { .text = "" };
	if (json_get_object(message, "parameters", &params, &fail) != 0)
		return;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		render_for(&render_text, verbs[i])(paper, params);
}

static void message_read(const char *text, size_t len)
{
	struct fail fail = { .text = "" };
	json_cleanup struct json_object *message = json_parse(text, len, &fail);
	if (message == NULL || !json_object_is_type(message, json_type_object))
		return;
	size_t n;
	const char *again = json_text(message, &n);
	json_cleanup struct json_object *same = json_parse(again, n, &fail);
	if (same == NULL || json_digest(same) != json_digest(message))
		abort();
	request_read(message);
	reply_read(message);
}

/* The sum of all messages; in reads of at most `most` bytes. */
static uint64_t feed(const uint8_t *data, size_t size, size_t most, bool reads)
{
	struct frame frame;
	struct fail fail = { .text = "" };
	uint64_t sum = 14695981039346656037u;
	int err = 0;
	frame_init(&frame, 4096);
	while (size > 0 && err == 0) {
		char *space;
		size_t n, len;
		frame_space(&frame, &space, &n);
		n = n < size ? n : size;
		n = n < most ? n : most;
		memcpy(space, data, n);
		data += n;
		size -= n;
		err = frame_fed(&frame, n, &fail);
		for (char *text; (text = frame_next(&frame, &len)) != NULL;) {
			for (size_t i = 0; i <= len; i++)
				sum = (sum ^ (uint8_t)text[i]) * 1099511628211u;
			if (reads)
				message_read(text, len);
		}
	}
	frame_done(&frame);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (paper == NULL)
		paper = fopen("/dev/null", "we");
	if (paper == NULL || size < 1)
		return 0;
	uint64_t whole = feed(data + 1, size - 1, SIZE_MAX, true);
	if (feed(data + 1, size - 1, 1 + data[0], false) != whole)
		abort();
	return 0;
}
