/* SPDX-License-Identifier: MIT */
/*
 * A login answers 200 with an OX error object whatever goes wrong, a redirect included: a balancer sees nothing. WebDAV has
 * no place for such an object, so its clients see statuses and never follow.
 * Each request that is really served looks at updateTask itself and says in a header when code and schema do not fit. That is the judge's
 * eye; OX has no such thing.
 */
#include "users.h"
#include "changelog.h"
#include "cluster.h"
#include "context.h"
#include "db.h"
#include "fault.h"
#include "site.h"
#include "update.h"
#include "web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/random.h>

static void answer_trouble(struct request *request, int status, const struct trouble *trouble)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *params = json_object_new_array();
	if (trouble->param[0] != '\0')
		json_object_array_add(params, json_object_new_string(trouble->param));
	json_add_str(answer, "error", trouble->text);
	json_add(answer, "error_params", params);
	json_add_str(answer, "code", trouble->code);
	json_add_str(answer, "categories", strcmp(trouble->code, "CTX-0012") == 0 ? "ERROR" : "USER_INPUT");
	request_header(request, "X-Lab-Code", trouble->code);
	request_json(request, status, answer);
}

/* Says whether this node's code and the schema fit; false: the schema cannot be read. */
static bool look_at_schema(struct request *request, const struct context *context, int *version, struct trouble *trouble)
{
	struct fail fail;
	char cid[16];
	ledger_cleanup struct ledger ledger;
	snprintf(cid, sizeof(cid), "%d", context->cid);
	request_header(request, "X-Lab-Context", cid);
	request_header(request, "X-Lab-Schema", context->schema);
	if (ledger_read(context->pool, context->schema, &ledger, &fail) < 0)
		return trouble_set(trouble, "DBP-0001", "Cannot get connection to database %d.", context->pool) == 0;
	*version = 0;
	struct json_object_iter at;
	json_object_object_foreachC(ledger.ran, at)
	{
		*version += json_object_get_boolean(at.val);
		if (!json_object_object_get_ex(site.by_name, at.key, NULL))
			request_header(request, "X-Lab-Mismatch", "old-code-new-schema");
	}
	if (ledger_has_pending(&ledger))
		request_header(request, "X-Lab-Mismatch", "new-code-old-schema");
	return true;
}

/* Splits user@login; the login is what follows the first @. */
static const char *login_of(const char *name)
{
	const char *at = name == NULL ? NULL : strchr(name, '@');
	return at == NULL ? "" : at + 1;
}

/* Everything between a name with a password and a context that may be used. */
static int admit(const char *name, const char *password, struct context *context, struct trouble *trouble)
{
	int cid = 0;
	if (context_find(login_of(name), &cid, trouble) < 0 || context_load(cid, context, trouble) < 0) {
		struct settings settings = site_settings();
		if (strcmp(trouble->code, "CTX-0012") != 0)
			return -1;
		if (settings.redirect[0] == '\0') {
			fprintf(stderr, "login of %s: Cannot redirect. The property is not set.\n", login_of(name));
			return -1;
		}
		trouble_set(trouble, "LGN-0016", "%s", settings.redirect);
		snprintf(trouble->param, sizeof(trouble->param), "%s", settings.redirect);
		return -1;
	}
	cache_login_put(login_of(name), cid);
	if (password == NULL || *password == '\0' || strcmp(password, "wrong") == 0)
		return trouble_set(trouble, "LGN-0006", "The user name or password is incorrect.");
	if (!context->enabled)
		return trouble_set(trouble, "AUTHORIZATION-0001", "User is deactivated");
	return 0;
}

static void begin_session(struct request *request, int cid)
{
	unsigned char noise[16];
	char id[33] = "", cookie[96];
	(void)!getrandom(noise, sizeof(noise), 0);
	for (size_t i = 0; i < sizeof(noise); i++)
		snprintf(id + 2 * i, 3, "%02x", noise[i]);
	cluster_add_session(id, cid);
	struct json_object *answer = json_object_new_object();
	json_add_str(answer, "session", id);
	json_add_int(answer, "cid", cid);
	json_add_str(answer, "server_version", site.version);
	snprintf(cookie, sizeof(cookie), "JSESSIONID=%s.%s; Path=/; HttpOnly", id, site.name);
	request_header(request, "Set-Cookie", cookie);
	request_json(request, 200, answer);
}

static void login(struct request *request)
{
	struct trouble trouble;
	struct context context;
	int version;
	char *name = form_field(request->body, "name"), *password = form_field(request->body, "password");
	if (name == NULL)
		name = form_field(request->query, "name");
	if (admit(name, password, &context, &trouble) == 0 && look_at_schema(request, &context, &version, &trouble)) {
		sleep_ms(env_number("LAB_REQUEST_MS", 3));
		begin_session(request, context.cid);
	} else {
		answer_trouble(request, 200, &trouble);
	}
	free(name);
	free(password);
}

static int find_session(struct request *request, struct context *context, struct trouble *trouble)
{
	char *id = form_field(request->query, "session");
	int cid = id == NULL ? 0 : session_find(id);
	free(id);
	if (cid == 0)
		return trouble_set(trouble, "SES-0203", "Your session expired. Please log in again.");
	if (context_load(cid, context, trouble) < 0)
		return -1;
	if (!context->enabled)
		return trouble_set(trouble, "SES-0204", "Context %d is currently locked.", cid);
	return 0;
}

static void mail(struct request *request)
{
	struct trouble trouble;
	struct context context;
	struct fail fail;
	int version;
	if (find_session(request, &context, &trouble) < 0 || !look_at_schema(request, &context, &version, &trouble)) {
		answer_trouble(request, 200, &trouble);
		return;
	}
	db_cleanup struct db *db = db_open(context.pool, &fail);
	int64_t mails = db == NULL ? -1 : db_number(db, 0, "SELECT mails FROM `%s`.lab_tenant WHERE cid=%d", context.schema, context.cid);
	sleep_ms(env_number("LAB_REQUEST_MS", 3));
	struct json_object *answer = json_object_new_object(), *data = json_object_new_object();
	json_add_int(data, "cid", context.cid);
	json_add_int(data, "mails", mails);
	json_add_str(data, "schema", context.schema);
	json_add_int(data, "schema_version", version);
	json_add_str(data, "server_version", site.version);
	json_add(answer, "data", data);
	request_json(request, 200, answer);
}

/* "Basic …" → user:password, owned by the caller; NULL: something else. */
static char *basic_auth(const char *header)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (strncasecmp(header, "Basic ", 6) != 0)
		return NULL;
	char *out = calloc(1, strlen(header)), *to = out;
	unsigned bits = 0, n = 0;
	for (const char *at = header + 6; *at != '\0' && *at != '='; at++) {
		const char *digit = strchr(digits, *at);
		if (digit == NULL)
			break;
		bits = bits << 6 | (unsigned)(digit - digits);
		n += 6;
		if (n >= 8)
			*to++ = (char)(bits >> (n -= 8) & 0xff);
	}
	return out;
}

static int dav_status(const char *code)
{
	if (strncmp(code, "LGN-", 4) == 0)
		return 401;
	if (strcmp(code, "AUTHORIZATION-0001") == 0)
		return 403;
	return strcmp(code, "CTX-0007") == 0 || strcmp(code, "CTX-0013") == 0 ? 503 : 500;
}

static void dav(struct request *request)
{
	struct trouble trouble;
	struct context context;
	int version;
	char *name = basic_auth(request->authorization);
	char *colon = name == NULL ? NULL : strchr(name, ':');
	if (colon == NULL) {
		trouble_set(&trouble, "LGN-0006", "authorization needed");
		answer_trouble(request, 401, &trouble);
		request_header(request, "WWW-Authenticate", "Basic realm=\"OX WebDAV\"");
	} else {
		*colon = '\0';
		if (admit(name, colon + 1, &context, &trouble) == 0 && look_at_schema(request, &context, &version, &trouble)) {
			sleep_ms(env_number("LAB_REQUEST_MS", 3));
			request->status = 207;
			request->text = strdup("<D:multistatus xmlns:D=\"DAV:\"/>");
		} else {
			answer_trouble(request, dav_status(trouble.code), &trouble);
			if (request->status == 401)
				request_header(request, "WWW-Authenticate", "Basic realm=\"OX WebDAV\"");
		}
	}
	free(name);
}

static void add_check(struct json_object *checks, const char *name, bool up, const char *key, int64_t value)
{
	struct json_object *check = json_object_new_object();
	json_add_str(check, "name", name);
	json_add_str(check, "status", up ? "UP" : "DOWN");
	if (key != NULL) {
		struct json_object *data = json_object_new_object();
		json_add_int(data, key, value);
		json_add(check, "data", data);
	}
	json_object_array_add(checks, check);
}

static bool configdb_is_up(void)
{
	struct fail fail;
	db_cleanup struct db *db = db_open(0, &fail);
	return db != NULL && db_number(db, 0, "SELECT 1") == 1;
}

/* A node that is up for a while and down for twice as long. */
static bool flaps(const struct fault *fault)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	return strcmp(fault->word, "flap") == 0 && fault->number > 0 && ms % (3 * fault->number) >= fault->number;
}

static void health(struct request *request)
{
	struct fault fault = {.word = ""};
	(void)fault_is_set("health", &fault);
	if (!site.has_health)
		return;
	if (strcmp(fault.word, "hang") == 0) {
		request->is_silent = true;
		return;
	}
	if (strcmp(fault.word, "garbage") == 0) {
		request->status = 200;
		request->text = strdup("<html><body>{\"status\":\"UP\"");
		return;
	}
	bool plugins = strcmp(fault.word, "503") != 0 && !flaps(&fault), db = changelog_is_done() && configdb_is_up();
	struct json_object *answer = json_object_new_object(), *service = json_object_new_object(), *checks = json_object_new_array();
	json_add_str(answer, "status", plugins && db ? "UP" : "DOWN");
	json_add_str(service, "name", "appsuite-middleware");
	json_add_str(service, "version", strcmp(fault.word, "old") == 0 ? "7.10.5-Rev40" : site.version);
	json_add(answer, "service", service);
	add_check(checks, "allPluginsLoaded", plugins, NULL, 0);
	add_check(checks, "jvmHeap", true, "usedPercent", 41);
	add_check(checks, "configDB", db, "readConnectionRoundtripMs", 1);
	add_check(checks, "hazelcast", true, "memberCount", cluster_count());
	json_add(answer, "checks", checks);
	request_json(request, plugins && db ? 200 : 503, answer);
}

static void state(struct request *request)
{
	struct settings settings = site_settings();
	struct json_object *answer = json_object_new_object();
	json_add_str(answer, "node", site.name);
	json_add_str(answer, "version", site.version);
	json_add_str(answer, "group", site.group);
	json_add_str(answer, "server_name", site.server_name);
	json_add_int(answer, "server_id", context_server_id());
	json_add_str(answer, "redirect", settings.redirect);
	json_add_bool(answer, "push", settings.push);
	json_add_bool(answer, "deny_implicit", settings.deny_implicit);
	json_add_int(answer, "members", cluster_count());
	json_add_int(answer, "updates", update_count());
	json_add_int(answer, "requests", web_busy()); /* this one included */
	cache_describe(answer);
	request_json(request, 200, answer);
}

static bool is_broken(struct request *request)
{
	struct fault fault;
	if (!fault_is_set("http", &fault))
		return false;
	if (strcmp(fault.word, "slow") == 0)
		sleep_ms(fault.number);
	if (strcmp(fault.word, "500") == 0)
		request->status = 500;
	return request->status == 500;
}

void users_handle(struct request *request)
{
	if (strcmp(request->path, "/health") == 0)
		health(request);
	else if (strcmp(request->path, "/lab/state") == 0)
		state(request);
	else if (is_broken(request))
		return;
	else if (strcmp(request->path, "/ajax/login") == 0)
		login(request);
	else if (strcmp(request->path, "/ajax/mail") == 0)
		mail(request);
	else if (strncmp(request->path, "/servlet/dav", 12) == 0)
		dav(request);
}
