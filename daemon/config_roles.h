/* SPDX-License-Identifier: MIT */
#pragma once
/* The roles part of upgd.conf. For config.c only. */

#include "config_rows.h"

struct config;

extern const struct row config_role_rows[];

void config_roles_load(struct config *config, const struct conf_node *group, struct conf_errors *errors);
void config_roles_dump(const struct config *config, FILE *out);
void config_roles_done(struct config *config);
