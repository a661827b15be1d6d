/* SPDX-License-Identifier: MIT */
/*
 * `serve` owns nothing that must survive: it claims tasks, starts their supervisors, and reads their records. Killed at any
 * point, the next one finds the same records and answers the same.
 *
 * An open request is kept until the task has ended. The end shows as a new name in the task's directory (inotify) or as the end
 * of our child (SIGCHLD); supervisors of former channels are neither, and the kernel may have no inotify instance left, so open
 * requests are also looked at every TICK_MS.
 *
 * Writing to a peer that does not read blocks this process, and nothing else: deadlines are the supervisors' business.
 */
#include "serve.h"

#include "durable.h"
#include "edit.h"
#include "output.h"
#include "proc.h"
#include "proto/frame.h"
#include "proto/json.h"
#include "status.h"
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPEN_MAX_TASKS = 512, TICK_MS = 250 };

struct request {
	struct request *next;
	char id[TASK_ID_MAX + 1];
	struct json_object *spec; /* owned */
	struct task task;         /* to look at, if it is told: the lock, and no more */
	int inotify;
	bool told;                /* that it runs */
	bool told_half;           /* that it runs without its supervisor */
	bool spawned;             /* we started its supervisor */
	bool is_edit;
};

struct serve {
	const struct store *store;
	struct request *open; /* owned */
	size_t n_open;
	int signal_fd, inotify_fd;
	bool broken;          /* the peer is gone */
};

static void send_json(struct serve *serve, struct json_object *answer)
{
	size_t len;
	const char *text = json_text(answer, &len);
	if (write_all(STDOUT_FILENO, text, len + 1) < 0)
		serve->broken = true;
}

static void answer_state(struct serve *serve, const char *id, const char *state, const char *error)
{
	json_cleanup struct json_object *answer = json_object_new_object();
	json_add_str(answer, "id", id);
	json_add_str(answer, "state", state);
	json_add_str(answer, "error", error);
	send_json(serve, answer);
}

/* A NUL is no text either: made a byte that json_add_str() replaces like other bad ones. */
static void add_text(struct json_object *answer, const char *key, char *text, size_t len)
{
	for (char *nul; (nul = memchr(text, '\0', len)) != NULL;)
		*nul = '\xff';
	json_add_str(answer, key, text);
}

static void answer_end(struct serve *serve, const char *id, struct task *task)
{
	struct json_object *answer = task->exit;
	size_t len;
	free_cleanup char *out = file_read(task->dir_fd, "out", OUTPUT_MAX, &len, NULL);
	json_add_str(answer, "id", id);
	if (out != NULL)
		add_text(answer, "out", out, len);
	send_json(serve, answer);
}

static void greet(struct serve *serve)
{
	char boot[64];
	proc_boot_id(boot);
	json_cleanup struct json_object *greeting = json_object_new_object();
	json_add_str(greeting, "upgd_run", UPGD_VERSION);
	json_add_str(greeting, "boot_id", boot);
	send_json(serve, greeting);
}

/* Under the task's lock. The old line is durable before the file is touched, and the first one found stays the one. */
static int edit_do(struct request *request, struct task *task, struct fail *fail)
{
	struct edit edit = { .value = NULL };
	if (json_get_str(request->spec, "file", &edit.file, fail) != 0 || json_get_str(request->spec, "prefix", &edit.prefix, fail) != 0 ||
		json_get_str(request->spec, "value", &edit.value, fail) < 0)
		return -EINVAL;
	json_cleanup struct json_object *old = task_record(task, "old", NULL);
	if (old == NULL) {
		free_cleanup char *line = edit_line(&edit, fail);
		if (line == NULL)
			return -EIO;
		const char *kept = NULL;
		old = json_object_new_object();
		json_add_str(old, "old", line);
		if (json_get_str(old, "old", &kept, fail) != 0 || strcmp(kept, line) != 0)
			return fail_set(fail, -EILSEQ, "%s: the line that begins with \"%.60s\" is no UTF-8, so it could not be put back", edit.file, edit.prefix);
		int err = task_save(task, "old", old, fail);
		if (err < 0)
			return err;
	}
	int err = edit_apply(&edit, fail);
	if (err != 0)
		return err;
	const char *line = "";
	(void)!json_get_str(old, "old", &line, NULL);
	task->exit = json_object_new_object();
	json_add_str(task->exit, "state", "exited");
	json_add_int(task->exit, "code", 0);
	json_add_str(task->exit, "old", line);
	/* Unsaved, a repeat does the same again. */
	(void)!task_save(task, "exit", task->exit, NULL);
	return 0;
}

static void request_free(struct serve *serve, struct request *request)
{
	for (struct request **at = &serve->open; *at != NULL; at = &(*at)->next) {
		if (*at != request)
			continue;
		*at = request->next;
		serve->n_open--;
		break;
	}
	if (request->inotify >= 0)
		(void)inotify_rm_watch(serve->inotify_fd, request->inotify);
	task_close(&request->task);
	json_putp(&request->spec);
	free(request);
}

static void request_wait(struct serve *serve, struct request *request, struct task *task)
{
	char path[PATH_MAX + TASK_NAME_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", serve->store->path, task->name);
	if (request->inotify < 0 && serve->inotify_fd >= 0)
		request->inotify = inotify_add_watch(serve->inotify_fd, path, IN_MOVED_TO);
	task_close(&request->task);
	/* A lock file of our own: the one that claimed it must not stay open here. */
	(void)!task_open(serve->store, task->name, &request->task, NULL);
	bool half = task->left[0] != '\0';
	if (request->told && (!half || request->told_half))
		return;
	request->told = true;
	request->told_half = half;
	answer_state(serve, request->id, "running", half ? task->left : NULL);
}

/*
 * Its records are no more: somebody removed them. What had been told to run must not be said to be refused, and what runs under this
 * id must not be run again.
 */
static bool is_stripped(struct serve *serve, const struct request *request, const struct task *task)
{
	char path[PATH_MAX + TASK_NAME_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", serve->store->path, task->name);
	return task->fresh && !request->is_edit && (request->told || proc_marked(path, NULL, 0) > 0);
}

static void answer_gone(struct serve *serve, const struct request *request, const struct fail *fail)
{
	char text[sizeof(fail->text) + 100];
	(void)snprintf(text, sizeof(text), "it was started, and its records cannot be used any more, so what it did is unknown: %s", fail->text);
	answer_state(serve, request->id, "lost", text);
}

/* Runs it, attaches to it or finds its end. False: answered for good, the request may go. */
static bool request_go(struct serve *serve, struct request *request)
{
	struct fail fail = { .code = 0 };
	struct task task;
	int code = task_claim(serve->store, request->id, request->spec, &task, &fail);
	if (code < 0 && request->told) {
		answer_gone(serve, request, &fail);
		return false;
	}
	if (code == 0 && is_stripped(serve, request, &task)) {
		task_lost(serve->store, &task, "its records were removed while it ran");
		code = TASK_ENDED;
	}
	if (code == TASK_ENDED) {
		answer_end(serve, request->id, &task);
		task_close(&task);
		return false;
	}
	if (code == 0 && request->is_edit) {
		code = edit_do(request, &task, &fail);
		if (code == 0)
			answer_end(serve, request->id, &task);
		else
			answer_state(serve, request->id, code == EDIT_UNSURE ? "lost" : "refused", fail.text);
		task_close(&task);
		return false;
	}
	if (code == 0 && request->spawned)
		code = fail_set(&fail, -EIO, "its supervisor died before it started the program: is the disk of %s full?", serve->store->path);
	if (code == 0) {
		code = supervisor_spawn(serve->store, &task, &fail);
		request->spawned = true;
	}
	if (code >= 0)
		request_wait(serve, request, &task);
	else
		answer_state(serve, request->id, "refused", fail.text);
	task_close(&task);
	return code >= 0;
}

static void requests_look(struct serve *serve)
{
	/* The next one first: a request that is answered is freed. */
	for (struct request *request = serve->open, *next; request != NULL; request = next) {
		next = request->next;
		bool quiet = request->task.lock_fd >= 0 && !task_has(&request->task, "exit") && task_is_locked(&request->task);
		if (!quiet && !request_go(serve, request))
			request_free(serve, request);
	}
}

static int strings_check(struct json_object *value, const char *what, struct fail *fail)
{
	return json_object_is_type(value, json_type_string) ? 0 : fail_set(fail, -EINVAL, "%s holds something that is no string", what);
}

static int start_check(struct json_object *message, struct fail *fail)
{
	static const char *const keys[] = { "op", "id", "argv", "env", "cwd", "deadline_ms", NULL };
	struct json_object *argv = NULL, *env = NULL;
	const char *cwd = "/";
	int64_t deadline = 0;
	int err = json_known_keys(message, keys, fail);
	if (err == 0)
		err = json_get_array(message, "argv", &argv, fail);
	if (err == 0 && json_get_object(message, "env", &env, fail) < 0)
		err = -EINVAL;
	if (err < 0 || json_get_str(message, "cwd", &cwd, fail) < 0 || json_get_int(message, "deadline_ms", 0, INT64_MAX / 2, &deadline, fail) < 0)
		return -EINVAL;
	size_t n = argv != NULL ? json_object_array_length(argv) : 0;
	if (n == 0 || cwd[0] != '/')
		return fail_set(fail, -EINVAL, n == 0 ? "argv is missing or empty" : "cwd is no absolute path");
	for (size_t i = 0; i < n && err == 0; i++)
		err = strings_check(json_object_array_get_idx(argv, i), "argv", fail);
	if (err == 0 && json_object_get_string_len(json_object_array_get_idx(argv, 0)) == 0)
		err = fail_set(fail, -EINVAL, "argv[0] is empty");
	if (env == NULL)
		return err;
	json_object_object_foreach(env, key, value)
	{
		if (err == 0 && (key[0] == '\0' || strchr(key, '=') != NULL || strncmp(key, "UPGD_RUN_", 9) == 0))
			err = fail_set(fail, -EINVAL, "env: \"%.60s\" is no name for a variable here", key);
		if (err == 0)
			err = strings_check(value, "env", fail);
	}
	return err;
}

static int edit_message_check(struct json_object *message, struct fail *fail)
{
	static const char *const keys[] = { "op", "id", "file", "prefix", "value", NULL };
	struct edit edit = { .value = NULL };
	int err = json_known_keys(message, keys, fail);
	if (err < 0 || json_get_str(message, "value", &edit.value, fail) < 0)
		return -EINVAL;
	if (json_get_str(message, "file", &edit.file, fail) != 0 || json_get_str(message, "prefix", &edit.prefix, fail) != 0)
		return fail_set(fail, -EINVAL, "an edit needs file and prefix");
	return edit_check(&edit, fail);
}

static void on_task(struct serve *serve, const char *id, struct json_object *message, bool is_edit)
{
	struct fail fail = { .code = 0 };
	size_t len;
	(void)json_text(message, &len);
	int err = is_edit ? edit_message_check(message, &fail) : start_check(message, &fail);
	if (err == 0 && len > TASK_SPEC_MAX)
		err = fail_set(&fail, -EMSGSIZE, "the request is longer than %d KiB", TASK_SPEC_MAX >> 10);
	if (err == 0 && serve->n_open >= OPEN_MAX_TASKS)
		err = fail_set(&fail, -EBUSY, "%d tasks run on this channel already", OPEN_MAX_TASKS);
	if (err < 0) {
		answer_state(serve, id, "refused", fail.text);
		return;
	}
	struct request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		abort();
	request->task = TASK_NONE;
	request->inotify = -1;
	request->is_edit = is_edit;
	request->spec = json_object_get(message);
	(void)snprintf(request->id, sizeof(request->id), "%s", id);
	request->next = serve->open;
	serve->open = request;
	serve->n_open++;
	if (!request_go(serve, request))
		request_free(serve, request);
}

static void on_start(struct serve *serve, const char *id, struct json_object *message)
{
	on_task(serve, id, message, false);
}

static void on_edit(struct serve *serve, const char *id, struct json_object *message)
{
	on_task(serve, id, message, true);
}

static void on_read(struct serve *serve, const char *id, struct json_object *message)
{
	struct fail fail = { .code = 0 };
	const char *file = "", *prefix = "";
	size_t len = 0;
	if (json_get_str(message, "file", &file, &fail) < 0 || file[0] != '/' || json_get_str(message, "prefix", &prefix, &fail) < 0) {
		answer_state(serve, id, "refused", "read needs a file, as an absolute path");
		return;
	}
	const struct edit line = { .file = file, .prefix = prefix };
	free_cleanup char *text = prefix[0] != '\0' ? edit_line(&line, &fail) : file_read(AT_FDCWD, file, READ_FILE_MAX, &len, &fail);
	if (text != NULL && prefix[0] != '\0')
		len = strlen(text);
	if (text == NULL) {
		answer_state(serve, id, "refused", fail.text);
		return;
	}
	json_cleanup struct json_object *answer = json_object_new_object();
	json_add_str(answer, "id", id);
	json_add_str(answer, "state", "exited");
	json_add_int(answer, "code", 0);
	add_text(answer, "out", text, len);
	send_json(serve, answer);
}

static void on_ack(struct serve *serve, const char *id, struct json_object *message)
{
	(void)message;
	task_ack(serve->store, id);
}

static void on_cancel(struct serve *serve, const char *id, struct json_object *message)
{
	(void)message;
	struct fail fail = { .code = 0 };
	int err = task_cancel(serve->store, id, &fail);
	if (err < 0)
		answer_state(serve, id, "refused", fail.text);
}

static void on_list(struct serve *serve, const char *id, struct json_object *message)
{
	(void)message;
	free_cleanup char *text = status_list(serve->store);
	json_cleanup struct json_object *answer = json_object_new_object();
	json_add_str(answer, "id", id);
	json_add_str(answer, "state", "exited");
	json_add_int(answer, "code", 0);
	json_add_str(answer, "out", text);
	send_json(serve, answer);
}

static void on_ping(struct serve *serve, const char *id, struct json_object *message)
{
	(void)message;
	json_cleanup struct json_object *answer = json_object_new_object();
	json_add_str(answer, "id", id);
	json_add_str(answer, "state", "exited");
	json_add_int(answer, "code", 0);
	send_json(serve, answer);
}

static const struct {
	const char *op;
	void (*fn)(struct serve *serve, const char *id, struct json_object *message);
} ops[] = {
	{ "start", on_start },
	{ "edit", on_edit },
	{ "read", on_read },
	{ "ack", on_ack },
	{ "cancel", on_cancel },
	{ "list", on_list },
	{ "ping", on_ping },
};

/* Negative: not even the id can be told, so there is nobody to answer. */
static int on_message(struct serve *serve, const char *text, size_t len, struct fail *fail)
{
	json_cleanup struct json_object *message = json_parse(text, len, fail);
	const char *id = "", *op = "";
	char name[TASK_NAME_MAX];
	if (message == NULL)
		return -EINVAL;
	if (!json_object_is_type(message, json_type_object) || json_get_str(message, "id", &id, NULL) != 0)
		return fail_set(fail, -EINVAL, "a request is an object with an id");
	int err = task_name(id, name, fail);
	if (err < 0)
		return err;
	(void)!json_get_str(message, "op", &op, NULL);
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (strcmp(op, ops[i].op) != 0)
			continue;
		ops[i].fn(serve, id, message);
		return 0;
	}
	(void)fail_set(fail, -EINVAL, "unknown op \"%.40s\": this is upgd-run " UPGD_VERSION, op);
	answer_state(serve, id, "refused", fail->text);
	return 0;
}

/* 0, 1 = the input ended, or negative. */
static int on_input(struct serve *serve, struct frame *frame, struct fail *fail)
{
	char *space;
	size_t n, len;
	frame_space(frame, &space, &n);
	ssize_t got = read(STDIN_FILENO, space, n);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : 1;
	int err = frame_fed(frame, (size_t)got, fail);
	for (char *text; err == 0 && (text = frame_next(frame, &len)) != NULL;)
		err = on_message(serve, text, len, fail);
	return err;
}

static void drain(int fd)
{
	char events[4096];
	while (read(fd, events, sizeof(events)) > 0)
		;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int channel_run(struct serve *serve, struct frame *frame, struct fail *fail)
{
	while (!serve->broken) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = serve->signal_fd, .events = POLLIN },
			{ .fd = serve->inotify_fd, .events = POLLIN } };
		int n = poll(fds, 3, serve->open != NULL ? TICK_MS : -1);
		for (size_t i = 1; i < 3; i++)
			if (n > 0 && fds[i].revents != 0)
				drain(fds[i].fd);
		int err = n > 0 && fds[0].revents != 0 ? on_input(serve, frame, fail) : 0;
		if (err != 0)
			return err;
		if (n == 0 || fds[1].revents != 0 || fds[2].revents != 0)
			requests_look(serve);
	}
	return 0;
}

int serve(const struct store *store)
{
	struct serve self = { .store = store, .signal_fd = -1, .inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	struct fail fail = { .code = 0 };
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	self.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	store_sweep(store);
	struct frame frame;
	frame_init(&frame, FRAME_REQUEST_MAX);
	greet(&self);
	int err = channel_run(&self, &frame, &fail);
	if (err < 0)
		(void)fprintf(stderr, "upgd-run: the channel is dropped: %s\n", fail.text);
	while (self.open != NULL)
		request_free(&self, self.open);
	frame_done(&frame);
	close(self.signal_fd);
	if (self.inotify_fd >= 0)
		close(self.inotify_fd);
	return err < 0 ? 1 : 0;
}
