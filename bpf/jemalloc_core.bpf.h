/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * jemalloc's tree from a page to what lies there, and how a word of it reads:
 * no maps, no helpers, so that the unit tests compile the same text on the host.
 *
 * Sources: include/jemalloc/internal/rtree.h (5.2: rtree.h and extent.h) and
 * edata.h. A key is a page of 4 KiB; configure asks the building machine how
 * many bits an address has and cuts the 36 or 45 bits above the page into
 * levels of equal size. With 48 bits an element of the leaf is one word: the
 * index of the size class above bit 48, the extent's address, flags below bit 7.
 * With 57 bits there is no room for the index: an element is two words.
 */
#ifndef MT_JEMALLOC_CORE_BPF_H
#define MT_JEMALLOC_CORE_BPF_H

#include "core.bpf.h"

enum mt_jemalloc_tree {
	MT_JEMALLOC_48,    /* 2 levels of 18 bits, one word an element */
	MT_JEMALLOC_57_52, /* 3 levels of 15 bits; 5.2: the second word begins with the index */
	MT_JEMALLOC_57_53, /* the same; 5.3: the index stands above 5 bits of flags */
};

/* What mt_file.p holds for MT_LAYOUT_JEMALLOC; addresses are link-time ones. */
enum {
	MT_JEMALLOC_P_TREE,  /* enum mt_jemalloc_tree */
	MT_JEMALLOC_P_ROOT,  /* of the root's first element */
	MT_JEMALLOC_P_TABLE, /* of sz_index2size_tab: bytes by size class, u64 each */
	MT_JEMALLOC_P_PAD, /* of sz_large_pad where large blocks are sized by their extent, or 0 */
};

/*
 * Size classes that a table holds for certain: 232 with a quantum of 16, 235
 * with one of 8, whose last three no address space can hold. The index of pages
 * without a block is the number of classes.
 */
#define MT_JEMALLOC_CLASSES 232u
/* From here on 5.3.1 rounds to pages and not to classes (SC_LARGE_MINCLASS). */
#define MT_JEMALLOC_LARGE 16384u
/* Of edata_t's e_size_esn, whose lower 12 bits are a serial number. */
#define MT_JEMALLOC_EXTENT_SIZE 16u
#define MT_JEMALLOC_PAGE_MASK   4095ull

/* Address of the root's element for ptr. */
MT_INLINE __u64 mt_jemalloc_root(__u64 tree, __u64 root, __u64 ptr)
{
	if (tree == MT_JEMALLOC_48)
		return root + (ptr >> 30 & 0x3ffff) * 8;
	return root + (ptr >> 42 & 0x7fff) * 8;
}

/* Of the middle level's, which a tree of 57 bits has. */
MT_INLINE __u64 mt_jemalloc_middle(__u64 node, __u64 ptr)
{
	return node + (ptr >> 27 & 0x7fff) * 8;
}

/* Of the leaf's. */
MT_INLINE __u64 mt_jemalloc_leaf(__u64 tree, __u64 leaf, __u64 ptr)
{
	if (tree == MT_JEMALLOC_48)
		return leaf + (ptr >> 12 & 0x3ffff) * 8;
	return leaf + (ptr >> 12 & 0x7fff) * 16;
}

/* The class's index in the word that holds it: the only one, or the second one. */
MT_INLINE __u32 mt_jemalloc_index(__u64 tree, __u64 word)
{
	if (tree == MT_JEMALLOC_48)
		return (__u32)(word >> 48);
	return tree == MT_JEMALLOC_57_52 ? (__u32)word : (__u32)word >> 5;
}

/* The extent's address in the first word. */
MT_INLINE __u64 mt_jemalloc_extent(__u64 tree, __u64 word)
{
	if (tree == MT_JEMALLOC_48)
		return (__u64)((__s64)(word << 16) >> 16) & ~127ull;
	return word;
}

/* A size that the table can hold, of three bits in a row; else 0: no live block. */
MT_INLINE __u64 mt_jemalloc_sane(__u64 size)
{
	if (size < 8 || size >> 47 || size % 8)
		return 0;
	return size & ((1ull << mt_log2(size) >> 2) - 1) ? 0 : size;
}

/* Usable bytes of a large block from its extent's word and the pad; 0: no block. */
MT_INLINE __u64 mt_jemalloc_large(__u64 word, __u64 pad)
{
	const __u64 size = word & ~MT_JEMALLOC_PAGE_MASK;

	return size > pad && !(size >> 47) ? size - pad : 0;
}

#endif
