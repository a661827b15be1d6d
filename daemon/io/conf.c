/* SPDX-License-Identifier: MIT */
/*
 * libconfig's settings are copied into our own tree and the library is let go at once: nothing else in upgd knows its types, and a
 * later change of library is a change of this file. Getters and mistakes are in conf_get.c, traps of the text in conf_scan.c.
 *
 * libconfig 1.5 loses a string's buffer (some 64 bytes) when a syntax error follows it: leak checkers see that on bad files only.
 */
#include "conf.h"

#include "conf_scan.h"
#include "daemon/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libconfig.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void node_done(struct conf_node *node)
{
	for (size_t i = 0; i < node->n_children; i++)
		node_done(&node->children[i]);
	free(node->children);
	free(node->string);
	free(node->name);
}

void conf_done(struct conf *conf)
{
	if (conf == NULL)
		return;
	node_done(&conf->root);
	free(conf->file);
	*conf = (struct conf){0};
}

static enum conf_type type_of(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return CONF_GROUP;
	case CONFIG_TYPE_LIST:
		return CONF_LIST;
	case CONFIG_TYPE_ARRAY:
		return CONF_ARRAY;
	case CONFIG_TYPE_STRING:
		return CONF_STRING;
	case CONFIG_TYPE_BOOL:
		return CONF_BOOL;
	case CONFIG_TYPE_FLOAT:
		return CONF_FLOAT;
	default: /* CONFIG_TYPE_INT, CONFIG_TYPE_INT64 */
		return CONF_INT;
	}
}

/* Copies a setting and all below it; the depth was bounded by the scan. Elements without a line of their own get their parent's. */
static void node_copy(struct conf_node *out, const config_setting_t *setting, const char *file, unsigned line)
{
	unsigned own_line = config_setting_source_line(setting);
	const char *name = config_setting_name(setting);
	*out = (struct conf_node){.type = type_of(setting), .file = file, .line = own_line ? own_line : line};
	if (name != NULL)
		out->name = memory_need(strdup(name));
	if (out->type == CONF_STRING) {
		const char *string = config_setting_get_string(setting);
		out->string = memory_need(strdup(string ? string : ""));
	} else if (out->type == CONF_BOOL) {
		out->boolean = config_setting_get_bool(setting);
	} else if (out->type == CONF_FLOAT) {
		out->real = config_setting_get_float(setting);
	} else if (out->type == CONF_INT) {
		out->integer = config_setting_get_int64(setting);
	} else {
		size_t n = (size_t)config_setting_length(setting);
		out->children = memory_need(calloc(n ? n : 1, sizeof(*out->children)));
		out->n_children = n;
		for (size_t i = 0; i < n; i++)
			node_copy(&out->children[i], config_setting_get_elem(setting, (unsigned)i), file, out->line);
	}
}

/* "\xff" in a string makes bytes that the scan of the text could not see. */
static const struct conf_node *find_bad_string(const struct conf_node *node)
{
	if (node->type == CONF_STRING && !conf_utf8_valid(node->string))
		return node;
	for (size_t i = 0; i < node->n_children; i++) {
		const struct conf_node *bad = find_bad_string(&node->children[i]);
		if (bad != NULL)
			return bad;
	}
	return NULL;
}

int conf_parse(struct conf *out, const char *text, const char *name_for_errors, struct fail *fail)
{
	int rc = conf_scan(text, name_for_errors, fail);
	if (rc < 0)
		return rc;
	config_t config;
	config_init(&config);
	if (config_read_string(&config, text) == CONFIG_FALSE) {
		rc = fail_set(fail, -EINVAL, "%s:%d: %s", name_for_errors, config_error_line(&config), config_error_text(&config));
		config_destroy(&config);
		return rc;
	}
	struct conf conf = {.file = memory_need(strdup(name_for_errors))};
	node_copy(&conf.root, config_root_setting(&config), conf.file, 1);
	config_destroy(&config);
	const struct conf_node *bad = find_bad_string(&conf.root);
	if (bad != NULL) {
		rc = fail_set(fail, -EINVAL, "%s:%u: the string's escapes make no valid UTF-8", name_for_errors, bad->line);
		conf_done(&conf);
		return rc;
	}
	*out = conf;
	return 0;
}

static int read_all(int fd, char *text, const char *path, struct fail *fail)
{
	size_t n = 0;
	while (n <= CONF_FILE_MAX) {
		ssize_t got = read(fd, text + n, CONF_FILE_MAX + 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_set(fail, -errno, "%s: cannot read: %s", path, strerror(errno));
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n > CONF_FILE_MAX)
		return fail_set(fail, -EFBIG, "%s: larger than %d KiB", path, CONF_FILE_MAX / 1024);
	text[n] = '\0';
	if (strlen(text) != n)
		return fail_set(fail, -EINVAL, "%s: has a NUL byte at offset %zu: this is no text file", path, strlen(text));
	return 0;
}

int conf_read_text(const char *path, char **out_text, struct fail *fail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a FIFO */
	if (fd < 0)
		return fail_set(fail, -errno, "%s: cannot open: %s", path, strerror(errno));
	struct stat st;
	int rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = fail_set(fail, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL, "%s: %s, not a file", path, S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
	else if (rc < 0)
		(void)fail_set(fail, rc, "%s: cannot stat: %s", path, strerror(-rc));
	char *text = NULL;
	if (rc == 0) {
		text = memory_need(malloc(CONF_FILE_MAX + 2));
		rc = read_all(fd, text, path, fail);
	}
	(void)close(fd);
	if (rc < 0) {
		free(text);
		return rc;
	}
	*out_text = memory_need(realloc(text, strlen(text) + 1));
	return 0;
}

int conf_load(struct conf *out, const char *path, struct fail *fail)
{
	char *text = NULL;
	int rc = conf_read_text(path, &text, fail);
	if (rc < 0)
		return rc;
	rc = conf_parse(out, text, path, fail);
	free(text);
	return rc;
}

void conf_dump_string(const char *string, FILE *out)
{
	(void)fputc('"', out);
	for (const char *p = string; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c == '\n')
			(void)fputs("\\n", out);
		else if (c == '\t')
			(void)fputs("\\t", out);
		else if (c < 0x20 || c == 0x7f)
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('"', out);
}

static bool is_long(const struct conf_node *node)
{
	return node->type == CONF_INT && (node->integer > INT_MAX || node->integer < INT_MIN);
}

/* %.17g gives back the same double, and "1" would come back as an integer. */
static void dump_real(double real, FILE *out)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%.17g", real);
	(void)fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void dump_value(const struct conf_node *node, unsigned depth, bool force_long, FILE *out);

static void dump_members(const struct conf_node *group, unsigned depth, FILE *out)
{
	for (size_t i = 0; i < group->n_children; i++) {
		(void)fprintf(out, "%*s%s = ", (int)depth * 2, "", group->children[i].name);
		dump_value(&group->children[i], depth, false, out);
		(void)fputs(";\n", out);
	}
}

static void dump_elements(const struct conf_node *list, unsigned depth, FILE *out)
{
	bool array = list->type == CONF_ARRAY, any_long = false; /* 1.5 wants one type in an array: 4 and 5L are two */
	for (size_t i = 0; array && i < list->n_children; i++)
		any_long |= is_long(&list->children[i]);
	(void)fputs(array ? "[" : "(", out);
	for (size_t i = 0; i < list->n_children; i++) {
		(void)fputs(i ? ", " : " ", out);
		if (list->children[i].type == CONF_GROUP)
			(void)fprintf(out, "\n%*s", (int)depth * 2 + 2, "");
		dump_value(&list->children[i], depth + 1, any_long, out);
	}
	(void)fputs(array ? " ]" : " )", out);
}

static void dump_value(const struct conf_node *node, unsigned depth, bool force_long, FILE *out)
{
	switch (node->type) {
	case CONF_GROUP:
		(void)fputs("{\n", out);
		dump_members(node, depth + 1, out);
		(void)fprintf(out, "%*s}", (int)depth * 2, "");
		return;
	case CONF_LIST:
	case CONF_ARRAY:
		dump_elements(node, depth, out);
		return;
	case CONF_STRING:
		conf_dump_string(node->string, out);
		return;
	case CONF_INT:
		(void)fprintf(out, "%" PRId64 "%s", node->integer, force_long || is_long(node) ? "L" : "");
		return;
	case CONF_BOOL:
		(void)fputs(node->boolean ? "true" : "false", out);
		return;
	case CONF_FLOAT:
		dump_real(node->real, out);
		return;
	}
}

void conf_dump(const struct conf_node *root, FILE *out)
{
	dump_members(root, 0, out);
}

#define QUOTE_(x) #x
#define QUOTE(x) QUOTE_(x)

const char *conf_library(void)
{
	return "libconfig " QUOTE(LIBCONFIG_VER_MAJOR) "." QUOTE(LIBCONFIG_VER_MINOR);
}
