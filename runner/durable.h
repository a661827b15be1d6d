/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Small files that are there whole or not at all, and stay there after a power cut. Not for logs or output.
 */

#include "proto/fail.h"

#include <stddef.h>

/* NAME.tmp, fsync, rename over NAME, fsync of the directory. Callers see to it that only one writes NAME at a time. */
must_check int durable_write(int dir_fd, const char *name, const char *text, size_t len, struct fail *fail);
/* Writes all of it, through short writes and EINTR; 0 or -errno. */
must_check int write_all(int fd, const char *data, size_t len);
/* The whole regular file, NUL-terminated, owned by the caller; NULL: fail->code is -errno, -EFBIG if longer than max. */
char *file_read(int dir_fd, const char *name, size_t max, size_t *len, struct fail *fail);

static inline void free_charp(char **text)
{
	__builtin_free(*text);
}
#define free_cleanup __attribute__((cleanup(free_charp)))
void close_fdp(int *fd);
#define close_cleanup __attribute__((cleanup(close_fdp)))
