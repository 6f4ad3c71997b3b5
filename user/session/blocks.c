/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live blocks that the programs remember, when the memory they stood in is gone. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/place.h"

#define BATCH 4096u

#define BLOCKS_MAX (1u << 20)
/* Before it, sleepable programs can only use maps that take all their memory at once. */
#define LATE_BLOCKS  0x060100u
#define EARLY_BLOCKS (1u << 16)

int mt_blocks_map(uint32_t max)
{
	const bool late = mt_kernel_version() >= LATE_BLOCKS;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = late ? BPF_F_NO_PREALLOC : 0);

	if (!late && max > EARLY_BLOCKS)
		max = EARLY_BLOCKS;
	return bpf_map_create(BPF_MAP_TYPE_HASH, "mt_blocks", sizeof(struct mt_block),
			      sizeof(uint64_t), max, &opts);
}

int mt_blocks_open(struct mt_session *s)
{
	size_t max = s->opts.max_blocks ? s->opts.max_blocks : BLOCKS_MAX;
	uint32_t first = 0;
	int fd;

	if (s->blocks_fd >= 0)
		return 0;
	fd = mt_blocks_map(max < UINT32_MAX / 2 ? (uint32_t)max : UINT32_MAX / 2);
	if (fd < 0)
		return mt_err_r(fd, "cannot make the map of live blocks: %s; try --max-blocks",
				strerror(-fd));
	s->blocks_fd = fd;
	s->progs.map_bytes += mt_map_memory(fd);
	return bpf_map__update_elem(s->progs.skel->maps.mt_blocks, &first, sizeof(first), &fd,
				    sizeof(fd), BPF_ANY);
}

static bool is_gone(const struct mt_block *b, uint32_t slot, uint64_t execs)
{
	return b->slot == slot && (execs == MT_BLOCKS_ALL || b->image != (uint32_t)execs);
}

void mt_blocks_drop(const struct mt_session *s, uint32_t slot, uint64_t execs)
{
	_cleanup_free_ struct mt_block *keys = calloc(BATCH, sizeof(*keys));
	_cleanup_free_ uint64_t *values = calloc(BATCH, sizeof(*values));
	int fd = s->blocks_fd, r = 0;
	uint64_t at = 0; /* the kernel's position: what it says is opaque */
	bool first = true;

	if (fd < 0 || !keys || !values)
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
