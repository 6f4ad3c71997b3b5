/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/sizeclass.h"
#include "model/snapshot.h"

static struct mt_snapshot snap; /* large for a stack frame */
static struct memtrace_memstats m;
static struct mt_class_counts cls[MT_CLASSES];
static const struct mt_class_counts unsized = {3, 1, 300000, 100000};

static int setup(void **state)
{
	(void)state;
	memset(&snap, 0, sizeof(snap));
	strcpy(snap.allocator, "glibc 2.36");
	snap.sizes = "requested";
	snap.since = MT_SINCE_ATTACH;
	snap.flows.cls[2] = (struct mt_class_counts){5, 1, 80, 16};
	snap.flows.unknown_free = 7;
	snap.vm = (struct mt_vm){.known = true, .data = 1 << 20};
	mt_snapshot_derive(&snap);
	memset(&m, 0, sizeof(m));
	m.mallocs = 100;
	m.sys = 42;
	m.num_gc = 9;
	memset(cls, 0, sizeof(cls));
	cls[2] = (struct mt_class_counts){50, 20, 800, 320};
	return 0;
}

static void go_alone(void **state)
{
	(void)state;
	mt_snapshot_set_go(&snap, &m, cls, &unsized, false);
	assert_false(snap.native.present);
	assert_int_equal(snap.native.memstats.mallocs, 0);
	assert_string_equal(snap.allocator, "go");
	assert_string_equal(snap.sizes, "usable");
	assert_int_equal(snap.since, MT_SINCE_START);
	assert_memory_equal(&snap.memstats, &m, sizeof(m));
	assert_memory_equal(snap.flows.cls, cls, sizeof(cls));
	assert_memory_equal(&snap.unsized, &unsized, sizeof(unsized));
	assert_true(snap.gc.present);
	assert_int_equal(snap.flows.unknown_free, 7);
	assert_int_equal(mt_snapshot_net_objects(&snap), 32);
	assert_int_equal(mt_snapshot_net_bytes(&snap), 200480);
}

static void with_c(void **state)
{
	(void)state;
	mt_snapshot_set_go(&snap, &m, cls, &unsized, true);
	assert_string_equal(snap.allocator, "go, glibc 2.36");
	assert_string_equal(snap.sizes, "usable");
	assert_int_equal(snap.memstats.mallocs, 100);
	assert_true(snap.native.present);
	assert_int_equal(snap.native.since, MT_SINCE_ATTACH);
	assert_string_equal(snap.native.allocator, "glibc 2.36");
	assert_string_equal(snap.native.sizes, "requested");
	assert_int_equal(snap.native.memstats.mallocs, 5);
	assert_int_equal(snap.native.memstats.alloc, 64);
	assert_int_equal(snap.native.memstats.sys, 1 << 20);
	assert_int_equal(snap.native.cls[2].alloc_bytes, 80);
	assert_int_equal(mt_classes_net_objects(snap.native.cls), 4);
	assert_int_equal(mt_classes_net_bytes(snap.native.cls), 64);
}

/* However many allocators C has, Go's is the first. */
static void with_many(void **state)
{
	(void)state;
	memset(snap.allocator, 'x', sizeof(snap.allocator) - 1);
	mt_snapshot_set_go(&snap, &m, cls, &unsized, true);
	assert_string_equal(snap.allocator, "go, ...");
	assert_int_equal(strlen(snap.native.allocator), sizeof(snap.allocator) - 1);
}

static void pauses(void **state)
{
	static const struct {
		bool first;
		uint32_t now, last, pauses;
		uint64_t missed;
	} v[] = {
		{true, 1000, 0, 0, 0},
		{false, 1000, 1000, 0, 0},
		{false, 1001, 1000, 1, 0},
		{false, 1256, 1000, 256, 0},
		{false, 1257, 1000, 256, 1},
		{false, 3, UINT32_MAX - 3, 7, 0},
		{false, 300, UINT32_MAX - 3, 256, 48},
		{false, 0, 1, 256, UINT32_MAX - 256},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct mt_gc gc = {.pauses = 77};

		m.num_gc = v[i].now;
		mt_gc_since(&gc, &m, v[i].first, v[i].last);
		assert_int_equal(gc.pauses, v[i].pauses);
		assert_int_equal(gc.missed, v[i].missed);
	}
}

static void missed_stay_missed(void **state)
{
	struct mt_gc gc = {.missed = 10};

	(void)state;
	m.num_gc = 300;
	mt_gc_since(&gc, &m, false, 0);
	assert_int_equal(gc.missed, 54);
	gc.missed = UINT64_MAX - 3;
	mt_gc_since(&gc, &m, false, 0);
	assert_true(gc.missed == UINT64_MAX);
	snap.flows.unknown_free = 0;
	snap.gc.missed = 44;
	assert_int_equal(mt_snapshot_lost(&snap), 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(go_alone, setup),
		cmocka_unit_test_setup(with_c, setup),
		cmocka_unit_test_setup(with_many, setup),
		cmocka_unit_test_setup(pauses, setup),
		cmocka_unit_test_setup(missed_stay_missed, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
