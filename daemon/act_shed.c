/* SPDX-License-Identifier: MIT */
#include "act_shed.h"

#include "io/haproxy.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

struct act_shed {
	struct site *site;
	const char *balancer, *server; /* borrowed */
	size_t process;
	unsigned most, ended;
	struct haproxy_shed *open;
	char error[300];
	act_shed_fn *fn;
	void *arg;
};

void act_shed_cancel(struct act_shed *shed)
{
	if (shed != NULL)
		haproxy_shed_cancel(shed->open);
	free(shed);
}

static void next(struct act_shed *shed);

static void on_ended(void *arg, unsigned ended, const char *error)
{
	struct act_shed *shed = arg;
	shed->open = NULL;
	shed->ended += ended;
	if (error != NULL)
		(void)snprintf(shed->error, sizeof(shed->error), "%s", error);
	shed->process++;
	if (shed->ended < shed->most && shed->process < site_processes(shed->site, shed->balancer)) {
		next(shed);
		return;
	}
	struct act_shed done = *shed;
	free(shed);
	done.fn(done.arg, done.ended, done.error[0] != '\0' ? done.error : NULL);
}

static void next(struct act_shed *shed)
{
	struct haproxy *haproxy = site_haproxy(shed->site, shed->balancer, shed->process);
	shed->open = haproxy_shed(haproxy, site_backend(shed->site, shed->balancer), shed->server, shed->most - shed->ended, on_ended, shed);
}

struct act_shed *act_shed_start(struct site *site, const char *balancer, const char *server, unsigned most, act_shed_fn *fn, void *arg)
{
	struct act_shed *shed = memory_need(calloc(1, sizeof(*shed)));
	*shed = (struct act_shed){ .site = site, .balancer = balancer, .server = server, .most = most, .fn = fn, .arg = arg };
	next(shed);
	return shed;
}
