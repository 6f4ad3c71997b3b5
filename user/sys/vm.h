/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sys and its parts for a native process: which private writable memory is the
 * allocator's, which is stacks, which is the rest. Definitions: design.md 2.
 */
#ifndef MT_SYS_VM_H
#define MT_SYS_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/snapshot.h"
#include "sys/mem.h"
#include "sys/procfs.h"

/* What of a process's private writable memory is what; see vm_classify.c. */
struct mt_vm_parts {
	uint64_t heap;     /* bytes: brk heap, arenas' accessible part, mapped blocks */
	uint64_t heap_brk; /* of these, the brk heap */
	uint64_t stack;    /* bytes: main stack and every thread's stack */
	uint64_t heap_resident, stack_resident; /* with smaps text only, else 0 */
};

/* The mappings that matter for the parts, 24 bytes each. */
struct mt_vm_area {
	uint64_t start, end; /* addresses */
	uint64_t rss : 62;   /* bytes */
	uint64_t kind : 2;   /* its own business */
};

struct mt_vm_areas {
	struct mt_vm_area *v;
	size_t n, cap;
};

/*
 * Adds a mapping, in the order of addresses, if it is private writable memory;
 * what comes after 262144 such areas is passed over. 0 or -ENOMEM.
 */
int mt_vm_areas_add(struct mt_vm_areas *areas, const struct mt_mapping *m);
void mt_vm_areas_fini(struct mt_vm_areas *areas);

/*
 * What one reading leaves for the next: where blocks were found, and which
 * memory holds none. One per target; forget it at an exec. A reading looks at a
 * bounded number of pages that were not looked at before and again at some that
 * were, so that a target with much memory of other allocators is known
 * completely after some readings.
 */
struct mt_vm_cache;
/* Allocates *cache if it is NULL and gives the reading to come its pages. 0 or -ENOMEM. */
int mt_vm_cache_begin(struct mt_vm_cache **cache);
void mt_vm_cache_free(struct mt_vm_cache **cache);

/*
 * Classifies the areas. robust_lists are the addresses of the threads'
 * robust-futex list heads (inside glibc's struct pthread, at the top of the
 * thread's stack), one per thread but the first; 0 entries are passed over.
 * start_brk as in mt_proc_stat. Reads a bounded amount of memory; what is not
 * recognised counts as neither. 0 or -ENOMEM; *out is untouched on failure.
 */
int mt_vm_classify(const struct mt_vm_areas *areas, const struct mt_mem *mem, uint64_t start_brk,
		   const uint64_t *robust_lists, size_t n_threads, struct mt_vm_cache *cache,
		   struct mt_vm_parts *out);

/* How much a reading costs the reader and the target: 0.1 ms, a few ms, and smaps besides. */
enum mt_vm_depth {
	MT_VM_STATUS, /* data, stack, rss, swap, shared */
	MT_VM_PARTS,  /* also heap_sys, heap_brk, stack_sys, cgroup_current */
	MT_VM_FULL,   /* also the resident parts and pss, which hold the target's mmap lock */
};

/*
 * One consistent reading of the process: status, maps, status until both agree
 * (at most 5 times, then the last). Fields that the depth leaves out keep what
 * they hold, so the caller passes the last reading back in; so do those that
 * smaps would give where it cannot be read. *cache starts at NULL; cache NULL:
 * nothing is remembered. 0 or -errno; -ESRCH: gone.
 */
int mt_vm_read_cached(pid_t pid, enum mt_vm_depth depth, struct mt_vm_cache **cache,
		      struct mt_vm *out);
int mt_vm_read(pid_t pid, enum mt_vm_depth depth, struct mt_vm *out);

#endif
