/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the musl walker share. Layouts: src/malloc/mallocng/meta.h, x86-64. */
#ifndef MT_CENSUS_MUSL_INTERNAL_H
#define MT_CENSUS_MUSL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "census/walker.h"

#define MT_MUSL_UNIT       16u
#define MT_MUSL_CLASSES    48u
#define MT_MUSL_AREA_SLOTS 101
#define MT_MUSL_WINDOW     (64u << 10)

/* Sizes of slots in units of 16 bytes, malloc.c. */
extern const uint16_t mt_musl_slot_units[MT_MUSL_CLASSES];

/* struct malloc_context, as far as it is needed. */
struct mt_musl_context {
	uint64_t secret;
	int32_t init_done;
	uint32_t mmap_counter;
	uint64_t free_meta_head, avail_meta, avail_meta_count, avail_area_count, alloc_shift;
	uint64_t area_head, area_tail, avail_areas;
	uint64_t active[MT_MUSL_CLASSES];
	uint64_t usage[MT_MUSL_CLASSES]; /* slots in groups that can be given back */
};

struct mt_musl_meta {
	uint64_t prev, next, mem;
	uint32_t avail, freed;
	uint64_t bits; /* last_idx:5, freeable:1, sizeclass:6, maplen:52 */
};

struct mt_musl_meta_area {
	uint64_t check, next;
	int32_t nslots, pad;
	struct mt_musl_meta slots[MT_MUSL_AREA_SLOTS];
};

_Static_assert(sizeof(struct mt_musl_context) == 848, "context");
_Static_assert(sizeof(struct mt_musl_meta) == 40, "meta");
_Static_assert(sizeof(struct mt_musl_meta_area) == 4064, "meta_area");

struct mt_musl_run {
	uint64_t start, end;
};

/* A set of addresses: two that are equal have the same count and sum. */
struct mt_musl_tally {
	uint64_t n, sum;
};

struct mt_musl_walk {
	const struct mt_image *img;
	struct mt_heap *heap;
	struct mt_heap_arena *arena;
	struct mt_musl_context ctx;
	struct mt_musl_run *runs; /* the areas, neighbours joined */
	size_t n_runs;
	uint64_t room; /* bytes of all areas */
	struct mt_musl_tally nested_slots, nested_groups;
	uint64_t usage[MT_MUSL_CLASSES];
	/* What was read last. */
	uint64_t at;
	size_t have, ahead;
	uint8_t *window;
};

/* True if all n bytes at addr are private writable memory. */
bool mt_musl_covered(const struct mt_musl_walk *w, uint64_t addr, uint64_t n);
/* Counts the group whose descriptor m stands at addr in the target. 0, -EAGAIN, -ETIME. */
int mt_musl_walk_group(struct mt_musl_walk *w, uint64_t addr, const struct mt_musl_meta *m);

#endif
