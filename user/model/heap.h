/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live heap of a process at one moment, as a census found it: plain values. */
#ifndef MT_MODEL_HEAP_H
#define MT_MODEL_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

/*
 * One arena, in bytes with the blocks' headers: system is the sum of the six
 * behind it.
 */
struct mt_heap_arena {
	uint64_t address; /* in the target, of the allocator's struct */
	uint64_t system;  /* taken from the system */
	uint64_t in_use;  /* live blocks */
	uint64_t free;    /* free blocks */
	uint64_t top;     /* free, at the end, from which new blocks are cut */
	uint64_t cached;  /* freed, in threads' caches (tcache) */
	uint64_t fast;    /* freed, in fastbins */
	uint64_t other;   /* the allocator's own: headers of heaps, cache structs, fences, gaps */
	uint64_t objects; /* live blocks */
};

struct mt_heap_class {
	uint64_t objects;
	uint64_t bytes; /* usable */
};

struct mt_heap {
	struct mt_heap_class cls[MT_CLASSES]; /* live blocks, those with their own mapping too */
	uint64_t objects, bytes;              /* their sums */
	uint64_t mapped_objects;              /* live blocks that have a mapping of their own */
	uint64_t mapped_system;               /* bytes of these mappings */
	uint64_t idle;                        /* bytes of whole pages in which nothing is in use */
	uint64_t idle_resident;               /* of these, resident or swapped */
	uint64_t unused;      /* bytes in use that are neither; set by the session */
	uint64_t span_bytes;  /* headers of arenas and heaps, outside of blocks */
	uint64_t cache_bytes; /* the threads' cache structs */
	struct mt_heap_arena *arenas;
	size_t n_arenas;
};

#define MT_WHY_SIZE 160 /* of a reason */

/* What came of looking at the heap that existed before the counting began. */
enum mt_baseline {
	MT_BASELINE_NONE,    /* nobody looked: there was none, or --no-census */
	MT_BASELINE_CENSUS,  /* heap holds it */
	MT_BASELINE_UNKNOWN, /* why says why; heap is all 0 */
};

struct mt_census {
	enum mt_baseline baseline;
	char why[MT_WHY_SIZE]; /* of an unknown baseline, one sentence without a full stop */
	char allocator[64];    /* whose heap: "glibc 2.36" */
	uint64_t time_ns;      /* CLOCK_REALTIME of the moment */
	uint64_t stop_ns;      /* how long the target was held in the last attempt */
	uint64_t held_ns;      /* in all attempts together */
	uint64_t walk_ns;      /* of stop_ns, the walk */
	unsigned int attempts; /* times that it was held */
	unsigned int threads,
		held; /* threads of the target; those that were held, not left asleep */
	struct mt_heap heap;
};

/* What a second census found beside the counted level: census minus count. */
struct mt_audit {
	enum mt_baseline done; /* NONE: not asked for; UNKNOWN: why says why there was none */
	char why[MT_WHY_SIZE];
	int64_t objects, bytes;
	struct {
		int64_t objects, bytes;
	} cls[MT_CLASSES];
};

/* True if it was made and any class differs. */
bool mt_audit_drifted(const struct mt_audit *a);

/* Frees what c owns and empties it. */
void mt_census_fini(struct mt_census *c);

#endif
