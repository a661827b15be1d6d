/* SPDX-License-Identifier: MIT */
#include "bind.h"

#include "core/facts.h"
#include "memory.h"
#include "proto/json.h"
#include "render/template.h"

#include <errno.h>
#include <string.h>

static int no_value(struct fail *fail, const char *name, const char *why)
{
	return fail_set(fail, -ENOENT, "${%s} has no value: %s", name, why);
}

static int keep(struct bind *bind, const char *name, const char *text, const char **out, struct fail *fail)
{
	if (strlen(text) >= sizeof(bind->value))
		return fail_set(fail, -E2BIG, "${%s}: %zu bytes are too long for a value", name, strlen(text));
	memcpy(bind->value, text, strlen(text) + 1);
	*out = bind->value;
	return 0;
}

static int param(struct bind *bind, const char *name, const char **out, struct fail *fail)
{
	for (size_t i = 0; i < bind->profile->n_params; i++) {
		const struct param *p = &bind->profile->params[i];
		if (strcmp(p->name, name + 6) == 0 && p->value != NULL)
			return *out = p->value, 0;
	}
	return no_value(fail, name, "the parameter was not given");
}

static int column(struct bind *bind, const struct row *row, const char *name, const char *key, const char **out, struct fail *fail)
{
	if (row == NULL || !row_column(row, key, bind->value, sizeof(bind->value))) {
		char why[300];
		(void)snprintf(why, sizeof(why), "%s has no column \"%s\"", row != NULL && row->name != NULL ? row->name : "there is no row and it", key);
		return no_value(fail, name, why);
	}
	*out = bind->value;
	return 0;
}

static int lane(struct bind *bind, const char *name, const char **out, struct fail *fail)
{
	if (bind->r == NULL || bind->lane < 0 || (uint32_t)bind->lane >= bind->r->n_rows)
		return bind->lane == LANE_LOCAL && strcmp(name, "lane.name") == 0 ? keep(bind, name, "local", out, fail)
			: no_value(fail, name, "the action has no node to run on");
	return column(bind, &bind->r->rows[bind->lane], name, name + 5, out, fail);
}

static int fleet(struct bind *bind, const char *name, uint8_t class_, const char **out, struct fail *fail)
{
	int32_t row = bind->r != NULL ? facts_place(bind->r, class_, 0) : -1;
	if (row < 0)
		return no_value(fail, name, class_ == CLASS_OLD ? "no old node is up" : "no new node is up");
	return column(bind, &bind->r->rows[row], name, name + 4, out, fail);
}

static int count(struct bind *bind, const char *name, uint8_t class_, const char **out, struct fail *fail)
{
	const struct rollout *r = bind->r;
	unsigned n = 0;
	if (r == NULL)
		return no_value(fail, name, "nothing was observed yet");
	class_ = facts_fleet(r, class_);
	for (uint32_t i = 0; i < r->n_rows; i++)
		n += r->rows[i].set == r->profile->set_node && r->facts.rows[i].known && r->facts.rows[i].up && r->facts.rows[i].class_ == class_;
	(void)snprintf(bind->value, sizeof(bind->value), "%u", n);
	*out = bind->value;
	return 0;
}

static int capture(struct bind *bind, const char *name, const char **out, struct fail *fail)
{
	json_cleanup struct json_object *all = bind->captures != NULL ? json_parse(bind->captures, strlen(bind->captures), fail) : NULL;
	struct json_object *one, *rows;
	if (all == NULL || json_get_object(all, name + 8, &one, fail) != 0 || json_get_array(one, "rows", &rows, fail) != 0)
		return no_value(fail, name, "it was not captured");
	if (json_object_array_length(rows) == 0)
		return no_value(fail, name, "what was captured has no rows");
	struct json_object *cell = json_object_array_get_idx(json_object_array_get_idx(rows, 0), 0);
	return cell != NULL ? keep(bind, name, json_object_get_string(cell), out, fail) : no_value(fail, name, "what was captured is NULL");
}

static int lookup(void *arg, const char *name, const char **out, struct fail *fail)
{
	struct bind *bind = arg;
	if (strncmp(name, "param.", 6) == 0)
		return param(bind, name, out, fail);
	if (strncmp(name, "lane.", 5) == 0)
		return lane(bind, name, out, fail);
	if (strncmp(name, "capture.", 8) == 0)
		return capture(bind, name, out, fail);
	if (strncmp(name, "old.", 4) == 0)
		return fleet(bind, name, CLASS_OLD, out, fail);
	if (strncmp(name, "new.", 4) == 0)
		return fleet(bind, name, CLASS_NEW, out, fail);
	if (strcmp(name, "count.old.up") == 0)
		return count(bind, name, CLASS_OLD, out, fail);
	if (strcmp(name, "count.new.up") == 0)
		return count(bind, name, CLASS_NEW, out, fail);
	if (strcmp(name, "cluster.name") == 0)
		return keep(bind, name, bind->cluster != NULL ? bind->cluster : "", out, fail);
	if (strcmp(name, "rollout") == 0) {
		(void)snprintf(bind->value, sizeof(bind->value), "%u", bind->rollout);
		return *out = bind->value, 0;
	}
	const char *set = bind->row != NULL ? bind->profile->sets[bind->row->set].name : NULL;
	size_t len = set != NULL ? strlen(set) : 0;
	if (len > 0 && strncmp(name, set, len) == 0 && name[len] == '.')
		return column(bind, bind->row, name, name + len + 1, out, fail);
	return no_value(fail, name, "nothing of this name exists here");
}

char *bind_text(struct bind *bind, const char *text, struct fail *fail)
{
	return template_bind(text, TEMPLATE_PLAIN, lookup, bind, fail);
}

char *bind_regex(struct bind *bind, const char *text, struct fail *fail)
{
	return template_bind(text, TEMPLATE_REGEX, lookup, bind, fail);
}

/* ---- statements ---- */

struct statement {
	struct bind *bind;
	const char *at; /* the template from the last name on */
	bool quoted;    /* at `at`, we are inside backticks */
};

/* Names are looked up in the order in which they stand, so the text between them tells whether backticks are open. */
static int lookup_sql(void *arg, const char *name, const char **out, struct fail *fail)
{
	struct statement *s = arg;
	for (; *s->at != '\0'; s->at++) {
		if (*s->at == '`')
			s->quoted = !s->quoted;
		if (strncmp(s->at, "$${", 3) == 0)
			s->at += 2;
		else if (strncmp(s->at, "${", 2) == 0)
			break;
	}
	if (*s->at != '\0')
		s->at += 2;
	int rc = lookup(s->bind, name, out, fail);
	if (rc != 0)
		return rc;
	const char *value = *out;
	bool safe = s->quoted ? value[0] != '\0' && strpbrk(value, "`\n\\") == NULL
		: strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(value);
	return safe ? 0 : fail_set(fail, -EINVAL, "${%s} = \"%.80s\" is not safe in a statement; use an argument", name, value);
}

char *bind_sql(struct bind *bind, const char *text, struct fail *fail)
{
	struct statement s = { .bind = bind, .at = text };
	if (strstr(text, "${secret.") != NULL) {
		(void)fail_set(fail, -EINVAL, "a statement cannot hold a secret");
		return NULL;
	}
	return template_bind(text, TEMPLATE_PLAIN, lookup_sql, &s, fail);
}

/* ---- lists ---- */

char **bind_list(struct bind *bind, char *const *list, struct fail *fail)
{
	size_t n = 0;
	while (list != NULL && list[n] != NULL)
		n++;
	char **out = memory_need(calloc(n + 1, sizeof(char *)));
	for (size_t i = 0; i < n; i++) {
		out[i] = bind_text(bind, list[i], fail);
		bool option = out[i] != NULL && strncmp(list[i], "${", 2) == 0 && out[i][0] == '-';
		if (option)
			(void)fail_set(fail, -EINVAL, "%s = \"%.80s\" would be read as an option", list[i], out[i]);
		if (out[i] == NULL || option) {
			bind_list_free(out);
			return NULL;
		}
	}
	return out;
}

void bind_list_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}
