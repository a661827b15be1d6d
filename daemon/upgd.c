/* SPDX-License-Identifier: MIT */
/*
 * The wiring. The engine decides; what it wants is passed on here: batches to the journal, effects to the executor, what was applied to
 * those who show it. The engine is never called from inside one of its own ops: what an op finds out is done by the `soon` timer.
 *
 *   a stop      SIGTERM tells the rules (no new unit, open windows close first); the daemon ends when no window of a running unit
 *               is open. Tasks go on in their runners, the next life asks for them by name. A second SIGTERM ends at once.
 *   a journal   that cannot be written ends the daemon: nothing that was not written down has had an effect.
 *   a reload    takes roles, pace and vars; what needs a restart is named and left as it was.
 */
#include "upgd.h"

#include "config.h"
#include "control.h"
#include "engine.h"
#include "executor.h"
#include "io/conf.h"
#include "io/loop.h"
#include "io/store.h"
#include "log.h"
#include "memory.h"
#include "peer.h"
#include "process.h"
#include "service.h"
#include "site.h"
#include "views.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

enum { BEAT_MS = 1000, SOCKET_MODE = 0666, FAREWELL_MS = 200 };

struct upgd {
	char *config_path;      /* owned */
	struct config config;
	bool has_config, has_service, folding, stopping, failed, watching;
	struct peer_roles roles; /* arrays owned */
	struct service service;
	struct loop *loop;
	struct store *store;
	struct site *site;
	struct executor *executor;
	struct engine *engine;
	struct views *views;
	struct control *control;
	struct loop_timer *wake, *soon, *beat, *watchdog, *farewell;
};

/* ---- engine_ops ---- */

static void op_now(void *arg, uint64_t *boot_ms, int64_t *wall_ms)
{
	(void)arg;
	*boot_ms = loop_boot_ms();
	*wall_ms = loop_wall_ms();
}

static void look_at_disk(struct upgd *upgd)
{
	const struct rollout *r = engine_rollout(upgd->engine);
	bool low = store_is_low(upgd->store);
	if (r == NULL || r->low == low)
		return;
	log_say(LOG_AT_WARNING, low ? "the journal's disk is full: nothing new starts until there is room" : "there is room for the journal again");
	struct event event = { .kind = EVENT_LOW, .value = low };
	engine_event(upgd->engine, &event);
	views_changed(upgd->views);
}

static void on_durable(void *arg, int error, const char *text)
{
	struct upgd *upgd = arg;
	if (error != 0 && !upgd->failed) {
		upgd->failed = true;
		log_say(LOG_AT_ERR, "the journal cannot be written: %s, ending", text != NULL ? text : strerror(-error));
		loop_timer_set(upgd->farewell, FAREWELL_MS); /* those who wait are told so first */
	}
	if (error == 0)
		look_at_disk(upgd); /* before what was written lets anything new begin */
	engine_durable(upgd->engine, error);
	views_changed(upgd->views);
}

static void op_append(void *arg, const struct record *records, size_t n)
{
	struct upgd *upgd = arg;
	store_append(upgd->store, records, n, on_durable, upgd);
}

static void op_perform(void *arg, struct rollout *rollout, const struct effect *effect)
{
	struct upgd *upgd = arg;
	executor_perform(upgd->executor, rollout, effect);
}

static void op_wake(void *arg, uint64_t boot_ms)
{
	struct upgd *upgd = arg;
	uint64_t now = loop_boot_ms();
	if (boot_ms == 0)
		loop_timer_clear(upgd->wake);
	else
		loop_timer_set(upgd->wake, boot_ms > now ? boot_ms - now : 0);
}

static void op_render(void *arg, const struct rollout *rollout, struct record *intent)
{
	struct upgd *upgd = arg;
	executor_render(upgd->executor, rollout, intent);
}

/* One line for every decision; what only prepares one is for debugging. */
static enum log_level record_level(const struct record *rec)
{
	switch (rec->kind) {
	case RECORD_ROW:
	case RECORD_REQUEST:
	case RECORD_CAPTURE:
	case RECORD_OUTPUT:
		return LOG_AT_DEBUG;
	case RECORD_INTENT:
	case RECORD_ACTED:
	case RECORD_STEP:
	case RECORD_WANT:
	case RECORD_RESOLVE:
	case RECORD_PROCESS:
		return LOG_AT_INFO;
	case RECORD_FOREIGN:
	case RECORD_LINE:
	case RECORD_REASSERT:
	case RECORD_RETRY:
	case RECORD_STAYS:
		return LOG_AT_WARNING;
	case RECORD_UNIT:
		return rec->code == UNIT_FAILED || rec->code == UNIT_UNCERTAIN ? LOG_AT_ERR : LOG_AT_NOTICE;
	default:
		return LOG_AT_NOTICE;
	}
}

static void log_record(const struct rollout *r, const struct record *rec)
{
	char run[16], seq[24], unit[300] = "", code[16], attempt[8];
	const char *step = NULL;
	bool of_unit = r != NULL && rec->unit < r->n_units && rec->kind != RECORD_ROW;
	(void)snprintf(run, sizeof(run), "%u", r != NULL ? r->id : 0);
	(void)snprintf(seq, sizeof(seq), "%" PRIu64, rec->seq);
	(void)snprintf(code, sizeof(code), "%u", rec->code);
	(void)snprintf(attempt, sizeof(attempt), "%u", rec->attempt);
	if (of_unit) {
		const struct stage *stage = rollout_stage(r, &r->units[rec->unit]);
		(void)rollout_unit_name(r, rec->unit, unit, sizeof(unit));
		step = rec->step < stage->n_steps && rec->kind != RECORD_WANT ? stage->steps[rec->step].name : NULL;
	}
	const char *lane = rec->lane >= 0 && r != NULL && (uint32_t)rec->lane < r->n_rows && rec->kind != RECORD_ROW && rec->kind != RECORD_PROCESS ? r->rows[rec->lane].name : NULL;
	bool start = rec->kind == RECORD_START; /* its text is a whole profile */
	const struct log_field fields[] = { { "run", run }, { "seq", seq }, { "unit", of_unit ? unit : NULL }, { "step", step }, { "lane", lane },
		{ "dir", of_unit && rec->dir == DIR_UNDO ? "undo" : NULL }, { "attempt", of_unit && rec->attempt > 1 ? attempt : NULL },
		{ "code", rec->kind == RECORD_UNIT ? unit_state_word(rec->code) : rec->code != 0 ? code : NULL }, { "actor", rec->actor },
		{ "text", start ? NULL : rec->text }, { NULL, NULL } };
	log_with(record_level(rec), fields, "%s", record_kind_word(rec->kind));
}

static void op_applied(void *arg, const struct rollout *rollout, const struct record *rec)
{
	struct upgd *upgd = arg;
	executor_applied(upgd->executor, rollout, rec);
	views_applied(upgd->views, rollout, rec);
	if (upgd->folding)
		return;
	log_record(rollout, rec);
	loop_timer_set(upgd->soon, 0);
}

/* ---- what is looked after ---- */

static void on_wake(void *arg)
{
	struct upgd *upgd = arg;
	struct event event = { .kind = EVENT_TICK };
	engine_event(upgd->engine, &event);
}

static uint32_t windows_open(const struct rollout *r)
{
	uint32_t n = 0;
	if (r != NULL && r->paused_now)
		return 0; /* they stay open until somebody resumes: not ours to wait for */
	for (uint32_t i = 0; r != NULL && !rollout_is_over(r) && i < r->n_units; i++)
		n += (r->units[i].flags & UNIT_WINDOW) != 0 && (r->units[i].state == UNIT_RUNNING || r->units[i].state == UNIT_UNDOING);
	return n;
}

static void end_if_closed(struct upgd *upgd)
{
	if (!upgd->stopping || windows_open(engine_rollout(upgd->engine)) > 0)
		return;
	log_say(LOG_AT_NOTICE, "ending: no window is open");
	loop_quit(upgd->loop);
}

/* Custody lasts as long as the world is mixed. */
static void watch_as_needed(struct upgd *upgd)
{
	const struct rollout *r = engine_rollout(upgd->engine);
	bool wanted = r != NULL && r->state != ROLLOUT_PLANNING && r->state != ROLLOUT_DONE;
	if (wanted == upgd->watching)
		return;
	upgd->watching = wanted;
	executor_watch(upgd->executor, wanted);
}

static void on_soon(void *arg)
{
	struct upgd *upgd = arg;
	watch_as_needed(upgd);
	end_if_closed(upgd);
}

static void tell_status(struct upgd *upgd)
{
	const struct rollout *r = engine_rollout(upgd->engine);
	uint32_t open = windows_open(r), done = 0;
	for (uint32_t i = 0; r != NULL && i < r->n_units; i++)
		done += r->units[i].state == UNIT_DONE;
	if (upgd->stopping)
		service_status(&upgd->service, "ending: %u open windows close first", open);
	else if (r == NULL)
		service_status(&upgd->service, "no rollout");
	else
		service_status(&upgd->service, "run %u %s: %u of %u units done, %u windows open", r->id, r->paused ? "paused" : rollout_state_word(r->state),
			done, r->n_units, open);
}

static void on_beat(void *arg)
{
	struct upgd *upgd = arg;
	look_at_disk(upgd);
	watch_as_needed(upgd);
	tell_status(upgd);
	end_if_closed(upgd);
	loop_timer_set(upgd->beat, BEAT_MS);
}

static void on_watchdog(void *arg)
{
	struct upgd *upgd = arg;
	service_watchdog(&upgd->service);
	loop_timer_set(upgd->watchdog, upgd->service.watchdog_ms);
}

static void on_farewell(void *arg)
{
	struct upgd *upgd = arg;
	loop_quit(upgd->loop);
}

/* ---- signals ---- */

static void on_stop(void *arg, int number)
{
	struct upgd *upgd = arg;
	if (upgd->stopping) {
		log_say(LOG_AT_WARNING, "%s again: ending at once, %u windows stay open until upgd starts again", strsignal(number),
			windows_open(engine_rollout(upgd->engine)));
		loop_quit(upgd->loop);
		return;
	}
	upgd->stopping = true;
	log_say(LOG_AT_NOTICE, "%s: nothing new starts, %u open windows close first", strsignal(number), windows_open(engine_rollout(upgd->engine)));
	service_stopping(&upgd->service);
	tell_status(upgd);
	struct event event = { .kind = EVENT_STOP };
	engine_event(upgd->engine, &event);
	loop_timer_set(upgd->soon, 0);
}

static void log_errors(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		log_say(LOG_AT_ERR, "%s", errors->lines[i]);
}

/* ---- roles ---- */

static void roles_done(struct peer_roles *roles)
{
	struct peer_ids *const all[] = { &roles->viewer, &roles->operator, &roles->admin };
	for (size_t i = 0; i < 3; i++) {
		free((void *)(uintptr_t)all[i]->uids);
		free((void *)(uintptr_t)all[i]->gids);
	}
}

static void roles_make(struct peer_roles *roles, const struct config *config)
{
	struct peer_ids *const all[] = { [ROLE_VIEWER] = &roles->viewer, [ROLE_OPERATOR] = &roles->operator, [ROLE_ADMIN] = &roles->admin };
	for (int role = ROLE_VIEWER; role <= ROLE_ADMIN; role++) {
		uid_t *uids = memory_need(calloc(config->n_grants + 1, sizeof(*uids)));
		gid_t *gids = memory_need(calloc(config->n_grants + 1, sizeof(*gids)));
		*all[role] = (struct peer_ids){ .uids = uids, .gids = gids };
		for (size_t i = 0; i < config->n_grants; i++) {
			const struct config_grant *grant = &config->grants[i];
			if (grant->role == (enum role)role && grant->kind == CONFIG_UID)
				uids[all[role]->n_uids++] = grant->id;
			else if (grant->role == (enum role)role)
				gids[all[role]->n_gids++] = grant->id;
		}
	}
}

/* What may change while everything else holds on to the configuration: these members and nothing that is pointed to from elsewhere. */
static void config_take(struct config *live, struct config *new)
{
	struct config old = *live;
	live->grants = new->grants;
	live->n_grants = new->n_grants;
	live->vars = new->vars;
	live->watch_ms = new->watch_ms;
	live->observe_ms = new->observe_ms;
	live->in_flight = new->in_flight;
	new->grants = old.grants;
	new->n_grants = old.n_grants;
	new->vars = old.vars;
}

static void say_fixed(const struct config *live, const struct config *new)
{
	char *text = NULL, *save = NULL;
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));
	(void)config_fixed_changed(live, new, out);
	(void)fclose(out);
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		log_say(LOG_AT_WARNING, "reload: needs a restart: %s", line);
	free(text);
}

static void on_reload(void *arg, int number)
{
	struct upgd *upgd = arg;
	struct config new;
	struct conf_errors errors = { 0 };
	struct fail fail = { .text = "" };
	(void)number;
	service_reloading(&upgd->service);
	if (config_load(&new, upgd->config_path, &errors, &fail) != 0) {
		log_errors(&errors);
		log_say(LOG_AT_ERR, "reload: %s; everything stays as it is", errors.n > 0 ? "upgd.conf has mistakes" : fail.text);
	} else {
		say_fixed(&upgd->config, &new);
		config_take(&upgd->config, &new);
		config_done(&new);
		struct peer_roles old = upgd->roles;
		roles_make(&upgd->roles, &upgd->config);
		control_set_roles(upgd->control, &upgd->roles);
		roles_done(&old);
		if (upgd->watching)
			executor_watch(upgd->executor, true); /* at the new pace */
		log_say(LOG_AT_NOTICE, "reload: roles, pace and vars are those of %s now", upgd->config_path);
	}
	conf_errors_done(&errors);
	service_ready(&upgd->service);
}

/* ---- life ---- */

static void on_control_log(void *arg, const char *text)
{
	(void)arg;
	log_say(LOG_AT_INFO, "%s", text);
}

static int config_begin(struct upgd *upgd, struct fail *fail)
{
	struct conf_errors errors = { 0 };
	int rc = config_load(&upgd->config, upgd->config_path, &errors, fail);
	log_errors(&errors);
	if (rc != 0 && errors.n > 0)
		(void)fail_set(fail, rc, "%s has %zu mistakes; upgd -t tries it out", upgd->config_path, errors.n + errors.n_more);
	conf_errors_done(&errors);
	upgd->has_config = rc == 0;
	return rc;
}

static int signals_begin(struct upgd *upgd, struct fail *fail)
{
	int rc = loop_signal(upgd->loop, SIGTERM, on_stop, upgd);
	if (rc == 0)
		rc = loop_signal(upgd->loop, SIGINT, on_stop, upgd);
	if (rc == 0)
		rc = loop_signal(upgd->loop, SIGHUP, on_reload, upgd);
	return rc == 0 ? 0 : fail_set(fail, rc, "cannot take signals: %s", strerror(-rc));
}

static void timers_begin(struct upgd *upgd)
{
	upgd->wake = loop_timer_new(upgd->loop, on_wake, upgd);
	upgd->soon = loop_timer_new(upgd->loop, on_soon, upgd);
	upgd->beat = loop_timer_new(upgd->loop, on_beat, upgd);
	upgd->watchdog = loop_timer_new(upgd->loop, on_watchdog, upgd);
	upgd->farewell = loop_timer_new(upgd->loop, on_farewell, upgd);
}

struct folding {
	struct upgd *upgd;
	struct fail *fail;
};

static int on_fold(void *arg, const struct record *rec)
{
	struct folding *folding = arg;
	return engine_fold(folding->upgd->engine, rec, folding->fail);
}

static int parts_begin(struct upgd *upgd, struct fail *fail)
{
	static const struct engine_ops ops = { .now = op_now, .append = op_append, .perform = op_perform, .wake = op_wake, .render = op_render,
		.applied = op_applied };
	upgd->site = site_new(upgd->loop, &upgd->config, fail);
	if (upgd->site == NULL)
		return fail->code != 0 ? fail->code : -1;
	upgd->executor = executor_new(upgd->loop, upgd->site, fail);
	if (upgd->executor == NULL)
		return fail->code != 0 ? fail->code : -1;
	upgd->engine = engine_new(&ops, upgd);
	executor_engine(upgd->executor, upgd->engine);
	const struct views_options views = { .loop = upgd->loop, .store = upgd->store, .engine = upgd->engine, .site = upgd->site,
		.executor = upgd->executor, .config = &upgd->config };
	upgd->views = views_new(&views);
	return 0;
}

static int journal_begin(struct upgd *upgd, struct fail *fail)
{
	struct folding folding = { .upgd = upgd, .fail = fail };
	upgd->folding = true;
	int rc = store_fold(upgd->store, 0, on_fold, &folding, fail);
	upgd->folding = false;
	return rc;
}

static int begin(struct upgd *upgd, struct fail *fail)
{
	int rc = config_begin(upgd, fail);
	if (rc == 0)
		rc = process_files(&upgd->config, fail);
	if (rc != 0)
		return rc;
	rc = service_init(&upgd->service, fail);
	if (rc != 0)
		return rc;
	upgd->has_service = true;
	upgd->loop = loop_new(fail);
	if (upgd->loop == NULL)
		return -1;
	timers_begin(upgd);
	rc = signals_begin(upgd, fail);
	if (rc != 0)
		return rc;
	const struct store_options store = { .dir = upgd->config.state_dir };
	rc = store_open(&upgd->store, upgd->loop, &store, fail);
	if (rc != 0)
		return rc;
	rc = parts_begin(upgd, fail);
	if (rc == 0)
		rc = journal_begin(upgd, fail);
	if (rc != 0)
		return rc;
	roles_make(&upgd->roles, &upgd->config);
	const struct control_options control = { .path = upgd->config.socket, .mode = SOCKET_MODE, .roles = &upgd->roles, .handle = views_handle,
		.log = on_control_log, .arg = upgd->views };
	return control_new(&upgd->control, upgd->loop, &control, fail);
}

struct upgd *upgd_new(const char *config_path, struct fail *fail)
{
	struct upgd *upgd = memory_need(calloc(1, sizeof(*upgd)));
	upgd->config_path = memory_need(strdup(config_path));
	upgd->service.fd = -1;
	if (begin(upgd, fail) == 0)
		return upgd;
	upgd_free(upgd);
	return NULL;
}

int upgd_run(struct upgd *upgd)
{
	const struct rollout *r = engine_rollout(upgd->engine);
	log_say(LOG_AT_NOTICE, "upgd " UPGD_VERSION " looks after %s: %zu nodes; %s", upgd->config.cluster, upgd->config.n_nodes,
		r == NULL ? "no rollout yet" : rollout_state_word(r->state));
	engine_recovered(upgd->engine);
	if (r != NULL)
		executor_look_back(upgd->executor);
	watch_as_needed(upgd);
	service_ready(&upgd->service);
	on_beat(upgd);
	if (upgd->service.watchdog_ms > 0)
		on_watchdog(upgd);
	int rc = loop_run(upgd->loop);
	if (rc != 0)
		log_say(LOG_AT_ERR, "the event loop ended: %s", strerror(-rc));
	return upgd->failed || rc != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Calls are told, then nobody asks any more, then the hands let go, then the journal is closed. */
void upgd_free(struct upgd *upgd)
{
	views_stop(upgd->views);
	control_free(upgd->control);
	executor_free(upgd->executor);
	site_free(upgd->site);
	store_close(upgd->store);
	engine_free(upgd->engine);
	views_free(upgd->views);
	struct loop_timer *const timers[] = { upgd->wake, upgd->soon, upgd->beat, upgd->watchdog, upgd->farewell };
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		if (timers[i] != NULL)
			loop_timer_free(timers[i]);
	loop_free(upgd->loop);
	if (upgd->has_service)
		service_done(&upgd->service);
	roles_done(&upgd->roles);
	if (upgd->has_config)
		config_done(&upgd->config);
	free(upgd->config_path);
	free(upgd);
}
