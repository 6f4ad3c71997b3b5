/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where gperftools tcmalloc keeps what tells a block's size. */
#ifndef MT_ALLOC_TCMALLOC_FIND_H
#define MT_ALLOC_TCMALLOC_FIND_H

#include "sys/elf.h"
#include "sys/eval.h"

struct mt_tcmalloc {
	/* link-time addresses; classes 0: not known */
	uint64_t cache, root, sizes, classes;
	unsigned int page_shift, leaf_bits, cache_bits;
	/* in a Span: bytes, or bits from its beginning */
	unsigned int length, class_bit, sampled_bit, sample;
	bool samples;     /* sampled_bit, sample and nallocx are set */
	uint64_t nallocx; /* the function that sizes a sampled block; 0: it is taken in */
};

/*
 * Finds them in the code of TCMallocImplementation::GetAllocatedSize() and
 * tc_nallocx(), which do what bpf/size_tcmalloc.bpf.h does, or nothing is
 * found: -errno with *why, static text, which is NULL otherwise.
 */
int mt_tcmalloc_find(const struct mt_elf *elf, struct mt_tcmalloc *ret, const char **why);

/* The pure parts: what the two functions, already walked, say. False: not what is known. */
bool mt_tcmalloc_from_size(const struct mt_eval *ev, struct mt_tcmalloc *tc);
bool mt_tcmalloc_from_nallocx(const struct mt_eval *ev, struct mt_tcmalloc *tc);

#endif
