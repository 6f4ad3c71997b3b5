/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live blocks of allocators whose block sizes are unknown, by what was
 * asked for. User space makes the map when the first such allocator is probed,
 * and drops what ended processes leave in it.
 */
#ifndef MT_BLOCKS_BPF_H
#define MT_BLOCKS_BPF_H

#include "target.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, 1);
			/* sizes: clang tells no more than the name of the key's type here */
			__uint(key_size, sizeof(struct mt_block));
			__uint(value_size, sizeof(__u64));
		});
} mt_blocks SEC(".maps");

/* NULL: there is no such allocator. */
MT_INLINE void *live_blocks(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&mt_blocks, &first);
}

MT_INLINE void put_block(const struct mt_target *t, struct mt_counters *c, __u64 ptr, __u64 size)
{
	struct mt_block key = {.slot = t->slot, .image = t->execs, .addr = ptr};
	void *blocks = live_blocks();

	if (!blocks || bpf_map_update_elem(blocks, &key, &size, BPF_ANY))
		COUNT(c->map_full, 1);
}

/*
 * Takes the block out and returns its size; MT_SIZE_UNKNOWN: it is not there. It
 * goes at the entry of what frees it, before the address can be another's. A
 * function that frees may call another that does, with the same block (operator
 * delete calls free): f->freed tells that from one that was never seen.
 */
MT_INLINE __u64 take_block(const struct mt_target *t, struct mt_counters *c, struct mt_frame *f,
			   __u64 ptr)
{
	struct mt_block key = {.slot = t->slot, .image = t->execs, .addr = ptr};
	__u64 *value = NULL, size = MT_SIZE_UNKNOWN;
	void *blocks = live_blocks();

	if (blocks)
		value = bpf_map_lookup_elem(blocks, &key);
	if (blocks && value) {
		size = *value;
		bpf_map_delete_elem(blocks, &key);
	} else if (!f || f->freed != ptr) {
		COUNT(c->unknown_free, 1);
	}
	if (f)
		f->freed = ptr;
	return size;
}

#endif
