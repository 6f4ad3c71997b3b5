/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the Go runtime keeps its statistics: the members of its structs that are
 * read, and where each Go version has them.
 */
#ifndef MT_GOLANG_LAYOUT_H
#define MT_GOLANG_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* The runtime's struct, the member as Go's source spells it, its name here. */
/* clang-format off */
#define MT_GO_MEMBERS(X) \
	X("mstats", "heapStats.stats", mstats_heap_stats_stats) \
	X("mstats", "heapStats.gen", mstats_heap_stats_gen) \
	X("mstats", "heapStats.noPLock.key", mstats_heap_stats_no_plock_key) \
	X("mstats", "stacks_sys", mstats_stacks_sys) \
	X("mstats", "mspan_sys", mstats_mspan_sys) \
	X("mstats", "mcache_sys", mstats_mcache_sys) \
	X("mstats", "buckhash_sys", mstats_buckhash_sys) \
	X("mstats", "gcMiscSys", mstats_gc_misc_sys) \
	X("mstats", "other_sys", mstats_other_sys) \
	X("mstats", "last_gc_unix", mstats_last_gc_unix) \
	X("mstats", "pause_total_ns", mstats_pause_total_ns) \
	X("mstats", "pause_ns", mstats_pause_ns) \
	X("mstats", "pause_end", mstats_pause_end) \
	X("mstats", "numgc", mstats_numgc) \
	X("mstats", "numforcedgc", mstats_numforcedgc) \
	X("mstats", "gc_cpu_fraction", mstats_gc_cpu_fraction) \
	X("mstats", "enablegc", mstats_enablegc) \
	X("mstats", "(sizeof)", mstats_size) \
	X("heapStatsDelta", "committed", delta_committed) \
	X("heapStatsDelta", "released", delta_released) \
	X("heapStatsDelta", "inHeap", delta_in_heap) \
	X("heapStatsDelta", "inStacks", delta_in_stacks) \
	X("heapStatsDelta", "inWorkBufs", delta_in_work_bufs) \
	X("heapStatsDelta", "inPtrScalarBits", delta_in_ptr_scalar_bits) \
	X("heapStatsDelta", "tinyAllocCount", delta_tiny_alloc_count) \
	X("heapStatsDelta", "largeAlloc", delta_large_alloc) \
	X("heapStatsDelta", "largeAllocCount", delta_large_alloc_count) \
	X("heapStatsDelta", "smallAllocCount", delta_small_alloc_count) \
	X("heapStatsDelta", "largeFree", delta_large_free) \
	X("heapStatsDelta", "largeFreeCount", delta_large_free_count) \
	X("heapStatsDelta", "smallFreeCount", delta_small_free_count) \
	X("heapStatsDelta", "(sizeof)", delta_size) \
	X("gcControllerState", "heapInUse", gc_heap_in_use) \
	X("gcControllerState", "heapFree", gc_heap_free) \
	X("gcControllerState", "heapReleased", gc_heap_released) \
	X("gcControllerState", "totalAlloc", gc_total_alloc) \
	X("gcControllerState", "totalFree", gc_total_free) \
	X("gcControllerState", "mappedReady", gc_mapped_ready) \
	X("gcControllerState", "gcPercentHeapGoal", gc_gc_percent_heap_goal) \
	X("gcControllerState", "sweepDistMinTrigger", gc_sweep_dist_min_trigger) \
	X("gcControllerState", "triggered", gc_triggered) \
	X("gcControllerState", "memoryLimit", gc_memory_limit) \
	X("gcControllerState", "heapMarked", gc_heap_marked) \
	X("gcControllerState", "heapLive", gc_heap_live) \
	X("gcControllerState", "(sizeof)", gc_size) \
	X("mheap", "sweepgen", mheap_sweepgen) \
	X("mheap", "spanalloc.inuse", mheap_spanalloc_inuse) \
	X("mheap", "cachealloc.inuse", mheap_cachealloc_inuse) \
	X("mheap", "lock.key", mheap_lock_key) \
	X("mheap", "arenas", mheap_arenas) \
	X("mheap", "(sizeof)", mheap_size) \
	X("heapArena", "spans", arena_spans) \
	X("mspan", "startAddr", mspan_start_addr) \
	X("mspan", "npages", mspan_npages) \
	X("mspan", "nelems", mspan_nelems) \
	X("mspan", "allocCount", mspan_alloc_count) \
	X("mspan", "allocCountBeforeCache", mspan_alloc_count_before_cache) \
	X("mspan", "elemsize", mspan_elemsize) \
	X("mspan", "sweepgen", mspan_sweepgen) \
	X("mspan", "spanclass", mspan_spanclass) \
	X("mspan", "gcmarkBits", mspan_gcmark_bits) \
	X("mspan", "(sizeof)", mspan_size) \
	X("p", "mcache", p_mcache) \
	X("p", "statsSeq", p_stats_seq) \
	X("p", "status", p_status) \
	X("p", "id", p_id) \
	X("mcache", "tinyAllocs", mcache_tiny_allocs) \
	X("mcache", "alloc", mcache_alloc) \
	X("mcache", "stackcache", mcache_stackcache) \
	X("mcache", "(sizeof)", mcache_size)
/* clang-format on */

#define MT_GO_ABSENT (-1) /* that version has no such member */

/* Offsets in bytes within the struct; the _size ones are the structs' own sizes. */
struct mt_go_layout {
	const char *version; /* of the toolchain that it was taken from, "1.23.5"; static text */
	int minor;           /* 23; 0: from DWARF */
#define MT_GO_MEMBER(of, member, name) int32_t name;
	MT_GO_MEMBERS(MT_GO_MEMBER)
#undef MT_GO_MEMBER
};

/* One row for each minor version that was measured, ascending; made by scripts/go-layouts. */
extern const struct mt_go_layout mt_go_layouts[];
extern const size_t mt_go_layouts_count;
/* The row of go1.minor, or NULL. */
const struct mt_go_layout *mt_go_layout_of(int minor);

#endif
