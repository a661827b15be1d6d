/* SPDX-License-Identifier: MIT */
/*
 * json-c is kind to its input, also in its strict mode: single quotes, NaN, raw control characters, lone surrogates, keys that come
 * twice (the last wins), numbers cut to 64 bits, and a getter that prints any type as a string. Each is a way for two readers to
 * see two different requests. So a text is first held against RFC 8259 by a small recogniser that builds nothing;
 * only what passes goes to json-c, and the members are counted on both sides, which finds the keys that came twice.
 */
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

struct scan {
	const char *at, *end, *begin;
	const char *error; /* first thing wrong, NULL: none */
	size_t members;    /* of all objects */
	unsigned depth;
};

static bool scan_value(struct scan *scan);

static bool wrong(struct scan *scan, const char *error)
{
	if (scan->error == NULL)
		scan->error = error;
	return false;
}

static int peek(const struct scan *scan)
{
	return scan->at < scan->end ? (unsigned char)*scan->at : -1;
}

static bool take(struct scan *scan, char c)
{
	if (peek(scan) != (unsigned char)c)
		return false;
	scan->at++;
	return true;
}

static void skip_space(struct scan *scan)
{
	while (scan->at < scan->end && memchr(" \t\r\n", *scan->at, 4) != NULL)
		scan->at++;
}

/* Length of the valid UTF-8 sequence at text, 0: none (overlong, surrogate, above U+10FFFF, cut off). */
static size_t utf8_length(const char *text, size_t left)
{
	const unsigned char *s = (const unsigned char *)text;
	if (left == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || left < n)
		return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static bool scan_hex4(struct scan *scan, unsigned *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++) {
		int c = peek(scan);
		if (c < 0 || !isxdigit(c))
			return wrong(scan, "a \\u without four hex digits");
		*out = *out * 16 + (unsigned)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
		scan->at++;
	}
	return true;
}

static bool scan_escape(struct scan *scan)
{
	unsigned code, low;
	if (!take(scan, 'u')) {
		int c = peek(scan);
		if (c <= 0 || strchr("\"\\/bfnrt", c) == NULL)
			return wrong(scan, "an unknown escape");
		scan->at++;
		return true;
	}
	if (!scan_hex4(scan, &code))
		return false;
	if (code == 0)
		return wrong(scan, "a NUL character");
	if (code >= 0xdc00 && code <= 0xdfff)
		return wrong(scan, "a lone surrogate");
	if (code < 0xd800 || code > 0xdbff)
		return true;
	if (!take(scan, '\\') || !take(scan, 'u') || !scan_hex4(scan, &low) || low < 0xdc00 || low > 0xdfff)
		return wrong(scan, "a lone surrogate");
	return true;
}

static bool scan_string(struct scan *scan)
{
	if (!take(scan, '"'))
		return wrong(scan, "a string in double quotes is expected");
	while (scan->at < scan->end) {
		if (take(scan, '"'))
			return true;
		if (take(scan, '\\')) {
			if (!scan_escape(scan))
				return false;
			continue;
		}
		if ((unsigned char)*scan->at < 0x20)
			return wrong(scan, "a raw control character in a string");
		size_t n = utf8_length(scan->at, (size_t)(scan->end - scan->at));
		if (n == 0)
			return wrong(scan, "bytes that are no UTF-8");
		scan->at += n;
	}
	return wrong(scan, "a string without end");
}

static bool scan_digits(struct scan *scan)
{
	if (peek(scan) < 0 || !isdigit(peek(scan)))
		return wrong(scan, "a digit is expected");
	while (peek(scan) >= 0 && isdigit(peek(scan)))
		scan->at++;
	return true;
}

static bool number_fits(struct scan *scan, const char *begin, bool whole)
{
	char text[64];
	size_t n = (size_t)(scan->at - begin);
	if (n >= sizeof(text))
		return wrong(scan, "a number with too many digits");
	memcpy(text, begin, n);
	text[n] = '\0';
	errno = 0;
	if (whole)
		(void)strtoll(text, NULL, 10);
	if (errno == ERANGE || (!whole && !isfinite(strtod(text, NULL))))
		return wrong(scan, "a number out of range");
	return true;
}

static bool scan_number(struct scan *scan)
{
	const char *begin = scan->at;
	bool whole = true;
	(void)take(scan, '-');
	if (!take(scan, '0') && !scan_digits(scan))
		return false;
	if (take(scan, '.')) {
		whole = false;
		if (!scan_digits(scan))
			return false;
	}
	if (take(scan, 'e') || take(scan, 'E')) {
		whole = false;
		if (!take(scan, '+'))
			(void)take(scan, '-');
		if (!scan_digits(scan))
			return false;
	}
	return number_fits(scan, begin, whole);
}

static bool scan_word(struct scan *scan, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(scan->end - scan->at) < n || memcmp(scan->at, word, n) != 0)
		return wrong(scan, "a value is expected");
	scan->at += n;
	return true;
}

static bool scan_member(struct scan *scan)
{
	skip_space(scan);
	scan->members++;
	if (!scan_string(scan))
		return false;
	skip_space(scan);
	if (!take(scan, ':'))
		return wrong(scan, "a colon is expected");
	return scan_value(scan);
}

/* Objects and arrays differ in their items and their last character only. */
static bool scan_items(struct scan *scan, char last, bool (*item)(struct scan *))
{
	scan->at++;
	if (++scan->depth > DEPTH_MAX)
		return wrong(scan, "too deep");
	skip_space(scan);
	if (!take(scan, last)) {
		do {
			if (!item(scan))
				return false;
		} while (take(scan, ','));
		if (!take(scan, last))
			return wrong(scan, "a comma or the end of an object or array is expected");
	}
	scan->depth--;
	return true;
}

static bool scan_value(struct scan *scan)
{
	skip_space(scan);
	bool good;
	int c = peek(scan);
	if (c == '{')
		good = scan_items(scan, '}', scan_member);
	else if (c == '[')
		good = scan_items(scan, ']', scan_value);
	else if (c == '"')
		good = scan_string(scan);
	else if (c == '-' || (c >= 0 && isdigit(c)))
		good = scan_number(scan);
	else
		good = scan_word(scan, c == 't' ? "true" : c == 'f' ? "false" : "null");
	skip_space(scan);
	return good;
}

static size_t count_members(struct json_object *value)
{
	size_t n = 0;
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			n += count_members(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			n += 1 + count_members(member);
		}
	}
	return n;
}

struct json_object *json_parse(const char *text, size_t len, struct fail *fail)
{
	struct scan scan = { .at = text, .end = text + len, .begin = text };
	skip_space(&scan);
	if (peek(&scan) != '{' && peek(&scan) != '[')
		(void)wrong(&scan, "an object is expected");
	else if (scan_value(&scan) && scan.at != scan.end)
		(void)wrong(&scan, "something after the end");
	if (scan.error != NULL) {
		(void)fail_set(fail, -EINVAL, "not JSON at byte %td: %s", scan.at - text, scan.error);
		return NULL;
	}
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX + 2);
	if (tokener == NULL || len > INT32_MAX)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	json_cleanup struct json_object *value = json_tokener_parse_ex(tokener, text, (int)len);
	enum json_tokener_error error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (value == NULL) {
		(void)fail_set(fail, -EINVAL, "not JSON: %s", json_tokener_error_desc(error));
		return NULL;
	}
	if (count_members(value) != scan.members) {
		(void)fail_set(fail, -EINVAL, "a key is there twice in one object");
		return NULL;
	}
	return json_object_get(value);
}

/* 0 and *out; 1: absent or null; -EINVAL: another type. */
static int get_typed(struct json_object *object, const char *key, enum json_type type, const char *what, struct json_object **out, struct fail *fail)
{
	struct json_object *value = NULL;
	if (!json_object_object_get_ex(object, key, &value) || value == NULL)
		return 1;
	if (!json_object_is_type(value, type))
		return fail_set(fail, -EINVAL, "\"%s\" must be %s, not %s", key, what, json_type_to_name(json_object_get_type(value)));
	*out = value;
	return 0;
}

int json_get_str(struct json_object *object, const char *key, const char **out, struct fail *fail)
{
	struct json_object *value = NULL;
	int r = get_typed(object, key, json_type_string, "a string", &value, fail);
	if (r == 0)
		*out = json_object_get_string(value);
	return r;
}

int json_get_int(struct json_object *object, const char *key, int64_t min, int64_t max, int64_t *out, struct fail *fail)
{
	struct json_object *value = NULL;
	int r = get_typed(object, key, json_type_int, "a whole number", &value, fail);
	if (r != 0)
		return r;
	int64_t number = json_object_get_int64(value);
	if (number < min || number > max)
		return fail_set(fail, -EINVAL, "\"%s\" must be from %" PRId64 " to %" PRId64 ", not %" PRId64, key, min, max, number);
	*out = number;
	return 0;
}

int json_get_bool(struct json_object *object, const char *key, bool *out, struct fail *fail)
{
	struct json_object *value = NULL;
	int r = get_typed(object, key, json_type_boolean, "true or false", &value, fail);
	if (r == 0)
		*out = json_object_get_boolean(value);
	return r;
}

int json_get_array(struct json_object *object, const char *key, struct json_object **out, struct fail *fail)
{
	return get_typed(object, key, json_type_array, "an array", out, fail);
}

int json_get_object(struct json_object *object, const char *key, struct json_object **out, struct fail *fail)
{
	return get_typed(object, key, json_type_object, "an object", out, fail);
}

static bool is_listed(const char *key, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		if (strcmp(key, *keys) == 0)
			return true;
	return false;
}

int json_known_keys(struct json_object *object, const char *const *keys, struct fail *fail)
{
	if (!json_object_is_type(object, json_type_object))
		return 0;
	json_object_object_foreach(object, key, value)
	{
		(void)value;
		if (!is_listed(key, keys))
			return fail_set(fail, -EINVAL, "unknown key \"%.200s\"", key);
	}
	return 0;
}

void json_add(struct json_object *object, const char *key, struct json_object *value)
{
	if (json_object_object_add(object, key, value) != 0)
		abort();
}

/* Three bytes for each bad one is the worst case. */
static char *made_valid(const char *text)
{
	size_t left = strlen(text);
	char *copy = malloc(left * 3 + 1);
	if (copy == NULL)
		abort();
	char *to = copy;
	while (left > 0) {
		size_t n = utf8_length(text, left);
		memcpy(to, n ? text : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	*to = '\0';
	return copy;
}

static struct json_object *valid_string(const char *text)
{
	char *valid = made_valid(text);
	struct json_object *value = json_object_new_string(valid);
	free(valid);
	if (value == NULL)
		abort();
	return value;
}

void json_add_str(struct json_object *object, const char *key, const char *text)
{
	if (text != NULL)
		json_add(object, key, valid_string(text));
}

void json_array_add_str(struct json_object *array, const char *text)
{
	if (json_object_array_add(array, valid_string(text)) != 0)
		abort();
}

void json_add_int(struct json_object *object, const char *key, int64_t value)
{
	json_add(object, key, json_object_new_int64(value));
}

void json_add_bool(struct json_object *object, const char *key, bool value)
{
	json_add(object, key, json_object_new_boolean(value));
}

const char *json_text(struct json_object *object, size_t *len)
{
	size_t n = 0;
	const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
	if (text == NULL)
		abort();
	if (len != NULL)
		*len = n;
	return text;
}

/* FNV-1a */
static uint64_t digest_text(uint64_t digest, const char *text)
{
	for (; *text != '\0'; text++)
		digest = (digest ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return (digest ^ 0xff) * UINT64_C(1099511628211);
}

uint64_t json_digest(struct json_object *object)
{
	uint64_t digest = UINT64_C(14695981039346656037);
	if (json_object_is_type(object, json_type_object)) {
		digest = digest_text(digest, "{");
		json_object_object_foreach(object, key, value)
			digest += digest_text(json_digest(value), key);
	} else if (json_object_is_type(object, json_type_array)) {
		digest = digest_text(digest, "[");
		for (size_t i = 0; i < json_object_array_length(object); i++)
			digest = (digest ^ json_digest(json_object_array_get_idx(object, i))) * UINT64_C(1099511628211);
	} else {
		digest = digest_text(digest, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	}
	return digest != 0 ? digest : 1;
}
