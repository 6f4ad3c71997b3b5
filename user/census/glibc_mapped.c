/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks that have a mapping of their own. Nothing lists them: they are found
 * by their headers at page starts of anonymous memory, where their number and
 * bytes must be what the allocator believes (mp_.n_mmaps, mp_.mmapped_mem).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census/glibc_internal.h"

#define MAPPED_MAX (1u << 20)
#define HUGE_FLAG  1ull  /* 2.43: of prev_size, the mapping has huge pages */
#define EXTRA_243  16ull /* 2.43: the mapping is so much larger than the header says */

struct believed {
	uint64_t n, bytes;
};

static uint64_t page_up(uint64_t v)
{
	return (v + PAGE - 1) & ~(PAGE - 1);
}

/* The header at p, if it is one of a mapped block that began offset bytes before. */
static bool is_header(const struct mt_glibc_walk *w, const uint64_t head[2], uint64_t offset,
		      uint64_t room, struct mt_glibc_mapped *m)
{
	bool newer = w->st->layout->mapped_243;
	uint64_t size = head[1] & ~FLAGS, total = size + offset + (newer ? EXTRA_243 : 0);

	if ((head[1] & FLAGS) != IS_MMAPPED || size < CHUNK_MIN || size > room)
		return false;
	if ((newer ? head[0] & ~HUGE_FLAG : head[0]) != offset || total % PAGE || total > room)
		return false;
	m->size = size;
	m->total = total;
	return true;
}

/*
 * memalign moves the block's begin up in its mapping, and leaves the first
 * header behind as it was: the true one is in front of a multiple of some power
 * of two, and knows how far it is from the mapping's start; that is inside of the
 * size that the first one says, as mremap changes neither. 1, 0 if there is none,
 * or -errno: no telling.
 */
static int find_aligned(struct mt_glibc_walk *w, uint64_t p, uint64_t size, uint64_t room,
			struct mt_glibc_mapped *m)
{
	uint64_t total = size + EXTRA_243, reach = total < room ? total : room;

	for (uint64_t al = CHUNK_MIN; al < reach; al *= 2) {
		uint64_t x = ((p + CHUNK_HDR + al - 1) & ~(al - 1)) - CHUNK_HDR, head[2];

		if (x == p || x - p + CHUNK_MIN > reach)
			continue;
		if (!mt_glibc_peek(w, x, head, sizeof(head)))
			return -EFAULT;
		if (is_header(w, head, x - p, room, m)) {
			m->chunk = x;
			return 1;
		}
	}
	return 0;
}

/*
 * The same of a block aligned to more than a page that mremap has moved since:
 * the distance is what it was, the alignment is lost, but not against a page.
 */
static bool find_moved(struct mt_glibc_walk *w, uint64_t p, uint64_t size, uint64_t room,
		       struct mt_glibc_mapped *m)
{
	uint64_t end = p + (size < room ? size : room), x = p + PAGE - CHUNK_HDR;
	uint64_t heads[MT_MEM_HEADS][2];

	while (x < end && !mt_glibc_late(w)) {
		size_t n = (end - x + PAGE - 1) / PAGE < MT_MEM_HEADS ? (end - x + PAGE - 1) / PAGE
								      : MT_MEM_HEADS;

		mt_glibc_heads(w, x, n, heads);
		for (size_t i = 0; i < n; i++, x += PAGE)
			if (is_header(w, heads[i], x - p, room, m)) {
				m->chunk = x;
				return true;
			}
	}
	return false;
}

/*
 * The header at a page's start: that of a block, or what memalign left behind,
 * which is stale once the block has been remapped.
 */
static bool may_begin(const struct mt_glibc_walk *w, const uint64_t head[2])
{
	bool newer = w->st->layout->mapped_243;
	uint64_t size = head[1] & ~FLAGS;

	return (head[1] & FLAGS) == IS_MMAPPED && size > CHUNK_MIN && size < ADDRESS_LIMIT &&
	       (newer ? head[0] & ~HUGE_FLAG : head[0]) == 0 &&
	       (size + (newer ? EXTRA_243 : 0)) % PAGE == 0;
}

/* What the search for blocks looks at; each is tried where the one before did not add up. */
enum effort {
	EFFORT_STARTS, /* the starts of mappings, and where find saw headers */
	EFFORT_PAGES,  /* every page */
	EFFORT_MOVED,  /* and in each block for a header that has moved in it */
};

/* A mapped block that starts at page p of memory that goes on for room bytes. */
static bool find_block(struct mt_glibc_walk *w, uint64_t p, uint64_t room, enum effort effort,
		       struct mt_glibc_mapped *m)
{
	struct mt_glibc_mapped plain = {.chunk = p};
	uint64_t head[2];
	int r;

	if (!mt_glibc_peek(w, p, head, sizeof(head)) || !may_begin(w, head))
		return false;
	r = find_aligned(w, p, head[1] & ~FLAGS, room, m);
	if (r)
		return r > 0;
	if (effort == EFFORT_MOVED && find_moved(w, p, head[1] & ~FLAGS, room, m))
		return true;
	*m = plain;
	return is_header(w, head, 0, room, m);
}

static int add(struct mt_glibc_walk *w, const struct mt_glibc_mapped *m)
{
	if (w->n_mapped == w->cap_mapped) {
		size_t cap = w->cap_mapped ? 2 * w->cap_mapped : 64;
		struct mt_glibc_mapped *v = realloc(w->mapped, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		w->mapped = v;
		w->cap_mapped = cap;
	}
	if (w->n_mapped == MAPPED_MAX)
		return mt_unsound(w->img, "more than %u mapped blocks", MAPPED_MAX);
	w->mapped[w->n_mapped++] = *m;
	return 0;
}

/* The end of the arena memory that p lies in, else p. */
static uint64_t skip_arena(const struct mt_glibc_walk *w, uint64_t p)
{
	const struct mt_glibc_region *rg = mt_glibc_region_of(w, p);

	/* a heap's header stands before its first chunk, on the same page */
	if (!rg)
		rg = mt_glibc_region_of(w, p + PAGE - 1);
	return rg ? page_up(rg->end) : p;
}

/* Which of the pages at p can begin a block: the first such page, or end. */
static uint64_t next_page(struct mt_glibc_walk *w, uint64_t p, uint64_t end)
{
	const struct mt_mem *mem = w->img->mem;
	uint64_t heads[MT_MEM_HEADS][2];

	while (p < end && !mt_glibc_late(w)) {
		size_t n;

		if (mem->skip)
			p = mem->skip(mem, p, end);
		n = (end - p) / PAGE < MT_MEM_HEADS ? (end - p) / PAGE : MT_MEM_HEADS;
		mt_glibc_heads(w, p, n, heads);
		for (size_t i = 0; i < n; i++, p += PAGE)
			if (may_begin(w, heads[i]))
				return p;
	}
	return end;
}

/* The same among the pages that find noted. */
static uint64_t next_noted(const struct mt_glibc_walk *w, uint64_t p, uint64_t end)
{
	const uint64_t *v = w->st->headers;
	size_t lo = 0, hi = w->st->n_headers;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid] < p)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->st->n_headers && v[lo] < end ? v[lo] : end;
}

/* Blocks in one run of memory, one after the other. */
static int scan_run(struct mt_glibc_walk *w, uint64_t p, uint64_t end, enum effort effort)
{
	struct mt_glibc_mapped m;
	int r;

	while (p < end && !w->late) {
		uint64_t arena_end = skip_arena(w, p);

		if (arena_end > p) {
			p = arena_end;
		} else if (find_block(w, p, end - p, effort, &m)) {
			r = add(w, &m);
			if (r)
				return r;
			p += m.total;
		} else if (effort > EFFORT_STARTS) {
			p = next_page(w, p + PAGE, end);
		} else {
			p = next_noted(w, p + PAGE, end);
		}
	}
	return w->late ? -ETIME : 0;
}

static bool may_hold(const struct mt_image_area *a)
{
	return a->anon && !a->stack && !a->brk;
}

typedef int (*run_fn)(struct mt_glibc_walk *w, uint64_t p, uint64_t end, enum effort effort);

/* Calls fn for each run of neighbouring mappings that may hold blocks. */
static int each_run(struct mt_glibc_walk *w, run_fn fn, enum effort effort)
{
	const struct mt_image_area *v = w->img->areas;
	int r = 0;

	for (size_t i = 0; i < w->img->n_areas && !r; i++) {
		uint64_t start = v[i].start;

		if (!may_hold(&v[i]))
			continue;
		while (i + 1 < w->img->n_areas && v[i + 1].start == v[i].end && may_hold(&v[i + 1]))
			i++;
		r = fn(w, start, v[i].end, effort);
	}
	return r;
}

static int scan(struct mt_glibc_walk *w, enum effort effort)
{
	w->n_mapped = 0;
	return each_run(w, scan_run, effort);
}

/*
 * In 2.43 each mremap adds 16 bytes too many to what the allocator believes. So
 * few that no page is missing for it are believed at once, more only where all
 * has been looked at.
 */
static bool adds_up(const struct mt_glibc_walk *w, const struct believed *b, enum effort effort)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < w->n_mapped; i++)
		sum += w->mapped[i].total;
	if (w->n_mapped != b->n)
		return false;
	if (!w->st->layout->mapped_243)
		return sum == b->bytes;
	return b->bytes >= sum && (b->bytes - sum) % EXTRA_243 == 0 &&
	       (b->bytes - sum < PAGE || effort == EFFORT_MOVED);
}

static bool read_believed(struct mt_glibc_walk *w, struct believed *b)
{
	uint64_t at = w->st->sbrk_base;
	int32_t n;

	if (!at || !mt_glibc_peek(w, at - w->st->n_mmaps_off, &n, sizeof(n)) ||
	    !mt_glibc_word(w, at - 16, &b->bytes) || n < 0)
		return false;
	b->n = (uint64_t)n;
	return true;
}

static void count(struct mt_glibc_walk *w)
{
	bool newer = w->st->layout->mapped_243;

	for (size_t i = 0; i < w->n_mapped; i++) {
		mt_heap_count(w->heap, w->mapped[i].size - (newer ? 8 : CHUNK_HDR), 1);
		w->heap->mapped_objects++;
		w->heap->mapped_system += w->mapped[i].total;
	}
}

int mt_glibc_walk_mapped(struct mt_glibc_walk *w)
{
	struct believed b;
	bool sound = false;
	int r = 0;

	if (!read_believed(w, &b))
		return mt_glibc_stuck(w, "no count is known of mapped blocks", w->st->main_arena);
	if (!b.n && !b.bytes)
		return 0;
	for (enum effort e = EFFORT_STARTS; e <= EFFORT_MOVED && !r && !sound; e++) {
		r = scan(w, e);
		sound = !r && adds_up(w, &b, e);
	}
	if (r)
		return r;
	if (!sound)
		return mt_unsound(w->img, "%zu mapped blocks were found, the allocator has %llu",
				  w->n_mapped, (unsigned long long)b.n);
	count(w);
	return 0;
}

/* Heaps are known, and need not be looked at. */
static int pass_heap(struct mt_glibc_walk *w, uint64_t heap, uint64_t size, void *ctx)
{
	(void)ctx;
	return mt_glibc_add_region(w, heap, heap + size, false);
}

static int note_run(struct mt_glibc_walk *w, uint64_t p, uint64_t end, enum effort effort)
{
	struct mt_glibc_state *st = w->st;

	(void)effort;
	while (p < end && st->n_headers < MAPPED_MAX) {
		uint64_t arena_end = skip_arena(w, p);

		p = arena_end > p ? arena_end : next_page(w, p, end);
		if (p < end && skip_arena(w, p) == p) {
			st->headers[st->n_headers++] = p;
			p += PAGE;
		}
	}
	return 0;
}

int mt_glibc_find_mapped(struct mt_glibc_walk *w)
{
	struct mt_glibc_state *st = w->st;
	struct believed b;
	uint64_t top;

	/* What the process does meanwhile may spoil this, which is then of no use and no harm. */
	if (!read_believed(w, &b) || !b.n ||
	    (!scan(w, EFFORT_STARTS) && adds_up(w, &b, EFFORT_STARTS)))
		return 0;
	for (size_t i = 1; i < st->n_arenas; i++)
		if (mt_glibc_word(w, st->arenas[i] + st->layout->top, &top) &&
		    mt_glibc_each_heap(w, st->arenas[i], top, pass_heap, NULL) == -ENOMEM)
			return -ENOMEM;
	mt_glibc_sort_regions(w);
	st->headers = calloc(MAPPED_MAX, sizeof(*st->headers));
	if (!st->headers)
		return -ENOMEM;
	return each_run(w, note_run, EFFORT_PAGES);
}
