/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct json_object *contexts, *logins, *schemata, *sessions;

/* Takes the lock, makes the maps at first use. */
static void enter(void)
{
	pthread_mutex_lock(&lock);
	if (contexts != NULL)
		return;
	contexts = json_object_new_object();
	logins = json_object_new_object();
	schemata = json_object_new_object();
	sessions = json_object_new_object();
}

static void leave(void)
{
	pthread_mutex_unlock(&lock);
}

static const char *cid_key(char key[16], int cid)
{
	snprintf(key, 16, "%d", cid);
	return key;
}

static int map_number(struct json_object *map, const char *key)
{
	int64_t n = 0;
	struct fail fail;
	return json_get_int(map, key, 0, INT32_MAX, &n, &fail) == 0 ? (int)n : 0;
}

bool cache_context(int cid, struct context *out)
{
	char key[16];
	struct json_object *found = NULL;
	const char *schema = "";
	struct fail fail;
	enter();
	bool hit = json_object_object_get_ex(contexts, cid_key(key, cid), &found);
	if (hit && json_get_str(found, "schema", &schema, &fail) == 0) {
		*out = (struct context){.cid = cid, .pool = map_number(found, "pool"), .enabled = map_number(found, "enabled") == 1};
		snprintf(out->schema, sizeof(out->schema), "%s", schema);
	}
	leave();
	return hit;
}

void cache_context_put(const struct context *context)
{
	char key[16];
	struct json_object *entry = json_object_new_object();
	json_add_str(entry, "schema", context->schema);
	json_add_int(entry, "pool", context->pool);
	json_add_int(entry, "enabled", context->enabled);
	enter();
	json_add(contexts, cid_key(key, context->cid), entry);
	leave();
}

int cache_login(const char *login)
{
	enter();
	int cid = map_number(logins, login);
	leave();
	return cid;
}

void cache_login_put(const char *login, int cid)
{
	enter();
	json_add_int(logins, login, cid);
	leave();
}

static bool has(struct json_object *cids, int64_t cid)
{
	for (size_t i = 0; i < json_object_array_length(cids); i++)
		if (json_object_get_int64(json_object_array_get_idx(cids, i)) == cid)
			return true;
	return false;
}

/* Removes the entries of a map of numbers whose value is in cids. */
static void drop_values(struct json_object *map, struct json_object *cids)
{
	struct json_object_iter at;
	struct json_object *doomed = json_object_new_array();
	json_object_object_foreachC(map, at)
		if (has(cids, json_object_get_int64(at.val)))
			json_object_array_add(doomed, json_object_new_string(at.key));
	for (size_t i = 0; i < json_object_array_length(doomed); i++)
		json_object_object_del(map, json_object_get_string(json_object_array_get_idx(doomed, i)));
	json_object_put(doomed);
}

void cache_contexts_forget(struct json_object *cids)
{
	char key[16];
	enter();
	for (size_t i = 0; i < json_object_array_length(cids); i++)
		json_object_object_del(contexts, cid_key(key, json_object_get_int(json_object_array_get_idx(cids, i))));
	drop_values(logins, cids);
	leave();
}

static const char *schema_key(char key[64], int pool, const char *schema)
{
	snprintf(key, 64, "%d/%s", pool, schema);
	return key;
}

bool cache_schema_is_current(int pool, const char *schema)
{
	char key[64];
	enter();
	bool hit = map_number(schemata, schema_key(key, pool, schema)) == 1;
	leave();
	return hit;
}

void cache_schema_put(int pool, const char *schema)
{
	char key[64];
	enter();
	json_add_int(schemata, schema_key(key, pool, schema), 1);
	leave();
}

void cache_schema_forget(int pool, const char *schema)
{
	char key[64];
	enter();
	json_object_object_del(schemata, schema_key(key, pool, schema));
	leave();
}

void session_put(const char *id, int cid)
{
	enter();
	json_add_int(sessions, id, cid);
	leave();
}

int session_find(const char *id)
{
	enter();
	int cid = map_number(sessions, id);
	leave();
	return cid;
}

void sessions_drop(struct json_object *cids)
{
	enter();
	drop_values(sessions, cids);
	leave();
}

struct json_object *sessions_copy(void)
{
	struct json_object *copy = NULL;
	enter();
	json_object_deep_copy(sessions, &copy, NULL);
	leave();
	return copy;
}

void cache_describe(struct json_object *out)
{
	enter();
	json_add_int(out, "contexts", json_object_object_length(contexts));
	json_add_int(out, "logins", json_object_object_length(logins));
	json_add_int(out, "schemata", json_object_object_length(schemata));
	json_add_int(out, "sessions", json_object_object_length(sessions));
	leave();
}
