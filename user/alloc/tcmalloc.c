/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gperftools' tcmalloc, as a library (with or without its profiler) or linked
 * in. Its names are aliases: tc_malloc is malloc, tc_delete is free. Nothing of
 * it calls these to serve itself, so no part of its text is left out of the
 * count. Source: src/libc_override*.h, src/tcmalloc.cc.
 */
#include <ctype.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/tcmalloc_find.h"
#include "tcmalloc_core.bpf.h"

static const struct mt_alloc_func funcs[] = {
	{.name = "malloc", .kind = MT_KIND_MALLOC},
	{.name = "calloc", .kind = MT_KIND_CALLOC},
	{.name = "free", .kind = MT_KIND_FREE},
	{.name = "cfree", .kind = MT_KIND_FREE},
	{.name = "realloc", .kind = MT_KIND_REALLOC},
	{.name = "memalign", .kind = MT_KIND_MEMALIGN},
	{.name = "aligned_alloc", .kind = MT_KIND_MEMALIGN},
	{.name = "posix_memalign", .kind = MT_KIND_POSIX_MEMALIGN},
	{.name = "valloc", .kind = MT_KIND_ALLOC},
	{.name = "pvalloc", .kind = MT_KIND_ALLOC},
	{.name = "free_sized", .kind = MT_KIND_FREE},
	{.name = "free_aligned_sized", .kind = MT_KIND_FREE},
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
	/* Where the names above are another allocator's, or a part of them. */
	{.name = "tc_malloc", .kind = MT_KIND_MALLOC},
	{.name = "tc_malloc_skip_new_handler", .kind = MT_KIND_MALLOC},
	{.name = "tc_calloc", .kind = MT_KIND_CALLOC},
	{.name = "tc_free", .kind = MT_KIND_FREE},
	{.name = "tc_cfree", .kind = MT_KIND_FREE},
	{.name = "tc_free_sized", .kind = MT_KIND_FREE},
	{.name = "tc_free_aligned_sized", .kind = MT_KIND_FREE},
	{.name = "tc_realloc", .kind = MT_KIND_REALLOC},
	{.name = "tc_memalign", .kind = MT_KIND_MEMALIGN},
	{.name = "tc_posix_memalign", .kind = MT_KIND_POSIX_MEMALIGN},
	{.name = "tc_valloc", .kind = MT_KIND_ALLOC},
	{.name = "tc_pvalloc", .kind = MT_KIND_ALLOC},
	{.name = "tc_new", .kind = MT_KIND_NEW},
	{.name = "tc_newarray", .kind = MT_KIND_NEW},
	{.name = "tc_new_nothrow", .kind = MT_KIND_NEW},
	{.name = "tc_newarray_nothrow", .kind = MT_KIND_NEW},
	{.name = "tc_new_aligned", .kind = MT_KIND_NEW},
	{.name = "tc_newarray_aligned", .kind = MT_KIND_NEW},
	{.name = "tc_new_aligned_nothrow", .kind = MT_KIND_NEW},
	{.name = "tc_newarray_aligned_nothrow", .kind = MT_KIND_NEW},
	{.name = "tc_delete", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray", .kind = MT_KIND_FREE},
	{.name = "tc_delete_sized", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray_sized", .kind = MT_KIND_FREE},
	{.name = "tc_delete_nothrow", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray_nothrow", .kind = MT_KIND_FREE},
	{.name = "tc_delete_aligned", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray_aligned", .kind = MT_KIND_FREE},
	{.name = "tc_delete_sized_aligned", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray_sized_aligned", .kind = MT_KIND_FREE},
	{.name = "tc_delete_aligned_nothrow", .kind = MT_KIND_FREE},
	{.name = "tc_deletearray_aligned_nothrow", .kind = MT_KIND_FREE},
	{.name = NULL},
};

/* TC_VERSION_STRING: "gperftools 2.10" */
static void read_version(const struct mt_elf *elf, char *version, size_t size)
{
	static const char banner[] = "gperftools ";
	size_t max, n = 0;
	const char *p = mt_elf_find_text(elf, banner, &max);

	if (!p)
		return;
	for (size_t i = strlen(banner); i < max && n + 1 < size; i++) {
		if (!isdigit((unsigned char)p[i]) && (p[i] != '.' || !n))
			break;
		version[n++] = p[i];
	}
	version[n] = '\0';
}

static void set_params(const struct mt_tcmalloc *tc, uint64_t *p)
{
	const unsigned int word = tc->class_bit / 64 * 8, first = 8 * word;

	p[MT_TCMALLOC_CACHE] = tc->cache;
	p[MT_TCMALLOC_ROOT] = tc->root;
	p[MT_TCMALLOC_SIZES] = tc->sizes;
	p[MT_TCMALLOC_CLASSES] = tc->classes;
	p[MT_TCMALLOC_SHIFTS] =
		MT_TCMALLOC_SHIFTS_OF(tc->page_shift, tc->leaf_bits, tc->cache_bits);
	p[MT_TCMALLOC_SPAN] = MT_TCMALLOC_SPAN_OF(
		word, tc->class_bit - first,
		tc->samples ? tc->sampled_bit - first : MT_TCMALLOC_NEVER, tc->length, tc->sample);
}

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	struct mt_sym own, sym;
	struct mt_tcmalloc tc;

	if (mt_elf_find_func(elf, "tc_malloc", &own) || mt_elf_find_func(elf, "tc_version", &sym))
		return false;
	id->foreign_names = mt_elf_find_func(elf, "malloc", &sym) || sym.addr != own.addr;
	read_version(elf, id->version, sizeof(id->version));
	id->layout = MT_LAYOUT_REQUESTED;
	if (mt_tcmalloc_find(elf, &tc, &id->why))
		return true;
	id->layout = MT_LAYOUT_TCMALLOC;
	set_params(&tc, id->params);
	return true;
}

const struct mt_allocator mt_alloc_tcmalloc = {
	.name = "tcmalloc",
	.funcs = funcs,
	.identify = identify,
};
