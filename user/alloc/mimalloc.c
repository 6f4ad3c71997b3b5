/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mimalloc, in malloc's place or beside it by its own names, as a library or
 * linked into a program. What jumps to mi_free after a test (cfree, mi_cfree) is
 * seen there.
 */
#include "alloc/mimalloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/alloc.h"
#include "sys/emulate.h"

#define STRINGS 12

static const struct mt_alloc_func funcs[] = {
	{"mi_strdup", MT_KIND_ALLOC, false, true},
	{"mi_strndup", MT_KIND_ALLOC, false, true},
	{"strdup", MT_KIND_ALLOC, false, true},
	{"strndup", MT_KIND_ALLOC, false, true},
	{"mi_realpath", MT_KIND_ALLOC, false, true},
	{"mi_mbsdup", MT_KIND_ALLOC, false, true},
	{"mi_wcsdup", MT_KIND_ALLOC, false, true},
	{"mi_dupenv_s", MT_KIND_POSIX_MEMALIGN, false, true},
	{"mi_wdupenv_s", MT_KIND_POSIX_MEMALIGN, false, true},
	{"mi_heap_strdup", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_strndup", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_realpath", MT_KIND_MEMALIGN, false, true},
	/* From here on the arguments say how much is asked for. */
	{"mi_malloc", MT_KIND_MALLOC, true, true},
	{"mi_free", MT_KIND_FREE, true, true},
	{"malloc", MT_KIND_MALLOC, false, true},
	{"free", MT_KIND_FREE, false, true},
	{"mi_malloc_small", MT_KIND_MALLOC, false, true},
	{"mi_zalloc_small", MT_KIND_MALLOC, false, true},
	{"mi_zalloc", MT_KIND_MALLOC, false, true},
	{"calloc", MT_KIND_CALLOC, false, true},
	{"mi_calloc", MT_KIND_CALLOC, false, true},
	{"mi_mallocn", MT_KIND_ALLOC_N, false, true},
	{"realloc", MT_KIND_REALLOC, false, true},
	{"mi_realloc", MT_KIND_REALLOC, false, true},
	{"mi_rezalloc", MT_KIND_REALLOC, false, true},
	{"reallocf", MT_KIND_REALLOCF, false, true},
	{"mi_reallocf", MT_KIND_REALLOCF, false, true},
	{"reallocarray", MT_KIND_REALLOC_N, false, true},
	{"mi_reallocarray", MT_KIND_REALLOC_N, false, true},
	{"mi_reallocn", MT_KIND_REALLOC_N, false, true},
	{"mi_recalloc", MT_KIND_REALLOC_N, false, true},
	{"memalign", MT_KIND_MEMALIGN, false, true},
	{"mi_memalign", MT_KIND_MEMALIGN, false, true},
	{"aligned_alloc", MT_KIND_MEMALIGN, false, true},
	{"mi_aligned_alloc", MT_KIND_MEMALIGN, false, true},
	{"posix_memalign", MT_KIND_POSIX_MEMALIGN, false, true},
	{"mi_posix_memalign", MT_KIND_POSIX_MEMALIGN, false, true},
	{"valloc", MT_KIND_ALLOC, false, true},
	{"mi_valloc", MT_KIND_ALLOC, false, true},
	{"pvalloc", MT_KIND_ALLOC, false, true},
	{"mi_pvalloc", MT_KIND_ALLOC, false, true},
	{"_aligned_malloc", MT_KIND_ALLOC, false, true},
	/* Alignment, and where in the block it is counted from (_at). */
	{"mi_malloc_aligned", MT_KIND_ALLOC, false, true},
	{"mi_malloc_aligned_at", MT_KIND_ALLOC, false, true},
	{"mi_zalloc_aligned", MT_KIND_ALLOC, false, true},
	{"mi_zalloc_aligned_at", MT_KIND_ALLOC, false, true},
	{"mi_calloc_aligned", MT_KIND_ALLOC_N, false, true},
	{"mi_calloc_aligned_at", MT_KIND_ALLOC_N, false, true},
	{"mi_realloc_aligned", MT_KIND_REALLOC, false, true},
	{"mi_realloc_aligned_at", MT_KIND_REALLOC, false, true},
	{"mi_rezalloc_aligned", MT_KIND_REALLOC, false, true},
	{"mi_rezalloc_aligned_at", MT_KIND_REALLOC, false, true},
	{"mi_recalloc_aligned", MT_KIND_REALLOC_N, false, true},
	{"mi_recalloc_aligned_at", MT_KIND_REALLOC_N, false, true},
	{"mi_aligned_recalloc", MT_KIND_REALLOC_N, false, true},
	{"mi_aligned_offset_recalloc", MT_KIND_REALLOC_N, false, true},
	/* From a heap that the caller names; mimalloc 3 calls those of a thread theaps. */
	{"mi_heap_malloc", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_malloc_small", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_zalloc", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_zalloc_small", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_calloc", MT_KIND_HEAP_ALLOC_N, false, true},
	{"mi_heap_mallocn", MT_KIND_HEAP_ALLOC_N, false, true},
	{"mi_heap_realloc", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_rezalloc", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_reallocf", MT_KIND_HEAP_REALLOCF, false, true},
	{"mi_heap_reallocn", MT_KIND_HEAP_REALLOC_N, false, true},
	{"mi_heap_recalloc", MT_KIND_HEAP_REALLOC_N, false, true},
	{"mi_heap_malloc_aligned", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_malloc_aligned_at", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_zalloc_aligned", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_zalloc_aligned_at", MT_KIND_MEMALIGN, false, true},
	{"mi_heap_calloc_aligned", MT_KIND_HEAP_ALLOC_N, false, true},
	{"mi_heap_calloc_aligned_at", MT_KIND_HEAP_ALLOC_N, false, true},
	{"mi_heap_realloc_aligned", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_realloc_aligned_at", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_rezalloc_aligned", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_rezalloc_aligned_at", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_heap_recalloc_aligned", MT_KIND_HEAP_REALLOC_N, false, true},
	{"mi_heap_recalloc_aligned_at", MT_KIND_HEAP_REALLOC_N, false, true},
	{"mi_theap_malloc", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_malloc_small", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_zalloc", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_zalloc_small", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_calloc", MT_KIND_HEAP_ALLOC_N, false, true},
	{"mi_theap_realloc", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_theap_rezalloc", MT_KIND_HEAP_REALLOC, false, true},
	{"mi_theap_malloc_aligned", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_zalloc_aligned", MT_KIND_MEMALIGN, false, true},
	/* They also tell the size of a block. */
	{"mi_umalloc", MT_KIND_ALLOC, false, true},
	{"mi_umalloc_small", MT_KIND_ALLOC, false, true},
	{"mi_umalloc_aligned", MT_KIND_ALLOC, false, true},
	{"mi_ucalloc", MT_KIND_ALLOC_N, false, true},
	{"mi_uzalloc_small", MT_KIND_ALLOC, false, true},
	{"mi_uzalloc_aligned", MT_KIND_ALLOC, false, true},
	{"mi_urealloc", MT_KIND_REALLOC, false, true},
	{"mi_ufree", MT_KIND_FREE, false, true},
	{"mi_free_size", MT_KIND_FREE, false, true},
	{"mi_free_aligned", MT_KIND_FREE, false, true},
	{"mi_free_size_aligned", MT_KIND_FREE, false, true},
	{"vfree", MT_KIND_FREE, false, true},
	{"mi_free_small", MT_KIND_FREE, false, true},
	{"mi_free_small_nonnull", MT_KIND_FREE, false, true},
	{"mi_free_small_local", MT_KIND_FREE, false, true},
	{"mi_free_small_local_nonnull", MT_KIND_FREE, false, true},
	/* C++ */
	{"_Znwm", MT_KIND_NEW, false, true},
	{"_Znam", MT_KIND_NEW, false, true},
	{"_ZnwmRKSt9nothrow_t", MT_KIND_NEW, false, true},
	{"_ZnamRKSt9nothrow_t", MT_KIND_NEW, false, true},
	{"_ZnwmSt11align_val_t", MT_KIND_NEW, false, true},
	{"_ZnamSt11align_val_t", MT_KIND_NEW, false, true},
	{"_ZnwmSt11align_val_tRKSt9nothrow_t", MT_KIND_NEW, false, true},
	{"_ZnamSt11align_val_tRKSt9nothrow_t", MT_KIND_NEW, false, true},
	{"mi_new", MT_KIND_NEW, false, true},
	{"mi_new_nothrow", MT_KIND_NEW, false, true},
	{"mi_new_aligned", MT_KIND_NEW, false, true},
	{"mi_new_aligned_nothrow", MT_KIND_NEW, false, true},
	{"mi_new_n", MT_KIND_NEW_N, false, true},
	{"mi_new_realloc", MT_KIND_NEW_REALLOC, false, true},
	{"mi_new_reallocn", MT_KIND_NEW_REALLOC_N, false, true},
	{"mi_heap_try_new", MT_KIND_HEAP_NEW, false, true},
	{"mi_heap_alloc_new", MT_KIND_HEAP_NEW, false, true},
	{"mi_heap_alloc_new_n", MT_KIND_HEAP_NEW_N, false, true},
	{"mi_theap_alloc_new", MT_KIND_HEAP_NEW, false, true},
	/* noexcept, and in 3.6 its code is shared with what ends in a jump to memset */
	{"mi_theap_alloc_new_nothrow", MT_KIND_MEMALIGN, false, true},
	{"mi_theap_alloc_new_n", MT_KIND_HEAP_NEW_N, false, true},
	{"_ZdlPv", MT_KIND_FREE, false, true},
	{"_ZdaPv", MT_KIND_FREE, false, true},
	{"_ZdlPvm", MT_KIND_FREE, false, true},
	{"_ZdaPvm", MT_KIND_FREE, false, true},
	{"_ZdlPvRKSt9nothrow_t", MT_KIND_FREE, false, true},
	{"_ZdaPvRKSt9nothrow_t", MT_KIND_FREE, false, true},
	{"_ZdlPvSt11align_val_t", MT_KIND_FREE, false, true},
	{"_ZdaPvSt11align_val_t", MT_KIND_FREE, false, true},
	{"_ZdlPvmSt11align_val_t", MT_KIND_FREE, false, true},
	{"_ZdaPvmSt11align_val_t", MT_KIND_FREE, false, true},
	{"_ZdlPvSt11align_val_tRKSt9nothrow_t", MT_KIND_FREE, false, true},
	{"_ZdaPvSt11align_val_tRKSt9nothrow_t", MT_KIND_FREE, false, true},
	{.name = NULL},
};

static const char *const text_symbols[] = {
	"mi_version",     "mi_usable_size",  "mi_good_size",         "mi_expand",
	"mi_collect",     "mi_cfree",        "mi_free_size",         "mi_thread_init",
	"mi_thread_done", "mi_process_init", "mi_is_in_heap_region", "mi_reserve_os_memory",
	"mi_option_get",  "mi_stats_print",  "mi_stats_print_out",   NULL,
};

static bool on_read(void *ctx, uint64_t addr, unsigned int width, uint64_t *value)
{
	(void)ctx;
	(void)addr;
	(void)width;
	(void)value;
	return false;
}

/* mi_version returns a constant: 209 is 2.0.9, and from 3.2 on 30600 is 3.6.0. */
static void read_version(const struct mt_elf *elf, char *version, size_t size)
{
	const struct mt_emulate e = {.elf = elf, .read = on_read};
	struct mt_sym sym;
	uint64_t v;

	if (mt_elf_find_func(elf, "mi_version", &sym) || mt_emulate_call(&e, sym.addr, 0, &v) ||
	    v < 100 || v > 999999)
		return;
	if (v < 10000)
		snprintf(version, size, "%u.%u.%u", (unsigned int)v / 100,
			 (unsigned int)v / 10 % 10, (unsigned int)v % 10);
	else
		snprintf(version, size, "%u.%u.%u", (unsigned int)v / 10000,
			 (unsigned int)v / 100 % 100, (unsigned int)v % 100);
}

/* True if the name is mimalloc's own function, or one that only jumps to it. */
static bool is_own(const struct mt_elf *elf, const char *name, const char *own)
{
	struct mt_place_request rq = {0};
	struct mt_sym a, b;
	const char *bound;
	uint64_t to;
	bool slot;

	if (mt_elf_find_func(elf, name, &a) || mt_elf_find_func(elf, own, &b))
		return false;
	if (a.addr == b.addr)
		return true;
	for (int hops = 0; hops < 4; hops++) {
		rq.entry = a.addr;
		if (mt_elf_text(elf, a.addr, &rq.text, &rq.text_len, &rq.text_addr) ||
		    !mt_place_jump(&rq, &to, &slot))
			return false;
		bound = slot ? mt_elf_slot_symbol(elf, to) : NULL;
		if (slot)
			return bound && strcmp(bound, own) == 0;
		if (to == b.addr)
			return true;
		a.addr = to; /* a PLT entry's, maybe */
	}
	return false;
}

/* A library whose functions are mostly mimalloc's: nothing else of weight is in it. */
static bool is_library(const struct mt_elf *elf)
{
	size_t n, own = 0, all = 0;
	const struct mt_sym *syms;

	if (!mt_elf_exports(elf, "mi_malloc") || mt_elf_funcs(elf, &syms, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (syms[i].local || syms[i].from_symtab)
			continue;
		all++;
		own += strncmp(syms[i].name, "mi_", 3) == 0 ||
		       mt_alloc_is_common_name(syms[i].name);
	}
	return own > all / 4 * 3;
}

static bool has_mimalloc(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	struct mt_sym sym;

	if (mt_elf_find_func(elf, "mi_malloc", &sym) || mt_elf_find_func(elf, "mi_free", &sym))
		return false;
	read_version(elf, id->version, sizeof(id->version));
	id->foreign_names = !is_own(elf, "malloc", "mi_malloc");
	id->own_text = is_library(elf);
	return true;
}

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	id->layout = MT_LAYOUT_MIMALLOC;
	return has_mimalloc(elf, id) && mt_mimalloc_layout(elf, id->params) == 0;
}

static bool identify_other(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	uint64_t unused[MT_FILE_PARAMS];

	id->layout = MT_LAYOUT_REQUESTED;
	return has_mimalloc(elf, id) && mt_mimalloc_layout(elf, unused) != 0;
}

const struct mt_allocator mt_alloc_mimalloc = {
	.name = "mimalloc",
	.funcs = funcs,
	.text_symbols = text_symbols,
	.identify = identify,
};

/* What copies strings does not say how much it takes: their blocks are unknown then. */
const struct mt_allocator mt_alloc_mimalloc_requested = {
	.name = "mimalloc",
	.funcs = funcs + STRINGS,
	.text_symbols = text_symbols,
	.identify = identify_other,
};
