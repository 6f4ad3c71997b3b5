/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An allocator that nobody here knows: whatever defines malloc and free. Its
 * blocks count as they were asked for. The last of the list: tried where no
 * other is found in the file.
 */
#include "alloc/alloc.h"

static const struct mt_alloc_func funcs[] = {
	{.name = "malloc", .kind = MT_KIND_MALLOC, .required = true},
	{.name = "free", .kind = MT_KIND_FREE, .required = true},
	{.name = "calloc", .kind = MT_KIND_CALLOC},
	{.name = "realloc", .kind = MT_KIND_REALLOC},
	{.name = "cfree", .kind = MT_KIND_FREE},
	{.name = "free_sized", .kind = MT_KIND_FREE},
	{.name = "free_aligned_sized", .kind = MT_KIND_FREE},
	{.name = "reallocarray", .kind = MT_KIND_REALLOC_N},
	{.name = "reallocf", .kind = MT_KIND_REALLOCF},
	{.name = "memalign", .kind = MT_KIND_MEMALIGN},
	{.name = "aligned_alloc", .kind = MT_KIND_MEMALIGN},
	{.name = "posix_memalign", .kind = MT_KIND_POSIX_MEMALIGN},
	{.name = "valloc", .kind = MT_KIND_ALLOC},
	{.name = "pvalloc", .kind = MT_KIND_ALLOC},
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

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	struct mt_sym a, b;

	if (mt_elf_find_func(elf, "malloc", &a) || mt_elf_find_func(elf, "free", &b))
		return false;
	/* A static function of that name, or one that the file keeps to itself, serves nobody else.
	 */
	if (a.local || b.local || (a.from_symtab && !mt_elf_is_static(elf)))
		return false;
	id->layout = MT_LAYOUT_REQUESTED;
	return true;
}

const struct mt_allocator mt_alloc_generic = {
	.name = "unknown",
	.funcs = funcs,
	.identify = identify,
};
