/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose hit is it, and where does it count. */
#ifndef MT_TARGET_BPF_H
#define MT_TARGET_BPF_H

#include "maps.bpf.h"

#include "core.bpf.h"

/*
 * The process id of the current task as memtrace's pid namespace has it; 0 if
 * the task is not in that namespace.
 */
MT_INLINE __u32 current_tgid(void)
{
	struct bpf_pidns_info ns;

	if (!mt_pidns_ino)
		return bpf_get_current_pid_tgid() >> 32;
	if (bpf_get_ns_current_pid_tgid(mt_pidns_dev, mt_pidns_ino, (void *)&ns, sizeof(ns)))
		return 0;
	return ns.tgid;
}

/* The current process if it is counted, else NULL. */
MT_INLINE struct mt_target *current_target(void)
{
	__u32 tgid = current_tgid();
	struct mt_target *t = bpf_map_lookup_elem(&mt_targets, &tgid);

	if (!t || (t->flags & MT_TARGET_EXITED))
		return NULL;
	return t;
}

/*
 * The same for a probe's hit: only if the target is bound to the file that the
 * probe belongs to (two mounts of one inode give two links and two hits).
 */
MT_INLINE struct mt_target *probe_target(__u64 cookie)
{
	struct mt_target *t = current_target();

	if (!t || t->file_id != MT_COOKIE_FILE(cookie))
		return NULL;
	return t;
}

MT_INLINE struct mt_counters *counters_of(const struct mt_target *t)
{
	__u32 slot = t->slot;

	return bpf_map_lookup_elem(&mt_counters, &slot);
}

/*
 * Programs can be preempted or migrate in a sleep, so that two may work on one
 * CPU's counters at a time: every update is atomic.
 */
#define COUNT(field, n) __sync_fetch_and_add(&(field), (n))

/* Eight bytes of user memory; faults a page in where the program may sleep. 0 or -errno. */
MT_INLINE long read_user_u64(__u64 *dst, __u64 addr)
{
	long r = bpf_probe_read_user(dst, sizeof(*dst), (const void *)addr);

	if (r && mt_sleepable)
		r = bpf_copy_from_user(dst, sizeof(*dst), (const void *)addr);
	return r;
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

/* Calls that passed for nested in a frame that was left may have been lost with it. */
MT_INLINE void drop_frame(struct mt_frame *f, struct mt_counters *c)
{
	f->sp = 0;
	COUNT(c->unreturned, 1 + f->nested);
}

#endif
