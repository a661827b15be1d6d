/* SPDX-License-Identifier: MIT */
#include "work.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { THREADS_MAX = 256 };

struct job {
	STAILQ_ENTRY(job) next;
	void (*fn)(void *arg);
	void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static STAILQ_HEAD(, job) jobs = STAILQ_HEAD_INITIALIZER(jobs);
static unsigned n_jobs, n_idle, n_threads;

static void *worker(void *unused)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		n_idle++;
		while (STAILQ_EMPTY(&jobs))
			pthread_cond_wait(&wake, &lock);
		n_idle--;
		struct job *job = STAILQ_FIRST(&jobs);
		STAILQ_REMOVE_HEAD(&jobs, next);
		n_jobs--;
		pthread_mutex_unlock(&lock);
		job->fn(job->arg);
		free(job);
		pthread_mutex_lock(&lock);
	}
	return unused;
}

void work_run(void (*fn)(void *arg), void *arg)
{
	struct job *job = malloc(sizeof(*job));
	*job = (struct job){.fn = fn, .arg = arg};
	pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&jobs, job, next);
	if (++n_jobs > n_idle && n_threads < THREADS_MAX) {
		pthread_t thread;
		int rc = pthread_create(&thread, NULL, worker, NULL);
		if (rc == 0) {
			n_threads++;
			pthread_detach(thread);
		} else {
			fprintf(stderr, "lab-node: no thread: %s\n", strerror(rc));
		}
	}
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}
