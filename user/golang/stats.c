/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* runtime/mstats.go (readmemstats_m) and mgcpacer.go (heapGoalInternal). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "golang/snapshot.h"
#include "model/sizeclass.h"

#define MIB        (1ull << 20)
#define MIN_RUNWAY (64ull << 10)
#define HEADROOM   MIB /* memoryLimitMinHeapGoalHeadroom */
#define PERCENT    3   /* memoryLimitHeapGoalHeadroomPercent */
#define BY_SIZE    61
#define NEVER      UINT64_MAX

static const uint16_t sizes[MT_GO_SIZES] = {
	0,     8,     16,    24,    32,    48,    64,    80,    96,    112,   128,   144,
	160,   176,   192,   208,   224,   240,   256,   288,   320,   352,   384,   416,
	448,   480,   512,   576,   640,   704,   768,   896,   1024,  1152,  1280,  1408,
	1536,  1792,  2048,  2304,  2688,  3072,  3200,  3456,  4096,  4864,  5376,  6144,
	6528,  6784,  6912,  8192,  9472,  9728,  10240, 10880, 12288, 13568, 14336, 16384,
	18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
};

uint64_t mt_go_size(unsigned int i)
{
	return sizes[i];
}

struct sums {
	uint64_t alloc, allocs; /* bytes, objects */
	uint64_t free, frees;
};

static struct sums sum(const struct mt_go_delta *d)
{
	struct sums s = {d->large_alloc, d->large_allocs, d->large_free, d->large_frees};

	for (unsigned int i = 0; i < MT_GO_SIZES; i++) {
		s.alloc += d->small_allocs[i] * sizes[i];
		s.allocs += d->small_allocs[i];
		s.free += d->small_frees[i] * sizes[i];
		s.frees += d->small_frees[i];
	}
	return s;
}

/* Everything that the runtime has mapped: MemStats.Sys. */
static uint64_t mapped(const struct mt_go_globals *g)
{
	const struct mt_go_sys *s = &g->sys;

	return g->gc.heap_in_use + g->gc.heap_free + g->gc.heap_released + s->stacks + s->mspan +
	       s->mcache + s->buckhash + s->gc_misc + s->other + g->heap.in_stacks +
	       g->heap.in_work_bufs + g->heap.in_ptr_scalar_bits;
}

struct identity {
	const char *what;
	uint64_t have, want;
};

int mt_go_identities(const struct mt_go_globals *g, char *why)
{
	const struct mt_go_delta *h = &g->heap;
	const struct mt_go_pacer *c = &g->gc;
	const struct sums s = sum(h);
	const uint64_t retained =
		h->committed - h->in_stacks - h->in_work_bufs - h->in_ptr_scalar_bits;
	const uint64_t last = g->sys.pause_end[(g->sys.num_gc - 1) % MT_GO_PAUSES];
	const struct identity all[] = {
		{"heapInUse", c->heap_in_use, h->in_heap},
		{"heapReleased", c->heap_released, h->released},
		{"heapInUse + heapFree", c->heap_in_use + c->heap_free, retained},
		{"totalAlloc", c->total_alloc, s.alloc},
		{"totalFree", c->total_free, s.free},
		{"mappedReady", c->mapped_ready, mapped(g) - h->released},
		{"last_gc_unix", g->sys.last_gc, g->sys.num_gc ? last : g->sys.last_gc},
		{"heapStats.noPLock", g->no_plock, 0},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].have == all[i].want)
			continue;
		snprintf(why, MT_WHY_SIZE,
			 "the runtime's %s is %" PRIu64 " where its other statistics have %" PRIu64,
			 all[i].what, all[i].have, all[i].want);
		return -EAGAIN;
	}
	return 0;
}

bool mt_go_same(const struct mt_go_globals *a, const struct mt_go_globals *b)
{
	return !memcmp(&a->heap, &b->heap, sizeof(a->heap)) &&
	       !memcmp(&a->gc, &b->gc, sizeof(a->gc)) && a->sys.num_gc == b->sys.num_gc &&
	       a->sweepgen == b->sweepgen && a->gcphase == b->gcphase;
}

/* memoryLimitHeapGoal. Headroom: a fixed one before 1.21. */
static uint64_t limit_goal(const struct mt_go_pacer *c, int minor)
{
	uint64_t live = c->total_alloc - c->total_free, taken = c->heap_free + live;
	uint64_t other = c->mapped_ready > taken ? c->mapped_ready - taken : 0;
	uint64_t over = c->mapped_ready > c->memory_limit ? c->mapped_ready - c->memory_limit : 0;
	uint64_t goal, headroom;

	if (other + over >= c->memory_limit)
		return c->heap_marked;
	goal = c->memory_limit - (other + over);
	headroom = !minor || minor >= MT_GO_PERCENT_MINOR ? goal / 100 * PERCENT : HEADROOM;
	if (headroom < HEADROOM)
		headroom = HEADROOM;
	goal = goal < headroom || goal - headroom < headroom ? headroom : goal - headroom;
	return goal < c->heap_marked ? c->heap_marked : goal;
}

static uint64_t heap_goal(const struct mt_go_pacer *c, int minor)
{
	uint64_t goal = c->percent_goal, limit = limit_goal(c, minor);

	if (limit < goal)
		return limit;
	if (c->sweep_trigger > goal)
		goal = c->sweep_trigger;
	if (c->triggered != NEVER && goal < c->triggered + MIN_RUNWAY)
		goal = c->triggered + MIN_RUNWAY;
	return goal;
}

/* The globals as they would be with the caches flushed. */
static void flush(struct mt_go_globals *g, const struct mt_go_flush *f)
{
	for (unsigned int i = 0; i < MT_GO_SIZES; i++) {
		g->heap.small_allocs[i] += f->allocs[i];
		g->heap.small_frees[i] += f->frees[i];
		g->gc.total_alloc += f->allocs[i] * sizes[i];
		g->gc.total_free += f->frees[i] * sizes[i];
	}
	g->heap.tiny_allocs += f->tiny_allocs;
	g->heap.in_heap -= f->idle_bytes;
	g->heap.in_stacks -= f->stack_bytes;
	g->gc.heap_in_use -= f->idle_bytes;
	g->gc.heap_free += f->idle_bytes + f->stack_bytes;
}

static void fill_counts(const struct mt_go_delta *d, struct mt_go_stats *ret)
{
	struct memtrace_memstats *m = &ret->m;
	const struct sums s = sum(d);

	m->total_alloc = s.alloc;
	m->alloc = m->heap_alloc = s.alloc - s.free;
	/* A tiny allocation is part of an object that is counted too, and has no end. */
	m->mallocs = s.allocs + d->tiny_allocs;
	m->frees = s.frees + d->tiny_allocs;
	m->heap_objects = m->mallocs - m->frees;
	for (unsigned int i = 0; i < MT_GO_SIZES; i++) {
		struct mt_class_counts *c = &ret->cls[mt_class_of(sizes[i])];

		c->mallocs += d->small_allocs[i];
		c->frees += d->small_frees[i];
		c->alloc_bytes += d->small_allocs[i] * sizes[i];
		c->free_bytes += d->small_frees[i] * sizes[i];
		if (i >= BY_SIZE)
			continue;
		m->by_size[i].size = sizes[i];
		m->by_size[i].mallocs = d->small_allocs[i];
		m->by_size[i].frees = d->small_frees[i];
	}
	ret->unsized = (struct mt_class_counts){d->large_allocs, d->large_frees, d->large_alloc,
						d->large_free};
}

static void fill_levels(const struct mt_go_globals *g, struct memtrace_memstats *m)
{
	m->sys = mapped(g);
	m->heap_inuse = g->gc.heap_in_use;
	m->heap_idle = g->gc.heap_free + g->gc.heap_released;
	m->heap_sys = m->heap_inuse + m->heap_idle;
	m->heap_released = g->gc.heap_released;
	m->stack_inuse = g->heap.in_stacks;
	m->stack_sys = g->heap.in_stacks + g->sys.stacks;
	m->mspan_inuse = g->span_inuse;
	m->mspan_sys = g->sys.mspan;
	m->mcache_inuse = g->cache_inuse;
	m->mcache_sys = g->sys.mcache;
	m->buck_hash_sys = g->sys.buckhash;
	m->gc_sys = g->sys.gc_misc + g->heap.in_work_bufs + g->heap.in_ptr_scalar_bits;
	m->other_sys = g->sys.other;
}

static void fill_gc(const struct mt_go_globals *g, int minor, struct memtrace_memstats *m)
{
	m->next_gc = heap_goal(&g->gc, minor);
	m->last_gc = g->sys.last_gc;
	m->pause_total_ns = g->sys.pause_total_ns;
	memcpy(m->pause_ns, g->sys.pause_ns, sizeof(m->pause_ns));
	memcpy(m->pause_end, g->sys.pause_end, sizeof(m->pause_end));
	m->num_gc = g->sys.num_gc;
	m->num_forced_gc = g->sys.num_forced;
	m->gc_cpu_fraction = g->sys.cpu_fraction;
	m->enable_gc = true; /* as readmemstats_m has it: GOGC=off, too */
}

void mt_go_fill(const struct mt_go_globals *g, const struct mt_go_flush *f, int minor,
		struct mt_go_stats *ret)
{
	struct mt_go_globals flushed = *g;

	memset(&ret->m, 0, sizeof(ret->m));
	memset(ret->cls, 0, sizeof(ret->cls));
	flush(&flushed, f);
	fill_counts(&flushed.heap, ret);
	fill_levels(&flushed, &ret->m);
	fill_gc(&flushed, minor, &ret->m);
}
