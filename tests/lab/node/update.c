/* SPDX-License-Identifier: MIT */
/*
 * OX's update process with its habits. LOCKED is a row, taken in a transaction, so a killed node leaves it behind. UpdateProcess.run()
 * catches everything: a lock held by someone else, a database that is down, a dependency that failed all end as "nothing failed". A task
 * that throws is recorded with successful=0 and counts as executed from then on; the run goes on with the next.
 * The heartbeat is a thread of its own, as in OX: a task that hangs keeps its lock alive.
 */
#include "update.h"
#include "cache.h"
#include "cluster.h"
#include "db.h"
#include "fault.h"
#include "site.h"
#include "work.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct marker {
	const char *name, *uuid;
};
static const struct marker LOCKED = {"LOCKED", "8d8b93e559794bac" "a39daef8f87087a1"};
static const struct marker BACKGROUND = {"BACKGROUND", "5b7a2847985a49aa" "874c17df79af48b3"};

struct beat {
	int pool;
	char schema[64];
	const struct marker *marker;
	atomic_bool stop;
};

struct run {
	int pool;
	const char *schema;
	struct db *db;
	struct ledger *ledger;
	struct json_object *failures;
};

static atomic_int n_runs;

int update_count(void)
{
	return atomic_load(&n_runs);
}

int64_t update_now(void)
{
	struct timespec now;
	struct fault skew;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	return fault_is_set("clock", &skew) ? ms + skew.number : ms;
}

int ledger_read(int pool, const char *schema, struct ledger *out, struct fail *fail)
{
	*out = (struct ledger){.ran = NULL};
	db_cleanup struct db *db = db_open(pool, fail);
	json_cleanup struct json_object *rows =
		db == NULL ? NULL : db_rows(db, fail, "SELECT taskName,successful,lastModified FROM `%s`.updateTask WHERE cid=0", schema);
	if (rows == NULL)
		return -EIO;
	out->ran = json_object_new_object();
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		const char *name = row_text(rows, i, 0);
		if (strcmp(name, LOCKED.name) == 0)
			out->locked_at = row_number(rows, i, 2);
		else if (strcmp(name, BACKGROUND.name) == 0)
			out->background_at = row_number(rows, i, 2);
		else
			json_add_bool(out->ran, name, row_number(rows, i, 1) == 1);
	}
	return 0;
}

static const char *task_name(struct json_object *task)
{
	const char *name = "";
	struct fail fail;
	(void)!json_get_str(task, "name", &name, &fail);
	return name;
}

static bool task_is_background(struct json_object *task)
{
	bool yes = false;
	struct fail fail;
	(void)!json_get_bool(task, "background", &yes, &fail);
	return yes;
}

static bool is_pending(const struct ledger *ledger, struct json_object *task)
{
	return !json_object_object_get_ex(ledger->ran, task_name(task), NULL) && !site_is_excluded(task_name(task));
}

bool ledger_has_pending(const struct ledger *ledger)
{
	for (size_t i = 0; i < json_object_array_length(site.tasks); i++)
		if (is_pending(ledger, json_object_array_get_idx(site.tasks, i)))
			return true;
	return false;
}

static bool is_expired(int64_t taken_at)
{
	int64_t idle_ms = site_settings().locked_idle_ms;
	return idle_ms > 0 && update_now() - taken_at > idle_ms;
}

enum schema_state update_state(int pool, const char *schema)
{
	struct fail fail;
	if (cache_schema_is_current(pool, schema))
		return SCHEMA_CURRENT;
	ledger_cleanup struct ledger ledger;
	if (ledger_read(pool, schema, &ledger, &fail) < 0)
		return SCHEMA_DOWN;
	if (ledger.locked_at != 0 && !is_expired(ledger.locked_at))
		return SCHEMA_LOCKED;
	if (ledger_has_pending(&ledger))
		return SCHEMA_PENDING;
	cache_schema_put(pool, schema);
	return SCHEMA_CURRENT;
}

static void beat(void *arg)
{
	struct beat *self = arg;
	struct fail fail;
	int64_t left = site_settings().refresh_ms;
	while (!atomic_load(&self->stop)) {
		int64_t slice = left < 50 ? left : 50;
		sleep_ms(slice);
		left -= slice;
		if (left > 0)
			continue;
		left = site_settings().refresh_ms > 0 ? site_settings().refresh_ms : 1000;
		db_cleanup struct db *db = db_open(self->pool, &fail);
		if (db != NULL && !atomic_load(&self->stop) &&
			db_exec(db, &fail, "UPDATE `%s`.updateTask SET lastModified=%lld WHERE cid=0 AND uuid=0x%s", self->schema,
				(long long)update_now(), self->marker->uuid) < 0)
			fprintf(stderr, "heartbeat of %s: %s\n", self->schema, fail.text);
	}
	free(self);
}

/* NULL: somebody has it, or the database is down. */
static struct beat *lock_take(const struct run *run, const struct marker *marker, struct fail *fail)
{
	long long now = update_now();
	if (db_exec(run->db, fail, "BEGIN") < 0)
		return NULL;
	json_cleanup struct json_object *rows = db_rows(run->db, fail,
		"SELECT taskName,lastModified FROM `%s`.updateTask WHERE cid=0 AND uuid=0x%s FOR UPDATE", run->schema, marker->uuid);
	if (rows == NULL)
		return NULL;
	bool is_held = json_object_array_length(rows) > 0;
	if (is_held && !(marker == &LOCKED && is_expired(row_number(rows, 0, 1)))) {
		(void)!db_exec(run->db, fail, "ROLLBACK");
		fail_set(fail, -EBUSY, "UPD-0003: the schema %s is already being updated", run->schema);
		return NULL;
	}
	int64_t rc = is_held ?
		db_exec(run->db, fail, "UPDATE `%s`.updateTask SET lastModified=%lld WHERE cid=0 AND uuid=0x%s", run->schema, now, marker->uuid) :
		db_exec(run->db, fail, "INSERT INTO `%s`.updateTask VALUES (0,'%s',1,%lld,0x%s)", run->schema, marker->name, now, marker->uuid);
	if (rc < 0 || db_exec(run->db, fail, "COMMIT") < 0)
		return NULL;
	struct beat *self = calloc(1, sizeof(*self));
	self->pool = run->pool;
	self->marker = marker;
	snprintf(self->schema, sizeof(self->schema), "%s", run->schema);
	work_run(beat, self);
	return self;
}

static void lock_release(const struct run *run, struct beat *lock)
{
	struct fail fail;
	const struct marker *marker = lock->marker;
	atomic_store(&lock->stop, true); /* frees itself */
	db_cleanup struct db *db = db_open(run->pool, &fail);
	if (db == NULL || db_exec(db, &fail, "DELETE FROM `%s`.updateTask WHERE cid=0 AND uuid=0x%s", run->schema, marker->uuid) < 0)
		fprintf(stderr, "%s of %s stays: %s\n", marker->name, run->schema, fail.text);
}

static bool task_fault(const char *schema, const char *task, struct fault *fault)
{
	char name[256];
	const char *last = strrchr(task, '.');
	last = last != NULL ? last + 1 : task;
	snprintf(name, sizeof(name), "task.%s.%s", schema, last);
	if (fault_is_set(name, fault))
		return true;
	snprintf(name, sizeof(name), "task.any.%s", last);
	if (fault_is_set(name, fault))
		return true;
	*fault = (struct fault){.word = ""};
	return false;
}

static int64_t task_ms(const struct run *run, struct json_object *task)
{
	int64_t ms = 0, each = 0;
	struct fail fail;
	(void)!json_get_int(task, "ms", 0, INT32_MAX, &ms, &fail);
	(void)!json_get_int(task, "per_context_ms", 0, INT32_MAX, &each, &fail);
	return each == 0 ? ms : ms + each * db_number(run->db, 0, "SELECT COUNT(*) FROM `%s`.lab_tenant", run->schema);
}

/* 0: recorded as done; 1: recorded as failed; <0: the exception that ends the run. */
static int task_run(const struct run *run, struct json_object *task, struct fail *fail)
{
	const char *name = task_name(task);
	struct fault fault;
	fprintf(stderr, "schema %s: task %s\n", run->schema, name);
	task_fault(run->schema, name, &fault);
	if (strcmp(fault.word, "die") == 0)
		kill(getpid(), SIGKILL);
	while (strcmp(fault.word, "hang") == 0)
		sleep_ms(1000);
	bool is_bad = strcmp(fault.word, "fail") == 0;
	/* A real statement, so that a long transaction of somebody else stops it. */
	if (!is_bad && db_exec(run->db, fail, "ALTER TABLE `%s`.lab_tenant COMMENT=%s", run->schema, db_quote(run->db, name)) < 0)
		return -EIO;
	sleep_ms(task_ms(run, task) + (strcmp(fault.word, "slow") == 0 ? fault.number : 0));
	int64_t n = db_exec(run->db, fail, "UPDATE `%s`.updateTask SET successful=%d,lastModified=%lld WHERE cid=0 AND taskName=%s", run->schema,
		!is_bad, (long long)update_now(), db_quote(run->db, name));
	if (n == 0)
		n = db_exec(run->db, fail, "INSERT INTO `%s`.updateTask VALUES (0,%s,%d,%lld,RANDOM_BYTES(16))", run->schema,
			db_quote(run->db, name), !is_bad, (long long)update_now());
	if (n < 0)
		return -EIO;
	if (strcmp(fault.word, "die-after") == 0)
		kill(getpid(), SIGKILL);
	if (is_bad)
		fprintf(stderr, "schema %s: task %s failed: com.openexchange.exception.OXException: SQL-0001\n", run->schema, name);
	return is_bad;
}

static int check_dependency(const struct run *run, struct json_object *task, struct fail *fail)
{
	const char *after = NULL;
	bool is_good = false;
	if (json_get_str(task, "after", &after, fail) != 0)
		return 0;
	if (json_get_bool(run->ledger->ran, after, &is_good, fail) == 0 && is_good)
		return 0;
	return fail_set(fail, -ENOENT, "UPD-0016: unmet dependency: %s needs %s", task_name(task), after);
}

static int run_phase(struct run *run, bool background, struct fail *fail)
{
	for (size_t i = 0; i < json_object_array_length(site.tasks); i++) {
		struct json_object *task = json_object_array_get_idx(site.tasks, i);
		if (task_is_background(task) != background || !is_pending(run->ledger, task))
			continue;
		int rc = check_dependency(run, task, fail);
		if (rc == 0)
			rc = task_run(run, task, fail);
		if (rc < 0)
			return rc;
		json_add_bool(run->ledger->ran, task_name(task), rc == 0);
		if (rc > 0 && run->failures != NULL)
			json_object_array_add(run->failures, json_object_new_string(task_name(task)));
	}
	return 0;
}

static bool has_phase(const struct run *run, bool background)
{
	for (size_t i = 0; i < json_object_array_length(site.tasks); i++) {
		struct json_object *task = json_object_array_get_idx(site.tasks, i);
		if (task_is_background(task) == background && is_pending(run->ledger, task))
			return true;
	}
	return false;
}

/* The contexts of the schema are loaded again by this cluster; nobody tells the other. */
static void forget(int pool, const char *schema)
{
	struct fail fail;
	cluster_forget_schema(pool, schema);
	db_cleanup struct db *db = db_open(0, &fail);
	json_cleanup struct json_object *rows = db == NULL ? NULL :
		db_rows(db, &fail, "SELECT cid FROM context_server2db_pool WHERE db_schema=%s AND write_db_pool_id=%d", db_quote(db, schema), pool);
	json_cleanup struct json_object *cids = json_object_new_array();
	for (size_t i = 0; rows != NULL && i < json_object_array_length(rows); i++)
		json_object_array_add(cids, json_object_new_int64(row_number(rows, i, 0)));
	cluster_forget_contexts(cids, 0);
}

static int locked_phase(struct run *run, const struct marker *marker, struct fail *fail)
{
	bool background = marker == &BACKGROUND;
	if (!has_phase(run, background))
		return 0;
	struct beat *lock = lock_take(run, marker, fail);
	if (lock == NULL)
		return -EBUSY;
	forget(run->pool, run->schema);
	int rc = run_phase(run, background, fail);
	lock_release(run, lock);
	forget(run->pool, run->schema);
	return rc;
}

void update_run(int pool, const char *schema, struct json_object *failures)
{
	struct fail fail = {.code = 0};
	ledger_cleanup struct ledger ledger = {.ran = NULL};
	struct run run = {.pool = pool, .schema = schema, .ledger = &ledger, .failures = failures};
	atomic_fetch_add(&n_runs, 1);
	run.db = db_open(pool, &fail);
	int rc = run.db == NULL ? -EIO : ledger_read(pool, schema, &ledger, &fail);
	if (rc == 0)
		rc = locked_phase(&run, &LOCKED, &fail);
	if (rc == 0)
		rc = locked_phase(&run, &BACKGROUND, &fail);
	/* This is the whole of OX's error handling. */
	if (rc < 0)
		fprintf(stderr, "schema %s: update: %s\n", schema, fail.text);
	db_close(&run.db);
	atomic_fetch_sub(&n_runs, 1);
}

struct order {
	int pool;
	char schema[64];
};

static void run_order(void *arg)
{
	struct order *order = arg;
	update_run(order->pool, order->schema, NULL);
	free(order);
}

void update_trigger(int pool, const char *schema)
{
	struct order *order = calloc(1, sizeof(*order));
	order->pool = pool;
	snprintf(order->schema, sizeof(order->schema), "%s", schema);
	work_run(run_order, order);
}

int update_force(int pool, const char *schema, const char *name, struct fail *fail)
{
	struct json_object *task = NULL;
	ledger_cleanup struct ledger ledger = {.ran = NULL};
	if (!json_object_object_get_ex(site.by_name, name, &task))
		return fail_set(fail, -ENOENT, "Unknown update task: %s", name);
	db_cleanup struct db *db = db_open(pool, fail);
	struct run run = {.pool = pool, .schema = schema, .db = db, .ledger = &ledger};
	if (db == NULL || ledger_read(pool, schema, &ledger, fail) < 0)
		return -EIO;
	struct beat *lock = lock_take(&run, &LOCKED, fail);
	if (lock == NULL)
		return -EBUSY;
	forget(pool, schema);
	int rc = task_run(&run, task, fail);
	lock_release(&run, lock);
	forget(pool, schema);
	return rc > 0 ? fail_set(fail, -EIO, "UPD-0010: task %s failed on schema %s", name, schema) : rc;
}
