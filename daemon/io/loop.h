/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The event loop: the only owner of libevent. Everything else sees fds, timers and deferred calls.
 * One thread runs the loop; only loop_post_from_thread() may be called from another one.
 */

#include "proto/fail.h"

#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;

enum loop_mask { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_fd_fn(void *arg, int fd, unsigned mask);
typedef void loop_fn(void *arg);
typedef void loop_signal_fn(void *arg, int signal);

struct loop *loop_new(struct fail *fail);          /* NULL on failure; ignores SIGPIPE */
void loop_free(struct loop *loop);                 /* every fd, timer and signal must be gone before; NULL is fine */
must_check int loop_run(struct loop *loop);        /* until loop_quit(); 0 or -errno */
void loop_quit(struct loop *loop);                 /* also before loop_run(), which then returns at once */

/*
 * A watch on a descriptor that the caller owns; close it after loop_fd_free(). Masks may change at any time. Level-triggered; an
 * error or hang-up shows as whatever is asked for. Sockets, pipes, terminals: a plain file cannot be watched and aborts.
 */
struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned mask, loop_fd_fn *fn, void *arg);
void loop_fd_set(struct loop_fd *watch, unsigned mask); /* 0 = pause */
void loop_fd_free(struct loop_fd *watch);

/* A one-shot timer, created unarmed. Arming again replaces the old deadline. Safe to free inside its own callback. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *arg);
void loop_timer_set(struct loop_timer *timer, uint64_t after_ms);
void loop_timer_clear(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

must_check int loop_signal(struct loop *loop, int signal, loop_signal_fn *fn, void *arg); /* lives as long as the loop */

/*
 * Calls fn(arg) from the loop, after the callback at hand has returned; never from inside this call. In order. Cannot be taken back:
 * where arg may be freed before, use a timer of 0 ms. What is still queued at loop_free() is dropped.
 */
void loop_post(struct loop *loop, loop_fn *fn, void *arg);
/* The same from any thread; wakes the loop. */
void loop_post_from_thread(struct loop *loop, loop_fn *fn, void *arg);

uint64_t loop_boot_ms(void);  /* CLOCK_BOOTTIME, for deadlines and leases: it runs in suspend */
int64_t loop_wall_ms(void);   /* CLOCK_REALTIME, for people */

const char *loop_library(void); /* "libevent 2.1.12-stable, epoll" */

/* HTTP serving and other libevent parts never leave loop.c; http.c drives libcurl through fds and timers above. */
