/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How large a mimalloc block is: from its address to the structure of its page
 * (of mimalloc's, of blocks of one size), there the size. The includer has
 * read_user(): user space runs this text, too, beside the library's own
 * mi_usable_size, to make sure of a layout (user/alloc/mimalloc_layout.c).
 *
 * Two ways lead to a page's structure. Memory is in regions of one alignment,
 * at whose start a table has a slot for each slice of 64 KiB, which holds
 * (SLOT_POINTS, mimalloc 3.6) the structure's address or (mimalloc 2) how many
 * bytes before the slot the page's own one is. Or (FROM_MAP, mimalloc 3) a table
 * of tables of addresses, by slice.
 *
 * Blocks may begin in the middle of one, for an alignment: then a bit is set in
 * the page, and what is in front does not belong to it. Page fields are relative
 * to the page's address, for slots that do not point to that of the slot.
 */
#ifndef MT_SIZE_MIMALLOC_BPF_H
#define MT_SIZE_MIMALLOC_BPF_H

#include "core.bpf.h"

#define MT_MI_SLICE_SHIFT  16
#define MT_MI_SUB_SHIFT    13          /* a table has so many slices, log2 */
#define MT_MI_HUGE         0x80000000u /* block sizes from there on are not in 32 bits */
#define MT_MI_FROM_MAP     1u
#define MT_MI_SLOT_POINTS  2u
#define MT_MI_BEFORE       4u  /* the region is that of the byte before */
#define MT_MI_START_FIELD  8u  /* the page says where its blocks begin */
#define MT_MI_START_OFFSET 16u /* relative to itself */
#define MT_MI_SIZE_U32     32u /* the size has 32 bits; huge: in slices, beside it */
#define MT_MI_ANYWHERE     64u /* there is no bit for it: any may begin in the middle */

/* What stands in struct mt_file's p[] for MT_LAYOUT_MIMALLOC. */
enum mt_mi_param {
	MT_MI_SHAPE,     /* the bits above */
	MT_MI_ROOT,      /* link-time address of the pointer to the table of tables */
	MT_MI_REGION,    /* regions: log2 of their alignment */
	MT_MI_SLOTS,     /* the table's offset in the region, or that of the first pointer */
	MT_MI_STRIDE,    /* bytes from slot to slot */
	MT_MI_SIZE,      /* page field: block size */
	MT_MI_FLAG,      /* page field: the byte with the bit */
	MT_MI_FLAG_MASK, /* the bit */
	MT_MI_START,     /* page field: where the blocks begin */
	MT_MI_COUNT,     /* page field: slices, 32 bits */
	MT_MI_SKIP,      /* where no field says where blocks begin: so far in the first slice */
	MT_MI_SKIP_MAX,  /* and only for blocks up to this size, others at its start */
};

/* The table of a region: its address and which slot is ptr's. */
MT_INLINE __u64 mt_mi_region(const struct mt_file *f, __u64 ptr, __u64 *slice)
{
	__u64 in = f->p[MT_MI_SHAPE] & MT_MI_BEFORE ? ptr - 1 : ptr;
	__u64 region = in >> (f->p[MT_MI_REGION] & 63) << (f->p[MT_MI_REGION] & 63);

	*slice = (ptr - region) >> MT_MI_SLICE_SHIFT;
	return region;
}

/* Its page, 0: none. *first: where the page's first slice is, only from slots that do not point. */
MT_INLINE long mt_mi_page(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *page, __u64 *first)
{
	__u64 slice, at, region;
	__u32 before;
	long r;

	*first = 0;
	if (f->p[MT_MI_SHAPE] & MT_MI_FROM_MAP) {
		slice = ptr >> MT_MI_SLICE_SHIFT;
		r = read_user(&at, sizeof(at), f->p[MT_MI_ROOT] + bias);
		if (r || !at)
			goto none;
		r = read_user(&at, sizeof(at),
			      at + f->p[MT_MI_SLOTS] + (slice >> MT_MI_SUB_SHIFT) * 8);
		if (r || !at)
			goto none;
		slice &= (1u << MT_MI_SUB_SHIFT) - 1;
		return read_user(page, sizeof(*page), at + slice * 8);
	}
	region = mt_mi_region(f, ptr, &slice);
	at = region + f->p[MT_MI_SLOTS] + slice * f->p[MT_MI_STRIDE];
	if (f->p[MT_MI_SHAPE] & MT_MI_SLOT_POINTS)
		return read_user(page, sizeof(*page), at);
	r = read_user(&before, sizeof(before), at);
	if (r || !f->p[MT_MI_STRIDE])
		goto none;
	*page = at - before;
	*first = region + ((slice - before / f->p[MT_MI_STRIDE]) << MT_MI_SLICE_SHIFT);
	return 0;
none:
	*page = 0;
	return r;
}

/* The size of the page's blocks. */
MT_INLINE long mt_mi_block_size(const struct mt_file *f, __u64 page, __u64 *size)
{
	__u32 word = 0;
	long r;

	if (!(f->p[MT_MI_SHAPE] & MT_MI_SIZE_U32))
		return read_user(size, sizeof(*size), page + f->p[MT_MI_SIZE]);
	r = read_user(&word, sizeof(word), page + f->p[MT_MI_SIZE]);
	*size = word;
	if (r || word < MT_MI_HUGE)
		return r;
	r = read_user(&word, sizeof(word), page + f->p[MT_MI_COUNT]);
	*size = (__u64)word << MT_MI_SLICE_SHIFT;
	return r;
}

/* Where the page's blocks begin. */
MT_INLINE long mt_mi_start(const struct mt_file *f, __u64 page, __u64 first, __u64 block,
			   __u64 *start)
{
	long r;

	if (!(f->p[MT_MI_SHAPE] & MT_MI_START_FIELD)) {
		*start = first + (block <= f->p[MT_MI_SKIP_MAX] ? f->p[MT_MI_SKIP] : 0);
		return 0;
	}
	r = read_user(start, sizeof(*start), page + f->p[MT_MI_START]);
	if (f->p[MT_MI_SHAPE] & MT_MI_START_OFFSET)
		*start += page;
	return r;
}

/*
 * malloc_usable_size(ptr) in *size, 0 if there is no block of mimalloc's; the
 * library is mapped bias above its link-time addresses. Negative: cannot be read.
 */
MT_INLINE long size_mimalloc(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *size)
{
	__u64 page = 0, first = 0, block = 0, start = 0;
	__u8 flags = 0;
	long r;

	*size = 0;
	r = mt_mi_page(f, bias, ptr, &page, &first);
	if (r || !page)
		return r;
	r = mt_mi_block_size(f, page, &block);
	if (r || !block)
		return r;
	if (!(f->p[MT_MI_SHAPE] & MT_MI_ANYWHERE)) {
		r = read_user(&flags, sizeof(flags), page + f->p[MT_MI_FLAG]);
		if (r)
			return r;
		if (!(flags & f->p[MT_MI_FLAG_MASK])) {
			*size = block;
			return 0;
		}
	}
	r = mt_mi_start(f, page, first, block, &start);
	if (r)
		return r;
	*size = block - (ptr - start) % block;
	return 0;
}

#endif
