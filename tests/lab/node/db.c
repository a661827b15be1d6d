/* SPDX-License-Identifier: MIT */
#include "db.h"
#include "proto/json.h"
#include "site.h"

#include <errmsg.h>
#include <errno.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MAX = 32, QUOTES = 8 };

struct db {
	MYSQL *mysql;
	int pool;
	bool broken;
	unsigned next_quote;
	char quoted[QUOTES][1100];
};

struct target {
	char host[128], login[130], password[130];
	unsigned port;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct db *idle[IDLE_MAX];

static struct db *take_idle(int pool)
{
	struct db *db = NULL;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < IDLE_MAX && db == NULL; i++) {
		if (idle[i] != NULL && idle[i]->pool == pool) {
			db = idle[i];
			idle[i] = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
	return db;
}

void db_close(struct db **pointer)
{
	struct db *db = *pointer;
	*pointer = NULL;
	if (db == NULL)
		return;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < IDLE_MAX && db != NULL && !db->broken; i++) {
		if (idle[i] == NULL) {
			idle[i] = db;
			db = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
	if (db != NULL) {
		mysql_close(db->mysql);
		free(db);
	}
}

static int failed(struct db *db, struct fail *fail)
{
	unsigned code = mysql_errno(db->mysql);
	db->broken = true; /* also after harmless ones: a transaction may be open */
	return fail_set(fail, code == ER_DUP_ENTRY ? -EEXIST : -EIO, "SQL error %u: %s", code, mysql_error(db->mysql));
}

/* jdbc:mysql://host:port/… → host and port. */
static void parse_url(const char *url, struct target *target)
{
	const char *at = strstr(url, "//");
	at = at != NULL ? at + 2 : url;
	size_t n = strcspn(at, ":/?");
	snprintf(target->host, sizeof(target->host), "%.*s", (int)n, at);
	target->port = at[n] == ':' ? (unsigned)strtoul(at + n + 1, NULL, 10) : 3306;
}

static int find_pool(int pool, struct target *target, struct fail *fail)
{
	db_cleanup struct db *configdb = db_open(0, fail);
	if (configdb == NULL)
		return -EIO;
	json_cleanup struct json_object *rows = db_rows(configdb, fail, "SELECT url,login,password FROM db_pool WHERE db_pool_id=%d", pool);
	if (rows == NULL || json_object_array_length(rows) != 1)
		return fail_set(fail, -EIO, "DBP-0020: Nothing known about pool %d", pool);
	parse_url(row_text(rows, 0, 0), target);
	snprintf(target->login, sizeof(target->login), "%s", row_text(rows, 0, 1));
	snprintf(target->password, sizeof(target->password), "%s", row_text(rows, 0, 2));
	return 0;
}

static bool dial(struct db *db, const struct target *target)
{
	unsigned wait = 20; /* a busy machine is not a database that is down */
	mysql_options(db->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &wait);
	mysql_options(db->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (target == NULL) {
		mysql_options(db->mysql, MYSQL_READ_DEFAULT_FILE, site.configdb);
		mysql_options(db->mysql, MYSQL_READ_DEFAULT_GROUP, "client");
		return mysql_real_connect(db->mysql, NULL, NULL, NULL, NULL, 0, NULL, CLIENT_FOUND_ROWS) != NULL &&
		       mysql_select_db(db->mysql, "configdb") == 0;
	}
	return mysql_real_connect(db->mysql, target->host, target->login, target->password, NULL, target->port, NULL,
		CLIENT_FOUND_ROWS) != NULL;
}

struct db *db_open(int pool, struct fail *fail)
{
	struct target target = {.port = 0};
	for (struct db *db = take_idle(pool); db != NULL; db = take_idle(pool)) {
		if (mysql_ping(db->mysql) == 0)
			return db;
		db->broken = true;
		db_close(&db);
	}
	if (pool != 0 && find_pool(pool, &target, fail) < 0)
		return NULL;
	struct db *db = calloc(1, sizeof(*db));
	*db = (struct db){.mysql = mysql_init(NULL), .pool = pool};
	if (dial(db, pool == 0 ? NULL : &target))
		return db;
	(void)failed(db, fail);
	db_close(&db);
	return NULL;
}

const char *db_quote(struct db *db, const char *text)
{
	if (text == NULL)
		return "NULL";
	char *out = db->quoted[db->next_quote++ % QUOTES];
	size_t n = strnlen(text, 512);
	out[0] = '\'';
	n = mysql_real_escape_string(db->mysql, out + 1, text, n);
	strcpy(out + 1 + n, "'");
	return out;
}

static printf_like(3, 0) int query(struct db *db, struct fail *fail, const char *format, va_list args)
{
	char *sql = NULL;
	int n = vasprintf(&sql, format, args);
	int rc = mysql_real_query(db->mysql, sql, (unsigned long)n);
	free(sql);
	return rc == 0 ? 0 : failed(db, fail);
}

int64_t db_exec(struct db *db, struct fail *fail, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int rc = query(db, fail, format, args);
	va_end(args);
	return rc == 0 ? (int64_t)mysql_affected_rows(db->mysql) : rc;
}

static printf_like(3, 0) struct json_object *fetch(struct db *db, struct fail *fail, const char *format, va_list args)
{
	MYSQL_RES *result = query(db, fail, format, args) == 0 ? mysql_store_result(db->mysql) : NULL;
	if (result == NULL)
		return NULL;
	struct json_object *rows = json_object_new_array();
	MYSQL_ROW cells;
	while ((cells = mysql_fetch_row(result)) != NULL) {
		struct json_object *row = json_object_new_array();
		for (unsigned i = 0; i < mysql_num_fields(result); i++)
			json_object_array_add(row, cells[i] == NULL ? NULL : json_object_new_string(cells[i]));
		json_object_array_add(rows, row);
	}
	mysql_free_result(result);
	return rows;
}

struct json_object *db_rows(struct db *db, struct fail *fail, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct json_object *rows = fetch(db, fail, format, args);
	va_end(args);
	return rows;
}

int64_t db_number(struct db *db, int64_t otherwise, const char *format, ...)
{
	struct fail fail;
	va_list args;
	va_start(args, format);
	json_cleanup struct json_object *rows = fetch(db, &fail, format, args);
	va_end(args);
	return rows == NULL || row_text(rows, 0, 0) == NULL ? otherwise : row_number(rows, 0, 0);
}

const char *row_text(struct json_object *rows, size_t row, size_t column)
{
	struct json_object *cells = json_object_array_get_idx(rows, row);
	struct json_object *cell = cells == NULL ? NULL : json_object_array_get_idx(cells, column);
	return cell == NULL ? NULL : json_object_get_string(cell);
}

int64_t row_number(struct json_object *rows, size_t row, size_t column)
{
	const char *text = row_text(rows, row, column);
	return text == NULL ? 0 : strtoll(text, NULL, 10);
}
