/* SPDX-License-Identifier: MIT */
/*
 * One program for all commands of a node; its name says which. Acts on the node of LAB_NODE_DIR, OX's tools on another one
 * when RMI_HOSTNAME says so. Faults are those of the node it is run on.
 */
#include "clt.h"
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOOD_BYTES = 4 << 20 };

static void flood(void)
{
	for (size_t n = 0; n < FLOOD_BYTES; n += 64)
		puts("WARNING: An illegal reflective access operation has occurred 0123");
}

static void __attribute__((noreturn)) hang(void)
{
	fflush(NULL);
	for (;;)
		pause();
}

static int run_ox_tool(const struct tool *tool, int argc, char **argv, const struct fault *fault)
{
	struct clt clt = {.tool = tool, .port = site.rmi_port};
	snprintf(clt.host, sizeof(clt.host), "127.0.0.1");
	if (getenv("RMI_HOSTNAME") != NULL && *getenv("RMI_HOSTNAME") != '\0')
		clt_parse_host(getenv("RMI_HOSTNAME"), clt.host, &clt.port);
	clt.is_silent = strcmp(fault->word, "partial-silent") == 0;
	clt.is_partial = clt.is_silent || strcmp(fault->word, "partial") == 0;
	sleep_ms(env_number("LAB_CLT_MS", 30));
	int rc = clt_parse(&clt, argc, argv);
	if (rc == 0 && clt_option(&clt, "help") != NULL)
		printf("Usage: %s\n", tool->name);
	else if (rc == 0)
		rc = tool->run(&clt);
	json_object_put(clt.given);
	return rc;
}

static int run(const char *name, int argc, char **argv, const struct fault *fault)
{
	if (strcmp(name, "systemctl") == 0)
		return host_systemctl(argc, argv);
	if (strcmp(name, "apt-get") == 0)
		return host_apt_get(argc, argv);
	if (strcmp(name, "dpkg-query") == 0)
		return host_dpkg_query();
	for (const struct tool *tool = tools; tool->name != NULL; tool++)
		if (strcmp(tool->name, name) == 0)
			return run_ox_tool(tool, argc, argv, fault);
	fprintf(stderr, "lab-clt: no tool is called %s\n", name);
	return 127;
}

/* What a tool says when the server said that to it; 2013 comes after the statement was carried out. */
static void say_errno(int64_t number)
{
	static const struct { int64_t number; const char *text; } words[] = {
		{1040, "Too many connections"}, {1205, "Lock wait timeout exceeded; try restarting transaction"},
		{1213, "Deadlock found when trying to get lock; try restarting transaction"}, {2006, "Server has gone away"},
		{2013, "Lost connection to server during query"},
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].number == number)
			fprintf(stderr, "Server response:\n java.sql.SQLException: %s\n", words[i].text);
	exit(106);
}

static void before(const struct fault *fault)
{
	if (strcmp(fault->word, "errno") == 0 && fault->number != 2013)
		say_errno(fault->number);
	if (strcmp(fault->word, "hang") == 0)
		hang();
	if (strcmp(fault->word, "flood") == 0)
		flood();
	if (strcmp(fault->word, "die") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(fault->word, "exit") == 0)
		exit((int)fault->number);
	if (strcmp(fault->word, "slow") == 0)
		sleep_ms(fault->number);
}

static void after(const struct fault *fault)
{
	if (strcmp(fault->word, "hang-after") == 0)
		hang();
	if (strcmp(fault->word, "die-after") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(fault->word, "errno") == 0)
		say_errno(fault->number);
}

/* DIR/calls.log: one line for each call, so that a test sees what ran twice. */
static void note(const char *dir, const char *name, int argc, char **argv)
{
	char path[PATH_MAX], line[1024];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s", name);
	for (int i = 1; i < argc && len < sizeof(line); i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " %s", argv[i]);
	len = len < sizeof(line) - 1 ? len : sizeof(line) - 2;
	line[len++] = '\n';
	snprintf(path, sizeof(path), "%s/calls.log", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, len) != (ssize_t)len)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct fail fail;
	struct fault fault;
	char fault_name[128];
	const char *slash = strrchr(argv[0], '/'), *dir = getenv("LAB_NODE_DIR");
	const char *name = slash != NULL ? slash + 1 : argv[0];
	if (dir == NULL || site_load(dir, &fail) < 0) {
		fprintf(stderr, "%s: %s\n", name, dir == NULL ? "LAB_NODE_DIR is not set" : fail.text);
		return 1;
	}
	note(dir, name, argc, argv);
	snprintf(fault_name, sizeof(fault_name), "clt.%s", name);
	if (!fault_is_set(fault_name, &fault))
		fault = (struct fault){.word = ""};
	before(&fault);
	int rc = run(name, argc, argv, &fault);
	after(&fault);
	return rc;
}
