/* SPDX-License-Identifier: MIT */
#include "serve.h"
#include "status.h"
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: upgd-run serve [--state DIR] [--secrets DIR]   speak to upgd on standard input and output\n"
	"       upgd-run status [--state DIR]                  list the tasks of this host\n"
	"       upgd-run --version | --help\n"
	"DIR: /var/lib/upgd-run, /etc/upgd/secrets\n";

static int usage_print(FILE *stream, int code)
{
	(void)fputs(usage, stream);
	return code;
}

/* A descriptor that is closed would be taken by the next open(), which the program would then write to. */
static void std_fds_open(void)
{
	for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = open("/dev/null", O_RDWR))
		if (fd > 2) {
			close(fd);
			return;
		}
}

int main(int argc, char **argv)
{
	const struct option options[] = { { "state", required_argument, NULL, 's' }, { "secrets", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	const char *state = "/var/lib/upgd-run", *secrets = "/etc/upgd/secrets";
	std_fds_open();
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (option == 's')
			state = optarg;
		else if (option == 'k')
			secrets = optarg;
		else if (option == 'V')
			return printf("upgd-run %s\n", UPGD_VERSION) < 0;
		else
			return usage_print(option == 'h' ? stdout : stderr, option == 'h' ? 0 : EXIT_USAGE);
	}
	const char *verb = optind < argc ? argv[optind] : "";
	int n_args = argc - optind - 1;
	bool is_supervise = strcmp(verb, "supervise") == 0;
	bool is_status = strcmp(verb, "status") == 0;
	bool is_known = is_supervise || is_status || strcmp(verb, "serve") == 0;
	if (!is_known || n_args != (is_supervise ? 1 : 0))
		return usage_print(stderr, EXIT_USAGE);

	/* It changes nothing: a directory that is mistyped is named, not made. */
	if (is_status && access(state, F_OK) < 0 && errno == ENOENT)
		return printf("0 tasks: there is no %s: nothing has run here yet, or its tasks are in another --state\n", state) < 0;
	struct store store;
	struct fail fail = { .code = 0 };
	if (store_open(&store, state, secrets, &fail) < 0) {
		(void)fprintf(stderr, "upgd-run: %s\n", fail.text);
		return 1;
	}
	int code = is_supervise ? supervise(&store, argv[optind + 1]) : strcmp(verb, "serve") == 0 ? serve(&store) : status_print(&store);
	store_close(&store);
	return code;
}
