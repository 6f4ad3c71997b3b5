/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sys and its parts for a native process: which private writable memory is the
 * allocator's, which is stacks, which is the rest. Definitions: design.md 2.
 */
#ifndef MT_SYS_VM_H
#define MT_SYS_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/snapshot.h"
#include "sys/procfs.h"

#define MT_MEM_HEADS 512

/*
 * Memory of another process, behind an interface so that tests and the census
 * read recorded images. read() fills exactly n bytes or returns -errno.
 */
struct mt_mem {
	int (*read)(const struct mt_mem *m, uint64_t addr, void *buf, size_t n);
	/*
	 * 16 bytes at addr and at every 4096 behind it, n in all (no page edge among
	 * them); zeros for a page that cannot be read or was never written, which
	 * stays untouched. May be NULL: then read() serves. n <= MT_MEM_HEADS.
	 */
	void (*heads)(const struct mt_mem *m, uint64_t addr, size_t n, uint64_t (*out)[2]);
	void *ctx;
};

/* process_vm_readv of a live process; needs ptrace access, stops nothing. */
struct mt_mem mt_mem_process(pid_t pid);

/* What of a process's private writable memory is what; see vm_classify.c. */
struct mt_vm_parts {
	uint64_t heap;     /* bytes: brk heap, arenas' accessible part, mapped blocks */
	uint64_t heap_brk; /* of these, the brk heap */
	uint64_t stack;    /* bytes: main stack and every thread's stack */
	uint64_t heap_resident, stack_resident; /* with smaps text only, else 0 */
};

/*
 * Classifies the mappings. robust_lists are the addresses of the threads'
 * robust-futex list heads (inside glibc's struct pthread, at the top of the
 * thread's stack), one per thread but the first; 0 entries are passed over.
 * start_brk as in mt_proc_stat. Reads a bounded amount of memory; what is not
 * recognised counts as neither. 0 or -ENOMEM; *out is untouched on failure.
 */
int mt_vm_classify(const struct mt_maps *maps, const struct mt_mem *mem, uint64_t start_brk,
		   const uint64_t *robust_lists, size_t n_threads, struct mt_vm_parts *out);

/* How much a reading costs the reader and the target: 0.1 ms, a few ms, and smaps besides. */
enum mt_vm_depth {
	MT_VM_STATUS, /* data, stack, rss, swap, shared */
	MT_VM_PARTS,  /* also heap_sys, heap_brk, stack_sys, cgroup_current */
	MT_VM_FULL,   /* also the resident parts and pss, which hold the target's mmap lock */
};

/*
 * One consistent reading of the process: status, maps, status until both agree
 * (at most 5 times, then the last). Fields that the depth leaves out keep what
 * they hold, so the caller passes the last reading back in. 0 or -errno;
 * -ESRCH: gone.
 */
int mt_vm_read(pid_t pid, enum mt_vm_depth depth, struct mt_vm *out);

#endif
