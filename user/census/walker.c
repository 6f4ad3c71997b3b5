/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "census/walker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core.bpf.h"

#define IDLE_MAX 16384u /* ranges remembered for what of them is resident */

const struct mt_walker *const mt_walkers[] = {&mt_walker_glibc, &mt_walker_musl, NULL};

int mt_unsound(const struct mt_image *img, const char *fmt, ...)
{
	va_list ap;

	if (img->why) {
		va_start(ap, fmt);
		vsnprintf(img->why, MT_WHY_SIZE, fmt, ap);
		va_end(ap);
	}
	return -EAGAIN;
}

bool mt_image_late(const struct mt_image *img)
{
	return img->deadline_ns && mt_clock_ns(CLOCK_MONOTONIC) > img->deadline_ns;
}

const struct mt_image_area *mt_image_find(const struct mt_image *img, uint64_t addr)
{
	size_t lo = 0, hi = img->n_areas;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (img->areas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < img->n_areas && img->areas[lo].start <= addr ? &img->areas[lo] : NULL;
}

void mt_heap_count(struct mt_heap *heap, uint64_t usable, uint64_t n)
{
	struct mt_heap_class *c = &heap->cls[mt_core_class(usable)];

	c->objects += n;
	c->bytes += usable * n;
	heap->objects += n;
	heap->bytes += usable * n;
}

void mt_heap_uncount(struct mt_heap *heap, uint64_t usable)
{
	struct mt_heap_class *c = &heap->cls[mt_core_class(usable)];

	c->objects--;
	c->bytes -= usable;
	heap->objects--;
	heap->bytes -= usable;
}

struct mt_heap_arena *mt_heap_add_arena(struct mt_heap *heap, uint64_t address)
{
	struct mt_heap_arena *v;

	v = realloc(heap->arenas, (heap->n_arenas + 1) * sizeof(*v));
	if (!v)
		return NULL;
	heap->arenas = v;
	v += heap->n_arenas++;
	*v = (struct mt_heap_arena){.address = address};
	return v;
}

void mt_image_idle(const struct mt_image *img, struct mt_heap *heap, uint64_t lo, uint64_t hi)
{
	struct mt_image_ranges *r = img->idle;

	lo = (lo + MT_MEM_PAGE - 1) & ~(MT_MEM_PAGE - 1);
	hi &= ~(MT_MEM_PAGE - 1);
	if (lo >= hi)
		return;
	heap->idle += hi - lo;
	if (!r || r->n == IDLE_MAX)
		return;
	if (!r->v)
		r->v = calloc(IDLE_MAX, sizeof(*r->v));
	if (r->v)
		r->v[r->n++] = (struct mt_image_range){lo, hi};
}
