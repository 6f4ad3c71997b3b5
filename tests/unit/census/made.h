/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small heap of glibc's, made here word by word: a main arena by brk, an arena
 * of two heaps, two threads with caches, fastbins, mapped blocks. Addresses are
 * constants, so that a test can say which word it breaks. In bytes:
 *
 *   BRK       main arena: C0 cache struct, C1..C9, top at TOP
 *   HEAP2     the second arena, its older heap: D0 cache struct, D1..D4, fenceposts
 *   HEAP3     its younger heap: E0, top at TOP2
 *   MAP1      a mapped block; MAP2 one by memalign, aligned to 64 KiB
 */
#ifndef MADE_H
#define MADE_H

#include "recorded.h"

#define LIBC    0x7f0000000000ull /* .data and .bss of libc */
#define ARENA   (LIBC + 0x400)    /* main_arena */
#define MP      (LIBC + 0x1080)   /* mp_.sbrk_base */
#define BRK     0x555500000000ull
#define HEAP2   0x7f1000000000ull
#define ARENA2  (HEAP2 + 0x30)
#define HEAP3   0x7f1004000000ull
#define TLS1    0x7f2000000000ull
#define TP1     (TLS1 + 0x2000)
#define TLS2    0x7f2100000000ull
#define TP2     (TLS2 + 0x2000)
#define MAP1    0x7f3000000000ull
#define MAP2    0x7f3100000000ull
#define MAP2_AT (MAP2 + 0xfff0) /* the header of the block in MAP2 */
#define STACK   0x7fff00000000ull

#define C0        BRK
#define C1        (BRK + 0x290) /* 0x30, live */
#define C2        (BRK + 0x2c0) /* 0x30, cached: the head */
#define C3        (BRK + 0x2f0) /* 0x30, cached: the tail */
#define C4        (BRK + 0x320) /* 0x40, live */
#define C5        (BRK + 0x360) /* 0x500, free */
#define C6        (BRK + 0x860) /* 0x20, live */
#define C7        (BRK + 0x880) /* 0x20, in a fastbin: the head */
#define C8        (BRK + 0x8a0) /* 0x20, in a fastbin: the tail */
#define C9        (BRK + 0x8c0) /* 0x100, live */
#define TOP       (BRK + 0x9c0)
#define BRK_SIZE  0x4000ull
#define D0        (HEAP2 + 0x8d0)
#define D1        (HEAP2 + 0xb60) /* 0x30, live */
#define D2        (HEAP2 + 0xb90) /* 0x400, free */
#define D3        (HEAP2 + 0xf90) /* 0x30, cached by the second thread */
#define D4        (HEAP2 + 0xfc0) /* live, up to the fenceposts */
#define FENCES    (HEAP2 + 0x1fe0)
#define E0        (HEAP3 + 0x30) /* 0x50, live */
#define TOP2      (HEAP3 + 0x80)
#define MAP1_SIZE 0x21000ull
#define MAP2_SIZE 0x42000ull

/* What is live: C1, C4, C6, C9, D1, D4, E0 and two mapped blocks; usable bytes. */
#define MADE_OBJECTS 9u
#define MADE_MAIN    (0x28ull + 0x38 + 0x18 + 0xf8)
#define MADE_SECOND  (0x28ull + (FENCES - D4 - 8) + 0x48)
#define MADE_MAPPED  (MAP1_SIZE - 16 + MAP2_SIZE - 0xfff0 - 16)
#define MADE_BYTES   (MADE_MAIN + MADE_SECOND + MADE_MAPPED)

/* Offsets in struct malloc_state, 2.27 to 2.42. */
#define AR_FAST     16
#define AR_TOP      96
#define AR_BINS     112
#define AR_NEXT     2160
#define AR_ATTACHED 2176
#define AR_SYSTEM   2184
#define TLS_ARENA   (-0x38)
#define TLS_CACHE   (-0x50)
#define BLOCK       16 /* from a chunk to its block */
#define COUNTS      BLOCK
#define ENTRIES     (BLOCK + 128)

static inline void made_put(struct recorded *r, uint64_t addr, uint64_t value)
{
	uint64_t *v = recorded_word(r, addr);

	if (!v)
		abort();
	*v = value;
}

static inline uint64_t made_mangled(uint64_t at, uint64_t to)
{
	return at >> 12 ^ to;
}

static inline void made_arena(struct recorded *r, uint64_t arena, uint64_t top, uint64_t next,
			      uint64_t system)
{
	for (uint64_t k = 0; k < 254; k++)
		made_put(r, arena + AR_BINS + 8 * k, arena + AR_BINS + 8 * (k & ~1ull) - 16);
	made_put(r, arena + AR_TOP, top);
	made_put(r, arena + AR_NEXT, next);
	made_put(r, arena + AR_ATTACHED, 1);
	made_put(r, arena + AR_SYSTEM, system);
}

static inline void made_areas(struct recorded *r)
{
	static const struct recorded_area areas[] = {
		{BRK, BRK + BRK_SIZE, 1 | 2},      {LIBC, LIBC + 0x1000, 8},
		{LIBC + 0x1000, LIBC + 0x2000, 8}, {LIBC + 0x2000, LIBC + 0x4000, 1 | 8},
		{HEAP2, HEAP2 + 0x1000, 1},        {HEAP2 + 0x1000, HEAP2 + 0x2000, 1},
		{HEAP3, HEAP3 + 0x1000, 1},        {TLS1, TLS1 + 0x3000, 1},
		{TLS2, TLS2 + 0x3000, 1},          {MAP1, MAP1 + MAP1_SIZE, 1},
		{MAP2, MAP2 + MAP2_SIZE, 1},       {STACK, STACK + 0x1000, 1 | 4},
	};

	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
		if (recorded_add_area(r, areas[i].start, areas[i].end, areas[i].flags))
			abort();
}

static inline void made_thread(struct recorded *r, uint64_t tp, uint64_t arena, uint64_t cache)
{
	made_put(r, tp, tp);
	made_put(r, tp + 16, tp);
	made_put(r, tp + 0x2e0, tp + 0x2e0);
	made_put(r, tp + (uint64_t)TLS_ARENA, arena);
	made_put(r, tp + (uint64_t)TLS_CACHE, cache);
	if (recorded_add_thread(r, tp + 0x2e0))
		abort();
}

/* struct malloc_par as 2.35 on has it. */
static inline void made_par(struct recorded *r)
{
	made_put(r, MP - 80, 128 << 10);             /* mmap_threshold */
	made_put(r, MP - 40, 2ull << 32);            /* n_mmaps, the upper half */
	made_put(r, MP - 32, 65536 | 2ull << 32);    /* n_mmaps_max, max_n_mmaps */
	made_put(r, MP - 16, MAP1_SIZE + MAP2_SIZE); /* mmapped_mem */
	made_put(r, MP - 8, MAP1_SIZE + MAP2_SIZE);  /* max_mmapped_mem */
	made_put(r, MP, BRK);
	made_put(r, MP + 8, 64); /* tcache_bins, tcache_max_bytes, tcache_count */
	made_put(r, MP + 16, 1032);
	made_put(r, MP + 24, 7);
}

static inline void made_main(struct recorded *r)
{
	made_put(r, C0 + 8, 0x290 | 1);
	made_put(r, C1 + 8, 0x30 | 1);
	made_put(r, C2 + 8, 0x30 | 1);
	made_put(r, C3 + 8, 0x30 | 1);
	made_put(r, C4 + 8, 0x40 | 1);
	made_put(r, C5 + 8, 0x500 | 1);
	made_put(r, C6, 0x500);
	made_put(r, C6 + 8, 0x20);
	made_put(r, C7 + 8, 0x20 | 1);
	made_put(r, C8 + 8, 0x20 | 1);
	made_put(r, C9 + 8, 0x100 | 1);
	made_put(r, TOP + 8, (BRK + BRK_SIZE - TOP) | 1);
	made_put(r, C0 + COUNTS, 2ull << 16); /* bin 1: 0x30 */
	made_put(r, C0 + ENTRIES + 8, C2 + BLOCK);
	made_put(r, C2 + BLOCK, made_mangled(C2 + BLOCK, C3 + BLOCK));
	made_put(r, C3 + BLOCK, made_mangled(C3 + BLOCK, 0));
	made_put(r, ARENA + AR_FAST, C7);
	made_put(r, C7 + BLOCK, made_mangled(C7 + BLOCK, C8));
	made_put(r, C8 + BLOCK, made_mangled(C8 + BLOCK, 0));
}

static inline void made_heap_info(struct recorded *r, uint64_t heap, uint64_t prev, uint64_t size)
{
	made_put(r, heap, ARENA2);
	made_put(r, heap + 8, prev);
	made_put(r, heap + 16, size);
	made_put(r, heap + 24, size);
	made_put(r, heap + 32, MT_MEM_PAGE);
}

static inline void made_second(struct recorded *r)
{
	made_heap_info(r, HEAP2, 0, 0x2000);
	made_heap_info(r, HEAP3, HEAP2, 0x1000);
	made_put(r, D0 + 8, 0x290 | 5);
	made_put(r, D1 + 8, 0x30 | 5);
	made_put(r, D2 + 8, 0x400 | 5);
	made_put(r, D3, 0x400);
	made_put(r, D3 + 8, 0x30 | 4);
	made_put(r, D4 + 8, (FENCES - D4) | 5);
	made_put(r, FENCES + 8, 0x10 | 1);
	made_put(r, FENCES + 0x18, 1);
	made_put(r, E0 + 8, 0x50 | 5);
	made_put(r, TOP2 + 8, (HEAP3 + 0x1000 - TOP2) | 1);
	made_put(r, D0 + COUNTS, 1ull << 16);
	made_put(r, D0 + ENTRIES + 8, D3 + BLOCK);
	made_put(r, D3 + BLOCK, made_mangled(D3 + BLOCK, 0));
}

/* The caller empties it by recorded_free. */
static inline void made_heap(struct recorded *r)
{
	recorded_init(r);
	made_areas(r);
	r->img.start_brk = BRK;
	made_arena(r, ARENA, TOP, ARENA2, BRK_SIZE);
	made_arena(r, ARENA2, TOP2, ARENA, 0x3000);
	made_par(r);
	made_main(r);
	made_second(r);
	made_thread(r, TP1, ARENA, C0 + BLOCK);
	made_thread(r, TP2, ARENA2, D0 + BLOCK);
	made_put(r, MAP1 + 8, MAP1_SIZE | 2);
	made_put(r, MAP2 + 8, MAP2_SIZE | 2); /* what memalign left behind */
	made_put(r, MAP2_AT, 0xfff0);
	made_put(r, MAP2_AT + 8, (MAP2_SIZE - 0xfff0) | 2);
}

#endif
