/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Many processes as one snapshot, and the order in which they are shown. */
#ifndef MT_MODEL_TOTAL_H
#define MT_MODEL_TOTAL_H

#include "model/snapshot.h"

/* Several MemStats, summed as far as sums say something. */
struct mt_sums {
	struct memtrace_memstats m; /* its Alloc, HeapAlloc and HeapObjects are not filled */
	int64_t objects, bytes;     /* live, signed: frees of older blocks count against others' */
};

/* What was added so far; all 0 is nothing. */
struct mt_total {
	struct mt_snapshot sum; /* its memstats are not filled, nor are those of native */
	struct mt_sums memstats, native;
};

/*
 * Adds the last snapshot of a process, or a total. Levels of a process that has
 * ended are those at its end.
 */
void mt_total_add(struct mt_total *t, const struct mt_snapshot *s);

/*
 * The total as a snapshot: pid 0, comm "total", processes set, flows, losses and
 * address space summed. Names that are not the same in all are empty, and texts
 * "mixed"; runtimes and allocators are listed. It counts from the weakest of what
 * the processes count from, and has neither census nor audit. vm.rss and vm.shared
 * count a page once for each process that maps it; vm.cgroup_current is that of the
 * one cgroup, or 0 where there are several.
 *
 * Each number of memstats is the sum of what the processes show, NumGC, NumForcedGC,
 * PauseTotalNs and NextGC too; but Alloc, HeapAlloc and HeapObjects come from the
 * signed levels, and stop at 0 only then. LastGC is the latest, EnableGC says that
 * one of them has a collector, GCCPUFraction and the rings of pauses are 0: of
 * several processes these say nothing. The C memory of Go programs is in native,
 * summed in the same way, and not in memstats. gc is present if one has it, and
 * consistent if all that have it are; why is the first one's, stop_ns the longest,
 * missed the sum.
 */
void mt_total_snapshot(const struct mt_total *t, struct mt_snapshot *ret);

/* The same of n snapshots at once. */
void mt_snapshot_total(const struct mt_snapshot *const *v, size_t n, struct mt_snapshot *ret);

/* By Alloc, the largest first, then by pid; totals come last. */
void mt_snapshot_sort(const struct mt_snapshot **v, size_t n);

#endif
