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
	char comm[32];
	char task[600]; /* the task directory */
};

uint64_t proc_starttime(pid_t pid);              /* in ticks since boot; 0: no such process */
void proc_boot_id(char out[64]);                 /* "unknown" if it cannot be read */
size_t proc_group_alive(pid_t pgid);             /* members that are no zombies */
/* Processes whose mark begins with prefix: a task directory, or a state directory and '/'. Returns how many there are, at most max stored. */
size_t proc_marked(const char *prefix, struct proc_found *found, size_t max);
uint64_t proc_boot_ms(void);                     /* CLOCK_BOOTTIME: runs in suspend, and no one sets it */
