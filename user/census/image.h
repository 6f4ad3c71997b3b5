/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The image of a live process: its mappings and threads as they are at one moment. */
#ifndef MT_CENSUS_IMAGE_H
#define MT_CENSUS_IMAGE_H

#include <sys/types.h>

#include "alloc/alloc.h"
#include "census/walker.h"

struct mt_image_process {
	struct mt_image img; /* good until the next reading */
	struct mt_mem_process mem;
	struct mt_image_ranges idle;
	struct mt_image_area *areas;
	uint64_t *robust;
	size_t n_areas, cap_areas;
};

/* Opens the process's memory; every field but why stays the caller's to read. */
void mt_image_open(struct mt_image_process *ip, pid_t pid, char *why);
/*
 * Reads its mappings and threads anew. 0 or -errno; -ESRCH: gone.
 */
int mt_image_read(struct mt_image_process *ip, pid_t pid, const struct mt_alloc_owner *owner);
void mt_image_close(struct mt_image_process *ip);
/* Resident or swapped bytes of the idle ranges, extended to all of idle. */
uint64_t mt_image_idle_resident(const struct mt_image_process *ip, uint64_t idle);

#endif
