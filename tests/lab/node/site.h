/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a node knows from its directory: node.json, the release that apt-get put there, its properties. Shared by lab-node
 * and lab-clt. One process is one node, so this is the process's own.
 */

#include "proto/json.h"

#include <stdbool.h>
#include <stdint.h>

struct site {
	char dir[256];
	char name[64];
	char lab[256];
	char configdb[300]; /* option file with full rights */
	int http_port, rmi_port;
	/* of the release; only after site_load_release() */
	const char *version, *package;
	bool has_health;
	struct json_object *tasks;     /* array, in their order */
	struct json_object *by_name;   /* task name → task */
	struct json_object *changelog; /* array of ids */
	/* properties that OX reads once */
	char server_name[256];
	char group[128]; /* Hazelcast's: name and version */
	int64_t maintenance_reason;
};
extern struct site site;

/* Properties that reloadconfiguration reads again. */
struct settings {
	char redirect[512];
	bool push, deny_implicit;
	int64_t locked_idle_ms; /* 0: a lock is never stolen */
	int64_t refresh_ms;
};

must_check int site_load(const char *dir, struct fail *fail);
must_check int site_load_release(struct fail *fail);
/* Any thread. */
struct settings site_settings(void);
void site_reload(void);
bool site_is_excluded(const char *task);
/* Value of a property, owned by the caller; NULL: no such line or file. */
char *property_read(const char *file, const char *key);
/* A whole small file, owned by the caller, or NULL. */
char *file_read(const char *path);
/* Environment variable as a number. */
int64_t env_number(const char *name, int64_t otherwise);
void sleep_ms(int64_t ms);
/* True when password is the master admin's. */
bool site_password_is(const char *password);
