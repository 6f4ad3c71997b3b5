/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the fuzz targets of the census share: walking an image, and edits of a sound one. */
#ifndef FUZZ_CENSUS_H
#define FUZZ_CENSUS_H

#include "../unit/census/recorded.h"

/* Freed memory is soon used again: each walk has megabytes of its own. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

#define READS_MAX 4000u /* readings until it is late: a clock that is the same each time */

/* What must hold of every heap that a walk vouches for. */
static inline void census_check(const struct mt_heap *h)
{
	uint64_t objects = 0, bytes = 0, in_arenas = h->mapped_objects;

	for (size_t i = 0; i < MT_CLASSES; i++) {
		objects += h->cls[i].objects;
		bytes += h->cls[i].bytes;
	}
	if (objects != h->objects || bytes != h->bytes)
		abort();
	for (size_t i = 0; i < h->n_arenas; i++) {
		const struct mt_heap_arena *a = &h->arenas[i];
		const uint64_t parts[] = {a->in_use, a->free, a->top, a->cached, a->fast, a->other};
		uint64_t sum = 0;

		for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++)
			if (parts[k] > a->system || __builtin_add_overflow(sum, parts[k], &sum))
				abort();
		if (sum != a->system)
			abort();
		in_arenas += a->objects;
	}
	if (in_arenas != h->objects)
		abort();
}

/* find, which a running process cannot hurry, then two walks with what it learned. */
static inline void census_walk(const struct mt_walker *walker, struct recorded *r)
{
	void *state = NULL;
	int e = walker->find(&r->img, &state);

	for (int i = 0; i < 2 && !e; i++) {
		struct mt_heap h = {0};

		r->idle.n = 0;
		r->img.deadline_ns = 0;
		r->reads = 0;
		r->reads_max = READS_MAX;
		e = walker->walk(&r->img, state, &h);
		if (!e)
			census_check(&h);
		else if (e != -ETIME && (e != -EAGAIN || !r->why[0]))
			abort();
		free(h.arenas);
	}
	walker->free(&state);
}

/* An edit: which word, how, and with what. */
struct census_edit {
	uint16_t word;
	uint8_t how;
	uint8_t of; /* the word that is copied or pointed to is so much further on */
	uint64_t value;
} __attribute__((packed));

struct census_words {
	uint64_t **v; /* those of the image that are not 0 */
	uint64_t *addr;
	size_t n;
};

static inline void census_words_of(struct recorded *r, struct census_words *w)
{
	*w = (struct census_words){
		.v = calloc(r->n_pages * PAGE_WORDS + 1, sizeof(*w->v)),
		.addr = calloc(r->n_pages * PAGE_WORDS + 1, sizeof(*w->addr)),
	};
	if (!w->v || !w->addr)
		abort();
	for (size_t i = 0; i < r->n_pages * PAGE_WORDS; i++) {
		struct recorded_page *page = &r->pages[i / PAGE_WORDS];

		if (!page->v[i % PAGE_WORDS])
			continue;
		w->v[w->n] = &page->v[i % PAGE_WORDS];
		w->addr[w->n++] = page->addr + 8 * (i % PAGE_WORDS);
	}
}

static inline void census_edit(const struct census_words *w, const struct census_edit *e)
{
	size_t at = e->word % w->n, from = (at + e->of) % w->n;

	switch (e->how % 8) {
	case 0:
		*w->v[at] = e->value;
		break;
	case 1:
		*w->v[at] += e->value;
		break;
	case 2:
		*w->v[at] ^= e->value & 0xff;
		break;
	case 3:
		*w->v[at] = *w->v[from];
		break;
	case 4:
		*w->v[at] = w->addr[from];
		break;
	case 5: /* a pointer as lists mangle it */
		*w->v[at] = w->addr[at] >> 12 ^ (w->addr[from] & ~15ull);
		break;
	case 6: /* some word of the same page, most often one that is 0 */
		w->v[at][(ptrdiff_t)(e->of % PAGE_WORDS) -
			 (ptrdiff_t)(w->addr[at] % MT_MEM_PAGE / 8)] = e->value;
		break;
	default:
		*w->v[at] = e->value & 0xfff0;
	}
}

/* The image with the input's edits, walked. base is left as it is. */
static inline void census_mutate(const struct mt_walker *walker, const struct recorded *base,
				 const uint8_t *data, size_t size)
{
	struct census_words words;
	struct census_edit e;
	struct recorded r;

	recorded_init(&r);
	memcpy(r.areas, base->areas, sizeof(r.areas));
	memcpy(r.robust, base->robust, sizeof(r.robust));
	r.img.n_areas = base->img.n_areas;
	r.img.n_robust = base->img.n_robust;
	r.img.start_brk = base->img.start_brk;
	r.img.random = base->img.random;
	r.n_pages = base->n_pages;
	r.pages = calloc(r.n_pages + 1, sizeof(*r.pages));
	if (!r.pages)
		abort();
	memcpy(r.pages, base->pages, r.n_pages * sizeof(*r.pages));
	census_words_of(&r, &words);
	for (size_t i = 0; i + sizeof(e) <= size && i < 32 * sizeof(e); i += sizeof(e)) {
		memcpy(&e, data + i, sizeof(e));
		census_edit(&words, &e);
	}
	free(words.v);
	free(words.addr);
	census_walk(walker, &r);
	recorded_free(&r);
}

static inline void census_load(struct recorded *r, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "tests/census/%s.img", name);
	if (recorded_load(r, path)) {
		fprintf(stderr, "%s cannot be read\n", path);
		abort();
	}
}

/* Images whose areas are so large that a walk over them, though bounded, takes long. */
static inline bool census_is_large(const struct recorded *r)
{
	uint64_t all = 0, owned = 0;

	for (size_t i = 0; i < r->img.n_areas; i++) {
		uint64_t size = r->areas[i].end - r->areas[i].start;

		if (__builtin_add_overflow(all, size, &all))
			return true;
		owned += r->areas[i].owner ? size : 0;
	}
	return all > 1ull << 32 || owned > 1ull << 18;
}

#endif
