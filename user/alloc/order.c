/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "alloc/order.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The target may have written anything there: no list is longer. */
#define LIST_MAX    4096
#define PHDRS_MAX   256
#define DYNAMIC_MAX 512

static uint64_t auxv_get(const uint64_t *auxv, size_t words, uint64_t type)
{
	for (size_t i = 0; i + 1 < words && auxv[i] != AT_NULL; i += 2)
		if (auxv[i] == type)
			return auxv[i + 1];
	return 0;
}

/* The address of the executable's dynamic section; 0: none. */
static uint64_t find_dynamic(const struct mt_mem *mem, const uint64_t *auxv, size_t words)
{
	const uint64_t at = auxv_get(auxv, words, AT_PHDR);
	uint64_t n = auxv_get(auxv, words, AT_PHNUM);
	uint64_t bias = 0, dynamic = 0;
	Elf64_Phdr ph;

	for (uint64_t i = 0; i < n && i < PHDRS_MAX; i++) {
		if (mem->read(mem, at + i * sizeof(ph), &ph, sizeof(ph)))
			return 0;
		if (ph.p_type == PT_PHDR)
			bias = at - ph.p_vaddr;
		if (ph.p_type == PT_DYNAMIC)
			dynamic = ph.p_vaddr;
	}
	return dynamic ? bias + dynamic : 0;
}

static uint64_t find_list(const struct mt_mem *mem, uint64_t dynamic)
{
	struct r_debug debug;
	Elf64_Dyn dyn;

	for (uint64_t i = 0; i < DYNAMIC_MAX; i++) {
		if (mem->read(mem, dynamic + i * sizeof(dyn), &dyn, sizeof(dyn)) ||
		    dyn.d_tag == DT_NULL)
			return 0;
		if (dyn.d_tag != DT_DEBUG)
			continue;
		if (!dyn.d_un.d_ptr || mem->read(mem, dyn.d_un.d_ptr, &debug, sizeof(debug)))
			return 0;
		return (uint64_t)(uintptr_t)debug.r_map;
	}
	return 0;
}

/* Moves the file that the list's entry names behind those already placed. */
static size_t place(const struct mt_maps *maps, const struct link_map *entry,
		    const struct mt_mapping **files, size_t n, size_t placed)
{
	const struct mt_mapping *m = mt_maps_find(maps, (uint64_t)(uintptr_t)entry->l_ld);

	for (size_t i = placed; m && i < n; i++) {
		const struct mt_mapping *file = files[i];

		if (!mt_mapping_same_file(file, m))
			continue;
		memmove(files + placed + 1, files + placed,
			(i - placed) * sizeof(const struct mt_mapping *));
		files[placed] = file;
		return placed + 1;
	}
	return placed;
}

int mt_alloc_order(const struct mt_maps *maps, const struct mt_mem *mem, const uint64_t *auxv,
		   size_t words, const struct mt_mapping **files, size_t n)
{
	const uint64_t dynamic = find_dynamic(mem, auxv, words);
	uint64_t at = dynamic ? find_list(mem, dynamic) : 0;
	_cleanup_free_ const struct mt_mapping **sorted = NULL;
	struct link_map entry;
	size_t placed = 0;

	sorted = calloc(n + 1, sizeof(const struct mt_mapping *));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, files, n * sizeof(const struct mt_mapping *));
	for (int steps = 0; at && steps < LIST_MAX; steps++) {
		if (mem->read(mem, at, &entry, sizeof(entry)))
			return -ENOENT;
		placed = place(maps, &entry, sorted, n, placed);
		at = (uint64_t)(uintptr_t)entry.l_next;
	}
	/* The executable alone: the linker has not come to the libraries yet. */
	if (at || placed < 2)
		return -ENOENT;
	memcpy(files, sorted, n * sizeof(const struct mt_mapping *));
	return 0;
}

bool mt_mapping_is_first(const struct mt_maps *maps, size_t i)
{
	const struct mt_mapping *m = &maps->v[i];

	if (!m->exec || !m->inode || m->path[0] != '/')
		return false;
	for (size_t k = 0; k < i; k++)
		if (maps->v[k].exec && mt_mapping_same_file(&maps->v[k], m))
			return false;
	return true;
}
