/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live blocks that the programs remember, when the memory they stood in is gone. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "memtrace.skel.h"
#include "session/internal.h"

#define BATCH 4096u

static bool is_gone(const struct mt_block *b, uint32_t slot, uint64_t execs)
{
	return b->slot == slot && (execs == MT_BLOCKS_ALL || b->image != (uint32_t)execs);
}

void mt_blocks_drop(const struct mt_session *s, uint32_t slot, uint64_t execs)
{
	_cleanup_free_ struct mt_block *keys = calloc(BATCH, sizeof(*keys));
	_cleanup_free_ uint64_t *values = calloc(BATCH, sizeof(*values));
	int fd = bpf_map__fd(s->progs.skel->maps.mt_blocks), r = 0;
	uint64_t at = 0; /* the kernel's position: what it says is opaque */
	bool first = true;

	if (!s->requests || !keys || !values)
		return;
	while (!r) {
		uint32_t n = BATCH;

		r = bpf_map_lookup_batch(fd, first ? NULL : &at, &at, keys, values, &n, NULL);
		if (r && r != -ENOENT) /* ENOENT: these were the last */
			return;
		for (uint32_t i = 0; i < n; i++)
			if (is_gone(&keys[i], slot, execs))
				bpf_map_delete_elem(fd, &keys[i]);
		first = false;
	}
}
