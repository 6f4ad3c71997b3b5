/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The size of jemalloc's block, as its malloc_usable_size finds it: through the
 * tree to the page's size class, and from there to the class's size. A reader
 * needs read_user_u64() in scope, so that tests can compile it with their own.
 */
#ifndef MT_SIZE_JEMALLOC_BPF_H
#define MT_SIZE_JEMALLOC_BPF_H

#ifdef __bpf__
#include "target.bpf.h"
#endif

#include "jemalloc_core.bpf.h"

/* A block of 5.3.1 that is large: its extent less the pad. first is the leaf's first word. */
MT_INLINE long size_jemalloc_large(const struct mt_file *f, __u64 bias, __u64 first, __u64 *size)
{
	const __u64 tree = f->p[MT_JEMALLOC_P_TREE];
	__u64 word = 0, pad = 0;
	long r;

	r = read_user_u64(&word, mt_jemalloc_extent(tree, first) + MT_JEMALLOC_EXTENT_SIZE);
	if (r)
		return r;
	r = read_user_u64(&pad, bias + f->p[MT_JEMALLOC_P_PAD]);
	if (r)
		return r;
	*size = mt_jemalloc_large(word, pad);
	return 0;
}

/* The leaf that covers ptr; 0: none does. */
MT_INLINE long size_jemalloc_leaf(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *leaf)
{
	const __u64 tree = f->p[MT_JEMALLOC_P_TREE];
	long r = read_user_u64(leaf, mt_jemalloc_root(tree, bias + f->p[MT_JEMALLOC_P_ROOT], ptr));

	if (r || !*leaf || tree == MT_JEMALLOC_48)
		return r;
	return read_user_u64(leaf, mt_jemalloc_middle(*leaf, ptr));
}

/*
 * Bytes of the block at ptr, as malloc_usable_size says; 0: none of this
 * allocator is there. bias is what the file is mapped above its link-time
 * addresses. Negative: memory could not be read.
 */
MT_INLINE long size_jemalloc(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *size)
{
	const __u64 tree = f->p[MT_JEMALLOC_P_TREE];
	__u64 leaf = 0, first = 0, word = 0;
	__u32 index;
	long r;

	*size = 0;
	r = size_jemalloc_leaf(f, bias, ptr, &leaf);
	if (r || !leaf)
		return r;
	leaf = mt_jemalloc_leaf(tree, leaf, ptr);
	r = read_user_u64(&first, leaf);
	if (!r && tree != MT_JEMALLOC_48)
		r = read_user_u64(&word, leaf + sizeof(word));
	else
		word = first;
	if (r || !first)
		return r;
	index = mt_jemalloc_index(tree, word);
	if (index >= MT_JEMALLOC_CLASSES)
		return 0;
	r = read_user_u64(size, bias + f->p[MT_JEMALLOC_P_TABLE] + index * 8ull);
	*size = r ? 0 : mt_jemalloc_sane(*size);
	if (r || *size < MT_JEMALLOC_LARGE || !f->p[MT_JEMALLOC_P_PAD])
		return r;
	return size_jemalloc_large(f, bias, first, size);
}

#endif
