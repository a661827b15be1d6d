/* SPDX-License-Identifier: MIT */
/*
 * SchemaMove. Disabling reads the contexts first and then switches them off chunk by chunk, each on its own: a context created
 * meanwhile stays enabled, and a failure in the middle leaves half. Neither call says how many it changed. Nobody knows about
 * the other cluster: invalidateContexts is a separate call that acts where it is made.
 */
#include "admin.h"
#include "cluster.h"
#include "db.h"
#include "site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 10 };

static struct json_object *list_database_schema(struct json_object *args, struct fail *fail)
{
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	/* Closed databases and uncounted schemata fall out here, as in OX. */
	struct json_object *rows = db_rows(db, fail,
		"SELECT p.db_pool_id,p.name,s.schemaname,p.url,s.count FROM db_pool p JOIN db_cluster c ON c.write_db_pool_id=p.db_pool_id "
		"LEFT JOIN contexts_per_dbpool d ON d.db_pool_id=p.db_pool_id LEFT JOIN contexts_per_dbschema s ON s.db_pool_id=p.db_pool_id "
		"WHERE c.max_units<>0 AND s.count IS NOT NULL%s", arg_number(args, "only_empty") ? " AND s.count=0" : "");
	return rows != NULL ? rows : refuse(fail, EXIT_STORAGE, "cannot list the schemata");
}

/* True when all contexts of the schema are in one pool and there are some. */
static bool has_one_pool(struct db *db, const char *schema, struct fail *fail)
{
	int64_t pools = db_number(db, -1, "SELECT COUNT(DISTINCT write_db_pool_id) FROM context_server2db_pool WHERE db_schema=%s",
		db_quote(db, schema));
	if (pools < 0)
		refuse(fail, EXIT_STORAGE, "cannot read the schema's contexts");
	else if (pools == 0)
		refuse(fail, EXIT_RMI, "No such schema: %s", schema);
	else if (pools > 1)
		refuse(fail, EXIT_RMI, "Multiple write pool IDs are in use for schema %s", schema);
	return pools == 1;
}

static struct json_object *contexts_of(struct db *db, const char *schema, struct fail *fail)
{
	return db_rows(db, fail, "SELECT cid FROM context_server2db_pool WHERE db_schema=%s", db_quote(db, schema));
}

/* Runs an UPDATE that ends in "AND cid IN (" for a chunk of the contexts. */
static int64_t update_chunk(struct db *db, const char *update, struct json_object *cids, size_t from, size_t to, struct fail *fail)
{
	char list[CHUNK * 12] = "";
	size_t n = 0;
	for (size_t i = from; i < to; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i > from ? "," : "", row_text(cids, i, 0));
	return db_exec(db, fail, "%s%s)", update, list);
}

static struct json_object *update_contexts(struct json_object *args, const char *update, struct fail *fail)
{
	struct fail why;
	const char *schema = arg_text(args, "schema"), *partial = arg_text(args, "partial");
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL || !has_one_pool(db, schema, fail))
		return NULL;
	json_cleanup struct json_object *cids = contexts_of(db, schema, &why);
	if (cids == NULL)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	size_t n = json_object_array_length(cids);
	if (*partial != '\0')
		n /= 2;
	for (size_t i = 0; i < n; i += CHUNK)
		if (update_chunk(db, update, cids, i, i + CHUNK < n ? i + CHUNK : n, &why) < 0)
			return refuse(fail, EXIT_STORAGE, "%s", why.text);
	if (strcmp(partial, "partial") == 0)
		return refuse(fail, EXIT_STORAGE, "SQL error: the connection was lost in the middle");
	return done();
}

static struct json_object *disable_schema(struct json_object *args, struct fail *fail)
{
	char update[160];
	snprintf(update, sizeof(update), "UPDATE context SET enabled=0,reason_id=%lld WHERE enabled=1 AND cid IN (", (long long)site.maintenance_reason);
	return update_contexts(args, update, fail);
}

static struct json_object *enable_schema(struct json_object *args, struct fail *fail)
{
	char update[160];
	snprintf(update, sizeof(update), "UPDATE context SET enabled=1,reason_id=NULL WHERE enabled=0 AND reason_id=%lld AND cid IN (",
		(long long)site.maintenance_reason);
	return update_contexts(args, update, fail);
}

static struct json_object *invalidate_contexts(struct json_object *args, struct fail *fail)
{
	struct fail why;
	db_cleanup struct db *db = admin_configdb(fail);
	json_cleanup struct json_object *rows = db == NULL ? NULL : contexts_of(db, arg_text(args, "schema"), &why);
	if (rows == NULL)
		return refuse(fail, EXIT_STORAGE, "cannot read the schema's contexts");
	json_cleanup struct json_object *cids = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		json_object_array_add(cids, json_object_new_int64(row_number(rows, i, 0)));
	cluster_forget_contexts(cids, arg_number(args, "sessions") != 0);
	return done();
}

/* "[1, 5]" of the contexts that are still enabled, owned by the caller; NULL: none. */
static char *still_enabled(struct db *db, const char *schema, struct fail *fail)
{
	json_cleanup struct json_object *rows = db_rows(db, fail,
		"SELECT GROUP_CONCAT(cid ORDER BY cid SEPARATOR ', ') FROM context JOIN context_server2db_pool USING (cid) WHERE db_schema=%s AND enabled=1",
		db_quote(db, schema));
	const char *list = rows == NULL ? "?" : row_text(rows, 0, 0);
	return list == NULL ? NULL : strdup(list);
}

static struct json_object *change_server(struct json_object *args, struct fail *fail)
{
	struct fail why;
	const char *schema = arg_text(args, "schema");
	long long id = (long long)arg_number(args, "server_id");
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	if (db_exec(db, &why, "BEGIN") < 0 || db_number(db, 0, "SELECT COUNT(*) FROM server WHERE server_id=%lld", id) == 0) {
		(void)!db_exec(db, &why, "ROLLBACK");
		return refuse(fail, EXIT_INVALID, "No such server with id %lld", id);
	}
	char *enabled = still_enabled(db, schema, &why);
	if (enabled != NULL) {
		refuse(fail, EXIT_STORAGE, "The schema '%s' is not disabled. The following contexts are still enabled: [%s]", schema, enabled);
		free(enabled);
		(void)!db_exec(db, &why, "ROLLBACK");
		return NULL;
	}
	int64_t n = db_exec(db, &why, "UPDATE context_server2db_pool SET server_id=%lld WHERE db_schema=%s", id, db_quote(db, schema));
	if (n < 0 || db_exec(db, &why, n == 0 ? "ROLLBACK" : "COMMIT") < 0)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	if (n == 0)
		return refuse(fail, EXIT_STORAGE, "Unable to change to server '%lld' for schema '%s'. The schema is empty.", id, schema);
	return done();
}

const struct service schema_services[] = {
	{"listDatabaseSchema", list_database_schema, 0},
	{"disableSchema", disable_schema, 0},
	{"enableSchema", enable_schema, 0},
	{"invalidateContexts", invalidate_contexts, 0},
	{"changeServer", change_server, 0},
	{NULL, NULL, 0},
};
