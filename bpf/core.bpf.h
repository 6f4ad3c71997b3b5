/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arithmetic of the counting programs: no maps, no helpers, so that the
 * unit tests compile the same text on the host.
 */
#ifndef MT_CORE_BPF_H
#define MT_CORE_BPF_H

#include "abi.h"

#ifndef __VMLINUX_H__
#include <stdbool.h>
#endif

#define MT_INLINE static inline __attribute__((always_inline))

/*
 * Size to class as Go's runtime does it (runtime/sizeclasses.go): by eights up
 * to 1024, by 128s up to BySize[60].
 */
#define MT_SMALL_MAX  1024u
#define MT_BYSIZE_MAX 18432u
static const __u8 mt_class_by8[MT_SMALL_MAX / 8 + 1] = {
	0,  1,  2,  3,  4,  5,  5,  6,  6,  7,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 13,
	13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 19, 19, 20, 20, 20, 20, 21, 21, 21,
	21, 22, 22, 22, 22, 23, 23, 23, 23, 24, 24, 24, 24, 25, 25, 25, 25, 26, 26, 26, 26, 27,
	27, 27, 27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29, 29, 29, 29,
	29, 30, 30, 30, 30, 30, 30, 30, 30, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,
	31, 31, 31, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
};
static const __u8 mt_class_by128[(MT_BYSIZE_MAX - MT_SMALL_MAX) / 128 + 1] = {
	32, 33, 34, 35, 36, 37, 37, 38, 38, 39, 39, 40, 40, 40, 41, 41, 41, 42, 43, 43, 44, 44, 44,
	44, 44, 45, 45, 45, 45, 45, 45, 46, 46, 46, 46, 47, 47, 47, 47, 47, 47, 48, 48, 48, 49, 49,
	50, 51, 51, 51, 51, 51, 51, 51, 51, 51, 51, 52, 52, 52, 52, 52, 52, 52, 52, 52, 52, 53, 53,
	54, 54, 54, 54, 55, 55, 55, 55, 55, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 57, 57, 57,
	57, 57, 57, 57, 57, 57, 57, 58, 58, 58, 58, 58, 58, 59, 59, 59, 59, 59, 59, 59, 59, 59, 59,
	59, 59, 59, 59, 59, 59, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60,
};

/* Number of the highest set bit; v is not 0. Branch by branch: BPF v3 has no clz. */
MT_INLINE __u32 mt_log2(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		v >>= 32;
		r = 32;
	}
	if (v >> 16) {
		v >>= 16;
		r += 16;
	}
	if (v >> 8) {
		v >>= 8;
		r += 8;
	}
	if (v >> 4) {
		v >>= 4;
		r += 4;
	}
	if (v >> 2) {
		v >>= 2;
		r += 2;
	}
	return r + (__u32)(v >> 1);
}

/* The class of a usable size; always below MT_CLASSES. */
MT_INLINE __u32 mt_core_class(__u64 usable)
{
	__u32 c;

	if (usable <= MT_SMALL_MAX)
		return mt_class_by8[(usable + 7) / 8];
	if (usable <= MT_BYSIZE_MAX)
		return mt_class_by128[(usable - MT_SMALL_MAX + 127) / 128];
	/* the exponent of the next power of two: 18433..2^15 -> 15 */
	c = MT_BYSIZE + mt_log2(usable - 1) + 1 - MT_LARGE_MIN_SHIFT;
	return c < MT_CLASSES ? c : MT_CLASSES - 1;
}

/* glibc chunk header bits, malloc/malloc.c. */
#define MT_CHUNK_FLAGS   7u
#define MT_CHUNK_MMAPPED 2u

/*
 * Usable bytes of a glibc block from the size word before it, as
 * malloc_usable_size has it; 0 if the word can't be a live chunk's.
 */
MT_INLINE __u64 mt_core_glibc_usable(__u64 word, __u32 layout)
{
	__u64 size = word & ~(__u64)MT_CHUNK_FLAGS;

	if (size < 32 || size >> 47)
		return 0;
	if ((word & MT_CHUNK_MMAPPED) && layout == MT_LAYOUT_GLIBC)
		return size - 16;
	return size - 8;
}

/* True if ret lies in the allocator's own text; bias is where the file lies in the process. */
MT_INLINE bool mt_core_internal(const struct mt_file *f, __u64 bias, __u64 ret)
{
	return ret - (bias + f->text_lo) < f->text_len;
}

MT_INLINE __u64 mt_core_page_up(__u64 n, __u64 page)
{
	return (n + page - 1) & ~(page - 1);
}

/* A framed function holds at most a few calls; more say that its return was lost. */
#define MT_NESTED_MAX 16u

enum mt_frame_state {
	MT_FRAME_NONE,   /* no frame is open */
	MT_FRAME_INSIDE, /* the call is made from inside the framed function */
	MT_FRAME_OWN,    /* it is the framed function itself that returns */
	MT_FRAME_STALE,  /* the framed function was left without returning */
};

/*
 * An entry at stack pointer sp while f is open. A tail jump enters at the very
 * sp of the function that made it, but no function tail-jumps to its own kind.
 */
MT_INLINE enum mt_frame_state mt_core_frame_at_entry(const struct mt_frame *f, __u64 sp, __u32 kind)
{
	if (!f || !f->sp)
		return MT_FRAME_NONE;
	if (sp > f->sp || (sp == f->sp && kind == f->kind) || f->nested >= MT_NESTED_MAX)
		return MT_FRAME_STALE;
	return MT_FRAME_INSIDE;
}

/* True once for each jump back: the entry at sp is of a call that has been seen. */
MT_INLINE bool mt_core_entered_again(struct mt_frame *f, __u64 sp)
{
	if (!f || f->again != sp)
		return false;
	f->again = 0;
	return true;
}

/* A return with stack pointer sp, the return address popped (8 bytes). */
MT_INLINE enum mt_frame_state mt_core_frame_at_return(const struct mt_frame *f, __u64 sp,
						      __u32 kind)
{
	__u64 entry = sp - 8;

	if (!f || !f->sp)
		return MT_FRAME_NONE;
	if (entry == f->sp && kind == f->kind)
		return MT_FRAME_OWN;
	if (entry > f->sp || f->nested >= MT_NESTED_MAX)
		return MT_FRAME_STALE;
	return MT_FRAME_INSIDE;
}

/* What a framed call turned out to have done. */
struct mt_outcome {
	bool malloced; /* a block of the new size is live */
	bool freed;    /* the old block is gone */
	bool failed;   /* an allocation was refused */
};

/*
 * realloc's outcome. new_ptr and new_size are the result;
 * realloc(p, 0) that returns NULL has freed p (glibc's REALLOC_ZERO_BYTES_FREES).
 */
MT_INLINE struct mt_outcome mt_core_realloc(const struct mt_frame *f, __u64 new_ptr, __u64 new_size)
{
	struct mt_outcome o = {};

	if (!new_ptr) {
		if (f->ptr && !f->request)
			o.freed = true;
		else
			o.failed = true;
		return o;
	}
	if (f->ptr == new_ptr && f->old_size == new_size)
		return o;
	o.malloced = true;
	o.freed = f->ptr != 0;
	return o;
}

#endif
