/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps and the read-only configuration; user space sizes them before load. */
#ifndef MT_MAPS_BPF_H
#define MT_MAPS_BPF_H

/* clang-format off: the kernel's types come before what is written in terms of them */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
/* clang-format on */

#include "abi.h"

/* Set before load: what the kernel's verifier then knows as constants. */
const volatile bool mt_sleepable = false; /* programs may fault pages in */
const volatile bool mt_func_ip = false;   /* bpf_get_func_ip works in return probes */
const volatile __u64 mt_pidns_ino = 0;    /* memtrace's pid namespace; 0: the initial one */
const volatile __u32 mt_page_size = 4096;
const volatile __u32 mt_cpus =
	0; /* to zero at exec, helper since 5.19; 0: user space takes a base */
const volatile __u32 mt_chunk_shift = 0; /* log2 of the slots in a chunk of counters */
const volatile __u64 mt_hold_ns = 0;     /* the longest that a new file may hold a thread */

const volatile bool mt_func = false; /* the calls of a function are measured */

/* While user space says so: from when all probes stand to when the counts are read. */
__u32 mt_func_on = 0;

/* Membership: a process is counted while it stands here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mt_target);
} mt_targets SEC(".maps");

/* Chunks of slots: user space makes them as processes come. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
			__uint(max_entries, 1);
			__type(key, __u32);
			__uint(value_size, sizeof(struct mt_counters));
		});
} mt_chunks SEC(".maps");

/* Zeroed slots for processes that fork; user space keeps it filled. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} mt_free_slots SEC(".maps");

/* The probed files. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MT_FILES_MAX);
	__type(key, __u32);
	__type(value, struct mt_file);
} mt_files SEC(".maps");

/* The open frame of a thread that is inside realloc, memalign and their kin. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mt_frame);
} mt_frames SEC(".maps");

/* The call of the measured function that a thread is in. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mt_call);
} mt_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mt_func_counts);
} mt_func_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16); /* 400 events; full is loss, and is counted */
} mt_life SEC(".maps");

/* Events that it had no room for: user space looks for itself then. */
__u64 mt_life_lost = 0;

/* Files that have been looked at: the id under mt_files, 0 if it has no allocator. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct mt_file_key);
	__type(value, __u32);
} mt_known SEC(".maps");

/*
 * A thread has waited in vain: memtrace is stopped, or hopelessly late. Nobody
 * waits any more until user space says that it is there again.
 */
__u32 mt_unanswered = 0;

/* Which mark is waited for: MT_MARK_OFF, MT_MARK_ANY or a thread's number. */
__u32 mt_mark_state = MT_MARK_OFF;
/* One more than the slots that get a copy of the counters at BEGIN and at END; 0: none. */
__u32 mt_mark_slots[2] = {0, 0};

/* Threads that wait for a new file to be looked at, by the kernel's number. */
struct mt_hold {
	struct bpf_task_work work;
	__u32 need;  /* round 0: the number of the last file that is to be looked at */
	__u64 until; /* round 0: CLOCK_MONOTONIC, ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct mt_hold_key);
	__type(value, struct mt_hold);
} mt_holds SEC(".maps");

/* And the number of the file that was looked at last for each of them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} mt_released SEC(".maps");

#endif
