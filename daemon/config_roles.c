/* SPDX-License-Identifier: MIT */
/*
 * Who may do what, as numbers: the kernel tells the uid and gids of a peer, and nothing else is asked then. Names are looked up in
 * /etc/passwd and /etc/group once at load, not through NSS: a directory server that hangs in the night of the upgrade must not
 * hang the daemon or lock people out. Who lives in a directory is written as uid:N or gid:N.
 */
#include "config_roles.h"

#include "config.h"
#include "memory.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

const struct row config_role_rows[] = {
	{"viewer", ROW_OWN, .def = "array of strings", .doc = "Who may look."},
	{"operator", ROW_OWN, .def = "array of strings", .doc = "Who may also check, plan, start, pause, resume, skip, park, retry and fence."},
	{"admin", ROW_OWN, .def = "array of strings", .doc = "Who may also approve and abort. uid 0 always may."},
	{0},
};

static bool find_user(const char *name, uint32_t *out_id)
{
	FILE *file = fopen("/etc/passwd", "re");
	bool found = false;
	for (struct passwd *entry; !found && file != NULL && (entry = fgetpwent(file)) != NULL;) {
		found = strcmp(entry->pw_name, name) == 0;
		*out_id = entry->pw_uid;
	}
	if (file != NULL)
		(void)fclose(file);
	return found;
}

static bool find_group(const char *name, uint32_t *out_id)
{
	FILE *file = fopen("/etc/group", "re");
	bool found = false;
	for (struct group *entry; !found && file != NULL && (entry = fgetgrent(file)) != NULL;) {
		found = strcmp(entry->gr_name, name) == 0;
		*out_id = entry->gr_gid;
	}
	if (file != NULL)
		(void)fclose(file);
	return found;
}

/* 0xffffffff is "no change" to the kernel, no identity. */
static bool parse_id(const char *text, uint32_t *out_id)
{
	char *end;
	errno = 0;
	unsigned long id = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || id >= UINT32_MAX)
		return false;
	*out_id = (uint32_t)id;
	return true;
}

static bool resolve(struct config_grant *grant, const struct conf_node *at, struct conf_errors *errors)
{
	const char *text = grant->text;
	bool by_number = strncmp(text, "uid:", 4) == 0 || strncmp(text, "gid:", 4) == 0;
	grant->kind = text[0] == '@' || strncmp(text, "gid:", 4) == 0 ? CONFIG_GID : CONFIG_UID;
	if (by_number && !parse_id(text + 4, &grant->id)) {
		conf_error(errors, at, "\"%s\" must end in a number", text);
		return false;
	}
	if (by_number)
		return true;
	if (grant->kind == CONFIG_GID && !find_group(text + 1, &grant->id)) {
		conf_error(errors, at, "group \"%s\" is not in /etc/group: write gid:NUMBER if it lives in a directory", text + 1);
		return false;
	}
	if (grant->kind == CONFIG_UID && !find_user(text, &grant->id)) {
		conf_error(errors, at, "user \"%s\" is not in /etc/passwd: write uid:NUMBER if it lives in a directory", text);
		return false;
	}
	return true;
}

void config_roles_load(struct config *config, const struct conf_node *group, struct conf_errors *errors)
{
	rows_known(config_role_rows, group, errors);
	for (int role = ROLE_VIEWER; role <= ROLE_ADMIN; role++) {
		const char *name = config_role_name((enum role)role);
		const char **texts;
		size_t n = conf_str_list(group, name, CONF_OPTIONAL, &texts, errors);
		for (size_t i = 0; i < n && config->n_grants < CONFIG_GRANTS_MAX; i++) {
			struct config_grant grant = {.text = memory_need(strdup(texts[i])), .role = (enum role)role};
			(void)resolve(&grant, conf_get(group, name), errors);
			config->grants = memory_need(reallocarray(config->grants, config->n_grants + 1, sizeof(grant)));
			config->grants[config->n_grants++] = grant;
		}
		free(texts);
	}
	if (config->n_grants == CONFIG_GRANTS_MAX)
		conf_error(errors, group, "more than %d names in 'roles': use groups", CONFIG_GRANTS_MAX - 1);
}

void config_roles_dump(const struct config *config, FILE *out)
{
	(void)fputs("roles = {\n", out);
	for (int role = ROLE_VIEWER; role <= ROLE_ADMIN; role++) {
		size_t n = 0;
		(void)fprintf(out, "  %s = [", config_role_name((enum role)role));
		for (size_t i = 0; i < config->n_grants; i++) {
			if (config->grants[i].role != (enum role)role)
				continue;
			(void)fputs(n++ ? ", " : " ", out);
			conf_dump_string(config->grants[i].text, out);
		}
		(void)fputs(" ];\n", out);
	}
	(void)fputs("};\n", out);
}

void config_roles_done(struct config *config)
{
	for (size_t i = 0; i < config->n_grants; i++)
		free(config->grants[i].text);
	free(config->grants);
}

enum role config_role_of(const struct config *config, uint32_t uid, const uint32_t *gids, size_t n_gids)
{
	enum role best = uid == 0 ? ROLE_ADMIN : ROLE_NONE;
	for (size_t i = 0; i < config->n_grants; i++) {
		const struct config_grant *grant = &config->grants[i];
		bool match = grant->kind == CONFIG_UID && grant->id == uid;
		for (size_t k = 0; grant->kind == CONFIG_GID && k < n_gids; k++)
			match |= grant->id == gids[k];
		if (match && grant->role > best)
			best = grant->role;
	}
	return best;
}

const char *config_role_name(enum role role)
{
	static const char *const names[] = {"nobody", "viewer", "operator", "admin"};
	return names[role];
}
