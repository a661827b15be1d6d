/* SPDX-License-Identifier: MIT */
/*
 *	show sess | shutdown session ID;... | [master: show proc | of each old worker: show sess | shutdown session ID;...]
 *
 * `shutdown sessions server` ends all of them at once, and an old worker refuses it: "Proxy is disabled". One by one works there too. An id is
 * an address that HAProxy uses again, so what was named is ended at once and never later: the server is drained, nobody new comes to it.
 *
 * A process may have many thousand sessions of other servers, of 300 bytes each, and releases before 2.9 cannot be asked for those of one.
 * The list is sieved while it comes.
 */
#include "haproxy_shed.h"

#include "haproxy_ask.h"
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LIST_MS = 15000,       /* for a long list */
	TOGETHER = 200,        /* commands in a line: HAProxy reads lines of 16 KiB */
	OLD_WORKERS_MAX = 64,
};

enum shed_step { SHED_LIST, SHED_END, SHED_PROC };

struct haproxy_shed {
	struct loop *loop;                            /* borrowed, and so are: */
	const struct haproxy_address *socket, *master;
	char *backend, *server;                       /* owned */
	unsigned most, ended, sent;                   /* sent: in the line at hand */
	struct haproxy_ask *ask;
	enum shed_step step;
	char *ids;                                    /* owned: those of this worker, as sieved */
	const char *rest;                             /* in ids: not yet ended */
	size_t rest_len;
	unsigned old_pids[OLD_WORKERS_MAX];
	size_t n_old, next_old;
	bool is_old;                                  /* it is old_pids[next_old - 1] that is asked */
	struct loop_timer *soon;                      /* for what is refused before it is asked */
	struct fail fail;
	haproxy_shed_fn *fn;
	void *arg;
};

void haproxy_shed_cancel(struct haproxy_shed *shed)
{
	if (shed == NULL)
		return;
	haproxy_ask_cancel(shed->ask);
	if (shed->soon != NULL)
		loop_timer_free(shed->soon);
	free(shed->backend);
	free(shed->server);
	free(shed->ids);
	free(shed);
}

static void finish(struct haproxy_shed *shed, const char *error)
{
	struct fail fail = { 0 };
	haproxy_shed_fn *fn = shed->fn;
	void *arg = shed->arg;
	unsigned ended = shed->ended;
	(void)snprintf(fail.text, sizeof(fail.text), "%s", error != NULL ? error : "");
	haproxy_shed_cancel(shed);
	fn(arg, ended, error != NULL ? fail.text : NULL);
}

static const struct haproxy_address *where(const struct haproxy_shed *shed)
{
	return shed->step == SHED_PROC || shed->is_old ? shed->master : shed->socket;
}

static void on_reply(void *arg, const char *reply, size_t len, const struct fail *fail);

static size_t sieve(void *arg, char *text, size_t len)
{
	const struct haproxy_shed *shed = arg;
	return haproxy_sieve_sess(text, len, shed->backend, shed->server, shed->most - shed->ended);
}

static void list(struct haproxy_shed *shed)
{
	char line[64];
	shed->step = SHED_LIST;
	if (shed->is_old)
		(void)snprintf(line, sizeof(line), "@!%u show sess", shed->old_pids[shed->next_old - 1]);
	shed->ask = haproxy_ask_start(shed->loop, where(shed), shed->is_old ? line : "show sess", LIST_MS, on_reply, shed);
	haproxy_ask_sieve(shed->ask, sieve);
}

/* The next worker; after the last it is over. */
static void next_worker(struct haproxy_shed *shed)
{
	if (shed->next_old < shed->n_old && shed->ended < shed->most) {
		shed->next_old++;
		shed->is_old = true;
		list(shed);
	} else if (shed->master != NULL && !shed->is_old && shed->ended < shed->most && shed->step != SHED_PROC) {
		shed->step = SHED_PROC;
		shed->ask = haproxy_ask_start(shed->loop, shed->master, "show proc", LIST_MS, on_reply, shed);
	} else {
		finish(shed, NULL);
	}
}

/* An old worker that cannot be asked has ended, or is looked for in the next round: it is there in `show proc` as long as it lives. */
static void worker_failed(struct haproxy_shed *shed, struct fail *fail)
{
	if (shed->is_old) {
		next_worker(shed);
		return;
	}
	fail_prefix(fail, "%s", where(shed)->name);
	finish(shed, fail->text);
}

static void end_some(struct haproxy_shed *shed)
{
	char *line = NULL, id[HAPROXY_SESS_MAX];
	size_t size;
	struct fail fail = { 0 };
	int rc = 0;
	FILE *stream = open_memstream(&line, &size);
	if (stream == NULL)
		abort();
	shed->sent = 0;
	while (shed->sent < TOGETHER && shed->ended + shed->sent < shed->most && (rc = haproxy_next_sess(&shed->rest, &shed->rest_len, id, &fail)) > 0) {
		(void)fprintf(stream, "%s", shed->sent++ > 0 ? ";" : "");
		if (shed->is_old)
			(void)fprintf(stream, "@!%u ", shed->old_pids[shed->next_old - 1]);
		(void)fprintf(stream, "shutdown session %s", id);
	}
	(void)fclose(stream);
	shed->step = SHED_END;
	if (rc < 0)
		worker_failed(shed, &fail);
	else if (shed->sent == 0)
		next_worker(shed);
	else
		shed->ask = haproxy_ask_start(shed->loop, where(shed), line, LIST_MS, on_reply, shed);
	free(line);
}

static void take_list(struct haproxy_shed *shed, const char *reply, size_t len)
{
	free(shed->ids);
	shed->ids = malloc(len + 1);
	if (shed->ids == NULL)
		abort();
	memcpy(shed->ids, reply, len);
	shed->ids[len] = '\0';
	shed->rest = shed->ids;
	shed->rest_len = len;
	end_some(shed);
}

static void on_reply(void *arg, const char *reply, size_t len, const struct fail *ask_fail)
{
	struct haproxy_shed *shed = arg;
	struct fail fail = { 0 };
	unsigned gone = 0;
	shed->ask = NULL;
	if (reply == NULL && shed->is_old) {
		next_worker(shed);
	} else if (reply == NULL) {
		finish(shed, ask_fail->text);
	} else if (shed->step == SHED_LIST) {
		take_list(shed, reply, len);
	} else if (shed->step == SHED_PROC) {
		if (haproxy_parse_proc(reply, len, shed->old_pids, OLD_WORKERS_MAX, &shed->n_old, &fail) != 0)
			worker_failed(shed, &fail);
		else
			next_worker(shed);
	} else if (haproxy_parse_shutdown(reply, len, &gone, &fail) != 0) {
		worker_failed(shed, &fail);
	} else {
		shed->ended += shed->sent > gone ? shed->sent - gone : 0;
		end_some(shed);
	}
}

static void on_soon(void *arg)
{
	struct haproxy_shed *shed = arg;
	finish(shed, shed->fail.text);
}

static char *copy(const char *text)
{
	char *own = strdup(text);
	if (own == NULL)
		abort();
	return own;
}

struct haproxy_shed *haproxy_shed_start(struct loop *loop, const struct haproxy_address *socket, const struct haproxy_address *master,
	const char *backend, const char *server, unsigned most, haproxy_shed_fn *fn, void *arg)
{
	struct haproxy_shed *shed = calloc(1, sizeof(*shed));
	if (shed == NULL)
		abort();
	*shed = (struct haproxy_shed){ .loop = loop, .socket = socket, .master = master, .backend = copy(backend), .server = copy(server), .most = most,
		.fn = fn, .arg = arg };
	if (haproxy_check_name("backend", backend, &shed->fail) == 0 && haproxy_check_name("server", server, &shed->fail) == 0) {
		list(shed);
		return shed;
	}
	shed->soon = loop_timer_new(loop, on_soon, shed);
	loop_timer_set(shed->soon, 0);
	return shed;
}
