/* SPDX-License-Identifier: MIT */
#include "changelog.h"
#include "db.h"
#include "proto/json.h"
#include "site.h"
#include "work.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_bool is_done;

bool changelog_is_done(void)
{
	return atomic_load(&is_done);
}

static bool is_missing(struct db *db, const char *id)
{
	return db_number(db, 0, "SELECT COUNT(*) FROM DATABASECHANGELOG WHERE ID=%s", db_quote(db, id)) == 0;
}

static const char *entry(size_t i)
{
	return json_object_get_string(json_object_array_get_idx(site.changelog, i));
}

static bool has_missing(struct db *db)
{
	for (size_t i = 0; i < json_object_array_length(site.changelog); i++)
		if (is_missing(db, entry(i)))
			return true;
	return false;
}

static int apply_missing(struct db *db, struct fail *fail)
{
	for (size_t i = 0; i < json_object_array_length(site.changelog); i++) {
		if (!is_missing(db, entry(i)))
			continue;
		sleep_ms(env_number("LAB_CHANGELOG_MS", 150));
		if (db_exec(db, fail, "INSERT INTO DATABASECHANGELOG SELECT %s,'ox','configdbChangeLog.xml',NOW(),COALESCE(MAX(ORDEREXECUTED),0)+1,"
			"'EXECUTED' FROM DATABASECHANGELOG", db_quote(db, entry(i))) < 0)
			return -EIO;
		fprintf(stderr, "configdb changelog: %s\n", entry(i));
	}
	return 0;
}

/* 0: all entries are there; <0: try again. */
static int migrate(struct fail *fail)
{
	db_cleanup struct db *db = db_open(0, fail);
	if (db == NULL)
		return -EIO;
	if (!has_missing(db))
		return 0;
	int64_t n = db_exec(db, fail, "UPDATE DATABASECHANGELOGLOCK SET LOCKED=b'1',LOCKGRANTED=NOW(),LOCKEDBY=%s WHERE ID=1 AND LOCKED=b'0'",
		db_quote(db, site.name));
	if (n < 1)
		return fail_set(fail, -EAGAIN, "waiting for changelog lock");
	int rc = apply_missing(db, fail);
	if (db_exec(db, fail, "UPDATE DATABASECHANGELOGLOCK SET LOCKED=b'0',LOCKGRANTED=NULL,LOCKEDBY=NULL WHERE ID=1") < 0)
		return -EIO;
	return rc;
}

static void run(void *arg)
{
	struct fail fail;
	while (migrate(&fail) < 0) {
		fprintf(stderr, "configdb changelog: %s, trying again\n", fail.text);
		sleep_ms(200);
	}
	atomic_store(&is_done, true);
}

void changelog_start(void)
{
	work_run(run, NULL);
}
