/* SPDX-License-Identifier: MIT */
/*
 * The new text goes to a file beside the old one, is synced and renamed over it: a reader, a crash or a full disk sees the old
 * file or the new one. Symbolic links are followed first, so that the file they name is replaced and they stay. The name of the
 * new file is fixed, so that a crash leaves at most one behind, which the next edit removes.
 */
#include "edit.h"

#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int edit_check(const struct edit *edit, struct fail *fail)
{
	if (edit->file[0] != '/')
		return fail_set(fail, -EINVAL, "the file \"%.100s\" is no absolute path", edit->file);
	if (edit->prefix[0] == '\0')
		return fail_set(fail, -EINVAL, "an edit needs a prefix");
	if (strpbrk(edit->prefix, "\r\n") != NULL || (edit->value != NULL && strpbrk(edit->value, "\r\n") != NULL))
		return fail_set(fail, -EINVAL, "an edit is of one line: prefix and value hold no line ends");
	return 0;
}

/* Where the first line with the prefix begins, and its length up to the newline or the end of the text. */
static const char *find(const char *text, size_t len, const char *prefix, size_t *line_len)
{
	size_t n = strlen(prefix);
	for (const char *at = text, *end = text + len; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *line_end = newline != NULL ? newline : end;
		if ((size_t)(line_end - at) >= n && memcmp(at, prefix, n) == 0) {
			*line_len = (size_t)(line_end - at);
			return at;
		}
		at = line_end + 1;
	}
	return NULL;
}

char *edit_line(const struct edit *edit, struct fail *fail)
{
	size_t len, line_len = 0;
	free_cleanup char *text = file_read(AT_FDCWD, edit->file, EDIT_FILE_MAX, &len, fail);
	if (text == NULL)
		return NULL;
	const char *line = find(text, len, edit->prefix, &line_len);
	if (line_len > 0 && line[line_len - 1] == '\r')
		line_len--;
	if (line != NULL && memchr(line, '\0', line_len) != NULL) {
		(void)fail_set(fail, -EINVAL, "%s: the line that begins with \"%.60s\" holds a NUL byte", edit->file, edit->prefix);
		return NULL;
	}
	char *copy = strndup(line != NULL ? line : "", line_len);
	if (copy == NULL)
		abort();
	return copy;
}

/* The edited text, owned by the caller; NULL: nothing changes. */
static char *rewrite(const struct edit *edit, const char *text, size_t len, size_t *new_len)
{
	size_t line_len = 0;
	const char *line = find(text, len, edit->prefix, &line_len);
	if (line == NULL && edit->value == NULL)
		return NULL;
	char *out = NULL;
	FILE *stream = open_memstream(&out, new_len);
	if (stream == NULL)
		abort();
	const char *rest = text + len, *ending = "\n";
	if (line != NULL) {
		(void)fwrite(text, 1, (size_t)(line - text), stream);
		rest = line + line_len;
		/* A file with DOS line ends keeps them; a last line without an end stays without. */
		ending = line_len > 0 && rest[-1] == '\r' ? "\r" : "";
		if (edit->value == NULL && rest < text + len)
			rest++;
	} else {
		(void)fwrite(text, 1, len, stream);
		if (len > 0 && text[len - 1] != '\n')
			(void)fputc('\n', stream);
	}
	if (edit->value != NULL)
		(void)fprintf(stream, "%s%s%s", edit->prefix, edit->value, ending);
	(void)fwrite(rest, 1, (size_t)(text + len - rest), stream);
	(void)fclose(stream);
	if (*new_len != len || memcmp(out, text, len) != 0)
		return out;
	free(out);
	return NULL;
}

static int fill(int fd, const struct stat *old, const char *text, size_t len)
{
	/* chown first: it clears set-id bits, which chmod then puts back. */
	if (fchown(fd, old->st_uid, old->st_gid) < 0 || fchmod(fd, old->st_mode & 07777) < 0)
		return -errno;
	int err = write_all(fd, text, len);
	return err == 0 && fsync(fd) < 0 ? -errno : err;
}

static int replace(const char *path, const char *text, size_t len, struct fail *fail)
{
	char dir[PATH_MAX], tmp[NAME_MAX + 32];
	(void)snprintf(dir, sizeof(dir), "%s", path);
	char *name = strrchr(dir, '/');
	*name++ = '\0';
	(void)snprintf(tmp, sizeof(tmp), ".%s.upgd-run", name);
	close_cleanup int dir_fd = open(dir[0] != '\0' ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat old;
	if (dir_fd < 0 || fstatat(dir_fd, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_set(fail, -errno, "cannot edit %s: %s", path, strerror(errno));
	(void)unlinkat(dir_fd, tmp, 0);
	close_cleanup int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_set(fail, -errno, "cannot make a new file beside %s: %s", path, strerror(errno));
	int err = fill(fd, &old, text, len);
	if (err == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		err = -errno;
	if (err < 0) {
		(void)unlinkat(dir_fd, tmp, 0);
		return fail_set(fail, err, "cannot write the new %s: %s", path, strerror(-err));
	}
	return fsync(dir_fd) < 0 ? fail_set(fail, EDIT_UNSURE, "%s was edited, but its directory cannot be synced: %s", path, strerror(errno)) : 0;
}

int edit_apply(const struct edit *edit, struct fail *fail)
{
	char path[PATH_MAX];
	if (realpath(edit->file, path) == NULL)
		return fail_set(fail, -errno, "cannot edit %s: %s", edit->file, strerror(errno));
	size_t len, new_len, back_len;
	free_cleanup char *text = file_read(AT_FDCWD, path, EDIT_FILE_MAX, &len, fail);
	if (text == NULL)
		return fail != NULL ? fail->code : -EIO;
	free_cleanup char *out = rewrite(edit, text, len, &new_len);
	if (out == NULL)
		return 0;
	int err = replace(path, out, new_len, fail);
	if (err != 0)
		return err;
	free_cleanup char *back = file_read(AT_FDCWD, edit->file, EDIT_FILE_MAX + (64 << 10), &back_len, fail);
	if (back == NULL || back_len != new_len || memcmp(back, out, new_len) != 0)
		return fail_set(fail, EDIT_UNSURE, "%s reads back other than it was written: somebody else writes it", edit->file);
	return 0;
}
