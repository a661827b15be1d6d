/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int peer_groups(struct peer *peer, int fd, gid_t primary, struct fail *fail)
{
	size_t room = 32;
	for (;;) {
		socklen_t size = (socklen_t)(room * sizeof(gid_t));
		gid_t *gids = realloc(peer->gids, (room + 1) * sizeof(gid_t));
		if (gids == NULL)
			abort();
		peer->gids = gids;
		gids[0] = primary;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &size) == 0) {
			peer->n_gids = 1 + size / sizeof(gid_t);
			return 0;
		}
		if (errno != ERANGE || size / sizeof(gid_t) <= room)
			return fail_set(fail, -errno, "cannot read the groups of a client: %s", strerror(errno));
		room = size / sizeof(gid_t); /* the kernel says how much it needs */
	}
}

/* fgetpwent() reads the file itself, where getpwuid() would ask LDAP. */
static void peer_name(struct peer *peer)
{
	FILE *file = fopen("/etc/passwd", "re");
	if (file == NULL)
		return;
	for (struct passwd *row; (row = fgetpwent(file)) != NULL;) {
		if (row->pw_uid != peer->uid)
			continue;
		(void)snprintf(peer->user, sizeof(peer->user), "%.32s", row->pw_name);
		break;
	}
	(void)fclose(file);
	for (char *c = peer->user; *c != '\0'; c++)
		if (!isgraph((unsigned char)*c))
			*c = '?';
}

int peer_init(struct peer *peer, int fd, struct fail *fail)
{
	*peer = (struct peer){ 0 };
	struct ucred ucred;
	socklen_t size = sizeof(ucred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		return fail_set(fail, -errno, "cannot read who a client is: %s", strerror(errno));
	peer->uid = ucred.uid;
	peer->pid = ucred.pid;
	int r = peer_groups(peer, fd, ucred.gid, fail);
	if (r < 0) {
		peer_done(peer);
		return r;
	}
	peer_name(peer);
	const char *open = peer->user[0] ? "(" : "", *close = peer->user[0] ? ")" : "";
	(void)snprintf(peer->actor, sizeof(peer->actor), "uid=%u%s%s%s pid=%d",
		(unsigned)peer->uid, open, peer->user, close, (int)peer->pid);
	return 0;
}

void peer_done(struct peer *peer)
{
	free(peer->gids);
	peer->gids = NULL;
	peer->n_gids = 0;
}

static bool is_among(const struct peer *peer, const struct peer_ids *ids)
{
	for (size_t i = 0; i < ids->n_uids; i++)
		if (ids->uids[i] == peer->uid)
			return true;
	for (size_t i = 0; i < ids->n_gids; i++)
		for (size_t k = 0; k < peer->n_gids; k++)
			if (ids->gids[i] == peer->gids[k])
				return true;
	return false;
}

enum role peer_role(const struct peer *peer, const struct peer_roles *roles)
{
	if (peer->uid == 0 || peer->uid == geteuid() || is_among(peer, &roles->admin))
		return ROLE_ADMIN;
	if (is_among(peer, &roles->operator))
		return ROLE_OPERATOR;
	return is_among(peer, &roles->viewer) ? ROLE_VIEWER : ROLE_NONE;
}
