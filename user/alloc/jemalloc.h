/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where jemalloc's tree stands in a file: from its symbols, else from its code. */
#ifndef MT_ALLOC_JEMALLOC_H
#define MT_ALLOC_JEMALLOC_H

#include <stdint.h>

#include "sys/elf.h"

/* All addresses are link-time ones. */
struct mt_jemalloc_refs {
	uint64_t tree;  /* of arena_emap_global (5.3) or extents_rtree (5.2), an rtree_t */
	uint64_t hard;  /* of rtree_leaf_elm_lookup_hard, which searches it */
	uint64_t table; /* of sz_index2size_tab */
	uint64_t pad;   /* of sz_large_pad, if large blocks are sized by their extents; else 0 */
	uint64_t root;  /* of the root's first element, within the tree */
	unsigned int shift, bits; /* which bits of an address choose the root's element */
};

/*
 * Reads func, which is sallocx or malloc_usable_size, for tree, hard, table and
 * pad: what it does not show stays 0. -ENOENT: it shows no tree, or two.
 */
int mt_jemalloc_read_usable(const struct mt_elf *elf, const struct mt_sym *func,
			    struct mt_jemalloc_refs *ret);

/*
 * Executes the beginning of the function at refs->hard for chosen addresses, in
 * a model of the registers, to see which element of the root it takes for each:
 * fills root, shift and bits. -ENOENT: it takes none in a way that a tree has.
 */
int mt_jemalloc_read_hard(const struct mt_elf *elf, struct mt_jemalloc_refs *refs);

/* What could be told of a file's jemalloc. */
struct mt_jemalloc_layout {
	char version[32]; /* "5.3.0", "" if unknown */
	uint64_t p[4];    /* MT_JEMALLOC_P_*, for the reader */
	const char *why;  /* static text: why p could not be told; else NULL */
};

/* Tells it from the symbols, else from the code of what the file exports under prefix. */
void mt_jemalloc_tell(const struct mt_elf *elf, const char *prefix, struct mt_jemalloc_layout *ret);

#endif
