/* SPDX-License-Identifier: MIT */
/*
 * UpdateTaskService and the checks around it. All of them know the tasks of this node's release only.
 */
#include "admin.h"
#include "cluster.h"
#include "db.h"
#include "site.h"
#include "update.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000 };

/* The schema's pool from the counter table, which is all that OX asks; <0: refused. */
static int find_schema(const char *schema, struct fail *fail)
{
	struct fail why;
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return -1;
	json_cleanup struct json_object *rows =
		db_rows(db, &why, "SELECT db_pool_id FROM contexts_per_dbschema WHERE schemaname=%s", db_quote(db, schema));
	if (rows == NULL)
		refuse(fail, EXIT_RMI, "%s", why.text);
	else if (json_object_array_length(rows) == 0)
		refuse(fail, EXIT_RMI, "UNKNOWN_SCHEMA: The schema \"%s\" is unknown.", schema);
	else if (json_object_array_length(rows) > 1)
		refuse(fail, EXIT_RMI, "FOUND_MULTIPLE_SCHEMAS: schema \"%s\" exists more than once.", schema);
	else
		return (int)row_number(rows, 0, 0);
	return -1;
}

static struct json_object *one_row(const char *a, const char *b, const char *c, const char *d, const char *e)
{
	const char *const cells[] = {a, b, c, d, e};
	struct json_object *row = json_object_new_array();
	for (size_t i = 0; i < 5 && cells[i] != NULL; i++)
		json_object_array_add(row, json_object_new_string(cells[i]));
	return row;
}

/* By context: no tracing of failures, as in OX. */
static struct json_object *run_by_context(int cid, struct fail *fail)
{
	struct fail why;
	db_cleanup struct db *db = admin_configdb(fail);
	json_cleanup struct json_object *rows =
		db == NULL ? NULL : db_rows(db, &why, "SELECT write_db_pool_id,db_schema FROM context_server2db_pool WHERE cid=%d", cid);
	if (rows == NULL || json_object_array_length(rows) == 0)
		return refuse(fail, EXIT_RMI, "Cannot find context %d", cid);
	update_run((int)row_number(rows, 0, 0), row_text(rows, 0, 1), NULL);
	return json_object_new_array();
}

static struct json_object *run_update(struct json_object *args, struct fail *fail)
{
	const char *schema = arg_text(args, "schema");
	if (*schema == '\0')
		return run_by_context((int)arg_number(args, "cid"), fail);
	int pool = find_schema(schema, fail);
	if (pool < 0)
		return NULL;
	struct json_object *rows = json_object_new_array();
	json_cleanup struct json_object *failures = json_object_new_array();
	update_run(pool, schema, failures);
	for (size_t i = 0; i < json_object_array_length(failures); i++) {
		const char *class = json_object_get_string(json_object_array_get_idx(failures, i));
		const char *last = strrchr(class, '.');
		json_object_array_add(rows, one_row(last != NULL ? last + 1 : class, class, schema, NULL, NULL));
	}
	return rows;
}

static struct json_object *list_executed(int pool, const char *schema, struct fail *fail)
{
	struct fail why;
	db_cleanup struct db *db = db_open(pool, &why);
	struct json_object *rows = db == NULL ? NULL :
		db_rows(db, &why, "SELECT taskName,IF(successful,'true','false'),FROM_UNIXTIME(lastModified DIV 1000) FROM `%s`.updateTask "
			"WHERE cid=0 AND taskName NOT IN ('LOCKED','BACKGROUND') ORDER BY taskName", schema);
	return rows != NULL ? rows : refuse(fail, EXIT_RMI, "%s", why.text);
}

/* which: any of g (pending) and x (excluded). "Pending" is what was never successful: failed and excluded tasks are in it. */
static struct json_object *list_unexecuted(int pool, const char *schema, const char *which, struct fail *fail)
{
	struct fail why;
	ledger_cleanup struct ledger ledger;
	if (ledger_read(pool, schema, &ledger, &why) < 0)
		return refuse(fail, EXIT_RMI, "%s", why.text);
	struct json_object *rows = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(site.tasks); i++) {
		const char *name = arg_text(json_object_array_get_idx(site.tasks, i), "name");
		bool excluded = site_is_excluded(name), successful = false;
		bool ran = json_get_bool(ledger.ran, name, &successful, &why) == 0;
		if (strchr(which, 'g') != NULL ? successful : !excluded)
			continue;
		json_object_array_add(rows, one_row(name, excluded ? "excluded" : "pending",
			excluded ? "excluded via 'excludedupdatetasks.properties'" : ran ? "failed before" : "never executed", NULL, NULL));
	}
	return rows;
}

static struct json_object *list_update_tasks(struct json_object *args, struct fail *fail)
{
	const char *schema = arg_text(args, "schema"), *which = arg_text(args, "which");
	int pool = find_schema(schema, fail);
	if (pool < 0)
		return NULL;
	if (strcmp(which, "e") == 0)
		return list_executed(pool, schema, fail);
	if (strcmp(which, "xn") == 0)
		return json_object_new_array(); /* the lab has no namespaces */
	return list_unexecuted(pool, schema, strcmp(which, "a") == 0 ? "gx" : which, fail);
}

static const char *status_of(const struct ledger *ledger)
{
	int64_t since = ledger->locked_at != 0 ? ledger->locked_at : ledger->background_at;
	if (since != 0)
		return update_now() - since > DAY_MS ? "Blocking updates running for too long" : "Blocking updates running";
	return ledger_has_pending(ledger) ? "Needs update" : NULL;
}

static struct json_object *check_database(struct json_object *args, struct fail *fail)
{
	struct fail why;
	db_cleanup struct db *db = admin_configdb(fail);
	json_cleanup struct json_object *schemata = db == NULL ? NULL :
		db_rows(db, &why, "SELECT p.db_pool_id,p.name,p.url,s.schemaname FROM contexts_per_dbschema s JOIN db_pool p USING (db_pool_id)");
	if (schemata == NULL)
		return refuse(fail, EXIT_STORAGE, "cannot list the schemata");
	struct json_object *rows = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(schemata); i++) {
		ledger_cleanup struct ledger ledger;
		const char *schema = row_text(schemata, i, 3);
		if (ledger_read((int)row_number(schemata, i, 0), schema, &ledger, &why) < 0) {
			json_object_put(rows);
			return refuse(fail, EXIT_STORAGE, "%s", why.text);
		}
		if (status_of(&ledger) != NULL)
			json_object_array_add(rows,
				one_row(row_text(schemata, i, 0), row_text(schemata, i, 1), row_text(schemata, i, 2), schema, status_of(&ledger)));
	}
	return rows;
}

static struct json_object *force_one(int pool, const char *schema, const char *task, struct fail *fail)
{
	struct fail why;
	if (pool < 0)
		return NULL;
	return update_force(pool, schema, task, &why) < 0 ? refuse(fail, EXIT_RMI, "%s", why.text) : done();
}

static struct json_object *force_update_task(struct json_object *args, struct fail *fail)
{
	struct fail why;
	const char *schema = arg_text(args, "schema"), *task = arg_text(args, "task");
	int cid = (int)arg_number(args, "cid");
	if (*schema != '\0')
		return force_one(find_schema(schema, fail), schema, task, fail);
	db_cleanup struct db *db = admin_configdb(fail);
	/* Neither schema nor context: every schema there is. */
	json_cleanup struct json_object *rows = db == NULL ? NULL :
		cid > 0 ? db_rows(db, &why, "SELECT write_db_pool_id,db_schema FROM context_server2db_pool WHERE cid=%d", cid) :
			  db_rows(db, &why, "SELECT db_pool_id,schemaname FROM contexts_per_dbschema");
	if (rows == NULL || json_object_array_length(rows) == 0)
		return refuse(fail, EXIT_RMI, "no such context or schema");
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		json_cleanup struct json_object *one = force_one((int)row_number(rows, i, 0), row_text(rows, i, 1), task, fail);
		if (one == NULL)
			return NULL;
	}
	return done();
}

/* Adds a line about the schema to the report; false: it cannot be reached. */
static bool unblock(int pool, const char *schema, bool only_old, struct json_object *report, struct fail *fail)
{
	char line[128], condition[64] = "";
	db_cleanup struct db *db = db_open(pool, fail);
	if (only_old)
		snprintf(condition, sizeof(condition), " AND lastModified<%lld", (long long)update_now() - DAY_MS);
	int64_t n = db == NULL ? -1 : db_exec(db, fail, "DELETE FROM `%s`.updateTask WHERE cid=0 AND taskName='LOCKED'%s", schema, condition);
	if (n < 0)
		return false;
	snprintf(line, sizeof(line), n > 0 ? "schema %s unblocked" : "schema %s is already unblocked", schema);
	if (n > 0 || !only_old)
		json_object_array_add(report, json_object_new_string(line));
	cluster_forget_schema(pool, schema);
	return true;
}

static struct json_object *unblock_database(struct json_object *args, struct fail *fail)
{
	struct fail why;
	const char *wanted = arg_text(args, "schema"), *name = arg_text(args, "name");
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	int pool = *name == '\0' ? (int)arg_number(args, "id") :
				   (int)db_number(db, 0, "SELECT db_pool_id FROM db_pool WHERE name=%s", db_quote(db, name));
	json_cleanup struct json_object *rows = db_rows(db, &why, "SELECT schemaname FROM contexts_per_dbschema WHERE db_pool_id=%d", pool);
	if (rows == NULL || json_object_array_length(rows) == 0)
		return refuse(fail, EXIT_INVALID, "No such database %d", pool);
	struct json_object *report = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		const char *schema = row_text(rows, i, 0);
		if ((*wanted != '\0' && strcmp(wanted, schema) != 0) || unblock(pool, schema, *wanted == '\0', report, &why))
			continue;
		json_object_put(report);
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	}
	return report;
}

const struct service update_services[] = {
	{"runUpdate", run_update, RUNS_LONG},
	{"listUpdateTasks", list_update_tasks, 0},
	{"checkDatabase", check_database, 0},
	{"forceUpdateTask", force_update_task, RUNS_LONG},
	{"unblockDatabase", unblock_database, 0},
	{NULL, NULL, 0},
};
