/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the runtime's memory to MemStats, in two halves. The one reads and decides
 * nothing (walk.c, stacks.c, fetch.c), the other is arithmetic on plain values
 * (decode.c, flush.c, stats.c). Whatever was read is the target's to choose: no
 * value is trusted, every count and address is bounded before it is used.
 */
#ifndef MT_GOLANG_SNAPSHOT_H
#define MT_GOLANG_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "golang/golang.h"
#include "golang/internal.h"
#include "golang/layout.h"
#include "sys/mem.h"

#define MT_GO_SIZES         68 /* the runtime's size classes; 0 is of large objects */
#define MT_GO_CACHED        (2 * MT_GO_SIZES) /* spans of an mcache: with and without pointers */
#define MT_GO_GENS          3                 /* generations of heapStats, which are summed */
#define MT_GO_PS            512
#define MT_GO_PAGE          8192ull
#define MT_GO_ELEMS         1024u /* the most in a span of small objects */
#define MT_GO_PAUSES        256u
#define MT_GO_ORDERS        4  /* sizes of cached stacks */
#define MT_GO_PERCENT_MINOR 21 /* from which the memory limit's headroom is in percent */

/* Bytes of an object of size class i < MT_GO_SIZES: runtime/sizeclasses.go, alike in 1.19 to 1.27.
 */
uint64_t mt_go_size(unsigned int i);

/* heapStatsDelta of runtime/mstats.go, the sum of its generations. */
struct mt_go_delta {
	uint64_t committed, released, in_heap, in_stacks, in_work_bufs, in_ptr_scalar_bits;
	uint64_t tiny_allocs, large_alloc, large_allocs, large_free, large_frees;
	uint64_t small_allocs[MT_GO_SIZES], small_frees[MT_GO_SIZES];
};

/* gcControllerState of runtime/mgcpacer.go. */
struct mt_go_pacer {
	uint64_t heap_in_use, heap_free, heap_released, total_alloc, total_free, mapped_ready;
	uint64_t percent_goal, sweep_trigger, triggered, memory_limit, heap_marked;
};

/* mstats of runtime/mstats.go, besides heapStats. */
struct mt_go_sys {
	uint64_t stacks, mspan, mcache, buckhash, gc_misc, other;
	uint64_t last_gc, pause_total_ns;
	uint64_t pause_ns[MT_GO_PAUSES], pause_end[MT_GO_PAUSES];
	uint32_t num_gc, num_forced;
	double cpu_fraction;
	bool enabled; /* the collector: the runtime is initialised */
};

/* The runtime's global variables at one moment. */
struct mt_go_globals {
	struct mt_go_delta heap;
	struct mt_go_pacer gc;
	struct mt_go_sys sys;
	uint64_t no_plock; /* key of the lock of writers without a P; 0: free */
	uint64_t span_inuse, cache_inuse;
	uint32_t sweepgen, gcphase;
};

struct mt_go_span {
	uint64_t start, npages, elemsize, mark_bits;
	uint32_t sweepgen;
	uint16_t nelems, allocated, allocated_before; /* objects; before it was cached */
	uint8_t spanclass;
};

/* What ReadMemStats would move from the Ps' caches into the globals. */
struct mt_go_flush {
	uint64_t allocs[MT_GO_SIZES], frees[MT_GO_SIZES]; /* objects */
	uint64_t tiny_allocs;
	uint64_t idle_bytes;  /* of heap spans in which nothing is left */
	uint64_t stack_bytes; /* of stack spans all of whose stacks are cached */
	unsigned int stale;   /* spans that wait to be swept */
};

/* decode.c */

/*
 * True if every member lies within its struct and no struct is larger than any
 * version's could be. All else below relies on it.
 */
bool mt_go_layout_sound(const struct mt_go_layout *l);
/* memstats: l->mstats_size bytes; gc: l->gc_size. Fills all but span_inuse, cache_inuse, sweepgen,
 * gcphase. */
void mt_go_decode_globals(const struct mt_go_layout *l, const uint8_t *memstats, const uint8_t *gc,
			  struct mt_go_globals *ret);
/* span: l->mspan_size bytes. */
void mt_go_decode_span(const struct mt_go_layout *l, const uint8_t *span, struct mt_go_span *ret);

/* flush.c */

enum mt_go_cached {
	MT_GO_SPAN_NONE,   /* none is cached there */
	MT_GO_SPAN_CACHED, /* counts */
	MT_GO_SPAN_STALE,  /* cached since before the collection: counts, and is to be swept */
	MT_GO_SPAN_MOVING, /* on its way in or out at this very moment: try again */
	MT_GO_SPAN_WRONG,  /* no span of this class */
};

/* What the span that stands in mcache.alloc[i] is. */
enum mt_go_cached mt_go_span_kind(const struct mt_go_span *s, unsigned int i, uint32_t sweepgen);
/* Adds a span of MT_GO_SPAN_CACHED or _STALE; marks has nelems bits, of a stale one only. */
void mt_go_flush_span(struct mt_go_flush *f, const struct mt_go_span *s, unsigned int i,
		      const uint8_t *marks);
/* Where the span keeps mark bits besides mark_bits, and how many bytes; 0: it does not. */
size_t mt_go_inline_marks(const struct mt_go_span *s, bool green_tea, uint64_t *addr);

/* stats.c */

/*
 * What the runtime itself checks of its statistics when it is tested. 0; -EAGAIN:
 * somebody is writing them, or these are none; why (MT_WHY_SIZE) says what differs.
 */
int mt_go_identities(const struct mt_go_globals *g, char *why);
/* True if nothing that is flushed from caches has been, and no memory has moved, from a to b. */
bool mt_go_same(const struct mt_go_globals *a, const struct mt_go_globals *b);
/* runtime.readmemstats_m. minor: of go1.minor, 0 the newest known. Sets m, cls and unsized. */
void mt_go_fill(const struct mt_go_globals *g, const struct mt_go_flush *f, int minor,
		struct mt_go_stats *ret);

/* fetch.c */

struct mt_go_want {
	uint64_t addr;
	void *to;
	uint32_t n;  /* bytes, at most a page */
	bool failed; /* out: it could not be read; to is all zero then */
};

/* Reads them all, neighbours at once; v is sorted by address. How many failed. */
size_t mt_go_fetch(const struct mt_mem *mem, struct mt_go_want *v, size_t n);

/* walk.c */

struct mt_go_source {
	const struct mt_mem *mem;
	const struct mt_go_vars *vars; /* addresses in mem */
	const struct mt_go_layout *layout;
	bool green_tea;
};

#define MT_GO_BATCH 1024u /* pieces that are read at once; no fewer than MT_GO_PS */

/* What was read at one moment, as near as may be, and the buffers for it. */
struct mt_go_walk {
	struct mt_go_source src;
	struct mt_go_globals globals;
	struct mt_go_flush flush;
	size_t n_ps, n_mcaches;
	int result;
	bool wrong; /* not only did something change: something is not as the runtime has it */
	char *why;  /* MT_WHY_SIZE bytes: of the result, the first reason */

	uint64_t mcache_at[MT_GO_PS];
	uint8_t *mcaches; /* n_mcaches of the layout's size */
	size_t cap_mcaches;
	uint8_t *memstats, *gc, *spans; /* spans: MT_GO_BATCH of the layout's size */
	struct mt_go_want want[4 * MT_GO_BATCH];
};

/*
 * Allocates the buffers. src is copied, what it points to must outlive *ret. -ENOTSUP:
 * the layout is not sound; -ENOMEM. The caller frees *ret.
 */
int mt_go_walk_new(const struct mt_go_source *src, struct mt_go_walk **ret);
void mt_go_walk_free(struct mt_go_walk **w);
/*
 * Reads anew. 0: all of one moment; -EAGAIN: not, why (MT_WHY_SIZE) says how that
 * shows, the values are what there was, as complete as it could be read; -EFAULT:
 * the globals cannot be read; -ENODATA: the runtime has not been initialised;
 * -ERANGE: it has more than MT_GO_PS Ps.
 */
int mt_go_walk(struct mt_go_walk *w, char *why);
/* Something has changed meanwhile: keeps the reason if it is the first. */
__attribute__((format(printf, 2, 3))) void mt_go_moved(struct mt_go_walk *w, const char *fmt, ...);
/* Something cannot be read or is not what it should be, which goes before what has moved. */
__attribute__((format(printf, 2, 3))) void mt_go_wrong(struct mt_go_walk *w, const char *fmt, ...);

/* stacks.c */

/* Of what is cached in the mcaches that were read, adds to flush.stack_bytes. */
void mt_go_walk_stacks(struct mt_go_walk *w);

#endif
