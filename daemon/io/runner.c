/* SPDX-License-Identifier: MIT */
/*
 * A channel is one descriptor: a Unix socket, or one end of a socket pair whose other end is standard input and output of the
 * remote command. It is CLOSED, OPENING (until the greeting) or READY. Whatever goes wrong with it has one consequence: it is
 * closed, and opened again after a pause as long as anybody waits; then every unanswered request is sent again. The far side
 * makes that safe, so nothing here tries to know what had arrived.
 *
 * A channel may die without a word (host gone, connection dropped by a firewall), so while requests are open it is pinged, and
 * silence is a loss. Patience is spent while a request has no answer; it does not run while the far side says "running" on a live
 * channel, and begins anew with a loss.
 *
 * Answers are queued and handed out one per turn of the loop: a callback may start, cancel, or free the whole runner.
 */
#include "runner.h"

#include "daemon/failpoint.h"
#include "loop.h"
#include "proto/frame.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	BACKOFF_MIN_MS = 200,
	BACKOFF_MAX_MS = 5000,
	GREETING_MS = 30000, /* ssh to a far host may take some seconds */
	BEAT_MS = 15000,     /* ping; two in a row without a byte back: lost */
	IDLE_MS = 60000,
	REAP_MS = 20,
	TROUBLE_MS = 2000, /* a channel that is back before is nobody's business */
	MESSAGE_MAX = 1 << 20,
	SPEC_MAX = 60 << 10,
	ID_MAX = 200,
	STDERR_MAX = 1024,
	STDERR_TURN = 64 << 10,
};

enum channel { CLOSED, OPENING, READY };

struct runner_request {
	struct runner_request *next;
	struct runner *runner;
	char id[ID_MAX + 1];
	char *text; /* owned: the message with its NUL */
	size_t len;
	uint64_t patience_ms;
	struct loop_timer *timer;   /* patience */
	uint64_t fresh_ms, asked_ms;
	bool running;               /* said so on this channel */
	bool began;                 /* on any */
	char trouble[240];          /* and what else it said then */
	struct json_object *answer; /* owned; what result borrows from */
	char error[480];
	struct runner_result result;
	runner_done_fn *fn;
	void *arg;
};

struct runner {
	struct loop *loop;
	char *name, *socket; /* owned */
	char **argv;         /* owned */
	struct runner_request *open, *done; /* owned, in order */
	char *acks;          /* owned: messages that wait for a channel */
	size_t n_acks;
	uint64_t n_reads;

	enum channel channel;
	int fd, err_fd;
	pid_t pid;           /* the channel's process, or one that was killed and is not reaped yet; 0: none */
	bool pid_killed;
	struct loop_fd *watch, *err_watch;
	struct frame frame;
	char *out;           /* owned: bytes not written yet */
	size_t n_out;
	unsigned silent;     /* beats since the last byte came */
	uint64_t backoff_ms;
	struct loop_timer *retry, *beat, *deliver;
	char said[STDERR_MAX + 1]; /* the end of its standard error */
	size_t n_said;
	char error[480];     /* why the channel is not there; "" = not tried */
	uint64_t away_ms;    /* boot time: since when it is not; 0: it is, or was not tried */
	int64_t away_wall;
};

static void *xalloc(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static void append(char **text, size_t *n, const char *more, size_t len)
{
	*text = xalloc(realloc(*text, *n + len));
	memcpy(*text + *n, more, len);
	*n += len;
}

/* --- requests --- */

static void request_append(struct runner_request **list, struct runner_request *request)
{
	while (*list != NULL)
		list = &(*list)->next;
	request->next = NULL;
	*list = request;
}

static bool request_unlink(struct runner_request **list, struct runner_request *request)
{
	for (; *list != NULL; list = &(*list)->next) {
		if (*list != request)
			continue;
		*list = request->next;
		return true;
	}
	return false;
}

static void request_free(struct runner_request *request)
{
	loop_timer_free(request->timer);
	json_putp(&request->answer);
	free(request->text);
	free(request);
}

static void on_deliver(void *arg)
{
	struct runner *runner = arg;
	struct runner_request *request = runner->done;
	if (request == NULL)
		return;
	runner->done = request->next;
	if (runner->done != NULL)
		loop_timer_set(runner->deliver, 0);
	/* The callback may free the runner. */
	request->fn(request->arg, &request->result);
	request_free(request);
}

static void request_done(struct runner_request *request, enum runner_state state)
{
	struct runner *runner = request->runner;
	(void)request_unlink(&runner->open, request);
	loop_timer_clear(request->timer);
	request->result.state = state;
	if (request->result.out == NULL)
		request->result.out = "";
	request->result.out_len = strlen(request->result.out);
	if (state != RUNNER_EXITED && request->result.error == NULL)
		request->result.error = request->error;
	request_append(&runner->done, request);
	loop_timer_set(runner->deliver, 0);
	if (runner->open == NULL && runner->channel == READY)
		loop_timer_set(runner->beat, IDLE_MS);
}

static void on_patience(void *arg)
{
	struct runner_request *request = arg;
	struct runner *runner = request->runner;
	const char *why = runner->error[0] != '\0' ? runner->error
		: runner->channel == READY	   ? "the runner there does not answer this request"
						   : "no answer from the runner there yet";
	(void)snprintf(request->error, sizeof(request->error), "%s: no runner for %" PRIu64 " s: %.380s", runner->name,
		(request->patience_ms + 999) / 1000, why);
	request_done(request, RUNNER_AWAY);
}

static void patience_begin(struct runner_request *request)
{
	if (request->patience_ms > 0)
		loop_timer_set(request->timer, request->patience_ms);
}

static void channel_send(struct runner *runner, const char *text, size_t len)
{
	append(&runner->out, &runner->n_out, text, len);
	loop_fd_set(runner->watch, LOOP_READ | LOOP_WRITE);
}

static bool id_is_good(const char *id)
{
	size_t len = strlen(id);
	return len > 0 && len <= ID_MAX &&
		strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-") == len;
}

/* Consumes message. A request that cannot be sent as it is meant is refused here, from the loop like any other answer. */
static struct runner_request *request_new(struct runner *runner, const char *id, struct json_object *message, const char *bad,
	uint64_t patience_ms, runner_done_fn *fn, void *arg)
{
	struct runner_request *request = xalloc(calloc(1, sizeof(*request)));
	*request = (struct runner_request){ .runner = runner, .patience_ms = patience_ms, .fn = fn, .arg = arg };
	request->result.exit_code = -1;
	request->timer = loop_timer_new(runner->loop, on_patience, request);
	(void)snprintf(request->id, sizeof(request->id), "%s", id);
	const char *text = json_text(message, &request->len);
	request->text = xalloc(malloc(++request->len));
	memcpy(request->text, text, request->len);
	json_object_put(message);
	if (bad == NULL && !id_is_good(id))
		bad = "the id is empty, too long or has bytes outside [A-Za-z0-9._@:/+-]";
	if (bad == NULL && request->len > SPEC_MAX)
		bad = "the request is longer than 60 KiB";
	if (bad != NULL) {
		(void)snprintf(request->error, sizeof(request->error), "%s: %s", runner->name, bad);
		request_done(request, RUNNER_REFUSED);
		return request;
	}
	bool was_idle = runner->open == NULL;
	request_append(&runner->open, request);
	patience_begin(request);
	if (runner->channel == READY) {
		channel_send(runner, request->text, request->len);
		if (was_idle)
			loop_timer_set(runner->beat, BEAT_MS);
	} else if (runner->channel == CLOSED && runner->backoff_ms == 0) {
		loop_timer_set(runner->retry, 0);
	}
	return request;
}

/* --- answers --- */

static void result_fill(struct runner_request *request)
{
	struct runner_result *result = &request->result;
	int64_t code = -1, signal = 0, took = 0;
	const char *error = NULL;
	result->whole = true;
	(void)!json_get_bool(request->answer, "whole", &result->whole, NULL);
	(void)!json_get_str(request->answer, "out", &result->out, NULL);
	(void)!json_get_str(request->answer, "old", &result->old, NULL);
	(void)!json_get_str(request->answer, "error", &error, NULL);
	(void)!json_get_int(request->answer, "code", 0, 255, &code, NULL);
	(void)!json_get_int(request->answer, "signal", 0, 255, &signal, NULL);
	(void)!json_get_int(request->answer, "took_ms", 0, INT64_MAX, &took, NULL);
	result->exit_code = (int)code;
	result->signal = (int)signal;
	result->took_ms = (uint64_t)took;
	(void)snprintf(request->error, sizeof(request->error), "%s: %.400s", request->runner->name, error != NULL ? error : "no reason given");
}

static void on_running(struct runner *runner, const char *id, struct json_object *message)
{
	const char *trouble = "";
	(void)!json_get_str(message, "error", &trouble, NULL);
	for (struct runner_request *request = runner->open; request != NULL; request = request->next) {
		if (strcmp(request->id, id) != 0)
			continue;
		runner->backoff_ms = 0;
		request->running = request->began = true;
		(void)snprintf(request->trouble, sizeof(request->trouble), "%s", trouble);
		loop_timer_clear(request->timer);
	}
}

static int on_answer(struct runner *runner, struct json_object *message)
{
	static const char *const words[] = { [RUNNER_EXITED] = "exited", [RUNNER_TIMEOUT] = "timeout", [RUNNER_LOST] = "lost",
		[RUNNER_REFUSED] = "refused" };
	const char *id = "", *state = "";
	if (json_get_str(message, "id", &id, NULL) != 0 || json_get_str(message, "state", &state, NULL) != 0)
		return -EPROTO;
	if (strcmp(state, "running") == 0) {
		on_running(runner, id, message);
		return 0;
	}
	struct runner_request *request = runner->open;
	while (request != NULL && strcmp(request->id, id) != 0)
		request = request->next;
	/* Cancelled here, or a ping. */
	if (request == NULL)
		return 0;
	runner->backoff_ms = 0;
	for (enum runner_state i = RUNNER_EXITED; i <= RUNNER_REFUSED; i++) {
		if (strcmp(state, words[i]) != 0)
			continue;
		request->answer = json_object_get(message);
		result_fill(request);
		request_done(request, i);
		return 0;
	}
	return -EPROTO;
}

/* It waited for the channel so long that what it was asked for may not be right any more. */
static bool is_late(struct runner_request *request)
{
	if (request->fresh_ms == 0 || request->began || loop_boot_ms() - request->asked_ms <= request->fresh_ms)
		return false;
	(void)snprintf(request->error, sizeof(request->error), "%s: no runner for %" PRIu64 " s", request->runner->name,
		(loop_boot_ms() - request->asked_ms) / 1000);
	return true;
}

static void on_greeting(struct runner *runner)
{
	runner->channel = READY;
	runner->error[0] = '\0';
	runner->away_ms = 0;
	for (struct runner_request *request = runner->open, *next; request != NULL; request = next) {
		next = request->next;
		if (is_late(request))
			request_done(request, RUNNER_LATE);
		else
			channel_send(runner, request->text, request->len);
	}
	if (runner->n_acks > 0)
		channel_send(runner, runner->acks, runner->n_acks);
	free(runner->acks);
	runner->acks = NULL;
	runner->n_acks = 0;
	loop_timer_set(runner->beat, runner->open != NULL ? BEAT_MS : IDLE_MS);
}

static int on_message(struct runner *runner, const char *text, size_t len, struct fail *fail)
{
	json_cleanup struct json_object *message = json_parse(text, len, fail);
	const char *version = "";
	int err = message != NULL && json_object_is_type(message, json_type_object) ? 0 : -EPROTO;
	if (err == 0 && runner->channel == READY)
		err = on_answer(runner, message);
	else if (err == 0 && json_get_str(message, "upgd_run", &version, NULL) == 0)
		on_greeting(runner);
	else
		err = -EPROTO;
	return err == 0 ? 0 : fail_set(fail, err, "what answers there is no upgd-run, it says \"%.80s\"", text);
}

/* --- channel --- */

/* The process of a channel gets KILL: it holds nothing that matters. Reaped later, for it may hang in the kernel. */
static bool pid_reap(struct runner *runner)
{
	if (runner->pid == 0)
		return true;
	if (!runner->pid_killed)
		(void)kill(runner->pid, SIGKILL);
	runner->pid_killed = true;
	if (waitpid(runner->pid, NULL, WNOHANG) == 0)
		return false;
	runner->pid = 0;
	return true;
}

static void channel_close(struct runner *runner)
{
	loop_fd_free(runner->watch);
	loop_fd_free(runner->err_watch);
	if (runner->fd >= 0)
		close(runner->fd);
	if (runner->err_fd >= 0)
		close(runner->err_fd);
	runner->watch = runner->err_watch = NULL;
	runner->fd = runner->err_fd = -1;
	frame_done(&runner->frame);
	frame_init(&runner->frame, MESSAGE_MAX);
	free(runner->out);
	runner->out = NULL;
	runner->n_out = 0;
	runner->channel = CLOSED;
	loop_timer_clear(runner->beat);
	if (!pid_reap(runner))
		loop_timer_set(runner->retry, REAP_MS);
}

/* What a pipe holds and no more: a command that never stops talking must not keep the loop. False: it has closed its end. */
static bool stderr_read(struct runner *runner)
{
	char text[512];
	ssize_t n = -1;
	for (size_t got = 0; got < STDERR_TURN && runner->err_fd >= 0 && (n = read(runner->err_fd, text, sizeof(text))) > 0; got += (size_t)n) {
		size_t keep = runner->n_said + (size_t)n > STDERR_MAX ? STDERR_MAX - (size_t)n : runner->n_said;
		memmove(runner->said, runner->said + runner->n_said - keep, keep);
		memcpy(runner->said + keep, text, (size_t)n);
		runner->n_said = keep + (size_t)n;
	}
	runner->said[runner->n_said] = '\0';
	return n != 0;
}

/* What the remote command said last, on one line. */
static const char *stderr_tail(struct runner *runner)
{
	(void)stderr_read(runner);
	char *text = runner->said;
	while (runner->n_said > 0 && (unsigned char)text[runner->n_said - 1] <= ' ')
		text[--runner->n_said] = '\0';
	if (runner->n_said > 300)
		text += runner->n_said - 300;
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	return text;
}

static void channel_lost(struct runner *runner, const char *why)
{
	const char *said = stderr_tail(runner);
	(void)snprintf(runner->error, sizeof(runner->error), "%.150s%s%.300s", why, said[0] != '\0' ? ": " : "", said);
	if (runner->away_ms == 0) {
		runner->away_ms = loop_boot_ms();
		runner->away_wall = loop_wall_ms();
	}
	channel_close(runner);
	for (struct runner_request *request = runner->open; request != NULL; request = request->next) {
		if (request->running)
			patience_begin(request);
		request->trouble[0] = '\0';
		request->running = false;
	}
	if (runner->open == NULL && runner->n_acks == 0) {
		runner->backoff_ms = 0;
		return;
	}
	runner->backoff_ms = runner->backoff_ms == 0 ? BACKOFF_MIN_MS : runner->backoff_ms * 2;
	if (runner->backoff_ms > BACKOFF_MAX_MS)
		runner->backoff_ms = BACKOFF_MAX_MS;
	loop_timer_set(runner->retry, runner->backoff_ms);
}

static void on_beat(void *arg)
{
	struct runner *runner = arg;
	static const char ping[] = "{\"op\":\"ping\",\"id\":\"ping\"}";
	if (runner->channel == OPENING) {
		channel_lost(runner, "no greeting from upgd-run in 30 s");
	} else if (runner->open == NULL && runner->n_out == 0) {
		channel_close(runner);
		runner->backoff_ms = 0;
	} else if (++runner->silent > 2) {
		channel_lost(runner, "the channel fell silent");
	} else {
		channel_send(runner, ping, sizeof(ping));
		loop_timer_set(runner->beat, BEAT_MS);
	}
}

static int channel_write(struct runner *runner)
{
	ssize_t n = send(runner->fd, runner->out, runner->n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	failpoint_sent(runner->out, (size_t)n);
	runner->n_out -= (size_t)n;
	memmove(runner->out, runner->out + n, runner->n_out);
	if (runner->n_out == 0)
		loop_fd_set(runner->watch, LOOP_READ);
	return 0;
}

/* 0, or the channel is at its end and fail says why. */
static int channel_read(struct runner *runner, struct fail *fail)
{
	char *space;
	size_t n, len;
	frame_space(&runner->frame, &space, &n);
	ssize_t got = recv(runner->fd, space, n, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return fail_set(fail, -EPIPE, "the channel ended%s%s", got < 0 ? ": " : "", got < 0 ? strerror(errno) : "");
	runner->silent = 0;
	int err = frame_fed(&runner->frame, (size_t)got, fail);
	for (char *text; err == 0 && (text = frame_next(&runner->frame, &len)) != NULL;)
		err = on_message(runner, text, len, fail);
	return err;
}

static void on_channel(void *arg, int fd, unsigned mask)
{
	(void)fd;
	struct runner *runner = arg;
	struct fail fail = { .code = 0 };
	int err = 0;
	/* Reading first: what a peer said before it went still counts, even when writing to it fails. */
	if (mask & LOOP_READ)
		err = channel_read(runner, &fail);
	if (err == 0 && (mask & LOOP_WRITE) && runner->n_out > 0 && (err = channel_write(runner)) < 0)
		(void)fail_set(&fail, err, "the channel broke: %s", strerror(-err));
	if (err < 0)
		channel_lost(runner, fail.text);
}

static void on_stderr(void *arg, int fd, unsigned mask)
{
	(void)fd;
	(void)mask;
	struct runner *runner = arg;
	/* At its end the descriptor stays readable for ever. */
	if (!stderr_read(runner))
		loop_fd_set(runner->err_watch, 0);
}

static int socket_open(struct runner *runner, struct fail *fail)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", runner->socket);
	runner->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (runner->fd < 0 || connect(runner->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_set(fail, -errno, "cannot connect to %s: %s", runner->socket, strerror(errno));
	return 0;
}

static int spawn(struct runner *runner, int channel, int err)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_t attr;
	posix_spawn_file_actions_t files;
	posix_spawnattr_init(&attr);
	/* Its own group: a ^C on the daemon's terminal is the daemon's to handle. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, channel, 0);
	posix_spawn_file_actions_adddup2(&files, channel, 1);
	posix_spawn_file_actions_adddup2(&files, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	int code = posix_spawnp(&runner->pid, runner->argv[0], &files, &attr, runner->argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -code;
}

static int command_open(struct runner *runner, struct fail *fail)
{
	int channel[2], err[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
		return fail_set(fail, -errno, "cannot make a socket pair: %s", strerror(errno));
	runner->fd = channel[0];
	if (pipe2(err, O_CLOEXEC) < 0) {
		close(channel[1]);
		return fail_set(fail, -errno, "cannot make a pipe: %s", strerror(errno));
	}
	/* Not blocking on our ends only: the command's standard streams are its own. */
	(void)fcntl(err[0], F_SETFL, O_NONBLOCK);
	runner->err_fd = err[0];
	int code = spawn(runner, channel[1], err[1]);
	close(channel[1]);
	close(err[1]);
	if (code < 0) {
		runner->pid = 0;
		return fail_set(fail, code, "cannot run %s: %s", runner->argv[0], strerror(-code));
	}
	runner->pid_killed = false;
	runner->err_watch = loop_fd_new(runner->loop, runner->err_fd, LOOP_READ, on_stderr, runner);
	return 0;
}

static void channel_open(void *arg)
{
	struct runner *runner = arg;
	struct fail fail = { .code = 0 };
	if (runner->channel != CLOSED)
		return;
	if (!pid_reap(runner)) {
		loop_timer_set(runner->retry, REAP_MS);
		return;
	}
	if (runner->open == NULL && runner->n_acks == 0) {
		runner->backoff_ms = 0;
		return;
	}
	runner->n_said = 0;
	runner->said[0] = '\0';
	runner->silent = 0;
	int err = runner->socket != NULL ? socket_open(runner, &fail) : command_open(runner, &fail);
	if (err < 0) {
		channel_lost(runner, fail.text);
		return;
	}
	runner->channel = OPENING;
	runner->watch = loop_fd_new(runner->loop, runner->fd, LOOP_READ, on_channel, runner);
	loop_timer_set(runner->beat, GREETING_MS);
}

/* --- the interface --- */

struct runner *runner_new(struct loop *loop, const struct runner_place *place, struct fail *fail)
{
	bool has_argv = place->argv != NULL && place->argv[0] != NULL;
	if ((place->socket != NULL) == has_argv) {
		(void)fail_set(fail, -EINVAL, "runner %s: give a socket or a remote command", place->name);
		return NULL;
	}
	if (place->socket != NULL && strlen(place->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		(void)fail_set(fail, -ENAMETOOLONG, "runner %s: the socket path %s is too long", place->name, place->socket);
		return NULL;
	}
	struct runner *runner = xalloc(calloc(1, sizeof(*runner)));
	*runner = (struct runner){ .loop = loop, .fd = -1, .err_fd = -1 };
	runner->name = xalloc(strdup(place->name));
	runner->socket = place->socket != NULL ? xalloc(strdup(place->socket)) : NULL;
	size_t n = 0;
	while (has_argv && place->argv[n] != NULL)
		n++;
	runner->argv = xalloc(calloc(n + 1, sizeof(char *)));
	for (size_t i = 0; i < n; i++)
		runner->argv[i] = xalloc(strdup(place->argv[i]));
	frame_init(&runner->frame, MESSAGE_MAX);
	runner->retry = loop_timer_new(loop, channel_open, runner);
	runner->beat = loop_timer_new(loop, on_beat, runner);
	runner->deliver = loop_timer_new(loop, on_deliver, runner);
	return runner;
}

static void requests_free(struct runner_request *request)
{
	for (struct runner_request *next; request != NULL; request = next) {
		next = request->next;
		request_free(request);
	}
}

void runner_free(struct runner *runner)
{
	if (runner == NULL)
		return;
	channel_close(runner);
	if (runner->pid != 0)
		(void)waitpid(runner->pid, NULL, 0);
	requests_free(runner->open);
	requests_free(runner->done);
	loop_timer_free(runner->retry);
	loop_timer_free(runner->beat);
	loop_timer_free(runner->deliver);
	frame_done(&runner->frame);
	for (char **word = runner->argv; *word != NULL; word++)
		free(*word);
	free(runner->argv);
	free(runner->acks);
	free(runner->name);
	free(runner->socket);
	free(runner);
}

static struct json_object *message_new(const char *op, const char *id)
{
	struct json_object *message = json_object_new_object();
	json_add_str(message, "op", op);
	json_add_str(message, "id", id);
	return message;
}

/* json_add_str() mends what is no UTF-8; what runs on a node must be what was asked for, or nothing. */
static bool add_exactly(struct json_object *message, const char *key, const char *text)
{
	const char *back = text;
	json_add_str(message, key, text);
	return text == NULL || (json_get_str(message, key, &back, NULL) == 0 && strcmp(back, text) == 0);
}

static const char not_utf8[] = "the request holds bytes that are no UTF-8";

struct runner_request *runner_start(struct runner *runner, const struct runner_task *task, uint64_t patience_ms, runner_done_fn *fn, void *arg)
{
	struct json_object *message = message_new("start", task->id), *argv = json_object_new_array();
	const char *bad = task->argv[0] == NULL ? "the task has no argv" : NULL;
	for (const char *const *word = task->argv; *word != NULL; word++) {
		json_cleanup struct json_object *probe = json_object_new_object();
		if (!add_exactly(probe, "word", *word))
			bad = not_utf8;
		json_object_array_add(argv, json_object_new_string(*word));
	}
	json_add(message, "argv", argv);
	struct json_object *env = task->env != NULL ? json_object_new_object() : NULL;
	for (const char *const *word = task->env; word != NULL && *word != NULL; word++) {
		const char *equals = strchr(*word, '=');
		char *name = xalloc(strndup(*word, equals != NULL ? (size_t)(equals - *word) : 0));
		if (name[0] == '\0' || !add_exactly(env, name, equals + 1))
			bad = name[0] == '\0' ? "env holds something that is no KEY=VALUE" : not_utf8;
		free(name);
	}
	if (env != NULL)
		json_add(message, "env", env);
	if (!add_exactly(message, "cwd", task->cwd != NULL ? task->cwd : "/"))
		bad = not_utf8;
	if (task->deadline_ms > 0)
		json_add_int(message, "deadline_ms", (int64_t)task->deadline_ms);
	struct runner_request *request = request_new(runner, task->id, message, bad, patience_ms, fn, arg);
	request->fresh_ms = task->fresh_ms;
	request->asked_ms = loop_boot_ms();
	return request;
}

struct runner_request *runner_edit(struct runner *runner, const struct runner_edit *edit, uint64_t patience_ms, runner_done_fn *fn, void *arg)
{
	struct json_object *message = message_new("edit", edit->id);
	bool good = add_exactly(message, "file", edit->file) && add_exactly(message, "prefix", edit->prefix) &&
		add_exactly(message, "value", edit->value);
	return request_new(runner, edit->id, message, good ? NULL : not_utf8, patience_ms, fn, arg);
}

struct runner_request *runner_read(struct runner *runner, const char *file, const char *prefix, uint64_t patience_ms, runner_done_fn *fn, void *arg)
{
	char id[40];
	(void)snprintf(id, sizeof(id), "read-%" PRIu64, ++runner->n_reads);
	struct json_object *message = message_new("read", id);
	bool good = add_exactly(message, "file", file) && (prefix == NULL || add_exactly(message, "prefix", prefix));
	return request_new(runner, id, message, good ? NULL : not_utf8, patience_ms, fn, arg);
}

struct runner_request *runner_list(struct runner *runner, uint64_t patience_ms, runner_done_fn *fn, void *arg)
{
	char id[40];
	(void)snprintf(id, sizeof(id), "list-%" PRIu64, ++runner->n_reads);
	return request_new(runner, id, message_new("list", id), NULL, patience_ms, fn, arg);
}

const char *runner_trouble(const struct runner_request *request, char *buf, size_t size)
{
	const struct runner *runner = request->runner;
	buf[0] = '\0';
	if (request->trouble[0] != '\0')
		(void)snprintf(buf, size, "%s: %s", runner->name, request->trouble);
	if (request->trouble[0] != '\0' || runner->away_ms == 0 || loop_boot_ms() - runner->away_ms < TROUBLE_MS)
		return buf;
	char since[16];
	struct tm tm;
	const time_t at = (time_t)(runner->away_wall / 1000);
	(void)strftime(since, sizeof(since), "%H:%M:%S", localtime_r(&at, &tm));
	(void)snprintf(buf, size, "%s: no runner since %s: %s", runner->name, since, runner->error);
	return buf;
}

void runner_cancel(struct runner_request *request)
{
	if (request == NULL)
		return;
	struct runner *runner = request->runner;
	if (!request_unlink(&runner->open, request))
		(void)request_unlink(&runner->done, request);
	request_free(request);
}

void runner_ack(struct runner *runner, const char *id)
{
	if (!id_is_good(id))
		return;
	struct json_object *message = message_new("ack", id);
	size_t len;
	const char *text = json_text(message, &len);
	if (runner->channel == READY) {
		channel_send(runner, text, len + 1);
	} else {
		append(&runner->acks, &runner->n_acks, text, len + 1);
		if (runner->channel == CLOSED && runner->backoff_ms == 0)
			loop_timer_set(runner->retry, 0);
	}
	json_object_put(message);
}
