/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user space finds out about a tcmalloc and its size reader needs, and the
 * reader's arithmetic, which the unit tests compile on the host.
 */
#ifndef MT_TCMALLOC_CORE_BPF_H
#define MT_TCMALLOC_CORE_BPF_H

#include "core.bpf.h"

/* What struct mt_file's p holds. Addresses are link-time ones. */
enum mt_tcmalloc_param {
	MT_TCMALLOC_CACHE,   /* page to class, 64-bit words */
	MT_TCMALLOC_ROOT,    /* the page map's upper level, 64-bit pointers */
	MT_TCMALLOC_SIZES,   /* class_to_size, 32-bit */
	MT_TCMALLOC_CLASSES, /* class_array, bytes; 0: no block is ever sampled */
	MT_TCMALLOC_SHIFTS,  /* MT_TCMALLOC_SHIFTS_OF */
	MT_TCMALLOC_SPAN,    /* MT_TCMALLOC_SPAN_OF */
};

#define MT_TCMALLOC_SHIFTS_OF(page, leaf, cache)                                                   \
	((__u64)(page) | (__u64)(leaf) << 8 | (__u64)(cache) << 16)
/*
 * Offsets in a Span: the word that holds the class and the sampled bit, where
 * in it they are, the length in pages, the pointer to a sample.
 */
#define MT_TCMALLOC_SPAN_OF(word, class_bit, sampled_bit, length, sample)                          \
	((__u64)(word) | (__u64)(class_bit) << 8 | (__u64)(sampled_bit) << 16 |                    \
	 (__u64)(length) << 24 | (__u64)(sample) << 32)
#define MT_TCMALLOC_BYTE(v, k) ((__u32)((v) >> (8 * (k))) & 0xff)
#define MT_TCMALLOC_NEVER      64 /* sampled_bit of a version that does not sample */

#define MT_TCMALLOC_CLASS_BITS 7
#define MT_TCMALLOC_ADDR_BITS  47
/* class_array's index, by eights up to 1024 and by 128s up to the largest class. */
#define MT_TCMALLOC_SMALL 1024u
#define MT_TCMALLOC_MAX   (256u << 10)

/* The class of a page from its cache entry; 0: it is not there. */
MT_INLINE __u32 mt_tcmalloc_cached(__u64 page, __u64 entry, __u32 bits)
{
	__u64 v = (page >> bits << bits) ^ entry;

	return v >> MT_TCMALLOC_CLASS_BITS ? 0 : (__u32)v;
}

/* Where class_array has the class of a request; size <= MT_TCMALLOC_MAX. */
MT_INLINE __u32 mt_tcmalloc_index(__u64 size)
{
	if (size <= MT_TCMALLOC_SMALL)
		return (__u32)(size + 7) >> 3;
	return (__u32)(size + 127 + (120 << 7)) >> 7;
}

#endif
