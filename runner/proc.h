/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What /proc knows: start times (a pid alone names nothing for long), the boot, and which processes belong to a task.
 * Every program gets UPGD_RUN_TASK=its task directory in its environment, so that processes which left its
 * group and session can still be found.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_MARK "UPGD_RUN_TASK="

struct proc_found {
	pid_t pid;
	uint64_t starttime;
	char comm[32];
	char task[600]; /* the task directory; proc_marked() only */
};

uint64_t proc_starttime(pid_t pid);              /* in ticks since boot; 0: no such process */
void proc_boot_id(char out[64]);                 /* "unknown" if it cannot be read */
/*
 * Processes of a session that was begun by a leader with that start time, at most max stored; zombies are none. What calls setsid() has left it.
 * 0 too if the number is another session's by now.
 */
size_t proc_session(pid_t leader, uint64_t starttime, struct proc_found *found, size_t max);
/* A signal to each of them; to nobody else, whatever pid is used again meanwhile. */
void proc_session_kill(pid_t leader, uint64_t starttime, int signal);
/* To this process and to no other one that has its pid by now. */
int proc_kill(pid_t pid, uint64_t starttime, int signal);
/* Processes whose mark begins with prefix: a task directory, or a state directory and '/'. Returns how many there are, at most max stored. */
size_t proc_marked(const char *prefix, struct proc_found *found, size_t max);
uint64_t proc_boot_ms(void);                     /* CLOCK_BOOTTIME: runs in suspend, and no one sets it */
