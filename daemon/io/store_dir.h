/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The state directory without its database: the lock that keeps a second daemon out, and the ballast that is thrown
 * overboard when the disk is full. Knows nothing of SQLite.
 */

#include "proto/fail.h"

#include <stdbool.h>
#include <stddef.h>

struct store_dir {
	char *path;  /* owned */
	int fd;      /* the directory */
	int lock_fd; /* holds the flock as long as it is open */
};

/* Makes the directory (0700) if missing and takes DIR/lock. -EBUSY: another daemon has it, text names its pid. */
must_check int store_dir_open(struct store_dir *dir, const char *path, struct fail *fail);
void store_dir_close(struct store_dir *dir); /* keeps the files; fine on a zeroed struct with fds of -1 */

/* True if a daemon holds the lock of this directory; its pid as text, for people. Takes nothing, makes nothing. */
must_check bool store_dir_is_held(const char *path, char pid[static 32]);

/* True if DIR/ballast is there with its full size, laid now if it was not. False: no room for it and some air above. */
must_check bool store_dir_lay_ballast(const struct store_dir *dir, size_t bytes);
bool store_dir_drop_ballast(const struct store_dir *dir); /* true if there was one */
