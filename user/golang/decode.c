/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "golang/snapshot.h"

/* A layout may come from the target's DWARF. No version's struct is as large. */
#define STRUCT_MAX (64 << 10)
#define FAR_MAX    (16 << 20) /* members that are read by themselves */
#define SPAN_MAX   1024

struct bound {
	size_t member; /* of struct mt_go_layout */
	int32_t width; /* bytes that are read there */
	size_t size;   /* of struct mt_go_layout: the struct's size; 0: read by itself */
};

#define AT(name) offsetof(struct mt_go_layout, name)
#define IN(name, width, of)                                                                        \
	{                                                                                          \
		AT(name), width, AT(of##_size)                                                     \
	}
#define ALONE(name, width)                                                                         \
	{                                                                                          \
		AT(name), width, 0                                                                 \
	}
#define SMALL (8 * MT_GO_SIZES)
#define RING  (8 * (int)MT_GO_PAUSES)
#define SIZE(name)                                                                                 \
	{                                                                                          \
		AT(name), 0, 0                                                                     \
	}

/* clang-format off */
static const struct bound bounds[] = {
	SIZE(mstats_size), SIZE(delta_size), SIZE(gc_size), SIZE(mspan_size), SIZE(mcache_size),
	IN(mstats_heap_stats_stats, 0, mstats),
	IN(mstats_heap_stats_no_plock_key, 8, mstats),
	IN(mstats_stacks_sys, 8, mstats),
	IN(mstats_mspan_sys, 8, mstats),
	IN(mstats_mcache_sys, 8, mstats),
	IN(mstats_buckhash_sys, 8, mstats),
	IN(mstats_gc_misc_sys, 8, mstats),
	IN(mstats_other_sys, 8, mstats),
	IN(mstats_last_gc_unix, 8, mstats),
	IN(mstats_pause_total_ns, 8, mstats),
	IN(mstats_pause_ns, RING, mstats),
	IN(mstats_pause_end, RING, mstats),
	IN(mstats_numgc, 4, mstats),
	IN(mstats_numforcedgc, 4, mstats),
	IN(mstats_gc_cpu_fraction, 8, mstats),
	IN(mstats_enablegc, 1, mstats),
	IN(delta_committed, 8, delta),
	IN(delta_released, 8, delta),
	IN(delta_in_heap, 8, delta),
	IN(delta_in_stacks, 8, delta),
	IN(delta_in_work_bufs, 8, delta),
	IN(delta_tiny_alloc_count, 8, delta),
	IN(delta_large_alloc, 8, delta),
	IN(delta_large_alloc_count, 8, delta),
	IN(delta_small_alloc_count, SMALL, delta),
	IN(delta_large_free, 8, delta),
	IN(delta_large_free_count, 8, delta),
	IN(delta_small_free_count, SMALL, delta),
	IN(gc_heap_in_use, 8, gc),
	IN(gc_heap_free, 8, gc),
	IN(gc_heap_released, 8, gc),
	IN(gc_total_alloc, 8, gc),
	IN(gc_total_free, 8, gc),
	IN(gc_mapped_ready, 8, gc),
	IN(gc_gc_percent_heap_goal, 8, gc),
	IN(gc_sweep_dist_min_trigger, 8, gc),
	IN(gc_triggered, 8, gc),
	IN(gc_memory_limit, 8, gc),
	IN(gc_heap_marked, 8, gc),
	ALONE(mheap_sweepgen, 4),
	ALONE(mheap_spanalloc_inuse, 8),
	ALONE(mheap_cachealloc_inuse, 8),
	ALONE(mheap_arenas, 8),
	ALONE(arena_spans, 8),
	IN(mspan_start_addr, 8, mspan),
	IN(mspan_npages, 8, mspan),
	IN(mspan_nelems, 2, mspan),
	IN(mspan_alloc_count, 2, mspan),
	IN(mspan_alloc_count_before_cache, 2, mspan),
	IN(mspan_elemsize, 8, mspan),
	IN(mspan_sweepgen, 4, mspan),
	IN(mspan_spanclass, 1, mspan),
	IN(mspan_gcmark_bits, 8, mspan),
	ALONE(p_mcache, 8),
	ALONE(p_stats_seq, 4),
	ALONE(p_id, 4),
	ALONE(p_status, 4),
	IN(mcache_tiny_allocs, 8, mcache),
	IN(mcache_alloc, 8 * MT_GO_CACHED, mcache),
	IN(mcache_stackcache, 16 * MT_GO_ORDERS, mcache),
};
/* clang-format on */

static int32_t value(const struct mt_go_layout *l, size_t member)
{
	int32_t v;

	memcpy(&v, (const uint8_t *)l + member, sizeof(v));
	return v;
}

bool mt_go_layout_sound(const struct mt_go_layout *l)
{
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		const struct bound *b = &bounds[i];
		int32_t at = value(l, b->member);
		int32_t max = b->size ? value(l, b->size) : b->width ? FAR_MAX : STRUCT_MAX;

		if (at < 0 || at > max - b->width || (b->size && max > STRUCT_MAX))
			return false;
	}
	if (l->delta_in_ptr_scalar_bits != MT_GO_ABSENT &&
	    (l->delta_in_ptr_scalar_bits < 0 || l->delta_in_ptr_scalar_bits > l->delta_size - 8))
		return false;
	return l->mstats_heap_stats_stats <= l->mstats_size - MT_GO_GENS * l->delta_size &&
	       l->mspan_size <= SPAN_MAX;
}

static uint64_t u64(const uint8_t *p, int32_t at)
{
	uint64_t v;

	memcpy(&v, p + at, sizeof(v));
	return v;
}

static uint32_t u32(const uint8_t *p, int32_t at)
{
	uint32_t v;

	memcpy(&v, p + at, sizeof(v));
	return v;
}

static uint16_t u16(const uint8_t *p, int32_t at)
{
	uint16_t v;

	memcpy(&v, p + at, sizeof(v));
	return v;
}

/* Writers take the generation of the moment; each has a part of the sum. */
static void add_delta(const struct mt_go_layout *l, const uint8_t *p, struct mt_go_delta *d)
{
	d->committed += u64(p, l->delta_committed);
	d->released += u64(p, l->delta_released);
	d->in_heap += u64(p, l->delta_in_heap);
	d->in_stacks += u64(p, l->delta_in_stacks);
	d->in_work_bufs += u64(p, l->delta_in_work_bufs);
	if (l->delta_in_ptr_scalar_bits != MT_GO_ABSENT)
		d->in_ptr_scalar_bits += u64(p, l->delta_in_ptr_scalar_bits);
	d->tiny_allocs += u64(p, l->delta_tiny_alloc_count);
	d->large_alloc += u64(p, l->delta_large_alloc);
	d->large_allocs += u64(p, l->delta_large_alloc_count);
	d->large_free += u64(p, l->delta_large_free);
	d->large_frees += u64(p, l->delta_large_free_count);
	for (int i = 0; i < MT_GO_SIZES; i++) {
		d->small_allocs[i] += u64(p, l->delta_small_alloc_count + 8 * i);
		d->small_frees[i] += u64(p, l->delta_small_free_count + 8 * i);
	}
}

static void decode_sys(const struct mt_go_layout *l, const uint8_t *p, struct mt_go_sys *s)
{
	s->stacks = u64(p, l->mstats_stacks_sys);
	s->mspan = u64(p, l->mstats_mspan_sys);
	s->mcache = u64(p, l->mstats_mcache_sys);
	s->buckhash = u64(p, l->mstats_buckhash_sys);
	s->gc_misc = u64(p, l->mstats_gc_misc_sys);
	s->other = u64(p, l->mstats_other_sys);
	s->last_gc = u64(p, l->mstats_last_gc_unix);
	s->pause_total_ns = u64(p, l->mstats_pause_total_ns);
	memcpy(s->pause_ns, p + l->mstats_pause_ns, sizeof(s->pause_ns));
	memcpy(s->pause_end, p + l->mstats_pause_end, sizeof(s->pause_end));
	s->num_gc = u32(p, l->mstats_numgc);
	s->num_forced = u32(p, l->mstats_numforcedgc);
	memcpy(&s->cpu_fraction, p + l->mstats_gc_cpu_fraction, sizeof(s->cpu_fraction));
	s->enabled = p[l->mstats_enablegc] != 0;
}

static void decode_pacer(const struct mt_go_layout *l, const uint8_t *p, struct mt_go_pacer *g)
{
	g->heap_in_use = u64(p, l->gc_heap_in_use);
	g->heap_free = u64(p, l->gc_heap_free);
	g->heap_released = u64(p, l->gc_heap_released);
	g->total_alloc = u64(p, l->gc_total_alloc);
	g->total_free = u64(p, l->gc_total_free);
	g->mapped_ready = u64(p, l->gc_mapped_ready);
	g->percent_goal = u64(p, l->gc_gc_percent_heap_goal);
	g->sweep_trigger = u64(p, l->gc_sweep_dist_min_trigger);
	g->triggered = u64(p, l->gc_triggered);
	g->memory_limit = u64(p, l->gc_memory_limit);
	g->heap_marked = u64(p, l->gc_heap_marked);
}

void mt_go_decode_globals(const struct mt_go_layout *l, const uint8_t *memstats, const uint8_t *gc,
			  struct mt_go_globals *ret)
{
	*ret = (struct mt_go_globals){.no_plock = u64(memstats, l->mstats_heap_stats_no_plock_key)};
	for (int i = 0; i < MT_GO_GENS; i++)
		add_delta(l, memstats + l->mstats_heap_stats_stats + (ptrdiff_t)i * l->delta_size,
			  &ret->heap);
	decode_sys(l, memstats, &ret->sys);
	decode_pacer(l, gc, &ret->gc);
}

void mt_go_decode_span(const struct mt_go_layout *l, const uint8_t *span, struct mt_go_span *ret)
{
	*ret = (struct mt_go_span){
		.start = u64(span, l->mspan_start_addr),
		.npages = u64(span, l->mspan_npages),
		.elemsize = u64(span, l->mspan_elemsize),
		.mark_bits = u64(span, l->mspan_gcmark_bits),
		.sweepgen = u32(span, l->mspan_sweepgen),
		/* a word before 1.22, of which these are the low bits */
		.nelems = u16(span, l->mspan_nelems),
		.allocated = u16(span, l->mspan_alloc_count),
		.allocated_before = u16(span, l->mspan_alloc_count_before_cache),
		.spanclass = span[l->mspan_spanclass],
	};
}
