/* SPDX-License-Identifier: MIT */
/*
 * Values come from other machines (server names, task output, user input): a line is built whole, control characters are escaped,
 * C1 ones too since terminals obey them, and it leaves in one write, so that nobody can forge a line or tear one.
 *
 * Who reads the log may stop (a pipe to a pager, a journal daemon that hangs) with tenants down: nobody waits for them. What does not fit is
 * lost, counted, and said when there is room. poll() tells: a line is not longer than what a pipe with room takes at once.
 */
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert((int)LOG_LINE_MAX <= PIPE_BUF, "a line leaves whole");

static enum log_level level_most = LOG_AT_INFO;
static atomic_uint lost; /* lines that nobody took, since the last one that somebody did */

static const char *const level_names[] = {
	[LOG_AT_ERR] = "err", [LOG_AT_WARNING] = "warning", [LOG_AT_NOTICE] = "notice", [LOG_AT_INFO] = "info", [LOG_AT_DEBUG] = "debug",
};

void log_setup(enum log_level most)
{
	level_most = most;
}

int log_level_parse(const char *name, enum log_level *out_level)
{
	for (int level = LOG_AT_ERR; level <= LOG_AT_DEBUG; level++)
		if (strcmp(name, level_names[level]) == 0) {
			*out_level = (enum log_level)level;
			return 0;
		}
	return -EINVAL;
}

struct line {
	char *text;
	size_t n;
	bool cut;
};

/* The last bytes are kept free for "...", and the newline. */
static void put(struct line *line, const char *bytes, size_t n)
{
	if (line->cut || line->n + n > LOG_LINE_MAX - 8) {
		line->cut = true;
		return;
	}
	memcpy(line->text + line->n, bytes, n);
	line->n += n;
}

static void put_escaped(struct line *line, const char *text, bool quoted)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)text[0];
		bool c1 = c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0;
		char escape[8];
		if (c == '\n')
			put(line, "\\n", 2);
		else if (c < 0x20 || c == 0x7f || c1)
			put(line, escape, (size_t)snprintf(escape, sizeof(escape), "\\x%02x", c));
		else if (quoted && (c == '"' || c == '\\'))
			put(line, (char[]){'\\', (char)c}, 2);
		else
			put(line, text, 1);
	}
}

static void put_field(struct line *line, const struct log_field *field)
{
	bool quoted = field->value[0] == '\0' || strpbrk(field->value, " \"=\\\n\t") != NULL;
	put(line, " ", 1);
	put_escaped(line, field->key, false);
	put(line, quoted ? "=\"" : "=", quoted ? 2 : 1);
	put_escaped(line, field->value, quoted);
	if (quoted)
		put(line, "\"", 1);
}

size_t log_format(char out[static LOG_LINE_MAX], enum log_form form, const char *when, enum log_level level, const char *text, const struct log_field *fields)
{
	char head[64];
	struct line line = {.text = out};
	int n = form == LOG_SYSTEMD ? snprintf(head, sizeof(head), "<%d>", (int)level) : snprintf(head, sizeof(head), "%.40s %s: ", when, level_names[level]);
	put(&line, head, (size_t)n);
	put_escaped(&line, text, false);
	for (; fields != NULL && fields->key != NULL; fields++)
		if (fields->value != NULL)
			put_field(&line, fields);
	if (line.cut) {
		memcpy(out + line.n, "...", 3);
		line.n += 3;
	}
	out[line.n++] = '\n';
	out[line.n] = '\0';
	return line.n;
}

/* Both variables are inherited by whatever a service starts, a person's terminal included. */
static enum log_form form_now(void)
{
	bool systemd = getenv("JOURNAL_STREAM") != NULL || getenv("INVOCATION_ID") != NULL;
	return systemd && !isatty(STDERR_FILENO) ? LOG_SYSTEMD : LOG_PLAIN;
}

static bool has_room(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	return poll(&out, 1, 0) > 0 && (out.revents & POLLOUT) != 0;
}

static void put_out(const char *line, size_t n)
{
	ssize_t written = write(STDERR_FILENO, line, n);
	(void)written; /* nowhere to complain */
}

static void say_lost(const char *stamp)
{
	char text[80], line[LOG_LINE_MAX];
	unsigned n = has_room() ? atomic_exchange(&lost, 0) : 0;
	if (n == 0)
		return;
	(void)snprintf(text, sizeof(text), "%u lines are missing here: nobody took them", n);
	put_out(line, log_format(line, form_now(), stamp, LOG_AT_WARNING, text, NULL));
}

static void say(enum log_level level, const struct log_field *fields, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

static void say(enum log_level level, const struct log_field *fields, const char *format, va_list args)
{
	if (level > level_most)
		return;
	int saved = errno;
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX], when[32], stamp[64];
	struct timespec now;
	struct tm broken;
	(void)vsnprintf(text, sizeof(text), format, args);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&now.tv_sec, &broken));
	(void)snprintf(stamp, sizeof(stamp), "%s.%03ld", when, now.tv_nsec / 1000000);
	say_lost(stamp);
	size_t n = log_format(line, form_now(), stamp, level, text, fields);
	if (has_room())
		put_out(line, n);
	else
		atomic_fetch_add(&lost, 1);
	errno = saved;
}

void log_say(enum log_level level, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(level, NULL, format, args);
	va_end(args);
}

void log_with(enum log_level level, const struct log_field *fields, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(level, fields, format, args);
	va_end(args);
}
