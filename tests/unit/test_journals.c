/* SPDX-License-Identifier: MIT */
/*
 * Journals that releases left behind, tests/journals/VERSION/NAME.sql: this version opens each, folds it, and finds the state that is written
 * down beside it in NAME.state: at the end of each rollout in it, and at its own end. UPGD_BLESS=1 writes what came.
 */
#include "daemon/engine.h"
#include "daemon/io/loop.h"
#include "daemon/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sqlite3.h>

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *file_text(const char *path)
{
	FILE *in = fopen(path, "r");
	if (in == NULL)
		return NULL;
	char *text = NULL;
	size_t size = 0;
	ssize_t len = getdelim(&text, &size, EOF, in);
	(void)fclose(in);
	return len >= 0 ? text : NULL;
}

static void state_put(FILE *out, const struct rollout *r)
{
	char name[300];
	(void)fprintf(out, "rollout %u %s, seq %" PRIu64 ", epoch %u, %u rows\n", r->id, rollout_state_word(r->state), r->seq, r->epoch, r->n_rows);
	for (uint32_t i = 0; i < r->n_units; i++) {
		const struct unit *u = &r->units[i];
		(void)fprintf(out, "  %s %s step %u attempt %u touched %x captured %x flags %x window %lld ms task %lld ms\n",
			rollout_unit_name(r, i, name, sizeof(name)), unit_state_word(u->state), u->step, u->attempt, u->touched, u->captured, u->flags,
			(long long)(u->window_close_ms - u->window_open_ms), (long long)u->task_ms);
	}
	for (uint8_t b = 0; b < r->profile->n_balancers; b++)
		for (uint32_t i = 0; i < r->n_rows && r->wants[b] != NULL; i++)
			if (r->rows[i].set == r->profile->set_node && r->wants[b][r->rows[i].rank].state != SERVER_UNKNOWN)
				(void)fprintf(out, "  %s/%s %s\n", r->profile->balancers[b], r->rows[i].name,
					server_state_word((enum server_state)r->wants[b][r->rows[i].rank].state));
}

struct folding {
	struct engine *engine;
	FILE *out;
	struct fail fail;
	uint64_t n;
};

static int on_record(void *arg, const struct record *record)
{
	struct folding *f = arg;
	f->n++;
	int rc = engine_fold(f->engine, record, &f->fail);
	if (rc == 0 && record->kind == RECORD_END)
		state_put(f->out, engine_rollout(f->engine));
	return rc;
}

/* The journal as it was, in a directory of its own. */
static void restore(const char *sql_path, const char *dir)
{
	char path[128], *error = NULL, *sql = file_text(sql_path);
	sqlite3 *db = NULL;
	assert_non_null(sql);
	(void)snprintf(path, sizeof(path), "%s/journal.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql_path, error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	free(sql);
}

static void fold(const char *dir, struct folding *f)
{
	static const struct engine_ops ops = { 0 };
	struct loop *loop = loop_new(&f->fail);
	struct store *store = NULL;
	const struct store_options options = { .dir = dir, .ballast_bytes = 4096 };
	f->engine = engine_new(&ops, NULL);
	if (store_open(&store, loop, &options, &f->fail) != 0 || store_fold(store, 0, on_record, f, &f->fail) != 0)
		fail_msg("%s", f->fail.text);
	if (engine_rollout(f->engine) != NULL)
		state_put(f->out, engine_rollout(f->engine));
	store_close(store);
	engine_free(f->engine);
	loop_free(loop);
}

static void journal_check(const char *sql_path)
{
	char dir[] = "/tmp/upgd-journal-XXXXXX", state_path[512], *got = NULL;
	size_t size;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(state_path, sizeof(state_path), "%.*s.state", (int)(strlen(sql_path) - 4), sql_path);
	restore(sql_path, dir);
	struct folding f = { .out = open_memstream(&got, &size) };
	assert_non_null(f.out);
	fold(dir, &f);
	assert_int_equal(fclose(f.out), 0);
	print_message("%s: %" PRIu64 " records\n", sql_path, f.n);
	assert_true(f.n > 1);
	if (getenv("UPGD_BLESS") != NULL) {
		FILE *out = fopen(state_path, "w");
		assert_non_null(out);
		assert_int_equal(fwrite(got, 1, size, out), size);
		assert_int_equal(fclose(out), 0);
	}
	char *want = file_text(state_path);
	if (want == NULL)
		fail_msg("%s is missing", state_path);
	assert_string_equal(got, want);
	free(want);
	free(got);
	char command[64];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void test_every_kept_journal_folds_to_its_state(void **state)
{
	(void)state;
	glob_t found;
	assert_int_equal(glob(UPGD_SOURCE_DIR "/tests/journals/*/*.sql", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		journal_check(found.gl_pathv[i]);
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_kept_journal_folds_to_its_state) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
