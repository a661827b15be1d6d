/* SPDX-License-Identifier: MIT */
#include "offline.h"

#include "config.h"
#include "ctl/render.h"
#include "engine.h"
#include "io/conf.h"
#include "io/loop.h"
#include "io/store.h"
#include "io/store_dir.h"
#include "memory.h"
#include "proto/json.h"
#include "runbook.h"
#include "views.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

struct offline {
	struct config config;
	bool has_config, is_held, is_damaged;
	const char *dir;
	char pid[32];
	struct loop *loop;
	struct store *store;
	struct engine *engine;
	struct views *views;
	struct captures captures;
	char **reasons; /* by unit: owned */
	uint32_t n_reasons;
	uint64_t seq;
	int64_t at_ms;
	struct fail *fail;
};

/* ---- the fold ---- */

static void reason_keep(struct offline *o, uint32_t unit, const char *text)
{
	if (unit >= o->n_reasons) {
		uint32_t n = (unit + 1) * 2;
		o->reasons = memory_need(reallocarray(o->reasons, n, sizeof(char *)));
		memset(o->reasons + o->n_reasons, 0, (n - o->n_reasons) * sizeof(char *));
		o->n_reasons = n;
	}
	free(o->reasons[unit]);
	o->reasons[unit] = text != NULL ? memory_need(strdup(text)) : NULL;
}

static void reasons_done(struct offline *o)
{
	for (uint32_t i = 0; i < o->n_reasons; i++)
		free(o->reasons[i]);
	free(o->reasons);
	o->reasons = NULL;
	o->n_reasons = 0;
}

static void op_applied(void *arg, const struct rollout *r, const struct record *rec)
{
	struct offline *o = arg;
	if (rec->kind == RECORD_START)
		reasons_done(o);
	views_applied(o->views, r, rec);
	captures_applied(&o->captures, r, rec);
	if (r != NULL && rec->unit < r->n_units && (rec->kind == RECORD_UNIT || rec->kind == RECORD_RETRY))
		reason_keep(o, rec->unit, rec->text);
}

static int on_fold(void *arg, const struct record *rec)
{
	struct offline *o = arg;
	o->seq = rec->seq;
	o->at_ms = rec->at_ms;
	return engine_fold(o->engine, rec, o->fail);
}

/*
 * What the journal knows of the nodes stands in for what nobody observes: a node that is not under way is of the class it was planned as, or
 * new once it has passed.
 */
static void nodes_guess(struct rollout *r)
{
	for (uint32_t i = 0; i < r->n_rows; i++) {
		const struct row *row = &r->rows[i];
		if (row->set != r->profile->set_node)
			continue;
		struct fact_row *fact = &r->facts.rows[i];
		*fact = (struct fact_row){ .class_ = row->class_, .known = !row->aside, .up = !row->aside };
		for (uint8_t s = 0; s < r->profile->n_stages; s++) {
			const struct stage *stage = &r->profile->stages[s];
			if (stage->set == row->set && r->units[r->unit_of[s][row->rank]].state == UNIT_FENCED)
				fact->up = false;
			if (!stage->takes_out || !stage->has_pivot || stage->set != row->set)
				continue;
			const struct unit *u = &r->units[r->unit_of[s][row->rank]];
			if (u->state == UNIT_DONE && (u->flags & UNIT_ADOPTED) == 0)
				fact->class_ = CLASS_NEW;
			else if ((u->flags & UNIT_PIVOT) != 0)
				fact->known = false; /* half way: neither */
		}
	}
}

/* ---- words ---- */

static const char *at(int64_t wall_ms, char buf[static 32])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (localtime_r(&seconds, &tm) == NULL || strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buf, 32, "?");
	return buf;
}

static void head(const struct offline *o, const char *mark)
{
	char buf[32];
	if (o->is_held)
		(void)printf("%supgd is running (pid %s): upgctl knows more, and nothing may be done by hand beside it\n", mark, o->pid);
	else
		(void)printf("%supgd is not running on %s\n", mark, o->dir);
	(void)printf("%sfrom %s/journal.db: %" PRIu64 " records%s, the last of %s; nothing was observed\n", mark, o->dir, o->seq,
		o->is_damaged ? " BEFORE THE DAMAGE" : "", at(o->at_ms, buf));
}

/* The first line as upgctl has it; what it waits for without a daemon is the daemon. */
static void first_line(struct json_object *status)
{
	static const char waits[] = " waits: ";
	const char *first = "";
	(void)!json_get_str(status, "first", &first, NULL);
	const char *end = strstr(first, waits);
	if (end == NULL)
		return;
	char *text;
	if (asprintf(&text, "%.*s%supgd, which is not running", (int)(end - first), first, waits) < 0)
		abort();
	json_object_object_del(status, "first");
	json_add_str(status, "first", text);
	free(text);
}

static int status(const struct offline *o)
{
	static const char *const observed[] = { "fleets", "balancers", "holds", "low" };
	json_cleanup struct json_object *reply = views_status(o->views);
	for (size_t i = 0; i < sizeof(observed) / sizeof(observed[0]); i++)
		json_object_object_del(reply, observed[i]);
	const struct rollout *r = engine_rollout(o->engine);
	if (!o->is_held && r != NULL && !rollout_is_over(r))
		first_line(reply);
	head(o, "");
	render_text.status(stdout, reply);
	return EXIT_SUCCESS;
}

static int runbook(const struct offline *o)
{
	struct rollout *r = engine_rollout(o->engine);
	head(o, "# ");
	if (r == NULL || r->state == ROLLOUT_PLANNING) {
		(void)puts("# no rollout: there is nothing to do");
		return EXIT_SUCCESS;
	}
	nodes_guess(r);
	json_cleanup struct json_object *reply = views_status(o->views);
	const char *first = "";
	(void)!json_get_str(reply, "first", &first, NULL);
	(void)printf("# %.*s\n", (int)(strstr(first, " waits: ") != NULL ? strstr(first, " waits: ") - first : (long)strlen(first)), first);
	(void)puts("# Run by hand, line by line, as root on the host of upgd, with upgd stopped; look at each answer before the next line.\n"
		"# Lines that begin with #? are due only under the condition above them. Secrets stay where they are: $(head -n 1 FILE) reads\n"
		"# one where it is used. If upgd's own key for ssh is bound to upgd-run, use yours.");
	const struct runbook book = { .config = &o->config, .r = r, .captures = &o->captures, .reasons = o->reasons, .n_reasons = o->n_reasons };
	runbook_print(&book, stdout);
	return EXIT_SUCCESS;
}

/* ---- life ---- */

static int config_begin(struct offline *o, const char *path, struct fail *fail)
{
	struct conf_errors errors = { 0 };
	int rc = config_load(&o->config, path, &errors, fail);
	conf_errors_print(&errors, stderr);
	if (rc != 0 && errors.n > 0)
		(void)fail_set(fail, rc, "%s has mistakes", path);
	conf_errors_done(&errors);
	o->has_config = rc == 0;
	return rc;
}

static int begin(struct offline *o, enum offline_what what, const char *config_path, const char *state_dir, struct fail *fail)
{
	static const struct engine_ops ops = { .applied = op_applied };
	int rc = config_begin(o, config_path, fail);
	if (rc != 0)
		return rc;
	o->dir = state_dir != NULL ? state_dir : o->config.state_dir;
	o->is_held = store_dir_is_held(o->dir, o->pid);
	o->loop = loop_new(fail);
	if (o->loop == NULL)
		return fail->code;
	rc = store_open_offline(&o->store, o->dir, fail);
	if (rc != 0)
		return rc;
	o->engine = engine_new(&ops, o);
	const struct views_options views = { .loop = o->loop, .store = o->store, .engine = o->engine, .config = &o->config };
	o->views = views_new(&views);
	o->fail = fail;
	rc = store_fold(o->store, 0, on_fold, o, fail);
	o->is_damaged = rc == -EUCLEAN && o->seq > 0;
	if (o->is_damaged && what == OFFLINE_STATUS) { /* what came later may be past a pivot: no way is safe to tell */
		(void)fprintf(stderr, "upgd: %s\n", fail->text);
		rc = 0;
	}
	if (rc == 0 && engine_rollout(o->engine) != NULL)
		rollout_recovered(engine_rollout(o->engine));
	return rc;
}

int offline_run(enum offline_what what, const char *config_path, const char *state_dir)
{
	struct offline o = { .dir = "" };
	struct fail fail = { .text = "" };
	int code = EXIT_FAILURE;
	if (begin(&o, what, config_path, state_dir, &fail) == 0)
		code = what == OFFLINE_STATUS ? status(&o) : runbook(&o);
	else
		(void)fprintf(stderr, "upgd: %s\n", fail.text);
	if (o.is_damaged)
		code = EXIT_FAILURE;
	if (o.views != NULL)
		views_stop(o.views);
	store_close(o.store);
	engine_free(o.engine);
	views_free(o.views);
	loop_free(o.loop);
	captures_done(&o.captures);
	reasons_done(&o);
	if (o.has_config)
		config_done(&o.config);
	return code;
}
