/* SPDX-License-Identifier: MIT */
#pragma once
/* How haproxy_shed() is carried out; for haproxy.c only. master NULL: nobody asks old workers. The addresses must outlive it. */

#include "haproxy.h"

struct haproxy_address;

struct haproxy_shed *haproxy_shed_start(struct loop *loop, const struct haproxy_address *socket, const struct haproxy_address *master,
	const char *backend, const char *server, unsigned most, haproxy_shed_fn *fn, void *arg);
