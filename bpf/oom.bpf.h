/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A target that the kernel picked as an OOM victim. It is not held: it is to die.
 * By the time that user space wakes it may be gone: what its memory was is
 * recorded here, and its counters stay in the maps.
 */
#ifndef MT_OOM_BPF_H
#define MT_OOM_BPF_H

#include "proc.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/*
 * Since 6.8 the tracepoint has the task where it had a pid before: 72ba14deb40a
 * ("mm: update mark_victim tracepoints fields"), which added this field.
 */
struct trace_event_raw_mark_victim___task {
	unsigned int uid;
};

#pragma clang attribute pop

/* NULL: before 6.8, and it is not the current one, which mostly is the victim in a cgroup. */
MT_INLINE struct task_struct *find_victim(__u64 arg)
{
	struct task_struct *current = bpf_get_current_task_btf();

	if (bpf_core_field_exists(struct trace_event_raw_mark_victim___task, uid))
		return (struct task_struct *)arg;
	return arg == (__u32)BPF_CORE_READ(current, pid) ||
			       arg == (__u32)BPF_CORE_READ(current, tgid)
		       ? current
		       : NULL;
}

/* Without the task its pid is its process's, unless its first thread has ended. */
SEC("raw_tp/mark_victim")
int BPF_PROG(mt_oom, __u64 victim)
{
	struct task_struct *task = find_victim(victim);
	__u32 tgid = task ? tgid_of(task) : mt_pidns_ino ? 0 : (__u32)victim;
	struct mt_target *t = bpf_map_lookup_elem(&mt_targets, &tgid);
	struct mm_struct *mm;
	struct mt_life *l;

	if (!t || (t->flags & MT_TARGET_EXITED))
		return 0;
	l = new_event(MT_LIFE_OOM, tgid, t);
	if (!l)
		return 0;
	mm = task ? BPF_CORE_READ(task, mm) : NULL;
	if (mm)
		tell_sizes(l, mm);
	bpf_ringbuf_submit(l, 0);
	return 0;
}

#endif
