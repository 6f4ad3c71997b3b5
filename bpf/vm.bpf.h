/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows of the memory system calls. One program on the system calls' common
 * exit, or five on the functions themselves where the kernel allows fexit.
 */
#ifndef MT_VM_BPF_H
#define MT_VM_BPF_H

#include "files.bpf.h"

/* x86-64 system call numbers, arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_MMAP         9
#define NR_MUNMAP       11
#define NR_BRK          12
#define NR_MREMAP       25
#define NR_MADVISE      28
#define PROT_EXEC       4
#define IS_ERR_VALUE(v) ((unsigned long)(v) >= (unsigned long)-4095)

MT_INLINE void vm_brk(struct mt_target *t, struct mt_vm_flow *v, __u64 now)
{
	now = mt_core_page_up(now, mt_page_size);
	if (t->brk && now > t->brk)
		COUNT(v->bytes, now - t->brk);
	if (t->brk && now < t->brk)
		COUNT(v->released, t->brk - now);
	t->brk = now;
}

/* One call of the current target: a1..a3 are its arguments, ret its result. */
MT_INLINE void vm_count(__u32 call, __u64 a1, __u64 a2, __u64 a3, long ret)
{
	struct mt_target *t = current_target();
	struct mt_counters *c;
	struct mt_vm_flow *v;

	if (!t)
		return;
	c = counters_of(t);
	if (!c || call >= MT_VM_CALLS)
		return;
	v = &c->vm[call];
	COUNT(v->calls, 1);
	if (IS_ERR_VALUE(ret)) {
		COUNT(v->failed, 1);
		return;
	}
	if (call == MT_VM_BRK) {
		vm_brk(t, v, ret);
		return;
	}
	if (call == MT_VM_MMAP && (a3 & PROT_EXEC))
		look_at(t, ret);
	a2 = mt_core_page_up(a2, mt_page_size);
	if (call == MT_VM_MREMAP) {
		a3 = mt_core_page_up(a3, mt_page_size);
		COUNT(v->bytes, a3);
		if (a3 < a2)
			COUNT(v->released, a2 - a3);
		return;
	}
	COUNT(v->bytes, a2);
}

MT_INLINE __u32 vm_call(long nr)
{
	switch (nr) {
	case NR_MMAP:
		return MT_VM_MMAP;
	case NR_MUNMAP:
		return MT_VM_MUNMAP;
	case NR_MREMAP:
		return MT_VM_MREMAP;
	case NR_BRK:
		return MT_VM_BRK;
	case NR_MADVISE:
		return MT_VM_MADVISE;
	default:
		return MT_VM_CALLS;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(mt_vm_sys_exit, struct pt_regs *regs, long ret)
{
	__u32 call = vm_call(regs->orig_ax);

	if (call < MT_VM_CALLS)
		vm_count(call, regs->di, regs->si, regs->dx, ret);
	return 0;
}

#define VM_FEXIT(name, call)                                                                       \
	SEC("fexit/__x64_sys_" #name)                                                              \
	int BPF_PROG(mt_vm_##name##_exit, const struct pt_regs *regs, long ret)                    \
	{                                                                                          \
		vm_count(call, regs->di, regs->si, regs->dx, ret);                                 \
		return 0;                                                                          \
	}

VM_FEXIT(mmap, MT_VM_MMAP)
VM_FEXIT(munmap, MT_VM_MUNMAP)
VM_FEXIT(mremap, MT_VM_MREMAP)
VM_FEXIT(brk, MT_VM_BRK)
VM_FEXIT(madvise, MT_VM_MADVISE)

#endif
