/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Many processes as one snapshot, and the order in which they are shown. */
#ifndef MT_MODEL_TOTAL_H
#define MT_MODEL_TOTAL_H

#include "model/snapshot.h"

/* What was added so far; all 0 is nothing. */
struct mt_total {
	struct mt_snapshot sum; /* its memstats are not filled */
	struct memtrace_memstats
		levels; /* Sys and its parts, which each process's census knows best */
};

/*
 * Adds the last snapshot of a process, or a total. Levels of a process that has
 * ended are those at its end.
 */
void mt_total_add(struct mt_total *t, const struct mt_snapshot *s);

/*
 * The total as a snapshot: pid 0, comm "total", processes set, flows, losses and
 * address space summed, memstats derived from these, and Sys's parts the sums of
 * what each process shows. Names that are not the same in all are empty, and
 * static texts "mixed"; the allocators are listed. It counts from the weakest
 * of what the processes count from, and has neither census nor audit. vm.rss and
 * vm.shared count a page once for each process that maps it; vm.cgroup_current is
 * that of the one cgroup, or 0 where there are several.
 */
void mt_total_snapshot(const struct mt_total *t, struct mt_snapshot *ret);

/* The same of n snapshots at once. */
void mt_snapshot_total(const struct mt_snapshot *const *v, size_t n, struct mt_snapshot *ret);

/* By Alloc, the largest first, then by pid; totals come last. */
void mt_snapshot_sort(const struct mt_snapshot **v, size_t n);

#endif
