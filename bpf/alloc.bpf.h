/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting allocations. One return probe on malloc and calloc, one entry probe
 * on free; functions that may contain another allocation (realloc, memalign
 * and their kin) open a frame at entry and account at return.
 */
#ifndef MT_ALLOC_BPF_H
#define MT_ALLOC_BPF_H

#include "target.bpf.h"

/* x86-64 System V: what a probe reads of the registers. */
#define REG_ARG1(ctx) PT_REGS_PARM1(ctx)
#define REG_ARG2(ctx) PT_REGS_PARM2(ctx)
#define REG_ARG3(ctx) PT_REGS_PARM3(ctx)

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

/* Usable size of a block, 0 if its header can't be read or is none. */
MT_INLINE __u64 usable_size(const struct mt_target *t, struct mt_counters *c, __u64 ptr)
{
	__u64 word, size;

	if (read_user_u64(&word, ptr - sizeof(word))) {
		COUNT(c->failed_reads, 1);
		return 0;
	}
	size = mt_core_glibc_usable(word, t->layout);
	if (!size)
		COUNT(c->unknown_free, 1);
	return size;
}

MT_INLINE void count_new_block(const struct mt_target *t, struct mt_counters *c, __u64 ptr)
{
	__u64 size;

	if (!ptr) {
		COUNT(c->failed, 1);
		return;
	}
	size = usable_size(t, c, ptr);
	if (size)
		count_malloc(c, size);
}

MT_INLINE struct mt_frame *open_frame(void)
{
	return bpf_task_storage_get(&mt_frames, bpf_get_current_task_btf(), 0, 0);
}

/* Calls that passed for nested in a frame that was left may have been lost with it. */
MT_INLINE void drop_frame(struct mt_frame *f, struct mt_counters *c)
{
	f->sp = 0;
	COUNT(c->unreturned, 1 + f->nested);
}

/* A call seen inside an open frame is the outer function's business. */
MT_INLINE void count_nested(struct mt_frame *f, struct mt_counters *c)
{
	f->nested++;
	COUNT(c->nested, 1);
}

/* The return of malloc or calloc. */
MT_INLINE int on_malloc_return(struct pt_regs *ctx, __u64 cookie)
{
	struct mt_target *t = probe_target(cookie);
	enum mt_frame_state state;
	struct mt_counters *c;
	struct mt_frame *f;

	if (!t)
		return 0;
	c = counters_of(t);
	if (!c)
		return 0;
	COUNT(c->events, 1);
	f = open_frame();
	state = mt_core_frame_at_return(f, PT_REGS_SP(ctx), MT_KIND_MALLOC);
	if (f && state == MT_FRAME_INSIDE) {
		count_nested(f, c);
		return 0;
	}
	if (f && state == MT_FRAME_STALE)
		drop_frame(f, c);
	if (mt_func_ip && mt_core_internal(cookie, bpf_get_func_ip(ctx), PT_REGS_IP(ctx))) {
		COUNT(c->internal, 1);
		return 0;
	}
	count_new_block(t, c, PT_REGS_RC(ctx));
	return 0;
}

/* The entry of free. */
MT_INLINE int on_free(struct pt_regs *ctx, __u64 cookie)
{
	__u64 ptr = REG_ARG1(ctx), ret = 0, size;
	enum mt_frame_state state;
	struct mt_counters *c;
	struct mt_target *t;
	struct mt_frame *f;

	if (!ptr)
		return 0;
	t = probe_target(cookie);
	if (!t)
		return 0;
	c = counters_of(t);
	if (!c)
		return 0;
	COUNT(c->events, 1);
	if (read_user_u64(&ret, PT_REGS_SP(ctx)))
		COUNT(c->failed_reads, 1);
	if (mt_core_internal(cookie, PT_REGS_IP(ctx), ret)) {
		COUNT(c->internal, 1);
		return 0;
	}
	f = open_frame();
	state = mt_core_frame_at_entry(f, PT_REGS_SP(ctx), MT_KIND_FREE);
	if (f && state == MT_FRAME_INSIDE) {
		count_nested(f, c);
		return 0;
	}
	if (f && state == MT_FRAME_STALE)
		drop_frame(f, c);
	size = usable_size(t, c, ptr);
	if (size)
		count_free(c, size);
	return 0;
}

/* What the return will need and only the entry knows. */
MT_INLINE void fill_frame(struct mt_frame *f, const struct mt_target *t, struct mt_counters *c,
			  struct pt_regs *ctx, __u32 kind)
{
	__u64 count = REG_ARG2(ctx), size = REG_ARG3(ctx);

	f->ptr = 0;
	f->old_size = 0;
	f->request = 1;
	if (kind == MT_KIND_POSIX_MEMALIGN) {
		f->ptr = REG_ARG1(ctx);
	} else if (kind == MT_KIND_REALLOC || kind == MT_KIND_REALLOCARRAY) {
		f->ptr = REG_ARG1(ctx);
		/* only whether it is 0 matters, and a product that overflows is not */
		f->request = kind == MT_KIND_REALLOC ? count : (count && size);
		if (f->ptr)
			f->old_size = usable_size(t, c, f->ptr);
	}
	f->kind = kind;
	f->nested = 0;
	f->sp = PT_REGS_SP(ctx);
}

/* The entry of a function that may contain another one. */
MT_INLINE int on_frame_enter(struct pt_regs *ctx, __u64 cookie)
{
	struct mt_target *t = probe_target(cookie);
	__u32 kind = MT_COOKIE_KIND(cookie);
	enum mt_frame_state state;
	struct mt_counters *c;
	struct mt_frame *f;

	if (!t)
		return 0;
	c = counters_of(t);
	if (!c)
		return 0;
	COUNT(c->events, 1);
	f = bpf_task_storage_get(&mt_frames, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!f) {
		COUNT(c->failed_storage, 1);
		return 0;
	}
	state = mt_core_frame_at_entry(f, PT_REGS_SP(ctx), kind);
	if (state == MT_FRAME_INSIDE) {
		count_nested(f, c);
		return 0;
	}
	if (state == MT_FRAME_STALE)
		drop_frame(f, c);
	fill_frame(f, t, c, ctx, kind);
	return 0;
}

MT_INLINE void account_realloc(const struct mt_frame *f, const struct mt_target *t,
			       struct mt_counters *c, __u64 ptr)
{
	__u64 size = ptr ? usable_size(t, c, ptr) : 0;
	struct mt_outcome o;

	if (ptr && !size)
		return;
	o = mt_core_realloc(f, ptr, size);
	if (o.malloced)
		count_malloc(c, size);
	if (o.freed && f->old_size)
		count_free(c, f->old_size);
	if (o.failed)
		COUNT(c->failed, 1);
}

MT_INLINE void account_posix_memalign(const struct mt_frame *f, const struct mt_target *t,
				      struct mt_counters *c, int result)
{
	__u64 ptr = 0;

	if (!result && read_user_u64(&ptr, f->ptr)) {
		COUNT(c->failed_reads, 1);
		return;
	}
	count_new_block(t, c, ptr);
}

/* Its return. */
MT_INLINE int on_frame_return(struct pt_regs *ctx, __u64 cookie)
{
	struct mt_target *t = probe_target(cookie);
	__u32 kind = MT_COOKIE_KIND(cookie);
	enum mt_frame_state state;
	struct mt_counters *c;
	struct mt_frame *f;

	if (!t)
		return 0;
	c = counters_of(t);
	f = open_frame();
	if (!c || !f)
		return 0;
	state = mt_core_frame_at_return(f, PT_REGS_SP(ctx), kind);
	if (state == MT_FRAME_STALE)
		drop_frame(f, c);
	if (state != MT_FRAME_OWN)
		return 0;
	f->sp = 0;
	COUNT(c->events, 1);
	if (kind == MT_KIND_POSIX_MEMALIGN)
		account_posix_memalign(f, t, c, (int)PT_REGS_RC(ctx));
	else if (kind == MT_KIND_MEMALIGN)
		count_new_block(t, c, PT_REGS_RC(ctx));
	else
		account_realloc(f, t, c, PT_REGS_RC(ctx));
	return 0;
}

/*
 * Two programs for all functions, told apart by their cookies: each program is
 * a link per target, and a link's detaching waits for the kernel.
 */
SEC("uprobe")
int mt_alloc_enter(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);

	if (MT_COOKIE_KIND(cookie) == MT_KIND_FREE)
		return on_free(ctx, cookie);
	return on_frame_enter(ctx, cookie);
}

SEC("uprobe")
int mt_alloc_exit(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);

	if (MT_COOKIE_KIND(cookie) == MT_KIND_MALLOC)
		return on_malloc_return(ctx, cookie);
	return on_frame_return(ctx, cookie);
}

#endif
