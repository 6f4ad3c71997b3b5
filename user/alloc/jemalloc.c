/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * jemalloc, as a library or linked in, with its names as they are or behind a
 * prefix. Its operator new and delete do not go through malloc and free, and
 * its own API is the program's as malloc is. Nothing of it calls these to serve
 * itself, so no part of its text is left out of the count.
 * Sources: include/jemalloc/jemalloc_protos.h.in, src/jemalloc_cpp.cpp.
 */
#include <stdio.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/jemalloc.h"

static const struct mt_alloc_func funcs[] = {
	{.name = "malloc", .kind = MT_KIND_MALLOC, .required = true},
	{.name = "free", .kind = MT_KIND_FREE, .required = true},
	{.name = "calloc", .kind = MT_KIND_CALLOC},
	{.name = "realloc", .kind = MT_KIND_REALLOC},
	{.name = "free_sized", .kind = MT_KIND_FREE},
	{.name = "free_aligned_sized", .kind = MT_KIND_FREE},
	{.name = "memalign", .kind = MT_KIND_MEMALIGN},
	{.name = "aligned_alloc", .kind = MT_KIND_MEMALIGN},
	{.name = "posix_memalign", .kind = MT_KIND_POSIX_MEMALIGN},
	{.name = "valloc", .kind = MT_KIND_ALLOC},
	{.name = "pvalloc", .kind = MT_KIND_ALLOC},
	{.name = "mallocx", .kind = MT_KIND_MALLOC},
	{.name = "rallocx", .kind = MT_KIND_REALLOC},
	{.name = "xallocx", .kind = MT_KIND_XALLOCX},
	{.name = "dallocx", .kind = MT_KIND_FREE},
	{.name = "sdallocx", .kind = MT_KIND_FREE},
	{.name = "_Znwm", .kind = MT_KIND_NEW},
	{.name = "_Znam", .kind = MT_KIND_NEW},
	{.name = "_ZnwmRKSt9nothrow_t", .kind = MT_KIND_NEW},
	{.name = "_ZnamRKSt9nothrow_t", .kind = MT_KIND_NEW},
	{.name = "_ZnwmSt11align_val_t", .kind = MT_KIND_NEW},
	{.name = "_ZnamSt11align_val_t", .kind = MT_KIND_NEW},
	{.name = "_ZnwmSt11align_val_tRKSt9nothrow_t", .kind = MT_KIND_NEW},
	{.name = "_ZnamSt11align_val_tRKSt9nothrow_t", .kind = MT_KIND_NEW},
	{.name = "_ZdlPv", .kind = MT_KIND_FREE},
	{.name = "_ZdaPv", .kind = MT_KIND_FREE},
	{.name = "_ZdlPvm", .kind = MT_KIND_FREE},
	{.name = "_ZdaPvm", .kind = MT_KIND_FREE},
	{.name = "_ZdlPvRKSt9nothrow_t", .kind = MT_KIND_FREE},
	{.name = "_ZdaPvRKSt9nothrow_t", .kind = MT_KIND_FREE},
	{.name = "_ZdlPvSt11align_val_t", .kind = MT_KIND_FREE},
	{.name = "_ZdaPvSt11align_val_t", .kind = MT_KIND_FREE},
	{.name = "_ZdlPvmSt11align_val_t", .kind = MT_KIND_FREE},
	{.name = "_ZdaPvmSt11align_val_t", .kind = MT_KIND_FREE},
	{.name = "_ZdlPvSt11align_val_tRKSt9nothrow_t", .kind = MT_KIND_FREE},
	{.name = "_ZdaPvSt11align_val_tRKSt9nothrow_t", .kind = MT_KIND_FREE},
	{.name = NULL},
};

/* Of the builds that are linked into programs: redis, Rust's crates, Arrow. */
static const char *const prefixes[] = {"je_", "_rjem_", "je_arrow_", "jemalloc_"};

/* By mallctlnametomib, which every jemalloc has since 2.0 and nothing else. */
static bool find_prefix(const struct mt_elf *elf, const char **prefix)
{
	struct mt_sym sym;
	char name[64];

	*prefix = NULL;
	if (mt_elf_find_func(elf, "mallctlnametomib", &sym) == 0)
		return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		snprintf(name, sizeof(name), "%smallctlnametomib", prefixes[i]);
		if (mt_elf_find_func(elf, name, &sym))
			continue;
		*prefix = prefixes[i];
		return true;
	}
	return false;
}

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	struct mt_jemalloc_layout layout;

	if (!find_prefix(elf, &id->prefix))
		return false;
	mt_jemalloc_tell(elf, id->prefix ?: "", &layout);
	id->layout = layout.why ? MT_LAYOUT_REQUESTED : MT_LAYOUT_JEMALLOC;
	id->why = layout.why;
	memcpy(id->version, layout.version, sizeof(id->version));
	memcpy(id->params, layout.p, sizeof(layout.p));
	return true;
}

const struct mt_allocator mt_alloc_jemalloc = {
	.name = "jemalloc",
	.funcs = funcs,
	.identify = identify,
};
