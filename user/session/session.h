/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state machine with the kernel in it: loads the programs, attaches them,
 * reads the maps, follows the processes. It prints nothing and has no loop:
 * an fd to wait on and a function to call when it is readable.
 */
#ifndef MT_SESSION_SESSION_H
#define MT_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/alloc.h"
#include "model/snapshot.h"
#include "sys/vm.h"

struct mt_session;

struct mt_session_opts {
	size_t max_targets; /* room in the maps; 0: 1, or 16384 where others come by themselves */
	bool follow;        /* children of the targets are targets */
	bool all;           /* every process is */
	bool perf_uprobes;  /* perf-event uprobes even where multi links exist */
	bool no_sleepable;  /* as a kernel without sleepable uprobe programs */
	uint64_t smaps_ns;  /* how old a full smaps reading may be; 0: 10 s */
	bool no_census;     /* levels of running processes count from the attach */
	/* Live blocks of allocators whose block sizes are unknown, of all targets; 0: 1048576 */
	size_t max_blocks;
	/* The longest that a census, or an allocator that is new here, may hold a target; 0: 250 ms
	 */
	uint64_t max_stop_ns;
	bool func;   /* the calls of a function will be measured: session/func.h */
	bool freeze; /* a Go program is held while its numbers are read; see mt_session_freeze */
	bool marks;  /* marks may be waited for (marks.h) */
	bool oom;    /* OOM victims are told of (marks.h) */
};

/*
 * Forks one child, which holds the probes (keeper.h) and is reaped by
 * mt_session_free. 0 or -errno, with one line logged.
 */
int mt_session_new(const struct mt_session_opts *opts, struct mt_session **ret);
void mt_session_free(struct mt_session **s);

/*
 * Attaches to a running process. MT_SINCE_START: it is held before its first
 * allocation; MT_SINCE_ATTACH: a census makes it MT_SINCE_CENSUS, where it can
 * be taken. 0 or -errno, with one line logged.
 */
int mt_session_add(struct mt_session *s, pid_t pid, enum mt_since since);

/*
 * The same for processes that were chosen by what they are: those that cannot be
 * traced, or have ended, are left out, which is logged as information. -ESRCH: all.
 */
int mt_session_add_chosen(struct mt_session *s, const pid_t *pids, size_t n);

/*
 * Attaches to every process that runs, but those that memtrace may not or cannot
 * trace. Those that come later are followed. Censuses are taken one by one in
 * mt_session_service. 0 or -errno, with one line logged.
 */
int mt_session_add_all(struct mt_session *s);

/* Readable when mt_session_service has something to do. Owned by the session. */
int mt_session_fd(const struct mt_session *s);
/* Follows forks, execs, exits and new files. Targets may be added, at the end. 0 or -errno. */
int mt_session_service(struct mt_session *s);

/* Which target a pid is. -ESRCH: none. */
int mt_session_find(const struct mt_session *s, pid_t pid, size_t *i);
size_t mt_session_count(const struct mt_session *s); /* targets added */
size_t mt_session_alive(const struct mt_session *s); /* of these, not ended */

/*
 * Takes a snapshot of target i (in the order added). depth says what the caller
 * will show of the address space; MT_VM_PARTS reads smaps besides when the last
 * such reading is older than smaps_ns. The snapshot of an ended target stays
 * readable. The caller frees *ret.
 */
int mt_session_snapshot(struct mt_session *s, size_t i, enum mt_vm_depth depth,
			struct mt_snapshot **ret);
/* From now on Go programs are held while their numbers are read, or no more. */
void mt_session_freeze(struct mt_session *s, bool freeze);
/*
 * Takes a census of target i and compares it with the counted levels: what
 * came of it is in the next snapshot. 0 or -errno: an audit that could not be
 * made is none, with the reason in the snapshot.
 */
int mt_session_audit(struct mt_session *s, size_t i);
/* What the census at the attach came to. Owned by the session. */
const struct mt_census *mt_session_census(const struct mt_session *s, size_t i);
/* Drops the targets that have ended and whose snapshot was taken since; others move up. */
void mt_session_forget_ended(struct mt_session *s);
/* When target i ended, CLOCK_MONOTONIC ns; 0: it has not. */
uint64_t mt_session_ended(const struct mt_session *s, size_t i);

/* "uprobe_multi" or "perf events". */
const char *mt_session_method(const struct mt_session *s);

#endif
