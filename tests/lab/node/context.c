/* SPDX-License-Identifier: MIT */
/*
 * An enabled context of another server is refused before anything else happens. A disabled one is returned whoever owns it, so that the
 * user is told "disabled" instead of being sent away; so it passes on to the check for pending tasks, and may start
 * an update on a node that does not even own it.
 */
#include "context.h"
#include "db.h"
#include "site.h"
#include "update.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int server_id;

int trouble_set(struct trouble *trouble, const char *code, const char *format, ...)
{
	va_list args;
	trouble->code = code;
	trouble->param[0] = '\0';
	va_start(args, format);
	vsnprintf(trouble->text, sizeof(trouble->text), format, args);
	va_end(args);
	return -1;
}

int context_server_id(void)
{
	pthread_mutex_lock(&lock);
	int id = server_id;
	pthread_mutex_unlock(&lock);
	return id;
}

int context_resolve_server(struct trouble *trouble)
{
	struct fail fail;
	int id = context_server_id();
	if (id == 0) {
		db_cleanup struct db *db = db_open(0, &fail);
		json_cleanup struct json_object *rows =
			db == NULL ? NULL : db_rows(db, &fail, "SELECT server_id FROM server WHERE name=%s", db_quote(db, site.server_name));
		if (rows == NULL)
			return trouble_set(trouble, "DBP-0001", "Cannot get connection to config DB.");
		id = json_object_array_length(rows) == 1 ? (int)row_number(rows, 0, 0) : -1;
		pthread_mutex_lock(&lock);
		server_id = id;
		pthread_mutex_unlock(&lock);
	}
	if (id < 0)
		return trouble_set(trouble, "DBP-0019", "Cannot resolve server id for server %s.", site.server_name);
	return id;
}

int context_find(const char *login, int *cid, struct trouble *trouble)
{
	struct fail fail;
	*cid = cache_login(login);
	if (*cid > 0)
		return 0;
	db_cleanup struct db *db = db_open(0, &fail);
	json_cleanup struct json_object *rows =
		db == NULL ? NULL : db_rows(db, &fail, "SELECT cid FROM login2context WHERE login_info=%s", db_quote(db, login));
	if (rows == NULL)
		return trouble_set(trouble, "DBP-0001", "Cannot get connection to config DB.");
	if (json_object_array_length(rows) == 0)
		return trouble_set(trouble, "LGN-0006", "The user name or password is incorrect.");
	*cid = (int)row_number(rows, 0, 0);
	return 0;
}

static int check_schema(const struct context *context, struct trouble *trouble)
{
	switch (update_state(context->pool, context->schema)) {
	case SCHEMA_CURRENT:
		return 0;
	case SCHEMA_DOWN:
		return trouble_set(trouble, "DBP-0001", "Cannot get connection to database %d.", context->pool);
	case SCHEMA_LOCKED:
		break;
	case SCHEMA_PENDING:
		if (site_settings().deny_implicit)
			return trouble_set(trouble, "CTX-0013", "Database update needed for context %d.", context->cid);
		fprintf(stderr, "context %d: starting the update of schema %s\n", context->cid, context->schema);
		update_trigger(context->pool, context->schema);
		break;
	}
	return trouble_set(trouble, "CTX-0007", "Updating database... Please try again later.");
}

int context_load(int cid, struct context *out, struct trouble *trouble)
{
	struct fail fail;
	if (cache_context(cid, out))
		return 0;
	int own = context_resolve_server(trouble);
	if (own <= 0)
		return -1;
	db_cleanup struct db *db = db_open(0, &fail);
	json_cleanup struct json_object *rows = db == NULL ? NULL :
		db_rows(db, &fail, "SELECT c.enabled,s.server_id,s.write_db_pool_id,s.db_schema FROM context c "
			"JOIN context_server2db_pool s ON s.cid=c.cid WHERE c.cid=%d", cid);
	if (rows == NULL)
		return trouble_set(trouble, "DBP-0001", "Cannot get connection to config DB.");
	if (json_object_array_length(rows) == 0)
		return trouble_set(trouble, "CTX-0010", "Cannot find context %d.", cid);
	int owner = (int)row_number(rows, 0, 1);
	*out = (struct context){.cid = cid, .enabled = row_number(rows, 0, 0) == 1, .pool = (int)row_number(rows, 0, 2)};
	snprintf(out->schema, sizeof(out->schema), "%s", row_text(rows, 0, 3));
	if (out->enabled && owner != own)
		return trouble_set(trouble, "CTX-0012", "The context %d is located in server with id %d.", cid, owner);
	if (check_schema(out, trouble) < 0)
		return -1;
	cache_context_put(out);
	return 0;
}

void context_push(void)
{
	struct trouble trouble;
	struct context context;
	struct fail fail;
	int own = context_resolve_server(&trouble);
	if (own <= 0) {
		fprintf(stderr, "push: %s %s\n", trouble.code, trouble.text);
		return;
	}
	db_cleanup struct db *db = db_open(0, &fail);
	json_cleanup struct json_object *rows = db == NULL ? NULL :
		db_rows(db, &fail, "SELECT MIN(cid) FROM context JOIN context_server2db_pool USING (cid) WHERE enabled=1 AND server_id=%d "
			"GROUP BY write_db_pool_id,db_schema", own);
	for (size_t i = 0; rows != NULL && i < json_object_array_length(rows); i++)
		if (context_load((int)row_number(rows, i, 0), &context, &trouble) < 0)
			fprintf(stderr, "push: %s %s\n", trouble.code, trouble.text);
}
