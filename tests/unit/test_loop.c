/* SPDX-License-Identifier: MIT */
#include "daemon/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000 };

struct world {
	struct loop *loop;
	struct loop_timer *guard;
	char seen[64]; /* one letter per callback */
	struct loop_timer *timer;
	struct loop_fd *watch;
	uint64_t armed_ns;
	int fds[2];
};

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("nothing ended the loop within %d ms", DEADLINE_MS);
}

static int set_up(void **state)
{
	static struct world world;
	world = (struct world){ .loop = loop_new(NULL) };
	assert_non_null(world.loop);
	world.guard = loop_timer_new(world.loop, on_guard, NULL);
	loop_timer_set(world.guard, DEADLINE_MS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, world.fds), 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	loop_timer_free(world->timer);
	loop_fd_free(world->watch);
	loop_timer_free(world->guard);
	loop_free(world->loop);
	close(world->fds[0]);
	close(world->fds[1]);
	return 0;
}

static void saw(struct world *world, char letter)
{
	size_t n = strlen(world->seen);
	if (n + 1 < sizeof(world->seen))
		world->seen[n] = letter;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void post_a(void *arg) { saw(arg, 'a'); }

static void post_b(void *arg) { saw(arg, 'b'); }

static void post_quit(void *arg)
{
	struct world *world = arg;
	saw(world, 'q');
	loop_quit(world->loop);
}

static void post_more(void *arg)
{
	struct world *world = arg;
	loop_post(world->loop, post_b, world);
	loop_post(world->loop, post_quit, world);
	saw(world, 'm');
}

static void test_posts_run_in_order_and_never_at_once(void **state)
{
	struct world *world = *state;
	loop_post(world->loop, post_a, world);
	loop_post(world->loop, post_more, world);
	loop_post(world->loop, post_a, world);
	assert_string_equal(world->seen, "");
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "amabq");
}

static void test_quit_before_run_counts_once(void **state)
{
	struct world *world = *state;
	loop_post(world->loop, post_quit, world);
	loop_quit(world->loop);
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "");
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "q");
}

static void *poster(void *arg)
{
	struct world *world = arg;
	for (int i = 0; i < 40; i++)
		loop_post_from_thread(world->loop, post_a, world);
	loop_post_from_thread(world->loop, post_quit, world);
	return NULL;
}

static void test_post_from_thread_wakes_the_loop(void **state)
{
	struct world *world = *state;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, poster, world), 0);
	assert_int_equal(loop_run(world->loop), 0);
	pthread_join(thread, NULL);
	assert_int_equal(strlen(world->seen), 41);
	assert_int_equal(world->seen[40], 'q');
}

static void on_fired(void *arg)
{
	struct world *world = arg;
	assert_true(now_ns() - world->armed_ns >= UINT64_C(20) * 1000000);
	loop_timer_free(world->timer); /* within its own callback */
	world->timer = NULL;
	loop_quit(world->loop);
}

static void post_long_then_arm(void *arg)
{
	struct world *world = arg;
	uint64_t begun = now_ns();
	while (now_ns() - begun < UINT64_C(50) * 1000000)
		;
	world->armed_ns = now_ns();
	loop_timer_set(world->timer, 20);
}

static void test_timer_armed_after_long_work_is_not_early(void **state)
{
	struct world *world = *state;
	world->timer = loop_timer_new(world->loop, on_fired, world);
	loop_post(world->loop, post_long_then_arm, world);
	assert_int_equal(loop_run(world->loop), 0);
	assert_null(world->timer);
}

static void timer_saw(void *arg) { saw(arg, 't'); }

static void test_timer_rearmed_and_cleared(void **state)
{
	struct world *world = *state;
	world->timer = loop_timer_new(world->loop, timer_saw, world);
	struct loop_timer *end = loop_timer_new(world->loop, post_quit, world);
	loop_timer_set(world->timer, 1);
	loop_timer_set(world->timer, 5000); /* replaces */
	loop_timer_set(end, 30);
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "q");
	loop_timer_set(world->timer, 1);
	loop_timer_clear(world->timer);
	loop_timer_set(end, 30);
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "qq");
	loop_timer_free(end);
}

static void on_fd(void *arg, int fd, unsigned mask)
{
	struct world *world = arg;
	if (mask & LOOP_WRITE) {
		saw(world, 'w');
		assert_int_equal(write(world->fds[1], "x", 1), 1);
		loop_fd_set(world->watch, LOOP_READ);
		return;
	}
	char byte;
	ssize_t n = read(fd, &byte, 1);
	saw(world, n == 1 ? 'r' : 'e');
	if (n == 1) {
		loop_fd_set(world->watch, 0);
		assert_int_equal(shutdown(world->fds[1], SHUT_RDWR), 0);
		loop_post(world->loop, post_more, world);
		return;
	}
	loop_fd_free(world->watch); /* within its own callback */
	world->watch = NULL;
	loop_quit(world->loop);
}

static void test_fd_masks_pause_and_hang_up(void **state)
{
	struct world *world = *state;
	world->watch = loop_fd_new(world->loop, world->fds[0], LOOP_WRITE, on_fd, world);
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "wrmbq"); /* paused: its hang-up is not told */
	loop_fd_set(world->watch, LOOP_READ);
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "wrmbqe");
}

static void on_signal(void *arg, int signal)
{
	struct world *world = arg;
	assert_int_equal(signal, SIGUSR1);
	saw(world, 's');
	loop_quit(world->loop);
}

static void test_signal_is_an_event(void **state)
{
	struct world *world = *state;
	assert_int_equal(loop_signal(world->loop, SIGUSR1, on_signal, world), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_string_equal(world->seen, "");
	assert_int_equal(loop_run(world->loop), 0);
	assert_string_equal(world->seen, "s");
}

static void test_sigpipe_is_ignored(void **state)
{
	struct world *world = *state;
	close(world->fds[1]);
	world->fds[1] = dup(world->fds[0]);
	assert_int_equal(write(world->fds[0], "x", 1), -1);
}

static void test_library_names_version_and_method(void **state)
{
	(void)state;
	assert_non_null(strstr(loop_library(), "libevent 2."));
	assert_non_null(strstr(loop_library(), "epoll"));
	assert_true(loop_boot_ms() > 0 && loop_wall_ms() > INT64_C(1600000000000));
}

int main(void)
{
#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_posts_run_in_order_and_never_at_once),
		LOOP_TEST(test_quit_before_run_counts_once),
		LOOP_TEST(test_post_from_thread_wakes_the_loop),
		LOOP_TEST(test_timer_armed_after_long_work_is_not_early),
		LOOP_TEST(test_timer_rearmed_and_cleared),
		LOOP_TEST(test_fd_masks_pause_and_hang_up),
		LOOP_TEST(test_signal_is_an_event),
		LOOP_TEST(test_sigpipe_is_ignored),
		LOOP_TEST(test_library_names_version_and_method),
	};
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
