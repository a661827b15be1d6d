/* SPDX-License-Identifier: MIT */
/*
 * Statements that go on in a database after their client is gone: neither kill -9 nor a lost connection stops an ALTER. A look asks the
 * step's probe and keeps the rows. A kill looks once more and ends only connections whose whole row is as it was in the look that the
 * journal's intent names: an id alone may mean somebody else's by now, after a restart of the server.
 */
#include "act.h"

#include "io/sql.h"
#include "log.h"
#include "memory.h"
#include "site.h"

#include <stdio.h>
#include <string.h>

enum { KILL_MS = 10000 };

/* What the last look of a unit saw. */
struct orphans {
	struct orphans *next;
	uint32_t unit;
	char **rows; /* owned, cells joined; NULL-terminated */
};

struct kill {
	struct probe_run *run;
	struct sql_query *query;
	char **ids;  /* owned */
	size_t n, i;
	char *target; /* owned */
};

static void rows_free(char **rows)
{
	for (size_t i = 0; rows != NULL && rows[i] != NULL; i++)
		free(rows[i]);
	free(rows);
}

void orphans_done(struct executor *x)
{
	while (x->orphans != NULL) {
		struct orphans *o = x->orphans;
		x->orphans = o->next;
		rows_free(o->rows);
		free(o);
	}
}

static struct orphans *orphans_of(struct executor *x, uint32_t unit)
{
	struct orphans *o = x->orphans;
	while (o != NULL && o->unit != unit)
		o = o->next;
	if (o == NULL) {
		o = memory_need(calloc(1, sizeof(*o)));
		o->unit = unit;
		o->next = x->orphans;
		x->orphans = o;
	}
	return o;
}

static char *row_text(const struct judge_table *table, size_t row)
{
	char *text;
	size_t size;
	FILE *stream = memory_need(open_memstream(&text, &size));
	for (size_t k = 0; k < table->n_columns; k++) {
		const char *cell = table->cells[row * table->n_columns + k];
		(void)fprintf(stream, "%s%s", k > 0 ? " " : "", cell != NULL ? cell : "-");
	}
	(void)fclose(stream);
	return text;
}

static char **rows_of(const struct judge_table *table)
{
	char **rows = memory_need(calloc(table->n_rows + 1, sizeof(char *)));
	for (size_t i = 0; i < table->n_rows; i++)
		rows[i] = row_text(table, i);
	return rows;
}

static struct probe_run *ask(struct flight *f, probe_fn *fn)
{
	struct probe_options options = { .bind = flight_bind(f), .unit = f->effect.unit };
	return probe_start(f->x->site, &flight_rollout(f)->profile->probes[flight_step(f)->orphans], &options, fn, f);
}

/* ---- a look ---- */

static void look_cancel(struct flight *f)
{
	probe_cancel(f->work);
}

static void on_look(void *arg, const struct probe_answer *answer)
{
	struct flight *f = arg;
	char text[JUDGE_TEXT_MAX];
	struct orphans *seen = orphans_of(f->x, f->effect.unit);
	f->work = NULL;
	rows_free(seen->rows);
	seen->rows = answer->table != NULL ? rows_of(answer->table) : NULL;
	bool some = seen->rows != NULL && seen->rows[0] != NULL;
	if (some)
		(void)snprintf(text, sizeof(text), "%.300s%s", seen->rows[0], seen->rows[1] != NULL ? ", and others" : "");
	else
		(void)snprintf(text, sizeof(text), "%s", answer->text);
	/* a refused statement is no answer: what runs is not known */
	flight_answer(f, some ? RESULT_FAILED : seen->rows != NULL ? RESULT_OK : RESULT_UNKNOWN, 0, text);
}

void orphans_look(struct flight *f)
{
	f->cancel = look_cancel;
	f->work = ask(f, on_look);
}

/* ---- a kill ---- */

static void kill_cancel(struct flight *f)
{
	struct kill *kill = f->work;
	probe_cancel(kill->run);
	if (kill->query != NULL)
		sql_cancel(kill->query);
	rows_free(kill->ids);
	free(kill->target);
	free(kill);
}

static void kill_next(struct flight *f);

static void on_killed(void *arg, const struct sql_result *result)
{
	enum { CODE_NO_SUCH_THREAD = 1094 };
	struct flight *f = arg;
	struct kill *kill = f->work;
	kill->query = NULL;
	if (result->outcome != SQL_OK && result->code != CODE_NO_SUCH_THREAD) {
		char text[400];
		(void)snprintf(text, sizeof(text), "connection %s could not be killed: %.300s", kill->ids[kill->i], result->error);
		flight_answer(f, RESULT_FAILED, 0, text);
		return;
	}
	log_say(LOG_AT_WARNING, "connection %s was killed in the database: its statement had outlived its client", kill->ids[kill->i]);
	kill->i++;
	kill_next(f);
}

static void kill_next(struct flight *f)
{
	struct kill *kill = f->work;
	const struct rollout *r = flight_rollout(f);
	char statement[64], unit[300];
	struct fail fail;
	if (kill->i == kill->n) {
		flight_answer(f, RESULT_OK, 0, kill->n > 0 ? "killed" : "nothing that was seen before runs any more");
		return;
	}
	struct sql *sql = site_sql(f->x->site, kill->target, &fail);
	if (sql == NULL) {
		flight_answer(f, RESULT_FAILED, 0, fail.text);
		return;
	}
	(void)snprintf(statement, sizeof(statement), "KILL %s", kill->ids[kill->i]);
	char *tagged = sql_tagged(statement, "rollout=%u kill unit=%s", r->id, rollout_unit_name(r, f->effect.unit, unit, sizeof(unit)));
	kill->query = sql_run(sql, tagged, NULL, 0, KILL_MS, on_killed, f);
	free(tagged);
}

static bool was_seen(const struct orphans *seen, const char *row)
{
	for (size_t i = 0; seen->rows != NULL && seen->rows[i] != NULL; i++)
		if (strcmp(seen->rows[i], row) == 0)
			return true;
	return false;
}

static void on_second_look(void *arg, const struct probe_answer *answer)
{
	struct flight *f = arg;
	struct kill *kill = f->work;
	const struct judge_table *table = answer->table;
	const struct orphans *seen = orphans_of(f->x, f->effect.unit);
	kill->run = NULL;
	if (table == NULL) {
		char text[JUDGE_TEXT_MAX]; /* the answer ends with the flight */
		(void)snprintf(text, sizeof(text), "%s", answer->text);
		flight_answer(f, RESULT_UNKNOWN, 0, text);
		return;
	}
	kill->ids = memory_need(calloc(table->n_rows + 1, sizeof(char *)));
	for (size_t i = 0; i < table->n_rows; i++) {
		const char *id = table->cells[i * table->n_columns];
		char *row = row_text(table, i);
		if (id != NULL && id[0] != '\0' && strlen(id) <= 20 && strspn(id, "0123456789") == strlen(id) && was_seen(seen, row))
			kill->ids[kill->n++] = memory_need(strdup(id));
		free(row);
	}
	kill_next(f);
}

void orphans_kill(struct flight *f)
{
	struct kill *kill = memory_need(calloc(1, sizeof(*kill)));
	struct bind bind = flight_bind(f);
	struct fail fail;
	f->work = kill;
	f->cancel = kill_cancel;
	kill->target = bind_text(&bind, flight_rollout(f)->profile->probes[flight_step(f)->orphans].target, &fail);
	if (kill->target != NULL)
		kill->run = ask(f, on_second_look);
	else
		flight_answer_later(f, RESULT_FAILED, fail.text);
}
