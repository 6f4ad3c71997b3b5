/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which snapshots of a file are compared. Those of one moment stand together, one of
 * each process; a process that is there again, a pause in time or a total begins the
 * next. Totals, which are sums of the others, are left out.
 */
#ifndef MT_SAVED_MOMENTS_H
#define MT_SAVED_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "model/diff.h"

/* What else was in the file. */
struct mt_saved_seen {
	size_t snapshots; /* totals not counted */
	size_t moments;
	size_t between; /* mt_saved_ends: processes that were in neither end */
	size_t pairs;   /* mt_saved_ends: processes that have more than one snapshot */
	size_t later;   /* mt_saved_ends: processes whose heap was read only after their first */
	size_t totals;
};

/*
 * The moment in which the highest seq is *seq, or the last one of seq NULL. All
 * return 0 or -errno, logged: -ENOENT there is none, -EEXIST several are.
 */
int mt_saved_moment(const char *path, const uint64_t *seq, struct mt_moment *ret,
		    struct mt_saved_seen *seen);

/*
 * The first and the last snapshot of each process that is in the first moment or in
 * the last. A process with one snapshot alone is in old, if that is the first
 * moment, else in new. Where a process was counted from the attach until its heap
 * was read, the first from then on counts as its first.
 */
int mt_saved_ends(const char *path, struct mt_moment *old, struct mt_moment *new,
		  struct mt_saved_seen *seen);

#endif
