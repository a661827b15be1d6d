/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Calls a node's RMI stand-in: one POST, one answer, the connection ends. Blocking.
 */

#include "proto/json.h"

/*
 * POST /rmi/NAME to host:port. 0 and *out = the answer {"ok":…} or {"error":…,"exit":N}, owned by the caller; -ECONNREFUSED; -errno.
 * timeout_ms 0: wait for ever, as OX's tools do.
 */
must_check int rmi_call(const char *host, int port, const char *name, struct json_object *request, int timeout_ms,
	struct json_object **out, struct fail *fail);
/* True when something listens there. */
bool rmi_is_up(int port);
