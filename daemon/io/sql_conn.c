/* SPDX-License-Identifier: MIT */
/*
 * Blocking calls, in the subset that MariaDB's Connector/C and Oracle's libmysqlclient share.
 *
 * - Errors: the server's own words about a statement are SQL_FAILED. What the library says (2006, 2013 and their kin), a
 *   shutdown or a killed connection is SQL_UNKNOWN, since a lost connection does not stop a statement.
 * - The library's reconnect stays off: it repeats statements behind the caller's back in a session that was not prepared.
 * - TLS that was asked for and not had: Connector/C goes on in plain text when the server offers none, so the cipher is looked at.
 * - LOCAL INFILE is off, or a server could ask for our files.
 * - A session is prepared once, and what was set is read back: a server, a proxy or an init_connect that keeps something else is named
 *   and not asked. A statement that was cut off, or that a right is missing for, takes its connection with it.
 * - A result larger than what is kept is cut off by the socket: freeing it politely would first read all of it.
 */
#include "sql_conn.h"

#include "sql_options.h"
#include "sql_text.h"

#include <errmsg.h>
#include <mysql.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifdef MARIADB_BASE_VERSION
/* Follows the session's NO_BACKSLASH_ESCAPES; Oracle's function of that name refuses to work then, and has another one. */
#define escape(mysql, to, from, len) mysql_real_escape_string(mysql, to, from, len)
#else
#define escape(mysql, to, from, len) mysql_real_escape_string_quote(mysql, to, from, len, '\'')
#define CER_MIN_ERROR CR_MIN_ERROR
#define CER_MAX_ERROR CR_MAX_ERROR
#endif

enum {
	CODE_SHUTDOWN = 1053, CODE_KILLED = 1927, /* the connection is gone: no answer to the statement */
	CODE_NO_VARIABLE = 1193, CODE_KEPT = 1231, /* the server's: variable cannot be set to the value */
	CODE_DENIED_KILL = 1095, CODE_DENIED_TABLE = 1142, CODE_DENIED_RIGHT = 1227, /* a GRANT counts for new connections only */
	CODE_INTERRUPTED = 1317, CODE_TIME_MARIADB = 1969, CODE_TIME_MYSQL = 3024, /* cut off, by its limit or by a KILL */
};

#define TAG "/* upgd session */ "

struct sql_conn {
	MYSQL *mysql;      /* owned */
	bool is_prepared;
	unsigned limit_ms; /* the session's; 0: not set */
};

static void library_start(void)
{
	if (mysql_library_init(0, NULL, NULL) != 0)
		abort();
}

void sql_conn_thread_begin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, library_start);
	mysql_thread_init();
}

void sql_conn_thread_end(void)
{
	mysql_thread_end();
}

static int conn_options(MYSQL *mysql, const struct sql_conn_options *options, const struct sql_options *file)
{
	unsigned off = 0;
	int failed = mysql_options(mysql, MYSQL_READ_DEFAULT_FILE, options->option_file);
	if (options->group != NULL)
		failed |= mysql_options(mysql, MYSQL_READ_DEFAULT_GROUP, options->group);
	failed |= mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &options->connect_s);
	failed |= mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &options->read_s);
	failed |= mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &options->connect_s);
	failed |= mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
	failed |= mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
#ifdef MARIADB_BASE_VERSION
	(void)file; /* the library reads what was checked */
#else
	/* Oracle's knows ssl-mode only; one in the file is read later and wins. */
	unsigned mode = file->verify ? SSL_MODE_VERIFY_IDENTITY : SSL_MODE_REQUIRED;
	if (file->tls)
		failed |= mysql_options(mysql, MYSQL_OPT_SSL_MODE, &mode);
#endif
	return failed;
}

struct sql_conn *sql_conn_open(const struct sql_conn_options *options, struct fail *fail)
{
	struct sql_options file;
	if (sql_options_check(options->option_file, options->group, &file, fail) != 0) {
		fail->code = 0; /* an errno is no number of the server's */
		return NULL;
	}
	MYSQL *mysql = mysql_init(NULL);
	struct sql_conn *conn = calloc(1, sizeof(*conn));
	if (mysql == NULL || conn == NULL)
		abort();
	conn->mysql = mysql;
	if (conn_options(mysql, options, &file) != 0 || mysql_real_connect(mysql, NULL, NULL, NULL, NULL, 0, NULL, 0) == NULL ||
		mysql_set_character_set(mysql, "utf8mb4") != 0)
		(void)fail_set(fail, (int)mysql_errno(mysql), "cannot connect: %s", mysql_error(mysql));
	else if (file.tls && mysql_get_ssl_cipher(mysql) == NULL)
		(void)fail_set(fail, 0, "%s asks for TLS, but the server offers none; the unencrypted connection was closed unused",
			options->option_file);
	else
		return conn;
	sql_conn_close(conn);
	return NULL;
}

void sql_conn_close(struct sql_conn *conn)
{
	if (conn == NULL)
		return;
	mysql_close(conn->mysql);
	free(conn);
}

int sql_conn_fd(const struct sql_conn *conn)
{
	return (int)conn->mysql->net.fd;
}

unsigned long sql_conn_id(const struct sql_conn *conn)
{
	return mysql_thread_id(conn->mysql);
}

bool sql_conn_is_alive(struct sql_conn *conn)
{
	return mysql_ping(conn->mysql) == 0;
}

static int session_set(struct sql_conn *conn, const char *statement, struct fail *fail)
{
	if (mysql_query(conn->mysql, statement) == 0)
		return 0;
	return fail_set(fail, (int)mysql_errno(conn->mysql), "cannot prepare the session (%s): %s", statement, mysql_error(conn->mysql));
}

/*
 * What a session may take, at most. wait_timeout: a connection whose upgd is gone ends in the server too. sql_mode: a profile's
 * statement means the same on every server. character_set_client is the connection's, set by the library.
 */
static const struct {
	const char *name, *want;
} session[] = {
	{ "lock_wait_timeout", "5" }, { "innodb_lock_wait_timeout", "5" }, { "wait_timeout", "600" }, { "net_read_timeout", "30" },
	{ "net_write_timeout", "30" }, { "autocommit", "1" }, { "sql_mode", "" }, { "character_set_client", "utf8mb4" },
	{ "group_concat_max_len", "1048576" }, /* MySQL cuts at 1024, and says so to nobody */
};
enum { N_SESSION = sizeof(session) / sizeof(session[0]) };

/* A server may take less than it was asked for (maximum-wait-timeout); to most of them 0 is no limit at all. */
static bool is_kept(const char *value, const char *want)
{
	char *end_value, *end_want;
	double is = strtod(value, &end_value), at_most = strtod(want, &end_want);
	if (end_want == want || *end_want != '\0')
		return strcmp(value, want) == 0;
	return end_value != value && *end_value == '\0' && is > 0 && is <= at_most;
}

/* The one row of a SELECT @@a, @@b: 0, or the server's number. Each value is what it is to be, or the server is named with what it keeps. */
static int session_check(struct sql_conn *conn, const char *statement, const char *const *wants, const char *const *names, size_t n, struct fail *fail)
{
	int error = session_set(conn, statement, fail);
	if (error != 0)
		return error;
	MYSQL_RES *result = mysql_store_result(conn->mysql);
	MYSQL_ROW row = result != NULL ? mysql_fetch_row(result) : NULL;
	if (row == NULL || mysql_num_fields(result) != n)
		error = fail_set(fail, CODE_NO_VARIABLE, "cannot read back the session's limits");
	for (size_t i = 0; error == 0 && i < n; i++)
		if (!is_kept(row[i] != NULL ? row[i] : "", wants[i]))
			error = fail_set(fail, CODE_KEPT, "the server keeps %s at \"%s\" and not at \"%s\" for this account: nothing is asked in such a session",
				names[i], row[i] != NULL ? row[i] : "NULL", wants[i]);
	if (result != NULL)
		mysql_free_result(result);
	return error;
}

static int session_begin(struct sql_conn *conn, struct fail *fail)
{
	char set[600] = TAG "SET SESSION ", get[600] = TAG "SELECT ";
	const char *names[N_SESSION + 1], *wants[N_SESSION + 1];
	static const char *const read_only[] = { "tx_read_only", "transaction_read_only" }; /* MySQL 8 has the second only */
	for (size_t i = 0; i < N_SESSION; i++) {
		size_t set_len = strlen(set), get_len = strlen(get);
		bool number = session[i].want[0] >= '0' && session[i].want[0] <= '9';
		(void)snprintf(set + set_len, sizeof(set) - set_len, "%s%s = %s%s%s", i > 0 ? ", " : "", session[i].name, number ? "" : "'",
			session[i].want, number ? "" : "'");
		(void)snprintf(get + get_len, sizeof(get) - get_len, "@@%s, ", session[i].name);
		names[i] = session[i].name;
		wants[i] = session[i].want;
	}
	int error = session_set(conn, set, fail);
	if (error == 0)
		error = session_set(conn, TAG "SET SESSION TRANSACTION READ ONLY", fail);
	size_t len = strlen(get);
	wants[N_SESSION] = "1";
	for (size_t i = 0; error == 0 && i < 2; i++) {
		(void)snprintf(get + len, sizeof(get) - len, "@@%s", names[N_SESSION] = read_only[i]);
		int found = session_check(conn, get, wants, names, N_SESSION + 1, fail);
		if (found != CODE_NO_VARIABLE || i == 1)
			return found;
	}
	return error;
}

/* MariaDB counts in seconds and for all statements, MySQL in milliseconds and for SELECT. A proxy may hide which it is. */
static int limit_set(struct sql_conn *conn, unsigned ms, struct fail *fail)
{
	static const char *const names[] = { "max_statement_time", "max_execution_time" };
	int guess = strstr(mysql_get_server_info(conn->mysql), "MariaDB") != NULL ? 0 : 1;
	int error = CODE_NO_VARIABLE;
	for (int i = 0; i < 2 && error == CODE_NO_VARIABLE; i++) {
		char set[100], get[100], want[32];
		const char *name = names[guess ^ i], *wants[] = { want };
		if (name == names[0])
			(void)snprintf(want, sizeof(want), "%u.%03u", ms / 1000, ms % 1000);
		else
			(void)snprintf(want, sizeof(want), "%u", ms);
		(void)snprintf(set, sizeof(set), TAG "SET SESSION %s = %s", name, want);
		(void)snprintf(get, sizeof(get), TAG "SELECT @@%s", name);
		error = session_set(conn, set, fail);
		if (error == 0)
			error = session_check(conn, get, wants, &name, 1, fail);
	}
	return error;
}

int sql_conn_prepare(struct sql_conn *conn, unsigned limit_ms, struct fail *fail)
{
	int error = conn->is_prepared ? 0 : session_begin(conn, fail);
	conn->is_prepared = error == 0;
	if (error == 0 && conn->limit_ms != limit_ms) {
		error = limit_set(conn, limit_ms, fail);
		conn->limit_ms = error == 0 ? limit_ms : 0;
	}
	return error;
}

char *sql_conn_bind(struct sql_conn *conn, const char *statement, char *const *args, size_t n_args, size_t *out_len)
{
	size_t size = strlen(statement) + 1;
	for (size_t i = 0; i < n_args; i++) /* escaping at most doubles */
		size += args[i] != NULL ? 2 * strlen(args[i]) + 3 : 4;
	char *text = malloc(size), *to = text;
	if (text == NULL)
		abort();
	for (size_t i = 0; i < n_args; i++) {
		const char *mark = sql_text_placeholder(statement);
		to = (char *)mempcpy(to, statement, (size_t)(mark - statement));
		statement = mark + 1;
		if (args[i] == NULL) {
			to = stpcpy(to, "NULL");
			continue;
		}
		*to++ = '\'';
		to += escape(conn->mysql, to, args[i], (unsigned long)strlen(args[i]));
		*to++ = '\'';
	}
	to = stpcpy(to, statement);
	*out_len = (size_t)(to - text);
	return text;
}

static bool answer_fail(struct sql_conn *conn, struct sql_answer *answer)
{
	unsigned code = mysql_errno(conn->mysql);
	bool lost = (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) || (code >= CER_MIN_ERROR && code <= CER_MAX_ERROR) ||
		code == CODE_SHUTDOWN || code == CODE_KILLED;
	if (lost)
		sql_answer_fail(answer, SQL_UNKNOWN, code, "the statement was sent and its answer was lost: %s", mysql_error(conn->mysql));
	else
		sql_answer_fail(answer, SQL_FAILED, code, "%s", mysql_error(conn->mysql));
	bool cut = code == CODE_INTERRUPTED || code == CODE_TIME_MARIADB || code == CODE_TIME_MYSQL;
	bool denied = code == CODE_DENIED_KILL || code == CODE_DENIED_TABLE || code == CODE_DENIED_RIGHT;
	return !lost && !cut && !denied;
}

static bool rows_fetch(struct sql_conn *conn, MYSQL_RES *result, struct sql_answer *answer)
{
	sql_answer_columns(answer, mysql_num_fields(result));
	const MYSQL_FIELD *fields = mysql_fetch_fields(result);
	for (size_t i = 0; i < answer->n_columns; i++)
		sql_answer_name(answer, i, fields[i].name);

	MYSQL_ROW row;
	while ((row = mysql_fetch_row(result)) != NULL) {
		sql_answer_row(answer, row, mysql_fetch_lengths(result));
		if (!sql_answer_fits(answer)) {
			(void)shutdown(sql_conn_fd(conn), SHUT_RDWR);
			sql_answer_fail(answer, SQL_FAILED, 0, "the result has more than %d rows, or 64 MiB: ask for less", SQL_ROWS_MAX);
			return false;
		}
	}
	return mysql_errno(conn->mysql) == 0 || answer_fail(conn, answer);
}

/* A CALL ends with one more result; left unread it would be taken for the next statement's. */
static bool rest_skip(struct sql_conn *conn, struct sql_answer *answer)
{
	int more;
	while ((more = mysql_next_result(conn->mysql)) == 0) {
		MYSQL_RES *result = mysql_use_result(conn->mysql);
		if (result != NULL)
			mysql_free_result(result);
	}
	return more < 0 || answer_fail(conn, answer);
}

bool sql_conn_run(struct sql_conn *conn, const char *text, size_t len, struct sql_answer *answer)
{
	if (mysql_real_query(conn->mysql, text, (unsigned long)len) != 0)
		return answer_fail(conn, answer);
	MYSQL_RES *result = mysql_use_result(conn->mysql);
	if (result == NULL && mysql_errno(conn->mysql) != 0)
		return answer_fail(conn, answer);
	bool usable = result == NULL || rows_fetch(conn, result, answer);
	if (result != NULL)
		mysql_free_result(result);
	return usable && (answer->outcome != SQL_OK || rest_skip(conn, answer));
}

void sql_conn_kill(struct sql_conn *conn, unsigned long id)
{
	char text[64];
	(void)snprintf(text, sizeof(text), TAG "KILL QUERY %lu", id);
	(void)mysql_query(conn->mysql, text);
}

const char *sql_library(void)
{
	static char text[64];
#ifdef MARIADB_BASE_VERSION
	(void)snprintf(text, sizeof(text), "MariaDB Connector/C %s", mysql_get_client_info());
#else
	(void)snprintf(text, sizeof(text), "libmysqlclient %s", mysql_get_client_info());
#endif
	return text;
}
