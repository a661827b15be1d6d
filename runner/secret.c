/* SPDX-License-Identifier: MIT */
#include "secret.h"

#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPENING "${secret."

static int mode_check(const char *path, struct fail *fail)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return fail_set(fail, -errno, "the secret %s cannot be read: %s", path, strerror(errno));
	if ((st.st_mode & 077) != 0)
		return fail_set(fail, -EPERM, "the secret %s is open to others (mode %04o): chmod 0600 it", path,
			(unsigned)(st.st_mode & 07777));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return fail_set(fail, -EPERM, "the secret %s belongs to user %u: chown it to root", path,
			(unsigned)st.st_uid);
	return 0;
}

/* Borrowed from secrets, or NULL. */
static const char *secret_load(struct secrets *secrets, const char *name, struct fail *fail)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", secrets->dir, name);
	if (mode_check(path, fail) < 0)
		return NULL;
	size_t len;
	char *value = file_read(AT_FDCWD, path, SECRET_MAX, &len, fail);
	if (value == NULL)
		return NULL;
	value[strcspn(value, "\r\n")] = '\0';
	for (size_t i = 0; i < secrets->n; i++) {
		if (strcmp(secrets->value[i], value) != 0)
			continue;
		free(value);
		return secrets->value[i];
	}
	if (value[0] == '\0' || secrets->n == SECRETS_MAX) {
		if (value[0] == '\0')
			(void)fail_set(fail, -EINVAL, "the secret %s has an empty first line", path);
		else
			(void)fail_set(fail, -EINVAL, "more than %d secrets in one task", SECRETS_MAX);
		free(value);
		return NULL;
	}
	return secrets->value[secrets->n++] = value;
}

static const char *name_end(const char *name)
{
	const char *chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *end = name + strspn(name, chars);
	return *end == '}' && end > name && *name != '.' && end - name < 128 ? end : NULL;
}

char *secret_expand(struct secrets *secrets, const char *text, struct fail *fail)
{
	char *out = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&out, &size);
	if (stream == NULL)
		abort();
	bool ok = true;
	for (const char *hit; ok && (hit = strstr(text, OPENING)) != NULL;) {
		(void)fwrite(text, 1, (size_t)(hit - text), stream);
		const char *name = hit + strlen(OPENING), *end = name_end(name), *value = NULL;
		char copy[128];
		if (end == NULL) {
			(void)fail_set(fail, -EINVAL, "\"%.40s\" names no secret: write ${secret.NAME}", hit);
		} else {
			(void)snprintf(copy, sizeof(copy), "%.*s", (int)(end - name), name);
			value = secret_load(secrets, copy, fail);
		}
		ok = value != NULL;
		if (ok) {
			(void)fputs(value, stream);
			text = end + 1;
		}
	}
	(void)fputs(text, stream);
	(void)fclose(stream);
	if (ok)
		return out;
	free(out);
	return NULL;
}

void secrets_done(struct secrets *secrets)
{
	for (size_t i = 0; i < secrets->n; i++) {
		explicit_bzero(secrets->value[i], strlen(secrets->value[i]));
		free(secrets->value[i]);
	}
	secrets->n = 0;
}
