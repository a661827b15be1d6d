/* SPDX-License-Identifier: MIT */
#pragma once
/* The node part of upgd.conf: name ranges, ${} in columns, and the command that reaches a node. For config.c only. */

#include "config_rows.h"

struct config;

extern const struct row config_node_rows[];

void config_nodes_load(struct config *config, const struct conf_node *list, struct conf_errors *errors);
/* Every ${} of remote.argv must be known for every node, and no argument may turn into an option. remote may be NULL. */
void config_nodes_check_remote(const struct config *config, const struct conf_node *remote, struct conf_errors *errors);
void config_nodes_dump(const struct config *config, FILE *out);
void config_nodes_done(struct config *config);
