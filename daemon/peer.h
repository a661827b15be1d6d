/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Who is at the other end of a Unix socket, by the kernel's word, and what role that gives. Never NSS: a directory service that
 * hangs must not hang the daemon. Groups are those the process has (SO_PEERGROUPS), not those a database would give it.
 */

#include "proto/fail.h"
#include "proto/methods.h"

#include <stddef.h>
#include <sys/types.h>

struct peer_roles {
	struct peer_ids {
		const uid_t *uids;
		size_t n_uids;
		const gid_t *gids;
		size_t n_gids;
	} viewer, operator, admin; /* borrowed */
};

struct peer {
	uid_t uid;
	pid_t pid;
	gid_t *gids; /* owned; the primary one is the first */
	size_t n_gids;
	char user[33];  /* of /etc/passwd, "" if it is not there */
	char actor[96]; /* "uid=1001(eva) pid=4711" */
};

must_check int peer_init(struct peer *peer, int fd, struct fail *fail);
void peer_done(struct peer *peer);

/* The highest role of the uid and any of the groups; root and the daemon's own uid are admin. */
enum role peer_role(const struct peer *peer, const struct peer_roles *roles);
