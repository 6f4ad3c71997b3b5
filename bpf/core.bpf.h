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
 * An index that the compiler knows nothing of: else it drops the check of its
 * bounds, and older verifiers (6.1) do not see them without.
 */
#ifdef __bpf__
#define MT_OPAQUE(i) asm volatile("" : "+r"(i))
#else
#define MT_OPAQUE(i) ((void)0)
#endif

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
	__u64 i;
	__u32 c;

	if (usable <= MT_SMALL_MAX) {
		i = (usable + 7) / 8;
		MT_OPAQUE(i);
		return i < sizeof(mt_class_by8) ? mt_class_by8[i] : 0;
	}
	if (usable <= MT_BYSIZE_MAX) {
		i = (usable - MT_SMALL_MAX + 127) / 128;
		MT_OPAQUE(i);
		return i < sizeof(mt_class_by128) ? mt_class_by128[i] : 0;
	}
	/* the exponent of the next power of two: 18433..2^15 -> 15 */
	c = MT_BYSIZE + mt_log2(usable - 1) + 1 - MT_LARGE_MIN_SHIFT;
	return c < MT_CLASSES ? c : MT_CLASSES - 1;
}

/* The bucket of a value; always below MT_HIST_BUCKETS. */
MT_INLINE __u32 mt_core_bucket(__u64 v)
{
	__u32 e;

	if (v < MT_HIST_EXACT)
		return v;
	e = mt_log2(v);
	if (e >= 40)
		return MT_HIST_BUCKETS - 1;
	return MT_HIST_EXACT + (e - 6) * MT_HIST_SUB + ((v >> (e - 5)) & (MT_HIST_SUB - 1));
}

/* From a reader of block sizes: there is no live block of the allocator's. */
#define MT_NO_BLOCK (-4096L)

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

/* What a function's arguments mean, by their number from 1; 0: there is none such. */
struct mt_shape {
	__u8 block; /* the block that it gives back or resizes */
	__u8 n;     /* bytes asked for */
	__u8 m;     /* times this */
	__u8 flags; /* MT_SHAPE_* */
};

#define MT_SHAPE_EXITS   1u /* no return probe: the NEW kinds */
#define MT_SHAPE_FREES   2u /* frees the block where it fails */
#define MT_SHAPE_IN_ARG  4u /* argument 1 says where the result goes */
#define MT_SHAPE_IN_SITU 8u /* returns a size */

static const struct mt_shape mt_shapes[MT_KINDS] = {
	[MT_KIND_MALLOC] = {.n = 1},
	[MT_KIND_FREE] = {.block = 1},
	[MT_KIND_REALLOC] = {.block = 1, .n = 2},
	[MT_KIND_MEMALIGN] = {.n = 2},
	[MT_KIND_POSIX_MEMALIGN] = {.n = 3, .flags = MT_SHAPE_IN_ARG},
	[MT_KIND_CALLOC] = {.n = 1, .m = 2},
	[MT_KIND_ALLOC] = {.n = 1},
	[MT_KIND_ALLOC_N] = {.n = 1, .m = 2},
	[MT_KIND_HEAP_ALLOC_N] = {.n = 2, .m = 3},
	[MT_KIND_REALLOC_N] = {.block = 1, .n = 2, .m = 3},
	[MT_KIND_HEAP_REALLOC] = {.block = 2, .n = 3},
	[MT_KIND_HEAP_REALLOC_N] = {.block = 2, .n = 3, .m = 4},
	[MT_KIND_REALLOCF] = {.block = 1, .n = 2, .flags = MT_SHAPE_FREES},
	[MT_KIND_HEAP_REALLOCF] = {.block = 2, .n = 3, .flags = MT_SHAPE_FREES},
	[MT_KIND_XALLOCX] = {.block = 1, .n = 2, .flags = MT_SHAPE_IN_SITU},
	[MT_KIND_NEW] = {.n = 1, .flags = MT_SHAPE_EXITS},
	[MT_KIND_NEW_N] = {.n = 1, .m = 2, .flags = MT_SHAPE_EXITS},
	[MT_KIND_HEAP_NEW] = {.n = 2, .flags = MT_SHAPE_EXITS},
	[MT_KIND_HEAP_NEW_N] = {.n = 2, .m = 3, .flags = MT_SHAPE_EXITS},
	[MT_KIND_NEW_REALLOC] = {.block = 1, .n = 2, .flags = MT_SHAPE_EXITS},
	[MT_KIND_NEW_REALLOC_N] = {.block = 1, .n = 2, .m = 3, .flags = MT_SHAPE_EXITS},
};

MT_INLINE struct mt_shape mt_core_shape(__u32 kind)
{
	const struct mt_shape none = {};
	__u64 i = kind;

	MT_OPAQUE(i);
	return i < MT_KINDS ? mt_shapes[i] : none;
}

/* n times m bytes; what no allocator can give where that is more than 64 bits hold. */
MT_INLINE __u64 mt_core_product(__u64 n, __u64 m)
{
	__u64 most;

	if (!n)
		return 0;
	most = ~0ull / n;
	__asm__ volatile("" : "+r"(most)); /* not a product of 128 bits, which BPF has not */
	return m > most ? MT_SIZE_UNKNOWN - 1 : n * m;
}

/* True for the kinds that may be left by an exception. */
MT_INLINE bool mt_core_exits(__u32 kind)
{
	return mt_core_shape(kind).flags & MT_SHAPE_EXITS;
}

/* A framed function holds at most a few calls; more say that its return was lost. */
#define MT_NESTED_MAX     16u
#define MT_NESTED_NEW_MAX 4u

enum mt_frame_state {
	MT_FRAME_NONE,   /* no frame is open */
	MT_FRAME_INSIDE, /* the call is made from inside the framed function */
	MT_FRAME_OWN,    /* it is the framed function itself that returns */
	MT_FRAME_STALE,  /* the framed function was left without returning */
	MT_FRAME_LEFT,   /* the same, one of the NEW kinds: it has no block to account for */
};

/* An operator new's frame when something happens at stack pointer sp. */
MT_INLINE enum mt_frame_state mt_core_new_frame(const struct mt_frame *f, __u64 sp)
{
	if (sp >= f->sp)
		return MT_FRAME_LEFT;
	return f->nested >= MT_NESTED_NEW_MAX ? MT_FRAME_STALE : MT_FRAME_INSIDE;
}

/*
 * An entry at stack pointer sp while f is open. A tail jump enters at the very
 * sp of the function that made it, but few functions tail-jump to their own
 * kind; where they do (tails), the last one entered is the one that counts. So
 * it is with an operator new's frame: it threw, or jumped to what enters here.
 */
MT_INLINE enum mt_frame_state mt_core_frame_at_entry(const struct mt_frame *f, __u64 sp, __u32 kind,
						     bool tails)
{
	if (!f || !f->sp)
		return MT_FRAME_NONE;
	if (mt_core_exits(f->kind))
		return mt_core_new_frame(f, sp);
	if (sp == f->sp && kind == f->kind && tails)
		return MT_FRAME_LEFT;
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

/*
 * The same for a free of the block at ptr: where the jump goes through the linker
 * a library may stand in between that calls on.
 */
MT_INLINE bool mt_core_freed_again(struct mt_frame *f, __u64 sp, __u64 ptr)
{
	if (!f || !f->again || sp > f->again || f->freed != ptr)
		return false;
	f->again = 0;
	return true;
}

/*
 * A return with stack pointer sp, the return address popped (8 bytes). A plain
 * function that an operator new jumped to returns for it.
 */
MT_INLINE enum mt_frame_state mt_core_frame_at_return(const struct mt_frame *f, __u64 sp,
						      __u32 kind)
{
	__u64 entry = sp - 8;

	if (!f || !f->sp)
		return MT_FRAME_NONE;
	if (mt_core_exits(f->kind))
		return entry == f->sp ? MT_FRAME_OWN : mt_core_new_frame(f, entry);
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
	const bool frees = mt_core_shape(f->kind).flags & MT_SHAPE_FREES;
	struct mt_outcome o = {};

	if (!new_ptr) {
		o.failed = !f->ptr || f->request;
		o.freed = f->ptr && (!f->request || frees);
		return o;
	}
	if (f->ptr == new_ptr && f->old_size == new_size)
		return o;
	o.malloced = true;
	o.freed = f->ptr != 0;
	return o;
}

#endif
