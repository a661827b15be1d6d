/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The site as the configuration names it, as live objects: one runner per place, one haproxy per process, one pool of SQL workers per
 * server, one http. Made on first use where a connection or a thread hangs on it. Knows nothing of rollouts.
 */

#include "daemon/io/haproxy.h"
#include "proto/fail.h"

#include <stddef.h>

struct loop;
struct config;
struct site;
struct site_call;
struct runner;
struct sql;
struct http;

struct site *site_new(struct loop *loop, const struct config *config, struct fail *fail); /* config is borrowed and must live as long */
void site_free(struct site *site); /* cancels without callbacks; NULL is fine */

const struct config *site_config(const struct site *site);
struct loop *site_loop(const struct site *site);
struct http *site_http(const struct site *site);

/* NULL with fail set: no such place, or it cannot be made. node NULL: the place "local". */
struct runner *site_runner(struct site *site, const char *node, struct fail *fail);
/* "configdb" by name, or "host:3" by pool id. */
struct sql *site_sql(struct site *site, const char *target, struct fail *fail);

/* Read replicas of the host that has the pool; 0 also where no host has it. */
size_t site_replicas(const struct site *site, const char *pool);
struct sql *site_replica(struct site *site, const char *pool, size_t index, struct fail *fail);

/* Processes of a balancer; 0: no such balancer. */
size_t site_processes(const struct site *site, const char *balancer);
struct haproxy *site_haproxy(struct site *site, const char *balancer, size_t process);
const char *site_backend(const struct site *site, const char *balancer);
const char *site_socket(const struct site *site, const char *balancer, size_t process); /* for messages */
bool site_has_master(const struct site *site, const char *balancer);

/*
 * Questions and commands to one HAProxy process that can be taken back: no callback after the cancel, though a command may have
 * been sent. The call is over when its callback runs. The balancer must exist.
 */
struct site_call *site_snapshot(struct site *site, const char *balancer, size_t process, haproxy_snapshot_fn *fn, void *arg);
struct site_call *site_set(struct site *site, const char *balancer, size_t process, const char *server, enum haproxy_want want,
	haproxy_command_fn *fn, void *arg);
struct site_call *site_shutdown(struct site *site, const char *balancer, size_t process, const char *server, haproxy_command_fn *fn, void *arg);
void site_call_cancel(struct site_call *call); /* NULL is fine */
