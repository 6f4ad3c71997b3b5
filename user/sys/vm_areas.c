/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The mappings that matter for what of a target's memory is what. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/vm_internal.h"

#define AREAS_MAX (1u << 18)

static bool is_private_anon(const struct mt_mapping *m)
{
	if (!m->write || m->shared)
		return false;
	if (strcmp(m->path, "/anon_hugepage") == 0)
		return true;
	return m->inode == 0 && (m->path[0] == '\0' || strncmp(m->path, "[anon:", 6) == 0);
}

/* False: the mapping is none of the memory that is divided here. */
static bool kind_of(const struct mt_mapping *m, enum mt_vm_kind *kind)
{
	if (is_private_anon(m))
		*kind = MT_VM_ANON;
	else if (strcmp(m->path, "[stack]") == 0)
		*kind = MT_VM_STACK;
	else if (strcmp(m->path, "[heap]") == 0 && m->write && !m->shared && m->inode == 0)
		*kind = MT_VM_HEAP;
	else
		return false;
	return true;
}

int mt_vm_areas_add(struct mt_vm_areas *areas, const struct mt_mapping *m)
{
	enum mt_vm_kind kind;

	if (!kind_of(m, &kind) || areas->n >= AREAS_MAX || m->start % MT_MEM_PAGE ||
	    m->end % MT_MEM_PAGE)
		return 0;
	if (areas->n == areas->cap) {
		size_t bigger = areas->cap ? areas->cap * 2 : 64;
		struct mt_vm_area *v = realloc(areas->v, bigger * sizeof(*v));

		if (!v)
			return -ENOMEM;
		areas->v = v;
		areas->cap = bigger;
	}
	areas->v[areas->n++] =
		(struct mt_vm_area){.start = m->start, .end = m->end, .rss = m->rss, .kind = kind};
	return 0;
}

void mt_vm_areas_fini(struct mt_vm_areas *areas)
{
	free(areas->v);
	*areas = (struct mt_vm_areas){0};
}

uint64_t mt_vm_areas_run(const struct mt_vm_areas *areas, size_t *i)
{
	const struct mt_vm_area *v = areas->v;

	while (*i + 1 < areas->n && v[*i + 1].start == v[*i].end && v[*i + 1].kind == MT_VM_ANON)
		++*i;
	return v[*i].end;
}

const struct mt_vm_area *mt_vm_areas_find(const struct mt_vm_areas *areas, uint64_t addr)
{
	size_t lo = 0, hi = areas->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (areas->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < areas->n && areas->v[lo].start <= addr ? &areas->v[lo] : NULL;
}
