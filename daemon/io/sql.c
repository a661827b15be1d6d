/* SPDX-License-Identifier: MIT */
/*
 * Queue, worker threads and the way back to the loop; the library is in sql_conn.c. A query goes QUEUED, HELD (a worker has
 * it, nothing was sent), SENT, DONE; everything but the blocking calls happens under one lock. Results return through an eventfd
 * that the loop watches, and not by loop_post_from_thread(), because a post could not be withdrawn by sql_free().
 *
 * - Before SENT every failure is SQL_AWAY; after it the answer says which.
 * - An idle connection may be dead (wait_timeout, a restart, a firewall). It is asked before each use, and replaced by a new
 *   one if it does not answer: the statement itself was not sent yet, so nothing about it has to be guessed.
 * - The server ends a statement by its own limit. If it does not even answer, the query's timer shuts the socket GRACE_MS later,
 *   and the worker wakes with an error. The read timeout is only the last resort.
 * - Cancelling leaves the query to its worker, which frees it; the statement is killed by KILL QUERY from a connection of its
 *   own, and the worker drops its connection, so that a late KILL can never meet the next statement.
 */
#include "sql.h"

#include "loop.h"
#include "sql_answer.h"
#include "sql_conn.h"
#include "sql_options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECT_S = 5,
	KILL_S = 2,                              /* sql_free() waits for it */
	GRACE_MS = 2000,                         /* for the server to end a statement at its limit and say so */
	READ_S = SQL_STATEMENT_MS / 1000 + 5,
};

enum state { QUEUED, HELD, SENT, DONE };

struct sql_query {
	TAILQ_ENTRY(sql_query) entry; /* in sql->queue or sql->done */
	struct sql *sql;
	enum state state;
	bool abandoned;               /* the caller is gone; the worker frees it */
	char *statement;              /* owned */
	char *args[SQL_ARGS_MAX];     /* owned; NULL is SQL's NULL */
	size_t n_args;
	unsigned timeout_ms;
	uint64_t sent_at;
	struct loop_timer *timer;     /* of the loop thread; NULL once abandoned */
	sql_done_fn *fn;
	void *arg;

	struct sql_answer answer;     /* the worker's until DONE */
};
TAILQ_HEAD(queries, sql_query);

struct worker {
	struct sql *sql;
	pthread_t thread;
	struct sql_conn *conn;   /* of the thread */
	int fd;                  /* under the lock: a duplicate of conn's, -1: none; may be shut from the loop */
	unsigned long id;        /* under the lock: of conn in the server */
	struct sql_query *query; /* under the lock */
};

struct kill {
	STAILQ_ENTRY(kill) entry;
	unsigned long id;
};

struct sql {
	struct loop *loop;
	char *name, *option_file, *group; /* owned */
	struct loop_fd *watch;
	int wake_fd;
	unsigned max_workers;
	pthread_t killer;
	bool has_killer;

	pthread_mutex_t lock;             /* guards the rest */
	pthread_cond_t more, more_kills;
	struct worker *workers;           /* owned array of max_workers */
	unsigned n_workers, n_idle;
	struct queries queue, done;
	size_t n_queued;
	STAILQ_HEAD(, kill) kills;
	bool closing;
};

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static char *copy(const char *text)
{
	return text != NULL ? must(strdup(text)) : NULL;
}

static void query_free(struct sql_query *query)
{
	sql_answer_done(&query->answer);
	for (size_t i = 0; i < query->n_args; i++)
		free(query->args[i]);
	free(query->statement);
	free(query);
}

/* ---- workers ---- */

static struct sql_conn *conn_open(const struct sql *sql, unsigned connect_s, unsigned read_s, struct fail *fail)
{
	return sql_conn_open(&(struct sql_conn_options){ .option_file = sql->option_file, .group = sql->group,
		.connect_s = connect_s, .read_s = read_s }, fail);
}

static void worker_disconnect(struct worker *worker)
{
	pthread_mutex_lock(&worker->sql->lock);
	if (worker->fd >= 0)
		close(worker->fd);
	worker->fd = -1;
	pthread_mutex_unlock(&worker->sql->lock);
	sql_conn_close(worker->conn);
	worker->conn = NULL;
}

static bool worker_connect(struct worker *worker, struct fail *fail)
{
	if (worker->conn != NULL && sql_conn_is_alive(worker->conn))
		return true;
	worker_disconnect(worker);
	worker->conn = conn_open(worker->sql, CONNECT_S, READ_S, fail);
	if (worker->conn == NULL)
		return false;
	pthread_mutex_lock(&worker->sql->lock);
	worker->fd = fcntl(sql_conn_fd(worker->conn), F_DUPFD_CLOEXEC, 0); /* the library closes its own as it likes */
	worker->id = sql_conn_id(worker->conn);
	pthread_mutex_unlock(&worker->sql->lock);
	return true;
}

/* False: the caller has gone, or the timer has answered it; nothing is to be sent. */
static bool query_mark_sent(struct sql_query *query)
{
	pthread_mutex_lock(&query->sql->lock);
	bool go = !query->abandoned;
	if (go) {
		query->state = SENT;
		query->sent_at = loop_boot_ms();
	}
	pthread_mutex_unlock(&query->sql->lock);
	return go;
}

static void query_execute(struct worker *worker, struct sql_query *query)
{
	struct fail fail = { 0 };
	if (!worker_connect(worker, &fail) || sql_conn_prepare(worker->conn, query->timeout_ms, &fail) != 0) {
		worker_disconnect(worker);
		sql_answer_fail(&query->answer, SQL_AWAY, (unsigned)fail.code, "%s", fail.text);
		return;
	}
	size_t len;
	char *text = sql_conn_bind(worker->conn, query->statement, query->args, query->n_args, &len);
	if (query_mark_sent(query) && !sql_conn_run(worker->conn, text, len, &query->answer))
		worker_disconnect(worker);
	free(text);
}

static void query_done(struct sql_query *query)
{
	uint64_t one = 1;
	query->state = DONE;
	TAILQ_INSERT_TAIL(&query->sql->done, query, entry);
	(void)!write(query->sql->wake_fd, &one, sizeof(one));
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct sql *sql = worker->sql;
	sql_conn_thread_begin();
	pthread_mutex_lock(&sql->lock);
	for (;;) {
		while (!sql->closing && TAILQ_EMPTY(&sql->queue)) {
			sql->n_idle++;
			pthread_cond_wait(&sql->more, &sql->lock);
			sql->n_idle--;
		}
		if (sql->closing)
			break;
		struct sql_query *query = worker->query = TAILQ_FIRST(&sql->queue);
		TAILQ_REMOVE(&sql->queue, query, entry);
		sql->n_queued--;
		query->state = HELD;
		pthread_mutex_unlock(&sql->lock);

		query_execute(worker, query);

		pthread_mutex_lock(&sql->lock);
		worker->query = NULL;
		if (!query->abandoned) {
			query_done(query);
			continue;
		}
		bool was_sent = query->state == SENT;
		pthread_mutex_unlock(&sql->lock);
		query_free(query);
		if (was_sent)
			worker_disconnect(worker); /* a KILL may be on its way to it */
		pthread_mutex_lock(&sql->lock);
	}
	pthread_mutex_unlock(&sql->lock);
	worker_disconnect(worker);
	sql_conn_thread_end();
	return NULL;
}

/* ---- killing ---- */

static void kills_carry_out(struct sql *sql, const unsigned long *ids, size_t n)
{
	struct fail fail;
	struct sql_conn *conn = conn_open(sql, KILL_S, KILL_S, &fail);
	for (size_t i = 0; conn != NULL && i < n; i++)
		sql_conn_kill(conn, ids[i]); /* best effort: it may be over, and the server has its limit */
	sql_conn_close(conn);
}

static void *killer_main(void *arg)
{
	struct sql *sql = arg;
	sql_conn_thread_begin();
	pthread_mutex_lock(&sql->lock);
	for (;;) {
		while (!sql->closing && STAILQ_EMPTY(&sql->kills))
			pthread_cond_wait(&sql->more_kills, &sql->lock);
		if (STAILQ_EMPTY(&sql->kills))
			break;
		unsigned long ids[64];
		size_t n = 0;
		struct kill *kill;
		while (n < sizeof(ids) / sizeof(ids[0]) && (kill = STAILQ_FIRST(&sql->kills)) != NULL) {
			STAILQ_REMOVE_HEAD(&sql->kills, entry);
			ids[n++] = kill->id;
			free(kill);
		}
		pthread_mutex_unlock(&sql->lock);
		kills_carry_out(sql, ids, n);
		pthread_mutex_lock(&sql->lock);
	}
	pthread_mutex_unlock(&sql->lock);
	sql_conn_thread_end();
	return NULL;
}

/* Signals belong to the loop: every thread starts with all of them blocked. */
static int thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(thread, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

/* All below: on the loop thread, with the lock held where a name ends in _locked. */
static void kill_locked(struct sql *sql, unsigned long id)
{
	if (!sql->has_killer)
		sql->has_killer = thread_start(&sql->killer, killer_main, sql) == 0;
	if (!sql->has_killer)
		return;
	struct kill *kill = must(calloc(1, sizeof(*kill)));
	kill->id = id;
	STAILQ_INSERT_TAIL(&sql->kills, kill, entry);
	pthread_cond_signal(&sql->more_kills);
}

static struct worker *worker_of_locked(struct sql_query *query)
{
	for (unsigned i = 0; i < query->sql->n_workers; i++)
		if (query->sql->workers[i].query == query)
			return &query->sql->workers[i];
	return NULL;
}

static void shut_locked(const struct worker *worker)
{
	if (worker->fd >= 0)
		(void)shutdown(worker->fd, SHUT_RDWR);
}

/* ---- the loop's side ---- */

static void query_deliver(struct sql_query *query)
{
	struct sql_answer *answer = &query->answer;
	bool ok = answer->outcome == SQL_OK;
	if (!ok)
		fail_prefix(&answer->error, "%s", query->sql->name);
	query->fn(query->arg, &(struct sql_result){
		.outcome = answer->outcome,
		.code = ok ? 0 : (unsigned)answer->error.code,
		.error = ok ? NULL : answer->error.text,
		.n_rows = answer->n_rows,
		.n_columns = answer->n_columns,
		.cells = answer->cells,
		.names = answer->names,
	});
}

static void on_done(void *arg, int fd, unsigned mask)
{
	struct sql *sql = arg;
	uint64_t count;
	(void)mask;
	(void)!read(fd, &count, sizeof(count));
	for (;;) {
		/* One at a time: a callback may cancel the next. */
		pthread_mutex_lock(&sql->lock);
		struct sql_query *query = TAILQ_FIRST(&sql->done);
		if (query != NULL)
			TAILQ_REMOVE(&sql->done, query, entry);
		pthread_mutex_unlock(&sql->lock);
		if (query == NULL)
			return;
		loop_timer_free(query->timer);
		query_deliver(query);
		query_free(query);
	}
}

/* Out of time before anything was sent: the caller is answered now, whatever a worker is still waiting for. */
static void answer_away(struct sql_query *query, const char *waited_for)
{
	struct fail fail;
	(void)fail_set(&fail, 0, "%s: %s within %u ms; nothing was sent", query->sql->name, waited_for, query->timeout_ms);
	query->fn(query->arg, &(struct sql_result){ .outcome = SQL_AWAY, .error = fail.text });
}

static void on_timer(void *arg)
{
	struct sql_query *query = arg;
	struct sql *sql = query->sql;
	pthread_mutex_lock(&sql->lock);
	enum state state = query->state;
	struct worker *worker = worker_of_locked(query);
	uint64_t now = loop_boot_ms(), until = query->sent_at + query->timeout_ms + GRACE_MS;
	struct sql_query late = *query; /* its worker may free it as soon as it is abandoned */
	if (state == QUEUED) {
		TAILQ_REMOVE(&sql->queue, query, entry);
		sql->n_queued--;
	} else if (state == HELD) {
		query->abandoned = true;
		query->timer = NULL;
		shut_locked(worker);
	} else if (state == SENT && now >= until) {
		shut_locked(worker);
		kill_locked(sql, worker->id);
	} else if (state == SENT) {
		loop_timer_set(query->timer, until - now);
	}
	pthread_mutex_unlock(&sql->lock);

	if (state == QUEUED || state == HELD) {
		loop_timer_free(late.timer);
		answer_away(&late, state == QUEUED ? "no connection became free" : "no connection could be had");
	}
	if (state == QUEUED)
		query_free(query);
}

static void worker_add_locked(struct sql *sql)
{
	if (sql->n_queued <= sql->n_idle || sql->n_workers == sql->max_workers)
		return;
	struct worker *worker = &sql->workers[sql->n_workers];
	*worker = (struct worker){ .sql = sql, .fd = -1 };
	if (thread_start(&worker->thread, worker_main, worker) == 0)
		sql->n_workers++;
	/* else: the workers there are, or in their absence the query's timer, will see to it */
}

struct sql_query *sql_run(struct sql *sql, const char *statement, const char *const *args, size_t n_args, unsigned timeout_ms, sql_done_fn *fn, void *arg)
{
	struct sql_query *query = must(calloc(1, sizeof(*query)));
	query->sql = sql;
	query->statement = copy(statement);
	query->timeout_ms = timeout_ms == 0 || timeout_ms > SQL_STATEMENT_MS ? SQL_STATEMENT_MS : timeout_ms;
	query->fn = fn;
	query->arg = arg;
	size_t n_marks = sql_placeholders(statement);
	bool fits = n_marks == n_args && n_args <= SQL_ARGS_MAX;
	query->n_args = fits ? n_args : 0;
	for (size_t i = 0; i < query->n_args; i++)
		query->args[i] = copy(args[i]);

	pthread_mutex_lock(&sql->lock);
	if (fits) {
		query->timer = loop_timer_new(sql->loop, on_timer, query);
		loop_timer_set(query->timer, query->timeout_ms);
		TAILQ_INSERT_TAIL(&sql->queue, query, entry);
		sql->n_queued++;
		worker_add_locked(sql);
		pthread_cond_signal(&sql->more);
	} else {
		sql_answer_fail(&query->answer, SQL_FAILED, 0,
			"the statement has %zu placeholders and %zu arguments (at most %d): nothing was sent", n_marks, n_args, SQL_ARGS_MAX);
		query_done(query);
	}
	pthread_mutex_unlock(&sql->lock);
	return query;
}

/* Gives up on a query. True: nobody else has it, the caller frees it. */
static bool abandon_locked(struct sql_query *query)
{
	struct sql *sql = query->sql;
	loop_timer_free(query->timer);
	query->timer = NULL;
	if (query->state == QUEUED) {
		TAILQ_REMOVE(&sql->queue, query, entry);
		sql->n_queued--;
		return true;
	}
	if (query->state == DONE) {
		TAILQ_REMOVE(&sql->done, query, entry);
		return true;
	}
	query->abandoned = true;
	if (query->state == SENT)
		kill_locked(sql, worker_of_locked(query)->id);
	return false;
}

void sql_cancel(struct sql_query *query)
{
	if (query == NULL)
		return;
	struct sql *sql = query->sql;
	pthread_mutex_lock(&sql->lock);
	bool is_ours = abandon_locked(query);
	pthread_mutex_unlock(&sql->lock);
	if (is_ours)
		query_free(query);
}

struct sql *sql_new(struct loop *loop, const struct sql_server *server, struct fail *fail)
{
	struct sql_options options;
	if (sql_options_check(server->option_file, server->group, &options, fail) != 0) {
		fail_prefix(fail, "%s", server->name);
		return NULL;
	}
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0) {
		(void)fail_set(fail, -errno, "%s: cannot make an eventfd: %s", server->name, strerror(errno));
		return NULL;
	}
	struct sql *sql = must(calloc(1, sizeof(*sql)));
	sql->loop = loop;
	sql->name = copy(server->name);
	sql->option_file = copy(server->option_file);
	sql->group = copy(server->group);
	sql->max_workers = server->connections != 0 ? server->connections : 2;
	sql->workers = must(calloc(sql->max_workers, sizeof(*sql->workers)));
	sql->wake_fd = wake_fd;
	TAILQ_INIT(&sql->queue);
	TAILQ_INIT(&sql->done);
	STAILQ_INIT(&sql->kills);
	pthread_mutex_init(&sql->lock, NULL);
	pthread_cond_init(&sql->more, NULL);
	pthread_cond_init(&sql->more_kills, NULL);
	sql->watch = loop_fd_new(loop, wake_fd, LOOP_READ, on_done, sql);
	return sql;
}

/*
 * Waits for what cannot be woken: a connect that is under way (CONNECT_S, and the resolver) and the killer's connection. Statements
 * are killed, and their sockets shut, so nobody waits for a server that is gone.
 */
static void threads_stop(struct sql *sql)
{
	struct sql_query *query;
	pthread_mutex_lock(&sql->lock);
	sql->closing = true;
	for (unsigned i = 0; i < sql->n_workers; i++) {
		if (sql->workers[i].query != NULL && !sql->workers[i].query->abandoned)
			(void)abandon_locked(sql->workers[i].query);
		shut_locked(&sql->workers[i]);
	}
	while ((query = TAILQ_FIRST(&sql->queue)) != NULL || (query = TAILQ_FIRST(&sql->done)) != NULL) {
		(void)abandon_locked(query);
		query_free(query);
	}
	pthread_cond_broadcast(&sql->more);
	pthread_cond_broadcast(&sql->more_kills);
	pthread_mutex_unlock(&sql->lock);
	for (unsigned i = 0; i < sql->n_workers; i++)
		pthread_join(sql->workers[i].thread, NULL);
	if (sql->has_killer)
		pthread_join(sql->killer, NULL);
}

void sql_free(struct sql *sql)
{
	if (sql == NULL)
		return;
	threads_stop(sql);
	loop_fd_free(sql->watch);
	close(sql->wake_fd);
	pthread_cond_destroy(&sql->more);
	pthread_cond_destroy(&sql->more_kills);
	pthread_mutex_destroy(&sql->lock);
	free(sql->workers);
	free(sql->name);
	free(sql->option_file);
	free(sql->group);
	free(sql);
}
