/* SPDX-License-Identifier: MIT */
/*
 * A denied interval of a schema goes from the first denied answer to the last one before a user of it is served again.
 * That is what users saw; upgd's window, taken inside, must contain it but for the answers in flight.
 */
#include "tally.h"

#include "proto/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NAMES_MAX = 32, LAST_MAX = 10, INTERVALS_MAX = 32 };

struct interval {
	int64_t from_ms, to_ms;
	unsigned mark; /* counts all intervals of all schemata from 1 */
	unsigned users, requests;
	bool open;
};

struct schema {
	char name[64];
	struct interval intervals[INTERVALS_MAX]; /* the last one takes all that follow if there are more */
	unsigned n_intervals;
};

struct tally {
	FILE *log;
	uint64_t counts[5], off_denied;
	struct schema *schemata; /* owned */
	unsigned n_schemata, n_marks, n_sessions, n_users, max_ms;
	char last[LAST_MAX][1024];
	unsigned n_last; /* ever */
	struct {
		char name[32];
		uint64_t ok;
	} nodes[NAMES_MAX];
	unsigned n_nodes;
	int64_t begin_ms;
};

static const char *const WORDS[] = {
	[VERDICT_OK] = "ok",
	[VERDICT_REDIRECTED] = "redirected",
	[VERDICT_RELOGIN] = "relogin",
	[VERDICT_DENIED] = "denied",
	[VERDICT_FAILED] = "failed",
};

struct tally *tally_open(const char *log_path, struct fail *fail)
{
	struct tally *tally = calloc(1, sizeof(*tally));
	if (tally == NULL)
		abort();
	tally->log = fopen(log_path, "ae");
	if (tally->log == NULL) {
		fail_set(fail, -errno, "%s: %s", log_path, strerror(errno));
		free(tally);
		return NULL;
	}
	setvbuf(tally->log, NULL, _IOLBF, 0);
	return tally;
}

void tally_close(struct tally *tally)
{
	if (tally == NULL)
		return;
	fclose(tally->log);
	free(tally->schemata);
	free(tally);
}

unsigned tally_schema(struct tally *tally, const char *name)
{
	for (unsigned i = 0; i < tally->n_schemata; i++)
		if (strcmp(tally->schemata[i].name, name) == 0)
			return i;
	tally->schemata = reallocarray(tally->schemata, tally->n_schemata + 1, sizeof(tally->schemata[0]));
	if (tally->schemata == NULL)
		abort();
	struct schema *schema = &tally->schemata[tally->n_schemata];
	*schema = (struct schema){0};
	snprintf(schema->name, sizeof(schema->name), "%s", name);
	return tally->n_schemata++;
}

static void stamp(int64_t now_ms, char *out, size_t size)
{
	time_t seconds = now_ms / 1000;
	struct tm tm;
	char text[32];
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", localtime_r(&seconds, &tm));
	snprintf(out, size, "%s.%03d", text, (int)(now_ms % 1000));
}

static void deny(struct tally *tally, struct tally_user *user, int64_t now_ms)
{
	struct schema *schema = &tally->schemata[user->schema];
	struct interval *last = schema->n_intervals == 0 ? NULL : &schema->intervals[schema->n_intervals - 1];
	if (last == NULL || (!last->open && schema->n_intervals < INTERVALS_MAX)) {
		last = &schema->intervals[schema->n_intervals++];
		*last = (struct interval){.from_ms = now_ms, .mark = ++tally->n_marks};
	}
	last->open = true;
	last->to_ms = now_ms;
	last->requests++;
	if (user->denied_mark != last->mark) {
		user->denied_mark = last->mark;
		last->users++;
	}
}

static void served(struct tally *tally, const struct tally_user *user, const char *node)
{
	struct schema *schema = &tally->schemata[user->schema];
	if (schema->n_intervals > 0)
		schema->intervals[schema->n_intervals - 1].open = false;
	if (node == NULL)
		return;
	unsigned i = 0;
	while (i < tally->n_nodes && strcmp(tally->nodes[i].name, node) != 0)
		i++;
	if (i == NAMES_MAX)
		return;
	if (i == tally->n_nodes)
		snprintf(tally->nodes[tally->n_nodes++].name, sizeof(tally->nodes[0].name), "%s", node);
	tally->nodes[i].ok++;
}

static void tell(struct tally *tally, const struct tally_user *user, const struct judgement *judgement,
	const char *node, const char *target, int64_t now_ms, unsigned took_ms)
{
	char when[64], line[1024];
	stamp(now_ms, when, sizeof(when));
	snprintf(line, sizeof(line), "%s %s user=%s schema=%s node=%s took_ms=%u at=%s %s%s", when,
		WORDS[judgement->verdict], user->login, tally->schemata[user->schema].name,
		node == NULL ? "-" : node, took_ms, target, judgement->text,
		judgement->verdict == VERDICT_REDIRECTED ? judgement->value : "");
	fprintf(tally->log, "%s\n", line);
	if (judgement->verdict == VERDICT_FAILED)
		memcpy(tally->last[tally->n_last++ % LAST_MAX], line, sizeof(line));
}

void tally_count(struct tally *tally, struct tally_user *user, const struct judgement *judgement, const char *node,
	const char *target, int64_t now_ms, unsigned took_ms)
{
	struct judgement judged = *judgement;
	if (tally->begin_ms == 0)
		tally->begin_ms = now_ms;
	if (user->off && judged.verdict == VERDICT_DENIED) {
		tally->off_denied++;
		return;
	}
	if (user->off && judged.verdict != VERDICT_FAILED) {
		judged.verdict = VERDICT_FAILED;
		snprintf(judged.text, sizeof(judged.text), "an admin had disabled this context, now it is let in");
	}
	tally->counts[judged.verdict]++;
	if (took_ms > tally->max_ms)
		tally->max_ms = took_ms;
	if (judged.verdict == VERDICT_DENIED)
		deny(tally, user, now_ms);
	if (judged.verdict == VERDICT_OK)
		served(tally, user, node);
	else if (judged.verdict != VERDICT_RELOGIN)
		tell(tally, user, &judged, node, target, now_ms, took_ms);
}

void tally_sessions(struct tally *tally, unsigned n_sessions, unsigned n_users)
{
	tally->n_sessions = n_sessions;
	tally->n_users = n_users;
}

static struct json_object *schema_json(const struct schema *schema)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	int64_t ms = 0, users = 0;
	for (unsigned i = 0; i < schema->n_intervals; i++) {
		const struct interval *interval = &schema->intervals[i];
		struct json_object *row = json_object_new_object();
		json_add_int(row, "from", interval->from_ms);
		json_add_int(row, "to", interval->to_ms);
		json_add_int(row, "users", interval->users);
		json_add_int(row, "requests", interval->requests);
		json_add_bool(row, "open", interval->open);
		json_object_array_add(list, row);
		ms += interval->to_ms - interval->from_ms;
		users = interval->users > users ? interval->users : users;
	}
	json_add_int(object, "ms", ms);
	json_add_int(object, "users", users);
	json_add(object, "intervals", list);
	return object;
}

static struct json_object *tally_json(const struct tally *tally, int64_t now_ms)
{
	struct json_object *top = json_object_new_object(), *denied = json_object_new_object(),
			   *nodes = json_object_new_object(), *last = json_object_new_array();
	uint64_t requests = 0;
	for (int v = VERDICT_OK; v <= VERDICT_FAILED; v++) {
		json_add_int(top, WORDS[v], (int64_t)tally->counts[v]);
		requests += tally->counts[v];
	}
	json_add_int(top, "requests", (int64_t)requests);
	json_add_int(top, "off_denied", (int64_t)tally->off_denied);
	json_add_int(top, "users", tally->n_users);
	json_add_int(top, "sessions", tally->n_sessions);
	json_add_int(top, "begin", tally->begin_ms);
	json_add_int(top, "at", now_ms);
	json_add_int(top, "max_ms", tally->max_ms);
	for (unsigned i = 0; i < tally->n_schemata; i++)
		if (tally->schemata[i].n_intervals > 0)
			json_add(denied, tally->schemata[i].name, schema_json(&tally->schemata[i]));
	json_add(top, "denied_by_schema", denied);
	for (unsigned i = 0; i < tally->n_nodes; i++)
		json_add_int(nodes, tally->nodes[i].name, (int64_t)tally->nodes[i].ok);
	json_add(top, "ok_by_node", nodes);
	for (unsigned i = tally->n_last < LAST_MAX ? 0 : tally->n_last - LAST_MAX; i < tally->n_last; i++)
		json_object_array_add(last, json_object_new_string(tally->last[i % LAST_MAX]));
	json_add(top, "last_failures", last);
	return top;
}

int tally_write(struct tally *tally, const char *path, int64_t now_ms, struct fail *fail)
{
	char next[4096];
	size_t len = 0;
	json_cleanup struct json_object *top = tally_json(tally, now_ms);
	const char *text = json_text(top, &len);
	snprintf(next, sizeof(next), "%s.new", path);
	FILE *file = fopen(next, "we");
	if (file == NULL)
		return fail_set(fail, -errno, "%s: %s", next, strerror(errno));
	bool good = fwrite(text, 1, len, file) == len && fputc('\n', file) != EOF;
	good = fclose(file) == 0 && good;
	if (!good || rename(next, path) != 0)
		return fail_set(fail, -EIO, "%s: not written: %s", path, strerror(errno));
	return 0;
}
