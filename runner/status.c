/* SPDX-License-Identifier: MIT */
#include "status.h"

#include "proc.h"
#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LIST_MAX = 1000 };

/* The command with its references to secrets, or the edit. */
static void describe(struct json_object *spec, char *text, size_t size)
{
	struct json_object *argv = NULL;
	const char *file = "", *prefix = "";
	size_t at = 0;
	text[0] = '\0';
	if (json_get_array(spec, "argv", &argv, NULL) == 0) {
		for (size_t i = 0; i < json_object_array_length(argv) && at < size; i++)
			at += (size_t)snprintf(text + at, size - at, "%s%s", i > 0 ? " " : "", json_object_get_string(json_object_array_get_idx(argv, i)));
	} else if (json_get_str(spec, "file", &file, NULL) == 0) {
		(void)!json_get_str(spec, "prefix", &prefix, NULL);
		(void)snprintf(text, size, "edit %s: %s", file, prefix);
	}
	/* It comes from the far side: no control characters on a terminal. */
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == '\x7f')
			*c = '?';
}

static bool task_print(const struct store *store, const char *name)
{
	struct task task;
	if (task_open(store, name, &task, NULL) < 0)
		return false;
	char state[64], command[160];
	struct stat st = { .st_mtime = 0 };
	const char *id = name;
	int64_t pid = 0;
	task_state(&task, state, sizeof(state));
	json_cleanup struct json_object *spec = task_record(&task, "spec", NULL);
	json_cleanup struct json_object *started = task_record(&task, "started", NULL);
	(void)fstatat(task.dir_fd, "lock", &st, 0);
	command[0] = '\0';
	if (spec != NULL) {
		(void)!json_get_str(spec, "id", &id, NULL);
		describe(spec, command, sizeof(command));
	}
	if (started != NULL && strcmp(state, "running") == 0)
		(void)!json_get_int(started, "pid", 0, INT_MAX, &pid, NULL);
	char since[32], pid_text[16] = "-";
	struct tm tm;
	(void)strftime(since, sizeof(since), "%m-%d %H:%M:%S", localtime_r(&st.st_mtime, &tm));
	if (pid > 0)
		(void)snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	(void)printf("%-14s %8s  %s  %s  %s\n", state, pid_text, since, id, command);
	task_close(&task);
	return true;
}

static size_t orphans_print(const struct store *store)
{
	static struct proc_found found[256];
	char prefix[PATH_MAX + 1];
	(void)snprintf(prefix, sizeof(prefix), "%s/", store->path);
	size_t n = proc_marked(prefix, found, sizeof(found) / sizeof(*found)), orphans = 0;
	for (size_t i = 0; i < n && i < sizeof(found) / sizeof(*found); i++) {
		const char *name = found[i].task + strlen(prefix);
		struct task task;
		bool running = false;
		if (task_open(store, name, &task, NULL) == 0) {
			running = task_runs(&task);
			task_close(&task);
		}
		if (running)
			continue;
		(void)printf("orphan         %8d  %s, left behind by %s\n", (int)found[i].pid, found[i].comm, name);
		orphans++;
	}
	return orphans;
}

static DIR *tasks_open(const struct store *store)
{
	int fd = openat(store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? NULL : fdopendir(fd);
}

/* One pass over the tasks; returns how many lines it wrote. */
static size_t list_those(const struct store *store, FILE *out, bool running, size_t max)
{
	DIR *dir = tasks_open(store);
	size_t n = 0;
	struct dirent *entry;
	while (dir != NULL && n < max && (entry = readdir(dir)) != NULL) {
		struct task task;
		if (entry->d_name[0] == '.' || task_open(store, entry->d_name, &task, NULL) < 0)
			continue;
		const char *id = NULL;
		json_cleanup struct json_object *spec = task_record(&task, "spec", NULL);
		bool runs = task_runs(&task), ended = !runs && (task_has(&task, "exit") || task_has(&task, "started"));
		if (spec != NULL && json_get_str(spec, "id", &id, NULL) == 0 && (running ? runs : ended))
			n += fprintf(out, "%s %s\n", running ? "running" : "ended", id) > 0;
		task_close(&task);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

char *status_list(const struct store *store)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (out == NULL)
		abort();
	size_t n = list_those(store, out, true, LIST_MAX);
	(void)list_those(store, out, false, LIST_MAX - n);
	if (fclose(out) != 0)
		abort();
	return text;
}

int status_print(const struct store *store)
{
	DIR *dir = tasks_open(store);
	if (dir == NULL) {
		(void)fprintf(stderr, "upgd-run: cannot list %s: %s\n", store->path, strerror(errno));
		return 1;
	}
	size_t n = 0;
	struct dirent *entry;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			n += task_print(store, entry->d_name);
	closedir(dir);
	size_t orphans = orphans_print(store);
	(void)printf("%zu task%s in %s, %zu orphaned process%s\n", n, n == 1 ? "" : "s", store->path, orphans, orphans == 1 ? "" : "es");
	return 0;
}
