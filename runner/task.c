/* SPDX-License-Identifier: MIT */
/*
 * STATE/NAME/lock      locked (OFD lock) as long as somebody works on the task: the supervisor for the program's life, before it the
 *                      `serve` that claims it. It hands its locked descriptor to the supervisor, so there is no gap in between.
 *                      A lock dies with its holder and is immune to pid reuse; F_OFD_GETLK asks without taking.
 * STATE/NAME/spec      the request; durable before anything else
 * STATE/NAME/started   pid, start times, boot id; durable before the program's first instruction
 * STATE/NAME/cancel    somebody wants it to end (a level, not an edge: it counts whenever the supervisor looks)
 * STATE/NAME/out       output so far, for eyes; whole once `exit` is there
 * STATE/NAME/old       edit: the line before the first try
 * STATE/NAME/exit      how it ended; the last word, never changed
 * STATE/.acked/NAME    the id was acknowledged: it will never run again
 *
 * lock held = running. Else: exit there = ended; started there = lost; neither = it never ran and is safe to run. Lost is said only when
 * nobody of the program's session lives any more: before that whoever runs it again would run it twice.
 * A reader may see a directory vanish at any moment (ack in another channel); whoever would run something looks for the tombstone
 * after it has the lock and has found no exit record: ack writes the tombstone before it removes the exit record.
 */
#include "task.h"

#include "durable.h"
#include "proc.h"
#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ACKED ".acked"
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
enum { ACKED_DAYS = 30, RECORD_MAX = 128 << 10 };

static int make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash != NULL)
			*slash = '\0';
		int err = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		if (slash == NULL || err < 0)
			return err;
		*slash = '/';
	}
}

int store_open(struct store *store, const char *path, const char *secrets, struct fail *fail)
{
	*store = (struct store){ .fd = -1 };
	char cwd[PATH_MAX] = "";
	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return fail_set(fail, -errno, "cannot tell the current directory: %s", strerror(errno));
	int n = snprintf(store->path, sizeof(store->path), "%s%s%s", cwd, cwd[0] != '\0' ? "/" : "", path);
	/* The mark of a task (proc.h) must hold the whole path. */
	if (n > 256 || path[0] == '\0')
		return fail_set(fail, -ENAMETOOLONG, "--state %s: give a directory of at most 256 bytes", path);
	while (n > 1 && store->path[n - 1] == '/')
		store->path[--n] = '\0';
	(void)snprintf(store->secrets, sizeof(store->secrets), "%s", secrets);
	int err = make_dirs(store->path);
	if (err == 0) {
		store->fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = store->fd < 0 || (mkdirat(store->fd, ACKED, 0700) < 0 && errno != EEXIST) ? -errno : 0;
	}
	if (err < 0)
		return fail_set(fail, err, "cannot use the state directory %s: %s", store->path, strerror(-err));
	return 0;
}

void store_close(struct store *store)
{
	if (store->fd >= 0)
		close(store->fd);
	store->fd = -1;
}

void store_sweep(const struct store *store)
{
	int fd = openat(store->fd, ACKED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return;
	struct dirent *entry;
	struct stat st;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_mtime < time(NULL) - ACKED_DAYS * 86400)
			(void)unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}

static uint64_t fnv1a(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

int task_name(const char *id, char name[TASK_NAME_MAX], struct fail *fail)
{
	char full[3 * TASK_ID_MAX + 1];
	size_t len = strlen(id), n = 0;
	if (len == 0 || len > TASK_ID_MAX)
		return fail_set(fail, -EINVAL, "an id has 1 to %d bytes, this one %zu", TASK_ID_MAX, len);
	for (const char *at = id; *at != '\0'; at++) {
		bool plain = strchr(PLAIN, *at) != NULL;
		if (!plain && strchr("@:/+", *at) == NULL)
			return fail_set(fail, -EINVAL, "the id \"%.60s\" holds a byte outside [A-Za-z0-9._@:/+-]", id);
		/* Names that begin with a dot are the store's own. */
		if (plain && !(at == id && *at == '.'))
			full[n++] = *at;
		else
			n += (size_t)snprintf(full + n, 4, "%%%02X", (unsigned)(unsigned char)*at);
	}
	full[n] = '\0';
	/* NAME_MAX is 255. An id of very many slashes is cut and told apart by a hash; task_claim() compares the id itself. */
	if (n < TASK_NAME_MAX - 16)
		(void)snprintf(name, TASK_NAME_MAX, "%s", full);
	else
		(void)snprintf(name, TASK_NAME_MAX, "%.200s~%016" PRIx64, full, fnv1a(id));
	return 0;
}

/* OFD locks: of the open file, not of the process, so that one can be handed over. */
static int lock_file(int fd, int command)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, command, &lock) < 0)
		return -errno;
	return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? TASK_BUSY : 0;
}

bool task_is_locked(const struct task *task)
{
	return lock_file(task->lock_fd, F_OFD_GETLK) == TASK_BUSY;
}

bool task_has(const struct task *task, const char *record)
{
	return faccessat(task->dir_fd, record, F_OK, 0) == 0;
}

struct json_object *task_record(const struct task *task, const char *record, struct fail *fail)
{
	size_t len;
	free_cleanup char *text = file_read(task->dir_fd, record, RECORD_MAX, &len, fail);
	return text != NULL ? json_parse(text, len, fail) : NULL;
}

int task_save(const struct task *task, const char *record, struct json_object *value, struct fail *fail)
{
	size_t len;
	const char *text = json_text(value, &len);
	return durable_write(task->dir_fd, record, text, len, fail);
}

static bool is_acked(const struct store *store, const char *name)
{
	char path[TASK_NAME_MAX + sizeof(ACKED)];
	(void)snprintf(path, sizeof(path), ACKED "/%s", name);
	return faccessat(store->fd, path, F_OK, 0) == 0;
}

static int open_dir(const struct store *store, const char *name, struct task *task, struct fail *fail)
{
	*task = TASK_NONE;
	(void)snprintf(task->name, sizeof(task->name), "%s", name);
	task->dir_fd = openat(store->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (task->dir_fd < 0)
		return fail_set(fail, -errno, "no task %s: %s", name, strerror(errno));
	return 0;
}

int task_open(const struct store *store, const char *name, struct task *task, struct fail *fail)
{
	int err = open_dir(store, name, task, fail);
	if (err < 0)
		return err;
	task->lock_fd = openat(task->dir_fd, "lock", O_RDWR | O_CLOEXEC);
	if (task->lock_fd < 0) {
		err = fail_set(fail, -errno, "task %s has no lock file: %s", name, strerror(errno));
		task_close(task);
	}
	return err;
}

void task_close(struct task *task)
{
	if (task->lock_fd >= 0)
		close(task->lock_fd);
	if (task->dir_fd >= 0)
		close(task->dir_fd);
	json_putp(&task->exit);
	*task = TASK_NONE;
}

/* "4 processes of it still run (pid 17 rsync, ...)": nobody watches them any more. */
static void left_behind(const char *path, char *text, size_t size)
{
	struct proc_found found[4];
	size_t n = proc_marked(path, found, 4), at = 0;
	text[0] = '\0';
	if (n > 0)
		at = (size_t)snprintf(text, size, "; %zu of its processes still run:", n);
	for (size_t i = 0; i < n && i < 4 && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, " %d (%s)", (int)found[i].pid, found[i].comm);
}

/* The record in memory is the answer even if it cannot be saved: then the next one who asks finds the same. */
void task_lost(const struct store *store, struct task *task, const char *why)
{
	char path[PATH_MAX + TASK_NAME_MAX], left[200], text[600];
	(void)snprintf(path, sizeof(path), "%s/%s", store->path, task->name);
	left_behind(path, left, sizeof(left));
	(void)snprintf(text, sizeof(text), "%s: what it did is unknown%s", why, left);
	task->exit = json_object_new_object();
	json_add_str(task->exit, "state", "lost");
	json_add_str(task->exit, "error", text);
	(void)!task_save(task, "exit", task->exit, NULL);
}

/* What `started` says. */
struct start {
	pid_t pid;          /* of the program, and the number of its session */
	uint64_t starttime;
	bool this_boot;
};

static struct start start_read(const struct task *task)
{
	json_cleanup struct json_object *record = task_record(task, "started", NULL);
	int64_t pid = 0, starttime = 0;
	const char *boot = "";
	char now[64];
	proc_boot_id(now);
	if (record != NULL) {
		(void)!json_get_int(record, "pid", 0, INT_MAX, &pid, NULL);
		(void)!json_get_int(record, "starttime", 0, INT64_MAX, &starttime, NULL);
		(void)!json_get_str(record, "boot_id", &boot, NULL);
	}
	return (struct start){ .pid = (pid_t)pid, .starttime = (uint64_t)starttime, .this_boot = strcmp(boot, now) == 0 };
}

static bool is_overdue(struct json_object *spec, const struct start *start)
{
	int64_t deadline = 0;
	(void)!json_get_int(spec, "deadline_ms", 0, INT64_MAX / 2, &deadline, NULL);
	uint64_t began = start->starttime * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	return deadline > 0 && proc_boot_ms() > began + (uint64_t)deadline;
}

/* Started once, and its supervisor is gone. */
static int unwatched(const struct store *store, struct task *task, struct json_object *spec)
{
	struct proc_found found[4];
	char why[160];
	struct start start = start_read(task);
	size_t n = start.this_boot ? proc_session(start.pid, start.starttime, found, 4) : 0;
	if (n == 0) {
		(void)snprintf(why, sizeof(why), "started as pid %d, then %s before it ended", (int)start.pid,
			start.this_boot ? "its supervisor was killed" : "the host was restarted");
		task_lost(store, task, why);
		return TASK_ENDED;
	}
	/* Nobody is left who could wait out a grace. */
	if (is_overdue(spec, &start) || task_has(task, "cancel"))
		proc_session_kill(start.pid, start.starttime, SIGKILL);
	int at = snprintf(task->left, sizeof(task->left), "its supervisor was killed; %zu of its processes still run and are waited for:", n);
	for (size_t i = 0; i < n && i < 4; i++)
		at += snprintf(task->left + at, sizeof(task->left) - (size_t)at, " %d (%s)", (int)found[i].pid, found[i].comm);
	return TASK_HALF;
}

bool task_runs(const struct task *task)
{
	if (task_is_locked(task))
		return true;
	if (task_has(task, "exit") || !task_has(task, "started"))
		return false;
	struct start start = start_read(task);
	return start.this_boot && proc_session(start.pid, start.starttime, NULL, 0) > 0;
}

static int same_request(const struct task *task, struct json_object *spec, struct fail *fail)
{
	json_cleanup struct json_object *old = task_record(task, "spec", fail);
	if (old == NULL)
		return -EIO;
	if (!json_object_equal(old, spec))
		return fail_set(fail, -EEXIST, "this id was used for another request");
	return 0;
}

/* With the directory open and maybe the lock held. */
static int claim_decide(const struct store *store, struct json_object *spec, struct task *task, bool locked, struct fail *fail)
{
	bool has_spec = task_has(task, "spec");
	int err = has_spec ? same_request(task, spec, fail) : 0;
	if (err < 0)
		return err;
	if (task_has(task, "exit")) {
		task->exit = task_record(task, "exit", fail);
		return task->exit != NULL ? TASK_ENDED : -EIO;
	}
	if (!locked)
		return TASK_BUSY;
	if (is_acked(store, task->name)) {
		(void)unlinkat(task->dir_fd, "lock", 0);
		(void)unlinkat(store->fd, task->name, AT_REMOVEDIR);
		return fail_set(fail, -EALREADY, "this id was run and acknowledged before");
	}
	if (task_has(task, "started"))
		return unwatched(store, task, spec);
	task->fresh = !has_spec;
	return has_spec ? 0 : task_save(task, "spec", spec, fail);
}

/* "Refused" says that nothing was done. Where the directory was there before and cannot be read now, nobody knows that. */
static int claim_fail(struct task *task, bool existed, int err, struct fail *fail)
{
	if (!existed || err == -EEXIST || err == -EALREADY) {
		task_close(task);
		return err;
	}
	char text[600];
	(void)snprintf(text, sizeof(text), "the task's records cannot be used, so it may have run: %s", fail->text);
	json_putp(&task->exit);
	task->exit = json_object_new_object();
	json_add_str(task->exit, "state", "lost");
	json_add_str(task->exit, "error", text);
	return TASK_ENDED;
}

int task_claim(const struct store *store, const char *id, struct json_object *spec, struct task *task, struct fail *fail)
{
	*task = TASK_NONE;
	char name[TASK_NAME_MAX];
	int err = task_name(id, name, fail);
	if (err < 0)
		return err;
	if (is_acked(store, name))
		return fail_set(fail, -EALREADY, "this id was run and acknowledged before");
	bool existed = mkdirat(store->fd, name, 0700) < 0;
	if (existed && errno != EEXIST)
		return fail_set(fail, -errno, "cannot make %s/%s: %s", store->path, name, strerror(errno));
	err = fsync(store->fd) < 0 ? fail_set(fail, -errno, "cannot sync %s: %s", store->path, strerror(errno)) : open_dir(store, name, task, fail);
	if (err < 0)
		return claim_fail(task, existed, err, fail);
	task->lock_fd = openat(task->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (task->lock_fd < 0)
		return claim_fail(task, existed, fail_set(fail, -errno, "cannot make %s/%s/lock: %s", store->path, name, strerror(errno)), fail);
	bool locked = lock_file(task->lock_fd, F_OFD_SETLK) == 0;
	err = claim_decide(store, spec, task, locked, fail);
	return err < 0 ? claim_fail(task, existed, err, fail) : err;
}

void task_ack(const struct store *store, const char *id)
{
	char name[TASK_NAME_MAX], tombstone[TASK_NAME_MAX + sizeof(ACKED)];
	struct task task;
	if (task_name(id, name, NULL) < 0 || task_open(store, name, &task, NULL) < 0)
		return;
	if (task_has(&task, "exit")) {
		(void)snprintf(tombstone, sizeof(tombstone), ACKED "/%s", name);
		close_cleanup int fd = openat(store->fd, tombstone, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		close_cleanup int dir = openat(store->fd, ACKED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* No durable tombstone, no removal: the daemon will not ask again, but the id stays spent. */
		if (fd >= 0 && dir >= 0 && fsync(dir) == 0) {
			const char *const files[] = { "spec.tmp", "started.tmp", "old.tmp", "exit.tmp", "out.tmp", "cancel",
				"out", "old", "started", "spec", "exit", "lock" };
			for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
				(void)unlinkat(task.dir_fd, files[i], 0);
			(void)unlinkat(store->fd, name, AT_REMOVEDIR);
		}
	}
	task_close(&task);
}

int task_cancel(const struct store *store, const char *id, struct fail *fail)
{
	char name[TASK_NAME_MAX];
	struct task task;
	int err = task_name(id, name, fail);
	if (err == 0)
		err = task_open(store, name, &task, fail);
	if (err < 0)
		return err;
	if (task_has(&task, "exit") || !task_runs(&task)) {
		task_close(&task);
		return 1;
	}
	/*
	 * First the level, then the wake-up: a supervisor that has not written `started` yet looks for the level after it has. Where the
	 * supervisor is gone, whoever asks for the task acts on it.
	 */
	close_cleanup int fd = openat(task.dir_fd, "cancel", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		err = fail_set(fail, -errno, "cannot make %s/%s/cancel: %s", store->path, name, strerror(errno));
	json_cleanup struct json_object *started = task_record(&task, "started", NULL);
	int64_t pid = 0, starttime = 0;
	if (err == 0 && started != NULL && json_get_int(started, "supervisor", 1, INT_MAX, &pid, fail) == 0 &&
		json_get_int(started, "supervisor_starttime", 1, INT64_MAX, &starttime, fail) == 0)
		(void)proc_kill((pid_t)pid, (uint64_t)starttime, SIGTERM);
	task_close(&task);
	return err;
}

void task_state(const struct task *task, char *text, size_t size)
{
	const char *state = NULL;
	/* Asked before the exit record: the other way round a task that ends in between would look lost. */
	bool locked = task_is_locked(task);
	json_cleanup struct json_object *exit = task_record(task, "exit", NULL);
	int64_t code = 0, signal = 0;
	if (exit == NULL || json_get_str(exit, "state", &state, NULL) != 0) {
		(void)snprintf(text, size, "%s", locked ? "running" : task_runs(task) ? "unwatched" : task_has(task, "started") ? "lost" : "claimed");
		return;
	}
	(void)snprintf(text, size, "%s", state);
	if (json_get_int(exit, "code", 0, 255, &code, NULL) == 0)
		(void)snprintf(text, size, "%s %d", state, (int)code);
	else if (json_get_int(exit, "signal", 0, 128, &signal, NULL) == 0)
		(void)snprintf(text, size, "%s signal %d", state, (int)signal);
}
