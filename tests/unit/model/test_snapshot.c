/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sizeclass.h"

static struct mt_snapshot snap; /* large for a stack frame */

static int setup(void **state)
{
	(void)state;
	memset(&snap, 0, sizeof(snap));
	return 0;
}

static void flow(uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &snap.flows.cls[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += size * mallocs;
	c->free_bytes += size * frees;
}

static void from_start(void **state)
{
	const struct memtrace_memstats *m = &snap.memstats;

	(void)state;
	flow(24, 1000, 400);
	flow(20000, 10, 3);
	flow(3 << 20, 2, 1);
	snap.vm = (struct mt_vm){
		.known = true,
		.detail = true,
		.data = 8 << 20,
		.stack = 132 << 10,
		.heap_sys = 4 << 20,
		.heap_resident = 3 << 20,
		.stack_sys = 200 << 10,
		.stack_resident = 20 << 10,
	};
	mt_snapshot_derive(&snap);
	assert_int_equal(m->mallocs, 1012);
	assert_int_equal(m->frees, 404);
	assert_int_equal(m->heap_objects, 608);
	assert_int_equal(m->total_alloc, 24000 + 200000 + (6 << 20));
	assert_int_equal(m->alloc, 600 * 24 + 7 * 20000 + (3 << 20));
	assert_int_equal(m->heap_alloc, m->alloc);
	assert_int_equal(m->sys, (8 << 20) + (132 << 10));
	assert_int_equal(m->heap_sys, 4 << 20);
	assert_int_equal(m->stack_sys, 200 << 10);
	assert_int_equal(m->stack_inuse, 20 << 10);
	assert_int_equal(m->other_sys, m->sys - m->heap_sys - m->stack_sys);
	assert_int_equal(m->heap_inuse, (m->alloc + 4095) & ~UINT64_C(4095));
	assert_int_equal(m->heap_idle, m->heap_sys - m->heap_inuse);
	assert_int_equal(m->heap_released, m->heap_idle);
	assert_int_equal(m->by_size[3].size, 24);
	assert_int_equal(m->by_size[3].mallocs, 1000);
	assert_int_equal(m->by_size[3].frees, 400);
	assert_int_equal(m->by_size[60].size, 18432);
	assert_int_equal(m->by_size[60].mallocs, 0);
	assert_false(m->enable_gc);
	assert_int_equal(m->num_gc, 0);
	/* Deriving again changes nothing. */
	mt_snapshot_derive(&snap);
	assert_int_equal(m->mallocs, 1012);
}

static void released_below_idle(void **state)
{
	(void)state;
	snap.vm = (struct mt_vm){
		.known = true, .data = 1 << 20, .heap_sys = 1 << 20, .heap_resident = 1000 << 10};
	mt_snapshot_derive(&snap);
	assert_int_equal(snap.memstats.heap_idle, 1 << 20);
	assert_int_equal(snap.memstats.heap_released, 24 << 10);
}

static void since_attach(void **state)
{
	const struct memtrace_memstats *m = &snap.memstats;

	(void)state;
	snap.since = MT_SINCE_ATTACH;
	flow(64, 5, 100);
	flow(128, 10, 2);
	mt_snapshot_derive(&snap);
	assert_int_equal(m->mallocs, 15);
	assert_int_equal(m->frees, 102);
	assert_int_equal(m->heap_objects, 0);
	assert_int_equal(m->alloc, 0);
	assert_int_equal(m->heap_alloc, 0);
	assert_int_equal(m->by_size[mt_class_of(64)].frees, 100);
	assert_int_equal(mt_snapshot_net_objects(&snap), -87);
	assert_int_equal(mt_snapshot_net_bytes(&snap), -95 * 64 + 8 * 128);
}

/* Objects and bytes clamp on their own: many small ones allocated, a large one freed. */
static void clamps_apart(void **state)
{
	(void)state;
	flow(16, 100, 0);
	flow(1 << 20, 0, 1);
	mt_snapshot_derive(&snap);
	assert_int_equal(snap.memstats.heap_objects, 99);
	assert_int_equal(snap.memstats.alloc, 0);
}

static void vm_unknown(void **state)
{
	(void)state;
	flow(64, 100, 0);
	snap.vm.data = snap.vm.heap_sys = snap.vm.stack_sys = 1 << 20;
	mt_snapshot_derive(&snap);
	assert_int_equal(snap.memstats.alloc, 6400);
	assert_int_equal(snap.memstats.sys, 0);
	assert_int_equal(snap.memstats.heap_sys, 0);
	assert_int_equal(snap.memstats.heap_inuse, 0);
	assert_int_equal(snap.memstats.stack_sys, 0);
	assert_int_equal(snap.memstats.other_sys, 0);
}

static void lost(void **state)
{
	struct mt_flows *f = &snap.flows;

	(void)state;
	f->failed = f->nested = f->internal = f->events = 1000;
	assert_int_equal(mt_snapshot_lost(&snap), 0);
	f->failed_reads = 1;
	f->failed_storage = 10;
	f->unreturned = 100;
	f->unknown_free = 1000;
	f->map_full = 10000;
	f->untraced = 100000;
	assert_int_equal(mt_snapshot_lost(&snap), 111111);
	f->map_full = UINT64_MAX;
	assert_true(mt_snapshot_lost(&snap) == UINT64_MAX);
}

static void saturates(void **state)
{
	struct mt_class_counts c = {.mallocs = UINT64_MAX, .free_bytes = UINT64_MAX};

	(void)state;
	assert_true(mt_class_net_objects(&c) == INT64_MAX);
	assert_true(mt_class_net_bytes(&c) == INT64_MIN);
	for (int i = 0; i < MT_CLASSES; i++)
		snap.flows.cls[i] = c;
	assert_true(mt_snapshot_net_objects(&snap) == INT64_MAX);
	assert_true(mt_snapshot_net_bytes(&snap) == INT64_MIN);
	mt_snapshot_derive(&snap);
	assert_true(snap.memstats.mallocs == UINT64_MAX);
	assert_int_equal(snap.memstats.alloc, 0);
}

/* Small, page-like, and absurd values alike. */
static uint64_t anything(void)
{
	uint64_t v = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();

	switch (random() % 5) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - v % 8192;
	default:
		return v >> (random() % 64);
	}
}

static void check_identity(const struct memtrace_memstats *m)
{
	unsigned __int128 sum = (unsigned __int128)m->heap_sys + m->stack_sys + m->mspan_sys +
				m->mcache_sys + m->buck_hash_sys + m->gc_sys + m->other_sys;

	assert_true(sum == m->sys);
	assert_true((unsigned __int128)m->heap_inuse + m->heap_idle == m->heap_sys);
	assert_true(m->heap_released <= m->heap_idle);
	assert_true(m->stack_inuse <= m->stack_sys);
	assert_true(m->alloc == m->heap_alloc && m->alloc <= m->total_alloc);
	assert_true(m->heap_objects <= m->mallocs);
}

static void identity_holds(void **state)
{
	(void)state;
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		uint64_t *flows = (uint64_t *)&snap.flows;

		snap.vm = (struct mt_vm){
			.data = anything(),
			.stack = anything(),
			.heap_sys = anything(),
			.heap_resident = anything(),
			.stack_sys = anything(),
			.stack_resident = anything(),
			.known = round % 16 != 0,
			.detail = round % 3 != 0,
		};
		for (int i = 0; i < 8; i++)
			flows[random() % (long)(sizeof(snap.flows) / sizeof(*flows))] = anything();
		if (round % 100 == 0)
			memset(&snap.flows, 0, sizeof(snap.flows));
		mt_snapshot_derive(&snap);
		check_identity(&snap.memstats);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(from_start, setup),
		cmocka_unit_test_setup(released_below_idle, setup),
		cmocka_unit_test_setup(since_attach, setup),
		cmocka_unit_test_setup(clamps_apart, setup),
		cmocka_unit_test_setup(vm_unknown, setup),
		cmocka_unit_test_setup(lost, setup),
		cmocka_unit_test_setup(saturates, setup),
		cmocka_unit_test_setup(identity_holds, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
