/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * musl's mallocng, musl 1.2.1 to 1.2.6, x86-64. Layouts: src/malloc/mallocng/
 * meta.h of musl. Every group of slots has a struct meta in an area of metas
 * that begins with the process's secret; the areas are a list from a context in
 * libc's .bss. What stands in a slot is told by the bytes in front of the block
 * and at the slot's end. A slot may hold a whole group of smaller slots.
 *
 * What makes a walk sound: each slot that says that it holds a group has a meta
 * whose group is there and the other way round, and the slots per class are as
 * many as the allocator itself counts.
 */
#include "census/musl_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/musl.h"
#include "base/cleanup.h"

#define PAGE      MT_MEM_PAGE
#define FIND_MAX  (1ull << 30) /* bytes looked through for the context */
#define FIND_HITS 1024         /* places that hold the secret */

struct found {
	uint64_t ctx;
};

static int join_areas(struct mt_musl_walk *w)
{
	const struct mt_image *img = w->img;

	w->runs = calloc(img->n_areas + 1, sizeof(*w->runs));
	if (!w->runs)
		return -ENOMEM;
	for (size_t i = 0; i < img->n_areas; i++) {
		const struct mt_image_area *a = &img->areas[i];

		if (w->n_runs && w->runs[w->n_runs - 1].end == a->start)
			w->runs[w->n_runs - 1].end = a->end;
		else
			w->runs[w->n_runs++] = (struct mt_musl_run){a->start, a->end};
		w->room += a->end - a->start;
	}
	return 0;
}

static int read_area(struct mt_musl_walk *w, uint64_t addr, struct mt_musl_meta_area *a)
{
	if (addr % PAGE || !mt_musl_covered(w, addr, PAGE) ||
	    w->img->mem->read(w->img->mem, addr, a, sizeof(*a)) < 0 || a->check != w->ctx.secret ||
	    a->nslots != MT_MUSL_AREA_SLOTS)
		return mt_unsound(w->img, "there is no area of group descriptors at %#llx",
				  (unsigned long long)addr);
	w->heap->span_bytes += PAGE;
	return 0;
}

static int walk_area(struct mt_musl_walk *w, uint64_t addr, const struct mt_musl_meta_area *a)
{
	uint64_t n = MT_MUSL_AREA_SLOTS, slots = addr + offsetof(struct mt_musl_meta_area, slots);

	if (!a->next) {
		n -= w->ctx.avail_meta_count;
		if (w->ctx.avail_meta_count > MT_MUSL_AREA_SLOTS || addr != w->ctx.area_tail ||
		    w->ctx.avail_meta != slots + n * sizeof(struct mt_musl_meta))
			return mt_unsound(w->img, "the last group descriptors are not where they "
						  "should be");
	}
	for (uint64_t i = 0; i < n; i++) {
		const struct mt_musl_meta *m = &a->slots[i];
		int r = 0;

		if (m->mem)
			r = mt_musl_walk_group(w, slots + i * sizeof(*m), m);
		else if (!m->prev || !m->next || m->avail || m->freed || m->bits)
			r = mt_unsound(w->img, "a group descriptor is neither used nor free");
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_areas(struct mt_musl_walk *w)
{
	uint64_t seen = 0, n = 0, renew = 1;
	struct mt_musl_meta_area a = {0};

	for (uint64_t addr = w->ctx.area_head; addr; addr = a.next) {
		int r;

		/* A list that comes back to an address that is renewed ever more seldom is a loop.
		 */
		if (addr == seen)
			return mt_unsound(w->img, "the group descriptors are a loop");
		if (++n == renew) {
			seen = addr;
			renew *= 2;
		}
		if (mt_image_late(w->img))
			return -ETIME;
		r = read_area(w, addr, &a);
		if (r < 0)
			return r;
		r = walk_area(w, addr, &a);
		if (r < 0)
			return r;
	}
	return 0;
}

static int balance(struct mt_musl_walk *w)
{
	struct mt_heap_arena *a = w->arena;

	if (w->nested_slots.n != w->nested_groups.n || w->nested_slots.sum != w->nested_groups.sum)
		return mt_unsound(w->img, "%llu slots hold groups, and %llu groups lie in slots",
				  (unsigned long long)w->nested_slots.n,
				  (unsigned long long)w->nested_groups.n);
	for (unsigned int i = 0; i < MT_MUSL_CLASSES; i++) {
		if (w->usage[i] != w->ctx.usage[i])
			return mt_unsound(w->img,
					  "%llu slots of %u bytes found, the allocator has %llu",
					  (unsigned long long)w->usage[i],
					  MT_MUSL_UNIT * mt_musl_slot_units[i],
					  (unsigned long long)w->ctx.usage[i]);
	}
	if (a->system + w->heap->mapped_system > w->room || a->in_use + a->free > a->system)
		return mt_unsound(w->img, "the groups of blocks lie over each other");
	a->other = a->system - a->in_use - a->free;
	return 0;
}

static bool plausible(const struct mt_image *img, const struct mt_musl_context *c, uint64_t secret)
{
	struct mt_musl_meta_area a = {0};

	return c->secret == secret && c->init_done == 1 && c->area_head &&
	       c->area_head % PAGE == 0 && mt_image_find(img, c->area_head) &&
	       !img->mem->read(img->mem, c->area_head, &a, sizeof(a)) && a.check == secret &&
	       a.nslots == MT_MUSL_AREA_SLOTS;
}

static int walk_heap(struct mt_musl_walk *w, const struct found *f)
{
	int r;

	if (w->img->mem->read(w->img->mem, f->ctx, &w->ctx, sizeof(w->ctx)) < 0 ||
	    !plausible(w->img, &w->ctx, w->ctx.secret))
		return mt_unsound(w->img, "the allocator's context is gone");
	w->arena = mt_heap_add_arena(w->heap, f->ctx);
	w->window = malloc(MT_MUSL_WINDOW);
	if (!w->arena || !w->window)
		return -ENOMEM;
	r = join_areas(w);
	if (r < 0)
		return r;
	r = walk_areas(w);
	if (r < 0)
		return r;
	return balance(w);
}

static int walk(const struct mt_image *img, void *state, struct mt_heap *out)
{
	struct mt_musl_walk w = {.img = img, .heap = out};
	int r = walk_heap(&w, state);

	free(w.runs);
	free(w.window);
	return r;
}

/* The context among the words of an area that are the secret; 0: none. */
static uint64_t find_in(const struct mt_image *img, const struct mt_image_area *area,
			uint64_t secret, uint64_t *words, size_t *hits, uint64_t *budget)
{
	for (uint64_t at = area->start; at < area->end && *budget; at += MT_MUSL_WINDOW) {
		uint64_t n;

		if (img->mem->skip)
			at = img->mem->skip(img->mem, at, area->end);
		n = area->end - at < MT_MUSL_WINDOW ? area->end - at : MT_MUSL_WINDOW;
		*budget -= n < *budget ? n : *budget;
		if (!n || img->mem->read(img->mem, at, words, n) < 0)
			continue;
		for (uint64_t i = 0; i < n / 8; i++) {
			struct mt_musl_context c;

			if (words[i] != secret || ++*hits > FIND_HITS)
				continue;
			if (!img->mem->read(img->mem, at + 8 * i, &c, sizeof(c)) &&
			    plausible(img, &c, secret))
				return at + 8 * i;
		}
	}
	return 0;
}

static int find(const struct mt_image *img, void **state)
{
	_cleanup_free_ uint64_t *words = NULL;
	_cleanup_free_ struct found *f = NULL;
	uint64_t secret = 0, budget = FIND_MAX;
	size_t hits = 0;

	if (!img->random ||
	    img->mem->read(img->mem, img->random + 8, &secret, sizeof(secret)) < 0 || !secret)
		return -ENOENT;
	words = malloc(MT_MUSL_WINDOW);
	f = calloc(1, sizeof(*f));
	if (!words || !f)
		return -ENOMEM;
	for (size_t i = 0; i < img->n_areas && !f->ctx; i++)
		if (img->areas[i].owner)
			f->ctx = find_in(img, &img->areas[i], secret, words, &hits, &budget);
	if (!f->ctx)
		return -ENOENT;
	*state = TAKE_PTR(f);
	return 0;
}

/* A static executable is told by its .symtab; one without may be musl's: find tells. */
static bool identify(const struct mt_elf *elf, char *version, size_t size)
{
	struct mt_sym sym;

	if (mt_musl_is_libc(elf, version, size))
		return true;
	if (!mt_elf_is_static(elf))
		return false;
	return mt_elf_find_func(elf, "__malloc_alloc_meta", &sym) == 0 ||
	       mt_elf_find_func(elf, "malloc", &sym) != 0;
}

static void state_free(void **state)
{
	free(*state);
	*state = NULL;
}

/* Functions no further from each other than this are taken for one stretch of text. */
#define TEXT_GAP 1024u

static void add_text(struct mt_text_range *v, size_t *n, uint64_t lo, uint64_t hi)
{
	for (size_t i = 0; i < *n; i++) {
		if (lo > v[i].hi + TEXT_GAP || hi + TEXT_GAP < v[i].lo)
			continue;
		v[i].lo = lo < v[i].lo ? lo : v[i].lo;
		v[i].hi = hi > v[i].hi ? hi : v[i].hi;
		return;
	}
	if (*n < MT_TEXT_MAX)
		v[(*n)++] = (struct mt_text_range){lo, hi};
}

/*
 * Its objects do not always stand side by side. In front of the first function
 * of a stretch that exports it stand those that the object keeps to itself, up
 * to the end of the exported one before.
 */
static size_t text(const struct mt_elf *elf, struct mt_text_range *v)
{
	static const char *const names[] = {
		"malloc",
		"calloc",
		"realloc",
		"reallocarray",
		"free",
		"aligned_alloc",
		"memalign",
		"posix_memalign",
		"malloc_usable_size",
		"__libc_malloc",
		"__libc_malloc_impl",
		"__libc_realloc",
		"__libc_free",
		"__libc_calloc",
		"__malloc_alloc_meta",
		"__malloc_allzerop",
		"__malloc_donate",
		NULL,
	};
	size_t n = 0;

	for (const char *const *name = names; *name; name++) {
		const char *const one[] = {*name, NULL};
		uint64_t lo, hi;

		if (!mt_alloc_text_range(elf, NULL, one, &lo, &hi))
			add_text(v, &n, lo, hi);
	}
	return n;
}

const struct mt_walker mt_walker_musl = {
	.name = "musl",
	.identify = identify,
	.text = text,
	.find = find,
	.walk = walk,
	.free = state_free,
};
