/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The census: every live block of a running process, by size, from outside.
 * Needs ptrace access to the target, and no other privilege.
 */
#ifndef MT_CENSUS_CENSUS_H
#define MT_CENSUS_CENSUS_H

#include <stdint.h>
#include <sys/types.h>

#include "model/heap.h"

#define MT_CENSUS_MAX_STOP_NS 250000000u /* the default of max_stop_ns */

struct mt_census_opts {
	uint64_t max_stop_ns; /* the longest that all attempts together may hold the target */
	/*
	 * Called in each attempt when the target stands still outside malloc, before
	 * the walk; must not log or wait for the target. Not 0 ends the census.
	 * May be NULL.
	 */
	int (*held)(void *ctx);
	void *ctx;
};

struct mt_census_plan; /* opaque: what is known of a target before it is held */

/*
 * Finds the allocator and its structures while the target runs. The caller
 * frees *ret. 0; -ENOTSUP: no walker for it, or of a kind that cannot be walked;
 * -ESRCH, -EPERM, -EACCES, -ENOMEM, … why (MT_WHY_SIZE bytes) says what.
 */
int mt_census_prepare(pid_t pid, char *why, struct mt_census_plan **ret);
/*
 * Takes it. Always fills *out, which the caller empties by mt_census_fini: a
 * census that could not be made is a baseline unknown, with the reason. 0, or
 * -ESRCH if the target is gone, -ENOMEM, or what held returned.
 */
int mt_census_take(struct mt_census_plan *plan, const struct mt_census_opts *opts,
		   struct mt_census *out);
void mt_census_plan_free(struct mt_census_plan **plan);

#endif
