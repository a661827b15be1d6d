/* SPDX-License-Identifier: MIT */
/*
 * Three outcomes, kept apart with care: it holds, it does not, nobody can say. A server that refuses a statement has answered; one that
 * cannot be reached has not, and what hangs on the answer waits.
 */
#include "probe.h"

#include "config.h"
#include "core/facts.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/runner.h"
#include "io/sql.h"
#include "memory.h"
#include "site.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { HTTP_MS = 5000, SQL_MS = 20000, RUN_MS = 120000, PATIENCE_MS = 15000, PROBE_ARGS_MAX = SQL_ARGS_MAX };

struct probe_run {
	struct site *site;
	const struct probe *probe;
	struct probe_options options;
	char *captures, *expected, *doc; /* owned; doc: its names put in, NULL: there is none */
	probe_fn *fn;
	void *arg;
	struct loop_timer *timer;  /* only for what fails before it is asked */
	struct fail early;
	enum result early_result;
	struct sql_query *query;
	struct replicas {
		char *pool, *query, *position; /* owned; position NULL: not asked */
		size_t i;
	} replicas;
	struct http_request *http;
	struct runner *runner;
	struct runner_request *request;
	char id[160];
};

static void run_free(struct probe_run *run)
{
	if (run->timer != NULL)
		loop_timer_free(run->timer);
	free(run->captures);
	free(run->replicas.pool);
	free(run->replicas.query);
	free(run->replicas.position);
	free(run->expected);
	free(run->doc);
	free(run);
}

/* What does not hold is said in the words of the profile too. */
static void answer(struct probe_run *run, enum result result, const char *text, const struct judge_table *table, bool whole)
{
	struct probe_answer a = { .result = result, .text = text, .table = table, .whole = whole };
	char said[JUDGE_TEXT_MAX];
	if (result == RESULT_FAILED && run->doc != NULL) {
		int room = JUDGE_TEXT_MAX - (int)strlen(run->doc) - 4;
		(void)snprintf(said, sizeof(said), "%.*s (%s)", room > JUDGE_LINE_MAX ? room : JUDGE_LINE_MAX, text, run->doc);
		a.text = said;
	}
	run->fn(run->arg, &a);
	run_free(run);
}

static void answer_none(struct probe_run *run, enum result result, const char *what, const char *why)
{
	char text[2 * JUDGE_TEXT_MAX];
	(void)snprintf(text, sizeof(text), "%s: %s%s%s", run->probe->name, what, why[0] != '\0' ? ": " : "", why);
	answer(run, result, text, NULL, false);
}

static void answer_table(struct probe_run *run, const struct judge_table *table, bool whole)
{
	char text[JUDGE_TEXT_MAX];
	enum result result = judge(run->probe, table, run->expected, run->captures, text);
	answer(run, result, text, table, whole);
}

static void answer_value(struct probe_run *run, const char *value, bool whole)
{
	struct judge_table table = { .n_rows = 1, .n_columns = 1, .cells = &value, .single = true };
	answer_table(run, &table, whole);
}

static void on_early(void *arg)
{
	struct probe_run *run = arg;
	answer_none(run, run->early_result, run->early.text, "");
}

/* ---- sql ---- */

/* The server said no to the connection or to the moment, not to the question: too many connections, a lock, a deadlock, killed, cut off. */
static bool is_passing(unsigned code)
{
	static const unsigned codes[] = { 1040, 1047, 1129, 1180, 1203, 1205, 1213, 1226, 1317, 1969, 3024 };
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static void on_sql(void *arg, const struct sql_result *result)
{
	struct probe_run *run = arg;
	run->query = NULL;
	struct judge_table table = { .n_rows = result->n_rows, .n_columns = result->n_columns, .cells = result->cells };
	bool refused = result->outcome == SQL_FAILED && !is_passing(result->code);
	if (result->outcome == SQL_OK)
		answer_table(run, &table, true);
	else
		answer_none(run, refused ? RESULT_FAILED : RESULT_UNKNOWN,
			refused ? "the database refused it" : "no answer from the database", result->error);
}

static void replica_next(struct probe_run *run);

static void on_replica(void *arg, const struct sql_result *result)
{
	struct probe_run *run = arg;
	struct replicas *at = &run->replicas;
	run->query = NULL;
	struct judge_table table = { .n_rows = result->n_rows, .n_columns = result->n_columns, .cells = result->cells };
	char judged[JUDGE_TEXT_MAX], text[JUDGE_TEXT_MAX + 80];
	if (result->outcome != SQL_OK) {
		on_sql(run, result);
		return;
	}
	enum result holds = judge(run->probe, &table, run->expected, run->captures, judged);
	if (holds == RESULT_OK && at->i + 1 < site_replicas(run->site, at->pool)) {
		at->i++;
		replica_next(run);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s: replica %zu of pool %s: %s", run->probe->name, at->i + 1, at->pool, judged + strlen(run->probe->name) + 2);
	text[JUDGE_TEXT_MAX - 1] = '\0';
	answer(run, holds, text, &table, true);
}

static void replica_next(struct probe_run *run)
{
	struct replicas *at = &run->replicas;
	struct fail fail;
	struct sql *sql = site_replica(run->site, at->pool, at->i, &fail);
	const char *args[] = { at->position };
	if (sql == NULL)
		answer_none(run, RESULT_UNKNOWN, fail.text, "");
	else
		run->query = sql_run(sql, at->query, args, at->position != NULL, SQL_MS, on_replica, run);
}

static void on_position(void *arg, const struct sql_result *result)
{
	struct probe_run *run = arg;
	run->query = NULL;
	if (result->outcome != SQL_OK) {
		on_sql(run, result);
		return;
	}
	if (result->n_rows == 0 || result->cells[0] == NULL) {
		answer_none(run, RESULT_FAILED, "the primary says no position", "");
		return;
	}
	run->replicas.position = memory_need(strdup(result->cells[0]));
	replica_next(run);
}

static char *tag(const struct probe_run *run, const char *query)
{
	char unit[300] = "-";
	const struct bind *bind = &run->options.bind;
	if (bind->r != NULL && run->options.unit < bind->r->n_units)
		(void)rollout_unit_name(bind->r, run->options.unit, unit, sizeof(unit));
	return sql_tagged(query, "rollout=%u probe=%s unit=%s", bind->rollout, run->probe->name, unit);
}

/* All of them, one after the other; none is as good as all. */
static int start_replicas(struct probe_run *run, const char *target, const char *query, struct fail *fail)
{
	const char *pool = strchr(target, ':') + 1;
	char host[300];
	(void)snprintf(host, sizeof(host), "host:%s", pool);
	struct sql *primary = site_sql(run->site, host, fail);
	if (primary == NULL)
		return -EINVAL;
	if (site_replicas(run->site, pool) == 0) {
		run->early_result = RESULT_OK;
		return fail_set(fail, -ENOENT, "no replica is configured");
	}
	if (site_replica(run->site, pool, 0, fail) == NULL)
		return -EINVAL;
	run->replicas.pool = memory_need(strdup(pool));
	run->replicas.query = tag(run, query);
	if (run->probe->position == NULL) {
		replica_next(run);
		return 0;
	}
	char *position = tag(run, run->probe->position);
	run->query = sql_run(primary, position, NULL, 0, SQL_MS, on_position, run);
	free(position);
	return 0;
}

static int start_sql(struct probe_run *run, struct fail *fail)
{
	const struct probe *probe = run->probe;
	struct bind *bind = &run->options.bind;
	char *target = bind_text(bind, probe->target, fail);
	char *query = target != NULL ? bind_sql(bind, probe->query, fail) : NULL;
	char **args = query != NULL ? bind_list(bind, probe->args, fail) : NULL;
	bool replicas = args != NULL && strncmp(target, "replicas:", 9) == 0;
	struct sql *sql = args != NULL && !replicas ? site_sql(run->site, target, fail) : NULL;
	int rc = replicas ? start_replicas(run, target, query, fail) : sql != NULL ? 0 : -EINVAL;
	size_t n = 0;
	while (args != NULL && args[n] != NULL)
		n++;
	if (sql != NULL) {
		char *tagged = tag(run, query);
		run->query = sql_run(sql, tagged, (const char *const *)args, n, run->options.timeout_ms ? run->options.timeout_ms : SQL_MS, on_sql, run);
		free(tagged);
	}
	free(target);
	free(query);
	bind_list_free(args);
	return rc;
}

/* ---- http ---- */

static void on_http(void *arg, const struct http_reply *reply)
{
	struct probe_run *run = arg;
	struct fail fail;
	char status[40];
	run->http = NULL;
	if (reply->status == 0) {
		answer_none(run, run->options.polled ? RESULT_FAILED : RESULT_UNKNOWN, "no answer", reply->error);
		return;
	}
	if (run->probe->json == NULL) {
		(void)snprintf(status, sizeof(status), "%d", reply->status);
		answer_value(run, status, true);
		return;
	}
	if (reply->status != 200) {
		(void)snprintf(status, sizeof(status), "status %d", reply->status);
		answer_value(run, status, false);
		return;
	}
	char *value = judge_pointer(reply->body, reply->body_len, run->probe->json, &fail);
	if (value != NULL)
		answer_value(run, value, true);
	else
		answer_none(run, RESULT_FAILED, fail.text, "");
	free(value);
}

static int start_http(struct probe_run *run, struct fail *fail)
{
	char *url = bind_text(&run->options.bind, run->probe->target, fail);
	if (url == NULL)
		return -EINVAL;
	run->http = http_get(site_http(run->site), url, run->options.timeout_ms ? run->options.timeout_ms : HTTP_MS, on_http, run);
	free(url);
	return 0;
}

/* ---- run and read ---- */

static void trim(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
}

static void answer_output(struct probe_run *run, const char *out)
{
	struct judge_column column;
	struct judge_lines lines;
	struct fail fail;
	if (run->probe->lines) {
		judge_lines(out, &lines);
		answer_table(run, &lines.table, true);
		judge_lines_done(&lines);
		return;
	}
	if (run->probe->column == NULL) {
		char *value = memory_need(strdup(out));
		trim(value);
		answer_value(run, value, true);
		free(value);
		return;
	}
	if (judge_column(out, run->probe->column, &column, &fail) != 0) {
		answer_none(run, RESULT_FAILED, fail.text, "");
		return;
	}
	struct judge_table table = { .n_rows = column.n, .n_columns = 1, .cells = (const char *const *)column.cells };
	answer_table(run, &table, true);
	judge_column_done(&column);
}

/* Its exit code is an answer. Where the codes alone are the question, only those; where its output is, 0 too. */
static bool is_answer(const struct probe *probe, const struct runner_result *result)
{
	bool answers = result->exit_code == 0 && (probe->n_exits == 0 || probe->expect != EXPECT_EXIT);
	for (size_t i = 0; i < probe->n_exits; i++)
		answers |= result->exit_code == probe->exits[i];
	return answers && result->signal == 0;
}

/* How it ended, and the end of what it printed. */
static void answer_exit(struct probe_run *run, const struct runner_result *result)
{
	char how[40], end[160], text[JUDGE_TEXT_MAX];
	const char *out = result->out_len > 120 ? result->out + result->out_len - 120 : result->out;
	(void)snprintf(end, sizeof(end), "%.150s", out);
	trim(end);
	for (char *c = end; *c != '\0'; c++)
		*c = *c == '\n' ? ' ' : *c;
	if (result->signal != 0)
		(void)snprintf(how, sizeof(how), "ended by signal %d", result->signal);
	else
		(void)snprintf(how, sizeof(how), "exit %d", result->exit_code);
	bool passes = judge_passing(run->options.bind.profile, result->out);
	(void)snprintf(text, sizeof(text), "%s: %s%s%s", run->probe->name, how, end[0] != '\0' ? ": " : "", end);
	answer(run, passes ? RESULT_UNKNOWN : RESULT_FAILED, text, NULL, false);
}

/* Of what was lost in the middle nothing can be said but that a match is in the rest. */
static bool is_known(const struct probe *probe, const struct runner_result *result)
{
	return result->whole || probe->expect == EXPECT_EXIT || (probe->expect == EXPECT_MATCH && probe->column == NULL && !probe->lines);
}

static void on_task(void *arg, const struct runner_result *result)
{
	struct probe_run *run = arg;
	run->request = NULL;
	if (result->state != RUNNER_AWAY && run->id[0] != '\0')
		runner_ack(run->runner, run->id);
	if (result->state == RUNNER_REFUSED)
		answer_none(run, RESULT_FAILED, "refused", result->error);
	else if (result->state != RUNNER_EXITED)
		answer_none(run, RESULT_UNKNOWN, "no answer from its runner", result->error);
	else if (!is_answer(run->probe, result))
		answer_exit(run, result);
	else if (!is_known(run->probe, result))
		answer_none(run, RESULT_UNKNOWN, "what it printed is not known as a whole, only its beginning and end: more than 64 KiB, or the disk there is full", "");
	else
		answer_output(run, result->out);
}

/* The node to ask; NULL with fail: there is none. *local: this host. */
static const char *place(struct probe_run *run, bool *local, struct fail *fail)
{
	const struct bind *bind = &run->options.bind;
	const char *on = run->probe->on;
	*local = strcmp(on, "local") == 0;
	if (*local)
		return NULL;
	if (strcmp(on, "self") == 0) {
		if (bind->row != NULL)
			return bind->row->name;
		(void)fail_set(fail, -EINVAL, "there is no node to ask: on = \"self\" without a row");
		return NULL;
	}
	int32_t row = bind->r != NULL ? facts_place(bind->r, strcmp(on, "old") == 0 ? CLASS_OLD : CLASS_NEW, 0) : -1;
	if (row >= 0)
		return bind->r->rows[row].name;
	(void)fail_set(fail, -EAGAIN, "no %s node is up to be asked", on);
	run->early_result = RESULT_UNKNOWN;
	return NULL;
}

uint64_t probe_life(void)
{
	static uint64_t life;
	if (life == 0 && getrandom(&life, sizeof(life), GRND_NONBLOCK) != (ssize_t)sizeof(life))
		life = (uint64_t)loop_wall_ms() << 16 ^ (uint64_t)getpid();
	return life;
}

static void task_id(struct probe_run *run)
{
	static uint64_t n;
	(void)snprintf(run->id, sizeof(run->id), "probe/%016llx/%u/%u/%.60s/%llu", (unsigned long long)probe_life(), run->options.bind.rollout,
		run->options.unit, run->probe->name, (unsigned long long)++n);
}

static int start_runner(struct probe_run *run, struct fail *fail)
{
	const struct probe *probe = run->probe;
	struct bind *bind = &run->options.bind;
	bool local;
	const char *node = place(run, &local, fail);
	run->runner = node != NULL || local ? site_runner(run->site, node, fail) : NULL;
	if (run->runner == NULL)
		return -ENOENT;
	if (probe->kind == PROBE_READ) {
		char *file = bind_text(bind, probe->target, fail);
		if (file != NULL)
			run->request = runner_read(run->runner, file, NULL, PATIENCE_MS, on_task, run);
		free(file);
		return file != NULL ? 0 : -EINVAL;
	}
	char **argv = bind_list(bind, probe->args, fail);
	char **env = argv != NULL ? bind_list(bind, probe->env, fail) : NULL;
	char *cwd = env != NULL ? bind_text(bind, probe->cwd != NULL ? probe->cwd : "/", fail) : NULL;
	if (cwd != NULL) {
		task_id(run);
		struct runner_task task = { .id = run->id, .argv = (const char *const *)argv, .env = (const char *const *)env, .cwd = cwd,
			.deadline_ms = RUN_MS };
		run->request = runner_start(run->runner, &task, RUN_MS + PATIENCE_MS, on_task, run);
	}
	int rc = cwd != NULL ? 0 : -EINVAL;
	bind_list_free(argv);
	bind_list_free(env);
	free(cwd);
	return rc;
}

/* ---- */

static int start_kind(struct probe_run *run, struct fail *fail)
{
	const struct probe *probe = run->probe;
	bool regex = probe->expect == EXPECT_MATCH || probe->expect == EXPECT_NOT_MATCH;
	if (regex || probe->expect == EXPECT_EQUALS) {
		run->expected = regex ? bind_regex(&run->options.bind, probe->expected, fail) : bind_text(&run->options.bind, probe->expected, fail);
		if (run->expected == NULL)
			return -EINVAL;
	}
	switch (probe->kind) {
	case PROBE_SQL:
		return start_sql(run, fail);
	case PROBE_HTTP:
		return start_http(run, fail);
	case PROBE_RUN:
	case PROBE_READ:
		return start_runner(run, fail);
	case PROBE_SERVER:
		break;
	}
	return fail_set(fail, -ENOTSUP, "this version cannot ask it");
}

struct probe_run *probe_start(struct site *site, const struct probe *probe, const struct probe_options *options, probe_fn *fn, void *arg)
{
	struct fail fail;
	struct probe_run *run = memory_need(calloc(1, sizeof(*run)));
	run->site = site;
	run->probe = probe;
	run->options = *options;
	run->fn = fn;
	run->arg = arg;
	run->early_result = RESULT_UNKNOWN; /* a name without a value: nobody was asked */
	if (options->bind.captures != NULL)
		run->captures = memory_need(strdup(options->bind.captures));
	run->options.bind.captures = run->captures;
	if (probe->doc != NULL)
		run->doc = bind_text(&run->options.bind, probe->doc, &fail);
	if (start_kind(run, &run->early) != 0) {
		run->timer = loop_timer_new(site_loop(site), on_early, run);
		loop_timer_set(run->timer, 0);
	}
	run->options.bind.row = NULL; /* all rows move when one more joins, and the answer may come after that */
	return run;
}

void probe_cancel(struct probe_run *run)
{
	if (run == NULL)
		return;
	if (run->query != NULL)
		sql_cancel(run->query);
	if (run->http != NULL)
		http_cancel(run->http);
	if (run->request != NULL)
		runner_cancel(run->request);
	run_free(run);
}
