/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of a target: its children, a new image, and its end. */
#ifndef MT_PROC_BPF_H
#define MT_PROC_BPF_H

#include "mark.bpf.h"

/* For bpf_loop. */
static long zero_counters(__u32 cpu, __u32 *slot)
{
	__u64 *c = (__u64 *)counters_on(*slot, cpu);

	if (!c)
		return 0;
	for (__u32 i = 0; i < sizeof(struct mt_counters) / sizeof(*c); i++)
		*(volatile __u64 *)&c[i] = 0; /* volatile: not a memset, which BPF has not */
	return 0;
}

struct fork {
	__u32 from, to; /* slots */
};

/*
 * A child's heap is a copy of its parent's, and so are the counts, with what was
 * lost of them; the calls of mmap and the hits are its own.
 */
static long copy_counters(__u32 cpu, struct fork *fork)
{
	struct mt_counters *a = counters_on(fork->from, cpu), *b = counters_on(fork->to, cpu);
	__u64 *from, *to;

	if (!a || !b)
		return 0;
	from = (__u64 *)a->cls;
	to = (__u64 *)b->cls;
	for (__u32 i = 0; i < MT_CLASSES * sizeof(*a->cls) / sizeof(__u64); i++)
		*(volatile __u64 *)&to[i] = from[i];
	b->failed = a->failed;
	b->nested = a->nested;
	b->internal = a->internal;
	b->failed_reads = a->failed_reads;
	b->failed_storage = a->failed_storage;
	b->unreturned = a->unreturned;
	b->unknown_free = a->unknown_free;
	b->map_full = a->map_full;
	b->inherited = a->inherited;
	return 0;
}

/* Threads that may have worked on the heap while the current one had it copied. */
MT_INLINE int other_threads(const struct mt_target *parent)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int n = task->signal->live.counter - 1;

	if (parent->flags & MT_TARGET_BORROWED) /* one of its parent's waits */
		n += BPF_CORE_READ(task, real_parent, signal, live.counter) - 1;
	return n;
}

/* Memory, and so a slot, of its own, with its parent's counts. False: none is left. */
MT_INLINE bool give_slot(struct mt_target *t, const struct mt_target *parent)
{
	struct fork fork = {.from = parent->slot};
	struct mt_counters *c;
	int others;

	if (bpf_map_pop_elem(&mt_free_slots, &t->slot))
		return false;
	fork.to = t->slot;
	bpf_loop(mt_cpus, copy_counters, &fork, 0);
	others = other_threads(parent);
	c = counters_of(t);
	if (c && others > 0)
		COUNT(c->inherited, others);
	return true;
}

/* Enters a child. A vfork child works on its parent's memory until it calls exec. */
MT_INLINE bool enter_child(__u32 tgid, struct mt_target *t, const struct mt_target *parent)
{
	const bool borrowed = t->flags & MT_TARGET_BORROWED;

	if (!borrowed && !give_slot(t, parent)) {
		lose(parent);
		return false;
	}
	if (!bpf_map_update_elem(&mt_targets, &tgid, t, BPF_ANY))
		return true;
	if (!borrowed)
		bpf_map_push_elem(&mt_free_slots, &t->slot, 0);
	lose(parent);
	return false;
}

/*
 * Tells user space; false: there is no room, which is lost's loss. By a copy: a
 * record that is reserved meanwhile is more than older verifiers (6.1) follow.
 */
MT_INLINE bool tell(__u32 type, __u32 tgid, const struct mt_target *t, const struct mt_target *lost)
{
	struct mt_life l;

	__builtin_memset(&l, 0, sizeof(l));
	l.type = type;
	l.tgid = tgid;
	l.time = bpf_ktime_get_ns();
	l.target = *t;
	if (!bpf_ringbuf_output(&mt_life, &l, sizeof(l), 0))
		return true;
	COUNT(mt_life_lost, 1);
	lose(lost);
	return false;
}

/*
 * In the parent's context, before the child runs. A child that user space could
 * not be told of is not entered: nobody would take its slot back.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(mt_proc_fork, struct task_struct *parent, struct task_struct *child)
{
	struct mt_target *p, t;
	__u32 tgid;

	if (child->pid != child->tgid)
		return 0;
	p = current_target();
	if (!p || !(p->flags & MT_TARGET_FOLLOW))
		return 0;
	tgid = tgid_of(child);
	t = *p;
	t.ptgid = current_tgid();
	t.owner = p->flags & MT_TARGET_BORROWED ? p->owner : t.ptgid;
	t.start = child->start_boottime;
	t.flags = MT_TARGET_FOLLOW | (p->flags & MT_TARGET_MISSED);
	bpf_probe_read_kernel(t.comm, sizeof(t.comm), child->comm);
	if (child->mm == parent->mm)
		t.flags |= MT_TARGET_BORROWED;
	if (!enter_child(tgid, &t, p) || (t.flags & MT_TARGET_BORROWED) ||
	    tell(MT_LIFE_FORK, tgid, &t, p))
		return 0;
	bpf_map_delete_elem(&mt_targets, &tgid);
	bpf_map_push_elem(&mt_free_slots, &t.slot, 0);
	return 0;
}

/* A vfork child has memory of its own from its exec on. False: no slot is left for it. */
MT_INLINE bool return_slot(struct mt_target *t)
{
	__u32 slot;

	if (bpf_map_pop_elem(&mt_free_slots, &slot)) {
		lose(t);
		return false;
	}
	t->slot = slot;
	t->flags &= ~MT_TARGET_BORROWED;
	return true;
}

/* Its counts are 0, and nothing is known of it. */
MT_INLINE void begin_image(struct mt_target *t, bool moved)
{
	struct mt_frame *f = current_frame();
	__u32 slot = t->slot;

	if (f) /* of a call that the old image has left */
		__builtin_memset(f, 0, sizeof(*f));
	leave_call();
	t->execs++;
	t->flags &= ~MT_TARGET_MISSED;
	t->moved += moved;
	t->brk = 0;
	t->mapped = 0;
	__builtin_memset(t->files, 0, sizeof(t->files));
	bpf_get_current_comm(t->comm, sizeof(t->comm));
	if (mt_cpus)
		bpf_loop(mt_cpus, zero_counters, &slot, 0);
}

/*
 * A new image counts from 0. No other thread is left at this point, so nothing
 * counts meanwhile. The kernel has mapped the executable and its interpreter,
 * where it begins to run; musl's is its libc.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(mt_proc_exec, struct task_struct *p, int old_pid)
{
	struct mt_target *t = find_target();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(p);
	__u32 tgid = current_tgid(), slot;
	const bool moved = old_pid != p->pid;
	bool borrowed;

	if (!t)
		return 0;
	borrowed = t->flags & MT_TARGET_BORROWED;
	if (borrowed && !return_slot(t)) {
		bpf_map_delete_elem(&mt_targets, &tgid);
		return 0;
	}
	begin_image(t, moved);
	if (!tell(moved ? MT_LIFE_EXEC_MOVED : MT_LIFE_EXEC, tgid, t, t) && borrowed) {
		/* nobody would take the slot back */
		slot = t->slot;
		bpf_map_delete_elem(&mt_targets, &tgid);
		bpf_loop(mt_cpus, zero_counters, &slot, 0);
		bpf_map_push_elem(&mt_free_slots, &slot, 0);
		return 0;
	}
	look_at(t, p->mm->start_code);
	look_at(t, regs->ip);
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

/*
 * Two threads may both find none left: the one that deletes the target tells.
 * Where it can't be told, the target stays for user space to find.
 */
MT_INLINE void end_target(struct mt_target *t)
{
	__u32 tgid = current_tgid();
	struct mt_life *l;

	if (t->flags & MT_TARGET_BORROWED) {
		bpf_map_delete_elem(&mt_targets, &tgid);
		return;
	}
	l = new_event(MT_LIFE_EXIT, tgid, t);
	if (!l) {
		t->flags |= MT_TARGET_EXITED;
		return;
	}
	if (bpf_map_delete_elem(&mt_targets, &tgid))
		bpf_ringbuf_discard(l, 0);
	else
		bpf_ringbuf_submit(l, 0);
}

/* Runs for each thread; kernels before 6.16 have dropped the mm by then (mm NULL). */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(mt_proc_exit, struct task_struct *p)
{
	struct mt_target *t = find_target();
	struct mm_struct *mm = p->mm;

	if (!t)
		return 0;
	if (!(t->flags & MT_TARGET_BORROWED) || owner_lives(t))
		close_frame(t);
	leave_call();
	if (mm)
		keep_sizes(t, mm);
	leave_mark(t);
	if (!p->signal->live.counter)
		end_target(t);
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
