/* SPDX-License-Identifier: MIT */
/*
 * libevent lives here and nowhere else. Deferred calls are one queue under a mutex, drained by one event that an eventfd
 * wakes: that serves the loop's own "after this callback" and other threads alike, in order.
 */
#include "loop.h"

#include <event2/event.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct post {
	loop_fn *fn;
	void *arg;
};

struct loop_sig {
	struct loop_sig *next;
	struct event *event;
	loop_signal_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct event *wake;
	int wake_fd;
	pthread_mutex_t lock; /* guards posts */
	struct post *posts;   /* owned */
	size_t n_posts, max_posts;
	struct loop_sig *signals; /* owned */
	bool quit;
};

struct loop_fd {
	struct loop *loop;
	struct event *event;
	int fd;
	unsigned mask;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	struct event *event;
	loop_fn *fn;
	void *arg;
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct loop *loop = arg;
	uint64_t count;
	(void)!read(fd, &count, sizeof(count));

	pthread_mutex_lock(&loop->lock);
	struct post *posts = loop->posts;
	size_t n = loop->n_posts;
	loop->posts = NULL;
	loop->n_posts = loop->max_posts = 0;
	pthread_mutex_unlock(&loop->lock);

	for (size_t i = 0; i < n; i++)
		posts[i].fn(posts[i].arg);
	free(posts);
}

struct loop *loop_new(struct fail *fail)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		abort();
	(void)signal(SIGPIPE, SIG_IGN);
	pthread_mutex_init(&loop->lock, NULL);
	errno = 0;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd >= 0)
		loop->base = event_base_new();
	if (loop->base == NULL) {
		int error = errno != 0 ? errno : EIO;
		(void)fail_set(fail, -error, "cannot make an event loop: %s", strerror(error));
		loop_free(loop);
		return NULL;
	}
	loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
	if (loop->wake == NULL)
		abort();
	if (event_add(loop->wake, NULL) < 0)
		abort();
	return loop;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	while (loop->signals != NULL) {
		struct loop_sig *sig = loop->signals;
		loop->signals = sig->next;
		event_free(sig->event);
		free(sig);
	}
	if (loop->wake != NULL)
		event_free(loop->wake);
	if (loop->base != NULL)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	free(loop->posts);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int loop_run(struct loop *loop)
{
	/* libevent forgets a break that came before the dispatch; a setup that failed says quit just then. */
	int rc = loop->quit ? 0 : event_base_dispatch(loop->base);
	loop->quit = false;
	return rc < 0 ? -EIO : 0;
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
	event_base_loopbreak(loop->base);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *watch = arg;
	unsigned mask = ((what & EV_READ) ? LOOP_READ : 0) | ((what & EV_WRITE) ? LOOP_WRITE : 0);
	watch->fn(watch->arg, fd, mask);
}

static void fd_arm(struct loop_fd *watch)
{
	short what = (short)(EV_PERSIST | ((watch->mask & LOOP_READ) ? EV_READ : 0) |
		((watch->mask & LOOP_WRITE) ? EV_WRITE : 0));
	event_assign(watch->event, watch->loop->base, watch->fd, what, on_fd, watch);
	/* Fails for what cannot be polled, a plain file: waiting for it would be for ever. */
	if (watch->mask != 0 && event_add(watch->event, NULL) < 0)
		abort();
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned mask, loop_fd_fn *fn, void *arg)
{
	struct loop_fd *watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		abort();
	*watch = (struct loop_fd){ .loop = loop, .fd = fd, .mask = mask, .fn = fn, .arg = arg };
	watch->event = event_new(loop->base, fd, EV_PERSIST, on_fd, watch);
	if (watch->event == NULL)
		abort();
	fd_arm(watch);
	return watch;
}

void loop_fd_set(struct loop_fd *watch, unsigned mask)
{
	if (watch->mask == mask)
		return;
	event_del(watch->event);
	watch->mask = mask;
	fd_arm(watch);
}

void loop_fd_free(struct loop_fd *watch)
{
	if (watch == NULL)
		return;
	event_free(watch->event);
	free(watch);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct loop_timer *timer = arg;
	timer->fn(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));
	if (timer == NULL)
		abort();
	timer->fn = fn;
	timer->arg = arg;
	timer->event = evtimer_new(loop->base, on_timer, timer);
	if (timer->event == NULL)
		abort();
	return timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t after_ms)
{
	struct timeval after = { .tv_sec = (time_t)(after_ms / 1000),
		.tv_usec = (suseconds_t)(after_ms % 1000 * 1000) };
	event_add(timer->event, &after);
}

void loop_timer_clear(struct loop_timer *timer)
{
	event_del(timer->event);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (timer == NULL)
		return;
	event_free(timer->event);
	free(timer);
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	(void)what;
	struct loop_sig *sig = arg;
	sig->fn(sig->arg, signal);
}

int loop_signal(struct loop *loop, int signal, loop_signal_fn *fn, void *arg)
{
	struct loop_sig *sig = calloc(1, sizeof(*sig));
	if (sig == NULL)
		abort();
	sig->fn = fn;
	sig->arg = arg;
	sig->event = evsignal_new(loop->base, signal, on_signal, sig);
	if (sig->event == NULL || event_add(sig->event, NULL) < 0) {
		if (sig->event != NULL)
			event_free(sig->event);
		free(sig);
		return -EINVAL;
	}
	sig->next = loop->signals;
	loop->signals = sig;
	return 0;
}

void loop_post_from_thread(struct loop *loop, loop_fn *fn, void *arg)
{
	pthread_mutex_lock(&loop->lock);
	if (loop->n_posts == loop->max_posts) {
		size_t max = loop->max_posts ? loop->max_posts * 2 : 16;
		struct post *posts = realloc(loop->posts, max * sizeof(*posts));
		if (posts == NULL)
			abort();
		loop->posts = posts;
		loop->max_posts = max;
	}
	loop->posts[loop->n_posts++] = (struct post){ .fn = fn, .arg = arg };
	pthread_mutex_unlock(&loop->lock);
	uint64_t one = 1;
	(void)!write(loop->wake_fd, &one, sizeof(one));
}

void loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
	loop_post_from_thread(loop, fn, arg);
}

uint64_t loop_boot_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t loop_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *loop_library(void)
{
	static char text[64];
	const char **methods = event_get_supported_methods(); /* the first is the one taken */
	(void)snprintf(text, sizeof(text), "libevent %s, %s", event_get_version(), methods[0]);
	return text;
}
