/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In which order the dynamic linker searches a process's files for a symbol. */
#ifndef MT_ALLOC_ORDER_H
#define MT_ALLOC_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "sys/mem.h"
#include "sys/procfs.h"

static inline bool mt_mapping_same_file(const struct mt_mapping *a, const struct mt_mapping *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

/* True if the i-th mapping is code of a file that none before it is code of. */
bool mt_mapping_is_first(const struct mt_maps *maps, size_t i);

/*
 * Sorts files (one mapping each) into the order of the linker's list, which it
 * keeps for debuggers (struct r_debug of link.h, glibc and musl); files that
 * the list does not name come last. auxv is what /proc/PID/auxv holds, words
 * many. -ENOENT: there is no such list, or not yet; files is then unchanged, as
 * on any error.
 */
int mt_alloc_order(const struct mt_maps *maps, const struct mt_mem *mem, const uint64_t *auxv,
		   size_t words, const struct mt_mapping **files, size_t n);

#endif
