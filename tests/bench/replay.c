/* SPDX-License-Identifier: MIT */
/*
 * How long a start takes with a large journal: a million records of a site with 5,000 schemata, opened, checked and folded by a process of its own,
 * beside a plain read of the same table. CPU time is printed, for machines differ; memory is a promise: more than 64 MB is a failure.
 *
 *   replay PROFILE [RECORDS]
 */
#include "daemon/captures.h"
#include "daemon/engine.h"
#include "daemon/io/loop.h"
#include "daemon/io/store.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 1000000, SCHEMATA = 5000, NODES = 10, BATCH = 1000, MEMORY_MB = 64 };

static struct {
	struct loop *loop;
	struct store *store;
	struct engine *engine;
	struct captures captures;
	uint64_t seq, n, want;
	struct record batch[BATCH];
	size_t n_batch;
} bench;

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "replay: %s\n", what);
	exit(1);
}

/* Of this process: the machine may be busy with other things. */
static uint64_t cpu_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- writing it ---- */

static void on_durable(void *arg, int error, const char *text)
{
	(void)arg;
	if (error != 0)
		die(text);
	loop_quit(bench.loop);
}

static void flush(void)
{
	store_append(bench.store, bench.batch, bench.n_batch, on_durable, NULL);
	bench.n_batch = 0;
	if (loop_run(bench.loop) != 0)
		die("the loop ended");
}

static void add(struct record record)
{
	record.seq = ++bench.seq;
	record.at_ms = 1700000000000 + (int64_t)bench.seq;
	record.epoch = 1;
	bench.batch[bench.n_batch++] = record;
	if (bench.n_batch == BATCH)
		flush();
}

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	(void)arg;
	*boot_ms = 1000;
	*wall_ms = 1700000000000;
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	(void)arg;
	store_append(bench.store, records, n, on_durable, NULL);
	bench.seq = records[n - 1].seq;
}

static void op_perform(void *arg, struct rollout *rollout, const struct effect *effect)
{
	(void)arg;
	(void)rollout;
	(void)effect;
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	(void)arg;
	(void)boot_ms;
}

static void start(const char *text)
{
	static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake };
	static struct engine_row rows[NODES + SCHEMATA];
	static char columns[NODES + SCHEMATA][64];
	static const char *const params[] = { "from", "7.10.5", "to", "7.10.6", "package", "7.10.6-44", "new_fleet", "oxserver-new",
		"redirect", "https://new.example/", NULL };
	for (unsigned i = 0; i < NODES + SCHEMATA; i++) {
		bool node = i < NODES;
		(void)snprintf(columns[i], sizeof(columns[i]), node ? "name=ox%u\nhost=ox%u\n" : "name=oxdatabase_%u\nhost=%u\n", i + 1, i % 7 + 1);
		rows[i] = (struct engine_row){ .set = node ? 1 : 2, .columns = columns[i], .weight = node ? 1 : 20, .capacity = node ? 20000 : 0,
			.host = node ? 0 : 1, .class_ = CLASS_OLD };
	}
	struct fail fail;
	struct engine_start s = { .text = text, .params = params, .rows = rows, .n_rows = NODES + SCHEMATA };
	bench.engine = engine_new(&ops, NULL);
	struct record header = { .seq = 1 };
	if (engine_fold(bench.engine, &header, &fail) != 0 || engine_start(bench.engine, &s, NULL, NULL, &fail) != 0)
		die(fail.text);
	if (loop_run(bench.loop) != 0)
		die("the loop ended");
	if (profile_stage(engine_rollout(bench.engine)->profile, "migrate") < 0)
		die("the profile has no stage migrate");
}

/* One schema's way, as the rules write it; then it is opened again, and so on round after round. */
static void one_unit(uint32_t unit, const struct stage *stage)
{
	add((struct record){ .kind = RECORD_ADMIT, .unit = unit, .lane = LANE_NONE, .value = 20, .text = "under way 3 of 4, tenants down 60" });
	for (uint16_t step = 0; step < stage->n_steps && bench.seq < bench.want; step++) {
		struct record rec = { .unit = unit, .step = step, .lane = 3, .attempt = 1, .kind = RECORD_INTENT,
			.text = "ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_4711 -s 107" };
		if (stage->steps[step].n_captures > 0) {
			rec.kind = RECORD_CAPTURE;
			rec.text = "{\"tasks\":{\"rows\":[[\"com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task\"]]},\"excluded\":{\"rows\":[]}}";
			add(rec);
		} else {
			add(rec);
			rec.kind = RECORD_ACTED;
			rec.hash = bench.seq;
			rec.text = "exit 0 after 1.8 s\nSuccessfully changed to server '107' for schema 'oxdatabase_4711'.\n";
			add(rec);
		}
		rec.kind = RECORD_STEP;
		rec.text = "owned_new: 0 rows (every context of the schema belongs to the new fleet)";
		add(rec);
	}
	add((struct record){ .kind = RECORD_UNIT, .unit = unit, .lane = LANE_NONE, .code = UNIT_DONE });
	add((struct record){ .kind = RECORD_UNIT, .unit = unit, .lane = LANE_NONE, .code = UNIT_WAITING, .text = "observed as old again" });
}

static uint32_t unit_at(const struct rollout *r, uint32_t i)
{
	int stage = profile_stage(r->profile, "migrate");
	return r->unit_of[stage][i % r->n_set_rows[2]];
}

static void write_it(const char *dir, const char *profile)
{
	struct fail fail;
	FILE *in = fopen(profile, "r");
	char *text = NULL;
	size_t size = 0;
	if (in == NULL || getdelim(&text, &size, EOF, in) < 0)
		die("cannot read the profile");
	(void)fclose(in);
	bench.loop = loop_new(&fail);
	const struct store_options options = { .dir = dir };
	if (store_open(&bench.store, bench.loop, &options, &fail) != 0)
		die(fail.text);
	start(text);
	free(text);
	const struct rollout *r = engine_rollout(bench.engine);
	const struct stage *stage = &r->profile->stages[profile_stage(r->profile, "migrate")];
	for (uint32_t i = 0; bench.seq < bench.want; i++)
		one_unit(unit_at(r, i), stage);
	flush();
	store_close(bench.store);
	engine_free(bench.engine);
	loop_free(bench.loop);
}

/* ---- reading it ---- */

static uint64_t plain_read(const char *dir)
{
	char path[256];
	sqlite3 *db = NULL;
	sqlite3_stmt *rows = NULL;
	uint64_t begin = cpu_ms(), bytes = 0;
	(void)snprintf(path, sizeof(path), "%s/journal.db", dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
		sqlite3_prepare_v2(db, "SELECT * FROM journal ORDER BY seq", -1, &rows, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(db));
	while (sqlite3_step(rows) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(rows); i++)
			bytes += sqlite3_column_type(rows, i) == SQLITE_TEXT ? strlen((const char *)sqlite3_column_text(rows, i)) : (uint64_t)sqlite3_column_int64(rows, i) & 1;
	sqlite3_finalize(rows);
	sqlite3_close(db);
	return bytes > 0 ? cpu_ms() - begin : 0;
}

static void op_applied(void *arg, const struct rollout *rollout, const struct record *record)
{
	(void)arg;
	captures_applied(&bench.captures, rollout, record);
}

static int on_record(void *arg, const struct record *record)
{
	bench.n++;
	return engine_fold(bench.engine, record, arg);
}

/* In a process of its own, so that its memory is what a daemon would need. */
static void fold_it(const char *dir, uint64_t plain_ms)
{
	static const struct engine_ops ops = { .applied = op_applied };
	struct fail fail;
	struct rusage usage;
	uint64_t begin = cpu_ms();
	bench.loop = loop_new(&fail);
	bench.engine = engine_new(&ops, NULL);
	const struct store_options options = { .dir = dir };
	if (store_open(&bench.store, bench.loop, &options, &fail) != 0)
		die(fail.text);
	uint64_t opened = cpu_ms();
	if (store_fold(bench.store, 0, on_record, &fail, &fail) != 0)
		die(fail.text);
	uint64_t folded = cpu_ms();
	(void)getrusage(RUSAGE_SELF, &usage);
	(void)printf("%" PRIu64 " records: opened and checked in %" PRIu64 " ms of CPU, folded in %" PRIu64 "; a plain read takes %" PRIu64 ", the fold %.1f times that; "
		"%ld MB of memory\n", bench.n, opened - begin, folded - opened, plain_ms, plain_ms > 0 ? (double)(folded - opened) / (double)plain_ms : 0.0,
		usage.ru_maxrss >> 10);
	(void)fflush(stdout);
	_exit(usage.ru_maxrss >> 10 > MEMORY_MB);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/upgd-replay-XXXXXX", command[64];
	bench.want = argc > 2 ? strtoull(argv[2], NULL, 10) : RECORDS;
	if (argc < 2 || mkdtemp(dir) == NULL)
		die("usage: replay PROFILE [RECORDS]");
	int status = 1;
	pid_t writer = fork();
	if (writer == 0) {
		write_it(dir, argv[1]);
		_exit(0);
	}
	(void)waitpid(writer, &status, 0);
	if (status == 0) {
		uint64_t plain_ms = plain_read(dir);
		pid_t reader = fork();
		if (reader == 0)
			fold_it(dir, plain_ms);
		(void)waitpid(reader, &status, 0);
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0 || status != 0;
}
