/* SPDX-License-Identifier: MIT */
#include "failpoint.h"

#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = { "before_commit", "after_commit", "after_send", "after_reply", "before_ack" };

static struct {
	unsigned count; /* 0: none is armed */
	enum failpoint point;
	const char *glob;
} armed;
static atomic_uint_fast64_t commit_seq; /* of the record to die at; 0: none */
static bool written;                   /* of the writer: that record is in the transaction */

static void refuse(const char *text)
{
	(void)fprintf(stderr, "UPGD_FAILPOINT=\"%s\": should be \"COUNT POINT GLOB\"\n", text);
	exit(2);
}

/* Before main(): whichever thread comes first finds it armed. */
__attribute__((constructor)) static void failpoint_arm(void)
{
	const char *text = getenv("UPGD_FAILPOINT");
	char point[20];
	int end = 0;
	if (text == NULL || text[0] == '\0')
		return;
	if (sscanf(text, "%u %19[a-z_] %n", &armed.count, point, &end) != 2 || end == 0 || text[end] == '\0' || armed.count == 0)
		refuse(text);
	armed.glob = text + end;
	for (armed.point = 0; strcmp(words[armed.point], point) != 0; armed.point++)
		if (armed.point == FAILPOINT_BEFORE_ACK)
			refuse(text);
}

static void die(enum failpoint point)
{
	(void)fprintf(stderr, "failpoint: killed at %s %s\n", words[point], armed.glob);
	(void)raise(SIGKILL);
}

static bool is_hit(enum failpoint point, const char *name)
{
	if (armed.count == 0 || armed.point != point || fnmatch(armed.glob, name, 0) != 0)
		return false;
	return --armed.count == 0;
}

void failpoint(enum failpoint point, const char *format, ...)
{
	char name[512];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	if (is_hit(point, name))
		die(point);
}

void failpoint_record(uint64_t seq, const char *name)
{
	if (is_hit(FAILPOINT_BEFORE_COMMIT, name) || is_hit(FAILPOINT_AFTER_COMMIT, name))
		atomic_store(&commit_seq, seq);
}

void failpoint_written(uint64_t seq)
{
	written |= seq == atomic_load(&commit_seq);
	if (written && armed.point == FAILPOINT_BEFORE_COMMIT)
		die(FAILPOINT_BEFORE_COMMIT);
}

void failpoint_committed(void)
{
	if (written)
		die(FAILPOINT_AFTER_COMMIT);
}

void failpoint_sent(const char *messages, size_t len)
{
	for (const char *at = messages, *end = messages + len; at < end; at += strnlen(at, (size_t)(end - at)) + 1)
		if (memchr(at, '\0', (size_t)(end - at)) != NULL && is_hit(FAILPOINT_AFTER_SEND, at))
			die(FAILPOINT_AFTER_SEND);
}
