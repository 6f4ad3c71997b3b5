/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the counters of each process are: chunks that come and go with the processes. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"

#define CHUNK_SHIFT_MAX 6

uint32_t mt_chunk_shift(size_t targets)
{
	uint32_t shift = 0;

	while (shift < CHUNK_SHIFT_MAX && (1ul << shift) < targets)
		shift++;
	return shift;
}

static uint32_t chunk_size(const struct mt_slots *s)
{
	return 1u << s->shift;
}

int mt_slots_open(struct mt_slots *s, struct memtrace_bpf *skel, size_t targets, bool reserve)
{
	int cpus = libbpf_num_possible_cpus();

	s->skel = skel;
	s->shift = mt_chunk_shift(targets);
	s->chunks = bpf_map__max_entries(skel->maps.mt_chunks);
	s->reserve = reserve;
	s->value_size = cpus > 0 ? (size_t)cpus * sizeof(struct mt_counters) : 0;
	s->fds = malloc(s->chunks * sizeof(*s->fds));
	s->spare = calloc(s->chunks, sizeof(*s->spare));
	s->free = calloc((size_t)s->chunks << s->shift, sizeof(*s->free));
	s->zero = calloc(1, s->value_size + 1);
	if (!s->fds || !s->spare || !s->free || !s->zero || !s->value_size)
		return -ENOMEM;
	memset(s->fds, -1, s->chunks * sizeof(*s->fds));
	mt_slots_refill(s);
	return 0;
}

void mt_slots_close(struct mt_slots *s)
{
	for (uint32_t i = 0; s->fds && i < s->chunks; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	free(s->fds);
	free(s->spare);
	free(s->free);
	free(s->zero);
	memset(s, 0, sizeof(*s));
}

static void give(struct mt_slots *s, uint32_t slot)
{
	s->free[s->n_free++] = slot;
	s->spare[slot >> s->shift]++;
}

/* One chunk more. */
static int grow(struct mt_slots *s)
{
	int fd, r, map = bpf_map__fd(s->skel->maps.mt_chunks);
	uint32_t i = 0;

	while (i < s->chunks && s->fds[i] >= 0)
		i++;
	if (i == s->chunks)
		return -ENOSPC;
	fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "mt_counters", sizeof(uint32_t),
			    sizeof(struct mt_counters), chunk_size(s), NULL);
	if (fd < 0)
		return mt_err_r(fd, "cannot make room for more processes: %s", strerror(-fd));
	r = bpf_map_update_elem(map, &i, &fd, BPF_ANY);
	if (r) {
		close(fd);
		return r;
	}
	s->fds[i] = fd;
	s->n_chunks++;
	s->bytes += mt_map_memory(fd);
	for (uint32_t k = chunk_size(s); k > 0; k--)
		give(s, i << s->shift | (k - 1));
	return 0;
}

/* A chunk none of whose slots is in use, while another one is. */
static void shrink(struct mt_slots *s, uint32_t chunk)
{
	size_t n = 0;

	if (s->spare[chunk] < chunk_size(s) || s->n_free < 2ul * chunk_size(s))
		return;
	for (size_t i = 0; i < s->n_free; i++)
		if (s->free[i] >> s->shift != chunk)
			s->free[n++] = s->free[i];
	s->n_free = n;
	s->spare[chunk] = 0;
	s->bytes -= mt_map_memory(s->fds[chunk]);
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.mt_chunks), &chunk);
	close(s->fds[chunk]);
	s->fds[chunk] = -1;
	s->n_chunks--;
}

/* The lowest, so that the last chunks are those that come free. */
int mt_slots_take(struct mt_slots *s, uint32_t *slot)
{
	int r = s->n_free ? 0 : grow(s);
	size_t low = 0;

	if (r)
		return r;
	for (size_t i = 1; i < s->n_free; i++)
		if (s->free[i] < s->free[low])
			low = i;
	*slot = s->free[low];
	s->free[low] = s->free[--s->n_free];
	s->spare[*slot >> s->shift]--;
	return 0;
}

void mt_slots_put(struct mt_slots *s, uint32_t slot)
{
	const uint32_t chunk = slot >> s->shift, i = slot & (chunk_size(s) - 1);

	if (chunk >= s->chunks || s->fds[chunk] < 0)
		return;
	bpf_map_update_elem(s->fds[chunk], &i, s->zero, BPF_ANY);
	give(s, slot);
	shrink(s, chunk);
	s->n_put++;
}

/* Pushed until the queue is full: it does not tell how full it is. */
void mt_slots_refill(struct mt_slots *s)
{
	uint32_t slot;

	while (s->reserve && !mt_slots_take(s, &slot)) {
		if (!bpf_map_update_elem(bpf_map__fd(s->skel->maps.mt_free_slots), NULL, &slot,
					 BPF_ANY))
			continue;
		give(s, slot);
		return;
	}
}

/* The queue's slots for the lowest ones, one by one: it is never short of more than one. */
static void sort_queue(struct mt_slots *s, uint32_t n)
{
	const int queue = bpf_map__fd(s->skel->maps.mt_free_slots);
	uint32_t slot;

	while (n-- > 0 && !bpf_map_lookup_and_delete_elem(queue, NULL, &slot)) {
		give(s, slot);
		if (mt_slots_take(s, &slot))
			return;
		if (bpf_map_update_elem(queue, NULL, &slot, BPF_ANY))
			give(s, slot);
	}
}

/* Chunks that there may be more of than the slots in use would need. */
#define CHUNKS_SPARE 2

void mt_slots_compact(struct mt_slots *s)
{
	const uint32_t reserve = bpf_map__max_entries(s->skel->maps.mt_free_slots);
	const size_t used = ((size_t)s->n_chunks << s->shift) - s->n_free;

	if (!s->reserve || s->n_put < reserve || s->n_chunks <= CHUNKS_SPARE + (used >> s->shift))
		return;
	s->n_put = 0;
	sort_queue(s, reserve);
	for (uint32_t i = 0; i < s->chunks; i++)
		if (s->fds[i] >= 0)
			shrink(s, i);
}

int mt_slots_read(const struct mt_slots *s, uint32_t slot, struct mt_counters *percpu)
{
	const uint32_t chunk = slot >> s->shift, i = slot & (chunk_size(s) - 1);

	if (chunk >= s->chunks || s->fds[chunk] < 0)
		return -ENOENT;
	return bpf_map_lookup_elem(s->fds[chunk], &i, percpu);
}
