/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Marks that a program has in its code (USDT): from the one that any thread comes
 * by first to the other one of the same thread; other threads' marks meanwhile are
 * passed over. At each the counters are copied, and the thread waits until user
 * space has read what only it can read.
 */
#ifndef MT_MARK_BPF_H
#define MT_MARK_BPF_H

#include "files.bpf.h"
#include "sizes.bpf.h"

/* False: something else was waited for, or another thread came first. */
MT_INLINE bool move_mark(__u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&mt_mark_state, from, to) == from;
}

struct copy {
	__u32 from, to; /* slots */
};

/* For bpf_loop: all that one CPU has counted. */
static long copy_slot(__u32 cpu, struct copy *copy)
{
	__u64 *from = (__u64 *)counters_on(copy->from, cpu);
	__u64 *to = (__u64 *)counters_on(copy->to, cpu);

	if (!from || !to)
		return 0;
	for (__u32 i = 0; i < sizeof(struct mt_counters) / sizeof(*to); i++)
		*(volatile __u64 *)&to[i] = from[i];
	return 0;
}

/* The counters as they are at the mark. False: this kernel can't, or there is no room. */
MT_INLINE bool copy_counters_at(const struct mt_target *t, enum mt_mark_what what)
{
	const __u32 to = mt_mark_slots[what == MT_MARK_END];
	struct copy copy = {.from = t->slot, .to = to - 1};

	if (!mt_cpus || !to)
		return false;
	bpf_loop(mt_cpus, copy_slot, &copy, 0);
	return true;
}

/* False: there is no room to tell, and so nothing came about. */
MT_INLINE bool tell_mark(const struct mt_target *t, __u32 tid, enum mt_mark_what what)
{
	const struct mm_struct *mm = BPF_CORE_READ(bpf_get_current_task_btf(), mm);
	bool copied = what != MT_MARK_LEFT && copy_counters_at(t, what);
	struct mt_life *l = new_event(MT_LIFE_MARK, current_tgid(), t);

	if (!l)
		return false;
	l->tid = tid;
	l->addr = what;
	if (what != MT_MARK_LEFT) {
		l->copied = copied;
		l->held = hold(tid);
		if (mm)
			tell_sizes(l, mm);
	}
	bpf_ringbuf_submit(l, 0);
	return true;
}

SEC("uprobe")
int mt_mark(struct pt_regs *ctx)
{
	const __u64 what = bpf_get_attach_cookie(ctx);
	const __u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct mt_target *t = current_target();

	if (!t)
		return 0;
	if ((what & MT_MARK_END) && move_mark(tid, MT_MARK_OFF)) {
		if (!tell_mark(t, tid, MT_MARK_END))
			move_mark(MT_MARK_OFF, tid);
	} else if ((what & MT_MARK_BEGIN) && move_mark(MT_MARK_ANY, tid)) {
		if (!tell_mark(t, tid, MT_MARK_BEGIN))
			move_mark(tid, MT_MARK_ANY);
	}
	return 0;
}

/* The current thread ends: its second mark will not come. */
MT_INLINE void leave_mark(const struct mt_target *t)
{
	const __u32 tid = (__u32)bpf_get_current_pid_tgid();

	if (move_mark(tid, MT_MARK_OFF) && !tell_mark(t, tid, MT_MARK_LEFT))
		move_mark(MT_MARK_OFF, MT_MARK_ANY);
}

#endif
