/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which private writable memory is the allocator's and which is stacks. Layouts
 * are glibc's, LP64: malloc/arena.c (heap_info), malloc/malloc.c (mapped
 * chunks), nptl/allocatestack.c and nptl/descr.h (stacks).
 *
 * The kernel merges neighbouring anonymous mappings, so a run of them is walked
 * from its start as a chain of arenas, mapped blocks and stacks. Over memory
 * that is none of these the walk looks at page starts, as many as the reading
 * may, and remembers what it found there; then it jumps: what lies beyond counts
 * as other memory until a later reading comes to it, never as heap by guess.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/vm_internal.h"

#define PAGE            MT_MEM_PAGE
#define MIB             (1ull << 20)
#define HEAP_ALIGN      (64 * MIB) /* HEAP_MAX_SIZE */
#define HEAP_ALIGN_HUGE (8 * MIB)  /* glibc.malloc.hugetlb=2, 2 MiB pages */
#define HEAP_MAX_HUGE   (4096 * MIB)
#define HUGE_PAGE       (2 * MIB)
#define CHUNK_MAPPED    2ull
#define CHUNK_FLAGS     7ull

#define READS_MAX   (1u << 17)      /* headers looked at in one classification */
#define SKIP_COST   8u              /* pages that one skip over untouched ones counts as */
#define JUMPS_MAX   1024u           /* places tried for an arena where nothing else is looked at */
#define SCAN_MIN    (128 * 1024ull) /* the least block believed there: M_MMAP_THRESHOLD */
#define ALIGN_PAGES 64u             /* memalign: pages searched for a moved block's header */
#define NO_PAGE     UINT64_MAX
#define STACK_MAX   (1ull << 40)

struct range {
	uint64_t lo, hi;
};

struct walk {
	const struct mt_vm_areas *areas;
	const struct mt_mem *mem;
	struct mt_vm_cache *cache;
	struct range *stacks; /* threads' stacks, sorted by hi */
	size_t n_stacks, next_stack;
	size_t at;                 /* no area before this one reaches what is yet to be added */
	unsigned int reads, jumps; /* left */
	uint64_t page_addr;        /* the page that was read last, NO_PAGE for none */
	uint64_t page[PAGE / 8];
	struct mt_vm_parts *out;
};

static uint64_t page_up(uint64_t v)
{
	return (v + PAGE - 1) & ~(PAGE - 1);
}

static bool peek(struct walk *w, uint64_t addr, void *buf, size_t n)
{
	if (!w->reads)
		return false;
	w->reads--;
	return w->mem->read(w->mem, addr, buf, n) == 0;
}

/* The same for two words at a page start: mostly more of the page is asked for next. */
static bool peek_head(struct walk *w, uint64_t p, uint64_t head[2])
{
	if (w->page_addr != p) {
		w->page_addr = NO_PAGE;
		if (!peek(w, p, w->page, sizeof(w->page)))
			return false;
		w->page_addr = p;
	}
	memcpy(head, w->page, 2 * sizeof(*head));
	return true;
}

/* The share of an area's resident bytes that falls on part of it. */
static uint64_t share(const struct mt_vm_area *m, uint64_t part)
{
	uint64_t size = m->end - m->start;

	return part == size ? m->rss : (uint64_t)((unsigned __int128)m->rss * part / size);
}

/* Adds [lo, hi) to *bytes and *resident; ranges come in ascending order. */
static void add(struct walk *w, uint64_t lo, uint64_t hi, uint64_t *bytes, uint64_t *resident)
{
	while (w->at < w->areas->n && w->areas->v[w->at].end <= lo)
		w->at++;
	for (size_t i = w->at; i < w->areas->n && w->areas->v[i].start < hi; i++) {
		const struct mt_vm_area *m = &w->areas->v[i];
		uint64_t from = m->start > lo ? m->start : lo;
		uint64_t to = m->end < hi ? m->end : hi;

		*resident += share(m, to - from);
	}
	*bytes += hi - lo;
}

static void add_heap(struct walk *w, uint64_t lo, uint64_t hi)
{
	add(w, lo, hi, &w->out->heap, &w->out->heap_resident);
}

static void add_stack(struct walk *w, uint64_t lo, uint64_t hi)
{
	add(w, lo, hi, &w->out->stack, &w->out->stack_resident);
}

/* heap_info, malloc/arena.c; 2.35 added pagesize behind these. */
struct heap_info {
	uint64_t ar_ptr, prev, size, mprotect_size;
};

/* The arena's state follows the heap_info of the arena's first heap. */
static bool is_arena_of(uint64_t ar_ptr, uint64_t heap)
{
	return ar_ptr % 16 == 0 && ar_ptr >= heap + 0x20 && ar_ptr <= heap + 0x60;
}

/* Bytes of the non-main heap at p that are accessible, or 0 if there is none. */
static uint64_t arena_len(struct walk *w, uint64_t p, uint64_t hi)
{
	uint64_t max = p % HEAP_MAX_HUGE == 0 ? HEAP_MAX_HUGE
		       : p % HEAP_ALIGN == 0  ? HEAP_ALIGN
					      : HEAP_ALIGN_HUGE;
	struct heap_info h;
	uint64_t first, owner;

	if (p % HEAP_ALIGN_HUGE != 0 || !peek(w, p, &h, sizeof(h)))
		return 0;
	if (!h.size || h.size % PAGE || h.mprotect_size % PAGE || h.size > h.mprotect_size ||
	    h.mprotect_size > hi - p || h.mprotect_size > max)
		return 0;
	if (!h.prev)
		return is_arena_of(h.ar_ptr, p) ? h.mprotect_size : 0;
	first = h.ar_ptr & ~(HEAP_ALIGN_HUGE - 1);
	if (h.prev % HEAP_ALIGN_HUGE || h.prev == p || !is_arena_of(h.ar_ptr, first))
		return 0;
	if (!peek(w, first, &owner, sizeof(owner)) || owner != h.ar_ptr ||
	    !peek(w, h.prev, &owner, sizeof(owner)) || owner != h.ar_ptr)
		return 0;
	return h.mprotect_size;
}

/*
 * The bytes from the block's page at p to its end by a header at offset, or 0.
 * The header's size says total - offset, from glibc 2.43 on 16 less; there bit
 * 0 of prev_size marks a huge page. Believed without its alignment, that bit
 * would make blocks of CPython's integers ({1, value} at page starts: seen).
 */
static uint64_t mapped_total(const uint64_t header[2], uint64_t p, uint64_t offset)
{
	uint64_t size = header[1] & ~CHUNK_FLAGS, total;

	if ((header[0] & ~1ull) != offset || (header[1] & CHUNK_FLAGS) != CHUNK_MAPPED ||
	    size > UINT64_MAX / 2)
		return 0;
	total = size + offset;
	if (total % PAGE)
		total += 16;
	if (header[0] & 1 && (p % HUGE_PAGE || total % HUGE_PAGE))
		return 0;
	return total % PAGE || total < PAGE ? 0 : total;
}

static void read_heads(struct walk *w, uint64_t p, size_t n, uint64_t (*heads)[2])
{
	if (w->mem->heads) {
		w->mem->heads(w->mem, p, n, heads);
		return;
	}
	memset(heads, 0, n * sizeof(*heads));
	for (size_t i = 0; i < n; i++)
		peek(w, p + i * PAGE, heads[i], sizeof(heads[i]));
}

/*
 * memalign moved the header behind the page start by up to a page, to
 * ALIGN_UP(16, al) - 16. *lead says that no caller wrote to the first page, as
 * it is in front of a block aligned to more than a page.
 */
static uint64_t aligned_total(struct walk *w, uint64_t p, uint64_t room, bool *lead)
{
	uint64_t head[2], *page = w->page;

	*lead = false;
	if (room < PAGE || !peek_head(w, p, head))
		return 0;
	for (uint64_t al = 64; al <= PAGE; al *= 2) {
		uint64_t total = mapped_total(page + (al - 16) / 8, p, al - 16);

		if (total && total <= room)
			return total;
	}
	*lead = true;
	for (size_t i = 2; i < PAGE / 8 - 2 && *lead; i++)
		*lead = page[i] == 0;
	return 0;
}

/* The same for alignments above a page: the header is at the end of some page. */
static uint64_t far_aligned_total(struct walk *w, uint64_t p, uint64_t room)
{
	uint64_t heads[ALIGN_PAGES][2], n = room / PAGE < ALIGN_PAGES ? room / PAGE : ALIGN_PAGES;

	read_heads(w, p + PAGE - 16, n, heads);
	for (uint64_t i = 1; i < n; i++) {
		uint64_t total = mapped_total(heads[i], p, (i + 1) * PAGE - 16);

		if (total && total <= room)
			return total;
	}
	return 0;
}

static bool is_boundary(struct walk *w, uint64_t p, uint64_t hi)
{
	uint64_t header[2];

	if (p == hi)
		return true;
	for (size_t i = w->next_stack; i < w->n_stacks && w->stacks[i].lo <= p; i++) {
		if (w->stacks[i].lo == p)
			return true;
	}
	return (peek_head(w, p, header) && mapped_total(header, p, 0)) || arena_len(w, p, hi);
}

/*
 * Bytes of the mapped block at p, or 0 if there is none. After memalign a stale
 * header stays at the page start; it is right until mremap changes the block,
 * and then only the real header, behind it, is.
 */
static uint64_t block_len(struct walk *w, uint64_t p, uint64_t hi)
{
	uint64_t header[2], total, real;
	bool lead;

	if (!peek_head(w, p, header))
		return 0;
	total = mapped_total(header, p, 0);
	if (!total)
		return 0;
	real = aligned_total(w, p, hi - p, &lead);
	if (real)
		return real;
	if (total <= hi - p && is_boundary(w, p + total, hi))
		return total;
	real = lead ? far_aligned_total(w, p, hi - p) : 0;
	if (real)
		return real;
	return total <= hi - p ? total : 0;
}

/* A part that ends inside a thread's stack is no block, whatever it looks like. */
static bool cuts_stack(const struct walk *w, uint64_t lo, uint64_t hi)
{
	for (size_t i = w->next_stack; i < w->n_stacks && w->stacks[i].lo < hi; i++) {
		if (w->stacks[i].lo >= lo && w->stacks[i].hi > hi)
			return true;
	}
	return false;
}

static uint64_t item_len(struct walk *w, uint64_t p, uint64_t hi)
{
	uint64_t len = arena_len(w, p, hi);

	if (!len)
		len = block_len(w, p, hi);
	return len && !cuts_stack(w, p, p + len) ? len : 0;
}

static uint64_t skip(struct walk *w, uint64_t p, uint64_t hi)
{
	return w->mem->skip && p < hi ? w->mem->skip(w->mem, p, hi) : p;
}

static void spend(unsigned int *left, size_t n)
{
	*left -= *left < n ? *left : (unsigned int)n;
}

/*
 * Looks for a block or an arena at the page starts of [p, hi), at no more than
 * *left of them. Returns where it stopped; *found says that there is one.
 */
static uint64_t scan(struct walk *w, uint64_t p, uint64_t hi, uint64_t run_hi, unsigned int *left,
		     bool *found)
{
	uint64_t heads[MT_MEM_HEADS][2];
	size_t batch = 16;

	while (p < hi && *left) {
		uint64_t used = skip(w, p, hi);
		size_t room = (hi - used + PAGE - 1) / PAGE, n = *left < batch ? *left : batch;

		if (n > room)
			n = room;
		spend(left, n + (used > p ? SKIP_COST : 0));
		p = used;
		if (!n)
			break;
		read_heads(w, p, n, heads);
		for (size_t i = 0; i < n; i++, p += PAGE) {
			*found = mapped_total(heads[i], p, 0) >= SCAN_MIN ||
				 (p % HEAP_ALIGN_HUGE == 0 && arena_len(w, p, run_hi));
			if (*found)
				return p;
		}
		batch = batch * 2 < MT_MEM_HEADS ? batch * 2 : MT_MEM_HEADS;
	}
	return p < hi ? p : hi;
}

/* [p, hi) held nothing at an earlier reading: some of it is looked at again. */
static uint64_t pass(struct walk *w, uint64_t p, uint64_t hi, uint64_t run_hi, bool *found)
{
	struct mt_vm_cache *c = w->cache;
	uint64_t from = c->cursor > p ? c->cursor : p;

	if (!c->again || from >= hi)
		return hi;
	c->cursor = scan(w, from, hi, run_hi, &c->again, found);
	return *found ? c->cursor : hi;
}

/* One stretch gets at most half of the pages that are left: there may be others. */
static uint64_t look(struct walk *w, uint64_t p, uint64_t hi, uint64_t run_hi, bool *found)
{
	unsigned int part = (w->cache->fresh + 1) / 2, left = part;
	uint64_t end = scan(w, p, hi, run_hi, &left, found);

	w->cache->fresh -= part - left;
	return end;
}

/* The next place in [p, hi) where an arena is; hi if none is found. */
static uint64_t jump(struct walk *w, uint64_t p, uint64_t hi, uint64_t run_hi)
{
	while (p < hi && w->jumps) {
		w->jumps--;
		p = skip(w, p, hi);
		if (p > UINT64_MAX - HEAP_ALIGN)
			break;
		p = (p + HEAP_ALIGN - 1) & ~(HEAP_ALIGN - 1);
		if (p < hi && arena_len(w, p, run_hi))
			return p;
		p += PAGE;
	}
	return hi;
}

/* The page at p begins no item: the next place in [p + PAGE, hi) that may, or hi. */
static uint64_t next_item(struct walk *w, uint64_t p, uint64_t hi, uint64_t run_hi)
{
	uint64_t end = p + PAGE;
	bool found = false;

	for (;;) {
		const struct mt_vm_seg *s;
		uint64_t until = hi;

		mt_vm_cache_note(w->cache, p, end < hi ? end : hi, false);
		p = end;
		if (found || p >= hi)
			return p < hi ? p : hi;
		s = mt_vm_cache_find(w->cache, p);
		if (s && mt_vm_seg_lo(s) == p && mt_vm_seg_items(s))
			return p;
		if (s && mt_vm_seg_lo(s) > p)
			until = mt_vm_seg_lo(s) < hi ? mt_vm_seg_lo(s) : hi;
		else if (s)
			until = s->hi < hi ? s->hi : hi;
		if (s && mt_vm_seg_lo(s) <= p && !mt_vm_seg_items(s)) {
			end = pass(w, p, until, run_hi, &found);
			continue;
		}
		end = look(w, p, until, run_hi, &found);
		if (found || end == until)
			continue;
		mt_vm_cache_note(w->cache, p, end, false);
		p = end = jump(w, end, until, run_hi);
		found = p < until;
	}
}

/* The stack that covers p, or the next one behind it that begins in front of hi, or NULL. */
static const struct range *stack_at(struct walk *w, uint64_t p, uint64_t hi)
{
	while (w->next_stack < w->n_stacks && w->stacks[w->next_stack].hi <= p)
		w->next_stack++;
	if (w->next_stack < w->n_stacks && w->stacks[w->next_stack].lo < hi)
		return &w->stacks[w->next_stack];
	return NULL;
}

static void walk_run(struct walk *w, uint64_t lo, uint64_t hi)
{
	uint64_t p = lo;

	while (p < hi) {
		uint64_t len = item_len(w, p, hi);
		const struct range *s;

		if (len) {
			mt_vm_cache_note(w->cache, p, p + len, true);
			add_heap(w, p, p + len);
			p += len;
			continue;
		}
		s = stack_at(w, p, hi);
		if (s && s->lo <= p) {
			uint64_t end = s->hi < hi ? s->hi : hi;

			add_stack(w, p, end);
			p = end;
			continue;
		}
		p = next_item(w, p, s ? s->lo : hi, hi);
	}
}

/*
 * struct pthread, behind the robust list head, holds stackblock,
 * stackblock_size, guardsize in a row at an offset that varies by version; they
 * are known by enclosing the head near their end.
 */
static bool stack_from_pthread(struct walk *w, uint64_t head, uint64_t limit, struct range *ret)
{
	uint64_t v[256];
	size_t n = sizeof(v) < limit - head ? sizeof(v) / 8 : (limit - head) / 8;

	if (n < 3 || !peek(w, head, v, n * 8))
		return false;
	for (size_t i = 0; i + 2 < n; i++) {
		uint64_t lo = v[i], size = v[i + 1], guard = v[i + 2];

		if (size < 2 * PAGE || size > STACK_MAX || guard >= size || lo > head ||
		    head - lo >= size || size - (head - lo) > 2 * PAGE)
			continue;
		ret->lo = (lo + guard) & ~(PAGE - 1);
		ret->hi = page_up(lo + size);
		return ret->lo < ret->hi;
	}
	return false;
}

static bool find_stack(struct walk *w, uint64_t head, struct range *ret)
{
	const struct mt_vm_area *m = mt_vm_areas_find(w->areas, head);

	if (!m || m->kind != MT_VM_ANON)
		return false;
	if (!stack_from_pthread(w, head, m->end, ret)) {
		ret->lo = m->start;
		ret->hi = page_up(head + 1);
	}
	if (ret->lo < m->start)
		ret->lo = m->start;
	if (ret->hi > m->end)
		ret->hi = m->end;
	return ret->lo <= head && head < ret->hi;
}

static int by_end(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->hi != y->hi)
		return x->hi < y->hi ? -1 : 1;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static int find_stacks(struct walk *w, const uint64_t *robust_lists, size_t n)
{
	if (!n)
		return 0;
	w->stacks = calloc(n, sizeof(*w->stacks));
	if (!w->stacks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (robust_lists[i] && find_stack(w, robust_lists[i], &w->stacks[w->n_stacks]))
			w->n_stacks++;
	}
	qsort(w->stacks, w->n_stacks, sizeof(*w->stacks), by_end);
	return 0;
}

static void add_brk(struct walk *w, const struct mt_vm_area *m, uint64_t start_brk)
{
	/* .bss may share the heap's first mapping; start_brk divides them. */
	uint64_t lo = page_up(start_brk) > m->start ? page_up(start_brk) : m->start;

	if (lo >= m->end)
		return;
	add_heap(w, lo, m->end);
	w->out->heap_brk += m->end - lo;
}

static void walk_all(struct walk *w, uint64_t start_brk)
{
	for (size_t i = 0; i < w->areas->n; i++) {
		const struct mt_vm_area *m = &w->areas->v[i];

		if (m->kind == MT_VM_HEAP)
			add_brk(w, m, start_brk);
		else if (m->kind == MT_VM_STACK)
			add_stack(w, m->start, m->end);
		else
			walk_run(w, m->start, mt_vm_areas_run(w->areas, &i));
	}
}

int mt_vm_classify(const struct mt_vm_areas *areas, const struct mt_mem *mem, uint64_t start_brk,
		   const uint64_t *robust_lists, size_t n_threads, struct mt_vm_cache *cache,
		   struct mt_vm_parts *out)
{
	struct mt_vm_parts parts = {0};
	struct walk w = {.areas = areas,
			 .mem = mem,
			 .cache = cache,
			 .reads = READS_MAX,
			 .jumps = JUMPS_MAX,
			 .page_addr = NO_PAGE,
			 .out = &parts};
	int r = find_stacks(&w, robust_lists, n_threads);

	if (r)
		return r;
	mt_vm_cache_start(cache);
	walk_all(&w, start_brk);
	mt_vm_cache_finish(cache);
	free(w.stacks);
	*out = parts;
	return 0;
}
