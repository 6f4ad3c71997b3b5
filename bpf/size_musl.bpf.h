/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How large a block of musl's is: mallocng's (musl 1.2.1 and newer, layouts in
 * src/malloc/mallocng/meta.h) by the bytes in front of the block, which lead to
 * its group of slots and that to the group's descriptor; or that of the malloc
 * before, by the word in front. The includer has read_user(): user space runs
 * this text, too, beside the library's own malloc_usable_size (alloc/musl_layout.c).
 */
#ifndef MT_SIZE_MUSL_BPF_H
#define MT_SIZE_MUSL_BPF_H

#include "core.bpf.h"

/* struct mt_file's p[] for MT_LAYOUT_MUSL. */
enum mt_musl_param {
	MT_MUSL_OLD, /* 1: the malloc of musl before 1.2.1 */
};

#define MT_MUSL_UNIT      16u
#define MT_MUSL_CLASSES   48u
#define MT_MUSL_CLASSLESS 63u
#define MT_MUSL_IB        4u /* bytes at a slot's end that are never the block's own */
#define MT_MUSL_IN_SLOT   5u /* the bytes reserved at the slot's end are counted there */
#define MT_MUSL_PAGE      4096u

/* Sizes of slots in units of 16 bytes, malloc.c. */
static const __u16 mt_musl_units[MT_MUSL_CLASSES] = {
	1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   12,   15,
	18,   20,   25,   31,   36,   42,   50,   63,   72,   84,   102,  127,
	146,  170,  204,  255,  292,  340,  409,  511,  584,  682,  818,  1023,
	1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191};

/* struct meta from `mem` on. */
struct mt_musl_desc {
	__u64 mem;
	__u32 avail, freed; /* a bit for each slot that holds no block */
	__u64 bits;         /* last_idx:5, freeable:1, sizeclass:6, maplen:52 */
};
#define MT_MUSL_META_MEM 16 /* offset of mem in struct meta */

/* Bytes from slot to slot; 0: no such group. */
MT_INLINE __u64 mt_musl_stride(__u64 bits)
{
	__u32 class = (__u32)(bits >> 6) & 63;

	if (!(bits & 31) && bits >> 12)
		return (bits >> 12) * MT_MUSL_PAGE - MT_MUSL_UNIT;
	return class < MT_MUSL_CLASSES ? (__u64)mt_musl_units[class] * MT_MUSL_UNIT : 0;
}

/* Units of 16 bytes from the group's first slot to the block; header: the 8 bytes before it. */
MT_INLINE __u64 mt_musl_offset(__u64 header)
{
	return header >> 32 & 0xff ? header & 0xffffffff : header >> 48;
}

/*
 * Where the slot of the block at ptr has its last bytes, 0: no block is there.
 * Its header leads to group, whose descriptor is m.
 */
MT_INLINE __u64 mt_musl_slot_end(const struct mt_musl_desc *m, __u64 group, __u64 ptr, __u64 header)
{
	__u32 index = (__u32)(header >> 40) & 31;
	__u64 stride = mt_musl_stride(m->bits), start;

	if (m->mem != group || index > (m->bits & 31) || !stride ||
	    (m->avail | m->freed) >> index & 1)
		return 0;
	start = group + MT_MUSL_UNIT + stride * index;
	if (ptr < start || ptr - start > stride - MT_MUSL_IB)
		return 0;
	return start + stride - MT_MUSL_IB;
}

MT_INLINE long size_musl_old(__u64 ptr, __u64 *size)
{
	__u64 word;
	long r = read_user(&word, sizeof(word), ptr - sizeof(word));

	*size = 0;
	if (r)
		return r;
	word &= ~1ull; /* set unless the block has its own mapping */
	if (word < 2 * MT_MUSL_UNIT || word >> 47)
		return MT_NO_BLOCK;
	*size = word - MT_MUSL_UNIT;
	return 0;
}

/*
 * malloc_usable_size(ptr) in *size, which may be 0: musl grants what was asked
 * for. MT_NO_BLOCK if there is no block of musl's; another negative: cannot be read.
 */
MT_INLINE long size_musl(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *size)
{
	__u64 header, group, meta, end, reserved;
	struct mt_musl_desc m;
	__u32 word;
	long r;

	(void)bias;
	if (f->p[MT_MUSL_OLD])
		return size_musl_old(ptr, size);
	*size = 0;
	if (ptr % MT_MUSL_UNIT)
		return MT_NO_BLOCK;
	r = read_user(&header, sizeof(header), ptr - sizeof(header));
	if (r)
		return r;
	group = ptr - (mt_musl_offset(header) + 1) * MT_MUSL_UNIT;
	r = read_user(&meta, sizeof(meta), group);
	if (!r)
		r = read_user(&m, sizeof(m), meta + MT_MUSL_META_MEM);
	if (r)
		return r;
	end = mt_musl_slot_end(&m, group, ptr, header);
	reserved = header >> 45 & 7;
	if (!end || reserved > MT_MUSL_IN_SLOT)
		return MT_NO_BLOCK;
	if (reserved == MT_MUSL_IN_SLOT) {
		r = read_user(&word, sizeof(word), end - sizeof(word));
		if (r)
			return r;
		reserved = word;
	}
	if (reserved > end - ptr)
		return MT_NO_BLOCK;
	*size = end - ptr - reserved;
	return 0;
}

#endif
