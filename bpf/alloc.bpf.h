/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting allocations. One return probe on malloc and calloc, one entry probe
 * on free; functions that may contain another allocation (realloc, memalign
 * and their kin) open a frame at entry and account at return; operator new
 * accounts at probes on its exits.
 */
#ifndef MT_ALLOC_BPF_H
#define MT_ALLOC_BPF_H

#include "target.bpf.h"

#include "blocks.bpf.h"
#include "func.bpf.h"
#include "size_glibc.bpf.h"
#include "size_jemalloc.bpf.h"
#include "size_mimalloc.bpf.h"
#include "size_musl.bpf.h"
#include "size_tcmalloc.bpf.h"

/* x86-64 System V: what a probe reads of the registers. */
#define REG_ARG1(ctx) PT_REGS_PARM1(ctx)
#define REG_ARG2(ctx) PT_REGS_PARM2(ctx)
#define REG_ARG3(ctx) PT_REGS_PARM3(ctx)
#define REG_ARG4(ctx) PT_REGS_PARM4(ctx)

/*
 * Argument n, from 1. All are read first, each where it stands: the verifier
 * takes no address into the registers that is computed.
 */
MT_INLINE __u64 arg_of(struct pt_regs *ctx, __u32 n)
{
	__u64 a1 = REG_ARG1(ctx), a2 = REG_ARG2(ctx), a3 = REG_ARG3(ctx), a4 = REG_ARG4(ctx);

	barrier_var(a1);
	barrier_var(a2);
	barrier_var(a3);
	barrier_var(a4);
	return n == 1 ? a1 : n == 2 ? a2 : n == 3 ? a3 : a4;
}

/* One probe hit of a counted process. */
struct hit {
	struct pt_regs *ctx;
	__u64 cookie;
	__u64 sp;   /* stack pointer at the entry of the function that is accounted for */
	__u64 back; /* where it returns to; 0: stands there */
	__u64 bias; /* runtime less link-time addresses of the probed file; 0 if it is not moved */
	const struct mt_file *file;
	struct mt_target *t;
	struct mt_counters *c;
};

/*
 * False if the process is not counted. ip: where the probe stands; 0: no telling.
 * popped: bytes of the stack that the function has given back.
 */
MT_INLINE bool open_hit(struct hit *h, struct pt_regs *ctx, __u64 ip, __u32 popped)
{
	__u32 file;

	h->ctx = ctx;
	h->sp = PT_REGS_SP(ctx) - popped;
	h->back = popped ? PT_REGS_IP(ctx) : 0;
	h->cookie = bpf_get_attach_cookie(ctx);
	h->t = current_target();
	if (!h->t)
		return false;
	file = MT_COOKIE_FILE(h->cookie);
	note_file(h->t, file);
	h->file = bpf_map_lookup_elem(&mt_files, &file);
	h->bias = ip ? ip - MT_COOKIE_ADDR(h->cookie) : MT_BIAS_UNKNOWN;
	h->c = counters_of(h->t);
	return h->c && h->file;
}

/* A call that the allocator makes itself. */
MT_INLINE bool is_internal(const struct hit *h, __u64 ret)
{
	return h->bias != MT_BIAS_UNKNOWN && mt_core_internal(h->file, h->bias, ret);
}

MT_INLINE void count_malloc(const struct hit *h, __u64 size)
{
	__u32 i = mt_core_class(size);

	if (i >= MT_CLASSES)
		return;
	COUNT(h->c->cls[i].mallocs, 1);
	COUNT(h->c->cls[i].alloc_bytes, size);
	if (mt_func)
		call_malloc(h->sp, h->back, i, size);
}

MT_INLINE void count_free(const struct hit *h, __u64 size)
{
	__u32 i = mt_core_class(size);

	if (i >= MT_CLASSES)
		return;
	COUNT(h->c->cls[i].frees, 1);
	COUNT(h->c->cls[i].free_bytes, size);
	if (mt_func)
		call_free(h->sp, h->back, i, size);
}

/*
 * What malloc_usable_size says of a block, MT_NO_BLOCK if there is no live one;
 * another negative if memory could not be read. Only musl has blocks of no bytes.
 * Not inlined: once in each program, not once for each place that asks. Not
 * global either: such a function could not be called from programs that may not
 * sleep (kernel 6.15 and newer), for what it could do.
 */
static __noinline long block_size(const struct mt_file *f, __u64 bias, __u64 ptr)
{
	__u64 size = 0;
	long r = MT_NO_BLOCK;

	switch (f->layout) {
	case MT_LAYOUT_GLIBC:
	case MT_LAYOUT_GLIBC_243:
		r = size_glibc(f, bias, ptr, &size);
		break;
	case MT_LAYOUT_JEMALLOC:
		r = size_jemalloc(f, bias, ptr, &size);
		break;
	case MT_LAYOUT_MUSL:
		r = size_musl(f, bias, ptr, &size);
		break;
	case MT_LAYOUT_MIMALLOC:
		r = size_mimalloc(f, bias, ptr, &size);
		break;
	case MT_LAYOUT_TCMALLOC:
		r = size_tcmalloc(f, bias, ptr, &size);
		break;
	}
	if (!r && !size && f->layout != MT_LAYOUT_MUSL)
		return MT_NO_BLOCK;
	return r ? r : (long)size;
}

/* The same; what is wrong is counted and gives MT_SIZE_UNKNOWN. */
MT_INLINE __u64 usable_size(const struct hit *h, __u64 ptr)
{
	long size = block_size(h->file, h->bias, ptr);

	if (size >= 0)
		return size;
	if (size == MT_NO_BLOCK)
		COUNT(h->c->unknown_free, 1);
	else
		COUNT(h->c->failed_reads, 1);
	return MT_SIZE_UNKNOWN;
}

MT_INLINE bool by_request(const struct hit *h)
{
	return h->file->layout == MT_LAYOUT_REQUESTED;
}

/* Size of a block that is given back; MT_SIZE_UNKNOWN: lost, and counted as that. */
MT_INLINE __u64 old_size(const struct hit *h, struct mt_frame *f, __u64 ptr)
{
	if (by_request(h))
		return take_block(h->t, h->c, f, ptr);
	return usable_size(h, ptr);
}

/* The same of one that has just been made. */
MT_INLINE __u64 new_size(const struct hit *h, __u64 ptr, __u64 request)
{
	if (by_request(h)) {
		put_block(h->t, h->c, ptr, request);
		return request;
	}
	return usable_size(h, ptr);
}

MT_INLINE void count_new_block(const struct hit *h, __u64 ptr, __u64 request)
{
	__u64 size;

	if (!ptr) {
		COUNT(h->c->failed, 1);
		return;
	}
	size = new_size(h, ptr, request);
	if (size != MT_SIZE_UNKNOWN)
		count_malloc(h, size);
}

/* What the frame's call was to resize is as it was. */
MT_INLINE void keep_old(const struct hit *h, const struct mt_frame *f)
{
	if (by_request(h) && f->ptr && f->old_size != MT_SIZE_UNKNOWN)
		put_block(h->t, h->c, f->ptr, f->old_size);
}

/*
 * An operator new was left without a block: by an exception or a longjmp, which
 * the stack pointer shows or the return address that is gone from where the call
 * put it; calls that passed for nested may then be lost. Or a function went on
 * to another of its kind, which counts for both.
 */
MT_INLINE void leave_frame(const struct hit *h, struct mt_frame *f)
{
	if (mt_core_shape(f->kind).block)
		keep_old(h, f);
	f->sp = 0;
	if (f->nested && mt_core_exits(f->kind))
		COUNT(h->c->unreturned, f->nested);
}

MT_INLINE bool is_left(const struct mt_frame *f)
{
	__u64 ret = 0;

	return mt_core_exits(f->kind) && (read_user_u64(&ret, f->sp) || ret != f->ret);
}

/*
 * True if the call is made inside the open frame: then it is the outer
 * function's business. A frame that was left without a return is dropped.
 */
MT_INLINE bool inside_frame(const struct hit *h, struct mt_frame *f, enum mt_frame_state state)
{
	if (!f || state == MT_FRAME_NONE || state == MT_FRAME_OWN)
		return false;
	if (state == MT_FRAME_STALE) {
		drop_frame(f, h->c);
		return false;
	}
	if (state == MT_FRAME_LEFT || is_left(f)) {
		leave_frame(h, f);
		return false;
	}
	f->nested++;
	COUNT(h->c->nested, 1);
	return true;
}

/* A call inside an operator new that gave nothing leaves nothing to lose. */
MT_INLINE void forgive_nested(struct mt_frame *f)
{
	if (mt_core_exits(f->kind) && f->nested)
		f->nested--;
}

/* The return of malloc or calloc. */
MT_INLINE void on_malloc_return(const struct hit *h)
{
	struct mt_frame *f = current_frame();
	__u64 sp = PT_REGS_SP(h->ctx), ptr = PT_REGS_RC(h->ctx);
	enum mt_frame_state state;

	COUNT(h->c->events, 1);
	if (mt_core_entered_again(f, sp - 8))
		return;
	state = mt_core_frame_at_return(f, sp, MT_KIND_MALLOC);
	if (inside_frame(h, f, state)) {
		if (!ptr)
			forgive_nested(f);
		return;
	}
	if (state == MT_FRAME_OWN)
		f->sp = 0;
	if (is_internal(h, PT_REGS_IP(h->ctx))) {
		COUNT(h->c->internal, 1);
		return;
	}
	count_new_block(h, ptr, 0);
}

/* The entry of free. */
MT_INLINE void on_free(const struct hit *h)
{
	__u64 ptr = REG_ARG1(h->ctx), sp = PT_REGS_SP(h->ctx), ret = 0, size;
	struct mt_frame *f;

	if (!ptr)
		return;
	COUNT(h->c->events, 1);
	f = by_request(h) ? create_frame() : current_frame();
	if (mt_core_freed_again(f, sp, ptr))
		return;
	if (read_user_u64(&ret, sp))
		COUNT(h->c->failed_reads, 1);
	if (is_internal(h, ret)) {
		COUNT(h->c->internal, 1);
		return;
	}
	if (inside_frame(h, f, mt_core_frame_at_entry(f, sp, MT_KIND_FREE, false)))
		return;
	size = old_size(h, f, ptr);
	if (size != MT_SIZE_UNKNOWN)
		count_free(h, size);
}

/*
 * A jump back to the entry: glibc 2.43 makes a thread's cache in its first free,
 * and before 2.34 the first malloc or realloc readies the allocator by a hook;
 * then each begins anew. To take the first count back instead would let a reader
 * see the counts fall. malloc's return probe fires for both entries; memalign
 * jumps to malloc, too, but has a frame open.
 */
MT_INLINE void on_again(const struct hit *h)
{
	const __u32 kind = MT_COOKIE_KIND(h->cookie);
	const __u64 sp = PT_REGS_SP(h->ctx);
	struct mt_frame *f;

	if (kind == MT_KIND_FREE_AGAIN && !REG_ARG1(h->ctx))
		return;
	COUNT(h->c->events, 1);
	f = create_frame();
	if (!f) {
		COUNT(h->c->failed_storage, 1);
		return;
	}
	if (kind == MT_KIND_MALLOC_AGAIN &&
	    mt_core_frame_at_entry(f, sp, MT_KIND_MALLOC, false) == MT_FRAME_INSIDE)
		return;
	f->again = sp;
	if (kind == MT_KIND_FREE_AGAIN)
		f->freed = REG_ARG1(h->ctx);
}

/* What the return will need and only the entry knows. */
MT_INLINE void fill_frame(struct mt_frame *f, const struct hit *h, __u32 kind)
{
	const struct mt_shape shape = mt_core_shape(kind);
	const __u64 sp = PT_REGS_SP(h->ctx);
	__u64 ret = 0;

	f->ptr = 0;
	f->old_size = MT_SIZE_UNKNOWN;
	f->request = arg_of(h->ctx, shape.n);
	if (shape.m)
		f->request = mt_core_product(f->request, arg_of(h->ctx, shape.m));
	if (shape.flags & MT_SHAPE_IN_ARG)
		f->ptr = REG_ARG1(h->ctx);
	if (shape.block) {
		f->ptr = arg_of(h->ctx, shape.block);
		if (f->ptr)
			f->old_size = old_size(h, f, f->ptr);
	}
	if ((shape.flags & MT_SHAPE_EXITS) && read_user_u64(&ret, sp))
		COUNT(h->c->failed_reads, 1);
	f->ret = ret;
	f->bias = h->bias;
	f->kind = kind;
	f->nested = 0;
	f->sp = sp;
}

/*
 * The entry of reallocarray: it calls realloc, maybe another library's that
 * leads back here, and realloc counts. Unless the product overflows.
 */
MT_INLINE void on_reallocarray(const struct hit *h)
{
	__u64 count = REG_ARG2(h->ctx), size = REG_ARG3(h->ctx), most;

	COUNT(h->c->events, 1);
	if (!size)
		return;
	most = ~0ull / size;
	barrier_var(most); /* not a product of 128 bits, which BPF has not */
	if (count > most)
		COUNT(h->c->failed, 1);
}

/* The allocator calls itself, for what is its own: mimalloc 3 what it keeps of a thread. */
MT_INLINE bool enters_by_itself(const struct hit *h)
{
	__u64 ret = 0;

	if (!h->file->text_len)
		return false;
	if (read_user_u64(&ret, PT_REGS_SP(h->ctx)))
		COUNT(h->c->failed_reads, 1);
	if (!is_internal(h, ret))
		return false;
	COUNT(h->c->internal, 1);
	return true;
}

/* The entry of a function that may contain another one. */
MT_INLINE void on_frame_enter(const struct hit *h)
{
	const bool tails = h->file->flags & MT_FILE_TAILS;
	const __u64 sp = PT_REGS_SP(h->ctx);
	struct mt_frame *f = create_frame();
	__u32 kind = MT_COOKIE_KIND(h->cookie);

	COUNT(h->c->events, 1);
	if (!f)
		COUNT(h->c->failed_storage, 1);
	else if (!mt_core_entered_again(f, sp) &&
		 !inside_frame(h, f, mt_core_frame_at_entry(f, sp, kind, tails)) &&
		 !enters_by_itself(h))
		fill_frame(f, h, kind);
}

MT_INLINE void account_realloc(const struct mt_frame *f, const struct hit *h, __u64 ptr)
{
	__u64 size = ptr ? new_size(h, ptr, f->request) : 0;
	struct mt_outcome o;

	if (size == MT_SIZE_UNKNOWN)
		return;
	o = mt_core_realloc(f, ptr, size);
	if (!ptr && !o.freed)
		keep_old(h, f);
	if (o.malloced)
		count_malloc(h, size);
	if (o.freed && f->old_size != MT_SIZE_UNKNOWN)
		count_free(h, f->old_size);
	if (o.failed)
		COUNT(h->c->failed, 1);
}

/*
 * jemalloc's xallocx stays where it is and returns the size that the block has
 * now: the old one, says 5.3.0, when it has grown by less than it might have. So
 * the block itself is asked, where it can be.
 */
MT_INLINE void account_in_situ(const struct mt_frame *f, const struct hit *h, __u64 size)
{
	if (f->old_size == MT_SIZE_UNKNOWN)
		return;
	if (by_request(h)) {
		size = size >= f->request ? f->request : f->old_size;
		put_block(h->t, h->c, f->ptr, size);
	} else {
		size = usable_size(h, f->ptr);
	}
	if (size == MT_SIZE_UNKNOWN || size == f->old_size)
		return;
	count_malloc(h, size);
	count_free(h, f->old_size);
}

MT_INLINE void account_in_arg(const struct mt_frame *f, const struct hit *h, int result)
{
	__u64 ptr = 0;

	if (!result && read_user_u64(&ptr, f->ptr)) {
		COUNT(h->c->failed_reads, 1);
		return;
	}
	count_new_block(h, ptr, f->request);
}

/* The frame's function returns with rc. */
MT_INLINE void account(struct mt_frame *f, struct hit *h, __u64 rc)
{
	const struct mt_shape shape = mt_core_shape(f->kind);

	f->sp = 0;
	COUNT(h->c->events, 1);
	if (h->bias == MT_BIAS_UNKNOWN)
		h->bias = f->bias;
	if (shape.flags & MT_SHAPE_IN_ARG)
		account_in_arg(f, h, (int)rc);
	else if (shape.flags & MT_SHAPE_IN_SITU)
		account_in_situ(f, h, rc);
	else if (shape.block)
		account_realloc(f, h, rc);
	else
		count_new_block(h, rc, f->request);
}

/* The return of a function that pushed a frame. */
MT_INLINE void on_frame_return(struct hit *h)
{
	__u32 kind = MT_COOKIE_KIND(h->cookie);
	__u64 rc = PT_REGS_RC(h->ctx);
	struct mt_frame *f = current_frame();
	enum mt_frame_state state;

	if (!f)
		return;
	state = mt_core_frame_at_return(f, PT_REGS_SP(h->ctx), kind);
	if (state == MT_FRAME_STALE)
		drop_frame(f, h->c);
	else if (state == MT_FRAME_LEFT)
		leave_frame(h, f);
	else if (state == MT_FRAME_INSIDE && !rc == !(mt_core_shape(kind).flags & MT_SHAPE_IN_ARG))
		forgive_nested(f);
	else if (state == MT_FRAME_OWN && kind == f->kind)
		account(f, h, rc);
}

/*
 * An instruction at which an operator new returns. Several functions may share
 * it, and it may be reached by others: it counts for the frame that was pushed
 * at this very stack pointer.
 */
MT_INLINE void on_exit(struct hit *h)
{
	struct mt_frame *f = current_frame();

	if (f && f->sp && f->sp == PT_REGS_SP(h->ctx) && mt_core_exits(f->kind))
		account(f, h, PT_REGS_RC(h->ctx));
}

MT_INLINE void on_leave(const struct hit *h)
{
	struct mt_frame *f = current_frame();

	if (f && f->sp && f->sp >= PT_REGS_SP(h->ctx) && mt_core_exits(f->kind))
		leave_frame(h, f);
}

/*
 * Two programs for all functions, told apart by their cookies: each program is
 * a link per target, and a link's detaching waits for the kernel.
 */
SEC("uprobe")
int mt_alloc_enter(struct pt_regs *ctx)
{
	struct hit h;

	if (!open_hit(&h, ctx, PT_REGS_IP(ctx), 0))
		return 0;
	switch (MT_COOKIE_KIND(h.cookie)) {
	case MT_KIND_FREE:
		on_free(&h);
		break;
	case MT_KIND_REALLOCARRAY:
		on_reallocarray(&h);
		break;
	case MT_KIND_FREE_AGAIN:
	case MT_KIND_MALLOC_AGAIN:
	case MT_KIND_REALLOC_AGAIN:
		on_again(&h);
		break;
	case MT_KIND_EXIT:
		on_exit(&h);
		break;
	case MT_KIND_LEAVE:
		on_leave(&h);
		break;
	default:
		on_frame_enter(&h);
	}
	return 0;
}

SEC("uprobe")
int mt_alloc_exit(struct pt_regs *ctx)
{
	struct hit h;

	if (!open_hit(&h, ctx, mt_func_ip ? bpf_get_func_ip(ctx) : 0, 8))
		return 0;
	switch (MT_COOKIE_KIND(h.cookie)) {
	case MT_KIND_MALLOC:
	case MT_KIND_CALLOC:
		on_malloc_return(&h);
		break;
	default:
		on_frame_return(&h);
	}
	return 0;
}

#endif
