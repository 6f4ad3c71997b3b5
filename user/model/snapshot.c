/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/snapshot.h"

#include "model/sizeclass.h"

#define PAGE 4096

/*
 * Counters may be stale or torn against each other, and the sizes of a target
 * can be anything: sums saturate and differences stop at 0, so that no output
 * ever shows a number that wrapped.
 */
static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t sub(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int64_t clamp(__int128 v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

uint64_t mt_snapshot_lost(const struct mt_snapshot *s)
{
	const struct mt_flows *f = &s->flows;
	uint64_t lost = add(f->failed_reads, f->failed_storage);

	lost = add(lost, f->unreturned);
	lost = add(lost, f->unknown_free);
	lost = add(lost, f->map_full);
	lost = add(lost, f->inherited);
	lost = add(lost, f->untraced);
	return add(lost, s->gc.missed);
}

int64_t mt_class_net_objects(const struct mt_class_counts *c)
{
	return clamp((__int128)c->mallocs - c->frees);
}

int64_t mt_class_net_bytes(const struct mt_class_counts *c)
{
	return clamp((__int128)c->alloc_bytes - c->free_bytes);
}

static __int128 net_objects(const struct mt_class_counts *cls)
{
	__int128 net = 0;

	for (unsigned int i = 0; i < MT_CLASSES; i++)
		net += (__int128)cls[i].mallocs - cls[i].frees;
	return net;
}

static __int128 net_bytes(const struct mt_class_counts *cls)
{
	__int128 net = 0;

	for (unsigned int i = 0; i < MT_CLASSES; i++)
		net += (__int128)cls[i].alloc_bytes - cls[i].free_bytes;
	return net;
}

int64_t mt_classes_net_objects(const struct mt_class_counts *cls)
{
	return clamp(net_objects(cls));
}

int64_t mt_classes_net_bytes(const struct mt_class_counts *cls)
{
	return clamp(net_bytes(cls));
}

int64_t mt_snapshot_net_objects(const struct mt_snapshot *s)
{
	return clamp(net_objects(s->flows.cls) + s->unsized.mallocs - s->unsized.frees);
}

int64_t mt_snapshot_net_bytes(const struct mt_snapshot *s)
{
	return clamp(net_bytes(s->flows.cls) + s->unsized.alloc_bytes - s->unsized.free_bytes);
}

static void derive_flows(struct memtrace_memstats *m, const struct mt_flows *f)
{
	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		m->mallocs = add(m->mallocs, f->cls[i].mallocs);
		m->frees = add(m->frees, f->cls[i].frees);
		m->total_alloc = add(m->total_alloc, f->cls[i].alloc_bytes);
	}
	for (unsigned int i = 0; i < MT_BYSIZE; i++) {
		m->by_size[i].size = (uint32_t)mt_class_size(i);
		m->by_size[i].mallocs = f->cls[i].mallocs;
		m->by_size[i].frees = f->cls[i].frees;
	}
	m->alloc = mt_level(mt_classes_net_bytes(f->cls));
	m->heap_alloc = m->alloc;
	m->heap_objects = mt_level(mt_classes_net_objects(f->cls));
}

/*
 * Sys is what /proc said last, its parts may be older: each takes what it may
 * of what is left, and OtherSys is the rest, so that the sum is always Sys. The
 * heap holds at least the live blocks: of a short-lived process the last
 * reading of /proc may be older than they are.
 */
static void derive_sys(struct memtrace_memstats *m, const struct mt_vm *vm)
{
	uint64_t live = add(m->heap_alloc, PAGE - 1) / PAGE * PAGE;
	uint64_t left;

	m->sys = add(vm->data, vm->stack);
	m->stack_sys = min(vm->stack_sys, m->sys);
	left = m->sys - m->stack_sys;
	m->heap_sys = min(vm->heap_sys > live ? vm->heap_sys : live, left);
	m->other_sys = left - m->heap_sys;
	m->stack_inuse = min(vm->stack_resident, m->stack_sys);
	/* Without a census: the live bytes as if they lay dense on pages. */
	m->heap_inuse = min(live, m->heap_sys);
	m->heap_idle = m->heap_sys - m->heap_inuse;
	m->heap_released = min(m->heap_idle, sub(m->heap_sys, vm->heap_resident));
}

/*
 * With a census: the allocator's own structures, and the pages that were idle.
 * Since then blocks came and went: what is in use has grown by as many bytes,
 * as long as the live blocks alone do not need more.
 */
static void derive_heap(struct memtrace_memstats *m, const struct mt_vm *vm,
			const struct mt_heap *h)
{
	uint64_t system = h->mapped_system, own = add(h->span_bytes, h->cache_bytes), inuse;

	for (size_t i = 0; i < h->n_arenas; i++)
		system = add(system, h->arenas[i].system);
	m->mspan_sys = min(h->span_bytes, m->heap_sys);
	m->mcache_sys = min(h->cache_bytes, m->heap_sys - m->mspan_sys);
	m->mspan_inuse = m->mspan_sys;
	m->mcache_inuse = m->mcache_sys;
	m->heap_sys -= m->mspan_sys + m->mcache_sys;
	inuse = sub(sub(sub(system, h->idle), own), sub(h->bytes, m->heap_alloc));
	inuse = add(inuse, sub(m->heap_alloc, h->bytes));
	inuse = min(inuse > m->heap_alloc ? inuse : m->heap_alloc, m->heap_sys);
	m->heap_idle = (m->heap_sys - inuse) / PAGE * PAGE;
	m->heap_inuse = m->heap_sys - m->heap_idle;
	m->heap_released = min(m->heap_idle, sub(sub(vm->heap_sys, vm->heap_resident), h->unused));
}

void mt_snapshot_derive(struct mt_snapshot *s)
{
	s->memstats = (struct memtrace_memstats){0};
	derive_flows(&s->memstats, &s->flows);
	if (!s->vm.known)
		return;
	derive_sys(&s->memstats, &s->vm);
	if (s->census.baseline == MT_BASELINE_CENSUS)
		derive_heap(&s->memstats, &s->vm, &s->census.heap);
}
