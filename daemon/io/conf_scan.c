/* SPDX-License-Identifier: MIT */
/*
 * libconfig 1.5 reads `a = 99999999999` as 1215752191 without a word, accepts bytes that are no UTF-8, includes files, and calls
 * every mistake "syntax error", at the line where it noticed: for a lost quote, the last one of the file. This scan walks the text with
 * libconfig's own token rules (names, numbers, strings, three kinds of comments) and knows just enough to refuse those.
 * What it lets through, libconfig still judges.
 */
#include "conf_scan.h"

#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct scan {
	const char *at;
	const char *name;
	unsigned line;
	struct {
		char bracket;
		unsigned line;
	} open[CONF_DEPTH_MAX];
	size_t depth;
	bool comma; /* the last token was one */
	struct fail *fail;
};


static int printf_like(3, 4) refuse(struct scan *scan, unsigned line, const char *format, ...)
{
	char text[320];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail_set(scan->fail, -EINVAL, "%s:%u: %s", scan->name, line, text);
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t conf_utf8_length(const char *text)
{
	unsigned char first = (unsigned char)text[0], second = (unsigned char)text[first ? 1 : 0];
	size_t n = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < n; i++) /* stops at a NUL, which is no continuation */
		if (!is_continuation(text[i]))
			return 0;
	bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
	bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
	return overlong || outside ? 0 : n;
}

bool conf_utf8_valid(const char *text)
{
	while (*text) {
		size_t n = conf_utf8_length(text);
		if (n == 0)
			return false;
		text += n;
	}
	return true;
}

static int scan_encoding(struct scan *scan, const char *text)
{
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		return refuse(scan, 1, "begins with a byte order mark: save it as plain UTF-8");
	unsigned line = 1;
	for (const char *p = text; *p;) {
		size_t n = conf_utf8_length(p);
		if (n == 0)
			return refuse(scan, line, "byte 0x%02x is no valid UTF-8", (unsigned char)*p);
		if (*p == '\n')
			line++;
		p += n;
	}
	return 0;
}

static int scan_string(struct scan *scan)
{
	unsigned begin = scan->line;
	for (scan->at++; *scan->at != '"'; scan->at++) {
		if (*scan->at == '\\' && scan->at[1] != '\0')
			scan->at++;
		if (*scan->at == '\n')
			scan->line++;
		if (strncmp(scan->at, "x00", 3) == 0 && scan->at[-1] == '\\')
			return refuse(scan, scan->line, "\\x00 would cut the string short");
		if (*scan->at == '\0')
			return refuse(scan, begin, "the string that begins here has no closing quote");
	}
	scan->at++;
	return 0;
}

/* At a '#' or '/': skips the comment, or the one byte if it is none. */
static int scan_comment(struct scan *scan)
{
	if (scan->at[0] == '#' || scan->at[1] == '/') {
		scan->at += strcspn(scan->at, "\n");
		return 0;
	}
	if (scan->at[1] != '*') {
		scan->at++;
		return 0;
	}
	unsigned begin = scan->line;
	for (scan->at += 2; strncmp(scan->at, "*/", 2) != 0; scan->at++) {
		if (*scan->at == '\0')
			return refuse(scan, begin, "the comment that begins here has no end");
		if (*scan->at == '\n')
			scan->line++;
	}
	scan->at += 2;
	return 0;
}

static int scan_number(struct scan *scan)
{
	const char *begin = scan->at;
	const char *digits = begin + (*begin == '-' || *begin == '+');
	bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
	char *end;
	errno = 0;
	/* Hex is unsigned in libconfig; what does not fit int64 is refused as well. Base 10: 010 is ten there, so it is here. */
	long long value = strtoll(begin, &end, hex ? 16 : 10);
	bool overflow = errno == ERANGE;
	if (end == begin) { /* a lone sign, or .5 */
		scan->at = digits + strspn(digits, "0123456789.");
		scan->at += scan->at == begin;
		return 0;
	}
	int length = (int)(end - begin);
	if (!hex && (*end == '.' || (*end | 0x20) == 'e')) {
		double real = strtod(begin, &end);
		scan->at = end;
		if (real > 1e300 || real < -1e300)
			return refuse(scan, scan->line, "number %.*s is out of range", (int)(end - begin), begin);
		return 0;
	}
	bool is_long = *end == 'L';
	scan->at = end + strspn(end, "L");
	if (overflow)
		return refuse(scan, scan->line, "number %.*s does not fit 64 bits", length > 40 ? 40 : length, begin);
	if (!is_long && (value > INT_MAX || value < INT_MIN))
		return refuse(scan, scan->line, "number %.*s needs an L at its end: %.*sL (without it, it would silently wrap)", length, begin, length, begin);
	return 0;
}

static int scan_close(struct scan *scan)
{
	char close = *scan->at++, open = close == ')' ? '(' : close == ']' ? '[' : '{';
	if (scan->depth == 0)
		return refuse(scan, scan->line, "'%c' closes nothing", close);
	scan->depth--;
	if (scan->open[scan->depth].bracket != open)
		return refuse(scan, scan->line, "'%c' does not close the '%c' of line %u", close, scan->open[scan->depth].bracket, scan->open[scan->depth].line);
	if (scan->comma && close != '}')
		return refuse(scan, scan->line, "a comma right before '%c': remove it, commas stand between elements only", close);
	scan->comma = false;
	return 0;
}

static int scan_open(struct scan *scan)
{
	if (scan->depth == CONF_DEPTH_MAX)
		return refuse(scan, scan->line, "nested deeper than %d levels", CONF_DEPTH_MAX);
	scan->open[scan->depth].bracket = *scan->at++;
	scan->open[scan->depth++].line = scan->line;
	return 0;
}

static int scan_token(struct scan *scan)
{
	char c = *scan->at;
	if (c == '\n' || isspace((unsigned char)c)) {
		scan->line += c == '\n';
		scan->at++;
		return 0;
	}
	if (c == '#' || c == '/')
		return scan_comment(scan);
	if (strchr(")]}", c))
		return scan_close(scan);
	scan->comma = c == ',';
	if (strchr("([{", c))
		return scan_open(scan);
	if (c == '"')
		return scan_string(scan);
	if (c == '@')
		return refuse(scan, scan->line, "@include is not supported: keep everything in one file");
	if (isdigit((unsigned char)c) || strchr("+-.", c))
		return scan_number(scan);
	if (isalpha((unsigned char)c) || c == '*') {
		while (isalnum((unsigned char)*scan->at) || (*scan->at && strchr("-_*", *scan->at)))
			scan->at++;
		return 0;
	}
	scan->at++;
	return 0;
}

int conf_scan(const char *text, const char *name, struct fail *fail)
{
	struct scan scan = {.at = text, .name = name, .line = 1, .fail = fail};
	int rc = scan_encoding(&scan, text);
	while (rc == 0 && *scan.at)
		rc = scan_token(&scan);
	if (rc == 0 && scan.depth > 0)
		return refuse(&scan, scan.open[scan.depth - 1].line, "the '%c' opened here is never closed", scan.open[scan.depth - 1].bracket);
	return rc;
}
