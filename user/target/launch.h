/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Launching COMMAND: it is held after its exec until the dynamic loader has
 * mapped its libraries and run none of their code, so that the probes stand
 * before the first allocation.
 */
#ifndef MT_TARGET_LAUNCH_H
#define MT_TARGET_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* What memtrace found of those that it changes: a command is to find the same. */
struct mt_launch_signals {
	sigset_t mask;
	struct sigaction pipe, xfsz;
};

void mt_launch_signals(struct mt_launch_signals *ret);

/*
 * Starts argv (searched in PATH) with memtrace's standard streams, as
 * SUDO_UID/SUDO_GID where memtrace is root under sudo, and holds it. Signal
 * dispositions and mask pass on as they were, or, where found is NULL, are. *pid is
 * the child. 0, or -errno with one line logged; *status is then 126 or 127 as
 * a shell has it (found but not executable, not found), else 1.
 */
int mt_launch_start(char *const argv[], const struct mt_launch_signals *found, pid_t *pid,
		    int *status);

/* True if a command's user will be another than memtrace's: it takes capabilities. */
bool mt_launch_changes_user(void);

/* Lets the held child go. 0 or -errno. */
int mt_launch_go(pid_t pid);

/* Kills the held child, which has run nothing, and reaps it. */
void mt_launch_abort(pid_t pid);

#endif
