/* SPDX-License-Identifier: MIT */
/*
 * lab-node DIR: a stand-in for one OX App Suite middleware node. Boots like one (slowly, rmi before http, the configdb's
 * changelog in the background), answers users and tools, and stops like one: requests in flight end, update tasks do not.
 */
#include "admin.h"
#include "changelog.h"
#include "cluster.h"
#include "context.h"
#include "fault.h"
#include "site.h"
#include "users.h"
#include "web.h"
#include "work.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STOP_POLL_MS = 10, STOP_POLLS_MAX = 2000 };

static bool is_booted;

/* Threads may be anywhere, so nothing is torn down. */
static void __attribute__((noreturn)) leave(int code)
{
	cluster_leave();
	fflush(NULL);
	_exit(code);
}

static void die(const struct fail *fail)
{
	fprintf(stderr, "lab-node: %s\n", fail->text);
	leave(1);
}

static void open_http(void *arg)
{
	struct fail fail;
	if (web_listen(site.http_port, users_handle, &fail) < 0)
		die(&fail);
	is_booted = true;
	fprintf(stderr, "node %s: version %s serves on port %d\n", site.name, site.version, site.http_port);
}

static void boot_rest(void *arg)
{
	cluster_join();
	changelog_start();
	web_post(open_http, NULL);
	if (site_settings().push)
		context_push();
}

static bool boot(void)
{
	struct fail fail;
	if (web_listen(site.rmi_port, admin_handle, &fail) < 0)
		die(&fail);
	work_run(boot_rest, NULL);
	return false;
}

static bool stop_when_idle(void)
{
	static int polls;
	if ((web_busy() > 0 || (is_booted && !changelog_is_done())) && ++polls < STOP_POLLS_MAX)
		return true;
	fprintf(stderr, "node %s: stopped\n", site.name);
	leave(0);
}

static void on_term(void)
{
	static bool is_stopping;
	if (is_stopping)
		return;
	is_stopping = true;
	fprintf(stderr, "node %s: stopping, %d requests in flight\n", site.name, web_busy());
	web_stop_listening();
	web_after(STOP_POLL_MS, stop_when_idle);
}

static int64_t boot_ms(void)
{
	struct fault fault;
	int64_t ms = env_number("LAB_BOOT_MS", 1500);
	if (!fault_is_set("boot", &fault))
		return ms;
	if (strcmp(fault.word, "never") == 0)
		return -1;
	return strcmp(fault.word, "slow") == 0 ? fault.number : ms;
}

int main(int argc, char **argv)
{
	struct fail fail;
	if (argc != 2) {
		fprintf(stderr, "usage: lab-node DIR\n");
		return 2;
	}
	setvbuf(stderr, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (site_load(argv[1], &fail) < 0 || site_load_release(&fail) < 0 || web_init(&fail) < 0) {
		fprintf(stderr, "lab-node: %s\n", fail.text);
		return 1;
	}
	web_on_signal(SIGTERM, on_term);
	web_on_signal(SIGINT, on_term);
	int64_t ms = boot_ms();
	if (ms >= 0)
		web_after(ms, boot);
	web_run();
	return 0;
}
