/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Strict typed reading and building of JSON; the only owner of json-c together with json.c. Parsing refuses what json-c
 * tolerates: trailing bytes, duplicate keys, invalid UTF-8, depth over 16, numbers out of int64.
 */

#include "fail.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A new object owned by the caller (json_object_put), or NULL. */
struct json_object *json_parse(const char *text, size_t len, struct fail *fail);

/* Getters: 0 and *out set; 1 = the key is absent or null, *out untouched; -EINVAL = wrong type or out of range, fail names the key. Borrowed. */
must_check int json_get_str(struct json_object *object, const char *key, const char **out, struct fail *fail);
must_check int json_get_int(struct json_object *object, const char *key, int64_t min, int64_t max, int64_t *out, struct fail *fail);
must_check int json_get_bool(struct json_object *object, const char *key, bool *out, struct fail *fail);
must_check int json_get_array(struct json_object *object, const char *key, struct json_object **out, struct fail *fail);
must_check int json_get_object(struct json_object *object, const char *key, struct json_object **out, struct fail *fail);
/* Every key must be in the NULL-terminated list; -EINVAL names the first that is not. */
must_check int json_known_keys(struct json_object *object, const char *const *keys, struct fail *fail);

/* Builders; text is made valid UTF-8 (bad bytes become U+FFFD). NULL text: the key is left out. */
void json_add_str(struct json_object *object, const char *key, const char *text);
void json_array_add_str(struct json_object *array, const char *text);
void json_add_int(struct json_object *object, const char *key, int64_t value);
void json_add_bool(struct json_object *object, const char *key, bool value);
void json_add(struct json_object *object, const char *key, struct json_object *value); /* consumes value */

/* A number for what it says, the same in whatever order keys stand; never 0. */
uint64_t json_digest(struct json_object *object);

/* One line without spaces, owned by the object. */
const char *json_text(struct json_object *object, size_t *len);

static inline void json_putp(struct json_object **object)
{
	if (*object != NULL)
		json_object_put(*object);
}
#define json_cleanup __attribute__((cleanup(json_putp)))
