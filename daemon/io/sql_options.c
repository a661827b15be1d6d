/* SPDX-License-Identifier: MIT */
/*
 * What the libraries do in silence, and is refused here:
 * - a file that is missing or cannot be read is skipped, and the connection is tried with defaults;
 * - a file that others may write is believed; one with a password may be read by everybody;
 * - Connector/C reads the flags ssl and ssl-verify-server-cert as numbers: "ssl-verify-server-cert" alone, "=on" and "=true" are
 *   all 0, and the connection goes on in plain text or unverified. Only =1 and =0 are accepted;
 * - !includedir means other files in Connector/C than in libmysqlclient.
 * The values themselves stay with the library; only what has to be judged is looked at.
 */
#include "sql_options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INCLUDE_DEPTH = 8 };

struct scan {
	const char *group;
	struct sql_options *out;
	int depth;
	bool is_ours; /* inside a section that the library will read */
};

struct place {
	const char *file;
	unsigned line;
	mode_t mode;
};

static int file_scan(const char *file, struct scan *scan, struct fail *fail);

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

static bool is_section(const char *name, const char *group)
{
	static const char *const names[] = { "client", "client-server", "client-mariadb" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return group != NULL && strcmp(name, group) == 0;
}

static void unquote(char *value)
{
	size_t len = strlen(value);
	if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
		memmove(value, value + 1, len - 2);
		value[len - 2] = '\0';
	}
}

static int flag_scan(const struct place *place, const char *key, const char *value, struct scan *scan, struct fail *fail)
{
	if (value == NULL || (strcmp(value, "1") != 0 && strcmp(value, "0") != 0))
		return fail_set(fail, -EINVAL, "%s:%u: write \"%s=1\" (or =0): the client library takes anything else for 0 and would not protect the connection",
			place->file, place->line, key);
	if (value[0] == '1') {
		scan->out->tls = true;
		scan->out->verify |= strcmp(key, "ssl") != 0;
	}
	return 0;
}

static int option_scan(const struct place *place, char *line, struct scan *scan, struct fail *fail)
{
	char *value = strchr(line, '=');
	if (value != NULL) {
		*value++ = '\0';
		value = trim(value);
		unquote(value);
	}
	char *key = trim(line);
	for (char *c = key; *c != '\0'; c++)
		*c = *c == '_' ? '-' : *c;

	/* A password is one in whatever section it stands. */
	if (strcmp(key, "password") == 0 && value != NULL && value[0] != '\0' && (place->mode & S_IROTH) != 0)
		return fail_set(fail, -EACCES, "%s holds a password and everybody may read it (mode %04o): chmod 0600 it, or 0640 with upgd's group",
			place->file, (unsigned)place->mode);
	if (!scan->is_ours)
		return 0;
	if (strcmp(key, "ssl") == 0 || strcmp(key, "ssl-verify-server-cert") == 0)
		return flag_scan(place, key, value, scan, fail);
	if (value == NULL || value[0] == '\0')
		return 0;
	if (strcmp(key, "ssl-ca") == 0 || strcmp(key, "ssl-capath") == 0)
		scan->out->tls = true;
	if (strcmp(key, "ssl-mode") == 0 && strcasecmp(value, "DISABLED") != 0 && strcasecmp(value, "PREFERRED") != 0)
		scan->out->tls = true;
	return 0;
}

static int line_scan(const struct place *place, char *line, struct scan *scan, struct fail *fail)
{
	line = trim(line);
	if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
		return 0;
	if (strncmp(line, "!includedir", 11) == 0)
		return fail_set(fail, -EINVAL, "%s:%u: !includedir means other files to each client library: write !include FILE, or the options themselves",
			place->file, place->line);
	if (strncmp(line, "!include", 8) == 0)
		return file_scan(trim(line + 8), scan, fail);
	if (line[0] == '[') {
		line[strcspn(line, "]")] = '\0';
		scan->is_ours = is_section(trim(line + 1), scan->group);
		return 0;
	}
	return option_scan(place, line, scan, fail);
}

static int mode_check(const char *file, int fd, struct place *place, struct fail *fail)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_set(fail, -errno, "cannot read the option file %s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_set(fail, -EINVAL, "the option file %s is no regular file", file);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return fail_set(fail, -EACCES, "the option file %s may be written by others than its owner (mode %04o): chmod go-w it",
			file, (unsigned)st.st_mode & 07777);
	place->mode = st.st_mode & 07777;
	return 0;
}

static int file_scan(const char *file, struct scan *scan, struct fail *fail)
{
	if (scan->depth >= INCLUDE_DEPTH)
		return fail_set(fail, -ELOOP, "the option file %s is included more than %d deep", file, INCLUDE_DEPTH);
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail_set(fail, -errno, "cannot read the option file %s: %s; it needs a section [client] with host, user and password, mode 0600",
			file, strerror(errno));
	struct place place = { .file = file };
	int error = mode_check(file, fd, &place, fail);
	FILE *stream = error == 0 ? fdopen(fd, "r") : NULL;
	if (stream == NULL) {
		close(fd);
		return error != 0 ? error : fail_set(fail, -errno, "cannot read the option file %s: %s", file, strerror(errno));
	}
	char *line = NULL;
	size_t size = 0;
	bool outer = scan->is_ours;
	scan->is_ours = false;
	scan->depth++;
	while (error == 0 && getline(&line, &size, stream) >= 0) {
		place.line++;
		error = line_scan(&place, line, scan, fail);
	}
	scan->depth--;
	scan->is_ours = outer;
	free(line);
	fclose(stream);
	return error;
}

int sql_options_check(const char *file, const char *group, struct sql_options *out, struct fail *fail)
{
	*out = (struct sql_options){ 0 };
	struct scan scan = { .group = group, .out = out };
	return file_scan(file, &scan, fail);
}
