/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks that are free for the program and in use for the chains: those in the
 * threads' caches (tcache) and in fastbins. Every entry must be a block that the
 * chains showed, of its list's size, and stand in one list only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census/glibc_internal.h"

#define SMALL_BINS  64u
#define BINS_MAX    76u
#define CHUNK_SLACK 32u    /* a remainder too small to be a chunk of its own stays with it */
#define LIST_DRY    65536u /* entries looked at to see whether links are mangled */

/* struct tcache_perthread_struct: counts, then entries. */
struct cache_layout {
	uint32_t counts_size; /* bytes of one count */
	uint32_t bins;
	bool slots;       /* counts what is left, not what is there */
	uint32_t entries; /* offset */
	uint32_t chunk;   /* size of its own chunk */
};

static const struct cache_layout cache_layouts[] = {
	{1, 64, false, 64, 0x250},  /* 2.26 to 2.29 */
	{2, 64, false, 128, 0x290}, /* 2.30 to 2.41 */
	{2, 76, true, 152, 0x300},  /* 2.42 on */
};

struct cache {
	const struct cache_layout *layout;
	uint64_t chunk;
	uint32_t n[BINS_MAX];
	uint64_t entries[BINS_MAX];
};

enum kept { KEPT_CACHED, KEPT_FAST, KEPT_OWN };

/* Sizes of chunks that a list may hold. */
struct sizes {
	uint64_t lo, hi;
};

/* The layout whose struct a chunk of that size may hold, or NULL. */
static const struct cache_layout *layout_of(uint64_t size)
{
	for (size_t i = 0; i < sizeof(cache_layouts) / sizeof(cache_layouts[0]); i++)
		if (size - cache_layouts[i].chunk <= CHUNK_SLACK)
			return &cache_layouts[i];
	return NULL;
}

static bool is_used(struct mt_glibc_walk *w, uint64_t chunk)
{
	struct mt_glibc_region *rg = mt_glibc_region_of(w, chunk);
	uint64_t bit = rg ? (chunk - rg->start) / 16 : 0;

	return rg && chunk % 16 == 0 && (rg->used[bit / 64] >> bit % 64 & 1);
}

static int by_chunk(const void *key, const void *item)
{
	const uint64_t *chunk = key;
	const struct mt_glibc_mapped *m = item;

	return *chunk < m->chunk ? -1 : *chunk > m->chunk;
}

/* The block in use that has its own mapping and its header at chunk, or NULL. */
static struct mt_glibc_mapped *find_mapped(const struct mt_glibc_walk *w, uint64_t chunk)
{
	struct mt_glibc_mapped *m = NULL;

	if (w->n_mapped)
		m = bsearch(&chunk, w->mapped, w->n_mapped, sizeof(*m), by_chunk);
	return m && m->size ? m : NULL;
}

/* From 2.43 on such blocks may be cached, too. */
static int take_mapped(struct mt_glibc_walk *w, uint64_t chunk, uint64_t *size)
{
	struct mt_glibc_mapped *m = find_mapped(w, chunk);

	if (!m)
		return mt_glibc_stuck(w, "a cached block that is none, or twice", chunk);
	*size = m->size;
	m->size = 0;
	mt_heap_uncount(w->heap, *size - sizeof(uint64_t));
	w->heap->mapped_objects--;
	return 0;
}

/* A chunk that is free for the program leaves the count. */
static int take_back(struct mt_glibc_walk *w, uint64_t chunk, enum kept kept, uint64_t *size)
{
	struct mt_glibc_region *rg = mt_glibc_region_of(w, chunk);
	struct mt_heap_arena *a;
	uint64_t bit;

	if (!is_used(w, chunk) && w->st->layout->mapped_243 && kept == KEPT_CACHED)
		return take_mapped(w, chunk, size);
	if (!is_used(w, chunk) || !mt_glibc_word(w, chunk + 8, size))
		return mt_glibc_stuck(w, "a cached block that is none, or twice", chunk);
	bit = (chunk - rg->start) / 16;
	rg->used[bit / 64] &= ~(1ull << bit % 64);
	*size &= ~FLAGS;
	a = &w->heap->arenas[rg->arena];
	a->in_use -= *size;
	a->objects--;
	if (kept == KEPT_CACHED)
		a->cached += *size;
	else if (kept == KEPT_FAST)
		a->fast += *size;
	else
		a->other += *size;
	mt_heap_uncount(w->heap, *size - sizeof(uint64_t));
	return 0;
}

/* The link in a free block's first word; 2.32 began to mangle it with its own address. */
static bool read_link(struct mt_glibc_walk *w, uint64_t block, bool mangled, uint64_t *next)
{
	if (!mt_glibc_word(w, block, next))
		return false;
	if (mangled)
		*next ^= block >> 12;
	return true;
}

/* A list as it is to be: its links point off bytes into their chunks. */
struct list {
	uint64_t head;
	uint32_t off;
	uint64_t n; /* blocks; UINT64_MAX: as many as there are */
	struct sizes sizes;
	enum kept kept;
};

/* Whether the list holds together if its links are read this way. */
static bool is_list(struct mt_glibc_walk *w, const struct list *l, bool mangled)
{
	uint64_t link = l->head, i = 0;

	for (; link && i < LIST_DRY && i < l->n; i++)
		if (!(is_used(w, link - l->off) || find_mapped(w, link - l->off)) ||
		    !read_link(w, link - l->off + CHUNK_HDR, mangled, &link))
			return false;
	return i == LIST_DRY || !link;
}

static int take_list(struct mt_glibc_walk *w, const struct list *l)
{
	uint64_t link = l->head, n = 0, size = 0;

	if (w->mangled < 0) {
		w->mangled = is_list(w, l, true);
		if (!w->mangled && !is_list(w, l, false))
			return mt_glibc_stuck(w, "a broken list", l->head);
	}
	for (; link && n < l->n; n++) {
		uint64_t chunk = link - l->off;
		int r = take_back(w, chunk, l->kept, &size);

		if (r)
			return r;
		if (size < l->sizes.lo || size > l->sizes.hi)
			return mt_glibc_stuck(w, "a cached block of another size", chunk);
		if (!read_link(w, chunk + CHUNK_HDR, w->mangled > 0, &link))
			return mt_glibc_stuck(w, "an unreadable block", chunk);
	}
	if (link || (l->n != UINT64_MAX && n != l->n))
		return mt_glibc_stuck(w, "a list that is not as long as it should be", l->head);
	return 0;
}

/* How many blocks a thread may keep of one size: mp_.tcache_count. */
static uint64_t slots_max(struct mt_glibc_walk *w)
{
	uint64_t v;

	return w->st->sbrk_base && mt_glibc_word(w, w->st->sbrk_base + 24, &v) ? v : 0;
}

static bool read_counts(struct mt_glibc_walk *w, uint64_t addr, struct cache *c)
{
	const struct cache_layout *l = c->layout;
	uint64_t max = l->slots ? slots_max(w) : 0;
	union {
		uint8_t small[SMALL_BINS];
		uint16_t wide[BINS_MAX];
	} counts;

	if (!mt_glibc_peek(w, addr, &counts, (size_t)l->counts_size * l->bins))
		return false;
	for (uint32_t i = 0; i < l->bins; i++) {
		c->n[i] = l->counts_size == 1 ? counts.small[i] : counts.wide[i];
		if (l->slots && c->n[i] > max)
			return false;
		if (l->slots)
			c->n[i] = (uint32_t)(max - c->n[i]);
	}
	return mt_glibc_peek(w, addr + l->entries, c->entries, 8ull * l->bins);
}

/* True if a cache stands at addr, as far as one can see without following its lists. */
static bool read_cache(struct mt_glibc_walk *w, uint64_t addr, struct cache *c)
{
	uint64_t size;

	c->chunk = addr - CHUNK_HDR;
	c->layout = NULL;
	if (!is_used(w, c->chunk) || !mt_glibc_word(w, c->chunk + 8, &size))
		return false;
	size &= ~FLAGS;
	c->layout = layout_of(size);
	if (!c->layout || (w->st->layout->mapped_243 && !c->layout->slots) ||
	    !read_counts(w, addr, c))
		return false;
	for (uint32_t i = 0; i < c->layout->bins; i++)
		if (!c->n[i] != !c->entries[i] || c->entries[i] % 16)
			return false;
	return true;
}

static struct list bin_list(const struct cache *c, uint32_t i)
{
	uint64_t chunk = CHUNK_MIN + 16ull * i;
	struct list l = {c->entries[i], CHUNK_HDR, c->n[i], {chunk, chunk}, KEPT_CACHED};

	if (i >= SMALL_BINS) /* many sizes each */
		l.sizes = (struct sizes){CHUNK_MIN + 16ull * SMALL_BINS, ADDRESS_LIMIT};
	return l;
}

static int take_cache(struct mt_glibc_walk *w, const struct cache *c)
{
	uint64_t size;
	int r = take_back(w, c->chunk, KEPT_OWN, &size);

	for (uint32_t i = 0; i < c->layout->bins && !r; i++) {
		struct list l = bin_list(c, i);

		if (c->n[i])
			r = take_list(w, &l);
	}
	w->heap->cache_bytes += size;
	return r;
}

/* The thread's variable tcache: false if it has none (it has not allocated, or is at its end). */
static bool read_pointer(struct mt_glibc_walk *w, uint64_t tp, int64_t off, uint64_t *cache)
{
	const struct mt_image_area *area;

	if (!mt_glibc_word(w, tp + (uint64_t)off, cache) || !*cache)
		return false;
	/* 2.43 lets it point to an empty one in the libc until the first free */
	area = mt_image_find(w->img, *cache);
	return !w->st->layout->mapped_243 || (area && area->anon && !area->owner);
}

/* The threads of a process, by their thread pointers: those that live first. */
struct threads {
	uint64_t *tps;
	size_t n, living;
};

/* True if off fits all threads, and at least one that lives has a cache there. */
static bool fits_all(struct mt_glibc_walk *w, const struct threads *t, int64_t off)
{
	const uint64_t *tps = t->tps;
	struct cache c;
	size_t found = 0;
	uint64_t cache;

	for (size_t i = 0; i < t->n; i++) {
		if (i < t->living && !mt_glibc_word(w, tps[i] + (uint64_t)off, &cache))
			return false;
		if (!read_pointer(w, tps[i], off, &cache))
			continue;
		if (!read_cache(w, cache, &c))
			return false;
		found += i < t->living;
	}
	return found;
}

static bool is_arena(const struct mt_glibc_walk *w, uint64_t v)
{
	for (size_t i = 0; i < w->st->n_arenas; i++)
		if (w->st->arenas[i] == v)
			return true;
	return false;
}

/* TLS of one thread, as far below the thread pointer as is searched. */
#define TLS_WORDS 2048u      /* looked at in one go */
#define TLS_MAX   (1u << 20) /* bytes below the thread pointer */
#define TLS_NEAR  20u        /* words between thread_arena and tcache, which are neighbours */

static bool near_arena(const struct mt_glibc_walk *w, const uint64_t *tls, size_t n, size_t at)
{
	size_t lo = at > TLS_NEAR ? at - TLS_NEAR : 0;
	size_t hi = at + TLS_NEAR < n ? at + TLS_NEAR : n - 1;

	for (size_t i = lo; i <= hi; i++)
		if (is_arena(w, tls[i]))
			return true;
	return false;
}

/*
 * Looks for the variable in the words that end off bytes from the thread pointer;
 * *found is the nearest place, if it is nearer than what is there.
 */
static void learn_in(struct mt_glibc_walk *w, const struct threads *t, uint64_t tp, uint64_t off,
		     size_t words, int64_t *found)
{
	uint64_t tls[TLS_WORDS];
	struct cache c;

	if (!mt_glibc_peek(w, tp - off - 8 * words, tls, 8 * words))
		return;
	for (size_t i = words; i-- > 0;) {
		int64_t at = -(int64_t)(off + 8 * (words - i));

		if (*found && at <= *found)
			return;
		if (tls[i] % 16 || !is_used(w, tls[i] - CHUNK_HDR) || !read_cache(w, tls[i], &c) ||
		    !near_arena(w, tls, words, i) || !fits_all(w, t, at))
			continue;
		*found = at;
		return;
	}
}

/* How many of the words behind off can be TLS of the thread. */
static uint64_t words_behind(const struct mt_glibc_walk *w, uint64_t tp, uint64_t off)
{
	const struct mt_image_area *area = mt_image_find(w->img, tp);
	uint64_t below = area ? tp - area->start : 0;
	uint64_t words;

	if (below > TLS_MAX)
		below = TLS_MAX;
	words = off < below ? (below - off) / 8 : 0;
	return words < TLS_WORDS ? words : TLS_WORDS;
}

/*
 * Every thread that lives allocates from an arena at its first call, which
 * makes its cache; 2.43 waits for the first free. The executable's own variables
 * come first below the thread pointer, libc's somewhere after them, and then the
 * stack, in which arenas and blocks stand side by side, too: so the nearest place
 * in any thread is the one. Those that are no more have nothing but the latter, and
 * of those that live some may, too: all of them must have words there. Pieces overlap, so that
 * neighbours are seen together.
 */
static int learn(struct mt_glibc_walk *w, const struct threads *t)
{
	const uint64_t step = 8ull * (TLS_WORDS - 2 * TLS_NEAR);

	for (uint64_t off = 0; off < TLS_MAX && !w->st->tcache_off; off += step)
		for (size_t i = 0; i < t->living; i++) {
			uint64_t words = words_behind(w, t->tps[i], off);

			if (words)
				learn_in(w, t, t->tps[i], off, words, &w->st->tcache_off);
		}
	if (w->st->tcache_off)
		return 0;
	if (w->late)
		return -ETIME;
	/* before 2.26 there were none; they have other fields in front of the bins */
	if (w->st->layout->mapped_243 || w->st->layout->bins == 104)
		return 0;
	return mt_unsound(w->img, "none of %zu threads' caches was found", t->living);
}

bool mt_glibc_is_cache_size(uint64_t size)
{
	return layout_of(size);
}

bool mt_glibc_may_be_cache(const uint8_t *chunk, size_t n, uint64_t size)
{
	const struct cache_layout *l = layout_of(size);
	const uint8_t *counts = chunk + CHUNK_HDR;
	bool any = false;

	if (!l || n < CHUNK_HDR + l->entries + 8ull * l->bins)
		return l;
	for (uint32_t i = 0; i < l->bins; i++) {
		uint64_t entry;
		const uint8_t *count = counts + (size_t)i * l->counts_size;
		bool none = !count[0] && (l->counts_size == 1 || !count[1]);

		memcpy(&entry, counts + l->entries + 8ull * i, sizeof(entry));
		if (entry % 16 || entry > ADDRESS_LIMIT || (!l->slots && none != !entry))
			return false;
		any = any || entry;
	}
	return any;
}

int mt_glibc_note_orphan(struct mt_glibc_walk *w, uint64_t chunk)
{
	if (w->n_orphans == w->cap_orphans) {
		size_t cap = w->cap_orphans ? 2 * w->cap_orphans : 64;
		uint64_t *v = realloc(w->orphans, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		w->orphans = v;
		w->cap_orphans = cap;
	}
	w->orphans[w->n_orphans++] = chunk;
	return 0;
}

/* Its lists hold together, and one has something: no program's data are like that. */
static bool has_lists(struct mt_glibc_walk *w, const struct cache *c)
{
	uint32_t found = 0;
	uint64_t size;

	for (uint32_t i = 0; i < c->layout->bins; i++) {
		struct list l = bin_list(c, i);

		if (!c->n[i])
			continue;
		if (!mt_glibc_word(w, l.head - CHUNK_HDR + 8, &size) ||
		    (size & ~FLAGS) < l.sizes.lo || (size & ~FLAGS) > l.sizes.hi ||
		    (!(w->mangled != 0 && is_list(w, &l, true)) &&
		     !(w->mangled <= 0 && is_list(w, &l, false))))
			return false;
		found++;
	}
	return found;
}

/*
 * In a forked child the caches of the parent's other threads stay as they were,
 * and once their stacks are used anew nothing points to them.
 */
static int take_orphans(struct mt_glibc_walk *w)
{
	struct cache c;
	int r = 0;

	for (size_t i = 0; i < w->n_orphans && !r; i++)
		if (read_cache(w, w->orphans[i] + CHUNK_HDR, &c) && has_lists(w, &c))
			r = take_cache(w, &c);
	return w->late ? -ETIME : r;
}

int mt_glibc_take_caches(struct mt_glibc_walk *w)
{
	struct threads t = {0};
	struct cache c;
	uint64_t cache;
	int r = mt_glibc_threads(w, &t.tps, &t.n, &t.living);

	if (!r && (!w->st->tcache_off || !fits_all(w, &t, w->st->tcache_off))) {
		w->st->tcache_off = 0;
		if (w->heap->objects)
			r = learn(w, &t);
	}
	for (size_t i = 0; i < t.n && !r && w->st->tcache_off; i++) {
		if (!read_pointer(w, t.tps[i], w->st->tcache_off, &cache))
			continue;
		r = read_cache(w, cache, &c) ? take_cache(w, &c)
					     : mt_glibc_stuck(w, "a thread's broken cache", cache);
	}
	if (!r && (w->st->tcache_off || w->st->layout->mapped_243))
		r = take_orphans(w);
	free(t.tps);
	return r;
}

int mt_glibc_take_fastbins(struct mt_glibc_walk *w, uint64_t arena)
{
	uint64_t heads[FASTBINS];
	int r = 0;

	if (!w->st->layout->fastbins)
		return 0;
	if (!mt_glibc_peek(w, arena + w->st->layout->fastbins, heads, sizeof(heads)))
		return mt_glibc_stuck(w, "an unreadable arena", arena);
	for (uint32_t i = 0; i < FASTBINS && !r; i++) {
		uint64_t chunk = CHUNK_MIN + 16ull * i;
		struct list l = {heads[i], 0, UINT64_MAX, {chunk, chunk}, KEPT_FAST};

		if (heads[i])
			r = take_list(w, &l);
	}
	return r;
}
