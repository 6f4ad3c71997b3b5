/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How large a process's memory is at a moment, for what is told of it. */
#ifndef MT_SIZES_BPF_H
#define MT_SIZES_BPF_H

#include "maps.bpf.h"

enum { RSS_FILE, RSS_ANON, RSS_SWAP, RSS_SHMEM, RSS_KINDS }; /* include/linux/mm_types_task.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct percpu_counter___rss {
	__s64 count;
};

/* Since 6.2: f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter"). */
struct mm_struct___percpu {
	struct percpu_counter___rss rss_stat[RSS_KINDS];
};

struct atomic_long___rss {
	long long counter;
};

struct mm_rss_stat___atomic {
	struct atomic_long___rss count[RSS_KINDS];
};

struct mm_struct___atomic {
	struct mm_rss_stat___atomic rss_stat;
};

#pragma clang attribute pop

/*
 * Pages of one kind, a constant: the kernel's array is relocated by it. What CPUs
 * have not yet added to the sum can make it negative.
 */
#define PAGES_OF(mm, kind)                                                                         \
	({                                                                                         \
		const struct mm_struct___percpu *_now = (const void *)(mm);                        \
		const struct mm_struct___atomic *_old = (const void *)(mm);                        \
		__s64 _n = 0;                                                                      \
                                                                                                   \
		if (bpf_core_field_exists(_old->rss_stat.count))                                   \
			_n = BPF_CORE_READ(_old, rss_stat.count[kind].counter);                    \
		else if (bpf_core_field_exists(_now->rss_stat))                                    \
			_n = BPF_CORE_READ(_now, rss_stat[kind].count);                            \
		_n > 0 ? (__u64)_n : 0;                                                            \
	})

/* The address space of any process, into what is told. */
MT_INLINE void tell_sizes(struct mt_life *l, const struct mm_struct *mm)
{
	l->target.exit_data = BPF_CORE_READ(mm, data_vm) * mt_page_size;
	l->target.exit_stack = BPF_CORE_READ(mm, stack_vm) * mt_page_size;
	l->target.exit_brk = BPF_CORE_READ(mm, brk) - BPF_CORE_READ(mm, start_brk);
	l->rss = (PAGES_OF(mm, RSS_FILE) + PAGES_OF(mm, RSS_ANON) + PAGES_OF(mm, RSS_SHMEM)) *
		 mt_page_size;
	l->swap = PAGES_OF(mm, RSS_SWAP) * mt_page_size;
}

#endif
