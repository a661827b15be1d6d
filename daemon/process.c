/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "config.h"
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	FILES_OWN = 40,      /* the loop, the journal, the log, listening, a profile and its tools */
	FILES_NODE = 4,      /* the runner's channel and its errors, a question, a connection that is kept */
	FILES_PROCESS = 2,   /* its socket, its master's */
	FILES_DATABASE = 14, /* two pools (site.c, hosts.c): five connections at most, a copy of each, two wakes, a kill */
	FILES_REPLICA = 8,
};

/*
 * Whatever fails for want of memory ends in abort(): every size from outside is capped, so there is nothing better to do than to fold anew.
 * Only what may be called in a signal handler: the heap is what is broken.
 */
static void on_abort(int number)
{
	static const char text[] = "upgd: out of memory, ending; the journal has all that was done, a new start goes on from there\n";
	if (errno == ENOMEM) {
		ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)written;
		_exit(EXIT_FAILURE);
	}
	(void)signal(number, SIG_DFL); /* a bug: abort() goes on, and leaves a core */
}

void process_begin(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			abort(); /* nowhere to say it */
	struct sigaction action = { .sa_handler = on_abort };
	(void)sigaction(SIGABRT, &action, NULL);
}

static rlim_t files_needed(const struct config *config)
{
	rlim_t n = FILES_OWN + CONTROL_CLIENTS_MAX + FILES_NODE * config->n_nodes + FILES_DATABASE * (config->n_databases + config->n_hosts);
	for (size_t i = 0; i < config->n_hosts; i++)
		n += FILES_REPLICA * config->hosts[i].replicas.n;
	for (size_t i = 0; i < config->n_balancers; i++)
		n += FILES_PROCESS * config->balancers[i].sockets.n;
	return n;
}

int process_files(const struct config *config, struct fail *fail)
{
	struct rlimit limit;
	rlim_t need = files_needed(config);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
		return 0;
	if (limit.rlim_max < need)
		return fail_set(fail, -EMFILE, "%llu files may be open at once with these nodes, balancers and databases, and the limit is %llu: raise it "
			"(LimitNOFILE= of the service, ulimit -n)", (unsigned long long)need, (unsigned long long)limit.rlim_max);
	limit.rlim_cur = need;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return fail_set(fail, -errno, "cannot raise the limit of open files to %llu: %s", (unsigned long long)need, strerror(errno));
	return 0;
}
