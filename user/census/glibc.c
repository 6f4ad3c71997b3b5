/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * glibc's malloc, 2.23 to 2.43 and on, by its structures alone: no symbols are
 * needed, so that stripped and static programs can be read too. Its main arena
 * is known by its bins, each of which is empty and points to itself or points
 * to chunks elsewhere, and by the ring of arenas, which leads back to it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "census/glibc_internal.h"

#define SEARCH_MAX  (64u << 20) /* bytes of the file's data looked at */
#define PIECE       (1u << 20)  /* looked at in one go */
#define OVERLAP     8192u       /* so that no struct is cut in two */
#define ARENAS_MAX  (1u << 14)
#define MMAPS_MAX   65536 /* DEFAULT_MMAP_MAX */
#define TCACHE_BINS 128u  /* more than there have ever been */

static const struct mt_glibc_layout layouts[] = {
	/* 2.27 to 2.42 */
	{.fastbins = 16,
	 .top = 96,
	 .bins = 112,
	 .next = 2160,
	 .attached = 2176,
	 .system_mem = 2184,
	 .size = 2200},
	/* 2.23 to 2.26 */
	{.fastbins = 8,
	 .top = 88,
	 .bins = 104,
	 .next = 2152,
	 .attached = 2168,
	 .system_mem = 2176,
	 .size = 2192},
	/* 2.43 */
	{.top = 8,
	 .bins = 24,
	 .next = 2072,
	 .attached = 2088,
	 .system_mem = 2096,
	 .size = 2112,
	 .mapped_243 = true},
};

/* A piece of the file's data, with its address. */
struct piece {
	const uint64_t *v;
	size_t n;
	uint64_t addr;
};

/* Bins at word i: all empty or leading to chunks, and at least one empty. */
static bool are_bins(const struct piece *p, size_t i)
{
	bool empty = false;

	for (size_t k = 0; k < BINS; k += 2) {
		uint64_t self = p->addr + 8 * (i + k) - CHUNK_HDR, fd = p->v[i + k],
			 bk = p->v[i + k + 1];

		if (fd == self && bk == self)
			empty = true;
		else if (fd % 16 || bk % 16 || fd < PAGE || bk < PAGE || fd > ADDRESS_LIMIT ||
			 bk > ADDRESS_LIMIT)
			return false;
	}
	return empty;
}

/* Before the first malloc the bins are zeros, and the arena is known by its ring alone. */
static bool are_unused(const struct piece *p, size_t i)
{
	for (size_t k = 0; k < BINS; k++)
		if (p->v[i + k])
			return false;
	return true;
}

static bool follow_ring(const struct mt_image *img, const struct mt_glibc_layout *l, uint64_t arena)
{
	uint64_t at = arena;

	for (unsigned int n = 0; n < ARENAS_MAX && !mt_image_late(img); n++) {
		if (img->mem->read(img->mem, at + l->next, &at, sizeof(at)))
			return false;
		if (at == arena)
			return true;
		if (at < PAGE || at > ADDRESS_LIMIT || at % 16)
			return false;
	}
	return false;
}

/* The layout by which an arena's bins stand at word i, or NULL. */
static const struct mt_glibc_layout *layout_at(const struct mt_image *img, const struct piece *p,
					       size_t i, bool *used)
{
	*used = are_bins(p, i);
	if (!*used && p->v[i])
		return NULL;
	for (size_t k = 0; k < sizeof(layouts) / sizeof(layouts[0]); k++) {
		const struct mt_glibc_layout *l = &layouts[k];
		uint64_t arena = p->addr + 8 * i - l->bins, attached;

		if (8 * i < l->bins || 8 * i - l->bins + l->size > 8 * p->n)
			continue;
		attached = p->v[i + (l->attached - l->bins) / 8];
		/* a ring of one, of which everything else is zero, must have its thread */
		if (!*used && (p->v[i + (l->next - l->bins) / 8] != arena || attached != 1 ||
			       !are_unused(p, i)))
			continue;
		if (follow_ring(img, l, arena))
			return l;
	}
	return NULL;
}

static int look_for_arena(const struct mt_image *img, const struct piece *p,
			  struct mt_glibc_state *st)
{
	const struct mt_glibc_layout *l;
	bool used;

	for (size_t i = 0; i + BINS <= p->n && (i % 4096 || !mt_image_late(img)); i++) {
		uint64_t self = p->addr + 8 * i - CHUNK_HDR;

		/* most words are neither */
		if (p->v[i] != self && (p->v[i] % 16 || p->v[i] > ADDRESS_LIMIT))
			continue;
		l = layout_at(img, p, i, &used);
		if (!l || st->main_arena == p->addr + 8 * i - l->bins)
			continue;
		if (st->main_arena) {
			mt_unsound(img, "it has a second libc, loaded by dlmopen");
			return -ENOTSUP;
		}
		st->main_arena = p->addr + 8 * i - l->bins;
		st->layout = l;
		i += BINS - 1;
	}
	return 0;
}

/* Two ints in one word, the lower one first. */
static int32_t half(uint64_t word, unsigned int i)
{
	return (int32_t)(word >> 32 * i);
}

/*
 * How much like struct malloc_par it is around the word that would be
 * sbrk_base; n_mmaps stands off bytes in front of it: 36 from 2.35 on, else 32.
 * 0: it is none.
 */
static unsigned int score_mp(const struct mt_image *img, const struct piece *p, size_t base,
			     uint32_t off)
{
	const uint64_t *v = p->v + base;
	int32_t n = off == 36 ? half(v[-5], 1) : half(v[-4], 0);
	int32_t n_max = off == 36 ? half(v[-4], 0) : half(v[-4], 1);
	int32_t n_peak = off == 36 ? half(v[-4], 1) : half(v[-3], 0);
	uint64_t threshold = off == 36 ? v[-10] : v[-7];
	bool tcache =
		v[1] && v[1] <= TCACHE_BINS && v[2] && v[2] <= UINT32_MAX && v[3] <= UINT16_MAX;

	if (n < 0 || n_max < 0 || n_peak < n || v[-2] > v[-1] || v[-1] > ADDRESS_LIMIT ||
	    (n == 0) != (v[-2] == 0) || v[0] > ADDRESS_LIMIT || threshold > ADDRESS_LIMIT)
		return 0;
	if (v[0] && !mt_image_find(img, v[0]))
		return 0;
	return (n_max == MMAPS_MAX ? 2 : 0) + (tcache ? 2 : 0) + (v[0] ? 1 : 0);
}

#define SCORE_MIN 2u

static unsigned int look_for_mp(const struct mt_image *img, const struct piece *p,
				struct mt_glibc_state *st, unsigned int best)
{
	static const uint32_t offs[] = {36, 32};

	for (size_t i = 10; i + 4 <= p->n; i++)
		for (size_t k = 0; k < 2; k++) {
			unsigned int score = score_mp(img, p, i, offs[k]);

			if (score < SCORE_MIN || score <= best)
				continue;
			best = score;
			st->sbrk_base = p->addr + 8 * i;
			st->n_mmaps_off = offs[k];
		}
	return best;
}

static int look_at(const struct mt_image *img, const struct mt_image_area *a, uint64_t *buf,
		   struct mt_glibc_state *st, unsigned int *score)
{
	uint64_t len = a->end - a->start < SEARCH_MAX ? a->end - a->start : SEARCH_MAX;

	for (uint64_t at = 0; at < len; at += PIECE) {
		uint64_t n = len - at < PIECE + OVERLAP ? len - at : PIECE + OVERLAP;
		struct piece p = {buf, n / 8, a->start + at};
		int r;

		if (img->mem->read(img->mem, p.addr, buf, n))
			continue;
		r = look_for_arena(img, &p, st);
		if (r)
			return r;
		*score = look_for_mp(img, &p, st, *score);
	}
	return 0;
}

static void free_state(void **state)
{
	struct mt_glibc_state *st = *state;

	if (!st)
		return;
	free(st->arenas);
	free(st->old_threads);
	free(st->headers);
	free(st);
	*state = NULL;
}

static int list_arenas(struct mt_glibc_walk *w)
{
	struct mt_glibc_state *st = w->st;
	uint64_t at = st->main_arena;
	size_t cap = 0;

	st->n_arenas = 0;
	do {
		if (st->n_arenas == ARENAS_MAX)
			return mt_glibc_stuck(w, "a ring of arenas without end", at);
		if (st->n_arenas == cap) {
			uint64_t *v = realloc(st->arenas, (cap = cap ? 2 * cap : 64) * sizeof(*v));

			if (!v)
				return -ENOMEM;
			st->arenas = v;
		}
		st->arenas[st->n_arenas++] = at;
		if (!mt_glibc_word(w, at + st->layout->next, &at))
			return mt_glibc_stuck(w, "an unreadable arena", at);
	} while (at != st->main_arena);
	return 0;
}

/* Nobody is to hold a lock of the allocator: the first word of an arena is its mutex. */
static int check_locks(struct mt_glibc_walk *w)
{
	uint32_t mutex;

	for (size_t i = 0; i < w->st->n_arenas; i++) {
		if (!mt_glibc_peek(w, w->st->arenas[i], &mutex, sizeof(mutex)))
			return mt_glibc_stuck(w, "an unreadable arena", w->st->arenas[i]);
		if (mutex)
			return mt_glibc_stuck(w, "a locked arena", w->st->arenas[i]);
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct mt_glibc_region *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void mt_glibc_sort_regions(struct mt_glibc_walk *w)
{
	if (w->n_regions)
		qsort(w->regions, w->n_regions, sizeof(*w->regions), by_start);
}

static int walk_all(struct mt_glibc_walk *w)
{
	struct mt_glibc_state *st = w->st;
	int r = list_arenas(w);

	if (!r)
		r = check_locks(w);
	for (size_t i = 0; i < st->n_arenas && !r; i++)
		r = i ? mt_glibc_walk_arena(w, st->arenas[i])
		      : mt_glibc_walk_main(w, st->arenas[i]);
	if (r)
		return r;
	mt_glibc_sort_regions(w);
	for (size_t i = 1; i < w->n_regions; i++)
		if (w->regions[i].start < w->regions[i - 1].end)
			return mt_glibc_stuck(w, "arenas that overlap", w->regions[i].start);
	r = mt_glibc_walk_mapped(w);
	if (!r)
		r = mt_glibc_take_caches(w);
	for (size_t i = 0; i < st->n_arenas && !r; i++)
		r = mt_glibc_take_fastbins(w, st->arenas[i]);
	return r;
}

/* Runs fn over img with what a walk needs. */
static int with_walk(const struct mt_image *img, struct mt_glibc_state *st, struct mt_heap *out,
		     int (*fn)(struct mt_glibc_walk *w))
{
	struct mt_glibc_walk w = {.img = img, .st = st, .heap = out, .mangled = -1};
	int r = -ENOMEM;

	*out = (struct mt_heap){0};
	for (size_t i = 0; i < img->n_areas; i++)
		w.room += img->areas[i].end - img->areas[i].start;
	w.window = malloc(WINDOW_MAX);
	w.pages = malloc(CACHE_PAGES * PAGE);
	w.page_addrs = malloc(CACHE_PAGES * sizeof(*w.page_addrs));
	if (w.window && w.pages && w.page_addrs) {
		for (size_t i = 0; i < CACHE_PAGES; i++)
			w.page_addrs[i] = 1; /* no page has it */
		r = fn(&w);
	}
	for (size_t i = 0; i < w.n_regions; i++)
		free(w.regions[i].used);
	free(w.regions);
	free(w.mapped);
	free(w.orphans);
	free(w.window);
	free(w.pages);
	free(w.page_addrs);
	return r;
}

static int walk(const struct mt_image *img, void *state, struct mt_heap *out)
{
	return with_walk(img, state, out, walk_all);
}

static int find_more(struct mt_glibc_walk *w)
{
	int r = list_arenas(w);

	/* a ring that is being changed is no reason to give up yet */
	return r && r != -EAGAIN ? r : mt_glibc_find_mapped(w);
}

static int find(const struct mt_image *img, void **state)
{
	struct mt_glibc_state *st = calloc(1, sizeof(*st));
	uint64_t *buf = malloc(PIECE + OVERLAP);
	unsigned int score = 0;
	struct mt_heap unused;
	int r = st && buf ? 0 : -ENOMEM;

	for (size_t i = 0; i < img->n_areas && !r; i++)
		if (img->areas[i].owner)
			r = look_at(img, &img->areas[i], buf, st, &score);
	free(buf);
	if (!r && mt_image_late(img)) {
		mt_unsound(img, "its structures could not be found in time");
		r = -ETIME;
	}
	if (!r && !st->main_arena) {
		mt_unsound(img, "no main arena of glibc's malloc was found");
		r = -ENOENT;
	}
	if (!r)
		r = mt_glibc_find_threads(img, st);
	if (!r)
		r = with_walk(img, st, &unused, find_more);
	*state = st;
	if (r)
		free_state(state);
	return r;
}

struct mt_glibc_region *mt_glibc_region_of(const struct mt_glibc_walk *w, uint64_t addr)
{
	size_t lo = 0, hi = w->n_regions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->regions[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_regions && w->regions[lo].start <= addr ? &w->regions[lo] : NULL;
}

static bool is_lock(const void *state, uint64_t addr)
{
	const struct mt_glibc_state *st = state;

	for (size_t i = 0; i < st->n_arenas; i++)
		if (st->arenas[i] == addr)
			return true;
	return false;
}

/* A static executable without symbols may be glibc's: find tells. */
static bool identify(const struct mt_elf *elf, char *version, size_t size)
{
	struct mt_alloc_identity id = {0};
	struct mt_sym sym;

	if (mt_alloc_glibc.identify(elf, &id)) {
		snprintf(version, size, "%s", id.version);
		return true;
	}
	return mt_elf_is_static(elf) && mt_elf_find_func(elf, "malloc", &sym);
}

/*
 * From 2.34 on the object also has __default_morecore, and static functions in
 * front of it, with which others of the object before it come in.
 */
static size_t text(const struct mt_elf *elf, struct mt_text_range *v)
{
	static const char *const first[] = {"__default_morecore", NULL};
	uint64_t lo, hi;

	if (mt_alloc_text_range(elf, mt_alloc_glibc.funcs, mt_alloc_glibc.text_symbols, &v->lo,
				&v->hi))
		return 0;
	if (!mt_alloc_text_range(elf, NULL, first, &lo, &hi) && hi <= v->lo && v->lo - hi < 4096)
		v->lo = lo;
	return 1;
}

const struct mt_walker mt_walker_glibc = {
	.name = "glibc",
	.identify = identify,
	.text = text,
	.find = find,
	.walk = walk,
	.is_lock = is_lock,
	.free = free_state,
};
