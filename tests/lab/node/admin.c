/* SPDX-License-Identifier: MIT */
#include "admin.h"
#include "cluster.h"
#include "cache.h"
#include "context.h"
#include "db.h"
#include "site.h"
#include "web.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *arg_text(struct json_object *args, const char *key)
{
	struct fail fail;
	const char *text = "";
	return json_get_str(args, key, &text, &fail) == 0 ? text : "";
}

int64_t arg_number(struct json_object *args, const char *key)
{
	struct fail fail;
	int64_t n = 0;
	return json_get_int(args, key, INT64_MIN, INT64_MAX, &n, &fail) == 0 ? n : 0;
}

struct json_object *refuse(struct fail *fail, int exit_code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fail->code = exit_code;
	vsnprintf(fail->text, sizeof(fail->text), format, args);
	va_end(args);
	return NULL;
}

struct json_object *done(void)
{
	return json_object_new_object();
}

struct db *admin_configdb(struct fail *fail)
{
	struct db *db = db_open(0, fail);
	if (db == NULL)
		fail->code = EXIT_STORAGE;
	return db;
}

static struct json_object *register_server(struct json_object *args, struct fail *fail)
{
	const char *name = arg_text(args, "name");
	if (strspn(name, " ") == strlen(name))
		return refuse(fail, EXIT_INVALID, "Invalid server name");
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	if (db_number(db, 0, "SELECT COUNT(*) FROM server WHERE name=%s", db_quote(db, name)) > 0)
		return refuse(fail, EXIT_INVALID, "Server %s already exists!", name);
	struct fail why;
	if (db_exec(db, &why, "BEGIN") < 0 || db_exec(db, &why, "UPDATE configdb_sequence SET id=id+1") < 0)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	int64_t id = db_number(db, 0, "SELECT id FROM configdb_sequence");
	if (db_exec(db, &why, "INSERT INTO server VALUES (%lld,%s)", (long long)id, db_quote(db, name)) < 0 || db_exec(db, &why, "COMMIT") < 0)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	struct json_object *answer = done();
	json_add_int(answer, "id", id);
	return answer;
}

static struct json_object *list_server(struct json_object *args, struct fail *fail)
{
	char pattern[256];
	snprintf(pattern, sizeof(pattern), "%s", *arg_text(args, "pattern") == '\0' ? "*" : arg_text(args, "pattern"));
	for (char *at = pattern; *at != '\0'; at++)
		if (*at == '*')
			*at = '%';
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	struct json_object *rows = db_rows(db, fail, "SELECT server_id,name FROM server WHERE name LIKE %s", db_quote(db, pattern));
	return rows != NULL ? rows : refuse(fail, EXIT_STORAGE, "cannot list the servers");
}

static struct json_object *unregister_server(struct json_object *args, struct fail *fail)
{
	struct fail why;
	const char *name = arg_text(args, "name");
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	int64_t id = *name == '\0' ? arg_number(args, "id") : db_number(db, 0, "SELECT server_id FROM server WHERE name=%s", db_quote(db, name));
	if (db_number(db, 0, "SELECT COUNT(*) FROM server WHERE server_id=%lld", (long long)id) == 0)
		return refuse(fail, EXIT_INVALID, "No such server %s", *name != '\0' ? name : "with this id");
	if (db_number(db, 1, "SELECT COUNT(*) FROM context_server2db_pool WHERE server_id=%lld", (long long)id) > 0)
		return refuse(fail, EXIT_STORAGE, "Server %lld is in use", (long long)id);
	if (db_exec(db, &why, "DELETE FROM server WHERE server_id=%lld", (long long)id) < 0)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	return done();
}

static struct json_object *reload_configuration(struct json_object *args, struct fail *fail)
{
	site_reload();
	return done();
}

/* Where OX would put a new context: the least filled schema of an open database. */
static struct json_object *choose_schema(struct db *db, const char *wanted, struct fail *fail)
{
	if (*wanted != '\0')
		return db_rows(db, fail, "SELECT db_pool_id,schemaname FROM contexts_per_dbschema WHERE schemaname=%s", db_quote(db, wanted));
	return db_rows(db, fail, "SELECT s.db_pool_id,s.schemaname FROM contexts_per_dbschema s JOIN db_cluster c ON c.write_db_pool_id=s.db_pool_id "
		"WHERE c.max_units<>0 ORDER BY s.count LIMIT 1");
}

static struct json_object *create_context(struct json_object *args, struct fail *fail)
{
	struct trouble trouble;
	struct fail why;
	int cid = (int)arg_number(args, "cid"), server = context_resolve_server(&trouble);
	if (server <= 0)
		return refuse(fail, EXIT_STORAGE, "%s", trouble.text);
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	const char *name = db_quote(db, arg_text(args, "name"));
	json_cleanup struct json_object *place = choose_schema(db, arg_text(args, "schema"), &why);
	if (place == NULL || json_object_array_length(place) == 0)
		return refuse(fail, EXIT_STORAGE, "no schema for a new context");
	int pool = (int)row_number(place, 0, 0);
	const char *schema = row_text(place, 0, 1);
	db_cleanup struct db *user = db_open(pool, &why);
	if (user == NULL || db_exec(user, &why, "INSERT INTO `%s`.lab_tenant VALUES (%d,0)", schema, cid) < 0 || db_exec(db, &why, "BEGIN") < 0 ||
		db_exec(db, &why, "INSERT INTO context (cid,name,enabled,filestore_id) VALUES (%d,%s,1,1)", cid, name) < 0 ||
		db_exec(db, &why, "INSERT INTO context_server2db_pool VALUES (%d,%d,%d,%d,%s)", server, cid, pool, pool, db_quote(db, schema)) < 0 ||
		db_exec(db, &why, "INSERT INTO login2context VALUES (%d,'%d'),(%d,%s)", cid, cid, cid, name) < 0 ||
		db_exec(db, &why, "UPDATE contexts_per_dbschema SET count=count+1 WHERE schemaname=%s AND db_pool_id=%d", db_quote(db, schema), pool) < 0 ||
		db_exec(db, &why, "COMMIT") < 0)
		return refuse(fail, EXIT_STORAGE, "%s", why.text);
	struct json_object *answer = done();
	json_add_str(answer, "schema", schema);
	return answer;
}

/* disablecontext and enablecontext: an admin's decision on one tenant; writes over a reason that was there. */
static struct json_object *switch_context(struct json_object *args, struct fail *fail)
{
	struct fail why;
	int cid = (int)arg_number(args, "cid");
	bool enable = arg_number(args, "enable") == 1;
	db_cleanup struct db *db = admin_configdb(fail);
	if (db == NULL)
		return NULL;
	int64_t n = db_exec(db, &why, "UPDATE context SET enabled=%d,reason_id=NULL WHERE cid=%d", enable, cid);
	if (n <= 0)
		return refuse(fail, n < 0 ? EXIT_STORAGE : EXIT_NO_CONTEXT, "No such context %d", cid);
	json_cleanup struct json_object *cids = json_object_new_array();
	json_object_array_add(cids, json_object_new_int(cid));
	cluster_forget_contexts(cids, !enable);
	return done();
}

static struct json_object *hear_forget(struct json_object *args, struct fail *fail)
{
	struct json_object *cids = NULL;
	if (json_get_array(args, "cids", &cids, fail) != 0)
		return refuse(fail, EXIT_RMI, "cids are missing");
	cache_contexts_forget(cids);
	if (arg_number(args, "sessions") != 0)
		sessions_drop(cids);
	return done();
}

static struct json_object *hear_forget_schema(struct json_object *args, struct fail *fail)
{
	cache_schema_forget((int)arg_number(args, "pool"), arg_text(args, "schema"));
	return done();
}

static struct json_object *hear_session(struct json_object *args, struct fail *fail)
{
	session_put(arg_text(args, "id"), (int)arg_number(args, "cid"));
	return done();
}

static struct json_object *give_sessions(struct json_object *args, struct fail *fail)
{
	return sessions_copy();
}

static struct json_object *ping(struct json_object *args, struct fail *fail)
{
	return done();
}

static const struct service services[] = {
	{"registerServer", register_server, 0},
	{"listServer", list_server, 0},
	{"unregisterServer", unregister_server, 0},
	{"createContext", create_context, 0},
	{"switchContext", switch_context, 0},
	{"reloadConfiguration", reload_configuration, OPEN_TO_ALL},
	{"ping", ping, OPEN_TO_ALL},
	{"_forget", hear_forget, OPEN_TO_ALL},
	{"_forget_schema", hear_forget_schema, OPEN_TO_ALL},
	{"_session", hear_session, OPEN_TO_ALL},
	{"_sessions", give_sessions, OPEN_TO_ALL},
	{NULL, NULL, 0},
};

static const struct service *find_service(const char *name)
{
	const struct service *const tables[] = {services, schema_services, update_services};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct service *service = tables[i]; service->name != NULL; service++)
			if (strcmp(service->name, name) == 0)
				return service;
	return NULL;
}

static struct json_object *serve(struct request *request, struct fail *fail)
{
	const struct service *service = strncmp(request->path, "/rmi/", 5) == 0 ? find_service(request->path + 5) : NULL;
	if (service == NULL)
		return refuse(fail, EXIT_RMI, "java.rmi.NotBoundException: %s", request->path);
	json_cleanup struct json_object *args = json_parse(request->body, strlen(request->body), fail);
	if (args == NULL)
		return refuse(fail, EXIT_RMI, "the request is no JSON");
	if (!(service->flags & OPEN_TO_ALL) && !site_password_is(arg_text(args, "password")))
		return refuse(fail, EXIT_CREDENTIALS, "Authentication failed");
	if (service->flags & RUNS_LONG)
		web_do_not_wait(request);
	return service->serve(args, fail);
}

void admin_handle(struct request *request)
{
	struct fail fail = {.code = 0};
	struct json_object *answer = json_object_new_object();
	struct json_object *ok = serve(request, &fail);
	if (ok != NULL) {
		json_add(answer, "ok", ok);
	} else {
		json_add_str(answer, "error", fail.text);
		json_add_int(answer, "exit", fail.code);
	}
	request_json(request, 200, answer);
}
