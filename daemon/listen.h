/* SPDX-License-Identifier: MIT */
#pragma once
/* A listening Unix socket: our own file, or one that the service manager passed. */

#include "proto/fail.h"

#include <sys/stat.h>
#include <sys/un.h>

struct listener {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": passed, the file is not ours */
	dev_t dev; /* of the file, so that nobody else's is removed at the end */
	ino_t ino;
};

/*
 * The socket of LISTEN_FDS if there is one for this process, else path with mode. A socket file that nobody answers on is
 * replaced; -EADDRINUSE: somebody does; -EEXIST: the path is something else than a socket.
 */
must_check int listener_open(struct listener *listener, const char *path, mode_t mode, struct fail *fail);
void listener_close(struct listener *listener);
