/* SPDX-License-Identifier: MIT */
#include "proc.h"

#include "durable.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

struct stat_line {
	char comm[32];
	char state;
	int session;
	unsigned long long start;
};

static bool stat_read(pid_t pid, struct stat_line *line)
{
	char path[64], text[1024];
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	close_cleanup int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The name may hold spaces and parentheses: what counts is behind the last one. */
	char *name = strchr(text, '('), *end = strrchr(text, ')');
	if (name == NULL || end == NULL || end < name)
		return false;
	(void)snprintf(line->comm, sizeof(line->comm), "%.*s", (int)(end - name - 1), name + 1);
	return sscanf(end + 1, " %c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		       &line->state, &line->session, &line->start) == 3;
}

uint64_t proc_starttime(pid_t pid)
{
	struct stat_line line;
	return pid > 0 && stat_read(pid, &line) ? line.start : 0;
}

void proc_boot_id(char out[64])
{
	const char *path = getenv("UPGD_RUN_BOOT_ID_FILE");
	size_t len;
	free_cleanup char *text =
		file_read(AT_FDCWD, path != NULL ? path : "/proc/sys/kernel/random/boot_id", 63, &len, NULL);
	(void)snprintf(out, 64, "%s", text != NULL ? text : "unknown");
	out[strcspn(out, "\n")] = '\0';
}

/* The next pid of an open /proc; 0 at its end. */
static pid_t next_pid(DIR *proc)
{
	struct dirent *entry;
	while ((entry = readdir(proc)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			return (pid_t)atoi(entry->d_name);
	return 0;
}

static void note(struct proc_found *found, pid_t pid, const struct stat_line *line)
{
	found->pid = pid;
	found->starttime = line->start;
	found->task[0] = '\0';
	memcpy(found->comm, line->comm, sizeof(line->comm));
}

size_t proc_session(pid_t leader, uint64_t starttime, struct proc_found *found, size_t max)
{
	struct stat_line line;
	/* A number in use as a session's is given to nobody; if its leader is another one, ours is empty since long. */
	if (leader <= 0 || (stat_read(leader, &line) && line.start != starttime))
		return 0;
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		return 0;
	size_t n = 0;
	for (pid_t pid; (pid = next_pid(proc)) != 0;) {
		if (!stat_read(pid, &line) || line.session != leader || line.start < starttime || line.state == 'Z' || line.state == 'X')
			continue;
		if (n < max)
			note(&found[n], pid, &line);
		n++;
	}
	closedir(proc);
	return n;
}

int proc_kill(pid_t pid, uint64_t starttime, int signal)
{
	/* A pidfd, so that the process that is looked at is the one that gets the signal. */
	close_cleanup int fd = pidfd_open(pid, 0);
	if (fd < 0)
		return -errno;
	if (proc_starttime(pid) != starttime)
		return -ESRCH;
	return pidfd_send_signal(fd, signal, NULL, 0) < 0 ? -errno : 0;
}

void proc_session_kill(pid_t leader, uint64_t starttime, int signal)
{
	enum { SOME = 256 };
	struct proc_found found[SOME];
	size_t n = proc_session(leader, starttime, found, SOME);
	for (size_t i = 0; i < n && i < SOME; i++)
		(void)proc_kill(found[i].pid, found[i].starttime, signal);
}

/* Shells hand the environment on in an order of their own, so all of it is searched: up to what Linux takes by default. */
static const char *mark_read(pid_t pid)
{
	static char text[1 + (128 << 10)];
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	close_cleanup int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	for (ssize_t n = 1; fd >= 0 && n > 0 && len < sizeof(text) - 1; len += n > 0 ? (size_t)n : 0)
		n = read(fd, text + len, sizeof(text) - 1 - len);
	text[len] = '\0';
	for (const char *word = text; word < text + len; word += strlen(word) + 1)
		if (strncmp(word, PROC_MARK, strlen(PROC_MARK)) == 0)
			return word + strlen(PROC_MARK);
	return NULL;
}

size_t proc_marked(const char *prefix, struct proc_found *found, size_t max)
{
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		return 0;
	size_t n = 0;
	for (pid_t pid; (pid = next_pid(proc)) != 0;) {
		const char *task = mark_read(pid);
		if (task == NULL)
			continue;
		size_t len = strlen(prefix);
		if (strncmp(task, prefix, len) != 0 || (prefix[len - 1] != '/' && task[len] != '\0'))
			continue;
		struct stat_line line;
		if (!stat_read(pid, &line) || line.state == 'Z' || line.state == 'X')
			continue;
		if (n < max) {
			note(&found[n], pid, &line);
			(void)snprintf(found[n].task, sizeof(found[n].task), "%.*s", (int)sizeof(found[n].task) - 1, task);
		}
		n++;
	}
	closedir(proc);
	return n;
}

uint64_t proc_boot_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
