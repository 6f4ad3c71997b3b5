/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting allocations. One return probe on malloc and calloc, one entry probe
 * on free; functions that may contain another allocation (realloc, memalign
 * and their kin) open a frame at entry and account at return.
 */
#ifndef MT_ALLOC_BPF_H
#define MT_ALLOC_BPF_H

#include "size_glibc.bpf.h"
#include "target.bpf.h"

/* x86-64 System V: what a probe reads of the registers. */
#define REG_ARG1(ctx) PT_REGS_PARM1(ctx)
#define REG_ARG2(ctx) PT_REGS_PARM2(ctx)
#define REG_ARG3(ctx) PT_REGS_PARM3(ctx)

/* One probe hit of a counted process. */
struct hit {
	struct pt_regs *ctx;
	__u64 cookie;
	__u64 bias; /* runtime less link-time addresses of the probed file */
	const struct mt_file *file;
	struct mt_target *t;
	struct mt_counters *c;
};

/* False if the process is not counted. ip: where the probe stands; 0: no telling. */
MT_INLINE bool open_hit(struct hit *h, struct pt_regs *ctx, __u64 ip)
{
	__u32 file;

	h->ctx = ctx;
	h->cookie = bpf_get_attach_cookie(ctx);
	h->t = current_target();
	if (!h->t)
		return false;
	file = MT_COOKIE_FILE(h->cookie);
	note_file(h->t, file);
	h->file = bpf_map_lookup_elem(&mt_files, &file);
	h->bias = ip ? ip - MT_COOKIE_ADDR(h->cookie) : 0;
	h->c = counters_of(h->t);
	return h->c && h->file;
}

/* A call that the allocator makes itself. */
MT_INLINE bool is_internal(const struct hit *h, __u64 ret)
{
	return h->bias && mt_core_internal(h->file, h->bias, ret);
}

MT_INLINE void count_malloc(struct mt_counters *c, __u64 size)
{
	__u32 i = mt_core_class(size);

	if (i >= MT_CLASSES)
		return;
	COUNT(c->cls[i].mallocs, 1);
	COUNT(c->cls[i].alloc_bytes, size);
}

MT_INLINE void count_free(struct mt_counters *c, __u64 size)
{
	__u32 i = mt_core_class(size);

	if (i >= MT_CLASSES)
		return;
	COUNT(c->cls[i].frees, 1);
	COUNT(c->cls[i].free_bytes, size);
}

/*
 * What malloc_usable_size says of a block, 0 if there is no live one; negative
 * if memory could not be read. Not inlined: once in each program, not once for
 * each place that asks. Not global either: such a function could not be called
 * from programs that may not sleep (kernel 6.15 and newer), for what it could do.
 */
static __noinline long block_size(const struct mt_file *f, __u64 bias, __u64 ptr)
{
	__u64 size = 0;
	long r = -1;

	switch (f->layout) {
	case MT_LAYOUT_GLIBC:
	case MT_LAYOUT_GLIBC_243:
		r = size_glibc(f, bias, ptr, &size);
		break;
	}
	return r ? r : (long)size;
}

/* The same; what is wrong is counted and gives 0. */
MT_INLINE __u64 usable_size(const struct hit *h, __u64 ptr)
{
	long size = block_size(h->file, h->bias, ptr);

	if (size > 0)
		return size;
	if (size < 0)
		COUNT(h->c->failed_reads, 1);
	else
		COUNT(h->c->unknown_free, 1);
	return 0;
}

MT_INLINE void count_new_block(const struct hit *h, __u64 ptr)
{
	__u64 size;

	if (!ptr) {
		COUNT(h->c->failed, 1);
		return;
	}
	size = usable_size(h, ptr);
	if (size)
		count_malloc(h->c, size);
}

/*
 * True if the call is made inside the open frame: then it is the outer
 * function's business. A frame that was left without a return is dropped.
 */
MT_INLINE bool inside_frame(struct mt_frame *f, enum mt_frame_state state, struct mt_counters *c)
{
	if (!f)
		return false;
	if (state == MT_FRAME_STALE)
		drop_frame(f, c);
	if (state != MT_FRAME_INSIDE)
		return false;
	f->nested++;
	COUNT(c->nested, 1);
	return true;
}

/* The return of malloc or calloc. */
MT_INLINE void on_malloc_return(const struct hit *h)
{
	struct mt_frame *f = current_frame();
	__u64 sp = PT_REGS_SP(h->ctx);

	COUNT(h->c->events, 1);
	if (mt_core_entered_again(f, sp - 8))
		return;
	if (inside_frame(f, mt_core_frame_at_return(f, sp, MT_KIND_MALLOC), h->c))
		return;
	if (is_internal(h, PT_REGS_IP(h->ctx))) {
		COUNT(h->c->internal, 1);
		return;
	}
	count_new_block(h, PT_REGS_RC(h->ctx));
}

/* The entry of free. */
MT_INLINE void on_free(const struct hit *h)
{
	__u64 ptr = REG_ARG1(h->ctx), sp = PT_REGS_SP(h->ctx), ret = 0, size;
	struct mt_frame *f;

	if (!ptr)
		return;
	COUNT(h->c->events, 1);
	f = current_frame();
	if (mt_core_entered_again(f, sp))
		return;
	if (read_user_u64(&ret, sp))
		COUNT(h->c->failed_reads, 1);
	if (is_internal(h, ret)) {
		COUNT(h->c->internal, 1);
		return;
	}
	if (inside_frame(f, mt_core_frame_at_entry(f, sp, MT_KIND_FREE), h->c))
		return;
	size = usable_size(h, ptr);
	if (size)
		count_free(h->c, size);
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
	if (!f)
		COUNT(h->c->failed_storage, 1);
	else if (kind != MT_KIND_MALLOC_AGAIN ||
		 mt_core_frame_at_entry(f, sp, MT_KIND_MALLOC) != MT_FRAME_INSIDE)
		f->again = sp;
}

/* What the return will need and only the entry knows. */
MT_INLINE void fill_frame(struct mt_frame *f, const struct hit *h, __u32 kind)
{
	f->ptr = 0;
	f->old_size = 0;
	f->request = 1;
	if (kind == MT_KIND_POSIX_MEMALIGN) {
		f->ptr = REG_ARG1(h->ctx);
	} else if (kind == MT_KIND_REALLOC) {
		f->ptr = REG_ARG1(h->ctx);
		f->request = REG_ARG2(h->ctx);
		if (f->ptr)
			f->old_size = usable_size(h, f->ptr);
	}
	f->kind = kind;
	f->nested = 0;
	f->sp = PT_REGS_SP(h->ctx);
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

/* The entry of a function that may contain another one. */
MT_INLINE void on_frame_enter(const struct hit *h)
{
	struct mt_frame *f = create_frame();
	__u32 kind = MT_COOKIE_KIND(h->cookie);

	COUNT(h->c->events, 1);
	if (!f)
		COUNT(h->c->failed_storage, 1);
	else if (!mt_core_entered_again(f, PT_REGS_SP(h->ctx)) &&
		 !inside_frame(f, mt_core_frame_at_entry(f, PT_REGS_SP(h->ctx), kind), h->c))
		fill_frame(f, h, kind);
}

MT_INLINE void account_realloc(const struct mt_frame *f, const struct hit *h, __u64 ptr)
{
	__u64 size = ptr ? usable_size(h, ptr) : 0;
	struct mt_outcome o;

	if (ptr && !size)
		return;
	o = mt_core_realloc(f, ptr, size);
	if (o.malloced)
		count_malloc(h->c, size);
	if (o.freed && f->old_size)
		count_free(h->c, f->old_size);
	if (o.failed)
		COUNT(h->c->failed, 1);
}

MT_INLINE void account_posix_memalign(const struct mt_frame *f, const struct hit *h, int result)
{
	__u64 ptr = 0;

	if (!result && read_user_u64(&ptr, f->ptr)) {
		COUNT(h->c->failed_reads, 1);
		return;
	}
	count_new_block(h, ptr);
}

/* Its return. */
MT_INLINE void on_frame_return(const struct hit *h)
{
	__u32 kind = MT_COOKIE_KIND(h->cookie);
	struct mt_frame *f = current_frame();
	enum mt_frame_state state;

	if (!f)
		return;
	state = mt_core_frame_at_return(f, PT_REGS_SP(h->ctx), kind);
	if (state == MT_FRAME_STALE)
		drop_frame(f, h->c);
	if (state != MT_FRAME_OWN)
		return;
	f->sp = 0;
	COUNT(h->c->events, 1);
	if (kind == MT_KIND_POSIX_MEMALIGN)
		account_posix_memalign(f, h, (int)PT_REGS_RC(h->ctx));
	else if (kind == MT_KIND_MEMALIGN)
		count_new_block(h, PT_REGS_RC(h->ctx));
	else
		account_realloc(f, h, PT_REGS_RC(h->ctx));
}

/*
 * Two programs for all functions, told apart by their cookies: each program is
 * a link per target, and a link's detaching waits for the kernel.
 */
SEC("uprobe")
int mt_alloc_enter(struct pt_regs *ctx)
{
	struct hit h;

	if (!open_hit(&h, ctx, PT_REGS_IP(ctx)))
		return 0;
	if (MT_COOKIE_KIND(h.cookie) == MT_KIND_FREE)
		on_free(&h);
	else if (MT_COOKIE_KIND(h.cookie) == MT_KIND_REALLOCARRAY)
		on_reallocarray(&h);
	else if (MT_COOKIE_KIND(h.cookie) >= MT_KIND_FREE_AGAIN)
		on_again(&h);
	else
		on_frame_enter(&h);
	return 0;
}

SEC("uprobe")
int mt_alloc_exit(struct pt_regs *ctx)
{
	struct hit h;

	if (!open_hit(&h, ctx, mt_func_ip ? bpf_get_func_ip(ctx) : 0))
		return 0;
	if (MT_COOKIE_KIND(h.cookie) == MT_KIND_MALLOC)
		on_malloc_return(&h);
	else
		on_frame_return(&h);
	return 0;
}

#endif
