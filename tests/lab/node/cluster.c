/* SPDX-License-Identifier: MIT */
/*
 * A member is a file LAB/clusters/GROUP/NODE with its rmi port. A node that was killed leaves its file; whoever finds nobody
 * listening there removes it. Versions are part of the group's name, so old and new nodes never hear of each other.
 */
#include "cluster.h"
#include "cache.h"
#include "fault.h"
#include "rmi.h"
#include "site.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMBERS_MAX = 256, TELL_MS = 2000 };

static void group_path(char *path, size_t size, const char *member)
{
	snprintf(path, size, "%s/clusters/%s%s%s", site.lab, site.group, *member != '\0' ? "/" : "", member);
}

/* Ports of the other live members. */
static int other_members(int ports[MEMBERS_MAX])
{
	char path[1024];
	int n = 0;
	if (fault_is("cluster", "split"))
		return 0;
	group_path(path, sizeof(path), "");
	DIR *group = opendir(path);
	if (group == NULL)
		return 0;
	for (struct dirent *entry = readdir(group); entry != NULL && n < MEMBERS_MAX; entry = readdir(group)) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, site.name) == 0)
			continue;
		group_path(path, sizeof(path), entry->d_name);
		char *text = file_read(path);
		int port = text == NULL ? 0 : atoi(text);
		free(text);
		if (port > 0 && rmi_is_up(port))
			ports[n++] = port;
		else if (port > 0)
			unlink(path);
	}
	closedir(group);
	return n;
}

int cluster_count(void)
{
	int ports[MEMBERS_MAX];
	return 1 + other_members(ports);
}

static void adopt_sessions(int port)
{
	struct fail fail;
	struct json_object *sessions = NULL;
	json_cleanup struct json_object *request = json_object_new_object();
	json_cleanup struct json_object *answer = NULL;
	if (rmi_call("127.0.0.1", port, "_sessions", request, TELL_MS, &answer, &fail) < 0 ||
		json_get_object(answer, "ok", &sessions, &fail) != 0)
		return;
	struct json_object_iter at;
	json_object_object_foreachC(sessions, at)
		session_put(at.key, json_object_get_int(at.val));
}

void cluster_join(void)
{
	char path[1024], port[16];
	int ports[MEMBERS_MAX];
	snprintf(path, sizeof(path), "%s/clusters", site.lab);
	mkdir(path, 0755);
	group_path(path, sizeof(path), "");
	mkdir(path, 0755);
	/* In place before the sessions are fetched, so that none falls between. Hidden until it is whole. */
	char hidden[1024], member[80];
	snprintf(member, sizeof(member), ".%s", site.name);
	group_path(hidden, sizeof(hidden), member);
	group_path(path, sizeof(path), site.name);
	int fd = open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	snprintf(port, sizeof(port), "%d\n", site.rmi_port);
	if (fd < 0 || write(fd, port, strlen(port)) < 0 || rename(hidden, path) != 0)
		perror(path);
	if (fd >= 0)
		close(fd);
	int n = other_members(ports);
	for (int i = 0; i < n; i++)
		adopt_sessions(ports[i]);
	fprintf(stderr, "cluster %s joined, %d members\n", site.group, n + 1);
}

void cluster_leave(void)
{
	char path[1024];
	group_path(path, sizeof(path), site.name);
	unlink(path);
}

void cluster_tell(const char *name, struct json_object *request)
{
	int ports[MEMBERS_MAX];
	int n = other_members(ports);
	for (int i = 0; i < n; i++) {
		struct fail fail;
		json_cleanup struct json_object *answer = NULL;
		if (rmi_call("127.0.0.1", ports[i], name, request, TELL_MS, &answer, &fail) < 0)
			fprintf(stderr, "cluster: %s\n", fail.text);
	}
}

void cluster_forget_contexts(struct json_object *cids, int with_sessions)
{
	json_cleanup struct json_object *request = json_object_new_object();
	json_add(request, "cids", json_object_get(cids));
	json_add_int(request, "sessions", with_sessions);
	cache_contexts_forget(cids);
	if (with_sessions)
		sessions_drop(cids);
	cluster_tell("_forget", request);
}

void cluster_forget_schema(int pool, const char *schema)
{
	json_cleanup struct json_object *request = json_object_new_object();
	json_add_int(request, "pool", pool);
	json_add_str(request, "schema", schema);
	cache_schema_forget(pool, schema);
	cluster_tell("_forget_schema", request);
}

void cluster_add_session(const char *id, int cid)
{
	json_cleanup struct json_object *request = json_object_new_object();
	json_add_str(request, "id", id);
	json_add_int(request, "cid", cid);
	session_put(id, cid);
	cluster_tell("_session", request);
}
