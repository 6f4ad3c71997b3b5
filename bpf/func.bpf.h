/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls of one function: what a thread allocates between the entry and the
 * return. Returns are seen by probes on the function's exits; a call that is left
 * by an exception, a longjmp or the thread's end is seen by the stack pointer: all
 * that happens inside a call happens below the one at its entry, where the return
 * address stands untouched.
 */
#ifndef MT_FUNC_BPF_H
#define MT_FUNC_BPF_H

#include "target.bpf.h"

MT_INLINE struct mt_func_counts *func_counts(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&mt_func_counts, &first);
}

/* The current thread's, open or not; NULL if it never was in one. */
MT_INLINE struct mt_call *current_call(void)
{
	return bpf_task_storage_get(&mt_calls, bpf_get_current_task_btf(), 0, 0);
}

/* A program that works on the same counter can interrupt this one, but not this often. */
#define RAISE_TRIES 8

MT_INLINE void raise_to(__u64 *most, __u64 v)
{
	for (int i = 0; i < RAISE_TRIES; i++) {
		const __u64 old = *(volatile __u64 *)most;

		if (v <= old || __sync_val_compare_and_swap(most, old, v) == old)
			return;
	}
}

MT_INLINE void add_sums(struct mt_func_sums *s, const struct mt_call *call)
{
	COUNT(s->calls, 1);
	COUNT(s->mallocs, call->mallocs);
	COUNT(s->frees, call->frees);
	COUNT(s->alloc_bytes, call->alloc_bytes);
	COUNT(s->free_bytes, call->free_bytes);
}

MT_INLINE void add_bucket(__u64 *buckets, __u64 v)
{
	__u64 i = mt_core_bucket(v);

	MT_OPAQUE(i);
	if (i < MT_HIST_BUCKETS)
		COUNT(buckets[i], 1);
}

#define BIAS (1ull << 63)

/* Into the distributions. Not inlined: several places close a call. */
static __noinline int add_call(const struct mt_call *call)
{
	struct mt_func_counts *c = func_counts();
	const __u64 blocks = call->mallocs - call->frees;
	const __u64 bytes = call->alloc_bytes - call->free_bytes;

	if (!c)
		return 0;
	add_sums(&c->back, call);
	add_bucket(c->blocks, call->mallocs);
	add_bucket(c->bytes, call->alloc_bytes);
	raise_to(&c->max_blocks, call->mallocs);
	raise_to(&c->max_bytes, call->alloc_bytes);
	raise_to(&c->high_blocks, BIAS + blocks);
	raise_to(&c->low_blocks, BIAS - blocks);
	raise_to(&c->high_bytes, BIAS + bytes);
	raise_to(&c->low_bytes, BIAS - bytes);
	if ((__s64)bytes > 0)
		COUNT(c->grew, 1);
	else if (bytes)
		COUNT(c->shrank, 1);
	return 0;
}

/* The call is over: by its return, or without one. */
MT_INLINE void close_call(struct mt_call *call, bool returned)
{
	struct mt_func_counts *c;

	if (returned) {
		add_call(call);
	} else {
		c = func_counts();
		if (c)
			add_sums(&c->left, call);
	}
	call->sp = 0;
}

/*
 * True if what happens with the stack pointer at sp is inside the open call. A call
 * that was left is closed. One that went on where nobody can follow has returned.
 */
MT_INLINE bool inside_call(struct mt_call *call, __u64 sp)
{
	__u64 ret = 0;

	if (sp < call->sp && call->tailed < 2 && !read_user_u64(&ret, call->sp) && ret == call->ret)
		return true;
	close_call(call, call->tailed);
	return false;
}

/*
 * The call has jumped to the very allocation function that was entered at sp: it ends
 * there. back: where that returns to, which the kernel has moved off the stack where
 * it has a return probe; 0: it stands there.
 */
MT_INLINE bool ends_call(struct mt_call *call, __u64 sp, __u64 back)
{
	if (!call->tailed || sp != call->sp)
		return false;
	if (!back && read_user_u64(&back, sp))
		return false;
	if (back != call->ret)
		return false;
	call->tailed = 2;
	return true;
}

/* The open call that an allocation function belongs to that was entered at sp, or NULL. */
MT_INLINE struct mt_call *call_at(__u64 sp, __u64 back)
{
	struct mt_call *call = mt_func_on ? current_call() : NULL;

	if (!call || !call->sp)
		return NULL;
	call->again = 0;
	return ends_call(call, sp, back) || inside_call(call, sp) ? call : NULL;
}

/* A block of that class, as the process's own counters have it. */
MT_INLINE void call_malloc(__u64 sp, __u64 back, __u32 class, __u64 size)
{
	struct mt_call *call = call_at(sp, back);
	struct mt_func_counts *c = call ? func_counts() : NULL;

	if (!call || !c || class >= MT_CLASSES)
		return;
	call->mallocs++;
	call->alloc_bytes += size;
	COUNT(c->cls[class].mallocs, 1);
	COUNT(c->cls[class].alloc_bytes, size);
}

MT_INLINE void call_free(__u64 sp, __u64 back, __u32 class, __u64 size)
{
	struct mt_call *call = call_at(sp, back);
	struct mt_func_counts *c = call ? func_counts() : NULL;

	if (!call || !c || class >= MT_CLASSES)
		return;
	call->frees++;
	call->free_bytes += size;
	COUNT(c->cls[class].frees, 1);
	COUNT(c->cls[class].free_bytes, size);
}

/* An entry at the very stack pointer of the open call: a jump back, or another call. */
MT_INLINE bool enters_again(struct mt_call *call, __u64 sp)
{
	const bool again = call->again && sp == call->sp;

	call->again = 0;
	return again;
}

MT_INLINE void on_call(struct mt_func_counts *c, __u64 sp)
{
	struct mt_call *call = bpf_task_storage_get(&mt_calls, bpf_get_current_task_btf(), 0,
						    BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!call) {
		COUNT(c->failed_storage, 1);
		return;
	}
	if (call->sp && (enters_again(call, sp) || inside_call(call, sp))) {
		COUNT(c->nested, 1);
		return;
	}
	__builtin_memset(call, 0, sizeof(*call));
	if (read_user_u64(&call->ret, sp)) {
		COUNT(c->failed_storage, 1);
		return;
	}
	COUNT(c->entered, 1);
	call->sp = sp;
}

/* An instruction at which the function may return, jump away or begin anew. */
MT_INLINE void on_call_exit(struct mt_func_counts *c, __u32 kind, __u64 sp)
{
	struct mt_call *call = current_call();

	if (!call || !call->sp)
		return;
	call->again = 0;
	if (sp != call->sp) {
		if (sp > call->sp)
			close_call(call, call->tailed);
		return;
	}
	if (kind & MT_FUNC_EXIT) {
		close_call(call, true);
	} else if (kind & MT_FUNC_TAIL) {
		COUNT(c->tailed, 1);
		call->tailed = 1;
	} else {
		call->again = 1;
	}
}

/* The stack is unwound to sp by whoever does such things. */
MT_INLINE void on_unwound(__u64 sp)
{
	struct mt_call *call = current_call();

	if (call && call->sp && sp > call->sp)
		close_call(call, call->tailed);
}

/* The thread ends, or what it runs. */
MT_INLINE void leave_call(void)
{
	struct mt_call *call;

	if (!mt_func || !mt_func_on)
		return;
	call = current_call();
	if (call && call->sp)
		close_call(call, call->tailed);
}

SEC("uprobe")
int mt_func_probe(struct pt_regs *ctx)
{
	const __u32 kind = MT_COOKIE_KIND(bpf_get_attach_cookie(ctx));
	struct mt_func_counts *c = func_counts();
	const __u64 sp = PT_REGS_SP(ctx);

	if (!c || !mt_func_on || !current_target())
		return 0;
	if (kind & MT_FUNC_UNWIND)
		on_unwound(kind & MT_FUNC_POPS ? sp + 8 : sp);
	if (kind & MT_FUNC_ENTRY)
		on_call(c, sp);
	if (kind & (MT_FUNC_EXIT | MT_FUNC_TAIL | MT_FUNC_AGAIN))
		on_call_exit(c, kind, sp);
	return 0;
}

#endif
