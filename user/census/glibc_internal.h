/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the glibc walker share. Layouts: malloc/malloc.c, malloc/arena.c, LP64. */
#ifndef MT_CENSUS_GLIBC_INTERNAL_H
#define MT_CENSUS_GLIBC_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "census/walker.h"

#define PAGE          MT_MEM_PAGE
#define CHUNK_HDR     16u  /* prev_size and size */
#define CHUNK_MIN     32u  /* MINSIZE */
#define PREV_INUSE    1ull /* the chunk before this one is in use */
#define IS_MMAPPED    2ull
#define NON_MAIN      4ull /* of another arena than main_arena */
#define FLAGS         7ull
#define BINS          254u
#define FASTBINS      10u
#define ADDRESS_LIMIT (1ull << 47)

/* struct malloc_state, which moved twice; offsets in bytes. */
struct mt_glibc_layout {
	uint32_t fastbins; /* 0: there are none */
	uint32_t top, bins, next, attached, system_mem;
	uint32_t size;
	bool mapped_243; /* mapped blocks as 2.43 has them: the header says 16 less */
};

/* What find learns while the process runs. */
struct mt_glibc_state {
	const struct mt_glibc_layout *layout;
	uint64_t main_arena;
	uint64_t sbrk_base;   /* address of mp_.sbrk_base; 0: not found yet */
	uint32_t n_mmaps_off; /* mp_.n_mmaps stands so far in front of it */
	uint64_t *arenas;     /* of the last reading, main_arena first; owned */
	size_t n_arenas;
	int64_t tcache_off;    /* of the TLS variable tcache from the thread pointer; 0 unknown */
	uint64_t *old_threads; /* thread pointers found at the tops of mappings; owned */
	size_t n_old_threads;
	uint64_t *headers; /* pages that may begin mapped blocks, ascending; owned */
	size_t n_headers;
};

/* A stretch of chunks, one after the other. */
struct mt_glibc_region {
	uint64_t start, end; /* 16-aligned */
	size_t arena;        /* index into heap->arenas */
	uint64_t *used;      /* a bit for each 16 bytes: a chunk in use begins here; owned */
};

/* A live block with a mapping of its own. */
struct mt_glibc_mapped {
	uint64_t chunk, size; /* address of its header; size as there, without flags */
	uint64_t total;       /* of the mapping */
};

#define CACHE_PAGES 1024u

struct mt_glibc_walk {
	const struct mt_image *img;
	struct mt_glibc_state *st;
	struct mt_heap *heap;
	struct mt_glibc_region *regions; /* ascending; owned */
	size_t n_regions, cap_regions;
	uint64_t room;                  /* bytes of all areas that are in no region yet */
	struct mt_glibc_mapped *mapped; /* owned */
	size_t n_mapped, cap_mapped;
	uint64_t *orphans; /* blocks in use as large as a thread's cache struct; owned */
	size_t n_orphans, cap_orphans;
	/* the window that chains are read through */
	uint8_t *window;
	uint64_t window_addr;
	size_t window_len, window_want;
	/* single pages, for lists */
	uint8_t *pages;
	uint64_t *page_addrs;
	/* of lists: 1 the links are mangled, 0 not, -1 not known yet (2.32 began it) */
	int mangled;
	bool late;
};

/* Windows, glibc_read.c. */
#define WINDOW_MAX (256u << 10)
/* Moves the window to p; false if that is unreadable, or late. */
bool mt_glibc_load(struct mt_glibc_walk *w, uint64_t p, uint64_t end);
/* The two header words at p, of a chain that goes on to end; NULL if unreadable or late. */
static inline const uint64_t *mt_glibc_window(struct mt_glibc_walk *w, uint64_t p, uint64_t end)
{
	if (p - w->window_addr + CHUNK_HDR > w->window_len && !mt_glibc_load(w, p, end))
		return NULL;
	return (const uint64_t *)(const void *)(w->window + (p - w->window_addr));
}
/* n bytes at addr, by way of the page cache. */
bool mt_glibc_peek(struct mt_glibc_walk *w, uint64_t addr, void *buf, size_t n);
/* mt_mem's heads, where there are none by single readings. n <= MT_MEM_HEADS. */
void mt_glibc_heads(const struct mt_glibc_walk *w, uint64_t addr, size_t n, uint64_t (*out)[2]);
/* True once the deadline has passed; then every reading fails, so that the walk ends. */
bool mt_glibc_late(struct mt_glibc_walk *w);
bool mt_glibc_word(struct mt_glibc_walk *w, uint64_t addr, uint64_t *v);
/* The error of a walk that could not go on: late, or unsound for what. */
int mt_glibc_stuck(struct mt_glibc_walk *w, const char *what, uint64_t addr);

/* Chains, glibc_chain.c: counts every chunk in use; the arena's sums are filled. */
int mt_glibc_walk_main(struct mt_glibc_walk *w, uint64_t arena);
/* The heaps of an arena other than main_arena, the youngest first; fn's result, if not 0, ends. */
typedef int (*mt_glibc_heap_fn)(struct mt_glibc_walk *w, uint64_t heap, uint64_t size, void *ctx);
int mt_glibc_each_heap(struct mt_glibc_walk *w, uint64_t arena, uint64_t top, mt_glibc_heap_fn fn,
		       void *ctx);
int mt_glibc_walk_arena(struct mt_glibc_walk *w, uint64_t arena);

/* Blocks in mappings of their own, glibc_mapped.c. */
/*
 * While the process runs: notes where blocks may begin, if they are not all at
 * the starts of mappings; in the walk there is no time to look at every page.
 */
int mt_glibc_find_mapped(struct mt_glibc_walk *w);
int mt_glibc_walk_mapped(struct mt_glibc_walk *w);

/* What the allocator keeps back, glibc_cache.c: takes cached blocks out of the count. */
int mt_glibc_take_caches(struct mt_glibc_walk *w);
/* Notes a chunk in use that may hold a thread's cache struct. 0 or -ENOMEM. */
int mt_glibc_note_orphan(struct mt_glibc_walk *w, uint64_t chunk);
/* True if a cache struct may take a chunk of this size. */
bool mt_glibc_is_cache_size(uint64_t size);
/* True if the chunk of that size, n bytes of which are here, may hold one that is not empty. */
bool mt_glibc_may_be_cache(const uint8_t *chunk, size_t n, uint64_t size);
int mt_glibc_take_fastbins(struct mt_glibc_walk *w, uint64_t arena);

/* Threads, glibc_threads.c. Those that are no more but whose stacks are there, for find. */
int mt_glibc_find_threads(const struct mt_image *img, struct mt_glibc_state *st);
/*
 * The thread pointers of all, each once, those that live first. The caller frees
 * *tps, on failure too. 0 or -ENOMEM.
 */
int mt_glibc_threads(struct mt_glibc_walk *w, uint64_t **tps, size_t *n, size_t *living);

/* Adds a stretch of the last arena's; with bits for its chunks if it is to be walked. */
int mt_glibc_add_region(struct mt_glibc_walk *w, uint64_t start, uint64_t end, bool walked);
/* To be called once all are added: from then on they can be looked up. */
void mt_glibc_sort_regions(struct mt_glibc_walk *w);
/* The region that holds addr, or NULL. */
struct mt_glibc_region *mt_glibc_region_of(const struct mt_glibc_walk *w, uint64_t addr);

#endif
