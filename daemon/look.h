/* SPDX-License-Identifier: MIT */
#pragma once
/* What the raw answers of the site mean in a profile's words: the class of a row, its columns, the state of a server. No I/O. */

#include "bind.h"

#include <regex.h>

struct config;
struct config_node;
struct sql_result;
struct haproxy_server;

/* The class rules of a set, ready to be used. */
struct look_classes {
	regex_t regex[PROFILE_CLASSES_MAX];
	uint8_t class_[PROFILE_CLASSES_MAX];
	size_t n;
};
must_check int look_classes_init(struct look_classes *classes, struct bind *bind, const struct set *set, struct fail *fail);
void look_classes_done(struct look_classes *classes);
uint8_t look_class_again(const struct look_classes *classes, const char *value, uint8_t but); /* another class that fits too, or CLASS_NONE */
uint8_t look_class(const struct look_classes *classes, const char *value); /* CLASS_NONE: no rule matches */

struct look_row {
	const char *name, *host; /* borrowed from the answer; host: the pool's id, "" if the set has none */
	const char *value;       /* what was classified */
	uint32_t weight, tenants;
	uint16_t host_number;    /* 1-based number of the machine; 0: none */
	uint8_t class_;
};
/* One row of a set's query; -EINVAL: a column is missing or a row has no name. */
must_check int look_row(const struct config *config, const struct set *set, const struct look_classes *classes,
	const struct sql_result *result, size_t row, struct look_row *out, struct fail *fail);

/* "key=value\n" lines with name first, as struct row keeps them; owned by the caller. */
char *look_sql_columns(const struct set *set, const struct sql_result *result, size_t row);
char *look_node_columns(const struct config_node *node);

enum server_state look_server(const struct haproxy_server *server);
