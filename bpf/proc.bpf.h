/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of a target: a new image, and its end. */
#ifndef MT_PROC_BPF_H
#define MT_PROC_BPF_H

#include "target.bpf.h"

MT_INLINE void tell(__u32 type, const struct mt_target *t)
{
	struct mt_life *l = bpf_ringbuf_reserve(&mt_life, sizeof(*l), 0);
	struct mt_counters *c;

	if (l) {
		l->type = type;
		l->tgid = current_tgid();
		bpf_ringbuf_submit(l, 0);
		return;
	}
	c = counters_of(t);
	if (c)
		COUNT(c->map_full, 1);
}

/* One CPU's counters of the slot; for bpf_loop. */
static long zero_counters(__u32 cpu, __u32 *slot)
{
	__u64 *c = bpf_map_lookup_percpu_elem(&mt_counters, slot, cpu);

	if (!c)
		return 0;
	for (__u32 i = 0; i < sizeof(struct mt_counters) / sizeof(*c); i++)
		*(volatile __u64 *)&c[i] = 0; /* volatile: not a memset, which BPF has not */
	return 0;
}

/*
 * A new image counts from 0. No other thread is left at this point, so nothing
 * counts meanwhile.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(mt_proc_exec, struct task_struct *p, int old_pid)
{
	struct mt_target *t = current_target();
	__u32 slot;

	if (!t)
		return 0;
	t->execs++;
	t->brk = 0;
	bpf_get_current_comm(t->comm, sizeof(t->comm));
	slot = t->slot;
	if (mt_cpus)
		bpf_loop(mt_cpus, zero_counters, &slot, 0);
	tell(old_pid == p->pid ? MT_LIFE_EXEC : MT_LIFE_EXEC_MOVED, t);
	return 0;
}

/* The sizes for the final snapshot: threads overwrite each other, the last one's stay. */
MT_INLINE void keep_sizes(struct mt_target *t, const struct mm_struct *mm)
{
	t->exit_data = mm->data_vm * mt_page_size;
	t->exit_stack = mm->stack_vm * mt_page_size;
	t->exit_brk = mm->brk - mm->start_brk;
}

/* x86-64 system call numbers, arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_EXIT       60
#define NR_EXIT_GROUP 231

/*
 * A thread that calls exit is in no allocation function: a frame that is still
 * open was left, and its return never came. One that is killed may be inside.
 */
MT_INLINE void close_frame(const struct mt_target *t)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct mt_counters *c = counters_of(t);
	struct mt_frame *f = current_frame();

	if (!f || !c || !f->sp)
		return;
	if (regs->orig_ax == NR_EXIT || regs->orig_ax == NR_EXIT_GROUP)
		drop_frame(f, c);
}

/* Runs for each thread; kernels before 6.16 have dropped the mm by then (mm NULL). */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(mt_proc_exit, struct task_struct *p)
{
	struct mt_target *t = current_target();
	struct mm_struct *mm = p->mm;

	if (!t)
		return 0;
	close_frame(t);
	if (mm)
		keep_sizes(t, mm);
	if (!p->signal->live.counter)
		t->flags |= MT_TARGET_EXITED;
	return 0;
}

/*
 * For those kernels ("exit: move and extend sched_process_exit() tracepoint"):
 * each thread calls it at its end, and nobody else does, before it gives up its mm.
 */
SEC("fentry/exit_mm_release")
int BPF_PROG(mt_proc_exit_mm, struct task_struct *p, struct mm_struct *mm)
{
	struct mt_target *t = current_target();

	if (t && mm)
		keep_sizes(t, mm);
	return 0;
}

#endif
