/* SPDX-License-Identifier: MIT */
/*
 * Follows MariaDB's and MySQL's lexer as far as a `?` is concerned: '…' and "…" with doubled quotes and backslashes, `…`
 * with doubled backticks, "-- " (the blank is part of it), "#", and comments with stars, executable ones included. Two choices: a backslash
 * escapes (sql_mode NO_BACKSLASH_ESCAPES is not looked at: double the quote, that reads the same in both modes), and what is left
 * open runs to the end, so that it holds no placeholder.
 */
#include "sql_text.h"

#include "sql.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_quoted(const char *at)
{
	char quote = *at++;
	for (; *at != '\0'; at++) {
		if (*at == '\\' && quote != '`' && at[1] != '\0')
			at++;
		else if (*at == quote && at[1] == quote)
			at++;
		else if (*at == quote)
			return at + 1;
	}
	return at;
}

static const char *skip_line(const char *at)
{
	return at + strcspn(at, "\n");
}

static const char *skip_comment(const char *at)
{
	const char *end = strstr(at + 2, "*/");
	return end != NULL ? end + 2 : at + strlen(at);
}

static bool is_dash_comment(const char *at)
{
	return at[0] == '-' && at[1] == '-' && (unsigned char)at[2] <= ' ';
}

const char *sql_text_placeholder(const char *at)
{
	while (*at != '\0' && *at != '?') {
		if (*at == '\'' || *at == '"' || *at == '`')
			at = skip_quoted(at);
		else if (*at == '#' || is_dash_comment(at))
			at = skip_line(at);
		else if (at[0] == '/' && at[1] == '*')
			at = skip_comment(at);
		else
			at++;
	}
	return at;
}

size_t sql_placeholders(const char *statement)
{
	size_t n = 0;
	for (const char *at = sql_text_placeholder(statement); *at != '\0'; at = sql_text_placeholder(at + 1))
		n++;
	return n;
}

char *sql_tagged(const char *statement, const char *format, ...)
{
	char words[300], *text;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	for (char *c = words; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr(" _.:/=@-", *c) == NULL)
			*c = '_'; /* above all no star: the comment ends where we end it */
	if (asprintf(&text, "/* upgd %s */ %s", words, statement) < 0)
		abort();
	return text;
}
