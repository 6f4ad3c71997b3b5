/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Code that a target maps: is it of a file that somebody has looked at? If not,
 * user space is told, and the thread waits in the kernel until the probes stand,
 * so that a new allocator is counted from its first call.
 */
#ifndef MT_FILES_BPF_H
#define MT_FILES_BPF_H

#include "target.bpf.h"

#define VM_EXEC 4ul
#define ENOENT  2
#define EBUSY   16

MT_INLINE void read_key(struct mt_file_key *key, const struct vm_area_struct *vma)
{
	struct inode *inode = BPF_CORE_READ(vma, vm_file, f_inode);

	key->inode = (__u64)inode;
	key->ino = BPF_CORE_READ(inode, i_ino);
	key->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	key->gen = BPF_CORE_READ(inode, i_generation);
}

struct found {
	bool has_file;
	struct mt_file_key key;
};

/* For bpf_find_vma. */
static long on_vma(struct task_struct *task, struct vm_area_struct *vma, struct found *found)
{
	found->has_file = vma->vm_file != NULL;
	if (found->has_file)
		read_key(&found->key, vma);
	return 0;
}

MT_INLINE void lose(const struct mt_target *t)
{
	struct mt_counters *c = counters_of(t);

	if (c && (!(t->flags & MT_TARGET_BORROWED) || owner_lives(t)))
		COUNT(c->map_full, 1);
}

/* NULL: there is no room, which is t's loss. */
MT_INLINE struct mt_life *new_event(__u32 type, __u32 tgid, const struct mt_target *t)
{
	struct mt_life *l = bpf_ringbuf_reserve(&mt_life, sizeof(*l), 0);

	if (!l) {
		COUNT(mt_life_lost, 1);
		lose(t);
		return NULL;
	}
	__builtin_memset(l, 0, sizeof(*l));
	l->type = type;
	l->tgid = tgid;
	l->time = bpf_ktime_get_ns();
	l->target = *t;
	return l;
}

/*
 * Since 6.18 a program can have another one run in the thread's own context
 * before it is back in user space: it looks again and again whether user space
 * is done. That is cut into rounds, between which the kernel lets others run.
 */
extern int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw,
					      void *map__map,
					      int (*callback)(struct bpf_map *, void *, void *),
					      void *aux__prog) __weak __ksym;
#define HOLD_LOOKS (1u << 20)

#define PF_EXITING 4u /* include/linux/sched.h */

struct wait {
	__u32 tid;
	__u32 need;
	__u64 until;
};

/* For bpf_loop: 1 ends it. */
static long is_over(__u32 i, struct wait *w)
{
	__u32 *done = bpf_map_lookup_elem(&mt_released, &w->tid);

	return (done && *done >= w->need) || bpf_ktime_get_ns() > w->until;
}

static int hold_round(struct bpf_map *map, struct mt_hold_key *key, struct mt_hold *h)
{
	struct mt_hold_key first = {.tid = key->tid};
	struct wait w = {
		.tid = key->tid,
		.until = bpf_ktime_get_ns() + mt_hold_ns / MT_HOLD_ROUNDS,
	};

	__u32 *done;

	h = bpf_map_lookup_elem(&mt_holds, &first);
	if (h && !(bpf_get_current_task_btf()->flags & PF_EXITING)) {
		w.need = h->need;
		bpf_loop(HOLD_LOOKS, is_over, &w, 0);
		done = bpf_map_lookup_elem(&mt_released, &w.tid);
		if ((!done || *done < w.need) && w.until >= h->until)
			mt_unanswered = 1;
	}
	return 0;
}

/* One round of the current thread's waiting. NULL: no room. */
MT_INLINE struct mt_hold *get_round(__u32 tid, __u32 round)
{
	const struct mt_hold_key key = {.tid = tid, .round = round};
	struct mt_hold *h = bpf_map_lookup_elem(&mt_holds, &key), fresh = {};

	if (h)
		return h;
	bpf_map_update_elem(&mt_holds, &key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&mt_holds, &key);
}

MT_INLINE int add_round(struct mt_hold *h)
{
	return h ? bpf_task_work_schedule_resume_impl(bpf_get_current_task_btf(), &h->work,
						      &mt_holds, (void *)hold_round, NULL)
		 : -ENOENT;
}

/*
 * The number of the file that the current thread will wait for, 0: it won't. It
 * may already be about to, for another one: an exec brings two. The numbers go
 * on, so that a file that was looked at too late is none that it waits for now.
 */
MT_INLINE __u32 hold(__u32 tid)
{
	struct mt_hold *first;
	int r;

	if (!mt_hold_ns || mt_unanswered || !bpf_ksym_exists(bpf_task_work_schedule_resume_impl))
		return 0;
	first = get_round(tid, 0);
	if (!first)
		return 0;
	r = add_round(first);
	if (r && r != -EBUSY)
		return 0;
	if (!first->need++)
		bpf_map_delete_elem(&mt_released, &tid);
	if (!r)
		first->until = bpf_ktime_get_ns() + mt_hold_ns;
	for (__u32 i = 1; !r && i < MT_HOLD_ROUNDS; i++)
		add_round(get_round(tid, i));
	return first->need;
}

/* The current process has code at addr. */
MT_INLINE void look_at(struct mt_target *t, __u64 addr)
{
	const __u32 tid = (__u32)bpf_get_current_pid_tgid(), tgid = current_tgid();
	struct found found = {};
	struct mt_life *l;
	__u32 *id;

	/* fails while another thread maps something: user space looks at all mappings then */
	if (!bpf_find_vma(bpf_get_current_task_btf(), addr, on_vma, &found, 0)) {
		if (!found.has_file)
			return;
		if (!(t->flags & MT_TARGET_FOLLOW)) {
			found.key.tgid = tgid;
			found.key.moved = t->moved;
		}
		id = bpf_map_lookup_elem(&mt_known, &found.key);
		if (id) {
			if (!t->mapped)
				t->mapped = *id;
			if (*id == MT_FILE_MISSED)
				t->flags |= MT_TARGET_MISSED;
			return;
		}
	}
	l = new_event(MT_LIFE_FILE, tgid, t);
	if (!l)
		return;
	l->tid = tid;
	l->held = hold(tid);
	l->addr = addr;
	l->key = found.key;
	bpf_ringbuf_submit(l, 0);
}

/*
 * Where a Go program ends itself, from its last instruction but the system call:
 * it waits until its numbers have been read.
 */
SEC("uprobe")
int mt_go_exit(struct pt_regs *ctx)
{
	const __u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct mt_target *t = current_target();
	struct mt_life *l;

	if (!t)
		return 0;
	l = new_event(MT_LIFE_LEAVING, current_tgid(), t);
	if (!l)
		return 0;
	l->tid = tid;
	l->held = hold(tid);
	bpf_ringbuf_submit(l, 0);
	return 0;
}

/* For a trace that begins: all the code that is mapped, of one process or of all. */
SEC("iter/task_vma")
int mt_iter_code(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct mt_code code = {};

	if (!task || !vma || !vma->vm_file || !(vma->vm_flags & VM_EXEC))
		return 0;
	/* one thread speaks for all; where the first has ended, each of the others does */
	if (task->pid != task->tgid && BPF_CORE_READ(task, group_leader, mm))
		return 0;
	code.tgid = tgid_of(task);
	code.start = vma->vm_start;
	code.end = vma->vm_end;
	read_key(&code.key, vma);
	bpf_seq_write(ctx->meta->seq, &code, sizeof(code));
	return 0;
}

#endif
