/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A clock's time as one number. */
#ifndef MT_BASE_CLOCK_H
#define MT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MT_SECOND_NS 1000000000u

/* The time of a CLOCK_* in ns. */
static inline uint64_t mt_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * MT_SECOND_NS + (uint64_t)t.tv_nsec;
}

#endif
