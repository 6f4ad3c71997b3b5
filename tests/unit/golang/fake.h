/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A Go process of a few hundred KiB: a runtime with two Ps, some cached spans, and
 * cached stacks, at rest and sound. Tests and the fuzzer change it and look what
 * comes of it.
 */
#ifndef TESTS_GOLANG_FAKE_H
#define TESTS_GOLANG_FAKE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "golang/snapshot.h"

#define FAKE_BASE   0xc000000000ull
#define FAKE_SIZE   (1u << 20)
#define FAKE_PS     2u
#define FAKE_GEN    4u /* sweepgen */
#define FAKE_STALE  (FAKE_GEN + 1)
#define FAKE_CACHED (FAKE_GEN + 3)

struct fake {
	struct mt_mem mem;
	struct mt_go_vars vars;
	const struct mt_go_layout *l;
	uint8_t *bytes; /* FAKE_SIZE of them, at FAKE_BASE */
	uint64_t end;   /* of what is handed out */
	unsigned int reads;
	uint64_t p[FAKE_PS], mcache[FAKE_PS];
	uint64_t no_span; /* runtime.emptymspan */
	uint64_t stack_span, stack;
};

static inline int fake_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	struct fake *f = m->ctx;

	f->reads++;
	if (addr < FAKE_BASE || n > FAKE_SIZE || addr - FAKE_BASE > FAKE_SIZE - n)
		return -EFAULT;
	memcpy(buf, f->bytes + (addr - FAKE_BASE), n);
	return 0;
}

static inline uint8_t *fake_at(struct fake *f, uint64_t addr)
{
	return f->bytes + (addr - FAKE_BASE);
}

static inline void fake_set(struct fake *f, uint64_t addr, uint64_t v, size_t n)
{
	memcpy(fake_at(f, addr), &v, n);
}

static inline uint64_t fake_get(struct fake *f, uint64_t addr)
{
	uint64_t v;

	memcpy(&v, fake_at(f, addr), sizeof(v));
	return v;
}

static inline void fake_add(struct fake *f, uint64_t addr, uint64_t v)
{
	fake_set(f, addr, fake_get(f, addr) + v, 8);
}

static inline uint64_t fake_alloc(struct fake *f, uint64_t n, uint64_t align)
{
	uint64_t at = (f->end + align - 1) / align * align;

	f->end = at + n;
	return at;
}

/* A member of a struct at addr, by its name in the layout. */
#define FAKE_MEMBER(f, addr, name) ((addr) + (uint64_t)(f)->l->name)

/* A span of objects of class i/2 in a P's cache; its mark bits are clear. */
static inline uint64_t fake_cache(struct fake *f, unsigned int p, unsigned int i, uint32_t gen,
				  uint16_t before, uint16_t allocated)
{
	uint64_t s = fake_alloc(f, (uint64_t)f->l->mspan_size, 16);
	uint64_t size = mt_go_size(i / 2), npages = size > 1024 ? 4 : 1;

	fake_set(f, FAKE_MEMBER(f, s, mspan_start_addr),
		 fake_alloc(f, npages * MT_GO_PAGE, MT_GO_PAGE), 8);
	fake_set(f, FAKE_MEMBER(f, s, mspan_npages), npages, 8);
	fake_set(f, FAKE_MEMBER(f, s, mspan_nelems), npages * MT_GO_PAGE / size, 2);
	fake_set(f, FAKE_MEMBER(f, s, mspan_elemsize), size, 8);
	fake_set(f, FAKE_MEMBER(f, s, mspan_spanclass), i, 1);
	fake_set(f, FAKE_MEMBER(f, s, mspan_sweepgen), gen, 4);
	fake_set(f, FAKE_MEMBER(f, s, mspan_alloc_count), allocated, 2);
	fake_set(f, FAKE_MEMBER(f, s, mspan_alloc_count_before_cache), before, 2);
	fake_set(f, FAKE_MEMBER(f, s, mspan_gcmark_bits), fake_alloc(f, 128, 8), 8);
	fake_set(f, FAKE_MEMBER(f, f->mcache[p], mcache_alloc) + 8 * i, s, 8);
	return s;
}

/* n stacks of 2 KiB in a P's cache, of a span that has `allocated` in use or cached. */
static inline void fake_stacks(struct fake *f, unsigned int p, unsigned int n, uint16_t allocated)
{
	uint64_t s = fake_alloc(f, (uint64_t)f->l->mspan_size, 16), next = 0;
	uint64_t at = fake_alloc(f, 4 * MT_GO_PAGE, MT_GO_PAGE);
	uint64_t arena, slot;

	f->stack_span = s;
	fake_set(f, FAKE_MEMBER(f, s, mspan_start_addr), at, 8);
	fake_set(f, FAKE_MEMBER(f, s, mspan_npages), 4, 8);
	fake_set(f, FAKE_MEMBER(f, s, mspan_alloc_count), allocated, 2);
	/* the arena's map, of which only what is looked up is there */
	slot = fake_alloc(f, 32, 8);
	arena = slot - 8 * ((at >> 13) % 8192) - (uint64_t)f->l->arena_spans;
	for (int i = 0; i < 4; i++)
		fake_set(f, slot + 8 * (uint64_t)i, s, 8);
	slot = fake_alloc(f, 8, 8);
	fake_set(f, slot, arena, 8);
	fake_set(f, FAKE_MEMBER(f, f->vars.mheap, mheap_arenas),
		 slot - 8 * ((at + 0x800000000000ull) >> 26), 8);
	for (unsigned int i = 0; i < n; i++) {
		f->stack = at + i * 2048;
		fake_set(f, f->stack, next, 8);
		next = f->stack;
	}
	fake_set(f, FAKE_MEMBER(f, f->mcache[p], mcache_stackcache), next, 8);
}

static inline void fake_ps(struct fake *f)
{
	const struct mt_go_layout *l = f->l;
	uint64_t list = fake_alloc(f, 8 * FAKE_PS, 8);

	f->no_span = fake_alloc(f, (uint64_t)l->mspan_size, 16);
	fake_set(f, f->vars.allp, list, 8);
	fake_set(f, f->vars.allp + 8, FAKE_PS, 8);
	for (unsigned int i = 0; i < FAKE_PS; i++) {
		f->p[i] = fake_alloc(f, (uint64_t)l->p_stats_seq + 8, 64);
		f->mcache[i] = fake_alloc(f, (uint64_t)l->mcache_size, 8);
		fake_set(f, list + 8 * i, f->p[i], 8);
		fake_set(f, FAKE_MEMBER(f, f->p[i], p_id), i, 4);
		fake_set(f, FAKE_MEMBER(f, f->p[i], p_mcache), f->mcache[i], 8);
		for (unsigned int k = 0; k < MT_GO_CACHED; k++)
			fake_set(f, FAKE_MEMBER(f, f->mcache[i], mcache_alloc) + 8 * k, f->no_span,
				 8);
	}
}

/* Objects of 64 bytes, 10 of them alive, in 4 MiB of heap; half of it free, of this half released.
 */
static inline void fake_globals(struct fake *f)
{
	const struct mt_go_layout *l = f->l;
	uint64_t stats = f->vars.memstats, gc = f->vars.gc_controller;
	uint64_t delta = stats + (uint64_t)l->mstats_heap_stats_stats;

	/* what is in one generation may have gone from another */
	fake_set(f, FAKE_MEMBER(f, delta, delta_small_alloc_count) + 8 * 6, 15, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_small_free_count) + 8 * 6, 5, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_tiny_alloc_count), 7, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_committed), (3ull << 20) + 32768, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_in_stacks), 32768, 8);
	delta += (uint64_t)l->delta_size;
	fake_set(f, FAKE_MEMBER(f, delta, delta_in_heap), (2ull << 20) + 8192, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_large_alloc), 100000, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_large_alloc_count), 1, 8);
	delta += (uint64_t)l->delta_size;
	fake_set(f, FAKE_MEMBER(f, delta, delta_in_heap), (uint64_t)-8192, 8);
	fake_set(f, FAKE_MEMBER(f, delta, delta_released), 1 << 20, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_heap_in_use), 2 << 20, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_heap_free), 1 << 20, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_heap_released), 1 << 20, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_total_alloc), 15 * 64 + 100000, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_total_free), 5 * 64, 8);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_stacks_sys), 1000, 8);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_other_sys), 2000, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_mapped_ready), (3ull << 20) + 32768 + 3000, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_memory_limit), INT64_MAX, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_gc_percent_heap_goal), 4 << 20, 8);
	fake_set(f, FAKE_MEMBER(f, gc, gc_triggered), UINT64_MAX, 8);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_numgc), 2, 4);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_last_gc_unix), 77, 8);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_pause_end) + 8, 77, 8);
	fake_set(f, FAKE_MEMBER(f, stats, mstats_enablegc), 1, 1);
	fake_set(f, FAKE_MEMBER(f, f->vars.mheap, mheap_sweepgen), FAKE_GEN, 4);
}

/* Ends the process if there is no memory. */
static inline void fake_init(struct fake *f, const struct mt_go_layout *l)
{
	*f = (struct fake){.mem = {.read = fake_read, .ctx = f}, .l = l, .end = FAKE_BASE};
	f->bytes = calloc(1, FAKE_SIZE);
	if (!f->bytes)
		abort();
	f->vars.memstats = fake_alloc(f, (uint64_t)l->mstats_size, 64);
	f->vars.gc_controller = fake_alloc(f, (uint64_t)l->gc_size, 64);
	f->vars.mheap = fake_alloc(f, (uint64_t)l->mheap_size, 64);
	f->vars.allp = fake_alloc(f, 24, 8);
	f->vars.gcphase = fake_alloc(f, 8, 8);
	fake_globals(f);
	fake_ps(f);
}

static inline struct mt_go_source fake_source(const struct fake *f, bool green_tea)
{
	return (struct mt_go_source){
		.mem = &f->mem, .vars = &f->vars, .layout = f->l, .green_tea = green_tea};
}

#endif
