/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Chains of chunks. A chunk is free when the next one says so, then that one
 * also repeats its size, and no two neighbours are free; in-use chunks carry
 * their arena's flag. A chain is whole from its start to top, or to fenceposts
 * where the memory behind it is not the arena's; and the arena's regions are
 * as large as the arena believes (system_mem). Nothing else is believed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census/glibc_internal.h"

#define HEAP_SIZE     (64ull << 20) /* HEAP_MAX_SIZE */
#define HEAP_SIZE_2M  (8ull << 20)  /* glibc.malloc.hugetlb=2, pages of 2 MiB */
#define HEAP_SIZE_1G  (4ull << 30)  /* and of 1 GiB */
#define HEAP_INFO_MAX 256u
#define HEAPS_MAX     (1u << 16) /* of one arena */
#define REGION_MAX    (1ull << 40)
#define FENCES_MAX    3u
#define FENCE         16u
#define FREE_HDR      48u /* of a large free chunk: malloc_trim leaves it its page */
#define NONCONTIGUOUS 2u
#define RESUME_MAX    (64ull << 20) /* foreign memory searched for the arena's next chunk */

#define AHEAD     512u  /* bytes: a chain's speed is that of the cache that answers */
#define SMALL_MAX 1024u /* times 16 bytes: chunks counted by size, as most are */

struct chain {
	struct mt_glibc_walk *w;
	struct mt_glibc_region *rg;
	struct mt_heap_arena *arena;
	uint64_t flag; /* that in-use chunks carry: NON_MAIN or 0 */
	uint64_t top;
	bool dry;                  /* only looks whether there is a chain */
	uint64_t small[SMALL_MAX]; /* chunks in use of 16 times the index, not in the heap's classes
				      yet */
};

static uint64_t align16(uint64_t v)
{
	return (v + 15) & ~15ull;
}

int mt_glibc_add_region(struct mt_glibc_walk *w, uint64_t start, uint64_t end, bool walked)
{
	struct mt_glibc_region *v = w->regions;

	/* this also ends a ring of heaps, and bounds the memory that the bits take */
	if (start % 16 || end <= start || end - start > w->room)
		return mt_glibc_stuck(w, "an arena's memory of impossible size", start);
	if (w->n_regions == w->cap_regions) {
		w->cap_regions = w->cap_regions ? 2 * w->cap_regions : 16;
		v = realloc(v, w->cap_regions * sizeof(*v));
		if (!v)
			return -ENOMEM;
		w->regions = v;
	}
	v[w->n_regions] = (struct mt_glibc_region){
		.start = start,
		.end = end,
		.arena = w->heap->n_arenas - 1,
		.used = walked ? calloc((end - start) / 1024 + 1, sizeof(uint64_t)) : NULL,
	};
	if (walked && !v[w->n_regions].used)
		return -ENOMEM;
	w->n_regions++;
	w->room -= end - start;
	return 0;
}

static void count(struct chain *c, uint64_t size, uint64_t n)
{
	c->arena->in_use += n * size;
	c->arena->objects += n;
	mt_heap_count(c->w->heap, size - sizeof(uint64_t), n);
}

static int take_used(struct chain *c, uint64_t p, uint64_t size)
{
	uint64_t bit = (p - c->rg->start) / 16;

	c->rg->used[bit / 64] |= 1ull << bit % 64;
	if (size / 16 < SMALL_MAX)
		c->small[size / 16]++;
	else
		count(c, size, 1);
	if (!mt_glibc_is_cache_size(size))
		return 0;
	/* still in the window, unless the next block's header was not */
	if (p >= c->w->window_addr &&
	    !mt_glibc_may_be_cache(c->w->window + (p - c->w->window_addr),
				   c->w->window_addr + c->w->window_len - p, size))
		return 0;
	return mt_glibc_note_orphan(c->w, p);
}

static void settle(struct chain *c)
{
	for (size_t i = 0; i < SMALL_MAX; i++)
		if (c->small[i])
			count(c, 16 * i, c->small[i]);
	memset(c->small, 0, sizeof(c->small));
}

static void take_free(struct chain *c, uint64_t p, uint64_t size)
{
	c->arena->free += size;
	if (size > PAGE)
		mt_image_idle(c->w->img, c->w->heap, p + FREE_HDR, p + size);
}

static bool is_chunk(uint64_t word, uint64_t room)
{
	uint64_t size = word & ~FLAGS;

	return size >= CHUNK_MIN && size % 16 == 0 && size <= room && !(word & IS_MMAPPED);
}

/* Runs from chunk to chunk. 0: top was reached; 1: a fencepost, at *at; else -errno. */
static int run(struct chain *c, uint64_t p, uint64_t *at)
{
	uint64_t prev = 0, prev_word = 0;
	bool prev_free = false;

	for (;;) {
		const uint64_t *head = mt_glibc_window(c->w, p, c->rg->end);
		uint64_t word, size = prev_word & ~FLAGS;

		*at = p;
		if (!head)
			return mt_glibc_stuck(c->w, "no readable block", p);
		__builtin_prefetch((const char *)head + AHEAD);
		word = head[1];
		if (word & PREV_INUSE) {
			if (prev && (prev_word & NON_MAIN) != c->flag)
				return mt_glibc_stuck(c->w, "a block of another arena", prev);
			if (prev && !c->dry && take_used(c, prev, size))
				return -ENOMEM;
			prev_free = false;
		} else {
			if (!prev || prev_free || head[0] != size)
				return mt_glibc_stuck(c->w, "a free block's size differs", p);
			if (!c->dry)
				take_free(c, prev, size);
			prev_free = true;
		}
		if (p == c->top)
			return 0;
		if ((word & ~FLAGS) < CHUNK_MIN && prev && (word & ~FLAGS) % FENCE == 0)
			return 1;
		if (!is_chunk(word, c->rg->end - p - CHUNK_HDR))
			return mt_glibc_stuck(c->w, "not a block", p);
		prev = p;
		prev_word = word;
		p += word & ~FLAGS;
	}
}

/* The end of the fenceposts at p, which is a page's end; 0 if they are none. */
static uint64_t fences_end(struct mt_glibc_walk *w, uint64_t p, uint64_t end)
{
	unsigned int n = 0;
	uint64_t word;

	while (n < FENCES_MAX && p + FENCE <= end && mt_glibc_word(w, p + 8, &word) &&
	       (word & ~FLAGS) == FENCE) {
		p += FENCE;
		if (++n >= 2 && p % PAGE == 0)
			return p;
	}
	return 0;
}

/* Where a chain starts at p: it reaches top, or fenceposts that end at a page's end. */
static bool is_chain(struct chain *c, uint64_t p, uint64_t *end)
{
	uint64_t at;
	int r;

	if (mt_glibc_late(c->w))
		return false;
	c->dry = true;
	r = run(c, p, &at);
	c->dry = false;
	if (r < 0)
		return false;
	if (r == 0) {
		*end = c->rg->end;
		return true;
	}
	*end = fences_end(c->w, at, c->rg->end);
	return *end;
}

/* Behind fenceposts foreign memory begins: where the arena's own goes on, 0 if nowhere. */
static uint64_t resume(struct chain *c, uint64_t p)
{
	uint64_t limit = c->rg->end - p > RESUME_MAX ? p + RESUME_MAX : c->rg->end, end;

	for (p = align16(p); p < limit && !c->w->late; p += 16) {
		const uint64_t *head = mt_glibc_window(c->w, p, c->rg->end);

		if (!head)
			return 0;
		if ((p == c->top || is_chunk(head[1], c->rg->end - p)) &&
		    (head[1] & (PREV_INUSE | NON_MAIN)) == PREV_INUSE && is_chain(c, p, &end))
			return p;
	}
	return 0;
}

static int read_top(struct mt_glibc_walk *w, uint64_t arena, uint64_t *top, uint64_t *size,
		    uint64_t *system)
{
	const struct mt_glibc_layout *l = w->st->layout;

	if (!mt_glibc_word(w, arena + l->top, top) ||
	    !mt_glibc_word(w, arena + l->system_mem, system))
		return mt_glibc_stuck(w, "an unreadable arena", arena);
	if (!*system)
		return 0; /* it has no memory, and its top points into itself */
	if (*top % 16 || !mt_glibc_word(w, *top + 8, size))
		return mt_glibc_stuck(w, "an unreadable top", *top);
	*size &= ~FLAGS;
	if (*size > REGION_MAX || *size < CHUNK_HDR)
		return mt_glibc_stuck(w, "a top of impossible size", *top);
	return 0;
}

static void take_top(struct chain *c, uint64_t size)
{
	settle(c);
	c->arena->top = size;
	mt_image_idle(c->w->img, c->w->heap, c->top + CHUNK_HDR, c->top + size);
}

static int finish_arena(struct mt_glibc_walk *w, struct mt_heap_arena *a, uint64_t system)
{
	uint64_t blocks = a->in_use + a->free;

	if (blocks > system || a->top > system - blocks)
		return mt_glibc_stuck(w, "more blocks than memory in the arena", a->address);
	a->system = system;
	a->other = system - blocks - a->top;
	return 0;
}

/* The main arena where it has been given all of its memory by brk. */
static int walk_brk(struct chain *c, uint64_t base, uint64_t end, uint64_t system)
{
	uint64_t p = align16(base), at;
	int r;

	if (end - base != system)
		return mt_unsound(c->w->img, "the main arena spans %llu bytes and believes in %llu",
				  (unsigned long long)(end - base), (unsigned long long)system);
	r = mt_glibc_add_region(c->w, p, end, true);
	if (r)
		return r;
	c->rg = &c->w->regions[c->w->n_regions - 1];
	while ((r = run(c, p, &at)) == 1) {
		p = fences_end(c->w, at, end);
		if (p)
			p = resume(c, p);
		if (!p)
			return mt_glibc_stuck(c->w, "no block behind foreign memory", at);
	}
	return r;
}

/* A chain at p, in the run of memory that ends at limit: walks it; 0 if there is none. */
static int walk_piece(struct chain *c, uint64_t p, uint64_t limit, uint64_t top_size, uint64_t *end)
{
	struct mt_glibc_region probe = {.start = p, .end = limit};
	bool found;
	uint64_t at;
	int r;

	if (c->top >= p && c->top < limit && c->top + top_size <= limit)
		probe.end = c->top + top_size;
	c->rg = &probe;
	found = is_chain(c, p, end);
	c->rg = NULL;
	if (!found)
		return c->w->late ? -ETIME : 0;
	r = mt_glibc_add_region(c->w, p, *end, true);
	if (r)
		return r;
	c->rg = &c->w->regions[c->w->n_regions - 1];
	r = run(c, p, &at);
	return r < 0 ? r : 1;
}

static bool starts_piece(const uint64_t head[2], uint64_t room)
{
	return !head[0] && is_chunk(head[1], room) &&
	       (head[1] & (PREV_INUSE | NON_MAIN)) == PREV_INUSE;
}

/* Every chain that starts at a page in [p, limit); *sum grows by their sizes. */
static int walk_pieces(struct chain *c, uint64_t p, uint64_t limit, uint64_t top_size,
		       uint64_t *sum)
{
	const struct mt_mem *mem = c->w->img->mem;
	uint64_t head[2], end;

	while (limit - p >= PAGE) {
		int r = 0;

		if (mem->skip && p % PAGE == 0)
			p = mem->skip(mem, p, limit);
		if (limit - p < PAGE)
			break;
		if (mt_glibc_late(c->w))
			return -ETIME;
		if (!mem->read(mem, p, head, sizeof(head)) &&
		    (p == c->top || starts_piece(head, limit - p)))
			r = walk_piece(c, p, limit, top_size, &end);
		if (r < 0)
			return r;
		if (r)
			*sum += end - p;
		p = r ? (end + PAGE - 1) & ~(PAGE - 1) : (p & ~(PAGE - 1)) + PAGE;
	}
	return 0;
}

/*
 * The main arena where brk was blocked: some of its memory, or all of it, has
 * been mapped piece by piece, and nothing lists the pieces.
 */
static int walk_scattered(struct chain *c, uint64_t base, uint64_t top_size, uint64_t system)
{
	const struct mt_image *img = c->w->img;
	uint64_t sum = 0;
	int r;

	for (size_t i = 0; i < img->n_areas; i++) {
		uint64_t p = img->areas[i].start;

		if (!img->areas[i].anon || img->areas[i].stack)
			continue;
		if (img->areas[i].brk && base > p && base < img->areas[i].end)
			p = align16(base);
		/* the kernel merges neighbours */
		while (i + 1 < img->n_areas && img->areas[i + 1].anon &&
		       img->areas[i + 1].start == img->areas[i].end)
			i++;
		r = walk_pieces(c, p, img->areas[i].end, top_size, &sum);
		if (r)
			return r;
	}
	if (sum != system)
		return mt_unsound(img,
				  "the main arena's pieces are %llu bytes, it believes in %llu",
				  (unsigned long long)sum, (unsigned long long)system);
	return 0;
}

int mt_glibc_walk_main(struct mt_glibc_walk *w, uint64_t arena)
{
	struct mt_heap_arena *a = mt_heap_add_arena(w->heap, arena);
	struct chain c = {.w = w, .arena = a};
	uint64_t size = 0, system = 0, base = 0;
	const struct mt_image_area *area;
	uint32_t flags;
	int r;

	if (!a)
		return -ENOMEM;
	r = read_top(w, arena, &c.top, &size, &system);
	if (r || !system)
		return r;
	if (!w->st->sbrk_base || !mt_glibc_word(w, w->st->sbrk_base, &base) ||
	    !mt_glibc_peek(w, arena + 4, &flags, sizeof(flags)))
		return mt_glibc_stuck(w, "no begin is known of the main arena", arena);
	area = mt_image_find(w->img, c.top);
	if (area && area->brk && base && base <= c.top && !(flags & NONCONTIGUOUS))
		r = walk_brk(&c, base, c.top + size, system);
	else
		r = walk_scattered(&c, base, size, system);
	if (r)
		return r;
	take_top(&c, size);
	return finish_arena(w, a, system);
}

/* A heap's struct heap_info, arena.c. */
struct heap_info {
	uint64_t arena, prev, size;
};

/* A heap that has grown since a fork is of several mappings. */
static bool is_anon(const struct mt_image *img, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct mt_image_area *area = mt_image_find(img, start);

		if (!area || !area->anon)
			return false;
		start = area->end;
	}
	return true;
}

static bool read_heap(struct mt_glibc_walk *w, uint64_t heap, uint64_t arena, struct heap_info *h)
{
	return mt_glibc_peek(w, heap, h, sizeof(*h)) && h->arena == arena && h->size % PAGE == 0 &&
	       h->size && h->size <= HEAP_SIZE_1G && is_anon(w->img, heap, heap + h->size);
}

/* The heap that holds top; heaps are aligned to their largest size, which a tunable sets. */
static bool find_top_heap(struct mt_glibc_walk *w, uint64_t arena, uint64_t top, uint64_t *ret)
{
	static const uint64_t aligns[] = {HEAP_SIZE, HEAP_SIZE_2M, HEAP_SIZE_1G};
	struct heap_info h;

	for (size_t i = 0; i < sizeof(aligns) / sizeof(aligns[0]); i++) {
		*ret = top & ~(aligns[i] - 1);
		if (read_heap(w, *ret, arena, &h) && top - *ret < h.size)
			return true;
	}
	return false;
}

int mt_glibc_each_heap(struct mt_glibc_walk *w, uint64_t arena, uint64_t top, mt_glibc_heap_fn fn,
		       void *ctx)
{
	uint64_t heap;
	int r = 0;

	if (!find_top_heap(w, arena, top, &heap))
		return mt_glibc_stuck(w, "an arena without a heap", arena);
	for (unsigned int n = 0; heap && !r; n++) {
		struct heap_info h;

		if (n == HEAPS_MAX || !read_heap(w, heap, arena, &h))
			return mt_glibc_stuck(w, "a heap that is none", heap);
		r = fn(w, heap, h.size, ctx);
		heap = h.prev;
	}
	return r;
}

/* Walking the heaps of one arena. */
struct heaps {
	struct chain c;
	uint64_t arena, info; /* info: bytes of a heap's header */
	uint64_t top_size;
	uint64_t sum;
};

static int walk_heap(struct mt_glibc_walk *w, uint64_t heap, uint64_t size, void *ctx)
{
	struct heaps *hs = ctx;
	bool first = heap == hs->arena - hs->info;
	uint64_t head = align16(hs->info + (first ? w->st->layout->size : 0));
	bool last = hs->c.top >= heap && hs->c.top < heap + size;
	uint64_t at, end = heap + size;
	int r;

	if (size <= head)
		return mt_glibc_stuck(w, "a heap that is none", heap);
	r = mt_glibc_add_region(w, heap + head, end, true);
	if (r)
		return r;
	hs->c.rg = &w->regions[w->n_regions - 1];
	r = run(&hs->c, heap + head, &at);
	if (r < 0)
		return r;
	/* an older heap ends in a fencepost and a header of size 0, the youngest in top */
	if (last != (r == 0) || (last && hs->top_size != end - at) ||
	    (r == 1 && end - at > 2ull * FENCE))
		return mt_glibc_stuck(w, "a heap that does not end", at);
	hs->sum += size;
	w->heap->span_bytes += head;
	return 0;
}

int mt_glibc_walk_arena(struct mt_glibc_walk *w, uint64_t arena)
{
	struct mt_heap_arena *a = mt_heap_add_arena(w->heap, arena);
	struct heaps hs = {
		.c = {.w = w, .arena = a, .flag = NON_MAIN}, .arena = arena, .info = arena % PAGE};
	uint64_t size = 0, system = 0;
	int r;

	if (!a)
		return -ENOMEM;
	r = read_top(w, arena, &hs.c.top, &size, &system);
	if (r || !system)
		return r;
	if (hs.info > HEAP_INFO_MAX)
		return mt_glibc_stuck(w, "an arena without a heap", arena);
	hs.top_size = size;
	r = mt_glibc_each_heap(w, arena, hs.c.top, walk_heap, &hs);
	if (r)
		return r;
	if (hs.sum != system)
		return mt_unsound(w->img, "an arena's heaps are %llu bytes, it believes in %llu",
				  (unsigned long long)hs.sum, (unsigned long long)system);
	take_top(&hs.c, size);
	return finish_arena(w, a, system);
}
