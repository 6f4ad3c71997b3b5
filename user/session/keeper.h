/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A child process that holds the probes. The kernel writes to the target's text
 * when a probe comes and goes, and gives up half-way when the process that asked
 * for it is being killed ("failed to unregister, leaking uprobe"). So nobody
 * asks who is likely to be killed: a kill -9 of memtrace ends the keeper's
 * socket, and the keeper takes the probes away in peace.
 */
#ifndef MT_SESSION_KEEPER_H
#define MT_SESSION_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

struct mt_links_plan;
struct mt_progs;
struct mt_alloc_found;

struct mt_keeper {
	pid_t pid; /* 0: not started */
	int fd;    /* readable when the keeper is gone, which ends all probes */
};

/* Forks the keeper. 0 or -errno, logged. */
int mt_keeper_start(struct mt_keeper *k, const struct mt_progs *p);
/*
 * Attaches found's probes to the process, -1: to all, as those of a file id. fd:
 * the file that found was read from. 0 or -errno.
 */
int mt_keeper_attach(struct mt_keeper *k, uint32_t file_id, pid_t pid, int fd,
		     const struct mt_alloc_found *found);
/* The same with any probes, as they stand in the plan. */
int mt_keeper_attach_plan(struct mt_keeper *k, uint32_t file_id, pid_t pid, int fd,
			  const struct mt_links_plan *plan);
/* Takes them away again, some time soon. */
void mt_keeper_detach(struct mt_keeper *k, uint32_t file_id);
/* Ends the keeper and waits until the last probe is gone. */
void mt_keeper_stop(struct mt_keeper *k);

#endif
