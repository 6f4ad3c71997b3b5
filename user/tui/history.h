/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The last minutes of one process, in a fixed number of points. */
#ifndef MT_TUI_HISTORY_H
#define MT_TUI_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MT_HISTORY_POINTS 150

/* The last sample in one step of time. */
struct mt_point {
	uint64_t time_ns; /* since the trace began */
	uint64_t alloc, sys;
};

struct mt_history {
	struct mt_point v[MT_HISTORY_POINTS]; /* a ring */
	unsigned int first, n;
};

/*
 * The time of one point: two intervals, so that a late tick leaves none empty,
 * and at least 2 s; 150 points are then five minutes.
 */
uint64_t mt_history_step(uint64_t interval_ns);

/* A point of the step that the newest has is replaced. Time never runs back. */
void mt_history_add(struct mt_history *h, const struct mt_point *p, uint64_t step_ns);
void mt_history_clear(struct mt_history *h);
/* i from 0, the oldest, to n - 1. */
const struct mt_point *mt_history_at(const struct mt_history *h, unsigned int i);
/*
 * How many bytes a minute Alloc grew over the last minute, or what there is of
 * it. False where that is less than 5 s.
 */
bool mt_history_growth(const struct mt_history *h, int64_t *bytes);

#endif
