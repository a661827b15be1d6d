/* SPDX-License-Identifier: MIT */
#include "template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 100 };

struct builder {
	char *text;
	size_t len, size;
};

static void add(struct builder *b, const char *text, size_t len)
{
	if (b->len + len + 1 > b->size) {
		b->size = (b->len + len + 1) * 2;
		b->text = realloc(b->text, b->size);
		if (b->text == NULL)
			abort();
	}
	memcpy(b->text + b->len, text, len);
	b->len += len;
	b->text[b->len] = '\0';
}

static void add_quoted(struct builder *b, const char *text, enum template_quote quote)
{
	if (quote == TEMPLATE_PLAIN) {
		add(b, text, strlen(text));
		return;
	}
	for (; *text != '\0'; text++) {
		if (strchr("\\^$.|?*+()[]{}", *text) != NULL)
			add(b, "\\", 1);
		add(b, text, 1);
	}
}

/* At "${": the name into buf; returns the place after "}", NULL if it does not end or is no name. */
static const char *name_at(const char *at, char *buf, size_t size)
{
	size_t n = strspn(at + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	if (n == 0 || n >= size || at[2 + n] != '}')
		return NULL;
	memcpy(buf, at + 2, n);
	buf[n] = '\0';
	return at + 2 + n + 1;
}

static int bad_braces(struct fail *fail, const char *at)
{
	return fail_set(fail, -EINVAL, "\"%.40s\": expected ${name}; a plain ${ is written $${", at);
}

char *template_bind(const char *text, enum template_quote quote, template_lookup_fn *fn, void *arg, struct fail *fail)
{
	struct builder b = { 0 };
	add(&b, "", 0);
	while (*text != '\0') {
		const char *dollar = strstr(text, "${");
		if (dollar == NULL) {
			add(&b, text, strlen(text));
			break;
		}
		if (dollar > text && dollar[-1] == '$') {
			add(&b, text, (size_t)(dollar - 1 - text));
			add(&b, "${", 2);
			text = dollar + 2;
			continue;
		}
		add(&b, text, (size_t)(dollar - text));
		char name[NAME_MAX_LEN];
		const char *after = name_at(dollar, name, sizeof(name));
		const char *value;
		if (after == NULL) {
			(void)bad_braces(fail, dollar);
			free(b.text);
			return NULL;
		}
		if (strncmp(name, "secret.", 7) == 0) {
			add(&b, dollar, (size_t)(after - dollar));
		} else if (fn(arg, name, &value, fail) != 0) {
			free(b.text);
			return NULL;
		} else {
			add_quoted(&b, value, quote);
		}
		text = after;
	}
	return b.text;
}

int template_names(const char *text, int (*fn)(void *arg, const char *name), void *arg, struct fail *fail)
{
	const char *dollar;
	while ((dollar = strstr(text, "${")) != NULL) {
		char name[NAME_MAX_LEN];
		if (dollar > text && dollar[-1] == '$') {
			text = dollar + 2;
			continue;
		}
		const char *after = name_at(dollar, name, sizeof(name));
		if (after == NULL)
			return bad_braces(fail, dollar);
		int rc = fn(arg, name);
		if (rc != 0)
			return rc;
		text = after;
	}
	return 0;
}
