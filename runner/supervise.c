/* SPDX-License-Identifier: MIT */
/*
 * One supervisor per task, in its own session, so that neither the end of the channel nor of `serve` nor of upgd touches it. It
 * inherits the task's lock and keeps it until it ends. In order:
 *
 *   1. put the secrets into argv and env; look at `cancel`
 *   2. fork the program's process; that waits for one byte
 *   3. `started`, durable                             a crash before this line: it never ran
 *   4. look at `cancel` again; send the byte          a crash from here on: lost
 *   5. keep the output, watch the deadline
 *   6. `exit`, durable
 *
 * Killed with SIGKILL, the supervisor takes the program with it (PDEATHSIG); what the program had started may live on, and is waited for
 * before "lost" is said (task.c). The exit record's place on the disk is taken before the program starts, so that a program which
 * fills the disk can still be reported.
 *
 * On a deadline the whole session gets TERM, and KILL after the grace. The program's zombie is kept until then, so that the number of its
 * session cannot belong to anybody else. After a normal end the rest is left alone: it may be a service that the program started. What
 * calls setsid() is no part of the task any more, as a daemon wants it; it is named in the record of a task that was ended.
 */
#include "supervise.h"

#include "durable.h"
#include "output.h"
#include "proc.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_MS = 10000, SESSION_POLL_MS = 50, EXIT_ROOM = 4096, SAVE_MS = 1000, CHUNK = 64 << 10 };

struct command {
	char **argv, **env; /* owned, secrets put in */
	const char *cwd;    /* borrowed from the spec */
	uint64_t deadline_ms;
};

enum ending { RUNNING, CANCELLED, OVERDUE };

struct supervisor {
	const struct store *store;
	struct task task;
	struct command command;
	struct secrets secrets;
	struct output output;
	pid_t pid;
	int out_fd, signal_fd;
	uint64_t started_ms, saved_ms, grace_ms;
	uint64_t starttime; /* of the program, in ticks */
	uint64_t kill_ms;  /* when TERM becomes KILL; 0: no TERM yet */
	enum ending ending;
	bool ended;        /* the program has; it is a zombie */
	bool killed, dirty;
};

int supervisor_spawn(const struct store *store, const struct task *task, struct fail *fail)
{
	char self[] = "upgd-run", verb[] = "supervise", state[] = "--state", secrets[] = "--secrets";
	char path[PATH_MAX], secrets_path[PATH_MAX], name[TASK_NAME_MAX];
	(void)snprintf(path, sizeof(path), "%s", store->path);
	(void)snprintf(secrets_path, sizeof(secrets_path), "%s", store->secrets);
	(void)snprintf(name, sizeof(name), "%s", task->name);
	char *argv[] = { self, verb, state, path, secrets, secrets_path, name, NULL };
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_t attr;
	posix_spawn_file_actions_t files;
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	/* Not the channel: ssh would wait for whoever holds it. */
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, task->lock_fd, TASK_LOCK_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, TASK_LOCK_FD + 1);
	pid_t pid;
	int err = posix_spawn(&pid, "/proc/self/exe", &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return err == 0 ? 0 : fail_set(fail, -err, "cannot start a supervisor: %s", strerror(err));
}

/* Words of the environment that are about the supervisor's own start, or that the task sets. */
static bool env_is_dropped(const char *word, struct json_object *env)
{
	static const char *const own[] = { "UPGD_RUN_", "LISTEN_", "NOTIFY_SOCKET=", "INVOCATION_ID=", "JOURNAL_STREAM=", "SYSTEMD_EXEC_PID=", "MAINPID=" };
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strncmp(word, own[i], strlen(own[i])) == 0)
			return true;
	char name[256];
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	return env != NULL && json_object_object_get_ex(env, name, NULL);
}

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *print(const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	return text;
}

static int env_build(struct supervisor *sup, struct json_object *env, struct fail *fail)
{
	size_t n = 0, max = 2 + (env != NULL ? (size_t)json_object_object_length(env) : 0);
	for (char **word = environ; *word != NULL; word++)
		max++;
	char **out = calloc(max, sizeof(*out));
	if (out == NULL)
		abort();
	sup->command.env = out;
	out[n++] = print(PROC_MARK "%s/%s", sup->store->path, sup->task.name);
	for (char **word = environ; *word != NULL; word++)
		if (!env_is_dropped(*word, env))
			out[n++] = print("%s", *word);
	if (env == NULL)
		return 0;
	json_object_object_foreach(env, key, value)
	{
		free_cleanup char *text = secret_expand(&sup->secrets, json_object_get_string(value), fail);
		if (text == NULL)
			return fail != NULL ? fail->code : -EINVAL;
		out[n++] = print("%s=%s", key, text);
	}
	return 0;
}

static int command_build(struct supervisor *sup, struct json_object *spec, struct fail *fail)
{
	struct json_object *argv, *env = NULL;
	int64_t deadline = 0;
	sup->command.cwd = "/";
	if (json_get_array(spec, "argv", &argv, fail) != 0 || json_get_object(spec, "env", &env, fail) < 0 ||
		json_get_str(spec, "cwd", &sup->command.cwd, fail) < 0 ||
		json_get_int(spec, "deadline_ms", 0, INT64_MAX / 2, &deadline, fail) < 0)
		return -EINVAL;
	sup->command.deadline_ms = (uint64_t)deadline;
	size_t n = json_object_array_length(argv);
	sup->command.argv = calloc(n + 1, sizeof(char *));
	if (sup->command.argv == NULL)
		abort();
	for (size_t i = 0; i < n; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(argv, i));
		sup->command.argv[i] = secret_expand(&sup->secrets, word, fail);
		if (sup->command.argv[i] == NULL)
			return -EINVAL;
	}
	return env_build(sup, env, fail);
}

/* The last word about the task. Taken space is used (reserve()), and a full disk gets a minute to be seen to. */
static int exit_save(struct supervisor *sup, struct json_object *record)
{
	size_t len;
	const char *text = json_text(record, &len);
	for (int tries = 0;; tries++) {
		close_cleanup int fd = openat(sup->task.dir_fd, "exit.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		int err = fd < 0 ? -errno : write_all(fd, text, len);
		if (err == 0 && (ftruncate(fd, (off_t)len) < 0 || fsync(fd) < 0 ||
					renameat(sup->task.dir_fd, "exit.tmp", sup->task.dir_fd, "exit") < 0 || fsync(sup->task.dir_fd) < 0))
			err = -errno;
		/* The directory itself is gone: nobody will look there. */
		if (err == 0 || err == -ENOENT || tries == 60)
			return err == 0 ? 0 : 1;
		(void)poll(NULL, 0, 1000);
	}
}

static int refuse(struct supervisor *sup, const char *state, const char *why)
{
	json_cleanup struct json_object *record = json_object_new_object();
	json_add_str(record, "state", state);
	json_add_str(record, "error", why);
	return exit_save(sup, record);
}

static int reserve(struct supervisor *sup)
{
	char room[EXIT_ROOM];
	memset(room, ' ', sizeof(room));
	close_cleanup int fd = openat(sup->task.dir_fd, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = fd < 0 ? -errno : write_all(fd, room, sizeof(room));
	return err == 0 && fsync(fd) < 0 ? -errno : err;
}

/* In the program's process; failures travel through the pipe that exec closes. */
_Noreturn static void program(const struct supervisor *sup, pid_t parent, int go, int out, int report)
{
	char byte;
	sigset_t none;
	sigemptyset(&none);
	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (getppid() != parent || read(go, &byte, 1) != 1)
		_exit(127);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 && chdir(sup->command.cwd) == 0) {
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		environ = sup->command.env;
		(void)execvp(sup->command.argv[0], sup->command.argv);
	}
	int err = errno;
	(void)!write(report, &err, sizeof(err));
	_exit(127);
}

static int started_save(struct supervisor *sup, struct fail *fail)
{
	char boot[64];
	proc_boot_id(boot);
	sup->starttime = proc_starttime(sup->pid);
	json_cleanup struct json_object *record = json_object_new_object();
	json_add_int(record, "pid", sup->pid);
	json_add_int(record, "starttime", (int64_t)sup->starttime);
	json_add_int(record, "supervisor", getpid());
	json_add_int(record, "supervisor_starttime", (int64_t)proc_starttime(getpid()));
	json_add_str(record, "boot_id", boot);
	return task_save(&sup->task, "started", record, fail);
}

/* 0: it runs. 1: it does not, and the exit record is the caller's: fail says why. */
static int program_start(struct supervisor *sup, struct fail *fail)
{
	int go[2], out[2], report[2];
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return fail_set(fail, 1, "cannot make pipes: %s", strerror(errno));
	pid_t self = getpid();
	sup->pid = fork();
	if (sup->pid < 0)
		return fail_set(fail, 1, "cannot fork: %s", strerror(errno));
	if (sup->pid == 0) {
		close(go[1]);
		program(sup, self, go[0], out[1], report[1]);
	}
	close(go[0]);
	close(out[1]);
	close(report[1]);
	sup->out_fd = out[0];
	int err = started_save(sup, fail);
	if (err == 0 && task_has(&sup->task, "cancel"))
		err = fail_set(fail, 1, "cancelled before it started");
	sup->started_ms = proc_boot_ms();
	if (err == 0)
		(void)!write(go[1], "", 1);
	close(go[1]);
	int why = 0;
	if (err == 0 && read(report[0], &why, sizeof(why)) == sizeof(why))
		err = fail_set(fail, 1, "cannot run %s in %s: %s", sup->command.argv[0], sup->command.cwd, strerror(why));
	close(report[0]);
	if (err != 0)
		(void)waitpid(sup->pid, NULL, 0);
	return err != 0 ? 1 : 0;
}

/* False: not all that was printed is there. */
static bool out_save(struct supervisor *sup)
{
	static char text[OUTPUT_MAX];
	size_t len = output_text(&sup->output, text);
	/* For eyes until the end: not synced before the exit record is, and no reason to fail. */
	close_cleanup int fd = openat(sup->task.dir_fd, "out.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool saved = fd >= 0 && write_all(fd, text, len) == 0 && (!sup->ended || fdatasync(fd) == 0) &&
		renameat(sup->task.dir_fd, "out.tmp", sup->task.dir_fd, "out") == 0;
	sup->dirty = false;
	sup->saved_ms = proc_boot_ms();
	return saved && output_is_whole(&sup->output);
}

static void on_output(struct supervisor *sup, size_t max)
{
	static char data[CHUNK];
	ssize_t n = read(sup->out_fd, data, max < sizeof(data) ? max : sizeof(data));
	if (n > 0) {
		output_feed(&sup->output, data, (size_t)n);
		sup->dirty = true;
	} else if (n == 0) {
		close(sup->out_fd);
		sup->out_fd = -1;
	}
}

static void end_begin(struct supervisor *sup, enum ending why)
{
	if (sup->ended || sup->kill_ms != 0)
		return;
	sup->ending = why;
	sup->kill_ms = proc_boot_ms() + sup->grace_ms;
	proc_session_kill(sup->pid, sup->starttime, SIGTERM);
	proc_session_kill(sup->pid, sup->starttime, SIGCONT); /* the stopped ones, too, may want to end well */
}

static void on_signal(struct supervisor *sup)
{
	struct signalfd_siginfo info;
	while (read(sup->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			end_begin(sup, CANCELLED);
	siginfo_t child = { .si_pid = 0 };
	if (waitid(P_PID, (id_t)sup->pid, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid == sup->pid)
		sup->ended = true;
}

static void on_time(struct supervisor *sup, uint64_t now)
{
	if (sup->command.deadline_ms > 0 && now >= sup->started_ms + sup->command.deadline_ms)
		end_begin(sup, OVERDUE);
	/* More than once: a process may be born between the look and the signal. */
	if (sup->kill_ms != 0 && now >= sup->kill_ms) {
		(void)kill(-sup->pid, SIGKILL);
		proc_session_kill(sup->pid, sup->starttime, SIGKILL);
		sup->killed = true;
	}
	if (sup->dirty && now >= sup->saved_ms + SAVE_MS)
		(void)out_save(sup);
}

/* Milliseconds until on_time() has something to do; -1: nothing. */
static int patience(const struct supervisor *sup, uint64_t now)
{
	uint64_t at = UINT64_MAX;
	if (sup->ended)
		return SESSION_POLL_MS;
	if (sup->kill_ms != 0)
		at = sup->killed ? UINT64_MAX : sup->kill_ms;
	else if (sup->command.deadline_ms > 0)
		at = sup->started_ms + sup->command.deadline_ms;
	if (sup->dirty && sup->saved_ms + SAVE_MS < at)
		at = sup->saved_ms + SAVE_MS;
	if (at == UINT64_MAX)
		return -1;
	uint64_t left = at > now ? at - now : 0;
	return left > 60000 ? 60000 : (int)left;
}

static bool is_over(const struct supervisor *sup, uint64_t now)
{
	if (!sup->ended)
		return false;
	/* KILL cannot be refused, but a process may hang in the kernel: not for ever. */
	return sup->ending == RUNNING || (sup->killed && now > sup->kill_ms + 2000) || proc_session(sup->pid, sup->starttime, NULL, 0) == 0;
}

static void watch(struct supervisor *sup)
{
	for (uint64_t now = proc_boot_ms(); !is_over(sup, now); now = proc_boot_ms()) {
		struct pollfd fds[] = { { .fd = sup->signal_fd, .events = POLLIN }, { .fd = sup->out_fd, .events = POLLIN } };
		(void)poll(fds, 2, patience(sup, now));
		if (fds[0].revents != 0)
			on_signal(sup);
		if (fds[1].revents != 0)
			on_output(sup, SIZE_MAX);
		on_time(sup, proc_boot_ms());
	}
	/* What the program wrote is in the pipe by now; more than that, from others that hold it, is not waited for. */
	int left = 0;
	if (sup->out_fd < 0 || ioctl(sup->out_fd, FIONREAD, &left) < 0)
		return;
	for (; left > 0 && sup->out_fd >= 0; left -= CHUNK)
		on_output(sup, (size_t)left);
}

static void timeout_describe(const struct supervisor *sup, struct json_object *record)
{
	char path[PATH_MAX + TASK_NAME_MAX], text[400];
	struct proc_found left[4];
	(void)snprintf(path, sizeof(path), "%s/%s", sup->store->path, sup->task.name);
	size_t n = proc_marked(path, left, 4);
	int at = snprintf(text, sizeof(text), "%s", sup->ending == CANCELLED ? "cancelled" : "ended by its deadline");
	if (sup->ending == OVERDUE)
		at += snprintf(text + at, sizeof(text) - (size_t)at, " of %llu s", (unsigned long long)(sup->command.deadline_ms + 999) / 1000);
	if (sup->killed)
		at += snprintf(text + at, sizeof(text) - (size_t)at, ", with SIGKILL as it did not heed SIGTERM");
	if (n > 0)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "; %zu of its processes left its session and still run:", n);
	for (size_t i = 0; i < n && i < 4; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, " %d (%s)", (int)left[i].pid, left[i].comm);
	json_add_str(record, "error", text);
}

static int finish(struct supervisor *sup)
{
	int status = 0;
	uint64_t took = proc_boot_ms() - sup->started_ms;
	(void)waitpid(sup->pid, &status, 0);
	output_end(&sup->output);
	bool whole = out_save(sup);
	json_cleanup struct json_object *record = json_object_new_object();
	json_add_str(record, "state", sup->ending == RUNNING ? "exited" : "timeout");
	if (!whole)
		json_add_bool(record, "whole", false);
	if (sup->ending != RUNNING)
		timeout_describe(sup, record);
	if (WIFSIGNALED(status))
		json_add_int(record, "signal", WTERMSIG(status));
	else
		json_add_int(record, "code", WEXITSTATUS(status));
	json_add_int(record, "took_ms", (int64_t)took);
	return exit_save(sup, record);
}

static int setup(struct supervisor *sup)
{
	sigset_t signals;
	sigemptyset(&signals);
	for (size_t i = 0; i < 4; i++)
		sigaddset(&signals, (const int[]){ SIGTERM, SIGCHLD, SIGINT, SIGHUP }[i]);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	sup->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	const char *grace = getenv("UPGD_RUN_GRACE_MS");
	sup->grace_ms = grace != NULL ? strtoull(grace, NULL, 10) : GRACE_MS;
	(void)umask(022);
	return sup->signal_fd < 0 || chdir("/") < 0 ? -errno : reserve(sup);
}

int supervise(const struct store *store, const char *name)
{
	static struct supervisor sup;
	struct fail fail = { .code = 0 };
	sup = (struct supervisor){ .store = store, .task = TASK_NONE, .out_fd = -1, .signal_fd = -1, .secrets.dir = store->secrets };
	if (task_open(store, name, &sup.task, &fail) < 0)
		return 1;
	close(sup.task.lock_fd);
	sup.task.lock_fd = TASK_LOCK_FD;
	/* The lock came with the descriptor; whoever calls this by hand does not have it. */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(TASK_LOCK_FD, F_OFD_SETLK, &lock) < 0 || fcntl(TASK_LOCK_FD, F_SETFD, FD_CLOEXEC) < 0 ||
		task_has(&sup.task, "exit") || task_has(&sup.task, "started"))
		return 1;
	json_cleanup struct json_object *spec = task_record(&sup.task, "spec", &fail);
	int err = setup(&sup);
	if (err < 0)
		return refuse(&sup, "refused", strerror(-err));
	if (spec == NULL || command_build(&sup, spec, &fail) < 0)
		return refuse(&sup, "refused", fail.text);
	output_init(&sup.output, &sup.secrets);
	if (program_start(&sup, &fail) != 0)
		return refuse(&sup, "refused", fail.text);
	watch(&sup);
	return finish(&sup);
}
