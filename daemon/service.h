/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The service manager's side of the daemon: sd_notify(3) and the watchdog, spoken without libsystemd. Without a manager, all
 * of it does nothing. Never blocks; a lost message is no error, the next one tells more.
 */

#include "proto/fail.h"

#include <stdint.h>

struct service {
	int fd;               /* connected datagram socket, -1: nobody listens */
	uint64_t watchdog_ms; /* call service_watchdog() from the loop this often; 0: not asked for */
};

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, then takes them out of the environment: ssh and runners must not speak for the daemon. */
must_check int service_init(struct service *service, struct fail *fail);
void service_done(struct service *service);

void service_ready(struct service *service);     /* also ends a reload */
void service_reloading(struct service *service); /* with the monotonic time that systemd wants with it */
void service_stopping(struct service *service);
void service_watchdog(struct service *service);
void service_status(struct service *service, const char *format, ...) printf_like(2, 3); /* one line in `systemctl status` */
