/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose hit is it, and where does it count. */
#ifndef MT_TARGET_BPF_H
#define MT_TARGET_BPF_H

#include "maps.bpf.h"

#include "core.bpf.h"

/* Pid namespaces nest to 32 levels, include/linux/pid_namespace.h. */
#define PIDNS_LEVELS 33

/*
 * The process id of a task as memtrace's pid namespace has it; 0 if the task is
 * not in that namespace or one below it.
 */
MT_INLINE __u32 tgid_of(struct task_struct *task)
{
	struct pid *pid;
	__u32 level;

	if (!mt_pidns_ino)
		return BPF_CORE_READ(task, tgid);
	pid = BPF_CORE_READ(task, group_leader, thread_pid);
	level = BPF_CORE_READ(pid, level);
	for (__u32 i = 0; i < PIDNS_LEVELS && i <= level; i++)
		if (BPF_CORE_READ(pid, numbers[i].ns, ns.inum) == mt_pidns_ino)
			return BPF_CORE_READ(pid, numbers[i].nr);
	return 0;
}

MT_INLINE __u32 current_tgid(void)
{
	if (!mt_pidns_ino)
		return bpf_get_current_pid_tgid() >> 32;
	return tgid_of(bpf_get_current_task_btf());
}

/* The current process if it is a target, else NULL. */
MT_INLINE struct mt_target *find_target(void)
{
	__u32 tgid = current_tgid();
	struct mt_target *t = bpf_map_lookup_elem(&mt_targets, &tgid);

	if (!t || (t->flags & MT_TARGET_EXITED))
		return NULL;
	return t;
}

/*
 * Its parent may be killed while it waits: then the slot may be another's. Or
 * another thread of the parent's calls exec: then the counts are of a new image.
 */
MT_INLINE bool owner_lives(const struct mt_target *t)
{
	const struct mt_target *o = bpf_map_lookup_elem(&mt_targets, &t->owner);

	return o && !(o->flags & MT_TARGET_EXITED) && o->slot == t->slot && o->execs == t->execs;
}

/* The current process if it is counted, else NULL. */
MT_INLINE struct mt_target *current_target(void)
{
	struct mt_target *t = find_target();

	if (t && (t->flags & MT_TARGET_BORROWED) && !owner_lives(t))
		return NULL;
	return t;
}

MT_INLINE struct mt_counters *counters_of(const struct mt_target *t)
{
	__u32 chunk = t->slot >> mt_chunk_shift, i = t->slot & ((1u << mt_chunk_shift) - 1);
	void *counters = bpf_map_lookup_elem(&mt_chunks, &chunk);

	return counters ? bpf_map_lookup_elem(counters, &i) : NULL;
}

/* One CPU's counters of a slot. */
MT_INLINE struct mt_counters *counters_on(__u32 slot, __u32 cpu)
{
	__u32 chunk = slot >> mt_chunk_shift, i = slot & ((1u << mt_chunk_shift) - 1);
	void *counters = bpf_map_lookup_elem(&mt_chunks, &chunk);

	return counters ? bpf_map_lookup_percpu_elem(counters, &i, cpu) : NULL;
}

/* A process's allocators, as its first hits tell; there are few. */
MT_INLINE void note_file(struct mt_target *t, __u16 id)
{
	for (__u32 i = 0; i < MT_TARGET_FILES; i++) {
		if (t->files[i] == id)
			return;
		if (!t->files[i]) {
			t->files[i] = id;
			return;
		}
	}
}

/*
 * Programs can be preempted or migrate in a sleep, so that two may work on one
 * CPU's counters at a time: every update is atomic.
 */
#define COUNT(field, n) __sync_fetch_and_add(&(field), (n))

/* n bytes of user memory; faults a page in where the program may sleep. 0 or -errno. */
MT_INLINE long read_user(void *dst, __u32 n, __u64 addr)
{
	long r = bpf_probe_read_user(dst, n, (const void *)addr);

	if (r && mt_sleepable)
		r = bpf_copy_from_user(dst, n, (const void *)addr);
	return r;
}

MT_INLINE long read_user_u64(__u64 *dst, __u64 addr)
{
	return read_user(dst, sizeof(*dst), addr);
}

/* The current thread's frame, open or not; NULL if it never had one. */
MT_INLINE struct mt_frame *current_frame(void)
{
	return bpf_task_storage_get(&mt_frames, bpf_get_current_task_btf(), 0, 0);
}

/* The same, made if there is none; NULL only if there is no room. */
MT_INLINE struct mt_frame *create_frame(void)
{
	return bpf_task_storage_get(&mt_frames, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * Calls that passed for nested in a frame that was left may have been lost with
 * it. An operator new that was left gave no block: nothing of its own is lost.
 */
MT_INLINE void drop_frame(struct mt_frame *f, struct mt_counters *c)
{
	const __u64 lost = f->nested + !mt_core_exits(f->kind);

	f->sp = 0;
	if (lost)
		COUNT(c->unreturned, lost);
}

#endif
