/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Recorded images of a heap: areas and threads of a process at one moment, and
 * its pages that are not all zeros. In a file, little-endian: struct
 * recorded_head, the areas, the robust-list heads, and the pages, each with an
 * address, a bit for each of its 512 words that is not 0, and these words.
 */
#ifndef RECORDED_H
#define RECORDED_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "census/walker.h"

#define RECORDED_MAGIC   0x314547414d49544dull
#define RECORDED_AREAS   64u
#define RECORDED_THREADS 64u
#define RECORDED_PAGES   1024u
#define PAGE_WORDS       (MT_MEM_PAGE / 8)

struct recorded_head {
	uint64_t magic, start_brk, random;
	uint32_t areas, threads, pages, zero;
};

struct recorded_area {
	uint64_t start, end;
	uint64_t flags; /* 1 anon, 2 brk, 4 stack, 8 owner */
};

struct recorded_page {
	uint64_t addr;
	uint64_t v[PAGE_WORDS];
};

struct recorded {
	struct mt_image img; /* over the rest; good at this address */
	struct mt_mem mem;
	struct mt_image_area areas[RECORDED_AREAS];
	uint64_t robust[RECORDED_THREADS];
	struct recorded_page *pages; /* ascending; owned */
	size_t n_pages;
	struct mt_image_ranges idle;
	uint64_t unreadable; /* a page that cannot be read; 0: none */
	uint64_t reads;      /* done so far */
	uint64_t reads_max;  /* from then on it is late; 0: never */
	char why[MT_WHY_SIZE];
};

/* The page that holds addr, or where it would be inserted. */
static inline size_t recorded_slot(const struct recorded *r, uint64_t addr)
{
	size_t lo = 0, hi = r->n_pages;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->pages[mid].addr + MT_MEM_PAGE <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static inline const struct recorded_page *recorded_find(const struct recorded *r, uint64_t addr)
{
	size_t i = recorded_slot(r, addr);

	return i < r->n_pages && r->pages[i].addr <= addr ? &r->pages[i] : NULL;
}

/* Counts what is asked for; late is what a walk is that asks too often. */
static inline void recorded_asked(const struct mt_mem *m)
{
	struct recorded *r = m->ctx;

	if (++r->reads == r->reads_max)
		r->img.deadline_ns = 1;
}

static inline bool recorded_covers(const struct recorded *r, uint64_t addr, uint64_t n)
{
	if (n > UINT64_MAX - addr)
		return false;
	for (uint64_t end = addr + n; addr < end;) {
		const struct mt_image_area *a = mt_image_find(&r->img, addr);

		if (!a ||
		    (r->unreadable && r->unreadable < end && addr < r->unreadable + MT_MEM_PAGE))
			return false;
		addr = a->end;
	}
	return true;
}

static inline int recorded_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	const struct recorded *r = m->ctx;
	char *out = buf;

	recorded_asked(m);
	if (!recorded_covers(r, addr, n))
		return -EFAULT;
	while (n) {
		const struct recorded_page *page = recorded_find(r, addr);
		size_t at = addr % MT_MEM_PAGE, room = MT_MEM_PAGE - at, part = n < room ? n : room;

		if (page)
			memcpy(out, (const char *)page->v + at, part);
		else
			memset(out, 0, part);
		out += part;
		addr += part;
		n -= part;
	}
	return 0;
}

static inline void recorded_heads(const struct mt_mem *m, uint64_t addr, size_t n,
				  uint64_t (*out)[2])
{
	for (size_t i = 0; i < n; i++)
		if (recorded_read(m, addr + i * MT_MEM_PAGE, out[i], sizeof(out[i])))
			out[i][0] = out[i][1] = 0;
}

static inline uint64_t recorded_skip(const struct mt_mem *m, uint64_t addr, uint64_t end)
{
	const struct recorded *r = m->ctx;
	size_t i = recorded_slot(r, addr);

	recorded_asked(m);
	return i < r->n_pages && r->pages[i].addr < end ? r->pages[i].addr : end;
}

static inline void recorded_init(struct recorded *r)
{
	*r = (struct recorded){
		.img = {.mem = &r->mem, .areas = r->areas, .robust = r->robust},
		.mem = {recorded_read, recorded_heads, recorded_skip, r},
	};
	r->img.why = r->why;
	r->img.idle = &r->idle;
}

static inline void recorded_free(struct recorded *r)
{
	free(r->pages);
	free(r->idle.v);
	r->pages = NULL;
	r->idle.v = NULL;
}

/* Areas are to come in ascending order. */
static inline int recorded_add_area(struct recorded *r, uint64_t start, uint64_t end,
				    uint64_t flags)
{
	size_t n = r->img.n_areas;

	if (n == RECORDED_AREAS || start >= end || start % MT_MEM_PAGE || end % MT_MEM_PAGE ||
	    (n && start < r->areas[n - 1].end))
		return -EINVAL;
	r->areas[n] =
		(struct mt_image_area){start, end, flags & 1, flags & 2, flags & 4, flags & 8};
	r->img.n_areas++;
	return 0;
}

static inline int recorded_add_thread(struct recorded *r, uint64_t head)
{
	if (r->img.n_robust == RECORDED_THREADS)
		return -EINVAL;
	r->robust[r->img.n_robust++] = head;
	return 0;
}

/* The word at addr for writing, of a page that is added if it is not there; NULL: no room. */
static inline uint64_t *recorded_word(struct recorded *r, uint64_t addr)
{
	size_t i = recorded_slot(r, addr);
	struct recorded_page *v;

	if (i == r->n_pages || r->pages[i].addr > addr) {
		if (r->n_pages == RECORDED_PAGES || !mt_image_find(&r->img, addr))
			return NULL;
		v = realloc(r->pages, (r->n_pages + 1) * sizeof(*v));
		if (!v)
			return NULL;
		r->pages = v;
		memmove(v + i + 1, v + i, (r->n_pages++ - i) * sizeof(*v));
		v[i] = (struct recorded_page){.addr = addr - addr % MT_MEM_PAGE};
	}
	return &r->pages[i].v[addr % MT_MEM_PAGE / 8];
}

/* Takes n bytes from the front of what is left; false if there are fewer. */
struct recorded_bytes {
	const uint8_t *p;
	size_t n;
};

static inline bool recorded_take(struct recorded_bytes *b, void *out, size_t n)
{
	if (b->n < n)
		return false;
	memcpy(out, b->p, n);
	b->p += n;
	b->n -= n;
	return true;
}

static inline int recorded_parse_page(struct recorded *r, struct recorded_bytes *b)
{
	struct recorded_page *page = &r->pages[r->n_pages];
	uint64_t set[PAGE_WORDS / 64];

	memset(page, 0, sizeof(*page));
	if (!recorded_take(b, &page->addr, 8) || !recorded_take(b, set, sizeof(set)) ||
	    page->addr % MT_MEM_PAGE || (r->n_pages && page->addr <= page[-1].addr))
		return -EINVAL;
	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (set[i / 64] >> i % 64 & 1 && !recorded_take(b, &page->v[i], 8))
			return -EINVAL;
	r->n_pages++;
	return 0;
}

/* Fills r, which recorded_free empties in any case. 0, -EINVAL: not an image, -ENOMEM. */
static inline int recorded_parse(struct recorded *r, const uint8_t *data, size_t size)
{
	struct recorded_bytes b = {data, size};
	struct recorded_head h;
	int e = 0;

	recorded_init(r);
	if (!recorded_take(&b, &h, sizeof(h)) || h.magic != RECORDED_MAGIC ||
	    h.pages > RECORDED_PAGES)
		return -EINVAL;
	r->img.start_brk = h.start_brk;
	r->img.random = h.random;
	for (uint32_t i = 0; i < h.areas && !e; i++) {
		struct recorded_area a;

		e = recorded_take(&b, &a, sizeof(a)) ? 0 : -EINVAL;
		if (!e)
			e = recorded_add_area(r, a.start, a.end, a.flags);
	}
	for (uint32_t i = 0; i < h.threads && !e; i++) {
		uint64_t head;

		e = recorded_take(&b, &head, sizeof(head)) ? recorded_add_thread(r, head) : -EINVAL;
	}
	if (e)
		return e;
	r->pages = calloc(h.pages + 1, sizeof(*r->pages));
	if (!r->pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < h.pages && !e; i++)
		e = recorded_parse_page(r, &b);
	return e;
}

/* 0 or -errno. */
static inline int recorded_load(struct recorded *r, const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = malloc(1u << 20);
	int e = f ? 0 : -errno;

	recorded_init(r);
	if (!data)
		e = -ENOMEM;
	if (!e)
		e = recorded_parse(r, data, fread(data, 1, 1u << 20, f));
	free(data);
	if (f)
		fclose(f);
	return e;
}

static inline void recorded_write_page(const struct recorded_page *page, FILE *f)
{
	uint64_t set[PAGE_WORDS / 64] = {0};

	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (page->v[i])
			set[i / 64] |= 1ull << i % 64;
	fwrite(&page->addr, 8, 1, f);
	fwrite(set, sizeof(set), 1, f);
	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (page->v[i])
			fwrite(&page->v[i], 8, 1, f);
}

static inline int recorded_write(const struct recorded *r, FILE *f)
{
	struct recorded_head h = {RECORDED_MAGIC,
				  r->img.start_brk,
				  r->img.random,
				  (uint32_t)r->img.n_areas,
				  (uint32_t)r->img.n_robust,
				  (uint32_t)r->n_pages,
				  0};

	fwrite(&h, sizeof(h), 1, f);
	for (size_t i = 0; i < r->img.n_areas; i++) {
		const struct mt_image_area *a = &r->areas[i];
		struct recorded_area out = {a->start, a->end,
					    (a->anon ? 1u : 0u) | (a->brk ? 2u : 0u) |
						    (a->stack ? 4u : 0u) | (a->owner ? 8u : 0u)};

		fwrite(&out, sizeof(out), 1, f);
	}
	fwrite(r->robust, 8, r->img.n_robust, f);
	for (size_t i = 0; i < r->n_pages; i++)
		recorded_write_page(&r->pages[i], f);
	return ferror(f) ? -EIO : 0;
}

#endif
