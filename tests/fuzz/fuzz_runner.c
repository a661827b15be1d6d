/* SPDX-License-Identifier: MIT */
/* What a runner answers to upgd, any bytes: two requests wait, and no word of the far side makes more of them than an end each. */
#include "daemon/io/runner.c"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ended;

static void on_end(void *arg, const struct runner_result *result)
{
	ended++;
	if (result->out_len != strlen(result->out) || result->exit_code < -1 || result->exit_code > 255 || result->signal < 0)
		abort();
	if (result->state != RUNNER_EXITED && result->error == NULL)
		abort();
}

static void feed(struct runner *runner, const uint8_t *data, size_t size)
{
	struct fail fail = { .text = "" };
	int err = 0;
	while (size > 0 && err == 0) {
		char *space;
		size_t n, len;
		frame_space(&runner->frame, &space, &n);
		n = n < size ? n : size;
		memcpy(space, data, n);
		data += n;
		size -= n;
		err = frame_fed(&runner->frame, n, &fail);
		for (char *text; err == 0 && (text = frame_next(&runner->frame, &len)) != NULL;)
			err = on_message(runner, text, len, &fail);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const argv[] = { "true", NULL };
	static const struct runner_place place = { .name = "ox1", .argv = argv };
	static struct loop *loop;
	struct fail fail = { .text = "" };
	if (loop == NULL)
		loop = loop_new(&fail);
	struct runner *runner = loop != NULL ? runner_new(loop, &place, &fail) : NULL;
	if (runner == NULL)
		abort();
	const struct runner_task task = { .id = "a", .argv = argv };
	const struct runner_edit edit = { .id = "b", .file = "/etc/x", .prefix = "a=", .value = "1" };
	ended = 0;
	(void)runner_start(runner, &task, 0, on_end, NULL);
	(void)runner_edit(runner, &edit, 0, on_end, NULL);
	runner->channel = READY; /* the loop does not run: nothing is opened */
	feed(runner, data, size);
	while (runner->done != NULL)
		on_deliver(runner);
	if (ended > 2)
		abort();
	runner->channel = CLOSED;
	runner_free(runner);
	return 0;
}
