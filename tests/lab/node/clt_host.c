/* SPDX-License-Identifier: MIT */
/*
 * systemctl and apt-get of a node, for the one unit and the one package it has. As the real ones: start returns when the
 * process runs, not when it serves; the package manager does not mind that the service runs, and keeps etc/.
 */
#include "clt.h"
#include "site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STOP_TIMEOUT_MS = 30000, POLL_MS = 10 };

static void pid_path(char path[512])
{
	snprintf(path, 512, "%s/node.pid", site.dir);
}

/* True when pid is a lab-node of this directory; pids are used again. */
static bool is_ours(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	char *line = file_read(path); /* up to the first NUL */
	bool ours = line != NULL && strstr(line, "lab-node") != NULL;
	free(line);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	char *stat = file_read(path);
	const char *state = stat == NULL ? NULL : strrchr(stat, ')');
	if (state == NULL || state[1] == '\0' || state[2] == 'Z')
		ours = false;
	free(stat);
	return ours;
}

/* 0: it does not run. */
static pid_t running(void)
{
	char path[512];
	pid_path(path);
	char *text = file_read(path);
	pid_t pid = text == NULL ? 0 : (pid_t)atoi(text);
	free(text);
	return pid > 0 && is_ours(pid) ? pid : 0;
}

static const char *node_program(char path[PATH_MAX])
{
	if (getenv("LAB_NODE_BIN") != NULL)
		return getenv("LAB_NODE_BIN");
	char self[PATH_MAX] = "";
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return "lab-node";
	snprintf(path, PATH_MAX, "%.4000s/lab-node", dirname(self));
	return path;
}

static void __attribute__((noreturn)) become_node(const char *program)
{
	char log[512];
	snprintf(log, sizeof(log), "%s/node.log", site.dir);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	setsid();
	unsetenv("ADMIN_PASSWORD");
	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	/* Nothing of the caller's stays open: whoever reads our output waits for its end. */
	close_range(3, ~0U, 0);
	execl(program, program, site.dir, (char *)NULL);
	perror(program);
	_exit(127);
}

static int start(void)
{
	char path[512], program[PATH_MAX], text[16];
	if (running() != 0)
		return 0;
	int go[2];
	if (pipe2(go, O_CLOEXEC) != 0)
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		/* The pid file is there before the node is. */
		close(go[1]);
		(void)!read(go[0], text, 1);
		become_node(node_program(program));
	}
	pid_path(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int n = snprintf(text, sizeof(text), "%d\n", (int)pid);
	if (pid < 0 || fd < 0 || write(fd, text, (size_t)n) != n) {
		fprintf(stderr, "Job for open-xchange.service failed: %s\n", strerror(errno));
		return 1;
	}
	close(fd);
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < 200 && running() == 0 && kill(pid, 0) == 0; i++)
		sleep_ms(POLL_MS); /* until the exec */
	return running() != 0 ? 0 : 1;
}

static int stop(void)
{
	char path[512];
	pid_t pid = running();
	if (pid != 0)
		kill(pid, SIGTERM);
	for (int waited = 0; pid != 0 && is_ours(pid); waited += POLL_MS) {
		if (waited == STOP_TIMEOUT_MS)
			kill(pid, SIGKILL);
		sleep_ms(POLL_MS);
	}
	pid_path(path);
	unlink(path);
	return 0;
}

static int is_active(void)
{
	bool active = running() != 0;
	puts(active ? "active" : "inactive");
	return active ? 0 : 3;
}

int host_systemctl(int argc, char **argv)
{
	if (argc < 3 || strncmp(argv[argc - 1], "open-xchange", 12) != 0) {
		fprintf(stderr, "Failed to run: unit %s not found.\n", argc > 1 ? argv[argc - 1] : "");
		return 5;
	}
	const char *verb = argv[1];
	if (strcmp(verb, "is-active") == 0)
		return is_active();
	char path[512];
	snprintf(path, sizeof(path), "%s/.systemctl.lock", site.dir);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644); /* jobs of one unit queue */
	flock(lock, LOCK_EX);
	if (strcmp(verb, "start") == 0)
		return start();
	if (strcmp(verb, "stop") == 0)
		return stop();
	if (strcmp(verb, "restart") == 0)
		return stop() == 0 ? start() : 1;
	fprintf(stderr, "Unknown command verb %s.\n", verb);
	return 1;
}

static int copy_file(const char *from, const char *to)
{
	char *text = file_read(from);
	FILE *out = text == NULL ? NULL : fopen(to, "we");
	int rc = out == NULL || fputs(text, out) < 0 ? -1 : 0;
	if (out != NULL && fclose(out) != 0)
		rc = -1;
	free(text);
	return rc;
}

static int copy_directory(const char *from, const char *to)
{
	char source[1024], target[1024];
	int rc = mkdir(to, 0755) == 0 || errno == EEXIST ? 0 : -1;
	DIR *directory = opendir(from);
	for (struct dirent *entry = directory == NULL ? NULL : readdir(directory); entry != NULL; entry = readdir(directory)) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		rc |= copy_file(source, target);
	}
	if (directory != NULL)
		closedir(directory);
	return rc;
}

static int switch_current(const char *version)
{
	char link[600], fresh[600], target[300];
	snprintf(link, sizeof(link), "%s/current", site.dir);
	snprintf(fresh, sizeof(fresh), "%s/current.dpkg-new", site.dir);
	snprintf(target, sizeof(target), "versions/%s", version);
	unlink(fresh);
	return symlink(target, fresh) == 0 && rename(fresh, link) == 0 ? 0 : -1;
}

/* "7.10.6*" → the last of the versions there are that fits; the same text when none does. */
static void resolve_version(const char *wanted, char version[128])
{
	char pattern[600];
	glob_t found;
	snprintf(version, 128, "%s", wanted);
	snprintf(pattern, sizeof(pattern), "%s/packages/%s", site.lab, wanted);
	if (strchr(wanted, '*') == NULL || strchr(wanted, '/') != NULL || glob(pattern, 0, NULL, &found) != 0)
		return;
	snprintf(version, 128, "%s", strrchr(found.gl_pathv[found.gl_pathc - 1], '/') + 1);
	globfree(&found);
}

static int install(const char *wanted, bool simulate)
{
	char from[600], to[600], version[128];
	struct stat info;
	resolve_version(wanted, version);
	snprintf(from, sizeof(from), "%s/packages/%s", site.lab, version);
	snprintf(to, sizeof(to), "%s/versions", site.dir);
	mkdir(to, 0755);
	snprintf(to, sizeof(to), "%s/versions/%s", site.dir, version);
	if (*version == '\0' || strchr(version, '/') != NULL || stat(from, &info) != 0) {
		fprintf(stderr, "E: Version '%s' for 'open-xchange' was not found\n", version);
		return 100;
	}
	if (simulate)
		return 0;
	printf("Reading package lists...\nBuilding dependency tree...\nThe following packages will be upgraded:\n  open-xchange\n"
	       "Preparing to unpack .../open-xchange_%s_all.deb ...\n", version);
	fflush(stdout);
	sleep_ms(env_number("LAB_APT_MS", 300));
	if (copy_directory(from, to) != 0 || switch_current(version) != 0) {
		fprintf(stderr, "dpkg: error processing archive open-xchange_%s_all.deb (--unpack): %s\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
			version, strerror(errno));
		return 100;
	}
	printf("Setting up open-xchange (%s) ...\n", version);
	return 0;
}

int host_apt_get(int argc, char **argv)
{
	char path[512];
	const char *package = NULL;
	bool is_install = false, simulate = false;
	for (int i = 1; i < argc; i++) {
		simulate = simulate || strcmp(argv[i], "--simulate") == 0;
		is_install = is_install || strcmp(argv[i], "install") == 0;
		if (strncmp(argv[i], "open-xchange", 12) == 0)
			package = argv[i];
	}
	if (argc > 1 && strcmp(argv[1], "update") == 0)
		return 0;
	const char *equals = package == NULL ? NULL : strchr(package, '=');
	if (!is_install || equals == NULL) {
		fprintf(stderr, "E: Invalid operation (the lab knows: apt-get install -y open-xchange=VERSION)\n");
		return 100;
	}
	snprintf(path, sizeof(path), "%s/.dpkg.lock", site.dir);
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		fprintf(stderr, "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by another process (apt-get)\n");
		return 100;
	}
	return install(equals + 1, simulate);
}

int host_dpkg_query(void)
{
	char link[600], target[300];
	snprintf(link, sizeof(link), "%s/current", site.dir);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0) {
		fprintf(stderr, "dpkg-query: no packages found matching open-xchange\n");
		return 1;
	}
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	fputs(slash != NULL ? slash + 1 : target, stdout);
	return 0;
}
