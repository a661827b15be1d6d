/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct site site;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct settings current;

char *file_read(const char *path)
{
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return NULL;
	char *text = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&text, &size, '\0', in);
	fclose(in);
	if (n < 0) {
		free(text);
		return strdup("");
	}
	return text;
}

int64_t env_number(const char *name, int64_t otherwise)
{
	const char *value = getenv(name);
	return value != NULL && *value != '\0' ? strtoll(value, NULL, 10) : otherwise;
}

void sleep_ms(int64_t ms)
{
	struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (ms > 0 && nanosleep(&rest, &rest) != 0 && errno == EINTR)
		;
}

char *property_read(const char *file, const char *key)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/etc/%s", site.dir, file);
	char *text = file_read(path), *value = NULL, *rest = NULL;
	size_t n = strlen(key);
	/* The last line of a key wins, as in Java. */
	for (char *line = text == NULL ? NULL : strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
		if (strncmp(line, key, n) != 0)
			continue;
		char *at = line + n + strspn(line + n, " \t");
		if (*at != '=' && *at != ':')
			continue;
		at += 1 + strspn(at + 1, " \t");
		free(value);
		value = strdup(at);
	}
	free(text);
	return value;
}

static struct json_object *read_json(const char *path, struct fail *fail)
{
	char *text = file_read(path);
	if (text == NULL) {
		fail_set(fail, -errno, "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	struct json_object *object = json_parse(text, strlen(text), fail);
	if (object == NULL)
		fail_prefix(fail, "%s", path);
	free(text);
	return object;
}

int site_load(const char *dir, struct fail *fail)
{
	char path[512];
	const char *name = "", *lab = "", *configdb = "";
	int64_t http = 0, rmi = 0;
	snprintf(site.dir, sizeof(site.dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/node.json", dir);
	json_cleanup struct json_object *node = read_json(path, fail);
	if (node == NULL)
		return fail->code;
	if (json_get_str(node, "name", &name, fail) < 0 || json_get_str(node, "lab", &lab, fail) < 0 ||
		json_get_str(node, "configdb", &configdb, fail) < 0 || json_get_int(node, "http", 0, 65535, &http, fail) < 0 ||
		json_get_int(node, "rmi", 1, 65535, &rmi, fail) < 0)
		return fail->code;
	snprintf(site.name, sizeof(site.name), "%s", name);
	snprintf(site.lab, sizeof(site.lab), "%s", lab);
	snprintf(site.configdb, sizeof(site.configdb), "%s", configdb);
	site.http_port = (int)http;
	site.rmi_port = (int)rmi;
	return 0;
}

static void load_once_properties(void)
{
	char *name = property_read("system.properties", "SERVER_NAME");
	char *group = property_read("hazelcast.properties", "com.openexchange.hazelcast.group.name");
	char *reason = property_read("plugin/hosting.properties", "SCHEMA_MOVE_MAINTENANCE_REASON");
	snprintf(site.server_name, sizeof(site.server_name), "%s", name != NULL ? name : "oxserver");
	snprintf(site.group, sizeof(site.group), "%s-%s", group != NULL && *group != '\0' ? group : "ox", site.version);
	site.maintenance_reason = reason != NULL && *reason != '\0' ? strtoll(reason, NULL, 10) : 1431655765;
	free(name);
	free(group);
	free(reason);
}

int site_load_release(struct fail *fail)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/current/release", site.dir);
	struct json_object *release = read_json(path, fail); /* for the life of the process */
	if (release == NULL)
		return fail->code;
	if (json_get_str(release, "version", &site.version, fail) != 0 || json_get_str(release, "package", &site.package, fail) != 0 ||
		json_get_array(release, "tasks", &site.tasks, fail) != 0 || json_get_array(release, "changelog", &site.changelog, fail) != 0)
		return fail_set(fail, -EINVAL, "%s: version, package, tasks and changelog are needed", path);
	site.has_health = true;
	if (json_get_bool(release, "health", &site.has_health, fail) < 0)
		return fail->code;
	site.by_name = json_object_new_object();
	for (size_t i = 0; i < json_object_array_length(site.tasks); i++) {
		struct json_object *task = json_object_array_get_idx(site.tasks, i);
		const char *name = NULL;
		if (json_get_str(task, "name", &name, fail) != 0)
			return fail_set(fail, -EINVAL, "%s: task %zu has no name", path, i);
		json_add(site.by_name, name, json_object_get(task));
	}
	load_once_properties();
	site_reload();
	return 0;
}

static bool is_on(const char *key, bool otherwise)
{
	char *value = property_read("server.properties", key);
	bool on = value == NULL || *value == '\0' ? otherwise : strncasecmp(value, "true", 4) == 0;
	free(value);
	return on;
}

static int64_t number(const char *key, int64_t otherwise)
{
	char *value = property_read("server.properties", key);
	int64_t n = value == NULL || *value == '\0' ? otherwise : strtoll(value, NULL, 10);
	free(value);
	return n;
}

void site_reload(void)
{
	/* What 7.10.6 brought: lock expiry, and a way to forbid updates nobody asked for. */
	bool modern = strverscmp(site.version, "7.10.6") >= 0;
	char *redirect = property_read("server.properties", "com.openexchange.server.migrationRedirectURL");
	struct settings next = {
		.push = is_on("com.openexchange.push.allowPermanentPush", true),
		.deny_implicit = modern && is_on("com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad", false),
		.locked_idle_ms = number("com.openexchange.groupware.update.locked.idleMillis", modern ? 60000 : 0),
		.refresh_ms = number("com.openexchange.groupware.update.refreshIntervalMillis", modern ? 20000 : 300000),
	};
	snprintf(next.redirect, sizeof(next.redirect), "%s", redirect != NULL ? redirect : "");
	free(redirect);
	pthread_mutex_lock(&lock);
	current = next;
	pthread_mutex_unlock(&lock);
}

struct settings site_settings(void)
{
	pthread_mutex_lock(&lock);
	struct settings copy = current;
	pthread_mutex_unlock(&lock);
	return copy;
}

bool site_is_excluded(const char *task)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/etc/excludedupdatetasks.properties", site.dir);
	char *text = file_read(path), *rest = NULL;
	bool found = false;
	for (char *line = text == NULL ? NULL : strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest))
		found = found || strcmp(line, task) == 0;
	free(text);
	return found;
}

bool site_password_is(const char *password)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/secrets/ox", site.lab);
	char *right = file_read(path);
	if (right == NULL)
		return false;
	right[strcspn(right, "\r\n")] = '\0';
	bool same = password != NULL && strcmp(right, password) == 0;
	explicit_bzero(right, strlen(right));
	free(right);
	return same;
}
