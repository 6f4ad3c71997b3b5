/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that divide a target's memory share. */
#ifndef MT_SYS_VM_INTERNAL_H
#define MT_SYS_VM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/vm.h"

enum mt_vm_kind { MT_VM_ANON, MT_VM_HEAP, MT_VM_STACK };

/* The area that holds addr, or NULL. */
const struct mt_vm_area *mt_vm_areas_find(const struct mt_vm_areas *areas, uint64_t addr);
/* The end of the run of neighbouring anonymous areas that *i begins; *i becomes its last. */
uint64_t mt_vm_areas_run(const struct mt_vm_areas *areas, size_t *i);

/* Page edges; bit 0 of lo says that the segment holds blocks and arenas, else none. */
struct mt_vm_seg {
	uint64_t lo, hi;
};

#define MT_VM_SEG_ITEMS 1ull

struct mt_vm_segs {
	struct mt_vm_seg *v; /* sorted, never overlapping */
	size_t n, cap;
};

struct mt_vm_cache {
	struct mt_vm_segs old, now; /* of the last classification, of this one */
	size_t at;                  /* in old: none before it reaches what is asked for */
	uint64_t cursor;            /* memory below it has been looked at again */
	bool known;                 /* there was a reading before this one */
	unsigned int fresh, again;  /* pages left to look at, for the first time and again */
};

static inline uint64_t mt_vm_seg_lo(const struct mt_vm_seg *s)
{
	return s->lo & ~MT_VM_SEG_ITEMS;
}

static inline bool mt_vm_seg_items(const struct mt_vm_seg *s)
{
	return s->lo & MT_VM_SEG_ITEMS;
}

/* Notes what [lo, hi) holds; ascending. What does not fit is forgotten: it costs pages again. */
void mt_vm_cache_note(struct mt_vm_cache *c, uint64_t lo, uint64_t hi, bool items);
/* The first segment of old that ends behind addr, ascending, or NULL. */
const struct mt_vm_seg *mt_vm_cache_find(struct mt_vm_cache *c, uint64_t addr);
/* One classification begins, or has ended: then what it noted is what the next one finds. */
void mt_vm_cache_start(struct mt_vm_cache *c);
void mt_vm_cache_finish(struct mt_vm_cache *c);

#endif
