/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The usable size of a gperftools tcmalloc block, from tcmalloc's own tables,
 * as TCMallocImplementation::GetAllocatedSize() has it (src/tcmalloc.cc,
 * page_heap.h, pagemap.h, packed-cache-inl.h, span.h, common.h; 2.8 to 2.18):
 *
 *   page = ptr >> page shift
 *   cache[page & mask] = the page's upper bits, and its size class in the lowest 7
 *   root[page >> leaf bits] -> leaf[page & mask] -> Span: size class, or pages
 *   class_to_size[size class]
 *
 * A block that the allocator has sampled is a whole span whatever its size; it
 * passes for what was asked for, rounded up as class_array has it.
 *
 * It reads by read_user_u64(dst, addr), 0 or negative, of which the host's tests
 * have one of their own.
 */
#ifndef MT_SIZE_TCMALLOC_BPF_H
#define MT_SIZE_TCMALLOC_BPF_H

#ifdef __VMLINUX_H__
#include "target.bpf.h"
#endif
#include "tcmalloc_core.bpf.h"

/* A class's size; *size stays 0 if there is none yet. */
MT_INLINE long tcmalloc_class_size(const struct mt_file *f, __u64 bias, __u32 cl, __u64 *size)
{
	__u64 word;
	long r;

	r = read_user_u64(&word, f->p[MT_TCMALLOC_SIZES] + bias + 4 * (__u64)(cl & 0xff));
	if (!r && (__u32)word <= MT_TCMALLOC_MAX)
		*size = (__u32)word;
	return r;
}

/* The page's Span, 0 if it has none. */
MT_INLINE long tcmalloc_span(const struct mt_file *f, __u64 bias, __u64 page, __u64 *span)
{
	__u32 leaf_bits = MT_TCMALLOC_BYTE(f->p[MT_TCMALLOC_SHIFTS], 1) & 63;
	__u64 leaf;
	long r;

	*span = 0;
	r = read_user_u64(&leaf, f->p[MT_TCMALLOC_ROOT] + bias + 8 * (page >> leaf_bits));
	if (r || !leaf)
		return r;
	return read_user_u64(span, leaf + 8 * (page & ((1ull << leaf_bits) - 1)));
}

/* A sampled block passes for the size that its request would have had. */
MT_INLINE long tcmalloc_sampled_size(const struct mt_file *f, __u64 bias, __u64 span, __u64 *size)
{
	__u32 shift = MT_TCMALLOC_BYTE(f->p[MT_TCMALLOC_SHIFTS], 0) & 63;
	__u64 sample, request, cl = 0;
	long r;

	r = read_user_u64(&sample, span + MT_TCMALLOC_BYTE(f->p[MT_TCMALLOC_SPAN], 4));
	if (!r)
		r = read_user_u64(&request, sample);
	if (!r && request <= MT_TCMALLOC_MAX)
		r = read_user_u64(&cl,
				  f->p[MT_TCMALLOC_CLASSES] + bias + mt_tcmalloc_index(request));
	if (r)
		return r;
	cl &= 0xff;
	if (cl)
		return tcmalloc_class_size(f, bias, (__u32)cl, size);
	*size = ((request >> shift) + !!(request & ((1ull << shift) - 1))) << shift;
	return 0;
}

/* From the Span alone: a page whose class is not in the cache, or a large block. */
MT_INLINE long tcmalloc_span_size(const struct mt_file *f, __u64 bias, __u64 page, __u64 *size)
{
	__u64 at = f->p[MT_TCMALLOC_SPAN], span, word, pages;
	__u32 cl, sampled = MT_TCMALLOC_BYTE(at, 2);
	long r = tcmalloc_span(f, bias, page, &span);

	if (r || !span)
		return r;
	r = read_user_u64(&word, span + MT_TCMALLOC_BYTE(at, 0));
	if (r)
		return r;
	cl = (__u32)(word >> (MT_TCMALLOC_BYTE(at, 1) & 63)) & 0xff;
	if (cl)
		return tcmalloc_class_size(f, bias, cl, size);
	if (sampled < MT_TCMALLOC_NEVER && (word >> sampled & 1))
		return tcmalloc_sampled_size(f, bias, span, size);
	r = read_user_u64(&pages, span + MT_TCMALLOC_BYTE(at, 3));
	if (!r && !(pages >> MT_TCMALLOC_ADDR_BITS))
		*size = pages << (MT_TCMALLOC_BYTE(f->p[MT_TCMALLOC_SHIFTS], 0) & 63);
	return r;
}

/*
 * 0 and malloc_usable_size(ptr) in *size, which is 0 if no block of tcmalloc's
 * is there; negative if memory could not be read. bias is what is added to a
 * link-time address. At most 8 reads, 5 unless it is sampled, 2 if the page's class is in the
 * cache.
 */
MT_INLINE long size_tcmalloc(const struct mt_file *f, __u64 bias, __u64 ptr, __u64 *size)
{
	__u64 shifts = f->p[MT_TCMALLOC_SHIFTS], page = ptr >> (MT_TCMALLOC_BYTE(shifts, 0) & 63);
	__u32 bits = MT_TCMALLOC_BYTE(shifts, 2) & 63, cl;
	__u64 entry;
	long r;

	*size = 0;
	if (ptr >> MT_TCMALLOC_ADDR_BITS)
		return 0;
	r = read_user_u64(&entry,
			  f->p[MT_TCMALLOC_CACHE] + bias + 8 * (page & ((1ull << bits) - 1)));
	if (r)
		return r;
	cl = mt_tcmalloc_cached(page, entry, bits);
	if (cl)
		return tcmalloc_class_size(f, bias, cl, size);
	return tcmalloc_span_size(f, bias, page, size);
}

#endif
