/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One group of musl's slots, and the blocks in them. */
#include "census/musl_internal.h"

#include <errno.h>
#include <string.h>

#define PAGE      MT_MEM_PAGE
#define IB        4u   /* bytes at a slot's end that are never the block's own */
#define CLASSLESS 63u  /* sizeclass of a block too large for any */
#define NESTED    6u   /* in place of reserved: the slot holds a group */
#define SHIFTED   0xe0 /* at the slot's start: the block begins further on */
#define FAR       ((uint64_t)MT_MUSL_UNIT << 16)

const uint16_t mt_musl_slot_units[MT_MUSL_CLASSES] = {
	1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   12,   15,
	18,   20,   25,   31,   36,   42,   50,   63,   72,   84,   102,  127,
	146,  170,  204,  255,  292,  340,  409,  511,  584,  682,  818,  1023,
	1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191};

struct group {
	uint64_t mem, stride;
	uint64_t mapped; /* bytes of its own mapping, 0: it lies in other memory */
	uint32_t n, sc;  /* slots, size class */
	uint32_t idle;   /* a bit for each slot that holds nothing */
	bool freeable;
};

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get_u16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint64_t page_down(uint64_t v)
{
	return v & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t v)
{
	return page_down(v + PAGE - 1);
}

static void tally_add(struct mt_musl_tally *t, uint64_t v)
{
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
	v = (v ^ v >> 27) * 0x94d049bb133111ebull;
	t->n++;
	t->sum += v ^ v >> 31;
}

bool mt_musl_covered(const struct mt_musl_walk *w, uint64_t addr, uint64_t n)
{
	size_t lo = 0, hi = w->n_runs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->runs[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_runs && addr >= w->runs[lo].start && n <= w->runs[lo].end - addr;
}

/* n bytes at addr, good until the next call; NULL: they cannot be read. */
static const uint8_t *view(struct mt_musl_walk *w, uint64_t addr, size_t n)
{
	uint64_t start = page_down(addr), end;

	if (addr >= w->at && addr - w->at <= w->have && n <= w->have - (addr - w->at))
		return w->window + (addr - w->at);
	end = page_up(addr + (n > w->ahead ? n : w->ahead));
	if (end - start > MT_MUSL_WINDOW)
		end = start + MT_MUSL_WINDOW;
	if (!mt_musl_covered(w, start, end - start))
		end = page_up(addr + n);
	w->have = 0;
	if (w->img->mem->read(w->img->mem, start, w->window, end - start) < 0) {
		mt_unsound(w->img, "the heap cannot be read at %#llx", (unsigned long long)addr);
		return NULL;
	}
	w->at = start;
	w->have = end - start;
	return w->window + (addr - start);
}

static int bad_group(const struct mt_musl_walk *w, const struct group *g, const char *what)
{
	return mt_unsound(w->img, "the group of blocks at %#llx has %s", (unsigned long long)g->mem,
			  what);
}

static int bad_slot(const struct mt_musl_walk *w, const struct group *g, uint32_t i)
{
	return mt_unsound(w->img, "slot %u of the group at %#llx has no proper header", i,
			  (unsigned long long)g->mem);
}

static uint64_t slot_start(const struct group *g, uint32_t i)
{
	return g->mem + MT_MUSL_UNIT + g->stride * i;
}

static int decode(const struct mt_musl_walk *w, const struct mt_musl_meta *m, struct group *g)
{
	const uint32_t last = m->bits & 31, all = (uint32_t)((2ull << last) - 1);
	uint64_t size;

	*g = (struct group){
		.mem = m->mem,
		.n = last + 1,
		.sc = m->bits >> 6 & 63,
		.idle = m->avail | m->freed,
		.freeable = m->bits >> 5 & 1,
	};
	if (m->bits >> 12 > w->room / PAGE)
		return bad_group(w, g, "an impossible size");
	g->mapped = (m->bits >> 12) * PAGE;
	if (m->avail & m->freed || g->idle & ~all || g->mem % MT_MUSL_UNIT ||
	    (g->mapped && g->mem % PAGE))
		return bad_group(w, g, "impossible masks");
	if (g->sc >= MT_MUSL_CLASSES && (g->sc != CLASSLESS || !g->mapped || last))
		return bad_group(w, g, "an impossible class");
	g->stride = g->mapped && !last ? g->mapped - MT_MUSL_UNIT
				       : (uint64_t)MT_MUSL_UNIT * mt_musl_slot_units[g->sc];
	size = MT_MUSL_UNIT + g->stride * g->n;
	if ((g->mapped && size > g->mapped) ||
	    !mt_musl_covered(w, g->mem, g->mapped ? g->mapped : size))
		return bad_group(w, g, "an impossible place");
	return 0;
}

/*
 * What the bytes in front of block p say: 1 and reserved's three bits if they
 * are a header of slot i there, 0 if they are not, or -EAGAIN.
 */
static int read_frame(struct mt_musl_walk *w, const struct group *g, uint32_t i, uint64_t p,
		      unsigned int *reserved)
{
	const uint8_t *h = view(w, p - MT_MUSL_UNIT, MT_MUSL_UNIT); /* h[16] is p[0] */
	uint64_t units = (p - g->mem - MT_MUSL_UNIT) / MT_MUSL_UNIT;

	if (!h)
		return -EAGAIN;
	*reserved = h[13] >> 5;
	if ((h[13] & 31) != i)
		return 0;
	if (h[12])
		return !get_u16(h + 14) && units > 0xffff && get_u32(h + 8) == units;
	return get_u16(h + 14) == units;
}

/* The first header that is right at p, or so many MiB further on, up to end. */
static int find_far(struct mt_musl_walk *w, const struct group *g, uint32_t i, uint64_t p,
		    uint64_t *block, unsigned int *reserved)
{
	const uint64_t end = slot_start(g, i) + g->stride - IB;
	unsigned int bits;

	for (; p <= end; p += FAR) {
		int r = read_frame(w, g, i, p, &bits);

		if (r < 0)
			return r;
		if (mt_image_late(w->img))
			return -ETIME;
		if (!r)
			continue;
		*block = p;
		*reserved = bits;
		return 1;
	}
	return 0;
}

/*
 * Where slot i's block begins. The start of the slot tells, but has only 16 bits
 * for it: a block that is aligned to more may lie some MiB further on. In front
 * of it may then stand a header that was right for a moment, if that place has
 * the same alignment.
 */
static int find_block(struct mt_musl_walk *w, const struct group *g, uint32_t i, uint64_t *block,
		      unsigned int *reserved)
{
	const uint64_t start = slot_start(g, i);
	const uint8_t *h = view(w, start - MT_MUSL_UNIT, MT_MUSL_UNIT);
	bool shifted;
	int r, far = 0;

	if (!h)
		return -EAGAIN;
	shifted = h[13] == SHIFTED;
	*block = start + (shifted ? (uint64_t)MT_MUSL_UNIT * get_u16(h + 14) : 0);
	if (*block - start > g->stride - IB)
		return bad_slot(w, g, i);
	r = read_frame(w, g, i, *block, reserved);
	if (r >= 0 && shifted && (!r || *block % FAR == 0))
		far = find_far(w, g, i, *block + FAR, block, reserved);
	if (r < 0 || far < 0)
		return r < 0 ? r : far;
	return r || far ? 0 : bad_slot(w, g, i);
}

/* malloc_usable_size of slot i's block. */
static int read_slot(struct mt_musl_walk *w, const struct group *g, uint32_t i, bool *nested,
		     uint64_t *usable)
{
	const uint64_t end = slot_start(g, i) + g->stride - IB;
	unsigned int bits = 0;
	uint64_t p = 0, reserved;
	const uint8_t *t;
	int r = find_block(w, g, i, &p, &bits);

	if (r < 0)
		return r;
	*nested = bits == NESTED;
	if (*nested) {
		tally_add(&w->nested_slots, p);
		return 0;
	}
	t = view(w, end - 5, 6); /* up to the byte behind the block's last possible one */
	if (!t)
		return -EAGAIN;
	reserved = bits < 5 ? bits : get_u32(t + 1);
	if (bits > 5 || t[5] || (bits == 5 && (t[0] || reserved < 5)) || reserved > end - p)
		return bad_slot(w, g, i);
	*usable = end - p - reserved;
	return 0;
}

/* Whole pages in slots that hold nothing. The header of a block lies in front of its slot. */
static void walk_idle(const struct mt_musl_walk *w, const struct group *g)
{
	if (g->stride * g->n < PAGE)
		return;
	for (uint32_t i = 0, j; i < g->n; i = j + 1) {
		for (j = i; j < g->n && g->idle >> j & 1; j++)
			;
		if (j == g->n && g->mapped)
			mt_image_idle(w->img, w->heap, slot_start(g, i), g->mem + g->mapped);
		else if (j > i)
			mt_image_idle(w->img, w->heap, slot_start(g, i),
				      slot_start(g, j) - (j < g->n ? MT_MUSL_UNIT : 0));
	}
}

/* Live blocks of a group; one that has its own mapping is not the arena's. */
static int walk_slots(struct mt_musl_walk *w, const struct group *g)
{
	bool own = g->mapped && g->n == 1 && !g->idle, nested = false;

	w->arena->free += g->stride * (uint64_t)__builtin_popcount(g->idle);
	for (uint32_t i = 0; i < g->n; i++) {
		uint64_t usable = 0;
		int r;

		if (g->idle >> i & 1)
			continue;
		r = read_slot(w, g, i, &nested, &usable);
		if (r < 0)
			return r;
		if (nested)
			continue;
		mt_heap_count(w->heap, usable, 1);
		if (own)
			w->heap->mapped_objects++;
		else
			w->arena->objects++;
		if (!own)
			w->arena->in_use += g->stride;
	}
	if (own && !nested)
		w->heap->mapped_system += g->mapped;
	else
		w->arena->system += g->mapped;
	return 0;
}

int mt_musl_walk_group(struct mt_musl_walk *w, uint64_t addr, const struct mt_musl_meta *m)
{
	struct group g;
	const uint8_t *h;
	uint64_t back;
	int r = decode(w, m, &g);

	if (r < 0)
		return r;
	/* Slots that are close together are read together. */
	w->ahead = g.stride <= 2 * PAGE ? MT_MUSL_UNIT + g.stride * g.n : 0;
	if (!g.mapped && g.freeable)
		tally_add(&w->nested_groups, g.mem);
	else if (!g.mapped) /* the loader gave it what is left of a file's last page */
		w->arena->system += MT_MUSL_UNIT + g.stride;
	h = view(w, g.mem, MT_MUSL_UNIT);
	if (!h)
		return -EAGAIN;
	memcpy(&back, h, sizeof(back));
	if (back != addr || (h[8] & 31) >= g.n)
		return bad_group(w, &g, "no proper header");
	if (g.freeable && g.sc < MT_MUSL_CLASSES)
		w->usage[g.sc] += g.n;
	walk_idle(w, &g);
	return walk_slots(w, &g);
}
