/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From tcmalloc's file to the tables that its code uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/tcmalloc_find.h"
#include "base/cleanup.h"
#include "tcmalloc_core.bpf.h"

#define FUNC_MAX 8192u /* bytes; the real ones have some hundred */
/* A function may name any field of the object that holds cache and root. */
#define AROUND 256u

static int request(const struct mt_elf *elf, const char *name, struct mt_place_request *rq)
{
	struct mt_sym sym;

	*rq = (struct mt_place_request){0};
	if (mt_elf_find_func(elf, name, &sym) || !sym.size || sym.size > FUNC_MAX)
		return -ENOENT;
	rq->entry = sym.addr;
	rq->size = sym.size;
	return mt_elf_text(elf, sym.addr, &rq->text, &rq->text_len, &rq->text_addr);
}

static int run(const struct mt_elf *elf, const char *name, struct mt_eval *ev)
{
	struct mt_place_request rq;

	return request(elf, name, &rq) || mt_eval_run(&rq, ev) ? -ENOENT : 0;
}

/* The function at addr is name, if need be through the PLT. */
static bool leads_to(const struct mt_elf *elf, uint64_t addr, const char *name)
{
	struct mt_place_request rq = {.entry = addr};
	const char *bound;
	struct mt_sym sym;
	uint64_t to;
	bool slot;

	if (mt_elf_find_func(elf, name, &sym))
		return false;
	if (sym.addr == addr)
		return true;
	if (mt_elf_text(elf, addr, &rq.text, &rq.text_len, &rq.text_addr) ||
	    !mt_place_jump(&rq, &to, &slot))
		return false;
	bound = slot ? mt_elf_slot_symbol(elf, to) : NULL;
	return slot ? bound && strcmp(bound, name) == 0 : sym.addr == to;
}

static bool in_data(const struct mt_elf *elf, const struct mt_tcmalloc *tc)
{
	return mt_elf_in_bss(elf, tc->cache, 8ull << tc->cache_bits) &&
	       mt_elf_in_bss(elf, tc->root,
			     8ull << (MT_TCMALLOC_ADDR_BITS - tc->page_shift - tc->leaf_bits)) &&
	       mt_elf_in_bss(elf, tc->sizes, (4ull << MT_TCMALLOC_CLASS_BITS) + 8) &&
	       (!tc->classes ||
		mt_elf_in_bss(elf, tc->classes, mt_tcmalloc_index(MT_TCMALLOC_MAX) + 8));
}

/* free() itself goes by these tables: no layer of its own makes other blocks of them. */
static bool free_uses(const struct mt_elf *elf, const struct mt_tcmalloc *tc)
{
	const uint64_t hi = tc->root > tc->cache ? tc->root : tc->cache;
	const uint64_t lo = tc->root > tc->cache ? tc->cache : tc->root;
	struct mt_place_request rq;

	return request(elf, "free", &rq) == 0 &&
	       mt_eval_names_address(&rq, lo - AROUND, hi + AROUND);
}

static bool is_debug(const struct mt_elf *elf)
{
	struct mt_sym sym;

	return mt_elf_find_func(elf, "_ZN25DebugMallocImplementation16GetAllocatedSizeEPKv",
				&sym) == 0;
}

int mt_tcmalloc_find(const struct mt_elf *elf, struct mt_tcmalloc *ret, const char **why)
{
	_cleanup_free_ struct mt_eval *ev = calloc(1, sizeof(*ev));
	struct mt_tcmalloc tc;

	*why = "out of memory";
	if (!ev)
		return -ENOMEM;
	*why = "it is the debugging variant, whose blocks have the size asked for";
	if (is_debug(elf))
		return -ENOENT;
	*why = "it shows no TCMallocImplementation::GetAllocatedSize";
	if (run(elf, "_ZN22TCMallocImplementation16GetAllocatedSizeEPKv", ev))
		return -ENOENT;
	*why = "its GetAllocatedSize is not as in the versions known";
	if (!mt_tcmalloc_from_size(ev, &tc))
		return -ENOENT;
	*why = "its tc_nallocx, which sizes sampled blocks, is not as in the versions known";
	if (tc.samples && !tc.classes &&
	    (!leads_to(elf, tc.nallocx, "tc_nallocx") || run(elf, "tc_nallocx", ev) ||
	     !mt_tcmalloc_from_nallocx(ev, &tc)))
		return -ENOENT;
	*why = "the tables that its GetAllocatedSize names are not in its data";
	if (!in_data(elf, &tc))
		return -ENOENT;
	*why = "its free does not use the tables that its GetAllocatedSize names";
	if (!free_uses(elf, &tc))
		return -ENOENT;
	*why = NULL;
	*ret = tc;
	return 0;
}
