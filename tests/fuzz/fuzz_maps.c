/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The text of maps or smaps, then the walk over memory made of the same bytes.
 * The first byte picks where the threads' list heads point.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct image {
	const uint8_t *data;
	size_t size;
};

static int image_read(const struct mt_mem *m, uint64_t addr, void *buf, size_t n)
{
	const struct image *im = m->ctx;
	uint8_t *out = buf;

	for (size_t i = 0; i < n; i++)
		out[i] = im->data[(addr / 4096 * 24 + addr % 4096 + i) % im->size];
	return 0;
}

static void check_sorted(const struct mt_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (m->start >= m->end || (i && m->start < maps->v[i - 1].end) ||
		    mt_maps_find(maps, m->start) != m || mt_maps_find(maps, m->end - 1) != m ||
		    strlen(m->path) > 1u << 20)
			abort();
	}
}

static void check_parts(const struct mt_maps *maps, const struct image *im, uint8_t seed)
{
	struct mt_mem mem = {.read = image_read, .ctx = (void *)(uintptr_t)im};
	uint64_t heads[4] = {0}, writable = 0, rss = 0;
	struct mt_vm_cache *cache = NULL;
	struct mt_vm_areas areas = {0};
	struct mt_vm_parts parts;
	bool failed = false;

	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (i < 4)
			heads[i] = m->end - 1 - (uint64_t)seed * 16;
		if (__builtin_add_overflow(writable, m->end - m->start, &writable) ||
		    __builtin_add_overflow(rss, m->rss, &rss))
			return;
	}
	/* Bounded, but too slow for thousands of runs over huge spaces. */
	if (writable > 1ull << 34)
		return;
	for (size_t i = 0; i < maps->n; i++)
		failed = failed || mt_vm_areas_add(&areas, &maps->v[i]);
	/* A second reading goes by what the first one noted. */
	for (int i = 0; i < 2 && !failed; i++) {
		failed = mt_vm_cache_begin(&cache) ||
			 mt_vm_classify(&areas, &mem, maps->n ? maps->v[0].start + seed : 0, heads,
					4, cache, &parts);
		if (!failed && (parts.heap + parts.stack > writable ||
				parts.heap_resident + parts.stack_resident > rss))
			abort();
	}
	mt_vm_cache_free(&cache);
	mt_vm_areas_fini(&areas);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_maps *maps = NULL;
	struct image im = {data, size};

	if (size < 2 || mt_maps_parse((const char *)data + 1, size - 1, &maps))
		return 0;
	check_sorted(maps);
	check_parts(maps, &im, data[0]);
	mt_maps_free(&maps);
	return 0;
}
